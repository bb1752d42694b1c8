//! What names mean when they move, and what types make of casts and parameters.

use std::sync::Arc;

use super::NoNames;
use super::catalog::shop;
use super::tests::{catalog, under};
use super::*;

/// Effects and outputs in a line each, to be compared.
pub(super) fn said(analysis: &Analysis) -> Vec<String> {
    let mut all = Vec::new();
    for statement in &analysis.statements {
        for effect in &statement.effects {
            let via = effect.via.as_ref().map(|v| format!(" via {v}")).unwrap_or_default();
            let why = effect.why.as_ref().map(|w| format!(" ({w})")).unwrap_or_default();
            all.push(format!("{} {}{via}{why}", effect.action.as_str(), effect.resource));
        }
        if let Outputs::Columns(columns) = &statement.outputs {
            let columns: Vec<String> = columns
                .iter()
                .map(|c| match &c.lineage {
                    Lineage::Clear => c.name.clone(),
                    Lineage::Plain(s) => format!(
                        "{}={}",
                        c.name,
                        s.iter().map(|s| s.column.to_string()).collect::<Vec<_>>().join("+")
                    ),
                    Lineage::Derived(s) => format!(
                        "{}~{}",
                        c.name,
                        s.iter().map(|s| s.column.to_string()).collect::<Vec<_>>().join("+")
                    ),
                    Lineage::Unknown(why) => format!("{}?{why}", c.name),
                })
                .collect();
            all.push(format!("-> {}", columns.join(", ")));
        } else if let Outputs::Opaque(why) = &statement.outputs {
            all.push(format!("-> ??? {why}"));
        }
    }
    all
}

/// The whole meaning of a text as lines; of one that is refused, why.
fn lines(path: &[&str], text: &str) -> Vec<String> {
    under(path, text).map_or_else(|refusal| vec![refusal.to_string()], |analysis| said(&analysis))
}

#[track_caller]
pub(super) fn has(path: &[&str], text: &str, part: &str) {
    let lines = lines(path, text);
    assert!(lines.iter().any(|l| l.contains(part)), "{text}: no {part} in {lines:#?}");
}

#[track_caller]
pub(super) fn has_not(path: &[&str], text: &str, part: &str) {
    let lines = lines(path, text);
    assert!(!lines.iter().any(|l| l.contains(part)), "{text}: {part} in {lines:#?}");
}

pub(super) const PUBLIC: &[&str] = &["pg_catalog", "public"];
const SHOP: &[&str] = &["pg_catalog", "shop"];

#[test]
fn a_recursive_with_sees_what_stands_further_down_before_the_tables_of_that_name() {
    let text = "WITH RECURSIVE a AS (SELECT name FROM products), \
                products AS (SELECT ssn AS name FROM shop.customers) SELECT name FROM a";
    has(SHOP, text, "name=shop.customers.ssn");
    has_not(SHOP, text, "select shop.products");
    let plain = text.replace(" RECURSIVE", "");
    has(SHOP, &plain, "select shop.products");
    for honest in [
        "WITH RECURSIVE a AS (SELECT n FROM b), b AS (SELECT 1 AS n) SELECT n FROM a",
        "WITH RECURSIVE a AS (SELECT n FROM b), b AS (SELECT n FROM c), c AS (SELECT 1 AS n) SELECT n FROM a",
        "WITH RECURSIVE t(n) AS (SELECT n FROM s UNION ALL SELECT n + 1 FROM t WHERE n < 9), s AS (SELECT 1 AS n) \
         SELECT n FROM t",
    ] {
        has_not(PUBLIC, honest, "unknown");
    }
    has(
        PUBLIC,
        "WITH RECURSIVE a AS (SELECT n FROM b), b AS (SELECT n FROM a) SELECT n FROM a",
        "name each other",
    );
}

struct One(Arc<Statement>);

impl Named for One {
    fn prepared(&self, _: &str) -> Option<Arc<Statement>> {
        Some(Arc::clone(&self.0))
    }
    fn cursor(&self, _: &str) -> Option<Arc<Statement>> {
        Some(Arc::clone(&self.0))
    }
}

#[test]
fn what_was_prepared_means_something_else_once_the_path_has_moved() {
    let before = under(SHOP, "SELECT id, name FROM products").unwrap();
    let names = One(Arc::clone(&before.statements[0]));
    let path: Vec<String> = SHOP.iter().map(|s| (*s).to_owned()).collect();
    let session = Session { catalog: catalog(), search_path: &path, role: "postgres", prepared: &names };
    let is_certain = |text: &str| {
        let analysis = analyse(text, &session, &Options::default()).unwrap();
        !said(&analysis).iter().any(|l| l.contains("unknown"))
    };
    for (text, certain) in [
        ("EXECUTE s", true),
        ("SET application_name = 'x'; EXECUTE s", true),
        ("SET search_path = vault; EXECUTE s", false),
        ("SET search_path = vault; EXPLAIN ANALYZE EXECUTE s", false),
        ("SET search_path = shop; PREPARE t AS SELECT name FROM products; EXECUTE t", true),
        ("PREPARE t AS SELECT name FROM products; EXECUTE t", true),
        ("PREPARE t AS SELECT name FROM products; SET search_path = vault; EXECUTE t", false),
        ("RESET search_path; EXECUTE s", false),
        ("FETCH ALL FROM k", true),
    ] {
        assert_eq!(is_certain(text), certain, "{text}");
    }
}

#[test]
fn what_is_executed_or_fetched_is_a_query() {
    let queries = ["SELECT id FROM products", "VALUES (1)", "INSERT INTO products (name) VALUES ('x')"];
    let others = [
        "SET search_path = vault",
        "ROLLBACK",
        "DEALLOCATE p",
        "DECLARE k CURSOR FOR SELECT 1",
        "CLOSE k",
        "PREPARE p AS SELECT 1",
        "COPY products TO STDOUT",
        "EXPLAIN SELECT 1",
        "SELECT 1 INTO made",
    ];
    let path: Vec<String> = SHOP.iter().map(|s| (*s).to_owned()).collect();
    for (text, is_query) in
        queries.map(|text| (text, true)).into_iter().chain(others.map(|text| (text, false)))
    {
        let names = One(Arc::clone(&under(SHOP, text).unwrap().statements[0]));
        let session = Session { catalog: catalog(), search_path: &path, role: "postgres", prepared: &names };
        for speaks in ["EXECUTE s", "FETCH ALL FROM k", "MOVE ALL FROM k", "EXPLAIN ANALYZE EXECUTE s"] {
            let said = said(&analyse(speaks, &session, &Options::default()).unwrap());
            let is_known = !said.iter().any(|line| line.contains("unknown"));
            assert_eq!(is_known, is_query, "{speaks} of {text}: {said:#?}");
        }
    }
}

#[test]
fn a_cursor_that_is_explained_is_not_there() {
    const CLOSED: &str = "DECLARE k CURSOR FOR SELECT ssn FROM shop.customers";
    for explain in ["EXPLAIN", "EXPLAIN ANALYZE"] {
        let text = format!("{CLOSED}; {explain} DECLARE k CURSOR FOR SELECT id FROM shop.products; FETCH k");
        has(SHOP, &text, "ssn=shop.customers.ssn");
        has(
            SHOP,
            &format!("{explain} DECLARE k CURSOR FOR SELECT id FROM shop.products"),
            "select shop.products",
        );
        has(
            SHOP,
            &format!("{explain} DECLARE k CURSOR FOR SELECT id FROM shop.products; FETCH k"),
            "unknown",
        );
    }
}

#[test]
fn a_text_that_is_run_decides_and_is_read_as_the_server_gets_it() {
    let text = |cast: &str| {
        format!("SELECT query_to_xml('SELECT id FROM shop.products WHERE id < 3'{cast}, true, true, '')")
    };
    for (cast, certain) in [
        ("", true),
        ("::text", true),
        ("::varchar", true),
        ("::varchar(34)", false),
        ("::char(34)", false),
        ("::name", false),
        ("::text::varchar(9)", false),
        ("::bpchar", false),
    ] {
        let text = text(cast);
        let lines = lines(SHOP, &text);
        assert_eq!(!lines.iter().any(|line| line.contains("unknown")), certain, "{text}: {lines:#?}");
        let statement = &under(SHOP, &text).unwrap().statements[0];
        assert!(statement.depends_on_literals && statement.by_path, "{text}");
    }
}

#[test]
fn a_table_that_a_text_names_is_read_like_any_other() {
    let tree =
        |arguments: &str| format!("SELECT * FROM public.connectby({arguments}) AS t(a int, b int, c int)");
    for (text, reads) in [
        ("SELECT table_to_xml('shop.products', true, false, '')".to_owned(), "shop.products"),
        ("SELECT table_to_xml('products'::regclass, true, false, '')".to_owned(), "shop.products"),
        ("SELECT table_to_xml_and_xmlschema('\"products\"', true, false, '')".to_owned(), "shop.products"),
        ("SELECT table_to_xmlschema('shop.v_open_orders', true, false, '')".to_owned(), "shop.v_open_orders"),
        (tree("'shop.staff', 'id', 'manager_id', '1', 0"), "shop.staff"),
        (tree("'shop.staff', 'id', 'manager_id', 'name', '1', 0"), "shop.staff"),
        (tree("'staff', 'id', 'manager_id', $1, 0, '/'"), "shop.staff"),
    ] {
        has(SHOP, &text, &format!("select {reads}"));
        has_not(SHOP, &text, "unknown");
        has_not(SHOP, &text, "probe");
    }
    for text in [
        "SELECT table_to_xml('shop.customers', true, false, '')".to_owned(),
        "WITH customers AS (SELECT 1) SELECT table_to_xml('customers', true, false, '')".to_owned(),
        tree("'shop.staff', 'salary', 'manager_id', '1', 0"),
        tree("'shop.staff', 'id', 'salary', '1', 0"),
        tree("'shop.staff', 'id', 'manager_id', 'salary', '1', 0"),
    ] {
        has(SHOP, &text, "probe");
    }
    // What else stands in a name, or a table that only a number names, may make a text mean anything.
    for text in [
        "SELECT table_to_xml('user', true, false, '')".to_owned(),
        "SELECT table_to_xml('16390', true, false, '')".to_owned(),
        "SELECT table_to_xml($1, true, false, '')".to_owned(),
        "SELECT table_to_xml(to_regclass('shop.customers'), true, false, '')".to_owned(),
        tree("'shop.staff', 'id', 'manager_id --', '1', 0"),
        tree("'shop.staff', 'id', 'manager_id = $$', '1', 0"),
        tree("'shop.staff', $1, 'manager_id', '1', 0"),
    ] {
        has(SHOP, &text, "unknown");
    }
}

#[test]
fn how_long_values_are_is_not_told_by_the_memory_that_they_take() {
    for (query, tells) in [
        ("SELECT id, ssn FROM shop.customers", false),
        ("SELECT id, ssn FROM shop.customers WHERE id < 5", false),
        ("SELECT id, ssn FROM shop.customers ORDER BY id", true),
        ("SELECT c.ssn FROM shop.customers c, generate_series(1, 9)", true),
        ("SELECT ssn FROM shop.customers UNION ALL SELECT NULL", true),
        ("WITH c AS MATERIALIZED (SELECT ssn FROM shop.customers) SELECT count(*) FROM c", true),
        ("SELECT id, name FROM shop.customers ORDER BY name", false),
        ("SELECT c.id FROM shop.customers c JOIN shop.orders o ON o.id = c.id ORDER BY 1", false),
    ] {
        let probes = |text: &str| lines(SHOP, text).iter().any(|line| line.starts_with("probe"));
        assert_eq!(probes(&format!("EXPLAIN ANALYZE {query}")), tells, "{query}");
        assert!(!probes(&format!("EXPLAIN {query}")) && !probes(query), "{query}");
    }
}

/// The sample with functions and an operator of a user's own that are called as the server's are, a schema that nobody may look
/// into, and a table in it that is called as another one is.
fn with_namesakes() -> Catalog {
    use super::catalog::{FIRST_USER_OID, Function, Oid, Operator};
    let mut catalog = shop();
    let upper = catalog.functions_named("upper").find(|f| f.arguments == [Oid(25)]).unwrap().clone();
    let made = Function {
        oid: Oid(FIRST_USER_OID + 900_000),
        schema: "shop".to_owned(),
        arguments: vec![Oid(1043)],
        language: "sql".to_owned(),
        source: "SELECT $1".to_owned(),
        ..upper
    };
    let plus = Operator {
        schema: "shop".to_owned(),
        name: "+".to_owned(),
        left: Oid(23),
        right: Oid(23),
        result: Oid(23),
        function: made.oid,
    };
    catalog.function_names.entry("upper".to_owned()).or_default().push(made.oid);
    catalog.functions.insert(made.oid, made);
    catalog.operator_names.entry("+".to_owned()).or_default().push(catalog.operators.len());
    catalog.operators.push(plus);
    catalog.schemas.insert("archive".to_owned(), false);
    let mut hidden = catalog.relation("shop", "products").unwrap().clone();
    hidden.oid = Oid(FIRST_USER_OID + 900_001);
    hidden.schema = "archive".to_owned();
    hidden.name = "customers".to_owned();
    let named = catalog.relation_names.entry("archive".to_owned()).or_default();
    named.insert("customers".to_owned(), hidden.oid);
    named.insert("pg_namespace".to_owned(), hidden.oid);
    catalog.relations.insert(hidden.oid, hidden);
    catalog
}

#[track_caller]
fn among_namesakes(path: &[&str], role: &str, text: &str) -> Vec<String> {
    let catalog = with_namesakes();
    let path: Vec<String> = path.iter().map(|s| (*s).to_owned()).collect();
    let session = Session { catalog: &catalog, search_path: &path, role, prepared: &NoNames };
    said(&analyse(text, &session, &Options::default()).unwrap_or_else(|refusal| panic!("{text}: {refusal}")))
}

#[test]
fn where_the_path_is_not_certain_a_name_of_the_servers_may_be_anybodys() {
    let is_certain = |text: &str| {
        !among_namesakes(&["pg_catalog"], "postgres", text).iter().any(|l| l.contains("one at a time"))
    };
    for (text, certain) in [
        ("SELECT upper('x'::varchar), 1 + 1 FROM pg_namespace", true),
        ("RESET search_path; SELECT upper('x'::varchar)", false),
        ("RESET search_path; SELECT pg_catalog.upper('x'::varchar)", true),
        ("RESET search_path; SELECT initcap('x'::varchar), now(), count(*) FROM pg_class", true),
        ("RESET search_path; SELECT nspname FROM pg_namespace", false),
        ("RESET search_path; SELECT nspname FROM pg_catalog.pg_namespace", true),
        ("RESET search_path; SELECT 1 + 1", false),
        ("RESET search_path; SELECT 1 OPERATOR(pg_catalog.+) 1, 1 - 1, 1.5 + 2.5", true),
        ("RESET ALL; SELECT upper('x'::varchar)", false),
        ("DISCARD ALL; SELECT upper('x'::varchar)", false),
        ("SET search_path = pg_catalog; SELECT upper('x'::varchar), 1 + 1", true),
        // What an earlier statement made is in no catalogue yet.
        (
            "CREATE FUNCTION shop.initcap(varchar) RETURNS text LANGUAGE sql AS 'SELECT 1'; SELECT initcap('x'::varchar)",
            false,
        ),
        (
            "CREATE FUNCTION shop.initcap(varchar) RETURNS text LANGUAGE sql AS 'SELECT 1'; SELECT length('x')",
            true,
        ),
        ("CREATE OPERATOR shop.- (LEFTARG = int, RIGHTARG = int, FUNCTION = f); SELECT 1 - 1", false),
        ("CREATE CAST (int AS text) WITH FUNCTION f(int); SELECT 1::text", false),
        ("ALTER FUNCTION shop.f(varchar) RENAME TO initcap; SELECT initcap('x')", false),
        ("CREATE TEMP TABLE pg_class AS SELECT 1 AS a; SELECT * FROM pg_class", false),
        ("DO 'BEGIN CREATE TABLE a (b int); END'; SELECT now()", false),
        (
            "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION shop.f(); CREATE TABLE shop.a (b text)",
            false,
        ),
        ("CREATE EXTENSION hstore; CREATE TABLE shop.a (b int)", true),
        ("CREATE TABLE shop.a (b text); CREATE TABLE shop.c (d text, e timestamptz DEFAULT now())", true),
        ("CREATE TABLE shop.a (b text); SELECT initcap('x'), 1 - 1, count(*) FROM pg_class", true),
    ] {
        assert_eq!(is_certain(text), certain, "{text}");
    }
}

#[test]
fn a_schema_that_may_not_be_used_is_passed_over_in_a_path() {
    let check = |role: &str, text: &str, part: &str| {
        let lines = among_namesakes(&["pg_catalog", "public"], role, text);
        assert!(lines.iter().any(|l| l.contains(part)), "{role}: {text}: no {part} in {lines:#?}");
    };
    let text = "SET search_path = archive, shop; SELECT email FROM customers";
    check("postgres", text, "select shop.customers");
    check("postgres", text, "email=shop.customers.email");
    // Whether another role may is not known.
    check("somebody", text, "one at a time");
    check("postgres", "SET search_path = 'archive, shop'; SELECT email FROM customers", "does not exist");
    check(
        "postgres",
        "SELECT set_config('search_path', 'Archive, SHOP', false); SELECT email FROM customers",
        "one at a time",
    );
}

#[test]
fn a_path_that_is_set_for_a_transaction_is_not_certain_behind_its_end() {
    for text in [
        "BEGIN; SET LOCAL search_path = shop; COMMIT; SELECT name FROM products",
        "SET LOCAL search_path = shop; COMMIT; SELECT name FROM products",
        "BEGIN; SET search_path = shop; ROLLBACK; SELECT name FROM products",
        "SAVEPOINT a; SET search_path = shop; ROLLBACK TO a; SELECT name FROM products",
    ] {
        has(PUBLIC, text, "one at a time");
    }
    for text in [
        "BEGIN; SET LOCAL search_path = shop; SELECT name FROM products; COMMIT",
        "BEGIN; SELECT 1; ROLLBACK; SELECT name FROM shop.products",
        "BEGIN; SET search_path = shop; COMMIT; SELECT name FROM products",
    ] {
        has_not(PUBLIC, text, "unknown");
    }
}

#[test]
fn rows_of_functions_have_the_columns_that_the_server_gives_them() {
    for text in [
        "SELECT a, b, n FROM unnest(ARRAY[1, 2], ARRAY['a', 'b']) WITH ORDINALITY AS t(a, b, n)",
        "SELECT street, town FROM jsonb_populate_record(NULL::shop.addr, '{}')",
        "SELECT * FROM jsonb_populate_recordset(NULL::shop.products, '[]')",
    ] {
        has_not(PUBLIC, text, "unknown");
    }
    has(
        PUBLIC,
        "SELECT x FROM shop.customers c, unnest(ARRAY[c.ssn::text], ARRAY[1]) AS t(x, y)",
        "probe column shop.customers.ssn",
    );
}

#[test]
fn rows_without_certain_columns_are_unknown_before_they_come() {
    has(PUBLIC, "SELECT * FROM json_to_record('{}')", "unknown");
}

#[test]
fn names_that_are_not_there_are_worded_as_the_server_does() {
    for (text, words) in [
        ("SELECT x.id FROM shop.products p", "missing FROM-clause entry for table \"x\""),
        ("SELECT nosuch FROM shop.products", "column \"nosuch\" does not exist"),
        ("SELECT p.nosuch FROM shop.products p", "column p.nosuch does not exist"),
        ("SELECT nosuch(1, 'a')", "function nosuch(integer, unknown) does not exist"),
        ("SELECT * FROM shop.nosuch", "relation \"shop.nosuch\" does not exist"),
    ] {
        has(PUBLIC, text, words);
    }
}

#[test]
fn what_becomes_a_value_of_a_domain_passes_its_check_wherever_its_name_stands() {
    for text in [
        "SELECT 'x'::shop.checked_text",
        "SELECT shop.checked_text('x')",
        "PREPARE p (shop.checked_text) AS SELECT $1",
        "PREPARE p (shop.checked_text[]) AS SELECT 1",
        "SELECT CAST(NULL AS shop._checked_text)",
    ] {
        has(PUBLIC, text, "shop.secrets.api_key");
    }
    has(SHOP, "SELECT checked_text('x')", "shop.secrets.api_key");
    for text in ["SELECT text(1), tsquery('a'), regclass('pg_class')", "PREPARE p (int, text) AS SELECT $1"] {
        has_not(PUBLIC, text, "unknown");
    }
}

#[test]
fn a_cast_to_text_calls_a_users_cast_only_where_its_source_may_stand() {
    for (expression, calls) in [
        ("price * 2", false),
        ("price / id", false),
        ("id || ''", false),
        ("-price", false),
        ("attributes -> 'size'", false),
        ("attributes['size']", false),
        ("ARRAY[id] || 2", false),
        ("(ARRAY[id])[1]", false),
        ("ARRAY[]::int[]", false),
        ("CASE WHEN id > 1 THEN price ELSE 0 END", false),
        ("coalesce(weight_g, 0)", false),
        ("lower(dimensions)", false),
        ("dimensions * dimensions", false),
        ("added_at + interval '1 day'", false),
        ("(SELECT max(id) FROM shop.products)", false),
        ("(SELECT sum(quantity) FROM shop.order_items)", false),
        ("(SELECT mode() WITHIN GROUP (ORDER BY name) FROM shop.products)", false),
        ("(SELECT max(status) FROM shop.orders)", false),
        ("enum_first(NULL::shop.order_status)", false),
        ("enum_range(NULL::shop.order_status)", false),
        ("upper('a')", false),
        ("max('a')", false),
        ("lower(upper('a'))", false),
        ("(SELECT max(ship_to) FROM shop.orders)", true),
        ("(SELECT address FROM shop.customers LIMIT 1)", true),
        ("(SELECT ship_to FROM shop.orders LIMIT 1)", true),
        ("(SELECT (array_agg(ship_to))[1] FROM shop.orders)", true),
        ("ROW('a', 'b', 'c')::shop.addr", true),
    ] {
        let text = format!("SELECT ({expression})::text FROM shop.products");
        let found = lines(PUBLIC, &text).iter().any(|l| l.contains("api_key"));
        assert_eq!(found, calls, "{text}: {:#?}", lines(PUBLIC, &text));
    }
}

#[test]
fn a_users_cast_is_called_wherever_the_server_casts_by_itself() {
    for (text, calls) in [
        ("SELECT address || 'x' FROM shop.customers", true),
        ("SELECT 'x' || address FROM shop.customers", true),
        ("SELECT address OPERATOR(pg_catalog.||) 'x' FROM shop.customers", true),
        ("SELECT quote_literal(address) FROM shop.customers", true),
        ("SELECT quote_nullable(address), 1 FROM shop.customers", true),
        ("SELECT textanycat('x', address) FROM shop.customers", true),
        ("SELECT ROW(address, 'b', 'c')::shop.addr FROM shop.customers", true),
        ("SELECT ARRAY[ROW(address, 'b', 'c')]::shop.addr[] FROM shop.customers", true),
        ("SELECT t::shop.addr FROM (SELECT address, 'b', 'c' FROM shop.customers) t", true),
        ("SELECT ARRAY[[address]]::text[] FROM shop.customers", true),
        ("SELECT xmlparse(CONTENT address) FROM shop.customers", true),
        ("SELECT xmlpi(NAME a, address) FROM shop.customers", true),
        ("SELECT xmlroot('<a/>', VERSION address) FROM shop.customers", true),
        (
            "SELECT x.* FROM shop.customers, xmltable('/a' PASSING '<a/>' COLUMNS a text DEFAULT address) x",
            true,
        ),
        ("SELECT x::text FROM shop.customers, unnest(ARRAY[address]) x", true),
        ("PREPARE p AS SELECT $1; EXECUTE p (ROW('a', 'b', 'c')::shop.addr)", true),
        ("PREPARE p (shop.addr) AS SELECT $1 || ''", true),
        ("PREPARE p (shop.addr) AS SELECT $1::text", true),
        // Their neighbours.
        ("SELECT city || 'x' || id || labels::text FROM shop.customers", false),
        ("SELECT ARRAY[address] || address FROM shop.customers", false),
        ("SELECT quote_literal(city), quote_nullable(id) FROM shop.customers", false),
        ("SELECT concat(address, ''), format('%s', address), address::varchar FROM shop.customers", false),
        (
            "SELECT ROW(city, 'b', 'c')::shop.addr, ARRAY[city]::text[], ARRAY[$1, $2]::text[] FROM shop.customers",
            false,
        ),
        (
            "SELECT xmlelement(NAME a, address), xmlforest(address AS a), xmlparse(CONTENT city) FROM shop.customers",
            false,
        ),
        ("SELECT $1::text, 'x' || $2, $3::text[], CAST($4 AS varchar) LIMIT $5", false),
        ("SELECT quote_literal($1), quote_nullable($2 || 'x'), ROW($1, $2 || '', 'c')::shop.addr", false),
        ("SELECT '%' || $1 || '%' || $2 || 'x', $3 || $4 || ''", false),
        ("PREPARE p AS SELECT $1; EXECUTE p ('x')", false),
        ("PREPARE p (text, int) AS SELECT $1::varchar || $2; EXECUTE p ('x', 1)", false),
    ] {
        let found = lines(PUBLIC, text).iter().any(|l| l.contains("api_key"));
        assert_eq!(found, calls, "{text}: {:#?}", lines(PUBLIC, text));
    }
}

#[test]
fn what_extract_was_before_14_is_found() {
    let mut old = shop();
    old.server_version = 130_023;
    let path: Vec<String> = PUBLIC.iter().map(|s| (*s).to_owned()).collect();
    let session = Session { catalog: &old, search_path: &path, role: "postgres", prepared: &NoNames };
    let text = "SELECT extract(year FROM placed_at) FROM shop.orders";
    let analysis = analyse(text, &session, &Options::default()).unwrap();
    assert!(!said(&analysis).iter().any(|l| l.contains("does not exist")), "{:#?}", said(&analysis));
}

#[test]
fn a_prepared_statement_or_cursor_that_is_not_there_is_missing_and_nothing_more() {
    for text in ["EXECUTE nosuch", "FETCH nosuch"] {
        let unknown = lines(PUBLIC, text).iter().filter(|l| l.starts_with("unknown")).count();
        assert_eq!(unknown, 1, "{text}: {:#?}", lines(PUBLIC, text));
    }
}

#[test]
fn what_is_harmless_whatever_its_value_may_be_set_to_a_parameter() {
    for name in ["jit", "application_name", "TimeZone", "statement_timeout", "search_path"] {
        has_not(PUBLIC, &format!("SELECT set_config('{name}', $1, false)"), "configure");
    }
    // These are harmless as they are only.
    for name in ["client_encoding", "default_transaction_read_only", "row_security"] {
        has(PUBLIC, &format!("SELECT set_config('{name}', $1, false)"), "configure");
    }
    has(PUBLIC, "SELECT set_config($1, 'off', false)", "configure");
}

#[test]
fn code_that_finds_its_names_when_they_have_moved_is_not_known() {
    let unknown = |text: &str| lines(SHOP, text).iter().any(|l| l.starts_with("unknown"));
    for text in [
        "SELECT set_config('search_path', 'vault', false), shop.order_total(3)",
        "SELECT set_config('search_path', $1, false), shop.order_total(3)",
        "SELECT set_config('search_path', $1, false); SELECT name FROM products",
        "SELECT shop.order_total(set_config('search_path', 'vault', false)::int)",
        "UPDATE shop.orders SET status = set_config('search_path', 'vault', false)",
        "DO $$ BEGIN SET search_path = vault; PERFORM shop.order_total(3); END $$",
        "DECLARE c CURSOR FOR SELECT shop.order_total(id) FROM shop.orders; SET search_path = vault",
        "DECLARE c CURSOR FOR SELECT shop.order_total(id) FROM shop.orders; CREATE TEMP TABLE order_items (id int)",
        "DECLARE c CURSOR FOR SELECT shop.order_total(id) FROM shop.orders; SELECT set_config('search_path', 'vault', true)",
    ] {
        assert!(unknown(text), "{text}: {:#?}", lines(SHOP, text));
    }
    for text in [
        "SELECT set_config('search_path', 'vault', false)",
        "SELECT set_config('search_path', 'vault', false), name FROM shop.products",
        "SELECT set_config('application_name', 'x', false), shop.order_total(3)",
        "SET search_path = shop; SELECT shop.order_total(3)",
        "DECLARE c CURSOR FOR SELECT name FROM shop.products; SET search_path = vault",
        "DECLARE c CURSOR FOR SELECT shop.order_total(id) FROM shop.orders; SET work_mem = '1MB'; FETCH c",
        "PREPARE p AS SELECT shop.order_total(1); SET search_path = vault",
    ] {
        assert!(!unknown(text), "{text}: {:#?}", lines(SHOP, text));
    }
    let mut deferred = shop();
    for relation in deferred.relations.values_mut() {
        relation.triggers.iter_mut().for_each(|t| t.deferrable = true);
    }
    let path: Vec<String> = SHOP.iter().map(|s| (*s).to_owned()).collect();
    let late = |catalog: &Catalog, text: &str| {
        let session = Session { catalog, search_path: &path, role: "postgres", prepared: &NoNames };
        let analysis = analyse(text, &session, &Options::default()).unwrap();
        analysis.statements.iter().any(|s| s.deferred)
            && said(&analysis).iter().any(|l| l.starts_with("unknown"))
    };
    let text = "UPDATE orders SET status = 'paid' WHERE id = 1; SET search_path = vault";
    assert!(late(&deferred, text) && !late(catalog(), text), "{text}");
}
