//! Standing grants, in a store.

use model::{Backing, Given, NewRequest, Room, StandingGrant, Used};

use super::{CLAIM, Embedded};
use crate::gateway::now;
use crate::state::{Grants, Reply};

impl Grants for Embedded {
    fn give<'a>(&'a self, grant: &'a StandingGrant, backing: &'a [Backing], most: i64) -> Reply<'a, Given> {
        Box::pin(async move { Ok(self.0.give(grant, backing, most).await?) })
    }

    fn standing_grants(&self, most: i64) -> Reply<'_, Vec<StandingGrant>> {
        Box::pin(async move { Ok(self.0.standing_grants(most).await?) })
    }

    fn standing_grant<'a>(&'a self, id: &'a str) -> Reply<'a, Option<StandingGrant>> {
        Box::pin(async move { Ok(self.0.standing_grant(id).await?) })
    }

    fn grants_alike<'a>(&'a self, key: &'a str) -> Reply<'a, Vec<StandingGrant>> {
        Box::pin(async move { Ok(self.0.grants_alike(key, now()).await?) })
    }

    fn use_grant<'a>(&'a self, id: &'a str, request: &'a NewRequest, room: &'a Room) -> Reply<'a, Used> {
        let by = self.1.claims(CLAIM);
        Box::pin(async move { Ok(self.0.use_grant(id, request, room, &by, now()).await?) })
    }

    fn end_grant<'a>(&'a self, id: &'a str, why: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.end_grant(id, why).await?) })
    }

    fn uses_of<'a>(&'a self, id: &'a str, most: i64) -> Reply<'a, Vec<String>> {
        Box::pin(async move { Ok(self.0.uses_of(id, most).await?) })
    }

    fn waiting_alike<'a>(&'a self, key: &'a str) -> Reply<'a, Vec<String>> {
        Box::pin(async move { Ok(self.0.waiting_alike(key, now()).await?) })
    }
}
