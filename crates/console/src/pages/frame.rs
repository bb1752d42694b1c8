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
    /// What one does there, in a sentence.
    pub about: &'static str,
    /// Whether it is at hand on a phone, where few fit; others are behind "More".
    pub near: bool,
    /// The strokes of its picture, in a square of 24.
    pub icon: &'static str,
}

/// In the order in which they are shown.
pub(super) const PLACES: &[Destination] = &[
    Destination {
        title: "Inbox",
        path: "/",
        right: Right::Inbox,
        about: "See what waits for an answer, and answer it.",
        near: true,
        icon: "M4 13l2.5-8h11L20 13v6H4v-6zM4 13h5l1 2.5h4l1-2.5h5",
    },
    Destination {
        title: "History",
        path: "/requests",
        right: Right::Inbox,
        about: "See what was asked, and what became of it.",
        near: false,
        icon: "M12 7v5l3.5 2M4.5 12a7.5 7.5 0 1 0 2.4-5.5M4 4.5V8h3.5",
    },
    Destination {
        title: "Grants",
        path: "/grants",
        right: Right::Inbox,
        about: "See what was let through for a while without asking, what came of it, and revoke it.",
        near: false,
        icon: "M12 3.500v4M12 16.500v4M3.500 12h4M16.500 12h4M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8z",
    },
    Destination {
        title: "Sessions",
        path: "/sessions",
        right: Right::SeeSessions,
        about: "See who is connected, watch and end sessions, and play past ones again.",
        near: true,
        icon: "M4 5h16v11H4zM9 20h6M12 16v4M8 9l2.500 1.700L8 12.400M12.500 12.500h3.500",
    },
    Destination {
        title: "Freeze",
        path: "/freezes",
        right: Right::SeeSessions,
        about: "Stop all changes to a target at once, whatever was approved, and thaw it again.",
        near: true,
        icon: "M12 3v18M4.200 7.500l15.600 9M4.200 16.500l15.600-9M9.500 4.500L12 7l2.500-2.500M9.500 19.500L12 17l2.500 2.500",
    },
    Destination {
        title: "Targets",
        path: "/targets",
        right: Right::SeeTargets,
        about: "See databases and how they are, connect to one, add one.",
        near: false,
        icon: "M12 9c4.400 0 7-1.300 7-3s-2.600-3-7-3-7 1.300-7 3 2.600 3 7 3zM5 6v12c0 1.700 2.600 3 7 3s7-1.300 7-3V6M5 12c0 1.700 2.600 3 7 3s7-1.300 7-3",
    },
    Destination {
        title: "Policies",
        path: "/policies",
        right: Right::SeePolicies,
        about: "Read and change what is allowed, ask why something was refused, see who changed what.",
        near: false,
        icon: "M12 3l7 3v5.500c0 4.500-3 7.800-7 9.500-4-1.700-7-5-7-9.500V6zM9 12l2.200 2.200L15.200 10",
    },
    Destination {
        title: "People",
        path: "/people",
        right: Right::SeePeople,
        about: "See who and which agents come, who answers, and shut somebody out.",
        near: false,
        icon: "M9 11.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20c.6-3.200 3.200-5 6.500-5s5.900 1.800 6.500 5M15.500 4.800a3.500 3.500 0 0 1 0 6.400M18 15.500c1.900.8 3.100 2.300 3.500 4.500",
    },
    Destination {
        title: "Journal",
        path: "/journal",
        right: Right::SeeJournal,
        about: "Look up everything that happened, and check that nothing was changed since.",
        near: false,
        icon: "M6 3.500h12v17H6zM9 8h6M9 12h6M9 16h3.500",
    },
    Destination {
        title: "Health",
        path: "/health",
        right: Right::SeeHealth,
        about: "See how the gateway is, in words.",
        near: false,
        icon: "M3 12.500h4l2.500-6.500 4.500 12 2.500-5.500H21",
    },
    Destination {
        title: "You",
        path: "/me",
        right: Right::OwnPasskeys,
        about: "See what you are here, and your passkeys.",
        near: false,
        icon: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20c.8-3.6 3.8-5.5 7.5-5.5s6.700 1.900 7.500 5.500",
    },
];

/// Where all places are, for who has little room.
pub(super) const MORE: &str = "/more";

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
    let is_far = at == MORE || PLACES.iter().any(|place| place.path == at && !place.near);
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
                            li.far[!place.near] {
                                a href=(place.path) aria-current=[(place.path == at).then_some("page")] {
                                    (icon(place.icon)) span { (place.title) }
                                }
                            }
                        }
                        li.more {
                            a href="/more" aria-current=[is_far.then_some("page")] {
                                (icon("M5 12h.01M12 12h.01M19 12h.01")) span { "More" }
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
                " and a certificate, or a reverse proxy that encrypts."
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
