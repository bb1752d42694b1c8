//! What the analysis of one statement gathers on its way.

use std::collections::BTreeSet;

use hashbrown::HashSet;
use model::{Action, Effect, FunctionName, TableName};

use super::Control;

/// What was found so far. Effects are kept once, in order of first sight.
#[derive(Clone, Default)]
pub(super) struct Findings {
    effects: Vec<Effect>,
    seen: HashSet<Effect>,
    /// Relations read and written.
    pub tables: BTreeSet<TableName>,
    /// Functions called.
    pub functions: BTreeSet<FunctionName>,
    /// An UPDATE or DELETE without a condition, or with one that is plainly always true.
    pub unconditional: bool,
    /// A name was not found.
    pub unresolved: bool,
    /// See [`super::Statement::touches_tagged`].
    pub touches_tagged: bool,
    /// The value of a literal decided something.
    pub literals: bool,
    /// What it does to the session.
    pub control: Vec<Control>,
}

impl Findings {
    /// Adds an effect, once.
    pub(super) fn effect(&mut self, effect: Effect) {
        if self.seen.insert(effect.clone()) {
            self.effects.push(effect);
        }
    }

    /// Adds an `unknown` effect.
    pub(super) fn unknown(&mut self, why: impl Into<String>) {
        self.effect(Effect::unknown(why));
    }

    /// Whether something is not understood.
    pub(super) fn has_unknown(&self) -> bool {
        self.effects.iter().any(|e| e.action == Action::Unknown)
    }

    /// All effects.
    pub(super) fn into_effects(self) -> Vec<Effect> {
        self.effects
    }
}
