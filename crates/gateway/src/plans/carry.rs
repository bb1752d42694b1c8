//! The gateway carries a plan out: it waits for the approval as a session does, claims it, and sends the statements one behind the
//! other through a session of its own, in one transaction where the server can.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use journal::record;
use model::{Done, Finish, Progress, Stage, Status};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::inside::{Came, Inside, Lost};
use super::{Entered, Run};
use crate::gateway::Gateway;
use crate::net::listen::{Accepted, Known};
use crate::serve::session_of;

/// Another replica's answer is seen this late at most.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The plans that this gateway waits with, by their requests.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<BTreeSet<String>>);

impl Waiting {
    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this gateway waits with a plan.
pub(super) fn waits(gateway: &Gateway, id: &str) -> bool {
    gateway.waiting_plans().locked().contains(id)
}

/// Waits with a plan for its answer, unless this gateway does already.
pub(super) fn wait(gateway: &Arc<Gateway>, entered: Entered, id: &str) {
    if !gateway.waiting_plans().locked().insert(id.to_owned()) {
        return;
    }
    let (gateway, id) = (Arc::clone(gateway), id.to_owned());
    tokio::spawn(async move {
        wait_and_carry(&gateway, entered, &id).await;
        gateway.waiting_plans().locked().remove(&id);
    });
}

async fn wait_and_carry(gateway: &Arc<Gateway>, mut entered: Entered, id: &str) {
    loop {
        let news = gateway.holds().news();
        match gateway.state().standing(id).await {
            Ok(standing) => match standing.status {
                Status::Pending => (),
                Status::Approved if gateway.frozen_because(entered.grant.target()).is_some() => (),
                Status::Approved => return carry_out(gateway, entered, id).await,
                Status::Denied
                | Status::Expired
                | Status::Withdrawn
                | Status::Claimed
                | Status::Lapsed
                | Status::Rescinded
                | Status::Superseded
                | Status::Done
                | Status::Failed
                | Status::OutcomeUnknown => return,
            },
            Err(error) => tracing::error!(request = id, "a plan cannot be read: {error}"),
        }
        tokio::select! {
            biased;
            why = entered.place.ended() => {
                tracing::info!(request = id, "a plan waits no more: {why}");
                return;
            }
            _ = timeout(LOOK_AGAIN, news) => (),
        }
    }
}

/// Claims a plan and sends its statements.
async fn carry_out(gateway: &Arc<Gateway>, entered: Entered, id: &str) {
    let claimed = async {
        let request = gateway.state().request(id).await.map_err(|error| error.to_string())?;
        let request = request.ok_or("there is no such request")?;
        // Whoever asked may be let in no more.
        let now = gateway.context(&entered.origin, false);
        let target = entered.grant.target().clone();
        let grant =
            gateway.authorize(entered.admitted.identity(), &target, &now).map_err(|denied| denied.reason)?;
        gateway.claim_plan(&grant, &request, &now).await
    };
    let run = match claimed.await {
        Ok(run) => Arc::new(run),
        Err(why) => return tracing::warn!(request = id, "a plan is not carried out: {why}"),
    };
    let Entered { admitted, grant, place, origin } = entered;
    let (who, target) = (grant.principal().id.to_string(), grant.target().clone());
    let told = |what: &str, detail: &str| gateway.administered(&who, what, detail);
    if told("plan carried out", &format!("{id} on {target} in session {}", origin.session)).is_err() {
        return finish(
            gateway,
            &run,
            Progress::default(),
            failed("the journal cannot be written: nothing was sent"),
        )
        .await;
    }
    let (client, server) = match UnixStream::pair() {
        Ok(pair) => pair,
        Err(error) => {
            let why = format!("there is no connection within the gateway: {error}");
            return finish(gateway, &run, Progress::default(), failed(&why)).await;
        }
    };
    gateway.holds().plans().begin(&origin.session, Arc::clone(&run));
    let known = Known { admitted, place, application: Arc::clone(&origin.application) };
    let accepted = Accepted::within(server, origin.address, target, known);
    let session = tokio::spawn(session_of(Arc::clone(gateway), accepted, origin.session.clone()));
    let mut carried = Carried { gateway, run: &run, progress: Progress::default(), sent: false };
    let outcome = match Inside::enter(client).await {
        Ok(mut inside) => {
            let outcome = carried.carry(&mut inside).await;
            inside.leave().await;
            outcome
        }
        Err(Lost(why)) => failed(&format!("its session was not opened: {why}")),
    };
    let progress = carried.progress;
    let _ = session.await;
    gateway.holds().plans().end(&origin.session);
    let _ = gateway.note(&record::Body::Administered {
        who,
        what: format!("plan {}", outcome.status),
        detail: format!("{id}: {}", outcome.words),
    });
    finish(gateway, &run, progress, outcome).await;
}

fn failed(why: &str) -> Finish {
    Finish { status: Status::Failed, words: why.to_owned() }
}

/// Notes what came of it, for whoever asked and for those who approved.
async fn finish(gateway: &Gateway, run: &Run, progress: Progress, outcome: Finish) {
    if let Err(error) = gateway.state().note_plan(&run.request, Stage::Staying, &progress).await {
        tracing::error!(request = run.request, "what came of a plan cannot be noted: {error}");
    }
    gateway.holds().finish(run.request.clone(), outcome).await;
    gateway.holds().changed();
}

/// A plan on its way.
struct Carried<'a> {
    gateway: &'a Gateway,
    run: &'a Run,
    progress: Progress,
    /// Something was sent that stays by itself.
    sent: bool,
}

impl Carried<'_> {
    async fn carry(&mut self, inside: &mut Inside) -> Finish {
        let whole = self.run.plan.apart.is_none();
        let carried = if whole { self.as_one(inside).await } else { self.one_by_one(inside).await };
        carried.unwrap_or_else(|Lost(why)| self.lost(&why))
    }

    /// All of it in one transaction, which stays or does not.
    async fn as_one(&mut self, inside: &mut Inside) -> Result<Finish, Lost> {
        if let Came::Failed(failure) = inside.run("BEGIN").await? {
            return Ok(failed(&format!("its transaction did not begin: {}", failure.code())));
        }
        if let Some(words) = self.statements(inside).await? {
            inside.run("ROLLBACK").await?;
            return Ok(failed(&format!("{words}; nothing of the plan stayed")));
        }
        // From here on nobody else can say what became of it, and nothing is sent that others have given up.
        self.sent = true;
        match self.gateway.state().note_plan(&self.run.request, Stage::Staying, &self.progress).await {
            Ok(true) => (),
            Ok(false) | Err(_) => {
                inside.run("ROLLBACK").await?;
                return Ok(failed(
                    "it could not be noted that it is about to be committed; nothing of the plan stayed",
                ));
            }
        }
        match inside.run("COMMIT").await? {
            Came::Done(done) if done.tag == "COMMIT" => Ok(self.done()),
            Came::Done(_) => Ok(failed("its transaction was rolled back; nothing of the plan stayed")),
            Came::Failed(failure) => {
                let code = failure.code();
                Ok(failed(&format!("it could not be committed: {code}; nothing of the plan stayed")))
            }
        }
    }

    /// Each statement by itself: what ran stays.
    async fn one_by_one(&mut self, inside: &mut Inside) -> Result<Finish, Lost> {
        self.sent = true;
        Ok(match self.statements(inside).await? {
            None => self.done(),
            Some(words) => failed(&format!("{words}; {}", self.stayed())),
        })
    }

    /// Sends the statements in their order. Says which failed, and why; those behind it are not sent.
    async fn statements(&mut self, inside: &mut Inside) -> Result<Option<String>, Lost> {
        let all = self.run.plan.steps.len();
        for (index, step) in self.run.plan.steps.iter().enumerate() {
            self.run.at(index);
            match inside.run(&step.text).await? {
                Came::Done(done) => self.progress.done.push(done),
                Came::Failed(failure) => {
                    // What the gateway itself refuses it says in its own words, in which no value is.
                    let why = self.run.refusal().map(|why| format!("{why} ")).unwrap_or_default();
                    let words = format!("statement {} of {all} failed: {why}({})", index + 1, failure.code());
                    let (error, sqlstate) = (Some(failure.to_string()), Some(failure.sqlstate));
                    self.progress.done.push(Done { error, sqlstate, ..Done::default() });
                    self.progress.stopped = Some(words.clone());
                    return Ok(Some(words));
                }
            }
            if self.run.plan.apart.is_some()
                && !self
                    .gateway
                    .state()
                    .note_plan(&self.run.request, Stage::Staying, &self.progress)
                    .await
                    .unwrap_or(false)
            {
                return Ok(Some(format!(
                    "after statement {} of {all} its progress could not be noted",
                    index + 1
                )));
            }
        }
        Ok(None)
    }

    fn done(&self) -> Finish {
        let all = self.run.plan.steps.len();
        let how = if self.run.plan.apart.is_none() { " in one transaction" } else { "" };
        Finish { status: Status::Done, words: format!("done: all {all} statements ran{how}") }
    }

    /// Which statements ran and stay.
    fn stayed(&self) -> String {
        let ran = self.progress.done.iter().filter(|done| done.error.is_none()).count();
        match ran {
            0 => "none of its statements ran".to_owned(),
            1 => "statement 1 ran and stays".to_owned(),
            ran => format!("statements 1 to {ran} ran and stay"),
        }
    }

    /// The session has ended in the middle.
    fn lost(&mut self, why: &str) -> Finish {
        // Who ended it said so.
        let why = &self.run.refusal().map_or_else(|| why.to_owned(), |said| format!("{said} ({why})"));
        let (number, all) = (self.progress.done.len() + 1, self.run.plan.steps.len());
        self.progress.stopped = Some(format!("its session ended: {why}"));
        if self.run.plan.apart.is_none() && !self.sent {
            return failed(&format!(
                "its session ended at statement {number} of {all}: {why}; nothing of the plan stayed"
            ));
        }
        if self.run.plan.apart.is_none() {
            return Finish::unknown("its session ended before the server had said that it was committed");
        }
        let stayed = self.stayed();
        Finish::unknown(&format!(
            "its session ended at statement {number} of {all}, of which nobody knows whether it ran; {stayed}"
        ))
    }
}
