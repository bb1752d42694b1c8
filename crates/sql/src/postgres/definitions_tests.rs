//! What definitions are said to do to what is there, and to what is behind them.

use super::tests::under;

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
