//! The record of one session. An operation is written here before it leaves, a refusal before it is told.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use journal::{Journal, SessionLog, record};
use masking::Masked;
use model::{Action, ColumnName, Inspect};
use policy::{Denied, Grant, Pass, Question};

use crate::holds::{Answer, Ticket};
use crate::protocols::postgres::{Chunk, Operation, Request, RequestKind};
use crate::spine::{Auditable, AuditableGarbled, Stop};

/// Where a client comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The session's id.
    pub session: String,
    /// The client's address.
    pub address: SocketAddr,
    /// What it calls itself.
    pub application: String,
    /// The TLS version, if the connection has one.
    pub tls: Option<String>,
}

/// Names one decision, in the journal and to the client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecisionId(Arc<str>);

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How an operation ended at the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The decision that let it pass.
    pub decision: DecisionId,
    /// Rows returned or changed.
    pub rows: u64,
    /// From forwarding to its end.
    pub duration: Duration,
    /// SQLSTATE, if it failed.
    pub sqlstate: Option<String>,
}

/// What the journal keeps of a statement: placeholders for its literals, commitments for their values.
#[derive(Debug)]
pub struct StatementNote {
    /// In which message it came.
    pub phase: &'static str,
    /// `select`, `update`, …
    pub kind: String,
    /// With placeholders.
    pub text: String,
    /// The values, in order.
    pub values: Vec<ValueNote>,
}

/// A value, on its way to its commitment. It is never printed.
pub struct ValueNote(pub Option<Vec<u8>>);

impl fmt::Debug for ValueNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValueNote")
    }
}

/// The journal cannot be written.
#[derive(Debug)]
pub struct JournalDown;

/// An operation that is allowed *and* on record. Only [`Audit::allowed`] makes one.
///
/// ```compile_fail
/// let forged = gateway::audit::Cleared { message: "DROP TABLE t" };
/// ```
#[must_use]
pub struct Cleared<M> {
    message: M,
    reveal: BTreeSet<ColumnName>,
    decision: DecisionId,
}

impl Cleared<Request> {
    /// What is forwarded: the message's kind, what it means, what it may show, and the decision. The bytes come with it.
    pub fn into_parts(self) -> (Request, BTreeSet<ColumnName>, DecisionId) {
        (self.message, self.reveal, self.decision)
    }
}

/// A response that is on record and may now be shown. Only [`Audit::record`] makes one.
///
/// ```compile_fail
/// let forged = gateway::audit::Recorded("secret");
/// ```
#[must_use]
pub struct Recorded<T>(T);

impl<T> Recorded<T> {
    /// What is delivered.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// A refusal that is on record, in the words that the client gets of it.
#[derive(Debug)]
pub struct Noted(Option<DecisionId>);

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(id) => write!(f, "Decision {id}."),
            None => f.write_str("This refusal could not be written to the journal."),
        }
    }
}

/// The record of one session.
pub struct Audit {
    log: SessionLog,
    journal: Journal,
    session: String,
    salt: [u8; 16],
    decisions: AtomicU64,
    operations: u64,
    refusals: u64,
    rows: u64,
}
