//! Who was answered of late with text that looks like instructions: a fact that policies may ask about (`context.read_instructions`).
//! Each gateway knows of its own answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

/// It is forgotten after so long.
const KEPT: Duration = Duration::from_secs(3600);
/// So many principals are kept; then those of whom it was longest ago are forgotten.
const MOST: usize = 10_000;

/// When it was last, by principals with those for whom they act.
#[derive(Default)]
pub(crate) struct Suspicions {
    last: Mutex<HashMap<String, Instant>>,
    /// Grows when a principal is suspected that was not.
    turns: AtomicU64,
}

impl Suspicions {
    /// Notes it.
    pub(crate) fn note(&self, whose: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if last.len() >= MOST && !last.contains_key(whose) {
            last.retain(|_, at| now.saturating_duration_since(*at) < KEPT);
            let oldest = last.iter().min_by_key(|(_, at)| **at).map(|(whose, _)| whose.clone());
            if let Some(oldest) = oldest.filter(|_| last.len() >= MOST) {
                last.remove(&oldest);
            }
        }
        let before = last.insert(whose.to_owned(), now);
        if before.is_none_or(|at| now.saturating_duration_since(at) >= KEPT) {
            self.turns.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Whether it was of late. Nearly always there is nobody, and each decision asks.
    pub(crate) fn is_of(&self, whose: impl FnOnce() -> String) -> bool {
        if self.turns() == 0 {
            return false;
        }
        let whose = whose();
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(&whose).is_some_and(|at| at.elapsed() < KEPT)
    }

    /// Counts what makes another decision of the same question.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Suspicions};

    #[test]
    fn who_read_it_is_known_and_nobody_else() {
        let suspicions = Suspicions::default();
        assert!(!suspicions.is_of(|| "agent:a".to_owned()));
        suspicions.note("agent:a");
        suspicions.note("agent:a");
        assert_eq!(suspicions.turns(), 1);
        assert!(suspicions.is_of(|| "agent:a".to_owned()) && !suspicions.is_of(|| "agent:b".to_owned()));
        for n in 0..=MOST {
            suspicions.note(&n.to_string());
        }
        assert!(suspicions.last.lock().expect("lock").len() <= MOST);
    }
}
