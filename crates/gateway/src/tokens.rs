//! Tokens: who a client is. Only verifiers are kept; a token is shown once, when it is issued.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use hashbrown::HashMap;
use model::{MayAct, Principal, Request, TargetName};
use policy::Identity;
use policy::identity::{Groups, Known};
use tokio::time::timeout;
use wire::postgres::scram::ScramVerifier;

use crate::audit::hex;
use crate::break_glass::CODE_PREFIX;
use crate::gateway::now;
use crate::introspection::Watched;
use crate::issuers::{Issuers, is_signed};
use crate::net::login::{Authenticator, Discovery, Refused, TOKEN_PREFIX};
use crate::state::{State, StateError, StoredToken};

/// Rounds of PBKDF2 for a token. It has 192 bits of chance, so that rounds protect nothing; SCRAM asks for this many.
pub(crate) const ITERATIONS: u32 = 4096;
/// So many tokens that were checked lately are known by a keyed digest, to save their rounds.
const REMEMBERED: usize = 10_000;

/// The store may take so long to say whose a token is. A login takes longer, so that it hears of this.
const PATIENCE: Duration = Duration::from_secs(5);

/// A token is minted with one or two others, and those with others, and so many there are of them at most.
pub(crate) const MOST_ANCESTORS: usize = 16;

/// A client whose token was checked.
#[derive(Debug, Clone)]
pub struct Admitted {
    principal: Principal,
    token: String,
    /// Those that it was minted with, nearest first.
    lineage: Vec<String>,
    targets: Option<BTreeSet<TargetName>>,
    expires: i64,
    session_age: i64,
    code: Option<Code>,
    /// The one resource that the token is for, where it is for one alone.
    resource: Option<String>,
    may_act: Option<MayAct>,
}

/// What became of the break-glass code that somebody came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Right,
    UsedUp,
}

impl Admitted {
    /// Whoever has a right break-glass code. It lets nobody in before it is used up.
    pub(crate) fn emergency(
        principal: Principal,
        code: String,
        targets: BTreeSet<TargetName>,
        expires: i64,
    ) -> Self {
        Self {
            principal,
            token: code,
            lineage: Vec::new(),
            targets: Some(targets),
            expires,
            session_age: i64::MAX,
            code: Some(Code::Right),
            resource: None,
            may_act: None,
        }
    }

    /// What the policy is asked about.
    pub fn identity(&self) -> Identity {
        let identity = Identity::verified(self.principal.clone());
        if self.code.is_some() { identity.in_emergency() } else { identity }
    }

    /// Whether it came with a break-glass code.
    pub fn is_emergency(&self) -> bool {
        self.code.is_some()
    }

    /// The same, now that its code is used up.
    pub(crate) fn used_up(self) -> Self {
        Self { code: self.code.map(|_| Code::UsedUp), ..self }
    }

    /// Whether it may have a session: a break-glass code must be used up before.
    pub fn may_enter(&self) -> bool {
        self.code != Some(Code::Right)
    }

    /// Who.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The token's id.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The tokens that it was minted with, nearest first.
    pub fn lineage(&self) -> &[String] {
        &self.lineage
    }

    /// When the token expires, in seconds since 1970. The gateway ends its sessions then.
    pub fn expires(&self) -> i64 {
        self.expires
    }

    /// How long a session of it may last, in seconds, however long the token is good.
    pub fn session_age(&self) -> i64 {
        self.session_age
    }

    /// The targets that the token is for, where it is not for all.
    pub fn targets(&self) -> Option<&BTreeSet<TargetName>> {
        self.targets.as_ref()
    }

    /// The one resource that the token is for (RFC 8707), where it is for one alone: nothing else takes it.
    pub fn resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    /// Who alone may act for the principal, where its issuer says so.
    pub(crate) fn may_act(&self) -> Option<&MayAct> {
        self.may_act.as_ref()
    }

    /// Whether a request was made by who this is, for whom they act now, and on a target that the token is for.
    pub(crate) fn has_made(&self, request: &Request) -> bool {
        let chain = self.principal.on_behalf_of.iter().map(ToString::to_string);
        request.principal == self.principal.id.to_string()
            && chain.eq(request.on_behalf_of.iter().cloned())
            && self.is_for(&request.target)
    }

    /// Whether the token is for a target.
    pub fn is_for(&self, target: &TargetName) -> bool {
        self.targets.as_ref().is_none_or(|targets| targets.contains(target))
    }
}

impl From<Known> for Admitted {
    fn from(known: Known) -> Self {
        let Known { principal, id, expires, session_age, exchange_life: _, may_act } = known;
        Self {
            principal,
            token: id,
            lineage: Vec::new(),
            targets: None,
            expires,
            session_age,
            code: None,
            resource: None,
            may_act,
        }
    }
}

/// A token that can be used now, and those that it was minted with.
struct Usable {
    stored: StoredToken,
    lineage: Vec<String>,
}

impl From<Usable> for Admitted {
    fn from(Usable { stored, lineage }: Usable) -> Self {
        let StoredToken {
            id,
            principal,
            targets,
            expires,
            verifier: _,
            parents: _,
            minted_for: _,
            resource,
            may_act,
            issued: _,
            revoked: _,
        } = stored;
        Self {
            principal,
            token: id,
            lineage,
            targets,
            expires,
            session_age: i64::MAX,
            code: None,
            resource,
            may_act,
        }
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
    /// Those of issuers end when they expire.
    pub(crate) async fn ended(&self, tokens: &BTreeSet<String>) -> Result<BTreeSet<String>, StateError> {
        // What a break-glass code opened ends by its time, or is denied.
        let tokens: BTreeSet<String> =
            tokens.iter().filter(|token| token.starts_with(TOKEN_PREFIX)).cloned().collect();
        if tokens.is_empty() {
            return Ok(tokens);
        }
        let tokens = &tokens;
        let good = self.state.good_tokens(tokens, now()).await?;
        Ok(tokens.difference(&good).cloned().collect())
    }

    /// The stored token of an id that can be used now: neither it nor one that it was minted with has ended.
    async fn usable(&self, id: &str) -> Result<Option<Usable>, StateError> {
        let Some(stored) = self.good(id).await? else { return Ok(None) };
        let (mut lineage, mut next) = (Vec::new(), VecDeque::from(stored.parents.clone()));
        while let Some(id) = next.pop_front() {
            if lineage.contains(&id) {
                continue;
            }
            if lineage.len() >= MOST_ANCESTORS {
                return Ok(None);
            }
            // Issuers' are not kept here: whether one is denied is asked where a session is.
            if id.starts_with(TOKEN_PREFIX) {
                let Some(parent) = self.good(&id).await? else { return Ok(None) };
                next.extend(parent.parents);
            }
            lineage.push(id);
        }
        Ok(Some(Usable { stored, lineage }))
    }

    async fn good(&self, id: &str) -> Result<Option<StoredToken>, StateError> {
        Ok(self.state.token(id).await?.filter(|t| !t.revoked && t.expires > now()))
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

    /// Whom a break-glass code admits. It is not used by this.
    async fn check_code(&self, password: &[u8]) -> Result<Option<Admitted>, StateError> {
        let Some(id) = id_of(password, CODE_PREFIX) else { return Ok(None) };
        let Some(found) = self.state.code(&id).await? else { return Ok(None) };
        let usable = found.is_usable(now());
        let right = found.verifier.matches(password);
        if right && !usable {
            tracing::warn!(code = id, "a break-glass code was tried that is used, revoked or too old");
        }
        Ok((right && usable).then(|| found.admits(now())))
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

/// Who comes in: with a token of the gateway's own, or with one of an issuer's.
pub struct Entrance<'a> {
    pub(crate) tokens: &'a Tokens,
    pub(crate) issuers: Arc<Issuers>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) watched: &'a Watched,
    /// What those who come in here speak to, where tokens may be for that alone.
    pub(crate) resource: Option<String>,
}

impl Authenticator for Entrance<'_> {
    type Proof = Admitted;

    async fn check(&self, password: &[u8]) -> Result<Admitted, Refused> {
        let mut admitted = self.recognize(password).await?;
        self.groups.settle(&mut admitted.principal);
        Ok(admitted)
    }

    fn discovery(&self, issuer: Option<&str>) -> Option<Discovery> {
        self.issuers.discovery(issuer)
    }

    async fn verifier(&self, user: &str) -> Result<(ScramVerifier, Option<Admitted>), Refused> {
        let (verifier, admitted) = known(self.tokens.verifier(user)).await?;
        if admitted.as_ref().is_some_and(|admitted| !self.is_for_here(admitted)) {
            return Ok((self.tokens.nobodys(user), None));
        }
        let settled = |mut admitted: Admitted| {
            self.groups.settle(&mut admitted.principal);
            self.aged(admitted)
        };
        Ok((verifier, admitted.map(settled)))
    }
}

/// What the store says of a token; where it does not say, that is no word against it: it is refused, and was not guessed.
async fn known<T>(looked: impl Future<Output = Result<T, StateError>>) -> Result<T, Refused> {
    match timeout(PATIENCE, looked).await {
        Ok(Ok(known)) => return Ok(known),
        Ok(Err(error)) => tracing::error!("whose token it is cannot be looked up: {error}"),
        Err(_) => tracing::error!("whose token it is cannot be looked up: the store takes too long"),
    }
    Err(Refused::Unknown)
}

impl Entrance<'_> {
    /// Whose it is, in the groups that others say.
    async fn recognize(&self, password: &[u8]) -> Result<Admitted, Refused> {
        if password.starts_with(CODE_PREFIX.as_bytes()) {
            return known(self.tokens.check_code(password)).await?.ok_or(Refused::Token);
        }
        if password.starts_with(TOKEN_PREFIX.as_bytes()) {
            let admitted = known(self.tokens.check(password)).await?.ok_or(Refused::Token)?;
            return if self.is_for_here(&admitted) { Ok(self.aged(admitted)) } else { Err(Refused::Token) };
        }
        if !is_signed(password) && !self.issuers.takes_opaque() {
            return Err(Refused::Token);
        }
        let known = self.issuers.identify(password).await?;
        if self.issuers.asks_about(&known) {
            self.watched.keep(&known, password);
        }
        Ok(known.into())
    }

    /// Whether a token is not for another resource alone.
    fn is_for_here(&self, admitted: &Admitted) -> bool {
        admitted.resource().is_none_or(|resource| self.resource.as_deref() == Some(resource))
    }

    /// A session of a token that was exchanged lasts no longer than one of what it was exchanged for.
    fn aged(&self, admitted: Admitted) -> Admitted {
        Admitted { session_age: self.issuers.session_age(&admitted.principal), ..admitted }
    }
}

impl Tokens {
    /// Whom a token is for that can be used now, by its id alone: of whoever has shown otherwise that it is theirs.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) async fn of_id(&self, id: &str) -> Result<Option<Admitted>, StateError> {
        Ok(self.usable(id).await?.map(Admitted::from))
    }

    /// Whose token this is, if it is one and is good.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) async fn check(&self, password: &[u8]) -> Result<Option<Admitted>, StateError> {
        let Some(id) = id_of(password, TOKEN_PREFIX) else { return Ok(None) };
        let Some(usable) = self.usable(&id).await? else { return Ok(None) };
        Ok(self.is_right(&usable.stored.verifier, password).then(|| usable.into()))
    }

    async fn verifier(&self, user: &str) -> Result<(ScramVerifier, Option<Admitted>), StateError> {
        Ok(match self.usable(user).await? {
            Some(usable) => (usable.stored.verifier.clone(), Some(usable.into())),
            None => (self.nobodys(user), None),
        })
    }
}

/// The id in a secret: `dwt_<id>_<secret><check>` has `dwt_<id>`. What was mistyped or cut is none, and nobody looks it up.
fn id_of(secret: &[u8], prefix: &str) -> Option<String> {
    let secret = std::str::from_utf8(secret).ok()?;
    let (rest, check) = secret.split_at_checked(secret.len().checked_sub(CHECK)?)?;
    if check != checksum(rest) {
        return None;
    }
    let (id, _) = secret.strip_prefix(prefix)?.split_once('_')?;
    Some(format!("{prefix}{id}"))
}

/// The id of a token that somebody names by that or by its whole text, of which nothing else is kept anywhere.
pub fn named(name: &str) -> &str {
    let id = |prefix: &str| {
        let rest = name.strip_prefix(prefix)?;
        name.get(..prefix.len() + rest.find('_').unwrap_or(rest.len()))
    };
    id(TOKEN_PREFIX).or_else(|| id(crate::break_glass::CODE_PREFIX)).unwrap_or(name)
}

/// A new token and its id. `None` without randomness.
pub(crate) fn new_token() -> Option<(String, zeroize::Zeroizing<String>)> {
    new_secret(TOKEN_PREFIX)
}

/// A new secret behind a prefix, and its id. `None` without randomness.
pub(crate) fn new_secret(prefix: &str) -> Option<(String, zeroize::Zeroizing<String>)> {
    let mut bytes = zeroize::Zeroizing::new([0; 30]);
    rand::fill(bytes.as_mut_slice()).ok()?;
    let (id, secret) = bytes.split_at_checked(6)?;
    let id = format!("{prefix}{}", hex(id));
    let mut token = zeroize::Zeroizing::new(String::with_capacity(80));
    token.push_str(&id);
    token.push('_');
    token.push_str(&zeroize::Zeroizing::new(hex(secret)));
    let check = checksum(&token);
    token.push_str(&check);
    Some((id, token))
}

/// Digits of the check at the end of a token.
const CHECK: usize = 8;

/// CRC-32 (ISO 3309) in hexadecimal digits: scanners for secrets tell a token by it from what only looks like one. It protects
/// nothing.
fn checksum(text: &str) -> String {
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    format!("{:08x}", !crc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_told_from_what_only_looks_like_one() {
        assert_eq!(checksum("123456789"), "cbf43926", "the standard's own example");
        let (id, token) = new_token().expect("a token");
        assert_eq!(id_of(token.as_bytes(), TOKEN_PREFIX), Some(id.clone()));
        assert_eq!(token.len(), id.len() + 1 + 48 + 8, "192 bits and the check");
        let mut changed = token.as_bytes().to_vec();
        changed[30] ^= 1;
        for wrong in [
            &changed,
            &token.as_bytes()[..token.len() - 1],
            id.as_bytes(),
            b"",
            b"dwt_",
            "dwt_\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}".as_bytes(),
        ] {
            assert_eq!(id_of(wrong, TOKEN_PREFIX), None, "{}", String::from_utf8_lossy(wrong));
        }
    }
}
