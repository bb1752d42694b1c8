//! What waits for the end of its transaction: code of triggers that are deferrable. Others may define it anew meanwhile, and then
//! it would do what nobody has decided.

use std::sync::Arc;

use super::{Conversation, Said};
use crate::protocols::postgres::ceiling;
use crate::protocols::postgres::garbled::Garbled;
use crate::protocols::postgres::operation::Operation;
use crate::protocols::postgres::prepared::Prepared;

/// So many different ones are kept to be understood again.
const MOST: usize = 64;

/// The statements of a transaction that have put something off, each once.
#[derive(Default)]
pub(super) struct PutOff {
    statements: Vec<Arc<Prepared>>,
    /// There are others, which cannot be understood again.
    others: bool,
}

impl PutOff {
    /// Notes one that is sent; nothing of one whose text is not known.
    pub(super) fn note(&mut self, statement: Option<Arc<Prepared>>) {
        let Some(statement) = statement.filter(|statement| statement.text.is_some()) else {
            self.others = true;
            return;
        };
        let same = |other: &Arc<Prepared>| {
            other.epoch == statement.epoch && other.operation.shape() == statement.operation.shape()
        };
        if self.statements.iter().any(same) {
            return;
        }
        if self.statements.len() < MOST {
            self.statements.push(statement);
        } else {
            self.others = true;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Conversation {
    /// Why an operation may not be sent with which code runs that was put off.
    pub(super) fn before_late(&mut self, operation: &Operation) -> Option<Garbled> {
        (ceiling::settles(operation) || !self.in_block()).then(|| self.before_end()).flatten()
    }

    /// The same of a Sync: the transaction ends where no block is open.
    pub(super) fn before_sync(&mut self) -> Option<Said> {
        // While data of a COPY flows the server ignores it.
        if self.in_block() || self.copies > 0 { None } else { self.before_end().map(Said::GarbledBefore) }
    }

    fn before_end(&mut self) -> Option<Garbled> {
        if self.understanding.is_indifferent() {
            return None;
        }
        let cursors = self.names.made_at_end();
        let PutOff { statements, others } = &self.put_off;
        if statements.is_empty() && !others && cursors.is_empty() {
            return None;
        }
        let (understanding, names) = (&mut self.understanding, &self.names);
        let now = understanding.epoch_now();
        let mut holds = !others || self.put_off_under == now;
        for statement in statements {
            holds = holds
                && (statement.epoch == now
                    || understanding
                        .again(statement, names)
                        .is_ok_and(|again| again.operation.means(&statement.operation)));
        }
        holds = holds && cursors.iter().all(|cursor| understanding.finds_again(cursor));
        if holds && !understanding.is_behind() {
            return None;
        }
        let why =
            "what runs at the end of the transaction was defined anew meanwhile: nothing of it is committed";
        let hint = Some("Send the transaction again.".to_owned());
        Some(Garbled { hint, ..Garbled::new("40001", why.to_owned()) })
    }
}
