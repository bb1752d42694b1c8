//! An issuer as it is configured, and what its tokens mean: who they are, for how long, and whether at all.

use std::collections::BTreeSet;

use model::{Asserted, Principal, PrincipalKind, PrincipalRef};

use super::claims::Claims;
use super::condition::Condition;
use super::config::{IssuerConfig, Kind, PrincipalConfig};
use super::introspection::{Introspected, Introspection};
use super::keys::{Algorithm, Keys};
use super::names::{self, Template};
use super::preset::Shared;
use super::refusal::Refusal;
use super::token::Proven;
use super::{Known, chain};

/// What clocks may differ by, in seconds, where nothing is said, and at most.
const LEEWAY: (u32, u32) = (60, 300);
/// A token may be this old, in seconds, where nothing is said.
const MAX_AGE: u32 = 24 * 3600;
/// A session of an agent lasts this long, in seconds, where nothing is said.
pub(super) const AGENT_SESSION: u32 = 3600;
/// A session of a user lasts this long, in seconds, where nothing is said.
const USER_SESSION: u32 = 8 * 3600;
/// A token that one is exchanged for lives so long, in seconds, where nothing is said, and at most.
pub(super) const EXCHANGE_LIFE: (u32, u32) = (3600, 24 * 3600);

/// An issuer whose word is taken.
#[derive(Debug, Clone)]
pub struct Issuer {
    name: String,
    url: String,
    audience: BTreeSet<String>,
    algorithms: Vec<Algorithm>,
    keys: KeysFrom,
    ca: Option<String>,
    introspection: Option<Introspection>,
    when: Option<Condition>,
    principals: Vec<Mapping>,
    pub(super) prefix: String,
    /// Prefixes of other issuers that begin with this one's: a name of theirs is not this one's to give.
    pub(super) foreign: Vec<String>,
    leeway: i64,
    max_age: i64,
    agent_session: i64,
    user_session: i64,
    exchange_life: i64,
}

/// Where its keys come from.
#[derive(Debug, Clone)]
pub enum KeysFrom {
    /// They were given: nothing is fetched.
    Given(Keys),
    /// They are fetched from an address that was given.
    Address(String),
    /// Their address is asked for at `/.well-known/openid-configuration`.
    Discovery,
}

#[derive(Debug, Clone)]
struct Mapping {
    when: Option<Condition>,
    kind: PrincipalKind,
    name: Template,
    groups: Vec<String>,
    in_groups: BTreeSet<String>,
}

impl Issuer {
    /// From what was typed.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn new(typed: &IssuerConfig) -> Result<Self, String> {
        let IssuerConfig {
            name,
            preset,
            issuer,
            audience,
            algorithms,
            jwks_uri,
            jwks,
            ca,
            when,
            principals,
            prefix,
            leeway,
            max_age,
            agent_session,
            user_session,
            exchange_life,
            login_client,
            login_scopes,
            login_device,
            console_client,
            console_credential,
            introspection,
        } = typed;
        let usual = preset.map(super::preset::Preset::usual);
        names::check_word(name)?;
        let url = issuer.as_deref().or(usual.as_ref().and_then(|u| u.issuer));
        let url = url.ok_or("`issuer` is missing: exactly the `iss` of its tokens")?;
        let keys = match (jwks, jwks_uri) {
            (Some(_), Some(_)) => {
                return Err("it has both jwks and jwks_uri: keys are given or fetched".to_owned());
            }
            (Some(given), None) => {
                KeysFrom::Given(Keys::parse(given.as_bytes()).map_err(|e| format!("its jwks: {e}"))?)
            }
            (None, Some(address)) => KeysFrom::Address(names::check_address(address)?),
            (None, None) => KeysFrom::Discovery,
        };
        if !matches!(keys, KeysFrom::Given(_)) {
            names::check_address(url)?;
        }
        if audience.is_empty() || audience.iter().any(String::is_empty) {
            return Err("`audience` is empty: without one, tokens that are meant for others would be taken"
                .to_owned());
        }
        if let Some(client) = console_client.as_ref().filter(|client| !audience.contains(*client)) {
            return Err(format!(
                "`audience` has no \"{client}\": identity tokens of those who sign in are for `console_client`"
            ));
        }
        if console_credential.is_some() && console_client.is_none() {
            return Err("`console_credential` needs `console_client`".to_owned());
        }
        match (login_client, login_scopes) {
            (Some(client), _) if !audience.contains(client) => {
                return Err(format!(
                    "`audience` has no \"{client}\": identity tokens of those who sign in are for `login_client`"
                ));
            }
            (_, Some(scopes)) if !scopes.split(' ').any(|scope| scope == "openid") => {
                return Err(
                    "`login_scopes` must have \"openid\": without it there is no identity token".to_owned()
                );
            }
            (None, Some(_)) if console_client.is_none() => {
                return Err("`login_scopes` needs `login_client` or `console_client`".to_owned());
            }
            (None, None) if *login_device => return Err("`login_device` needs `login_client`".to_owned()),
            (Some(_) | None, _) => (),
        }
        let named: Vec<&str> = match (algorithms, &usual) {
            (Some(typed), _) => typed.iter().map(String::as_str).collect(),
            (None, Some(usual)) => usual.algorithms.to_vec(),
            (None, None) => vec!["RS256", "ES256", "EdDSA"],
        };
        let principals = match (principals.as_slice(), &usual) {
            ([], Some(usual)) => usual.principals.iter().map(Mapping::new).collect::<Result<Vec<_>, _>>()?,
            ([], None) => return Err("it has no [[issuers.principals]]: who its tokens are".to_owned()),
            (typed, _) => typed.iter().map(Mapping::new).collect::<Result<_, _>>()?,
        };
        let when = when.as_deref().map(condition).transpose()?;
        // Whose tokens they are is a matter of the address; a preset knows more of those that one runs oneself.
        if let Some(shared) = Shared::of(url).or(usual.and_then(|usual| usual.shared)) {
            let exact = |when: &Option<Condition>| {
                when.as_ref().is_some_and(|when| when.tells_apart(&|claim| shared.tells(claim)))
            };
            if !exact(&when) && !principals.iter().all(|p| exact(&p.when)) {
                return Err(format!(
                    "everybody gets tokens of this issuer: `when` must say which are yours, and compare at least one claim \
                     that no stranger's has with a whole value, such as {}",
                    shared.example()
                ));
            }
        }
        Ok(Self {
            name: name.clone(),
            url: url.to_owned(),
            audience: audience.clone(),
            algorithms: algorithms_of(&named)?,
            keys,
            ca: ca.clone(),
            introspection: introspection.as_ref().map(Introspection::new).transpose()?,
            when,
            principals,
            prefix: names::check_prefix(prefix.clone().unwrap_or_else(|| format!("{name}/")))?,
            foreign: Vec::new(),
            leeway: within(*leeway, LEEWAY, "leeway")?,
            max_age: long(*max_age, MAX_AGE, "max_age")?,
            agent_session: long(*agent_session, AGENT_SESSION, "agent_session")?,
            user_session: long(*user_session, USER_SESSION, "user_session")?,
            exchange_life: within(*exchange_life, EXCHANGE_LIFE, "exchange_life")?,
        })
    }

    /// What it is called here.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Exactly the `iss` of its tokens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its keys come from.
    pub fn keys(&self) -> &KeysFrom {
        &self.keys
    }

    /// Authorities in PEM for its TLS, where they are not the system's.
    pub fn ca(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    /// How it is asked whether tokens are still good, if it is.
    pub fn introspection(&self) -> Option<&Introspection> {
        self.introspection.as_ref()
    }

    /// How long a session of one of its principals may last, in seconds.
    pub fn session_age(&self, kind: PrincipalKind) -> i64 {
        match kind {
            PrincipalKind::Agent => self.agent_session,
            PrincipalKind::User => self.user_session,
        }
    }

    /// Whether a token for these is meant for the gateway.
    pub(super) fn is_heard_by<'a>(&self, mut audiences: impl Iterator<Item = &'a str>) -> bool {
        audiences.any(|audience| self.audience.contains(audience))
    }

    /// What clocks may differ by, in seconds.
    pub(super) fn leeway(&self) -> i64 {
        self.leeway
    }

    /// The algorithms that it may sign with.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Who a token of it is.
    ///
    /// # Errors
    /// Why it is nobody.
    pub fn identify(&self, token: &Proven, now: i64) -> Result<Known, Refusal> {
        let claims = token.claims();
        if claims.text("iss") != Some(&self.url) {
            return Err(Refusal::Issuer);
        }
        self.identify_claims(claims, claims.text("sub"), token.id(), now)
    }

    /// Who a token is of which its issuer says whose it is.
    ///
    /// # Errors
    /// Why it is nobody.
    pub fn identify_introspected(&self, token: &Introspected, now: i64) -> Result<Known, Refusal> {
        let claims = token.claims();
        // It is this issuer that was asked: it need not say so, and must not say that it is another.
        if claims.mentions("iss") && claims.text("iss") != Some(&self.url) {
            return Err(Refusal::Issuer);
        }
        // A client's own token has nobody for its subject. No name is made of this: claims stay as they are.
        let subject = if claims.mentions("sub") { claims.text("sub") } else { claims.text("client_id") };
        self.identify_claims(claims, subject, token.id(), now)
    }

    fn identify_claims(
        &self,
        claims: &Claims,
        subject: Option<&str>,
        token: &str,
        now: i64,
    ) -> Result<Known, Refusal> {
        // A logout token (OIDC) has all that an identity token has, and this.
        if claims.mentions("events") {
            return Err(Refusal::Type);
        }
        let heard = claims.texts("aud").ok_or(Refusal::Claims)?;
        if !self.is_heard_by(heard.into_iter()) {
            return Err(Refusal::Audience);
        }
        let (issued, expires) = self.times(claims, now)?;
        if !self.when.as_ref().is_none_or(|when| when.fits(claims)) {
            return Err(Refusal::Condition);
        }
        let fits = |mapping: &&Mapping| mapping.when.as_ref().is_none_or(|when| when.fits(claims));
        let mapping = self.principals.iter().find(fits).ok_or(Refusal::Condition)?;
        let subject = subject.filter(|sub| !sub.is_empty() && sub.len() <= 255).ok_or(Refusal::Claims)?;
        let named = PrincipalRef { kind: mapping.kind, name: self.own(&mapping.name.fill(claims)?)? };
        let actors = chain::actors(claims, &self.url)?;
        let mut said = self.groups(mapping, claims)?;
        let (id, groups, on_behalf_of) = match actors.split_first() {
            None => (named, said.clone(), Vec::new()),
            // Groups are the subject's: whoever acts has those that the token gives it by itself.
            Some((actor, before)) => {
                let agent = |link: &chain::Link| {
                    Ok(PrincipalRef { kind: PrincipalKind::Agent, name: self.own(&link.subject)? })
                };
                let mut acted_for = before.iter().map(agent).collect::<Result<Vec<_>, Refusal>>()?;
                acted_for.push(named);
                let own = self.listed(&mapping.groups, &actor.claims)?;
                said.extend(own.iter().cloned());
                (agent(actor)?, own, acted_for)
            }
        };
        let session_age = self.session_age(id.kind);
        let session = claims.text("sid").map(str::to_owned);
        let word = Asserted {
            issuer: self.name.clone(),
            subject: subject.to_owned(),
            at: issued,
            session,
            groups: said,
        };
        let principal = Principal { id, groups, on_behalf_of, purpose: None, asserted: vec![word] };
        chain::check(&principal)?;
        Ok(Known {
            principal,
            id: token.to_owned(),
            expires,
            session_age,
            exchange_life: self.exchange_life,
            may_act: chain::may_act(claims)?,
        })
    }

    /// How long something may be good that rests on a token of this issuer's, in seconds from its issue: the token, what is
    /// exchanged for it at its end, and a session of that.
    pub(super) fn reach(&self) -> i64 {
        let session = self.agent_session.max(self.user_session);
        [self.leeway, i64::from(EXCHANGE_LIFE.1), session]
            .iter()
            .fold(self.max_age, |all, more| all.saturating_add(*more))
    }

    /// When it was issued, and until when it is good.
    fn times(&self, claims: &Claims, now: i64) -> Result<(i64, i64), Refusal> {
        let moment = |name: &str| claims.moment(name).map_err(|_| Refusal::Claims);
        let (expires, issued) =
            (moment("exp")?.ok_or(Refusal::Claims)?, moment("iat")?.ok_or(Refusal::Claims)?);
        if expires.saturating_add(self.leeway) <= now {
            return Err(Refusal::Expired);
        }
        let begins = moment("nbf")?.unwrap_or(issued).max(issued);
        if begins.saturating_sub(self.leeway) > now {
            return Err(Refusal::NotYet);
        }
        if expires <= issued {
            return Err(Refusal::Claims);
        }
        if now.saturating_sub(issued) > self.max_age.saturating_add(self.leeway) {
            return Err(Refusal::TooOld);
        }
        let good = if expires > now { expires } else { expires.saturating_add(self.leeway) };
        Ok((issued, good))
    }

    fn groups(&self, mapping: &Mapping, claims: &Claims) -> Result<Vec<String>, Refusal> {
        let mut groups = self.listed(&mapping.groups, claims)?;
        for group in &mapping.in_groups {
            groups.push(self.own_group(group)?);
        }
        Ok(groups)
    }

    /// The groups that claims name. A claim that cannot be read is no claim without groups: policies forbid by them, too.
    fn listed(&self, paths: &[String], claims: &Claims) -> Result<Vec<String>, Refusal> {
        let mut groups = BTreeSet::new();
        for path in paths {
            // Entra leaves groups out where there are many, and says so here.
            let left_out = claims.at("hasgroups").is_some()
                || claims.at("_claim_names").and_then(Claims::of).is_some_and(|names| names.mentions(path));
            if left_out {
                return Err(Refusal::Principal);
            }
            if !claims.has(path) {
                continue;
            }
            for group in claims.texts(path).ok_or(Refusal::Principal)? {
                // Keycloak's are paths: `/dba`.
                groups.insert(self.own_group(group.strip_prefix('/').unwrap_or(group))?);
            }
        }
        if groups.len() > names::MOST_GROUPS {
            Err(Refusal::Principal)
        } else {
            Ok(groups.into_iter().collect())
        }
    }

    /// A name of this issuer's, with its prefix.
    fn own(&self, name: &str) -> Result<String, Refusal> {
        self.prefixed(name).filter(|whole| names::is_fine(whole)).ok_or(Refusal::Principal)
    }

    fn own_group(&self, name: &str) -> Result<String, Refusal> {
        self.prefixed(name).filter(|whole| names::is_group(whole)).ok_or(Refusal::Principal)
    }

    fn prefixed(&self, name: &str) -> Option<String> {
        let whole = format!("{}{name}", self.prefix);
        let is_foreign =
            whole.starts_with(names::LOCAL) || self.foreign.iter().any(|prefix| whole.starts_with(prefix));
        (!name.is_empty() && !is_foreign).then_some(whole)
    }
}

impl Mapping {
    fn new(typed: &PrincipalConfig) -> Result<Self, String> {
        let PrincipalConfig { when, kind, name, groups, in_groups, unverified_email } = typed;
        if groups.iter().any(String::is_empty) || in_groups.iter().any(|g| !names::is_group(g)) {
            return Err("a group is empty or too long".to_owned());
        }
        Ok(Self {
            when: when.as_deref().map(condition).transpose()?,
            kind: match kind {
                Kind::User => PrincipalKind::User,
                Kind::Agent => PrincipalKind::Agent,
            },
            name: Template::parse(name, *unverified_email)?,
            groups: groups.clone(),
            in_groups: in_groups.clone(),
        })
    }
}

fn condition(text: &str) -> Result<Condition, String> {
    let condition = Condition::parse(text).map_err(|what| format!("when = '{text}': {what}"))?;
    if condition.leans_on_sub() {
        return Err(format!(
            "when = '{text}': a pattern over `sub` alone lets in whoever can choose a name that begins so: compare another \
             claim with a whole value as well"
        ));
    }
    Ok(condition)
}

pub(super) fn algorithms_of(names: &[&str]) -> Result<Vec<Algorithm>, String> {
    if names.is_empty() {
        return Err("`algorithms` is empty".to_owned());
    }
    let all = Algorithm::ALL.map(Algorithm::name).join(", ");
    let named = |name: &&str| {
        Algorithm::named(name).ok_or_else(|| format!("the algorithm \"{name}\" is not supported: {all} are"))
    };
    names.iter().map(named).collect()
}

/// Seconds within a bound.
pub(super) fn within(given: Option<u32>, (usual, most): (u32, u32), what: &str) -> Result<i64, String> {
    let seconds = given.unwrap_or(usual);
    if seconds > most { Err(format!("{what} is at most {most} seconds")) } else { Ok(i64::from(seconds)) }
}

/// Seconds, and not none.
pub(super) fn long(given: Option<u32>, usual: u32, what: &str) -> Result<i64, String> {
    match given.unwrap_or(usual) {
        0 => Err(format!("{what} is 0: nobody would get in")),
        seconds => Ok(i64::from(seconds)),
    }
}
