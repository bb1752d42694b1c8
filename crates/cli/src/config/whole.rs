//! The whole of `durward.toml` as it is typed, and what it means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use console::Public;
use gateway::gateway::{Limits, Retention};
use gateway::net::listen::Bounds;
use model::TargetName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::address::Listen;
use super::mcp::TypedMcp;
use super::sections::*;
use super::{Agents, Applying, CONSOLE, Log, Settings, SharedStore, Source, here};
use crate::carriers::{TypedSlack, TypedWebhook};
use crate::credentials::{TypedCredential, TypedVault};
use crate::passphrase::Unlock;
use crate::traces::TypedTraces;
use crate::typed::Time;

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
        let TypedPostgres { listen, targets, names, oauth, tls, connections, connections_per_address, login } =
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
            unlock: Unlock::default(),
            store,
            postgres: listen.map_or_else(|| vec![here(7432)], |listen| listen.0),
            targets: targets.into_iter().map(|(name, Listen(address))| (name, address)).collect(),
            names: names
                .into_iter()
                .map(|(name, target)| (name.to_ascii_lowercase(), TargetName::new(target)))
                .collect(),
            oauth: oauth.map(|oauth| oauth.0).unwrap_or_default(),
            tls: tls.map(below),
            console: console.map_or(here(CONSOLE), |c| c.0),
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
