//! One span, and how its ids come from ours: whoever has a session's or a decision's id from a log or the journal has the
//! trace's, and none is kept anywhere.

use std::borrow::Cow;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;

use crate::audit::DecisionId;

/// What a trace and its first span are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
}

impl Ids {
    /// Of a session.
    pub(super) fn of_session(session: &str) -> Self {
        Self::of("session", session)
    }

    /// Of an operation, which has a trace of its own: a session may run very many, and live for hours.
    pub(super) fn of_operation(decision: &DecisionId) -> Self {
        Self::of("operation", &decision.to_string())
    }

    /// The first bytes of a hash, which are never all zero but by a chance of 2^-64: such ids would be none.
    fn of(what: &str, id: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, format!("durward {what} {id}").as_bytes());
        let mut ids = Self { trace: [0; 16], span: [0; 8] };
        let (trace, rest) = hash.as_ref().split_at(ids.trace.len());
        ids.trace.copy_from_slice(trace);
        ids.span.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        ids
    }

    /// The next span of the same trace.
    pub(super) fn nth(self, n: u64) -> Self {
        Self { span: u64::from_be_bytes(self.span).wrapping_add(n).to_be_bytes(), ..self }
    }
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    List(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A span that is over.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) ids: Ids,
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: Cow<'static, str>,
    /// Whether a client waits for it: the whole of a session or an operation.
    pub(super) serves: bool,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// What it belongs to in another trace.
    pub(super) link: Option<Ids>,
    /// Why it failed, in a word.
    pub(super) failed: Option<String>,
}

/// What the clock on the wall says of moments. Taken when spans leave, so that they are right for a clock that is set anew.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    instant: Instant,
    since_1970: u128,
}

impl Clock {
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), since_1970: since.as_nanos() }
    }

    /// Nanoseconds since 1970.
    pub(super) fn nanoseconds(self, moment: Instant) -> u128 {
        let ago = self.instant.saturating_duration_since(moment).as_nanos();
        self.since_1970.saturating_sub(ago)
    }
}
