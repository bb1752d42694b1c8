-- When somebody answered; to which states a request came and when, as JSON, in their order; and what policy is asked about when
-- somebody answers it, as JSON.
ALTER TABLE vote ADD COLUMN at BIGINT;
ALTER TABLE request ADD COLUMN stages TEXT NOT NULL DEFAULT '[]';
ALTER TABLE request ADD COLUMN weighed TEXT NOT NULL DEFAULT '{}';

-- As with news, whatever changes a request notes it. What its time ended is over since then, whenever that was seen.
CREATE FUNCTION durward_staged() RETURNS trigger LANGUAGE plpgsql AS
$$ DECLARE
    at bigint := CAST(extract(epoch FROM clock_timestamp()) AS bigint);
BEGIN
    IF NEW.status IN ('expired', 'lapsed') THEN
        at := least(OLD.expires, at);
    END IF;
    NEW.stages := (OLD.stages::jsonb || jsonb_build_array(jsonb_build_object('status', NEW.status, 'at', at)))::text;
    RETURN NEW;
END $$;

CREATE TRIGGER staged BEFORE UPDATE OF status ON request FOR EACH ROW WHEN (NEW.status <> OLD.status)
EXECUTE FUNCTION durward_staged();
