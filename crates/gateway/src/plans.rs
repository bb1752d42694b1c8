//! Plans: several statements that are approved as one ordered unit, and carried out once, by the gateway or by whoever asked.
//!
//! What is submitted is foreseen and filed as one request; from its approval on it is claimed before anything of it is sent, and its
//! statements go through a session like any other's. None of that needs a client's connection: what submits plans is any caller
//! that has shown whose token it brings.

mod ahead;
mod carry;
mod foresee;
mod inside;
mod run;
mod take_up;
mod trying;

use std::net::SocketAddr;
use std::sync::Arc;

use journal::record;
use model::{CarriedBy, Filed, Plan, Progress, Request, Room, Stage, Status, TakenBack, TargetName};
use policy::{Denied, Grant};
use serde::Serialize;
use sql::postgres::pieces::pieces;
use tokio::time::{Instant, sleep_until};

pub use self::ahead::Ahead;
pub(crate) use self::carry::Waiting;
pub(crate) use self::run::{DECIDE_NOTHING, Plans, Run, STOPPED};
use crate::audit::{JournalDown, Origin};
use crate::catalogue::ReadError;
use crate::gateway::Gateway;
use crate::holds::MOST_OPEN;
use crate::inside::NotIn;
use crate::net::dial::way_on;
use crate::protocols::postgres::Garbled;
use crate::sessions::Place;
use crate::state::StateError;
use crate::tokens::Admitted;

/// What a plan's sessions call themselves.
const APPLICATION: &str = "durward plan";
/// The longest reason, in bytes.
const LONGEST_REASON: usize = 2000;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Submission {
    /// On which target.
    pub target: String,
    /// The statements, in their order, as a file has them.
    pub script: String,
    /// What for.
    pub reason: Option<String>,
    /// Who sends them once they are approved.
    pub by: CarriedBy,
}

/// A plan as whoever submitted it sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// The request's id.
    pub id: String,
    /// Where it stands.
    pub status: Status,
    /// On which target.
    pub target: TargetName,
    /// What became of it.
    pub outcome: Option<String>,
    /// What was altered since the same was asked for before.
    pub changed: Option<String>,
    /// Until when it can be answered or used, in seconds since 1970.
    pub expires: i64,
    /// What it is.
    pub plan: Plan,
    /// How far it has come, with its results.
    pub progress: Progress,
    /// How to answer it.
    pub how: String,
}

/// Why a plan is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The token is none, or has ended.
    #[error("the token is not valid")]
    Token,
    /// It is refused.
    #[error("{0}")]
    Refused(Refused),
    /// There is none of this id, or it is somebody else's.
    #[error("there is no plan {0}")]
    Missing(String),
    /// Nor any request of theirs.
    #[error("there is no request {0} of yours")]
    NoRequest(String),
    /// The store.
    #[error("the store: {0}")]
    State(#[from] StateError),
    /// What cannot be recorded is not done.
    #[error(transparent)]
    Journal(#[from] JournalDown),
}

/// A refusal, of a plan as a whole or of one of its statements.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The statement's number, from 1.
    pub statement: Option<usize>,
    /// SQLSTATE, or one of ours.
    pub code: &'static str,
    /// Why.
    pub reason: String,
    /// What would work instead.
    pub hint: Option<String>,
}

impl Refused {
    pub(crate) fn whole(reason: String) -> Self {
        Self { statement: None, code: "42501", reason, hint: None }
    }

    /// Its target's catalogue cannot be read: why, and who can do something about it.
    pub(crate) fn unread(target: &TargetName, error: &ReadError, without: &str) -> Self {
        let (code, reason) = error.for_client(without);
        Self { statement: None, code, reason, hint: Some(way_on(target)) }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(number) = self.statement {
            write!(f, "statement {number}: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl From<Denied> for PlanError {
    fn from(Denied { code, reason, hint, .. }: Denied) -> Self {
        Self::Refused(Refused { statement: None, code, reason, hint })
    }
}

impl From<Garbled> for Refused {
    fn from(garbled: Garbled) -> Self {
        Self { statement: None, code: garbled.code, reason: garbled.message, hint: garbled.hint }
    }
}

/// Somebody who was let in, in a session of a plan's own, and stays so until it is over.
struct Entered {
    admitted: Admitted,
    grant: Grant,
    place: Place,
    origin: Origin,
}

impl Gateway {
    /// Takes a plan: foresees it, files it, and waits with it for its answer.
    ///
    /// # Errors
    /// Why it is not taken.
    pub async fn submit_plan(
        self: &Arc<Self>,
        token: &str,
        submission: &Submission,
        from: SocketAddr,
    ) -> Result<Shown, PlanError> {
        let admitted = self.known(token, from).await?;
        let target = TargetName::new(submission.target.as_str());
        let entered = self.enter_for_plan(admitted, &target, from)?;
        let who = entered.grant.principal().id.to_string();
        match self.take_plan(&entered, submission).await {
            Ok((id, not_before)) => {
                if submission.by == CarriedBy::Gateway {
                    carry::wait(self, entered, &id);
                }
                // Whoever answers sees it at once; whoever asks hears of it at a moment that tells nothing of what was seen.
                if let Some(moment) = not_before {
                    sleep_until(moment).await;
                }
                let request = self.state().request(&id).await?.ok_or(PlanError::Missing(id))?;
                self.shown(request).await
            }
            Err(error) => {
                let detail = format!("on {target}: {error}");
                self.administered(&who, "plan refused", &detail).map_err(|_| JournalDown)?;
                Err(error)
            }
        }
    }

    /// One's own plan. Where it waits or is approved and this gateway does not wait with it, as after a restart, it does now.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn own_plan(
        self: &Arc<Self>,
        token: &str,
        id: &str,
        from: SocketAddr,
    ) -> Result<Shown, PlanError> {
        let admitted = self.known(token, from).await?;
        let missing = || PlanError::Missing(id.to_owned());
        let request = self.own_request(&admitted, id).await?.ok_or_else(missing)?;
        let plan = request.preview.ordered.as_deref().filter(|plan| plan.by != CarriedBy::Message);
        let plan = plan.ok_or_else(missing)?;
        if plan.by == CarriedBy::Gateway && request.status.is_open() && !carry::waits(self, id) {
            let entered = self.enter_for_plan(admitted, &request.target, from)?;
            carry::wait(self, entered, id);
        }
        self.shown(request).await
    }

    /// Takes one's own plan back, where it waits or is approved and nothing of it was sent.
    ///
    /// # Errors
    /// There is none, it is over or under way, or it cannot be stored or recorded.
    pub async fn withdraw_plan(
        self: &Arc<Self>,
        token: &str,
        id: &str,
        from: SocketAddr,
    ) -> Result<Shown, PlanError> {
        let admitted = self.known(token, from).await?;
        let missing = || PlanError::Missing(id.to_owned());
        let request = self.own_request(&admitted, id).await?.ok_or_else(missing)?;
        let plan = request.preview.ordered.as_deref().filter(|plan| plan.by != CarriedBy::Message);
        plan.ok_or_else(missing)?;
        let now = self.take_back(&request, "plan").await?;
        self.shown(now).await
    }

    /// Takes one's own request back, whatever it asks for, where it waits or is approved and nothing of it was sent. Where it stands
    /// then.
    ///
    /// # Errors
    /// There is none, it is over or under way, or it cannot be stored or recorded.
    pub async fn withdraw_request(
        &self,
        token: &str,
        id: &str,
        from: SocketAddr,
    ) -> Result<Status, PlanError> {
        let admitted = self.known(token, from).await?;
        let missing = || PlanError::NoRequest(id.to_owned());
        let request = self.own_request(&admitted, id).await?.ok_or_else(missing)?;
        Ok(self.take_back(&request, "request").await?.status)
    }

    async fn take_back(&self, request: &Request, what: &str) -> Result<Request, PlanError> {
        let id = &request.id;
        let too_late = |status: Status| {
            PlanError::Refused(Refused::whole(format!(
                "{what} {id} is {status} already: it cannot be taken back"
            )))
        };
        if !request.status.is_open() {
            return Err(too_late(request.status));
        }
        self.administered(&request.principal, &format!("{what} withdrawn"), id).map_err(|_| JournalDown)?;
        // Of whoever claims it and this, the store lets one be first.
        let taken = self.state().withdraw(id).await?;
        self.holds().changed();
        match taken {
            TakenBack::Now(_) => {
                self.state().request(id).await?.ok_or_else(|| PlanError::NoRequest(id.clone()))
            }
            TakenBack::TooLate(status) => Err(too_late(status)),
        }
    }

    /// How far a plan has come, for those who answered it; nothing where it cannot be read. What a server said of a failure is for
    /// whoever ran it: it quotes values.
    pub async fn plan_progress(&self, id: &str) -> Progress {
        let progress = self.state().plan(id).await;
        let mut progress = progress
            .unwrap_or_else(|error| {
                tracing::error!(request = id, "a plan cannot be read: {error}");
                None
            })
            .unwrap_or_default();
        for done in &mut progress.done {
            if let Some(state) = &done.sqlstate {
                done.error = Some(format!("SQLSTATE {state}"));
            }
        }
        progress
    }

    /// Whose token it is. Whoever guesses waits.
    async fn known(&self, token: &str, from: SocketAddr) -> Result<Admitted, PlanError> {
        self.admit_inside(token, from).await.map_err(|error| match error {
            NotIn::Token => PlanError::Token,
            NotIn::Closed(denied) => denied.into(),
            NotIn::Journal(down) => down.into(),
        })
    }

    /// A session of the plan's own, as far as it is known who it is: it can be ended like any other.
    fn enter_for_plan(
        &self,
        admitted: Admitted,
        target: &TargetName,
        from: SocketAddr,
    ) -> Result<Entered, PlanError> {
        let session = self
            .session_id()
            .ok_or_else(|| PlanError::Refused(Refused::whole("the system gives no randomness".to_owned())))?;
        let origin = Origin { session, address: from, application: APPLICATION.into(), tls: None };
        let place = self.enter(&admitted, target, &origin)?;
        let grant = self.admit_to(admitted.identity(), target, &self.context(&origin, false));
        let grant = grant.map_err(|no_leave| no_leave.told)?;
        Ok(Entered { admitted, grant, place, origin })
    }

    /// Files it: its id, and before when whoever asks does not hear of it.
    async fn take_plan(
        &self,
        entered: &Entered,
        submission: &Submission,
    ) -> Result<(String, Option<Instant>), PlanError> {
        let Submission { target: _, script, reason, by } = submission;
        let whole = |why: &str| PlanError::Refused(Refused::whole(why.to_owned()));
        if reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
            return Err(whole("the reason is too long"));
        }
        let grant = &entered.grant;
        let target = self.target(grant.target()).ok_or_else(|| whole("its target is gone"))?;
        target.catalogue.ready().await.map_err(|error| {
            tracing::warn!(%error, "a plan's target cannot be read");
            PlanError::Refused(Refused::unread(
                &target.name,
                &error,
                "without which it understands no statement",
            ))
        })?;
        let major = target.catalogue.current().0.server_version / 10_000;
        let parts = pieces(script, major).map_err(|refusal| {
            let at = refusal.position().map(|at| format!(" at character {at}")).unwrap_or_default();
            PlanError::Refused(Refused {
                statement: None,
                code: refusal.sqlstate(),
                reason: format!("{refusal}{at}"),
                hint: refusal.hint(),
            })
        })?;
        let context = self.context(&entered.origin, false);
        let wanted = foresee::Wanted {
            reason: reason.as_deref(),
            by: *by,
            session: &entered.origin.session,
            look: true,
        };
        let foreseen = self.foresee(grant, &parts, &wanted, &context).await?;
        let limits = self.limits();
        let room = Room { waiting: MOST_OPEN, one: limits.requests_of_one, all: limits.requests_in_all };
        // Nothing is tried for what would not be kept, and nothing again for what is.
        let (new, not_before) = match self.state().foresee(&foreseen.new, &room).await? {
            Some(_) => (foreseen.new, None),
            None => self.try_plan(grant, foreseen, &context).await,
        };
        let (id, changed) = match self.state().file(&new, &room).await? {
            Filed::Now(id) | Filed::Before(id) => (id, None),
            Filed::Anew(id, changed) => (id, Some(changed)),
            Filed::TooMany => return Err(whole("too many requests of yours wait already")),
            Filed::NoRoom { .. } => {
                return Err(whole("there is no room for its request: ask the gateway's operator"));
            }
        };
        self.state().note_plan(&id, Stage::Waiting, &Progress::default()).await?;
        let principal = grant.principal();
        self.note(&record::Body::Planned {
            request: id.clone(),
            who: principal.id.to_string(),
            on_behalf_of: principal.on_behalf_of.iter().map(ToString::to_string).collect(),
            target: grant.target().to_string(),
            session: new.session.clone(),
            digest: new.digest.clone(),
            statements: new.text.split(";\n").map(str::to_owned).collect(),
            holds: new.holds.iter().map(|rule| rule.id.clone()).collect(),
            version: new.version.clone(),
            reason: reason.clone(),
            changed,
        })?;
        self.holds().changed();
        Ok((id, not_before))
    }

    async fn shown(&self, request: Request) -> Result<Shown, PlanError> {
        let progress = self.state().plan(&request.id).await?.unwrap_or_default();
        let page = self.console_place().map(|place| format!(", or {}", place.request(&request.id)));
        Ok(Shown {
            how: format!("durward requests approve {}{}", request.id, page.unwrap_or_default()),
            id: request.id,
            status: request.status,
            target: request.target,
            outcome: request.outcome,
            changed: request.changed,
            expires: request.expires,
            plan: request.preview.ordered.map(|plan| plan.unseen()).unwrap_or_default(),
            progress,
        })
    }
}
