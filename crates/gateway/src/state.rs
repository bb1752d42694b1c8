//! The gateway's state in its own words: what it asks of whatever keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;

use model::{
    Approver, Backing, Claim, Counted, Denial, Filed, Finish, HoldRule, MayAct, NewRequest, Part, Principal,
    PrincipalRef, Progress, Request, Room, SignOut, Stage, Standing, TakenBack, TargetName, Vote,
};
use wire::postgres::scram::ScramVerifier;
use zeroize::Zeroizing;

use sql::postgres::catalog::Placed;

use crate::configure::Configuration;
pub use bulletin::Bulletin;
pub use drafts::Drafts;
pub use people::People;
pub use standing::Grants;
pub use store::Trouble;
pub use tasks::{Shelf, Tasks};
pub use vouchers::Vouchers;

/// The store cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StateError(
    /// In words for the log.
    pub String,
);

/// A token as it is kept.
#[derive(Debug, Clone)]
pub struct StoredToken {
    /// `dwt_…`.
    pub id: String,
    /// What is kept instead of it.
    pub verifier: ScramVerifier,
    /// Whom it is for.
    pub principal: Principal,
    /// The targets that it is good for; `None` for all.
    pub targets: Option<BTreeSet<TargetName>>,
    /// The tokens that it was minted with, that of whom is acted for first: it is good no longer than they are. Those of
    /// issuers are not kept here and can be denied.
    pub parents: Vec<String>,
    /// Whom it answers to, where it was made of another: see [`Principal::asker`].
    pub minted_for: Option<String>,
    /// The one resource that it is for (RFC 8707), where it is for one alone.
    pub resource: Option<String>,
    /// Who alone may act for the principal, where its issuer says so.
    pub may_act: Option<MayAct>,
    /// In seconds since 1970.
    pub issued: i64,
    /// In seconds since 1970.
    pub expires: i64,
    /// Whether it was.
    pub revoked: bool,
}

/// A break-glass code as it is kept.
#[derive(Debug, Clone)]
pub struct StoredCode {
    /// `dwb_…`.
    pub id: String,
    /// What is kept instead of it.
    pub verifier: ScramVerifier,
    /// Whom it is for.
    pub principal: PrincipalRef,
    /// Their groups.
    pub groups: Vec<String>,
    /// The one target that it opens.
    pub target: TargetName,
    /// How long its session lasts, in seconds.
    pub lifetime: i64,
    /// In seconds since 1970.
    pub made: i64,
    /// Until when it can be used, in seconds since 1970.
    pub expires: i64,
    /// When it was, in seconds since 1970.
    pub used: Option<i64>,
    /// Whether it was.
    pub revoked: bool,
}

impl StoredCode {
    /// Whether it can be used at a moment.
    pub fn is_usable(&self, now: i64) -> bool {
        self.used.is_none() && !self.revoked && now < self.expires
    }
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Tokens that had expired.
    pub tokens: u64,
    /// Requests that were over.
    pub requests: u64,
    /// Denials that had ended.
    pub denials: u64,
}

/// What is configured, as of one moment.
#[derive(Default)]
pub struct Configured {
    /// Grows with each change; 0 where nothing was ever configured.
    pub version: i64,
    /// What is configured, without passwords.
    pub configuration: Configuration,
    /// The targets' passwords, opened.
    pub credentials: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

/// A configuration that was in force.
#[derive(Debug, Clone)]
pub struct Former {
    /// Its version.
    pub version: i64,
    /// Since when, in seconds since 1970.
    pub at: i64,
    /// Who wanted it.
    pub by: String,
    /// Without passwords.
    pub configuration: Configuration,
}

/// Something that was done to the store by a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// Grows.
    pub number: i64,
    /// In a word or two.
    pub what: String,
    /// The rest.
    pub detail: String,
}

/// Keys that are made once.
pub struct Keys {
    /// Makes verifiers for names that do not exist.
    pub verifiers: [u8; 32],
    /// Of masks that are keyed hashes.
    pub masks: [u8; 32],
    /// Of buttons that are shown in Slack.
    pub buttons: [u8; 32],
    /// Of the values' commitments in the journal.
    pub commitments: [u8; 32],
    /// What wraps the keys of sessions' recordings.
    pub recordings: [u8; 32],
    /// Seals what doors give to their clients to bring back.
    pub doors: [u8; 32],
}

/// A token of an issuer's that others were made of, so that whoever uses those asks its issuer about it.
pub struct Asked {
    /// The token.
    pub token: Zeroizing<String>,
    /// Its issuer, by name.
    pub issuer: String,
    /// Who it was.
    pub principal: PrincipalRef,
    /// In which groups.
    pub groups: BTreeSet<String>,
    /// When its issuer is known to have said yes, in seconds since 1970.
    pub good: i64,
}

/// What is on its way from the state.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StateError>> + Send + 'a>>;

/// What the gateway asks of whatever keeps its state. Values, literals and passwords are sealed where they rest.
pub trait Backend: People + Bulletin + Drafts + Vouchers + Grants + Tasks {
    /// The keys, made when they are first asked for.
    fn keys(&self) -> Reply<'_, Keys>;
    /// Writes that it can be written; what is wrong with it, if it cannot.
    fn beat(&self, now: i64) -> Reply<'_, Option<Trouble>>;
    /// What time it is where it is kept, in seconds since 1970; `None` where that is this machine.
    fn time(&self) -> Reply<'_, Option<i64>>;
    /// Whether this is the administrator's secret.
    fn is_administrator<'a>(&'a self, secret: &'a [u8]) -> Reply<'a, bool>;
    /// What is configured.
    fn configured(&self) -> Reply<'_, Configured>;
    /// The version of what is configured, which is cheap to ask for.
    fn version(&self) -> Reply<'_, i64>;
    /// Replaces the configuration of one version, whole or not at all, and says which version it is then; `None` where
    /// another was first. A target without a password keeps the one it has. `by` is who wants it.
    fn replace<'a>(&'a self, was: i64, wanted: &'a Configuration, by: &'a str) -> Reply<'a, Option<i64>>;
    /// What was configured and is, the newest first, as far as it is kept.
    fn former(&self) -> Reply<'_, Vec<Former>>;
    /// What commands did behind a number, in its order.
    fn happened(&self, behind: i64) -> Reply<'_, Vec<Happened>>;
    /// The number of what they did last.
    fn last_happened(&self) -> Reply<'_, i64>;
    /// Whether other gateways change it, too.
    fn is_shared(&self) -> bool;
    /// Resolves when another gateway may have changed something; never where there is none. It may miss a change, so that
    /// whoever waits looks by himself, too. Cancel-safe.
    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// A token by its id.
    fn token<'a>(&'a self, id: &'a str) -> Reply<'a, Option<StoredToken>>;
    /// A part of the tokens, newest first.
    fn tokens<'a>(&'a self, part: &'a Part) -> Reply<'a, Vec<StoredToken>>;
    /// Keeps a new token, unless so many are good already that were made for the same. Whether it is kept.
    fn add_token<'a>(&'a self, token: &'a StoredToken, most: usize) -> Reply<'a, bool>;
    /// Revokes a token; whether there was one.
    fn revoke_token<'a>(&'a self, id: &'a str) -> Reply<'a, bool>;
    /// Which of these tokens are neither revoked nor expired.
    fn good_tokens<'a>(&'a self, ids: &'a BTreeSet<String>, now: i64) -> Reply<'a, BTreeSet<String>>;
    /// The denials that hold at a moment, newest first.
    fn denials(&self, now: i64) -> Reply<'_, Vec<Denial>>;
    /// Keeps a denial.
    fn add_denial<'a>(&'a self, denial: &'a Denial) -> Reply<'a, ()>;
    /// Lifts a denial; whether there was one.
    fn lift_denial<'a>(&'a self, id: &'a str) -> Reply<'a, bool>;
    /// A break-glass code by its id.
    fn code<'a>(&'a self, id: &'a str) -> Reply<'a, Option<StoredCode>>;
    /// All of them, newest first.
    fn codes(&self) -> Reply<'_, Vec<StoredCode>>;
    /// Keeps a new one.
    fn add_code<'a>(&'a self, code: &'a StoredCode) -> Reply<'a, ()>;
    /// Uses one up, once; whether it could be.
    fn use_code<'a>(&'a self, id: &'a str, now: i64) -> Reply<'a, bool>;
    /// Revokes one; whether there was one.
    fn revoke_code<'a>(&'a self, id: &'a str) -> Reply<'a, bool>;
    /// Uses up what may be used once, such as an assertion's `jti`; whether it had not been.
    fn spend<'a>(&'a self, id: &'a str, until: i64) -> Reply<'a, bool>;
    /// Whether it has been.
    fn was_spent<'a>(&'a self, id: &'a str) -> Reply<'a, bool>;
    /// The sign-outs that were kept or changed behind a number, in their order, each with its own.
    fn sign_outs(&self, behind: i64) -> Reply<'_, Vec<(i64, SignOut)>>;
    /// Keeps who signed out and uses up what says so, until a moment at which it is refused anyway: both or neither. Whether it had
    /// not been used.
    fn sign_out<'a>(&'a self, once: (&'a str, i64), outs: &'a [SignOut]) -> Reply<'a, bool>;
    /// Files a request, unless one of the same digest waits or is approved and not used, under rules that ask the same.
    fn file<'a>(&'a self, request: &'a NewRequest, room: &'a Room) -> Reply<'a, Filed>;
    /// What filing says without anything being kept: that the very same was filed before, or too many wait; `None` where it
    /// would be kept, as far as can be said now.
    fn foresee<'a>(&'a self, request: &'a NewRequest, room: &'a Room) -> Reply<'a, Option<Filed>>;
    /// Where a request stands.
    fn standing<'a>(&'a self, id: &'a str) -> Reply<'a, Standing>;
    /// Uses an approval up, once: what it is good for, or `None` where somebody was first.
    fn claim<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Claim>>;
    /// What waits or is approved and not used, with the rules that held it when it was filed.
    fn open_requests(&self) -> Reply<'_, Vec<(String, Vec<HoldRule>)>>;
    /// Ends what waits or is approved and not used, since it is asked for otherwise now; whether it was so.
    fn supersede<'a>(&'a self, id: &'a str, why: &'a str) -> Reply<'a, bool>;
    /// The answers of somebody who answers no more count no more, to what waits or is approved and not used.
    fn disown<'a>(&'a self, voter: &'a str) -> Reply<'a, ()>;
    /// Takes a request back for whoever asked, where it waits or is approved and not used.
    fn withdraw<'a>(&'a self, id: &'a str) -> Reply<'a, TakenBack>;
    /// The same for a session that waits for it no more: `None` where it is open and another waits, of whichever gateway.
    fn leave<'a>(&'a self, id: &'a str, session: &'a str) -> Reply<'a, Option<TakenBack>>;
    /// Takes an approval back that is not used; whether there was one.
    fn rescind<'a>(&'a self, id: &'a str, by: &'a str) -> Reply<'a, bool>;
    /// Notes what became of an approval that was claimed.
    fn finish<'a>(&'a self, id: &'a str, finish: &'a Finish) -> Reply<'a, ()>;
    /// Notes that nobody will say any more what became of claimed approvals; how many there were.
    fn lose_track(&self) -> Reply<'_, u64>;
    /// Notes how far a plan has come, as long as it is on its way: nobody has given it up. Whether it is.
    fn note_plan<'a>(&'a self, id: &'a str, stage: Stage, progress: &'a Progress) -> Reply<'a, bool>;
    /// How far a plan has come, where that was noted.
    fn plan<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Progress>>;
    /// The plans of a principal on a target that are approved and not used, oldest first.
    fn approved_plans<'a>(&'a self, principal: &'a str, target: &'a TargetName) -> Reply<'a, Vec<String>>;
    /// Says that this gateway still carries out what it claimed and will say so again within so many seconds, and that nobody
    /// will say what became of what others claimed who did not say so in time; how many those were.
    fn keep_claims(&self, seconds: i64) -> Reply<'_, u64>;
    /// Keeps a token that its issuer is to be asked about until a moment, or longer where it is kept longer already.
    fn keep_asked<'a>(&'a self, id: &'a str, asked: &'a Asked, until: i64) -> Reply<'a, ()>;
    /// One that is kept now, and until when.
    fn asked<'a>(&'a self, id: &'a str) -> Reply<'a, Option<(Asked, i64)>>;
    /// Forgets one.
    fn forget_asked<'a>(&'a self, id: &'a str) -> Reply<'a, ()>;
    /// Where tagged columns of a target were found on a server.
    fn places<'a>(&'a self, target: &'a TargetName, server: &'a str) -> Reply<'a, Placed>;
    /// Adds where they were found, and forgets those of columns that are not tagged any more.
    fn keep_places<'a>(
        &'a self,
        target: &'a TargetName,
        server: &'a str,
        placed: &'a Placed,
    ) -> Reply<'a, ()>;
    /// A part of the requests, newest first; all, or those that wait. Without values, and with the beginning of their texts.
    fn requests<'a>(&'a self, all: bool, part: &'a Part) -> Reply<'a, Vec<Request>>;
    /// A part of those that wait, newest first, without what they say: who asks, under which rules, and who has answered.
    fn briefs<'a>(&'a self, part: &'a Part) -> Reply<'a, Vec<Request>>;
    /// A part of those that do not wait, newest first, as in other lists.
    fn answered<'a>(&'a self, part: &'a Part) -> Reply<'a, Vec<Request>>;
    /// The newest of what a principal asked, so many at most, likewise.
    fn requests_of<'a>(&'a self, principal: &'a str, most: usize) -> Reply<'a, Vec<Request>>;
    /// One request with its values.
    fn request<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Request>>;
    /// Counts an answer. One no denies; when enough have said yes, policy says (`policy::quorum`).
    fn vote<'a>(&'a self, id: &'a str, vote: (&'a Vote, &'a [Backing])) -> Reply<'a, Counted>;
    /// Everybody who may answer beside the administrator, by name.
    fn approvers(&self) -> Reply<'_, Vec<Approver>>;
    /// The approver of an id, if they still are one.
    fn approver<'a>(&'a self, id: &'a str) -> Reply<'a, Option<Approver>>;
    /// Whose secret this is.
    fn approver_by_secret<'a>(&'a self, secret: &'a [u8]) -> Reply<'a, Option<Approver>>;
    /// Adds an approver and makes their secret; `None` where there is one of this name.
    fn add_approver<'a>(
        &'a self,
        name: &'a str,
        groups: &'a [String],
        names: &'a [String],
        now: i64,
    ) -> Reply<'a, Option<Zeroizing<String>>>;
    /// Removes an approver, and their answers to what still waits; whether there was one.
    fn remove_approver<'a>(&'a self, name: &'a str) -> Reply<'a, bool>;
    /// Forgets tokens that expired and denials that ended before one moment, and requests that are over and were filed before another.
    fn purge(&self, tokens: i64, requests: i64, now: i64) -> Reply<'_, Purged>;
}

/// The gateway's state, shared by all that need it.
#[derive(Clone)]
pub struct State(Arc<dyn Backend>);

impl State {
    /// Over whatever keeps it.
    pub fn new(backend: impl Backend + 'static) -> Self {
        Self(Arc::new(backend))
    }
}

impl std::ops::Deref for State {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

mod bulletin;
mod drafts;
mod people;
mod standing;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod vouchers;
