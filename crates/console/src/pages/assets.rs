//! The one stylesheet, the one script and the mark, as they were built in. Their addresses name what is in them, so that a browser
//! may keep them for ever.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Pages;

const STYLE: &str = include_str!("../../assets/console.css");
const SCRIPT: &str = include_str!("../../assets/console.js");
/// Also in each page.
pub(super) const MARK: &str = include_str!("../../assets/mark.svg");

pub(super) fn routes() -> Router<Arc<Pages>> {
    Router::new()
        .route("/assets/{version}/console.css", get(|| async { kept("text/css; charset=utf-8", STYLE) }))
        .route(
            "/assets/{version}/console.js",
            get(|| async { kept("text/javascript; charset=utf-8", SCRIPT) }),
        )
        .route("/assets/mark.svg", get(|| async { kept("image/svg+xml", MARK) }))
}

fn kept(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")], text).into_response()
}

pub(super) fn style_path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| format!("/assets/{}/console.css", version(STYLE)))
}

pub(super) fn script_path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| format!("/assets/{}/console.js", version(SCRIPT)))
}

fn version(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(8).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
