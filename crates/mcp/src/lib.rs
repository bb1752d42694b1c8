//! The agents' door: one endpoint of the Model Context Protocol for everything behind the gateway. What is asked for here goes
//! to the spine as a session of PostgreSQL's protocol inside this process (`gateway::inside`), so that it is understood,
//! decided, held, masked, journalled and recorded as what `psql` sends. Nothing here decides anything.
//!
//! Two eras are spoken on one URL: 2026-07-28, in which each request stands alone, and 2024-11-05 to 2025-11-25, which begin
//! with `initialize` and keep a session. <https://modelcontextprotocol.io/specification>

mod answer;
mod body;
mod client;
mod door;
mod eras;
mod leave;
mod origin;
mod pool;
mod room;
mod rpc;
mod stream;
mod tools;
mod values;

pub use crate::door::{Asking, Door};
pub use crate::room::{Full, Kept, Place, Room, Unread};
