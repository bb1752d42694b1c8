//! The question to an issuer whether a token is still good (RFC 7662). Whoever cannot be asked has not said yes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::identity::{Authentication, Issuer, LONGEST_ANSWER, Refusal};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::assertion::{self, KeyError};
use super::source::{FetchError, discovered};
use crate::credentials::{SourceError, Sourced};
use crate::gateway::now;
use crate::metrics::Metrics;
use crate::net::web::{Client, WebError};
use crate::targets::Contact;

/// So many questions to one issuer are under way at once.
const AT_ONCE: usize = 32;
const UNUSED: u8 = 0;
const ANSWERS: u8 = 1;
const SILENT: u8 = 2;

/// Asks one issuer.
pub(super) struct Asker {
    issuer: Arc<Issuer>,
    /// The gateway's own secret there; `None` where this process has no such source.
    secret: Option<Arc<Sourced>>,
    client: Client,
    /// Where discovery says that it is asked.
    found: ArcSwapOption<String>,
    turns: Semaphore,
    /// How it was last met: a [`Contact`] as a number.
    met: AtomicU8,
    metrics: Arc<Metrics>,
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("durward.toml has no [credentials.{0}]")]
    NoSource(String),
    #[error("its secret: {0}")]
    Secret(#[from] SourceError),
    #[error("its key: {0}")]
    Key(#[from] KeyError),
    #[error("{0}")]
    Discovery(#[from] FetchError),
    #[error("{0}: {1}")]
    Web(String, WebError),
    #[error("it is shutting down")]
    Closed,
}

impl Asker {
    pub(super) fn new(
        issuer: Arc<Issuer>,
        secret: Option<Arc<Sourced>>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, WebError> {
        Ok(Self {
            client: Client::new(issuer.ca())?,
            issuer,
            secret,
            found: ArcSwapOption::empty(),
            turns: Semaphore::new(AT_ONCE),
            met: AtomicU8::new(UNUSED),
            metrics,
        })
    }

    /// Its answer about a token, whatever it says.
    pub(super) async fn ask(&self, token: &str) -> Result<Vec<u8>, Refusal> {
        let name = self.issuer.name();
        match self.answer(token).await {
            Ok(answer) => {
                if self.met.swap(ANSWERS, Ordering::Relaxed) == SILENT {
                    tracing::info!(issuer = name, "it answers about tokens again");
                }
                Ok(answer)
            }
            Err(error) => {
                // It may have moved.
                self.found.store(None);
                self.metrics.introspected(name, "none");
                if self.met.swap(SILENT, Ordering::Relaxed) != SILENT {
                    tracing::warn!(issuer = name, "it cannot be asked about tokens: {error}");
                }
                Err(Refusal::Unasked)
            }
        }
    }

    /// Counts what it said.
    pub(super) fn counted<T>(&self, said: Result<T, Refusal>) -> Result<T, Refusal> {
        self.metrics.introspected(self.issuer.name(), if said.is_ok() { "yes" } else { "no" });
        said
    }

    /// How it was last met.
    pub(super) fn met(&self) -> Contact {
        match self.met.load(Ordering::Relaxed) {
            UNUSED => Contact::Unused,
            ANSWERS => Contact::Reachable,
            _ => Contact::Unreachable,
        }
    }

    async fn answer(&self, token: &str) -> Result<Vec<u8>, AskError> {
        let Some(how) = self.issuer.introspection() else { return Err(AskError::Closed) };
        let client = how.client_id();
        let secret = self.secret.as_ref().ok_or_else(|| AskError::NoSource(how.credential().to_owned()))?;
        let _turn = self.turns.acquire().await.map_err(|_| AskError::Closed)?;
        let endpoint = self.endpoint(how.endpoint()).await?;
        let password = secret.password().await?;
        let mut form = vec![
            ("token".to_owned(), token.to_owned()),
            ("token_type_hint".to_owned(), "access_token".to_owned()),
        ];
        let mut authorization = None;
        match how.authentication() {
            Authentication::ClientSecretBasic => authorization = Some(basic(client, password.reveal())),
            Authentication::PrivateKeyJwt { key_id } => {
                let said = assertion::Said { client, audience: self.issuer.url(), key_id: key_id.as_deref() };
                let assertion = assertion::sign(password.reveal(), &said, now())?;
                form.push(("client_id".to_owned(), client.to_owned()));
                form.push(("client_assertion_type".to_owned(), assertion::KIND.to_owned()));
                form.push(("client_assertion".to_owned(), assertion));
            }
        }
        let answer = self.client.post_form(&endpoint, form, authorization, LONGEST_ANSWER).await;
        if matches!(answer, Err(WebError::Status(401))) {
            // A secret that was changed is read anew for whoever comes next.
            secret.forget(&password);
        }
        answer.map_err(|error| AskError::Web(endpoint.to_string(), error))
    }

    async fn endpoint(&self, given: Option<&str>) -> Result<Arc<String>, AskError> {
        if let Some(given) = given {
            return Ok(Arc::new(given.to_owned()));
        }
        if let Some(found) = self.found.load_full() {
            return Ok(found);
        }
        let found = Arc::new(discovered(&self.client, &self.issuer, "introspection_endpoint").await?);
        self.found.store(Some(Arc::clone(&found)));
        Ok(found)
    }
}

/// A client's name and secret as OAuth has them in a header (RFC 6749 §2.3.1): each encoded as in a form before.
fn basic(client: &str, secret: &[u8]) -> Zeroizing<String> {
    let mut pair = Zeroizing::new(String::new());
    encode(&mut pair, client.as_bytes());
    pair.push(':');
    encode(&mut pair, secret);
    let encoded = Zeroizing::new(BASE64.encode(pair.as_bytes()));
    Zeroizing::new(format!("Basic {}", encoded.as_str()))
}

fn encode(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*') {
            out.push(char::from(*byte));
        } else if *byte == b' ' {
            out.push('+');
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_with_any_sign_in_it_is_read_as_it_was() {
        for (client, secret, pair) in
            [("durward", "one", "durward:one"), ("a:b", "p%w d+ü", "a%3Ab:p%25w+d%2B%C3%BC")]
        {
            let header = basic(client, secret.as_bytes());
            let decoded = BASE64.decode(header.strip_prefix("Basic ").expect("basic")).expect("base64");
            assert_eq!(String::from_utf8(decoded).expect("text"), pair);
        }
    }
}
