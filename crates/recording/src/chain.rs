//! The digest of a recording: that of its head, and then of what it was before with each block.

use aws_lc_rs::digest;

/// 32 bytes of SHA-256.
pub(crate) type Hash = [u8; 32];

/// The digest so far, and what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    pub hash: Hash,
    pub blocks: u64,
    pub bytes: u64,
}

impl Chain {
    pub(crate) fn begin(head: &[u8]) -> Self {
        Self { hash: sha256(&[b"durward recording", head]), blocks: 0, bytes: wide(head.len()) }
    }

    /// The same with one more block.
    pub(crate) fn then(self, block: &[u8]) -> Self {
        Self {
            hash: sha256(&[&self.hash, block]),
            blocks: self.blocks + 1,
            bytes: self.bytes.saturating_add(wide(block.len())),
        }
    }
}

pub(crate) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().first_chunk().copied().unwrap_or_default()
}

pub(crate) fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
