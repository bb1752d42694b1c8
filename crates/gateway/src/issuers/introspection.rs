//! The question to an issuer whether a token is still good (RFC 7662). Whoever cannot be asked has not said yes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::identity::{Issuer, LONGEST_ANSWER, Refusal};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::source::{FetchError, discovered};
use crate::credentials::{SourceError, Sourced};
use crate::net::web::{Client, WebError};

/// So many questions to one issuer are under way at once.
const AT_ONCE: usize = 32;

/// Asks one issuer.
pub(super) struct Asker {
    issuer: Arc<Issuer>,
    /// The gateway's own secret there; `None` where this process has no such source.
    secret: Option<Arc<Sourced>>,
    client: Client,
    /// Where discovery says that it is asked.
    found: ArcSwapOption<String>,
    turns: Semaphore,
    silent: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("durward.toml has no [credentials.{0}]")]
    NoSource(String),
    #[error("its secret: {0}")]
    Secret(#[from] SourceError),
    #[error("{0}")]
    Discovery(#[from] FetchError),
    #[error("{0}: {1}")]
    Web(String, WebError),
    #[error("it is shutting down")]
    Closed,
}

impl Asker {
    pub(super) fn new(issuer: Arc<Issuer>, secret: Option<Arc<Sourced>>) -> Result<Self, WebError> {
        Ok(Self {
            client: Client::new(issuer.ca())?,
            issuer,
            secret,
            found: ArcSwapOption::empty(),
            turns: Semaphore::new(AT_ONCE),
            silent: AtomicBool::new(false),
        })
    }

    /// Its answer about a token, whatever it says.
    pub(super) async fn ask(&self, token: &str) -> Result<Vec<u8>, Refusal> {
        let name = self.issuer.name();
        match self.answer(token).await {
            Ok(answer) => {
                if self.silent.swap(false, Ordering::Relaxed) {
                    tracing::info!(issuer = name, "it answers about tokens again");
                }
                Ok(answer)
            }
            Err(error) => {
                // It may have moved.
                self.found.store(None);
                if !self.silent.swap(true, Ordering::Relaxed) {
                    tracing::warn!(issuer = name, "it cannot be asked about tokens: {error}");
                }
                Err(Refusal::Unasked)
            }
        }
    }

    async fn answer(&self, token: &str) -> Result<Vec<u8>, AskError> {
        let how = self.issuer.introspection();
        let (client, credential) = how.map_or(("", ""), |how| (how.client_id(), how.credential()));
        let secret = self.secret.as_ref().ok_or_else(|| AskError::NoSource(credential.to_owned()))?;
        let _turn = self.turns.acquire().await.map_err(|_| AskError::Closed)?;
        let endpoint = self.endpoint(how.and_then(|how| how.endpoint())).await?;
        let password = secret.password().await?;
        let form = vec![
            ("token".to_owned(), token.to_owned()),
            ("token_type_hint".to_owned(), "access_token".to_owned()),
        ];
        let authorization = basic(client, password.reveal());
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
