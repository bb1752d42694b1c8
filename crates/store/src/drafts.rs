//! Changes of what is configured that wait for a second person.

use aws_lc_rs::rand;
use model::{Draft, DraftStatus};
use zeroize::Zeroizing;

use crate::database::whole;
use crate::query::{Found, query};
use crate::vault::Row;
use crate::{Store, StoreError};

impl Store {
    /// Keeps a change until a moment, with what nobody may read of it; its id, or `None` where so many wait already.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn add_draft(
        &self,
        draft: &Draft,
        secret: &[u8],
        most: i64,
    ) -> Result<Option<String>, StoreError> {
        let mut chance = [0; 5];
        rand::fill(&mut chance).map_err(|_| StoreError::Randomness)?;
        let id = format!("c{}", hex::encode(chance));
        whole!(self, work => {
            let waiting: i64 = query("SELECT count(*) FROM draft WHERE status = 'open' AND expires > $1")
                .bind(draft.filed)
                .fetch_one(&mut work)
                .await?
                .try_get(0)?;
            if waiting >= most {
                return Ok(None);
            }
            let sealed = self.seal(&mut work, Row { table: "draft", id: &id }, secret).await?;
            query(
                "INSERT INTO draft (id, author, body, digest, sealed, status, filed, expires) \
                 VALUES ($1, $2, $3, $4, $5, 'open', $6, $7)",
            )
            .bind(&id)
            .bind(&draft.author)
            .bind(&draft.body)
            .bind(&draft.digest)
            .bind(sealed)
            .bind(draft.filed)
            .bind(draft.expires)
            .execute(&mut work)
            .await?;
            Ok(Some(id.clone()))
        })
    }

    /// The newest, so many at most.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn drafts(&self, most: i64, now: i64) -> Result<Vec<Draft>, StoreError> {
        let kept = query("SELECT * FROM draft ORDER BY filed DESC, id DESC LIMIT $1")
            .bind(most)
            .fetch_all(&self.database)
            .await?;
        kept.iter().map(|row| read(row, now)).collect()
    }

    /// How many wait.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn waiting_drafts(&self, now: i64) -> Result<i64, StoreError> {
        let counted = query("SELECT count(*) FROM draft WHERE status = 'open' AND expires > $1");
        Ok(counted.bind(now).fetch_one(&self.database).await?.try_get(0)?)
    }

    /// One of them, with what nobody may read of it.
    ///
    /// # Errors
    /// It cannot be read or opened.
    pub async fn draft(&self, id: &str, now: i64) -> Result<Option<(Draft, Zeroizing<Vec<u8>>)>, StoreError> {
        let kept = query("SELECT * FROM draft WHERE id = $1").bind(id).fetch_optional(&self.database).await?;
        let Some(kept) = kept else { return Ok(None) };
        let sealed = kept.try_get::<&[u8], _>("sealed")?;
        let secret = self.vault.open(Row { table: "draft", id }, sealed).await?;
        Ok(Some((read(&kept, now)?, secret)))
    }

    /// Makes it so that those whose time is over have expired, without what nobody may read of them; which they are.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn expire_drafts(&self, now: i64) -> Result<Vec<String>, StoreError> {
        whole!(self, work => {
            let over = query("UPDATE draft SET status = 'expired' WHERE status = 'open' AND expires <= $1 RETURNING id")
                .bind(now)
                .fetch_all(&mut work)
                .await?;
            let mut all = Vec::new();
            for row in over {
                let id: String = row.try_get(0)?;
                let nothing = self.seal(&mut work, Row { table: "draft", id: &id }, b"").await?;
                query("UPDATE draft SET sealed = $2 WHERE id = $1").bind(&id).bind(nothing).execute(&mut work).await?;
                all.push(id);
            }
            Ok(all)
        })
    }

    /// Ends one that waits and whose time is not over, by whom; whether there was one. What is over has no secret any more; whoever
    /// confirms has it already.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn end_draft(
        &self,
        id: &str,
        status: DraftStatus,
        by: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        whole!(self, work => {
            let nothing = self.seal(&mut work, Row { table: "draft", id }, b"").await?;
            let ended = query(
                "UPDATE draft SET status = $2, decided_by = $3, sealed = $4 \
                 WHERE id = $1 AND status = 'open' AND expires > $5",
            )
            .bind(id)
            .bind(status.as_str())
            .bind(by)
            .bind(nothing)
            .bind(now)
            .execute(&mut work)
            .await?;
            Ok(ended == 1)
        })
    }
}

fn read(row: &Found, now: i64) -> Result<Draft, StoreError> {
    let (word, expires): (String, i64) = (row.try_get("status")?, row.try_get("expires")?);
    let status = match DraftStatus::read(&word) {
        Some(DraftStatus::Open) if expires <= now => DraftStatus::Expired,
        Some(status) => status,
        None => return Err(StoreError::Unreadable("the state of a change")),
    };
    Ok(Draft {
        id: row.try_get("id")?,
        author: row.try_get("author")?,
        body: row.try_get("body")?,
        digest: row.try_get("digest")?,
        status,
        filed: row.try_get("filed")?,
        expires,
        decided_by: row.try_get("decided_by")?,
    })
}
