//! What a statement does, or several in their order, seen by doing it: it runs in a transaction that is rolled back, and what has
//! changed is read before.
//!
//! That is done on a connection of the gateway's own, and never on the session's. There it would leave what a session keeps
//! outside of transactions: values of `currval` and `lastval`, session locks, the state of extensions and of languages; a limit
//! of ours that runs out, or whoever waits for our locks, would cancel what the client may be sending by then; and a fault
//! between BEGIN and ROLLBACK would leave the client in a transaction that it never began. What only the session has
//! (temporary tables, what its own transaction has changed, settings that cannot be told) cannot be had elsewhere, so that
//! such a statement is counted, and it is said why.
//!
//! What is left of it are numbers of sequences, dead rows, write-ahead log and the server's statistics. Whatever may leave more,
//! or reaches beyond the server, is found by the analysis of the statement, of its triggers and of all that they call, and is
//! not tried. Notifications are sent by a commit alone. Statements that define something are tried where they stand among others,
//! which find what they leave.

mod open;
mod run;

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Action, Effect, Facts, Inspect as _, Resource, TableName, Tier};
use sql::postgres::catalog::{Catalog, Column};
use sql::postgres::outline::{is_restless, written_out};
use sql::postgres::pieces::pieces;
use sql::postgres::{Control, NoNames, Options, Session, Statement, analyse};

pub(super) use self::open::OPEN;
pub(crate) use self::open::{Came, Kept};
pub(crate) use self::run::{Rehearsed, Tried};
use super::asker::OURS;
use super::{Asker, Looking};
use crate::holds::Countable;
use crate::protocols::postgres::ceiling;
use crate::protocols::postgres::request::Request;

/// It may run so long, in milliseconds.
const LONGEST: u32 = 3_000;
/// It locks so many relations at most, each for as long as it runs, so that others still read and write other rows.
const LOCKS: usize = 200;
/// Limits that a client sets for itself: what is tried has ours.
const LIMITS: [&str; 7] = [
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
    "client_connection_check_interval",
    "deadlock_timeout",
];

/// Statements that can be tried, one behind the other.
pub(crate) struct Trial {
    steps: Vec<Step>,
    asker: Asker,
    /// Who answers for it.
    whose: String,
    /// What the target holds before the first of them.
    catalogue: Arc<Catalog>,
    version: u64,
    /// Whether what defines something is tried, too.
    defines: bool,
    locked: BTreeSet<TableName>,
    /// All whose rows may change, or decide whether something can be defined.
    written: BTreeSet<TableName>,
    tagged: bool,
    /// Which rows it locks, or whether it fails, depends on tagged values, or may.
    by_tagged: bool,
    /// The tagged columns of tables that it updates by itself, by their names: the same where it sets one of these.
    updates_beside: BTreeSet<String>,
    /// Whether it can stay open behind that, or why it cannot; nothing where nobody wants that.
    stays_open: Option<Result<(), &'static str>>,
}

/// One of them.
struct Step {
    /// Nothing where it only sets a limit.
    text: Option<String>,
    says: Says,
}

/// What decides how its changes are told.
#[derive(Clone, Default)]
struct Says {
    /// The tables that the statement names to be changed, and how.
    direct: BTreeSet<(TableName, Action)>,
    /// Those that follow by foreign keys.
    followers: BTreeSet<TableName>,
    restless: bool,
}

impl Trial {
    /// Whether a request can be tried, or why it cannot.
    pub(super) fn of(request: &Request, tier: Tier) -> Result<Self, String> {
        if !matches!(ceiling::countable(request), Countable::Rows(_)) {
            return Err("how many rows it changes cannot be told when it runs either".to_owned());
        }
        let mut trial = Self::begin(request)?;
        trial.defines = request.operation.statements.len() > 1;
        trial.take(request)?;
        trial.stays_open = (tier >= Tier::Hold).then(|| trial.can_stay_open(request));
        Ok(trial)
    }

    /// Whether a request's session cannot tell what another has committed for it from what it does itself, or why it can.
    fn can_stay_open(&self, request: &Request) -> Result<(), &'static str> {
        let [statement] = request.operation.statements.as_slice() else {
            return Err("it is several statements");
        };
        if statement.outputs.returns_rows() {
            return Err("it returns rows");
        }
        let does = |action| request.effects().iter().any(|effect| effect.action == action);
        if does(Action::Sequence) {
            return Err("it takes a number of a sequence, for which its session can ask behind it");
        }
        if does(Action::Notify) {
            return Err("it notifies others, who hear from which session");
        }
        if self.asker.sets("default_transaction_isolation") {
            return Err("its session has an isolation level of its own");
        }
        Ok(())
    }

    /// Whether it is to stay open.
    pub(super) fn stays_open(&self) -> bool {
        matches!(self.stays_open, Some(Ok(())))
    }

    /// Says who answers for it.
    pub(super) fn is_of(&mut self, whose: String) {
        self.whose = whose;
    }

    /// It does not, for this reason.
    pub(super) fn closes(&mut self, why: &'static str) {
        if self.stays_open() {
            self.stays_open = Some(Err(why));
        }
    }

    /// As a request's session is, with nothing to be tried yet.
    pub(crate) fn begin(request: &Request) -> Result<Self, String> {
        if request.in_block {
            return Err("its session is in a transaction, whose changes no other connection sees".to_owned());
        }
        if request.under.path().iter().any(|schema| schema.starts_with("pg_temp")) {
            return Err("its session has temporary objects, which no other connection has".to_owned());
        }
        Ok(Self {
            steps: Vec::new(),
            asker: Asker::of(request)?,
            whose: String::new(),
            version: request.seen.version,
            catalogue: Arc::clone(&request.seen.catalogue),
            defines: true,
            locked: BTreeSet::new(),
            written: BTreeSet::new(),
            tagged: false,
            by_tagged: false,
            updates_beside: BTreeSet::new(),
            stays_open: None,
        })
    }

    /// Takes what a request holds behind what is there, understood by what that leaves.
    pub(crate) fn take(&mut self, request: &Request) -> Result<(), String> {
        let (text, values) = request.text_and_values().ok_or("its text or values cannot be sent again")?;
        let catalogue = &request.seen.catalogue;
        let text = written_out(&text, catalogue, &values)?;
        let session = Session {
            catalog: catalogue,
            search_path: &self.asker.path,
            role: &self.asker.role,
            prepared: &NoNames,
        };
        let analysis = analyse(&text, &session, &Options::default())
            .map_err(|_| "it cannot be understood with its values in it")?;
        let known: BTreeSet<(Action, &Resource)> =
            request.effects().iter().map(|effect| (effect.action, &effect.resource)).collect();
        let texts = match analysis.statements.as_slice() {
            [_] => vec![text],
            several => {
                let parts = pieces(&text, catalogue.server_version / 10_000).ok();
                let parts = parts.filter(|parts| parts.len() == several.len());
                let parts = parts.ok_or("its statements cannot be told apart")?;
                parts.into_iter().map(|part| part.text).collect()
            }
        };
        for (text, statement) in texts.into_iter().zip(&analysis.statements) {
            if statement.effects.iter().any(|effect| !known.contains(&(effect.action, &effect.resource))) {
                return Err("it may mean something else with its values in it".to_owned());
            }
            self.add(text, statement, catalogue)?;
        }
        if self.locked.len() > LOCKS {
            return Err(format!("it would lock {} tables, and {LOCKS} are allowed", self.locked.len()));
        }
        Ok(())
    }

    fn add(&mut self, text: String, statement: &Statement, catalogue: &Catalog) -> Result<(), String> {
        let mut says = Says::default();
        for effect in &statement.effects {
            stays_within(effect, self.defines)?;
            self.note(effect, &mut says, catalogue);
        }
        let mut limits = false;
        for control in &statement.control {
            match control {
                Control::Ddl | Control::TempObject if self.defines => (),
                Control::Set { name, .. } if self.defines && LIMITS.contains(&name.as_str()) => limits = true,
                Control::Set { name, .. } if self.defines && !OURS.contains(&name.as_str()) => (),
                Control::Ddl
                | Control::TempObject
                | Control::Set { .. }
                | Control::Begin { .. }
                | Control::Commit { .. }
                | Control::Rollback { .. }
                | Control::Savepoint(_)
                | Control::RollbackTo(_)
                | Control::Release(_)
                | Control::PrepareTransaction
                | Control::Reset(_)
                | Control::Discard(_)
                | Control::Prepare { .. }
                | Control::Execute { .. }
                | Control::Deallocate(_)
                | Control::Declare { .. }
                | Control::Fetch { .. }
                | Control::CloseCursor(_)
                | Control::CopyIn
                | Control::CopyOut(_)
                | Control::Listen
                | Control::SetRole
                | Control::ChangesSettings => return Err("it changes its session".to_owned()),
            }
        }
        for function in &statement.facts.functions {
            match function.name.as_str() {
                "setval" => return Err("it sets a sequence, which cannot be taken back".to_owned()),
                "currval" | "lastval" => return Err("it asks what its session did last".to_owned()),
                name => says.restless |= is_restless(name),
            }
        }
        self.steps.push(Step { text: (!limits).then_some(text), says });
        Ok(())
    }

    fn note(&mut self, effect: &Effect, says: &mut Says, catalogue: &Catalog) {
        self.by_tagged |= effect.action == Action::Probe;
        let Resource::Table(table) = &effect.resource else { return };
        self.locked.insert(table.clone());
        let changes = matches!(effect.action, Action::Insert | Action::Update | Action::Delete);
        if !changes && !matches!(effect.action, Action::Alter | Action::Index | Action::Create) {
            return;
        }
        self.written.insert(table.clone());
        if let Some(relation) = catalogue.relation(&table.schema, &table.name) {
            let tagged = |c: &&Column| !catalogue.tags(relation.oid, c.number).is_empty();
            let names = || relation.columns.iter().filter(tagged).map(|column| column.name.clone());
            if names().next().is_some() {
                self.tagged = true;
                // What follows finds its rows by what its table holds, code by whatever it reads, and keys are looked up.
                let plainly = effect.why.is_none() && effect.via.is_none();
                let changes = matches!(effect.action, Action::Update | Action::Delete);
                self.by_tagged |= !plainly || !changes || catalogue.reach(table).any_triggers();
                if effect.action == Action::Update {
                    self.updates_beside.extend(names());
                }
            }
        }
        match &effect.why {
            _ if !changes => (),
            None if effect.via.is_none() => {
                says.direct.insert((table.clone(), effect.action));
            }
            Some(why) if why.starts_with("a foreign key of") => {
                says.followers.insert(table.clone());
            }
            Some(_) | None => (),
        }
    }

    /// What whoever asks could tell of by trying to lock rows themselves while it stays open: whether it is, and which rows it has
    /// changed. `None` where no right to read makes that theirs to know. `sets` has the columns that it sets; nothing where they are
    /// not known.
    pub(crate) fn tells_open(&self, facts: &Facts, sets: Option<&BTreeSet<&str>>) -> Option<Looking> {
        let untagged =
            |sets: &BTreeSet<&str>| self.updates_beside.iter().all(|name| !sets.contains(name.as_str()));
        let beside = self.updates_beside.is_empty() || sets.is_some_and(untagged);
        (!self.by_tagged && beside).then(|| self.reading(facts))
    }

    /// What whoever asks could tell of by how long it takes: that there are such rows, and how many. `None` where no right to
    /// read makes that theirs to know.
    pub(crate) fn tells(&self, facts: &Facts) -> Option<Looking> {
        (!self.tagged).then(|| self.reading(facts))
    }

    /// All that is written, read.
    fn reading(&self, facts: &Facts) -> Looking {
        let reads = |table: &TableName| Effect::new(Action::Select, Resource::Table(table.clone()));
        Looking::with(self.written.iter().map(reads).collect(), facts)
    }
}

/// Whether an effect stays within a transaction, and within the server. What defines something locks others out for as long as it
/// takes: it is tried as one of several alone.
fn stays_within(effect: &Effect, defines: bool) -> Result<(), String> {
    let what = match effect.action {
        Action::Connect
        | Action::Select
        | Action::Insert
        | Action::Update
        | Action::Delete
        | Action::Merge
        | Action::LockRows
        | Action::Reveal
        | Action::Probe
        | Action::Sequence
        | Action::Notify => return Ok(()),
        Action::Egress => "it reaches beyond the server",
        Action::Program | Action::ServerFile => "it reaches the server's machine",
        Action::OtherSession => "it reaches other sessions",
        Action::Replicate => "it writes what goes to other servers",
        Action::LockTable => "it locks more than rows",
        Action::LargeObject => "it uses large objects",
        Action::Configure => "it changes settings",
        Action::Listen => "it listens to others",
        Action::CopyIn => "its rows come later",
        Action::Call | Action::RunCode => "it runs code",
        Action::Unknown => "it may do what cannot be foreseen",
        Action::Truncate
        | Action::Create
        | Action::Alter
        | Action::Drop
        | Action::Index
        | Action::Comment
        | Action::Grant
            if defines =>
        {
            return Ok(());
        }
        Action::Truncate
        | Action::Create
        | Action::Alter
        | Action::Drop
        | Action::Index
        | Action::Comment
        | Action::Grant
        | Action::Maintain => "it takes locks that keep others from their work",
        Action::Preview | Action::Approve => "it is none of the target's",
    };
    Err(match &effect.why {
        Some(why) => format!("{what}: {why}"),
        None => what.to_owned(),
    })
}
