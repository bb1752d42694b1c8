//! What a session that carries out a plan may send, and what comes of it.

use std::sync::Arc;

use model::{CarriedBy, Finish};
use sql::postgres::Control;
use wire::postgres::backend::TransactionStatus;

use super::request::Request;
use crate::audit::{DecisionId, Outcome};
use crate::holds::Holds;
use crate::plans::{Ahead, DECIDE_NOTHING, Run};
use crate::spine::Auditable;

/// Whether a message may go on to be decided.
///
/// # Errors
/// Why it is refused. A plan that its session carries out is stopped by that.
pub(super) fn in_its_turn(run: &Run, request: &Request, status: TransactionStatus) -> Result<(), String> {
    match run.plan.by {
        CarriedBy::Gateway if begins(request) || ends(request).is_some() => Ok(()),
        CarriedBy::Gateway => run.fits(request).map(drop),
        // What is only given a name runs when it is bound.
        CarriedBy::Session if request.is_shape() => Ok(()),
        CarriedBy::Session if run.is_stopped() => after_it(run, request, status),
        CarriedBy::Session => of_its_session(run, request, status),
        CarriedBy::Message => Ok(()),
    }
}

/// All that a stopped plan leaves is its transaction, which is to be rolled back.
fn after_it(run: &Run, request: &Request, status: TransactionStatus) -> Result<(), String> {
    match ends(request) {
        Some(End::Rollback) => Ok(()),
        // Of one that has failed the server makes a ROLLBACK.
        Some(End::Commit) if status == TransactionStatus::Failed => Ok(()),
        Some(End::Commit) | None => Err(format!(
            "plan {} was approved as a whole and has stopped: nothing of its transaction is committed",
            run.request
        )),
    }
}

fn of_its_session(run: &Run, request: &Request, status: TransactionStatus) -> Result<(), String> {
    let whole = run.plan.apart.is_none();
    match ends(request) {
        Some(End::Rollback) => return Ok(()),
        Some(End::Commit) if !whole || status == TransactionStatus::Failed || run.is_complete() => {
            return Ok(());
        }
        Some(End::Commit) => {
            return Err(format!(
                "plan {} was approved as a whole, and not all of it has run: nothing of it is committed",
                run.request
            ));
        }
        None => (),
    }
    if run.is_next(request) {
        return run.fits(request).map(drop);
    }
    if passes(request, whole) { Ok(()) } else { Err(run.astray()) }
}

/// What ends a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Commit,
    Rollback,
}

/// Whether a message is that alone.
fn ends(request: &Request) -> Option<End> {
    let control = alone(request)?;
    if matches!(control, Control::Commit { .. }) {
        return Some(End::Commit);
    }
    matches!(control, Control::Rollback { .. }).then_some(End::Rollback)
}

fn begins(request: &Request) -> bool {
    matches!(alone(request), Some(Control::Begin { .. }))
}

fn alone(request: &Request) -> Option<&Control> {
    let [statement] = request.operation.statements.as_slice() else { return None };
    let [control] = statement.control.as_slice() else { return None };
    Some(control)
}

/// Whether what is no statement of a plan may stand between those that are: it changes nothing, neither rows nor how the next
/// statement is understood nor what stays of those before it.
fn passes(request: &Request, whole: bool) -> bool {
    let harmless = |control: &Control| match control {
        // What drivers send around each statement. To go back to it takes something of the plan back.
        Control::Savepoint(_) | Control::Release(_) => whole,
        Control::Declare { .. }
        | Control::Fetch { .. }
        | Control::CloseCursor(_)
        | Control::CopyOut(_)
        | Control::Prepare { .. }
        | Control::Execute { .. }
        | Control::Deallocate(_) => true,
        Control::Set { name, .. } => DECIDE_NOTHING.contains(&name.as_str()),
        Control::Begin { .. }
        | Control::Commit { .. }
        | Control::Rollback { .. }
        | Control::RollbackTo(_)
        | Control::PrepareTransaction
        | Control::Reset(_)
        | Control::Discard(_)
        | Control::CopyIn
        | Control::Listen
        | Control::SetRole
        | Control::Ddl
        | Control::TempObject
        | Control::ChangesSettings => false,
    };
    request.operation.reads() && request.operation.controls().all(harmless)
}

/// A message of a session's is sent under this decision.
pub(super) fn sent(
    holds: &Holds,
    session: &str,
    request: &Request,
    decision: &DecisionId,
    status: TransactionStatus,
) {
    let Some(run) = holds.plans().of(session).filter(|run| run.plan.by == CarriedBy::Session) else { return };
    if request.is_shape() {
        return;
    }
    match ends(request) {
        Some(End::Commit) if status != TransactionStatus::Failed && run.is_complete() => {
            run.leaves(decision.clone(), true);
        }
        Some(End::Commit | End::Rollback) => {
            if let Some(finish) = run.stop("its transaction was rolled back") {
                holds.plan_over_soon(session, &run, finish);
            }
            run.leaves(decision.clone(), false);
        }
        None if run.is_next(request) => run.sent(decision.clone()),
        None => (),
    }
}

/// What a session sends is remembered up to the end of its transaction: a plan may begin behind it.
pub(super) fn remember(ahead: &Arc<Ahead>, request: &Request, is_idle: bool) {
    if is_idle {
        ahead.clear();
    }
    let by_itself = is_idle && request.is_simple() && request.operation.statements.len() == 1;
    if request.is_shape() || by_itself || begins(request) {
        return;
    }
    let reads = passes(request, true);
    // A read that stands outside of a block is no statement of a plan: its text, which each would have to be copied for, is not needed.
    let text = if is_idle && reads { None } else { request.script() };
    ahead.sent(text, reads);
}

/// What came of something that a session has sent which carries out a plan.
pub(super) fn came(holds: &Holds, session: &str, outcome: &Outcome) {
    let Some(run) = holds.plans().of(session).filter(|run| run.plan.by == CarriedBy::Session) else { return };
    if let Some(finish) = run.left(&outcome.decision, outcome.sqlstate.as_deref()) {
        holds.plans().end(session);
        if let Some(finish) = finish {
            holds.plan_over_soon(session, &run, finish);
        }
    } else if run.is_running(&outcome.decision) {
        let finish = match &outcome.sqlstate {
            Some(state) => Finish::failed(state),
            None => Finish::done(outcome.rows),
        };
        holds.finish_soon(run.request.clone(), finish);
    }
}
