//! Access that is asked for beforehand: whether policy lets anybody give it, and whether what was given lifts a hold. It lifts what
//! holds and nothing else: what is denied stays denied, and what is masked stays masked.

use std::collections::BTreeSet;

use model::{
    Action, ColumnName, Effect, Facts, GrantState, HoldRule, Inspect, NewRequest, Particulars, Resource,
    StandingGrant, Tag, Vote,
};

use crate::decide::Values;
use crate::standing::{Uncovered, longest};
use crate::{Context, Denied, Grant, Policies, TargetFacts, Verdict, quorum};

/// What of a held operation would not go on without an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The effects that are held.
    pub effects: Vec<Effect>,
    /// Whether a yes would show values that are masked without one.
    pub reveals: bool,
}

/// What policy says of access that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sought {
    /// Nothing of it needs anybody's leave.
    Free,
    /// These effects are held, by these rules; the others need no leave.
    Held {
        /// The effects.
        effects: Vec<Effect>,
        /// The rules.
        rules: Vec<HoldRule>,
    },
    /// Nobody can give it.
    Denied(Denied),
}

/// One effect by itself, as some statement has it.
struct Alone<'a> {
    effect: &'a Effect,
    facts: Facts,
    particulars: Particulars,
}

impl Inspect for Alone<'_> {
    fn effects(&self) -> &[Effect] {
        std::slice::from_ref(self.effect)
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        &[]
    }

    /// None: what is said of no statement is not remembered.
    fn shape(&self) -> [u8; 16] {
        [0; 16]
    }

    fn particulars(&self) -> Particulars {
        self.particulars.clone()
    }
}

impl Policies {
    /// What policy says of access to these: each by itself, as an ordinary statement and as one that names no rows. What is denied in
    /// either way, and held in none, nobody can give.
    pub fn sought(&self, grant: &Grant, target: &TargetFacts, effects: &[Effect], now: &Context) -> Sought {
        let mut held = Vec::new();
        let mut rules: Vec<HoldRule> = Vec::new();
        for effect in effects {
            let mut denied = None;
            let mut is_held = false;
            for has_where in [true, false] {
                let facts = Facts { has_where, ..some_statement(effect) };
                let alone = Alone { effect, facts, particulars: Particulars::default() };
                // Its values are not known before it comes.
                match self.decided(grant, target, alone, now, &BTreeSet::new(), Values::Open) {
                    Verdict::Allow(_) => (),
                    Verdict::Deny(_, why) => denied = denied.or(Some(why)),
                    Verdict::Hold(question) => {
                        is_held = true;
                        for rule in question.holds() {
                            if !rules.iter().any(|known| known.id == rule.id) {
                                rules.push(rule.clone());
                            }
                        }
                    }
                }
            }
            match (is_held, denied) {
                (true, _) => held.push(effect.clone()),
                (false, Some(denied)) => return Sought::Denied(denied),
                (false, None) => (),
            }
        }
        if held.is_empty() { Sought::Free } else { Sought::Held { effects: held, rules } }
    }

    /// What of an operation that these rules hold is held by them.
    pub fn kept<M: Inspect>(
        &self,
        grant: &Grant,
        target: &TargetFacts,
        message: &M,
        now: &Context,
        rules: &[HoldRule],
    ) -> Kept {
        let none = BTreeSet::new();
        let all: BTreeSet<String> = rules.iter().map(|rule| rule.id.clone()).collect();
        let particulars = self.particulars_of(grant, message);
        let is_kept = |effect: &&Effect| {
            let (facts, particulars) = (message.facts().clone(), particulars.clone());
            let alone = Alone { effect, facts, particulars };
            !matches!(self.decide(grant, target, alone, now, &none), Verdict::Allow(_))
        };
        Kept {
            effects: message.effects().iter().filter(is_kept).cloned().collect(),
            reveals: self.revealed(grant, target, message, now, &all)
                != self.revealed(grant, target, message, now, &none),
        }
    }
}

/// The facts of a plain statement that does this and nothing else.
fn some_statement(effect: &Effect) -> Facts {
    let tables = match &effect.resource {
        Resource::Table(table) => [table.clone()].into(),
        Resource::Target
        | Resource::Schema(_)
        | Resource::Column(_)
        | Resource::Function(_)
        | Resource::Setting(_) => BTreeSet::new(),
    };
    Facts { kind: effect.action.as_str().to_owned(), tables, statements: 1, ..Facts::default() }
}

/// Whether access that was given lifts the holds of an operation. `votes` are those of its givers who may approve this now, with the
/// groups that they answer for now.
///
/// # Errors
/// Why not.
pub fn lifts(
    grant: &StandingGrant,
    asked: &NewRequest,
    kept: &Kept,
    votes: &[Vote],
    now: i64,
) -> Result<(), Uncovered> {
    let Some(access) = &grant.access else { return Err(Uncovered::Other) };
    let same = grant.principal == asked.principal
        && grant.on_behalf_of == asked.on_behalf_of
        && grant.target == asked.target;
    let is_any = kept.effects.iter().any(|effect| access.lets(effect));
    if !same || !is_any || grant.state(now) != GrantState::InForce {
        return Err(Uncovered::Other);
    }
    if let Some(other) = kept.effects.iter().find(|effect| !access.lets(effect)) {
        return Err(Uncovered::Not(format!("it does not let {} {}", other.action.as_str(), other.resource)));
    }
    if kept.reveals {
        let why = "it would show values of tagged columns, which no standing grant does";
        return Err(Uncovered::Not(why.to_owned()));
    }
    let altered =
        |then: &&model::Touched| asked.touched.iter().any(|is| is.what == then.what && is.mark != then.mark);
    if let Some(one) = grant.touched.iter().find(altered) {
        return Err(Uncovered::Ended(format!("{} was altered", one.what)));
    }
    // Whoever gave it saw these rules. What another asks, nobody has answered.
    for rule in &asked.holds {
        match grant.holds.iter().find(|known| known.id == rule.id) {
            None => return Err(Uncovered::Not(format!("the policy \"{}\" asks, too", rule.id))),
            Some(known) if !known.asks_like(rule) => {
                return Err(Uncovered::Not(format!("the policy \"{}\" was changed", rule.id)));
            }
            Some(_) => (),
        }
    }
    let longest = longest(&asked.holds).map_err(Uncovered::Not)?;
    if grant.given.saturating_add(i64::try_from(longest).unwrap_or(i64::MAX)) <= now {
        return Err(Uncovered::Ended("policy lets standing grants last less long by now".to_owned()));
    }
    if !quorum::is_met(&asked.holds, votes) {
        let who = grant.givers().map(|vote| vote.voter.as_str()).collect::<Vec<_>>().join(" and ");
        return Err(Uncovered::Ended(format!("{who}, who gave it, may not approve this any more")));
    }
    Ok(())
}

/// Whether an operation of which only this is held changes no rows by what is lifted.
pub fn only_reads(kept: &Kept) -> bool {
    kept.effects.iter().all(|effect| matches!(effect.action, Action::Select | Action::LockRows))
}

#[cfg(test)]
mod tests;
