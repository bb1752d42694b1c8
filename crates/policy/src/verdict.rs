//! Verdicts carry what they are about, so that none can be spent on something else.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{ColumnName, HoldRule};

use crate::Most;

/// What policy says of one operation.
pub enum Verdict<M> {
    /// It may go on.
    Allow(Pass<M>),
    /// It may not.
    Deny(M, Denied),
    /// A person has to answer.
    Hold(Question<M>),
}

/// Leave to forward the operation that it carries. Only [`crate::Policies::decide`] makes one.
///
/// ```compile_fail,E0451
/// fn forge(permit: policy::Permit) -> policy::Pass<()> {
///     policy::Pass { message: (), permit }
/// }
/// ```
#[must_use]
pub struct Pass<M> {
    pub(crate) message: M,
    pub(crate) permit: Permit,
}

/// What was permitted, and by what.
#[derive(Debug, Clone)]
pub struct Permit {
    /// The ids of the policies that decided.
    pub policies: Arc<[String]>,
    /// The version of the policies.
    pub version: Arc<str>,
    /// The tagged columns whose clear values may be shown.
    pub reveal: Arc<BTreeSet<ColumnName>>,
    /// The hold rules that an approval satisfied.
    pub approved: Vec<String>,
    /// Everything is allowed whatever it is, so that the permit says nothing of what the operation does.
    pub everything: bool,
    /// How much it may return.
    pub most: Option<Arc<Most>>,
}

impl<M> Pass<M> {
    /// What was permitted.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// What it is about.
    pub fn message(&self) -> &M {
        &self.message
    }

    /// Gives it up: the operation does not go on.
    pub fn withdraw(self) -> M {
        self.message
    }

    /// Spends it. Only the journal may, on its way to a cleared operation.
    pub fn into_parts(self) -> (M, Permit) {
        (self.message, self.permit)
    }
}

/// A refusal in words for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// SQLSTATE for the databases: 42501, or one of ours (class Z) where a hold ended without an approval.
    pub code: &'static str,
    /// Why, in a sentence: what the operation would do and that it may not.
    pub reason: String,
    /// What would work instead.
    pub hint: Option<String>,
    /// The ids of the policies that decided; empty where no policy allows it.
    pub policies: Vec<String>,
    /// The version of the policies.
    pub version: Arc<str>,
}

impl Denied {
    /// SQLSTATE.
    pub fn code(&self) -> &str {
        self.code
    }
}

/// An operation that a person has to answer for.
pub struct Question<M> {
    pub(crate) message: M,
    pub(crate) holds: Vec<HoldRule>,
    pub(crate) version: Arc<str>,
}

impl<M> Question<M> {
    /// What it is about.
    pub fn message(&self) -> &M {
        &self.message
    }

    /// The rules that hold it, every one of which must be met.
    pub fn holds(&self) -> &[HoldRule] {
        &self.holds
    }

    /// The version of the policies.
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// Takes the operation back; it must be refused or decided again.
    pub fn withdraw(self) -> M {
        self.message
    }
}
