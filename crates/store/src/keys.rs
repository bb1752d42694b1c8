//! Keys that are made when they are first asked for, and never again.

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::query::query;
use crate::vault::Row;
use crate::{Store, StoreError};

impl Store {
    /// A key of 32 bytes by its name, made when it is first asked for.
    ///
    /// # Errors
    /// It cannot be read, made or opened.
    pub async fn made_key(&self, name: &str) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        let row = Row { table: "made_key", id: name };
        let mut fresh = Zeroizing::new([0; 32]);
        rand::fill(fresh.as_mut_slice()).map_err(|_| StoreError::Randomness)?;
        let sealed = self.vault.seal(row, fresh.as_slice())?;
        // Whoever is first makes it; everybody reads what is there then.
        query("INSERT INTO made_key (name, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(sealed)
            .execute(&self.database)
            .await?;
        let kept =
            query("SELECT sealed FROM made_key WHERE name = $1").bind(name).fetch_one(&self.database).await?;
        let clear = self.vault.open(row, kept.try_get::<&[u8], _>(0)?)?;
        let mut key = Zeroizing::new([0; 32]);
        if clear.len() != key.len() {
            return Err(StoreError::Unreadable("a key of another length"));
        }
        key.iter_mut().zip(clear.iter()).for_each(|(to, from)| *to = *from);
        Ok(key)
    }
}
