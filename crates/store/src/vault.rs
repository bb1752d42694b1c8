//! Sealing: each value has a data key of its own, which the master key wraps. Both seals name the row that they belong to,
//! so that a sealed value moved to another row does not open.
//!
//! `2 ‖ name of the master key 8 ‖ wrapped key (nonce 12, key 32, tag 16) ‖ nonce 12 ‖ value ‖ tag 16`; before there were
//! names, 1 stood in front and no name behind it.

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

use crate::StoreError;
use crate::master::{Keys, MasterKey};

const UNNAMED: u8 = 1;
const NAMED: u8 = 2;
const KEY: usize = 32;
const TAG: usize = 16;
const NAME: usize = 8;
const WRAPPED: usize = NONCE_LEN + KEY + TAG;

/// Which row a sealed value belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub table: &'static str,
    pub id: &'a str,
}

impl Row<'_> {
    /// Lengths stand before the parts, so that no two rows read the same.
    fn identity(self, layer: &str) -> Vec<u8> {
        let mut identity = b"durward".to_vec();
        for part in [layer, self.table, self.id] {
            identity.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            identity.extend_from_slice(part.as_bytes());
        }
        identity
    }
}

/// The name of a master key: it tells which one is meant, and nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyName([u8; NAME]);

impl KeyName {
    pub(crate) fn of(master: &MasterKey) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, master.reveal());
        let tag = hmac::sign(&key, b"durward's name of a master key");
        Self(tag.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

impl KeyName {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut name = [0; NAME];
        hex::decode_to_slice(text, &mut name).ok().map(|()| Self(name))
    }
}

impl std::fmt::Display for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A master key that can be used.
pub(crate) struct Named {
    pub name: KeyName,
    key: RandomizedNonceKey,
}

impl Named {
    pub(crate) fn new(master: &MasterKey) -> Result<Self, StoreError> {
        Ok(Self { name: KeyName::of(master), key: key(master.reveal())? })
    }
}

/// The master keys that this process has, and where there may be more.
pub(crate) struct Vault {
    keys: RwLock<Vec<Arc<Named>>>,
    source: Option<Keys>,
}

impl Vault {
    pub(crate) fn new(masters: &[MasterKey], source: Option<Keys>) -> Result<Self, StoreError> {
        Ok(Self { keys: RwLock::new(named(masters)?), source })
    }

    /// The key of a name. Where it is not known, the source is asked again: somebody may have brought it.
    pub(crate) async fn key(&self, name: KeyName) -> Result<Arc<Named>, StoreError> {
        if let Some(known) = self.known(name) {
            return Ok(known);
        }
        let Some(source) = self.source.clone() else { return Err(StoreError::Sealed) };
        let asked = tokio::task::spawn_blocking(move || source()).await;
        let masters = asked
            .map_err(|_| StoreError::Sealed)?
            .map_err(|error| StoreError::Master(name, error.to_string()))?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = named(&masters)?;
        let missing = "what it is read from has other keys".to_owned();
        self.known(name).ok_or(StoreError::Master(name, missing))
    }

    fn known(&self, name: KeyName) -> Option<Arc<Named>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().find(|key| key.name == name).map(Arc::clone)
    }

    /// All that are known, the first one first.
    pub(crate) fn all(&self) -> Vec<Arc<Named>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Knows one more.
    pub(crate) fn add(&self, key: Arc<Named>) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(0, key);
    }

    /// Knows no other.
    pub(crate) fn keep(&self, name: KeyName) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).retain(|key| key.name == name);
    }

    pub(crate) async fn open(&self, row: Row<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let (wrapped, value) = self.split(row, sealed).await?;
        unlock(&key(&wrapped)?, &row.identity("value"), value)
    }

    /// The same value under another master key, without being opened.
    pub(crate) async fn rewrap(
        &self,
        row: Row<'_>,
        sealed: &[u8],
        under: &Named,
    ) -> Result<Vec<u8>, StoreError> {
        let (data_key, value) = self.split(row, sealed).await?;
        let mut out = head(under);
        lock(&under.key, &row.identity("key"), &data_key, &mut out)?;
        out.extend_from_slice(value);
        Ok(out)
    }

    /// The data key, and the value that is sealed under it.
    async fn split<'s>(
        &self,
        row: Row<'_>,
        sealed: &'s [u8],
    ) -> Result<(Zeroizing<Vec<u8>>, &'s [u8]), StoreError> {
        let identity = row.identity("key");
        match sealed {
            [NAMED, rest @ ..] => {
                let (name, rest) = rest.split_first_chunk::<NAME>().ok_or(StoreError::Sealed)?;
                let (wrapped, value) = rest.split_at_checked(WRAPPED).ok_or(StoreError::Sealed)?;
                let master = self.key(KeyName(*name)).await?;
                Ok((unlock(&master.key, &identity, wrapped)?, value))
            }
            [UNNAMED, rest @ ..] => {
                let (wrapped, value) = rest.split_at_checked(WRAPPED).ok_or(StoreError::Sealed)?;
                let opened = self.all().iter().find_map(|m| unlock(&m.key, &identity, wrapped).ok());
                Ok((opened.ok_or(StoreError::Sealed)?, value))
            }
            _ => Err(StoreError::Sealed),
        }
    }
}

/// Seals a value under a new data key of its own, and that under a master key.
pub(crate) fn seal(master: &Named, row: Row<'_>, clear: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut data_key = Zeroizing::new([0; KEY]);
    rand::fill(data_key.as_mut_slice()).map_err(|_| StoreError::Randomness)?;
    let mut sealed = head(master);
    lock(&master.key, &row.identity("key"), data_key.as_slice(), &mut sealed)?;
    lock(&key(data_key.as_slice())?, &row.identity("value"), clear, &mut sealed)?;
    Ok(sealed)
}

/// Whether a key wraps a sealed value.
pub(crate) fn fits(master: &Named, row: Row<'_>, sealed: &[u8]) -> bool {
    let wrapped = match sealed {
        [NAMED, rest @ ..] => rest.get(NAME..),
        [UNNAMED, rest @ ..] => Some(rest),
        _ => None,
    };
    let wrapped = wrapped.and_then(|rest| rest.get(..WRAPPED));
    wrapped.is_some_and(|wrapped| unlock(&master.key, &row.identity("key"), wrapped).is_ok())
}

fn named(masters: &[MasterKey]) -> Result<Vec<Arc<Named>>, StoreError> {
    masters.iter().map(|master| Ok(Arc::new(Named::new(master)?))).collect()
}

fn head(master: &Named) -> Vec<u8> {
    let mut head = vec![NAMED];
    head.extend_from_slice(&master.name.0);
    head
}

fn key(bytes: &[u8]) -> Result<RandomizedNonceKey, StoreError> {
    RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| StoreError::Sealed)
}

fn lock(
    key: &RandomizedNonceKey,
    identity: &[u8],
    clear: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let mut text = Zeroizing::new(clear.to_vec());
    let (nonce, tag) = key
        .seal_in_place_separate_tag(Aad::from(identity), text.as_mut_slice())
        .map_err(|_| StoreError::Randomness)?;
    out.extend_from_slice(nonce.as_ref());
    out.extend_from_slice(&text);
    out.extend_from_slice(tag.as_ref());
    Ok(())
}

fn unlock(
    key: &RandomizedNonceKey,
    identity: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(StoreError::Sealed)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| StoreError::Sealed)?;
    let mut clear = Zeroizing::new(text.to_vec());
    let length = key
        .open_in_place(nonce, Aad::from(identity), clear.as_mut_slice())
        .map_err(|_| StoreError::Sealed)?
        .len();
    clear.truncate(length);
    Ok(clear)
}
