//! The gateway's state in memory, for tests.

mod bulletin;
mod drafts;
mod filing;
mod people;
mod standing;
mod tasks;
mod vouchers;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use model::{
    Approver, Backing, Claim, Counted, Denial, Draft, Filed, Finish, HoldRule, NewRequest, Part, Progress,
    Request, Room, SignOut, Stage, Standing, StandingGrant, Status, TakenBack, TargetName, Touched, Vote,
};
use policy::quorum;
use sql::postgres::catalog::Placed;
use zeroize::Zeroizing;

use crate::configure::Configuration;
use crate::gateway::now;
use crate::state::{
    Asked, Backend, Configured, Former, Happened, Keys, Purged, Reply, StateError, StoredCode, StoredToken,
    Trouble,
};
use crate::tests::unknown::{SHARED, SILENT};

#[derive(Default)]
pub(crate) struct Memory(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    version: i64,
    configuration: Configuration,
    former: Vec<Former>,
    credentials: BTreeMap<String, Zeroizing<Vec<u8>>>,
    tokens: Vec<StoredToken>,
    denials: Vec<Denial>,
    codes: Vec<StoredCode>,
    spent: BTreeSet<String>,
    sign_outs: Vec<SignOut>,
    requests: Vec<Request>,
    /// The digests of the requests, in their order.
    digests: Vec<String>,
    /// Their subjects and what they touch, likewise.
    subjects: Vec<(String, Vec<Touched>)>,
    /// Which sessions wait for which requests.
    waiting: BTreeSet<(String, String)>,
    plans: BTreeMap<String, Progress>,
    approvers: Vec<Approver>,
    placed: BTreeMap<(TargetName, String), Placed>,
    people: people::Known,
    drafts: Vec<(Draft, Zeroizing<Vec<u8>>)>,
    vouchers: Vec<model::Voucher>,
    clients: Vec<model::RegisteredClient>,
    grants: Vec<StandingGrant>,
    tasks: Vec<(model::Task, Zeroizing<Vec<u8>>)>,
    made: u32,
}

impl Memory {
    fn with<T: Send + 'static>(&self, f: impl FnOnce(&mut Kept) -> T) -> Reply<'_, T> {
        let answer = f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move { Ok(answer) })
    }

    fn with_request<T: Send + 'static>(&self, id: &str, f: impl FnOnce(&mut Request) -> T) -> Reply<'_, T> {
        self.with(|kept| f(kept.requests.iter_mut().find(|r| r.id == id).expect("a request")))
    }
}

impl Backend for Memory {
    fn keys(&self) -> Reply<'_, Keys> {
        self.with(|_| Keys {
            verifiers: [1; 32],
            masks: [2; 32],
            buttons: [5; 32],
            commitments: [3; 32],
            recordings: [4; 32],
            doors: [6; 32],
        })
    }

    fn time(&self) -> Reply<'_, Option<i64>> {
        self.with(|_| None)
    }

    fn beat(&self, _now: i64) -> Reply<'_, Option<Trouble>> {
        self.with(|_| None)
    }

    fn is_administrator<'a>(&'a self, _secret: &'a [u8]) -> Reply<'a, bool> {
        self.with(|_| false)
    }

    fn configured(&self) -> Reply<'_, Configured> {
        self.with(|kept| Configured {
            version: kept.version,
            configuration: kept.configuration.clone(),
            credentials: kept.credentials.clone(),
        })
    }

    fn version(&self) -> Reply<'_, i64> {
        self.with(|kept| kept.version)
    }

    fn happened(&self, _behind: i64) -> Reply<'_, Vec<Happened>> {
        self.with(|_| Vec::new())
    }

    fn last_happened(&self) -> Reply<'_, i64> {
        self.with(|_| 0)
    }

    fn is_shared(&self) -> bool {
        SHARED.get()
    }

    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    fn former(&self) -> Reply<'_, Vec<Former>> {
        self.with(|kept| kept.former.iter().rev().cloned().collect())
    }

    fn replace<'a>(&'a self, was: i64, wanted: &'a Configuration, by: &'a str) -> Reply<'a, Option<i64>> {
        self.with(|kept| {
            if kept.version != was {
                return None;
            }
            kept.version += 1;
            kept.configuration = wanted.clone();
            kept.credentials
                .retain(|name, _| wanted.targets.iter().any(|t| t.name == *name && t.credential.is_none()));
            for target in &mut kept.configuration.targets {
                if let Some(password) = target.password.take() {
                    let clear = Zeroizing::new(password.reveal().as_bytes().to_vec());
                    kept.credentials.insert(target.name.clone(), clear);
                }
            }
            kept.former.push(Former {
                version: kept.version,
                at: now(),
                by: by.to_owned(),
                configuration: kept.configuration.clone(),
            });
            Some(kept.version)
        })
    }

    fn token<'a>(&'a self, id: &'a str) -> Reply<'a, Option<StoredToken>> {
        if SILENT.get() {
            return Box::pin(async { Err(StateError("it does not answer".to_owned())) });
        }
        self.with(|kept| kept.tokens.iter().find(|t| t.id == id).cloned())
    }

    fn tokens<'a>(&'a self, part: &'a Part) -> Reply<'a, Vec<StoredToken>> {
        self.with(|kept| {
            let before = kept.tokens.iter().position(|t| Some(&t.id) == part.before.as_ref());
            let older = kept.tokens.iter().take(before.unwrap_or(usize::MAX)).rev();
            older.take(part.most).cloned().collect()
        })
    }

    fn add_token<'a>(&'a self, token: &'a StoredToken, most: usize) -> Reply<'a, bool> {
        self.with(|kept| {
            let good = |t: &&StoredToken| {
                t.minted_for.is_some() && t.minted_for == token.minted_for && !t.revoked && t.expires > now()
            };
            if token.minted_for.is_some() && kept.tokens.iter().filter(good).count() >= most {
                return false;
            }
            kept.tokens.push(token.clone());
            true
        })
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

    fn denials(&self, now: i64) -> Reply<'_, Vec<Denial>> {
        self.with(|kept| kept.denials.iter().rev().filter(|d| d.holds(now)).cloned().collect())
    }

    fn add_denial<'a>(&'a self, denial: &'a Denial) -> Reply<'a, ()> {
        self.with(|kept| kept.denials.push(denial.clone()))
    }

    fn lift_denial<'a>(&'a self, id: &'a str) -> Reply<'a, bool> {
        self.with(|kept| {
            let before = kept.denials.len();
            kept.denials.retain(|d| d.id != id);
            kept.denials.len() < before
        })
    }

    fn code<'a>(&'a self, id: &'a str) -> Reply<'a, Option<StoredCode>> {
        self.with(|kept| kept.codes.iter().find(|c| c.id == id).cloned())
    }

    fn codes(&self) -> Reply<'_, Vec<StoredCode>> {
        self.with(|kept| kept.codes.iter().rev().cloned().collect())
    }

    fn add_code<'a>(&'a self, code: &'a StoredCode) -> Reply<'a, ()> {
        self.with(|kept| kept.codes.push(code.clone()))
    }

    fn use_code<'a>(&'a self, id: &'a str, now: i64) -> Reply<'a, bool> {
        self.with(|kept| {
            let code = kept.codes.iter_mut().find(|c| c.id == id && c.is_usable(now));
            code.map(|c| c.used = Some(now)).is_some()
        })
    }

    fn revoke_code<'a>(&'a self, id: &'a str) -> Reply<'a, bool> {
        self.with(|kept| kept.codes.iter_mut().find(|c| c.id == id).map(|c| c.revoked = true).is_some())
    }

    fn spend<'a>(&'a self, id: &'a str, _until: i64) -> Reply<'a, bool> {
        self.with(|kept| kept.spent.insert(id.to_owned()))
    }

    fn was_spent<'a>(&'a self, id: &'a str) -> Reply<'a, bool> {
        self.with(|kept| kept.spent.contains(id))
    }

    fn sign_outs(&self, behind: i64) -> Reply<'_, Vec<(i64, SignOut)>> {
        self.with(|kept| (1..).zip(kept.sign_outs.iter().cloned()).filter(|(n, _)| *n > behind).collect())
    }

    fn sign_out<'a>(&'a self, (id, _): (&'a str, i64), outs: &'a [SignOut]) -> Reply<'a, bool> {
        self.with(|kept| {
            let is_first = kept.spent.insert(id.to_owned());
            if is_first {
                kept.sign_outs.extend_from_slice(outs);
            }
            is_first
        })
    }

    fn foresee<'a>(&'a self, new: &'a NewRequest, room: &'a Room) -> Reply<'a, Option<Filed>> {
        self.with(|kept| kept.foresee(new, room))
    }

    fn file<'a>(&'a self, new: &'a NewRequest, room: &'a Room) -> Reply<'a, Filed> {
        self.with(|kept| kept.file(new, room))
    }

    fn standing<'a>(&'a self, id: &'a str) -> Reply<'a, Standing> {
        self.with_request(id, |r| {
            let denied = r.votes.iter().find(|v| !v.approve);
            Standing { status: r.status, words: denied.and_then(|v| v.words.clone()), holds: r.holds.clone() }
        })
    }

    fn claim<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Claim>> {
        self.with_request(id, |r| {
            (r.status == Status::Approved).then(|| {
                r.status = Status::Claimed;
                Claim::of(r.holds.clone(), r.ceiling.clone(), &r.votes)
            })
        })
    }

    fn open_requests(&self) -> Reply<'_, Vec<(String, Vec<HoldRule>)>> {
        self.with(|kept| {
            let open = kept.requests.iter().filter(|r| r.status.is_open());
            open.map(|r| (r.id.clone(), r.holds.clone())).collect()
        })
    }

    fn supersede<'a>(&'a self, id: &'a str, why: &'a str) -> Reply<'a, bool> {
        self.with_request(id, |r| {
            let open = r.status.is_open();
            if open {
                (r.status, r.outcome) = (Status::Superseded, Some(why.to_owned()));
            }
            open
        })
    }

    fn disown<'a>(&'a self, voter: &'a str) -> Reply<'a, ()> {
        self.with(|kept| disown(kept, voter))
    }

    fn withdraw<'a>(&'a self, id: &'a str) -> Reply<'a, TakenBack> {
        self.with_request(id, filing::withdraw)
    }

    fn leave<'a>(&'a self, id: &'a str, session: &'a str) -> Reply<'a, Option<TakenBack>> {
        self.with(|kept| kept.leave(id, session))
    }

    fn rescind<'a>(&'a self, id: &'a str, by: &'a str) -> Reply<'a, bool> {
        self.with_request(id, |r| {
            let approved = r.status == Status::Approved;
            if approved {
                r.status = Status::Rescinded;
                r.outcome = Some(format!("taken back by {by}"));
            }
            approved
        })
    }

    fn finish<'a>(&'a self, id: &'a str, finish: &'a Finish) -> Reply<'a, ()> {
        self.with_request(id, |r| {
            if matches!(r.status, Status::Claimed | Status::OutcomeUnknown) {
                r.status = finish.status;
                r.outcome = Some(finish.words.clone());
            }
        })
    }

    fn lose_track(&self) -> Reply<'_, u64> {
        self.with(|kept| {
            let claimed = kept.requests.iter_mut().filter(|r| r.status == Status::Claimed);
            claimed.map(|r| r.status = Status::OutcomeUnknown).count() as u64
        })
    }

    fn note_plan<'a>(&'a self, id: &'a str, _stage: Stage, progress: &'a Progress) -> Reply<'a, bool> {
        self.with(|kept| {
            let is_open = |r: &Request| r.id == id && (r.status.is_open() || r.status == Status::Claimed);
            let found = kept.requests.iter().any(is_open);
            if found {
                kept.plans.insert(id.to_owned(), progress.clone());
            }
            found
        })
    }

    fn plan<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Progress>> {
        self.with(|kept| kept.plans.get(id).cloned())
    }

    fn approved_plans<'a>(&'a self, principal: &'a str, target: &'a TargetName) -> Reply<'a, Vec<String>> {
        self.with(|kept| {
            let is_one = |r: &&Request| {
                r.status == Status::Approved
                    && r.principal == principal
                    && r.target == *target
                    && r.preview.ordered.is_some()
            };
            kept.requests.iter().filter(is_one).map(|r| r.id.clone()).collect()
        })
    }

    fn keep_claims(&self, _seconds: i64) -> Reply<'_, u64> {
        self.with(|_| 0)
    }

    fn keep_asked<'a>(&'a self, _id: &'a str, _asked: &'a Asked, _until: i64) -> Reply<'a, ()> {
        self.with(|_| ())
    }

    fn asked<'a>(&'a self, _id: &'a str) -> Reply<'a, Option<(Asked, i64)>> {
        self.with(|_| None)
    }

    fn forget_asked<'a>(&'a self, _id: &'a str) -> Reply<'a, ()> {
        self.with(|_| ())
    }

    fn places<'a>(&'a self, target: &'a TargetName, server: &'a str) -> Reply<'a, Placed> {
        self.with(|kept| kept.placed.get(&(target.clone(), server.to_owned())).cloned().unwrap_or_default())
    }

    fn keep_places<'a>(
        &'a self,
        target: &'a TargetName,
        server: &'a str,
        placed: &'a Placed,
    ) -> Reply<'a, ()> {
        self.with(|kept| {
            let known = kept.placed.remove(&(target.clone(), server.to_owned())).unwrap_or_default();
            let mut placed = placed.clone();
            placed.also(&known);
            kept.placed.insert((target.clone(), server.to_owned()), placed);
        })
    }

    fn requests<'a>(&'a self, all: bool, part: &'a Part) -> Reply<'a, Vec<Request>> {
        self.with(|kept| {
            let wanted = |r: &&Request| all || r.status == Status::Pending;
            let before = kept.requests.iter().position(|r| Some(&r.id) == part.before.as_ref());
            let older = kept.requests.iter().take(before.unwrap_or(usize::MAX)).rev();
            older.filter(wanted).take(part.most).cloned().collect()
        })
    }

    fn briefs<'a>(&'a self, part: &'a Part) -> Reply<'a, Vec<Request>> {
        self.requests(false, part)
    }

    fn answered<'a>(&'a self, part: &'a Part) -> Reply<'a, Vec<Request>> {
        self.with(|kept| {
            let before = kept.requests.iter().position(|r| Some(&r.id) == part.before.as_ref());
            let older = kept.requests.iter().take(before.unwrap_or(usize::MAX)).rev();
            older.filter(|r| r.status != Status::Pending).take(part.most).cloned().collect()
        })
    }

    fn requests_of<'a>(&'a self, principal: &'a str, most: usize) -> Reply<'a, Vec<Request>> {
        self.with(|kept| {
            kept.requests.iter().rev().filter(|r| r.principal == principal).take(most).cloned().collect()
        })
    }

    fn request<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Request>> {
        self.with(|kept| kept.requests.iter().find(|r| r.id == id).cloned())
    }

    fn vote<'a>(&'a self, id: &'a str, (vote, backing): (&'a Vote, &'a [Backing])) -> Reply<'a, Counted> {
        self.with(|kept| {
            let is_there = backing.iter().all(|one| kept.has(one));
            let r = kept.requests.iter_mut().find(|r| r.id == id).expect("a request");
            if r.status != Status::Pending {
                return Counted::TooLate(r.status);
            }
            if !is_there {
                return Counted::Nobody;
            }
            r.votes.retain(|v| v.voter != vote.voter);
            r.votes.push(vote.clone());
            r.status = match (vote.approve, quorum::is_met(&r.holds, &r.votes)) {
                (false, _) => Status::Denied,
                (true, true) => Status::Approved,
                (true, false) => Status::Pending,
            };
            Counted::Now(r.status)
        })
    }

    fn approvers(&self) -> Reply<'_, Vec<Approver>> {
        self.with(|kept| kept.approvers.clone())
    }

    fn approver<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Approver>> {
        self.with(|kept| kept.approvers.iter().find(|a| a.id == id).cloned())
    }

    fn approver_by_secret<'a>(&'a self, secret: &'a [u8]) -> Reply<'a, Option<Approver>> {
        self.with(|kept| kept.approvers.iter().find(|a| secret_of(&a.id).as_bytes() == secret).cloned())
    }

    fn add_approver<'a>(
        &'a self,
        name: &'a str,
        groups: &'a [String],
        names: &'a [String],
        now: i64,
    ) -> Reply<'a, Option<Zeroizing<String>>> {
        self.with(|kept| {
            if kept.approvers.iter().any(|a| a.name.eq_ignore_ascii_case(name)) {
                return None;
            }
            kept.made += 1;
            let id = format!("dwp_{}", kept.made);
            let secret = secret_of(&id);
            let (groups, names) = (groups.to_vec(), names.to_vec());
            kept.approvers.push(Approver { id, name: name.to_owned(), groups, names, added: now });
            Some(Zeroizing::new(secret))
        })
    }

    fn remove_approver<'a>(&'a self, name: &'a str) -> Reply<'a, bool> {
        self.with(|kept| {
            let Some(at) = kept.approvers.iter().position(|a| a.name.eq_ignore_ascii_case(name)) else {
                return false;
            };
            let voter = format!("user:{}", kept.approvers.remove(at).name);
            disown(kept, &voter);
            true
        })
    }

    fn purge(&self, tokens: i64, requests: i64, _now: i64) -> Reply<'_, Purged> {
        self.with(|kept| {
            let before = (kept.tokens.len(), kept.requests.len(), kept.denials.len());
            kept.denials.retain(|d| d.until.is_none_or(|until| until >= tokens));
            kept.tokens.retain(|t| t.expires >= tokens);
            let open = |r: &Request| r.status.is_open();
            let mut stay =
                kept.requests.iter().map(|r| open(r) || r.filed >= requests).collect::<Vec<_>>().into_iter();
            let (mut stay_too, mut stay_three) = (stay.clone(), stay.clone());
            kept.requests.retain(|_| stay.next().unwrap_or_default());
            kept.digests.retain(|_| stay_too.next().unwrap_or_default());
            kept.subjects.retain(|_| stay_three.next().unwrap_or_default());
            Purged {
                tokens: (before.0 - kept.tokens.len()).try_into().expect("small"),
                requests: (before.1 - kept.requests.len()).try_into().expect("small"),
                denials: (before.2 - kept.denials.len()).try_into().expect("small"),
            }
        })
    }
}

fn disown(kept: &mut Kept, voter: &str) {
    for request in &mut kept.requests {
        if request.status == Status::Approved && request.votes.iter().any(|v| v.approve && v.voter == voter) {
            request.status = Status::Rescinded;
            request.outcome = Some(format!("{voter}, who had approved it, does not answer any more"));
        }
        if request.status == Status::Pending {
            request.votes.retain(|v| v.voter != voter);
        }
    }
    for grant in kept.grants.iter_mut().filter(|g| g.ended.is_none()) {
        if grant.givers().any(|giver| giver.voter == voter) {
            grant.ended = Some(format!("{voter}, who gave it, does not answer any more"));
        } else if grant.principal == voter || grant.on_behalf_of.iter().any(|p| p == voter) {
            grant.ended = Some(format!("the access of {voter} was revoked"));
        }
    }
}

fn secret_of(id: &str) -> String {
    format!("{id}_secret")
}
