-- What calls functions without a statement's naming them. kept.put() writes to a table that nobody may write to.
CREATE SCHEMA kept;
CREATE SCHEMA mine;
CREATE TABLE kept.ledger (what text);
CREATE FUNCTION kept.put() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO kept.ledger VALUES ('written'); END $$;
CREATE FUNCTION mine.number(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM kept.put(); RETURN n; END $$;
CREATE FUNCTION mine.holds(n integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM kept.put(); RETURN true; END $$;
CREATE FUNCTION mine.marks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM kept.put(); RETURN coalesce(NEW, OLD); END $$;
CREATE TABLE mine.plain (id integer PRIMARY KEY, name text, at date);
INSERT INTO mine.plain SELECT n, 'n' || n, date '2024-01-01' + n FROM generate_series(1, 20) n;

-- A type whose order and hash are somebody's own.
CREATE TYPE mine.pair AS (a integer, b integer);
CREATE FUNCTION mine.lt(mine.pair, mine.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT ($1).a < ($2).a $$;
CREATE FUNCTION mine.le(mine.pair, mine.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT ($1).a <= ($2).a $$;
CREATE FUNCTION mine.eq(mine.pair, mine.pair) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM kept.put(); RETURN ($1).a = ($2).a; END $$;
CREATE FUNCTION mine.ge(mine.pair, mine.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT ($1).a >= ($2).a $$;
CREATE FUNCTION mine.gt(mine.pair, mine.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT ($1).a > ($2).a $$;
CREATE FUNCTION mine.cmp(mine.pair, mine.pair) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM kept.put(); RETURN ($1).a - ($2).a; END $$;
CREATE FUNCTION mine.hash(mine.pair) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM kept.put(); RETURN ($1).a; END $$;
CREATE OPERATOR mine.< (LEFTARG = mine.pair, RIGHTARG = mine.pair, FUNCTION = mine.lt, COMMUTATOR = OPERATOR(mine.>));
CREATE OPERATOR mine.<= (LEFTARG = mine.pair, RIGHTARG = mine.pair, FUNCTION = mine.le, COMMUTATOR = OPERATOR(mine.>=));
CREATE OPERATOR mine.= (LEFTARG = mine.pair, RIGHTARG = mine.pair, FUNCTION = mine.eq, COMMUTATOR = OPERATOR(mine.=), HASHES, MERGES);
CREATE OPERATOR mine.>= (LEFTARG = mine.pair, RIGHTARG = mine.pair, FUNCTION = mine.ge);
CREATE OPERATOR mine.> (LEFTARG = mine.pair, RIGHTARG = mine.pair, FUNCTION = mine.gt);
CREATE OPERATOR CLASS mine.pair_order DEFAULT FOR TYPE mine.pair USING btree AS
    OPERATOR 1 mine.<, OPERATOR 2 mine.<=, OPERATOR 3 mine.=, OPERATOR 4 mine.>=, OPERATOR 5 mine.>, FUNCTION 1 mine.cmp(mine.pair, mine.pair);
CREATE OPERATOR CLASS mine.pair_hash DEFAULT FOR TYPE mine.pair USING hash AS OPERATOR 1 mine.=, FUNCTION 1 mine.hash(mine.pair);
CREATE DOMAIN mine.duo AS mine.pair;
CREATE TABLE mine.pairs (id integer, p mine.pair, d mine.duo);
INSERT INTO mine.pairs SELECT n, ROW(n % 3, n)::mine.pair, ROW(n % 3, n)::mine.pair FROM generate_series(1, 6) n;
CREATE TABLE mine.keyed (p mine.pair PRIMARY KEY, n integer);
INSERT INTO mine.keyed VALUES ('(1,1)', 1), ('(2,2)', 2);
CREATE TABLE mine.listed (p mine.pair, n integer) PARTITION BY LIST (p);
CREATE TABLE mine.listed_one PARTITION OF mine.listed FOR VALUES IN ('(1,1)', '(2,2)');
CREATE TABLE mine.referring (p mine.pair REFERENCES mine.keyed, n integer);

-- A class that no type has by default, for one index.
CREATE FUNCTION mine.cmp_addresses(macaddr, macaddr) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM kept.put(); RETURN CASE WHEN $1 < $2 THEN -1 WHEN $1 > $2 THEN 1 ELSE 0 END; END $$;
CREATE OPERATOR CLASS mine.address_order FOR TYPE macaddr USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 mine.cmp_addresses(macaddr, macaddr);
CREATE TABLE mine.odd (card macaddr);
INSERT INTO mine.odd SELECT ('08:00:2b:01:02:' || n)::macaddr FROM generate_series(10, 60) n;
CREATE INDEX odd_index ON mine.odd (card mine.address_order);

-- Ranges with functions of their own.
CREATE FUNCTION mine.difference(numeric, numeric) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM kept.put(); RETURN $1 - $2; END $$;
CREATE TYPE mine.span AS RANGE (SUBTYPE = numeric, SUBTYPE_DIFF = mine.difference);
CREATE TABLE mine.spans (s mine.span);
INSERT INTO mine.spans SELECT mine.span(n, n + 2) FROM generate_series(1, 400) n;
CREATE TYPE mine.steps;
CREATE FUNCTION mine.canonical(mine.steps) RETURNS mine.steps LANGUAGE internal IMMUTABLE STRICT AS 'int4range_canonical';
CREATE TYPE mine.steps AS RANGE (SUBTYPE = int4, CANONICAL = mine.canonical);
CREATE TABLE mine.walks (s mine.steps);
INSERT INTO mine.walks VALUES ('[1,5)'), ('[2,9)');
CREATE OR REPLACE FUNCTION mine.canonical(mine.steps) RETURNS mine.steps LANGUAGE plpgsql IMMUTABLE STRICT AS $$ BEGIN PERFORM kept.put(); RETURN $1; END $$;
CREATE TYPE mine.floats AS RANGE (SUBTYPE = float8);

-- Casts that nobody writes.
CREATE TYPE mine.said AS (a integer);
CREATE FUNCTION mine.as_text(mine.said) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM kept.put(); RETURN ($1).a; END $$;
CREATE FUNCTION mine.as_boolean(mine.said) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM kept.put(); RETURN true; END $$;
CREATE FUNCTION mine.as_number(mine.said) RETURNS int8 LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM kept.put(); RETURN 1; END $$;
CREATE TYPE mine.mood AS ENUM ('sad', 'glad');
CREATE FUNCTION mine.as_json(mine.mood) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM kept.put(); RETURN '1'; END $$;
CREATE CAST (mine.said AS text) WITH FUNCTION mine.as_text(mine.said) AS IMPLICIT;
CREATE CAST (mine.said AS boolean) WITH FUNCTION mine.as_boolean(mine.said) AS ASSIGNMENT;
CREATE CAST (mine.said AS int8) WITH FUNCTION mine.as_number(mine.said) AS ASSIGNMENT;
CREATE CAST (mine.mood AS json) WITH FUNCTION mine.as_json(mine.mood);
CREATE TABLE mine.moods (id integer, m mine.mood);
INSERT INTO mine.moods VALUES (1, 'sad'), (2, 'glad');
CREATE TABLE mine.words (id integer, w mine.said);
INSERT INTO mine.words VALUES (1, ROW(1)), (2, ROW(2));

-- What hangs on tables.
CREATE DOMAIN mine.checked AS integer CHECK (mine.holds(VALUE));
CREATE DOMAIN mine.loose AS integer;
CREATE TABLE mine.loosely (n mine.loose);
INSERT INTO mine.loosely VALUES (1);
CREATE TABLE mine.held (n integer CHECK (mine.holds(n)), m integer GENERATED ALWAYS AS (n + 1) STORED);
CREATE TABLE mine.made (n integer, m integer GENERATED ALWAYS AS (mine.number(n)) STORED);
CREATE TABLE mine.given (n integer DEFAULT mine.number(1), k integer);
CREATE TABLE mine.indexed (n integer);
CREATE INDEX indexed_index ON mine.indexed (mine.number(n)) WHERE mine.holds(n);
INSERT INTO mine.indexed VALUES (1), (2), (3);
CREATE TABLE mine.counted (n integer, m integer);
INSERT INTO mine.counted SELECT n, n FROM generate_series(1, 20) n;
CREATE TABLE mine.moving (id integer, n integer) PARTITION BY LIST (n);
CREATE TABLE mine.moving_one PARTITION OF mine.moving FOR VALUES IN (1);
CREATE TABLE mine.moving_two PARTITION OF mine.moving FOR VALUES IN (2);
CREATE TRIGGER gone BEFORE DELETE ON mine.moving_one FOR EACH ROW EXECUTE FUNCTION mine.marks();
CREATE TRIGGER came BEFORE INSERT ON mine.moving_two FOR EACH ROW EXECUTE FUNCTION mine.marks();
ALTER TABLE mine.moving_one DISABLE TRIGGER gone;
INSERT INTO mine.moving VALUES (1, 1);
ALTER TABLE mine.moving_one ENABLE TRIGGER gone;
CREATE TABLE mine.top (id integer PRIMARY KEY);
CREATE TABLE mine.below (id integer REFERENCES mine.top ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO mine.top VALUES (1), (2);
INSERT INTO mine.below VALUES (1);
CREATE TRIGGER marks BEFORE DELETE OR UPDATE ON mine.below FOR EACH ROW EXECUTE FUNCTION mine.marks();
CREATE VIEW mine.filtered AS SELECT id, name FROM mine.plain WHERE mine.number(id) > 0 WITH CHECK OPTION;
CREATE MATERIALIZED VIEW mine.stored AS SELECT mine.number(1) AS n WITH NO DATA;
CREATE TABLE mine.target (id integer, t text);
CREATE TABLE mine.parted (n integer) PARTITION BY LIST (n);
CREATE TABLE mine.counted_two (n integer);
CREATE TABLE mine.sorted (n integer) PARTITION BY RANGE ((mine.number(n)));
CREATE TABLE mine.sorted_one PARTITION OF mine.sorted FOR VALUES FROM (1) TO (100);

-- A function whose schema says that it is the server's.
CREATE FUNCTION pg_catalog.lower(mine.pair) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM kept.put(); RETURN 'x'; END $$;
CREATE FUNCTION mine.both(integer, integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM kept.put(); RETURN 1; END $$;
CREATE OPERATOR pg_catalog.<<<>>> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = mine.both);
TRUNCATE kept.ledger;
