//! Whether the store can be written: by writing, and what is wrong where it cannot.

use crate::database::Database;
use crate::query::query;
use crate::{Store, StoreError};

/// What is wrong with a store that cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// There is no room.
    Full,
    /// It may be read alone: a replica, a server or a file system that was made so.
    ReadOnly,
    /// Whoever the gateway is there may not.
    Refused,
    /// Nobody answers, or not in time.
    Unreachable,
    /// What is in it is not what was written.
    Damaged,
    /// Anything else: its disk fails.
    Failing,
}

impl Trouble {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read-only",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Damaged => "damaged",
            Self::Failing => "failing",
        }
    }
}

impl StoreError {
    /// What is wrong.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Database(error) => of(error),
            Self::Silent => Trouble::Unreachable,
            Self::Unreadable(_) | Self::Sealed | Self::Master(..) | Self::Copy(_) => Trouble::Damaged,
            Self::Randomness => Trouble::Failing,
        }
    }
}

/// What is wrong.
pub(crate) fn of(error: &sqlx::Error) -> Trouble {
    let sqlx::Error::Database(said) = error else {
        let unheard = matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed
        );
        return if unheard { Trouble::Unreachable } else { Trouble::Failing };
    };
    let code = said.code().unwrap_or_default();
    if said.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        return of_sqlite(code.parse().unwrap_or_default());
    }
    of_postgres(&code)
}

/// By the lower byte of what SQLite says: the others tell more of the same.
fn of_sqlite(code: i32) -> Trouble {
    match code & 0xff {
        13 => Trouble::Full,
        8 => Trouble::ReadOnly,
        3 | 23 => Trouble::Refused,
        5 | 6 | 14 => Trouble::Unreachable,
        11 | 26 => Trouble::Damaged,
        _ => Trouble::Failing,
    }
}

fn of_postgres(state: &str) -> Trouble {
    match state {
        "53100" => Trouble::Full,
        "25006" => Trouble::ReadOnly,
        "42501" => Trouble::Refused,
        _ if state.starts_with("28") => Trouble::Refused,
        _ if state.starts_with("XX") => Trouble::Damaged,
        _ if ["08", "53", "57"].iter().any(|class| state.starts_with(class)) => Trouble::Unreachable,
        _ => Trouble::Failing,
    }
}

impl Store {
    /// What time it is at its server, in seconds since 1970; `None` of a file.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn time(&self) -> Result<Option<i64>, StoreError> {
        match &self.database {
            Database::Sqlite(_) => Ok(None),
            Database::Postgres(_) => {
                let asked =
                    query("SELECT CAST(floor(extract(epoch FROM clock_timestamp())) AS BIGINT) AS time");
                Ok(Some(asked.fetch_one(&self.database).await?.try_get("time")?))
            }
        }
    }

    /// Writes that it can be written.
    ///
    /// # Errors
    /// It cannot: [`StoreError::trouble`] says why.
    pub async fn beat(&self, now: i64) -> Result<(), StoreError> {
        let beat = query(
            "INSERT INTO heartbeat (one, at) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET at = excluded.at",
        );
        beat.bind(now).execute(&self.database).await?;
        Ok(())
    }
}
