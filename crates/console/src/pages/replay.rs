//! A session, played again from its recording or watched while it runs. The page works step by step by itself; the script plays
//! it, and asks for more steps before they are needed.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use gateway::recordings::{Moment, Page as Recorded, Step, Wanted};
use gateway::records::Look;
use gateway::requests::AdminError;
use maud::{Markup, html};
use policy::rights::Right;
use serde::Deserialize;
use serde_json::Value;

use super::asked::Query;
use super::frame::{self, Page};
use super::problem::Problem;
use super::steps::{self, Kind, Part, clock, stands_out};
use super::visitor::Visitor;
use super::{Pages, Routes, sessions, words};

type Here = State<Arc<Pages>>;

/// Steps that come with a page, and each time more are asked for.
const AT_ONCE: usize = 25;
/// Rows of each result that come with them.
const ROWS: usize = 20;
/// What steps take of a page, in bytes; at least one is given.
const MOST_BYTES: usize = 90 * 1024;
/// Rows on the page of one step.
const MORE_ROWS: usize = 100;
/// What is watched shows so many of the last steps.
const LAST: u64 = 12;
/// So many places to jump to are told to the script.
const MOST_MARKS: usize = 1000;
/// The timeline has so many bars.
const BARS: usize = 120;
/// Found steps that are shown, and parts of a recording that are looked through at once.
const MOST_FOUND: usize = 50;
const MOST_PARTS: usize = 3;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .page("/sessions/{id}", Right::SeeSessions, get(page))
        .page("/sessions/{id}/tail", Right::SeeSessions, get(tail))
        .page("/sessions/{id}/steps", Right::SeeSessions, get(more))
        .page("/sessions/{id}/steps/{step}", Right::SeeSessions, get(one))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Place {
    /// Counted from 0.
    step: u64,
    /// What is searched for.
    find: String,
    /// From which step on it is searched.
    from: u64,
}

fn wanted(from: u64, limit: usize) -> Wanted {
    Wanted { from, limit: Some(limit), rows: ROWS, ..Wanted::default() }
}

async fn page(
    State(pages): Here,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(place): Query<Place>,
) -> Result<Response, Problem> {
    let by = visitor.guest().id().to_string();
    let (recorded, moments) = match pages.gateway.whole_recording(&id, wanted(place.step, AT_ONCE), &by).await
    {
        Ok(whole) => whole,
        Err(AdminError::Missing(_)) => return unrecorded(&pages, &visitor, &id).await,
        Err(error) => return Err(back(error)),
    };
    let total = u64::try_from(moments.len()).unwrap_or(u64::MAX);
    if total > 0 && place.step >= total {
        return Ok(
            Redirect::to(&format!("/sessions/{}?step={}", words::encoded(&id), total - 1)).into_response()
        );
    }
    let found = if place.find.is_empty() { None } else { Some(find(&pages, &id, &place, &by).await?) };
    let is_live = pages.gateway.sessions().list().iter().any(|live| live.id == id);
    let may_end = is_live && pages.gateway.may(visitor.guest(), Right::EndSessions);
    let said = |name: &str| recorded.session.get(name).and_then(Value::as_str).unwrap_or_default();
    let title = format!("Session {id}");
    let body = html! {
        main.replay #main {
            p.back { a href="/sessions" { "← Sessions" } }
            div.head {
                h1 { (words::visible(said("principal"))) " on " (words::visible(said("target"))) }
                p.count { @if is_live { span.chip.good { "live" } } @else { span.chip { "over" } } }
            }
            (facts(&id, &recorded, &moments))
            @if is_live { p { a.button href={ "/sessions/" (words::encoded(&id)) "/tail" } { "Watch it live" } } }
            @if may_end { (sessions::ending(&visitor, &id)) }
            @if total == 0 {
                section.panel { h2 { "Nothing was done in it" } p { "Statements appear here with what was decided and what came back." } }
            } @else { (player(&id, &recorded, &moments, place.step)) }
            (search(&id, &place, found.as_ref()))
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: &title, at: "/sessions", body, live: None })
        .into_response())
}

fn back(error: AdminError) -> Problem {
    Problem::from(error).with_onward("Back to the sessions", "/sessions")
}

/// A session of which there is no recording: what the journal knows of it is all there is.
async fn unrecorded(pages: &Pages, visitor: &Visitor, id: &str) -> Result<Response, Problem> {
    let look = Look { session: Some(id.to_owned()), ..Look::default() };
    let known = pages.gateway.records(look).await?.found;
    let live = pages.gateway.sessions().list().into_iter().find(|live| live.id == id);
    if known.is_empty() && live.is_none() {
        return Err(back(AdminError::Missing(format!("session {id}, as far back as was looked"))));
    }
    let may_end = live.is_some() && pages.gateway.may(visitor.guest(), Right::EndSessions);
    let may_look = pages.gateway.may(visitor.guest(), Right::SeeJournal);
    let title = format!("Session {id}");
    let body = html! {
        main #main {
            p.back { a href="/sessions" { "← Sessions" } }
            div.head {
                h1 { (words::visible(known.iter().find_map(|record| record.principal.as_deref()).unwrap_or("A session"))) }
                p.count { @if live.is_some() { span.chip.good { "live" } } @else { span.chip { "over" } } }
            }
            section.panel {
                h2 { "There is no recording of it" }
                p { "Policies say what is recorded: a policy with " code { "@record(\"required\")" } " has its sessions recorded, as their clients saw them. What was decided stands in the journal all the same." }
                @if may_look { p { a.button href={ "/journal?session=" (words::encoded(id)) } { "See what was decided" } } }
            }
            @if may_end { (sessions::ending(visitor, id)) }
        }
    };
    let page = Page { title: &title, at: "/sessions", body, live: None };
    Ok(frame::page(pages, visitor, page).into_response())
}

fn facts(id: &str, recorded: &Recorded, moments: &[Moment]) -> Markup {
    let said = |name: &str| recorded.session.get(name).and_then(Value::as_str).unwrap_or_default();
    let acted_for: Vec<&str> = recorded
        .session
        .get("on_behalf_of")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let began = recorded.session.get("began_us").and_then(Value::as_i64).map(|us| us / 1_000_000);
    let out = moments.iter().filter(|moment| stands_out(moment.verdict)).count();
    html! {
        dl.facts {
            @if !acted_for.is_empty() { div { dt { "For" } dd { (words::visible(&acted_for.join(", "))) } } }
            @if let Some(began) = began { div { dt { "Began" } dd { (words::moment(began)) } } }
            @if let Some(ended) = &recorded.ended {
                div {
                    dt { "Ended" }
                    dd { "after " (clock(recorded.ended_us.unwrap_or_default())) ", " (words::visible(ended.get("why").and_then(Value::as_str).unwrap_or_default())) }
                }
            }
            @for (name, title) in [("address", "From"), ("application", "With"), ("purpose", "To")] {
                @if !said(name).is_empty() { div { dt { (title) } dd { (words::visible(said(name))) } } }
            }
            div { dt { "Steps" } dd { (moments.len()) @if out > 0 { ", " (out) " refused or held" } } }
            div { dt { "Session" } dd { code { (words::visible(id)) } } }
        }
    }
}

// ---------------------------------------------------------------------- the player

fn player(id: &str, recorded: &Recorded, moments: &[Moment], at: u64) -> Markup {
    let path = format!("/sessions/{}", words::encoded(id));
    let total = moments.len();
    let last = total.saturating_sub(1);
    let here = usize::try_from(at).unwrap_or(usize::MAX).min(last);
    let marks: Vec<usize> =
        (0..).zip(moments).filter(|(_, moment)| stands_out(moment.verdict)).map(|(n, _)| n).collect();
    let before = marks.iter().rev().find(|mark| **mark < here).copied();
    let after = marks.iter().find(|mark| **mark > here).copied();
    let told: Vec<String> = marks.iter().take(MOST_MARKS).map(ToString::to_string).collect();
    let to = |n: Option<usize>| n.map(|n| format!("{path}?step={n}"));
    html! {
        section.panel.player aria-label="The recording" data-player=(path) data-total=(total) data-step=(here) data-marks=(told.join(",")) {
            (timeline(moments))
            form.scrub method="get" action=(path) {
                label.hidden for="step" { "Step, counted from 0" }
                input #step name="step" type="range" min="0" max=(last) value=(here) aria-label="Where in the recording";
                button.without-script type="submit" { "Go" }
            }
            div.controls {
                (control("mark-before", to(before), "Refusal or hold before", "M6 5v14M18 5l-8 7 8 7z", "p"))
                (control("before", to(here.checked_sub(1)), "Step back", "M15 5l-8 7 8 7z", ""))
                button.primary.play type="button" hidden data-do="play" aria-label="Play" aria-pressed="false" {
                    span.when-still { (frame::icon("M8 5l11 7-11 7z")) } span.when-playing { (frame::icon("M8 5v14M16 5v14")) }
                }
                (control("after", to(Some(here + 1).filter(|n| *n <= last)), "Step on", "M9 5l8 7-8 7z", ""))
                (control("mark-after", to(after), "Next refusal or hold", "M18 5v14M6 5l8 7-8 7z", "n"))
                label.speed hidden {
                    span.hidden-word { "Speed" }
                    select data-do="speed" aria-label="Speed" {
                        @for speed in ["0.5", "1", "2", "4", "8", "32"] { option value=(speed) selected[speed == "1"] { (speed) "×" } }
                    }
                }
            }
            p.position data-position { "Step " (here + 1) " of " (total) }
            ol.stage data-stage { @for step in chunk(&recorded.steps) { (stage(&path, step, step.index != at)) } }
            p.problem role="alert" data-trouble hidden {}
            p.hint.keys-hint { kbd { "space" } " plays and pauses, " kbd { "←" } " " kbd { "→" } " step, " kbd { "p" } " " kbd { "n" } " jump to refusals and holds." }
        }
    }
}

fn control(what: &str, to: Option<String>, says: &str, picture: &str, key: &str) -> Markup {
    let off = to.is_none();
    html! {
        a.button href=[to] data-do=(what) data-play-key=[(!key.is_empty()).then_some(key)] aria-label=(says) title=(says) aria-disabled[off] role="link" {
            (frame::icon(picture))
        }
    }
}

/// How much happened when, and where something was refused or held; by steps, so that idle hours take no room.
fn timeline(moments: &[Moment]) -> Markup {
    let total = moments.len().max(1);
    let bars = total.min(BARS);
    let mut counted = vec![(0_usize, 0_u64, false, false); bars];
    let mut last = 0;
    for (n, moment) in moments.iter().enumerate() {
        let Some(bar) = counted.get_mut(n * bars / total) else { continue };
        bar.0 += 1;
        bar.1 += moment.at_us.saturating_sub(last);
        last = moment.at_us;
        let kind = steps::kind(moment.verdict);
        bar.2 |= kind == Kind::Refused;
        bar.3 |= kind == Kind::Held;
    }
    // The quicker they came, the higher.
    let pace = |bar: &(usize, u64, bool, bool)| bar.0 as f64 / (bar.1 as f64 + 1000.0);
    let most = counted.iter().map(pace).fold(f64::MIN_POSITIVE, f64::max);
    let width = 1000.0 / bars as f64;
    html! {
        svg.timeline viewBox="0 0 1000 40" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            @for (n, bar) in counted.iter().enumerate() {
                @let height = 4.0 + 28.0 * (pace(bar) / most).sqrt();
                @let class = if bar.2 { "bad" } else if bar.3 { "wait" } else { "quiet" };
                rect class=(class) x=(format!("{:.1}", n as f64 * width)) width=(format!("{:.1}", (width - 1.0).max(0.6)))
                    y=(format!("{:.1}", 40.0 - height)) height=(format!("{height:.1}")) {}
            }
        }
    }
}

/// Steps as far as they fit into a page.
fn chunk(all: &[Step]) -> impl Iterator<Item = &Step> {
    let mut left = MOST_BYTES;
    all.iter()
        .enumerate()
        .take_while(move |(n, step)| {
            let size = steps::whole(step, None, Part::FIRST).into_string().len();
            let fits = *n == 0 || size <= left;
            left = left.saturating_sub(size);
            fits
        })
        .map(|(_, step)| step)
}

fn stage(path: &str, step: &Step, hidden: bool) -> Markup {
    let more = format!("{path}/steps/{}", step.index);
    html! {
        li.step data-step=(step.index) data-at=(step.at_us) data-clock=(clock(step.at_us)) hidden[hidden] { (steps::whole(step, Some(&more), Part::FIRST)) }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct From {
    from: u64,
}

/// More steps for a page that plays.
async fn more(
    State(pages): Here,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(From { from }): Query<From>,
) -> Result<Html<String>, Problem> {
    let by = visitor.guest().id().to_string();
    let read = pages.gateway.recording(&id, wanted(from, AT_ONCE), std::time::Duration::ZERO, &by).await?;
    let path = format!("/sessions/{}", words::encoded(&id));
    Ok(Html(html! { ol { @for step in chunk(&read.steps) { (stage(&path, step, true)) } } }.into_string()))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Rows {
    row: usize,
}

/// One step with more of its rows.
async fn one(
    State(pages): Here,
    visitor: Visitor,
    Path((id, step)): Path<(String, u64)>,
    Query(Rows { row }): Query<Rows>,
) -> Result<Html<String>, Problem> {
    let by = visitor.guest().id().to_string();
    let wanted =
        Wanted { from: step, limit: Some(1), rows: row.saturating_add(MORE_ROWS), ..Wanted::default() };
    let read = pages.gateway.recording(&id, wanted, std::time::Duration::ZERO, &by).await?;
    let gone = || {
        Problem::new(axum::http::StatusCode::NOT_FOUND, "There is no such step", "The recording has fewer.")
    };
    let one = read.steps.first().ok_or_else(gone)?;
    let path = format!("/sessions/{}", words::encoded(&id));
    let next = format!("{path}/steps/{step}?row={}", row.saturating_add(MORE_ROWS));
    let title = format!("Step {}", step + 1);
    let body = html! {
        main #main {
            p.back { a href={ (path) "?step=" (step) } { "← Back to the recording" } }
            div.head { h1 { (title) } @if row > 0 { p.count { "from row " (row + 1) } } }
            section.panel { (steps::whole(one, Some(&next), Part { skip: row, most: MOST_BYTES })) }
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: &title, at: "/sessions", body, live: None }))
}

// ---------------------------------------------------------------------- searching in it

struct Found {
    hits: Vec<Step>,
    /// Where to go on.
    next: Option<u64>,
}

async fn find(pages: &Pages, id: &str, place: &Place, by: &str) -> Result<Found, Problem> {
    let mut found = Found { hits: Vec::new(), next: Some(place.from) };
    for _ in 0..MOST_PARTS {
        let Some(from) = found.next else { break };
        let wanted =
            Wanted { from, limit: Some(usize::MAX), find: Some(place.find.clone()), ..Wanted::default() };
        let read = pages.gateway.recording(id, wanted, std::time::Duration::ZERO, by).await?;
        found.next = read.next;
        for step in read.steps {
            if found.hits.len() >= MOST_FOUND {
                found.next = Some(step.index);
                return Ok(found);
            }
            found.hits.push(step);
        }
    }
    Ok(found)
}

fn search(id: &str, place: &Place, found: Option<&Found>) -> Markup {
    let path = format!("/sessions/{}", words::encoded(id));
    html! {
        section.panel aria-labelledby="search" {
            h2 #search { "Search in it" }
            form.filters role="search" method="get" action={ (path) "#search" } {
                div { label for="find" { "In statements and results" } input #find name="find" type="text" value=(place.find); }
                button type="submit" { "Search" }
            }
            @if let Some(Found { hits, next }) = found {
                p role="status" {
                    @match hits.len() { 0 => { "Nothing was found" } 1 => { "One step was found" } n => { (n) " steps were found" } }
                    @if next.is_some() { " so far" } "."
                }
                ul.rows {
                    @for step in hits {
                        li {
                            a href={ (path) "?step=" (step.index) } { code.sql.short { (words::glance(steps::said(step), 140)) } }
                            span.foot { (steps::chip(step.verdict)) span { "step " (step.index + 1) } span { (clock(step.at_us)) } }
                        }
                    }
                }
                @if let Some(next) = next {
                    p { a.button href={ (path) "?find=" (words::encoded(&place.find)) "&from=" (next) "#search" } { "Search on" } }
                }
            }
        }
    }
}

// ---------------------------------------------------------------------- watching it

/// The last steps of a session, and those that come.
async fn tail(State(pages): Here, visitor: Visitor, Path(id): Path<String>) -> Result<Response, Problem> {
    let by = visitor.guest().id().to_string();
    let found = pages.gateway.sessions().list().into_iter().find(|live| live.id == id);
    let is_live = found.is_some();
    let gateway = &pages.gateway;
    let ask = |from| gateway.recording(&id, wanted(from, AT_ONCE), std::time::Duration::ZERO, &by);
    // How many there are is known when it was gone through.
    let known = match ask(u64::MAX).await {
        Ok(whole) => whole.known,
        Err(AdminError::Missing(_)) => return unrecorded(&pages, &visitor, &id).await,
        Err(error) => return Err(back(error)),
    };
    let read = ask(known.saturating_sub(LAST)).await.map_err(back)?;
    let said = |name: &str| read.session.get(name).and_then(Value::as_str).unwrap_or_default();
    let path = format!("/sessions/{}", words::encoded(&id));
    let may_end = is_live && pages.gateway.may(visitor.guest(), Right::EndSessions);
    let title = format!("Session {id}, live");
    let body = html! {
        main.replay #main {
            p.back { a href="/sessions" { "← Sessions" } }
            div.head {
                h1 { (words::visible(said("principal"))) " on " (words::visible(said("target"))) }
                p.count #standing data-live-part=(is_live) {
                    @if is_live { span.chip.good { "live" } } @else { span.chip { "over" } }
                }
            }
            p { a.button href=(path) { "Play it from the beginning" } }
            div #ending data-live-part=(is_live) { @if may_end { (sessions::ending(&visitor, &id)) } }
            div #quiet data-live-part=(read.steps.is_empty()) {
                @if read.steps.is_empty() {
                    section.panel { h2 { "Nothing yet" } p { "What is done in it appears here by itself, with what comes back." } }
                }
            }
            ol.tail #tail data-live-list="grows" {
                @for step in chunk(&read.steps) {
                    li.panel.step id={ "t-" (step.index) } data-live-part=(step.done) {
                        (steps::whole(step, Some(&format!("{path}/steps/{}", step.index)), Part::FIRST))
                    }
                }
            }
        }
    };
    let live = Some(format!("/live?session={}", words::encoded(&id)));
    Ok(frame::page(&pages, &visitor, Page { title: &title, at: "/sessions", body, live }).into_response())
}
