//! What would come of filing a request, before any work is done for it.

use model::{Filed, HoldRule, NewRequest, Room};

use crate::query::query;
use crate::{Store, StoreError};

impl Store {
    /// What filing says without anything being kept: that the very same waits or is approved and not used, or that its principal
    /// has too many that wait. `None` where it would be kept, as far as can be said now.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn foresee(
        &self,
        new: &NewRequest,
        room: &Room,
        now: i64,
    ) -> Result<Option<Filed>, StoreError> {
        let same = query(
            "SELECT id, holds FROM request WHERE digest = $1 AND status IN ('pending', 'approved') AND expires > $2",
        )
        .bind(&new.digest)
        .bind(now)
        .fetch_optional(&self.database)
        .await?;
        if let Some(same) = same {
            let held: Vec<HoldRule> = crate::from_json(same.try_get(1)?)?;
            if HoldRule::differing(&held, &new.holds).is_none() {
                return Ok(Some(Filed::Before(same.try_get(0)?)));
            }
        }
        let waiting = query(
            "SELECT count(*) FROM request WHERE principal = $1 AND status = 'pending' AND subject <> $2 AND expires > $3",
        )
        .bind(&new.principal)
        .bind(&new.subject)
        .bind(now)
        .fetch_optional(&self.database)
        .await?;
        let waiting: i64 = waiting.map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
        let too_many = usize::try_from(waiting).unwrap_or(usize::MAX) >= room.waiting;
        Ok(too_many.then_some(Filed::TooMany))
    }
}
