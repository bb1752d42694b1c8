//! One PostgreSQL session as the spine sees it: both sockets, and the conversation between them.

use std::sync::Arc;
use std::time::Duration;

use masking::Masked;
use model::TargetName;
use policy::{Denied, Grant, Identity};
use tokio::sync::Notify;
use wire::postgres::build;
use wire::postgres::error::ErrorFields;

use super::answers::{self, Answers, Heard};
use super::chunk::{Chunk, ChunkKind};
use super::conversation::{Conversation, Refusing, Said};
use super::operation::{Garbled, Request};
use super::{opening, own};
use crate::audit::{Audit, Cleared, Noted, Origin, Owed, Recorded};
use crate::gateway::Gateway;
use crate::holds::Ticket;
use crate::net::cancel::Registration;
use crate::net::dial::UpstreamStream;
use crate::net::listen::{Accepted, ClientStream};
use crate::net::pump::{Broken, Buffer, Ears as Sockets, Pump, Turn};
use crate::sessions::{Ended, Place};
use crate::spine::{Ears, Event, Protocol, Stop};
use crate::targets::Target;

/// The longest Query, Parse or Bind, in bytes: it is kept in memory whole.
const LONGEST_STATEMENT: usize = 64 * 1024 * 1024;
/// The longest row that can be masked, in bytes.
const LONGEST_MASKED_ROW: usize = 64 * 1024 * 1024;
/// What is still to be said when a session ends may take so long.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A chunk is handed on when it has this many bytes.
const CHUNK: usize = 64 * 1024;
/// While the client's next message cannot be dealt with yet, so many bytes behind it are read.
const UNREAD: usize = 64 * 1024;

/// A client that has been accepted, and later its session.
pub struct PostgresSession {
    gateway: Arc<Gateway>,
    accepted: Option<Accepted>,
    origin: Origin,
    live: Option<Open>,
    place: Option<Place>,
    cancel: Arc<Notify>,
    _registration: Option<Registration>,
}

/// Both sockets and the conversation between them.
pub(super) struct Open {
    target: Arc<Target>,
    pump: Pump<ClientStream, UpstreamStream>,
    conversation: Conversation,
    answers: Answers,
    /// Bytes of a message of the server's that are passed on as they come.
    passing: usize,
    /// Bytes of a message of the client's that are relayed as they come.
    relaying: usize,
    /// Bytes of a message of the client's that was refused for its length.
    discarding: usize,
    /// What our statement in flight is for.
    asking: Option<own::Purpose>,
    /// What our statement failed to learn: told when the client's message is looked at again.
    ask_failed: Option<Garbled>,
    /// Rows that came behind messages that are handed on first.
    stash: Option<Chunk>,
    /// What must be on disk before the outgoing bytes leave for the server.
    owed: Owed,
    /// The client's next message waits for answers in flight.
    waiting: bool,
    /// Whether an unresolved name was looked up again since the last message.
    retried: bool,
    client_ended: bool,
    upstream_ended: bool,
}

impl PostgresSession {
    /// A session for a client that has just been accepted.
    pub fn new(gateway: Arc<Gateway>, accepted: Accepted, session: String) -> Self {
        let origin = Origin {
            session,
            address: accepted.peer(),
            application: accepted.parameter("application_name").unwrap_or_default().as_ref().into(),
            tls: accepted.tls_version().map(str::to_owned),
        };
        Self {
            gateway,
            accepted: Some(accepted),
            origin,
            live: None,
            place: None,
            cancel: Arc::new(Notify::new()),
            _registration: None,
        }
    }

    fn open(&mut self) -> Result<&mut Open, Stop> {
        self.live.as_mut().ok_or(Stop::Broken("a session that is not open"))
    }
}

impl Open {
    pub(super) fn new(
        target: Arc<Target>,
        pump: Pump<ClientStream, UpstreamStream>,
        conversation: Conversation,
        answers: Answers,
    ) -> Self {
        Self {
            target,
            pump,
            conversation,
            answers,
            passing: 0,
            relaying: 0,
            discarding: 0,
            asking: None,
            ask_failed: None,
            stash: None,
            owed: Owed::default(),
            waiting: false,
            retried: false,
            client_ended: false,
            upstream_ended: false,
        }
    }

    /// Whether an operation is in flight or a transaction open.
    fn is_busy(&self) -> bool {
        !self.conversation.expected.is_empty() || self.conversation.in_block()
    }

    /// The next piece of the target's answer, from what has been read already.
    fn hear(&mut self) -> Result<Option<Chunk>, Stop> {
        let mut chunk = match self.stash.take() {
            Some(stashed) => stashed,
            None if self.pump.upstream.input.is_empty() => return Ok(None),
            None => Chunk::frames(Vec::with_capacity(self.pump.upstream.input.len().min(CHUNK)), 0),
        };
        while chunk.bytes.len() < CHUNK {
            if self.passing > 0 {
                let input = &mut self.pump.upstream.input;
                let n = self.passing.min(input.len());
                if n == 0 {
                    break;
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
                    if !self.pass_long_row()? {
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
            let heard = self.answers.server(&mut self.conversation, &frame)?;
            let whole = frame.whole.len();
            match heard {
                Heard::Pass => chunk.bytes.extend_from_slice(frame.whole),
                Heard::Swallow => (),
                Heard::Instead(bytes) => chunk.bytes.extend_from_slice(&bytes),
                Heard::Cut(why) => return Err(self.cut(why)),
                Heard::Row => {
                    let kind = self.answers.row_kind();
                    if kind == chunk.kind {
                        chunk.bytes.extend_from_slice(frame.whole);
                        chunk.rows += 1;
                    } else {
                        let rows = Chunk { bytes: frame.whole.to_vec(), kind, rows: 1 };
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
        Ok((!chunk.bytes.is_empty()).then_some(chunk))
    }

    /// Ends the session where a result cannot be shown: the server believes that it was.
    fn cut(&mut self, why: &'static str) -> Stop {
        self.pump.client.output.extend(&answers::cut(why));
        self.answers.fatal = true;
        Stop::Upstream(why.to_owned())
    }

    /// A row that has not arrived whole is passed on as it comes, if nothing of it is masked and it is long.
    fn pass_long_row(&mut self) -> Result<bool, Stop> {
        let input = self.pump.upstream.input.filled();
        let Some((kind, length)) = wire::postgres::header(input).map_err(upstream_fault)? else {
            return Ok(false);
        };
        if !matches!(kind, b'D' | b'd') || length <= CHUNK || self.answers.is_own_row(&self.conversation) {
            return Ok(false);
        }
        let passes = match self.answers.passes_row(&mut self.conversation) {
            Ok(passes) => passes,
            Err(why) => return Err(self.cut(why)),
        };
        if passes {
            self.passing = length;
            return Ok(true);
        }
        if length > LONGEST_MASKED_ROW {
            return Err(self.cut("a row is too long to be masked"));
        }
        Ok(false)
    }

    /// The client's next message that means something to the spine, from what has been read already.
    async fn listen(&mut self) -> Result<Option<Event<PostgresSession>>, Stop> {
        self.waiting = self.asking.is_some();
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
            let event = match self.conversation.client(&frame)? {
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
                    if self.conversation.needs_flush() {
                        build::flush(self.pump.upstream.output.tail());
                    }
                    self.waiting = true;
                    return Ok(None);
                }
                Said::Ask(purpose) => {
                    if let Some(garbled) = self.ask_failed.take() {
                        Some(Event::Unreadable(garbled))
                    } else {
                        self.ask(purpose);
                        self.waiting = true;
                        return Ok(None);
                    }
                }
                Said::Request(request) => {
                    if request.operation.unresolved() && !std::mem::replace(&mut self.retried, true) {
                        self.target.catalogue.refresh_if_moved().await;
                        continue;
                    }
                    self.retried = false;
                    Some(Event::Request(request))
                }
                Said::Garbled(garbled) => Some(Event::Unreadable(garbled)),
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
        }
        Ok(None)
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
            hint: Some("Load large values with COPY … FROM STDIN, or in parts.".to_owned()),
            position: None,
            simple: matches!(kind, b'Q' | b'F'),
            unnamed: false,
        }))
    }

    /// Sends a statement of our own.
    fn ask(&mut self, purpose: own::Purpose) {
        let texts = self.conversation.understanding.questions(purpose);
        self.answers.ask_begun();
        self.conversation.ask(self.pump.upstream.output.tail(), &texts);
        self.asking = Some(purpose);
    }

    /// Learns from the answer to a statement of ours, once it is whole.
    fn learn(&mut self) {
        let Some(purpose) = self.asking.filter(|_| !self.conversation.has_own()) else { return };
        self.asking = None;
        let learned = match self.answers.own_failed.take() {
            Some(state) => Err(state),
            None => {
                self.conversation.understanding.learn(purpose, self.answers.take_results()).map_err(|why| {
                    tracing::warn!(why, "names of a session cannot be learnt");
                    "58000".to_owned()
                })
            }
        };
        match learned {
            Ok(certain) => self.conversation.stale = !certain,
            Err(state) => {
                let garbled = could_not_learn(&state);
                if self.conversation.is_skipping() {
                    self.pump.client.output.extend(&garbled_error(&garbled, None));
                } else {
                    self.ask_failed = Some(garbled);
                }
            }
        }
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

fn broken(broken: Broken) -> Stop {
    match broken {
        Broken::Client(_) => Stop::Done,
        Broken::Upstream(error) => Stop::Upstream(error.to_string()),
    }
}

fn garbled_error(garbled: &Garbled, noted: Option<&Noted>) -> Vec<u8> {
    let mut fields = ErrorFields::new(garbled.code, &garbled.message);
    if let Some(hint) = &garbled.hint {
        fields = fields.hint(hint);
    }
    if let Some(position) = garbled.position {
        fields = fields.position(position);
    }
    // A plain syntax error looks as the server's own does: there is nothing to look up about it.
    if let Some(noted) = noted.filter(|_| garbled.code != "42601") {
        fields = fields.detail(&noted.to_string());
    }
    let mut out = Vec::new();
    build::error(&mut out, &fields);
    out
}

impl Protocol for PostgresSession {
    type Message = Request;
    type Garbled = Garbled;
    type Chunk = Chunk;

    async fn login(&mut self, audit: &mut Audit) -> Result<(Identity, TargetName), Stop> {
        let accepted = self.accepted.as_mut().ok_or(Stop::Broken("a login without a client"))?;
        let (authenticator, failures) = (self.gateway.authenticator(), self.gateway.failures());
        let admitted = match crate::net::login::authenticate(accepted, authenticator, failures).await {
            Ok(admitted) => admitted,
            Err(refused) => {
                audit
                    .login_refused(&self.origin, accepted.parameter("database").as_deref(), &refused)
                    .await?;
                return Err(Stop::Login(refused.to_string()));
            }
        };
        let target = accepted.target();
        self.place = Some(self.gateway.enter(&admitted, &target, &self.origin)?);
        Ok((admitted.identity(), target))
    }

    async fn dial(&mut self, grant: &Grant, audit: &mut Audit) -> Result<(), Stop> {
        let accepted = self.accepted.as_ref().ok_or(Stop::Broken("a session that dials twice"))?;
        let place = self.place.as_ref().ok_or(Stop::Broken("a session without a place"))?;
        // Before policy is asked, so that one which comes meanwhile finds the session.
        place.set_unbounded(true);
        let (opened, registration) =
            opening::open(&self.gateway, grant, accepted, audit, &self.cancel).await?;
        place.set_unbounded(opened.everything);
        let accepted = self.accepted.take().ok_or(Stop::Broken("a session that dials twice"))?;
        self.live = Some(opening::enter(&self.gateway, opened, accepted));
        self._registration = Some(registration);
        Ok(())
    }

    async fn next(&mut self, ears: Ears) -> Result<Event<Self>, Stop> {
        loop {
            let open = self.live.as_mut().ok_or(Stop::Broken("a session that is not open"))?;
            if let Some(outcome) = open.answers.outcomes.pop_front() {
                return Ok(Event::Outcome(outcome));
            }
            if open.answers.refresh {
                // What was delivered is not flushed before the next turn: whoever hears of the DDL finds it known.
                open.target.catalogue.refresh().await;
                open.answers.refresh = false;
            }
            open.learn();
            if !open.pump.client.is_full()
                && let Some(chunk) = open.hear()?
            {
                return Ok(Event::Response(chunk));
            }
            open.learn();
            if ears == Ears::Both
                && open.answers.outcomes.is_empty()
                && let Some(event) = open.listen().await?
            {
                return Ok(event);
            }
            if !open.answers.outcomes.is_empty() {
                continue;
            }
            if open.upstream_ended && !open.pump.client.is_full() {
                return Err(Stop::Upstream("closed by the target".to_owned()));
            }
            if open.client_ended && open.conversation.expected.is_empty() {
                return Err(Stop::Done);
            }
            // Nothing leaves for the server but here.
            open.owed.settle(self.gateway.journal(), self.gateway.metrics()).await?;
            // What cannot be dealt with yet stays at the client beyond a bound.
            let behind = open.pump.client.input.len();
            let listens = ears == Ears::Both && !open.waiting || behind < UNREAD;
            let client = !open.client_ended && listens;
            let place = self.place.as_mut().ok_or(Stop::Broken("a session without a place"))?;
            place.set_busy(open.is_busy());
            let turn = tokio::select! {
                biased;
                why = place.ended() => return Err(Stop::Ended(why)),
                turn = open.pump.turn(Sockets { client, upstream: true }) => turn.map_err(broken)?,
            };
            match turn {
                Turn::Read | Turn::Drained => (),
                // What it sent before it went is still delivered.
                Turn::UpstreamEnded => open.upstream_ended = true,
                Turn::ClientEnded => {
                    // A client may shut down its sending side and still wait for answers to what it sent.
                    open.client_ended = true;
                    if ears == Ears::Upstream {
                        return Err(Stop::Done);
                    }
                }
            }
        }
    }

    fn cancelled(&self) -> impl Future<Output = ()> + 'static + use<> {
        let cancel = Arc::clone(&self.cancel);
        async move { cancel.notified().await }
    }

    async fn forward(&mut self, message: Cleared<Request>) -> Result<(), Stop> {
        let open = self.open()?;
        let (request, reveal, decision, owed) = message.into_parts();
        open.owed.then(owed);
        open.pump.upstream.output.extend(&request.frame);
        let behind = open.conversation.forward(request.kind, request.operation, reveal, decision);
        open.pump.upstream.output.extend(&behind);
        Ok(())
    }

    fn mask(&mut self, chunk: Chunk) -> Result<Masked<Chunk>, Stop> {
        let open = self.open()?;
        let plan = open.answers.plan_for(&chunk)?;
        masking::apply(plan, chunk).map_err(|cut| {
            open.pump.client.output.extend(&answers::cut(&cut.to_string()));
            open.answers.fatal = true;
            Stop::Upstream(cut.to_string())
        })
    }

    async fn deliver(&mut self, chunk: Recorded<Masked<Chunk>>) -> Result<(), Stop> {
        let chunk = chunk.into_inner().into_inner();
        self.open()?.pump.client.output.extend(&chunk.bytes);
        Ok(())
    }

    async fn refuse(&mut self, message: Request, denied: Denied, noted: Noted) -> Result<(), Stop> {
        let mut fields = ErrorFields::new(denied.code(), &denied.reason).detail(&noted.to_string());
        if let Some(hint) = &denied.hint {
            fields = fields.hint(hint);
        }
        if denied.code() == "42501"
            && let Some(missing) = message.missing()
        {
            fields = ErrorFields::new(missing.code, &missing.message);
        }
        let mut error = Vec::new();
        build::error(&mut error, &fields);
        self.refuse_with(error, message.is_simple(), message.is_unnamed_parse())
    }

    async fn refuse_unreadable(&mut self, garbled: Garbled, noted: Noted) -> Result<(), Stop> {
        self.refuse_with(garbled_error(&garbled, Some(&noted)), garbled.simple, garbled.unnamed)
    }

    async fn tell_held(&mut self, ticket: &Ticket) -> Result<(), Stop> {
        let mut out = Vec::new();
        let notice = ErrorFields::notice("01000", &format!("waiting for approval of request {}", ticket.id))
            .detail(&ticket.summary)
            .hint(&ticket.how);
        build::notice(&mut out, &notice);
        self.open()?.pump.client.output.extend(&out);
        Ok(())
    }

    fn patience(&self) -> Duration {
        let in_block = self.live.as_ref().is_some_and(|open| open.conversation.in_block());
        if in_block { self.gateway.limits().hold_in_block } else { self.gateway.limits().hold }
    }

    fn context(&self) -> policy::Context {
        let in_transaction = self.live.as_ref().is_some_and(|open| open.conversation.in_block());
        self.gateway.context(&self.origin, in_transaction)
    }

    fn origin(&self) -> Origin {
        self.origin.clone()
    }

    async fn close(&mut self, stop: &Stop) {
        let farewell = farewell(stop);
        if let Some(mut open) = self.live.take() {
            // Where the server, or we, said already why it ends, nothing is added.
            if !(open.answers.fatal && matches!(stop, Stop::Upstream(_))) {
                open.pump.client.output.extend(&farewell);
            }
            // A client may send its last words and leave at once.
            let owed = open.owed.settle(self.gateway.journal(), self.gateway.metrics());
            let owed = tokio::time::timeout(LAST_WORDS, owed).await;
            if matches!((stop, owed), (Stop::Journal, _) | (_, Err(_) | Ok(Err(_)))) {
                // What waited for the disk never leaves.
                open.pump.upstream.output = Buffer::default();
            } else {
                build::terminate(open.pump.upstream.output.tail());
            }
            let flush = open.pump.finish();
            let _ = tokio::time::timeout(LAST_WORDS, flush).await;
        } else if let Some(accepted) = self.accepted.take() {
            accepted.refuse(&farewell).await;
        }
    }
}

impl PostgresSession {
    fn refuse_with(&mut self, error: Vec<u8>, simple: bool, unnamed: bool) -> Result<(), Stop> {
        let open = self.open()?;
        match open.conversation.refuse(error, simple, unnamed) {
            Refusing::ByOurselves(answer) => open.pump.client.output.extend(&answer),
            Refusing::ByTheServer(stand_in) => open.pump.upstream.output.extend(&stand_in),
        }
        Ok(())
    }
}

/// The last message to the client: what ended the session, and what to do about it.
fn farewell(stop: &Stop) -> Vec<u8> {
    let mut out = Vec::new();
    let fields = match stop {
        Stop::Done => return out,
        Stop::Denied(denied) => {
            let fields = ErrorFields::fatal(denied.code(), &denied.reason);
            match &denied.hint {
                Some(hint) => fields.hint(hint),
                None => fields,
            }
        }
        Stop::Unopened(message) => return message.clone(),
        // The login layer has told the client already, in constant words.
        Stop::Login(_) => return out,
        Stop::Violation(why) => ErrorFields::fatal("08P01", &format!("protocol violation: {why}")),
        Stop::Upstream(_) => ErrorFields::fatal("08006", "the connection to the target was lost"),
        Stop::Ended(why) => {
            let code = match why {
                Ended::Draining | Ended::Killed(_) | Ended::Reconfigured | Ended::Narrowed => "57P01",
                Ended::Revoked | Ended::Expired => "28000",
            };
            ErrorFields::fatal(code, &format!("terminating connection: {why}"))
        }
        Stop::Journal => {
            ErrorFields::fatal("58030", "the gateway cannot write its journal, so it forwards nothing")
                .hint("Try again when the gateway's operator has made room.")
        }
        Stop::Broken(_) => ErrorFields::fatal("XX000", "internal error of the gateway"),
    };
    build::error(&mut out, &fields);
    out
}
