//! What was refused before: the same effects in another spelling are the same attempt. Whoever goes on trying hears less each
//! time, and after as many times as policy says (`@tries`) its session ends.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use model::{Effect, TargetName};
use policy::Grant;

use crate::protocols::postgres::missing::is_missing;

/// An attempt is forgotten after so long.
const KEPT: Duration = Duration::from_secs(3600);
/// So many are kept in all, and so many of one principal on one target.
const MOST: usize = 100_000;
const MOST_OF_ONE: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Whose {
    principal: String,
    target: TargetName,
}

#[derive(Debug, Clone, Copy)]
struct Tried {
    what: u64,
    times: u32,
    last: Instant,
}

/// The attempts of the last hour.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<Whose, Vec<Tried>>>);

impl Attempts {
    /// Counts a refused operation; how often its effects were refused to this principal by now.
    pub(crate) fn again(&self, grant: &Grant, effects: &[Effect]) -> u32 {
        let principal = named(grant);
        self.count(Whose { principal, target: grant.target().clone() }, effects, Instant::now())
    }

    fn count(&self, whose: Whose, effects: &[Effect], now: Instant) -> u32 {
        // In which order a statement has its effects, and how often, is spelling.
        let mut sorted: Vec<_> =
            effects.iter().map(|effect| (effect.action, &effect.resource, missing(effect))).collect();
        sorted.sort();
        sorted.dedup();
        let mut hasher = DefaultHasher::new();
        sorted.hash(&mut hasher);
        let what = hasher.finish();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(&whose) {
            all.retain(|_, tried| tried.iter().any(|t| now.saturating_duration_since(t.last) < KEPT));
            if all.len() >= MOST {
                return 1;
            }
        }
        let tried = all.entry(whose).or_default();
        tried.retain(|t| now.saturating_duration_since(t.last) < KEPT);
        if let Some(same) = tried.iter_mut().find(|t| t.what == what) {
            (same.times, same.last) = (same.times.saturating_add(1), now);
            return same.times;
        }
        if tried.len() >= MOST_OF_ONE {
            let oldest = tried.iter().enumerate().min_by_key(|(_, t)| t.last).map(|(at, _)| at);
            oldest.map(|at| tried.swap_remove(at));
        }
        tried.push(Tried { what, times: 1, last: now });
        1
    }
}

/// Names that are not there make one statement another.
fn missing(effect: &Effect) -> Option<&str> {
    effect.why.as_deref().filter(|_| is_missing(effect))
}

/// A principal with those for whom it acts.
pub(crate) fn named(grant: &Grant) -> String {
    let mut name = grant.principal().id.to_string();
    for one in &grant.principal().on_behalf_of {
        name.push_str(" for ");
        name.push_str(&one.to_string());
    }
    name
}

#[cfg(test)]
mod tests {
    use model::{Action, Resource, TableName};

    use super::*;

    #[test]
    fn the_same_effects_are_the_same_attempt_for_an_hour() {
        let table =
            |name: &str| Resource::Table(TableName { schema: "public".to_owned(), name: name.to_owned() });
        let (drop_a, drop_b) = (Effect::new(Action::Drop, table("a")), Effect::new(Action::Drop, table("b")));
        let whose = |name: &str| Whose { principal: name.to_owned(), target: TargetName::new("t") };
        let attempts = Attempts::default();
        let now = Instant::now();
        let tries = |name, effects: &[Effect], now| attempts.count(whose(name), effects, now);
        assert_eq!(tries("x", &[drop_a.clone(), drop_b.clone()], now), 1);
        assert_eq!(tries("x", &[drop_b.clone(), drop_a.clone(), drop_b.clone()], now), 2, "in another order");
        assert_eq!(tries("x", std::slice::from_ref(&drop_a), now), 1, "fewer are another attempt");
        assert_eq!(tries("y", &[drop_a.clone(), drop_b.clone()], now), 1, "and another's are theirs");
        assert_eq!(
            tries("x", &[drop_a.clone(), drop_b.clone()], now + KEPT),
            1,
            "what was long ago is forgotten"
        );
        let nowhere = |name: &str| {
            let why = format!("relation \"{name}\" does not exist");
            Effect { why: Some(why), ..Effect::new(Action::Unknown, Resource::Target) }
        };
        assert_eq!(tries("w", &[drop_a.clone(), nowhere("x")], now), 1);
        assert_eq!(tries("w", &[drop_a.clone(), nowhere("y")], now), 1, "another name is another slip");
        assert_eq!(tries("w", &[drop_a.clone(), nowhere("x")], now), 2);
        for n in 0..2 * MOST_OF_ONE {
            tries("z", &[Effect::new(Action::Drop, table(&n.to_string()))], now);
        }
        assert!(attempts.0.lock().expect("lock")[&whose("z")].len() <= MOST_OF_ONE);
    }
}
