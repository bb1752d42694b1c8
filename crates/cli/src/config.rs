//! `durward.toml`: what was typed, then what it means. Relative paths start at the file's directory.

mod mcp;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use console::{NETWORK, Network, Public};
use gateway::credentials::SourceConfig;
use gateway::gateway::{Limits, Retention};
use gateway::net::listen::Bounds;
use gateway::people::Roles;
use policy::rights::{Right, Role};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use self::mcp::TypedMcp;
use crate::authorization::{self, AuthorizationSettings, TypedAuthorization};
use crate::carriers::{SlackSettings, TypedSlack, TypedWebhook, WebhookSettings};
use crate::credentials::{TypedCredential, TypedVault, VaultSettings};
use crate::exit::Fault;
use crate::traces::{Tracing, TypedTraces};
use crate::typed::{self, Time};

/// What is known of the store may not be older than this.
const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// So much of one operation's answer can be recorded, in bytes.
const MOST_RECORDED: usize = 8 * 1024 * 1024;

/// What a process is started with.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The file that says it.
    pub file: Option<PathBuf>,
    pub data: PathBuf,
    /// Where recordings are.
    pub recordings: PathBuf,
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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Typed {
    /// Where state and journal are kept; `~/.local/share/durward` where it is not given.
    data: Option<PathBuf>,
    /// What seals the targets' credentials; a file in the data directory where it is not given.
    master_key: Option<Source>,
    /// A PostgreSQL server that keeps the state of several gateways.
    store: Option<TypedStore>,
    /// Where passwords of targets are that do not lie in the store, by the names that targets use.
    #[serde(default)]
    credentials: BTreeMap<String, TypedCredential>,
    /// The Vault or OpenBao that some of them are in.
    vault: Option<TypedVault>,
    /// Where PostgreSQL clients come in.
    #[serde(default, deserialize_with = "reachable")]
    postgres: TypedPostgres,
    /// The admin API, health and metrics.
    #[serde(default, deserialize_with = "for_browsers")]
    console: TypedConsole,
    /// Where agents exchange tokens; not served where it is not given.
    #[serde(default, deserialize_with = "private")]
    agents: Option<TypedAgents>,
    /// What calls of agents' by MCP may take.
    #[serde(default)]
    mcp: TypedMcp,
    /// How the process logs, to its standard error.
    #[serde(default)]
    log: TypedLog,
    /// Bounds of time.
    #[serde(default)]
    limits: TypedLimits,
    /// How sessions are recorded. Which are is policy's: `@record`.
    #[serde(default)]
    recordings: TypedRecordings,
    /// How long what is over is kept.
    #[serde(default)]
    retention: TypedRetention,
    /// Who hears of break-glass codes.
    #[serde(default)]
    break_glass: TypedBreakGlass,
    /// A collector of OpenTelemetry's that gets traces.
    #[cfg_attr(not(feature = "otel"), schemars(skip))]
    traces: Option<TypedTraces>,
    /// Who is told over HTTP what becomes of requests, by names that nobody else sees.
    #[serde(default)]
    webhooks: BTreeMap<String, TypedWebhook>,
    /// A channel of Slack's that is told what becomes of requests.
    slack: Option<TypedSlack>,
    /// A directory of targets, tags and policies that is applied at the start and whenever it changes.
    apply: Option<TypedApply>,
    /// Whether files are read again when they change; `true` where it is not given. SIGHUP always does.
    watch: Option<bool>,
}

/// A user, and no password.
const STORE: &str = r"^postgres(ql)?://([^:@/?]+@[^?]*(\?.*)?|[^?@]*\?(.*&)?user=.*)$";

/// `store = "postgres://…"`, or a table with more.
struct TypedStore(TypedStoreTable);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedStoreTable {
    /// `postgres://user@host:port/database`, without a password.
    #[schemars(extend("pattern" = STORE))]
    url: String,
    /// Where its password comes from.
    password: Option<Source>,
    /// How old what a gateway knows of the store may be; at most a minute.
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
                Ok(TypedStore(TypedStoreTable { url: url.to_owned(), password: None, lease: None }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TypedStore, A::Error> {
                let table = TypedStoreTable::deserialize(MapAccessDeserializer::new(map))?;
                store::Address::parse(&table.url).map_err(serde::de::Error::custom)?;
                if table.lease.as_ref().is_some_and(|lease| lease.0 > LONGEST_LEASE) {
                    let why = "a gateway that is cut off would act on old policy for longer than a minute";
                    return Err(serde::de::Error::custom(why));
                }
                Ok(TypedStore(table))
            }
        }
        deserializer.deserialize_any(UrlOrTable)
    }
}

impl JsonSchema for TypedStore {
    fn schema_name() -> Cow<'static, str> {
        "Store".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<TypedStoreTable>();
        json_schema!({ "anyOf": [{ "type": "string", "pattern": STORE }, table] })
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("not" = {
    "properties": { "listen": { "type": "array", "maxItems": 0 }, "targets": { "maxProperties": 0 } },
    "required": ["listen"]
}))]
struct TypedPostgres {
    /// `127.0.0.1:7432` where it is not given.
    listen: Option<Addresses>,
    /// Listeners of one target each, by its name: clients give the real database there.
    #[serde(default)]
    targets: BTreeMap<String, Listen>,
    /// Listeners whose clients sign in by OAUTHBEARER.
    oauth: Option<Addresses>,
    /// What clients are shown.
    tls: Option<TypedTls>,
    /// So many at a time.
    connections: Option<usize>,
    /// So many at a time from one address.
    connections_per_address: Option<usize>,
    /// A login may take so long.
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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedTls {
    /// The chain, in PEM.
    certificate: PathBuf,
    /// Its key, in PEM.
    key: PathBuf,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "anyOf" = [
        { "required": ["tls"] },
        { "required": ["trusted_proxy"], "properties": { "trusted_proxy": { "minItems": 1 } } },
        { "properties": { "listen": { "type": "string", "pattern": LOOPBACK } } }
    ],
    "dependentRequired" = { "tls": ["public_url"], "trusted_proxy": ["public_url"] }
))]
struct TypedConsole {
    /// `127.0.0.1:7300` where it is not given; on this machine where there is neither a certificate nor a trusted proxy.
    listen: Option<Listen>,
    /// Names beside that of `public_url` by which the admin API is asked, of a reverse proxy that encrypts.
    #[serde(default)]
    hosts: BTreeSet<String>,
    /// Where people's browsers find it: its own address by TLS, or that of a reverse proxy that encrypts. Passkeys are bound to its name.
    public_url: Option<PublicUrl>,
    /// What browsers are shown. Whoever is on another machine, and no trusted proxy, then comes by TLS.
    tls: Option<TypedTls>,
    /// Addresses of reverse proxies whose `X-Forwarded-For`, `-Host` and `-Proto` are believed: `10.0.0.0/8`, `192.0.2.7`.
    trusted_proxy: Option<Vec<TypedNetwork>>,
    /// What people who sign in at issuers are in the console: groups, and people as `user:NAME`.
    #[serde(default)]
    roles: TypedRoles,
    /// What is changed in the console only where a second person has confirmed it: `policies`, `targets`.
    #[serde(default)]
    second_person: BTreeSet<TypedChange>,
}

/// Addresses that have their first bits in common.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("type" = "string", "pattern" = NETWORK))]
struct TypedNetwork(#[schemars(with = "String")] Network);

impl TryFrom<String> for TypedNetwork {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

/// Secrets and cookies are sent there: they are encrypted, or stay on this machine.
fn for_browsers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TypedConsole, D::Error> {
    let typed = TypedConsole::deserialize(deserializer)?;
    let proxied = typed.trusted_proxy.as_ref().is_some_and(|all| !all.is_empty());
    if let Some(Listen(address)) = &typed.listen
        && !proxied
        && typed.tls.is_none()
    {
        loopback(*address).map_err(|why| {
            serde::de::Error::custom(format!(
                "{why}. Or give the console a certificate (tls = {{ certificate = …, key = … }}), or name the proxy \
                 (trusted_proxy = [\"10.0.0.7\"])"
            ))
        })?;
    }
    if (typed.trusted_proxy.is_some() || typed.tls.is_some()) && typed.public_url.is_none() {
        return Err(serde::de::Error::custom(
            "public_url is missing: browsers keep passkeys and cookies for the name by which they come",
        ));
    }
    Ok(typed)
}

/// What is changed in the console.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TypedChange {
    /// Files of policies.
    Policies,
    /// Targets that are added.
    Targets,
}

impl TypedChange {
    fn right(self) -> Right {
        match self {
            Self::Policies => Right::ChangePolicies,
            Self::Targets => Right::ChangeTargets,
        }
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedRoles {
    /// Who may see and do everything.
    administrator: Option<BTreeSet<String>>,
    /// Who may change policies.
    policy_editor: Option<BTreeSet<String>>,
    /// Who may see everything, and change nothing.
    auditor: Option<BTreeSet<String>>,
}

impl TypedRoles {
    fn read(self) -> Roles {
        let Self { administrator, policy_editor, auditor } = self;
        let all = [
            (Role::Administrator, administrator),
            (Role::PolicyEditor, policy_editor),
            (Role::Auditor, auditor),
        ];
        Roles(all.into_iter().filter_map(|(role, who)| who.map(|who| (role, who))).collect())
    }
}

const PUBLIC_URL: &str = r"^https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?/?$";

/// `https://gate.example.com`.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("type" = "string", "pattern" = PUBLIC_URL))]
struct PublicUrl(String);

impl TryFrom<String> for PublicUrl {
    type Error = String;

    fn try_from(url: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{url}\" is no address of the console: it is https://NAME, in small letters, with a port at most. Browsers keep \
                 passkeys for the name, and only where it is encrypted"
            )
        };
        let rest = url.strip_prefix("https://").ok_or_else(wrong)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = authority.split_once(':').map_or((authority, None), |(h, p)| (h, Some(p)));
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        let ends = |c: &str| !c.starts_with(['.', '-']) && !c.ends_with(['.', '-']);
        let fine = !host.is_empty() && host.chars().all(plain) && ends(host);
        // Passkeys are for names.
        let named = host.parse::<std::net::Ipv4Addr>().is_err();
        let port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 443 && port != 0));
        if fine && named && port { Ok(Self(format!("https://{authority}"))) } else { Err(wrong()) }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [
    { "required": ["tls"] },
    { "properties": { "listen": { "type": "string", "pattern": LOOPBACK } } }
]))]
struct TypedAgents {
    /// `127.0.0.1:7380` where it is not given; on this machine where there is no certificate.
    listen: Option<Listen>,
    /// What clients call it from outside.
    #[serde(default)]
    urls: BTreeSet<String>,
    /// What clients are shown, who then come by TLS alone.
    tls: Option<TypedTls>,
    /// Clients that speak MCP sign people in at the console, and get tokens of agents that act for them; off where it is not given.
    authorization: Option<TypedAuthorization>,
}

/// Tokens are told there: they are encrypted, or stay on this machine.
fn private<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TypedAgents>, D::Error> {
    let typed = TypedAgents::deserialize(deserializer)?;
    let open = typed.listen.as_ref().map(|listen| listen.0).filter(|address| !address.ip().is_loopback());
    if let (Some(address), None) = (open, &typed.tls) {
        return Err(serde::de::Error::custom(format!(
            "{address} can be reached from elsewhere, and tokens are told there: give agents a certificate \
             (tls = {{ certificate = …, key = … }}), or listen on 127.0.0.1 behind a reverse proxy that encrypts, and name it \
             in agents.urls"
        )));
    }
    Ok(Some(typed))
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedLog {
    #[serde(default)]
    format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or for each module: `gateway=debug,info`.
    level: Option<String>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedLimits {
    /// How long a held statement waits for its answer.
    hold: Option<Time>,
    /// The same inside a transaction, where it holds locks.
    hold_in_block: Option<Time>,
    /// How long busy sessions may go on when the gateway ends.
    drain: Option<Time>,
    /// How many sessions one principal may have on one target, and one person's agents together; three quarters of the target's
    /// connections where it is not given.
    #[schemars(range(min = 1))]
    sessions_of_one: Option<std::num::NonZeroUsize>,
    /// How many tokens that were made of others may be good at a time, of one person and their agents; 1000 where it is not given.
    #[schemars(range(min = 1))]
    tokens_of_one: Option<std::num::NonZeroUsize>,
    /// How many bytes of one person's held statements are kept, answered ones too; 134217728 where it is not given.
    #[schemars(range(min = 1))]
    requests_of_one: Option<std::num::NonZeroU64>,
    /// How many bytes of all held statements are kept; 1073741824 where it is not given.
    #[schemars(range(min = 1))]
    requests_in_all: Option<std::num::NonZeroU64>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedRetention {
    /// Tokens, from their expiry.
    tokens: Option<Time>,
    /// Requests that are over, from when they were filed.
    requests: Option<Time>,
    /// Recordings, from when they were written last.
    recordings: Option<Time>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedRecordings {
    /// So many bytes of each operation's answer are kept, and a digest of the rest; 262144 where it is not given.
    #[schemars(range(max = 8_388_608))]
    #[serde(default, deserialize_with = "bounded")]
    bytes_per_operation: Option<usize>,
    /// Where they are; `recordings` in the data directory where it is not given.
    directory: Option<PathBuf>,
}

/// What of one answer is kept is written in one piece.
fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let bytes = usize::deserialize(deserializer)?;
    if bytes > MOST_RECORDED {
        return Err(serde::de::Error::custom(format!(
            "at most {MOST_RECORDED}: more of one answer is not kept"
        )));
    }
    Ok(Some(bytes))
}

/// A directory, or a directory and what becomes of what it does not name.
struct TypedApply(TypedApplying);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedApplying {
    /// The directory.
    directory: PathBuf,
    /// Whether what is in force and not in the directory is removed.
    #[serde(default)]
    prune: bool,
}

impl<'de> Deserialize<'de> for TypedApply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathOrTable;
        impl<'de> Visitor<'de> for PathOrTable {
            type Value = TypedApply;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a directory, such as \"files\", or { directory = \"files\", prune = true }")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TypedApply, E> {
                Ok(TypedApply(TypedApplying { directory: text.into(), prune: false }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TypedApply, A::Error> {
                TypedApplying::deserialize(MapAccessDeserializer::new(map)).map(TypedApply)
            }
        }
        deserializer.deserialize_any(PathOrTable)
    }
}

impl JsonSchema for TypedApply {
    fn schema_name() -> Cow<'static, str> {
        "Apply".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<TypedApplying>();
        json_schema!({ "anyOf": [{ "type": "string" }, table] })
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypedBreakGlass {
    /// A command, given as its words, that hears of each code that is used.
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

/// An address and a port.
const ADDRESS: &str = r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}$";

impl JsonSchema for Addresses {
    fn schema_name() -> Cow<'static, str> {
        "Addresses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({ "type": "string", "pattern": ADDRESS });
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// The address of one listener.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = ADDRESS))]
struct Listen(SocketAddr);

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        typed::address(&text).map(Self)
    }
}

/// The same of this machine alone.
const LOOPBACK: &str = r"^(\[::1\]|127\.[0-9.]+):[0-9]{1,5}$";

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
            store: None,
            recordings: data.join("recordings"),
            data,
            postgres: vec![postgres],
            targets: BTreeMap::new(),
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
            store,
            postgres,
            targets,
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

impl Typed {
    pub(crate) fn settings(self, home: &Path) -> Settings {
        let Self {
            data,
            master_key,
            store,
            credentials,
            vault,
            postgres,
            console,
            agents,
            mcp,
            log,
            limits,
            recordings,
            retention,
            break_glass,
            traces,
            webhooks,
            slack,
            apply,
            watch,
        } = self;
        let TypedBreakGlass { command: alarm } = break_glass;
        let TypedRetention { tokens, requests, recordings: recordings_kept } = retention;
        let TypedRecordings { directory, bytes_per_operation } = recordings;
        let TypedPostgres { listen, targets, oauth, tls, connections, connections_per_address, login } =
            postgres;
        let TypedConsole {
            listen: console,
            hosts,
            public_url,
            tls: console_tls,
            trusted_proxy,
            roles,
            second_person,
        } = console;
        let TypedLog { format, level } = log;
        let TypedLimits {
            hold,
            hold_in_block,
            drain,
            sessions_of_one,
            tokens_of_one,
            requests_of_one,
            requests_in_all,
        } = limits;
        let (usual, bounds) = (Limits::default(), Bounds::default());
        let below = |TypedTls { certificate, key }| (home.join(certificate), home.join(key));
        let time = |typed: Option<Time>, usual: Duration| typed.map_or(usual, |t| t.0);
        let data = data.map_or_else(crate::node::usual_data, |data| home.join(data));
        let master_key = match master_key {
            None => Source::File(data.join("master.key")),
            Some(source) => source.below(home),
        };
        let lease = time(store.as_ref().and_then(|s| s.0.lease.clone()), usual.lease);
        let store = store.map(|TypedStore(TypedStoreTable { url, password, lease: _ })| SharedStore {
            url,
            password: password.map(|source| source.below(home)),
        });
        Settings {
            file: None,
            recordings: directory.map_or_else(|| data.join("recordings"), |directory| home.join(directory)),
            data,
            master_key,
            store,
            postgres: listen.map_or_else(|| vec![here(7432)], |listen| listen.0),
            targets: targets.into_iter().map(|(name, Listen(address))| (name, address)).collect(),
            oauth: oauth.map(|oauth| oauth.0).unwrap_or_default(),
            tls: tls.map(below),
            console: console.map_or(here(7300), |c| c.0),
            console_tls: console_tls.map(below),
            hosts,
            public: Public {
                url: public_url.map(|url| url.0),
                roles: roles.read(),
                takes_two: second_person.into_iter().map(TypedChange::right).collect(),
                clients: None,
                trusted: trusted_proxy.into_iter().flatten().map(|network| network.0).collect(),
            },
            agents: agents.map(|TypedAgents { listen, urls, tls, authorization }| Agents {
                listen: listen.map_or(here(7380), |l| l.0),
                urls,
                tls: tls.map(below),
                authorization: authorization.map(|typed| typed.below(home)),
            }),
            log: Log { format, level: level.unwrap_or_else(|| "info".to_owned()) },
            limits: Limits {
                hold: time(hold, usual.hold),
                hold_in_block: time(hold_in_block, usual.hold_in_block),
                drain: time(drain, usual.drain),
                sessions_of_one: sessions_of_one.map(std::num::NonZeroUsize::get).or(usual.sessions_of_one),
                tokens_of_one: tokens_of_one.map_or(usual.tokens_of_one, std::num::NonZeroUsize::get),
                requests_of_one: requests_of_one.map_or(usual.requests_of_one, std::num::NonZeroU64::get),
                requests_in_all: requests_in_all.map_or(usual.requests_in_all, std::num::NonZeroU64::get),
                lease,
                retention: Retention {
                    tokens: time(tokens, usual.retention.tokens),
                    requests: time(requests, usual.retention.requests),
                    recordings: time(recordings_kept, usual.retention.recordings),
                },
                recorded: bytes_per_operation.unwrap_or(usual.recorded),
                calls: mcp.read(),
            },
            bounds: Bounds {
                connections: connections.unwrap_or(bounds.connections),
                per_address: connections_per_address.unwrap_or(bounds.per_address),
                login: time(login, bounds.login),
            },
            apply: apply.map(|TypedApply(TypedApplying { directory, prune })| Applying {
                directory: home.join(directory),
                prune,
            }),
            watch: watch.unwrap_or(true),
            alarm,
            credentials: credentials.into_iter().map(|(name, typed)| (name, typed.below(home))).collect(),
            vault: vault.map(|vault| vault.below(home)),
            traces: traces.map(|traces| traces.below(home)),
            webhooks: webhooks.into_iter().map(|(name, typed)| (name, typed.below(home))).collect(),
            slack: slack.map(|slack| slack.below(home)),
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
            "data = \"state\"\napply = \"files\"\nwatch = false\nmaster_key = { command = [\"pass\", \"show\", \"durward\"] }\n\
             [postgres]\nlisten = [\"0.0.0.0:7432\"]\ntls = { certificate = \"c.pem\", key = \"/k.pem\" }\nlogin = \"5s\"\n\
             connections = 10\nconnections_per_address = 3\ntargets = { orders-db = \"127.0.0.1:7433\" }\n\
             [console]\nlisten = \"[::1]:7301\"\nhosts = [\"gate.example.com\"]\n\
             [agents]\nurls = [\"https://gate.example.com\"]\n\
             [log]\nformat = \"json\"\nlevel = \"debug\"\n[limits]\nhold = \"1m\"\nhold_in_block = \"10s\"\ndrain = \"20s\"\n\
             sessions_of_one = 20\ntokens_of_one = 30\nrequests_of_one = 1000\nrequests_in_all = 2000\n\
             [mcp]\ncalls = 4\nrows = 50\nbytes = 1000\ntime = \"30s\"\n\
             [recordings]\ndirectory = \"/mnt/rec\"\nbytes_per_operation = 4096\n\
             [retention]\ntokens = \"30d\"\nrecordings = \"1d\"\n[break_glass]\ncommand = [\"page\", \"oncall\"]\n",
        )
        .expect("settings");
        assert_eq!(settings.data, Path::new("/etc/durward/state"));
        assert_eq!(settings.tls, Some(("/etc/durward/c.pem".into(), "/k.pem".into())));
        assert_eq!((settings.bounds.connections, settings.bounds.per_address), (10, 3));
        assert_eq!(settings.bounds.login, Duration::from_secs(5));
        assert_eq!(settings.limits.hold, Duration::from_secs(60));
        assert_eq!((settings.limits.sessions_of_one, settings.limits.tokens_of_one), (Some(20), 30));
        let calls = &settings.limits.calls;
        assert_eq!((calls.at_once, calls.rows, calls.bytes), (4, 50, 1000));
        assert_eq!(calls.time, Duration::from_secs(30));
        assert_eq!((settings.limits.requests_of_one, settings.limits.requests_in_all), (1000, 2000));
        assert_eq!((settings.log.format, settings.log.level.as_str()), (LogFormat::Json, "debug"));
        assert!(matches!(settings.master_key, Source::Command(_)));
        assert_eq!(settings.targets, BTreeMap::from([("orders-db".to_owned(), here(7433))]));
        assert!(settings.hosts.contains("gate.example.com"));
        let directory = PathBuf::from("/etc/durward/files");
        assert_eq!(settings.apply, Some(Applying { directory: directory.clone(), prune: false }));
        assert!(!settings.watch);
        let pruned = read("apply = { directory = \"files\", prune = true }").expect("settings");
        assert_eq!((pruned.apply, pruned.watch), (Some(Applying { directory, prune: true }), true));
        let urls = BTreeSet::from(["https://gate.example.com".to_owned()]);
        assert_eq!(
            settings.agents,
            Some(Agents { listen: here(7380), urls, tls: None, authorization: None })
        );
        assert_eq!(settings.alarm, Some(vec!["page".to_owned(), "oncall".to_owned()]));
        let days = |n: u64| Duration::from_secs(n * 24 * 3600);
        assert_eq!(
            settings.limits.retention,
            Retention { tokens: days(30), requests: days(90), recordings: days(1) }
        );
        assert_eq!((settings.recordings, settings.limits.recorded), (PathBuf::from("/mnt/rec"), 4096));
        let usual = read("data = \"state\"").expect("settings");
        assert_eq!((usual.recordings, usual.limits.recorded), (usual.data.join("recordings"), 262_144));
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
            ("[recordings]\nbytes_per_operation = 9000000", "durward.toml:2:23: at most 8388608"),
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
                "durward.toml:1:1: 0.0.0.0:7300 can be reached from elsewhere",
            ),
            ("[console]\ntrusted_proxy = [\"10.0.0.7\"]", "durward.toml:1:1: public_url is missing"),
            (
                "[console]\ntrusted_proxy = [\"10.0.0.7/8\"]",
                "durward.toml:2:17: \"10.0.0.7/8\" is no network",
            ),
            (
                "[agents]\nlisten = \"0.0.0.0:7380\"",
                "durward.toml:1:1: 0.0.0.0:7380 can be reached from elsewhere, and tokens are told there",
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
            ("apply = { directory = \"x\", prun = true }", "durward.toml:1:28: unknown field `prun`"),
            ("apply = true", "durward.toml:1:9: invalid type: boolean `true`, expected a directory"),
            ("a b", "durward.toml:1:"),
        ] {
            let error = read(text).expect_err("an error");
            assert!(error.starts_with(begins), "{error}");
        }
    }

    #[test]
    fn agents_may_come_from_elsewhere_where_they_come_by_tls() {
        let text = "[agents]\nlisten = \"0.0.0.0:7380\"\ntls = { certificate = \"c.pem\", key = \"k.pem\" }";
        let settings = read(text).expect("settings");
        let agents = settings.agents.as_ref().expect("agents");
        assert_eq!(agents.tls, Some(("/etc/durward/c.pem".into(), "/etc/durward/k.pem".into())));
        for (other, expected) in [
            (text.replace("c.pem", "d.pem"), &[][..]),
            (text.replace("7380", "7381"), &["agents"]),
            ("[agents]\nlisten = \"127.0.0.1:7380\"".to_owned(), &["agents"]),
            (String::new(), &["agents"]),
        ] {
            assert_eq!(settings.differs_for_good(&read(&other).expect("settings")), expected, "{other}");
        }
    }

    #[test]
    fn browsers_come_from_elsewhere_by_tls_or_through_a_proxy_that_is_named() {
        let own = "[console]\nlisten = \"0.0.0.0:7300\"\npublic_url = \"https://gate.example.com\"\n";
        let tls = format!("{own}tls = {{ certificate = \"c.pem\", key = \"k.pem\" }}");
        let settings = read(&tls).expect("settings");
        assert_eq!(settings.console_tls, Some(("/etc/durward/c.pem".into(), "/etc/durward/k.pem".into())));
        let proxy = format!("{own}trusted_proxy = [\"10.0.0.0/8\", \"2001:db8::7\"]");
        assert_eq!(read(&proxy).expect("settings").public.trusted.len(), 2);
        for nobody in [own.to_owned(), format!("{own}trusted_proxy = []")] {
            let error = read(&nobody).expect_err("in clear, from elsewhere");
            assert!(error.contains("can be reached from elsewhere"), "{error}");
        }
        for (other, expected) in
            [(tls.replace("c.pem", "d.pem"), &[][..]), (proxy, &["console"]), (tls.clone(), &[])]
        {
            assert_eq!(settings.differs_for_good(&read(&other).expect("settings")), expected, "{other}");
        }
    }

    #[test]
    fn what_cannot_change_while_it_runs_is_named() {
        let old = read("").expect("settings");
        for (text, expected) in [
            ("", &[][..]),
            ("apply = \"x\"\n[limits]\nhold = \"1m\"\n[retention]\ntokens = \"1d\"", &[]),
            ("[postgres]\ntls = { certificate = \"c\", key = \"k\" }", &[]),
            ("data = \"x\"", &["data", "recordings.directory", "master_key"]),
            ("[postgres]\nlisten = [\"127.0.0.1:1\"]", &["postgres.listen"]),
            ("[console]\nhosts = [\"h\"]\n[log]\nlevel = \"debug\"", &["console", "log"]),
        ] {
            let new = read(text).expect("settings");
            assert_eq!(old.differs_for_good(&new), expected, "{text}");
        }
    }
}
