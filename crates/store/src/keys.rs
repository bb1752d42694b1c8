//! Keys that are made when they are first asked for, and never again.

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::backup::RecoveryKey;
use crate::database::whole;
use crate::query::query;
use crate::vault::Row;
use crate::{Store, StoreError};

/// The name of the key that opens backups.
const RECOVERY: &str = "recovery";

impl Store {
    /// The key that opens backups, and whether it was made just now: it is shown then and not again. `anew` makes another, which
    /// opens no backup of before.
    ///
    /// # Errors
    /// It cannot be read or made.
    pub async fn recovery_key(&self, anew: bool) -> Result<(RecoveryKey, bool), StoreError> {
        if anew {
            query("DELETE FROM made_key WHERE name = $1").bind(RECOVERY).execute(&self.database).await?;
        }
        let kept = query("SELECT name FROM made_key WHERE name = $1").bind(RECOVERY);
        let is_new = kept.fetch_optional(&self.database).await?.is_none();
        Ok((RecoveryKey::new(self.made_key(RECOVERY).await?), is_new))
    }

    /// A key of 32 bytes by its name, made when it is first asked for.
    ///
    /// # Errors
    /// It cannot be read, made or opened.
    pub async fn made_key(&self, name: &str) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        let row = Row { table: "made_key", id: name };
        let clear = whole!(self, work => {
            // Whoever is first makes it; everybody reads what is there then.
            let kept = query("SELECT sealed FROM made_key WHERE name = $1").bind(name).fetch_optional(&mut work).await?;
            if let Some(kept) = kept {
                return self.vault.open(row, kept.try_get::<&[u8], _>("sealed")?).await;
            }
            let mut fresh = Zeroizing::new(vec![0; 32]);
            rand::fill(fresh.as_mut_slice()).map_err(|_| StoreError::Randomness)?;
            let sealed = self.seal(&mut work, row, fresh.as_slice()).await?;
            query("INSERT INTO made_key (name, sealed) VALUES ($1, $2)")
                .bind(name)
                .bind(sealed)
                .execute(&mut work)
                .await?;
            Ok(fresh)
        })?;
        let mut key = Zeroizing::new([0; 32]);
        if clear.len() != key.len() {
            return Err(StoreError::Unreadable("a key of another length"));
        }
        key.iter_mut().zip(clear.iter()).for_each(|(to, from)| *to = *from);
        Ok(key)
    }
}
