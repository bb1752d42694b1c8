//! What a session hears of what it asked, and what its client is told.

use std::sync::Arc;

use model::{Room, Status};
use policy::{Denied, Question};

use crate::freezes::FROZEN;

/// Waiting for an answer.
pub const PENDING: &str = "ZD001";
/// Somebody said no.
pub const DENIED: &str = "ZD002";
/// Nobody answered in time.
pub const EXPIRED: &str = "ZD003";
/// It was only asked for, and there is nothing to ask.
pub const UNASKED: &str = "ZD009";
/// The client took it back.
const CANCELLED: &str = "57014";

/// The answer to a held operation. Silence is a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Approved and claimed by this session.
    Approved(model::Claim),
    /// Somebody said no, with their words.
    Denied(Option<String>),
    /// Nobody answered while the session waited; the request stays open.
    Pending,
    /// The request's time is over.
    Expired,
    /// Whoever asked does not any more, and this became of the request.
    Withdrawn(Left),
    /// The target is frozen, for this reason; the request stays open.
    Frozen(Arc<str>),
    /// The target's objects were altered since it was asked, or the policies that ask: the operation has to be understood and
    /// decided again, and is asked for anew where it means something else, touches what was altered or is asked for otherwise.
    Moved,
}

/// What became of a request when a session that waited for it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It was withdrawn, or its approval was: nothing runs by it.
    TakenBack,
    /// It stands: another session waits for it.
    Shared,
    /// It had been approved, and that is used up without anything having been sent.
    Used,
    /// It was over, or used by another session.
    Over(Status),
    /// The store could not be asked.
    Unknown,
}

impl Left {
    /// The same for whoever left, and what they can do about it.
    fn told(self, request: &str) -> (String, Option<String>) {
        match self {
            Self::TakenBack => (format!("request {request} was withdrawn"), None),
            Self::Shared => (
                format!("request {request} stands, since another session waits for it"),
                Some(format!("To take it back for all: durward requests withdraw {request}")),
            ),
            Self::Used => (
                format!(
                    "request {request} was approved in that moment, and its approval is used up: the statement did not run"
                ),
                None,
            ),
            Self::Over(status) => {
                (format!("request {request} is {status}; this session's statement did not run"), None)
            }
            Self::Unknown => (
                format!("whether request {request} was withdrawn is not known; the statement did not run"),
                Some(format!("To take it back if it stands: durward requests withdraw {request}")),
            ),
        }
    }
}

impl Answer {
    /// The journal's word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Approved(_) => "approved",
            Self::Denied(_) => "denied",
            Self::Pending => "pending",
            Self::Expired => "expired",
            Self::Withdrawn(Left::TakenBack) => "withdrawn",
            Self::Withdrawn(Left::Shared | Left::Used | Left::Over(_) | Left::Unknown) => "left",
            Self::Frozen(_) => "frozen",
            Self::Moved => "moved",
        }
    }

    /// What the client is told where the answer is not an approval.
    pub(crate) fn refusal<M>(&self, question: &Question<M>, ticket: &str) -> Option<Denied> {
        let (code, reason, hint) = match self {
            Self::Approved(_) => return None,
            Self::Denied(words) => {
                let said = words.as_ref().map(|w| format!(": {w}")).unwrap_or_default();
                let hint = "The answer is final for this request; the same statement sent again asks anew.";
                (DENIED, format!("request {ticket} was denied{said}"), Some(hint.to_owned()))
            }
            Self::Pending => (
                PENDING,
                format!("request {ticket} has no answer yet; the statement did not run"),
                Some(format!(
                    "Once it is approved (durward requests approve {ticket}), send exactly the same statement with the \
                     same values again; it then runs once."
                )),
            ),
            Self::Expired => (
                EXPIRED,
                format!(
                    "request {ticket} has expired, or its approval was used or taken back; the statement did not run"
                ),
                Some("The same statement sent again asks anew.".to_owned()),
            ),
            Self::Withdrawn(left) => {
                let (became, hint) = left.told(ticket);
                (CANCELLED, format!("canceling statement due to user request; {became}"), hint)
            }
            Self::Frozen(why) => (
                FROZEN,
                format!("the target is frozen: {why}; the statement did not run"),
                Some(format!(
                    "Request {ticket} stands: once the target is thawed and the request approved, send exactly the same \
                     statement again."
                )),
            ),
            Self::Moved => (
                PENDING,
                format!(
                    "the target's objects or policies were altered since request {ticket} was asked for; the statement did not run"
                ),
                Some("Send exactly the same statement again.".to_owned()),
            ),
        };
        let policies = question.holds().iter().map(|h| h.id.clone()).collect();
        Some(Denied { code, reason, hint, policies, version: Arc::clone(question.version()) })
    }
}

/// The refusal of what its client cancelled before it was filed.
pub(crate) fn cancelled<M>(question: &Question<M>) -> Denied {
    Denied {
        hint: None,
        ..refused(question, CANCELLED, "canceling statement due to user request".to_owned(), "")
    }
}

/// There is no room for a request, and what would make some.
pub(crate) fn no_room_for<M>(
    question: &Question<M>,
    room: &Room,
    bytes: u64,
    taken: u64,
    all: bool,
) -> Denied {
    let mb = |bytes: u64| format!("{} MB", bytes.div_ceil(1_000_000));
    let (whose, most, limit) = if all {
        ("all requests", room.all, "requests_in_all")
    } else {
        ("your requests", room.one, "requests_of_one")
    };
    let reason = format!(
        "this statement needs an approval, and its request would take {}: {} of {} are taken by {whose}",
        mb(bytes),
        mb(taken),
        mb(most)
    );
    let hint = format!(
        "Send smaller values, or ask the gateway's operator to raise {limit} in [limits] or to keep requests for less long \
         (requests in [retention])."
    );
    refused(question, "53400", reason, &hint)
}

/// The refusal of what is only asked for and needs no answer.
pub(crate) fn nothing_to_ask(version: Arc<str>) -> Denied {
    Denied {
        code: UNASKED,
        reason: "policy allows it as it is: there is nobody to ask; it did not run".to_owned(),
        hint: Some("Send it.".to_owned()),
        policies: Vec::new(),
        version,
    }
}

pub(super) fn refused<M>(question: &Question<M>, code: &'static str, reason: String, hint: &str) -> Denied {
    Denied {
        code,
        reason,
        hint: Some(hint.to_owned()),
        policies: question.holds().iter().map(|h| h.id.clone()).collect(),
        version: Arc::clone(question.version()),
    }
}
