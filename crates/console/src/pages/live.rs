//! News for a page that is open, as server-sent events: that something changed, and nothing of what. The page asks for itself
//! again, by the way that shows it to whoever may see it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use gateway::people::Guest;
use policy::rights::Right;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::asked::Query;
use super::problem::Problem;
use super::visitor::{Cookie, Visitor};
use super::{Pages, Routes};

/// What another gateway of the same store changed is seen this late.
const LOOK: Duration = Duration::from_millis(1000);
/// A connection on which nothing moves is cut; this moves.
const ALIVE: Duration = Duration::from_secs(20);
/// So many pages are kept up to date at once, so that others still reach the console.
const MOST: usize = 128;
/// And so many of one person's.
const MOST_OF_ONE: usize = 12;

static OPEN: Open = Open(Mutex::new(BTreeMap::new()));

/// The pages that are kept up to date, by whose they are.
struct Open(Mutex<BTreeMap<String, usize>>);

impl Open {
    /// A place for one more of somebody's, where there is one.
    fn take(&'static self, who: &str) -> Option<Slot> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (open.values().sum::<usize>(), open.get(who).copied().unwrap_or_default());
        if all >= MOST || own >= MOST_OF_ONE {
            return None;
        }
        open.insert(who.to_owned(), own + 1);
        Some(Slot { of: self, who: who.to_owned() })
    }
}

/// One of them, until it is dropped.
struct Slot {
    of: &'static Open,
    who: String,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.who) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => drop(open.remove(&self.who)),
        }
    }
}

pub(super) fn routes(routes: Routes) -> Routes {
    routes.page("/live", Right::Inbox, get(news))
}

#[derive(Deserialize)]
struct About {
    /// One request; what waits where none is named.
    #[serde(default)]
    request: Option<String>,
    /// One session's recording.
    #[serde(default)]
    session: Option<String>,
    /// All live sessions.
    #[serde(default)]
    sessions: Option<String>,
}

struct Watching {
    pages: Arc<Pages>,
    /// Whoever watches is looked up each time: they may have left, or been shut out.
    secret: Zeroizing<String>,
    about: About,
    seen: Option<u64>,
    _slot: Slot,
}

async fn news(
    State(pages): State<Arc<Pages>>,
    headers: HeaderMap,
    visitor: Visitor,
    Query(about): Query<About>,
) -> Result<Response, Problem> {
    let secret = Cookie::Visit.read(&pages, &headers).ok_or_else(Problem::not_yours)?;
    let full = || {
        let says = "Too many pages are open; this one does not change by itself until others are closed.";
        Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "Too many pages are open", says)
    };
    let slot = OPEN.take(&visitor.guest().id().to_string()).ok_or_else(full)?;
    let watching = Watching { pages, secret, about, seen: None, _slot: slot };
    let events = stream::unfold(watching, |mut watching| async move {
        watching
            .changed()
            .await
            .then(|| (Ok::<_, Infallible>(Event::default().event("changed").data("look")), watching))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
}

impl Watching {
    /// Resolves when there is something to see: true, or that there is nobody any more to see it.
    async fn changed(&mut self) -> bool {
        loop {
            let news = self.pages.gateway.news();
            let Some(guest) = self.pages.gateway.guest(&self.secret).await else { return false };
            if let Some(now) = self.look(&guest).await {
                let before = self.seen.replace(now);
                // The first look is told, too: the page may be older than it.
                if before != Some(now) {
                    return true;
                }
            }
            tokio::select! {
                () = news => (),
                () = tokio::time::sleep(LOOK) => (),
                () = self.pages.gateway.drained() => return false,
            }
        }
    }

    async fn look(&self, guest: &Guest) -> Option<u64> {
        let gateway = &self.pages.gateway;
        let mut seen = DefaultHasher::new();
        let About { request, session, sessions } = &self.about;
        match (request, session, sessions) {
            (Some(id), _, _) => gateway.standing_seen_by(guest, id).await.ok()?.hash(&mut seen),
            (None, Some(_), _) | (None, None, Some(_)) if !gateway.may(guest, Right::SeeSessions) => (),
            (None, Some(id), _) => {
                gateway.recorded_so_far(id).hash(&mut seen);
                gateway.sessions().list().iter().any(|live| live.id == *id).hash(&mut seen);
            }
            (None, None, Some(_)) => {
                let mut all: Vec<String> =
                    gateway.sessions().list().into_iter().map(|live| live.id).collect();
                all.sort_unstable();
                all.hash(&mut seen);
            }
            (None, None, None) => gateway.inbox_mark(guest).await.ok()?.hash(&mut seen),
        }
        Some(seen.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_keeps_nobody_elses_pages_from_being_kept_up_to_date() {
        static HERE: Open = Open(Mutex::new(BTreeMap::new()));
        let mut pete: Vec<Slot> =
            (0..MOST_OF_ONE).map(|_| HERE.take("user:pete").expect("a place")).collect();
        assert!(HERE.take("user:pete").is_none(), "he has enough");
        let dora = HERE.take("user:dora").expect("a place");
        // A page that is closed makes room for another.
        pete.pop();
        pete.push(HERE.take("user:pete").expect("a place"));
        let mut others = Vec::new();
        while let Some(slot) = HERE.take(&format!("user:{}", others.len())) {
            others.push(slot);
        }
        assert_eq!(pete.len() + 1 + others.len(), MOST);
        drop((pete, dora, others));
        assert!(HERE.0.lock().expect("no panic").is_empty());
    }
}
