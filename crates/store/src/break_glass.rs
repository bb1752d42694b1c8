//! One-time codes for emergencies.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::{Store, StoreError};

/// A code as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// `dwb_…`.
    pub id: String,
    /// What is kept instead of it, in the text form of its mechanism.
    pub verifier: String,
    /// Whom it is for: `user:alice`.
    pub principal: String,
    /// The principal's groups.
    pub groups: Vec<String>,
    /// The one target that it opens.
    pub target: String,
    /// How long its session lasts, in seconds.
    pub lifetime: i64,
    /// In seconds since 1970.
    pub made: i64,
    /// Until when it can be used, in seconds since 1970.
    pub expires: i64,
    /// When it was, in seconds since 1970.
    pub used: Option<i64>,
    /// Whether it was.
    pub revoked: bool,
}

fn read(row: &SqliteRow) -> Result<Code, StoreError> {
    Ok(Code {
        id: row.try_get("id")?,
        verifier: row.try_get("verifier")?,
        principal: row.try_get("principal")?,
        groups: crate::from_json(row.try_get("groups")?)?,
        target: row.try_get("target")?,
        lifetime: row.try_get("lifetime")?,
        made: row.try_get("made")?,
        expires: row.try_get("expires")?,
        used: row.try_get("used")?,
        revoked: row.try_get("revoked")?,
    })
}

impl Store {
    /// A code by its id.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn code(&self, id: &str) -> Result<Option<Code>, StoreError> {
        let kept =
            sqlx::query("SELECT * FROM break_glass WHERE id = ?").bind(id).fetch_optional(&self.pool).await?;
        kept.as_ref().map(read).transpose()
    }

    /// All codes, newest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn codes(&self) -> Result<Vec<Code>, StoreError> {
        let kept = sqlx::query("SELECT * FROM break_glass ORDER BY made DESC, rowid DESC")
            .fetch_all(&self.pool)
            .await?;
        kept.iter().map(read).collect()
    }

    /// Keeps a new code.
    ///
    /// # Errors
    /// It cannot be written, or there is one of this id.
    pub async fn add_code(&self, code: &Code) -> Result<(), StoreError> {
        let Code { id, verifier, principal, groups, target, lifetime, made, expires, used, revoked } = code;
        sqlx::query(
            "INSERT INTO break_glass (id, verifier, principal, groups, target, lifetime, made, expires, used, revoked) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id)
        .bind(verifier)
        .bind(principal)
        .bind(crate::to_json(groups)?)
        .bind(target)
        .bind(lifetime)
        .bind(made)
        .bind(expires)
        .bind(used)
        .bind(revoked)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Uses a code up, once; whether it could be.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn use_code(&self, id: &str, now: i64) -> Result<bool, StoreError> {
        let used = sqlx::query(
            "UPDATE break_glass SET used = ?1 WHERE id = ?2 AND used IS NULL AND revoked = 0 AND expires > ?1",
        )
        .bind(now)
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(used.rows_affected() == 1)
    }

    /// Revokes a code; whether there was one.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn revoke_code(&self, id: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE break_glass SET revoked = 1 WHERE id = ?")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }
}
