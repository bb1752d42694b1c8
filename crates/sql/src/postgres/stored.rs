//! Which plain values a text puts into tagged columns, for whoever looks whether one of them is a mask.

use std::collections::BTreeSet;

use model::{ColumnName, Tag};
use pg_query::NodeEnum;
use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{AConst, Node, RangeVar, SelectStmt, WithClause};

use super::catalog::Relation;
use super::parse::parse;
use super::tree::{inner, kind};
use super::{Options, Session};

/// A value that is stored in a tagged column as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The column.
    pub column: ColumnName,
    /// Its tags, and its table's.
    pub tags: BTreeSet<Tag>,
    /// The value.
    pub value: Plain,
}

/// A value as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plain {
    /// A string, without its quotes.
    Text(String),
    /// A parameter, by its number, from 1.
    Parameter(usize),
}

/// The plain values that a text stores in tagged columns, wherever in it that stands. What is computed is none of them.
pub fn stored(sql: &str, session: &Session<'_>) -> Vec<Stored> {
    let major = session.catalog.server_version / 10_000;
    let Ok(parsed) = parse(sql, major, &Options::default()) else { return Vec::new() };
    let mut reading = Reading { session, found: Vec::new() };
    parsed.statements.iter().filter_map(|raw| inner(&raw.stmt)).for_each(|node| reading.statement(node));
    reading.found
}

struct Reading<'a> {
    session: &'a Session<'a>,
    found: Vec<Stored>,
}

impl<'a> Reading<'a> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else stores rows")]
    fn statement(&mut self, node: &NodeEnum) {
        match node {
            NodeEnum::InsertStmt(insert) => {
                self.with(insert.with_clause.as_ref());
                let Some(relation) = self.relation(insert.relation.as_ref()) else { return };
                let columns = named(&insert.cols, relation);
                if let Some(NodeEnum::SelectStmt(select)) = inner(&insert.select_stmt) {
                    self.rows(relation, &columns, select);
                }
                if let Some(clause) = &insert.on_conflict_clause {
                    self.set(relation, &clause.target_list);
                }
            }
            NodeEnum::UpdateStmt(update) => {
                self.with(update.with_clause.as_ref());
                let Some(relation) = self.relation(update.relation.as_ref()) else { return };
                self.set(relation, &update.target_list);
            }
            NodeEnum::MergeStmt(merge) => {
                self.with(merge.with_clause.as_ref());
                let Some(relation) = self.relation(merge.relation.as_ref()) else { return };
                for node in &merge.merge_when_clauses {
                    let Some(NodeEnum::MergeWhenClause(clause)) = kind(node) else { continue };
                    if clause.values.is_empty() {
                        self.set(relation, &clause.target_list);
                    } else {
                        self.row(relation, &named(&clause.target_list, relation), &clause.values);
                    }
                }
            }
            NodeEnum::DeleteStmt(delete) => self.with(delete.with_clause.as_ref()),
            NodeEnum::SelectStmt(select) => self.with(select.with_clause.as_ref()),
            NodeEnum::ExplainStmt(explain) => {
                inner(&explain.query).into_iter().for_each(|n| self.statement(n))
            }
            NodeEnum::PrepareStmt(prepare) => {
                inner(&prepare.query).into_iter().for_each(|n| self.statement(n))
            }
            _ => (),
        }
    }

    fn with(&mut self, clause: Option<&WithClause>) {
        for node in clause.into_iter().flat_map(|clause| &clause.ctes) {
            if let Some(NodeEnum::CommonTableExpr(table)) = kind(node)
                && let Some(node) = inner(&table.ctequery)
            {
                self.statement(node);
            }
        }
    }

    /// The rows of `VALUES`, or what is selected.
    fn rows(&mut self, relation: &Relation, columns: &[&str], select: &SelectStmt) {
        self.with(select.with_clause.as_ref());
        for row in &select.values_lists {
            if let Some(NodeEnum::List(row)) = kind(row) {
                self.row(relation, columns, &row.items);
            }
        }
        for (column, target) in columns.iter().zip(&select.target_list) {
            if let Some(NodeEnum::ResTarget(target)) = kind(target) {
                self.store(relation, column, target.val.as_deref());
            }
        }
        for one in [&select.larg, &select.rarg].into_iter().flatten() {
            self.rows(relation, columns, one);
        }
    }

    fn row(&mut self, relation: &Relation, columns: &[&str], values: &[Node]) {
        for (column, value) in columns.iter().zip(values) {
            self.store(relation, column, Some(value));
        }
    }

    /// `SET a = 1, (b, c) = (2, 3)`
    fn set(&mut self, relation: &Relation, targets: &[Node]) {
        for node in targets {
            let Some(NodeEnum::ResTarget(target)) = kind(node) else { continue };
            let value = match inner(&target.val) {
                Some(NodeEnum::MultiAssignRef(of_row)) => match inner(&of_row.source) {
                    Some(NodeEnum::RowExpr(row)) => {
                        usize::try_from(of_row.colno - 1).ok().and_then(|n| row.args.get(n))
                    }
                    Some(_) | None => None,
                },
                Some(_) => target.val.as_deref(),
                None => None,
            };
            self.store(relation, &target.name, value);
        }
    }

    fn store(&mut self, relation: &Relation, column: &str, value: Option<&Node>) {
        let (Some(column), Some(value)) = (relation.column(column), value.and_then(plain)) else { return };
        let catalog = self.session.catalog;
        let tags = catalog.tags(relation.oid, column.number) | catalog.relation_tags(relation.oid);
        if !tags.is_empty() {
            let column = ColumnName { table: relation.table_name(), name: column.name.clone() };
            self.found.push(Stored { column, tags, value });
        }
    }

    fn relation(&self, range: Option<&RangeVar>) -> Option<&'a Relation> {
        let Session { catalog, search_path, .. } = self.session;
        let range = range?;
        if !range.schemaname.is_empty() {
            return catalog.relation(&range.schemaname, &range.relname);
        }
        search_path.iter().find_map(|schema| catalog.relation(schema, &range.relname))
    }
}

/// The columns that are named, or all of them in their order.
fn named<'n>(targets: &'n [Node], relation: &'n Relation) -> Vec<&'n str> {
    if targets.is_empty() {
        return relation.columns.iter().map(|column| column.name.as_str()).collect();
    }
    let name = |node| match kind(node) {
        Some(NodeEnum::ResTarget(target)) => target.name.as_str(),
        Some(_) | None => "",
    };
    targets.iter().map(name).collect()
}

/// A string or a parameter, also with its type.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other expression is computed, or no string")]
fn plain(node: &Node) -> Option<Plain> {
    match kind(node)? {
        NodeEnum::AConst(AConst { val: Some(Val::Sval(text)), .. }) => Some(Plain::Text(text.sval.clone())),
        NodeEnum::ParamRef(parameter) => usize::try_from(parameter.number).ok().map(Plain::Parameter),
        NodeEnum::TypeCast(cast) => cast.arg.as_deref().and_then(plain),
        _ => None,
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::postgres::NoNames;
    use crate::postgres::catalog::shop;

    #[test]
    fn what_is_stored_in_tagged_columns_as_it_is_written_is_found_wherever_it_stands() {
        for (sql, expected) in [
            ("UPDATE customers SET email = '***' WHERE id = 1", "email ***"),
            ("UPDATE shop.customers AS c SET name = 'a', email = '***'::text", "email ***"),
            ("UPDATE customers SET (name, email) = ('a', 'b')", "email b"),
            ("UPDATE customers SET email = $2 WHERE id = $1", "email $2"),
            ("INSERT INTO customers (id, email) VALUES (1, 'a'), (2, $1)", "email a; email $1"),
            ("INSERT INTO customers (email, id) SELECT 'a', 1 UNION ALL SELECT 'b', 2", "email a; email b"),
            ("INSERT INTO customers (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET email = 'a'", "email a"),
            ("WITH w AS (UPDATE customers SET email = 'a' RETURNING id) SELECT * FROM w", "email a"),
            (
                "MERGE INTO customers c USING (SELECT 1 AS id) s ON c.id = s.id \
                 WHEN MATCHED THEN UPDATE SET email = 'a' WHEN NOT MATCHED THEN INSERT (id, email) VALUES (1, 'b')",
                "email a; email b",
            ),
            (
                "SELECT 1; UPDATE customers SET email = 'a'; UPDATE customers SET email = 'b'",
                "email a; email b",
            ),
            ("PREPARE p AS UPDATE customers SET email = $1", "email $1"),
            // What is computed, compared or not tagged.
            ("UPDATE customers SET email = lower('***')", ""),
            ("UPDATE customers SET name = '***' WHERE email = '***'", ""),
            ("UPDATE customers SET email = DEFAULT", ""),
            ("DELETE FROM customers WHERE email = '***'", ""),
            ("SELECT '***'", ""),
        ] {
            let catalog = shop();
            let path = ["pg_catalog", "shop"].map(str::to_owned);
            let session = Session { catalog: &catalog, search_path: &path, role: "app", prepared: &NoNames };
            let line = |Stored { column, value, .. }: Stored| match value {
                Plain::Text(text) => format!("{} {text}", column.name),
                Plain::Parameter(number) => format!("{} ${number}", column.name),
            };
            let found: Vec<String> = stored(sql, &session).into_iter().map(line).collect();
            assert_eq!(found.join("; "), expected, "{sql}");
        }
    }
}
