//! What an operation would do, as facts that a policy may ask about.

use std::collections::BTreeSet;

use crate::{Action, ColumnName, FunctionName, Resource, TableName, Tag};

/// One thing that an operation would do: an action on a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Effect {
    /// What is done.
    pub action: Action,
    /// To what.
    pub resource: Resource,
    /// The tags of the resource.
    pub tags: BTreeSet<Tag>,
    /// The view through which a base table is read. A permit on the view suffices then; a forbid on the table still wins.
    pub via: Option<TableName>,
    /// Why it is here, where the statement's text does not say so: the reason of an `unknown`, the trigger that writes.
    pub why: Option<String>,
}

impl Effect {
    /// An effect without tags, not through a view.
    pub fn new(action: Action, resource: Resource) -> Self {
        Self { action, resource, tags: BTreeSet::new(), via: None, why: None }
    }

    /// What is not understood, and why.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..Self::new(Action::Unknown, Resource::Target) }
    }

    /// The same effect with a reason.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }
}

/// What is known of an operation beside its effects: the policy's `context.statement`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Facts {
    /// `select`, `update`, `create table`, …; of several statements, the words joined by `; `.
    pub kind: String,
    /// Whether each UPDATE and DELETE in it has a condition that is not plainly always true.
    pub has_where: bool,
    /// The relations read and written, views included.
    pub tables: BTreeSet<TableName>,
    /// The functions called, each candidate of a name that could not be narrowed.
    pub functions: BTreeSet<FunctionName>,
    /// How many statements it has.
    pub statements: u32,
    /// How many parameters (`$1` …) it takes.
    pub parameters: u32,
}

/// A value that stands beside a column in a statement, and what that says of each row that the statement reads or writes of the
/// column's table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// `schema.table.column`.
    pub column: String,
    /// `=`, `<>`, `<`, `<=`, `>`, `>=`, `in`, `not in`, `like`, `is null`, `is not null` where it is a condition of every row; `set`
    /// where it is what every row gets, `set in` where some rows get it, `set null`.
    pub how: String,
    /// The value as text, whether it stands in the statement or is bound; empty where the other two say all.
    pub value: String,
}

/// What is known of one operation alone, and not of others of its shape. It is asked for only where a policy reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Particulars {
    /// Values beside columns: each holds whatever else the statement says.
    pub values: BTreeSet<Told>,
    /// Whether these are all the values that stand beside columns in it.
    pub values_certain: bool,
    /// How many literals its text has.
    pub literals: u64,
    /// How many rows the target's planner expects, where it was asked.
    pub estimated_rows: Option<u64>,
    /// How many rows it would change, where a person was asked and all of them were counted for that.
    pub measured_rows: Option<u64>,
}

impl Particulars {
    /// Of what has no values at all, such as opening a session.
    pub fn none() -> Self {
        Self { values_certain: true, ..Self::default() }
    }
}

/// What a policy sees of an operation.
pub trait Inspect {
    /// All effects; an operation without one needs only the leave to be connected.
    fn effects(&self) -> &[Effect];
    /// The other facts.
    fn facts(&self) -> &Facts;
    /// The tagged columns that its outputs depend on, with their tags: each is shown clear only to who may `reveal` it.
    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)];
    /// A digest of everything that decides its effects: operations of equal shape get equal verdicts.
    fn shape(&self) -> [u8; 16];
    /// What is known of it alone. It may be dear, and is asked for only where a policy reads it.
    fn particulars(&self) -> Particulars;
}
