//! What the gateway knows of a target while it serves: address, tags, strategies and the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use journal::Journal;
use masking::Strategy;
use model::{Tag, TargetName};
use policy::TargetFacts;
use sql::postgres::catalog::{Catalog, Cleared};

use crate::catalogue::ColumnTag;
use crate::configure::{Freshness, ReadOnly};
use crate::credentials::Credential;
use crate::freshness::{Place, SharedCatalogue};
use crate::metrics::Metrics;
use crate::net::dial::Address;
use crate::net::tls::UpstreamTls;
use crate::protocols::postgres::{Control, ControlError, Shared};
use crate::state::State;

/// One service behind the gateway, as it is configured now.
pub struct Target {
    /// Its name.
    pub name: TargetName,
    /// What a policy may ask of it.
    pub facts: TargetFacts,
    /// Where it listens.
    pub address: Address,
    /// How its TLS is judged.
    pub tls: UpstreamTls,
    /// The role that the gateway logs in as.
    pub user: String,
    /// The database.
    pub database: String,
    /// What the database holds, and how its columns are tagged: shared with the sessions of an older configuration, so
    /// that they see new tags, too.
    pub catalogue: Arc<SharedCatalogue>,
    pub(crate) credential: Credential,
    /// What is asked of its sessions beyond policy.
    pub(crate) care: Care,
    /// What its sessions have understood.
    pub(crate) meanings: Shared,
}

/// How careful the gateway is with a target beyond what policy says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Care {
    pub read_only: ReadOnly,
    pub freshness: Freshness,
}

/// How the gateway last met a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Contact {
    /// Nobody has wanted to reach it yet.
    Unused,
    /// It answered.
    Reachable,
    /// It did not, or refused for another reason than those below.
    Unreachable,
    /// Its host's name leads nowhere.
    Unresolved,
    /// No TLS that is trusted came about.
    Untrusted,
    /// It does not accept the gateway's login.
    LoginRefused,
    /// The gateway cannot get its credential for it.
    NoCredential,
    /// The database is not there, or takes no connections.
    NoDatabase,
    /// It has no connection left.
    Full,
    /// It is starting up, shutting down or recovering.
    NotReady,
    /// It lets the gateway in, and its catalogue cannot be read.
    Unreadable,
}

impl Contact {
    /// All of them, by their numbers.
    const ALL: [Self; 11] = [
        Self::Unused,
        Self::Reachable,
        Self::Unreachable,
        Self::Unresolved,
        Self::Untrusted,
        Self::LoginRefused,
        Self::NoCredential,
        Self::NoDatabase,
        Self::Full,
        Self::NotReady,
        Self::Unreadable,
    ];

    /// The one of this number.
    pub(crate) fn of(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Unreachable)
    }

    /// Whether it can be used; `None` where nobody has tried.
    pub fn is_good(self) -> Option<bool> {
        (self != Self::Unused).then_some(self == Self::Reachable)
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unused => "not used yet",
            Self::Reachable => "reachable",
            Self::Unreachable => "not reachable",
            Self::Unresolved => "its host's name is not found",
            Self::Untrusted => "no TLS that is trusted",
            Self::LoginRefused => "refuses the gateway's login",
            Self::NoCredential => "its credential cannot be had",
            Self::NoDatabase => "its database is not there",
            Self::Full => "has no connection left",
            Self::NotReady => "starting up, shutting down or recovering",
            Self::Unreadable => "its catalogue cannot be read",
        }
    }
}

/// Everything that a target is made of.
pub(crate) struct Parts {
    pub name: TargetName,
    pub facts: TargetFacts,
    pub address: Address,
    pub tls: UpstreamTls,
    pub user: String,
    pub database: String,
    pub credential: Credential,
    pub tagging: Tagging,
    pub care: Care,
    pub journal: Journal,
    pub state: State,
    pub metrics: Arc<Metrics>,
}

impl Target {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            name,
            facts,
            address,
            tls,
            user,
            database,
            credential,
            tagging,
            care,
            journal,
            state,
            metrics,
        } = parts;
        let place = Place {
            target: name.clone(),
            address: address.clone(),
            tls: tls.clone(),
            user: user.clone(),
            database: database.clone(),
            credential: credential.clone(),
        };
        let catalogue = Arc::new(SharedCatalogue::new(place, tagging, journal, state, metrics));
        Self {
            name,
            facts,
            address,
            tls,
            user,
            database,
            catalogue,
            credential,
            care,
            meanings: Shared::default(),
        }
    }

    /// Whether another is the same server, database and login, so that what was read of the one is true of the other.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        self.catalogue.place == other.catalogue.place
    }

    /// How it was last met, by a session or by a look at its catalogue.
    pub fn contact(&self) -> Contact {
        self.catalogue.contact()
    }

    /// The strategy that the configuration names for a column with these tags; the one that shows least, if several.
    pub fn strategy(&self, tags: &BTreeSet<Tag>) -> Option<Strategy> {
        let tagging = self.catalogue.tagging.load();
        tags.iter().filter_map(|tag| tagging.strategies.get(tag).copied()).reduce(strictest)
    }
}

/// How the columns of a target are tagged, how tags are masked, and which of its functions are cleared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tagging {
    pub columns: Vec<ColumnTag>,
    strategies: BTreeMap<Tag, Strategy>,
    /// Functions that a person has read, by their signatures.
    cleared: HashMap<String, Cleared>,
}

impl Tagging {
    pub(crate) fn new(columns: Vec<ColumnTag>) -> Self {
        let mut strategies = BTreeMap::new();
        for column in &columns {
            if let Some(strategy) = column.strategy {
                let kept = strategies.entry(column.tag.clone()).or_insert(strategy);
                *kept = strictest(*kept, strategy);
            }
        }
        Self { columns, strategies, cleared: HashMap::new() }
    }

    /// With these functions cleared.
    pub(crate) fn clearing(self, cleared: HashMap<String, Cleared>) -> Self {
        Self { cleared, ..self }
    }

    /// A catalogue in which they are.
    pub(crate) fn clears(&self, catalogue: Catalog) -> Catalog {
        catalogue.clearing(self.cleared.clone())
    }
}

fn strictest(a: Strategy, b: Strategy) -> Strategy {
    let shows = |s: &Strategy| match s {
        Strategy::Null => 0,
        Strategy::Redact => 1,
        Strategy::Generalize => 2,
        Strategy::Hash => 3,
        Strategy::Partial => 4,
    };
    std::cmp::min_by_key(a, b, shows)
}

impl Target {
    /// A new connection of our own, for `doctor`.
    pub(crate) async fn control(&self) -> Result<Control, ControlError> {
        self.catalogue.place.control().await
    }
}
