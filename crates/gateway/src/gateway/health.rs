//! How a gateway is, for whoever watches it.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::{Duration, Instant};

use journal::record;
use tokio::time::{sleep, timeout};

use super::{Gateway, now};
use crate::metrics::Snapshot;
use crate::state::Trouble;
use crate::targets::Contact;

/// Whoever asks is told what was found so lately.
const FRESH: Duration = Duration::from_secs(1);
/// Where nobody asks it is tried so often, for the log.
const UNASKED: Duration = Duration::from_secs(5);
/// So long the store's answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found when the store was last written, and when.
pub(crate) type Beat = tokio::sync::Mutex<Option<(Instant, Option<Trouble>)>>;

/// Tries whether the store can be written until the gateway is gone.
pub(crate) async fn keep(gateway: Weak<Gateway>) {
    loop {
        sleep(UNASKED).await;
        let Some(gateway) = gateway.upgrade() else { return };
        gateway.store_trouble().await;
    }
}

/// How the gateway is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Health {
    /// Whether new clients should be sent here.
    pub ready: bool,
    /// The journal could be written when it last was.
    pub journal: bool,
    /// The store answers, and can be written.
    pub store: bool,
    /// What is wrong with the store, if something is.
    #[schemars(with = "Option<String>")]
    pub store_trouble: Option<Trouble>,
    /// It is about to end.
    pub draining: bool,
    /// Sessions open now.
    pub sessions: usize,
    /// The files that should be in force, when they were last read.
    pub files: Files,
    /// Each issuer of tokens by its name, and whether its tokens can be checked.
    pub issuers: BTreeMap<String, bool>,
    /// Each issuer that is asked about tokens, and how it was last met. While it cannot be asked nobody comes in by its word.
    pub introspection: BTreeMap<String, Contact>,
    /// Each target by its name. One that cannot be reached makes the gateway no less ready for the others.
    pub targets: BTreeMap<String, Contact>,
}

/// Whether files could be read and taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Files {
    /// They are in force.
    Valid,
    /// They are not, and what was in force before is.
    Invalid,
}

/// How the gateway is, with what only an administrator is told.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Status {
    /// What everybody is told.
    #[serde(flatten)]
    pub health: Health,
    /// The gateway's own.
    pub version: &'static str,
    /// Names the configuration in force.
    pub configuration: String,
    /// The version of the policies in force.
    pub policies: String,
    /// What is wrong with the files, if something is.
    pub problem: Option<String>,
}

impl Gateway {
    /// Everything that is counted, as text, for `GET /metrics`.
    pub async fn metrics_page(&self) -> String {
        self.count_sessions();
        let mut sessions = BTreeMap::<String, usize>::new();
        self.sessions.for_each(|live| *sessions.entry(live.target.to_string()).or_default() += 1);
        let Health { journal, store, store_trouble, targets, introspection, .. } = self.health().await;
        let targets = targets.into_iter().map(|(name, contact)| {
            let count = sessions.get(&name).copied().unwrap_or_default();
            (name, count, contact.is_good())
        });
        self.metrics.observe(&Snapshot {
            journal,
            store,
            store_trouble: store_trouble.map(Trouble::as_str),
            lag: self.journal.lag(),
            recorded: self.recorder.counts(),
            targets: targets.collect(),
            askers: introspection.into_iter().filter_map(|(name, c)| Some((name, c.is_good()?))).collect(),
        });
        self.metrics.render()
    }

    /// Whether the store can be written: by writing it, unless that was just done. It is tried beside the data path, and once
    /// for all who ask.
    async fn store_trouble(&self) -> Option<Trouble> {
        let mut last = self.beat.lock().await;
        if let Some((at, found)) = *last
            && at.elapsed() < FRESH
        {
            return found;
        }
        let found = match timeout(PATIENCE, self.state.beat(now())).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Some(Trouble::Failing),
            Err(_) => Some(Trouble::Unreachable),
        };
        if last.and_then(|(_, before)| before) != found {
            self.tell_of_trouble(found);
        }
        *last = Some((Instant::now(), found));
        found
    }

    /// Once for each.
    fn tell_of_trouble(&self, found: Option<Trouble>) {
        let detail = match found {
            None => {
                tracing::info!("the store can be written again");
                "can be written again".to_owned()
            }
            Some(trouble) => {
                let word = trouble.as_str();
                tracing::error!(
                    "the store cannot be written: {word}. What is changed, asked for or answered is refused until it can; what \
                     is only read goes on"
                );
                format!("cannot be written: {word}")
            }
        };
        // It is so whether or not it can be written down.
        let _ = self.note(&record::Body::Administered {
            who: "gateway".to_owned(),
            what: "store".to_owned(),
            detail,
        });
    }

    /// Whether it can serve: the journal and the store can be written.
    pub async fn health(&self) -> Health {
        let in_force = self.in_force.load_full();
        let journal = self.journal.is_up();
        let trouble = self.store_trouble().await;
        let store_trouble = trouble.or(self.is_current().err().map(|_| Trouble::Unreachable));
        let store = store_trouble.is_none();
        let draining = self.draining.borrow().is_some();
        Health {
            ready: journal && store && !draining,
            journal,
            store,
            store_trouble,
            draining,
            sessions: self.sessions.count(),
            files: if self.files.load().is_some() { Files::Invalid } else { Files::Valid },
            issuers: self.issuers().standing().into_iter().map(|i| (i.name, i.usable)).collect(),
            introspection: in_force.issuers.met(),
            targets: in_force.targets.iter().map(|(name, t)| (name.to_string(), t.contact())).collect(),
        }
    }

    /// The same, with what only an administrator is told.
    pub async fn status(&self) -> Status {
        let in_force = self.in_force.load_full();
        Status {
            health: self.health().await,
            version: env!("CARGO_PKG_VERSION"),
            configuration: in_force.digest.clone(),
            policies: in_force.policies.version().to_owned(),
            problem: self.files.load_full().map(|problem| problem.as_ref().clone()),
        }
    }
}
