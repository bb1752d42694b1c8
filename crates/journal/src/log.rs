//! Appending. A record is written by the thread that has it; a group shares an fsync.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use crate::clock::Clock;
use crate::line::{self, Place};
use crate::record::{Body, Fields};
use crate::sync::{self, Progress, Synced};

/// Bounds of a journal.
#[derive(Debug, Clone)]
pub struct Options {
    /// A segment that is longer is followed by a new one, in bytes.
    pub segment: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment: 64 * 1024 * 1024 }
    }
}

/// Where a record stands in the journal: its sequence number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub(crate) u64);

/// The journal cannot be written now; the words are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Down(pub(crate) String);

/// A segment's file, as far as it can fail.
pub(crate) trait Disk: Send + Sync {
    fn write_all(&self, bytes: &[u8]) -> io::Result<()>;
    fn truncate(&self, length: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

impl Disk for File {
    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        Write::write_all(&mut file, bytes)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Makes the file of a segment that does not exist yet.
pub(crate) type NewSegment = Box<dyn Fn(u64) -> io::Result<Arc<dyn Disk>> + Send + Sync>;

pub(crate) struct Tip {
    pub disk: Arc<dyn Disk>,
    pub segment: u64,
    /// Whole records in the current segment, in bytes.
    pub length: u64,
    pub seq: u64,
    pub hash: line::Hash,
    pub clock: Clock,
    /// Whole records that are not in the file yet. Sequence and hash count them already.
    pub pending: Vec<u8>,
    /// How many they are.
    pub waiting: u64,
    /// The current file may hold what is not known: the next record begins a new segment.
    pub distrusted: bool,
}

/// So many bytes of records wait at most.
const MOST_PENDING: usize = 64 * 1024;

pub(crate) struct Shared {
    tip: Mutex<Tip>,
    /// Records up to here are in the file.
    written: AtomicU64,
    /// Why it could not be written or made safe lately.
    failed: Mutex<Option<Down>>,
    progress: Mutex<Progress>,
    pub wake: Condvar,
    options: Options,
    new_segment: NewSegment,
    directory: PathBuf,
    /// Where the torn end is that was put aside when it was opened.
    pub torn: OnceLock<PathBuf>,
    /// When the last record was written that was there when it was opened, in seconds since 1970.
    pub before: OnceLock<i64>,
    /// Held while the journal is open, so that there is one writer.
    _lock: File,
}

impl Shared {
    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tip(&self) -> MutexGuard<'_, Tip> {
        self.tip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what waits, and says how far the file is.
    pub(crate) fn written(&self) -> (Arc<dyn Disk>, u64) {
        let mut tip = self.tip();
        // What cannot be written goes on waiting; whoever needs a record written is told so.
        let _ = self.flush(&mut tip);
        (Arc::clone(&tip.disk), tip.seq - tip.waiting)
    }

    pub(crate) fn distrust(&self) {
        self.tip().distrusted = true;
    }

    /// Where and why something failed.
    pub(crate) fn down(&self, what: &str, error: &io::Error) -> Down {
        Down(format!("cannot {what} {}: {error}", self.directory.display()))
    }

    /// Why it could not be written or made safe lately; `None` while all is well.
    pub(crate) fn failed(&self) -> MutexGuard<'_, Option<Down>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever asks whether a failed journal works again finds out by writing to it.
    pub(crate) fn try_again(&self) -> Result<(), Down> {
        let Some(Down(after)) = self.failed().clone() else { return Ok(()) };
        self.append(None, &Body::Resumed { after }, &[], true).map(|_| ())
    }

    /// Appends a record, and those that wait before it, unless it may wait itself.
    fn append(
        &self,
        session: Option<(&[u8], u64)>,
        body: &Body<'_>,
        shared: &[&Fields],
        now: bool,
    ) -> Result<Position, Down> {
        let mut locked = self.tip();
        let tip = &mut *locked;
        let seq = tip.seq + 1;
        let before = tip.pending.len();
        let place = Place { seq, time: tip.clock.now(), session, prev: &tip.hash };
        let hash = match line::write(&mut tip.pending, &place, body, shared) {
            Ok(hash) => std::mem::replace(&mut tip.hash, hash),
            Err(error) => {
                tip.pending.truncate(before);
                return Err(Down(error.to_string()));
            }
        };
        tip.seq = seq;
        tip.waiting += 1;
        let full = tip.pending.len() > MOST_PENDING;
        if (now || full)
            && let Err(down) = self.flush(tip)
        {
            // This record was never there; those before it go on waiting.
            tip.pending.truncate(before);
            tip.seq = seq - 1;
            tip.hash = hash;
            tip.waiting -= 1;
            return Err(down);
        }
        Ok(Position(seq))
    }

    /// Writes what waits.
    fn flush(&self, tip: &mut Tip) -> Result<(), Down> {
        let flushed = self.flush_to_file(tip);
        if let Err(down) = &flushed {
            self.failed().get_or_insert_with(|| down.clone());
        }
        flushed
    }

    fn flush_to_file(&self, tip: &mut Tip) -> Result<(), Down> {
        if tip.pending.is_empty() {
            return Ok(());
        }
        if tip.distrusted || tip.length >= self.options.segment {
            self.next_segment(tip)?;
        }
        if let Err(error) = tip.disk.write_all(&tip.pending) {
            // A part of a line may be there; without it the next record can stand in its place.
            tip.distrusted = tip.disk.truncate(tip.length).is_err();
            return Err(self.down("write to", &error));
        }
        tip.length = tip.length.saturating_add(u64::try_from(tip.pending.len()).unwrap_or(u64::MAX));
        tip.pending.clear();
        tip.waiting = 0;
        self.written.store(tip.seq, Ordering::Release);
        Ok(())
    }

    /// The segment that ends is on disk before the next one begins, so that there is never a hole.
    fn next_segment(&self, tip: &mut Tip) -> Result<(), Down> {
        if !tip.distrusted {
            tip.disk.sync().map_err(|e| self.down("sync", &e))?;
        }
        let segment = tip.segment + 1;
        tip.disk = (self.new_segment)(segment).map_err(|e| self.down("begin a segment in", &e))?;
        tip.segment = segment;
        tip.length = 0;
        tip.distrusted = false;
        Ok(())
    }
}

/// An open journal. Clones share it.
#[derive(Clone)]
pub struct Journal(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.progress().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Journal {
    /// Opens the journal in a directory, which is made where it is not there, and mends a torn end.
    ///
    /// # Errors
    /// Another process has it open, it cannot be read or written, or its last segment does not verify.
    pub fn open(directory: &Path, options: Options) -> Result<Self, crate::OpenError> {
        crate::open::open(directory, options)
    }

    pub(crate) fn over(
        lock: File,
        tip: Tip,
        options: Options,
        new_segment: NewSegment,
        directory: &Path,
    ) -> io::Result<Self> {
        let durable = tip.seq;
        let shared = Arc::new(Shared {
            tip: Mutex::new(tip),
            written: AtomicU64::new(durable),
            failed: Mutex::default(),
            progress: Mutex::new(Progress { durable, ..Progress::default() }),
            wake: Condvar::new(),
            options,
            new_segment,
            directory: directory.to_owned(),
            torn: OnceLock::new(),
            before: OnceLock::new(),
            _lock: lock,
        });
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name("journal".to_owned()).spawn(move || sync::run(&shared))?
        };
        Ok(Self(Arc::new(Handle { shared, thread: Some(thread) })))
    }

    /// The log of one session.
    pub fn session(&self, id: &str) -> SessionLog {
        SessionLog { journal: self.clone(), head: line::session(id), n: 0 }
    }

    /// Appends a record that belongs to no session. When it returns, the record survives a crash of this process.
    ///
    /// # Errors
    /// It cannot be written; the next one may.
    pub fn append(&self, body: &Body<'_>) -> Result<Position, Down> {
        self.0.shared.append(None, body, &[], true)
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.0.shared.directory
    }

    /// Where the end is that a crash left torn, which was put aside when this was opened.
    pub fn torn(&self) -> Option<&Path> {
        self.0.shared.torn.get().map(PathBuf::as_path)
    }

    /// When the last record was written that was there when this was opened, in seconds since 1970.
    pub fn before(&self) -> Option<i64> {
        self.0.shared.before.get().copied()
    }

    pub(crate) fn note_before(&self, time: i64) {
        // Said once, by whoever opened it.
        let _ = self.0.shared.before.set(time);
    }

    pub(crate) fn note_torn(&self, aside: PathBuf) {
        // Said once, by whoever opened it.
        let _ = self.0.shared.torn.set(aside);
    }

    /// Writes all records that wait, for whoever reads the files.
    ///
    /// # Errors
    /// They cannot be written; they go on waiting.
    pub fn write_all(&self) -> Result<(), Down> {
        self.0.shared.flush(&mut self.0.shared.tip())
    }

    /// Whether all is well. What failed is tried again all the time, and is well when it was written and is on disk.
    pub fn is_up(&self) -> bool {
        self.0.shared.failed().is_none()
    }

    /// How many records are not on disk yet.
    pub fn lag(&self) -> u64 {
        let appended = self.0.shared.tip().seq;
        appended.saturating_sub(self.0.shared.progress().durable)
    }

    /// Whether a record is in the file, so that it survives a crash of this process.
    pub fn is_written(&self, Position(position): Position) -> bool {
        self.0.shared.written.load(Ordering::Acquire) >= position
    }

    /// Writes a record that was appended to be written soon, and all that wait before and behind it.
    ///
    /// # Errors
    /// They cannot be written; they go on waiting.
    pub fn write(&self, position: Position) -> Result<(), Down> {
        if self.is_written(position) {
            return Ok(());
        }
        self.0.shared.flush(&mut self.0.shared.tip())
    }

    /// Resolves when a record survives a crash of the machine, too.
    pub fn synced(&self, position: Position) -> Synced {
        Synced::new(Arc::clone(&self.0.shared), position)
    }
}

/// The records of one session, numbered from 1 without gaps.
pub struct SessionLog {
    journal: Journal,
    /// The session's id as it stands in each of its lines.
    head: Box<[u8]>,
    n: u64,
}

impl SessionLog {
    /// Appends a record with fields that it shares with others. When it returns, the record survives a crash of this process.
    ///
    /// # Errors
    /// It cannot be written; the next one may.
    pub fn append(&mut self, body: &Body<'_>, shared: &[&Fields]) -> Result<Position, Down> {
        self.write(body, shared, true)
    }

    /// Appends a record that is written with others: with the next one, when [`Journal::write`] is called for one of them,
    /// at the latest a moment later. Until then a crash of this process may lose it, and nothing behind it.
    ///
    /// # Errors
    /// Too much waits already and it cannot be written.
    pub fn append_soon(&mut self, body: &Body<'_>, shared: &[&Fields]) -> Result<Position, Down> {
        self.write(body, shared, false)
    }

    fn write(&mut self, body: &Body<'_>, shared: &[&Fields], now: bool) -> Result<Position, Down> {
        let position = self.journal.0.shared.append(Some((&self.head, self.n + 1)), body, shared, now)?;
        self.n += 1;
        Ok(position)
    }
}

/// The name of a segment's file.
pub(crate) fn segment_name(segment: u64) -> PathBuf {
    PathBuf::from(format!("journal-{segment:06}.jsonl"))
}
