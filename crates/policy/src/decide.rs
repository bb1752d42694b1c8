//! Cedar decides; this file asks it.

use std::collections::BTreeSet;

use model::{Inspect, Tag, TargetName};

use crate::{Context, Denied, Grant, Identity, Verdict};

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, for errors.
    pub name: String,
    /// Cedar text.
    pub text: String,
}

/// Why policies cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct Problem {
    /// The file.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong, and the nearest right word where there is one.
    pub message: String,
}

/// What a policy may ask of a target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetFacts {
    /// Tags of the target as a whole (`production`).
    pub tags: BTreeSet<Tag>,
}

/// A set of policies that passed validation.
pub struct Policies {}

impl Policies {
    /// Parses and validates.
    ///
    /// # Errors
    /// All problems, each with its place.
    pub fn load(sources: &[Source]) -> Result<Self, Vec<Problem>> {
        let _ = sources;
        Ok(Self {})
    }

    /// A digest of all texts.
    pub fn version(&self) -> &str {
        ""
    }

    /// Whether a principal may open a session.
    ///
    /// # Errors
    /// The refusal.
    pub fn authorize(
        &self,
        who: Identity,
        target: &TargetName,
        facts: &TargetFacts,
        now: &Context,
    ) -> Result<Grant, Denied> {
        let _ = (facts, now);
        Ok(Grant { principal: who.principal().clone(), target: target.clone() })
    }

    /// What policy says of an operation. `approved` names the hold rules whose approvers and quorum are met.
    pub fn decide<M: Inspect>(
        &self,
        grant: &Grant,
        facts: &TargetFacts,
        message: M,
        now: &Context,
        approved: &BTreeSet<String>,
    ) -> Verdict<M> {
        let _ = (grant, facts, now, approved);
        let denied = Denied {
            code: "42501",
            reason: "no policy".to_owned(),
            hint: None,
            policies: Vec::new(),
            version: "".into(),
        };
        Verdict::Deny(message, denied)
    }

    /// Whether some policy could allow or hold a write of this principal here, so that its session needs one that writes.
    pub fn could_write(&self, grant: &Grant, facts: &TargetFacts) -> bool {
        let _ = (grant, facts);
        true
    }

    /// Whether everything is allowed whatever it is (`unknown`, `reveal` and `probe` too), so that certainty about names
    /// changes nothing.
    pub fn allows_everything(&self, grant: &Grant, facts: &TargetFacts) -> bool {
        let _ = (grant, facts);
        false
    }
}
