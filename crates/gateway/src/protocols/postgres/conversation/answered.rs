//! What the server's answers change.

use std::sync::Arc;

use sql::postgres::{Control, Statement};
use wire::postgres::backend::TransactionStatus;

use super::unsynced::{Ran, followed};
use super::{Conversation, Skipping, ends_transaction};
use crate::protocols::postgres::expected::{Bound, Expected, OwnPart};
use crate::protocols::postgres::under::moves_settings;

impl Conversation {
    /// After an error in the extended protocol the server skips to the next Sync: what stands before it gets no answer.
    pub(in crate::protocols::postgres) fn failed_extended(&mut self) {
        // The transaction of a lock has failed, too, and ends by itself.
        self.locking = false;
        while let Some(front) = self.expected.front() {
            if matches!(
                front,
                Expected::Sync | Expected::Own(OwnPart::Sync) | Expected::Guard(OwnPart::Sync, _)
            ) {
                self.copies = 0;
                self.copying_in = false;
                return;
            }
            self.expected.pop_front();
        }
        self.copies = 0;
        self.copying_in = false;
        // It skips simple Queries, too, which else end what came before them.
        self.unsynced = true;
        self.piped = false;
        self.skipping = Skipping::Upstream;
    }

    /// A COPY has begun: the server ignores every Sync until its data ends.
    pub(in crate::protocols::postgres) fn copy_in_begun(&mut self) {
        let extended = matches!(self.expected.front(), Some(Expected::Execute(_)));
        let (ended, dropped) = self.expected.copy_begun(extended);
        // A statement that could not be read turns out to be a COPY.
        if self.copies == 0 && !ended {
            self.copies = 1;
        }
        self.copying_in = !ended && self.copies > 0;
        self.unsynced |= extended && dropped && !ended;
    }

    /// Marks that turned out to stand for nothing.
    pub(in crate::protocols::postgres) fn skip_marks(&mut self) {
        while matches!(self.expected.front(), Some(Expected::CopyEnd)) {
            self.expected.pop_front();
        }
    }

    /// A failed or finished simple Query has no use for data of the client's any more.
    pub(in crate::protocols::postgres) fn query_ended(&mut self) {
        self.copies = 0;
        self.copying_in = false;
    }

    /// ReadyForQuery, of a message behind which the transaction of those before it may go on (`piped`).
    pub(in crate::protocols::postgres) fn ready(&mut self, status: TransactionStatus, piped: bool) {
        self.piped &= !piped;
        if piped && status == TransactionStatus::InBlock && self.status == TransactionStatus::Idle {
            // It does: what comes next is part of it, up to the client's Sync.
            self.unsynced = true;
            self.settled();
            return;
        }
        if piped {
            self.within = Ran::Nothing;
        }
        self.status = status;
        let failed = std::mem::take(&mut self.settings_failed);
        if status == TransactionStatus::Idle {
            if self.under.is_in_transaction() {
                Arc::make_mut(&mut self.under).ended(!failed);
            }
            self.names.transaction_ended();
            // What was set in a transaction that failed is undone by now.
            self.stale |= self.touched;
            // What is in flight may have put something off already, or moved names.
            if self.expected.is_empty() {
                self.touched = false;
                self.deferred = false;
                self.put_off.clear();
                self.quoting = false;
            }
            self.due.clear();
        }
        if self.expected.is_empty() {
            self.ending = false;
            self.block.settled(self.in_block());
        }
        self.settle_reports();
        self.settled();
    }

    /// A statement is done, as its tag says.
    pub(in crate::protocols::postgres) fn ran(&mut self, statement: &Statement, tag: &str) {
        for control in &statement.control {
            self.status = followed(self.status, control);
        }
        let plainly = statement.facts.kind != "select";
        for control in statement.control.iter().filter(|control| moves_settings(control)) {
            Arc::make_mut(&mut self.under).completed(control, plainly);
        }
        if self.under.is_in_transaction() && statement.control.iter().any(ends_transaction) {
            Arc::make_mut(&mut self.under).ended(!tag.starts_with("ROLLBACK"));
        }
    }

    /// A statement was bound: functions that say that they only compute were run, perhaps.
    pub(in crate::protocols::postgres) fn planned(&mut self, bound: &Bound) {
        if bound.operation.controls().any(|control| matches!(control, Control::ChangesSettings)) {
            Arc::make_mut(&mut self.under).completed(&Control::ChangesSettings, false);
        }
    }

    /// The server has failed: what was set since the last transaction ended will not have been.
    pub(in crate::protocols::postgres) fn failed(&mut self) {
        self.settings_failed = true;
    }

    /// Called when an answer has been dealt with.
    pub(in crate::protocols::postgres) fn settled(&mut self) {
        if self.expected.is_empty() {
            self.names_moving = false;
        }
    }
}
