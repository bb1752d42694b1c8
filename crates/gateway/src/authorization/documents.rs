//! Documents in which clients describe themselves, fetched from the public internet and kept for a little while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use policy::oauth::{Client, DocumentAddress, LONGEST_DOCUMENT};
use tokio::sync::Semaphore;

use crate::net::web;

/// A document is fetched again when it is so old.
const FRESH: Duration = Duration::from_secs(300);
/// What could not be fetched is tried again so much later.
const RETRY: Duration = Duration::from_secs(5);
/// So many are kept.
const MOST: usize = 200;
/// So many are fetched at a time.
const AT_ONCE: usize = 4;

pub(super) struct Documents {
    web: web::Client,
    room: Semaphore,
    /// By the ids of their clients.
    kept: Mutex<HashMap<String, Kept>>,
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
        Self { web, room: Semaphore::new(AT_ONCE), kept: Mutex::default() }
    }

    /// The client whose document lies at an address.
    ///
    /// # Errors
    /// Why there is none, in words for a person.
    pub(super) async fn client(&self, id: &str) -> Result<Client, String> {
        let address = DocumentAddress::read(id).map_err(|why| format!("The client's id {why}."))?;
        if let Some(kept) = self.kept(id) {
            return kept;
        }
        let Ok(_turn) = self.room.acquire().await else { return Err("Nobody is asked any more.".to_owned()) };
        if let Some(kept) = self.kept(id) {
            return kept;
        }
        let fetched = match self.web.get(id, LONGEST_DOCUMENT).await {
            Ok(body) => {
                address.client(&body).map_err(|why| format!("The client's document is not one: {why}."))
            }
            Err(error) => Err(format!("The client's document cannot be fetched: {error}.")),
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
