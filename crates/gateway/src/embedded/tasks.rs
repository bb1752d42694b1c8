//! Held statements whose clients ask about them later, in a store.

use model::{Task, TaskState};
use zeroize::Zeroizing;

use super::Embedded;
use crate::gateway::now;
use crate::state::{Reply, Shelf, Tasks};

impl Tasks for Embedded {
    fn add_task<'a>(&'a self, task: &'a Task, says: &'a [u8], shelf: Shelf) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.add_task(task, says, (shelf.of_one, shelf.all)).await?) })
    }

    fn task<'a>(&'a self, id: &'a str) -> Reply<'a, Option<(Task, Zeroizing<Vec<u8>>)>> {
        Box::pin(async move { Ok(self.0.task(id, now()).await?) })
    }

    fn turn_task<'a>(&'a self, id: &'a str, to: TaskState, came: Option<&'a [u8]>) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.turn_task(id, to, came, now()).await?) })
    }

    fn hush_task<'a>(&'a self, id: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.hush_task(id).await?) })
    }
}
