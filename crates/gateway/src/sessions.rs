//! The live sessions: who is connected, and how one is ended from outside.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use hashbrown::HashMap;
use model::{Principal, TargetName};
use tokio::sync::watch;

use crate::gateway::until;

/// Why a session was ended from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Somebody with the right to do so ended it.
    Killed(String),
    /// Its token was revoked.
    Revoked,
    /// Access was revoked, for this reason.
    Denied(Arc<str>),
    /// Who is in the gateway's own groups has changed, and its principal with it.
    Regrouped,
    /// Policy does not permit it any more, for this reason.
    NotPermitted(Arc<str>),
    /// Its issuer has not said for too long that its token is still good.
    Unasked,
    /// Its token has expired.
    Expired,
    /// It is as old as a session of this principal may be.
    TooOld,
    /// The gateway is shutting down.
    Draining,
    /// Its target was removed, moved to another place, or tagged anew while it could not be reached.
    Reconfigured,
    /// It had changed something on its target, or nothing in it was understood, when that was frozen for this reason.
    Frozen(Arc<str>),
    /// It was opened when everything was allowed, so nothing in it was understood with certainty, and now something is not.
    Narrowed,
    /// What it was refused it tried again, so many times.
    Tried(u32),
}

impl Ended {
    /// A word for it, among few.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Killed(_) => "killed",
            Self::Revoked | Self::Denied(_) => "revoked",
            Self::Regrouped => "regrouped",
            Self::NotPermitted(_) => "not_permitted",
            Self::Unasked => "unasked",
            Self::Expired => "expired",
            Self::TooOld => "too_old",
            Self::Draining => "draining",
            Self::Reconfigured => "reconfigured",
            Self::Frozen(_) => "frozen",
            Self::Narrowed => "narrowed",
            Self::Tried(_) => "tried_again",
        }
    }

    /// What its client can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Killed(_) => "Ask them before you go on.",
            Self::Revoked | Self::Expired => "Get a new token.",
            Self::Denied(_) => "A new token changes nothing: ask the gateway's operator.",
            Self::Regrouped | Self::Reconfigured | Self::Narrowed => "Begin anew.",
            Self::NotPermitted(_) => "Use another target, or ask the gateway's operator for leave.",
            Self::Unasked => "Try again when the issuer answers.",
            Self::TooOld => "Sign in again, and begin anew.",
            Self::Draining => "Begin anew in a moment.",
            Self::Frozen(_) => "Try again once it is thawed.",
            Self::Tried(_) => {
                "Other words change nothing: ask for an approval or for access, or do something else."
            }
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed(by) => write!(f, "ended by {by}"),
            Self::Revoked => f.write_str("the token was revoked"),
            Self::Denied(reason) => write!(f, "access was revoked: {reason}"),
            Self::Regrouped => f.write_str("the groups of its principal were changed: connect again"),
            Self::NotPermitted(reason) => write!(f, "policy does not permit this session any more: {reason}"),
            Self::Unasked => f.write_str("its issuer cannot be asked whether the token is still good"),
            Self::Expired => f.write_str("the token has expired"),
            Self::TooOld => f.write_str("the session is too old: sign in again"),
            Self::Draining => f.write_str("the gateway is shutting down"),
            Self::Reconfigured => f.write_str("the target's configuration was changed"),
            Self::Frozen(reason) => write!(f, "the target was frozen: {reason}"),
            Self::Narrowed => f.write_str("not everything is allowed any more"),
            Self::Tried(times) => write!(f, "what is refused was tried {times} times, in whatever words"),
        }
    }
}

/// What is known of a live session.
#[derive(Debug, Clone)]
pub struct Live {
    /// Its id, as in the journal.
    pub id: String,
    /// Who, and whose word that is.
    pub principal: Principal,
    /// The token it came with.
    pub token: String,
    /// Those that it was minted with, nearest first.
    pub lineage: Vec<String>,
    /// On which target.
    pub target: TargetName,
    /// The client's address.
    pub address: SocketAddr,
    /// What the client calls itself.
    pub application: Arc<str>,
    /// Whether its connection is encrypted.
    pub encrypted: bool,
    /// When it began, in seconds since 1970.
    pub since: i64,
    /// When its token expires, in seconds since 1970.
    pub until: i64,
    /// When it is too old, in seconds since 1970: whoever it is signs in anew.
    pub oldest: i64,
}

impl Live {
    /// Every token that it rests on.
    pub fn tokens(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.token).chain(&self.lineage)
    }
}

/// All live sessions of this gateway.
#[derive(Default, Clone)]
pub struct Sessions(Arc<Mutex<HashMap<String, Entry>>>);

struct Entry {
    live: Live,
    end: watch::Sender<Option<Ended>>,
    flags: Arc<Flags>,
}

/// What is known of a session at a glance.
#[derive(Default)]
struct Flags {
    busy: AtomicBool,
    unbounded: AtomicBool,
    changes: AtomicBool,
    runs: AtomicBool,
}

impl Entry {
    /// Tells it to end, unless it was told before; whether it was not.
    fn end(&self, why: &Ended) -> bool {
        self.end.send_if_modified(|told| {
            let new = told.is_none();
            if new {
                *told = Some(why.clone());
            }
            new
        })
    }
}

/// Resolves when somebody says why a session ends.
async fn told(mut receiver: watch::Receiver<Option<Ended>>) -> Ended {
    let why = receiver
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|why: watch::Ref<'_, Option<Ended>>| why.clone());
    match why {
        Some(why) => why,
        None => std::future::pending().await,
    }
}

/// A session's place among the live ones; leaves when it is dropped.
pub struct Place {
    sessions: Sessions,
    id: String,
    /// One future for the whole session: a new one for each turn would enter and leave the list of those that wait.
    end: Pin<Box<dyn Future<Output = Ended> + Send + Sync>>,
    ended: Option<Ended>,
    bell: Arc<Bell>,
    /// Who is woken by the bell.
    listener: Option<Waker>,
    flags: Arc<Flags>,
}

/// Says whether there is anything to hear of a session's end. A session asks at each turn, and the future that knows would
/// enter and leave the lists of those that wait each time.
#[derive(Default)]
struct Bell {
    silent: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.silent.store(false, Ordering::SeqCst);
        self.task.wake();
    }
}

impl Sessions {
    /// Enters a session.
    pub fn enter(&self, live: Live) -> Place {
        let (sender, receiver) = watch::channel(None);
        let (why, deadline) = if live.until <= live.oldest {
            (Ended::Expired, live.until)
        } else {
            (Ended::TooOld, live.oldest)
        };
        let end = Box::pin(async move {
            tokio::select! {
                biased;
                why = told(receiver) => why,
                () = tokio::time::sleep(until(deadline)) => why,
            }
        });
        let id = live.id.clone();
        let flags = Arc::<Flags>::default();
        self.locked().insert(id.clone(), Entry { live, end: sender, flags: Arc::clone(&flags) });
        Place { sessions: self.clone(), id, end, ended: None, bell: Arc::default(), listener: None, flags }
    }

    /// Ends every session that fits; returns how many.
    pub fn end(&self, why: &Ended, fits: impl Fn(&Live) -> bool) -> usize {
        self.end_entries(why, |e| fits(&e.live))
    }

    /// Ends every session that has nothing in flight and no transaction open; returns how many.
    pub fn end_idle(&self, why: &Ended) -> usize {
        self.end_entries(why, |e| !e.flags.busy.load(Ordering::Relaxed))
    }

    /// Ends every session that was opened when everything was allowed; returns how many.
    pub fn end_unbounded(&self, why: &Ended) -> usize {
        self.end_entries(why, |e| e.flags.unbounded.load(Ordering::SeqCst))
    }

    /// Ends every session that has changed something and not committed it, or in which nothing is understood, where there is
    /// a reason for its target; returns how many.
    pub fn end_changing(&self, judge: impl Fn(&TargetName) -> Option<Ended>) -> usize {
        let concerns =
            |e: &&Entry| e.flags.changes.load(Ordering::SeqCst) || e.flags.unbounded.load(Ordering::SeqCst);
        let all = self.locked();
        let ended = all.values().filter(concerns).filter_map(|e| Some((e, judge(&e.live.target)?)));
        ended.filter(|(e, why)| e.end(why)).count()
    }

    /// Ends every session that runs something, where there is a reason for its target; returns how many.
    pub fn end_running(&self, judge: impl Fn(&TargetName) -> Option<Ended>) -> usize {
        let all = self.locked();
        let running = all.values().filter(|e| e.flags.runs.load(Ordering::SeqCst));
        running.filter_map(|e| Some((e, judge(&e.live.target)?))).filter(|(e, why)| e.end(why)).count()
    }

    /// Ends every session that there is a reason for; returns how many.
    pub fn end_where(&self, judge: impl Fn(&Live) -> Option<Ended>) -> usize {
        self.locked()
            .values()
            .filter_map(|e| Some((e, judge(&e.live)?)))
            .filter(|(e, why)| e.end(why))
            .count()
    }

    fn end_entries(&self, why: &Ended, fits: impl Fn(&Entry) -> bool) -> usize {
        self.locked().values().filter(|e| fits(e)).filter(|e| e.end(why)).count()
    }

    /// Calls a function with each live session.
    pub fn for_each(&self, mut f: impl FnMut(&Live)) {
        self.locked().values().for_each(|e| f(&e.live));
    }

    /// A list of all, oldest first.
    pub fn list(&self) -> Vec<Live> {
        let mut all: Vec<Live> = self.locked().values().map(|e| e.live.clone()).collect();
        all.sort_by_key(|live| live.since);
        all
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.locked().len()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Says whether an operation is in flight or a transaction open: then a drain waits for it.
    pub fn set_busy(&self, busy: bool) {
        self.flags.busy.store(busy, Ordering::Relaxed);
    }

    /// Says whether something was sent that may change its target and is not committed.
    pub fn set_changing(&self, changing: bool) {
        self.flags.changes.store(changing, Ordering::SeqCst);
    }

    /// Says whether something runs at its target.
    pub fn set_running(&self, running: bool) {
        self.flags.runs.store(running, Ordering::SeqCst);
    }

    /// Says whether nothing in this session is understood with certainty, since everything is allowed.
    pub fn set_unbounded(&self, unbounded: bool) {
        self.flags.unbounded.store(unbounded, Ordering::SeqCst);
    }

    /// Resolves when the session is to end. Cancel-safe.
    pub async fn ended(&mut self) -> Ended {
        poll_fn(|cx| self.poll_ended(cx)).await
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Some(why) = &self.ended {
            return Poll::Ready(why.clone());
        }
        let silent = self.bell.silent.load(Ordering::SeqCst);
        // A bell that has rung has let go of whom it woke.
        if !silent || !self.listener.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.bell.task.register(cx.waker());
            self.listener = Some(cx.waker().clone());
        }
        if self.bell.silent.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        self.bell.silent.store(true, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.bell));
        let polled = self.end.as_mut().poll(&mut Context::from_waker(&waker));
        if let Poll::Ready(why) = &polled {
            self.ended = Some(why.clone());
        }
        polled
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.locked().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use model::{PrincipalKind, PrincipalRef};

    use super::*;

    fn live(id: &str, token: &str) -> Live {
        Live {
            id: id.to_owned(),
            principal: Principal {
                id: PrincipalRef { kind: PrincipalKind::Agent, name: "bot".to_owned() },
                groups: Vec::new(),
                on_behalf_of: Vec::new(),
                purpose: None,
                asserted: Vec::new(),
            },
            token: token.to_owned(),
            lineage: Vec::new(),
            target: TargetName("orders".to_owned()),
            address: ([127, 0, 0, 1], 5432).into(),
            application: "".into(),
            encrypted: true,
            since: 0,
            until: i64::MAX,
            oldest: i64::MAX,
        }
    }

    #[tokio::test]
    async fn a_revoked_token_ends_its_sessions_and_no_others() {
        let sessions = Sessions::default();
        let (mut one, _other) = (sessions.enter(live("1", "a")), sessions.enter(live("2", "b")));
        assert_eq!(sessions.end(&Ended::Revoked, |l| l.token == "a"), 1);
        assert_eq!(one.ended().await, Ended::Revoked);
        drop(one);
        assert_eq!(sessions.count(), 1);
    }

    #[tokio::test]
    async fn a_session_ends_with_its_token_or_when_it_is_too_old() {
        let now = crate::gateway::now();
        let sessions = Sessions::default();
        for (until, oldest, why) in [
            (now + 1, i64::MAX, Ended::Expired),
            (i64::MAX, now + 1, Ended::TooOld),
            (now - 5, now + 100, Ended::Expired),
        ] {
            let mut place = sessions.enter(Live { until, oldest, ..live("1", "a") });
            let ended = tokio::time::timeout(std::time::Duration::from_secs(2), place.ended()).await;
            assert_eq!(ended, Ok(why));
            assert!(crate::gateway::now() >= until.min(oldest), "not before its time");
        }
    }

    #[tokio::test]
    async fn who_might_do_everything_is_ended_alone() {
        let sessions = Sessions::default();
        let (mut one, _other) = (sessions.enter(live("1", "a")), sessions.enter(live("2", "b")));
        one.set_unbounded(true);
        assert_eq!(sessions.end_unbounded(&Ended::Narrowed), 1);
        assert_eq!(one.ended().await, Ended::Narrowed);
    }

    #[tokio::test]
    async fn a_drain_waits_for_who_is_busy() {
        let sessions = Sessions::default();
        let (mut idle, busy) = (sessions.enter(live("1", "a")), sessions.enter(live("2", "b")));
        busy.set_busy(true);
        assert_eq!(sessions.end_idle(&Ended::Draining), 1);
        assert_eq!(idle.ended().await, Ended::Draining);
        busy.set_busy(false);
        // Who was told before is told nothing new.
        assert_eq!(sessions.end_idle(&Ended::Draining), 1);
    }
}
