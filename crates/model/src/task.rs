//! A held statement whose client asks about it later.

use crate::TargetName;

/// Where such a statement stands. What it says and what came of it are kept beside, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What its client calls it; nobody can guess it.
    pub id: String,
    /// Who may ask about it: a principal and for whom it acts.
    pub owner: String,
    /// Where the statement runs.
    pub target: TargetName,
    /// The request that it waits for.
    pub request: String,
    /// Whether its client's person is still to be led to the request's page.
    pub asks: bool,
    /// How far it is.
    pub state: TaskState,
    /// In seconds since 1970.
    pub made: i64,
    /// When its state became what it is, in seconds since 1970.
    pub changed: i64,
    /// Until when it is kept, in seconds since 1970.
    pub until: i64,
}

/// How far such a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// Its request has no answer.
    Waits,
    /// One gateway runs it.
    Runs,
    /// What came of it is known.
    Done,
    /// It was taken back.
    Cancelled,
}

impl TaskState {
    /// As it is kept.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::Runs => "runs",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Waits, Self::Runs, Self::Done, Self::Cancelled].into_iter().find(|s| s.as_str() == name)
    }

    /// Whether nothing comes behind it.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }

    /// Whether what is in another state can come to this one.
    pub fn comes_from(self, from: Self) -> bool {
        match self {
            Self::Waits => false,
            Self::Runs => from == Self::Waits,
            Self::Done | Self::Cancelled => !from.is_over(),
        }
    }
}
