//! Answers as server-sent events: word of how it goes while a call is under way, and its answer at the end.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use crate::eras::Session;

/// While nothing happens, word comes so often.
const OFTEN: Duration = Duration::from_secs(5);

/// A connection on which nothing moves is cut; this moves.
const ALIVE: Duration = Duration::from_secs(20);

type Work = Pin<Box<dyn Future<Output = Value> + Send>>;

struct UnderWay {
    work: Option<Work>,
    told: Receiver<String>,
    last: String,
    token: Value,
    progress: u64,
    tick: Interval,
}

/// The answer of `work`, and what it tells meanwhile as progress of this token. Whoever hangs up gives it up.
pub(crate) fn events(work: Work, told: Receiver<String>, token: Value) -> Response {
    let mut tick = interval_at(tokio::time::Instant::now() + OFTEN, OFTEN);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = UnderWay { work: Some(work), told, last: "under way".to_owned(), token, progress: 0, tick };
    let events = stream::unfold(state, |mut state| async move {
        let message = state.next().await?;
        Some((Ok::<_, Infallible>(Event::default().data(message.to_string())), state))
    });
    let mut response = Sse::new(events).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl UnderWay {
    async fn next(&mut self) -> Option<Value> {
        let work = self.work.as_mut()?;
        tokio::select! {
            biased;
            Some(told) = self.told.recv() => self.last = told,
            answer = work => {
                self.work = None;
                return Some(answer);
            }
            _ = self.tick.tick() => {}
        }
        self.progress += 1;
        Some(json!({
            "jsonrpc": "2.0",
            "method": "notifications/progress",
            "params": { "progressToken": self.token, "progress": self.progress, "message": self.last },
        }))
    }
}

/// A stream on which nothing is said, until its session ends.
pub(crate) fn silence(session: Arc<Session>) -> Response {
    let events = stream::unfold(session, |session| async move {
        session.ended.notified().await;
        None::<(Result<Event, Infallible>, Arc<Session>)>
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}

/// A subscription to what never changes here: it is acknowledged with nothing of what was asked for, and ends with the gateway.
pub(crate) fn acknowledged(id: &Value, draining: watch::Receiver<Option<Duration>>) -> Response {
    let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
    let first = json!({
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": { "_meta": meta, "notifications": {} },
    });
    let last = json!({ "jsonrpc": "2.0", "id": id, "result": { "resultType": "complete", "_meta": meta } });
    let events =
        stream::unfold((Some(first), Some(last), draining), |(first, last, mut draining)| async move {
            let (message, last) = match first {
                Some(first) => (first, last),
                None => {
                    let last = last?;
                    let _ = draining.wait_for(Option::is_some).await;
                    (last, None)
                }
            };
            Some((Ok::<_, Infallible>(Event::default().data(message.to_string())), (None, last, draining)))
        });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}
