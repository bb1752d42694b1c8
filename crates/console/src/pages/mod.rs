//! The web console: pages for people, made here and served as they are. Each file is a page; `guard` is in front of all of them,
//! `frame` around them, `words` says how things are written. Every route names the right that it takes, and no GET decides
//! anything.
//!
//! To add a page: a file with a `routes` function that gives each of its paths a [`Right`] by [`Routes::page`], a line in
//! [`router`], and an entry in [`frame::PLACES`]. What changes something takes its form as [`visitor::Submitted`]; what must not
//! be done by whoever merely has a cookie asks for a [`gateway::presence::Proof`] of its [`gateway::presence::Act`].

mod access;
mod alike;
mod asked;
mod assets;
mod authorize;
mod diff;
mod doubts;
mod drafts;
mod frame;
mod freezes;
mod guard;
mod health;
mod inbox;
mod journal;
mod lately;
mod live;
mod more;
mod outcomes;
mod passkeys;
mod people;
mod plan;
mod policies;
mod presence;
mod problem;
mod replay;
mod request;
mod sessions;
mod signin;
mod slack;
mod standing;
mod steps;
mod story;
mod targets;
mod visitor;
mod whole;
mod words;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use gateway::gateway::Gateway;
use gateway::people::Roles;
use gateway::presence::Place;
use policy::rights::Right;

use self::problem::Problem;
use crate::arrival::Network;

/// A form is not larger than this, in bytes.
const LONGEST_FORM: usize = 1024 * 1024;

/// Where the console is for people, and what they are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Public {
    /// Its address for browsers: `https://gate.example.com`. Without one it is at `http://localhost`, on this machine alone.
    pub url: Option<String>,
    /// What people of issuers are in the console.
    pub roles: Roles,
    /// The rights of which what they let change in the console waits for a second person.
    pub takes_two: BTreeSet<Right>,
    /// The port on which clients of targets are served, for lines to paste; nothing where it is not known.
    pub clients: Option<std::net::SocketAddr>,
    /// Proxies whose word is taken of where their clients come from, and how.
    pub trusted: Vec<Network>,
}

impl Public {
    /// How browsers know the console that listens on a port.
    pub fn place(&self, port: u16) -> Place {
        let local = || format!("http://localhost:{port}");
        let origin = self.url.as_ref().map_or_else(local, |url| url.trim_end_matches('/').to_owned());
        let (_, authority) = origin.split_once("://").unwrap_or(("", &origin));
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            Some(_) | None => authority,
        };
        Place { host: host.to_owned(), origin }
    }

    /// The host that a reverse proxy passes on, where there is one.
    pub(crate) fn host(&self) -> Option<String> {
        self.url.as_ref().map(|_| self.place(0).host)
    }
}

/// What every page has at hand.
pub(crate) struct Pages {
    pub gateway: Arc<Gateway>,
    pub place: Place,
    /// Where clients of targets connect to.
    pub clients: Option<std::net::SocketAddr>,
}

impl Pages {
    /// Whether browsers come encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.place.origin.starts_with("https://")
    }

    /// Why links to here work on this machine alone, where they do.
    pub(crate) fn only_here(&self) -> bool {
        !self.is_encrypted()
    }
}

/// The routes of a page, each with the right that it takes.
pub(crate) struct Routes(Router<Arc<Pages>>, Arc<Pages>);

impl Routes {
    pub(crate) fn page(self, path: &str, right: Right, method: MethodRouter<Arc<Pages>>) -> Self {
        let guarded =
            method.route_layer(from_fn_with_state((Arc::clone(&self.1), right), visitor::with_right));
        Self(self.0.route(path, guarded), self.1)
    }
}

pub(crate) fn router(gateway: &Arc<Gateway>, public: &Public, port: u16) -> Router {
    let place = public.place(port);
    gateway.set_console(place.clone(), public.roles.clone(), public.takes_two.clone());
    let pages = Arc::new(Pages { gateway: Arc::clone(gateway), place, clients: public.clients });
    let none = Routes(Router::new(), Arc::clone(&pages));
    let Routes(inside, _) = [
        inbox::routes,
        request::routes,
        alike::routes,
        whole::routes,
        standing::routes,
        passkeys::routes,
        slack::routes,
        sessions::routes,
        replay::routes,
        freezes::routes,
        targets::routes,
        policies::routes,
        drafts::routes,
        people::routes,
        journal::routes,
        health::routes,
        more::routes,
        authorize::routes,
    ]
    .into_iter()
    .fold(none, |routes, more| more(routes));
    inside
        .merge(signin::routes())
        .merge(assets::routes())
        .layer(from_fn_with_state(Arc::clone(&pages), visitor::who))
        .layer(from_fn_with_state(Arc::clone(&pages), guard::ours))
        .layer(DefaultBodyLimit::max(LONGEST_FORM))
        .with_state(pages)
}

/// Where there is no page.
pub(crate) fn nothing() -> Response {
    let says = "There is no page at this address.";
    let mut response = Problem::new(StatusCode::NOT_FOUND, "There is nothing here", says).into_response();
    guard::protect(response.headers_mut());
    response
}

/// The hosts by which this listener may be asked.
pub(crate) fn hosts(public: &Public, named: BTreeSet<String>) -> BTreeSet<String> {
    named.into_iter().chain(public.host()).collect()
}
