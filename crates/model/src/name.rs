//! Names of what is acted upon. They are resolved names, never the text of a statement.

use std::fmt;

/// One service behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct TargetName(pub String);

impl TargetName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A target of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A class of data on a column (`pii.email`) or of a target (`production`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Tag(pub String);

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table, view, materialized view, sequence or foreign table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct TableName {
    /// The schema that holds it.
    pub schema: String,
    /// Its name in that schema.
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A column of a table or view.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ColumnName {
    /// The relation that has the column.
    pub table: TableName,
    /// The column's name.
    pub name: String,
}

impl fmt::Display for ColumnName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.table, self.name)
    }
}

/// A function, procedure, aggregate, or the function behind an operator or a cast; all overloads of one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct FunctionName {
    /// The schema that holds it.
    pub schema: String,
    /// Its name, shared by its overloads.
    pub name: String,
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// What one effect acts upon, always within the session's target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// The target as a whole: server files, programs, other sessions, what has no name of its own.
    Target,
    /// A schema, where no narrower name is known.
    Schema(String),
    /// A relation.
    Table(TableName),
    /// A column.
    Column(ColumnName),
    /// A function.
    Function(FunctionName),
    /// A setting, lower case.
    Setting(String),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target => f.write_str("the target"),
            Self::Schema(name) => write!(f, "schema {name}"),
            Self::Table(name) => write!(f, "{name}"),
            Self::Column(name) => write!(f, "column {name}"),
            Self::Function(name) => write!(f, "function {name}"),
            Self::Setting(name) => write!(f, "setting {name}"),
        }
    }
}
