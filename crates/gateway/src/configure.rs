//! Targets, tags and policies: from what was typed to what is in force, whole or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use journal::record;
use model::TargetName;
use policy::Problem;
use policy::identity::GroupProblem;
use schemars::JsonSchema;
use serde::Serialize;

use crate::audit::JournalDown;
use crate::freshness::Staged;
use crate::gateway::{Gateway, InForce};
use crate::sessions::Ended;
use crate::state::{Configured, StateError};
use crate::targets::Target;

mod build;
mod functions;
mod merge;
mod typed;

pub(crate) use build::{Means, load};
use build::{build, check_sources, check_tests, sources};
pub use build::{check_name, column_name, tag};
pub use functions::check_digest;
pub use merge::Rest;
pub use typed::{
    ColumnConfig, Configuration, Freshness, FunctionConfig, Password, PolicyFile, ReadOnly, TargetConfig,
};

/// Why a configuration was not taken. The one in force stays.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// Policies that do not parse or do not fit the schema.
    #[error("{}", problems(.0))]
    Policies(Vec<Problem>),
    /// Tests of policies that cannot be read.
    #[error("{}", problems(.0))]
    Tests(Vec<String>),
    /// Something about a target.
    #[error("target \"{target}\": {what}")]
    Target {
        /// Which.
        target: String,
        /// Which of its members, where it is one: `credential`.
        member: Option<&'static str>,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// Something about an issuer.
    #[error("issuer or client \"{issuer}\": {what}")]
    Issuer {
        /// Which.
        issuer: String,
        /// Which of its members, where it is one: `introspection`.
        member: Option<&'static str>,
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

impl ConfigureError {
    /// Which target, issuer or client it is about, and which of its members, for whoever knows where that is written.
    pub fn about(&self) -> Option<(&str, Option<&'static str>)> {
        match self {
            Self::Target { target: name, member, .. } | Self::Issuer { issuer: name, member, .. } => {
                Some((name, *member))
            }
            Self::Policies(_)
            | Self::Tests(_)
            | Self::Groups(_)
            | Self::State(_)
            | Self::Raced
            | Self::Journal(_) => None,
        }
    }
}

fn problems<P: ToString>(all: &[P]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What an `apply` changed, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
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
        Means {
            journal: self.journal(),
            state: self.state(),
            metrics: self.metrics(),
            sources: self.sources(),
        }
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
        let Some(now) = self.state().replace(was, &wanted, by).await? else {
            self.note(&record::Body::Administered {
                who: by.to_owned(),
                what: "apply".to_owned(),
                detail: "was not done: somebody else was first".to_owned(),
            })?;
            return Err(ConfigureError::Raced);
        };
        in_force.stored = now;
        self.take(&before, in_force, staged).await;
        self.end_outruled().await;
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
    async fn take(&self, before: &InForce, in_force: InForce, staged: Vec<Staged>) {
        let narrows = before.policies.allows_everything() && !in_force.policies.allows_everything();
        let stale: BTreeSet<TargetName> = before
            .targets
            .iter()
            .filter(|(name, old)| !still_there(&in_force, name, old))
            .map(|(n, _)| n.clone())
            .collect();
        staged.into_iter().for_each(Staged::take);
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

    /// Changes what is configured by changing its parts; `seen` is the version that whoever wants it looked at.
    ///
    /// # Errors
    /// As [`Gateway::apply`], or what `change` says.
    pub(crate) async fn edit<E: From<ConfigureError>>(
        &self,
        seen: Option<i64>,
        by: &str,
        change: impl FnOnce(&mut Configuration) -> Result<(), E>,
    ) -> Result<Applied, E> {
        let (seen, wanted) = self.edited(seen, change).await?;
        Ok(self.put(Some(seen), wanted, Rest::Prune, by).await?)
    }

    /// What such a change would come to.
    ///
    /// # Errors
    /// As [`Gateway::check`], or what `change` says.
    pub(crate) async fn look_at_edit<E: From<ConfigureError>>(
        &self,
        change: impl FnOnce(&mut Configuration) -> Result<(), E>,
    ) -> Result<Applied, E> {
        let (_, wanted) = self.edited(None, change).await?;
        Ok(self.check(wanted, Rest::Prune).await?)
    }

    async fn edited<E: From<ConfigureError>>(
        &self,
        seen: Option<i64>,
        change: impl FnOnce(&mut Configuration) -> Result<(), E>,
    ) -> Result<(i64, Configuration), E> {
        let stored = self.state().configured().await.map_err(ConfigureError::from)?;
        if seen.is_some_and(|seen| seen != stored.version) {
            return Err(ConfigureError::Raced.into());
        }
        let mut wanted = stored.configuration;
        change(&mut wanted)?;
        Ok((stored.version, wanted))
    }

    /// A target that is not configured, to be looked at.
    pub(crate) fn lone(&self, wanted: &TargetConfig) -> Result<Target, String> {
        build::lone(wanted, self.means())
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
        check_tests(&wanted)?;
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
        let failed = |what: String| ConfigureError::Target { target: target.to_string(), member: None, what };
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
            let name = column.to_string();
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

/// Lets new targets keep what was read of the same places before, under their new tags, and issuers their keys.
async fn stage(before: &InForce, after: &mut InForce) -> Vec<Staged> {
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
            staged.push(old.catalogue.stage(tagging).await);
        }
    }
    staged
}

/// Whether sessions on a target may go on under the new configuration.
fn still_there(after: &InForce, name: &TargetName, old: &Target) -> bool {
    after.targets.get(name).is_some_and(|new| new.is_same_place(old) && new.care == old.care)
}
