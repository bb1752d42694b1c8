//! The policies that a new gateway begins with: an agent may look, asks before it changes, and destroys nothing.

use crate::Source;

/// What they say, in words for whoever hands out a token.
pub const IN_WORDS: [&str; 4] = [
    "It may read tables and views; columns that are tagged come masked, and cannot be used in conditions.",
    "It asks before it changes rows or adds tables, indexes or comments: each such statement waits for your approval.",
    "It may not change rows without a condition, nor drop, truncate, alter or grant anything.",
    "It may not reach the server's files and programs, other sessions or other hosts, nor run what is not understood.",
];

/// The same for somebody who works alone: they answer what their own agents ask, too.
pub fn starter_for_one() -> Vec<Source> {
    let lets = |text: String| text.replace(ASKS, &format!("{ASKS}\n@self(\"allow\")"));
    starter().into_iter().map(|Source { name, text }| Source { name, text: lets(text) }).collect()
}

/// What stands before a policy that asks.
const ASKS: &str = "@approvers(\"approvers\")";

/// The files, each with its text.
pub fn starter() -> Vec<Source> {
    [
        ("1-reads.cedar", include_str!("../starter/1-reads.cedar")),
        ("2-held.cedar", include_str!("../starter/2-held.cedar")),
        ("3-denied.cedar", include_str!("../starter/3-denied.cedar")),
    ]
    .into_iter()
    .map(|(name, text)| Source { name: name.to_owned(), text: text.to_owned() })
    .collect()
}
