//! Messages from standard input to the gateway and back, a line each, in whichever era the program speaks.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinSet};

use super::Tokens;
use super::web::{Answer, Web};
use crate::exit::Fault;

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const SESSION: &str = "mcp-session-id";
/// A gateway that is not there is tried again after these.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(6)];
/// An answer is not longer, in bytes.
const LONGEST: usize = 64 << 20;

/// A session of the older era, and what it was begun with, so that it can be begun again.
#[derive(Clone)]
struct Session {
    id: String,
    version: String,
    initialize: Value,
}

struct Bridge {
    web: Web,
    tokens: Arc<Tokens>,
    session: Mutex<Option<Session>>,
    /// One at a time begins a session anew.
    beginning: tokio::sync::Mutex<()>,
    under_way: Mutex<HashMap<String, AbortHandle>>,
    out: UnboundedSender<Value>,
}

/// Carries messages until standard input ends.
pub(super) async fn carry(web: Web, tokens: Arc<Tokens>) -> anyhow::Result<()> {
    let (out, mut answers) = unbounded_channel::<Value>();
    let writer = tokio::task::spawn_blocking(move || {
        let mut stdout = std::io::stdout();
        while let Some(message) = answers.blocking_recv() {
            if writeln!(stdout, "{message}").and_then(|()| stdout.flush()).is_err() {
                return;
            }
        }
    });
    between(web, tokens, typed(), out).await;
    let _ = writer.await;
    Ok(())
}

/// Carries messages from lines to the gateway and its answers back, until the lines end.
pub(super) async fn between(
    web: Web,
    tokens: Arc<Tokens>,
    mut lines: UnboundedReceiver<String>,
    out: UnboundedSender<Value>,
) {
    let bridge = Arc::new(Bridge {
        web,
        tokens,
        session: Mutex::default(),
        beginning: tokio::sync::Mutex::default(),
        under_way: Mutex::default(),
        out,
    });
    let mut tasks = JoinSet::new();
    while let Some(line) = lines.recv().await {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str::<Value>(&line) {
            Ok(message) => bridge.take(message, &mut tasks).await,
            Err(error) => bridge.say(json!({
                "jsonrpc": "2.0", "error": { "code": -32700, "message": format!("no JSON: {error}") },
            })),
        }
        while tasks.try_join_next().is_some() {}
    }
    // Whoever closed standard input waits for nothing any more.
    tasks.abort_all();
    while tasks.join_next().await.is_some() {}
    bridge.leave().await;
}

/// The lines of standard input. The thread that reads them ends with the process at the latest.
fn typed() -> UnboundedReceiver<String> {
    let (sender, lines) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

impl Bridge {
    fn say(&self, message: Value) {
        let _ = self.out.send(message);
    }

    async fn take(self: &Arc<Self>, message: Value, tasks: &mut JoinSet<()>) {
        let method = message.get("method").and_then(Value::as_str).unwrap_or_default().to_owned();
        let id = message.get("id").cloned();
        match id {
            // The order in which a session begins is kept.
            Some(id) if method == "initialize" => self.ask(&id, message).await,
            Some(id) if !method.is_empty() => {
                let bridge = Arc::clone(self);
                let key = id.to_string();
                let task = tasks.spawn(async move {
                    bridge.ask(&id, message).await;
                    let mut under_way = bridge.under_way.lock().unwrap_or_else(PoisonError::into_inner);
                    under_way.remove(&id.to_string());
                });
                let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
                if !task.is_finished() {
                    under_way.insert(key, task);
                }
            }
            Some(_) | None => {
                // By HTTP, a call is taken back by hanging up; a session is told as well.
                let cancelled = (method == "notifications/cancelled")
                    .then(|| message.pointer("/params/requestId"))
                    .flatten();
                if let Some(cancelled) = cancelled {
                    let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(task) = under_way.remove(&cancelled.to_string()) {
                        task.abort();
                    }
                }
                if let Err(error) = self.send(&message).await {
                    eprintln!("durward: {error:#}");
                }
            }
        }
    }

    /// Sends a request and says its answer, whatever comes.
    async fn ask(self: &Arc<Self>, id: &Value, message: Value) {
        let failed =
            |why: String| json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32603, "message": why } });
        if let Err(error) = self.asked(id, &message).await {
            self.say(failed(format!("{error:#}")));
        }
    }

    async fn asked(&self, id: &Value, message: &Value) -> anyhow::Result<()> {
        let used = self.known().map(|session| session.id);
        let mut answer = self.send(message).await?;
        let is_of_session = message.pointer("/params/_meta").and_then(|meta| meta.get(VERSION)).is_none();
        if answer.response.status() == StatusCode::NOT_FOUND
            && is_of_session
            && self.begin_again(used).await?
        {
            answer = self.send(message).await?;
        }
        let status = answer.response.status();
        let kind = answer.response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let streams = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
        let session =
            answer.response.headers().get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
        if streams {
            return self.follow(answer).await;
        }
        let body = whole(&mut answer).await?;
        let said: Option<Value> = serde_json::from_slice(&body).ok();
        let said =
            said.ok_or_else(|| Fault::Unreachable(format!("the gateway answered {status}, and no message")))?;
        if let (Some(session), "initialize") =
            (session, message.get("method").and_then(Value::as_str).unwrap_or_default())
        {
            self.begun(session, &said, message);
        }
        if said.get("id") == Some(id) {
            self.say(said);
            return Ok(());
        }
        // What was refused before it was read has no id.
        let why = said.pointer("/error/message").and_then(Value::as_str).unwrap_or("no message").to_owned();
        Err(match status {
            StatusCode::UNAUTHORIZED => Fault::Unauthorized(format!("{why}: durward login")),
            _ => Fault::Unreachable(format!("the gateway answered {status}: {why}")),
        }
        .into())
    }

    fn begun(&self, id: String, said: &Value, initialize: &Value) {
        let version = said.pointer("/result/protocolVersion").and_then(Value::as_str).unwrap_or_default();
        let session = Session { id, version: version.to_owned(), initialize: initialize.clone() };
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }

    /// Begins the session anew that the gateway does not know any more, once for all who find that.
    async fn begin_again(&self, before: Option<String>) -> anyhow::Result<bool> {
        let _one = self.beginning.lock().await;
        let Some(session) = self.known() else { return Ok(false) };
        if Some(&session.id) != before.as_ref() {
            return Ok(true);
        }
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let mut answer = self.send(&session.initialize).await?;
        let id = answer.response.headers().get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
        let said: Value = serde_json::from_slice(&whole(&mut answer).await?)?;
        let Some(id) = id else { return Ok(false) };
        self.begun(id, &said, &session.initialize);
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
        Ok(true)
    }

    fn known(&self) -> Option<Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a message as it is, with the headers that its era asks for. What was not sent is sent again for a while.
    async fn send(&self, message: &Value) -> anyhow::Result<Answer> {
        let headers = self.headers(message);
        let body = serde_json::to_vec(message)?;
        for wait in AGAIN {
            let token = self.tokens.current().await?;
            match self.web.send(&token, &headers, Some(body.clone())).await {
                Err(error) if matches!(error.downcast_ref(), Some(Fault::Unreachable(_))) => {
                    tokio::time::sleep(wait).await;
                }
                done => return done,
            }
        }
        let token = self.tokens.current().await?;
        self.web.send(&token, &headers, Some(body)).await
    }

    fn headers(&self, message: &Value) -> Vec<(&'static str, String)> {
        let meta =
            message.pointer("/params/_meta").and_then(|meta| meta.get(VERSION)).and_then(Value::as_str);
        if let Some(version) = meta {
            let mut headers = vec![("mcp-protocol-version", version.to_owned())];
            if let Some(method) = message.get("method").and_then(Value::as_str) {
                headers.push(("mcp-method", method.to_owned()));
                let name = match method {
                    "tools/call" | "prompts/get" => message.pointer("/params/name"),
                    "resources/read" => message.pointer("/params/uri"),
                    "tasks/get" | "tasks/update" | "tasks/cancel" => message.pointer("/params/taskId"),
                    _ => None,
                };
                headers.extend(name.and_then(Value::as_str).map(|name| ("mcp-name", encoded(name))));
            }
            return headers;
        }
        let session =
            self.known().filter(|_| message.get("method").and_then(Value::as_str) != Some("initialize"));
        session.map_or_else(Vec::new, |session| {
            vec![(SESSION, session.id), ("mcp-protocol-version", session.version)]
        })
    }

    /// Says what comes as server-sent events, as it comes.
    async fn follow(&self, mut answer: Answer) -> anyhow::Result<()> {
        let mut events = Events::default();
        while let Some(more) = answer.more().await? {
            for data in events.take(&more)? {
                self.say(serde_json::from_str(&data)?);
            }
        }
        Ok(())
    }

    async fn leave(&self) {
        let Some(session) = self.known() else { return };
        let headers = [(SESSION, session.id), ("mcp-protocol-version", session.version)];
        if let Ok(token) = self.tokens.current().await {
            let _ = tokio::time::timeout(Duration::from_secs(2), self.web.send(&token, &headers, None)).await;
        }
    }
}

async fn whole(answer: &mut Answer) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(more) = answer.more().await? {
        body.extend_from_slice(&more);
        if body.len() > LONGEST {
            return Err(Fault::Unreachable("the gateway's answer is too long".to_owned()).into());
        }
    }
    Ok(body)
}

/// A name as it may stand in a header.
fn encoded(name: &str) -> String {
    use base64::Engine as _;
    let plain =
        name.chars().all(|c| matches!(c, ' '..='~')) && name.trim() == name && !name.starts_with("=?base64?");
    if plain {
        name.to_owned()
    } else {
        format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(name))
    }
}

/// Reads server-sent events: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
#[derive(Default)]
struct Events {
    buffer: Vec<u8>,
    data: Vec<String>,
}

impl Events {
    /// The data of the events that are whole now.
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<String>> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > LONGEST {
            return Err(Fault::Unreachable("the gateway's answer is too long".to_owned()).into());
        }
        let mut whole = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if let Some(data) = line.strip_prefix("data:") {
                self.data.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
            } else if line.is_empty() && !self.data.is_empty() {
                whole.push(std::mem::take(&mut self.data).join("\n"));
            }
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::{Events, encoded};

    #[test]
    fn events_come_in_any_pieces() {
        let stream = b": alive\n\ndata: {\"a\":\ndata: 1}\n\nid: 7\r\nevent: x\r\ndata: {}\r\n\r\n";
        for size in 1..stream.len() {
            let mut events = Events::default();
            let mut seen = Vec::new();
            for piece in stream.chunks(size) {
                seen.extend(events.take(piece).expect("short"));
            }
            assert_eq!(seen, ["{\"a\":\n1}", "{}"], "{size}");
        }
    }

    #[test]
    fn a_name_fits_into_a_header() {
        for (name, expected) in [
            ("query", "query"),
            ("qué", "=?base64?cXXDqQ==?="),
            (" a", "=?base64?IGE=?="),
            ("a\nb", "=?base64?YQpi?="),
        ] {
            assert_eq!(encoded(name), expected);
        }
    }
}
