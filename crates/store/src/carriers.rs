//! What became of requests, for whoever is told of it elsewhere. The database itself notes it, in the transaction that makes it
//! so: nothing is told that did not happen, and nothing that happened is lost.

use model::News;

use crate::database::whole;
use crate::query::{Found, query};
use crate::requests::{expire, kept_status};
use crate::{Claimant, Store, StoreError};

impl Store {
    /// Whether a gateway is the one that tells a carrier, until it was to say so again: one does at a time. Whoever is new is
    /// told of what happens from now on.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn lead(&self, carrier: &str, by: &Claimant, now: i64) -> Result<bool, StoreError> {
        whole!(self, work => {
            let known = query("SELECT gateway, until FROM carrier WHERE name = $1")
                .bind(carrier)
                .fetch_optional(&mut work)
                .await?;
            let Some(known) = known else {
                query("INSERT INTO carrier (name, gateway, until) VALUES ($1, $2, $3)")
                    .bind(carrier)
                    .bind(&by.gateway)
                    .bind(by.until)
                    .execute(&mut work)
                    .await?;
                query(
                    "INSERT INTO told (carrier, request, status) SELECT CAST($1 AS TEXT), request, status FROM news WHERE TRUE \
                     ON CONFLICT DO NOTHING",
                )
                .bind(carrier)
                .execute(&mut work)
                .await?;
                return Ok(true);
            };
            let leader: String = known.try_get("gateway")?;
            if leader != by.gateway && known.try_get::<i64, _>("until")? > now {
                return Ok(false);
            }
            query("UPDATE carrier SET gateway = $2, until = $3 WHERE name = $1")
                .bind(carrier)
                .bind(&by.gateway)
                .bind(by.until)
                .execute(&mut work)
                .await?;
            Ok(true)
        })
    }

    /// What a carrier was not told yet and what has happened since a moment, by the database's clock, in the order in which it happened.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn untold(&self, carrier: &str, since: i64, most: i64) -> Result<Vec<News>, StoreError> {
        let kept = query(
            "SELECT request, status, at FROM news WHERE at >= $2 AND NOT EXISTS (SELECT 1 FROM told \
             WHERE told.carrier = $1 AND told.request = news.request AND told.status = news.status) ORDER BY rowid LIMIT $3",
        )
        .bind(carrier)
        .bind(since)
        .bind(most)
        .fetch_all(&self.database)
        .await?;
        let read = |row: &Found| {
            Ok(News { request: row.try_get("request")?, status: kept_status(row)?, at: row.try_get("at")? })
        };
        kept.iter().map(read).collect()
    }

    /// Notes that a carrier was told, or will not take it; and what it calls the message, if it matters.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn tell(&self, carrier: &str, news: &News, mark: Option<&str>) -> Result<(), StoreError> {
        query(
            "INSERT INTO told (carrier, request, status, mark) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (carrier, request, status) DO NOTHING",
        )
        .bind(carrier)
        .bind(&news.request)
        .bind(news.status.as_str())
        .bind(mark)
        .execute(&self.database)
        .await
        .map(drop)
    }

    /// What a carrier calls the message that it was told of a request.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn mark(&self, carrier: &str, request: &str) -> Result<Option<String>, StoreError> {
        let kept =
            query("SELECT mark FROM told WHERE carrier = $1 AND request = $2 AND mark IS NOT NULL LIMIT 1")
                .bind(carrier)
                .bind(request)
                .fetch_optional(&self.database)
                .await?;
        Ok(kept.map(|row| row.try_get("mark")).transpose()?)
    }

    /// Makes it so that requests whose time is over have expired, where there are any.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn expire(&self, now: i64) -> Result<(), StoreError> {
        let over = query(
            "SELECT 1 AS one FROM request WHERE status IN ('pending', 'approved') AND expires <= $1 LIMIT 1",
        );
        // On a server others are told of an update that changes nothing, too.
        if over.bind(now).fetch_optional(&self.database).await?.is_none() {
            return Ok(());
        }
        whole!(self, work => { expire(&mut work, now).await })
    }

    /// Forgets what was said of requests that are forgotten.
    pub(crate) async fn forget_news(&self) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM news WHERE NOT EXISTS (SELECT 1 FROM request WHERE request.id = news.request)",
            "DELETE FROM told WHERE NOT EXISTS (SELECT 1 FROM request WHERE request.id = told.request)",
        ] {
            query(sql).execute(&self.database).await?;
        }
        Ok(())
    }
}
