//! Which users of Slack's are which people, and which of its callbacks were taken.

use model::{SlackLink, SlackUser, Visit};

use crate::database::whole;
use crate::people::visit;
use crate::query::{Found, query};
use crate::{Store, StoreError};

/// A callback is remembered so long, in seconds: far longer than one is taken.
const REMEMBERED: i64 = 3600;

impl Store {
    /// Links a user of Slack's to somebody: whoever they were linked to before, and whoever of this team was this person's, is
    /// not any more.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn link_slack(&self, link: &SlackLink) -> Result<(), StoreError> {
        let SlackLink { user: SlackUser { team, id, name }, owner, added } = link;
        whole!(self, work => {
            query("DELETE FROM slack_link WHERE team = $1 AND (member = $2 OR lower(owner) = lower($3))")
                .bind(team)
                .bind(id)
                .bind(owner)
                .execute(&mut work)
                .await?;
            query("INSERT INTO slack_link (team, member, name, owner, added) VALUES ($1, $2, $3, $4, $5)")
                .bind(team)
                .bind(id)
                .bind(name)
                .bind(owner)
                .bind(added)
                .execute(&mut work)
                .await?;
            Ok(())
        })
    }

    /// Who a user of Slack's is.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn slack_owner(&self, team: &str, id: &str) -> Result<Option<String>, StoreError> {
        let kept = query("SELECT owner FROM slack_link WHERE team = $1 AND member = $2")
            .bind(team)
            .bind(id)
            .fetch_optional(&self.database)
            .await?;
        Ok(kept.map(|row| row.try_get("owner")).transpose()?)
    }

    /// Somebody's users of Slack's.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn slack_links(&self, owner: &str) -> Result<Vec<SlackLink>, StoreError> {
        let kept =
            query("SELECT * FROM slack_link WHERE lower(owner) = lower($1) ORDER BY added, team, member")
                .bind(owner)
                .fetch_all(&self.database)
                .await?;
        let read = |row: &Found| {
            let user = SlackUser {
                team: row.try_get("team")?,
                id: row.try_get("member")?,
                name: row.try_get("name")?,
            };
            Ok(SlackLink { user, owner: row.try_get("owner")?, added: row.try_get("added")? })
        };
        kept.iter().map(read).collect()
    }

    /// Forgets that a user of Slack's is somebody; whether they were.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn unlink_slack(&self, owner: &str, team: &str, id: &str) -> Result<bool, StoreError> {
        let gone =
            query("DELETE FROM slack_link WHERE lower(owner) = lower($1) AND team = $2 AND member = $3")
                .bind(owner)
                .bind(team)
                .bind(id)
                .execute(&self.database)
                .await?;
        Ok(gone == 1)
    }

    /// Notes that a callback is taken; whether it was not before.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn take_callback(&self, mark: &str, now: i64) -> Result<bool, StoreError> {
        query("DELETE FROM slack_callback WHERE at < $1")
            .bind(now.saturating_sub(REMEMBERED))
            .execute(&self.database)
            .await?;
        let new = query("INSERT INTO slack_callback (mark, at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(mark)
            .bind(now)
            .execute(&self.database)
            .await?;
        Ok(new == 1)
    }

    /// The visit in which somebody was last seen, where it lasts still.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn last_visit(&self, owner: &str, now: i64) -> Result<Option<Visit>, StoreError> {
        let kept = query(
            "SELECT * FROM visit WHERE lower(owner) = lower($1) AND expires > $2 ORDER BY seen DESC, began DESC LIMIT 1",
        )
        .bind(owner)
        .bind(now)
        .fetch_optional(&self.database)
        .await?;
        kept.as_ref().map(visit).transpose()
    }
}
