//! A held statement of a session that carries out a plan: let through where it is the plan's next, and the plan's end where it is
//! not.

use std::sync::Arc;

use model::{CarriedBy, Finish, HoldRule, Inspect, Progress, Request, Stage, Status};
use policy::{Context, Denied, Grant, Question};
use sql::postgres::pieces::pieces;

use super::run::{Run, STOPPED, is_same, leading};
use super::{PlanError, foresee};
use crate::gateway::Gateway;
use crate::holds::{Asked, Known};
use crate::spine::Auditable;

impl Gateway {
    /// The plan that a session carries out; it begins with one that was approved, where this is its first held statement.
    pub(crate) async fn plan_under_way<M: Inspect + Auditable>(
        &self,
        grant: &Grant,
        question: &Question<M>,
        session: &str,
        now: &Context,
    ) -> Result<Option<Arc<Run>>, Denied> {
        if let Some(run) = self.holds().plans().of(session) {
            return Ok(Some(run));
        }
        let principal = grant.principal();
        let approved = self.state().approved_plans(&principal.id.to_string(), grant.target()).await;
        let approved = approved.unwrap_or_else(|error| {
            tracing::error!("approved plans cannot be looked for: {error}");
            Vec::new()
        });
        for id in approved {
            let Ok(Some(request)) = self.state().request(&id).await else { continue };
            if !begins_with(&request, grant, question.message()) {
                continue;
            }
            // Nothing of it is used up by what could not be all of it.
            if let Err(why) = begins_here(&request, question.message(), now) {
                return Err(stray(&id, question, why));
            }
            match self.claim_plan(grant, &request, now).await {
                Ok(run) => {
                    let run = Arc::new(run);
                    self.holds().plans().begin(session, Arc::clone(&run));
                    return Ok(Some(run));
                }
                Err(why) => tracing::info!(request = id, session, "a plan is not carried out: {why}"),
            }
        }
        Ok(None)
    }

    /// Lets a held statement through as one of a plan.
    pub(crate) async fn admit<M: Inspect + Auditable>(
        &self,
        run: &Arc<Run>,
        grant: &Grant,
        question: &Question<M>,
        session: &str,
        known: Known,
        now: &Context,
    ) -> Result<Asked, Denied> {
        match known.has_moved().await {
            Ok(true) => return Ok(Asked::Moved),
            Ok(false) => (),
            Err(error) => {
                tracing::error!(request = run.request, %error, "the target of a plan cannot be looked at");
                return Err(self.stopped(run, question, session, "its target cannot be looked at").await);
            }
        }
        let whole = run.plan.apart.is_none();
        if run.plan.by == CarriedBy::Session && whole != now.in_transaction {
            return Err(self.stopped(run, question, session, &elsewhere(&run.request, whole)).await);
        }
        let admitted = run.fits(question.message()).and_then(|step| Ok((step, run.admit(question.holds())?)));
        match admitted {
            Ok((step, claim)) => {
                let step = format!("{step}: it was approved as one of these");
                Ok(Asked::Filed(self.holds().admitted(&run.request, grant.target(), step, known, claim)))
            }
            Err(why) => Err(self.stopped(run, question, session, &why).await),
        }
    }

    async fn stopped<M>(&self, run: &Arc<Run>, question: &Question<M>, session: &str, why: &str) -> Denied {
        if run.plan.by == CarriedBy::Session
            && let Some(finish) = run.stop(why)
        {
            self.holds().plan_over(session, run, finish).await;
        }
        let hint =
            format!("Plan {} goes no further; what is still to be done is asked for anew.", run.request);
        refused(question, why, hint)
    }

    /// Uses the approval of a plan up, once, where it would still do what was approved. Nothing of it was sent before.
    pub(super) async fn claim_plan(
        &self,
        grant: &Grant,
        request: &Request,
        now: &Context,
    ) -> Result<Run, String> {
        let id = &request.id;
        let plan = request.preview.ordered.as_deref().ok_or("it is no plan")?;
        if let Some(changed) = self.outruled(&request.holds) {
            return Err(self.superseded(id, &changed).await);
        }
        if let Some(why) = self.frozen_because(grant.target()) {
            return Err(format!("the target is frozen: {why}"));
        }
        let major = match self.target(grant.target()) {
            Some(target) => target.catalogue.current().0.server_version / 10_000,
            None => return Err("its target is gone".to_owned()),
        };
        let mut parts = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            parts.extend(pieces(&step.text, major).map_err(|refusal| refusal.to_string())?);
        }
        let wanted = foresee::Wanted { reason: None, by: plan.by, session: &request.session, look: false };
        match self.foresee(grant, &parts, &wanted, now).await.map(|foreseen| foreseen.new) {
            Ok(new) if new.holds.is_empty() != request.holds.is_empty() => {
                let why = "what policy asks of it has changed";
                return Err(self.superseded(id, why).await);
            }
            Ok(new) if new.digest == request.digest => (),
            Ok(new) => {
                let before = plan.steps.iter().flat_map(|step| step.touched.clone()).collect::<Vec<_>>();
                return Err(self.superseded(id, &new.altered(&before)).await);
            }
            Err(PlanError::Refused(refused)) => {
                return Err(self.superseded(id, &refused.to_string()).await);
            }
            Err(error) => return Err(error.to_string()),
        }
        let claimed = self.state().claim(id).await.map_err(|error| error.to_string())?;
        // Somebody else was first, or it was taken back.
        let claim = claimed.ok_or("its approval was used or taken back")?;
        let stage = if plan.apart.is_none() && plan.by == CarriedBy::Gateway {
            Stage::Running
        } else {
            Stage::Staying
        };
        match self.state().note_plan(id, stage, &Progress::default()).await {
            Ok(true) => (),
            Ok(false) => return Err("it was given up".to_owned()),
            Err(error) => {
                // It is used up, and nothing of it was sent: it does not stand as if it ran.
                let words =
                    format!("its beginning could not be noted: {error}; nothing of the plan was sent");
                let finish = Finish { status: Status::Failed, words: words.clone() };
                self.holds().finish(id.clone(), finish).await;
                return Err(words);
            }
        }
        Ok(Run::new(id, plan.clone(), request.circumstances.settings.clone(), claim))
    }

    async fn superseded(&self, id: &str, why: &str) -> String {
        let why = format!("{why}{}approved", model::SINCE_IT_WAS);
        if let Err(error) = self.state().supersede(id, &why).await {
            tracing::error!(request = id, "it cannot be ended: {error}");
        }
        self.holds().changed();
        why
    }
}

/// Whether a plan is whoever's who sends this, and its first held statement is this.
fn begins_with<M: Inspect + Auditable>(request: &Request, grant: &Grant, message: &M) -> bool {
    let chain: Vec<String> = grant.principal().on_behalf_of.iter().map(ToString::to_string).collect();
    let Some(plan) = request.preview.ordered.as_deref() else { return false };
    let first = plan.steps.iter().find(|step| !step.holds.is_empty());
    plan.by == CarriedBy::Session
        && request.on_behalf_of == chain
        && first.is_some_and(|step| message.script().is_some_and(|text| is_same(&text, &step.text)))
}

/// Whether a plan may begin at this moment of its session.
fn begins_here<M: Auditable>(request: &Request, message: &M, now: &Context) -> Result<(), String> {
    let Some(plan) = request.preview.ordered.as_deref() else { return Ok(()) };
    let (id, whole) = (&request.id, plan.apart.is_none());
    if whole != now.in_transaction {
        return Err(elsewhere(id, whole));
    }
    let before = leading(plan);
    if whole && message.ahead().is_some_and(|ahead| !ahead.leads_through(before)) {
        return Err(match before.len() {
            0 => format!("plan {id} begins with this statement, and its transaction began with others"),
            n => format!(
                "this is statement {} of plan {id}: those before it come first, in its transaction and alone",
                n + 1
            ),
        });
    }
    Ok(())
}

fn elsewhere(id: &str, whole: bool) -> String {
    if whole {
        format!("plan {id} runs in one transaction: send BEGIN before its first statement")
    } else {
        format!("plan {id} can run in no transaction: send its statements outside of one")
    }
}

/// A plan is not begun by this; it stands as it was approved.
fn stray<M>(id: &str, question: &Question<M>, why: String) -> Denied {
    let hint = format!(
        "Plan {id} stands. Send ROLLBACK, then all of it in its order, or take it back: durward plan withdraw {id}"
    );
    refused(question, &why, hint)
}

fn refused<M>(question: &Question<M>, why: &str, hint: String) -> Denied {
    Denied {
        code: STOPPED,
        reason: why.to_owned(),
        hint: Some(hint),
        policies: question.holds().iter().map(|rule: &HoldRule| rule.id.clone()).collect(),
        version: Arc::clone(question.version()),
    }
}
