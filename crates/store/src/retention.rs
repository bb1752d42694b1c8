//! What is over is forgotten after a while, and its space is given back. The journal keeps what happened.

use crate::database::{Database, whole};
use crate::query::query;
use crate::requests::expire;
use crate::{Store, StoreError};

/// So many rows go in one transaction, so that nobody waits long for it.
const AT_ONCE: i64 = 500;

/// What was made of another token is forgotten so long after its end, in seconds: there are many, and none of them was given to
/// anybody by a person.
const SOON: i64 = 3600;

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
    /// Forgets tokens that expired (soon after, where they were made of others) and denials that ended before one moment, and requests that are over and were filed before another. In
    /// seconds since 1970.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn purge(&self, tokens: i64, requests: i64, now: i64) -> Result<Purged, StoreError> {
        whole!(self, work => { expire(&mut work, now).await })?;
        let purged = Purged {
            tokens: self
                .delete(
                    "DELETE FROM token WHERE id IN (SELECT id FROM token WHERE expires < $1 LIMIT $2)",
                    tokens.min(now),
                )
                .await?
                + self
                    .delete(
                        "DELETE FROM token WHERE id IN \
                         (SELECT id FROM token WHERE minted_for IS NOT NULL AND expires < $1 LIMIT $2)",
                        now.saturating_sub(SOON),
                    )
                    .await?,
            requests: self
                .delete(
                    "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE filed < $1 \
                     AND status NOT IN ('pending', 'approved', 'claimed') ORDER BY filed LIMIT $2)",
                    requests.min(now),
                )
                .await?,
            denials: self
                .delete(
                    "DELETE FROM denial WHERE id IN (SELECT id FROM denial WHERE until < $1 LIMIT $2)",
                    tokens.min(now),
                )
                .await?,
        };
        let mut others = self
            .delete("DELETE FROM asked WHERE id IN (SELECT id FROM asked WHERE until < $1 LIMIT $2)", now)
            .await?;
        others += self
            .delete(
                "DELETE FROM draft WHERE id IN (SELECT id FROM draft WHERE expires < $1 LIMIT $2)",
                requests.min(now),
            )
            .await?;
        others += self.delete(
            "DELETE FROM standing_grant WHERE id IN (SELECT id FROM standing_grant WHERE expires < $1 LIMIT $2)",
            requests.min(now),
        )
        .await?;
        for sql in [
            "DELETE FROM spent WHERE id IN (SELECT id FROM spent WHERE until < $1 LIMIT $2)",
            // The last stays, so that no number comes again.
            "DELETE FROM sign_out WHERE number IN \
             (SELECT number FROM sign_out WHERE until < $1 AND number < (SELECT max(number) FROM sign_out) LIMIT $2)",
            "DELETE FROM visit WHERE mark IN (SELECT mark FROM visit WHERE expires < $1 LIMIT $2)",
            "DELETE FROM once WHERE mark IN (SELECT mark FROM once WHERE expires < $1 LIMIT $2)",
            "DELETE FROM voucher WHERE mark IN (SELECT mark FROM voucher WHERE until < $1 LIMIT $2)",
            "DELETE FROM waiting WHERE (request, session) IN (SELECT request, session FROM waiting WHERE until < $1 LIMIT $2)",
            "DELETE FROM task WHERE id IN (SELECT id FROM task WHERE until < $1 LIMIT $2)",
            "DELETE FROM registered_client WHERE id IN (SELECT id FROM registered_client WHERE until < $1 LIMIT $2)",
        ] {
            others += self.delete(sql, now).await?;
        }
        self.forget_news().await?;
        match &self.database {
            Database::Sqlite(_) if purged != Purged::default() || others > 0 => {
                query("PRAGMA incremental_vacuum").execute(&self.database).await?;
                query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.database).await?;
            }
            // A server cleans up by itself.
            Database::Sqlite(_) | Database::Postgres(_) => (),
        }
        Ok(purged)
    }

    async fn delete(&self, sql: &'static str, before: i64) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let gone = query(sql).bind(before).bind(AT_ONCE).execute(&self.database).await?;
            all += gone;
            if gone == 0 {
                return Ok(all);
            }
        }
    }
}
