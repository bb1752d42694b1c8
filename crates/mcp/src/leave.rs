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
use gateway::inside::NotIn;
use tokio::time::{sleep, timeout};

use crate::tools::Caller;

/// A token is looked at so often: what it opened ends within a second of it.
const OFTEN: Duration = Duration::from_millis(500);
/// What ends by itself for the same reason says why itself, within this.
const GRACE: Duration = Duration::from_millis(300);

/// Comes when a caller's token is not taken any more, or has not been known for too long to be, and says which.
async fn over(gateway: Arc<Gateway>, caller: Caller) -> NotIn {
    loop {
        sleep(OFTEN).await;
        if let Err(why) = gateway.is_still_in(&caller.admitted, &caller.token).await {
            return why;
        }
    }
}

/// An answer that is a stream or takes its time. A stream ends with its caller's leave.
///
/// # Errors
/// Its caller is shut out before there is one.
pub(crate) async fn within(
    gateway: &Arc<Gateway>,
    caller: Caller,
    answer: impl Future<Output = Response>,
) -> Result<Response, NotIn> {
    let mut answer = pin!(answer);
    let mut over = Box::pin(over(Arc::clone(gateway), caller));
    let response = tokio::select! {
        biased;
        response = &mut answer => response,
        why = &mut over => {
            let late = timeout(GRACE, answer).await.ok().filter(|late| !is_stream(late));
            return late.ok_or(why);
        }
    };
    if !is_stream(&response) {
        return Ok(response);
    }
    let end = async move {
        over.await;
        sleep(GRACE).await;
    };
    Ok(response.map(|body| Body::from_stream(body.into_data_stream().take_until(end))))
}

fn is_stream(response: &Response) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream")
}
