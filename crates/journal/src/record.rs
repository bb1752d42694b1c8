//! What is recorded. Field names are those of the journal's lines.

use serde::Serialize;

/// One record, without its place in the journal.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the fields are named as in the journal's lines, which the variants document"
)]
pub enum Body {
    /// The gateway has started.
    Started { version: String },
    /// The end of a segment was torn by a crash; its bytes were put aside.
    Recovered { segment: String, bytes: u64 },
    /// A client was not let in.
    LoginRefused {
        address: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<String>,
        reason: String,
    },
    /// A session begins.
    Opened {
        principal: String,
        groups: Vec<String>,
        on_behalf_of: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        purpose: Option<String>,
        target: String,
        address: String,
        application: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<String>,
        version: String,
    },
    /// An operation may go on; it is forwarded behind this record.
    Allowed {
        decision: String,
        phase: String,
        statement: String,
        text: String,
        values: Vec<String>,
        effects: Vec<String>,
        policies: Vec<String>,
        version: String,
        revealed: Vec<String>,
        approved: Vec<String>,
    },
    /// An operation was refused.
    Refused {
        decision: String,
        phase: String,
        statement: String,
        text: String,
        values: Vec<String>,
        effects: Vec<String>,
        policies: Vec<String>,
        version: String,
        reason: String,
        code: String,
    },
    /// What could not be understood was refused.
    Unreadable { decision: String, code: String, reason: String },
    /// An operation waits for people.
    Held {
        decision: String,
        request: String,
        phase: String,
        statement: String,
        text: String,
        values: Vec<String>,
        effects: Vec<String>,
        holds: Vec<String>,
        version: String,
    },
    /// A held operation has its answer.
    Answered { request: String, answer: String, policies: Vec<String> },
    /// An operation has ended at the target.
    Outcome {
        decision: String,
        rows: u64,
        duration_us: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        sqlstate: Option<String>,
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
