//! Who is there, by what their browser keeps; and forms, which only a page that was made for them can send.

use std::sync::Arc;

use aws_lc_rs::{constant_time, hmac};
use axum::RequestExt;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use gateway::people::Guest;
use gateway::presence::Place;
use policy::rights::Right;
use zeroize::Zeroizing;

use super::Pages;
use super::problem::Problem;
use crate::form::Form;

/// What a browser keeps for a visit, in seconds. The gateway ends it sooner where it is to.
const VISIT: u32 = 12 * 3600;

/// The things that browsers keep for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookie {
    /// That somebody is signed in.
    Visit,
    /// That somebody has gone to their issuer.
    Away,
    /// That somebody signed in anew for an act.
    Confirm,
}

impl Cookie {
    /// No other host, and nobody in between, can set one whose name begins so. Ports of one host share their cookies, so that the name
    /// says of which it is.
    fn name(self, place: &Place) -> String {
        let word = match self {
            Self::Visit => "durward",
            Self::Away => "durward-away",
            Self::Confirm => "durward-confirm",
        };
        let host = if place.origin.starts_with("https://") { "__Host-" } else { "" };
        let port = place.origin.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        format!("{host}{word}{}", port.map(|(_, port)| format!("-{port}")).unwrap_or_default())
    }

    pub(super) fn read(self, pages: &Pages, headers: &HeaderMap) -> Option<Zeroizing<String>> {
        let name = self.name(&pages.place);
        let mut named = named(headers, &name);
        // Two of one name: one of them is somebody else's.
        let (first, None) = (named.next()?, named.next()) else { return None };
        Some(Zeroizing::new(first.to_owned()))
    }

    /// Whether a browser brings several: somebody else has set one, perhaps for some of our paths alone.
    fn is_doubled(self, pages: &Pages, headers: &HeaderMap) -> bool {
        named(headers, &self.name(&pages.place)).count() > 1
    }

    /// Has a browser keep it, for so many seconds.
    pub(super) fn keep(self, pages: &Pages, response: &mut Response, secret: &str, seconds: u32) {
        let secure = if pages.is_encrypted() { "; Secure" } else { "" };
        let name = self.name(&pages.place);
        let cookie = format!("{name}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
        if let Ok(mut value) = HeaderValue::from_str(&cookie) {
            value.set_sensitive(true);
            response.headers_mut().append(SET_COOKIE, value);
        }
    }

    pub(super) fn forget(self, pages: &Pages, response: &mut Response) {
        self.keep(pages, response, "", 0);
    }
}

/// The cookies of a name that a browser brings.
fn named<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';')).filter_map(move |pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

/// Begins somebody's visit in their browser.
pub(super) fn let_in(pages: &Pages, response: &mut Response, secret: &str) {
    Cookie::Visit.keep(pages, response, secret, VISIT);
}

/// Somebody who is signed in.
#[derive(Clone)]
pub(super) struct Visitor(Arc<Inside>);

struct Inside {
    guest: Guest,
    csrf: String,
}

impl Visitor {
    pub(super) fn guest(&self) -> &Guest {
        &self.0.guest
    }

    /// What forms of theirs carry.
    pub(super) fn csrf(&self) -> &str {
        &self.0.csrf
    }
}

/// Made of the visit's secret, which no page shows.
fn csrf(secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, b"durward csrf");
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Finds out who is there; they may be nobody.
pub(super) async fn who(State(pages): State<Arc<Pages>>, mut request: Request, next: Next) -> Response {
    if let Some(secret) = Cookie::Visit.read(&pages, request.headers())
        && let Some(guest) = pages.gateway.guest(&secret).await
    {
        request.extensions_mut().insert(Visitor(Arc::new(Inside { guest, csrf: csrf(&secret) })));
    }
    next.run(request).await
}

/// Lets somebody through who has a right. Whoever is nobody signs in first, and comes back.
pub(super) async fn with_right(
    State((pages, right)): State<(Arc<Pages>, Right)>,
    request: Request,
    next: Next,
) -> Response {
    let Some(visitor) = request.extensions().get::<Visitor>() else {
        // Signing in once more would not help, and lead back here.
        if Cookie::Visit.is_doubled(&pages, request.headers()) {
            let says = "Your browser brings two sign-ins for this address: something else on this host has set a cookie of the same \
                        name. Remove the cookies of this host in your browser, then sign in.";
            return Problem::new(StatusCode::BAD_REQUEST, "Two sign-ins at once", says)
                .with_onward("Sign in", "/signin")
                .into_response();
        }
        if request.method() == Method::GET {
            let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
            return Redirect::to(&format!("/signin?next={}", super::words::encoded(path))).into_response();
        }
        let says = "You are not signed in any more. Nothing was done.";
        return Problem::new(StatusCode::UNAUTHORIZED, "Sign in first", says)
            .with_onward("Sign in", "/signin")
            .into_response();
    };
    if pages.gateway.may(visitor.guest(), right) {
        return next.run(request).await;
    }
    Problem::not_yours().into_response()
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Every route that takes one has passed `with_right`.
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::not_yours)
    }
}

/// A form of whoever is signed in, from a page that was made in this visit.
pub(super) struct Submitted {
    pub visitor: Visitor,
    pub form: Form,
}

impl<S: Send + Sync> FromRequest<S> for Submitted {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Problem> {
        let visitor = request.extract_parts::<Visitor>().await?;
        let Sent(form) = Sent::from_request(request, state).await?;
        let said = form.text("csrf");
        let same = constant_time::verify_slices_are_equal(said.as_bytes(), visitor.csrf().as_bytes());
        same.map_err(|_| Problem::stale())?;
        Ok(Self { visitor, form })
    }
}

/// A form of somebody who need not be signed in. That it came from here, the guard has checked.
pub(super) struct Sent(pub Form);

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let no = || Problem::new(StatusCode::BAD_REQUEST, "This is no form", "Nothing was done.");
        let body = Bytes::from_request(request, state).await.map_err(|_| no())?;
        Form::read(&body).map(Self).ok_or_else(no)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles_of_one_host_have_cookies_of_their_own() {
        for (origin, name) in [
            ("http://localhost:7300", "durward-7300"),
            ("http://localhost:7301", "durward-7301"),
            ("https://gate.example.com", "__Host-durward"),
            ("https://gate.example.com:8443", "__Host-durward-8443"),
        ] {
            let place = Place { origin: origin.to_owned(), host: String::new() };
            assert_eq!(Cookie::Visit.name(&place), name);
        }
    }
}
