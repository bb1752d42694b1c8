//! Statements that wait and that their clients ask about later (`io.modelcontextprotocol/tasks`, SEP-2663). Once somebody has said yes
//! they run by the token of whoever asked, if it is good still; what came of it is kept for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::inside::{now, written};
use model::{Status, TargetName};
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use super::asking::Action;
use super::query::Statement;
use super::{Caller, Tools};
use crate::answer::{Answer, Refusal};
use crate::door::Told;
use crate::rpc::{Fault, Object, printable};

/// A task lasts so long, in seconds.
const LASTS: i64 = 2 * 3600;
/// A client asks so often, in milliseconds.
const POLL: u64 = 2000;
/// So many there are in all, and of one principal.
const MOST: usize = 512;
const MOST_OF_ONE: usize = 16;
/// What a client is asked of a task is called so.
const APPROVAL: &str = "approval";

struct Task {
    whose: String,
    target: TargetName,
    request: String,
    created: i64,
    updated: i64,
    /// Whether its client's person is still to be led to the page.
    asks: bool,
    state: State,
    work: Option<AbortHandle>,
}

enum State {
    Waits,
    Runs,
    Done(Object),
    Cancelled,
}

impl Task {
    /// Whether it is a caller's, whose token must be for its target still.
    fn is_of(&self, caller: &Caller) -> bool {
        self.whose == caller.name() && caller.admitted.is_for(&self.target)
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Done(_) | State::Cancelled)
    }

    fn becomes(&mut self, state: State) {
        if !self.is_over() {
            (self.state, self.updated) = (state, now());
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            work.abort();
        }
    }
}

/// The tasks, by their ids.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<HashMap<String, Task>>);

impl Tasks {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Task>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, id: &str, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.all().get_mut(id) {
            change(task);
        }
    }

    /// Keeps one, where there is room. Those that are over make some, the oldest first.
    fn keep(&self, id: &str, task: Task) -> bool {
        let mut all = self.all();
        let oldest = now().saturating_sub(LASTS);
        all.retain(|_, task| task.created > oldest);
        let of_one = |all: &HashMap<String, Task>| all.values().filter(|t| t.whose == task.whose).count();
        while all.len() >= MOST || of_one(&all) >= MOST_OF_ONE {
            let is_full = all.len() >= MOST;
            let over = all.iter().filter(|(_, t)| t.is_over() && (is_full || t.whose == task.whose));
            let Some(id) = over.min_by_key(|(_, t)| t.updated).map(|(id, _)| id.clone()) else {
                return false;
            };
            all.remove(&id);
        }
        all.insert(id.to_owned(), task);
        true
    }
}

impl Tools {
    /// Begins a task for a statement that waits; what its client is told. `None` where there is no room for one.
    pub(super) fn begin_task(
        self: &Arc<Self>,
        caller: &Caller,
        request: &str,
        statement: Statement,
    ) -> Option<Object> {
        let mut id = [0; 24];
        rand::fill(&mut id).ok()?;
        let id = URL_SAFE_NO_PAD.encode(id);
        let asks = caller.takes.pages && self.gateway.link_to(request).is_some();
        let task = Task {
            whose: caller.name(),
            target: statement.target.clone(),
            request: request.to_owned(),
            created: now(),
            updated: now(),
            asks,
            state: State::Waits,
            work: None,
        };
        if !self.tasks.keep(&id, task) {
            return None;
        }
        let (tools, caller, request, of) = (Arc::clone(self), caller.clone(), request.to_owned(), id.clone());
        let work = tokio::spawn(async move { tools.follow(&caller, &of, &request, statement).await });
        self.tasks.with(&id, |task| task.work = Some(work.abort_handle()));
        let all = self.tasks.all();
        // What may not be told yet, what was asked with it, comes where it is asked about.
        all.get(&id).map(|task| shape(&id, task))
    }

    /// Waits for the answer, and runs the statement where it is a yes.
    async fn follow(&self, caller: &Caller, id: &str, request: &str, statement: Statement) {
        let patience = Duration::from_secs(u64::try_from(LASTS).unwrap_or_default());
        let settled = self.settled(request, patience, |_| false, &Told::nobody()).await;
        // What runs now is one of the caller's calls, and takes no longer than one.
        let _turn = self.limits.turn(&caller.name(), self.gateway.limits().calls.at_once).await;
        if settled.as_ref().is_ok_and(|status| *status == Status::Approved) {
            self.tasks.with(id, |task| task.becomes(State::Runs));
        }
        let told = Told::nobody();
        let answer =
            self.bounded(caller, &told, self.answered(caller, request, Some(statement), &told)).await;
        let answer = answer.unwrap_or_else(Answer::from).into_result();
        self.tasks.with(id, |task| task.becomes(State::Done(answer)));
    }

    /// `tasks/get`: how a caller's task goes, or what came of it.
    pub(crate) fn task(&self, caller: &Caller, params: &Object) -> Result<Object, Fault> {
        let id = id_of(params)?;
        let (mut result, asked) = {
            let all = self.tasks.all();
            let task = all.get(id).filter(|task| task.is_of(caller)).ok_or_else(|| unknown(id))?;
            let mut result = shape(id, task);
            if let State::Done(answer) = &task.state {
                result.insert("result".to_owned(), Value::Object(answer.clone()));
            }
            (result, (task.asks && !task.is_over()).then(|| task.request.clone()))
        };
        if let Some(page) = asked.and_then(|request| self.page_of(&request)) {
            result.insert("inputRequests".to_owned(), json!({ APPROVAL: page }));
        }
        Ok(result)
    }

    /// `tasks/update`: what a client's person did.
    pub(crate) async fn update_task(&self, caller: &Caller, params: &Object) -> Result<Object, Fault> {
        let id = id_of(params)?;
        let responses = params.get("inputResponses").and_then(Value::as_object);
        let responses = responses.ok_or_else(|| Fault::parameters("inputResponses is an object"))?;
        self.is_ones_own(caller, id)?;
        match Action::of(responses.get(APPROVAL)) {
            Action::Decline => self.give_up(caller, id).await?,
            Action::Accept | Action::Cancel => self.tasks.with(id, |task| task.asks = false),
            Action::Unasked => {}
        }
        Ok(Object::new())
    }

    /// `tasks/cancel`: nobody need answer any more, and nothing goes on.
    pub(crate) async fn cancel_task(&self, caller: &Caller, params: &Object) -> Result<Object, Fault> {
        let id = id_of(params)?;
        self.is_ones_own(caller, id)?;
        self.give_up(caller, id).await?;
        Ok(Object::new())
    }

    fn is_ones_own(&self, caller: &Caller, id: &str) -> Result<(), Fault> {
        let all = self.tasks.all();
        all.get(id).filter(|task| task.is_of(caller)).map(|_| ()).ok_or_else(|| unknown(id))
    }

    async fn give_up(&self, caller: &Caller, id: &str) -> Result<(), Fault> {
        let mut request = None;
        self.tasks.with(id, |task| {
            if !task.is_over() {
                task.becomes(State::Cancelled);
                request = Some(task.request.clone());
                // Whatever runs is cancelled at its target with the session that this drops.
                if let Some(work) = task.work.take() {
                    work.abort();
                }
            }
        });
        let Some(request) = request else { return Ok(()) };
        let taken = self.withdraw(caller, &request).await;
        taken.map(|_| ()).map_err(|_: Refusal| Fault::internal("it cannot be taken back now"))
    }
}

/// A task as its client sees it, without what came of it.
fn shape(id: &str, task: &Task) -> Object {
    let (status, says) = match &task.state {
        State::Waits if task.asks => {
            ("input_required", format!("request {} waits for an approval", task.request))
        }
        State::Waits => ("working", format!("request {} waits for an approval", task.request)),
        State::Runs => ("working", format!("request {} is approved, and runs", task.request)),
        State::Done(_) => ("completed", format!("request {} has its answer", task.request)),
        State::Cancelled => ("cancelled", format!("request {} was taken back", task.request)),
    };
    Object::from_iter([
        ("taskId".to_owned(), json!(id)),
        ("status".to_owned(), json!(status)),
        ("statusMessage".to_owned(), json!(says)),
        ("createdAt".to_owned(), json!(written(task.created))),
        ("lastUpdatedAt".to_owned(), json!(written(task.updated))),
        ("ttlMs".to_owned(), json!(LASTS.saturating_mul(1000))),
        ("pollIntervalMs".to_owned(), json!(POLL)),
    ])
}

fn id_of(params: &Object) -> Result<&str, Fault> {
    params.get("taskId").and_then(Value::as_str).ok_or_else(|| Fault::parameters("taskId is missing"))
}

fn unknown(id: &str) -> Fault {
    Fault::parameters(format!("there is no task {} of yours", printable(id)))
}
