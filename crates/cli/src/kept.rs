//! What a gateway keeps in its data directory, store and journal: opened by one at a time, and only where they belong together.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use journal::{Journal, Options};
use store::{Location, Locked, Store};

use crate::config::Settings;
use crate::exit::Fault;
use crate::node::{is_there, keys_from, location, master_keys};

/// Whoever makes or opens a store is waited for so long.
const TURN: Duration = Duration::from_secs(30);
/// So often it is tried.
const AGAIN: Duration = Duration::from_millis(50);

/// The right to make or open what is in a data directory, until it is dropped.
pub(crate) struct Turn {
    _directory: Option<File>,
}

impl Turn {
    pub(crate) async fn take(data: &Path) -> anyhow::Result<Self> {
        let directory = File::open(data).with_context(|| data.display().to_string())?;
        let since = Instant::now();
        loop {
            match directory.try_lock() {
                Ok(()) => return Ok(Self { _directory: Some(directory) }),
                // Some file systems have no locks: there nobody is kept out.
                Err(std::fs::TryLockError::Error(_)) => return Ok(Self { _directory: None }),
                Err(std::fs::TryLockError::WouldBlock) if since.elapsed() < TURN => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    anyhow::bail!(
                        "another durward has been opening {} for {} s: try again once it is done",
                        data.display(),
                        TURN.as_secs()
                    )
                }
            }
        }
    }
}

/// Whether the journal had records before this process opened it.
pub(crate) struct Begun(bool);

impl Begun {
    pub(crate) fn of(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self(has_records(&journal_in(&settings.data))?))
    }

    /// A store of one gateway whose journal is gone is served: what it forbids still holds. It is said, and written where it can
    /// be read later. A gateway that joins others has no journal yet.
    pub(crate) async fn tell(self, store: &Store, journal: &Journal) -> anyhow::Result<()> {
        let Self(had_records) = self;
        if had_records || store.is_shared() || store.version().await? == 0 {
            return Ok(());
        }
        let why = "the store was in use before, and there was no record in the journal: it begins here";
        tracing::warn!(
            "{why}. If {} was lost, bring it back: without it nobody can prove what was done",
            journal.directory().display()
        );
        journal.append(&journal::record::Body::Administered {
            who: "gateway".to_owned(),
            what: "journal".to_owned(),
            detail: why.to_owned(),
        })?;
        Ok(())
    }
}

/// A new store knows of no revocation, no freeze and no token. Where a journal knows of another one it is not begun by mistake.
fn must_not_be_known(settings: &Settings, location: &Location) -> anyhow::Result<()> {
    let journal = journal_in(&settings.data);
    if !has_records(&journal)? {
        return Ok(());
    }
    let journal = journal.display();
    anyhow::bail!(
        "the journal in {journal} knows of a store that is not here: {location} is empty. Bring it back, or `durward restore` a \
         backup into an empty place. To begin anew on purpose, without the revocations, freezes and tokens that there were, move \
         {journal} away first, and keep it: it says what was done"
    )
}

fn has_something(path: &Path) -> anyhow::Result<bool> {
    Ok(is_there(path)? && std::fs::metadata(path)?.len() > 0)
}

/// Whether anything was ever written to a journal.
fn has_records(journal: &Path) -> anyhow::Result<bool> {
    let fault = |error: io::Error| anyhow::anyhow!("{}: {error}", journal.display());
    let entries = match std::fs::read_dir(journal) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        read => read.map_err(fault)?,
    };
    for entry in entries {
        let entry = entry.map_err(fault)?;
        let is_segment = entry.file_name().to_string_lossy().ends_with(".jsonl");
        if is_segment && entry.metadata().map_err(fault)?.len() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the data directory where it is not there.
fn make(data: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).with_context(|| {
        format!(
            "cannot make the data directory {} (--data, or data in durward.toml, names another)",
            data.display()
        )
    })?;
    let mode = std::fs::metadata(data)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!("{} can be entered by others (mode {mode:o}): chmod 700 it", data.display());
    }
    Ok(())
}

/// Opens the store of a gateway, and makes none.
pub(crate) async fn open_store_that_is_there(settings: &Settings) -> anyhow::Result<Store> {
    if settings.store.is_none() && !is_there(&settings.data.join("state.db"))? {
        let why =
            format!("{} is no data directory of a gateway: there is no state.db", settings.data.display());
        return Err(Fault::Missing(why).into());
    }
    open_store(settings).await
}

/// Opens the store: a server's, or one in the data directory, which is made where it is not there.
pub(crate) async fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    make(&settings.data)?;
    let _turn = Turn::take(&settings.data).await?;
    let location = location(settings)?;
    if let Location::File(path) = &location
        && !has_something(path)?
    {
        must_not_be_known(settings, &location)?;
    }
    let locked = Locked::reach(&location).await?;
    let is_sealed = locked.is_sealed().await?;
    if !is_sealed {
        must_not_be_known(settings, &location)?;
    }
    let masters = master_keys(settings, is_sealed)?;
    let (again, unlock) = (settings.master_key.clone(), settings.unlock.clone());
    Ok(locked.unlock_from(&masters, Arc::new(move || keys_from(&again, true, &unlock))).await?)
}

/// Opens the journal, and with it the right to serve from this place.
pub(crate) fn open_journal(settings: &Settings) -> anyhow::Result<Journal> {
    let data = &settings.data;
    make(data)?;
    let opened = Journal::open(&journal_in(data), Options::default()).map_err(|error| match error {
        journal::OpenError::Taken(_) => anyhow::anyhow!(
            "a gateway runs on {} already: end it, or ask it by leaving --data and --config out",
            data.display()
        ),
        other @ (journal::OpenError::Io(..)
        | journal::OpenError::Broken { .. }
        | journal::OpenError::Down(_)) => other.into(),
    })?;
    if let Some(aside) = opened.torn() {
        tracing::warn!(
            "the journal's last record was not whole, as a crash leaves it: what there was of it is in {}, and the journal says so",
            aside.display()
        );
    }
    Ok(opened)
}

/// Writes what a command did into the journal, where no gateway does: one that runs finds it in the store.
pub(crate) fn note_if_nobody_serves(settings: &Settings, what: &str, detail: &str) -> anyhow::Result<()> {
    match Journal::open(&journal_in(&settings.data), Options::default()) {
        Ok(journal) => {
            journal.append(&journal::record::Body::Administered {
                who: "command line".to_owned(),
                what: what.to_owned(),
                detail: detail.to_owned(),
            })?;
            Ok(())
        }
        Err(journal::OpenError::Taken(_)) => Ok(()),
        Err(
            other @ (journal::OpenError::Io(..)
            | journal::OpenError::Broken { .. }
            | journal::OpenError::Down(_)),
        ) => Err(other.into()),
    }
}

/// Says what is missing where there is no journal.
pub(crate) fn must_have_journal(directory: &Path) -> anyhow::Result<()> {
    if is_there(directory)? && directory.is_dir() {
        return Ok(());
    }
    let why = format!(
        "there is no journal at {}: --data or --config names where the gateway keeps its own",
        directory.display()
    );
    Err(Fault::Missing(why).into())
}

/// Where the journal of a data directory is.
pub(crate) fn journal_in(data: &Path) -> PathBuf {
    data.join("journal")
}
