//! Standing grants, in memory.

use model::{Backing, Given, GrantState, GrantUse, NewRequest, Room, StandingGrant, Status, Used};

use super::Memory;
use crate::gateway::now;
use crate::state::{Grants, Reply};

impl Grants for Memory {
    fn give<'a>(&'a self, grant: &'a StandingGrant, backing: &'a [Backing], most: i64) -> Reply<'a, Given> {
        self.with(|kept| {
            if !backing.iter().all(|one| kept.has(one)) {
                return Given::Nobody;
            }
            let in_force =
                kept.grants.iter().filter(|g| g.ended.is_none() && g.expires > grant.given).count();
            let room = i64::try_from(in_force).unwrap_or(i64::MAX) < most;
            if !room {
                return Given::Full;
            }
            if grant.access.is_some() {
                let approved =
                    |r: &&mut model::Request| r.id == grant.request && r.status == Status::Approved;
                let Some(request) = kept.requests.iter_mut().find(approved) else {
                    return Given::Unapproved;
                };
                request.status = Status::Done;
                request.outcome = Some(format!("{}{}", model::GIVEN_AS, grant.id));
            }
            kept.grants.push(grant.clone());
            Given::Now
        })
    }

    fn standing_grants(&self, _most: i64) -> Reply<'_, Vec<StandingGrant>> {
        let without = |grant: &StandingGrant| StandingGrant { values: Vec::new(), ..grant.clone() };
        self.with(move |kept| kept.grants.iter().rev().map(without).collect())
    }

    fn standing_grant<'a>(&'a self, id: &'a str) -> Reply<'a, Option<StandingGrant>> {
        self.with(|kept| kept.grants.iter().find(|grant| grant.id == id).cloned())
    }

    fn grants_alike<'a>(&'a self, key: &'a str) -> Reply<'a, Vec<StandingGrant>> {
        let is_one = |g: &&StandingGrant| g.key == key && g.state(now()) == GrantState::InForce;
        self.with(|kept| kept.grants.iter().filter(is_one).cloned().collect())
    }

    fn use_grant<'a>(&'a self, id: &'a str, request: &'a NewRequest, _room: &'a Room) -> Reply<'a, Used> {
        self.with(|kept| {
            let is_one = |g: &&mut StandingGrant| g.id == id && g.state(now()) == GrantState::InForce;
            let Some(grant) = kept.grants.iter_mut().find(is_one) else { return Used::Over };
            grant.used += 1;
            let used = GrantUse { grant: id.to_owned(), number: grant.used };
            let request = kept.keep(request, Status::Claimed, None, Some(used.clone()));
            Used::Now(request, used)
        })
    }

    fn end_grant<'a>(&'a self, id: &'a str, why: &'a str) -> Reply<'a, bool> {
        self.with(|kept| match kept.grants.iter_mut().find(|g| g.id == id && g.ended.is_none()) {
            Some(grant) => {
                grant.ended = Some(why.to_owned());
                true
            }
            None => false,
        })
    }

    fn uses_of<'a>(&'a self, id: &'a str, _most: i64) -> Reply<'a, Vec<String>> {
        self.with(|kept| {
            let of_it =
                kept.requests.iter().rev().filter(|r| r.granted.as_ref().is_some_and(|u| u.grant == id));
            of_it.map(|r| r.id.clone()).collect()
        })
    }

    fn waiting_alike<'a>(&'a self, key: &'a str) -> Reply<'a, Vec<String>> {
        self.with(|kept| {
            let alike = |r: &&model::Request| r.alike.as_deref() == Some(key) && r.status == Status::Pending;
            kept.requests.iter().filter(alike).map(|r| r.id.clone()).collect()
        })
    }
}
