//! What the API answers about held operations and who answers them, as its document describes it. The nouns themselves know no
//! schemas; that these say the same is tested with real ones.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! said {
    ($($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $kind:ty,)+ })+) => { $(
        $(#[$about])*
        #[derive(Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name { $($(#[$doc])* $field: $kind,)+ }
    )+ };
}

macro_rules! words {
    ($($(#[$about:meta])* $name:ident { $($word:ident,)+ })+) => { $(
        $(#[$about])*
        #[derive(Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        enum $name { $($word,)+ }
    )+ };
}

words! {
    /// Where a request stands.
    Status {
        Pending, Approved, Denied, Expired, Withdrawn, Claimed, Lapsed, Rescinded, Superseded, Done, Failed, OutcomeUnknown,
    }
    /// How it was looked at.
    Tier { Static, Counted, Executed, Hold, }
    /// What a yes is worth that somebody gives in Slack.
    SlackYes { Never, WithOthers, Alone, }
    /// Who sends a plan's statements.
    CarriedBy { Message, Gateway, Session, }
    /// Whether an object comes, goes or becomes another.
    Sign { Comes, Goes, Changes, }
}

/// How many rows it may change; where it has no ceiling, why.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Ceiling {
    /// So many at most.
    Rows(RowsAtMost),
    /// It has none, and why.
    None(String),
}

/// What came of trying a plan in a transaction that was rolled back.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Tried {
    /// All of its statements ran.
    Whole,
    /// One of them failed: which, and why.
    Failed(String),
    /// It was not tried, and why.
    No(String),
}

said! {
    /// A held operation.
    Request {
        id: String,
        /// What an answer is bound to.
        digest: String,
        status: Status,
        /// Who asks: `agent:bot`.
        principal: String,
        /// For whom, nearest first.
        on_behalf_of: Vec<String>,
        target: String,
        session: String,
        /// What it asks, in a line.
        summary: String,
        /// The statement with placeholders; its beginning where many are listed.
        text: String,
        /// The values of the placeholders; only where one is shown.
        values: Vec<Option<String>>,
        circumstances: Circumstances,
        /// What it would do, a line each.
        effects: Vec<String>,
        /// What was altered since the same was asked for before.
        changed: Option<String>,
        holds: Vec<HoldRule>,
        ceiling: Ceiling,
        preview: Preview,
        /// In seconds since 1970.
        filed: i64,
        /// Until when it can be answered or used, in seconds since 1970.
        expires: i64,
        votes: Vec<Vote>,
        /// What became of it.
        outcome: Option<String>,
        /// What is alike to it has the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alike: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        granted: Option<GrantUse>,
        /// To which states it came, and when; only where one is shown.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stages: Vec<Reached>,
    }
    /// What decides beside text and values what it means.
    Circumstances {
        /// Of each value.
        #[serde(default)]
        kinds: Vec<String>,
        /// Settings, each with its value.
        #[serde(default)]
        settings: Vec<(String, String)>,
    }
    /// A rule that holds it.
    HoldRule {
        /// The policy's id.
        id: String,
        approvers: Vec<String>,
        quorum: u32,
        /// How long the question stands, in seconds.
        expires: u64,
        /// How long an approval may wait to be used, in seconds.
        valid_for: u64,
        reason: Option<String>,
        carry: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slack: Option<SlackYes>,
        /// Whether the person for whom an agent asks may answer.
        #[serde(default)]
        by_self: bool,
        ceiling: Option<u64>,
        /// In percent.
        tolerance: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preview: Option<Tier>,
        /// For how long standing grants may be given, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<u64>,
    }
    /// A number of rows.
    RowsAtMost {
        most: u64,
        /// `executed`, `counted`, `policy`, `grant`, `default`.
        from: String,
        /// Schema and name of the tables whose rows count; every table's where there are none.
        #[serde(default)]
        of: Vec<(String, String)>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Expected>,
    }
    /// What it did when it was tried.
    Expected {
        /// In percent.
        tolerance: u32,
        tables: Vec<Changed>,
    }
    /// What becomes of one table's rows.
    Changed {
        /// As the server numbers it; 0 where statements before make it.
        relation: u32,
        /// Schema and name.
        table: (String, String),
        rows: Rows,
        /// When the statement has just run.
        at_once: Rows,
    }
    /// How many rows.
    Rows {
        inserted: u64,
        updated: u64,
        deleted: u64,
    }
    /// What was seen of its effect beforehand.
    Preview {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        words: Vec<String>,
        tier: Option<Tier>,
        exact: bool,
        /// In seconds since 1970.
        at: i64,
        /// Until when at the longest an approval commits the very transaction that was tried, in seconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        open_until: Option<i64>,
        unseen: Vec<String>,
        changes: Vec<Changed>,
        /// How the target means to carry it out.
        plan: Vec<String>,
        columns: Vec<Shown>,
        rows: Vec<Vec<Option<String>>>,
        /// What it is statement by statement, where there are several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ordered: Option<Box<Plan>>,
        /// What access is asked for, where it is no statement.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        access: Option<Access>,
    }
    /// Leave to do some things to some tables by whatever statement.
    Access {
        /// What may be done to what.
        leaves: Vec<Leave>,
        /// How many rows one statement may change at most.
        most: Option<u64>,
        /// For how long, in seconds.
        seconds: u64,
    }
    /// One action on one table.
    Leave {
        /// `update`
        action: String,
        table: Table,
    }
    /// A table by its schema and name.
    Table {
        schema: String,
        name: String,
    }
    /// A column of a sample.
    Shown {
        name: String,
        after: bool,
        masked: bool,
    }
    /// Several statements that are approved as one.
    Plan {
        reason: Option<String>,
        steps: Vec<Step>,
        /// Why they cannot run in one transaction.
        apart: Option<String>,
        schema: Vec<Change>,
        unforeseen: Vec<String>,
        by: CarriedBy,
        /// What came of trying it beforehand; nothing where policy does not want that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tried: Option<Tried>,
    }
    /// One statement of a plan.
    Step {
        text: String,
        kind: String,
        effects: Vec<String>,
        covers: Vec<String>,
        words: Vec<String>,
        preview: Preview,
        touched: Vec<Touched>,
        /// The ids of the policies that hold it.
        holds: Vec<String>,
        ceiling: Ceiling,
    }
    /// An object that it touches.
    Touched {
        what: String,
        mark: String,
    }
    /// What becomes of one object of a schema.
    Change {
        /// The statement's number, from 1.
        step: usize,
        sign: Sign,
        what: String,
        detail: String,
    }
    /// One person's answer.
    Vote {
        /// `user:alice`
        voter: String,
        groups: Vec<String>,
        approve: bool,
        words: Option<String>,
        /// How they showed that they were there.
        proof: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        most: Option<u64>,
        /// What they give, of a request for access.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        access: Option<Access>,
        /// In seconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<i64>,
    }
    /// That it came to a state.
    Reached {
        status: Status,
        /// In seconds since 1970.
        at: i64,
    }
    /// One use of a standing grant.
    GrantUse {
        grant: String,
        number: u64,
    }
    /// What became of an answer.
    Answered {
        status: Status,
        /// Whose answer it was.
        by: String,
        /// For whom it waits still.
        waits_for: Vec<String>,
        /// The standing grant that came of a request for access.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<String>,
    }
    /// Somebody who answers with a secret.
    Approver {
        id: String,
        name: String,
        groups: Vec<String>,
        /// What they are called at issuers.
        names: Vec<String>,
        /// In seconds since 1970.
        added: i64,
    }
    /// Somebody of the console.
    Member {
        name: String,
        roles: Vec<String>,
        groups: Vec<String>,
        /// In seconds since 1970.
        added: i64,
    }
}

#[cfg(test)]
mod tests;
