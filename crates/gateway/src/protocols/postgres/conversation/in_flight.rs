//! Names whose meaning may depend on an answer in flight.

use std::sync::Arc;

use sql::postgres::Control;

use super::Conversation;
use crate::protocols::postgres::expected::{Bound, Expected};
use crate::protocols::postgres::operation::{Operation, Prepared};

/// What is known of a name.
pub(super) enum Found<T> {
    Here(T),
    Missing,
    /// It depends on an answer in flight.
    Ambiguous,
}

impl Conversation {
    pub(super) fn find_statement(&self, name: &str) -> Found<Arc<Prepared>> {
        let mut same_segment = true;
        for expected in self.expected.iter().rev() {
            let found = if let Expected::Parse { name: other, prepared } = expected
                && other == name
            {
                Found::Here(Arc::clone(prepared))
            } else if matches!(expected, Expected::CloseStatement(other) if other == name) {
                Found::Missing
            } else {
                // Who is indifferent needs no certainty, so the likeliest is good enough.
                same_segment &= self.understanding.is_indifferent() || !expected.ends_segment();
                continue;
            };
            return if same_segment { found } else { Found::Ambiguous };
        }
        self.names.statement(name).map_or(Found::Missing, Found::Here)
    }

    pub(super) fn find_portal(&self, name: &str) -> Found<Arc<Bound>> {
        let mut same_segment = true;
        for expected in self.expected.iter().rev() {
            let found = if let Expected::Bind { portal, bound } = expected
                && portal == name
            {
                Found::Here(Arc::clone(bound))
            } else if matches!(expected, Expected::ClosePortal(other) if other == name) {
                Found::Missing
            } else {
                same_segment &= self.understanding.is_indifferent() || !expected.ends_segment();
                continue;
            };
            return if same_segment { found } else { Found::Ambiguous };
        }
        // Portals end with the transaction, and an answer in flight may be its end.
        match self.names.portal(name) {
            Some(bound) if same_segment || bound.holdable => Found::Here(bound),
            Some(_) => Found::Ambiguous,
            None => Found::Missing,
        }
    }

    /// Whether what an operation names, if it names something, is not settled yet.
    pub(super) fn is_in_flight(&self, operation: &Operation) -> bool {
        !self.understanding.is_indifferent()
            && operation.controls().any(|control| {
                self.expected.iter().any(|expected| match (control, expected) {
                    (Control::Execute { name }, Expected::Parse { name: other, .. })
                    | (Control::Execute { name }, Expected::CloseStatement(other))
                    | (Control::Fetch { name }, Expected::Bind { portal: other, .. })
                    | (Control::Fetch { name }, Expected::ClosePortal(other)) => name == other,
                    (_, _) => false,
                })
            })
    }

    pub(super) fn is_being_described(&self, prepared: &Arc<Prepared>) -> bool {
        self.expected.iter().rev().any(
            |e| matches!(e, Expected::DescribeStatement { prepared: Some(other), .. } if Arc::ptr_eq(other, prepared)),
        )
    }
}
