//! `/api/v1`: what an administrator does. Every call here has passed the door.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use gateway::configure::{Applied, Configuration};
use gateway::doctor::Check;
use gateway::explain::{Asked, Explained};
use gateway::gateway::{Gateway, Health};
use gateway::requests::{NewToken, Request, TokenInfo};
use gateway::sessions::Live;
use model::{PrincipalKind, PrincipalRef, TargetName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::{Failure, missing};

type Gate = State<Arc<Gateway>>;
type Answer<T> = Result<Json<T>, Failure>;
type Body<T> = Result<Json<T>, JsonRejection>;

/// There is one administrator's secret, so there is one administrator: whoever has it cannot vote as two people.
fn administrator() -> PrincipalRef {
    PrincipalRef { kind: PrincipalKind::User, name: "administrator".to_owned() }
}

fn by() -> String {
    administrator().to_string()
}

pub(crate) fn router() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/health", get(health))
        .route("/requests", get(requests))
        .route("/requests/{id}", get(request))
        .route("/requests/{id}/answer", post(answer))
        .route("/sessions", get(sessions))
        .route("/sessions/{id}/kill", post(kill))
        .route("/tokens", get(tokens).post(issue))
        .route("/tokens/{id}/revoke", post(revoke))
        .route("/configuration", get(configuration).put(apply))
        .route("/configuration/check", post(check))
        .route("/explain", post(explain))
        .route("/targets/{name}/propose", post(propose))
        .route("/targets/{name}/doctor", get(doctor))
        .fallback(|| async { missing("the API has nothing at this path") })
}

async fn health(State(gateway): Gate) -> Json<Health> {
    Json(gateway.health().await)
}

// ---------------------------------------------------------------------- held operations

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    #[serde(default)]
    all: bool,
}

async fn requests(State(gateway): Gate, Query(which): Query<Which>) -> Answer<Vec<Request>> {
    Ok(Json(gateway.requests(which.all).await?))
}

async fn request(State(gateway): Gate, Path(id): Path<String>) -> Answer<Request> {
    Ok(Json(gateway.request(&id, &by()).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vote {
    approve: bool,
    #[serde(default)]
    words: Option<String>,
}

async fn answer(State(gateway): Gate, Path(id): Path<String>, vote: Body<Vote>) -> Answer<Value> {
    let Json(Vote { approve, words }) = vote?;
    let status = gateway.answer_request(&id, &administrator(), approve, words).await?;
    Ok(Json(json!({ "status": status })))
}

// ---------------------------------------------------------------------- sessions and tokens

#[derive(Serialize)]
struct Session {
    id: String,
    principal: String,
    token: String,
    target: String,
    address: String,
    application: String,
    since: i64,
    until: i64,
}

impl From<Live> for Session {
    fn from(live: Live) -> Self {
        let Live { id, principal, token, target, address, application, since, until } = live;
        let (principal, target) = (principal.to_string(), target.0);
        Self { id, principal, token, target, address, application, since, until }
    }
}

async fn sessions(State(gateway): Gate) -> Json<Vec<Session>> {
    Json(gateway.sessions().list().into_iter().map(Session::from).collect())
}

async fn kill(State(gateway): Gate, Path(id): Path<String>) -> Answer<Value> {
    gateway.kill_session(&id, &by())?;
    Ok(Json(json!({ "killed": id })))
}

async fn tokens(State(gateway): Gate) -> Answer<Vec<TokenInfo>> {
    Ok(Json(gateway.tokens().await?))
}

async fn issue(State(gateway): Gate, wanted: Body<NewToken>) -> Answer<Value> {
    let issued = gateway.issue_token(&wanted?.0, &by()).await?;
    Ok(Json(json!({ "id": issued.id, "token": issued.token.as_str(), "expires": issued.expires })))
}

async fn revoke(State(gateway): Gate, Path(id): Path<String>) -> Answer<Value> {
    let ended = gateway.revoke_token(&id, &by()).await?;
    Ok(Json(json!({ "revoked": id, "sessions": ended })))
}

// ---------------------------------------------------------------------- configuration

async fn configuration(State(gateway): Gate) -> Answer<Configuration> {
    Ok(Json(gateway.export().await?))
}

async fn apply(State(gateway): Gate, wanted: Body<Configuration>) -> Answer<Applied> {
    Ok(Json(gateway.apply(wanted?.0, &by()).await?))
}

async fn check(State(gateway): Gate, wanted: Body<Configuration>) -> Answer<Applied> {
    Ok(Json(gateway.check(wanted?.0).await?))
}

/// A question about policies. It changes nothing, and sends nothing of the statement anywhere.
async fn explain(State(gateway): Gate, asked: Body<Asked>) -> Answer<Explained> {
    Ok(Json(gateway.explain(&asked?.0).await?))
}

async fn propose(State(gateway): Gate, Path(name): Path<String>) -> Answer<Value> {
    let proposed = gateway.propose(&TargetName(name), &by()).await?;
    Ok(Json(json!({ "proposed": proposed })))
}

async fn doctor(State(gateway): Gate, Path(name): Path<String>) -> Answer<Vec<Check>> {
    let checks = gateway.doctor(&TargetName::new(name.as_str())).await;
    Ok(Json(checks.ok_or_else(|| missing(format!("there is no target \"{name}\"")))?))
}
