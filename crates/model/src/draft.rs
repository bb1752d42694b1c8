//! A change of what is configured that waits for a second person.

/// Where such a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DraftStatus {
    /// It waits.
    Open,
    /// Somebody else has confirmed it.
    Confirmed,
    /// Somebody else has turned it down.
    Refused,
    /// Its author has taken it back.
    Withdrawn,
    /// Nobody has answered in time.
    Expired,
}

impl DraftStatus {
    /// All there are.
    pub const ALL: &'static [Self] =
        &[Self::Open, Self::Confirmed, Self::Refused, Self::Withdrawn, Self::Expired];

    /// The word for rows and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Confirmed => "confirmed",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    /// What a word means.
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.as_str() == word)
    }
}

/// A change that waits, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its id.
    pub id: String,
    /// Who wants it, as a principal.
    pub author: String,
    /// What is wanted, as it travels; a password is no part of it.
    pub body: String,
    /// Names exactly this change.
    pub digest: String,
    /// Where it stands.
    pub status: DraftStatus,
    /// In seconds since 1970.
    pub filed: i64,
    /// Until when it waits, in seconds since 1970.
    pub expires: i64,
    /// Who ended it.
    pub decided_by: Option<String>,
}
