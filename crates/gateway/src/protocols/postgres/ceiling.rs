//! How many rows an approved operation may change. It is sent so that its effect can be taken back, and looked at before it
//! is committed: outside of a block in a transaction of ours, else in the client's own, which fails where there are too many.
//! In the extended protocol nothing is committed before the client's Sync, so that no transaction of ours is needed there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use model::{Action, Ceiling, Changed, ColumnName, Effect, Expected, Resource, Rows};
use policy::Most;
use sql::postgres::{Control, Statement};

use super::control::Rows as Answer;
use super::expected::Bound;
use super::operation::Operation;
use super::preview::trial::Kept;
use super::request::Request;
use crate::audit::{DecisionId, Outcome, Stopped};
use crate::holds::Countable;

/// More rows changed than were approved.
pub(super) const TOO_MANY: &str = "ZD006";
/// It changed other rows than were seen when it was tried.
pub(super) const ANOTHER: &str = "ZD008";

/// What counts of an operation's rows.
pub(super) fn countable(request: &Request) -> Countable {
    let statements = &request.operation.statements;
    let changing: Vec<&Arc<Statement>> =
        statements.iter().filter(|s| s.effects.iter().any(changes_rows)).collect();
    let Some(first) = changing.first() else {
        return Countable::Nothing(nothing_to_count(statements));
    };
    if let Some(code) = changing.iter().find(|s| matches!(s.facts.kind.as_str(), "do" | "call")) {
        let kind = code.facts.kind.to_uppercase();
        return Countable::Nothing(format!(
            "{kind} may commit by itself, so that nothing could be taken back"
        ));
    }
    if changing.iter().any(|s| s.control.iter().any(|c| matches!(c, Control::Declare { .. }))) {
        return Countable::Nothing("a cursor's rows come later".to_owned());
    }
    if statements.iter().flat_map(|s| &s.control).any(ends_or_begins) {
        return Countable::Entangled(
            "a statement that waits for an approval comes without BEGIN and COMMIT in its message",
        );
    }
    let one = changing.len() == 1;
    let of = if one { beside_triggers(request, first) } else { Vec::new() };
    Countable::Rows(of)
}

fn nothing_to_count(statements: &[Arc<Statement>]) -> String {
    let kinds: BTreeSet<&str> = statements.iter().map(|s| s.facts.kind.as_str()).collect();
    let kinds = kinds.into_iter().collect::<Vec<_>>().join("; ").to_uppercase();
    let alone = |text: &str| text.to_ascii_lowercase().contains("concurrently");
    let whole = ["VACUUM", "CREATE DATABASE", "DROP DATABASE", "ALTER SYSTEM", "CREATE TABLESPACE"];
    if whole.iter().any(|kind| kinds.contains(kind)) || statements.iter().any(|s| alone(&s.text)) {
        return format!("{kinds} runs in no transaction, so that nothing of it can be taken back");
    }
    format!("the server counts no rows of {kinds}")
}

/// What the server's count of rows may show.
fn changes_rows(effect: &Effect) -> bool {
    match effect.action {
        Action::Insert
        | Action::Update
        | Action::Delete
        | Action::Merge
        | Action::CopyIn
        | Action::Call
        | Action::RunCode
        | Action::Unknown => true,
        Action::Connect
        | Action::Select
        | Action::Truncate
        | Action::LockRows
        | Action::LockTable
        | Action::Sequence
        | Action::LargeObject
        | Action::Create
        | Action::Alter
        | Action::Drop
        | Action::Index
        | Action::Comment
        | Action::Grant
        | Action::Maintain
        | Action::Configure
        | Action::Listen
        | Action::Notify
        | Action::ServerFile
        | Action::Program
        | Action::OtherSession
        | Action::Replicate
        | Action::Egress
        | Action::Reveal
        | Action::Probe
        | Action::Preview
        | Action::Approve => false,
    }
}

fn ends_or_begins(control: &Control) -> bool {
    matches!(
        control,
        Control::Begin { .. }
            | Control::Commit { .. }
            | Control::Rollback { .. }
            | Control::PrepareTransaction
    )
}

/// The tables that a plain statement changes by itself and by its foreign keys, where triggers of theirs may write others, or
/// rows move between partitions. What triggers write follows from what is counted.
fn beside_triggers(request: &Request, statement: &Statement) -> Vec<(String, String)> {
    let plain = ["insert", "update", "delete", "merge", "copy from"];
    if !plain.contains(&statement.facts.kind.as_str()) {
        return Vec::new();
    }
    let target =
        statement.effects.iter().filter(|effect| changes_rows(effect)).find_map(|effect| {
            if let Resource::Table(table) = &effect.resource { Some(table) } else { None }
        });
    let Some(target) = target else { return Vec::new() };
    let reach = request.seen.catalogue.reach(target);
    if !reach.any_triggers() {
        return Vec::new();
    }
    reach.tables().map(|table| (table.schema, table.name)).collect()
}

/// What was approved of rows, beside what had changed before the operation.
#[derive(Debug)]
pub(super) struct Limit {
    /// So many may change.
    pub most: u64,
    of: Vec<(String, String)>,
    expected: Option<Expected>,
    before: Changes,
    /// What was tried and is open: it is committed in the place of a portal that is run.
    pub kept: Option<Box<Kept>>,
}

/// Why an operation is not to stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Beyond {
    /// It changed so many rows, and less were approved.
    TooMany(u64),
    /// It did something else than what was seen when it was tried.
    Another(String),
}

impl Limit {
    /// Under a ceiling, from this moment on.
    pub(super) fn from(approved: &Approved, before: Changes, kept: Option<Box<Kept>>) -> Self {
        let Approved { most, of, expected } = approved.clone();
        Self { most, of, expected, before, kept }
    }

    /// How many rows have changed since, where statements have told of so many.
    pub(super) fn changed(&self, after: &Changes, told: u64) -> u64 {
        let counts = |name: &(String, String)| self.of.is_empty() || self.of.contains(name);
        let roots = after.since(&self.before, counts);
        roots.values().fold(0_u64, |sum, of| sum.saturating_add(of.rows.changed(of.partitioned))).max(told)
    }

    /// Why it may not stay, if so. What waits for the end of its transaction has run where that is `settled`.
    pub(super) fn beyond(&self, after: &Changes, told: u64, settled: bool) -> Option<Beyond> {
        let changed = self.changed(after, told);
        if changed > self.most {
            return Some(Beyond::TooMany(changed));
        }
        self.another(after, settled).map(Beyond::Another)
    }

    /// How its effect differs from what was seen when it was tried.
    fn another(&self, after: &Changes, settled: bool) -> Option<String> {
        let Expected { tolerance, tables } = self.expected.as_ref()?;
        let mut found = after.since(&self.before, |_| true);
        let line = |(schema, name): &(String, String), rows: Rows| match rows.words() {
            nothing if nothing.is_empty() => format!("changes nothing of {schema}.{name}"),
            words => format!("{words} of {schema}.{name}"),
        };
        for Changed { relation, table, rows, at_once } in tables {
            let key = place(*relation, table, &found);
            let now = key.and_then(|key| found.remove(&key)).map(|since| since.rows).unwrap_or_default();
            let then = if settled { *rows } else { *at_once };
            if !now.is_about(then, *tolerance) {
                return Some(format!("it {}; tried before, it {}", line(table, now), line(table, then)));
            }
        }
        let other = found.values().find(|since| since.rows != Rows::default())?;
        Some(format!("it {}; tried before, it left that as it was", line(&other.name, other.rows)))
    }
}

/// What was approved of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Approved {
    most: u64,
    of: Vec<(String, String)>,
    expected: Option<Expected>,
}

impl Approved {
    /// `None` where there is no ceiling.
    pub(super) fn of(ceiling: Option<Ceiling>) -> Option<Self> {
        match ceiling? {
            Ceiling::Rows { most, from: _, of, expected } => Some(Self { most, of, expected }),
            Ceiling::None(_) => None,
        }
    }

    /// Whether that is what was seen when it was tried, and no number that somebody has set in its place.
    pub(super) fn is_as_tried(&self) -> bool {
        self.expected.is_some()
    }
}

/// What has changed, by table.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<String, Table>);

#[derive(Debug)]
struct Table {
    name: (String, String),
    root: Option<String>,
    counts: Rows,
}

/// What has become of one table's rows, its partitions' with them.
#[derive(Debug)]
pub(super) struct Since {
    /// Of the table, or of one of its partitions.
    pub name: (String, String),
    /// How many rows.
    pub rows: Rows,
    /// Whether a partition of it has changed.
    pub partitioned: bool,
}

impl Changes {
    /// What the answer to [`own::CHANGED`](super::own::CHANGED) says.
    pub(super) fn read(rows: &Answer) -> Option<Self> {
        let mut all = BTreeMap::new();
        for row in rows {
            let [
                Some(relation),
                Some(schema),
                Some(name),
                root,
                Some(inserted),
                Some(updated),
                Some(deleted),
            ] = row.as_slice()
            else {
                return None;
            };
            let number = |text: &String| text.parse::<u64>().ok();
            let counts =
                Rows { inserted: number(inserted)?, updated: number(updated)?, deleted: number(deleted)? };
            let table = Table { name: (schema.clone(), name.clone()), root: root.clone(), counts };
            all.insert(relation.clone(), table);
        }
        Some(Self(all))
    }

    /// What has become of rows since, by the number of the table or of the partitioned table that it is part of.
    pub(super) fn since(
        &self,
        before: &Self,
        counts: impl Fn(&(String, String)) -> bool,
    ) -> BTreeMap<String, Since> {
        let mut all: BTreeMap<String, Since> = BTreeMap::new();
        for (relation, table) in self.0.iter().filter(|(_, table)| counts(&table.name)) {
            let then = before.0.get(relation).map(|before| before.counts).unwrap_or_default();
            let root = table.root.as_ref();
            let since = all.entry(root.unwrap_or(relation).clone()).or_insert_with(|| Since {
                name: table.name.clone(),
                rows: Rows::default(),
                partitioned: false,
            });
            since.partitioned |= root.is_some();
            let rows = &mut since.rows;
            for (sum, now, then) in [
                (&mut rows.inserted, table.counts.inserted, then.inserted),
                (&mut rows.updated, table.counts.updated, then.updated),
                (&mut rows.deleted, table.counts.deleted, then.deleted),
            ] {
                *sum = sum.saturating_add(now.saturating_sub(then));
            }
        }
        all
    }
}

/// How many rows a statement says that it changed.
pub(super) fn told(statement: Option<&Arc<Statement>>, tag: &str, rows: u64) -> u64 {
    let changes = ["INSERT", "UPDATE", "DELETE", "MERGE"].iter().any(|word| tag.starts_with(word));
    let copied = tag.starts_with("COPY")
        && statement.is_some_and(|s| s.control.iter().any(|c| matches!(c, Control::CopyIn)));
    if changes || copied { rows } else { 0 }
}

/// An approved operation on its way, from its claim to its commit. Nothing else of the client's is sent meanwhile.
pub(super) struct Capped {
    /// Where it is.
    pub stage: Stage,
    /// Whether the transaction is ours.
    pub ours: bool,
    /// Whether it came as a message that is answered with a ReadyForQuery of its own.
    pub simple: bool,
    /// The decision that let it pass.
    pub decision: DecisionId,
    /// When it was sent.
    pub started: Instant,
    /// How many rows statements have told of.
    pub told: u64,
    /// What the client gets once it stays.
    pub held: Vec<u8>,
    /// What is recorded then.
    pub outcomes: Vec<Outcome>,
}

/// Where an approved operation is.
pub(super) enum Stage {
    /// What is in flight is answered first.
    Waiting(Box<Unsent>),
    /// What was tried and is open is committed in its place; this is sent where it is gone.
    Kept(Box<Kept>, Instead),
    /// What has changed before it is asked for, in a transaction that is ours where it needs one.
    Beginning(Box<Unsent>),
    /// The server runs it.
    Running(Arc<Limit>),
    /// It is done, and can be taken back.
    Ran(Arc<Limit>),
    /// It failed in a transaction of ours, and the client knows.
    Failed,
    /// What has changed is asked for.
    Counting(Arc<Limit>),
    /// What waits for the end of the client's transaction runs and is counted, before what ends that is sent.
    Closing(Box<Unsent>),
    /// It is told to stay.
    Committing,
    /// It is told not to: then the client is told this, if it does not know.
    Undoing(Option<Vec<u8>>),
}

/// What runs where nothing that was tried is open any more.
pub(super) enum Instead {
    /// A message.
    Message(Box<Unsent>),
    /// A portal of the client's, by its name, with the message that runs it.
    Portal(String, Arc<Bound>, Vec<u8>),
}

/// An operation that is allowed and on record, and not sent yet.
pub(super) struct Unsent {
    pub request: Request,
    pub reveal: Arc<BTreeSet<ColumnName>>,
    pub turn: u64,
    /// What was approved; nothing where it ends the transaction of what was.
    pub approved: Option<Approved>,
    /// How much it may return.
    pub most: Option<Arc<Most>>,
    /// What was tried and is open.
    pub kept: Option<Box<Kept>>,
}

/// An approved operation that stays in a transaction of the client's, which is open.
pub(super) struct Due {
    pub limit: Arc<Limit>,
    /// How many rows it has changed so far.
    pub changed: u64,
}

/// Why a transaction may not be committed: what waited for its end has changed more, or something else, than was approved of
/// all that was approved in it.
pub(super) fn beyond_at_last(due: &[Due], before: &Changes, after: &Changes) -> Option<(Beyond, u64)> {
    let counts = |name: &(String, String)| {
        due.iter().any(|Due { limit, .. }| limit.of.is_empty() || limit.of.contains(name))
    };
    let late = after.since(before, counts);
    let late = late.values().fold(0_u64, |sum, of| sum.saturating_add(of.rows.changed(of.partitioned)));
    let sum = |of: fn(&Due) -> u64| due.iter().map(of).fold(0, u64::saturating_add);
    let (changed, most) = (sum(|due| due.changed).saturating_add(late), sum(|due| due.limit.most));
    if late > 0 && changed > most {
        return Some((Beyond::TooMany(changed), most));
    }
    let expected: Option<Vec<&Expected>> = due.iter().map(|due| due.limit.expected.as_ref()).collect();
    let expected = expected?;
    let found = after.since(before, |_| true);
    let mut then: BTreeMap<String, (&(String, String), Rows)> = BTreeMap::new();
    for Changed { relation, table, rows, at_once } in expected.iter().flat_map(|one| &one.tables) {
        let (schema, name) = table;
        let key = place(*relation, table, &found).unwrap_or_else(|| format!("{schema}.{name}"));
        let (_, sum) = then.entry(key).or_insert((table, Rows::default()));
        sum.inserted += rows.inserted.saturating_sub(at_once.inserted);
        sum.updated += rows.updated.saturating_sub(at_once.updated);
        sum.deleted += rows.deleted.saturating_sub(at_once.deleted);
    }
    let tolerance = expected.iter().map(|one| one.tolerance).min().unwrap_or(0);
    let another =
        |how: String| Some((Beyond::Another(format!("at the end of its transaction it {how}")), most));
    for (relation, since) in &found {
        let (_, then) = then.remove(relation).unwrap_or((&since.name, Rows::default()));
        let (schema, name) = &since.name;
        if !since.rows.is_about(then, tolerance) {
            let words = since.rows.words();
            let does = if words.is_empty() { "changes nothing" } else { &words };
            return another(format!("{does} of {schema}.{name}, which was not seen when it was tried"));
        }
    }
    // What was to follow, and did not.
    then.into_values()
        .find_map(|((schema, name), then)| {
            let missing = !Rows::default().is_about(then, tolerance);
            missing
                .then(|| format!("changes nothing of {schema}.{name}, which was not seen when it was tried"))
        })
        .and_then(another)
}

/// Under which number a table has changed: what statements before have made is known by its name.
fn place(relation: u32, table: &(String, String), found: &BTreeMap<String, Since>) -> Option<String> {
    if relation != Changed::MADE {
        return Some(relation.to_string());
    }
    found.iter().find(|(_, since)| since.name == *table).map(|(number, _)| number.clone())
}

/// Whether a message ends a transaction so that it stays, or has run what waits for that.
pub(super) fn settles(operation: &Operation) -> bool {
    let ends = |control: &Control| matches!(control, Control::Commit { .. } | Control::PrepareTransaction);
    let forces = |s: &Arc<Statement>| {
        s.facts.kind == "set constraints" && s.text.to_ascii_lowercase().contains("immediate")
    };
    operation.controls().any(ends) || operation.statements.iter().any(forces)
}

impl Capped {
    /// One that is to be sent.
    pub(super) fn waiting(unsent: Unsent, decision: DecisionId) -> Self {
        let simple = unsent.request.is_simple();
        Self { simple, ..Self::at(Stage::Waiting(Box::new(unsent)), decision) }
    }

    /// A portal that is run: what was tried is committed in its place.
    pub(super) fn portal(kept: Box<Kept>, name: String, bound: Arc<Bound>, frame: Vec<u8>) -> Self {
        let decision = bound.decision.clone();
        Self::at(Stage::Kept(kept, Instead::Portal(name, bound, frame)), decision)
    }

    /// One whose Execute is sent.
    pub(super) fn running(limit: Arc<Limit>, decision: DecisionId) -> Self {
        Self::at(Stage::Running(limit), decision)
    }

    fn at(stage: Stage, decision: DecisionId) -> Self {
        Self {
            stage,
            ours: false,
            simple: false,
            decision,
            started: Instant::now(),
            told: 0,
            held: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// That it is done.
    pub(super) fn done(&self, rows: u64) -> Outcome {
        Outcome { sqlstate: None, ..self.ended("", rows, None) }
    }

    /// How it ended.
    pub(super) fn ended(&self, sqlstate: &str, rows: u64, stopped: Option<Stopped>) -> Outcome {
        Outcome {
            decision: self.decision.clone(),
            rows,
            duration: self.started.elapsed(),
            sqlstate: Some(sqlstate.to_owned()),
            masking: crate::traces::Spent::default(),
            stopped,
            instructions: 0,
        }
    }
}

#[cfg(test)]
mod tests;
