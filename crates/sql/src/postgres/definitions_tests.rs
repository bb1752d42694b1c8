//! What definitions are said to do to what is there, and to what is behind them.

use super::catalog::shop;
use super::names_tests::{PUBLIC, has, has_not, said};
use super::tests::under;
use super::*;

/// The effects of a text, one word and resource each.
fn effects(text: &str) -> Vec<String> {
    let analysis = under(&["pg_catalog", "shop", "public"], text).unwrap_or_else(|r| panic!("{text}: {r}"));
    let all = analysis.statements.iter().flat_map(|s| &s.effects);
    all.map(|e| format!("{} {}", e.action.as_str(), e.resource)).collect()
}

#[track_caller]
fn alters(text: &str, altered: &[&str]) {
    let effects = effects(text);
    assert!(effects.iter().any(|e| e.starts_with("create ")), "{text}: {effects:?}");
    let alters: Vec<&str> = effects.iter().filter_map(|e| e.strip_prefix("alter ")).collect();
    assert_eq!(alters, altered, "{text}");
}

#[test]
fn what_is_replaced_is_altered_and_what_is_new_is_not() {
    let view = "CREATE OR REPLACE VIEW v_contact AS SELECT 1 AS id";
    alters(view, &["shop.v_contact"]);
    alters(&view.replace("v_contact", "shop.v_contact"), &["shop.v_contact"]);
    alters(&view.replace("OR REPLACE ", ""), &[]);
    alters(&view.replace("v_contact", "v_other"), &[]);
    alters(&view.replace("v_contact", "public.v_contact"), &[]);
    alters(&view.replace("OR REPLACE ", "OR REPLACE TEMP "), &[]);
    let function = "CREATE OR REPLACE FUNCTION shop.with_tax(numeric, numeric) RETURNS numeric LANGUAGE sql AS 'SELECT 1.0'";
    alters(function, &["function shop.with_tax"]);
    alters(&function.replace("shop.", ""), &["function shop.with_tax"]);
    alters(&function.replace("OR REPLACE ", ""), &[]);
    alters(&function.replace("with_tax", "without_tax"), &[]);
    alters(&function.replace("(numeric, numeric)", "(numeric)"), &[]);
    alters(&function.replace("numeric) RET", "numeric, OUT x numeric) RET"), &["function shop.with_tax"]);
    let procedure = "CREATE OR REPLACE PROCEDURE shop.archive_orders(timestamptz) LANGUAGE sql AS 'SELECT 1'";
    alters(procedure, &["function shop.archive_orders"]);
    let trigger = "CREATE OR REPLACE TRIGGER orders_stamp BEFORE UPDATE ON shop.products EXECUTE FUNCTION shop.stamp_order()";
    alters(trigger, &["shop.products"]);
    alters(&trigger.replace("OR REPLACE ", ""), &[]);
    let rule = "CREATE OR REPLACE RULE r AS ON DELETE TO shop.products DO INSTEAD NOTHING";
    alters(rule, &["shop.products"]);
    alters(&rule.replace("OR REPLACE ", ""), &[]);
    alters(
        "CREATE OR REPLACE AGGREGATE shop.with_tax(int) (SFUNC = int4pl, STYPE = int)",
        &["function shop.with_tax"],
    );
    alters("CREATE AGGREGATE shop.more(int) (SFUNC = int4pl, STYPE = int)", &[]);
    alters(
        "CREATE OR REPLACE TRANSFORM FOR int LANGUAGE plpgsql (FROM SQL WITH FUNCTION f(internal))",
        &["the target"],
    );
    alters("CREATE OR REPLACE LANGUAGE own HANDLER plpgsql_call_handler", &["the target"]);
}

#[test]
fn what_a_definition_runs_or_calls_is_said() {
    for (text, expected) in [
        ("CREATE EXTENSION hstore", "run_code the target"),
        ("CREATE EXTENSION hstore", "create the target"),
        ("ALTER EXTENSION hstore UPDATE", "run_code the target"),
        ("ALTER EXTENSION hstore UPDATE", "alter the target"),
        ("CREATE LANGUAGE plperl", "run_code the target"),
        ("CREATE SUBSCRIPTION s CONNECTION 'host=x' PUBLICATION p", "egress the target"),
        ("ALTER SUBSCRIPTION s REFRESH PUBLICATION", "egress the target"),
        ("DROP SUBSCRIPTION s", "egress the target"),
        ("CREATE SERVER s FOREIGN DATA WRAPPER w", "egress the target"),
        ("ALTER SERVER s OPTIONS (SET host 'x')", "alter the target"),
        ("ALTER SERVER s OPTIONS (SET host 'x')", "egress the target"),
        ("CREATE USER MAPPING FOR public SERVER s", "egress the target"),
        ("DROP USER MAPPING FOR public SERVER s", "drop the target"),
        ("CREATE FOREIGN TABLE shop.far (id int) SERVER s", "egress the target"),
        ("CREATE PUBLICATION p FOR ALL TABLES", "replicate the target"),
    ] {
        let effects = effects(text);
        assert!(effects.iter().any(|e| e == expected), "{text}: {effects:?}");
    }
    for text in [
        "CREATE SCHEMA more",
        "CREATE TYPE shop.mood AS ENUM ('ok')",
        "ALTER EXTENSION hstore ADD FUNCTION f(int)",
    ] {
        let effects = effects(text);
        assert!(
            !effects.iter().any(|e| e.starts_with("run_code") || e.starts_with("egress")),
            "{text}: {effects:?}"
        );
    }
}

#[test]
fn what_goes_by_cascade_is_said() {
    for (text, gone) in [
        ("DROP SCHEMA shop CASCADE", "drop shop.customers"),
        ("DROP SCHEMA shop CASCADE", "drop shop.v_contact"),
        ("DROP TABLE shop.customers CASCADE", "drop shop.v_contact"),
        ("DROP TABLE shop.customers CASCADE", "drop shop.v_contact_nested"),
        ("DROP TABLE shop.customers CASCADE", "drop shop.m_directory"),
        ("DROP TABLE shop.products CASCADE", "alter shop.order_items"),
        ("DROP VIEW shop.v_contact CASCADE", "drop shop.v_contact_nested"),
        ("DROP TYPE shop.addr CASCADE", "drop shop.customers"),
        ("DROP FUNCTION shop.with_tax CASCADE", "drop the target"),
        ("DROP SCHEMA shop CASCADE", "drop shop.orders_2024"),
    ] {
        has(PUBLIC, text, gone);
        has_not(PUBLIC, &text.replace(" CASCADE", ""), gone);
    }
    has_not(PUBLIC, "DROP VIEW shop.v_contact CASCADE", "drop shop.customers");
    has_not(PUBLIC, "DROP TABLE shop.page_views CASCADE", "drop shop.v_contact");
}

#[test]
fn what_is_done_to_a_partitioned_table_is_done_to_its_partitions() {
    has(PUBLIC, "DROP TABLE shop.orders_2024", "alter shop.orders (a partition of it goes)");
    has(PUBLIC, "DROP TRIGGER orders_stamp ON shop.orders", "drop shop.orders_2024 via shop.orders");
    has_not(PUBLIC, "DROP TABLE shop.products", "alter");
}

#[test]
fn rows_behind_a_view_are_locked_through_it() {
    for effect in ["lock_rows shop.v_contact_nested", "lock_rows shop.customers via shop.v_contact_nested"] {
        has(PUBLIC, "SELECT contact FROM shop.v_contact_nested FOR UPDATE", effect);
    }
    has(PUBLIC, "SELECT id FROM shop.orders FOR SHARE", "lock_rows shop.orders_2024 via shop.orders");
    has_not(PUBLIC, "SELECT contact FROM shop.v_contact_nested", "lock_rows");
}

#[test]
fn a_type_that_is_altered_may_be_that_of_tables() {
    has(PUBLIC, "ALTER TYPE shop.addr RENAME ATTRIBUTE street TO road CASCADE", "alter the target");
    has(PUBLIC, "ALTER TYPE shop.addr ADD ATTRIBUTE more text CASCADE", "alter the target");
    has_not(PUBLIC, "ALTER TABLE shop.products RENAME COLUMN name TO title", "alter the target");
}

/// Else whoever may do everything in one schema, or with one table, would bring others under a name of which policy says something else.
#[test]
fn who_gives_a_name_to_what_is_there_makes_something_of_that_name() {
    for (text, effect) in [
        ("ALTER SCHEMA shop RENAME TO trusted", "create schema trusted"),
        ("ALTER TABLE shop.products RENAME TO other", "create shop.other"),
        ("ALTER VIEW shop.order_totals RENAME TO other", "create shop.other"),
        ("ALTER TABLE shop.products SET SCHEMA public", "create public.products"),
        ("ALTER FUNCTION shop.f(varchar) RENAME TO other", "create function shop.other"),
    ] {
        has(PUBLIC, text, effect);
    }
    has_not(PUBLIC, "ALTER TABLE shop.products RENAME COLUMN name TO title", "create");
    has_not(PUBLIC, "ALTER TABLE shop.products RENAME CONSTRAINT products_pkey TO other", "create");
}

#[test]
fn an_index_is_its_tables() {
    for (text, effect) in [
        ("DROP INDEX shop.products_pkey", "index shop.products"),
        ("ALTER INDEX shop.products_pkey SET (fillfactor = 50)", "index shop.products"),
        ("ALTER INDEX shop.products_pkey RENAME TO other", "index shop.products"),
        ("REINDEX INDEX shop.products_pkey", "maintain shop.products"),
    ] {
        has(PUBLIC, text, effect);
    }
    has_not(PUBLIC, "DROP INDEX shop.products_pkey", "drop shop.products ");
}

#[test]
fn what_is_made_on_a_partitioned_table_is_made_on_its_partitions() {
    has(PUBLIC, "CREATE INDEX ON shop.orders (status)", "index shop.orders_2024 via shop.orders");
    has_not(PUBLIC, "CREATE INDEX ON ONLY shop.orders (status)", "shop.orders_2024");
    has(PUBLIC, "DROP INDEX shop.orders_pkey", "index shop.orders_2024 via shop.orders");
    has(PUBLIC, "REINDEX INDEX shop.orders_pkey", "maintain shop.orders_2024 via shop.orders");
    has_not(PUBLIC, "DROP INDEX shop.orders_2024_pkey", "shop.orders_2025");
    let refers = "CREATE TABLE own (o bigint, at timestamptz, FOREIGN KEY (o, at) REFERENCES shop.orders)";
    has(PUBLIC, refers, "alter shop.orders_2024 via shop.orders");
}

#[test]
fn what_17_and_later_compute_when_a_table_is_altered_is_said() {
    let mut catalog = shop();
    catalog.server_version = 170_004;
    let path = ["pg_catalog".to_owned(), "shop".to_owned()];
    let session = Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames };
    let functions = |text: &str| {
        let analysis = analyse(text, &session, &Options::default()).unwrap();
        let all = analysis.statements.iter().flat_map(|s| &s.facts.functions);
        let own: Vec<String> = all.filter(|f| f.schema == "shop").map(ToString::to_string).collect();
        let unknown = said(&analysis).into_iter().any(|l| l.starts_with("unknown"));
        (own, unknown)
    };
    let altered = "ALTER TABLE products ALTER price SET EXPRESSION AS (order_total(id))";
    assert_eq!(functions(altered), (vec!["shop.order_total".to_owned()], false));
    let others = "ALTER TABLE products ALTER price SET STATISTICS 5, SET UNLOGGED, ALTER price SET STORAGE PLAIN, \
         ENABLE ROW LEVEL SECURITY, DISABLE TRIGGER ALL, SET (fillfactor = 70), REPLICA IDENTITY FULL, \
         ALTER price SET DEFAULT 1, ALTER price DROP NOT NULL, ALTER id ADD GENERATED ALWAYS AS IDENTITY, \
         DROP CONSTRAINT x, SET TABLESPACE y, CLUSTER ON z, INHERIT orders, OWNER TO postgres, NOT OF";
    for one in others.strip_prefix("ALTER TABLE products ").unwrap().split(", ") {
        assert_eq!(functions(&format!("ALTER TABLE products {one}")), (Vec::new(), false), "{one}");
    }
}
