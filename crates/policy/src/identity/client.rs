//! Workloads without an issuer: each proves by a key of its own who it is (`private_key_jwt`, RFC 7523 §3).

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::digest;
use model::{Asserted, Principal, PrincipalKind, PrincipalRef};
use serde::{Deserialize, Serialize};

use super::issuer::{algorithms_of, long, within};
use super::keys::{Algorithm, Keys};
use super::refusal::Refusal;
use super::token::Unproven;
use super::{Issuers, Known, names};

/// An assertion may be good for so long, in seconds: it is made for one question.
const LONGEST_LIFE: i64 = 600;
/// What clocks may differ by, in seconds.
const LEEWAY: i64 = 60;
/// The longest `jti`, in bytes.
const LONGEST_ID: usize = 255;

/// What is typed of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// The agent's name, and the assertions' `iss` and `sub`.
    pub name: String,
    /// Its public keys as JSON.
    pub jwks: String,
    /// The algorithms it signs with; `ES256` and `EdDSA` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithms: Option<BTreeSet<String>>,
    /// Its groups.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// A session of it lasts so long at most, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_session: Option<u32>,
    /// A token that it gets lives so long at most, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange_life: Option<u32>,
}

/// A client that proves itself with a key.
#[derive(Debug, Clone)]
pub struct Client {
    name: String,
    keys: Keys,
    algorithms: Vec<Algorithm>,
    groups: Vec<String>,
    agent_session: i64,
    exchange_life: i64,
}

/// What may be used once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Names it.
    pub id: String,
    /// From when on it is refused anyway, in seconds since 1970.
    pub until: i64,
    /// It was made then or later, in seconds since 1970.
    pub made: i64,
}

/// Every client.
#[derive(Debug, Clone, Default)]
pub struct Clients(Vec<Arc<Client>>);

impl Clients {
    /// From what was typed. No issuer may give a name of theirs.
    ///
    /// # Errors
    /// Which client, and what is wrong with it.
    pub fn new(typed: &[ClientConfig], issuers: &Issuers) -> Result<Self, (String, String)> {
        let mut all: Vec<Arc<Client>> = Vec::new();
        for config in typed {
            let failed = |what: String| (config.name.clone(), what);
            let client = Client::new(config).map_err(failed)?;
            if all.iter().any(|other| other.name == client.name) {
                return Err(failed("there are two of this name".to_owned()));
            }
            if let Some(issuer) = issuers.iter().find(|issuer| client.name.starts_with(&issuer.prefix)) {
                return Err(failed(format!(
                    "the issuer \"{}\" gives names that begin so: give it a `prefix`",
                    issuer.name()
                )));
            }
            all.push(Arc::new(client));
        }
        Ok(Self(all))
    }

    /// The client of a name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Client>> {
        self.0.iter().find(|client| client.name == name)
    }
}

impl Client {
    fn new(typed: &ClientConfig) -> Result<Self, String> {
        let ClientConfig { name, jwks, algorithms, groups, agent_session, exchange_life } = typed;
        names::check_word(name)?;
        let named: Vec<&str> = match algorithms {
            Some(typed) => typed.iter().map(String::as_str).collect(),
            None => vec!["ES256", "EdDSA"],
        };
        if groups.iter().any(|group| !names::is_group(group)) {
            return Err("a group is empty or too long".to_owned());
        }
        if let Some(group) = groups.iter().find(|group| super::is_local(group)) {
            return Err(format!(
                "who is in \"{group}\" is said in [[groups]]: add \"agent:{name}\" to its members"
            ));
        }
        Ok(Self {
            name: name.clone(),
            keys: Keys::parse(jwks.as_bytes()).map_err(|error| format!("its jwks: {error}"))?,
            algorithms: algorithms_of(&named)?,
            groups: groups.iter().cloned().collect(),
            agent_session: long(*agent_session, super::issuer::AGENT_SESSION, "agent_session")?,
            exchange_life: within(*exchange_life, super::issuer::EXCHANGE_LIFE, "exchange_life")?,
        })
    }

    /// How the client stands in [`Asserted`]: no issuer's name has such a sign in it.
    pub fn word(name: &str) -> String {
        format!("client:{name}")
    }

    /// How long a session of it may last, in seconds.
    pub fn session_age(&self) -> i64 {
        self.agent_session
    }

    /// Who an assertion is by, and what makes it good for one question alone. `audiences` are the gateway's own names.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn identify(
        &self,
        assertion: Unproven<'_>,
        audiences: &BTreeSet<String>,
        now: i64,
    ) -> Result<(Known, Once), Refusal> {
        let proven = assertion.verify(&self.keys, &self.algorithms)?;
        let claims = proven.claims();
        if claims.text("iss") != Some(&self.name) || claims.text("sub") != Some(&self.name) {
            return Err(Refusal::Issuer);
        }
        let heard = claims.texts("aud").ok_or(Refusal::Claims)?;
        // One that is for others as well could be brought here by them.
        if heard.is_empty() || !heard.iter().all(|audience| audiences.contains(*audience)) {
            return Err(Refusal::Audience);
        }
        let moment = |name: &str| claims.moment(name).map_err(|_| Refusal::Claims);
        let expires = moment("exp")?.ok_or(Refusal::Claims)?;
        if expires.saturating_add(LEEWAY) <= now {
            return Err(Refusal::Expired);
        }
        if expires.saturating_sub(now) > LONGEST_LIFE.saturating_add(LEEWAY) {
            return Err(Refusal::TooOld);
        }
        if [moment("nbf")?, moment("iat")?].iter().flatten().any(|begins| begins.saturating_sub(LEEWAY) > now)
        {
            return Err(Refusal::NotYet);
        }
        let id = claims
            .text("jti")
            .filter(|id| !id.is_empty() && id.len() <= LONGEST_ID)
            .ok_or(Refusal::Claims)?;
        let digest = digest::digest(&digest::SHA256, format!("{}\0{id}", self.name).as_bytes());
        let digits: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let once = Once {
            id: format!("jti_{digits}"),
            until: expires.saturating_add(LEEWAY),
            made: moment("iat")?.unwrap_or(expires.saturating_sub(LONGEST_LIFE)),
        };
        let word = Asserted {
            issuer: Self::word(&self.name),
            subject: self.name.clone(),
            at: now,
            session: None,
            groups: self.groups.clone(),
        };
        let principal = Principal {
            id: PrincipalRef { kind: PrincipalKind::Agent, name: self.name.clone() },
            groups: self.groups.clone(),
            on_behalf_of: Vec::new(),
            purpose: None,
            asserted: vec![word],
        };
        let known = Known {
            principal,
            id: proven.id().to_owned(),
            expires,
            session_age: self.agent_session,
            exchange_life: self.exchange_life,
            may_act: None,
        };
        Ok((known, once))
    }
}
