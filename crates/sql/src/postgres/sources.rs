//! `FROM`: relations, sub-queries, functions and joins, and which names each of them gives.

use std::borrow::Cow;
use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{Alias, FuncCall, JoinExpr, List, Node, RangeFunction, RangeVar};

use super::bodies::has_system_columns;
use super::catalog::{Function, Oid, Relation, RelationKind, Type, TypeKind};
use super::query::renamed;
use super::scope::{Columns, Entry, Scope, Visible};
use super::tree::{inner, kind, string};
use super::value::{Col, Flow, Value};
use super::walk::{Walk, written};

/// One item, or a join of several: its entries are in the scope already.
type Names = Vec<Visible>;

impl<'a> Walk<'a> {
    /// Reads a `FROM` list into the scope.
    pub(super) fn from(&mut self, list: &[Node], scope: &mut Scope<'_, 'a>) {
        for item in list {
            let names = self.item(kind(item), scope);
            scope.visible.extend(names);
        }
    }

    pub(super) fn item(&mut self, item: Option<&NodeEnum>, scope: &mut Scope<'_, 'a>) -> Names {
        match item {
            Some(NodeEnum::RangeVar(range)) => {
                let entry = self.range(range, scope);
                add(scope, entry)
            }
            Some(NodeEnum::RangeSubselect(sub)) => {
                let rows = if sub.lateral {
                    self.subquery(inner(&sub.subquery), scope)
                } else {
                    // A sub-query does not see its neighbours.
                    self.spend(scope.ctes.len());
                    self.subquery(inner(&sub.subquery), &scope.alone())
                };
                let rows = renamed(rows.settled(), &aliases(sub.alias.as_ref()));
                let columns = rows.columns.map_or(Columns::Open(rows.flow), Columns::Listed);
                add(scope, entry(sub.alias.as_ref(), columns))
            }
            Some(NodeEnum::RangeFunction(function)) => {
                let entry = self.range_function(function, scope);
                add(scope, entry)
            }
            Some(NodeEnum::JoinExpr(join)) => self.deeper(|walk| walk.join(join, scope)),
            Some(NodeEnum::RangeTableSample(sample)) => {
                let names = self.item(inner(&sample.relation), scope);
                // No neighbours, but the queries around this one.
                let outside = scope.alone();
                for node in sample.args.iter().chain(sample.repeatable.as_deref()) {
                    self.assigns_node(node, &outside);
                }
                let own = super::tree::qualified(&sample.method).is_some_and(|q| {
                    matches!((q.schema, q.name), (None | Some("pg_catalog"), "bernoulli" | "system"))
                });
                if !own {
                    self.unknown("a sampling method that is not PostgreSQL's own");
                }
                names
            }
            Some(NodeEnum::RangeTableFunc(table)) => {
                let mut flow = Flow::Clear;
                for node in [&table.docexpr, &table.rowexpr].into_iter().flatten() {
                    flow = flow.both(self.assigns_node(node, scope));
                }
                for namespace in &table.namespaces {
                    match kind(namespace) {
                        Some(NodeEnum::ResTarget(target)) => {
                            if let Some(node) = target.val.as_deref() {
                                self.assigns_node(node, scope);
                            }
                        }
                        _ => {
                            self.assigns_node(namespace, scope);
                        }
                    }
                }
                let mut columns = Vec::new();
                for column in &table.columns {
                    let Some(NodeEnum::RangeTableFuncCol(column)) = kind(column) else { continue };
                    for node in [&column.colexpr, &column.coldefexpr].into_iter().flatten() {
                        flow = flow.both(self.assigns_node(node, scope));
                    }
                    let type_oid = column.type_name.as_ref().and_then(|t| self.cast_to(t, None));
                    columns.push((column.colname.clone(), type_oid));
                }
                let listed = columns.into_iter().map(|(name, type_oid)| {
                    Col::guessed(name, Value { flow: flow.clone(), type_oid, row: None })
                });
                let listed = Columns::Listed(listed.collect());
                let mut entry = entry(table.alias.as_ref(), listed);
                entry.columns = rename(entry.columns, &aliases(table.alias.as_ref()));
                entry.alias.get_or_insert(Cow::Borrowed("xmltable"));
                add(scope, entry)
            }
            Some(NodeEnum::JsonTable(table)) => {
                self.needs(17, "JSON_TABLE");
                let entry = self.json_table(table, scope);
                add(scope, entry)
            }
            _ => {
                self.unknown("an item of FROM that is not understood");
                let flow = Flow::Unknown("an item of FROM that is not understood".to_owned());
                add(scope, entry(None, Columns::Open(flow)))
            }
        }
    }

    /// A relation or common table expression by name.
    fn range(&mut self, range: &RangeVar, scope: &Scope<'_, 'a>) -> Entry<'a> {
        self.spend(1 + scope.breadth() / 8);
        let alias = range.alias.as_ref();
        let names = aliases(alias);
        let shown = alias.map_or(range.relname.as_str(), |a| a.aliasname.as_str());
        if range.schemaname.is_empty()
            && let Some((cte, is_here)) = scope.cte(&range.relname)
        {
            self.forward |= cte.pending;
            let columns = cte.columns.clone().map(|columns| {
                // What `SEARCH` and `CYCLE` add is left out of `*` within the query that the expression belongs to.
                if is_here && columns.iter().any(|column| column.hidden) {
                    columns.iter().map(|column| Col { hidden: false, ..column.clone() }).collect()
                } else {
                    columns
                }
            });
            let columns = columns.map_or(Columns::Open(cte.flow.clone()), Columns::Listed);
            let columns = rename(columns, &names);
            return Entry {
                alias: Some(Cow::Owned(shown.to_owned())),
                columns,
                ..entry(None, Columns::Open(Flow::Clear))
            };
        }
        let Some(relation) = self.relation(range) else {
            let flow = Flow::Unknown(format!("relation \"{}\" does not exist", written(range)));
            return Entry { alias: Some(Cow::Owned(shown.to_owned())), ..entry(None, Columns::Open(flow)) };
        };
        // Of a partitioned table all partitions are looked at for each column.
        let below = relation.children.len();
        self.spend(relation.columns.len() * (1 + below) / 16);
        let columns = self.relation_columns(relation);
        self.reads_of(relation, range.inh);
        Entry {
            alias: Some(Cow::Owned(shown.to_owned())),
            relation: Some(relation),
            schema: alias.is_none().then_some(relation.schema.as_str()),
            columns: rename(columns, &names),
            system_columns: has_system_columns(relation),
            scalar: false,
            record: false,
            qualified_only: false,
        }
    }

    /// The columns of a relation, with what they depend on. Says what reading it does beyond reading rows.
    pub(super) fn relation_columns(&mut self, relation: &'a Relation) -> Columns<'a> {
        match relation.kind {
            RelationKind::View | RelationKind::MaterializedView => self.view_columns(relation),
            RelationKind::Table
            | RelationKind::Partitioned
            | RelationKind::Foreign
            | RelationKind::Sequence => {
                if self.is_tagged(relation) {
                    Columns::Listed(self.stored_columns(relation))
                } else {
                    Columns::Untagged(relation)
                }
            }
            RelationKind::Composite | RelationKind::Index => {
                self.unknown(format!("cannot open relation \"{}\"", relation.name));
                Columns::Untagged(relation)
            }
        }
    }

    fn range_function(&mut self, function: &RangeFunction, scope: &Scope<'_, 'a>) -> Entry<'a> {
        let mut columns: Option<Vec<Col>> = Some(Vec::new());
        let mut flow = Flow::Clear;
        let names = aliases(function.alias.as_ref());
        let functions: Vec<Node> = function
            .functions
            .iter()
            .flat_map(|item| unnested(item, !function.coldeflist.is_empty()))
            .collect();
        let alone = functions.len() == 1;
        let mut scalar = alone && !function.ordinality;
        let mut default: Option<Arc<str>> = None;
        for item in &functions {
            let Some(NodeEnum::List(pair)) = kind(item) else {
                self.unknown("a function in FROM that is not understood");
                columns = None;
                continue;
            };
            let (Some(call), definitions) = (pair.items.first(), pair.items.get(1)) else { continue };
            let value = self.value(call, scope);
            // The call was read just now: what it could mean is known.
            let chosen = match kind(call) {
                Some(NodeEnum::FuncCall(_)) => std::mem::take(&mut self.chosen),
                Some(_) | None => Vec::new(),
            };
            self.consume(&value);
            let called = self.name_of(call);
            default.get_or_insert_with(|| Arc::clone(&called));
            let own = match definitions.and_then(kind) {
                Some(NodeEnum::List(list)) => Some((self.definitions(&list.items, &value.flow), false)),
                _ if alone && !function.coldeflist.is_empty() => {
                    Some((self.definitions(&function.coldeflist, &value.flow), false))
                }
                _ => {
                    let alias = function.alias.as_ref().filter(|_| alone).map(|a| a.aliasname.as_str());
                    self.function_columns(&chosen, &value, alias.unwrap_or(&called))
                }
            };
            flow = flow.both(value.flow.clone());
            scalar &= own.as_ref().is_some_and(|(_, scalar)| *scalar);
            match (&mut columns, own) {
                (Some(all), Some((own, _))) => all.extend(own),
                (_, None) => columns = None,
                (None, _) => (),
            }
        }
        if function.ordinality
            && let Some(columns) = &mut columns
        {
            columns.push(Col::guessed("ordinality", Value::clear(Some(Oid(20)))));
        }
        let columns = columns.map_or(Columns::Open(flow.computed()), |c| Columns::Listed(c.into()));
        let mut entry = entry(function.alias.as_ref(), rename(columns, &names));
        (entry.scalar, entry.record) = (scalar, false);
        if entry.alias.is_none() {
            entry.alias = default.map(|name| Cow::Owned(name.as_ref().to_owned()));
        }
        entry
    }

    /// `AS (name type, …)`
    fn definitions(&mut self, definitions: &[Node], flow: &Flow) -> Vec<Col> {
        let mut columns = Vec::new();
        for node in definitions {
            if let Some(NodeEnum::ColumnDef(definition)) = kind(node) {
                let type_oid = definition.type_name.as_ref().and_then(|t| self.cast_to(t, None));
                let value = Value { flow: flow.clone().computed(), type_oid, row: None };
                columns.push(Col::new(definition.colname.as_str(), value));
            }
        }
        columns
    }

    /// The columns of a function's rows, and whether it is one that is no row; `None` where these are not certain. What no
    /// function gives, a cast or `current_date`, is of the type that it is.
    pub(super) fn function_columns(
        &mut self,
        chosen: &[&'a Function],
        value: &Value,
        name: &str,
    ) -> Option<(Vec<Col>, bool)> {
        let flow = value.flow.clone().computed();
        if chosen.is_empty() {
            return self.columns_of_type(value.type_oid?, &flow, name);
        }
        let mut shapes: Vec<(Vec<Col>, bool)> = Vec::new();
        for function in chosen {
            let shape = match function.out_columns.as_slice() {
                [] | [_] => {
                    let returns = self.catalog.type_by_oid(function.returns)?;
                    // Polymorphic results are rows only where an argument says so.
                    let type_oid = match returns.kind {
                        TypeKind::Pseudo if !matches!(returns.name.as_str(), "void" | "cstring") => {
                            value.type_oid?
                        }
                        TypeKind::Pseudo
                        | TypeKind::Base
                        | TypeKind::Domain
                        | TypeKind::Enum
                        | TypeKind::Composite
                        | TypeKind::Range
                        | TypeKind::Multirange => returns.oid,
                    };
                    let own = function.out_columns.first().map(|(own, _)| own.as_str());
                    self.columns_of_type(type_oid, &flow, own.filter(|own| !own.is_empty()).unwrap_or(name))?
                }
                several => {
                    let column = |(index, (name, type_oid)): (usize, &(String, Oid))| {
                        let made_up = || format!("column{}", index + 1);
                        let name = if name.is_empty() { made_up() } else { name.clone() };
                        let is_certain =
                            self.catalog.type_by_oid(*type_oid).is_some_and(|t| t.kind != TypeKind::Pseudo);
                        let type_oid = Some(*type_oid).filter(|_| is_certain);
                        Col::guessed(name, Value { flow: flow.clone(), type_oid, row: None })
                    };
                    (several.iter().enumerate().map(column).collect(), false)
                }
            };
            let same = |(columns, scalar): &&mut (Vec<Col>, bool)| {
                *scalar == shape.1 && same_names(columns, &shape.0)
            };
            match shapes.iter_mut().find(same) {
                // Functions that users made may give columns of one name and other types.
                Some((columns, _)) if chosen.iter().any(|f| !f.is_builtin()) => {
                    for (column, other) in columns.iter_mut().zip(&shape.0) {
                        column.value.type_oid =
                            column.value.type_oid.filter(|t| Some(*t) == other.value.type_oid);
                    }
                }
                Some(_) => (),
                None => shapes.push(shape),
            }
        }
        match shapes.len() {
            1 => shapes.pop(),
            _ => None,
        }
    }

    /// A row has its columns, also by a domain over it, and whatever else there is one of that name.
    fn columns_of_type(&self, oid: Oid, flow: &Flow, name: &str) -> Option<(Vec<Col>, bool)> {
        let this = self.catalog.type_by_oid(self.base(oid))?;
        match this.kind {
            TypeKind::Composite => Some((self.attributes(this, flow)?, false)),
            // What rows these are only the call's definitions of columns say.
            TypeKind::Pseudo if !matches!(this.name.as_str(), "void" | "cstring") => None,
            TypeKind::Pseudo
            | TypeKind::Base
            | TypeKind::Domain
            | TypeKind::Enum
            | TypeKind::Range
            | TypeKind::Multirange => {
                let value = Value { flow: flow.clone(), type_oid: Some(oid), row: None };
                Some((vec![Col::guessed(name, value)], true))
            }
        }
    }

    /// The columns of a composite type.
    fn attributes(&self, composite: &Type, flow: &Flow) -> Option<Vec<Col>> {
        let relation = self.catalog.relation_by_oid(composite.relation)?;
        let column = |c: &super::catalog::Column| {
            let value = Value { flow: flow.clone(), type_oid: Some(c.type_oid), row: None };
            Col::guessed(c.name.as_str(), value)
        };
        Some(relation.columns.iter().map(column).collect())
    }

    fn join(&mut self, join: &JoinExpr, scope: &mut Scope<'_, 'a>) -> Names {
        let before = scope.entries.len();
        let left = self.item(inner(&join.larg), scope);
        // A lateral right side sees the left one.
        if !self.spend(left.len()) {
            return left;
        }
        let seen = scope.visible.len();
        scope.visible.extend(left.iter().cloned());
        let right = self.item(inner(&join.rarg), scope);
        scope.visible.truncate(seen);

        let using: Option<Vec<String>> = if join.is_natural {
            match (listed(&left, scope), listed(&right, scope)) {
                (Some(l), Some(r)) => Some(
                    l.iter()
                        .filter(|a| r.iter().any(|b| a.name == b.name))
                        .map(|a| a.name.to_string())
                        .collect(),
                ),
                _ => {
                    self.unknown("a NATURAL JOIN of columns that are not known");
                    Some(Vec::new())
                }
            }
        } else if join.using_clause.is_empty() {
            None
        } else {
            Some(join.using_clause.iter().filter_map(string).map(str::to_owned).collect())
        };
        let mut names = match using {
            Some(using) => self.merged(&using, &left, &right, scope),
            None => left.into_iter().chain(right).collect(),
        };
        if join.join_using_alias.is_some() {
            self.needs(14, "an alias of JOIN USING");
        }
        if let Some(condition) = join.quals.as_deref() {
            // The condition sees the two sides, and then what is around the query: not what stands before them in FROM.
            let visible = std::mem::replace(&mut scope.visible, names.clone());
            let first = std::mem::replace(&mut scope.first, before);
            self.tells(condition, scope);
            (scope.visible, scope.first) = (visible, first);
        }
        for name in &mut names {
            if let Visible::Entry(index) = name {
                *name = Visible::Joined(*index);
            }
        }
        if let Some(alias) = &join.alias {
            // An alias hides what it is made of.
            let columns = listed(&names, scope);
            scope.entries.truncate(before);
            let columns = match columns {
                Some(columns) => Columns::Listed(columns.into()),
                None => Columns::Open(Flow::Unknown("a join of columns that are not known".to_owned())),
            };
            names = add(scope, entry(Some(alias), rename(columns, &aliases(Some(alias)))));
        } else if let Some(alias) = &join.join_using_alias {
            let merged =
                names.iter().filter_map(|v| if let Visible::Column(c) = v { Some(c.clone()) } else { None });
            let count = join.using_clause.len();
            let columns = Columns::Listed(merged.take(count).collect());
            let mut merged = entry(Some(alias), columns);
            merged.qualified_only = true;
            scope.entries.push(merged);
        }
        names
    }

    /// `USING` and `NATURAL`: the shared columns once, compared; then what is left of both.
    fn merged(&mut self, using: &[String], left: &Names, right: &Names, scope: &Scope<'_, 'a>) -> Names {
        let (Some(left), Some(right)) = (listed(left, scope), listed(right, scope)) else {
            self.unknown("a join by names of columns that are not known");
            return left.iter().chain(right).cloned().collect();
        };
        if !self.spend((left.len() + right.len()) * (1 + using.len() / 4) / 2) {
            return Vec::new();
        }
        let mut names = Vec::new();
        for name in using {
            let side = |columns: &[Col]| columns.iter().find(|c| *c.name == **name).cloned();
            let (l, r) = match (side(&left), side(&right)) {
                (Some(l), Some(r)) => (l, r),
                (l, _) => {
                    // The server looks to the left first, and says neither a place nor what may be meant.
                    let side = if l.is_none() { "left" } else { "right" };
                    let what = format!("column \"{name}\" specified in USING clause");
                    self.missing(format!("{what} does not exist in {side} table"));
                    continue;
                }
            };
            self.consume(&l.value);
            self.consume(&r.value);
            self.compared(&l.value);
            self.compared(&r.value);
            self.meets(&l.value, &r.value);
            // Whichever `=` the path shows.
            self.operators(None, "=", l.value.type_oid, r.value.type_oid);
            if l.hidden || r.hidden {
                self.unknown("a join by columns of SEARCH or CYCLE");
            }
            let sure = l.sure && r.sure;
            let value = self.common(l.value, r.value);
            names.push(Visible::Column(Col { name: l.name, value, sure, hidden: false }));
        }
        let rest = left.into_iter().chain(right).filter(|c| !using.iter().any(|u| **u == *c.name));
        names.extend(rest.map(Visible::Column));
        names
    }
}

/// `unnest` of several arrays stands for one of each of the server's own, side by side.
fn unnested(item: &Node, defined: bool) -> Vec<Node> {
    let call = match kind(item) {
        Some(NodeEnum::List(pair)) => match pair.items.first().and_then(kind) {
            Some(NodeEnum::FuncCall(call)) if pair.items.get(1).and_then(kind).is_none() => Some(&**call),
            _ => None,
        },
        _ => None,
    };
    let is_unnest = |call: &&FuncCall| {
        let plain = call.agg_order.is_empty()
            && call.agg_filter.is_none()
            && call.over.is_none()
            && !call.agg_star
            && !call.agg_distinct
            && !call.func_variadic;
        plain
            && !defined
            && matches!(call.funcname.as_slice(), [name] if string(name) == Some("unnest"))
            && call.args.len() > 1
    };
    let Some(call) = call.filter(is_unnest) else { return vec![item.clone()] };
    let name = |part: &str| Node {
        node: Some(NodeEnum::String(pg_query::protobuf::String { sval: part.to_owned() })),
    };
    let each = |argument: &Node| {
        let call = FuncCall {
            funcname: vec![name("pg_catalog"), name("unnest")],
            args: vec![argument.clone()],
            ..FuncCall::default()
        };
        let pair = List { items: vec![Node { node: Some(NodeEnum::FuncCall(Box::new(call))) }] };
        Node { node: Some(NodeEnum::List(pair)) }
    };
    call.args.iter().map(each).collect()
}

/// The columns behind names; `None` where some are not known.
fn listed(names: &Names, scope: &Scope<'_, '_>) -> Option<Vec<Col>> {
    let mut columns = Vec::new();
    for name in names {
        match name {
            Visible::Column(column) => columns.push(column.clone()),
            Visible::Entry(index) | Visible::Joined(index) => {
                columns.extend_from_slice(&scope.entries.get(*index)?.all()?);
            }
        }
    }
    Some(columns)
}

fn add<'a>(scope: &mut Scope<'_, 'a>, entry: Entry<'a>) -> Names {
    scope.entries.push(entry);
    vec![Visible::Entry(scope.entries.len() - 1)]
}

/// An item that is no relation.
pub(super) fn entry<'a>(alias: Option<&Alias>, columns: Columns<'a>) -> Entry<'a> {
    Entry {
        alias: alias.map(|a| Cow::Owned(a.aliasname.clone())),
        relation: None,
        schema: None,
        columns,
        system_columns: false,
        scalar: false,
        record: true,
        qualified_only: false,
    }
}

/// The column names of an alias.
pub(super) fn aliases(alias: Option<&Alias>) -> Vec<&str> {
    alias.map(|alias| alias.colnames.iter().filter_map(string).collect()).unwrap_or_default()
}

pub(super) fn rename<'a>(columns: Columns<'a>, names: &[&str]) -> Columns<'a> {
    if names.is_empty() {
        return columns;
    }
    let all = Entry { columns, ..entry(None, Columns::Open(Flow::Clear)) };
    let Some(columns) = all.all() else { return all.columns };
    let rows = renamed(super::query::Rows { columns: Some(columns), flow: Flow::Clear }, names);
    rows.columns.map_or(all.columns, Columns::Listed)
}

fn same_names(a: &[Col], b: &[Col]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name)
}
