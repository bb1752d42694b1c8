//! Our effects beside what a statement did: what it locked, wrote and ran must be said.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{Action, Effect, FunctionName, Resource, TableName};
use sql::postgres::catalog::{Oid, RelationKind};
use sql::postgres::{Analysis, Control, Named, Options, Session, Statement, analyse};

use super::compare::{self, Report, general, shown};
use super::machinery::Change;
use super::observe::{Happened, Then};
use super::script::words_of;
use super::server::{FIRST_USER, Known, Server};

/// What came of many observations.
#[derive(Default)]
pub(super) struct Watch {
    /// Statements that were carried out and seen.
    pub(super) seen: usize,
    /// Of these, the ones that the server refused: only what came before the refusal shows.
    pub(super) failed: usize,
    /// What was refused by us or is not understood: a policy that does not allow that lets nothing through.
    pub(super) unclear: usize,
    /// What cannot be seen: it ends transactions, or must stand by itself.
    pub(super) unseen: usize,
    /// What happened and we do not say.
    pub(super) lacks: Vec<String>,
    /// How often something lacks, by its kind.
    pub(super) kinds: BTreeMap<String, usize>,
    names: Names,
    report: Report,
}

/// Prepared statements by their texts, which are understood whenever they are used, and cursors as they were declared.
#[derive(Default)]
struct Names {
    prepared: HashMap<String, String>,
    cursors: HashMap<String, Arc<Statement>>,
    understood: HashMap<String, Arc<Statement>>,
}

impl Named for Names {
    fn prepared(&self, name: &str) -> Option<Arc<Statement>> {
        self.understood.get(name).cloned()
    }
    fn cursor(&self, name: &str) -> Option<Arc<Statement>> {
        self.cursors.get(name).cloned()
    }
}

/// What must not happen to the machine that the tests run on, and what waits.
const NEVER: &[Action] =
    &[Action::Program, Action::ServerFile, Action::OtherSession, Action::Replicate, Action::Egress];

/// Statements whose inner ones are only read.
const KEPT: &[&str] = &[
    "create function",
    "create or replace function",
    "create procedure",
    "create or replace procedure",
    "create rule",
    "prepare",
    "create or replace rule",
];

impl Watch {
    /// Carries a statement out and holds it against what we say of it.
    pub(super) async fn observe(&mut self, server: &mut Server, text: &str, data: Option<&str>, then: Then) {
        let Ok(analysis) = self.understood(server, text).await else {
            self.unclear += 1;
            if then == Then::Kept {
                drop(server.carry_out(text, data).await);
            }
            return;
        };
        let effects = || analysis.statements.iter().flat_map(|s| &s.effects);
        if then == Then::Undone && effects().any(|e| NEVER.contains(&e.action)) {
            self.unseen += 1;
            return;
        }
        let Some(happened) = server.observed(text, data, then).await else {
            self.unseen += 1;
            return self.follow(&analysis, text, true);
        };
        self.follow(&analysis, text, happened.refused.is_none());
        if effects().any(|e| e.action == Action::Unknown) {
            self.unclear += 1;
            return;
        }
        self.seen += 1;
        self.failed += usize::from(happened.refused.is_some());
        let Ok(known) = server.known().await else { return };
        let lacks = self.lacks(known, &analysis, &happened, text);
        for lack in &lacks {
            *self.kinds.entry(general(lack)).or_default() += 1;
        }
        if !lacks.is_empty() {
            let lacks: Vec<String> = lacks.into_iter().collect();
            self.lacks.push(format!("{}\n    {}", lacks.join("; "), shown(text)));
        }
    }

    async fn understood(&mut self, server: &mut Server, text: &str) -> Result<Analysis, String> {
        let known = server.known().await?;
        let names = std::mem::take(&mut self.names);
        let names = Names { understood: HashMap::new(), ..names };
        let mut understood = HashMap::new();
        if text.to_ascii_lowercase().contains("execute") {
            for (name, text) in &names.prepared {
                let Ok(analysis) = ours(known, &names, text) else { continue };
                let controls = analysis.statements.iter().flat_map(|s| &s.control);
                understood.extend(controls.filter_map(|control| {
                    let Control::Prepare { name: of, inner, text: _ } = control else { return None };
                    (of == name).then(|| (name.clone(), inner.clone()))
                }));
            }
        }
        self.names = Names { understood, ..names };
        let analysis = ours(known, &self.names, text);
        if analysis.as_ref().is_ok_and(|a| a.statements.iter().all(|s| !s.unresolved)) {
            return analysis;
        }
        // What the catalogue knew may be old.
        server.changed();
        let known = server.known().await?;
        ours(known, &self.names, text)
    }

    /// What later statements speak of.
    fn follow(&mut self, analysis: &Analysis, text: &str, done: bool) {
        for control in analysis.statements.iter().flat_map(|s| &s.control).filter(|_| done) {
            if let Control::Prepare { name, .. } = control {
                self.names.prepared.insert(name.clone(), text.to_owned());
            }
            if let Control::Declare { name, inner, .. } = control {
                self.names.cursors.insert(name.clone(), inner.clone());
            }
        }
    }

    fn lacks(
        &mut self,
        known: &Known,
        analysis: &Analysis,
        happened: &Happened,
        text: &str,
    ) -> BTreeSet<String> {
        let said = Told::of(analysis);
        let explained = compare::is_explained(text) && !text.to_ascii_lowercase().contains("analy");
        // What a function or a rule would do is read and kept, and is told whenever it is used.
        let kept = KEPT.iter().any(|what| words_of(text).starts_with(what));
        let mut lacks = BTreeSet::new();
        for oid in happened.named.relations.keys().filter(|_| !kept) {
            if let Some(table) = name(known, *oid)
                && !said.names(&table)
                && !is_key(known, &said, *oid)
            {
                lacks.insert(format!("relation {table}"));
            }
        }
        for (oid, change) in happened.changes.iter().filter(|_| !explained && !kept).chain(&happened.rows) {
            if let Some(table) = name(known, *oid)
                && !said.changes(&table, *change)
                // A row that is updated may leave its partition for another.
                && !(is_partition(known, *oid) && said.changes(&table, Change::Update))
            {
                lacks.insert(format!("{change:?} on {table}"));
            }
        }
        for (oid, modes) in &happened.locks {
            let strong =
                modes.iter().find(|mode| !matches!(mode.as_str(), "AccessShareLock" | "RowShareLock"));
            let Some(table) = name(known, *oid) else {
                // The catalogue is written.
                if strong.is_some()
                    && *oid < FIRST_USER
                    && !said.all.iter().any(|e| is_more_than_reading(e.action))
                {
                    lacks.insert(format!(
                        "{} of the catalogue",
                        modes.iter().cloned().collect::<Vec<_>>().join(", ")
                    ));
                }
                continue;
            };
            // `currval` locks a sequence like `nextval`, which has an effect by its name.
            if kept || is_sequence(known, *oid) {
                continue;
            }
            // A key that goes or is made anew is locked on both sides; who may do that needs no right to the other.
            let lower = text.to_ascii_lowercase();
            // The same where a partition brings its table's keys with it, to a partitioned table and what is below that.
            let unreferred = ["drop", " type ", " partition "].iter().any(|word| lower.contains(word))
                && (is_key(known, &said, *oid) || is_below_key(known, &said, *oid));
            // What a default partition takes is what its siblings do not: it is locked with the table above it.
            let beside = happened.defaults.contains(oid) && is_below_changed(known, &said, *oid);
            if let Some(mode) = strong.filter(|_| !explained && !unreferred && !beside)
                && !said.more_than_reads(&table)
                && !said.is_about_an_index_of(known, *oid)
            {
                lacks.insert(format!("{mode} of {table}"));
            } else if modes.contains("RowShareLock") && !said.locks(&table) && !is_key(known, &said, *oid) {
                lacks.insert(format!("rows locked in {table}"));
            }
        }
        let more = said.all.iter().any(|e| is_more_than_reading(e.action));
        if happened.wrote && !more && !explained {
            lacks.insert("something is written".to_owned());
        }
        if happened.advisory && !said.all.iter().any(|e| e.action == Action::LockTable) {
            lacks.insert("an advisory lock".to_owned());
        }
        if let Some(setting) = happened.configured.first().filter(|_| !said.configures) {
            lacks.insert(format!("the setting {setting}"));
        }
        self.functions(known, &said, happened, kept, &mut lacks);
        lacks
    }

    fn functions(
        &mut self,
        known: &Known,
        said: &Told<'_>,
        happened: &Happened,
        kept: bool,
        lacks: &mut BTreeSet<String>,
    ) {
        let functions = happened.named.functions.iter().filter(|_| !kept).chain(&happened.functions);
        for oid in functions.copied().collect::<BTreeSet<u32>>() {
            let Some(function) = known.catalog.function(Oid(oid)) else { continue };
            let name = FunctionName { schema: function.schema.clone(), name: function.name.clone() };
            let of_system = oid < FIRST_USER
                && (name.schema == "information_schema" || self.report.is_harmless(known, &name));
            if of_system || said.functions.contains(&name) {
                continue;
            }
            lacks.insert(format!("function {name}"));
        }
        for word in &happened.said {
            let is_said = word.split_once('.').is_some_and(|(schema, name)| {
                said.functions.contains(&FunctionName { schema: schema.to_owned(), name: name.to_owned() })
            });
            if !is_said {
                lacks.insert(format!("function {word} ran"));
            }
        }
    }
}

/// What we say of a text, all its statements together.
struct Told<'a> {
    all: Vec<&'a Effect>,
    tables: BTreeSet<&'a TableName>,
    functions: BTreeSet<&'a FunctionName>,
    configures: bool,
}

impl<'a> Told<'a> {
    fn of(analysis: &'a Analysis) -> Self {
        let statements = || analysis.statements.iter();
        let all: Vec<&Effect> = statements().flat_map(|s| &s.effects).collect();
        let settings = statements().flat_map(|s| &s.control).any(|control| {
            matches!(
                control,
                Control::Set { .. }
                    | Control::Reset(_)
                    | Control::Discard(_)
                    | Control::ChangesSettings
                    | Control::SetRole
                    | Control::Begin { .. }
            )
        });
        Self {
            configures: settings || all.iter().any(|e| e.action == Action::Configure),
            all,
            tables: statements().flat_map(|s| &s.facts.tables).collect(),
            functions: statements().flat_map(|s| &s.facts.functions).collect(),
        }
    }

    fn names(&self, table: &TableName) -> bool {
        self.tables.contains(table)
            || self
                .all
                .iter()
                .any(|e| e.resource == Resource::Table(table.clone()) || e.via.as_ref() == Some(table))
    }

    fn on(&self, table: &TableName) -> impl Iterator<Item = Action> {
        let resource = Resource::Table(table.clone());
        self.all.iter().filter(move |e| e.resource == resource).map(|e| e.action)
    }

    fn changes(&self, table: &TableName, change: Change) -> bool {
        self.on(table).any(|action| match change {
            Change::Insert => {
                matches!(action, Action::Insert | Action::CopyIn | Action::Maintain | Action::Alter)
            }
            Change::Update => action == Action::Update,
            // A materialized view that is refreshed beside its readers loses the rows that are no longer.
            Change::Delete => matches!(action, Action::Delete | Action::Maintain),
        })
    }

    fn locks(&self, table: &TableName) -> bool {
        self.more_than_reads(table)
            || self.all.iter().any(|e| e.action == Action::LockRows && e.resource == Resource::Target)
    }

    fn is_about_an_index_of(&self, known: &Known, table: u32) -> bool {
        self.all.iter().any(|effect| {
            matches!(&effect.resource, Resource::Table(name) if known.catalog.relation(&name.schema, &name.name)
                .is_some_and(|r| r.table == Some(Oid(table))))
        })
    }

    fn more_than_reads(&self, table: &TableName) -> bool {
        // Whoever may tend or define everything may do it to this, too.
        let all = |e: &&Effect| {
            e.resource == Resource::Target
                && matches!(
                    e.action,
                    Action::Maintain | Action::Alter | Action::Drop | Action::Grant | Action::Replicate
                )
        };
        self.on(table).any(is_more_than_reading) || self.all.iter().copied().any(|e| all(&e))
    }
}

/// Rows that a foreign key refers to, or that refer by it, are looked up when rows change.
fn is_key(known: &Known, said: &Told<'_>, oid: u32) -> bool {
    let Some(relation) = known.catalog.relation_by_oid(Oid(oid)) else { return false };
    let mut others = relation.refers_to.iter().chain(relation.referenced_by.iter().map(|key| &key.table));
    others.any(|other| {
        known.catalog.relation_by_oid(*other).is_some_and(|other| said.more_than_reads(&other.table_name()))
    })
}

/// The same of a partition by the tables above it.
fn is_below_key(known: &Known, said: &Told<'_>, oid: u32) -> bool {
    let parents = known.catalog.relation_by_oid(Oid(oid)).into_iter().flat_map(|r| &r.parents);
    parents.into_iter().any(|parent| is_key(known, said, parent.0) || is_below_key(known, said, parent.0))
}

/// What a relation of users was called before. Indexes and row types are not spoken of.
fn name(known: &Known, oid: u32) -> Option<TableName> {
    let relation = known.catalog.relation_by_oid(Oid(oid)).filter(|_| oid >= FIRST_USER)?;
    let is_named = !matches!(relation.kind, RelationKind::Index | RelationKind::Composite);
    is_named.then(|| relation.table_name())
}

fn is_partition(known: &Known, oid: u32) -> bool {
    let parents = known.catalog.relation_by_oid(Oid(oid)).into_iter().flat_map(|r| &r.parents);
    let mut parents = parents.filter_map(|parent| known.catalog.relation_by_oid(*parent));
    parents.any(|parent| parent.kind == RelationKind::Partitioned)
}

fn is_below_changed(known: &Known, said: &Told<'_>, oid: u32) -> bool {
    let parents = known.catalog.relation_by_oid(Oid(oid)).into_iter().flat_map(|r| &r.parents);
    let mut parents = parents.filter_map(|parent| known.catalog.relation_by_oid(*parent));
    parents.any(|parent| said.more_than_reads(&parent.table_name()))
}

fn is_sequence(known: &Known, oid: u32) -> bool {
    known.catalog.relation_by_oid(Oid(oid)).is_some_and(|r| r.kind == RelationKind::Sequence)
}

fn is_more_than_reading(action: Action) -> bool {
    !matches!(action, Action::Connect | Action::Select | Action::Probe | Action::Reveal | Action::Call)
}

fn ours(known: &Known, names: &Names, text: &str) -> Result<Analysis, String> {
    let session =
        Session { catalog: &known.catalog, search_path: &known.path, role: &known.role, prepared: names };
    analyse(text, &session, &Options::default()).map_err(|refusal| refusal.to_string())
}

impl std::fmt::Display for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} statements seen ({} of them refused by the server), {} lack something, {} not understood by us, {} not seen",
            self.seen,
            self.failed,
            self.lacks.len(),
            self.unclear,
            self.unseen
        )?;
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        kinds.iter().try_for_each(|(kind, count)| writeln!(f, "{count:>6}  {kind}"))?;
        self.lacks.iter().try_for_each(|lack| writeln!(f, "UNSAID {lack}"))
    }
}
