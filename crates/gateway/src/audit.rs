//! The record of one session. An operation is written here before it leaves, a refusal before it is told.

mod notes;
mod permits;
mod proofs;
mod tape;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use journal::record::DecisionId;
use journal::record::Fields;
use journal::{Journal, Position, SessionLog, record};
use masking::Masked;
use model::{Action, Asserted, Ceiling, Claim, Effect, Finish, Inspect};
use policy::{Denied, Grant, Pass, Permit, Question};
use recording::{Recorder, Tape};

pub use self::notes::{Form, Shown, StatementNote, ValueNote, fields};
use self::notes::{commitments, cut};
pub(crate) use self::notes::{hex, line};
use self::permits::Permits;
pub use self::proofs::{Cleared, Noted, Owed, Recorded, Terms};
use crate::break_glass::CodeUsed;
use crate::gateway::Gateway;
use crate::holds::{Answer, Holds, Ticket};
use crate::lanes;
use crate::metrics::{Metrics, Stage};
use crate::net::login::Refused;
use crate::spine::{Auditable, AuditableGarbled, Measured, Stop};
use crate::traces::{Decided, Moment, Spent, Tracer};

/// Where a client comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The session's id.
    pub session: String,
    /// The client's address.
    pub address: SocketAddr,
    /// What it calls itself.
    pub application: Arc<str>,
    /// The TLS version, if the connection has one.
    pub tls: Option<String>,
}

/// How an operation ended at the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The decision that let it pass.
    pub decision: DecisionId,
    /// Rows returned or changed.
    pub rows: u64,
    /// From forwarding to its end.
    pub duration: Duration,
    /// SQLSTATE, if it failed.
    pub sqlstate: Option<String>,
    /// When its result was masked.
    pub masking: Spent,
    /// Why it was taken back, where its rows are the reason.
    pub stopped: Option<Stopped>,
    /// How many values of its answer look like instructions, where an agent reads it.
    pub instructions: u64,
}

/// Why an approved operation was taken back, or how else it ended than by what its statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It changed more rows than were approved, which are these.
    TooMany(u64),
    /// It did something else than when it was tried: what, in words.
    Another(String),
    /// The target was lost while it committed it: nobody knows whether it stays.
    Unknown(&'static str),
}

/// The journal cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal cannot be written")]
pub struct JournalDown;

/// What must be on record is not, and nothing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritten {
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalDown),
    /// The session's recording cannot be written, and policy wants that it is.
    #[error("the recording cannot be written")]
    Recording,
}

pub(crate) fn word(asserted: &Asserted) -> record::Word {
    let Asserted { issuer, subject, at, session: _, groups: _ } = asserted;
    record::Word { issuer: issuer.clone(), subject: cut(subject), at: *at }
}

/// The record of one session.
pub struct Audit {
    log: SessionLog,
    journal: Journal,
    holds: Holds,
    metrics: Arc<Metrics>,
    session: Arc<str>,
    /// Commitments of this session's values are made with it.
    key: [u8; 32],
    decisions: u64,
    permits: Permits,
    operations: u64,
    refusals: u64,
    rows: u64,
    bytes: u64,
    /// The request that was approved and is about to be decided again.
    approved: Option<(String, Ceiling)>,
    /// Approved operations that run, with their requests.
    running: Vec<(DecisionId, String)>,
    tracer: Tracer,
    recorder: Recorder,
    /// What the session looks like to its principal; none where policy wants none, or before it is admitted.
    tape: Option<Tape>,
    closed: bool,
}

impl Audit {
    /// The record of a session that begins.
    pub fn new(gateway: &Gateway, session: &str) -> Self {
        Self {
            log: gateway.journal().session(session),
            journal: gateway.journal().clone(),
            holds: gateway.holds().clone(),
            metrics: Arc::clone(gateway.metrics()),
            key: gateway.commitment_key(session),
            session: session.into(),
            decisions: 0,
            permits: Permits::default(),
            operations: 0,
            refusals: 0,
            rows: 0,
            bytes: 0,
            approved: None,
            running: Vec::new(),
            tracer: Tracer::new(gateway.traces(), session),
            recorder: gateway.recorder().clone(),
            tape: None,
            closed: false,
        }
    }

    /// A stage of the session's beginning, which is over now.
    pub(crate) fn began(&mut self, stage: Stage, begun: Moment) {
        self.tracer.stage(stage, begun);
    }

    /// A client that was not let in.
    pub async fn login_refused(
        &mut self,
        origin: &Origin,
        database: Option<&str>,
        refused: &Refused,
        is_written: bool,
    ) -> Result<(), JournalDown> {
        self.metrics.logins_refused.inc();
        if !is_written {
            // It is counted with others, and there is nothing that a last line could close.
            self.closed = true;
            return Ok(());
        }
        // What the client typed as a database's name may be anything, also a password in the wrong place.
        let target = database.filter(|name| name.len() <= 63 && !name.starts_with("dwt_"));
        let body = record::Body::LoginRefused {
            address: origin.address.to_string(),
            target: target.map(str::to_owned),
            reason: refused.code().to_owned(),
        };
        self.append(&body, &[]).map(|_| ())
    }

    /// An emergency code that is about to be used up.
    pub async fn break_glass(&mut self, used: &CodeUsed) -> Result<(), JournalDown> {
        let CodeUsed { code, principal, target, address, session: _, until } = used.clone();
        let position =
            self.append(&record::Body::BreakGlass { code, principal, target, address, until }, &[])?;
        self.synced(position).await
    }

    /// A session that begins. The target may be dialled while its record is on its way to the disk.
    pub fn admitted(&mut self, grant: &Grant, origin: Origin) -> Result<Owed, Unwritten> {
        self.tape = tape::begin(&self.recorder, grant, &origin)?;
        let principal = grant.principal();
        let body = record::Body::Opened {
            principal: principal.id.to_string(),
            groups: principal.groups.clone(),
            on_behalf_of: principal.on_behalf_of.iter().map(ToString::to_string).collect(),
            asserted: principal.asserted.iter().map(word).collect(),
            purpose: principal.purpose.as_deref().map(cut),
            target: grant.target().to_string(),
            address: origin.address.to_string(),
            application: cut(&origin.application),
            tls: origin.tls,
            version: String::new(),
            recording: grant.record().as_str(),
        };
        tracing::info!(
            session = &*self.session,
            principal = %principal.id,
            target_name = %grant.target(),
            "session opened"
        );
        self.metrics.sessions_opened.inc();
        self.tracer.opened(grant.target());
        let position = self.append(&body, &[])?;
        let synced = VecDeque::from([self.journal.synced(position).begun()]);
        Ok(Owed { synced, ..Owed::default() })
    }

    /// Writes an allowed operation down; what it returns may be forwarded. All but a plain read owes the disk. A statement
    /// that is only prepared runs nothing: its Bind waits, for both.
    pub async fn allowed<M: Inspect + Auditable>(
        &mut self,
        grant: &Grant,
        pass: Pass<M>,
    ) -> Result<Cleared<M>, Unwritten> {
        self.room().await?;
        let decision = self.decision();
        let (message, permit) = pass.into_parts();
        let StatementNote { phase, kind, fields, values, text: _ } = message.statement();
        let body = record::Body::Allowed {
            decision: &decision,
            phase,
            values: &commitments(&self.key, self.decisions, &values),
        };
        let rules = &self.metrics.rules;
        let count = |policies: &[String]| rules.counters("allow", policies.iter().map(String::as_str));
        let (log, tape) = (&mut self.log, &mut self.tape);
        let written = self.permits.with(&permit, count, |permit| {
            if let Some(tape) = tape {
                tape.allowed(decision.n, phase, fields, permit);
            }
            log.append_soon(&body, &[fields, permit])
        });
        let position = self.wrote(written)?;
        let understood = message.understood();
        let decided = Decided { decision: &decision, kind, understood, policies: &permit.policies };
        let waits = self.tracer.allowed(&decided, !message.is_shape_only());
        let mut owed = Owed { written: Some(position), waits, ..Owed::default() };
        if !message.is_shape_only() && !is_plain_read(&message, &permit) {
            owed.synced.push_back(self.journal.synced(position));
        }
        self.operations += 1;
        self.metrics.allowed.inc();
        let ceiling = self.approved.take().map(|(request, ceiling)| {
            self.running.push((decision.clone(), request));
            ceiling
        });
        let most = match (grant.most(), permit.most) {
            (Some(session), Some(own)) => Some(Arc::new(own.and(session))),
            (session, own) => own.or_else(|| session.cloned()),
        };
        Ok(Cleared { message, reveal: permit.reveal, decision, owed, ceiling, most, kept: None })
    }

    /// Writes a refusal down, before it is told.
    pub async fn refused<M: Inspect + Auditable>(
        &mut self,
        _grant: &Grant,
        message: &M,
        denied: &Denied,
    ) -> Result<Noted, Unwritten> {
        self.room().await?;
        let decision = self.decision();
        let StatementNote { phase, kind, fields, values, text: _ } = message.statement();
        let body = record::Body::Refused {
            decision: &decision,
            phase,
            values: &commitments(&self.key, self.decisions, &values),
            policies: &denied.policies,
            version: &denied.version,
            reason: &cut(&denied.reason),
            code: denied.code,
        };
        self.append(&body, &[fields])?;
        self.on_tape(|tape| tape::refused(tape, &decision, phase, denied, fields));
        let understood = message.understood();
        let decided = Decided { decision: &decision, kind, understood, policies: &denied.policies };
        self.tracer.refused(&decided, denied.code);
        if let Some((request, _)) = self.approved.take() {
            self.holds.finish(request, Finish::superseded("refused by the policy in force")).await;
        }
        self.refusals += 1;
        self.metrics.denied.inc();
        self.metrics.rules.count("deny", denied.policies.iter().map(String::as_str));
        tracing::debug!(session = &*self.session, %decision, code = denied.code, "refused");
        Ok(Noted(decision))
    }

    /// Writes down that something could not be understood, before it is told.
    pub async fn unreadable<G: AuditableGarbled>(
        &mut self,
        _grant: &Grant,
        garbled: &G,
    ) -> Result<Noted, Unwritten> {
        self.room().await?;
        let decision = self.decision();
        let body = record::Body::Unreadable {
            decision: &decision,
            code: garbled.code(),
            reason: &cut(garbled.reason()),
        };
        self.append(&body, &[])?;
        self.on_tape(|tape| tape::unreadable(tape, &decision, garbled));
        self.tracer.unreadable(&decision, garbled.code());
        self.refusals += 1;
        self.metrics.unreadable.inc();
        Ok(Noted(decision))
    }

    /// Writes down that an operation waits for people.
    pub async fn held<M: Inspect + Auditable>(
        &mut self,
        _grant: &Grant,
        question: &Question<M>,
        ticket: &Ticket,
    ) -> Result<(), Unwritten> {
        self.room().await?;
        let StatementNote { phase, kind, fields, values, text: _ } = question.message().statement();
        let decision = self.decision();
        let body = record::Body::Held {
            decision: &decision,
            request: &ticket.id,
            phase,
            values: &commitments(&self.key, self.decisions, &values),
            holds: question.holds().iter().map(|h| h.id.as_str()).collect(),
            version: question.version(),
            changed: ticket.changed.as_deref(),
        };
        let position = self.append(&body, &[fields])?;
        self.on_tape(|tape| tape::held(tape, &decision, phase, question, ticket, fields));
        if let Some((request, _)) = self.approved.take() {
            self.holds.finish(request, Finish::superseded("the policy in force asks for more")).await;
        }
        let understood = question.message().understood();
        self.tracer.held(&Decided { decision: &decision, kind, understood, policies: &[] }, ticket);
        self.metrics.held.inc();
        self.metrics.rules.count("hold", question.holds().iter().map(|h| h.id.as_str()));
        tracing::info!(session = &*self.session, %decision, request = ticket.id, "held for an approval");
        Ok(self.synced(position).await?)
    }

    /// Writes down how a held operation was answered.
    pub async fn answered(
        &mut self,
        _grant: &Grant,
        ticket: &Ticket,
        answer: &Answer,
    ) -> Result<(), JournalDown> {
        let claim = match answer {
            Answer::Approved(claim) => claim.clone(),
            Answer::Denied(_)
            | Answer::Pending
            | Answer::Expired
            | Answer::Withdrawn(_)
            | Answer::Frozen(_)
            | Answer::Moved => Claim::default(),
        };
        let Claim { rules, ceiling, granted, under: _ } = claim;
        // From here on it is sent, or it is said what became of it.
        self.approved = matches!(answer, Answer::Approved(_)).then(|| (ticket.id.clone(), ceiling.clone()));
        let policies: Vec<String> = rules.into_iter().map(|rule| rule.id).collect();
        self.on_tape(|tape| tape::answered(tape, ticket, answer, &policies));
        let most = if let Ceiling::Rows { most, .. } = &ceiling { Some(*most) } else { None };
        let body = record::Body::Answered {
            request: ticket.id.clone(),
            answer: answer.word().to_owned(),
            policies,
            most,
            grant_use: granted.as_ref().map(|used| used.number),
            grant: granted.map(|used| used.grant),
        };
        let position = self.append(&body, &[])?;
        self.synced(position).await?;
        self.metrics.answered(answer.word());
        self.tracer.answered(answer.word());
        tracing::info!(session = &*self.session, request = ticket.id, "held operation: {}", answer.word());
        Ok(())
    }

    /// Counts what is about to be shown, and records it.
    pub async fn record<C: Measured>(&mut self, masked: Masked<C>) -> Result<Recorded<Masked<C>>, Unwritten> {
        let bytes = masked.get().bytes();
        self.bytes += bytes;
        self.metrics.bytes.inc_by(bytes);
        if let Some(tape) = &mut self.tape {
            masked.get().pieces(&mut |piece| tape.answer(piece));
        }
        self.room().await?;
        Ok(Recorded(masked))
    }

    /// Writes down how an operation ended.
    pub fn outcome(&mut self, outcome: Outcome) -> Result<(), JournalDown> {
        self.tracer.outcome(&outcome);
        let Outcome { decision, rows, duration, sqlstate, masking: _, stopped, instructions } = outcome;
        self.rows += rows;
        self.metrics.rows.inc_by(rows);
        self.metrics.stages.took(Stage::Answer, duration);
        if sqlstate.is_some() {
            self.metrics.failed.inc();
        }
        if let Some(at) = self.running.iter().position(|(running, _)| *running == decision) {
            let (_, request) = self.running.swap_remove(at);
            let finish = match (stopped, &sqlstate) {
                (Some(Stopped::TooMany(most)), _) => Finish::stopped(rows, most),
                (Some(Stopped::Another(how)), _) => Finish::differed(&how),
                (Some(Stopped::Unknown(why)), _) => Finish::unknown(why),
                (None, Some(state)) => Finish::failed(state),
                (None, None) => Finish::done(rows),
            };
            self.holds.finish_soon(request, finish);
        }
        let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.on_tape(|tape| {
            tape.outcome(decision.n, rows, duration_us, sqlstate.as_deref().unwrap_or_default());
        });
        self.metrics.instructions.inc_by(instructions);
        let sqlstate = sqlstate.as_deref();
        let body = record::Body::Outcome { decision: &decision, rows, duration_us, sqlstate, instructions };
        // Nothing waits for it: what was done is on record already.
        let written = self.log.append_soon(&body, &[]);
        self.wrote(written).map(|_| ())
    }

    /// Writes down a statement of the gateway's own in this session.
    pub fn gateway(&mut self, target: &str, purpose: &str) -> Result<(), JournalDown> {
        let body = record::Body::Gateway { target: target.to_owned(), purpose: purpose.to_owned() };
        self.append(&body, &[]).map(|_| ())
    }

    /// Writes down that a session was ended from outside, before it is told. Where many end at once, they share a write.
    pub async fn ending(&mut self, stop: &Stop) {
        let Stop::Ended(why) = stop else { return };
        let written = self.log.append_soon(&record::Body::Killed { why: why.to_string() }, &[]);
        // A journal that is down keeps no session that is to end.
        if let Ok(position) = self.wrote(written) {
            self.write_together(position).await;
        }
    }

    /// Writes a record, and those of others that have one at this moment.
    async fn write_together(&self, position: Position) {
        if !lanes::is_alone() {
            tokio::task::yield_now().await;
        }
        if let Err(down) = self.journal.write(position) {
            tracing::error!(session = &*self.session, "the journal cannot be written: {down}");
        }
    }

    /// The last line of a session. Nothing can be done about a journal that fails here but to say so.
    pub async fn close(&mut self, stop: &Stop) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        for (_, request) in std::mem::take(&mut self.running) {
            let why = "the session ended before its outcome was known";
            self.holds.finish(request, Finish::unknown(why)).await;
        }
        if let Some((request, _)) = self.approved.take() {
            self.holds.finish(request, Finish::superseded("its session ended before it was sent")).await;
        }
        let body = record::Body::Closed {
            why: cut(&stop.to_string()),
            operations: self.operations,
            refusals: self.refusals,
            rows: self.rows,
        };
        self.tracer.close(stop);
        if let Some(mut tape) = self.tape.take() {
            let (operations, refusals, rows) = (self.operations, self.refusals, self.rows);
            tape::end(&mut tape, stop, operations, refusals, rows);
        }
        match self.log.append_soon(&body, &[]) {
            Ok(position) => self.write_together(position).await,
            Err(down) => tracing::error!(
                session = &*self.session,
                "a session's last line could not be written to the journal: {down}"
            ),
        }
    }

    fn on_tape(&mut self, put: impl FnOnce(&mut Tape)) {
        if let Some(tape) = &mut self.tape {
            put(tape);
        }
    }

    /// Waits until the recording takes more.
    async fn room(&self) -> Result<(), Unwritten> {
        match &self.tape {
            Some(tape) if !tape.has_room() => tape::room(tape, &self.session).await,
            Some(_) | None => Ok(()),
        }
    }

    fn decision(&mut self) -> DecisionId {
        self.decisions += 1;
        DecisionId { session: Arc::clone(&self.session), n: self.decisions }
    }

    fn append(&mut self, body: &record::Body<'_>, shared: &[&Fields]) -> Result<Position, JournalDown> {
        let written = self.log.append(body, shared);
        self.wrote(written)
    }

    fn wrote(&self, written: Result<Position, journal::Down>) -> Result<Position, JournalDown> {
        written.map_err(|down| {
            tracing::error!(session = &*self.session, "the journal cannot be written: {down}");
            JournalDown
        })
    }

    async fn synced(&self, position: Position) -> Result<(), JournalDown> {
        self.journal.synced(position).await.map_err(|down| {
            tracing::error!(session = &*self.session, "the journal cannot be made safe: {down}");
            JournalDown
        })
    }
}

/// Whether an operation only reads, and shows nothing that is tagged: then its record need not be on disk before it runs.
/// Where everything is allowed names are not resolved, and a statement that the grammar calls a read counts as one.
fn is_plain_read<M: Inspect>(message: &M, permit: &Permit) -> bool {
    let by_grammar =
        permit.everything && matches!(message.facts().kind.as_str(), "select" | "values" | "show");
    let reads = |e: &Effect| {
        matches!(e.action, Action::Connect | Action::Select) || by_grammar && e.action == Action::Unknown
    };
    permit.reveal.is_empty() && permit.approved.is_empty() && message.effects().iter().all(reads)
}
