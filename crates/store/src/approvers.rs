//! Who may answer held operations beside the administrator. Each has a secret of their own, shown once.

use aws_lc_rs::rand;
use model::Approver;
use zeroize::Zeroizing;

use crate::database::whole;
use crate::query::{Found, query};
use crate::verifier::{self, Verifier};
use crate::{Store, StoreError};

/// What an approver's secret begins with: `dwp_<id>_<secret>`.
pub const APPROVER_PREFIX: &str = "dwp_";

fn read(row: &Found) -> Result<Approver, StoreError> {
    Ok(Approver {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        groups: crate::from_json(row.try_get("groups")?)?,
        added: row.try_get("added")?,
    })
}

impl Store {
    /// Adds an approver and makes their secret, which is kept nowhere. `None` where there is one of this name, in whatever
    /// case it is written.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn add_approver(
        &self,
        name: &str,
        groups: &[String],
        now: i64,
    ) -> Result<Option<Zeroizing<String>>, StoreError> {
        let mut chance = [0; 6];
        rand::fill(&mut chance).map_err(|_| StoreError::Randomness)?;
        let id = format!("{APPROVER_PREFIX}{}", hex::encode(chance));
        let secret = verifier::secret(&format!("{id}_"))?;
        let Verifier { salt, rounds, derived } = Verifier::of(secret.as_bytes()).await?;
        let made = query(
            "INSERT INTO approver (name, id, groups, salt, rounds, verifier, added) VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT DO NOTHING",
        )
        .bind(name)
        .bind(id)
        .bind(crate::to_json(&groups)?)
        .bind(salt)
        .bind(i64::from(rounds))
        .bind(derived.as_slice())
        .bind(now)
        .execute(&self.database)
        .await?;
        Ok((made == 1).then_some(secret))
    }

    /// All approvers, by name.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn approvers(&self) -> Result<Vec<Approver>, StoreError> {
        let kept = query("SELECT * FROM approver ORDER BY lower(name)").fetch_all(&self.database).await?;
        kept.iter().map(read).collect()
    }

    /// The approver of an id, if they still are one.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn approver(&self, id: &str) -> Result<Option<Approver>, StoreError> {
        let kept =
            query("SELECT * FROM approver WHERE id = $1").bind(id).fetch_optional(&self.database).await?;
        kept.as_ref().map(read).transpose()
    }

    /// Whose secret this is. It takes tens of milliseconds of a processor, off the runtime's threads, where the id in it is
    /// somebody's.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn approver_by_secret(&self, secret: &[u8]) -> Result<Option<Approver>, StoreError> {
        let Some(id) = id_of(secret) else { return Ok(None) };
        let kept =
            query("SELECT * FROM approver WHERE id = $1").bind(id).fetch_optional(&self.database).await?;
        let Some(row) = kept else { return Ok(None) };
        let is_right = Verifier::read(&row)?.matches(secret).await?;
        is_right.then(|| read(&row)).transpose()
    }

    /// Removes an approver, and their answers to what still waits. Whether there was one.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn remove_approver(&self, name: &str) -> Result<bool, StoreError> {
        whole!(self, work => {
        let gone = query("DELETE FROM approver WHERE lower(name) = lower($1) RETURNING name")
            .bind(name)
            .fetch_optional(&mut work)
            .await?;
        let Some(row) = gone else { return Ok(false) };
        let name: String = row.try_get(0)?;
        query(
            "DELETE FROM vote WHERE voter = $1 AND request IN (SELECT id FROM request WHERE status = 'pending')",
        )
        .bind(format!("user:{name}"))
        .execute(&mut work)
        .await?;
        Ok(true)
        })
    }
}

/// The id in a secret: `dwp_<id>_<secret>` has `dwp_<id>`.
fn id_of(secret: &[u8]) -> Option<&str> {
    let secret = std::str::from_utf8(secret).ok()?;
    let (id, _) = secret.rsplit_once('_')?;
    id.starts_with(APPROVER_PREFIX).then_some(id)
}
