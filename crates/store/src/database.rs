//! The two databases, and what happens in either whole or not at all.
//!
//! In SQLite one writer works at a time. In PostgreSQL every transaction is serializable, so that code which is right for one
//! writer at a time is right for many; those that lose are run again.

use std::time::Duration;

use sqlx::sqlite::SqlitePool;
use sqlx::{Postgres, Sqlite, Transaction};

use crate::StoreError;
use crate::server::{Server, within};

/// So often something that lost against another is tried again.
const TRIES: u32 = 20;

/// Where the rows are.
#[derive(Clone)]
pub(crate) enum Database {
    Sqlite(SqlitePool),
    Postgres(Box<Server>),
}

/// Something that happens whole or not at all. What it reads stays true until its end.
pub(crate) enum Work {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(ServerWork),
}

/// The same on a server, which may not answer.
pub(crate) struct ServerWork {
    pub(crate) open: Transaction<'static, Postgres>,
    pub(crate) patience: Duration,
}

impl Database {
    pub(crate) async fn begin(&self) -> Result<Work, StoreError> {
        match self {
            // The only right to write from its first moment, so that what it reads stays true.
            Self::Sqlite(pool) => Ok(Work::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?)),
            Self::Postgres(server) => {
                let open = server.begin().await?;
                Ok(Work::Postgres(ServerWork { open, patience: server.patience() }))
            }
        }
    }

    /// Something that only reads, all of it as of one moment, and never loses against another: it is not run again, so that
    /// what it reads need not be kept.
    pub(crate) async fn look(&self) -> Result<Work, StoreError> {
        match self {
            // Writers go on beside it.
            Self::Sqlite(pool) => Ok(Work::Sqlite(pool.begin_with("BEGIN DEFERRED").await?)),
            Self::Postgres(_) => {
                let mut work = self.begin().await?;
                // Waits until no writer that is under way could make what it sees impossible.
                let safe = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE";
                crate::query::made(safe).execute(&mut work).await?;
                Ok(work)
            }
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(server) => server.close().await,
        }
    }
}

impl Work {
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(open) => Ok(open.commit().await?),
            Self::Postgres(ServerWork { open, patience }) => within(patience, open.commit()).await,
        }
    }
}

/// Counts how often something was tried.
#[derive(Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// Whether an error only says that another was first, so that it is worth trying again; after a while that grows.
    pub(crate) async fn again(&mut self, error: &StoreError) -> bool {
        // `23505` where two made the same row and neither saw the other's.
        self.after(error, &["40001", "40P01", "23505"]).await
    }

    /// The same for one statement by itself, which sees what is there.
    pub(crate) async fn again_alone(&mut self, error: &StoreError) -> bool {
        self.after(error, &["40001", "40P01"]).await
    }

    async fn after(&mut self, error: &StoreError, codes: &[&str]) -> bool {
        let StoreError::Database(sqlx::Error::Database(error)) = error else { return false };
        if self.0 >= TRIES || !error.code().is_some_and(|code| codes.contains(&&*code)) {
            return false;
        }
        self.0 += 1;
        let mut chance = [0; 1];
        // Without chance they may meet again; they are still tried again.
        let _ = aws_lc_rs::rand::fill(&mut chance);
        let most = 1_u64 << self.0.min(7);
        let [chance] = chance;
        tokio::time::sleep(Duration::from_millis(1 + u64::from(chance) * most / 256)).await;
        true
    }
}

/// Runs something whole or not at all, and again where another was first. `work` is the [`Work`] in it.
macro_rules! whole {
    ($store:expr, $work:ident => $body:block) => {{
        let mut tries = $crate::database::Tries::default();
        loop {
            let mut $work = match $store.database.begin().await {
                Ok(work) => work,
                Err(error) => break Err(error),
            };
            let done: Result<_, $crate::StoreError> = async { $body }.await;
            let done = match done {
                Ok(done) => $work.commit().await.map(|()| done),
                Err(error) => Err(error),
            };
            match done {
                Err(error) if tries.again(&error).await => (),
                done => break done,
            }
        }
    }};
}
pub(crate) use whole;
