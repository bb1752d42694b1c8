//! What a session that carries out a plan may send.

use model::CarriedBy;
use sql::postgres::Control;

use super::operation::Request;
use crate::plans::Run;

/// Whether a message may go on to be decided.
///
/// # Errors
/// Why it is refused.
pub(super) fn in_its_turn(run: &Run, request: &Request) -> Result<(), String> {
    let mut controls = request.operation.controls();
    let ends = |control: &Control| matches!(control, Control::Commit { .. } | Control::PrepareTransaction);
    let by_itself = matches!(
        request.operation.statements.as_slice(),
        [one] if matches!(one.control.as_slice(), [Control::Begin { .. } | Control::Commit { .. } | Control::Rollback { .. }])
    );
    match run.plan.by {
        CarriedBy::Gateway if by_itself => Ok(()),
        CarriedBy::Gateway => run.fits(request).map(drop),
        CarriedBy::Session if run.plan.apart.is_none() && !run.is_complete() && controls.any(ends) => {
            Err(format!(
                "plan {} was approved as a whole, and not all of it has run: nothing of it is committed",
                run.request
            ))
        }
        CarriedBy::Session | CarriedBy::Message => Ok(()),
    }
}
