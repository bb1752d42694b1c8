-- One of everything that a catalogue has to show. What needs a newer version is added by the test.
CREATE SCHEMA shop;
CREATE SCHEMA "Odd "" schema";
CREATE TYPE shop.colour AS ENUM ('red', 'green');
CREATE TYPE shop.place AS (street text, town text);
CREATE FUNCTION shop.fine(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN true; END $$;
CREATE FUNCTION shop.fresh() RETURNS text LANGUAGE sql AS $$ SELECT 'new' $$;
CREATE DOMAIN shop.mail AS text DEFAULT shop.fresh() CHECK (shop.fine(VALUE));

CREATE TABLE shop.people (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dropped integer,
    email shop.mail UNIQUE,
    name varchar(40) NOT NULL DEFAULT 'nobody',
    shout text GENERATED ALWAYS AS (pg_catalog.upper(name)) STORED,
    lives shop.place,
    points integer CHECK (points >= 0)
);
ALTER TABLE shop.people DROP COLUMN dropped;
CREATE TABLE shop.staff (salary numeric) INHERITS (shop.people);
CREATE TABLE shop.visits (id integer, person integer REFERENCES shop.people ON DELETE CASCADE ON UPDATE SET NULL, seen date)
    PARTITION BY RANGE ((seen + 0));
CREATE TABLE shop.visits_old PARTITION OF shop.visits FOR VALUES FROM (MINVALUE) TO ('2025-01-01') PARTITION BY LIST (id);
CREATE TABLE shop.visits_one PARTITION OF shop.visits_old FOR VALUES IN (1);
CREATE INDEX people_lower ON shop.people (lower(name), id) WHERE points > 3;
CREATE SEQUENCE shop.numbers;

CREATE VIEW shop.mails AS SELECT p.email AS mail, shop.fine(p.name) AS fine FROM shop.people AS p;
CREATE VIEW "Odd "" schema"."odd; view" AS SELECT mail AS "a ""b" FROM shop.mails;
CREATE MATERIALIZED VIEW shop.kept AS SELECT name FROM shop.people WITH NO DATA;
CREATE VIEW shop.closed AS SELECT id, name FROM shop.people;
CREATE RULE closed_insert AS ON INSERT TO shop.closed DO INSTEAD NOTHING;
CREATE RULE closed_off AS ON DELETE TO shop.closed DO INSTEAD NOTHING;

CREATE FUNCTION shop.stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER "odd "" WHEN (" BEFORE INSERT OR UPDATE ON shop.people FOR EACH ROW
    WHEN (NEW.name <> ') EXECUTE FUNCTION "' AND shop.fine(NEW.name)) EXECUTE FUNCTION shop.stamp(' WHEN (x)');
CREATE TRIGGER off BEFORE DELETE ON shop.people FOR EACH ROW EXECUTE FUNCTION shop.stamp();
ALTER TABLE shop.people DISABLE TRIGGER off;
CREATE TRIGGER replicas BEFORE DELETE ON shop.people FOR EACH ROW EXECUTE FUNCTION shop.stamp();
ALTER TABLE shop.people ENABLE REPLICA TRIGGER replicas;
CREATE TRIGGER seen AFTER INSERT ON shop.visits FOR EACH ROW EXECUTE FUNCTION shop.stamp();
CREATE TRIGGER emptied AFTER TRUNCATE ON shop.people FOR EACH STATEMENT EXECUTE FUNCTION shop.stamp();

ALTER TABLE shop.staff ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON shop.staff USING (shop.fine(name)) WITH CHECK (salary > 0);
CREATE POLICY idle ON shop.people USING (shop.fine(name));

CREATE FUNCTION shop.many(a integer, INOUT b text DEFAULT shop.fresh(), OUT integer, VARIADIC rest integer[] DEFAULT '{}')
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = shop, pg_temp SET work_mem = '1MB' AS $$ BEGIN END $$;
CREATE FUNCTION shop.listed() RETURNS TABLE (x integer, y text) LANGUAGE sql AS $$ SELECT 1, 'a' $$;
CREATE PROCEDURE shop.done(a integer) LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION shop.step(integer, integer) RETURNS integer LANGUAGE sql AS $$ SELECT $1 + $2 $$;
CREATE AGGREGATE shop.total(integer) (SFUNC = shop.step, STYPE = integer, INITCOND = '0');
CREATE FUNCTION shop.less(shop.place, shop.place) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
CREATE FUNCTION shop.more(shop.place, shop.place) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
CREATE OPERATOR shop.<<< (LEFTARG = shop.place, RIGHTARG = shop.place, FUNCTION = shop.less, COMMUTATOR = OPERATOR(shop.>>>));
CREATE OPERATOR shop.>>> (LEFTARG = shop.place, RIGHTARG = shop.place, FUNCTION = shop.more, COMMUTATOR = OPERATOR(shop.<<<));
CREATE FUNCTION shop.shown(shop.place) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
CREATE CAST (shop.place AS text) WITH FUNCTION shop.shown(shop.place) AS IMPLICIT;
CREATE FUNCTION shop.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE EVENT TRIGGER watching ON ddl_command_end EXECUTE FUNCTION shop.watch();
CREATE EVENT TRIGGER asleep ON sql_drop EXECUTE FUNCTION shop.watch();
ALTER EVENT TRIGGER asleep DISABLE;

-- A user's own operators and functions, where an unqualified name would find them.
CREATE FUNCTION public.lies(oid, oid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'called'; END $$;
CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = public.lies);
CREATE FUNCTION public.pg_get_viewdef(oid) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'called'; END $$;
CREATE ROLE nobody LOGIN;
