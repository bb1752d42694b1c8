//! Who is connected, to what, and the facts of this moment.

use std::net::IpAddr;
use std::sync::Arc;

use model::{Principal, TargetName};

use crate::{Caps, Most};

/// A principal whose token was checked. Only the gateway's login makes one.
#[derive(Debug, Clone)]
pub struct Identity {
    principal: Principal,
    break_glass: bool,
}

impl Identity {
    /// After a token was checked, and nowhere else.
    pub fn verified(principal: Principal) -> Self {
        Self { principal, break_glass: false }
    }

    /// The same, who came with a break-glass code.
    #[must_use]
    pub fn in_emergency(self) -> Self {
        Self { break_glass: true, ..self }
    }

    /// Who.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

/// Leave to open a session on one target. Only [`crate::Policies::authorize`] makes one.
///
/// ```compile_fail,E0451
/// fn forge(principal: model::Principal, target: model::TargetName) -> policy::Grant {
///     policy::Grant { principal, target, break_glass: true, record: Default::default(), caps: Default::default(), most: None, key: "key".into() }
/// }
/// ```
#[derive(Debug)]
pub struct Grant {
    pub(crate) principal: Principal,
    pub(crate) target: TargetName,
    pub(crate) break_glass: bool,
    pub(crate) record: Record,
    pub(crate) caps: Caps,
    pub(crate) most: Option<Arc<Most>>,
    /// Everything of the principal and the target that a policy may ask about, as one text.
    pub(crate) key: Arc<str>,
}

impl Grant {
    pub(crate) fn new(identity: Identity, target: TargetName) -> Self {
        let Identity { principal, break_glass } = identity;
        let Principal { id, groups, on_behalf_of, purpose, asserted } = &principal;
        // Not when an issuer said so: that is asked with the time.
        let issuers: Vec<&str> = asserted.iter().map(|a| a.issuer.as_str()).collect();
        let key =
            format!("{id:?} {groups:?} {on_behalf_of:?} {purpose:?} {issuers:?} {target:?} {break_glass}")
                .into();
        Self {
            principal,
            target,
            break_glass,
            record: Record::default(),
            caps: Caps::default(),
            most: None,
            key,
        }
    }

    /// Who.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// On what.
    pub fn target(&self) -> &TargetName {
        &self.target
    }

    /// How long what the session does may last.
    pub fn caps(&self) -> Caps {
        self.caps
    }

    /// How much each statement of the session may return, at most.
    pub fn most(&self) -> Option<&Arc<Most>> {
        self.most.as_ref()
    }

    /// How the session is recorded.
    pub fn record(&self) -> Record {
        self.record
    }
}

/// How a session is recorded (`@record`), the strictest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Record {
    /// Not at all. The journal has its records all the same. So it is where no policy says anything.
    #[default]
    Off,
    /// As well as it goes: where the recording cannot be written, it says so and the session goes on.
    BestEffort,
    /// Always: a session whose recording cannot be written ends.
    Required,
}

impl Record {
    /// As it stands in policies and in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::BestEffort => "best-effort",
            Self::Required => "required",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Off, Self::BestEffort, Self::Required].into_iter().find(|record| record.as_str() == word)
    }
}

/// The facts of a moment that a policy may ask about.
#[derive(Debug, Clone)]
pub struct Context {
    /// Seconds since 1970.
    pub now: i64,
    /// The client's address.
    pub address: IpAddr,
    /// What the client calls itself (`application_name`).
    pub application: Arc<str>,
    /// Whether a transaction block is open.
    pub in_transaction: bool,
    /// Whether the client's connection is encrypted.
    pub encrypted: bool,
    /// Whether the principal was answered with text that looks like instructions, in the last hour.
    pub read_instructions: bool,
}
