//! Standing grants: given once, used as often as they may be, ended once. A use is counted and noted in one piece, so that of two
//! that come at once no more are let through than may be, whichever gateway they come to.

use aws_lc_rs::rand;
use model::{Backing, CoveredValues, GIVEN_AS, Given, GrantUse, NewRequest, Room, StandingGrant, Used};

use crate::database::{Work, whole};
use crate::query::{Found, query};
use crate::requests::{Noted, note};
use crate::vault::Row;
use crate::votes::is_there;
use crate::{Claimant, Store, StoreError};

impl Store {
    /// Keeps a standing grant, unless so many are in force, where all that makes its giver one who answers is there still. What was asked for as access is given once: where its
    /// request is approved, which it is not any more from then on, in one piece with that.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn give(
        &self,
        grant: &StandingGrant,
        backing: &[Backing],
        most: i64,
    ) -> Result<Given, StoreError> {
        let values = CoveredValues { values: grant.values.clone() };
        let clear = serde_json::to_vec(&values).map_err(|_| StoreError::Unreadable("a standing grant"))?;
        let body = crate::to_json(&StandingGrant { values: Vec::new(), ..grant.clone() })?;
        whole!(self, work => {
            for one in backing {
                if !is_there(&mut work, one, grant.given).await? {
                    return Ok(Given::Nobody);
                }
            }
            let in_force: i64 =
                query("SELECT count(*) FROM standing_grant WHERE ended IS NULL AND expires > $1")
                    .bind(grant.given)
                    .fetch_one(&mut work)
                    .await?
                    .try_get(0)?;
            if in_force >= most {
                return Ok(Given::Full);
            }
            if grant.access.is_some() {
                let spent = query(
                    "UPDATE request SET status = 'done', outcome = $2 WHERE id = $1 AND status = 'approved' AND expires > $3",
                )
                .bind(&grant.request)
                .bind(format!("{GIVEN_AS}{}", grant.id))
                .bind(grant.given)
                .execute(&mut work)
                .await?;
                if spent == 0 {
                    return Ok(Given::Unapproved);
                }
            }
            let others: Vec<&str> = grant.others.iter().map(|vote| vote.voter.as_str()).collect();
            let sealed = self.seal(&mut work, of(&grant.id), &clear).await?;
            query(
                "INSERT INTO standing_grant (id, alike, giver, principal, on_behalf_of, body, sealed, most, uses, used, given, expires, others) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, $12)",
            )
            .bind(&grant.id)
            .bind(&grant.key)
            .bind(&grant.giver.voter)
            .bind(&grant.principal)
            .bind(crate::to_json(&grant.on_behalf_of)?)
            .bind(&body)
            .bind(sealed)
            .bind(whole(grant.most))
            .bind(grant.uses.map(whole))
            .bind(grant.given)
            .bind(grant.expires)
            .bind(crate::to_json(&others)?)
            .execute(&mut work)
            .await?;
            Ok(Given::Now)
        })
    }

    /// The newest standing grants, so many at most, without their values.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn standing_grants(&self, most: i64) -> Result<Vec<StandingGrant>, StoreError> {
        let kept = query("SELECT * FROM standing_grant ORDER BY given DESC, id DESC LIMIT $1")
            .bind(most)
            .fetch_all(&self.database)
            .await?;
        kept.iter().map(read).collect()
    }

    /// One of them with its values.
    ///
    /// # Errors
    /// It cannot be read or opened.
    pub async fn standing_grant(&self, id: &str) -> Result<Option<StandingGrant>, StoreError> {
        let kept = query("SELECT * FROM standing_grant WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.database)
            .await?;
        match kept {
            Some(row) => Ok(Some(self.opened(&row).await?)),
            None => Ok(None),
        }
    }

    /// Those in force that cover what has this key, if their values are kept; the oldest first.
    ///
    /// # Errors
    /// They cannot be read or opened.
    pub async fn grants_alike(&self, key: &str, now: i64) -> Result<Vec<StandingGrant>, StoreError> {
        let kept = query(
            "SELECT * FROM standing_grant WHERE alike = $1 AND ended IS NULL AND expires > $2 \
             AND (uses IS NULL OR used < uses) ORDER BY given, id",
        )
        .bind(key)
        .bind(now)
        .fetch_all(&self.database)
        .await?;
        let mut all = Vec::with_capacity(kept.len());
        for row in &kept {
            all.push(self.opened(row).await?);
        }
        Ok(all)
    }

    /// Counts a use of a standing grant that is in force, and notes what it is used for as a request that is claimed already.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn use_grant(
        &self,
        id: &str,
        new: &NewRequest,
        room: &Room,
        by: &Claimant,
        now: i64,
    ) -> Result<Used, StoreError> {
        let mut chance = [0; 5];
        rand::fill(&mut chance).map_err(|_| StoreError::Randomness)?;
        let request = format!("r{}", hex::encode(chance));
        whole!(self, work => {
            let used = query(
                "UPDATE standing_grant SET used = used + 1 WHERE id = $1 AND ended IS NULL AND expires > $2 \
                 AND (uses IS NULL OR used < uses) RETURNING used",
            )
            .bind(id)
            .bind(now)
            .fetch_optional(&mut work)
            .await?;
            let Some(row) = used else { return Ok(Used::Over) };
            let number = u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default();
            let granted = GrantUse { grant: id.to_owned(), number };
            match note(self, &mut work, &request, new, room, now).await? {
                Noted::Kept => (),
                // Nothing was used, and the count says so.
                Noted::NoRoom { bytes, taken, all } => {
                    query("UPDATE standing_grant SET used = used - 1 WHERE id = $1")
                        .bind(id)
                        .execute(&mut work)
                        .await?;
                    return Ok(Used::NoRoom { bytes, taken, all });
                }
            }
            query(
                "UPDATE request SET granted = $2, granted_use = $3, claimed_by = $4, claimed_until = $5 WHERE id = $1",
            )
            .bind(&request)
            .bind(id)
            .bind(whole(number))
            .bind(&by.gateway)
            .bind(by.until)
            .execute(&mut work)
            .await?;
            Ok(Used::Now(request.clone(), granted))
        })
    }

    /// Ends a standing grant, and says why; whether it had not been ended.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn end_grant(&self, id: &str, why: &str) -> Result<bool, StoreError> {
        let ended = query("UPDATE standing_grant SET ended = $2 WHERE id = $1 AND ended IS NULL")
            .bind(id)
            .bind(why)
            .execute(&self.database)
            .await?;
        Ok(ended == 1)
    }

    /// The newest requests that a standing grant approved, so many at most: their ids.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn uses_of(&self, id: &str, most: i64) -> Result<Vec<String>, StoreError> {
        let kept = query("SELECT id FROM request WHERE granted = $1 ORDER BY granted_use DESC LIMIT $2")
            .bind(id)
            .bind(most)
            .fetch_all(&self.database)
            .await?;
        kept.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// What waits and has this key: their ids, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn waiting_alike(&self, key: &str, now: i64) -> Result<Vec<String>, StoreError> {
        let kept = query(
            "SELECT id FROM request WHERE alike = $1 AND status = 'pending' AND expires > $2 ORDER BY filed, rowid",
        )
        .bind(key)
        .bind(now)
        .fetch_all(&self.database)
        .await?;
        kept.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn opened(&self, row: &Found) -> Result<StandingGrant, StoreError> {
        let grant = read(row)?;
        let clear = self.vault.open(of(&grant.id), row.try_get::<&[u8], _>("sealed")?).await?;
        let CoveredValues { values } =
            serde_json::from_slice(&clear).map_err(|_| StoreError::Unreadable("a standing grant"))?;
        Ok(StandingGrant { values, ..grant })
    }
}

/// Those that somebody gave who answers no more, and those for somebody whose access was revoked, cover nothing any more.
pub(crate) async fn disown(work: &mut Work, who: &str) -> Result<(), StoreError> {
    // A name in JSON has its quotes around it, so that no name is found in a longer one.
    let named = crate::to_json(&who.to_owned())?;
    query(
        "UPDATE standing_grant SET ended = $3 WHERE ended IS NULL AND (lower(giver) = lower($1) \
         OR lower(others) LIKE '%' || lower($2) || '%')",
    )
    .bind(who)
    .bind(escaped(&named))
    .bind(format!("{who}, who gave it, does not answer any more"))
    .execute(&mut *work)
    .await?;
    query(
        "UPDATE standing_grant SET ended = $3 WHERE ended IS NULL AND (lower(principal) = lower($1) \
         OR lower(on_behalf_of) LIKE '%' || lower($2) || '%')",
    )
    .bind(who)
    .bind(escaped(&named))
    .bind(format!("the access of {who} was revoked"))
    .execute(&mut *work)
    .await?;
    Ok(())
}

/// A pattern that matches a name, and at most some that differ in signs that mean something to it: then more is ended.
fn escaped(name: &str) -> String {
    name.replace(['%', '\\'], "_")
}

fn of(id: &str) -> Row<'_> {
    Row { table: "standing_grant", id }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn read(row: &Found) -> Result<StandingGrant, StoreError> {
    let body: StandingGrant = crate::from_json(row.try_get("body")?)?;
    let number = |name: &str| -> Result<u64, StoreError> {
        Ok(u64::try_from(row.try_get::<i64, _>(name)?).unwrap_or_default())
    };
    Ok(StandingGrant {
        used: number("used")?,
        most: number("most")?,
        uses: row.try_get::<Option<i64>, _>("uses")?.and_then(|uses| u64::try_from(uses).ok()),
        expires: row.try_get("expires")?,
        ended: row.try_get("ended")?,
        ..body
    })
}
