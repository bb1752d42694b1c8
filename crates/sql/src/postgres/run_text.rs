//! Functions that run what their arguments say as SQL.

use std::borrow::Cow;

use pg_query::NodeEnum;
use pg_query::protobuf::Node;

use super::catalog::Function;
use super::parse;
use super::scope::Scope;
use super::tree::{kind, text_constant};
use super::value::{INT4, TEXT};
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
        if let Some(of) = type_read(function, nodes).and_then(|text| self.written_type(text)) {
            // It is read as a literal of that type is.
            return self.must_pass(of.0);
        }
        let Some(texts) = texts_run(function, nodes) else {
            return self.unknown(format!("function {name} runs text as SQL, or reads what a text names"));
        };
        for text in texts {
            self.spend(text.len() / 8);
            let parsed = parse::parse(&text, self.major, self.options).ok();
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
                let absent = self.found.absent.take();
                let rows = self.subquery(statement, &outside);
                // Where a name stands in a text within the text is no place in that.
                self.found.absent = absent;
                self.consume_flow(&rows.all());
            }
        }
    }
}

/// The name of a type as which a function reads another argument.
fn type_read<'n>(function: &Function, nodes: &'n [Node]) -> Option<&'n str> {
    let reads = matches!(function.name.as_str(), "pg_input_is_valid" | "pg_input_error_info");
    nodes.get(1).filter(|_| reads && function.is_builtin()).and_then(kind).and_then(text_constant)
}

/// The queries among a function's arguments, or those that it makes of them. `None` where one of these is no literal, or the
/// function reads its text otherwise.
fn texts_run<'n>(function: &Function, nodes: &'n [Node]) -> Option<Vec<Cow<'n, str>>> {
    let text = |node: &'n Node| text_constant(kind(node)?);
    if is_of_tablefunc(function) && function.name == "connectby" {
        return Some(vec![Cow::Owned(of_connectby(function, nodes, text)?)]);
    }
    if is_of_tablefunc(function) {
        // The query and, unless a number says how many categories there are, another one of these.
        let queries = if function.arguments.get(1) == Some(&INT4) { nodes.get(..1)? } else { nodes };
        let queries = queries.iter().map(|node| text(node).map(Cow::Borrowed));
        return queries.collect::<Option<Vec<_>>>().filter(|texts| !texts.is_empty());
    }
    // `ts_rewrite(query, text)`
    let place = usize::from(function.name == "ts_rewrite");
    let first = nodes.get(place).and_then(text)?;
    match function.name.as_str() {
        _ if !function.is_builtin() => None,
        "query_to_xml" | "query_to_xmlschema" | "query_to_xml_and_xmlschema" | "ts_stat" | "ts_rewrite" => {
            Some(vec![Cow::Borrowed(first)])
        }
        "table_to_xml" | "table_to_xml_and_xmlschema" | "table_to_xmlschema" if is_of_names(first) => {
            Some(vec![Cow::Owned(format!("TABLE {first}"))])
        }
        _ => None,
    }
}

/// What `connectby` asks for each row that it comes to, by the key of that row (`build_tuplestore_recursively`).
fn of_connectby<'n>(
    function: &Function,
    nodes: &'n [Node],
    text: impl Fn(&'n Node) -> Option<&'n str>,
) -> Option<String> {
    let is_sorted = function.arguments.get(4) == Some(&TEXT);
    let places = if is_sorted { 0..4 } else { 0..3 };
    let names: Vec<&str> = nodes.get(places)?.iter().map(text).collect::<Option<_>>()?;
    // Nothing in them reads the key that is put between as something else than a literal.
    let [table, key, parent, sorted @ ..] = names.as_slice() else { return None };
    if !names.iter().all(|name| is_of_names(name)) {
        return None;
    }
    let order = sorted.first().map(|by| format!(" ORDER BY {by}")).unwrap_or_default();
    Some(format!(
        "SELECT {key}, {parent} FROM {table} WHERE {parent} = '' AND {key} IS NOT NULL AND {key} <> {parent}{order}"
    ))
}

/// Whether a text has names and what stands between them alone: it begins and ends nothing else.
fn is_of_names(text: &str) -> bool {
    let quotes = text.matches('"').count();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | ' ' | ',');
    !text.is_empty() && quotes.is_multiple_of(2) && text.chars().all(plain)
}

/// A function of `tablefunc`'s that makes rows of what queries return, and does nothing else with them.
pub(super) fn is_of_tablefunc(function: &Function) -> bool {
    function.extension.as_deref() == Some("tablefunc")
        && function.language == "c"
        && matches!(
            function.name.as_str(),
            "crosstab" | "crosstab2" | "crosstab3" | "crosstab4" | "connectby"
        )
}
