//! The session's side: what happens is put down in memory, and the writer comes for it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use aws_lc_rs::digest;
use journal::record::Fields;

use crate::event::{Event, What, write_allowed};
use crate::output::Output;
use crate::writer::Shared;

/// The writer is woken at once for a session with so many bytes.
const MUCH: usize = 256 * 1024;
/// A session with so many bytes waits for the writer, or loses what comes then.
pub(crate) const MOST: usize = 1024 * 1024;
/// Of so many operations it is remembered how much of their answers is kept.
const REMEMBERED: usize = 8;

/// What becomes of a session whose recording cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It waits for the writer, and ends where that cannot write.
    Required,
    /// It goes on, and the recording says what it lost.
    BestEffort,
}

/// The recording cannot be written; the words are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the recording cannot be written: {0}")]
pub struct Down(pub String);

/// What a session begins with.
pub struct Began<'a> {
    /// Its id.
    pub session: &'a str,
    /// What becomes of it where its recording cannot be written.
    pub mode: Mode,
    /// Who, on what, when: a JSON object.
    pub words: &'a [u8],
}

/// A piece of an answer.
pub enum Piece<'a> {
    /// How the rows that follow are to be read.
    Shape(u64, &'a [u8]),
    /// Bytes of the answer to an operation, or to none (0).
    Bytes(u64, &'a [u8]),
}

pub(crate) struct Inner {
    pub id: String,
    pub mode: Mode,
    pub pending: Mutex<Pending>,
    /// The writer's alone.
    pub output: Mutex<Output>,
}

#[derive(Default)]
pub(crate) struct Pending {
    pub events: Vec<u8>,
    pub count: u64,
    /// What was lost since the recording last said so.
    pub lost: (u64, u64),
    /// All that was ever lost, in events.
    pub lost_ever: u64,
    pub ended: bool,
    /// It stands in the writer's list.
    pub listed: bool,
    pub failed: Option<String>,
    /// When something was put down last.
    pub last: u64,
    pub waker: Option<Waker>,
}

impl Inner {
    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The recording of a live session. When it is dropped, the recording has ended.
pub struct Tape {
    inner: Arc<Inner>,
    shared: Arc<Shared>,
    begun: Instant,
    /// So much of an operation's answer is kept, in bytes.
    keeps: usize,
    /// The operation that is answered now.
    answering: Answering,
    /// How much is kept already of the last ones.
    kept: VecDeque<(u64, usize)>,
}

#[derive(Default)]
struct Answering {
    n: u64,
    kept: usize,
    /// What is beyond that.
    rest: Option<(digest::Context, u64)>,
}

impl Tape {
    pub(crate) fn new(inner: Arc<Inner>, shared: Arc<Shared>, keeps: usize, words: &[u8]) -> Self {
        let mut this = Self {
            inner,
            shared,
            begun: Instant::now(),
            keeps,
            answering: Answering::default(),
            kept: VecDeque::new(),
        };
        this.put(0, What::Began(words));
        this
    }

    /// An operation that is allowed: fields are those of its record.
    pub fn allowed(&mut self, n: u64, phase: &str, operation: &Fields, permit: &Fields) {
        let fields = [operation.as_bytes(), permit.as_bytes()];
        self.push(|out, at| write_allowed(out, at, n, phase, fields));
    }

    /// Something that happened.
    pub fn put(&mut self, n: u64, what: What<'_>) {
        self.push(|out, at| Event { at, n, what }.write(out));
    }

    /// Something of which there may be much.
    pub fn answer(&mut self, piece: &Piece<'_>) {
        match *piece {
            Piece::Shape(n, shape) => {
                self.turn_to(n);
                if self.answering.kept < self.keeps {
                    self.put(n, What::Shape(shape));
                }
            }
            Piece::Bytes(n, bytes) => {
                self.turn_to(n);
                let room = self.keeps.saturating_sub(self.answering.kept);
                let (kept, rest) = bytes.split_at(bytes.len().min(room));
                if !kept.is_empty() {
                    self.answering.kept += kept.len();
                    self.put(n, What::Answer(kept));
                }
                if !rest.is_empty() {
                    let new = || (digest::Context::new(&digest::SHA256), 0);
                    let (context, bytes) = self.answering.rest.get_or_insert_with(new);
                    context.update(rest);
                    *bytes += crate::chain::wide(rest.len());
                }
            }
        }
    }

    /// How an operation ended.
    pub fn outcome(&mut self, n: u64, rows: u64, duration: u64, sqlstate: &str) {
        if self.answering.n == n {
            self.finish_rest();
        }
        self.put(n, What::Outcome { rows, duration, sqlstate: sqlstate.as_bytes() });
    }

    /// The session ends.
    pub fn end(&mut self, words: &[u8]) {
        self.finish_rest();
        self.put(0, What::Ended(words));
    }

    /// Whether it takes more at once. Where it does not, [`Self::room`] says when, or why not.
    pub fn has_room(&self) -> bool {
        let pending = self.inner.pending();
        self.inner.mode == Mode::BestEffort || pending.failed.is_none() && pending.events.len() <= MOST
    }

    /// Resolves when there is room for more. Cancel-safe.
    pub fn room(&self) -> Room<'_> {
        Room(&self.inner)
    }

    fn turn_to(&mut self, n: u64) {
        if self.answering.n == n {
            return;
        }
        self.finish_rest();
        let Answering { n: before, kept, rest: _ } = self.answering;
        if before != 0 {
            if self.kept.len() >= REMEMBERED {
                self.kept.pop_front();
            }
            self.kept.push_back((before, kept));
        }
        let at = self.kept.iter().position(|(known, _)| *known == n);
        let kept = at.and_then(|at| self.kept.remove(at)).map_or(0, |(_, kept)| kept);
        self.answering = Answering { n, kept, rest: None };
    }

    fn finish_rest(&mut self) {
        if let Some((context, bytes)) = self.answering.rest.take() {
            let digest = context.finish().as_ref().first_chunk().copied().unwrap_or_default();
            self.put(self.answering.n, What::Rest { bytes, digest });
        }
    }

    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>, u64)) {
        let at = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut pending = self.inner.pending();
        pending.last = at;
        let before = pending.events.len();
        if before > MOST && self.inner.mode == Mode::BestEffort {
            // What it would have taken is known only once it is written.
            write(&mut pending.events, at);
            let bytes = crate::chain::wide(pending.events.len() - before);
            pending.events.truncate(before);
            pending.lose(1, bytes);
            return;
        }
        pending.tell_lost();
        write(&mut pending.events, at);
        pending.count += 1;
        let is_new = !std::mem::replace(&mut pending.listed, true);
        let is_much = before <= MUCH && pending.events.len() > MUCH;
        drop(pending);
        if is_new || is_much {
            self.shared.list(is_new.then(|| Arc::clone(&self.inner)), is_much);
        }
    }
}

impl Pending {
    /// What was lost is said in its place.
    pub(crate) fn tell_lost(&mut self) {
        if self.lost != (0, 0) {
            let (events, bytes) = std::mem::take(&mut self.lost);
            Event { at: self.last, n: 0, what: What::Lost { events, bytes } }.write(&mut self.events);
        }
    }

    pub(crate) fn lose(&mut self, events: u64, bytes: u64) {
        self.lost.0 += events;
        self.lost.1 += bytes;
        self.lost_ever += events;
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        self.finish_rest();
        let mut pending = self.inner.pending();
        pending.ended = true;
        let is_new = !std::mem::replace(&mut pending.listed, true);
        drop(pending);
        if is_new {
            self.shared.list(Some(Arc::clone(&self.inner)), false);
        }
    }
}

/// Resolves when there is room for more.
pub struct Room<'a>(&'a Inner);

impl Future for Room<'_> {
    type Output = Result<(), Down>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0.mode == Mode::BestEffort {
            return Poll::Ready(Ok(()));
        }
        let mut pending = self.0.pending();
        if let Some(why) = &pending.failed {
            return Poll::Ready(Err(Down(why.clone())));
        }
        if pending.events.len() <= MOST {
            return Poll::Ready(Ok(()));
        }
        pending.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
impl Tape {
    pub(crate) fn inner_failed(&self) -> bool {
        self.inner.pending().failed.is_some()
    }

    pub(crate) fn inner_lost(&self) -> u64 {
        self.inner.pending().lost_ever
    }
}
