//! Texts that take long to understand are read on another thread: the one that all sessions share has others to serve, and
//! whoever ends this session is heard meanwhile.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sql::postgres::catalog::Catalog;
use sql::postgres::{Analysis, Work};
use tokio::sync::Semaphore;

use super::names::Names;
use super::prepared::Epoch;
use super::reading::{InForce, NotRead, View};
use super::understanding::SessionFacts;

/// Longer texts are never read on the sessions' own thread, in bytes.
pub(super) const SHORT: usize = 8 * 1024;
/// Nor is what takes more steps than these.
pub(super) const FEW: usize = 10_000;
/// So many long texts are read at a time: each may take some hundred megabytes while it is. Others wait for their turn.
static TURNS: Semaphore = Semaphore::const_new(2);
/// A text that takes longer is refused.
const LONGEST: Duration = Duration::from_secs(60);

/// A text that is to be understood elsewhere, with everything that its meaning depends on.
pub(super) struct Thought {
    pub text: Box<[u8]>,
    pub catalogue: Arc<Catalog>,
    pub facts: SessionFacts,
    pub epoch: Epoch,
    /// Prepared statements and cursors, where it speaks of some.
    pub names: Names,
}

/// What came out.
pub(super) struct Thinking {
    work: Work,
    result: Pin<Box<dyn Future<Output = Thoughtful> + Send>>,
}

/// A text that was understood, or not.
pub(super) struct Thoughtful {
    text: Box<[u8]>,
    epoch: Epoch,
    found: Result<Analysis, NotRead>,
}

impl Thought {
    /// Begins to read it.
    pub(super) fn begin(self) -> Thinking {
        let work = Work::default();
        let result = Box::pin(run(self, work.clone()));
        Thinking { work, result }
    }

    fn read(&self, work: Work) -> Result<Analysis, NotRead> {
        let view = View { catalogue: &self.catalogue, facts: &self.facts, epoch: self.epoch };
        view.read(&self.text, &InForce { view, names: &self.names, work: work.clone() }, work)
    }
}

async fn run(thought: Thought, work: Work) -> Thoughtful {
    // It is never closed.
    let turn = TURNS.acquire().await.ok();
    let (epoch, stop) = (thought.epoch, work.clone());
    let mut reading = tokio::task::spawn_blocking(move || {
        let found = thought.read(work);
        drop(turn);
        (thought.text, found)
    });
    let read = tokio::select! {
        read = &mut reading => read,
        () = tokio::time::sleep(LONGEST) => {
            stop.stop();
            reading.await
        }
    };
    match read {
        Ok((text, found)) => Thoughtful { text, epoch, found },
        Err(_) => Thoughtful { text: Box::default(), epoch, found: Err(NotRead::Fault) },
    }
}

impl Thinking {
    /// What came out, once it has. Cancel-safe.
    pub(super) async fn result(&mut self) -> Thoughtful {
        (&mut self.result).await
    }
}

impl Drop for Thinking {
    /// Nobody waits for it any more.
    fn drop(&mut self) {
        self.work.stop();
    }
}

impl Thoughtful {
    /// What was found, if it was this text under these names.
    pub(super) fn of(self, text: &[u8], epoch: Epoch) -> Option<Result<Analysis, NotRead>> {
        let same = matches!(self.found, Err(NotRead::Fault)) || *self.text == *text && self.epoch == epoch;
        same.then_some(self.found)
    }
}
