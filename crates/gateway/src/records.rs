//! The journal for whoever looks things up: backwards, so that what was a moment ago is found without reading years; and checked.

use std::ops::ControlFlow;
use std::path::Path;

use hashbrown::HashMap;
use journal::read::{Head, Mark, back, head};
use recording::Key;
use recording::event::{Events, What};
use recording::read::{Cursor, Reader};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::gateway::Gateway;
use crate::recordings::{blocking, touches};
use crate::requests::AdminError;

/// So many records are given at once.
const MOST: usize = 50;
/// So much of the journal is looked through at once, in bytes.
const FAR: u64 = 8 * 1024 * 1024;

/// What is looked for: all that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Look {
    /// Who did it, or is acted for; a part of the name is enough.
    pub principal: String,
    /// On which target.
    pub target: String,
    /// A table that it has an effect on, with or without its schema.
    pub table: String,
    /// Kinds of records, with commas between: `refused,held`.
    pub verdict: String,
    /// What stands in it, whatever its case.
    pub text: String,
    /// Of one session; of whatever session, and of none, where it is not said which. A form that leaves it empty does not say it.
    #[serde(deserialize_with = "said")]
    pub session: Option<String>,
    /// From this moment on: `2026-11-26T12:00:00Z`, or a beginning of it.
    pub since: String,
    /// Before this moment.
    pub until: String,
    /// Go on from here, backwards.
    pub before: String,
}

fn said<'d, D: Deserializer<'d>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(from)?).filter(|said| !said.is_empty()))
}

/// What was found, the newest first.
#[derive(Debug, Default)]
pub struct Records {
    /// The records.
    pub found: Vec<Record>,
    /// Where to go on; nothing at the journal's beginning.
    pub older: Option<String>,
    /// The time of the oldest record that was looked at.
    pub back_to: Option<String>,
}

/// One record.
#[derive(Debug, Clone)]
pub struct Record {
    /// As it is written.
    pub line: Value,
    /// Who: of its own, or of its session.
    pub principal: Option<String>,
    /// On what: of its own, or of its session.
    pub target: Option<String>,
}

impl Record {
    /// A field that is text.
    pub fn text(&self, name: &str) -> &str {
        text(&self.line, name)
    }
}

/// That the journal and recordings are as they were written.
#[derive(Debug)]
pub struct Verified {
    /// Of the journal.
    pub journal: journal::verify::Report,
    /// Of the recordings.
    pub recordings: recording::verify::Report,
}

impl Gateway {
    /// Records, the newest first.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn records(&self, look: Look) -> Result<Records, AdminError> {
        let journal = self.journal().clone();
        blocking(self.recorder().clone(), move |key, recorder| {
            // What the last moments brought waits to be written.
            let _ = journal.write_all();
            find(journal.directory(), recorder.directory(), key, &look)
        })
        .await?
    }

    /// Checks every record, and every recording against what the journal says of it. What does not match is said in words.
    ///
    /// # Errors
    /// It cannot be read, or recorded that it was asked for.
    pub async fn verify_records(&self, by: &str) -> Result<Result<Verified, String>, AdminError> {
        self.administered(by, "journal verified", "")?;
        let journal = self.journal().clone();
        blocking(self.recorder().clone(), move |_, recorder| {
            let _ = journal.write_all();
            let checked = journal::verify::verify(journal.directory()).map_err(|failure| failure.to_string());
            checked.and_then(|of_journal| {
                let recordings = recording::verify::verify(journal.directory(), recorder.directory());
                let recordings = recordings.map_err(|failure| failure.to_string())?;
                Ok(Verified { journal: of_journal, recordings })
            })
        })
        .await
    }
}

fn text<'v>(line: &'v Value, name: &str) -> &'v str {
    line.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A session as it began.
#[derive(Clone)]
struct Began {
    principals: Vec<String>,
    target: String,
}

impl Began {
    fn of(opened: &Value) -> Self {
        let acted_for = opened.get("on_behalf_of").and_then(Value::as_array).into_iter().flatten();
        let principals = std::iter::once(text(opened, "principal"))
            .chain(acted_for.filter_map(Value::as_str))
            .map(str::to_owned);
        Self { principals: principals.collect(), target: text(opened, "target").to_owned() }
    }
}

struct Finder<'a> {
    look: &'a Look,
    /// What a line must have in it to be looked at, as JSON has it, in lower case.
    needle: String,
    verdicts: Vec<&'a str>,
    /// The sessions of what was found, as they began once that is known: a session's first record is the last that is met.
    sessions: HashMap<String, Option<Began>>,
    found: Vec<Value>,
    back_to: String,
}

impl Finder<'_> {
    /// Takes a record if it fits, but for who and on what where its session says that. Most are passed over by how they begin.
    fn take(&mut self, line: &[u8]) -> ControlFlow<()> {
        if let Some(Head { time, session, kind }) = head(line) {
            if self.is_before(time) {
                return ControlFlow::Break(());
            }
            time.clone_into(&mut self.back_to);
            let is_known = kind != "opened" || !self.sessions.contains_key(session);
            let fits = self.fits_head(time, session, kind) && has(line, &self.needle);
            if is_known && !fits {
                return ControlFlow::Continue(());
            }
        }
        let Ok(value) = serde_json::from_slice::<Value>(line) else { return ControlFlow::Continue(()) };
        let (time, session) = (text(&value, "time"), text(&value, "session"));
        if self.is_before(time) {
            return ControlFlow::Break(());
        }
        time.clone_into(&mut self.back_to);
        if text(&value, "kind") == "opened" {
            self.sessions.insert(session.to_owned(), Some(Began::of(&value)));
        }
        if has(line, &self.needle) && self.fits(&value) {
            self.sessions.entry(session.to_owned()).or_default();
            self.found.push(value);
        }
        if self.found.len() >= MOST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Whether the search has come to its end at this time.
    fn is_before(&mut self, time: &str) -> bool {
        let is_before = !self.look.since.is_empty() && time < self.look.since.trim_end_matches('Z');
        if is_before {
            self.back_to.clear();
        }
        is_before
    }

    fn fits_head(&self, time: &str, session: &str, kind: &str) -> bool {
        let Look { session: wanted, until, .. } = self.look;
        (self.verdicts.is_empty() || self.verdicts.contains(&kind))
            && wanted.as_ref().is_none_or(|wanted| !wanted.is_empty() && session == wanted)
            && (until.is_empty() || time < until.trim_end_matches('Z'))
    }

    fn fits(&self, value: &Value) -> bool {
        let Look { table, text: wanted, .. } = self.look;
        let effects = || value.get("effects").and_then(Value::as_array).into_iter().flatten();
        self.fits_head(text(value, "time"), text(value, "session"), text(value, "kind"))
            && (table.is_empty() || effects().filter_map(Value::as_str).any(|effect| touches(effect, table)))
            && (wanted.is_empty() || says(value, &wanted.to_lowercase()))
    }

    /// With who and on what, where that fits.
    fn named(&self, line: Value) -> Option<Record> {
        let began = self.sessions.get(text(&line, "session")).and_then(Option::as_ref);
        let own = |names: &[&str]| {
            names.iter().map(|name| text(&line, name)).find(|t| !t.is_empty()).map(str::to_owned)
        };
        let who = own(&["principal", "who"]);
        let target = own(&["target"]).or_else(|| began.map(|b| b.target.clone()));
        let mut all: Vec<String> = who.iter().cloned().collect();
        all.extend(began.into_iter().flat_map(|b| b.principals.iter().cloned()));
        let wanted = self.look.principal.to_lowercase();
        let fits = (wanted.is_empty() || all.iter().any(|name| name.to_lowercase().contains(&wanted)))
            && (self.look.target.is_empty() || target.as_deref() == Some(self.look.target.as_str()));
        fits.then(|| Record { principal: all.into_iter().next(), target, line })
    }
}

/// Whether a text in lower case stands in a line, whatever its case there.
fn has(line: &[u8], wanted: &str) -> bool {
    let Some(first) = wanted.as_bytes().first() else { return true };
    if !wanted.is_ascii() || !line.is_ascii() {
        return String::from_utf8_lossy(line).to_lowercase().contains(wanted);
    }
    let begins = |at: usize| {
        let here = line.get(at..at.saturating_add(wanted.len()));
        here.is_some_and(|here| here.eq_ignore_ascii_case(wanted.as_bytes()))
    };
    memchr::memchr2_iter(*first, first.to_ascii_uppercase(), line).any(begins)
}

/// Whether a text in lower case stands in what a record says.
fn says(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text.to_lowercase().contains(wanted),
        Value::Array(items) => items.iter().any(|item| says(item, wanted)),
        Value::Object(fields) => {
            let told = |name: &str| !matches!(name, "hash" | "prev" | "values" | "session");
            fields.iter().any(|(name, field)| told(name) && says(field, wanted))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn find(journal: &Path, recordings: &Path, key: &Key, look: &Look) -> Result<Records, AdminError> {
    let from = match look.before.as_str() {
        "" => None,
        mark => {
            let wrong = |_| AdminError::Refused(format!("\"{mark}\" is no place in the journal"));
            Some(mark.parse::<Mark>().map_err(wrong)?)
        }
    };
    let quoted = serde_json::to_string(&look.text).unwrap_or_default().to_lowercase();
    let mut finder = Finder {
        look,
        needle: quoted.trim_matches('"').to_owned(),
        verdicts: look.verdict.split(',').map(str::trim).filter(|v| !v.is_empty()).collect(),
        sessions: HashMap::new(),
        found: Vec::new(),
        back_to: String::new(),
    };
    let reached = back(journal, from, FAR, |line, _| finder.take(line));
    let reached =
        reached.map_err(|error| AdminError::Refused(format!("the journal cannot be read: {error}")))?;
    // How a session began stands further back; its recording says so, too.
    for (session, began) in
        finder.sessions.iter_mut().filter(|(session, began)| began.is_none() && !session.is_empty())
    {
        *began = began_by_recording(recordings, key, session);
    }
    let found = std::mem::take(&mut finder.found);
    let back_to = (!finder.back_to.is_empty()).then(|| finder.back_to.clone());
    let is_over = back_to.is_none() && !look.since.is_empty();
    Ok(Records {
        found: found.into_iter().filter_map(|line| finder.named(line)).collect(),
        older: reached.filter(|_| !is_over).map(|mark| mark.to_string()),
        back_to,
    })
}

fn began_by_recording(directory: &Path, key: &Key, session: &str) -> Option<Began> {
    let mut reader = Reader::open(directory, key, session, Cursor::default()).ok()?;
    let block = reader.block().ok().flatten()?;
    let first = Events::new(&block).next()?.ok()?;
    match first.what {
        What::Began(words) => Some(Began::of(&serde_json::from_slice(words).ok()?)),
        What::Allowed(_)
        | What::Refused(_)
        | What::Unreadable(_)
        | What::Held(_)
        | What::Answered(_)
        | What::Shape(_)
        | What::Answer(_)
        | What::Rest { .. }
        | What::Outcome { .. }
        | What::Lost { .. }
        | What::Ended(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn journal() -> tempfile::TempDir {
        let place = tempfile::tempdir().expect("a place");
        let records = [
            json!({"kind": "opened", "time": "2026-11-26T10:00:00Z", "session": "s1", "principal": "agent:bot",
                "on_behalf_of": ["user:alice"], "target": "shop"}),
            json!({"kind": "allowed", "time": "2026-11-26T10:00:01Z", "session": "s1", "text": "SELECT 1",
                "effects": ["select public.orders"], "hash": "update"}),
            json!({"kind": "opened", "time": "2026-11-26T10:00:02Z", "session": "s2", "principal": "agent:other",
                "on_behalf_of": [], "target": "crm"}),
            json!({"kind": "refused", "time": "2026-11-26T10:00:03Z", "session": "s2", "text": "UPDATE \"t\"",
                "effects": ["update public.t"], "reason": "no"}),
            json!({"kind": "administered", "time": "2026-11-26T10:00:04Z", "who": "user:ada", "what": "frozen", "detail": "all"}),
        ];
        let text: String = records.iter().map(|record| format!("{record}\n")).collect();
        std::fs::write(place.path().join("journal-000001.jsonl"), text).expect("written");
        place
    }

    #[test]
    fn records_are_found_by_everything_that_is_known_of_them() {
        let place = journal();
        let key = Key::new([1; 32]);
        for (look, times) in [
            (Look::default(), vec![4, 3, 2, 1, 0]),
            (Look { principal: "BOT".to_owned(), ..Look::default() }, vec![1, 0]),
            (Look { principal: "user:alice".to_owned(), ..Look::default() }, vec![1, 0]),
            (Look { principal: "user:ada".to_owned(), ..Look::default() }, vec![4]),
            (Look { target: "crm".to_owned(), ..Look::default() }, vec![3, 2]),
            (Look { table: "orders".to_owned(), ..Look::default() }, vec![1]),
            (Look { verdict: "refused, allowed".to_owned(), ..Look::default() }, vec![3, 1]),
            (Look { text: "update".to_owned(), ..Look::default() }, vec![3]),
            (Look { text: "\"t\"".to_owned(), ..Look::default() }, vec![3]),
            (Look { text: "kind".to_owned(), ..Look::default() }, vec![]),
            (Look { session: Some("s1".to_owned()), ..Look::default() }, vec![1, 0]),
            // What has no session is of no session: not of all, and not of those records that have none either.
            (Look { session: Some(String::new()), ..Look::default() }, vec![]),
            (Look { since: "2026-11-26T10:00:03Z".to_owned(), ..Look::default() }, vec![4, 3]),
            (Look { until: "2026-11-26T10:00:01Z".to_owned(), ..Look::default() }, vec![0]),
        ] {
            let records = find(place.path(), place.path(), &key, &look).expect("read");
            let seen: Vec<String> = records.found.iter().map(|r| r.text("time").to_owned()).collect();
            let wanted: Vec<String> = times.iter().map(|n| format!("2026-11-26T10:00:0{n}Z")).collect();
            assert_eq!(seen, wanted, "{look:?}");
            assert_eq!(records.older, None, "{look:?}");
        }
        for (line, wanted, stands) in [
            ("abc", "", true),
            ("xxAbC", "abc", true),
            ("xxAb", "abc", false),
            ("ÜBER", "über", true),
            ("ÜBER", "uber", false),
        ] {
            assert_eq!(has(line.as_bytes(), wanted), stands, "{line} {wanted}");
        }
        let wrong = Look { before: "nowhere".to_owned(), ..Look::default() };
        assert!(find(place.path(), place.path(), &key, &wrong).is_err());
    }
}
