//! What is too long for the page of its request: there it is cut, and says so; here all of it is shown, in parts. It is approved
//! where the last of them is, so that nobody says yes to what they had no sight of.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use axum::routing::get;
use gateway::visible::seen;
use maud::{Markup, html};
use model::{Request, Status};
use policy::rights::Right;
use serde::Deserialize;

use super::asked::Query;
use super::doubts::doubts;
use super::frame::{self, Page};
use super::problem::Problem;
use super::visitor::Visitor;
use super::{Pages, Routes, request, words};

/// So much of what others wrote is shown on the page of a request, in bytes of the page.
pub(super) const ROOM: usize = 32 * 1024;
/// A part of what is longer has so many.
const PART: usize = 96 * 1024;
/// What a value takes beside its text, in bytes of a page.
const AROUND: usize = 90;
/// So many characters are left of a text that is cut, of a value, and so many of the values.
const SHORT_TEXT: usize = 4000;
const SHORT_VALUE: usize = 300;
const FEW: usize = 40;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.page("/requests/{id}/whole", Right::Inbox, get(page))
}

/// What a text takes of a page, in bytes.
fn size(text: &str) -> usize {
    seen(text).map(|(_, c, is_plain)| if is_plain { c.len_utf8() } else { 80 }).sum()
}

/// The same of all that a request says at length.
pub(super) fn size_of(request: &Request) -> usize {
    let values: usize = request.values.iter().map(|value| AROUND + value.as_deref().map_or(4, size)).sum();
    let steps = request.preview.ordered.iter().flat_map(|plan| &plan.steps);
    // The words of a statement are told apart.
    3 * size(&request.text) + values + steps.map(|step| 3 * size(&step.text)).sum::<usize>()
}

/// A request as its page shows it.
pub(super) struct Shortened<'a> {
    pub request: Cow<'a, Request>,
    /// What of it is left out, in words; nothing where all is shown.
    pub left_out: Vec<String>,
}

/// What is long is cut, so that it hides nothing of what stands behind it.
pub(super) fn shortened(request: &Request) -> Shortened<'_> {
    if size_of(request) <= ROOM {
        return Shortened { request: Cow::Borrowed(request), left_out: Vec::new() };
    }
    let mut short = request.clone();
    let mut left_out = Vec::new();
    let mut cut = |name: &str, text: &mut String, most: usize| {
        let all = text.chars().count();
        if all > most {
            *text = text.chars().take(most).chain(std::iter::once('…')).collect();
            left_out.push(format!("{} of the {all} characters of {name}", all - most));
        }
    };
    if let Some(plan) = &mut short.preview.ordered {
        let most = (SHORT_TEXT / plan.steps.len().max(1)).max(200);
        for (n, step) in (1..).zip(&mut plan.steps) {
            cut(&format!("statement {n}"), &mut step.text, most);
        }
    } else {
        cut("the statement", &mut short.text, SHORT_TEXT);
    }
    for (n, value) in (1..).zip(short.values.iter_mut().take(FEW)) {
        if let Some(text) = value {
            cut(&format!("${n}"), text, SHORT_VALUE);
        }
    }
    if short.values.len() > FEW {
        left_out.push(format!("{} of the {} values", short.values.len() - FEW, short.values.len()));
        short.values.truncate(FEW);
    }
    if left_out.is_empty() {
        left_out.push("nothing but the order of its parts".to_owned());
    }
    Shortened { request: Cow::Owned(short), left_out }
}

/// Says what is left out on the page of a request, and where all of it is.
pub(super) fn notice(request: &Request, left_out: &[String]) -> Markup {
    html! {
        @if !left_out.is_empty() {
            div.problem #left-out {
                p { "It is too long for this page. Not shown here:" }
                ul {
                    @for line in left_out.iter().take(FEW) { li { (words::visible(line)) } }
                    @if left_out.len() > FEW { li { "and " (left_out.len() - FEW) " more like these" } }
                }
                p { a.button href={ "/requests/" (request.id) "/whole" } { "See the whole" } }
            }
        }
    }
}

/// A piece of what a request says: what it is of, where it begins, and its text, which nothing is where it is NULL.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    name: String,
    /// Characters before it, and all there are.
    at: (usize, usize),
    text: Option<String>,
    is_statement: bool,
}

/// All that a request says, in parts that are no longer than a page may be.
fn parts(request: &Request) -> Vec<Vec<Piece>> {
    let kinds = request.circumstances.kinds.iter().map(String::as_str).chain(std::iter::repeat(""));
    let mut parts = Parts { all: vec![Vec::new()], left: PART };
    match &request.preview.ordered {
        Some(plan) => {
            let all = plan.steps.len();
            for (n, step) in (1..).zip(&plan.steps) {
                parts.take(&format!("Statement {n} of {all}"), Some(&step.text), true);
            }
        }
        None => parts.take("The statement", Some(&request.text), true),
    }
    for ((n, value), kind) in (1..).zip(&request.values).zip(kinds) {
        let name = if kind.is_empty() { format!("${n}") } else { format!("${n}, {kind}") };
        parts.take(&name, value.as_deref(), false);
    }
    parts.all
}

struct Parts {
    all: Vec<Vec<Piece>>,
    left: usize,
}

impl Parts {
    fn take(&mut self, name: &str, text: Option<&str>, is_statement: bool) {
        let whole = text.map_or(0, |text| text.chars().count());
        let (mut rest, mut before) = (text.unwrap_or_default(), 0);
        loop {
            let times = if is_statement { 3 } else { 1 };
            let room = self.left.saturating_sub(AROUND) / times;
            let mut taken = 0;
            let end = seen(rest).find_map(|(at, c, is_plain)| {
                taken += if is_plain { c.len_utf8() } else { 80 };
                (taken > room).then_some(at)
            });
            let (piece, behind) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, ""));
            if piece.is_empty() && !rest.is_empty() {
                self.all.push(Vec::new());
                self.left = PART;
                continue;
            }
            self.left = self.left.saturating_sub(size(piece) * times + AROUND);
            if let Some(part) = self.all.last_mut() {
                let (name, text) = (name.to_owned(), text.map(|_| piece.to_owned()));
                part.push(Piece { name, at: (before, whole), text, is_statement });
            }
            before += piece.chars().count();
            rest = behind;
            if rest.is_empty() {
                if self.left <= AROUND {
                    self.all.push(Vec::new());
                    self.left = PART;
                }
                return;
            }
        }
    }
}

#[derive(Deserialize)]
struct Place {
    /// From 1.
    #[serde(default)]
    part: Option<usize>,
}

async fn page(
    State(pages): State<Arc<Pages>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(place): Query<Place>,
) -> Result<Html<String>, Problem> {
    let request = pages.gateway.request_seen_by(visitor.guest(), &id).await?;
    let mut parts = parts(&request);
    parts.retain(|part| !part.is_empty());
    let all = parts.len().max(1);
    let number = place.part.unwrap_or(1).clamp(1, all);
    let has_keys = !pages.gateway.passkeys(visitor.guest()).await?.is_empty();
    let mine = pages.gateway.may_answer(visitor.guest(), &request);
    let here = format!("/requests/{}", words::encoded(&id));
    let body = html! {
        main.request #main {
            p.back { a href=(here) { "← The request" } }
            div.head {
                h1 { "All that it says" }
                p.count { "part " (number) " of " (all) }
            }
            (doubts(std::slice::from_ref(&request)))
            section.panel aria-label="What it says" {
                @for piece in parts.get(number - 1).into_iter().flatten() { (shown(piece)) }
            }
            (pager(&here, number, all))
            @if number == all && request.status == Status::Pending {
                div #answer { (request::answering_anew(&visitor, &request, &mine, has_keys)) }
            }
        }
    };
    let title = format!("All of request {id}");
    Ok(frame::page(&pages, &visitor, Page { title: &title, at: "/", body, live: None }))
}

fn pager(here: &str, number: usize, all: usize) -> Markup {
    html! {
        @if all > 1 {
            p.row {
                @if number > 1 { a.button href={ (here) "/whole?part=" (number - 1) } { "Before" } }
                @if number < all { a.button href={ (here) "/whole?part=" (number + 1) } { "Next" } }
            }
        }
    }
}

fn shown(piece: &Piece) -> Markup {
    let Piece { name, at: (before, all), text, is_statement } = piece;
    let end = before + text.as_ref().map_or(0, |text| text.chars().count());
    html! {
        h3 { (words::visible(name)) }
        @if end - before < *all { p.foot { "characters " (before + 1) " to " (end) " of " (all) } }
        @match text {
            None => p { em { "NULL" } },
            Some(text) if text.is_empty() => p { em { "an empty text" } },
            Some(text) => pre.sql tabindex="0" aria-label=(name) {
                code { @if *is_statement { (words::statement(text)) } @else { (words::visible(text)) } }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::request;

    fn with(text: &str, values: Vec<Option<String>>) -> Request {
        Request { text: text.to_owned(), values, ..request() }
    }

    #[test]
    fn what_is_long_is_cut_says_so_and_hides_nothing_behind_it() {
        let x = |n: usize| Some("x".repeat(n));
        let many = "a, ".repeat(20_000);
        for (what, request, left_out) in [
            ("short", with("SELECT $1, $2", vec![x(10), None]), &[][..]),
            (
                "a long value",
                with("SELECT $1, $2", vec![x(1_000_000), x(3)]),
                &["999700 of the 1000000 characters of $1"],
            ),
            ("many values", with("SELECT 1", vec![x(1); 6000]), &["5960 of the 6000 values"]),
            ("a long statement", with(&many, vec![]), &["56000 of the 60000 characters of the statement"]),
            // Each hidden character takes as much of a page as a word.
            (
                "hidden",
                with("SELECT $1", vec![Some("\u{200b}".repeat(2000))]),
                &["1700 of the 2000 characters of $1"],
            ),
        ] {
            let Shortened { request: short, left_out: said } = shortened(&request);
            assert_eq!(said, left_out, "{what}");
            assert!(size_of(&short) <= ROOM, "{what}: {}", size_of(&short));
            assert_eq!(notice(&request, &said).into_string().is_empty(), left_out.is_empty(), "{what}");
        }
        let long = with("SELECT $1, $2", vec![x(1_000_000), x(3)]);
        let short = shortened(&long).request;
        assert_eq!(short.values.get(1), long.values.get(1), "what stands behind it is there");
    }

    #[test]
    fn the_parts_of_what_is_long_are_all_of_it() {
        let x = |n: usize| Some("xé".repeat(n));
        for request in [
            with("SELECT $1, $2, $3", vec![x(500_000), None, Some(String::new())]),
            with(&"a, ".repeat(200_000), vec![x(1); 6000]),
            with("SELECT", vec![Some("\u{200b}\n".repeat(3000)), x(3)]),
        ] {
            let parts = parts(&request);
            let mut read = vec![(String::new(), None::<String>)];
            for piece in parts.iter().flatten() {
                if read.last().is_none_or(|(name, _)| *name != piece.name) {
                    assert_eq!(piece.at.0, 0);
                    read.push((piece.name.clone(), piece.text.clone()));
                } else if let (Some((_, Some(all))), Some(text)) = (read.last_mut(), &piece.text) {
                    assert_eq!(piece.at.0, all.chars().count(), "{}", piece.name);
                    all.push_str(text);
                }
            }
            let said: Vec<Option<String>> = read.into_iter().skip(1).map(|(_, text)| text).collect();
            let meant: Vec<Option<String>> =
                std::iter::once(Some(request.text.clone())).chain(request.values.clone()).collect();
            assert!(said == meant, "something is missing");
            for part in &parts {
                let page: usize = part.iter().map(|piece| shown(piece).into_string().len()).sum();
                assert!(page <= 3 * PART, "a part has {page} bytes");
            }
        }
    }
}
