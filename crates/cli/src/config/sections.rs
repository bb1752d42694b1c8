//! The sections of `durward.toml`, as they are typed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use console::{NETWORK, Network};
use gateway::people::Roles;
use policy::rights::{Right, Role};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::address::{Addresses, LOOPBACK, Listen};
use super::{LogFormat, Source, loopback};
use crate::authorization::TypedAuthorization;
use crate::typed::Time;

/// What is known of the store may not be older than this.
pub(super) const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// So much of one operation's answer can be recorded, in bytes.
pub(super) const MOST_RECORDED: usize = 8 * 1024 * 1024;

/// A user, and no password.
pub(super) const STORE: &str = r"^postgres(ql)?://([^:@/?]+@[^?]*(\?.*)?|[^?@]*\?(.*&)?user=.*)$";

/// `store = "postgres://…"`, or a table with more.
pub(super) struct TypedStore(pub(super) TypedStoreTable);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedStoreTable {
    /// `postgres://user@host:port/database`, without a password.
    #[schemars(extend("pattern" = STORE))]
    pub(super) url: String,
    /// Where its password comes from.
    pub(super) password: Option<Source>,
    /// How old what a gateway knows of the store may be; at most a minute.
    pub(super) lease: Option<Time>,
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
}, "dependentRequired" = { "names": ["tls"] }))]
pub(super) struct TypedPostgres {
    /// `127.0.0.1:7432` where it is not given.
    pub(super) listen: Option<Addresses>,
    /// Listeners of one target each, by its name: clients give the real database there.
    #[serde(default)]
    pub(super) targets: BTreeMap<String, Listen>,
    /// Targets by the names that clients' TLS asks for, such as `orders.gate.example.com`: these give the real database, too.
    #[serde(default)]
    pub(super) names: BTreeMap<String, String>,
    /// Listeners whose clients sign in by OAUTHBEARER.
    pub(super) oauth: Option<Addresses>,
    /// What clients are shown.
    pub(super) tls: Option<TypedTls>,
    /// So many at a time.
    pub(super) connections: Option<usize>,
    /// So many at a time from one address.
    pub(super) connections_per_address: Option<usize>,
    /// A login may take so long.
    pub(super) login: Option<Time>,
}

/// The list of addresses may be empty where targets have listeners of their own.
pub(super) fn reachable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TypedPostgres, D::Error> {
    let typed = TypedPostgres::deserialize(deserializer)?;
    let none = typed.listen.as_ref().is_some_and(|listen| listen.0.is_empty()) && typed.targets.is_empty();
    if none {
        Err(serde::de::Error::custom("nobody could connect: name at least one address"))
    } else if !typed.names.is_empty() && typed.tls.is_none() {
        Err(serde::de::Error::custom("names are what TLS asks for: it needs tls"))
    } else {
        Ok(typed)
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedTls {
    /// The chain, in PEM.
    pub(super) certificate: PathBuf,
    /// Its key, in PEM.
    pub(super) key: PathBuf,
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
pub(super) struct TypedConsole {
    /// `127.0.0.1:7300` where it is not given; on this machine where there is neither a certificate nor a trusted proxy.
    pub(super) listen: Option<Listen>,
    /// Names beside that of `public_url` by which the admin API is asked, of a reverse proxy that encrypts.
    #[serde(default)]
    pub(super) hosts: BTreeSet<String>,
    /// Where people's browsers find it: its own address by TLS, or that of a reverse proxy that encrypts. Passkeys are bound to its name.
    pub(super) public_url: Option<PublicUrl>,
    /// What browsers are shown. Whoever is on another machine, and no trusted proxy, then comes by TLS.
    pub(super) tls: Option<TypedTls>,
    /// Addresses of reverse proxies whose `X-Forwarded-For`, `-Host` and `-Proto` are believed: `10.0.0.0/8`, `192.0.2.7`.
    pub(super) trusted_proxy: Option<Vec<TypedNetwork>>,
    /// What people who sign in at issuers are in the console: groups, and people as `user:NAME`.
    #[serde(default)]
    pub(super) roles: TypedRoles,
    /// What is changed in the console only where a second person has confirmed it: `policies`, `targets`.
    #[serde(default)]
    pub(super) second_person: BTreeSet<TypedChange>,
}

/// Addresses that have their first bits in common.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("type" = "string", "pattern" = NETWORK))]
pub(super) struct TypedNetwork(#[schemars(with = "String")] pub(super) Network);

impl TryFrom<String> for TypedNetwork {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

/// Secrets and cookies are sent there: they are encrypted, or stay on this machine.
pub(super) fn for_browsers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TypedConsole, D::Error> {
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
pub(super) enum TypedChange {
    /// Files of policies.
    Policies,
    /// Targets that are added.
    Targets,
}

impl TypedChange {
    pub(super) fn right(self) -> Right {
        match self {
            Self::Policies => Right::ChangePolicies,
            Self::Targets => Right::ChangeTargets,
        }
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedRoles {
    /// Who may see and do everything.
    pub(super) administrator: Option<BTreeSet<String>>,
    /// Who may change policies.
    pub(super) policy_editor: Option<BTreeSet<String>>,
    /// Who may see everything, and change nothing.
    pub(super) auditor: Option<BTreeSet<String>>,
}

impl TypedRoles {
    pub(super) fn read(self) -> Roles {
        let Self { administrator, policy_editor, auditor } = self;
        let all = [
            (Role::Administrator, administrator),
            (Role::PolicyEditor, policy_editor),
            (Role::Auditor, auditor),
        ];
        Roles(all.into_iter().filter_map(|(role, who)| who.map(|who| (role, who))).collect())
    }
}

pub(super) const PUBLIC_URL: &str = r"^https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?/?$";

/// `https://gate.example.com`.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("type" = "string", "pattern" = PUBLIC_URL))]
pub(super) struct PublicUrl(pub(super) String);

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
pub(super) struct TypedAgents {
    /// `127.0.0.1:7380` where it is not given; on this machine where there is no certificate.
    pub(super) listen: Option<Listen>,
    /// What clients call it from outside.
    #[serde(default)]
    pub(super) urls: BTreeSet<String>,
    /// What clients are shown, who then come by TLS alone.
    pub(super) tls: Option<TypedTls>,
    /// Clients that speak MCP sign people in at the console, and get tokens of agents that act for them; off where it is not given.
    pub(super) authorization: Option<TypedAuthorization>,
}

/// Tokens are told there: they are encrypted, or stay on this machine.
pub(super) fn private<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TypedAgents>, D::Error> {
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
pub(super) struct TypedLog {
    #[serde(default)]
    pub(super) format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or for each module: `gateway=debug,info`.
    pub(super) level: Option<String>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedLimits {
    /// How long a held statement waits for its answer.
    pub(super) hold: Option<Time>,
    /// The same inside a transaction, where it holds locks.
    pub(super) hold_in_block: Option<Time>,
    /// How long busy sessions may go on when the gateway ends.
    pub(super) drain: Option<Time>,
    /// How many sessions one principal may have on one target, and one person's agents together; three quarters of the target's
    /// connections where it is not given.
    #[schemars(range(min = 1))]
    pub(super) sessions_of_one: Option<std::num::NonZeroUsize>,
    /// How many tokens that were made of others may be good at a time, of one person and their agents; 1000 where it is not given.
    #[schemars(range(min = 1))]
    pub(super) tokens_of_one: Option<std::num::NonZeroUsize>,
    /// How many bytes of one person's held statements are kept, answered ones too; 134217728 where it is not given.
    #[schemars(range(min = 1))]
    pub(super) requests_of_one: Option<std::num::NonZeroU64>,
    /// How many bytes of all held statements are kept; 1073741824 where it is not given.
    #[schemars(range(min = 1))]
    pub(super) requests_in_all: Option<std::num::NonZeroU64>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedRetention {
    /// Tokens, from their expiry.
    pub(super) tokens: Option<Time>,
    /// Requests that are over, from when they were filed.
    pub(super) requests: Option<Time>,
    /// Recordings, from when they were written last.
    pub(super) recordings: Option<Time>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedRecordings {
    /// So many bytes of each operation's answer are kept, and a digest of the rest; 262144 where it is not given.
    #[schemars(range(max = 8_388_608))]
    #[serde(default, deserialize_with = "bounded")]
    pub(super) bytes_per_operation: Option<usize>,
    /// Where they are; `recordings` in the data directory where it is not given.
    pub(super) directory: Option<PathBuf>,
}

/// What of one answer is kept is written in one piece.
pub(super) fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let bytes = usize::deserialize(deserializer)?;
    if bytes > MOST_RECORDED {
        return Err(serde::de::Error::custom(format!(
            "at most {MOST_RECORDED}: more of one answer is not kept"
        )));
    }
    Ok(Some(bytes))
}

/// A directory, or a directory and what becomes of what it does not name.
pub(super) struct TypedApply(pub(super) TypedApplying);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedApplying {
    /// The directory.
    pub(super) directory: PathBuf,
    /// Whether what is in force and not in the directory is removed.
    #[serde(default)]
    pub(super) prune: bool,
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
pub(super) struct TypedBreakGlass {
    /// A command, given as its words, that hears of each code that is used.
    pub(super) command: Option<Vec<String>>,
}
