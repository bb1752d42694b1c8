//! The administrator's secret: shown once, then known by a salted, slow hash alone.

use std::num::NonZeroU32;

use aws_lc_rs::{pbkdf2, rand};
use sqlx::Row as _;
use zeroize::Zeroizing;

use crate::{Store, StoreError};

/// What the secret begins with, so that scanners for leaked secrets find it.
pub const ADMIN_PREFIX: &str = "dwa_";

const ROUNDS: u32 = 100_000;
/// 160 bits of chance.
const CHANCE: usize = 20;

impl Store {
    /// Makes the administrator's secret, if there is none yet. What it returns is kept nowhere.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn make_administrator(&self) -> Result<Option<Zeroizing<String>>, StoreError> {
        let mut chance = Zeroizing::new([0; CHANCE]);
        let mut salt = [0; 16];
        rand::fill(chance.as_mut_slice()).map_err(|_| StoreError::Randomness)?;
        rand::fill(&mut salt).map_err(|_| StoreError::Randomness)?;
        let secret = Zeroizing::new(format!("{ADMIN_PREFIX}{}", hex::encode(chance.as_slice())));
        let verifier = derive(Zeroizing::new(secret.as_bytes().to_vec()), salt.to_vec(), ROUNDS).await?;
        let made = sqlx::query(
            "INSERT INTO administrator (id, salt, rounds, verifier) VALUES (1, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(salt.as_slice())
        .bind(i64::from(ROUNDS))
        .bind(verifier.as_slice())
        .execute(&self.pool)
        .await?;
        Ok((made.rows_affected() == 1).then_some(secret))
    }

    /// Whether there is an administrator.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn has_administrator(&self) -> Result<bool, StoreError> {
        Ok(sqlx::query("SELECT 1 FROM administrator").fetch_optional(&self.pool).await?.is_some())
    }

    /// Whether this is the administrator's secret. It takes tens of milliseconds of a processor, off the runtime's threads.
    ///
    /// # Errors
    /// The verifier cannot be read.
    pub async fn is_administrator(&self, secret: &[u8]) -> Result<bool, StoreError> {
        let kept = sqlx::query("SELECT salt, rounds, verifier FROM administrator")
            .fetch_optional(&self.pool)
            .await?;
        let Some(kept) = kept else { return Ok(false) };
        let rounds = u32::try_from(kept.try_get::<i64, _>(1)?)
            .map_err(|_| StoreError::Unreadable("the rounds of the administrator's verifier"))?;
        let verifier: Vec<u8> = kept.try_get(2)?;
        let given = derive(Zeroizing::new(secret.to_vec()), kept.try_get(0)?, rounds).await?;
        Ok(aws_lc_rs::constant_time::verify_slices_are_equal(given.as_slice(), &verifier).is_ok())
    }
}

async fn derive(
    secret: Zeroizing<Vec<u8>>,
    salt: Vec<u8>,
    rounds: u32,
) -> Result<Zeroizing<[u8; 32]>, StoreError> {
    let work = move || {
        let mut out = Zeroizing::new([0; 32]);
        let rounds = NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, &secret, out.as_mut_slice());
        out
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Unreadable("the derivation was cut off"))
}
