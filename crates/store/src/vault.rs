//! Sealing: each value has a data key of its own, which the master key wraps. Both seals name the row that they belong to,
//! so that a sealed value moved to another row does not open.
//!
//! `1 ‖ wrapped key (nonce 12, key 32, tag 16) ‖ nonce 12 ‖ value ‖ tag 16`

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::{MasterKey, StoreError};

const VERSION: u8 = 1;
const KEY: usize = 32;
const TAG: usize = 16;
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

pub(crate) struct Vault {
    master: RandomizedNonceKey,
}

impl Vault {
    pub(crate) fn new(master: &MasterKey) -> Result<Self, StoreError> {
        Ok(Self { master: key(master.reveal())? })
    }

    pub(crate) fn seal(&self, row: Row<'_>, clear: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut data_key = Zeroizing::new([0; KEY]);
        rand::fill(data_key.as_mut_slice()).map_err(|_| StoreError::Randomness)?;
        let mut sealed = vec![VERSION];
        lock(&self.master, &row.identity("key"), data_key.as_slice(), &mut sealed)?;
        lock(&key(data_key.as_slice())?, &row.identity("value"), clear, &mut sealed)?;
        Ok(sealed)
    }

    pub(crate) fn open(&self, row: Row<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let [VERSION, rest @ ..] = sealed else { return Err(StoreError::Sealed) };
        let (wrapped, value) = rest.split_at_checked(WRAPPED).ok_or(StoreError::Sealed)?;
        let data_key = unlock(&self.master, &row.identity("key"), wrapped)?;
        unlock(&key(&data_key)?, &row.identity("value"), value)
    }
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
