//! Checking recordings against what the journal says of them, without any key: none was changed, cut short, made longer or
//! swapped.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::chain::Chain;
use crate::seal::{Head, split};

/// The word of the journal's record that names recordings which were forgotten.
pub const FORGOTTEN: &str = "recordings forgotten";

/// The word of the journal's record that names recordings which were not there when a backup was restored.
pub const LEFT_BEHIND: &str = "recordings not in the backup";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Whole recordings.
    pub whole: usize,
    /// Of sessions that are live, or whose gateway crashed: up to what the journal last said of them.
    pub open: Vec<String>,
    /// Those that were kept as long as they are to be.
    pub forgotten: usize,
    /// Those that were not there when a backup was restored, and are not there now.
    pub left_behind: Vec<String>,
    /// Those that are gone, changed or nobody's, and how: all of them.
    pub faulty: Vec<(PathBuf, String)>,
    /// Those that say themselves that they lost something.
    pub lossy: Vec<String>,
}

/// Why recordings do not verify.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// One is not what it was.
    #[error("the recording {file}: {why}")]
    Tampered {
        /// Which.
        file: PathBuf,
        /// What does not match.
        why: String,
    },
}

/// What the journal says of one recording.
#[derive(Default)]
struct Said {
    /// In order: blocks, bytes, digest.
    marks: Vec<(u64, u64, String)>,
    ended: bool,
    lost: bool,
}

/// Checks all recordings of a directory against a journal, which was verified before.
///
/// # Errors
/// The first that does not match.
pub fn verify(journal: &Path, directory: &Path) -> Result<Report, Failure> {
    let report = look(journal, directory)?;
    match report.faulty.first() {
        Some((file, why)) => Err(Failure::Tampered { file: file.clone(), why: why.clone() }),
        None => Ok(report),
    }
}

/// The same, with all that do not match in the report.
///
/// # Errors
/// Something cannot be read.
pub fn look(journal: &Path, directory: &Path) -> Result<Report, Failure> {
    let mut said: BTreeMap<String, Said> = BTreeMap::new();
    let mut forgotten: Vec<String> = Vec::new();
    let mut left_behind: Vec<String> = Vec::new();
    let read = journal::read::records(journal, |record| match text(&record, "kind") {
        "recorded" => {
            let number = |name: &str| record.get(name).and_then(Value::as_u64).unwrap_or_default();
            let known = said.entry(text(&record, "recording").to_owned()).or_default();
            known.marks.push((number("blocks"), number("bytes"), text(&record, "digest").to_owned()));
            known.ended |= record.get("ended").and_then(Value::as_bool).unwrap_or_default();
            known.lost |= number("lost") > 0;
        }
        "administered" if text(&record, "what") == FORGOTTEN => {
            forgotten.extend(text(&record, "detail").split_whitespace().map(str::to_owned));
        }
        "administered" if text(&record, "what") == LEFT_BEHIND => {
            left_behind.extend(text(&record, "detail").split_whitespace().map(str::to_owned));
        }
        _ => (),
    });
    read.map_err(|error| Failure::Io(journal.to_owned(), error))?;
    let mut report = Report::default();
    for (session, known) in &said {
        let Some(path) = crate::path(directory, session) else {
            report.faulty.push((directory.to_owned(), format!("\"{session}\" is no session's id")));
            continue;
        };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && forgotten.contains(session) => {
                report.forgotten += 1;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && left_behind.contains(session) => {
                report.left_behind.push(session.clone());
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                report.faulty.push((path, "it is gone, and the journal does not say why".to_owned()));
                continue;
            }
            Err(error) => return Err(Failure::Io(path, error)),
        };
        if let Err(why) = check(session, known, &bytes) {
            report.faulty.push((path, why));
            continue;
        }
        if known.ended {
            report.whole += 1;
        } else {
            report.open.push(session.clone());
        }
        if known.lost {
            report.lossy.push(session.clone());
        }
    }
    strangers(directory, &said, &mut report)?;
    Ok(report)
}

fn check(session: &str, said: &Said, bytes: &[u8]) -> Result<(), String> {
    let head = Head::read(bytes).ok_or("its beginning is not a recording's")?;
    if head.session != session {
        return Err(format!("it is that of session {}", head.session));
    }
    let mut chain = Chain::begin(head.whole);
    let mut rest = bytes.get(head.whole.len()..).unwrap_or_default();
    for (blocks, length, digest) in &said.marks {
        while chain.blocks < *blocks {
            let (block, behind) = split(rest).ok_or_else(|| {
                format!("it has {} blocks, and the journal knows {blocks}: it was cut short", chain.blocks)
            })?;
            chain = chain.then(block);
            rest = behind;
        }
        if (chain.blocks, chain.bytes) != (*blocks, *length) || hex::encode(chain.hash) != *digest {
            return Err(format!("its first {blocks} blocks are not those that the journal knows"));
        }
    }
    if said.ended && !rest.is_empty() {
        return Err(format!("there are {} bytes behind its end", rest.len()));
    }
    Ok(())
}

/// A recording that the journal knows nothing of was not made by this gateway; one that is just being begun has no block yet.
fn strangers(directory: &Path, said: &BTreeMap<String, Said>, report: &mut Report) -> Result<(), Failure> {
    let fault = |error| Failure::Io(directory.to_owned(), error);
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(fault)?,
    };
    for entry in entries {
        let path = entry.map_err(fault)?.path();
        let Some(session) = crate::session_of(&path).filter(|session| !said.contains_key(*session)) else {
            continue;
        };
        let bytes = std::fs::read(&path).map_err(|error| Failure::Io(path.clone(), error))?;
        let begun = Head::read(&bytes).is_some_and(|head| {
            head.session == session && split(bytes.get(head.whole.len()..).unwrap_or_default()).is_none()
        });
        if !begun {
            report.faulty.push((path, "the journal knows nothing of it".to_owned()));
        }
    }
    Ok(())
}

fn text<'a>(record: &'a Value, name: &str) -> &'a str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
}
