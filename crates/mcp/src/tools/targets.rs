//! Which databases there are for a principal, and what it may do in each.

use serde_json::{Value, json};

use super::{Caller, Tools};
use crate::answer::{Answer, Refusal};
use model::TargetName;
use policy::Word;

/// What is told where there is none.
const NONE: &str = "No database here is open to you. Ask whoever runs this gateway for access.";

/// So many names one hint has.
const MOST_NAMED: usize = 20;

impl Tools {
    /// Whether a target is one of the caller's.
    ///
    /// # Errors
    /// What every tool says otherwise: whoever may not use it learns nothing of it, and not that it is there.
    pub(super) fn usable(&self, caller: &Caller, target: &TargetName) -> Result<(), Refusal> {
        let moment = caller.moment();
        self.gateway.may_use(&caller.admitted, target, &moment).map_err(|told| {
            if told.code != "42501" {
                return Refusal::of(told.code, told.reason, told.hint);
            }
            if !told.policies.is_empty() {
                return Refusal::of(told.code, told.reason, told.hint).by(told.policies).for_good();
            }
            let open = self.gateway.open_to(&caller.admitted, &moment);
            let mut names: Vec<&str> = open.iter().map(|target| target.name.as_str()).collect();
            let left = names.split_off(names.len().min(MOST_NAMED)).len();
            let hint = match (names.is_empty(), left) {
                (true, _) => NONE.to_owned(),
                (false, 0) => format!("You may use {}.", names.join(", ")),
                (false, left) => {
                    format!("You may use {} and {left} more, which the tool targets lists.", names.join(", "))
                }
            };
            Refusal::of(told.code, told.reason, Some(hint)).for_good()
        })
    }

    /// Lists them.
    pub(super) fn targets(&self, caller: &Caller) -> Answer {
        let moment = caller.moment();
        let open = self.gateway.open_to(&caller.admitted, &moment);
        let mut lines = Vec::new();
        let mut targets = Vec::new();
        for target in &open {
            let outlook = self.gateway.outlook(&caller.admitted, target, &moment);
            let with = |word: Word| -> Vec<&str> {
                outlook.iter().filter(|o| o.opinion.word == word).map(|o| o.action).collect()
            };
            let (allowed, held, denied) = (with(Word::Allow), with(Word::Hold), with(Word::Deny));
            let part = |says: &str, all: &[&str]| {
                if all.is_empty() { String::new() } else { format!("; {says} {}", all.join(", ")) }
            };
            lines.push(format!(
                "{}: PostgreSQL{}{}{}",
                target.name,
                part("you may", &allowed),
                part("after approval", &held),
                part("never", &denied),
            ));
            targets.push(json!({
                "name": target.name.0, "kind": "postgresql",
                "allowed": allowed, "held": held, "denied": denied,
            }));
        }
        let text = if lines.is_empty() {
            NONE.to_owned()
        } else {
            format!(
                "{}\nTables and tagged columns may have rules of their own: explain tells.",
                lines.join("\n")
            )
        };
        Answer::new(text, json!({ "targets": Value::from(targets) }))
    }
}
