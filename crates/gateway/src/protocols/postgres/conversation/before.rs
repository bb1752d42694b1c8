//! What goes to the server before a client's message, so that it is read only or not, and what must have happened first.

use wire::postgres::backend::TransactionStatus;
use wire::postgres::build;

use super::in_flight::Found;
use super::{Conversation, Said};
use crate::protocols::postgres::expected::{Expected, OwnPart};
use crate::protocols::postgres::garbled::Garbled;
use crate::protocols::postgres::guard::{self, Block, Fits, Guard, Lock};
use crate::protocols::postgres::operation::Operation;
use crate::protocols::postgres::own;
use crate::protocols::postgres::request::RequestKind;

impl Conversation {
    /// What goes to the server before an operation that is allowed, so that it writes where this one does more than read, and
    /// refuses to where it does not. `rest` is what the client has sent behind it.
    pub(in crate::protocols::postgres) fn guarded(
        &mut self,
        kind: &RequestKind,
        operation: &Operation,
        rest: &[u8],
    ) -> Vec<u8> {
        // The transaction in which it will run has begun.
        if self.locking {
            return Vec::new();
        }
        let mut out = match kind {
            RequestKind::Query | RequestKind::FunctionCall => self.end_ours(),
            RequestKind::Parse { .. } | RequestKind::Bind { .. } | RequestKind::Execute { .. } => Vec::new(),
        };
        let in_block = match kind {
            RequestKind::Query
            | RequestKind::FunctionCall
            | RequestKind::Bind { .. }
            | RequestKind::Execute { .. } => self.locked_block(operation),
            RequestKind::Parse { .. } => Vec::new(),
        };
        if self.guard.is_off() || !in_block.is_empty() {
            out.extend(in_block);
            return out;
        }
        let reads = operation.reads() || self.block.fits(operation) == Fits::Beginning;
        let known = |name: &[u8]| self.reads_statement(name);
        let reads = match kind {
            RequestKind::Query | RequestKind::FunctionCall => reads,
            _ if self.unsynced => return Vec::new(),
            RequestKind::Parse { name, .. } => {
                guard::segment_reads(rest, Some((name.as_bytes(), reads)), known)
            }
            RequestKind::Bind { .. } => reads && guard::segment_reads(rest, None, known),
            RequestKind::Execute { .. } => guard::segment_reads(rest, None, known),
        };
        out.extend(self.shift_guard(reads));
        out
    }

    /// The same before a message of the extended protocol that carries no intent of its own.
    pub(super) fn guarded_segment(&mut self, rest: &[u8]) -> Vec<u8> {
        if self.guard.is_off() || self.unsynced {
            return Vec::new();
        }
        let reads = guard::segment_reads(rest, None, |name| self.reads_statement(name));
        self.shift_guard(reads)
    }

    fn shift_guard(&mut self, reads: bool) -> Vec<u8> {
        let mut out = Vec::new();
        // A transaction is what it began as.
        if self.unsynced || self.in_block() {
            return out;
        }
        if let Some(lock) = self.guard.shift(reads, self.expected.is_empty()) {
            self.send_lock(&mut out, lock);
        }
        out
    }

    fn send_lock(&mut self, out: &mut Vec<u8>, lock: Lock) {
        own::ask(out, own::lock(lock));
        let sync = (lock != Lock::Block { apart: false }).then_some(OwnPart::Sync);
        if sync.is_some() {
            build::sync(out);
        } else {
            self.flushed = false;
        }
        for part in OwnPart::EACH.into_iter().chain(sync) {
            self.expected.push_back(Expected::Guard(part, lock));
        }
    }

    /// What makes the block that is open read only before an operation in it, where its target is strict.
    pub(super) fn locked_block(&mut self, operation: &Operation) -> Vec<u8> {
        let mut out = Vec::new();
        if self.block.fits(operation) == Fits::Locked && self.status != TransactionStatus::Failed {
            self.send_lock(&mut out, Lock::Block { apart: !self.unsynced });
            self.block = Block::Reads { locked: true };
        }
        out
    }

    /// Why an operation may not be sent, where policy bounds what it sets.
    fn beyond_caps(&self, operation: &Operation) -> Option<Said> {
        self.caps.settings().next()?;
        let why = operation.statements.iter().find_map(|statement| guard::beyond(&self.caps, statement))?;
        let hint = Some("Set it to a literal within that bound, or RESET it.".to_owned());
        Some(Said::Garbled(Garbled { hint, ..Garbled::new("42501", why) }))
    }

    /// What must happen before an operation may be sent, where its target is strict about blocks.
    pub(super) fn before_block(&self, operation: &Operation) -> Option<Said> {
        if let Some(beyond) = self.beyond_caps(operation) {
            return Some(beyond);
        }
        if self.block == Block::Unguarded {
            return None;
        }
        if self.status == TransactionStatus::Failed {
            // What is in flight may make it go on.
            if !self.expected.is_empty() {
                return Some(Said::Wait);
            }
            // Else the server does nothing in it but end it, or go back in it.
            if !operation.controls().any(guard::returns) {
                return None;
            }
        }
        // What was said of transactions to come may be taken back by the end of one that is being opened.
        let opening = self.guard == Guard::Locked && self.block != Block::None && !self.in_block();
        let garbled = |message: &str, hint: &str| {
            let hint = Some(hint.to_owned());
            Some(Said::Garbled(Garbled { hint, ..Garbled::new("25006", message.to_owned()) }))
        };
        match self.block.fits(operation) {
            _ if opening && !self.expected.is_empty() => Some(Said::Wait),
            Fits::Beginning if !self.guard.is_off() && !self.expected.is_empty() => Some(Said::Wait),
            Fits::Plainly | Fits::Locked | Fits::Beginning => None,
            Fits::Not => garbled(
                "a transaction that began with a read stays read only on this target",
                "End it, and begin the next one with what writes, or with SELECT … FOR UPDATE.",
            ),
            Fits::Midway => garbled(
                "a transaction that reads cannot be made read only in the middle of a message",
                "Send BEGIN, or ROLLBACK TO, as a message of its own.",
            ),
        }
    }

    fn reads_statement(&self, name: &[u8]) -> bool {
        let name = std::str::from_utf8(name).unwrap_or(own::RESERVED);
        matches!(self.find_statement(name), Found::Here(prepared) if prepared.operation.reads())
    }
}
