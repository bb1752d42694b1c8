//! Names whose meaning may depend on an answer in flight.

use std::sync::Arc;

use sql::postgres::Control;

use super::Conversation;
use crate::protocols::postgres::expected::Bound;
use crate::protocols::postgres::operation::Operation;
use crate::protocols::postgres::prepared::Prepared;
use crate::protocols::postgres::queue::Spoken;

/// What is known of a name.
pub(super) enum Found<T> {
    Here(T),
    Missing,
    /// It depends on an answer in flight.
    Ambiguous,
}

impl<T> Found<T> {
    /// Who is indifferent needs no certainty, so the likeliest is good enough.
    fn of(spoken: Spoken<T>, indifferent: bool) -> Found<Arc<T>> {
        match spoken.means {
            _ if !(spoken.certain || indifferent) => Found::Ambiguous,
            Some(here) => Found::Here(here),
            None => Found::Missing,
        }
    }
}

impl Conversation {
    pub(super) fn find_statement(&self, name: &str) -> Found<Arc<Prepared>> {
        match self.expected.statement(name) {
            Some(spoken) => Found::of(spoken, self.understanding.is_indifferent()),
            None => self.names.statement(name).map_or(Found::Missing, Found::Here),
        }
    }

    pub(super) fn find_portal(&self, name: &str) -> Found<Arc<Bound>> {
        let indifferent = self.understanding.is_indifferent();
        if let Some(spoken) = self.expected.portal(name) {
            return Found::of(spoken, indifferent);
        }
        // Portals end with the transaction, and an answer in flight may be its end.
        match self.names.portal(name) {
            Some(bound) if indifferent || bound.holdable || !self.expected.has_ends() => Found::Here(bound),
            Some(_) => Found::Ambiguous,
            None => Found::Missing,
        }
    }

    /// Whether what an operation names, if it names something, is not settled yet.
    pub(super) fn is_in_flight(&self, operation: &Operation) -> bool {
        !self.understanding.is_indifferent()
            && operation.controls().any(|control| {
                matches!(control, Control::Execute { name } if self.expected.statement(name).is_some())
                    || matches!(control, Control::Fetch { name } if self.expected.portal(name).is_some())
            })
    }

    /// Whether an operation would change names under code of earlier statements that is still to find them: functions of open
    /// cursors and portals, triggers that wait for the transaction's end. What they were understood to do would not hold.
    pub(super) fn moves_too_late(&self, operation: &Operation, portal: Option<&str>) -> bool {
        !self.understanding.is_indifferent()
            && operation.statements.iter().any(|s| s.moves_names())
            && (self.deferred || self.names.is_late(portal) || self.expected.is_late(portal))
    }
}
