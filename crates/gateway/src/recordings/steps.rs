//! A recording as its reader sees it: step by step, each an operation with its verdict, its answer and its end.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hashbrown::HashMap;
use recording::Key;
use recording::event::{Event, Events, What};
use recording::read::{Cursor, ReadError, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::survey::Surveys;
use crate::protocols::postgres::replay::{Replay, Shown, fails, is_ready, shows};

/// A page has at most so many steps.
const MOST_STEPS: usize = 1000;
/// A result is given with at most so many rows.
const MOST_ROWS: usize = 100_000;
/// What a page shows is at most so much of recorded answers, in bytes; it ends before.
const MOST_SHOWN: usize = 8 * 1024 * 1024;

/// Which part of a recording is wanted, and how much of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// The first step, from 0.
    pub from: u64,
    /// So many steps at most; 100 where it is not given.
    pub limit: Option<usize>,
    /// Of each result so many rows; 0 where it is not given.
    pub rows: usize,
    /// These verdicts alone, with commas between: `refused,held`.
    pub only: Option<String>,
    /// Only steps in which this text stands, whatever its case: in the statement, or in what was shown.
    pub find: Option<String>,
    /// With the bytes that the client got of rows and errors, in base64; masked where something was revealed to it.
    pub wire: bool,
}

/// A part of a recording.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Page {
    /// Who, on what, when; `began_us` is in microseconds since 1970.
    pub session: Value,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The first step behind these; none where there are no more now.
    pub next: Option<u64>,
    /// How many steps there are, as far as was read.
    pub known: u64,
    /// How it ended, if it has.
    pub ended: Option<Value>,
    /// When, in microseconds since it began.
    pub ended_us: Option<u64>,
    /// Whether the session goes on.
    pub live: bool,
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was allowed.
    Allowed,
    /// It was refused.
    Refused,
    /// It could not be understood.
    Unreadable,
    /// It waits for people.
    Held,
    /// A held operation has its answer.
    Answered,
    /// No operation: more rows of one that was allowed before.
    Fetched,
    /// No operation: what the target told by itself.
    Told,
    /// No operation: so much could not be recorded here.
    Lost,
}

impl Verdict {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::Held => "held",
            Self::Answered => "answered",
            Self::Fetched => "fetched",
            Self::Told => "told",
            Self::Lost => "lost",
        }
    }
}

/// One step.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Step {
    /// Its number in the recording, from 0.
    pub index: u64,
    /// The number of its decision, as in the journal; 0 where there is none.
    pub n: u64,
    /// Microseconds since the session began.
    pub at_us: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// What the record of the decision says: `phase`, `statement`, `text`, `effects`, `policies`, `reason` and others.
    #[serde(flatten)]
    pub said: Value,
    /// Rows returned or changed, once it has ended.
    pub rows: Option<u64>,
    /// From forwarding to its end.
    pub duration_us: Option<u64>,
    /// SQLSTATE, if it failed at the target.
    pub sqlstate: Option<String>,
    /// Whether nothing of it is still to come.
    pub done: bool,
    /// What it showed, as far as rows are wanted.
    pub results: Vec<Shown>,
    /// The bytes that the client got, in base64, where they are wanted; masked where something was revealed to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire: Option<String>,
}

impl Step {
    /// Whether a text in lower case stands in it.
    fn has(&self, text: &str) -> bool {
        let in_text = |t: &str| t.to_lowercase().contains(text);
        let in_shown = |shown: &Shown| {
            shown.columns.iter().any(|column| in_text(&column.name))
                || shown.rows.iter().flatten().flatten().any(|value| in_text(value))
                || shown.error.iter().chain(&shown.notices).any(|told| in_text(&told.message))
        };
        words(&self.said, &in_text) || self.results.iter().any(in_shown)
    }
}

/// Whether something is true of some text in a JSON value.
fn words(value: &Value, is: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is(text),
        Value::Array(items) => items.iter().any(|item| words(item, is)),
        Value::Object(fields) => fields.values().any(|field| words(field, is)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Where a step stands in the whole of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since the session began.
    pub at_us: u64,
    /// What became of it.
    pub verdict: Verdict,
}

/// Reads a page, and every step's moment with it: of a recording that nobody has read the whole is gone through.
pub(super) fn surveyed(
    directory: &Path,
    key: &Key,
    session: &str,
    wanted: &Wanted,
    surveys: &Surveys,
) -> Result<(Page, Vec<Moment>), ReadError> {
    surveys.with(session, |survey| {
        survey.go_on(directory, key, session, u64::MAX)?;
        let mut page = from(directory, key, session, wanted, survey.before(wanted.from))?;
        // The page may have been read to its own end alone.
        page.known = survey.place().index;
        (page.ended_us, page.ended) = survey.place().ended.clone().unzip();
        Ok((page, survey.moments().to_vec()))
    })
}

/// Reads a page. Steps are numbered from the beginning: what stands before the page is gone through once, and remembered.
pub(super) fn page(
    directory: &Path,
    key: &Key,
    session: &str,
    wanted: &Wanted,
    surveys: &Surveys,
) -> Result<Page, ReadError> {
    if wanted.from == 0 {
        return from(directory, key, session, wanted, Default::default());
    }
    let before = surveys.with(session, |survey| {
        survey.go_on(directory, key, session, wanted.from)?;
        Ok(survey.before(wanted.from))
    })?;
    from(directory, key, session, wanted, before)
}

pub(super) fn from(
    directory: &Path,
    key: &Key,
    session: &str,
    wanted: &Wanted,
    (cursor, place): (Cursor, Place),
) -> Result<Page, ReadError> {
    let mut reader = Reader::open(directory, key, session, cursor)?;
    let mut reading = Reading::at(wanted, place, None);
    while let Some(block) = reader.block()? {
        for event in Events::new(&block) {
            let event = event.map_err(|_| ReadError::Sealed(reader.cursor().block))?;
            reading.take(&event);
        }
        if reading.is_over() {
            break;
        }
    }
    Ok(reading.page())
}

/// A step of the page that is read.
struct Open {
    step: Step,
    replay: Option<Replay>,
    wire: Vec<u8>,
}

/// An operation whose answers may come.
#[derive(Clone, Copy, Default)]
struct Running {
    /// Where it stands in the page, if it is in it.
    place: Option<usize>,
    /// Its message may hold several statements, each of which ends by itself.
    is_query: bool,
    /// Whether its answer has come to its end, or to that of what is kept.
    is_whole: bool,
}

/// What is known between two blocks of a recording of all that stands before.
#[derive(Clone, Default)]
pub(super) struct Place {
    /// Steps begun so far.
    index: u64,
    /// Operations whose answers may come, by their numbers.
    running: HashMap<u64, Running>,
    session: Value,
    ended: Option<(u64, Value)>,
}

impl Place {
    /// How many steps have begun.
    pub(super) fn index(&self) -> u64 {
        self.index
    }
}

/// Turns events into steps.
pub(super) struct Reading<'a> {
    wanted: &'a Wanted,
    only: Vec<&'a str>,
    find: Option<String>,
    at: Place,
    steps: Vec<Open>,
    /// The first step that is not in the page since it is full.
    next: Option<u64>,
    shown: usize,
    /// Every step, where the whole is gone through.
    survey: Option<Vec<Moment>>,
}

impl<'a> Reading<'a> {
    /// Goes on from a place that was reached before.
    pub(super) fn at(wanted: &'a Wanted, at: Place, survey: Option<Vec<Moment>>) -> Self {
        Self {
            wanted,
            only: wanted
                .only
                .as_deref()
                .map(|only| only.split(',').map(str::trim).collect())
                .unwrap_or_default(),
            find: wanted.find.as_ref().map(|text| text.to_lowercase()),
            at,
            steps: Vec::new(),
            next: None,
            shown: 0,
            survey,
        }
    }

    /// Where it is now. Only between blocks of a survey, which keeps no steps, can another one go on from there.
    pub(super) fn place(&self) -> &Place {
        &self.at
    }

    /// What a survey has found.
    pub(super) fn into_survey(self) -> (Place, Vec<Moment>) {
        (self.at, self.survey.unwrap_or_default())
    }

    pub(super) fn take(&mut self, event: &Event<'_>) {
        let Event { at, n, what } = *event;
        match what {
            What::Began(words) => self.at.session = json(words),
            What::Allowed(words) => {
                let place = self.begin(at, n, Verdict::Allowed, || json(words), false);
                let is_query = words.starts_with(b"{\"phase\":\"query\"");
                self.at.running.insert(n, Running { place, is_query, is_whole: false });
            }
            What::Refused(words) => drop(self.begin(at, n, Verdict::Refused, || json(words), true)),
            What::Unreadable(words) => drop(self.begin(at, n, Verdict::Unreadable, || json(words), true)),
            What::Held(words) => drop(self.begin(at, n, Verdict::Held, || json(words), true)),
            What::Answered(words) => drop(self.begin(at, n, Verdict::Answered, || json(words), true)),
            What::Lost { events, bytes } => {
                let said = || serde_json::json!({ "events": events, "bytes": bytes });
                self.begin(at, n, Verdict::Lost, said, true);
            }
            What::Shape(bytes) => self.answer(event, bytes, false),
            What::Answer(bytes) => self.answer(event, bytes, shows(bytes)),
            What::Rest { .. } => self.answer(event, &[], true),
            What::Outcome { rows, duration, sqlstate } => {
                self.settle_before(n);
                let Some(running) = self.at.running.remove(&n) else { return };
                let Running { place, is_query, is_whole } = running;
                let done = is_whole || !is_query;
                if !done {
                    // Other statements of the same message may follow.
                    self.at.running.insert(n, running);
                }
                let Some(Open { step, .. }) = place.and_then(|place| self.steps.get_mut(place)) else {
                    return;
                };
                // Each statement of one message ends by itself.
                step.rows = Some(step.rows.unwrap_or_default().saturating_add(rows));
                step.duration_us = Some(duration);
                if !sqlstate.is_empty() {
                    step.sqlstate = Some(String::from_utf8_lossy(sqlstate).into_owned());
                }
                step.done = done;
            }
            What::Ended(words) => {
                for Open { step, .. } in &mut self.steps {
                    step.done = true;
                }
                self.at.ended = Some((at, json(words)));
            }
        }
    }

    /// Answers come in the order of operations: those before this one have had theirs.
    fn settle_before(&mut self, n: u64) {
        if n == 0 {
            return;
        }
        let steps = &mut self.steps;
        self.at.running.retain(|before, running| {
            let over = *before < n;
            if over && let Some(Open { step, .. }) = running.place.and_then(|place| steps.get_mut(place)) {
                step.done = true;
            }
            !over
        });
    }

    fn answer(&mut self, event: &Event<'_>, bytes: &[u8], shows: bool) {
        let Event { at, n, what } = *event;
        self.settle_before(n);
        let is_whole = matches!(what, What::Rest { .. }) || is_ready(bytes);
        let place = match self.at.running.get_mut(&n) {
            Some(running) => {
                running.is_whole |= is_whole;
                running.place
            }
            None if !shows => return,
            None if n == 0 => self.begin(at, n, Verdict::Told, || Value::Null, true),
            None => {
                let place = self.begin(at, n, Verdict::Fetched, || Value::Null, false);
                self.at.running.insert(n, Running { place, is_query: false, is_whole });
                place
            }
        };
        let Some(open) = place.and_then(|place| self.steps.get_mut(place)) else { return };
        if let Some(replay) = &mut open.replay {
            replay.take(&what);
        }
        if self.wanted.wire && matches!(what, What::Answer(_)) {
            open.wire.extend_from_slice(bytes);
        }
        open.step.done |= is_whole && open.step.rows.is_some();
        // What fails before it runs has no other end.
        open.step.done |= !open.step.done && fails(bytes);
        self.shown += bytes.len();
    }

    /// A step begins. Its place in the page, if it is in it.
    fn begin(
        &mut self,
        at: u64,
        n: u64,
        verdict: Verdict,
        said: impl FnOnce() -> Value,
        done: bool,
    ) -> Option<usize> {
        let index = self.at.index;
        self.at.index += 1;
        if let Some(survey) = &mut self.survey {
            survey.push(Moment { at_us: at, verdict });
        }
        let fits = self.only.is_empty() || self.only.contains(&verdict.word());
        if index < self.wanted.from || !fits || self.next.is_some() {
            return None;
        }
        let most = self.wanted.limit.unwrap_or(100).clamp(1, MOST_STEPS);
        if self.steps.len() >= most || self.shown > MOST_SHOWN {
            self.next = Some(index);
            return None;
        }
        let rows = self.wanted.rows.min(MOST_ROWS);
        let replay = if self.find.is_some() {
            Some(Replay::new(MOST_ROWS))
        } else {
            (rows > 0).then(|| Replay::new(rows))
        };
        let mut said = said();
        if said.is_null() {
            said = Value::Object(serde_json::Map::new());
        }
        let step = Step {
            index,
            n,
            at_us: at,
            verdict,
            // A statement that only gets a name has no answer but an error.
            done: done || said.get("phase").and_then(Value::as_str) == Some("parse"),
            said,
            rows: None,
            duration_us: None,
            sqlstate: None,
            results: Vec::new(),
            wire: None,
        };
        self.steps.push(Open { step, replay, wire: Vec::new() });
        Some(self.steps.len() - 1)
    }

    /// Whether the page is full and all of it is known.
    fn is_over(&self) -> bool {
        self.next.is_some() && self.steps.iter().all(|open| open.step.done)
    }

    fn page(self) -> Page {
        let Self { wanted, find, at, steps, next, .. } = self;
        let Place { index, running: _, session, ended } = at;
        let finish = |Open { mut step, replay, wire }: Open| {
            step.results = replay.map(Replay::shown).unwrap_or_default();
            let found = find.as_ref().is_none_or(|text| step.has(text));
            for shown in &mut step.results {
                let more = shown.rows.len().saturating_sub(wanted.rows);
                shown.rows.truncate(wanted.rows);
                shown.more += u64::try_from(more).unwrap_or(u64::MAX);
            }
            step.wire = wanted.wire.then(|| BASE64.encode(wire));
            found.then_some(step)
        };
        let (ended_us, ended) = ended.unzip();
        Page {
            session,
            steps: steps.into_iter().filter_map(finish).collect(),
            next,
            known: index,
            ended,
            ended_us,
            live: false,
        }
    }
}

fn json(words: &[u8]) -> Value {
    serde_json::from_slice(words).unwrap_or_default()
}
