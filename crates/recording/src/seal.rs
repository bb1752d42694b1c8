//! Sealing: each session has a key of its own, which the recordings' key wraps; both seals name the session. A block's nonce is
//! its number, since no key seals for two sessions, and no number twice.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, RandomizedNonceKey, UnboundKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::chain::Hash;

const KEY: usize = 32;
const TAG: usize = 16;
const WRAPPED: usize = NONCE_LEN + KEY + TAG;
const MAGIC: &[u8] = b"durward recording 1\n";
/// A block is not longer before it is compressed, in bytes.
pub(crate) const MOST_BLOCK: usize = 16 * 1024 * 1024;

/// The key that wraps the sessions' keys. It is never printed, and wiped when it is dropped.
pub struct Key(Zeroizing<[u8; KEY]>);

impl Key {
    /// From its bytes.
    pub fn new(bytes: [u8; KEY]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// It does not open: it was changed, or sealed under another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed;

/// The key of one session.
pub(crate) struct SessionKey(Zeroizing<[u8; KEY]>);

fn words(session: &str) -> Vec<u8> {
    [b"durward's recording of ", session.as_bytes()].concat()
}

impl SessionKey {
    /// A new one, and the head of the file that it is for.
    pub(crate) fn fresh(key: &Key, session: &str) -> Result<(Self, Vec<u8>), Sealed> {
        let mut fresh = Zeroizing::new([0; KEY]);
        rand::fill(fresh.as_mut_slice()).map_err(|_| Sealed)?;
        let wrapping = RandomizedNonceKey::new(&AES_256_GCM, key.0.as_slice()).map_err(|_| Sealed)?;
        let mut wrapped = Zeroizing::new(fresh.to_vec());
        let sealed = wrapping.seal_in_place_separate_tag(Aad::from(words(session)), wrapped.as_mut_slice());
        let (nonce, tag) = sealed.map_err(|_| Sealed)?;
        let mut head = MAGIC.to_vec();
        head.push(u8::try_from(session.len()).map_err(|_| Sealed)?);
        head.extend_from_slice(session.as_bytes());
        head.extend_from_slice(nonce.as_ref());
        head.extend_from_slice(&wrapped);
        head.extend_from_slice(tag.as_ref());
        Ok((Self(fresh), head))
    }

    /// The one in a file's head, and whose file it is.
    pub(crate) fn open(key: &Key, head: &Head<'_>) -> Result<Self, Sealed> {
        let (nonce, text) = head.wrapped.split_at_checked(NONCE_LEN).ok_or(Sealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Sealed)?;
        let wrapping = RandomizedNonceKey::new(&AES_256_GCM, key.0.as_slice()).map_err(|_| Sealed)?;
        let mut clear = Zeroizing::new(text.to_vec());
        let opened = wrapping.open_in_place(nonce, Aad::from(words(head.session)), clear.as_mut_slice());
        let mut this = Zeroizing::new([0; KEY]);
        this.copy_from_slice(opened.map_err(|_| Sealed)?.get(..KEY).ok_or(Sealed)?);
        Ok(Self(this))
    }

    fn key(&self) -> Result<LessSafeKey, Sealed> {
        let key = UnboundKey::new(&AES_256_GCM, self.0.as_slice()).map_err(|_| Sealed)?;
        Ok(LessSafeKey::new(key))
    }

    /// Compresses and seals a block: `length 4 ‖ (length before it was compressed 4 ‖ LZ4) sealed ‖ tag 16`.
    pub(crate) fn seal(&self, head: &Hash, number: u64, clear: &[u8]) -> Result<Vec<u8>, Sealed> {
        let before = u32::try_from(clear.len()).ok().filter(|_| clear.len() <= MOST_BLOCK).ok_or(Sealed)?;
        let mut inside = before.to_be_bytes().to_vec();
        inside.resize(4 + lz4_flex::block::get_maximum_output_size(clear.len()), 0);
        let packed = lz4_flex::block::compress_into(clear, inside.get_mut(4..).unwrap_or_default());
        inside.truncate(4 + packed.map_err(|_| Sealed)?);
        let sealed = self.key()?.seal_in_place_append_tag(nonce(number), Aad::from(head), &mut inside);
        sealed.map_err(|_| Sealed)?;
        let mut block = u32::try_from(inside.len()).map_err(|_| Sealed)?.to_be_bytes().to_vec();
        block.append(&mut inside);
        Ok(block)
    }

    /// Opens what [`Self::seal`] made, without its length.
    pub(crate) fn unseal(&self, head: &Hash, number: u64, sealed: &[u8]) -> Result<Vec<u8>, Sealed> {
        let mut inside = sealed.to_vec();
        let clear = self.key()?.open_in_place(nonce(number), Aad::from(head), &mut inside);
        let (before, packed) = clear.map_err(|_| Sealed)?.split_first_chunk::<4>().ok_or(Sealed)?;
        let before = usize::try_from(u32::from_be_bytes(*before)).map_err(|_| Sealed)?;
        if before > MOST_BLOCK {
            return Err(Sealed);
        }
        lz4_flex::block::decompress(packed, before).map_err(|_| Sealed)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    if let Some(place) = nonce.get_mut(NONCE_LEN - 8..) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    Nonce::assume_unique_for_key(nonce)
}

/// The head of a file.
pub(crate) struct Head<'a> {
    pub session: &'a str,
    wrapped: &'a [u8],
    /// All of it.
    pub whole: &'a [u8],
}

impl<'a> Head<'a> {
    /// Reads it from the front of a file.
    pub(crate) fn read(file: &'a [u8]) -> Option<Self> {
        let rest = file.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first()?;
        let (session, rest) = rest.split_at_checked(usize::from(*length))?;
        let (wrapped, rest) = rest.split_at_checked(WRAPPED)?;
        let whole = file.get(..file.len() - rest.len())?;
        Some(Self { session: std::str::from_utf8(session).ok()?, wrapped, whole })
    }
}

/// Splits the next whole block off; what is in it is sealed.
pub(crate) fn split(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
    rest.split_at_checked(length.checked_add(4)?)
}
