//! A verdict taken apart for a person: effect by effect, and what the whole would come to.

use std::collections::BTreeSet;

use model::{ColumnName, Effect, Facts, Inspect, Particulars, Tag};

use crate::{Context, Denied, Grant, Policies, TargetFacts, Verdict, quorum};

/// What policies say, without the leave that a verdict carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opinion {
    /// Allow, deny or hold.
    pub word: Word,
    /// The ids of the policies that decided; empty where no policy allows it.
    pub policies: Vec<String>,
    /// Why it is denied, or for whom it waits.
    pub reason: Option<String>,
    /// What would work instead.
    pub hint: Option<String>,
}

/// The three verdicts by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It may go on.
    Allow,
    /// It may not.
    Deny,
    /// A person has to answer.
    Hold,
}

impl Word {
    /// As it is written in tests of policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Hold => "hold",
        }
    }
}

/// An operation's verdict, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What policies say of the whole.
    pub whole: Opinion,
    /// What they would say of each effect alone, in the operation's order.
    pub effects: Vec<Opinion>,
    /// The tagged columns whose clear values would be shown.
    pub reveal: BTreeSet<ColumnName>,
}

/// One effect of an operation, with the facts of the whole.
struct Alone<'a> {
    effect: &'a Effect,
    facts: &'a Facts,
    particulars: &'a Particulars,
}

impl Inspect for Alone<'_> {
    fn effects(&self) -> &[Effect] {
        std::slice::from_ref(self.effect)
    }

    fn facts(&self) -> &Facts {
        self.facts
    }

    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        &[]
    }

    /// None: a verdict on a part is not remembered.
    fn shape(&self) -> [u8; 16] {
        [0; 16]
    }

    fn particulars(&self) -> Particulars {
        self.particulars.clone()
    }
}

/// The operation itself, which is only looked at.
pub(crate) struct Whole<'a, M>(pub(crate) &'a M);

impl<M: Inspect> Inspect for Whole<'_, M> {
    fn effects(&self) -> &[Effect] {
        self.0.effects()
    }

    fn facts(&self) -> &Facts {
        self.0.facts()
    }

    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        self.0.tagged_outputs()
    }

    fn shape(&self) -> [u8; 16] {
        self.0.shape()
    }

    fn particulars(&self) -> Particulars {
        self.0.particulars()
    }
}

impl Policies {
    /// Takes the verdict on an operation apart. The whole is what [`Policies::decide`] says of it.
    pub fn explain<M: Inspect>(
        &self,
        grant: &Grant,
        target: &TargetFacts,
        operation: &M,
        now: &Context,
        approved: &BTreeSet<String>,
    ) -> Explanation {
        let facts = operation.facts();
        let particulars = &self.particulars_of(grant, operation);
        let alone =
            |effect| opinion(self.decide(grant, target, Alone { effect, facts, particulars }, now, approved));
        // What is shown of a held operation is what its approval would show.
        let mut granted = approved.clone();
        let verdict = self.decide(grant, target, Whole(operation), now, approved);
        if let Verdict::Hold(question) = &verdict {
            granted.extend(question.holds().iter().map(|h| h.id.clone()));
        }
        Explanation {
            whole: opinion(verdict),
            effects: operation.effects().iter().map(alone).collect(),
            reveal: self.revealed(grant, target, operation, now, &granted),
        }
    }
}

fn opinion<M>(verdict: Verdict<M>) -> Opinion {
    match verdict {
        Verdict::Allow(pass) => {
            Opinion { word: Word::Allow, policies: pass.permit().policies.to_vec(), reason: None, hint: None }
        }
        Verdict::Deny(_, denied) => denied.into(),
        Verdict::Hold(question) => {
            let rules = question.holds();
            let waits = quorum::waits_for(rules, &[]);
            Opinion {
                word: Word::Hold,
                policies: rules.iter().map(|h| h.id.clone()).collect(),
                reason: Some(format!("waits for {}", waits.join(", and "))),
                hint: None,
            }
        }
    }
}

impl From<Denied> for Opinion {
    fn from(denied: Denied) -> Self {
        let Denied { code: _, reason, hint, policies, version: _ } = denied;
        Self { word: Word::Deny, policies, reason: Some(reason), hint }
    }
}
