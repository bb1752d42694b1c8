//! What policies read of one operation alone: its values, how many rows it is thought to touch. What reads that is decided anew for
//! each operation, and what reads none of it costs nothing.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Effect, Policy, PolicySet};
use model::{Action, Facts, Inspect, Particulars};

use crate::decide::Values;
use crate::explain::Whole;
use crate::reads::Reads;
use crate::{Context, Grant, Policies, TargetFacts, Verdict};

/// The facts' names in `context`.
const WORDS: [&str; 5] = ["values", "values_certain", "literals", ESTIMATE, "measured_rows"];
/// What the target has to be asked for.
const ESTIMATE: &str = "estimated_rows";

/// What is known of an operation.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    /// What all of its shape have in common.
    pub facts: &'a Facts,
    /// What it has alone.
    pub alone: Alone<'a>,
}

/// What an operation has alone.
#[derive(Clone, Copy)]
pub(crate) enum Alone<'a> {
    /// No policy asks.
    Unread,
    /// This.
    Told(&'a Particulars),
    /// It is not known yet: whatever could be allowed of something is allowed.
    Open,
}

/// The policies that read such facts.
#[derive(Default)]
pub(crate) struct Readers {
    /// By id: what stands for each where the facts are not known yet. A permit holds without its conditions, and a forbid does not.
    all: BTreeMap<String, Option<Policy>>,
    /// Those of them that want an estimate.
    estimate: BTreeSet<String>,
}

impl Readers {
    pub(crate) fn of(policies: &[Policy]) -> Self {
        let mut readers = Self::default();
        for policy in policies {
            let (id, reads) = (policy.id().to_string(), Reads::of(policy));
            if !WORDS.iter().any(|word| reads.has(word)) {
                continue;
            }
            if reads.has(ESTIMATE) {
                readers.estimate.insert(id.clone());
            }
            let open = (policy.effect() == Effect::Permit).then(|| without_conditions(policy)).flatten();
            readers.all.insert(id, open);
        }
        readers
    }

    fn is_one(&self, policy: &Policy) -> bool {
        self.all.contains_key(policy.id().as_ref() as &str)
    }

    /// These policies, where the facts are not known yet.
    pub(crate) fn opened(&self, policies: &PolicySet) -> PolicySet {
        let open = |policy: &Policy| match self.all.get(policy.id().as_ref() as &str) {
            Some(open) => open.clone(),
            None => Some(policy.clone()),
        };
        PolicySet::from_policies(policies.policies().filter_map(open)).unwrap_or_default()
    }
}

/// A permit of all that its scope names.
fn without_conditions(policy: &Policy) -> Option<Policy> {
    let mut written = policy.to_json().ok()?;
    *written.get_mut("conditions")? = serde_json::Value::Array(Vec::new());
    Policy::from_json(Some(policy.id().clone()), written).ok()
}

impl Policies {
    /// Whether a policy that can apply to an operation reads what it has alone.
    pub(crate) fn reads_particulars<M: Inspect>(&self, grant: &Grant, message: &M) -> bool {
        !self.readers.all.is_empty() && self.any_about(grant, message, |policy| self.readers.is_one(policy))
    }

    /// Whether a policy that can apply to an operation reads how many rows the target's planner expects.
    pub fn reads_estimate<M: Inspect>(&self, grant: &Grant, message: &M) -> bool {
        let wants = |policy: &Policy| self.readers.estimate.contains(policy.id().as_ref() as &str);
        !self.readers.estimate.is_empty() && self.any_about(grant, message, wants)
    }

    /// Whether some of what an operation may have alone would let it be allowed or held.
    pub fn could_be_let<M: Inspect>(
        &self,
        grant: &Grant,
        facts: &TargetFacts,
        message: &M,
        now: &Context,
    ) -> bool {
        let none = BTreeSet::new();
        !matches!(self.decided(grant, facts, Whole(message), now, &none, Values::Open), Verdict::Deny(..))
    }

    /// What an operation has alone, where that is read.
    pub(crate) fn particulars_of<M: Inspect>(&self, grant: &Grant, message: &M) -> Particulars {
        if self.reads_particulars(grant, message) { message.particulars() } else { Particulars::default() }
    }

    fn any_about<M: Inspect>(&self, grant: &Grant, message: &M, is: impl Fn(&Policy) -> bool) -> bool {
        let mut actions: BTreeSet<Action> = message.effects().iter().map(|effect| effect.action).collect();
        if !message.tagged_outputs().is_empty() {
            actions.insert(Action::Reveal);
        }
        actions.into_iter().any(|action| self.slice(action, grant.target()).policies().any(&is))
    }
}

#[cfg(test)]
mod tests;
