//! What statements mean: everything that policy, masking and the journal ask about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use hashbrown::HashSet;
use journal::record::Fields;
use model::{ColumnName, Effect, Facts, Tag};
use sql::postgres::{Absent, Analysis, Control, Lineage, Literal, Outputs, Statement};

use super::guard;
use super::masks;
use crate::audit;

/// A statement, or the several of one simple Query, with everything that policy and masking ask about. Shared by all
/// messages that carry the same text.
pub struct Operation {
    meaning: Arc<Meaning>,
    /// The literals of this text, where they are not those of the text that was understood first.
    literals: Option<Vec<Literal>>,
}

/// What an operation means, shared by all texts that differ in their literals alone.
pub struct Meaning {
    /// In the order of the text.
    pub statements: Vec<Arc<Statement>>,
    effects: Vec<Effect>,
    facts: Facts,
    tagged_outputs: Vec<(ColumnName, BTreeSet<Tag>)>,
    shape: [u8; 16],
    /// Why its rows, once they came, could not be masked.
    pub(super) unmasked: Option<String>,
    reads: bool,
    /// How many bytes it takes, about.
    weight: usize,
    written: OnceLock<Written>,
}

/// What the journal says of it, written once.
pub(super) struct Written {
    pub(super) text: String,
    pub(super) fields: Fields,
}

impl Meaning {
    pub(super) fn written(&self) -> &Written {
        self.written.get_or_init(|| {
            let texts: Vec<&str> = self.statements.iter().map(|s| s.text.as_str()).collect();
            let text = texts.join("; ");
            Written { fields: audit::fields(&self.facts.kind, &text, &self.effects), text }
        })
    }
}

impl std::ops::Deref for Operation {
    type Target = Meaning;

    fn deref(&self) -> &Meaning {
        &self.meaning
    }
}

impl Operation {
    /// The same with other literals, which decide nothing.
    pub fn with_literals(&self, literals: Vec<Literal>) -> Self {
        Self { meaning: Arc::clone(&self.meaning), literals: Some(literals) }
    }

    /// Whether every text of the same template means the same.
    pub fn is_template(&self) -> bool {
        matches!(self.statements.as_slice(), [one] if !one.depends_on_literals && !one.unresolved)
    }

    /// The literals of its text, in order.
    pub(super) fn literals(&self) -> impl Iterator<Item = &Literal> {
        let own = self.literals.is_none().then(|| self.statements.iter().flat_map(|s| &s.literals));
        self.literals.iter().flatten().chain(own.into_iter().flatten())
    }

    /// What an analysis says, for one message.
    pub fn new(analysis: Analysis) -> Self {
        Self::of(analysis.statements, analysis.shape)
    }

    /// The statement behind `PREPARE name AS …` or `DECLARE name CURSOR FOR …`.
    pub fn single(statement: Arc<Statement>) -> Self {
        let shape = statement.shape;
        Self::of(vec![statement], shape)
    }

    /// What stands for another of which no more is certain than what it is answered with.
    pub fn uncertain(why: &str, of: &Self) -> Self {
        let mut statement = Statement::opaque(Effect::unknown(why));
        let copies = of.controls().filter(|control| matches!(control, Control::CopyIn));
        statement.control.extend(copies.cloned());
        let returns = of.statements.iter().any(|statement| statement.outputs.returns_rows());
        let mut made = Self::single(Arc::new(statement));
        if let Some(meaning) = Arc::get_mut(&mut made.meaning) {
            meaning.unmasked = returns.then(|| why.to_owned());
        }
        made
    }

    /// An operation that does nothing that is known.
    pub fn nothing() -> Self {
        Self::of(Vec::new(), [0; 16])
    }

    fn of(statements: Vec<Arc<Statement>>, shape: [u8; 16]) -> Self {
        let effects = each_once(statements.iter().flat_map(|s| &s.effects));
        let mut tagged: BTreeMap<ColumnName, BTreeSet<Tag>> = BTreeMap::new();
        for (column, tags) in statements.iter().flat_map(|s| tagged_outputs(s)) {
            tagged.entry(column).or_default().extend(tags);
        }
        let facts = joined_facts(&statements);
        let tagged_outputs = tagged.into_iter().collect();
        let mut defined = false;
        let unmasked = statements.iter().find_map(|statement| {
            let why = masks::unmasked(statement, defined);
            defined |= statement.moves_names();
            why
        });
        let reads = effects.iter().all(crate::freezes::is_read) && statements.iter().all(|s| guard::suits(s));
        let (weight, written) = (statements.iter().map(|s| statement_weight(s)).sum(), OnceLock::new());
        let meaning =
            Meaning { statements, effects, facts, tagged_outputs, shape, unmasked, reads, weight, written };
        Self { meaning: Arc::new(meaning), literals: None }
    }

    /// What it would do.
    pub(super) fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// What else is known of it.
    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The tagged columns of its result.
    pub(super) fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        &self.tagged_outputs
    }

    /// All that it does to the session.
    pub fn controls(&self) -> impl Iterator<Item = &Control> {
        self.statements.iter().flat_map(|s| &s.control)
    }

    /// The same with what becoming a value of its parameters' types does.
    pub fn with_types(&self, types: &Analysis) -> Self {
        let extended = |statement: &Arc<Statement>| {
            let mut statement = Statement::clone(statement);
            for more in &types.statements {
                statement.effects.extend(more.effects.iter().cloned());
                statement.touches_tagged |= more.touches_tagged;
                statement.unresolved |= more.unresolved;
            }
            for (one, other) in statement.shape.iter_mut().zip(types.shape) {
                *one ^= other;
            }
            Arc::new(statement)
        };
        let mut statements: Vec<_> = self.statements.iter().map(extended).collect();
        if statements.is_empty() {
            // An empty text takes values, too: all that they do is done when they are bound.
            let alone = |types: &Arc<Statement>| {
                let mut alone = Statement::clone(types);
                (alone.outputs, alone.control) = (Outputs::None, Vec::new());
                Arc::new(alone)
            };
            let does = |s: &&Arc<Statement>| !s.effects.is_empty() || s.touches_tagged || s.unresolved;
            statements.extend(types.statements.iter().filter(does).map(alone));
        }
        let mut shape = self.shape;
        for (one, other) in shape.iter_mut().zip(types.shape) {
            *one ^= other;
        }
        Self::of(statements, shape)
    }

    /// Whether it runs or reads what a name stands for at that moment: `EXECUTE`, `FETCH`.
    pub fn speaks_of_names(&self) -> bool {
        self.controls().any(|c| matches!(c, Control::Execute { .. } | Control::Fetch { .. }))
    }

    /// A digest of all that decides a verdict.
    pub(super) fn shape(&self) -> [u8; 16] {
        self.shape
    }

    /// Whether code may run for it as late as at the end of its transaction.
    pub(super) fn puts_off(&self) -> bool {
        self.statements.iter().any(|s| s.deferred)
    }

    /// Whether it only says how its session or its transaction is to be: whatever names stand for, it means the same.
    pub fn names_nothing(&self) -> bool {
        let plain = |s: &Arc<Statement>| matches!(s.facts.kind.as_str(), "begin" | "set" | "show");
        self.effects.is_empty() && self.statements.iter().all(plain)
    }

    /// Whether code takes part whose names the server finds as it runs, and of which it keeps plans.
    pub fn runs_code(&self) -> bool {
        self.statements.iter().any(|s| s.by_path)
    }

    /// Whether two mean the same, so that what was decided of one is decided of the other.
    pub fn means(&self, other: &Self) -> bool {
        let outputs = |o: &Self| o.statements.iter().map(|s| s.outputs.clone()).collect::<Vec<_>>();
        self.shape == other.shape && outputs(self) == outputs(other)
    }

    /// How many bytes it takes to keep it, about.
    pub fn weight(&self) -> usize {
        let literals = self.literals.iter().flatten().map(literal_weight).sum::<usize>();
        self.weight + literals
    }

    /// Whether it only reads, so that it can run where the server refuses to write.
    pub fn reads(&self) -> bool {
        self.reads
    }

    /// The first name in its text that was not found, with its place.
    pub(super) fn absent(&self) -> Option<&Absent> {
        self.statements.iter().find_map(|s| s.absent.as_ref())
    }

    /// Whether a name was not found; the catalogue may be old.
    pub fn unresolved(&self) -> bool {
        self.statements.iter().any(|s| s.unresolved)
    }
}

fn literal_weight(literal: &Literal) -> usize {
    literal.value.len() + 32
}

/// How many bytes a statement takes, about; its effects stand in the operation once more.
fn statement_weight(statement: &Statement) -> usize {
    let outputs = match &statement.outputs {
        Outputs::Columns(columns) => columns
            .iter()
            .map(|column| match &column.lineage {
                Lineage::Plain(sources) | Lineage::Derived(sources) => 256 + 256 * sources.len(),
                Lineage::Clear | Lineage::Unknown(_) => 256,
            })
            .sum(),
        Outputs::None | Outputs::Opaque(_) => 0,
    };
    let prepared = statement.control.iter().map(|control| {
        if let Control::Prepare { inner, .. } | Control::Declare { inner, .. } = control {
            statement_weight(inner)
        } else if let Control::Set { value, .. } = control {
            128 + value.as_ref().map_or(0, String::len)
        } else {
            128
        }
    });
    let effects = statement.effects.len() * 512;
    let literals = statement.literals.iter().map(literal_weight).sum::<usize>();
    512 + statement.text.len() + literals + effects + outputs + prepared.sum::<usize>()
}

/// Effects, each once, in their order.
fn each_once<'e>(all: impl Iterator<Item = &'e Effect>) -> Vec<Effect> {
    let mut seen = HashSet::new();
    all.filter(|effect| seen.insert(*effect)).cloned().collect()
}

fn tagged_outputs(statement: &Statement) -> Vec<(ColumnName, BTreeSet<Tag>)> {
    let Outputs::Columns(columns) = &statement.outputs else { return Vec::new() };
    columns
        .iter()
        .filter_map(|c| match &c.lineage {
            Lineage::Plain(sources) | Lineage::Derived(sources) => Some(sources),
            Lineage::Clear | Lineage::Unknown(_) => None,
        })
        .flatten()
        .map(|source| (source.column.clone(), source.tags.clone()))
        .collect()
}

fn joined_facts(statements: &[Arc<Statement>]) -> Facts {
    let mut joined = Facts { has_where: true, ..Facts::default() };
    for facts in statements.iter().map(|s| &s.facts) {
        if !joined.kind.is_empty() {
            joined.kind.push_str("; ");
        }
        joined.kind.push_str(&facts.kind);
        joined.has_where &= facts.has_where;
        joined.tables.extend(facts.tables.iter().cloned());
        joined.functions.extend(facts.functions.iter().cloned());
        joined.parameters = joined.parameters.max(facts.parameters);
    }
    joined.statements = u32::try_from(statements.len()).unwrap_or(u32::MAX);
    joined
}
