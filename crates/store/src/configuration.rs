//! What is configured, and the targets' passwords beside it.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use crate::database::whole;
use crate::query::{either, query};
use crate::vault::Row;
use crate::{Store, StoreError};

/// What is configured, as of one moment.
#[derive(Default)]
pub struct Configured {
    /// Grows with each change; 0 where nothing was ever configured.
    pub version: i64,
    /// What was last written.
    pub body: Option<String>,
    /// The passwords of targets, opened.
    pub credentials: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

/// A configuration that was in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// Its version.
    pub version: i64,
    /// Since when, in seconds since 1970.
    pub at: i64,
    /// Who wrote it.
    pub by: String,
    /// What was written.
    pub body: String,
}

/// So many of them are kept.
const MOST_KEPT: i64 = 100;

fn row(target: &str) -> Row<'_> {
    Row { table: "credential", id: target }
}

impl Store {
    /// The configuration as it was last written, with the passwords of its targets.
    ///
    /// # Errors
    /// It cannot be read, or a password cannot be opened.
    pub async fn configured(&self) -> Result<Configured, StoreError> {
        whole!(self, work => {
            let kept = query("SELECT version, body FROM configuration").fetch_optional(&mut work).await?;
            let Some(kept) = kept else { return Ok(Configured::default()) };
            let mut credentials = BTreeMap::new();
            for kept in query("SELECT target, sealed FROM credential").fetch_all(&mut work).await? {
                let target: String = kept.try_get("target")?;
                let clear = self.vault.open(row(&target), kept.try_get::<&[u8], _>("sealed")?).await?;
                credentials.insert(target, clear);
            }
            Ok(Configured { version: kept.try_get("version")?, body: Some(kept.try_get("body")?), credentials })
        })
    }

    /// Which configuration is in force: [`Configured::version`].
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn version(&self) -> Result<i64, StoreError> {
        let kept = query("SELECT version FROM configuration").fetch_optional(&self.database).await?;
        Ok(kept.map(|row| row.try_get("version")).transpose()?.unwrap_or(0))
    }

    /// Replaces the configuration of one version, whole or not at all, and says which version it is then; `None` where
    /// another was first. `targets` names all there are: passwords of others are forgotten, those of targets that `passwords`
    /// does not name stay. `by` says who it was, and when in seconds since 1970.
    ///
    /// # Errors
    /// It cannot be written or sealed; the old one stays.
    pub async fn replace(
        &self,
        was: i64,
        body: &str,
        targets: &BTreeSet<&str>,
        passwords: &BTreeMap<&str, &[u8]>,
        by: (&str, i64),
    ) -> Result<Option<i64>, StoreError> {
        let names = crate::to_json(targets)?;
        let (by, at) = by;
        whole!(self, work => {
            let kept = query("SELECT version FROM configuration").fetch_optional(&mut work).await?;
            let stands: i64 = kept.map(|row| row.try_get("version")).transpose()?.unwrap_or(0);
            if stands != was {
                return Ok(None);
            }
            query(
                "INSERT INTO configuration (id, body, version) VALUES (1, $1, $2) \
                 ON CONFLICT (id) DO UPDATE SET body = excluded.body, version = excluded.version",
            )
            .bind(body)
            .bind(stands + 1)
            .execute(&mut work)
            .await?;
            query("INSERT INTO configured (version, at, changed_by, body) VALUES ($1, $2, $3, $4)")
                .bind(stands + 1)
                .bind(at)
                .bind(by)
                .bind(body)
                .execute(&mut work)
                .await?;
            query("DELETE FROM configured WHERE version <= $1").bind(stands + 1 - MOST_KEPT).execute(&mut work).await?;
            either(
                "DELETE FROM credential WHERE target NOT IN (SELECT value FROM json_each($1))",
                "DELETE FROM credential WHERE target NOT IN (SELECT json_array_elements_text($1::json))",
            )
            .bind(&names)
            .execute(&mut work)
            .await?;
            for (target, password) in passwords {
                let sealed = self.seal(&mut work, row(target), password).await?;
                query(
                    "INSERT INTO credential (target, sealed) VALUES ($1, $2) \
                     ON CONFLICT (target) DO UPDATE SET sealed = excluded.sealed",
                )
                .bind(*target)
                .bind(sealed)
                .execute(&mut work)
                .await?;
            }
            Ok(Some(stands + 1))
        })
    }

    /// The configurations that were and are in force, the newest first, as far as they are kept.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn former(&self) -> Result<Vec<Former>, StoreError> {
        let kept = query("SELECT version, at, changed_by, body FROM configured ORDER BY version DESC")
            .fetch_all(&self.database)
            .await?;
        let read = |row: &crate::query::Found| {
            Ok(Former {
                version: row.try_get("version")?,
                at: row.try_get("at")?,
                by: row.try_get("changed_by")?,
                body: row.try_get("body")?,
            })
        };
        kept.iter().map(read).collect()
    }
}
