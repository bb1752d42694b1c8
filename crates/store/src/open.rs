//! Opening: one file, WAL, migrations forward only; a newer schema is refused.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

use crate::vault::Vault;
use crate::{MasterKey, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was written by a newer version.
    #[error(
        "{0} was written by a newer version of durward (schema {1}): use that one, or a copy from before"
    )]
    Newer(PathBuf, i64),
    /// Its schema cannot be brought up to date.
    #[error("{0}: {1}")]
    Migration(PathBuf, MigrateError),
    /// Its file cannot be made.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// Anything else.
    #[error("{0}: {1}")]
    Store(PathBuf, StoreError),
}

/// The state of one gateway, in one SQLite file. Clones share it.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: SqlitePool,
    pub(crate) vault: std::sync::Arc<Vault>,
}

impl Store {
    /// Opens the file, which is made where it is not there, for its owner alone.
    ///
    /// # Errors
    /// It cannot be read or written, is of a newer version, or was sealed with another master key.
    pub async fn open(path: &Path, master: &MasterKey) -> Result<Self, OpenError> {
        let fault = |error: StoreError| OpenError::Store(path.to_owned(), error);
        make_private(path).map_err(|error| OpenError::Io(path.to_owned(), error))?;
        let vault = Vault::new(master).map_err(fault)?;
        let options = SqliteConnectOptions::from_str("sqlite:")
            .map_err(|e| fault(e.into()))?
            .filename(path)
            // Of a file that is there already, it stays as it was made.
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            // An approval that was used must stay used when the power fails.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .pragma("secure_delete", "on");
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            // A connection to a file does not go away; asking each time whether it has would double what reading takes.
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await
            .map_err(|e| fault(e.into()))?;
        MIGRATIONS.run(&pool).await.map_err(|error| {
            if let MigrateError::VersionMissing(version) = error {
                OpenError::Newer(path.to_owned(), version)
            } else {
                OpenError::Migration(path.to_owned(), error)
            }
        })?;
        let store = Self { pool, vault: std::sync::Arc::new(vault) };
        // A wrong master key is found here and not with the first password that is needed.
        store.made_key("verifiers").await.map_err(fault)?;
        Ok(store)
    }

    /// Ends it: what waits in its log goes into the file. Nothing can be asked of it, or of its clones, any more.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// A transaction that has the only right to write from its first moment, so that what it reads stays true.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }
}

/// SQLite makes its files with the mode of the first one.
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}
