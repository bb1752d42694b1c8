//! Whose tokens are taken, and the keys that they are checked with: fetched, kept, and fetched again when they are others.
//!
//! What a token means is decided in `policy::identity`; here is what needs sockets and a clock.

mod assertion;
mod introspection;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use model::{Asserted, Principal};
use policy::identity::{
    self, Claims, Client, ClientConfig, Introspected, IssuerConfig, KeysFrom, Known, LoggedOut, Opaque,
    Refusal, SignedIn, Unproven,
};

use zeroize::Zeroizing;

use self::introspection::Asker;
use self::source::Source;
pub use self::source::Standing;
use crate::credentials::{Sourced, Sources};
use crate::gateway::now;
use crate::metrics::Metrics;
use crate::net::login::Discovery;
use crate::requests::AdminError;
use crate::signin::SignIn;
use crate::targets::Contact;

/// The issuers in force, each with its keys.
#[derive(Default)]
pub struct Issuers {
    known: identity::Issuers,
    typed: Vec<IssuerConfig>,
    clients: identity::Clients,
    sources: HashMap<String, Arc<Source>>,
    /// Those that are asked whether tokens are still good.
    askers: HashMap<String, Arc<Asker>>,
    /// The console's own secrets at issuers.
    console_secrets: HashMap<String, Arc<Sourced>>,
}

/// An issuer at which people sign in to the console.
pub(crate) struct AtConsole {
    pub name: String,
    /// Its `iss`.
    pub url: String,
    pub client: String,
    pub scopes: String,
    pub ca: Option<String>,
    /// Where it describes itself.
    pub discovery: String,
    /// Where the console's secret there comes from, if it has one.
    credential: Option<String>,
    secret: Option<Arc<Sourced>>,
}

impl AtConsole {
    /// The console's own secret there, where it has one.
    pub(crate) async fn secret(&self) -> Result<Option<Zeroizing<String>>, AdminError> {
        let Some(credential) = &self.credential else { return Ok(None) };
        let none = || AdminError::Refused(format!("durward.toml has no [credentials.{credential}]"));
        let password = self.secret.as_ref().ok_or_else(none)?.password().await;
        let password = password.map_err(|error| AdminError::Refused(format!("{credential}: {error}")))?;
        let text = String::from_utf8(password.reveal().to_vec());
        let text = text.map_err(|_| AdminError::Refused(format!("{credential}: it is no text")))?;
        Ok(Some(Zeroizing::new(text)))
    }
}

impl Issuers {
    /// From what was typed. An issuer of which nothing changed keeps the keys that were fetched.
    ///
    /// # Errors
    /// Which issuer, and what is wrong with it.
    pub(crate) fn build(
        typed: &[IssuerConfig],
        clients: &[ClientConfig],
        secrets: &Sources,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, (String, String)> {
        let known = identity::Issuers::new(typed)?;
        let clients = identity::Clients::new(clients, &known)?;
        let (mut sources, mut askers, mut console_secrets) = (HashMap::new(), HashMap::new(), HashMap::new());
        for issuer in known.iter() {
            let failed = |error: crate::net::web::WebError| (issuer.name().to_owned(), error.to_string());
            if let Some(how) = issuer.introspection() {
                let secret = secrets.find(how.credential());
                let asker = Asker::new(Arc::clone(issuer), secret, Arc::clone(metrics)).map_err(failed)?;
                askers.insert(issuer.name().to_owned(), Arc::new(asker));
            }
            let credential =
                typed.iter().find(|t| t.name == issuer.name()).and_then(|t| t.console_credential.as_ref());
            if let Some(secret) = credential.and_then(|name| secrets.find(name)) {
                console_secrets.insert(issuer.name().to_owned(), secret);
            }
            let source = Source::new(Arc::clone(issuer)).map_err(failed)?;
            sources.insert(issuer.name().to_owned(), Arc::new(source));
        }
        Ok(Self { known, typed: typed.to_vec(), clients, sources, askers, console_secrets })
    }

    /// Takes over what another set has fetched, where it is of the very same issuers.
    pub(crate) fn inherit(&mut self, before: &Self) {
        for typed in &self.typed {
            let same = before.typed.iter().any(|old| old == typed);
            if let Some(source) = before.sources.get(&typed.name).filter(|_| same) {
                self.sources.insert(typed.name.clone(), Arc::clone(source));
            }
            if let Some(asker) = before.askers.get(&typed.name).filter(|_| same) {
                self.askers.insert(typed.name.clone(), Arc::clone(asker));
            }
        }
    }

    /// Who a token is, as it is brought by who wants in: its issuer is asked, where it is to be.
    ///
    /// # Errors
    /// Why it is nobody.
    pub(crate) async fn identify(&self, token: &[u8]) -> Result<Known, Refusal> {
        if !is_signed(token) {
            let opaque = Opaque::read(token)?;
            let issuer = self.known.of_opaque().ok_or(Refusal::Malformed)?;
            let asker = self.askers.get(issuer.name()).ok_or(Refusal::Unasked)?;
            let answer = asker.ask(opaque.text()).await?;
            let introspected = asker.counted(Introspected::read(opaque, &answer))?;
            return issuer.identify_introspected(&introspected, now());
        }
        let unproven = Unproven::read(token)?;
        let (issuer, source) = self.of(&unproven)?;
        let proven = source.prove(unproven).await?;
        let known = issuer.identify(&proven, now())?;
        // Whoever is nobody anyway costs the issuer no answer.
        if let Some(asker) = self.askers.get(issuer.name()) {
            let text = std::str::from_utf8(token).map_err(|_| Refusal::Malformed)?;
            let answer = asker.ask(text).await?;
            asker.counted(Introspected::confirms(&answer, proven.claims()))?;
        }
        Ok(known)
    }

    /// Whose token it says that it is, and where that issuer's keys come from.
    fn of(&self, token: &Unproven<'_>) -> Result<(&Arc<identity::Issuer>, &Arc<Source>), Refusal> {
        let issuer = token.issuer().and_then(|url| self.known.by_url(url));
        let found = issuer.and_then(|issuer| Some((issuer, self.sources.get(issuer.name())?)));
        found.ok_or_else(|| {
            // Forged tokens of one that cannot be reached are told that they cannot be checked now. If those of others were not told the
            // same, anybody could find out who is configured.
            let is_cut_off = self.sources.values().any(|source| source.is_cut_off());
            if is_cut_off { Refusal::Stranger } else { Refusal::Issuer }
        })
    }

    /// Whether a token that was taken is still good, and, where its issuer says that, who it is now.
    ///
    /// # Errors
    /// It is not, or nobody can be asked.
    pub(crate) async fn is_still_good(
        &self,
        issuer: &str,
        token: &str,
    ) -> Result<Option<Principal>, Refusal> {
        let asker = self.askers.get(issuer).ok_or(Refusal::Unasked)?;
        let issuer = self.known.by_name(issuer).ok_or(Refusal::Unasked)?;
        let answer = asker.ask(token).await?;
        if is_signed(token.as_bytes()) {
            return asker.counted(Introspected::is_active(&answer)).map(|()| None);
        }
        let introspected = asker.counted(Introspected::read(Opaque::read(token.as_bytes())?, &answer))?;
        let known = match issuer.identify_introspected(&introspected, now()) {
            // How old it may be is asked when it is brought; a session has an age of its own.
            Err(Refusal::TooOld) => {
                let issued = introspected.claims().moment("iat").ok().flatten().unwrap_or_default();
                issuer.identify_introspected(&introspected, issued)?
            }
            other => other?,
        };
        Ok(Some(known.principal))
    }

    /// Whether any issuer is asked about tokens.
    pub(crate) fn asks_anybody(&self) -> bool {
        !self.askers.is_empty()
    }

    /// How each issuer that is asked about tokens was last met.
    pub(crate) fn met(&self) -> BTreeMap<String, Contact> {
        self.askers.iter().map(|(name, asker)| (name.clone(), asker.met())).collect()
    }

    /// Whether its issuer was asked about a token.
    pub(crate) fn asks_about(&self, known: &Known) -> bool {
        known.principal.asserted.first().is_some_and(|word| self.askers.contains_key(&word.issuer))
    }

    /// Whether tokens that say nothing by themselves are taken.
    pub(crate) fn takes_opaque(&self) -> bool {
        self.known.of_opaque().is_some()
    }

    /// How often an issuer is asked about the token of a live session.
    pub(crate) fn asked_every(&self, name: &str) -> Option<Duration> {
        let how = self.known.by_name(name)?.introspection()?;
        Some(Duration::from_secs(u64::try_from(how.every()).unwrap_or_default()))
    }

    /// How long after its last yes a token may be used.
    pub(crate) fn unasked_at_most(&self, name: &str) -> Option<Duration> {
        let how = self.known.by_name(name)?.introspection()?;
        Some(Duration::from_secs(u64::try_from(how.every().saturating_add(how.grace())).unwrap_or_default()))
    }

    /// Who has just signed in by the command line, by the identity token that it was given. No issuer is asked about those:
    /// they say nothing of tokens that open nothing with them.
    ///
    /// # Errors
    /// Why it is nobody.
    pub(crate) async fn identify_at_command_line(&self, token: &[u8]) -> Result<SignedIn, Refusal> {
        let unproven = Unproven::read_identity(token)?;
        let (issuer, source) = self.of(&unproven)?;
        let typed = self.typed.iter().find(|typed| typed.name == issuer.name()).ok_or(Refusal::Issuer)?;
        let client = typed.login_client.as_deref().ok_or(Refusal::Audience)?;
        let proven = source.prove(unproven).await?;
        // Who enters a code elsewhere is not asked with a nonce (RFC 8628).
        issuer.signed_in(&proven, client, !typed.login_device, now())
    }

    /// Who signed out, by a logout token.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) async fn logged_out(&self, token: &[u8]) -> Result<LoggedOut, Refusal> {
        let unproven = Unproven::read_logout(token)?;
        let (issuer, source) = self.of(&unproven)?;
        issuer.logged_out(&source.prove(unproven).await?, now())
    }

    /// Where people sign in by the command line.
    pub(crate) fn sign_ins(&self) -> Vec<SignIn> {
        let sign_in = |typed: &IssuerConfig| {
            Some(SignIn {
                name: typed.name.clone(),
                issuer: self.url_of(&typed.name)?.to_owned(),
                client_id: typed.login_client.clone()?,
                scopes: typed.login_scopes.clone().unwrap_or_else(|| "openid profile email".to_owned()),
                ca: typed.ca.clone(),
                device: typed.login_device,
            })
        };
        self.typed.iter().filter_map(sign_in).collect()
    }

    /// Where people sign in to the console.
    pub(crate) fn at_console(&self) -> impl Iterator<Item = AtConsole> {
        self.typed.iter().filter_map(|typed| {
            Some(AtConsole {
                name: typed.name.clone(),
                url: self.url_of(&typed.name)?.to_owned(),
                client: typed.console_client.clone()?,
                scopes: typed.login_scopes.clone().unwrap_or_else(|| "openid profile email".to_owned()),
                ca: typed.ca.clone(),
                discovery: source::discovery(self.known.by_name(&typed.name)?),
                credential: typed.console_credential.clone(),
                secret: self.console_secrets.get(&typed.name).cloned(),
            })
        })
    }

    /// Who an identity token is that the console was given, and what it says.
    ///
    /// # Errors
    /// Why it is nobody.
    pub(crate) async fn identify_at_console(
        &self,
        token: &[u8],
        at: &AtConsole,
    ) -> Result<(Known, Claims), Refusal> {
        let unproven = Unproven::read_identity(token)?;
        if unproven.issuer() != Some(&at.url) {
            return Err(Refusal::Issuer);
        }
        let issuer = self.known.by_name(&at.name).ok_or(Refusal::Issuer)?;
        let source = self.sources.get(&at.name).ok_or(Refusal::Issuer)?;
        let proven = source.prove(unproven).await?;
        let claims = proven.claims();
        // It is for the console and nobody else, or for the console among others by name (OpenID Connect Core §3.1.3.7).
        identity::is_for(claims, &at.client)?;
        Ok((issuer.identify(&proven, now())?, claims.clone()))
    }

    /// Fetches keys that have not been fetched for a while. Whoever calls does not wait.
    pub(crate) fn refresh(&self) {
        for source in self.sources.values().filter(|source| source.is_due()) {
            let source = Arc::clone(source);
            tokio::spawn(async move { source.refresh().await });
        }
    }

    /// What stands before the names of each.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.known.prefixes()
    }

    /// Whether everybody is still an issuer whose word a principal rests on.
    pub(crate) fn vouch_for(&self, principal: &Principal) -> bool {
        principal
            .asserted
            .iter()
            .all(|word| self.sources.contains_key(&word.issuer) || self.client_of(&word.issuer).is_some())
    }

    /// How long a session of a principal may last, in seconds: as long as everybody allows on whose word it rests.
    pub(crate) fn session_age(&self, principal: &Principal) -> i64 {
        let kind = principal.id.kind;
        let age = |word: &Asserted| match self.known.by_name(&word.issuer) {
            Some(issuer) => Some(issuer.session_age(kind)),
            None => self.client_of(&word.issuer).map(|client| client.session_age()),
        };
        principal.asserted.iter().filter_map(age).min().unwrap_or(i64::MAX)
    }

    /// The issuer, or the client that stands as one, of a name in whatever letters.
    pub(crate) fn called(&self, typed: &str) -> Option<String> {
        let issuer = self.sources.keys().find(|name| name.eq_ignore_ascii_case(typed)).cloned();
        issuer.or_else(|| self.client_of(typed).map(|_| typed.to_owned()))
    }

    /// A client by its name.
    pub(crate) fn client(&self, name: &str) -> Option<&Arc<Client>> {
        self.clients.by_name(name)
    }

    /// A client by what stands for it among issuers.
    fn client_of(&self, word: &str) -> Option<&Arc<Client>> {
        self.clients.by_name(word.strip_prefix("client:")?)
    }

    /// Where an issuer says how to get its tokens (OpenID Connect Discovery §4), and for which scopes; of no name, the first that can
    /// be asked.
    pub(crate) fn discovery(&self, name: Option<&str>) -> Option<Discovery> {
        let fits = |issuer: &&Arc<identity::Issuer>| {
            name.map_or(!matches!(issuer.keys(), KeysFrom::Given(_)), |name| issuer.name() == name)
        };
        let issuer = self.known.iter().find(fits)?;
        let typed = self.typed.iter().find(|typed| typed.name == issuer.name());
        let scopes =
            typed.and_then(|typed| typed.login_scopes.clone()).unwrap_or_else(|| "openid".to_owned());
        Some(Discovery { address: source::discovery(issuer), scopes })
    }

    /// The `iss` of an issuer.
    pub(crate) fn url_of(&self, name: &str) -> Option<&str> {
        self.known.by_name(name).map(|issuer| issuer.url())
    }

    /// How each issuer is, by its name: whether there are keys of it, and since when.
    pub fn standing(&self) -> Vec<Standing> {
        let mut all: Vec<Standing> = self.sources.values().map(|source| source.standing()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// Nothing else that may stand where a password does has two dots.
pub(crate) fn is_signed(token: &[u8]) -> bool {
    token.iter().filter(|byte| **byte == b'.').count() >= 2
}
