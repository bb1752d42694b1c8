//! The rules that hold an operation: whom they ask, and for what.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Tier;

/// One rule that holds an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRule {
    /// The policy's id.
    pub id: String,
    /// Groups whose members may answer.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// How many of them must approve.
    pub quorum: u32,
    /// How long the question stands, in seconds (`@expires`, default 15 minutes).
    pub expires: u64,
    /// How long an approval may wait to be used, in seconds (`@valid_for`, default 15 minutes).
    pub valid_for: u64,
    /// `@reason`
    #[serde(default)]
    pub reason: Option<String>,
    /// Whether those who are told elsewhere see its text and values (`@carry("values")`).
    #[serde(default)]
    pub carry: bool,
    /// Whether a yes that is given in Slack counts (`@slack`).
    #[serde(default, skip_serializing_if = "SlackYes::is_never")]
    pub slack: SlackYes,
    /// Whether the person for whom an agent asks may answer, too (`@self("allow")`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_self: bool,
    /// How many rows may change at most, where nobody could count beforehand how many would (`@ceiling`).
    #[serde(default)]
    pub ceiling: Option<u64>,
    /// By how many percent of what was counted beforehand it may be more (`@tolerance`).
    #[serde(default)]
    pub tolerance: u32,
    /// How far it is looked at beforehand, where the policy says so (`@preview`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Tier>,
    /// For how long somebody may give a standing grant that answers it, in seconds (`@grant`); not at all where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<u64>,
}

/// What a yes is worth that somebody gives in Slack, where nothing shows that they are there themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlackYes {
    /// Nothing.
    #[default]
    Never,
    /// It counts beside others, one of which at least is given with a proof of presence (`"approve"`).
    WithOthers,
    /// It counts as any other (`"alone"`).
    Alone,
}

impl SlackYes {
    /// Whether it counts for nothing.
    pub fn is_never(&self) -> bool {
        *self == Self::Never
    }
}

/// What votes that were given in Slack begin to say of how.
pub const BY_SLACK: &str = "slack ";

impl HoldRule {
    /// Whether another one asks the same of the same people, so that an answer to one answers the other.
    pub fn asks_like(&self, other: &Self) -> bool {
        let Self {
            id,
            approvers,
            quorum,
            valid_for,
            expires: _,
            reason: _,
            carry: _,
            slack,
            by_self,
            ceiling,
            tolerance,
            preview,
            // How long grants may be given changes nothing about an answer to one operation.
            grant: _,
        } = self;
        let all = |groups: &[String]| groups.iter().cloned().collect::<BTreeSet<_>>();
        *id == other.id
            && *quorum == other.quorum
            && *valid_for == other.valid_for
            && (*slack, *by_self, *ceiling, *tolerance, *preview)
                == (other.slack, other.by_self, other.ceiling, other.tolerance, other.preview)
            && all(approvers) == all(&other.approvers)
    }

    /// How the rules that hold an operation now differ from those before, as a clause; `None` where they ask the same.
    pub fn differing(before: &[Self], now: &[Self]) -> Option<String> {
        let of = |rules: &[Self], id: &str| rules.iter().find(|rule| rule.id == id).cloned();
        let then = before.iter().find_map(|old| match of(now, &old.id) {
            None => Some(format!("the policy \"{}\" does not ask any more", old.id)),
            Some(new) if !new.asks_like(old) => Some(format!("the policy \"{}\" was changed", old.id)),
            Some(_) => None,
        });
        let too = now.iter().find(|new| of(before, &new.id).is_none());
        then.or_else(|| too.map(|new| format!("the policy \"{}\" asks, too", new.id)))
    }
}
