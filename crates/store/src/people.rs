//! People in the console: members, their passkeys, their visits, and what is good once.

use model::{Member, Passkey, Signed, Visit};

use crate::database::{Work, whole};
use crate::query::{Found, query};
use crate::votes::disown;
use crate::vouchers::end_agents;
use crate::{Store, StoreError};

impl Store {
    // ------------------------------------------------------------------ members

    /// Everybody who was invited and came, by name.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn members(&self) -> Result<Vec<Member>, StoreError> {
        let kept = query("SELECT * FROM member ORDER BY lower(name)").fetch_all(&self.database).await?;
        kept.iter().map(member).collect()
    }

    /// The member of a name, in whatever case it is written.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn member(&self, name: &str) -> Result<Option<Member>, StoreError> {
        let kept = query("SELECT * FROM member WHERE lower(name) = lower($1)")
            .bind(name)
            .fetch_optional(&self.database)
            .await?;
        kept.as_ref().map(member).transpose()
    }

    /// Takes somebody in with their passkey, both or neither. Somebody of this name who is there already gets the roles, the
    /// groups and the passkey, and what they had signs nobody in any more; where they lost a group, their answers to what waits or is
    /// approved and not used are gone. Whether the passkey is new.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn admit(&self, new: &Member, key: &Passkey) -> Result<bool, StoreError> {
        whole!(self, work => {
        let known = query("SELECT 1 FROM passkey WHERE id = $1").bind(&key.id).fetch_optional(&mut work).await?;
        if known.is_some() {
            return Ok(false);
        }
        for sql in [
            "DELETE FROM passkey WHERE lower(owner) = lower($1)",
            "DELETE FROM visit WHERE lower(owner) = lower($1)",
            "DELETE FROM slack_link WHERE lower(owner) = lower($1)",
        ] {
            query(sql).bind(&key.owner).execute(&mut work).await?;
        }
        end_agents(&mut work, &key.owner).await?;
        let before = query("DELETE FROM member WHERE lower(name) = lower($1) RETURNING groups")
            .bind(&new.name)
            .fetch_optional(&mut work)
            .await?;
        if let Some(row) = before {
            let groups: Vec<String> = crate::from_json(row.try_get(0)?)?;
            if !groups.iter().all(|group| new.groups.contains(group)) {
                disown(&mut work, &key.owner).await?;
            }
        }
        query("INSERT INTO member (name, roles, groups, added) VALUES ($1, $2, $3, $4)")
            .bind(&new.name)
            .bind(crate::to_json(&new.roles)?)
            .bind(crate::to_json(&new.groups)?)
            .bind(new.added)
            .execute(&mut work)
            .await?;
        insert(key).execute(&mut work).await?;
        withdraw(&mut work, &new.name).await?;
        Ok(true)
        })
    }

    /// Removes a member with passkeys, visits, and answers to what waits or is approved and not used, or whoever was invited and has
    /// not come. Whether there was one.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn remove_member(&self, name: &str) -> Result<bool, StoreError> {
        whole!(self, work => {
        let gone = query("DELETE FROM member WHERE lower(name) = lower($1)").bind(name).execute(&mut work).await?;
        for sql in [
            "DELETE FROM passkey WHERE lower(owner) = lower($1)",
            "DELETE FROM visit WHERE lower(owner) = lower($1)",
            "DELETE FROM slack_link WHERE lower(owner) = lower($1)",
        ] {
            query(sql).bind(format!("user:{name}")).execute(&mut work).await?;
        }
        end_agents(&mut work, &format!("user:{name}")).await?;
        disown(&mut work, &format!("user:{name}")).await?;
        let withdrawn = withdraw(&mut work, name).await?;
        Ok(gone == 1 || withdrawn > 0)
        })
    }

    /// Keeps an invitation for somebody in the place of those that they have.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn keep_invitation(
        &self,
        mark: &str,
        body: &str,
        expires: i64,
        name: &str,
    ) -> Result<(), StoreError> {
        whole!(self, work => {
        withdraw(&mut work, name).await?;
        query("INSERT INTO once (mark, body, expires, about) VALUES ($1, $2, $3, $4)")
            .bind(mark)
            .bind(body)
            .bind(expires)
            .bind(name)
            .execute(&mut work)
            .await?;
        Ok(())
        })
    }

    /// The invitations that are good still, each with its end, by name.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn invitations(&self, now: i64) -> Result<Vec<(String, i64)>, StoreError> {
        let kept = query(
            "SELECT body, expires FROM once WHERE about IS NOT NULL AND expires > $1 ORDER BY lower(about)",
        )
        .bind(now)
        .fetch_all(&self.database)
        .await?;
        kept.iter().map(|row| Ok((row.try_get("body")?, row.try_get("expires")?))).collect()
    }

    // ------------------------------------------------------------------ passkeys

    /// Somebody's passkeys, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn passkeys(&self, owner: &str) -> Result<Vec<Passkey>, StoreError> {
        let kept = query("SELECT * FROM passkey WHERE lower(owner) = lower($1) ORDER BY added, id")
            .bind(owner)
            .fetch_all(&self.database)
            .await?;
        kept.iter().map(passkey).collect()
    }

    /// A passkey by its name.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn passkey(&self, id: &str) -> Result<Option<Passkey>, StoreError> {
        let kept =
            query("SELECT * FROM passkey WHERE id = $1").bind(id).fetch_optional(&self.database).await?;
        kept.as_ref().map(passkey).transpose()
    }

    /// Keeps a passkey; whether it is new.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn add_passkey(&self, key: &Passkey) -> Result<bool, StoreError> {
        Ok(insert(key).execute(&self.database).await? == 1)
    }

    /// Notes that a passkey has signed. Whether it still was as it was read: of two that say the same, one is no answer.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn use_passkey(&self, id: &str, was: i64, counter: i64, now: i64) -> Result<bool, StoreError> {
        let used = query("UPDATE passkey SET counter = $1, used = $2 WHERE id = $3 AND counter = $4")
            .bind(counter)
            .bind(now)
            .bind(id)
            .bind(was)
            .execute(&self.database)
            .await?;
        Ok(used == 1)
    }

    /// Forgets somebody's passkey; whether there was one.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn remove_passkey(&self, owner: &str, id: &str) -> Result<bool, StoreError> {
        let gone = query("DELETE FROM passkey WHERE id = $1 AND lower(owner) = lower($2)")
            .bind(id)
            .bind(owner)
            .execute(&self.database)
            .await?;
        Ok(gone == 1)
    }

    // ------------------------------------------------------------------ visits

    /// Begins a visit, and ends the one of the same browser where there is one.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn begin_visit(&self, new: &Visit, before: Option<&str>) -> Result<(), StoreError> {
        whole!(self, work => {
        query("DELETE FROM visit WHERE mark = $1").bind(before.unwrap_or_default()).execute(&mut work).await?;
        let Visit { mark, owner, word, groups, began, seen, expires } = new;
        query(
            "INSERT INTO visit (mark, owner, issuer, subject, sid, said, groups, began, seen, expires) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(mark)
        .bind(owner)
        .bind(word.as_ref().map(|w| w.issuer.clone()))
        .bind(word.as_ref().map(|w| w.subject.clone()))
        .bind(word.as_ref().and_then(|w| w.sid.clone()))
        .bind(word.as_ref().map(|w| w.at))
        .bind(crate::to_json(groups)?)
        .bind(began)
        .bind(seen)
        .bind(expires)
        .execute(&mut work)
        .await?;
        Ok(())
        })
    }

    /// A visit that lasts still.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn visit(&self, mark: &str, now: i64) -> Result<Option<Visit>, StoreError> {
        let kept = query("SELECT * FROM visit WHERE mark = $1 AND expires > $2")
            .bind(mark)
            .bind(now)
            .fetch_optional(&self.database)
            .await?;
        kept.as_ref().map(visit).transpose()
    }

    /// Notes when something was last asked in it.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn see_visit(&self, mark: &str, now: i64) -> Result<(), StoreError> {
        query("UPDATE visit SET seen = $1 WHERE mark = $2")
            .bind(now)
            .bind(mark)
            .execute(&self.database)
            .await?;
        Ok(())
    }

    /// Ends a visit.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn end_visit(&self, mark: &str) -> Result<(), StoreError> {
        query("DELETE FROM visit WHERE mark = $1").bind(mark).execute(&self.database).await?;
        Ok(())
    }

    // ------------------------------------------------------------------ what is good once

    /// Keeps something that is good once.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn keep_once(&self, mark: &str, body: &str, expires: i64) -> Result<(), StoreError> {
        query("INSERT INTO once (mark, body, expires) VALUES ($1, $2, $3)")
            .bind(mark)
            .bind(body)
            .bind(expires)
            .execute(&self.database)
            .await?;
        Ok(())
    }

    /// Uses it up: of two who try, one gets it.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn take_once(&self, mark: &str, now: i64) -> Result<Option<String>, StoreError> {
        let taken = query("DELETE FROM once WHERE mark = $1 RETURNING body, expires")
            .bind(mark)
            .fetch_optional(&self.database)
            .await?;
        let Some(row) = taken else { return Ok(None) };
        let (body, expires): (String, i64) = (row.try_get("body")?, row.try_get("expires")?);
        Ok((expires > now).then_some(body))
    }

    /// What it says, without using it up.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn look_once(&self, mark: &str, now: i64) -> Result<Option<String>, StoreError> {
        let kept = query("SELECT body FROM once WHERE mark = $1 AND expires > $2")
            .bind(mark)
            .bind(now)
            .fetch_optional(&self.database)
            .await?;
        kept.map(|row| Ok(row.try_get("body")?)).transpose()
    }
}

/// Makes somebody's invitations good no more. How many there were.
async fn withdraw(work: &mut Work, name: &str) -> Result<u64, StoreError> {
    query("DELETE FROM once WHERE lower(about) = lower($1)").bind(name).execute(work).await
}

fn insert(key: &Passkey) -> crate::query::Query {
    let Passkey { id, owner, key, counter, label, added, used } = key;
    query(
        "INSERT INTO passkey (id, owner, public_key, counter, label, added, used) VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(owner)
    .bind(key)
    .bind(counter)
    .bind(label)
    .bind(added)
    .bind(used)
}

fn member(row: &Found) -> Result<Member, StoreError> {
    Ok(Member {
        name: row.try_get("name")?,
        roles: crate::from_json(row.try_get("roles")?)?,
        groups: crate::from_json(row.try_get("groups")?)?,
        added: row.try_get("added")?,
    })
}

fn passkey(row: &Found) -> Result<Passkey, StoreError> {
    Ok(Passkey {
        id: row.try_get("id")?,
        owner: row.try_get("owner")?,
        key: row.try_get("public_key")?,
        counter: row.try_get("counter")?,
        label: row.try_get("label")?,
        added: row.try_get("added")?,
        used: row.try_get("used")?,
    })
}

pub(crate) fn visit(row: &Found) -> Result<Visit, StoreError> {
    let (issuer, subject): (Option<String>, Option<String>) =
        (row.try_get("issuer")?, row.try_get("subject")?);
    let sid: Option<String> = row.try_get("sid")?;
    let (said, began): (Option<i64>, i64) = (row.try_get("said")?, row.try_get("began")?);
    // Of a visit from before this was kept its beginning is the nearest.
    let at = said.unwrap_or(began);
    Ok(Visit {
        mark: row.try_get("mark")?,
        owner: row.try_get("owner")?,
        word: issuer.zip(subject).map(|(issuer, subject)| Signed { issuer, subject, sid, at }),
        groups: crate::from_json(row.try_get("groups")?)?,
        began,
        seen: row.try_get("seen")?,
        expires: row.try_get("expires")?,
    })
}
