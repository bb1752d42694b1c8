//! The gateway's state in its own words: what it asks of whatever keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use model::{Principal, TargetName};
use policy::HoldRule;
use serde::Serialize;
use wire::postgres::scram::ScramVerifier;
use zeroize::Zeroizing;

use crate::configure::Configuration;

/// The store cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StateError(
    /// In words for the log.
    pub String,
);

/// A token as it is kept.
#[derive(Debug, Clone)]
pub struct StoredToken {
    /// `dwt_…`.
    pub id: String,
    /// What is kept instead of it.
    pub verifier: ScramVerifier,
    /// Whom it is for.
    pub principal: Principal,
    /// The targets that it is good for; `None` for all.
    pub targets: Option<BTreeSet<TargetName>>,
    /// In seconds since 1970.
    pub issued: i64,
    /// In seconds since 1970.
    pub expires: i64,
    /// Whether it was.
    pub revoked: bool,
}

/// A held operation to be filed.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// Of everything that makes the operation this one.
    pub digest: String,
    /// Who asks.
    pub principal: String,
    /// For whom.
    pub on_behalf_of: Vec<String>,
    /// On which target.
    pub target: TargetName,
    /// In which session.
    pub session: String,
    /// What it asks, in a line.
    pub summary: String,
    /// `update`, …
    pub kind: String,
    /// The statement with placeholders.
    pub text: String,
    /// The values of the placeholders; sealed where they rest.
    pub values: Vec<Option<String>>,
    /// What it would do.
    pub effects: Vec<String>,
    /// The policies that hold it, with who may answer.
    pub holds: Vec<HoldRule>,
    /// The version of the policies.
    pub version: String,
}

/// How filing went.
pub enum Filed {
    /// It is new; its id.
    Now(String),
    /// It waits or was approved already; its id.
    Before(String),
    /// Its principal has too many that wait.
    TooMany,
}

/// What has been said of a request.
pub enum Voted {
    /// Nothing, or not enough.
    Waiting,
    /// It may run, once.
    Approved,
    /// No, with the words.
    Denied(Option<String>),
    /// Its time is over.
    Expired,
    /// The client took it back.
    Withdrawn,
    /// Its approval was used.
    Used,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nobody has answered, or not enough have.
    Waiting,
    /// Approved, and not used yet.
    Approved,
    /// Somebody said no.
    Denied,
    /// Its time is over.
    Expired,
    /// The client has taken it back.
    Withdrawn,
    /// Approved, and used.
    Used,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Used => "used",
        })
    }
}

/// A held operation, as an approver sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub status: Status,
    /// Who asks.
    pub principal: String,
    /// For whom.
    pub on_behalf_of: Vec<String>,
    /// On which target.
    pub target: String,
    /// In which session.
    pub session: String,
    /// What it asks, in a line.
    pub summary: String,
    /// The statement with placeholders.
    pub text: String,
    /// The values of the placeholders; only where one request is shown.
    pub values: Vec<Option<String>>,
    /// What it would do.
    pub effects: Vec<String>,
    /// The policies that hold it.
    pub holds: Vec<String>,
    /// When it was filed, in seconds since 1970.
    pub filed: i64,
    /// Until when it can be answered or used, in seconds since 1970.
    pub expires: i64,
    /// Who has answered, and how.
    pub votes: Vec<String>,
    /// What became of it.
    pub outcome: Option<String>,
}

/// How an answer was taken.
pub enum VoteOutcome {
    /// It counts; where the request stands now.
    Counted(Status),
    /// The request was not open any more.
    TooLate(Status),
}

/// Keys that are made once.
pub struct Keys {
    /// Makes verifiers for names that do not exist.
    pub verifiers: [u8; 32],
    /// Of masks that are keyed hashes.
    pub masks: [u8; 32],
    /// Of the values' commitments in the journal.
    pub commitments: [u8; 32],
}

/// What is on its way from the state.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StateError>> + Send + 'a>>;

/// What the gateway asks of whatever keeps its state. Values, literals and passwords are sealed where they rest.
pub trait Backend: Send + Sync {
    /// The keys, made when they are first asked for.
    fn keys(&self) -> Reply<'_, Keys>;
    /// Whether it answers.
    fn is_reachable(&self) -> Reply<'_, bool>;
    /// Whether this is the administrator's secret.
    fn is_administrator<'a>(&'a self, secret: &'a [u8]) -> Reply<'a, bool>;
    /// What is configured, without passwords.
    fn configuration(&self) -> Reply<'_, Configuration>;
    /// The targets' passwords, opened.
    fn credentials(&self) -> Reply<'_, BTreeMap<String, Zeroizing<Vec<u8>>>>;
    /// Replaces the configuration in one transaction. A target without a password keeps the one it has.
    fn replace<'a>(&'a self, wanted: &'a Configuration) -> Reply<'a, ()>;
    /// A token by its id.
    fn token<'a>(&'a self, id: &'a str) -> Reply<'a, Option<StoredToken>>;
    /// All tokens, newest first.
    fn tokens(&self) -> Reply<'_, Vec<StoredToken>>;
    /// Keeps a new token.
    fn add_token<'a>(&'a self, token: &'a StoredToken) -> Reply<'a, ()>;
    /// Revokes a token; whether there was one.
    fn revoke_token<'a>(&'a self, id: &'a str) -> Reply<'a, bool>;
    /// Which of these tokens are neither revoked nor expired.
    fn good_tokens<'a>(&'a self, ids: &'a BTreeSet<String>, now: i64) -> Reply<'a, BTreeSet<String>>;
    /// Files a request, unless one of the same digest waits or is approved and not used.
    fn file<'a>(&'a self, request: &'a NewRequest, most: usize) -> Reply<'a, Filed>;
    /// What has been said of a request.
    fn vote_of<'a>(&'a self, id: &'a str) -> Reply<'a, Voted>;
    /// Uses an approval up, once: the ids of the policies that it satisfies, or `None` where somebody was first.
    fn claim<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Vec<String>>>;
    /// Takes a request back that waits.
    fn withdraw<'a>(&'a self, id: &'a str) -> Reply<'a, ()>;
    /// Notes what became of an approved operation.
    fn finish<'a>(&'a self, id: &'a str, how: &'a str) -> Reply<'a, ()>;
    /// Requests, newest first; all, or those that wait.
    fn requests(&self, all: bool) -> Reply<'_, Vec<Request>>;
    /// One request with its values.
    fn request<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Request>>;
    /// Counts an answer. One no denies; a hold is met by its quorum of distinct voters.
    fn vote<'a>(
        &'a self,
        id: &'a str,
        by: &'a str,
        approve: bool,
        words: Option<&'a str>,
    ) -> Reply<'a, VoteOutcome>;
}

/// The gateway's state, shared by all that need it.
#[derive(Clone)]
pub struct State(Arc<dyn Backend>);

impl State {
    /// Over whatever keeps it.
    pub fn new(backend: impl Backend + 'static) -> Self {
        Self(Arc::new(backend))
    }
}

impl std::ops::Deref for State {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

#[cfg(test)]
mod tests;
