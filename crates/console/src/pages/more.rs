//! All places, with what one does there: for who has little room, and for who is new.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use axum::routing::get;
use maud::html;
use policy::rights::Right;

use super::frame::{self, MORE, PLACES, Page};
use super::visitor::Visitor;
use super::{Pages, Routes};

pub(super) fn routes(routes: Routes) -> Routes {
    routes.page(MORE, Right::Inbox, get(page))
}

async fn page(State(pages): State<Arc<Pages>>, visitor: Visitor) -> Html<String> {
    let places = PLACES.iter().filter(|place| pages.gateway.may(visitor.guest(), place.right));
    let body = html! {
        main #main {
            div.head { h1 { "Everything here" } }
            ul.cards {
                @for place in places {
                    li.card {
                        a.cover.place href=(place.path) {
                            (frame::icon(place.icon))
                            span { strong { (place.title) } span.for { (place.about) } }
                        }
                    }
                }
            }
        }
    };
    frame::page(&pages, &visitor, Page { title: "More", at: MORE, body, live: None })
}
