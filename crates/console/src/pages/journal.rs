//! The journal: looked up backwards by what is known of its records, and checked as a whole.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use axum::routing::{get, post};
use gateway::records::{Look, Record, Verified};
use maud::{Markup, html};
use policy::rights::Right;
use serde_json::Value;

use super::asked::Query;
use super::frame::{self, Page};
use super::problem::Problem;
use super::visitor::{Submitted, Visitor};
use super::{Pages, Routes, words};

type Here = State<Arc<Pages>>;

/// Kinds of records that can be asked for, and in words.
const KINDS: &[(&str, &str)] = &[
    ("", "everything"),
    ("refused,unreadable", "refused statements"),
    ("held,answered", "held statements and answers"),
    ("allowed", "allowed statements"),
    ("opened,closed,killed", "sessions"),
    ("login_refused,break_glass", "refused logins and emergencies"),
    ("administered,issued", "what people changed"),
    ("gateway,started,recovered,resumed", "the gateway's own"),
];
/// A text of a record is shown up to so many characters.
const LONGEST: usize = 400;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.page("/journal", Right::SeeJournal, get(page)).page(
        "/journal/verify",
        Right::SeeJournal,
        post(verify),
    )
}

async fn page(
    State(pages): Here,
    visitor: Visitor,
    Query(look): Query<Look>,
) -> Result<Html<String>, Problem> {
    let records = pages.gateway.records(look.clone()).await;
    let records =
        records.map_err(|error| Problem::from(error).with_onward("The whole journal", "/journal"))?;
    let may_ask = pages.gateway.may(visitor.guest(), Right::SeePolicies);
    let body = html! {
        main #main {
            div.head {
                h1 { "Journal" }
                form method="post" action="/journal/verify" {
                    input type="hidden" name="csrf" value=(visitor.csrf());
                    button type="submit" { "Verify it" }
                }
            }
            (filters(&look))
            @if records.found.is_empty() {
                section.panel {
                    h2 { "Nothing was found" @if let Some(to) = &records.back_to { " back to " (words::moment_of(to)) } }
                    p { "Every statement, every decision and every change made by people is written here before it has an effect. Ask for less above, or look further back." }
                }
            }
            ul.rows.panel.records { @for record in &records.found { (row(record, may_ask)) } }
            @if let Some(older) = &records.older {
                p { a.button href=(link(&look, older)) { "Look further back" @if let Some(to) = &records.back_to { " than " (words::moment_of(to)) } } }
            }
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: "Journal", at: "/journal", body, live: None }))
}

fn link(look: &Look, before: &str) -> String {
    let Look { principal, target, table, verdict, text, session, since, until, before: _ } = look;
    let mut link = "/journal?".to_owned();
    for (name, value) in [
        ("principal", principal.as_str()),
        ("target", target),
        ("table", table),
        ("verdict", verdict),
        ("text", text),
        ("session", session.as_deref().unwrap_or_default()),
        ("since", since),
        ("until", until),
        ("before", before),
    ] {
        if !value.is_empty() {
            link.push_str(&format!("{name}={}&", words::encoded(value)));
        }
    }
    link.trim_end_matches(['&', '?']).to_owned()
}

fn filters(look: &Look) -> Markup {
    let field = |name: &str, says: &str, value: &str, like: &str| {
        html! {
            div {
                label for=(name) { (says) }
                input id=(name) name=(name) type="text" value=(value) placeholder=(like) autocomplete="off";
            }
        }
    };
    let set =
        [&look.target, &look.table, &look.since, &look.until].into_iter().any(|value| !value.is_empty());
    html! {
        form.filters role="search" method="get" action="/journal" {
            (field("text", "Text", &look.text, ""))
            (field("principal", "Who", &look.principal, "agent:claude"))
            div {
                label for="verdict" { "What" }
                select #verdict name="verdict" { @for (kinds, says) in KINDS { option value=(kinds) selected[*kinds == look.verdict] { (says) } } }
            }
            details.wide open[set] {
                summary { "Target, table, time" }
                div.filters {
                    (field("target", "Target", &look.target, ""))
                    (field("table", "Table", &look.table, "shop.orders"))
                    (field("since", "From (UTC)", &look.since, "2026-11-26T12:00"))
                    (field("until", "Before (UTC)", &look.until, "2026-11-27"))
                }
            }
            @if let Some(session) = &look.session { input type="hidden" name="session" value=(session); }
            button type="submit" { "Look" }
            a.button.quiet href="/journal" { "Everything" }
        }
    }
}

/// Its kind in words, and how it looks.
fn kind(kind: &str) -> (&str, &'static str) {
    match kind {
        "allowed" => ("allowed", "chip good"),
        "refused" => ("refused", "chip bad"),
        "unreadable" => ("unreadable", "chip bad"),
        "login_refused" => ("not let in", "chip bad"),
        "break_glass" => ("emergency", "chip bad"),
        "killed" => ("ended from outside", "chip bad"),
        "held" => ("held", "chip wait"),
        "answered" => ("answered", "chip wait"),
        "administered" => ("changed", "chip"),
        "gateway" => ("the gateway's own", "chip"),
        other => (other, "chip"),
    }
}

fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

fn row(record: &Record, may_ask: bool) -> Markup {
    let name = record.text("kind");
    let (says, class) = kind(name);
    let session = record.text("session");
    let statement = record.text("text");
    html! {
        li {
            p.line-of {
                span class=(class) { (says) }
                @if let Some(who) = &record.principal { strong { (words::visible(who)) } }
                @if let Some(target) = &record.target { span { "on " (words::visible(target)) } }
                span { (words::moment_of(record.text("time"))) }
            }
            @if !statement.is_empty() { code.sql.short { (words::glance(statement, LONGEST)) } }
            @let said = saying(record);
            @if !said.is_empty() { p.said { (words::visible(&cut(&said))) } }
            p.foot {
                @if !session.is_empty() { a href={ "/sessions/" (words::encoded(session)) } { "session " (words::visible(session)) } }
                @if !record.text("request").is_empty() {
                    a href={ "/requests/" (words::encoded(record.text("request"))) } { "request " (words::visible(record.text("request"))) }
                }
                @if name == "refused" && may_ask && !statement.is_empty() {
                    a href={ "/policies/explain?principal=" (words::encoded(record.principal.as_deref().unwrap_or_default()))
                        "&target=" (words::encoded(record.target.as_deref().unwrap_or_default()))
                        "&statement=" (words::encoded(&statement.replace('?', "NULL"))) } { "Why was this refused?" }
                }
            }
        }
    }
}

/// What else a record says, in a line.
fn saying(record: &Record) -> String {
    let text = |name: &str| record.text(name);
    let number = |name: &str| record.line.get(name).and_then(Value::as_u64).unwrap_or_default();
    let by = || {
        let policies = record.line.get("policies").and_then(Value::as_array).into_iter().flatten();
        policies.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    match text("kind") {
        "refused" | "unreadable" | "login_refused" => {
            let by = by();
            if by.is_empty() { text("reason").to_owned() } else { format!("{} (by {by})", text("reason")) }
        }
        "allowed" => by(),
        "administered" => format!("{}: {}", text("what"), text("detail")).trim_end_matches(": ").to_owned(),
        "answered" => text("answer").to_owned(),
        "killed" => text("why").to_owned(),
        "gateway" => text("purpose").to_owned(),
        "issued" => format!("a token for {}", text("principal")),
        "opened" => format!("from {} with {}", text("address"), text("application")),
        "outcome" => {
            let failed = if text("sqlstate").is_empty() {
                String::new()
            } else {
                format!(", failed with {}", text("sqlstate"))
            };
            let rows = if number("rows") == 1 { "row" } else { "rows" };
            format!("{} {rows} in {} ms{failed}", number("rows"), number("duration_us") / 1000)
        }
        "closed" => format!(
            "{}; {} statements, {} refused, {} rows",
            text("why"),
            number("operations"),
            number("refusals"),
            number("rows")
        ),
        _ => String::new(),
    }
}

async fn verify(State(pages): Here, Submitted { visitor, .. }: Submitted) -> Result<Html<String>, Problem> {
    let verified = pages.gateway.verify_records(&visitor.guest().id().to_string()).await?;
    let body = html! {
        main #main {
            p.back { a href="/journal" { "← Journal" } }
            div.head { h1 { @if verified.is_ok() { "The journal is as it was written" } @else { "The journal does not verify" } } }
            @match &verified {
                Ok(verified) => { (report(verified)) }
                Err(why) => {
                    p.problem role="alert" { (words::visible(why)) }
                    p { "Somebody or something changed it after it was written. Keep the files as they are, and compare them with a backup: " code { "durward audit verify" } " does the same without the gateway." }
                }
            }
        }
    };
    Ok(frame::page(&pages, &visitor, Page { title: "Verified", at: "/journal", body, live: None }))
}

fn report(Verified { journal, recordings }: &Verified) -> Markup {
    html! {
        section.panel {
            p { strong { (journal.records) } " records of " (journal.sessions) " sessions: none was changed, removed or moved." }
            p {
                strong { (recordings.whole) } " recordings are whole and as the journal knows them"
                @if !recordings.open.is_empty() { "; " (recordings.open.len()) " more up to what it last said of them" }
                @if recordings.forgotten > 0 { "; " (recordings.forgotten) " were forgotten in their time" }
                "."
            }
            @if !recordings.lossy.is_empty() { p.problem { "These say themselves that they lost something: " (words::visible(&recordings.lossy.join(", "))) } }
            @if !journal.open.is_empty() { p { (journal.open.len()) " sessions have no end: they are live, or a crash cut them off." } }
            p { "Its head is" }
            pre.copy { code #head { (journal.head) } }
            p.hint { "Keep the head elsewhere: it shows later whether the end was cut off, or the whole made anew." }
        }
    }
}
