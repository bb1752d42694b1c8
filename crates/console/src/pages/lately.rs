//! Around a request: what the same session did lately.

use gateway::records::Look;
use maud::{Markup, html};
use model::Request;
use policy::rights::Right;

use super::visitor::Visitor;
use super::{Pages, words};

/// So many of the session's last statements are shown.
const LAST: usize = 8;

/// What the session did before it asked. It is a help and no more: where it cannot be read, nothing is shown.
pub(super) async fn statements(pages: &Pages, visitor: &Visitor, request: &Request) -> Markup {
    // Access is asked for in no session, and nothing is what it did before.
    if request.session.is_empty() {
        return html! {};
    }
    let look = Look {
        session: Some(request.session.clone()),
        verdict: "allowed,refused,unreadable,held".to_owned(),
        ..Look::default()
    };
    let records = pages.gateway.records(look).await.map(|records| records.found).unwrap_or_default();
    let of_this =
        |r: &&gateway::records::Record| r.text("request") != request.id && !r.text("text").is_empty();
    let last: Vec<_> = records.iter().filter(of_this).take(LAST).collect();
    let may_see = pages.gateway.may(visitor.guest(), Right::SeeSessions);
    html! {
        @if !last.is_empty() {
            section.panel aria-labelledby="lately" {
                h2 #lately { "What the session did lately" }
                ul.rows {
                    @for record in &last {
                        @let kind = record.text("kind");
                        li {
                            code.sql.short { (words::glance(record.text("text"), 120)) }
                            span.foot {
                                span class=(if kind == "allowed" { "chip good" } else if kind == "held" { "chip wait" } else { "chip bad" }) { (words::visible(kind)) }
                                span { (words::moment_of(record.text("time"))) }
                            }
                        }
                    }
                }
                @if may_see { p { a href={ "/sessions/" (words::encoded(&request.session)) } { "See the whole session" } } }
            }
        }
    }
}
