//! What is over is forgotten after a while, and its space is given back. The journal keeps what happened.

use crate::requests::expire;
use crate::{Store, StoreError};

/// So many rows go in one transaction, so that nobody waits long for it.
const AT_ONCE: i64 = 500;

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Tokens that had expired.
    pub tokens: u64,
    /// Requests that had been answered, withdrawn or had expired, with their answers.
    pub requests: u64,
    /// Denials that had ended.
    pub denials: u64,
}

impl Store {
    /// Forgets tokens that expired and denials that ended before one moment, and requests that are over and were filed before another. In
    /// seconds since 1970.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn purge(&self, tokens: i64, requests: i64, now: i64) -> Result<Purged, StoreError> {
        let mut work = self.begin().await?;
        expire(&mut work, now).await?;
        work.commit().await?;
        let purged = Purged {
            tokens: self
                .delete(
                    "DELETE FROM token WHERE id IN (SELECT id FROM token WHERE expires < ? LIMIT ?)",
                    tokens.min(now),
                )
                .await?,
            requests: self
                .delete(
                    "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE filed < ? \
                     AND status NOT IN ('waiting', 'approved') ORDER BY filed LIMIT ?)",
                    requests.min(now),
                )
                .await?,
            denials: self
                .delete(
                    "DELETE FROM denial WHERE id IN (SELECT id FROM denial WHERE until < ? LIMIT ?)",
                    tokens.min(now),
                )
                .await?,
        };
        if purged != Purged::default() {
            sqlx::query("PRAGMA incremental_vacuum").execute(&self.pool).await?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.pool).await?;
        }
        Ok(purged)
    }

    async fn delete(&self, sql: &'static str, before: i64) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let gone = sqlx::query(sql).bind(before).bind(AT_ONCE).execute(&self.pool).await?.rows_affected();
            all += gone;
            if gone == 0 {
                return Ok(all);
            }
        }
    }
}
