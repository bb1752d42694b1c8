//! Access that is asked for beforehand: leave to do some things to some tables of a target without asking each time, for a while.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Action, Effect, Resource, TableName};

/// What may be asked for: actions whose rows a server counts, and those that change none.
const ASKABLE: [Action; 7] = [
    Action::Select,
    Action::Insert,
    Action::Update,
    Action::Delete,
    Action::Merge,
    Action::LockRows,
    Action::Sequence,
];

/// What outcomes of requests begin with that became standing grants, before the grant's id.
pub const GIVEN_AS: &str = "given as the standing grant ";

/// One action on one table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Leave {
    /// `update`, …
    pub action: String,
    /// The table, or view.
    pub table: TableName,
}

impl Leave {
    /// The action that words begin with, as in `update public.orders`, and the rest; `None` where it is none that can be asked for.
    pub fn read(words: &str) -> Option<(Action, &str)> {
        let (word, table) = words.trim().split_once(' ')?;
        let action = ASKABLE.into_iter().find(|action| action.as_str().eq_ignore_ascii_case(word))?;
        Some((action, table.trim()))
    }

    /// The actions that can be asked for, as they are written.
    pub fn actions() -> impl Iterator<Item = &'static str> {
        ASKABLE.into_iter().map(Action::as_str)
    }

    /// Whether rows may be changed by it.
    pub fn changes_rows(&self) -> bool {
        !Self::only_reads(&self.action)
    }

    fn only_reads(action: &str) -> bool {
        [Action::Select, Action::LockRows, Action::Sequence].iter().any(|reads| reads.as_str() == action)
    }

    /// Whether words are this, as it is shown or with quotes left out where none are needed.
    pub fn is_written(&self, words: &str) -> bool {
        Self::read(words)
            .is_some_and(|(action, table)| action.as_str() == self.action && self.table.is_written(table))
    }

    /// Whether it is leave for an effect.
    pub fn is_for(&self, effect: &Effect) -> bool {
        effect.action.as_str() == self.action
            && matches!(&effect.resource, Resource::Table(table) if *table == self.table)
    }
}

impl fmt::Display for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.table.among_others())
    }
}

/// What is asked for, or given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// What may be done to what: each of these, and no other.
    pub leaves: BTreeSet<Leave>,
    /// How many rows one statement may change at most; nothing where none is changed.
    pub most: Option<u64>,
    /// For how long, in seconds.
    pub seconds: u64,
}

impl Access {
    /// Whether it is no more than another in anything.
    pub fn is_within(&self, other: &Self) -> bool {
        self.leaves.is_subset(&other.leaves)
            && self.seconds <= other.seconds
            && match (self.most, other.most) {
                (Some(own), Some(most)) => own <= most,
                (None, Some(_)) => !self.changes_rows(),
                (own, None) => own.is_none(),
            }
    }

    /// What both let.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let leaves: BTreeSet<Leave> = self.leaves.intersection(&other.leaves).cloned().collect();
        let most = match (self.most, other.most) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        // Where none can be changed, there is nothing to count.
        let most = most.filter(|_| leaves.iter().any(Leave::changes_rows));
        Self { leaves, most, seconds: self.seconds.min(other.seconds) }
    }

    /// Whether rows may be changed by it.
    pub fn changes_rows(&self) -> bool {
        self.leaves.iter().any(Leave::changes_rows)
    }

    /// Whether there is leave for an effect in it.
    pub fn lets(&self, effect: &Effect) -> bool {
        self.leaves.iter().any(|leave| leave.is_for(effect))
    }

    /// What may be done, in a line: `access: insert public.orders, update public.orders`.
    pub fn line(&self) -> String {
        let leaves: Vec<String> = self.leaves.iter().map(ToString::to_string).collect();
        format!("access: {}", leaves.join(", "))
    }

    /// Its bounds, in words: `at most 10 rows a statement, for 30 min`.
    pub fn bounds(&self) -> String {
        let rows = self.most.map(|most| format!("at most {most} rows a statement, ")).unwrap_or_default();
        let time = match self.seconds {
            seconds if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
            seconds => format!("{seconds} s"),
        };
        format!("{rows}for {time}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(leaves: &[&str], most: Option<u64>, seconds: u64) -> Access {
        let leave = |words: &&str| {
            let (action, table) = Leave::read(words).expect("an action");
            let (schema, name) = table.split_once('.').expect("a schema");
            Leave {
                action: action.as_str().to_owned(),
                table: TableName { schema: schema.to_owned(), name: name.to_owned() },
            }
        };
        Access { leaves: leaves.iter().map(leave).collect(), most, seconds }
    }

    #[test]
    fn only_what_a_server_counts_can_be_asked_for() {
        for (words, is_one) in [
            ("update public.orders", true),
            ("  SELECT  public.orders ", true),
            ("insert s.t", true),
            ("merge s.t", true),
            ("lock_rows s.t", true),
            ("sequence s.t_id_seq", true),
            ("truncate s.t", false),
            ("drop s.t", false),
            ("copy_in s.t", false),
            ("reveal s.t", false),
            ("approve s.t", false),
            ("grant s.t", false),
            ("unknown s.t", false),
            ("write s.t", false),
            ("update", false),
            ("", false),
        ] {
            assert_eq!(Leave::read(words).is_some(), is_one, "{words}");
        }
    }

    #[test]
    fn no_name_in_its_line_reads_as_two() {
        for (table, line) in [
            ("orders", "access: delete s.orders"),
            ("Straße_2$", "access: delete s.Straße_2$"),
            ("orders, update s.ledger", "access: delete s.\"orders, update s.ledger\""),
            ("a, select b", "access: delete s.\"a, select b\""),
            ("a\", delete s.\"b", "access: delete s.\"a\"\", delete s.\"\"b\""),
        ] {
            let table = TableName { schema: "s".to_owned(), name: table.to_owned() };
            let leave = Leave { action: "delete".to_owned(), table };
            assert!(leave.is_written(&leave.to_string()), "{leave}");
            let shown = Access { leaves: [leave].into(), most: None, seconds: 60 }.line();
            assert_eq!(shown, line);
        }
        let odd = TableName { schema: "s".to_owned(), name: "Odd Name".to_owned() };
        let odd = Leave { action: "update".to_owned(), table: odd };
        for (words, is_it) in [
            ("update s.\"Odd Name\"", true),
            ("UPDATE s.Odd Name", true),
            ("delete s.\"Odd Name\"", false),
            ("update s.Odd", false),
            ("update \"s.Odd Name\"", false),
        ] {
            assert_eq!(odd.is_written(words), is_it, "{words}");
        }
    }

    #[test]
    fn what_is_narrower_is_within_and_nothing_else_is() {
        let asked = access(&["update s.a", "delete s.a", "select s.b"], Some(10), 600);
        for (given, within) in [
            (asked.clone(), true),
            (access(&["update s.a"], Some(10), 600), true),
            (access(&["update s.a"], Some(0), 1), true),
            (access(&["select s.b"], None, 600), true),
            (access(&["update s.a"], None, 600), false),
            (access(&["update s.a"], Some(11), 600), false),
            (access(&["update s.a"], Some(10), 601), false),
            (access(&["insert s.a"], Some(10), 600), false),
            (access(&["update s.b"], Some(10), 600), false),
            (access(&["update s.a", "update s.b"], Some(1), 1), false),
        ] {
            assert_eq!(given.is_within(&asked), within, "{given:?}");
            let both = given.and(&asked);
            assert!(!within || both.is_within(&given) && both.is_within(&asked), "{given:?}");
        }
        let reads = access(&["select s.b"], None, 60);
        assert!(!access(&["select s.b"], Some(1), 60).is_within(&reads));
    }
}
