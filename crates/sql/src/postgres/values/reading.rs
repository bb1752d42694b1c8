//! Reading a statement's tree for the values beside its columns.

use std::collections::BTreeSet;

use model::{Action, ColumnName, FunctionName, Resource, TableName};
use pg_query::NodeEnum;
use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{
    AConst, AExpr, AExprKind, BoolExprType, ColumnRef, InsertStmt, JoinType, Node, NullTestType,
    OnConflictAction, RangeVar, ReturningClause, ScanToken, SelectStmt, SetOperation, Token,
};

use super::{Beside, Given, Values, What};
use crate::postgres::catalog::{Function, Oid, Relation, RelationKind};
use crate::postgres::functions::{Class, Origin, classify};
use crate::postgres::parse::piece;
use crate::postgres::tree::{inner, kind, string, strings};
use crate::postgres::{Session, Statement, alike, text};

/// A relation that the statement names, and how its columns are qualified.
struct From<'a> {
    relation: &'a Relation,
    alias: &'a str,
}

/// A statement that is read.
pub(super) struct Reading<'a> {
    sql: &'a str,
    session: &'a Session<'a>,
    tokens: &'a [ScanToken],
    from: Vec<From<'a>>,
    beside: Vec<Beside>,
    /// Where literals and parameters stand that are accounted for, by their first byte.
    seen: BTreeSet<usize>,
    complete: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(sql: &'a str, session: &'a Session<'a>, tokens: &'a [ScanToken]) -> Self {
        Self {
            sql,
            session,
            tokens,
            from: Vec::new(),
            beside: Vec::new(),
            seen: BTreeSet::new(),
            complete: true,
        }
    }

    /// `None` where nothing is certain.
    pub(super) fn whole(mut self, node: &'a NodeEnum, statements: &[&Statement]) -> Option<Values> {
        self.statement(node)?;
        let unread = |t: &&ScanToken| text::is_literal(t.token()) || t.token() == Token::Param;
        let mut places = self.tokens.iter().filter(unread);
        self.complete &= places.all(|t| usize::try_from(t.start).is_ok_and(|at| self.seen.contains(&at)));
        let known = self.known(statements)?;
        let found = self.beside.len();
        self.beside.retain(|beside| known.contains(&beside.column.table));
        self.complete &= self.beside.len() == found;
        Some(Values { beside: self.beside, complete: self.complete })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "of every other statement nothing is told")]
    fn statement(&mut self, node: &'a NodeEnum) -> Option<()> {
        match node {
            NodeEnum::SelectStmt(select) => self.select(select),
            NodeEnum::InsertStmt(insert) => self.insert(insert),
            NodeEnum::UpdateStmt(update) => {
                self.table(update.relation.as_ref()?)?;
                let into = self.from.len();
                update.from_clause.iter().try_for_each(|node| self.source(node))?;
                update.with_clause.is_none().then_some(())?;
                for target in &update.target_list {
                    let Some(NodeEnum::ResTarget(target)) = kind(target) else { return None };
                    let column = self.from.get(into - 1).and_then(|from| from.relation.column(&target.name));
                    match column.filter(|_| target.indirection.is_empty()) {
                        Some(column) => {
                            let relation = self.from.get(into - 1)?.relation;
                            self.assigned(relation, &column.name, column.type_oid, target.val.as_deref());
                        }
                        None => self.complete = false,
                    }
                }
                self.condition(update.where_clause.as_deref());
                self.outputs(returned(&update.returning_clause));
                Some(())
            }
            NodeEnum::DeleteStmt(delete) => {
                self.table(delete.relation.as_ref()?)?;
                delete.using_clause.iter().try_for_each(|node| self.source(node))?;
                delete.with_clause.is_none().then_some(())?;
                self.condition(delete.where_clause.as_deref());
                self.outputs(returned(&delete.returning_clause));
                Some(())
            }
            NodeEnum::ExplainStmt(explain) => self.statement(inner(&explain.query)?),
            NodeEnum::DeclareCursorStmt(declare) => self.statement(inner(&declare.query)?),
            _ => None,
        }
    }

    fn select(&mut self, select: &'a SelectStmt) -> Option<()> {
        let plain = select.with_clause.is_none()
            && select.op() == SetOperation::SetopNone
            && select.into_clause.is_none()
            && select.values_lists.is_empty();
        plain.then_some(())?;
        select.from_clause.iter().try_for_each(|node| self.source(node))?;
        self.condition(select.where_clause.as_deref());
        self.outputs(&select.target_list);
        let sorted = select.sort_clause.iter().filter_map(|node| {
            if let Some(NodeEnum::SortBy(by)) = kind(node) { by.node.as_deref() } else { None }
        });
        let rest = [&select.limit_count, &select.limit_offset].into_iter().filter_map(|node| node.as_deref());
        sorted.chain(rest).chain(&select.group_clause).for_each(|node| self.constant(node));
        Some(())
    }

    fn insert(&mut self, insert: &'a InsertStmt) -> Option<()> {
        let relation = self.table(insert.relation.as_ref()?)?;
        insert.with_clause.is_none().then_some(())?;
        // What is there already may get something else.
        let conflict = insert.on_conflict_clause.as_deref();
        if conflict.is_some_and(|clause| clause.action() != OnConflictAction::OnconflictNothing) {
            return None;
        }
        self.outputs(returned(&insert.returning_clause));
        let columns: Vec<&str> = if insert.cols.is_empty() {
            relation.columns.iter().map(|column| column.name.as_str()).collect()
        } else {
            let name = |node| match kind(node) {
                Some(NodeEnum::ResTarget(target)) if target.indirection.is_empty() => {
                    Some(target.name.as_str())
                }
                Some(_) | None => None,
            };
            insert.cols.iter().map(name).collect::<Option<_>>()?
        };
        let Some(source) = insert.select_stmt.as_deref() else { return Some(()) };
        let Some(NodeEnum::SelectStmt(select)) = kind(source) else { return None };
        if select.values_lists.is_empty() || select.with_clause.is_some() {
            // What it selects is not told.
            self.complete = false;
            return Some(());
        }
        let mut untold: BTreeSet<&str> = BTreeSet::new();
        for row in &select.values_lists {
            let Some(NodeEnum::List(row)) = kind(row) else { return None };
            for (name, value) in columns.iter().zip(&row.items) {
                let column = relation.column(name)?;
                if !self.assigned(relation, name, column.type_oid, Some(value)) {
                    untold.insert(name);
                }
            }
        }
        // Of a column that some row gets something else for, it is not said what every row gets.
        for beside in self.beside.iter_mut().filter(|b| untold.contains(b.column.name.as_str())) {
            beside.how = "set in";
        }
        if !untold.is_empty() && select.values_lists.len() > 1 {
            self.beside.retain(|beside| !untold.contains(beside.column.name.as_str()));
        }
        Some(())
    }

    fn table(&mut self, range: &'a RangeVar) -> Option<&'a Relation> {
        let relation = self.relation(range)?;
        let alias = match &range.alias {
            Some(alias) if !alias.colnames.is_empty() => return None,
            Some(alias) => alias.aliasname.as_str(),
            None => range.relname.as_str(),
        };
        self.from.push(From { relation, alias });
        Some(relation)
    }

    fn relation(&self, range: &RangeVar) -> Option<&'a Relation> {
        let Session { catalog, search_path, .. } = self.session;
        if !range.catalogname.is_empty() {
            return None;
        }
        if !range.schemaname.is_empty() {
            return catalog.relation(&range.schemaname, &range.relname);
        }
        search_path.iter().find_map(|schema| catalog.relation(schema, &range.relname))
    }

    /// What stands in FROM.
    #[expect(clippy::wildcard_enum_match_arm, reason = "of everything else nothing is told")]
    fn source(&mut self, node: &'a Node) -> Option<()> {
        match kind(node)? {
            NodeEnum::RangeVar(range) => self.table(range).map(|_| ()),
            NodeEnum::JoinExpr(join) => {
                if join.alias.is_some() || join.join_using_alias.is_some() {
                    return None;
                }
                self.source(join.larg.as_deref()?)?;
                self.source(join.rarg.as_deref()?)?;
                let before = self.beside.len();
                self.condition(join.quals.as_deref());
                if join.jointype() != JoinType::JoinInner && self.beside.len() > before {
                    // Rows that do not meet it come all the same.
                    self.beside.truncate(before);
                    self.complete = false;
                }
                Some(())
            }
            // What it reads it reads by itself.
            NodeEnum::RangeSubselect(_) => {
                self.complete = false;
                Some(())
            }
            _ => None,
        }
    }

    /// A condition all of which must be met.
    fn condition(&mut self, node: Option<&'a Node>) {
        let Some(node) = node else { return };
        let understood = match kind(node) {
            Some(NodeEnum::BoolExpr(joined)) if joined.boolop() == BoolExprType::AndExpr => {
                joined.args.iter().for_each(|part| self.condition(Some(part)));
                Some(())
            }
            Some(NodeEnum::AExpr(comparison)) => self.comparison(comparison),
            Some(NodeEnum::NullTest(test)) if !test.argisrow => {
                let how = match test.nulltesttype() {
                    NullTestType::IsNull => Some("is null"),
                    NullTestType::IsNotNull => Some("is not null"),
                    NullTestType::Undefined => None,
                };
                let column = test.arg.as_deref().and_then(|arg| self.column(arg));
                how.zip(column).map(|(how, (column, type_oid))| {
                    self.beside.push(Beside { column, type_oid, how, value: None });
                })
            }
            // It says nothing of any column.
            Some(NodeEnum::AConst(AConst { val: Some(Val::Boolval(_)), .. })) => Some(()),
            Some(_) | None => None,
        };
        self.complete &= understood.is_some();
    }

    fn comparison(&mut self, comparison: &'a AExpr) -> Option<()> {
        let AExpr { name, lexpr, rexpr, .. } = comparison;
        let (left, right) = (lexpr.as_deref()?, rexpr.as_deref()?);
        let names = strings(name)?;
        let [word] = names.as_slice() else { return None };
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other comparison is not told")]
        match comparison.kind() {
            AExprKind::AexprOp => {
                let how = HOW.iter().find(|(how, _)| how == word)?;
                match (self.column(left), self.column(right)) {
                    (Some(_), Some(_)) => Some(()),
                    (Some(column), None) => self.compared(column, how.0, right, true),
                    (None, Some(column)) => self.compared(column, how.1, left, true),
                    (None, None) => None,
                }
            }
            AExprKind::AexprLike if *word == "~~" => {
                let column = self.column(left)?;
                self.compared(column, "like", right, true)
            }
            AExprKind::AexprBetween => {
                let column = self.column(left)?;
                let Some(NodeEnum::List(list)) = kind(right) else { return None };
                let [least, most] = list.items.as_slice() else { return None };
                let least = self.compared(column.clone(), ">=", least, true);
                self.compared(column, "<=", most, true).and(least)
            }
            AExprKind::AexprIn => {
                let how = if *word == "=" { "in" } else { "not in" };
                let column = self.column(left)?;
                let Some(NodeEnum::List(list)) = kind(right) else { return None };
                // The type of one decides that of the others.
                let bare = |node: &Node| match kind(node) {
                    Some(NodeEnum::ParamRef(_)) => true,
                    Some(NodeEnum::AConst(c)) => matches!(c.val, Some(Val::Sval(_))),
                    Some(_) | None => false,
                };
                let sure = list.items.iter().all(bare);
                let before = self.beside.len();
                for value in &list.items {
                    if self.compared(column.clone(), how, value, sure).is_none() {
                        // The others do not say that it is one of them.
                        if how == "in" {
                            self.beside.truncate(before);
                        }
                        return None;
                    }
                }
                Some(())
            }
            _ => None,
        }
    }

    fn compared(
        &mut self,
        (column, type_oid): (ColumnName, Oid),
        how: &'static str,
        value: &'a Node,
        sure: bool,
    ) -> Option<()> {
        let value = self.given(value, sure.then_some(type_oid))?;
        if value.what == What::Null {
            return None;
        }
        self.beside.push(Beside { column, type_oid, how, value: Some(value) });
        Some(())
    }

    /// Whether it is told what a column gets.
    fn assigned(
        &mut self,
        relation: &Relation,
        column: &str,
        type_oid: Oid,
        value: Option<&'a Node>,
    ) -> bool {
        let value = value.and_then(|value| self.given(value, Some(type_oid)));
        self.complete &= value.is_some();
        let Some(value) = value else { return false };
        let column = ColumnName { table: relation.table_name(), name: column.to_owned() };
        self.beside.push(Beside { column, type_oid, how: "set", value: Some(value) });
        true
    }

    /// A literal or a parameter, as it is or made a value of a plain type.
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other expression is no value by itself")]
    fn given(&mut self, node: &'a Node, taken_for: Option<Oid>) -> Option<Given> {
        let at = |location: i32| usize::try_from(location).ok();
        match kind(node)? {
            NodeEnum::AConst(constant) => {
                let what = literal(constant)?;
                // The place of a negative number is that of its sign.
                if let Some(at) = at(constant.location) {
                    let of_number = self.tokens.iter().find(|t| {
                        text::is_literal(t.token()) && usize::try_from(t.start).is_ok_and(|start| start >= at)
                    });
                    self.seen.extend(of_number.and_then(|t| usize::try_from(t.start).ok()));
                }
                Some(Given { what, casts: Vec::new() })
            }
            NodeEnum::ParamRef(parameter) => {
                self.seen.extend(at(parameter.location));
                let number = u32::try_from(parameter.number).ok()?;
                // Where it stands first it gets its type.
                let written = format!("${number}");
                let params = self.tokens.iter().filter(|t| t.token() == Token::Param);
                let alone = params.filter(|t| piece(self.sql, t) == written).count() == 1;
                let what = What::Parameter(number, taken_for.filter(|_| alone));
                Some(Given { what, casts: Vec::new() })
            }
            NodeEnum::TypeCast(cast) => {
                let to = cast.type_name.as_ref().filter(|name| alike::is_plain(name))?;
                let name = to.names.last().and_then(string)?;
                let to = self.session.catalog.type_named("pg_catalog", name)?.oid;
                let mut given = self.given(cast.arg.as_deref()?, Some(to))?;
                given.casts.push(to);
                Some(given)
            }
            _ => None,
        }
    }

    /// Constants that no column stands beside.
    fn constant(&mut self, node: &'a Node) {
        if matches!(kind(node), Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_))) {
            self.given(node, None);
        }
    }

    fn outputs(&mut self, list: &'a [Node]) {
        for node in list {
            if let Some(NodeEnum::ResTarget(target)) = kind(node)
                && let Some(value) = target.val.as_deref()
            {
                self.constant(value);
            }
        }
    }

    /// A column of one of the relations, where it is certain which.
    fn column(&self, node: &Node) -> Option<(ColumnName, Oid)> {
        let Some(NodeEnum::ColumnRef(ColumnRef { fields, .. })) = kind(node) else { return None };
        let names = strings(fields)?;
        let (schema, alias, name) = match names.as_slice() {
            [name] => (None, None, *name),
            [alias, name] => (None, Some(*alias), *name),
            [schema, table, name] => (Some(*schema), Some(*table), *name),
            _ => return None,
        };
        let is_meant = |from: &&From<'_>| {
            let of = from.relation;
            alias.is_none_or(|alias| from.alias == alias)
                && schema.is_none_or(|schema| of.schema == schema && from.alias == of.name)
        };
        let mut found = self.from.iter().filter(is_meant).filter_map(|from| {
            let column = from.relation.column(name)?;
            Some((ColumnName { table: from.relation.table_name(), name: name.to_owned() }, column.type_oid))
        });
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// The tables of which something can be told: each is named once, and nothing else reads or writes it.
    fn known(&self, statements: &[&Statement]) -> Option<BTreeSet<TableName>> {
        if self.tokens.iter().any(|t| matches!(t.token(), Token::Uident | Token::Uescape)) {
            return None;
        }
        let effects = || statements.iter().flat_map(|s| &s.effects);
        if effects().any(|effect| effect.action == Action::Unknown) {
            return None;
        }
        let written: BTreeSet<Oid> = self
            .from
            .iter()
            .flat_map(|from| &from.relation.triggers)
            .map(|trigger| trigger.function)
            .collect();
        let of_triggers: BTreeSet<_> = written
            .iter()
            .filter_map(|oid| self.session.catalog.function(*oid))
            .map(Function::function_name)
            .collect();
        // Whatever others do is not in the text.
        let is_plain = |f: &FunctionName| of_triggers.contains(f) || self.is_plain(f);
        if !statements.iter().flat_map(|s| &s.facts.functions).all(is_plain) {
            return None;
        }
        let indirect: BTreeSet<&TableName> = effects()
            .filter(|effect| effect.via.is_some())
            .filter_map(|e| if let Resource::Table(table) = &e.resource { Some(table) } else { None })
            .collect();
        let once = |from: &&From<'_>| {
            let is_it = |other: &&From<'_>| other.relation.oid == from.relation.oid;
            self.from.iter().filter(is_it).count() == 1
                && self.mentions(&from.relation.name) <= 1
                && !matches!(from.relation.kind, RelationKind::Sequence | RelationKind::Composite)
        };
        // What the statement was understood to touch, by the names of its own moment.
        let is_touched = |table: &TableName| statements.iter().any(|s| s.facts.tables.contains(table));
        let tables = self.from.iter().filter(once).map(|from| from.relation.table_name());
        Some(tables.filter(|table| !indirect.contains(table) && is_touched(table)).collect())
    }

    /// Whether all functions of a name only compute something of their arguments.
    fn is_plain(&self, function: &FunctionName) -> bool {
        let major = self.session.catalog.server_version / 10_000;
        let is_it = |f: &&Function| f.schema == function.schema;
        self.session.catalog.functions_named(&function.name).filter(is_it).all(|f| {
            let origin = match &f.extension {
                Some(extension) => Origin::Extension(extension),
                None if f.is_builtin() => Origin::Catalog,
                None => return false,
            };
            matches!(classify(origin, &f.name, major), Some(Class::Harmless | Class::Sequence))
        })
    }

    /// How often a name stands in the text where it qualifies nothing.
    fn mentions(&self, name: &str) -> usize {
        let words: Vec<&ScanToken> = self
            .tokens
            .iter()
            .filter(|t| !matches!(t.token(), Token::SqlComment | Token::CComment))
            .collect();
        let is_name = |word: &str| match word.strip_prefix('"').and_then(|w| w.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\"") == name,
            None => word.eq_ignore_ascii_case(name),
        };
        let at = |n: usize| words.get(n).map(|token| piece(self.sql, token));
        (0..words.len())
            .filter(|n| at(*n).is_some_and(is_name) && at(n + 1) != Some("."))
            // A column may be called like its table: `t.t`.
            .filter(|n| {
                n.checked_sub(1).and_then(at) != Some(".") || !self.is_column(n.checked_sub(2).and_then(at))
            })
            .count()
    }

    /// Whether what stands behind this qualifier is a column.
    fn is_column(&self, qualifier: Option<&str>) -> bool {
        qualifier.is_some_and(|word| self.from.iter().any(|from| from.alias == word.trim_matches('"')))
    }
}

fn returned(clause: &Option<ReturningClause>) -> &[Node] {
    clause.as_ref().map_or(&[], |clause| &clause.exprs)
}

/// Comparisons, and what they are with their sides changed.
const HOW: [(&str, &str); 6] = [("=", "="), ("<>", "<>"), ("<", ">"), ("<=", ">="), (">", "<"), (">=", "<=")];

fn literal(constant: &AConst) -> Option<What> {
    if constant.isnull {
        return Some(What::Null);
    }
    Some(What::Literal(match constant.val.as_ref()? {
        Val::Ival(number) => number.ival.to_string(),
        Val::Fval(number) => number.fval.clone(),
        Val::Boolval(word) => word.boolval.to_string(),
        Val::Sval(text) => text.sval.clone(),
        Val::Bsval(_) => return None,
    }))
}
