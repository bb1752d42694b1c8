//! Who may answer held operations beside the administrator. Each has a secret of their own, shown once.

use aws_lc_rs::rand;
use model::Approver;
use zeroize::Zeroizing;

use crate::database::whole;
use crate::query::{Found, query};
use crate::verifier::{self, Verifier};
use crate::votes::disown;
use crate::{Store, StoreError};

/// What an approver's secret begins with: `dwp_<id>_<secret>`.
pub const APPROVER_PREFIX: &str = "dwp_";

fn read(row: &Found) -> Result<Approver, StoreError> {
    Ok(Approver {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        groups: crate::from_json(row.try_get("groups")?)?,
        names: crate::from_json(row.try_get("names")?)?,
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
        names: &[String],
        now: i64,
    ) -> Result<Option<Zeroizing<String>>, StoreError> {
        let mut chance = [0; 6];
        rand::fill(&mut chance).map_err(|_| StoreError::Randomness)?;
        let id = format!("{APPROVER_PREFIX}{}", hex::encode(chance));
        let secret = verifier::secret(&format!("{id}_"))?;
        let Verifier { salt, rounds, derived } = Verifier::of(secret.as_bytes()).await?;
        let made = query(
            "INSERT INTO approver (name, id, groups, salt, rounds, verifier, added, names) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT DO NOTHING",
        )
        .bind(name)
        .bind(id)
        .bind(crate::to_json(&groups)?)
        .bind(salt)
        .bind(i64::from(rounds))
        .bind(derived.as_slice())
        .bind(now)
        .bind(crate::to_json(&names)?)
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

    /// Whose secret this is. A wrong one costs next to nothing.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn approver_by_secret(&self, secret: &[u8]) -> Result<Option<Approver>, StoreError> {
        let Some(id) = id_of(secret) else { return Ok(None) };
        let kept =
            query("SELECT * FROM approver WHERE id = $1").bind(id).fetch_optional(&self.database).await?;
        let Some(row) = kept else { return Ok(None) };
        let kept = Verifier::read(&row)?;
        let is_right = kept.matches(secret).await?;
        if is_right && kept.is_slow() {
            let Verifier { salt, rounds, derived } = Verifier::of(secret).await?;
            query("UPDATE approver SET salt = $1, rounds = $2, verifier = $3 WHERE id = $4 AND salt = $5")
                .bind(salt)
                .bind(i64::from(rounds))
                .bind(derived.as_slice())
                .bind(id)
                .bind(kept.salt)
                .execute(&self.database)
                .await?;
        }
        is_right.then(|| read(&row)).transpose()
    }

    /// Removes an approver, and their answers to what waits or is approved and not used. Whether there was one.
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
        disown(&mut work, &format!("user:{name}")).await?;
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
