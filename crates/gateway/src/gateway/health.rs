//! How a gateway is, for whoever watches it.

use std::collections::BTreeMap;

use super::Gateway;
use crate::metrics::Snapshot;
use crate::targets::Contact;

/// How the gateway is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Health {
    /// Whether new clients should be sent here.
    pub ready: bool,
    /// The journal could be written when it last was.
    pub journal: bool,
    /// The store answers.
    pub store: bool,
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
        let Health { journal, store, targets, introspection, .. } = self.health().await;
        let targets = targets.into_iter().map(|(name, contact)| {
            let count = sessions.get(&name).copied().unwrap_or_default();
            (name, count, contact.is_good())
        });
        self.metrics.observe(&Snapshot {
            journal,
            store,
            lag: self.journal.lag(),
            recorded: self.recorder.counts(),
            targets: targets.collect(),
            askers: introspection.into_iter().filter_map(|(name, c)| Some((name, c.is_good()?))).collect(),
        });
        self.metrics.render()
    }

    /// Whether it can serve: the journal can be written and the store read.
    pub async fn health(&self) -> Health {
        let in_force = self.in_force.load_full();
        let journal = self.journal.is_up();
        let store = self.is_current().is_ok() && self.state.is_reachable().await.unwrap_or(false);
        let draining = self.draining.borrow().is_some();
        Health {
            ready: journal && store && !draining,
            journal,
            store,
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
