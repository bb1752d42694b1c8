//! HashiCorp Vault and OpenBao: secrets of the key-value store, version 2 (<https://openbao.org/api-docs/secret/kv/kv-v2/>), by a
//! token or by AppRole (<https://openbao.org/api-docs/auth/approle/>).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::web::{Client, WebError};

/// An answer is not longer.
const MOST: usize = 256 * 1024;

/// How a server is asked.
pub struct VaultConfig {
    /// `https://vault.example.com:8200`.
    pub address: String,
    /// Authorities for its TLS in PEM; the system's where there are none.
    pub authorities: Option<String>,
    /// Its namespace, where it has some.
    pub namespace: Option<String>,
    /// Where the key-value store is mounted: `secret`.
    pub mount: String,
    /// How we log in.
    pub login: Login,
}

/// How we log in.
pub enum Login {
    /// With a token, which whoever gives it renews.
    Token(Zeroizing<String>),
    /// As a role.
    AppRole {
        /// Where the method is mounted: `approle`.
        mount: String,
        /// `role_id`.
        role: String,
        /// `secret_id`.
        secret: Zeroizing<String>,
    },
}

/// A server that keeps secrets.
pub struct Vault {
    config: VaultConfig,
    client: Client,
    /// What AppRole gave, and until when it is good.
    token: Mutex<Option<(Zeroizing<String>, Instant)>>,
}

/// Why a secret is not had. Nothing of an answer is in it.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The address is none.
    #[error("{0} is no address of a vault: it begins with https://, on this machine http:// will do")]
    Address(String),
    /// It does not answer, or not as asked.
    #[error("the vault, asked for {0}: {1}")]
    Web(String, WebError),
    /// There is no such secret, or no such word in it.
    #[error("the vault has no {0}")]
    Missing(String),
    /// Its answer is not what its documents say.
    #[error("the vault's answer about {0} is not understood")]
    Odd(String),
}

impl Vault {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// The address would send secrets in clear, or the authorities cannot be read.
    pub fn new(config: VaultConfig) -> Result<Self, VaultError> {
        let here = ["http://127.0.0.1:", "http://[::1]:", "http://localhost:"];
        let fine =
            config.address.starts_with("https://") || here.iter().any(|h| config.address.starts_with(h));
        if !fine {
            return Err(VaultError::Address(config.address));
        }
        let client = Client::new(config.authorities.as_deref());
        let client = client.map_err(|error| VaultError::Web(config.address.clone(), error))?;
        Ok(Self { config, client, token: Mutex::default() })
    }

    /// One word of a secret, and for how long it may be used, where the vault says so.
    pub(crate) async fn secret(
        &self,
        path: &str,
        key: &str,
    ) -> Result<(Zeroizing<String>, Option<Duration>), VaultError> {
        let what = format!("{}/{path}", self.config.mount);
        let address = format!("{}/v1/{}/data/{path}", self.base(), self.config.mount);
        let body = match self.ask(&address).await {
            // The token may have been revoked before its time.
            Err(WebError::Status(403)) if self.forget() => self.ask(&address).await,
            other => other,
        };
        let body = match body {
            Ok(body) => Zeroizing::new(body),
            Err(WebError::Status(404)) => return Err(VaultError::Missing(what)),
            Err(error) => return Err(VaultError::Web(what, error)),
        };
        let answer: Value = serde_json::from_slice(&body).map_err(|_| VaultError::Odd(what.clone()))?;
        let text = answer.pointer("/data/data").and_then(|data| data.get(key)).and_then(Value::as_str);
        let text = text.ok_or_else(|| VaultError::Missing(format!("{key} in {what}")))?;
        Ok((Zeroizing::new(text.to_owned()), lease(&answer)))
    }

    fn base(&self) -> &str {
        self.config.address.trim_end_matches('/')
    }

    async fn ask(&self, address: &str) -> Result<Vec<u8>, WebError> {
        let token = self.token().await?;
        let mut headers = vec![("x-vault-token", token)];
        headers.extend(self.namespace());
        self.client.get_with(address, headers, MOST).await
    }

    fn namespace(&self) -> Option<(&'static str, Zeroizing<String>)> {
        let namespace = self.config.namespace.as_ref()?;
        Some(("x-vault-namespace", Zeroizing::new(namespace.clone())))
    }

    async fn token(&self) -> Result<Zeroizing<String>, WebError> {
        let (mount, role, secret) = match &self.config.login {
            Login::Token(token) => return Ok(token.clone()),
            Login::AppRole { mount, role, secret } => (mount, role, secret),
        };
        if let Some((token, until)) = &*self.kept()
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let asked = Instant::now();
        let body = Zeroizing::new(json!({ "role_id": role, "secret_id": secret.as_str() }).to_string());
        let address = format!("{}/v1/auth/{mount}/login", self.base());
        let headers = self.namespace().into_iter().map(|(name, value)| (name.into(), value)).collect();
        let answer = Zeroizing::new(self.client.post_json(&address, headers, body, MOST).await?);
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| WebError::Body)?;
        let auth = answer.get("auth").ok_or(WebError::Body)?;
        let token = auth.get("client_token").and_then(Value::as_str).ok_or(WebError::Body)?;
        let token = Zeroizing::new(token.to_owned());
        // A tenth before its end, so that it does not end on the way.
        let life = auth.get("lease_duration").and_then(Value::as_u64).unwrap_or(0);
        *self.kept() = Some((token.clone(), asked + Duration::from_secs(life) * 9 / 10));
        Ok(token)
    }

    /// Logs in anew next time; whether that may help.
    fn forget(&self) -> bool {
        self.kept().take().is_some()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<(Zeroizing<String>, Instant)>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lease of none is no lease: the key-value store has it.
fn lease(answer: &Value) -> Option<Duration> {
    answer.get("lease_duration").and_then(Value::as_u64).filter(|s| *s > 0).map(Duration::from_secs)
}
