//! A small authorization server of our own for clients that speak MCP: a person in the console says yes to a client, which gets
//! short tokens of an agent that acts for them. Nothing of it approves or administers.
//!
//! What a yes gives hangs on one token that nobody has (`Voucher::token`): codes, refresh tokens and access tokens end when that is
//! revoked, as with any other.

mod documents;
mod trade;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use aws_lc_rs::rand;
use model::{Principal, PrincipalRef, RegisteredClient, TargetName, Voucher, VoucherKind};
use policy::oauth::{Asked, Client, Known, Redirect, registration};
use policy::{Context, Identity};
use zeroize::Zeroizing;

use self::documents::Documents;
pub use self::trade::{Brought, Trade, TradeError, Traded};
use crate::audit::hex;
use crate::exchange::{ExchangeError, Minting};
use crate::gateway::{Gateway, now};
use crate::inside::Outlook;
use crate::net::web::{self, WebError};
use crate::people::{Guest, mark, secret};
use crate::requests::AdminError;
use crate::signin::agent_of;

/// What the ids begin with of clients that registered themselves.
const REGISTERED: &str = "client-";
/// Where a person answers a client, on the console.
pub const AUTHORIZE: &str = "/authorize";
/// What refresh tokens begin with.
pub const REFRESH_PREFIX: &str = "dwf_";
/// A code is good for so long, in seconds.
const CODE: i64 = 60;
/// So many targets a person chooses one by one.
pub const MOST_TARGETS: usize = 64;

/// So many clients that registered are kept.
const MOST_CLIENTS: i64 = 1000;
/// One to whom nobody has said yes is kept for so long, in seconds.
const UNUSED: i64 = 3600;
/// And one to whom somebody has, from the last time on.
const USED: i64 = 90 * 24 * 3600;
/// So many may register at once …
const AT_ONCE: f64 = 20.0;
/// … and so many a second from then on.
const A_SECOND: f64 = 1.0 / 12.0;

/// What whoever runs the gateway has configured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long what a person said yes to lasts, in seconds.
    pub session: i64,
    /// Whether clients may register themselves.
    pub registration: bool,
    /// Clients that are known beforehand.
    pub clients: Vec<Client>,
    documents: web::Client,
}

impl Settings {
    /// Documents of clients are fetched from hosts of the public internet alone, and from these beside; authorities in PEM are trusted
    /// beside the system's.
    ///
    /// # Errors
    /// The authorities cannot be read.
    pub fn new(
        session: i64,
        registration: bool,
        clients: Vec<Client>,
        anywhere: BTreeSet<String>,
        authorities: Option<&str>,
    ) -> Result<Self, WebError> {
        let documents = web::Client::cautious(authorities, anywhere)?;
        Ok(Self { session, registration, clients, documents })
    }
}

/// The server, before and after it is known where it is.
pub(crate) struct Authorization {
    session: i64,
    registration: bool,
    clients: Vec<Client>,
    documents: Documents,
    /// How the agents' port is called.
    base: OnceLock<String>,
    /// How many may register now, since when.
    registering: Mutex<(f64, Instant)>,
}

impl Authorization {
    pub(crate) fn new(settings: Settings) -> Self {
        let Settings { session, registration, clients, documents } = settings;
        Self {
            session,
            registration,
            clients,
            documents: Documents::new(documents),
            base: OnceLock::new(),
            registering: Mutex::new((AT_ONCE, Instant::now())),
        }
    }

    fn may_register(&self) -> bool {
        let mut bucket = self.registering.lock().unwrap_or_else(PoisonError::into_inner);
        let left = (bucket.0 + bucket.1.elapsed().as_secs_f64() * A_SECOND).min(AT_ONCE);
        let may = left >= 1.0;
        *bucket = (if may { left - 1.0 } else { left }, Instant::now());
        may
    }
}

/// The server where it is.
pub struct Server<'g> {
    own: &'g Authorization,
    base: &'g str,
    console: &'g str,
}

impl Server<'_> {
    /// Its name, which is where its endpoints are.
    pub fn issuer(&self) -> &str {
        self.base
    }

    /// What its tokens are for.
    pub fn resource(&self) -> String {
        format!("{}/mcp", self.base)
    }

    /// Where people answer.
    pub fn authorization_endpoint(&self) -> String {
        format!("{}{AUTHORIZE}", self.console)
    }

    /// Whether a client is known still: what is configured can be taken away, those of documents speak for themselves, and
    /// those that registered are kept for as long as they are used.
    pub(crate) fn still_has(&self, id: &str) -> bool {
        let elsewhere = id.contains("://") || self.own.registration && id.starts_with(REGISTERED);
        elsewhere || self.own.clients.iter().any(|client| client.id == id)
    }

    /// Whether clients may register themselves.
    pub fn registers(&self) -> bool {
        self.own.registration
    }
}

/// Why a client is not known.
#[derive(Debug, thiserror::Error)]
pub enum Stranger {
    /// Nobody said anything of it.
    #[error("{0}")]
    Unknown(String),
    /// The store cannot be read.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
}

/// Why a client is not registered.
#[derive(Debug, thiserror::Error)]
pub enum NotRegistered {
    /// Clients do not register here.
    #[error("clients do not register themselves here")]
    Off,
    /// What it says of itself is not what a client is.
    #[error("{0}")]
    Metadata(String),
    /// Too many have registered lately.
    #[error("too many clients have registered lately: try again later")]
    TooMany,
    /// The store cannot be written, what is done cannot be recorded, or there is no randomness.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// A target as an agent would find it.
pub struct Prospect {
    /// Which.
    pub target: TargetName,
    /// What it may do there.
    pub outlook: Vec<Outlook>,
}

impl Gateway {
    /// Says how the agents' port is called from outside.
    pub fn set_agents(&self, base: &str) {
        if let Some(own) = &self.authorization {
            // It is served once.
            let _ = own.base.set(base.to_owned());
        }
    }

    /// The authorization server of our own, where there is one and console and agents' port are both served.
    pub fn authorization(&self) -> Option<Server<'_>> {
        let own = self.authorization.as_ref()?;
        Some(Server { own, base: own.base.get()?, console: &self.console_place()?.origin })
    }

    /// A client by what it calls itself, for somebody whom it has sent here.
    ///
    /// # Errors
    /// It is not known; or its document cannot be fetched or is none.
    pub async fn client_of(&self, id: &str, guest: &Guest) -> Result<Client, Stranger> {
        let none = || Stranger::Unknown("No client of this id is known here.".to_owned());
        let own = self.authorization.as_ref().ok_or_else(none)?;
        if let Some(known) = own.clients.iter().find(|client| client.id == id) {
            return Ok(known.clone());
        }
        if id.contains("://") {
            return own.documents.client(id, &guest.id().to_string()).await.map_err(Stranger::Unknown);
        }
        if !own.registration {
            return Err(none());
        }
        let RegisteredClient { id, name, redirects, made: _, until: _ } =
            self.state().registered_client(id).await?.ok_or_else(none)?;
        let redirects = redirects.iter().filter_map(|uri| Redirect::read(uri).ok()).collect();
        Ok(Client { id, name, redirects, known: Known::Registered })
    }

    /// Keeps a client that says who it is (RFC 7591).
    ///
    /// # Errors
    /// Why not.
    pub async fn register(&self, body: &[u8]) -> Result<(Client, i64), NotRegistered> {
        let own = self.authorization.as_ref().filter(|own| own.registration).ok_or(NotRegistered::Off)?;
        let (name, redirects) = registration(body).map_err(NotRegistered::Metadata)?;
        if !own.may_register() {
            return Err(NotRegistered::TooMany);
        }
        let mut chance = [0; 12];
        rand::fill(&mut chance)
            .map_err(|_| AdminError::Refused("the system gives no randomness".to_owned()))?;
        let made = now();
        let client = RegisteredClient {
            id: format!("{REGISTERED}{}", hex(&chance)),
            name: name.clone(),
            redirects: redirects.iter().map(|redirect| redirect.as_str().to_owned()).collect(),
            made,
            until: made.saturating_add(UNUSED),
        };
        self.administered("agents' port", "client registered", &format!("{}: {name}", client.id))?;
        if !self.state().register_client(&client, MOST_CLIENTS).await.map_err(AdminError::from)? {
            return Err(NotRegistered::TooMany);
        }
        Ok((Client { id: client.id, name, redirects, known: Known::Registered }, made))
    }

    /// Who a client would be for somebody.
    pub fn agent_for(&self, guest: &Guest, client: &Client) -> Option<PrincipalRef> {
        agent_of(&guest.principal(), &client.agent()).map(|agent| agent.id)
    }

    /// The targets that somebody's agent would find open, by name. Where it comes from is not known yet.
    pub fn prospects(&self, guest: &Guest, client: &Client) -> Vec<Prospect> {
        let Some(agent) = agent_of(&guest.principal(), &client.agent()) else { return Vec::new() };
        let moment = Self::moment_of_consent();
        let who = || self.identity_of(&agent);
        let in_force = self.in_force.load();
        let mut all: Vec<Prospect> = in_force
            .targets
            .values()
            .filter(|target| self.authorize(who(), &target.name, &moment).is_ok())
            .map(|target| Prospect {
                target: target.name.clone(),
                outlook: self.outlook_of(who(), target, &moment),
            })
            .collect();
        all.sort_by(|a, b| a.target.cmp(&b.target));
        all
    }

    /// How long a yes of somebody's lasts, in seconds.
    pub fn consent_lasts(&self, guest: &Guest) -> i64 {
        let session = self.authorization.as_ref().map_or(0, |own| own.session);
        session.min(self.issuers().session_age(&guest.principal()))
    }

    /// Takes a person's yes to a client: a code, which is seen this once. Without targets it is for all that policy permits.
    ///
    /// # Errors
    /// There is no such server or target, or it cannot be stored or recorded.
    pub async fn consent(
        &self,
        guest: &Guest,
        client: &Client,
        redirect: &Redirect,
        asked: &Asked,
        targets: Option<BTreeSet<TargetName>>,
    ) -> Result<Zeroizing<String>, AdminError> {
        let refused = |why: &str| AdminError::Refused(why.to_owned());
        let server = self.authorization().ok_or_else(|| refused("no clients are let in here"))?;
        let agent = agent_of(&guest.principal(), &client.agent())
            .ok_or_else(|| refused("the chain of who acts for whom is too long"))?;
        let moment = Self::moment_of_consent();
        for target in targets.iter().flatten() {
            if self.authorize(self.identity_of(&agent), target, &moment).is_err() {
                return Err(refused("one of the targets is not open to this client"));
            }
        }
        if targets.as_ref().is_some_and(|all| all.is_empty() || all.len() > MOST_TARGETS) {
            return Err(refused("choose a target at least"));
        }
        let lasts = self.consent_lasts(guest);
        let (owner, until) = (guest.id().to_string(), now().saturating_add(lasts));
        let named: Vec<String> = targets.iter().flatten().map(ToString::to_string).collect();
        let on = if named.is_empty() { "all that policy permits".to_owned() } else { named.join(", ") };
        let detail = format!("{} is {} at {} until {until}, on {on}", client.id, agent.id, redirect.host());
        self.administered(&owner, "client let in", &detail)?;
        let from = format!("consent of {owner}");
        let (resource, seconds) = (server.resource(), lasts);
        let root = Minting {
            principal: agent,
            targets,
            seconds,
            from: &from,
            parents: Vec::new(),
            resource: Some(resource.clone()),
            may_act: None,
        };
        // Its text is dropped: it is good for what hangs on it.
        let root = self.mint(root).await.map_err(of_mint)?.id;
        let code = secret()?;
        let voucher = Voucher {
            mark: mark(&code),
            kind: VoucherKind::Code,
            token: root,
            owner,
            client: client.id.clone(),
            resource,
            redirect: redirect.as_str().to_owned(),
            challenge: asked.challenge.as_str().to_owned(),
            expires: now().saturating_add(CODE),
            until,
            spent: false,
        };
        self.state().add_voucher(&voucher).await?;
        if client.known == Known::Registered {
            self.state().keep_client(&client.id, now().saturating_add(USED)).await?;
        }
        Ok(code)
    }

    /// Takes a person's no to a client.
    ///
    /// # Errors
    /// It cannot be recorded.
    pub fn turn_away(&self, guest: &Guest, client: &Client, redirect: &Redirect) -> Result<(), AdminError> {
        let detail = format!("{} at {}", client.id, redirect.host());
        self.administered(&guest.id().to_string(), "client turned away", &detail)
    }

    fn identity_of(&self, principal: &Principal) -> Identity {
        let mut principal = principal.clone();
        self.groups().settle(&mut principal);
        Identity::verified(principal)
    }

    /// Policies are asked again when a session is opened, from where that comes.
    fn moment_of_consent() -> Context {
        Context {
            now: now(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            application: "consent".into(),
            read_instructions: false,
            in_transaction: false,
            encrypted: true,
        }
    }
}

fn of_mint(error: ExchangeError) -> AdminError {
    match error {
        ExchangeError::State(error) => error.into(),
        ExchangeError::Journal(error) => error.into(),
        other @ (ExchangeError::Unproven(..)
        | ExchangeError::Target
        | ExchangeError::Purpose
        | ExchangeError::TooMany(_)
        | ExchangeError::Request(_)
        | ExchangeError::Randomness) => AdminError::Refused(other.to_string()),
    }
}
