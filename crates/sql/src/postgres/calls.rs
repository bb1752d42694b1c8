//! Functions and operators. A name stands for every candidate that the server could choose, unless the arguments' types
//! settle it.

mod candidates;

use std::sync::Arc;

use model::{Action, Effect, Resource};
use pg_query::NodeEnum;
use pg_query::protobuf::{FuncCall, Node};

pub(super) use self::candidates::shown_type;
use super::Control;
use super::catalog::{Function, FunctionKind, Oid, TypeKind};
use super::classes::never_compares;
use super::functions::{Class, Origin, classify};
use super::run_text::is_of_tablefunc;
use super::scope::Scope;
use super::settings::{self, Setting};
use super::tree::{Qualified, constant, kind, qualified, text_constant};
use super::value::{Col, Flow, RECORD, UNKNOWN, Value};
use super::walk::Walk;

impl<'a> Walk<'a> {
    /// A function's call as an expression.
    pub(super) fn call(&mut self, call: &FuncCall, scope: &Scope<'_, 'a>) -> Value {
        let Some(name) = qualified(&call.funcname) else {
            self.unknown("a function's name that is not understood");
            return Value::of(Flow::Unknown("a function that is not understood".to_owned()));
        };
        if self.major < 16 && (name.schema, name.name) == (Some("pg_catalog"), "system_user") {
            self.needs(16, "SYSTEM_USER");
        }
        let plain =
            call.agg_order.is_empty() && call.agg_filter.is_none() && call.over.is_none() && !call.agg_star;
        // What becomes of a row that is given as it is, the function says.
        let by_place =
            plain && !call.func_variadic && !call.agg_distinct && call.args.iter().all(is_in_its_place);
        let given = |walk: &mut Self, node: &Node| {
            let row = walk.row_given(node, scope).filter(|_| by_place);
            row.unwrap_or_else(|| walk.value(node, scope))
        };
        let values: Vec<Value> = call.args.iter().map(|node| given(self, node)).collect();
        let candidates = self.candidates_of(call, scope);
        if let ([value], true, None) = (values.as_slice(), plain, name.schema)
            && let Some(column) =
                value.row.as_ref().and_then(|row| row.iter().find(|c| &*c.name == name.name))
            && candidates.is_empty()
        {
            // `column(row)` is the column.
            self.chosen = Vec::new();
            let column = column.value.clone();
            self.read_in_body(&column);
            return column;
        }
        let mut cast = None;
        if let ([value], true, false) = (values.as_slice(), plain, call.func_variadic) {
            cast = self.cast_by_call(&call.funcname, value);
            if let Some(target) = cast.filter(|_| candidates.is_empty()) {
                self.chosen = Vec::new();
                return Value { flow: self.consume(value), type_oid: Some(target), row: None };
            }
        }
        let mut flow = Flow::Clear;
        let counts = self.counts_rows(call, &candidates, &values) || tells_types(&name, &candidates);
        let (rows, others): (Vec<usize>, Vec<usize>) = (0..values.len())
            .filter(|_| !counts)
            .partition(|index| by_place && values.get(*index).is_some_and(|v| v.row.is_some()));
        for value in others.iter().filter_map(|index| values.get(*index)) {
            flow = flow.both(self.consume(value));
        }
        let mut values = values;
        for sort in &call.agg_order {
            match kind(sort) {
                Some(NodeEnum::SortBy(sort)) => {
                    if let Some(node) = sort.node.as_deref() {
                        let value = self.compares(node, scope);
                        flow = flow.both(value.flow.clone());
                        if call.agg_within_group {
                            values.push(value);
                        }
                    }
                    if !sort.use_op.is_empty() {
                        self.operator(&sort.use_op, Some(None), Some(None));
                    }
                }
                _ => flow = flow.both(self.uses(sort, scope)),
            }
        }
        if let Some(filter) = call.agg_filter.as_deref() {
            flow = flow.both(self.tells(filter, scope).flow);
        }
        if let Some(window) = &call.over {
            flow = flow.both(self.window(window, scope));
        }
        let sees_rows = |f: &&Function| matches!(f.kind, FunctionKind::Aggregate | FunctionKind::Window);
        if call.over.is_some() || candidates.iter().any(sees_rows) {
            flow = flow.both(self.among.clone());
        }
        if call.agg_distinct {
            values.iter().for_each(|value| self.compared(value));
        }
        if candidates.is_empty() && self.unsettled.is_none() {
            self.no_function(&name, call.location, &values);
        }
        let result = self.apply(name.name, candidates, &values, &call.args, scope);
        for index in rows {
            flow = flow.both(self.given_row(index, &values));
        }
        if let ([value], None) = (values.as_slice(), name.schema)
            && let Some(row) = &value.row
            && let Some(column) = row.iter().find(|c| &*c.name == name.name)
        {
            flow = flow.both(column.value.flow.clone());
        }
        // Where a function and a cast could be meant the type is certain that both give.
        let type_oid = result.type_oid.filter(|made| cast.is_none_or(|target| target == *made));
        let value = Value { flow: flow.both(result.flow), type_oid, row: None };
        let row = self.out_row(&value);
        Value { row, ..value }
    }

    /// The columns of a row that `OUT` or `TABLE` columns of the function that was called last make, where nothing in them is
    /// hidden.
    fn out_row(&mut self, value: &Value) -> Option<Arc<[Col]>> {
        let declared = &self.chosen.first()?.out_columns;
        let certain = declared.len() > 1 && self.chosen.iter().all(|f| f.out_columns == *declared);
        if !certain || !value.flow.is_clear() {
            return None;
        }
        let chosen = std::mem::take(&mut self.chosen);
        let columns = self.function_columns(&chosen, value, "");
        self.chosen = chosen;
        columns.map(|(columns, _)| columns.into())
    }

    /// `type(value)` is a cast where no function has that name and takes it. Says which type could be meant.
    fn cast_by_call(&mut self, name: &[Node], value: &Value) -> Option<Oid> {
        let names = super::tree::strings(name)?;
        let (schema, name) = match names.as_slice() {
            [name] => (None, *name),
            [schema, name] => (Some(*schema), *name),
            _ => return None,
        };
        let mut types: Vec<Oid> = Vec::new();
        let schemas: Vec<String> = match schema {
            Some("pg_temp") => self.temporary().map(str::to_owned).into_iter().collect(),
            Some(schema) => vec![schema.to_owned()],
            None => self.schemas_seen(),
        };
        for schema in &schemas {
            types.extend(
                self.catalog.type_named(schema, name).filter(|t| t.relation == Oid(0)).map(|t| t.oid),
            );
        }
        let target = types.first().copied()?;
        for target in types {
            self.cast(target, value);
        }
        Some(target)
    }

    /// `row.name` where `name` is a function.
    pub(super) fn call_named(&mut self, name: &[&str], values: &[Value], scope: &Scope<'_, 'a>) -> Value {
        let Some(name) = name.last() else { return Value::default() };
        let candidates = self.candidates(None, name, Some(values.len()), false);
        if candidates.is_empty() && self.unsettled.is_none() {
            self.no_function(&Qualified { database: None, schema: None, name }, -1, values);
        }
        let result = self.apply(name, candidates, values, &[], scope);
        let flow =
            (0..values.len()).fold(result.flow, |flow, index| flow.both(self.given_row(index, values)));
        Value { flow, ..result }
    }

    /// What the result of the functions that were called last depends on by one of the values that they were given. Of a row
    /// of a table that is what their bodies use, which was found there; of anything else all of it.
    fn given_row(&mut self, index: usize, values: &[Value]) -> Flow {
        let Some(value) = values.get(index) else { return Flow::Clear };
        let followed = value.type_oid.filter(|of| self.holds_what_is_stored(value, *of)).is_some_and(|of| {
            !self.chosen.is_empty()
                && self.chosen.iter().all(|f| f.arguments.get(index) == Some(&of) && self.follows_rows(f))
        });
        if followed { Flow::Clear } else { self.consume(value) }
    }

    /// Whether each column of a row holds what is stored in that column of its table, or nothing tagged.
    fn holds_what_is_stored(&self, value: &Value, of: Oid) -> bool {
        let Some(row) = &value.row else { return false };
        let of = self.catalog.type_by_oid(of).filter(|t| t.kind == TypeKind::Composite);
        let Some(relation) = of.and_then(|t| self.catalog.relation_by_oid(t.relation)) else { return false };
        let stored = self.stored_columns(relation);
        let same = |(given, stored): (&Col, &Col)| {
            given.value.flow.is_clear() || given.value.flow == stored.value.flow
        };
        row.len() == stored.len() && row.iter().zip(stored.iter()).all(same)
    }

    /// What a call of any of these does, and what its result is.
    fn apply(
        &mut self,
        name: &str,
        candidates: Vec<&'a Function>,
        values: &[Value],
        nodes: &[Node],
        scope: &Scope<'_, 'a>,
    ) -> Value {
        if candidates.is_empty() {
            // Where everything is allowed there may be no catalogue to find it in; what it sets is asked about all the same.
            if name == "set_config" {
                self.set_config(nodes);
            }
            return Value::of(Flow::Unknown(format!("function {name} does not exist")));
        }
        self.coerces(values);
        if !(never_compares(name) && candidates.iter().all(|f| f.is_builtin())) {
            for (index, value) in values.iter().enumerate() {
                match nodes.get(index) {
                    Some(node) => self.compared_in(node, value),
                    None => self.compared(value),
                }
            }
        }
        let types: Option<Vec<Oid>> = values.iter().map(|v| v.type_oid.filter(|t| *t != UNKNOWN)).collect();
        let with = |types: &[Oid]| -> Vec<&'a Function> {
            candidates.iter().filter(|f| takes_exactly(f, types)).copied().collect()
        };
        let mut exact = types.as_deref().map(with).unwrap_or_default();
        if let Some(types) = types.filter(|_| exact.is_empty())
            && candidates.iter().all(|f| f.is_builtin())
        {
            // Nothing takes the domain itself.
            exact = with(&types.iter().map(|t| self.base(*t)).collect::<Vec<_>>());
        }
        let chosen = match exact.as_slice() {
            [] => self.narrowed(self.fitting(candidates, values), values, nodes),
            // Candidates stand in the order of the path.
            [first, ..]
                if self.hides(&first.schema) && exact.iter().all(|f| !f.variadic && f.defaults == 0) =>
            {
                vec![*first]
            }
            // Of several that are exact, defaults and variadic arguments left out, the path or their form decides.
            _ => exact,
        };
        if chosen.iter().any(|f| f.is_builtin()) {
            self.by_types(name, values, nodes);
        }
        let mut flow = Flow::Clear;
        let mut own_done = false;
        for function in &chosen {
            self.fills(function, values.first());
            if function.is_builtin() {
                if !own_done {
                    own_done = true;
                    self.own_function(function, nodes, scope);
                }
            } else if is_of_tablefunc(function) {
                self.found.functions.insert(function.function_name());
                self.runs_text(function, nodes, scope);
            } else {
                flow = flow.both(self.call_by_name(function));
            }
        }
        let type_oid = self.result_type(&chosen, values);
        self.chosen = chosen;
        Value { flow, type_oid, row: None }
    }

    /// Functions that make a row of the type of their first argument: what the JSON or `hstore` holds becomes values of the
    /// columns' types.
    fn fills(&mut self, function: &Function, row: Option<&Value>) {
        if !function.name.contains("populate_record") {
            return;
        }
        let columns = row.filter(|row| row.type_oid == Some(RECORD)).and_then(|row| row.row.as_deref());
        let columns = columns.into_iter().flatten().map(|column| column.value.type_oid);
        let types: Option<Vec<Oid>> = match row.and_then(|row| row.type_oid) {
            Some(RECORD) => columns.collect(),
            other => other.map(|row| vec![row]),
        };
        match types.filter(|types| !types.is_empty() && !types.contains(&UNKNOWN) && !types.contains(&RECORD))
        {
            Some(types) => types.into_iter().for_each(|of| self.must_pass(of)),
            None => self.must_pass_any(),
        }
    }

    /// What functions of the server's own do that look at the types of their arguments.
    fn by_types(&mut self, name: &str, values: &[Value], nodes: &[Node]) {
        if matches!(name, "quote_literal" | "quote_nullable" | "textanycat" | "anytextcat") {
            for (index, value) in values.iter().enumerate() {
                if !nodes.get(index).is_some_and(|node| self.takes_its_type(node, value)) {
                    self.written_as_text(value);
                }
            }
        } else if name.contains("json") {
            values.iter().for_each(|value| self.shown_as_json(value));
        }
    }

    fn result_type(&self, candidates: &[&'a Function], values: &[Value]) -> Option<Oid> {
        let mut results = candidates.iter().map(|f| {
            let declared = self.catalog.type_by_oid(f.returns)?;
            if declared.kind != TypeKind::Pseudo {
                return Some(f.returns);
            }
            let types: Vec<Option<Oid>> = values.iter().map(|value| value.type_oid).collect();
            // What is VARIADIC stands for elements or the array.
            let fixed = f.arguments.len() - usize::from(f.variadic);
            self.polymorphic(f.returns, f.arguments.get(..fixed)?, &types)
        });
        let first = results.next()??;
        results.all(|r| r == Some(first)).then_some(first)
    }

    /// A function of the server's own, by the reviewed list.
    pub(super) fn own_function(&mut self, function: &'a Function, nodes: &[Node], scope: &Scope<'_, 'a>) {
        self.found.functions.insert(function.function_name());
        let first = self.names.path.iter().find(|schema| !schema.starts_with("pg_temp"));
        if function.language == "sql" && first.is_some_and(|schema| schema != "pg_catalog") {
            // Its body's operators are found by the search path.
            let name = function.function_name();
            self.unknown(format!(
                "function {name} runs SQL, and the search path puts other schemas before pg_catalog"
            ));
        }
        self.found.by_path |= function.language == "sql";
        let class = classify(Origin::Catalog, &function.name, self.major);
        self.class(class, function, nodes, scope);
    }

    pub(super) fn class(
        &mut self,
        class: Option<Class>,
        function: &'a Function,
        nodes: &[Node],
        scope: &Scope<'_, 'a>,
    ) {
        let name = function.function_name();
        self.found.literals |= class != Some(Class::Harmless);
        let action = match class {
            Some(Class::Harmless) => return,
            Some(Class::Configure) if name.schema == "pg_catalog" && name.name == "set_config" => {
                return self.set_config(nodes);
            }
            Some(Class::RunsText) => return self.runs_text(function, nodes, scope),
            Some(Class::Sequence) => {
                let resource = nodes
                    .first()
                    .and_then(kind)
                    .and_then(text_constant)
                    .and_then(|text| self.relation_by_text(text))
                    .map_or(Resource::Target, |relation| Resource::Table(relation.table_name()));
                return self.effect(Effect::new(Action::Sequence, resource).because(format!("calls {name}")));
            }
            Some(Class::LargeObject) => Action::LargeObject,
            Some(Class::LockTable) => Action::LockTable,
            Some(Class::Notify) => Action::Notify,
            Some(Class::ServerFile) => Action::ServerFile,
            Some(Class::OtherSession | Class::Secret) => Action::OtherSession,
            Some(Class::Replicate) => Action::Replicate,
            Some(Class::Configure) => Action::Configure,
            Some(Class::Maintain) => Action::Maintain,
            Some(Class::Egress) => Action::Egress,
            None => return self.unknown(format!("function {name} is not known to be harmless")),
        };
        self.effect(Effect::new(action, Resource::Target).because(format!("calls {name}")));
    }

    /// `set_config` is `SET` as a function.
    fn set_config(&mut self, nodes: &[Node]) {
        self.found.literals = true;
        let mut constants = nodes.iter().map(|node| kind(node).and_then(constant));
        let (name, value) = (constants.next().flatten(), constants.next().flatten());
        let local = constants.next().flatten();
        self.found.control.push(Control::ChangesSettings);
        let Some(name) = name.map(|n| n.to_ascii_lowercase()) else {
            self.found.moves_path = true;
            return self.does(Action::Configure, Resource::Target);
        };
        self.found.moves_path |= super::moves::is_path_or_role(&name);
        // What is harmless whatever its value may come as a parameter. What names mean on a path that is not known, the
        // server is asked.
        match settings::classify(&name, value.as_deref()) {
            Setting::Harmless => {
                let local = local.is_none_or(|l| l == "on" || l.starts_with('t'));
                self.found.control.push(Control::Set { name, value, local });
            }
            Setting::Configure => {
                self.does(Action::Configure, Resource::Setting(name));
            }
        }
    }

    /// Operators that are not PostgreSQL's own, by name: `None` where there is none in sight, else the result's type as
    /// far as it is certain.
    pub(super) fn operators(
        &mut self,
        schema: Option<&str>,
        name: &str,
        left: Option<Oid>,
        right: Option<Oid>,
    ) -> Option<Option<Oid>> {
        let catalog = self.catalog;
        if !self.may_have_own_operator(name) {
            return None;
        }
        let prefix = left == Some(Oid(0));
        let visible = |o: &&super::catalog::Operator| self.may_mean(schema, o);
        let mut all: Vec<_> =
            catalog.operators_named(name).filter(visible).filter(|o| (o.left == Oid(0)) == prefix).collect();
        all.sort_by_key(|o| self.rank(&o.schema));
        let takes = |given: Option<Oid>, declared: Oid| given.is_none_or(|t| self.stands_for(t, declared));
        let fits = |o: &&super::catalog::Operator| (prefix || takes(left, o.left)) && takes(right, o.right);
        if all.iter().any(fits) {
            all.retain(|o| fits(o));
        }
        if !all.iter().any(|o| o.is_own()) {
            return None;
        }
        if let Some(unsettled) = self.unsettled.clone() {
            self.unknown(unsettled.why);
        }
        let (l, r) = match (left, right) {
            (Some(UNKNOWN), Some(r)) if r != UNKNOWN => (Some(r), Some(r)),
            (Some(l), Some(UNKNOWN)) if l != UNKNOWN && !prefix => (Some(l), Some(l)),
            types => types,
        };
        let exact = all.iter().find(|o| Some(o.left) == l && Some(o.right) == r).copied();
        let exact = exact.filter(|o| schema.is_some() || self.hides(&o.schema));
        if let Some(exact) = exact {
            if !exact.is_own() {
                return None;
            }
            self.operates(exact, l);
            return Some(Some(exact.result));
        }
        for operator in all.iter().filter(|o| o.is_own()) {
            self.operates(operator, l);
        }
        let is_certain = schema.is_some() || all.iter().all(|o| self.hides(&o.schema));
        Some(if is_certain { self.given_by(&all, left, right, prefix) } else { None })
    }

    fn operates(&mut self, operator: &super::catalog::Operator, left: Option<Oid>) {
        if let Some(function) = self.catalog.function(operator.function) {
            self.fills(function, Some(&Value::clear(left)));
        }
        self.call_oid(operator.function);
    }
}

/// Whether an argument is given by its place, and not by its name.
pub(super) fn is_in_its_place(argument: &Node) -> bool {
    !matches!(kind(argument), Some(NodeEnum::NamedArgExpr(_)))
}

/// Whether a call tells of what it is given what types it has, and nothing of what it is.
fn tells_types(name: &Qualified<'_>, candidates: &[&Function]) -> bool {
    name.name == "pg_typeof" && !candidates.is_empty() && candidates.iter().all(|f| f.is_builtin())
}

/// Whether a function's arguments are of these very types, as far as they are given; variadic ones are one by one.
fn takes_exactly(function: &Function, types: &[Oid]) -> bool {
    let fixed = function.arguments.len() - usize::from(function.variadic);
    let (given, rest) = types.split_at(types.len().min(fixed));
    // What stands for the rest of a variadic function is one of its elements, or the array, and is not looked at.
    function.arguments.starts_with(given) && (function.variadic || rest.is_empty())
}
