//! Whose tokens are taken, and the keys that they are checked with: fetched, kept, and fetched again when they are others.
//!
//! What a token means is decided in `policy::identity`; here is what needs sockets and a clock.

mod source;

use std::sync::Arc;

use hashbrown::HashMap;
use model::{Asserted, Principal};
use policy::identity::{self, Client, ClientConfig, IssuerConfig, Known, Refusal, Unproven};

use self::source::Source;
pub use self::source::Standing;
use crate::gateway::now;

/// The issuers in force, each with its keys.
#[derive(Default)]
pub struct Issuers {
    known: identity::Issuers,
    typed: Vec<IssuerConfig>,
    clients: identity::Clients,
    sources: HashMap<String, Arc<Source>>,
}

impl Issuers {
    /// From what was typed. An issuer of which nothing changed keeps the keys that were fetched.
    ///
    /// # Errors
    /// Which issuer, and what is wrong with it.
    pub(crate) fn build(typed: &[IssuerConfig], clients: &[ClientConfig]) -> Result<Self, (String, String)> {
        let known = identity::Issuers::new(typed)?;
        let clients = identity::Clients::new(clients, &known)?;
        let mut sources = HashMap::new();
        for issuer in known.iter() {
            let failed = |error: crate::net::web::WebError| (issuer.name().to_owned(), error.to_string());
            let source = Source::new(Arc::clone(issuer)).map_err(failed)?;
            sources.insert(issuer.name().to_owned(), Arc::new(source));
        }
        Ok(Self { known, typed: typed.to_vec(), clients, sources })
    }

    /// Takes over what another set has fetched, where it is of the very same issuers.
    pub(crate) fn inherit(&mut self, before: &Self) {
        for typed in &self.typed {
            let same = before.typed.iter().any(|old| old == typed);
            if let Some(source) = before.sources.get(&typed.name).filter(|_| same) {
                self.sources.insert(typed.name.clone(), Arc::clone(source));
            }
        }
    }

    /// Who a token is.
    ///
    /// # Errors
    /// Why it is nobody.
    pub(crate) async fn identify(&self, token: &[u8]) -> Result<Known, Refusal> {
        let unproven = Unproven::read(token)?;
        let issuer = unproven.issuer().and_then(|url| self.known.by_url(url)).ok_or(Refusal::Issuer)?;
        let source = self.sources.get(issuer.name()).ok_or(Refusal::Issuer)?;
        let proven = source.prove(unproven).await?;
        issuer.identify(&proven, now())
    }

    /// Fetches keys that have not been fetched for a while. Whoever calls does not wait.
    pub(crate) fn refresh(&self) {
        for source in self.sources.values().filter(|source| source.is_due()) {
            let source = Arc::clone(source);
            tokio::spawn(async move { source.refresh().await });
        }
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

    /// A client by its name.
    pub(crate) fn client(&self, name: &str) -> Option<&Arc<Client>> {
        self.clients.by_name(name)
    }

    /// A client by what stands for it among issuers.
    fn client_of(&self, word: &str) -> Option<&Arc<Client>> {
        self.clients.by_name(word.strip_prefix("client:")?)
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
