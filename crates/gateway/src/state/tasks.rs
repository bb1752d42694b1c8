//! What the gateway asks of whatever keeps it about held statements whose clients ask about them later.

use model::{Task, TaskState};
use zeroize::Zeroizing;

use super::Reply;

/// So many tasks of one owner are kept, and so many in all.
#[derive(Debug, Clone, Copy)]
pub struct Shelf {
    /// Of one owner.
    pub of_one: i64,
    /// In all.
    pub all: i64,
}

/// Held statements whose clients ask about them later.
pub trait Tasks: Send + Sync {
    /// Keeps a new one with what it says, where there is room; what is over makes some. Whether it is kept.
    fn add_task<'a>(&'a self, task: &'a Task, says: &'a [u8], shelf: Shelf) -> Reply<'a, bool>;
    /// One that is kept now, and what it says, or what came of it once it is done.
    fn task<'a>(&'a self, id: &'a str) -> Reply<'a, Option<(Task, Zeroizing<Vec<u8>>)>>;
    /// Brings one to another state, with what came of it where that is known; whether it could come there, which of several who
    /// try at once is true for one.
    fn turn_task<'a>(&'a self, id: &'a str, to: TaskState, came: Option<&'a [u8]>) -> Reply<'a, bool>;
    /// Its client's person need not be led anywhere any more.
    fn hush_task<'a>(&'a self, id: &'a str) -> Reply<'a, ()>;
}
