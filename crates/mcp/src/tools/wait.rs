//! Waiting for a person's answer, and what comes of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::Status;
use serde_json::json;

use super::query::Statement;
use super::{Caller, Tools, text};
use crate::answer::{Answer, Refusal};
use crate::door::Told;
use crate::rpc::{Object, printable};

/// A call waits so long, and then says that there is no answer yet.
const PATIENCE: Duration = Duration::from_secs(45);
/// What another gateway of the same store answered is seen this late.
const LOOK: Duration = Duration::from_secs(1);
/// Statements are kept so long for their answers.
const KEPT: Duration = Duration::from_secs(2 * 3600);
/// So many in all, and so many of one principal's.
const MOST: usize = 10_000;
const MOST_OF_ONE: usize = 50;

struct Kept {
    whose: String,
    statement: Statement,
    since: Instant,
}

/// Statements that wait, by their requests. They are sent again by those alone who sent them, and decided anew then.
#[derive(Default)]
pub(super) struct Held(Mutex<HashMap<String, Kept>>);

impl Held {
    pub(super) fn keep(&self, request: &str, whose: String, statement: Statement) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, kept| kept.since.elapsed() < KEPT);
        let mine = all.values().filter(|kept| kept.whose == whose).count();
        if mine < MOST_OF_ONE && all.len() < MOST || all.contains_key(request) {
            all.insert(request.to_owned(), Kept { whose, statement, since: Instant::now() });
        }
    }

    fn find(&self, request: &str, whose: &str) -> Option<Statement> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.get(request).filter(|kept| kept.whose == whose && kept.since.elapsed() < KEPT)?;
        Some(kept.statement.clone())
    }

    fn forget(&self, request: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(request);
    }
}

impl Tools {
    /// Waits for an answer; once it is a yes, sends the statement again, which then runs.
    pub(super) async fn wait(
        &self,
        caller: &Caller,
        arguments: &Object,
        told: &Told,
    ) -> Result<Answer, Refusal> {
        let id = text(arguments, "request")?;
        let until = Instant::now() + PATIENCE;
        let standing = loop {
            let news = self.gateway.news();
            let found = self.gateway.own_request(&caller.admitted, id).await.map_err(|error| {
                tracing::error!("a request cannot be looked up: {error}");
                Refusal::busy("requests cannot be looked up now".to_owned(), "Try again later.")
            })?;
            let Some(request) = found else {
                return Err(Refusal::argument(format!("you have no request {}", printable(id))));
            };
            // One that is used is about to be done.
            let is_under_way = matches!(request.status, Status::Pending | Status::Claimed);
            if !is_under_way || Instant::now() >= until {
                break request;
            }
            let what = if request.status == Status::Pending { "has no answer yet" } else { "runs" };
            told.tell(&format!("request {id} {what}"));
            let _ = tokio::time::timeout(LOOK, news).await;
        };
        let word = standing.status.as_str();
        if standing.status == Status::Pending {
            let text =
                format!("Request {id} has no answer yet. Call wait again, or go on with something else.");
            return Ok(Answer::new(text, json!({ "status": word, "request": id })));
        }
        if standing.status == Status::Approved {
            let Some(statement) = self.held.find(id, &caller.name()) else {
                let text = format!(
                    "Request {id} is approved. Send exactly the same statement with the same params by query: it runs once."
                );
                return Ok(Answer::new(text, json!({ "status": word, "request": id })));
            };
            self.held.forget(id);
            return self.run(caller, statement, told).await;
        }
        self.held.forget(id);
        let said = standing
            .votes
            .iter()
            .rev()
            .find_map(|vote| vote.words.clone())
            .map(|words| format!(": {words}"))
            .unwrap_or_default();
        let outcome = standing.outcome.map(|outcome| format!(" ({outcome})")).unwrap_or_default();
        let text = format!("Request {id} is {word}{said}{outcome}.");
        Ok(Answer::new(text, json!({ "status": word, "request": id })))
    }
}
