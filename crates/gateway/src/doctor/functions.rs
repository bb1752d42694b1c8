//! Functions that the gateway cannot read: which there are, and whether those that a person has cleared still are what they read.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sql::postgres::catalog::Catalog;
use sql::postgres::{Unread, unread};

use super::{Check, Grade, check, mended};

/// So many are named.
const MOST: usize = 20;
const WHAT: &str = "functions";
const READ: &str = "once somebody has read them, under [[targets]] in the target's file, with their effects and what they hold; then \
                    durward apply -f DIRECTORY:";

pub(super) fn look(catalogue: &Catalog) -> Vec<Check> {
    let all = unread(catalogue);
    let (changed, plain): (Vec<&Unread>, Vec<&Unread>) = all.iter().partition(|one| one.fault.is_some());
    let there: BTreeSet<String> =
        catalogue.functions().map(|function| catalogue.signature_of(function)).collect();
    let missing: Vec<&str> =
        catalogue.cleared_signatures().filter(|signature| !there.contains(*signature)).collect();
    let mut checks = Vec::new();
    if !missing.is_empty() {
        let says = format!("cleared functions that are not there: {}", missing.join(", "));
        checks.push(check(WHAT, Grade::Warning, says));
    }
    if !changed.is_empty() {
        let each = changed.iter().map(|one| format!("{}: {}", one.signature, one.fault.unwrap_or_default()));
        let says = format!(
            "cleared functions whose calls are unknown all the same: {}",
            each.take(MOST).collect::<Vec<_>>().join("; ")
        );
        checks.push(mended(WHAT, Grade::Warning, says, lines(&changed)).advising(READ));
    }
    if !plain.is_empty() {
        let each = plain.iter().map(|one| format!("{} ({})", one.signature, one.why));
        let says = format!(
            "{} cannot be read, so that calls of them are unknown until somebody clears them: {}",
            plain.len(),
            each.take(MOST).collect::<Vec<_>>().join(", ")
        );
        checks.push(mended(WHAT, Grade::Good, says, lines(&plain)).advising(READ));
    }
    if checks.is_empty() {
        checks.push(check(WHAT, Grade::Good, "all of them can be read, or are cleared as they are"));
    }
    checks
}

/// What stands under `[[targets]]` once a person has read them.
fn lines(functions: &[&Unread]) -> String {
    let mut text = String::new();
    for one in functions.iter().take(MOST) {
        let signature = serde_json::Value::from(one.signature.as_str());
        let separator = if text.is_empty() { "" } else { "\n" };
        let entry =
            format!("functions.{signature} = {{ digest = \"{}\", effects = [], holds = [] }}", one.digest);
        let _ = write!(text, "{separator}{entry}");
    }
    text
}
