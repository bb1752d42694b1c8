//! What an operation does to rows, as it was seen beforehand: how it was looked at, and how many rows of which tables.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::HoldRule;

/// How far an operation is looked at before anybody answers (`@preview`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// By the catalogue alone.
    Static,
    /// Its rows are counted by a question that only reads.
    Counted,
    /// It runs in a transaction of the gateway's own, which is rolled back.
    Executed,
    /// The same, but that stays open for a while: whoever approves it by then has that very effect committed.
    Hold,
}

impl Tier {
    /// As policies spell it; `None` for another word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "static" => Some(Self::Static),
            "counted" => Some(Self::Counted),
            "executed" => Some(Self::Executed),
            "hold" => Some(Self::Hold),
            _ => None,
        }
    }

    /// As policies spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Counted => "counted",
            Self::Executed => "executed",
            Self::Hold => "hold",
        }
    }

    /// How far rules want an operation looked at that all of them hold: as far as one of them says, unless another says that
    /// nothing is asked of the target.
    pub fn wanted(rules: &[HoldRule]) -> Self {
        let said = || rules.iter().filter_map(|rule| rule.preview);
        if said().any(|tier| tier == Self::Static) {
            return Self::Static;
        }
        said().max().unwrap_or(Self::Counted)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many rows were added, changed and removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Added.
    pub inserted: u64,
    /// Changed.
    pub updated: u64,
    /// Removed.
    pub deleted: u64,
}

impl Rows {
    /// How many rows that is, where a row that moves between partitions, which is added in one and removed in another, is one.
    pub fn changed(self, partitioned: bool) -> u64 {
        let Self { inserted, updated, deleted } = self;
        let others = if partitioned { inserted.max(deleted) } else { inserted.saturating_add(deleted) };
        updated.saturating_add(others)
    }

    /// These and others.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            inserted: self.inserted.saturating_add(other.inserted),
            updated: self.updated.saturating_add(other.updated),
            deleted: self.deleted.saturating_add(other.deleted),
        }
    }

    /// Whether so many are what was expected, give or take so many percent of each.
    pub fn is_about(self, expected: Self, percent: u32) -> bool {
        let near =
            |now: u64, then: u64| now.abs_diff(then) <= then.saturating_mul(u64::from(percent)).div_ceil(100);
        near(self.inserted, expected.inserted)
            && near(self.updated, expected.updated)
            && near(self.deleted, expected.deleted)
    }

    /// `deletes 2 rows`, `inserts 1 row and updates 3 rows`; nothing where nothing changes.
    pub fn words(self) -> String {
        let Self { inserted, updated, deleted } = self;
        let parts = [("inserts", inserted), ("updates", updated), ("deletes", deleted)];
        let said = parts.iter().filter(|(_, rows)| *rows > 0).map(|(verb, rows)| {
            format!("{verb} {} row{}", grouped(*rows), if *rows == 1 { "" } else { "s" })
        });
        said.collect::<Vec<_>>().join(" and ")
    }
}

/// What becomes of one table's rows; a partitioned table is one with its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// As the server numbers it; [`Self::MADE`] where it is not there yet.
    pub relation: u32,
    /// Its schema and name.
    pub table: (String, String),
    /// All of it, what waits for the end of the transaction with it.
    pub rows: Rows,
    /// The same when the statement has just run.
    pub at_once: Rows,
}

impl Changed {
    /// The number of what statements before have made, which gets another one when they make it again: it is known by its name.
    pub const MADE: u32 = 0;
}

/// `1,204`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_at_a_glance() {
        for ((inserted, updated, deleted), words) in [
            ((0, 0, 0), ""),
            ((1, 0, 0), "inserts 1 row"),
            ((0, 3, 1_204), "updates 3 rows and deletes 1,204 rows"),
        ] {
            assert_eq!(Rows { inserted, updated, deleted }.words(), words);
        }
        assert_eq!(grouped(1_000_000), "1,000,000");
        assert_eq!(grouped(999), "999");
    }

    #[test]
    fn another_effect_is_one_that_is_further_away_than_policy_says_in_either_direction() {
        let rows = |updated| Rows { updated, ..Rows::default() };
        for (now, then, percent, about) in [
            (14, 14, 0, true),
            (15, 14, 0, false),
            (13, 14, 0, false),
            (12, 10, 20, true),
            (13, 10, 20, false),
            (8, 10, 20, true),
            (7, 10, 20, false),
            (1, 0, 1000, false),
        ] {
            assert_eq!(rows(now).is_about(rows(then), percent), about, "{now} for {then} by {percent} %");
        }
        let deleted = Rows { deleted: 14, ..Rows::default() };
        assert!(!deleted.is_about(rows(14), 0), "what was to be changed is removed");
    }

    #[test]
    fn a_row_that_moves_between_partitions_is_one() {
        let rows = Rows { inserted: 3, updated: 1, deleted: 2 };
        assert_eq!((rows.changed(false), rows.changed(true)), (6, 4));
    }
}
