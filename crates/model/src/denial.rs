//! Access that is denied whatever policies say: kept by the gateway, beside what issuers say of their tokens.

use std::fmt;

use crate::{PrincipalRef, Tag, TargetName};

/// Which targets are frozen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// All of them.
    All,
    /// One.
    Target(TargetName),
    /// Those with a tag.
    Tag(Tag),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Target(name) => write!(f, "target:{name}"),
            Self::Tag(tag) => write!(f, "tag:{tag}"),
        }
    }
}

/// Which sessions end, once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Which {
    /// One, by its id.
    Session(String),
    /// Those of a principal, and of whoever acts for it.
    Of(PrincipalRef),
    /// Those on a target.
    On(TargetName),
}

/// Whom or what a denial is about.
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
    /// Sessions that began before it. What begins later is not concerned.
    Sessions(Which),
    /// Nothing changes on these targets, whoever asks and whoever approved.
    Frozen {
        /// Which.
        scope: Scope,
        /// Whether nothing is read there either.
        reads: bool,
    },
}

impl Subject {
    /// The word for its kind, in the store and on the command line.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Principal(_) => "principal",
            Self::Token(_) => "token",
            Self::Group { .. } => "group",
            Self::Issuer(_) => "issuer",
            Self::Sessions(Which::Session(_)) => "session",
            Self::Sessions(Which::Of(_)) => "sessions-of",
            Self::Sessions(Which::On(_)) => "sessions-on",
            Self::Frozen { reads: false, .. } => "frozen",
            Self::Frozen { reads: true, .. } => "frozen-wholly",
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
            Self::Sessions(Which::Session(id)) => write!(f, "session {id}"),
            Self::Sessions(Which::Of(principal)) => write!(f, "sessions of {principal}"),
            Self::Sessions(Which::On(target)) => write!(f, "sessions on {target}"),
            Self::Frozen { scope, reads: false } => write!(f, "writes on {scope}"),
            Self::Frozen { scope, reads: true } => write!(f, "everything on {scope}"),
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
