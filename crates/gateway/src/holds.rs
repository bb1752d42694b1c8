//! Held operations: a question to people, filed once, and its answer, used once.

mod answers;
mod ceiling;
mod claim;
mod describe;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use model::{
    Ceiling, Filed, Finish, HoldRule, Inspect, NewRequest, Preview, Room, Stage, Standing, Status, TakenBack,
    TargetName,
};
use policy::{Denied, Grant, Question};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use self::answers::refused;
pub use self::answers::{Answer, DENIED, EXPIRED, Left, PENDING, UNASKED};
pub(crate) use self::answers::{cancelled, no_room_for, nothing_to_ask};
pub use self::ceiling::Countable;
pub(crate) use self::ceiling::{above, ceiling_of};
use self::claim::{Claim, Claims, Waiting};
pub use self::describe::{Alike, Plain};
pub(crate) use self::describe::{Parts, describe, numbered, summary};
use crate::catalogue::ReadError;
use crate::freshness::SharedCatalogue;
use crate::looked::Looked;
use crate::plans::{Plans, Run};
use crate::presence::Place;
use crate::protocols::postgres::preview::Seen;
use crate::protocols::postgres::preview::trial::Kept;
use crate::spine::Auditable;
use crate::state::{State, StateError};
use crate::traces::Moment;

/// What becomes of an approval that was claimed and of which nothing was sent.
const LEFT: &str = "whoever asked left before it was sent";

/// So many of one principal's requests may wait at a time.
pub(crate) const MOST_OPEN: usize = 50;
/// Another replica's answer is seen this late at most.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A question that has been filed.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// The request's id.
    pub id: String,
    /// What it asks, in a line.
    pub summary: Box<str>,
    /// How to answer it, and how long there is; empty where it was answered before, as a statement of a plan.
    pub how: Box<str>,
    /// How long the session waits.
    pub patience: Duration,
    /// What was altered since the same was asked for before, if so.
    pub changed: Option<String>,
    /// On which target.
    pub target: TargetName,
    /// What was tried and is open: it is committed in the place of what was asked for.
    pub(crate) kept: Option<Box<Kept>>,
    catalogue: Known,
    /// It is only asked for: nobody waits for its answer, and none is used.
    only_asked: bool,
    /// When it was asked for.
    #[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "nobody traces it"))]
    pub(crate) asked: Moment,
    until: Instant,
    claim: Arc<Claim>,
}

/// What a question is filed within.
pub(crate) struct Within {
    /// How long the session waits.
    pub patience: Duration,
    /// What may be kept.
    pub room: Room,
    /// Why no standing grant covers it that would have, as a clause.
    pub uncovered: Option<String>,
}

/// What the target held when an operation was understood.
#[derive(Clone)]
pub(crate) struct Known {
    /// Where it is looked up; `None` where there is no such target any more.
    pub catalogue: Option<Arc<SharedCatalogue>>,
    /// The version that was known then.
    pub version: u64,
}

impl Known {
    /// Looks at the target whether anything has been altered since.
    pub(crate) async fn has_moved(&self) -> Result<bool, ReadError> {
        match &self.catalogue {
            Some(catalogue) => Ok(catalogue.version_now().await? != self.version),
            None => Ok(false),
        }
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "version {}", self.version)
    }
}

/// What comes of asking.
#[derive(Debug)]
pub enum Asked {
    /// It is filed.
    Filed(Ticket),
    /// The target's objects were altered since the operation was understood: it has to be understood again.
    Moved,
}

/// The held operations of this gateway.
#[derive(Clone)]
pub struct Holds {
    state: State,
    changed: Arc<Notify>,
    /// Rings for whoever watches, at what is filed as well.
    news: Arc<Notify>,
    /// Where people answer, once that is known.
    console: Arc<OnceLock<Place>>,
    waiting: Waiting,
    plans: Plans,
    /// What was seen of operations of late.
    looked: Arc<Looked>,
}

impl Holds {
    /// Over the gateway's state; the gauge tells how many sessions wait.
    pub fn new(state: State, waiting: Gauge) -> Self {
        Self {
            state,
            changed: Arc::default(),
            news: Arc::default(),
            console: Arc::default(),
            waiting: Waiting::new(waiting),
            plans: Plans::default(),
            looked: Arc::default(),
        }
    }

    pub(crate) fn looked(&self) -> &Looked {
        &self.looked
    }

    /// Says where people answer.
    pub(crate) fn set_console(&self, place: &Place) {
        let _ = self.console.set(place.clone());
    }

    /// Wakes the sessions that wait: somebody has answered.
    pub fn changed(&self) {
        self.changed.notify_waiters();
        self.news.notify_waiters();
    }

    /// Resolves when somebody has answered after this call, or something else that what waits depends on may be otherwise.
    pub(crate) fn when_changed(&self) -> impl Future<Output = ()> + Send + 'static {
        let changed = Arc::clone(&self.changed).notified_owned();
        async move {
            let _ = timeout(LOOK_AGAIN, changed).await;
        }
    }

    /// Resolves when something was filed, answered or finished after this call.
    pub fn news(&self) -> impl Future<Output = ()> + Send + 'static {
        Arc::clone(&self.news).notified_owned()
    }

    /// Files a question, unless the very same one waits already or was approved and not used.
    ///
    /// # Errors
    /// A refusal for the client: too many wait, or the store cannot be written.
    pub(crate) async fn file<M: Inspect + Auditable, L: Future<Output = Seen>>(
        &self,
        grant: &Grant,
        question: &Question<M>,
        session: &str,
        Within { patience, room, uncovered }: Within,
        catalogue: Known,
        look: impl FnOnce(String) -> L,
    ) -> Result<Asked, Denied> {
        let refuse = |code, reason: String, hint: &str| refused(question, code, reason, hint);
        let asked = Moment::now();
        match catalogue.has_moved().await {
            Ok(true) => return Ok(Asked::Moved),
            Ok(false) => (),
            // It is looked at again before an approval is used.
            Err(error) => tracing::warn!(%error, "a request is filed by what was known of its target"),
        }
        let unfiled = |error: StateError| {
            tracing::error!("a request cannot be filed: {error}");
            let hint = "Try again; if it fails again, the gateway's operator must look at its store.";
            refuse(
                "58000",
                "the statement needs an approval, and the request for it could not be filed".to_owned(),
                hint,
            )
        };
        let too_many = || {
            let reason = format!(
                "this statement needs an approval, and {} requests of yours wait already",
                room.waiting
            );
            refuse("53400", reason, "Wait until some of them are answered.")
        };
        let countable = question.message().countable();
        let request = describe(grant, question, session);
        // Nothing is done for what would not be kept, and nothing again for what is.
        let seen = match (self.state.foresee(&request, &room).await.map_err(unfiled)?, &countable) {
            (Some(Filed::TooMany), _) => return Err(too_many()),
            (None, Countable::Rows(_) | Countable::Nothing(_)) => look(request.digest.clone()).await,
            (Some(_), _) | (None, Countable::Entangled(_)) => Seen::default(),
        };
        let not_before = seen.not_before;
        let ceiling = match countable {
            Countable::Rows(of) => ceiling_of(question.holds(), &seen, of),
            Countable::Nothing(why) => Ceiling::None(why),
            Countable::Entangled(why) => {
                let hint = "Send BEGIN first, then the statement by itself, then COMMIT.";
                return Err(refuse("0A000", why.to_owned(), hint));
            }
        };
        let above = above(&ceiling, &seen);
        let Seen { preview, kept, .. } = seen;
        let mut preview = Preview { reason: request.preview.reason.clone(), ..preview };
        preview.unseen.extend(above);
        let expires = request.holds.iter().map(|h| h.expires).min().unwrap_or(0);
        let patience = patience.min(Duration::from_secs(expires));
        let only_asked = question.message().errand().is_some_and(|errand| errand.asks_only);
        let waits = if only_asked { 0 } else { patience.as_secs().max(1) };
        let request = NewRequest { ceiling, preview, waits, ..request };
        let (holds, summary, target) = (self.clone(), request.summary.clone(), request.target.clone());
        // Whoever leaves while it is written down leaves nothing behind that waits.
        let filing = tokio::spawn(async move {
            let filed = holds.state.file(&request, &room).await?;
            Ok::<_, StateError>(Unheard { filed: Some(filed), session: request.session, holds })
        });
        let filed = filing.await.map_err(|error| StateError(error.to_string())).and_then(|filed| filed);
        let filed = filed.map_err(unfiled)?;
        self.news.notify_waiters();
        // Whoever answers sees it at once; whoever asks hears of it at a moment that tells nothing of what was seen.
        if let Some(moment) = not_before {
            sleep_until(moment).await;
        }
        let Some(filed) = filed.heard() else { return Err(unfiled(StateError("it is gone".to_owned()))) };
        let (id, changed, kept) = match filed {
            Filed::Now(id) => (id, None, kept),
            // Whoever answers it was shown something else.
            Filed::Before(id) => (id, None, None),
            Filed::Anew(id, changed) => {
                // Whoever waits for what it takes the place of asks for it, too.
                self.changed();
                (id, Some(changed), kept)
            }
            Filed::TooMany => return Err(too_many()),
            Filed::NoRoom { bytes, taken, all } => {
                return Err(no_room_for(question, &room, bytes, taken, all));
            }
        };
        let how = format!(
            "To approve: durward requests approve {id}{}. This session waits {} s; the request stands for {} min.",
            self.console.get().map(|place| format!(", or {}", place.request(&id))).unwrap_or_default(),
            patience.as_secs(),
            expires.div_ceil(60)
        );
        let claim = Claim::new(&self.waiting, session);
        Ok(Asked::Filed(Ticket {
            asked,
            id,
            changed: changed.or(uncovered),
            catalogue,
            only_asked,
            summary: summary.into(),
            how: how.into(),
            patience,
            target,
            kept: kept.map(Box::new),
            until: Instant::now() + patience,
            claim,
        }))
    }

    /// A ticket that has its answer: the statement is one of a plan that was approved.
    pub(crate) fn admitted(
        &self,
        request: &str,
        target: &TargetName,
        step: String,
        catalogue: Known,
        claim: model::Claim,
    ) -> Ticket {
        let answered = Claim::new(&self.waiting, "");
        answered.tell(&Answer::Approved(claim));
        Ticket {
            id: request.to_owned(),
            summary: step.into(),
            how: Box::default(),
            patience: Duration::ZERO,
            changed: None,
            target: target.clone(),
            kept: None,
            catalogue,
            only_asked: false,
            asked: Moment::now(),
            until: Instant::now(),
            claim: answered,
        }
    }

    /// The plans that are under way here.
    pub(crate) fn plans(&self) -> &Plans {
        &self.plans
    }

    /// Waits for the answer, within the session's patience. An approval is claimed: nobody else can use it. `frozen` says why
    /// nothing on the target runs, if so; then none is claimed. `asks` says whether rules are those in force: where they are not, the
    /// question is another one by now. Cancel-safe.
    pub async fn answer(
        &self,
        ticket: &Ticket,
        frozen: impl Fn() -> Option<Arc<str>>,
        asks: impl Fn(&[HoldRule]) -> bool,
    ) -> Answer {
        if ticket.only_asked {
            return Answer::Pending;
        }
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(answer) = ticket.claim.answer() {
                return answer;
            }
            if !ticket.claim.begun.load(Ordering::Acquire) {
                if let Some(why) = frozen() {
                    return Answer::Frozen(why);
                }
                match self.state.standing(&ticket.id).await {
                    Ok(Standing { status: Status::Pending | Status::Approved, words: _, holds })
                        if !asks(&holds) =>
                    {
                        return Answer::Moved;
                    }
                    Ok(Standing { status, words, holds: _ }) => match status {
                        Status::Approved => self.begin_claim(ticket),
                        Status::Denied => return Answer::Denied(words),
                        Status::Expired
                        | Status::Claimed
                        | Status::Lapsed
                        | Status::Rescinded
                        | Status::Done
                        | Status::Failed
                        | Status::OutcomeUnknown => return Answer::Expired,
                        Status::Superseded => return Answer::Moved,
                        Status::Withdrawn => return Answer::Withdrawn(Left::TakenBack),
                        Status::Pending => (),
                    },
                    Err(error) => tracing::error!(request = ticket.id, "a request cannot be read: {error}"),
                }
                let now = Instant::now();
                if now >= ticket.until && !ticket.claim.begun.load(Ordering::Acquire) {
                    return Answer::Pending;
                }
            }
            let wait = ticket.until.saturating_duration_since(Instant::now());
            let _ = timeout(wait.clamp(Duration::from_millis(1), LOOK_AGAIN), changed).await;
        }
    }

    fn begin_claim(&self, ticket: &Ticket) {
        if ticket.claim.begun.swap(true, Ordering::AcqRel) {
            return;
        }
        let (holds, id, claim) = (self.clone(), ticket.id.clone(), Arc::clone(&ticket.claim));
        let known = ticket.catalogue.clone();
        tokio::spawn(async move {
            let moved = known.has_moved().await;
            let answer = match moved {
                // Whoever has left meanwhile uses nothing up.
                Ok(false) if !claim.go_on() => return,
                Ok(false) => holds.claim(&id).await,
                Ok(true) => Answer::Moved,
                Err(error) => {
                    tracing::error!(request = id, %error, "an approval is not used: its target cannot be looked at");
                    Answer::Pending
                }
            };
            if !claim.tell(&answer) && matches!(answer, Answer::Approved(_)) {
                holds.finish(id, Finish::superseded(LEFT)).await;
            }
            holds.changed();
        });
    }

    async fn claim(&self, id: &str) -> Answer {
        match self.state.claim(id).await {
            Ok(Some(claim)) => {
                self.looked.forget();
                Answer::Approved(claim)
            }
            // Another session sent the same statement and was first.
            Ok(None) => Answer::Expired,
            Err(error) => {
                tracing::error!(request = id, "an approval cannot be claimed: {error}");
                Answer::Pending
            }
        }
    }

    /// The client has cancelled or left: the request is no longer asked, and an approval that came in the same moment is not used
    /// later by whoever sends the same again. What became of it.
    pub async fn withdraw(&self, ticket: &Ticket) -> Left {
        // Of this and a claim that is under way, the later one sees the other.
        let mut claims = ticket.claim.leave();
        if let Claims::Answered(Answer::Approved(_)) = claims {
            self.finish(ticket.id.clone(), Finish::superseded(LEFT)).await;
            return Left::Used;
        }
        let left = self.leave(&ticket.id, ticket.claim.session()).await;
        // Whether it was used by this very session, its claim knows as soon as the store has answered it.
        while let (Left::Over(_), Claims::UnderWay) = (left, &claims) {
            let changed = self.when_changed();
            claims = ticket.claim.claims();
            if claims == Claims::UnderWay {
                changed.await;
            }
        }
        match claims {
            Claims::Answered(Answer::Approved(_)) => Left::Used,
            Claims::Answered(_) | Claims::Never | Claims::UnderWay => left,
        }
    }

    /// Takes a request back that no session waits for any more, at whichever gateway of the store.
    async fn leave(&self, id: &str, session: &str) -> Left {
        let left = self.state.leave(id, session).await.map(|taken| match taken {
            None => Left::Shared,
            // Whoever asked may have taken it back by other means.
            Some(TakenBack::Now(_) | TakenBack::TooLate(Status::Withdrawn)) => Left::TakenBack,
            Some(TakenBack::TooLate(status)) => Left::Over(status),
        });
        left.unwrap_or_else(|error| {
            tracing::error!(request = id, "a request cannot be withdrawn: {error}");
            Left::Unknown
        })
    }

    /// Notes what became of an approved operation.
    pub async fn finish(&self, request: String, finish: Finish) {
        if let Some((session, run)) = self.plans.by_request(&request) {
            // It is one statement of several.
            let Some(all) = run.stepped(&finish) else { return };
            return self.plan_over(&session, &run, all).await;
        }
        self.finished(request, finish).await;
    }

    async fn finished(&self, request: String, finish: Finish) {
        if let Err(error) = self.state.finish(&request, &finish).await {
            tracing::error!(request, "the outcome of a request cannot be noted: {error}");
        }
    }

    /// A plan that its session carries out is over, and this came of it. Where it was to be one transaction, that is open still, and
    /// nothing but its end goes through in it.
    pub(crate) async fn plan_over(&self, session: &str, run: &Run, finish: Finish) {
        if run.plan.apart.is_some() {
            self.plans.end(session);
        }
        if let Err(error) = self.state.note_plan(&run.request, Stage::Staying, &run.progress()).await {
            tracing::error!(request = run.request, "what came of a plan cannot be noted: {error}");
        }
        self.finished(run.request.clone(), finish).await;
        self.changed();
    }

    /// The same, without waiting for it.
    pub(crate) fn plan_over_soon(&self, session: &str, run: &Arc<Run>, finish: Finish) {
        let (holds, session, run) = (self.clone(), session.to_owned(), Arc::clone(run));
        if run.plan.apart.is_some() {
            self.plans.end(&session);
        }
        tokio::spawn(async move { holds.plan_over(&session, &run, finish).await });
    }

    /// Notes what became of an approved operation, without waiting for that.
    pub fn finish_soon(&self, request: String, finish: Finish) {
        let holds = self.clone();
        if let Some((session, run)) = self.plans.by_request(&request) {
            // The next statement of a plan may be on its way already.
            if let Some(all) = run.stepped(&finish) {
                self.plan_over_soon(&session, &run, all);
            }
            return;
        }
        tokio::spawn(async move { holds.finish(request, finish).await });
    }
}

/// What was filed and whoever asks has not heard of. Where they leave before, it is taken back.
struct Unheard {
    filed: Option<Filed>,
    session: String,
    holds: Holds,
}

impl Unheard {
    fn heard(mut self) -> Option<Filed> {
        self.filed.take()
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        // What was filed before is somebody's who waits, or was approved.
        let Some(Filed::Now(id) | Filed::Anew(id, _)) = self.filed.take() else { return };
        let (holds, session) = (self.holds.clone(), std::mem::take(&mut self.session));
        tokio::spawn(async move {
            holds.leave(&id, &session).await;
            holds.changed();
        });
    }
}

#[cfg(test)]
mod tests;
