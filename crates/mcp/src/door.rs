//! The endpoint: who may come, in which era they speak, and what they ask for.

mod batch;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::http::header::{ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use gateway::gateway::Gateway;
use gateway::inside::NotIn;
use model::TargetName;
use policy::oauth::scope_of;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use zeroize::Zeroizing;

use crate::body::{Bodies, Sender as Whose};
use crate::eras::{self, SPOKEN, Session, Sessions, TASKS, WITH_SESSIONS, takes_pages};
use crate::leave;
use crate::origin::{Names, is_for_here};
use crate::room::{Place, Room};
use crate::rpc::{self, Fault, Incoming, Notification, Object, Request};
use crate::stream::{self, How};
use crate::tools::{Action, Called, Caller, Takes, Tools};

/// So much word of a call is under way at a time.
const WORDS: usize = 16;
/// Lists may be kept so long by who asked for them, in milliseconds.
const FRESH: u64 = 300_000;
/// What the gateway says of itself to a model.
const INSTRUCTIONS: &str = "Databases behind an access gateway. Statements are decided by policy; a refusal says what would \
                            work instead. Some wait for a person's approval: then use wait. Tagged columns come masked.";

/// The agents' door.
pub struct Door {
    gateway: Arc<Gateway>,
    /// Its own address, or the first name by which clients know it.
    base: String,
    /// By which it is reached.
    names: Names,
    sessions: Sessions,
    tools: Arc<Tools>,
    bodies: Bodies,
}

/// One request of HTTP's.
pub struct Asking {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Whether it came by TLS.
    pub encrypted: bool,
    /// GET, POST or DELETE.
    pub method: Method,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, which is read once it is known whose it is.
    pub body: Body,
}

impl Door {
    /// A door at `base`, and by these names (URLs).
    pub fn new(gateway: Arc<Gateway>, base: &str, names: &BTreeSet<String>) -> Arc<Self> {
        let names = Names::of(names.iter().map(String::as_str).chain([base]));
        let tools = Tools::new(Arc::clone(&gateway));
        let (base, sessions, bodies) = (base.to_owned(), Sessions::default(), Bodies::default());
        Arc::new(Self { gateway, base, names, sessions, tools, bodies })
    }

    /// What all who ask have room in: what else is asked for at the same port has it there, too.
    pub fn room(&self) -> &Room {
        self.bodies.room()
    }

    /// RFC 9728: what this resource is, and whose tokens it takes.
    pub fn metadata(&self) -> Response {
        // Our own server gives what clients need; of others nobody here knows whether they do.
        let issuers: Vec<String> = match self.gateway.authorization() {
            Some(own) => vec![own.issuer().to_owned()],
            None => self.gateway.sign_ins().into_iter().map(|issuer| issuer.issuer).collect(),
        };
        let mut metadata = json!({
            "resource": format!("{}/mcp", self.base),
            "resource_name": "Durward",
            "bearer_methods_supported": ["header"],
        });
        if let (false, Some(object)) = (issuers.is_empty(), metadata.as_object_mut()) {
            object.insert("authorization_servers".to_owned(), issuers.into());
        }
        Json(metadata).into_response()
    }

    /// Answers one request.
    pub async fn answer(self: Arc<Self>, asking: Asking) -> Response {
        let Asking { peer, encrypted, method, headers, body } = asking;
        if let Err(fault) = is_for_here(&self.names, &headers, peer) {
            return fault.respond(None);
        }
        if ![Method::POST, Method::GET, Method::DELETE].contains(&method) {
            let allow = [(ALLOW, "POST, GET, DELETE")];
            return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
        }
        let caller = match self.admit(&headers, peer, encrypted).await {
            Ok(caller) => caller,
            Err(stranger) => return self.shut(stranger),
        };
        let who = caller.clone();
        let answer = async {
            let answer = match method {
                Method::GET => self.listen(&headers, &caller),
                Method::DELETE => {
                    let ended = self.sessions.end(&headers, &caller.name());
                    ended.map(|()| StatusCode::NO_CONTENT.into_response())
                }
                _ => self.post(&headers, body, caller).await,
            };
            answer.unwrap_or_else(|fault| fault.respond(None))
        };
        leave::within(&self.gateway, who, answer).await.unwrap_or_else(|why| self.shut(why.into()))
    }

    async fn admit(
        &self,
        headers: &HeaderMap,
        peer: SocketAddr,
        encrypted: bool,
    ) -> Result<Caller, Stranger> {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, token)) = token else { return Err(Stranger::Unknown { brought: false }) };
        let token = Zeroizing::new(token.trim().to_owned());
        if !encrypted && !peer.ip().is_loopback() {
            let fault = Fault::no_request("tokens are taken over TLS or the loopback alone");
            return Err(Stranger::Fault(fault.with(StatusCode::FORBIDDEN)));
        }
        let admitted = self.gateway.admit_inside(&token, peer).await?;
        let (client, takes) = ("?".to_owned(), Takes::default());
        Ok(Caller { admitted, token, peer, encrypted, client, takes })
    }

    fn shut(&self, stranger: Stranger) -> Response {
        match stranger {
            Stranger::Fault(fault) => fault.respond(None),
            Stranger::Unknown { brought } => self.unauthorized(brought),
        }
    }

    fn unauthorized(&self, brought: bool) -> Response {
        let error = if brought { ", error=\"invalid_token\"" } else { "" };
        let why =
            if brought { "the token is not valid" } else { "a token is needed: Authorization: Bearer …" };
        let response = Fault::no_request(why).with(StatusCode::UNAUTHORIZED).respond(None);
        self.challenged(response, error)
    }

    /// Says where tokens come from, and more (RFC 9728 §5.1).
    fn challenged(&self, mut response: Response, more: &str) -> Response {
        let metadata = format!("{}/.well-known/oauth-protected-resource/mcp", self.base);
        if let Ok(challenge) =
            HeaderValue::from_str(&format!("Bearer resource_metadata=\"{metadata}\"{more}"))
        {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }

    /// A call that a person's choice of targets alone keeps from its own: the client may ask them again (RFC 6750 §3.1).
    fn needs_scope(&self, caller: &Caller, request: &Request) -> Option<Response> {
        if request.method != "tools/call" {
            return None;
        }
        let target = TargetName::new(request.params.get("arguments")?.get("target")?.as_str()?);
        if !self.gateway.needs_scope(&caller.admitted, &target, &caller.moment()) {
            return None;
        }
        let why = format!("this client was not let in to the target \"{target}\"");
        let response = Fault::no_request(why).with(StatusCode::FORBIDDEN).respond(Some(&request.id));
        // Those who ask anew ask for all that they need.
        let known = caller.admitted.targets().into_iter().flatten();
        let scopes: Vec<String> = known.chain([&target]).map(|target| scope_of(target.as_str())).collect();
        let more = format!(", error=\"insufficient_scope\", scope=\"{}\"", scopes.join(" "));
        Some(self.challenged(response, &more))
    }

    /// What the gateway has to say by itself to a session of the older era: nothing, as long as it lasts.
    fn listen(&self, headers: &HeaderMap, caller: &Caller) -> Result<Response, Fault> {
        accepts(headers, "text/event-stream")?;
        let session = self.sessions.find(headers, &caller.name())?;
        match headers.get("last-event-id") {
            None => Ok(stream::silence(session)),
            Some(last) => stream::taken_up(&session, last.to_str().unwrap_or_default()).ok_or_else(|| {
                Fault::no_request("there is no stream to go on with behind this Last-Event-ID")
            }),
        }
    }

    async fn post(
        self: &Arc<Self>,
        headers: &HeaderMap,
        body: Body,
        caller: Caller,
    ) -> Result<Response, Fault> {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            let fault = Fault::no_request("the body is application/json");
            return Err(fault.with(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        accepts(headers, "application/json")?;
        let most = self.gateway.limits().calls.at_once;
        let (name, person) = (caller.name(), caller.person());
        let (message, place) = self.bodies.read(Whose { name: &name, most, person: &person }, body).await?;
        if let Value::Array(batch) = message {
            let _given_back_behind_it = place;
            return self.batch(headers, caller, batch).await;
        }
        match rpc::read(message)? {
            Incoming::Response(response) => {
                self.said(headers, &caller, &response).await;
                Ok(StatusCode::ACCEPTED.into_response())
            }
            Incoming::Notification(told) => self.told(headers, &caller, &told),
            Incoming::Request(request) => {
                let id = request.id.clone();
                let answer = self.request(headers, caller, request, place).await;
                Ok(answer.unwrap_or_else(|fault| fault.respond(Some(&id))))
            }
        }
    }

    /// An answer to what a client of the older era was asked. What was not asked of it is of no matter.
    async fn said(&self, headers: &HeaderMap, caller: &Caller, response: &rpc::Response) {
        let Ok(session) = self.sessions.find(headers, &caller.name()) else { return };
        let Some(request) = response.id.as_str().and_then(|id| session.asked(id)) else { return };
        if Action::of(response.result.as_ref()) == Action::Decline {
            // Its call hears of that by itself; what fails was logged.
            let _ = self.tools.withdraw(caller, &request).await;
        }
    }

    fn told(&self, headers: &HeaderMap, caller: &Caller, told: &Notification) -> Result<Response, Fault> {
        if eras::alone(headers, &told.method, &told.params, false)?.is_none() {
            let session = self.sessions.find(headers, &caller.name())?;
            if let ("notifications/cancelled", Some(id)) = (&*told.method, told.params.get("requestId")) {
                session.cancel(id);
            }
        }
        Ok(StatusCode::ACCEPTED.into_response())
    }

    async fn request(
        self: &Arc<Self>,
        headers: &HeaderMap,
        mut caller: Caller,
        request: Request,
        place: Place,
    ) -> Result<Response, Fault> {
        if let Some(response) = self.needs_scope(&caller, &request) {
            return Ok(response);
        }
        let streams = accepts(headers, "text/event-stream").is_ok();
        let token = request.params.get("_meta").and_then(|meta| meta.get("progressToken")).cloned();
        let token = token.filter(|token| streams && (token.is_string() || token.is_i64() || token.is_u64()));
        if let Some(says) = eras::alone(headers, &request.method, &request.params, true)? {
            (caller.client, caller.takes) = (says.client, says.takes);
            if request.method == "subscriptions/listen" {
                accepts(headers, "text/event-stream")?;
                let wanted = request.params.get("notifications").and_then(|all| all.get("taskIds"));
                if wanted.is_some() && !caller.takes.tasks {
                    return Err(Fault::capability(json!({ "extensions": { TASKS: {} } })));
                }
                return Ok(stream::acknowledged(&request.id, self.gateway.draining()));
            }
            let door = Arc::clone(self);
            return match token.filter(|_| request.method == "tools/call") {
                None => Ok(Json(door.by_itself(caller, request, Told::nobody()).await?).into_response()),
                Some(token) => {
                    self.tools.check(&request.params)?;
                    let (told, telling) = Told::somebody();
                    let work = async move {
                        let _given_back_behind_it = place;
                        let id = request.id.clone();
                        let answer = door.by_itself(caller, request, told).await;
                        answer.unwrap_or_else(|fault| fault.message(Some(&id)))
                    };
                    let how = How { told: telling, token: Some(token), session: None, asks: false };
                    Ok(stream::answered(Box::pin(work), how).await)
                }
            };
        }
        if request.method == "initialize" {
            return self.initialize(&caller, &request);
        }
        let session = self.sessions.find(headers, &caller.name())?;
        let door = Arc::clone(self);
        let token = token.filter(|_| request.method == "tools/call");
        // Of a client that can lead its person to a page it may have to be asked, while its call waits.
        let asks = streams && session.takes_pages && request.method == "tools/call";
        match token {
            None if !asks => {
                let answer = door.in_session(&session, caller, request, Told::nobody()).await;
                // An unknown method has no status of its own in this era.
                answer.map(|answer| Json(answer).into_response()).map_err(|fault| fault.with(StatusCode::OK))
            }
            token => {
                let (told, telling) = Told::somebody();
                let in_session = Arc::clone(&session);
                let work = async move {
                    let _given_back_behind_it = place;
                    let id = request.id.clone();
                    let answer = door.in_session(&session, caller, request, told).await;
                    answer.unwrap_or_else(|fault| fault.message(Some(&id)))
                };
                let how = How { told: telling, token, session: Some(in_session), asks };
                Ok(stream::answered(Box::pin(work), how).await)
            }
        }
    }

    /// A request that stands alone.
    async fn by_itself(&self, caller: Caller, request: Request, told: Told) -> Result<Value, Fault> {
        let Request { id, method, params } = request;
        let mut result = match &*method {
            "server/discover" => {
                let mut result = capabilities();
                result.insert("supportedVersions".to_owned(), json!(SPOKEN));
                result.insert("capabilities".to_owned(), json!({ "tools": {}, "extensions": { TASKS: {} } }));
                fresh(&mut result, "private");
                result
            }
            "tools/call" => self.tools.call(&caller, &params, &told).await?.into_result(),
            "tasks/get" | "tasks/update" | "tasks/cancel" if !caller.takes.tasks => {
                return Err(Fault::capability(json!({ "extensions": { TASKS: {} } })));
            }
            "tasks/get" => self.tools.task(&caller, &params).await?,
            "tasks/update" => self.tools.update_task(&caller, &params).await?,
            "tasks/cancel" => self.tools.cancel_task(&caller, &params).await?,
            _ => {
                let mut result = self.list(&method).ok_or_else(|| Fault::no_method(&method))?;
                fresh(&mut result, "private");
                result
            }
        };
        result.entry("resultType").or_insert_with(|| "complete".into());
        let meta = json!({ "io.modelcontextprotocol/serverInfo": server() });
        result.insert("_meta".to_owned(), meta);
        Ok(rpc::result(&id, result))
    }

    fn initialize(&self, caller: &Caller, request: &Request) -> Result<Response, Fault> {
        let params = &request.params;
        let asked = params.get("protocolVersion").and_then(Value::as_str);
        let asked = asked.ok_or_else(|| Fault::parameters("protocolVersion is missing"))?;
        let version = eras::agreed(asked);
        // Pages came with the newest version of that era.
        let takes_pages = version == WITH_SESSIONS[0] && params.get("capabilities").is_some_and(takes_pages);
        let client = eras::client(params.get("clientInfo"));
        let session = self.sessions.begin(&caller.name(), &caller.person(), version, client, takes_pages)?;
        let mut result = capabilities();
        result.insert("protocolVersion".to_owned(), version.into());
        result.insert("serverInfo".to_owned(), server());
        let mut response = Json(rpc::result(&request.id, result)).into_response();
        if let Ok(session) = HeaderValue::from_str(&session) {
            response.headers_mut().insert(HeaderName::from_static("mcp-session-id"), session);
        }
        Ok(response)
    }

    /// A request in a session.
    async fn in_session(
        &self,
        session: &Arc<Session>,
        mut caller: Caller,
        request: Request,
        told: Told,
    ) -> Result<Value, Fault> {
        caller.client = session.client.clone();
        let under_way = session.begin(&request.id)?;
        let Request { id, method, params } = request;
        let result = match &*method {
            "ping" => Object::new(),
            "tools/call" => tokio::select! {
                biased;
                () = under_way.cancelled.notified() => {
                    return Err(Fault::no_request("the call was taken back"));
                }
                result = self.tools.call(&caller, &params, &told) => match result? {
                    Called::Done(result) => result,
                    // Nobody is told so who has not said that it is understood: in this era nobody can.
                    Called::Asks(_) | Called::Task(_) => return Err(Fault::internal("the call waits")),
                },
            },
            _ => self.list(&method).ok_or_else(|| Fault::no_method(&method))?,
        };
        Ok(rpc::result(&id, result))
    }

    /// What there is of something. Clients ask for what is not announced, too: of that there is nothing.
    fn list(&self, method: &str) -> Option<Object> {
        let of = match method {
            "tools/list" => return Some(self.tools.list()),
            "prompts/list" => "prompts",
            "resources/list" => "resources",
            "resources/templates/list" => "resourceTemplates",
            _ => return None,
        };
        Some(Object::from_iter([(of.to_owned(), json!([]))]))
    }
}

/// Whoever is not let in.
enum Stranger {
    /// Without a token that is taken.
    Unknown {
        /// Whether there was one.
        brought: bool,
    },
    /// For another reason.
    Fault(Fault),
}

impl From<NotIn> for Stranger {
    fn from(why: NotIn) -> Self {
        let words = match &why {
            NotIn::Token => return Self::Unknown { brought: true },
            NotIn::Closed(denied) => match &denied.hint {
                Some(hint) => format!("{}. {hint}", denied.reason),
                None => denied.reason.clone(),
            },
            NotIn::Journal(_) => {
                "the gateway lets nobody in now. Keep the token, and try again later.".to_owned()
            }
        };
        tracing::error!("nobody is let in by MCP: {why}");
        Self::Fault(Fault::internal(words).with(StatusCode::SERVICE_UNAVAILABLE))
    }
}

/// How a call goes.
pub(crate) enum Word {
    /// In words for a person.
    Goes(String),
    /// It waits for an answer to a request, which people give on a page.
    Waits {
        /// The request's id.
        request: String,
        /// Where its page is, if there is a console.
        page: Option<String>,
    },
}

/// Who hears how a call goes.
pub(crate) struct Told {
    by: Option<Sender<Word>>,
    /// The request for whose answer the call waits, if it does.
    awaited: Mutex<Option<String>>,
}

impl Told {
    pub(crate) fn nobody() -> Self {
        Self { by: None, awaited: Mutex::default() }
    }

    fn somebody() -> (Self, Receiver<Word>) {
        let (sender, receiver) = channel(WORDS);
        (Self { by: Some(sender), awaited: Mutex::default() }, receiver)
    }

    /// Tells it, in words for a person.
    pub(crate) fn tell(&self, words: &str) {
        if let Some(sender) = &self.by {
            // Who says too much is not waited for.
            let _ = sender.try_send(Word::Goes(words.to_owned()));
        }
    }

    /// Tells that it waits for people, and where they answer.
    pub(crate) fn waits(&self, request: &str, page: Option<String>) {
        self.waits_quietly(request);
        if let Some(sender) = &self.by {
            let _ = sender.try_send(Word::Waits { request: request.to_owned(), page });
        }
    }

    /// Notes the same, and tells nobody.
    pub(crate) fn waits_quietly(&self, request: &str) {
        *self.awaited.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.to_owned());
    }

    /// The request for whose answer the call waits, or has waited last.
    pub(crate) fn awaited(&self) -> Option<String> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn server() -> Value {
    json!({ "name": "durward", "title": "Durward", "version": env!("CARGO_PKG_VERSION") })
}

fn capabilities() -> Object {
    let mut result = Object::new();
    result.insert("capabilities".to_owned(), json!({ "tools": {} }));
    result.insert("instructions".to_owned(), INSTRUCTIONS.into());
    result
}

/// How long a list may be kept, and by whom.
fn fresh(result: &mut Object, scope: &str) {
    result.insert("ttlMs".to_owned(), FRESH.into());
    result.insert("cacheScope".to_owned(), scope.into());
}

/// Whether an answer of this kind is taken.
fn accepts(headers: &HeaderMap, kind: &str) -> Result<(), Fault> {
    let family = kind.split('/').next().unwrap_or_default();
    let takes = |one: &str| {
        let one = one.split(';').next().unwrap_or_default().trim();
        one.eq_ignore_ascii_case(kind) || one == "*/*" || one.strip_suffix("/*") == Some(family)
    };
    let mut all = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if all.any(|value| value.split(',').any(takes)) {
        return Ok(());
    }
    Err(Fault::no_request(format!("Accept must have {kind}")).with(StatusCode::NOT_ACCEPTABLE))
}

#[cfg(test)]
mod tests {
    use axum::http::header::ACCEPT;
    use axum::http::{HeaderMap, HeaderValue};

    use super::{SPOKEN, accepts};
    use crate::eras::ALONE;

    #[test]
    fn what_is_accepted_is_a_kind_or_a_family_of_them() {
        for (accept, json, events) in [
            ("application/json, text/event-stream", true, true),
            ("application/json;q=0.9,text/event-stream", true, true),
            ("*/*", true, true),
            ("application/*", true, false),
            ("text/html", false, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(accepts(&headers, "application/json").is_ok(), json, "{accept}");
            assert_eq!(accepts(&headers, "text/event-stream").is_ok(), events, "{accept}");
        }
        assert!(accepts(&HeaderMap::new(), "application/json").is_err());
    }

    #[test]
    fn the_newest_version_is_told_first() {
        assert_eq!(SPOKEN.first(), Some(&ALONE));
    }
}
