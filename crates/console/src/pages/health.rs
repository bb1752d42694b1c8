//! How the gateway is, in words: what `/readyz` and `/metrics` tell programs.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use axum::routing::get;
use gateway::gateway::{Files, Status};
use gateway::state::Trouble;
use gateway::targets::Contact;
use maud::{Markup, html};
use policy::rights::Right;

use super::frame::{self, Page};
use super::visitor::Visitor;
use super::{Pages, Routes, words};

/// What is counted: the name, and what it is called here.
const COUNTED: &[(&str, &str)] = &[
    ("durward_sessions_opened_total", "sessions were let in since it started"),
    ("durward_operations_allowed_total", "statements were allowed"),
    ("durward_operations_denied_total", "statements were refused"),
    ("durward_operations_held_total", "statements were held for people"),
    ("durward_holds_waiting", "statements wait for people"),
    ("durward_journal_lag_records", "records are not on disk yet"),
    ("durward_recordings_lost_events", "events could not be recorded"),
];

pub(super) fn routes(routes: Routes) -> Routes {
    routes.page("/health", Right::SeeHealth, get(page))
}

async fn page(State(pages): State<Arc<Pages>>, visitor: Visitor) -> Html<String> {
    let Status { health, version, configuration, policies, problem } = pages.gateway.status().await;
    let metrics = pages.gateway.metrics_page().await;
    let body = html! {
        main #main {
            div.head {
                h1 { "Health" }
                p.count { @if health.ready { span.chip.good { "ready" } } @else { span.chip.bad { "not ready" } } }
            }
            @if !health.ready {
                p.problem role="alert" {
                    @if health.draining { "It is about to end, and takes no new sessions." }
                    @else if !health.journal { "The journal cannot be written, so nothing is forwarded. Look at the disk that it is on." }
                    @else { (store_says(health.store_trouble)) ". Look at the store." }
                }
            }
            @if let Some(problem) = &problem { p.problem { "The configuration files are not in force: " (words::visible(problem)) } }
            section.panel aria-labelledby="parts" {
                h2 #parts { "Its parts" }
                ul.rows {
                    (part("Journal", health.journal, "can be written", "cannot be written: nothing is forwarded"))
                    (part("Store", health.store, "can be written", store_says(health.store_trouble)))
                    (part("Configuration files", health.files == Files::Valid, "are in force, where there are any", "are not valid: what was in force before is"))
                    @for (name, usable) in &health.issuers {
                        (part(&format!("Issuer {name}"), *usable, "has keys: its tokens can be checked", "has no keys yet: nobody comes in by its tokens"))
                    }
                    @for (name, contact) in &health.introspection {
                        (part(&format!("Introspection of {name}"), *contact != Contact::Unreachable, "answers", "does not answer: nobody comes in by its word"))
                    }
                    @for (name, contact) in &health.targets {
                        li.split {
                            a href={ "/targets/" (words::encoded(name)) } { "Target " (words::visible(name)) }
                            (contact_chip(*contact))
                        }
                    }
                }
            }
            section.panel aria-labelledby="counted" {
                h2 #counted { "What was counted" }
                ul.rows {
                    li { strong { (health.sessions) } " " @if health.sessions == 1 { "session is open now" } @else { "sessions are open now" } }
                    @for (name, says) in COUNTED {
                        @if let Some(value) = number(&metrics, name) { li { strong { (value) } " " (says) } }
                    }
                }
                p.hint { "All of it, for programs: " code { "/metrics" } ", " code { "/readyz" } "." }
            }
            dl.facts {
                div { dt { "Version" } dd { (version) } }
                div { dt { "Configuration" } dd { code { (words::visible(&short(&configuration))) } } }
                div { dt { "Policies" } dd { code { (words::visible(&short(&policies))) } } }
            }
        }
    };
    frame::page(&pages, &visitor, Page { title: "Health", at: "/health", body, live: None })
}

pub(super) fn short(digest: &str) -> String {
    digest.chars().take(16).collect()
}

fn store_says(trouble: Option<Trouble>) -> &'static str {
    match trouble {
        None | Some(Trouble::Unreachable) => "The store does not answer, so nobody new comes in",
        Some(Trouble::Full) => "The store is full, so nothing can be changed, asked for or approved",
        Some(Trouble::ReadOnly) => {
            "The store may only be read (a replica, or made so), so nothing can be changed, asked for or approved"
        }
        Some(Trouble::Refused) => {
            "The store does not let the gateway write, so nothing can be changed, asked for or approved"
        }
        Some(Trouble::Damaged) => "The store is damaged, so nothing can be changed, asked for or approved",
        Some(Trouble::Failing) => "The store fails, so nothing can be changed, asked for or approved",
    }
}

fn part(name: &str, good: bool, says: &str, problem: &str) -> Markup {
    html! {
        li.split {
            span { strong { (words::visible(name)) } " " @if good { (says) } @else { (problem) } }
            @if good { span.chip.good { "good" } } @else { span.chip.bad { "bad" } }
        }
    }
}

/// How a target was last met.
pub(super) fn contact_chip(contact: Contact) -> Markup {
    html! {
        span.chip.good[contact == Contact::Reachable].bad[contact.is_good() == Some(false)] { (contact.words()) }
    }
}

/// A number of the metrics' page.
fn number<'m>(metrics: &'m str, name: &str) -> Option<&'m str> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_number_is_found_by_its_whole_name() {
        let metrics = "# HELP x\ndurward_sessions_opened_total 3\ndurward_sessions 7\n";
        for (name, value) in [
            ("durward_sessions", Some("7")),
            ("durward_session", None),
            ("durward_sessions_opened_total", Some("3")),
        ] {
            assert_eq!(super::number(metrics, name), value, "{name}");
        }
    }
}
