//! A step of a recording as its principal saw it: the statement, what was decided, the results as tables. What is long is cut
//! short, and says so.

use gateway::recordings::{Column, Rest, Shown, Step, Told, Verdict};
use maud::{Markup, html};
use serde_json::Value;

use super::words;

/// A statement is shown up to so many characters.
const LONGEST_TEXT: usize = 6000;
/// A value is shown up to so many characters.
const LONGEST_VALUE: usize = 300;
/// So many columns of a table are shown.
const MOST_COLUMNS: usize = 60;
/// The tables of a step take so much of a page, in bytes.
const MOST_SHOWN: usize = 24 * 1024;

/// How much of a step's results is shown.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// Rows before these are not.
    pub skip: usize,
    /// In bytes.
    pub most: usize,
}

impl Part {
    pub(super) const FIRST: Self = Self { skip: 0, most: MOST_SHOWN };
}

fn text<'s>(step: &'s Step, name: &str) -> &'s str {
    step.said.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'s>(step: &'s Step, name: &str) -> Vec<&'s str> {
    step.said.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What became of it, in a word.
pub(super) fn chip(verdict: Verdict) -> Markup {
    let class = match kind(verdict) {
        Kind::Quiet => "chip good",
        Kind::Refused => "chip bad",
        Kind::Held => "chip wait",
    };
    html! { span class=(class) { (verdict.word()) } }
}

/// How a step looks from afar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Quiet,
    Refused,
    Held,
}

pub(super) fn kind(verdict: Verdict) -> Kind {
    match verdict {
        Verdict::Refused | Verdict::Unreadable | Verdict::Lost => Kind::Refused,
        Verdict::Held | Verdict::Answered => Kind::Held,
        Verdict::Allowed | Verdict::Fetched | Verdict::Told => Kind::Quiet,
    }
}

/// Whether whoever plays it wants to stop there.
pub(super) fn stands_out(verdict: Verdict) -> bool {
    kind(verdict) != Kind::Quiet
}

/// Time since the beginning: `01:02.345`.
pub(super) fn clock(at_us: u64) -> String {
    let millis = at_us / 1000;
    let (hours, minutes, seconds) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
    let rest = format!("{minutes:02}:{seconds:02}.{:03}", millis % 1000);
    if hours > 0 { format!("{hours}:{rest}") } else { rest }
}

/// The statement, or what was said of it.
pub(super) fn said(step: &Step) -> &str {
    let parts = ["text", "reason", "answer"].map(|name| text(step, name));
    parts.into_iter().find(|part| !part.is_empty()).unwrap_or_default()
}

fn cut(text: &str, most: usize) -> (String, usize) {
    let count = text.chars().count();
    if count <= most {
        return (text.to_owned(), 0);
    }
    (text.chars().take(most).collect(), count - most)
}

/// All of it. `more` is where the rows that are not shown are.
pub(super) fn whole(step: &Step, more: Option<&str>, part: Part) -> Markup {
    let statement = text(step, "text");
    let (short, missing) = cut(statement, LONGEST_TEXT);
    html! {
        p.line-of {
            (chip(step.verdict))
            span { "#" (step.index + 1) }
            span { (clock(step.at_us)) }
            @match step.verdict {
                Verdict::Allowed => { @let by = list(step, "policies"); @if !by.is_empty() { span { "by " (words::visible(&by.join(", "))) } } }
                Verdict::Held => { span { "by " (words::visible(&list(step, "holds").join(", "))) } }
                Verdict::Fetched => { span { "more of decision " (step.n) } }
                Verdict::Refused | Verdict::Unreadable | Verdict::Answered | Verdict::Told | Verdict::Lost => {}
            }
        }
        @if !short.is_empty() {
            pre.sql tabindex="0" aria-label={ "Statement " (step.index + 1) } { code { (words::statement(&short)) } }
            @if missing > 0 { p.hint { "… and " (missing) " characters more" } }
        }
        (decided(step))
        (results(step, more, part))
        @if let Some(duration) = step.duration_us {
            @let rows = step.rows.unwrap_or_default();
            p.foot { span { (rows) @if rows == 1 { " row" } @else { " rows" } } span { (milliseconds(duration)) } }
        } @else if !step.done { p.foot { span { "runs …" } } }
    }
}

fn milliseconds(us: u64) -> String {
    format!("{}.{} ms", us / 1000, us % 1000 / 100)
}

/// What the gateway said to it.
fn decided(step: &Step) -> Markup {
    html! {
        @match step.verdict {
            Verdict::Refused | Verdict::Unreadable => {
                p.problem {
                    (words::visible(text(step, "reason")))
                    @if !text(step, "code").is_empty() { " (" (words::visible(text(step, "code"))) ")" }
                }
                @if !text(step, "hint").is_empty() { p.hint { (words::visible(text(step, "hint"))) } }
            }
            Verdict::Held => {
                @let request = text(step, "request");
                p.notice { "It waits for people: " a href={ "/requests/" (words::encoded(request)) } { "request " (words::visible(request)) } }
            }
            Verdict::Answered => {
                @let request = text(step, "request");
                p.notice {
                    a href={ "/requests/" (words::encoded(request)) } { "Request " (words::visible(request)) }
                    ": " (words::visible(text(step, "answer")))
                }
            }
            Verdict::Lost => { p.problem { "Something could not be recorded here." } }
            Verdict::Allowed | Verdict::Fetched | Verdict::Told => {}
        }
        @let effects = list(step, "effects");
        @if !effects.is_empty() {
            ul.effects.small {
                @for line in effects.iter().take(12) {
                    @let (said, danger) = words::effect(line);
                    li.danger[danger] { (words::visible(&said)) }
                }
                @if effects.len() > 12 { li { "and " (effects.len() - 12) " more" } }
            }
        }
    }
}

fn results(step: &Step, more: Option<&str>, part: Part) -> Markup {
    let mut left = part.most;
    let revealed = list(step, "revealed");
    html! {
        @if !revealed.is_empty() {
            p.hint {
                "Whoever ran it got clear values of " (words::visible(&revealed.join(", "))) ". They are recorded as somebody gets them "
                "to whom nothing is revealed."
            }
        }
        @for (n, shown) in step.results.iter().enumerate() {
            @let table = table(shown, &format!("Result {} of statement {}", n + 1, step.index + 1), part.skip, &mut left);
            (table.0)
            @let behind = shown.more + u64::try_from(table.1).unwrap_or(u64::MAX);
            @if behind > 0 {
                p.hint {
                    "… and " (behind) " rows more"
                    @if let Some(more) = more { ": " a href=(more) { "see them" } }
                }
            }
            @if let Some(Rest { bytes, sha256 }) = &shown.rest {
                p.hint { "… and " (bytes) " bytes that are not kept, of SHA-256 " code { (words::visible(sha256)) } }
            }
            @for notice in &shown.notices { (told(notice, false)) }
            @if let Some(error) = &shown.error { (told(error, true)) }
            @if let Some(tag) = &shown.tag { p.tag { (words::visible(tag)) } }
        }
    }
}

fn told(told: &Told, bad: bool) -> Markup {
    let Told { severity, code, message, detail, hint } = told;
    html! {
        div.problem[bad].notice[!bad] {
            strong { (words::visible(severity)) } " " (words::visible(code)) ": " (words::visible(message))
            @for more in [detail, hint].into_iter().flatten() { br; (words::visible(more)) }
        }
    }
}

/// A result as a table, and how many of its rows did not fit.
fn table(shown: &Shown, name: &str, skip: usize, left: &mut usize) -> (Markup, usize) {
    let rows: Vec<&Vec<Option<String>>> = shown.rows.iter().skip(skip).collect();
    if shown.columns.is_empty() && rows.is_empty() {
        return (html! {}, 0);
    }
    let mut fit = Vec::new();
    for row in &rows {
        let size = |cell: &Option<String>| cell.as_ref().map_or(4, |c| c.len().min(LONGEST_VALUE * 2)) + 20;
        let size: usize = row.iter().take(MOST_COLUMNS).map(size).sum();
        if size > *left && !fit.is_empty() {
            *left = 0;
            break;
        }
        *left = left.saturating_sub(size);
        fit.push(*row);
    }
    let hidden = rows.len() - fit.len();
    let table = html! {
        div.scroll tabindex="0" role="region" aria-label=(name) {
            table.result {
                @if !shown.columns.is_empty() {
                    thead {
                        tr {
                            @for column in shown.columns.iter().take(MOST_COLUMNS) { (heading(column)) }
                            @if shown.columns.len() > MOST_COLUMNS { th scope="col" { "and " (shown.columns.len() - MOST_COLUMNS) " more" } }
                        }
                    }
                }
                tbody { @for row in &fit { tr { @for cell in row.iter().take(MOST_COLUMNS) { td { (value(cell.as_deref())) } } } } }
            }
        }
        @if rows.is_empty() && skip == 0 { p.hint { "no rows" } }
    };
    (table, hidden)
}

fn heading(column: &Column) -> Markup {
    html! { th scope="col" { (words::visible(&column.name)) " " span.kind { (words::visible(&column.kind)) } } }
}

fn value(cell: Option<&str>) -> Markup {
    match cell {
        None => html! { em { "NULL" } },
        Some(value) => {
            let (short, missing) = cut(value, LONGEST_VALUE);
            html! { (words::visible(&short)) @if missing > 0 { em { " … " (missing) " more" } } }
        }
    }
}
