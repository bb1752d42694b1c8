//! The gateway's state in the embedded store: this file alone knows both the gateway's words and the store's rows.

use std::collections::{BTreeMap, BTreeSet};

use model::{Principal, TargetName};
use store::Store;
use wire::postgres::scram::ScramVerifier;
use zeroize::Zeroizing;

use crate::configure::{Configuration, Password};
use crate::gateway::now;
use crate::requests::parse_principal;
use crate::state::{
    Backend, Filed, Keys, NewRequest, Reply, Request, StateError, Status, StoredToken, VoteOutcome, Voted,
};

/// A [`Backend`] over SQLite.
pub struct Embedded(Store);

impl Embedded {
    /// Over an open store.
    pub fn new(store: Store) -> Self {
        Self(store)
    }
}

impl From<store::StoreError> for StateError {
    fn from(error: store::StoreError) -> Self {
        Self(error.to_string())
    }
}

impl Backend for Embedded {
    fn keys(&self) -> Reply<'_, Keys> {
        Box::pin(async move {
            Ok(Keys {
                verifiers: *self.0.made_key("verifiers").await?,
                masks: *self.0.made_key("masks").await?,
                commitments: *self.0.made_key("commitments").await?,
            })
        })
    }

    fn is_reachable(&self) -> Reply<'_, bool> {
        Box::pin(async move { Ok(self.0.ping().await.is_ok()) })
    }

    fn is_administrator<'a>(&'a self, secret: &'a [u8]) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.is_administrator(secret).await?) })
    }

    fn configuration(&self) -> Reply<'_, Configuration> {
        Box::pin(async move {
            let Some(body) = self.0.configuration().await? else { return Ok(Configuration::default()) };
            serde_json::from_str(&body)
                .map_err(|error| StateError(format!("the stored configuration cannot be read: {error}")))
        })
    }

    fn credentials(&self) -> Reply<'_, BTreeMap<String, Zeroizing<Vec<u8>>>> {
        Box::pin(async move { Ok(self.0.credentials().await?) })
    }

    fn replace<'a>(&'a self, wanted: &'a Configuration) -> Reply<'a, ()> {
        Box::pin(async move {
            let body = serde_json::to_string(wanted).map_err(|error| StateError(error.to_string()))?;
            let targets = wanted.targets.iter().map(|t| t.name.as_str()).collect();
            let passwords = wanted
                .targets
                .iter()
                .filter_map(|t| {
                    Some((t.name.as_str(), t.password.as_ref().map(Password::reveal)?.as_bytes()))
                })
                .collect();
            Ok(self.0.replace(&body, &targets, &passwords).await?)
        })
    }

    fn token<'a>(&'a self, id: &'a str) -> Reply<'a, Option<StoredToken>> {
        Box::pin(async move { self.0.token(id).await?.map(token).transpose() })
    }

    fn tokens(&self) -> Reply<'_, Vec<StoredToken>> {
        Box::pin(async move { self.0.tokens().await?.into_iter().map(token).collect() })
    }

    fn add_token<'a>(&'a self, token: &'a StoredToken) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.add_token(&token_row(token)).await?) })
    }

    fn revoke_token<'a>(&'a self, id: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.revoke_token(id).await?) })
    }

    fn good_tokens<'a>(&'a self, ids: &'a BTreeSet<String>, now: i64) -> Reply<'a, BTreeSet<String>> {
        Box::pin(async move { Ok(self.0.good_tokens(ids, now).await?) })
    }

    fn file<'a>(&'a self, request: &'a NewRequest, most: usize) -> Reply<'a, Filed> {
        Box::pin(async move {
            Ok(match self.0.file(&request_row(request), most, now()).await? {
                store::Filed::Now(id) => Filed::Now(id),
                store::Filed::Before(id) => Filed::Before(id),
                store::Filed::TooMany => Filed::TooMany,
            })
        })
    }

    fn vote_of<'a>(&'a self, id: &'a str) -> Reply<'a, Voted> {
        Box::pin(async move {
            let (stands, words) = self.0.standing(id, now()).await?.ok_or_else(|| missing(id))?;
            Ok(match stands {
                store::Status::Waiting => Voted::Waiting,
                store::Status::Approved => Voted::Approved,
                store::Status::Denied => Voted::Denied(words),
                store::Status::Expired => Voted::Expired,
                store::Status::Withdrawn => Voted::Withdrawn,
                store::Status::Used => Voted::Used,
            })
        })
    }

    fn claim<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Vec<String>>> {
        Box::pin(async move { Ok(self.0.claim(id, now()).await?) })
    }

    fn withdraw<'a>(&'a self, id: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.withdraw(id).await?) })
    }

    fn finish<'a>(&'a self, id: &'a str, how: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.finish(id, how).await?) })
    }

    fn requests(&self, all: bool) -> Reply<'_, Vec<Request>> {
        Box::pin(async move { Ok(self.0.requests(all, now()).await?.into_iter().map(request).collect()) })
    }

    fn request<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Request>> {
        Box::pin(async move { Ok(self.0.request(id, now()).await?.map(request)) })
    }

    fn vote<'a>(
        &'a self,
        id: &'a str,
        by: &'a str,
        approve: bool,
        words: Option<&'a str>,
    ) -> Reply<'a, VoteOutcome> {
        Box::pin(async move {
            let vote = store::Vote { voter: by.to_owned(), approve, words: words.map(str::to_owned) };
            match self.0.vote(id, &vote, now()).await?.ok_or_else(|| missing(id))? {
                store::Voted::Counted(stands) => Ok(VoteOutcome::Counted(status(stands))),
                store::Voted::TooLate(stands) => Ok(VoteOutcome::TooLate(status(stands))),
            }
        })
    }
}

fn missing(id: &str) -> StateError {
    StateError(format!("there is no request {id}"))
}

fn status(kept: store::Status) -> Status {
    match kept {
        store::Status::Waiting => Status::Waiting,
        store::Status::Approved => Status::Approved,
        store::Status::Denied => Status::Denied,
        store::Status::Expired => Status::Expired,
        store::Status::Withdrawn => Status::Withdrawn,
        store::Status::Used => Status::Used,
    }
}

fn token_row(token: &StoredToken) -> store::Token {
    let StoredToken { id, verifier, principal, targets, issued, expires, revoked } = token;
    store::Token {
        id: id.clone(),
        verifier: verifier.to_string(),
        principal: principal.id.to_string(),
        groups: principal.groups.clone(),
        on_behalf_of: principal.on_behalf_of.iter().map(ToString::to_string).collect(),
        purpose: principal.purpose.clone(),
        targets: targets.as_ref().map(|all| all.iter().map(|t| t.0.clone()).collect()),
        issued: *issued,
        expires: *expires,
        revoked: *revoked,
    }
}

fn token(row: store::Token) -> Result<StoredToken, StateError> {
    let store::Token {
        id,
        verifier,
        principal,
        groups,
        on_behalf_of,
        purpose,
        targets,
        issued,
        expires,
        revoked,
    } = row;
    let named = |name: &String| parse_principal(name).map_err(|error| StateError(error.to_string()));
    Ok(StoredToken {
        verifier: ScramVerifier::parse(&verifier)
            .map_err(|_| StateError(format!("the verifier of token {id} cannot be read")))?,
        id,
        principal: Principal {
            id: named(&principal)?,
            groups,
            on_behalf_of: on_behalf_of.iter().map(named).collect::<Result<_, _>>()?,
            purpose,
        },
        targets: targets.map(|all| all.into_iter().map(TargetName).collect()),
        issued,
        expires,
        revoked,
    })
}

fn request_row(new: &NewRequest) -> store::NewRequest {
    let NewRequest {
        digest,
        principal,
        on_behalf_of,
        target,
        session,
        summary,
        kind,
        text,
        values,
        effects,
        holds,
        version,
    } = new.clone();
    let hold = |h: policy::HoldRule| store::Hold {
        id: h.id,
        quorum: h.quorum,
        expires: h.expires,
        valid_for: h.valid_for,
    };
    store::NewRequest {
        digest,
        principal,
        on_behalf_of,
        target: target.0,
        session,
        summary,
        kind,
        text,
        values,
        effects,
        holds: holds.into_iter().map(hold).collect(),
        version,
    }
}

fn request(row: store::Request) -> Request {
    let store::Request {
        id,
        status: stands,
        principal,
        on_behalf_of,
        target,
        session,
        summary,
        text,
        values,
        effects,
        holds,
        filed,
        expires,
        votes,
        outcome,
    } = row;
    Request {
        id,
        status: status(stands),
        principal,
        on_behalf_of,
        target,
        session,
        summary,
        text,
        values,
        effects,
        holds: holds.into_iter().map(|h| h.id).collect(),
        filed,
        expires,
        votes: votes.into_iter().map(vote_text).collect(),
        outcome,
    }
}

fn vote_text(vote: store::Vote) -> String {
    let word = if vote.approve { "approved" } else { "denied" };
    let said = vote.words.map(|words| format!(": {words}")).unwrap_or_default();
    format!("{word} by {}{said}", vote.voter)
}
