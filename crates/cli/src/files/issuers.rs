//! `[[issuers]]`: whose tokens are taken. Files that it names are read here, so that what is stored needs none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use policy::identity::{IssuerConfig, Preset, PrincipalConfig};
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
        } = self;
        let file = |path: Option<PathBuf>| {
            let read = |path: PathBuf| {
                std::fs::read_to_string(home.join(&path))
                    .with_context(|| format!("issuer \"{name}\": {}", path.display()))
            };
            path.map(read).transpose()
        };
        let seconds = |what: &str, time: Option<Time>| {
            let too_long = || Fault::Invalid(format!("issuer \"{name}\": {what} is too long"));
            time.map(|t| u32::try_from(t.0.as_secs()).map_err(|_| too_long())).transpose()
        };
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
            leeway: seconds("leeway", leeway)?,
            max_age: seconds("max_age", max_age)?,
            agent_session: seconds("agent_session", agent_session)?,
            user_session: seconds("user_session", user_session)?,
            exchange_life: seconds("exchange_life", exchange_life)?,
            name,
        })
    }
}
