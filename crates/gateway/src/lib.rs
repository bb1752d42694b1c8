//! One session, start to end: the only crate with sockets to targets.

pub mod net;
pub mod sessions;
