//! The session's prepared statements and portals, the wire's and SQL's together: they share their names.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use sql::postgres::Control;

use super::expected::{Bound, Run};
use super::operation::Operation;
use super::prepared::{Epoch, Prepared};

/// How many statements and portals one session may keep.
const MOST: usize = 100_000;
/// How many bytes one session may keep under names.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// So many savepoints are told apart: beyond that no cursor is sure to be there before its transaction has ended.
const MOST_SAVEPOINTS: usize = 10_000;

/// What the server has confirmed.
#[derive(Default, Clone)]
pub(super) struct Names {
    statements: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Arc<Bound>>,
    /// Portals whose rows were all made when their transaction ended.
    made: HashSet<String>,
    /// Which portal came when, counted.
    born: HashMap<String, u64>,
    births: u64,
    /// The transaction's savepoints, each with how many had come by then.
    savepoints: Vec<(String, u64)>,
    /// Whether there are more.
    beyond: bool,
    /// What all of these weigh.
    bytes: usize,
}

impl Names {
    /// Whether one more would exceed what a session may keep.
    pub(super) fn is_full(&self) -> bool {
        self.statements.len() >= MOST || self.portals.len() >= MOST || self.bytes >= MOST_BYTES
    }

    pub(super) fn statement(&self, name: &str) -> Option<Arc<Prepared>> {
        self.statements.get(name).cloned()
    }

    pub(super) fn portal(&self, name: &str) -> Option<Arc<Bound>> {
        self.portals.get(name).cloned()
    }

    /// Whether a cursor is there for certain.
    pub(super) fn has_cursor(&self, name: &str) -> bool {
        !self.beyond && self.portals.contains_key(name)
    }

    pub(super) fn keep_statement(&mut self, name: String, prepared: Arc<Prepared>) {
        self.bytes += prepared.weight();
        if let Some(old) = self.statements.insert(name, prepared) {
            self.lost(old.weight());
        }
    }

    /// Keeps what a statement means now in the place of what it meant.
    pub(super) fn renew(&mut self, name: &str, old: &Arc<Prepared>, new: &Arc<Prepared>) {
        if let Some(kept) = self.statements.get_mut(name)
            && Arc::ptr_eq(kept, old)
        {
            *kept = Arc::clone(new);
            self.bytes = (self.bytes + new.weight()).saturating_sub(old.weight());
        }
    }

    fn lost(&mut self, weight: usize) {
        self.bytes = self.bytes.saturating_sub(weight);
    }

    /// Whether code of a portal other than this one is still to find its names.
    pub(super) fn is_late(&self, but: Option<&str>) -> bool {
        self.portals
            .iter()
            .any(|(name, bound)| but != Some(name) && bound.is_late() && !self.made.contains(name))
    }

    /// Cursors whose rows are made at the end of the transaction, by code.
    pub(super) fn made_at_end(&self) -> Vec<Arc<Bound>> {
        let late =
            |(name, bound): &(&String, &Arc<Bound>)| bound.holdable && bound.is_late() && !self.is_made(name);
        self.portals.iter().filter(late).map(|(_, bound)| Arc::clone(bound)).collect()
    }

    /// Whether all rows of this portal were made.
    pub(super) fn is_made(&self, name: &str) -> bool {
        self.made.contains(name)
    }

    pub(super) fn keep_portal(&mut self, name: String, bound: Arc<Bound>) {
        self.made.remove(&name);
        self.births += 1;
        // The unnamed one is declared by nobody, and comes with each statement.
        if !name.is_empty() {
            self.born.insert(name.clone(), self.births);
        }
        self.bytes += bound.weight();
        if let Some(old) = self.portals.insert(name, bound) {
            self.lost(old.weight());
        }
    }

    /// Keeps a portal as it was decided again in the place of what it was.
    pub(super) fn renew_portal(&mut self, name: &str, old: &Arc<Bound>, new: &Arc<Bound>) {
        if let Some(kept) = self.portals.get_mut(name)
            && Arc::ptr_eq(kept, old)
        {
            *kept = Arc::clone(new);
        }
    }

    pub(super) fn drop_statement(&mut self, name: &str) {
        if let Some(old) = self.statements.remove(name) {
            self.lost(old.weight());
        }
    }

    pub(super) fn drop_portal(&mut self, name: &str) {
        if let Some(old) = self.portals.remove(name) {
            self.lost(old.weight());
            self.born.remove(name);
        }
    }

    /// Portals end with their transaction, unless they were declared `WITH HOLD`.
    pub(super) fn transaction_ended(&mut self) {
        self.keep_portals(|bound| bound.holdable);
        self.savepoints.clear();
        self.beyond = false;
        self.made = self.portals.keys().cloned().collect();
    }

    fn keep_portals(&mut self, keep: impl Fn(&Bound) -> bool) {
        let mut lost = 0;
        let born = &mut self.born;
        self.portals.retain(|name, bound| {
            let kept = keep(bound);
            if !kept {
                lost += bound.weight();
                born.remove(name);
            }
            kept
        });
        self.lost(lost);
    }

    /// A simple Query drops the unnamed statement and portal.
    pub(super) fn simple_query(&mut self) {
        self.drop_statement("");
        self.drop_portal("");
    }

    /// Applies what one completed SQL statement did to names.
    pub(super) fn completed(&mut self, control: &Control, run: &Run, epoch: Epoch) {
        match control {
            Control::Prepare { name, inner, text } => {
                let operation = Arc::new(Operation::single(Arc::clone(inner)));
                let epoch = understood_under(run, epoch);
                let text = Some(Arc::clone(text));
                let prepared =
                    Prepared { by_sql: Some(name.clone()), ..Prepared::new(text, operation, epoch) };
                self.keep_statement(name.clone(), Arc::new(prepared));
            }
            Control::Deallocate(Some(name)) => self.drop_statement(name),
            Control::Deallocate(None) => self.forget_statements(),
            Control::Declare { name, inner, hold, text } => {
                let declared = Some((Arc::clone(text), understood_under(run, epoch)));
                let bound = Bound {
                    declared,
                    reveal: Arc::clone(&run.bound.reveal),
                    decision: run.bound.decision.clone(),
                    holdable: *hold,
                    turn: run.bound.turn,
                    returns: run.bound.returns.as_ref().map(|returns| Arc::new(returns.anew())),
                    ..Bound::of(Arc::new(Operation::single(Arc::clone(inner))))
                };
                self.keep_portal(name.clone(), Arc::new(bound));
            }
            Control::Savepoint(name) if self.savepoints.len() < MOST_SAVEPOINTS => {
                self.savepoints.push((name.clone(), self.births));
            }
            Control::Savepoint(_) => self.beyond = true,
            Control::RollbackTo(name) => self.rolled_back_to(name),
            Control::Release(name) => {
                let at = self.savepoints.iter().rposition(|(savepoint, _)| savepoint == name);
                self.savepoints.truncate(at.unwrap_or(self.savepoints.len()));
            }
            Control::CloseCursor(Some(name)) => self.drop_portal(name),
            Control::CloseCursor(None) => self.keep_portals(|_| false),
            Control::Discard(what) if what.is_all() => {
                self.forget_statements();
                self.keep_portals(|_| false);
            }
            Control::Begin { .. }
            | Control::Commit { .. }
            | Control::Rollback { .. }
            | Control::PrepareTransaction
            | Control::Set { .. }
            | Control::Reset(_)
            | Control::Discard(_)
            | Control::Execute { .. }
            | Control::Fetch { .. }
            | Control::CopyIn
            | Control::CopyOut(_)
            | Control::Listen
            | Control::SetRole
            | Control::Ddl
            | Control::TempObject
            | Control::ChangesSettings => (),
        }
    }

    /// What was declared behind a savepoint is gone, also what was to outlast its transaction.
    fn rolled_back_to(&mut self, name: &str) {
        let Some(at) = self.savepoints.iter().rposition(|(savepoint, _)| savepoint == name) else { return };
        self.savepoints.truncate(at + 1);
        let Some((_, births)) = self.savepoints.last() else { return };
        let gone: Vec<String> =
            self.born.iter().filter(|(_, born)| *born > births).map(|(name, _)| name.clone()).collect();
        gone.iter().for_each(|name| self.drop_portal(name));
    }

    fn forget_statements(&mut self) {
        let lost = self.statements.drain().map(|(_, old)| old.weight()).sum();
        self.lost(lost);
    }
}

/// Under which names what SQL keeps under one was understood.
fn understood_under(run: &Run, epoch: Epoch) -> Epoch {
    let understood = run.bound.prepared.as_ref().map_or(epoch, |prepared| prepared.epoch);
    // What stands before it in its message may have moved names, and what stands behind it moved them back.
    let alone = run.bound.operation.statements.len() == 1;
    if alone && understood == epoch { epoch } else { Epoch::PAST }
}

/// Whether a statement adds to what is kept under names.
pub(super) fn adds_names(control: &Control) -> bool {
    matches!(control, Control::Prepare { .. } | Control::Declare { .. })
}

/// Whether a statement changes which names there are, so that what follows must wait until it is done.
pub(super) fn moves_names(control: &Control) -> bool {
    match control {
        Control::Prepare { .. }
        | Control::Deallocate(_)
        | Control::Declare { .. }
        | Control::CloseCursor(_)
        | Control::Discard(_) => true,
        // The end of a transaction takes portals with it, which the server knows: what names one gets its error.
        Control::Commit { .. }
        | Control::Rollback { .. }
        | Control::RollbackTo(_)
        | Control::PrepareTransaction
        | Control::Begin { .. }
        | Control::Savepoint(_)
        | Control::Release(_)
        | Control::Set { .. }
        | Control::Reset(_)
        | Control::Execute { .. }
        | Control::Fetch { .. }
        | Control::CopyIn
        | Control::CopyOut(_)
        | Control::Listen
        | Control::SetRole
        | Control::Ddl
        | Control::TempObject
        | Control::ChangesSettings => false,
    }
}
