//! A webhook, signed as Standard Webhooks says (<https://github.com/standard-webhooks/standard-webhooks>), so that receivers
//! have libraries for it: HMAC-SHA-256 over id, time and body; the id is the same for each try.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Told;
use super::message::Message;
use crate::gateway::now;
use crate::net::web::{Client, WebError};

/// Before a secret in Base64.
const PREFIX: &str = "whsec_";
/// A secret has so many bytes at least; the specification asks for 24 to 64.
const SHORTEST: usize = 24;

/// One who is told over HTTP.
#[derive(Debug)]
pub struct Webhook {
    name: String,
    url: String,
    key: hmac::Key,
    client: Client,
}

/// Why there is no such webhook.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Its secret is none.
    #[error("its secret is {SHORTEST} bytes at least, or {PREFIX} and as many in Base64")]
    Secret,
    /// Its authorities are none.
    #[error(transparent)]
    Web(#[from] WebError),
}

impl Webhook {
    /// Tells a URL, signed by a secret; trusts these authorities in PEM, or the system's.
    ///
    /// # Errors
    /// The secret is too short, or the authorities cannot be read.
    pub fn new(name: &str, url: &str, secret: &str, authorities: Option<&str>) -> Result<Self, WebhookError> {
        let secret = match secret.strip_prefix(PREFIX) {
            Some(encoded) => BASE64.decode(encoded).map_err(|_| WebhookError::Secret)?,
            None => secret.as_bytes().to_vec(),
        };
        if secret.len() < SHORTEST {
            return Err(WebhookError::Secret);
        }
        Ok(Self {
            name: format!("webhook {name}"),
            url: url.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            client: Client::new(authorities)?,
        })
    }

    /// `webhook ops`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn deliver(&self, message: &Message<'_>) -> Told {
        let (id, time, body) = (message.id(), now(), message.json());
        let signature = self.signature(&id, time, &body);
        let headers = vec![
            ("webhook-id", id),
            ("webhook-timestamp", time.to_string()),
            ("webhook-signature", signature),
        ];
        match self.client.deliver(&self.url, headers, body).await {
            Ok(200..=299) => Told::Taken(None),
            // It asks for time.
            Ok(status @ (408 | 425 | 429)) => Told::Down(format!("it answers {status}")),
            Ok(status @ 400..=499) => Told::Refused(format!("it answers {status}")),
            Ok(status) => Told::Down(format!("it answers {status}")),
            Err(error) => Told::Down(error.to_string()),
        }
    }

    pub(super) fn signature(&self, id: &str, time: i64, body: &str) -> String {
        let tag = hmac::sign(&self.key, format!("{id}.{time}.{body}").as_bytes());
        format!("v1,{}", BASE64.encode(tag.as_ref()))
    }
}
