//! Names in expressions: columns, rows, arguments, parameters, and the parts of their values.

use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{ColumnRef, Node};

use super::catalog::{Function, Oid, TypeKind};
use super::functions::{Class, Origin, classify};
use super::scope::{Entry, Scope};
use super::tree::{kind, string, strings};
use super::value::{Col, Flow, JSONB, RECORD, UNKNOWN, Value};
use super::walk::{Walk, Within};

impl<'a> Walk<'a> {
    /// A name. PostgreSQL looks for a column first, then for a table as a whole row; a name after a row may be a column
    /// or a function of that row.
    pub(super) fn reference(&mut self, reference: &ColumnRef, scope: &Scope<'_, 'a>) -> Value {
        self.references += 1;
        self.spend(scope.breadth() / 8);
        let Some(names) = strings(&reference.fields) else {
            // `t.*` as a value: the whole row.
            return self.row_reference(&reference.fields, scope);
        };
        let found = match names.as_slice() {
            [name] => match scope.column(name) {
                Some(value) => Some(match self.row_variable(name, scope) {
                    Some(row) => value.either(row),
                    None => value,
                }),
                // In SQL a row comes before an argument, in PL/pgSQL a setting says which.
                None => match (self.whole_row(None, name, scope), self.argument(name, scope)) {
                    (Some(row), Some(argument)) => Some(row.either(argument)),
                    (row, argument) => row.or(argument),
                },
            },
            [table, name] => self.member(None, table, name, scope),
            [schema, table, name] | [_, schema, table, name] => self.member(Some(schema), table, name, scope),
            _ => None,
        };
        match found {
            Some(value) => {
                self.read_in_body(&value);
                value
            }
            None if scope.levels().any(|s| s.arguments.is_some_and(|a| a.variables)) => Value::default(),
            None => {
                let why = match names.as_slice() {
                    [name] => self.no_column(None, name, 1, reference.location, scope),
                    [table, name] if scope.entry(None, table).is_some() => {
                        self.no_column(Some(table), name, 2, reference.location, scope)
                    }
                    [schema, table, name] if scope.entry(Some(schema), table).is_some() => {
                        self.no_column(Some(table), name, 3, reference.location, scope)
                    }
                    [.., schema, table, _] => {
                        self.no_entry(Some(schema), table, names.len() - 1, reference.location, scope)
                    }
                    [table, _] => self.no_entry(None, table, 1, reference.location, scope),
                    [] => "a name without words".to_owned(),
                };
                // The server gets no further: nothing becomes of it.
                Value { type_oid: Some(UNKNOWN), ..Value::of(Flow::Unknown(why)) }
            }
        }
    }

    fn row_reference(&mut self, fields: &[Node], scope: &Scope<'_, 'a>) -> Value {
        let names: Vec<&str> = fields.iter().filter_map(string).collect();
        let whole = match names.as_slice() {
            [table] => self.whole_row(None, table, scope),
            [schema, table] | [_, schema, table] => self.whole_row(Some(schema), table, scope),
            _ => None,
        };
        whole.unwrap_or_else(|| {
            self.missing("a whole row of something that is not in FROM".to_owned());
            Value::of(Flow::Unknown("a whole row that is not known".to_owned()))
        })
    }

    /// `table.name`: a column, or a function of the row, or a field of a composite argument.
    fn member(
        &mut self,
        schema: Option<&str>,
        table: &str,
        name: &str,
        scope: &Scope<'_, 'a>,
    ) -> Option<Value> {
        let Some(entry) = scope.entry(schema, table) else {
            let value = self.qualified_argument(table, name, scope)?;
            return Some(value);
        };
        let variable = self.row_variable(table, scope).and_then(|row| row.row);
        let field = variable.and_then(|row| row.iter().find(|c| &*c.name == name).map(|c| c.value.clone()));
        if let Some(field) = field {
            return Some(match entry.column(name) {
                Some(value) => value.either(field),
                None => field,
            });
        }
        let (known, is_certain) = match entry.named(name) {
            Some((value, sure)) => (Some(value), sure),
            None => (super::scope::system(entry, name), true),
        };
        if known.is_some() && is_certain || self.catalog.functions_named(name).next().is_none() {
            return known;
        }
        // Where the server may have no column of this name, it takes the function.
        if known.is_some() && self.is_harmless(name) {
            return known;
        }
        let row = self.whole_row(schema, table, scope)?;
        let result = self.call_named(&[name], &[row], scope);
        Some(match known {
            Some(value) => value.either(result),
            None => result,
        })
    }

    /// Whether no function of this name that takes one value does anything, whatever the value is.
    fn is_harmless(&mut self, name: &str) -> bool {
        let derived = self.catalog.derived();
        let looks_inside = !derived.own_casts.is_empty() || !derived.families.is_empty();
        let major = self.major;
        let harmless = |f: &&Function| {
            let class = classify(Origin::Catalog, &f.name, major);
            f.is_builtin() && f.language != "sql" && class == Some(Class::Harmless)
        };
        !looks_inside && self.candidates(None, name, Some(1), false).iter().all(harmless)
    }

    /// A table's name as a value.
    fn whole_row(&mut self, schema: Option<&str>, name: &str, scope: &Scope<'_, 'a>) -> Option<Value> {
        let entry = scope.entry(schema, name)?;
        let type_oid = entry.relation.and_then(|r| self.row_type(r));
        let whole = match entry.all() {
            // The value of a function that is no row is its only column.
            Some(columns) if entry.scalar => {
                Value { row: None, ..columns.first().map(|c| c.value.clone()).unwrap_or_default() }
            }
            Some(columns) => {
                // Aliases end with the query: elsewhere a table's row has the columns of its type.
                let own = entry.relation.is_none_or(|relation| {
                    relation.columns.iter().map(|c| c.name.as_str()).eq(columns.iter().map(|c| &*c.name))
                });
                let whole = Value::whole(columns, type_oid.or(entry.record.then_some(RECORD)));
                if own { whole } else { Value { row: None, ..whole } }
            }
            None => Value { type_oid, ..entry.column("").unwrap_or_default() },
        };
        self.read_in_body(&whole);
        Some(whole)
    }

    /// In a function's body reading is using: what is read could come out in its result or its messages.
    pub(super) fn read_in_body(&mut self, value: &Value) {
        if matches!(self.within, Within::Body(_)) && !value.flow.is_clear() {
            self.consume(value);
        }
    }

    /// The same of a star.
    pub(super) fn seen(&mut self, columns: Option<&[Col]>) {
        for column in columns.into_iter().flatten() {
            self.read_in_body(&column.value);
        }
    }

    fn row_type(&self, relation: &super::catalog::Relation) -> Option<Oid> {
        self.catalog.type_named(&relation.schema, &relation.name).map(|t| t.oid)
    }

    /// An argument of the function whose body is read.
    pub(super) fn argument(&self, name: &str, scope: &Scope<'_, 'a>) -> Option<Value> {
        let arguments = scope.levels().find_map(|s| s.arguments)?;
        let named = arguments.named.iter().find(|(n, _)| n.as_deref() == Some(name));
        named.map(|(_, value)| value.clone())
    }

    /// A row that the function whose body is read was given, where an expression is its name alone: it is not used yet.
    pub(super) fn row_given(&self, node: &Node, scope: &Scope<'_, 'a>) -> Option<Value> {
        let Some(NodeEnum::ColumnRef(reference)) = kind(node) else { return None };
        let names = strings(&reference.fields)?;
        let [name] = names.as_slice() else { return None };
        let other = scope.column(name).is_some() || scope.entry(None, name).is_some();
        self.argument(name, scope).filter(|value| value.row.is_some() && !other)
    }

    /// A variable that holds a row of a table, where PL/pgSQL's `variable_conflict` may prefer it to a column or a relation of
    /// that name.
    fn row_variable(&self, name: &str, scope: &Scope<'_, 'a>) -> Option<Value> {
        let arguments = scope.levels().find_map(|s| s.arguments).filter(|arguments| arguments.variables)?;
        let named =
            arguments.named.iter().find(|(n, value)| n.as_deref() == Some(name) && value.row.is_some());
        named.map(|(_, value)| value.clone())
    }

    fn qualified_argument(&mut self, table: &str, name: &str, scope: &Scope<'_, 'a>) -> Option<Value> {
        let arguments = scope.levels().find_map(|s| s.arguments)?;
        if arguments.function == table
            && let Some(value) = self.argument(name, scope)
        {
            return Some(value);
        }
        if let Some(value) = self.argument(table, scope) {
            return Some(self.field(&value, name, scope));
        }
        arguments.variables.then(Value::default)
    }

    pub(super) fn parameter(&mut self, number: i32, scope: &Scope<'_, 'a>) -> Value {
        let number = u32::try_from(number).unwrap_or(0);
        if let Some(arguments) = scope.levels().find_map(|s| s.arguments) {
            let index = usize::try_from(number).unwrap_or(0).saturating_sub(1);
            return arguments.named.get(index).map(|(_, value)| value.clone()).unwrap_or_default();
        }
        self.parameters = self.parameters.max(number);
        Value::default()
    }

    /// `(expression).field`, `array[1]`.
    pub(super) fn indirected(&mut self, base: Option<&Node>, steps: &[Node], scope: &Scope<'_, 'a>) -> Value {
        // Of a row that stands here by its name the names are those that the query gives its columns.
        let (mut value, steps) = match (base.and_then(|node| row_named(node, scope)), steps.split_first()) {
            (Some(entry), Some((first, rest)))
                if let Some(name) = string(first)
                    && let Some(column) =
                        entry.column(name).or_else(|| super::scope::system(entry, name)) =>
            {
                self.references += 1;
                self.read_in_body(&column);
                (column, rest)
            }
            (_, first) => {
                let field = first.is_some_and(|(first, _)| string(first).is_some());
                let row = base.filter(|_| field).and_then(|node| self.row_given(node, scope));
                (row.or_else(|| base.map(|node| self.value(node, scope))).unwrap_or_default(), steps)
            }
        };
        for step in steps {
            match kind(step) {
                Some(NodeEnum::String(name)) => value = self.field(&value, &name.sval, scope),
                Some(NodeEnum::AIndices(indices)) => {
                    let flow = self.consume(&value);
                    let subscripts = [&indices.lidx, &indices.uidx].into_iter().flatten();
                    let flow = subscripts.fold(flow, |flow, node| flow.both(self.assigns_node(node, scope)));
                    let array = value.type_oid.and_then(|t| self.catalog.type_by_oid(self.base(t)));
                    let type_oid = array.and_then(|t| match t.oid {
                        JSONB => Some(JSONB),
                        _ if !t.is_array() => None,
                        whole if indices.is_slice => Some(whole),
                        _ => Some(t.element),
                    });
                    value = Value { flow, type_oid, row: None };
                }
                Some(NodeEnum::AStar(_)) => (),
                _ => {
                    self.unknown("a subscript that is not understood");
                    value = Value::of(Flow::Unknown("a subscript that is not understood".to_owned()));
                }
            }
        }
        value
    }

    /// A field of a row: a column of it, an attribute of its type, or a function of it.
    fn field(&mut self, value: &Value, name: &str, scope: &Scope<'_, 'a>) -> Value {
        if let Some(row) = &value.row {
            if let Some(column) = row.iter().find(|c| &*c.name == name) {
                let value = column.value.clone();
                self.read_in_body(&value);
                return value;
            }
        } else if let Some(columns) = self.fields(value)
            && let Some(column) = columns.iter().find(|c| &*c.name == name)
        {
            return column.value.clone();
        }
        let flow = self.consume(value);
        let composite = value.type_oid.is_some() && self.fields(value).is_some() || value.row.is_some();
        if self.catalog.functions_named(name).next().is_some() {
            let result = self.call_named(&[name], std::slice::from_ref(value), scope);
            return Value { flow: result.flow.both(flow), ..result };
        }
        if composite {
            self.missing(format!("column \"{name}\" not found in data type"));
        }
        Value::of(flow)
    }

    /// The columns of a value that is a row.
    pub(super) fn fields(&mut self, value: &Value) -> Option<Arc<[Col]>> {
        if let Some(row) = &value.row {
            let row = Arc::clone(row);
            self.seen(Some(&row));
            return Some(row);
        }
        let mut row_type = self.catalog.type_by_oid(value.type_oid?)?;
        while row_type.kind == TypeKind::Domain {
            row_type = self.catalog.type_by_oid(row_type.base)?;
        }
        if row_type.kind != TypeKind::Composite {
            return None;
        }
        let relation = self.catalog.relation_by_oid(row_type.relation)?;
        let flow = self.consume(value);
        let columns = relation.columns.iter().map(|c| {
            Col::new(c.name.as_str(), Value { flow: flow.clone(), type_oid: Some(c.type_oid), row: None })
        });
        Some(columns.collect())
    }
}

/// The item of `FROM` whose row a name stands for. A name alone is a column first.
fn row_named<'s, 'a>(node: &Node, scope: &'s Scope<'_, 'a>) -> Option<&'s Entry<'a>> {
    let Some(NodeEnum::ColumnRef(reference)) = kind(node) else { return None };
    let names = strings(&reference.fields)?;
    let [name] = names.as_slice() else { return None };
    let entry = scope.entry(None, name).filter(|entry| !entry.scalar && !entry.is_open())?;
    scope.column(name).is_none().then_some(entry)
}
