//! The two eras of the protocol: requests that stand alone and say all of themselves, and sessions that begin with `initialize`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio::sync::Notify;

use crate::rpc::{Fault, Object, printable};
use crate::stream::Parked;
use crate::tools::Takes;

/// The version in which each request stands alone.
pub(crate) const ALONE: &str = "2026-07-28";
/// Those with sessions, newest first.
pub(crate) const WITH_SESSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// The only one in which several messages may come as one.
pub(crate) const WITH_BATCHES: &str = "2025-03-26";
/// All of them.
pub(crate) const SPOKEN: [&str; 5] =
    [ALONE, WITH_SESSIONS[0], WITH_SESSIONS[1], WITH_SESSIONS[2], WITH_SESSIONS[3]];

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CLIENT: &str = "io.modelcontextprotocol/clientInfo";
/// The extension by which clients ask later about what goes on.
pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// A value of a header that would not fit into one is written between these.
const ENCODED: (&str, &str) = ("=?base64?", "?=");

/// A session that nobody uses ends after so long.
const IDLE: Duration = Duration::from_secs(3600);
/// So many one principal may have.
const MOST_OF_ONE: usize = 100;
/// So many all agents of one person may have together.
const MOST_OF_PERSON: usize = 200;
/// And so many there are in all.
const MOST: usize = if cfg!(test) { 600 } else { 10_000 };

/// What a request of the newer era says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Alone {
    /// What the client calls itself.
    pub(crate) client: String,
    /// What it can do while something waits for a person.
    pub(crate) takes: Takes,
}

/// What a client of the newer era says that it can do while something waits for a person.
fn takes(capabilities: &Value) -> Takes {
    let tasks = capabilities.get("extensions").and_then(|all| all.get(TASKS)).is_some_and(Value::is_object);
    Takes { pages: takes_pages(capabilities), tasks }
}

/// Whether a client can lead its person to a page, in either era.
pub(crate) fn takes_pages(capabilities: &Value) -> bool {
    capabilities.get("elicitation").and_then(|all| all.get("url")).is_some_and(Value::is_object)
}

/// Whether a message is of the newer era; then whether its headers say what its body says.
pub(crate) fn alone(
    headers: &HeaderMap,
    method: &str,
    params: &Object,
    is_request: bool,
) -> Result<Option<Alone>, Fault> {
    let meta = params.get("_meta").and_then(Value::as_object);
    let says = meta.and_then(|meta| meta.get(VERSION));
    let header = header(headers, "mcp-protocol-version")?;
    let Some(says) = says else {
        return match header.as_deref() {
            Some(version) if !WITH_SESSIONS.contains(&version) => {
                if version == ALONE {
                    Err(Fault::parameters(format!("_meta must have {VERSION} and {CAPABILITIES}")))
                } else {
                    Err(Fault::version(version, &SPOKEN))
                }
            }
            Some(_) | None => Ok(None),
        };
    };
    let Some(says) = says.as_str() else {
        return Err(Fault::parameters(format!("{VERSION} is a string")));
    };
    let header = header.ok_or_else(|| Fault::headers("MCP-Protocol-Version is missing"))?;
    if header != says {
        return Err(Fault::headers("MCP-Protocol-Version is not the version that the body says"));
    }
    if says != ALONE {
        return Err(Fault::version(says, &SPOKEN));
    }
    if is_request {
        agree(headers, "mcp-method", Some(method))?;
        let named = match method {
            "tools/call" | "prompts/get" => params.get("name"),
            "resources/read" => params.get("uri"),
            "tasks/get" | "tasks/update" | "tasks/cancel" => params.get("taskId"),
            _ => None,
        };
        if let Some(name) = named {
            agree(headers, "mcp-name", name.as_str())?;
        }
    }
    let meta = meta.cloned().unwrap_or_default();
    let Some(capabilities) = meta.get(CAPABILITIES).filter(|all| all.is_object()) else {
        return Err(Fault::parameters(format!("_meta must have {CAPABILITIES}, an object")));
    };
    Ok(Some(Alone { client: client(meta.get(CLIENT)), takes: takes(capabilities) }))
}

/// What a client calls itself, as far as it may stand in an `application_name`.
pub(crate) fn client(info: Option<&Value>) -> String {
    let name = info.and_then(|info| info.get("name")).and_then(Value::as_str).unwrap_or("?");
    let fine = |c: &char| c.is_ascii_graphic() || *c == ' ';
    name.chars().filter(fine).take(40).collect()
}

/// A header that comes once, and in visible signs.
fn header(headers: &HeaderMap, name: &str) -> Result<Option<String>, Fault> {
    let mut all = headers.get_all(name).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Fault::headers(format!("{name} comes twice")));
    }
    let text =
        value.to_str().map_err(|_| Fault::headers(format!("{name} has signs that no header may have")))?;
    Ok(Some(text.to_owned()))
}

fn agree(headers: &HeaderMap, name: &str, body: Option<&str>) -> Result<(), Fault> {
    let says = header(headers, name)?.ok_or_else(|| Fault::headers(format!("{name} is missing")))?;
    let says = match says.strip_prefix(ENCODED.0).and_then(|rest| rest.strip_suffix(ENCODED.1)) {
        None => says,
        Some(encoded) => {
            let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            decoded.ok_or_else(|| Fault::headers(format!("{name} is not encoded as it says")))?
        }
    };
    if Some(says.as_str()) == body {
        return Ok(());
    }
    Err(Fault::headers(format!("{name} is \"{}\", and the body says otherwise", printable(&says))))
}

/// A session of the older era.
pub(crate) struct Session {
    /// Whose it is: nobody else's token goes with it.
    principal: String,
    /// For whom that acts in the end, or itself: they make room for their own.
    person: String,
    /// The version that was agreed on.
    pub(crate) version: &'static str,
    /// What the client calls itself.
    pub(crate) client: String,
    /// Whether it can lead its person to a page.
    pub(crate) takes_pages: bool,
    /// What it was asked, by the id of the question: the request whose page it leads to.
    asked: Mutex<HashMap<String, String>>,
    /// Streams whose connection broke, until they are taken up again.
    pub(crate) parked: Parked,
    used: Mutex<Instant>,
    /// What is under way, by the id that the client gave it.
    calls: Mutex<HashMap<String, Arc<Notify>>>,
    /// Rings when the session is given up.
    pub(crate) ended: Notify,
}

/// A call that its client may take back; forgotten when this is dropped.
pub(crate) struct UnderWay {
    session: Arc<Session>,
    id: String,
    pub(crate) cancelled: Arc<Notify>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut calls = self.session.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.remove(&self.id);
    }
}

impl Session {
    /// Notes a call. The same id a second time while the first is under way is a fault.
    pub(crate) fn begin(self: &Arc<Self>, id: &Value) -> Result<UnderWay, Fault> {
        let id = id.to_string();
        let cancelled = Arc::new(Notify::new());
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.contains_key(&id) {
            return Err(Fault::no_request("a request with this id is under way"));
        }
        calls.insert(id.clone(), Arc::clone(&cancelled));
        drop(calls);
        Ok(UnderWay { session: Arc::clone(self), id, cancelled })
    }

    /// Notes that the client is asked to lead its person to a request's page; the question's id.
    pub(crate) fn ask(&self, request: &str) -> Option<String> {
        let mut id = [0; 12];
        rand::fill(&mut id).ok()?;
        let id = URL_SAFE_NO_PAD.encode(id);
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), request.to_owned());
        Some(id)
    }

    /// The request that a question was about, which is answered or of no matter any more.
    pub(crate) fn asked(&self, question: &str) -> Option<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(question)
    }

    /// The client takes a call back.
    pub(crate) fn cancel(&self, id: &Value) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(call) = calls.get(&id.to_string()) {
            call.notify_one();
        }
    }

    fn cancel_all(&self) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.values().for_each(|call| call.notify_one());
        drop(calls);
        self.parked.forget();
        self.ended.notify_waiters();
    }

    fn is_idle(&self) -> bool {
        let busy = !self.calls.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        !busy && self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > IDLE
    }
}

/// The sessions of the older era.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Arc<Session>>>);

impl Sessions {
    /// Begins one, and says its id, which nobody can guess.
    pub(crate) fn begin(
        &self,
        principal: &str,
        person: &str,
        version: &'static str,
        client: String,
        takes_pages: bool,
    ) -> Result<String, Fault> {
        let mut id = [0; 24];
        rand::fill(&mut id).map_err(|_| Fault::internal("the system gives no randomness"))?;
        let id = URL_SAFE_NO_PAD.encode(id);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, session| !session.is_idle());
        // Clients come back without saying goodbye to what they had: whatever was used longest ago makes room.
        drop_oldest(&mut all, MOST_OF_ONE, |session| session.principal == principal);
        drop_oldest(&mut all, MOST_OF_PERSON, |session| session.person == person);
        if all.len() >= MOST {
            // Whoever has the most gives way, and nobody who has one.
            let mut counts: HashMap<&str, usize> = HashMap::new();
            all.values().for_each(|session| *counts.entry(&session.person).or_default() += 1);
            let most = counts.into_iter().filter(|(_, count)| *count > 1).max_by_key(|(_, count)| *count);
            let Some(most) = most.map(|(person, _)| person.to_owned()) else {
                return Err(Fault::internal("too many sessions").with(StatusCode::SERVICE_UNAVAILABLE));
            };
            drop_oldest(&mut all, 0, |session| session.person == most);
        }
        let session = Session {
            principal: principal.to_owned(),
            person: person.to_owned(),
            version,
            client,
            takes_pages,
            asked: Mutex::default(),
            parked: Parked::default(),
            used: Mutex::new(Instant::now()),
            calls: Mutex::default(),
            ended: Notify::new(),
        };
        all.insert(id.clone(), Arc::new(session));
        Ok(id)
    }

    /// The session that a request names, if it is this principal's.
    pub(crate) fn find(&self, headers: &HeaderMap, principal: &str) -> Result<Arc<Session>, Fault> {
        let id = header(headers, "mcp-session-id")?
            .ok_or_else(|| Fault::no_request("Mcp-Session-Id is missing: begin with initialize"))?;
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(&id).filter(|session| session.principal == principal && !session.is_idle());
        let found = found.cloned().ok_or_else(|| {
            Fault::no_request("there is no such session: begin with initialize").with(StatusCode::NOT_FOUND)
        })?;
        drop(all);
        if let Some(version) = header(headers, "mcp-protocol-version")?
            && !WITH_SESSIONS.contains(&version.as_str())
        {
            return Err(Fault::no_request("this protocol version is not supported"));
        }
        *found.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(found)
    }

    /// Ends the session that a request names.
    pub(crate) fn end(&self, headers: &HeaderMap, principal: &str) -> Result<(), Fault> {
        let session = self.find(headers, principal)?;
        session.cancel_all();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, one| !Arc::ptr_eq(one, &session));
        Ok(())
    }
}

/// Where there are so many of these, the one that was used longest ago ends.
fn drop_oldest(all: &mut HashMap<String, Arc<Session>>, most: usize, of: impl Fn(&Session) -> bool) {
    if all.values().filter(|session| of(session)).count() < most {
        return;
    }
    let used = |session: &Session| *session.used.lock().unwrap_or_else(PoisonError::into_inner);
    let oldest = all.iter().filter(|(_, session)| of(session)).min_by_key(|(_, session)| used(session));
    let oldest = oldest.map(|(id, _)| id.clone());
    if let Some(session) = oldest.and_then(|id| all.remove(&id)) {
        session.cancel_all();
    }
}

/// The version of the older era that a client and this can both speak: what it asks for, or the newest.
pub(crate) fn agreed(asked: &str) -> &'static str {
    WITH_SESSIONS.into_iter().find(|version| *version == asked).unwrap_or(WITH_SESSIONS[0])
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};
    use serde_json::{Value, json};

    use super::{MOST, MOST_OF_ONE, MOST_OF_PERSON, Sessions, alone};

    fn headers(all: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().expect("name"), HeaderValue::from_str(value).expect("value"))
        };
        all.iter().map(pair).collect()
    }

    fn call(name: &str, version: &str) -> Value {
        json!({
            "name": name,
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        })
    }

    #[test]
    fn headers_say_what_the_body_says() {
        let version = ("mcp-protocol-version", "2026-07-28");
        let method = ("mcp-method", "tools/call");
        for (name, given, expected) in [
            ("query", &[version, method, ("mcp-name", "query")][..], Ok(())),
            ("qu\u{e9}ry", &[version, method, ("mcp-name", "=?base64?cXXDqXJ5?=")], Ok(())),
            ("query", &[version, method, ("mcp-name", "=?base64?cXVlcnk=?=")], Ok(())),
            ("query", &[version, method, ("mcp-name", "targets")], Err(-32020)),
            ("query", &[version, method, ("mcp-name", "=?base64?####?=")], Err(-32020)),
            ("query", &[version, method], Err(-32020)),
            ("query", &[version, ("mcp-name", "query")], Err(-32020)),
            ("query", &[version, ("mcp-method", "tools/list"), ("mcp-name", "query")], Err(-32020)),
            ("query", &[version, ("mcp-method", "TOOLS/CALL"), ("mcp-name", "query")], Err(-32020)),
            ("query", &[method, ("mcp-name", "query")], Err(-32020)),
            ("query", &[("mcp-protocol-version", "2025-11-25"), method, ("mcp-name", "query")], Err(-32020)),
            ("query", &[version, version, method, ("mcp-name", "query")], Err(-32020)),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers(given).iter() {
                map.append(name, value.clone());
            }
            if given.iter().filter(|pair| **pair == version).count() > 1 {
                map.append("mcp-protocol-version", HeaderValue::from_static("2026-07-28"));
            }
            let params = call(name, "2026-07-28");
            let params = params.as_object().expect("object");
            let came = alone(&map, "tools/call", params, true);
            let code = came
                .map(|_| ())
                .map_err(|fault| fault.message(None)["error"]["code"].as_i64().expect("code"));
            assert_eq!(code, expected, "{name} {given:?}");
        }
    }

    #[test]
    fn a_version_that_is_not_spoken_is_told_which_are() {
        let map = headers(&[("mcp-protocol-version", "1900-01-01"), ("mcp-method", "tools/list")]);
        let params = call("x", "1900-01-01");
        let fault =
            alone(&map, "tools/list", params.as_object().expect("object"), true).expect_err("refused");
        let message = fault.message(None);
        assert_eq!(message["error"]["code"], -32022);
        assert_eq!(message["error"]["data"]["supported"][0], "2026-07-28");
    }

    #[test]
    fn a_session_is_one_principals_and_ends() {
        let sessions = Sessions::default();
        let id = sessions.begin("agent:a", "user:a", "2025-11-25", "test".to_owned(), false).expect("begun");
        let named = headers(&[("mcp-session-id", &id)]);
        assert!(sessions.find(&named, "agent:a").is_ok());
        assert!(sessions.find(&named, "agent:b").is_err(), "it is nobody else's");
        assert!(sessions.find(&headers(&[("mcp-session-id", "guess")]), "agent:a").is_err());
        assert!(sessions.find(&HeaderMap::new(), "agent:a").is_err());
        assert!(sessions.end(&named, "agent:b").is_err());
        assert!(sessions.find(&named, "agent:a").is_ok(), "nobody else ends it");
        assert!(sessions.end(&named, "agent:a").is_ok());
        assert!(sessions.find(&named, "agent:a").is_err());
    }

    #[test]
    fn whoever_fills_the_table_gives_way_and_nobody_is_refused() {
        let sessions = Sessions::default();
        let begin = |agent: &str, person: &str| {
            sessions.begin(agent, person, "2025-11-25", "test".to_owned(), false).expect("begun")
        };
        let find = |id: &str, agent: &str| sessions.find(&headers(&[("mcp-session-id", id)]), agent).is_ok();
        let honest = begin("agent:h", "user:h");
        let first = begin("agent:0", "user:a");
        for number in 0..MOST_OF_PERSON {
            begin(&format!("agent:{number}"), "user:a");
        }
        assert!(!find(&first, "agent:0"), "what was used longest ago made room");
        assert!(find(&honest, "agent:h"));
        let count = || sessions.0.lock().expect("lock").len();
        assert_eq!(count(), MOST_OF_PERSON + 1);
        for number in count()..MOST {
            let person = number / MOST_OF_ONE;
            begin(&format!("agent:x{person}"), &format!("user:x{person}"));
        }
        let late = begin("agent:late", "user:late");
        assert!(find(&late, "agent:late") && find(&honest, "agent:h"), "others come in still");
        assert!(count() <= MOST);
    }
}
