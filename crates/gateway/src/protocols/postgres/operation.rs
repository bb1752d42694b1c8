//! What a client wants done, described: the message as it came with what it means.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use hashbrown::HashSet;
use journal::record::Fields;
use model::{ColumnName, Effect, Facts, Inspect, Particulars, Tag, Tier, Touched};
use sql::postgres::catalog::{Catalog, Oid};
use sql::postgres::outline;
use sql::postgres::{Absent, Analysis, Control, Lineage, Literal, Outputs, Statement};
use wire::postgres::frontend::Frontend;

use super::ceiling;
use super::estimate::{self, Planned};
use super::expected::Bound;
use super::guard;
use super::masks;
use super::particulars;
use super::prepared::Prepared;
use super::preview::{self, Outlook};
use super::under::Under;
use crate::audit::{self, Form, Shown, StatementNote, ValueNote};
use crate::errand::Errand;
use crate::holds::{Alike, Countable};
use crate::plans::Ahead;
use crate::spine::{Auditable, Learned};
use crate::traces::Understood;

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
struct Written {
    text: String,
    fields: Fields,
}

impl Meaning {
    fn written(&self) -> &Written {
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
        let statements: Vec<_> = self.statements.iter().map(extended).collect();
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

/// What the target held, as far as its session knew when it understood an operation.
pub(super) struct Seen {
    /// As the session sees it.
    pub(super) catalogue: Arc<Catalog>,
    /// The version of the catalogue that all sessions share.
    pub(super) version: u64,
}

/// One message that carries intent.
pub struct Request {
    /// The message as it came, whole.
    pub frame: Vec<u8>,
    /// Which message, and what it refers to.
    pub(super) kind: RequestKind,
    /// What it means.
    pub operation: Arc<Operation>,
    /// Under which settings.
    pub(super) under: Arc<Under>,
    /// By which catalogue.
    pub(super) seen: Seen,
    /// When that was understood.
    pub understood: Understood,
    /// Whether it came within a transaction that may have changed something already.
    pub(super) in_block: bool,
    /// What it was sent for, where it is not simply to run.
    pub(super) errand: Option<Arc<Errand>>,
    /// What its session sent before it.
    pub(super) ahead: Option<Arc<Ahead>>,
    /// How many rows the target's planner expects of it, where it was asked.
    pub(super) estimated: Option<u64>,
    /// How many rows were counted that it may change.
    pub(super) measured: Option<u64>,
}

/// The messages that carry intent.
pub(super) enum RequestKind {
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
        /// The statement's name; empty for the unnamed one.
        statement: String,
        /// What is bound.
        prepared: Arc<Prepared>,
        /// The result formats asked for.
        formats: Vec<i16>,
    },
    /// A call by the function's OID.
    FunctionCall,
    /// What was bound under other policies, tags or freezes than those of now is to run.
    Execute {
        /// The portal's name; empty for the unnamed one.
        portal: String,
        /// As it was bound.
        bound: Arc<Bound>,
    },
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

    fn particulars(&self) -> Particulars {
        let (estimated_rows, measured_rows) = (self.estimated, self.measured);
        Particulars { estimated_rows, measured_rows, ..particulars::of(self) }
    }
}

impl Auditable for Request {
    fn statement(&self) -> StatementNote<'_> {
        let phase = match &self.kind {
            RequestKind::Query => "query",
            RequestKind::Parse { .. } => "parse",
            RequestKind::Bind { .. } => "bind",
            RequestKind::FunctionCall => "function call",
            RequestKind::Execute { .. } => "execute",
        };
        let mut values = match &self.kind {
            RequestKind::Bind { .. } => self.bound_values(),
            RequestKind::Query
            | RequestKind::Parse { .. }
            | RequestKind::FunctionCall
            | RequestKind::Execute { .. } => Vec::new(),
        };
        // Literals are numbered behind the parameters.
        values.extend(
            self.operation
                .literals()
                .map(|l| ValueNote { bytes: Some(l.value.as_bytes()), form: Form::Literal(l.spelled) }),
        );
        let Written { text, fields } = self.operation.written();
        StatementNote { phase, kind: &self.operation.facts.kind, text, fields, values }
    }

    fn is_shape_only(&self) -> bool {
        self.is_shape()
    }

    fn understood(&self) -> Understood {
        self.understood
    }

    fn errand(&self) -> Option<&Errand> {
        self.errand.as_deref()
    }

    fn exact(&self, session: &str, part: &mut dyn FnMut(&[u8])) {
        super::exact::exact(self, session, part);
    }

    fn alike(&self) -> Option<Alike> {
        super::alike::of(self)
    }

    fn shown(&self, value: &ValueNote<'_>) -> Shown {
        super::shown::shown(value)
    }

    fn circumstances(&self) -> Vec<(String, String)> {
        self.under.lines()
    }

    fn script(&self) -> Option<String> {
        self.text_and_values().and_then(|(text, values)| values.is_empty().then_some(text))
    }

    fn ahead(&self) -> Option<&Ahead> {
        self.ahead.as_deref()
    }

    fn unshown(&self) -> Option<&str> {
        if !self.seen.catalogue.any_tags() {
            return None;
        }
        masks::unshown(&self.operation, &self.kind)
    }

    fn stores_masks(&self) -> Vec<(ColumnName, BTreeSet<Tag>)> {
        if self.operation.reads() || self.is_shape() {
            return Vec::new();
        }
        super::stored::of(self)
    }

    fn touched(&self) -> Vec<Touched> {
        self.seen.catalogue.touched(&self.operation.facts, &self.operation.effects)
    }

    fn catalogue(&self) -> u64 {
        self.seen.version
    }

    fn countable(&self) -> Countable {
        ceiling::countable(self)
    }

    fn planned(&self) -> Option<Planned> {
        estimate::of(self)
    }

    fn learn(&mut self, learned: Learned) {
        match learned {
            Learned::Estimated(rows) => self.estimated = Some(rows),
            Learned::Measured(rows) => self.measured = Some(rows),
        }
    }

    fn outlook(&self, tier: Tier) -> Outlook {
        preview::outlook(self, tier)
    }
}

impl Request {
    /// One that was understood just now.
    pub(super) fn new(
        frame: Vec<u8>,
        kind: RequestKind,
        operation: Arc<Operation>,
        under: Arc<Under>,
        seen: Seen,
    ) -> Self {
        Self {
            frame,
            kind,
            operation,
            under,
            seen,
            understood: Understood::default(),
            in_block: false,
            errand: None,
            ahead: None,
            estimated: None,
            measured: None,
        }
    }

    /// A table with its partitions.
    pub(crate) fn parts(&self, table: &model::TableName) -> Vec<model::TableName> {
        self.seen.catalogue.parts(table)
    }

    /// A table with those whose rows follow its own.
    pub(crate) fn reach(&self, table: &model::TableName) -> Vec<model::TableName> {
        self.seen.catalogue.reach(table).tables().collect()
    }

    /// Whether only a statement's shape is decided here, as at Parse: it runs when it is bound, and is decided again
    /// then. A shape that policy would hold goes through; its Bind is held.
    pub fn is_shape(&self) -> bool {
        matches!(self.kind, RequestKind::Parse { .. })
    }

    /// Whether its target may be another one after it.
    pub(super) fn may_change(&self) -> bool {
        !self.operation.effects.iter().all(crate::freezes::is_read)
    }

    /// Whether it may leave something in its session for whoever comes behind it.
    pub(super) fn may_last(&self) -> bool {
        let lasts = |s: &sql::postgres::Statement| !s.control.is_empty() || s.moves_path;
        self.may_change() || self.operation.statements.iter().any(|s| lasts(s))
    }

    /// Whether it came as a message that is answered with a ReadyForQuery of its own.
    pub(super) fn is_simple(&self) -> bool {
        matches!(self.kind, RequestKind::Query | RequestKind::FunctionCall)
    }

    /// Whether it is a Parse of the unnamed statement.
    pub(super) fn is_unnamed_parse(&self) -> bool {
        matches!(&self.kind, RequestKind::Parse { name, .. } if name.is_empty())
    }

    /// The text that the client wrote, where the places of names in it are places in that text.
    pub(super) fn written_text(&self) -> Option<String> {
        match &self.kind {
            RequestKind::Parse { prepared, .. } => prepared.text.as_ref().map(ToString::to_string),
            RequestKind::Query
            | RequestKind::Bind { .. }
            | RequestKind::FunctionCall
            | RequestKind::Execute { .. } => self.text(),
        }
    }

    /// The text of a Query, or of the statement that is bound.
    pub(super) fn text(&self) -> Option<String> {
        if let RequestKind::Bind { prepared, .. } = &self.kind {
            return prepared.text.as_ref().filter(|_| prepared.by_sql.is_none()).map(ToString::to_string);
        }
        let frame = wire::postgres::split(&self.frame, usize::MAX).ok().flatten()?;
        let Frontend::Query(text) = wire::postgres::frontend::frontend(&frame).ok()? else { return None };
        String::from_utf8(text.to_vec()).ok()
    }

    /// The text with the values of its parameters, as SQL, where it is one that could be sent again.
    pub(super) fn text_and_values(&self) -> Option<(String, Vec<String>)> {
        let frame = wire::postgres::split(&self.frame, usize::MAX).ok().flatten()?;
        let message = wire::postgres::frontend::frontend(&frame).ok()?;
        if let Frontend::Query(text) = message {
            return Some((String::from_utf8(text.to_vec()).ok()?, Vec::new()));
        }
        let (RequestKind::Bind { prepared, .. }, Frontend::Bind(bind)) = (&self.kind, message) else {
            return None;
        };
        let text = prepared.text.as_ref().filter(|_| prepared.by_sql.is_none())?;
        let of = |types: &[u32], n: usize| types.get(n).copied().filter(|oid| *oid != 0);
        let described = |n| prepared.described.get().and_then(|types| of(types, n));
        let written = |(n, value): (usize, Option<&[u8]>)| {
            let oid = of(&prepared.declared, n).or_else(|| described(n)).unwrap_or(0);
            self.written(oid, bind.formats.of(n), value)
        };
        let values = bind.values.iter().enumerate().map(written).collect::<Option<_>>()?;
        Some((text.to_string(), values))
    }

    /// A value as SQL, of the type that it has where that is known.
    fn written(&self, oid: u32, format: i16, value: Option<&[u8]>) -> Option<String> {
        let value = match (value, format) {
            (None, _) => "NULL".to_owned(),
            (Some(bytes), 0) => outline::literal(&super::shown::text(bytes)?),
            (Some(bytes), _) => outline::literal(&super::shown::decoded(oid, bytes)?),
        };
        if oid == 0 {
            return Some(value);
        }
        let kind = self.seen.catalogue.type_by_oid(Oid(oid))?;
        Some(format!("CAST({value} AS {}.{})", outline::quoted(&kind.schema), outline::quoted(&kind.name)))
    }

    /// The parameter values of a Bind, as they are on the wire.
    pub(super) fn bound_values(&self) -> Vec<ValueNote<'_>> {
        let Ok(Some(frame)) = wire::postgres::split(&self.frame, usize::MAX) else { return Vec::new() };
        let Ok(wire::postgres::frontend::Frontend::Bind(bind)) = wire::postgres::frontend::frontend(&frame)
        else {
            return Vec::new();
        };
        let declared: &[u32] = match &self.kind {
            RequestKind::Bind { prepared, .. } => &prepared.declared,
            RequestKind::Query
            | RequestKind::Parse { .. }
            | RequestKind::FunctionCall
            | RequestKind::Execute { .. } => &[],
        };
        let note = |(n, bytes)| {
            let oid = declared.get(n).copied().unwrap_or(0);
            ValueNote {
                bytes,
                form: if bind.formats.of(n) == 0 { Form::Text(oid) } else { Form::Binary(oid) },
            }
        };
        bind.values.iter().enumerate().map(note).collect()
    }
}
