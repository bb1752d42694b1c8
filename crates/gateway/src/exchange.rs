//! Short tokens of the gateway's own, for those who prove who they are with another: RFC 8693 (token exchange) and RFC 7523
//! (a client's own key). What is asked here opens nothing by itself, and nothing of it administers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use journal::record;
use model::{MayAct, Principal, PrincipalKind, TargetName};
use policy::identity::{self, Refusal, Unproven};
use policy::{Context, Identity};
use wire::postgres::scram::ScramVerifier;
use zeroize::Zeroizing;

use hashbrown::HashMap;

use crate::audit::JournalDown;
use crate::gateway::{Gateway, now};
use crate::net::login::TOKEN_PREFIX;
use crate::state::{StateError, StoredToken};
use crate::tokens::{Admitted, ITERATIONS, MOST_ANCESTORS, new_token};

/// A token lives so long where nobody says how long, in seconds.
const USUAL_LIFE: i64 = 3600;
/// So many targets one token is for.
const MOST_TARGETS: usize = 64;
/// So many may be made for one subject at once.
const AT_ONCE: f64 = 300.0;
/// And so many a second from then on.
const A_SECOND: f64 = 1.0;
/// So many subjects are counted before those are forgotten that asked for none lately.
const MOST_COUNTED: usize = 10_000;
/// The longest purpose, in bytes.
const LONGEST_PURPOSE: usize = 500;

/// How whoever asks proves who they are.
pub enum Proof {
    /// With a token of an issuer's or of the gateway's own, and perhaps another of who acts for its bearer.
    Tokens {
        /// Whose rights are asked for.
        subject: Zeroizing<String>,
        /// Who acts for them.
        actor: Option<Zeroizing<String>>,
        /// The name of an agent that the subject runs, where there is no other.
        agent: Option<String>,
    },
    /// With an identity token of somebody who signed in: a token to keep.
    SignIn {
        /// The identity token.
        identity: Zeroizing<String>,
    },
    /// With an assertion that a client signed.
    Assertion {
        /// The assertion.
        assertion: Zeroizing<String>,
        /// Who it is by, where that is said beside it (`client_id`).
        client: Option<String>,
        /// The names of the gateway that it may be for.
        audiences: BTreeSet<String>,
    },
}

/// How many tokens were made lately, for whom.
#[derive(Default)]
pub(crate) struct Mints(Mutex<HashMap<String, (Instant, f64)>>);

impl Mints {
    /// Whether one more may be made, which then is counted.
    fn may(&self, whose: &str, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |(since, left): &(Instant, f64)| {
            (left + now.saturating_duration_since(*since).as_secs_f64() * A_SECOND).min(AT_ONCE)
        };
        if all.len() >= MOST_COUNTED && !all.contains_key(whose) {
            all.retain(|_, counted| left(counted) < AT_ONCE);
            if all.len() >= MOST_COUNTED {
                return false;
            }
        }
        let there = all.get(whose).map_or(AT_ONCE, left);
        let may = there >= 1.0;
        all.insert(whose.to_owned(), (now, if may { there - 1.0 } else { there }));
        may
    }
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// For which targets.
    pub targets: BTreeSet<String>,
    /// What for.
    pub purpose: Option<String>,
    /// For how long, in seconds.
    pub seconds: Option<i64>,
}

/// A token that is to be made.
pub(crate) struct Minting<'a> {
    pub(crate) principal: Principal,
    pub(crate) targets: Option<BTreeSet<TargetName>>,
    pub(crate) seconds: i64,
    /// In records, what it is made of.
    pub(crate) from: &'a str,
    /// It ends when one of these is revoked.
    pub(crate) parents: Vec<String>,
    /// Where alone it is good.
    pub(crate) resource: Option<String>,
    /// Who alone may act for the principal, where its issuer says so.
    pub(crate) may_act: Option<MayAct>,
}

/// A token that was made.
pub struct Minted {
    /// The token. It is shown this once.
    pub token: Zeroizing<String>,
    /// Its id.
    pub id: String,
    /// Until when it is good, in seconds since 1970.
    pub expires: i64,
    /// How long that is, in seconds.
    pub seconds: i64,
    /// What it is for, where that was said.
    pub purpose: Option<String>,
}

/// Why no token is made.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// What was brought proves nothing. Whoever asks hears no more than that.
    #[error("{0}")]
    Unproven(&'static str, #[source] Option<Refusal>),
    /// A target does not exist, or policy would not let the principal connect to it: which of the two is not said.
    #[error("no token for this target")]
    Target,
    /// What it would be for is not what the tokens are for that were brought.
    #[error("a token that is made of another is for the same purpose")]
    Purpose,
    /// There are too many already, of whoever they answer to.
    #[error("no more tokens are made for this subject: {0}")]
    TooMany(&'static str),
    /// What is asked for is not possible.
    #[error("{0}")]
    Request(&'static str),
    /// The store cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// What cannot be recorded is not done.
    #[error(transparent)]
    Journal(#[from] JournalDown),
    /// No randomness.
    #[error("the system gives no randomness")]
    Randomness,
}

impl ExchangeError {
    /// Whether nothing is said against what was brought: its issuer could not be asked.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Unproven(_, Some(refusal)) if refusal.is_unanswered())
    }
}

/// Somebody who was proven, and the bounds of what can be made of that.
pub(crate) struct Party {
    pub(crate) principal: Principal,
    /// In records, the token's id.
    from: String,
    /// The tokens that it rests on: what is made of them ends when one of them is revoked.
    tokens: Vec<String>,
    /// These, and those that they rest on.
    ancestors: BTreeSet<String>,
    life: i64,
    targets: Option<BTreeSet<TargetName>>,
    /// What the tokens are for that were made for something.
    purposes: BTreeSet<String>,
    pub(crate) may_act: Option<MayAct>,
}

impl Party {
    /// Somebody who came with what is none of the gateway's own.
    fn by_itself(principal: Principal, id: String, life: i64, may_act: Option<MayAct>) -> Self {
        let (targets, purposes, tokens) = (None, BTreeSet::new(), vec![id.clone()]);
        let ancestors = BTreeSet::from([id.clone()]);
        Self { principal, from: id, tokens, ancestors, life, targets, purposes, may_act }
    }

    /// Somebody else, within the same bounds.
    pub(crate) fn of(self, principal: Principal) -> Self {
        Self { principal, ..self }
    }
}

impl Gateway {
    /// Makes a token of the gateway's own.
    ///
    /// # Errors
    /// Why none is made; it is in the journal.
    pub async fn exchange(
        &self,
        proof: &Proof,
        wanted: &Wanted,
        from: SocketAddr,
    ) -> Result<Minted, ExchangeError> {
        let minted = self.exchange_unseen(proof, wanted, from).await;
        if let Err(error) = &minted {
            let reason = match error {
                ExchangeError::Unproven(_, Some(refusal)) => refusal.code(),
                ExchangeError::Unproven(_, None) => "token",
                ExchangeError::Target => "target",
                ExchangeError::Purpose => "purpose",
                ExchangeError::TooMany(_) => "too many",
                ExchangeError::Request(_) => return minted,
                ExchangeError::State(_) | ExchangeError::Journal(_) | ExchangeError::Randomness => {
                    tracing::error!("no token is made: {error}");
                    return minted;
                }
            };
            self.metrics().logins_refused.inc();
            if self.refusals().is_written(from.ip()) {
                self.note(&record::Body::LoginRefused {
                    address: from.to_string(),
                    target: None,
                    reason: format!("exchange: {reason}"),
                })?;
            }
            if !error.is_unanswered() {
                tokio::time::sleep(self.failures().penalty(from.ip())).await;
            }
        } else {
            self.failures().forgive(from.ip());
        }
        minted
    }

    async fn exchange_unseen(
        &self,
        proof: &Proof,
        wanted: &Wanted,
        from: SocketAddr,
    ) -> Result<Minted, ExchangeError> {
        check(wanted, proof)?;
        let party = match proof {
            Proof::SignIn { identity } => return self.sign_in(identity).await,
            Proof::Tokens { subject, actor: None, agent: None } => {
                self.party(subject, "the subject token is not valid").await?
            }
            Proof::Tokens { subject, actor: None, agent: Some(agent) } => {
                let subject = self.party(subject, "the subject token is not valid").await?;
                self.local_agent(subject, agent)?
            }
            Proof::Tokens { actor: Some(_), agent: Some(_), .. } => {
                return Err(ExchangeError::Request(
                    "an actor brings a token or is an agent of the subject's: not both",
                ));
            }
            Proof::Tokens { subject, actor: Some(actor), agent: None } => {
                let subject = self.party(subject, "the subject token is not valid").await?;
                let actor = self.party(actor, "the actor token is not valid").await?;
                self.acting(subject, actor)?
            }
            Proof::Assertion { assertion, client, audiences } => {
                self.client(assertion, client.as_deref(), audiences).await?
            }
        };
        let named: BTreeSet<TargetName> = wanted.targets.iter().map(TargetName::new).collect();
        if party.ancestors.len() > MOST_ANCESTORS {
            return Err(ExchangeError::Request(
                "too many exchanges stand behind this token: begin again with one that is nearer to a sign-in",
            ));
        }
        let mut principal = party.principal;
        principal.purpose = purpose(party.purposes, wanted.purpose.clone())?;
        let context = Context {
            now: now(),
            address: from.ip(),
            application: "token exchange".into(),
            in_transaction: false,
            // Whether the session will be encrypted is asked when it is opened.
            encrypted: true,
            read_instructions: false,
        };
        for target in &named {
            let within = party.targets.as_ref().is_none_or(|all| all.contains(target));
            // What is kept of the token is without the gateway's own groups: they are those of each login.
            let mut in_groups = principal.clone();
            self.groups().settle(&mut in_groups);
            let identity = Identity::verified(in_groups);
            if !within || self.authorize(identity, target, &context).is_err() {
                return Err(ExchangeError::Target);
            }
        }
        let seconds = wanted.seconds.unwrap_or(USUAL_LIFE).min(party.life);
        if seconds <= 0 {
            return Err(ExchangeError::Unproven("the subject token is not valid", Some(Refusal::Expired)));
        }
        let targets = if named.is_empty() { party.targets } else { Some(named) };
        let Party { from, tokens: parents, may_act, .. } = party;
        self.mint(Minting { principal, targets, seconds, from: &from, parents, resource: None, may_act })
            .await
    }

    /// Makes and keeps a token. It is in the journal before it exists.
    pub(crate) async fn mint(&self, new: Minting<'_>) -> Result<Minted, ExchangeError> {
        let Minting { principal, targets, seconds, from, parents, resource, may_act } = new;
        let whose = principal.asker().to_string();
        if !self.minting.may(&whose, Instant::now()) {
            return Err(ExchangeError::TooMany("too many were made lately: wait a minute"));
        }
        let (id, token) = new_token().ok_or(ExchangeError::Randomness)?;
        let mut salt = [0; 16];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| ExchangeError::Randomness)?;
        let issued = now();
        let expires = issued.saturating_add(seconds);
        self.note(&record::Body::Issued {
            token: id.clone(),
            principal: principal.id.to_string(),
            groups: principal.groups.clone(),
            on_behalf_of: principal.on_behalf_of.iter().map(ToString::to_string).collect(),
            asserted: principal.asserted.iter().map(crate::audit::word).collect(),
            purpose: principal.purpose.clone(),
            targets: targets.iter().flatten().map(ToString::to_string).collect(),
            expires,
            from: from.to_owned(),
        })?;
        let purpose = principal.purpose.clone();
        let stored = StoredToken {
            id: id.clone(),
            verifier: ScramVerifier::new(token.as_bytes(), &salt, ITERATIONS),
            principal,
            targets,
            parents,
            minted_for: Some(whose),
            resource,
            may_act,
            issued,
            expires,
            revoked: false,
        };
        if !self.state().add_token(&stored, self.limits().tokens_of_one).await? {
            return Err(ExchangeError::TooMany(
                "too many are good at a time: give some back, or ask for shorter ones",
            ));
        }
        Ok(Minted { token, id, expires, seconds, purpose })
    }

    /// Whoever a token is. What is made of a token of the gateway's own is never more than that.
    async fn party(&self, token: &str, what: &'static str) -> Result<Party, ExchangeError> {
        let entrance = self.authenticator();
        if token.starts_with(TOKEN_PREFIX) {
            let admitted = entrance.tokens.check(token.as_bytes()).await?;
            // One for a single resource is good there, and nothing is made of it.
            let admitted = admitted.filter(|admitted| admitted.resource().is_none());
            let denied = |admitted: &Admitted| self.denials().of_admitted(admitted, &self.groups(), now());
            let admitted = admitted.filter(|admitted| denied(admitted).is_none());
            let admitted = admitted.ok_or(ExchangeError::Unproven(what, None))?;
            if !entrance.issuers.vouch_for(admitted.principal()) {
                return Err(ExchangeError::Unproven(what, Some(Refusal::Issuer)));
            }
            return Ok(Party {
                principal: admitted.principal().clone(),
                from: admitted.token().to_owned(),
                tokens: vec![admitted.token().to_owned()],
                ancestors: admitted.lineage().iter().cloned().chain([admitted.token().to_owned()]).collect(),
                life: admitted.expires().saturating_sub(now()),
                targets: admitted.targets().cloned(),
                purposes: admitted.principal().purpose.iter().cloned().collect(),
                may_act: admitted.may_act().cloned(),
            });
        }
        let known = entrance.issuers.identify(token.as_bytes()).await;
        let known = known.map_err(|refusal| ExchangeError::Unproven(what, Some(refusal)))?;
        self.is_not_denied(&known, what)?;
        if entrance.issuers.asks_about(&known) {
            self.keep_asked(&known, token).await?;
        }
        let identity::Known { principal, id, exchange_life, may_act, expires: _, session_age: _ } = known;
        Ok(Party::by_itself(principal, id, exchange_life, may_act))
    }

    /// Of what is denied nothing is made: it would be good when that is lifted, and takes the room of others.
    pub(crate) fn is_not_denied(
        &self,
        known: &identity::Known,
        what: &'static str,
    ) -> Result<(), ExchangeError> {
        match self.denials().of_token(&known.id, &known.principal, &self.groups(), now()) {
            Some(_) => Err(ExchangeError::Unproven(what, None)),
            None => Ok(()),
        }
    }

    /// An agent that acts for somebody: within the bounds of both.
    fn acting(&self, subject: Party, actor: Party) -> Result<Party, ExchangeError> {
        let refused =
            || ExchangeError::Unproven("the actor may not act for this subject", Some(Refusal::Chain));
        if actor.principal.id.kind != PrincipalKind::Agent {
            return Err(refused());
        }
        if let Some(may_act) = &subject.may_act {
            // An agent that acts for somebody itself is not the one that its token's `sub` names.
            if !actor.principal.on_behalf_of.is_empty() {
                return Err(refused());
            }
            let issuers = self.issuers();
            let word = actor.principal.asserted.first().ok_or_else(refused)?;
            let same_issuer =
                may_act.issuer.as_deref().is_none_or(|url| issuers.url_of(&word.issuer) == Some(url));
            let own_issuer = may_act.issuer.is_some()
                || subject.principal.asserted.first().map(|w| &w.issuer) == Some(&word.issuer);
            if word.subject != may_act.subject || !same_issuer || !own_issuer {
                return Err(refused());
            }
        }
        let principal = identity::acting(actor.principal, &subject.principal).map_err(|_| refused())?;
        let targets = match (subject.targets, actor.targets) {
            (Some(a), Some(b)) => Some(a.intersection(&b).cloned().collect()),
            (one, other) => one.or(other),
        };
        Ok(Party {
            principal,
            from: format!("{} for {}", actor.from, subject.from),
            tokens: subject.tokens.into_iter().chain(actor.tokens).collect(),
            ancestors: subject.ancestors.into_iter().chain(actor.ancestors).collect(),
            life: subject.life.min(actor.life),
            targets,
            purposes: subject.purposes.into_iter().chain(actor.purposes).collect(),
            // Whoever acts for the actor is what the actor's issuer speaks of.
            may_act: actor.may_act,
        })
    }

    /// A client with a key of its own. Its assertion is used up, whatever comes of it.
    async fn client(
        &self,
        assertion: &str,
        named: Option<&str>,
        audiences: &BTreeSet<String>,
    ) -> Result<Party, ExchangeError> {
        let refused = |refusal| ExchangeError::Unproven("the client assertion is not valid", Some(refusal));
        let unproven = Unproven::read_assertion(assertion.as_bytes()).map_err(refused)?;
        let issuers = self.issuers();
        let name = unproven.issuer().unwrap_or_default();
        // RFC 7521 §4.2: both are the same client.
        if named.is_some_and(|named| named != name) {
            return Err(refused(Refusal::Issuer));
        }
        let client = issuers.client(name).ok_or_else(|| refused(Refusal::Issuer))?;
        let (known, once) = client.identify(unproven, audiences, now()).map_err(refused)?;
        // Whether one of before a restore was used is not known.
        if self.denials().is_before_restore(once.made) || !self.state().spend(&once.id, once.until).await? {
            return Err(refused(Refusal::Replayed));
        }
        self.is_not_denied(&known, "the client assertion is not valid")?;
        let identity::Known { principal, id, exchange_life, expires: _, session_age: _, may_act: _ } = known;
        Ok(Party::by_itself(principal, id, exchange_life, None))
    }
}

/// What a token is for: what those are for that it is made of, or what is asked for where they are for nothing in particular.
fn purpose(bound: BTreeSet<String>, wanted: Option<String>) -> Result<Option<String>, ExchangeError> {
    let mut all: BTreeSet<String> = bound;
    all.extend(wanted);
    let one = all.pop_first();
    if all.is_empty() { Ok(one) } else { Err(ExchangeError::Purpose) }
}

fn check(wanted: &Wanted, proof: &Proof) -> Result<(), ExchangeError> {
    let Wanted { targets, purpose, seconds } = wanted;
    let may_have_none = matches!(proof, Proof::SignIn { .. } | Proof::Tokens { agent: Some(_), .. });
    if targets.is_empty() && !may_have_none {
        return Err(ExchangeError::Request("name the targets that the token is for: audience=NAME"));
    }
    if targets.len() > MOST_TARGETS {
        return Err(ExchangeError::Request("that is too many targets for one token"));
    }
    if purpose
        .as_ref()
        .is_some_and(|p| p.is_empty() || p.len() > LONGEST_PURPOSE || p.chars().any(char::is_control))
    {
        return Err(ExchangeError::Request(
            "the purpose is empty, too long, or has control characters in it",
        ));
    }
    if seconds.is_some_and(|s| s <= 0) {
        return Err(ExchangeError::Request("a token lives for at least a second"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::purpose;

    #[test]
    fn a_token_is_for_what_those_are_for_that_it_is_made_of() {
        for (bound, wanted, made) in [
            (&[][..], None, Some(None)),
            (&[], Some("report"), Some(Some("report"))),
            (&["report"], None, Some(Some("report"))),
            (&["report"], Some("report"), Some(Some("report"))),
            (&["report"], Some("incident"), None),
            (&["report", "incident"], None, None),
            (&["report", "incident"], Some("report"), None),
        ] {
            let bound = bound.iter().map(ToString::to_string).collect();
            let made = made.map(|made| made.map(str::to_owned));
            assert_eq!(purpose(bound, wanted.map(str::to_owned)).ok(), made);
        }
    }
}
