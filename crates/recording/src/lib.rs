//! What sessions looked like to their principals: written beside the data path, sealed, read again, verified.
//!
//! A recording is a file of blocks. Each block holds events, compressed and sealed under a key of the session's own, which lies
//! in the file's head under the recordings' key. What an event's answer means is its protocol's business and not known here.

mod chain;
pub mod event;
mod output;
pub mod read;
mod seal;
mod tape;
pub mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use seal::Key;
pub use tape::{Began, Down, Mode, Piece, Room, Tape};
pub use writer::{Options, Recorder};

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The end of a recording's file name.
const ENDING: &str = "rec";

/// Where the recording of a session is; `None` for what is no session's id.
pub fn path(directory: &Path, session: &str) -> Option<PathBuf> {
    is_id(session).then(|| directory.join(format!("{session}.{ENDING}")))
}

/// Ids are made by the gateway; whatever else is asked for is no file's name.
fn is_id(session: &str) -> bool {
    !session.is_empty() && session.len() <= 64 && session.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The session of a recording's file.
fn session_of(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?.strip_suffix('.')?;
    is_id(name).then_some(name)
}

/// The recordings of a directory that were written last before a moment: their sessions and files.
///
/// # Errors
/// The directory cannot be read.
pub fn written_before(directory: &Path, moment: SystemTime) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        let Some(session) = session_of(&path) else { continue };
        if entry.metadata()?.modified()? < moment {
            found.push((session.to_owned(), path));
        }
    }
    Ok(found)
}
