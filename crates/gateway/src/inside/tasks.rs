//! Held statements whose clients ask about them later: any gateway of the store can be asked, and one runs them.

use model::{Task, TaskState};
use zeroize::Zeroizing;

use crate::gateway::Gateway;
use crate::state::{Shelf, StateError};

impl Gateway {
    /// Keeps a new one with what it says, where there is room. Whether it is kept.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn keep_task(&self, task: &Task, says: &[u8], shelf: Shelf) -> Result<bool, StateError> {
        self.state().add_task(task, says, shelf).await
    }

    /// One that is kept, and what it says, or what came of it once it is done. Whether it is the asker's is for the caller to see to.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn kept_task(&self, id: &str) -> Result<Option<(Task, Zeroizing<Vec<u8>>)>, StateError> {
        self.state().task(id).await
    }

    /// Brings one to another state, with what came of it where that is known. Whether it could come there, which of several
    /// gateways that try at once is true for one.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn turn_task(&self, id: &str, to: TaskState, came: Option<&[u8]>) -> Result<bool, StateError> {
        self.state().turn_task(id, to, came).await
    }

    /// Its client's person need not be led anywhere any more.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn hush_task(&self, id: &str) -> Result<(), StateError> {
        self.state().hush_task(id).await
    }
}
