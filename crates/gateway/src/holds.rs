//! Held operations: a question to people, filed once, and its answer.

use std::time::Duration;

/// A question that has been filed.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// The request's id.
    pub id: String,
    /// What it asks, in a line.
    pub summary: String,
    /// How to answer it, and how long there is.
    pub how: String,
    /// How long the session waits.
    pub patience: Duration,
}

/// The answer to a held operation. Silence is a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Approved and claimed by this session: the ids of the policies that are satisfied.
    Approved(Vec<String>),
    /// Somebody said no, with their words.
    Denied(Option<String>),
    /// Nobody answered while the session waited; the request stays open.
    Pending,
    /// The request's time is over.
    Expired,
    /// The client has cancelled.
    Withdrawn,
}
