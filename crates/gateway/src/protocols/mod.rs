//! One folder for each protocol.

pub mod postgres;
