//! How much work one message may make. Whatever multiplies in the analysis (stars of stars, views of views, rows of rows)
//! is paid from here, so that what a text costs is bounded by a number and not only by the text.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Refusal;
use super::walk::Walk;

/// So many entries a select list may have, all stars spread: as many as the server takes.
pub(super) const MOST_COLUMNS: usize = 1_664;
/// So many effects one message may have. Each is decided, and each stands in the journal.
pub(super) const MOST_EFFECTS: usize = 10_000;

/// What is left of the work that one message may make; copies share it. A step takes about a microsecond.
#[derive(Debug, Clone)]
pub struct Work(Arc<Left>);

#[derive(Debug)]
struct Left {
    steps: AtomicUsize,
    stopped: AtomicBool,
}

impl Work {
    /// So many steps.
    pub fn of(steps: usize) -> Self {
        Self(Arc::new(Left { steps: AtomicUsize::new(steps), stopped: AtomicBool::new(false) }))
    }

    /// Ends it from outside: the analysis refuses the text at its next step.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether it was ended from outside.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed)
    }

    /// Takes so many steps, if there are as many.
    pub(super) fn take(&self, steps: usize) -> bool {
        // One analysis runs on one thread, so nobody else writes between the two.
        let left = self.0.steps.load(Ordering::Relaxed).checked_sub(steps);
        self.0.steps.store(left.unwrap_or(0), Ordering::Relaxed);
        left.is_some() && !self.is_stopped()
    }
}

impl Default for Work {
    fn default() -> Self {
        Self::of(5_000_000)
    }
}

impl Walk<'_> {
    /// Pays for so many steps. `false` says that the text is refused, and nothing of it need be read any further.
    pub(super) fn spend(&mut self, steps: usize) -> bool {
        if self.refusal.is_some() {
            return false;
        }
        if self.options.work.take(steps) {
            return true;
        }
        self.refuse(Refusal::TooMuchWork);
        false
    }

    /// Whether a list may have so many columns; else the text is refused, in the server's own words.
    pub(super) fn fits(&mut self, columns: usize) -> bool {
        if columns > MOST_COLUMNS {
            let most = MOST_COLUMNS;
            self.refuse(Refusal::TooManyColumns(format!("target lists can have at most {most} entries")));
        }
        self.spend(columns / 8)
    }
}
