//! The state of one conversation: what the client may say, what the server still owes, which names there are.
//! Pure: frames in, consequences out. The sockets are in `session`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use model::ColumnName;
use sql::postgres::Control;
use wire::Malformed;
use wire::postgres::backend::TransactionStatus;
use wire::postgres::frontend::{Frontend, Kind};
use wire::postgres::{Frame, build};

use super::expected::{Bound, Expected, OwnPart, Refused, Run};
use super::names::{Names, moves_facts, moves_names};
use super::operation::{Garbled, Operation, Prepared, Request, RequestKind};
use super::own;
use super::understanding::{Understanding, depends_on_names};
use crate::audit::DecisionId;

/// What a client's message leads to.
pub(super) enum Said {
    /// It carries no intent of its own: to the server, as it is.
    Relay,
    /// The same, behind these bytes of ours.
    RelayBehind(Vec<u8>),
    /// These bytes go to the server in its place.
    Replace(Vec<u8>),
    /// The server would ignore it.
    Drop,
    /// It depends on answers in flight.
    Wait,
    /// The server must first be asked how names are resolved now.
    Ask(own::Purpose),
    /// It carries intent.
    Request(Request),
    /// It cannot be understood, or names something that is not there.
    Garbled(Garbled),
    /// We answer by ourselves.
    Answer(Vec<u8>),
    /// The client says goodbye.
    Quit,
}

/// Why the client's messages up to its next Sync are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skipping {
    No,
    /// The server has failed and waits for a Sync.
    Upstream,
    /// We refused by ourselves and answer the Sync by ourselves.
    Local,
}

/// The first OID that the server gives to what users make.
const FIRST_OWN: u32 = 16_384;

/// One conversation.
pub(super) struct Conversation {
    pub(super) expected: VecDeque<Expected>,
    pub(super) names: Names,
    pub(super) understanding: Understanding,
    pub(super) status: TransactionStatus,
    skipping: Skipping,
    /// Messages of the extended protocol went to the server and no Sync behind them.
    unsynced: bool,
    /// A Flush stands behind the last message, so that every answer will come.
    flushed: bool,
    /// Search path, role, temporary schema or catalogue may have moved.
    pub(super) stale: bool,
    /// They may have moved inside the current transaction, so its end may move them back.
    touched: bool,
    /// Statements in flight change which names there are.
    names_moving: bool,
    /// How many `COPY … FROM STDIN` wait for data of the client's.
    copies: usize,
    /// The server has begun one of them.
    pub(super) copying_in: bool,
}

impl Conversation {
    pub(super) fn new(understanding: Understanding) -> Self {
        Self {
            expected: VecDeque::new(),
            names: Names::default(),
            understanding,
            status: TransactionStatus::Idle,
            skipping: Skipping::No,
            unsynced: false,
            flushed: false,
            // Nothing was asked yet.
            stale: true,
            touched: false,
            names_moving: false,
            copies: 0,
            copying_in: false,
        }
    }

    /// Whether nothing is in flight and no transaction is open: then we may answer by ourselves.
    pub(super) fn is_idle(&self) -> bool {
        self.expected.is_empty() && !self.unsynced && self.status == TransactionStatus::Idle
    }

    /// Whether a transaction block is open.
    pub(super) fn in_block(&self) -> bool {
        self.status != TransactionStatus::Idle
    }

    /// Whether the server must be told to send what it has, and tells it so.
    pub(super) fn needs_flush(&mut self) -> bool {
        let needed = self.unsynced && !self.flushed && !self.expected.is_empty();
        self.flushed |= needed;
        needed
    }

    // ------------------------------------------------------------------ the client speaks

    /// What one message of the client's leads to. Registers what is relayed.
    pub(super) fn client(&mut self, frame: &Frame<'_>) -> Result<Said, Malformed> {
        let message = wire::postgres::frontend::frontend(frame)?;
        if self.skipping != Skipping::No {
            return Ok(self.while_skipping(&message));
        }
        if self.copies > 0 && interrupts_copy(&message) {
            return Ok(self.interrupt_copy(frame.kind));
        }
        Ok(match message {
            Frontend::Query(text) => self.query(frame, text),
            Frontend::Parse(parse) => self.parse(frame, parse.name, parse.sql, &parse.types),
            Frontend::Bind(bind) => self.bind(frame, bind.portal, bind.statement, bind.results),
            Frontend::Execute { portal, .. } => self.execute(portal),
            Frontend::FunctionCall(call) => self.function_call(frame, call.function),
            Frontend::Describe(kind, name) => self.describe(kind, name),
            Frontend::Close(kind, name) => self.close(kind, name),
            Frontend::Sync => self.sync(),
            Frontend::Flush => {
                self.flushed = true;
                Said::Relay
            }
            Frontend::CopyData(_) if self.takes_copy_data() => Said::Relay,
            Frontend::CopyDone | Frontend::CopyFail(_) if self.copies > 0 => {
                self.copies -= 1;
                if !std::mem::take(&mut self.copying_in) {
                    self.expected.push_back(Expected::CopyEnd);
                }
                Said::Relay
            }
            // A COPY in a statement that could not be read may wait for it. Else the server ignores it.
            Frontend::CopyDone | Frontend::CopyFail(_) if self.understanding.is_indifferent() => {
                if !self.expected.is_empty() {
                    self.expected.push_back(Expected::CopyEnd);
                }
                Said::Relay
            }
            // What is left of a COPY that failed or was refused: PostgreSQL ignores it, too.
            Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_) => Said::Drop,
            Frontend::Terminate => Said::Quit,
            Frontend::Password(_) => return Err(Malformed("a password after login")),
        })
    }

    /// For any other message within a COPY that has begun, PostgreSQL ends the session. It gets an empty one of the same
    /// kind, which its error names, in the place of one that nobody has decided. Before the COPY has begun, it depends on
    /// answers in flight.
    fn interrupt_copy(&mut self, kind: u8) -> Said {
        if !self.copying_in {
            return Said::Wait;
        }
        self.query_ended();
        self.skipping = Skipping::Upstream;
        Said::Replace(vec![kind, 0, 0, 0, 4])
    }

    /// Whether data of a COPY is wanted by the server.
    pub(super) fn takes_copy_data(&self) -> bool {
        (self.copies > 0 || self.understanding.is_indifferent()) && self.skipping == Skipping::No
    }

    /// Whether answers to a statement of ours are in flight.
    pub(super) fn has_own(&self) -> bool {
        self.expected.iter().any(|e| matches!(e, Expected::Own(_)))
    }

    /// Whether the client's messages up to its next Sync are not looked at.
    pub(super) fn is_skipping(&self) -> bool {
        self.skipping != Skipping::No
    }

    fn while_skipping(&mut self, message: &Frontend<'_>) -> Said {
        match message {
            Frontend::Terminate => Said::Quit,
            Frontend::Sync if self.skipping == Skipping::Local => {
                self.skipping = Skipping::No;
                let mut out = Vec::new();
                build::ready(&mut out, self.status);
                Said::Answer(out)
            }
            Frontend::Sync => {
                self.skipping = Skipping::No;
                self.sync()
            }
            Frontend::Query(_)
            | Frontend::Parse(_)
            | Frontend::Bind(_)
            | Frontend::Describe(..)
            | Frontend::Execute { .. }
            | Frontend::Close(..)
            | Frontend::Flush
            | Frontend::FunctionCall(_)
            | Frontend::CopyData(_)
            | Frontend::CopyDone
            | Frontend::CopyFail(_)
            | Frontend::Password(_) => Said::Drop,
        }
    }

    /// Whether names can be resolved now; otherwise what must happen first.
    fn before_names(&mut self) -> Option<Said> {
        if self.understanding.is_indifferent() {
            return None;
        }
        if self.names_moving && !self.expected.is_empty() {
            return Some(Said::Wait);
        }
        self.stale |= self.understanding.is_behind();
        if !self.stale {
            return None;
        }
        // What is in flight may be the end of a failed transaction.
        if !self.expected.is_empty() {
            return Some(Said::Wait);
        }
        // In a failed transaction the server cannot be asked, and does nothing but end it.
        if self.status == TransactionStatus::Failed {
            return None;
        }
        Some(Said::Ask(self.understanding.purpose()))
    }

    /// Whether a text may speak of prepared statements or cursors while it is not settled which there are.
    fn speaks_of_names_in_flight(&self, text: &[u8]) -> bool {
        let moves = |e: &Expected| {
            matches!(
                e,
                Expected::Parse { .. }
                    | Expected::Bind { .. }
                    | Expected::CloseStatement(_)
                    | Expected::ClosePortal(_)
            )
        };
        !self.understanding.is_indifferent() && self.expected.iter().any(moves) && depends_on_names(text)
    }

    fn query(&mut self, frame: &Frame<'_>, text: &[u8]) -> Said {
        if let Some(first) = self.before_names() {
            return first;
        }
        if self.speaks_of_names_in_flight(text) {
            return Said::Wait;
        }
        let uncertain = (self.touched || self.stale) && self.in_block();
        match self.understanding.understand(text, &self.names, true) {
            Err(garbled) => Said::Garbled(garbled),
            Ok(operation) => {
                let operation = if uncertain && ends_block_midway(&operation.statements) {
                    self.understanding
                        .uncertain("what follows the end of the transaction in one message; send it alone")
                } else {
                    operation
                };
                Said::Request(Request { frame: frame.whole.to_vec(), kind: RequestKind::Query, operation })
            }
        }
    }

    fn parse(&mut self, frame: &Frame<'_>, name: &[u8], text: &[u8], types: &[u32]) -> Said {
        if let Some(first) = self.before_names() {
            return first;
        }
        let name = match own_name(name) {
            Ok(name) => name,
            Err(garbled) => return Said::Garbled(garbled),
        };
        if !name.is_empty() && self.names.is_full() {
            return Said::Garbled(too_many());
        }
        if self.speaks_of_names_in_flight(text) {
            return Said::Wait;
        }
        match self.understanding.understand(text, &self.names, false) {
            Err(garbled) => Said::Garbled(Garbled { unnamed: name.is_empty(), ..garbled }),
            Ok(operation) => {
                let text = String::from_utf8_lossy(text).into();
                // Below are the types that the server comes with.
                let types: Vec<u32> = types.iter().copied().filter(|oid| *oid >= FIRST_OWN).collect();
                let operation = self.understanding.typed(operation, &types);
                let prepared = Prepared {
                    types,
                    ..Prepared::new(Some(text), Arc::clone(&operation), self.understanding.epoch())
                };
                let kind = RequestKind::Parse { name, prepared: Arc::new(prepared) };
                Said::Request(Request { frame: frame.whole.to_vec(), kind, operation })
            }
        }
    }

    fn bind(&mut self, frame: &Frame<'_>, portal: &[u8], statement: &[u8], formats: Vec<i16>) -> Said {
        if let Some(first) = self.before_names() {
            return first;
        }
        let (portal, name) = match (own_name(portal), own_name(statement)) {
            (Ok(portal), Ok(name)) => (portal, name),
            (Err(garbled), _) | (_, Err(garbled)) => return Said::Garbled(garbled),
        };
        if !portal.is_empty() && self.names.is_full() {
            return Said::Garbled(too_many());
        }
        let prepared = match self.find_statement(&name) {
            Found::Ambiguous => return Said::Wait,
            Found::Missing => None,
            Found::Here(prepared) => Some(prepared),
        };
        // The statement itself is in flight with its Bind where a driver sends both; what it speaks of is looked at again.
        if prepared.as_ref().is_some_and(|p| self.is_in_flight(&p.operation)) {
            return Said::Wait;
        }
        let prepared = match prepared.map(|p| (self.understanding.again(&p, &self.names), p)) {
            Some((Ok(again), old)) => {
                self.names.renew(&name, &old, &again);
                again
            }
            Some((Err(garbled), _)) => return Said::Garbled(garbled),
            // Nothing of that name was prepared by this session's own messages. Only who may do the unknown gets
            // through to the server, which knows whether a function prepared it.
            None => Arc::new(Prepared::missing(&name, self.understanding.epoch())),
        };
        let operation = Arc::clone(&prepared.operation);
        let kind = RequestKind::Bind { portal, statement: name, prepared, formats };
        Said::Request(Request { frame: frame.whole.to_vec(), kind, operation })
    }

    fn execute(&mut self, portal: &[u8]) -> Said {
        let indifferent = self.understanding.is_indifferent();
        if self.names_moving && !self.expected.is_empty() && !indifferent {
            return Said::Wait;
        }
        let name = match own_name(portal) {
            Ok(name) => name,
            Err(garbled) => return Said::Garbled(garbled),
        };
        let bound = match self.find_portal(&name) {
            Found::Ambiguous => return Said::Wait,
            Found::Here(bound) => bound,
            // A function may have opened it: nothing is known of it, and nothing on this target is to be masked.
            Found::Missing if indifferent => Arc::new(Bound::of(Arc::new(Operation::nothing()))),
            Found::Missing => {
                return Said::Garbled(Garbled::new("34000", format!("portal \"{name}\" does not exist")));
            }
        };
        if bound.operation.speaks_of_names() && !indifferent {
            if let Some(first) = self.before_names() {
                return first;
            }
            if self.is_in_flight(&bound.operation) {
                return Said::Wait;
            }
            if !self.still_means(&bound) {
                return Said::Garbled(Garbled {
                    hint: Some("Bind it again.".to_owned()),
                    ..Garbled::new(
                        "55000",
                        format!("what portal \"{name}\" names has changed since it was bound"),
                    )
                });
            }
        }
        self.running(&bound);
        let mut first = Vec::new();
        if bound.prepared.is_none() && self.understanding.wants_fields_of(&bound) {
            build::describe(&mut first, b'P', &name);
            self.extended(Expected::DescribePortal { bound: Some(Arc::clone(&bound)), ours: true });
        }
        self.extended(Expected::Execute(Run::new(bound)));
        if first.is_empty() { Said::Relay } else { Said::RelayBehind(first) }
    }

    /// Whether what an operation names, if it names something, is not settled yet.
    fn is_in_flight(&self, operation: &Operation) -> bool {
        !self.understanding.is_indifferent()
            && operation.controls().any(|control| {
                self.expected.iter().any(|expected| match (control, expected) {
                    (Control::Execute { name }, Expected::Parse { name: other, .. })
                    | (Control::Execute { name }, Expected::CloseStatement(other))
                    | (Control::Fetch { name }, Expected::Bind { portal: other, .. })
                    | (Control::Fetch { name }, Expected::ClosePortal(other)) => name == other,
                    (_, _) => false,
                })
            })
    }

    /// Whether a bound `EXECUTE` or `FETCH` still means what it did: the server looks the name up when it runs.
    fn still_means(&mut self, bound: &Bound) -> bool {
        let Some(prepared) = &bound.prepared else { return false };
        self.understanding
            .again(prepared, &self.names)
            .is_ok_and(|again| again.operation.means(&bound.operation))
    }

    fn function_call(&mut self, frame: &Frame<'_>, function: u32) -> Said {
        if let Some(first) = self.before_names() {
            return first;
        }
        let operation = self.understanding.function_call(function, &self.names);
        Said::Request(Request { frame: frame.whole.to_vec(), kind: RequestKind::FunctionCall, operation })
    }

    fn describe(&mut self, kind: Kind, name: &[u8]) -> Said {
        let name = match own_name(name) {
            Ok(name) => name,
            Err(garbled) => return Said::Garbled(garbled),
        };
        let expected = match kind {
            Kind::Portal => {
                let bound = match self.find_portal(&name) {
                    Found::Here(bound) if bound.prepared.is_none() => Some(bound),
                    Found::Here(_) | Found::Missing | Found::Ambiguous => None,
                };
                Expected::DescribePortal { bound, ours: false }
            }
            Kind::Statement => {
                let prepared = match self.find_statement(&name) {
                    Found::Here(prepared) => Some(prepared),
                    // The client's answer is the server's own; we only do not learn from it.
                    Found::Missing | Found::Ambiguous => None,
                };
                Expected::DescribeStatement { prepared, ours: false }
            }
        };
        self.extended(expected);
        Said::Relay
    }

    fn close(&mut self, kind: Kind, name: &[u8]) -> Said {
        let name = match own_name(name) {
            Ok(name) => name,
            Err(garbled) => return Said::Garbled(garbled),
        };
        self.extended(match kind {
            Kind::Portal => Expected::ClosePortal(name),
            Kind::Statement => Expected::CloseStatement(name),
        });
        Said::Relay
    }

    fn sync(&mut self) -> Said {
        // While data of a COPY flows, the server ignores a Sync and does not answer it.
        if !self.copying_in {
            self.expected.push_back(Expected::Sync);
            self.unsynced = false;
        }
        Said::Relay
    }

    // ------------------------------------------------------------------ what is sent

    /// Registers a message of the extended protocol that goes to the server.
    fn extended(&mut self, expected: Expected) {
        self.expected.push_back(expected);
        self.unsynced = true;
        self.flushed = false;
    }

    /// Notes what an operation that runs now may move.
    fn running(&mut self, bound: &Bound) {
        for control in bound.operation.controls() {
            self.names_moving |= moves_names(control);
            if moves_facts(control) {
                self.stale = true;
                self.touched = true;
            }
            if ends_block(control) && self.touched {
                self.stale = true;
            }
            if matches!(control, Control::CopyIn) {
                self.copies += 1;
            }
            if matches!(control, Control::Ddl) {
                self.understanding.ddl_sent();
            }
        }
    }

    /// Registers an operation that is allowed and on record. Returns what goes to the server behind it.
    pub(super) fn forward(
        &mut self,
        kind: RequestKind,
        operation: Arc<Operation>,
        reveal: Arc<BTreeSet<ColumnName>>,
        decision: DecisionId,
    ) -> Vec<u8> {
        let mut behind = Vec::new();
        let bound = Bound { reveal, decision, ..Bound::of(operation) };
        match kind {
            RequestKind::Query => {
                self.running(&bound);
                self.names.simple_query();
                self.expected.push_back(Expected::Query(Run::new(Arc::new(bound))));
            }
            RequestKind::FunctionCall => {
                self.running(&bound);
                self.expected.push_back(Expected::FunctionCall(Run::new(Arc::new(bound))));
            }
            RequestKind::Parse { name, prepared } => {
                let describe = self.understanding.wants_fields(&prepared);
                self.extended(Expected::Parse { name: name.clone(), prepared: Arc::clone(&prepared) });
                if describe {
                    self.describe_for_us(&mut behind, &name, prepared);
                }
            }
            RequestKind::Bind { portal, statement, prepared, formats } => {
                let describe =
                    self.understanding.wants_fields(&prepared) && !self.is_being_described(&prepared);
                let bound = Bound { prepared: Some(Arc::clone(&prepared)), formats, ..bound };
                self.extended(Expected::Bind { portal, bound: Arc::new(bound) });
                if describe {
                    self.describe_for_us(&mut behind, &statement, prepared);
                }
            }
        }
        behind
    }

    /// A second opinion on where the result's columns come from, and their types, are needed before the first row; the
    /// client may not ask for them.
    fn describe_for_us(&mut self, out: &mut Vec<u8>, name: &str, prepared: Arc<Prepared>) {
        build::describe(out, b'S', name);
        self.extended(Expected::DescribeStatement { prepared: Some(prepared), ours: true });
    }

    fn is_being_described(&self, prepared: &Arc<Prepared>) -> bool {
        self.expected.iter().rev().any(
            |e| matches!(e, Expected::DescribeStatement { prepared: Some(other), .. } if Arc::ptr_eq(other, prepared)),
        )
    }

    /// Registers a refusal and says how it is made true.
    pub(super) fn refuse(&mut self, error: Vec<u8>, simple: bool, unnamed: bool) -> Refusing {
        if self.is_idle() {
            let mut answer = error;
            if simple {
                build::ready(&mut answer, self.status);
            } else {
                self.skipping = Skipping::Local;
                if unnamed {
                    self.names.drop_statement("");
                }
            }
            return Refusing::ByOurselves(answer);
        }
        let mut stand_in = Vec::new();
        let expected = Expected::Refused(Refused { error, simple, unnamed });
        if simple {
            own::fail_simple(&mut stand_in);
            self.names.simple_query();
            self.expected.push_back(expected);
        } else {
            own::fail_extended(&mut stand_in, unnamed);
            self.extended(expected);
            // The server will not look at what follows, either.
            self.skipping = Skipping::Upstream;
        }
        Refusing::ByTheServer(stand_in)
    }

    /// Registers statements of our own and appends them.
    pub(super) fn ask(&mut self, out: &mut Vec<u8>, texts: &[String]) {
        for text in texts {
            own::ask(out, text);
            for part in [
                OwnPart::Parse,
                OwnPart::Bind,
                OwnPart::Execute,
                OwnPart::ClosePortal,
                OwnPart::CloseStatement,
            ] {
                self.expected.push_back(Expected::Own(part));
            }
        }
        if self.unsynced {
            build::flush(out);
            self.flushed = true;
        } else {
            build::sync(out);
            self.expected.push_back(Expected::Own(OwnPart::Sync));
        }
    }

    // ------------------------------------------------------------------ what the server's answers change

    /// After an error in the extended protocol the server skips to the next Sync: what stands before it gets no answer.
    pub(super) fn failed_extended(&mut self) {
        while let Some(front) = self.expected.front() {
            if matches!(front, Expected::Sync | Expected::Own(OwnPart::Sync)) {
                self.copies = 0;
                self.copying_in = false;
                return;
            }
            self.expected.pop_front();
        }
        self.copies = 0;
        self.copying_in = false;
        if self.unsynced {
            self.skipping = Skipping::Upstream;
        }
    }

    /// A COPY has begun: the server ignores every Sync until its data ends.
    pub(super) fn copy_in_begun(&mut self) {
        let extended = matches!(self.expected.front(), Some(Expected::Execute(_)));
        let ended = self.expected.iter().position(|e| matches!(e, Expected::CopyEnd));
        // A statement that could not be read turns out to be a COPY.
        if self.copies == 0 && ended.is_none() && self.understanding.is_indifferent() {
            self.copies = 1;
        }
        self.copying_in = ended.is_none() && self.copies > 0;
        let mut within = true;
        let before = self.expected.len();
        self.expected.retain(|e| {
            if within && matches!(e, Expected::CopyEnd) {
                within = false;
                return false;
            }
            !(within && extended && matches!(e, Expected::Sync))
        });
        self.unsynced |= extended && self.expected.len() < before && ended.is_none();
    }

    /// Marks that turned out to stand for nothing.
    pub(super) fn skip_marks(&mut self) {
        while matches!(self.expected.front(), Some(Expected::CopyEnd)) {
            self.expected.pop_front();
        }
    }

    /// A failed or finished simple Query has no use for data of the client's any more.
    pub(super) fn query_ended(&mut self) {
        self.copies = 0;
        self.copying_in = false;
    }

    /// ReadyForQuery.
    pub(super) fn ready(&mut self, status: TransactionStatus) {
        self.status = status;
        if status == TransactionStatus::Idle {
            self.names.transaction_ended();
            // What was set in a transaction that failed is undone by now.
            self.stale |= self.touched;
            self.touched = false;
        }
        self.settled();
    }

    /// A statement of the extended protocol is done. After the end of a failed transaction the server can be asked again,
    /// before it says so at the next Sync.
    pub(super) fn executed(&mut self, bound: &Bound) {
        if self.status == TransactionStatus::Failed && bound.operation.controls().any(ends_block) {
            self.status = TransactionStatus::InBlock;
        }
    }

    /// Called when an answer has been dealt with.
    pub(super) fn settled(&mut self) {
        if self.expected.is_empty() {
            self.names_moving = false;
        }
    }

    // ------------------------------------------------------------------ names in flight

    fn find_statement(&self, name: &str) -> Found<Arc<Prepared>> {
        let mut same_segment = true;
        for expected in self.expected.iter().rev() {
            let found = if let Expected::Parse { name: other, prepared } = expected
                && other == name
            {
                Found::Here(Arc::clone(prepared))
            } else if matches!(expected, Expected::CloseStatement(other) if other == name) {
                Found::Missing
            } else {
                // Who is indifferent needs no certainty, so the likeliest is good enough.
                same_segment &= self.understanding.is_indifferent() || !expected.ends_segment();
                continue;
            };
            return if same_segment { found } else { Found::Ambiguous };
        }
        self.names.statement(name).map_or(Found::Missing, Found::Here)
    }

    fn find_portal(&self, name: &str) -> Found<Arc<Bound>> {
        let mut same_segment = true;
        for expected in self.expected.iter().rev() {
            let found = if let Expected::Bind { portal, bound } = expected
                && portal == name
            {
                Found::Here(Arc::clone(bound))
            } else if matches!(expected, Expected::ClosePortal(other) if other == name) {
                Found::Missing
            } else {
                same_segment &= self.understanding.is_indifferent() || !expected.ends_segment();
                continue;
            };
            return if same_segment { found } else { Found::Ambiguous };
        }
        // Portals end with the transaction, and an answer in flight may be its end.
        match self.names.portal(name) {
            Some(bound) if same_segment || bound.holdable => Found::Here(bound),
            Some(_) => Found::Ambiguous,
            None => Found::Missing,
        }
    }
}

/// Whether PostgreSQL fails a running COPY for this message.
fn interrupts_copy(message: &Frontend<'_>) -> bool {
    match message {
        Frontend::Query(_)
        | Frontend::Parse(_)
        | Frontend::Bind(_)
        | Frontend::Describe(..)
        | Frontend::Execute { .. }
        | Frontend::Close(..)
        | Frontend::FunctionCall(_) => true,
        Frontend::Flush
        | Frontend::Sync
        | Frontend::CopyData(_)
        | Frontend::CopyDone
        | Frontend::CopyFail(_)
        | Frontend::Terminate
        | Frontend::Password(_) => false,
    }
}

/// How a refusal is made true.
pub(super) enum Refusing {
    /// Nothing is open at the server: these bytes go to the client.
    ByOurselves(Vec<u8>),
    /// These bytes go to the server and fail there; the error is replaced in its place.
    ByTheServer(Vec<u8>),
}

/// What is known of a name.
enum Found<T> {
    Here(T),
    Missing,
    /// It depends on an answer in flight.
    Ambiguous,
}

/// A name as text; the gateway's own name is not the client's to use.
fn own_name(name: &[u8]) -> Result<String, Garbled> {
    let name = std::str::from_utf8(name)
        .map_err(|_| Garbled::new("22021", "a name that is not valid UTF-8".to_owned()))?;
    if name == own::RESERVED {
        return Err(Garbled::new("42939", "this name is reserved for the gateway".to_owned()));
    }
    Ok(name.to_owned())
}

fn too_many() -> Garbled {
    Garbled {
        hint: Some("Close those that are not needed any more, or run DEALLOCATE ALL.".to_owned()),
        ..Garbled::new("53400", "this session keeps too many prepared statements or portals".to_owned())
    }
}

fn ends_block(control: &Control) -> bool {
    matches!(control, Control::Rollback { .. } | Control::RollbackTo(_) | Control::Commit { .. })
}

/// Whether something follows the end of a transaction in one message.
fn ends_block_midway(statements: &[Arc<sql::postgres::Statement>]) -> bool {
    statements.iter().rev().skip(1).any(|s| s.control.iter().any(ends_block))
}
