//! Waiting for a person's answer, and what comes of it.

use std::time::{Duration, Instant};

use gateway::state::StateError;
use model::{CarriedBy, Request, Status};
use serde_json::json;

use super::plan::{came, refusal};
use super::query::Statement;
use super::{Caller, Tools, text};
use crate::answer::{Answer, Refusal, one_line};
use crate::door::Told;
use crate::rpc::{Object, printable};

/// A call waits so long, and then says that there is no answer yet.
pub(super) const PATIENCE: Duration = Duration::from_secs(45);
/// What another gateway of the same store answered is seen this late.
const LOOK: Duration = Duration::from_secs(1);
impl Tools {
    /// Waits for an answer; once it is a yes, sends the statement again, which then runs.
    pub(super) async fn wait(
        &self,
        caller: &Caller,
        arguments: &Object,
        told: &Told,
    ) -> Result<Answer, Refusal> {
        let id = text(arguments, "request")?;
        self.answered(caller, id, None, told).await
    }

    /// The same, of this statement where the caller has brought it along.
    pub(super) async fn answered(
        &self,
        caller: &Caller,
        id: &str,
        brought: Option<Statement>,
        told: &Told,
    ) -> Result<Answer, Refusal> {
        let found = self.own(caller, id).await?;
        if found.preview.access.is_some() {
            return self.access_answered(caller, id, told).await;
        }
        if found.preview.ordered.as_deref().is_some_and(|plan| plan.by != CarriedBy::Message) {
            return self.carried_out(caller, id, told).await;
        }
        let status = self.settled(id, PATIENCE, |status| status == Status::Claimed, told).await?;
        let word = status.as_str();
        if status == Status::Pending {
            if let Some(statement) = brought {
                self.hold(caller, id, statement);
            }
            return Ok(unanswered(id));
        }
        if status == Status::Approved {
            let Some(statement) = brought.or_else(|| self.held.find(id, &caller.name())) else {
                let text = format!(
                    "Request {id} is approved. Send exactly the same statement with the same params by query: it runs once."
                );
                return Ok(Answer::new(text, json!({ "status": word, "request": id })));
            };
            self.held.forget(id);
            return self.run(caller, statement, told).await;
        }
        self.held.forget(id);
        Ok(ended(&self.own(caller, id).await?))
    }

    /// Waits for a plan, which the gateway carries out by itself.
    async fn carried_out(&self, caller: &Caller, id: &str, told: &Told) -> Result<Answer, Refusal> {
        let shown = || self.gateway.own_plan(&caller.token, id, caller.peer);
        // Whoever asks for it has it waited with again, where this gateway does not yet.
        shown().await.map_err(refusal)?;
        let goes_on = |status| matches!(status, Status::Approved | Status::Claimed);
        let status = self.settled(id, PATIENCE, goes_on, told).await?;
        if status == Status::Pending || goes_on(status) {
            return Ok(unanswered(id));
        }
        Ok(came(shown().await.map_err(refusal)?))
    }

    /// A caller's own request.
    async fn own(&self, caller: &Caller, id: &str) -> Result<Request, Refusal> {
        let found = self.gateway.own_request(&caller.admitted, id).await.map_err(unreadable)?;
        found.ok_or_else(|| Refusal::argument(format!("you have no request {}", printable(id))))
    }

    /// Where a request stands once it has its answer, or the time is over. `goes_on` says which answers are none yet.
    pub(super) async fn settled(
        &self,
        id: &str,
        patience: Duration,
        goes_on: impl Fn(Status) -> bool,
        told: &Told,
    ) -> Result<Status, Refusal> {
        let until = Instant::now() + patience;
        loop {
            let news = self.gateway.news();
            let status = self.gateway.standing_of(id).await.map_err(unreadable)?;
            let is_open = status == Status::Pending || goes_on(status);
            if !is_open || Instant::now() >= until {
                return Ok(status);
            }
            let what = if status == Status::Pending { "has no answer yet" } else { "runs" };
            told.tell(&format!("request {id} {what}"));
            let _ = tokio::time::timeout(LOOK, news).await;
        }
    }
}

fn unreadable(error: StateError) -> Refusal {
    tracing::error!("a request cannot be looked up: {error}");
    Refusal::busy("requests cannot be looked up now".to_owned(), "Try again later.")
}

pub(super) fn unanswered(id: &str) -> Answer {
    let text = format!("Request {id} has no answer yet. Call wait again, or go on with something else.");
    Answer::new(text, json!({ "status": Status::Pending.as_str(), "request": id }))
}

/// What became of a request that runs no more.
pub(super) fn ended(request: &Request) -> Answer {
    let (id, word) = (&request.id, request.status.as_str());
    let said = request.votes.iter().rev().find_map(|vote| vote.words.clone());
    let said = said.map(|words| format!(": {words}")).unwrap_or_default();
    let outcome = request.outcome.as_ref().map(|outcome| format!(" ({outcome})")).unwrap_or_default();
    let text = one_line(&format!("Request {id} is {word}{said}{outcome}."));
    Answer::new(text, json!({ "status": word, "request": id }))
}
