//! Who there is: people of the console, approvers with a secret, those who came lately, tokens, issuers, groups; and shutting
//! somebody out.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gateway::denials::{DenialInfo, NewDenial};
use gateway::people::{Invited, NewMember};
use gateway::presence::Act;
use gateway::records::{Look, Record};
use gateway::requests::TokenInfo;
use gateway::visible::line;
use maud::{Markup, html};
use policy::rights::{Right, Role};

use super::frame::{self, Page};
use super::presence::{fields, of_passkey, passkey_hint, question};
use super::problem::Problem;
use super::visitor::{Submitted, Visitor};
use super::{Pages, Routes, words};
use crate::form::Form;

type Here = State<Arc<Pages>>;

/// So many tokens are shown.
const MOST_TOKENS: usize = 50;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .page("/people", Right::SeePeople, get(page))
        .page("/people/invite/question", Right::ChangePeople, post(ask_to_invite))
        .page("/people/invite", Right::ChangePeople, post(invite))
        .page("/people/remove/question", Right::ChangePeople, post(ask_to_remove))
        .page("/people/remove", Right::ChangePeople, post(remove))
        .page("/people/deny", Right::ChangePeople, post(deny))
        .page("/people/denials/{id}/question", Right::ChangePeople, post(ask_to_lift))
        .page("/people/denials/{id}/lift", Right::ChangePeople, post(lift))
        .page("/people/tokens/{id}/revoke", Right::ChangePeople, post(revoke))
}

async fn page(State(pages): Here, visitor: Visitor) -> Result<Html<String>, Problem> {
    let gateway = &pages.gateway;
    let members = gateway.members().await?;
    let invited = gateway.invited().await?;
    let approvers = gateway.approvers().await?;
    let tokens = gateway.tokens(&model::Part::newest(10 * MOST_TOKENS)).await?;
    let denials = gateway.list_denials().await?;
    let issuers = gateway.health().await.issuers;
    let (_, configured) = gateway.configured().await?;
    let came = gateway.records(Look { verdict: "opened".to_owned(), ..Look::default() }).await?.found;
    let may = gateway.may(visitor.guest(), Right::ChangePeople);
    let removing = |kind: &str, name: &str| html! { @if may { (removing(&visitor, kind, name)) } };
    let body = html! {
        main #main {
            div.head { h1 { "People and agents" } }
            (denied(&visitor, &denials, may))
            section.panel aria-labelledby="people" {
                h2 #people { "In this console" }
                @if members.is_empty() { p { "Nobody was invited by name; people of issuers come by their groups." } }
                ul.rows {
                    @for member in &members {
                        li.split {
                            div {
                                strong { (words::visible(&member.name)) }
                                p.foot {
                                    @for word in member.roles.iter().chain(&member.groups) { span { (words::visible(&word.replace('_', " "))) } }
                                    span { "since " (words::moment(member.added)) }
                                }
                            }
                            (removing("person", &member.name))
                        }
                    }
                }
                @if !invited.is_empty() {
                    ul.rows aria-label="Invited, not here yet" {
                        @for Invited { who, expires } in &invited {
                            li.split {
                                div {
                                    strong { (words::visible(&who.name)) } " " span.chip { "invited" }
                                    p.foot {
                                        @for word in who.roles.iter().chain(&who.groups) { span { (words::visible(&word.replace('_', " "))) } }
                                        span { "the link ends " (words::moment(*expires)) }
                                    }
                                }
                                (removing("person", &who.name))
                            }
                        }
                    }
                }
                @if may { (inviting(&pages, &visitor)) }
            }
            @if !approvers.is_empty() {
                section.panel aria-labelledby="approvers" {
                    h2 #approvers { "Approvers with a secret" }
                    ul.rows {
                        @for approver in &approvers {
                            li.split {
                                div {
                                    strong { (words::visible(&approver.name)) }
                                    p.foot { span { "for " (words::visible(&approver.groups.join(", "))) } span { "since " (words::moment(approver.added)) } }
                                }
                                (removing("approver", &approver.name))
                            }
                        }
                    }
                }
            }
            (seen(&came))
            (of_tokens(&visitor, &tokens, may))
            section.panel aria-labelledby="issuers" {
                h2 #issuers { "Issuers" }
                @if issuers.is_empty() {
                    p { "None: everybody comes with a token that was made here. With " code { "[[issuers]]" } " people sign in as they do elsewhere, and workloads need no secret." }
                }
                ul.rows {
                    @for (name, usable) in &issuers {
                        li.split { strong { (words::visible(name)) } @if *usable { span.chip.good { "has keys" } } @else { span.chip.bad { "no keys yet" } } }
                    }
                }
            }
            @if !configured.groups.is_empty() {
                section.panel aria-labelledby="groups" {
                    h2 #groups { "Groups of the gateway's own" }
                    ul.rows {
                        @for group in &configured.groups {
                            li { strong { "local/" (words::visible(&group.name)) } p.foot { @for member in &group.members { span { (words::visible(member)) } } } }
                        }
                    }
                }
            }
            @if may { (shutting_out(&visitor)) }
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: "People and agents", at: "/people", body, live: None }))
}

fn denied(visitor: &Visitor, denials: &[DenialInfo], may: bool) -> Markup {
    html! {
        @if !denials.is_empty() {
            section.panel aria-labelledby="out" {
                h2 #out { "Shut out" }
                ul.rows {
                    @for DenialInfo { id, kind, subject, reason, by, since, until } in denials {
                        li.split {
                            div {
                                strong { (words::visible(subject)) } " " span.chip.bad { (words::visible(kind)) }
                                p { "“" (words::visible(reason)) "”" }
                                p.foot {
                                    span { "by " (words::visible(by)) } span { (words::moment(*since)) }
                                    @if let Some(until) = until { span { "ends " (words::moment(*until)) } }
                                }
                            }
                            @if may {
                                form method="post" action={ "/people/denials/" (id) "/lift" } data-passkey={ "/people/denials/" (id) "/question" } {
                                    (fields(visitor))
                                    button.quiet type="submit" data-presence aria-label={ "Let in again: " (line(subject)) } { "Let in again" }
                                    p.problem role="alert" hidden {}
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Who came last, each once.
fn seen(came: &[Record]) -> Markup {
    let mut last: Vec<(&str, &Record)> = Vec::new();
    for record in came {
        let who = record.text("principal");
        if !last.iter().any(|(known, _)| *known == who) {
            last.push((who, record));
        }
    }
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for record in came {
        *times.entry(record.text("principal")).or_default() += 1;
    }
    html! {
        section.panel aria-labelledby="seen" {
            h2 #seen { "Who came lately" }
            @if last.is_empty() { p { "Nobody yet. Who connects to a target appears here." } }
            ul.rows {
                @for (who, record) in &last {
                    li {
                        a href={ "/sessions?principal=" (words::encoded(who)) } { strong { (words::visible(who)) } }
                        p.foot {
                            span { "last " (words::moment_of(record.text("time"))) " on " (words::visible(record.text("target"))) }
                            span { (times.get(who).copied().unwrap_or_default()) " of the last " (came.len()) " sessions" }
                        }
                    }
                }
            }
        }
    }
}

fn of_tokens(visitor: &Visitor, tokens: &[TokenInfo], may: bool) -> Markup {
    let now = words::now();
    let good: Vec<&TokenInfo> = tokens.iter().filter(|token| !token.revoked && token.expires > now).collect();
    html! {
        section.panel aria-labelledby="tokens" {
            h2 #tokens { "Tokens" }
            @if good.is_empty() { p { "None is good now. " code { "durward token issue agent:NAME" } " makes one." } }
            ul.rows {
                @for token in good.iter().take(MOST_TOKENS) {
                    li.split {
                        div {
                            strong { (words::visible(&token.principal)) }
                            @for person in &token.on_behalf_of { span.for { " for " (words::visible(person)) } }
                            @if let Some(purpose) = &token.purpose { p { (words::visible(purpose)) } }
                            p.foot {
                                code { (words::visible(&token.id)) }
                                @if !token.targets.is_empty() { span { "on " (words::visible(&token.targets.join(", "))) } }
                                span { "ends " (words::moment(token.expires)) }
                                @if token.sessions > 0 { span { (token.sessions) " open" } }
                            }
                        }
                        @if may {
                            details.confirm {
                                summary { "Revoke …" }
                                form method="post" action={ "/people/tokens/" (words::encoded(&token.id)) "/revoke" } {
                                    input type="hidden" name="csrf" value=(visitor.csrf());
                                    button.danger type="submit" aria-label={ "Revoke it now: " (token.id) } { "Revoke it now" }
                                }
                            }
                        }
                    }
                }
            }
            @if good.len() > MOST_TOKENS { p.hint { "The newest " (MOST_TOKENS) " are shown; " code { "durward token ls" } " has the others." } }
        }
    }
}

fn removing(visitor: &Visitor, kind: &str, name: &str) -> Markup {
    html! {
        form method="post" action="/people/remove" data-passkey="/people/remove/question" {
            (fields(visitor))
            input type="hidden" name="kind" value=(kind);
            input type="hidden" name="name" value=(name);
            button.quiet type="submit" data-presence aria-label={ "Remove " (line(name)) } { "Remove" }
            p.problem role="alert" hidden {}
        }
    }
}

fn inviting(pages: &Pages, visitor: &Visitor) -> Markup {
    let (elsewhere, here): (Vec<Role>, Vec<Role>) =
        Role::ALL.iter().partition(|role| pages.gateway.makes_a_second(&[**role]));
    let said = |role: &Role| role.as_str().replace('_', " ");
    html! {
        form.stack method="post" action="/people/invite" data-passkey="/people/invite/question" {
            (fields(visitor))
            label for="name" { "Invite somebody: their name" }
            input #name name="name" type="text" maxlength="100" autocomplete="off" required;
            label for="groups" { "Groups that they answer for, with commas between" }
            input #groups name="groups" type="text" maxlength="400" autocomplete="off" placeholder="dba";
            fieldset {
                legend { "What they are here" }
                @for role in &here {
                    label.check { input type="checkbox" name="role" value=(role.as_str()); " " (said(role)) }
                }
                @if !elsewhere.is_empty() {
                    p.hint {
                        "Some changes here take two people, so that nobody invites their own second one: "
                        (elsewhere.iter().map(said).collect::<Vec<_>>().join(" and ")) " are invited on the gateway’s host, by "
                        code { "durward people invite NAME --role …" } "."
                    }
                }
            }
            button type="submit" data-presence { "Make an invitation" }
            (passkey_hint())
            p.problem role="alert" hidden {}
        }
    }
}

fn shutting_out(visitor: &Visitor) -> Markup {
    html! {
        section.panel aria-labelledby="deny" {
            h2 #deny { "Shut somebody out now" }
            form.stack method="post" action="/people/deny" {
                input type="hidden" name="csrf" value=(visitor.csrf());
                label for="kind" { "Whom" }
                select #kind name="kind" {
                    @for (kind, says) in [("principal", "a person or an agent (agent:NAME, user:NAME)"), ("group", "a group"), ("token", "a token, by its id"), ("issuer", "an issuer")] {
                        option value=(kind) { (says) }
                    }
                }
                label for="whom" { "Name" }
                input #whom name="name" type="text" maxlength="400" autocomplete="off" required;
                label for="why" { "Why? Those concerned are told" }
                input #why name="reason" type="text" maxlength="400" autocomplete="off" required;
                button.danger type="submit" { "Shut out" }
                p.hint { "Their sessions end at once, and no new ones begin until you let them in again." }
            }
        }
    }
}

// ---------------------------------------------------------------------- acts

fn back(problem: Problem) -> Problem {
    problem.with_onward("Back", "/people")
}

fn wanted(form: &Form) -> NewMember {
    let groups = form.text("groups").split(',').map(str::trim).filter(|group| !group.is_empty());
    NewMember {
        name: form.text("name").trim().to_owned(),
        roles: form.all("role").map(str::to_owned).collect(),
        groups: groups.map(str::to_owned).collect(),
    }
}

async fn ask_to_invite(State(pages): Here, sent: Submitted) -> Response {
    let act = Act::invite(&wanted(&sent.form));
    question(pages.gateway.ask_to_sign(&pages.place, act, Some(sent.visitor.guest())).await)
}

async fn invite(State(pages): Here, Submitted { visitor, form }: Submitted) -> Result<Html<String>, Problem> {
    let wanted = wanted(&form);
    let proof = of_passkey(&pages, &visitor, &form, Act::invite(&wanted)).await?;
    let invited = pages.gateway.invite_for(visitor.guest(), &wanted, Some(proof)).await;
    let invited = invited.map_err(|error| back(error.into()))?;
    let body = html! {
        main #main {
            p.back { a href="/people" { "← People and agents" } }
            div.head { h1 { "An invitation for " (words::visible(&wanted.name)) } }
            section.panel {
                p { "Give them this link, and nobody else: it is shown this once, is good once, and ends " (words::moment(invited.expires)) "." }
                pre.copy { code #link { (pages.place.link_of(&invited.secret)) } }
            }
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: "An invitation", at: "/people", body, live: None }))
}

async fn ask_to_remove(State(pages): Here, sent: Submitted) -> Response {
    let act = Act::remove(sent.form.text("kind"), sent.form.text("name"));
    question(pages.gateway.ask_to_sign(&pages.place, act, Some(sent.visitor.guest())).await)
}

async fn remove(State(pages): Here, Submitted { visitor, form }: Submitted) -> Result<Response, Problem> {
    let (kind, name) = (form.text("kind"), form.text("name"));
    let proof = of_passkey(&pages, &visitor, &form, Act::remove(kind, name)).await?;
    let removed = pages.gateway.remove_for(visitor.guest(), kind, name, Some(proof)).await;
    removed.map_err(|error| back(error.into()))?;
    Ok(Redirect::to("/people").into_response())
}

async fn deny(State(pages): Here, Submitted { visitor, form }: Submitted) -> Result<Response, Problem> {
    let wanted = NewDenial {
        kind: form.text("kind").to_owned(),
        name: form.text("name").trim().to_owned(),
        issuer: None,
        reason: form.text("reason").to_owned(),
        seconds: None,
    };
    if wanted.kind == "principal" && wanted.name == visitor.guest().id().to_string() {
        let says = "That is you: you could not let yourself in again.";
        return Err(back(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "This was not done", says)));
    }
    let denied = pages.gateway.deny_for(visitor.guest(), &wanted).await;
    denied.map_err(|error| back(error.into()))?;
    Ok(Redirect::to("/people").into_response())
}

async fn ask_to_lift(State(pages): Here, Path(id): Path<String>, sent: Submitted) -> Response {
    question(pages.gateway.ask_to_sign(&pages.place, Act::lift(&id), Some(sent.visitor.guest())).await)
}

async fn lift(
    State(pages): Here,
    Path(id): Path<String>,
    Submitted { visitor, form }: Submitted,
) -> Result<Response, Problem> {
    let proof = of_passkey(&pages, &visitor, &form, Act::lift(&id)).await?;
    let lifted = pages.gateway.lift_for(visitor.guest(), &id, Some(proof)).await;
    lifted.map_err(|error| back(error.into()))?;
    Ok(Redirect::to("/people").into_response())
}

async fn revoke(
    State(pages): Here,
    Path(id): Path<String>,
    Submitted { visitor, .. }: Submitted,
) -> Result<Response, Problem> {
    let revoked = pages.gateway.revoke_token_for(visitor.guest(), &id).await;
    revoked.map_err(|error| back(error.into()))?;
    Ok(Redirect::to("/people").into_response())
}
