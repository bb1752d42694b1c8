//! How much one principal may have under way, and for how long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gateway::gateway::Calls;
use model::{CarriedBy, Status};
use tokio::sync::Notify;

use super::{Caller, Tools};
use crate::answer::Refusal;
use crate::door::Told;

/// Whether a call waits for people is looked at this often …
const GLANCE: Duration = Duration::from_millis(250);
/// … and whether it does so still this often.
const LOOK: Duration = Duration::from_secs(1);

/// The calls that are under way, by whose they are.
#[derive(Default)]
pub(crate) struct Limits(Arc<All>);

#[derive(Default)]
struct All {
    calls: Mutex<HashMap<String, usize>>,
    /// Rings when a place is given back.
    freed: Notify,
}

/// A call's place; given back when it is dropped.
pub(crate) struct Turn {
    all: Arc<All>,
    whose: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut calls = self.all.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = calls.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                calls.remove(&self.whose);
            }
        }
        drop(calls);
        self.all.freed.notify_waiters();
    }
}

impl Limits {
    /// A place for one more call, where there may be so many.
    pub(super) fn begin(&self, whose: &str, most: usize) -> Result<Turn, Refusal> {
        let mut calls = self.0.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let count = calls.entry(whose.to_owned()).or_default();
        if *count >= most {
            let why = format!("{most} calls of yours are under way");
            return Err(Refusal::busy(why, "Wait until one is answered."));
        }
        *count += 1;
        Ok(Turn { all: Arc::clone(&self.0), whose: whose.to_owned() })
    }

    /// The same for what goes on by itself: it waits for its place.
    pub(crate) async fn turn(&self, whose: &str, most: usize) -> Turn {
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            // What is given back from here on is heard of.
            freed.as_mut().enable();
            match self.begin(whose, most) {
                Ok(turn) => return turn,
                Err(_) => freed.await,
            }
        }
    }
}

/// How much of its time a call has left, which goes on while it does not wait for people.
struct Clock {
    left: Duration,
}

impl Clock {
    fn spend(&mut self, passed: Duration, waits: bool) {
        if !waits {
            self.left = self.left.saturating_sub(passed);
        }
    }
}

impl Tools {
    /// Does something that takes no longer than a call may, beside waiting for people. What takes longer is cancelled at its target
    /// when this drops it.
    pub(super) async fn bounded<T>(
        &self,
        caller: &Caller,
        told: &Told,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let Calls { time, .. } = self.gateway.limits().calls;
        let began = Instant::now();
        let longest = time.saturating_add(self.gateway.limits().hold);
        let mut clock = Clock { left: time };
        // A request that has its answer has it for good.
        let mut answered = None;
        tokio::pin!(work);
        while !clock.left.is_zero() && began.elapsed() < longest {
            let mut waits = false;
            if let Some(request) = told.awaited().filter(|request| answered.as_ref() != Some(request)) {
                waits = self.is_awaited(caller, &request).await;
                if !waits {
                    answered = Some(request);
                }
            }
            let step = if waits { LOOK } else { clock.left.min(GLANCE) };
            let from = Instant::now();
            if let Ok(done) = tokio::time::timeout(step, &mut work).await {
                return done;
            }
            clock.spend(from.elapsed(), waits);
        }
        let why = format!("the call took longer than {} s and was cancelled", time.as_secs());
        Err(Refusal::of("57014", why, Some("Ask for less at once.".to_owned())))
    }

    /// Whether a request of the caller's has no answer yet, or is a plan that the gateway carries out by itself.
    async fn is_awaited(&self, caller: &Caller, request: &str) -> bool {
        let Ok(Some(found)) = self.gateway.own_request(&caller.admitted, request).await else { return false };
        let is_carried = found.preview.ordered.as_deref().is_some_and(|plan| plan.by != CarriedBy::Message);
        match found.status {
            Status::Pending => true,
            Status::Approved | Status::Claimed => is_carried,
            Status::Denied
            | Status::Expired
            | Status::Withdrawn
            | Status::Lapsed
            | Status::Rescinded
            | Status::Superseded
            | Status::Done
            | Status::Failed
            | Status::OutcomeUnknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Clock, Limits};

    #[test]
    fn one_principal_has_so_many_calls_at_a_time_and_is_in_nobodys_way() {
        let limits = Limits::default();
        let turns: Vec<_> = (0..3).map(|_| limits.begin("a", 3).expect("a place")).collect();
        assert!(limits.begin("a", 3).is_err());
        assert!(limits.begin("b", 3).is_ok());
        drop(turns);
        assert!(limits.begin("a", 3).is_ok());
    }

    #[tokio::test]
    async fn what_goes_on_by_itself_waits_for_its_place() {
        let limits = Limits::default();
        let first = limits.turn("a", 1).await;
        let second = limits.turn("a", 1);
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("there is no place"),
            () = std::future::ready(()) => {}
        }
        assert!(limits.begin("a", 1).is_err(), "calls and tasks are counted together");
        drop(first);
        drop(second.await);
        assert!(limits.begin("a", 1).is_ok());
    }

    #[test]
    fn time_goes_on_while_nobody_is_waited_for() {
        let second = Duration::from_secs(1);
        let mut clock = Clock { left: 3 * second };
        for (waits, left) in [(true, 3), (false, 2), (true, 2), (false, 1), (false, 0), (false, 0)] {
            clock.spend(second, waits);
            assert_eq!(clock.left, left * second);
        }
    }
}
