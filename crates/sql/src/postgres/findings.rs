//! What the analysis of one statement gathers on its way.

use std::collections::BTreeSet;

use hashbrown::HashSet;
use model::{Action, Effect, FunctionName, Resource, TableName};

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
    /// See [`super::Statement::absent`].
    pub absent: Option<super::Absent>,
    /// See [`super::Statement::touches_tagged`].
    pub touches_tagged: bool,
    /// See [`super::Statement::by_path`].
    pub by_path: bool,
    /// See [`super::Statement::deferred`].
    pub deferred: bool,
    /// See [`super::Statement::moves_path`].
    pub moves_path: bool,
    /// See [`super::Statement::fires`].
    pub fires: bool,
    /// Code that it runs defines something, or fires what may.
    pub defines_within: bool,
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

    /// What is read through a view, or of a table above others, at any depth.
    pub(super) fn read_through(&self, above: &TableName) -> Vec<Effect> {
        let (mut all, mut seen, mut left) = (Vec::new(), HashSet::new(), vec![above]);
        while let Some(above) = left.pop() {
            let through = |e: &&Effect| e.action == Action::Select && e.via.as_ref() == Some(above);
            for effect in self.effects.iter().filter(through) {
                if !seen.insert(effect) {
                    continue;
                }
                if let Resource::Table(table) = &effect.resource {
                    left.push(table);
                }
                all.push(effect.clone());
            }
        }
        all
    }

    /// How much it is to copy.
    pub(super) fn size(&self) -> usize {
        self.effects.len() + self.tables.len() + self.functions.len() + self.control.len()
    }

    /// Whether something is not understood.
    pub(super) fn has_unknown(&self) -> bool {
        self.effects.iter().any(|e| e.action == Action::Unknown)
    }

    /// Whether it calls or reads anything that a definition can make another thing: all but the server's own.
    pub(super) fn uses_what_may_be_redefined(&self) -> bool {
        let is_own = |schema: &str| matches!(schema, "pg_catalog" | "information_schema");
        let reads = |effect: &Effect| {
            let uses = matches!(
                effect.action,
                Action::Select
                    | Action::Insert
                    | Action::Update
                    | Action::Delete
                    | Action::Merge
                    | Action::Probe
            );
            let of_system = match &effect.resource {
                Resource::Table(table) => is_own(&table.schema),
                Resource::Column(column) => is_own(&column.table.schema),
                Resource::Schema(schema) => is_own(schema),
                Resource::Target | Resource::Function(_) | Resource::Setting(_) => false,
            };
            uses && !of_system
        };
        self.functions.iter().any(|function| !is_own(&function.schema)) || self.effects.iter().any(reads)
    }

    /// Takes what another statement's code finds and sets by the search path.
    pub(super) fn takes_path_of(&mut self, other: &super::Statement) {
        self.by_path |= other.by_path;
        self.deferred |= other.deferred;
        self.moves_path |= other.moves_path;
        self.fires |= other.fires;
    }

    /// All effects.
    pub(super) fn into_effects(self) -> Vec<Effect> {
        self.effects
    }
}
