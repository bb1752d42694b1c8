//! Bodies of requests: whose turn it is to send one, how long that may take, and where it is read. A value takes many times as much
//! room as its text and some work to read, so that both are bounded before anybody looks at what is asked for.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::StatusCode;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::rpc::Fault;
use crate::tools::Limits;

/// A message is not longer, in bytes.
const LONGEST: usize = 4 << 20;
/// One that is longer than this is read apart from what must not wait, in bytes,
const LONG: usize = 64 * 1024;
/// by so many at a time.
const AT_ONCE: usize = 2;
/// A body comes within this, once it is its turn.
const COMES: Duration = Duration::from_secs(20);
/// And it waits so long for its turn.
const TURN: Duration = Duration::from_secs(20);

/// Reads bodies.
pub(crate) struct Bodies {
    /// Of whom so many are being read.
    turns: Limits,
    long: Semaphore,
    comes: Duration,
    turn: Duration,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { turns: Limits::default(), long: Semaphore::new(AT_ONCE), comes: COMES, turn: TURN }
    }
}

impl Bodies {
    /// Reads one of a principal's, of whom `most` are being read at a time; the others are not looked at meanwhile.
    pub(crate) async fn read(&self, whose: &str, most: usize, body: Body) -> Result<Value, Fault> {
        let too_long = |how: &str| {
            let why = format!("the body is longer than {} MiB{how}", LONGEST >> 20);
            Fault::no_request(why).with(StatusCode::PAYLOAD_TOO_LARGE)
        };
        // What says that it is so of itself is not waited for.
        if HttpBody::size_hint(&body).lower() > u64::try_from(LONGEST).unwrap_or(u64::MAX) {
            return Err(too_long(""));
        }
        let turn = timeout(self.turn, self.turns.turn(whose, most)).await;
        let _turn = turn.map_err(|_| {
            let why = format!("{most} messages of yours are on their way: wait until they have come");
            Fault::no_request(why).with(StatusCode::SERVICE_UNAVAILABLE)
        })?;
        let body = timeout(self.comes, to_bytes(body, LONGEST)).await.map_err(|_| {
            let why = format!("the body did not come within {} s", self.comes.as_secs());
            Fault::no_request(why).with(StatusCode::REQUEST_TIMEOUT)
        })?;
        let body = body.map_err(|_| too_long(", or ended early"))?;
        self.parsed(body).await
    }

    async fn parsed(&self, body: Bytes) -> Result<Value, Fault> {
        let gone = |error: String| {
            tracing::error!("a body cannot be read: {error}");
            Fault::internal("the body cannot be read now")
        };
        let read = if body.len() <= LONG {
            policy::json::read(&body)
        } else {
            let _few = self.long.acquire().await.map_err(|error| gone(error.to_string()))?;
            let reading = tokio::task::spawn_blocking(move || policy::json::read(&body));
            reading.await.map_err(|error| gone(error.to_string()))?
        };
        read.map_err(|error| Fault::unreadable(format!("the body is no JSON that is read here: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};
    use serde_json::json;

    use super::*;

    /// A body of which all but the end comes.
    fn never() -> Body {
        let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"{")) });
        Body::from_stream(first.chain(stream::pending()))
    }

    #[tokio::test]
    async fn a_body_is_read_within_its_bounds_or_it_is_said_why_not() {
        let bodies = Bodies { comes: Duration::from_millis(50), ..Bodies::default() };
        let many = format!("{{\"junk\":[{}0]}}", "{\"\":0},".repeat(550_000));
        for (what, body, expected) in [
            ("a message", Body::from(r#"{"method":"ping"}"#), Ok(json!({"method": "ping"}))),
            (
                "a long text",
                Body::from(format!("\"{}\"", "x".repeat(2 * LONG))),
                Ok("x".repeat(2 * LONG).into()),
            ),
            ("no JSON", Body::from("{"), Err(400)),
            ("more values than are read", Body::from(many), Err(400)),
            ("more bytes", Body::from("x".repeat(LONGEST + 1)), Err(413)),
            ("an end that never comes", never(), Err(408)),
        ] {
            let read = bodies.read("a", 16, body).await;
            assert_eq!(read.map_err(|fault| fault.status.as_u16()), expected, "{what}");
        }
    }

    #[tokio::test]
    async fn so_many_bodies_of_one_principal_are_in_memory_and_nobody_else_waits_for_them() {
        let bodies =
            Bodies { comes: Duration::from_secs(600), turn: Duration::from_millis(50), ..Bodies::default() };
        let slow = async { tokio::join!(bodies.read("a", 2, never()), bodies.read("a", 2, never())) };
        let others = async {
            let said = |read: Result<Value, Fault>| read.map_err(|fault| fault.status.as_u16());
            let third = said(bodies.read("a", 2, Body::from("1")).await);
            (third, said(bodies.read("b", 2, Body::from("1")).await))
        };
        tokio::select! {
            biased;
            _ = slow => panic!("they never come"),
            came = others => assert_eq!(came, (Err(503), Ok(json!(1)))),
        }
        // They have hung up.
        assert!(bodies.read("a", 2, Body::from("1")).await.is_ok());
    }
}
