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

/// A part of a name as it stands between dots: in double quotes where it would be taken for another name without them.
struct Part<'a>(&'a str);

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(['.', '"']) {
            return write!(f, "\"{}\"", self.0.replace('"', "\"\""));
        }
        f.write_str(self.0)
    }
}

/// The parts of a name as the names here are shown; `None` where a part is empty or a quote is not closed.
pub fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let mut part = String::new();
        if let Some(mut quoted) = rest.strip_prefix('"') {
            loop {
                let (piece, behind) = quoted.split_once('"')?;
                part.push_str(piece);
                match behind.strip_prefix('"') {
                    Some(more) => quoted = more,
                    None => {
                        rest = behind;
                        break;
                    }
                }
                part.push('"');
            }
        } else {
            let (piece, behind) = rest.split_at_checked(rest.find('.').unwrap_or(rest.len()))?;
            part.push_str(piece);
            rest = behind;
        }
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        if rest.is_empty() {
            return Some(parts);
        }
        rest = rest.strip_prefix('.')?;
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
        write!(f, "{}.{}", Part(&self.schema), Part(&self.name))
    }
}

impl TableName {
    /// The name in a line of others, where nothing in it is taken for what stands beside it: a part with anything else than letters, digits,
    /// `_` and `$` stands in double quotes.
    pub fn among_others(&self) -> String {
        let is_plain = |part: &str| part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'));
        let quoted = |part: &str| match is_plain(part) {
            true => part.to_owned(),
            false => format!("\"{}\"", part.replace('"', "\"\"")),
        };
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    /// Whether a text is this name, in quotes wherever it needs them, or anywhere else.
    pub fn is_written(&self, text: &str) -> bool {
        parts(text).is_some_and(|parts| parts == [self.schema.as_str(), self.name.as_str()])
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
        write!(f, "{}.{}", self.table, Part(&self.name))
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
        write!(f, "{}.{}", Part(&self.schema), Part(&self.name))
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
            Self::Schema(name) => write!(f, "schema {}", Part(name)),
            Self::Table(name) => write!(f, "{name}"),
            Self::Column(name) => write!(f, "column {name}"),
            Self::Function(name) => write!(f, "function {name}"),
            Self::Setting(name) => write!(f, "setting {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_are_shown_alike_and_each_is_read_as_it_is_shown() {
        let names = [
            ("shop", "orders", "shop.orders"),
            ("Odd Name", "Straße", "Odd Name.Straße"),
            ("shop.a", "b", "\"shop.a\".b"),
            ("shop", "a.b", "shop.\"a.b\""),
            ("shop", "\"", "shop.\"\"\"\""),
            ("a\".b", "c", "\"a\"\".b\".c"),
        ];
        for (schema, name, shown) in names {
            let table = TableName { schema: schema.to_owned(), name: name.to_owned() };
            assert_eq!(table.to_string(), shown);
            assert_eq!(parts(shown), Some(vec![schema.to_owned(), name.to_owned()]), "{shown}");
            assert!(table.is_written(shown) && table.is_written(&table.among_others()), "{shown}");
            let column = ColumnName { table, name: name.to_owned() };
            assert_eq!(parts(&column.to_string()).map(|p| p.len()), Some(3), "{column}");
        }
        for text in ["", ".", "a.", ".a", "a..b", "\"a", "\"a\"b.c", "\"\".a"] {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}
