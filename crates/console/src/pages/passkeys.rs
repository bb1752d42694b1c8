//! Who one is here, and one's passkeys.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gateway::presence::{Brought, Whose, fingerprint};
use gateway::requests::AdminError;
use maud::{Markup, html};
use model::Passkey;
use policy::rights::Right;
use serde::Deserialize;

use super::asked::Query;
use super::frame::{self, Page};
use super::presence::{Back, Presence, fields, of_form, passkey_hint, question};
use super::problem::Problem;
use super::visitor::{Cookie, Submitted, Visitor};
use super::{Pages, Routes, slack, words};

type Here = State<Arc<Pages>>;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .page("/me", Right::OwnPasskeys, get(page))
        .page("/me/question", Right::OwnPasskeys, post(ask_to_sign))
        .page("/me/passkeys/question", Right::OwnPasskeys, post(ask_to_make))
        .page("/me/passkeys/made", Right::OwnPasskeys, post(made))
        .page("/me/passkeys/new", Right::OwnPasskeys, get(adding))
        .page("/me/passkeys", Right::OwnPasskeys, post(add))
        .page("/me/passkeys/remove", Right::OwnPasskeys, post(remove))
}

/// Which key is to be added, and whether somebody comes back from their issuer.
#[derive(Deserialize)]
struct Adding {
    #[serde(default)]
    key: String,
    #[serde(default)]
    confirm: Option<String>,
}

async fn page(State(pages): Here, visitor: Visitor) -> Result<Html<String>, Problem> {
    let guest = visitor.guest();
    let keys = pages.gateway.passkeys(guest).await?;
    let roles: Vec<_> = guest.roles().map(|role| role.as_str().replace('_', " ")).collect();
    let slack = slack::part(&pages, &visitor).await?;
    let body = html! {
        main #main {
            div.head { h1 { (words::visible(&guest.id().name)) } }
            dl.facts {
                div { dt { "Here you are" } dd { @if roles.is_empty() { "somebody who is asked" } @else { (roles.join(", ")) } } }
                @if !guest.groups().is_empty() {
                    div { dt { "You answer for" } dd { (words::visible(&guest.groups().join(", "))) } }
                }
                div {
                    dt { "You came by" }
                    dd { @match guest.word() { Some(word) => { (words::visible(&word.issuer)) } None => { "a passkey" } } }
                }
            }
            section.panel aria-labelledby="keys" {
                h2 #keys { "Passkeys" }
                @if keys.is_empty() {
                    p { "You have none: to approve, you sign in again each time. With a passkey a touch is enough." }
                }
                ul.rows { @for key in &keys { (row(&visitor, key, keys.len() > 1 || guest.word().is_some())) } }
                (making(&visitor))
            }
            (slack)
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: "You", at: "/me", body, live: None }))
}

fn row(visitor: &Visitor, key: &Passkey, removable: bool) -> Markup {
    html! {
        li.split {
            div {
                strong { (words::visible(&key.label)) }
                p.foot {
                    span { "fingerprint " code { (fingerprint(&key.key)) } }
                    span { "added " (words::moment(key.added)) }
                    @if let Some(used) = key.used { span { "used " (words::moment(used)) } }
                }
            }
            @if removable {
                form method="post" action="/me/passkeys/remove" {
                    input type="hidden" name="csrf" value=(visitor.csrf());
                    input type="hidden" name="id" value=(key.id);
                    button.quiet type="submit" aria-label={ "Remove " (gateway::visible::line(&key.label)) } { "Remove" }
                }
            }
        }
    }
}

fn making(visitor: &Visitor) -> Markup {
    html! {
        form.stack method="post" action="/me/passkeys/made" data-make="/me/passkeys/question" {
            input type="hidden" name="csrf" value=(visitor.csrf());
            input type="hidden" name="made" value="";
            label for="label" { "Another device" }
            input #label name="label" type="text" maxlength="60" autocomplete="off" value="My passkey" required;
            button type="submit" data-presence { "Make a passkey" }
            p.problem role="alert" hidden {}
        }
    }
}

/// What was made, before it is added. The passkey that somebody has says that they mean this one; whoever has none signs in again.
async fn adding(
    State(pages): Here,
    headers: HeaderMap,
    visitor: Visitor,
    Query(Adding { key, confirm }): Query<Adding>,
) -> Result<Html<String>, Problem> {
    let proposed = pages.gateway.proposed_passkey(visitor.guest(), &key).await.map_err(again)?;
    let has_keys = !pages.gateway.passkeys(visitor.guest()).await?.is_empty();
    let confirm = confirm.is_some() && Cookie::Confirm.read(&pages, &headers).is_some();
    let body = html! {
        main #main {
            p.back { a href="/me" { "← You" } }
            div.head { h1 { "Add this passkey?" } }
            section.panel {
                dl.facts {
                    div { dt { "Name" } dd { (words::visible(&proposed.label)) } }
                    div { dt { "Fingerprint" } dd { code { (proposed.fingerprint) } } }
                    div { dt { "Made" } dd { (words::moment(proposed.made)) } }
                }
                p { "Whoever has it signs in as you and approves as you. Add it only if you made it yourself, just now." }
                form.stack method="post" action="/me/passkeys" data-passkey=[has_keys.then_some("/me/question")] {
                    (fields(&visitor))
                    input type="hidden" name="key" value=(key);
                    @if confirm { input type="hidden" name="confirm" value="yes"; }
                    button.primary type="submit" data-presence {
                        @if has_keys || confirm { "Add this passkey" } @else { "Sign in again to add it" }
                    }
                    @if has_keys { (passkey_hint()) }
                    p.problem role="alert" hidden {}
                }
            }
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: "Add a passkey", at: "/me", body, live: None }))
}

fn again(error: AdminError) -> Problem {
    Problem::from(error).with_onward("Back", "/me")
}

async fn ask_to_sign(State(pages): Here, sent: Submitted) -> Response {
    let guest = sent.visitor.guest();
    let asked = match pages.gateway.proposed_passkey(guest, sent.form.text("key")).await {
        Ok(proposed) => pages.gateway.ask_to_sign(&pages.place, proposed.act, Some(guest)).await,
        Err(error) => Err(error),
    };
    question(asked)
}

async fn ask_to_make(State(pages): Here, sent: Submitted) -> Response {
    question(pages.gateway.ask_to_make(&pages.place, &Whose::Here(sent.visitor.guest())).await)
}

async fn made(State(pages): Here, Submitted { visitor, form }: Submitted) -> Result<Response, Problem> {
    let brought = Brought::read(form.text("made")).map_err(again)?;
    let label = form.text("label");
    let key = pages.gateway.propose_passkey(&pages.place, visitor.guest(), label, &brought).await;
    Ok(Redirect::to(&format!("/me/passkeys/new?key={}", key.map_err(again)?)).into_response())
}

async fn add(State(pages): Here, headers: HeaderMap, sent: Submitted) -> Result<Response, Problem> {
    let Submitted { visitor, form } = sent;
    let name = form.text("key");
    let proposed = pages.gateway.proposed_passkey(visitor.guest(), name).await.map_err(again)?;
    let back = format!("/me/passkeys/new?key={}&confirm=passkey", words::encoded(name));
    let proof = match of_form(&pages, &visitor, &headers, &form, proposed.act, &Back::to(&back)).await {
        Ok(Presence::Proved(proof)) => proof,
        Ok(Presence::Away(response)) => return Ok(response),
        Err(problem) => return Err(problem.with_onward("Back", "/me")),
    };
    pages.gateway.add_passkey(visitor.guest(), name, proof).await.map_err(again)?;
    let mut response = Redirect::to("/me").into_response();
    Cookie::Confirm.forget(&pages, &mut response);
    Ok(response)
}

async fn remove(State(pages): Here, sent: Submitted) -> Result<Response, Problem> {
    let removed = pages.gateway.remove_passkey(sent.visitor.guest(), sent.form.text("id")).await;
    removed.map_err(|error| Problem::from(error).with_onward("Back", "/me"))?;
    Ok(Redirect::to("/me").into_response())
}
