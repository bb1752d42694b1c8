//! How old what the gateway knows of its store may be. Whoever is cut off from a store that others change does not know
//! whether policy, tokens and approvals still stand; when the lease is over he does nothing new.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use policy::Denied;

use crate::clock::Moment;

/// For what cannot be judged while the store is out of reach.
const CUT_OFF: &str = "ZD004";
/// For a session that cannot be opened now; clients that know several gateways try the next.
const NOT_NOW: &str = "57P03";

/// Why nobody is let in while the store does not answer.
pub(crate) const UNKNOWN: &str = "the gateway cannot reach its store, so it does not know who may come in";
/// Why nobody is let in whose token's issuer does not answer.
pub(crate) const UNASKED: &str =
    "the issuer of the token cannot be asked now, so the gateway does not know whether it is good";
/// A way on from there. Who throws a good token away signs in anew for nothing.
pub(crate) const KEEP: &str = "Keep the token. Try again in a moment, or at another gateway.";

/// The gateway's lease on what it knows.
pub(crate) struct Lease {
    is_shared: bool,
    boot: AtomicU64,
    wall: AtomicU64,
    /// Whether it was over when somebody last looked, so that it is said once.
    was_over: AtomicBool,
}

impl Lease {
    /// From when what is known was asked for. A store that nobody else changes needs none.
    pub(crate) fn new(is_shared: bool, asked: Moment) -> Self {
        let Moment { boot, wall } = asked;
        Self {
            is_shared,
            boot: AtomicU64::new(boot),
            wall: AtomicU64::new(wall),
            was_over: AtomicBool::new(false),
        }
    }

    /// What was asked for at this moment was answered.
    pub(crate) fn renew(&self, asked: Moment) {
        self.boot.store(asked.boot, Ordering::Release);
        self.wall.store(asked.wall, Ordering::Release);
    }

    /// Whether what is known is older than it may be.
    pub(crate) fn is_over(&self, length: Duration) -> bool {
        if !self.is_shared {
            return false;
        }
        let asked =
            Moment { boot: self.boot.load(Ordering::Acquire), wall: self.wall.load(Ordering::Acquire) };
        asked.age(Moment::now()) > length
    }

    /// Whether that has changed since it was last asked for here.
    pub(crate) fn turned(&self, length: Duration) -> Option<bool> {
        let is_over = self.is_over(length);
        (self.was_over.swap(is_over, Ordering::AcqRel) != is_over).then_some(is_over)
    }
}

/// What a client hears whose statement cannot be judged now. Its session goes on.
pub(crate) fn refusal() -> Denied {
    Denied {
        code: CUT_OFF,
        reason: "the gateway cannot reach its store, so it does not know whether its policy still stands; the statement did \
                 not run"
            .to_owned(),
        hint: Some("The session goes on. Send it again in a moment.".to_owned()),
        policies: Vec::new(),
        version: "".into(),
    }
}

/// What a client hears that cannot be let in now.
pub(crate) fn closed() -> Denied {
    Denied { code: NOT_NOW, reason: UNKNOWN.to_owned(), hint: Some(KEEP.to_owned()), ..refusal() }
}

/// The same where it is the issuer of their token that does not answer.
pub(crate) fn unasked() -> Denied {
    Denied { reason: UNASKED.to_owned(), ..closed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_over_by_either_clock_and_renewed_by_an_answer() {
        let (now, length) = (Moment::now(), Duration::from_secs(5));
        let ago = |boot: u64, wall: u64| Moment { boot: now.boot - boot, wall: now.wall - wall };
        for (boot, wall, over) in
            [(0, 0, false), (2000, 2000, false), (6000, 6000, true), (6000, 0, true), (0, 6000, true)]
        {
            assert_eq!(Lease::new(true, ago(boot, wall)).is_over(length), over, "{boot} {wall}");
            assert!(!Lease::new(false, ago(boot, wall)).is_over(length), "nobody else changes it");
        }
        let lease = Lease::new(true, ago(6000, 6000));
        assert_eq!((lease.turned(length), lease.turned(length)), (Some(true), None));
        lease.renew(now);
        assert_eq!((lease.turned(length), lease.turned(length)), (Some(false), None));
        // A clock that was set back makes nothing younger than it is.
        assert!(Lease::new(true, Moment { boot: now.boot - 6000, wall: now.wall + 99_000 }).is_over(length));
    }
}
