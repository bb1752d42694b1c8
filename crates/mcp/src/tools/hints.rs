//! Hints are told where they are true: a statement that one suggests is decided before, as if it had been sent.

use model::TargetName;

use super::{Caller, Tools};
use crate::answer::Refusal;

/// What statements begin with, as hints write them.
const VERBS: [&str; 14] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "TABLE", "VALUES", "EXPLAIN", "CREATE", "ALTER",
    "DROP", "COMMENT", "REFRESH",
];
/// So many statements of one hint are looked at.
const MOST: usize = 4;

impl Tools {
    /// A refusal with its hint, where that would not be refused as well.
    pub(super) async fn checked(&self, caller: &Caller, target: &TargetName, refusal: Refusal) -> Refusal {
        let (refusal, hint) = refusal.take_hint();
        match hint {
            None => refusal,
            Some(hint) if self.holds_good(caller, target, &hint).await => refusal.hinting(hint),
            Some(_) => refusal,
        }
    }

    /// Whether nothing that a hint suggests would be refused.
    pub(super) async fn holds_good(&self, caller: &Caller, target: &TargetName, hint: &str) -> bool {
        let suggested = suggested(hint);
        if suggested.len() > MOST {
            return false;
        }
        for statement in suggested {
            match self.gateway.explain_to(&caller.admitted, target, statement, caller.moment()).await {
                Ok(explained) if explained.answer.verdict != "deny" && explained.cut.is_none() => {}
                Ok(_) => return false,
                Err(error) => {
                    tracing::warn!("a hint cannot be looked at: {error}");
                    return false;
                }
            }
        }
        true
    }
}

/// The statements that a hint suggests: what stands between backticks, or else begins with a statement's first word in capitals at
/// the hint's beginning or behind a colon.
fn suggested(hint: &str) -> Vec<&str> {
    let quoted: Vec<&str> = hint.split('`').skip(1).step_by(2).collect();
    if hint.contains('`') {
        return quoted.into_iter().filter(|text| begins(text)).collect();
    }
    let behind = |text: &'_ str| text.find(": ").map(|at| at + 2);
    let rest = if begins(hint) {
        Some(hint)
    } else {
        behind(hint).and_then(|at| hint.get(at..)).filter(|text| begins(text))
    };
    rest.map(|text| text.trim().trim_end_matches(['.', ';'])).into_iter().collect()
}

fn begins(text: &str) -> bool {
    let first = text.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    VERBS.contains(&first)
}

#[cfg(test)]
mod tests {
    use super::suggested;

    #[test]
    fn statements_in_hints_are_found_and_words_are_none() {
        for (hint, expected) in [
            ("SELECT id FROM shop", &["SELECT id FROM shop"][..]),
            ("SELECT id FROM shop.", &["SELECT id FROM shop"]),
            ("Use this: SELECT id FROM shop;", &["SELECT id FROM shop"]),
            ("Read `SELECT 1` or `TABLE shop` instead.", &["SELECT 1", "TABLE shop"]),
            ("Ask `#data` for the view `shop_clear`.", &[]),
            (
                "Select the column plainly (its values are masked), count rows with count(*), or leave it out.",
                &[],
            ),
            ("Add a WHERE that names the rows.", &[]),
            ("Note: it is slow.", &[]),
        ] {
            assert_eq!(suggested(hint), expected, "{hint}");
        }
    }
}
