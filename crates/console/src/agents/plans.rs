//! Plans: submitted, looked at, waited for and taken back with the token of whoever asks. Nothing here answers them.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use gateway::plans::{PlanError, Refused, Submission};
use model::CarriedBy;
use serde::Serialize;
use serde_json::json;

use super::{Desk, Peer, form, one};

/// Takes a plan: `target`, `script`, `reason`, and `by`, which is `gateway` or `session`.
pub(super) async fn submit(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let submission = match submission(&headers, &body) {
        Ok(submission) => submission,
        Err(refused) => return refused.into_response(),
    };
    answer(desk.gateway.submit_plan(bearer(&headers), &submission, peer).await)
}

/// One's own plan, and how far it has come.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    answer(desk.gateway.own_plan(bearer(&headers), &id, peer).await)
}

/// Takes one's own plan back.
pub(super) async fn withdraw(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    answer(desk.gateway.withdraw_plan(bearer(&headers), &id, peer).await)
}

/// Takes one's own request back, whatever it asks for.
pub(super) async fn withdraw_request(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let taken = desk.gateway.withdraw_request(bearer(&headers), &id, peer).await;
    answer(taken.map(|status| json!({ "id": id, "status": status })))
}

fn submission(headers: &HeaderMap, body: &[u8]) -> Result<Submission, super::Refused> {
    let form = form(headers, body)?;
    let needed = |name, missing| one(&form, name)?.ok_or_else(|| super::Refused::request(missing));
    let by = match one(&form, "by")? {
        None | Some("gateway") => CarriedBy::Gateway,
        Some("session") => CarriedBy::Session,
        Some(_) => return Err(super::Refused::request("by is gateway or session")),
    };
    Ok(Submission {
        target: needed("target", "target is missing")?.to_owned(),
        script: needed("script", "script is missing")?.to_owned(),
        reason: one(&form, "reason")?.filter(|reason| !reason.is_empty()).map(str::to_owned),
        by,
    })
}

pub(super) fn bearer(headers: &HeaderMap) -> &str {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}

pub(super) fn answer(done: Result<impl Serialize, PlanError>) -> Response {
    let (status, body) = match done {
        Ok(shown) => (StatusCode::OK, json!(shown)),
        Err(PlanError::Token) => (
            StatusCode::UNAUTHORIZED,
            json!({ "error": "invalid_token", "error_description": "the token is not valid" }),
        ),
        Err(error @ (PlanError::Missing(_) | PlanError::NoRequest(_))) => {
            (StatusCode::NOT_FOUND, json!({ "error": "not_found", "error_description": error.to_string() }))
        }
        Err(PlanError::Refused(refused)) => {
            let said = refused.to_string();
            let Refused { statement, code, reason: _, hint } = refused;
            let body = json!({
                "error": "refused", "error_description": said, "statement": statement, "code": code, "hint": hint,
            });
            (StatusCode::FORBIDDEN, body)
        }
        Err(error @ (PlanError::State(_) | PlanError::Journal(_))) => {
            tracing::error!("a plan cannot be dealt with: {error}");
            return super::Refused::unavailable().into_response();
        }
    };
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
