//! Who is connected, and who was: live sessions, which can be watched and ended, and past ones, which can be played again.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gateway::freezes::NewEnd;
use gateway::records::{Look, Record, Records};
use gateway::sessions::Live;
use maud::{Markup, html};
use policy::rights::Right;
use serde::Deserialize;
use serde_json::Value;

use super::asked::Query;
use super::frame::{self, Page};
use super::problem::Problem;
use super::visitor::{Submitted, Visitor};
use super::{Pages, Routes, words};

type Here = State<Arc<Pages>>;

/// So many live sessions are shown.
const MOST: usize = 100;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .page("/sessions", Right::SeeSessions, get(page))
        .page("/sessions/end", Right::EndSessions, post(end_many))
        .page("/sessions/{id}/end", Right::EndSessions, post(end))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Filter {
    principal: String,
    target: String,
    before: String,
}

impl Filter {
    fn fits(&self, live: &Live) -> bool {
        let wanted = self.principal.to_lowercase();
        let mut all = live.principal.chain().map(|p| p.to_string().to_lowercase());
        (wanted.is_empty() || all.any(|name| name.contains(&wanted)))
            && (self.target.is_empty() || live.target.as_str() == self.target)
    }

    fn link(&self, before: &str) -> String {
        format!(
            "/sessions?principal={}&target={}&before={}#past",
            words::encoded(&self.principal),
            words::encoded(&self.target),
            words::encoded(before)
        )
    }
}

async fn page(
    State(pages): Here,
    visitor: Visitor,
    Query(filter): Query<Filter>,
) -> Result<Html<String>, Problem> {
    let mut live = pages.gateway.sessions().list();
    live.retain(|session| filter.fits(session));
    live.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
    let look = Look {
        verdict: "closed".to_owned(),
        principal: filter.principal.clone(),
        target: filter.target.clone(),
        before: filter.before.clone(),
        ..Look::default()
    };
    let past = pages.gateway.records(look).await?;
    let may = pages.gateway.may(visitor.guest(), Right::EndSessions);
    let count = live.len();
    let body = html! {
        main #main {
            div.head {
                h1 { "Sessions" }
                p.count #count data-live-part=(count) {
                    @match count { 0 => { "nobody is connected" } 1 => { "one is live" } _ => { (count) " are live" } }
                }
            }
            (filters(&filter))
            ul.cards #live data-live-list { @for session in live.iter().take(MOST) { (card(&visitor, session, may)) } }
            @if count > MOST { p.hint { "The first " (MOST) " of " (count) " are shown." } }
            div #none data-live-part=(count == 0) {
                @if count == 0 {
                    section.panel {
                        h2 { "Nobody is connected" }
                        p { "Sessions appear here by themselves. " a href="/targets" { "Targets" } " says how to connect to one." }
                    }
                }
            }
            @if may && !live.is_empty() { (ending_many(&visitor, &live)) }
            (past_ones(&filter, &past))
        }
    };
    let live = Some("/live?sessions=all".to_owned());
    Ok(frame::page(&pages, &visitor, Page { title: "Sessions", at: "/sessions", body, live }))
}

fn filters(filter: &Filter) -> Markup {
    let is_set = !filter.principal.is_empty() || !filter.target.is_empty();
    html! {
        form.filters role="search" method="get" action="/sessions" {
            div { label for="principal" { "Who" } input #principal name="principal" type="text" value=(filter.principal) placeholder="agent:claude"; }
            div { label for="target" { "Target" } input #target name="target" type="text" value=(filter.target); }
            button type="submit" { "Filter" }
            @if is_set { a.button.quiet href="/sessions" { "Show all" } }
        }
    }
}

fn card(visitor: &Visitor, live: &Live, may: bool) -> Markup {
    html! {
        li.card id={ "s-" (live.id) } {
            a.cover href={ "/sessions/" (live.id) "/tail" } {
                span.line {
                    strong { (words::visible(&live.principal.id.to_string())) }
                    @for person in &live.principal.on_behalf_of { span.for { " for " (words::visible(&person.to_string())) } }
                    " on " strong { (words::visible(live.target.as_str())) }
                }
            }
            p.foot {
                span.chip.good { "live" }
                span { "since " (words::moment(live.since)) }
                span { "from " (live.address.ip()) }
                @if !live.application.is_empty() { span { (words::visible(&live.application)) } }
            }
            @if may { (ending(visitor, &live.id)) }
        }
    }
}

/// Ending one takes two steps, so that no slip does.
pub(super) fn ending(visitor: &Visitor, id: &str) -> Markup {
    html! {
        details.confirm {
            summary { "End it …" }
            form method="post" action={ "/sessions/" (id) "/end" } {
                input type="hidden" name="csrf" value=(visitor.csrf());
                button.danger type="submit" { "End this session now" }
            }
        }
    }
}

fn ending_many(visitor: &Visitor, live: &[Live]) -> Markup {
    let mut principals: Vec<String> =
        live.iter().flat_map(|l| l.principal.chain().map(ToString::to_string)).collect();
    principals.sort_unstable();
    principals.dedup();
    let mut targets: Vec<&str> = live.iter().map(|l| l.target.as_str()).collect();
    targets.sort_unstable();
    targets.dedup();
    html! {
        details.panel {
            summary { "End several at once …" }
            form.stack method="post" action="/sessions/end" {
                input type="hidden" name="csrf" value=(visitor.csrf());
                label for="which" { "All sessions of" }
                select #which name="which" {
                    @for name in &principals { option value={ "principal " (name) } { (words::visible(name)) ", and who acts for it" } }
                    @for name in &targets { option value={ "target " (name) } { "the target " (words::visible(name)) } }
                }
                button.danger type="submit" { "End them now" }
                p.hint { "They may connect again: to keep somebody out, revoke their access under People; to keep a target still, freeze it." }
            }
        }
    }
}

fn past_ones(filter: &Filter, past: &Records) -> Markup {
    html! {
        section aria-labelledby="past" {
            h2.part #past { "Past sessions" }
            @if past.found.is_empty() {
                p.hint { "None was found" @if let Some(to) = &past.back_to { " back to " (words::moment_of(to)) } "." }
            }
            ul.cards { @for record in &past.found { (past_card(record)) } }
            @if let Some(older) = &past.older { p { a.button href=(filter.link(older)) { "Look further back" } } }
        }
    }
}

fn past_card(record: &Record) -> Markup {
    let session = record.text("session");
    let number = |name: &str| record.line.get(name).and_then(Value::as_u64).unwrap_or_default();
    let (operations, refusals) = (number("operations"), number("refusals"));
    html! {
        li.card {
            a.cover href={ "/sessions/" (words::encoded(session)) } {
                span.line {
                    strong { (words::visible(record.principal.as_deref().unwrap_or("somebody"))) }
                    " on " strong { (words::visible(record.target.as_deref().unwrap_or("a target"))) }
                }
            }
            p.foot {
                span { "ended " (words::moment_of(record.text("time"))) }
                span { (operations) @if operations == 1 { " statement" } @else { " statements" } }
                @if refusals > 0 { span.chip.bad { (refusals) " refused" } }
                span { (words::visible(record.text("why"))) }
            }
        }
    }
}

// ---------------------------------------------------------------------- ending

async fn end(
    State(pages): Here,
    Path(id): Path<String>,
    Submitted { visitor, .. }: Submitted,
) -> Result<Response, Problem> {
    let back = |problem: Problem| problem.with_onward("Back to the sessions", "/sessions");
    pages
        .gateway
        .end_sessions_for(visitor.guest(), &NewEnd::Session(id.clone()))
        .await
        .map_err(|error| back(error.into()))?;
    Ok(Redirect::to("/sessions").into_response())
}

async fn end_many(State(pages): Here, Submitted { visitor, form }: Submitted) -> Result<Response, Problem> {
    let back = |problem: Problem| problem.with_onward("Back to the sessions", "/sessions");
    let which = match form.text("which").split_once(' ') {
        Some(("principal", name)) => NewEnd::Principal(name.to_owned()),
        Some(("target", name)) => NewEnd::Target(name.to_owned()),
        Some(_) | None => {
            let status = axum::http::StatusCode::BAD_REQUEST;
            return Err(back(Problem::new(status, "Nothing was ended", "No sessions were named.")));
        }
    };
    let ended = pages.gateway.end_sessions_for(visitor.guest(), &which).await;
    ended.map_err(|error| back(error.into()))?;
    Ok(Redirect::to("/sessions").into_response())
}
