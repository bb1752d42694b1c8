//! What a statement would do, before anybody answers: said by the catalogue, counted by questions that only read, and, where
//! policy wants that, seen by trying it (`trial`), on connections of the gateway's own, as the session's role and under its
//! settings. The session itself is not touched.

pub(crate) mod trial;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use model::{
    Action, Changed, ColumnName, Effect, Facts, Inspect, Particulars, Plan, Preview, Resource, Shown,
    TableName, Tag, Tier, grouped,
};
use sql::postgres::catalog::Catalog;
use sql::postgres::outline::{self, Does, Merge, Outline, Sample, literal, outline, quoted};
use sql::postgres::{Named, Outputs, Session, Statement, locks};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use self::trial::{Rehearsed, Trial, Tried};
use super::control::{Control, ControlError, Rows};
use super::masks::hidden;
use super::operation::Request;
use super::own;
use super::several::several;
use crate::gateway::now;
use crate::looked::hold_until;
use crate::targets::Target;

/// So many rows are counted.
const COUNTED: u64 = 10_000;
/// So many are shown.
const SHOWN: u64 = 5;
/// A question may take so long, in milliseconds.
const QUESTION: u32 = 2_000;
/// And all of them together.
const LONGEST: Duration = Duration::from_secs(6);
/// A value is cut here, in characters.
const VALUE: usize = 200;
/// A plan is cut here, in lines.
const PLAN: usize = 50;
/// Foreign keys are followed so far, and so many.
const DEEPEST: usize = 4;
const KEYS: usize = 20;
/// So many statements are looked at at a time: each takes a connection.
static TURNS: Semaphore = Semaphore::const_new(4);
/// Settings that are not a client's here: how long it may take, and that it only reads.
const OURS: [&str; 13] = [
    "search_path",
    "role",
    "statement_timeout",
    "lock_timeout",
    "default_transaction_read_only",
    "transaction_read_only",
    "default_transaction_isolation",
    "default_transaction_deferrable",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
    "client_connection_check_interval",
    "deadlock_timeout",
];

/// What can be said of an operation's effect before it runs, and what can be asked.
#[derive(Default)]
pub struct Outlook {
    /// In words, by the catalogue alone.
    words: Vec<String>,
    /// What is asked, or why nothing is.
    questions: Option<Result<Questions, String>>,
    /// What it is statement by statement, where there are several.
    ordered: Option<Box<Plan>>,
    /// What is tried, or why nothing is, where policy wants it.
    trial: Option<Result<Trial, String>>,
    tier: Option<Tier>,
    in_block: bool,
}

/// What was seen of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// How many rows it changes, those that follow with them, where all of them were counted.
    pub rows: Option<u64>,
    /// There are more than are counted.
    pub more: bool,
    /// Whether rows of other tables may follow.
    pub follows: bool,
    /// The same by table, where it was tried.
    pub tables: Option<Vec<Changed>>,
    /// For whoever answers.
    pub preview: Preview,
    /// Before this whoever asks hears nothing, so that they cannot tell what was seen by how long it took.
    pub not_before: Option<Instant>,
}

/// Whose statement it is, and under which settings.
pub(super) struct Asker {
    settings: Vec<(String, String)>,
    role: String,
    path: Vec<String>,
}

struct Questions {
    outline: Outline,
    count: Option<String>,
    sample: Option<(Sample, Vec<Shown>)>,
    /// The statement itself, which is planned and not run.
    plan: Option<String>,
    asker: Asker,
    catalogue: Arc<Catalog>,
    in_block: bool,
}

struct NoNames;

impl Named for NoNames {
    fn prepared(&self, _: &str) -> Option<Arc<Statement>> {
        None
    }

    fn cursor(&self, _: &str) -> Option<Arc<Statement>> {
        None
    }
}

/// What can be said of an operation, and asked.
pub(super) fn outlook(request: &Request, tier: Tier) -> Outlook {
    let mut effects = request.operation.statements.iter().flat_map(|s| &s.effects);
    let any = effects.any(|effect| {
        matches!(
            effect.action,
            Action::Insert | Action::Update | Action::Delete | Action::Merge | Action::CopyIn
        )
    });
    let asks = any && tier >= Tier::Counted;
    let questions = asks.then(|| questions(request));
    let trial = (any && tier >= Tier::Executed).then(|| Trial::of(request));
    let ordered = several(request);
    Outlook { words: words(request), questions, ordered, trial, tier: Some(tier), in_block: request.in_block }
}

/// What its text costs others by its kind, whatever its values.
fn words(request: &Request) -> Vec<String> {
    let Some(text) = request.text() else { return Vec::new() };
    let (path, role) = (request.under.path(), request.under.role());
    let session = Session { catalog: &request.seen.catalogue, search_path: path, role, prepared: &NoNames };
    locks::words(&text, &session)
}

fn questions(request: &Request) -> Result<Questions, String> {
    let asker = Asker::of(request)?;
    let (text, values) = request.text_and_values().ok_or("its text or values cannot be sent again")?;
    let catalogue = Arc::clone(&request.seen.catalogue);
    let session =
        Session { catalog: &catalogue, search_path: &asker.path, role: &asker.role, prepared: &NoNames };
    let outline = outline(&text, &session, &values)?;
    let count = if outline.fixed.is_some() {
        None
    } else {
        let count = outline.count(COUNTED);
        outline::harmless(&count, &session)?;
        Some(count)
    };
    // What is not certain of new values is left out, before what there is.
    let sample = [true, false].into_iter().find_map(|after| {
        let sample = outline.sample(SHOWN, after)?;
        let shown = shown(&sample, &session)?;
        Some((sample, shown))
    });
    let plain = |e: &Effect| {
        matches!(
            e.action,
            Action::Select | Action::Insert | Action::Update | Action::Delete | Action::Merge | Action::Probe
        )
    };
    let planned = request.operation.statements.iter().flat_map(|s| &s.effects).all(plain);
    let plan = planned.then(|| outline.statement.clone());
    Ok(Questions {
        outline,
        count,
        sample,
        plan,
        asker,
        in_block: request.in_block,
        catalogue: Arc::clone(&catalogue),
    })
}

/// How the columns of a sample are shown; `None` where it is not certain what they hold.
fn shown(sample: &Sample, session: &Session<'_>) -> Option<Vec<Shown>> {
    let analysis = outline::harmless(&sample.text, session).ok()?;
    let [statement] = analysis.statements.as_slice() else { return None };
    let Outputs::Columns(columns) = &statement.outputs else { return None };
    let nothing = BTreeSet::new();
    let column = |(n, column): (usize, &sql::postgres::OutputColumn)| {
        let tags = hidden(column, &nothing).ok()?;
        let name = sample.names.get(n).cloned().unwrap_or_else(|| column.name.clone());
        Some(Shown { name, after: n >= sample.before, masked: !tags.is_empty() })
    };
    columns.iter().enumerate().map(column).collect()
}

impl Outlook {
    /// What is said where nothing is asked.
    pub(crate) fn untold(&self) -> Seen {
        let mut seen = self.uncounted();
        if let Some(Err(why)) = &self.trial {
            seen.preview.unseen.push(format!("it was not tried: {why}"));
        }
        seen
    }

    fn uncounted(&self) -> Seen {
        match &self.questions {
            Some(Err(why)) => self.unseen(why),
            Some(Ok(_)) | None => Seen { preview: self.said(Tier::Static), ..Seen::default() },
        }
    }

    /// The same, and why.
    pub(crate) fn unseen(&self, why: &str) -> Seen {
        let mut preview = self.said(Tier::Static);
        preview.unseen.push(format!("its rows were not counted: {why}"));
        Seen { preview, ..Seen::default() }
    }

    /// What it costs others, by the catalogue alone.
    pub(crate) fn costs(&self) -> &[String] {
        &self.words
    }

    /// What is said where the target holds nothing yet that could be asked about; rows that stand in the text are known all the same.
    pub(crate) fn unasked(&self, why: &str) -> Seen {
        let Some(Ok(Questions { outline, .. })) = &self.questions else { return self.untold() };
        let Some(rows) = outline.fixed else { return self.unseen(why) };
        let mut preview = self.said(Tier::Static);
        preview.words.insert(0, format!("{} of {}", done(outline.does, rows, true), outline.table));
        Seen { rows: Some(rows), preview, ..Seen::default() }
    }

    /// Whether its rows stand in its text.
    pub(crate) fn is_fixed(&self) -> bool {
        let fixed = |asked: &Questions| asked.outline.fixed.is_some() && asked.outline.at_most.is_none();
        matches!(&self.questions, Some(Ok(asked)) if fixed(asked))
    }

    fn said(&self, tier: Tier) -> Preview {
        let (words, ordered) = (self.words.clone(), self.ordered.clone());
        Preview { words, ordered, tier: Some(tier), at: now(), ..Preview::default() }
    }

    /// From where and how closely it is looked at: of the same operation the same is seen from the same place.
    pub(crate) fn as_seen_from(&self) -> String {
        format!("{:?} {}", self.tier, self.in_block)
    }

    /// Whether anything is to be asked of the target.
    pub(crate) fn is_to_ask(&self) -> bool {
        matches!(&self.questions, Some(Ok(_))) || self.tries()
    }

    /// Whether it is to be tried.
    pub(crate) fn tries(&self) -> bool {
        matches!(&self.trial, Some(Ok(_)))
    }

    /// What policy is asked before anything is asked of the target; `None` where nothing is.
    pub(crate) fn looking(&self, effects: &[Effect], facts: &Facts) -> Option<Looking> {
        if let Some(Ok(questions)) = &self.questions {
            return Some(Looking::at(&questions.outline.table, facts));
        }
        let tables = effects.iter().filter_map(|effect| {
            if let Resource::Table(table) = &effect.resource { Some(table) } else { None }
        });
        let first = tables.into_iter().next().filter(|_| self.tries())?;
        Some(Looking::at(first, facts))
    }

    /// What whoever asks may find out by how long it takes to try it, unless they may read that anyway: `None` where no right to
    /// read shows it all.
    pub(crate) fn tells(&self, facts: &Facts) -> Option<Looking> {
        let Some(Ok(trial)) = &self.trial else { return None };
        trial.tells(facts)
    }

    /// Asks the target. `hide` says that whoever asks must not tell what was seen by how long it took.
    pub(crate) async fn ask(&self, target: &Target, hide: bool) -> Seen {
        // It is never closed.
        let Ok(turn) = timeout(LONGEST, TURNS.acquire()).await else {
            return self.unseen("many others are being looked at");
        };
        let begun = Instant::now();
        let mut seen = match timeout(LONGEST, self.asked(target)).await {
            Ok(seen) => seen,
            Err(_) => self.unseen("it took too long"),
        };
        seen.not_before = (hide && self.tries()).then(|| begun + LONGEST);
        hold_until(seen.not_before, turn);
        seen
    }

    async fn asked(&self, target: &Target) -> Seen {
        let mut control = match target.catalogue.place.usual().await {
            Ok(control) => control,
            Err(error) => return self.unseen(&why(&error)),
        };
        let mut seen = match &self.questions {
            Some(Ok(questions)) => match questions.ask(&mut control).await {
                Ok(found) => self.counted(found, questions),
                Err(error) => {
                    tracing::debug!(%error, "an operation could not be looked at");
                    self.unseen(&why(&error))
                }
            },
            Some(Err(_)) | None => self.uncounted(),
        };
        match &self.trial {
            Some(Ok(trial)) => match trial.run(&mut control, target).await {
                Ok(came) => seen.rehearsed(came),
                Err(why) => seen.preview.unseen.push(format!("it was not tried: {why}")),
            },
            Some(Err(why)) => seen.preview.unseen.push(format!("it was not tried: {why}")),
            None => (),
        }
        seen
    }

    fn counted(&self, found: Found, questions: &Questions) -> Seen {
        let mut preview = self.said(Tier::Counted);
        let all = found.rows.is_some() && questions.outline.at_most.is_none() && !found.about;
        preview.exact = all && !questions.in_block;
        preview.words.splice(0..0, found.words);
        preview.plan = found.plan;
        (preview.columns, preview.rows) = found.sample;
        Seen { rows: found.rows, more: found.more, follows: found.follows, preview, ..Seen::default() }
    }
}

impl Seen {
    /// What was seen of a message, or of each statement of it where it has several.
    fn rehearsed(&mut self, came: Rehearsed) {
        let Rehearsed { steps, whole, late: _, failed } = came;
        if let Some((at, why)) = failed {
            let which = match self.preview.ordered.as_deref().map(|plan| plan.steps.len()) {
                Some(all) if at < all => format!("statement {} of it {why}", at + 1),
                Some(_) => format!("what waits for the end of its transaction {why}"),
                None => format!("it {why}"),
            };
            self.preview.unseen.push(format!("it was not tried: {which}"));
            return;
        }
        if let Some(whole) = whole {
            self.tried(whole);
        }
        let of = self.preview.ordered.iter_mut().flat_map(|plan| &mut plan.steps);
        for (step, tried) in of.zip(steps) {
            let mut seen = Self::default();
            seen.tried(tried);
            step.preview = seen.preview;
        }
    }

    /// What was seen by trying it takes the place of what was counted.
    pub(crate) fn tried(&mut self, tried: Tried) {
        let Tried { words, rows, tables, exact } = tried;
        let preview = &mut self.preview;
        preview.words.retain(|line| !is_count(line));
        preview.words.splice(0..0, words);
        preview.unseen.retain(|line| !line.starts_with("its rows were not counted"));
        (preview.tier, preview.exact, preview.at) = (Some(Tier::Executed), exact, now());
        preview.changes.clone_from(&tables);
        (self.rows, self.more) = (Some(rows), false);
        self.tables = Some(tables);
    }
}

/// What came of trying several statements, or why they were not; and before which moment whoever asks hears nothing, where they
/// must not tell what was seen by how long it took.
pub(crate) async fn rehearse(
    trial: &Trial,
    target: &Target,
    hide: bool,
) -> (Result<Rehearsed, String>, Option<Instant>) {
    // It is never closed.
    let Ok(turn) = timeout(LONGEST, TURNS.acquire()).await else {
        return (Err("many others are being looked at".to_owned()), None);
    };
    let begun = Instant::now();
    let trying = async {
        let mut control = target.catalogue.place.usual().await.map_err(|error| why(&error))?;
        trial.run(&mut control, target).await
    };
    let came = timeout(LONGEST, trying).await.unwrap_or_else(|_| Err("it took too long".to_owned()));
    let not_before = hide.then(|| begun + LONGEST);
    hold_until(not_before, turn);
    (came, not_before)
}

/// Whether a line tells of numbers of rows.
fn is_count(line: &str) -> bool {
    let begins = |words: &[&str]| words.iter().any(|word| line.starts_with(word));
    begins(&["inserts ", "updates ", "deletes ", "rows of "])
}

/// In few words, and none of the target's, which may quote.
fn why(error: &ControlError) -> String {
    if let ControlError::Refused { code, .. } = error {
        return match code.as_str() {
            "57014" => format!("it takes longer than {} s", QUESTION / 1000),
            "42501" => "its role may not read what is to be changed".to_owned(),
            "55P03" => "its table is locked by others".to_owned(),
            _ => format!("the target refused with SQLSTATE {code}"),
        };
    }
    "the target could not be asked".to_owned()
}

/// What came out.
#[derive(Default)]
struct Found {
    rows: Option<u64>,
    /// There may be less.
    about: bool,
    more: bool,
    follows: bool,
    words: Vec<String>,
    plan: Vec<String>,
    sample: (Vec<Shown>, Vec<Vec<Option<String>>>),
}

impl Asker {
    pub(super) fn of(request: &Request) -> Result<Self, &'static str> {
        let again = "what it means here cannot be had on another connection";
        let settings = request.under.again().ok_or(again)?;
        let path = request.under.path().iter().filter(|schema| !schema.starts_with("pg_temp"));
        Ok(Self { settings, role: request.under.role().to_owned(), path: path.cloned().collect() })
    }

    /// As the session is: its role, where it finds names, what it has set.
    pub(super) async fn enter(&self, control: &mut Control) -> Result<(), ControlError> {
        let mut all = Vec::new();
        for (name, value) in &self.settings {
            let name = name.to_ascii_lowercase();
            if !OURS.contains(&name.as_str()) {
                all.push(format!("pg_catalog.set_config({}, {}, true)", literal(&name), literal(value)));
            }
        }
        if !all.is_empty() {
            control.query(&format!("SELECT {}", all.join(", "))).await?;
        }
        // The system's own names come first anyway; where it is said, what is made without a schema's name would go there, too.
        let implied = usize::from(self.path.first().is_some_and(|schema| schema == "pg_catalog"));
        let path: Vec<String> = self.path.iter().skip(implied).map(|schema| quoted(schema)).collect();
        let path = if path.is_empty() { "''".to_owned() } else { path.join(", ") };
        control
            .query(&format!("SET LOCAL search_path = {path}; SET LOCAL ROLE {}", quoted(&self.role)))
            .await?;
        Ok(())
    }
}

impl Questions {
    async fn ask(&self, control: &mut Control) -> Result<Found, ControlError> {
        let limits = own::limits(QUESTION);
        control.query(&own::look(QUESTION)).await?;
        let followers = self.following(control).await?;
        self.asker.enter(control).await?;
        control.query(&limits).await?;

        let mut found = Found::default();
        let direct = self.count_all(control, &followers, &mut found).await?;
        // The numbers stay where the rows cannot be shown, or the plan.
        if let Some((sample, shown)) = self.sample.as_ref().filter(|_| direct > 0) {
            let rows = attempt(control, &sample.text).await?.unwrap_or_default();
            found.sample = (shown.clone(), cut(rows, shown));
        }
        if let Some(statement) = &self.plan {
            let rows = attempt(control, &format!("EXPLAIN {statement}")).await?.unwrap_or_default();
            found.plan = rows.into_iter().flatten().flatten().take(PLAN).collect();
        }
        Ok(found)
    }

    /// Counts the rows, and those that follow. Returns how many there are without these.
    async fn count_all(
        &self,
        control: &mut Control,
        followers: &[Follower],
        found: &mut Found,
    ) -> Result<u64, ControlError> {
        let counted = match &self.count {
            Some(count) => control.query_short(count).await?,
            None => Rows::new(),
        };
        let mut kinds: Vec<(Does, u64)> = Vec::new();
        match (&self.outline.merge, self.outline.fixed) {
            (Some(merge), _) => {
                for does in &merge.does {
                    let rows = Merge::rows(*does, &counted);
                    kinds.push((*does, rows.ok_or_else(|| ControlError::Lost("no number".to_owned()))?));
                }
            }
            (None, Some(fixed)) => kinds.push((self.outline.does, fixed)),
            (None, None) => kinds.push((self.outline.does, number(&counted)?)),
        }
        let direct = kinds.iter().fold(0_u64, |sum, (_, rows)| sum.saturating_add(*rows));
        let known = self.outline.fixed.is_some() || direct <= COUNTED;
        let mut total = known.then_some(direct);
        found.more = !known;
        let at_most = self.outline.at_most.map(|why| format!(", at most: {why}")).unwrap_or_default();
        let table = &self.outline.table;
        for (does, rows) in kinds {
            // Where there are more than are counted, it is not known of which kind they are.
            let rows = if known { rows } else { direct };
            found.words.push(format!("{} of {table}{at_most}", done(does, rows, known)));
        }
        let hidden = hidden_from(control, followers).await?;
        for ((follower, count), hidden) in followers.iter().zip(self.counts(followers)).zip(hidden) {
            let rows = match count.filter(|_| !hidden) {
                _ if direct == 0 => Some(0),
                Some(count) => attempt(control, &count).await?.map(|rows| number(&rows)).transpose()?,
                None => None,
            };
            let Follower { table, does, .. } = follower;
            if let Some(rows) = rows {
                let known = rows <= COUNTED;
                found.more |= !known;
                let less = follower.less.filter(|_| rows > 0);
                found.about |= less.is_some();
                let less = less.map(|why| format!(", at most: {why}")).unwrap_or_default();
                found
                    .words
                    .push(format!("{} of {table}, which refer to them{less}", done(*does, rows, known)));
                total = total.filter(|_| known).and_then(|total| total.checked_add(rows));
            } else {
                found.words.push(format!("rows of {table} follow, which were not counted"));
                total = None;
            }
        }
        if self.in_block {
            // From outside that cannot be seen. It is stopped all the same: what was shown is what is approved, and whoever
            // approves can set another number.
            let why = "what its own transaction has changed so far is not in these numbers, and it may not change more than \
                       these unless a number of rows is set";
            found.words.push(why.to_owned());
        }
        found.rows = total;
        found.follows = !followers.is_empty();
        Ok(direct)
    }

    /// The rows of other tables that follow by foreign keys, nearest first.
    async fn following(&self, control: &mut Control) -> Result<Vec<Follower>, ControlError> {
        let mut all: Vec<Follower> = Vec::new();
        for does in self.outline.does_all() {
            self.referring(control, None, does, &mut all).await?;
        }
        let mut next = 0;
        // What is not counted is followed no further.
        while let Some(above) = all.get(next).cloned() {
            if above.countable && all.len() < KEYS {
                self.referring(control, Some((next, &above)), above.does, &mut all).await?;
            }
            next += 1;
        }
        Ok(all)
    }

    /// Those that follow the statement's own rows, or others that do.
    async fn referring(
        &self,
        control: &mut Control,
        above: Option<(usize, &Follower)>,
        does: Does,
        all: &mut Vec<Follower>,
    ) -> Result<(), ControlError> {
        let own = self.outline.oid.0.to_string();
        let (oid, depth) = above.map_or((&own, 0), |(_, above)| (&above.oid, above.depth));
        if does == Does::Inserts {
            return Ok(());
        }
        for row in control.query(&keys(oid, does)).await? {
            let key = Key::read(&row, does).ok_or_else(|| ControlError::Lost("no key".to_owned()))?;
            // What follows is assigned by its key, too.
            let assigned = |column: &String| match above {
                Some((_, above)) => above.columns.contains(column),
                None => self.outline.assigned.iter().any(|(name, _)| name == column),
            };
            if does == Does::Updates && !key.referred.iter().any(assigned) {
                continue;
            }
            // A key that is set to what it was takes nothing with it.
            let moved = (above.is_none() && does == Does::Updates).then(|| self.outline.moved(&key.referred));
            let stays = matches!(moved, Some(None));
            let keys = match (above, moved.flatten()) {
                (Some((_, above)), _) => above.keys(&key.referred),
                (None, Some(moved)) => moved,
                (None, None) => self.outline.keys(&key.referred),
            };
            // Rows that are reached twice, or too far away, are not told apart.
            let known = key.table == self.outline.table || all.iter().any(|f| f.table == key.table);
            let merges = self.outline.merge.is_some();
            // What sets a key of rows that follow sets others by it, or none.
            let further = above.is_some() && does == Does::Updates;
            let countable = !known && !merges && !further && depth < DEEPEST && all.len() < KEYS;
            let less = if stays {
                Some("those whose key is set to what it was do not follow")
            } else if key.below {
                Some("they refer to a part of its table alone")
            } else {
                let relation = self.catalogue.relation(&key.table.schema, &key.table.name);
                relation.map_or(Some("its table is not known"), |r| outline::at_most(&self.catalogue, r))
            };
            let alias = format!("durward_{}", all.len() + 1);
            let rows = outline::referring(&key.table, &alias, &key.columns, &keys);
            let Key { table, oid, does, columns, referred: _, below: _ } = key;
            let above = above.map(|(at, _)| at);
            let depth = depth + 1;
            all.push(Follower { table, oid, does, depth, alias, rows, columns, countable, less, above });
        }
        Ok(())
    }

    /// The questions how many rows follow; `None` where that cannot be asked.
    fn counts(&self, followers: &[Follower]) -> Vec<Option<String>> {
        let (catalog, path, role) = (&*self.catalogue, &self.asker.path, &self.asker.role);
        let session = Session { catalog, search_path: path, role, prepared: &NoNames };
        let more = COUNTED + 1;
        let count = |follower: &Follower| {
            let rows = &follower.rows;
            let count =
                format!("SELECT pg_catalog.count(*) FROM (SELECT 1 {rows} LIMIT {more}) AS durward_rows");
            (follower.countable && outline::harmless(&count, &session).is_ok()).then_some(count)
        };
        followers.iter().map(count).collect()
    }
}

/// Of which followers the asker does not see all rows, nor of those that they follow. A foreign key does not ask whether it does.
async fn hidden_from(control: &mut Control, followers: &[Follower]) -> Result<Vec<bool>, ControlError> {
    let mut hidden: Vec<bool> = Vec::with_capacity(followers.len());
    for follower in followers {
        let above = follower.above.and_then(|at| hidden.get(at).copied()).unwrap_or(false);
        let question = format!("SELECT pg_catalog.row_security_active({}::pg_catalog.oid)", follower.oid);
        let rows = attempt(control, &question).await?;
        let seen = rows.is_some_and(|rows| rows == [[Some("f".to_owned())]]);
        hidden.push(above || !seen);
    }
    Ok(hidden)
}

/// What the catalogue says of the foreign keys that refer to a table, or to a part of it, and do something to the rows that refer.
fn keys(oid: &str, does: Does) -> String {
    let how = if does == Does::Updates { "confupdtype" } else { "confdeltype" };
    let name = "SELECT json_agg(a.attname ORDER BY k.n) FROM unnest(c.KEY) WITH ORDINALITY k(num, n) \
         JOIN pg_attribute a ON a.attrelid = c.REL AND a.attnum = k.num";
    let of = |key: &str, relation: &str| name.replace("KEY", key).replace("REL", relation);
    let (own, referred) = (of("conkey", "conrelid"), of("confkey", "confrelid"));
    format!(
        "WITH RECURSIVE d AS (SELECT {oid}::oid AS part UNION SELECT i.inhrelid FROM pg_inherits i JOIN d ON i.inhparent = d.part) \
         SELECT n.nspname, r.relname, r.oid::text, c.{how}, ({own}), ({referred}), (c.confrelid <> {oid})::text FROM pg_constraint c \
         JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace \
         WHERE c.contype = 'f' AND c.{how} IN ('c', 'n', 'd') AND c.confrelid IN (SELECT part FROM d) AND NOT EXISTS \
         (SELECT FROM pg_constraint p WHERE p.oid = c.conparentid AND p.confrelid IN (SELECT part FROM d)) ORDER BY c.oid"
    )
}

/// A foreign key by which rows of another table follow.
struct Key {
    table: TableName,
    oid: String,
    columns: Vec<String>,
    referred: Vec<String>,
    does: Does,
    /// It refers to a partition or a child alone.
    below: bool,
}

impl Key {
    fn read(row: &[Option<String>], does: Does) -> Option<Self> {
        let [Some(schema), Some(name), Some(oid), Some(how), Some(columns), Some(referred), Some(below)] =
            row
        else {
            return None;
        };
        let names = |text: &str| serde_json::from_str::<Vec<String>>(text).ok();
        let deletes = does == Does::Deletes && how == "c";
        Some(Self {
            table: TableName { schema: schema.clone(), name: name.clone() },
            oid: oid.clone(),
            columns: names(columns)?,
            referred: names(referred)?,
            does: if deletes { Does::Deletes } else { Does::Updates },
            below: below != "false",
        })
    }
}

/// Rows of another table that follow.
#[derive(Clone)]
struct Follower {
    table: TableName,
    oid: String,
    does: Does,
    depth: usize,
    alias: String,
    /// `FROM … WHERE …`
    rows: String,
    /// What refers.
    columns: Vec<String>,
    countable: bool,
    /// Why there may be less of them, if so.
    less: Option<&'static str>,
    /// Which others they follow, by their place among them.
    above: Option<usize>,
}

impl Follower {
    /// The rows as a list of values of these columns of theirs.
    fn keys(&self, columns: &[String]) -> String {
        let all: Vec<String> = columns.iter().map(|c| format!("{}.{}", self.alias, quoted(c))).collect();
        format!("SELECT {} {}", all.join(", "), self.rows)
    }
}

/// The rows; nothing where the target refuses, which fails nothing else.
async fn attempt(control: &mut Control, question: &str) -> Result<Option<Rows>, ControlError> {
    control.query("SAVEPOINT durward_look").await?;
    match control.query_short(question).await {
        Ok(rows) => Ok(Some(rows)),
        Err(ControlError::Refused { .. }) => {
            control.query("ROLLBACK TO durward_look").await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn number(rows: &Rows) -> Result<u64, ControlError> {
    let value = rows.first().and_then(|row| row.first().cloned().flatten());
    value.and_then(|text| text.parse().ok()).ok_or_else(|| ControlError::Lost("no number".to_owned()))
}

/// `deletes 1,204 rows`
fn done(does: Does, rows: u64, known: bool) -> String {
    let verb = match does {
        Does::Inserts => "inserts",
        Does::Updates => "updates",
        Does::Deletes => "deletes",
    };
    if !known {
        return format!("{verb} more than {} rows", grouped(COUNTED));
    }
    format!("{verb} {} row{}", grouped(rows), if rows == 1 { "" } else { "s" })
}

/// Values that may be shown, none too long.
fn cut(rows: Vec<Vec<Option<String>>>, columns: &[Shown]) -> Vec<Vec<Option<String>>> {
    let cell = |(value, column): (Option<String>, &Shown)| {
        let value = value.filter(|_| !column.masked)?;
        let mut short: String = value.chars().take(VALUE).collect();
        if value.chars().nth(VALUE).is_some() {
            short.push('…');
        }
        Some(short)
    };
    rows.into_iter().map(|row| row.into_iter().zip(columns).map(cell).collect()).collect()
}

/// What policy is asked before an operation is looked at.
pub(crate) struct Looking {
    effects: Vec<Effect>,
    facts: Facts,
    particulars: Particulars,
    shape: [u8; 16],
}

impl Looking {
    fn at(table: &TableName, facts: &Facts) -> Self {
        Self::with(vec![Effect::new(Action::Preview, Resource::Table(table.clone()))], facts)
    }

    /// Each table that an operation touches.
    pub(crate) fn tables<M: Inspect>(operation: &M) -> Vec<Self> {
        let tables: BTreeSet<&TableName> = operation
            .effects()
            .iter()
            .filter_map(|e| if let Resource::Table(table) = &e.resource { Some(table) } else { None })
            .collect();
        let particulars = operation.particulars();
        let at = |table| Self::at(table, operation.facts()).with_particulars(particulars.clone());
        tables.into_iter().map(at).collect()
    }

    /// What an operation reads, and tells by what it finds, if it does: it is done by looking, too, and whoever asks could tell
    /// by how long that takes what was found.
    pub(crate) fn reads<M: Inspect>(operation: &M) -> Option<Self> {
        let reads = |e: &&Effect| matches!(e.action, Action::Select | Action::Probe | Action::Reveal);
        let effects: Vec<Effect> = operation.effects().iter().filter(reads).cloned().collect();
        (!effects.is_empty())
            .then(|| Self::with(effects, operation.facts()).with_particulars(operation.particulars()))
    }

    fn with(effects: Vec<Effect>, facts: &Facts) -> Self {
        let mut shape = [0; 16];
        let whole = digest(&SHA256, format!("preview of {effects:?} {facts:?}").as_bytes());
        shape.iter_mut().zip(whole.as_ref()).for_each(|(to, from)| *to = *from);
        Self { effects, facts: facts.clone(), particulars: Particulars::default(), shape }
    }

    /// The same with what the operation has alone.
    pub(crate) fn with_particulars(self, particulars: Particulars) -> Self {
        Self { particulars, ..self }
    }
}

impl Inspect for Looking {
    fn effects(&self) -> &[Effect] {
        &self.effects
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        &[]
    }

    fn shape(&self) -> [u8; 16] {
        self.shape
    }

    fn particulars(&self) -> Particulars {
        self.particulars.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        for (rows, expected) in [
            (0, "deletes 0 rows"),
            (1, "deletes 1 row"),
            (999, "deletes 999 rows"),
            (1_204, "deletes 1,204 rows"),
            (10_000, "deletes 10,000 rows"),
            (10_001, "deletes more than 10,000 rows"),
        ] {
            assert_eq!(done(Does::Deletes, rows, rows <= COUNTED), expected);
        }
        assert_eq!(done(Does::Inserts, 1_000_000, true), "inserts 1,000,000 rows");
    }

    #[test]
    fn nothing_masked_is_kept_and_nothing_long() {
        let column = |masked| Shown { name: "c".to_owned(), after: false, masked };
        let row = vec![Some("x".repeat(300)), Some("secret".to_owned()), None];
        let cut = cut(vec![row], &[column(false), column(true), column(false)]);
        assert_eq!(cut, [[Some(format!("{}…", "x".repeat(VALUE))), None, None]]);
    }
}
