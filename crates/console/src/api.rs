//! `/api/v1`: what an administrator does, and what approvers answer. Every call here has passed the door.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use gateway::approvers::{Caller, Said};
use gateway::break_glass::{CodeInfo, Made, NewCodes};
use gateway::configure::{Applied, Configuration, Rest};
use gateway::denials::{DenialInfo, NewDenial};
use gateway::doctor::Check;
use gateway::explain::{Asked, Explained};
use gateway::freezes::{NewEnd, NewFreeze};
use gateway::gateway::{Gateway, Status};
use gateway::people::NewMember;
use gateway::recordings::{Found, Page, Search, Wanted};
use gateway::requests::{MOST_LISTED, NewToken, TokenInfo};
use gateway::sessions::Live;
use model::{Approver, Member, Request, TargetName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::{Failure, missing};

type Gate = State<Arc<Gateway>>;
type Answer<T> = Result<Json<T>, Failure>;
type Body<T> = Result<Json<T>, JsonRejection>;

/// There is one administrator's secret, so there is one administrator.
fn by() -> String {
    Caller::Administrator.id().to_string()
}

pub(crate) fn router() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/health", get(health))
        .route("/approvers", get(approvers).post(add_approver))
        .route("/approvers/{name}/remove", post(remove_approver))
        .route("/people", get(people).post(invite))
        .route("/people/{name}/remove", post(remove_person))
        .route("/sessions", get(sessions))
        .route("/sessions/kill", post(kill))
        .route("/sessions/search", get(search))
        .route("/sessions/{id}/recording", get(recording))
        .route("/tokens", get(tokens).post(issue))
        .route("/tokens/{id}/revoke", post(revoke))
        .route("/revocations", get(revocations).post(deny))
        .route("/revocations/{id}/lift", post(lift))
        .route("/freezes", get(freezes).post(freeze))
        .route("/freezes/{id}/thaw", post(thaw))
        .route("/break-glass", get(codes).post(make_codes))
        .route("/break-glass/{id}/revoke", post(revoke_code))
        .route("/configuration", get(configuration).put(apply))
        .route("/configuration/check", post(check))
        .route("/explain", post(explain))
        .route("/targets/{name}/propose", post(propose))
        .route("/targets/{name}/doctor", get(doctor))
        .route("/doctor", get(doctor_of_policies))
        .fallback(|| async { missing("the API has nothing at this path") })
}

/// What approvers reach as well: what is held.
pub(crate) fn requests_router() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/requests", get(requests))
        .route("/requests/{id}", get(request))
        .route("/requests/{id}/answer", post(answer))
        .route("/requests/{id}/rescind", post(rescind))
}

async fn health(State(gateway): Gate) -> Json<Status> {
    Json(gateway.status().await)
}

// ---------------------------------------------------------------------- held operations

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    #[serde(default)]
    all: bool,
    /// So many at most.
    #[serde(default)]
    most: Option<usize>,
    /// Those that came before this one.
    #[serde(default)]
    before: Option<String>,
}

async fn requests(
    State(gateway): Gate,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
) -> Answer<Vec<Request>> {
    let part = model::Part { most: which.most.unwrap_or(MOST_LISTED), before: which.before };
    Ok(Json(gateway.requests(&caller.voter(), which.all, &part).await?))
}

async fn request(
    State(gateway): Gate,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Request> {
    Ok(Json(gateway.request(&id, &caller.voter(), &caller.id().to_string()).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answering {
    approve: bool,
    #[serde(default)]
    words: Option<String>,
    /// How many rows it may change at most.
    #[serde(default)]
    most: Option<u64>,
    /// Who the caller means to be; refused where the secret is somebody else's.
    #[serde(default)]
    name: Option<String>,
}

async fn answer(
    State(gateway): Gate,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    answering: Body<Answering>,
) -> Answer<Value> {
    let Json(Answering { approve, words, most, name }) = answering?;
    check_name(&caller, name)?;
    let answered = gateway.answer_request(&id, &caller.voter(), approve, Said { words, most }, None).await?;
    Ok(Json(
        json!({ "status": answered.status, "by": caller.id().to_string(), "waits_for": answered.waits_for }),
    ))
}

/// Who somebody means to be is who their secret says they are.
fn check_name(caller: &Caller, name: Option<String>) -> Result<(), Failure> {
    let own = caller.id().name;
    match name.filter(|name| !name.eq_ignore_ascii_case(&own)) {
        None => Ok(()),
        Some(name) => {
            let reason = format!("this secret is {own}'s and not {name}'s");
            Err(Failure::new(StatusCode::FORBIDDEN, "forbidden", reason))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rescinding {
    /// Who the caller means to be; refused where the secret is somebody else's.
    #[serde(default)]
    name: Option<String>,
}

async fn rescind(
    State(gateway): Gate,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    rescinding: Body<Rescinding>,
) -> Answer<Value> {
    check_name(&caller, rescinding?.0.name)?;
    gateway.rescind_request(&id, &caller.voter()).await?;
    Ok(Json(json!({ "rescinded": id, "by": caller.id().to_string() })))
}

// ---------------------------------------------------------------------- who answers them

async fn approvers(State(gateway): Gate) -> Answer<Vec<Approver>> {
    Ok(Json(gateway.approvers().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewApprover {
    name: String,
    groups: Vec<String>,
    /// What they are called at issuers.
    #[serde(default)]
    names: Vec<String>,
}

async fn add_approver(State(gateway): Gate, wanted: Body<NewApprover>) -> Answer<Value> {
    let Json(NewApprover { name, groups, names }) = wanted?;
    let secret = gateway.add_approver(&name, &groups, &names, &by()).await?;
    Ok(Json(json!({ "name": name, "groups": groups, "secret": secret.as_str() })))
}

async fn remove_approver(State(gateway): Gate, Path(name): Path<String>) -> Answer<Value> {
    gateway.remove_approver(&name, &by()).await?;
    Ok(Json(json!({ "removed": name })))
}

async fn people(State(gateway): Gate) -> Answer<Vec<Member>> {
    Ok(Json(gateway.members().await?))
}

async fn invite(State(gateway): Gate, wanted: Body<NewMember>) -> Answer<Value> {
    let Json(wanted) = wanted?;
    let invitation = gateway.invite(&wanted, &by()).await?;
    let link = gateway.link_of(&invitation.secret);
    Ok(Json(json!({ "name": wanted.name, "link": link, "expires": invitation.expires })))
}

async fn remove_person(State(gateway): Gate, Path(name): Path<String>) -> Answer<Value> {
    gateway.remove_member(&name, &by()).await?;
    Ok(Json(json!({ "removed": name })))
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
        let Live {
            id,
            principal,
            token,
            lineage: _,
            target,
            address,
            application,
            encrypted: _,
            since,
            until,
            oldest,
        } = live;
        let (principal, target, until) = (principal.id.to_string(), target.0, until.min(oldest));
        let (address, application) = (address.to_string(), application.to_string());
        Self { id, principal, token, target, address, application, since, until }
    }
}

async fn sessions(State(gateway): Gate) -> Json<Vec<Session>> {
    Json(gateway.sessions().list().into_iter().map(Session::from).collect())
}

async fn kill(State(gateway): Gate, wanted: Body<NewEnd>) -> Answer<Value> {
    let ended = gateway.end_sessions(&wanted?.0, &by()).await?;
    Ok(Json(json!({ "sessions": ended })))
}

/// Which part of a recording, and how long to wait for it where it is still to come.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Part {
    from: u64,
    limit: Option<usize>,
    rows: usize,
    only: Option<String>,
    find: Option<String>,
    wire: bool,
    /// In seconds.
    wait: u64,
}

/// Somebody who waits is told that there is nothing after so many seconds, and asks again.
const LONGEST_WAIT: u64 = 30;

async fn recording(State(gateway): Gate, Path(id): Path<String>, Query(part): Query<Part>) -> Answer<Page> {
    let Part { from, limit, rows, only, find, wire, wait } = part;
    let wanted = Wanted { from, limit, rows, only, find, wire };
    let patience = Duration::from_secs(wait.min(LONGEST_WAIT));
    Ok(Json(gateway.recording(&id, wanted, patience, &by()).await?))
}

async fn search(State(gateway): Gate, Query(wanted): Query<Search>) -> Answer<Found> {
    Ok(Json(gateway.search(wanted, &by()).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// So many at most.
    #[serde(default)]
    most: Option<usize>,
    /// Those that came before this one.
    #[serde(default)]
    before: Option<String>,
}

async fn tokens(State(gateway): Gate, Query(listing): Query<Listing>) -> Answer<Vec<TokenInfo>> {
    let part = model::Part { most: listing.most.unwrap_or(MOST_LISTED), before: listing.before };
    Ok(Json(gateway.tokens(&part).await?))
}

async fn issue(State(gateway): Gate, wanted: Body<NewToken>) -> Answer<Value> {
    let issued = gateway.issue_token(&wanted?.0, &by()).await?;
    Ok(Json(json!({ "id": issued.id, "token": issued.token.as_str(), "expires": issued.expires })))
}

async fn revoke(State(gateway): Gate, Path(id): Path<String>) -> Answer<Value> {
    let ended = gateway.revoke_token(&id, &by()).await?;
    Ok(Json(json!({ "revoked": id, "sessions": ended })))
}

async fn revocations(State(gateway): Gate) -> Answer<Vec<DenialInfo>> {
    Ok(Json(gateway.list_denials().await?))
}

async fn deny(State(gateway): Gate, wanted: Body<NewDenial>) -> Answer<Value> {
    let (denial, ended) = gateway.deny(&wanted?.0, &by()).await?;
    Ok(Json(json!({ "revocation": denial, "sessions": ended })))
}

async fn freezes(State(gateway): Gate) -> Json<Vec<DenialInfo>> {
    Json(gateway.freezes())
}

async fn freeze(State(gateway): Gate, wanted: Body<NewFreeze>) -> Answer<Value> {
    let (freeze, ended) = gateway.freeze(&wanted?.0, &by()).await?;
    Ok(Json(json!({ "freeze": freeze, "sessions": ended })))
}

async fn thaw(State(gateway): Gate, Path(id): Path<String>) -> Answer<Value> {
    gateway.thaw(&id, &by()).await?;
    Ok(Json(json!({ "thawed": id })))
}

async fn lift(State(gateway): Gate, Path(id): Path<String>) -> Answer<Value> {
    gateway.lift_denial(&id, &by()).await?;
    Ok(Json(json!({ "lifted": id })))
}

async fn codes(State(gateway): Gate) -> Answer<Vec<CodeInfo>> {
    Ok(Json(gateway.codes().await?))
}

async fn make_codes(State(gateway): Gate, wanted: Body<NewCodes>) -> Answer<Value> {
    let made = gateway.make_codes(&wanted?.0, &by()).await?;
    let one =
        |Made { id, code, expires }: &Made| json!({ "id": id, "code": code.as_str(), "expires": expires });
    Ok(Json(made.iter().map(one).collect()))
}

async fn revoke_code(State(gateway): Gate, Path(id): Path<String>) -> Answer<Value> {
    let ended = gateway.revoke_code(&id, &by()).await?;
    Ok(Json(json!({ "revoked": id, "sessions": ended })))
}

// ---------------------------------------------------------------------- configuration

async fn configuration(State(gateway): Gate) -> Answer<Configuration> {
    Ok(Json(gateway.export().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct How {
    /// Whether what is not named goes.
    #[serde(default)]
    prune: bool,
}

impl How {
    fn rest(&self) -> Rest {
        if self.prune { Rest::Prune } else { Rest::Keep }
    }
}

async fn apply(State(gateway): Gate, Query(how): Query<How>, wanted: Body<Configuration>) -> Answer<Applied> {
    Ok(Json(gateway.change(wanted?.0, how.rest(), &by()).await?))
}

async fn check(State(gateway): Gate, Query(how): Query<How>, wanted: Body<Configuration>) -> Answer<Applied> {
    Ok(Json(gateway.check(wanted?.0, how.rest()).await?))
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

async fn doctor_of_policies(State(gateway): Gate) -> Json<Vec<Check>> {
    Json(gateway.doctor_of_policies().await)
}
