//! Documents in which clients describe themselves, fetched from the public internet and kept for a little while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use policy::oauth::{Client, DocumentAddress, LONGEST_DOCUMENT};

use crate::net::web;

/// A document is fetched again when it is so old.
const FRESH: Duration = Duration::from_secs(300);
/// What could not be fetched is tried again so much later.
const RETRY: Duration = Duration::from_secs(5);
/// So many are kept.
const MOST: usize = 200;
/// So many are fetched at a time …
const AT_ONCE: usize = 32;
/// … and so many of them for one person. Nobody waits for a place: slow hosts hold up whoever named them alone.
const FOR_ONE: usize = 2;
/// All of one fetch takes no longer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Documents {
    web: web::Client,
    under_way: UnderWay,
    /// By the ids of their clients.
    kept: Mutex<HashMap<String, Kept>>,
}

/// How many are fetched, by for whom.
#[derive(Default)]
struct UnderWay(Arc<Mutex<HashMap<String, usize>>>);

/// A place for one fetch; given back when it is dropped.
struct Place {
    all: Arc<Mutex<HashMap<String, usize>>>,
    person: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.person) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.person);
            }
        }
    }
}

impl UnderWay {
    fn begin(&self, person: &str) -> Option<Place> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.values().sum::<usize>() >= AT_ONCE || all.get(person).is_some_and(|count| *count >= FOR_ONE) {
            return None;
        }
        *all.entry(person.to_owned()).or_default() += 1;
        Some(Place { all: Arc::clone(&self.0), person: person.to_owned() })
    }
}

/// What came of asking for one, and when that was.
struct Kept {
    asked: Instant,
    found: Result<Client, String>,
}

impl Kept {
    fn is_fresh(&self) -> bool {
        self.asked.elapsed() < if self.found.is_ok() { FRESH } else { RETRY }
    }
}

impl Documents {
    pub(super) fn new(web: web::Client) -> Self {
        Self { web, under_way: UnderWay::default(), kept: Mutex::default() }
    }

    /// The client whose document lies at an address, for a person who was sent here with it.
    ///
    /// # Errors
    /// Why there is none, in words for a person.
    pub(super) async fn client(&self, id: &str, person: &str) -> Result<Client, String> {
        let address = DocumentAddress::read(id).map_err(|why| format!("The client's id {why}."))?;
        if let Some(kept) = self.kept(id) {
            return kept;
        }
        let place = self.under_way.begin(person).ok_or_else(|| {
            "Too many clients' documents are being fetched now: open this page again in a few seconds."
                .to_owned()
        })?;
        let (web, of) = (self.web.clone(), id.to_owned());
        // The place is taken for as long as the host is asked, whether or not anybody waits for it still.
        let asked = tokio::spawn(async move {
            let body = web.get(&of, LONGEST_DOCUMENT).await;
            drop(place);
            body
        });
        // The host is one that a browser was sent here with: the way on is for whoever knows it.
        let unreachable = |why: &str| {
            format!(
                "The client's document cannot be fetched: {why}. Where this gateway has no way to its host, whoever runs it can name \
                 this client under [[agents.authorization.clients]], with the document's address as its id and the redirects \
                 that it says."
            )
        };
        let fetched = match tokio::time::timeout(PATIENCE, asked).await {
            Err(_) => Err(unreachable("it took too long")),
            Ok(Err(_)) => Err("The client's document was not fetched.".to_owned()),
            Ok(Ok(Ok(body))) => {
                address.client(&body).map_err(|why| format!("The client's document is not one: {why}."))
            }
            Ok(Ok(Err(error))) => Err(unreachable(&error.to_string())),
        };
        if let Err(why) = &fetched {
            tracing::info!(client = id, "a client is not known: {why}");
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.retain(|_, one| one.is_fresh());
            if kept.len() >= MOST {
                kept.clear();
            }
        }
        kept.insert(id.to_owned(), Kept { asked: Instant::now(), found: fetched.clone() });
        fetched
    }

    fn kept(&self, id: &str) -> Option<Result<Client, String>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(id).filter(|one| one.is_fresh()).map(|one| one.found.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE, FOR_ONE, UnderWay};

    #[test]
    fn slow_hosts_hold_up_whoever_named_them() {
        let all = UnderWay::default();
        let taken: Vec<_> = (0..FOR_ONE).map(|_| all.begin("user:a").expect("a place")).collect();
        assert!(all.begin("user:a").is_none());
        let other = all.begin("user:b").expect("that is nobody else's matter");
        drop(taken);
        assert!(all.begin("user:a").is_some(), "places are given back");
        let many: Vec<_> = (1..AT_ONCE).filter_map(|number| all.begin(&format!("user:{number}"))).collect();
        assert!(all.begin("user:late").is_none(), "there are so many in all");
        drop((other, many));
        assert!(all.0.lock().expect("lock").is_empty());
    }
}
