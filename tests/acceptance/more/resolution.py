"""Secrets and changes behind names, stars, rows and types that a gateway could read otherwise than the server does: the nearer
column that is none, the star of another length, the type that picks another function. Each with its honest neighbour."""

from __future__ import annotations

from dataclasses import replace

from suite.model import Case, Ctx, leak, oracle, same

from .definitions import amid, changing
from .leak_oracle import email
from .leak_values import C, K


def since(major: int, case: Case) -> Case:
    """Where the server's grammar has it."""
    def run(ctx: Ctx) -> str | None:
        return None if ctx.admin.db.info.server_version < major * 10_000 else case.run(ctx)
    return replace(case, run=run)


def shown(name: str, inner: str, column: str = "email", table: str = C) -> str:
    """A sub-query that speaks of a name which its own FROM may have or not, and an outer query that has a secret of that name."""
    return f'SELECT ({inner}) FROM (SELECT {column} AS "{name}" FROM {table}) c'


def register(columns: int) -> str:
    """A recursion that hands a value on, from column to column."""
    names = [f"r{n}" for n in range(columns)]
    empty, before, last = ", ".join(["'x'"] * (columns - 1)), ", ".join(names[:-1]), names[-1]
    return (f"WITH RECURSIVE r(q, {', '.join(names)}) AS (SELECT 1, {{}}, {empty} FROM {{}} UNION ALL "
            f"SELECT q + 1, r0, {before} FROM r WHERE q <= {columns}) SELECT q, {last} FROM r WHERE q >= {columns}")


# ---------------------------------------------------------------- names

NEAR = {
    "view-xmin": shown("xmin", "SELECT xmin FROM shop.v_sales_daily LIMIT 1"), "view-ctid": shown("ctid", "SELECT ctid FROM pg_catalog.pg_tables LIMIT 1", "ssn"),
    "join-xmin": shown("xmin", "SELECT xmin FROM shop.products a JOIN shop.products b ON true LIMIT 1"),
    "composite-coalesce": shown("a", "SELECT a FROM coalesce(NULL::shop.products) AS a"), "composite-cast": shown("a", "SELECT a FROM CAST(NULL AS shop.products) AS a", "ssn"),
    "keyword-in-from": shown("?column?", 'SELECT "?column?" FROM current_date'), "coalesce-in-from": shown("?column?", 'SELECT "?column?" FROM coalesce(1, 2)', "ssn"),
    "cast-by-call": shown("concat", "SELECT concat FROM uuid(concat('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'))"),
    "polymorphic-row": shown("a", "SELECT a FROM jsonb_populate_record((SELECT (array_agg(x))[1] FROM (SELECT NULL::shop.addr AS x) y), '{}') AS a LIMIT 1"),
    "star-sub-query": shown("?column?", 'SELECT "?column?" FROM (SELECT (SELECT * FROM (SELECT 1 AS x) y)) n'), "named-star": shown("y", "SELECT y FROM (SELECT (SELECT y.* FROM (SELECT 1 AS x) y)) n"),
    "cast-of-sub-query": shown("int4", "SELECT int4 FROM (SELECT (SELECT 1)::int) n"), "case-of-sub-query": shown("case", 'SELECT "case" FROM (SELECT CASE WHEN true THEN 1 ELSE (SELECT 1) END) n'),
    "converse": f"SELECT (SELECT x FROM (SELECT (SELECT * FROM (SELECT email AS x FROM {C} LIMIT 1 OFFSET 16) y)) n) FROM (SELECT 'a' AS x) c",
    "json-table": shown("a", "SELECT a FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$')) AS t(b)"),
}
NEAR_CLEAR = (
    "SELECT count(*) FROM (SELECT (SELECT xmin FROM shop.products LIMIT 1) FROM (SELECT name AS xmin FROM shop.products) c) d", "SELECT current_date = current_date FROM current_date", "SELECT coalesce FROM coalesce(1, 2)",
    "SELECT uuid FROM uuid(concat('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'))", "SELECT x FROM (SELECT (SELECT * FROM (SELECT 1 AS x) y)) n", 'SELECT "?column?" FROM (SELECT (SELECT 1)::int) n',
    "SELECT a FROM jsonb_populate_record((SELECT (array_agg(x))[1] FROM (SELECT NULL::shop.addr AS x) y), '{}') AS a", "SELECT a.town FROM jsonb_populate_record(NULL::shop.addr, '{\"town\": \"x\"}') AS a",
)
JOINED = {
    "on": f"SELECT sum(n) FROM (SELECT (SELECT count(*) FROM (SELECT 1 AS e) z, (SELECT 1) a JOIN (SELECT 1) b ON e = '{{g}}') AS n FROM (SELECT email AS e FROM {C}) c) d",
    "on-qualified": f"SELECT sum(n) FROM (SELECT (SELECT count(*) FROM (SELECT 1 AS e) z, (SELECT 1) a JOIN (SELECT 1) b ON z.e = '{{g}}') AS n FROM (SELECT email AS e FROM {C}) z) d",
    "system-column": f"SELECT count(*) FROM (SELECT email AS cmin FROM {C}) c, LATERAL (SELECT cmin FROM shop.v_sales_daily LIMIT 1) z WHERE z.cmin = '{{g}}'",
    "recursion": register(13).format("email", C).replace("SELECT q, r12", "SELECT count(*)") + " AND r12 = '{g}'",
    "union": f"SELECT count(*) FROM (SELECT f AS r FROM json_populate_record(null::{C}, '{{}}') f UNION ALL SELECT c FROM {C} c) q WHERE (q.r).email = '{{g}}'",
}


# ---------------------------------------------------------------- rows and stars

ROWS = {
    "union-of-rows": f"SELECT (q.r).email FROM (SELECT f AS r FROM json_populate_record(null::{C}, '{{}}') f UNION ALL SELECT c FROM {C} c) q",
    "union-of-records": f"SELECT (r).b FROM (SELECT x AS r FROM (SELECT 1 AS a, 'b' AS b) x UNION ALL SELECT y FROM (SELECT id AS a, email AS b FROM {C}) y) q",
    "union-star": f"SELECT (q.r).* FROM (SELECT f AS r FROM json_populate_record(null::{K}, '{{}}') f UNION ALL SELECT c FROM {K} c) q",
    "alias-names": f"SELECT (q.r).email FROM (SELECT c AS r FROM {C} AS c(id, email, name)) q", "alias-sub-query": f"SELECT ((SELECT c)).email FROM {C} AS c(id, email, name)",
    "alias-secret": f"SELECT (q.r).api_key FROM (SELECT c AS r FROM {K} AS c(id, api_key, service)) q",
    "recursion": register(13).format("email", C), "recursion-long": register(40).format("email", C),
}
ROWS_CLEAR = (
    "SELECT (q.r).name FROM (SELECT f AS r FROM json_populate_record(null::shop.products, '{}') f UNION ALL SELECT c FROM shop.products c) q ORDER BY 1", "SELECT (q.r).name FROM (SELECT c AS r FROM shop.products AS c(a, b, d)) q ORDER BY 1 LIMIT 2",
    "SELECT (c).d FROM shop.products AS c(a, b, d) ORDER BY 1 LIMIT 2", register(13).format("name", "shop.products") + " ORDER BY 2 LIMIT 3",
)
LONGER = {
    "search": f"WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM r WHERE a < 1) SEARCH BREADTH FIRST BY a SET seq SELECT (SELECT s.e) FROM (SELECT r.*, c.email FROM r, {C} c) s(a1, e)",
    "cycle": f"WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM r WHERE a < 1) CYCLE a SET cyc USING path SELECT (SELECT e) FROM (SELECT r.*, c.email, 1 FROM r, {C} c) s(a1, e)",
}
LONGER_CLEAR = (
    "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM r WHERE a < 3) SEARCH BREADTH FIRST BY a SET seq SELECT * FROM r",
    "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM r WHERE a < 1) CYCLE a SET cyc USING path SELECT e FROM (SELECT r.*, p.name FROM r, shop.products p) s(a1, e) ORDER BY 1 LIMIT 2",
)


# ---------------------------------------------------------------- functions that are picked by types, or that give rows

TOUCHES = "LANGUAGE plpgsql AS $f$ BEGIN UPDATE shop.products SET price = price + 1 WHERE id OPERATOR(pg_catalog.=) 1; RETURN (SELECT email FROM shop.customers WHERE id OPERATOR(pg_catalog.=) 17); END $f$"
FINE = "LANGUAGE sql AS $f$ SELECT 'ok'::pg_catalog.text $f$"
BOTH = {"varchar": "text", "bpchar": "text", "name": "text", "numeric": "int", "boolean": "xml"}
PICKED_MADE = "CREATE SCHEMA hid_ov; CREATE TYPE hid_ov.one AS (a int); " + "; ".join([
    *(f"CREATE FUNCTION hid_ov.f_{t}({t}) RETURNS text {TOUCHES}; CREATE FUNCTION hid_ov.f_{t}({other}) RETURNS text {FINE}" for t, other in BOTH.items()),
    f"CREATE FUNCTION hid_ov.h(hid_ov.one) RETURNS text {TOUCHES}", f"CREATE FUNCTION hid_ov.h(int) RETURNS text {FINE}", f"CREATE FUNCTION hid_ov.unnest(int[], VARIADIC int[]) RETURNS text {TOUCHES}",
    f"CREATE FUNCTION hid_ov.eq(int, int) RETURNS boolean {TOUCHES.replace('(SELECT email', '(SELECT email IS NULL')}", "CREATE OPERATOR hid_ov.= (LEFTARG = int, RIGHTARG = int, FUNCTION = hid_ov.eq)",
    "CREATE OPERATOR hid_ov.< (LEFTARG = int, RIGHTARG = int, FUNCTION = hid_ov.eq)", "CREATE FUNCTION hid_ov.arow(OUT r shop.addr) LANGUAGE sql AS $f$ SELECT ROW('a', 'b', 'c')::shop.addr $f$",
    "CREATE FUNCTION hid_ov.trow() RETURNS TABLE(r shop.addr) LANGUAGE sql AS $f$ SELECT ROW('a', 'b', 'c')::shop.addr $f$",
    "CREATE FUNCTION hid_ov.whole(c int) RETURNS text LANGUAGE sql AS $f$ SELECT to_json(c)::text FROM shop.customers c WHERE id = 17 $f$", "CREATE FUNCTION hid_ov.whole_clear(p int) RETURNS text LANGUAGE sql AS $f$ SELECT to_json(p)::text FROM shop.products p WHERE id = 1 $f$",
])
PICKED_GONE = "DROP SCHEMA IF EXISTS hid_ov CASCADE"
PICKED = (
    "SELECT hid_ov.f_varchar(CASE WHEN true THEN 'a'::bpchar ELSE 'b'::varchar END)", "SELECT hid_ov.f_bpchar(x) FROM (SELECT 'a'::bpchar AS x UNION ALL SELECT 'b'::varchar) y LIMIT 1", "SELECT hid_ov.f_name(coalesce('a'::name, 'b'::varchar))",
    "SELECT hid_ov.f_numeric(nullif(1, 2.5))", "SELECT hid_ov.f_numeric(lag(1, 1, 2.5) OVER ())", "SELECT hid_ov.f_numeric((array_append(ARRAY[1], 2.5))[1])", "SELECT hid_ov.f_boolean(xmlparse(content 'a') IS DOCUMENT)",
    "SELECT hid_ov.h(x) FROM (SELECT 1) x", "SET search_path = hid_ov, pg_catalog", "SELECT count(*) FROM unnest(ARRAY[1], VARIADIC ARRAY[2])", "SELECT (SELECT x FROM unnest(ARRAY[1], VARIADIC ARRAY[2]) x(x))",
    "SELECT ROW(1) = ROW(2)", "SELECT ROW(1) < ROW(2)", "SELECT ROW(1) IS DISTINCT FROM ROW(2)", "SELECT ROW(1) NOT IN (ROW(2))", "SELECT 1 = 2",
)
GIVEN = (
    shown("r", "SELECT r FROM hid_ov.arow() LIMIT 1"), shown("r", "SELECT r FROM hid_ov.trow() LIMIT 1"), f"SELECT (SELECT s.d) FROM (SELECT t.*, c.email, 1, 'x' FROM hid_ov.trow() t, {C} c) s(a, b, c, d, e)", "SELECT hid_ov.whole(1)",
)
PICKED_CLEAR = (
    "SELECT hid_ov.f_numeric(1), hid_ov.f_varchar('a'::text), hid_ov.h(1)", "SELECT street FROM hid_ov.arow()", "SELECT t.town FROM hid_ov.trow() t", "SELECT (hid_ov.arow()).town", "SELECT hid_ov.whole_clear(1)",
    "SELECT * FROM unnest(ARRAY[1], ARRAY[2])", "SELECT ROW(1, 2) = ROW(2, 3), ROW(1) < ROW(2)",
)


# ---------------------------------------------------------------- words of definitions, and words that wait for the end

QUOTES = (
    "CREATE UNIQUE INDEX hid_i ON shop.hid_twice (email)", "ALTER TABLE shop.hid_twice ADD UNIQUE (email)", "ALTER TABLE shop.hid_twice ADD EXCLUDE USING btree (email WITH =)", "ALTER TABLE shop.hid_twice ADD FOREIGN KEY (email) REFERENCES shop.hid_none (email)",
    "ALTER TABLE shop.hid_twice VALIDATE CONSTRAINT hid_waits", "ALTER TABLE shop.hid_twice ALTER COLUMN email TYPE regclass USING email::regclass",
)
TWICE = f"""CREATE TABLE shop.hid_twice (id integer) INHERITS ({C}); INSERT INTO shop.hid_twice SELECT * FROM ONLY {C} WHERE id = 17; INSERT INTO shop.hid_twice SELECT * FROM ONLY {C} WHERE id = 17;
    CREATE TABLE shop.hid_none (email text UNIQUE); ALTER TABLE shop.hid_twice ADD CONSTRAINT hid_waits FOREIGN KEY (email) REFERENCES shop.hid_none (email) NOT VALID"""
NOT_TWICE = "DROP TABLE IF EXISTS shop.hid_twice, shop.hid_none CASCADE"
DEFERRED = f"""CREATE TABLE shop.hid_kin () INHERITS ({C}); ALTER TABLE shop.hid_kin ADD PRIMARY KEY (id), ADD UNIQUE (email); INSERT INTO shop.hid_kin SELECT * FROM ONLY {C} WHERE id = 17;
    CREATE TABLE shop.hid_kid (email text REFERENCES shop.hid_kin (email) DEFERRABLE INITIALLY DEFERRED); INSERT INTO shop.hid_kid SELECT email FROM shop.hid_kin"""
NOT_DEFERRED = "DROP TABLE IF EXISTS shop.hid_kid, shop.hid_kin CASCADE"
AT_THE_END = (
    "BEGIN", "DELETE FROM shop.hid_kin", "COMMIT", "BEGIN", "DELETE FROM shop.hid_kin", "SET CONSTRAINTS ALL IMMEDIATE", "ROLLBACK", "BEGIN; DELETE FROM shop.hid_kin; COMMIT", "DELETE FROM shop.hid_kin",
    "BEGIN", "DELETE FROM shop.hid_kin", "PREPARE TRANSACTION 'hid_kin'", "ROLLBACK",
)


CASES: list[Case] = [
    *(since(17 if n == "json-table" else 13, leak(f"more.resolution.name.{n}", q)) for n, q in NEAR.items()),
    *(oracle(f"more.resolution.told.{n}", email, q) for n, q in JOINED.items()),
    same("more.resolution.name.clear", *NEAR_CLEAR),
    since(17, same("more.resolution.name.json-table", "SELECT b FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$')) AS t(b)", "SELECT a FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$')) AS t")),
    *(leak(f"more.resolution.row.{n}", q, how=how) for n, q in ROWS.items() for how in ("simple",)),
    same("more.resolution.row.clear", *ROWS_CLEAR),
    *(since(14, leak(f"more.resolution.star.{n}", q)) for n, q in LONGER.items()),
    since(14, same("more.resolution.star.clear", *LONGER_CLEAR)),
    changing("more.resolution.picked", PICKED_MADE, PICKED_GONE, *PICKED),
    amid(leak("more.resolution.picked", *PICKED, *GIVEN), PICKED_MADE, PICKED_GONE),
    amid(same("more.resolution.picked.clear", *PICKED_CLEAR), PICKED_MADE, PICKED_GONE),
    amid(leak("more.resolution.words.definitions", *QUOTES), TWICE, NOT_TWICE),
    amid(leak("more.resolution.words.at-the-end", *AT_THE_END), DEFERRED, NOT_DEFERRED),
]
