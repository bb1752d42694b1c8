//! How many rows an approved operation may change.

use serde::{Deserialize, Serialize};

use crate::{Changed, GrantUse, HoldRule, Vote};

/// How many rows an approved operation may change: it is looked at before it is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ceiling {
    /// So many at most.
    Rows {
        /// How many, where whoever approves does not say.
        most: u64,
        /// Where the number is from: `executed`, `counted`, `policy`, `default`.
        from: String,
        /// Schema and name of the tables whose rows count, where triggers write others beside; every table's where there are none.
        #[serde(default)]
        of: Vec<(String, String)>,
        /// What it did when it was tried, where it was: what it does may not be something else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Expected>,
    },
    /// It has none, and why.
    None(String),
}

/// What an operation did when it was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// By how many percent each number may be another.
    pub tolerance: u32,
    /// Of each table; tables that are not here stay as they are.
    pub tables: Vec<Changed>,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self::None("it was asked for before ceilings were kept".to_owned())
    }
}

/// An approval that was used up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// The rules that it satisfies, as they were when it was asked for.
    pub rules: Vec<HoldRule>,
    /// How many rows may change at most, and of which tables.
    pub ceiling: Ceiling,
    /// The standing grant that approved it, where nobody did.
    pub granted: Option<GrantUse>,
    /// The gateway's turn in which it was looked at whether that covers it, where it is good in no other.
    pub under: Option<u64>,
}

impl Claim {
    /// Of a request with these votes: the least number that one of those who approved has said, or left.
    pub fn of(rules: Vec<HoldRule>, ceiling: Ceiling, votes: &[Vote]) -> Self {
        let ceiling = match ceiling {
            Ceiling::Rows { most, from, of, expected } => {
                let said = || votes.iter().filter(|v| v.approve).map(|v| v.most);
                let least = said().map(|most_of_one| most_of_one.unwrap_or(most)).min().unwrap_or(most);
                // Whoever sets a number means that, and not what was seen.
                let all_say = said().next().is_some() && said().all(|number| number.is_some());
                Ceiling::Rows { most: least, from, of, expected: expected.filter(|_| !all_say) }
            }
            Ceiling::None(why) => Ceiling::None(why),
        };
        Self { rules, ceiling, granted: None, under: None }
    }

    /// How many rows it may change at most, where that many were counted before.
    pub fn counted(&self) -> Option<u64> {
        match &self.ceiling {
            Ceiling::Rows { most, from, .. } if from == "executed" || from == "counted" => Some(*most),
            Ceiling::Rows { .. } | Ceiling::None(_) => None,
        }
    }
}
