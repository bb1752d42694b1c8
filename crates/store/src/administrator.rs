//! The administrator's secret: shown once, then known by its verifier alone.

use zeroize::Zeroizing;

use crate::database::whole;
use crate::happened::note;
use crate::query::query;
use crate::verifier::{self, Verifier};
use crate::{Store, StoreError};

/// What the secret begins with, so that scanners for leaked secrets find it.
pub const ADMIN_PREFIX: &str = "dwa_";

/// What the journal says of it.
pub const REPLACED: &str = "administrator's secret replaced";

impl Store {
    /// Makes the administrator's secret, if there is none yet. What it returns is kept nowhere.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn make_administrator(&self) -> Result<Option<Zeroizing<String>>, StoreError> {
        let secret = verifier::secret(ADMIN_PREFIX)?;
        let Verifier { salt, rounds, derived } = Verifier::of(secret.as_bytes()).await?;
        let made = query(
            "INSERT INTO administrator (id, salt, rounds, verifier) VALUES (1, $1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(salt)
        .bind(i64::from(rounds))
        .bind(derived.as_slice())
        .execute(&self.database)
        .await?;
        Ok((made == 1).then_some(secret))
    }

    /// Makes another secret of the administrator's: the one before is good for nothing any more. `None` where there was none. What
    /// it returns is kept nowhere.
    ///
    /// # Errors
    /// It cannot be written: then the one before stays.
    pub async fn replace_administrator(&self, now: i64) -> Result<Option<Zeroizing<String>>, StoreError> {
        let secret = verifier::secret(ADMIN_PREFIX)?;
        let Verifier { salt, rounds, derived } = Verifier::of(secret.as_bytes()).await?;
        let replaced = whole!(self, work => {
            let replaced = query("UPDATE administrator SET salt = $1, rounds = $2, verifier = $3")
                .bind(salt.clone())
                .bind(i64::from(rounds))
                .bind(derived.as_slice())
                .execute(&mut work)
                .await?;
            if replaced == 1 {
                note(&mut work, REPLACED, "the one before opens nothing any more", now).await?;
            }
            Ok(replaced == 1)
        })?;
        Ok(replaced.then_some(secret))
    }

    /// Whether there is an administrator.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn has_administrator(&self) -> Result<bool, StoreError> {
        Ok(query("SELECT 1 FROM administrator").fetch_optional(&self.database).await?.is_some())
    }

    /// Whether this is the administrator's secret. A wrong one costs next to nothing.
    ///
    /// # Errors
    /// The verifier cannot be read.
    pub async fn is_administrator(&self, secret: &[u8]) -> Result<bool, StoreError> {
        let kept =
            query("SELECT salt, rounds, verifier FROM administrator").fetch_optional(&self.database).await?;
        let Some(kept) = kept else { return Ok(false) };
        let kept = Verifier::read(&kept)?;
        let is_right = kept.matches(secret).await?;
        if is_right && kept.is_slow() {
            let Verifier { salt, rounds, derived } = Verifier::of(secret).await?;
            query("UPDATE administrator SET salt = $1, rounds = $2, verifier = $3 WHERE rounds > $2 AND salt = $4")
                .bind(salt)
                .bind(i64::from(rounds))
                .bind(derived.as_slice())
                .bind(kept.salt)
                .execute(&self.database)
                .await?;
        }
        Ok(is_right)
    }
}
