//! One statement, and its answer by pages.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::errand::Errand;
use gateway::gateway::Calls;
use model::TargetName;
use serde_json::{Value, json};

use super::catalogue::{type_name, typed};
use super::{Called, Caller, Tools, optional, sendable, text};
use crate::answer::{Answer, Refusal, delimited};
use crate::client::{Bounds, Column, Outcome};
use crate::door::Told;
use crate::rpc::Object;
use crate::values::Given;

/// So many rows one answer shows, where the caller does not say.
pub(super) const ROWS: u32 = 100;
/// So many bytes of values one answer shows, and always a row: whoever reads pays for each. The rest waits for its cursor.
const SHOWN: usize = 64 * 1024;
/// And so many of one value.
const SHOWN_OF_ONE: usize = 16 * 1024;
/// So many values a statement takes.
const MOST_VALUES: usize = 1000;
/// What is not shown yet is kept so long.
const KEPT: Duration = Duration::from_secs(300);
/// For so many answers in all, and for so many of one principal.
const MOST_KEPT: usize = 256;
const MOST_OF_ONE: usize = 8;

/// What is read and not shown is at one gateway alone.
const NOTHING_THERE: &str = "nothing is at this cursor here: it was used, is older than 5 minutes, or another gateway has read the rows";

/// The way on where an answer is shown no more. Nobody knows any more whether it wrote, and a hint must not have it write twice.
pub(super) const AGAIN: &str = "What it did is done. Run it again if it only reads.";

/// What an operation is sent as.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) target: TargetName,
    pub(super) sql: String,
    /// As they were given: what is sent for them depends on the types that the statement has for them.
    pub(super) values: Vec<Given>,
    pub(super) rows: u32,
}

impl Statement {
    /// The one that arguments name.
    pub(super) fn of(arguments: &Object, rows: u32) -> Result<Self, Refusal> {
        Ok(Self {
            target: TargetName::new(text(arguments, "target")?),
            sql: text(arguments, "sql")?.to_owned(),
            values: values(arguments)?,
            rows,
        })
    }

    /// The bytes that it takes to keep it.
    pub(super) fn size(&self) -> usize {
        let values = self.values.iter().map(|value| value.size() + size_of::<Given>());
        self.sql.len().saturating_add(values.sum())
    }
}

/// What came of sending one.
pub(super) enum Sent {
    /// It ran.
    Ran(Page),
    /// It waits for an answer, and did not run.
    Waits(Waits),
}

/// A statement that waits for an answer.
pub(super) struct Waits {
    /// The request's id.
    pub(super) request: String,
    /// The same in words.
    pub(super) refusal: Refusal,
}

/// Rows that were fetched and not shown.
pub(super) struct Page {
    whose: String,
    target: TargetName,
    columns: Vec<Column>,
    masked: Vec<usize>,
    rows: Vec<Vec<Option<String>>>,
    more: bool,
    tag: Option<String>,
    /// What was in force when they were read.
    decided_by: u64,
    since: Instant,
}

/// Answers of which there is more, by their cursors.
#[derive(Default)]
pub(super) struct Pages(Mutex<HashMap<String, Page>>);

impl Pages {
    fn keep(&self, page: Page) -> Option<String> {
        let mut cursor = [0; 16];
        rand::fill(&mut cursor).ok()?;
        let cursor = URL_SAFE_NO_PAD.encode(cursor);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, page| page.since.elapsed() < KEPT);
        while all.len() >= MOST_KEPT || all.values().filter(|p| p.whose == page.whose).count() >= MOST_OF_ONE
        {
            let too_many = all.len() >= MOST_KEPT;
            let oldest = all.iter().filter(|(_, p)| too_many || p.whose == page.whose);
            let oldest = oldest.min_by_key(|(_, p)| p.since).map(|(cursor, _)| cursor.clone())?;
            all.remove(&oldest);
        }
        all.insert(cursor.clone(), page);
        Some(cursor)
    }

    /// What waits at a cursor for this caller, whose token must be for the target still.
    fn take(&self, cursor: &str, caller: &Caller) -> Option<Page> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, page| page.since.elapsed() < KEPT);
        let theirs = |page: &Page| page.whose == caller.name() && caller.admitted.is_for(&page.target);
        let is_theirs = all.get(cursor).is_some_and(theirs);
        if is_theirs { all.remove(cursor) } else { None }
    }
}

impl Tools {
    /// Runs a statement, or goes on with what one has answered. Where it is held and the client can wait by itself, that is what
    /// it is told to do.
    pub(super) async fn query(
        self: &Arc<Self>,
        caller: &Caller,
        arguments: &Object,
        told: &Told,
    ) -> Result<Called, Refusal> {
        let rows = self.rows(arguments)?;
        if let Some(cursor) = optional(arguments, "cursor")? {
            let again = AGAIN.to_owned();
            let page = self
                .pages
                .take(cursor, caller)
                .ok_or_else(|| Refusal::argument(NOTHING_THERE.to_owned()).hinting(again.clone()))?;
            // What it shows was decided and masked then.
            if page.decided_by != self.gateway.decides_by() {
                let why = "policies or targets have changed since these rows were read".to_owned();
                return Err(Refusal::of("55000", why, Some(again)));
            }
            return Ok(self.show(page, rows).into());
        }
        let statement = Statement::of(arguments, rows)?;
        if !self.can_wait(caller) {
            return Ok(self.run(caller, statement, told).await?.into());
        }
        match self.send(caller, &statement, Some(Errand::default()), told).await? {
            Sent::Ran(page) => Ok(self.show(page, rows).into()),
            Sent::Waits(waits) => self.waits(caller, arguments, statement, waits).await,
        }
    }

    /// How many rows are to be shown.
    pub(super) fn rows(&self, arguments: &Object) -> Result<u32, Refusal> {
        rows(arguments, self.gateway.limits().calls.rows)
    }

    /// Runs a statement on its principal's session. Where nobody answers while it waits, it is kept for whoever waits for it.
    pub(super) async fn run(
        &self,
        caller: &Caller,
        statement: Statement,
        told: &Told,
    ) -> Result<Answer, Refusal> {
        let shown = statement.rows;
        match self.send(caller, &statement, None, told).await? {
            Sent::Ran(page) => Ok(self.show(page, shown)),
            Sent::Waits(Waits { request, refusal }) => {
                Err(refusal.hinting(self.hold(caller, &request, statement)))
            }
        }
    }

    /// Sends a statement on its principal's session, for this errand.
    pub(super) async fn send(
        &self,
        caller: &Caller,
        statement: &Statement,
        errand: Option<Errand>,
        told: &Told,
    ) -> Result<Sent, Refusal> {
        let decided_by = self.gateway.decides_by();
        let mut lent = self.pool.lend(&caller.whose(), &statement.target).await?;
        let Calls { rows, bytes, .. } = self.gateway.limits().calls;
        let (mut request, mut why) = (None, None);
        let waits_here = errand.is_none();
        if let Some(errand) = errand {
            lent.client.sends_for(errand);
        }
        let outcome = lent
            .client
            .run(&statement.sql, &statement.values, Bounds { rows, bytes }, |waiting, said| {
                request = Some(waiting.request.clone());
                why.clone_from(&waiting.why);
                told.tell(&said.message);
                if waits_here {
                    told.waits(&waiting.request, self.gateway.link_to(&waiting.request));
                }
            })
            .await?;
        if outcome.ended.is_none() {
            self.pool.give_back(lent).await;
        }
        let Outcome { columns, masked, rows, more, tag, error, copies, own, policies, times, ended } =
            outcome;
        if copies && !own {
            let why = "COPY is not possible here".to_owned();
            return Err(Refusal::of("0A000", why, Some("Use SELECT or INSERT.".to_owned())));
        }
        if let Some(said) = error {
            let refusal = Refusal::said(&said, own).by(policies).of_request(request.clone());
            let refusal = refusal.again(times, ended.flatten().as_ref());
            let waiting = request.filter(|_| own && said.code == gateway::holds::PENDING);
            let Some(request) = waiting else { return Err(refusal) };
            let refusal = refusal.answered_at(self.gateway.link_to(&request)).since(why.as_deref());
            return Ok(Sent::Waits(Waits { request, refusal }));
        }
        let (whose, target, since) = (caller.name(), statement.target.clone(), Instant::now());
        Ok(Sent::Ran(Page { whose, target, columns, masked, rows, more, tag, decided_by, since }))
    }

    /// The first rows of a page; the rest waits for its cursor.
    pub(super) fn show(&self, page: Page, shown: u32) -> Answer {
        let Page { whose, target, columns, masked, mut rows, more, tag, decided_by, since: _ } = page;
        let shown = usize::try_from(shown).unwrap_or(usize::MAX).min(fitting(&rows));
        let rest = if rows.len() > shown { rows.split_off(shown) } else { Vec::new() };
        let left = rest.len();
        let cursor = if left == 0 {
            None
        } else {
            let rest = Page {
                whose,
                target,
                columns: columns.clone(),
                masked: masked.clone(),
                rows: rest,
                more,
                tag: tag.clone(),
                decided_by,
                since: Instant::now(),
            };
            self.pages.keep(rest)
        };
        let heads: Vec<Value> = columns
            .iter()
            .map(|column| json!({ "name": column.name, "type": type_name(column.type_oid) }))
            .collect();
        let mut shortened = BTreeSet::new();
        let values: Vec<Value> = rows
            .into_iter()
            .map(|row| {
                let cells = columns.iter().zip(row).enumerate().map(|(at, (column, mut value))| {
                    if cut(&mut value) {
                        shortened.insert(at);
                    }
                    typed(column.type_oid, value)
                });
                Value::Array(cells.collect())
            })
            .collect();
        let mut data = json!({ "columns": heads, "rows": values });
        let mut text = tag.clone().unwrap_or_default();
        let truncated = left == 0 && more;
        if let Some(object) = data.as_object_mut() {
            if let Some(tag) = tag {
                object.insert("tag".to_owned(), tag.into());
            }
            if let Some(cursor) = &cursor {
                object.insert("cursor".to_owned(), cursor.as_str().into());
            }
            if truncated {
                object.insert("truncated".to_owned(), true.into());
            }
        }
        if columns.is_empty() {
            if text.is_empty() {
                text = "There was no statement to run.".to_owned();
            }
            if let Some(note) = gone(&text) {
                text = format!("{text}. {note}");
                if let Some(object) = data.as_object_mut() {
                    object.insert("note".to_owned(), note.into());
                }
            }
            return Answer::new(text, data);
        }
        text = if values.len() == 1 { "1 row.".to_owned() } else { format!("{} rows.", values.len()) };
        if let Some(cursor) = &cursor {
            text.push_str(&format!(" {left} more: cursor {cursor}."));
        }
        if more {
            let Calls { rows: most, bytes, .. } = self.gateway.limits().calls;
            let place = if truncated { "Cut here" } else { "Cut behind these" };
            text.push_str(&format!(
                " {place}: there are more than {most} rows or {} KiB. Ask for less, or aggregate.",
                bytes.div_ceil(1024)
            ));
        }
        if !shortened.is_empty() {
            let numbers: Vec<String> = shortened.iter().map(|at| (at + 1).to_string()).collect();
            text.push_str(&format!(
                " Values of more than {} KiB are cut: column {}. substr() gives parts.",
                SHOWN_OF_ONE / 1024,
                numbers.join(", ")
            ));
            let names: Vec<&str> =
                shortened.iter().filter_map(|at| columns.get(*at)).map(|c| c.name.as_str()).collect();
            if let Some(object) = data.as_object_mut() {
                object.insert("cut".to_owned(), json!(names));
            }
        }
        let numbers = masked;
        let masked: Vec<&str> =
            numbers.iter().filter_map(|at| columns.get(*at)).map(|c| c.name.as_str()).collect();
        if !masked.is_empty() {
            // By their numbers: a column's name may be anything, and stands between the marks.
            let numbers: Vec<String> = numbers.iter().map(|at| (at + 1).to_string()).collect();
            text.push_str(&format!(" Masked: column {}.", numbers.join(", ")));
            if let Some(object) = data.as_object_mut() {
                object.insert("masked".to_owned(), json!(masked));
            }
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let mut lines = vec![json!(names).to_string()];
        lines.extend(values.iter().map(Value::to_string));
        text.push(' ');
        text.push_str(&delimited(&lines));
        Answer::new(text, data)
    }
}

/// How many of these rows fit into one answer.
fn fitting(rows: &[Vec<Option<String>>]) -> usize {
    let mut bytes = 0usize;
    let size = |row: &Vec<Option<String>>| -> usize {
        row.iter().flatten().map(|value| value.len().min(SHOWN_OF_ONE)).sum()
    };
    let fit = rows.iter().take_while(|row| {
        bytes = bytes.saturating_add(size(row));
        bytes <= SHOWN
    });
    fit.count().max(1)
}

/// Cuts what is too long of a value; whether it was.
fn cut(value: &mut Option<String>) -> bool {
    let Some(text) = value.as_mut().filter(|text| text.len() > SHOWN_OF_ONE) else { return false };
    let end = (0..=SHOWN_OF_ONE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    text.truncate(end);
    text.push('…');
    true
}

/// What nothing is left of, whatever the target says that it did. Whoever believes it goes on as if it were there.
fn gone(tag: &str) -> Option<&'static str> {
    match tag {
        "BEGIN" | "START TRANSACTION" => Some(
            "That transaction ended with this call: the next one stands alone, and stays. Several statements as one go by \
             submit_plan.",
        ),
        "COMMIT" | "ROLLBACK" => Some(
            "There was nothing to end: each call is a transaction of its own, and what came before stays.",
        ),
        "SET" | "RESET" | "PREPARE" | "DECLARE CURSOR" | "LISTEN" => {
            Some("It ended with this call: nothing of one is there for the next.")
        }
        _ => None,
    }
}

fn rows(arguments: &Object, most: u32) -> Result<u32, Refusal> {
    match arguments.get("rows") {
        None | Some(Value::Null) => Ok(ROWS.min(most)),
        Some(rows) => rows
            .as_u64()
            .and_then(|rows| u32::try_from(rows).ok())
            .filter(|rows| (1..=most).contains(rows))
            .ok_or_else(|| Refusal::argument(format!("rows is a number from 1 to {most}"))),
    }
}

/// The server says of which type each is by its place in the statement.
fn values(arguments: &Object) -> Result<Vec<Given>, Refusal> {
    match arguments.get("params") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() <= MOST_VALUES => {
            for (number, value) in (1..).zip(values) {
                whole(&format!("${number} in params"), value)?;
            }
            Ok(values.iter().map(Given::from).collect())
        }
        Some(_) => Err(Refusal::argument(format!("params is a list of at most {MOST_VALUES} values"))),
    }
}

/// What is sent of a value is all of it. In an object JSON writes a zero byte by its number, and the type that reads it judges it.
fn whole(name: &str, value: &Value) -> Result<(), Refusal> {
    match value {
        Value::String(text) => sendable(name, text).map(drop),
        Value::Array(parts) => parts.iter().try_for_each(|part| whole(name, part)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{SHOWN, SHOWN_OF_ONE, cut, fitting, gone, rows, values};

    #[test]
    fn an_answer_shows_what_fits_and_a_row_at_least() {
        let row = |size: usize| vec![Some("x".repeat(SHOWN_OF_ONE)); size];
        let most = SHOWN / SHOWN_OF_ONE;
        for (sizes, expected) in
            [(&[1, 1, 1][..], 3), (&[most, 1], 1), (&[most + 1, 1], 1), (&[most / 2, most / 2, 1], 2)]
        {
            let rows: Vec<_> = sizes.iter().map(|size| row(*size)).collect();
            assert_eq!(fitting(&rows), expected, "{sizes:?}");
        }
        let long = vec![Some("x".repeat(100 * SHOWN))];
        assert_eq!(fitting(&[long.clone(), long]), 2, "what is cut counts as what is left");
    }

    #[test]
    fn a_value_is_cut_between_its_signs() {
        for (text, expected) in [
            ("x".repeat(SHOWN_OF_ONE), None),
            ("x".repeat(SHOWN_OF_ONE + 1), Some(SHOWN_OF_ONE + 3)),
            (format!("x{}", "ä".repeat(SHOWN_OF_ONE)), Some(SHOWN_OF_ONE - 1 + 3)),
        ] {
            let mut value = Some(text.clone());
            assert_eq!(cut(&mut value), expected.is_some());
            assert_eq!(value.expect("a value").len(), expected.unwrap_or(text.len()));
        }
        assert!(!cut(&mut None));
    }

    #[test]
    fn what_seems_to_stay_and_does_not_is_said() {
        for (tag, said) in [
            ("BEGIN", true),
            ("ROLLBACK", true),
            ("SET", true),
            ("UPDATE 3", false),
            ("CREATE TABLE", false),
            ("", false),
        ] {
            assert_eq!(gone(tag).is_some(), said, "{tag}");
        }
    }

    #[test]
    fn rows_and_values_are_bounded() {
        let arguments = |value: serde_json::Value| value.as_object().cloned().expect("object");
        for (given, expected) in [
            (json!({}), Some(100)),
            (json!({"rows": 1}), Some(1)),
            (json!({"rows": 1000}), Some(1000)),
            (json!({"rows": 0}), None),
            (json!({"rows": 1001}), None),
            (json!({"rows": "5"}), None),
            (json!({"rows": -1}), None),
        ] {
            assert_eq!(rows(&arguments(given.clone()), 1000).ok(), expected, "{given}");
        }
        let given = arguments(json!({"params": [1, "a", null, true, {"a": [1]}]}));
        assert_eq!(values(&given).expect("values").len(), 5);
        assert!(values(&arguments(json!({"params": "a"}))).is_err());
        for (given, is_taken) in [
            (json!(["a", "b\0c"]), false),
            (json!(["a", ["b", ["c\0"]]]), false),
            (json!([["b", {"a": "\0"}]]), true),
            (json!([{"a": "\0"}]), true),
        ] {
            let taken = values(&arguments(json!({ "params": given })));
            assert_eq!(taken.is_ok(), is_taken, "{given}");
            if let Err(refusal) = taken {
                let data = crate::answer::Answer::from(refusal).into_result();
                assert_eq!(data["structuredContent"]["code"], "22021", "{given}");
            }
        }
    }
}
