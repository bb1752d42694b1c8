//! What a client wants done, described: the message as it came with what it means.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{ColumnName, Effect, Facts, Inspect, Particulars, Tag, Tier, Touched};
use sql::postgres::catalog::{Catalog, Oid};
use sql::postgres::outline;
use wire::postgres::frontend::Frontend;

use super::ceiling;
use super::estimate::{self, Planned};
use super::expected::Bound;
use super::masks;
use super::operation::{Operation, Written};
use super::particulars;
use super::prepared::Prepared;
use super::preview::{self, Outlook};
use super::under::Under;
use crate::audit::{Form, Shown, StatementNote, ValueNote};
use crate::errand::Errand;
use crate::holds::{Alike, Countable};
use crate::plans::Ahead;
use crate::spine::{Auditable, Learned};
use crate::traces::Understood;

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
        self.operation.effects()
    }

    fn facts(&self) -> &Facts {
        self.operation.facts()
    }

    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        self.operation.tagged_outputs()
    }

    fn shape(&self) -> [u8; 16] {
        self.operation.shape()
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
        StatementNote { phase, kind: &self.operation.facts().kind, text, fields, values }
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
        self.seen.catalogue.touched(self.operation.facts(), self.operation.effects())
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
        !self.operation.effects().iter().all(crate::freezes::is_read)
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
