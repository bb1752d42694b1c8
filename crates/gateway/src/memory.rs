//! The gateway's state in memory, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use crate::configure::Configuration;
use crate::state::{
    Backend, Filed, Keys, NewRequest, Reply, Request, Status, StoredToken, VoteOutcome, Voted,
};

#[derive(Default)]
pub(crate) struct Memory(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    configuration: Configuration,
    credentials: BTreeMap<String, Zeroizing<Vec<u8>>>,
    tokens: Vec<StoredToken>,
    requests: Vec<(NewRequest, Request)>,
}

impl Memory {
    fn with<T: Send + 'static>(&self, f: impl FnOnce(&mut Kept) -> T) -> Reply<'_, T> {
        let answer = f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move { Ok(answer) })
    }

    fn with_request<T: Send + 'static>(
        &self,
        id: &str,
        f: impl FnOnce(&NewRequest, &mut Request) -> T,
    ) -> Reply<'_, T> {
        self.with(|kept| {
            let (filed, request) = kept.requests.iter_mut().find(|(_, r)| r.id == id).expect("a request");
            f(filed, request)
        })
    }
}

impl Backend for Memory {
    fn keys(&self) -> Reply<'_, Keys> {
        self.with(|_| Keys { verifiers: [1; 32], masks: [2; 32], commitments: [3; 32] })
    }

    fn is_reachable(&self) -> Reply<'_, bool> {
        self.with(|_| true)
    }

    fn is_administrator<'a>(&'a self, _secret: &'a [u8]) -> Reply<'a, bool> {
        self.with(|_| false)
    }

    fn configuration(&self) -> Reply<'_, Configuration> {
        self.with(|kept| kept.configuration.clone())
    }

    fn credentials(&self) -> Reply<'_, BTreeMap<String, Zeroizing<Vec<u8>>>> {
        self.with(|kept| kept.credentials.clone())
    }

    fn replace<'a>(&'a self, wanted: &'a Configuration) -> Reply<'a, ()> {
        self.with(|kept| {
            kept.configuration = wanted.clone();
            kept.credentials.retain(|name, _| wanted.targets.iter().any(|t| t.name == *name));
            for target in &mut kept.configuration.targets {
                if let Some(password) = target.password.take() {
                    let clear = Zeroizing::new(password.reveal().as_bytes().to_vec());
                    kept.credentials.insert(target.name.clone(), clear);
                }
            }
        })
    }

    fn token<'a>(&'a self, id: &'a str) -> Reply<'a, Option<StoredToken>> {
        self.with(|kept| kept.tokens.iter().find(|t| t.id == id).cloned())
    }

    fn tokens(&self) -> Reply<'_, Vec<StoredToken>> {
        self.with(|kept| kept.tokens.iter().rev().cloned().collect())
    }

    fn add_token<'a>(&'a self, token: &'a StoredToken) -> Reply<'a, ()> {
        self.with(|kept| kept.tokens.push(token.clone()))
    }

    fn revoke_token<'a>(&'a self, id: &'a str) -> Reply<'a, bool> {
        self.with(|kept| kept.tokens.iter_mut().find(|t| t.id == id).map(|t| t.revoked = true).is_some())
    }

    fn good_tokens<'a>(&'a self, ids: &'a BTreeSet<String>, now: i64) -> Reply<'a, BTreeSet<String>> {
        self.with(|kept| {
            let good = |t: &&StoredToken| !t.revoked && t.expires > now && ids.contains(&t.id);
            kept.tokens.iter().filter(good).map(|t| t.id.clone()).collect()
        })
    }

    fn file<'a>(&'a self, new: &'a NewRequest, most: usize) -> Reply<'a, Filed> {
        self.with(|kept| {
            let open = |r: &Request| matches!(r.status, Status::Waiting | Status::Approved);
            if let Some((_, same)) =
                kept.requests.iter().find(|(filed, r)| filed.digest == new.digest && open(r))
            {
                return Filed::Before(same.id.clone());
            }
            let waiting = |r: &Request| r.status == Status::Waiting && r.principal == new.principal;
            if kept.requests.iter().filter(|(_, r)| waiting(r)).count() >= most {
                return Filed::TooMany;
            }
            let id = format!("r{}", kept.requests.len() + 1);
            let request = Request {
                id: id.clone(),
                status: Status::Waiting,
                principal: new.principal.clone(),
                on_behalf_of: new.on_behalf_of.clone(),
                target: new.target.to_string(),
                session: new.session.clone(),
                summary: new.summary.clone(),
                text: new.text.clone(),
                values: new.values.clone(),
                effects: new.effects.clone(),
                holds: new.holds.iter().map(|h| h.id.clone()).collect(),
                filed: 0,
                expires: i64::MAX,
                votes: Vec::new(),
                outcome: None,
            };
            kept.requests.push((new.clone(), request));
            Filed::Now(id)
        })
    }

    fn vote_of<'a>(&'a self, id: &'a str) -> Reply<'a, Voted> {
        self.with_request(id, |_, r| match r.status {
            Status::Waiting => Voted::Waiting,
            Status::Approved => Voted::Approved,
            Status::Denied => {
                Voted::Denied(r.votes.last().and_then(|v| Some(v.split_once(": ")?.1.to_owned())))
            }
            Status::Expired => Voted::Expired,
            Status::Withdrawn => Voted::Withdrawn,
            Status::Used => Voted::Used,
        })
    }

    fn claim<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Vec<String>>> {
        self.with_request(id, |_, r| {
            (r.status == Status::Approved).then(|| {
                r.status = Status::Used;
                r.holds.clone()
            })
        })
    }

    fn withdraw<'a>(&'a self, id: &'a str) -> Reply<'a, ()> {
        self.with_request(id, |_, r| {
            if r.status == Status::Waiting {
                r.status = Status::Withdrawn;
            }
        })
    }

    fn finish<'a>(&'a self, id: &'a str, how: &'a str) -> Reply<'a, ()> {
        self.with_request(id, |_, r| r.outcome = Some(how.to_owned()))
    }

    fn requests(&self, all: bool) -> Reply<'_, Vec<Request>> {
        self.with(|kept| {
            let wanted = |r: &&Request| all || r.status == Status::Waiting;
            kept.requests.iter().rev().map(|(_, r)| r).filter(wanted).cloned().collect()
        })
    }

    fn request<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Request>> {
        self.with(|kept| kept.requests.iter().map(|(_, r)| r).find(|r| r.id == id).cloned())
    }

    fn vote<'a>(
        &'a self,
        id: &'a str,
        by: &'a str,
        approve: bool,
        words: Option<&'a str>,
    ) -> Reply<'a, VoteOutcome> {
        self.with_request(id, |filed, r| {
            if r.status != Status::Waiting {
                return VoteOutcome::TooLate(r.status);
            }
            let vote = words.map_or_else(|| by.to_owned(), |words| format!("{by}: {words}"));
            if !r.votes.contains(&vote) {
                r.votes.push(vote);
            }
            let enough =
                filed.holds.iter().all(|h| r.votes.len() >= usize::try_from(h.quorum).expect("small"));
            r.status = match (approve, enough) {
                (false, _) => Status::Denied,
                (true, true) => Status::Approved,
                (true, false) => Status::Waiting,
            };
            VoteOutcome::Counted(r.status)
        })
    }
}
