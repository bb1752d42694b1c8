//! The SQL standard's JSON expressions, which are grammar from 16 and 17 on; older servers would call functions of those
//! names.

use pg_query::NodeEnum;
use pg_query::protobuf::{JsonBehavior, JsonOutput, JsonTable, JsonValueExpr, Node, TypeName};

use super::catalog::Oid;
use super::scope::{Columns, Entry, Scope};
use super::tree::kind;
use super::value::{BOOL, Col, Flow, JSONB, TEXT, Value};
use super::walk::Walk;

/// `json`
const JSON: Oid = Oid(114);

impl<'a> Walk<'a> {
    /// `None` where the expression is none of these.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whoever calls deals with what is not JSON")]
    pub(super) fn json(&mut self, expression: &NodeEnum, scope: &Scope<'_, 'a>) -> Option<Value> {
        Some(match expression {
            NodeEnum::JsonIsPredicate(test) => {
                self.needs(16, "IS JSON");
                let flow = test.expr.as_deref().map_or(Flow::Clear, |node| self.uses(node, scope));
                Value { flow, type_oid: Some(BOOL), row: None }
            }
            NodeEnum::JsonParseExpr(parse) => {
                self.needs(17, "JSON()");
                let flow = self.json_value(parse.expr.as_deref(), scope);
                self.made(flow, parse.output.as_ref(), JSON)
            }
            NodeEnum::JsonScalarExpr(scalar) => {
                self.needs(17, "JSON_SCALAR()");
                let value = scalar.expr.as_deref().map(|node| self.value(node, scope)).unwrap_or_default();
                self.shown_as_json(&value);
                let flow = self.consume(&value);
                self.made(flow, scalar.output.as_ref(), JSON)
            }
            NodeEnum::JsonSerializeExpr(serialize) => {
                self.needs(17, "JSON_SERIALIZE()");
                let flow = self.json_value(serialize.expr.as_deref(), scope);
                self.made(flow, serialize.output.as_ref(), TEXT)
            }
            NodeEnum::JsonObjectConstructor(object) => {
                self.needs(16, "JSON_OBJECT()");
                let mut flow = Flow::Clear;
                for pair in &object.exprs {
                    if let Some(NodeEnum::JsonKeyValue(pair)) = kind(pair) {
                        flow =
                            flow.both(pair.key.as_deref().map_or(Flow::Clear, |node| self.uses(node, scope)));
                        flow = flow.both(self.json_value(pair.value.as_deref(), scope));
                    } else {
                        self.unknown("a part of JSON_OBJECT that is not understood");
                    }
                }
                self.made(flow, object.output.as_ref(), Oid(0))
            }
            NodeEnum::JsonArrayConstructor(array) => {
                self.needs(16, "JSON_ARRAY()");
                let mut flow = Flow::Clear;
                for item in &array.exprs {
                    if let Some(NodeEnum::JsonValueExpr(item)) = kind(item) {
                        flow = flow.both(self.json_value(Some(item), scope));
                    } else {
                        flow = flow.both(self.uses(item, scope));
                    }
                }
                self.made(flow, array.output.as_ref(), Oid(0))
            }
            NodeEnum::JsonArrayQueryConstructor(array) => {
                self.needs(16, "JSON_ARRAY()");
                let rows = self.subquery(super::tree::inner(&array.query), scope);
                rows.columns.iter().flat_map(|c| c.iter()).for_each(|c| self.shown_as_json(&c.value));
                let flow = self.consume_flow(&rows.all());
                self.made(flow, array.output.as_ref(), Oid(0))
            }
            NodeEnum::JsonObjectAgg(object) => {
                self.needs(16, "JSON_OBJECTAGG()");
                let mut flow = Flow::Clear;
                if let Some(pair) = &object.arg {
                    flow = flow.both(pair.key.as_deref().map_or(Flow::Clear, |node| self.uses(node, scope)));
                    flow = flow.both(self.json_value(pair.value.as_deref(), scope));
                }
                self.aggregated(flow, object.constructor.as_deref(), scope)
            }
            NodeEnum::JsonArrayAgg(array) => {
                self.needs(16, "JSON_ARRAYAGG()");
                let flow = self.json_value(array.arg.as_deref(), scope);
                self.aggregated(flow, array.constructor.as_deref(), scope)
            }
            NodeEnum::JsonFuncExpr(function) => {
                self.needs(17, "SQL/JSON query functions");
                let mut flow = self.json_value(function.context_item.as_deref(), scope);
                flow = flow
                    .both(function.pathspec.as_deref().map_or(Flow::Clear, |node| self.uses(node, scope)));
                flow = flow.both(self.passing(&function.passing, scope));
                flow = flow.both(self.behaviour(function.on_empty.as_deref(), scope));
                flow = flow.both(self.behaviour(function.on_error.as_deref(), scope));
                self.made(flow, function.output.as_ref(), Oid(0))
            }
            NodeEnum::JsonValueExpr(value) => Value::of(self.json_value(Some(value), scope)),
            _ => return None,
        })
    }

    fn json_value(&mut self, value: Option<&JsonValueExpr>, scope: &Scope<'_, 'a>) -> Flow {
        let Some(node) = value.and_then(|v| v.raw_expr.as_deref()) else { return Flow::Clear };
        let value = self.value(node, scope);
        self.shown_as_json(&value);
        self.consume(&value)
    }

    /// The default is 0 where it is `json` or `jsonb` by what goes in.
    fn made(&mut self, flow: Flow, output: Option<&JsonOutput>, default: Oid) -> Value {
        let type_oid = match output.and_then(|o| o.type_name.as_ref()) {
            Some(name) => self.returned(name),
            None => Some(default).filter(|t| t.0 != 0),
        };
        Value { flow: flow.computed(), type_oid, row: None }
    }

    /// JSON, or a text of it, becomes of the type that is asked for.
    fn returned(&mut self, name: &TypeName) -> Option<Oid> {
        let target = self.cast_to(name, None)?;
        for made in [JSON, JSONB, TEXT] {
            self.coerced(target, Some(made));
        }
        Some(target)
    }

    fn aggregated(
        &mut self,
        flow: Flow,
        constructor: Option<&pg_query::protobuf::JsonAggConstructor>,
        scope: &Scope<'_, 'a>,
    ) -> Value {
        let Some(constructor) = constructor else { return Value::of(flow) };
        let mut flow = flow;
        if let Some(filter) = constructor.agg_filter.as_deref() {
            flow = flow.both(self.tells(filter, scope).flow);
        }
        for sort in &constructor.agg_order {
            if let Some(NodeEnum::SortBy(sort)) = kind(sort) {
                if let Some(node) = sort.node.as_deref() {
                    flow = flow.both(self.compares(node, scope).flow);
                }
                if !sort.use_op.is_empty() {
                    self.operator(&sort.use_op, Some(None), Some(None));
                }
            }
        }
        if let Some(window) = &constructor.over {
            flow = flow.both(self.window(window, scope));
        }
        flow = flow.both(self.among.clone());
        self.made(flow, constructor.output.as_ref(), Oid(0))
    }

    fn passing(&mut self, nodes: &[Node], scope: &Scope<'_, 'a>) -> Flow {
        nodes.iter().fold(Flow::Clear, |flow, node| {
            if let Some(NodeEnum::JsonArgument(argument)) = kind(node) {
                flow.both(self.json_value(argument.val.as_deref(), scope))
            } else {
                self.unknown("an argument of PASSING that is not understood");
                flow
            }
        })
    }

    fn behaviour(&mut self, behaviour: Option<&JsonBehavior>, scope: &Scope<'_, 'a>) -> Flow {
        behaviour.and_then(|b| b.expr.as_deref()).map_or(Flow::Clear, |node| {
            // DEFAULT is cast to the type that is returned.
            let value = self.value(node, scope);
            self.becomes_anything(&value);
            self.consume(&value)
        })
    }

    /// `JSON_TABLE (…)` in FROM.
    pub(super) fn json_table(&mut self, table: &JsonTable, scope: &Scope<'_, 'a>) -> Entry<'a> {
        let mut flow = self.json_value(table.context_item.as_deref(), scope);
        if let Some(node) = table.pathspec.as_deref().and_then(|p| p.string.as_deref()) {
            flow = flow.both(self.uses(node, scope));
        }
        flow = flow.both(self.passing(&table.passing, scope));
        flow = flow.both(self.behaviour(table.on_error.as_deref(), scope));
        let mut columns = Vec::new();
        self.json_columns(&table.columns, &flow, &mut columns, scope);
        let mut entry = super::sources::entry(table.alias.as_ref(), Columns::Listed(columns.into()));
        entry.columns = super::sources::rename(entry.columns, &super::sources::aliases(table.alias.as_ref()));
        entry.alias.get_or_insert(std::borrow::Cow::Borrowed("json_table"));
        entry
    }

    /// The columns of one level, and behind them those of the levels that are nested in it.
    fn json_columns(&mut self, nodes: &[Node], flow: &Flow, columns: &mut Vec<Col>, scope: &Scope<'_, 'a>) {
        let mut nested = Vec::new();
        for node in nodes {
            let Some(NodeEnum::JsonTableColumn(column)) = kind(node) else {
                self.unknown("a column of JSON_TABLE that is not understood");
                continue;
            };
            let mut flow = flow.clone();
            if let Some(node) = column.pathspec.as_deref().and_then(|p| p.string.as_deref()) {
                flow = flow.both(self.uses(node, scope));
            }
            flow = flow.both(self.behaviour(column.on_empty.as_deref(), scope));
            flow = flow.both(self.behaviour(column.on_error.as_deref(), scope));
            if column.columns.is_empty() {
                let type_oid = column.type_name.as_ref().and_then(|name| self.returned(name));
                let value = Value { flow: flow.computed(), type_oid, row: None };
                columns.push(Col::guessed(column.name.as_str(), value));
            } else {
                nested.push((&column.columns, flow));
            }
        }
        for (below, flow) in nested {
            self.deeper(|walk| walk.json_columns(below, &flow, columns, scope));
        }
    }
}
