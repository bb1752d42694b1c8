//! Changes that wait for a second person: what each would change now, and the answer of somebody who is not its author.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gateway::configure::TargetConfig;
use gateway::drafts::{Looked, Waiting, Wanted};
use gateway::presence::Act;
use gateway::requests::AdminError;
use maud::{Markup, html};
use model::{Draft, DraftStatus};
use policy::rights::Right;

use super::frame::{self, Page};
use super::presence::{fields, of_passkey, passkey_hint, question};
use super::problem::Problem;
use super::visitor::{Submitted, Visitor};
use super::{Pages, Routes, diff, doubts, outcomes, policies, words};
use crate::form::Form;

type Here = State<Arc<Pages>>;

/// Where they are.
pub(super) const AT: &str = "/policies/changes";

pub(super) fn routes(routes: Routes) -> Routes {
    // Whether somebody may answer one, its own right says.
    routes
        .page(AT, Right::SeePolicies, get(page))
        .page("/policies/changes/{id}", Right::SeePolicies, get(one))
        .page("/policies/changes/{id}/question", Right::SeePolicies, post(ask))
        .page("/policies/changes/{id}/confirm", Right::SeePolicies, post(confirm))
        .page("/policies/changes/{id}/drop", Right::SeePolicies, post(drop_it))
}

/// Where one is.
pub(super) fn path(id: &str) -> String {
    format!("{AT}/{}", words::encoded(id))
}

/// That changes wait, for pages of other things.
pub(super) async fn notice(pages: &Pages, visitor: &Visitor) -> Markup {
    let waiting = pages.gateway.waiting_for(visitor.guest()).await.unwrap_or_default();
    html! {
        div #changes data-live-part=(waiting) {
            @if waiting > 0 {
                p.notice {
                    a href=(AT) {
                        @if waiting == 1 { "One change of what is configured waits" } @else { (waiting) " changes of what is configured wait" }
                        " for a second person"
                    }
                }
            }
        }
    }
}

/// What a button that files a change says beside.
pub(super) fn hint(pages: &Pages, visitor: &Visitor, right: Right) -> Markup {
    html! {
        @if pages.gateway.takes_two(visitor.guest(), right) {
            p.hint { "It takes two: what you save waits until somebody else has looked at it and confirmed it." }
        }
    }
}

async fn page(State(pages): Here, visitor: Visitor) -> Result<Html<String>, Problem> {
    let all = pages.gateway.drafts_for(visitor.guest()).await?;
    let (open, over): (Vec<_>, Vec<_>) =
        all.iter().partition(|waiting| waiting.draft.status == DraftStatus::Open);
    let body = html! {
        main #main {
            div.head { h1 { "Changes" } p.count { "what waits for a second person" } }
            (policies::places(AT))
            @if open.is_empty() {
                section.empty {
                    h2 { "No change waits" }
                    p {
                        "Where " code { "second_person = [\"policies\", \"targets\"]" } " stands in " code { "[console]" } " of the gateway's \
                         configuration, what somebody saves here waits until another person has seen exactly what it changes and confirmed it."
                    }
                }
            }
            ul.cards { @for waiting in &open { (card(waiting)) } }
            @if !over.is_empty() {
                h2.part { "Before" }
                ul.cards { @for waiting in &over { (card(waiting)) } }
            }
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: "Changes", at: "/policies", body, live: None }))
}

fn card(waiting: &Waiting) -> Markup {
    let Waiting { draft, wanted } = waiting;
    html! {
        li.card {
            a.cover href=(path(&draft.id)) { strong { (words::visible(&wanted.title())) } }
            p.foot { (chip(draft.status)) span { "by " (words::visible(&draft.author)) } (when(draft)) }
        }
    }
}

fn when(draft: &Draft) -> Markup {
    html! {
        @if draft.status == DraftStatus::Open { span { "ends " (words::moment(draft.expires)) } }
        @else { span { (words::moment(draft.filed)) } }
    }
}

fn chip(status: DraftStatus) -> Markup {
    let (class, word) = match status {
        DraftStatus::Open => ("chip wait", "waits"),
        DraftStatus::Confirmed => ("chip good", "confirmed"),
        DraftStatus::Refused => ("chip bad", "turned down"),
        DraftStatus::Withdrawn => ("chip", "taken back"),
        DraftStatus::Expired => ("chip", "expired"),
    };
    html! { span class=(class) { (word) } }
}

// ---------------------------------------------------------------------- one of them

async fn one(State(pages): Here, visitor: Visitor, Path(id): Path<String>) -> Result<Html<String>, Problem> {
    let looked = pages.gateway.draft_for(visitor.guest(), &id).await.map_err(back)?;
    Ok(shown(&pages, &visitor, &looked, &html! {}))
}

fn shown(pages: &Pages, visitor: &Visitor, looked: &Looked, says: &Markup) -> Html<String> {
    let Looked { waiting: Waiting { draft, wanted }, seen, would, tests, not_yours } = looked;
    let title = wanted.title();
    let body = html! {
        main #main {
            p.back { a href=(AT) { "← Changes" } }
            div.head { h1 { (words::visible(&title)) } p.count { (chip(draft.status)) } }
            div #result { (says) }
            dl.facts {
                div { dt { "Wanted by" } dd { (words::visible(&draft.author)) } }
                div { dt { "Since" } dd { (words::moment(draft.filed)) } }
                @if draft.status == DraftStatus::Open { div { dt { "Ends" } dd { (words::moment(draft.expires)) } } }
                @if let Some(by) = &draft.decided_by { div { dt { "Ended by" } dd { (words::visible(by)) } } }
                div { dt { "Digest" } dd { code { (draft.digest.get(..16).unwrap_or_default()) } } }
            }
            section.panel aria-labelledby="what" {
                h2 #what { "What it changes" }
                (change(wanted))
                @if draft.status == DraftStatus::Open {
                    @match would {
                        Ok(applied) if applied.changes.is_empty() => p { "As things are now it changes nothing." },
                        Ok(applied) => ul { @for line in &applied.changes { li { (words::visible(line)) } } },
                        Err(why) => div.problem { strong { "As things are now it cannot be:" } ul { @for line in why.lines() { li { (words::visible(line)) } } } },
                    }
                    @if !tests.is_empty() { (outcomes::of(tests)) }
                }
            }
            @if draft.status == DraftStatus::Open { (answering(visitor, draft, *seen, would.is_ok(), not_yours.as_deref())) }
        }
    };
    frame::page(pages, visitor, Page { title: &title, at: "/policies", body, live: None })
}

fn change(wanted: &Wanted) -> Markup {
    match wanted {
        Wanted::Policy { name: _, text, before, tests, tests_before } => {
            let lines = |before: &Option<String>, after: &Option<String>| {
                let (before, after) =
                    (before.as_deref().unwrap_or_default(), after.as_deref().unwrap_or_default());
                html! {
                    (doubts::of_text(&diff::added(before, after).replace('\t', " ")))
                    (diff::whole(before, after))
                }
            };
            html! {
                (lines(before, text))
                @if tests.is_some() { (lines(tests_before, tests)) }
            }
        }
        Wanted::Target(target) => {
            let TargetConfig { name, host, port, user, database, sslmode, tags, columns, functions, .. } =
                &**target;
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            let written = [name, host, user, database].map(String::as_str);
            html! {
                (doubts::of_text(&[&written[..], &tags[..]].concat().join("\n")))
                dl.facts {
                    div { dt { "At" } dd { (words::visible(host)) ":" (port) } }
                    div { dt { "Database" } dd { (words::visible(database)) } }
                    div { dt { "Logs in as" } dd { (words::visible(user)) ", with the password that its author gave" } }
                    div { dt { "TLS" } dd { (words::visible(sslmode)) } }
                    div { dt { "Tags" } dd { @if tags.is_empty() { "none" } (words::visible(&tags.join(", "))) } }
                    div { dt { "Masked columns" } dd { (columns.len()) } }
                    @if !functions.is_empty() {
                        @let names: Vec<&str> = functions.keys().map(String::as_str).collect();
                        div { dt { "Cleared functions" } dd { (words::visible(&names.join("; "))) } }
                    }
                }
            }
        }
    }
}

fn answering(visitor: &Visitor, draft: &Draft, seen: i64, can_be: bool, not_yours: Option<&str>) -> Markup {
    let here = path(&draft.id);
    let is_mine = draft.author.eq_ignore_ascii_case(&visitor.guest().id().to_string());
    html! {
        @if let Some(why) = not_yours { section.panel { p { (frame::sentence(why)) } } }
        @if not_yours.is_none() && can_be {
            form.answer method="post" action={ (here) "/confirm" } data-passkey={ (here) "/question" } {
                (fields(visitor))
                input type="hidden" name="digest" value=(draft.digest);
                input type="hidden" name="seen" value=(seen);
                p.problem role="alert" hidden {}
                div.buttons { button.primary type="submit" data-presence { "Confirm it" span.by { " with your passkey" } } }
                (passkey_hint())
            }
        }
        @if is_mine || not_yours.is_none() {
            form method="post" action={ (here) "/drop" } {
                input type="hidden" name="csrf" value=(visitor.csrf());
                button type="submit" { @if is_mine { "Take it back" } @else { "Turn it down" } }
            }
        }
    }
}

fn back(error: AdminError) -> Problem {
    Problem::from(error).with_onward("Changes", AT)
}

/// Exactly what the page showed.
fn act(id: &str, form: &Form) -> (Act, i64) {
    let seen = form.text("seen").parse().unwrap_or(-1);
    (Act::confirm(id, form.text("digest"), seen), seen)
}

async fn ask(State(pages): Here, Path(id): Path<String>, sent: Submitted) -> Response {
    let (act, _) = act(&id, &sent.form);
    question(pages.gateway.ask_to_sign(&pages.place, act, Some(sent.visitor.guest())).await)
}

async fn confirm(
    State(pages): Here,
    Path(id): Path<String>,
    Submitted { visitor, form }: Submitted,
) -> Result<Response, Problem> {
    let (act, seen) = act(&id, &form);
    let again = |problem: Problem| problem.with_onward("Look at it again", path(&id));
    let proof = of_passkey(&pages, &visitor, &form, act).await.map_err(again)?;
    let tried = pages.gateway.confirm_draft_for(visitor.guest(), &id, seen, Some(proof)).await;
    let tried = tried.map_err(|error| again(error.into()))?;
    if !tried.checks.is_empty() && !tried.is_usable() {
        let looked = pages.gateway.draft_for(visitor.guest(), &id).await?;
        let says = super::targets::tried(&tried);
        let page = shown(&pages, &visitor, &looked, &says);
        return Ok((axum::http::StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    Ok(Redirect::to(&path(&id)).into_response())
}

async fn drop_it(
    State(pages): Here,
    Path(id): Path<String>,
    Submitted { visitor, .. }: Submitted,
) -> Result<Response, Problem> {
    pages.gateway.drop_draft_for(visitor.guest(), &id).await.map_err(back)?;
    Ok(Redirect::to(&path(&id)).into_response())
}
