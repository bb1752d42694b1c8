//! Targets on which nothing changes for a while, whoever asks and whoever approved; and sessions that are ended at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Action, Denial, Effect, Inspect, Scope, Subject, Tag, TargetName, Which};
use policy::Denied;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::denials::{DenialInfo, reason};
use crate::gateway::{Gateway, now};
use crate::requests::{AdminError, parse_principal};
use crate::sessions::Ended;

/// What a client is told whose statement would change what is frozen.
pub const FROZEN: &str = "ZD005";
/// Other gateways of the same store hear of an end within this, in seconds.
const HEARD: u64 = 60;

/// What to freeze.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFreeze {
    /// `all`, `target:NAME`, `tag:TAG`, or the name of a target or tag that can mean nothing else.
    pub scope: String,
    /// Whether reads are refused as well.
    #[serde(default)]
    pub reads: bool,
    /// Why. Those concerned are told.
    pub reason: String,
    /// For how long, in seconds; until it is thawed where nothing is said.
    #[serde(default)]
    pub seconds: Option<u64>,
}

/// Which sessions to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum NewEnd {
    /// One, by its id.
    Session(String),
    /// Those of a principal, and of whoever acts for it.
    Principal(String),
    /// Those on a target.
    Target(String),
}

impl Gateway {
    /// Freezes targets. Sessions that have changed something and not committed it end, and so do those in which nothing was
    /// understood. Returns the freeze and how many ended here.
    ///
    /// # Errors
    /// It makes no sense, or cannot be stored or recorded.
    pub async fn freeze(&self, wanted: &NewFreeze, by: &str) -> Result<(DenialInfo, usize), AdminError> {
        let NewFreeze { scope, reads, reason: why, seconds } = wanted;
        let subject = Subject::Frozen { scope: self.scope(scope)?, reads: *reads };
        self.deny_subject(subject, reason(why)?, *seconds, by).await
    }

    /// Ends a freeze.
    ///
    /// # Errors
    /// There is none of this id, or it cannot be stored or recorded.
    pub async fn thaw(&self, id: &str, by: &str) -> Result<(), AdminError> {
        self.lift(id, true, by).await
    }

    /// What is frozen, newest first.
    pub fn freezes(&self) -> Vec<DenialInfo> {
        self.denials().frozen(now()).into_iter().map(DenialInfo::from).collect()
    }

    /// Ends sessions, here and at every gateway of the same store, and writes down who did. Returns how many ended here.
    ///
    /// # Errors
    /// There is none of this id, it makes no sense, or it cannot be stored or recorded.
    pub async fn end_sessions(&self, which: &NewEnd, by: &str) -> Result<usize, AdminError> {
        let which = match which {
            NewEnd::Session(id) => {
                if !self.state().is_shared() && !self.sessions().list().iter().any(|live| live.id == *id) {
                    return Err(AdminError::Missing(format!("session {id}")));
                }
                Which::Session(id.clone())
            }
            NewEnd::Principal(principal) => Which::Of(parse_principal(principal)?),
            NewEnd::Target(name) => Which::On(self.known_target(name)?),
        };
        let why = format!("ended by {by}");
        let (_, ended) = self.deny_subject(Subject::Sessions(which), &why, Some(HEARD), by).await?;
        Ok(ended)
    }

    fn known_target(&self, name: &str) -> Result<TargetName, AdminError> {
        let target = TargetName::new(name);
        if self.target(&target).is_some() {
            return Ok(target);
        }
        Err(AdminError::Missing(format!("target \"{name}\"{}", meant(name, &self.names()))))
    }

    /// All targets, and every tag that one of them has.
    fn names(&self) -> BTreeSet<String> {
        let in_force = self.in_force.load();
        let tags = in_force.targets.values().flat_map(|t| t.facts.tags.iter().map(|Tag(tag)| tag.clone()));
        in_force.targets.keys().map(ToString::to_string).chain(tags).collect()
    }

    fn scope(&self, typed: &str) -> Result<Scope, AdminError> {
        let in_force = self.in_force.load();
        let is_tag =
            |tag: &str| in_force.targets.values().any(|t| t.facts.tags.contains(&Tag(tag.to_owned())));
        match typed.split_once(':') {
            None if typed == "all" => Ok(Scope::All),
            Some(("target", name)) => Ok(Scope::Target(self.known_target(name)?)),
            // A tag may be given to a target later.
            Some(("tag", tag)) if !tag.is_empty() => Ok(Scope::Tag(Tag(tag.to_owned()))),
            None | Some(_) => match (in_force.targets.contains_key(&TargetName::new(typed)), is_tag(typed)) {
                (true, true) => Err(AdminError::Refused(format!(
                    "\"{typed}\" is a target and a tag: write target:{typed} or tag:{typed}"
                ))),
                (true, false) => Ok(Scope::Target(TargetName::new(typed))),
                (false, true) => Ok(Scope::Tag(Tag(typed.to_owned()))),
                (false, false) => Err(AdminError::Missing(format!(
                    "target or tag \"{typed}\"{}",
                    meant(typed, &self.names())
                ))),
            },
        }
    }

    /// What freezes a target, if something does; what freezes it wholly, if that is there.
    fn freeze_of(&self, target: &TargetName) -> Option<(bool, Denial)> {
        // Each statement asks.
        if self.denials().freezes_nothing() {
            return None;
        }
        let frozen = self.denials().frozen(now());
        let in_force = self.in_force.load();
        let tags = in_force.targets.get(target).map(|t| &t.facts.tags);
        let covers = |denial: Denial| {
            let Subject::Frozen { scope, reads } = &denial.subject else { return None };
            let is = match scope {
                Scope::All => true,
                Scope::Target(name) => name == target,
                Scope::Tag(tag) => tags.is_some_and(|tags| tags.contains(tag)),
            };
            is.then_some(*reads).map(|reads| (reads, denial))
        };
        frozen.into_iter().filter_map(covers).max_by_key(|(reads, _)| *reads)
    }

    /// Whether a target is frozen.
    pub fn is_frozen(&self, target: &TargetName) -> bool {
        self.freeze_of(target).is_some()
    }

    /// Why nothing that waits on a target runs, if so.
    pub(crate) fn frozen_because(&self, target: &TargetName) -> Option<Arc<str>> {
        self.freeze_of(target).map(|(_, denial)| denial.reason.into())
    }

    /// Why nothing is read on a target either, if so.
    pub(crate) fn frozen_wholly_because(&self, target: &TargetName) -> Option<Arc<str>> {
        self.freeze_of(target).filter(|(reads, _)| *reads).map(|(_, denial)| denial.reason.into())
    }

    /// The refusal of an operation that a freeze does not let through.
    pub(crate) fn frozen<M: Inspect>(&self, target: &TargetName, message: &M) -> Option<Denied> {
        let (reads, denial) = self.freeze_of(target)?;
        let passes =
            if reads { only_ends_a_transaction(message) } else { message.effects().iter().all(is_read) };
        if passes {
            return None;
        }
        let end = match denial.until {
            Some(until) => format!("for {} min more", until.saturating_sub(now()).max(1).div_euclid(60) + 1),
            None => "until it is thawed".to_owned(),
        };
        let rest = if reads { "Nothing is read there either" } else { "Reads go on" };
        Some(Denied {
            code: FROZEN,
            reason: format!("{target} is frozen: {}", denial.reason),
            hint: Some(format!("{rest}, {end}. No approval changes that.")),
            policies: Vec::new(),
            version: self.in_force.load().policies.version().into(),
        })
    }

    /// Ends sessions that have changed something on a frozen target and could commit it, those in which nothing was
    /// understood, and where nothing is read either those that run something. What waits for an approval hears of it.
    pub(crate) fn end_frozen(&self) -> usize {
        self.holds().changed();
        let sessions = self.sessions();
        sessions.end_changing(|target| Some(Ended::Frozen(self.frozen_because(target)?)))
            + sessions.end_running(|target| Some(Ended::Frozen(self.frozen_wholly_because(target)?)))
    }
}

fn meant(typed: &str, names: &BTreeSet<String>) -> String {
    policy::nearest(typed, names.iter().map(String::as_str))
        .map(|word| format!("; did you mean \"{word}\"?"))
        .unwrap_or_default()
}

/// Whether an effect leaves its target as it was.
pub(crate) fn is_read(effect: &Effect) -> bool {
    matches!(effect.action, Action::Connect | Action::Select | Action::Reveal | Action::Probe)
}

/// Where nothing is read either, a client can still leave its transaction.
fn only_ends_a_transaction<M: Inspect>(message: &M) -> bool {
    message.effects().is_empty()
        && message.facts().kind.split("; ").all(|kind| matches!(kind, "commit" | "rollback"))
}
