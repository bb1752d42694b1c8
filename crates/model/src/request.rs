//! Held operations: policies name the rules, the gateway files and waits, the store keeps, people answer.

use serde::{Deserialize, Serialize};

use crate::TargetName;

/// One rule that holds an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRule {
    /// The policy's id.
    pub id: String,
    /// Groups whose members may answer.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// How many of them must approve.
    pub quorum: u32,
    /// How long the question stands, in seconds (`@expires`, default 15 minutes).
    pub expires: u64,
    /// How long an approval may wait to be used, in seconds (`@valid_for`, default 15 minutes).
    pub valid_for: u64,
    /// `@reason`
    #[serde(default)]
    pub reason: Option<String>,
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
    /// The rules that hold it, every one of which must be met.
    pub holds: Vec<HoldRule>,
    /// The version of the policies.
    pub version: String,
}

/// How filing went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filed {
    /// It is new; its id.
    Now(String),
    /// It waits or was approved already; its id.
    Before(String),
    /// Its principal has too many that wait.
    TooMany,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

impl Status {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Approved, Self::Denied, Self::Expired, Self::Withdrawn, Self::Used];

    /// The word for people and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Used => "used",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a request stands, for whoever waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The word.
    pub status: Status,
    /// What was said by whoever denied it.
    pub words: Option<String>,
}

/// A held operation as it is kept, and as an approver sees it.
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
    pub target: TargetName,
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
    /// The rules that hold it.
    pub holds: Vec<HoldRule>,
    /// When it was filed, in seconds since 1970.
    pub filed: i64,
    /// Until when it can be answered or used, in seconds since 1970.
    pub expires: i64,
    /// Who has answered, and how.
    pub votes: Vec<Vote>,
    /// What became of it.
    pub outcome: Option<String>,
}

/// One person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who: `user:alice`.
    pub voter: String,
    /// The voter's groups when they answered.
    pub groups: Vec<String>,
    /// Yes or no.
    pub approve: bool,
    /// What they said.
    pub words: Option<String>,
}

/// How an answer was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It counts; where the request stands now.
    Now(Status),
    /// The request was not open any more.
    TooLate(Status),
}

/// Somebody who may answer held operations. What proves that it is them is not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    /// Changes when the same name is given again.
    pub id: String,
    /// A person's name.
    pub name: String,
    /// For which groups they answer.
    pub groups: Vec<String>,
    /// Since when, in seconds since 1970.
    pub added: i64,
}
