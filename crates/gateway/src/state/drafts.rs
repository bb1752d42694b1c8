//! What the gateway asks of whatever keeps it about changes that wait for a second person.

use model::{Draft, DraftStatus};
use zeroize::Zeroizing;

use super::Reply;

/// Changes of what is configured that wait, or did.
pub trait Drafts: Send + Sync {
    /// Keeps a change with what nobody may read of it, sealed; its id, or `None` where so many wait already.
    fn add_draft<'a>(&'a self, draft: &'a Draft, secret: &'a [u8], most: i64) -> Reply<'a, Option<String>>;
    /// The newest, so many at most.
    fn drafts(&self, most: i64) -> Reply<'_, Vec<Draft>>;
    /// How many wait.
    fn waiting_drafts(&self) -> Reply<'_, i64>;
    /// One of them, with what nobody may read of it.
    fn draft<'a>(&'a self, id: &'a str) -> Reply<'a, Option<(Draft, Zeroizing<Vec<u8>>)>>;
    /// Makes it so that those whose time is over have expired; which they are.
    fn expire_drafts(&self) -> Reply<'_, Vec<String>>;
    /// Ends one that waits; whether it did.
    fn end_draft<'a>(&'a self, id: &'a str, status: DraftStatus, by: &'a str) -> Reply<'a, bool>;
}
