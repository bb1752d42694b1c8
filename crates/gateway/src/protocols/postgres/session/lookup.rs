//! What the gateway asks its target on another connection while the client's next message waits for it. The target may let one
//! wait for long: whoever cancels, leaves or is ended meanwhile is heard.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::open::Open;
use crate::catalogue::ReadError;
use crate::freshness::SharedCatalogue;
use crate::protocols::postgres::garbled::Garbled;
use crate::spine::Stop;

/// A client that sends no more may still wait for answers, and is waited for so long; most have gone.
const LEAVES: Duration = Duration::from_millis(500);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// What DDL of this session's has made of the definitions. It is asked to its end, whoever leaves: others need it, too.
    Ddl,
    /// Whether a name that was not found is there by now.
    Name,
    /// The version of what is there at this moment.
    Version,
}

/// A question that is under way. It goes on where nobody waits for it any more.
pub(super) struct Lookup {
    about: About,
    task: JoinHandle<Result<u64, ReadError>>,
    cancel: Arc<Notify>,
    cancelled: Pin<Box<OwnedNotified>>,
    leaves: Option<Instant>,
    /// What the client was told meanwhile is not sent yet.
    holds_back: bool,
}

/// What came first.
pub(super) enum Looked {
    Answered(Result<u64, ReadError>),
    Cancelled,
    /// The client has gone.
    Left,
    /// The question itself failed.
    Lost,
}

impl Lookup {
    /// Asks. `cancel` is what the client's cancels wake.
    pub(super) fn begin(about: About, catalogue: &Arc<SharedCatalogue>, cancel: &Arc<Notify>) -> Self {
        let catalogue = Arc::clone(catalogue);
        let task = tokio::spawn(async move {
            match about {
                About::Ddl => catalogue.refresh().await,
                About::Name => catalogue.refresh_if_moved().await,
                About::Version => return catalogue.version_now().await,
            }
            Ok(catalogue.version())
        });
        let cancelled = Box::pin(Arc::clone(cancel).notified_owned());
        let holds_back = about == About::Ddl;
        Self { about, task, cancel: Arc::clone(cancel), cancelled, leaves: None, holds_back }
    }

    /// Whether nothing is sent to the client until it is answered: whoever hears of the DDL finds it known.
    pub(super) fn holds_back(&self) -> bool {
        self.holds_back
    }

    /// The client sends no more.
    pub(super) fn client_left(&mut self) {
        self.leaves.get_or_insert_with(|| Instant::now() + LEAVES);
    }

    async fn looked(&mut self) -> Looked {
        let leaves = self.leaves;
        let left = async {
            match leaves {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answered = &mut self.task => answered.map_or(Looked::Lost, Looked::Answered),
            () = &mut self.cancelled => {
                self.cancelled = Box::pin(Arc::clone(&self.cancel).notified_owned());
                Looked::Cancelled
            }
            () = left => Looked::Left,
        }
    }
}

/// What comes first of a question that is under way. Cancel-safe.
pub(super) async fn looked(lookup: &mut Option<Lookup>) -> Looked {
    match lookup {
        Some(lookup) => lookup.looked().await,
        None => std::future::pending().await,
    }
}

impl Open {
    /// Asks the target, and lets the client's next message wait.
    pub(super) fn look_up(&mut self, about: About) {
        self.lookup = Some(Lookup::begin(about, &self.target.catalogue, &self.cancel));
        self.waiting = true;
    }

    /// The client will send no more.
    pub(super) fn client_left(&mut self) {
        self.client_ended = true;
        if let Some(lookup) = &mut self.lookup {
            lookup.client_left();
        }
    }

    /// Learns what came of a question.
    pub(super) fn took(&mut self, looked: Looked) -> Result<(), Stop> {
        let Some(lookup) = &mut self.lookup else { return Ok(()) };
        match (looked, lookup.about) {
            (Looked::Left, _) => return Err(Stop::Done),
            (Looked::Lost, _) => return Err(Stop::Broken("a catalogue could not be read")),
            // What was sent is done, and its client hears of it; what it sends next waits.
            (Looked::Cancelled, About::Ddl) if lookup.holds_back => {
                lookup.holds_back = false;
                return Ok(());
            }
            (Looked::Cancelled, about) => {
                self.look_failed = Some(cancelled());
                if about == About::Ddl {
                    return Ok(());
                }
            }
            (Looked::Answered(Ok(version)), About::Version) => self.locks.looked(version),
            (Looked::Answered(Err(error)), About::Version) => {
                tracing::warn!(target_name = %self.target.name, %error, "definitions cannot be looked at");
                self.look_failed = Some(not_seen());
            }
            (Looked::Answered(_), About::Ddl | About::Name) => (),
        }
        self.lookup = None;
        Ok(())
    }

    /// The client's next message, where it is a statement that fails for what came of a question. What else stands there goes its way.
    pub(super) fn failed_look(&mut self) -> Option<Garbled> {
        let garbled = self.look_failed.take()?;
        let input = self.pump.client.input.filled();
        let frame = wire::postgres::split(input, usize::MAX).ok().flatten()?;
        if self.conversation.is_skipping() || !matches!(frame.kind, b'Q' | b'F' | b'P' | b'B') {
            return None;
        }
        let (garbled, whole) = (garbled.in_place_of(&frame), frame.whole.len());
        self.pump.client.input.consume(whole);
        Some(garbled)
    }
}

fn cancelled() -> Garbled {
    Garbled::new("57014", "canceling statement due to user request".to_owned())
}

fn not_seen() -> Garbled {
    let hint = Some("Try again; the session is still open.".to_owned());
    let why = "the target's definitions cannot be looked at, which this statement needs".to_owned();
    Garbled { hint, ..Garbled::new("58000", why) }
}
