//! One recording's file. It is opened for each block, so that idle sessions hold no file open.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::chain::{Chain, Hash};
use crate::seal::{Key, SessionKey};

/// Where recordings are written, as far as it can fail.
pub(crate) trait Disk: Send + Sync {
    /// Makes a file that is not there yet.
    fn create(&self, path: &Path, head: &[u8]) -> io::Result<()>;
    /// Writes behind what was written.
    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// The file system.
pub(crate) struct Files;

impl Disk for Files {
    fn create(&self, path: &Path, head: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let written = file.write_all_at(head, 0);
        if written.is_err() {
            // What cannot be begun leaves nothing behind.
            let _ = std::fs::remove_file(path);
        }
        written
    }

    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        let written = file.write_all_at(bytes, offset);
        if written.is_err() {
            // A part of a block may be there.
            let _ = file.set_len(offset);
        }
        written
    }
}

/// A recording that is being written.
pub(crate) struct Output {
    path: PathBuf,
    key: SessionKey,
    head: Hash,
    pub chain: Chain,
}

impl Output {
    pub(crate) fn create(disk: &dyn Disk, path: PathBuf, key: &Key, session: &str) -> io::Result<Self> {
        let (key, head) =
            SessionKey::fresh(key, session).map_err(|_| io::Error::other("no key can be made"))?;
        disk.create(&path, &head)?;
        let chain = Chain::begin(&head);
        Ok(Self { path, key, head: chain.hash, chain })
    }

    /// Writes a block, whole or not at all.
    pub(crate) fn write(&mut self, disk: &dyn Disk, events: &[u8]) -> io::Result<()> {
        let sealed = self.key.seal(&self.head, self.chain.blocks, events);
        let block = sealed.map_err(|_| io::Error::other("a block cannot be sealed"))?;
        disk.write_at(&self.path, self.chain.bytes, &block)?;
        self.chain = self.chain.then(&block);
        Ok(())
    }
}
