//! Where a request stands, and what becomes of it.

use serde::{Deserialize, Serialize};

/// Where a request stands. Pending → approved, denied, expired, withdrawn or superseded; approved → claimed, lapsed, rescinded or
/// superseded; claimed → done, failed, superseded or with an outcome that nobody
/// knows. A use of a standing grant is claimed from the first moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has answered, or not enough have.
    Pending,
    /// Approved, and not used yet.
    Approved,
    /// Somebody said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// The client has taken it back.
    Withdrawn,
    /// Approved, and used by a session; what comes of it is not known yet.
    Claimed,
    /// Approved, and not used in time.
    Lapsed,
    /// Approved, and taken back by somebody who may answer it.
    Rescinded,
    /// Never run: what it touches or the policy that asks was altered, so that it is asked for anew; or it was used, and the policy
    /// then in force refused it or asked for more.
    Superseded,
    /// Used, and run.
    Done,
    /// Used, and the target said no.
    Failed,
    /// Used, and the gateway or the session ended before the target had answered.
    OutcomeUnknown,
}

impl Status {
    /// All there are.
    pub const ALL: [Self; 12] = [
        Self::Pending,
        Self::Approved,
        Self::Denied,
        Self::Expired,
        Self::Withdrawn,
        Self::Claimed,
        Self::Lapsed,
        Self::Rescinded,
        Self::Superseded,
        Self::Done,
        Self::Failed,
        Self::OutcomeUnknown,
    ];

    /// The word for people and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Claimed => "claimed",
            Self::Lapsed => "lapsed",
            Self::Rescinded => "rescinded",
            Self::Superseded => "superseded",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }

    /// Whether it can still be answered or used.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Approved)
    }

    /// What time makes of it when its time is over.
    #[must_use]
    pub fn overdue(self) -> Self {
        match self {
            Self::Pending => Self::Expired,
            Self::Approved => Self::Lapsed,
            Self::Denied
            | Self::Expired
            | Self::Withdrawn
            | Self::Claimed
            | Self::Lapsed
            | Self::Rescinded
            | Self::Superseded
            | Self::Done
            | Self::Failed
            | Self::OutcomeUnknown => self,
        }
    }
}

impl Status {
    /// What had happened to an open request, for whoever is told what changed since.
    pub fn since(self) -> &'static str {
        if self == Self::Approved { "approved" } else { "asked for" }
    }
}

/// What became of an approval that was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// Done, failed, superseded or with an unknown outcome.
    pub status: Status,
    /// The same in words.
    pub words: String,
}

impl Finish {
    /// It ran, and so many rows were concerned.
    pub fn done(rows: u64) -> Self {
        Self { status: Status::Done, words: format!("done, rows: {rows}") }
    }

    /// The target said no.
    pub fn failed(sqlstate: &str) -> Self {
        Self { status: Status::Failed, words: format!("failed with SQLSTATE {sqlstate}") }
    }

    /// It changed more rows than were approved, and was taken back.
    pub fn stopped(rows: u64, most: u64) -> Self {
        let words = format!(
            "stopped at its ceiling and taken back: it changed {rows} rows, and {most} were approved"
        );
        Self { status: Status::Failed, words }
    }

    /// It did something else than was seen beforehand, and was taken back.
    pub fn differed(how: &str) -> Self {
        Self {
            status: Status::Failed,
            words: format!("taken back: its effect was another than was seen: {how}"),
        }
    }

    /// It did not run, by the policy of that moment.
    pub fn superseded(why: &str) -> Self {
        Self { status: Status::Superseded, words: why.to_owned() }
    }

    /// Nobody knows whether it ran.
    pub fn unknown(why: &str) -> Self {
        Self { status: Status::OutcomeUnknown, words: why.to_owned() }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
