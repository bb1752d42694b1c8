//! Trying: in a transaction of the gateway's own, which is rolled back, under limits, and no longer than nobody waits for it. Where
//! that is wanted it stays open behind (`open`).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Action, Changed, TableName, grouped};
use sql::postgres::catalog::Oid;
use tokio::time::{Instant, sleep};

use super::super::questions::attempt;
use super::open::{Done, Kept, OPEN, room};
use super::{LONGEST, Says, Step, Trial};
use crate::protocols::postgres::ceiling::Changes;
use crate::protocols::postgres::control::{Control, ControlError, Ran};
use crate::protocols::postgres::own::{CHANGED, ROLLBACK, SETTLE};
use crate::targets::Target;

/// It waits so long for others' locks, in milliseconds.
const WAITS: u32 = 300;
/// Who waits for it is looked for so often, and waits that much longer.
pub(super) const GIVES_WAY: Duration = Duration::from_millis(100);

/// What came of trying a statement, or several.
#[derive(Debug, Clone)]
pub(crate) struct Tried {
    /// In words, a line each.
    pub words: Vec<String>,
    /// How many rows changed.
    pub rows: u64,
    /// Of which tables.
    pub tables: Vec<Changed>,
    /// Whether it does the same when it is done again.
    pub exact: bool,
}

/// What came of trying statements one behind the other.
#[derive(Debug)]
pub(crate) struct Rehearsed {
    /// Of each that ran.
    pub steps: Vec<Tried>,
    /// All of it together, what waits for the end of the transaction with it; nothing where one of them failed.
    pub whole: Option<Tried>,
    /// What only the end of the transaction changes.
    pub late: Option<Tried>,
    /// Which failed, by its place from 0, and why: one more than there are where the end of the transaction did.
    pub failed: Option<(usize, String)>,
    /// The transaction that it was tried in, which is open, or why it is not; nothing where nobody wants that.
    pub kept: Option<Result<Kept, String>>,
}

impl Trial {
    /// Tries all of it, and gives way to whoever waits for its locks.
    pub(crate) async fn run(&self, mut control: Control, target: &Target) -> Result<Rehearsed, String> {
        let connected = || target.catalogue.place.control();
        let mut watch = connected().await.map_err(|error| why(&error))?;
        // Who waits is looked for from the first moment on also where it stays open; the first one may be cut off in a question.
        let behind =
            if self.stays_open() { Some(connected().await.map_err(|error| why(&error))?) } else { None };
        let process = control.process();
        let given = AtomicBool::new(false);
        let tried = tokio::select! {
            biased;
            tried = self.tried(&mut control, target) => tried,
            watched = give_way(&mut watch, process, &given) => Err(match watched {
                Ok(()) => format!("it takes longer than {} s", LONGEST / 1000),
                Err(error) => why(&error),
            }),
        };
        let ended = tried.as_ref().map_or(true, |(tried, _)| tried.failed.is_some());
        if ended && given.load(Ordering::Relaxed) {
            return Err("others waited for the rows that it locked, so that it was ended".to_owned());
        }
        let (mut tried, open) = tried?;
        tried.kept = match (open, behind, room(&self.whose)) {
            (Some(Ok(done)), Some(watch), Some(room)) => Some(Ok(Kept::keep(control, watch, room, done))),
            // It ends with its connection.
            (Some(Ok(_)), ..) => Some(Err("as many are kept open as may be, or as one may have".to_owned())),
            (Some(Err(why)), ..) => Some(Err(why)),
            (None, ..) => None,
        };
        Ok(tried)
    }

    /// What came of it, and of leaving it open.
    async fn tried(
        &self,
        control: &mut Control,
        target: &Target,
    ) -> Result<(Rehearsed, Option<Result<Done, String>>), String> {
        if !self.asker.is_login_of(control) {
            return Err("its session has taken another login role (SESSION AUTHORIZATION)".to_owned());
        }
        let lost = |error: ControlError| why(&error);
        control.query(ROLLBACK).await.map_err(lost)?;
        let until = Instant::now() + Duration::from_millis(u64::from(LONGEST));
        let limits = || limits(self.catalogue.server_version, until);
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL search_path = pg_catalog";
        control.query(&format!("{begin}; {}", limits())).await.map_err(lost)?;
        self.asker.enter(control).await.map_err(lost)?;
        control.query(&limits()).await.map_err(lost)?;
        // Not every server can notice that we are gone while it works.
        let notices = "SET LOCAL client_connection_check_interval = 250";
        if self.catalogue.server_version >= 140_000
            && attempt(control, notices).await.map_err(lost)?.is_some()
        {
            control.query("RELEASE durward_look").await.map_err(lost)?;
        }
        let set = control.query(SET).await.map_err(lost)?;
        let set = |n: usize| set.first().and_then(|row| row.get(n)).and_then(Option::as_deref);
        if set(0) != Some("on") {
            return Err("the server does not count what it changes (track_counts)".to_owned());
        }
        let before = self.changes(control).await?;
        match target.catalogue.version_now().await {
            Ok(version) if version == self.version => (),
            Ok(_) => return Err("the target's objects were altered meanwhile".to_owned()),
            Err(_) => return Err("the target's objects cannot be looked at".to_owned()),
        }
        let mut steps = Vec::with_capacity(self.steps.len());
        let (mut now, mut all_told, mut last) = (None::<Changes>, 0_u64, Ran::default());
        for Step { text, says } in &self.steps {
            let told = match text {
                Some(text) => {
                    // Those before it have taken of what time there is.
                    control.query(&limits()).await.map_err(lost)?;
                    control.run(text).await
                }
                None => Ok(Ran::default()),
            };
            last = match told {
                Ok(ran) => ran,
                Err(error) => return self.ends(control, steps, &error).await,
            };
            let told = last.changed;
            let after = self.changes(control).await?;
            steps.push(self.told(says, now.as_ref().unwrap_or(&before), &after, &after, told));
            (now, all_told) = (Some(after), all_told.saturating_add(told));
        }
        if let Err(error) = control.query(SETTLE).await {
            return self.ends(control, steps, &error).await;
        }
        let settled = self.changes(control).await?;
        let open = match &self.stays_open {
            None => None,
            Some(Err(why)) => Some(Err((*why).to_owned())),
            Some(Ok(())) if set(1) != Some("read committed") => {
                Some(Err("the target has another isolation level than it was tried under".to_owned()))
            }
            Some(Ok(())) if last.noticed => Some(Err("the server says something beside".to_owned())),
            Some(Ok(())) => {
                control.query(&left_open(self.catalogue.server_version)).await.map_err(lost)?;
                Some(Ok(Done { rows: last.changed, tag: last.tag }))
            }
        };
        if !matches!(open, Some(Ok(_))) {
            control.query(ROLLBACK).await.map_err(lost)?;
        }
        let at_once = now.as_ref().unwrap_or(&before);
        let late = self.told(&Says::default(), at_once, at_once, &settled, 0);
        let whole = self.told(&self.all_says(), &before, at_once, &settled, all_told);
        let late = (!late.tables.is_empty()).then_some(late);
        Ok((Rehearsed { steps, whole: Some(whole), late, failed: None, kept: None }, open))
    }

    /// One of them failed, or the end of the transaction: nothing of it is left, and those before it are told of all the same.
    async fn ends(
        &self,
        control: &mut Control,
        steps: Vec<Tried>,
        error: &ControlError,
    ) -> Result<(Rehearsed, Option<Result<Done, String>>), String> {
        if !matches!(error, ControlError::Refused { .. }) {
            return Err(why(error));
        }
        control.query(ROLLBACK).await.map_err(|error| why(&error))?;
        let failed = Some((steps.len(), failed(error)));
        Ok((Rehearsed { steps, whole: None, late: None, failed, kept: None }, None))
    }

    /// What decides how the changes of all of them together are told.
    fn all_says(&self) -> Says {
        self.steps.iter().fold(Says::default(), |mut all, Step { says, .. }| {
            all.direct.extend(says.direct.iter().cloned());
            all.followers.extend(says.followers.iter().cloned());
            all.restless |= says.restless;
            all
        })
    }

    async fn changes(&self, control: &mut Control) -> Result<Changes, String> {
        let answer = control.query(CHANGED).await.map_err(|error| why(&error))?;
        Changes::read(&answer).ok_or_else(|| "what it changes cannot be read".to_owned())
    }

    fn told(&self, says: &Says, before: &Changes, at_once: &Changes, settled: &Changes, told: u64) -> Tried {
        let mut first = at_once.since(before, |_| true);
        let mut tables = Vec::new();
        let mut rows = 0_u64;
        let mut lines: Vec<(u8, String)> = Vec::new();
        let mut unchanged = says.direct.clone();
        for (number, since) in settled.since(before, |_| true) {
            let at_once = first.remove(&number).map(|since| since.rows).unwrap_or_default();
            let known = number.parse().ok().filter(|oid| self.catalogue.relation_by_oid(Oid(*oid)).is_some());
            // It may have been given another name before; of a partitioned one that is a partition's.
            let was =
                known.filter(|_| since.partitioned).and_then(|oid| self.catalogue.relation_by_oid(Oid(oid)));
            let (schema, name) = since.name.clone();
            let name = was.map_or(TableName { schema, name }, sql::postgres::catalog::Relation::table_name);
            if known.is_none() && since.partitioned {
                unchanged.clear();
            }
            if since.rows == model::Rows::default() {
                continue;
            }
            rows = rows.saturating_add(since.rows.changed(since.partitioned));
            unchanged.retain(|(table, _)| *table != name);
            lines.push(line(says, &name, since.rows, since.partitioned));
            // What is made here is numbered otherwise when it is made again.
            let relation = known.unwrap_or(Changed::MADE);
            let table = if relation == Changed::MADE { since.name } else { (name.schema, name.name) };
            tables.push(Changed { relation, table, rows: since.rows, at_once });
        }
        for (table, action) in unchanged {
            lines.push((0, format!("{}s 0 rows of {table}", action.as_str())));
        }
        lines.sort();
        let mut words: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        if says.restless {
            words.push(
                "it calls what says another thing each time, so that it may change others when it runs again"
                    .to_owned(),
            );
        }
        Tried { words, rows: rows.max(told), tables, exact: !says.restless }
    }
}

/// What became of one table, and in which place it is told.
fn line(says: &Says, table: &TableName, mut rows: model::Rows, partitioned: bool) -> (u8, String) {
    let actions: BTreeSet<Action> =
        says.direct.iter().filter(|(t, _)| t == table).map(|(_, action)| *action).collect();
    let mut moved = 0;
    if partitioned && actions.iter().eq([&Action::Update]) {
        // Each is added to one partition and removed from another.
        moved = rows.inserted.min(rows.deleted);
        rows.inserted -= moved;
        rows.deleted -= moved;
        rows.updated = rows.updated.saturating_add(moved);
    }
    let words = rows.words();
    let (place, who) = match (actions.is_empty(), says.followers.contains(table)) {
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

/// Whether the server counts what it changes, and what it begins transactions with.
const SET: &str = "SELECT pg_catalog.current_setting('track_counts'), \
    pg_catalog.current_setting('default_transaction_isolation')";

/// How long it may be left alone from now on, with nothing but its end to come: a gateway that hangs leaves no lock behind for longer
/// than that.
fn left_open(version: u32) -> String {
    let most = (OPEN + GIVES_WAY).as_millis();
    let mut all =
        format!("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = {most}");
    if version >= 170_000 {
        // It is counted anew where it was off.
        all.push_str(&format!(
            "; SET LOCAL transaction_timeout = 0; SET LOCAL transaction_timeout = {}",
            2 * most
        ));
    }
    all
}

/// How long it may run, wait, and be left alone: a gateway that is gone leaves no lock behind for longer than that.
fn limits(version: u32, until: Instant) -> String {
    let left = until.saturating_duration_since(Instant::now()).as_millis().max(1);
    let mut all = format!(
        "SET LOCAL statement_timeout = {left}; SET LOCAL lock_timeout = {WAITS}; \
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
    let waited_for = waited_for(process);
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

/// Asks whether another process waits for what one has locked.
pub(super) fn waited_for(process: u32) -> String {
    format!(
        "SELECT 1 FROM pg_catalog.pg_locks AS l WHERE NOT l.granted AND l.pid <> {process} \
         AND {process} = ANY (pg_catalog.pg_blocking_pids(l.pid)) LIMIT 1"
    )
}

/// It could not be tried, in few words and none of the target's, which may quote.
fn why(error: &ControlError) -> String {
    super::super::why(error)
}

/// It was tried, and failed: how, as a clause.
fn failed(error: &ControlError) -> String {
    let ControlError::Refused { code, .. } = error else { return why(error) };
    match code.as_str() {
        "57014" => format!("takes longer than {} s", LONGEST / 1000),
        "55P03" => "changes what others have locked".to_owned(),
        "40P01" => "and others wait for each other's locks".to_owned(),
        code => format!("fails, with SQLSTATE {code}"),
    }
}
