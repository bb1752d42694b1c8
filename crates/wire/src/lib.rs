//! Bytes to messages and back. Decoders are total: whatever arrives is a message, a wish for more, or an error.

pub mod postgres;
pub mod reader;

/// What arrived is not a message; the words say what was wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);
