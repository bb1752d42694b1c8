//! What is configured, and the targets' passwords beside it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use zeroize::Zeroizing;

use crate::vault::Row;
use crate::{Store, StoreError};

fn row(target: &str) -> Row<'_> {
    Row { table: "credential", id: target }
}

impl Store {
    /// The configuration as it was last written, or `None`.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn configuration(&self) -> Result<Option<String>, StoreError> {
        let kept = sqlx::query("SELECT body FROM configuration").fetch_optional(&self.pool).await?;
        Ok(kept.map(|row| row.try_get(0)).transpose()?)
    }

    /// The passwords of targets, opened.
    ///
    /// # Errors
    /// They cannot be read or opened.
    pub async fn credentials(&self) -> Result<BTreeMap<String, Zeroizing<Vec<u8>>>, StoreError> {
        let mut all = BTreeMap::new();
        for kept in sqlx::query("SELECT target, sealed FROM credential").fetch_all(&self.pool).await? {
            let target: String = kept.try_get(0)?;
            let clear = self.vault.open(row(&target), kept.try_get::<&[u8], _>(1)?)?;
            all.insert(target, clear);
        }
        Ok(all)
    }

    /// Replaces the configuration in one transaction. `targets` names all there are: passwords of others are forgotten, those
    /// of targets that `passwords` does not name stay.
    ///
    /// # Errors
    /// It cannot be written or sealed; the old one stays.
    pub async fn replace(
        &self,
        body: &str,
        targets: &BTreeSet<&str>,
        passwords: &BTreeMap<&str, &[u8]>,
    ) -> Result<(), StoreError> {
        let names = crate::to_json(targets)?;
        let mut work = self.begin().await?;
        sqlx::query("INSERT INTO configuration (id, body) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body")
            .bind(body)
            .execute(&mut *work)
            .await?;
        sqlx::query("DELETE FROM credential WHERE target NOT IN (SELECT value FROM json_each(?))")
            .bind(names)
            .execute(&mut *work)
            .await?;
        for (target, password) in passwords {
            sqlx::query(
                "INSERT INTO credential (target, sealed) VALUES (?, ?) \
                 ON CONFLICT (target) DO UPDATE SET sealed = excluded.sealed",
            )
            .bind(*target)
            .bind(self.vault.seal(row(target), password)?)
            .execute(&mut *work)
            .await?;
        }
        Ok(work.commit().await?)
    }
}
