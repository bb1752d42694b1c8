//! One session's claim of an approval.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;

use super::Answer;

/// One session's claim of an approval. It is made by a task of its own, so that a session that hears something else
/// meanwhile does not lose it.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) begun: AtomicBool,
    found: Mutex<Found>,
    /// That waits; none where it has its answer from the start.
    session: String,
    waits: Waits,
}

/// How many sessions of this gateway wait.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    gauge: Gauge,
}

impl Waiting {
    pub(super) fn new(gauge: Gauge) -> Self {
        Self { gauge }
    }
}

/// That one session waits.
#[derive(Debug)]
struct Waits {
    waiting: Waiting,
    over: AtomicBool,
}

impl Waits {
    fn new(waiting: &Waiting) -> Self {
        waiting.gauge.inc();
        Self { waiting: waiting.clone(), over: AtomicBool::new(false) }
    }

    fn end(&self) {
        if !self.over.swap(true, Ordering::AcqRel) {
            self.waiting.gauge.dec();
        }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a claim has come to, and whether its session waits for that.
#[derive(Debug, Default)]
struct Found {
    answer: Option<Answer>,
    /// The store is asked, or has answered.
    asks: bool,
    /// The session has left: what is claimed now is sent by nobody.
    left: bool,
}

/// What a claim does for a session that has left.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claims {
    /// It was over before.
    Answered(Answer),
    /// The store is asked.
    UnderWay,
    /// The store is not asked, and will not be.
    Never,
}

impl Claim {
    pub(super) fn new(waiting: &Waiting, session: &str) -> Arc<Self> {
        let (waits, session) = (Waits::new(waiting), session.to_owned());
        Arc::new(Self { begun: AtomicBool::new(false), found: Mutex::default(), session, waits })
    }

    /// The session whose claim it is.
    pub(super) fn session(&self) -> &str {
        &self.session
    }

    /// What came of it, if it is over.
    pub(super) fn answer(&self) -> Option<Answer> {
        self.found().answer.clone()
    }

    /// Whether the store may be asked: not for a session that has left.
    pub(super) fn go_on(&self) -> bool {
        let mut found = self.found();
        found.asks = !found.left;
        found.asks
    }

    /// Its session waits no more.
    pub(super) fn leave(&self) -> Claims {
        self.found().left = true;
        self.waits.end();
        self.claims()
    }

    /// How far it is, for a session that has left.
    pub(super) fn claims(&self) -> Claims {
        let found = self.found();
        match (&found.answer, found.asks) {
            (Some(answer), _) => Claims::Answered(answer.clone()),
            (None, true) => Claims::UnderWay,
            (None, false) => Claims::Never,
        }
    }

    /// Tells the session, and says whether it was there to be told.
    pub(super) fn tell(&self, answer: &Answer) -> bool {
        let mut found = self.found();
        found.answer = Some(answer.clone());
        !found.left
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
