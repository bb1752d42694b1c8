//! What statements have in common that differ in plain values alone, so that leave for one can be leave for all of them.
//!
//! A value is plain only where nothing but rows can depend on it: an assigned one (`SET x = …`, `VALUES (…)`), and one that a
//! column is compared with by `=` or `IN`. Everything else stays as it is written: names, operators, how many there are in a
//! list, `LIMIT`, patterns, ranges, intervals, type modifiers, arguments of functions.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::NodeEnum;
use pg_query::protobuf::{AExpr, AExprKind, BoolExprType, Node, ScanToken, Token, TypeName};

use super::parse::{Parsed, parse, piece};
use super::tree::{inner, kind, string, strings};
use super::{Options, text};

/// Types that a plain value may be cast to: a value of none of them names an object or runs users' code.
const PLAIN_TYPES: [&str; 12] = [
    "int2",
    "int4",
    "int8",
    "numeric",
    "float4",
    "float8",
    "text",
    "varchar",
    "uuid",
    "date",
    "timestamp",
    "timestamptz",
];

/// A statement without its plain values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alike {
    /// Its canonical text, with a mark that says the kind of each plain value. All that is alike has the same.
    pub text: String,
    /// Its plain values, in their order.
    pub open: Vec<Open>,
    /// How many literals its text has, plain or not.
    pub literals: usize,
}

/// A plain value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Open {
    /// The literal of this number in the text, from 0, as it is written.
    Literal(usize, String),
    /// The parameter of this number, from 1.
    Parameter(u32),
}

/// What a text has in common with others.
///
/// # Errors
/// Why nothing is taken for alike to it.
pub fn alike(sql: &str, major: u32, options: &Options) -> Result<Alike, &'static str> {
    if sql.bytes().any(|byte| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) {
        return Err("there are control characters in it");
    }
    let Parsed { statements, tokens } =
        parse(sql, major, options).map_err(|_| "it cannot be read with certainty")?;
    let [statement] = statements.as_slice() else { return Err("it is several statements") };
    let mut plain = Plain::default();
    match statement.stmt.as_deref().and_then(kind) {
        Some(NodeEnum::InsertStmt(insert)) => plain.rows(insert.select_stmt.as_deref()),
        Some(NodeEnum::UpdateStmt(update)) => {
            for target in &update.target_list {
                if let Some(NodeEnum::ResTarget(target)) = kind(target) {
                    plain.value(target.val.as_deref());
                }
            }
            plain.condition(update.where_clause.as_deref());
        }
        Some(NodeEnum::DeleteStmt(delete)) => plain.condition(delete.where_clause.as_deref()),
        Some(_) | None => return Err("it is no INSERT, UPDATE or DELETE"),
    }
    plain.written(sql, &tokens)
}

/// Where plain values stand, by their first byte.
#[derive(Default)]
struct Plain {
    literals: BTreeSet<usize>,
    parameters: BTreeMap<usize, u32>,
}

impl Plain {
    /// The rows of an INSERT that says its values.
    fn rows(&mut self, source: Option<&Node>) {
        let Some(NodeEnum::SelectStmt(values)) = source.and_then(kind) else { return };
        for row in &values.values_lists {
            let Some(NodeEnum::List(row)) = kind(row) else { continue };
            row.items.iter().for_each(|value| self.value(Some(value)));
        }
    }

    /// A condition, as far as all of it or one part of it has to be met.
    fn condition(&mut self, node: Option<&Node>) {
        match node.and_then(kind) {
            Some(NodeEnum::BoolExpr(joined))
                if matches!(joined.boolop(), BoolExprType::AndExpr | BoolExprType::OrExpr) =>
            {
                joined.args.iter().for_each(|part| self.condition(Some(part)));
            }
            Some(NodeEnum::AExpr(comparison)) => self.comparison(comparison),
            Some(_) | None => (),
        }
    }

    fn comparison(&mut self, comparison: &AExpr) {
        let AExpr { name, lexpr, rexpr, .. } = comparison;
        if strings(name).as_deref() != Some(&["="]) {
            return;
        }
        let is_column = |side: &Option<Box<Node>>| matches!(inner(side), Some(NodeEnum::ColumnRef(_)));
        let of = comparison.kind();
        if of == AExprKind::AexprOp && is_column(lexpr) {
            self.value(rexpr.as_deref());
        } else if of == AExprKind::AexprOp && is_column(rexpr) {
            self.value(lexpr.as_deref());
        } else if of == AExprKind::AexprIn
            && is_column(lexpr)
            && let Some(NodeEnum::List(list)) = inner(rexpr)
        {
            list.items.iter().for_each(|value| self.value(Some(value)));
        }
    }

    /// A value by itself, or of a plain type.
    fn value(&mut self, node: Option<&Node>) {
        let at = |location: i32| usize::try_from(location).ok();
        match node.and_then(kind) {
            Some(NodeEnum::AConst(constant)) => self.literals.extend(at(constant.location)),
            Some(NodeEnum::ParamRef(parameter)) => {
                if let (Some(at), Ok(number)) = (at(parameter.location), u32::try_from(parameter.number)) {
                    self.parameters.insert(at, number);
                }
            }
            Some(NodeEnum::TypeCast(cast)) if cast.type_name.as_ref().is_some_and(is_plain) => {
                self.value(cast.arg.as_deref());
            }
            Some(_) | None => (),
        }
    }

    /// The text with marks.
    fn written(&self, sql: &str, tokens: &[ScanToken]) -> Result<Alike, &'static str> {
        let fixed = self.fixed(sql, tokens);
        let mut alike = Alike { text: String::with_capacity(sql.len()), open: Vec::new(), literals: 0 };
        let (mut last_end, mut literal, mut minus) = (0, 0, false);
        for token in tokens {
            let (at, word) = (usize::try_from(token.start).unwrap_or(0), piece(sql, token));
            if matches!(token.token(), Token::SqlComment | Token::CComment) {
                continue;
            }
            if at > last_end && !alike.text.is_empty() && !minus {
                alike.text.push(' ');
            }
            last_end = usize::try_from(token.end).unwrap_or(sql.len());
            if matches!(token.token(), Token::Usconst | Token::Uident | Token::Uescape) {
                return Err("there are Unicode escapes in it");
            }
            if text::is_literal(token.token()) {
                let number = literal;
                literal += 1;
                let is_open = std::mem::take(&mut minus) || self.literals.contains(&at);
                match mark(token.token(), word).filter(|_| is_open) {
                    Some(mark) => {
                        alike.text.push('\u{1}');
                        alike.text.push(mark);
                        let sign = if self.literals.contains(&at) { "" } else { "-" };
                        alike.open.push(Open::Literal(number, format!("{sign}{word}")));
                    }
                    None if is_open && !self.literals.contains(&at) => {
                        alike.text.push('-');
                        alike.text.push_str(word);
                    }
                    None => alike.text.push_str(word),
                }
                continue;
            }
            if word == "-" && self.literals.contains(&at) {
                // The sign of the number behind it.
                minus = true;
                continue;
            }
            if let Some(number) = self.parameters.get(&at).filter(|number| !fixed.contains(number)) {
                alike.text.push_str("\u{1}$");
                alike.text.push_str(&number.to_string());
                let open = Open::Parameter(*number);
                if !alike.open.contains(&open) {
                    alike.open.push(open);
                }
                continue;
            }
            alike.text.push_str(word);
        }
        alike.literals = literal;
        Ok(alike)
    }

    /// The parameters that stand somewhere else, too.
    fn fixed(&self, sql: &str, tokens: &[ScanToken]) -> BTreeSet<u32> {
        let elsewhere = tokens.iter().filter(|token| token.token() == Token::Param).filter(|token| {
            let at = usize::try_from(token.start).unwrap_or(0);
            !self.parameters.contains_key(&at)
        });
        elsewhere.filter_map(|token| piece(sql, token).strip_prefix('$')?.parse().ok()).collect()
    }
}

/// A type by itself, without a modifier.
pub(super) fn is_plain(name: &TypeName) -> bool {
    let TypeName { names, typmods, array_bounds, setof, pct_type, .. } = name;
    let known = match names.as_slice() {
        [name] => string(name),
        [schema, name] if string(schema) == Some("pg_catalog") => string(name),
        _ => None,
    };
    let bare = typmods.is_empty() && array_bounds.is_empty() && !setof && !pct_type;
    bare && known.is_some_and(|known| PLAIN_TYPES.contains(&known))
}

/// The mark of a literal's kind: a number's size decides its type. `None` where it stays as it is written.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other literal stays as it is written")]
fn mark(kind: Token, word: &str) -> Option<char> {
    let digits = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    match kind {
        Token::Sconst => Some('s'),
        Token::Iconst if digits(word) => Some('i'),
        // 2³¹ and 2⁶³ are of one type, and their negatives of another.
        Token::Fconst if digits(word) => {
            word.parse::<u64>().ok().filter(|n| *n != 1 << 31 && *n < 1 << 63).map(|_| 'l')
        }
        Token::Fconst if word.bytes().all(|b| b.is_ascii_digit() || b == b'.') => Some('f'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sql: &str) -> Result<Alike, &'static str> {
        alike(sql, 18, &Options::default())
    }

    #[track_caller]
    fn text(sql: &str) -> String {
        of(sql).unwrap_or_else(|why| panic!("{sql}: {why}")).text
    }

    #[test]
    fn plain_values_are_what_may_differ() {
        for (one, other) in [
            ("UPDATE t SET a = 1 WHERE id = 2", "update  t SET a = 7 -- why\nWHERE id = -9"),
            (
                "UPDATE t SET a = 'x' WHERE id = 2 AND b = 'y'",
                "UPDATE t SET a = E'z' WHERE id = 3 AND b = ''",
            ),
            ("DELETE FROM t WHERE id IN (1, 2)", "DELETE FROM t WHERE id IN (3, 4)"),
            ("DELETE FROM t WHERE 1 = id OR b = 2", "DELETE FROM t WHERE 8 = id OR b = 9"),
            ("INSERT INTO t VALUES (1, 'x'), (2, 'y')", "INSERT INTO t VALUES (3, 'z'), (4, '')"),
            ("UPDATE t SET a = $1 WHERE id = $2", "UPDATE t SET a = $1 WHERE id = $2"),
            ("DELETE FROM t WHERE id = 'a'::uuid", "DELETE FROM t WHERE id = 'b'::uuid"),
            ("DELETE FROM t WHERE d = date '2026-01-01'", "DELETE FROM t WHERE d = date '2026-02-02'"),
        ] {
            // Words are compared as they are written.
            assert_eq!(text(one), text(&other.replace("update  t", "UPDATE t")), "{one}");
            assert!(!of(one).expect("a statement").open.is_empty(), "{one}");
        }
    }

    #[test]
    fn whatever_else_differs_is_no_plain_value() {
        for (one, other) in [
            ("DELETE FROM t WHERE id = 1", "DELETE FROM t"),
            ("DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE id = 1 OR true"),
            ("DELETE FROM t WHERE id = 1", "DELETE FROM u WHERE id = 1"),
            ("DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE b = 1"),
            ("DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE id <> 1"),
            ("DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE NOT id = 1"),
            ("DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE id = '1'"),
            ("DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE id = 1.5"),
            ("DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE id = 4294967296"),
            ("DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE id = NULL"),
            ("DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE id = id"),
            ("DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE id = 1 RETURNING *"),
            ("DELETE FROM t WHERE id < 1", "DELETE FROM t WHERE id < 2"),
            ("DELETE FROM t WHERE NOT id = 1", "DELETE FROM t WHERE NOT id = 2"),
            ("DELETE FROM t WHERE id NOT IN (1)", "DELETE FROM t WHERE id NOT IN (2)"),
            ("DELETE FROM t WHERE id IN (1, 2)", "DELETE FROM t WHERE id IN (1, 2, 3)"),
            ("DELETE FROM t WHERE name LIKE 'a%'", "DELETE FROM t WHERE name LIKE '%'"),
            ("DELETE FROM t WHERE 1 = 2", "DELETE FROM t WHERE 1 = 1"),
            ("DELETE FROM t WHERE f('a') = 1", "DELETE FROM t WHERE f('a') = 2"),
            ("DELETE FROM t WHERE id = f(1)", "DELETE FROM t WHERE id = f(2)"),
            ("DELETE FROM t WHERE c = 'a'::regclass", "DELETE FROM t WHERE c = 'b'::regclass"),
            ("DELETE FROM t WHERE c = 'a'::varchar(1)", "DELETE FROM t WHERE c = 'a'::varchar(9)"),
            ("DELETE FROM t WHERE c = 'a'::varchar(1)", "DELETE FROM t WHERE c = 'b'::varchar(1)"),
            ("DELETE FROM t WHERE i = interval '1 day'", "DELETE FROM t WHERE i = interval '9 days'"),
            (
                "DELETE FROM t WHERE id IN (SELECT id FROM u LIMIT 1)",
                "DELETE FROM t WHERE id IN (SELECT id FROM u LIMIT 9)",
            ),
            (
                "DELETE FROM t WHERE id IN (SELECT id FROM u WHERE a = 1)",
                "DELETE FROM t WHERE id IN (SELECT id FROM u WHERE a = 2)",
            ),
            ("UPDATE t SET a = a + 1 WHERE id = 1", "UPDATE t SET a = a + 9 WHERE id = 1"),
            ("UPDATE t SET a = 1 WHERE id = 1", "UPDATE t SET b = 1 WHERE id = 1"),
            ("UPDATE t SET a = true WHERE id = 1", "UPDATE t SET a = false WHERE id = 1"),
            ("UPDATE t SET a = $1 WHERE id = $2", "UPDATE t SET a = $2 WHERE id = $1"),
            ("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1), (2)"),
            ("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (nextval('s'))"),
            (
                "INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 1",
                "INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 2",
            ),
            ("INSERT INTO t SELECT 1", "INSERT INTO t SELECT 2"),
        ] {
            assert_ne!(text(one), text(other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_none_of_the_three_statements_has_nothing_alike() {
        for sql in [
            "SELECT * FROM t WHERE id = 1",
            "WITH d AS (DELETE FROM t WHERE id = 1 RETURNING *) SELECT * FROM d",
            "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE",
            "TRUNCATE t",
            "CREATE TABLE t (id int)",
            "DELETE FROM t WHERE id = 1; DELETE FROM t WHERE id = 2",
            "DELETE FROM t WHERE id = U&'\\0031'",
            "DELETE FROM t WHERE id = '\u{1}'",
            "DELETE FROM",
            "",
        ] {
            assert!(of(sql).is_err(), "{sql}");
        }
    }

    /// Whatever stands in the place of a plain value, it stays one value: the rest of the tree is the same.
    #[test]
    fn another_value_in_its_place_leaves_the_rest_of_the_statement_as_it_is() {
        const TEXTS: [&str; 5] =
            ["''", "'it''s; DELETE FROM u --'", "E'\\'); --'", "$$a'b$$", "$x$ /* $$ $x$"];
        const NUMBERS: [&str; 4] = ["0", "-1", "- 7", "2147483647"];
        let tree = |sql: &str| pg_query::fingerprint(sql, 0, 0).expect("a tree").value;
        for sql in [
            "UPDATE t SET a = 'one', b = 'two' WHERE id = 11 AND c IN ('three', 'four') -- 'x'",
            "INSERT INTO t (a, b) VALUES ('one', 22), ('two', 33) RETURNING a",
            "DELETE FROM t USING u WHERE (t.id = 44 OR u.n = 'five') AND u.x LIKE '%' AND 55 = t.n",
        ] {
            for open in of(sql).expect("a statement").open {
                let Open::Literal(_, word) = open else { panic!("{sql}: {open:?}") };
                let others: &[&str] = if word.starts_with('\'') { &TEXTS } else { &NUMBERS };
                for other in others {
                    let changed = sql.replacen(&word, other, 1);
                    assert_eq!(text(&changed), text(sql), "{changed}");
                    assert_eq!(tree(&changed), tree(sql), "{changed}");
                }
            }
        }
    }

    #[test]
    fn a_value_that_stands_elsewhere_too_is_not_open() {
        let open = |sql: &str| of(sql).expect("a statement").open;
        let literal = |number, word: &str| Open::Literal(number, word.to_owned());
        assert_eq!(open("DELETE FROM t WHERE id = $1 AND b < $1"), []);
        assert_eq!(open("DELETE FROM t WHERE id = $1 AND b = $1"), [Open::Parameter(1)]);
        assert_eq!(open("DELETE FROM t WHERE a < 5 AND id = - 7"), [literal(1, "-7")]);
        assert_eq!(
            open("UPDATE t SET a = 'x' WHERE b LIKE 'y' AND id = 3"),
            [literal(0, "'x'"), literal(2, "3")]
        );
        assert_eq!(open("DELETE FROM t WHERE a = -2147483648"), []);
        assert_ne!(text("DELETE FROM t WHERE a = -2147483648"), text("DELETE FROM t WHERE a = 2147483648"));
    }
}
