//! Tokens of live sessions whose issuer is asked about them again and again: one that is not good any more ends them, and
//! what was exchanged for it. The tokens lie in memory alone, for as long as somebody uses them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use model::{Principal, PrincipalRef, Subject};
use policy::identity::{Known, Refusal};
use zeroize::Zeroizing;

use crate::gateway::{Gateway, now};
use crate::sessions::Ended;

/// How often it is looked whether somebody is to be asked.
const LOOK: Duration = Duration::from_millis(500);
/// Who has proved who they are has a session after so long, or none, in seconds.
const MEANWHILE: i64 = 60;
/// What was exchanged for a token lives for a day at most, in seconds: so long it is denied.
const DENIED: u64 = 25 * 3600;
/// So many tokens are kept for what was exchanged for them; where there are more, those live as long as they were made for.
const MOST: usize = 4096;

/// Tokens that issuers are asked about.
#[derive(Default)]
pub(crate) struct Watched(Mutex<HashMap<String, Watch>>);

struct Watch {
    token: Zeroizing<String>,
    issuer: String,
    /// Who it was.
    said: Said,
    /// When its issuer said yes last.
    good: Instant,
    /// When it was asked last.
    tried: Instant,
    asking: bool,
    /// It is kept so long although no session uses it, in seconds since 1970.
    until: i64,
}

/// Who an issuer says that somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    id: PrincipalRef,
    groups: BTreeSet<String>,
}

impl From<&Principal> for Said {
    fn from(principal: &Principal) -> Self {
        Self { id: principal.id.clone(), groups: principal.groups.iter().cloned().collect() }
    }
}

/// A token that its issuer is to be asked about.
struct Due {
    id: String,
    token: Zeroizing<String>,
    issuer: String,
    said: Said,
}

impl Watched {
    /// Keeps a token that its issuer has just said yes to: for a session that begins, or until what was exchanged for it ends.
    pub(crate) fn keep(&self, known: &Known, token: &[u8], until: Option<i64>) {
        let (Some(word), Ok(token)) = (known.principal.asserted.first(), std::str::from_utf8(token)) else {
            return;
        };
        let mut all = self.locked();
        if until.is_some() && all.len() >= MOST && !all.contains_key(&known.id) {
            tracing::warn!("too many tokens are exchanged for one more to be asked about: it lives its time");
            return;
        }
        let until = until.unwrap_or_else(|| now().saturating_add(MEANWHILE));
        let moment = Instant::now();
        let before = all.get(&known.id);
        let until = before.map_or(until, |watch| watch.until.max(until));
        // Where it says otherwise than before, sessions from before are to end: the next answer tells.
        let said = before.map_or_else(|| Said::from(&known.principal), |watch| watch.said.clone());
        let watch = Watch {
            token: Zeroizing::new(token.to_owned()),
            issuer: word.issuer.clone(),
            said,
            good: moment,
            tried: moment,
            asking: false,
            until,
        };
        all.insert(known.id.clone(), watch);
    }

    /// Those that are to be asked about now, of those that live sessions rest on; others are forgotten in time.
    fn due(&self, live: &BTreeSet<String>, every: impl Fn(&str) -> Option<Duration>) -> Vec<Due> {
        let mut all = self.locked();
        let now = now();
        all.retain(|id, watch| live.contains(id) || watch.until > now);
        let mut due = Vec::new();
        for (id, watch) in all.iter_mut().filter(|(id, watch)| live.contains(*id) && !watch.asking) {
            // Nobody is asked whom configuration does not name any more.
            let Some(every) = every(&watch.issuer) else { continue };
            if watch.tried.elapsed() < every {
                continue;
            }
            watch.asking = true;
            watch.tried = Instant::now();
            let (token, issuer) = (watch.token.clone(), watch.issuer.clone());
            due.push(Due { id: id.clone(), token, issuer, said: watch.said.clone() });
        }
        due
    }

    /// Those that nobody has said yes to for longer than they may be used.
    fn stale(&self, longest: impl Fn(&str) -> Option<Duration>) -> BTreeSet<String> {
        let all = self.locked();
        let is_stale = |watch: &Watch| longest(&watch.issuer).is_some_and(|l| watch.good.elapsed() >= l);
        all.iter().filter(|(_, watch)| is_stale(watch)).map(|(id, _)| id.clone()).collect()
    }

    fn answered(&self, id: &str, good_at: Option<Instant>) {
        if let Some(watch) = self.locked().get_mut(id) {
            watch.asking = false;
            watch.good = good_at.unwrap_or(watch.good);
        }
    }

    fn forget(&self, id: &str) {
        self.locked().remove(id);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<String, Watch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks until the gateway is gone.
pub(crate) async fn keep(gateway: Weak<Gateway>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(gateway) = gateway.upgrade() else { return };
        gateway.ask_issuers();
    }
}

impl Gateway {
    /// Asks whom it is time to ask. Nobody waits for anybody's answer.
    fn ask_issuers(self: &Arc<Self>) {
        let issuers = self.issuers();
        let mut live = BTreeSet::new();
        self.sessions().for_each(|session| live.extend(session.tokens().cloned()));
        for due in self.watched().due(&live, |name| issuers.asked_every(name)) {
            let gateway = Arc::downgrade(self);
            let issuers = Arc::clone(&issuers);
            tokio::spawn(async move {
                let asked = Instant::now();
                let still = issuers.is_still_good(&due.issuer, &due.token).await;
                if let Some(gateway) = gateway.upgrade() {
                    gateway.heard(due, asked, still).await;
                }
            });
        }
        let stale = self.watched().stale(|name| issuers.unasked_at_most(name));
        if !stale.is_empty() {
            self.sessions().end(&Ended::Unasked, |live| live.tokens().any(|token| stale.contains(token)));
        }
    }

    async fn heard(&self, due: Due, asked: Instant, still: Result<Option<Principal>, Refusal>) {
        let Due { id, token: _, issuer, said } = due;
        match still {
            Ok(principal) => {
                self.watched().answered(&id, Some(asked));
                // Of a token that says itself who its bearer is, only whether it is good is asked.
                if principal.is_some_and(|principal| Said::from(&principal) != said) {
                    self.watched().forget(&id);
                    self.sessions().end(&Ended::Regrouped, |live| live.tokens().any(|token| *token == id));
                }
            }
            // Nothing was said of it.
            Err(Refusal::Unasked) => self.watched().answered(&id, None),
            Err(_) => {
                let reason = format!("the token is not active any more at {issuer}");
                let ended = Ended::Denied(reason.as_str().into());
                self.sessions().end(&ended, |live| live.tokens().any(|token| *token == id));
                // What was exchanged for it opens nothing any more, here and at every gateway of the store.
                let denied = Subject::Token(id.clone());
                let by = format!("issuer:{issuer}");
                match self.deny_subject(denied, &reason, Some(DENIED), &by).await {
                    Ok(_) => self.watched().forget(&id),
                    Err(error) => {
                        tracing::error!("what an issuer took back cannot be kept: {error}");
                        self.watched().answered(&id, None);
                    }
                }
            }
        }
    }
}
