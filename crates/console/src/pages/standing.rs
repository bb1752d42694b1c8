//! Standing grants: giving one from a request, as a part of its page; the list of those that there are; one of them, what it covers
//! and what it was used for. Revoking takes no proof: it lets less happen than before.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gateway::presence::Act;
use gateway::standing::{NewGrant, Offer, USUAL_LIFE, stands};
use maud::{Markup, html};
use model::{GrantState, Request, StandingGrant};
use policy::rights::Right;

use super::frame::{self, Page};
use super::inbox::chip;
use super::presence::{Back, Presence, fields, of_form, question};
use super::problem::Problem;
use super::visitor::{Cookie, Submitted, Visitor};
use super::{Pages, Routes, access, words};
use crate::form::Form;

type Here = State<Arc<Pages>>;

/// How long a grant may last, in seconds and in words.
pub(super) const LIVES: [(u64, &str); 7] = [
    (900, "15 minutes"),
    (1800, "30 minutes"),
    (3600, "1 hour"),
    (7200, "2 hours"),
    (14_400, "4 hours"),
    (28_800, "8 hours"),
    (86_400, "24 hours"),
];

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .page("/requests/{id}/grant", Right::Inbox, post(give))
        .page("/requests/{id}/grant/question", Right::Inbox, post(ask))
        .page("/grants", Right::Inbox, get(list))
        .page("/grants/{id}", Right::Inbox, get(page))
        .page("/grants/{id}/revoke", Right::Inbox, post(revoke))
}

// ---------------------------------------------------------------------- giving one

/// How somebody can show that they are there, and what they said, where they have signed in anew to confirm it.
pub(super) struct Before<'a> {
    pub has_keys: bool,
    pub said: Option<&'a Form>,
}

/// Where they come back to.
pub(super) fn confirming(id: &str) -> String {
    format!("/requests/{}?confirm=grant", words::encoded(id))
}

/// The part of a request's page from which a standing grant is given, in words first.
pub(super) fn offer(visitor: &Visitor, request: &Request, offer: &Offer, before: &Before<'_>) -> Markup {
    let Offer { longest, most, open } = offer;
    let by = if before.has_keys { "with your passkey" } else { "by signing in again" };
    let number = |name: &str| before.said.and_then(|said| said.text(name).parse::<u64>().ok());
    let chosen = number("seconds").unwrap_or_else(|| USUAL_LIFE.min(*longest));
    let is_kept = |n: u32| before.said.is_some_and(|said| said.all("keep").any(|kept| kept == n.to_string()));
    html! {
        details.panel #grant open[before.said.is_some()] {
            summary { h2 { "Ask less: let alike statements through for a while" } }
            p {
                "A standing grant lets " strong { (words::visible(&request.principal)) }
                @for person in &request.on_behalf_of { " for " strong { (words::visible(person)) } }
                " run this statement on " strong { (words::visible(request.target.as_str())) }
                " again without asking, with other values where you let them differ:"
            }
            pre.sql tabindex="0" aria-label="The statement with its placeholders" { code { (words::statement(&request.text)) } }
            form.giving method="post" action={ "/requests/" (request.id) "/grant" }
                data-passkey=[before.has_keys.then(|| format!("/requests/{}/grant/question", request.id))] {
                (fields(visitor))
                input type="hidden" name="digest" value=(request.digest);
                @if before.said.is_some() {
                    input type="hidden" name="confirm" value="yes";
                    p.hint role="status" { "You have signed in again. Give the grant to confirm that you mean exactly this one." }
                }
                fieldset {
                    legend { "Its values" }
                    @if !open.is_empty() { p.hint { "Each may be any value, unless you tick it or it is said to stay." } }
                    @for (n, value) in (1_u32..).zip(&request.values) {
                        @if open.contains(&n) {
                            label {
                                input type="checkbox" name="keep" value=(n) checked[is_kept(n)];
                                " " code.sql-place { "$" (n) } " stays " (shown(value.as_deref()))
                            }
                        } @else {
                            p { code.sql-place { "$" (n) } " stays " (shown(value.as_deref())) ": it decides what the statement is" }
                        }
                    }
                    @if request.values.is_empty() { p { "It has none: exactly this statement is let through." } }
                }
                p.most {
                    label for="grant-most" { "Rows at most, each time" } " "
                    input #grant-most name="most" type="number" min="0" step="1" required
                        value=[number("most").or(*most)] autocomplete="off";
                }
                p.most {
                    label for="grant-life" { "For" } " "
                    select #grant-life name="seconds" {
                        @for (seconds, says) in LIVES.iter().filter(|(seconds, _)| seconds < longest) {
                            option value=(seconds) selected[*seconds == chosen] { (says) }
                        }
                        option value=(longest) selected[*longest == chosen] { (life(*longest)) ", the longest that policy lets" }
                    }
                }
                p.most {
                    label for="grant-uses" { "Times at most" } " "
                    input #grant-uses name="uses" type="number" min="1" step="1" placeholder="any" value=[number("uses")] autocomplete="off";
                }
                p.hint {
                    "Nobody looks at what it lets through beforehand. More rows than that are taken back. What policy denies stays denied, what \
                     is frozen stays frozen, and an altered table ends it. You find it under " a href="/grants" { "Grants" }
                    " and can revoke it there."
                }
                p.problem role="alert" hidden {}
                div.buttons {
                    button type="submit" data-presence { "Give the grant" span.by { " " (by) } }
                }
            }
        }
    }
}

pub(super) fn life(seconds: u64) -> String {
    match LIVES.iter().find(|(known, _)| *known == seconds) {
        Some((_, says)) => (*says).to_owned(),
        None if seconds.is_multiple_of(60) => format!("{} minutes", seconds / 60),
        None => format!("{seconds} seconds"),
    }
}

fn shown(value: Option<&str>) -> Markup {
    html! { @match value { Some(text) => { code { (words::visible(text)) } } None => { em { "NULL" } } } }
}

/// What a form wants.
fn wanted(form: &Form) -> Result<NewGrant, Problem> {
    let wrong = |what: &str| {
        let says = format!("{what} is a whole number.");
        Problem::new(StatusCode::BAD_REQUEST, "This is no number", &says)
    };
    let number = |name: &str, what: &str| match form.text(name).trim() {
        "" => Ok(None),
        text => text.parse::<u64>().map(Some).map_err(|_| wrong(what)),
    };
    let keep = form.all("keep").map(|n| n.parse::<u32>().map_err(|_| wrong("A placeholder")));
    Ok(NewGrant {
        seconds: number("seconds", "For how long")?,
        most: number("most", "How many rows each may change")?,
        uses: number("uses", "How often it may be used")?,
        keep: keep.collect::<Result<_, _>>()?,
    })
}

async fn ask(State(pages): Here, Path(id): Path<String>, sent: Submitted) -> Result<Response, Problem> {
    let act = Act::give(&id, sent.form.text("digest"), &wanted(&sent.form)?);
    Ok(question(pages.gateway.ask_to_sign(&pages.place, act, Some(sent.visitor.guest())).await))
}

async fn give(
    State(pages): Here,
    headers: HeaderMap,
    Path(id): Path<String>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let Submitted { visitor, form } = sent;
    let here = format!("/requests/{}", words::encoded(&id));
    let again = |problem: Problem| problem.with_onward("Look again", here.clone());
    pages.gateway.standing_seen_by(visitor.guest(), &id).await?;
    let wanted = wanted(&form).map_err(&again)?;
    let back = Back { to: &confirming(&id), keeps: &["seconds", "most", "uses", "keep"] };
    let act = Act::give(&id, form.text("digest"), &wanted);
    let proof = match of_form(&pages, &visitor, &headers, &form, act, &back).await {
        Ok(Presence::Proved(proof)) => proof,
        Ok(Presence::Away(response)) => return Ok(response),
        Err(problem) => return Err(again(problem)),
    };
    let voter = visitor.guest().voter();
    let given = pages.gateway.give(&id, &voter, &wanted, Some(proof)).await.map_err(|e| again(e.into()))?;
    let mut response = Redirect::to(&format!("/grants/{}", words::encoded(&given.id))).into_response();
    Cookie::Confirm.forget(&pages, &mut response);
    Ok(response)
}

// ---------------------------------------------------------------------- those that there are

async fn list(State(pages): Here, visitor: Visitor) -> Result<Html<String>, Problem> {
    let all = pages.gateway.grants_seen_by(visitor.guest()).await?;
    let (now, over): (Vec<_>, Vec<_>) = all.iter().partition(|grant| stands(grant) == GrantState::InForce);
    let body = html! {
        main #main {
            div.head {
                h1 { "Grants" }
                p.count { @match now.len() { 0 => { "none is in force" } 1 => { "one is in force" } n => { (n) " are in force" } } }
            }
            @if all.is_empty() {
                section.empty {
                    h2 { "There are no standing grants" }
                    p {
                        "An agent that sends the same statement with other values again and again asks each time. From the page of such \
                         a request you can let alike ones through for a while, where the policy that asks says so: "
                        code { "@grant(\"2h\")" } "."
                    }
                }
            }
            ul.cards { @for grant in &now { (card(grant)) } }
            @if !over.is_empty() {
                h2.part { "Before" }
                ul.cards { @for grant in &over { (card(grant)) } }
            }
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: "Grants", at: "/grants", body, live: None }))
}

fn card(grant: &StandingGrant) -> Markup {
    html! {
        li.card {
            a.cover href={ "/grants/" (grant.id) } {
                span.line {
                    strong { (words::visible(&grant.principal)) }
                    @for person in &grant.on_behalf_of { span.for { " for " (words::visible(person)) } }
                    " on " strong { (words::visible(grant.target.as_str())) }
                }
                code.sql.short { (words::glance(&grant.text, 120)) }
            }
            p.foot {
                (state(grant))
                @if stands(grant) == GrantState::InForce { span { "ends " (words::moment(grant.expires)) } }
                span { (used(grant)) }
                @if grant.access.as_ref().is_none_or(|access| access.most.is_some()) {
                    span { "at most " (grant.most) @if grant.most == 1 { " row" } @else { " rows" } " each" }
                }
                @if let Some(why) = &grant.ended { span { (words::visible(why)) } }
            }
        }
    }
}

fn state(grant: &StandingGrant) -> Markup {
    let state = stands(grant);
    let class = match state {
        GrantState::InForce => "chip good",
        GrantState::Expired | GrantState::UsedUp | GrantState::Ended => "chip",
    };
    html! { span class=(class) { (state.as_str()) } }
}

fn used(grant: &StandingGrant) -> String {
    match (grant.used, grant.uses) {
        (used, Some(most)) => format!("used {used} of {most} times"),
        (0, None) => "not used".to_owned(),
        (1, None) => "used once".to_owned(),
        (used, None) => format!("used {used} times"),
    }
}

async fn page(State(pages): Here, visitor: Visitor, Path(id): Path<String>) -> Result<Html<String>, Problem> {
    let (grant, uses) = pages.gateway.grant_seen_by(visitor.guest(), &id).await?;
    let in_force = stands(&grant) == GrantState::InForce;
    let body = html! {
        main.request #main {
            p.back { a href="/grants" { "← Grants" } }
            div.head {
                h1 { "Standing grant" }
                p.standing {
                    (state(&grant))
                    @if in_force { span { "ends " (words::moment(grant.expires)) } }
                    span { (used(&grant)) }
                }
                @if let Some(why) = &grant.ended { p.outcome { (words::visible(why)) } }
            }
            section.panel aria-labelledby="covers" {
                h2 #covers { "What it covers" }
                @if let Some(access) = &grant.access {
                    p {
                        strong { (words::visible(&grant.principal)) }
                        @for person in &grant.on_behalf_of { " for " strong { (words::visible(person)) } }
                        " may do this on " strong { (words::visible(grant.target.as_str())) } ":"
                    }
                    (access::overview(access))
                } @else { p {
                    strong { (words::visible(&grant.principal)) }
                    @for person in &grant.on_behalf_of { " for " strong { (words::visible(person)) } }
                    " may run this on " strong { (words::visible(grant.target.as_str())) }
                    " without asking, and change at most " strong { (grant.most) } @if grant.most == 1 { " row" } @else { " rows" }
                    " each time:"
                }
                pre.sql tabindex="0" aria-label="The statement with its placeholders" { code { (words::statement(&grant.text)) } }
                @if !grant.values.is_empty() {
                    table.values {
                        caption { "Its values" }
                        tbody {
                            @for (n, value) in (1..).zip(&grant.values) {
                                tr {
                                    th scope="row" { code.sql-place { "$" (n) } }
                                    td { @if value.any { em { "any value" } } @else { (shown(value.text.as_deref())) } }
                                }
                            }
                        }
                    }
                }
                ul.effects { @for line in &grant.effects { li { (words::visible(&words::effect(line).0)) } } } }
            }
            section.panel aria-labelledby="given" {
                h2 #given { "Who gave it" }
                p {
                    strong { (words::visible(&grant.giver.voter)) } " " (words::moment(grant.given))
                    @if let Some(proof) = &grant.giver.proof { span.for { " by " (words::visible(proof)) } }
                    @for other in &grant.others {
                        " and " strong { (words::visible(&other.voter)) }
                        @if let Some(proof) = &other.proof { span.for { " by " (words::visible(proof)) } }
                    }
                    ", from " a href={ "/requests/" (grant.request) } { "request " (grant.request) }
                }
                p.foot { "It answers " @for rule in &grant.holds { code { (words::visible(&rule.id)) } " " } }
            }
            @if in_force && visitor.guest().voter_answers(&grant.holds) {
                form.answer method="post" action={ "/grants/" (grant.id) "/revoke" } {
                    input type="hidden" name="csrf" value=(visitor.csrf());
                    p { "From the moment that it is revoked such statements ask again, on every gateway." }
                    div.buttons { button type="submit" { "Revoke it" } }
                }
            }
            section.panel aria-labelledby="uses" {
                h2 #uses { "What it was used for" }
                @if uses.is_empty() { p { "Nothing yet." } }
                ul.rows {
                    @for request in &uses {
                        li {
                            a href={ "/requests/" (request.id) } {
                                @if let Some(used) = &request.granted { "Use " (used.number) ": " }
                                @if grant.access.is_some() { code.sql.short { (words::glance(&request.text, 120)) } " " }
                                @for (n, value) in (1..).zip(&request.values) {
                                    code.sql-place { "$" (n) } " = " (shown(value.as_deref())) " "
                                }
                            }
                            span.foot {
                                (chip(request.status)) span { (words::moment(request.filed)) }
                                @if let Some(outcome) = &request.outcome { span { (words::visible(outcome)) } }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: "Standing grant", at: "/grants", body, live: None }))
}

async fn revoke(State(pages): Here, Path(id): Path<String>, sent: Submitted) -> Result<Response, Problem> {
    let here = format!("/grants/{}", words::encoded(&id));
    let revoked = pages.gateway.revoke_grant(&id, &sent.visitor.guest().voter()).await;
    revoked.map_err(|error| Problem::from(error).with_onward("Look again", here.clone()))?;
    Ok(Redirect::to(&here).into_response())
}
