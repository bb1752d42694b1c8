//! Search over sessions: by what the journal says of their operations, and by what recordings show.

use std::io;
use std::path::Path;

use hashbrown::{HashMap, HashSet};
use recording::Key;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::steps::{self, Step, Wanted};
use super::survey::Surveys;
use crate::requests::AdminError;

/// So many are found at most.
const MOST: usize = 1000;
/// So many recordings are looked into at most; the newest first.
const MOST_RECORDINGS: usize = 500;

/// What is looked for: all that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Search {
    /// Who: `agent:ci`, or a part of it; also who is acted for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The target's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// A table that the operation has an effect on, with or without its schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// A column that the statement or its result names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// `allowed`, `refused`, `held` or `unreadable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// What stands in the statement or in what was shown, whatever its case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// From this moment on, as the journal writes it: `2026-11-26T12:00:00Z`, or a beginning of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Before this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// So many at most; 100 where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What was found.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Found {
    /// The newest first.
    pub hits: Vec<Hit>,
    /// Whether there may be more than these.
    pub more: bool,
}

/// One operation that fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hit {
    /// Its session.
    pub session: String,
    /// Its decision, as in the journal.
    pub decision: String,
    /// When.
    pub time: String,
    /// Who.
    pub principal: String,
    /// On what.
    pub target: String,
    /// What became of it.
    pub verdict: String,
    /// The statement with placeholders.
    pub text: String,
    /// What it does.
    pub effects: Vec<String>,
    /// Where the text or column was found: `statement` or `answer`.
    pub found_in: &'static str,
    /// The step of the recording, where it was found there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
}

impl Search {
    /// Whether what was shown is looked at.
    pub(super) fn reads_recordings(&self) -> bool {
        self.text.is_some() || self.column.is_some()
    }

    fn fits_session(&self, opened: &Value) -> bool {
        let is_in = |wanted: &Option<String>, has: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(has);
        let names = |wanted: &str| {
            let acted_for = opened.get("on_behalf_of").and_then(Value::as_array).into_iter().flatten();
            let all = acted_for.filter_map(Value::as_str).chain([text(opened, "principal")]);
            all.map(str::to_lowercase).any(|name| name.contains(&wanted.to_lowercase()))
        };
        is_in(&self.principal, &names) && is_in(&self.target, &|target| text(opened, "target") == target)
    }

    fn fits_time(&self, time: &str) -> bool {
        // The journal's times are written alike, so that their order is that of their letters; a second's fractions stand
        // behind it.
        let is_from = |since: &str| time >= since.trim_end_matches('Z');
        let is_before = |until: &str| time < until.trim_end_matches('Z');
        self.since.as_deref().is_none_or(is_from) && self.until.as_deref().is_none_or(is_before)
    }

    fn fits_effects(&self, effects: &[&str]) -> bool {
        let Some(table) = self.table.as_deref() else { return true };
        effects.iter().any(|effect| touches(effect, table))
    }

    fn is_in_statement(&self, statement: &str, effects: &[&str]) -> bool {
        let statement_has = |wanted: &str| statement.to_lowercase().contains(&wanted.to_lowercase());
        let text_fits = self.text.as_deref().is_none_or(statement_has);
        let column_fits = self.column.as_deref().is_none_or(|column| {
            has_word(statement, column) || effects.iter().any(|e| e.ends_with(&format!(".{column}")))
        });
        text_fits && column_fits
    }

    fn is_in_answer(&self, step: &Step) -> bool {
        self.column.as_deref().is_none_or(|column| {
            step.results.iter().flat_map(|shown| &shown.columns).any(|c| c.name.eq_ignore_ascii_case(column))
        })
    }
}

/// Whether an effect's line names a table: `update public.orders`, `select public.t via public.v`, `reveal public.t.column`.
pub(crate) fn touches(effect: &str, table: &str) -> bool {
    let named = effect.split([' ', ':']).skip(1).filter(|word| *word != "via");
    named.into_iter().any(|name| {
        name == table
            || name.strip_suffix(table).is_some_and(|before| before.ends_with('.'))
            || name.strip_prefix(table).is_some_and(|behind| behind.starts_with('.'))
            || name.contains(&format!(".{table}."))
    })
}

/// Whether a name stands in a statement as a word of its own.
fn has_word(statement: &str, name: &str) -> bool {
    let (statement, name) = (statement.to_lowercase(), name.to_lowercase());
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    statement.match_indices(&name).any(|(at, _)| {
        let before = statement.get(..at).and_then(|s| s.chars().next_back());
        let behind = statement.get(at + name.len()..).and_then(|s| s.chars().next());
        !before.is_some_and(is_part) && !behind.is_some_and(is_part)
    })
}

/// A session as the journal says it began.
struct Known {
    principal: String,
    target: String,
}

pub(super) fn search(
    journal: &Path,
    recordings: &Path,
    key: &Key,
    wanted: &Search,
) -> Result<Found, AdminError> {
    let most = wanted.limit.unwrap_or(100).clamp(1, MOST);
    let mut sessions: HashMap<String, Known> = HashMap::new();
    let mut order: Vec<String> = Vec::new();
    let mut hits: Vec<Hit> = Vec::new();
    // Operations that fit but for what may stand in their answers, by session and number.
    let mut open: HashMap<(String, u64), Hit> = HashMap::new();
    let read = journal::read::records(journal, |record| {
        let session = text(&record, "session");
        let kind = text(&record, "kind");
        if kind == "opened" && wanted.fits_session(&record) {
            let known = Known {
                principal: text(&record, "principal").to_owned(),
                target: text(&record, "target").to_owned(),
            };
            sessions.insert(session.to_owned(), known);
            order.push(session.to_owned());
            return;
        }
        if !["allowed", "refused", "held", "unreadable"].contains(&kind)
            || wanted.verdict.as_deref().is_some_and(|verdict| verdict != kind)
            || !wanted.fits_time(text(&record, "time"))
        {
            return;
        }
        let Some(known) = sessions.get(session) else { return };
        let effects: Vec<&str> = record
            .get("effects")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if !wanted.fits_effects(&effects) {
            return;
        }
        let decision = text(&record, "decision");
        let hit = Hit {
            session: session.to_owned(),
            decision: decision.to_owned(),
            time: text(&record, "time").to_owned(),
            principal: known.principal.clone(),
            target: known.target.clone(),
            verdict: kind.to_owned(),
            text: text(&record, "text").to_owned(),
            effects: effects.iter().map(|e| (*e).to_owned()).collect(),
            found_in: "statement",
            step: None,
        };
        if wanted.is_in_statement(&hit.text, &effects) {
            hits.push(hit);
        } else if let Some(n) = decision.rsplit('.').next().and_then(|n| n.parse().ok()) {
            open.insert((session.to_owned(), n), hit);
        }
    });
    read.map_err(|error: io::Error| AdminError::Refused(format!("the journal cannot be read: {error}")))?;
    let mut more = false;
    if wanted.reads_recordings() {
        let asked: HashSet<String> = open.keys().map(|(session, _)| session.clone()).collect();
        let newest = order.iter().rev().filter(|session| asked.contains(*session));
        for (looked, session) in newest.enumerate() {
            if looked >= MOST_RECORDINGS || hits.len() > most {
                more = true;
                break;
            }
            in_answers(recordings, key, session, wanted, &mut open, &mut hits);
        }
    }
    hits.sort_by(|a, b| b.time.cmp(&a.time));
    more |= hits.len() > most;
    hits.truncate(most);
    Ok(Found { hits, more })
}

/// Looks into one recording. One that is not there, or does not open, shows nothing.
fn in_answers(
    recordings: &Path,
    key: &Key,
    session: &str,
    wanted: &Search,
    open: &mut HashMap<(String, u64), Hit>,
    hits: &mut Vec<Hit>,
) {
    let (mut from, surveys) = (0, Surveys::default());
    loop {
        let part =
            Wanted { from, limit: Some(usize::MAX), rows: 1, find: wanted.text.clone(), ..Wanted::default() };
        let Ok(page) = steps::page(recordings, key, session, &part, &surveys) else { return };
        for step in page.steps.iter().filter(|step| wanted.is_in_answer(step)) {
            if let Some(hit) = open.remove(&(session.to_owned(), step.n)) {
                hits.push(Hit { found_in: "answer", step: Some(step.index), ..hit });
            }
        }
        match page.next {
            Some(next) => from = next,
            None => return,
        }
    }
}

fn text<'a>(record: &'a Value, name: &str) -> &'a str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_with_and_without_its_schema() {
        for (effect, table, found) in [
            ("update public.orders", "orders", true),
            ("update public.orders", "public.orders", true),
            ("update public.orders", "order", false),
            ("update public.reorders", "orders", false),
            ("select public.t via public.v", "v", true),
            ("reveal public.customers.email", "customers", true),
            ("reveal public.customers.email", "public.customers", true),
            ("unknown the target: orders", "target", true),
            ("update public.orders", "update", false),
        ] {
            let search = Search { table: Some(table.to_owned()), ..Search::default() };
            assert_eq!(search.fits_effects(&[effect]), found, "{table} in {effect}");
        }
    }

    #[test]
    fn moments_are_compared_to_the_fraction() {
        let time = "2026-11-26T13:19:01.029551Z";
        for (since, until, fits) in [
            (None, None, true),
            (Some("2026-11-26T13:19:01Z"), None, true),
            (Some("2026-11-26T13:19:02Z"), None, false),
            (Some("2026-11-26"), Some("2026-11-27"), true),
            (None, Some("2026-11-26T13:19:01Z"), false),
            (None, Some("2026-11-26T13:19:01.03Z"), true),
        ] {
            let (since, until) = (since.map(str::to_owned), until.map(str::to_owned));
            let search = Search { since, until, ..Search::default() };
            assert_eq!(search.fits_time(time), fits, "{search:?}");
        }
    }

    #[test]
    fn a_column_is_a_word_of_its_own() {
        for (statement, found) in [
            ("SELECT Email FROM t", true),
            ("SELECT c.email, x FROM t c", true),
            ("SELECT emails FROM t", false),
            ("SELECT \"email\" FROM t", true),
            ("SELECT my_email FROM t", false),
        ] {
            assert_eq!(has_word(statement, "email"), found, "{statement}");
        }
    }
}
