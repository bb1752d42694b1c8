//! Answers to held operations: counted one at a time, nobody's twice.

use std::collections::BTreeMap;

use model::{Backing, Counted, HoldRule, Status, Vote};

use crate::database::{Work, whole};
use crate::query::{Found, query};
use crate::requests::{after, expire, status};
use crate::{Store, StoreError};

impl Store {
    /// Counts an answer, where all that makes its voter one who answers is there still. One no denies; when yes is enough, `enough` says of the rules and all answers. `None` where there is
    /// no such request.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn vote(
        &self,
        id: &str,
        (vote, backing): (&Vote, &[Backing]),
        now: i64,
        enough: impl Fn(&[HoldRule], &[Vote]) -> bool + Send,
    ) -> Result<Option<Counted>, StoreError> {
        whole!(self, work => {
        expire(&mut work, now).await?;
        let kept = query("SELECT status, expires, holds FROM request WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut work)
            .await?;
        let Some(row) = kept else { return Ok(None) };
        let stands = status(&row, now)?;
        if stands != Status::Pending {
            return Ok(Some(Counted::TooLate(stands)));
        }
        for one in backing {
            if !is_there(&mut work, one, now).await? {
                return Ok(Some(Counted::Nobody));
            }
        }
        let holds: Vec<HoldRule> = crate::from_json(row.try_get("holds")?)?;
        // Who has approved may still say no, and nobody counts twice.
        query(
            "INSERT INTO vote (request, voter, groups, approve, words, proof, most, names, at, access) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             ON CONFLICT (request, voter) DO UPDATE SET groups = excluded.groups, approve = excluded.approve, \
             words = excluded.words, proof = excluded.proof, most = excluded.most, names = excluded.names, at = excluded.at, \
             access = excluded.access",
        )
        .bind(id)
        .bind(&vote.voter)
        .bind(crate::to_json(&vote.groups)?)
        .bind(vote.approve)
        .bind(&vote.words)
        .bind(&vote.proof)
        .bind(vote.most.map(|most| i64::try_from(most).unwrap_or(i64::MAX)))
        .bind(crate::to_json(&vote.names)?)
        .bind(now)
        .bind(vote.access.as_ref().map(crate::to_json).transpose()?)
        .execute(&mut work)
        .await?;
        let votes =
            query("SELECT * FROM vote WHERE request = $1").bind(id).fetch_all(&mut work).await?;
        let votes: Vec<Vote> = votes.iter().map(read).collect::<Result<_, _>>()?;
        let now_stands = if !vote.approve {
            set(&mut work, id, "denied", row.try_get("expires")?).await?;
            Status::Denied
        } else if enough(&holds, &votes) {
            let life = holds.iter().map(|h| h.valid_for).min().unwrap_or(0);
            set(&mut work, id, "approved", after(now, life)).await?;
            Status::Approved
        } else {
            Status::Pending
        };
        Ok(Some(Counted::Now(now_stands)))
        })
    }

    /// The answers of somebody who answers no more count no more: those to what waits are gone, and what was approved with one
    /// and is not used is not approved any more.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn disown(&self, voter: &str) -> Result<(), StoreError> {
        whole!(self, work => { disown(&mut work, voter).await })
    }

    /// The votes of one request.
    pub(crate) async fn votes(&self, id: &str) -> Result<Vec<Vote>, StoreError> {
        let kept = query("SELECT * FROM vote WHERE request = $1 ORDER BY rowid")
            .bind(id)
            .fetch_all(&self.database)
            .await?;
        kept.iter().map(read).collect()
    }

    /// The votes of what was filed from one moment to another, by request.
    pub(crate) async fn votes_between(
        &self,
        from: i64,
        to: i64,
    ) -> Result<BTreeMap<String, Vec<Vote>>, StoreError> {
        let kept = query(
            "SELECT * FROM vote WHERE request IN (SELECT id FROM request WHERE filed BETWEEN $1 AND $2) ORDER BY rowid",
        )
        .bind(from)
        .bind(to)
        .fetch_all(&self.database)
        .await?;
        let mut all: BTreeMap<String, Vec<Vote>> = BTreeMap::new();
        for row in kept {
            all.entry(row.try_get("request")?).or_default().push(read(&row)?);
        }
        Ok(all)
    }
}

/// Whether it is there. Whoever takes it away disowns its answers in the same change, or behind it.
pub(crate) async fn is_there(work: &mut Work, backing: &Backing, now: i64) -> Result<bool, StoreError> {
    let found = match backing {
        Backing::Approver(id) => query("SELECT 1 AS one FROM approver WHERE id = $1").bind(id),
        Backing::Member(name) => {
            query("SELECT 1 AS one FROM member WHERE lower(name) = lower($1)").bind(name)
        }
        Backing::Visit(mark) => {
            query("SELECT 1 AS one FROM visit WHERE mark = $1 AND expires > $2").bind(mark).bind(now)
        }
        Backing::Welcome(name) => {
            let denials = query(
                "SELECT 1 AS one FROM denial WHERE kind = 'principal' AND lower(name) = lower($1) \
                 AND (until IS NULL OR until > $2)",
            );
            return Ok(denials.bind(name).bind(now).fetch_optional(work).await?.is_none());
        }
    };
    Ok(found.fetch_optional(work).await?.is_some())
}

pub(crate) async fn disown(work: &mut Work, voter: &str) -> Result<(), StoreError> {
    query(
        "UPDATE request SET status = 'rescinded', outcome = $2 WHERE status = 'approved' AND id IN \
         (SELECT request FROM vote WHERE lower(voter) = lower($1) AND approve)",
    )
    .bind(voter)
    .bind(format!("{voter}, who had approved it, does not answer any more"))
    .execute(&mut *work)
    .await?;
    query(
        "DELETE FROM vote WHERE lower(voter) = lower($1) AND request IN \
         (SELECT id FROM request WHERE status = 'pending')",
    )
    .bind(voter)
    .execute(&mut *work)
    .await?;
    crate::standing::disown(work, voter).await
}

pub(crate) fn read(row: &Found) -> Result<Vote, StoreError> {
    let access: Option<&str> = row.try_get("access")?;
    Ok(Vote {
        access: access.map(crate::from_json).transpose()?,
        voter: row.try_get("voter")?,
        groups: crate::from_json(row.try_get("groups")?)?,
        approve: row.try_get("approve")?,
        words: row.try_get("words")?,
        proof: row.try_get("proof")?,
        most: row.try_get::<Option<i64>, _>("most")?.and_then(|most| u64::try_from(most).ok()),
        names: crate::from_json(row.try_get("names")?)?,
        at: row.try_get("at")?,
    })
}

async fn set(work: &mut Work, id: &str, word: &'static str, expires: i64) -> Result<(), StoreError> {
    query("UPDATE request SET status = $1, expires = $2 WHERE id = $3")
        .bind(word)
        .bind(expires)
        .bind(id)
        .execute(work)
        .await?;
    Ok(())
}
