//! Held operations: policies name the rules, the gateway files and waits, the store keeps, people answer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Access, Changed, GrantUse, Likeness, Plan, TargetName, Tier, Weighed};

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
    outcome
        .split_once(SINCE_IT_WAS)
        .map(|(changed, stood)| format!("{changed} since request {id} was {stood}"))
}

impl Status {
    /// What had happened to an open request, for whoever is told what changed since.
    pub fn since(self) -> &'static str {
        if self == Self::Approved { "approved" } else { "asked for" }
    }
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

/// Where a request stands. Pending → approved, denied, expired, withdrawn or superseded; approved → claimed, lapsed, rescinded or
/// superseded; claimed → done, failed, superseded or with an outcome that nobody
/// knows. A use of a standing grant is claimed from the first moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has answered, or not enough have.
    Pending,
    /// Approved, and not used yet.
    Approved,
    /// Somebody said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// The client has taken it back.
    Withdrawn,
    /// Approved, and used by a session; what comes of it is not known yet.
    Claimed,
    /// Approved, and not used in time.
    Lapsed,
    /// Approved, and taken back by somebody who may answer it.
    Rescinded,
    /// Never run: what it touches or the policy that asks was altered, so that it is asked for anew; or it was used, and the policy
    /// then in force refused it or asked for more.
    Superseded,
    /// Used, and run.
    Done,
    /// Used, and the target said no.
    Failed,
    /// Used, and the gateway or the session ended before the target had answered.
    OutcomeUnknown,
}

impl Status {
    /// All there are.
    pub const ALL: [Self; 12] = [
        Self::Pending,
        Self::Approved,
        Self::Denied,
        Self::Expired,
        Self::Withdrawn,
        Self::Claimed,
        Self::Lapsed,
        Self::Rescinded,
        Self::Superseded,
        Self::Done,
        Self::Failed,
        Self::OutcomeUnknown,
    ];

    /// The word for people and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Claimed => "claimed",
            Self::Lapsed => "lapsed",
            Self::Rescinded => "rescinded",
            Self::Superseded => "superseded",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }

    /// Whether it can still be answered or used.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Approved)
    }

    /// What time makes of it when its time is over.
    #[must_use]
    pub fn overdue(self) -> Self {
        match self {
            Self::Pending => Self::Expired,
            Self::Approved => Self::Lapsed,
            Self::Denied
            | Self::Expired
            | Self::Withdrawn
            | Self::Claimed
            | Self::Lapsed
            | Self::Rescinded
            | Self::Superseded
            | Self::Done
            | Self::Failed
            | Self::OutcomeUnknown => self,
        }
    }
}

/// What became of an approval that was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// Done, failed, superseded or with an unknown outcome.
    pub status: Status,
    /// The same in words.
    pub words: String,
}

impl Finish {
    /// It ran, and so many rows were concerned.
    pub fn done(rows: u64) -> Self {
        Self { status: Status::Done, words: format!("done, rows: {rows}") }
    }

    /// The target said no.
    pub fn failed(sqlstate: &str) -> Self {
        Self { status: Status::Failed, words: format!("failed with SQLSTATE {sqlstate}") }
    }

    /// It changed more rows than were approved, and was taken back.
    pub fn stopped(rows: u64, most: u64) -> Self {
        let words = format!(
            "stopped at its ceiling and taken back: it changed {rows} rows, and {most} were approved"
        );
        Self { status: Status::Failed, words }
    }

    /// It did something else than was seen beforehand, and was taken back.
    pub fn differed(how: &str) -> Self {
        Self {
            status: Status::Failed,
            words: format!("taken back: its effect was another than was seen: {how}"),
        }
    }

    /// It did not run, by the policy of that moment.
    pub fn superseded(why: &str) -> Self {
        Self { status: Status::Superseded, words: why.to_owned() }
    }

    /// Nobody knows whether it ran.
    pub fn unknown(why: &str) -> Self {
        Self { status: Status::OutcomeUnknown, words: why.to_owned() }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
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

/// That a request came to a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Which.
    pub status: Status,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// One person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who: `user:alice`.
    pub voter: String,
    /// The voter's groups when they answered.
    pub groups: Vec<String>,
    /// Yes or no.
    pub approve: bool,
    /// What they said.
    pub words: Option<String>,
    /// How they showed that they were there and meant this: `passkey …`, `sign-in …`, `secret`.
    #[serde(default)]
    pub proof: Option<String>,
    /// How many rows they let it change at most; the request's own ceiling where they did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u64>,
    /// What they give, of a request for access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// By what names they were known when they answered.
    #[serde(default, skip_serializing)]
    pub names: Vec<KnownAs>,
    /// When, in seconds since 1970; not known of what was answered before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
}

impl Vote {
    /// Whether it was given in Slack.
    pub fn is_by_slack(&self) -> bool {
        self.proof.as_ref().is_some_and(|how| how.starts_with(BY_SLACK))
    }
}

/// A person's name in its parts, in small letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAs {
    /// Of the issuer whose word it is; empty where it is the gateway's own.
    pub prefix: String,
    /// What follows it.
    pub name: String,
}

/// How an answer was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It counts; where the request stands now.
    Now(Status),
    /// The request was not open any more.
    TooLate(Status),
}

/// Somebody who may answer held operations. What proves that it is them is not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    /// Changes when the same name is given again.
    pub id: String,
    /// A person's name.
    pub name: String,
    /// For which groups they answer.
    pub groups: Vec<String>,
    /// What they are called at issuers, as `user:corp/alice`.
    #[serde(default)]
    pub names: Vec<String>,
    /// Since when, in seconds since 1970.
    pub added: i64,
}
