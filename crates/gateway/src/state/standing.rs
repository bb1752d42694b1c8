//! What the gateway asks of whatever keeps it about standing grants.

use model::{Backing, Given, NewRequest, Room, StandingGrant, Used};

use super::Reply;

/// Standing grants, and what waits alike.
pub trait Grants: Send + Sync {
    /// Keeps a standing grant with its values sealed, unless so many are in force, where all that backs its giver is there.
    fn give<'a>(&'a self, grant: &'a StandingGrant, backing: &'a [Backing], most: i64) -> Reply<'a, Given>;
    /// The newest, so many at most, without their values.
    fn standing_grants(&self, most: i64) -> Reply<'_, Vec<StandingGrant>>;
    /// One of them with its values.
    fn standing_grant<'a>(&'a self, id: &'a str) -> Reply<'a, Option<StandingGrant>>;
    /// Those in force that have a key, with their values, the oldest first.
    fn grants_alike<'a>(&'a self, key: &'a str) -> Reply<'a, Vec<StandingGrant>>;
    /// Counts a use of one that is in force, and notes what it is used for as a request that is claimed already.
    fn use_grant<'a>(&'a self, id: &'a str, request: &'a NewRequest, room: &'a Room) -> Reply<'a, Used>;
    /// Ends one, and says why; whether it had not been ended.
    fn end_grant<'a>(&'a self, id: &'a str, why: &'a str) -> Reply<'a, bool>;
    /// The newest requests that one approved, so many at most: their ids.
    fn uses_of<'a>(&'a self, id: &'a str, most: i64) -> Reply<'a, Vec<String>>;
    /// What waits and has a key: their ids, the oldest first.
    fn waiting_alike<'a>(&'a self, key: &'a str) -> Reply<'a, Vec<String>>;
}
