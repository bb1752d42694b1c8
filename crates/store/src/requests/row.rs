//! A request as its row has it, and what of it is sealed.

use model::{Ceiling, GrantUse, Likeness, NewRequest, Preview, Request, Status, TargetName, Vote, Weighed};
use zeroize::Zeroizing;

use crate::StoreError;
use crate::query::Found;

/// What of a request is sealed.
pub(super) fn clear(new: &NewRequest) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let clear = serde_json::to_vec(&(&new.values, &new.preview, &new.alike));
    clear.map(Zeroizing::new).map_err(|_| StoreError::Unreadable("values"))
}

/// What was sealed.
pub(super) struct Opened {
    pub(super) values: Vec<Option<String>>,
    pub(super) preview: Preview,
    pub(super) likeness: Option<Likeness>,
}

pub(super) fn opened(clear: &[u8]) -> Result<Opened, StoreError> {
    let read = |(values, preview, likeness)| Opened { values, preview, likeness };
    serde_json::from_slice(clear)
        .map(read)
        // As they were sealed before there were standing grants, and before there were previews.
        .or_else(|_| serde_json::from_slice(clear).map(|(values, preview)| read((values, preview, None))))
        .or_else(|_| serde_json::from_slice(clear).map(|values| read((values, Preview::default(), None))))
        .map_err(|_| StoreError::Unreadable("values"))
}

/// An open request whose time is over has expired, whether or not its row says so yet.
pub(crate) fn status(row: &Found, now: i64) -> Result<Status, StoreError> {
    let kept = kept_status(row)?;
    let over = row.try_get::<i64, _>("expires")? <= now;
    Ok(if over { kept.overdue() } else { kept })
}

pub(crate) fn kept_status(row: &Found) -> Result<Status, StoreError> {
    let word: &str = row.try_get("status")?;
    let kept = Status::ALL.into_iter().find(|status| status.as_str() == word);
    kept.ok_or(StoreError::Unreadable("the status of a request"))
}

pub(super) fn ceiling(row: &Found) -> Result<Ceiling, StoreError> {
    let kept: Option<&str> = row.try_get("ceiling")?;
    kept.map_or_else(|| Ok(Ceiling::default()), crate::from_json)
}

pub(super) fn granted(row: &Found) -> Result<Option<GrantUse>, StoreError> {
    let grant: Option<String> = row.try_get("granted")?;
    let number: Option<i64> = row.try_get("granted_use")?;
    let number = number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
    Ok(grant.map(|grant| GrantUse { grant, number }))
}

pub(super) fn read(row: &Found, votes: Vec<Vote>, now: i64) -> Result<Request, StoreError> {
    Ok(Request {
        id: row.try_get("id")?,
        digest: row.try_get("digest")?,
        status: status(row, now)?,
        principal: row.try_get("principal")?,
        on_behalf_of: crate::from_json(row.try_get("on_behalf_of")?)?,
        target: TargetName(row.try_get("target")?),
        session: row.try_get("session")?,
        summary: row.try_get("summary")?,
        text: row.try_get("text")?,
        values: Vec::new(),
        circumstances: crate::from_json(row.try_get("circumstances")?)?,
        effects: crate::from_json(row.try_get("effects")?)?,
        changed: row.try_get("changed")?,
        holds: crate::from_json(row.try_get("holds")?)?,
        ceiling: ceiling(row)?,
        preview: Preview::default(),
        filed: row.try_get("filed")?,
        expires: row.try_get("expires")?,
        votes,
        outcome: row.try_get("outcome")?,
        alike: row.try_get("alike")?,
        granted: granted(row)?,
        likeness: None,
        touched: Vec::new(),
        weighed: Weighed::default(),
        stages: Vec::new(),
    })
}
