//! What a client wants done, described: the message as it came with what it means.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use model::{ColumnName, Effect, Facts, Inspect, Tag};
use sql::postgres::{Analysis, Control, Lineage, Outputs, Statement};
use wire::postgres::backend::Field;

use crate::audit::{StatementNote, ValueNote};
use crate::spine::{Auditable, AuditableGarbled};

/// A statement, or the several of one simple Query, with everything that policy and masking ask about. Shared by all
/// messages that carry the same text.
pub struct Operation {
    /// In the order of the text.
    pub statements: Vec<Arc<Statement>>,
    effects: Vec<Effect>,
    facts: Facts,
    tagged_outputs: Vec<(ColumnName, BTreeSet<Tag>)>,
    shape: [u8; 16],
}

impl Operation {
    /// What an analysis says, for one message.
    pub fn new(analysis: Analysis) -> Self {
        Self::of(analysis.statements, analysis.shape)
    }

    /// The statement behind `PREPARE name AS …` or `DECLARE name CURSOR FOR …`.
    pub fn single(statement: Arc<Statement>) -> Self {
        let shape = statement.shape;
        Self::of(vec![statement], shape)
    }

    fn of(statements: Vec<Arc<Statement>>, shape: [u8; 16]) -> Self {
        let mut effects: Vec<Effect> = Vec::new();
        for effect in statements.iter().flat_map(|s| &s.effects) {
            if !effects.contains(effect) {
                effects.push(effect.clone());
            }
        }
        let mut tagged: BTreeMap<ColumnName, BTreeSet<Tag>> = BTreeMap::new();
        for (column, tags) in statements.iter().flat_map(|s| tagged_outputs(s)) {
            tagged.entry(column).or_default().extend(tags);
        }
        let facts = joined_facts(&statements);
        Self { statements, effects, facts, tagged_outputs: tagged.into_iter().collect(), shape }
    }

    /// All that it does to the session.
    pub fn controls(&self) -> impl Iterator<Item = &Control> {
        self.statements.iter().flat_map(|s| &s.control)
    }

    /// Whether a name was not found; the catalogue may be old.
    pub fn unresolved(&self) -> bool {
        self.statements.iter().any(|s| s.unresolved)
    }
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

/// A prepared statement, the wire's or SQL's: they share their names.
pub struct Prepared {
    /// The text, so that it can be understood again when names have moved; `None` for SQL's `PREPARE`.
    pub text: Option<Arc<str>>,
    /// The parameter types that the client gave with it.
    pub operation: Arc<Operation>,
    /// Under which names it was understood.
    pub epoch: Epoch,
    /// Its result as the server described it.
    pub fields: OnceLock<Arc<[Field]>>,
}

/// Names under which a statement was understood: it is understood again when one of them has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Epoch {
    /// Counts changes of search path, role and temporary schema of this session.
    pub session: u64,
    /// The catalogue's version.
    pub catalogue: u64,
}

/// One message that carries intent.
pub struct Request {
    /// The message as it came, whole.
    pub frame: Vec<u8>,
    /// Which message, and what it refers to.
    pub kind: RequestKind,
    /// What it means.
    pub operation: Arc<Operation>,
}

/// The messages that carry intent.
pub enum RequestKind {
    /// A simple Query.
    Query,
    /// A statement to keep under a name; decided on its shape.
    Parse {
        /// The name; empty for the unnamed one.
        name: String,
        /// What will be kept.
        prepared: Arc<Prepared>,
    },
    /// A statement with its values: this is the operation.
    Bind {
        /// The portal's name; empty for the unnamed one.
        portal: String,
        /// What is bound.
        prepared: Arc<Prepared>,
        /// The result formats asked for.
        formats: Vec<i16>,
    },
    /// A call by the function's OID.
    FunctionCall,
}

impl Inspect for Request {
    fn effects(&self) -> &[Effect] {
        &self.operation.effects
    }

    fn facts(&self) -> &Facts {
        &self.operation.facts
    }

    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        &self.operation.tagged_outputs
    }

    fn shape(&self) -> [u8; 16] {
        self.operation.shape
    }
}

impl Auditable for Request {
    fn statement(&self) -> StatementNote {
        let phase = match &self.kind {
            RequestKind::Query => "query",
            RequestKind::Parse { .. } => "parse",
            RequestKind::Bind { .. } => "bind",
            RequestKind::FunctionCall => "function call",
        };
        let mut text = String::new();
        let mut values = Vec::new();
        for statement in &self.operation.statements {
            if !text.is_empty() {
                text.push_str("; ");
            }
            text.push_str(&statement.text);
            if matches!(self.kind, RequestKind::Query | RequestKind::Parse { .. }) {
                values.extend(statement.literals.iter().map(|l| ValueNote(Some(l.value.clone().into_bytes()))));
            }
        }
        if let RequestKind::Bind { .. } = &self.kind {
            values = self.bound_values();
        }
        StatementNote { phase, kind: self.operation.facts.kind.clone(), text, values }
    }
}

impl Request {
    /// The parameter values of a Bind, as they are on the wire.
    fn bound_values(&self) -> Vec<ValueNote> {
        let Ok(Some(frame)) = wire::postgres::split(&self.frame, usize::MAX) else { return Vec::new() };
        let Ok(wire::postgres::frontend::Frontend::Bind(bind)) = wire::postgres::frontend::frontend(&frame) else {
            return Vec::new();
        };
        bind.values.iter().map(|v| ValueNote(v.map(<[u8]>::to_vec))).collect()
    }
}

/// What arrived but cannot be understood; refused in its place.
pub struct Garbled {
    /// SQLSTATE.
    pub code: &'static str,
    /// For the client.
    pub message: String,
    /// For the client, if something would help.
    pub hint: Option<String>,
    /// Where in the text, from 1, in characters.
    pub position: Option<u32>,
    /// Whether it came as a simple Query (answered with a ReadyForQuery) or in the extended protocol.
    pub simple: bool,
}

impl AuditableGarbled for Garbled {
    fn code(&self) -> &str {
        self.code
    }

    fn reason(&self) -> &str {
        &self.message
    }
}
