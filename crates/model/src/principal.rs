//! Who acts.

use std::fmt;

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
}
