//! Carriers: those who are told elsewhere what becomes of requests. Each is told everything at least once and in its order,
//! across restarts and by one gateway at a time. They decide nothing here: one that is down holds up and approves nothing.

mod message;
mod webhook;

use std::sync::Weak;
use std::time::Duration;

use journal::record;
use model::News;

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

/// What came of one message.
enum Told {
    Taken,
    /// It was understood and is not wanted, with the status that said so: the next one may be.
    Refused(u16),
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

/// Tells a webhook until the gateway ends.
pub(crate) async fn keep(gateway: Weak<Gateway>, webhook: Webhook) {
    let mut trouble = Trouble::default();
    loop {
        let Some(this) = gateway.upgrade() else { return };
        let news = this.holds().news();
        let told = tell_all(&this, &webhook, &mut trouble).await;
        match told {
            Ok(()) if trouble.failures > 0 => {
                say(&this, &webhook, "carrier is back", "it takes messages again");
                trouble = Trouble::default();
            }
            Ok(()) => (),
            Err(why) => {
                trouble.failures = trouble.failures.saturating_add(1);
                if trouble.failures == 1 {
                    say(&this, &webhook, "carrier is down", &why);
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
fn say(gateway: &Gateway, webhook: &Webhook, what: &str, why: &str) {
    let detail = format!("webhook {}: {why}", webhook.name());
    tracing::warn!("{what}: {detail}");
    let body = record::Body::Administered { who: "gateway".to_owned(), what: what.to_owned(), detail };
    let _ = gateway.note(&body);
}

/// Tells everything that there is; else why not.
async fn tell_all(gateway: &Gateway, webhook: &Webhook, trouble: &mut Trouble) -> Result<(), String> {
    let name = webhook.name();
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
            // What has been forgotten meanwhile is told nobody.
            if let Some(request) = state.request(&news.request).await.map_err(unreadable)? {
                let message = message::of(&news, &request, gateway.console_place());
                match webhook.deliver(&message).await {
                    Told::Taken => gateway.metrics().carried(name, "taken"),
                    Told::Refused(status) if trouble.is_hopeless(&news) => {
                        gateway.metrics().carried(name, "dropped");
                        let (what, answer) = (&message.id, format!("it answers {status}"));
                        say(gateway, webhook, "carrier was not told", &format!("{what}: {answer}"));
                        // The next one is another matter.
                        trouble.failures = 0;
                    }
                    Told::Refused(status) => {
                        gateway.metrics().carried(name, "failed");
                        return Err(format!("it answers {status}"));
                    }
                    Told::Down(why) => {
                        gateway.metrics().carried(name, "failed");
                        return Err(why);
                    }
                }
            }
            state.tell(name, &news).await.map_err(unreadable)?;
        }
    }
}

#[cfg(test)]
mod tests;
