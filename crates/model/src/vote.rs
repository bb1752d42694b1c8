//! Who answers held operations, and how.

use serde::{Deserialize, Serialize};

use crate::{Access, BY_SLACK, Status};

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
    /// How they showed that they were there and meant this: `passkey …`, `sign-in …`, `secret`.
    #[serde(default)]
    pub proof: Option<String>,
    /// How many rows they let it change at most; the request's own ceiling where they did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u64>,
    /// What they give, of a request for access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// By what names they were known when they answered.
    #[serde(default, skip_serializing)]
    pub names: Vec<KnownAs>,
    /// When, in seconds since 1970; not known of what was answered before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
}

impl Vote {
    /// Whether it was given in Slack.
    pub fn is_by_slack(&self) -> bool {
        self.proof.as_ref().is_some_and(|how| how.starts_with(BY_SLACK))
    }
}

/// A person's name in its parts, in small letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAs {
    /// Of the issuer whose word it is; empty where it is the gateway's own.
    pub prefix: String,
    /// What follows it.
    pub name: String,
}

/// What makes somebody one who answers. Where it is gone when their answer is counted, that counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backing {
    /// An approver, by their id.
    Approver(String),
    /// Somebody who was invited, by their name.
    Member(String),
    /// A visit to the console, by its mark.
    Visit(String),
    /// That nobody of this name is denied.
    Welcome(String),
}

/// How an answer was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It counts; where the request stands now.
    Now(Status),
    /// The request was not open any more.
    TooLate(Status),
    /// Whoever answers was removed or denied meanwhile, or their visit is over.
    Nobody,
}

/// What came of taking a request back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBack {
    /// It was open, and stands so now: withdrawn, or rescinded where it was approved.
    Now(Status),
    /// It was not open any more.
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
    /// What they are called at issuers, as `user:corp/alice`.
    #[serde(default)]
    pub names: Vec<String>,
    /// Since when, in seconds since 1970.
    pub added: i64,
}
