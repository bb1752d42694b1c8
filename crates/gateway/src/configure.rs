//! Targets, tags and policies: from what was typed to what is in force, whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use journal::{Journal, record};
use masking::Strategy;
use model::{ColumnName, TableName, Tag, TargetName};
use policy::identity::{ClientConfig, GroupConfig, GroupProblem, Groups, IssuerConfig};
use policy::{Policies, Problem, Source, TargetFacts};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::audit::JournalDown;
use crate::catalogue::ColumnTag;
use crate::credentials::{Credential, Sources};
use crate::freshness::Staged;
use crate::gateway::{Gateway, InForce};
use crate::issuers::Issuers;
use crate::metrics::Metrics;
use crate::net::dial::{self, Address};
use crate::net::tls::{SslMode, UpstreamTls};
use crate::sessions::Ended;
use crate::state::{Configured, State, StateError};
use crate::targets::{Parts, Target};

mod merge;

pub use merge::Rest;

/// Everything that is configured. Passwords and proposals stay where nothing is said of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The services behind the gateway.
    #[serde(default)]
    pub targets: Vec<TargetConfig>,
    /// The policy files.
    #[serde(default)]
    pub policies: Vec<PolicyFile>,
    /// Whose tokens are taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<IssuerConfig>,
    /// Workloads without an issuer, each with a key of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientConfig>,
    /// Groups of the gateway's own, with who is in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupConfig>,
}

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Its name, for errors.
    pub name: String,
    /// Cedar text.
    pub text: String,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    /// What clients give as the database.
    pub name: String,
    /// Name, address, or the directory of a socket.
    pub host: String,
    /// Port.
    #[serde(default = "default_port")]
    pub port: u16,
    /// The role that the gateway logs in as.
    pub user: String,
    /// The database.
    pub database: String,
    /// Its password, on its way in; it never comes out again.
    #[serde(default, skip_serializing)]
    pub password: Option<Password>,
    /// The name of a source of its password in the process's own configuration, in place of a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// As libpq's.
    #[serde(default = "default_sslmode")]
    pub sslmode: String,
    /// Authorities in PEM; the system's where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslrootcert: Option<String>,
    /// TLS from the first byte.
    #[serde(default, skip_serializing_if = "is_false")]
    pub direct_tls: bool,
    /// What a policy may ask of it: `production`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Tags of columns, by `schema.table.column`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnConfig>,
}

/// What is said of one column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnConfig {
    /// Its tags; none clears what was proposed for it.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// How it is masked, where its tags do not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// Proposed by the gateway and not yet looked at by a person: it masks all the same.
    #[serde(default, skip_serializing_if = "is_false")]
    pub proposed: bool,
}

/// A password on its way into the vault. It is never printed, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Password(Zeroizing<String>);

impl Password {
    /// From what was typed or read.
    pub fn new(password: String) -> Self {
        Self(Zeroizing::new(password))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self::new(password)
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

fn default_port() -> u16 {
    5432
}

fn default_sslmode() -> String {
    "prefer".to_owned()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Why a configuration was not taken. The one in force stays.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// Policies that do not parse or do not fit the schema.
    #[error("{}", problems(.0))]
    Policies(Vec<Problem>),
    /// Something about a target.
    #[error("target \"{target}\": {what}")]
    Target {
        /// Which.
        target: String,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// Something about an issuer.
    #[error("issuer or client \"{issuer}\": {what}")]
    Issuer {
        /// Which.
        issuer: String,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// Groups that cannot be.
    #[error("{}", problems(.0))]
    Groups(Vec<GroupProblem>),
    /// The store.
    #[error("the store: {0}")]
    State(#[from] StateError),
    /// Somebody else was first.
    #[error("the configuration was changed meanwhile by somebody else: look at it and apply again")]
    Raced,
    /// A change that cannot be recorded is not made.
    #[error(transparent)]
    Journal(#[from] JournalDown),
}

fn problems<P: ToString>(all: &[P]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What targets are built with.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    pub journal: &'a Journal,
    pub metrics: &'a Arc<Metrics>,
    pub sources: &'a Sources,
}

/// Reads the stored configuration and builds what is in force.
pub(crate) async fn load(state: &State, means: Means<'_>) -> Result<InForce, ConfigureError> {
    let stored = state.configured().await?;
    build(stored.version, &stored.configuration, &stored.credentials, means)
}

/// From what was typed to what it means.
fn build(
    stored: i64,
    configuration: &Configuration,
    credentials: &BTreeMap<String, Zeroizing<Vec<u8>>>,
    means: Means<'_>,
) -> Result<InForce, ConfigureError> {
    let Configuration { targets, policies, issuers, clients, groups } = configuration;
    let groups = Groups::new(groups).map_err(ConfigureError::Groups)?;
    let issuers = Issuers::build(issuers, clients, means.sources)
        .map_err(|(issuer, what)| ConfigureError::Issuer { issuer, what })?;
    let policies = Policies::load(&sources(policies)).map_err(ConfigureError::Policies)?;
    let mut built = HashMap::new();
    for target in targets {
        let parts = parts(target, credential(target, credentials, means.sources), means)
            .map_err(|what| ConfigureError::Target { target: target.name.clone(), what })?;
        let name = parts.name.clone();
        if built.insert(name, Arc::new(Target::new(parts))).is_some() {
            let what = "there are two of this name".to_owned();
            return Err(ConfigureError::Target { target: target.name.clone(), what });
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

/// A source that this gateway does not have is a mistake of whoever applies; of what another gateway took it is that target's.
fn check_sources(wanted: &Configuration, sources: &Sources) -> Result<(), ConfigureError> {
    for target in &wanted.targets {
        let wrong = |what: String| Err(ConfigureError::Target { target: target.name.clone(), what });
        match &target.credential {
            Some(_) if target.password.is_some() => {
                return wrong("it has a password and a credential: one of them".to_owned());
            }
            Some(name) if sources.find(name).is_none() => {
                return wrong(format!("the gateway's durward.toml has no [credentials.{name}]"));
            }
            Some(_) | None => (),
        }
    }
    for issuer in &wanted.issuers {
        let credential = issuer.introspection.as_ref().map(|how| &how.credential);
        if let Some(name) = credential.filter(|name| sources.find(name).is_none()) {
            let what = format!("introspection: the gateway's durward.toml has no [credentials.{name}]");
            return Err(ConfigureError::Issuer { issuer: issuer.name.clone(), what });
        }
    }
    Ok(())
}

fn parts(target: &TargetConfig, credential: Credential, means: Means<'_>) -> Result<Parts, String> {
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
        tags,
        columns,
    } = target;
    check_name(name)?;
    for (what, value) in [("host", host), ("user", user), ("database", database)] {
        if value.is_empty() || value.contains('\0') {
            return Err(format!("its {what} is empty or has a zero byte"));
        }
    }
    let roots = sslrootcert.as_ref().map(|pem| pem.as_bytes().to_vec());
    let tls = UpstreamTls::new(sslmode.parse::<SslMode>()?, roots, *direct_tls);
    Ok(Parts {
        name: TargetName::new(name),
        facts: TargetFacts { tags: tags.iter().map(|t| tag(t)).collect::<Result<_, _>>()? },
        address: Address::new(host, *port),
        tls,
        user: user.clone(),
        database: database.clone(),
        credential,
        columns: column_tags(columns)?,
        journal: means.journal.clone(),
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

/// `schema.table.column`; a part with a dot in it stands in double quotes.
pub fn column_name(text: &str) -> Option<ColumnName> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at_checked(rest.find('.').unwrap_or(rest.len()))?,
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part.to_owned());
        if behind.is_empty() {
            break;
        }
        rest = behind.strip_prefix('.')?;
    }
    let [schema, name, column] = parts.try_into().ok()?;
    Some(ColumnName { table: TableName { schema, name }, name: column })
}

/// The text that [`column_name`] reads.
pub(crate) fn column_text(column: &ColumnName) -> String {
    let part = |p: &str| if p.contains('.') { format!("\"{p}\"") } else { p.to_owned() };
    format!("{}.{}.{}", part(&column.table.schema), part(&column.table.name), part(&column.name))
}

/// What an `apply` changed, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The policies' version.
    pub version: String,
    /// Names the whole of what is in force then; passwords are no part of it.
    pub configuration: String,
    /// One line for each difference.
    pub changes: Vec<String>,
    /// What stays although it was not named, a line each.
    pub stays: Vec<String>,
}

/// So many differences stand in a record, and then how many more there are.
const MOST_CHANGES: usize = 200;

/// A configuration that could be in force.
struct Ready {
    /// The version that it was made from.
    was: i64,
    wanted: Configuration,
    in_force: InForce,
    applied: Applied,
}

impl Gateway {
    fn means(&self) -> Means<'_> {
        Means { journal: self.journal(), metrics: self.metrics(), sources: self.sources() }
    }

    /// Replaces the configuration, whole or not at all. Sessions see it with their next operation.
    ///
    /// # Errors
    /// What is wrong with it, with its place. The old one stays in force.
    pub async fn apply(&self, wanted: Configuration, by: &str) -> Result<Applied, ConfigureError> {
        self.change(wanted, Rest::Prune, by).await
    }

    /// The same, where what is not named may stay. What changes nothing is no version of its own.
    ///
    /// # Errors
    /// As [`Gateway::apply`].
    pub async fn change(
        &self,
        wanted: Configuration,
        rest: Rest,
        by: &str,
    ) -> Result<Applied, ConfigureError> {
        self.put(None, wanted, rest, by).await
    }

    /// The same, where `seen` is the version that `wanted` was made from.
    async fn put(
        &self,
        seen: Option<i64>,
        wanted: Configuration,
        rest: Rest,
        by: &str,
    ) -> Result<Applied, ConfigureError> {
        let _one_at_a_time = self.changing.lock().await;
        let Ready { was, wanted, mut in_force, applied } = self.ready(wanted, rest).await?;
        if seen.is_some_and(|seen| seen != was) {
            return Err(ConfigureError::Raced);
        }
        if applied.changes.is_empty() {
            return Ok(applied);
        }
        let before = self.in_force.load_full();
        let staged = stage(&before, &mut in_force).await;
        self.note(&record::Body::Administered {
            who: by.to_owned(),
            what: "apply".to_owned(),
            detail: summary(&applied),
        })?;
        let Some(now) = self.state().replace(was, &wanted).await? else {
            self.note(&record::Body::Administered {
                who: by.to_owned(),
                what: "apply".to_owned(),
                detail: "was not done: somebody else was first".to_owned(),
            })?;
            return Err(ConfigureError::Raced);
        };
        in_force.stored = now;
        self.take(&before, in_force, staged).await;
        Ok(applied)
    }

    /// Takes what another gateway has stored, if it is not in force here already.
    ///
    /// # Errors
    /// It cannot be read, is not valid here, or cannot be recorded. The old one stays in force.
    pub(crate) async fn follow(&self) -> Result<(), ConfigureError> {
        if self.state().version().await? == self.in_force.load().stored {
            return Ok(());
        }
        let _one_at_a_time = self.changing.lock().await;
        let Configured { version, configuration, credentials } = self.state().configured().await?;
        let before = self.in_force.load_full();
        if version == before.stored {
            return Ok(());
        }
        let mut in_force = build(version, &configuration, &credentials, self.means())?;
        let staged = stage(&before, &mut in_force).await;
        self.note(&record::Body::Administered {
            who: "store".to_owned(),
            what: "apply".to_owned(),
            detail: format!("policies {}; by another gateway", in_force.policies.version()),
        })?;
        self.take(&before, in_force, staged).await;
        Ok(())
    }

    /// From here on it is in force, and sessions that cannot go on under it end.
    async fn take(&self, before: &InForce, in_force: InForce, staged: Vec<(TargetName, Staged)>) {
        let narrows = before.policies.allows_everything() && !in_force.policies.allows_everything();
        let mut stale: BTreeSet<TargetName> = before
            .targets
            .iter()
            .filter(|(name, old)| !still_there(&in_force, name, old))
            .map(|(n, _)| n.clone())
            .collect();
        for (name, staged) in staged {
            if !staged.take() {
                stale.insert(name);
            }
        }
        let in_force = Arc::new(in_force);
        self.in_force.store(Arc::clone(&in_force));
        self.turns.fetch_add(1, Ordering::SeqCst);
        self.issuers().refresh();
        self.sessions().end(&Ended::Reconfigured, |live| stale.contains(&live.target));
        let issuers = self.issuers();
        self.sessions().end(&Ended::Revoked, |live| !issuers.vouch_for(&live.principal));
        // Those who lost a group and those who came into one alike: policies forbid by groups, too.
        self.sessions().end(&Ended::Regrouped, |live| !in_force.groups.agree_with(&live.principal));
        if narrows {
            self.sessions().end_unbounded(&Ended::Narrowed);
        }
    }

    /// Checks a configuration without taking it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn check(&self, wanted: Configuration, rest: Rest) -> Result<Applied, ConfigureError> {
        Ok(self.ready(wanted, rest).await?.applied)
    }

    /// All that can be wrong is found here, before anything changes.
    async fn ready(&self, mut wanted: Configuration, rest: Rest) -> Result<Ready, ConfigureError> {
        check_sources(&wanted, self.sources())?;
        let Configured { version: was, configuration: stored, credentials } =
            self.state().configured().await?;
        let stays = merge::fold(&stored, &mut wanted, rest);
        merge::forget_known_passwords(&mut wanted, &credentials);
        let in_force = build(was, &wanted, &credentials, self.means())?;
        let targets = wanted.targets.iter().map(|t| t.name.as_str()).collect();
        let groups = in_force.groups.names().iter().map(String::as_str).collect();
        let dangling = in_force.policies.dangling(&sources(&wanted.policies), &targets, &groups);
        if !dangling.is_empty() {
            return Err(ConfigureError::Policies(dangling));
        }
        let applied = Applied {
            version: in_force.policies.version().to_owned(),
            configuration: merge::digest(&wanted),
            changes: merge::differences(&stored, &wanted),
            stays,
        };
        Ok(Ready { was, wanted, in_force, applied })
    }

    /// The configuration as it is stored, without passwords.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn export(&self) -> Result<Configuration, ConfigureError> {
        Ok(self.state().configured().await?.configuration)
    }

    /// Reads a target's catalogue and proposes tags for columns by their names and types. Proposals are stored, and mask
    /// at once; what is configured or cleared already stays as it is.
    ///
    /// # Errors
    /// The target cannot be read, or the proposals cannot be stored.
    pub async fn propose(&self, target: &TargetName, by: &str) -> Result<Vec<String>, ConfigureError> {
        let failed = |what: String| ConfigureError::Target { target: target.to_string(), what };
        let live = self.target(target).ok_or_else(|| failed("there is no such target".to_owned()))?;
        live.catalogue.ready().await.map_err(|error| failed(error.to_string()))?;
        let (catalogue, _) = live.catalogue.current();
        let Configured { version: seen, configuration: mut wanted, credentials: _ } =
            self.state().configured().await?;
        let Some(config) = wanted.targets.iter_mut().find(|t| t.name == target.as_str()) else {
            return Err(failed("there is no such target".to_owned()));
        };
        let mut proposed = Vec::new();
        for (column, tag) in crate::catalogue::proposals(&catalogue) {
            let name = column_text(&column);
            if let std::collections::btree_map::Entry::Vacant(free) = config.columns.entry(name.clone()) {
                free.insert(ColumnConfig { tags: [tag.0.clone()].into(), strategy: None, proposed: true });
                proposed.push(format!("{name}: {tag}"));
            }
        }
        if !proposed.is_empty() {
            self.put(Some(seen), wanted, Rest::Prune, by).await?;
        }
        Ok(proposed)
    }
}

/// What a record says of a version: its digest, its policies, and what it changed.
fn summary(applied: &Applied) -> String {
    let Applied { version, configuration, changes, stays: _ } = applied;
    let mut lines: Vec<&str> = changes.iter().take(MOST_CHANGES).map(String::as_str).collect();
    let more = changes.len().checked_sub(MOST_CHANGES + 1).map(|n| format!("and {} more", n + 1));
    lines.extend(more.as_deref());
    format!("configuration {configuration}; policies {version}; {}", lines.join("; "))
}

fn sources(files: &[PolicyFile]) -> Vec<Source> {
    files.iter().map(|p| Source { name: p.name.clone(), text: p.text.clone() }).collect()
}

/// Lets new targets keep what was read of the same places before, under their new tags, and issuers their keys.
async fn stage(before: &InForce, after: &mut InForce) -> Vec<(TargetName, Staged)> {
    if let Some(issuers) = Arc::get_mut(&mut after.issuers) {
        issuers.inherit(&before.issuers);
    }
    let mut staged = Vec::new();
    for (name, target) in &mut after.targets {
        let Some(old) = before.targets.get(name).filter(|old| old.is_same_place(target)) else { continue };
        let tagging = target.catalogue.tagging();
        let Some(target) = Arc::get_mut(target) else { continue };
        target.catalogue = Arc::clone(&old.catalogue);
        if old.catalogue.tagging() != tagging {
            staged.push((name.clone(), old.catalogue.stage(tagging).await));
        }
    }
    staged
}

/// Whether sessions on a target may go on under the new configuration.
fn still_there(after: &InForce, name: &TargetName, old: &Target) -> bool {
    after.targets.get(name).is_some_and(|new| new.is_same_place(old))
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
                assert_eq!(column_text(&column), text);
            }
        }
    }

    #[test]
    fn a_password_is_never_printed_or_exported() {
        let json = r#"{"name":"t","host":"h","user":"u","database":"d","password":"hunter2"}"#;
        let target: TargetConfig = serde_json::from_str(json).expect("a target");
        assert!(!format!("{target:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&target).expect("json").contains("hunter2"));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let json = r#"{"name":"t","host":"h","user":"u","database":"d","pasword":"x"}"#;
        let error = serde_json::from_str::<TargetConfig>(json).expect_err("a typing error");
        assert!(error.to_string().contains("pasword"), "{error}");
    }
}
