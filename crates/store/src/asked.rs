//! Tokens of issuers that others were made of, sealed: whoever uses what was made of one asks its issuer about it.

use zeroize::Zeroizing;

use crate::database::whole;
use crate::query::query;
use crate::vault::Row;
use crate::{Store, StoreError};

impl Store {
    /// Keeps one until a moment, or longer where it is kept longer already.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn keep_asked(&self, id: &str, clear: &[u8], until: i64) -> Result<(), StoreError> {
        whole!(self, work => {
            let sealed = self.seal(&mut work, Row { table: "asked", id }, clear).await?;
            query(
                "INSERT INTO asked (id, sealed, until) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET sealed = $2, \
                 until = CASE WHEN asked.until > $3 THEN asked.until ELSE $3 END",
            )
            .bind(id)
            .bind(sealed)
            .bind(until)
            .execute(&mut work)
            .await?;
            Ok(())
        })
    }

    /// One that is kept at a moment, and until when.
    ///
    /// # Errors
    /// It cannot be read or opened.
    pub async fn asked(&self, id: &str, now: i64) -> Result<Option<(Zeroizing<Vec<u8>>, i64)>, StoreError> {
        let kept = query("SELECT sealed, until FROM asked WHERE id = $1 AND until > $2")
            .bind(id)
            .bind(now)
            .fetch_optional(&self.database)
            .await?;
        let Some(kept) = kept else { return Ok(None) };
        let clear = self.vault.open(Row { table: "asked", id }, kept.try_get::<&[u8], _>("sealed")?).await?;
        Ok(Some((clear, kept.try_get("until")?)))
    }

    /// Forgets one.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn forget_asked(&self, id: &str) -> Result<(), StoreError> {
        query("DELETE FROM asked WHERE id = $1").bind(id).execute(&self.database).await.map(drop)
    }
}
