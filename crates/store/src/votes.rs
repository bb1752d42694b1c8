//! Answers to held operations: counted one at a time, nobody's twice.

use std::collections::BTreeMap;

use sqlx::{Row as _, SqliteConnection};

use crate::requests::{Hold, Status, after, expire, status};
use crate::{Store, StoreError};

/// One person's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub voter: String,
    /// Yes or no.
    pub approve: bool,
    /// What they said.
    pub words: Option<String>,
}

/// How an answer was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voted {
    /// It counts; where the request stands now.
    Counted(Status),
    /// The request was not open any more.
    TooLate(Status),
}

impl Store {
    /// Counts an answer. One no denies; every hold asks for its quorum of distinct voters. `None` where there is no such
    /// request.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn vote(&self, id: &str, vote: &Vote, now: i64) -> Result<Option<Voted>, StoreError> {
        let mut work = self.begin().await?;
        expire(&mut work, now).await?;
        let kept = sqlx::query("SELECT status, expires, holds FROM request WHERE id = ?")
            .bind(id)
            .fetch_optional(&mut *work)
            .await?;
        let Some(row) = kept else { return Ok(None) };
        let stands = status(&row, now)?;
        if stands != Status::Waiting {
            work.commit().await?;
            return Ok(Some(Voted::TooLate(stands)));
        }
        let holds: Vec<Hold> = crate::from_json(row.try_get("holds")?)?;
        // Who has approved may still say no, and nobody counts twice.
        sqlx::query(
            "INSERT INTO vote (request, voter, approve, words) VALUES (?, ?, ?, ?) \
             ON CONFLICT (request, voter) DO UPDATE SET approve = excluded.approve, words = excluded.words",
        )
        .bind(id)
        .bind(&vote.voter)
        .bind(vote.approve)
        .bind(&vote.words)
        .execute(&mut *work)
        .await?;
        let yes: i64 = sqlx::query("SELECT count(*) FROM vote WHERE request = ? AND approve = 1")
            .bind(id)
            .fetch_one(&mut *work)
            .await?
            .try_get(0)?;
        let now_stands = if !vote.approve {
            set(&mut work, id, "denied", row.try_get("expires")?).await?;
            Status::Denied
        } else if holds.iter().all(|h| i64::from(h.quorum) <= yes) {
            let life = holds.iter().map(|h| h.valid_for).min().unwrap_or(0);
            set(&mut work, id, "approved", after(now, life)).await?;
            Status::Approved
        } else {
            Status::Waiting
        };
        work.commit().await?;
        Ok(Some(Voted::Counted(now_stands)))
    }

    /// The votes of one request, or of all, by request.
    pub(crate) async fn votes(&self, id: Option<&str>) -> Result<BTreeMap<String, Vec<Vote>>, StoreError> {
        let kept = sqlx::query(
            "SELECT request, voter, approve, words FROM vote WHERE ?1 IS NULL OR request = ?1 ORDER BY rowid",
        )
        .bind(id)
        .fetch_all(&self.pool)
        .await?;
        let mut all: BTreeMap<String, Vec<Vote>> = BTreeMap::new();
        for row in kept {
            let vote = Vote { voter: row.try_get(1)?, approve: row.try_get(2)?, words: row.try_get(3)? };
            all.entry(row.try_get(0)?).or_default().push(vote);
        }
        Ok(all)
    }
}

async fn set(
    work: &mut SqliteConnection,
    id: &str,
    word: &'static str,
    expires: i64,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE request SET status = ?, expires = ? WHERE id = ?")
        .bind(word)
        .bind(expires)
        .bind(id)
        .execute(work)
        .await?;
    Ok(())
}
