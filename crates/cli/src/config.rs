//! `durward.toml`: what was typed, then what it means. Relative paths start at the file's directory.

mod address;
mod mcp;
mod sections;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use console::Public;
use gateway::credentials::SourceConfig;
use gateway::gateway::Limits;
use gateway::net::listen::Bounds;
use model::TargetName;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

pub(crate) use self::whole::Typed;
use crate::authorization::{self, AuthorizationSettings};
use crate::carriers::{SlackSettings, WebhookSettings};
use crate::credentials::VaultSettings;
use crate::exit::Fault;
use crate::passphrase::Unlock;
use crate::traces::Tracing;
use crate::typed;

/// Where the console listens where nobody says so.
pub(crate) const CONSOLE: u16 = 7300;

/// What a process is started with.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The file that says it.
    pub file: Option<PathBuf>,
    pub data: PathBuf,
    /// Where recordings are.
    pub recordings: PathBuf,
    pub master_key: Source,
    /// What opens its file.
    pub unlock: Unlock,
    /// The server that keeps the state; a file in `data` where there is none.
    pub store: Option<SharedStore>,
    pub postgres: Vec<SocketAddr>,
    /// Listeners of one target each, by its name: what clients give as the database is then the real one.
    pub targets: BTreeMap<String, SocketAddr>,
    /// Targets by the names that clients' TLS asks for; there, too.
    pub names: BTreeMap<String, TargetName>,
    /// Listeners whose clients sign in by OAUTHBEARER.
    pub oauth: Vec<SocketAddr>,
    /// Certificate chain and key, in PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    pub console: SocketAddr,
    /// The console's certificate chain and key, in PEM; in clear without, and then for this machine and trusted proxies.
    pub console_tls: Option<(PathBuf, PathBuf)>,
    pub hosts: BTreeSet<String>,
    /// Where the console is for people, and what they are there.
    pub public: Public,
    /// Where agents get tokens, if they do.
    pub agents: Option<Agents>,
    pub log: Log,
    pub limits: Limits,
    pub bounds: Bounds,
    /// Targets, tags and policies that are applied at the start and whenever the file is read again.
    pub apply: Option<Applying>,
    /// Whether files are read again when they change.
    pub watch: bool,
    /// A command, given as its words, that hears of each break-glass code that is used.
    pub alarm: Option<Vec<String>>,
    /// Where passwords of targets are that do not lie in the store, by the names that targets use.
    pub credentials: BTreeMap<String, SourceConfig>,
    /// The Vault or OpenBao that some of them are in.
    pub vault: Option<VaultSettings>,
    /// Where spans go.
    pub traces: Option<Tracing>,
    /// Who is told what becomes of requests, by name.
    pub webhooks: BTreeMap<String, WebhookSettings>,
    /// A channel that is told, too.
    pub slack: Option<SlackSettings>,
}

/// Where agents get tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agents {
    pub listen: SocketAddr,
    /// The URLs by which they know the place.
    pub urls: BTreeSet<String>,
    /// Certificate chain and key, in PEM; without them it is this machine alone that can come.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// How clients that speak MCP sign people in here, where they do.
    pub authorization: Option<AuthorizationSettings>,
}

/// A directory that is applied, and whether what it does not name goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applying {
    pub directory: PathBuf,
    pub prune: bool,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// A file that only its owner can read. Of the master key, made where it is not there.
    File(PathBuf),
    /// An environment variable.
    Env(#[serde(deserialize_with = "secret_variable")] String),
    /// The output of a command, given as its words.
    Command(Vec<String>),
}

/// A PostgreSQL server that keeps the state of several gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SharedStore {
    /// `postgres://user@host:port/database`, without a password.
    pub url: String,
    pub password: Option<Source>,
}

/// How the process logs, to its standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    pub format: LogFormat,
    /// As `tracing`'s filters: `info`, `gateway=debug,info`.
    pub level: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    #[default]
    Human,
    Json,
}

/// An address of this machine alone.
pub(crate) fn loopback(address: SocketAddr) -> Result<SocketAddr, String> {
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "{address} can be reached from elsewhere, and what is said there is not encrypted: listen on 127.0.0.1 behind a \
         reverse proxy that encrypts, and name it in console.hosts"
    ))
}

/// The name of a variable that a secret is in: programs that this one starts do not get it.
pub(crate) fn secret_variable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    store::children::withhold(&name);
    Ok(name)
}

impl Source {
    /// A file's name starts at a directory.
    pub(crate) fn below(self, home: &Path) -> Self {
        match self {
            Self::File(file) => Self::File(home.join(file)),
            other @ (Self::Env(_) | Self::Command(_)) => other,
        }
    }
}

impl Settings {
    /// Reads a file.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let invalid = |why: String| Fault::Invalid(why);
        let text = std::fs::read_to_string(file).map_err(|error| {
            let none = error.kind() == std::io::ErrorKind::NotFound;
            let advice = if none { ": -c FILE names another, and an empty file will do" } else { "" };
            invalid(format!("{}: {error}{advice}", file.display()))
        })?;
        let typed: Typed = typed::toml(file, &text).map_err(invalid)?;
        let settings = typed.settings(file.parent().unwrap_or(Path::new("")));
        let settings = Self { file: Some(file.to_owned()), ..settings };
        authorization::check(&settings).map_err(invalid)?;
        Ok(settings)
    }

    /// A member of the file, by its keys, with its place there.
    pub(crate) fn at(&self, keys: &[&str]) -> String {
        let name = keys.join(".");
        let Some(file) = &self.file else { return name };
        let text = std::fs::read_to_string(file).unwrap_or_default();
        format!("{}: {name}", typed::at_key(file, &text, keys))
    }

    /// What `up` runs with.
    pub(crate) fn for_one(
        data: PathBuf,
        postgres: SocketAddr,
        console: SocketAddr,
        agents: SocketAddr,
    ) -> Self {
        Self {
            file: None,
            master_key: Source::File(data.join("master.key")),
            unlock: Unlock::default(),
            store: None,
            recordings: data.join("recordings"),
            data,
            postgres: vec![postgres],
            targets: BTreeMap::new(),
            names: BTreeMap::new(),
            oauth: Vec::new(),
            tls: None,
            console,
            console_tls: None,
            hosts: BTreeSet::new(),
            public: Public::default(),
            agents: Some(Agents {
                listen: agents,
                urls: BTreeSet::new(),
                tls: None,
                authorization: Some(AuthorizationSettings::for_one()),
            }),
            log: Log { format: LogFormat::Human, level: "warn".to_owned() },
            limits: Limits::default(),
            bounds: Bounds::default(),
            apply: None,
            watch: false,
            alarm: None,
            credentials: BTreeMap::new(),
            vault: None,
            traces: None,
            webhooks: BTreeMap::new(),
            slack: None,
        }
    }

    /// What is different and cannot change while a gateway runs.
    pub(crate) fn differs_for_good(&self, new: &Self) -> Vec<&'static str> {
        let Self {
            file: _,
            data,
            recordings,
            master_key,
            unlock: _,
            store,
            postgres,
            targets,
            names,
            oauth,
            tls: _,
            console,
            console_tls,
            hosts,
            public,
            agents,
            log,
            limits: _,
            bounds,
            apply: _,
            watch: _,
            alarm,
            credentials,
            vault,
            traces,
            webhooks,
            slack,
        } = self;
        [
            ("data", *data != new.data),
            ("recordings.directory", *recordings != new.recordings),
            ("master_key", *master_key != new.master_key),
            ("store", *store != new.store),
            ("postgres.listen", *postgres != new.postgres),
            ("postgres.targets", *targets != new.targets),
            ("postgres.names", *names != new.names),
            ("postgres.oauth", *oauth != new.oauth),
            ("a bound of postgres (connections, connections_per_address, login)", *bounds != new.bounds),
            (
                "console",
                *console != new.console
                    || *hosts != new.hosts
                    || *public != new.public
                    // Another certificate can be shown while it runs.
                    || console_tls.is_some() != new.console_tls.is_some(),
            ),
            ("agents", differ_for_good(agents.as_ref(), new.agents.as_ref())),
            ("log", *log != new.log),
            ("break_glass", *alarm != new.alarm),
            ("credentials", *credentials != new.credentials),
            ("vault", *vault != new.vault),
            ("traces", *traces != new.traces),
            ("webhooks", *webhooks != new.webhooks),
            ("slack", *slack != new.slack),
        ]
        .into_iter()
        .filter_map(|(what, differs)| differs.then_some(what))
        .collect()
    }
}

/// Another certificate can be shown while it runs; whether there is one decides how clients come.
fn differ_for_good(old: Option<&Agents>, new: Option<&Agents>) -> bool {
    let for_good = |agents: &Agents| {
        (agents.listen, agents.urls.clone(), agents.tls.is_some(), agents.authorization.clone())
    };
    old.map(for_good) != new.map(for_good)
}

fn here(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[cfg(test)]
mod tests;
