//! Held operations: filed once, answered by people, used once. Each change is one statement or one transaction that names
//! the state it starts from, so that of two who race one loses.

use aws_lc_rs::rand;
use model::{
    Ceiling, Claim, Filed, Finish, NewRequest, Preview, Request, Standing, Status, TargetName, Touched, Vote,
};
use zeroize::Zeroizing;

use crate::database::{Work, whole};
use crate::query::{Found, query};
use crate::vault::Row;
use crate::{Store, StoreError};

/// A gateway that carries out what was approved, and until when it is believed to without saying so again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// Names one run of one gateway.
    pub gateway: String,
    /// In seconds since 1970.
    pub until: i64,
}

impl Store {
    /// Files a request, unless one of the same digest waits or is approved and not used.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn file(&self, new: &NewRequest, most: usize, now: i64) -> Result<Filed, StoreError> {
        let mut chance = [0; 5];
        rand::fill(&mut chance).map_err(|_| StoreError::Randomness)?;
        let id = format!("r{}", hex::encode(chance));
        let clear =
            serde_json::to_vec(&(&new.values, &new.preview)).map_err(|_| StoreError::Unreadable("values"))?;
        let clear = Zeroizing::new(clear);
        whole!(self, work => {
        expire(&mut work, now).await?;
        let same =
            query("SELECT id FROM request WHERE digest = $1 AND status IN ('pending', 'approved')")
                .bind(&new.digest)
                .fetch_optional(&mut work)
                .await?;
        if let Some(same) = same {
            let id = same.try_get(0)?;
            return Ok(Filed::Before(id));
        }
        let waiting: i64 =
            query("SELECT count(*) FROM request WHERE principal = $1 AND status = 'pending' AND subject <> $2")
                .bind(&new.principal)
                .bind(&new.subject)
                .fetch_one(&mut work)
                .await?
                .try_get(0)?;
        if usize::try_from(waiting).unwrap_or(usize::MAX) >= most {
            return Ok(Filed::TooMany);
        }
        let changed = supersede(&mut work, new).await?;
        let sealed = self.seal(&mut work, values_of(&id), &clear).await?;
            insert(&mut work, &id, new, &sealed, changed.as_deref(), now).await?;
        Ok(changed.map_or_else(|| Filed::Now(id.clone()), |changed| Filed::Anew(id.clone(), changed)))
        })
    }

    /// Where a request stands, with the words of who denied it. `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn standing(&self, id: &str, now: i64) -> Result<Option<Standing>, StoreError> {
        let kept = query(
            "SELECT status, expires, (SELECT words FROM vote WHERE vote.request = request.id AND NOT approve LIMIT 1) \
             FROM request WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(&self.database)
        .await?;
        kept.map(|row| Ok(Standing { status: status(&row, now)?, words: row.try_get(2)? })).transpose()
    }

    /// Says that a gateway still carries out what it claimed, and that nobody will say any more what became of what others
    /// claimed and did not say so in time; how many those are.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn keep_claims(&self, by: &Claimant, now: i64) -> Result<u64, StoreError> {
        // On a server others are told of an update that changes nothing, too.
        let claimed = query("SELECT 1 AS one FROM request WHERE status = 'claimed' LIMIT 1");
        if claimed.fetch_optional(&self.database).await?.is_none() {
            return Ok(0);
        }
        query("UPDATE request SET claimed_until = $2 WHERE status = 'claimed' AND claimed_by = $1")
            .bind(&by.gateway)
            .bind(by.until)
            .execute(&self.database)
            .await?;
        query(
            "UPDATE request SET status = 'outcome_unknown', outcome = $1 \
             WHERE status = 'claimed' AND (claimed_until IS NULL OR claimed_until < $2)",
        )
        .bind("the gateway that carried it out was lost before its outcome was known")
        .bind(now)
        .execute(&self.database)
        .await
    }

    /// Uses an approval up, once: what it is good for, or `None` where somebody was first.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn claim(&self, id: &str, by: &Claimant, now: i64) -> Result<Option<Claim>, StoreError> {
        whole!(self, work => {
        let claimed = query(
            "UPDATE request SET status = 'claimed', claimed_by = $3, claimed_until = $4 \
             WHERE id = $1 AND status = 'approved' AND expires > $2 RETURNING holds, ceiling",
        )
        .bind(id)
        .bind(now)
        .bind(&by.gateway)
        .bind(by.until)
        .fetch_optional(&mut work)
        .await?;
        let Some(row) = claimed else { return Ok(None) };
        let (holds, ceiling) = (crate::from_json(row.try_get("holds")?)?, ceiling(&row)?);
        let votes = query("SELECT * FROM vote WHERE request = $1").bind(id).fetch_all(&mut work).await?;
        let votes: Vec<Vote> = votes.iter().map(crate::votes::read).collect::<Result<_, _>>()?;
        Ok(Some(Claim::of(holds, ceiling, &votes)))
        })
    }

    /// Takes an approval back that is not used; whether there was one.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn rescind(&self, id: &str, now: i64) -> Result<bool, StoreError> {
        let taken = query(
            "UPDATE request SET status = 'rescinded' WHERE id = $1 AND status = 'approved' AND expires > $2",
        )
        .bind(id)
        .bind(now)
        .execute(&self.database)
        .await?;
        Ok(taken == 1)
    }

    /// Takes a request back that waits.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn withdraw(&self, id: &str) -> Result<(), StoreError> {
        query("UPDATE request SET status = 'withdrawn' WHERE id = $1 AND status = 'pending'")
            .bind(id)
            .execute(&self.database)
            .await?;
        Ok(())
    }

    /// Notes what became of an approval that was claimed.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn finish(&self, id: &str, finish: &Finish) -> Result<(), StoreError> {
        query(
            "UPDATE request SET status = $1, outcome = $2 WHERE id = $3 AND status IN ('claimed', 'outcome_unknown')",
        )
            .bind(finish.status.as_str())
            .bind(&finish.words)
            .bind(id)
            .execute(&self.database)
            .await?;
        Ok(())
    }

    /// Notes that nobody will say any more what became of approvals: claimed ones, of a store that no other gateway uses.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn lose_track(&self) -> Result<u64, StoreError> {
        query("UPDATE request SET status = 'outcome_unknown', outcome = $1 WHERE status = 'claimed'")
            .bind("the gateway ended before its outcome was known")
            .execute(&self.database)
            .await
    }

    /// Requests without their values, newest first; all, or those that wait.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn requests(&self, all: bool, now: i64) -> Result<Vec<Request>, StoreError> {
        let kept = query(
            "SELECT * FROM request WHERE $1 OR (status = 'pending' AND expires > $2) ORDER BY filed DESC, rowid DESC",
        )
        .bind(all)
        .bind(now)
        .fetch_all(&self.database)
        .await?;
        let mut votes = self.votes(None).await?;
        let with_votes = |row| {
            let id: String = Found::try_get(row, "id")?;
            read(row, votes.remove(&id).unwrap_or_default(), now)
        };
        kept.iter().map(with_votes).collect()
    }

    /// One request with its values.
    ///
    /// # Errors
    /// It cannot be read or opened.
    pub async fn request(&self, id: &str, now: i64) -> Result<Option<Request>, StoreError> {
        let kept =
            query("SELECT * FROM request WHERE id = $1").bind(id).fetch_optional(&self.database).await?;
        let Some(row) = kept else { return Ok(None) };
        let clear = self.vault.open(values_of(id), row.try_get::<&[u8], _>("sealed_values")?).await?;
        let (values, preview) = serde_json::from_slice(&clear)
            // As they were sealed before there were previews.
            .or_else(|_| serde_json::from_slice(&clear).map(|values| (values, Preview::default())))
            .map_err(|_| StoreError::Unreadable("values"))?;
        let votes = self.votes(Some(id)).await?.remove(id).unwrap_or_default();
        Ok(Some(Request { values, preview, ..read(&row, votes, now)? }))
    }
}

fn values_of(id: &str) -> Row<'_> {
    Row { table: "request", id }
}

pub(crate) fn after(now: i64, seconds: u64) -> i64 {
    now.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// Makes what is true by the clock true in the rows.
pub(crate) async fn expire(work: &mut Work, now: i64) -> Result<(), StoreError> {
    query(
        "UPDATE request SET status = CASE status WHEN 'pending' THEN 'expired' ELSE 'lapsed' END \
         WHERE status IN ('pending', 'approved') AND expires <= $1",
    )
    .bind(now)
    .execute(work)
    .await?;
    Ok(())
}

/// What was asked for before of the same subject is not any more: something that it touches was altered. Says what, for the
/// request that takes its place.
async fn supersede(work: &mut Work, new: &NewRequest) -> Result<Option<String>, StoreError> {
    let former = query(
        "SELECT id, status, touched FROM request WHERE subject = $1 AND status IN ('pending', 'approved') ORDER BY filed",
    )
    .bind(&new.subject)
    .fetch_all(&mut *work)
    .await?;
    let mut changed = None;
    for row in &former {
        let id: &str = row.try_get(0)?;
        let since = kept_status(row)?.since();
        let before: Vec<Touched> = crate::from_json(row.try_get(2)?)?;
        let altered = new.altered(&before);
        query("UPDATE request SET status = 'superseded', outcome = $1 WHERE id = $2")
            .bind(format!("{altered} since it was {since}"))
            .bind(id)
            .execute(&mut *work)
            .await?;
        changed = Some(format!("{altered} since request {id} was {since}"));
    }
    Ok(changed)
}

async fn insert(
    work: &mut Work,
    id: &str,
    new: &NewRequest,
    sealed: &[u8],
    changed: Option<&str>,
    now: i64,
) -> Result<(), StoreError> {
    let NewRequest {
        digest,
        subject,
        touched,
        principal,
        on_behalf_of,
        target,
        session,
        summary,
        kind,
        text,
        values: _,
        circumstances,
        effects,
        holds,
        ceiling,
        preview: _,
        version,
    } = new;
    let life = holds.iter().map(|h| h.expires).min().unwrap_or(0);
    query(
        "INSERT INTO request (id, digest, status, principal, on_behalf_of, target, session, summary, kind, text, \
         sealed_values, effects, holds, version, filed, expires, circumstances, subject, touched, changed, ceiling) \
         VALUES ($1, $2, 'pending', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
    )
    .bind(id)
    .bind(digest)
    .bind(principal)
    .bind(crate::to_json(on_behalf_of)?)
    .bind(&target.0)
    .bind(session)
    .bind(summary)
    .bind(kind)
    .bind(text)
    .bind(sealed)
    .bind(crate::to_json(effects)?)
    .bind(crate::to_json(holds)?)
    .bind(version)
    .bind(now)
    .bind(after(now, life))
    .bind(crate::to_json(circumstances)?)
    .bind(subject)
    .bind(crate::to_json(touched)?)
    .bind(changed)
    .bind(crate::to_json(ceiling)?)
    .execute(work)
    .await?;
    Ok(())
}

/// An open request whose time is over has expired, whether or not its row says so yet.
pub(crate) fn status(row: &Found, now: i64) -> Result<Status, StoreError> {
    let kept = kept_status(row)?;
    let over = row.try_get::<i64, _>("expires")? <= now;
    Ok(if over { kept.overdue() } else { kept })
}

fn kept_status(row: &Found) -> Result<Status, StoreError> {
    let word: &str = row.try_get("status")?;
    let kept = Status::ALL.into_iter().find(|status| status.as_str() == word);
    kept.ok_or(StoreError::Unreadable("the status of a request"))
}

fn ceiling(row: &Found) -> Result<Ceiling, StoreError> {
    let kept: Option<&str> = row.try_get("ceiling")?;
    kept.map_or_else(|| Ok(Ceiling::default()), crate::from_json)
}

fn read(row: &Found, votes: Vec<Vote>, now: i64) -> Result<Request, StoreError> {
    Ok(Request {
        id: row.try_get("id")?,
        digest: row.try_get("digest")?,
        status: status(row, now)?,
        principal: row.try_get("principal")?,
        on_behalf_of: crate::from_json(row.try_get("on_behalf_of")?)?,
        target: TargetName(row.try_get("target")?),
        session: row.try_get("session")?,
        summary: row.try_get("summary")?,
        text: row.try_get("text")?,
        values: Vec::new(),
        circumstances: crate::from_json(row.try_get("circumstances")?)?,
        effects: crate::from_json(row.try_get("effects")?)?,
        changed: row.try_get("changed")?,
        holds: crate::from_json(row.try_get("holds")?)?,
        ceiling: ceiling(row)?,
        preview: Preview::default(),
        filed: row.try_get("filed")?,
        expires: row.try_get("expires")?,
        votes,
        outcome: row.try_get("outcome")?,
    })
}
