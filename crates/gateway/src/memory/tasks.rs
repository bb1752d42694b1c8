//! Held statements whose clients ask about them later, in memory.

use model::{Task, TaskState};
use zeroize::Zeroizing;

use super::Memory;
use crate::gateway::now;
use crate::state::{Reply, Shelf, Tasks};

impl Tasks for Memory {
    fn add_task<'a>(&'a self, task: &'a Task, says: &'a [u8], shelf: Shelf) -> Reply<'a, bool> {
        self.with(|kept| {
            let room = i64::try_from(kept.tasks.len()).unwrap_or(i64::MAX) < shelf.all;
            if room {
                kept.tasks.push((task.clone(), Zeroizing::new(says.to_vec())));
            }
            room
        })
    }

    fn task<'a>(&'a self, id: &'a str) -> Reply<'a, Option<(Task, Zeroizing<Vec<u8>>)>> {
        self.with(|kept| kept.tasks.iter().find(|(task, _)| task.id == id && task.until > now()).cloned())
    }

    fn turn_task<'a>(&'a self, id: &'a str, to: TaskState, came: Option<&'a [u8]>) -> Reply<'a, bool> {
        self.with(|kept| {
            let found = kept.tasks.iter_mut().find(|(task, _)| task.id == id && to.comes_from(task.state));
            let Some((task, says)) = found else { return false };
            (task.state, task.changed) = (to, now());
            if let Some(came) = came {
                *says = Zeroizing::new(came.to_vec());
            }
            true
        })
    }

    fn hush_task<'a>(&'a self, id: &'a str) -> Reply<'a, ()> {
        self.with(|kept| kept.tasks.iter_mut().filter(|(t, _)| t.id == id).for_each(|(t, _)| t.asks = false))
    }
}
