//! The thread that writes what sessions put down, and has the journal say how far their recordings are.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use journal::Journal;
use journal::record::Body;

use crate::output::{Disk, Files, Output};
use crate::seal::Key;
use crate::tape::{Began, Down, Inner, Mode, Pending, Tape};

/// What a session puts down is written after this long; until then a crash of the process may lose it.
const SOON: Duration = Duration::from_millis(250);
/// The journal says how far a recording is after this long at the latest, or after so many blocks.
const SAID_AFTER: Duration = Duration::from_secs(1);
const SAID_BLOCKS: u64 = 16;

/// What a recorder is started with.
pub struct Options {
    /// Where recordings are. It is made where it is not there.
    pub directory: PathBuf,
    /// What wraps the sessions' keys.
    pub key: Key,
    /// So much of one operation's answer is kept, in bytes.
    pub keeps: usize,
}

pub(crate) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    journal: Journal,
    disk: Box<dyn Disk>,
    key: Key,
    directory: PathBuf,
    keeps: AtomicUsize,
    /// Sessions whose recordings are being written.
    open: Mutex<HashSet<String>>,
    written: AtomicU64,
    lost: AtomicU64,
}

#[derive(Default)]
struct Queue {
    /// Those that have put something down.
    listed: Vec<Arc<Inner>>,
    /// The thread sleeps until it is woken.
    asleep: bool,
    /// Somebody has much.
    urgent: bool,
    stop: bool,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashSet<String>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn list(&self, tape: Option<Arc<Inner>>, urgent: bool) {
        let mut queue = self.queue();
        queue.listed.extend(tape);
        queue.urgent |= urgent;
        if queue.asleep || urgent {
            self.wake.notify_one();
        }
    }
}

/// Records sessions. Clones share it.
#[derive(Clone)]
pub struct Recorder(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Handle {
    fn finish(&self) {
        self.shared.queue().stop = true;
        self.shared.wake.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Recorder {
    /// Starts the thread.
    ///
    /// # Errors
    /// The directory cannot be made, or there is no thread.
    pub fn start(options: Options, journal: Journal) -> io::Result<Self> {
        Self::over(Box::new(Files), options, journal)
    }

    pub(crate) fn over(disk: Box<dyn Disk>, options: Options, journal: Journal) -> io::Result<Self> {
        let Options { directory, key, keeps } = options;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            journal,
            disk,
            key,
            directory,
            keeps: AtomicUsize::new(keeps),
            open: Mutex::default(),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name("recordings".to_owned()).spawn(move || run(&shared))?
        };
        Ok(Self(Arc::new(Handle { shared, thread: Mutex::new(Some(thread)) })))
    }

    /// Begins the recording of a session: its file is there when this returns.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn begin(&self, began: &Began<'_>) -> Result<Tape, Down> {
        let Began { session, mode, words } = *began;
        let shared = &self.0.shared;
        let path =
            crate::path(&shared.directory, session).ok_or_else(|| Down("no session's id".to_owned()))?;
        let output = Output::create(&*shared.disk, path, &shared.key, session)
            .map_err(|error| Down(error.to_string()))?;
        shared.open().insert(session.to_owned());
        let inner =
            Inner { id: session.to_owned(), mode, pending: Mutex::default(), output: Mutex::new(output) };
        let keeps = shared.keeps.load(Ordering::Relaxed);
        Ok(Tape::new(Arc::new(inner), Arc::clone(shared), keeps, words))
    }

    /// Of sessions that begin from now on so much of one operation's answer is kept, in bytes.
    pub fn keep(&self, bytes: usize) {
        self.0.shared.keeps.store(bytes, Ordering::Relaxed);
    }

    /// Whether more may come of a session's recording.
    pub fn is_open(&self, session: &str) -> bool {
        self.0.shared.open().contains(session)
    }

    /// Where recordings are.
    pub fn directory(&self) -> &Path {
        &self.0.shared.directory
    }

    /// The key that opens recordings.
    pub fn key(&self) -> &Key {
        &self.0.shared.key
    }

    /// Bytes written and events lost since it was started.
    pub fn counts(&self) -> (u64, u64) {
        let shared = &self.0.shared;
        (shared.written.load(Ordering::Relaxed), shared.lost.load(Ordering::Relaxed))
    }

    /// Writes what is there and ends: nothing is written after it.
    pub fn finish(&self) {
        self.0.finish();
    }
}

/// A recording of which the journal does not know all.
struct Unsaid {
    tape: Arc<Inner>,
    /// Since when, and since which block.
    since: Instant,
    block: u64,
    ended: bool,
}

fn run(shared: &Shared) {
    let mut unsaid: Vec<Unsaid> = Vec::new();
    loop {
        let (listed, stop) = await_work(shared, !unsaid.is_empty());
        for tape in listed {
            let (ended, is_first) = write(shared, &tape);
            if ended {
                shared.open().remove(&tape.id);
            }
            match unsaid.iter_mut().find(|u| Arc::ptr_eq(&u.tape, &tape)) {
                Some(known) => known.ended |= ended,
                None => {
                    let block = tape.output().chain.blocks;
                    // That there is a recording is said at once.
                    let since = Instant::now();
                    let since = if is_first { since.checked_sub(SAID_AFTER).unwrap_or(since) } else { since };
                    unsaid.push(Unsaid { tape, since, block, ended });
                }
            }
        }
        unsaid.retain(|u| !(is_due(u) || stop) || !say(shared, u));
        if stop && shared.queue().listed.is_empty() {
            return;
        }
    }
}

/// Sleeps until somebody has put something down, and a moment longer, so that others can.
fn await_work(shared: &Shared, unsaid: bool) -> (Vec<Arc<Inner>>, bool) {
    let mut queue = shared.queue();
    let unwoken = |q: &mut Queue| q.listed.is_empty() && !q.stop;
    if unsaid {
        // The journal is to be told of what is written, whether more comes or not.
        queue.asleep = true;
        queue =
            shared.wake.wait_timeout_while(queue, SOON, unwoken).unwrap_or_else(PoisonError::into_inner).0;
    } else {
        queue.asleep = true;
        queue = shared.wake.wait_while(queue, unwoken).unwrap_or_else(PoisonError::into_inner);
    }
    queue.asleep = false;
    if !queue.listed.is_empty() {
        let patient = |q: &mut Queue| !q.urgent && !q.stop;
        queue =
            shared.wake.wait_timeout_while(queue, SOON, patient).unwrap_or_else(PoisonError::into_inner).0;
    }
    queue.urgent = false;
    (std::mem::take(&mut queue.listed), queue.stop)
}

/// Writes what a session has put down. Whether it has ended, and whether this was its first block.
fn write(shared: &Shared, tape: &Inner) -> (bool, bool) {
    let (events, count, ended) = {
        let mut pending = tape.pending();
        pending.listed = false;
        if pending.ended {
            pending.tell_lost();
        }
        let count = std::mem::take(&mut pending.count);
        (std::mem::take(&mut pending.events), count, pending.ended)
    };
    let mut output = tape.output();
    let is_first = output.chain.blocks == 0;
    if events.is_empty() {
        return (ended, is_first);
    }
    let before = output.chain.bytes;
    let written = output.write(&*shared.disk, &events);
    shared.written.fetch_add(output.chain.bytes - before, Ordering::Relaxed);
    drop(output);
    let mut pending = tape.pending();
    if let Err(error) = written {
        pending.lose(count, crate::chain::wide(events.len()));
        shared.lost.fetch_add(count, Ordering::Relaxed);
        if pending.failed.is_none() {
            tracing::error!(session = tape.id, "a recording cannot be written: {error}");
        }
        pending.failed = Some(error.to_string());
    } else if tape.mode == Mode::BestEffort && pending.failed.take().is_some() {
        tracing::info!(session = tape.id, "the recording can be written again");
    }
    let Pending { waker, .. } = &mut *pending;
    if let Some(waker) = waker.take() {
        waker.wake();
    }
    (ended, is_first)
}

fn is_due(unsaid: &Unsaid) -> bool {
    let blocks = unsaid.tape.output().chain.blocks;
    unsaid.ended || unsaid.since.elapsed() >= SAID_AFTER || blocks.saturating_sub(unsaid.block) >= SAID_BLOCKS
}

/// Has the journal say how far a recording is; whether it did.
fn say(shared: &Shared, unsaid: &Unsaid) -> bool {
    let chain = unsaid.tape.output().chain;
    let body = Body::Recorded {
        recording: unsaid.tape.id.clone(),
        blocks: chain.blocks,
        bytes: chain.bytes,
        digest: hex::encode(chain.hash),
        lost: unsaid.tape.pending().lost_ever,
        ended: unsaid.ended,
    };
    // A journal that is down says so by itself; it is told again.
    shared.journal.append(&body).is_ok()
}
