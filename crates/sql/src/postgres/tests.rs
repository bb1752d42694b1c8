use std::sync::Arc;

use super::catalog::{Catalog, shop};
use super::*;

struct NoNames;

impl Named for NoNames {
    fn prepared(&self, _: &str) -> Option<Arc<Statement>> {
        None
    }
    fn cursor(&self, _: &str) -> Option<Arc<Statement>> {
        None
    }
}

fn catalog() -> &'static Catalog {
    static CATALOG: std::sync::LazyLock<Catalog> = std::sync::LazyLock::new(shop);
    &CATALOG
}

fn under(path: &[&str], text: &str) -> Result<Analysis, Refusal> {
    let path: Vec<String> = path.iter().map(|s| (*s).to_owned()).collect();
    let session = Session { catalog: catalog(), search_path: &path, role: "postgres", prepared: &NoNames };
    analyse(text, &session, &Options::default())
}

/// Effects and outputs in a line each, to be compared.
fn said(analysis: &Analysis) -> Vec<String> {
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

#[test]
#[ignore = "prints"]
fn print() {
    for text in std::fs::read_to_string("/tmp/statements.sql").unwrap_or_default().split("\n") {
        if text.trim().is_empty() {
            continue;
        }
        println!("{text}");
        match under(&["pg_catalog", "public"], text) {
            Ok(a) => said(&a).iter().for_each(|l| println!("      {l}")),
            Err(r) => println!("      REFUSED {r} at {:?}", r.position()),
        }
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
    let analysis = under(&["pg_catalog", "public"], text).expect("a statement");
    assert!(
        said(&analysis).contains(&"probe column shop.customers.profile".to_owned()),
        "{:?}",
        said(&analysis)
    );
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
