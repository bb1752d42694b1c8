//! Traces for OpenTelemetry: where they go, by `[traces]` or the variables that OpenTelemetry's own libraries read.

#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod on;

#[cfg(not(feature = "otel"))]
pub(crate) use off::{Tracing, TypedTraces, start};
#[cfg(feature = "otel")]
pub(crate) use on::{Tracing, TypedTraces, start};
