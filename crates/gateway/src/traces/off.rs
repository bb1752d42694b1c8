//! The same words where traces are not built in. Everything here is of no size and does nothing.

use model::TargetName;

use super::Decided;
use crate::audit::{DecisionId, Outcome};
use crate::holds::Ticket;
use crate::metrics::Stage;
use crate::spine::Stop;

/// Where spans go: nowhere.
#[derive(Debug, Clone, Default)]
pub struct Traces {}

/// A moment that nobody looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment;

/// When an operation was understood.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Understood {}

/// Time that was spent in pieces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {}

/// Who wants to know how long something was waited for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Waits;

/// The spans of one session.
pub(crate) struct Tracer;

impl Moment {
    /// Now.
    #[inline]
    pub fn now() -> Self {
        Self {}
    }
}

impl Understood {
    /// It began then, and is done now.
    #[inline]
    pub fn since(_: Moment) -> Self {
        Self {}
    }
}

impl Spent {
    /// A piece began then, and is done now.
    #[inline]
    pub fn add(&mut self, _: Moment) {}

    /// What was spent so far; it begins anew.
    #[inline]
    pub fn take(&mut self) -> Self {
        Self {}
    }
}

impl Waits {
    /// These wait, too.
    #[inline]
    pub(crate) fn then(&mut self, _: Self) {}

    /// The wait begins.
    #[inline]
    pub(crate) fn begin(&mut self) {}

    /// The wait is over.
    #[inline]
    pub(crate) fn end(&mut self) {}
}

impl Tracer {
    #[inline]
    pub(crate) fn new(_: &Traces, _: &str) -> Self {
        Self {}
    }

    #[inline]
    pub(crate) fn stage(&mut self, _: Stage, _: Moment) {}

    #[inline]
    pub(crate) fn opened(&mut self, _: &TargetName) {}

    #[inline]
    pub(crate) fn allowed(&mut self, _: &Decided<'_>, _runs: bool) -> Waits {
        Waits
    }

    #[inline]
    pub(crate) fn refused(&mut self, _: &Decided<'_>, _code: &str) {}

    #[inline]
    pub(crate) fn held(&mut self, _: &Decided<'_>, _: &Ticket) {}

    #[inline]
    pub(crate) fn answered(&mut self, _word: &'static str) {}

    #[inline]
    pub(crate) fn outcome(&mut self, _: &Outcome) {}

    #[inline]
    pub(crate) fn close(&mut self, _: &Stop) {}

    #[inline]
    pub(crate) fn unreadable(&mut self, _: &DecisionId, _code: &str) {}
}
