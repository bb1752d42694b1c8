//! What waits for somebody's answer, first come first; and what was answered.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use axum::routing::get;
use gateway::inbox::{Card, Inbox};
use maud::{Markup, html};
use model::{Request, Status};
use policy::rights::Right;
use serde::Deserialize;

use super::asked::Query;
use super::frame::{self, Page};
use super::problem::Problem;
use super::request::waits_for;
use super::visitor::Visitor;
use super::{Pages, Routes, drafts, live, words};

/// So many are shown at once.
const MOST: usize = 50;
/// So many stay on a page that is open.
const MOST_KEPT: usize = 100;

pub(super) fn routes(routes: Routes) -> Routes {
    live::routes(routes.page("/", Right::Inbox, get(inbox)).page("/requests", Right::Inbox, get(history)))
}

#[derive(Deserialize)]
struct Place {
    /// From 1.
    #[serde(default)]
    page: Option<usize>,
    /// Requests that a page which is open already has, with commas between.
    #[serde(default)]
    kept: String,
}

async fn inbox(
    State(pages): State<Arc<Pages>>,
    visitor: Visitor,
    Query(place): Query<Place>,
) -> Result<Html<String>, Problem> {
    let number = place.page.unwrap_or(1).max(1);
    // As they came: what comes in later moves nothing that somebody reads.
    let skip = (number - 1).saturating_mul(MOST);
    let kept = place.kept.split(',').take(MOST_KEPT).map(str::to_owned).collect();
    let Inbox { count, cards, shown } = pages.gateway.inbox(visitor.guest(), skip, MOST, &kept).await?;
    let changes = drafts::notice(&pages, &visitor).await;
    let title = if count == 0 { "Inbox".to_owned() } else { format!("({count}) Inbox") };
    let body = html! {
        main #main {
            div.head {
                h1 { "Inbox" }
                p.count #count data-live-part=(count) {
                    @match count { 0 => { "nothing waits" } 1 => { "one waits" } _ => { (count) " wait" } }
                }
            }
            (changes)
            ul.cards #waiting data-live-list="kept" {
                @for Card { request, mine, count } in &shown { (card(request, *mine, *count)) }
            }
            div #pager data-live-part={ (number) " " (cards) } { (pager(number, cards)) }
            div #empty data-live-part=(count == 0) { @if count == 0 { (empty()) } }
        }
    };
    let page = Page { title: &title, at: "/", body, live: Some("/live".to_owned()) };
    Ok(frame::page(&pages, &visitor, page))
}

/// Where the others are, where there are more than a page has.
fn pager(number: usize, cards: usize) -> Markup {
    let all = cards.div_ceil(MOST);
    html! {
        @if all > 1 || number > 1 {
            p.hint { "Page " (number) " of " (all) ", of " (cards) " in all; each asker's oldest comes first." }
            p.row {
                @if number > 1 { a.button href={ "/?page=" (number.min(all + 1) - 1) } { "Before" } }
                @if number < all { a.button href={ "/?page=" (number + 1) } { "Next" } }
            }
        }
    }
}

/// What an empty inbox teaches.
fn empty() -> Markup {
    html! {
        section.empty {
            h2 { "Nothing waits for you" }
            p {
                "When an agent sends a statement that a policy holds, it appears here by itself: what it would do, who asks, and why \
                 it was held. It runs once, when enough of those who may approve have said yes."
            }
            p { "Keep this page open on your phone or in a tab; the tab's title counts what waits." }
        }
    }
}

async fn history(State(pages): State<Arc<Pages>>, visitor: Visitor) -> Result<Html<String>, Problem> {
    let all = pages.gateway.answered_seen_by(visitor.guest(), MOST + 1).await?;
    let body = html! {
        main #main {
            div.head { h1 { "History" } p.count { "what was asked, and what became of it" } }
            @if all.is_empty() {
                section.empty { h2 { "Nothing was answered yet" } p { "What you and others answer stays here with its outcome." } }
            }
            ul.cards { @for request in all.iter().take(MOST) { (card(request, true, 1)) } }
            @if all.len() > MOST { p.hint { "The newest " (MOST) " are shown; the journal has all." } }
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: "History", at: "/requests", body, live: None }))
}

/// `mine` is whether somebody may answer it where it waits, `count` how many wait that are alike to it, with it.
fn card(request: &Request, mine: bool, count: usize) -> Markup {
    let key = format!("{} {} {count}", request.status, request.votes.len());
    let page = if count > 1 { "/alike" } else { "" };
    html! {
        li.card id={ "r-" (request.id) } data-live-part=(key) {
            a.cover href={ "/requests/" (request.id) (page) } {
                span.line {
                    strong { (words::visible(&request.principal)) }
                    @for person in &request.on_behalf_of { span.for { " for " (words::visible(person)) } }
                    " on " strong { (words::visible(request.target.as_str())) }
                }
                code.sql.short { (words::glance(&request.text, 240)) }
            }
            p.foot {
                (chip(request.status))
                @if count > 1 { strong { (count) " alike" } }
                @if let Some(used) = &request.granted { span { "by the grant " (used.grant) ", use " (used.number) } }
                @if request.status == Status::Pending {
                    span { "ends " (words::moment(request.expires)) }
                    @if !mine { span { "not yours to answer" } }
                    (waits_for(request))
                } @else {
                    span { (words::moment(request.filed)) }
                    @if let Some(outcome) = &request.outcome { span { (words::visible(outcome)) } }
                }
            }
        }
    }
}

/// Where a request stands, in a word.
pub(super) fn chip(status: Status) -> Markup {
    let class = match status {
        Status::Pending => "chip wait",
        Status::Approved | Status::Claimed | Status::Done => "chip good",
        Status::Denied | Status::Failed | Status::OutcomeUnknown => "chip bad",
        Status::Expired | Status::Withdrawn | Status::Lapsed | Status::Rescinded | Status::Superseded => {
            "chip"
        }
    };
    let word = match status {
        Status::Pending => "waits",
        Status::OutcomeUnknown => "outcome unknown",
        Status::Approved
        | Status::Denied
        | Status::Expired
        | Status::Withdrawn
        | Status::Claimed
        | Status::Lapsed
        | Status::Rescinded
        | Status::Superseded
        | Status::Done
        | Status::Failed => status.as_str(),
    };
    html! { span class=(class) { (word) } }
}
