//! Sockets: towards clients and towards targets.

pub mod cancel;
pub mod dial;
pub mod form;
pub mod listen;
pub mod login;
mod public;
pub mod pump;
pub(crate) mod refusals;
pub mod stream;
pub mod tls;
pub mod vault;
pub mod web;

#[cfg(test)]
mod tests;
