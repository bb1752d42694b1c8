//! Opening: one writer, a torn end put aside, the chain taken up where it stopped.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
use crate::line;
use crate::log::{Disk, Journal, NewSegment, Options, Tip, segment_name};
use crate::record::Body;

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes it.
    #[error("another gateway has the journal in {0} open")]
    Taken(PathBuf),
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// A record in the middle is not what it was.
    #[error("{file}:{line}: {why}; nothing is written behind a journal that does not verify")]
    Broken {
        /// The segment.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// What does not match.
        why: &'static str,
    },
    /// What was mended cannot be noted.
    #[error(transparent)]
    Down(#[from] crate::Down),
}

/// Where the chain stands at the end of a segment.
struct End {
    seq: u64,
    hash: line::Hash,
    length: usize,
    torn: usize,
    /// When its last record was written, in seconds since 1970.
    time: Option<i64>,
}

pub(crate) fn open(directory: &Path, options: Options) -> Result<Journal, OpenError> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::Io(path, error)
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(fault(directory))?;
    let lock_path = directory.join("lock");
    let lock = file(&lock_path).map_err(fault(&lock_path))?;
    lock.try_lock().map_err(|_| OpenError::Taken(directory.to_owned()))?;

    let mut end = End { seq: 0, hash: line::GENESIS, length: 0, torn: 0, time: None };
    let mut last = 1;
    let mut mended = None;
    // A segment can be empty where a crash came between its making and its first record.
    for segment in crate::read::segments(directory).map_err(fault(directory))?.into_iter().rev() {
        let path = directory.join(segment_name(segment));
        last = last.max(segment);
        let bytes = fs::read(&path).map_err(fault(&path))?;
        let found = scan(&path, &bytes)?;
        if found.torn > 0 {
            let aside = put_aside(&path, &bytes, &found).map_err(fault(&path))?;
            let recovered = Body::Recovered {
                segment: segment_name(segment).display().to_string(),
                bytes: u64::try_from(found.torn).unwrap_or(u64::MAX),
            };
            mended = Some((recovered, aside));
        }
        let empty = found.length == 0;
        end =
            if segment == last { End { length: found.length, ..found } } else { End { length: 0, ..found } };
        if !empty {
            break;
        }
        end.hash = line::GENESIS;
    }
    let path = directory.join(segment_name(last));
    let disk: Arc<dyn Disk> = Arc::new(file(&path).map_err(fault(&path))?);
    sync_directory(directory).map_err(fault(directory))?;
    let tip = Tip {
        disk,
        segment: last,
        length: u64::try_from(end.length).unwrap_or(u64::MAX),
        seq: end.seq,
        hash: end.hash,
        clock: Clock::default(),
        distrusted: false,
        pending: Vec::new(),
        waiting: 0,
    };
    let home = directory.to_owned();
    let new_segment: NewSegment = Box::new(move |segment| {
        let made = file(&home.join(segment_name(segment)))?;
        sync_directory(&home)?;
        Ok(Arc::new(made))
    });
    let journal = Journal::over(lock, tip, options, new_segment, directory).map_err(fault(directory))?;
    if let Some(time) = end.time {
        journal.note_before(time);
    }
    if let Some((recovered, aside)) = mended {
        journal.append(&recovered)?;
        journal.note_torn(aside);
    }
    Ok(journal)
}

/// Opens a file for appending, for the owner alone.
fn file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn scan(path: &Path, bytes: &[u8]) -> Result<End, OpenError> {
    let mut end = End { seq: 0, hash: line::GENESIS, length: 0, torn: 0, time: None };
    let mut first = true;
    let mut last = None;
    for (index, whole) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let is_last = end.length + whole.len() == bytes.len();
        let broken = |why| OpenError::Broken { file: path.to_owned(), line: index + 1, why };
        let Some(text) = whole.strip_suffix(b"\n") else {
            end.torn = whole.len();
            break;
        };
        let said = match line::read(text) {
            Ok(said) => said,
            // What a crash of the machine left of the last line can be anything.
            Err(_) if is_last => {
                end.torn = whole.len();
                break;
            }
            Err(why) => return Err(broken(why)),
        };
        if !first && (said.prev != end.hash || said.seq != end.seq + 1) {
            return Err(broken("the record does not follow the one before it"));
        }
        first = false;
        (end.seq, end.hash) = (said.seq, said.hash);
        end.length += whole.len();
        last = Some(said.value);
    }
    let time = last.as_ref().and_then(|value| value.get("time")?.as_str()?.parse::<jiff::Timestamp>().ok());
    end.time = time.map(jiff::Timestamp::as_second);
    Ok(end)
}

/// The torn end is kept beside the segment: it may be all that is left of a record.
fn put_aside(path: &Path, bytes: &[u8], end: &End) -> io::Result<PathBuf> {
    let aside = path.with_extension(format!("torn-{}", end.length));
    let kept = file(&aside)?;
    kept.write_all(bytes.get(end.length..).unwrap_or_default())?;
    kept.sync_all()?;
    let segment = OpenOptions::new().write(true).open(path)?;
    segment.set_len(u64::try_from(end.length).unwrap_or(u64::MAX))?;
    segment.sync_all()?;
    Ok(aside)
}
