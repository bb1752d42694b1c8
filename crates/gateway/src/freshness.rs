//! The catalogue of a target, shared by its sessions and kept fresh. What is not known to be fresh is not used: a
//! catalogue that could not be looked at for a while is dropped, and then nothing on its target is understood.

mod heard;
mod place;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use journal::{Journal, record};
use sql::postgres::catalog::{Catalog, Placed};
use tokio::sync::Mutex;
use tokio::time::Instant;

pub(crate) use self::place::Place;
use crate::catalogue::{self, ReadError};
use crate::metrics::Metrics;
use crate::protocols::postgres::{Control, ControlError, Rows};
use crate::state::State;
use crate::targets::{Contact, Tagging};

/// After a failure the target's catalogue is left alone for so long, times the failures in a row.
const BACKOFF: Duration = Duration::from_millis(500);
/// At most so long.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// A look costs the server at most one part in so many of its time.
const SHARE: u32 = 20;
/// A login believes what was seen so lately.
const RECENT: Duration = Duration::from_secs(5);
/// After so long without a successful look, what was read is not believed any more.
const STALE: Duration = Duration::from_secs(30);
/// Definitions that were locked are asked for again after so long.
const LOCKED: Duration = Duration::from_secs(5);
/// Reading so many relations makes the server's process large; a new one is small again.
const LARGE: usize = 10_000;
/// A catalogue that changes while it is read is read again, so often.
const READS: usize = 3;

/// The catalogue of one target's database, read over one connection of our own.
pub struct SharedCatalogue {
    pub(crate) place: Place,
    pub(crate) tagging: ArcSwap<Tagging>,
    journal: Journal,
    state: State,
    metrics: Arc<Metrics>,
    current: ArcSwapOption<Version>,
    /// Shown where there is none.
    nothing: Arc<Catalog>,
    versions: AtomicU64,
    /// `server_version_num`; 0 before it is known.
    server: AtomicU32,
    /// Somebody needed it. Sessions that need no certainty about names never have it read.
    wanted: AtomicBool,
    /// Somebody listens to what the target tells.
    hearing: AtomicBool,
    /// When the last look that succeeded began.
    seen: ArcSwapOption<Instant>,
    reader: Mutex<Reader>,
    /// How many connections the target has for us, and one more; 0 before it has said so.
    room: AtomicUsize,
    /// Who asks it that.
    asking: Mutex<()>,
    /// How the target was last met: a [`Contact`] as a number.
    met: AtomicU8,
    /// Tags and the catalogue under them change together.
    swap: std::sync::Mutex<()>,
    /// Where configured columns were found so far; a catalogue that was dropped takes it nowhere.
    placed: ArcSwap<Placed>,
    /// What the store has of it; none before it was asked.
    kept: ArcSwapOption<Placed>,
}

struct Version {
    catalogue: Arc<Catalog>,
    number: u64,
}

/// The control connection, and how far it has read.
#[derive(Default)]
struct Reader {
    control: Option<Control>,
    /// What the target said before the newest catalogue was read.
    signature: Option<String>,
    pulse: Option<String>,
    /// How long the target took for its signature.
    cost: Duration,
    /// When the last look began.
    looked: Option<Instant>,
    /// When it is to be read whatever its signature says.
    again: Option<Instant>,
    failures: u32,
    rest_until: Option<Instant>,
    /// When the last look of a login's that failed began, and what it found.
    failed: Option<(Instant, Arc<ReadError>)>,
}

impl SharedCatalogue {
    pub(crate) fn new(
        place: Place,
        tagging: Tagging,
        journal: Journal,
        state: State,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            place,
            tagging: ArcSwap::from_pointee(tagging),
            journal,
            state,
            metrics,
            current: ArcSwapOption::empty(),
            nothing: Arc::new(Catalog::unknown()),
            versions: AtomicU64::new(0),
            server: AtomicU32::new(0),
            wanted: AtomicBool::new(false),
            hearing: AtomicBool::new(false),
            seen: ArcSwapOption::empty(),
            reader: Mutex::default(),
            room: AtomicUsize::new(0),
            asking: Mutex::default(),
            met: AtomicU8::new(0),
            swap: std::sync::Mutex::default(),
            placed: ArcSwap::default(),
            kept: ArcSwapOption::empty(),
        }
    }

    /// How many connections the target has for the gateway's role, as far as it was asked.
    pub(crate) fn known_room(&self) -> Option<usize> {
        self.room.load(Ordering::Acquire).checked_sub(1)
    }

    /// The same; it is asked where it was not. Where it does not say, nobody knows.
    pub(crate) async fn room(&self) -> Option<usize> {
        if self.known_room().is_none() {
            let _alone = self.asking.lock().await;
            if self.known_room().is_none() {
                let purpose = "how many connections it has".to_owned();
                let note = record::Body::Gateway { target: self.place.target.to_string(), purpose };
                self.journal.append(&note).ok()?;
                let mut control = self.place.control().await.ok()?;
                self.ask_for_room(&mut control).await;
            }
        }
        self.known_room()
    }

    async fn ask_for_room(&self, control: &mut Control) {
        match catalogue::room(control).await {
            Ok(Some(room)) => self.room.store(room.saturating_add(1), Ordering::Release),
            Ok(None) => (),
            Err(error) => {
                tracing::warn!(target_name = %self.place.target, %error, "it does not say how many connections it has");
            }
        }
    }

    /// How the target was last met.
    pub(crate) fn contact(&self) -> Contact {
        Contact::of(self.met.load(Ordering::Relaxed))
    }

    /// The target was met just now.
    pub(crate) fn met(&self, contact: Contact) {
        self.met.store(contact as u8, Ordering::Relaxed);
    }

    /// The newest catalogue and its version; one that knows nothing, of version 0, where there is none.
    pub fn current(&self) -> (Arc<Catalog>, u64) {
        match &*self.current.load() {
            Some(version) => (Arc::clone(&version.catalogue), version.number),
            None => (Arc::clone(&self.nothing), 0),
        }
    }

    /// The version of the newest; 0 where there is none.
    pub fn version(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |version| version.number)
    }

    /// What a session asks over its own connection to see the catalogue as it alone does.
    pub fn questions(&self) -> Vec<String> {
        catalogue::questions(self.server.load(Ordering::Acquire))
    }

    /// What the answers to [`Self::questions`] say, with this target's tags.
    ///
    /// # Errors
    /// They are not what was asked for.
    pub fn build(&self, answers: &[Rows]) -> Result<Catalog, String> {
        let (version, tagging) = (self.server.load(Ordering::Acquire), self.tagging.load());
        let built =
            tagging.clears(catalogue::build(version, answers, &tagging.columns, &self.placed.load())?);
        // What a session alone sees now is found there again when it has detached it, in the same transaction or later.
        if built.placed().unknown_to(&self.placed.load()).places().next().is_some() {
            self.placed.rcu(|known| {
                let mut placed = Placed::clone(known);
                placed.also(built.placed());
                placed
            });
        }
        Ok(built)
    }

    /// What a session asks over its own connection for its temporary objects alone.
    pub fn temporary_questions(&self) -> Vec<String> {
        catalogue::temporary_questions(self.server.load(Ordering::Acquire))
    }

    /// A catalogue with the temporary objects in the answers to [`Self::temporary_questions`].
    ///
    /// # Errors
    /// They are not what was asked for.
    pub fn with_temporary(&self, catalogue: &Catalog, answers: &[Rows]) -> Result<Catalog, String> {
        catalogue::with_temporary(catalogue, answers, &self.tagging.load().columns)
    }

    /// Whether there is one.
    pub fn is_loaded(&self) -> bool {
        self.current.load().is_some()
    }

    /// Waits until there is one that was looked at lately.
    ///
    /// # Errors
    /// Why it cannot be read, for the log; a client is told only that it cannot.
    pub async fn ready(&self) -> Result<(), ReadError> {
        self.wanted.store(true, Ordering::Release);
        if self.is_recent() {
            return Ok(());
        }
        let asked = Instant::now();
        let mut reader = self.reader.lock().await;
        if self.is_recent() {
            return Ok(());
        }
        // Those who waited for another's look that failed do not each wait for one more: a target may take long to be silent.
        if let Some((_, error)) = reader.failed.as_ref().filter(|(began, _)| *began >= asked) {
            return if self.is_loaded() { Ok(()) } else { Err(ReadError::Same(Arc::clone(error))) };
        }
        // A login waits for it, so it is tried however lately it failed.
        reader.rest_until = None;
        match self.look(&mut reader).await {
            Err(_) if self.is_loaded() => Ok(()),
            Err(error) => {
                let error = Arc::new(error);
                reader.failed = reader.looked.map(|began| (began, Arc::clone(&error)));
                Err(ReadError::Same(error))
            }
            Ok(()) => Ok(()),
        }
    }

    /// Looks again: DDL went through the gateway. Where that fails, what is known to be old is dropped.
    pub async fn refresh(&self) {
        let asked = Instant::now();
        let mut reader = self.reader.lock().await;
        if !self.wanted.load(Ordering::Acquire) || self.was_seen_since(asked) {
            return;
        }
        reader.rest_until = None;
        if self.look(&mut reader).await.is_err() {
            self.lose(&mut reader, "it changed, and cannot be read");
        }
    }

    /// Looks again: a name was not found.
    pub async fn refresh_if_moved(&self) {
        let asked = Instant::now();
        let mut reader = self.reader.lock().await;
        if self.wanted.load(Ordering::Acquire) && !self.was_seen_since(asked) {
            let _ = self.look(&mut reader).await;
        }
    }

    /// The version of what is there at this moment: of what a look finds that begins now.
    ///
    /// # Errors
    /// Why it cannot be looked at.
    pub async fn version_now(&self) -> Result<u64, ReadError> {
        let asked = Instant::now();
        let mut reader = self.reader.lock().await;
        if self.wanted.load(Ordering::Acquire) && !self.was_seen_since(asked) {
            // Somebody waits for it, so it is tried however lately it failed.
            reader.rest_until = None;
            self.look(&mut reader).await?;
        }
        Ok(self.version())
    }

    /// Looks again because time has passed, if nobody does so already and not so often that the server would feel it.
    pub async fn poll(&self) {
        let Ok(mut reader) = self.reader.try_lock() else { return };
        let pause = reader.cost * SHARE;
        let is_due = reader.looked.is_none_or(|looked| looked.elapsed() >= pause);
        if self.wanted.load(Ordering::Acquire) && is_due {
            let _ = self.look(&mut reader).await;
        }
    }

    /// Somebody else's look that began after we asked has seen what we have to see.
    fn was_seen_since(&self, asked: Instant) -> bool {
        self.seen.load().as_ref().is_some_and(|seen| **seen > asked)
    }

    fn is_recent(&self) -> bool {
        self.is_loaded() && self.seen.load().as_ref().is_some_and(|seen| seen.elapsed() < RECENT)
    }

    async fn look(&self, reader: &mut Reader) -> Result<(), ReadError> {
        let now = Instant::now();
        if reader.rest_until.is_some_and(|until| until > now) {
            return Err(ReadError::Resting);
        }
        reader.looked = Some(now);
        let connected = reader.control.is_some();
        let looked = match self.see(reader).await {
            // The connection has ended since we last used it: a new one is worth one try.
            Err(ReadError::Control(ControlError::Lost(_))) if connected => {
                reader.control = None;
                self.see(reader).await
            }
            looked => looked,
        };
        match looked {
            Ok(()) => {
                reader.failures = 0;
                self.met(Contact::Reachable);
                self.seen.store(Some(Arc::new(now)));
                self.remember().await;
                Ok(())
            }
            Err(error) => {
                self.failed(reader, &error);
                Err(error)
            }
        }
    }

    fn failed(&self, reader: &mut Reader, error: &ReadError) {
        reader.control = None;
        reader.failures = reader.failures.saturating_add(1);
        reader.rest_until = Some(Instant::now() + (BACKOFF * reader.failures).min(LONGEST_BACKOFF));
        self.metrics.catalogue_failures.inc();
        self.met(error.contact());
        tracing::warn!(target_name = %self.place.target, %error, "the target's catalogue cannot be read");
        if self.seen.load().as_ref().is_none_or(|seen| seen.elapsed() > STALE) {
            self.lose(reader, "it could not be looked at for too long");
        }
    }

    /// Drops what is not true any more, so that no statement is understood by it.
    fn lose(&self, reader: &mut Reader, why: &str) {
        (reader.signature, reader.pulse) = (None, None);
        let _swap = self.swapping();
        if self.current.swap(None).is_some() {
            tracing::error!(target_name = %self.place.target, "the target's catalogue is dropped: {why}");
        }
    }

    /// Sees whether the catalogue has moved, and reads it if so.
    async fn see(&self, reader: &mut Reader) -> Result<(), ReadError> {
        // It goes back when it was heard to the end: whoever waits may leave meanwhile, and the next would get the answers.
        let mut control = match reader.control.take() {
            Some(control) => control,
            None => {
                // It may be another server by now, whose transactions have other numbers.
                reader.pulse = None;
                self.connect().await?
            }
        };
        let is_due = reader.again.is_some_and(|at| at <= Instant::now());
        let known = self.is_loaded() && !is_due;
        let pulse = catalogue::pulse(&mut control).await?;
        if known && pulse.is_some() && pulse == reader.pulse {
            reader.cost = Duration::ZERO;
            reader.control = Some(control);
            return Ok(());
        }
        let began = Instant::now();
        let signature = catalogue::signature(&mut control).await?;
        reader.cost = began.elapsed();
        if !(known && reader.signature.as_ref() == Some(&signature)) {
            let (signature, again) = self.read(&mut control, signature).await?;
            (reader.signature, reader.again) = (Some(signature), again);
            // What the server keeps of a large catalogue goes with its connection.
            if self.current().0.relations().nth(LARGE).is_none() {
                reader.control = Some(control);
            }
        } else {
            reader.control = Some(control);
        }
        reader.pulse = pulse;
        Ok(())
    }

    /// Reads it until it stood still meanwhile, or for the next look to find that it did not. Returns the signature that
    /// it had before, and when to read it again.
    async fn read(
        &self,
        control: &mut Control,
        mut signature: String,
    ) -> Result<(String, Option<Instant>), ReadError> {
        let purpose = if self.is_loaded() { "catalogue again" } else { "catalogue" };
        let note =
            record::Body::Gateway { target: self.place.target.to_string(), purpose: purpose.to_owned() };
        self.journal.append(&note).map_err(|_| ReadError::Journal)?;
        self.recall().await?;
        let began = Instant::now();
        let version = self.server.load(Ordering::Acquire);
        let mut tagging = self.tagging();
        let mut read = self.read_once(control, version, &tagging).await?;
        for _ in 1..READS {
            let after = catalogue::signature(control).await?;
            if after == signature {
                break;
            }
            signature = after;
            tagging = self.tagging();
            read = self.read_once(control, version, &tagging).await?;
        }
        self.metrics.catalogue_reads.inc();
        let pause = LOCKED.max(began.elapsed() * SHARE);
        let again = (read.unreadable() > 0).then(|| Instant::now() + pause);
        self.take(read, &tagging);
        Ok((signature, again))
    }

    /// Takes over where columns were found before this gateway began. Without that it would not know a renamed one again.
    async fn recall(&self) -> Result<(), ReadError> {
        if self.kept.load().is_some() {
            return Ok(());
        }
        let kept = self.state.places(&self.place.target, &self.place.server()).await;
        let kept = kept.map_err(|error| ReadError::Store(error.0))?;
        let mut placed = Placed::clone(&self.placed.load());
        kept.places().for_each(|(column, relation, number)| placed.add(column.clone(), relation, number));
        self.placed.store(Arc::new(placed));
        self.kept.store(Some(Arc::new(kept)));
        Ok(())
    }

    /// Keeps where columns were found, where that is other than what is kept. What cannot be kept now is tried again at the
    /// next look.
    async fn remember(&self) {
        let placed = self.placed.load_full();
        if self.kept.load().as_ref().is_none_or(|kept| **kept == *placed) {
            return;
        }
        let new =
            self.kept.load().as_ref().map_or_else(|| Placed::clone(&placed), |kept| placed.unknown_to(kept));
        match self.state.keep_places(&self.place.target, &self.place.server(), &new).await {
            Ok(()) => self.kept.store(Some(placed)),
            Err(error) => {
                tracing::error!(target_name = %self.place.target, "where tagged columns are cannot be kept: {error}");
            }
        }
    }

    /// Takes what was read under these tags; others may be in force by now.
    fn take(&self, read: Catalog, tagging: &Arc<Tagging>) {
        let _swap = self.swapping();
        let now = self.tagging();
        let read = if Arc::ptr_eq(&now, tagging) {
            read
        } else {
            now.clears(catalogue::retagged(&read, &now.columns))
        };
        self.put(read);
    }

    fn put(&self, read: Catalog) {
        let number = self.versions.fetch_add(1, Ordering::Relaxed) + 1;
        self.placed.rcu(|known| {
            let mut placed = read.placed().clone();
            placed.also(known);
            placed
        });
        self.current.store(Some(Arc::new(Version { catalogue: Arc::new(read), number })));
    }

    fn swapping(&self) -> std::sync::MutexGuard<'_, ()> {
        self.swap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How its columns are tagged now.
    pub(crate) fn tagging(&self) -> Arc<Tagging> {
        self.tagging.load_full()
    }

    /// The catalogue under other tags, to be taken with them. Nobody waits for a target here: it may be read meanwhile.
    pub(crate) async fn stage(self: &Arc<Self>, tagging: Arc<Tagging>) -> Staged {
        let mut read = None;
        if let Some(version) = self.current.load_full() {
            let tags = Arc::clone(&tagging);
            let (now, number) = (Arc::clone(&version.catalogue), version.number);
            let again = move || tags.clears(catalogue::retagged(&now, &tags.columns));
            read = tokio::task::spawn_blocking(again).await.ok().map(|read| (number, read));
        }
        Staged { shared: Arc::clone(self), tagging, read }
    }

    async fn read_once(
        &self,
        control: &mut Control,
        version: u32,
        tagging: &Tagging,
    ) -> Result<Catalog, ReadError> {
        let read = catalogue::read(control, version, &tagging.columns, &self.placed.load_full()).await?;
        Ok(tagging.clears(read))
    }

    async fn connect(&self) -> Result<Control, ReadError> {
        let mut control = self.place.control().await?;
        let version = catalogue::version(&mut control).await?;
        self.server.store(version, Ordering::Release);
        self.ask_for_room(&mut control).await;
        Ok(control)
    }
}

/// New tags, and the catalogue of a version under them.
pub(crate) struct Staged {
    shared: Arc<SharedCatalogue>,
    tagging: Arc<Tagging>,
    read: Option<(u64, Catalog)>,
}

impl Staged {
    /// Takes both.
    pub(crate) fn take(self) {
        let Self { shared, tagging, read } = self;
        let _swap = shared.swapping();
        shared.tagging.store(Arc::clone(&tagging));
        let Some(now) = shared.current.load_full() else { return };
        let read = match read {
            Some((number, read)) if number == now.number => read,
            // It was read anew meanwhile.
            Some(_) | None => tagging.clears(catalogue::retagged(&now.catalogue, &tagging.columns)),
        };
        shared.put(read);
    }
}

#[cfg(test)]
mod tests;
