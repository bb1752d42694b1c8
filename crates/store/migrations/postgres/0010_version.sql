-- Which configuration this is: whoever has another one reads it again.
ALTER TABLE configuration ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

-- Other gateways hear of a change at once. A new table whose changes must be prompt gets a trigger like these.
CREATE FUNCTION durward_changed() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('durward', TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME); RETURN NULL; END $$;

CREATE TRIGGER changed AFTER INSERT OR UPDATE ON configuration FOR EACH STATEMENT EXECUTE FUNCTION durward_changed();
CREATE TRIGGER changed AFTER UPDATE OR DELETE ON token FOR EACH STATEMENT EXECUTE FUNCTION durward_changed();
CREATE TRIGGER changed AFTER UPDATE ON request FOR EACH STATEMENT EXECUTE FUNCTION durward_changed();
CREATE TRIGGER changed AFTER UPDATE OR DELETE ON approver FOR EACH STATEMENT EXECUTE FUNCTION durward_changed();
