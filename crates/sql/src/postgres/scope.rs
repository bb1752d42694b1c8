//! Which names a clause can see: relations of `FROM`, common table expressions, a function's arguments.

use std::borrow::Cow;
use std::sync::Arc;

use super::catalog::{Oid, Relation};
use super::value::{Col, Flow, Value};

/// One item of `FROM` under its name.
#[derive(Clone)]
pub(super) struct Entry<'a> {
    /// The name that qualifies its columns; none for a join or sub-query without one.
    pub alias: Option<Cow<'a, str>>,
    /// The relation itself, where it is one.
    pub relation: Option<&'a Relation>,
    /// The schema that may qualify the name, too: no alias hides it.
    pub schema: Option<&'a str>,
    /// Its columns.
    pub columns: Columns<'a>,
    /// A row of a table has system columns (`ctid`, …), that of a view has none.
    pub system_columns: bool,
    /// A function's value that is no row: its name as a value is its only column.
    pub scalar: bool,
    /// Its rows are of no type of their own: a sub-query's, a common table expression's, those of `VALUES` or of a join. Those of a
    /// function may be of the type that it returns.
    pub record: bool,
    /// Only this kind of reference sees it: `EXCLUDED`, `OLD` and `NEW` give no unqualified names.
    pub qualified_only: bool,
}

/// The columns of an item.
#[derive(Clone)]
pub(super) enum Columns<'a> {
    /// All of a table without tags: names are looked up where they are needed.
    Untagged(&'a Relation),
    /// These.
    Listed(Arc<[Col]>),
    /// Their names are not known; whatever is asked for depends on this.
    Open(Flow),
}

impl Entry<'_> {
    /// A column by name.
    pub(super) fn column(&self, name: &str) -> Option<Value> {
        self.named(name).map(|(value, _)| value)
    }

    /// The same, and whether it is certain that the server has a column of that name here.
    pub(super) fn named(&self, name: &str) -> Option<(Value, bool)> {
        match &self.columns {
            Columns::Untagged(relation) => {
                relation.column(name).map(|column| (Value::clear(Some(column.type_oid)), true))
            }
            Columns::Listed(columns) => columns.iter().find(|c| &*c.name == name).map(sure),
            Columns::Open(flow) => Some((Value::of(flow.clone()), false)),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.columns, Columns::Open(_))
    }

    /// All columns in their order; `None` where they are not known.
    pub(super) fn all(&self) -> Option<Arc<[Col]>> {
        match &self.columns {
            Columns::Untagged(relation) => Some(
                relation
                    .columns
                    .iter()
                    .map(|c| Col::new(c.name.as_str(), Value::clear(Some(c.type_oid))))
                    .collect(),
            ),
            Columns::Listed(columns) => Some(Arc::clone(columns)),
            Columns::Open(_) => None,
        }
    }
}

/// What an unqualified name or `*` finds, in the order of `*`.
#[derive(Clone)]
pub(super) enum Visible {
    /// All columns of an entry.
    Entry(usize),
    /// The same through a join, which has no system columns.
    Joined(usize),
    /// One column: merged by `USING`, or of a join that has merged ones.
    Column(Col),
}

/// A common table expression.
#[derive(Clone)]
pub(super) struct Cte {
    pub name: String,
    /// Its columns; `None` where they are not known, with what they depend on.
    pub columns: Option<Arc<[Col]>>,
    pub flow: Flow,
    /// It stands further down in its `WITH RECURSIVE` and was not read yet.
    pub pending: bool,
}

/// What one level of a statement sees.
#[derive(Default)]
pub(super) struct Scope<'s, 'a> {
    pub parent: Option<&'s Scope<'s, 'a>>,
    pub entries: Vec<Entry<'a>>,
    pub visible: Vec<Visible>,
    /// Qualifiers see the entries from here on: the condition of a join sees its two sides alone.
    pub first: usize,
    pub ctes: Vec<Cte>,
    /// A function's arguments by name, and its own name, which may qualify them.
    pub arguments: Option<&'s Arguments>,
}

/// What the text of a function's body may refer to beside relations.
#[derive(Default)]
pub(super) struct Arguments {
    pub function: String,
    pub named: Vec<(Option<String>, Value)>,
    /// PL/pgSQL: a name that is no column is a variable.
    pub variables: bool,
    /// PL/pgSQL: the type of its results, where it has any.
    pub returns: Option<Oid>,
    /// PL/pgSQL: the names of its blocks and loops, which may qualify variables.
    pub labels: Vec<String>,
}

impl<'s, 'a> Scope<'s, 'a> {
    /// A level below this one.
    pub(super) fn below(parent: &'s Scope<'s, 'a>) -> Self {
        Self { parent: Some(parent), ..Self::default() }
    }

    /// What is around a query, without what stands in its own `FROM` so far.
    pub(super) fn alone(&self) -> Self {
        Self { arguments: self.arguments, ctes: self.ctes.clone(), parent: self.parent, ..Self::default() }
    }

    /// This level and those above it.
    pub(super) fn levels(&self) -> impl Iterator<Item = &Scope<'s, 'a>> {
        std::iter::successors(Some(self), |scope| scope.parent)
    }

    /// How many things are looked at to find a name here, about.
    pub(super) fn breadth(&self) -> usize {
        self.levels().map(|s| 1 + s.entries.len() + s.visible.len() + s.ctes.len()).sum()
    }

    /// A common table expression by name, and whether it is of this very level.
    pub(super) fn cte(&self, name: &str) -> Option<(&Cte, bool)> {
        self.levels().enumerate().find_map(|(level, scope)| {
            scope.ctes.iter().rev().find(|cte| cte.name == name).map(|cte| (cte, level == 0))
        })
    }

    /// The entry that a qualifier names.
    pub(super) fn entry(&self, schema: Option<&str>, name: &str) -> Option<&Entry<'a>> {
        self.levels().find_map(|scope| {
            scope.entries.iter().skip(scope.first).find(|entry| {
                entry.alias.as_deref() == Some(name)
                    && schema.is_none_or(|schema| entry.schema == Some(schema))
            })
        })
    }

    /// What an unqualified name means, at the nearest level that has it. Entries whose columns are not known may have
    /// it, too; and where the nearest name is one that we made up as we think the server does, the server may go on to
    /// the levels above.
    pub(super) fn column(&self, name: &str) -> Option<Value> {
        let mut possible: Option<Value> = None;
        for scope in self.levels() {
            let mut found: Option<Value> = None;
            for visible in &scope.visible {
                let value = match visible {
                    Visible::Column(column) => (&*column.name == name).then(|| sure(column)),
                    Visible::Entry(index) => scope.entries.get(*index).and_then(|entry| {
                        entry.named(name).or_else(|| system(entry, name).map(|value| (value, true)))
                    }),
                    Visible::Joined(index) => scope.entries.get(*index).and_then(|entry| entry.named(name)),
                };
                match value {
                    Some((value, true)) => found = joined(found, Some(value)),
                    Some((value, false)) => possible = joined(possible, Some(value)),
                    None => (),
                }
            }
            if let Some(value) = found {
                return joined(possible, Some(value));
            }
        }
        possible
    }
}

fn sure(column: &Col) -> (Value, bool) {
    (column.value.clone(), column.sure)
}

fn joined(a: Option<Value>, b: Option<Value>) -> Option<Value> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.either(b)),
        (one, None) | (None, one) => one,
    }
}

/// Columns that every table has, and `SELECT *` does not show.
pub(super) fn system(entry: &Entry<'_>, name: &str) -> Option<Value> {
    let type_oid = match name {
        "ctid" => 27,
        "xmin" | "xmax" => 28,
        "cmin" | "cmax" => 29,
        "tableoid" => 26,
        _ => return None,
    };
    entry.system_columns.then(|| Value::clear(Some(super::catalog::Oid(type_oid))))
}
