//! Which master key is in force, and how another one comes into force.

use crate::database::{Work, whole};
use crate::happened::note;
use crate::master::MasterKey;
use crate::query::{made, query};
use crate::vault::{KeyName, Named, Row, seal};
use crate::{Store, StoreError};

use std::sync::Arc;

/// Where sealed values are: table, the column that names the row, the sealed column. Whoever adds a sealed column adds it here.
pub(crate) const SEALED: [(&str, &str, &str); 8] = [
    ("made_key", "name", "sealed"),
    ("credential", "target", "sealed"),
    ("request", "id", "sealed_values"),
    ("request_plan", "request", "sealed"),
    ("asked", "id", "sealed"),
    ("draft", "id", "sealed"),
    ("standing_grant", "id", "sealed"),
    ("task", "id", "sealed"),
];

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The master key that was in force.
    pub before: KeyName,
    /// The one that is in force now.
    pub after: KeyName,
    /// So many values were wrapped anew.
    pub values: usize,
}

impl Store {
    /// Which master key is in force.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn master(&self) -> Result<KeyName, StoreError> {
        whole!(self, work => { Ok(self.in_force(&mut work).await?.name) })
    }

    /// Wraps everything under another master key, whole or not at all, while gateways serve. Each of them finds the new one where
    /// it reads its own; the old one opens nothing any more.
    ///
    /// # Errors
    /// It cannot be read or written, or something in it does not open: then the old one stays in force.
    pub async fn rotate(&self, new: &MasterKey, now: i64) -> Result<Rotated, StoreError> {
        let new = Arc::new(Named::new(new)?);
        let rotated: Result<Rotated, StoreError> = whole!(self, work => {
            let before = self.in_force(&mut work).await?.name;
            let mut values = 0;
            for (table, id, sealed) in SEALED {
                let rows = made(&format!("SELECT {id} AS id, {sealed} AS sealed FROM {table}"));
                for kept in rows.fetch_all(&mut work).await? {
                    let name: String = kept.try_get("id")?;
                    let row = Row { table, id: &name };
                    let wrapped = self.vault.rewrap(row, kept.try_get::<&[u8], _>("sealed")?, &new).await?;
                    made(&format!("UPDATE {table} SET {sealed} = $1 WHERE {id} = $2"))
                        .bind(wrapped)
                        .bind(&name)
                        .execute(&mut work)
                        .await?;
                    values += 1;
                }
            }
            query("UPDATE master SET name = $1").bind(new.name.to_string()).execute(&mut work).await?;
            let rotated = Rotated { before, after: new.name, values };
            let detail = format!("{before} by {}; {values} values wrapped anew", new.name);
            note(&mut work, "master key replaced", &detail, now).await?;
            Ok(rotated)
        });
        let rotated = rotated?;
        self.vault.add(new);
        self.vault.keep(rotated.after);
        Ok(rotated)
    }

    /// The key that is in force as long as this work lasts.
    pub(crate) async fn in_force(&self, work: &mut Work) -> Result<Arc<Named>, StoreError> {
        let kept = query("SELECT name FROM master").fetch_optional(&mut *work).await?;
        let name: Option<String> = kept.map(|row| row.try_get("name")).transpose()?;
        if let Some(name) = name {
            let name = KeyName::parse(&name).ok_or(StoreError::Unreadable("the name of the master key"))?;
            return self.vault.key(name).await;
        }
        // What is there was sealed by one of those that are known, before keys had names.
        let first = self.opens(work).await?;
        query("INSERT INTO master (id, name) VALUES (1, $1)")
            .bind(first.name.to_string())
            .execute(work)
            .await?;
        Ok(first)
    }

    /// The key that opens what was sealed first; the first of all where nothing was.
    async fn opens(&self, work: &mut Work) -> Result<Arc<Named>, StoreError> {
        let kept =
            query("SELECT name, sealed FROM made_key ORDER BY name LIMIT 1").fetch_optional(work).await?;
        let known = self.vault.all();
        let Some(kept) = kept else { return known.into_iter().next().ok_or(StoreError::Sealed) };
        let name: String = kept.try_get("name")?;
        let (row, sealed) = (Row { table: "made_key", id: &name }, kept.try_get::<&[u8], _>("sealed")?);
        known.into_iter().find(|key| crate::vault::fits(key, row, sealed)).ok_or(StoreError::Sealed)
    }

    /// Seals a value for a row, under the key that is in force as long as this work lasts.
    pub(crate) async fn seal(
        &self,
        work: &mut Work,
        row: Row<'_>,
        clear: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        seal(&*self.in_force(work).await?, row, clear)
    }
}
