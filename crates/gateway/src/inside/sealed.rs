//! What a door gives to its clients to bring back: sealed, bound to what it is about, and used once where that is asked for. The key
//! is the store's, so that any gateway of it opens what another has sealed.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::gateway::Gateway;
use crate::state::StateError;

impl Gateway {
    /// Seals it. Only who says the same of `about` opens it again. `None` without randomness.
    pub fn seal(&self, about: &[&[u8]], clear: &[u8]) -> Option<String> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.door_key()).ok()?;
        let mut text = clear.to_vec();
        let (nonce, tag) = key.seal_in_place_separate_tag(Aad::from(bound(about)), &mut text).ok()?;
        Some(BASE64.encode([nonce.as_ref().as_slice(), &text, tag.as_ref()].concat()))
    }

    /// Opens what was sealed. `None` where it was changed, is about something else, or was never sealed here.
    pub fn unseal(&self, about: &[&[u8]], sealed: &str) -> Option<Vec<u8>> {
        let sealed = BASE64.decode(sealed).ok()?;
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.door_key()).ok()?;
        let mut clear = text.to_vec();
        let length = key.open_in_place(nonce, Aad::from(bound(about)), &mut clear).ok()?.len();
        clear.truncate(length);
        Some(clear)
    }

    /// Uses up what may be used once, by its name, until a moment; whether it had not been.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn use_once(&self, name: &str, until: i64) -> Result<bool, StateError> {
        self.state().spend(&format!("door {name}"), until).await
    }
}

/// Lengths stand before the parts, so that no two read the same.
fn bound(about: &[&[u8]]) -> Vec<u8> {
    let mut all = b"durward's door".to_vec();
    for part in about {
        all.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        all.extend_from_slice(part);
    }
    all
}
