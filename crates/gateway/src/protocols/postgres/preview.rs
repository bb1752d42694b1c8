//! What a statement would do, before anybody answers: said by the catalogue, counted by questions that only read, and, where
//! policy wants that, seen by trying it (`trial`), on connections of the gateway's own, as the session's role and under its
//! settings. The session itself is not touched.

mod asker;
mod followers;
mod looking;
mod questions;
pub(crate) mod trial;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{Action, Changed, Effect, Facts, Plan, Preview, PrincipalRef, Resource, Shown, Tier, grouped};
use sql::postgres::outline::{self, Does, Sample, outline};
use sql::postgres::{NoNames, Outputs, Session, locks};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

pub(super) use self::asker::Asker;
pub(crate) use self::looking::Looking;
use self::questions::{Found, Questions};
use self::trial::{Kept, OPEN, Rehearsed, Trial, Tried};
use super::control::ControlError;
use super::masks::hidden;
use super::request::Request;
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
    /// What was tried and is open.
    pub kept: Option<Kept>,
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
    let trial = (any && tier >= Tier::Executed).then(|| Trial::of(request, tier));
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
        let tagged = hidden(column, &nothing).ok()?;
        let name = sample.names.get(n).cloned().unwrap_or_else(|| column.name.clone());
        Some(Shown { name, after: n >= sample.before, masked: !tagged.is_empty() })
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

    /// What becomes of what is tried, as a clause; nothing where it is not.
    pub(crate) fn how(&self) -> String {
        match &self.trial {
            Some(Ok(trial)) if trial.stays_open() => format!(
                ", and tries it in a transaction that stays open for the answer for {} s at most",
                OPEN.as_secs()
            ),
            Some(Ok(_)) => ", and tries it in a transaction that is rolled back".to_owned(),
            Some(Err(_)) | None => String::new(),
        }
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

    /// Says who answers for it: what stays open is counted by them.
    pub(crate) fn is_of(&mut self, whose: &PrincipalRef) {
        if let Some(Ok(trial)) = &mut self.trial {
            trial.is_of(whose.to_string());
        }
    }

    /// What is tried does not stay open unless whoever asks may know which rows it changes: `may` says whether they may read something.
    pub(crate) fn opens_for(&mut self, facts: &Facts, may: impl Fn(Looking) -> bool) {
        let sets = match &self.questions {
            Some(Ok(Questions { outline, .. })) if outline.merge.is_none() => {
                Some(outline.assigned.iter().map(|(column, _)| column.as_str()).collect())
            }
            Some(_) | None => None,
        };
        if let Some(Ok(trial)) = &mut self.trial
            && !trial.tells_open(facts, sets.as_ref()).is_some_and(may)
        {
            trial.closes("whoever asks could tell rows by its locks that are not theirs to read");
        }
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
            Some(Ok(trial)) => match trial.run(control, target).await {
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
        let Rehearsed { steps, whole, late: _, failed, kept } = came;
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
        match kept {
            Some(Ok(kept)) => {
                let until = now().saturating_add(OPEN.as_secs().try_into().unwrap_or(i64::MAX));
                (self.preview.tier, self.preview.open_until) = (Some(Tier::Hold), Some(until));
                // What is committed is this, whatever it would do another time.
                self.preview.exact = true;
                self.kept = Some(kept);
            }
            Some(Err(why)) => {
                self.preview
                    .words
                    .push(format!("it runs again once it is approved, as it cannot stay open: {why}"));
            }
            None => (),
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
        let control = target.catalogue.place.usual().await.map_err(|error| why(&error))?;
        trial.run(control, target).await
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

#[cfg(test)]
mod tests {
    use super::questions::cut;
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
