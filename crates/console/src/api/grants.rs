//! What approvers do about requests that are alike: answer them together, and give standing grants.

use axum::extract::{Path, State};
use axum::{Extension, Json, routing};
use gateway::alike::{One, Seen};
use gateway::approvers::{Caller, Said};
use gateway::standing::NewGrant;
use model::{Request, StandingGrant};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Body, Gate, TakingBack, check_name};
use crate::openapi::Operation;

/// Approvers reach them, as they do requests.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get(
            "/requests/{id}/alike",
            "What waits and is alike to one, with its exact values",
            routing::get(alike),
        )
        .gives::<Vec<super::answers::Request>>(),
        Operation::post(
            "/requests/{id}/alike/answer",
            "Approves or denies several that were seen, each by itself",
            routing::post(answer_alike),
        )
        .takes::<AnsweringAll>(),
        Operation::post("/requests/{id}/grant", "Gives a standing grant from one", routing::post(give))
            .takes::<Giving>(),
        Operation::get("/grants", "Standing grants that one may answer for", routing::get(grants)),
        Operation::get("/grants/{id}", "One of them, with what it was used for", routing::get(grant)),
        Operation::post("/grants/{id}/revoke", "Revokes a standing grant", routing::post(revoke_grant))
            .takes::<TakingBack>(),
    ]
}

async fn alike(
    State(gateway): Gate,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Vec<Request>> {
    Ok(Json(gateway.alike(&id, &caller.voter()).await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AnsweringAll {
    /// Those that are answered: what was seen of each.
    requests: Vec<Seen>,
    approve: bool,
    #[serde(default)]
    words: Option<String>,
    /// How many rows each may change at most.
    #[serde(default)]
    most: Option<u64>,
    /// Who the caller means to be; refused where the secret is somebody else's.
    #[serde(default)]
    name: Option<String>,
}

async fn answer_alike(
    State(gateway): Gate,
    Extension(caller): Extension<Caller>,
    Path(_id): Path<String>,
    answering: Body<AnsweringAll>,
) -> Answer<Value> {
    let Json(AnsweringAll { requests, approve, words, most, name }) = answering?;
    check_name(&caller, name)?;
    let said = Said { words, most, access: None };
    let answered = gateway.answer_all(&requests, &caller.voter(), approve, &said, None).await?;
    let one = |One { id, answered }: &One| match answered {
        Ok(answered) => json!({ "id": id, "status": answered.status, "waits_for": answered.waits_for }),
        Err(why) => json!({ "id": id, "refused": why.to_string() }),
    };
    Ok(Json(answered.iter().map(one).collect()))
}

// ---------------------------------------------------------------------- standing grants

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Giving {
    /// What is given.
    grant: NewGrant,
    /// Who the caller means to be; refused where the secret is somebody else's.
    #[serde(default)]
    name: Option<String>,
}

async fn give(
    State(gateway): Gate,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    giving: Body<Giving>,
) -> Answer<Value> {
    let Json(Giving { grant, name }) = giving?;
    check_name(&caller, name)?;
    let given = gateway.give(&id, &caller.voter(), &grant, None).await?;
    Ok(Json(shown(&given)))
}

/// A standing grant as programs see it.
fn shown(grant: &StandingGrant) -> Value {
    let mut value = json!(grant);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("state".to_owned(), json!(gateway::standing::stands(grant).as_str()));
    }
    value
}

async fn grants(State(gateway): Gate, Extension(caller): Extension<Caller>) -> Answer<Value> {
    Ok(Json(gateway.grants(&caller.voter()).await?.iter().map(shown).collect()))
}

async fn grant(
    State(gateway): Gate,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Value> {
    let (grant, uses) = gateway.grant(&id, &caller.voter()).await?;
    Ok(Json(json!({ "grant": shown(&grant), "uses": uses })))
}

async fn revoke_grant(
    State(gateway): Gate,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    revoking: Body<TakingBack>,
) -> Answer<Value> {
    check_name(&caller, revoking?.0.name)?;
    gateway.revoke_grant(&id, &caller.voter()).await?;
    Ok(Json(json!({ "revoked": id, "by": caller.id().to_string() })))
}
