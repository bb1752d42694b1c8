//! What the gateway knows of a target while it serves: address, tags, strategies and the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use journal::{Journal, record};
use masking::Strategy;
use model::{Tag, TargetName};
use policy::TargetFacts;
use sql::postgres::catalog::Catalog;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::catalogue::{self, ColumnTag, ReadError};
use crate::metrics::Metrics;
use crate::net::dial::{Address, Login};
use crate::net::tls::UpstreamTls;
use crate::protocols::postgres::{Control, ControlError, Rows};

/// After a failure the target's catalogue is left alone for so long, times the failures in a row.
const BACKOFF: Duration = Duration::from_millis(500);
/// At most so long.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

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
}

/// The password of a target. It is never printed, and copied only into the login that needs it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(pub(crate) Option<Arc<Zeroizing<Vec<u8>>>>);

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
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
    pub columns: Vec<ColumnTag>,
    pub journal: Journal,
    pub metrics: Arc<Metrics>,
}

impl Target {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { name, facts, address, tls, user, database, credential, columns, journal, metrics } =
            parts;
        let place = Place {
            target: name.clone(),
            address: address.clone(),
            tls: tls.clone(),
            user: user.clone(),
            database: database.clone(),
            credential: credential.clone(),
        };
        let catalogue = Arc::new(SharedCatalogue::new(place, Tagging::new(columns), journal, metrics));
        Self { name, facts, address, tls, user, database, catalogue, credential }
    }

    /// The password to log in with. For the dial alone: what it returns never reaches a client, a log or an error.
    pub(crate) fn password(&self) -> Option<&[u8]> {
        self.credential.0.as_ref().map(|password| password.as_slice())
    }

    /// Whether another is the same server, database and login, so that what was read of the one is true of the other.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        self.catalogue.place == other.catalogue.place
    }

    /// The strategy that the configuration names for a column with these tags; the one that shows least, if several.
    pub fn strategy(&self, tags: &BTreeSet<Tag>) -> Option<Strategy> {
        let tagging = self.catalogue.tagging.load();
        tags.iter().filter_map(|tag| tagging.strategies.get(tag).copied()).reduce(strictest)
    }
}

/// How the columns of a target are tagged, and how tags are masked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tagging {
    pub columns: Vec<ColumnTag>,
    strategies: BTreeMap<Tag, Strategy>,
}

impl Tagging {
    fn new(columns: Vec<ColumnTag>) -> Self {
        let mut strategies = BTreeMap::new();
        for column in &columns {
            if let Some(strategy) = column.strategy {
                let kept = strategies.entry(column.tag.clone()).or_insert(strategy);
                *kept = strictest(*kept, strategy);
            }
        }
        Self { columns, strategies }
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

/// Where a target's control connection goes.
#[derive(Clone, PartialEq, Eq)]
struct Place {
    target: TargetName,
    address: Address,
    tls: UpstreamTls,
    user: String,
    database: String,
    credential: Credential,
}

/// The catalogue of one target's database, shared by its sessions and kept fresh over one connection of our own.
pub struct SharedCatalogue {
    place: Place,
    tagging: ArcSwap<Tagging>,
    journal: Journal,
    metrics: Arc<Metrics>,
    current: ArcSwapOption<Version>,
    /// Kept when the catalogue is empty, so that [`Self::current`] always has one to show.
    nothing: Arc<Catalog>,
    versions: AtomicU64,
    reader: Arc<Mutex<Reader>>,
}

struct Version {
    catalogue: Arc<Catalog>,
    number: u64,
}

/// The control connection, and how far it has read.
#[derive(Default)]
struct Reader {
    control: Option<Control>,
    signature: Option<String>,
    /// When the last look at the target began.
    looked: Option<Instant>,
    failures: u32,
    rest_until: Option<Instant>,
}

impl SharedCatalogue {
    fn new(place: Place, tagging: Tagging, journal: Journal, metrics: Arc<Metrics>) -> Self {
        Self {
            place,
            tagging: ArcSwap::from_pointee(tagging),
            journal,
            metrics,
            current: ArcSwapOption::empty(),
            nothing: Arc::new(Catalog::default()),
            versions: AtomicU64::new(0),
            reader: Arc::default(),
        }
    }

    /// The newest catalogue and its version; an empty one of version 0 before the first was read.
    pub fn current(&self) -> (Arc<Catalog>, u64) {
        match &*self.current.load() {
            Some(version) => (Arc::clone(&version.catalogue), version.number),
            None => (Arc::clone(&self.nothing), 0),
        }
    }

    /// The version of the newest; 0 before the first was read.
    pub fn version(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |version| version.number)
    }

    /// What a session asks over its own connection to see the catalogue as it alone does.
    pub fn questions(&self) -> Vec<String> {
        catalogue::questions(self.current().0.server_version)
    }

    /// What the answers to [`Self::questions`] say, with this target's tags.
    ///
    /// # Errors
    /// They are not what was asked for.
    pub fn build(&self, answers: Vec<Rows>) -> Result<Catalog, String> {
        catalogue::build(self.current().0.server_version, answers, &self.tagging.load().columns)
    }

    /// Whether one was read.
    pub fn is_loaded(&self) -> bool {
        self.current.load().is_some()
    }

    /// Waits until there is one: reads it if nobody did.
    ///
    /// # Errors
    /// Why it cannot be read, for the log; a client is told only that it cannot.
    pub async fn ready(&self) -> Result<(), ReadError> {
        if self.is_loaded() {
            return Ok(());
        }
        let mut reader = self.reader.lock().await;
        if self.is_loaded() {
            return Ok(());
        }
        // A login waits for it, so it is tried however lately it failed.
        reader.rest_until = None;
        self.look(&mut reader, true).await
    }

    /// Reads it again: DDL went through the gateway. A failure leaves the old one, and the next look tries again.
    pub async fn refresh(&self) {
        // Sessions that need no certainty about names never had it read.
        if !self.is_loaded() {
            return;
        }
        let asked = Instant::now();
        let mut reader = self.reader.lock().await;
        // Somebody else's look that began after we asked has seen what we have to see.
        if reader.looked.is_some_and(|looked| looked > asked) {
            return;
        }
        let _ = self.look(&mut reader, false).await;
    }

    /// Reads it again if the target's own signature of it has moved.
    pub async fn refresh_if_moved(&self) {
        self.refresh().await;
    }

    async fn look(&self, reader: &mut Reader, first: bool) -> Result<(), ReadError> {
        let now = Instant::now();
        if reader.rest_until.is_some_and(|until| until > now) {
            return Err(ReadError::Resting);
        }
        reader.looked = Some(now);
        match self.read(reader, first).await {
            Ok(()) => {
                reader.failures = 0;
                Ok(())
            }
            Err(error) => {
                reader.control = None;
                reader.failures = reader.failures.saturating_add(1);
                reader.rest_until = Some(now + (BACKOFF * reader.failures).min(LONGEST_BACKOFF));
                self.metrics.catalogue_failures.inc();
                tracing::warn!(target_name = %self.place.target, %error, "the target's catalogue cannot be read");
                Err(error)
            }
        }
    }

    async fn read(&self, reader: &mut Reader, first: bool) -> Result<(), ReadError> {
        let reconnected = reader.control.is_none();
        let control = match &mut reader.control {
            Some(control) => control,
            none => none.insert(self.connect().await?),
        };
        let signature = match catalogue::signature(control).await {
            Ok(signature) => signature,
            // The connection has ended since we last used it: a new one is worth one try.
            Err(ReadError::Control(ControlError::Lost(_))) if !reconnected => {
                *control = self.connect().await?;
                catalogue::signature(control).await?
            }
            Err(error) => return Err(error),
        };
        if self.is_loaded() && reader.signature.as_ref() == Some(&signature) {
            return Ok(());
        }
        let purpose = if first { "catalogue" } else { "catalogue again" };
        let note =
            record::Body::Gateway { target: self.place.target.to_string(), purpose: purpose.to_owned() };
        self.journal.append(&note).map_err(|_| ReadError::Journal)?;
        let read = catalogue::read(control, &self.tagging.load().columns).await?;
        self.take(read);
        reader.signature = Some(signature);
        self.metrics.catalogue_reads.inc();
        Ok(())
    }

    fn take(&self, read: Catalog) {
        let number = self.versions.fetch_add(1, Ordering::Relaxed) + 1;
        self.current.store(Some(Arc::new(Version { catalogue: Arc::new(read), number })));
    }

    /// How its columns are tagged now.
    pub(crate) fn tagging(&self) -> Arc<Tagging> {
        self.tagging.load_full()
    }

    /// Reads the catalogue under other tags, to be taken with them or not at all. Nobody else reads it meanwhile.
    pub(crate) async fn stage(self: &Arc<Self>, tagging: Arc<Tagging>) -> Staged {
        let mut reader = Arc::clone(&self.reader).lock_owned().await;
        let mut read = None;
        if self.is_loaded() {
            let again = async {
                let control = match &mut reader.control {
                    Some(control) => control,
                    none => none.insert(self.connect().await?),
                };
                catalogue::read(control, &tagging.columns).await
            };
            match again.await {
                Ok(catalogue) => read = Some(catalogue),
                Err(error) => {
                    reader.control = None;
                    tracing::warn!(target_name = %self.place.target, %error, "the catalogue cannot be read for new tags");
                }
            }
        }
        Staged { shared: Arc::clone(self), tagging, read, reader }
    }

    async fn connect(&self) -> Result<Control, ReadError> {
        Ok(self.place.control().await?)
    }
}

/// New tags, and the catalogue under them.
pub(crate) struct Staged {
    shared: Arc<SharedCatalogue>,
    tagging: Arc<Tagging>,
    read: Option<Catalog>,
    reader: OwnedMutexGuard<Reader>,
}

impl Staged {
    /// Takes both. Whether sessions can go on: where the catalogue could not be read under the new tags, they cannot, and
    /// the next login reads it.
    pub(crate) fn take(mut self) -> bool {
        let loaded = self.shared.is_loaded();
        self.shared.tagging.store(self.tagging);
        match self.read {
            Some(read) => {
                self.shared.take(read);
                true
            }
            None => {
                self.reader.signature = None;
                self.shared.current.store(None);
                !loaded
            }
        }
    }
}

impl Place {
    async fn control(&self) -> Result<Control, ControlError> {
        let parameters = parameters(&self.user, &self.database);
        let password = self.credential.0.as_ref().map(|p| p.as_slice());
        let login = Login { user: &self.user, password, minor: 0, parameters: &parameters };
        Control::connect(&self.address, &self.tls, &login).await
    }
}

impl Target {
    /// A new connection of our own, for `doctor`.
    pub(crate) async fn control(&self) -> Result<Control, ControlError> {
        self.catalogue.place.control().await
    }
}

/// How a connection of our own begins: it only reads, and resolves no name outside the system's schema.
fn parameters(user: &str, database: &str) -> Vec<(String, String)> {
    [
        ("user", user),
        ("database", database),
        ("application_name", "durward"),
        ("client_encoding", "UTF8"),
        ("default_transaction_read_only", "on"),
        ("search_path", "pg_catalog"),
        ("statement_timeout", "55s"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}
