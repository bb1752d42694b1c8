//! `durward.toml`: what was typed, then what it means. Relative paths start at the file's directory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway::credentials::SourceConfig;
use gateway::gateway::{Limits, Retention};
use gateway::net::listen::Bounds;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::credentials::{TypedCredential, TypedVault, VaultSettings};
use crate::exit::Fault;
use crate::typed::{self, Time};

/// What is known of the store may not be older than this.
const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// What a process is started with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub data: PathBuf,
    pub master_key: Source,
    /// The server that keeps the state; a file in `data` where there is none.
    pub store: Option<SharedStore>,
    pub postgres: Vec<SocketAddr>,
    /// Listeners of one target each, by its name: what clients give as the database is then the real one.
    pub targets: BTreeMap<String, SocketAddr>,
    /// Listeners whose clients sign in by OAUTHBEARER.
    pub oauth: Vec<SocketAddr>,
    /// Certificate chain and key, in PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    pub console: SocketAddr,
    pub hosts: BTreeSet<String>,
    /// Where agents get tokens, if they do, and the URLs by which they know the place.
    pub agents: Option<(SocketAddr, BTreeSet<String>)>,
    pub log: Log,
    pub limits: Limits,
    pub bounds: Bounds,
    /// Targets, tags and policies that are applied at the start and whenever the file is read again.
    pub apply: Option<PathBuf>,
    /// A command, given as its words, that hears of each break-glass code that is used.
    pub alarm: Option<Vec<String>>,
    /// Where passwords of targets are that do not lie in the store, by the names that targets use.
    pub credentials: BTreeMap<String, SourceConfig>,
    /// The Vault or OpenBao that some of them are in.
    pub vault: Option<VaultSettings>,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// A file that only its owner can read. Of the master key, made where it is not there.
    File(PathBuf),
    /// An environment variable.
    Env(String),
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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    #[default]
    Human,
    Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    data: Option<PathBuf>,
    master_key: Option<Source>,
    store: Option<TypedStore>,
    #[serde(default)]
    credentials: BTreeMap<String, TypedCredential>,
    vault: Option<TypedVault>,
    #[serde(default, deserialize_with = "reachable")]
    postgres: TypedPostgres,
    #[serde(default)]
    console: TypedConsole,
    agents: Option<TypedAgents>,
    #[serde(default)]
    log: TypedLog,
    #[serde(default)]
    limits: TypedLimits,
    #[serde(default)]
    retention: TypedRetention,
    #[serde(default)]
    break_glass: TypedBreakGlass,
    apply: Option<PathBuf>,
}

/// `store = "postgres://…"`, or a table with more.
struct TypedStore {
    url: String,
    password: Option<Source>,
    lease: Option<Time>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedStoreTable {
    url: String,
    password: Option<Source>,
    lease: Option<Time>,
}

impl<'de> Deserialize<'de> for TypedStore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UrlOrTable;

        impl<'de> Visitor<'de> for UrlOrTable {
            type Value = TypedStore;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an address, such as \"postgres://durward@db.example.com/durward\"")
            }

            fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<TypedStore, E> {
                store::Address::parse(url).map_err(E::custom)?;
                Ok(TypedStore { url: url.to_owned(), password: None, lease: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TypedStore, A::Error> {
                let table = TypedStoreTable::deserialize(MapAccessDeserializer::new(map))?;
                let TypedStoreTable { url, password, lease } = table;
                store::Address::parse(&url).map_err(serde::de::Error::custom)?;
                if lease.as_ref().is_some_and(|lease| lease.0 > LONGEST_LEASE) {
                    let why = "a gateway that is cut off would act on old policy for longer than a minute";
                    return Err(serde::de::Error::custom(why));
                }
                Ok(TypedStore { url, password, lease })
            }
        }
        deserializer.deserialize_any(UrlOrTable)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedPostgres {
    listen: Option<Addresses>,
    #[serde(default)]
    targets: BTreeMap<String, SocketAddr>,
    oauth: Option<Addresses>,
    tls: Option<TypedTls>,
    connections: Option<usize>,
    connections_per_address: Option<usize>,
    login: Option<Time>,
}

/// The list of addresses may be empty where targets have listeners of their own.
fn reachable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TypedPostgres, D::Error> {
    let typed = TypedPostgres::deserialize(deserializer)?;
    let none = typed.listen.as_ref().is_some_and(|listen| listen.0.is_empty()) && typed.targets.is_empty();
    if none {
        Err(serde::de::Error::custom("nobody could connect: name at least one address"))
    } else {
        Ok(typed)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedTls {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedConsole {
    listen: Option<Loopback>,
    #[serde(default)]
    hosts: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedAgents {
    listen: Option<Loopback>,
    #[serde(default)]
    urls: BTreeSet<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedLog {
    #[serde(default)]
    format: LogFormat,
    level: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedLimits {
    hold: Option<Time>,
    hold_in_block: Option<Time>,
    drain: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedRetention {
    tokens: Option<Time>,
    requests: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedBreakGlass {
    command: Option<Vec<String>>,
}

/// One address, or several in a list.
struct Addresses(Vec<SocketAddr>);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Addresses;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an address, such as \"127.0.0.1:7432\", or several in a list")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Addresses, E> {
                typed::address(text).map(|one| Addresses(vec![one])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Addresses, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    all.push(typed::address(&text).map_err(serde::de::Error::custom)?);
                }
                Ok(Addresses(all))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

/// The admin API speaks plain http, so it stays on this machine.
#[derive(Deserialize)]
#[serde(try_from = "SocketAddr")]
struct Loopback(SocketAddr);

impl TryFrom<SocketAddr> for Loopback {
    type Error = String;

    fn try_from(address: SocketAddr) -> Result<Self, String> {
        loopback(address).map(Self)
    }
}

/// An address of this machine alone.
pub(crate) fn loopback(address: SocketAddr) -> Result<SocketAddr, String> {
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "{address} can be reached from elsewhere, and what is said there is not encrypted: listen on 127.0.0.1 behind a \
         reverse proxy that encrypts, and name it in console.hosts or agents.urls"
    ))
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
        Ok(typed.settings(file.parent().unwrap_or(Path::new(""))))
    }

    /// What `up` runs with.
    pub(crate) fn for_one(data: PathBuf, postgres: SocketAddr, console: SocketAddr) -> Self {
        Self {
            master_key: Source::File(data.join("master.key")),
            store: None,
            data,
            postgres: vec![postgres],
            targets: BTreeMap::new(),
            oauth: Vec::new(),
            tls: None,
            console,
            hosts: BTreeSet::new(),
            agents: None,
            log: Log { format: LogFormat::Human, level: "warn".to_owned() },
            limits: Limits::default(),
            bounds: Bounds::default(),
            apply: None,
            alarm: None,
            credentials: BTreeMap::new(),
            vault: None,
        }
    }

    /// What is different and cannot change while a gateway runs.
    pub(crate) fn differs_for_good(&self, new: &Self) -> Vec<&'static str> {
        let Self {
            data,
            master_key,
            store,
            postgres,
            targets,
            oauth,
            tls: _,
            console,
            hosts,
            agents,
            log,
            limits: _,
            bounds,
            apply: _,
            alarm,
            credentials,
            vault,
        } = self;
        [
            ("data", *data != new.data),
            ("master_key", *master_key != new.master_key),
            ("store", *store != new.store),
            ("postgres.listen", *postgres != new.postgres),
            ("postgres.targets", *targets != new.targets),
            ("postgres.oauth", *oauth != new.oauth),
            ("a bound of postgres (connections, connections_per_address, login)", *bounds != new.bounds),
            ("console", *console != new.console || *hosts != new.hosts),
            ("agents", *agents != new.agents),
            ("log", *log != new.log),
            ("break_glass", *alarm != new.alarm),
            ("credentials", *credentials != new.credentials),
            ("vault", *vault != new.vault),
        ]
        .into_iter()
        .filter_map(|(what, differs)| differs.then_some(what))
        .collect()
    }
}

impl Typed {
    fn settings(self, home: &Path) -> Settings {
        let Self {
            data,
            master_key,
            store,
            credentials,
            vault,
            postgres,
            console,
            agents,
            log,
            limits,
            retention,
            break_glass,
            apply,
        } = self;
        let TypedBreakGlass { command: alarm } = break_glass;
        let TypedRetention { tokens, requests } = retention;
        let TypedPostgres { listen, targets, oauth, tls, connections, connections_per_address, login } =
            postgres;
        let TypedConsole { listen: console, hosts } = console;
        let TypedLog { format, level } = log;
        let TypedLimits { hold, hold_in_block, drain } = limits;
        let (usual, bounds) = (Limits::default(), Bounds::default());
        let time = |typed: Option<Time>, usual: Duration| typed.map_or(usual, |t| t.0);
        let data = data.map_or_else(crate::node::usual_data, |data| home.join(data));
        let master_key = match master_key {
            None => Source::File(data.join("master.key")),
            Some(source) => source.below(home),
        };
        let lease = time(store.as_ref().and_then(|s| s.lease.clone()), usual.lease);
        let store = store.map(|TypedStore { url, password, lease: _ }| SharedStore {
            url,
            password: password.map(|source| source.below(home)),
        });
        Settings {
            data,
            master_key,
            store,
            postgres: listen.map_or_else(|| vec![here(7432)], |listen| listen.0),
            targets,
            oauth: oauth.map(|oauth| oauth.0).unwrap_or_default(),
            tls: tls.map(|TypedTls { certificate, key }| (home.join(certificate), home.join(key))),
            console: console.map_or(here(7300), |c| c.0),
            hosts,
            agents: agents.map(|TypedAgents { listen, urls }| (listen.map_or(here(7380), |l| l.0), urls)),
            log: Log { format, level: level.unwrap_or_else(|| "info".to_owned()) },
            limits: Limits {
                hold: time(hold, usual.hold),
                hold_in_block: time(hold_in_block, usual.hold_in_block),
                drain: time(drain, usual.drain),
                lease,
                retention: Retention {
                    tokens: time(tokens, usual.retention.tokens),
                    requests: time(requests, usual.retention.requests),
                },
            },
            bounds: Bounds {
                connections: connections.unwrap_or(bounds.connections),
                per_address: connections_per_address.unwrap_or(bounds.per_address),
                login: time(login, bounds.login),
            },
            apply: apply.map(|directory| home.join(directory)),
            alarm,
            credentials: credentials.into_iter().map(|(name, typed)| (name, typed.below(home))).collect(),
            vault: vault.map(|vault| vault.below(home)),
        }
    }
}

fn here(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        typed::toml::<Typed>(Path::new("durward.toml"), text).map(|t| t.settings(Path::new("/etc/durward")))
    }

    #[test]
    fn an_empty_file_is_a_gateway_on_the_loopback() {
        let settings = read("").expect("settings");
        assert_eq!((settings.postgres, settings.console), (vec![here(7432)], here(7300)));
        assert_eq!(settings.master_key, Source::File(settings.data.join("master.key")));
    }

    #[test]
    fn one_address_needs_no_list() {
        let settings = read("[postgres]\nlisten = \"127.0.0.1:7432\"").expect("settings");
        assert_eq!(settings.postgres, [here(7432)]);
    }

    #[test]
    fn targets_may_have_all_listeners_there_are() {
        let settings =
            read("[postgres]\nlisten = []\ntargets = { a = \"127.0.0.1:7432\" }").expect("settings");
        assert_eq!((settings.postgres, settings.targets.len()), (vec![], 1));
    }

    #[test]
    fn everything_that_can_be_said_is_taken() {
        let settings = read(
            "data = \"state\"\napply = \"files\"\nmaster_key = { command = [\"pass\", \"show\", \"durward\"] }\n\
             [postgres]\nlisten = [\"0.0.0.0:7432\"]\ntls = { certificate = \"c.pem\", key = \"/k.pem\" }\nlogin = \"5s\"\n\
             connections = 10\nconnections_per_address = 3\ntargets = { orders-db = \"127.0.0.1:7433\" }\n\
             [console]\nlisten = \"[::1]:7301\"\nhosts = [\"gate.example.com\"]\n\
             [agents]\nurls = [\"https://gate.example.com\"]\n\
             [log]\nformat = \"json\"\nlevel = \"debug\"\n[limits]\nhold = \"1m\"\nhold_in_block = \"10s\"\ndrain = \"20s\"\n\
             [retention]\ntokens = \"30d\"\n[break_glass]\ncommand = [\"page\", \"oncall\"]\n",
        )
        .expect("settings");
        assert_eq!(settings.data, Path::new("/etc/durward/state"));
        assert_eq!(settings.tls, Some(("/etc/durward/c.pem".into(), "/k.pem".into())));
        assert_eq!((settings.bounds.connections, settings.bounds.per_address), (10, 3));
        assert_eq!(settings.bounds.login, Duration::from_secs(5));
        assert_eq!(settings.limits.hold, Duration::from_secs(60));
        assert_eq!((settings.log.format, settings.log.level.as_str()), (LogFormat::Json, "debug"));
        assert!(matches!(settings.master_key, Source::Command(_)));
        assert_eq!(settings.targets, BTreeMap::from([("orders-db".to_owned(), here(7433))]));
        assert!(settings.hosts.contains("gate.example.com"));
        assert_eq!(settings.agents, Some((here(7380), ["https://gate.example.com".to_owned()].into())));
        assert_eq!(settings.apply.as_deref(), Some(Path::new("/etc/durward/files")));
        assert_eq!(settings.alarm, Some(vec!["page".to_owned(), "oncall".to_owned()]));
        let days = |n: u64| Duration::from_secs(n * 24 * 3600);
        assert_eq!(settings.limits.retention, Retention { tokens: days(30), requests: days(90) });
    }

    #[test]
    fn a_store_on_a_server_is_an_address_or_more() {
        let url = "postgres://durward@db.example.com/durward";
        let short = read(&format!("store = \"{url}\"")).expect("settings");
        assert_eq!(short.store, Some(SharedStore { url: url.to_owned(), password: None }));
        assert_eq!(short.limits.lease, Duration::from_secs(5));
        let long = format!("[store]\nurl = \"{url}\"\npassword = {{ file = \"p\" }}\nlease = \"2s\"");
        let long = read(&long).expect("settings");
        let password = Some(Source::File("/etc/durward/p".into()));
        assert_eq!(long.store, Some(SharedStore { url: url.to_owned(), password }));
        assert_eq!(long.limits.lease, Duration::from_secs(2));
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        for (text, begins) in [
            ("store = \"mysql://x\"", "durward.toml:1:9: a store is written postgres://"),
            ("store = \"postgres://u:hunter2@h/d\"", "durward.toml:1:9: there is a password in the address"),
            (
                "[store]\nurl = \"postgres://u@h/d\"\nleese = \"1s\"",
                "durward.toml:3:1: unknown field `leese`",
            ),
            ("dta = \"x\"", "durward.toml:1:1: unknown field `dta`"),
            ("\n[postgres]\nlisen = []", "durward.toml:3:1: unknown field `lisen`"),
            (
                "[console]\nlisten = \"0.0.0.0:7300\"",
                "durward.toml:2:10: 0.0.0.0:7300 can be reached from elsewhere",
            ),
            (
                "[limits]\nhold = 45",
                "durward.toml:2:8: invalid type: integer `45`, expected a time with its unit",
            ),
            (
                "[postgres]\nlisten = 7432",
                "durward.toml:2:10: invalid type: integer `7432`, expected an address",
            ),
            ("[postgres]\nlisten = []", "durward.toml:1:1: nobody could connect: name at least one address"),
            ("[postgres]\nlisten = \"7432\"", "durward.toml:2:10: \"7432\" is no address to listen on"),
            ("[limits]\nhold = \"5\"", "durward.toml:2:8: \"5\" is no time"),
            ("[log]\nformat = \"xml\"", "durward.toml:2:10: unknown variant `xml`"),
            ("[postgres]\ntls = { certificate = \"c\" }", "durward.toml:2:7: missing field `key`"),
            ("a b", "durward.toml:1:"),
        ] {
            let error = read(text).expect_err("an error");
            assert!(error.starts_with(begins), "{error}");
        }
    }

    #[test]
    fn what_cannot_change_while_it_runs_is_named() {
        let old = read("").expect("settings");
        for (text, expected) in [
            ("", &[][..]),
            ("apply = \"x\"\n[limits]\nhold = \"1m\"\n[retention]\ntokens = \"1d\"", &[]),
            ("[postgres]\ntls = { certificate = \"c\", key = \"k\" }", &[]),
            ("data = \"x\"", &["data", "master_key"]),
            ("[postgres]\nlisten = [\"127.0.0.1:1\"]", &["postgres.listen"]),
            ("[console]\nhosts = [\"h\"]\n[log]\nlevel = \"debug\"", &["console", "log"]),
        ] {
            let new = read(text).expect("settings");
            assert_eq!(old.differs_for_good(&new), expected, "{text}");
        }
    }
}
