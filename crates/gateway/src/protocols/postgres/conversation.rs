//! The state of one conversation: what the client may say, what the server still owes, which names there are.
//! Pure: frames in, consequences out. The sockets are in `session`.

mod answered;
mod before;
mod describing;
mod in_flight;
mod messages;
mod put_off;
mod unsynced;

use std::collections::BTreeSet;
use std::sync::Arc;

use model::ColumnName;
use policy::{Caps, Most};
use sql::postgres::Control;
use wire::postgres::backend::TransactionStatus;
use wire::postgres::build;

use self::put_off::PutOff;
use self::unsynced::Ran;
use super::ceiling::{Capped, Due, Limit};
use super::expected::{Bound, Expected, OwnPart, Refused, Run};
use super::garbled::Garbled;
use super::guard::{Block, Guard};
use super::names::{Names, moves_names};
use super::operation::Operation;
use super::own;
use super::prepared::{Epoch, Prepared};
use super::queue::Queue;
use super::request::{Request, RequestKind};
use super::thinking::Thought;
use super::under::{self, Under, moves_reports, moves_settings};
use super::understanding::Understanding;
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
    /// Its text takes long to understand, and must first be read elsewhere.
    Think(Thought),
    /// It carries intent.
    Request(Request),
    /// It cannot be understood, or names something that is not there.
    Garbled(Garbled),
    /// What stands before it in its transaction fails, and then it is looked at again.
    GarbledBefore(Garbled),
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

/// One conversation.
pub(super) struct Conversation {
    pub(super) expected: Queue,
    pub(super) names: Names,
    pub(super) understanding: Understanding,
    pub(super) status: TransactionStatus,
    /// The gateway's turn at which the client's messages are looked at.
    pub(super) turn: u64,
    skipping: Skipping,
    /// Messages of the extended protocol went to the server and no Sync behind them, or one has not ended yet what they began.
    unsynced: bool,
    /// What was run in that.
    within: Ran,
    /// A simple Query is in flight that may leave it open.
    piped: bool,
    /// A Flush stands behind the last message, so that every answer will come.
    flushed: bool,
    /// Search path, role, temporary schema or catalogue may have moved.
    pub(super) stale: bool,
    /// They may have moved inside the current transaction, so its end may move them back.
    touched: bool,
    /// What ends a transaction is in flight, so that there may be no block any more, whatever the server said last.
    ending: bool,
    /// Triggers may run as late as at the end of the transaction, and find their names then.
    deferred: bool,
    /// What has put them off.
    put_off: PutOff,
    /// Under which names the first of that was understood.
    put_off_under: Epoch,
    /// Something in this transaction may fail as late as at its end, in words that quote values of tagged columns.
    pub(super) quoting: bool,
    /// Whether the server itself would refuse to write.
    pub(super) guard: Guard,
    /// How long things may last that the session sets by itself.
    pub(super) caps: Caps,
    /// What the block that is open began with, where its target is strict.
    pub(super) block: Block,
    /// Statements in flight change which names there are.
    names_moving: bool,
    /// A transaction has begun in which something is locked for the client's next message, and nothing else is in it.
    locking: bool,
    /// Settings under which the next statement runs.
    under: Arc<Under>,
    /// They may be others by now, as soon as the server has said so.
    reports_moving: bool,
    /// The end of the transaction may move it back.
    reports_touched: bool,
    /// The server has failed since it was last ready.
    settings_failed: bool,
    /// How many `COPY … FROM STDIN` wait for data of the client's.
    copies: usize,
    /// The server has begun one of them.
    pub(super) copying_in: bool,
    /// An approved operation that can still be taken back.
    pub(super) capped: Option<Capped>,
    /// Those that stay in the block that is open, until it is committed.
    pub(super) due: Vec<Due>,
}

impl Conversation {
    /// What understands texts here, and by which names.
    pub(super) fn understands(&mut self) -> (&mut Understanding, &Names) {
        (&mut self.understanding, &self.names)
    }

    pub(super) fn new(understanding: Understanding) -> Self {
        Self {
            expected: Queue::default(),
            names: Names::default(),
            understanding,
            status: TransactionStatus::Idle,
            turn: 0,
            skipping: Skipping::No,
            unsynced: false,
            within: Ran::Nothing,
            piped: false,
            flushed: false,
            // Nothing was asked yet.
            stale: true,
            touched: false,
            ending: false,
            deferred: false,
            put_off: PutOff::default(),
            put_off_under: Epoch::PAST,
            quoting: false,
            guard: Guard::Off,
            caps: Caps::default(),
            block: Block::Unguarded,
            names_moving: false,
            locking: false,
            under: Arc::default(),
            reports_moving: false,
            reports_touched: false,
            settings_failed: false,
            copies: 0,
            copying_in: false,
            capped: None,
            due: Vec::new(),
        }
    }

    /// Whether nothing is in flight and no transaction is open: then we may answer by ourselves.
    pub(super) fn is_idle(&self) -> bool {
        self.expected.is_empty()
            && !self.unsynced
            && self.status == TransactionStatus::Idle
            && self.capped.is_none()
    }

    /// Whether the client's messages wait until an approved operation stays, or does not. Data of a COPY is part of it.
    pub(super) fn is_settling(&self) -> bool {
        self.capped.is_some() && !self.copying_in
    }

    /// Whether the client's messages wait since what is in flight may return more than it may: nothing may run behind it that its
    /// error would have to take back. Data of a COPY is part of it.
    pub(super) fn is_bounded(&self) -> bool {
        let bounded = match self.expected.back() {
            Some(Expected::Query(run) | Expected::Execute(run)) => run.bound.returns.is_some(),
            _ => false,
        };
        bounded && self.copies == 0
    }

    /// A simple Query was answered, with which the server's implicit transaction ends.
    pub(super) fn ended_by_query(&mut self) {
        self.unsynced = false;
    }

    /// What is sent next stays in one transaction with what follows it, up to the client's Sync.
    pub(super) fn stay_open(&mut self) {
        self.unsynced = true;
    }

    /// Takes what the server reports of a setting.
    pub(super) fn reported(&mut self, name: &[u8], value: &[u8]) {
        if under::is_reported(name) {
            Arc::make_mut(&mut self.under).report(name, value);
        }
    }

    /// Takes a setting that the session begins with.
    pub(super) fn begins_with(&mut self, name: &str, value: &[u8]) {
        Arc::make_mut(&mut self.under).begin(name, value);
    }

    /// The settings under which a statement runs that is sent now.
    fn circumstances(&mut self) -> Arc<Under> {
        let (role, path) = (self.understanding.role(), self.understanding.path());
        if !self.under.is_of(role, path) {
            Arc::make_mut(&mut self.under).enter(role, path);
        }
        if self.reports_moving { Arc::new(self.under.moving()) } else { Arc::clone(&self.under) }
    }

    /// The server has said all that it says up to a ReadyForQuery.
    fn settle_reports(&mut self) {
        if self.expected.is_empty() {
            self.reports_moving = false;
            self.reports_touched &= self.in_block();
        }
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

    /// Whether data of a COPY is wanted by the server.
    pub(super) fn takes_copy_data(&self) -> bool {
        (self.copies > 0 || self.understanding.is_indifferent()) && self.skipping == Skipping::No
    }

    /// Whether answers to a statement of ours are in flight.
    pub(super) fn has_own(&self) -> bool {
        self.expected.has_own()
    }

    /// Whether the client's messages up to its next Sync are not looked at.
    pub(super) fn is_skipping(&self) -> bool {
        self.skipping != Skipping::No
    }

    /// Registers a message of the extended protocol that goes to the server.
    fn extended(&mut self, expected: Expected) {
        if matches!(expected, Expected::Execute(_)) {
            self.within = Ran::Theirs;
        }
        self.expected.push_back(expected);
        self.unsynced = true;
        self.flushed = false;
    }

    /// Notes what an operation that runs now may move.
    fn running(&mut self, bound: &Bound, text: Option<Arc<Prepared>>) {
        if bound.operation.puts_off() {
            if !std::mem::replace(&mut self.deferred, true) {
                self.put_off_under = self.understanding.epoch();
            }
            self.put_off.note(bound.prepared.clone().or(text));
        }
        self.quoting |= bound.operation.statements.iter().any(|s| s.touches_tagged);
        if self.deferred && bound.operation.statements.iter().any(|s| s.fires) {
            // What was put off may define anything.
            self.stale = true;
            self.touched = true;
        }
        // Some utility statements end the transaction in which they run, if that is no block.
        self.stale |= self.touched && bound.operation.statements.iter().any(|s| s.is_utility);
        self.block.running(&bound.operation);
        if bound.operation.runs_code() {
            self.understanding.keeps_plans();
        }
        for control in bound.operation.controls() {
            if matches!(control, Control::Prepare { .. }) {
                self.understanding.keeps_plans();
            }
            self.guard.running(control);
            self.reports_touched |= moves_reports(control) || moves_settings(control);
            self.reports_moving |= moves_settings(control) || ends_block(control) && self.reports_touched;
            self.names_moving |= moves_names(control);
            if control.moves_names() {
                self.stale = true;
                self.touched = true;
            }
            if ends_block(control) || ends_transaction(control) {
                self.stale |= self.touched;
                self.ending = true;
            }
            if matches!(control, Control::CopyIn) {
                self.copies += 1;
            }
            if matches!(control, Control::Ddl) {
                self.understanding.ddl_sent();
            }
        }
    }

    /// A message is sent with which the transaction of those before it ends where no block is open: what was set in it may be
    /// undone then, long before the server says so.
    fn implicit_end(&mut self) {
        self.stale |= self.touched && (self.ending || !self.in_block());
    }

    /// Registers an operation that is allowed and on record. Returns what goes to the server behind it.
    pub(super) fn forward(
        &mut self,
        kind: RequestKind,
        operation: Arc<Operation>,
        terms: Running,
    ) -> Vec<u8> {
        let mut behind = Vec::new();
        let text = terms.text.clone();
        let text = text.map(|text| {
            Arc::new(Prepared::new(Some(text), Arc::clone(&operation), self.understanding.epoch()))
        });
        let bound = Bound::under(operation, terms);
        // The client's own message ends it.
        self.locking = false;
        match kind {
            RequestKind::Query => {
                self.running(&bound, text);
                let piped = self.answered_at_once();
                self.names.simple_query();
                self.expected.push_back(Expected::Query(Run { piped, ..Run::new(Arc::new(bound)) }));
            }
            RequestKind::FunctionCall => {
                self.running(&bound, None);
                let piped = self.answered_at_once();
                self.expected.push_back(Expected::FunctionCall(Run { piped, ..Run::new(Arc::new(bound)) }));
            }
            RequestKind::Execute { portal, bound: old } => {
                let Bound { reveal, decision, limit, turn, returns, .. } = bound;
                let again = old.again(reveal, decision, turn);
                let limit = limit.or_else(|| again.limit.clone());
                // What it has returned by now counts.
                let returns = returns.map(|new| match &old.returns {
                    Some(old) => Arc::new(new.after(old)),
                    None => new,
                });
                let bound = Arc::new(Bound { limit, returns, ..again });
                self.caps(&bound);
                self.names.renew_portal(&portal, &old, &bound);
                self.running(&bound, None);
                self.extended(Expected::Execute(Run::new(bound)));
            }
            RequestKind::Parse { name, prepared } => {
                self.understanding.keeps_plans();
                let describe = self.understanding.wants_fields(&prepared);
                let (name_there, kept) = (name.clone(), Arc::clone(&prepared));
                let operation = bound.decision.n;
                self.extended(Expected::Parse { name: name_there, prepared: kept, operation });
                if describe {
                    self.describe_for_us(&mut behind, &name, prepared);
                }
            }
            RequestKind::Bind { portal, statement, prepared, formats } => {
                let describe = self.understanding.wants_fields(&prepared)
                    && !self.expected.is_being_described(&prepared);
                let bound = Bound { prepared: Some(Arc::clone(&prepared)), formats, ..bound };
                self.extended(Expected::Bind { portal, bound: Arc::new(bound) });
                if describe {
                    self.describe_for_us(&mut behind, &statement, prepared);
                }
            }
        }
        behind
    }

    /// A portal is run that was approved.
    fn caps(&mut self, bound: &Bound) {
        if let (Some(limit), None) = (&bound.limit, &self.capped) {
            self.capped = Some(Capped::running(Arc::clone(limit), bound.decision.clone()));
        }
    }

    /// A second opinion on where the result's columns come from, and their types, are needed before the first row; the
    /// client may not ask for them.
    fn describe_for_us(&mut self, out: &mut Vec<u8>, name: &str, prepared: Arc<Prepared>) {
        own::describe(out, b'S', name);
        self.extended(Expected::DescribeStatement { prepared: Some(prepared), ours: true });
    }

    /// Registers a refusal and says how it is made true.
    pub(super) fn refuse(&mut self, error: Vec<u8>, simple: bool, unnamed: bool) -> Refusing {
        if self.is_idle() {
            let mut answer = error;
            if simple {
                build::ready(&mut answer, self.status);
                // As with a Query that came to the server.
                self.names.simple_query();
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
            // It fails, and takes along what came before it.
            self.implicit_end();
            self.unsynced = false;
            self.within = Ran::Nothing;
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
            for part in OwnPart::EACH {
                self.expected.push_back(Expected::Own(part));
            }
        }
        if self.unsynced {
            build::flush(out);
            self.flushed = true;
            if self.within == Ran::Nothing {
                self.within = Ran::Ours;
            }
        } else {
            build::sync(out);
            self.expected.push_back(Expected::Own(OwnPart::Sync));
        }
    }

    /// Whether a transaction has failed and is to be ended.
    pub(super) fn is_failed(&self) -> bool {
        self.status == TransactionStatus::Failed
    }

    /// Appends a statement of our own that is prepared and never run, in the transaction in which the client's next one will
    /// run.
    pub(super) fn lock(&mut self, out: &mut Vec<u8>, text: &str) {
        own::prepare(out, text);
        self.expected.push_back(Expected::Own(OwnPart::Parse));
        self.expected.push_back(Expected::Own(OwnPart::CloseStatement));
        if self.in_block() && !self.unsynced {
            build::sync(out);
            self.expected.push_back(Expected::Own(OwnPart::Sync));
        } else {
            build::flush(out);
            self.flushed = true;
            self.locking = !self.unsynced;
        }
    }

    /// Ends the transaction that was begun by a lock, if nothing of the client's is in it.
    pub(super) fn unlock(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.locking) {
            build::sync(out);
            self.expected.push_back(Expected::Own(OwnPart::Sync));
        }
    }
}

/// Under which terms an operation runs.
pub(super) struct Running {
    /// The columns that it may show clear.
    pub reveal: Arc<BTreeSet<ColumnName>>,
    /// The decision that let it pass.
    pub decision: DecisionId,
    /// The turn of the gateway's at which that was made.
    pub turn: u64,
    /// How many rows it may change, where somebody approved it.
    pub limit: Option<Arc<Limit>>,
    /// How much it may return, where policy bounds it.
    pub most: Option<Arc<Most>>,
    /// Its text as it came, of a simple Query that puts something off.
    pub text: Option<Arc<str>>,
}

/// How a refusal is made true.
pub(super) enum Refusing {
    /// Nothing is open at the server: these bytes go to the client.
    ByOurselves(Vec<u8>),
    /// These bytes go to the server and fail there; the error is replaced in its place.
    ByTheServer(Vec<u8>),
}

fn ends_transaction(control: &Control) -> bool {
    matches!(control, Control::Rollback { .. } | Control::Commit { .. } | Control::PrepareTransaction)
}

fn ends_block(control: &Control) -> bool {
    matches!(control, Control::Rollback { .. } | Control::RollbackTo(_) | Control::Commit { .. })
}
