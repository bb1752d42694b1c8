//! Expressions: what their values depend on, and what evaluating them does.

use std::sync::Arc;

use model::Action;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AConst, Node, SqlValueFunctionOp, SubLink, SubLinkType, WindowDef, XmlExprOp, a_const::Val,
};

use super::catalog::Oid;
use super::scope::Scope;
use super::tree::{inner, kind};
use super::value::{BOOL, Col, Flow, INT4, NUMERIC, RECORD, TEXT, UNKNOWN, Value};
use super::walk::Walk;

impl<'a> Walk<'a> {
    /// Evaluates an expression of which something is computed or decided.
    pub(super) fn uses(&mut self, node: &Node, scope: &Scope<'_, 'a>) -> Flow {
        let value = self.value(node, scope);
        self.consume(&value)
    }

    /// The same of several, with what they depend on together.
    pub(super) fn uses_all(&mut self, nodes: &[Node], scope: &Scope<'_, 'a>) -> Flow {
        nodes.iter().fold(Flow::Clear, |flow, node| flow.both(self.uses(node, scope)))
    }

    pub(super) fn uses_boxed(&mut self, node: &Option<Box<Node>>, scope: &Scope<'_, 'a>) -> Flow {
        node.as_deref().map_or(Flow::Clear, |node| self.uses(node, scope))
    }

    /// Evaluates an expression whose value is compared with others, sorted or hashed.
    pub(super) fn compares(&mut self, node: &Node, scope: &Scope<'_, 'a>) -> Value {
        let value = self.value(node, scope);
        self.consume(&value);
        self.compared_in(node, &value);
        value
    }

    /// What an expression's value depends on. A reference alone is the very value of its column; all else is computed.
    pub(super) fn value(&mut self, node: &Node, scope: &Scope<'_, 'a>) -> Value {
        self.deeper(|walk| match kind(node) {
            Some(expression) => walk.value_of(expression, scope),
            None => Value::default(),
        })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "an expression that is not named here is unknown")]
    fn value_of(&mut self, expression: &NodeEnum, scope: &Scope<'_, 'a>) -> Value {
        match expression {
            NodeEnum::ColumnRef(reference) => self.reference(reference, scope),
            NodeEnum::ParamRef(parameter) => self.parameter(parameter.number, scope),
            NodeEnum::AConst(constant) => literal(constant),
            NodeEnum::AExpr(operation) => self.operation(operation, scope),
            NodeEnum::BoolExpr(expression) => {
                let parts = expression.args.iter();
                told(parts.fold(Flow::Clear, |flow, node| flow.both(self.tells(node, scope).flow)))
            }
            NodeEnum::NullTest(test) => told(self.null_test(test, scope)),
            NodeEnum::BooleanTest(test) => {
                told(test.arg.as_deref().map(|node| self.tells(node, scope).flow).unwrap_or_default())
            }
            NodeEnum::SubLink(link) => self.sublink(link, scope),
            NodeEnum::CaseExpr(case) => {
                let compared = case.arg.as_deref().map(|node| self.compares(node, scope));
                let mut flow = compared.as_ref().map_or(Flow::Clear, |value| value.flow.clone().computed());
                let mut results = Vec::new();
                for arm in &case.args {
                    let Some(NodeEnum::CaseWhen(arm)) = kind(arm) else { continue };
                    if let Some(node) = arm.expr.as_deref() {
                        let value = match &compared {
                            Some(compared) => {
                                let value = self.compares(node, scope);
                                self.coerces(&[compared.clone(), value.clone()]);
                                value
                            }
                            None => self.tells(node, scope),
                        };
                        flow = flow.both(value.flow);
                    }
                    if let Some(node) = arm.result.as_deref() {
                        results.push(self.value(node, scope));
                    }
                }
                if case.arg.is_some() {
                    self.operators_of_grammar();
                }
                // What is left over counts first where they become one type.
                let mut result = match case.defresult.as_deref() {
                    Some(node) => self.value(node, scope),
                    // A null.
                    None => Value::clear(Some(UNKNOWN)),
                };
                for value in results {
                    result = self.or(Some(result), value);
                }
                let result = result.settled();
                Value { flow: flow.both(self.consume(&result)), type_oid: result.type_oid, row: None }
            }
            NodeEnum::CoalesceExpr(expression) => self.one_of(&expression.args, scope),
            NodeEnum::MinMaxExpr(expression) => {
                self.operators_of_grammar();
                let one = self.one_of(&expression.args, scope);
                self.compared(&one);
                one
            }
            NodeEnum::AArrayExpr(array) => {
                let element = self.one_of(&array.elements, scope);
                if array.elements.is_empty() {
                    // What it is made into says what it is, as with a literal.
                    return Value::clear(Some(UNKNOWN));
                }
                let type_oid = element
                    .type_oid
                    .and_then(|t| self.catalog.type_by_oid(t))
                    .filter(|t| t.is_array() || !self.is_array(t.oid))
                    .map(|t| if t.is_array() { t.oid } else { t.array_type });
                Value { flow: element.flow, type_oid, row: None }
            }
            NodeEnum::RowExpr(row) => {
                let whole = match self.listed(&row.args, scope) {
                    Ok(values) => {
                        // With a star among them places do not say which is a parameter.
                        let is_same = values.len() == row.args.len();
                        let columns = values.into_iter().enumerate().map(|(index, mut value)| {
                            let node = row.args.get(index).filter(|_| is_same);
                            if node.is_some_and(|node| self.takes_its_type(node, &value)) {
                                value.type_oid = Some(UNKNOWN);
                            }
                            Col::new(format!("f{}", index + 1), value)
                        });
                        Value::whole(columns.collect(), Some(RECORD))
                    }
                    Err(flow) => Value { flow, type_oid: Some(RECORD), row: None },
                };
                self.consume(&whole);
                whole
            }
            NodeEnum::List(list) => {
                // `IN (…)`, `BETWEEN … AND …`
                Value::of(list.items.iter().fold(Flow::Clear, |flow, node| {
                    let value = self.compares(node, scope);
                    if !self.takes_its_type(node, &value) {
                        self.coerces(std::slice::from_ref(&value));
                    }
                    flow.both(value.flow)
                }))
            }
            NodeEnum::TypeCast(cast) => {
                let target = cast.type_name.as_ref().and_then(|name| {
                    self.uses_modifiers(&name.typmods, scope);
                    self.type_named(name)
                });
                let flow = cast.arg.as_deref().map(|node| self.cast_node(node, target, scope));
                Value { flow: flow.unwrap_or_default(), type_oid: target, row: None }
            }
            NodeEnum::CollateClause(collate) => {
                let value = collate.arg.as_deref().map(|node| self.value(node, scope)).unwrap_or_default();
                Value { flow: self.consume(&value), type_oid: value.type_oid, row: None }
            }
            NodeEnum::FuncCall(call) => self.call(call, scope),
            NodeEnum::AIndirection(indirection) => {
                self.indirected(indirection.arg.as_deref(), &indirection.indirection, scope)
            }
            NodeEnum::NamedArgExpr(named) => {
                // Its place among the arguments is not its place in the call.
                let value = named.arg.as_deref().map(|node| self.value(node, scope)).unwrap_or_default();
                Value { type_oid: None, ..value }
            }
            NodeEnum::SqlvalueFunction(function) => Value::clear(Some(Oid(value_type(function.op())))),
            NodeEnum::XmlExpr(xml) => {
                // What it makes a text, XML or a truth value of it does by assignment; values inside elements it shows.
                let shows = matches!(xml.op(), XmlExprOp::IsXmlelement | XmlExprOp::IsXmlforest);
                let flow = xml.args.iter().fold(Flow::Clear, |flow, node| {
                    flow.both(if shows { self.uses(node, scope) } else { self.assigns_node(node, scope) })
                });
                let named = xml.named_args.iter().fold(flow, |flow, node| match kind(node) {
                    Some(NodeEnum::ResTarget(target)) => flow.both(self.uses_boxed(&target.val, scope)),
                    _ => flow.both(self.uses(node, scope)),
                });
                let type_oid = if xml.op() == XmlExprOp::IsDocument { BOOL } else { Oid(142) };
                Value { flow: named, type_oid: Some(type_oid), row: None }
            }
            NodeEnum::XmlSerialize(xml) => {
                let node = xml.expr.as_deref();
                let flow = node.map(|node| self.assigns_node(node, scope)).unwrap_or_default();
                let made = Value::clear(Some(Oid(142)));
                let type_oid = xml.type_name.as_ref().and_then(|name| self.cast_to(name, Some(&made)));
                Value { flow, type_oid, row: None }
            }
            NodeEnum::GroupingFunc(grouping) => {
                // Which columns are grouped by, not what they hold.
                for node in &grouping.args {
                    self.value(node, scope);
                }
                Value::clear(Some(INT4))
            }
            NodeEnum::CurrentOfExpr(_) => Value::clear(Some(BOOL)),
            NodeEnum::SetToDefault(_) => Value::default(),
            NodeEnum::MergeSupportFunc(_) => {
                self.needs(17, "merge_action()");
                Value::clear(Some(TEXT))
            }
            NodeEnum::MultiAssignRef(assign) => {
                Value::of(assign.source.as_deref().map_or(Flow::Clear, |node| self.uses(node, scope)))
            }
            other => match self.json(other, scope) {
                Some(value) => value,
                None => {
                    self.unknown("an expression of a kind that is not understood");
                    Value::of(Flow::Unknown("an expression that is not understood".to_owned()))
                }
            },
        }
    }

    fn one_of(&mut self, nodes: &[Node], scope: &Scope<'_, 'a>) -> Value {
        let mut one: Option<Value> = None;
        for node in nodes {
            let value = self.value(node, scope);
            self.consume(&value);
            one = Some(self.or(one, value));
        }
        let one = one.unwrap_or_default().settled();
        Value { flow: one.flow.computed(), type_oid: one.type_oid, row: None }
    }

    /// Whether values of a type are arrays, be it a domain over them.
    fn is_array(&self, oid: Oid) -> bool {
        self.catalog.type_by_oid(self.base(oid)).is_some_and(super::catalog::Type::is_array)
    }

    /// One value or another.
    fn or(&mut self, before: Option<Value>, value: Value) -> Value {
        match before {
            Some(before) => {
                self.meets(&before, &value);
                self.common(before, value)
            }
            None => value,
        }
    }

    /// Evaluates a condition: what is no truth value is made one.
    pub(super) fn tells(&mut self, node: &Node, scope: &Scope<'_, 'a>) -> Value {
        let value = self.value(node, scope);
        self.consume(&value);
        if value.type_oid != Some(BOOL) && !self.takes_its_type(node, &value) {
            self.assigned_to(&value, Some(BOOL));
        }
        value
    }

    fn sublink(&mut self, link: &SubLink, scope: &Scope<'_, 'a>) -> Value {
        let around = std::mem::take(&mut self.decided);
        let value = self.sublink_here(link, scope);
        let decided = std::mem::replace(&mut self.decided, around);
        if decided.is_clear() { value } else { Value { flow: value.flow.both(decided), row: None, ..value } }
    }

    fn sublink_here(&mut self, link: &SubLink, scope: &Scope<'_, 'a>) -> Value {
        let tested = link.testexpr.as_deref().map(|node| self.value(node, scope)).unwrap_or_default();
        let compared = link.testexpr.as_deref().map(|node| (node, tested.clone()));
        let (tested, left) = (self.consume(&tested), tested.type_oid);
        let rows = self.subquery(inner(&link.subselect), scope).settled();
        let first = rows.columns.as_deref().and_then(<[Col]>::first).map(|column| Arc::clone(&column.name));
        self.first_names.insert(super::query::place(link), first);
        match link.sub_link_type() {
            SubLinkType::ExistsSublink => Value::clear(Some(BOOL)),
            SubLinkType::ExprSublink => match rows.columns.as_deref() {
                Some([column]) => column.value.clone(),
                Some(_) | None => Value::of(self.consume_flow(&rows.all())),
            },
            SubLinkType::ArraySublink => {
                let flow = self.consume_flow(&rows.all());
                let element = rows.columns.as_deref().and_then(|c| c.first()).and_then(|c| c.value.type_oid);
                let array = element.and_then(|t| self.catalog.type_by_oid(t)).map(|t| t.array_type);
                Value { flow, type_oid: array.filter(|t| t.0 != 0), row: None }
            }
            SubLinkType::MultiexprSublink => Value::of(self.consume_flow(&rows.all())),
            SubLinkType::AllSublink | SubLinkType::AnySublink | SubLinkType::RowcompareSublink => {
                let equal = [Node {
                    node: Some(NodeEnum::String(pg_query::protobuf::String { sval: "=".to_owned() })),
                }];
                let name = if link.oper_name.is_empty() { equal.as_slice() } else { &link.oper_name };
                // Rows are compared column by column.
                let (left, right) = match rows.columns.as_deref() {
                    Some([column]) => (left, column.value.type_oid),
                    Some(_) | None => (None, None),
                };
                self.operator(name, Some(left), Some(right));
                self.compared_rows(&rows);
                if let Some((node, value)) = &compared {
                    self.compared_in(node, value);
                    self.coerces(&[value.clone(), Value::clear(right)]);
                }
                told(tested.both(self.consume_flow(&rows.all())))
            }
            SubLinkType::CteSublink | SubLinkType::Undefined => {
                self.unknown("a sub-query of a kind that is not understood");
                Value::of(Flow::Unknown("a sub-query that is not understood".to_owned()))
            }
        }
    }

    /// `OVER (…)`: what it makes of its rows, where a view does it and nobody is asked.
    pub(super) fn window(&mut self, window: &WindowDef, scope: &Scope<'_, 'a>) -> Flow {
        let around = std::mem::take(&mut self.decided);
        self.window_here(window, scope);
        let decided = self.decided.clone();
        self.decided = around.both(std::mem::take(&mut self.decided));
        decided
    }

    fn window_here(&mut self, window: &WindowDef, scope: &Scope<'_, 'a>) {
        for node in &window.partition_clause {
            self.compares(node, scope);
        }
        for sort in &window.order_clause {
            if let Some(NodeEnum::SortBy(sort)) = kind(sort) {
                if let Some(node) = sort.node.as_deref() {
                    self.compares(node, scope);
                }
                if !sort.use_op.is_empty() {
                    self.operator(&sort.use_op, Some(None), Some(None));
                }
            }
        }
        for node in [&window.start_offset, &window.end_offset].into_iter().flatten() {
            let value = self.compares(node, scope);
            if !self.takes_its_type(node, &value) {
                self.assigns(&value);
            }
        }
    }

    fn uses_modifiers(&mut self, modifiers: &[Node], scope: &Scope<'_, 'a>) {
        for node in modifiers {
            // `numeric(10, 2)` has constants, `interval second` has flags, `geometry(Point)` has a bare name.
            if !matches!(kind(node), Some(NodeEnum::AConst(_) | NodeEnum::ColumnRef(_))) {
                self.uses(node, scope);
            }
        }
    }

    /// Marks that a statement reads another server's or a file's data.
    pub(super) fn reaches_out(&mut self, action: Action, why: String) {
        self.effect(model::Effect::new(action, model::Resource::Target).because(why));
    }
}

/// A truth value.
fn told(flow: Flow) -> Value {
    Value { flow: flow.computed(), type_oid: Some(BOOL), row: None }
}

fn literal(constant: &AConst) -> Value {
    let type_oid = match &constant.val {
        Some(Val::Ival(_)) => INT4,
        Some(Val::Fval(number)) => {
            // A number too long for an int4 is an int8, if it fits. With its sign the least int4 is one after all.
            match number.fval.parse::<i64>() {
                Ok(n) if i32::try_from(n).is_ok() => INT4,
                Ok(_) => Oid(20),
                // Not decimal, or with `_` between the digits.
                Err(_) if number.fval.contains(['_', 'x', 'X', 'o', 'O', 'b', 'B']) => {
                    return Value::clear(None);
                }
                Err(_) => NUMERIC,
            }
        }
        Some(Val::Boolval(_)) => BOOL,
        Some(Val::Bsval(_)) => Oid(1560),
        Some(Val::Sval(_)) | None => UNKNOWN,
    };
    Value::clear(Some(type_oid))
}

fn value_type(op: SqlValueFunctionOp) -> u32 {
    match op {
        SqlValueFunctionOp::SvfopCurrentDate => 1082,
        SqlValueFunctionOp::SvfopCurrentTime | SqlValueFunctionOp::SvfopCurrentTimeN => 1266,
        SqlValueFunctionOp::SvfopCurrentTimestamp | SqlValueFunctionOp::SvfopCurrentTimestampN => 1184,
        SqlValueFunctionOp::SvfopLocaltime | SqlValueFunctionOp::SvfopLocaltimeN => 1083,
        SqlValueFunctionOp::SvfopLocaltimestamp | SqlValueFunctionOp::SvfopLocaltimestampN => 1114,
        SqlValueFunctionOp::SvfopCurrentRole
        | SqlValueFunctionOp::SvfopCurrentUser
        | SqlValueFunctionOp::SvfopUser
        | SqlValueFunctionOp::SvfopSessionUser
        | SqlValueFunctionOp::SvfopCurrentCatalog
        | SqlValueFunctionOp::SvfopCurrentSchema
        | SqlValueFunctionOp::SqlvalueFunctionOpUndefined => 19,
    }
}
