//! The way of spans to a collector: OTLP over HTTP in JSON, in batches, behind a bound. A collector that does not answer costs
//! spans, and nothing else.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};
use zeroize::Zeroizing;

use super::Traces;
use super::otlp;
use super::span::{Clock, Ids, Span};
use crate::net::web::{Client, WebError};

/// So many operations may wait for the exporter.
const MOST_WAITING: usize = 4096;
/// So many spans leave together at most, but for those of the last operation.
const BATCH: usize = 1024;
/// And they wait for each other so long.
const TOGETHER: Duration = Duration::from_secs(1);
/// A batch is tried so often, and each time waits twice as long as before.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Where spans are sent.
#[derive(Debug)]
pub struct Collector {
    /// The whole address: `https://collector.example:4318/v1/traces`.
    pub address: String,
    /// Headers, such as `authorization`.
    pub headers: Vec<(String, Zeroizing<String>)>,
    /// Authorities in PEM, the system's where none are given.
    pub authorities: Option<String>,
    /// What this gateway is called there.
    pub service: String,
    /// Of a million traces so many are sent.
    pub sample: u32,
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// No address, or one that would send secrets in clear.
    #[error(
        "{0}: a collector's address begins with https://, or with http:// where no header is sent or on this machine"
    )]
    Address(String),
    /// No name of a header.
    #[error("\"{0}\" is no name of a header")]
    Header(String),
    /// The authorities cannot be read.
    #[error(transparent)]
    Web(#[from] WebError),
}

enum Message {
    Spans(Vec<Span>),
    /// Everything before it is sent, and then this is told.
    Flush(oneshot::Sender<()>),
}

/// The sessions' end.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    channel: mpsc::Sender<Message>,
    dropped: Arc<AtomicU64>,
    /// Traces whose number is not above this are sent.
    last: Option<u64>,
}

impl Sender {
    /// Whether a trace is one of those that are sent. By its id alone, so that everybody who knows it says the same.
    pub(super) fn takes(&self, ids: &Ids) -> bool {
        let number = ids.trace.last_chunk().copied().map_or(0, u64::from_be_bytes);
        self.last.is_some_and(|last| number <= last)
    }

    pub(super) fn send(&self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        if self.channel.try_send(Message::Spans(spans)).is_err() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
impl Sender {
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Traces {
    /// Waits until everything that was said so far is sent, or cannot be.
    pub async fn flush(&self) {
        let Some(sender) = &self.0 else { return };
        let (done, flushed) = oneshot::channel();
        if sender.channel.send(Message::Flush(done)).await.is_ok() {
            let _ = flushed.await;
        }
    }
}

/// What sends; it is run beside the gateway.
pub struct Exporter {
    client: Client,
    collector: Collector,
    channel: mpsc::Receiver<Message>,
    dropped: Arc<AtomicU64>,
    /// Whether the last batch could not be sent: that is said once.
    failing: bool,
}

/// Both ends of the way to a collector.
///
/// # Errors
/// Why there is none.
pub fn start(collector: Collector) -> Result<(Traces, Exporter), CollectorError> {
    let here = ["http://127.0.0.1:", "http://[::1]:", "http://localhost:"];
    let address = &collector.address;
    let in_clear = address.starts_with("http://")
        && (collector.headers.is_empty() || here.iter().any(|h| address.starts_with(h)));
    if !(in_clear || address.starts_with("https://")) {
        return Err(CollectorError::Address(collector.address));
    }
    let is_token = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    if let Some((name, _)) = collector.headers.iter().find(|(name, _)| !is_token(name)) {
        return Err(CollectorError::Header(name.clone()));
    }
    let client = Client::new(collector.authorities.as_deref())?;
    let (sender, channel) = mpsc::channel(MOST_WAITING);
    let dropped = Arc::<AtomicU64>::default();
    let last = u128::from(collector.sample) * u128::from(u64::MAX) / 1_000_000;
    let last = (collector.sample > 0).then(|| u64::try_from(last).unwrap_or(u64::MAX));
    let traces = Traces(Some(Sender { channel: sender, dropped: Arc::clone(&dropped), last }));
    Ok((traces, Exporter { client, collector, channel, dropped, failing: false }))
}

impl Exporter {
    /// Sends until every session and the gateway are gone.
    pub async fn run(mut self) {
        while let Some(first) = self.channel.recv().await {
            let (spans, flushes) = self.gather(first).await;
            if !spans.is_empty() {
                self.deliver(&spans).await;
            }
            for done in flushes {
                let _ = done.send(());
            }
        }
    }

    /// What comes within a moment, up to a bound or a word to hurry.
    async fn gather(&mut self, first: Message) -> (Vec<Span>, Vec<oneshot::Sender<()>>) {
        let until = Instant::now() + TOGETHER;
        let (mut spans, mut flushes) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Message::Spans(more) => spans.extend(more),
                Message::Flush(done) => flushes.push(done),
            }
            if spans.len() < BATCH && flushes.is_empty() {
                next = timeout_at(until, self.channel.recv()).await.ok().flatten();
            }
        }
        (spans, flushes)
    }

    async fn deliver(&mut self, spans: &[Span]) {
        let body = otlp::request(&self.collector.service, spans, Clock::now()).to_string();
        let mut pause = FIRST_PAUSE;
        let mut last = None;
        // Of one that did not come back in that time, each batch asks once.
        let tries = if self.failing { 1 } else { TRIES };
        for n in 0..tries {
            if n > 0 {
                sleep(pause).await;
                pause *= 2;
            }
            match self.post(&body).await {
                Ok(()) => {
                    if std::mem::take(&mut self.failing) {
                        tracing::info!("the collector of traces is back");
                    }
                    last = None;
                    break;
                }
                Err(error) => {
                    // What it does not understand it will not understand later.
                    let again = match &error {
                        WebError::Unreachable(_) => true,
                        WebError::Status(status) => matches!(status, 429 | 502..=504),
                        WebError::Authorities(_) | WebError::Body | WebError::Broken => false,
                    };
                    last = Some(error);
                    if !again {
                        break;
                    }
                }
            }
        }
        if let Some(error) = last {
            self.dropped.fetch_add(spans.len() as u64, Ordering::Relaxed);
            if !std::mem::replace(&mut self.failing, true) {
                tracing::warn!("the collector of traces does not take them: {error}");
            }
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(spans = dropped, "spans were dropped");
        }
    }

    async fn post(&self, body: &str) -> Result<(), WebError> {
        let headers = self.collector.headers.iter();
        let headers = headers.map(|(name, value)| (Cow::Owned(name.clone()), value.clone())).collect();
        let body = Zeroizing::new(body.to_owned());
        self.client.post_json(&self.collector.address, headers, body, LONGEST_ANSWER).await.map(drop)
    }
}
