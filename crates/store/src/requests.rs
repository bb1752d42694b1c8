//! Held operations: filed once, answered by people, used once. Each change is one statement or one transaction that names
//! the state it starts from, so that of two who race one loses.

mod room;
mod row;
mod waiting;

use aws_lc_rs::rand;
use model::{
    CarriedBy, Claim, Filed, Finish, HoldRule, NewRequest, Part, Request, Room, SINCE_IT_WAS, Standing,
    Status, TakenBack, Touched, Vote,
};

use self::room::{make_room, size};
use self::row::{Opened, ceiling, clear, opened, read};
pub(crate) use self::row::{kept_status, status};
pub use self::waiting::Left;
use crate::database::{Work, whole};
use crate::plans::LOST;
use crate::query::{Found, made, query};
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

/// A plan that nothing holds is carried out so long after it was filed, in seconds, if not at once.
const UNHELD: u64 = 15 * 60;

/// Of a text so much is read for a list, in characters, and twice as much of its effects.
const SHORT: i64 = 2000;

impl Store {
    /// Files a request, unless one of the same digest waits or is approved and not used, under rules that ask the same.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn file(&self, new: &NewRequest, room: &Room, now: i64) -> Result<Filed, StoreError> {
        let mut chance = [0; 5];
        rand::fill(&mut chance).map_err(|_| StoreError::Randomness)?;
        let id = format!("r{}", hex::encode(chance));
        let clear = clear(new)?;
        whole!(self, work => {
        expire(&mut work, now).await?;
        let same =
            query("SELECT id, holds FROM request WHERE digest = $1 AND status IN ('pending', 'approved')")
                .bind(&new.digest)
                .fetch_optional(&mut work)
                .await?;
        if let Some(same) = same {
            let held: Vec<HoldRule> = crate::from_json(same.try_get(1)?)?;
            if HoldRule::differing(&held, &new.holds).is_none() {
                let id: String = same.try_get(0)?;
                waiting::enter(&mut work, &id, new, now).await?;
                return Ok(Filed::Before(id));
            }
        }
        let waiting: i64 =
            query("SELECT count(*) FROM request WHERE principal = $1 AND status = 'pending' AND subject <> $2")
                .bind(&new.principal)
                .bind(&new.subject)
                .fetch_one(&mut work)
                .await?
                .try_get(0)?;
        if usize::try_from(waiting).unwrap_or(usize::MAX) >= room.waiting {
            return Ok(Filed::TooMany);
        }
        let changed = supersede(&mut work, new).await?;
        let sealed = self.seal(&mut work, values_of(&id), &clear).await?;
        let bytes = size(new, &sealed)?;
        if let Some(none) = make_room(&mut work, new.asker(), bytes, room).await? {
            return Ok(none);
        }
        insert(&mut work, &id, new, &sealed, bytes, ("pending", changed.as_deref()), now).await?;
        waiting::enter(&mut work, &id, new, now).await?;
        Ok(changed.map_or_else(|| Filed::Now(id.clone()), |changed| Filed::Anew(id.clone(), changed)))
        })
    }

    /// Where a request stands, with the words of who denied it. `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn standing(&self, id: &str, now: i64) -> Result<Option<Standing>, StoreError> {
        let kept = query(
            "SELECT status, expires, (SELECT words FROM vote WHERE vote.request = request.id AND NOT approve LIMIT 1), \
             holds FROM request WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(&self.database)
        .await?;
        let standing = |row: Found| {
            let holds = crate::from_json(row.try_get(3)?)?;
            Ok(Standing { status: status(&row, now)?, words: row.try_get(2)?, holds })
        };
        kept.map(standing).transpose()
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
        made(&format!(
            "UPDATE request SET {LOST} WHERE status = 'claimed' AND (claimed_until IS NULL OR claimed_until < $2)"
        ))
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

    /// What waits or is approved and not used, with the rules that held it when it was filed.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn open_requests(&self, now: i64) -> Result<Vec<(String, Vec<HoldRule>)>, StoreError> {
        let kept =
            query("SELECT id, holds FROM request WHERE status IN ('pending', 'approved') AND expires > $1")
                .bind(now)
                .fetch_all(&self.database)
                .await?;
        kept.iter().map(|row| Ok((row.try_get(0)?, crate::from_json(row.try_get(1)?)?))).collect()
    }

    /// Ends what waits or is approved and not used, since it is asked for otherwise now; whether it was so.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn supersede(&self, id: &str, why: &str, now: i64) -> Result<bool, StoreError> {
        let ended = query(
            "UPDATE request SET status = 'superseded', outcome = $1 \
             WHERE id = $2 AND status IN ('pending', 'approved') AND expires > $3",
        )
        .bind(why)
        .bind(id)
        .bind(now)
        .execute(&self.database)
        .await?;
        Ok(ended == 1)
    }

    /// Takes an approval back that is not used; whether there was one.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn rescind(&self, id: &str, by: &str, now: i64) -> Result<bool, StoreError> {
        let taken = query(
            "UPDATE request SET status = 'rescinded', outcome = $3 WHERE id = $1 AND status = 'approved' AND expires > $2",
        )
        .bind(id)
        .bind(now)
        .bind(format!("taken back by {by}"))
        .execute(&self.database)
        .await?;
        Ok(taken == 1)
    }

    /// Takes a request back for whoever asked: one that waits, or is approved and not used. An answer and a claim are before it or
    /// behind it. `None` where there is none.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn withdraw(&self, id: &str, now: i64) -> Result<Option<TakenBack>, StoreError> {
        whole!(self, work => { withdraw(&mut work, id, now).await })
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
        made(&format!("UPDATE request SET {LOST} WHERE status = 'claimed'"))
            .bind("the gateway ended before its outcome was known")
            .execute(&self.database)
            .await
    }

    /// A part of the requests, newest first; all, or those that wait. Without their values, and what is long of them.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn requests(&self, all: bool, part: &Part, now: i64) -> Result<Vec<Request>, StoreError> {
        self.listed(if all { "all" } else { "wait" }, "", SHORT, part, now).await
    }

    /// The same of those that wait, without what they say: who asks, under which rules, and who has answered.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn briefs(&self, part: &Part, now: i64) -> Result<Vec<Request>, StoreError> {
        self.listed("wait", "", 0, part, now).await
    }

    /// The same of those that do not wait.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn answered(&self, part: &Part, now: i64) -> Result<Vec<Request>, StoreError> {
        self.listed("over", "", SHORT, part, now).await
    }

    /// The newest of what a principal asked, so many at most.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn requests_of(
        &self,
        principal: &str,
        most: usize,
        now: i64,
    ) -> Result<Vec<Request>, StoreError> {
        self.listed("all", principal, SHORT, &Part::newest(most), now).await
    }

    async fn listed(
        &self,
        which: &str,
        principal: &str,
        text: i64,
        part: &Part,
        now: i64,
    ) -> Result<Vec<Request>, StoreError> {
        // What is long is not read to be thrown away.
        let kept = query(
            "SELECT id, digest, status, principal, on_behalf_of, target, session, summary, \
             substr(text, 1, CAST(CAST($5 AS BIGINT) AS INTEGER)) AS text, '{}' AS circumstances, ceiling, \
             CASE WHEN length(effects) <= 2 * $5 THEN effects ELSE '[]' END AS effects, \
             changed, holds, filed, expires, outcome, alike, granted, granted_use \
             FROM request WHERE \
             ($1 = 'all' OR ($1 = 'wait') = (status = 'pending' AND expires > $2)) AND \
             ($6 = '' OR principal = $6) AND \
             ($3 = '' OR (filed, rowid) < (SELECT filed, rowid FROM request WHERE id = $3)) \
             ORDER BY filed DESC, rowid DESC LIMIT $4",
        )
        .bind(which)
        .bind(now)
        .bind(part.before.as_deref().unwrap_or_default())
        .bind(i64::try_from(part.most).unwrap_or(i64::MAX))
        .bind(text)
        .bind(principal)
        .fetch_all(&self.database)
        .await?;
        let (Some(newest), Some(oldest)) = (kept.first(), kept.last()) else { return Ok(Vec::new()) };
        let mut votes = self.votes_between(oldest.try_get("filed")?, newest.try_get("filed")?).await?;
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
        let Opened { values, preview, likeness } = opened(&clear)?;
        let votes = self.votes(id).await?;
        let touched = crate::from_json(row.try_get("touched")?)?;
        let (weighed, stages) =
            (crate::from_json(row.try_get("weighed")?)?, crate::from_json(row.try_get("stages")?)?);
        let read = read(&row, votes, now)?;
        Ok(Some(Request { values, preview, likeness, touched, weighed, stages, ..read }))
    }
}

/// Whether a request was kept that was claimed before it was filed.
pub(crate) enum Noted {
    Kept,
    NoRoom { bytes: u64, taken: u64, all: bool },
}

/// Keeps a request that is claimed already.
pub(crate) async fn note(
    store: &Store,
    work: &mut Work,
    id: &str,
    new: &NewRequest,
    room: &Room,
    now: i64,
) -> Result<Noted, StoreError> {
    let sealed = store.seal(work, values_of(id), &clear(new)?).await?;
    let bytes = size(new, &sealed)?;
    if let Some(Filed::NoRoom { bytes, taken, all }) = make_room(work, new.asker(), bytes, room).await? {
        return Ok(Noted::NoRoom { bytes, taken, all });
    }
    insert(work, id, new, &sealed, bytes, ("claimed", None), now).await?;
    Ok(Noted::Kept)
}

/// Takes a request back; `None` where there is none.
async fn withdraw(work: &mut Work, id: &str, now: i64) -> Result<Option<TakenBack>, StoreError> {
    let taken = query(
        "UPDATE request SET status = CASE status WHEN 'pending' THEN 'withdrawn' ELSE 'rescinded' END, \
         outcome = CASE status WHEN 'pending' THEN outcome ELSE $3 END \
         WHERE id = $1 AND status IN ('pending', 'approved') AND expires > $2 RETURNING status",
    )
    .bind(id)
    .bind(now)
    .bind("taken back by whoever asked")
    .fetch_optional(&mut *work)
    .await?;
    if let Some(row) = taken {
        return Ok(Some(TakenBack::Now(kept_status(&row)?)));
    }
    let kept = query("SELECT status, expires FROM request WHERE id = $1")
        .bind(id)
        .fetch_optional(&mut *work)
        .await?;
    kept.map(|row| Ok(TakenBack::TooLate(status(&row, now)?))).transpose()
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

/// What was asked for before of the same subject is not any more: something that it touches was altered, or a policy that asks.
/// Says what, for the request that takes its place.
async fn supersede(work: &mut Work, new: &NewRequest) -> Result<Option<String>, StoreError> {
    let former = query(
        "SELECT id, status, touched, digest, holds FROM request WHERE subject = $1 AND status IN ('pending', 'approved') ORDER BY filed",
    )
    .bind(&new.subject)
    .fetch_all(&mut *work)
    .await?;
    let mut changed = None;
    for row in &former {
        let id: &str = row.try_get(0)?;
        let since = kept_status(row)?.since();
        let before: Vec<Touched> = crate::from_json(row.try_get(2)?)?;
        let held: Vec<HoldRule> = crate::from_json(row.try_get(4)?)?;
        let same = row.try_get::<&str, _>(3)? == new.digest;
        let otherwise = HoldRule::differing(&held, &new.holds).filter(|_| same);
        let altered = otherwise.unwrap_or_else(|| new.altered(&before));
        query("UPDATE request SET status = 'superseded', outcome = $1 WHERE id = $2")
            .bind(format!("{altered}{SINCE_IT_WAS}{since}"))
            .bind(id)
            .execute(&mut *work)
            .await?;
        changed = Some(format!("{altered} since request {id} was {since}"));
    }
    if changed.is_some() {
        return Ok(changed);
    }
    // It may have been ended already, when the policy was changed.
    let last =
        query("SELECT id, outcome FROM request WHERE subject = $1 ORDER BY filed DESC, rowid DESC LIMIT 1")
            .bind(&new.subject)
            .fetch_optional(&mut *work)
            .await?;
    let Some(row) = last else { return Ok(None) };
    let outcome: Option<&str> = row.try_get(1)?;
    Ok(outcome.and_then(|outcome| model::since_request(outcome, row.try_get(0).ok()?)))
}

async fn insert(
    work: &mut Work,
    id: &str,
    new: &NewRequest,
    sealed: &[u8],
    bytes: u64,
    (status, changed): (&'static str, Option<&str>),
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
        waits: _,
        summary,
        kind,
        text,
        values: _,
        circumstances,
        effects,
        holds,
        ceiling,
        preview,
        weighed,
        version,
        alike,
    } = new;
    // A plan that policy allows as it is waits for nobody; whatever else nothing holds has no life.
    let by_gateway = preview.ordered.as_ref().is_some_and(|plan| plan.by == CarriedBy::Gateway);
    let (stands, life) = match holds.iter().map(|h| h.expires).min() {
        Some(life) => (status, life),
        None if by_gateway => (Status::Approved.as_str(), UNHELD),
        None => (status, 0),
    };
    query(
        "INSERT INTO request (id, digest, status, principal, on_behalf_of, target, session, summary, kind, text, \
         sealed_values, effects, holds, version, filed, expires, circumstances, subject, touched, changed, ceiling, \
         bytes, asker, alike, weighed) \
         VALUES ($1, $2, $24, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $25)",
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
    .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
    .bind(new.asker())
    .bind(alike.as_ref().map(|alike| alike.key.as_str()))
    .bind(stands)
    .bind(crate::to_json(weighed)?)
    .execute(work)
    .await?;
    Ok(())
}
