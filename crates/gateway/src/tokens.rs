//! Tokens: who a client is. Only verifiers are kept; a token is shown once, when it is issued.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::{hmac, rand};
use hashbrown::HashMap;
use model::{Principal, TargetName};
use policy::Identity;
use wire::postgres::scram::ScramVerifier;

use crate::audit::hex;
use crate::gateway::now;
use crate::net::login::{Authenticator, TOKEN_PREFIX};
use crate::state::{State, StateError, StoredToken};

/// Rounds of PBKDF2 for a token. It has 192 bits of chance, so that rounds protect nothing; SCRAM asks for this many.
pub(crate) const ITERATIONS: u32 = 4096;
/// So many tokens that were checked lately are known by a keyed digest, to save their rounds.
const REMEMBERED: usize = 10_000;

/// A client whose token was checked.
#[derive(Debug, Clone)]
pub struct Admitted {
    principal: Principal,
    token: String,
    targets: Option<BTreeSet<TargetName>>,
    expires: i64,
}

impl Admitted {
    /// What the policy is asked about.
    pub fn identity(&self) -> Identity {
        Identity::verified(self.principal.clone())
    }

    /// Who.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The token's id.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// When the token expires, in seconds since 1970. The gateway ends its sessions then.
    pub fn expires(&self) -> i64 {
        self.expires
    }

    /// Whether the token is for a target.
    pub fn is_for(&self, target: &TargetName) -> bool {
        self.targets.as_ref().is_none_or(|targets| targets.contains(target))
    }
}

impl From<StoredToken> for Admitted {
    fn from(stored: StoredToken) -> Self {
        let StoredToken { id, principal, targets, expires, verifier: _, issued: _, revoked: _ } = stored;
        Self { principal, token: id, targets, expires }
    }
}

/// Checks tokens.
pub struct Tokens {
    state: State,
    /// Makes verifiers for names that do not exist, the same each time.
    nobody: hmac::Key,
    /// Keyed digests of tokens that were right, with their verifiers: a changed verifier is another entry.
    checked: Mutex<HashMap<[u8; 32], ()>>,
}

impl Tokens {
    pub(crate) fn new(state: State, nobody: [u8; 32]) -> Self {
        Self { state, nobody: hmac::Key::new(hmac::HMAC_SHA256, &nobody), checked: Mutex::default() }
    }

    /// Which of these tokens are no longer good: revoked, expired or gone.
    pub(crate) async fn ended(&self, tokens: &BTreeSet<String>) -> Result<BTreeSet<String>, StateError> {
        let good = self.state.good_tokens(tokens, now()).await?;
        Ok(tokens.difference(&good).cloned().collect())
    }

    /// The stored token of an id that can be used now.
    async fn usable(&self, id: &str) -> Option<StoredToken> {
        match self.state.token(id).await {
            Ok(found) => found.filter(|t| !t.revoked && t.expires > now()),
            Err(error) => {
                tracing::error!("a token cannot be looked up: {error}");
                None
            }
        }
    }

    /// Whether a password is the verifier's. The rounds of a token that was right lately are saved.
    fn is_right(&self, verifier: &ScramVerifier, password: &[u8]) -> bool {
        let mut context = hmac::Context::with_key(&self.nobody);
        context.update(b"checked");
        context.update(&verifier.stored_key);
        context.update(password);
        let mut mark = [0; 32];
        mark.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        let known = |checked: &HashMap<[u8; 32], ()>| checked.contains_key(&mark);
        if known(&self.checked.lock().unwrap_or_else(PoisonError::into_inner)) {
            return true;
        }
        let right = verifier.matches(password);
        if right {
            let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
            if checked.len() >= REMEMBERED {
                checked.clear();
            }
            checked.insert(mark, ());
        }
        right
    }

    /// A verifier that nobody can meet, and that looks the same each time it is asked for.
    fn nobodys(&self, name: &str) -> ScramVerifier {
        let mac = |what: &[u8]| {
            let mut context = hmac::Context::with_key(&self.nobody);
            context.update(what);
            context.update(name.as_bytes());
            context.sign()
        };
        let key = |what: &[u8]| {
            let mut key = [0; 32];
            key.iter_mut().zip(mac(what).as_ref()).for_each(|(to, from)| *to = *from);
            key
        };
        ScramVerifier {
            salt: mac(b"salt").as_ref().get(..16).unwrap_or_default().to_vec(),
            iterations: ITERATIONS,
            stored_key: key(b"stored"),
            server_key: key(b"server"),
        }
    }
}

impl Authenticator for Tokens {
    type Proof = Admitted;

    async fn check(&self, password: &[u8]) -> Option<Admitted> {
        let id = id_of(password)?;
        let stored = self.usable(&id).await?;
        self.is_right(&stored.verifier, password).then(|| stored.into())
    }

    async fn verifier(&self, user: &str) -> (ScramVerifier, Option<Admitted>) {
        match self.usable(user).await {
            Some(stored) => (stored.verifier.clone(), Some(stored.into())),
            None => (self.nobodys(user), None),
        }
    }
}

/// The id in a token: `dwt_<id>_<secret>` has `dwt_<id>`.
fn id_of(token: &[u8]) -> Option<String> {
    let token = std::str::from_utf8(token).ok()?;
    let (id, _) = token.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
    Some(format!("{TOKEN_PREFIX}{id}"))
}

/// A new token and its id. `None` without randomness.
pub(crate) fn new_token() -> Option<(String, zeroize::Zeroizing<String>)> {
    let mut bytes = [0; 30];
    rand::fill(&mut bytes).ok()?;
    let (id, secret) = bytes.split_at_checked(6)?;
    let id = format!("{TOKEN_PREFIX}{}", hex(id));
    let token = zeroize::Zeroizing::new(format!("{id}_{}", hex(secret)));
    Some((id, token))
}
