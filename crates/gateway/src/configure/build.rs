//! From what was typed to what it means.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use journal::Journal;
use masking::Strategy;
use model::{ColumnName, TableName, Tag, TargetName};
use policy::identity::Groups;
use policy::{Policies, Source, TargetFacts};
use zeroize::Zeroizing;

use super::functions::cleared;
use super::{ColumnConfig, Configuration, ConfigureError, PolicyFile, TargetConfig, merge};
use crate::cases;
use crate::catalogue::ColumnTag;
use crate::credentials::{Credential, Sources};
use crate::gateway::InForce;
use crate::issuers::Issuers;
use crate::metrics::Metrics;
use crate::net::dial::{self, Address};
use crate::net::tls::{SslMode, UpstreamTls};
use crate::state::State;
use crate::targets::{Care, Parts, Tagging, Target};

/// What targets are built with.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    pub journal: &'a Journal,
    pub state: &'a State,
    pub metrics: &'a Arc<Metrics>,
    pub sources: &'a Sources,
}

/// Reads the stored configuration and builds what is in force.
pub(crate) async fn load(state: &State, means: Means<'_>) -> Result<InForce, ConfigureError> {
    let stored = state.configured().await?;
    build(stored.version, &stored.configuration, &stored.credentials, means)
}

/// From what was typed to what it means.
pub(super) fn build(
    stored: i64,
    configuration: &Configuration,
    credentials: &BTreeMap<String, Zeroizing<Vec<u8>>>,
    means: Means<'_>,
) -> Result<InForce, ConfigureError> {
    let Configuration { targets, policies, tests: _, issuers, clients, groups } = configuration;
    let groups = Groups::new(groups).map_err(ConfigureError::Groups)?;
    let issuers = Issuers::build(issuers, clients, means.sources, means.metrics)
        .map_err(|(issuer, what)| ConfigureError::Issuer { issuer, member: None, what })?;
    let policies = Policies::load(&sources(policies)).map_err(ConfigureError::Policies)?;
    let mut built = HashMap::new();
    for target in targets {
        let parts = parts(target, credential(target, credentials, means.sources), means)
            .map_err(|(member, what)| ConfigureError::Target { target: target.name.clone(), member, what })?;
        let name = parts.name.clone();
        if built.insert(name, Arc::new(Target::new(parts))).is_some() {
            let what = "there are two of this name".to_owned();
            return Err(ConfigureError::Target { target: target.name.clone(), member: None, what });
        }
    }
    let digest = merge::digest(configuration);
    Ok(InForce {
        stored,
        policies,
        targets: built,
        issuers: Arc::new(issuers),
        groups: Arc::new(groups),
        digest,
    })
}

/// A target by itself, with its own password alone.
pub(super) fn lone(target: &TargetConfig, means: Means<'_>) -> Result<Target, String> {
    let parts = parts(target, credential(target, &BTreeMap::new(), means.sources), means);
    parts.map(Target::new).map_err(|(_, what)| what)
}

/// What a target logs in with.
fn credential(
    target: &TargetConfig,
    kept: &BTreeMap<String, Zeroizing<Vec<u8>>>,
    sources: &Sources,
) -> Credential {
    if let Some(name) = &target.credential {
        let found = sources.find(name).map(Credential::Sourced);
        return found.unwrap_or_else(|| Credential::Missing(name.clone()));
    }
    let given = target.password.as_ref().map(|p| Zeroizing::new(p.reveal().as_bytes().to_vec()));
    let password = given.or_else(|| kept.get(&target.name).cloned());
    password.map_or(Credential::None, |bytes| Credential::Kept(Arc::new(dial::Password::new(bytes))))
}

/// Tests that cannot be read would never fail.
pub(super) fn check_tests(wanted: &Configuration) -> Result<(), ConfigureError> {
    let wrong = |file: &PolicyFile| match cases::is_one(&file.name) {
        true => cases::read(&file.name, &file.text).err(),
        false => Some(format!("{}: files with tests are called NAME{}", file.name, cases::ENDS)),
    };
    let wrong: Vec<String> = wanted.tests.iter().filter_map(wrong).collect();
    if wrong.is_empty() { Ok(()) } else { Err(ConfigureError::Tests(wrong)) }
}

/// A source that this gateway does not have is a mistake of whoever applies; of what another gateway took it is that target's.
pub(super) fn check_sources(wanted: &Configuration, sources: &Sources) -> Result<(), ConfigureError> {
    for target in &wanted.targets {
        let wrong = |what: String| {
            let member = Some("credential");
            Err(ConfigureError::Target { target: target.name.clone(), member, what })
        };
        match &target.credential {
            Some(_) if target.password.is_some() => {
                return wrong("it has a password and a credential: one of them".to_owned());
            }
            Some(name) if sources.find(name).is_none() => {
                return wrong(sources.missing(name));
            }
            Some(_) | None => (),
        }
    }
    for issuer in &wanted.issuers {
        let asked = issuer.introspection.as_ref().map(|how| ("introspection", &how.credential));
        let console = issuer.console_credential.as_ref().map(|name| ("console_credential", name));
        for (whose, name) in asked.into_iter().chain(console) {
            if sources.find(name).is_none() {
                let what = format!("{whose}: {}", sources.missing(name));
                return Err(ConfigureError::Issuer {
                    issuer: issuer.name.clone(),
                    member: Some(whose),
                    what,
                });
            }
        }
    }
    Ok(())
}

/// What is wrong with a target, and with which of its members.
type Wrong = (Option<&'static str>, String);

fn parts(target: &TargetConfig, credential: Credential, means: Means<'_>) -> Result<Parts, Wrong> {
    let TargetConfig {
        name,
        host,
        port,
        user,
        database,
        password: _,
        credential: _,
        sslmode,
        sslrootcert,
        direct_tls,
        require_channel_binding,
        read_only,
        freshness,
        tags,
        columns,
        functions,
    } = target;
    let of = |member: &'static str| move |what: String| (Some(member), what);
    check_name(name).map_err(of("name"))?;
    for (what, value) in [("host", host), ("user", user), ("database", database)] {
        if value.is_empty() || value.contains('\0') {
            return Err(of(what)(format!("its {what} is empty or has a zero byte")));
        }
    }
    let roots = sslrootcert.as_ref().map(|pem| pem.as_bytes().to_vec());
    let mode = sslmode.parse::<SslMode>().map_err(of("sslmode"))?;
    if *require_channel_binding && mode == SslMode::Disable {
        return Err(of("require_channel_binding")("there is nothing to bind to without TLS".to_owned()));
    }
    let judged = if *require_channel_binding { UpstreamTls::bound } else { UpstreamTls::new };
    let tls = judged(mode, roots, *direct_tls);
    let tags = tags.iter().map(|t| tag(t)).collect::<Result<_, _>>().map_err(of("tags"))?;
    let columns = column_tags(columns).map_err(of("columns"))?;
    let functions = cleared(functions).map_err(of("functions"))?;
    Ok(Parts {
        name: TargetName::new(name),
        facts: TargetFacts { tags },
        address: Address::new(host, *port),
        tls,
        user: user.clone(),
        database: database.clone(),
        credential,
        tagging: Tagging::new(columns).clearing(functions),
        care: Care { read_only: *read_only, freshness: *freshness },
        journal: means.journal.clone(),
        state: means.state.clone(),
        metrics: Arc::clone(means.metrics),
    })
}

/// A target's name stands in connection strings and policies.
///
/// # Errors
/// What it may be made of.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 63 || !name.chars().all(fine) {
        return Err("a target's name has 1 to 63 letters, digits, `-`, `_` and `.`".to_owned());
    }
    Ok(())
}

/// A tag of a column or a target.
///
/// # Errors
/// What it may be made of.
pub fn tag(word: &str) -> Result<Tag, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if word.is_empty() || !word.chars().all(fine) {
        return Err(format!(
            "the tag \"{word}\" has other characters than letters, digits, `-`, `_` and `.`"
        ));
    }
    Ok(Tag(word.to_owned()))
}

fn column_tags(columns: &BTreeMap<String, ColumnConfig>) -> Result<Vec<ColumnTag>, String> {
    let mut all = Vec::new();
    for (name, ColumnConfig { tags, strategy, proposed: _ }) in columns {
        let column = column_name(name)
            .ok_or_else(|| format!("\"{name}\" is no column: it is written schema.table.column"))?;
        let strategy = strategy
            .as_deref()
            .map(str::parse::<Strategy>)
            .transpose()
            .map_err(|e| format!("{name}: {e}"))?;
        for word in tags {
            all.push(ColumnTag { column: column.clone(), tag: tag(word)?, strategy });
        }
    }
    Ok(all)
}

/// `schema.table.column`; a part with a dot or a quote in it stands in double quotes.
pub fn column_name(text: &str) -> Option<ColumnName> {
    let [schema, name, column] = model::parts(text)?.try_into().ok()?;
    Some(ColumnName { table: TableName { schema, name }, name: column })
}

pub(super) fn sources(files: &[PolicyFile]) -> Vec<Source> {
    files.iter().map(|p| Source { name: p.name.clone(), text: p.text.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_written_with_its_schema_and_table() {
        for (text, fits) in [
            ("shop.customers.email", true),
            ("shop.\"odd.table\".email", true),
            ("customers.email", false),
            ("a.b.c.d", false),
            ("a..c", false),
            ("", false),
            ("a.\"b.c", false),
        ] {
            let read = column_name(text);
            assert_eq!(read.is_some(), fits, "{text}");
            if let Some(column) = read {
                assert_eq!(column.to_string(), text);
            }
        }
    }
}
