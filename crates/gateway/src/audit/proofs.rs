//! The proofs that something is on record. Only the record itself makes them.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use journal::{Journal, Position, Synced};
use model::{Ceiling, ColumnName};
use policy::Most;

use super::{DecisionId, JournalDown};
use crate::lanes;
use crate::protocols::postgres::preview::trial::Kept;
use crate::traces::Waits;

/// An operation that is allowed *and* on record, behind which its bytes leave ([`Owed`]). Only [`super::Audit::allowed`] makes one.
///
/// ```compile_fail,E0451
/// use gateway::audit::{Cleared, DecisionId, Owed};
///
/// fn forge(decision: DecisionId) -> Cleared<&'static str> {
///     Cleared { message: "DROP TABLE t", reveal: Default::default(), decision, owed: Owed::default(), ceiling: None, most: None, kept: None }
/// }
/// ```
#[must_use]
pub struct Cleared<M> {
    pub(super) message: M,
    pub(super) reveal: Arc<BTreeSet<ColumnName>>,
    pub(super) decision: DecisionId,
    pub(super) owed: Owed,
    pub(super) ceiling: Option<Ceiling>,
    pub(super) most: Option<Arc<Most>>,
    pub(super) kept: Option<Box<Kept>>,
}

impl<M> Cleared<M> {
    /// The same, of what was tried and is open, if it is: that is what was approved.
    pub(crate) fn tried(self, kept: Option<Box<Kept>>) -> Self {
        Self { kept, ..self }
    }

    /// What is forwarded, under which terms, and what must be on disk before it leaves.
    pub fn into_parts(self) -> (M, Terms, Owed) {
        let Self { message, reveal, decision, owed, ceiling, most, kept } = self;
        (message, Terms { reveal, decision, ceiling, most, kept }, owed)
    }
}

/// Under which terms an operation may go on.
#[derive(Debug)]
pub struct Terms {
    /// The columns that it may show clear.
    pub reveal: Arc<BTreeSet<ColumnName>>,
    /// The decision.
    pub decision: DecisionId,
    /// How many rows were approved; `None` where nobody was asked.
    pub ceiling: Option<Ceiling>,
    /// How much it may return; `None` where no policy bounds it.
    pub most: Option<Arc<Most>>,
    /// What was tried and is open, which is committed in its place where no more was approved than that.
    pub(crate) kept: Option<Box<Kept>>,
}

/// Records that must be written, and those that must be on disk, before a byte behind them leaves for the target.
/// Operations that come together wait together, and none leaves before its record.
#[must_use]
#[derive(Default)]
pub struct Owed {
    pub(super) written: Option<Position>,
    pub(super) synced: VecDeque<Synced>,
    pub(super) waits: Waits,
}

impl Owed {
    /// What must be done before these bytes and the next leave.
    pub fn then(&mut self, next: Self) {
        self.written = self.written.max(next.written);
        self.synced.extend(next.synced);
        self.waits.then(next.waits);
    }

    /// Whether nothing is owed.
    pub fn is_settled(&self) -> bool {
        self.written.is_none() && self.synced.is_empty()
    }

    /// Waits until all of it is done. Cancel-safe.
    ///
    /// # Errors
    /// It may never be: nothing that waited for it may leave.
    pub async fn settle(&mut self, journal: &Journal) -> Result<(), JournalDown> {
        self.waits.begin();
        if let Some(position) = self.written {
            if !journal.is_written(position) && !lanes::is_alone() {
                // Other sessions of this thread have something to record, too: one write is enough for all.
                tokio::task::yield_now().await;
            }
            journal.write(position).map_err(|down| failed(&down))?;
            self.written = None;
        }
        while let Some(first) = self.synced.front_mut() {
            first.await.map_err(|down| failed(&down))?;
            self.synced.pop_front();
        }
        self.waits.end();
        Ok(())
    }
}

fn failed(down: &journal::Down) -> JournalDown {
    tracing::error!("the journal cannot be written: {down}");
    JournalDown
}

/// A response that is on record and may now be shown. Only [`super::Audit::record`] makes one.
///
/// ```compile_fail,E0603
/// let forged = gateway::audit::Recorded("secret");
/// ```
#[must_use]
pub struct Recorded<T>(pub(super) T);

impl<T> Recorded<T> {
    /// What is delivered.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// A refusal that is on record, in the words that the client gets of it.
///
/// ```compile_fail,E0423
/// use gateway::audit::{DecisionId, Noted};
///
/// fn forge(decision: DecisionId) -> Noted {
///     Noted(decision)
/// }
/// ```
#[derive(Debug)]
pub struct Noted(pub(super) DecisionId);

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decision {}.", self.0)
    }
}
