//! Requests that differ in plain values alone, on one page: each with its values, and one answer for all that are shown.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gateway::alike::{One, Seen};
use gateway::approvers::Said;
use gateway::people::May;
use gateway::presence::Act;
use maud::{Markup, html};
use model::{Ceiling, Request, Status};
use policy::rights::Right;
use serde::Deserialize;

use super::asked::Query;
use super::doubts::doubts;
use super::frame::{self, Page};
use super::presence::{Back, Presence, fields, of_form, question};
use super::problem::Problem;
use super::visitor::{Cookie, Submitted, Visitor};
use super::{Pages, Routes, whole, words};
use crate::form::Form;

type Here = State<Arc<Pages>>;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .page("/requests/{id}/alike", Right::Inbox, get(page))
        .page("/requests/{id}/alike/question", Right::Inbox, post(ask))
        .page("/requests/{id}/alike/answer", Right::Inbox, post(answer))
}

#[derive(Deserialize)]
struct Confirming {
    /// Set where somebody has signed in anew to approve.
    #[serde(default)]
    confirm: Option<String>,
}

async fn page(
    State(pages): Here,
    headers: HeaderMap,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(confirming): Query<Confirming>,
) -> Result<Response, Problem> {
    let all = pages.gateway.alike_seen_by(visitor.guest(), &id).await?;
    let count = all.len();
    let all = fitting(all);
    let Some(first) = all.first().filter(|first| first.status == Status::Pending) else {
        return Ok(Redirect::to(&format!("/requests/{}", words::encoded(&id))).into_response());
    };
    let has_keys = !pages.gateway.passkeys(visitor.guest()).await?.is_empty();
    let confirm = confirming.confirm.is_some() && Cookie::Confirm.read(&pages, &headers).is_some();
    let mine = pages.gateway.may_answer(visitor.guest(), first);
    let body = html! {
        main.request #main {
            p.back { a href="/" { "← Inbox" } }
            div.head {
                h1 { (words::visible(&first.principal)) " asks " (all.len()) @if all.len() == 1 { " time" } @else { " times" } }
                p.standing { span.chip.wait { (all.len()) " wait" } span { "for the same statement with other values" } }
            }
            (doubts(&all))
            @if count > all.len() {
                p.notice { (count - all.len()) " more are too long to be shown here whole, and are not among these: they are answered by themselves." }
            }
            section.panel aria-labelledby="statement" {
                h2 #statement { "The statement" }
                p {
                    "On " strong { (words::visible(first.target.as_str())) }
                    @for person in &first.on_behalf_of { " for " strong { (words::visible(person)) } }
                }
                pre.sql tabindex="0" aria-label="The statement" { code { (words::statement(&first.text)) } }
                ul.effects { @for line in &first.effects { @let (says, danger) = words::effect(line); li.danger[danger] { (words::visible(&says)) } } }
            }
            section.panel aria-labelledby="each" {
                h2 #each { "Each of them" }
                div.scroll tabindex="0" role="region" aria-label="Each with its values" {
                    table.result.alike {
                        thead { tr {
                            th scope="col" { "Request" }
                            @for n in 1..=first.values.len() { th scope="col" { code.sql-place { "$" (n) } } }
                            th scope="col" { "Seen beforehand" }
                            th scope="col" { "Rows at most" }
                        } }
                        tbody { @for one in &all { (row(one)) } }
                    }
                }
            }
            div #answer { (answering(&visitor, first, &all, &mine, has_keys, confirm)) }
        }
    };
    let title = format!("{} alike", all.len());
    Ok(frame::page(&pages, &visitor, Page { title: &title, at: "/", body, live: None }).into_response())
}

/// As many as are shown whole on one page: what is not is not answered with the others.
fn fitting(all: Vec<Request>) -> Vec<Request> {
    let mut left = 3 * whole::ROOM;
    let fits = move |one: &Request| {
        let size = whole::size_of(one);
        let fits = size <= whole::ROOM && size <= left;
        if fits {
            left -= size;
        }
        fits
    };
    all.into_iter().filter(fits).collect()
}

fn row(one: &Request) -> Markup {
    html! {
        tr {
            th scope="row" { a href={ "/requests/" (one.id) } { (one.id) } }
            @for value in &one.values {
                td { @match value { Some(text) => { (words::visible(text)) } None => { em { "NULL" } } } }
            }
            td {
                @if !one.preview.words.is_empty() && !one.preview.exact { "estimated: " }
                @for line in &one.preview.words { p { (words::visible(line)) } }
                @for line in &one.preview.unseen { p.problem { "Not seen: " (words::visible(line)) "." } }
                @if let Some(changed) = &one.changed { p.problem { "Not the same any more: " (words::visible(changed)) "." } }
            }
            td { @match &one.ceiling { Ceiling::Rows { most, .. } => { (most) } Ceiling::None(_) => { "no ceiling" } } }
        }
    }
}

fn answering(
    visitor: &Visitor,
    first: &Request,
    all: &[Request],
    mine: &May,
    has_keys: bool,
    confirm: bool,
) -> Markup {
    if *mine == May::Nothing {
        return html! { section.panel { p { "These are not yours to answer: they are for others." } } };
    }
    let by = if has_keys { "with your passkey" } else { "by signing in again" };
    html! {
        form.answer method="post" action={ "/requests/" (first.id) "/alike/answer" }
            data-passkey=[has_keys.then(|| format!("/requests/{}/alike/question", first.id))] data-keys {
            (fields(visitor))
            input type="hidden" name="set" value=(written(&Seen::of(all)));
            @if confirm {
                input type="hidden" name="confirm" value="yes";
                p.hint role="status" { "You have signed in again. Approve to confirm that you mean exactly these." }
            }
            @if let May::Deny(why) = mine { p.hint { "You can deny them, and not approve them: " (words::visible(why)) "." } }
            p.hint { "Your answer is for exactly the " (all.len()) " that are shown here, each by itself; what comes later asks again." }
            p.problem role="alert" hidden {}
            div.buttons {
                button type="submit" name="answer" value="deny" data-key="d" { "Deny all " (all.len()) kbd { "d" } }
                @if mine.approve() {
                    button.primary type="submit" name="answer" value="approve" data-key="a" data-presence {
                        "Approve all " (all.len()) span.by { " " (by) } kbd { "a" }
                    }
                }
            }
        }
    }
}

fn written(all: &[Seen]) -> String {
    all.iter().map(|one| format!("{}:{}", one.id, one.digest)).collect::<Vec<_>>().join(",")
}

/// Those that a form is about, as they were shown.
fn set(form: &Form) -> Vec<Seen> {
    let one = |text: &str| {
        let (id, digest) = text.split_once(':')?;
        Some(Seen { id: id.to_owned(), digest: digest.to_owned() })
    };
    form.text("set").split(',').filter_map(one).collect()
}

async fn ask(State(pages): Here, Path(_id): Path<String>, sent: Submitted) -> Response {
    let act = Act::answer_all(&set(&sent.form), true, None);
    question(pages.gateway.ask_to_sign(&pages.place, act, Some(sent.visitor.guest())).await)
}

async fn answer(
    State(pages): Here,
    headers: HeaderMap,
    Path(id): Path<String>,
    sent: Submitted,
) -> Result<Response, Problem> {
    let Submitted { visitor, form } = sent;
    let here = format!("/requests/{}/alike", words::encoded(&id));
    let again = |problem: Problem| problem.with_onward("Look again", here.clone());
    let approve = match form.text("answer") {
        "approve" => true,
        "deny" => false,
        _ => {
            let says = "An answer is to approve or to deny.";
            return Err(again(Problem::new(StatusCode::BAD_REQUEST, "This is no answer", says)));
        }
    };
    let set = set(&form);
    for one in &set {
        pages.gateway.standing_seen_by(visitor.guest(), &one.id).await?;
    }
    let proof = if approve {
        let back = format!("{here}?confirm=approve");
        match of_form(&pages, &visitor, &headers, &form, Act::answer_all(&set, true, None), &Back::to(&back))
            .await
        {
            Ok(Presence::Proved(proof)) => Some(proof),
            Ok(Presence::Away(response)) => return Ok(response),
            Err(problem) => return Err(again(problem)),
        }
    } else {
        None
    };
    let voter = visitor.guest().voter();
    let answered = pages.gateway.answer_all(&set, &voter, approve, &Said::default(), proof).await;
    let answered = answered.map_err(|error| again(error.into()))?;
    let mut response = told(&pages, &visitor, &answered).into_response();
    Cookie::Confirm.forget(&pages, &mut response);
    Ok(response)
}

/// What became of each.
fn told(pages: &Pages, visitor: &Visitor, answered: &[One]) -> Html<String> {
    let failed = answered.iter().filter(|one| one.answered.is_err()).count();
    let body = html! {
        main.request #main {
            p.back { a href="/" { "← Inbox" } }
            div.head {
                h1 { (answered.len() - failed) " answered" }
                @if failed > 0 { p.problem role="alert" { (failed) " could not be answered: they have changed, or were answered before." } }
            }
            ul.rows {
                @for One { id, answered } in answered {
                    li {
                        a href={ "/requests/" (id) } { (id) } " "
                        @match answered {
                            Ok(answered) => {
                                (answered.status)
                                @if !answered.waits_for.is_empty() { ", waits for " (words::visible(&answered.waits_for.join(", and "))) }
                            }
                            Err(why) => (words::visible(&why.to_string())),
                        }
                    }
                }
            }
        }
    };
    frame::page(pages, visitor, Page { title: "Answered", at: "/", body, live: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_shown_whole_is_not_answered_with_others() {
        let of = |id: &str, value: usize| Request {
            id: id.to_owned(),
            values: vec![Some("x".repeat(value))],
            ..crate::tests::request()
        };
        let all = vec![of("a", 10), of("b", 1_000_000), of("c", 10)];
        let ids: Vec<String> = fitting(all).into_iter().map(|one| one.id).collect();
        assert_eq!(ids, ["a", "c"]);
        assert!(fitting(vec![of("a", 30_000); 100]).len() < 10);
    }
}
