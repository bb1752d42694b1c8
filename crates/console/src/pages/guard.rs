//! In front of every page: by its own name, from its own pages, in nobody's frame.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, LOCATION, ORIGIN, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Pages;
use super::problem::Problem;

/// No script, style or frame but our own, and none in the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; \
     trusted-types durward";

const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // With less, browsers would not say where a form comes from.
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), publickey-credentials-create=(self), publickey-credentials-get=(self)",
    ),
];

/// Lets a request through that is for this place, and, where it changes something, from one of its pages.
pub(super) async fn ours(State(pages): State<Arc<Pages>>, request: Request, next: Next) -> Response {
    let mut response = match check(&pages, &request) {
        Ok(()) => next.run(request).await,
        Err(response) => *response,
    };
    let headers = response.headers_mut();
    protect(headers);
    if pages.is_encrypted() {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// What tells a browser to let a page be as it is.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn check(pages: &Pages, request: &Request) -> Result<(), Box<Response>> {
    let (_, own) = pages.place.origin.split_once("://").unwrap_or_default();
    let looks = request.method() == Method::GET || request.method() == Method::HEAD;
    if !is_for(request.headers(), own) {
        if !looks {
            return Err(Box::new(Problem::elsewhere(&pages.place.origin).into_response()));
        }
        // Passkeys and cookies are of one name. The path is ours: it begins with one slash.
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let to = format!("{}{path}", pages.place.origin);
        return Err(Box::new((StatusCode::TEMPORARY_REDIRECT, [(LOCATION, to)]).into_response()));
    }
    if looks {
        return Ok(());
    }
    if is_from(request.headers(), &pages.place.origin) {
        return Ok(());
    }
    tracing::warn!("a page of another site asked the console to do something");
    Err(Box::new(Problem::cross_site().into_response()))
}

fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut named = headers.get_all(name).iter();
    let (first, None) = (named.next()?, named.next()) else { return None };
    first.to_str().ok()
}

fn is_for(headers: &HeaderMap, own: &str) -> bool {
    only(headers, HOST).is_some_and(|host| host.eq_ignore_ascii_case(own))
}

/// Every browser says where a form or a script's question comes from.
fn is_from(headers: &HeaderMap, origin: &str) -> bool {
    let site = HeaderName::from_static("sec-fetch-site");
    only(headers, ORIGIN) == Some(origin)
        && headers.get(&site).is_none_or(|_| only(headers, site.clone()) == Some("same-origin"))
}
