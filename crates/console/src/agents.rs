//! The agents' own port: tokens of the gateway's for whoever proves who they are (RFC 6749, RFC 7523, RFC 8693, RFC 8414), and for
//! clients to which somebody said yes in the console (`authorization`).
//! There is no way from here to what an administrator or an approver does: this file has no door, and no other routes. Plans and
//! access are asked for here, and answered elsewhere.

mod access;
mod authorization;
mod plans;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use gateway::exchange::{ExchangeError, Minted, Proof, Wanted};
use gateway::gateway::Gateway;
use gateway::logout::LogoutError;
use gateway::serve::Certificate;
use gateway::signin::{Bearer, SignIn};
use mcp::{Asking, Door, Kept, Unread};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use crate::bounded::Bounded;
use crate::form::Form;

/// What cannot be done now may be tried again so late, in seconds.
const SOON: &str = "2";
/// Two of the longest tokens, each of whose signs may take three, and a little.
const LONGEST_BODY: usize = 512 * 1024;

/// An agent by MCP has a connection on which it listens, and one or more on which it asks.
const MOST_OPEN: usize = 2048;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What `durward login` asks for: a token to keep, for whoever signed in.
const SIGN_IN: &str = "urn:durward:token-type:sign-in";
/// What a token that is brought may be called. They are told apart by what they are.
const TOKEN_TYPES: [&str; 3] =
    [ACCESS_TOKEN, "urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"];
/// A target as a `resource`, which must be a URI.
const TARGET_URI: &str = "urn:durward:target:";

struct Desk {
    gateway: Arc<Gateway>,
    /// This endpoint's own names, for which clients make their assertions.
    audiences: BTreeSet<String>,
    /// Its own address, or the first name that it is given.
    called: String,
    /// Whether clients come by TLS.
    encrypted: bool,
    /// Where agents speak MCP.
    door: Arc<Door>,
}

/// Where a question comes from.
#[derive(Clone, Copy)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Serves agents until the gateway drains. `names` are URLs beside its own address by which clients know it. Where there is a
/// certificate, they come by TLS alone.
///
/// # Errors
/// The listener fails.
pub async fn serve_agents(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    names: BTreeSet<String>,
    certificate: Option<Arc<Certificate>>,
) -> std::io::Result<()> {
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let base = format!("{scheme}://{}", listener.local_addr()?);
    let mut draining = gateway.draining();
    let ended = async move {
        let _ = draining.wait_for(Option::is_some).await;
    };
    let service =
        router(gateway, base, &names, certificate.is_some()).into_make_service_with_connect_info::<Peer>();
    let bounded = Bounded::new(listener).holding(MOST_OPEN);
    let bounded = match certificate {
        Some(certificate) => bounded.by_tls(certificate),
        None => bounded,
    };
    axum::serve(bounded, service).with_graceful_shutdown(ended).await
}

fn router(gateway: Arc<Gateway>, base: String, names: &BTreeSet<String>, encrypted: bool) -> Router {
    let own = std::iter::once(&base).chain(names).map(|name| name.trim_end_matches('/'));
    let called = names.first().map_or(&*base, |name| name.trim_end_matches('/')).to_owned();
    let audiences = own.flat_map(|name| [name.to_owned(), format!("{name}/token")]).collect();
    let door = Door::new(Arc::clone(&gateway), &called, names);
    gateway.set_agents(&called);
    let desk = Arc::new(Desk { gateway, audiences, called, encrypted, door });
    let others = Router::new()
        .route("/.well-known/oauth-protected-resource", get(resource))
        .route("/.well-known/oauth-protected-resource/mcp", get(resource))
        .route("/token", post(token))
        .route("/login", get(sign_ins))
        .route("/whoami", post(who))
        .route("/revoke", post(give_back))
        .route("/logout", post(logged_out))
        .route("/plans", post(plans::submit))
        .route("/plans/{id}", get(plans::show))
        .route("/plans/{id}/withdraw", post(plans::withdraw))
        .route("/access", post(access::ask))
        .route("/access/{id}", get(access::show))
        .route("/requests/{id}/withdraw", post(plans::withdraw_request))
        .route("/register", post(authorization::register))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .fallback(|| async { (StatusCode::NOT_FOUND, Json(json!({ "error": "not_found" }))) })
        .layer(from_fn_with_state(Arc::clone(&desk), bounded));
    // What comes there is read once it is known whose it is.
    others.route("/mcp", any(speak)).with_state(desk)
}

/// Reads a body, where there is room for it beside what all others send: what comes here is of whoever is at its address.
async fn bounded(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    match desk.door.room().read(&peer.ip().to_string(), body, LONGEST_BODY).await {
        Ok(Kept { bytes, place }) => {
            let answer = next.run(Request::from_parts(parts, Body::from(bytes))).await;
            drop(place);
            answer
        }
        Err(Unread::Full) => Refused::full().into_response(),
        Err(Unread::TooLong) => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(Unread::Broken) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// One message of an agent's, or what it listens to.
async fn speak(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let encrypted = desk.encrypted;
    Arc::clone(&desk.door).answer(Asking { peer, encrypted, method, headers, body }).await
}

/// RFC 9728: what agents speak to here, and whose tokens it takes.
async fn resource(State(desk): State<Arc<Desk>>) -> Response {
    desk.door.metadata()
}

async fn metadata(State(desk): State<Arc<Desk>>) -> Response {
    // Behind a name it is the name by which clients come.
    let base = &desk.called;
    let mut metadata = json!({
        "issuer": base,
        "token_endpoint": format!("{base}/token"),
        "revocation_endpoint": format!("{base}/revoke"),
        "revocation_endpoint_auth_methods_supported": ["none"],
        "grant_types_supported": [EXCHANGE, "client_credentials"],
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256", "EdDSA", "RS256", "PS256", "ES384"],
        "response_types_supported": [],
    });
    if let (Some(server), Some(metadata)) = (desk.gateway.authorization(), metadata.as_object_mut()) {
        authorization::describe(&server, metadata);
    }
    Json(metadata).into_response()
}

async fn token(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = match question(uri.query(), &headers, &body) {
        Ok(form) if authorization::is_trade(&desk, &form) => {
            return authorization::trade(&desk, &form, peer).await;
        }
        Ok(form) => asked(&desk, &form),
        Err(refused) => Err(refused),
    };
    let asked = match asked {
        Ok(asked) => asked,
        Err(refused) => return refused.into_response(),
    };
    match desk.gateway.exchange(&asked.proof, &asked.wanted, peer).await {
        Ok(minted) => granted(&minted),
        Err(error) => Refused::of(&error, &asked.proof).into_response(),
    }
}

fn granted(minted: &Minted) -> Response {
    let mut answer = json!({
        "access_token": minted.token.as_str(),
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": minted.seconds,
    });
    if let (Some(purpose), Some(object)) = (&minted.purpose, answer.as_object_mut()) {
        object.insert("scope".to_owned(), purpose.as_str().into());
    }
    ([(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")], Json(answer)).into_response()
}

struct Asked {
    proof: Proof,
    wanted: Wanted,
}

fn question(query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Result<Form, Refused> {
    if query.is_some() {
        return Err(Refused::request("parameters go in the body: addresses are logged on the way"));
    }
    if headers.contains_key(AUTHORIZATION) {
        return Err(Refused::client("clients prove themselves by client_assertion"));
    }
    form(headers, body)
}

fn asked(desk: &Desk, form: &Form) -> Result<Asked, Refused> {
    let proof = match one(form, "grant_type")? {
        Some(EXCHANGE) => tokens(form)?,
        Some("client_credentials") => assertion(form, desk)?,
        Some(_) => {
            return Err(Refused::new("unsupported_grant_type", "token exchange and client_credentials are"));
        }
        None => return Err(Refused::request("grant_type is missing")),
    };
    let mut wanted = Wanted::default();
    for name in form.all("audience") {
        wanted.targets.insert(name.to_owned());
    }
    for uri in form.all("resource") {
        let name = uri
            .strip_prefix(TARGET_URI)
            .ok_or_else(|| Refused::new("invalid_target", "a resource is urn:durward:target:NAME"))?;
        wanted.targets.insert(name.to_owned());
    }
    wanted.purpose = one(form, "scope")?.map(str::to_owned);
    if let Some(seconds) = one(form, "lifetime")? {
        wanted.seconds =
            Some(seconds.parse().map_err(|_| Refused::request("lifetime is a number of seconds"))?);
    }
    Ok(Asked { proof, wanted })
}

/// Where people sign in by the command line.
async fn sign_ins(State(desk): State<Arc<Desk>>) -> Json<Vec<SignIn>> {
    Json(desk.gateway.sign_ins())
}

/// Whose token it is that is brought.
async fn who(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Result<Json<Bearer>, Refused> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let known = desk.gateway.bearer(token, peer).await.map_err(|error| {
        tracing::error!("whose token it is cannot be looked up: {error}");
        Refused::unavailable()
    })?;
    known.map(Json).ok_or_else(|| Refused::client("the token is not valid"))
}

/// RFC 7009: whoever has a token may take it back. One that is none is answered alike.
async fn give_back(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refused> {
    let form = form(&headers, &body)?;
    let token = one(&form, "token")?.ok_or_else(|| Refused::request("token is missing"))?;
    let given = desk.gateway.give_back(token, peer).await;
    given.map(|()| Json(json!({}))).map_err(|error| {
        tracing::error!("a token cannot be taken back: {error}");
        Refused::unavailable()
    })
}

/// OpenID Connect Back-Channel Logout: an issuer says who signed out.
async fn logged_out(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let form = form(&headers, &body)?;
    let token = one(&form, "logout_token")?.ok_or_else(|| Refused::request("logout_token is missing"))?;
    match desk.gateway.logged_out(token, peer).await {
        Ok(_) => Ok(([(CACHE_CONTROL, "no-store")], StatusCode::OK).into_response()),
        Err(LogoutError::Token(_)) => Err(Refused::request("the logout token is not valid")),
        // Whoever is told so says it again.
        Err(error @ (LogoutError::Unasked(_) | LogoutError::Admin(_))) => {
            tracing::error!("an issuer's word that somebody signed out cannot be taken: {error}");
            Err(Refused::unavailable())
        }
    }
}

fn form(headers: &HeaderMap, body: &[u8]) -> Result<Form, Refused> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Refused::request("the body is application/x-www-form-urlencoded"));
    }
    Form::read(body).ok_or_else(|| Refused::request("the body is no form"))
}

fn tokens(form: &Form) -> Result<Proof, Refused> {
    let known = |name: &str| match one(form, name)? {
        Some(kind) if TOKEN_TYPES.contains(&kind) => Ok(true),
        Some(_) => Err(Refused::request("tokens of this type are not taken")),
        None => Ok(false),
    };
    let sign_in = match one(form, "requested_token_type")? {
        None | Some(ACCESS_TOKEN) => false,
        Some(SIGN_IN) => true,
        Some(_) => {
            return Err(Refused::request("tokens of the requested type are not issued: access_token is"));
        }
    };
    if one(form, "client_assertion")?.is_some() {
        return Err(Refused::request(
            "client_assertion goes with client_credentials; here an actor brings actor_token",
        ));
    }
    let subject = one(form, "subject_token")?.ok_or_else(|| Refused::request("subject_token is missing"))?;
    if !known("subject_token_type")? {
        return Err(Refused::request("subject_token_type is missing"));
    }
    if sign_in {
        return Ok(Proof::SignIn { identity: Zeroizing::new(subject.to_owned()) });
    }
    let actor = one(form, "actor_token")?;
    if known("actor_token_type")? != actor.is_some() {
        return Err(Refused::request("actor_token and actor_token_type go together"));
    }
    Ok(Proof::Tokens {
        subject: Zeroizing::new(subject.to_owned()),
        actor: actor.map(|token| Zeroizing::new(token.to_owned())),
        agent: one(form, "agent")?.map(str::to_owned),
    })
}

fn assertion(form: &Form, desk: &Desk) -> Result<Proof, Refused> {
    if one(form, "client_assertion_type")? != Some(ASSERTION) {
        return Err(Refused::client(
            "client_assertion_type must be jwt-bearer: clients prove themselves by a key",
        ));
    }
    let assertion =
        one(form, "client_assertion")?.ok_or_else(|| Refused::client("client_assertion is missing"))?;
    Ok(Proof::Assertion {
        assertion: Zeroizing::new(assertion.to_owned()),
        client: one(form, "client_id")?.map(str::to_owned),
        audiences: desk.audiences.clone(),
    })
}

/// A parameter without a value counts as none (RFC 6749 §3.2).
fn one<'f>(form: &'f Form, name: &str) -> Result<Option<&'f str>, Refused> {
    let mut all = form.all(name);
    let first = all.next();
    if all.next().is_some() { Err(Refused::request("a parameter comes twice")) } else { Ok(first) }
}

/// A refusal as RFC 6749 §5.2 words it.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    error: &'static str,
    description: String,
}

impl Refused {
    fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, description: description.into() }
    }

    fn request(description: &'static str) -> Self {
        Self::new("invalid_request", description)
    }

    fn client(description: &'static str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, ..Self::new("invalid_client", description) }
    }

    fn unavailable() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error: "temporarily_unavailable",
            description: "the gateway cannot do this now".to_owned(),
        }
    }

    fn full() -> Self {
        let description =
            "there is no room for more from this address now, beside what others send: try again later";
        Self { description: description.to_owned(), ..Self::unavailable() }
    }

    fn of(error: &ExchangeError, proof: &Proof) -> Self {
        if error.is_unanswered() {
            let description =
                "the token's issuer cannot be asked now: keep the token, and try again in a moment";
            return Self { description: description.to_owned(), ..Self::unavailable() };
        }
        match (error, proof) {
            (ExchangeError::Unproven(what, _), Proof::Assertion { .. }) => Self::client(what),
            // RFC 8693 §2.2.2.
            (ExchangeError::Unproven(what, _), Proof::Tokens { .. } | Proof::SignIn { .. }) => {
                Self::request(what)
            }
            (ExchangeError::TooMany(_), _) => Self {
                status: StatusCode::TOO_MANY_REQUESTS,
                error: "temporarily_unavailable",
                description: error.to_string(),
            },
            (ExchangeError::Purpose, _) => Self::new("invalid_scope", error.to_string()),
            (ExchangeError::Target, _) => Self::new("invalid_target", error.to_string()),
            (ExchangeError::Request(what), _) => Self::request(what),
            (ExchangeError::State(_) | ExchangeError::Journal(_) | ExchangeError::Randomness, _) => {
                Self::unavailable()
            }
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.error, "error_description": self.description }));
        let mut response =
            (self.status, [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")], body).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(SOON));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        let form = Form::read(b"a=x+y&b=%C3%A9&audience=one&audience=two&c=&d").expect("a form");
        assert_eq!(one(&form, "a").ok().flatten(), Some("x y"));
        assert_eq!(one(&form, "b").ok().flatten(), Some("\u{e9}"));
        assert_eq!(form.all("audience").collect::<Vec<_>>(), ["one", "two"]);
        assert!(one(&form, "audience").is_err(), "twice");
        assert_eq!((one(&form, "c").ok().flatten(), one(&form, "d").ok().flatten()), (None, None));
        for wrong in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%ff", &[0xff]] {
            assert!(Form::read(wrong).is_none(), "{wrong:?}");
        }
        assert!(Form::read("a=b&".repeat(101).as_bytes()).is_none(), "many");
    }
}
