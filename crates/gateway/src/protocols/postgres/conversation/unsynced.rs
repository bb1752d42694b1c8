//! The transaction that the server begins by itself where messages come without a Sync behind them, and what ends it.

use sql::postgres::Control;
use wire::postgres::backend::TransactionStatus;
use wire::postgres::build;
use wire::postgres::frontend::Frontend;

use super::{Conversation, Skipping};
use crate::protocols::postgres::expected::{Expected, OwnPart};

/// What was run in a transaction that the server began by itself, since messages came without a Sync behind them. From version 18
/// on a simple Query does not end it once something was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    Nothing,
    /// Statements of the gateway's own.
    Ours,
    /// The client's.
    Theirs,
}

impl Conversation {
    /// A message is sent that the server answers with a ReadyForQuery of its own. Whether that may say that the transaction of
    /// messages before it goes on: then nothing else is sent before it has.
    pub(super) fn answered_at_once(&mut self) -> bool {
        self.implicit_end();
        let piped = self.unsynced && self.within == Ran::Theirs && !self.understanding.is_indifferent();
        self.unsynced = false;
        self.piped = piped;
        if !piped {
            self.within = Ran::Nothing;
        }
        piped
    }

    /// What goes to the server before such a message, where statements of ours alone were run without a Sync: it would not be
    /// committed for those.
    pub(super) fn end_ours(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.unsynced && self.within == Ran::Ours {
            build::sync(&mut out);
            self.expected.push_back(Expected::Own(OwnPart::Sync));
            self.unsynced = false;
            self.within = Ran::Nothing;
        }
        out
    }

    /// A statement of ours failed without a Sync behind it, and the client's next message is one that the server would skip for that
    /// though it is no part of what failed: appends what ends the skipping.
    pub(in crate::protocols::postgres) fn resume(&mut self, out: &mut Vec<u8>) {
        build::sync(out);
        self.expected.push_back(Expected::Own(OwnPart::Sync));
        self.skipping = Skipping::No;
        self.unsynced = false;
        self.within = Ran::Nothing;
    }

    /// A block is open by a statement of ours.
    pub(in crate::protocols::postgres) fn begun(&mut self) {
        self.status = TransactionStatus::InBlock;
    }

    /// Whether a message depends on what the server says of the transaction in which those before it are.
    pub(super) fn waits(&self, message: &Frontend<'_>) -> bool {
        let simple = matches!(message, Frontend::Query(_) | Frontend::FunctionCall(_));
        // What ends a transaction of ours is skipped with what failed before it, and the message behind it would not be.
        let ends = simple && self.unsynced && self.within == Ran::Ours && !self.expected.is_empty();
        ends || self.piped && self.copies == 0
    }
}

/// What has become of the block behind a statement that is done, before the server says so in its next ReadyForQuery.
pub(super) fn followed(status: TransactionStatus, control: &Control) -> TransactionStatus {
    match control {
        Control::Begin { .. }
        | Control::RollbackTo(_)
        | Control::Commit { chain: true }
        | Control::Rollback { chain: true } => TransactionStatus::InBlock,
        Control::Commit { chain: false }
        | Control::Rollback { chain: false }
        | Control::PrepareTransaction => TransactionStatus::Idle,
        Control::Savepoint(_)
        | Control::Release(_)
        | Control::Set { .. }
        | Control::Reset(_)
        | Control::Discard(_)
        | Control::Prepare { .. }
        | Control::Deallocate(_)
        | Control::Declare { .. }
        | Control::CloseCursor(_)
        | Control::Execute { .. }
        | Control::Fetch { .. }
        | Control::CopyIn
        | Control::CopyOut(_)
        | Control::Listen
        | Control::SetRole
        | Control::Ddl
        | Control::TempObject
        | Control::ChangesSettings => status,
    }
}
