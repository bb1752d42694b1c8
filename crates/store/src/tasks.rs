//! Held statements whose clients ask about them later, at whichever gateway of the store.

use model::{TargetName, Task, TaskState};
use zeroize::Zeroizing;

use crate::database::{Work, whole};
use crate::query::{Found, query};
use crate::vault::Row;
use crate::{Store, StoreError};

impl Store {
    /// Keeps a new one with what it says, where there is room: so many of one owner, and so many in all. Those that are over make
    /// some, whatever changed longest ago first. Whether it is kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn add_task(
        &self,
        new: &Task,
        says: &[u8],
        (most_of_one, most): (i64, i64),
    ) -> Result<bool, StoreError> {
        whole!(self, work => {
            query("DELETE FROM task WHERE until <= $1").bind(new.made).execute(&mut work).await?;
            if !has_room(&mut work, Some(&new.owner), most_of_one).await? || !has_room(&mut work, None, most).await? {
                return Ok(false);
            }
            let Task { id, owner, target, request, asks, state, made, changed, until } = new;
            let sealed = self.seal(&mut work, Row { table: "task", id }, says).await?;
            query(
                "INSERT INTO task (id, owner, target, request, asks, state, made, changed, until, sealed) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .bind(id)
            .bind(owner)
            .bind(target.as_str())
            .bind(request)
            .bind(*asks)
            .bind(state.as_str())
            .bind(*made)
            .bind(*changed)
            .bind(*until)
            .bind(sealed)
            .execute(&mut work)
            .await?;
            Ok(true)
        })
    }

    /// One that is kept at a moment, and what it says, or what came of it once it is done.
    ///
    /// # Errors
    /// It cannot be read or opened.
    pub async fn task(&self, id: &str, now: i64) -> Result<Option<(Task, Zeroizing<Vec<u8>>)>, StoreError> {
        let kept = query("SELECT * FROM task WHERE id = $1 AND until > $2")
            .bind(id)
            .bind(now)
            .fetch_optional(&self.database)
            .await?;
        let Some(kept) = kept else { return Ok(None) };
        let sealed = kept.try_get::<&[u8], _>("sealed")?;
        let says = self.vault.open(Row { table: "task", id }, sealed).await?;
        Ok(Some((read(&kept)?, says)))
    }

    /// Brings one to another state, with what came of it where that is known. Whether it could come there from where it was, which
    /// of several who try at once is true for one.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub async fn turn_task(
        &self,
        id: &str,
        to: TaskState,
        came: Option<&[u8]>,
        now: i64,
    ) -> Result<bool, StoreError> {
        whole!(self, work => {
            let kept = query("SELECT state FROM task WHERE id = $1 AND until > $2")
                .bind(id)
                .bind(now)
                .fetch_optional(&mut work)
                .await?;
            let Some(kept) = kept else { return Ok(false) };
            let was: String = kept.try_get("state")?;
            if !to.comes_from(state(&was)?) {
                return Ok(false);
            }
            let turned = query("UPDATE task SET state = $1, changed = $2 WHERE id = $3 AND state = $4")
                .bind(to.as_str())
                .bind(now)
                .bind(id)
                .bind(&was)
                .execute(&mut work)
                .await?;
            if let (1, Some(came)) = (turned, came) {
                let sealed = self.seal(&mut work, Row { table: "task", id }, came).await?;
                query("UPDATE task SET sealed = $1 WHERE id = $2").bind(sealed).bind(id).execute(&mut work).await?;
            }
            Ok(turned == 1)
        })
    }

    /// The client's person need not be led anywhere any more.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn hush_task(&self, id: &str) -> Result<(), StoreError> {
        query("UPDATE task SET asks = FALSE WHERE id = $1").bind(id).execute(&self.database).await.map(drop)
    }
}

/// Whether one more of an owner's, or of all, has room among so many; what is over gives way.
async fn has_room(work: &mut Work, owner: Option<&str>, most: i64) -> Result<bool, StoreError> {
    let every = owner.is_none();
    let owner = owner.unwrap_or_default();
    let kept: i64 = query("SELECT count(*) FROM task WHERE $1 OR owner = $2")
        .bind(every)
        .bind(owner)
        .fetch_one(&mut *work)
        .await?
        .try_get(0)?;
    let too_many = kept.saturating_add(1).saturating_sub(most);
    if too_many <= 0 {
        return Ok(true);
    }
    let gone = query(
        "DELETE FROM task WHERE id IN (SELECT id FROM task WHERE ($1 OR owner = $2) AND state IN ('done', 'cancelled') \
         ORDER BY changed, id LIMIT $3)",
    )
    .bind(every)
    .bind(owner)
    .bind(too_many)
    .execute(work)
    .await?;
    Ok(i64::try_from(gone).unwrap_or(i64::MAX) >= too_many)
}

fn state(name: &str) -> Result<TaskState, StoreError> {
    TaskState::parse(name).ok_or(StoreError::Unreadable("the state of a task"))
}

fn read(row: &Found) -> Result<Task, StoreError> {
    Ok(Task {
        id: row.try_get("id")?,
        owner: row.try_get("owner")?,
        target: TargetName::new(&row.try_get::<String, _>("target")?),
        request: row.try_get("request")?,
        asks: row.try_get("asks")?,
        state: state(&row.try_get::<String, _>("state")?)?,
        made: row.try_get("made")?,
        changed: row.try_get("changed")?,
        until: row.try_get("until")?,
    })
}
