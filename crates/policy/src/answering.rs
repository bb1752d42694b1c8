//! Whether policy lets somebody say yes to what is held: the action `approve` on its target and on everything that it would do
//! something to. A rule's `@approvers` are the leave, and a `forbid` takes it away. Where a permit names `approve` for a target,
//! leave is that permit's to give there, and `@approvers` alone are not enough.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, Authorizer, Decision, Effect as CedarEffect, Policy, PolicySet};
use model::{
    Action, Effect, Particulars, Principal, PrincipalKind, PrincipalRef, Resource, TargetName, Weighed,
};

use crate::particular::{Alone, Known};
use crate::{Context, Grant, Identity, Policies, TargetFacts, facts};

/// What somebody says yes to.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Who asks.
    pub principal: &'a str,
    /// For whom.
    pub on_behalf_of: &'a [String],
    /// On which target.
    pub target: &'a TargetName,
    /// What it is.
    pub weighed: &'a Weighed,
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barred {
    /// The policies that say so; none where a permit is missing.
    pub policies: Vec<String>,
    /// `@reason` of the first.
    pub reason: Option<String>,
}

impl std::fmt::Display for Barred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.policies.first() {
            Some(id) => write!(f, "the policy \"{id}\" does not let you approve this")?,
            None => f.write_str("no policy that says who may approve here lets you")?,
        }
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

impl Policies {
    /// Whether policy lets `who` say yes. What cannot be decided is denied.
    ///
    /// # Errors
    /// It does not.
    pub fn may_approve(
        &self,
        who: Principal,
        asked: Asked<'_>,
        target: &TargetFacts,
        now: &Context,
    ) -> Result<(), Barred> {
        // What yields to an approval is no word on who gives it.
        let all = self.slice(Action::Approve, asked.target);
        let about = all.policies().filter(|policy| self.rule(policy.id().as_ref()).is_none());
        let about = PolicySet::from_policies(about.cloned()).unwrap_or_default();
        let takes_permit = about.policies().any(|p| p.effect() == CedarEffect::Permit && names_approve(p));
        if !takes_permit && about.policies().all(|policy| policy.effect() == CedarEffect::Permit) {
            return Ok(());
        }
        let unclear = || Barred { policies: vec!["what could not be asked".to_owned()], reason: None };
        let asker = asker(asked).ok_or_else(unclear)?;
        let grant = Grant::new(Identity::verified(who), asked.target.clone());
        let whole = Effect::new(Action::Approve, Resource::Target);
        let objects = asked.weighed.objects.iter().map(|object| Effect {
            tags: object.tags.clone(),
            ..Effect::new(Action::Approve, object.resource.clone())
        });
        // Where it does something to named objects, a permit is asked of those, and of the target where there are none.
        let of_objects: Vec<Effect> = objects.filter(|effect| effect.resource != Resource::Target).collect();
        let untold = Particulars::default();
        for effect in of_objects.iter().chain([&whole]) {
            // Its values are not kept.
            let alone = Alone::Told(&untold);
            let known = Known { facts: &asked.weighed.facts, alone };
            let question = facts::ask_about(&grant, &asker, target, effect, known, now, &BTreeSet::new())
                .map_err(|_| unclear())?;
            let evaluate = || Authorizer::new().is_authorized(&question.request, &about, &question.entities);
            let response = self.with_room(evaluate);
            let diagnostics = response.diagnostics();
            let denied = response.decision() == Decision::Deny;
            let mut policies: Vec<String> = diagnostics.reason().map(ToString::to_string).collect();
            if diagnostics.errors().next().is_some() {
                return Err(Barred {
                    policies: vec!["a policy that could not be evaluated".to_owned()],
                    reason: None,
                });
            }
            let needs = takes_permit && (effect.resource != Resource::Target || of_objects.is_empty());
            if denied && (needs || !policies.is_empty()) {
                policies.sort();
                let first =
                    policies.first().and_then(|id| about.policies().find(|p| p.id().to_string() == *id));
                let reason = first.and_then(|policy| policy.annotation("reason")).map(str::to_owned);
                return Err(Barred { policies, reason });
            }
        }
        Ok(())
    }
}

/// Whether it says `approve` itself, and not just anything.
fn names_approve(policy: &Policy) -> bool {
    let is_it = |uid: &cedar_policy::EntityUid| uid.id().unescaped() == Action::Approve.as_str();
    match policy.action_constraint() {
        ActionConstraint::Any => false,
        ActionConstraint::In(uids) => uids.iter().any(is_it),
        ActionConstraint::Eq(uid) => is_it(&uid),
    }
}

/// Who asks, as far as a request says it.
fn asker(asked: Asked<'_>) -> Option<Principal> {
    let read = |name: &str| {
        let (kind, name) = name.split_once(':')?;
        let kind = match kind {
            "user" => PrincipalKind::User,
            "agent" => PrincipalKind::Agent,
            _ => return None,
        };
        Some(PrincipalRef { kind, name: name.to_owned() })
    };
    Some(Principal {
        id: read(asked.principal)?,
        groups: Vec::new(),
        on_behalf_of: asked.on_behalf_of.iter().map(|name| read(name)).collect::<Option<_>>()?,
        purpose: None,
        asserted: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
