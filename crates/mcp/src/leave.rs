//! Leave to be here, for as long as an answer takes: who is shut out meanwhile hears nothing more.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use futures_util::StreamExt;
use gateway::gateway::Gateway;
use tokio::time::{sleep, timeout};

use crate::tools::Caller;

/// A token is looked at so often: what it opened ends within a second of it.
const OFTEN: Duration = Duration::from_millis(500);
/// What ends by itself for the same reason says why itself, within this.
const GRACE: Duration = Duration::from_millis(300);

/// Comes when a caller's token is not taken any more.
async fn over(gateway: Arc<Gateway>, caller: Caller) {
    loop {
        sleep(OFTEN).await;
        if !gateway.is_still_in(&caller.token).await {
            return;
        }
    }
}

/// An answer that is a stream or takes its time; `None` where its caller is shut out before there is one. A stream ends with their leave.
pub(crate) async fn within(
    gateway: &Arc<Gateway>,
    caller: Caller,
    answer: impl Future<Output = Response>,
) -> Option<Response> {
    let mut answer = pin!(answer);
    let mut over = Box::pin(over(Arc::clone(gateway), caller));
    let response = tokio::select! {
        biased;
        response = &mut answer => response,
        () = &mut over => return timeout(GRACE, answer).await.ok().filter(|late| !is_stream(late)),
    };
    if !is_stream(&response) {
        return Some(response);
    }
    let end = async move {
        over.await;
        sleep(GRACE).await;
    };
    Some(response.map(|body| Body::from_stream(body.into_data_stream().take_until(end))))
}

fn is_stream(response: &Response) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream")
}
