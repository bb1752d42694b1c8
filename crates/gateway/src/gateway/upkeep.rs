//! What a gateway does by itself: it looks at its targets and its store, and forgets what is over.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use journal::record;

use super::{Gateway, now};
use crate::clock::{self, Moment, Pace, Set};
use crate::requests::AdminError;
use crate::state::{Happened, Purged};

/// How often targets' catalogues are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the store is looked at: a session ends within a second, with time to spare for the look itself.
const LOOK_AT_STORE: Duration = Duration::from_millis(400);
/// How often what is over for long is forgotten.
const FORGET: Duration = Duration::from_secs(3600);

impl Gateway {
    /// What is done every second: catalogues of targets in use are looked at.
    fn look_around(&self) {
        self.count_sessions();
        // Also where the store is slow to answer.
        self.end_expired();
        self.tell_of_gap("it has not answered");
        let mut used = BTreeSet::new();
        self.sessions.for_each(|live| {
            used.insert(live.target.clone());
        });
        for target in used.iter().filter_map(|name| self.target(name)) {
            target.catalogue.hear();
            tokio::spawn(async move { target.catalogue.poll().await });
        }
        self.issuers().refresh();
    }

    /// Looks at the store: what others have changed there is in force here, and tokens that ended end their sessions.
    pub(crate) async fn look_at_store(&self) {
        let asked = Moment::now();
        let looked = self.follow_store().await;
        // Before it is renewed: an answer that came too late ends a gap of which somebody heard.
        self.tell_of_gap(looked.as_ref().err().map_or("its answer came too late", String::as_str));
        if looked.is_ok() {
            self.lease.renew(asked);
            self.tell_of_gap("");
        }
        if let Err(why) = looked {
            tracing::debug!("the store cannot be looked at: {why}");
        }
    }

    /// Says that the lease is over, and that it no longer is, once each.
    fn tell_of_gap(&self, why: &str) {
        let length = self.limits.load().lease;
        let detail = match self.lease.turned(length) {
            Some(true) => {
                tracing::error!("the store is out of reach: nothing new is done until it is back: {why}");
                format!("out of reach for more than {} s: nothing new is done", length.as_secs_f32())
            }
            Some(false) => {
                tracing::info!("the store is back");
                "is back".to_owned()
            }
            None => return,
        };
        // It is so whether or not it can be written down; a journal that is down says so by itself.
        let _ = self.note(&record::Body::Administered {
            who: "gateway".to_owned(),
            what: "store".to_owned(),
            detail,
        });
    }

    /// All at once, since the lease counts from when the first of it was asked for.
    async fn follow_store(&self) -> Result<(), String> {
        let (followed, told, denied, ended) = tokio::join!(
            self.follow(),
            self.tell_what_happened(),
            self.look_at_denials(),
            self.end_revoked()
        );
        followed.map_err(|error| error.to_string())?;
        told.map_err(|error| error.to_string())?;
        denied.map_err(|error| error.to_string())?;
        ended.map_err(|error| error.to_string())
    }

    /// Writes into the journal what commands did to the store.
    async fn tell_what_happened(&self) -> Result<(), AdminError> {
        for Happened { number, what, detail } in
            self.state.happened(self.told.load(Ordering::Acquire)).await?
        {
            self.administered("command line", &what, &detail)?;
            self.told.store(number, Ordering::Release);
        }
        Ok(())
    }

    /// How often the store is looked at where nothing is heard from it.
    pub(crate) fn look_often(&self) -> Duration {
        if self.state.is_shared() { (self.limits.load().lease / 8).min(LOOK_AT_STORE) } else { LOOK_AT_STORE }
    }

    /// Says that the clock was set, where it was.
    fn tell_of_clock(&self, set: Set, has_begun: bool) {
        const STEADY: &str = "nothing is forgotten for good until the clock has gone steadily for a while";
        let detail = match set {
            Set::Forward(by) => {
                format!("was set forward by {} s: what is over by it has ended; {STEADY}", by.as_secs())
            }
            Set::Back(by) if has_begun => format!(
                "was set back by {} s: the time here goes on from where it was, at half its pace, until the clock has come to it, \
                 so that nothing that has ended is good again; started again, the gateway takes the clock as it is; {STEADY}",
                by.as_secs()
            ),
            Set::Back(by) => format!(
                "is {} s behind the last record of the journal: what ended in between may be good again; {STEADY}",
                by.as_secs()
            ),
        };
        tracing::error!("this machine's clock {detail}");
        // It is so whether or not it can be written down; a journal that is down says so by itself.
        let _ = self.note(&record::Body::Administered {
            who: "gateway".to_owned(),
            what: "clock".to_owned(),
            detail,
        });
    }

    /// How far the store's clock is before ours, in seconds; behind, where it is negative. `None` where it has none of its own, or
    /// does not say.
    pub(crate) async fn store_ahead(&self) -> Option<i64> {
        let theirs = self.state.time().await.ok().flatten()?;
        Some(theirs.saturating_sub(now()))
    }

    /// Whether what is over by our clock is over for the other gateways of the store, too.
    async fn may_forget(&self) -> bool {
        let Some(ahead) = self.store_ahead().await else { return !self.state.is_shared() };
        let differs = Duration::from_secs(ahead.unsigned_abs());
        if differs > clock::TOLD {
            let then =
                if differs > clock::FORGETS { "nothing is forgotten for good" } else { "doctor says more" };
            tracing::error!("this machine's clock differs from the store's by {ahead} s: {then}");
        }
        differs <= clock::FORGETS
    }

    /// Forgets what is over for long.
    async fn forget_old(&self) {
        if !self.may_forget().await {
            return;
        }
        let retention = &self.limits.load().retention;
        let before = |kept: Duration| now().saturating_sub(i64::try_from(kept.as_secs()).unwrap_or(i64::MAX));
        match self.state.purge(before(retention.tokens), before(retention.requests), now()).await {
            Ok(Purged { tokens: 0, requests: 0, denials: 0 }) => (),
            Ok(Purged { tokens, requests, denials }) => {
                let detail = format!(
                    "{tokens} expired tokens, {requests} requests that were over, {denials} revocations that had ended"
                );
                tracing::info!("forgotten: {detail}");
                // It is done and harms nobody: a journal that is down says so by itself.
                let _ = self.note(&record::Body::Administered {
                    who: "gateway".to_owned(),
                    what: "forgotten".to_owned(),
                    detail,
                });
            }
            Err(error) => tracing::error!("what is over cannot be forgotten: {error}"),
        }
        self.forget_recordings(retention.recordings);
    }
}

pub(super) async fn keep(gateway: std::sync::Weak<Gateway>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut ended, mut forgotten): (Option<Instant>, Option<Instant>) = (None, None);
    let is_due = |last: Option<Instant>| last.is_none_or(|last| last.elapsed() >= FORGET);
    let Some(this) = gateway.upgrade() else { return };
    let (mut pace, set) = Pace::new(Moment::now(), this.journal.before());
    if let Some(set) = set {
        this.tell_of_clock(set, false);
    }
    drop(this);
    loop {
        ticks.tick().await;
        let Some(gateway) = gateway.upgrade() else { return };
        if let Some(set) = pace.look(Moment::now()) {
            gateway.tell_of_clock(set, true);
        }
        gateway.look_around();
        if is_due(ended) {
            if let Err(error) = gateway.end_expired_drafts().await {
                tracing::error!("changes whose time is over cannot be ended: {error}");
            }
            ended = Some(Instant::now());
        }
        if is_due(forgotten) && pace.is_trusted() {
            gateway.forget_old().await;
            forgotten = Some(Instant::now());
        }
    }
}

/// Who has claimed approvals is believed to carry them out for so many leases without saying so again.
const CLAIMS: u32 = 6;
/// It says so at least this often.
const SAYS_SO: Duration = Duration::from_secs(5);

/// Says that this gateway lives, and finds out what others that do not any more have left undone.
pub(super) async fn keep_claims(gateway: std::sync::Weak<Gateway>) {
    loop {
        let Some(this) = gateway.upgrade() else { return };
        let lease = this.limits.load().lease;
        let seconds = (lease * CLAIMS).as_secs().max(1);
        match this.state.keep_claims(i64::try_from(seconds).unwrap_or(i64::MAX)).await {
            Ok(0) => (),
            Ok(lost) => {
                let detail =
                    format!("{lost} approved operations that gateways which are lost were carrying out");
                tracing::warn!("the outcome is unknown: {detail}");
                // It is so whether or not it can be written down; a journal that is down says so by itself.
                let _ = this.note(&record::Body::Administered {
                    who: "gateway".to_owned(),
                    what: "outcome unknown".to_owned(),
                    detail,
                });
            }
            Err(error) => tracing::debug!("what this gateway claimed cannot be kept: {error}"),
        }
        drop(this);
        tokio::time::sleep(lease.min(SAYS_SO)).await;
    }
}
