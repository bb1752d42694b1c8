//! Access that is denied whatever policies say.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::{Store, StoreError};

/// A denial as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// `dwr_…`.
    pub id: String,
    /// `principal`, `token`, `group` or `issuer`.
    pub kind: String,
    /// The principal (`agent:bot`), the token's id, the group or the issuer.
    pub name: String,
    /// The group's issuer, where one is named.
    pub issuer: Option<String>,
    /// Why.
    pub reason: String,
    /// Who denied.
    pub by: String,
    /// In seconds since 1970.
    pub since: i64,
    /// In seconds since 1970.
    pub until: Option<i64>,
}

fn read(row: &SqliteRow) -> Result<Denial, StoreError> {
    Ok(Denial {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        name: row.try_get("name")?,
        issuer: row.try_get("issuer")?,
        reason: row.try_get("reason")?,
        by: row.try_get("by_whom")?,
        since: row.try_get("since")?,
        until: row.try_get("until")?,
    })
}

impl Store {
    /// The denials that hold at a moment, newest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn denials(&self, now: i64) -> Result<Vec<Denial>, StoreError> {
        let kept = sqlx::query(
            "SELECT * FROM denial WHERE until IS NULL OR until > ? ORDER BY since DESC, rowid DESC",
        )
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        kept.iter().map(read).collect()
    }

    /// Keeps a denial.
    ///
    /// # Errors
    /// It cannot be written, or there is one of this id.
    pub async fn add_denial(&self, denial: &Denial) -> Result<(), StoreError> {
        let Denial { id, kind, name, issuer, reason, by, since, until } = denial;
        sqlx::query(
            "INSERT INTO denial (id, kind, name, issuer, reason, by_whom, since, until) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id)
        .bind(kind)
        .bind(name)
        .bind(issuer)
        .bind(reason)
        .bind(by)
        .bind(since)
        .bind(until)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Lifts a denial; whether there was one.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn lift_denial(&self, id: &str) -> Result<bool, StoreError> {
        let gone = sqlx::query("DELETE FROM denial WHERE id = ?").bind(id).execute(&self.pool).await?;
        Ok(gone.rows_affected() > 0)
    }
}
