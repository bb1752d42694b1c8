//! `SELECT`, `VALUES`, `TABLE` and set operations: which columns come out, and what decides which rows do.

use std::sync::Arc;

use model::{Action, Effect, Resource};
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, SelectStmt, SetOperation, SubLink};

use super::catalog::Oid;
use super::names;
use super::scope::{Scope, Visible};
use super::tree::{integer_constant, kind, string};
use super::value::{Col, Flow, UNKNOWN, Value};
use super::walk::Walk;
use super::work::MOST_COLUMNS;

/// Rows that a statement or a sub-query gives.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Rows {
    /// Their columns; `None` where these are not known.
    pub columns: Option<Arc<[Col]>>,
    /// What the rows depend on where their columns are not known.
    pub flow: Flow,
}

impl Rows {
    pub(super) fn known(columns: Vec<Col>) -> Self {
        Self { columns: Some(columns.into()), flow: Flow::Clear }
    }

    /// The same of a sub-query: literals in it are texts.
    pub(super) fn settled(mut self) -> Self {
        let is_literal = |column: &Col| column.value.type_oid == Some(UNKNOWN);
        if let Some(columns) = self.columns.as_ref().filter(|columns| columns.iter().any(is_literal)) {
            self.columns = Some(columns.iter().map(|c| c.with(c.value.clone().settled())).collect());
        }
        self
    }

    /// What comes out of a recursive expression: what is known of it, of the types that this has, and what came out now.
    pub(super) fn joined(self, now: Self) -> Self {
        let flow = self.flow.either(now.flow);
        let columns = match (self.columns, now.columns) {
            (Some(known), Some(now)) if known.len() == now.len() => {
                let both = known.iter().zip(now.iter());
                Some(
                    both.map(|(known, now)| {
                        let either = known.value.clone().either(now.value.clone());
                        known.with(Value { type_oid: known.value.type_oid, ..either })
                    })
                    .collect(),
                )
            }
            (known, now) => {
                let of = |columns: Option<Arc<[Col]>>| Rows { columns, flow: Flow::Clear }.all();
                return Self { columns: None, flow: flow.both(of(known)).both(of(now)) };
            }
        };
        Self { columns, flow }
    }

    /// Whatever is in one column may be in any.
    pub(super) fn mix(&mut self) {
        let all = self.all();
        if let Some(columns) = &self.columns {
            let mixed = |c: &Col| c.with(Value { flow: all.clone(), row: None, ..c.value.clone() });
            self.columns = Some(columns.iter().map(mixed).collect());
        }
    }

    /// What any column depends on.
    pub(super) fn all(&self) -> Flow {
        let columns = self.columns.iter().flat_map(|c| c.iter());
        columns.fold(self.flow.clone(), |flow, column| flow.both(column.value.flow.clone()))
    }
}

impl<'a> Walk<'a> {
    /// A sub-query of any kind.
    pub(super) fn subquery(&mut self, node: Option<&NodeEnum>, outer: &Scope<'_, 'a>) -> Rows {
        // The server may make one query of both, and the outer condition one on a row that is read here.
        self.looking_up(true, |walk| walk.query(node, outer))
    }

    /// `SELECT`, or a statement with `RETURNING`.
    pub(super) fn query(&mut self, node: Option<&NodeEnum>, outer: &Scope<'_, 'a>) -> Rows {
        match node {
            Some(NodeEnum::SelectStmt(select)) => self.select(select, outer),
            Some(NodeEnum::InsertStmt(insert)) => self.insert(insert, outer),
            Some(NodeEnum::UpdateStmt(update)) => self.update(update, outer),
            Some(NodeEnum::DeleteStmt(delete)) => self.delete(delete, outer),
            Some(NodeEnum::MergeStmt(merge)) => self.merge(merge, outer),
            _ => {
                self.unknown("a sub-query of a kind that is not understood");
                Rows { columns: None, flow: Flow::Unknown("a sub-query that is not understood".to_owned()) }
            }
        }
    }

    /// `SELECT`, `VALUES`, and what joins them.
    pub(super) fn select(&mut self, select: &SelectStmt, outer: &Scope<'_, 'a>) -> Rows {
        let around = std::mem::take(&mut self.decided);
        let rows = self.deeper(|walk| walk.select_here(select, outer));
        self.decided = around.both(std::mem::take(&mut self.decided));
        if self.weighed {
            self.consume_flow(&rows.all());
        }
        rows
    }

    fn select_here(&mut self, select: &SelectStmt, outer: &Scope<'_, 'a>) -> Rows {
        let mut scope = Scope::below(outer);
        if let Some(with) = &select.with_clause {
            self.with(with, &mut scope);
        }
        let rows = match select.op() {
            SetOperation::SetopNone | SetOperation::Undefined if !select.values_lists.is_empty() => {
                self.values(&select.values_lists, &scope)
            }
            SetOperation::SetopNone | SetOperation::Undefined => return self.simple(select, scope),
            SetOperation::SetopUnion | SetOperation::SetopIntersect | SetOperation::SetopExcept => {
                self.set_operation(select, &scope)
            }
        };
        self.sorted(select, &rows, &scope, true);
        self.limited(select, &scope);
        if !select.locking_clause.is_empty() {
            self.unknown("a locking clause on rows that are of no table");
        }
        rows
    }

    fn set_operation(&mut self, select: &SelectStmt, scope: &Scope<'_, 'a>) -> Rows {
        let mut side = |side: &Option<Box<SelectStmt>>| {
            side.as_deref().map(|s| self.select(s, scope)).unwrap_or_default()
        };
        let (left, right) = (side(&select.larg), side(&select.rarg));
        let compares = select.op() != SetOperation::SetopUnion || !select.all;
        if compares {
            for side in [&left, &right] {
                self.consume_flow(&side.all());
                self.compared_rows(side);
            }
        }
        let (Some(l), Some(r)) = (&left.columns, &right.columns) else {
            return Rows { columns: None, flow: left.all().both(right.all()) };
        };
        self.spend(l.len() / 8);
        for (a, b) in l.iter().zip(r.iter()) {
            self.meets(&a.value, &b.value);
        }
        Rows::known(
            l.iter()
                .zip(r.iter())
                .map(|(a, b)| a.with(self.common(a.value.clone(), b.value.clone()).settled()))
                .collect(),
        )
    }

    fn values(&mut self, lists: &[Node], scope: &Scope<'_, 'a>) -> Rows {
        let mut columns: Vec<Col> = Vec::new();
        let mut unknown: Option<Flow> = None;
        for list in lists {
            let Some(NodeEnum::List(list)) = kind(list) else {
                self.unknown("a row of VALUES that is not understood");
                continue;
            };
            let row = match self.listed(&list.items, scope) {
                Ok(row) => row,
                Err(flow) => {
                    unknown = Some(unknown.unwrap_or_default().both(flow));
                    continue;
                }
            };
            if !self.fits(row.len()) {
                return Rows::default();
            }
            for (index, value) in row.into_iter().enumerate() {
                match columns.get_mut(index) {
                    Some(column) => {
                        self.meets(&column.value, &value);
                        column.value = self.common(std::mem::take(&mut column.value), value);
                    }
                    None => columns.push(Col::new(format!("column{}", index + 1), value)),
                }
            }
        }
        match unknown {
            None => Rows::known(columns),
            Some(flow) => Rows { flow: flow.both(Rows::known(columns).all()), columns: None },
        }
    }

    /// The values of `VALUES (…)` or `ROW (…)`, where a star stands for each of its columns. An error where these are not
    /// known, with what all depends on.
    pub(super) fn listed(&mut self, items: &[Node], scope: &Scope<'_, 'a>) -> Result<Vec<Value>, Flow> {
        let mut values = Vec::with_capacity(items.len());
        let mut unknown: Option<Flow> = None;
        for item in items {
            match self.star(Some(item), scope) {
                Some(Ok(spread)) => values.extend(spread.iter().map(|column| column.value.clone())),
                Some(Err(flow)) => unknown = Some(unknown.unwrap_or_default().both(flow)),
                None => {
                    values.push(self.value(item, scope));
                }
            }
            if values.len() > MOST_COLUMNS {
                break;
            }
        }
        match unknown {
            None => Ok(values),
            Some(flow) => Err(values.into_iter().fold(flow, |flow, value| flow.both(value.flow))),
        }
    }

    fn simple(&mut self, select: &SelectStmt, mut scope: Scope<'_, 'a>) -> Rows {
        let counts = self.only_counts(select, &scope);
        self.looking_up(!counts, |walk| {
            walk.from(&select.from_clause, &mut scope);
            if let Some(condition) = select.where_clause.as_deref() {
                walk.tells(condition, &scope);
            }
        });
        for window in &select.window_clause {
            if let Some(NodeEnum::WindowDef(window)) = kind(window) {
                self.window(window, &scope);
            }
        }
        let around = std::mem::replace(&mut self.among, self.decided.clone());
        let rows =
            self.looking_up(self.looks_up && !counts, |walk| walk.targets(&select.target_list, &scope));
        self.among = around;
        for expression in &select.group_clause {
            self.grouped(expression, &rows, &scope);
        }
        if let Some(having) = select.having_clause.as_deref() {
            self.looking_up(!counts, |walk| walk.tells(having, &scope));
        }
        // `DISTINCT` alone is a list with one empty node.
        for on in &select.distinct_clause {
            match kind(on) {
                Some(_) => self.grouped(on, &rows, &scope),
                None => {
                    self.consume_flow(&rows.all());
                    self.compared_rows(&rows);
                }
            }
        }
        self.sorted(select, &rows, &scope, false);
        self.limited(select, &scope);
        for clause in &select.locking_clause {
            if let Some(NodeEnum::LockingClause(clause)) = kind(clause) {
                self.locks(&clause.locked_rels, &scope);
            }
        }
        if let Some(into) = &select.into_clause {
            self.makes_table(into, &rows);
        }
        rows
    }

    /// A select list or `RETURNING`: stars are spread, as the server does.
    pub(super) fn targets(&mut self, list: &[Node], scope: &Scope<'_, 'a>) -> Rows {
        let mut columns = Vec::with_capacity(list.len());
        let mut unknown: Option<Flow> = None;
        for target in list {
            let Some(NodeEnum::ResTarget(target)) = kind(target) else {
                self.unknown("an item of a select list that is not understood");
                continue;
            };
            match self.star(target.val.as_deref(), scope) {
                Some(Ok(spread)) => columns.extend_from_slice(&spread),
                Some(Err(flow)) => unknown = Some(unknown.unwrap_or_default().both(flow)),
                None => {
                    let Some(node) = target.val.as_deref() else { continue };
                    let value = self.value(node, scope);
                    columns.push(if !target.name.is_empty() {
                        Col::new(target.name.as_str(), value)
                    } else if matches!(kind(node), Some(NodeEnum::ColumnRef(_))) {
                        Col::new(self.name_of(node), value)
                    } else {
                        Col::guessed(self.name_of(node), value)
                    });
                }
            }
            if columns.len() > MOST_COLUMNS {
                break;
            }
        }
        if !self.fits(columns.len()) {
            return Rows::default();
        }
        match unknown {
            None => Rows::known(columns),
            Some(flow) => Rows { flow: flow.both(Rows::known(columns).all()), columns: None },
        }
    }

    /// The name that the server gives an expression that has just been read.
    pub(super) fn name_of(&self, node: &Node) -> Arc<str> {
        let first = |link: &SubLink| self.first_names.get(&place(link)).and_then(Option::as_deref);
        names::of(node, self.major, &first).into()
    }

    /// What `*` or `t.*` or `(expression).*` spreads to: `None` for no star, an error for one whose columns are not known,
    /// with what they depend on.
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other expression can be a star")]
    fn star(&mut self, node: Option<&Node>, scope: &Scope<'_, 'a>) -> Option<Result<Arc<[Col]>, Flow>> {
        match kind(node?)? {
            NodeEnum::ColumnRef(reference) => {
                let (last, qualifier) = reference.fields.split_last()?;
                if !matches!(kind(last), Some(NodeEnum::AStar(_))) {
                    return None;
                }
                Some(self.star_of(qualifier, reference.location, scope))
            }
            NodeEnum::AIndirection(indirection) => {
                let (last, before) = indirection.indirection.split_last()?;
                if !matches!(kind(last), Some(NodeEnum::AStar(_))) {
                    return None;
                }
                let value = self.indirected(indirection.arg.as_deref(), before, scope);
                Some(self.spread_row(&value))
            }
            _ => None,
        }
    }

    fn star_of(
        &mut self,
        qualifier: &[Node],
        location: i32,
        scope: &Scope<'_, 'a>,
    ) -> Result<Arc<[Col]>, Flow> {
        let names: Vec<&str> = qualifier.iter().filter_map(string).collect();
        let columns = match names.as_slice() {
            [] => return self.spread(scope),
            [table] => scope.entry(None, table),
            [schema, table] | [_, schema, table] => scope.entry(Some(schema), table),
            _ => None,
        };
        let Some(entry) = columns else {
            if let Some(value) = names.first().and_then(|name| self.argument(name, scope)) {
                return self.spread_row(&value);
            }
            let why = match names.as_slice() {
                [.., schema, table] => self.no_entry(Some(schema), table, names.len(), location, scope),
                [table] => self.no_entry(None, table, 1, location, scope),
                [] => "a star of nothing".to_owned(),
            };
            return Err(Flow::Unknown(why));
        };
        let all = entry.all().map(shown).ok_or_else(|| entry.column("").unwrap_or_default().flow);
        self.seen(all.as_deref().ok());
        all
    }

    /// The columns of a value that is a row, for `*`.
    fn spread_row(&mut self, value: &Value) -> Result<Arc<[Col]>, Flow> {
        match self.fields(value) {
            // Whether what `*` leaves out is left out of a row depends on how the row is written.
            Some(fields) if fields.iter().all(|column| !column.hidden) => Ok(fields),
            Some(_) | None => Err(self.consume(value)),
        }
    }

    fn spread(&mut self, scope: &Scope<'_, 'a>) -> Result<Arc<[Col]>, Flow> {
        let mut columns: Vec<Col> = Vec::new();
        for visible in &scope.visible {
            match visible {
                Visible::Column(column) => columns.push(column.clone()),
                Visible::Entry(index) | Visible::Joined(index) => {
                    let all = scope.entries.get(*index).and_then(super::scope::Entry::all);
                    match all {
                        Some(all) => columns.extend_from_slice(&all),
                        None => return Err(self.everything(scope)),
                    }
                }
            }
            if !self.fits(columns.len()) {
                return Err(Flow::Unknown("more columns than a list may have".to_owned()));
            }
        }
        let columns = shown(columns.into());
        self.seen(Some(&columns));
        Ok(columns)
    }

    /// What all items of `FROM` depend on.
    fn everything(&self, scope: &Scope<'_, 'a>) -> Flow {
        scope.entries.iter().fold(Flow::Clear, |flow, entry| match &entry.columns {
            super::scope::Columns::Open(open) => flow.both(open.clone()),
            super::scope::Columns::Listed(columns) => {
                columns.iter().fold(flow, |flow, c| flow.both(c.value.flow.clone()))
            }
            super::scope::Columns::Untagged(_) => flow,
        })
    }

    /// `GROUP BY`, `DISTINCT ON`: an expression, a position in the list, or a name of it.
    fn grouped(&mut self, node: &Node, rows: &Rows, scope: &Scope<'_, 'a>) {
        match kind(node) {
            Some(NodeEnum::GroupingSet(set)) => {
                set.content.iter().for_each(|item| self.grouped(item, rows, scope));
            }
            Some(NodeEnum::RowExpr(row)) => {
                row.args.iter().for_each(|item| self.grouped(item, rows, scope));
            }
            _ => self.by_output(node, rows, scope, false),
        }
    }

    fn sorted(&mut self, select: &SelectStmt, rows: &Rows, scope: &Scope<'_, 'a>, only_outputs: bool) {
        for sort in &select.sort_clause {
            let Some(NodeEnum::SortBy(sort)) = kind(sort) else {
                self.unknown("an ORDER BY that is not understood");
                continue;
            };
            if let Some(node) = sort.node.as_deref() {
                self.by_output(node, rows, scope, only_outputs);
            }
            if !sort.use_op.is_empty() {
                self.operator(&sort.use_op, Some(None), Some(None));
            }
        }
    }

    /// A clause that may name an output by its position or name, else an expression. Where a name could be either, it is both.
    fn by_output(&mut self, node: &Node, rows: &Rows, scope: &Scope<'_, 'a>, only_outputs: bool) {
        let Some(expression) = kind(node) else { return };
        if !self.spend(1 + rows.columns.as_ref().map_or(0, |columns| columns.len() / 16)) {
            return;
        }
        if let Some(position) = integer_constant(expression) {
            self.found.literals = true;
            let index = usize::try_from(position).unwrap_or(0).saturating_sub(1);
            match rows.columns.as_ref().map(|columns| columns.get(index)) {
                Some(Some(column)) => {
                    let value = column.value.clone();
                    self.consume(&value);
                    self.compared(&value);
                }
                Some(None) => (),
                None => {
                    self.consume_flow(&rows.flow);
                    self.compared_type(None);
                }
            }
            return;
        }
        if let Some(name) = lone_name(expression) {
            let outputs: Vec<Value> = rows
                .columns
                .iter()
                .flat_map(|c| c.iter())
                .filter(|c| &*c.name == name)
                .map(|c| c.value.clone())
                .collect();
            for value in &outputs {
                self.consume(value);
                self.compared(value);
            }
            if only_outputs && rows.columns.is_none() {
                self.consume_flow(&rows.flow);
                self.compared_type(None);
            }
            if !outputs.is_empty() || only_outputs {
                // An input column of the same name, if there is one.
                if let Some(value) = scope.column(name) {
                    self.consume(&value);
                    self.compared(&value);
                }
                return;
            }
        }
        if only_outputs {
            // Expressions over a set operation's outputs are not in the language.
            self.consume_flow(&rows.all());
            self.compared_rows(rows);
            return;
        }
        self.compares(node, scope);
    }

    fn limited(&mut self, select: &SelectStmt, scope: &Scope<'_, 'a>) {
        for node in [&select.limit_count, &select.limit_offset].into_iter().flatten() {
            let value = self.value(node, scope);
            self.consume(&value);
            if !self.takes_its_type(node, &value) {
                self.assigned_to(&value, Some(Oid(20)));
            }
        }
    }

    /// `FOR UPDATE` and its weaker forms lock the rows of the named items, or of all.
    fn locks(&mut self, names: &[Node], scope: &Scope<'_, 'a>) {
        let wanted: Vec<&str> = names
            .iter()
            .filter_map(|node| {
                if let Some(NodeEnum::RangeVar(r)) = kind(node) { Some(r.relname.as_str()) } else { None }
            })
            .collect();
        if !self.spend(scope.entries.len() * (1 + wanted.len() / 8)) {
            return;
        }
        let relations: Vec<_> = scope
            .entries
            .iter()
            .filter(|entry| wanted.is_empty() || entry.alias.as_deref().is_some_and(|a| wanted.contains(&a)))
            .map(|entry| entry.relation)
            .collect();
        if relations.is_empty() || relations.iter().any(Option::is_none) {
            // Rows of a sub-query are locked in its tables.
            self.does(Action::LockRows, Resource::Target);
        }
        for relation in relations.into_iter().flatten() {
            let effect = self.on(Action::LockRows, relation);
            self.effect(effect);
            // Of a view the rows of what it reads are locked, of a table those of its partitions and heirs.
            for effect in self.found.read_through(&relation.table_name()) {
                self.effect(Effect { action: Action::LockRows, ..effect });
            }
        }
    }
}

/// Where something is in the tree.
pub(super) fn place<T>(node: &T) -> usize {
    std::ptr::from_ref(node).addr()
}

/// What `*` shows.
fn shown(columns: Arc<[Col]>) -> Arc<[Col]> {
    if columns.iter().all(|column| !column.hidden) {
        return columns;
    }
    columns.iter().filter(|column| !column.hidden).cloned().collect()
}

/// The same columns under other names, as far as these go.
pub(super) fn renamed(rows: Rows, names: &[&str]) -> Rows {
    let Some(columns) = rows.columns else { return rows };
    let columns = columns
        .iter()
        .enumerate()
        .map(|(index, column)| match names.get(index) {
            Some(name) => Col { name: (*name).into(), sure: true, ..column.clone() },
            None => column.clone(),
        })
        .collect();
    Rows { columns: Some(columns), flow: rows.flow }
}

/// A reference that is one unqualified name.
fn lone_name(node: &NodeEnum) -> Option<&str> {
    let NodeEnum::ColumnRef(reference) = node else { return None };
    let [field] = reference.fields.as_slice() else { return None };
    string(field)
}
