//! Several messages as one, in the version of the older era that has them. Each runs behind the one before, and what has run has
//! its answer: a client that hears of a fault alone would send again what was done.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::{Door, Told};
use crate::eras::{self, WITH_BATCHES};
use crate::rpc::{self, Fault, Incoming, Object, Request};
use crate::tools::Caller;

/// So many messages one batch has at most.
const MOST: usize = 20;

impl Door {
    /// Runs them one after the other.
    ///
    /// # Errors
    /// The batch as a whole is none; then nothing of it ran.
    pub(super) async fn batch(
        self: &Arc<Self>,
        headers: &HeaderMap,
        caller: Caller,
        batch: Vec<Value>,
    ) -> Result<Response, Fault> {
        let session = self.sessions.find(headers, &caller.name()).ok();
        if session.is_none_or(|session| session.version != WITH_BATCHES) {
            return Err(Fault::no_request("messages come one by one"));
        }
        let messages = read(headers, batch)?;
        let requests = || messages.iter().filter_map(|message| message.as_ref().ok()).filter_map(asked);
        // Who must ask their person for more first asks again for all of it.
        if let Some(response) = requests().find_map(|request| self.needs_scope(&caller, request)) {
            return Ok(response);
        }
        let mut answers = Vec::new();
        for message in messages {
            answers.extend(self.one(headers, &caller, message).await);
        }
        if answers.is_empty() {
            return Ok(StatusCode::ACCEPTED.into_response());
        }
        Ok(Json(answers).into_response())
    }

    /// What is answered to one of them, whatever becomes of it.
    async fn one(&self, headers: &HeaderMap, caller: &Caller, message: Message) -> Option<Value> {
        match message {
            Ok(Incoming::Response(response)) => {
                self.said(headers, caller, &response).await;
                None
            }
            Ok(Incoming::Notification(told)) => {
                self.told(headers, caller, &told).err().map(|fault| fault.message(None))
            }
            Ok(Incoming::Request(request)) => {
                let id = request.id.clone();
                // It may have ended by now.
                let answer = match self.sessions.find(headers, &caller.name()) {
                    Ok(session) => self.in_session(&session, caller.clone(), request, Told::nobody()).await,
                    Err(fault) => Err(fault),
                };
                Some(answer.unwrap_or_else(|fault| fault.message(Some(&id))))
            }
            Err(Wrong { fault, id }) => Some(fault.message(id.as_ref())),
        }
    }
}

/// One of them, or what is answered to it at once.
type Message = Result<Incoming, Wrong>;

/// A message of a batch that is none by itself.
#[derive(Debug, PartialEq)]
struct Wrong {
    fault: Box<Fault>,
    id: Option<Value>,
}

fn asked(message: &Incoming) -> Option<&Request> {
    match message {
        Incoming::Request(request) => Some(request),
        Incoming::Notification(_) | Incoming::Response(_) => None,
    }
}

/// All that can be seen to be wrong of messages before one runs.
fn read(headers: &HeaderMap, batch: Vec<Value>) -> Result<Vec<Message>, Fault> {
    if batch.is_empty() || batch.len() > MOST {
        return Err(Fault::no_request(format!("a batch has 1 to {MOST} messages")));
    }
    let messages: Vec<Message> = batch.into_iter().map(|message| fits(headers, message)).collect();
    let mut ids = HashSet::new();
    let mut requests = messages.iter().filter_map(|message| message.as_ref().ok()).filter_map(asked);
    if !requests.all(|request| ids.insert(request.id.to_string())) {
        return Err(Fault::no_request("two requests of a batch have the same id, and nothing of it ran"));
    }
    Ok(messages)
}

/// A message that may be one of several.
fn fits(headers: &HeaderMap, message: Value) -> Message {
    let incoming = rpc::read(message).map_err(|fault| Wrong { fault: Box::new(fault), id: None })?;
    let stands = |method: &str, params: &Object, id: Option<&Value>| {
        let wrong = |fault| Wrong { fault: Box::new(fault), id: id.cloned() };
        match eras::alone(headers, method, params, id.is_some()).map_err(wrong)? {
            Some(_) => Err(wrong(Fault::no_request("a message of this version comes alone"))),
            None if method == "initialize" => Err(wrong(Fault::no_request("initialize comes alone"))),
            None => Ok(()),
        }
    };
    match &incoming {
        Incoming::Request(request) => stands(&request.method, &request.params, Some(&request.id))?,
        Incoming::Notification(told) => stands(&told.method, &told.params, None)?,
        Incoming::Response(_) => (),
    }
    Ok(incoming)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use serde_json::{Value, json};

    use super::{Incoming, MOST, read};

    fn call(id: u64) -> Value {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "query"}})
    }

    #[test]
    fn what_is_wrong_of_one_message_is_an_answer_to_it_and_the_others_stay() {
        let version = |value: Value| json!({"_meta": {"io.modelcontextprotocol/protocolVersion": value}});
        for (bad, id) in [
            (json!({"jsonrpc": "2.0", "method": "notifications/x", "params": version(json!(7))}), None),
            (
                json!({"jsonrpc": "2.0", "method": "notifications/x", "params": version(json!("2026-07-28"))}),
                None,
            ),
            (
                json!({"jsonrpc": "2.0", "id": 9, "method": "ping", "params": version(json!("1900-01-01"))}),
                Some(json!(9)),
            ),
            (json!({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {}}), Some(json!("i"))),
            (json!({"jsonrpc": "2.0", "id": null, "method": "ping"}), None),
            (json!(7), None),
        ] {
            let read = read(&HeaderMap::new(), vec![call(1), bad.clone(), call(2)]).expect("a batch");
            assert!(
                matches!(&read[..], [Ok(Incoming::Request(_)), Err(_), Ok(Incoming::Request(_))]),
                "{bad}"
            );
            assert_eq!(read[1].as_ref().err().and_then(|wrong| wrong.id.clone()), id, "{bad}");
        }
    }

    #[test]
    fn a_batch_that_cannot_be_answered_as_one_is_none() {
        let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        for (batch, is_one) in [
            (vec![call(1), call(1)], false),
            (vec![], false),
            ((0..=20).map(call).collect(), false),
            (vec![told; MOST], true),
            (vec![call(1), call(2), json!({"jsonrpc": "2.0", "id": 1, "result": {}})], true),
        ] {
            assert_eq!(read(&HeaderMap::new(), batch.clone()).is_ok(), is_one, "{batch:?}");
        }
    }
}
