//! What is kept instead of a secret: a salted hash. The secrets have 160 bits of chance, so that nothing that is slow protects them;
//! what is slow could be used to keep others out.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, pbkdf2, rand};
use zeroize::Zeroizing;

use crate::StoreError;
use crate::query::Found;

const ROUNDS: u32 = 1;
/// 160 bits of chance.
const CHANCE: usize = 20;

/// A new secret behind a beginning.
pub(crate) fn secret(beginning: &str) -> Result<Zeroizing<String>, StoreError> {
    let mut chance = Zeroizing::new([0; CHANCE]);
    rand::fill(chance.as_mut_slice()).map_err(|_| StoreError::Randomness)?;
    Ok(Zeroizing::new(format!("{beginning}{}", hex::encode(chance.as_slice()))))
}

/// Knows a secret again.
pub(crate) struct Verifier {
    pub salt: Vec<u8>,
    pub rounds: u32,
    pub derived: Zeroizing<Vec<u8>>,
}

impl Verifier {
    /// Of a secret, under a salt of its own.
    pub(crate) async fn of(secret: &[u8]) -> Result<Self, StoreError> {
        let mut salt = vec![0; 16];
        rand::fill(&mut salt).map_err(|_| StoreError::Randomness)?;
        let derived = derive(Zeroizing::new(secret.to_vec()), salt.clone(), ROUNDS).await?;
        Ok(Self { salt, rounds: ROUNDS, derived })
    }

    #[cfg(test)]
    pub(crate) async fn slow(secret: &[u8], rounds: u32) -> Result<Self, StoreError> {
        let salt = vec![7; 16];
        let derived = derive(Zeroizing::new(secret.to_vec()), salt.clone(), rounds).await?;
        Ok(Self { salt, rounds, derived })
    }

    /// From a row with `salt`, `rounds` and `verifier`.
    pub(crate) fn read(row: &Found) -> Result<Self, StoreError> {
        let rounds = u32::try_from(row.try_get::<i64, _>("rounds")?)
            .map_err(|_| StoreError::Unreadable("the rounds of a verifier"))?;
        let derived = Zeroizing::new(row.try_get("verifier")?);
        Ok(Self { salt: row.try_get("salt")?, rounds, derived })
    }

    /// Whether this is the secret. Where it was kept by an older version it takes tens of milliseconds of a processor, off the
    /// runtime's threads.
    pub(crate) async fn matches(&self, secret: &[u8]) -> Result<bool, StoreError> {
        let given = derive(Zeroizing::new(secret.to_vec()), self.salt.clone(), self.rounds).await?;
        Ok(constant_time::verify_slices_are_equal(&given, &self.derived).is_ok())
    }

    /// Whether it was kept by an older version: whoever has the secret keeps it anew.
    pub(crate) fn is_slow(&self) -> bool {
        self.rounds > ROUNDS
    }
}

async fn derive(
    secret: Zeroizing<Vec<u8>>,
    salt: Vec<u8>,
    rounds: u32,
) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let work = move || {
        let mut out = Zeroizing::new(vec![0; 32]);
        let rounds = NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, &secret, out.as_mut_slice());
        out
    };
    if rounds <= ROUNDS {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Unreadable("the derivation was cut off"))
}
