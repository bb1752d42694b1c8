//! What policy is asked about when somebody answers: the operation, without who it was that asked.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Effect, Facts, Resource, Tag};

/// A held operation as policies for answering see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighed {
    /// Its facts.
    #[serde(default)]
    pub facts: Facts,
    /// What it would do something to, each once.
    #[serde(default)]
    pub objects: BTreeSet<Object>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Object {
    /// Which.
    pub resource: Resource,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<Tag>,
}

impl Weighed {
    /// Of an operation.
    pub fn of(facts: &Facts, effects: &[Effect]) -> Self {
        let mut weighed = Self { facts: facts.clone(), objects: BTreeSet::new() };
        weighed.add(effects);
        weighed
    }

    /// Takes more effects in, as of another statement of a plan.
    pub fn add(&mut self, effects: &[Effect]) {
        let object =
            |effect: &Effect| Object { resource: effect.resource.clone(), tags: effect.tags.clone() };
        self.objects.extend(effects.iter().map(object));
    }

    /// And the facts of another statement.
    pub fn and(&mut self, facts: &Facts) {
        let Facts { kind, has_where, tables, functions, statements, parameters } = facts;
        let own = &mut self.facts;
        // What is no statement yet has nothing to be joined with.
        own.has_where = (own.statements == 0 || own.has_where) && *has_where;
        own.kind = if own.kind.is_empty() { kind.clone() } else { format!("{}; {kind}", own.kind) };
        own.tables.extend(tables.iter().cloned());
        own.functions.extend(functions.iter().cloned());
        own.statements = own.statements.saturating_add(*statements);
        own.parameters = own.parameters.saturating_add(*parameters);
    }
}
