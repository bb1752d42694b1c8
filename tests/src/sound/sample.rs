//! What every random schema has: names that shadow, and what the server calls by itself.

use super::observe::RAN;

/// Types of columns, with a value of each.
pub(super) const TYPES: &[(&str, &str)] = &[
    ("int", "7"),
    ("text", "'word'"),
    ("numeric", "1.5"),
    ("boolean", "true"),
    ("date", "'2024-01-02'::date"),
    ("jsonb", "'{\"k\": 1}'::jsonb"),
    ("int[]", "'{1,2}'::int[]"),
    ("g0.positive", "3::g0.positive"),
    ("g0.pair", "ROW(1, 'x')::g0.pair"),
    ("g0.mood", "'good'::g0.mood"),
];

/// What every schema has beside its tables: names that shadow, and objects whose use is no call by name.
pub(super) const OBJECTS: &str = "
DROP EVENT TRIGGER IF EXISTS g_defined;
DROP SCHEMA IF EXISTS g0, g1, g2 CASCADE;
CREATE SCHEMA g0; CREATE SCHEMA g1; CREATE SCHEMA g2;
CREATE TYPE g0.mood AS ENUM ('good', 'bad');
CREATE TYPE g0.pair AS (a int, b text);
CREATE FUNCTION g0.is_positive(int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN $1 > 0; END';
CREATE DOMAIN g0.positive AS int CHECK (g0.is_positive(VALUE));
CREATE FUNCTION g1.upper(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION g1.f(int) RETURNS int LANGUAGE sql AS 'SELECT $1 OPERATOR(pg_catalog.+) 1';
CREATE FUNCTION g1.f(text) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION g2.f(int, int DEFAULT 2) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $2; END';
CREATE FUNCTION g2.pairs(int) RETURNS SETOF g0.pair LANGUAGE plpgsql AS 'BEGIN RETURN NEXT ROW($1, 1)::g0.pair; END';
CREATE FUNCTION g2.outs(int, OUT p int, OUT q text) LANGUAGE plpgsql AS 'BEGIN p := $1; END';
CREATE FUNCTION g2.many(VARIADIC int[]) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION g2.joined(text, int) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE AGGREGATE g1.last_of(int) (SFUNC = g2.f, STYPE = int);
CREATE FUNCTION g1.same(int, int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE OPERATOR g1.= (LEFTARG = int, RIGHTARG = int, FUNCTION = g1.same);
CREATE OPERATOR g1.<-> (LEFTARG = int, RIGHTARG = int, FUNCTION = g1.same);
CREATE OPERATOR g2.+ (LEFTARG = text, RIGHTARG = int, FUNCTION = g2.joined);
CREATE FUNCTION g2.negated(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE OPERATOR g2.@ (RIGHTARG = text, FUNCTION = g2.negated);
CREATE FUNCTION g0.first_of(g0.pair) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN ($1).a; END';
CREATE CAST (g0.pair AS int) WITH FUNCTION g0.first_of(g0.pair) AS IMPLICIT;
CREATE FUNCTION g0.shown(g0.pair) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN ($1).b; END';
CREATE CAST (g0.pair AS text) WITH FUNCTION g0.shown(g0.pair) AS ASSIGNMENT;
CREATE FUNCTION g0.mood_number(g0.mood) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE CAST (g0.mood AS int) WITH FUNCTION g0.mood_number(g0.mood) AS ASSIGNMENT;
CREATE FUNCTION g0.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN coalesce(NEW, OLD); END';
CREATE FUNCTION g0.fine(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END';
CREATE FUNCTION g0.twice(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 * 2; END';
CREATE FUNCTION g0.given() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 4; END';
CREATE TABLE g0.log (what int DEFAULT g0.given(), at timestamptz DEFAULT now());
CREATE FUNCTION g0.logs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO g0.log DEFAULT VALUES; RETURN coalesce(NEW, OLD); END';
CREATE FUNCTION g0.counted() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM g0.log); END';
CREATE FUNCTION g0.same_pair(g0.pair, g0.pair) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN ($1).a = ($2).a; END';
CREATE FUNCTION g0.pair_order(g0.pair, g0.pair) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN ($1).a - ($2).a; END';
CREATE OPERATOR g0.=== (LEFTARG = g0.pair, RIGHTARG = g0.pair, FUNCTION = g0.same_pair);
CREATE OPERATOR CLASS g0.pair_class DEFAULT FOR TYPE g0.pair USING btree AS OPERATOR 3 g0.===, FUNCTION 1 g0.pair_order(g0.pair, g0.pair);
CREATE PROCEDURE g0.does(int) LANGUAGE plpgsql AS 'BEGIN UPDATE g0.log SET what = $1; END';
CREATE FUNCTION g0.defined() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE TABLE g0.parts (c0 int, k int) PARTITION BY LIST (k);
CREATE TABLE g0.parts_1 PARTITION OF g0.parts FOR VALUES IN (1);
CREATE TABLE g0.parts_2 PARTITION OF g0.parts FOR VALUES IN (2);
CREATE TRIGGER out_of BEFORE DELETE ON g0.parts_1 FOR EACH ROW EXECUTE FUNCTION g0.note();
CREATE TRIGGER into_it AFTER INSERT ON g0.parts_2 FOR EACH ROW EXECUTE FUNCTION g0.logs();
INSERT INTO g0.parts VALUES (1, 1), (2, 2);
CREATE MATERIALIZED VIEW g1.stored AS SELECT g0.twice(c0) AS w0 FROM g0.parts;
";

/// Not all versions have statistics of expressions.
pub(super) const STATISTICS: &str = "CREATE STATISTICS g0.kept ON (g0.twice(c0)) FROM g0.parts_1";

/// What ends what `OBJECTS` makes; event triggers see every definition that follows.
pub(super) const LAST: &str = "
DO 'BEGIN CREATE ROLE g_plain; EXCEPTION WHEN duplicate_object THEN NULL; END';
GRANT ALL ON SCHEMA g0, g1, g2 TO g_plain;
GRANT ALL ON ALL TABLES IN SCHEMA g0, g1, g2 TO g_plain;
CREATE EVENT TRIGGER g_defined ON ddl_command_end EXECUTE FUNCTION g0.defined();
";

/// Every function of PL/pgSQL says that it runs.
pub(super) fn speaking(objects: &str) -> String {
    let speaks = |line: &str| {
        let name =
            line.split_once("FUNCTION ").or(line.split_once("PROCEDURE ")).map(|(_, n)| n.split('(').next());
        match name.flatten().filter(|_| line.contains("plpgsql")) {
            Some(name) => line.replacen("'BEGIN ", &format!("'BEGIN RAISE NOTICE ''{RAN}{name}''; "), 1),
            None => line.to_owned(),
        }
    };
    objects.lines().map(speaks).collect::<Vec<_>>().join("\n")
}

pub(super) const PATHS: &[&str] =
    &["g0, public", "g1, g0", "g1, pg_catalog, g0", "g0, g2", "pg_catalog, g2, g1", "g2, g1, pg_catalog", ""];
