//! The keys of one issuer. Old ones leave with the next fetch; an unknown name of a key causes one, within bounds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use policy::identity::{Claims, Issuer, Keys, KeysFrom, LONGEST_JWKS, Proven, Refusal, Unproven, is_address};

use crate::net::web::{Client, WebError};

/// Keys are fetched again when they are so old, whether or not somebody asks: those that the issuer took back leave then.
const REFRESH: Duration = Duration::from_secs(300);
/// What could not be fetched is tried again so much later.
const RETRY: Duration = Duration::from_secs(10);
/// Keys are used so long while their issuer cannot be reached.
const OLDEST: Duration = Duration::from_secs(3600);
/// Unknown names of keys cause so many fetches at once …
const BURST: f64 = 5.0;
/// … and one more each time so long has passed.
const REFILL: Duration = Duration::from_secs(5);

/// Where one issuer's keys come from, and those that came.
pub(super) struct Source {
    issuer: Arc<Issuer>,
    client: Client,
    fetched: ArcSwapOption<Fetched>,
    /// One fetch at a time; whoever waited for another's looks at what it brought.
    turn: tokio::sync::Mutex<Allowance>,
    failed: Mutex<Option<(Instant, String)>>,
}

struct Fetched {
    keys: Keys,
    /// When it was asked for, so that what was published later may be missing.
    asked: Instant,
}

/// How often unknown names of keys may cause a fetch.
struct Allowance {
    left: f64,
    since: Instant,
}

/// How an issuer is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// The issuer's name.
    pub name: String,
    /// Whether tokens of it can be checked.
    pub usable: bool,
    /// How old its keys are, in seconds; `None` where they were given, or there are none.
    pub age: Option<u64>,
    /// Why they could not be fetched when that was last tried.
    pub failed: Option<String>,
}

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0}: {1}")]
    Web(String, WebError),
    #[error("{0}")]
    Document(String),
}

impl Source {
    pub(super) fn new(issuer: Arc<Issuer>) -> Result<Self, WebError> {
        Ok(Self {
            client: Client::new(issuer.ca())?,
            issuer,
            fetched: ArcSwapOption::empty(),
            turn: tokio::sync::Mutex::new(Allowance { left: BURST, since: Instant::now() }),
            failed: Mutex::default(),
        })
    }

    /// Checks a token's signature.
    pub(super) async fn prove(&self, token: Unproven<'_>) -> Result<Proven, Refusal> {
        let allowed = self.issuer.algorithms();
        if let KeysFrom::Given(keys) = self.issuer.keys() {
            return token.verify(keys, allowed);
        }
        // Whoever cannot be let in whatever the keys are causes no fetch.
        if !allowed.contains(&token.algorithm()) {
            return Err(Refusal::Algorithm);
        }
        let arrived = Instant::now();
        // Where the token names no key, one that fits nothing may be of a new key: names are not what tells.
        let is_known = |keys: &Keys| {
            keys.has(token.key()) && (token.key().is_some() || token.clone().verify(keys, allowed).is_ok())
        };
        let known = self.fetched.load_full().filter(|f| is_usable(f) && is_known(&f.keys));
        let fetched = match known {
            Some(known) => known,
            None => self.fetch_since(arrived, is_known).await?,
        };
        token.verify(&fetched.keys, allowed)
    }

    /// Keys among which is the one, or that were asked for after a moment: by this call or by another meanwhile.
    async fn fetch_since(
        &self,
        arrived: Instant,
        is_known: impl Fn(&Keys) -> bool,
    ) -> Result<Arc<Fetched>, Refusal> {
        let mut allowance = self.turn.lock().await;
        let answers = |f: &Arc<Fetched>| f.asked >= arrived || is_usable(f) && is_known(&f.keys);
        if let Some(fetched) = self.fetched.load_full().filter(answers) {
            return Ok(fetched);
        }
        if self.failed_at().is_some_and(|at| at >= arrived) {
            return Err(Refusal::Unreachable);
        }
        allowance.wait().await;
        self.fetch().await
    }

    /// Whether it is time to look for other keys.
    pub(super) fn is_due(&self) -> bool {
        if matches!(self.issuer.keys(), KeysFrom::Given(_)) {
            return false;
        }
        let tried = self.failed_at().is_some_and(|at| at.elapsed() < RETRY);
        !tried && self.fetched.load().as_ref().is_none_or(|f| f.asked.elapsed() >= REFRESH)
    }

    pub(super) async fn refresh(&self) {
        // Somebody fetches already.
        let Ok(_turn) = self.turn.try_lock() else { return };
        if self.is_due() {
            // It has been logged, and those who need keys will hear of it.
            let _ = self.fetch().await;
        }
    }

    async fn fetch(&self) -> Result<Arc<Fetched>, Refusal> {
        let asked = Instant::now();
        let name = self.issuer.name();
        match self.ask().await {
            Ok(keys) => {
                tracing::debug!(issuer = name, "its keys were fetched");
                let fetched = Arc::new(Fetched { keys, asked });
                self.fetched.store(Some(Arc::clone(&fetched)));
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Ok(fetched)
            }
            Err(error) => {
                tracing::warn!(issuer = name, "its keys cannot be fetched: {error}");
                let failed = Some((Instant::now(), error.to_string()));
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
                Err(Refusal::Unreachable)
            }
        }
    }

    async fn ask(&self) -> Result<Keys, FetchError> {
        let address = match self.issuer.keys() {
            KeysFrom::Given(keys) => return Ok(keys.clone()),
            KeysFrom::Address(address) => address.clone(),
            KeysFrom::Discovery => discovered(&self.client, &self.issuer, "jwks_uri").await?,
        };
        let body = self.get(&address).await?;
        Keys::parse(&body).map_err(|error| FetchError::Document(format!("{address}: {error}")))
    }

    async fn get(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        fetched(&self.client, address).await
    }

    fn failed_at(&self) -> Option<Instant> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(at, _)| *at)
    }

    /// Whether its keys could not be fetched when that was last tried.
    pub(super) fn is_cut_off(&self) -> bool {
        self.failed_at().is_some()
    }

    pub(super) fn standing(&self) -> Standing {
        let given = matches!(self.issuer.keys(), KeysFrom::Given(_));
        let fetched = self.fetched.load_full();
        Standing {
            name: self.issuer.name().to_owned(),
            usable: given || fetched.as_ref().is_some_and(is_usable),
            age: fetched.map(|f| f.asked.elapsed().as_secs()),
            failed: self
                .failed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_ref()
                .map(|(_, why)| why.clone()),
        }
    }
}

/// An address that an issuer names (OpenID Connect Discovery §4): the document must be this very issuer's.
pub(super) async fn discovered(client: &Client, issuer: &Issuer, name: &str) -> Result<String, FetchError> {
    let address = discovery(issuer);
    let body = fetched(client, &address).await?;
    let wrong = |what: String| FetchError::Document(format!("{address}: {what}"));
    let document = Claims::parse(&body).ok_or_else(|| wrong("it is no JSON object".to_owned()))?;
    if document.text("issuer") != Some(issuer.url()) {
        return Err(wrong("it speaks of another issuer".to_owned()));
    }
    let found = document.text(name).ok_or_else(|| wrong(format!("it has no {name}")))?;
    is_address(found).map_err(|why| wrong(format!("its {name} {why}")))?;
    Ok(found.to_owned())
}

async fn fetched(client: &Client, address: &str) -> Result<Vec<u8>, FetchError> {
    let answer = client.get(address, LONGEST_JWKS).await;
    answer.map_err(|error| FetchError::Web(address.to_owned(), error))
}

/// Where an issuer describes itself.
pub(super) fn discovery(issuer: &Issuer) -> String {
    format!("{}/.well-known/openid-configuration", issuer.url().trim_end_matches('/'))
}

fn is_usable(fetched: &Arc<Fetched>) -> bool {
    fetched.asked.elapsed() < OLDEST
}

impl Allowance {
    /// Waits until one more fetch is allowed, and takes it.
    async fn wait(&mut self) {
        let filled = self.since.elapsed().as_secs_f64() / REFILL.as_secs_f64();
        self.left = (self.left + filled).min(BURST);
        self.since = Instant::now();
        if self.left < 1.0 {
            let missing = REFILL.mul_f64(1.0 - self.left);
            tokio::time::sleep(missing).await;
            self.left = 1.0;
            self.since = Instant::now();
        }
        self.left -= 1.0;
    }
}
