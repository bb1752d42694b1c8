//! The order of a session. A protocol supplies the verbs; this file owns the order.
//!
//! ```text
//! login → authorize → dial → loop { describe → decide → [hold] → journal → forward ;
//!                                   response → mask → record → deliver } → close
//! ```

use std::convert::Infallible;

use masking::{Maskable, Masked};
use model::{Inspect, TargetName};
use policy::{Denied, Grant, Identity, Question, Verdict};

use crate::audit::{Audit, Cleared, JournalDown, Noted, Outcome, Owed, Recorded, Unwritten};
use crate::gateway::{Gateway, NoLeave};
use crate::holds::{self, Alike, Answer, Asked, Countable, Ticket};
use crate::net::login::Refused;
use crate::plans::Ahead;
use crate::protocols::postgres::estimate::Planned;
use crate::protocols::postgres::preview::Outlook;
use crate::sessions::Ended;

/// Runs one session. What happens seldom is boxed, so that a session that waits has no room for it. However it ends, the client is told and the journal gets its last line; that somebody ended it is on
/// record before.
pub async fn serve<P: Protocol>(mut session: P, gateway: &Gateway, audit: &mut Audit) -> Stop {
    let Err(stop) = run(&mut session, gateway, audit).await;
    Box::pin(async {
        audit.ending(&stop).await;
        session.close(&stop).await;
        audit.close(&stop).await;
    })
    .await;
    stop
}

async fn run<P: Protocol>(s: &mut P, gateway: &Gateway, audit: &mut Audit) -> Result<Infallible, Stop> {
    let (identity, target) = Box::pin(s.login(audit)).await?;
    let grant = gateway.admit_to(identity, &target, &s.context())?;
    let owed = audit.admitted(&grant, s.origin())?;
    Box::pin(s.dial(&grant, owed, audit)).await?;

    let mut held = None;
    loop {
        match listen(s, gateway, &mut held).await? {
            Event::Request(message) => match decide(s, gateway, &grant, message).await? {
                Verdict::Allow(pass) => {
                    let cleared = audit.allowed(&grant, pass).await?;
                    s.forward(cleared).await?;
                }
                Verdict::Deny(message, denied) => {
                    Box::pin(refuse(s, gateway, audit, &grant, message, denied)).await?;
                }
                Verdict::Hold(question) => {
                    held = Box::pin(hold(s, gateway, audit, &grant, question)).await?;
                }
            },
            Event::Unreadable(garbled) => {
                let noted = audit.unreadable(&grant, &garbled).await?;
                s.refuse_unreadable(garbled, noted).await?;
            }
            Event::Answered(answer) => {
                let Some(Held { question, mut ticket }) = held.take() else {
                    return Err(Stop::Broken("an answer to no question"));
                };
                Box::pin(audit.answered(&grant, &ticket, &answer)).await?;
                if answer == Answer::Moved {
                    s.unread(question.withdraw())?;
                    continue;
                }
                match gateway.redecide(&grant, question, &ticket, &answer, &s.context()) {
                    Verdict::Allow(pass) => {
                        let cleared = audit.allowed(&grant, pass).await?;
                        s.forward(cleared.tried(ticket.kept.take())).await?;
                    }
                    Verdict::Deny(message, denied) => {
                        Box::pin(refuse(s, gateway, audit, &grant, message, denied)).await?;
                    }
                    // What was approved is asked again under the policy now in force; it may ask for more.
                    Verdict::Hold(question) => {
                        held = Box::pin(hold(s, gateway, audit, &grant, question)).await?;
                    }
                }
            }
            Event::Response(chunk) => {
                let masked = s.mask(chunk)?;
                s.deliver(audit.record(masked).await?).await?;
            }
            Event::Outcome(outcome) => audit.outcome(outcome)?,
        }
    }
}

/// Asks policy; the target's planner before, where policy reads what that expects.
async fn decide<P: Protocol>(
    s: &mut P,
    gateway: &Gateway,
    grant: &Grant,
    mut message: P::Message,
) -> Result<Verdict<P::Message>, Stop> {
    if let Some(asked) = gateway.to_estimate(grant, &message, &s.context()) {
        let cancelled = s.cancelled();
        let rows = tokio::select! {
            biased;
            stop = s.over() => return Err(stop),
            () = cancelled => None,
            rows = Box::pin(gateway.estimate(grant, &asked)) => rows,
        };
        rows.into_iter().for_each(|rows| message.learn(Learned::Estimated(rows)));
    }
    Ok(gateway.decide(grant, message, &s.context()))
}

/// While an operation is held, those behind it wait unread; the target is still heard, and so is a client that hangs up.
async fn listen<P: Protocol>(
    s: &mut P,
    gateway: &Gateway,
    held: &mut Option<Held<P::Message>>,
) -> Result<Event<P>, Stop> {
    let Some(held) = held else { return s.next(Ears::Both).await };
    let cancelled = s.cancelled();
    tokio::select! {
        biased;
        event = s.next(Ears::Upstream) => match event {
            Err(stop) => {
                gateway.withdraw(&held.ticket).await;
                Err(stop)
            }
            heard => heard,
        },
        () = cancelled => {
            let left = gateway.withdraw(&held.ticket).await;
            Ok(Event::Answered(Answer::Withdrawn(left)))
        }
        answer = gateway.answer(&held.ticket) => Ok(Event::Answered(answer)),
    }
}

async fn refuse<P: Protocol>(
    s: &mut P,
    gateway: &Gateway,
    audit: &mut Audit,
    grant: &Grant,
    message: P::Message,
    denied: Denied,
) -> Result<(), Stop> {
    let noted = audit.refused(grant, &message, &denied).await?;
    let times = gateway.tried(grant, &message, &denied);
    s.refuse(grant, message, denied, noted, times).await?;
    match grant.caps().tries() {
        Some(most) if times >= most => Err(Stop::Ended(Ended::Tried(times))),
        Some(_) | None => Ok(()),
    }
}

/// Files the question once, unless the very same operation was approved before and waits to be claimed.
async fn hold<P: Protocol>(
    s: &mut P,
    gateway: &Gateway,
    audit: &mut Audit,
    grant: &Grant,
    question: Question<P::Message>,
) -> Result<Option<Held<P::Message>>, Stop> {
    let asked = match file(s, gateway, grant, &question).await? {
        Ok(Asked::Filed(ticket)) => ticket,
        Ok(Asked::Moved) => {
            s.unread(question.withdraw())?;
            return Ok(None);
        }
        Err(denied) => {
            let message = question.withdraw();
            refuse(s, gateway, audit, grant, message, denied).await?;
            return Ok(None);
        }
    };
    let told = async {
        audit.held(grant, &question, &asked).await?;
        s.tell_held(&asked).await
    };
    if let Err(stop) = told.await {
        // Nobody waits for what its client does not hear of.
        gateway.withdraw(&asked).await;
        return Err(stop);
    }
    Ok(Some(Held { question, ticket: asked }))
}

/// Files a question. Looking at a target may take long: whoever is to end, leaves or cancels meanwhile is heard, and nothing is
/// asked for them any more.
async fn file<P: Protocol>(
    s: &mut P,
    gateway: &Gateway,
    grant: &Grant,
    question: &Question<P::Message>,
) -> Result<Result<Asked, Denied>, Stop> {
    let (origin, patience, context) = (s.origin(), s.patience(), s.context());
    let cancelled = s.cancelled();
    tokio::select! {
        biased;
        stop = s.over() => Err(stop),
        () = cancelled => Ok(Err(holds::cancelled(question))),
        frozen = gateway.freeze_comes(grant.target(), question.message()) => Ok(Err(frozen)),
        asked = gateway.file(grant, question, &origin.session, patience, &context) => Ok(asked),
    }
}

/// What a protocol must supply. No method has a default body: a missing step does not compile.
#[expect(
    async_fn_in_trait,
    reason = "sessions are spawned with their concrete protocol, so no bound is lost"
)]
pub trait Protocol: Sized {
    /// A whole operation, described, still in wire form.
    type Message: Inspect + Auditable;
    /// What arrived but cannot be understood.
    type Garbled: AuditableGarbled;
    /// A piece of a response.
    type Chunk: Maskable + Measured;

    /// Authenticates the client and learns which target it wants.
    async fn login(&mut self, audit: &mut Audit) -> Result<(Identity, TargetName), Stop>;
    /// Opens the connection to the target with the vault's credential. The client is let in when what is owed is done.
    async fn dial(&mut self, grant: &Grant, owed: Owed, audit: &mut Audit) -> Result<(), Stop>;
    /// The next thing to happen on either side. Cancel-safe.
    async fn next(&mut self, ears: Ears) -> Result<Event<Self>, Stop>;
    /// Resolves when the session is over: ended from outside, left by its client, or its connections broken. Nothing that either side
    /// says meanwhile becomes an event or is lost. Cancel-safe.
    async fn over(&mut self) -> Stop;
    /// Resolves when the client asks to cancel what it waits for. Cancel-safe.
    fn cancelled(&self) -> impl Future<Output = ()> + 'static + use<Self>;
    /// Sends an operation that is allowed and on record to the target.
    async fn forward(&mut self, message: Cleared<Self::Message>) -> Result<(), Stop>;
    /// Applies the masking plan of the operation that this chunk answers.
    fn mask(&mut self, chunk: Self::Chunk) -> Result<Masked<Self::Chunk>, Stop>;
    /// Sends a masked and recorded chunk to the client.
    async fn deliver(&mut self, chunk: Recorded<Masked<Self::Chunk>>) -> Result<(), Stop>;
    /// Tells the client of a refusal in its place, and how often the same was refused by now; the session goes on.
    async fn refuse(
        &mut self,
        grant: &Grant,
        message: Self::Message,
        denied: Denied,
        noted: Noted,
        times: u32,
    ) -> Result<(), Stop>;
    /// The same for what could not be understood.
    async fn refuse_unreadable(&mut self, garbled: Self::Garbled, noted: Noted) -> Result<(), Stop>;
    /// Tells the client that its operation waits for an approval.
    async fn tell_held(&mut self, ticket: &Ticket) -> Result<(), Stop>;
    /// Takes an operation back as if it had not been read yet: it is described again, by what its target holds now.
    fn unread(&mut self, message: Self::Message) -> Result<(), Stop>;
    /// How long a held operation may wait in this state of the session.
    fn patience(&self) -> std::time::Duration;
    /// The facts of this moment that a policy may ask about.
    fn context(&self) -> policy::Context;
    /// Where the client comes from, for the journal.
    fn origin(&self) -> crate::audit::Origin;
    /// Tells both sides why it ends.
    async fn close(&mut self, stop: &Stop);
}

/// What the journal needs of an operation.
pub trait Auditable {
    /// The statement with placeholders for its literals, and commitments of its values.
    fn statement(&self) -> crate::audit::StatementNote<'_>;
    /// Whether it only gives a statement a name, so that what it would do is asked about when its values are known.
    fn is_shape_only(&self) -> bool;
    /// When it was understood, for whoever traces it.
    fn understood(&self) -> crate::traces::Understood;
    /// What it was sent for, where it is not simply to run.
    fn errand(&self) -> Option<&crate::errand::Errand>;
    /// Everything that makes it this operation and no other, in parts: texts and values. What depends on things that may
    /// change before it is sent again (a prepared statement's name) adds the session, so that an approval cannot be used
    /// elsewhere.
    fn exact(&self, session: &str, part: &mut dyn FnMut(&[u8]));
    /// What is alike to it, in parts; `None` where nothing is taken for alike.
    fn alike(&self) -> Option<Alike>;
    /// A value as an approver reads it.
    fn shown(&self, value: &crate::audit::ValueNote<'_>) -> crate::audit::Shown;
    /// What else decides what it means, by name: settings, a role.
    fn circumstances(&self) -> Vec<(String, String)>;
    /// Its text, where that is all that it is: no values beside it.
    fn script(&self) -> Option<String>;
    /// What its session sent in the same transaction before it; `None` where nobody remembers that.
    fn ahead(&self) -> Option<&Ahead>;
    /// Why its result could not be shown to anybody, whatever policy says; `None` where it can.
    fn unshown(&self) -> Option<&str>;
    /// The tagged columns, with their tags, that would get what masks look like.
    fn stores_masks(&self) -> Vec<(model::ColumnName, std::collections::BTreeSet<model::Tag>)>;
    /// The target's objects that it touches, each with a digest of what it was when the operation was understood.
    fn touched(&self) -> Vec<model::Touched>;
    /// The version of the target's catalogue by which it was understood.
    fn catalogue(&self) -> u64;
    /// What of its effect can be counted before it is certain.
    fn countable(&self) -> Countable;
    /// What the target's planner can be asked of it.
    fn planned(&self) -> Option<Planned>;
    /// Takes what was found out about its rows.
    fn learn(&mut self, learned: Learned);
    /// What can be said of its effect before it runs, and what can be asked about it.
    fn outlook(&self, tier: model::Tier) -> Outlook;
}

/// What was found out about an operation's rows before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// So many the target's planner expects.
    Estimated(u64),
    /// So many it may change at most, since that many were counted.
    Measured(u64),
}

/// What is counted and recorded of a response.
pub trait Measured {
    /// How many bytes the client will get.
    fn bytes(&self) -> u64;
    /// All of it, in order, with what it takes to read it again.
    fn pieces(&self, put: &mut dyn FnMut(&recording::Piece<'_>));
}

/// What the journal needs of something that could not be understood.
pub trait AuditableGarbled {
    /// A short word for the kind of fault.
    fn code(&self) -> &str;
    /// What was wrong, without the text itself.
    fn reason(&self) -> &str;
}

/// What happened on either side.
pub enum Event<P: Protocol> {
    /// The client wants something done.
    Request(P::Message),
    /// The client sent something that cannot be understood.
    Unreadable(P::Garbled),
    /// A held operation has its answer.
    Answered(Answer),
    /// The target answers.
    Response(P::Chunk),
    /// An operation has ended at the target.
    Outcome(Outcome),
}

/// Whose messages may be turned into events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ears {
    /// Client and target.
    Both,
    /// The target only: an operation is held.
    Upstream,
}

struct Held<M> {
    question: Question<M>,
    ticket: Ticket,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The client said goodbye or hung up.
    #[error("the client left")]
    Done,
    /// The client was not let in.
    #[error("refused: {}", .0.reason)]
    Denied(Denied),
    /// The client has no leave to use the target. This is for the record; it is told less.
    #[error("refused: {}", .0.why.reason)]
    NoLeave(Box<NoLeave>),
    /// The target would not open the session, and this message of its own may be told.
    #[error("the target would not open the session")]
    Unopened(Vec<u8>),
    /// The client's login failed.
    #[error("login refused: {0}")]
    Login(Refused),
    /// The client broke the protocol; it is told so.
    #[error("protocol violation by the client: {0}")]
    Violation(&'static str),
    /// The target went away or broke the protocol.
    #[error("the target's connection ended: {0}")]
    Upstream(String),
    /// The session was ended from outside: killed, revoked, drained.
    #[error("ended: {0}")]
    Ended(Ended),
    /// The journal cannot be written: nothing may be forwarded.
    #[error("the journal cannot be written")]
    Journal,
    /// The session's recording cannot be written, and policy wants that it is.
    #[error("the recording cannot be written")]
    Recording,
    /// A fault of the gateway itself.
    #[error("internal fault: {0}")]
    Broken(&'static str),
}

impl Stop {
    /// A word for it, among few.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done => "client",
            Self::Denied(_) | Self::NoLeave(_) => "denied",
            Self::Unopened(_) => "unopened",
            Self::Login(_) => "login",
            Self::Violation(_) => "violation",
            Self::Upstream(_) => "target",
            Self::Ended(why) => why.word(),
            Self::Journal => "journal",
            Self::Recording => "recording",
            Self::Broken(_) => "fault",
        }
    }
}

impl From<Denied> for Stop {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<Box<NoLeave>> for Stop {
    fn from(no_leave: Box<NoLeave>) -> Self {
        Self::NoLeave(no_leave)
    }
}

impl From<JournalDown> for Stop {
    fn from(JournalDown: JournalDown) -> Self {
        Self::Journal
    }
}

impl From<Unwritten> for Stop {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::Journal(_) => Self::Journal,
            Unwritten::Recording => Self::Recording,
        }
    }
}

impl From<wire::Malformed> for Stop {
    fn from(wire::Malformed(why): wire::Malformed) -> Self {
        Self::Violation(why)
    }
}
