//! What the server says went wrong, and what of it its client hears.

use wire::postgres::{Frame, build};

use super::{Answers, Heard, outcome};
use crate::protocols::postgres::ceiling::{Capped, Stage};
use crate::protocols::postgres::conversation::Conversation;
use crate::protocols::postgres::errors;
use crate::protocols::postgres::expected::Expected;
use crate::protocols::postgres::guard::Lock;
use crate::protocols::postgres::operation::Operation;

impl Answers {
    pub(super) fn error(&mut self, c: &mut Conversation, frame: &Frame<'_>) -> Heard {
        self.plan = None;
        self.kind = None;
        let state = errors::sqlstate(frame.body);
        let (shy, quoting) = (!c.understanding.is_indifferent(), c.quoting);
        self.fatal |= errors::is_fatal(frame.body);
        c.failed();
        let heard = match c.expected.front_mut() {
            Some(Expected::Refused(refused)) => {
                let error = std::mem::take(&mut refused.error);
                let (simple, unnamed) = (refused.simple, refused.unnamed);
                if unnamed {
                    c.names.drop_statement("");
                }
                if !simple {
                    c.failed_extended();
                }
                return Heard::Instead(error);
            }
            Some(Expected::Guard(_, lock)) => {
                let lock = *lock;
                c.guard.failed(lock);
                c.failed_extended();
                // Where it stands among the client's own messages, those fail with it.
                return if lock == (Lock::Block { apart: false }) { Heard::Pass } else { Heard::Swallow };
            }
            Some(Expected::Own(_)) => {
                self.own_error = match errors::withhold_if(frame, shy && quoting) {
                    Heard::Instead(bytes) => bytes,
                    Heard::Pass | Heard::Row | Heard::Swallow | Heard::TooMuch | Heard::Cut(_) => {
                        frame.whole.to_vec()
                    }
                };
                self.own_failed = Some(state);
                c.failed_extended();
                return Heard::Swallow;
            }
            Some(Expected::Query(run) | Expected::FunctionCall(run)) => {
                self.outcomes.push_back(outcome(run, "", Some(&state)));
                if run.bound.limit.is_some() {
                    failed(&mut c.capped);
                }
                run.failed = Some(state);
                let heard = withheld(frame, shy, quoting, &run.bound.operation);
                c.query_ended();
                return heard;
            }
            Some(Expected::Execute(run)) => {
                self.outcomes.push_back(outcome(run, "", Some(&state)));
                if run.bound.limit.is_some() {
                    failed(&mut c.capped);
                }
                withheld(frame, shy, quoting, &run.bound.operation)
            }
            Some(Expected::Bind { bound, .. }) => withheld(frame, shy, quoting, &bound.operation),
            Some(Expected::Parse { prepared, name, operation: _ }) => {
                let heard = withheld(frame, shy, quoting, &prepared.operation);
                if name.is_empty() {
                    c.names.drop_statement("");
                }
                heard
            }
            // A constraint that was deferred to the end of the implicit transaction.
            Some(Expected::Sync) => return errors::withhold_if(frame, shy && quoting),
            Some(
                Expected::DescribeStatement { .. }
                | Expected::DescribePortal { .. }
                | Expected::CloseStatement(_)
                | Expected::ClosePortal(_)
                | Expected::CopyEnd,
            ) => Heard::Pass,
            // The server ends the session by itself: 57P01 and the like.
            None => return Heard::Pass,
        };
        c.failed_extended();
        heard
    }
}

/// An approved operation has failed. What it failed in is undone by whoever began that.
fn failed(capped: &mut Option<Capped>) {
    if let Some(ours) = capped.as_mut().filter(|capped| capped.ours) {
        ours.stage = Stage::Failed;
    } else {
        *capped = None;
    }
}

pub(super) fn notice(c: &Conversation, frame: &Frame<'_>) -> Heard {
    if c.understanding.is_indifferent() && !matches!(c.expected.front(), Some(Expected::Own(_))) {
        return Heard::Pass;
    }
    match c.expected.front() {
        Some(Expected::Query(run) | Expected::Execute(run) | Expected::FunctionCall(run)) => {
            errors::notice(frame, quotes(&run.bound.operation, c.quoting))
        }
        Some(Expected::Bind { bound, .. }) => errors::notice(frame, quotes(&bound.operation, c.quoting)),
        Some(Expected::Parse { prepared, .. }) => {
            errors::notice(frame, quotes(&prepared.operation, c.quoting))
        }
        Some(Expected::Own(_) | Expected::Guard(..)) => Heard::Swallow,
        Some(Expected::Sync) => errors::notice(frame, c.quoting),
        Some(
            Expected::Refused(_)
            | Expected::DescribeStatement { .. }
            | Expected::DescribePortal { .. }
            | Expected::CopyEnd
            | Expected::CloseStatement(_)
            | Expected::ClosePortal(_),
        )
        | None => Heard::Pass,
    }
}

/// Whether the server's words about an operation may quote values of tagged columns: its own, or what its transaction has put
/// off until now (`quoting`), as constraints and triggers that are deferred.
fn quotes(operation: &Operation, quoting: bool) -> bool {
    let settles = |kind: &str| matches!(kind, "commit" | "set constraints" | "prepare transaction");
    operation.statements.iter().any(|s| s.touches_tagged || quoting && settles(&s.facts.kind))
}

fn withheld(frame: &Frame<'_>, shy: bool, quoting: bool, operation: &Operation) -> Heard {
    errors::withhold_if(frame, shy && quotes(operation, quoting))
}

/// The last words where the target says more than anybody keeps.
pub(in crate::protocols::postgres) fn too_long(why: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let error =
        wire::postgres::error::ErrorFields::fatal("08P01", "the target's answer is longer than it may be")
            .detail(why)
            .hint("Its administrator must look at it: no honest server sends that.");
    build::error(&mut out, &error);
    out
}

/// An empty plan's worth of bytes: what a client gets where a result is cut.
pub(in crate::protocols::postgres) fn cut(why: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let error =
        wire::postgres::error::ErrorFields::fatal("42501", "the result cannot be masked with certainty")
            .detail(why)
            .hint("Name the columns that are needed, without those that are tagged.");
    build::error(&mut out, &error);
    out
}
