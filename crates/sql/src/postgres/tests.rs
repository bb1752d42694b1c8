use std::sync::LazyLock;

use super::catalog::{Catalog, shop};
use super::*;

pub(super) fn catalog() -> &'static Catalog {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(shop);
    &CATALOG
}

pub(super) fn under(path: &[&str], text: &str) -> Result<Analysis, Refusal> {
    let path: Vec<String> = path.iter().map(|s| (*s).to_owned()).collect();
    let session = Session { catalog: catalog(), search_path: &path, role: "postgres", prepared: &NoNames };
    analyse(text, &session, &Options::default())
}

/// The effects of a text, one word and resource each, without those on partitions and heirs.
fn effects(path: &[&str], text: &str) -> Vec<String> {
    let analysis = under(path, text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
    let all = analysis.statements.iter().flat_map(|s| &s.effects);
    let heirs = ["shop.customers_vip", "shop.orders_2024", "shop.orders_2025", "shop.orders_rest"];
    all.map(|e| format!("{} {}", e.action.as_str(), e.resource))
        .filter(|e| !heirs.iter().any(|h| e.ends_with(h)))
        .collect()
}

/// The outputs of the last statement: `name`, `name=columns` for plain ones, `name~columns` for computed ones.
fn outputs(text: &str) -> Vec<String> {
    let analysis =
        under(&["pg_catalog", "public"], text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
    let list = |sources: &[Source]| {
        sources.iter().map(|s| s.column.to_string()).collect::<Vec<_>>().join("+").replace("shop.", "")
    };
    match &analysis.statements.last().expect("a statement").outputs {
        Outputs::None => Vec::new(),
        Outputs::Opaque(why) => vec![format!("? {why}")],
        Outputs::Columns(columns) => columns
            .iter()
            .map(|c| match &c.lineage {
                Lineage::Clear => c.name.clone(),
                Lineage::Plain(sources) => format!("{}={}", c.name, list(sources)),
                Lineage::Derived(sources) => format!("{}~{}", c.name, list(sources)),
                Lineage::Unknown(why) => format!("{}?{why}", c.name),
            })
            .collect(),
    }
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(effects(&["pg_catalog", "public"], text), expected, "{text}");
}

#[test]
fn reads_are_selects_on_what_they_read() {
    for (text, expected) in [
        ("SELECT 1", &[][..]),
        ("SELECT now(), version(), current_user, pg_size_pretty(10::bigint)", &[]),
        ("SELECT id FROM shop.products WHERE id IN (1, 2) ORDER BY name LIMIT 3", &["select shop.products"]),
        ("TABLE shop.products", &["select shop.products"]),
        ("EXPLAIN SELECT * FROM shop.products", &["select shop.products"]),
        ("SELECT relname FROM pg_class WHERE relkind = 'r'", &["select pg_catalog.pg_class"]),
        (
            "WITH a AS (SELECT id FROM shop.products) SELECT * FROM a JOIN shop.page_views v ON v.product_id = a.id",
            &["select shop.products", "select shop.page_views"],
        ),
        ("SELECT shop.with_tax(10), shop.order_total(3)", &["select shop.order_items"]),
        (
            "SELECT * FROM shop.v_open_orders",
            &["select shop.orders", "select shop.customers", "select shop.v_open_orders"],
        ),
    ] {
        check(text, expected);
    }
}

/// Objects that a user made beside the sample's: `own` stands in schema `shop`, which the sample has.
fn with_own_objects() -> Catalog {
    use super::catalog::{Function, FunctionKind, Oid, Operator};
    let mut catalog = shop();
    let function = |oid: u32, schema: &str, name: &str, arguments: &[u32], defaults: usize| Function {
        oid: Oid(oid),
        schema: schema.to_owned(),
        name: name.to_owned(),
        kind: FunctionKind::Function,
        arguments: arguments.iter().copied().map(Oid).collect(),
        argument_names: Vec::new(),
        defaults,
        default_expressions: None,
        variadic: false,
        returns: Oid(16),
        returns_set: false,
        out_columns: Vec::new(),
        language: "sql".to_owned(),
        source: "SELECT true".to_owned(),
        sql_body: None,
        config: Vec::new(),
        security_definer: false,
        parts: Vec::new(),
        extension: None,
    };
    for made in [
        function(900_001, "shop", "own_equal", &[23, 23], 0),
        function(900_002, "shop", "own_less", &[25, 25], 0),
        function(900_003, "shop", "defaulted", &[23, 23], 1),
        function(900_004, "vault", "defaulted", &[23], 0),
    ] {
        catalog.function_names.entry(made.name.clone()).or_default().push(made.oid);
        catalog.functions.insert(made.oid, made);
    }
    for (name, operand, function) in [("=", 23, 900_001), ("<", 25, 900_002)] {
        let operator = Operator {
            schema: "shop".to_owned(),
            name: name.to_owned(),
            left: Oid(operand),
            right: Oid(operand),
            result: Oid(16),
            function: Oid(function),
        };
        catalog.operator_names.entry(name.to_owned()).or_default().push(catalog.operators.len());
        catalog.operators.push(operator);
    }
    catalog
}

/// The functions outside of `pg_catalog` that a statement calls where `shop` comes first.
#[track_caller]
fn calls(catalog: &Catalog, text: &str, want: &[&str]) {
    let path = ["shop".to_owned(), "vault".to_owned(), "pg_catalog".to_owned()];
    let session = Session { catalog, search_path: &path, role: "postgres", prepared: &NoNames };
    let analysis = analyse(text, &session, &Options::default()).expect("a statement");
    let functions = analysis.statements.iter().flat_map(|s| &s.facts.functions);
    let own: Vec<String> = functions.filter(|f| f.schema != "pg_catalog").map(ToString::to_string).collect();
    assert_eq!(own, want, "{text}");
}

#[test]
fn a_number_is_of_the_type_that_it_has_with_its_sign() {
    let mut catalog = with_own_objects();
    for (oid, name, argument) in [(900_101, "small", 23), (900_102, "large", 20), (900_103, "exact", 1700)] {
        let mut made = catalog.functions.get(&super::catalog::Oid(900_001)).expect("it is there").clone();
        made.oid = super::catalog::Oid(oid);
        made.name = "sized".to_owned();
        made.schema = "shop".to_owned();
        made.arguments = vec![super::catalog::Oid(argument)];
        made.source = format!("SELECT true -- {name}");
        made.language = if name == "small" { "sql" } else { "python" }.to_owned();
        catalog.function_names.entry(made.name.clone()).or_default().push(made.oid);
        catalog.functions.insert(made.oid, made);
    }
    // Only the one that takes an int4 can be read.
    let path = ["shop".to_owned(), "pg_catalog".to_owned()];
    let session = Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames };
    for (number, is_int4) in [
        ("1", true),
        ("2147483647", true),
        ("-2147483648", true),
        ("2147483648", false),
        ("-2147483649", false),
        ("-9223372036854775808", false),
        ("9223372036854775808", false),
        ("1.5", false),
    ] {
        let text = format!("SELECT sized({number})");
        let analysis = analyse(&text, &session, &Options::default()).expect("a statement");
        let unknown = analysis.statements[0].effects.iter().any(|e| e.action == model::Action::Unknown);
        assert_eq!(unknown, !is_int4, "{number}");
    }
}

#[test]
fn texts_of_one_template_mean_the_same() {
    let key = |text: &str| template(text).map(|template| template.key);
    for (a, b) in [
        ("SELECT f(1)", "SELECT f(2)"),
        ("SELECT f(-1)", "SELECT f(-2147483647)"),
        ("SELECT f('a')", "SELECT f(E'\\x')"),
        ("SELECT f('a')", "SELECT f($x$a$x$)"),
        ("SELECT f(1.5)", "SELECT f(2e7)"),
        ("SELECT f(3000000000)", "SELECT f(9223372036854775807)"),
        ("SELECT x::numeric(4, 2)", "SELECT x::numeric(5, 3)"),
        ("SELECT /* a */ 1", "SELECT\n-- b\n2"),
    ] {
        assert!(key(a).is_some(), "{a}");
        assert_eq!(key(a), key(b), "{a} and {b}");
    }
    for (a, b) in [
        ("SELECT f(1)", "SELECT f('1')"),
        ("SELECT f(1)", "SELECT f(1.0)"),
        ("SELECT f(1)", "SELECT f(3000000000)"),
        ("SELECT f('1')", "SELECT f(B'1')"),
        ("SELECT f(B'1')", "SELECT f(X'1')"),
        ("SELECT f('1')", "SELECT f(N'1')"),
        ("SELECT f(true)", "SELECT f(1)"),
        ("SELECT f(NULL)", "SELECT f('1')"),
        ("SELECT f($1)", "SELECT f(1)"),
        ("SELECT f(-1)", "SELECT f(1)"),
        ("SELECT f(date '2024-01-01')", "SELECT f('2024-01-01')"),
        ("SELECT \"A\"", "SELECT A"),
        ("SELECT a.b", "SELECT \"a.b\""),
        ("SELECT 'a'b", "SELECT 'a''b'"),
    ] {
        assert_ne!(key(a), key(b), "{a} and {b}");
    }
    // A literal that decides a type or a name has no template.
    for text in [
        "SELECT f(-2147483648)",
        "SELECT f(02147483648)",
        "SELECT f(-9223372036854775808)",
        "SELECT f(x::float(24))",
        "SELECT f(x::Float /* */ ( 25 ))",
        "SELECT f(0x10)",
        "SELECT f(1_000)",
        "SELECT f(U&'a')",
        "SELECT U&\"a\"",
    ] {
        assert_eq!(key(text), None, "{text}");
    }
}

#[test]
fn operators_that_no_one_writes_are_called_like_those_that_are_written() {
    let catalog = with_own_objects();
    let equal = ["shop.own_equal"].as_slice();
    let table = [
        ("SELECT 1 FROM shop.orders o WHERE o.id = 5", equal),
        ("SELECT 1 FROM shop.orders o WHERE o.id IN (SELECT id FROM shop.orders)", equal),
        ("SELECT 1 FROM shop.orders o WHERE o.id = ANY (SELECT id FROM shop.orders)", equal),
        ("SELECT 1 FROM shop.orders o WHERE o.id <> ALL (SELECT id FROM shop.orders)", &[]),
        ("SELECT 1 FROM shop.orders o WHERE (o.id, 1) IN (SELECT id, 1 FROM shop.orders)", equal),
        ("SELECT 1 FROM shop.orders a JOIN shop.orders b USING (id)", equal),
        ("SELECT 1 FROM (SELECT id FROM shop.orders) a NATURAL JOIN (SELECT id FROM shop.orders) b", equal),
        ("SELECT 1 FROM shop.orders a JOIN shop.orders b ON true", &[]),
        ("SELECT 'x'::text AS x ORDER BY x USING <", &["shop.own_less"]),
        ("VALUES ('x'::text) ORDER BY column1 USING <", &["shop.own_less"]),
    ];
    for (text, want) in table {
        calls(&catalog, text, want);
    }
}

#[test]
fn of_functions_that_fit_exactly_none_is_passed_over_for_its_defaults() {
    let catalog = with_own_objects();
    calls(&catalog, "SELECT defaulted(1)", &["shop.defaulted", "vault.defaulted"]);
    calls(&catalog, "SELECT defaulted(1, 2)", &["shop.defaulted"]);
    calls(&catalog, "SELECT vault.defaulted(1)", &["vault.defaulted"]);
}

#[test]
fn a_part_that_is_put_into_a_value_uses_the_rest_of_it() {
    let text = "UPDATE shop.customers SET profile['phone'] = '1' WHERE id = 1";
    let effects = effects(&["pg_catalog", "public"], text);
    assert!(effects.iter().any(|e| e.starts_with("probe column shop.customers.profile")), "{effects:?}");
}

#[test]
fn what_a_change_looks_up_is_read() {
    let table = [
        ("UPDATE shop.orders SET status = 'x'", false),
        ("UPDATE shop.orders SET status = status", true),
        (
            "UPDATE shop.orders SET status = (SELECT o.status FROM shop.tickets t, shop.orders o LIMIT 1)",
            true,
        ),
        ("INSERT INTO shop.products (id) VALUES (1)", false),
        ("INSERT INTO shop.products (id) VALUES (1) ON CONFLICT DO NOTHING", false),
        ("INSERT INTO shop.products (id) VALUES (1) ON CONFLICT (id) DO NOTHING", true),
        ("DELETE FROM shop.products", false),
        ("DELETE FROM shop.products WHERE id = 1", true),
    ];
    for (text, want) in table {
        let analysis = under(&["pg_catalog", "public"], text).expect("a statement");
        let effects = analysis.statements.iter().flat_map(|s| &s.effects);
        let mut reads = effects.filter(|e| e.action == model::Action::Select && e.via.is_none());
        assert_eq!(reads.any(|e| e.resource.to_string().starts_with("shop.")), want, "{text}");
    }
}

#[test]
fn writes_are_found_wherever_they_hide() {
    for (text, expected) in [
        ("INSERT INTO shop.products (id) VALUES (1)", "insert shop.products"),
        ("WITH gone AS (DELETE FROM shop.products RETURNING id) SELECT * FROM gone", "delete shop.products"),
        ("EXPLAIN ANALYZE UPDATE shop.products SET price = 1", "update shop.products"),
        ("SELECT id INTO shop.copy FROM shop.products", "create shop.copy"),
        ("CREATE TABLE shop.copy AS TABLE shop.products", "create shop.copy"),
        ("COPY shop.products FROM STDIN", "copy_in shop.products"),
        ("COPY shop.products TO PROGRAM 'x'", "program the target"),
        ("COPY shop.products TO '/tmp/x'", "server_file the target"),
        ("COPY (DELETE FROM shop.products RETURNING id) TO STDOUT", "delete shop.products"),
        (
            "MERGE INTO shop.products p USING shop.orders o ON p.id = o.id WHEN MATCHED THEN DELETE",
            "delete shop.products",
        ),
        ("DELETE FROM shop.v_inbox WHERE id = 1", "update shop.tickets"),
        ("DO $$ BEGIN UPDATE shop.products SET price = 1; END $$", "update shop.products"),
        ("CALL shop.archive_orders(now())", "update shop.orders"),
        ("SELECT shop.touch_product(1)", "update shop.products"),
        ("SELECT shop.looks_immutable(1)", "update shop.products"),
        ("EXPLAIN SELECT shop.looks_immutable(1)", "update shop.products"),
        ("SELECT 1 OPERATOR(shop.<=+=>) 2", "update shop.products"),
        ("SELECT shop.tally(id) FROM shop.products", "update shop.products"),
        ("SELECT 'x'::shop.touching_text", "update shop.products"),
        ("SELECT * FROM shop.v_touch", "update shop.products"),
        ("SELECT nextval('shop.invoice_no')", "sequence shop.invoice_no"),
        ("SELECT lo_create(0)", "large_object the target"),
        ("SELECT id FROM shop.products FOR UPDATE", "lock_rows shop.products"),
        ("LOCK TABLE shop.products", "lock_table shop.products"),
        ("SELECT pg_advisory_lock(1)", "lock_table the target"),
        ("NOTIFY x", "notify the target"),
        ("SELECT pg_notify('x', 'y')", "notify the target"),
        ("SELECT pg_terminate_backend(1)", "other_session the target"),
        ("SELECT pg_read_file('x')", "server_file the target"),
        ("SELECT pg_reload_conf()", "configure the target"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "configure the target"),
        ("SET ROLE postgres", "configure setting role"),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "configure setting default_transaction_read_only",
        ),
        ("SELECT set_config('row_security', 'off', false)", "configure setting row_security"),
        ("SELECT query_to_xml('DELETE FROM shop.products', true, true, '')", "unknown the target"),
        ("DROP TABLE shop.products", "drop shop.products"),
        ("TRUNCATE shop.products", "truncate shop.products"),
        ("REFRESH MATERIALIZED VIEW shop.m_directory", "maintain shop.m_directory"),
        ("VACUUM shop.products", "maintain shop.products"),
        ("CREATE INDEX ON shop.products (name)", "index shop.products"),
        ("COMMENT ON TABLE shop.products IS 'x'", "comment shop.products"),
        ("GRANT SELECT ON shop.products TO public", "grant the target"),
        ("UPDATE shop.orders SET status = 'paid' WHERE id = 1", "update shop.orders"),
    ] {
        let found = effects(&["pg_catalog", "public"], text);
        assert!(found.iter().any(|e| e == expected), "{text}: {found:?}");
    }
}

#[test]
fn a_tagged_column_is_masked_where_it_is_a_plain_output() {
    for (text, expected) in [
        ("SELECT id, email AS x FROM shop.customers", &["id", "x=customers.email"][..]),
        (
            "SELECT contact, tax_ref FROM shop.v_contact",
            &["contact=customers.email", "tax_ref=customers.ssn"],
        ),
        (
            "SELECT mail FROM (SELECT * FROM shop.v_contact_nested) s(a, b, mail, d)",
            &["mail=customers.email"],
        ),
        ("SELECT loaded_cost FROM shop.v_staff_cost", &["loaded_cost~staff.salary"]),
        ("SELECT mail FROM shop.m_directory", &["mail=customers.email"]),
        ("SELECT (SELECT email FROM shop.customers LIMIT 1) AS e", &["e=customers.email"]),
        (
            "SELECT email FROM shop.v_customers UNION ALL SELECT customer_email FROM shop.tickets",
            &["email=customers.email+tickets.customer_email"],
        ),
        (
            "WITH RECURSIVE t(n, e) AS (SELECT 1, email FROM shop.customers UNION ALL SELECT n + 1, e FROM t) SELECT * FROM t",
            &["n", "e=customers.email"],
        ),
        ("UPDATE shop.customers SET points = 1 WHERE id = 1 RETURNING ssn", &["ssn=customers.ssn"]),
        ("COPY shop.customers (id, email) TO STDOUT", &["id", "email=customers.email"]),
        ("SELECT ssn(c) FROM shop.customers c", &["ssn=customers.ssn"]),
        ("SELECT (c).ssn FROM shop.customers c", &["ssn=customers.ssn"]),
        ("SELECT ssn FROM shop.customers_vip", &["ssn=customers_vip.ssn"]),
        ("SELECT count(*) FROM shop.customers", &["count"]),
        ("SELECT * FROM generate_series(1, 3) g(i), unnest(ARRAY['a']) u", &["i", "u"]),
    ] {
        assert_eq!(outputs(text), expected, "{text}");
    }
}

#[test]
fn every_other_use_of_a_tagged_column_is_said() {
    for (text, probed) in [
        ("SELECT count(*) FROM shop.customers WHERE email = 'x'", "email"),
        ("SELECT id FROM shop.customers ORDER BY email", "email"),
        ("SELECT id FROM shop.customers c JOIN (VALUES ('x')) v(s) ON c.ssn = v.s", "ssn"),
        ("SELECT count(*) FROM shop.customers JOIN (VALUES ('x')) v(ssn) USING (ssn)", "ssn"),
        ("SELECT count(*) FROM shop.v_customers NATURAL JOIN (SELECT 'x' AS email) x", "email"),
        ("SELECT DISTINCT email FROM shop.customers", "email"),
        ("SELECT email FROM shop.customers GROUP BY 1", "email"),
        ("SELECT max(email) FROM shop.customers", "email"),
        ("SELECT email || 'x' FROM shop.customers", "email"),
        ("SELECT row_to_json(c) FROM shop.customers c", "ssn"),
        ("SELECT email FROM shop.customers INTERSECT SELECT 'x'", "email"),
        ("SELECT id FROM shop.products LIMIT (SELECT count(*) FROM shop.customers WHERE ssn = 'x')", "ssn"),
        ("CREATE TABLE shop.copy AS SELECT email FROM shop.customers", "email"),
        ("INSERT INTO shop.products (name) SELECT email FROM shop.customers", "email"),
        ("ALTER TABLE shop.customers RENAME COLUMN email TO harmless", "email"),
        ("INSERT INTO shop.customers (email) VALUES ('x') ON CONFLICT DO NOTHING", "email"),
        ("SELECT shop.get_contact(1)", "email"),
        ("EXPLAIN SELECT 1 FROM shop.customers WHERE email = 'x'", "email"),
        ("DECLARE c CURSOR FOR SELECT id FROM shop.customers WHERE email = 'x'", "email"),
    ] {
        let found = effects(&["pg_catalog", "public"], text);
        let expected = format!("probe column shop.customers.{probed}");
        assert!(found.contains(&expected), "{text}: {found:?}");
    }
}

#[test]
fn names_mean_what_the_search_path_makes_of_them() {
    let touched = "update shop.products";
    for (path, text, expected) in [
        (&["pg_catalog", "shop"][..], "SELECT lower('A')", false),
        (&["shop", "pg_catalog"], "SELECT lower('A')", true),
        (&["shop", "pg_catalog"], "SELECT pg_catalog.lower('A')", false),
        (&["pg_catalog", "shop"], "SELECT 1 <=+=> 2", true),
        (&["pg_catalog", "shop"], "SELECT 1 + 2", false),
        (&["pg_catalog", "shop"], "SELECT p.bump FROM products p", true),
        (&["pg_catalog", "shop"], "SELECT p.name FROM products p", false),
    ] {
        let found = effects(path, text);
        assert_eq!(found.iter().any(|e| e == touched), expected, "{path:?} {text}: {found:?}");
    }
    for text in [
        "SET search_path = shop; SELECT name FROM products",
        "SELECT name FROM shop.products; SELECT set_config('application_name', 'x', false)",
    ] {
        assert!(!effects(&["pg_catalog", "public"], text).iter().any(|e| e.starts_with("unknown")), "{text}");
    }
    for text in [
        "SELECT nothing FROM shop.products",
        "SELECT 1 FROM shop.nothing",
        "SELECT nothing(1)",
        "SELECT 1 FROM other.shop.products",
        "SELECT set_config('search_path', 'shop', false); SELECT name FROM products",
        "CREATE TEMP TABLE products (id int); SELECT * FROM products",
        "EXECUTE nothing",
        "FETCH nothing",
    ] {
        let found = effects(&["pg_catalog", "public"], text);
        assert!(found.iter().any(|e| e.starts_with("unknown")), "{text}: {found:?}");
    }
}

#[test]
fn a_condition_that_is_always_true_is_none() {
    for (text, conditional) in [
        ("DELETE FROM shop.products", false),
        ("DELETE FROM shop.products WHERE true", false),
        ("DELETE FROM shop.products WHERE 1 = 1", false),
        ("DELETE FROM shop.products WHERE id = id", false),
        ("DELETE FROM shop.products WHERE id IS NULL OR id IS NOT NULL", false),
        ("UPDATE shop.products SET price = 1 WHERE NOT false", false),
        ("UPDATE shop.products SET price = 1 WHERE name LIKE '%'", false),
        ("DELETE FROM shop.products WHERE id = 3", true),
        ("DELETE FROM shop.products WHERE id = 3 OR id = 4", true),
        ("DELETE FROM shop.products WHERE 1 = 0", true),
    ] {
        let analysis = under(&["pg_catalog"], text).expect(text);
        assert_eq!(analysis.statements[0].facts.has_where, conditional, "{text}");
    }
}

#[test]
fn what_is_not_grammar_is_refused_with_its_place() {
    for (text, state, position) in [
        ("SELEC 1", "42601", Some(1)),
        ("SELECT 1 FROM", "42601", Some(14)),
        ("SELECT 'ä', x y z", "42601", Some(17)),
        ("SELECT 1; DROP TABEL x", "42601", Some(16)),
        ("SELECT 'open", "42601", Some(8)),
        ("SELECT 1_000", "42501", None),
        ("SELECT 0x1F", "42501", None),
        ("SELECT json_scalar('x')", "42501", None),
        ("SELECT merge_action()", "42501", None),
    ] {
        let refusal = under(&["pg_catalog"], text).expect_err(text);
        assert_eq!((refusal.sqlstate(), refusal.position()), (state, position), "{text}: {refusal}");
    }
}

#[test]
fn what_is_kept_of_a_refusal_has_no_values_in_it() {
    for (text, kept) in [
        ("ALTER ROLE a PASSWORD 'hunter2", "unterminated quoted string at or near \"…\""),
        ("ALTER ROLE a PASSWORD 'hunter\"2\" at or near ", "unterminated quoted string at or near \"…\""),
        ("ALTER ROLE a PASSWORD hunter2", "syntax error at or near \"…\""),
        ("ALTER ROLE a hunter2", "unrecognized role option \"…\""),
        ("SELECT 1 WHERE x = 'a' 'hunter2'", "syntax error at or near \"…\""),
        ("SELECT $x$hunter2", "unterminated dollar-quoted string at or near \"…\""),
        ("SELECT E'\\u00z hunter2'", "invalid Unicode escape"),
        ("SELECT 12hunter2", "trailing junk after numeric literal at or near \"…\""),
        ("SELECT 0xDEAD", "the number \"…\" is not read as one by PostgreSQL 15"),
        ("SELECT 1 FROM WHERE", "syntax error at or near \"WHERE\""),
        ("SELECT (1))", "syntax error at or near \")\""),
        ("SELECT 1 FROM", "syntax error at end of input"),
    ] {
        let refusal = under(&["pg_catalog"], text).expect_err(text);
        assert!(refusal.kept().starts_with(kept), "{text}: {}", refusal.kept());
        assert!(!refusal.kept().contains("hunter"), "{text}: {}", refusal.kept());
    }
    let effects = format!("{:?}", under(&["pg_catalog"], "SELECT nextval('hunter2')").expect("a statement"));
    assert!(
        !effects.replace("literals: [Literal { value: \"hunter2\", spelled: Text }]", "").contains("hunter2"),
        "{effects}"
    );
}

#[test]
fn depth_is_bounded_and_length_is_not_depth() {
    // The main thread of a test has a small stack.
    let run = || {
        let deep = format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000));
        assert_eq!(under(&["pg_catalog"], &deep).expect_err("deep").sqlstate(), "54001");
        let chain = format!("SELECT {}", vec!["'a'"; 20_000].join(" || "));
        assert_eq!(under(&["pg_catalog"], &chain).expect_err("chain").sqlstate(), "54001");
        let minus = "- ".repeat(500);
        for nested in [
            "CASE WHEN true THEN ".repeat(5_000) + "1" + &" END".repeat(5_000),
            format!("CASE WHEN true THEN {minus}").repeat(50) + "1" + &" END".repeat(50),
            // What only looks like an end of it, or like an arm.
            format!("CASE WHEN {minus}x.end = {minus}").repeat(50) + "1" + &" THEN 1 END".repeat(50),
            format!("CASE WHEN {minus}x.when + {minus}x.then = ").repeat(50)
                + "1"
                + &" THEN 1 END".repeat(50),
            "CASE WHEN true THEN (".repeat(5_000) + "1" + &") END".repeat(5_000),
        ] {
            let refusal = under(&["pg_catalog"], &format!("SELECT {nested} FROM x")).expect_err("nested");
            assert_eq!(refusal.sqlstate(), "54001", "{}", &nested[..60]);
        }
        for honest in [
            format!("SELECT CASE 1 {} ELSE 0 END", "WHEN 1 THEN 2 ".repeat(5_000)),
            format!(
                "UPDATE shop.products SET price = CASE {} END WHERE id IN (1)",
                "WHEN id = 1 AND name = 'x' THEN price * 2 + 1 ".repeat(2_000)
            ),
            format!("SELECT {} 1", "CASE WHEN true THEN 1 END, ".repeat(1_000)),
            format!("SELECT 1 AS case, 2 AS end, 3 AS when {}", ", 4 AS then".repeat(100)),
            format!("SELECT 1 {}", "/* a comment */ -- another\n".repeat(10_000)),
            format!("SELECT {}", vec!["'a'"; 200].join(" || ")),
            format!("SELECT 1 WHERE 1 IN ({})", vec!["1"; 20_000].join(", ")),
            format!("SELECT 1 WHERE {}", vec!["1 = 2"; 20_000].join(" OR ")),
            vec!["SELECT 1"; 200].join(" UNION ALL "),
            format!("INSERT INTO shop.page_views VALUES {}", vec!["(1, 2, 'x', 3, now())"; 2_000].join(", ")),
        ] {
            assert!(under(&["pg_catalog"], &honest).is_ok(), "{}", &honest[..60]);
        }
    };
    std::thread::Builder::new().stack_size(64 << 20).spawn(run).expect("a thread").join().expect("it holds");
}

#[test]
fn a_text_is_kept_without_its_literals_comments_and_secrets() {
    for (text, kept, literals) in [
        ("SELECT  'a''b', 1 -- c\n FROM x", "SELECT ?, ? FROM x", &["a'b", "1"][..]),
        ("SELECT $q$x$q$ /* c */, $1", "SELECT ? , $1", &["x"]),
        ("ALTER ROLE x PASSWORD 'geheim'", "ALTER ROLE x PASSWORD ?", &["(removed)"]),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'password=x' PUBLICATION p",
            "CREATE SUBSCRIPTION s CONNECTION ? PUBLICATION p",
            &["(removed)"],
        ),
    ] {
        let analysis = under(&["pg_catalog"], text).expect(text);
        let statement = &analysis.statements[0];
        assert_eq!(statement.text, kept);
        assert_eq!(statement.literals.iter().map(|l| l.value.as_str()).collect::<Vec<_>>(), literals);
    }
}

#[test]
fn equal_meanings_have_equal_shapes_and_others_do_not() {
    let shape = |text: &str| under(&["pg_catalog"], text).expect(text).shape;
    assert_eq!(
        shape("SELECT id FROM shop.products WHERE id = 1"),
        shape("select id from shop.products  where id = 2")
    );
    assert_ne!(shape("SELECT id FROM shop.products"), shape("SELECT id FROM shop.orders"));
    assert_ne!(
        shape("DELETE FROM shop.products WHERE id = 1"),
        shape("DELETE FROM shop.products WHERE true")
    );
    assert_ne!(shape("SELECT email FROM shop.customers"), shape("SELECT city FROM shop.customers"));
}

#[test]
fn outputs_have_the_names_that_the_servers_version_gives_them() {
    let table = [
        ("SELECT true", "bool", "?column?"),
        ("SELECT CASE WHEN 1 = 1 THEN 2 END", "case", "case"),
        ("SELECT extract(year FROM now())", "date_part", "extract"),
        ("SELECT (VALUES (1))", "column1", "column1"),
        ("SELECT (SELECT 1 AS a UNION SELECT 2)", "a", "a"),
        ("SELECT * FROM jsonb_array_elements('[1]') e", "value", "value"),
        ("SELECT * FROM generate_series(1, 2) e", "e", "e"),
        ("SELECT tsquery('a')", "tsquery", "tsquery"),
        (
            "SELECT v.* FROM (SELECT 1, 2) t(a, b), LATERAL (VALUES (t.*)) v",
            "column1, column2",
            "column1, column2",
        ),
        ("SELECT * FROM unnest('{1}'::int[], '{2}'::int[]) AS u(a)", "a, unnest", "a, unnest"),
    ];
    for (text, old, new) in table {
        for (version, want) in [(130_020, old), (150_018, new)] {
            let mut catalog = shop();
            catalog.server_version = version;
            let path = ["pg_catalog".to_owned()];
            let session =
                Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames };
            let analysis = analyse(text, &session, &Options::default()).expect("a statement");
            let statement = analysis.statements.first().expect("one");
            let Outputs::Columns(columns) = &statement.outputs else { panic!("{text}: {statement:?}") };
            let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
            assert_eq!(names.join(", "), want, "{text} in {version}");
            assert!(statement.effects.is_empty(), "{text}: {:?}", statement.effects);
        }
    }
}

#[test]
fn what_the_server_printed_means_the_servers_own_whatever_the_path_shows() {
    use super::catalog::Oid;
    let mut catalog = with_own_objects();
    // A default that counts, where a function of the same name comes first in the path.
    let mut shadow = catalog.functions.get(&Oid(900_004)).cloned().expect("made above");
    (shadow.oid, shadow.schema) = (Oid(900_005), "shop".to_owned());
    (shadow.name, shadow.arguments) = ("nextval".to_owned(), vec![Oid(2205)]);
    catalog.function_names.entry("nextval".to_owned()).or_default().push(shadow.oid);
    catalog.functions.insert(shadow.oid, shadow);
    let orders = catalog.relations.values_mut().find(|r| (&*r.schema, &*r.name) == ("shop", "products"));
    let column = orders.and_then(|r| r.columns.first_mut()).expect("a column");
    column.default = Some("nextval('shop.some_seq'::regclass)".to_owned());
    let path = ["shop".to_owned(), "pg_catalog".to_owned()];
    let session = Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames };
    let text = "INSERT INTO shop.products DEFAULT VALUES";
    let analysis = analyse(text, &session, &Options::default()).expect("a statement");
    let mut effects = analysis.statements.iter().flat_map(|s| &s.effects);
    assert!(effects.any(|e| e.action == model::Action::Sequence
        && e.why.as_deref().is_some_and(|w| w.contains("pg_catalog.nextval"))));
}

#[test]
fn a_default_counts_where_a_column_gets_it() {
    use super::catalog::{Cascade, ForeignKey};
    let mut catalog = shop();
    let oid = |name: &str| catalog.relation("shop", name).expect("it is there").oid;
    let (products, orders) = (oid("products"), oid("orders"));
    let column = catalog.relations.get_mut(&products).and_then(|r| r.columns.first_mut()).expect("a column");
    column.default = Some("nextval('shop.invoice_no'::regclass)".to_owned());
    let key = ForeignKey { table: products, on_delete: Cascade::Default, on_update: Cascade::Update };
    catalog.relations.get_mut(&orders).expect("it is there").referenced_by.push(key);
    for (text, counts) in [
        ("INSERT INTO shop.products (name) VALUES ('x')", true),
        ("UPDATE shop.products SET id = DEFAULT WHERE id = 1", true),
        ("UPDATE shop.products SET (id, name) = (DEFAULT, 'x') WHERE id = 1", true),
        ("INSERT INTO shop.products (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = DEFAULT", true),
        ("DELETE FROM shop.orders WHERE id = 1", true),
        ("UPDATE shop.products SET name = 'x' WHERE id = 1", false),
        ("UPDATE shop.orders SET id = 2 WHERE id = 1", false),
        ("DELETE FROM shop.products WHERE id = 1", false),
    ] {
        let path = ["pg_catalog".to_owned(), "shop".to_owned()];
        let session = Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames };
        let analysis = analyse(text, &session, &Options::default()).expect("a statement");
        let mut effects = analysis.statements.iter().flat_map(|s| &s.effects);
        assert_eq!(effects.any(|e| e.action == model::Action::Sequence), counts, "{text}");
    }
}

#[test]
fn a_body_that_a_view_calls_runs_under_the_sessions_path() {
    use super::catalog::Oid;
    let mut catalog = with_own_objects();
    let mut caller = catalog.functions.get(&Oid(900_004)).cloned().expect("made above");
    (caller.oid, caller.name, caller.arguments) = (Oid(900_006), "caller".to_owned(), Vec::new());
    caller.source = "SELECT defaulted(1, 2)".to_owned();
    catalog.function_names.entry(caller.name.clone()).or_default().push(caller.oid);
    catalog.functions.insert(caller.oid, caller);
    let view = catalog.relations.values_mut().find(|r| r.name == "v_contact").expect("a view");
    let columns = view.columns.iter().map(|c| format!("vault.caller() AS \"{}\"", c.name));
    view.definition = Some(format!("SELECT {}", columns.collect::<Vec<_>>().join(", ")));
    calls(&catalog, "SELECT * FROM v_contact", &["shop.defaulted", "vault.caller"]);
}

/// The acceptance suite's catalogue with another definition of `shop.v_customers` (id, name, email, city).
#[track_caller]
fn a_view_that(shows: &str, text: &str, expected: &[&str]) {
    let mut catalog = shop();
    let view = catalog.relations.values_mut().find(|r| r.name == "v_customers").expect("a view");
    view.definition = Some(shows.to_owned());
    let path = ["pg_catalog".to_owned(), "shop".to_owned()];
    let session = Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames };
    let analysis =
        analyse(text, &session, &Options::default()).unwrap_or_else(|why| panic!("{shows}: {why}"));
    let Some(Outputs::Columns(columns)) = analysis.statements.first().map(|s| &s.outputs) else {
        panic!("{shows}: the columns are not known");
    };
    let hidden = columns.iter().filter(|column| column.lineage != Lineage::Clear);
    assert_eq!(hidden.map(|column| column.name.as_str()).collect::<Vec<_>>(), expected, "{shows}");
}

#[test]
fn what_a_view_computes_of_rows_stays_with_what_decides_about_them() {
    let c = "FROM shop.customers c";
    for shows in [
        format!("SELECT id, name, rank() OVER (ORDER BY ssn) AS email, city {c}"),
        format!("SELECT id, name, rank() OVER w AS email, city {c} WINDOW w AS (ORDER BY ssn)"),
        format!("SELECT id, name, lag(id) OVER (PARTITION BY ssn) AS email, city {c}"),
        format!("SELECT id, name, EXISTS (SELECT 1 FROM shop.staff s WHERE s.salary > c.points) AS email, city {c}"),
        format!("SELECT id, name, (SELECT count(*) FROM shop.customers x WHERE x.ssn < c.ssn) AS email, city {c}"),
        format!("SELECT id, name, ARRAY(SELECT s.id FROM shop.staff s ORDER BY s.salary LIMIT 1) AS email, city {c}"),
        format!("SELECT id, name, id IN (SELECT s.id FROM shop.staff s WHERE s.salary > 9) AS email, city {c}"),
        format!("SELECT id, name, l.n AS email, city {c}, LATERAL (SELECT max(x.id) AS n FROM shop.customers x WHERE x.ssn < c.ssn) l"),
        format!("WITH s AS (SELECT count(*) AS n FROM shop.staff WHERE salary > 9) SELECT id, name, s.n AS email, city {c}, s"),
        format!("SELECT 1 AS id, '' AS name, count(*) AS email, '' AS city {c} WHERE ssn LIKE '9%'"),
        format!("SELECT 1 AS id, '' AS name, count(*) AS email, '' AS city FROM (SELECT c.id {c} WHERE ssn LIKE '9%') x"),
        "SELECT 1 AS id, '' AS name, json_agg(o.id) AS email, '' AS city FROM shop.orders o JOIN shop.staff s ON s.salary = o.total".to_owned(),
    ] {
        a_view_that(&shows, "SELECT * FROM v_customers", &["email"]);
    }
    for shows in [
        // Which rows there are is its owner's doing.
        format!("SELECT id, name, 1 AS email, city {c} WHERE ssn LIKE '9%'"),
        format!("SELECT id, name, rank() OVER (ORDER BY points) AS email, city {c}"),
        format!(
            "SELECT id, name, (SELECT count(*) FROM shop.orders o WHERE o.customer_id = c.id) AS email, city {c}"
        ),
        format!("SELECT 1 AS id, city AS name, count(*) AS email, city {c} WHERE points > 3 GROUP BY city"),
    ] {
        a_view_that(&shows, "SELECT * FROM v_customers", &[]);
        a_view_that(&shows, "SELECT count(*), (SELECT max(id) FROM v_customers) FROM v_customers", &[]);
    }
}

#[test]
fn what_is_set_is_weighed_against_what_a_row_keeps() {
    let mut catalog = shop();
    let staff = catalog.relations.values_mut().find(|r| r.name == "staff").expect("a table");
    staff.checks.push("((salary > (id)::numeric) OR (role = 'x'::text))".to_owned());
    staff.index_expressions.push("(1 / (salary - (manager_id)::numeric))".to_owned());
    let path = ["pg_catalog".to_owned(), "shop".to_owned()];
    let session = Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames };
    for (text, probes) in [
        ("UPDATE staff SET id = 5 WHERE id = 7", true),
        ("UPDATE staff SET manager_id = 5", true),
        ("UPDATE staff SET (name, role) = ('x', 'y')", true),
        ("INSERT INTO staff (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET role = 'y'", true),
        ("MERGE INTO staff s USING products p ON p.id = s.id WHEN MATCHED THEN UPDATE SET role = 'y'", true),
        ("UPDATE staff SET name = 'x', team = 'y' WHERE id = 7", false),
        ("UPDATE staff SET salary = 5, id = 4 WHERE id = 7", false),
        ("INSERT INTO staff (id, salary, role) VALUES (1, 2, 'x')", false),
    ] {
        let analysis =
            analyse(text, &session, &Options::default()).unwrap_or_else(|why| panic!("{text}: {why}"));
        let mut effects = analysis.statements.iter().flat_map(|s| &s.effects);
        assert_eq!(effects.any(|e| e.action == model::Action::Probe), probes, "{text}");
    }
}

#[test]
fn texts_of_one_template_mean_the_same_whatever_their_literals() {
    let key = |text: &str| template(text).map(|t| t.key);
    for (one, other, same) in [
        ("SELECT id FROM t WHERE id = 1", "SELECT  id FROM t /* c */ WHERE id = 22", true),
        ("SELECT 'a'", "SELECT $$b$$", true),
        ("SELECT 1", "SELECT 1.5", false),
        ("SELECT 1", "SELECT 3000000000", false),
        ("SELECT 1", "SELECT '1'", false),
        ("SELECT a.b", "SELECT a . b", false),
        ("SELECT a ? 'b'", "SELECT 'a' 'b'", false),
    ] {
        assert_eq!(key(one) == key(other), same, "{one} and {other}");
    }
    // The escape character is a literal, and decides which name is meant.
    for text in [
        r#"SELECT U&"!0073sn" UESCAPE '!' FROM (SELECT 1 AS "!0073sn", ssn FROM shop.customers) x"#,
        r#"SELECT U&"\0073sn" FROM shop.customers"#,
        r"SELECT U&'\0061'",
        "SELECT 1_000",
        "SELECT 0x1F",
        "SELECT \u{1}i",
    ] {
        assert_eq!(key(text), None, "{text}");
    }
}

#[test]
fn a_select_that_changes_rows_is_not_called_a_select_alone() {
    for (text, kind) in [
        ("SELECT 1", "select"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "select"),
        ("WITH a AS (DELETE FROM nowhere RETURNING 1) SELECT * FROM a", "select with writes"),
        ("WITH a AS (INSERT INTO nowhere VALUES (1) RETURNING 1) VALUES (1)", "select with writes"),
        ("VALUES (1)", "values"),
        ("SELECT 1 INTO x", "select into"),
    ] {
        assert_eq!(under(&["pg_catalog"], text).expect(text).statements[0].facts.kind, kind, "{text}");
    }
}

#[test]
fn what_is_set_is_known_without_a_catalogue() {
    let empty = Catalog::default();
    let session = Session { catalog: &empty, search_path: &[], role: "", prepared: &NoNames };
    for text in [
        "SELECT set_config('durward.principal', 'agent:evil', false)",
        "SELECT pg_catalog.set_config('Durward.Principal', 'agent:evil', true)",
        "EXECUTE p(set_config('durward.principal', 'x', true))",
    ] {
        let analysis = analyse(text, &session, &Options::default()).expect("it is read");
        let setting = analysis.statements.iter().flat_map(|s| &s.effects).any(|e| {
            e.action == model::Action::Configure && e.resource.to_string() == "setting durward.principal"
        });
        assert!(setting, "{text}");
    }
}

#[test]
fn back_to_the_role_that_logged_in_is_no_effect_and_another_role_is_one() {
    for text in [
        "RESET ROLE",
        "SET ROLE NONE",
        "SET LOCAL ROLE NONE",
        "SET ROLE TO DEFAULT",
        "SET SESSION AUTHORIZATION DEFAULT",
        "RESET SESSION AUTHORIZATION",
    ] {
        assert!(effects(&["pg_catalog", "public"], text).is_empty(), "{text}");
    }
    for text in [
        "SET ROLE \"NONE\"",
        "SET ROLE app",
        "SET SESSION AUTHORIZATION app",
        "SET SESSION AUTHORIZATION 'none'",
    ] {
        assert!(!effects(&["pg_catalog", "public"], text).is_empty(), "{text}");
    }
}
