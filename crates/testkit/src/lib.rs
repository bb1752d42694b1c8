//! Real servers for tests and house commands: started on free loopback ports, stopped by their process ids.
//!
//! Without the features `certificates` and `tokens` this crate needs the standard library alone, so that `cargo xtask` starts on a
//! machine that has nothing but a toolchain.

mod account;
#[cfg(feature = "certificates")]
pub mod certificates;
pub mod durward;
mod failure;
pub mod http;
pub mod issuer;
pub mod json;
#[cfg(feature = "tokens")]
pub mod jwt;
pub mod postgres;
pub mod process;
mod scratch;

pub use account::{Account, is_root};
pub use failure::Failure;
pub use scratch::Scratch;

#[cfg(test)]
mod tests;
