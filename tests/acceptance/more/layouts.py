"""How rows are laid out, which can tell of what they hold: COPY's NULL, delimiters and quotes that are chosen, rows that functions
make, texts that functions run, and what pools send between two uses of a connection. Each with its honest neighbour."""

from __future__ import annotations

from suite.model import Case, Guess, found, leak, oracle, same, write
from suite.seed import Seed

from .leak_oracle import birthday, email, in_order, pay, ssn
from .leak_values import C, K, S, WHO
from .resolution import since

P, O = "shop.products", "shop.orders"


def digit(s: Seed) -> Guess:
    """A digit that the number has, and two that it has not."""
    mine = s.customer(WHO)["ssn"][4:]
    return Guess(next(d for d in "123456789" if d in mine), tuple(d for d in "123456789" if d not in mine)[:2])


# ---------------------------------------------------------------- COPY

NULLS = {
    "query": (ssn, f"COPY (SELECT ssn FROM {C}) TO STDOUT (NULL '{{g}}')"), "table": (ssn, f"COPY {C} (id, ssn) TO STDOUT WITH NULL AS '{{g}}'"), "old": (email, f"COPY {C} (email) TO STDOUT NULL '{{g}}'"),
    "numeric": (pay, f"COPY {S} (id, salary) TO STDOUT (NULL '{{g}}')"), "date": (birthday, f"COPY {C} (date_of_birth) TO STDOUT (FORMAT text, NULL '{{g}}', DELIMITER '|')"),
    "csv": (ssn, f"COPY (SELECT id, ssn FROM {C}) TO STDOUT (FORMAT csv, NULL '{{g}}')"), "csv-header": (ssn, f"COPY (SELECT ssn FROM {C}) TO STDOUT (FORMAT csv, HEADER, NULL '{{g}}')"),
    "csv-delimiter": (digit, f"COPY (SELECT id, ssn FROM {C} WHERE id = {WHO}) TO STDOUT (FORMAT csv, DELIMITER '{{g}}')"), "csv-quote": (digit, f"COPY (SELECT id, ssn FROM {C} WHERE id = {WHO}) TO STDOUT (FORMAT csv, QUOTE '{{g}}')"),
    "joined": (ssn, f"COPY (SELECT p.id, c.ssn FROM {P} p LEFT JOIN {C} c ON c.id = p.id ORDER BY p.id) TO STDOUT (NULL '{{g}}')"),
}
COPIED = (
    f"COPY (SELECT id, name, weight_g FROM {P} ORDER BY id) TO STDOUT (NULL '-', DELIMITER '|')", f"COPY (SELECT id, weight_g FROM {P} ORDER BY id) TO STDOUT (FORMAT csv, NULL 'none')",
    f"COPY {P} (id, weight_g) TO STDOUT NULL ''", "COPY (VALUES ('x', NULL), ('y', 'x')) TO STDOUT (NULL 'x')", f"COPY (SELECT NULL, id FROM {C}) TO STDOUT (NULL '')",
)

# ---------------------------------------------------------------- rows that functions make

MADE = (
    f"SELECT id, (jsonb_each(attributes)).* FROM {P} WHERE id < 5", f"SELECT (jsonb_each_text(attributes)).value FROM {P} WHERE id = 1", "SELECT (each('a=>1, b=>2'::hstore)).*", "SELECT (json_each('{\"a\": [1]}')).*",
    "SELECT (aclexplode(relacl)).* FROM pg_class WHERE relacl IS NOT NULL", "SELECT relname, (aclexplode(coalesce(relacl, acldefault('r', relowner)))).privilege_type FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r'",
    "SELECT (x).grantee, (x).* FROM (SELECT aclexplode(relacl) AS x FROM pg_class WHERE relname = 'pg_class') t", "SELECT (pg_identify_object('pg_class'::regclass, 'shop.orders'::regclass, 0)).*", "SELECT (ts_parse('default', 'a b')).*",
    "SELECT (pg_options_to_table(ARRAY['a=1'])).*", "SELECT (information_schema._pg_expandarray(ARRAY[5, 6])).*", "SELECT conname, (information_schema._pg_expandarray(conkey)).x FROM pg_constraint WHERE conrelid = 'shop.order_items'::regclass",
    "SELECT (ts_token_type('default')).* LIMIT 3", "SELECT jsonb_each('{\"a\": 1}')", f"SELECT (t.kv).key, count(*) FROM (SELECT jsonb_each(attributes) AS kv FROM {P}) t GROUP BY 1",
)
HELD = {
    "each": f"SELECT (each(hstore(c))).* FROM {C} c", "json": f"SELECT (jsonb_each_text(to_jsonb(c))).* FROM {C} c", "json-field": f"SELECT (json_each_text(row_to_json(c))).value AS v FROM {C} c", "profile": f"SELECT (jsonb_each_text(profile)).* FROM {C}",
    "sub-query": f"SELECT (x).value FROM (SELECT jsonb_each_text(to_jsonb(c)) AS x FROM {C} c) t", "own": "SELECT (shop.card_of(17)).*", "own-field": "SELECT (shop.card_of(17)).pan", "parse": f"SELECT (ts_parse('default', ssn)).* FROM {C}",
    "options": f"SELECT (pg_options_to_table(ARRAY['a=' || ssn])).* FROM {C}", "expanded": f"SELECT (information_schema._pg_expandarray(ARRAY[ssn])).* FROM {C}", "populated": f"SELECT (jsonb_populate_record(c, '{{}}')).ssn FROM {C} c",
    "cast": f"SELECT (jsonb_each(to_jsonb(o.ship_to))).*, ((x).ship_to)::text FROM {O} o, (SELECT o2 AS x FROM {O} o2 LIMIT 1) y LIMIT 1",
}
TOLD = {
    "each": f"SELECT count(*) FROM (SELECT (each(hstore(c))).value AS v FROM {C} c) t WHERE v = '{{g}}'", "json": f"SELECT count(*) FROM (SELECT jsonb_each_text(to_jsonb(c)) AS x FROM {C} c) t WHERE (x).value = '{{g}}'",
    "search": f"WITH RECURSIVE r(id, s) AS (SELECT id, ssn::text FROM {C} UNION ALL SELECT id, s FROM r WHERE false) SEARCH DEPTH FIRST BY s SET o SELECT count(*) FROM r WHERE o < ARRAY[ROW('{{g}}'::text)]",
    "cycle": f"WITH RECURSIVE r(s, n) AS (SELECT '{{g}}'::text, 0 UNION ALL SELECT c.ssn::text, n + 1 FROM r, {C} c WHERE n < 1) CYCLE s SET hit USING p SELECT count(*) FILTER (WHERE hit) FROM r",
    "series": f"SELECT generate_series(1, 3 * strpos(ssn, '{{g}}')) FROM {C}", "table": f"SELECT string_to_table(ssn, '{{g}}') FROM {C}", "keys": f"SELECT jsonb_object_keys(jsonb_build_object(ssn, 1) - '{{g}}') FROM {C}",
}

# ---------------------------------------------------------------- texts that functions run

PIVOT = "SELECT status::text, extract(year FROM placed_at)::text, count(*)::int FROM shop.orders GROUP BY 1, 2 ORDER BY 1, 2"
PIVOTS = (
    f"SELECT * FROM crosstab('{PIVOT}') AS t(status text, a int, b int)", f"SELECT * FROM crosstab('{PIVOT}', 'SELECT ''2024'' UNION ALL SELECT ''2025'' ORDER BY 1') AS t(status text, y2024 int, y2025 int)",
    f"SELECT * FROM crosstab($${PIVOT}$$, $$VALUES ('2024'), ('2025')$$) AS t(status text, y2024 int, y2025 int)", "SELECT row_name, category_1 FROM crosstab2('SELECT name, name, sku::text FROM shop.products ORDER BY 1, 2, 3')",
)
NO_PIVOTS = {
    "value": f"SELECT * FROM crosstab('SELECT id::text, ''a''::text, ssn FROM {C} ORDER BY 1') AS t(id text, v text)", "category": f"SELECT * FROM crosstab('SELECT id::text, ssn::text, ssn FROM {C} ORDER BY 1', 'SELECT DISTINCT ssn::text FROM {C}') AS t(id text, v text)",
    "second": f"SELECT * FROM crosstab('SELECT ''a''::text, ''b''::text, 1', 'SELECT api_key FROM {K}') AS t(id text, v int)", "typed": f"SELECT * FROM crosstab2('SELECT id::text, ''a''::text, email FROM {C} ORDER BY 1')",
    "built": f"SELECT * FROM crosstab('SELECT id::text, ''a''::text, s' || 'sn FROM {C} ORDER BY 1') AS t(id text, v text)", "domain": "SELECT * FROM crosstab('SELECT ''a''::text, ''b''::text, ''c''::text') AS t(a text, v shop.checked_text)",
    "names": f"SELECT * FROM connectby('{S}', 'salary', 'manager_id', '1', 0) AS t(a numeric, b numeric, c int)", "error": f"SELECT * FROM crosstab('SELECT id::text, ''a''::text, ssn FROM {C} ORDER BY 1') AS t(id text, v int)",
}
TOUCHES = (
    "SELECT * FROM crosstab('SELECT ''a''::text, ''b''::text, shop.touch_product(3)') AS t(a text, v int)", "SELECT * FROM crosstab('SELECT ''a''::text, ''b''::text, 1', 'SELECT shop.touch_product(3)::text') AS t(a text, v int)",
    "SELECT * FROM crosstab('DELETE FROM shop.order_items WHERE order_id = 1 RETURNING ''a''::text, ''b''::text, 1') AS t(a text, v int)", "SELECT * FROM crosstab('SELECT ''a''::text, ''b''::text, ''c''::text') AS t(a text, v shop.touching_text)",
    "SELECT * FROM crosstab('SELECT ''a''::text, ''b''::text, 1 INTO shop.hid_t') AS t(a text, v int)",
)

# ---------------------------------------------------------------- rows that are looked up by what they hold

# By an index of the column that the server is asked about: they come in its order.
BY_INDEX = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off"
PRESENT = {
    "where": f"SELECT id FROM {S} WHERE salary IS NOT NULL", "not-null": f"SELECT id FROM {S} WHERE NOT (salary IS NULL)", "and": f"SELECT id FROM {S} WHERE id > 0 AND salary IS NOT NULL", "inner": f"SELECT id FROM (SELECT id, salary IS NOT NULL AS x FROM {S}) s WHERE x", "cte": f"WITH s AS (SELECT id, salary IS NOT NULL AS x FROM {S}) SELECT id FROM s WHERE x",
    "aggregate": f"SELECT unnest(array_agg(id)) FROM {S} WHERE salary IS NOT NULL", "lateral": f"SELECT s.id FROM (VALUES (1)) v(n), LATERAL (SELECT id FROM {S} WHERE salary IS NOT NULL) s", "join": f"SELECT s.id FROM (VALUES (1)) v(n) JOIN {S} s ON s.salary IS NOT NULL", "view": "SELECT id FROM shop.v_people WHERE kind = 'staff' AND code IS NOT NULL",
}
COUNTED = (f"SELECT count(*) FROM {C} WHERE email IS NOT NULL", f"SELECT id, email IS NOT NULL AS has FROM {C} ORDER BY id", f"SELECT EXISTS (SELECT 1 FROM {S} WHERE salary IS NOT NULL)", f"SELECT id FROM {C} WHERE city IS NOT NULL ORDER BY id")


# ---------------------------------------------------------------- between two uses of a connection

POOL = ("SET SESSION AUTHORIZATION DEFAULT", "RESET SESSION AUTHORIZATION", "RESET ROLE", "SET ROLE NONE", "RESET ALL", "CLOSE ALL", "UNLISTEN *", "SELECT pg_advisory_unlock_all()", "DISCARD SEQUENCES", "DISCARD TEMP", "SELECT current_user, session_user",
        "BEGIN", "SET LOCAL ROLE NONE", "SELECT count(*) FROM shop.orders", "COMMIT", "SET parallel_leader_participation = off", "SET max_parallel_workers = 2", "SHOW max_parallel_workers")
KEPT = ("SET ROLE acceptance_app", "SET ROLE 'NONE'", "SET SESSION AUTHORIZATION acceptance_app", "RESET ROLE", "DELETE FROM shop.order_items WHERE order_id = 1", "SET SESSION AUTHORIZATION DEFAULT; DELETE FROM shop.order_items WHERE order_id = 1",
        "SET ROLE NONE", "UPDATE shop.products SET price = 1 WHERE id = 2")


CASES: list[Case] = [
    *(oracle(f"more.layout.null.{n}", guess, q) for n, (guess, q) in NULLS.items()),
    *(same(f"more.layout.copied.{n}", q) for n, q in enumerate(COPIED)),
    *(same(f"more.layout.made.{n}", q, how=how) for n, q in enumerate(MADE) for how in (("simple", "extended")[n % 2],)),
    *(leak(f"more.layout.held.{n}", q) for n, q in HELD.items()),
    *(oracle(f"more.layout.told.{n}", ssn, q) if n not in ("search", "cycle") else since(14, oracle(f"more.layout.told.{n}", ssn, q)) for n, q in TOLD.items()),
    *(same(f"more.layout.pivot.{n}", q, needs=("tablefunc",)) for n, q in enumerate(PIVOTS)),
    *(leak(f"more.layout.pivot.{n}", q, needs=("tablefunc",)) for n, q in NO_PIVOTS.items()),
    *(write(f"more.layout.pivot.{n}", q, needs=("tablefunc",)) for n, q in enumerate(TOUCHES)),
    *(found(f"more.layout.present.{n}", in_order("salary", S), BY_INDEX, q) for n, q in PRESENT.items()),
    *(same(f"more.layout.present.{n}", q) for n, q in enumerate(COUNTED)),
    same("more.layout.pool", *POOL),
    same("more.layout.pool-extended", *POOL, how="extended"),
    write("more.layout.pool", *KEPT),
]
