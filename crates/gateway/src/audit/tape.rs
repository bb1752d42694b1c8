//! What a session's recording is told beside the bytes of answers: in the words of its records, with placeholders for values.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use journal::record::Fields;
use policy::{Denied, Grant, Question, Record};
use recording::event::What;
use recording::{Began, Mode, Recorder, Tape};
use serde_json::{Value, json};

use super::notes::cut;
use super::{DecisionId, Origin, Unwritten};
use crate::holds::{Answer, Ticket};
use crate::spine::{AuditableGarbled, Stop};

/// A session whose recording takes nothing more for so long ends.
const ROOM: Duration = Duration::from_secs(10);

/// Begins the recording of a session, unless policy wants none.
pub(super) fn begin(recorder: &Recorder, grant: &Grant, origin: &Origin) -> Result<Option<Tape>, Unwritten> {
    let mode = match grant.record() {
        Record::Off => return Ok(None),
        Record::BestEffort => Mode::BestEffort,
        Record::Required => Mode::Required,
    };
    let principal = grant.principal();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let words = json!({
        "session": origin.session,
        "principal": principal.id.to_string(),
        "on_behalf_of": principal.on_behalf_of.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "purpose": principal.purpose.as_deref().map(cut),
        "target": grant.target().to_string(),
        "address": origin.address.to_string(),
        "application": cut(&origin.application),
        "began_us": u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
        "record": grant.record().as_str(),
    });
    let words = words.to_string();
    match (recorder.begin(&Began { session: &origin.session, mode, words: words.as_bytes() }), mode) {
        (Ok(tape), _) => Ok(Some(tape)),
        (Err(down), Mode::BestEffort) => {
            tracing::error!(session = origin.session, "{down}: the session goes on without one");
            Ok(None)
        }
        (Err(down), Mode::Required) => {
            tracing::error!(session = origin.session, "{down}");
            Err(Unwritten::Recording)
        }
    }
}

/// Waits until the recording takes more.
pub(super) async fn room(tape: &Tape, session: &str) -> Result<(), Unwritten> {
    let down = match tokio::time::timeout(ROOM, tape.room()).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(down)) => down.to_string(),
        Err(_) => "the recording is not written in time".to_owned(),
    };
    tracing::error!(session, "{down}");
    Err(Unwritten::Recording)
}

pub(super) fn refused(tape: &mut Tape, decision: &DecisionId, phase: &str, denied: &Denied, fields: &Fields) {
    let words = json!({
        "phase": phase, "policies": denied.policies, "version": denied.version, "reason": cut(&denied.reason),
        "hint": denied.hint.as_deref().map(cut), "code": denied.code(),
    });
    tape.put(decision.n, What::Refused(&with(&words, fields)));
}

pub(super) fn unreadable<G: AuditableGarbled>(tape: &mut Tape, decision: &DecisionId, garbled: &G) {
    let words = json!({ "code": garbled.code(), "reason": cut(garbled.reason()) });
    tape.put(decision.n, What::Unreadable(words.to_string().as_bytes()));
}

pub(super) fn held<M>(
    tape: &mut Tape,
    decision: &DecisionId,
    phase: &str,
    question: &Question<M>,
    ticket: &Ticket,
    fields: &Fields,
) {
    let holds: Vec<&str> = question.holds().iter().map(|h| h.id.as_str()).collect();
    let words =
        json!({ "phase": phase, "request": ticket.id, "holds": holds, "version": question.version() });
    tape.put(decision.n, What::Held(&with(&words, fields)));
}

pub(super) fn answered(tape: &mut Tape, ticket: &Ticket, answer: &Answer, policies: &[String]) {
    let words = json!({ "request": ticket.id, "answer": answer.word(), "policies": policies });
    tape.put(0, What::Answered(words.to_string().as_bytes()));
}

pub(super) fn end(tape: &mut Tape, stop: &Stop, operations: u64, refusals: u64, rows: u64) {
    let words = json!({
        "why": cut(&stop.to_string()), "operations": operations, "refusals": refusals, "rows": rows,
    });
    tape.end(words.to_string().as_bytes());
}

/// An object of words and of fields that are written as JSON already.
fn with(words: &Value, fields: &Fields) -> Vec<u8> {
    let mut all = words.to_string().into_bytes();
    all.pop();
    all.push(b',');
    all.extend_from_slice(fields.as_bytes());
    all.push(b'}');
    all
}
