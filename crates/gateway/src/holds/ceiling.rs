//! How many rows an operation may change that is held.

use model::{Ceiling, Expected, HoldRule};

use crate::protocols::postgres::preview::Seen;

/// How many rows may change where neither policy nor an approver says so, and nobody counted.
const UNCOUNTED: u64 = 10_000;

/// What counts of an operation's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Countable {
    /// Its rows; where triggers write beside it, those of these tables alone.
    Rows(Vec<(String, String)>),
    /// None, and why.
    Nothing(String),
    /// They cannot be told apart from the rest of its message.
    Entangled(&'static str),
}

/// How many rows an operation may change that these rules hold, where so many were counted beforehand: the least that one of
/// them says.
pub(crate) fn ceiling_of(holds: &[HoldRule], seen: &Seen, of: Vec<(String, String)>) -> Ceiling {
    let rows = |most, from: &str, of, expected| Ceiling::Rows { most, from: from.to_owned(), of, expected };
    if let Some(counted) = seen.rows {
        let tolerance = holds.iter().map(|h| h.tolerance).min().unwrap_or(0);
        let most = counted.saturating_add(counted.saturating_mul(u64::from(tolerance)).div_ceil(100));
        return match seen.tables.clone() {
            // What triggers write beside was seen, too.
            Some(tables) => rows(most, "executed", Vec::new(), Some(Expected { tolerance, tables })),
            None => rows(most, "counted", of, None),
        };
    }
    match holds.iter().filter_map(|h| h.ceiling).min() {
        Some(most) => rows(most, "policy", of, None),
        None => rows(UNCOUNTED, "default", of, None),
    }
}

/// What is said where a statement changes more than are counted, and more than its ceiling.
pub(crate) fn above(ceiling: &Ceiling, seen: &Seen) -> Option<String> {
    let Ceiling::Rows { most, .. } = ceiling else { return None };
    (seen.more && *most <= UNCOUNTED).then(|| {
        format!(
            "how many rows there are: more than its ceiling of {most}, so that it fails unless whoever approves says how many it may change"
        )
    })
}
