//! How much is kept of requests.

use model::{Filed, NewRequest, Room};

use crate::StoreError;
use crate::database::Work;
use crate::query::query;

/// How many bytes a request takes, as it is kept.
pub(super) fn size(new: &NewRequest, sealed: &[u8]) -> Result<u64, StoreError> {
    let json = [
        crate::to_json(&new.effects)?,
        crate::to_json(&new.circumstances)?,
        crate::to_json(&new.touched)?,
        crate::to_json(&new.holds)?,
        crate::to_json(&new.weighed)?,
    ];
    let texts = [&new.text, &new.summary, &new.digest, &new.subject, &new.principal, &new.session];
    let all = json.iter().chain(texts).map(String::len).sum::<usize>() + sealed.len();
    Ok(u64::try_from(all).unwrap_or(u64::MAX))
}

/// Sees that there is room for a request. What was asked and never answered by anybody, and is not asked any more, gives way, oldest first:
/// of whoever asks where they have too much, of anybody where all have.
pub(super) async fn make_room(
    work: &mut Work,
    asker: &str,
    bytes: u64,
    room: &Room,
) -> Result<Option<Filed>, StoreError> {
    for (whose, most) in [(asker, room.one), ("", room.all)] {
        let taken =
            query("SELECT CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM request WHERE $1 = '' OR asker = $1")
                .bind(whose)
                .fetch_one(&mut *work)
                .await?;
        let mut taken = u64::try_from(taken.try_get::<i64, _>(0)?).unwrap_or_default();
        if taken.saturating_add(bytes) <= most {
            continue;
        }
        let unanswered = query(
            "SELECT id, bytes FROM request WHERE ($1 = '' OR asker = $1) \
             AND (status IN ('withdrawn', 'expired', 'superseded') OR granted IS NOT NULL AND status IN ('done', 'failed')) \
             AND NOT EXISTS (SELECT 1 FROM vote WHERE vote.request = request.id) ORDER BY filed LIMIT 10000",
        );
        for row in unanswered.bind(whose).fetch_all(&mut *work).await? {
            if taken.saturating_add(bytes) <= most {
                break;
            }
            let id: &str = row.try_get(0)?;
            query("DELETE FROM request WHERE id = $1").bind(id).execute(&mut *work).await?;
            taken = taken.saturating_sub(u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default());
        }
        if taken.saturating_add(bytes) > most {
            return Ok(Some(Filed::NoRoom { bytes, taken, all: whose.is_empty() }));
        }
    }
    Ok(None)
}
