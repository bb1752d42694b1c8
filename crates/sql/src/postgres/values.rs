//! The values that stand beside columns in a statement, for policies that ask for them: which columns are compared with what, or
//! get what.
//!
//! Each value that is told holds of every row of its table that the statement reads or writes, whatever else stands in it: it is a
//! part of a condition all of which must be met, or what is assigned. Where that cannot be said of a table, as where it is read a
//! second time, nothing is told of it.

use std::collections::{BTreeMap, BTreeSet};

use model::{ColumnName, Told};
use pg_query::NodeEnum;

use super::catalog::{Catalog, Oid};
use super::parse::{Parsed, parse};
use super::tree::kind;
use super::{Options, Session, Statement};

mod canonical;
mod reading;
#[cfg(test)]
mod tests;

use canonical::canonical;
use reading::Reading;

/// What a text says of values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values {
    beside: Vec<Beside>,
    /// All that stands beside columns is in it.
    complete: bool,
}

/// A value beside a column.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Beside {
    column: ColumnName,
    type_oid: Oid,
    how: &'static str,
    /// `None` where the word before it says all.
    value: Option<Given>,
}

/// A value as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    what: What,
    /// The types that it is made a value of, in their order.
    casts: Vec<Oid>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Literal(String),
    /// By its number, from 1; the type that the server takes it for where nobody says one.
    Parameter(u32, Option<Oid>),
    Null,
}

/// A parameter whose value is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// From 1.
    pub number: u32,
    /// The type that the server takes it for where nobody says one; `None` where that is not certain.
    pub taken_for: Option<Oid>,
}

/// What is bound to a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// This, as text.
    Value(String),
    /// NULL.
    Null,
    /// It cannot be read.
    Unread,
}

impl Values {
    /// With what is bound to its parameters. Whether all is told stands beside.
    pub fn told(&self, catalog: &Catalog, bound: &dyn Fn(Parameter) -> Bound) -> (BTreeSet<Told>, bool) {
        let mut complete = self.complete;
        let mut by_column: BTreeMap<(&ColumnName, &'static str), BTreeSet<String>> = BTreeMap::new();
        for Beside { column, type_oid, how, value } in &self.beside {
            let Some(given) = value else {
                by_column.entry((column, how)).or_default().insert(String::new());
                continue;
            };
            let text = match &given.what {
                What::Literal(text) => Bound::Value(text.clone()),
                What::Null => Bound::Null,
                What::Parameter(number, taken_for) => {
                    bound(Parameter { number: *number, taken_for: *taken_for })
                }
            };
            match text {
                Bound::Value(text) => {
                    match given.casts.iter().try_fold(text, |text, to| canonical(catalog, *to, &text)) {
                        Some(text) => {
                            let known = canonical(catalog, *type_oid, &text);
                            complete &= known.is_some();
                            by_column.entry((column, how)).or_default().insert(known.unwrap_or(text));
                        }
                        None => complete = false,
                    }
                }
                Bound::Null if *how == "set" => {
                    by_column.entry((column, "set null")).or_default().insert(String::new());
                }
                Bound::Null | Bound::Unread => complete = false,
            }
        }
        let mut told = BTreeSet::new();
        for ((column, how), values) in &by_column {
            let is_null = by_column.contains_key(&(column, "set null"));
            let how = match (*how, values.len()) {
                ("set" | "set in", 1) if !is_null => "set",
                ("set", _) => "set in",
                // Some rows get NULL and others something else.
                ("set null", _)
                    if by_column
                        .keys()
                        .any(|(c, h)| c == column && h.starts_with("set") && *h != "set null") =>
                {
                    complete = false;
                    continue;
                }
                ("in", 1) => "=",
                ("not in", 1) => "<>",
                (how, _) => how,
            };
            told.extend(values.iter().map(|value| Told {
                column: column.to_string(),
                how: how.to_owned(),
                value: value.clone(),
            }));
        }
        (told, complete)
    }
}

/// What a text says of values. `statements` is what it was understood to mean.
pub fn values(sql: &str, session: &Session<'_>, statements: &[&Statement]) -> Values {
    let major = session.catalog.server_version / 10_000;
    let Ok(Parsed { statements: parsed, tokens }) = parse(sql, major, &Options::default()) else {
        return Values::default();
    };
    let mut of_data = parsed
        .iter()
        .filter_map(|raw| raw.stmt.as_deref().and_then(kind))
        .filter(|node| !matches!(node, NodeEnum::TransactionStmt(_)));
    match (of_data.next(), of_data.next()) {
        (None, _) => Values { complete: true, ..Values::default() },
        // What one of them says holds for the others' rows of the same table no more.
        (Some(_), Some(_)) => Values::default(),
        (Some(node), None) => Reading::new(sql, session, &tokens).whole(node, statements).unwrap_or_default(),
    }
}
