//! The gateway's state in a store, embedded or on a server. Held operations are the same nouns for both; of a token the store keeps the
//! verifier as text, since it does not know the wire.

mod bulletin;
mod drafts;
mod people;
mod standing;
mod tasks;
mod vouchers;

use std::collections::BTreeSet;
use std::pin::Pin;

use model::{
    Approver, Backing, Claim, Counted, Denial, Filed, Finish, HoldRule, NewRequest, Part, Principal,
    Progress, Request, Room, Scope, SignOut, Stage, Standing, Subject, Tag, TakenBack, TargetName, Vote,
    Which,
};
use policy::quorum;
use sql::postgres::catalog::Placed;
use store::{Left, Store};
use wire::postgres::scram::ScramVerifier;
use zeroize::Zeroizing;

use crate::audit::hex;
use crate::configure::{Configuration, Password};
use crate::gateway::now;
use crate::requests::parse_principal;
use crate::state::{
    Asked, Backend, Configured, Former, Happened, Keys, Purged, Reply, StateError, StoredCode, StoredToken,
    Trouble,
};

mod kept;

/// A gateway that has claimed an approval is believed to carry it out for so long, in seconds, before it says so for the
/// first time; it does every five seconds.
const CLAIM: i64 = 20;

/// A [`Backend`] over a store.
pub struct Embedded(Store, Run);

/// Names this run of this gateway among those of the store.
struct Run(String);

impl Run {
    fn new() -> Self {
        let mut chance = [0; 12];
        // Whoever has no randomness opens no session and claims nothing.
        let _ = aws_lc_rs::rand::fill(&mut chance);
        Self(format!("{}-{}", std::process::id(), hex(&chance)))
    }

    fn claims(&self, seconds: i64) -> store::Claimant {
        store::Claimant { gateway: self.0.clone(), until: now().saturating_add(seconds) }
    }
}

impl Embedded {
    /// Over an open store.
    pub fn new(store: Store) -> Self {
        Self(store, Run::new())
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
                buttons: *self.0.made_key("buttons").await?,
                commitments: *self.0.made_key("commitments").await?,
                recordings: *self.0.made_key("recordings").await?,
                doors: *self.0.made_key("doors").await?,
            })
        })
    }

    fn time(&self) -> Reply<'_, Option<i64>> {
        Box::pin(async move { Ok(self.0.time().await?) })
    }

    fn beat(&self, now: i64) -> Reply<'_, Option<Trouble>> {
        Box::pin(async move { Ok(self.0.beat(now).await.err().map(|error| error.trouble())) })
    }

    fn is_administrator<'a>(&'a self, secret: &'a [u8]) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.is_administrator(secret).await?) })
    }

    fn configured(&self) -> Reply<'_, Configured> {
        Box::pin(async move {
            let store::Configured { version, body, credentials } = self.0.configured().await?;
            let configuration =
                body.map_or_else(|| Ok(Configuration::default()), |b| serde_json::from_str(&b));
            let configuration = configuration
                .map_err(|error| StateError(format!("the stored configuration cannot be read: {error}")))?;
            Ok(Configured { version, configuration, credentials })
        })
    }

    fn version(&self) -> Reply<'_, i64> {
        Box::pin(async move { Ok(self.0.version().await?) })
    }

    fn happened(&self, behind: i64) -> Reply<'_, Vec<Happened>> {
        Box::pin(async move {
            let told = |store::Happened { number, at: _, what, detail }| Happened { number, what, detail };
            Ok(self.0.happened(behind).await?.into_iter().map(told).collect())
        })
    }

    fn last_happened(&self) -> Reply<'_, i64> {
        Box::pin(async move { Ok(self.0.last_happened().await?) })
    }

    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.0.changed())
    }

    fn former(&self) -> Reply<'_, Vec<Former>> {
        Box::pin(async move {
            // One that another version wrote may not be readable any more.
            let read = |kept: store::Former| {
                let configuration = serde_json::from_str(&kept.body).ok()?;
                Some(Former { version: kept.version, at: kept.at, by: kept.by, configuration })
            };
            Ok(self.0.former().await?.into_iter().filter_map(read).collect())
        })
    }

    fn replace<'a>(&'a self, was: i64, wanted: &'a Configuration, by: &'a str) -> Reply<'a, Option<i64>> {
        Box::pin(async move {
            let body = serde_json::to_string(wanted).map_err(|error| StateError(error.to_string()))?;
            let targets =
                wanted.targets.iter().filter(|t| t.credential.is_none()).map(|t| t.name.as_str()).collect();
            let passwords = wanted
                .targets
                .iter()
                .filter_map(|t| {
                    Some((t.name.as_str(), t.password.as_ref().map(Password::reveal)?.as_bytes()))
                })
                .collect();
            Ok(self.0.replace(was, &body, &targets, &passwords, (by, now())).await?)
        })
    }

    fn token<'a>(&'a self, id: &'a str) -> Reply<'a, Option<StoredToken>> {
        Box::pin(async move { self.0.token(id).await?.map(token).transpose() })
    }

    fn tokens<'a>(&'a self, part: &'a Part) -> Reply<'a, Vec<StoredToken>> {
        Box::pin(async move { self.0.tokens(part).await?.into_iter().map(token).collect() })
    }

    fn add_token<'a>(&'a self, token: &'a StoredToken, most: usize) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.add_token(&token_row(token), most, now()).await?) })
    }

    fn revoke_token<'a>(&'a self, id: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.revoke_token(id).await?) })
    }

    fn good_tokens<'a>(&'a self, ids: &'a BTreeSet<String>, now: i64) -> Reply<'a, BTreeSet<String>> {
        Box::pin(async move { Ok(self.0.good_tokens(ids, now).await?) })
    }

    fn denials(&self, now: i64) -> Reply<'_, Vec<Denial>> {
        Box::pin(async move { self.0.denials(now).await?.into_iter().map(denial).collect() })
    }

    fn add_denial<'a>(&'a self, denial: &'a Denial) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.add_denial(&denial_row(denial)).await?) })
    }

    fn lift_denial<'a>(&'a self, id: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.lift_denial(id).await?) })
    }

    fn code<'a>(&'a self, id: &'a str) -> Reply<'a, Option<StoredCode>> {
        Box::pin(async move { self.0.code(id).await?.map(code).transpose() })
    }

    fn codes(&self) -> Reply<'_, Vec<StoredCode>> {
        Box::pin(async move { self.0.codes().await?.into_iter().map(code).collect() })
    }

    fn add_code<'a>(&'a self, code: &'a StoredCode) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.add_code(&code_row(code)).await?) })
    }

    fn use_code<'a>(&'a self, id: &'a str, now: i64) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.use_code(id, now).await?) })
    }

    fn revoke_code<'a>(&'a self, id: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.revoke_code(id).await?) })
    }

    fn spend<'a>(&'a self, id: &'a str, until: i64) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.spend(id, until).await?) })
    }

    fn was_spent<'a>(&'a self, id: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.was_spent(id).await?) })
    }

    fn sign_outs(&self, behind: i64) -> Reply<'_, Vec<(i64, SignOut)>> {
        Box::pin(async move { Ok(self.0.sign_outs(behind).await?) })
    }

    fn sign_out<'a>(&'a self, once: (&'a str, i64), outs: &'a [SignOut]) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.sign_out(once, outs).await?) })
    }

    fn file<'a>(&'a self, request: &'a NewRequest, room: &'a Room) -> Reply<'a, Filed> {
        Box::pin(async move { Ok(self.0.file(request, room, now()).await?) })
    }

    fn foresee<'a>(&'a self, request: &'a NewRequest, room: &'a Room) -> Reply<'a, Option<Filed>> {
        Box::pin(async move { Ok(self.0.foresee(request, room, now()).await?) })
    }

    fn standing<'a>(&'a self, id: &'a str) -> Reply<'a, Standing> {
        Box::pin(async move { self.0.standing(id, now()).await?.ok_or_else(|| missing(id)) })
    }

    fn claim<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Claim>> {
        Box::pin(async move { Ok(self.0.claim(id, &self.1.claims(CLAIM), now()).await?) })
    }

    fn open_requests(&self) -> Reply<'_, Vec<(String, Vec<HoldRule>)>> {
        Box::pin(async move { Ok(self.0.open_requests(now()).await?) })
    }

    fn supersede<'a>(&'a self, id: &'a str, why: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.supersede(id, why, now()).await?) })
    }

    fn disown<'a>(&'a self, voter: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.disown(voter).await?) })
    }

    fn withdraw<'a>(&'a self, id: &'a str) -> Reply<'a, TakenBack> {
        Box::pin(async move { self.0.withdraw(id, now()).await?.ok_or_else(|| missing(id)) })
    }

    fn leave<'a>(&'a self, id: &'a str, session: &'a str) -> Reply<'a, Option<TakenBack>> {
        Box::pin(async move {
            match self.0.leave(id, session, now()).await? {
                Left::Awaited => Ok(None),
                Left::Gone(taken) => taken.map(Some).ok_or_else(|| missing(id)),
            }
        })
    }

    fn rescind<'a>(&'a self, id: &'a str, by: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.rescind(id, by, now()).await?) })
    }

    fn finish<'a>(&'a self, id: &'a str, finish: &'a Finish) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.finish(id, finish).await?) })
    }

    fn lose_track(&self) -> Reply<'_, u64> {
        Box::pin(async move { Ok(self.0.lose_track().await?) })
    }

    fn note_plan<'a>(&'a self, id: &'a str, stage: Stage, progress: &'a Progress) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.note_plan(id, stage, progress).await?) })
    }

    fn plan<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Progress>> {
        Box::pin(async move { Ok(self.0.plan(id).await?) })
    }

    fn approved_plans<'a>(&'a self, principal: &'a str, target: &'a TargetName) -> Reply<'a, Vec<String>> {
        Box::pin(async move { Ok(self.0.approved_plans(principal, target, now()).await?) })
    }

    fn keep_claims(&self, seconds: i64) -> Reply<'_, u64> {
        Box::pin(async move { Ok(self.0.keep_claims(&self.1.claims(seconds), now()).await?) })
    }

    fn keep_asked<'a>(&'a self, id: &'a str, asked: &'a Asked, until: i64) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.keep_asked(id, &kept::asked_row(asked)?, until).await?) })
    }

    fn asked<'a>(&'a self, id: &'a str) -> Reply<'a, Option<(Asked, i64)>> {
        Box::pin(async move {
            let kept = self.0.asked(id, now()).await?;
            kept.map(|(row, until)| Ok((kept::asked(&row)?, until))).transpose()
        })
    }

    fn forget_asked<'a>(&'a self, id: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.0.forget_asked(id).await?) })
    }

    fn places<'a>(&'a self, target: &'a TargetName, server: &'a str) -> Reply<'a, Placed> {
        Box::pin(async move { kept::placed(&self.0.places(target.as_str(), server).await?) })
    }

    fn keep_places<'a>(
        &'a self,
        target: &'a TargetName,
        server: &'a str,
        placed: &'a Placed,
    ) -> Reply<'a, ()> {
        Box::pin(async move {
            let (columns, found) = kept::place_rows(placed)?;
            Ok(self.0.keep_places(target.as_str(), server, &columns, &found).await?)
        })
    }

    fn requests<'a>(&'a self, all: bool, part: &'a Part) -> Reply<'a, Vec<Request>> {
        Box::pin(async move { Ok(self.0.requests(all, part, now()).await?) })
    }

    fn briefs<'a>(&'a self, part: &'a Part) -> Reply<'a, Vec<Request>> {
        Box::pin(async move { Ok(self.0.briefs(part, now()).await?) })
    }

    fn answered<'a>(&'a self, part: &'a Part) -> Reply<'a, Vec<Request>> {
        Box::pin(async move { Ok(self.0.answered(part, now()).await?) })
    }

    fn requests_of<'a>(&'a self, principal: &'a str, most: usize) -> Reply<'a, Vec<Request>> {
        Box::pin(async move { Ok(self.0.requests_of(principal, most, now()).await?) })
    }

    fn request<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Request>> {
        Box::pin(async move { Ok(self.0.request(id, now()).await?) })
    }

    fn vote<'a>(&'a self, id: &'a str, vote: (&'a Vote, &'a [Backing])) -> Reply<'a, Counted> {
        Box::pin(
            async move { self.0.vote(id, vote, now(), quorum::is_met).await?.ok_or_else(|| missing(id)) },
        )
    }

    fn approvers(&self) -> Reply<'_, Vec<Approver>> {
        Box::pin(async move { Ok(self.0.approvers().await?) })
    }

    fn approver<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Approver>> {
        Box::pin(async move { Ok(self.0.approver(id).await?) })
    }

    fn approver_by_secret<'a>(&'a self, secret: &'a [u8]) -> Reply<'a, Option<Approver>> {
        Box::pin(async move { Ok(self.0.approver_by_secret(secret).await?) })
    }

    fn add_approver<'a>(
        &'a self,
        name: &'a str,
        groups: &'a [String],
        names: &'a [String],
        now: i64,
    ) -> Reply<'a, Option<Zeroizing<String>>> {
        Box::pin(async move { Ok(self.0.add_approver(name, groups, names, now).await?) })
    }

    fn remove_approver<'a>(&'a self, name: &'a str) -> Reply<'a, bool> {
        Box::pin(async move { Ok(self.0.remove_approver(name).await?) })
    }

    fn purge(&self, tokens: i64, requests: i64, now: i64) -> Reply<'_, Purged> {
        Box::pin(async move {
            let store::Purged { tokens, requests, denials } = self.0.purge(tokens, requests, now).await?;
            Ok(Purged { tokens, requests, denials })
        })
    }
}

fn missing(id: &str) -> StateError {
    StateError(format!("there is no request {id}"))
}

fn denial_row(denial: &Denial) -> store::Denial {
    let Denial { id, subject, reason, by, since, until } = denial;
    let (name, issuer) = match subject {
        Subject::Principal(principal) => (principal.to_string(), None),
        Subject::Token(id) => (id.clone(), None),
        Subject::Group { issuer, group } => (group.clone(), issuer.clone()),
        Subject::Issuer(issuer) => (issuer.clone(), None),
        Subject::Sessions(Which::Session(id)) => (id.clone(), None),
        Subject::Sessions(Which::Of(principal)) => (principal.to_string(), None),
        Subject::Sessions(Which::On(target)) => (target.to_string(), None),
        Subject::Frozen { scope, reads: _ } => (scope.to_string(), None),
    };
    store::Denial {
        id: id.clone(),
        kind: subject.kind().to_owned(),
        name,
        issuer,
        reason: reason.clone(),
        by: by.clone(),
        since: *since,
        until: *until,
    }
}

/// One that cannot be read is an error for all: left out, it would allow.
fn denial(row: store::Denial) -> Result<Denial, StateError> {
    let store::Denial { id, kind, name, issuer, reason, by, since, until } = row;
    let principal = |name: &str| parse_principal(name).map_err(|error| StateError(error.to_string()));
    let scope = |name: &str| match (name.split_once(':'), name) {
        (Some(("target", name)), _) => Ok(Scope::Target(TargetName::new(name))),
        (Some(("tag", name)), _) => Ok(Scope::Tag(Tag(name.to_owned()))),
        (_, "all") => Ok(Scope::All),
        (_, other) => Err(StateError(format!("\"{other}\" is nothing that can be frozen"))),
    };
    let subject = match (kind.as_str(), issuer) {
        ("group", issuer) => Subject::Group { issuer, group: name },
        ("principal", _) => Subject::Principal(principal(&name)?),
        ("token", _) => Subject::Token(name),
        ("issuer", _) => Subject::Issuer(name),
        ("session", _) => Subject::Sessions(Which::Session(name)),
        ("sessions-of", _) => Subject::Sessions(Which::Of(principal(&name)?)),
        ("sessions-on", _) => Subject::Sessions(Which::On(TargetName::new(name))),
        ("frozen", _) => Subject::Frozen { scope: scope(&name)?, reads: false },
        ("frozen-wholly", _) => Subject::Frozen { scope: scope(&name)?, reads: true },
        (other, _) => return Err(StateError(format!("a denial of an unknown kind, \"{other}\""))),
    };
    Ok(Denial { id, subject, reason, by, since, until })
}

fn code_row(code: &StoredCode) -> store::Code {
    let StoredCode { id, verifier, principal, groups, target, lifetime, made, expires, used, revoked } = code;
    store::Code {
        id: id.clone(),
        verifier: verifier.to_string(),
        principal: principal.to_string(),
        groups: groups.clone(),
        target: target.0.clone(),
        lifetime: *lifetime,
        made: *made,
        expires: *expires,
        used: *used,
        revoked: *revoked,
    }
}

fn code(row: store::Code) -> Result<StoredCode, StateError> {
    let store::Code { id, verifier, principal, groups, target, lifetime, made, expires, used, revoked } = row;
    Ok(StoredCode {
        verifier: ScramVerifier::parse(&verifier)
            .map_err(|_| StateError(format!("the verifier of code {id} cannot be read")))?,
        id,
        principal: parse_principal(&principal).map_err(|error| StateError(error.to_string()))?,
        groups,
        target: TargetName(target),
        lifetime,
        made,
        expires,
        used,
        revoked,
    })
}

fn token_row(token: &StoredToken) -> store::Token {
    let StoredToken {
        id,
        verifier,
        principal,
        targets,
        parents,
        minted_for,
        resource,
        may_act,
        issued,
        expires,
        revoked,
    } = token;
    store::Token {
        id: id.clone(),
        verifier: verifier.to_string(),
        principal: principal.id.to_string(),
        groups: principal.groups.clone(),
        on_behalf_of: principal.on_behalf_of.iter().map(ToString::to_string).collect(),
        purpose: principal.purpose.clone(),
        asserted: principal.asserted.clone(),
        targets: targets.as_ref().map(|all| all.iter().map(|t| t.0.clone()).collect()),
        parent: parents.first().cloned(),
        actor: parents.get(1).cloned(),
        minted_for: minted_for.clone(),
        resource: resource.clone(),
        may_act: may_act.clone(),
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
        asserted,
        targets,
        parent,
        actor,
        minted_for,
        resource,
        may_act,
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
            asserted,
        },
        targets: targets.map(|all| all.into_iter().map(TargetName).collect()),
        parents: parent.into_iter().chain(actor).collect(),
        minted_for,
        resource,
        may_act,
        issued,
        expires,
        revoked,
    })
}
