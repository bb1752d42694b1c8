//! State: targets, tokens, policies, requests; sealed credentials. Rows in, rows out: what they mean is the gateway's.
//!
//! There is no clock here: whoever asks says what time it is.

mod administrator;
mod approvers;
mod break_glass;
mod configuration;
mod denials;
mod keys;
mod master;
mod open;
mod requests;
mod retention;
mod tokens;
mod vault;
mod verifier;
mod votes;

pub use administrator::ADMIN_PREFIX;
pub use approvers::APPROVER_PREFIX;
pub use break_glass::Code;
pub use denials::Denial;
pub use master::{MasterError, MasterKey};
pub use open::{OpenError, Store};
pub use retention::Purged;
pub use tokens::Token;

/// The store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// A row that is not what was written.
    #[error("a stored value cannot be read: {0}")]
    Unreadable(&'static str),
    /// A sealed value that does not open: it was changed or moved, or the master key is another.
    #[error(
        "a sealed value does not open: it was changed or moved, or the master key is not the one it was sealed with"
    )]
    Sealed,
    /// No randomness.
    #[error("the system gives no randomness")]
    Randomness,
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Unreadable("no JSON"))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Unreadable("no JSON"))
}

#[cfg(test)]
mod tests;
