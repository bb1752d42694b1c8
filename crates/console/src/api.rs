//! `/api/v1`: what an administrator does, and what approvers answer. Every call here has passed the door.

mod answers;
mod grants;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing;
use axum::{Extension, Json, Router};
use gateway::approvers::{Caller, Said};
use gateway::break_glass::{CodeInfo, Made, NewCodes};
use gateway::configure::{Applied, Configuration, Rest};
use gateway::denials::{DenialInfo, NewDenial};
use gateway::doctor::Check;
use gateway::explain::{Asked, Explained};
use gateway::freezes::{NewEnd, NewFreeze};
use gateway::gateway::{Gateway, Status};
use gateway::people::{Invited, NewMember};
use gateway::recordings::{Found, Page, Search, Wanted};
use gateway::requests::{MOST_LISTED, NewToken, TokenInfo};
use gateway::sessions::Live;
use model::{Approver, Member, Request, TargetName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::{Failure, missing};
use crate::openapi::{self, Operation};

type Gate = State<Arc<Gateway>>;
type Answer<T> = Result<Json<T>, Failure>;
type Body<T> = Result<Json<T>, JsonRejection>;

/// There is one administrator's secret, so there is one administrator.
fn by() -> String {
    Caller::Administrator.id().to_string()
}

/// What the administrator's secret is for.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/health", "How the gateway is, with versions", routing::get(health))
            .gives::<Status>(),
        Operation::get("/approvers", "Approvers with a secret", routing::get(approvers))
            .gives::<Vec<answers::Approver>>(),
        Operation::post(
            "/approvers",
            "Adds an approver; their secret is seen this once",
            routing::post(add_approver),
        )
        .takes::<NewApprover>(),
        Operation::post("/approvers/{name}/remove", "Removes an approver", routing::post(remove_approver)),
        Operation::get("/people/invited", "People who are invited and have not come", routing::get(invited))
            .gives::<Vec<Invited>>(),
        Operation::get("/people", "People of the console", routing::get(people))
            .gives::<Vec<answers::Member>>(),
        Operation::post("/people", "Invites somebody; the link is seen this once", routing::post(invite))
            .takes::<NewMember>(),
        Operation::post(
            "/people/{name}/remove",
            "Removes a person of the console",
            routing::post(remove_person),
        ),
        Operation::get("/sessions", "Live sessions", routing::get(sessions)).gives::<Vec<Session>>(),
        Operation::post("/sessions/kill", "Ends sessions", routing::post(kill)).takes::<NewEnd>(),
        Operation::get("/sessions/search", "Operations of sessions, live and past", routing::get(search))
            .asks::<Search>()
            .gives::<Found>(),
        Operation::get(
            "/sessions/{id}/recording",
            "A part of a session's recording",
            routing::get(recording),
        )
        .asks::<Part>()
        .gives::<Page>(),
        Operation::get("/tokens", "Tokens, without their secrets", routing::get(tokens))
            .asks::<Listing>()
            .gives::<Vec<TokenInfo>>(),
        Operation::post("/tokens", "Issues a token; it is seen this once", routing::post(issue))
            .takes::<NewToken>(),
        Operation::post(
            "/tokens/{id}/revoke",
            "Revokes a token and ends its sessions",
            routing::post(revoke),
        ),
        Operation::get("/revocations", "Whose access is revoked", routing::get(revocations))
            .gives::<Vec<DenialInfo>>(),
        Operation::post("/revocations", "Revokes access and ends sessions", routing::post(deny))
            .takes::<NewDenial>(),
        Operation::post("/revocations/{id}/lift", "Lifts a revocation", routing::post(lift)),
        Operation::get("/freezes", "What is frozen", routing::get(freezes)).gives::<Vec<DenialInfo>>(),
        Operation::post("/freezes", "Freezes targets", routing::post(freeze)).takes::<NewFreeze>(),
        Operation::post("/freezes/{id}/thaw", "Ends a freeze", routing::post(thaw)),
        Operation::get("/break-glass", "Emergency codes, without their secrets", routing::get(codes))
            .gives::<Vec<CodeInfo>>(),
        Operation::post(
            "/break-glass",
            "Makes emergency codes; they are seen this once",
            routing::post(make_codes),
        )
        .takes::<NewCodes>(),
        Operation::post("/break-glass/{id}/revoke", "Revokes an emergency code", routing::post(revoke_code)),
        Operation::get(
            "/configuration",
            "What is configured, without passwords",
            routing::get(configuration),
        )
        .gives::<Configuration>(),
        Operation::put(
            "/configuration",
            "Replaces what is configured, whole or not at all",
            routing::put(apply),
        )
        .asks::<How>()
        .takes::<Configuration>()
        .gives::<Applied>(),
        Operation::post(
            "/configuration/check",
            "Checks a configuration, and changes nothing",
            routing::post(check),
        )
        .asks::<How>()
        .takes::<Configuration>()
        .gives::<Applied>(),
        Operation::post(
            "/explain",
            "What a statement would come to; nothing of it is sent",
            routing::post(explain),
        )
        .takes::<Asked>()
        .gives::<Explained>(),
        Operation::post(
            "/targets/{name}/propose",
            "Proposes tags for a target's columns",
            routing::post(propose),
        ),
        Operation::get("/targets/{name}/doctor", "Looks at a target", routing::get(doctor))
            .gives::<Vec<Check>>(),
        Operation::get("/doctor", "Looks at policies", routing::get(doctor_of_policies))
            .gives::<Vec<Check>>(),
    ]
}

/// What approvers reach as well: what is held.
pub(crate) fn of_requests() -> Vec<Operation> {
    let mut all = vec![
        Operation::get("/requests", "Held operations that one may answer", routing::get(requests))
            .asks::<Which>()
            .gives::<Vec<answers::Request>>(),
        Operation::get("/requests/{id}", "One of them, with its exact values", routing::get(request))
            .gives::<answers::Request>(),
        Operation::post("/requests/{id}/answer", "Approves or denies one", routing::post(answer))
            .takes::<Answering>()
            .gives::<answers::Answered>(),
        Operation::post(
            "/requests/{id}/rescind",
            "Takes back an approval that is not used",
            routing::post(rescind),
        )
        .takes::<TakingBack>(),
    ];
    all.extend(grants::operations());
    all
}

pub(crate) fn router() -> Router<Arc<Gateway>> {
    openapi::routes(operations()).fallback(|| async { missing("the API has nothing at this path") })
}

pub(crate) fn requests_router() -> Router<Arc<Gateway>> {
    openapi::routes(of_requests())
}

async fn health(State(gateway): Gate) -> Json<Status> {
    Json(gateway.status().await)
}

// ---------------------------------------------------------------------- held operations

#[derive(Deserialize, JsonSchema)]
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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Answering {
    approve: bool,
    #[serde(default)]
    words: Option<String>,
    /// How many rows it may change at most.
    #[serde(default)]
    most: Option<u64>,
    /// What is given of the access that is asked for, where it is less.
    #[serde(default)]
    access: Option<Narrower>,
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
    let Json(Answering { approve, words, most, access, name }) = answering?;
    check_name(&caller, name)?;
    let voter = caller.voter();
    let access = match access {
        Some(Narrower { only, seconds }) => Some(gateway.narrower(&id, &voter, &only, seconds).await?),
        None => None,
    };
    let answered = gateway.answer_request(&id, &voter, approve, Said { words, most, access }, None).await?;
    let mut told =
        json!({ "status": answered.status, "by": caller.id().to_string(), "waits_for": answered.waits_for });
    if let (Some(fields), Some(grant)) = (told.as_object_mut(), answered.grant) {
        fields.insert("grant".to_owned(), grant.into());
    }
    Ok(Json(told))
}

/// Less than the access that is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Narrower {
    /// These of the actions on tables alone, each as it is written (`update public.orders`); all where none is named.
    #[serde(default)]
    only: Vec<String>,
    /// For how long, in seconds.
    #[serde(default)]
    seconds: Option<u64>,
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

/// What takes back something that its path names.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TakingBack {
    /// Who the caller means to be; refused where the secret is somebody else's.
    #[serde(default)]
    name: Option<String>,
}

async fn rescind(
    State(gateway): Gate,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    rescinding: Body<TakingBack>,
) -> Answer<Value> {
    check_name(&caller, rescinding?.0.name)?;
    gateway.rescind_request(&id, &caller.voter()).await?;
    Ok(Json(json!({ "rescinded": id, "by": caller.id().to_string() })))
}

// ---------------------------------------------------------------------- who answers them

async fn approvers(State(gateway): Gate) -> Answer<Vec<Approver>> {
    Ok(Json(gateway.approvers().await?))
}

#[derive(Deserialize, JsonSchema)]
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

async fn invited(State(gateway): Gate) -> Answer<Vec<Invited>> {
    Ok(Json(gateway.invited().await?))
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

#[derive(Serialize, JsonSchema)]
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
#[derive(Deserialize, JsonSchema)]
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

#[derive(Deserialize, JsonSchema)]
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

#[derive(Deserialize, JsonSchema)]
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
