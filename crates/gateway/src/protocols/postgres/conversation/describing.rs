//! What the client wants to be described.

use std::sync::Arc;

use sql::postgres::Control;
use wire::postgres::frontend::Kind;

use super::in_flight::Found;
use super::messages::{own_name, relay_behind};
use super::{Conversation, Said};
use crate::protocols::postgres::expected::Expected;
use crate::protocols::postgres::garbled::Garbled;
use crate::protocols::postgres::operation::Operation;

/// So many statements may execute each other where one of them is described.
const DEEPEST: usize = 8;

impl Conversation {
    pub(super) fn describe(&mut self, kind: Kind, name: &[u8], rest: &[u8]) -> Said {
        let name = match own_name(name) {
            Ok(name) => name,
            Err(garbled) => return Said::Garbled(garbled),
        };
        let expected = match kind {
            Kind::Portal => {
                let found = self.find_portal(&name);
                if let Some(first) = self.before_described(&found, |bound| &bound.operation) {
                    return first;
                }
                let bound = match found {
                    Found::Here(bound) if bound.prepared.is_none() => Some(bound),
                    Found::Here(_) | Found::Missing | Found::Ambiguous => None,
                };
                Expected::DescribePortal { bound, ours: false }
            }
            Kind::Statement => {
                let found = self.find_statement(&name);
                if let Some(first) = self.before_described(&found, |prepared| &prepared.operation) {
                    return first;
                }
                let prepared = match found {
                    Found::Here(prepared) => Some(prepared),
                    // The client's answer is the server's own; we only do not learn from it.
                    Found::Missing | Found::Ambiguous => None,
                };
                Expected::DescribeStatement { prepared, ours: false }
            }
        };
        let first = self.guarded_segment(rest);
        self.extended(expected);
        relay_behind(first)
    }

    /// What must happen before the server is asked to describe something. A `FETCH` whose cursor is gone since it was prepared ends
    /// the server's process, and all sessions with it (up to 18, `FetchStatementTargetList` takes for granted that it is there).
    fn before_described<T>(
        &self,
        found: &Found<Arc<T>>,
        operation: impl Fn(&T) -> &Arc<Operation>,
    ) -> Option<Said> {
        let operation = match found {
            Found::Here(found) => operation(found),
            Found::Missing => return None,
            Found::Ambiguous => return (!self.expected.is_empty()).then_some(Said::Wait),
        };
        if !operation.speaks_of_names() || self.understanding.is_indifferent() {
            return None;
        }
        if !self.expected.is_empty() {
            return Some(Said::Wait);
        }
        let missing = self.missing_cursor(operation, DEEPEST)?;
        Some(Said::Garbled(Garbled::new("34000", format!("cursor \"{missing}\" does not exist"))))
    }

    /// A cursor that an operation fetches from, or one that it executes, and that is not there.
    fn missing_cursor(&self, operation: &Operation, deep: usize) -> Option<String> {
        operation.controls().find_map(|control| {
            if let Control::Fetch { name } = control {
                return (!self.names.has_cursor(name)).then(|| name.clone());
            }
            let Control::Execute { name } = control else { return None };
            let Some(deep) = deep.checked_sub(1) else { return Some(name.clone()) };
            self.missing_cursor(&self.names.statement(name)?.operation, deep)
        })
    }
}
