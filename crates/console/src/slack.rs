//! Where Slack calls: signed, and nothing else is needed to come. What it is told is only whether it was heard.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use gateway::carriers::clicks::{Callback, NotTaken};
use gateway::gateway::Gateway;

use crate::failure::{Failure, missing};

/// A callback is not longer, in bytes.
const LONGEST: usize = 256 * 1024;

pub(crate) fn router() -> Router<Arc<Gateway>> {
    Router::new().route("/slack/interactive", post(called)).layer(DefaultBodyLimit::max(LONGEST))
}

async fn called(State(gateway): State<Arc<Gateway>>, headers: HeaderMap, body: Bytes) -> Response {
    let only = |name: &str| {
        let mut all = headers.get_all(name).iter();
        let (Some(value), None) = (all.next(), all.next()) else { return "" };
        value.to_str().unwrap_or_default()
    };
    let callback = Callback {
        timestamp: only("x-slack-request-timestamp"),
        signature: only("x-slack-signature"),
        body: &body,
    };
    let not = match gateway.called_by_slack(&callback).await {
        Ok(()) => return StatusCode::OK.into_response(),
        Err(not) => not,
    };
    let (status, code, reason) = match not {
        NotTaken::Nowhere => return missing("nobody answers in Slack here").into_response(),
        NotTaken::Forged => (StatusCode::UNAUTHORIZED, "forged", "it is not signed by Slack, or too old"),
        NotTaken::Again => (StatusCode::CONFLICT, "again", "it was taken before"),
        NotTaken::Strange => (StatusCode::BAD_REQUEST, "unreadable", "it cannot be read"),
        NotTaken::Down => (StatusCode::SERVICE_UNAVAILABLE, "store", "the store is out of reach"),
    };
    tracing::warn!("what came as a call of Slack's was not taken: {reason}");
    Failure::new(status, code, reason).into_response()
}
