//! Who signed out at an issuer, as the store says. There are many, and they are read once: then what came since.

use std::sync::{PoisonError, RwLock};

use hashbrown::HashMap;
use model::{Principal, SignOut, SignedOut};

use crate::state::{State, StateError};

/// Who signed out.
#[derive(Default)]
pub(crate) struct SignOuts(RwLock<Known>);

#[derive(Default)]
struct Known {
    all: HashMap<SignedOut, SignOut>,
    /// The number of the last.
    last: i64,
}

impl SignOuts {
    /// What the store says since it was read last. One who reads at a time.
    pub(crate) async fn new_in(&self, state: &State) -> Result<Vec<(i64, SignOut)>, StateError> {
        let last = self.0.read().unwrap_or_else(PoisonError::into_inner).last;
        state.sign_outs(last).await
    }

    /// Takes it; whether it is anything.
    pub(crate) fn take(&self, new: Vec<(i64, SignOut)>, now: i64) -> bool {
        if new.is_empty() {
            return false;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Known { all, last } = &mut *known;
        // What is over goes where room would be made otherwise: each is looked at a few times in all.
        if all.len() + new.len() > all.capacity() {
            all.retain(|_, out| now < out.until);
        }
        for (number, out) in new {
            *last = number.max(*last);
            all.insert(out.of.clone(), out);
        }
        true
    }

    /// Why somebody is refused who signed out after the word of an issuer on which they rest, if so.
    pub(crate) fn of(&self, who: &Principal, now: i64) -> Option<String> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.all.is_empty() {
            return None;
        }
        who.asserted.iter().find_map(|word| {
            SignedOut::of(word)
                .filter_map(|of| known.all.get(&of))
                .find(|out| out.ends(word, now))
                .map(SignOut::reason)
        })
    }

    /// When the store was restored last, if it was lately, in seconds since 1970.
    pub(crate) fn restored(&self) -> Option<i64> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.all.get(&SignedOut::All).map(|out| out.since)
    }
}
