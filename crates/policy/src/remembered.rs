//! Verdicts that were given before. A decision depends on who asks, the target, the shape of the operation and those facts
//! of the moment that some policy reads; equal ones get equal verdicts.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::Policy;
use hashbrown::{Equivalent, HashMap};
use model::Tag;

use crate::reads::Reads;
use crate::{Context, Denied, Grant, HoldRule, Pass, Permit, Question, TargetFacts, Verdict};

/// So many verdicts are kept; then all are forgotten.
const MOST: usize = 16 * 1024;

/// A verdict without the operation that it is about.
#[derive(Clone)]
pub(crate) enum Said {
    Allow(Permit),
    Deny(Denied),
    Hold(Vec<HoldRule>),
}

impl Said {
    /// The verdict on this operation.
    pub(crate) fn of<M>(self, message: M, version: &Arc<str>) -> Verdict<M> {
        match self {
            Self::Allow(permit) => Verdict::Allow(Pass { message, permit }),
            Self::Deny(denied) => Verdict::Deny(message, denied),
            Self::Hold(holds) => Verdict::Hold(Question { message, holds, version: Arc::clone(version) }),
        }
    }
}

/// Everything that a verdict depends on.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kept {
    who: Arc<str>,
    tags: BTreeSet<Tag>,
    shape: [u8; 16],
    encrypted: bool,
    read_instructions: bool,
    in_transaction: Option<bool>,
    address: Option<IpAddr>,
    application: Option<Arc<str>>,
}

/// The same, of an operation that is to be decided.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key<'a> {
    who: &'a Arc<str>,
    tags: &'a BTreeSet<Tag>,
    shape: [u8; 16],
    encrypted: bool,
    read_instructions: bool,
    in_transaction: Option<bool>,
    address: Option<IpAddr>,
    application: Option<&'a Arc<str>>,
}

impl Kept {
    fn key(&self) -> Key<'_> {
        let Self { who, tags, shape, encrypted, read_instructions, in_transaction, address, application } =
            self;
        Key {
            who,
            tags,
            shape: *shape,
            encrypted: *encrypted,
            read_instructions: *read_instructions,
            in_transaction: *in_transaction,
            address: *address,
            application: application.as_ref(),
        }
    }
}

impl Equivalent<Kept> for Key<'_> {
    fn equivalent(&self, kept: &Kept) -> bool {
        *self == kept.key()
    }
}

impl From<Key<'_>> for Kept {
    fn from(key: Key<'_>) -> Self {
        let Key { who, tags, shape, encrypted, read_instructions, in_transaction, address, application } =
            key;
        Self {
            who: Arc::clone(who),
            tags: tags.clone(),
            shape,
            encrypted,
            read_instructions,
            in_transaction,
            address,
            application: application.cloned(),
        }
    }
}

/// Verdicts, and which facts of the moment policies read at all.
pub(crate) struct Remembered {
    reads_now: bool,
    reads_transaction: bool,
    reads_address: bool,
    reads_application: bool,
    verdicts: Mutex<HashMap<Kept, Said>>,
}

impl Remembered {
    pub(crate) fn new(policies: &[Policy]) -> Self {
        let all: Vec<Reads> = policies.iter().map(Reads::of).collect();
        let reads = |name: &str| all.iter().any(|policy| policy.has(name));
        Self {
            // How old groups are changes with the time.
            reads_now: reads("now") || reads("groups_age"),
            reads_transaction: reads("in_transaction"),
            reads_address: reads("address"),
            reads_application: reads("application"),
            verdicts: Mutex::default(),
        }
    }

    /// `None` where the verdict cannot be remembered: it depends on the time or on approvals, or the operation has no shape.
    pub(crate) fn key<'a>(
        &self,
        grant: &'a Grant,
        facts: &'a TargetFacts,
        shape: [u8; 16],
        now: &'a Context,
        approved: &BTreeSet<String>,
    ) -> Option<Key<'a>> {
        if self.reads_now || !approved.is_empty() || shape == [0; 16] {
            return None;
        }
        Some(Key {
            who: &grant.key,
            tags: &facts.tags,
            shape,
            encrypted: now.encrypted,
            read_instructions: now.read_instructions,
            in_transaction: self.reads_transaction.then_some(now.in_transaction),
            address: self.reads_address.then_some(now.address),
            application: self.reads_application.then_some(&now.application),
        })
    }

    /// Whether some policy reads the time.
    pub(crate) fn reads_time(&self) -> bool {
        self.reads_now
    }

    /// How many verdicts are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn get(&self, key: Key<'_>) -> Option<Said> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    pub(crate) fn keep(&self, key: Key<'_>, said: Said) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= MOST {
            verdicts.clear();
        }
        verdicts.insert(key.into(), said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found() {
        let remembered = Remembered::new(&[]);
        let (who, tags, application) =
            (Arc::from("agent:a"), BTreeSet::from([Tag("production".into())]), Arc::from("psql"));
        let key = Key {
            who: &who,
            tags: &tags,
            shape: [1; 16],
            encrypted: true,
            read_instructions: false,
            in_transaction: Some(false),
            address: None,
            application: Some(&application),
        };
        remembered.keep(key, Said::Hold(Vec::new()));
        assert!(remembered.get(key).is_some());
        assert!(remembered.get(Key { tags: &BTreeSet::new(), ..key }).is_none());
        assert!(remembered.get(Key { application: None, ..key }).is_none());
    }
}
