//! Tokens that were good a moment ago. Whoever calls often is known for a second without the store being asked; whatever ends live
//! sessions (a revoked token, an expired one, a change that others made) is looked at anew at once, and at the next look at the latest.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use hashbrown::HashMap;

use crate::gateway::now;
use crate::tokens::Admitted;

/// A token counts as good for so long after it was looked at.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// So many are known; then all are forgotten.
const MOST: usize = 10_000;

struct Known {
    admitted: Admitted,
    since: Instant,
    /// The gateway's turn at that moment.
    turn: u64,
}

/// What is known of them, by their digests.
#[derive(Default)]
pub(crate) struct Recent(Mutex<HashMap<[u8; 32], Known>>);

/// Where a token is looked up, and kept.
pub(super) struct Mark([u8; 32]);

impl Mark {
    pub(super) fn of(token: &str) -> Self {
        let mut mark = [0; 32];
        mark.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
        Self(mark)
    }
}

impl Recent {
    /// Whoever it was a moment ago, where nothing has changed since.
    pub(super) fn find(&self, mark: &Mark, turn: u64) -> Option<Admitted> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&mark.0)?;
        let is_good =
            known.turn == turn && known.since.elapsed() < GOOD_FOR && known.admitted.expires() > now();
        is_good.then(|| known.admitted.clone())
    }

    /// Keeps one that was looked at just now.
    pub(super) fn keep(&self, mark: Mark, admitted: &Admitted, since: Instant, turn: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(mark.0, Known { admitted: admitted.clone(), since, turn });
    }

    /// Forgets all of them.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
