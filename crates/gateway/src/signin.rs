//! People on their own machines: a token for who signed in at an issuer, which opens sessions and mints tokens of agents that
//! act for them. Nothing here approves or administers, and no token that comes from here ever does.

use std::net::SocketAddr;

use model::{Principal, PrincipalKind, PrincipalRef};
use policy::identity::{self, LOCAL, Refusal};
use serde::Serialize;

use crate::authorization::REFRESH_PREFIX;
use crate::exchange::{ExchangeError, Minted, Minting, Party};
use crate::gateway::Gateway;
use crate::net::login::TOKEN_PREFIX;
use crate::requests::AdminError;
use crate::sessions::Ended;
use crate::state::StateError;
use crate::tokens::Admitted;

/// The longest name of an agent, in bytes.
const LONGEST_NAME: usize = 100;

/// An issuer at which people sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignIn {
    /// The issuer's name.
    pub name: String,
    /// Its address.
    pub issuer: String,
    /// What the command line is called there.
    pub client_id: String,
    /// What is asked of it.
    pub scopes: String,
    /// Authorities in PEM for its TLS, where they are not the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Whether people may sign in there by a code that they enter on another device.
    pub device: bool,
}

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bearer {
    /// The principal.
    pub principal: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// Whom it acts for, nearest first.
    pub on_behalf_of: Vec<String>,
    /// The token's id.
    pub token: String,
    /// In seconds since 1970.
    pub expires: i64,
}

/// An agent that somebody runs, by a name that it was given here: it acts for them, and has none of their groups. `None` where too
/// many act for each other already.
pub(crate) fn agent_of(somebody: &Principal, name: &str) -> Option<Principal> {
    let agent = Principal {
        id: PrincipalRef { kind: PrincipalKind::Agent, name: format!("{LOCAL}{name}") },
        groups: Vec::new(),
        on_behalf_of: Vec::new(),
        purpose: None,
        asserted: Vec::new(),
    };
    identity::acting(agent, somebody).ok()
}

impl Gateway {
    /// Where people sign in.
    pub fn sign_ins(&self) -> Vec<SignIn> {
        self.issuers().sign_ins()
    }

    /// A token for a person's identity token. It is good for every target that policy permits, as long as a session of theirs
    /// may last.
    ///
    /// # Errors
    /// Why none is made.
    pub(crate) async fn sign_in(&self, token: &str) -> Result<Minted, ExchangeError> {
        let refused = |refusal| ExchangeError::Unproven("the identity token is not valid", refusal);
        let signed_in = self.issuers().identify_at_command_line(token.as_bytes()).await;
        let identity::SignedIn { known, until } = signed_in.map_err(|refusal| refused(Some(refusal)))?;
        self.is_not_denied(&known, "the identity token is not valid")?;
        let identity::Known { principal, id, session_age, may_act, .. } = known;
        if principal.id.kind != PrincipalKind::User || !principal.on_behalf_of.is_empty() {
            return Err(refused(None));
        }
        // Whoever finds it later, in a log or a history, signs nobody in with it.
        if !self.state().spend(&format!("sign-in {id}"), until).await? {
            return Err(refused(Some(Refusal::Replayed)));
        }
        let parents = vec![id.clone()];
        self.mint(Minting {
            principal,
            targets: None,
            seconds: session_age,
            from: &id,
            parents,
            resource: None,
            may_act,
        })
        .await
    }

    /// Whoever a person's agent is, made of their token: its name is said by them, and it has none of their groups.
    ///
    /// # Errors
    /// The token is not a person's own, or the name is none.
    pub(crate) fn local_agent(&self, signed_in: Party, name: &str) -> Result<Party, ExchangeError> {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fine) {
            return Err(ExchangeError::Request("an agent's name has letters, digits, `-`, `_` and `.`"));
        }
        if signed_in.principal.id.kind != PrincipalKind::User {
            return Err(ExchangeError::Request("agents are run by people: the subject is not one"));
        }
        if signed_in.may_act.is_some() {
            return Err(ExchangeError::Unproven(
                "its issuer says who may act for this subject (may_act): bring a token of theirs as actor_token",
                Some(Refusal::Chain),
            ));
        }
        let principal = agent_of(&signed_in.principal, name)
            .ok_or(ExchangeError::Request("the chain of who acts for whom is too long"))?;
        Ok(signed_in.of(principal))
    }

    /// Whose token of the gateway's own this is.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn bearer(&self, token: &str, from: SocketAddr) -> Result<Option<Bearer>, StateError> {
        let Some(admitted) = self.own_token(token, from).await? else { return Ok(None) };
        let mut principal = admitted.principal().clone();
        self.groups().settle(&mut principal);
        Ok(Some(Bearer {
            principal: principal.id.to_string(),
            groups: principal.groups,
            on_behalf_of: principal.on_behalf_of.iter().map(ToString::to_string).collect(),
            token: admitted.token().to_owned(),
            expires: admitted.expires(),
        }))
    }

    /// Takes a token back at its bearer's wish, and those that were minted with it (RFC 7009). One that is none needs nothing.
    ///
    /// # Errors
    /// It cannot be stored or recorded.
    pub async fn give_back(&self, token: &str, from: SocketAddr) -> Result<(), AdminError> {
        if token.starts_with(REFRESH_PREFIX) {
            return self.give_back_refresh(token, from).await;
        }
        let Some(admitted) = self.own_token(token, from).await? else { return Ok(()) };
        let id = admitted.token();
        self.administered(&admitted.principal().id.to_string(), "token given back", id)?;
        self.state().revoke_token(id).await?;
        self.recent().forget();
        self.sessions().end(&Ended::Revoked, |live| live.tokens().any(|token| token == id));
        Ok(())
    }

    /// Whoever guesses waits.
    async fn own_token(&self, token: &str, from: SocketAddr) -> Result<Option<Admitted>, StateError> {
        let is_one = token.starts_with(TOKEN_PREFIX);
        let admitted = if is_one { self.known_tokens().check(token.as_bytes()).await? } else { None };
        if admitted.is_none() {
            tokio::time::sleep(self.failures().penalty(from.ip())).await;
        }
        Ok(admitted)
    }
}
