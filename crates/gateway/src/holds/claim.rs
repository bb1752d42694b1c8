//! One session's claim of an approval.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::gauge::Gauge;

use super::Answer;

/// One session's claim of an approval. It is made by a task of its own, so that a session that hears something else
/// meanwhile does not lose it.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) begun: AtomicBool,
    found: Mutex<Found>,
    /// Counts those that there are.
    waiting: Gauge,
}

/// What a claim has come to, and whether its session waits for that.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) answer: Option<Answer>,
    /// The session has left: what is claimed now is sent by nobody.
    pub(super) left: bool,
}

impl Claim {
    pub(super) fn new(waiting: &Gauge) -> Arc<Self> {
        waiting.inc();
        Arc::new(Self { begun: AtomicBool::new(false), found: Mutex::default(), waiting: waiting.clone() })
    }

    pub(super) fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its session waits no more. What it was answered before.
    pub(super) fn leave(&self) -> Option<Answer> {
        let mut found = self.found();
        found.left = true;
        found.answer.clone()
    }

    /// Tells the session, and says whether it was there to be told.
    pub(super) fn tell(&self, answer: &Answer) -> bool {
        let mut found = self.found();
        found.answer = Some(answer.clone());
        !found.left
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.waiting.dec();
    }
}
