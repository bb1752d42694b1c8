//! What clients ask the authorization server of our own directly: tokens for codes and refresh tokens, what it can do, and, where that
//! is wanted, to be known (RFC 7591). People answer elsewhere (`pages::authorize`).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use gateway::authorization::{Brought, NotRegistered, Server, Trade, TradeError, Traded};
use gateway::requests::AdminError;
use policy::oauth::scope_of;
use serde_json::{Map, Value, json};

use super::{Desk, Form, Refused, one};

const CODE: &str = "authorization_code";
const REFRESH: &str = "refresh_token";

/// Adds what it can do to what is said of the port (RFC 8414 §2, RFC 9207 §3).
pub(super) fn describe(server: &Server<'_>, metadata: &mut Map<String, Value>) {
    let mut say = |name: &str, value: Value| metadata.insert(name.to_owned(), value);
    say("authorization_endpoint", server.authorization_endpoint().into());
    say("response_types_supported", json!(["code"]));
    say("response_modes_supported", json!(["query"]));
    say("grant_types_supported", json!([CODE, REFRESH, super::EXCHANGE, "client_credentials"]));
    say("code_challenge_methods_supported", json!(["S256"]));
    say("authorization_response_iss_parameter_supported", true.into());
    say("client_id_metadata_document_supported", true.into());
    if server.registers() {
        say("registration_endpoint", format!("{}/register", server.issuer()).into());
    }
}

/// Whether a form brings what somebody's yes gave, where anybody says yes.
pub(super) fn is_trade(desk: &Desk, form: &Form) -> bool {
    desk.gateway.authorization().is_some() && [CODE, REFRESH].contains(&form.text("grant_type"))
}

pub(super) async fn trade(desk: &Desk, form: &Form, peer: SocketAddr) -> Response {
    let trade = match read(form) {
        Ok(trade) => trade,
        Err(refused) => return refused.into_response(),
    };
    match desk.gateway.trade(&trade, peer).await {
        Ok(traded) => granted(&traded),
        Err(error) => Refused::from(error).into_response(),
    }
}

fn read(form: &Form) -> Result<Trade<'_>, Refused> {
    if one(form, "client_secret")?.is_some() || one(form, "client_assertion")?.is_some() {
        return Err(Refused::client(
            "clients to which somebody said yes are public and prove nothing of themselves",
        ));
    }
    let needed = |name, missing| one(form, name)?.ok_or_else(|| Refused::request(missing));
    let brought = if one(form, "grant_type")? == Some(CODE) {
        Brought::Code {
            code: needed("code", "code is missing")?,
            redirect: needed("redirect_uri", "redirect_uri is missing")?,
            verifier: needed("code_verifier", "code_verifier is missing")?,
        }
    } else {
        Brought::Refresh(needed("refresh_token", "refresh_token is missing")?)
    };
    Ok(Trade {
        client: needed("client_id", "client_id is missing")?,
        resource: needed("resource", "resource is missing: where the token is to be used (RFC 8707)")?,
        brought,
    })
}

fn granted(traded: &Traded) -> Response {
    let mut answer = json!({
        "access_token": traded.token.token.as_str(),
        "token_type": "Bearer",
        "expires_in": traded.token.seconds,
        "refresh_token": traded.refresh.as_str(),
    });
    if let (Some(targets), Some(object)) = (&traded.targets, answer.as_object_mut()) {
        let scopes: Vec<String> = targets.iter().map(|target| scope_of(target.as_str())).collect();
        object.insert("scope".to_owned(), scopes.join(" ").into());
    }
    ([(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")], Json(answer)).into_response()
}

impl From<TradeError> for Refused {
    fn from(error: TradeError) -> Self {
        match error {
            TradeError::Off => Self::new("unsupported_grant_type", error.to_string()),
            TradeError::Grant(why) => Self::new("invalid_grant", why),
            TradeError::Resource => Self::new("invalid_target", error.to_string()),
            TradeError::TooMany(why) => {
                Self { status: StatusCode::TOO_MANY_REQUESTS, ..Self::new("temporarily_unavailable", why) }
            }
            TradeError::Admin(_) => Self::unavailable(),
        }
    }
}

/// RFC 7591: a client says who it is, and is given an id.
pub(super) async fn register(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    // A page of somebody else's cannot have a browser send this without asking.
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Refused::new("invalid_client_metadata", "the body is application/json"));
    }
    let (client, made) = desk.gateway.register(&body).await.map_err(|error| match error {
        NotRegistered::Off => {
            Refused { status: StatusCode::FORBIDDEN, ..Refused::new("access_denied", error.to_string()) }
        }
        NotRegistered::Metadata(why) => Refused::new("invalid_client_metadata", why),
        NotRegistered::TooMany => Refused {
            status: StatusCode::TOO_MANY_REQUESTS,
            ..Refused::new("temporarily_unavailable", error.to_string())
        },
        NotRegistered::Admin(error) => unavailable(&error),
    })?;
    let redirects: Vec<&str> = client.redirects.iter().map(|redirect| redirect.as_str()).collect();
    let answer = json!({
        "client_id": client.id,
        "client_id_issued_at": made,
        "client_name": client.name,
        "redirect_uris": redirects,
        "token_endpoint_auth_method": "none",
        "grant_types": [CODE, REFRESH],
        "response_types": ["code"],
    });
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

fn unavailable(error: &AdminError) -> Refused {
    tracing::error!("a client cannot be registered: {error}");
    Refused::unavailable()
}
