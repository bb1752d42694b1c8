//! How a value is replaced, in the words of the configuration.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use model::Tag;

use crate::types;

/// How a value is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// A constant of the type: `***`, `0`, `{}`.
    Redact,
    /// The last four characters of a string of eight or more.
    Partial,
    /// NULL.
    Null,
    /// A keyed hash: equal values have equal masks, and without the key they cannot be guessed.
    Hash,
    /// A date or timestamp becomes the first day of its year.
    Generalize,
}

const WORDS: [(&str, Strategy); 5] = [
    ("redact", Strategy::Redact),
    ("partial", Strategy::Partial),
    ("null", Strategy::Null),
    ("hash", Strategy::Hash),
    ("generalize", Strategy::Generalize),
];

impl Strategy {
    /// The strategy for a column where the configuration names none: by its tags' names, and its type.
    pub fn for_tags(tags: &BTreeSet<Tag>, type_oid: u32) -> Self {
        let any = |word: &str| tags.iter().any(|t| t.0.contains(word));
        // A number of the server's statistics that reads as a true one says what is not so.
        if tags.iter().any(|t| t.0 == "system.secret") && matches!(type_oid, types::FLOAT4 | types::FLOAT8) {
            return Self::Null;
        }
        // A column with a secret among its tags shows nothing, whatever else it is.
        if any("secret") || any("national_id") {
            return Self::Redact;
        }
        match type_oid {
            types::DATE | types::TIMESTAMP | types::TIMESTAMPTZ if any("birth") => Self::Generalize,
            types::DATE | types::TIMESTAMP | types::TIMESTAMPTZ => Self::Null,
            _ if any("card") => Self::Partial,
            _ => Self::Redact,
        }
    }
}

impl Strategy {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        WORDS.iter().find(|(_, strategy)| *strategy == self).map_or("redact", |(word, _)| word)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no strategy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no masking strategy; there are: redact, partial, null, hash, generalize")]
pub struct UnknownStrategy(pub String);

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(word: &str) -> Result<Self, UnknownStrategy> {
        WORDS
            .iter()
            .find(|(w, _)| *w == word)
            .map(|(_, s)| *s)
            .ok_or_else(|| UnknownStrategy(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_counted_of_values_is_not_shown_as_another_number() {
        let of = |tag: &str, type_oid| Strategy::for_tags(&BTreeSet::from([Tag(tag.to_owned())]), type_oid);
        assert_eq!(of("system.secret", types::FLOAT4), Strategy::Null);
        assert_eq!(of("system.secret", types::TEXT), Strategy::Redact);
        assert_eq!(of("secret", types::FLOAT4), Strategy::Redact);
    }
}
