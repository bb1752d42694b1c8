//! That an issuer's earlier word is worth nothing any more: those of whom it was have signed out there.

use std::fmt;

use crate::Asserted;

/// Whose sign-in ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SignedOut {
    /// One sign-in at an issuer, which it calls this: `sid`. No other is called so again.
    SignIn {
        /// The issuer.
        issuer: String,
        /// What it calls the sign-in.
        session: String,
    },
    /// Whoever an issuer said to be somebody before: what it says later is another sign-in.
    Account {
        /// The issuer.
        issuer: String,
        /// What it calls them: `sub`.
        subject: String,
    },
    /// The same, where the issuer did not say of which sign-in its word was.
    Unbound {
        /// The issuer.
        issuer: String,
        /// What it calls them: `sub`.
        subject: String,
    },
    /// Whatever any issuer said before a store was restored: who signed out since the backup is not known.
    All,
}

impl SignedOut {
    /// The word for its kind, in the store.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SignIn { .. } => "sign-in",
            Self::Account { .. } => "account",
            Self::Unbound { .. } => "unbound",
            Self::All => "all",
        }
    }

    /// Everything that an issuer's word could be ended by.
    pub fn of(word: &Asserted) -> impl Iterator<Item = Self> {
        let issuer = || word.issuer.clone();
        let bound = match &word.session {
            Some(session) => Self::SignIn { issuer: issuer(), session: session.clone() },
            None => Self::Unbound { issuer: issuer(), subject: word.subject.clone() },
        };
        [Self::All, Self::Account { issuer: issuer(), subject: word.subject.clone() }, bound].into_iter()
    }
}

impl fmt::Display for SignedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignIn { issuer, session } => write!(f, "sign-in {session} at {issuer}"),
            Self::Account { issuer, subject } => write!(f, "account {subject} at {issuer}"),
            Self::Unbound { issuer, subject } => {
                write!(f, "account {subject} at {issuer}: tokens of no named sign-in")
            }
            Self::All => f.write_str("everybody"),
        }
    }
}

/// One end of sign-ins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOut {
    /// Whose.
    pub of: SignedOut,
    /// What was said until then is worth nothing, by the clock of whoever says so, in seconds since 1970.
    pub since: i64,
    /// Nothing that was said before is good any longer than that, in seconds since 1970.
    pub until: i64,
}

impl SignOut {
    /// Why whoever comes by an earlier word is refused; they are told.
    pub fn reason(&self) -> String {
        match &self.of {
            SignedOut::SignIn { issuer, .. }
            | SignedOut::Account { issuer, .. }
            | SignedOut::Unbound { issuer, .. } => format!("signed out at {issuer}"),
            SignedOut::All => "signed in before the gateway was restored".to_owned(),
        }
    }

    /// Whether it ends a word.
    pub fn ends(&self, word: &Asserted, now: i64) -> bool {
        // Of a sign-in that has ended nothing is said later.
        let earlier = matches!(self.of, SignedOut::SignIn { .. }) || word.at <= self.since;
        earlier && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_out_ends_what_was_said_before_and_nothing_else() {
        let word = |subject: &str, session: Option<&str>, at| Asserted {
            issuer: "company".to_owned(),
            subject: subject.to_owned(),
            at,
            session: session.map(str::to_owned),
            groups: Vec::new(),
        };
        let issuer = || "company".to_owned();
        let sign_in = SignedOut::SignIn { issuer: issuer(), session: "s".to_owned() };
        let account = SignedOut::Account { issuer: issuer(), subject: "alice".to_owned() };
        let unbound = SignedOut::Unbound { issuer: issuer(), subject: "alice".to_owned() };
        for (of, word, ended) in [
            (&sign_in, word("alice", Some("s"), 9), true),
            (&sign_in, word("alice", Some("s"), 11), true),
            (&sign_in, word("alice", Some("t"), 9), false),
            (&sign_in, word("alice", None, 9), false),
            (&account, word("alice", Some("s"), 10), true),
            (&account, word("alice", None, 9), true),
            (&account, word("alice", None, 11), false),
            (&account, word("bob", None, 9), false),
            (&unbound, word("alice", None, 10), true),
            (&unbound, word("alice", Some("s"), 9), false),
            (&unbound, word("alice", None, 11), false),
            (&SignedOut::All, word("bob", Some("t"), 10), true),
            (&SignedOut::All, word("bob", Some("t"), 11), false),
        ] {
            let out = SignOut { of: of.clone(), since: 10, until: 100 };
            let ends = |now| SignedOut::of(&word).any(|of| of == out.of) && out.ends(&word, now);
            assert_eq!(ends(20), ended, "{of:?} {word:?}");
            assert!(!ends(100), "its time is over");
        }
    }
}
