//! Which databases there are for a principal, and what it may do in each.

use serde_json::{Value, json};

use super::{Caller, Tools};
use crate::answer::Answer;
use policy::Word;

impl Tools {
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
            "No database here is open to you. Ask whoever runs this gateway for access.".to_owned()
        } else {
            format!(
                "{}\nTables and tagged columns may have rules of their own: explain tells.",
                lines.join("\n")
            )
        };
        Answer::new(text, json!({ "targets": Value::from(targets) }))
    }
}
