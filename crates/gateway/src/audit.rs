//! The record of one session. An operation is written here before it leaves, a refusal before it is told.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
pub use journal::record::DecisionId;
use journal::record::{Commitment, Fields};
use journal::{Journal, Position, SessionLog, Synced, record};
use masking::Masked;
use model::{Action, Asserted, ColumnName, Effect, Finish, Inspect};
use policy::{Denied, Grant, Pass, Permit, Question};
use prometheus_client::metrics::counter::Counter;

use crate::break_glass::CodeUsed;
use crate::gateway::Gateway;
use crate::holds::{Answer, Holds, Ticket};
use crate::lanes;
use crate::metrics::{Metrics, Stage};
use crate::net::login::Refused;
use crate::spine::{Auditable, AuditableGarbled, Measured, Stop};
use crate::traces::{Decided, Moment, Spent, Tracer, Waits};

/// So many effects of one operation are listed, and then how many more there are.
const MOST_EFFECTS: usize = 200;
/// So many values of one operation have commitments of their own; those behind share one.
const MOST_VALUES: usize = 200;
/// A statement's text is cut here, in bytes.
const LONGEST_TEXT: usize = 256 * 1024;
/// Other texts of a record are cut here, in bytes.
const LONGEST_WORDS: usize = 2048;

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
}

/// What the journal keeps of a statement: placeholders for its literals, commitments for their values.
#[derive(Debug)]
pub struct StatementNote<'a> {
    /// In which message it came.
    pub phase: &'static str,
    /// `select`, `update`, …
    pub kind: &'a str,
    /// With placeholders.
    pub text: &'a str,
    /// Both and its effects as they stand in records, see [`fields`].
    pub fields: &'a Fields,
    /// The values, in order.
    pub values: Vec<ValueNote<'a>>,
}

/// A value as its approver reads it: what it is, and what the client says of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// `None` for NULL.
    pub text: Option<String>,
    /// `int4`; `int4, binary` where the text is its bytes in hexadecimal. Empty where nothing is said.
    pub kind: String,
}

/// A value, on its way to its commitment or to an approver. It is never printed.
pub struct ValueNote<'a> {
    /// As it came.
    pub bytes: Option<&'a [u8]>,
    /// What the bytes are.
    pub form: Form,
}

/// What the bytes of a value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A literal of the statement's text.
    Literal,
    /// A parameter as text, and what the client says of its type: an OID of PostgreSQL's, 0 where it says nothing.
    Text(u32),
    /// The same in the type's binary format.
    Binary(u32),
}

impl fmt::Debug for ValueNote<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValueNote")
    }
}

/// The journal cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal cannot be written")]
pub struct JournalDown;

/// An operation that is allowed *and* on record, behind which its bytes leave ([`Owed`]). Only [`Audit::allowed`] makes one.
///
/// ```compile_fail,E0451
/// use gateway::audit::{Cleared, DecisionId, Owed};
///
/// fn forge(decision: DecisionId) -> Cleared<&'static str> {
///     Cleared { message: "DROP TABLE t", reveal: Default::default(), decision, owed: Owed::default() }
/// }
/// ```
#[must_use]
pub struct Cleared<M> {
    message: M,
    reveal: Arc<BTreeSet<ColumnName>>,
    decision: DecisionId,
    owed: Owed,
}

impl<M> Cleared<M> {
    /// What is forwarded, the columns that it may show clear, the decision, and what must be on disk before it leaves.
    pub fn into_parts(self) -> (M, Arc<BTreeSet<ColumnName>>, DecisionId, Owed) {
        (self.message, self.reveal, self.decision, self.owed)
    }
}

/// Records that must be written, and those that must be on disk, before a byte behind them leaves for the target.
/// Operations that come together wait together, and none leaves before its record.
#[must_use]
#[derive(Default)]
pub struct Owed {
    written: Option<Position>,
    synced: VecDeque<Synced>,
    waits: Waits,
}

impl Owed {
    /// What must be done before these bytes and the next leave.
    pub fn then(&mut self, next: Self) {
        self.written = self.written.max(next.written);
        self.synced.extend(next.synced);
        self.waits.then(next.waits);
    }

    /// Whether nothing is owed.
    pub fn is_settled(&self) -> bool {
        self.written.is_none() && self.synced.is_empty()
    }

    /// Waits until all of it is done. Cancel-safe.
    ///
    /// # Errors
    /// It may never be: nothing that waited for it may leave.
    pub async fn settle(&mut self, journal: &Journal) -> Result<(), JournalDown> {
        self.waits.begin();
        if let Some(position) = self.written {
            if !journal.is_written(position) && !lanes::is_alone() {
                // Other sessions of this thread have something to record, too: one write is enough for all.
                tokio::task::yield_now().await;
            }
            journal.write(position).map_err(|down| failed(&down))?;
            self.written = None;
        }
        while let Some(first) = self.synced.front_mut() {
            first.await.map_err(|down| failed(&down))?;
            self.synced.pop_front();
        }
        self.waits.end();
        Ok(())
    }
}

fn failed(down: &journal::Down) -> JournalDown {
    tracing::error!("the journal cannot be written: {down}");
    JournalDown
}

/// A response that is on record and may now be shown. Only [`Audit::record`] makes one.
///
/// ```compile_fail,E0603
/// let forged = gateway::audit::Recorded("secret");
/// ```
#[must_use]
pub struct Recorded<T>(T);

impl<T> Recorded<T> {
    /// What is delivered.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// A refusal that is on record, in the words that the client gets of it.
///
/// ```compile_fail,E0423
/// use gateway::audit::{DecisionId, Noted};
///
/// fn forge(decision: DecisionId) -> Noted {
///     Noted(decision)
/// }
/// ```
#[derive(Debug)]
pub struct Noted(DecisionId);

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decision {}.", self.0)
    }
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
    approved: Option<String>,
    /// Approved operations that run, with their requests.
    running: Vec<(DecisionId, String)>,
    tracer: Tracer,
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
    pub fn admitted(&mut self, grant: &Grant, origin: Origin) -> Result<Owed, JournalDown> {
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
    pub fn allowed<M: Inspect + Auditable>(
        &mut self,
        _grant: &Grant,
        pass: Pass<M>,
    ) -> Result<Cleared<M>, JournalDown> {
        let decision = self.decision();
        let (message, permit) = pass.into_parts();
        let StatementNote { phase, kind, fields, values, text: _ } = message.statement();
        let body = record::Body::Allowed { decision: &decision, phase, values: &self.commitments(&values) };
        let rules = &self.metrics.rules;
        let count = |policies: &[String]| rules.counters("allow", policies.iter().map(String::as_str));
        let written =
            self.permits.with(&permit, count, |permit| self.log.append_soon(&body, &[fields, permit]));
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
        if let Some(request) = self.approved.take() {
            self.running.push((decision.clone(), request));
        }
        Ok(Cleared { message, reveal: permit.reveal, decision, owed })
    }

    /// Writes a refusal down, before it is told.
    pub async fn refused<M: Inspect + Auditable>(
        &mut self,
        _grant: &Grant,
        message: &M,
        denied: &Denied,
    ) -> Result<Noted, JournalDown> {
        let decision = self.decision();
        let StatementNote { phase, kind, fields, values, text: _ } = message.statement();
        let body = record::Body::Refused {
            decision: &decision,
            phase,
            values: &self.commitments(&values),
            policies: &denied.policies,
            version: &denied.version,
            reason: &cut(&denied.reason),
            code: denied.code,
        };
        self.append(&body, &[fields])?;
        let understood = message.understood();
        let decided = Decided { decision: &decision, kind, understood, policies: &denied.policies };
        self.tracer.refused(&decided, denied.code);
        if let Some(request) = self.approved.take() {
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
    ) -> Result<Noted, JournalDown> {
        let decision = self.decision();
        let body = record::Body::Unreadable {
            decision: &decision,
            code: garbled.code(),
            reason: &cut(garbled.reason()),
        };
        self.append(&body, &[])?;
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
    ) -> Result<(), JournalDown> {
        let StatementNote { phase, kind, fields, values, text: _ } = question.message().statement();
        let decision = self.decision();
        let body = record::Body::Held {
            decision: &decision,
            request: &ticket.id,
            phase,
            values: &self.commitments(&values),
            holds: question.holds().iter().map(|h| h.id.as_str()).collect(),
            version: question.version(),
        };
        let position = self.append(&body, &[fields])?;
        if let Some(request) = self.approved.take() {
            self.holds.finish(request, Finish::superseded("the policy in force asks for more")).await;
        }
        let understood = question.message().understood();
        self.tracer.held(&Decided { decision: &decision, kind, understood, policies: &[] }, ticket);
        self.metrics.held.inc();
        self.metrics.rules.count("hold", question.holds().iter().map(|h| h.id.as_str()));
        tracing::info!(session = &*self.session, %decision, request = ticket.id, "held for an approval");
        self.synced(position).await
    }

    /// Writes down how a held operation was answered.
    pub async fn answered(
        &mut self,
        _grant: &Grant,
        ticket: &Ticket,
        answer: &Answer,
    ) -> Result<(), JournalDown> {
        let policies = match answer {
            Answer::Approved(policies) => policies.clone(),
            Answer::Denied(_) | Answer::Pending | Answer::Expired | Answer::Withdrawn | Answer::Frozen(_) => {
                Vec::new()
            }
        };
        let body =
            record::Body::Answered { request: ticket.id.clone(), answer: answer.word().to_owned(), policies };
        let position = self.append(&body, &[])?;
        self.synced(position).await?;
        self.metrics.answered(answer.word());
        self.tracer.answered(answer.word());
        tracing::info!(session = &*self.session, request = ticket.id, "held operation: {}", answer.word());
        self.approved = matches!(answer, Answer::Approved(_)).then(|| ticket.id.clone());
        Ok(())
    }

    /// Counts what is about to be shown.
    pub fn record<C: Measured>(&mut self, masked: Masked<C>) -> Recorded<Masked<C>> {
        let bytes = masked.get().bytes();
        self.bytes += bytes;
        self.metrics.bytes.inc_by(bytes);
        Recorded(masked)
    }

    /// Writes down how an operation ended.
    pub fn outcome(&mut self, outcome: Outcome) -> Result<(), JournalDown> {
        self.tracer.outcome(&outcome);
        let Outcome { decision, rows, duration, sqlstate, masking: _ } = outcome;
        self.rows += rows;
        self.metrics.rows.inc_by(rows);
        self.metrics.stages.took(Stage::Answer, duration);
        if sqlstate.is_some() {
            self.metrics.failed.inc();
        }
        if let Some(at) = self.running.iter().position(|(running, _)| *running == decision) {
            let (_, request) = self.running.swap_remove(at);
            let finish = sqlstate.as_ref().map_or_else(|| Finish::done(rows), |s| Finish::failed(s));
            self.holds.finish_soon(request, finish);
        }
        let body = record::Body::Outcome {
            decision: &decision,
            rows,
            duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            sqlstate: sqlstate.as_deref(),
        };
        // Nothing waits for it: what was done is on record already.
        let written = self.log.append_soon(&body, &[]);
        self.wrote(written).map(|_| ())
    }

    /// Writes down a statement of the gateway's own in this session.
    pub fn gateway(&mut self, target: &str, purpose: &str) -> Result<(), JournalDown> {
        let body = record::Body::Gateway { target: target.to_owned(), purpose: purpose.to_owned() };
        self.append(&body, &[]).map(|_| ())
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
        if let Stop::Ended(why) = stop {
            let body = record::Body::Killed { why: why.to_string() };
            let _ = self.append(&body, &[]);
        }
        let body = record::Body::Closed {
            why: cut(&stop.to_string()),
            operations: self.operations,
            refusals: self.refusals,
            rows: self.rows,
        };
        self.tracer.close(stop);
        if self.append(&body, &[]).is_err() {
            tracing::error!(
                session = &*self.session,
                "a session's last line could not be written to the journal"
            );
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

    /// Commitments that can be checked by who has the session's key, and tell nothing to others: not even whether two
    /// values are equal. One is the first half of the SHA-256 of key, decision, index, and each value behind its length;
    /// the half that is not shown is what continuing it would take.
    fn commitments(&self, values: &[ValueNote<'_>]) -> Vec<Commitment> {
        let one = |index: usize, values: &[ValueNote<'_>]| {
            let mut context = digest::Context::new(&digest::SHA256);
            context.update(&self.key);
            context.update(&(u128::from(self.decisions) << 64 | u128::from(wide(index))).to_be_bytes());
            for ValueNote { bytes, form: _ } in values {
                match bytes {
                    None => context.update(&[0]),
                    Some(value) => {
                        context.update(&(1_u128 << 64 | u128::from(wide(value.len()))).to_be_bytes());
                        context.update(value);
                    }
                }
            }
            Commitment(context.finish().as_ref().first_chunk().copied().unwrap_or_default())
        };
        let (single, shared) = values.split_at(values.len().min(MOST_VALUES));
        let mut all: Vec<Commitment> =
            single.iter().enumerate().map(|(i, v)| one(i, std::slice::from_ref(v))).collect();
        if !shared.is_empty() {
            all.push(one(single.len(), shared));
        }
        all
    }
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
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

/// What records say of an operation, bounded.
pub fn fields(kind: &str, text: &str, effects: &[Effect]) -> Fields {
    let mut lines: Vec<String> = effects.iter().take(MOST_EFFECTS).map(line).collect();
    if effects.len() > MOST_EFFECTS {
        lines.push(format!("and {} more", effects.len() - MOST_EFFECTS));
    }
    Fields::operation(kind, &bounded(text), &lines)
}

/// What records say of the permits that a session got last.
#[derive(Default)]
struct Permits(VecDeque<Known>);

/// A permit, its fields, and the counters of the policies that decided it.
struct Known {
    permit: Permit,
    fields: Fields,
    counters: Arc<[Counter]>,
}

/// So many permits are kept.
const MOST_PERMITS: usize = 8;

impl Permits {
    /// Counts a permit and calls a function with its fields. Permits of one verdict share their parts.
    fn with<T>(
        &mut self,
        permit: &Permit,
        counters: impl FnOnce(&[String]) -> Arc<[Counter]>,
        write: impl FnOnce(&Fields) -> T,
    ) -> T {
        let same = |known: &&Known| {
            Arc::ptr_eq(&known.permit.policies, &permit.policies)
                && Arc::ptr_eq(&known.permit.version, &permit.version)
                && Arc::ptr_eq(&known.permit.reveal, &permit.reveal)
                && known.permit.approved == permit.approved
        };
        if let Some(known) = self.0.iter().find(same) {
            known.count();
            return write(&known.fields);
        }
        let revealed: Vec<String> = permit.reveal.iter().map(ToString::to_string).collect();
        let fields = Fields::permit(&permit.policies, &permit.version, &revealed, &permit.approved);
        let known = Known { permit: permit.clone(), fields, counters: counters(&permit.policies) };
        known.count();
        let written = write(&known.fields);
        if self.0.len() >= MOST_PERMITS {
            self.0.pop_front();
        }
        self.0.push_back(known);
        written
    }
}

impl Known {
    fn count(&self) {
        self.counters.iter().for_each(|counter| {
            counter.inc();
        });
    }
}

/// One effect in a line: `update public.orders`, `select public.t via public.v`, `unknown the target: why`.
pub(crate) fn line(effect: &Effect) -> String {
    let mut line = format!("{} {}", effect.action.as_str(), effect.resource);
    if let Some(view) = &effect.via {
        line.push_str(" via ");
        line.push_str(&view.to_string());
    }
    if let Some(why) = &effect.why {
        line.push_str(": ");
        line.push_str(&cut(why));
    }
    line
}

/// A statement's text, bounded.
fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_TEXT {
        return Cow::Borrowed(text);
    }
    let cut = text.get(..text.floor_char_boundary(LONGEST_TEXT)).unwrap_or_default();
    Cow::Owned(format!("{cut}…"))
}

fn cut(words: &str) -> String {
    if words.len() <= LONGEST_WORDS {
        return words.to_owned();
    }
    let mut short = words.get(..words.floor_char_boundary(LONGEST_WORDS)).unwrap_or_default().to_owned();
    short.push('…');
    short
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(if n < 10 { b'0' + n } else { b'a' + n - 10 });
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}
