//! What was done to the store by commands that are no gateway: those that run write it into their journals.

use crate::database::Work;
use crate::query::query;
use crate::{Store, StoreError};

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// Grows.
    pub number: i64,
    /// When, in seconds since 1970.
    pub at: i64,
    /// In a word or two.
    pub what: String,
    /// The rest, without any secret.
    pub detail: String,
}

impl Store {
    /// What happened behind a number, in its order.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn happened(&self, behind: i64) -> Result<Vec<Happened>, StoreError> {
        let kept = query("SELECT number, at, what, detail FROM happened WHERE number > $1 ORDER BY number")
            .bind(behind)
            .fetch_all(&self.database)
            .await?;
        let read = |row: &crate::query::Found| {
            Ok(Happened {
                number: row.try_get("number")?,
                at: row.try_get("at")?,
                what: row.try_get("what")?,
                detail: row.try_get("detail")?,
            })
        };
        kept.iter().map(read).collect()
    }

    /// The number of what happened last; 0 where nothing did.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn last_happened(&self) -> Result<i64, StoreError> {
        let last = query("SELECT coalesce(max(number), 0) AS last FROM happened");
        Ok(last.fetch_one(&self.database).await?.try_get("last")?)
    }

    /// Notes what a command did.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn note(&self, what: &str, detail: &str, now: i64) -> Result<(), StoreError> {
        crate::database::whole!(self, work => { note(&mut work, what, detail, now).await })
    }
}

pub(crate) async fn note(work: &mut Work, what: &str, detail: &str, now: i64) -> Result<(), StoreError> {
    query(
        "INSERT INTO happened (number, at, what, detail) \
         SELECT coalesce(max(number), 0) + 1, CAST($1 AS BIGINT), CAST($2 AS TEXT), CAST($3 AS TEXT) FROM happened",
    )
    .bind(now)
    .bind(what)
    .bind(detail)
    .execute(work)
    .await?;
    Ok(())
}
