//! Functions that run what their arguments say as SQL.

use pg_query::NodeEnum;
use pg_query::protobuf::Node;

use super::catalog::Function;
use super::parse;
use super::scope::Scope;
use super::tree::{kind, text_constant};
use super::value::INT4;
use super::walk::Walk;

impl<'a> Walk<'a> {
    /// Functions that run their text as SQL: what a literal says is read like a statement; all that it reads is used.
    pub(super) fn runs_text(&mut self, function: &'a Function, nodes: &[Node], scope: &Scope<'_, 'a>) {
        // What it says decides, and is analysed when it runs: by the path of that moment.
        self.found.literals = true;
        self.found.by_path = true;
        let name = function.function_name();
        if name.name == "ts_rewrite" && function.arguments.len() == 3 {
            return; // The form with two queries instead of a text.
        }
        let Some(texts) = texts_run(function, nodes) else {
            return self.unknown(format!("function {name} runs text as SQL, or reads what a text names"));
        };
        for text in texts {
            self.spend(text.len() / 8);
            let parsed = parse::parse(text, self.major, self.options).ok();
            let Some(parsed) = parsed.filter(|p| p.statements.len() == 1) else {
                return self.unknown(format!("function {name} runs text as SQL, or reads what a text names"));
            };
            for raw in &parsed.statements {
                let statement = raw.stmt.as_deref().and_then(kind);
                if !matches!(statement, Some(NodeEnum::SelectStmt(_))) {
                    return self.unknown(format!("function {name} runs text as SQL that is no query"));
                }
                let outer = Scope { ctes: Vec::new(), ..Scope::below(scope) };
                let outside = Scope { parent: None, ..outer };
                let rows = self.subquery(statement, &outside);
                self.consume_flow(&rows.all());
            }
        }
    }
}

/// The queries among a function's arguments. `None` where one of them is no literal, or the function reads its text otherwise.
fn texts_run<'n>(function: &Function, nodes: &'n [Node]) -> Option<Vec<&'n str>> {
    if is_crosstab(function) {
        // The query and, unless a number says how many categories there are, another one of these.
        let text = |node: &'n Node| text_constant(kind(node)?);
        let queries = if function.arguments.get(1) == Some(&INT4) { nodes.get(..1)? } else { nodes };
        return queries.iter().map(text).collect::<Option<Vec<_>>>().filter(|texts| !texts.is_empty());
    }
    let name = function.name.as_str();
    let reads_first =
        matches!(name, "query_to_xml" | "query_to_xmlschema" | "query_to_xml_and_xmlschema" | "ts_stat");
    let first = nodes.first().and_then(kind).and_then(text_constant)?;
    (reads_first && function.is_builtin()).then(|| vec![first])
}

/// A function of `tablefunc`'s that makes rows of what queries return, and does nothing else with them.
pub(super) fn is_crosstab(function: &Function) -> bool {
    function.extension.as_deref() == Some("tablefunc")
        && function.language == "c"
        && matches!(function.name.as_str(), "crosstab" | "crosstab2" | "crosstab3" | "crosstab4")
}
