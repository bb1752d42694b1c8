//! Which sessions wait for which requests, of all gateways of the store: whoever hangs up takes nothing back that another waits for.

use model::{NewRequest, TakenBack};

use super::{after, status, withdraw};
use crate::database::{Work, whole};
use crate::query::query;
use crate::{Store, StoreError};

/// What becomes of a request when a session waits for it no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It stands: another session waits for it.
    Awaited,
    /// It is taken back, or was over; `None` where there is none.
    Gone(Option<TakenBack>),
}

impl Store {
    /// A session waits for a request no more: that is taken back where no other waits, whichever came in this moment.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn leave(&self, id: &str, session: &str, now: i64) -> Result<Left, StoreError> {
        whole!(self, work => {
            query("DELETE FROM waiting WHERE request = $1 AND session = $2")
                .bind(id)
                .bind(session)
                .execute(&mut work)
                .await?;
            let others = query("SELECT 1 AS one FROM waiting WHERE request = $1 AND until > $2 LIMIT 1")
                .bind(id)
                .bind(now)
                .fetch_optional(&mut work)
                .await?;
            if others.is_none() {
                return Ok(Left::Gone(withdraw(&mut work, id, now).await?));
            }
            let kept = query("SELECT status, expires FROM request WHERE id = $1")
                .bind(id)
                .fetch_optional(&mut work)
                .await?;
            let stands = kept.map(|row| status(&row, now)).transpose()?;
            Ok(match stands {
                Some(stands) if stands.is_open() => Left::Awaited,
                stands => Left::Gone(stands.map(TakenBack::TooLate)),
            })
        })
    }
}

/// The session that asks waits for it, as long as it says.
pub(super) async fn enter(work: &mut Work, id: &str, new: &NewRequest, now: i64) -> Result<(), StoreError> {
    if new.waits == 0 {
        return Ok(());
    }
    query(
        "INSERT INTO waiting (request, session, until) VALUES ($1, $2, $3) \
         ON CONFLICT (request, session) DO UPDATE SET until = excluded.until",
    )
    .bind(id)
    .bind(&new.session)
    .bind(after(now, new.waits))
    .execute(work)
    .await?;
    Ok(())
}
