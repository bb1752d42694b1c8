//! Sockets: towards clients and towards targets.

pub mod pump;
