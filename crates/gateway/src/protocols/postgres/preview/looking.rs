//! What policy is asked before an operation is looked at.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use model::{Action, ColumnName, Effect, Facts, Inspect, Particulars, Resource, TableName, Tag};

/// What policy is asked before an operation is looked at.
pub(crate) struct Looking {
    effects: Vec<Effect>,
    facts: Facts,
    particulars: Particulars,
    shape: [u8; 16],
}

impl Looking {
    pub(super) fn at(table: &TableName, facts: &Facts) -> Self {
        Self::with(vec![Effect::new(Action::Preview, Resource::Table(table.clone()))], facts)
    }

    /// Each table that an operation touches.
    pub(crate) fn tables<M: Inspect>(operation: &M) -> Vec<Self> {
        let tables: BTreeSet<&TableName> = operation
            .effects()
            .iter()
            .filter_map(|e| if let Resource::Table(table) = &e.resource { Some(table) } else { None })
            .collect();
        let particulars = operation.particulars();
        let at = |table| Self::at(table, operation.facts()).with_particulars(particulars.clone());
        tables.into_iter().map(at).collect()
    }

    /// What an operation reads, and tells by what it finds, if it does: it is done by looking, too, and whoever asks could tell
    /// by how long that takes what was found.
    pub(crate) fn reads<M: Inspect>(operation: &M) -> Option<Self> {
        let reads = |e: &&Effect| matches!(e.action, Action::Select | Action::Probe | Action::Reveal);
        let effects: Vec<Effect> = operation.effects().iter().filter(reads).cloned().collect();
        (!effects.is_empty())
            .then(|| Self::with(effects, operation.facts()).with_particulars(operation.particulars()))
    }

    /// Whether the clear values of a column are shown.
    pub(crate) fn reveals(column: ColumnName, tags: BTreeSet<Tag>, facts: &Facts) -> Self {
        let effect = Effect { tags, ..Effect::new(Action::Reveal, Resource::Column(column)) };
        Self::with(vec![effect], facts)
    }

    pub(super) fn with(effects: Vec<Effect>, facts: &Facts) -> Self {
        let mut shape = [0; 16];
        let whole = digest(&SHA256, format!("preview of {effects:?} {facts:?}").as_bytes());
        shape.iter_mut().zip(whole.as_ref()).for_each(|(to, from)| *to = *from);
        Self { effects, facts: facts.clone(), particulars: Particulars::default(), shape }
    }

    /// The same with what the operation has alone.
    pub(crate) fn with_particulars(self, particulars: Particulars) -> Self {
        Self { particulars, ..self }
    }
}

impl Inspect for Looking {
    fn effects(&self) -> &[Effect] {
        &self.effects
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        &[]
    }

    fn shape(&self) -> [u8; 16] {
        self.shape
    }

    fn particulars(&self) -> Particulars {
        self.particulars.clone()
    }
}
