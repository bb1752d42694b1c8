//! One session's claim of an approval.

use std::collections::BTreeMap;
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
    waits: Waits,
}

/// Which sessions of this gateway wait, and for what: two may wait for the same request.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    by_request: Arc<Mutex<BTreeMap<String, usize>>>,
    /// Counts those that there are.
    gauge: Gauge,
}

impl Waiting {
    pub(super) fn new(gauge: Gauge) -> Self {
        Self { by_request: Arc::default(), gauge }
    }

    /// Whether a session waits for this.
    pub(super) fn is_awaited(&self, request: &str) -> bool {
        self.all().contains_key(request)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.by_request.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That one session waits for one request.
#[derive(Debug)]
struct Waits {
    request: String,
    waiting: Waiting,
    over: AtomicBool,
}

impl Waits {
    fn new(waiting: &Waiting, request: &str) -> Self {
        waiting.gauge.inc();
        *waiting.all().entry(request.to_owned()).or_default() += 1;
        Self { request: request.to_owned(), waiting: waiting.clone(), over: AtomicBool::new(false) }
    }

    fn end(&self) {
        if self.over.swap(true, Ordering::AcqRel) {
            return;
        }
        self.waiting.gauge.dec();
        let mut all = self.waiting.all();
        if let Some(count) = all.get_mut(&self.request) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.request);
            }
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
    pub(super) fn new(waiting: &Waiting, request: &str) -> Arc<Self> {
        let waits = Waits::new(waiting, request);
        Arc::new(Self { begun: AtomicBool::new(false), found: Mutex::default(), waits })
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
