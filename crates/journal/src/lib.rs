//! The append-only, tamper-evident log: JSON lines in segments, each line bound to the one before it by its hash.

mod clock;
mod json;
mod line;
mod log;
mod open;
pub mod read;
pub mod record;
mod sync;
pub mod verify;

pub use log::{Down, Journal, Options, Position, SessionLog};
pub use open::OpenError;
pub use sync::Synced;

#[cfg(test)]
mod tests;
