//! Held operations: policies name the rules, the gateway files and waits, the store keeps, people answer.

use serde::{Deserialize, Serialize};

use crate::{
    Access, Ceiling, Changed, GrantUse, HoldRule, Likeness, Plan, Status, TargetName, Tier, Vote, Weighed,
};

/// That a request has come to a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The request's id.
    pub request: String,
    /// Which state.
    pub status: Status,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// What decides beside its text and values what an operation means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstances {
    /// What the client says of each value's type, and `binary` where the value is shown in hexadecimal; empty where nothing is
    /// said.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Settings under which the target reads it, by name.
    #[serde(default)]
    pub settings: Vec<(String, String)>,
}

/// What an operation would do to the data, as far as it was seen before anybody answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// What it is asked for, in the words of whoever asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In words, a line each.
    pub words: Vec<String>,
    /// How it was looked at; `None` of what was asked for before that was kept.
    #[serde(default)]
    pub tier: Option<Tier>,
    /// Whether its numbers are exact as of that moment; else they are an estimate.
    #[serde(default)]
    pub exact: bool,
    /// When it was looked at, in seconds since 1970.
    #[serde(default)]
    pub at: i64,
    /// Until when at the longest it stays open what was tried, so that an approval commits just that; in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_until: Option<i64>,
    /// What could not be looked at, or not as far as policy wants, and why.
    #[serde(default)]
    pub unseen: Vec<String>,
    /// How many rows of which tables, where it was tried.
    #[serde(default)]
    pub changes: Vec<Changed>,
    /// How the target means to carry it out, by its own estimates.
    #[serde(default)]
    pub plan: Vec<String>,
    /// The columns of the sample.
    #[serde(default)]
    pub columns: Vec<Shown>,
    /// Some of the rows; nothing where a value is NULL or masked.
    #[serde(default)]
    pub rows: Vec<Vec<Option<String>>>,
    /// What it is statement by statement, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<Box<Plan>>,
    /// What access is asked for, where it is no statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

/// A column of a sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Whether it shows what will be, not what is.
    pub after: bool,
    /// Whether its values are tagged, and not shown.
    pub masked: bool,
}

/// One object that an operation touches, as it was when the operation was understood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Touched {
    /// Which, in words: `the table shop.orders`.
    pub what: String,
    /// A digest of all that decides what is done with it: another one where it was altered.
    pub mark: String,
}

/// A held operation to be filed.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// Of everything that makes the operation this one.
    pub digest: String,
    /// The same without what the target's objects decide of it: what is sent again after one of them was altered.
    pub subject: String,
    /// The objects that it touches.
    pub touched: Vec<Touched>,
    /// Who asks.
    pub principal: String,
    /// For whom.
    pub on_behalf_of: Vec<String>,
    /// On which target.
    pub target: TargetName,
    /// In which session.
    pub session: String,
    /// How long that waits for its answer at most, in seconds; 0 where it does not.
    pub waits: u64,
    /// What it asks, in a line.
    pub summary: String,
    /// `update`, …
    pub kind: String,
    /// The statement with placeholders.
    pub text: String,
    /// The values of the placeholders; sealed where they rest.
    pub values: Vec<Option<String>>,
    /// What decides beside text and values what it means.
    pub circumstances: Circumstances,
    /// What it would do.
    pub effects: Vec<String>,
    /// The rules that hold it, every one of which must be met.
    pub holds: Vec<HoldRule>,
    /// How many rows it may change.
    pub ceiling: Ceiling,
    /// What it would do to the data; sealed where it rests.
    pub preview: Preview,
    /// What policy is asked about when somebody answers.
    pub weighed: Weighed,
    /// The version of the policies.
    pub version: String,
    /// What is alike to it; its plain values are sealed where they rest. `None` where nothing is taken for alike.
    pub alike: Option<Likeness>,
}

impl NewRequest {
    /// Who answers for its being asked: the person for whom it is done in the end, or else the principal.
    pub fn asker(&self) -> &str {
        self.on_behalf_of.last().unwrap_or(&self.principal)
    }

    /// What was altered since the same was asked for before, as a clause. Several are told up to a number.
    pub fn altered(&self, before: &[Touched]) -> String {
        const SAID: usize = 5;
        // What it touches now alone, or does no more, follows from something else that was altered.
        let is_altered =
            |now: &&Touched| before.iter().any(|then| then.what == now.what && then.mark != now.mark);
        let mut whats: Vec<&str> = self.touched.iter().filter(is_altered).map(|t| t.what.as_str()).collect();
        whats.sort_unstable();
        match whats.as_slice() {
            [] => "what it would do has changed".to_owned(),
            [one] => format!("{one} was altered"),
            [rest @ .., last] if whats.len() <= SAID => {
                format!("{} and {last} were altered", rest.join(", "))
            }
            many => {
                let said: Vec<&str> = many.iter().take(SAID).copied().collect();
                format!("{} and {} others were altered", said.join(", "), many.len() - said.len())
            }
        }
    }
}

/// What stands in the outcome of a request that was ended since something was changed, before where it stood then.
pub const SINCE_IT_WAS: &str = " since it was ";

/// The outcome of a request that was ended since something was changed, as it is told of another that asks the same anew.
pub fn since_request(outcome: &str, id: &str) -> Option<String> {
    outcome.rsplit_once(SINCE_IT_WAS).map(|(changed, stood)| format!("{changed}{}{stood}", since_which(id)))
}

/// What stands before where a request stood, where another one tells what was changed since.
fn since_which(id: &str) -> String {
    format!(" since request {id} was ")
}

/// Whether a change is told as one since this request.
fn is_since(changed: &str, id: &str) -> bool {
    [Status::Approved, Status::Pending]
        .iter()
        .any(|then| changed.ends_with(&format!("{}{}", since_which(id), then.since())))
}

/// What may be kept of held operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many of one principal's may wait.
    pub waiting: usize,
    /// How many bytes those of one person's may take, of whatever agents of theirs, or those of an agent that acts for nobody.
    pub one: u64,
    /// How many bytes all of them may take.
    pub all: u64,
}

/// A part of a list, which has the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// So many at most.
    pub most: usize,
    /// What came before this one of the list; from the newest on where it is not given.
    pub before: Option<String>,
}

impl Part {
    /// So many of the newest.
    pub fn newest(most: usize) -> Self {
        Self { most, before: None }
    }
}

/// How filing went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filed {
    /// It is new; its id.
    Now(String),
    /// It is new, and takes the place of what was asked before something was altered: its id, and what was altered since when.
    Anew(String, String),
    /// It waits or was approved already; its id.
    Before(String),
    /// Its principal has too many that wait.
    TooMany,
    /// What is kept of whoever asks takes all the bytes that it may, and this has more.
    NoRoom {
        /// How many it would take.
        bytes: u64,
        /// How many are taken and cannot give way.
        taken: u64,
        /// Whether it is those of everybody.
        all: bool,
    },
}

/// Where a request stands, for whoever waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The word.
    pub status: Status,
    /// What was said by whoever denied it.
    pub words: Option<String>,
    /// The rules that held it when it was filed.
    pub holds: Vec<HoldRule>,
}

/// A held operation as it is kept, and as an approver sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Its id.
    pub id: String,
    /// Of everything that makes the operation this one: what an answer is bound to.
    pub digest: String,
    /// Where it stands.
    pub status: Status,
    /// Who asks.
    pub principal: String,
    /// For whom.
    pub on_behalf_of: Vec<String>,
    /// On which target.
    pub target: TargetName,
    /// In which session.
    pub session: String,
    /// What it asks, in a line.
    pub summary: String,
    /// The statement with placeholders; its beginning where many are listed.
    pub text: String,
    /// The values of the placeholders; only where one request is shown.
    pub values: Vec<Option<String>>,
    /// What decides beside text and values what it means; only where one request is shown.
    pub circumstances: Circumstances,
    /// What it would do; nothing where many are listed and it is long.
    pub effects: Vec<String>,
    /// What was altered since the same was asked for before, and since which request.
    pub changed: Option<String>,
    /// The rules that hold it.
    pub holds: Vec<HoldRule>,
    /// How many rows it may change.
    pub ceiling: Ceiling,
    /// What it would do to the data; only where one request is shown.
    pub preview: Preview,
    /// When it was filed, in seconds since 1970.
    pub filed: i64,
    /// Until when it can be answered or used, in seconds since 1970.
    pub expires: i64,
    /// Who has answered, and how.
    pub votes: Vec<Vote>,
    /// What became of it.
    pub outcome: Option<String>,
    /// What is alike to it has the same key; `None` where nothing is taken for alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alike: Option<String>,
    /// The standing grant that approved it, where nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<GrantUse>,
    /// Its plain values and the rest of its likeness; only where one request is shown.
    #[serde(skip)]
    pub likeness: Option<Likeness>,
    /// The objects that it touches, as they were; only where one request is shown.
    #[serde(skip)]
    pub touched: Vec<Touched>,
    /// What policy is asked about when somebody answers; only where one request is shown.
    #[serde(skip)]
    pub weighed: Weighed,
    /// To which states it came, and when; only where one request is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Reached>,
}

impl Request {
    /// Whether it took the place of this one, since something was changed. What stands last is never a name of anybody's.
    pub fn takes_the_place_of(&self, id: &str) -> bool {
        self.changed.as_ref().is_some_and(|changed| is_since(changed, id))
    }
}

/// That a request came to a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Which.
    pub status: Status,
    /// When, in seconds since 1970.
    pub at: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_gateway_says_last_tells_whose_place_a_request_took() {
        for (changed, takes) in [
            ("the table a.b was altered since request r1 was approved", true),
            ("the table a.b was altered since request r1 was asked for", true),
            ("the table a.b was altered since request r12 was approved", false),
            (
                "the table \"x since request r1 was approved\" was altered since request r2 was approved",
                false,
            ),
            ("the table x since request r1 was altered", false),
        ] {
            assert_eq!(is_since(changed, "r1"), takes, "{changed}");
        }
    }
    #[test]
    fn a_name_does_not_say_where_a_request_stood() {
        let outcome = "the table \"a since it was b\" was altered since it was approved";
        let told = since_request(outcome, "r1").unwrap_or_default();
        assert_eq!(told, "the table \"a since it was b\" was altered since request r1 was approved");
    }
}
