//! What is around every page: its head, where one can go, who is there.

use axum::response::Html;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use policy::rights::Right;

use super::visitor::Visitor;
use super::{Pages, assets, words};

/// Somewhere one can go.
pub(super) struct Destination {
    pub title: &'static str,
    pub path: &'static str,
    /// Whoever has this right sees it.
    pub right: Right,
    /// The strokes of its picture, in a square of 24.
    icon: &'static str,
}

/// In the order in which they are shown.
pub(super) const PLACES: &[Destination] = &[
    Destination {
        title: "Inbox",
        path: "/",
        right: Right::Inbox,
        icon: "M4 13l2.5-8h11L20 13v6H4v-6zM4 13h5l1 2.5h4l1-2.5h5",
    },
    Destination {
        title: "History",
        path: "/requests",
        right: Right::Inbox,
        icon: "M12 7v5l3.5 2M4.5 12a7.5 7.5 0 1 0 2.4-5.5M4 4.5V8h3.5",
    },
    Destination {
        title: "You",
        path: "/me",
        right: Right::OwnPasskeys,
        icon: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20c.8-3.6 3.8-5.5 7.5-5.5s6.700 1.900 7.500 5.500",
    },
];

/// What a page is.
pub(super) struct Page<'a> {
    pub title: &'a str,
    /// The place that it belongs to, by its path.
    pub at: &'static str,
    pub body: Markup,
    /// What its live parts are about; nothing where it has none.
    pub live: Option<String>,
}

/// A page for somebody who is signed in.
pub(super) fn page(pages: &Pages, visitor: &Visitor, page: Page<'_>) -> Html<String> {
    let Page { title, at, body, live } = page;
    let guest = visitor.guest();
    let places = PLACES.iter().filter(|place| pages.gateway.may(guest, place.right));
    whole(
        title,
        live.as_deref(),
        Some(visitor.csrf()),
        &html! {
            a.skip href="#main" { "Skip to the page" }
            header.bar {
                a.brand href="/" { (mark()) span { "Durward" } }
                nav aria-label="Places" {
                    ul {
                        @for place in places {
                            li {
                                a href=(place.path) aria-current=[(place.path == at).then_some("page")] {
                                    (icon(place.icon)) span { (place.title) }
                                }
                            }
                        }
                    }
                }
                div.me {
                    span.who { (words::visible(&guest.id().name)) }
                    form method="post" action="/signout" {
                        input type="hidden" name="csrf" value=(visitor.csrf());
                        button.quiet type="submit" { "Sign out" }
                    }
                }
            }
            (body)
            @if pages.only_here() { (only_here()) }
            p #live-state role="status" .live-state hidden {}
        },
    )
}

/// A page for somebody who is not.
pub(super) fn bare(title: &str, body: &Markup) -> Html<String> {
    whole(
        title,
        None,
        None,
        &html! {
            a.skip href="#main" { "Skip to the page" }
            header.bar.alone { a.brand href="/" { (mark()) span { "Durward" } } }
            (body)
        },
    )
}

fn whole(title: &str, live: Option<&str>, csrf: Option<&str>, body: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · Durward" }
                link rel="icon" href="/assets/mark.svg" type="image/svg+xml";
                link rel="stylesheet" href=(assets::style_path());
                script src=(assets::script_path()) defer {}
            }
            body data-live=[live] data-csrf=[csrf] { (body) }
        }
    };
    Html(page.into_string())
}

/// Why a link to here may not work for somebody else.
fn only_here() -> Markup {
    html! {
        footer.here {
            p {
                "This console is reached from this machine alone, so links to it work nowhere else. To approve from a phone, give \
                 the gateway a name with "
                code { "console.public_url" }
                " and a reverse proxy that encrypts."
            }
        }
    }
}

/// A sentence begins with a capital and ends with a stop.
pub(super) fn sentence(text: &str) -> Markup {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let stop = if text.ends_with(['.', '?', '!', ':']) { "" } else { "." };
    html! { (words::visible(&format!("{first}{}", letters.as_str()))) (stop) }
}

pub(super) fn icon(strokes: &str) -> Markup {
    html! {
        svg.icon viewBox="0 0 24 24" aria-hidden="true" focusable="false" { path d=(strokes); }
    }
}

/// A door with its ward.
fn mark() -> Markup {
    PreEscaped(assets::MARK.to_owned())
}
