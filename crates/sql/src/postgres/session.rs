//! Statements about the session: transactions, settings, prepared statements, cursors, `EXPLAIN`.

use std::sync::Arc;

use model::{Action, Resource};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    DeclareCursorStmt, DiscardMode, DiscardStmt, ExecuteStmt, ExplainStmt, FetchStmt, Node, PrepareStmt,
    SetOperation, TransactionStmt, TransactionStmtKind, VariableSetKind, VariableSetStmt,
};

use super::catalog::RelationKind;
use super::query::Rows;
use super::scope::Scope;
use super::settings::{self, Setting};
use super::tree::{constant, inner, is_on, kind, options, text_constant};
use super::value::{Col, Flow, TEXT, Value};
use super::walk::{IN_FUNCTION, Walk};
use super::{Control, Discard, Lineage, Outputs, Statement, shape};

impl<'a> Walk<'a> {
    pub(super) fn transaction(&mut self, statement: &TransactionStmt) {
        let chain = statement.chain;
        let name = || statement.savepoint_name.clone();
        let control = match statement.kind() {
            TransactionStmtKind::TransStmtBegin | TransactionStmtKind::TransStmtStart => {
                Control::Begin { read_only: read_only(&statement.options) }
            }
            TransactionStmtKind::TransStmtCommit => Control::Commit { chain },
            TransactionStmtKind::TransStmtRollback => Control::Rollback { chain },
            TransactionStmtKind::TransStmtSavepoint => Control::Savepoint(name()),
            TransactionStmtKind::TransStmtRelease => Control::Release(name()),
            TransactionStmtKind::TransStmtRollbackTo => Control::RollbackTo(name()),
            TransactionStmtKind::TransStmtPrepare => {
                let why = "a prepared transaction keeps its locks when the session ends";
                self.reaches_out(Action::LockTable, why.to_owned());
                Control::PrepareTransaction
            }
            TransactionStmtKind::TransStmtCommitPrepared | TransactionStmtKind::TransStmtRollbackPrepared => {
                return self.reaches_out(Action::OtherSession, "it ends a prepared transaction".to_owned());
            }
            TransactionStmtKind::Undefined => {
                return self.unknown("a transaction statement that is not understood");
            }
        };
        self.found.control.push(control);
    }

    pub(super) fn set(&mut self, set: &VariableSetStmt) {
        let name = set.name.to_ascii_lowercase();
        match set.kind() {
            VariableSetKind::VarSetMulti => self.set_transaction(&name, &set.args),
            VariableSetKind::VarResetAll => self.found.control.push(Control::Reset(None)),
            VariableSetKind::VarSetValue => {
                let values: Option<Vec<String>> =
                    set.args.iter().map(|a| kind(a).and_then(constant)).collect();
                // `SET a = x, y` is a list; each item is quoted where it is no plain name, as the server does. So is a single
                // schema: `SET search_path = 'a, b'` names one.
                let value = values.map(|values| match values.as_slice() {
                    [one] if name != "search_path" => one.clone(),
                    many => many.iter().map(|v| quoted(v)).collect::<Vec<_>>().join(", "),
                });
                let single = set.args.len() == 1;
                let shown = value.clone().filter(|_| single).or(value);
                self.setting(name, shown, set.is_local);
            }
            VariableSetKind::VarSetDefault | VariableSetKind::VarReset if is_role(&name) => self.own_role(),
            VariableSetKind::VarSetDefault | VariableSetKind::VarReset => {
                let local = set.is_local;
                match settings::classify(&name, None) {
                    Setting::Harmless if set.kind() == VariableSetKind::VarReset => {
                        self.found.control.push(Control::Reset(Some(name)));
                    }
                    Setting::Harmless => self.found.control.push(Control::Set { name, value: None, local }),
                    Setting::Configure => self.configures(name),
                }
            }
            VariableSetKind::VarSetCurrent | VariableSetKind::Undefined => {
                self.unknown("a SET that is not understood");
            }
        }
    }

    fn setting(&mut self, name: String, value: Option<String>, local: bool) {
        if name == "role" && value.as_deref() == Some("none") {
            return self.own_role();
        }
        match settings::classify(&name, value.as_deref()) {
            Setting::Harmless => self.found.control.push(Control::Set { name, value, local }),
            Setting::Configure => self.configures(name),
        }
    }

    /// Back to the role that logged in, as pools send it and as `DISCARD ALL` does.
    fn own_role(&mut self) {
        self.found.control.push(Control::SetRole);
    }

    fn configures(&mut self, name: String) {
        if is_role(&name) {
            self.found.control.push(Control::SetRole);
        } else {
            self.found.control.push(Control::ChangesSettings);
        }
        self.does(Action::Configure, Resource::Setting(name));
    }

    /// `SET TRANSACTION`, `SET SESSION CHARACTERISTICS AS TRANSACTION`
    fn set_transaction(&mut self, name: &str, args: &[Node]) {
        if name == "transaction snapshot" {
            return self.reaches_out(Action::OtherSession, "it takes another session's snapshot".to_owned());
        }
        let session = name.starts_with("session");
        for option in options(args) {
            let lifts = option.defname == "transaction_read_only" && !is_on(option);
            if lifts {
                let name = if session { "default_transaction_read_only" } else { "transaction_read_only" };
                self.configures(name.to_owned());
            } else {
                let name =
                    if session { format!("default_{}", option.defname) } else { option.defname.clone() };
                let value = inner(&option.arg).and_then(constant);
                self.found.control.push(Control::Set { name, value, local: !session });
            }
        }
    }

    pub(super) fn show(name: &str) -> Rows {
        if name.eq_ignore_ascii_case("all") {
            return texts(&["name", "setting", "description"]);
        }
        texts(&[name])
    }

    pub(super) fn discard(&mut self, discard: &DiscardStmt) {
        let what = match discard.target() {
            DiscardMode::DiscardAll => Discard::All,
            DiscardMode::DiscardPlans => Discard::Plans,
            DiscardMode::DiscardSequences => Discard::Sequences,
            DiscardMode::DiscardTemp => Discard::Temp,
            DiscardMode::Undefined => return self.unknown("a DISCARD that is not understood"),
        };
        self.found.control.push(Control::Discard(what));
    }

    pub(super) fn prepare(&mut self, prepare: &PrepareStmt) {
        self.given(&prepare.argtypes);
        let inner = Arc::new(self.apart(inner(&prepare.query), &prepare.argtypes));
        self.prepared.insert(prepare.name.clone(), Arc::clone(&inner));
        let text = Arc::default();
        self.found.control.push(Control::Prepare { name: prepare.name.clone(), inner, text });
    }

    /// Values that are given to a prepared statement become values of these types, each time that it runs.
    fn given(&mut self, types: &[Node]) {
        for declared in types {
            if let Some(NodeEnum::TypeName(name)) = kind(declared)
                && let Some(declared) = self.cast_to(name, None)
            {
                self.becomes_anything(&Value::clear(Some(declared)));
            }
        }
    }

    pub(super) fn declare(&mut self, declare: &DeclareCursorStmt) {
        const HOLD: i32 = 0x0020;
        let inner = Arc::new(self.apart(inner(&declare.query), &[]));
        // It is planned and started now.
        self.takes(&inner);
        self.cursors.insert(declare.portalname.clone(), Arc::clone(&inner));
        let hold = declare.options & HOLD != 0;
        let (name, text) = (declare.portalname.clone(), Arc::default());
        self.found.control.push(Control::Declare { name, inner, hold, text });
    }

    pub(super) fn execute(&mut self, execute: &ExecuteStmt, scope: &Scope<'_, 'a>) -> Rows {
        // They become of the types that its parameters have.
        for node in &execute.params {
            self.assigns_node(node, scope);
        }
        let known = self.prepared.get(&execute.name).cloned();
        if known.is_none()
            && let Some(why) = &self.moved
        {
            let why = why.clone();
            self.unknown(why.clone());
            return Rows { columns: None, flow: Flow::Unknown(why) };
        }
        let Some(statement) = known.or_else(|| self.session.prepared.prepared(&execute.name)) else {
            self.unknown(format!("prepared statement \"{}\" does not exist", execute.name));
            return Rows {
                columns: None,
                flow: Flow::Unknown("a prepared statement that is not known".to_owned()),
            };
        };
        if statement.is_utility {
            // The wire can prepare one. What it does to the session's names is not followed.
            self.unknown(format!("prepared statement \"{}\" is no query", execute.name));
        }
        self.takes(&statement);
        self.found.control.push(Control::Execute { name: execute.name.clone() });
        rows_of(&statement.outputs)
    }

    pub(super) fn fetch(&mut self, fetch: &FetchStmt) -> Rows {
        let name = fetch.portalname.clone();
        self.found.control.push(Control::Fetch { name: name.clone() });
        let known = self.cursors.get(&name).cloned();
        let Some(statement) = known.or_else(|| self.session.prepared.cursor(&name)) else {
            self.unknown(format!("cursor \"{name}\" does not exist"));
            return Rows { columns: None, flow: Flow::Unknown("a cursor that is not known".to_owned()) };
        };
        if statement.is_utility {
            self.unknown(format!("portal \"{name}\" is of no query"));
        }
        self.takes(&statement);
        if fetch.ismove { Rows::known(Vec::new()) } else { rows_of(&statement.outputs) }
    }

    /// The effects of another statement are this one's.
    fn takes(&mut self, statement: &Statement) {
        for effect in &statement.effects {
            self.found.effect(effect.clone());
        }
        self.found.tables.extend(statement.facts.tables.iter().cloned());
        self.found.functions.extend(statement.facts.functions.iter().cloned());
        self.found.unconditional |= !statement.facts.has_where;
        self.found.touches_tagged |= statement.touches_tagged;
        self.found.unresolved |= statement.unresolved;
        self.found.takes_path_of(statement);
        for control in &statement.control {
            if matches!(
                control,
                Control::Ddl | Control::TempObject | Control::ChangesSettings | Control::SetRole
            ) {
                self.found.control.push(control.clone());
            }
        }
    }

    /// A statement that is read for itself: what it would do is not done now.
    fn apart(&mut self, statement: Option<&NodeEnum>, given: &[Node]) -> Statement {
        let mut walk = Walk::new(self.session, self.options);
        walk.names = self.names.clone();
        walk.unsettled = self.unsettled.clone();
        walk.moved = self.moved.clone();
        walk.prepared = std::mem::take(&mut self.prepared);
        walk.cursors = std::mem::take(&mut self.cursors);
        walk.depth = self.depth;
        walk.given(given);
        let rows = walk.perform(statement, &Scope::default());
        self.prepared = std::mem::take(&mut walk.prepared);
        self.cursors = std::mem::take(&mut walk.cursors);
        if let Some(refusal) = walk.refusal.take() {
            self.refuse(refusal);
        }
        self.parameters = self.parameters.max(walk.parameters);
        let finished = shape::finished(walk, statement, rows, None);
        // It is a part of the same text.
        self.found.absent = self.found.absent.take().or_else(|| finished.absent.clone());
        finished
    }

    pub(super) fn explain(&mut self, explain: &ExplainStmt, scope: &Scope<'_, 'a>) -> Rows {
        let (mut runs, mut serializes) = (false, false);
        for option in options(&explain.options) {
            match option.defname.as_str() {
                "analyze" => runs = is_on(option),
                // How long the rows are is counted before anything in them is masked.
                "serialize" => {
                    serializes = inner(&option.arg).and_then(text_constant) != Some("none");
                }
                "verbose" | "costs" | "buffers" | "timing" | "summary" | "format" | "settings" | "wal"
                | "memory" | "generic_plan" => (),
                _ => self.unknown(format!("the option {} of EXPLAIN is not understood", option.defname)),
            }
        }
        let query = match inner(&explain.query) {
            // The query is explained, and no cursor is made.
            Some(NodeEnum::DeclareCursorStmt(declare)) => inner(&declare.query),
            query => query,
        };
        if runs {
            // How much memory rows take that are sorted, joined or kept tells how long their values are.
            let weighs = serializes || !self.only_scans(query);
            self.weighed |= weighs;
            let rows = self.perform(query, scope);
            if weighs {
                self.consume_flow(&rows.all());
            }
        } else {
            // It is planned, which runs functions that are said to be immutable, but nothing is written.
            let statement = self.apart(query, &[]);
            for effect in &statement.effects {
                let mut effect = effect.clone();
                // What functions write they write when the planner runs them.
                let in_function = effect.why.as_ref().is_some_and(|why| why.starts_with(IN_FUNCTION));
                if is_write(effect.action) && !in_function {
                    effect.action = Action::Select;
                }
                self.found.effect(effect);
            }
            self.found.takes_path_of(&statement);
            self.found.tables.extend(statement.facts.tables);
            self.found.functions.extend(statement.facts.functions);
            self.found.touches_tagged |= statement.touches_tagged;
            self.found.unresolved |= statement.unresolved;
        }
        texts(&["QUERY PLAN"])
    }
}

impl Walk<'_> {
    /// Whether no step of a query keeps rows: it reads one table from its beginning to its end.
    fn only_scans(&mut self, query: Option<&NodeEnum>) -> bool {
        let Some(NodeEnum::SelectStmt(select)) = query else { return false };
        let keeps_nothing = select.op() == SetOperation::SetopNone
            && select.with_clause.is_none()
            && select.into_clause.is_none()
            && select.distinct_clause.is_empty()
            && select.group_clause.is_empty()
            && select.window_clause.is_empty()
            && select.sort_clause.is_empty()
            && select.locking_clause.is_empty();
        let from = select.from_clause.iter().map(kind).collect::<Vec<_>>();
        let is_table = match from.as_slice() {
            [] => true,
            [Some(NodeEnum::RangeVar(range))] => self.relation(range).is_some_and(|found| {
                matches!(found.kind, RelationKind::Table | RelationKind::Partitioned | RelationKind::Foreign)
            }),
            _ => false,
        };
        // A query within it may keep rows, and so does an aggregate over a window.
        let written = format!("{query:?}");
        let within = ["SubLink(", "over: Some("].iter().any(|part| written.contains(part));
        keeps_nothing && is_table && !within
    }
}

/// Whether a setting says as whom a session acts.
fn is_role(name: &str) -> bool {
    matches!(name, "role" | "session_authorization")
}

/// Actions that only running a statement has.
fn is_write(action: Action) -> bool {
    matches!(action, Action::Insert | Action::Update | Action::Delete | Action::Merge | Action::LockRows)
}

/// `READ ONLY` or `READ WRITE` of `BEGIN`; the last word counts.
fn read_only(nodes: &[Node]) -> Option<bool> {
    options(nodes).filter(|o| o.defname == "transaction_read_only").last().map(is_on)
}

fn texts(names: &[&str]) -> Rows {
    let columns = names.iter().map(|name| Col::new(*name, Value::clear(Some(TEXT))));
    Rows::known(columns.collect())
}

fn rows_of(outputs: &Outputs) -> Rows {
    match outputs {
        Outputs::None => Rows::known(Vec::new()),
        Outputs::Opaque(why) => Rows { columns: None, flow: Flow::Unknown(why.clone()) },
        Outputs::Columns(columns) => Rows::known(
            columns
                .iter()
                .map(|column| Col::new(column.name.as_str(), Value::of(flow_of(&column.lineage))))
                .collect(),
        ),
    }
}

fn flow_of(lineage: &Lineage) -> Flow {
    match lineage {
        Lineage::Clear => Flow::Clear,
        Lineage::Plain(sources) => Flow::Plain(sources.clone()),
        Lineage::Derived(sources) => Flow::Derived(sources.clone()),
        Lineage::Unknown(why) => Flow::Unknown(why.clone()),
    }
}

fn quoted(value: &str) -> String {
    let plain = value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !value.starts_with(|c: char| c.is_ascii_digit())
        && !value.is_empty();
    if plain { value.to_owned() } else { format!("\"{}\"", value.replace('"', "\"\"")) }
}
