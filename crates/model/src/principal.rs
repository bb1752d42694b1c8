//! Who acts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A person or a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A workload, such as a coding agent.
    Agent,
}

impl PrincipalKind {
    /// The word used in policies, the journal and the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
        }
    }
}

/// A principal by name alone: `agent:reporting-bot`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrincipalRef {
    /// A person or a workload.
    pub kind: PrincipalKind,
    /// Unique among principals of its kind.
    pub name: String,
}

impl fmt::Display for PrincipalRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.name)
    }
}

/// Who acts, with everything that a policy may ask about them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// Kind and name.
    pub id: PrincipalRef,
    /// The groups of the token at login.
    pub groups: Vec<String>,
    /// Those acted for, nearest first: an agent for a user, a sub-agent for an agent for a user.
    pub on_behalf_of: Vec<PrincipalRef>,
    /// What the token was issued for, in its issuer's words.
    pub purpose: Option<String>,
    /// Whose word all this is: the issuer of the principal's own token first, then those of whom it acts for. Nobody's where
    /// the gateway's administrator issued the token.
    pub asserted: Vec<Asserted>,
}

impl Principal {
    /// Everybody in it: the principal, then those it acts for, nearest first. The last is where it all began.
    pub fn chain(&self) -> impl DoubleEndedIterator<Item = &PrincipalRef> {
        std::iter::once(&self.id).chain(&self.on_behalf_of)
    }

    /// Who answers for what it does: where it all began. What may be had is counted by it, whatever agents a person runs.
    pub fn asker(&self) -> &PrincipalRef {
        self.on_behalf_of.last().unwrap_or(&self.id)
    }

    /// Since when the groups are known to be these, in seconds since 1970; `None` where no issuer said so.
    pub fn groups_at(&self) -> Option<i64> {
        self.asserted.first().map(|asserted| asserted.at)
    }
}

/// An issuer's word about one principal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Asserted {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// What the issuer calls the principal: `sub`.
    pub subject: String,
    /// When it said so (`iat`), in seconds since 1970: how old what it said of groups is.
    pub at: i64,
    /// The sign-in at the issuer that its word comes from (`sid`), where it says so.
    pub session: Option<String>,
    /// The groups that it said, of whoever is acted for, too: what is revoked by group is found here. Policies ask about the
    /// principal's own.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// Who may act for a token's principal (`may_act`, RFC 8693 §4.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MayAct {
    /// The actor's `iss`; the token's own issuer where nothing is said.
    pub issuer: Option<String>,
    /// The actor's `sub`.
    pub subject: String,
}
