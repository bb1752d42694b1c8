//! Tokens of live sessions whose issuer is asked about them again and again: one that is not good any more ends them, and
//! what was exchanged for it. The tokens lie in memory for as long as somebody uses them; those that others were made of lie
//! sealed in the store, too, so that another gateway, or this one after a restart, can ask.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use model::{Principal, PrincipalRef, Subject};
use policy::identity::{Known, Refusal};
use zeroize::Zeroizing;

use crate::break_glass::CODE_PREFIX;
use crate::gateway::{Gateway, now};
use crate::net::login::TOKEN_PREFIX;
use crate::sessions::Ended;
use crate::state::{Asked, StateError};

/// How often it is looked whether somebody is to be asked.
const LOOK: Duration = Duration::from_millis(500);
/// Who has proved who they are has a session after so long, or none, in seconds.
const MEANWHILE: i64 = 60;
/// One that was taken over may be used until it can have been asked about once.
const FIRST: Duration = Duration::from_secs(15);
/// What was exchanged for a token lives for a day at most, in seconds: so long it is denied.
const DENIED: u64 = 25 * 3600;

/// Tokens that issuers are asked about.
#[derive(Default)]
pub(crate) struct Watched {
    all: Mutex<HashMap<String, Watch>>,
    /// Tokens of live sessions that the store does not have: nobody is to be asked about them.
    others: Mutex<BTreeSet<String>>,
}

struct Watch {
    token: Zeroizing<String>,
    issuer: String,
    /// Who it was.
    said: Said,
    /// When its issuer said yes last.
    good: Instant,
    /// When it was asked last by this gateway.
    tried: Option<Instant>,
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
    /// Keeps a token that its issuer has just said yes to, for a session that begins.
    pub(crate) fn keep(&self, known: &Known, token: &[u8]) {
        let (Some(word), Ok(token)) = (known.principal.asserted.first(), std::str::from_utf8(token)) else {
            return;
        };
        let mut all = self.locked();
        let until = now().saturating_add(MEANWHILE);
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
            tried: Some(moment),
            asking: false,
            until,
        };
        all.insert(known.id.clone(), watch);
        self.others().remove(&known.id);
    }

    /// Takes one over that another gateway was told of, or this one before it began again: it is asked about at once. What it may be
    /// used after its last yes counts from that; where that is over, the first answer alone is waited for.
    fn take_over(&self, id: String, asked: Asked, longest: Option<Duration>) {
        let Asked { token, issuer, principal, groups, good } = asked;
        let age = Duration::from_secs(u64::try_from(now().saturating_sub(good)).unwrap_or_default());
        let age = age.min(longest.unwrap_or_default().saturating_sub(FIRST));
        let watch = Watch {
            token,
            issuer,
            said: Said { id: principal, groups },
            good: Instant::now().checked_sub(age).unwrap_or_else(Instant::now),
            tried: None,
            asking: false,
            until: now().saturating_add(MEANWHILE),
        };
        self.locked().entry(id).or_insert(watch);
    }

    /// Those of live sessions that are not known yet.
    fn unknown(&self, live: &BTreeSet<String>) -> Vec<String> {
        let all = self.locked();
        let mut others = self.others();
        others.retain(|id| live.contains(id));
        let is_new = |id: &&String| !all.contains_key(*id) && !others.contains(*id);
        live.iter().filter(is_new).cloned().collect()
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
            if watch.tried.is_some_and(|tried| tried.elapsed() < every) {
                continue;
            }
            watch.asking = true;
            watch.tried = Some(Instant::now());
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
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn others(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks until the gateway is gone.
pub(crate) async fn keep(gateway: Weak<Gateway>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(gateway) = gateway.upgrade() else { return };
        gateway.ask_issuers().await;
    }
}

impl Gateway {
    /// Asks whom it is time to ask. Nobody waits for anybody's answer.
    async fn ask_issuers(self: &Arc<Self>) {
        let issuers = self.issuers();
        if !issuers.asks_anybody() {
            return;
        }
        let mut live = BTreeSet::new();
        self.sessions().for_each(|session| live.extend(session.tokens().cloned()));
        self.recall(&live).await;
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

    /// Finds the tokens of issuers that those of live sessions were made of.
    async fn recall(&self, live: &BTreeSet<String>) {
        for id in self.watched().unknown(live) {
            // The gateway's own are nobody's to be asked about.
            let kept = if id.starts_with(TOKEN_PREFIX) || id.starts_with(CODE_PREFIX) {
                Ok(None)
            } else {
                self.state().asked(&id).await
            };
            match kept {
                Ok(Some((asked, _))) => {
                    let longest = self.issuers().unasked_at_most(&asked.issuer);
                    self.watched().take_over(id, asked, longest);
                }
                Ok(None) => drop(self.watched().others().insert(id)),
                // It is tried again; a store that stays away ends the lease.
                Err(error) => tracing::error!("a token that is asked about cannot be read: {error}"),
            }
        }
    }

    /// Keeps a token that another is made of, as long as that may be used.
    ///
    /// # Errors
    /// It cannot be kept: then none is made of it.
    pub(crate) async fn keep_asked(&self, known: &Known, token: &str) -> Result<(), StateError> {
        let Some(word) = known.principal.asserted.first() else { return Ok(()) };
        let Said { id: principal, groups } = Said::from(&known.principal);
        let token = Zeroizing::new(token.to_owned());
        let asked = Asked { token, issuer: word.issuer.clone(), principal, groups, good: now() };
        let until = now().saturating_add(known.exchange_life);
        self.state().keep_asked(&known.id, &asked, until).await?;
        self.watched().others().remove(&known.id);
        Ok(())
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
                    Ok(_) => {
                        self.watched().forget(&id);
                        if let Err(error) = self.state().forget_asked(&id).await {
                            tracing::error!("a token that is not good any more is kept: {error}");
                        }
                    }
                    Err(error) => {
                        tracing::error!("what an issuer took back cannot be kept: {error}");
                        self.watched().answered(&id, None);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::PrincipalKind;

    use super::*;

    #[test]
    fn a_restart_makes_no_yes_any_newer() {
        let longest = Some(Duration::from_secs(360));
        for (said, fresh) in [(10, 10), (300, 300), (359, 345), (50_000, 345), (i64::MAX, 345)] {
            let asked = Asked {
                token: Zeroizing::new("t".to_owned()),
                issuer: "company".to_owned(),
                principal: PrincipalRef { kind: PrincipalKind::User, name: "company/alice".to_owned() },
                groups: BTreeSet::new(),
                good: now().saturating_sub(said),
            };
            let watched = Watched::default();
            watched.take_over("jwt_1".to_owned(), asked, longest);
            assert!(watched.stale(|_| longest).is_empty(), "{said}: it is asked first");
            let good = watched.locked().get("jwt_1").expect("it").good.elapsed().as_secs();
            assert!((fresh..fresh + 5).contains(&good), "{said}: {good}");
        }
    }
}
