//! One PostgreSQL session as the spine sees it: both sockets, and the conversation between them.

mod locks;
mod lookup;
mod open;
mod planned;
mod refusing;
mod settling;
mod telling;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use masking::Masked;
use model::TargetName;
use policy::{Denied, Grant, Identity, Record};
use tokio::sync::Notify;
use wire::postgres::build;
use wire::postgres::error::ErrorFields;

use self::lookup::{About, Lookup};
pub(super) use self::open::Open;
use self::telling::{farewell, garbled_error, tell_end, tell_shut};
use super::ceiling::{Approved, Capped, Unsent};
use super::chunk::{Chunk, ChunkKind};
use super::conversation::{Refusing, Running};
use super::garbled::Garbled;
use super::instructions::Looked;
use super::preview::trial::Came;
use super::request::{Request, RequestKind};
use super::{answers, ceiling, opening, plan};
use crate::attempts;
use crate::audit::{Audit, Cleared, Noted, Origin, Owed, Recorded, Terms};
use crate::gateway::Gateway;
use crate::holds::Ticket;
use crate::metrics::Stage;
use crate::net::cancel::{Cancellable, Registration};
use crate::net::dial;
use crate::net::listen::{Accepted, Known};
use crate::net::pump::{Broken, Buffer, Ears as Sockets, Pump, Turn};
use crate::plans::Ahead;
use crate::sessions::{Ended, Place};
use crate::spine::{Ears, Event, Protocol, Stop};
use crate::traces::Moment;

/// What is still to be said when a session ends may take so long.
const LAST_WORDS: Duration = Duration::from_secs(2);
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
    registration: Option<Registration>,
    /// The gateway's turn at which policy was asked last, or an earlier one.
    asked_at: AtomicU64,
    /// Who it is, with those for whom they act.
    whose: String,
    /// What was seen of the answer that is coming, where an agent reads it.
    looked: Looked,
    /// What was sent in the transaction that is open.
    ahead: Arc<Ahead>,
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
            registration: None,
            asked_at: AtomicU64::default(),
            whose: String::new(),
            looked: Looked::default(),
            ahead: Arc::default(),
        }
    }

    fn open(&mut self) -> Result<&mut Open, Stop> {
        self.live.as_mut().ok_or(Stop::Broken("a session that is not open"))
    }
}

/// The text of what runs in part as late as at the end of its transaction: it is understood again then.
fn put_off(request: &Request) -> Option<Arc<str>> {
    let text = request.operation.puts_off().then(|| request.text())?;
    text.map(Into::into)
}

fn broken(broken: Broken) -> Stop {
    match broken {
        Broken::Client(_) => Stop::Done,
        Broken::Upstream(error) => Stop::Upstream(error.to_string()),
    }
}

impl Protocol for PostgresSession {
    type Message = Request;
    type Garbled = Garbled;
    type Chunk = Chunk;

    async fn login(&mut self, audit: &mut Audit) -> Result<(Identity, TargetName), Stop> {
        let accepted = self.accepted.as_mut().ok_or(Stop::Broken("a login without a client"))?;
        self.gateway.is_current()?;
        if let Some(Known { admitted, place, application: _ }) = accepted.take_known() {
            self.place = Some(place);
            return Ok((admitted.identity(), accepted.target()));
        }
        let (begun, moment) = (Instant::now(), Moment::now());
        // Whoever comes from inside came by the agents' port.
        let authenticator = match accepted.ear() {
            Some(_) => self.gateway.authenticator_of_agents(),
            None => self.gateway.authenticator(),
        };
        let failures = self.gateway.failures();
        let admitted = match crate::net::login::authenticate(accepted, &authenticator, failures).await {
            Ok(admitted) => admitted,
            Err(refused) => {
                let is_written = self.gateway.refusals().is_written(self.origin.address.ip());
                let database = accepted.parameter("database");
                audit.login_refused(&self.origin, database.as_deref(), &refused, is_written).await?;
                return Err(Stop::Login(refused));
            }
        };
        self.gateway.metrics().stages.took(Stage::Login, begun.elapsed());
        audit.began(Stage::Login, moment);
        let target = accepted.target();
        let admitted = self.gateway.break_glass(admitted, &target, &self.origin, audit).await?;
        self.place = Some(self.gateway.enter(&admitted, &target, &self.origin)?);
        Ok((admitted.identity(), target))
    }

    async fn dial(&mut self, grant: &Grant, owed: Owed, audit: &mut Audit) -> Result<(), Stop> {
        let accepted = self.accepted.as_mut().ok_or(Stop::Broken("a session that dials twice"))?;
        let (wish, leaving) = accepted.split();
        let place = self.place.as_mut().ok_or(Stop::Broken("a session without a place"))?;
        // Before policy is asked, so that one which comes meanwhile finds the session.
        place.set_unbounded(true);
        let session = &self.origin.session;
        let (begun, moment) = (Instant::now(), Moment::now());
        // A target may let one wait: whoever is to end meanwhile hears of it at once, and whoever leaves is heard. What was
        // begun at the target is dropped with this.
        let (opened, registration) = tokio::select! {
            biased;
            why = place.ended() => return Err(Stop::Ended(why)),
            () = leaving.left() => return Err(Stop::Done),
            opened = opening::open(&self.gateway, grant, wish, audit, &self.cancel, session) => opened?,
        };
        self.gateway.metrics().stages.took(Stage::Connect, begun.elapsed());
        audit.began(Stage::Connect, moment);
        place.set_unbounded(opened.everything);
        let accepted = self.accepted.take().ok_or(Stop::Broken("a session that dials twice"))?;
        let mut open = opening::enter(&self.gateway, opened, accepted, Arc::clone(&self.cancel));
        open.owed.then(owed);
        open.answers.recorded = grant.record() != Record::Off;
        self.live = Some(open);
        self.whose = attempts::named(grant);
        self.registration = Some(registration);
        Ok(())
    }

    async fn next(&mut self, ears: Ears) -> Result<Event<Self>, Stop> {
        loop {
            let open = self.live.as_mut().ok_or(Stop::Broken("a session that is not open"))?;
            if let Some(mut outcome) = open.answers.outcomes.pop_front() {
                outcome.masking = open.answers.masking.take();
                plan::came(self.gateway.holds(), &self.origin.session, &outcome);
                outcome.instructions = self.looked.take();
                if outcome.instructions > 0 {
                    self.gateway.suspicions.note(&self.whose);
                }
                // The client need not wait for what is written down of it, but for a catalogue that is to be read first.
                if !open.answers.refresh {
                    // That it has gone is noticed at the next turn, behind what is written down.
                    let _ = open.pump.send_to_client().await;
                }
                return Ok(Event::Outcome(outcome));
            }
            if std::mem::take(&mut open.answers.refresh) {
                open.look_up(About::Ddl);
            }
            if std::mem::take(&mut open.answers.enough) {
                self.enough().await?;
                continue;
            }
            if let Some((error, simple)) = open.answers.beyond.take() {
                self.refuse_with(error, simple, false)?;
                continue;
            }
            // What was delivered is not flushed before the next turn: whoever hears of the DDL finds it known.
            self.refreshed().await?;
            let open = self.live.as_mut().ok_or(Stop::Broken("a session that is not open"))?;
            open.learn(&self.origin.session);
            open.settle()?;
            if !open.pump.client.is_full()
                && let Some(chunk) = open.hear()?
            {
                return Ok(Event::Response(chunk));
            }
            // It is dealt with before anything else is waited for.
            if open.answers.enough || open.answers.beyond.is_some() {
                continue;
            }
            open.learn(&self.origin.session);
            open.settle()?;
            if !open.answers.released.is_empty() && !open.pump.client.is_full() {
                continue;
            }
            open.conversation.turn = self.gateway.turn();
            open.one_by_one = self.gateway.holds().plans().of(&self.origin.session).is_some();
            if ears == Ears::Both
                && open.answers.outcomes.is_empty()
                && let Some(event) = open.listen(&self.gateway.metrics().stages)?
            {
                return Ok(self.in_its_turn(event));
            }
            if !open.answers.outcomes.is_empty() {
                continue;
            }
            if open.upstream_ended && !open.pump.client.is_full() {
                return Err(Stop::Upstream("closed by the target".to_owned()));
            }
            let nothing_comes = open.conversation.expected.is_empty() && open.lookup.is_none();
            if open.client_ended && nothing_comes && !open.conversation.is_settling() {
                return Err(Stop::Done);
            }
            // What cannot be dealt with yet stays at the client beyond a bound.
            let behind = open.pump.client.input.len();
            let listens = ears == Ears::Both && !open.waiting || behind < UNREAD;
            let client = !open.client_ended && listens;
            match self.turn(Sockets { client, upstream: true }).await? {
                None | Some(Turn::Read | Turn::Drained | Turn::UpstreamEnded) => (),
                // A client may shut down its sending side and still wait for answers to what it sent.
                Some(Turn::ClientEnded) if ears == Ears::Upstream => return Err(Stop::Done),
                Some(Turn::ClientEnded) => (),
            }
        }
    }

    async fn over(&mut self) -> Stop {
        loop {
            let Ok(open) = self.open() else { return Stop::Broken("a session that is not open") };
            // What they say is dealt with later, and stays with them beyond a bound.
            let ears = Sockets {
                client: !open.client_ended && open.pump.client.input.len() < UNREAD,
                upstream: !open.upstream_ended && open.pump.upstream.input.len() < UNREAD,
            };
            match self.turn(ears).await {
                Err(stop) => return stop,
                Ok(Some(Turn::ClientEnded)) => return Stop::Done,
                Ok(None | Some(Turn::Read | Turn::Drained | Turn::UpstreamEnded)) => (),
            }
        }
    }

    fn cancelled(&self) -> impl Future<Output = ()> + 'static + use<> {
        let cancel = Arc::clone(&self.cancel);
        async move { cancel.notified().await }
    }

    async fn forward(&mut self, message: Cleared<Request>) -> Result<(), Stop> {
        let (mut request, Terms { reveal, decision, ceiling, most, kept }, owed) = message.into_parts();
        if let Some(ear) = self.live.as_ref().and_then(|open| open.answers.ear.as_ref()) {
            ear.hears_what_lasts(request.may_last());
        }
        if let (Some(place), Some(open)) = (&self.place, &self.live)
            && request.may_change()
        {
            place.set_changing(true);
            // In this order, so that a freeze which comes meanwhile is seen here or finds the session.
            if let Some(why) = self.gateway.frozen_because(&open.target.name) {
                return Err(Stop::Ended(Ended::Frozen(why)));
            }
        }
        let turn = self.asked_at.load(Ordering::Relaxed);
        let open = self.live.as_mut().ok_or(Stop::Broken("a session that is not open"))?;
        plan::sent(self.gateway.holds(), &self.origin.session, &request, &decision, open.conversation.status);
        if !open.conversation.understanding.is_indifferent() {
            plan::remember(&self.ahead, &request, open.conversation.is_idle());
        }
        open.owed.then(owed);
        if let Some(approved) = Approved::of(ceiling) {
            let kept = kept.filter(|_| approved.is_as_tried());
            let unsent = Unsent { request, reveal, turn, approved: Some(approved), most, kept };
            open.conversation.capped = Some(Capped::waiting(unsent, decision));
            return open.settle();
        }
        let runs = matches!(request.kind, RequestKind::Query | RequestKind::Execute { .. });
        if runs && !open.conversation.due.is_empty() && ceiling::settles(&request.operation) {
            let unsent = Unsent { request, reveal, turn, approved: None, most, kept: None };
            open.conversation.capped = Some(Capped::waiting(unsent, decision));
            return open.settle();
        }
        let text = put_off(&request);
        let rest = open.pump.client.input.filled();
        let before = open.conversation.guarded(&request.kind, &request.operation, rest);
        if !before.is_empty() {
            open.pump.upstream.output.extend(&before);
        }
        open.pump.upstream.output.append(&mut request.frame);
        let running = Running { reveal, decision, turn, limit: None, most, text };
        let behind = open.conversation.forward(request.kind, request.operation, running);
        if !behind.is_empty() {
            open.pump.upstream.output.extend(&behind);
        }
        Ok(())
    }

    fn mask(&mut self, chunk: Chunk) -> Result<Masked<Chunk>, Stop> {
        let metrics = Arc::clone(self.gateway.metrics());
        let open = self.open()?;
        let nothing_to_mask = matches!(chunk.kind, ChunkKind::Frames);
        let plan = open.answers.plan_for(&chunk)?;
        if nothing_to_mask {
            return masking::apply(plan, chunk).map_err(|_| Stop::Broken("nothing was masked, and failed"));
        }
        let (begun, moment) = (metrics.stages.begin(Stage::Mask), Moment::now());
        let masked = masking::apply(plan, chunk);
        metrics.stages.end(Stage::Mask, begun);
        plan.plan.take_counts(|strategy, values| metrics.masked(strategy.as_str(), values));
        open.answers.masking.add(moment);
        if let (Ok(masked), Some(returns)) = (&masked, open.answers.counting.take()) {
            returns.add(crate::spine::Measured::bytes(masked.get()));
        }
        masked.map_err(|cut| {
            open.pump.client.output.extend(&answers::cut(&cut.to_string()));
            open.answers.fatal = true;
            Stop::Upstream(cut.to_string())
        })
    }

    async fn deliver(&mut self, chunk: Recorded<Masked<Chunk>>) -> Result<(), Stop> {
        let mut chunk = chunk.into_inner().into_inner();
        let looks = self.live.as_ref().is_some_and(|open| open.answers.ear.is_some());
        if looks {
            self.looked.look(&chunk.bytes);
        }
        let open = self.open()?;
        open.pump.client.output.append(&mut chunk.bytes);
        open.keep(chunk.bytes);
        Ok(())
    }

    async fn refuse(
        &mut self,
        grant: &Grant,
        message: Request,
        denied: Denied,
        noted: Noted,
        times: u32,
    ) -> Result<(), Stop> {
        let refused = self.refused(grant, &message, denied, &noted, times)?;
        if let Some(ear) = &self.open()?.answers.ear {
            ear.hears_refusal(refused.policies);
            ear.hears_again(if refused.is_slip { 0 } else { times });
        }
        self.refused_of_plan(&refused.reason);
        self.refuse_with(refused.error, message.is_simple(), message.is_unnamed_parse())
    }

    async fn refuse_unreadable(&mut self, garbled: Garbled, noted: Noted) -> Result<(), Stop> {
        self.open()?.answers.own_words(Vec::new());
        self.refused_of_plan(&garbled.message);
        self.refuse_with(garbled_error(&garbled, Some(&noted)), garbled.simple, garbled.unnamed)
    }

    async fn tell_held(&mut self, ticket: &Ticket) -> Result<(), Stop> {
        let mut out = Vec::new();
        if ticket.how.is_empty() {
            let notice = ErrorFields::notice("01000", &ticket.summary);
            build::notice(&mut out, &notice);
            self.open()?.pump.client.output.extend(&out);
            return Ok(());
        }
        let changed = ticket.changed.as_ref().map(|changed| format!(": {changed}")).unwrap_or_default();
        let waiting = format!("waiting for approval of request {}{changed}", ticket.id);
        let notice = ErrorFields::notice("01000", &waiting).detail(&ticket.summary).hint(&ticket.how);
        build::notice(&mut out, &notice);
        let open = self.open()?;
        if let Some(ear) = &open.answers.ear {
            ear.hears_held(&ticket.id, ticket.changed.as_deref());
        }
        // A person may take their time.
        open.unlock();
        open.pump.client.output.extend(&out);
        Ok(())
    }

    fn unread(&mut self, message: Request) -> Result<(), Stop> {
        self.open()?.pump.client.input.put_back(message.frame);
        Ok(())
    }

    fn patience(&self) -> Duration {
        if self.errand().is_some() {
            return Duration::ZERO;
        }
        let in_block = self.live.as_ref().is_some_and(|open| open.conversation.in_block());
        if in_block { self.gateway.limits().hold_in_block } else { self.gateway.limits().hold }
    }

    fn context(&self) -> policy::Context {
        // Whoever asks for this is about to decide.
        self.asked_at.store(self.gateway.turn(), Ordering::Relaxed);
        let in_transaction = self.live.as_ref().is_some_and(|open| open.conversation.in_block());
        self.gateway.context(&self.origin, in_transaction)
    }

    fn origin(&self) -> Origin {
        self.origin.clone()
    }

    async fn close(&mut self, stop: &Stop) {
        let farewell = farewell(stop);
        if let Stop::Ended(why) = stop {
            self.refused_of_plan(&why.to_string());
        }
        if let Some(mut open) = self.live.take() {
            // Where the server, or we, said already why it ends, nothing is added.
            if !(open.answers.fatal && matches!(stop, Stop::Upstream(_))) {
                open.answers.ear.iter().for_each(|ear| tell_end(ear, &farewell));
                open.pump.client.output.extend(&farewell);
            }
            // A client may send its last words and leave at once.
            let owed = open.owed.settle(self.gateway.journal());
            let owed = tokio::time::timeout(LAST_WORDS, owed).await;
            if matches!((stop, owed), (Stop::Journal | Stop::Recording, _) | (_, Err(_) | Ok(Err(_)))) {
                // What waited for the disk never leaves.
                open.pump.upstream.output = Buffer::default();
            } else {
                build::terminate(open.pump.upstream.output.tail());
            }
            let runs = open.is_busy();
            let Pump { client, upstream } = &mut open.pump;
            let upstream = async {
                // Where many sessions end at once, all clients are told before the first server's process ends: a thousand
                // of those keep a machine busy.
                if matches!(stop, Stop::Ended(_)) {
                    tokio::task::yield_now().await;
                }
                upstream.finish().await;
            };
            let cancel = async {
                // What was told to end does not go on at its target.
                if let (Stop::Ended(_), true, Some(registration)) = (stop, runs, &self.registration) {
                    let Cancellable { held: _, address, tls, process, secret, client: _ } =
                        registration.session();
                    if let Err(error) = dial::cancel(address, tls, *process, secret).await {
                        tracing::warn!(session = self.origin.session, %error, "what an ended session ran could not be cancelled at its target");
                    }
                }
            };
            // None waits for another: one of the sides may not read.
            let all = async { tokio::join!(client.finish(), cancel, upstream) };
            let _ = tokio::time::timeout(LAST_WORDS, all).await;
        } else if let Some(accepted) = self.accepted.take() {
            if let Some(ear) = accepted.ear() {
                tell_shut(&ear, stop);
            }
            accepted.refuse(&farewell).await;
        }
    }
}

impl PostgresSession {
    /// Sends what is to be sent and waits for what comes: nothing leaves for the server but here. `None` where a text was read
    /// elsewhere. Cancel-safe.
    async fn turn(&mut self, ears: Sockets) -> Result<Option<Turn>, Stop> {
        let open = self.live.as_mut().ok_or(Stop::Broken("a session that is not open"))?;
        if !open.owed.is_settled() {
            let begun = self.gateway.metrics().stages.begin(Stage::Journal);
            open.owed.settle(self.gateway.journal()).await?;
            self.gateway.metrics().stages.end(Stage::Journal, begun);
        }
        let place = self.place.as_mut().ok_or(Stop::Broken("a session without a place"))?;
        place.set_busy(open.is_busy());
        place.set_running(!open.conversation.expected.is_empty());
        // In this order, so that a freeze which comes meanwhile is seen here or finds the session.
        if !open.conversation.expected.is_empty()
            && self.gateway.turn() != open.conversation.turn
            && let Some(why) = self.gateway.frozen_wholly_because(&open.target.name)
        {
            return Err(Stop::Ended(Ended::Frozen(why)));
        }
        if open.conversation.is_idle() {
            place.set_changing(false);
        }
        let turn = tokio::select! {
            biased;
            why = place.ended() => return Err(Stop::Ended(why)),
            thought = open::read_elsewhere(&mut open.thinking) => {
                open.thinking = None;
                open.conversation.understanding.thought(thought);
                return Ok(None);
            }
            looked = lookup::looked(&mut open.lookup) => {
                open.took(looked)?;
                return Ok(None);
            }
            // What it is on record for is on disk.
            came = settling::committed(&mut open.conversation.capped) => {
                if came == Came::Committed {
                    let purpose = format!("committed what it had tried for session {}", self.origin.session);
                    let target = open.target.name.to_string();
                    self.gateway.note(&journal::record::Body::Gateway { target, purpose }).map_err(|_| Stop::Journal)?;
                }
                open.came(came)?;
                return Ok(None);
            }
            turn = open.pump.turn(ears) => turn.map_err(broken)?,
        };
        match turn {
            Turn::Read | Turn::Drained => (),
            // What it sent before it went is still delivered.
            Turn::UpstreamEnded => open.upstream_ended = true,
            Turn::ClientEnded => open.client_left(),
        }
        Ok(Some(turn))
    }

    /// Waits until what DDL has made of the target's definitions is known, or the client no longer waits for it. Cancel-safe.
    async fn refreshed(&mut self) -> Result<(), Stop> {
        let open = self.live.as_mut().ok_or(Stop::Broken("a session that is not open"))?;
        let place = self.place.as_mut().ok_or(Stop::Broken("a session without a place"))?;
        while open.lookup.as_ref().is_some_and(Lookup::holds_back) {
            let hears = !open.client_ended && open.pump.client.input.len() < UNREAD;
            tokio::select! {
                biased;
                why = place.ended() => return Err(Stop::Ended(why)),
                looked = lookup::looked(&mut open.lookup) => open.took(looked)?,
                heard = open.pump.hear_client(), if hears => {
                    if heard.map_err(broken)? == Turn::ClientEnded {
                        open.client_left();
                    }
                }
            }
        }
        Ok(())
    }

    /// More came than policy lets a statement return: its target is told to stop. Nothing else is sent to it before it was told, so
    /// that nothing else is stopped.
    async fn enough(&mut self) -> Result<(), Stop> {
        let Some(registration) = &self.registration else { return Ok(()) };
        let Cancellable { held: _, address, tls, process, secret, client: _ } = registration.session();
        let place = self.place.as_mut().ok_or(Stop::Broken("a session without a place"))?;
        tokio::select! {
            biased;
            why = place.ended() => return Err(Stop::Ended(why)),
            told = dial::cancel(address, tls, *process, secret) => if let Err(error) = told {
                tracing::debug!(%error, "a target could not be told to stop");
            },
        }
        Ok(())
    }

    fn refuse_with(&mut self, error: Vec<u8>, simple: bool, unnamed: bool) -> Result<(), Stop> {
        let open = self.open()?;
        open.unlock();
        // Whatever was cancelled, it was this.
        open.look_failed = None;
        match open.conversation.refuse(error, simple, unnamed) {
            Refusing::ByOurselves(answer) => open.pump.client.output.extend(&answer),
            Refusing::ByTheServer(stand_in) => open.pump.upstream.output.extend(&stand_in),
        }
        Ok(())
    }
}
