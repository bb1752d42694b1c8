"""Secrets asked for as values, in more ways than anybody would think of."""

from __future__ import annotations

import re

from suite.model import Case, Ctx, leak

C, S, K, T = "shop.customers", "shop.staff", "shop.secrets", "shop.tickets"
WHO = 17


def cells(answers, column: int = 0) -> list[str]:
    for a in reversed(answers):
        if a.rows:
            return [(r[column] or b"").decode("utf8", "replace") for r in a.rows]
    return []


def chars(ctx: Ctx, answers) -> list[bytes]:
    return ["".join(chr(int(v)) for v in cells(answers) if v.isdigit() and int(v) < 0x110000).encode()]


def squeezed(ctx: Ctx, answers) -> list[bytes]:
    """The cells without what stands between their characters."""
    joined = "".join("".join(v or "" for v in row) for a in answers for row in a.texts())
    return [re.sub(r"[^0-9A-Za-z_.@+-]", "", joined).encode(), re.sub(r"[^0-9A-Za-z@]", "", joined).encode(), re.sub(r"\s", "", joined).encode()]


def shifted(ctx: Ctx, answers) -> list[bytes]:
    """A translation by one digit, undone."""
    return ["".join(cells(answers)).translate(str.maketrans("1234567890", "0123456789")).encode()]


# One select list over the customers; each holds a whole secret of many rows.
EXPRESSIONS = {
    "concat": "concat(ssn)", "concat-ws": "concat_ws('~', id, ssn)", "pipe-null": "ssn || ''", "pipe-array": "ARRAY['a'] || ssn::text",
    "lower": "lower(email)", "initcap": "initcap(email)", "trim": "btrim(' ' || ssn)", "trim-grammar": "trim(both 'x' from ssn)", "ltrim": "ltrim(card_number, 'x')",
    "lpad": "lpad(card_number, 20, '*')", "rpad": "rpad(ssn, 12, '.')", "repeat": "repeat(ssn, 1)", "replace": "replace(ssn, 'z', 'y')",
    "translate": "translate(email, 'A', 'B')", "overlay": "overlay(ssn placing '' from 1 for 0)", "substring-from": "substring(ssn from 1)", "substring-similar": "substring(ssn similar '#\"%#\"' escape '#')",
    "substring-regex": "substring(ssn from '.*')", "left": "left(ssn, 11)", "right": "right(card_number, 16)", "split-part": "split_part(ssn, '!', 1)",
    "regexp-replace": "regexp_replace(card_number, 'x', 'y')", "regexp-match": "regexp_match(email, '^(.*)$')", "regexp-substr": "regexp_substr(ssn::text, '.*')",
    "quote-literal": "quote_literal(ssn)", "quote-ident": "quote_ident(ssn)", "quote-nullable": "quote_nullable(email)", "format-i": "format('%I', ssn)",
    "encode-hex": "encode(ssn::text::bytea, 'hex')", "encode-base64": "encode(convert_to(card_number, 'UTF8'), 'base64')", "encode-escape": "encode(convert_to(email, 'UTF8'), 'escape')",
    "md5": "md5(ssn)", "sha256": "sha256(convert_to(ssn, 'UTF8'))", "sha512": "encode(sha512(convert_to(card_number, 'UTF8')), 'hex')", "sha224": "sha224(ssn::text::bytea)",
    "bytea-cast": "ssn::text::bytea", "convert": "convert(ssn::text::bytea, 'UTF8', 'LATIN1')", "convert-from": "convert_from(convert_to(email, 'UTF8'), 'UTF8')",
    "set-byte": "set_byte(email::bytea, 0, get_byte(email::bytea, 0))", "cast-function": "CAST(ssn AS text)", "text-function": "text(ssn)", "varchar-function": '"varchar"(ssn, 11, true)',
    "bpchar": "card_number::char(16)", "name-cast": "ssn::name", "type-prefix-cast": "ssn::pg_catalog.text", "domain-free-cast": "email::varchar(80)", "char-array": "string_to_array(ssn, NULL)",
    "to-char-date": "to_char(date_of_birth, 'YYYY-MM-DD')", "to-char-date-german": "to_char(date_of_birth, 'DD.MM.YYYY')", "date-text": "date_of_birth::text", "date-timestamp": "date_of_birth::timestamp",
    "date-plus-zero": "date_of_birth + 0", "date-minus-interval": "date_of_birth - interval '0 days'", "date-at-time-zone": "date_of_birth AT TIME ZONE 'UTC'", "date-trunc": "date_trunc('day', date_of_birth)",
    "make-date": "make_date(extract(year from date_of_birth)::int, extract(month from date_of_birth)::int, extract(day from date_of_birth)::int)", "daterange": "daterange(date_of_birth, date_of_birth, '[]')",
    "greatest": "greatest(ssn, '')", "least": "least(ssn, '~')", "coalesce": "coalesce(ssn, 'x')", "coalesce-null": "coalesce(NULL, email)", "nullif": "nullif(ssn, 'x')", "case": "CASE WHEN true THEN ssn END",
    "case-else": "CASE WHEN id < 0 THEN 'x' ELSE email END", "collate": 'ssn COLLATE "C"', "collate-icu": 'email COLLATE "POSIX"', "row": "ROW(ssn)", "row-text": "ROW(id, ssn)::text", "row-paren": "(ssn, email)",
    "array": "ARRAY[ssn]", "array-two": "ARRAY[[ssn], [email]]", "array-element": "(ARRAY[ssn])[1]", "array-slice": "(ARRAY[ssn, email])[1:2]", "array-append": "array_append(ARRAY['x'], email)", "array-cat": "array_cat(ARRAY['a'], ARRAY[ssn::text])",
    "array-fill": "array_fill(email, ARRAY[1])", "array-replace": "array_replace(ARRAY[email], 'x', 'y')", "array-remove": "array_remove(ARRAY[email], 'x')", "array-to-json": "array_to_json(ARRAY[ssn])",
    "to-json": "to_json(ssn)", "to-jsonb": "to_jsonb(email)", "json-build-object": "json_build_object('v', ssn)", "jsonb-build-array": "jsonb_build_array(ssn, email)", "json-object-arrays": "json_object(ARRAY['a'], ARRAY[ssn::text])",
    "row-to-json-row": "row_to_json(ROW(ssn))", "jsonb-set": "jsonb_set('{}', '{a}', to_jsonb(ssn))", "jsonb-pretty": "jsonb_pretty(to_jsonb(email))", "jsonb-arrow": "jsonb_build_object('a', ssn) ->> 'a'",
    "jsonb-path": "jsonb_path_query_first(jsonb_build_object('a', ssn), '$.a')", "jsonb-subscript": "(to_jsonb(ARRAY[ssn]))[0]", "json-strip": "json_strip_nulls(json_build_object('a', ssn))", "hash-arrow": "jsonb_build_object('a', ssn) #>> '{a}'",
    "jsonb-concat": "jsonb_build_object('a', ssn) || '{}'", "json-populate": "jsonb_populate_record(NULL::shop.addr, jsonb_build_object('street', ssn))", "composite": "ROW(ssn, email, '')::shop.addr", "composite-field": "(ROW(ssn, email, '')::shop.addr).street",
    "xmlelement": "xmlelement(name v, ssn)", "xmlforest": "xmlforest(ssn AS v)", "xmlattributes": "xmlelement(name v, xmlattributes(email AS e))", "xmlconcat": "xmlconcat(xmlelement(name a, ssn), xmlelement(name b))", "xmlcomment": "xmlcomment(replace(ssn, '--', ''))",
    "xmlpi": "xmlpi(name php, ssn)", "xmlserialize": "xmlserialize(content xmlelement(name v, ssn) AS text)", "xml-text": "xmlelement(name v, email)::text", "xpath": "xpath('/v/text()', xmlelement(name v, ssn))",
    "tsvector": "to_tsvector('simple', ssn)", "tsvector-cast": "ssn::text::tsvector", "array-to-tsvector": "array_to_tsvector(ARRAY[email])", "tsquery": "plainto_tsquery('simple', email)", "phraseto": "phraseto_tsquery('simple', card_number)", "tsvector-array": "tsvector_to_array(ssn::text::tsvector)",
    "ts-lexize": "ts_lexize('simple', email)", "textrange-bit": "encode(decode(replace(ssn, '-', '') || '0', 'hex'), 'hex')", "range-lower": "lower(daterange(date_of_birth, NULL))", "multirange": "datemultirange(daterange(date_of_birth, date_of_birth, '[]'))",
    "numeric": "card_number::numeric", "bigint": "card_number::bigint", "plus-zero": "card_number::numeric + 0", "to-number": "to_number(card_number, '9999999999999999')", "to-char-number": "to_char(card_number::bigint, 'FM9999999999999999')", "cast-oid8": "replace(ssn, '-', '')::int",
    "uuid-ish": "md5(email)::uuid", "inet": "'::'::inet || ('/' || ssn)", "unistr": "unistr(email)", "normalize": "normalize(email, NFC)", "ascii-of": "ssn ^@ '' AND false OR NULL::bool IS NULL, ssn || 'x'", "min-over": "min(ssn) OVER (PARTITION BY id)", "first-value": "first_value(ssn) OVER (ORDER BY id)",
    "last-value": "last_value(email) OVER ()", "nth-value": "nth_value(ssn, 1) OVER (PARTITION BY id)", "lag": "lag(ssn, 0) OVER (ORDER BY id)", "lead": "lead(card_number) OVER (ORDER BY id)", "lag-default": "lag('x', 1, ssn::text) OVER (PARTITION BY id)", "string-agg-over": "string_agg(email, ',') OVER (ORDER BY id)",
    "array-agg-over-window": "array_agg(card_number) OVER w", "max-filter-over": "max(ssn) FILTER (WHERE true) OVER (PARTITION BY id)", "attribute": "c.ssn", "qualified": "shop.c.ssn", "function-notation": "ssn(c)", "function-notation-quoted": '"email"(c.*)', "star-field": "(c.*).ssn", "row-field": "(c).card_number",
    "row-field-star": "(c).*", "whole": "c", "whole-star": "c.*::text", "row-of-star": "ROW(c.*)", "row-cast": "(c)::text", "row-cast-own-type": "c::shop.customers", "row-text-function": "textin(record_out(c))", "array-of-rows": "ARRAY[c]", "row-coalesce": "coalesce(c, c)", "case-row": "CASE WHEN true THEN c END",
    "to-json-row": "to_json(c)", "row-to-json": "row_to_json(c, true)", "jsonb-each-row": "jsonb_each_text(to_jsonb(c))", "json-each-row": "json_each(row_to_json(c))", "jsonb-object-values": "jsonb_path_query(to_jsonb(c), '$.*')", "jsonb-minus": "to_jsonb(c) - 'name'", "jsonb-hash": "to_jsonb(c) #> '{ssn}'",
    "format-star": "format('%s', c.*)", "concat-row": "concat(c)", "concat-variadic": "concat(VARIADIC ARRAY[ssn::text])", "format-variadic": "format('%s', VARIADIC ARRAY[email])", "num-nonnulls": "num_nonnulls(ssn), ssn || ''", "quote-row": "quote_literal(c)", "xml-row": "xmlforest(c AS r)",
    "unnest-array": "unnest(ARRAY[ssn::text, email])", "regexp-matches": "regexp_matches(ssn, '.+', 'g')", "string-to-table": "string_to_table(email, '!')", "generate": "generate_series(date_of_birth, date_of_birth, '1 day')", "json-elements": "json_array_elements_text(json_build_array(ssn))",
    "jsonb-key": "jsonb_object_keys(jsonb_build_object(email, 1))", "jsonb-object-two": "jsonb_object(ARRAY[email], ARRAY['x'])", "named-argument": "format(VARIADIC ARRAY['%s', ssn::text])", "substr-byte": "substring(ssn::text::bytea from 1)", "reverse": "reverse(ssn)", "reverse-twice": "reverse(reverse(card_number))",
    "parse-ident": "parse_ident('\"' || email || '\"')", "to-timestamp": "to_timestamp(to_char(date_of_birth, 'YYYYMMDD'), 'YYYYMMDD')", "to-date": "to_date(date_of_birth::text, 'YYYY-MM-DD')", "timezone": "timezone('UTC', date_of_birth::timestamptz)", "age": "date '2200-01-01' - date_of_birth, date_of_birth::text",
    "isfinite-mix": "isfinite(date_of_birth), date_of_birth || ''", "date-bin": "date_bin('1 day', date_of_birth::timestamp, timestamp '1900-01-01')", "overlay-bytes": "overlay(email::bytea placing ''::bytea from 1 for 0)", "subquery-correlated": "(SELECT c.ssn || '')", "subquery-array": "ARRAY(SELECT c.ssn)",
    "subquery-lateral": "(SELECT x FROM (SELECT c.email || '' AS x) y)", "subquery-values": "(SELECT v FROM (VALUES (c.ssn || '')) t(v))", "subquery-cte": "(WITH w AS (SELECT c.ssn AS v) SELECT v || '' FROM w)", "subquery-agg": "(SELECT string_agg(c.ssn, '') FROM generate_series(1, 1))", "subquery-row": "(SELECT ROW(c.ssn))",
    "subquery-json": "(SELECT json_agg(x) FROM (SELECT c.ssn) x)", "subquery-unnest": "(SELECT unnest(ARRAY[c.email || '']))", "subquery-union": "(SELECT c.ssn || '' UNION ALL SELECT NULL LIMIT 1)", "subquery-exists-text": "EXISTS (SELECT c.ssn)::text || ssn", "pg-typeof": "pg_typeof(ssn), '' || ssn", "set-config": "set_config('application_name', ssn, true)",
    "current-setting-after": "set_config('application_name', card_number, false), current_setting('application_name')", "set-config-local": "set_config('search_path', email, true)", "hashtext-mix": "hashtext(ssn), ssn || ''", "starts-with": "starts_with(ssn, '9')::text || ssn", "profile-arrow": "profile -> 'ssn'", "profile-text-arrow": "profile ->> 'phone'",
    "profile-subscript": "profile['ssn']", "profile-path": "profile #>> '{ssn}'", "profile-jsonpath": "jsonb_path_query(profile, '$.ssn')", "profile-jsonpath-var": "jsonb_path_query_array(profile, '$.keyvalue().value')", "profile-extract": "jsonb_extract_path_text(profile, 'ssn')", "profile-minus": "profile - 'tier'", "profile-concat": "profile || '{\"x\": 1}'",
    "profile-each": "jsonb_each_text(profile)", "profile-json": "profile::json", "profile-json-arrow": "profile::json ->> 'ssn'", "profile-record": "jsonb_to_record(profile)", "profile-build": "jsonb_build_object('p', profile)", "profile-strip": "jsonb_strip_nulls(profile)", "profile-tsv": "jsonb_to_tsvector('simple', profile, '\"all\"')",
    "profile-set": "jsonb_set(profile, '{x}', '1')", "profile-insert": "jsonb_insert(profile, '{x}', '1')", "profile-delete": "jsonb_delete(profile, 'tier')", "profile-operator-call": "jsonb_object_field_text(profile, 'ssn')", "profile-operator-qualified": "profile OPERATOR(pg_catalog.->>) 'ssn'", "operator-qualified": "ssn OPERATOR(pg_catalog.||) ''",
}

SKIP_DIRECT = {"set-config-local"}

STAFF = {
    "text": "salary::text", "float": "salary::float8", "plus": "salary + 0", "negative": "- -salary", "times": "salary * 1", "divide": "salary / 1", "round": "round(salary, 2)", "trunc": "trunc(salary, 2)", "abs": "abs(salary)", "cents-split": "trunc(salary), salary - trunc(salary)", "to-char": "to_char(salary, 'FM999999.00')",
    "scale": "trim_scale(salary)", "greatest": "greatest(salary, 0)", "numrange": "numrange(salary, salary, '[]')", "sum-over": "sum(salary) OVER (PARTITION BY id)", "avg-over": "round(avg(salary) OVER (PARTITION BY id), 2)", "json": "to_json(salary)", "array": "ARRAY[salary]", "mod": "mod(salary, 9999999)", "power": "round(power(salary, 1), 2)",
    "unary-plus": "+ salary", "cast-numeric": "salary::numeric(20,2)", "cast-money-text": "salary::numeric::text", "percentile": "(SELECT percentile_disc(0) WITHIN GROUP (ORDER BY s.salary))", "mode": "(SELECT mode() WITHIN GROUP (ORDER BY s.salary))", "width": "salary::varchar", "bytea": "numeric_send(salary)", "float-send": "float8send(salary::float8)", "cast-call": "\"numeric\"(salary, 786438)",
}

AGGREGATES = {
    "string-agg": f"SELECT string_agg(ssn, ',') FROM {C}", "string-agg-order": f"SELECT string_agg(email, ',' ORDER BY id) FROM {C}", "string-agg-bytea": f"SELECT string_agg(ssn::text::bytea, '\\x2c') FROM {C}", "array-agg": f"SELECT array_agg(card_number) FROM {C}", "array-agg-distinct": f"SELECT array_agg(DISTINCT ssn) FROM {C}",
    "array-agg-row": f"SELECT array_agg(c) FROM {C} c", "json-object-agg": f"SELECT json_object_agg(id, ssn) FROM {C}", "jsonb-object-agg": f"SELECT jsonb_object_agg(email, id) FROM {C}", "jsonb-agg-row": f"SELECT jsonb_agg(c) FROM {C} c", "jsonb-agg-minus": f"SELECT jsonb_agg(to_jsonb(c) - 'name') FROM {C} c",
    "min": f"SELECT min(ssn) FROM {C} WHERE id = {WHO}", "max": f"SELECT max(email) FROM {C} WHERE id = {WHO}", "min-group": f"SELECT id, min(ssn) FROM {C} GROUP BY id", "max-date": f"SELECT max(date_of_birth) FROM {C} GROUP BY id", "any-array": f"SELECT (array_agg(ssn ORDER BY id))[1] FROM {C}", "percentile-disc": f"SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY ssn) FROM {C}",
    "percentile-cont": "SELECT percentile_cont(0) WITHIN GROUP (ORDER BY salary::float8) FROM shop.staff WHERE id = 5", "percentile-array": f"SELECT percentile_disc(ARRAY[0.1, 0.5, 0.9]) WITHIN GROUP (ORDER BY card_number) FROM {C}", "mode": "SELECT mode() WITHIN GROUP (ORDER BY api_key) FROM shop.secrets", "group-by": f"SELECT ssn || '' FROM {C} GROUP BY ssn", "rollup": f"SELECT email || '', count(*) FROM {C} GROUP BY ROLLUP (email)",
    "cube": f"SELECT card_number::text, count(*) FROM {C} GROUP BY CUBE (card_number, city)", "grouping-sets": f"SELECT ssn::text, city FROM {C} GROUP BY GROUPING SETS ((ssn), (city), ())", "group-plain": f"SELECT ssn, count(*) FROM {C} GROUP BY ssn", "group-position": f"SELECT email, count(*) FROM {C} GROUP BY 1", "distinct": f"SELECT DISTINCT ssn FROM {C}", "distinct-on": f"SELECT DISTINCT ON (ssn) ssn FROM {C} ORDER BY ssn",
    "xmlagg": f"SELECT xmlagg(xmlelement(name s, ssn)) FROM {C}", "sum-one": "SELECT sum(salary) FROM shop.staff WHERE id = 5", "avg-one": "SELECT avg(salary)::numeric(12,2) FROM shop.staff WHERE id = 5", "sum-each": "SELECT id, sum(salary) FROM shop.staff GROUP BY id", "range-agg": f"SELECT range_agg(daterange(date_of_birth, date_of_birth, '[]')) FROM {C}", "having": f"SELECT max(ssn) FROM {C} HAVING true",
    "filter": f"SELECT max(ssn) FILTER (WHERE id = {WHO}) FROM {C}", "nested-agg": f"SELECT string_agg(x, '') FROM (SELECT max(ssn) AS x FROM {C} GROUP BY id) y", "crosstab-free": f"SELECT max(email) FILTER (WHERE id = 1), max(email) FILTER (WHERE id = 2) FROM {C}", "bool-and-mix": f"SELECT bool_and(ssn IS NOT NULL), min(ssn) FROM {C}", "first-by-order": f"SELECT (array_agg(email ORDER BY id DESC))[1:3] FROM {C}",
    "json-agg-sub": f"SELECT json_agg(t) FROM (SELECT id, ssn FROM {C}) t", "array-sub": f"SELECT ARRAY(SELECT ssn FROM {C})", "array-sub-order": f"SELECT ARRAY(SELECT email FROM {C} ORDER BY id)", "row-sub": f"SELECT ROW((SELECT ssn FROM {C} WHERE id = 1), 2)", "concat-sub": f"SELECT 'x' || (SELECT ssn FROM {C} WHERE id = 1)", "json-sub": f"SELECT to_json(ARRAY(SELECT c FROM {C} c))", "stddev-two": "SELECT variance(salary), sum(salary) FROM shop.staff WHERE id IN (5)",
    "corr": "SELECT regr_avgx(id, salary) FROM shop.staff WHERE id = 5", "regr-sxx": "SELECT regr_avgy(salary, id) FROM shop.staff WHERE id = 5", "window-range": "SELECT array_agg(salary) OVER (ORDER BY id ROWS CURRENT ROW) FROM shop.staff", "window-named": f"SELECT first_value(ssn) OVER w FROM {C} WINDOW w AS (PARTITION BY id)", "window-inherits": f"SELECT max(email) OVER (w ROWS CURRENT ROW) FROM {C} WINDOW w AS (ORDER BY id)",
}

SHAPES = {
    "table": f"TABLE {K}", "table-only": f"TABLE ONLY {C}", "star-inherited": f"SELECT * FROM {C}*", "only": f"SELECT ssn FROM ONLY {C}", "vip": "SELECT * FROM shop.customers_vip", "vip-row": "SELECT v FROM shop.customers_vip v", "vip-cast": "SELECT v::shop.customers FROM shop.customers_vip v",
    "from-alias-columns": f"SELECT d FROM {C} AS x(a, b, c, d)", "from-alias-swap": f"SELECT name FROM {C} AS x(id, ssn, e, name)", "subquery-alias": f"SELECT n FROM (SELECT id, ssn FROM {C}) AS q(i, n)", "subquery-no-alias-star": f"SELECT * FROM (SELECT ssn FROM {C}) q", "nested-five": f"SELECT a FROM (SELECT a FROM (SELECT a FROM (SELECT a FROM (SELECT ssn AS a FROM {C}) q) q) q) q",
    "join-alias": f"SELECT j.* FROM ({C} a JOIN {S} b USING (id)) AS j", "join-alias-columns": f"SELECT j.x, j.y, j.z, j.w FROM ({C} a JOIN {S} b USING (id)) AS j(x, y, z, w)", "join-using-alias": f"SELECT a.ssn FROM {C} a JOIN {S} b USING (id) AS j", "cross-join": f"SELECT c.ssn FROM {S} CROSS JOIN {C} c WHERE {S}.id = 1", "left-join": f"SELECT c.email FROM shop.orders o LEFT JOIN {C} c ON c.id = o.customer_id",
    "full-join": f"SELECT c.card_number FROM {C} c FULL JOIN {S} s ON s.id = c.id", "right-join": f"SELECT ssn FROM {S} s RIGHT JOIN {C} c ON c.id = s.id", "natural-left": f"SELECT * FROM (SELECT id FROM {S}) s NATURAL LEFT JOIN {C}", "lateral-function": f"SELECT x FROM {C} c, LATERAL unnest(ARRAY[c.ssn::text]) x", "lateral-function-implicit": f"SELECT x FROM {C} c, unnest(ARRAY[c.email]) x",
    "lateral-values": f"SELECT v FROM {C} c, LATERAL (VALUES (c.ssn)) t(v)", "lateral-left": f"SELECT t.v FROM {C} c LEFT JOIN LATERAL (SELECT c.email AS v) t ON true", "rows-from": f"SELECT a FROM {C} c, ROWS FROM (unnest(ARRAY[c.ssn::text]), generate_series(1, 1)) AS t(a, b)", "with-ordinality": f"SELECT a FROM {C} c, unnest(ARRAY[c.ssn::text]) WITH ORDINALITY t(a, n)", "json-each-lateral": f"SELECT value FROM {C} c, jsonb_each_text(to_jsonb(c))",
    "json-record-lateral": f"SELECT r.ssn FROM {C} c, jsonb_to_record(to_jsonb(c)) AS r(ssn text)", "json-populate-lateral": f"SELECT r.ssn FROM {C} c, jsonb_populate_record(NULL::{C}, to_jsonb(c)) r", "xmltable": f"SELECT x.v FROM {C} c, XMLTABLE('/r' PASSING xmlelement(name r, c.ssn) COLUMNS v text PATH '.') x", "xmltable-default": f"SELECT x.v FROM {C} c, XMLTABLE('/r' PASSING '<r/>' COLUMNS v text PATH 'z' DEFAULT c.ssn) x",
    "xmltable-namespaces": f"SELECT x.v FROM {C} c, XMLTABLE(XMLNAMESPACES('a' AS b), '/r' PASSING xmlelement(name r, c.ssn) COLUMNS v text PATH '.') x", "tablesample": f"SELECT ssn FROM {C} TABLESAMPLE BERNOULLI (100)", "tablesample-system": f"SELECT c::text FROM {C} c TABLESAMPLE SYSTEM (100) REPEATABLE (1)", "values-row": f"VALUES ((SELECT ssn FROM {C} WHERE id = 1)), ((SELECT email FROM {C} WHERE id = 2))", "values-from": f"SELECT column1 FROM (VALUES ((SELECT ssn FROM {C} WHERE id = 1))) t",
    "union": f"SELECT name FROM shop.products UNION SELECT ssn FROM {C}", "union-all-alias": f"SELECT name AS n FROM shop.products UNION ALL SELECT ssn FROM {C}", "union-parens": f"(SELECT ssn FROM {C}) UNION ALL (SELECT 'x')", "union-left-null": f"SELECT NULL UNION ALL SELECT ssn FROM {C}", "except": f"SELECT ssn FROM {C} EXCEPT SELECT 'x'", "except-all": f"SELECT ssn FROM {C} EXCEPT ALL SELECT 'x'", "intersect": f"SELECT ssn FROM {C} INTERSECT SELECT ssn FROM {C}", "intersect-all": f"SELECT email FROM {C} INTERSECT ALL TABLE shop.m_emails" if False else f"SELECT email FROM {C} INTERSECT ALL SELECT mail FROM shop.m_directory",
    "union-types": f"SELECT date_of_birth FROM {C} UNION ALL SELECT now()::timestamp", "union-numeric": f"SELECT salary FROM {S} UNION ALL SELECT 1::float8", "union-json": f"SELECT profile FROM {C} UNION ALL SELECT '1'::jsonb", "union-order": f"SELECT ssn FROM {C} UNION ALL SELECT 'x' ORDER BY 1", "union-in-cte": f"WITH u AS (SELECT 'a' AS v UNION ALL SELECT ssn FROM {C}) SELECT v FROM u",
    "cte-materialized": f"WITH t AS MATERIALIZED (SELECT ssn FROM {C}) SELECT ssn FROM t", "cte-not-materialized": f"WITH t AS NOT MATERIALIZED (SELECT ssn AS a FROM {C}) SELECT a FROM t", "cte-nested": f"WITH a AS (WITH b AS (SELECT ssn AS v FROM {C}) SELECT v FROM b) SELECT v FROM a", "cte-twice": f"WITH a AS (SELECT id, ssn FROM {C}) SELECT x.ssn FROM a x JOIN a y USING (id)", "cte-star": f"WITH a AS (SELECT * FROM {C}) SELECT * FROM a", "cte-row": f"WITH a AS (SELECT ssn FROM {C}) SELECT a FROM a", "cte-same-name": f"WITH customers AS (SELECT ssn AS name FROM {C}) SELECT name FROM customers",
    "cte-in-from": f"SELECT v FROM (WITH a AS (SELECT email AS v FROM {C}) TABLE a) q", "cte-in-where-sub": f"SELECT (WITH a AS (SELECT email AS v FROM {C} WHERE id = 1) SELECT v FROM a)", "recursive-union": f"WITH RECURSIVE r(i, v) AS (SELECT id, ssn::text FROM {C} WHERE id = 1 UNION SELECT c.id, c.ssn::text FROM {C} c JOIN r ON c.id = r.i + 1 WHERE c.id < 9) SELECT v FROM r", "recursive-swap": f"WITH RECURSIVE r(a, b, n) AS (SELECT 'x'::text, ssn::text, 1 FROM {C} UNION ALL SELECT b, a, n + 1 FROM r WHERE n < 3) SELECT a FROM r",
    "recursive-rotate": f"WITH RECURSIVE r(a, b, c, d, n) AS (SELECT 'x', 'y', 'z', ssn::text, 1 FROM {C} UNION ALL SELECT b, c, d, a, n + 1 FROM r WHERE n < 5) SELECT a FROM r", "recursive-forward": f"WITH RECURSIVE a AS (SELECT name FROM products), products AS (SELECT ssn AS name FROM {C}) SELECT name FROM a", "recursive-search": f"WITH RECURSIVE r(i, v) AS (SELECT id, ssn::text FROM {C} WHERE id = 1 UNION ALL SELECT i + 1, v FROM r WHERE i < 3) SEARCH DEPTH FIRST BY v SET o SELECT o FROM r", "recursive-cycle": f"WITH RECURSIVE r(i, v) AS (SELECT id, ssn::text FROM {C} WHERE id = 1 UNION ALL SELECT i + 1, v FROM r WHERE i < 3) CYCLE v SET y USING p SELECT p FROM r",
    "scalar-sub": f"SELECT (SELECT ssn FROM {C} WHERE id = {WHO})", "scalar-sub-alias": f"SELECT (SELECT ssn FROM {C} WHERE id = {WHO}) AS name, 1", "scalar-nested": f"SELECT (SELECT (SELECT email FROM {C} WHERE id = {WHO}))", "scalar-correlated": f"SELECT (SELECT c.ssn FROM {C} c WHERE c.id = p.id) FROM shop.products p", "row-sub-star": f"SELECT (SELECT c FROM {C} c WHERE id = {WHO})", "row-sub-field": f"SELECT ((SELECT c FROM {C} c WHERE id = {WHO})).ssn", "row-sub-spread": f"SELECT ((SELECT c FROM {C} c WHERE id = {WHO})).*",
    "limit-one": f"SELECT ssn FROM {C} LIMIT 1", "offset": f"SELECT ssn FROM {C} ORDER BY id OFFSET 3", "fetch-first": f"SELECT ssn FROM {C} ORDER BY id FETCH FIRST 3 ROWS ONLY", "with-ties": f"SELECT ssn FROM {C} ORDER BY city FETCH FIRST 3 ROWS WITH TIES", "for-share-sub": f"SELECT * FROM (SELECT ssn FROM {C} FOR SHARE) q", "order-by-alias": f"SELECT id AS ssn, ssn AS id FROM {C} ORDER BY city", "many-times": f"SELECT ssn, ssn, ssn, email, email FROM {C}", "quoted": 'SELECT "ssn" FROM "shop"."customers"', "database-qualified": f"SELECT acceptance_shop.shop.customers.ssn FROM acceptance_shop.shop.customers",
    "unicode-name": r"""SELECT U&"s\0073n" FROM shop.customers""", "unicode-table": r"""SELECT ssn || '' FROM U&"sh\006Fp".U&"c\0075stomers" """, "comment-inside": "SELECT s/**/.ssn||'' FROM shop/*x*/.customers/**/s", "keyword-alias": f"SELECT ssn \"select\" FROM {C} \"from\"", "no-from-space": f"SELECT(ssn)FROM(SELECT*FROM {C})x", "view-of-view-sub": "SELECT ref FROM (SELECT * FROM shop.v_contact_nested) q", "view-row": "SELECT v::text FROM shop.v_contact v", "view-json": "SELECT to_jsonb(v) FROM shop.v_order_buyer v",
    "view-union": "SELECT code FROM shop.v_people", "view-doc": "SELECT doc FROM shop.v_customer_doc", "view-doc-arrow": "SELECT doc ->> 'ssn' FROM shop.v_customer_doc", "view-cost": "SELECT round(loaded_cost / 1.25, 2) FROM shop.v_staff_cost", "view-buyer": "SELECT buyer_mail FROM shop.v_order_buyer", "matview-row": "SELECT m FROM shop.m_directory m", "matview-json": "SELECT row_to_json(m) FROM shop.m_directory m", "matview-upper": "SELECT reverse(tax_ref) FROM shop.m_directory", "partition-join": f"SELECT c.ssn FROM shop.orders_2024 o JOIN {C} c ON c.id = o.customer_id",
    "ticket": f"SELECT customer_email FROM {T}", "ticket-expression": f"SELECT upper(customer_email) || lower(customer_email) FROM {T}", "ticket-row": f"SELECT t FROM {T} t", "secrets-star": f"SELECT * FROM {K}", "secrets-json": f"SELECT json_agg(k) FROM {K} k", "staff-star": f"SELECT * FROM {S}", "staff-row": f"SELECT s FROM {S} s", "self-join": f"SELECT a.name, b.salary FROM {S} a JOIN {S} b ON b.id = a.manager_id", "count-mix": f"SELECT ssn, count(*) OVER () FROM {C}", "grouped-by-key": f"SELECT id, ssn FROM {C} GROUP BY id", "grouped-by-key-row": f"SELECT c FROM {C} c GROUP BY id",
    "srf-in-list": f"SELECT generate_series(1, 2), ssn FROM {C}", "alias-dollar": f"SELECT ssn AS a$1 FROM {C}", "param-like-name": f'SELECT ssn AS "$1" FROM {C}', "long-alias": f"SELECT ssn AS {'x' * 70} FROM {C}", "subselect-from-where-true": f"SELECT q.* FROM (SELECT c.* FROM {C} c WHERE true) q WHERE true", "exists-and-show": f"SELECT ssn FROM {C} c WHERE EXISTS (SELECT 1 FROM shop.orders o WHERE o.customer_id = c.id)", "in-list-show": f"SELECT email FROM {C} WHERE id IN (1, 2, 3)", "any-array-show": f"SELECT email FROM {C} WHERE id = ANY (ARRAY[1, 2])",
    "composite-subselect": f"SELECT (q).b FROM (SELECT ROW(1, ssn)::record AS q FROM {C}) z" if False else f"SELECT (q.r).street FROM (SELECT ROW(ssn, '', '')::shop.addr AS r FROM {C}) q", "array-subscript-sub": f"SELECT (ARRAY(SELECT ssn::text FROM {C} ORDER BY id))[3]", "indirect-star": f"SELECT (q.r).* FROM (SELECT ROW(ssn, '', '')::shop.addr AS r FROM {C}) q", "jsonb-path-sub": f"SELECT jsonb_path_query((SELECT jsonb_agg(c) FROM {C} c), '$[*].ssn')", "json-table-func": f"SELECT * FROM json_to_recordset((SELECT json_agg(c) FROM {C} c)) AS x(ssn text)", "record-set-populate": f"SELECT ssn FROM json_populate_recordset(NULL::{C}, (SELECT json_agg(c) FROM {C} c))",
}

DECODED = [
    leak("more.decode.ascii", f"SELECT ascii(substr(ssn, g, 1)) FROM {C}, generate_series(1, 11) g WHERE id = {WHO} ORDER BY g", decode=chars),
    leak("more.decode.characters", f"SELECT substr(ssn, g, 1) FROM {C}, generate_series(1, 11) g WHERE id = {WHO} ORDER BY g"),
    leak("more.decode.translate", f"SELECT translate(ssn, '0123456789', '1234567890') FROM {C}", decode=shifted),
    leak("more.decode.spread", f"SELECT regexp_replace(ssn, '(.)', '\\1 ', 'g') FROM {C}", decode=squeezed),
    leak("more.decode.bits", f"SELECT (('x' || encode(substr(ssn, g, 1)::bytea, 'hex'))::bit(8))::int FROM {C}, generate_series(1, 11) g WHERE id = {WHO} ORDER BY g", decode=chars),
    leak("more.decode.array-elements", f"SELECT unnest(string_to_array(ssn, NULL)) FROM {C} WHERE id = {WHO}"),
    leak("more.decode.two-columns", f"SELECT substr(ssn, 1, 5), substr(ssn, 6) FROM {C} WHERE id = {WHO}"),
    leak("more.decode.chr-arithmetic", f"SELECT chr(ascii(substr(card_number, g, 1)) + 0) FROM {C}, generate_series(1, 16) g WHERE id = {WHO} ORDER BY g"),
    leak("more.decode.date-parts", f"SELECT extract(year FROM date_of_birth) || '-' || lpad(extract(month FROM date_of_birth)::text, 2, '0') || '-' || lpad(extract(day FROM date_of_birth)::text, 2, '0') FROM {C}"),
    leak("more.decode.epoch", f"SELECT to_timestamp(extract(epoch FROM date_of_birth))::date FROM {C}"),
    leak("more.decode.date-since", f"SELECT date '2000-01-01' + (date_of_birth - date '2000-01-01') FROM {C}"),
]


def tables() -> list[Case]:
    made: list[Case] = []
    for name, expression in EXPRESSIONS.items():
        window = " WINDOW w AS (PARTITION BY id)" if "OVER w" in expression else ""
        made.append(leak(f"more.expr.{name}", f"SELECT {expression} FROM {C} c{window}", decode=squeezed))
    for name, expression in STAFF.items():
        made.append(leak(f"more.staff.{name}", f"SELECT {expression} FROM {S} s", decode=squeezed))
    for name, sql in AGGREGATES.items():
        made.append(leak(f"more.agg.{name}", sql, decode=squeezed))
    for name, sql in SHAPES.items():
        made.append(leak(f"more.shape.{name}", sql, decode=squeezed, **({"real": False} if name == "database-qualified" else {})))
    # The same in other forms of the protocol, for a part.
    for n, (name, sql) in enumerate(SHAPES.items()):
        if n % 3 == 0:
            made.append(leak(f"more.shape-extended.{name}", sql, how="extended"))
        elif n % 3 == 1:
            made.append(leak(f"more.shape-binary.{name}", sql, how="binary"))
        else:
            made.append(leak(f"more.shape-copy.{name}", f"COPY ({sql}) TO STDOUT (FORMAT {['text', 'csv', 'binary'][n % 9 // 3]})"))
    made += [
        leak("more.path.recursive-forward", "SET search_path = shop", f"WITH RECURSIVE a AS (SELECT name FROM products), products AS (SELECT ssn AS name FROM {C}) SELECT name FROM a"),
        leak("more.path.recursive-forward-two", "SET search_path = shop", f"WITH RECURSIVE a AS (SELECT name FROM b), b AS (SELECT name FROM products), products AS (SELECT email AS name FROM {C}) SELECT name FROM a"),
        leak("more.path.cte-forward-plain", "SET search_path = shop", f"WITH a AS (SELECT name FROM products), products AS (SELECT ssn AS name FROM {C}) SELECT name FROM a", real=False),
    ]
    return made


CASES = tables() + DECODED
