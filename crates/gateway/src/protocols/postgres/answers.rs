//! What the server's messages mean, one at a time: matched with what it owes, and turned into what the client gets.

mod failures;
mod results;

use std::collections::VecDeque;
use std::sync::Arc;

use wire::postgres::Frame;
use wire::postgres::backend::{self, Backend, TransactionStatus};

use super::ceiling::{self, Stage};
use super::chunk::{Chunk, ChunkKind, RowPlan};
use super::control::{Left, Rows};
use super::conversation::Conversation;
use super::expected::{Bound, Expected, OwnPart, Refused, Run};
use super::guard;
use super::masks::{self, Masks};
use super::returned::{self, Next, Over, Returns, TOO_MUCH};
use crate::audit::Outcome;
use crate::inside::Ear;
use crate::spine::Stop;
use crate::traces::Spent;
use failures::notice;
pub(super) use failures::{cut, too_long};

/// So much of what a session asks for itself is kept, in bytes: its target's catalogue, as it alone sees it.
const MOST_OF_OURS: usize = 256 << 20;

/// What the client gets for one message of the server's.
pub(super) enum Heard {
    /// The message as it is.
    Pass,
    /// A row, under the current plan.
    Row,
    /// Nothing: it was for us.
    Swallow,
    /// This instead.
    Instead(Vec<u8>),
    /// The answer to a statement of ours is longer than any may be: the session ends.
    TooMuch,
    /// The result cannot be shown with certainty: the session ends, since the server believes that it was.
    Cut(&'static str),
}

/// What becomes of a row that is too long to be held whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passes {
    /// It is passed on as it comes.
    AsItComes,
    /// None of it is.
    LeftOut,
    /// It must be held whole.
    No,
}

/// Turns the server's messages into what the client gets.
pub(super) struct Answers {
    masks: Masks,
    /// The plan of the result that is coming now; `None` where nothing of it is masked.
    pub(super) plan: Option<RowPlan>,
    kind: Option<ChunkKind>,
    /// For what holds nothing to mask.
    clear: RowPlan,
    /// The rows of each of our statements.
    own_rows: Vec<Rows>,
    /// How much more of them is kept.
    own_left: Left,
    /// A statement of ours failed, with this SQLSTATE.
    pub(super) own_failed: Option<String>,
    /// What the client would get of that, were it the client's.
    pub(super) own_error: Vec<u8>,
    /// What was kept from the client until it was certain.
    pub(super) released: Vec<u8>,
    /// Operations that ended, for the journal.
    pub(super) outcomes: VecDeque<Outcome>,
    /// Whether somebody records what comes.
    pub(super) recorded: bool,
    /// How the rows that come now are to be read, for the recording, until it is told.
    pub(super) shape: Option<Vec<u8>>,
    /// How long the result that is coming now was masked.
    pub(super) masking: Spent,
    /// Who is told which columns of a result are masked.
    pub(super) ear: Option<Arc<Ear>>,
    /// The client has been told that the session ends.
    pub(super) fatal: bool,
    /// A transaction with DDL has ended: the shared catalogue is to be read before the client hears of it.
    pub(super) refresh: bool,
    /// Policy lets no more be returned of what is coming: its target is to be told to stop.
    pub(super) enough: bool,
    /// What a read that returned too much is to end with, and whether it was a simple Query.
    pub(super) beyond: Option<(Vec<u8>, bool)>,
    /// Where the bytes of the next masked row are counted.
    pub(super) counting: Option<Arc<Returns>>,
}

impl Answers {
    pub(super) fn new(masks: Masks) -> Self {
        Self {
            masks,
            plan: None,
            kind: None,
            clear: RowPlan::clear(),
            own_rows: Vec::new(),
            own_left: Left::bytes(MOST_OF_OURS),
            own_failed: None,
            own_error: Vec::new(),
            released: Vec::new(),
            outcomes: VecDeque::new(),
            recorded: true,
            shape: None,
            masking: Spent::default(),
            ear: None,
            fatal: false,
            refresh: false,
            enough: false,
            beyond: None,
            counting: None,
        }
    }

    /// How a row of the result that is coming now is to be read.
    pub(super) fn row_kind(&self) -> ChunkKind {
        match (&self.plan, &self.kind) {
            (Some(_), Some(ChunkKind::Copy)) => ChunkKind::Copy,
            (Some(_), _) => ChunkKind::Rows,
            (None, _) => ChunkKind::Frames,
        }
    }

    /// Whether what was heard is dealt with before more is.
    pub(super) fn pauses(&self) -> bool {
        self.enough || self.beyond.is_some() || self.counting.is_some()
    }

    /// The plan of a chunk that was just heard.
    pub(super) fn plan_for(&mut self, chunk: &Chunk) -> Result<&mut RowPlan, Stop> {
        match chunk.kind {
            ChunkKind::Frames => Ok(&mut self.clear),
            ChunkKind::Rows | ChunkKind::Copy => {
                self.plan.as_mut().ok_or(Stop::Broken("rows without their plan"))
            }
        }
    }

    /// A statement of ours is sent.
    pub(super) fn ask_begun(&mut self) {
        self.own_rows.clear();
        self.own_left = Left::bytes(MOST_OF_OURS);
        self.own_failed = None;
        self.own_error.clear();
    }

    /// The rows of each of our statements, in their order.
    pub(super) fn take_results(&mut self) -> Vec<Rows> {
        std::mem::take(&mut self.own_rows)
    }

    /// Whether a row that comes now is ours.
    pub(super) fn is_own_row(&self, c: &Conversation) -> bool {
        matches!(c.expected.front(), Some(Expected::Own(_)))
    }

    /// Counts a row that is too long to be held whole, if nothing of its result is masked.
    pub(super) fn passes_row(&mut self, c: &mut Conversation, bytes: usize) -> Result<Passes, &'static str> {
        if returned::is_over(c) {
            return Ok(Passes::LeftOut);
        }
        self.settle(c)?;
        if self.plan.is_some() {
            return Ok(Passes::No);
        }
        if self.leaves_out(c, bytes) {
            return Ok(Passes::LeftOut);
        }
        match c.expected.front_mut() {
            Some(Expected::Query(run) | Expected::Execute(run)) => {
                run.rows += 1;
                Ok(Passes::AsItComes)
            }
            _ => Ok(Passes::No),
        }
    }

    /// Counts a row. Whether it is left out, since policy bounds how much is returned.
    fn leaves_out(&mut self, c: &mut Conversation, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).ok().filter(|_| self.plan.is_none());
        match returned::counted(c, bytes) {
            Next::Row => {
                self.counting = if self.plan.is_some() { returned::counts_bytes(c) } else { None };
                false
            }
            Next::LeftOut => true,
            Next::Enough => {
                self.enough = true;
                true
            }
        }
    }

    /// Deals with one message.
    pub(super) fn server(&mut self, c: &mut Conversation, frame: &Frame<'_>) -> Result<Heard, Stop> {
        let heard = self.dealt_with(c, frame);
        c.skip_marks();
        heard
    }

    fn dealt_with(&mut self, c: &mut Conversation, frame: &Frame<'_>) -> Result<Heard, Stop> {
        match frame.kind {
            b'D' => return self.row(c, frame),
            b'd' => return self.copy_row(c, frame),
            _ => (),
        }
        if returned::is_over(c) {
            return self.beyond(c, frame);
        }
        self.answered(c, frame)
    }

    /// What is told in the place of an answer is the gateway's word, and not its target's: by these policies, where some decided.
    pub(super) fn own_words(&self, policies: Vec<String>) {
        if let Some(ear) = &self.ear {
            ear.hears_refusal(policies);
        }
    }

    /// The end of a read of which no more is shown, however its target came to it.
    fn beyond(&mut self, c: &mut Conversation, frame: &Frame<'_>) -> Result<Heard, Stop> {
        let over = match c.expected.front_mut() {
            Some(Expected::Query(run) | Expected::Execute(run)) => {
                run.described = true;
                let over = run.over.as_ref();
                self.own_words(over.map(|over| over.policy().to_owned()).into_iter().collect());
                over.map(Over::error).unwrap_or_default()
            }
            _ => return Err(unexpected()),
        };
        match frame.kind {
            // Columns and data of what follows it in its message.
            b'T' | b'H' | b'c' => return Ok(Heard::Swallow),
            b'C' | b'I' | b's' => {
                let simple = matches!(c.expected.front(), Some(Expected::Query(_)));
                self.answered(c, frame)?;
                if !simple {
                    self.beyond = Some((over, false));
                }
            }
            b'Z' => {
                self.answered(c, frame)?;
                self.beyond = Some((over, true));
            }
            b'E' => {
                self.answered(c, frame)?;
                return Ok(Heard::Instead(over));
            }
            _ => return self.answered(c, frame),
        }
        Ok(Heard::Swallow)
    }

    fn answered(&mut self, c: &mut Conversation, frame: &Frame<'_>) -> Result<Heard, Stop> {
        let message =
            backend::backend(frame).map_err(|wire::Malformed(why)| Stop::Upstream(why.to_owned()))?;
        let (may_mask, indifferent) = (c.understanding.may_mask(), c.understanding.is_indifferent());
        match message {
            Backend::DataRow(_) | Backend::CopyData(_) => Ok(Heard::Pass),
            Backend::NoticeResponse(_) => Ok(notice(c, frame)),
            Backend::NotificationResponse { .. } | Backend::NegotiateProtocolVersion { .. } => {
                Ok(Heard::Pass)
            }
            // Statements are read as if these two were never changed. No policy lets a client do it, but a function could.
            Backend::ParameterStatus { name: b"standard_conforming_strings", value }
                if value != b"on" && !indifferent =>
            {
                Ok(Heard::Cut("strings would not be read as the gateway reads them"))
            }
            Backend::ParameterStatus { name: b"client_encoding", value }
                if value != b"UTF8" && !indifferent =>
            {
                Ok(Heard::Cut("texts would not be read as the gateway reads them"))
            }
            // What the gateway sets is not the client's to see.
            Backend::ParameterStatus { name, .. }
                if name == guard::SETTING.as_bytes() && !c.guard.is_off() =>
            {
                Ok(Heard::Swallow)
            }
            Backend::ParameterStatus { name, value } => {
                c.reported(name, value);
                Ok(Heard::Pass)
            }
            Backend::ErrorResponse(_) => Ok(self.error(c, frame)),
            Backend::ReadyForQuery(status) => self.ready(c, status),
            Backend::ParseComplete => self.parsed(c),
            Backend::BindComplete => self.bound(c),
            Backend::CloseComplete => self.closed(c),
            Backend::ParameterDescription(types) => {
                let Some(Expected::DescribeStatement { prepared, ours }) = c.expected.front() else {
                    return Ok(Heard::Pass);
                };
                if let Some(prepared) = prepared {
                    let _ = prepared.described.set(types.into());
                }
                Ok(if *ours { Heard::Swallow } else { Heard::Pass })
            }
            Backend::RowDescription(fields) => self.described(c, fields),
            Backend::NoData => self.no_data(c),
            Backend::CommandComplete(tag) => self.completed(c, frame, &String::from_utf8_lossy(tag)),
            Backend::EmptyQuery => self.completed(c, frame, ""),
            Backend::PortalSuspended => self.suspended(c, frame),
            Backend::CopyIn(_) => {
                c.copy_in_begun();
                Ok(Heard::Pass)
            }
            Backend::CopyOut(shape) => self.copy_out(c, &shape),
            Backend::CopyBoth(_) => {
                Err(Stop::Upstream("replication was begun, though nobody may".to_owned()))
            }
            Backend::CopyDone => Ok(Heard::Pass),
            Backend::FunctionCallResponse(_) => match c.expected.front_mut() {
                Some(Expected::FunctionCall(run)) if !may_mask || masks::is_clear(&run.bound.operation) => {
                    run.rows = 1;
                    if let Some(instead) = returned::instead_of_value(run, frame.whole.len()) {
                        return Ok(Heard::Instead(instead));
                    }
                    let limited = run.bound.limit.is_some();
                    Ok(if limited { kept(c, frame) } else { Heard::Pass })
                }
                Some(Expected::FunctionCall(_)) => {
                    Ok(Heard::Cut("a function's result that cannot be masked"))
                }
                _ => Err(unexpected()),
            },
            Backend::Authentication(_) | Backend::BackendKeyData { .. } => Err(unexpected()),
        }
    }

    fn parsed(&mut self, c: &mut Conversation) -> Result<Heard, Stop> {
        match c.expected.pop_front() {
            Some(Expected::Parse { name, prepared, operation: _ }) => {
                c.names.keep_statement(name, prepared);
                c.settled();
                Ok(Heard::Pass)
            }
            Some(Expected::Own(OwnPart::Parse) | Expected::Guard(OwnPart::Parse, _)) => Ok(Heard::Swallow),
            _ => Err(unexpected()),
        }
    }

    fn bound(&mut self, c: &mut Conversation) -> Result<Heard, Stop> {
        match c.expected.pop_front() {
            Some(Expected::Bind { portal, bound }) => {
                c.planned(&bound);
                c.names.keep_portal(portal, bound);
                c.settled();
                Ok(Heard::Pass)
            }
            Some(Expected::Own(OwnPart::Bind)) => {
                self.own_rows.push(Rows::new());
                Ok(Heard::Swallow)
            }
            Some(Expected::Guard(OwnPart::Bind, _)) => Ok(Heard::Swallow),
            _ => Err(unexpected()),
        }
    }

    fn closed(&mut self, c: &mut Conversation) -> Result<Heard, Stop> {
        let heard = match c.expected.pop_front() {
            Some(Expected::CloseStatement(name)) => {
                c.names.drop_statement(&name);
                Heard::Pass
            }
            Some(Expected::ClosePortal(name)) => {
                c.names.drop_portal(&name);
                Heard::Pass
            }
            Some(
                Expected::Own(OwnPart::ClosePortal | OwnPart::CloseStatement)
                | Expected::Guard(OwnPart::ClosePortal | OwnPart::CloseStatement, _),
            ) => Heard::Swallow,
            _ => return Err(unexpected()),
        };
        c.settled();
        Ok(heard)
    }

    fn completed(&mut self, c: &mut Conversation, frame: &Frame<'_>, tag: &str) -> Result<Heard, Stop> {
        self.plan = None;
        self.kind = None;
        match c.expected.front_mut() {
            Some(Expected::Query(run)) => {
                let current = run.current;
                let outcome = outcome(run, tag, None);
                run.current += 1;
                run.described = false;
                run.rows = 0;
                let warning = returned::next_statement(run);
                let bound = Arc::clone(&run.bound);
                self.refresh |= apply(c, &bound, current, tag);
                self.noted(c, &bound, current, tag, outcome);
                // The last one's is not sent before the transaction is committed, nor by the server.
                let is_last = current + 1 == bound.operation.statements.len();
                if bound.limit.is_some() && is_last {
                    warned(c, warning);
                    return Ok(kept(c, frame));
                }
                Ok(behind(warning, frame))
            }
            Some(Expected::Execute(_)) => {
                let Some(Expected::Execute(mut run)) = c.expected.pop_front() else {
                    return Err(unexpected());
                };
                self.noted(c, &run.bound, 0, tag, outcome(&run, tag, None));
                let warning = warning(&mut run);
                self.refresh |= apply(c, &run.bound, 0, tag);
                c.settled();
                if run.bound.limit.is_some() {
                    warned(c, warning);
                    return Ok(kept_and_ran(c, frame));
                }
                Ok(behind(warning, frame))
            }
            Some(Expected::Own(OwnPart::Execute) | Expected::Guard(OwnPart::Execute, _)) => {
                c.expected.pop_front();
                Ok(Heard::Swallow)
            }
            _ => Err(unexpected()),
        }
    }

    /// An outcome is one when it is certain.
    fn noted(&mut self, c: &mut Conversation, bound: &Bound, index: usize, tag: &str, outcome: Outcome) {
        match c.capped.as_mut().filter(|_| bound.limit.is_some()) {
            Some(capped) => {
                let statement = bound.operation.statements.get(index);
                capped.told = capped.told.saturating_add(ceiling::told(statement, tag, outcome.rows));
                capped.outcomes.push(outcome);
            }
            None => self.outcomes.push_back(outcome),
        }
    }

    fn suspended(&mut self, c: &mut Conversation, frame: &Frame<'_>) -> Result<Heard, Stop> {
        self.plan = None;
        self.kind = None;
        match c.expected.pop_front() {
            Some(Expected::Execute(mut run)) => {
                self.noted(c, &run.bound, 0, "", outcome(&run, "", None));
                c.settled();
                let warning = warning(&mut run);
                if run.bound.limit.is_some() {
                    warned(c, warning);
                    return Ok(kept_and_ran(c, frame));
                }
                Ok(behind(warning, frame))
            }
            _ => Err(unexpected()),
        }
    }

    fn ready(&mut self, c: &mut Conversation, status: TransactionStatus) -> Result<Heard, Stop> {
        self.plan = None;
        self.kind = None;
        let front = c.expected.pop_front();
        let piped = matches!(&front, Some(Expected::Query(run) | Expected::FunctionCall(run)) if run.piped);
        let heard = match front {
            Some(Expected::Query(_) | Expected::Refused(Refused { simple: true, .. })) => {
                c.names.simple_query();
                c.query_ended();
                ran(c)
            }
            Some(Expected::FunctionCall(run)) => {
                if run.failed.is_none() {
                    self.noted(c, &run.bound, 0, "", outcome(&run, "", None));
                    run.bound.operation.statements.iter().for_each(|statement| c.ran(statement, ""));
                }
                ran(c)
            }
            Some(Expected::Sync) => Heard::Pass,
            Some(Expected::Own(OwnPart::Sync) | Expected::Guard(OwnPart::Sync, _)) => Heard::Swallow,
            _ => return Err(unexpected()),
        };
        c.ready(status, piped);
        // What is in flight may have DDL in it that is not done yet.
        let is_over = status == TransactionStatus::Idle && c.expected.is_empty();
        self.refresh |= status == TransactionStatus::Idle && c.understanding.has_ddl();
        if is_over {
            c.understanding.forget_ddl();
        }
        Ok(heard)
    }
}

/// What is said of the rows of a write that are left out.
fn warning(run: &mut Run) -> Option<Vec<u8>> {
    if run.bound.operation.reads() { None } else { run.over.take().map(|over| over.warning()) }
}

/// The end of a statement, behind what is said of it.
fn behind(warning: Option<Vec<u8>>, frame: &Frame<'_>) -> Heard {
    let Some(mut out) = warning else { return Heard::Pass };
    out.extend_from_slice(frame.whole);
    Heard::Instead(out)
}

/// The same of an approved operation.
fn warned(c: &mut Conversation, warning: Option<Vec<u8>>) {
    if let (Some(capped), Some(warning)) = (&mut c.capped, warning) {
        capped.held.extend_from_slice(&warning);
    }
}

/// What the server says at the end of an approved operation waits until that stays.
fn kept(c: &mut Conversation, frame: &Frame<'_>) -> Heard {
    let Some(capped) = &mut c.capped else { return Heard::Pass };
    capped.held.extend_from_slice(frame.whole);
    Heard::Swallow
}

/// The same of a message behind which nothing more of it comes.
fn kept_and_ran(c: &mut Conversation, frame: &Frame<'_>) -> Heard {
    let heard = kept(c, frame);
    ran(c);
    heard
}

/// An approved operation has run: it is looked at before the client hears of it.
fn ran(c: &mut Conversation) -> Heard {
    let Some(capped) = &mut c.capped else { return Heard::Pass };
    match &capped.stage {
        Stage::Running(limit) => {
            let simple = capped.simple;
            capped.stage = Stage::Ran(Arc::clone(limit));
            if simple {
                c.ended_by_query();
            }
            Heard::Swallow
        }
        Stage::Failed => {
            c.ended_by_query();
            Heard::Swallow
        }
        // What was in flight before it.
        Stage::Waiting(_)
        | Stage::Kept(..)
        | Stage::Beginning(_)
        | Stage::Ran(_)
        | Stage::Counting(_)
        | Stage::Closing(_)
        | Stage::Committing
        | Stage::Undoing(_) => Heard::Pass,
    }
}

/// What a completed statement did to the session's names and settings. Whether others see from now on what it defined.
fn apply(c: &mut Conversation, bound: &Arc<Bound>, index: usize, tag: &str) -> bool {
    let Some(statement) = bound.operation.statements.get(index) else { return false };
    if statement.control.is_empty() {
        return false;
    }
    let run = Run::new(Arc::clone(bound));
    let epoch = c.understanding.epoch();
    for control in &statement.control {
        c.names.completed(control, &run, epoch);
    }
    c.ran(statement, tag);
    // Behind `AND CHAIN` the server says of no moment that nothing is open.
    tag.starts_with("COMMIT") && c.understanding.has_ddl()
}

fn outcome(run: &Run, tag: &str, failed: Option<&str>) -> Outcome {
    let beyond = run.over.is_some() && run.bound.operation.reads();
    Outcome {
        decision: run.bound.decision.clone(),
        rows: affected(tag).filter(|_| !beyond).unwrap_or(run.rows),
        duration: run.started.elapsed(),
        sqlstate: if beyond { Some(TOO_MUCH.to_owned()) } else { failed.map(str::to_owned) },
        masking: Spent::default(),
        stopped: None,
        instructions: 0,
    }
}

/// The count at the end of a command tag: `UPDATE 3`, `INSERT 0 3`.
fn affected(tag: &str) -> Option<u64> {
    tag.trim_end_matches('\0').rsplit(' ').next()?.parse().ok()
}

fn unexpected() -> Stop {
    Stop::Upstream("a message that answers nothing".to_owned())
}
