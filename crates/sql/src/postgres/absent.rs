//! Names of a statement that are not there: where in its text they stand, and what the server would guess that they mean.

use super::catalog::Relation;
use super::scope::{Columns, Scope};
use super::walk::{Walk, Within};

/// The server looks no further than this, in characters to be changed.
const FURTHEST: usize = 3;

/// A name in the client's own text that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// What is said of it, as the effect `unknown` has it.
    pub why: String,
    /// Where it begins in the text of its message, in bytes.
    pub at: usize,
    /// What would help.
    pub advice: Advice,
}

/// What the server says to whoever wrote a name that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Nothing.
    None,
    /// These words, whatever the name is.
    Words(&'static str),
    /// One or two columns of the statement's own tables, which are written alike.
    Columns {
        /// How many names of the reference these stand for.
        parts: usize,
        /// Each as table and column.
        near: Vec<[String; 2]>,
    },
    /// The alias of the table that is named.
    Alias {
        /// How many names of the reference it stands for.
        parts: usize,
        /// The alias.
        alias: String,
    },
}

impl Advice {
    /// What could be written in the place of the name: each way, with what the server calls it.
    pub fn ways(&self) -> Vec<Way> {
        match self {
            Self::None | Self::Words(_) => Vec::new(),
            Self::Columns { parts, near } => near
                .iter()
                .map(|[table, column]| Way {
                    parts: *parts,
                    written: format!("{}.{}", quoted(table), quoted(column)),
                    called: format!("the column \"{table}.{column}\""),
                })
                .collect(),
            Self::Alias { parts, alias } => vec![Way {
                parts: *parts,
                written: quoted(alias),
                called: format!("the table alias \"{alias}\""),
            }],
        }
    }
}

/// What could be written in the place of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// How many names it stands for.
    parts: usize,
    /// As SQL.
    written: String,
    /// As the server words it.
    pub called: String,
}

impl Way {
    /// A text with this in the place of the name that begins there. `None` where the name is written in a way that is not looked
    /// through, with comments within or by Unicode escapes.
    pub fn put(&self, text: &str, at: usize) -> Option<String> {
        let (before, mut rest) = text.split_at_checked(at)?;
        for part in 0..self.parts {
            if part > 0 {
                rest = rest.trim_start().strip_prefix('.')?.trim_start();
            }
            rest = behind_name(rest)?;
        }
        Some(format!("{before}{}{rest}", self.written))
    }
}

/// What follows a name at the beginning of a text.
fn behind_name(text: &str) -> Option<&str> {
    if let Some(mut rest) = text.strip_prefix('"') {
        loop {
            rest = rest.split_once('"')?.1;
            match rest.strip_prefix('"') {
                Some(more) => rest = more,
                None => return Some(rest),
            }
        }
    }
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii();
    let rest = text.trim_start_matches(name);
    (rest.len() < text.len()).then_some(rest)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Functions and operators that nothing of this name takes.
pub(super) const NO_FUNCTION: &str =
    "No function matches the given name and argument types. You might need to add explicit type casts.";
/// The same of procedures.
pub(super) const NO_PROCEDURE: &str =
    "No procedure matches the given name and argument types. You might need to add explicit type casts.";

impl<'a> Walk<'a> {
    /// A name that stands at a place in the text was not found. The server stops at the first, so that no other is looked into.
    pub(super) fn absent(&mut self, why: String, location: i32, advice: impl FnOnce(&mut Self) -> Advice) {
        self.missing(why.clone());
        let Ok(at) = usize::try_from(location) else { return };
        if self.within == Within::Statement && self.found.absent.is_none() {
            let advice = advice(self);
            self.found.absent = Some(Absent { why, at, advice });
        }
    }

    /// A column is not there. Says what is said of it.
    pub(super) fn no_column(
        &mut self,
        table: Option<&str>,
        name: &str,
        parts: usize,
        location: i32,
        scope: &Scope<'_, 'a>,
    ) -> String {
        let why = match table {
            Some(table) => format!("column {table}.{name} does not exist"),
            None => format!("column \"{name}\" does not exist"),
        };
        self.absent(why.clone(), location, |walk| match walk.near(table, name, scope) {
            near if near.is_empty() => Advice::None,
            near => Advice::Columns { parts, near },
        });
        why
    }

    /// A table is not in FROM. Says what is said of it.
    pub(super) fn no_entry(
        &mut self,
        schema: Option<&str>,
        table: &str,
        parts: usize,
        location: i32,
        scope: &Scope<'_, 'a>,
    ) -> String {
        let alias = Self::aliased(schema, table, scope);
        let what = if alias.is_some() { "invalid reference to" } else { "missing" };
        let why = format!("{what} FROM-clause entry for table \"{table}\"");
        let advice = alias.map_or(Advice::None, |alias| Advice::Alias { parts, alias });
        self.absent(why.clone(), location, |_| advice);
        why
    }

    /// The columns that are written most like this one, as `searchRangeTableForCol` of the server's finds them: in all tables of
    /// the query and of those around it.
    pub(super) fn near(
        &mut self,
        table: Option<&str>,
        name: &str,
        scope: &Scope<'_, 'a>,
    ) -> Vec<[String; 2]> {
        let mut best = Best { distance: FURTHEST + 1, found: Vec::new() };
        for entry in scope.levels().flat_map(|scope| &scope.entries) {
            let Some(alias) = entry.alias.as_deref() else { continue };
            let penalty = table.map_or(0, |table| distance(table, alias));
            if penalty > best.distance {
                continue;
            }
            let mut see = |column: &str| best.see([alias, column], penalty, name);
            let looked = match &entry.columns {
                Columns::Untagged(relation) => {
                    relation.columns.iter().for_each(|column| see(&column.name));
                    relation.columns.len()
                }
                Columns::Listed(columns) => {
                    columns.iter().for_each(|column| see(&column.name));
                    columns.len()
                }
                // The server may know a nearer one.
                Columns::Open(_) => return Vec::new(),
            };
            if !self.spend(4 * looked) {
                return Vec::new();
            }
        }
        best.found
    }

    /// The alias under which a table stands that a reference calls by its own name.
    fn aliased(schema: Option<&str>, table: &str, scope: &Scope<'_, 'a>) -> Option<String> {
        let mut entries = scope.levels().flat_map(|scope| scope.entries.iter().skip(scope.first));
        let meant = |relation: &Relation| {
            relation.name == table && schema.is_none_or(|schema| relation.schema == schema)
        };
        let entry = entries.find(|entry| entry.relation.is_some_and(meant))?;
        entry.alias.as_deref().filter(|alias| *alias != table).map(str::to_owned)
    }
}

/// What is nearest so far: one, or two that are as near.
struct Best {
    distance: usize,
    found: Vec<[String; 2]>,
}

impl Best {
    fn see(&mut self, [alias, column]: [&str; 2], penalty: usize, name: &str) {
        let far = distance(column, name);
        // Of which more than half is different, that was not meant.
        if far > name.len() / 2 {
            return;
        }
        let far = far + penalty;
        let this = || [alias.to_owned(), column.to_owned()];
        if far < self.distance {
            *self = Self { distance: far, found: vec![this()] };
        } else if far == self.distance {
            match self.found.len() {
                2 => {
                    self.found.clear();
                    self.distance = far.saturating_sub(1);
                }
                1 => self.found.push(this()),
                _ if far <= FURTHEST => self.found.push(this()),
                _ => (),
            }
        }
    }
}

/// Levenshtein's, in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row, vec![i + 1]);
        let above = corner.split_off(1);
        let mut left = i + 1;
        let mut diagonal = corner.first().copied().unwrap_or_default();
        for (to, above) in b.iter().zip(above) {
            left = (left + 1).min(above + 1).min(diagonal + usize::from(from != *to));
            diagonal = above;
            row.push(left);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_stands_where_the_name_stood() {
        let way = |parts| Way { parts, written: "\"o\".\"email\"".to_owned(), called: String::new() };
        for (text, at, parts, expected) in [
            ("SELECT emial FROM o", 7, 1, Some("SELECT \"o\".\"email\" FROM o")),
            ("SELECT o . emial, 1", 7, 2, Some("SELECT \"o\".\"email\", 1")),
            ("SELECT \"e\"\"m\".x", 7, 2, Some("SELECT \"o\".\"email\"")),
            ("SELECT o/* */.emial", 7, 2, None),
            ("SELECT U&\"em\"", 7, 2, None),
            ("é emial", 3, 1, Some("é \"o\".\"email\"")),
            ("é", 1, 1, None),
            ("x", 9, 1, None),
        ] {
            assert_eq!(way(parts).put(text, at).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_distance_of_two_words_is_what_must_change() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("emial", "email", 2), ("käse", "kase", 1), ("abc", "xabcd", 2)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
