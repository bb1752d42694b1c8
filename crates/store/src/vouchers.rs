//! Codes and refresh tokens of clients, and clients that registered.

use model::{RegisteredClient, Voucher, VoucherKind};

use crate::database::{Work, whole};
use crate::query::{Found, query};
use crate::{Store, StoreError};

impl Store {
    /// Keeps a new one.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn add_voucher(&self, new: &Voucher) -> Result<(), StoreError> {
        whole!(self, work => { insert(&mut work, new).await })
    }

    /// One by its mark, used or not.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn voucher(&self, mark: &str) -> Result<Option<Voucher>, StoreError> {
        let kept =
            query("SELECT * FROM voucher WHERE mark = $1").bind(mark).fetch_optional(&self.database).await?;
        kept.as_ref().map(read).transpose()
    }

    /// Uses one up, and keeps the next in its place where there is one: both or neither. Whether it was still good, which of two who
    /// try at once is true for one.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn spend_voucher(
        &self,
        mark: &str,
        next: Option<&Voucher>,
        now: i64,
    ) -> Result<bool, StoreError> {
        whole!(self, work => {
            let spent = query("UPDATE voucher SET spent = TRUE WHERE mark = $1 AND NOT spent AND expires > $2")
                .bind(mark)
                .bind(now)
                .execute(&mut work)
                .await?;
            if spent != 1 {
                return Ok(false);
            }
            if let Some(next) = next {
                insert(&mut work, next).await?;
            }
            Ok(true)
        })
    }

    /// Keeps a client that registered, unless so many are kept already. Whether it is kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn register_client(
        &self,
        new: &RegisteredClient,
        most: i64,
        now: i64,
    ) -> Result<bool, StoreError> {
        whole!(self, work => {
            let kept: i64 = query("SELECT count(*) FROM registered_client WHERE until > $1")
                .bind(now)
                .fetch_one(&mut work)
                .await?
                .try_get(0)?;
            if kept >= most {
                return Ok(false);
            }
            let RegisteredClient { id, name, redirects, made, until } = new;
            query("INSERT INTO registered_client (id, name, redirects, made, until) VALUES ($1, $2, $3, $4, $5)")
                .bind(id)
                .bind(name)
                .bind(crate::to_json(redirects)?)
                .bind(*made)
                .bind(*until)
                .execute(&mut work)
                .await?;
            Ok(true)
        })
    }

    /// A client that registered and is kept still.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn registered_client(
        &self,
        id: &str,
        now: i64,
    ) -> Result<Option<RegisteredClient>, StoreError> {
        let kept = query("SELECT * FROM registered_client WHERE id = $1 AND until > $2")
            .bind(id)
            .bind(now)
            .fetch_optional(&self.database)
            .await?;
        kept.map(|row| {
            Ok(RegisteredClient {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
                redirects: crate::from_json(row.try_get("redirects")?)?,
                made: row.try_get("made")?,
                until: row.try_get("until")?,
            })
        })
        .transpose()
    }

    /// Keeps a client that registered until a later moment.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn keep_client(&self, id: &str, until: i64) -> Result<(), StoreError> {
        query("UPDATE registered_client SET until = $2 WHERE id = $1 AND until < $2")
            .bind(id)
            .bind(until)
            .execute(&self.database)
            .await?;
        Ok(())
    }
}

/// Revokes what all agents are made with that somebody let in.
pub(crate) async fn end_agents(work: &mut Work, owner: &str) -> Result<(), StoreError> {
    query("UPDATE token SET revoked = TRUE WHERE id IN (SELECT token FROM voucher WHERE lower(owner) = lower($1))")
        .bind(owner)
        .execute(work)
        .await?;
    Ok(())
}

async fn insert(work: &mut Work, new: &Voucher) -> Result<(), StoreError> {
    let Voucher { mark, kind, token, owner, client, resource, redirect, challenge, expires, until, spent } =
        new;
    query(
        "INSERT INTO voucher (mark, kind, token, owner, client, resource, redirect, challenge, expires, until, spent) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(mark)
    .bind(kind.as_str())
    .bind(token)
    .bind(owner)
    .bind(client)
    .bind(resource)
    .bind(redirect)
    .bind(challenge)
    .bind(*expires)
    .bind(*until)
    .bind(*spent)
    .execute(work)
    .await?;
    Ok(())
}

fn read(row: &Found) -> Result<Voucher, StoreError> {
    let kind: String = row.try_get("kind")?;
    Ok(Voucher {
        mark: row.try_get("mark")?,
        kind: VoucherKind::read(&kind).ok_or(StoreError::Unreadable("the kind of a voucher"))?,
        token: row.try_get("token")?,
        owner: row.try_get("owner")?,
        client: row.try_get("client")?,
        resource: row.try_get("resource")?,
        redirect: row.try_get("redirect")?,
        challenge: row.try_get("challenge")?,
        expires: row.try_get("expires")?,
        until: row.try_get("until")?,
        spent: row.try_get("spent")?,
    })
}
