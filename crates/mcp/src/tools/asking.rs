//! A held statement whose client can wait by itself: it is led to where people answer and comes back with what it was given, which is
//! sealed, its principal's and its call's, good for a while, and good once.

use std::sync::Arc;

use aws_lc_rs::digest::{Context as Digest, SHA256};
use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::query::{Statement, Waits};
use super::{Called, Caller, Tools};
use crate::answer::{Answer, Refusal};
use crate::door::Told;
use crate::rpc::{Fault, Object};

/// What is given to a client is good for so long, in seconds.
const GOOD_FOR: i64 = 900;
/// What the client is asked is called so.
const APPROVAL: &str = "approval";

/// What a client is given to bring back.
#[derive(Serialize, Deserialize)]
struct Given {
    /// The request that waits.
    request: String,
    /// Until when it can be brought, in seconds since 1970.
    until: i64,
    /// What it is used up by.
    once: String,
}

/// What a client has brought back.
pub(super) struct Brought {
    request: String,
    action: Action,
}

/// What its person did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// They went to the page.
    Accept,
    /// They do not want it.
    Decline,
    /// They did neither.
    Cancel,
    /// They were not asked.
    Unasked,
}

impl Brought {
    /// The request that it is about.
    pub(super) fn request(&self) -> &str {
        &self.request
    }
}

impl Action {
    /// What a client says of it.
    pub(crate) fn of(response: Option<&Value>) -> Self {
        match response.and_then(|response| response.get("action")).and_then(Value::as_str) {
            Some("accept") => Self::Accept,
            Some("decline") => Self::Decline,
            Some(_) => Self::Cancel,
            None => Self::Unasked,
        }
    }
}

impl Tools {
    /// Whether a client can wait by itself for a person's answer.
    pub(super) fn can_wait(&self, caller: &Caller) -> bool {
        caller.takes.tasks || caller.takes.pages && self.gateway.link_to("").is_some()
    }

    /// A statement waits: what its client is told to do meanwhile.
    pub(super) async fn waits(
        self: &Arc<Self>,
        caller: &Caller,
        arguments: &Object,
        statement: Statement,
        waits: Waits,
    ) -> Result<Called, Refusal> {
        let Waits { request, refusal } = waits;
        if caller.takes.tasks
            && let Some(task) = self.begin_task(caller, &request, &statement).await
        {
            return Ok(Called::Task(task));
        }
        if caller.takes.pages
            && let Some(asked) = self.ask(caller, arguments, &request).await
        {
            return Ok(Called::Asks(asked));
        }
        Err(refusal.hinting(self.hold(caller, &request, statement)))
    }

    /// What a client is asked, and what it is to bring back.
    async fn ask(&self, caller: &Caller, arguments: &Object, request: &str) -> Option<Object> {
        // No longer than there is something to wait for.
        let stands = self.gateway.own_request(&caller.admitted, request).await.ok()??.expires;
        let mut once = [0; 16];
        rand::fill(&mut once).ok()?;
        let once = once.iter().map(|byte| format!("{byte:02x}")).collect();
        let until = gateway::inside::now().saturating_add(GOOD_FOR).min(stands);
        let given = Given { request: request.to_owned(), until, once };
        let about = about(caller, arguments);
        let about: Vec<&[u8]> = about.iter().map(Vec::as_slice).collect();
        let state = self.gateway.seal(&about, &serde_json::to_vec(&given).ok()?)?;
        let mut result = Object::new();
        result.insert("inputRequests".to_owned(), json!({ APPROVAL: self.page_of(request)? }));
        result.insert("requestState".to_owned(), state.into());
        Some(result)
    }

    /// The question that leads a person to the page of a request. The link is no credential.
    pub(super) fn page_of(&self, request: &str) -> Option<Value> {
        let url = self.gateway.link_to(request)?;
        Some(json!({
            "method": "elicitation/create",
            "params": { "mode": "url", "url": url, "message": invitation(request) },
        }))
    }

    /// What a client has brought back, where it is what it was given for this very call, and for the first time.
    pub(super) async fn brought(
        &self,
        caller: &Caller,
        params: &Object,
        state: &Value,
    ) -> Result<Brought, Fault> {
        let not_good = || {
            Fault::parameters(
                "this requestState is not good: it was changed, is of another call or another principal, was used, or is too old. \
                 Call again without it.",
            )
        };
        let none = Object::new();
        let arguments = params.get("arguments").and_then(Value::as_object).unwrap_or(&none);
        let about = about(caller, arguments);
        let about: Vec<&[u8]> = about.iter().map(Vec::as_slice).collect();
        let opened = state.as_str().and_then(|state| self.gateway.unseal(&about, state));
        let given = opened.and_then(|clear| serde_json::from_slice::<Given>(&clear).ok());
        let Given { request, until, once } = given.ok_or_else(not_good)?;
        if gateway::inside::now() >= until {
            return Err(not_good());
        }
        match self.gateway.use_once(&once, until).await {
            Ok(true) => {}
            Ok(false) => return Err(not_good()),
            Err(error) => {
                tracing::error!("what a client has brought cannot be used up: {error}");
                return Err(Fault::internal("this cannot be dealt with now"));
            }
        }
        let response = params.get("inputResponses").and_then(|all| all.get(APPROVAL));
        Ok(Brought { request, action: Action::of(response) })
    }

    /// Goes on with a call whose client has come back.
    pub(super) async fn come_back(
        self: &Arc<Self>,
        caller: &Caller,
        arguments: &Object,
        brought: Brought,
        told: &Told,
    ) -> Result<Called, Refusal> {
        let Brought { request, action } = brought;
        let statement = Statement::of(arguments, self.rows(arguments)?)?;
        match action {
            Action::Accept => self.answered(caller, &request, Some(statement), told).await.map(Called::from),
            Action::Decline => {
                let taken = self.withdraw(caller, &request).await?;
                Err(if taken { Refusal::taken_back(&request) } else { Refusal::over_before(&request) })
            }
            Action::Unasked | Action::Cancel => {
                if action == Action::Unasked
                    && let Some(asked) = self.ask(caller, arguments, &request).await
                {
                    return Ok(Called::Asks(asked));
                }
                let way = self.hold(caller, &request, statement);
                let text =
                    format!("Request {request} has no answer yet. {way} Or go on with something else.");
                Ok(Answer::new(text, json!({ "status": "pending", "request": request })).into())
            }
        }
    }

    /// Takes a caller's own request back.
    pub(crate) async fn withdraw(&self, caller: &Caller, request: &str) -> Result<bool, Refusal> {
        let taken = self.gateway.withdraw_own(&caller.admitted, request).await.map_err(|error| {
            tracing::error!("a request cannot be taken back: {error}");
            Refusal::busy("it cannot be taken back now".to_owned(), "Try again later.")
        })?;
        if taken {
            self.held.forget(request);
        }
        Ok(taken)
    }
}

/// What a person reads who is led to a request's page.
pub(crate) fn invitation(request: &str) -> String {
    format!(
        "Request {request} waits for an approval. Its page shows what it would do; whoever answers signs in there."
    )
}

/// Whose it is, and of which call.
fn about(caller: &Caller, arguments: &Object) -> [Vec<u8>; 3] {
    let mut digest = Digest::new(&SHA256);
    take(&mut digest, &Value::Object(arguments.clone()));
    [b"requestState query".to_vec(), caller.name().into_bytes(), digest.finish().as_ref().to_vec()]
}

/// The same for values that are the same, in whichever order their parts are written.
fn take(digest: &mut Digest, value: &Value) {
    match value {
        Value::Object(parts) => {
            let mut names: Vec<&String> = parts.keys().collect();
            names.sort();
            digest.update(format!("object {} ", names.len()).as_bytes());
            for name in names {
                take(digest, &Value::String(name.clone()));
                take(digest, parts.get(name).unwrap_or(&Value::Null));
            }
        }
        Value::Array(parts) => {
            digest.update(format!("list {} ", parts.len()).as_bytes());
            parts.iter().for_each(|part| take(digest, part));
        }
        Value::String(text) => digest.update(format!("text {} {text}", text.len()).as_bytes()),
        Value::Null | Value::Bool(_) | Value::Number(_) => digest.update(format!("{value} ").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{Context as Digest, SHA256};
    use serde_json::{Value, json};

    use super::{Action, take};

    fn digest(value: &Value) -> Vec<u8> {
        let mut digest = Digest::new(&SHA256);
        take(&mut digest, value);
        digest.finish().as_ref().to_vec()
    }

    #[test]
    fn a_call_is_the_same_however_its_parts_are_ordered_and_another_otherwise() {
        let call = json!({"target": "shop", "sql": "SELECT $1", "params": [1, "a"]});
        let same: Value =
            serde_json::from_str(r#"{"params": [1, "a"], "sql": "SELECT $1", "target": "shop"}"#)
                .expect("JSON");
        assert_eq!(digest(&call), digest(&same));
        for other in [
            json!({"target": "shop", "sql": "SELECT $1", "params": ["1", "a"]}),
            json!({"target": "shop", "sql": "SELECT $1", "params": [1, "a"], "rows": 5}),
            json!({"target": "shop2", "sql": "SELECT $1", "params": [1, "a"]}),
            json!({"target": "shop", "sql": "SELECT $1", "params": [[1, "a"]]}),
            json!({"target": "shop", "sql": "SELECT $1", "params": ["a", 1]}),
        ] {
            assert_ne!(digest(&call), digest(&other), "{other}");
        }
    }

    #[test]
    fn what_is_no_yes_is_none() {
        for (response, expected) in [
            (json!({"action": "accept"}), Action::Accept),
            (json!({"action": "decline"}), Action::Decline),
            (json!({"action": "cancel"}), Action::Cancel),
            (json!({"action": "ACCEPT"}), Action::Cancel),
            (json!({}), Action::Unasked),
            (json!("accept"), Action::Unasked),
        ] {
            assert_eq!(Action::of(Some(&response)), expected, "{response}");
        }
        assert_eq!(Action::of(None), Action::Unasked);
    }
}
