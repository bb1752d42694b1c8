//! What is asked of the target, which only reads: how many rows, some of them, and how the statement would be carried out.

use std::sync::Arc;

use model::Shown;
use sql::postgres::catalog::Catalog;
use sql::postgres::outline::{Does, Merge, Outline, Sample};

use super::super::control::{Control, ControlError, Rows};
use super::super::own;
use super::asker::Asker;
use super::followers::{Follower, hidden_from};
use super::{COUNTED, PLAN, QUESTION, VALUE, done};

pub(super) struct Questions {
    pub(super) outline: Outline,
    pub(super) count: Option<String>,
    pub(super) sample: Option<(Sample, Vec<Shown>)>,
    /// The statement itself, which is planned and not run.
    pub(super) plan: Option<String>,
    pub(super) asker: Asker,
    pub(super) catalogue: Arc<Catalog>,
    pub(super) in_block: bool,
}

/// What came out.
#[derive(Default)]
pub(super) struct Found {
    pub(super) rows: Option<u64>,
    /// There may be less.
    pub(super) about: bool,
    pub(super) more: bool,
    pub(super) follows: bool,
    pub(super) words: Vec<String>,
    pub(super) plan: Vec<String>,
    pub(super) sample: (Vec<Shown>, Vec<Vec<Option<String>>>),
}

impl Questions {
    pub(super) async fn ask(&self, control: &mut Control) -> Result<Found, ControlError> {
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
}

/// The rows; nothing where the target refuses, which fails nothing else.
pub(super) async fn attempt(control: &mut Control, question: &str) -> Result<Option<Rows>, ControlError> {
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

/// Values that may be shown, none too long.
pub(super) fn cut(rows: Vec<Vec<Option<String>>>, columns: &[Shown]) -> Vec<Vec<Option<String>>> {
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
