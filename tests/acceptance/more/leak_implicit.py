"""Secrets by what the server does unasked: casts that users made, types' checks, parameters' types, functions of the catalogue."""

from __future__ import annotations

import struct

from suite.model import Case, Ctx, leak, oracle
from suite.wire import SYNC, Bind, Describe, Execute, Parse, Query

from .leak_oracle import ssn
from .leak_values import C, K, S, T, WHO

O = "shop.orders"
SHIP = f"(SELECT ship_to FROM {O} ORDER BY id LIMIT 1)"
ADDR = "ROW('a', 'b', 'c')::shop.addr"

# The cast of shop.addr to text reads a secret: everything that makes a text of an address without saying so.
CASTS = {
    "concatenation": f"SELECT ship_to || '' FROM {O}", "concatenation-left": f"SELECT 'x' || ship_to FROM {O}", "concatenation-column": f"SELECT c.city || c.address FROM {C} c", "concatenation-operator": f"SELECT ship_to OPERATOR(pg_catalog.||) 'x' FROM {O}", "concatenation-literal": "SELECT '(\"a\",\"b\",\"c\")'::shop.addr || ''", "concatenation-aggregate": f"SELECT string_agg('x' || ship_to, ',') FROM {O}", "concatenation-where": f"SELECT id FROM {O} WHERE ship_to || '' = ''", "concatenation-copy": f"COPY (SELECT ship_to || '' FROM {O}) TO STDOUT", "concatenation-nested": f"SELECT ('a' || (('b' || ship_to))) FROM {O}", "concatenation-populated": "SELECT (jsonb_populate_record(NULL::shop.customers, '{\"address\": {\"town\": \"x\"}}')).address || ''", "concatenation-window": f"SELECT first_value(ship_to || '') OVER (ORDER BY id) FROM {O}", "concatenation-element": f"SELECT (ARRAY[ship_to])[1] || '' FROM {O}", "concatenation-case": f"SELECT CASE WHEN true THEN ship_to END || '' FROM {O}", "concatenation-sub": f"SELECT {SHIP} || ''", "concatenation-lateral": f"SELECT l.x || '' FROM {O} o, LATERAL (SELECT o.ship_to AS x) l",
    "quote-literal": f"SELECT quote_literal(ship_to) FROM {O}", "quote-nullable": f"SELECT quote_nullable(address) FROM {C}", "quote-qualified": f"SELECT pg_catalog.quote_literal(ship_to) FROM {O}", "textanycat": f"SELECT textanycat('x', ship_to) FROM {O}", "anytextcat": f"SELECT anytextcat(ship_to, 'x') FROM {O}", "row": f"SELECT ROW(ship_to, 'b', 'c')::shop.addr FROM {O}", "row-field": f"SELECT (ROW(ship_to, 'b', 'c')::shop.addr).street FROM {O}", "row-implicit": f"SELECT CAST((ship_to, 'b', 'c') AS shop.addr) FROM {O}", "row-array": f"SELECT ARRAY[(ship_to, 'b', 'c')]::shop.addr[] FROM {O}", "row-of-subquery": f"SELECT t::shop.addr FROM (SELECT ship_to, 'b' AS b, 'c' AS c FROM {O}) t", "row-nested": f"SELECT ROW(ROW(ship_to, 'b', 'c')::shop.addr, 'b', 'c')::text FROM {O}", "array": f"SELECT ARRAY[ship_to]::text[] FROM {O}", "array-two": f"SELECT ARRAY[[ship_to], [ship_to]]::text[][] FROM {O}", "array-of-arrays": f"SELECT ARRAY[ARRAY[ship_to], ARRAY[ship_to]]::text[] FROM {O}", "array-aggregate": f"SELECT array_agg(ship_to)::text[] FROM {O}", "array-query": f"SELECT (ARRAY(SELECT ship_to FROM {O}))::text[]",
    "cast": f"SELECT ship_to::text FROM {O}", "cast-nullif": f"SELECT nullif(ship_to, NULL)::text FROM {O}", "cast-lag": f"SELECT lag(ship_to, 1, NULL) OVER (ORDER BY id)::text FROM {O}", "cast-row-sub": f"SELECT (q).a::text FROM (SELECT ship_to AS a FROM {O}) q", "cast-arrays": f"SELECT (ARRAY[ship_to] || ARRAY[ship_to])[1]::text FROM {O}", "cast-in-where": f"SELECT id FROM {O} WHERE ship_to::text <> ''", "cast-greatest": f"SELECT greatest(ship_to, ship_to)::text FROM {O}", "cast-case": f"SELECT (CASE WHEN true THEN ship_to END)::text FROM {O}", "cast-sub": f"SELECT (SELECT ship_to)::text FROM {O}", "cast-nullif": f"SELECT nullif(ship_to, NULL)::text FROM {O}", "cast-window": f"SELECT (first_value(ship_to) OVER ())::text FROM {O}", "cast-min": f"SELECT (min(ARRAY[ship_to]))[1]::text FROM {O}", "cast-unnest": f"SELECT unnest(ARRAY[ship_to])::text FROM {O}", "cast-from-unnest": f"SELECT x::text FROM {O}, unnest(ARRAY[ship_to]) x", "cast-whole": f"SELECT (o).ship_to::text FROM {O} o", "cast-collate": f"SELECT ship_to::text COLLATE \"C\" FROM {O}", "cast-coalesce": f"SELECT coalesce(ship_to, NULL)::text FROM {O}", "cast-any": f"SELECT 'x' = ANY (ARRAY[ship_to]::text[]) FROM {O}", "cast-values": f"SELECT v::text FROM (VALUES ({SHIP})) t(v)", "cast-union": f"SELECT v::text FROM (SELECT ship_to FROM {O} UNION ALL SELECT address FROM {C}) t(v)", "cast-cte": f"WITH t AS (SELECT ship_to AS v FROM {O}) SELECT v::text FROM t", "cast-recursive": f"WITH RECURSIVE t(v, n) AS (SELECT {SHIP}, 1 UNION ALL SELECT v, n + 1 FROM t WHERE n < 3) SELECT v::text FROM t",
    "xmlparse": f"SELECT xmlparse(CONTENT ship_to) FROM {O}", "xmlpi": f"SELECT xmlpi(NAME x, ship_to) FROM {O}", "xmlroot": f"SELECT xmlroot('<a/>'::xml, VERSION ship_to) FROM {O}", "xmltable-default": f"SELECT x.a FROM {O} o, XMLTABLE('/r' PASSING '<r/>' COLUMNS a text PATH 'z' DEFAULT o.ship_to) x", "xmltable-path": f"SELECT x.a FROM {O} o, XMLTABLE('/r' PASSING '<r/>' COLUMNS a text PATH o.ship_to) x", "xmltable-row": f"SELECT x.a FROM {O} o, XMLTABLE(o.ship_to PASSING '<r/>' COLUMNS a text PATH 'z') x", "subscript": f"SELECT (hstore('a', 'b'))[ship_to] FROM {O}", "copy": f"COPY (SELECT quote_literal(ship_to) FROM {O}) TO STDOUT", "explain": f"EXPLAIN (VERBOSE, ANALYZE) SELECT {ADDR} || ''", "explain-literal": "EXPLAIN VERBOSE SELECT '(\"a\",\"b\",\"c\")'::shop.addr || 'x'",
}
STEPS = {
    "execute": ["PREPARE p AS SELECT $1", f"EXECUTE p ({ADDR})"], "execute-text": ["PREPARE p (text) AS SELECT $1", f"EXECUTE p ({ADDR})"], "execute-array": ["PREPARE p (text[]) AS SELECT $1", f"EXECUTE p (ARRAY[{ADDR}])"], "execute-row": ["PREPARE p (shop.addr) AS SELECT $1", f"EXECUTE p (ROW({ADDR}, 'b', 'c'))"], "execute-explain": ["PREPARE p (text) AS SELECT $1", f"EXPLAIN (ANALYZE, VERBOSE) EXECUTE p ({ADDR})"], "execute-query": ["PREPARE p (text) AS SELECT $1", f"EXECUTE p ({SHIP})"], "declared": ["PREPARE p (shop.addr) AS SELECT $1::text", "EXECUTE p ('(a,b,c)')"], "declared-concatenation": ["PREPARE p (shop.addr) AS SELECT $1 || ''", "EXECUTE p ('(a,b,c)')"], "declared-quote": ["PREPARE p (shop.addr) AS SELECT quote_literal($1)", "EXECUTE p ('(a,b,c)')"], "declared-array": ["PREPARE p (shop.addr[]) AS SELECT $1::text[]", "EXECUTE p ('{\"(a,b,c)\"}')"], "declared-xml": ["PREPARE p (shop.addr) AS SELECT xmlparse(CONTENT $1)", "EXECUTE p ('(a,b,c)')"], "cursor": ["BEGIN", f"DECLARE k CURSOR FOR SELECT ship_to || '' FROM {O}", "FETCH 3 FROM k", "COMMIT"], "prepared": [f"PREPARE p AS SELECT ship_to || $1 FROM {O}", "EXECUTE p ('x')"],
}


def typed(type_: str, sql: str, value: str):
    """A parameter whose type Parse names."""
    def work(ctx: Ctx) -> None:
        w = ctx.wire()
        oid = ctx.admin.value("SELECT %s::regtype::oid::int", (type_,))
        w.send(Parse(sql, "s", (oid,)) + Describe("S", "s") + SYNC)
        w.until_ready()
        w.send(Bind([value], "s") + Execute() + SYNC)
        w.until_ready()
        w.query(f"EXECUTE s ('{value}')")
    return work


TYPED = [leak(f"more.implicit.typed-{n}", driver=typed(t, sql, value)) for n, (t, sql, value) in {
    "text": ("shop.addr", "SELECT $1::text", "(a,b,c)"), "concatenation": ("shop.addr", "SELECT $1 || ''", "(a,b,c)"), "quote": ("shop.addr", "SELECT quote_literal($1)", "(a,b,c)"), "xml": ("shop.addr", "SELECT xmlparse(CONTENT $1)", "(a,b,c)"), "array": ("shop.addr[]", "SELECT $1::text[]", '{"(a,b,c)"}'), "element": ("shop.addr[]", "SELECT ($1)[1] || ''", '{"(a,b,c)"}'), "row": ("shop.customers", "SELECT ($1).address || ''", "(1,,,,,,\"(a,b,c)\",,,,,,,,)"), "coalesce": ("shop.addr", "SELECT coalesce($1, NULL)::text", "(a,b,c)"), "array-expression": ("shop.addr", "SELECT ARRAY[$1]::text[]", "(a,b,c)"), "row-expression": ("shop.addr", "SELECT ROW($1, 'b', 'c')::shop.addr", "(a,b,c)"),
}.items()]

# A domain whose check tells, wherever a type can be named.
CHECKS = {name: sql.replace("{d}", "shop.checked_text") for name, sql in {
    "cast": "SELECT 'x'::{d}", "literal": "SELECT {d} 'x'", "null": "SELECT NULL::{d}", "array": "SELECT '{x}'::{d}[]", "array-expression": "SELECT ARRAY['x']::{d}[]", "column": "SELECT name::{d} FROM shop.products LIMIT 1", "recordset": "SELECT * FROM jsonb_to_recordset('[{\"a\":\"x\"}]') AS t(a {d})", "rows-from": "SELECT * FROM ROWS FROM (json_to_record('{\"a\":\"x\"}') AS (a {d}))", "xmltable": "SELECT * FROM XMLTABLE('/r' PASSING '<r><a>1</a></r>' COLUMNS a {d} PATH 'a')", "xmlserialize": "SELECT xmlserialize(CONTENT '<a/>' AS {d})", "domain-in": "SELECT domain_in('x', '{d}'::regtype, -1)", "array-in": "SELECT array_in('{x}', '{d}'::regtype, -1)", "record-in": "SELECT record_in('(x)', '{d}'::regtype, -1)", "case": "SELECT CASE WHEN true THEN 'x'::{d} END", "explain": "EXPLAIN ANALYZE SELECT 'x'::{d}", "limit-none": "SELECT 'x'::{d} WHERE false", "values": "VALUES ('x'::{d})", "coalesce": "SELECT coalesce(NULL, 'x'::{d})", "prepared": "PREPARE p ({d}) AS SELECT 1", "copy": "COPY (SELECT 'x'::{d}) TO STDOUT",
    "input-is-valid": "SELECT pg_input_is_valid('x', '{d}')", "input-error": "SELECT * FROM pg_input_error_info('x', '{d}')", "json-value": "SELECT JSON_VALUE('\"x\"', '$' RETURNING {d})", "json-query": "SELECT JSON_QUERY('\"x\"', '$' RETURNING {d} OMIT QUOTES)", "json-table": "SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a {d} PATH '$'))", "json-object": "SELECT JSON_OBJECT('a': 1 RETURNING {d})", "json-arrayagg": "SELECT JSON_ARRAYAGG(1 RETURNING {d})", "json-serialize": "SELECT JSON_SERIALIZE('\"x\"' RETURNING {d})",
}.items()}

# What the system keeps for itself, by functions instead of views.
SYSTEM = {
    "activity-function": "SELECT query FROM pg_stat_get_activity(NULL)", "activity-whole": "SELECT a FROM pg_stat_activity a", "activity-json": "SELECT to_jsonb(a) FROM pg_stat_activity a", "activity-row": "SELECT pg_stat_get_activity(NULL)", "activity-backend": "SELECT pg_stat_get_backend_activity(b) FROM pg_stat_get_backend_idset() b", "activity-order": "SELECT pid FROM pg_stat_activity ORDER BY query", "activity-where": "SELECT pid FROM pg_stat_activity WHERE query LIKE '%tok%'", "statements-function": "SELECT query FROM pg_stat_statements(true)", "statements-count": "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%stk%'", "mcv-items": "SELECT * FROM pg_mcv_list_items((SELECT stxdmcv FROM pg_statistic_ext_data LIMIT 1))", "statistic-whole": "SELECT s FROM pg_statistic s", "statistic-values": "SELECT stavalues1::text FROM pg_statistic", "stats-unnest": "SELECT unnest(most_common_vals::text::text[]) FROM pg_stats", "stats-array": "SELECT array_to_string(histogram_bounds, ',') FROM pg_stats WHERE tablename = 'staff'", "stats-cte": "WITH s AS (SELECT * FROM pg_stats) SELECT histogram_bounds::text FROM s", "heap": f"SELECT * FROM heap_page_items(get_raw_page('{C}', 0))", "heap-attributes": f"SELECT heap_page_item_attrs(get_raw_page('{C}', 0), '{C}')", "tuple-split": f"SELECT tuple_data_split('{C}'::regclass, t_data, t_infomask, t_infomask2, t_bits) FROM heap_page_items(get_raw_page('{C}', 0))", "index-items": "SELECT data FROM bt_page_items('shop.customers_ssn_key', 1)", "gin-items": "SELECT * FROM gin_leafpage_items(get_raw_page('shop.customers_notes_idx', 2))", "raw-page": f"SELECT encode(get_raw_page('{K}', 0), 'escape')", "toast": "SELECT * FROM pg_toast.pg_toast_1260", "mapping-options": "SELECT pg_options_to_table(umoptions) FROM pg_user_mapping", "mapping-view": "SELECT * FROM information_schema.user_mapping_options", "mapping-private": "SELECT * FROM information_schema._pg_user_mappings", "verifier": "SELECT rolpassword FROM pg_authid", "verifier-text": "SELECT a::text FROM pg_authid a", "shadow": "SELECT passwd FROM pg_shadow", "catalog-xml": "SELECT query_to_xml('SELECT * FROM pg_authid', true, false, '')", "cursor-xml": "SELECT cursor_to_xml('k', 5, true, false, '')", "schema-xml": "SELECT schema_to_xml('shop', true, false, '')", "database-xml": "SELECT database_to_xml_and_xmlschema(true, false, '')", "xml-dynamic": f"SELECT query_to_xml('SELECT ' || 'ssn FROM {C}', true, false, '')", "xml-named": f"SELECT query_to_xml(nulls => true, tableforest => false, targetns => '', query => 'TABLE {K}')", "xml-column": f"SELECT query_to_xml(q, true, false, '') FROM (VALUES ('TABLE {K}')) v(q)", "xml-twice": f"SELECT query_to_xml('SELECT 1; SELECT ssn FROM {C}', true, false, '')", "crosstab2": f"SELECT * FROM crosstab2('SELECT 1, 1, ssn FROM {C}')", "crosstab-categories": f"SELECT * FROM crosstab('SELECT 1, 1, ssn FROM {C}', 'SELECT 1') AS t(a int, b text)", "ts-stat-weights": f"SELECT * FROM ts_stat('SELECT to_tsvector(''simple'', email) FROM {C}', 'd')",
    "reveal-heir": "SET search_path = shop; SELECT v.reveal FROM customers_vip v", "reveal-call": "SELECT shop.reveal(v) FROM shop.customers_vip v", "reveal-populated": f"SELECT shop.reveal(c) FROM (SELECT * FROM {C}) c", "card-field": "SELECT (shop.card_of(3)).pan", "card-rows": "SELECT * FROM ROWS FROM (shop.card_of(3), generate_series(1, 2)) AS t(a, b, c)", "gather-window": "SELECT shop.gather(id) OVER (ORDER BY id) FROM shop.products", "gather-having": "SELECT 1 FROM shop.products GROUP BY id HAVING shop.gather(id) <> ''", "fail-with": f"SELECT shop.fail_with(ssn) FROM {C}", "fail-with-sub": f"SELECT shop.fail_with((SELECT email FROM {C} WHERE id = {WHO}))", "const-where": "SELECT 1 WHERE shop.const_key() LIKE 'sk%'", "const-explain": "EXPLAIN (VERBOSE, FORMAT JSON) SELECT 1 WHERE shop.const_key() = 'x'", "const-limit": "SELECT 1 LIMIT length(shop.const_key())", "config-value": f"SELECT set_config('application_name', (SELECT ssn FROM {C} WHERE id = {WHO}), false); SHOW application_name",
    "union-date-time": f"SELECT id, date_of_birth FROM {C} UNION ALL SELECT id, created_at FROM {C}", "union-salary-float": f"SELECT salary FROM {S} UNION ALL SELECT 1::float8", "union-document": f"SELECT profile FROM {C} UNION ALL SELECT attributes FROM shop.products", "full-join": f"SELECT email FROM {C} c FULL JOIN shop.products p ON p.id = c.id", "recursive-plain": f"WITH RECURSIVE r AS (SELECT id, email FROM {C} WHERE id = 1 UNION ALL SELECT c.id, c.email FROM {C} c JOIN r ON c.id = r.id + 1 WHERE r.id < 5) SELECT * FROM r", "alias-columns": f"SELECT d, e FROM {C} AS c(a, b, d, e)", "alias-swapped": f"WITH t(a, b) AS (SELECT name, ssn FROM {C}) SELECT b AS a, a AS b FROM t", "star-field": f"SELECT (c.*).ssn FROM {C} c", "joined-alias": f"SELECT j.* FROM ({C} c JOIN {S} s USING (id)) AS j",
}

ORACLES = [
    oracle("more.implicit.order-sub", ssn, f"SELECT id FROM {C} c ORDER BY (SELECT d.ssn = '{{g}}' FROM {C} d WHERE d.id = c.id) DESC, id LIMIT 1"),
    oracle("more.implicit.execute-value", ssn, driver=lambda ctx, w, g: [w.query("PREPARE p (int) AS SELECT name FROM shop.products WHERE id = $1"), w.query(f"EXECUTE p ((SELECT 1 + count(*)::int FROM {C} WHERE ssn = '{g}'))")]),
    oracle("more.implicit.subscript", ssn, f"SELECT (ARRAY[10, 20])[(SELECT 1 + count(*) FROM {C} WHERE ssn = '{{g}}')]"),
    oracle("more.implicit.xmltable", ssn, f"SELECT count(*) FROM {C} c, XMLTABLE('/r' PASSING xmlelement(name r, c.ssn) COLUMNS v text PATH '.') x WHERE x.v = '{{g}}'"),
    oracle("more.implicit.json-table", ssn, f"SELECT count(*) FROM {C} c, JSON_TABLE(to_jsonb(c), '$' COLUMNS (v text PATH '$.ssn')) j WHERE j.v = '{{g}}'"),
    oracle("more.implicit.range-contains", ssn, f"SELECT count(*) FROM {C} WHERE ssn::text <@ ANY (ARRAY[ARRAY['{{g}}']])"),
    oracle("more.implicit.sample", ssn, f"SELECT count(*) FROM shop.products TABLESAMPLE SYSTEM ((SELECT 100 * count(*) FROM {C} WHERE ssn = '{{g}}'))"),
    oracle("more.implicit.frame", ssn, f"SELECT id, count(*) OVER (ORDER BY id ROWS (SELECT count(*) FROM {C} WHERE ssn = '{{g}}') PRECEDING) FROM shop.products WHERE id < 4"),
    oracle("more.implicit.for-values", ssn, f"SELECT id FROM shop.products WHERE id = ANY (SELECT c.id FROM {C} c WHERE c.ssn = '{{g}}' UNION ALL SELECT 0)"),
    oracle("more.implicit.ticket-join", ssn, f"SELECT count(*) FROM {T} t JOIN {C} c ON c.email = t.customer_email AND c.ssn = '{{g}}'"),
]


def cases() -> list[Case]:
    made = []
    for kind, table in (("cast", CASTS), ("check", CHECKS), ("system", SYSTEM)):
        for name, sql in table.items():
            made.append(leak(f"more.implicit.{kind}.{name}", sql))
            if ";" not in sql:
                made.append(leak(f"more.implicit.{kind}-binary.{name}", sql, how="binary"))
    made += [leak(f"more.implicit.steps.{name}", *steps) for name, steps in STEPS.items()]
    return made


CASES = cases() + TYPED + ORACLES
