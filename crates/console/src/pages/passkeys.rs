//! Who one is here, and one's passkeys.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gateway::presence::{Act, Brought, Whose};
use maud::{Markup, html};
use model::Passkey;
use policy::rights::Right;
use serde::Deserialize;

use super::frame::{self, Page};
use super::presence::{Presence, fields, of_form, question};
use super::problem::Problem;
use super::visitor::{Cookie, Submitted, Visitor};
use super::{Pages, Routes, slack, words};

type Here = State<Arc<Pages>>;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .page("/me", Right::OwnPasskeys, get(page))
        .page("/me/question", Right::OwnPasskeys, post(ask_to_sign))
        .page("/me/passkeys/question", Right::OwnPasskeys, post(ask_to_make))
        .page("/me/passkeys", Right::OwnPasskeys, post(add))
        .page("/me/passkeys/remove", Right::OwnPasskeys, post(remove))
}

#[derive(Deserialize)]
struct Confirming {
    #[serde(default)]
    confirm: Option<String>,
}

async fn page(
    State(pages): Here,
    headers: HeaderMap,
    visitor: Visitor,
    axum::extract::Query(confirming): axum::extract::Query<Confirming>,
) -> Result<Html<String>, Problem> {
    let guest = visitor.guest();
    let keys = pages.gateway.passkeys(guest).await?;
    let roles: Vec<_> = guest.roles().map(|role| role.as_str().replace('_', " ")).collect();
    let confirm = confirming.confirm.is_some() && Cookie::Confirm.read(&pages, &headers).is_some();
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
                (adding(&visitor, !keys.is_empty(), confirm))
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
                    span { "added " (words::moment(key.added)) }
                    @if let Some(used) = key.used { span { "used " (words::moment(used)) } }
                }
            }
            @if removable {
                form method="post" action="/me/passkeys/remove" {
                    input type="hidden" name="csrf" value=(visitor.csrf());
                    input type="hidden" name="id" value=(key.id);
                    button.quiet type="submit" aria-label={ "Remove " (key.label) } { "Remove" }
                }
            }
        }
    }
}

/// The passkey that somebody has says that they mean to add another; whoever has none signs in again first.
fn adding(visitor: &Visitor, has_keys: bool, confirm: bool) -> Markup {
    let makes = has_keys || confirm;
    html! {
        form.stack method="post" action="/me/passkeys"
            data-passkey=[has_keys.then_some("/me/question")] data-make=[makes.then_some("/me/passkeys/question")] {
            (fields(visitor))
            input type="hidden" name="made" value="";
            @if confirm { input type="hidden" name="confirm" value="yes"; }
            label for="label" { "Another device" }
            input #label name="label" type="text" maxlength="60" autocomplete="off" value="My passkey" required;
            button type="submit" data-presence {
                @if makes { "Add a passkey" } @else { "Sign in again to add a passkey" }
            }
            p.problem role="alert" hidden {}
        }
    }
}

async fn ask_to_sign(State(pages): Here, sent: Submitted) -> Response {
    question(pages.gateway.ask_to_sign(&pages.place, Act::add_passkey(), Some(sent.visitor.guest())).await)
}

async fn ask_to_make(State(pages): Here, sent: Submitted) -> Response {
    question(pages.gateway.ask_to_make(&pages.place, &Whose::Here(sent.visitor.guest())).await)
}

async fn add(State(pages): Here, headers: HeaderMap, sent: Submitted) -> Result<Response, Problem> {
    let Submitted { visitor, form } = sent;
    let again = |problem: Problem| problem.with_onward("Back", "/me");
    let act = Act::add_passkey();
    let proof = match of_form(&pages, &visitor, &headers, &form, act, "/me?confirm=passkey").await {
        Ok(Presence::Proved(proof)) => proof,
        Ok(Presence::Away(response)) => return Ok(response),
        Err(problem) => return Err(again(problem)),
    };
    let brought = Brought::read(form.text("made")).map_err(|error| again(error.into()))?;
    let whose = Whose::Here(visitor.guest());
    let made = pages.gateway.made(&pages.place, &whose, Some(proof), form.text("label"), &brought).await;
    made.map_err(|error| again(error.into()))?;
    let mut response = Redirect::to("/me").into_response();
    Cookie::Confirm.forget(&pages, &mut response);
    Ok(response)
}

async fn remove(State(pages): Here, sent: Submitted) -> Result<Response, Problem> {
    let removed = pages.gateway.remove_passkey(sent.visitor.guest(), sent.form.text("id")).await;
    removed.map_err(|error| Problem::from(error).with_onward("Back", "/me"))?;
    Ok(Redirect::to("/me").into_response())
}
