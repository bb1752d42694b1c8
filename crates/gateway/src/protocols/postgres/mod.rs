//! PostgreSQL: from the client's bytes to operations, and from the server's to what the client may see.

mod alike;
mod answers;
mod ceiling;
mod chunk;
mod control;
mod conversation;
mod errors;
pub(crate) mod estimate;
mod exact;
mod expected;
pub(crate) mod foresight;
mod garbled;
mod guard;
mod instructions;
mod masks;
mod meanings;
pub(crate) mod missing;
mod names;
mod opening;
mod operation;
mod own;
mod particulars;
mod plan;
mod prepared;
pub(crate) mod preview;
mod queue;
mod reading;
pub(crate) mod replay;
mod request;
mod returned;
mod session;
mod settings;
mod several;
mod shown;
mod stored;
mod thinking;
mod under;
mod understanding;

#[cfg(test)]
mod tests;

pub use chunk::Chunk;
pub use control::{Control, ControlError, Rows};
pub use garbled::Garbled;
pub(crate) use meanings::Shared;
pub use operation::Operation;
pub use request::Request;
pub use session::PostgresSession;
