//! Plans: several statements that are approved as one ordered unit, and carried out once.

use serde::{Deserialize, Serialize};

use crate::{Ceiling, Preview, Touched};

/// Several statements in their order, as they were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What for, in the words of whoever asks.
    #[serde(default)]
    pub reason: Option<String>,
    /// The statements, in their order.
    pub steps: Vec<Step>,
    /// Why they cannot run in one transaction; `None` where they do, so that all of them stay or none.
    #[serde(default)]
    pub apart: Option<String>,
    /// What comes, goes and changes of the target's schema.
    #[serde(default)]
    pub schema: Vec<Change>,
    /// Why not all of that is foreseen.
    #[serde(default)]
    pub unforeseen: Vec<String>,
    /// Who sends the statements.
    #[serde(default)]
    pub by: CarriedBy,
    /// What came of trying it beforehand; `None` where policy does not want that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Tried>,
}

/// What came of trying a plan in a transaction that was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tried {
    /// All of its statements ran.
    Whole,
    /// One of them failed, so that nothing would stay: which, and why.
    Failed(String),
    /// It was not tried, and why: its statements are counted, each alone.
    No(String),
}

/// Who sends a plan's statements once it is approved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CarriedBy {
    /// They came in one message, which goes on whole.
    #[default]
    Message,
    /// The gateway, as soon as it is approved.
    Gateway,
    /// Whoever asked, in a session of theirs.
    Session,
}

/// One statement of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The statement as it is sent, without comments.
    pub text: String,
    /// `create table`, …
    pub kind: String,
    /// What it would do, a line each.
    pub effects: Vec<String>,
    /// The same as it is compared with what it does when it runs.
    #[serde(default)]
    pub covers: Vec<String>,
    /// What it costs others.
    #[serde(default)]
    pub words: Vec<String>,
    /// What was seen of its effect beforehand, for whoever approves it alone.
    #[serde(default)]
    pub preview: Preview,
    /// The objects that it touches and no statement before it alters, as they were.
    #[serde(default)]
    pub touched: Vec<Touched>,
    /// The ids of the policies that hold it; none where it needs no answer.
    #[serde(default)]
    pub holds: Vec<String>,
    /// How many rows it may change.
    #[serde(default)]
    pub ceiling: Ceiling,
}

/// What becomes of one object of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The statement's number, from 1.
    pub step: usize,
    /// Whether it comes, goes or becomes another.
    pub sign: Sign,
    /// `the column shop.orders.note`
    pub what: String,
    /// The rest: a type, an expression.
    #[serde(default)]
    pub detail: String,
}

/// Whether an object comes, goes or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// It comes.
    Comes,
    /// It goes.
    Goes,
    /// It becomes another.
    Changes,
}

impl Plan {
    /// The same for whoever asked: nothing of what was seen of the data beforehand.
    #[must_use]
    pub fn unseen(mut self) -> Self {
        for step in &mut self.steps {
            step.preview = Preview::default();
            step.ceiling = Ceiling::None("whoever approves it says how many rows it may change".to_owned());
        }
        self.tried = None;
        self
    }
}

impl Sign {
    /// In one sign.
    pub fn mark(self) -> char {
        match self {
            Self::Comes => '+',
            Self::Goes => '-',
            Self::Changes => '~',
        }
    }
}

/// How far a plan has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Of each statement that was sent, what came of it.
    pub done: Vec<Done>,
    /// Why it went no further.
    #[serde(default)]
    pub stopped: Option<String>,
}

/// What came of one statement of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What the server says that it did: `INSERT 0 3`. Empty where it failed.
    pub tag: String,
    /// The columns of its result.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Its rows, as whoever asked may see them.
    #[serde(default)]
    pub rows: Vec<Vec<Option<String>>>,
    /// How many rows of it are not kept here.
    #[serde(default)]
    pub left_out: u64,
    /// Why it failed, in words that may quote values: for whoever ran it.
    #[serde(default)]
    pub error: Option<String>,
    /// The same without words.
    #[serde(default)]
    pub sqlstate: Option<String>,
}

/// Where a plan is, between its claim and its end: what a crash leaves of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It was asked for, and nothing of it was sent.
    Waiting,
    /// Its statements run in a transaction: a crash takes them back.
    Running,
    /// What was sent may stay, whatever becomes of the gateway.
    Staying,
}

impl Stage {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Running, Self::Staying];

    /// The word for rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Staying => "staying",
        }
    }
}
