//! What a statement does, seen by doing it: it runs in a transaction that is rolled back, and what has changed is read before.
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
//! not tried. Notifications are sent by a commit alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Action, Changed, Effect, Facts, Inspect as _, Resource, TableName, grouped};
use sql::postgres::catalog::{Catalog, Oid};
use sql::postgres::outline::{is_restless, written_out};
use sql::postgres::{Options, Session, analyse};
use tokio::time::{Instant, sleep};

use super::{Asker, Looking, NoNames, attempt};
use crate::holds::Countable;
use crate::protocols::postgres::ceiling::{self, Changes};
use crate::protocols::postgres::control::{Control, ControlError};
use crate::protocols::postgres::operation::Request;
use crate::protocols::postgres::own::{CHANGED, SETTLE};
use crate::targets::Target;

/// It may run so long, in milliseconds.
const LONGEST: u32 = 3_000;
/// It waits so long for others' locks, in milliseconds.
const WAITS: u32 = 300;
/// It locks so many relations at most, each for as long as it runs, so that others still read and write other rows.
const LOCKS: usize = 200;
/// Who waits for it is looked for so often, and waits that much longer.
const GIVES_WAY: Duration = Duration::from_millis(100);

/// A statement that can be tried.
pub(super) struct Trial {
    text: String,
    asker: Asker,
    catalogue: Arc<Catalog>,
    version: u64,
    /// The tables that the statement names to be changed, and how.
    direct: BTreeSet<(TableName, Action)>,
    /// Those that follow by foreign keys.
    followers: BTreeSet<TableName>,
    /// All whose rows may change.
    written: BTreeSet<TableName>,
    restless: bool,
    tagged: bool,
}

/// What came of trying it.
#[derive(Debug)]
pub(super) struct Tried {
    /// In words, a line each.
    pub words: Vec<String>,
    /// How many rows changed.
    pub rows: u64,
    /// Of which tables.
    pub tables: Vec<Changed>,
    /// Whether it does the same when it is done again.
    pub exact: bool,
}

impl Trial {
    /// Whether a request's statement can be tried, or why it cannot.
    pub(super) fn of(request: &Request) -> Result<Self, String> {
        if request.in_block {
            return Err("its session is in a transaction, whose changes no other connection sees".to_owned());
        }
        if !matches!(ceiling::countable(request), Countable::Rows(_)) {
            return Err("how many rows it changes cannot be told when it runs either".to_owned());
        }
        if request.under.path().iter().any(|schema| schema.starts_with("pg_temp")) {
            return Err("its session has temporary objects, which no other connection has".to_owned());
        }
        let asker = Asker::of(request)?;
        let (text, values) = request.text_and_values().ok_or("its text or values cannot be sent again")?;
        let catalogue = Arc::clone(&request.seen.catalogue);
        let text = written_out(&text, &catalogue, &values)?;
        let session =
            Session { catalog: &catalogue, search_path: &asker.path, role: &asker.role, prepared: &NoNames };
        let analysis = analyse(&text, &session, &Options::default())
            .map_err(|_| "it cannot be understood with its values in it")?;
        let known: BTreeSet<(Action, &Resource)> =
            request.effects().iter().map(|effect| (effect.action, &effect.resource)).collect();
        let mut trial = Self {
            text,
            asker,
            version: request.seen.version,
            catalogue: Arc::clone(&catalogue),
            direct: BTreeSet::new(),
            followers: BTreeSet::new(),
            written: BTreeSet::new(),
            restless: false,
            tagged: false,
        };
        let mut locked: BTreeSet<&TableName> = BTreeSet::new();
        for statement in &analysis.statements {
            for effect in &statement.effects {
                if !known.contains(&(effect.action, &effect.resource)) {
                    return Err("it may mean something else with its values in it".to_owned());
                }
                stays_within(effect)?;
                trial.take(effect);
                if let Resource::Table(table) = &effect.resource {
                    locked.insert(table);
                }
            }
            if !statement.control.is_empty() {
                return Err("it changes its session".to_owned());
            }
            for function in &statement.facts.functions {
                match function.name.as_str() {
                    "setval" => return Err("it sets a sequence, which cannot be taken back".to_owned()),
                    "currval" | "lastval" => return Err("it asks what its session did last".to_owned()),
                    name => trial.restless |= is_restless(name),
                }
            }
        }
        if locked.len() > LOCKS {
            return Err(format!("it would lock {} tables, and {LOCKS} are allowed", locked.len()));
        }
        Ok(trial)
    }

    fn take(&mut self, effect: &Effect) {
        let Resource::Table(table) = &effect.resource else { return };
        if !matches!(effect.action, Action::Insert | Action::Update | Action::Delete) {
            return;
        }
        self.written.insert(table.clone());
        if let Some(relation) = self.catalogue.relation(&table.schema, &table.name) {
            let tags = relation.columns.iter().map(|c| self.catalogue.tags(relation.oid, c.number));
            self.tagged |= tags.into_iter().any(|tags| !tags.is_empty());
        }
        match &effect.why {
            None if effect.via.is_none() => {
                self.direct.insert((table.clone(), effect.action));
            }
            Some(why) if why.starts_with("a foreign key of") => {
                self.followers.insert(table.clone());
            }
            Some(_) | None => (),
        }
    }

    /// What whoever asks could tell of by how long it takes: that there are such rows, and how many. `None` where no right to
    /// read makes that theirs to know.
    pub(super) fn tells(&self, facts: &Facts) -> Option<Looking> {
        let reads = |table: &TableName| Effect::new(Action::Select, Resource::Table(table.clone()));
        (!self.tagged).then(|| Looking::with(self.written.iter().map(reads).collect(), facts))
    }

    /// Tries it, and gives way to whoever waits for its locks.
    pub(super) async fn run(&self, control: &mut Control, target: &Target) -> Result<Tried, String> {
        let mut watch = target.catalogue.place.control().await.map_err(|error| why(&error))?;
        let process = control.process();
        let given = AtomicBool::new(false);
        let tried = tokio::select! {
            biased;
            tried = self.tried(control, target) => tried,
            watched = give_way(&mut watch, process, &given) => Err(match watched {
                Ok(()) => format!("it takes longer than {} s", LONGEST / 1000),
                Err(error) => why(&error),
            }),
        };
        if tried.is_err() && given.load(Ordering::Relaxed) {
            return Err("others waited for the rows that it locked, so that it was ended".to_owned());
        }
        tried
    }

    async fn tried(&self, control: &mut Control, target: &Target) -> Result<Tried, String> {
        let lost = |error: ControlError| why(&error);
        control.query("ROLLBACK").await.map_err(lost)?;
        let limits = limits(self.catalogue.server_version);
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL search_path = pg_catalog";
        control.query(&format!("{begin}; {limits}")).await.map_err(lost)?;
        self.asker.enter(control).await.map_err(lost)?;
        control.query(&limits).await.map_err(lost)?;
        // Not every server can notice that we are gone while it works.
        let notices = "SET LOCAL client_connection_check_interval = 250";
        if self.catalogue.server_version >= 140_000
            && attempt(control, notices).await.map_err(lost)?.is_some()
        {
            control.query("RELEASE durward_look").await.map_err(lost)?;
        }
        let counts =
            control.query("SELECT pg_catalog.current_setting('track_counts')").await.map_err(lost)?;
        if counts.first().and_then(|row| row.first()).and_then(Option::as_deref) != Some("on") {
            return Err("the server does not count what it changes (track_counts)".to_owned());
        }
        let before = self.changes(control).await?;
        match target.catalogue.version_now().await {
            Ok(version) if version == self.version => (),
            Ok(_) => return Err("the target's objects were altered meanwhile".to_owned()),
            Err(_) => return Err("the target's objects cannot be looked at".to_owned()),
        }
        let told = control.run(&self.text).await.map_err(|error| failed(&error))?;
        let at_once = self.changes(control).await?;
        control.query(SETTLE).await.map_err(|error| failed(&error))?;
        let settled = self.changes(control).await?;
        control.query("ROLLBACK").await.map_err(lost)?;
        Ok(self.told(&before, &at_once, &settled, told))
    }

    async fn changes(&self, control: &mut Control) -> Result<Changes, String> {
        let answer = control.query(CHANGED).await.map_err(|error| why(&error))?;
        Changes::read(&answer).ok_or_else(|| "what it changes cannot be read".to_owned())
    }

    fn told(&self, before: &Changes, at_once: &Changes, settled: &Changes, told: u64) -> Tried {
        let mut first = at_once.since(before, |_| true);
        let mut tables = Vec::new();
        let mut rows = 0_u64;
        let mut lines: Vec<(u8, String)> = Vec::new();
        let mut unchanged = self.direct.clone();
        for (number, since) in settled.since(before, |_| true) {
            let at_once = first.remove(&number).map(|since| since.rows).unwrap_or_default();
            let relation = number.parse().unwrap_or_default();
            let name = self.catalogue.relation_by_oid(Oid(relation)).map_or_else(
                || TableName { schema: since.name.0.clone(), name: since.name.1.clone() },
                sql::postgres::catalog::Relation::table_name,
            );
            if since.rows == model::Rows::default() {
                continue;
            }
            rows = rows.saturating_add(since.rows.changed(since.partitioned));
            unchanged.retain(|(table, _)| *table != name);
            lines.push(self.line(&name, since.rows, since.partitioned));
            let table = (name.schema, name.name);
            tables.push(Changed { relation, table, rows: since.rows, at_once });
        }
        for (table, action) in unchanged {
            lines.push((0, format!("{}s 0 rows of {table}", action.as_str())));
        }
        lines.sort();
        let mut words: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        if self.restless {
            words.push(
                "it calls what says another thing each time, so that it may change others when it runs"
                    .to_owned(),
            );
        }
        Tried { words, rows: rows.max(told), tables, exact: !self.restless }
    }

    /// What became of one table, and in which place it is told.
    fn line(&self, table: &TableName, mut rows: model::Rows, partitioned: bool) -> (u8, String) {
        let actions: BTreeSet<Action> =
            self.direct.iter().filter(|(t, _)| t == table).map(|(_, action)| *action).collect();
        let mut moved = 0;
        if partitioned && actions.iter().eq([&Action::Update]) {
            // Each is added to one partition and removed from another.
            moved = rows.inserted.min(rows.deleted);
            rows.inserted -= moved;
            rows.deleted -= moved;
            rows.updated = rows.updated.saturating_add(moved);
        }
        let words = rows.words();
        let (place, who) = match (actions.is_empty(), self.followers.contains(table)) {
            (false, _) => (0, String::new()),
            (true, true) => (1, ", which refer to them".to_owned()),
            (true, false) => (2, ", by what it sets in motion".to_owned()),
        };
        let moved = if moved > 0 {
            format!(", {} of which move to another partition", grouped(moved))
        } else {
            String::new()
        };
        (place, format!("{words} of {table}{who}{moved}"))
    }
}

/// Whether an effect stays within a transaction, and within the server.
fn stays_within(effect: &Effect) -> Result<(), String> {
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
        | Action::Maintain => "it takes locks that keep others from their work",
        Action::Preview | Action::Approve => "it is none of the target's",
    };
    Err(match &effect.why {
        Some(why) => format!("{what}: {why}"),
        None => what.to_owned(),
    })
}

/// How long it may run, wait, and be left alone: a gateway that is gone leaves no lock behind for longer than that.
fn limits(version: u32) -> String {
    let mut all = format!(
        "SET LOCAL statement_timeout = {LONGEST}; SET LOCAL lock_timeout = {WAITS}; \
         SET LOCAL idle_in_transaction_session_timeout = {LONGEST}"
    );
    if version >= 170_000 {
        all.push_str(&format!("; SET LOCAL transaction_timeout = {}", 2 * LONGEST));
    }
    all
}

/// Ends a process of ours as soon as another waits for what it has locked, or its time is over. A cancel can be caught by a
/// function's own handler; what goes on after it is terminated.
async fn give_way(watch: &mut Control, process: u32, given: &AtomicBool) -> Result<(), ControlError> {
    let waited_for = format!(
        "SELECT 1 FROM pg_catalog.pg_locks AS l WHERE NOT l.granted AND l.pid <> {process} \
         AND {process} = ANY (pg_catalog.pg_blocking_pids(l.pid)) LIMIT 1"
    );
    let over = Instant::now() + Duration::from_millis(u64::from(LONGEST)) + 5 * GIVES_WAY;
    while Instant::now() < over {
        if !watch.query(&waited_for).await?.is_empty() {
            given.store(true, Ordering::Relaxed);
            watch.query(&format!("SELECT pg_catalog.pg_cancel_backend({process})")).await?;
            sleep(GIVES_WAY).await;
            break;
        }
        sleep(GIVES_WAY).await;
    }
    watch.query(&format!("SELECT pg_catalog.pg_terminate_backend({process})")).await?;
    Ok(())
}

/// It could not be tried, in few words and none of the target's, which may quote.
fn why(error: &ControlError) -> String {
    super::why(error)
}

/// It was tried, and failed.
fn failed(error: &ControlError) -> String {
    let ControlError::Refused { code, .. } = error else { return why(error) };
    match code.as_str() {
        "57014" => format!("it takes longer than {} s", LONGEST / 1000),
        "55P03" => "others have locked what it changes".to_owned(),
        "40P01" => "it and others wait for each other's locks".to_owned(),
        code => format!("it fails, with SQLSTATE {code}"),
    }
}
