//! Expressions: what their values depend on, and what evaluating them does.

use std::sync::Arc;

use model::Action;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AConst, AExpr, AExprKind, ColumnRef, Node, SqlValueFunctionOp, SubLink, SubLinkType, WindowDef,
    a_const::Val,
};

use super::catalog::{Oid, TypeKind};
use super::scope::Scope;
use super::tree::{inner, kind, string, strings};
use super::value::{BOOL, Col, Flow, INT4, JSONB, NUMERIC, RECORD, TEXT, UNKNOWN, Value};
use super::walk::{Walk, Within};

/// Operators whose results are Booleans wherever they are PostgreSQL's own.
const TELLING: &[&str] = &[
    "=", "<>", "!=", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~", "~*", "!~*", "&&", "@>",
    "<@", "?", "?|", "?&", "@@", "@@@", "@?",
];

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

    fn uses_boxed(&mut self, node: &Option<Box<Node>>, scope: &Scope<'_, 'a>) -> Flow {
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
            NodeEnum::NullTest(test) => told(self.uses_boxed(&test.arg, scope)),
            NodeEnum::BooleanTest(test) => {
                told(test.arg.as_deref().map(|node| self.tells(node, scope).flow).unwrap_or_default())
            }
            NodeEnum::SubLink(link) => self.sublink(link, scope),
            NodeEnum::CaseExpr(case) => {
                let compared = case.arg.as_deref().map(|node| self.compares(node, scope));
                let mut flow = compared.as_ref().map_or(Flow::Clear, |value| value.flow.clone().computed());
                let mut result: Option<Value> = None;
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
                        let value = self.value(node, scope);
                        result = Some(self.or(result, value));
                    }
                }
                if case.arg.is_some() {
                    self.operators_of_grammar();
                }
                if let Some(node) = case.defresult.as_deref() {
                    let value = self.value(node, scope);
                    result = Some(self.or(result, value));
                }
                let result = result.unwrap_or_default();
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
                    .map(|t| if t == UNKNOWN { TEXT } else { t })
                    .and_then(|t| self.catalog.type_by_oid(t))
                    .map(|t| if t.is_array() { t.oid } else { t.array_type });
                Value { flow: element.flow, type_oid, row: None }
            }
            NodeEnum::RowExpr(row) => {
                let columns: Arc<[Col]> = row
                    .args
                    .iter()
                    .enumerate()
                    .map(|(index, node)| Col {
                        name: format!("f{}", index + 1).into(),
                        value: self.value(node, scope),
                    })
                    .collect();
                let whole = Value::whole(Arc::clone(&columns), Some(RECORD));
                self.consume(&whole);
                whole
            }
            NodeEnum::List(list) => {
                // `IN (…)`, `BETWEEN … AND …`
                Value::of(list.items.iter().fold(Flow::Clear, |flow, node| {
                    let value = self.compares(node, scope);
                    if !matches!(kind(node), Some(NodeEnum::ParamRef(_))) {
                        self.coerces(std::slice::from_ref(&value));
                    }
                    flow.both(value.flow)
                }))
            }
            NodeEnum::TypeCast(cast) => {
                let value = cast.arg.as_deref().map(|node| self.value(node, scope)).unwrap_or_default();
                let target = cast.type_name.as_ref().and_then(|name| {
                    let from = value.type_oid;
                    self.uses_modifiers(&name.typmods, scope);
                    self.cast_to(name, from.or(Some(Oid(0))))
                });
                let computed = self.consume(&value);
                Value { flow: computed, type_oid: target, row: None }
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
                let flow = self.uses_all(&xml.args, scope);
                let named = xml.named_args.iter().fold(flow, |flow, node| match kind(node) {
                    Some(NodeEnum::ResTarget(target)) => flow.both(self.uses_boxed(&target.val, scope)),
                    _ => flow.both(self.uses(node, scope)),
                });
                Value { flow: named, type_oid: Some(Oid(142)), row: None }
            }
            NodeEnum::XmlSerialize(xml) => {
                let flow = self.uses_boxed(&xml.expr, scope);
                let type_oid = xml.type_name.as_ref().and_then(|name| self.cast_to(name, Some(Oid(142))));
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
        let one = one.unwrap_or_default();
        Value { flow: one.flow.computed(), type_oid: one.type_oid, row: None }
    }

    /// One value or another.
    fn or(&mut self, before: Option<Value>, value: Value) -> Value {
        match before {
            Some(before) => {
                self.meets(&before, &value);
                before.either(value)
            }
            None => value,
        }
    }

    /// Evaluates a condition: what is no truth value is made one.
    pub(super) fn tells(&mut self, node: &Node, scope: &Scope<'_, 'a>) -> Value {
        let value = self.value(node, scope);
        self.consume(&value);
        if value.type_oid != Some(BOOL) && !matches!(kind(node), Some(NodeEnum::ParamRef(_))) {
            self.assigned_to(&value, Some(BOOL));
        }
        value
    }

    /// A name. PostgreSQL looks for a column first, then for a table as a whole row; a name after a row may be a column
    /// or a function of that row.
    fn reference(&mut self, reference: &ColumnRef, scope: &Scope<'_, 'a>) -> Value {
        self.references += 1;
        let Some(names) = strings(&reference.fields) else {
            // `t.*` as a value: the whole row.
            return self.row_reference(&reference.fields, scope);
        };
        let found = match names.as_slice() {
            [name] => scope
                .column(name)
                .or_else(|| self.argument(name, scope))
                .or_else(|| self.whole_row(None, name, scope)),
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
                    [name] => format!("column \"{name}\" does not exist"),
                    [table, _] if scope.entry(None, table).is_none() => {
                        format!("missing FROM-clause entry for table \"{table}\"")
                    }
                    several => format!("column {} does not exist", several.join(".")),
                };
                self.missing(why.clone());
                Value::of(Flow::Unknown(why))
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
        let known = entry.column(name).or_else(|| super::scope::system(entry, name));
        if known.is_some() && !entry.is_open() {
            return known;
        }
        let functions = self.catalog.functions_named(name).next().is_some();
        if functions && !entry.is_open() {
            let row = self.whole_row(schema, table, scope)?;
            self.consume(&row);
            return Some(self.call_named(&[name], &[row], scope));
        }
        known
    }

    /// A table's name as a value.
    fn whole_row(&mut self, schema: Option<&str>, name: &str, scope: &Scope<'_, 'a>) -> Option<Value> {
        let entry = scope.entry(schema, name)?;
        let type_oid = entry.relation.and_then(|r| self.row_type(r));
        let whole = match entry.all() {
            Some(columns) => {
                // A function in FROM with one column is that column.
                match (&*columns, entry.relation) {
                    ([column], None) => Value { row: None, ..column.value.clone() },
                    _ => Value::whole(columns, type_oid),
                }
            }
            None => Value { type_oid, ..entry.column("").unwrap_or_default() },
        };
        self.read_in_body(&whole);
        Some(whole)
    }

    /// In a function's body reading is using: what is read could come out in its result or its messages.
    fn read_in_body(&mut self, value: &Value) {
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

    fn parameter(&mut self, number: i32, scope: &Scope<'_, 'a>) -> Value {
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
        let mut value = base.map(|node| self.value(node, scope)).unwrap_or_default();
        for step in steps {
            match kind(step) {
                Some(NodeEnum::String(name)) => value = self.field(&value, &name.sval, scope),
                Some(NodeEnum::AIndices(indices)) => {
                    let flow = self.consume(&value);
                    let flow = flow.both(self.uses_boxed(&indices.lidx, scope));
                    let flow = flow.both(self.uses_boxed(&indices.uidx, scope));
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
        let columns = relation.columns.iter().map(|c| Col {
            name: c.name.as_str().into(),
            value: Value { flow: flow.clone(), type_oid: Some(c.type_oid), row: None },
        });
        Some(columns.collect())
    }

    fn sublink(&mut self, link: &SubLink, scope: &Scope<'_, 'a>) -> Value {
        let tested = link.testexpr.as_deref().map(|node| self.value(node, scope)).unwrap_or_default();
        let compared = link.testexpr.as_deref().map(|node| (node, tested.clone()));
        let (tested, left) = (self.consume(&tested), tested.type_oid);
        let rows = self.subquery(inner(&link.subselect), scope);
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

    fn operation(&mut self, operation: &AExpr, scope: &Scope<'_, 'a>) -> Value {
        let side =
            |walk: &mut Self, node: &Option<Box<Node>>| node.as_deref().map(|node| walk.value(node, scope));
        let left = side(self, &operation.lexpr);
        let right = side(self, &operation.rexpr);
        let mut flow = Flow::Clear;
        for (node, value) in [(&operation.lexpr, &left), (&operation.rexpr, &right)] {
            let (Some(node), Some(value)) = (node.as_deref(), value) else { continue };
            flow = flow.both(self.consume(value));
            let is_parameter = matches!(kind(node), Some(NodeEnum::ParamRef(_)));
            if !(is_parameter || matches!(kind(node), Some(NodeEnum::List(_)))) {
                self.compared(value);
                self.coerces(std::slice::from_ref(value));
            }
        }
        let (l, r) = (left.as_ref().and_then(|v| v.type_oid), right.as_ref().and_then(|v| v.type_oid));
        let result = match operation.kind() {
            AExprKind::AexprOp => self.operator(&operation.name, left.as_ref().map(|_| l), Some(r)),
            AExprKind::AexprOpAny | AExprKind::AexprOpAll => {
                let element =
                    r.and_then(|t| self.catalog.type_by_oid(t)).filter(|t| t.is_array()).map(|t| t.element);
                self.operator(&operation.name, Some(l), Some(element));
                Some(BOOL)
            }
            AExprKind::AexprDistinct
            | AExprKind::AexprNotDistinct
            | AExprKind::AexprLike
            | AExprKind::AexprIlike
            | AExprKind::AexprSimilar => {
                self.operator(&operation.name, Some(l), Some(r));
                Some(BOOL)
            }
            AExprKind::AexprIn => {
                self.operator(&operation.name, Some(l), Some(None));
                Some(BOOL)
            }
            AExprKind::AexprNullif => {
                self.operator(&operation.name, Some(l), Some(r));
                l
            }
            AExprKind::AexprBetween
            | AExprKind::AexprNotBetween
            | AExprKind::AexprBetweenSym
            | AExprKind::AexprNotBetweenSym => {
                self.operators_of_grammar();
                Some(BOOL)
            }
            AExprKind::Undefined => {
                self.unknown("an operator of a kind that is not understood");
                None
            }
        };
        Value { flow, type_oid: result, row: None }
    }

    /// Comparisons that the grammar makes by itself, by the names of their operators.
    fn operators_of_grammar(&mut self) {
        for name in ["=", "<", "<=", ">", ">="] {
            self.operators(None, name, None, None);
        }
    }

    /// An operator by name: user-made ones call functions. Its result's type where that is certain. An operand is `None`
    /// where there is none, `Some(None)` where its type is not known.
    pub(super) fn operator(
        &mut self,
        name: &[Node],
        left: Option<Option<Oid>>,
        right: Option<Option<Oid>>,
    ) -> Option<Oid> {
        let Some(q) = super::tree::qualified(name) else {
            self.unknown("an operator's name that is not understood");
            return None;
        };
        let (l, r) = (left.flatten(), right.flatten());
        let made = self.operators(q.schema, q.name, if left.is_none() { Some(Oid(0)) } else { l }, r);
        if let Some(made) = made {
            return made;
        }
        if TELLING.contains(&q.name) {
            return Some(BOOL);
        }
        self.result_of(q.name, left.map(|_| l), r)
    }

    /// What an operator of the server's own gives, where that is certain. `left` is `None` where it has none.
    fn result_of(&self, name: &str, left: Option<Option<Oid>>, right: Option<Oid>) -> Option<Oid> {
        let prefix = left.is_none();
        let (l, r) = (left.flatten().map(|t| self.base(t)), right.map(|t| self.base(t)));
        let all: Vec<&super::catalog::Operator> = self
            .catalog
            .operators_named(name)
            .filter(|o| !o.is_own() && (o.left == Oid(0)) == prefix)
            .collect();
        let exact = |l: Option<Oid>, r: Option<Oid>| {
            all.iter().find(|o| (prefix || Some(o.left) == l) && Some(o.right) == r).map(|o| o.result)
        };
        let literal = |t: Option<Oid>| t == Some(UNKNOWN);
        let becomes = |from: Option<Oid>, to: Option<Oid>| {
            literal(from)
                || from.zip(to).is_some_and(|(from, to)| self.catalog.derived().is_implicit(from, to))
        };
        if let Some(result) = exact(l, r) {
            return Some(result);
        }
        if !prefix
            && !literal(l)
            && becomes(r, l)
            && let Some(result) = exact(l, l)
        {
            return Some(result);
        }
        if !prefix
            && !literal(r)
            && becomes(l, r)
            && let Some(result) = exact(r, r)
        {
            return Some(result);
        }
        let is_array = |t: Oid| self.catalog.type_by_oid(t).is_none_or(super::catalog::Type::is_array);
        let beside = if literal(l) { r } else { l };
        if name == "||" && (literal(l) || literal(r)) && beside.is_some_and(|t| !is_array(t)) {
            return Some(TEXT);
        }
        // What all that are left give.
        let takes = |given: Option<Oid>, declared: Oid| given.is_some_and(|t| self.stands_for(t, declared));
        let left_over = all.iter().filter(|o| (prefix || takes(l, o.left)) && takes(r, o.right));
        let mut results = left_over.map(|o| self.settled(o, l, r));
        let first = results.next()??;
        results.all(|result| result == Some(first)).then_some(first)
    }

    /// An operator's result, where it may be polymorphic.
    fn settled(&self, operator: &super::catalog::Operator, l: Option<Oid>, r: Option<Oid>) -> Option<Oid> {
        let declared = self.catalog.type_by_oid(operator.result)?;
        if declared.kind != TypeKind::Pseudo {
            return Some(declared.oid);
        }
        let given = if operator.left == operator.result {
            l
        } else if operator.right == operator.result {
            r
        } else {
            None
        };
        given.filter(|t| *t != UNKNOWN)
    }

    /// A type, or of a domain what is under it.
    pub(super) fn base(&self, oid: Oid) -> Oid {
        let mut this = oid;
        for _ in 0..16 {
            match self.catalog.type_by_oid(this) {
                Some(t) if t.kind == TypeKind::Domain => this = t.base,
                _ => break,
            }
        }
        this
    }

    /// `OVER (…)`
    pub(super) fn window(&mut self, window: &WindowDef, scope: &Scope<'_, 'a>) {
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
            self.assigns(&value);
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
