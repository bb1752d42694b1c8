//! Our analysis of a statement beside the server's.

use std::collections::{BTreeMap, BTreeSet};

use model::{Action, ColumnName, Effect, FunctionName, Resource, TableName};
use pg_query::protobuf::ObjectType;
use pg_query::{Node, NodeEnum};
use sql::postgres::catalog::Oid;
use sql::postgres::{
    Analysis, Control, Lineage, NoNames, Options, OutputColumn, Outputs, Session, Statement, analyse,
};

use super::server::{Described, Known, Said, Server};

/// What came of many comparisons.
#[derive(Default)]
pub(super) struct Report {
    /// Statements of which the server has an analysis.
    pub(super) compared: usize,
    /// What the server has and we lack.
    pub(super) unsound: Vec<String>,
    /// Why we refuse, or call unknown, what the server resolves: how often, and one example.
    pub(super) imprecise: BTreeMap<String, (usize, String)>,
    /// Statements that are imprecise.
    pub(super) unclear: usize,
    /// Why the server did not accept what it was given.
    pub(super) refused: BTreeMap<String, usize>,
    harmless: BTreeMap<String, bool>,
}

/// The statement that a function can hold and that is part of this one: itself, or the query of `EXPLAIN`, `COPY`, …
pub(super) fn held(text: &str) -> Option<String> {
    let parsed = pg_query::parse(text, pg_query::ParserOptions::DEFAULT).ok()?;
    let [raw] = parsed.protobuf.stmts.as_slice() else { return None };
    inner(raw.stmt.as_deref()?, text)
}

/// A plan is shown, and no rows.
pub(super) fn is_explained(text: &str) -> bool {
    let parsed = pg_query::parse(text, pg_query::ParserOptions::DEFAULT).ok();
    let statement =
        parsed.as_ref().and_then(|p| p.protobuf.stmts.first()).and_then(|raw| raw.stmt.as_deref());
    matches!(statement.and_then(|s| s.node.as_ref()), Some(NodeEnum::ExplainStmt(_)))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a function holds no other statement")]
fn inner(node: &Node, text: &str) -> Option<String> {
    let deparsed = |node: &Option<Box<Node>>| match node.as_deref()?.node.as_ref()? {
        select @ NodeEnum::SelectStmt(s) if s.into_clause.is_none() => {
            select.deparse(pg_query::DeparseOptions::default()).ok()
        }
        dml @ (NodeEnum::InsertStmt(_)
        | NodeEnum::UpdateStmt(_)
        | NodeEnum::DeleteStmt(_)
        | NodeEnum::MergeStmt(_)) => dml.deparse(pg_query::DeparseOptions::default()).ok(),
        _ => None,
    };
    match node.node.as_ref()? {
        NodeEnum::SelectStmt(select) if select.into_clause.is_some() => {
            let mut select = select.clone();
            select.into_clause = None;
            NodeEnum::SelectStmt(select).deparse(pg_query::DeparseOptions::default()).ok()
        }
        NodeEnum::SelectStmt(_)
        | NodeEnum::InsertStmt(_)
        | NodeEnum::UpdateStmt(_)
        | NodeEnum::DeleteStmt(_)
        | NodeEnum::MergeStmt(_) => Some(text.trim_end().trim_end_matches(';').to_owned()),
        NodeEnum::ExplainStmt(explain) => deparsed(&explain.query),
        // What is materialized keeps where its columns come from, as a view does.
        NodeEnum::CreateTableAsStmt(create) if create.objtype() == ObjectType::ObjectMatview => None,
        NodeEnum::CreateTableAsStmt(create) => deparsed(&create.query),
        NodeEnum::DeclareCursorStmt(declare) => deparsed(&declare.query),
        NodeEnum::CopyStmt(copy) => deparsed(&copy.query),
        _ => None,
    }
}

impl Report {
    /// Compares one statement.
    pub(super) async fn compare(&mut self, server: &mut Server, text: &str) {
        let Some(held) = held(text) else { return };
        let whole = held.len() == text.trim_end().trim_end_matches(';').len();
        let (described, types) = match server.describe(&held).await {
            Ok(described) => described,
            Err(why) => return self.refuse(why),
        };
        let rows = !is_explained(text);
        if server.major() < 14 {
            // Older servers do not show their analysis: only descriptions are compared.
            return self.compared_with(server, text, None, whole.then_some(&described)).await;
        }
        let said = match server.analyse(&held, &types, rows).await {
            Ok(said) => said,
            Err(why) => return self.refuse(why),
        };
        self.compared_with(server, text, Some(&said), whole.then_some(&described)).await;
    }

    async fn compared_with(
        &mut self,
        server: &mut Server,
        text: &str,
        said: Option<&Said>,
        described: Option<&Vec<Described>>,
    ) {
        self.compared += 1;
        let mut lacks = self.lacks(server, text, said, described).await;
        if !lacks.is_empty() {
            // What the catalogue knew may be old.
            server.changed();
            lacks = self.lacks(server, text, said, described).await;
        }
        if !lacks.is_empty() {
            self.unsound.push(format!("{}\n    {}", lacks.join("; "), shown(text)));
        }
        if let Ok(known) = server.known().await {
            self.clear(known, text);
        }
    }

    fn refuse(&mut self, why: String) {
        *self.refused.entry(general(&why)).or_default() += 1;
    }

    /// Counts why a statement is not understood.
    fn clear(&mut self, known: &Known, text: &str) {
        let mut reasons = BTreeMap::new();
        match ours(known, text) {
            Err(refusal) => drop(reasons.insert(format!("refused: {}", general(&refusal)), refusal)),
            Ok(analysis) => {
                for statement in &analysis.statements {
                    for effect in statement.effects.iter().filter(|e| e.action == Action::Unknown) {
                        let why = effect.why.clone().unwrap_or_default();
                        reasons.insert(general(&why), why);
                    }
                    if let Outputs::Opaque(why) = &statement.outputs {
                        reasons.insert(format!("opaque: {}", general(why)), why.clone());
                    }
                }
            }
        }
        self.unclear += usize::from(!reasons.is_empty());
        for (reason, why) in reasons {
            let entry =
                self.imprecise.entry(reason).or_insert_with(|| (0, format!("{why}: {}", shown(text))));
            entry.0 += 1;
        }
    }

    async fn lacks(
        &mut self,
        server: &mut Server,
        text: &str,
        said: Option<&Said>,
        described: Option<&Vec<Described>>,
    ) -> Vec<String> {
        let known = match server.known().await {
            Ok(known) => known,
            Err(why) => return vec![format!("the catalogue cannot be read: {why}")],
        };
        // A refusal of the whole text lets nothing through.
        let Ok(analysis) = ours(known, text) else { return Vec::new() };
        let [statement] = analysis.statements.as_slice() else { return vec!["not one statement".to_owned()] };
        let unknown = statement.effects.iter().any(|e| e.action == Action::Unknown);
        let mut lacks = Vec::new();
        if let Some(said) = said.filter(|_| !unknown) {
            relations(statement, said, described.is_some() || !is_explained(text), &mut lacks);
            self.functions(known, statement, said, &mut lacks);
            columns(known, statement, said, &mut lacks);
        }
        if let Some(described) = described {
            outputs(known, statement, described, &mut lacks);
        }
        lacks
    }

    /// Whether a function is the server's own and calling it is no effect.
    pub(super) fn is_harmless(&mut self, known: &Known, function: &FunctionName) -> bool {
        let name = &function.name;
        function.schema == "pg_catalog"
            && *self.harmless.entry(name.clone()).or_insert_with(|| harmless(known, name))
    }

    fn functions(&mut self, known: &Known, statement: &Statement, said: &Said, lacks: &mut Vec<String>) {
        for (schema, name) in &said.functions {
            let function = FunctionName { schema: schema.clone(), name: name.clone() };
            if statement.facts.functions.contains(&function) {
                continue;
            }
            if self.is_harmless(known, &function) {
                continue;
            }
            lacks.push(format!("function {function}"));
        }
    }
}

fn ours(known: &Known, text: &str) -> Result<Analysis, String> {
    under(known, &known.path, text)
}

pub(super) fn under(known: &Known, path: &[String], text: &str) -> Result<Analysis, String> {
    let session =
        Session { catalog: &known.catalog, search_path: path, role: &known.role, prepared: &NoNames };
    analyse(text, &session, &Options::default()).map_err(|refusal| refusal.to_string())
}

/// Whether calling a function of the server's own does nothing, as our own analysis of a call has it.
fn harmless(known: &Known, name: &str) -> bool {
    let quoted = name.replace('"', "\"\"");
    let calls = (0..9).map(|count| {
        let nulls = vec!["NULL"; count].join(", ");
        under(known, &["pg_catalog".to_owned()], &format!("SELECT pg_catalog.\"{quoted}\"({nulls})"))
    });
    let mut resolved = false;
    for analysis in calls.flatten() {
        for statement in &analysis.statements {
            if statement.unresolved {
                continue;
            }
            resolved = true;
            if !statement.effects.is_empty() {
                return false;
            }
        }
    }
    resolved
}

fn relations(statement: &Statement, said: &Said, carried_out: bool, lacks: &mut Vec<String>) {
    for (schema, name, rights) in said.relations.values() {
        let table = TableName { schema: schema.clone(), name: name.clone() };
        let on = |action: Action| {
            statement
                .effects
                .iter()
                .any(|e| e.action == action && e.resource == Resource::Table(table.clone()))
        };
        let is_seen =
            statement.facts.tables.contains(&table) || statement.effects.iter().any(|e| names(e, &table));
        if !is_seen {
            lacks.push(format!("relation {table}"));
            continue;
        }
        let locks = on(Action::LockRows)
            || statement
                .effects
                .iter()
                .any(|e| e.action == Action::LockRows && e.resource == Resource::Target);
        let rights = [
            (1, on(Action::Insert), "insert into"),
            (2, on(Action::Select), "select from"),
            (4, on(Action::Update) || locks, "update of"),
            (8, on(Action::Delete), "delete from"),
        ]
        .map(|(bit, has, what)| (carried_out && rights & bit != 0 && !has).then_some(what));
        for what in rights.into_iter().flatten() {
            lacks.push(format!("{what} {table}"));
        }
    }
}

pub(super) fn names(effect: &Effect, table: &TableName) -> bool {
    effect.resource == Resource::Table(table.clone()) || effect.via.as_ref() == Some(table)
}

fn columns(known: &Known, statement: &Statement, said: &Said, lacks: &mut Vec<String>) {
    let outputs = match &statement.outputs {
        Outputs::Columns(columns) => columns.as_slice(),
        Outputs::None => &[],
        // What is not certain is withheld as a whole.
        Outputs::Opaque(_) => return,
    };
    if outputs.iter().any(|o| matches!(o.lineage, Lineage::Unknown(_))) {
        return;
    }
    let mut have: BTreeSet<&ColumnName> = outputs.iter().flat_map(|o| sources(o)).collect();
    // The rows of a cursor come later.
    for control in &statement.control {
        if let Control::Declare { inner, .. } = control
            && let Outputs::Columns(columns) = &inner.outputs
        {
            have.extend(columns.iter().flat_map(sources));
        }
    }
    have.extend(statement.effects.iter().filter_map(|effect| match &effect.resource {
        Resource::Column(column) if effect.action == Action::Probe => Some(column),
        Resource::Column(_)
        | Resource::Target
        | Resource::Schema(_)
        | Resource::Table(_)
        | Resource::Function(_)
        | Resource::Setting(_) => None,
    }));
    // Of a row that a body is given it uses what is found there.
    let is_used = |(relation, number): &(u32, i16)| *number != 0 || !is_given(known, statement, *relation);
    for column in tagged(known, said.columns.iter().copied().filter(is_used)) {
        if !have.contains(&column) {
            lacks.push(format!("column {column}"));
        }
    }
}

/// Whether a statement calls a function that takes a relation's rows and whose body is read.
fn is_given(known: &Known, statement: &Statement, relation: u32) -> bool {
    let takes =
        |type_oid: &Oid| known.catalog.type_by_oid(*type_oid).is_some_and(|t| t.relation == Oid(relation));
    statement.facts.functions.iter().any(|called| {
        known.catalog.functions_named(&called.name).any(|function| {
            function.schema == called.schema
                && matches!(function.language.as_str(), "sql" | "plpgsql")
                && function.arguments.iter().any(takes)
        })
    })
}

pub(super) fn sources(output: &OutputColumn) -> Vec<&ColumnName> {
    match &output.lineage {
        Lineage::Plain(sources) | Lineage::Derived(sources) => sources.iter().map(|s| &s.column).collect(),
        Lineage::Clear | Lineage::Unknown(_) => Vec::new(),
    }
}

/// The tagged ones of columns; number 0 stands for all of a relation.
pub(super) fn tagged(known: &Known, columns: impl Iterator<Item = (u32, i16)>) -> BTreeSet<ColumnName> {
    let catalog = &known.catalog;
    let mut all = BTreeSet::new();
    for (relation, number) in columns {
        let Some(relation) = catalog.relation_by_oid(Oid(relation)) else { continue };
        for column in relation.columns.iter().filter(|c| number == 0 || c.number == number) {
            if !catalog.tags(relation.oid, column.number).is_empty() {
                all.insert(ColumnName { table: relation.table_name(), name: column.name.clone() });
            }
        }
    }
    all
}

fn outputs(known: &Known, statement: &Statement, described: &[Described], lacks: &mut Vec<String>) {
    let outputs = match &statement.outputs {
        Outputs::Columns(columns) => columns.as_slice(),
        Outputs::None => &[],
        Outputs::Opaque(_) => return,
    };
    let names = |all: &mut dyn Iterator<Item = &str>| all.collect::<Vec<_>>().join(", ");
    let (ours, theirs) = (
        names(&mut outputs.iter().map(|o| o.name.as_str())),
        names(&mut described.iter().map(|d| d.name.as_str())),
    );
    if outputs.len() != described.len() || ours != theirs {
        lacks.push(format!("outputs: the server has ({theirs}), we have ({ours})"));
        return;
    }
    for (output, described) in outputs.iter().zip(described) {
        let (Some(table), Some(column)) = (described.table, described.column) else { continue };
        if matches!(output.lineage, Lineage::Unknown(_)) {
            continue;
        }
        for column in tagged(known, std::iter::once((table, column))) {
            if !sources(output).contains(&&column) {
                lacks.push(format!("output {} is of {column}", output.name));
            }
        }
    }
}

/// A statement in a line, without the comments before it.
pub(super) fn shown(text: &str) -> String {
    let lines = text.lines().map(str::trim).skip_while(|line| line.is_empty() || line.starts_with("--"));
    lines.collect::<Vec<_>>().join(" ").chars().take(2_000).collect()
}

/// A reason without the names in it, so that alike ones are counted together.
pub(super) fn general(why: &str) -> String {
    let named = ["function", "relation", "type", "view", "column", "aggregate", "of", "operator", "body"];
    let mut general: Vec<&str> = Vec::new();
    for word in why.split_whitespace() {
        let plain =
            word.contains(['"', '.', '(', '$']) || word.chars().any(|c| c.is_ascii_digit() || c == '_');
        let after = general.last().is_some_and(|last| named.contains(last));
        let is_name = after && !named.contains(&word) && !["a", "an", "the", "is", "does"].contains(&word);
        let keep = !(plain || is_name);
        general.push(if keep { word } else { "…" });
    }
    general.truncate(14);
    general.join(" ")
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} statements compared, {} lacks, {} statements not understood by us, {} not taken by the server",
            self.compared,
            self.unsound.len(),
            self.unclear,
            self.refused.values().sum::<usize>()
        )?;
        let mut reasons: Vec<_> = self.imprecise.iter().collect();
        reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        for (reason, (count, example)) in reasons {
            let example: String = example.chars().take(240).collect();
            writeln!(f, "{count:>6}  {reason}\n          {example}")?;
        }
        self.unsound.iter().try_for_each(|lack| writeln!(f, "LACKS {lack}"))
    }
}
