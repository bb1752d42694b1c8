//! Streams of the older era whose connection broke: what they said is said again to who takes them up (`Last-Event-ID`), and a call
//! that waits for people goes on waiting meanwhile. Whatever else was under way is given up with its connection.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::UnderWay;
use crate::eras::Session;

/// A stream is kept so long without a connection.
const KEPT: Duration = Duration::from_secs(30);
/// So many of one session.
const MOST: usize = 4;
/// So many events of one stream are kept, and so many bytes of them.
const EVENTS: usize = 32;
const BYTES: usize = 512 * 1024;

/// What a new stream's events are called; nothing where there is no randomness, and then it cannot be taken up.
pub(super) fn name() -> String {
    let mut name = [0; 12];
    rand::fill(&mut name).map_or_else(|_| String::new(), |()| URL_SAFE_NO_PAD.encode(name))
}

/// What a stream said of late, by its numbers.
#[derive(Default)]
pub(super) struct Said {
    last: u64,
    bytes: usize,
    events: VecDeque<(u64, usize, Value)>,
}

impl Said {
    /// Keeps one, and says its number.
    fn keep(&mut self, message: &Value) -> u64 {
        self.last += 1;
        let length = message.to_string().len();
        self.events.push_back((self.last, length, message.clone()));
        self.bytes += length;
        while self.events.len() > EVENTS || self.bytes > BYTES {
            let Some((_, length, _)) = self.events.pop_front() else { break };
            self.bytes -= length;
        }
        self.last
    }

    /// What was said behind a number, as far as it is kept.
    pub(super) fn behind(&self, number: u64) -> VecDeque<(u64, Value)> {
        self.events.iter().filter(|(n, ..)| *n > number).map(|(n, _, m)| (*n, m.clone())).collect()
    }
}

/// A stream with a connection.
pub(super) struct Connected {
    pub(super) state: Option<UnderWay>,
    /// What is said again before anything else.
    pub(super) replay: VecDeque<(u64, Value)>,
}

impl Connected {
    /// The next event and what it is called.
    pub(super) async fn next(&mut self) -> Option<(String, Value)> {
        let state = self.state.as_mut()?;
        let called =
            |number| if state.is_kept() { format!("{}-{number}", state.name) } else { String::new() };
        if let Some((number, message)) = self.replay.pop_front() {
            return Some((called(number), message));
        }
        let message = state.next().await?;
        let number = if state.is_kept() { state.said.keep(&message) } else { 0 };
        let called = if state.is_kept() { format!("{}-{number}", state.name) } else { String::new() };
        Some((called, message))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let Some(state) = self.state.take().filter(UnderWay::is_kept) else { return };
        // What runs at a target for nobody is cancelled there, by being dropped.
        if state.work.is_some() && !state.waits {
            return;
        }
        if let Some(session) = state.session.clone() {
            session.parked.keep(&session, state);
        }
    }
}

impl UnderWay {
    /// Whether it can be taken up again.
    fn is_kept(&self) -> bool {
        self.session.is_some() && !self.name.is_empty()
    }
}

/// The streams of a session that have no connection.
#[derive(Default)]
pub(crate) struct Parked(Mutex<HashMap<String, UnderWay>>);

impl Parked {
    fn keep(&self, session: &Arc<Session>, state: UnderWay) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let name = state.name.clone();
        {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MOST {
                return;
            }
            all.insert(name.clone(), state);
        }
        let session: Weak<Session> = Arc::downgrade(session);
        runtime.spawn(async move {
            tokio::time::sleep(KEPT).await;
            let Some(session) = session.upgrade() else { return };
            let late = session.parked.take(&name);
            drop(late);
        });
    }

    /// Takes one up.
    pub(super) fn take(&self, name: &str) -> Option<UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    /// Gives all of them up.
    pub(crate) fn forget(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        drop(all);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use std::sync::Arc;
    use std::time::Duration;

    use axum::http::{HeaderMap, HeaderValue};

    use super::super::{UnderWay, taken_up};
    use super::{EVENTS, Said};
    use crate::eras::Sessions;

    #[tokio::test]
    async fn what_names_no_event_takes_no_stream() {
        let sessions = Sessions::default();
        let id = sessions.begin("a", "a", "2025-11-25", "test".to_owned(), false).expect("begun");
        let mut headers = HeaderMap::new();
        headers.insert("mcp-session-id", HeaderValue::from_str(&id).expect("a header"));
        let session = sessions.find(&headers, "a").expect("there");
        let (_telling, told) = tokio::sync::mpsc::channel(1);
        let state = UnderWay {
            name: "name".to_owned(),
            said: Said::default(),
            waits: true,
            work: None,
            told,
            says: [json!("the answer")].into(),
            last: String::new(),
            token: None,
            progress: 0,
            tick: tokio::time::interval(Duration::from_secs(60)),
            session: Some(Arc::clone(&session)),
            asks: false,
            asked: None,
        };
        session.parked.keep(&session, state);
        for last in ["name-x", "name-", "name", "-1", "name--1", "other-1", "name-18446744073709551616"] {
            assert!(taken_up(&session, last).is_none(), "{last}");
        }
        assert!(taken_up(&session, "name-0").is_some(), "it is there still");
    }

    #[test]
    fn what_was_said_behind_an_event_is_said_again_as_far_as_it_is_kept() {
        let mut said = Said::default();
        for n in 1..=3 {
            assert_eq!(said.keep(&json!(n)), n);
        }
        assert_eq!(said.behind(1).into_iter().map(|(n, _)| n).collect::<Vec<_>>(), [2, 3]);
        assert!(said.behind(3).is_empty() && said.behind(99).is_empty());
        for n in 0..100 {
            said.keep(&json!("x".repeat(n)));
        }
        assert_eq!(said.behind(0).len(), EVENTS);
        said.keep(&json!("x".repeat(super::BYTES)));
        assert!(said.behind(0).is_empty(), "what is too long is not kept");
    }
}
