use std::sync::{Arc, LazyLock};

use super::catalog::{Catalog, shop};
use super::*;

pub(super) struct NoNames;

impl Named for NoNames {
    fn prepared(&self, _: &str) -> Option<Arc<Statement>> {
        None
    }

    fn cursor(&self, _: &str) -> Option<Arc<Statement>> {
        None
    }
}

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
        ("SELECT 1_000", "0A000", None),
        ("SELECT 0x1F", "0A000", None),
        ("SELECT json_scalar('x')", "0A000", None),
        ("SELECT merge_action()", "0A000", None),
    ] {
        let refusal = under(&["pg_catalog"], text).expect_err(text);
        assert_eq!((refusal.sqlstate(), refusal.position()), (state, position), "{text}: {refusal}");
    }
}

#[test]
fn depth_is_bounded_and_length_is_not_depth() {
    // The main thread of a test has a small stack.
    let run = || {
        let deep = format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000));
        assert_eq!(under(&["pg_catalog"], &deep).expect_err("deep").sqlstate(), "54001");
        let chain = format!("SELECT {}", vec!["'a'"; 20_000].join(" || "));
        assert_eq!(under(&["pg_catalog"], &chain).expect_err("chain").sqlstate(), "54001");
        for honest in [
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
