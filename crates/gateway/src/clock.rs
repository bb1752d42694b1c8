//! What time it is. The wall's clock can be set: it never goes back here, so that nothing that has ended is good again, and what is
//! forgotten for good waits until it has gone as clocks do for a while.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// What is further from the other clock's pace than this was set.
const SET: Duration = Duration::from_secs(10);
/// After it was set, nothing is forgotten for as long as it was set by, and for no longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);
/// A gateway that did not run for longer than this may have a clock that is not right yet: it forgets nothing for as long.
const ABSENCE: Duration = Duration::from_secs(3600);
/// So much the store's clock may differ from ours before it is said.
pub(crate) const TOLD: Duration = Duration::from_secs(5);
/// So much it may differ where what others may still need is forgotten by ours.
pub(crate) const FORGETS: Duration = Duration::from_secs(60);

/// A moment by two clocks, in milliseconds: one that goes on while the machine sleeps and cannot be set, and the wall's, which
/// also sees that a virtual machine was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub boot: u64,
    pub wall: u64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        let boot = clock_gettime(ClockId::Boottime);
        let millis = |seconds: i64, nanos: i64| {
            u64::try_from(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)).unwrap_or(0)
        };
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self { boot: millis(boot.tv_sec, boot.tv_nsec), wall: u64::try_from(wall).unwrap_or(u64::MAX) }
    }

    /// How long ago it was, by the clock that says more.
    pub(crate) fn age(self, now: Self) -> Duration {
        let boot = now.boot.saturating_sub(self.boot);
        let wall = now.wall.saturating_sub(self.wall);
        Duration::from_millis(boot.max(wall))
    }
}

/// Where the hands stood when they were looked at last.
struct Hands(Moment);

impl Hands {
    /// What time it is, in milliseconds since 1970. Where the wall's clock was set back, it goes on from where it was, at half its
    /// pace, until the wall's has come to it: of what has an end nothing lasts longer for that.
    fn at(&mut self, now: Moment) -> u64 {
        let Self(last) = self;
        let least = last.wall.saturating_add(now.boot.saturating_sub(last.boot) / 2);
        if now.wall < least {
            return least;
        }
        *last = now;
        now.wall
    }
}

/// One for the process: nobody in it may see another time than the others.
static HANDS: Mutex<Hands> = Mutex::new(Hands(Moment { boot: 0, wall: 0 }));

fn at(now: Moment) -> u64 {
    HANDS.lock().unwrap_or_else(PoisonError::into_inner).at(now)
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    i64::try_from(at(Moment::now()) / 1000).unwrap_or(i64::MAX)
}

/// From now to a moment in seconds since 1970. What is too far away for a timer is a year away.
pub(crate) fn until(moment: i64) -> Duration {
    let now = Duration::from_millis(at(Moment::now()));
    let moment = Duration::from_secs(u64::try_from(moment).unwrap_or_default());
    moment.saturating_sub(now).min(Duration::from_secs(365 * 24 * 3600))
}

/// How far the time here is before the wall's clock, which was set back.
pub(crate) fn lead() -> Duration {
    let now = Moment::now();
    Duration::from_millis(at(now).saturating_sub(now.wall))
}

/// What was seen of the wall's clock beside the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    Forward(Duration),
    Back(Duration),
}

/// Whether the wall's clock goes as clocks do.
pub(crate) struct Pace {
    last: Moment,
    /// By the other clock, in milliseconds: before this nothing is forgotten.
    trusted: u64,
}

impl Pace {
    /// From a start, and what that says of the clock. `before` is when this gateway was last known to run, in seconds since 1970.
    pub(crate) fn new(now: Moment, before: Option<i64>) -> (Self, Option<Set>) {
        let before = before.and_then(|at| u64::try_from(at).ok()).map(|at| at.saturating_mul(1000));
        let away = before.map(|at| Duration::from_millis(now.wall.saturating_sub(at)));
        let back = before.map(|at| Duration::from_millis(at.saturating_sub(now.wall)));
        let back = back.filter(|back| *back > SET);
        let wait = if away.is_some_and(|away| away > ABSENCE) { ABSENCE } else { Duration::ZERO };
        let trusted = now.boot.saturating_add(millis(wait.max(back.unwrap_or_default().min(LONGEST_WAIT))));
        (Self { last: now, trusted }, back.map(Set::Back))
    }

    /// Whether it was set since it was last looked at.
    pub(crate) fn look(&mut self, now: Moment) -> Option<Set> {
        let last = std::mem::replace(&mut self.last, now);
        let due = last.wall.saturating_add(now.boot.saturating_sub(last.boot));
        let (forward, back) = (now.wall.saturating_sub(due), due.saturating_sub(now.wall));
        let by = Duration::from_millis(forward.max(back));
        if by <= SET {
            return None;
        }
        self.trusted = self.trusted.max(now.boot.saturating_add(millis(by.min(LONGEST_WAIT))));
        Some(if forward > 0 { Set::Forward(by) } else { Set::Back(by) })
    }

    /// Whether what ended long ago by it may be forgotten for good.
    pub(crate) fn is_trusted(&self) -> bool {
        self.last.boot >= self.trusted
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn moment(boot: u64, wall: u64) -> Moment {
        Moment { boot, wall: 1_000 * HOUR + wall }
    }

    #[test]
    fn time_goes_on_whichever_way_the_clock_is_set_and_never_back() {
        let mut hands = Hands(moment(0, 0));
        let mut at = |boot: u64, wall: i64| {
            let wall = 1_000 * i64::try_from(HOUR).expect("small") + wall;
            let now = Moment { boot, wall: u64::try_from(wall).expect("positive") };
            i64::try_from(hands.at(now)).expect("small") - 1_000 * i64::try_from(HOUR).expect("small")
        };
        for (boot, wall, time) in [
            (1_000, 1_000, 1_000),
            // Set forward, it is what it is: a virtual machine that was stopped does not let anything last longer.
            (2_000, 7_000, 7_000),
            (3_000, 8_000, 8_000),
            // Set back, what has ended stays ended, and time goes on.
            (4_000, -91_000, 8_500),
            (103_000, 8_000, 58_000),
            (203_000, 108_000, 108_000),
            (204_000, 109_000, 109_000),
            // Threads that looked in one order and ask in another.
            (203_999, 108_999, 109_000),
        ] {
            assert_eq!(at(boot, wall), time, "{boot} {wall}");
        }
    }

    #[test]
    fn nothing_is_forgotten_until_a_clock_that_was_set_has_gone_steadily() {
        let (mut pace, said) = Pace::new(moment(0, 0), None);
        assert!(said.is_none() && pace.is_trusted(), "where nothing was before nothing can be lost");
        let mut look = |boot: u64, wall: u64| (pace.look(moment(boot, wall)), pace.is_trusted());
        let seconds = |n: u64| Duration::from_secs(n);
        assert_eq!(look(60_000, 61_000), (None, true), "clocks are corrected all the time");
        assert_eq!(look(61_000, 3_661_000), (Some(Set::Forward(seconds(3599))), false));
        assert_eq!(look(3_659_000, 7_259_000), (None, false));
        assert_eq!(look(3_660_000, 7_260_000), (None, true), "as long as it was set by");
        // A year is waited for no longer than a day, and what is set right again is set as well.
        assert_eq!(
            look(3_661_000, 7_261_000 + 8760 * HOUR),
            (Some(Set::Forward(seconds(8760 * 3600))), false)
        );
        assert_eq!(look(3_662_000, 7_262_000), (Some(Set::Back(seconds(8760 * 3600))), false));
        assert_eq!(look(3_661_000 + 24 * HOUR, 7_261_000 + 24 * HOUR), (None, false));
        assert_eq!(look(3_662_000 + 24 * HOUR, 7_262_000 + 24 * HOUR), (None, true));
    }

    #[test]
    fn whoever_was_away_for_long_waits_with_forgetting_and_a_clock_that_is_behind_is_told() {
        let day = 24 * 3600;
        let now = Moment { boot: 5, wall: 100 * 1000 * day };
        let at = |before: u64| Some(i64::try_from(before).expect("small"));
        for (before, told, trusted) in [
            (at(100 * day - 5), None, true),
            (at(99 * day), None, false),
            (at(100 * day + 5), None, true),
            (at(101 * day), Some(Set::Back(Duration::from_secs(day))), false),
            (Some(-1), None, true),
        ] {
            let (pace, said) = Pace::new(now, before);
            assert_eq!((said, pace.is_trusted()), (told, trusted), "{before:?}");
        }
    }
}
