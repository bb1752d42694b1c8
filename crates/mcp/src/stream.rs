//! Answers as server-sent events: word of how it goes while a call is under way, and its answer at the end.

mod parked;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::HeaderValue;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

pub(crate) use self::parked::Parked;
use self::parked::{Connected, Said};
use crate::door::Word;
use crate::eras::Session;
use crate::tools::invitation;

/// While nothing happens, word comes so often.
const OFTEN: Duration = Duration::from_secs(5);

/// A connection on which nothing moves is cut; this moves.
const ALIVE: Duration = Duration::from_secs(20);

/// What a call does until it has its answer.
pub(crate) type Work = Pin<Box<dyn Future<Output = Value> + Send>>;

pub(crate) struct UnderWay {
    /// What its events are called, before their numbers.
    name: String,
    /// What was said of late, to be said again where it did not arrive.
    said: Said,
    /// Whether it waits for people.
    waits: bool,
    work: Option<Work>,
    told: Receiver<Word>,
    says: VecDeque<Value>,
    last: String,
    token: Option<Value>,
    progress: u64,
    tick: Interval,
    /// Who can be led to a page, and by which question they were.
    session: Option<Arc<Session>>,
    asks: bool,
    asked: Option<String>,
}

/// How a call is answered.
pub(crate) struct How {
    /// What it tells meanwhile.
    pub(crate) told: Receiver<Word>,
    /// What its progress is called; nobody wants to know it where there is none.
    pub(crate) token: Option<Value>,
    /// Its session, in the era that has them.
    pub(crate) session: Option<Arc<Session>>,
    /// Whether its client leads its person to a page.
    pub(crate) asks: bool,
}

/// The answer of `work`: at once where it comes soon and nothing is told before, and as a stream otherwise.
pub(crate) async fn answered(mut work: Work, mut how: How) -> Response {
    if how.token.is_some() {
        return events(work, how, None);
    }
    loop {
        tokio::select! {
            biased;
            Some(word) = how.told.recv() => match word {
                Word::Goes(_) => {}
                Word::Waits { .. } if !how.asks => {}
                Word::Waits { .. } => return events(work, how, Some(word)),
            },
            answer = &mut work => return Json(answer).into_response(),
        }
    }
}

/// The answer of `work`, and what it tells meanwhile. Whoever hangs up gives it up.
fn events(work: Work, how: How, first: Option<Word>) -> Response {
    let How { told, token, session, asks } = how;
    let mut tick = interval_at(tokio::time::Instant::now() + OFTEN, OFTEN);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut state = UnderWay {
        name: parked::name(),
        said: Said::default(),
        waits: false,
        work: Some(work),
        told,
        says: VecDeque::new(),
        last: "under way".to_owned(),
        token,
        progress: 0,
        tick,
        session,
        asks,
        asked: None,
    };
    if let Some(first) = first {
        state.hear(first);
    }
    said(Connected { state: Some(state), replay: VecDeque::new() })
}

/// A stream whose connection broke, from behind an event on.
pub(crate) fn taken_up(session: &Session, last: &str) -> Option<Response> {
    let (name, number) = last.rsplit_once('-')?;
    // Before it is taken: what is no event's name takes nothing.
    let number = number.parse().ok()?;
    let state = session.parked.take(name)?;
    let replay = state.said.behind(number);
    Some(said(Connected { state: Some(state), replay }))
}

fn said(connected: Connected) -> Response {
    let events = stream::unfold(connected, |mut connected| async move {
        let (id, message) = connected.next().await?;
        let event = Event::default().data(message.to_string());
        let event = if id.is_empty() { event } else { event.id(id) };
        Some((Ok::<_, Infallible>(event), connected))
    });
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE));
    let mut response = events.into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl UnderWay {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(message) = self.says.pop_front() {
                return Some(message);
            }
            let work = self.work.as_mut()?;
            tokio::select! {
                biased;
                Some(word) = self.told.recv() => self.hear(word),
                answer = work => {
                    self.work = None;
                    self.ask_no_more();
                    self.says.push_back(answer);
                }
                _ = self.tick.tick() => self.goes_on(),
            }
        }
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Goes(words) => {
                self.last = words;
                self.goes_on();
            }
            Word::Waits { request, page } => {
                self.waits = true;
                if let Some(page) = page.filter(|_| self.asks) {
                    self.ask(&request, &page);
                }
            }
        }
    }

    fn goes_on(&mut self) {
        let Some(token) = &self.token else { return };
        self.progress += 1;
        self.says.push_back(json!({
            "jsonrpc": "2.0",
            "method": "notifications/progress",
            "params": { "progressToken": token, "progress": self.progress, "message": self.last },
        }));
    }

    /// Asks the client to lead its person to a page: once, whatever happens to the request.
    fn ask(&mut self, request: &str, page: &str) {
        if self.asked.is_some() {
            return;
        }
        self.asked = self.session.as_ref().and_then(|session| session.ask(request));
        let Some(id) = &self.asked else { return };
        self.says.push_back(json!({
            "jsonrpc": "2.0",
            "id": id,
            "method": "elicitation/create",
            "params": { "mode": "url", "elicitationId": id, "url": page, "message": invitation(request) },
        }));
    }

    /// What was asked is of no matter any more.
    fn ask_no_more(&mut self) {
        let Some(id) = self.asked.take() else { return };
        if let Some(session) = &self.session {
            session.asked(&id);
        }
        self.says.push_back(json!({
            "jsonrpc": "2.0",
            "method": "notifications/elicitation/complete",
            "params": { "elicitationId": id },
        }));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let (Some(id), Some(session)) = (&self.asked, &self.session) {
            session.asked(id);
        }
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
