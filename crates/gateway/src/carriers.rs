//! Carriers: those who are told elsewhere what becomes of requests. Each is told everything at least once and in its order,
//! across restarts and by one gateway at a time. They decide nothing here: one that is down holds up and approves nothing.

pub mod clicks;
mod links;
mod message;
mod slack;
mod webhook;

use std::sync::{Arc, Weak};
use std::time::Duration;

use aws_lc_rs::hmac;
use journal::record;
use model::News;

use self::message::Message;
pub use self::slack::Slack;
pub use self::webhook::{Webhook, WebhookError};
use crate::gateway::{Gateway, now};
use crate::state::StateError;

/// How often it is looked whether there is something to tell, where nobody rings.
const LOOK: Duration = Duration::from_secs(1);
/// The first wait after something was not taken; each is twice the one before.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(300);
/// So many messages are told before the gateway says again that it is the one who tells.
const AT_ONCE: i64 = 5;
/// As long as those may take, in seconds, each with its time limit.
const LEAD: i64 = 60;
/// What happened before so many seconds is of no use to anybody any more: three days.
const OLD: i64 = 3 * 86_400;
/// A message that is answered with a refusal is tried so often, for four minutes; whatever else goes wrong, for as long as it
/// is of use.
const TRIES: u32 = 9;

/// One who is told.
#[derive(Debug)]
pub enum Carrier {
    /// Over HTTP.
    Webhook(Box<Webhook>),
    /// In a channel of Slack's.
    Slack(Arc<Slack>),
}

impl Carrier {
    /// What it is called here, each otherwise.
    fn name(&self) -> &str {
        match self {
            Self::Webhook(webhook) => webhook.name(),
            Self::Slack(slack) => slack.name(),
        }
    }

    /// The channel of Slack's, where it is one.
    pub(crate) fn slack(&self) -> Option<Arc<Slack>> {
        match self {
            Self::Webhook(_) => None,
            Self::Slack(slack) => Some(Arc::clone(slack)),
        }
    }

    /// Tells it; `buttons` seals what Slack's say; `mark` is what it called the first message of the same request.
    async fn deliver(&self, message: &Message<'_>, mark: Option<String>, buttons: &hmac::Key) -> Told {
        match self {
            Self::Webhook(webhook) => webhook.deliver(message).await,
            Self::Slack(slack) => slack.deliver(message, mark, buttons).await,
        }
    }

    /// Whether what it calls a message matters.
    fn marks(&self) -> bool {
        match self {
            Self::Webhook(_) => false,
            Self::Slack(_) => true,
        }
    }
}

/// What came of one message.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// It was taken; what it is called there, if it matters.
    Taken(Option<String>),
    /// It was understood and is not wanted, in these words: the next one may be.
    Refused(String),
    /// Nobody was there to take it.
    Down(String),
}

/// What a carrier has not taken so far.
#[derive(Default)]
struct Trouble {
    /// Failures in a row.
    failures: u32,
    /// The message that it refuses, and how often it has.
    refused: Option<(News, u32)>,
}

impl Trouble {
    fn wait(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures.saturating_sub(1).min(16));
        FIRST.saturating_mul(doubled).min(LONGEST)
    }

    /// Whether a message has been refused often enough.
    fn is_hopeless(&mut self, news: &News) -> bool {
        let before = self.refused.take().filter(|(old, _)| old == news).map_or(0, |(_, count)| count);
        self.refused = Some((news.clone(), before + 1));
        before + 1 >= TRIES
    }
}

/// Tells a carrier until the gateway ends.
pub(crate) async fn keep(gateway: Weak<Gateway>, carrier: Carrier) {
    let mut trouble = Trouble::default();
    loop {
        let Some(this) = gateway.upgrade() else { return };
        let news = this.holds().news();
        let told = tell_all(&this, &carrier, &mut trouble).await;
        match told {
            Ok(()) if trouble.failures > 0 => {
                say(&this, &carrier, "carrier is back", "it takes messages again");
                trouble = Trouble::default();
            }
            Ok(()) => (),
            Err(why) => {
                trouble.failures = trouble.failures.saturating_add(1);
                if trouble.failures == 1 {
                    say(&this, &carrier, "carrier is down", &why);
                }
            }
        }
        drop(this);
        if trouble.failures > 0 {
            tokio::time::sleep(trouble.wait()).await;
        } else {
            let _ = tokio::time::timeout(LOOK, news).await;
        }
    }
}

/// It is on record and in the log; a journal that is down says so by itself.
fn say(gateway: &Gateway, carrier: &Carrier, what: &str, why: &str) {
    let detail = format!("{}: {why}", carrier.name());
    tracing::warn!("{what}: {detail}");
    let body = record::Body::Administered { who: "gateway".to_owned(), what: what.to_owned(), detail };
    let _ = gateway.note(&body);
}

/// Tells everything that there is; else why not.
async fn tell_all(gateway: &Gateway, carrier: &Carrier, trouble: &mut Trouble) -> Result<(), String> {
    let name = carrier.name();
    let state = gateway.state();
    let unreadable = |error: StateError| format!("the store cannot be used: {error}");
    // Of a store of one gateway's own nobody else tells, and the next run of it begins at once.
    let lead = if state.is_shared() { LEAD } else { 0 };
    loop {
        // Where another gateway tells it, that one has its troubles, too.
        if !state.lead(name, lead).await.map_err(unreadable)? {
            return Ok(());
        }
        state.expire().await.map_err(unreadable)?;
        let all = state.untold(name, now().saturating_sub(OLD), AT_ONCE).await.map_err(unreadable)?;
        if all.is_empty() {
            return Ok(());
        }
        for news in all {
            let mut mark = None;
            // What has been forgotten meanwhile is told nobody.
            let request = state.request(&news.request).await.map_err(unreadable)?;
            // Nobody is asked about what a standing grant approves.
            if let Some(request) = request.filter(|request| request.granted.is_none()) {
                let before = match carrier.marks() {
                    true => state.mark(name, &news.request).await.map_err(unreadable)?,
                    false => None,
                };
                let message = Message::of(&news, &request, gateway.console_place());
                match carrier.deliver(&message, before, gateway.buttons()).await {
                    Told::Taken(called) => {
                        gateway.metrics().carried(name, "taken");
                        mark = called;
                    }
                    Told::Refused(why) if trouble.is_hopeless(&news) => {
                        gateway.metrics().carried(name, "dropped");
                        let what = message.id();
                        say(gateway, carrier, "carrier was not told", &format!("{what}: {why}"));
                        // The next one is another matter.
                        trouble.failures = 0;
                    }
                    Told::Refused(why) | Told::Down(why) => {
                        gateway.metrics().carried(name, "failed");
                        return Err(why);
                    }
                }
            }
            state.tell(name, &news, mark.as_deref()).await.map_err(unreadable)?;
        }
    }
}

#[cfg(test)]
mod tests;
