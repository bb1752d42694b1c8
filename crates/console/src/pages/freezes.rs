//! What is frozen; freezing, which anybody may who may end sessions, and thawing, which takes a passkey.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gateway::denials::DenialInfo;
use gateway::freezes::NewFreeze;
use gateway::presence::Act;
use maud::{Markup, html};
use policy::rights::Right;

use super::frame::{self, Page};
use super::presence::{fields, of_passkey, question};
use super::problem::Problem;
use super::visitor::{Submitted, Visitor};
use super::{Pages, Routes, words};

type Here = State<Arc<Pages>>;

/// For how long, in minutes, and in words.
const SPANS: &[(&str, &str)] = &[
    ("60", "1 hour"),
    ("15", "15 minutes"),
    ("240", "4 hours"),
    ("1440", "1 day"),
    ("", "until somebody thaws it"),
];

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .page("/freezes", Right::SeeSessions, get(page).post(freeze))
        .page("/freezes/{id}/question", Right::EndSessions, post(ask))
        .page("/freezes/{id}/thaw", Right::EndSessions, post(thaw))
}

async fn page(State(pages): Here, visitor: Visitor) -> Html<String> {
    let frozen = pages.gateway.freezes();
    let may = pages.gateway.may(visitor.guest(), Right::EndSessions);
    let body = html! {
        main #main {
            div.head {
                h1 { "Freeze" }
                p.count { @match frozen.len() { 0 => { "nothing is frozen" } 1 => { "one freeze holds" } n => { (n) " freezes hold" } } }
            }
            @if frozen.is_empty() {
                section.panel {
                    h2 { "Nothing is frozen" }
                    p {
                        "A freeze refuses everything but reads on a target, at once and for everybody. No policy and no approval \
                         gets past it: use it while you find out what is going on."
                    }
                }
            }
            ul.cards { @for freeze in &frozen { (card(&visitor, freeze, may)) } }
            @if may { (freezing(&visitor, &pages.gateway.scopes())) }
        }
    };
    frame::page(&pages, &visitor, Page { title: "Freeze", at: "/freezes", body, live: None })
}

fn card(visitor: &Visitor, freeze: &DenialInfo, may: bool) -> Markup {
    let DenialInfo { id, kind: _, subject, reason, by, since, until } = freeze;
    html! {
        li.card {
            p { span.chip.bad { "frozen" } " " strong { (words::visible(subject)) } }
            p { "“" (words::visible(reason)) "”" }
            p.foot {
                span { "by " (words::visible(by)) }
                span { (words::moment(*since)) }
                @match until { Some(until) => { span { "ends " (words::moment(*until)) } } None => { span { "until it is thawed" } } }
            }
            @if may {
                form.inline method="post" action={ "/freezes/" (id) "/thaw" } data-passkey={ "/freezes/" (id) "/question" } {
                    (fields(visitor))
                    button type="submit" data-presence { "Thaw with your passkey" }
                    p.problem role="alert" hidden {}
                }
            }
        }
    }
}

fn freezing(visitor: &Visitor, scopes: &[String]) -> Markup {
    html! {
        section.panel aria-labelledby="new" {
            h2 #new { "Freeze something now" }
            form.stack method="post" action="/freezes" {
                input type="hidden" name="csrf" value=(visitor.csrf());
                label for="scope" { "What" }
                select #scope name="scope" {
                    @for scope in scopes {
                        option value=(scope) { @if scope == "all" { "all targets" } @else { (words::visible(&scope.replacen(':', " ", 1))) } }
                    }
                }
                label for="reason" { "Why? Those concerned are told" }
                input #reason name="reason" type="text" maxlength="400" autocomplete="off" required;
                label for="minutes" { "For how long" }
                select #minutes name="minutes" { @for (minutes, says) in SPANS { option value=(minutes) { (says) } } }
                label.check { input type="checkbox" name="reads" value="yes"; " Refuse reads as well" }
                button.danger type="submit" { "Freeze" }
                p.hint { "Sessions that have changed something and not committed it end, and lose it." }
            }
        }
    }
}

async fn freeze(State(pages): Here, Submitted { visitor, form }: Submitted) -> Result<Response, Problem> {
    let minutes = form.text("minutes");
    let seconds =
        if minutes.is_empty() { None } else { minutes.parse::<u64>().ok().map(|m| m.saturating_mul(60)) };
    let wanted = NewFreeze {
        scope: form.text("scope").to_owned(),
        reads: !form.text("reads").is_empty(),
        reason: form.text("reason").to_owned(),
        seconds,
    };
    let done = pages.gateway.freeze_for(visitor.guest(), &wanted).await;
    done.map_err(|error| Problem::from(error).with_onward("Back", "/freezes"))?;
    Ok(Redirect::to("/freezes").into_response())
}

async fn ask(State(pages): Here, Path(id): Path<String>, sent: Submitted) -> Response {
    question(pages.gateway.ask_to_sign(&pages.place, Act::thaw(&id), Some(sent.visitor.guest())).await)
}

async fn thaw(
    State(pages): Here,
    Path(id): Path<String>,
    Submitted { visitor, form }: Submitted,
) -> Result<Response, Problem> {
    let back = |problem: Problem| problem.with_onward("Back", "/freezes");
    let proof = of_passkey(&pages, &visitor, &form, Act::thaw(&id)).await?;
    pages.gateway.thaw_for(visitor.guest(), &id, Some(proof)).await.map_err(|error| back(error.into()))?;
    Ok(Redirect::to("/freezes").into_response())
}
