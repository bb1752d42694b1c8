//! Access that is denied whatever policies say: kept by the gateway, beside what issuers say of their tokens.

use std::fmt;

use crate::PrincipalRef;

/// Whom a denial is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A principal, and whoever acts for it.
    Principal(PrincipalRef),
    /// A token by its id, and those that were minted with it.
    Token(String),
    /// Whoever was in a group when they logged in, and whoever acts for them.
    Group {
        /// Whose group it is; any issuer's where none is named.
        issuer: Option<String>,
        /// The group.
        group: String,
    },
    /// Whoever came with a token of this issuer.
    Issuer(String),
}

impl Subject {
    /// The word for its kind, in the store and on the command line.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Principal(_) => "principal",
            Self::Token(_) => "token",
            Self::Group { .. } => "group",
            Self::Issuer(_) => "issuer",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(principal) => write!(f, "{principal}"),
            Self::Token(id) => write!(f, "token {id}"),
            Self::Group { issuer: None, group } => write!(f, "group {group}"),
            Self::Group { issuer: Some(issuer), group } => write!(f, "group {group} of {issuer}"),
            Self::Issuer(issuer) => write!(f, "issuer {issuer}"),
        }
    }
}

/// One denial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// What it is lifted by: `dwr_…`.
    pub id: String,
    /// Whom it is about.
    pub subject: Subject,
    /// Why, in words that those concerned are told.
    pub reason: String,
    /// Who denied.
    pub by: String,
    /// Since when, in seconds since 1970.
    pub since: i64,
    /// Until when, in seconds since 1970; until it is lifted where nothing is said.
    pub until: Option<i64>,
}

impl Denial {
    /// Whether it holds at a moment, in seconds since 1970.
    pub fn holds(&self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}
