//! Checking a journal without the gateway: every record is what it was, in its order, and none is missing between the
//! first and the last.
//!
//! What the files alone cannot show is that records were removed from the very end, or that the whole chain was made
//! anew: for that a hash has to be kept somewhere else. A session whose last record is gone is named as open.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::line;
use crate::log::segment_name;
use crate::read::segments;

/// What was found in a journal that verifies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How many records there are.
    pub records: u64,
    /// The last record's hash: whoever keeps it elsewhere can tell later that nothing before it has changed.
    pub head: String,
    /// Sessions without an end: they are live, or the gateway crashed.
    pub open: Vec<String>,
    /// How many sessions there are.
    pub sessions: usize,
    /// Bytes of an unfinished last line.
    pub torn: usize,
}

/// Why a journal does not verify.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// A record was changed, removed, added or moved.
    #[error("{file}:{line}: {why}")]
    Tampered {
        /// The segment.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// What does not match.
        why: String,
    },
}

/// Checks all segments of a directory.
///
/// # Errors
/// The first place that does not match.
pub fn verify(directory: &Path) -> Result<Report, Failure> {
    let fault = |path: &Path, error| Failure::Io(path.to_owned(), error);
    let mut report = Report::default();
    let mut head = line::GENESIS;
    // Each session's last number, and whether it has ended.
    let mut sessions: BTreeMap<String, (u64, bool)> = BTreeMap::new();
    let all = segments(directory).map_err(|e| fault(directory, e))?;
    for (expected, segment) in (1..).zip(&all) {
        let path = directory.join(segment_name(*segment));
        let tampered =
            |line: usize, why: &str| Failure::Tampered { file: path.clone(), line, why: why.to_owned() };
        if *segment != expected {
            return Err(tampered(1, &format!("segment {expected} is missing")));
        }
        let bytes = std::fs::read(&path).map_err(|e| fault(&path, e))?;
        for (index, whole) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
            let Some(text) = whole.strip_suffix(b"\n") else {
                report.torn = whole.len();
                continue;
            };
            let said = line::read(text).map_err(|why| tampered(index + 1, why))?;
            if said.seq != report.records + 1 || said.prev != head {
                return Err(tampered(index + 1, "the record does not follow the one before it"));
            }
            report.records = said.seq;
            head = said.hash;
            let field = |name: &str| said.value.get(name);
            let kind = field("kind").and_then(|k| k.as_str());
            // What a plan is to be sent by is named before there is such a session.
            let of_session = field("session").and_then(|s| s.as_str()).filter(|_| kind != Some("planned"));
            if let Some(session) = of_session {
                let n = field("n").and_then(serde_json::Value::as_u64).unwrap_or(0);
                let (last, ended) = sessions.entry(session.to_owned()).or_default();
                if n != *last + 1 {
                    return Err(tampered(index + 1, "a record of this session is missing before this one"));
                }
                *last = n;
                *ended = kind == Some("closed");
            }
        }
    }
    report.head = String::from_utf8_lossy(&head).into_owned();
    report.sessions = sessions.len();
    report.open = sessions.into_iter().filter(|(_, (_, ended))| !ended).map(|(session, _)| session).collect();
    Ok(report)
}
