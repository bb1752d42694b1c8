//! Standing grants: leave that an approver gives from one held operation, for all that are alike to it, for a while.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Access, Circumstances, HoldRule, NewRequest, TargetName, Touched, Vote};

/// What of an operation a standing grant could cover beside it: the same with other plain values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Likeness {
    /// A digest of everything that is said alike: who asks and for whom, target, settings, the text without its plain values.
    pub key: String,
    /// A digest of what that means to the target: its effects, and where its outputs come from.
    pub meaning: String,
    /// The plain values, which may be others.
    pub open: Vec<OpenValue>,
}

/// A plain value of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenValue {
    /// Its number among the operation's values, from 1.
    pub number: u32,
    /// A digest of it.
    pub mark: String,
}

/// A value of the operation that a standing grant was given from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// As an approver reads it.
    pub text: Option<String>,
    /// Whether it may be any other.
    pub any: bool,
    /// A digest of it, where it has to be this one and others could differ in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
}

/// What of a standing grant is sealed where it rests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoveredValues {
    /// The values of the operation that it was given from, by their numbers.
    pub values: Vec<Covered>,
}

/// A standing grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingGrant {
    /// Its id.
    pub id: String,
    /// The request that it was given from.
    pub request: String,
    /// What is alike has this key.
    pub key: String,
    /// And means this.
    pub meaning: String,
    /// The objects that are touched, as they were.
    pub touched: Vec<Touched>,
    /// Whose operations it covers.
    pub principal: String,
    /// For whom they are.
    pub on_behalf_of: Vec<String>,
    /// On which target.
    pub target: TargetName,
    /// The statement with placeholders.
    pub text: String,
    /// The values of the placeholders: which they have to be, or that they may be any; sealed where they rest, and nothing in lists.
    pub values: Vec<Covered>,
    /// Under which settings.
    pub circumstances: Circumstances,
    /// What each does.
    pub effects: Vec<String>,
    /// The rules that it answers.
    pub holds: Vec<HoldRule>,
    /// How many rows each may change.
    pub most: u64,
    /// How often it may be used; as often as they like where it is not said.
    pub uses: Option<u64>,
    /// How often it was.
    pub used: u64,
    /// Who gave it, and how they showed that they meant it.
    pub giver: Vote,
    /// Those who gave it beside them, where it took several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Vote>,
    /// What may be done to which tables by whatever statement, where it was asked for as access; else it covers what is alike to
    /// its request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// In seconds since 1970.
    pub given: i64,
    /// In seconds since 1970.
    pub expires: i64,
    /// Why it covers nothing any more, if somebody ended it or something did.
    pub ended: Option<String>,
}

/// Where a standing grant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantState {
    /// It covers what is alike.
    InForce,
    /// Its time is over.
    Expired,
    /// It was used as often as it may be.
    UsedUp,
    /// It was ended.
    Ended,
}

impl GrantState {
    /// The word for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in force",
            Self::Expired => "expired",
            Self::UsedUp => "used up",
            Self::Ended => "ended",
        }
    }
}

impl StandingGrant {
    /// Where it is at a moment.
    pub fn state(&self, now: i64) -> GrantState {
        if self.ended.is_some() {
            return GrantState::Ended;
        }
        if self.expires <= now {
            return GrantState::Expired;
        }
        match self.uses {
            Some(most) if self.used >= most => GrantState::UsedUp,
            Some(_) | None => GrantState::InForce,
        }
    }

    /// Everybody who gave it.
    pub fn givers(&self) -> impl Iterator<Item = &Vote> {
        std::iter::once(&self.giver).chain(&self.others)
    }

    /// Whether the values of an operation are those that it covers.
    pub fn has_values(&self, likeness: &Likeness) -> bool {
        let is = |number: u32| likeness.open.iter().find(|open| open.number == number).map(|open| &open.mark);
        (1..).zip(&self.values).all(|(number, value)| match &value.mark {
            Some(mark) => is(number) == Some(mark),
            None => true,
        })
    }

    /// What was altered since it was given, as a clause.
    pub fn altered(&self, asked: &NewRequest) -> Option<String> {
        let means = asked.alike.as_ref().map(|alike| &alike.meaning);
        let same = self.touched == asked.touched && means == Some(&self.meaning);
        (!same).then(|| asked.altered(&self.touched))
    }
}

/// The values of a request as a standing grant covers them, where those of some numbers have to stay as they are.
pub fn covered(values: &[Option<String>], likeness: &Likeness, keep: &BTreeSet<u32>) -> Vec<Covered> {
    let one = |(number, text): (u32, &Option<String>)| {
        let open = likeness.open.iter().find(|open| open.number == number);
        let any = open.is_some() && !keep.contains(&number);
        let mark = open.filter(|_| !any).map(|open| open.mark.clone());
        Covered { text: text.clone().filter(|_| !any), any, mark }
    };
    (1..).zip(values).map(one).collect()
}

/// One use of a standing grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantUse {
    /// The grant's id.
    pub grant: String,
    /// How many there were before, and this one.
    pub number: u64,
}

/// How giving a standing grant went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// It is in force.
    Now,
    /// So many are in force that there is no room for it.
    Full,
    /// Whoever gives it was removed or denied meanwhile, or their visit is over.
    Nobody,
    /// The access that it gives is not approved, or not any more.
    Unapproved,
}

/// How using a standing grant went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Used {
    /// It counts; the id of the request that stands for it, and which use it is.
    Now(String, GrantUse),
    /// It covers nothing any more.
    Over,
    /// There is no room to note it, as where a request is filed.
    NoRoom {
        /// How many bytes it would take.
        bytes: u64,
        /// How many are taken and cannot give way.
        taken: u64,
        /// Whether it is those of everybody.
        all: bool,
    },
}
