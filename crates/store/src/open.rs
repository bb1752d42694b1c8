//! Opening: a file, or a server that several gateways share. Migrations forward only; a newer schema is refused.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Connection as _, Executor as _, Sqlite};
use sqlx_core::transaction::TransactionManager as _;

use crate::changes::Changes;
use crate::database::Database;
use crate::heartbeat::{self, Trouble};
use crate::query::query;
use crate::server::{Address, Server};
use crate::vault::Vault;
use crate::{Keys, MasterKey, StoreError};

pub(crate) static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
pub(crate) static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was written by a newer version.
    #[error(
        "{0} was written by a newer version of durward (schema {1}): use that one, or a copy from before"
    )]
    Newer(String, i64),
    /// Its schema cannot be brought up to date.
    #[error("{}: {}", .0, told(of_migration(.1), .1))]
    Migration(String, MigrateError),
    /// Its file cannot be made, or not be opened for writing.
    #[error("{}: {}", .0.display(), file_told(.1))]
    Io(PathBuf, io::Error),
    /// Anything else.
    #[error("{}: {}", .0, told(of_database(.1), .1))]
    Store(String, StoreError),
}

fn of_migration(error: &MigrateError) -> Option<Trouble> {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return None;
    };
    Some(heartbeat::of(error))
}

fn of_database(error: &StoreError) -> Option<Trouble> {
    let StoreError::Database(error) = error else { return None };
    Some(heartbeat::of(error))
}

/// What is wrong and what to do, before the database's own words.
fn told(trouble: Option<Trouble>, error: &dyn std::fmt::Display) -> String {
    let own = error.to_string();
    let advice = match trouble {
        Some(Trouble::Full) => "there is no room left where it is",
        // What SQLite says of a disk that is full where it maps a file, too.
        Some(Trouble::Failing) if own.contains("disk I/O error") => {
            "the disk that it is on is full or failing"
        }
        Some(Trouble::ReadOnly) => "it can only be read (a replica, or made so), and a gateway writes",
        Some(Trouble::Refused) => "the user that the gateway is there may not do that",
        Some(Trouble::Damaged) => {
            "it is damaged: keep it, and `durward restore` a backup into an empty place"
        }
        Some(Trouble::Unreachable | Trouble::Failing) | None => return own,
    };
    format!("{advice} ({own})")
}

fn file_told(error: &io::Error) -> String {
    let advice = if error.kind() == io::ErrorKind::StorageFull {
        "the disk that it is on is full"
    } else if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
        "it cannot be written, and a gateway writes"
    } else if error.kind() == io::ErrorKind::IsADirectory {
        "it is a folder, and a store is a file"
    } else {
        return error.to_string();
    };
    format!("{advice} ({error})")
}

/// Where a store is.
#[derive(Debug, Clone)]
pub enum Location {
    /// A file of SQLite's, for one gateway.
    File(PathBuf),
    /// A PostgreSQL server, for as many as like to.
    Server(Box<Address>),
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(address) => address.fmt(f),
        }
    }
}

/// A store that was reached and brought up to date, without the key to what is sealed in it.
pub struct Locked {
    pub(crate) database: Database,
    name: String,
}

/// The state of gateways. Clones share it.
#[derive(Clone)]
pub struct Store {
    pub(crate) database: Database,
    pub(crate) vault: Arc<Vault>,
    pub(crate) changes: Changes,
}

impl Locked {
    /// Reaches a store, which is made where it is not there, for its owner alone.
    ///
    /// # Errors
    /// It cannot be read or written, or is of a newer version.
    pub async fn reach(location: &Location) -> Result<Self, OpenError> {
        Self::reach_at(location, None).await
    }

    /// The same, brought up to a version of its schema and no further.
    pub(crate) async fn reach_at(location: &Location, schema: Option<i64>) -> Result<Self, OpenError> {
        let name = location.to_string();
        let fault = |error: StoreError| OpenError::Store(name.clone(), error);
        let outdated = |error| {
            if let MigrateError::VersionMissing(version) = error {
                OpenError::Newer(name.clone(), version)
            } else {
                OpenError::Migration(name.clone(), error)
            }
        };
        let database = match location {
            Location::File(path) => {
                make_private(path).map_err(|error| OpenError::Io(path.clone(), error))?;
                let pool = file(path).await.map_err(|error| fault(error.into()))?;
                SQLITE.run_to(schema.unwrap_or(i64::MAX), &pool).await.map_err(outdated)?;
                Database::Sqlite(pool)
            }
            Location::Server(address) => {
                let server = Server::connect(address).await.map_err(fault)?;
                // Of several that come at once one does it: there is a lock around it.
                POSTGRES.run_to(schema.unwrap_or(i64::MAX), server.pool()).await.map_err(outdated)?;
                Database::Postgres(Box::new(server))
            }
        };
        Ok(Self { database, name })
    }

    /// Whether something in it is sealed already: then it opens with the key that sealed it and no other.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn is_sealed(&self) -> Result<bool, OpenError> {
        let kept = query("SELECT name FROM made_key LIMIT 1").fetch_optional(&self.database).await;
        Ok(kept.map_err(|error| OpenError::Store(self.name.clone(), error))?.is_some())
    }

    /// With its key.
    ///
    /// # Errors
    /// It was sealed with another master key.
    pub async fn unlock(self, master: &MasterKey) -> Result<Store, OpenError> {
        let vault = Vault::new(std::slice::from_ref(master), None);
        self.unlock_with(vault).await
    }

    /// With its keys, and where they are looked for again when one is missing: it may have been replaced meanwhile.
    ///
    /// # Errors
    /// It was sealed with another master key.
    pub async fn unlock_from(self, masters: &[MasterKey], source: Keys) -> Result<Store, OpenError> {
        let vault = Vault::new(masters, Some(source));
        self.unlock_with(vault).await
    }

    async fn unlock_with(self, vault: Result<Vault, StoreError>) -> Result<Store, OpenError> {
        let Self { database, name } = self;
        let fault = |error| OpenError::Store(name.clone(), error);
        let vault = Arc::new(vault.map_err(fault)?);
        let changes = Changes::of(&database);
        let store = Store { database, vault, changes };
        // A wrong master key is found here and not with the first password that is needed.
        store.made_key("verifiers").await.map_err(fault)?;
        store.master().await.map_err(fault)?;
        Ok(store)
    }
}

async fn file(path: &Path) -> Result<sqlx::SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::from_str("sqlite:")?
        .filename(path)
        // Of a file that is there already, it stays as it was made.
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        // An approval that was used must stay used when the power fails.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .pragma("secure_delete", "on");
    SqlitePoolOptions::new()
        .max_connections(4)
        // A connection to a file does not go away; asking each time whether it has would double what reading takes.
        .test_before_acquire(false)
        // Nor does it age: made anew on a disk that is full it could not even be read.
        .max_lifetime(None)
        .idle_timeout(None)
        .before_acquire(|connection, _| Box::pin(at_rest(connection)))
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options)
        .await
}

/// Whether nothing is open on a connection that is handed out. Where the disk is full or fails SQLite itself takes back what was
/// under way; what counts transactions then was told that there is none to take back, and counts on. What has no such end is
/// closed by the pool.
async fn at_rest(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if !connection.is_in_transaction() {
        return Ok(true);
    }
    // Fails where one is open after all, and that one is what is taken back then.
    let _ = connection.execute("BEGIN DEFERRED").await;
    <Sqlite as sqlx::Database>::TransactionManager::rollback(connection).await?;
    Ok(!connection.is_in_transaction())
}

impl Store {
    /// Opens a file, which is made where it is not there, for its owner alone.
    ///
    /// # Errors
    /// As [`Locked::reach`] and [`Locked::unlock`].
    pub async fn open(path: &Path, master: &MasterKey) -> Result<Self, OpenError> {
        Locked::reach(&Location::File(path.to_owned())).await?.unlock(master).await
    }

    /// Ends it: what waits in its log goes into the file. Nothing can be asked of it, or of its clones, any more.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// SQLite makes its files with the mode of the first one.
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}
