//! Statements that wait and that their clients ask about later (`io.modelcontextprotocol/tasks`, SEP-2663), at whichever gateway of the
//! store. Once somebody has said yes, one of those that were asked runs it, by the token that it was asked with, if that is good
//! still; what came of it is kept for a while, sealed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::inside::{now, written};
use gateway::state::{Shelf, StateError};
use model::{Status, Task, TaskState};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use zeroize::Zeroizing;

use super::asking::Action;
use super::query::{AGAIN, Statement};
use super::wait::ended;
use super::{Caller, Tools};
use crate::answer::{Answer, Refusal};
use crate::door::Told;
use crate::rpc::{Fault, Object, printable};
use crate::values::Given;

/// A task lasts so long, in seconds.
const LASTS: i64 = 2 * 3600;
/// A client asks so often, in milliseconds.
const POLL: u64 = 2000;
/// So many there are of one principal, and in all.
const SHELF: Shelf = Shelf { of_one: 16, all: 512 };
/// That another gateway was told to give one up is seen this late.
const LOOK: Duration = Duration::from_secs(1);
/// What a client is asked of a task is called so.
const APPROVAL: &str = "approval";

/// What a task runs, as it is kept.
#[derive(Serialize, Deserialize)]
struct Says {
    sql: String,
    values: Vec<Value>,
    rows: u32,
}

/// What came of one, as it is kept.
#[derive(Serialize, Deserialize)]
struct Came {
    /// The configuration by which it was decided and masked.
    under: i64,
    result: Value,
}

/// What is done here for tasks, by their ids.
#[derive(Default)]
pub(super) struct Followed(Mutex<HashMap<String, Follower>>);

/// Stops when it is dropped: whatever it runs is cancelled at its target with its session.
struct Follower(AbortHandle);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Followed {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Follower>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, follower| !follower.0.is_finished());
        all
    }
}

impl Tools {
    /// Begins a task for a statement that waits; what its client is told. `None` where there is no room for one.
    pub(super) async fn begin_task(
        self: &Arc<Self>,
        caller: &Caller,
        request: &str,
        statement: &Statement,
    ) -> Option<Object> {
        let mut id = [0; 24];
        rand::fill(&mut id).ok()?;
        let made = now();
        let task = Task {
            id: URL_SAFE_NO_PAD.encode(id),
            owner: caller.name(),
            target: statement.target.clone(),
            request: request.to_owned(),
            asks: caller.takes.pages && self.gateway.link_to(request).is_some(),
            state: TaskState::Waits,
            made,
            changed: made,
            until: made.saturating_add(LASTS),
        };
        let Statement { sql, values, rows, target: _ } = statement;
        let values = values.iter().map(Given::value).collect();
        let says = Says { sql: sql.clone(), values, rows: *rows };
        let says = Zeroizing::new(serde_json::to_vec(&says).ok()?);
        let kept = self.gateway.keep_task(&task, &says, SHELF).await;
        if !kept.inspect_err(|error| tracing::error!("a task cannot be kept: {error}")).unwrap_or(false) {
            return None;
        }
        self.follow_here(caller, &task);
        // What may not be told yet, what was asked with it, comes where it is asked about.
        Some(shape(&task))
    }

    /// Sees to it that a task which waits goes on here, too: whoever began it may be gone. What it runs is read when it does, and
    /// lies in the store until then.
    fn follow_here(self: &Arc<Self>, caller: &Caller, task: &Task) {
        let mut all = self.followed.all();
        if all.contains_key(&task.id) {
            return;
        }
        let (tools, caller, id, request) =
            (Arc::clone(self), caller.clone(), task.id.clone(), task.request.clone());
        let work = tokio::spawn(async move {
            if let Err(error) = tools.follow(&caller, &id, &request).await {
                tracing::error!("what becomes of a task cannot be kept: {error}");
            }
        });
        all.insert(task.id.clone(), Follower(work.abort_handle()));
    }

    /// Waits for the answer, and runs the statement where it is a yes and nobody else does.
    async fn follow(&self, caller: &Caller, id: &str, request: &str) -> Result<(), StateError> {
        let patience = Duration::from_secs(u64::try_from(LASTS).unwrap_or_default());
        let settled = self.settled(request, patience, |_| false, &Told::nobody()).await;
        // What runs now is one of the caller's calls, and takes no longer than one.
        let _turn = self.limits.turn(&caller.name(), self.gateway.limits().calls.at_once).await;
        let Some((task, says)) = self.gateway.kept_task(id).await? else { return Ok(()) };
        if task.state != TaskState::Waits {
            return Ok(());
        }
        let says = serde_json::from_slice(&says);
        let Says { sql, values, rows } =
            says.map_err(|error| StateError(format!("a task is not readable: {error}")))?;
        let values = values.iter().map(Given::from).collect();
        let statement = Statement { target: task.target, sql, values, rows };
        let runs = match settled {
            Ok(Status::Approved) => self.gateway.turn_task(id, TaskState::Runs, None).await?,
            // Whoever runs it for this task at another gateway tells what came of it; of any other end this does.
            Ok(_) | Err(_) => true,
        };
        if !runs {
            return Ok(());
        }
        let (under, told) = (self.gateway.configuration(), Told::nobody());
        let work = self.bounded(caller, &told, self.answered(caller, request, Some(statement), &told));
        let answer = tokio::select! {
            answer = work => answer.unwrap_or_else(Answer::from),
            () = self.given_up(id) => return Ok(()),
        };
        self.is_done(id, answer, under).await
    }

    async fn is_done(&self, id: &str, answer: Answer, under: i64) -> Result<(), StateError> {
        let came = json!(Came { under, result: Value::Object(answer.into_result()) }).to_string();
        // Where it was taken back meanwhile, that is what it is.
        self.gateway.turn_task(id, TaskState::Done, Some(came.as_bytes())).await.map(drop)
    }

    /// Ends when a task is taken back at another gateway, or its time is over.
    async fn given_up(&self, id: &str) {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.gateway.kept_task(id).await {
                Ok(Some((task, _))) if !task.state.is_over() => {}
                Ok(_) => return,
                // It may be there still.
                Err(error) => tracing::warn!("a task cannot be looked up: {error}"),
            }
        }
    }

    /// `tasks/get`: how a caller's task goes, or what came of it.
    pub(crate) async fn task(self: &Arc<Self>, caller: &Caller, params: &Object) -> Result<Object, Fault> {
        let id = id_of(params)?;
        let (mut task, mut says) = self.own_task(caller, id).await?;
        if task.state == TaskState::Waits {
            self.follow_here(caller, &task);
        }
        if task.state == TaskState::Runs && self.is_lost(caller, &task).await.map_err(|e| unreadable(&e))? {
            (task, says) = self.own_task(caller, id).await?;
        }
        let mut result = shape(&task);
        if task.state == TaskState::Done {
            let Came { under, result: came } = serde_json::from_slice(&says)
                .map_err(|_| Fault::internal("what came of this task cannot be read"))?;
            // What it shows was decided and masked then.
            let is_current = under == self.gateway.configuration();
            let came = if is_current { came } else { Value::Object(Answer::from(outdated()).into_result()) };
            result.insert("result".to_owned(), came);
        }
        let page = if task.asks && !task.state.is_over() { self.page_of(&task.request) } else { None };
        if let Some(page) = page {
            result.insert("inputRequests".to_owned(), json!({ APPROVAL: page }));
        }
        Ok(result)
    }

    /// Whether the gateway that ran one is gone; then what is known of its request is what came of it.
    async fn is_lost(&self, caller: &Caller, task: &Task) -> Result<bool, StateError> {
        if self.followed.all().contains_key(&task.id) {
            return Ok(false);
        }
        let Some(request) = self.gateway.own_request(&caller.admitted, &task.request).await? else {
            return Ok(false);
        };
        // Whoever ran it to its end keeps what came of it right behind.
        let longest = i64::try_from(self.gateway.limits().calls.time.as_secs()).unwrap_or(i64::MAX);
        let is_late = now() > task.changed.saturating_add(longest);
        let is_lost = match request.status {
            Status::OutcomeUnknown => true,
            Status::Pending | Status::Claimed => false,
            Status::Approved
            | Status::Denied
            | Status::Expired
            | Status::Withdrawn
            | Status::Lapsed
            | Status::Rescinded
            | Status::Superseded
            | Status::Done
            | Status::Failed => is_late,
        };
        if is_lost {
            self.is_done(&task.id, ended(&request), self.gateway.configuration()).await?;
        }
        Ok(is_lost)
    }

    /// `tasks/update`: what a client's person did.
    pub(crate) async fn update_task(&self, caller: &Caller, params: &Object) -> Result<Object, Fault> {
        let id = id_of(params)?;
        let responses = params.get("inputResponses").and_then(Value::as_object);
        let responses = responses.ok_or_else(|| Fault::parameters("inputResponses is an object"))?;
        let (task, _) = self.own_task(caller, id).await?;
        match Action::of(responses.get(APPROVAL)) {
            Action::Decline => self.give_up(caller, &task).await?,
            Action::Accept | Action::Cancel => {
                self.gateway.hush_task(id).await.map_err(|error| unreadable(&error))?;
            }
            Action::Unasked => {}
        }
        Ok(Object::new())
    }

    /// `tasks/cancel`: nobody need answer any more, and nothing goes on.
    pub(crate) async fn cancel_task(&self, caller: &Caller, params: &Object) -> Result<Object, Fault> {
        let (task, _) = self.own_task(caller, id_of(params)?).await?;
        self.give_up(caller, &task).await?;
        Ok(Object::new())
    }

    /// A caller's task, whose token must be for its target still.
    async fn own_task(&self, caller: &Caller, id: &str) -> Result<(Task, Zeroizing<Vec<u8>>), Fault> {
        let found = self.gateway.kept_task(id).await.map_err(|error| unreadable(&error))?;
        found
            .filter(|(task, _)| task.owner == caller.name() && caller.admitted.is_for(&task.target))
            .ok_or_else(|| unknown(id))
    }

    async fn give_up(&self, caller: &Caller, task: &Task) -> Result<(), Fault> {
        let turned = self.gateway.turn_task(&task.id, TaskState::Cancelled, None).await;
        if !turned.map_err(|error| unreadable(&error))? {
            return Ok(());
        }
        // Where it runs at another gateway, that sees it.
        drop(self.followed.all().remove(&task.id));
        let taken = self.withdraw(caller, &task.request).await;
        taken.map(|_| ()).map_err(|_: Refusal| Fault::internal("it cannot be taken back now"))
    }
}

/// A task as its client sees it, without what came of it.
fn shape(task: &Task) -> Object {
    let request = &task.request;
    let (status, says) = match task.state {
        TaskState::Waits if task.asks => {
            ("input_required", format!("request {request} waits for an approval"))
        }
        TaskState::Waits => ("working", format!("request {request} waits for an approval")),
        TaskState::Runs => ("working", format!("request {request} is approved, and runs")),
        TaskState::Done => ("completed", format!("request {request} has its answer")),
        TaskState::Cancelled => {
            ("cancelled", format!("the call that asked for request {request} was cancelled"))
        }
    };
    Object::from_iter([
        ("taskId".to_owned(), json!(task.id)),
        ("status".to_owned(), json!(status)),
        ("statusMessage".to_owned(), json!(says)),
        ("createdAt".to_owned(), json!(written(task.made))),
        ("lastUpdatedAt".to_owned(), json!(written(task.changed))),
        ("ttlMs".to_owned(), json!(LASTS.saturating_mul(1000))),
        ("pollIntervalMs".to_owned(), json!(POLL)),
    ])
}

/// What is said instead of an answer that was masked by what is not in force any more.
fn outdated() -> Refusal {
    let why = "policies or targets have changed since this was answered".to_owned();
    Refusal::of("55000", why, Some(AGAIN.to_owned()))
}

fn id_of(params: &Object) -> Result<&str, Fault> {
    params.get("taskId").and_then(Value::as_str).ok_or_else(|| Fault::parameters("taskId is missing"))
}

fn unknown(id: &str) -> Fault {
    Fault::parameters(format!("there is no task {} of yours", printable(id)))
}

fn unreadable(error: &StateError) -> Fault {
    tracing::error!("a task cannot be dealt with: {error}");
    Fault::internal("tasks cannot be looked up now")
}
