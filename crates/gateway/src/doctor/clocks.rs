//! Clocks: this machine's, and that of whoever keeps the store.

use std::time::Duration;

use super::{Check, Grade, advised, check, mended};
use crate::clock::{self, FORGETS, TOLD};
use crate::gateway::Gateway;

const WHAT: &str = "clock";

impl Gateway {
    /// Whether the time here is that of this machine, and of the store's.
    pub(super) async fn clocks(&self) -> Vec<Check> {
        let mut found: Vec<Check> = set_back(clock::lead()).into_iter().collect();
        if self.state().is_shared() {
            found.extend(self.store_ahead().await.map(beside_store));
        }
        found
    }
}

fn set_back(lead: Duration) -> Option<Check> {
    let says = format!(
        "this machine's clock was set back: the gateway's time is {} s before it, so that nothing that has ended is good again",
        lead.as_secs()
    );
    let advice = "once the clock is right, start the gateway again: it takes the clock as it is then";
    (lead > TOLD).then(|| advised(WHAT, Grade::Warning, says, advice))
}

fn beside_store(ahead: i64) -> Check {
    let differs = Duration::from_secs(ahead.unsigned_abs());
    if differs <= TOLD {
        return check(WHAT, Grade::Good, "the store's clock is ours");
    }
    let grade = if differs > FORGETS { Grade::Bad } else { Grade::Warning };
    let says = format!(
        "the store's clock differs by {ahead} s: tokens, approvals, freezes and codes end here by this machine's clock, and at \
         other gateways by theirs"
    );
    mended(WHAT, grade, says, "timedatectl set-ntp true")
        .advising("on whichever of the machines is wrong, as root:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_differs_is_told_and_one_that_others_would_suffer_from_is_bad() {
        for (ahead, grade) in [
            (0, Grade::Good),
            (-5, Grade::Good),
            (6, Grade::Warning),
            (-60, Grade::Warning),
            (61, Grade::Bad),
            (i64::MIN, Grade::Bad),
        ] {
            let found = beside_store(ahead);
            assert_eq!((found.grade, found.mend.is_some()), (grade, grade != Grade::Good), "{ahead}");
        }
        assert!(set_back(Duration::from_secs(5)).is_none());
        let told = set_back(Duration::from_secs(3600)).expect("it is told");
        assert!(told.says.contains("3600 s") && told.advice.is_some(), "{told:?}");
    }
}
