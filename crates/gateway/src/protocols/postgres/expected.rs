//! What the server still owes an answer to, in order.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use model::ColumnName;
use sql::postgres::Control;
use wire::postgres::backend::Field;
use wire::postgres::build;

use super::ceiling::Limit;
use super::conversation::Running;
use super::guard::Lock;
use super::operation::Operation;
use super::prepared::{Epoch, Prepared};
use super::returned::{Over, Returns};
use crate::audit::DecisionId;

/// One message that went to the server, and what its answer means.
pub(super) enum Expected {
    /// A simple Query: results, then ReadyForQuery.
    Query(Run),
    /// ParseComplete.
    Parse {
        /// The statement's name.
        name: String,
        /// What is kept under it once the server says so.
        prepared: Arc<Prepared>,
        /// The number of the decision that let it pass.
        operation: u64,
    },
    /// BindComplete.
    Bind {
        /// The portal's name.
        portal: String,
        /// What is kept under it once the server says so.
        bound: Arc<Bound>,
    },
    /// ParameterDescription, then RowDescription or NoData.
    DescribeStatement {
        /// Gets its fields from the answer.
        prepared: Option<Arc<Prepared>>,
        /// Asked by us: the answer is not the client's.
        ours: bool,
    },
    /// RowDescription or NoData.
    DescribePortal {
        /// Gets its fields from the answer.
        bound: Option<Arc<Bound>>,
        /// Asked by us: the answer is not the client's.
        ours: bool,
    },
    /// Rows, then an end.
    Execute(Run),
    /// CloseComplete of a statement.
    CloseStatement(String),
    /// CloseComplete of a portal.
    ClosePortal(String),
    /// ReadyForQuery.
    Sync,
    /// FunctionCallResponse, then ReadyForQuery.
    FunctionCall(Run),
    /// Part of a statement of ours.
    Own(OwnPart),
    /// Part of the statement that locks or lifts the second lock (`guard`).
    Guard(OwnPart, Lock),
    /// A stand-in that certainly fails; its error is replaced by this one.
    Refused(Refused),
    /// No answer: here the client ended the data of a COPY that had not begun yet. Every Sync before it is data, too,
    /// if the COPY begins.
    CopyEnd,
}

/// A refusal that stands in the order of answers.
pub(super) struct Refused {
    /// The ErrorResponse for the client, whole.
    pub error: Vec<u8>,
    /// Whether it stands for a simple Query, which is answered with a ReadyForQuery.
    pub simple: bool,
    /// It stands for a Parse of the unnamed statement, which drops the one before it.
    pub unnamed: bool,
}

/// The parts of one of our statements, in the order of their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnPart {
    Parse,
    Bind,
    Execute,
    ClosePortal,
    CloseStatement,
    Sync,
}

impl OwnPart {
    /// Those of each statement.
    pub(super) const EACH: [Self; 5] =
        [Self::Parse, Self::Bind, Self::Execute, Self::ClosePortal, Self::CloseStatement];
}

/// A portal: a statement with its values.
pub(super) struct Bound {
    /// What it means.
    pub operation: Arc<Operation>,
    /// Whose fields and name it has; `None` for a cursor that SQL declared.
    pub prepared: Option<Arc<Prepared>>,
    /// Of a cursor: the text that declared it, and under which names that was understood.
    pub declared: Option<(Arc<str>, Epoch)>,
    /// The result formats asked for at Bind.
    pub formats: Vec<i16>,
    /// Of a cursor: its result as the server described it.
    pub fields: OnceLock<Arc<[Field]>>,
    /// The tagged columns whose clear values may be shown.
    pub reveal: Arc<BTreeSet<ColumnName>>,
    /// The decision that let it pass.
    pub decision: DecisionId,
    /// Whether it survives the end of its transaction.
    pub holdable: bool,
    /// The turn of the gateway's at which that was decided: after another one it is decided anew.
    pub turn: u64,
    /// How many rows it may change, where somebody approved it.
    pub limit: Option<Arc<Limit>>,
    /// How much it may return, and has returned.
    pub returns: Option<Arc<Returns>>,
}

/// An operation that is running.
pub(super) struct Run {
    /// What it means.
    pub bound: Arc<Bound>,
    /// When it was sent.
    pub started: Instant,
    /// The statement of a simple Query that is answered now.
    pub current: usize,
    /// Whether the current statement's columns are known.
    pub described: bool,
    /// Rows of the current statement so far.
    pub rows: u64,
    /// SQLSTATE, once it has failed.
    pub failed: Option<String>,
    /// It would return more than it may.
    pub over: Option<Over>,
    /// It stands behind what was run without a Sync, and may leave that open.
    pub piped: bool,
}

impl Bound {
    /// A portal of which only the meaning is known.
    pub(super) fn of(operation: Arc<Operation>) -> Self {
        let (reveal, decision) = (Arc::default(), DecisionId::default());
        Self::under(operation, Running { reveal, decision, turn: 0, limit: None, most: None, text: None })
    }

    /// One that runs under these terms.
    pub(super) fn under(operation: Arc<Operation>, terms: Running) -> Self {
        let Running { reveal, decision, turn, limit, most, text: _ } = terms;
        let (formats, fields) = (Vec::new(), OnceLock::new());
        let (prepared, declared, holdable) = (None, None, false);
        let returns =
            most.filter(|_| returns_something(&operation)).map(|most| Arc::new(Returns::none(most)));
        Self {
            operation,
            prepared,
            declared,
            formats,
            fields,
            reveal,
            decision,
            holdable,
            turn,
            limit,
            returns,
        }
    }

    /// How many bytes it takes to keep it, about: the statement that it was made of may have another name, or none any more.
    pub(super) fn weight(&self) -> usize {
        let kept = self.prepared.as_ref().map_or_else(|| self.operation.weight(), |p| p.weight());
        let text = self.declared.as_ref().map_or(0, |(text, _)| text.len());
        256 + kept + text + 2 * self.formats.len()
    }

    /// The same as it was decided again.
    pub(super) fn again(&self, reveal: Arc<BTreeSet<ColumnName>>, decision: DecisionId, turn: u64) -> Self {
        Self {
            operation: Arc::clone(&self.operation),
            prepared: self.prepared.clone(),
            declared: self.declared.clone(),
            formats: self.formats.clone(),
            fields: self.fields.clone(),
            reveal,
            decision,
            holdable: self.holdable,
            turn,
            limit: self.limit.clone(),
            returns: self.returns.clone(),
        }
    }

    /// How its rows are to be read, as a RowDescription; nothing where nobody has described them.
    pub(super) fn shape(&self) -> Option<Vec<u8>> {
        // A cursor's description has its formats in it, a statement's has not: they are the portal's.
        let (fields, formats) = match &self.prepared {
            Some(prepared) => (prepared.fields.get()?, self.formats.as_slice()),
            None => (self.fields.get()?, [].as_slice()),
        };
        let mut out = Vec::new();
        if formats.is_empty() {
            build::row_description(&mut out, fields);
        } else {
            let format = |index| formats.get(index).or(formats.first()).copied().unwrap_or_default();
            let fields: Vec<Field> =
                fields.iter().enumerate().map(|(i, f)| Field { format: format(i), ..f.clone() }).collect();
            build::row_description(&mut out, &fields);
        }
        Some(out)
    }

    /// Under which names it was understood.
    pub(super) fn understood_under(&self) -> Option<Epoch> {
        let of_cursor = self.declared.as_ref().map(|(_, epoch)| *epoch);
        of_cursor.or_else(|| self.prepared.as_ref().map(|prepared| prepared.epoch))
    }

    /// Whether it calls code whose names the server finds whenever rows are fetched.
    pub(super) fn is_late(&self) -> bool {
        self.operation.runs_code()
    }
}

/// Whether rows may come of it, or of the cursor that it declares, or a function's value.
fn returns_something(operation: &Operation) -> bool {
    let declares = operation.controls().any(|control| matches!(control, Control::Declare { .. }));
    declares || operation.statements.iter().any(|statement| statement.outputs.returns_rows())
}

impl Run {
    pub(super) fn new(bound: Arc<Bound>) -> Self {
        Self {
            bound,
            started: Instant::now(),
            current: 0,
            described: false,
            rows: 0,
            failed: None,
            over: None,
            piped: false,
        }
    }
}

impl Expected {
    /// The number of the decision on the operation that is answered; 0 where it is none of the client's.
    pub(super) fn operation(&self) -> u64 {
        match self {
            Self::Query(run) | Self::Execute(run) | Self::FunctionCall(run) => run.bound.decision.n,
            Self::Bind { bound, .. } | Self::DescribePortal { bound: Some(bound), .. } => bound.decision.n,
            Self::Parse { operation, .. } => *operation,
            Self::DescribePortal { bound: None, .. }
            | Self::DescribeStatement { .. }
            | Self::CloseStatement(_)
            | Self::ClosePortal(_)
            | Self::Sync
            | Self::Own(_)
            | Self::Guard(..)
            | Self::Refused(_)
            | Self::CopyEnd => 0,
        }
    }

    /// Whether an error before it does not reach beyond it.
    pub(super) fn ends_segment(&self) -> bool {
        match self {
            Self::Query(_)
            | Self::Sync
            | Self::FunctionCall(_)
            | Self::Own(OwnPart::Sync)
            | Self::Guard(OwnPart::Sync, _) => true,
            Self::Refused(refused) => refused.simple,
            Self::Parse { .. }
            | Self::Bind { .. }
            | Self::DescribeStatement { .. }
            | Self::DescribePortal { .. }
            | Self::Execute(_)
            | Self::CloseStatement(_)
            | Self::ClosePortal(_)
            | Self::CopyEnd
            | Self::Own(_)
            | Self::Guard(..) => false,
        }
    }
}
