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
