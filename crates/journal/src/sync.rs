//! What is on disk for certain: one thread calls fsync for all who wait.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::log::{Down, Position, Shared};

/// Records that nobody waits for are on disk after this long.
const LAZY: Duration = Duration::from_millis(200);

/// How far the disk is.
#[derive(Default)]
pub(crate) struct Progress {
    /// Records up to here are on disk.
    pub durable: u64,
    /// Records up to here are waited for.
    pub wanted: u64,
    /// Records whose fsync failed: `(above, up to and with)`, ascending. Failures in a row are one.
    pub lost: Vec<(u64, u64)>,
    pub stop: bool,
    pub wakers: Vec<Waker>,
}

impl Progress {
    /// Of records up to here it is known whether they are on disk.
    fn settled(&self) -> u64 {
        self.durable.max(self.lost.last().map_or(0, |(_, to)| *to))
    }
}

/// Resolves when a record is on disk, or when it is certain that it may not be.
pub struct Synced {
    shared: Arc<Shared>,
    position: u64,
}

impl Synced {
    pub(crate) fn new(shared: Arc<Shared>, Position(position): Position) -> Self {
        Self { shared, position }
    }

    /// Lets the disk begin now, for whoever has other things to do before it waits.
    #[must_use]
    pub fn begun(self) -> Self {
        self.want(&mut self.shared.progress());
        self
    }

    fn want(&self, progress: &mut Progress) {
        progress.wanted = progress.wanted.max(self.position);
        self.shared.wake.notify_one();
    }
}

impl Future for Synced {
    type Output = Result<(), Down>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut progress = self.shared.progress();
        if progress.lost.iter().any(|(above, to)| self.position > *above && self.position <= *to) {
            return Poll::Ready(Err(Down("fsync failed".to_owned())));
        }
        if self.position <= progress.durable {
            return Poll::Ready(Ok(()));
        }
        progress.wakers.push(cx.waker().clone());
        self.want(&mut progress);
        Poll::Pending
    }
}

/// The thread's work, until the journal is closed.
pub(crate) fn run(shared: &Shared) {
    loop {
        let stop = {
            let progress = shared.progress();
            let idle = |p: &mut Progress| p.wanted <= p.settled() && !p.stop;
            let (progress, _) =
                shared.wake.wait_timeout_while(progress, LAZY, idle).unwrap_or_else(PoisonError::into_inner);
            progress.stop
        };
        let works = shared.try_again().is_ok();
        if sync_once(shared) && works {
            *shared.failed() = None;
        }
        if stop {
            return;
        }
    }
}

/// Whether everything that is in the file is on disk.
fn sync_once(shared: &Shared) -> bool {
    let (disk, written) = shared.written();
    let from = {
        let progress = shared.progress();
        progress.settled()
    };
    if written <= from {
        return true;
    }
    let synced = disk.sync();
    if let Err(error) = &synced {
        // After a failed fsync the kernel may have dropped the pages: this file is not written again.
        shared.distrust();
        shared.failed().get_or_insert_with(|| shared.down("sync", error));
    }
    let safe = synced.is_ok();
    let mut progress = shared.progress();
    match synced {
        Ok(()) => progress.durable = written,
        Err(_) => match progress.lost.last_mut() {
            Some((_, to)) if *to == from => *to = written,
            _ => progress.lost.push((from, written)),
        },
    }
    for waker in std::mem::take(&mut progress.wakers) {
        waker.wake();
    }
    safe
}
