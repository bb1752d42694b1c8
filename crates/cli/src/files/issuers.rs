//! `[[issuers]]`: whose tokens are taken; `[[clients]]`: workloads with keys of their own. Files that they name are read here,
//! so that what is stored needs none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use policy::identity::{ClientConfig, IssuerConfig, Preset, PrincipalConfig};
use serde::Deserialize;

use crate::exit::Fault;
use crate::typed::{OneOrMore, Time};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedIssuer {
    name: String,
    preset: Option<Preset>,
    issuer: Option<String>,
    audience: OneOrMore,
    algorithms: Option<BTreeSet<String>>,
    jwks_uri: Option<String>,
    /// A file with its keys: then nothing is fetched.
    jwks_file: Option<PathBuf>,
    /// A file with the authorities of its TLS, in PEM.
    ca_file: Option<PathBuf>,
    when: Option<String>,
    #[serde(default)]
    principals: Vec<PrincipalConfig>,
    prefix: Option<String>,
    leeway: Option<Time>,
    max_age: Option<Time>,
    agent_session: Option<Time>,
    user_session: Option<Time>,
    exchange_life: Option<Time>,
    login_client: Option<String>,
    login_scopes: Option<String>,
}

impl TypedIssuer {
    /// What it means, with the files that it names.
    pub(super) fn read(self, home: &Path) -> anyhow::Result<IssuerConfig> {
        let Self {
            name,
            preset,
            issuer,
            audience,
            algorithms,
            jwks_uri,
            jwks_file,
            ca_file,
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
        } = self;
        let who = format!("issuer \"{name}\"");
        let file = |path: Option<PathBuf>| path.map(|path| read(&who, home, &path)).transpose();
        Ok(IssuerConfig {
            preset,
            issuer,
            audience: audience.0,
            algorithms,
            jwks_uri,
            jwks: file(jwks_file)?,
            ca: file(ca_file)?,
            when,
            principals,
            prefix,
            leeway: seconds(&who, "leeway", leeway)?,
            max_age: seconds(&who, "max_age", max_age)?,
            agent_session: seconds(&who, "agent_session", agent_session)?,
            user_session: seconds(&who, "user_session", user_session)?,
            exchange_life: seconds(&who, "exchange_life", exchange_life)?,
            login_client,
            login_scopes,
            name,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedClient {
    name: String,
    /// A file with its public keys.
    jwks_file: PathBuf,
    algorithms: Option<BTreeSet<String>>,
    #[serde(default)]
    groups: BTreeSet<String>,
    agent_session: Option<Time>,
    exchange_life: Option<Time>,
}

impl TypedClient {
    /// What it means, with the file that it names.
    pub(super) fn read(self, home: &Path) -> anyhow::Result<ClientConfig> {
        let Self { name, jwks_file, algorithms, groups, agent_session, exchange_life } = self;
        let who = format!("client \"{name}\"");
        Ok(ClientConfig {
            jwks: read(&who, home, &jwks_file)?,
            algorithms,
            groups,
            agent_session: seconds(&who, "agent_session", agent_session)?,
            exchange_life: seconds(&who, "exchange_life", exchange_life)?,
            name,
        })
    }
}

fn read(who: &str, home: &Path, path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(home.join(path)).with_context(|| format!("{who}: {}", path.display()))
}

fn seconds(who: &str, what: &str, time: Option<Time>) -> anyhow::Result<Option<u32>> {
    let too_long = || Fault::Invalid(format!("{who}: {what} is too long"));
    Ok(time.map(|t| u32::try_from(t.0.as_secs()).map_err(|_| too_long())).transpose()?)
}
