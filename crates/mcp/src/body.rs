//! Bodies of requests: whose turn it is to send one, how long that may take, and where it is read. A value takes many times as much
//! room as its text and some work to read, so that both are bounded before anybody looks at what is asked for.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::room::{Full, Kept, Place, Room, Unread};
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

/// A node of a tree of names is made for eleven of them, in bytes, and five are in it at least where there are so many.
const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>());
const IN_NODE: usize = 5;

/// Reads bodies.
pub(crate) struct Bodies {
    /// Of whom so many are being read.
    turns: Limits,
    long: Semaphore,
    /// What all take together.
    room: Room,
    comes: Duration,
    turn: Duration,
}

/// Whose a body is.
#[derive(Clone, Copy)]
pub(crate) struct Sender<'a> {
    /// A principal, of whom `most` are being read at a time.
    pub(crate) name: &'a str,
    pub(crate) most: usize,
    /// For whom it acts in the end, or itself: however many act for them, they have one part of the room.
    pub(crate) person: &'a str,
}

impl Default for Bodies {
    fn default() -> Self {
        let (long, room) = (Semaphore::new(AT_ONCE), Room::default());
        Self { turns: Limits::default(), long, room, comes: COMES, turn: TURN }
    }
}

impl Bodies {
    /// What all who ask have room in.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    /// Reads one of a principal's; those that are not theirs to send yet are not looked at meanwhile. What it takes is given back with its
    /// place.
    pub(crate) async fn read(&self, from: Sender<'_>, body: Body) -> Result<(Value, Place), Fault> {
        let most = from.most;
        let turn = timeout(self.turn, self.turns.turn(from.name, most)).await;
        let _turn = turn.map_err(|_| {
            let why = format!("{most} messages of yours are on their way: wait until they have come");
            Fault::no_request(why).with(StatusCode::SERVICE_UNAVAILABLE)
        })?;
        let read = timeout(self.comes, self.room.read(from.person, body, LONGEST)).await;
        let read = read.map_err(|_| {
            let why = format!("the body did not come within {} s", self.comes.as_secs());
            Fault::no_request(why).with(StatusCode::REQUEST_TIMEOUT)
        })?;
        let Kept { bytes, mut place } = read.map_err(unread)?;
        let message = self.parsed(bytes).await?;
        place.holds(weight(&message)).map_err(|Full| unread(Unread::Full))?;
        Ok((message, place))
    }

    async fn parsed(&self, body: Vec<u8>) -> Result<Value, Fault> {
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

fn unread(why: Unread) -> Fault {
    match why {
        Unread::Full => {
            let why = "there is no room for more of your messages now, beside what others have on their way: nothing of \
                       this one was looked at. Send it again later, or less at a time";
            Fault::no_request(why).with(StatusCode::SERVICE_UNAVAILABLE)
        }
        Unread::TooLong => {
            let why = format!("the body is longer than {} MiB", LONGEST >> 20);
            Fault::no_request(why).with(StatusCode::PAYLOAD_TOO_LARGE)
        }
        Unread::Broken => Fault::no_request("the body ended early"),
    }
}

/// About so many bytes a value takes, which may be a hundred times its text.
fn weight(value: &Value) -> usize {
    let within = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(parts) => parts.iter().map(weight).sum(),
        Value::Object(parts) => {
            let named: usize = parts.iter().map(|(name, part)| name.len() + weight(part)).sum();
            named + parts.len().div_ceil(IN_NODE) * NODE
        }
    };
    size_of::<Value>() + within
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Bytes;
    use futures_util::{StreamExt, stream};
    use serde_json::json;

    use super::*;

    /// A body of which all but the end comes.
    fn never() -> Body {
        let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"{")) });
        Body::from_stream(first.chain(stream::pending()))
    }

    fn of(name: &str) -> Sender<'_> {
        Sender { name, most: 2, person: name }
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
            let read = bodies.read(of("a"), body).await.map(|(message, _)| message);
            assert_eq!(read.map_err(|fault| fault.status.as_u16()), expected, "{what}");
        }
    }

    #[tokio::test]
    async fn so_many_bodies_of_one_principal_are_in_memory_and_nobody_else_waits_for_them() {
        let bodies =
            Bodies { comes: Duration::from_secs(600), turn: Duration::from_millis(50), ..Bodies::default() };
        let slow = async { tokio::join!(bodies.read(of("a"), never()), bodies.read(of("a"), never())) };
        let others = async {
            let third = said(bodies.read(of("a"), Body::from("1")).await);
            (third, said(bodies.read(of("b"), Body::from("1")).await))
        };
        tokio::select! {
            biased;
            _ = slow => panic!("they never come"),
            came = others => assert_eq!(came, (Err(503), Ok(json!(1)))),
        }
        // They have hung up.
        assert!(bodies.read(of("a"), Body::from("1")).await.is_ok());
    }

    fn said(read: Result<(Value, Place), Fault>) -> Result<Value, u16> {
        read.map(|(message, _)| message).map_err(|fault| fault.status.as_u16())
    }

    #[tokio::test]
    async fn many_names_of_one_person_have_one_part_of_the_room_and_somebody_else_gets_in() {
        let bodies = Bodies { room: Room::of(8 << 20), ..Bodies::default() };
        let text = || Body::from(format!("\"{}\"", "x".repeat(1 << 20)));
        let mut kept = Vec::new();
        for n in 0..8 {
            let name = format!("agent:{n} for user:mallory");
            let from = Sender { name: &name, most: 2, person: "user:mallory" };
            match bodies.read(from, text()).await {
                Ok((_, place)) => kept.push(place),
                Err(fault) => {
                    assert_eq!(fault.status.as_u16(), 503);
                    let again = fault.respond(None).headers().contains_key("retry-after");
                    assert!(again, "it is said when to come again");
                }
            }
        }
        assert_eq!(kept.len(), 3, "of eight that are there half is not theirs to take whole");
        assert!(bodies.read(of("user:honest"), text()).await.is_ok());
        // What takes little as text and much as values is counted as that.
        let dense = || Body::from(format!("[{}0]", "{\"\":0},".repeat(9_000)));
        assert_eq!(said(bodies.read(of("user:honest"), dense()).await), Err(503));
        kept.clear();
        assert!(
            bodies.read(of("user:honest"), dense()).await.is_err(),
            "a half of the room is less than this"
        );
        let bodies = Bodies { room: Room::of(32 << 20), ..bodies };
        let (_, place) = bodies.read(of("user:honest"), dense()).await.expect("there is room");
        drop(place);
    }
}
