//! Decisions by verdict and by the rule that decided. Rules are named by policies, so there may be many and they may change:
//! labels are bounded, and who counts often keeps the counter instead of looking it up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// So many rules have a label of their own; those that come later share one.
const MOST_RULES: usize = 500;
/// A rule's label is cut here, in characters.
const LONGEST: usize = 100;
/// What decides where no rule does.
const NONE: &str = "(none)";
/// Those beyond [`MOST_RULES`].
const OTHER: &str = "(other)";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Decided {
    verdict: &'static str,
    rule: String,
}

/// Decisions, by verdict and rule.
#[derive(Default)]
pub struct Rules {
    pub(super) family: Family<Decided, Counter>,
    known: Mutex<BTreeSet<String>>,
}

impl Rules {
    /// Counts one decision.
    pub fn count<'a>(&self, verdict: &'static str, rules: impl IntoIterator<Item = &'a str>) {
        self.counters(verdict, rules).iter().for_each(|counter| {
            counter.inc();
        });
    }

    /// The counters of a decision, one for each rule that decides.
    pub fn counters<'a>(
        &self,
        verdict: &'static str,
        rules: impl IntoIterator<Item = &'a str>,
    ) -> Arc<[Counter]> {
        let mut rules: BTreeSet<&str> = rules.into_iter().collect();
        if rules.is_empty() {
            rules.insert(NONE);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut label = |rule: &str| {
            let rule: String = rule.chars().take(LONGEST).collect();
            if known.contains(&rule) || known.len() < MOST_RULES {
                known.insert(rule.clone());
                return rule;
            }
            OTHER.to_owned()
        };
        let labels: BTreeSet<String> = rules.into_iter().map(&mut label).collect();
        labels.into_iter().map(|rule| self.family.get_or_create_owned(&Decided { verdict, rule })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_and_nothing_is_counted_twice() {
        let rules = Rules::default();
        for n in 0..MOST_RULES + 20 {
            rules.count("allow", [format!("r{n}").as_str()]);
        }
        rules.count("deny", []);
        rules.count("deny", ["r1", "r1"]);
        let of = |verdict, rule: &str| {
            rules.family.get_or_create_owned(&Decided { verdict, rule: rule.to_owned() }).get()
        };
        assert_eq!(
            (of("allow", "r1"), of("deny", "r1"), of("allow", OTHER), of("deny", OTHER)),
            (1, 1, 20, 1)
        );
    }
}
