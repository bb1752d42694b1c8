//! Traces for OpenTelemetry: a span for each session, each operation and each of its stages, with the ids of logs and journal.
//! Built in with the feature `otel` alone; without it nothing of this takes a byte or a step.
//!
//! What is written down is what the journal would tell a stranger: ids, targets, kinds of statements, policies, SQLSTATEs and
//! times. No text of a statement, no value, no name of a person.

#[cfg(feature = "otel")]
mod collector;
#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod on;
#[cfg(feature = "otel")]
mod otlp;
#[cfg(feature = "otel")]
mod span;
#[cfg(feature = "otel")]
#[cfg(test)]
mod tests;

#[cfg(feature = "otel")]
pub use collector::{Collector, CollectorError, Exporter, start};
#[cfg(not(feature = "otel"))]
pub(crate) use off::Tracer;
#[cfg(not(feature = "otel"))]
pub use off::{Moment, Spent, Traces, Understood, Waits};
#[cfg(feature = "otel")]
pub(crate) use on::Tracer;
#[cfg(feature = "otel")]
pub use on::{Moment, Spent, Traces, Understood, Waits};

use crate::audit::DecisionId;

/// What is said of an operation that was decided.
#[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "nobody listens"))]
pub(crate) struct Decided<'a> {
    /// The decision.
    pub(crate) decision: &'a DecisionId,
    /// `select`, `update`, …; empty where it was not understood.
    pub(crate) kind: &'a str,
    /// When it was understood.
    pub(crate) understood: Understood,
    /// The policies that decided.
    pub(crate) policies: &'a [String],
}
