//! Looking at held operations costs the target something: each principal has one looked at at a time, and what was just seen of
//! an operation is shown again where the very same is asked for again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::protocols::postgres::preview::Seen;

/// What was seen is good for so long.
const GOOD: Duration = Duration::from_secs(10);
/// So much of it is kept.
const KEPT: usize = 64;

/// What was seen of late, and who looks.
#[derive(Default)]
pub(crate) struct Looked {
    kept: Mutex<HashMap<String, (Instant, Seen)>>,
    turns: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Looked {
    /// What was seen of an operation a moment ago, or what is seen now. `of` is everything that makes it this one.
    pub(crate) async fn once(&self, principal: &str, of: &str, look: impl Future<Output = Seen>) -> Seen {
        let turn = self.turn(principal);
        // It is never closed.
        let mine = Arc::clone(&turn).acquire_owned().await.ok();
        let seen = match self.kept(of) {
            Some(seen) => seen,
            None => {
                let seen = look.await;
                // What is open is for one alone.
                if seen.kept.is_none() {
                    self.keep(of, &seen);
                }
                seen
            }
        };
        drop(turn);
        hold_until(seen.not_before, mine);
        self.tidy();
        seen
    }

    /// Waits until nothing else of a principal's is looked at, and nothing is until this is dropped.
    pub(crate) async fn turn_of(&self, principal: &str) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        let turn = self.turn(principal).acquire_owned().await.ok();
        self.tidy();
        turn
    }

    fn turn(&self, principal: &str) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(principal.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }

    fn kept(&self, of: &str) -> Option<Seen> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, seen) = kept.get(of)?;
        // Nobody is made to wait for what takes no time.
        (at.elapsed() < GOOD).then(|| Seen { not_before: None, ..seen.clone() })
    }

    fn keep(&self, of: &str, seen: &Seen) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (at, _)| at.elapsed() < GOOD);
        if kept.len() >= KEPT
            && let Some(oldest) = kept.iter().min_by_key(|(_, (at, _))| *at).map(|(of, _)| of.clone())
        {
            kept.remove(&oldest);
        }
        kept.insert(of.to_owned(), (Instant::now(), seen.clone()));
    }

    /// Something runs that changes what there is to be seen.
    pub(crate) fn forget(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Forgets the turns of whoever does not look.
    fn tidy(&self) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
    }
}

/// Keeps a turn until whoever asks may hear of what was seen, so that those who come next do not tell how long it took.
pub(crate) fn hold_until<T: Send + 'static>(moment: Option<Instant>, turn: T) {
    if let Some(moment) = moment {
        tokio::spawn(async move {
            sleep_until(moment).await;
            drop(turn);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn seen(rows: u64) -> Seen {
        Seen { rows: Some(rows), ..Seen::default() }
    }

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn the_same_is_looked_at_once_and_again_when_that_is_old_or_something_has_run() {
        let (looked, looks) = (Looked::default(), AtomicUsize::new(0));
        let look = |of: &'static str| {
            looked.once("agent:a", of, async {
                tokio::time::sleep(SHORT).await;
                seen(looks.fetch_add(1, Ordering::Relaxed) as u64)
            })
        };
        let (one, same, other) = tokio::join!(look("x"), look("x"), look("y"));
        assert_eq!((one.rows, same.rows, other.rows), (Some(0), Some(0), Some(1)));
        let long_ago = Instant::now().checked_sub(GOOD).expect("a moment");
        looked.kept.lock().expect("a lock").insert("x".to_owned(), (long_ago, seen(9)));
        assert_eq!(look("x").await.rows, Some(2));
        looked.forget();
        assert_eq!(look("x").await.rows, Some(3));
        for n in 0..2 * KEPT {
            looked.keep(&n.to_string(), &seen(0));
        }
        assert_eq!(looked.kept.lock().expect("a lock").len(), KEPT);
        assert!(looked.turns.lock().expect("a lock").is_empty());
    }

    #[tokio::test]
    async fn whoever_asks_for_much_waits_for_themselves_alone() {
        let looked = Looked::default();
        let looking = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let hidden = || Seen { not_before: Some(Instant::now() + 4 * SHORT), ..seen(0) };
        let begun = Instant::now();
        looked.once("agent:c", "5", async { hidden() }).await;
        assert!(begun.elapsed() < 2 * SHORT, "whoever answers hears of it");
        looked.once("agent:c", "6", async { seen(0) }).await;
        assert!(begun.elapsed() >= 4 * SHORT, "the next one tells nothing of the one before");
        let slow = |principal, of| {
            looked.once(principal, of, async {
                most.fetch_max(looking.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(SHORT).await;
                looking.fetch_sub(1, Ordering::Relaxed);
                seen(0)
            })
        };
        tokio::join!(slow("agent:a", "1"), slow("agent:a", "2"));
        assert_eq!(most.load(Ordering::Relaxed), 1);
        tokio::join!(slow("agent:a", "3"), slow("agent:b", "4"));
        assert_eq!(most.load(Ordering::Relaxed), 2);
    }
}
