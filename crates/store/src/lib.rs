//! State: targets, tokens, policies, requests; sealed credentials. Rows in, rows out: what they mean is the gateway's.
//!
//! There is no clock here: whoever asks says what time it is.

mod administrator;
mod approvers;
mod asked;
mod backup;
mod break_glass;
mod carriers;
mod changes;
pub mod children;
mod configuration;
mod database;
mod denials;
mod drafts;
mod dump;
mod foresee;
mod happened;
mod heartbeat;
mod keys;
mod master;
mod open;
mod passphrase;
mod people;
mod places;
mod plans;
mod query;
mod requests;
mod retention;
mod rotate;
mod server;
mod sign_outs;
mod slack;
mod standing;
mod tasks;
mod tokens;
mod vault;
mod verifier;
mod votes;
mod vouchers;

pub use administrator::{ADMIN_PREFIX, REPLACED};
pub use approvers::APPROVER_PREFIX;
pub use backup::{RecoveryKey, Sealer, unseal};
pub use break_glass::Code;
pub use configuration::{Configured, Former};
pub use denials::Denial;
pub use dump::Revoked;
pub use happened::Happened;
pub use heartbeat::Trouble;
pub use master::{Keys, MasterError, MasterKey, Opener, sealed_in, secret_of};
pub use open::{Location, Locked, OpenError, Store};
pub use passphrase::{Passphrase, SHORTEST_PASSPHRASE, Sealed, Stretch, Wrap};
pub use places::Place;
pub use requests::{Claimant, Left};
pub use retention::Purged;
pub use rotate::Rotated;
pub use server::Address;
pub use tokens::Token;
pub use vault::KeyName;

/// The store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// It does not answer in time.
    #[error("it does not answer")]
    Silent,
    /// A row that is not what was written.
    #[error("a stored value cannot be read: {0}")]
    Unreadable(&'static str),
    /// A sealed value that does not open: it was changed or moved, or the master key is another.
    #[error(
        "a sealed value does not open: it was changed or moved, or the master key is not the one it was sealed with"
    )]
    Sealed,
    /// The master key is one that is not here.
    #[error("the master key {0} that the store was sealed with is not here: {1}")]
    Master(KeyName, String),
    /// A copy of a store cannot be made or read.
    #[error("{0}")]
    Copy(String),
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
