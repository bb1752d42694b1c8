//! What is recorded. Field names are those of the journal's lines.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Names one decision, in the journal and to the client: the session, and how many decisions of it came before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct DecisionId {
    /// The session's id.
    pub session: Arc<str>,
    /// From 1.
    pub n: u64,
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session, self.n)
    }
}

impl Serialize for DecisionId {
    /// As it is displayed, without the detour over a formatter: each statement has two of them.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = [0; 20];
        let (mut rest, mut first) = (self.n, digits.len());
        while let Some((last, before)) = digits.get_mut(..first).and_then(<[u8]>::split_last_mut) {
            *last = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            (rest, first) = (rest / 10, before.len());
            if rest == 0 {
                break;
            }
        }
        let number = std::str::from_utf8(digits.get(first..).unwrap_or_default()).unwrap_or_default();
        let mut text = String::with_capacity(self.session.len() + 1 + number.len());
        text.push_str(&self.session);
        text.push('.');
        text.push_str(number);
        serializer.serialize_str(&text)
    }
}

/// A value that only who has the session's key can check, as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitment(pub [u8; 16]);

impl Serialize for Commitment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut hex = [0; 32];
        // There is room for it, and hexadecimal digits are text.
        let _ = hex::encode_to_slice(self.0, &mut hex);
        serializer.serialize_str(std::str::from_utf8(&hex).unwrap_or_default())
    }
}

/// Fields that stand in many records: they are written as JSON once.
#[derive(Debug)]
pub struct Fields(String);

impl Fields {
    /// Of an operation: what it is called, its text with placeholders, its effects as lines.
    pub fn operation(statement: &str, text: &str, effects: &[String]) -> Self {
        #[derive(Serialize)]
        struct Operation<'a> {
            statement: &'a str,
            text: &'a str,
            effects: &'a [String],
        }
        Self::of(&Operation { statement, text, effects })
    }

    /// Of a permit: the policies that decided and their version, columns shown clear, hold rules that an approval met.
    pub fn permit(policies: &[String], version: &str, revealed: &[String], approved: &[String]) -> Self {
        #[derive(Serialize)]
        struct Permit<'a> {
            policies: &'a [String],
            version: &'a str,
            revealed: &'a [String],
            approved: &'a [String],
        }
        Self::of(&Permit { policies, version, revealed, approved })
    }

    fn of<T: Serialize>(fields: &T) -> Self {
        // Texts and lists of texts can always be written; the braces go.
        let written = serde_json::to_string(fields).unwrap_or_default();
        let inside = written.strip_prefix('{').and_then(|w| w.strip_suffix('}'));
        Self(inside.unwrap_or("\"statement\":null").to_owned())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// An issuer's word about one of those in a session's chain.
#[derive(Debug, Clone, Serialize)]
pub struct Word {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// What it calls whom it speaks of.
    pub subject: String,
    /// When it said so, in seconds since 1970.
    pub at: i64,
}

/// One record, without its place in the journal.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the fields are named as in the journal's lines, which the variants document"
)]
pub enum Body<'a> {
    /// The gateway has started.
    Started { version: String },
    /// The end of a segment was torn by a crash; its bytes were put aside.
    Recovered { segment: String, bytes: u64 },
    /// The journal can be written again: between the record before it and this one it could not, so nothing was forwarded.
    Resumed { after: String },
    /// A client was not let in.
    LoginRefused {
        address: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<String>,
        reason: String,
    },
    /// An emergency code is used up: its session opens behind this record.
    BreakGlass { code: String, principal: String, target: String, address: String, until: i64 },
    /// A session begins.
    Opened {
        principal: String,
        groups: Vec<String>,
        on_behalf_of: Vec<String>,
        /// Whose word the principal is, and since when.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        asserted: Vec<Word>,
        #[serde(skip_serializing_if = "Option::is_none")]
        purpose: Option<String>,
        target: String,
        address: String,
        application: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<String>,
        version: String,
    },
    /// An operation may go on; it is forwarded behind this record. With the fields of its operation and its permit.
    Allowed { decision: &'a DecisionId, phase: &'static str, values: &'a [Commitment] },
    /// An operation was refused. With its fields.
    Refused {
        decision: &'a DecisionId,
        phase: &'static str,
        values: &'a [Commitment],
        policies: &'a [String],
        version: &'a str,
        reason: &'a str,
        code: &'a str,
    },
    /// What could not be understood was refused.
    Unreadable { decision: &'a DecisionId, code: &'a str, reason: &'a str },
    /// An operation waits for people. With its fields.
    Held {
        decision: &'a DecisionId,
        request: &'a str,
        phase: &'static str,
        values: &'a [Commitment],
        holds: Vec<&'a str>,
        version: &'a str,
    },
    /// A held operation has its answer.
    Answered { request: String, answer: String, policies: Vec<String> },
    /// An operation has ended at the target.
    Outcome {
        decision: &'a DecisionId,
        rows: u64,
        duration_us: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        sqlstate: Option<&'a str>,
    },
    /// A statement of the gateway's own.
    Gateway { target: String, purpose: String },
    /// A session was ended from outside.
    Killed { why: String },
    /// Configuration, tokens or requests were changed.
    Administered { who: String, what: String, detail: String },
    /// A session has ended; nothing of it follows.
    Closed { why: String, operations: u64, refusals: u64, rows: u64 },
}
