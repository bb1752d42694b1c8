//! What is heard on either side of an open session: bytes become chunks for the client, and messages that mean something.

use std::sync::Arc;

use tokio::sync::Notify;
use wire::postgres::{backend, build};

use super::locks::{Judged, Locks};
use super::lookup::{About, Lookup};
use super::{PostgresSession, garbled_error};
use crate::audit::Owed;
use crate::configure::Freshness;
use crate::metrics::{Stage, Stages};
use crate::net::dial::UpstreamStream;
use crate::net::listen::ClientStream;
use crate::net::pump::{KEPT, Pump};
use crate::protocols::postgres::answers::{self, Answers, Heard, Passes};
use crate::protocols::postgres::chunk::{Chunk, ChunkKind};
use crate::protocols::postgres::conversation::{Conversation, Said};
use crate::protocols::postgres::expected::Expected;
use crate::protocols::postgres::garbled::Garbled;
use crate::protocols::postgres::own;
use crate::protocols::postgres::thinking::{Thinking, Thoughtful};
use crate::spine::{Event, Stop};
use crate::targets::Target;
use crate::traces::{Moment, Understood};

/// The longest Query, Parse or Bind, in bytes: it is kept in memory whole.
const LONGEST_STATEMENT: usize = 64 * 1024 * 1024;
/// A chunk is handed on when it has this many bytes.
const CHUNK: usize = 64 * 1024;

/// Both sockets and the conversation between them.
pub(in crate::protocols::postgres) struct Open {
    pub(super) target: Arc<Target>,
    pub(super) pump: Pump<ClientStream, UpstreamStream>,
    pub(super) conversation: Conversation,
    pub(super) answers: Answers,
    /// Bytes of a message of the server's that are passed on as they come.
    passing: usize,
    /// Bytes of a message of the server's that are left out.
    leaving_out: usize,
    /// Bytes of a message of the client's that are relayed as they come.
    relaying: usize,
    /// Bytes of a message of the client's that was refused for its length.
    discarding: usize,
    /// What our statement in flight is for.
    pub(super) asking: Option<own::Purpose>,
    /// It was sent before any message of the client's needed it.
    ahead: bool,
    /// What our statement failed to learn: told when the client's message is looked at again.
    ask_failed: Option<Garbled>,
    /// Rows that came behind messages that are handed on first.
    stash: Option<Chunk>,
    /// The decision on the operation that the last bytes answered.
    pub(super) answering: u64,
    /// The memory of the last chunk, for the next one.
    spare: Vec<u8>,
    /// What must be on disk before the outgoing bytes leave for the server.
    pub(super) owed: Owed,
    /// The client's next message waits until all before it are answered: its session carries out a plan.
    pub(super) one_by_one: bool,
    /// Each statement is judged by what its target holds once its tables are locked.
    pub(super) strict: bool,
    pub(super) locks: Locks,
    /// The client's next message waits for answers in flight.
    pub(super) waiting: bool,
    /// The text of the client's next message is read elsewhere.
    pub(super) thinking: Option<Thinking>,
    /// What is asked of the target elsewhere, for which the client's next message waits.
    pub(super) lookup: Option<Lookup>,
    /// Why the client's next message fails, as that came to nothing.
    pub(super) look_failed: Option<Garbled>,
    /// What the client's cancels wake.
    pub(super) cancel: Arc<Notify>,
    /// Whether an unresolved name was looked up again since the last message.
    retried: bool,
    pub(super) client_ended: bool,
    pub(super) upstream_ended: bool,
}

impl Open {
    pub(in crate::protocols::postgres) fn new(
        target: Arc<Target>,
        pump: Pump<ClientStream, UpstreamStream>,
        conversation: Conversation,
        answers: Answers,
        cancel: Arc<Notify>,
    ) -> Self {
        Self {
            strict: target.care.freshness == Freshness::Strict
                && !conversation.understanding.is_indifferent(),
            locks: Locks::default(),
            target,
            pump,
            conversation,
            answers,
            passing: 0,
            leaving_out: 0,
            relaying: 0,
            discarding: 0,
            asking: None,
            one_by_one: false,
            ahead: false,
            ask_failed: None,
            stash: None,
            answering: 0,
            spare: Vec::new(),
            owed: Owed::default(),
            waiting: false,
            thinking: None,
            lookup: None,
            look_failed: None,
            cancel,
            retried: false,
            client_ended: false,
            upstream_ended: false,
        }
    }

    /// Whether an operation is in flight or a transaction open.
    pub(super) fn is_busy(&self) -> bool {
        !self.conversation.is_idle()
    }

    /// The next piece of the target's answer, from what has been read already.
    pub(super) fn hear(&mut self) -> Result<Option<Chunk>, Stop> {
        let mut chunk = match self.stash.take() {
            Some(stashed) => stashed,
            None if !self.answers.released.is_empty() => {
                let bytes = std::mem::take(&mut self.answers.released);
                return Ok(Some(Chunk { answers: self.answering, ..Chunk::frames(bytes, 0) }));
            }
            None if self.pump.upstream.input.is_empty() => return Ok(None),
            None => {
                let mut bytes = std::mem::take(&mut self.spare);
                bytes.clear();
                bytes.reserve(self.pump.upstream.input.len().min(CHUNK));
                Chunk { answers: self.answering, ..Chunk::frames(bytes, 0) }
            }
        };
        while chunk.bytes.len() < CHUNK && !self.answers.pauses() {
            if self.leaving_out > 0 {
                let n = self.leaving_out.min(self.pump.upstream.input.len());
                if n == 0 {
                    break;
                }
                self.pump.upstream.input.consume(n);
                self.leaving_out -= n;
                continue;
            }
            if self.passing > 0 {
                let input = &mut self.pump.upstream.input;
                let n = self.passing.min(input.len());
                if n == 0 {
                    break;
                }
                if let Some(shape) = self.answers.shape.take() {
                    chunk.shape(shape);
                }
                chunk.bytes.extend_from_slice(input.filled().get(..n).unwrap_or_default());
                input.consume(n);
                self.passing -= n;
                continue;
            }
            let input = self.pump.upstream.input.filled();
            let frame = match wire::postgres::split(input, usize::MAX).map_err(upstream_fault)? {
                Some(frame) => frame,
                None => {
                    if !self.long_answer()? {
                        break;
                    }
                    continue;
                }
            };
            let is_row = matches!(frame.kind, b'D' | b'd');
            // The plan of the rows in hand is still in force only until the next message is dealt with.
            if !is_row && !matches!(chunk.kind, ChunkKind::Frames) {
                break;
            }
            let answers = self.conversation.expected.front().map_or(0, Expected::operation);
            let heard = self.answers.server(&mut self.conversation, &frame)?;
            let whole = frame.whole.len();
            if answers != self.answering && !matches!(heard, Heard::Swallow) {
                self.answering = answers;
                chunk.turn_to(answers);
            }
            match heard {
                Heard::Pass => chunk.bytes.extend_from_slice(frame.whole),
                Heard::Swallow => (),
                Heard::Instead(bytes) => chunk.bytes.extend_from_slice(&bytes),
                Heard::Cut(why) => return Err(self.cut(why)),
                Heard::TooMuch => return Err(self.too_long("the answer to a statement of the gateway's own")),
                Heard::Row => {
                    let kind = self.answers.row_kind();
                    let shape = self.answers.shape.take();
                    if kind == chunk.kind {
                        if let Some(shape) = shape {
                            chunk.shape(shape);
                        }
                        chunk.bytes.extend_from_slice(frame.whole);
                        chunk.rows += 1;
                    } else {
                        let mut rows = Chunk { answers, kind, ..Chunk::frames(Vec::new(), 1) };
                        if let Some(shape) = shape {
                            rows.shape(shape);
                        }
                        rows.bytes.extend_from_slice(frame.whole);
                        if chunk.bytes.is_empty() {
                            chunk = rows;
                        } else {
                            self.stash = Some(rows);
                        }
                    }
                }
            }
            self.pump.upstream.input.consume(whole);
            if self.stash.is_some() {
                break;
            }
        }
        if chunk.bytes.is_empty() {
            self.keep(chunk.bytes);
            return Ok(None);
        }
        Ok(Some(chunk))
    }

    /// Keeps the memory of a chunk for the next one, but not that of a large one: an idle session takes little.
    pub(super) fn keep(&mut self, bytes: Vec<u8>) {
        if bytes.capacity() <= KEPT {
            self.spare = bytes;
        }
    }

    /// Ends the session where a result cannot be shown: the server believes that it was.
    fn cut(&mut self, why: &'static str) -> Stop {
        self.pump.client.output.extend(&answers::cut(why));
        self.answers.fatal = true;
        Stop::Upstream(why.to_owned())
    }

    /// Ends the session where a message is longer than its kind may be: it is not kept in memory.
    fn too_long(&mut self, what: &'static str) -> Stop {
        self.pump.client.output.extend(&answers::too_long(what));
        self.answers.fatal = true;
        Stop::Upstream(format!("it is too long: {what}"))
    }

    /// Decides what becomes of a message that has not arrived whole: a long row is passed on as it comes, if nothing of it is masked,
    /// and all else has a bound. Whether it is passed on.
    fn long_answer(&mut self) -> Result<bool, Stop> {
        let input = self.pump.upstream.input.filled();
        let Some((kind, length)) = wire::postgres::header(input).map_err(upstream_fault)? else {
            return Ok(false);
        };
        if length <= CHUNK {
            return Ok(false);
        }
        if !matches!(kind, b'D' | b'd') || self.answers.is_own_row(&self.conversation) {
            if length > backend::longest(kind) {
                return Err(self.too_long("a message"));
            }
            return Ok(false);
        }
        match self.answers.passes_row(&mut self.conversation, length) {
            Ok(Passes::AsItComes) => {
                self.passing = length;
                return Ok(true);
            }
            Ok(Passes::LeftOut) => {
                self.leaving_out = length;
                return Ok(true);
            }
            Ok(Passes::No) => (),
            Err(why) => return Err(self.cut(why)),
        }
        if length > backend::longest(kind) {
            return Err(self.cut("a row is too long to be masked"));
        }
        Ok(false)
    }

    /// The client's next message that means something to the spine, from what has been read already.
    pub(super) fn listen(&mut self, stages: &Stages) -> Result<Option<Event<PostgresSession>>, Stop> {
        if let Some(garbled) = self.failed_look() {
            return Ok(Some(Event::Unreadable(garbled)));
        }
        self.waiting =
            self.asking.is_some() || self.thinking.is_some() || self.locks.asked || self.lookup.is_some();
        let behind =
            self.one_by_one && !self.conversation.expected.is_empty() || self.conversation.is_bounded();
        if self.conversation.expected.is_full() || self.conversation.is_settling() || behind {
            self.wait();
        }
        while !self.pump.upstream.is_full() && !self.waiting {
            if self.relaying > 0 || self.discarding > 0 {
                if !self.stream_on() {
                    return Ok(None);
                }
                continue;
            }
            let input = self.pump.client.input.filled();
            let frame = match wire::postgres::split(input, usize::MAX)? {
                Some(frame) => frame,
                None => match self.long_message()? {
                    Long::NotYet => return Ok(None),
                    Long::Streams => continue,
                    Long::Refused(garbled) => return Ok(Some(Event::Unreadable(garbled))),
                },
            };
            let whole = frame.whole.len();
            if self.locks.take_due() {
                self.look_failed = self.locks.take_failed();
                match self.failed_look() {
                    Some(garbled) => return Ok(Some(Event::Unreadable(garbled))),
                    None => self.look_up(About::Version),
                }
                return Ok(None);
            }
            if let Some(garbled) = self.ask_failed.take() {
                let garbled = garbled.in_place_of(&frame);
                self.pump.client.input.consume(whole);
                return Ok(Some(Event::Unreadable(garbled)));
            }
            let (begun, moment) = (stages.begin(Stage::Describe), Moment::now());
            let rest = input.get(whole..).unwrap_or_default();
            let said = self.conversation.client(&frame, rest)?;
            stages.end(Stage::Describe, begun);
            let event = match said {
                Said::Relay => {
                    self.pump.upstream.output.extend(frame.whole);
                    None
                }
                Said::RelayBehind(first) => {
                    self.pump.upstream.output.extend(&first);
                    self.pump.upstream.output.extend(frame.whole);
                    None
                }
                Said::Replace(bytes) => {
                    self.pump.upstream.output.extend(&bytes);
                    None
                }
                Said::Drop => None,
                Said::Wait => {
                    self.wait();
                    return Ok(None);
                }
                Said::Ask(purpose) => {
                    self.ask(purpose);
                    self.waiting = true;
                    return Ok(None);
                }
                Said::Think(thought) => {
                    self.thinking = Some(thought.begin());
                    self.waiting = true;
                    return Ok(None);
                }
                Said::Request(mut request) => {
                    if request.operation.unresolved() && !std::mem::replace(&mut self.retried, true) {
                        self.look_up(About::Name);
                        return Ok(None);
                    }
                    self.retried = false;
                    match self.is_fresh(&request, whole) {
                        Judged::Fresh => (),
                        Judged::Again => continue,
                        Judged::Wait => {
                            self.wait();
                            return Ok(None);
                        }
                        Judged::Never(garbled) => {
                            self.pump.client.input.consume(whole);
                            return Ok(Some(Event::Unreadable(garbled)));
                        }
                    }
                    request.understood = Understood::since(moment);
                    request.in_block = self.conversation.in_block();
                    Some(Event::Request(request))
                }
                Said::Garbled(garbled) => Some(Event::Unreadable(garbled)),
                Said::GarbledBefore(garbled) => return Ok(Some(Event::Unreadable(garbled))),
                Said::Answer(bytes) => {
                    self.pump.client.output.extend(&bytes);
                    None
                }
                Said::Quit => return Err(Stop::Done),
            };
            self.pump.client.input.consume(whole);
            if event.is_some() {
                return Ok(event);
            }
            // An approved portal runs, or what may return too much: what stands behind it waits.
            if self.conversation.is_settling() || self.conversation.is_bounded() {
                self.wait();
            }
        }
        Ok(None)
    }

    /// The client's next message waits for answers, which the server is told to send.
    pub(super) fn wait(&mut self) {
        if self.conversation.needs_flush() {
            build::flush(self.pump.upstream.output.tail());
        }
        self.waiting = true;
    }

    /// Moves on with a long message. Whether it is done.
    fn stream_on(&mut self) -> bool {
        let n = (self.relaying + self.discarding).min(self.pump.client.input.len());
        if self.relaying > 0 {
            let part = self.pump.client.input.filled().get(..n).unwrap_or_default();
            self.pump.upstream.output.extend(part);
            self.relaying -= n;
        } else {
            self.discarding -= n;
        }
        self.pump.client.input.consume(n);
        self.relaying + self.discarding == 0
    }

    /// Decides what becomes of a message that has not arrived whole: data of a COPY flows, statements have a limit.
    fn long_message(&mut self) -> Result<Long, Stop> {
        let Some((kind, length)) = wire::postgres::header(self.pump.client.input.filled())? else {
            return Ok(Long::NotYet);
        };
        if kind == b'd' && length > CHUNK {
            if self.conversation.takes_copy_data() {
                self.relaying = length;
            } else {
                self.discarding = length;
            }
            return Ok(Long::Streams);
        }
        if length <= LONGEST_STATEMENT {
            return Ok(Long::NotYet);
        }
        if !matches!(kind, b'Q' | b'P' | b'B' | b'F') {
            return Err(Stop::Violation("a message that is too long"));
        }
        self.discarding = length;
        Ok(Long::Refused(Garbled {
            code: "54000",
            message: format!(
                "a message of {length} bytes is more than the gateway takes ({LONGEST_STATEMENT})"
            ),
            kept: None,
            hint: Some("Load large values with COPY … FROM STDIN, or in parts.".to_owned()),
            position: None,
            simple: matches!(kind, b'Q' | b'F'),
            unnamed: false,
        }))
    }

    /// Asks how names are resolved before the client says anything.
    pub(in crate::protocols::postgres) fn ask_ahead(&mut self) {
        self.ask(own::Purpose::SessionFacts);
        self.ahead = true;
    }

    /// Sends a statement of our own. It ends the transaction of a lock first: once something has run in one without a Sync, newer
    /// servers commit no simple Query in it, and the client's next message may be one. What was locked is locked again behind it.
    fn ask(&mut self, purpose: own::Purpose) {
        self.unlock_for_now();
        let texts = self.conversation.understanding.questions(purpose);
        self.answers.ask_begun();
        self.conversation.ask(self.pump.upstream.output.tail(), &texts);
        self.asking = Some(purpose);
    }

    /// Learns from the answer to a statement of ours, once it is whole.
    pub(super) fn learn(&mut self, session: &str) {
        self.locked();
        let Some(purpose) = self.asking.filter(|_| !self.conversation.has_own()) else { return };
        self.asking = None;
        let ahead = std::mem::take(&mut self.ahead);
        let learned = match self.answers.own_failed.take() {
            Some(state) => Err(state),
            None => {
                self.conversation.understanding.learn(purpose, self.answers.take_results()).map_err(|why| {
                    tracing::warn!(session, why, "names of a session cannot be learnt");
                    "58000".to_owned()
                })
            }
        };
        match learned {
            Ok(certain) => {
                self.conversation.stale = !certain;
                if let Some(read_only) = self.conversation.understanding.read_only() {
                    self.conversation.guard.learned(read_only);
                }
            }
            // Nobody waits for it: the client's first statement asks again.
            Err(_) if ahead => (),
            Err(state) => {
                let garbled = could_not_learn(&state);
                if self.conversation.is_skipping() && !self.is_simple_next() {
                    self.pump.client.output.extend(&garbled_error(&garbled, None));
                    return;
                }
                if self.conversation.is_skipping() {
                    self.conversation.resume(self.pump.upstream.output.tail());
                }
                self.ask_failed = Some(garbled);
            }
        }
    }
}

impl Open {
    /// Whether the client's next message is answered with a ReadyForQuery of its own.
    pub(super) fn is_simple_next(&self) -> bool {
        let input = self.pump.client.input.filled();
        matches!(wire::postgres::header(input), Ok(Some((b'Q' | b'F', _))))
    }
}

/// What came of a text that is read elsewhere, once it is read. Cancel-safe.
pub(super) async fn read_elsewhere(thinking: &mut Option<Thinking>) -> Thoughtful {
    match thinking {
        Some(thinking) => thinking.result().await,
        None => std::future::pending().await,
    }
}

enum Long {
    NotYet,
    Streams,
    Refused(Garbled),
}

/// The client cancelled, or the server refused: the statement that needed it fails, and the session goes on.
fn could_not_learn(state: &str) -> Garbled {
    if state == "57014" {
        return Garbled::new("57014", "canceling statement due to user request".to_owned());
    }
    Garbled {
        hint: Some("Try again; the session is still open.".to_owned()),
        ..Garbled::new(
            "58000",
            format!("the gateway could not learn how names are resolved here (SQLSTATE {state})"),
        )
    }
}

fn upstream_fault(wire::Malformed(why): wire::Malformed) -> Stop {
    Stop::Upstream(why.to_owned())
}
