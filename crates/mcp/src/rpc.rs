//! Messages of JSON-RPC 2.0, as MCP narrows them: an id is a string or an integer, and never null.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response as Reply};
use serde_json::{Map, Value, json};

/// What cannot be done now may be tried again so late, in seconds.
const SOON: &str = "2";

/// An object of JSON.
pub(crate) type Object = Map<String, Value>;

/// What came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Incoming {
    /// It wants an answer.
    Request(Request),
    /// It wants none.
    Notification(Notification),
    /// An answer to something that was asked.
    Response(Response),
}

/// An answer of the client's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Response {
    pub(crate) id: Value,
    /// What it says; nothing where it is an error.
    pub(crate) result: Option<Value>,
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) id: Value,
    pub(crate) method: String,
    pub(crate) params: Object,
}

/// Word of something.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notification {
    pub(crate) method: String,
    pub(crate) params: Object,
}

/// Why a message is not answered as it would like: an error of the protocol, which a model can do little about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    code: i32,
    message: String,
    data: Option<Value>,
}

impl Fault {
    fn new(status: StatusCode, code: i32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), data: None }
    }

    /// No JSON.
    pub(crate) fn unreadable(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, -32700, why)
    }

    /// JSON, and no message.
    pub(crate) fn no_request(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, -32600, why)
    }

    /// A method that there is not. In the newer era that is 404, too.
    pub(crate) fn no_method(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, -32601, format!("there is no method {}", printable(name)))
    }

    /// Parameters that are not what the method takes.
    pub(crate) fn parameters(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, -32602, why)
    }

    /// Something here failed.
    pub(crate) fn internal(why: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, -32603, why)
    }

    /// Headers and body do not say the same (`HeaderMismatch`).
    pub(crate) fn headers(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, -32020, why)
    }

    /// What this needs the client has not said that it can do (`MissingRequiredClientCapability`).
    pub(crate) fn capability(required: Value) -> Self {
        let data = json!({ "requiredCapabilities": required });
        let fault =
            Self::new(StatusCode::BAD_REQUEST, -32021, "this needs a capability that was not declared");
        Self { data: Some(data), ..fault }
    }

    /// A version that is not spoken here (`UnsupportedProtocolVersion`).
    pub(crate) fn version(asked: &str, supported: &[&str]) -> Self {
        let data = json!({ "supported": supported, "requested": printable(asked) });
        let fault = Self::new(StatusCode::BAD_REQUEST, -32022, "this protocol version is not supported");
        Self { data: Some(data), ..fault }
    }

    /// The same with another status of HTTP.
    pub(crate) fn with(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// As the answer to a request; to one that could not be read where there is no id.
    pub(crate) fn message(&self, id: Option<&Value>) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let (Some(data), Some(object)) = (&self.data, error.as_object_mut()) {
            object.insert("data".to_owned(), data.clone());
        }
        let mut message = json!({ "jsonrpc": "2.0", "error": error });
        if let (Some(id), Some(object)) = (id, message.as_object_mut()) {
            object.insert("id".to_owned(), id.clone());
        }
        message
    }

    /// As a response by itself.
    pub(crate) fn respond(&self, id: Option<&Value>) -> Reply {
        let mut reply = (self.status, Json(self.message(id))).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(SOON));
        }
        reply
    }
}

/// The answer to a request.
pub(crate) fn result(id: &Value, result: Object) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

/// Reads one message.
pub(crate) fn read(message: Value) -> Result<Incoming, Fault> {
    let Value::Object(mut message) = message else { return Err(Fault::no_request("a message is an object")) };
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(Fault::no_request("jsonrpc must be \"2.0\""));
    }
    let id = message.remove("id");
    let mut params = match message.remove("params") {
        None => Object::new(),
        Some(Value::Object(params)) => params,
        Some(_) => return Err(Fault::parameters("params is an object")),
    };
    let method = match message.remove("method") {
        Some(Value::String(method)) => method,
        Some(_) => return Err(Fault::no_request("method is a string")),
        None if message.contains_key("result") || message.contains_key("error") => {
            let result = message.remove("result");
            return Ok(Incoming::Response(Response { id: id.unwrap_or_default(), result }));
        }
        None => return Err(Fault::no_request("method is missing")),
    };
    // What nobody looks at is not kept while the call goes on.
    params.retain(|name, _| name == "_meta" || takes(&method).contains(&name.as_str()));
    match id {
        None => Ok(Incoming::Notification(Notification { method, params })),
        Some(id) if id.is_string() || id.is_i64() || id.is_u64() => {
            Ok(Incoming::Request(Request { id, method, params }))
        }
        Some(_) => Err(Fault::no_request("an id is a string or an integer")),
    }
}

/// What a method takes beside `_meta`. Clients may send more: it is nobody's matter.
fn takes(method: &str) -> &'static [&'static str] {
    match method {
        "initialize" => &["protocolVersion", "capabilities", "clientInfo"],
        "tools/call" => &["name", "arguments", "requestState", "inputResponses"],
        "tasks/get" | "tasks/cancel" => &["taskId"],
        "tasks/update" => &["taskId", "inputResponses"],
        "subscriptions/listen" => &["notifications"],
        "notifications/cancelled" => &["requestId"],
        // Their headers must match.
        "prompts/get" => &["name"],
        "resources/read" => &["uri"],
        _ => &[],
    }
}

/// A word of a client's as it may stand in an answer or a log.
pub(crate) fn printable(word: &str) -> String {
    word.chars().take(100).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Incoming, read};

    #[test]
    fn a_message_asks_tells_or_answers() {
        let of = |message| match read(message) {
            Ok(Incoming::Request(_)) => "request",
            Ok(Incoming::Notification(_)) => "notification",
            Ok(Incoming::Response(_)) => "response",
            Err(_) => "fault",
        };
        for (message, expected) in [
            (json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}), "request"),
            (
                json!({"jsonrpc": "2.0", "id": "a", "method": "ping", "params": {"x": 1}, "more": 1}),
                "request",
            ),
            (json!({"jsonrpc": "2.0", "method": "notifications/initialized"}), "notification"),
            (json!({"jsonrpc": "2.0", "id": 1, "result": {}}), "response"),
            (json!({"jsonrpc": "2.0", "id": null, "method": "ping"}), "fault"),
            (json!({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}), "fault"),
            (json!({"jsonrpc": "2.0", "id": [1], "method": "ping"}), "fault"),
            (json!({"jsonrpc": "1.0", "id": 1, "method": "ping"}), "fault"),
            (json!({"id": 1, "method": "ping"}), "fault"),
            (json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}), "fault"),
            (json!({"jsonrpc": "2.0", "id": 1, "method": 7}), "fault"),
            (json!({"jsonrpc": "2.0", "id": 1}), "fault"),
            (json!("ping"), "fault"),
        ] {
            assert_eq!(of(message.clone()), expected, "{message}");
        }
    }

    #[test]
    fn parameters_that_a_method_does_not_take_are_not_kept() {
        for (method, params, kept) in [
            (
                "tools/call",
                json!({"name": "wait", "arguments": {"a": 1}, "_meta": {"x": 1}, "junk": [1], "taskId": "t"}),
                json!({"name": "wait", "arguments": {"a": 1}, "_meta": {"x": 1}}),
            ),
            ("tools/list", json!({"cursor": "x", "arguments": {}}), json!({})),
            ("tasks/get", json!({"taskId": "t", "junk": 1}), json!({"taskId": "t"})),
        ] {
            let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            let Ok(Incoming::Request(request)) = read(message) else { panic!("{method} is a request") };
            assert_eq!(json!(request.params), kept, "{method}");
        }
    }
}
