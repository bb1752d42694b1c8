//! Who one is in Slack: said here, with a passkey or a fresh sign-in, by a link that whoever clicked there got.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gateway::presence::Act;
use gateway::visible::line;
use maud::{Markup, html};
use model::{SlackLink, SlackUser};
use policy::rights::Right;
use serde::Deserialize;

use super::asked::Query;
use super::frame::{self, Page};
use super::presence::{Back, Presence, fields, of_form, question};
use super::problem::Problem;
use super::visitor::{Cookie, Submitted, Visitor};
use super::{Pages, Routes, doubts, words};

type Here = State<Arc<Pages>>;

const AT: &str = "/me/slack";

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .page(AT, Right::OwnPasskeys, get(page).post(link))
        .page("/me/slack/question", Right::OwnPasskeys, post(ask))
        .page("/me/slack/unlink", Right::OwnPasskeys, post(unlink))
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    link: String,
    #[serde(default)]
    confirm: Option<String>,
}

/// Who somebody is in Slack, on the page about them; nothing where nobody answers there.
pub(super) async fn part(pages: &Pages, visitor: &Visitor) -> Result<Markup, Problem> {
    if !pages.gateway.is_answered_in_slack() {
        return Ok(html! {});
    }
    let links = pages.gateway.slack_links_of(visitor.guest()).await?;
    Ok(html! {
        section.panel aria-labelledby="slack" {
            h2 #slack { "Slack" }
            @if links.is_empty() {
                p { "Nobody in Slack is you. Click a button of a request there: you get a link by which you say who you are." }
            }
            ul.rows {
                @for SlackLink { user, added, .. } in &links {
                    li.split {
                        div { strong { (name(user)) } p.foot { span { "since " (words::moment(*added)) } } }
                        form method="post" action="/me/slack/unlink" {
                            input type="hidden" name="csrf" value=(visitor.csrf());
                            input type="hidden" name="team" value=(user.team);
                            input type="hidden" name="id" value=(user.id);
                            button.quiet type="submit" aria-label={ "Unlink " (line(&user.name)) } { "Unlink" }
                        }
                    }
                }
            }
        }
    })
}

fn name(user: &SlackUser) -> Markup {
    html! { (words::visible(&user.name)) " (" code { (words::visible(&user.id)) } " in " code { (words::visible(&user.team)) } ")" }
}

async fn page(
    State(pages): Here,
    headers: HeaderMap,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Html<String>, Problem> {
    let user = pages.gateway.slack_user_of(&wanted.link).await.map_err(back)?;
    let guest = visitor.guest();
    let has_keys = !pages.gateway.passkeys(guest).await?.is_empty();
    let confirm = wanted.confirm.is_some() && Cookie::Confirm.read(&pages, &headers).is_some();
    let body = html! {
        main.narrow #main {
            h1 { "Are you this user of Slack’s?" }
            (doubts::of_text(&user.name))
            dl.facts {
                div { dt { "In Slack" } dd { (name(&user)) } }
                div { dt { "Here" } dd { (words::visible(&guest.id().to_string())) } }
            }
            p {
                "From now on what " strong { (words::visible(&user.name)) } " clicks there counts as your answer. Go on only if you clicked in \
                 Slack yourself a moment ago, and this is your name there: somebody who sent you this link would answer in your name."
            }
            form.stack method="post" action=(AT) data-passkey=[has_keys.then_some("/me/slack/question")] {
                (fields(&visitor))
                input type="hidden" name="link" value=(wanted.link);
                @if confirm { input type="hidden" name="confirm" value="yes"; }
                button.primary type="submit" data-presence {
                    @if has_keys { "This is me" span.by { " with your passkey" } } @else if confirm { "This is me" } @else { "Sign in again to say so" }
                }
                p.problem role="alert" hidden {}
            }
            p { a href="/me" { "No, leave it" } }
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: "Slack", at: "/me", body, live: None }))
}

fn back(error: gateway::requests::AdminError) -> Problem {
    Problem::from(error).with_onward("You", "/me")
}

async fn ask(State(pages): Here, sent: Submitted) -> Response {
    let user = match pages.gateway.slack_user_of(sent.form.text("link")).await {
        Ok(user) => user,
        Err(error) => return question(Err(error)),
    };
    question(
        pages.gateway.ask_to_sign(&pages.place, Act::link_slack(&user), Some(sent.visitor.guest())).await,
    )
}

async fn link(State(pages): Here, headers: HeaderMap, sent: Submitted) -> Result<Response, Problem> {
    let Submitted { visitor, form } = sent;
    let secret = form.text("link");
    let user = pages.gateway.slack_user_of(secret).await.map_err(back)?;
    let to = format!("{AT}?link={}&confirm=yes", words::encoded(secret));
    let proof =
        match of_form(&pages, &visitor, &headers, &form, Act::link_slack(&user), &Back::to(&to)).await? {
            Presence::Proved(proof) => proof,
            Presence::Away(response) => return Ok(response),
        };
    pages.gateway.link_slack_for(visitor.guest(), secret, Some(proof)).await.map_err(back)?;
    let mut response = Redirect::to("/me").into_response();
    Cookie::Confirm.forget(&pages, &mut response);
    Ok(response)
}

async fn unlink(State(pages): Here, Submitted { visitor, form }: Submitted) -> Result<Response, Problem> {
    let (team, id) = (form.text("team"), form.text("id"));
    pages.gateway.unlink_slack_for(visitor.guest(), team, id).await.map_err(back)?;
    Ok(Redirect::to("/me").into_response())
}
