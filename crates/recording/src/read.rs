//! Reading a recording, also one that is being written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::chain::{Chain, Hash};
use crate::seal::{Head, Key, MOST_BLOCK, SessionKey};

/// A head is not longer, in bytes.
const MOST_HEAD: u64 = 512;

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none of this session.
    #[error("there is no recording of session {0}")]
    Missing(String),
    /// The file cannot be read.
    #[error("the recording cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It was changed, or is another session's, or sealed under another key.
    #[error("the recording does not open at block {0}: it was changed, or its key is another gateway's")]
    Sealed(u64),
}

/// How far a recording was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Blocks.
    pub block: u64,
    /// Where the next one begins in the file; 0 at the beginning.
    pub offset: u64,
}

/// A recording that is read block by block.
pub struct Reader {
    file: File,
    key: SessionKey,
    head: Hash,
    cursor: Cursor,
}

impl Reader {
    /// Opens the recording of a session, to be read from a place on that was reached before.
    ///
    /// # Errors
    /// There is none, or it does not open.
    pub fn open(directory: &Path, key: &Key, session: &str, from: Cursor) -> Result<Self, ReadError> {
        let missing = || ReadError::Missing(session.to_owned());
        let path = crate::path(directory, session).ok_or_else(missing)?;
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            opened => opened?,
        };
        let mut front = Vec::new();
        (&mut file).take(MOST_HEAD).read_to_end(&mut front)?;
        let head = Head::read(&front).filter(|head| head.session == session).ok_or(ReadError::Sealed(0))?;
        let opened = SessionKey::open(key, &head).map_err(|_| ReadError::Sealed(0))?;
        let chain = Chain::begin(head.whole);
        let cursor = if from.block == 0 { Cursor { block: 0, offset: chain.bytes } } else { from };
        Ok(Self { file, key: opened, head: chain.hash, cursor })
    }

    /// Where the next block begins.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The events of the next block; `None` at the end, or where the next one is not whole yet.
    ///
    /// # Errors
    /// It cannot be read or does not open.
    pub fn block(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        self.file.seek(SeekFrom::Start(self.cursor.offset))?;
        let mut length = [0; 4];
        let most = MOST_BLOCK + MOST_BLOCK / 100 + 1024;
        if !filled(&mut self.file, &mut length)? {
            return Ok(None);
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > most {
            return Err(ReadError::Sealed(self.cursor.block));
        }
        let mut sealed = vec![0; length];
        if !filled(&mut self.file, &mut sealed)? {
            return Ok(None);
        }
        let clear = self.key.unseal(&self.head, self.cursor.block, &sealed);
        let clear = clear.map_err(|_| ReadError::Sealed(self.cursor.block))?;
        self.cursor.block += 1;
        self.cursor.offset += 4 + crate::chain::wide(length);
        Ok(Some(clear))
    }
}

/// Fills a buffer, unless the file ends before.
fn filled(file: &mut File, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
