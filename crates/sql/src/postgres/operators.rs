//! Operators: what they call, and the types of their results.

use pg_query::NodeEnum;
use pg_query::protobuf::{AExpr, AExprKind, Node};

use super::catalog::{Oid, TypeKind};
use super::scope::Scope;
use super::tree::{inner, kind, qualified};
use super::value::{BOOL, Col, Flow, INT4, NUMERIC, TEXT, UNKNOWN, Value};
use super::walk::Walk;

/// Operators between two operands whose results are Booleans wherever they are PostgreSQL's own.
const TELLING: &[&str] = &[
    "=", "<>", "!=", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~", "~*", "!~*", "@>", "<@",
    "?", "?|", "?&", "@@", "@@@", "@?",
];

impl<'a> Walk<'a> {
    pub(super) fn operation(&mut self, operation: &AExpr, scope: &Scope<'_, 'a>) -> Value {
        let side =
            |walk: &mut Self, node: &Option<Box<Node>>| node.as_deref().map(|node| walk.value(node, scope));
        let left = side(self, &operation.lexpr);
        let right = side(self, &operation.rexpr);
        // What stands beside a text is made one.
        let is_concatenation = qualified(&operation.name).is_none_or(|q| q.name == "||");
        let mut flow = Flow::Clear;
        for (node, value, beside) in [(&operation.lexpr, &left, &right), (&operation.rexpr, &right, &left)] {
            let (Some(node), Some(value)) = (node.as_deref(), value) else { continue };
            flow = flow.both(self.consume(value));
            let is_parameter = self.takes_its_type(node, value);
            if !is_parameter && is_concatenation && self.may_be_text(beside.as_ref()) {
                self.written_as_text(value);
            }
            if !(is_parameter || matches!(kind(node), Some(NodeEnum::List(_)))) {
                self.compared(value);
                self.coerces(std::slice::from_ref(value));
            }
        }
        let (l, r) = (left.as_ref().and_then(|v| v.type_oid), right.as_ref().and_then(|v| v.type_oid));
        let result = match operation.kind() {
            AExprKind::AexprOp | AExprKind::AexprDistinct | AExprKind::AexprNotDistinct
                if both_rows(operation) =>
            {
                self.operator_of_rows(&operation.name, left.as_ref(), right.as_ref());
                Some(BOOL)
            }
            AExprKind::AexprOp => self.operator(&operation.name, left.as_ref().map(|_| l), Some(r)),
            AExprKind::AexprOpAny | AExprKind::AexprOpAll => {
                let element =
                    r.and_then(|t| self.catalog.type_by_oid(t)).filter(|t| t.is_array()).map(|t| t.element);
                self.operator(&operation.name, Some(l), Some(element));
                Some(BOOL)
            }
            AExprKind::AexprLike | AExprKind::AexprIlike | AExprKind::AexprSimilar => {
                self.operator(&operation.name, Some(l), Some(r))
            }
            AExprKind::AexprDistinct | AExprKind::AexprNotDistinct => {
                self.operator(&operation.name, Some(l), Some(r));
                Some(BOOL)
            }
            AExprKind::AexprIn => {
                self.operator(&operation.name, Some(l), Some(None));
                Some(BOOL)
            }
            AExprKind::AexprNullif => {
                self.operator(&operation.name, Some(l), Some(r));
                self.of_nullif(l, r)
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

    /// Rows that are written out are compared column by column, each by the operator of its types.
    fn operator_of_rows(&mut self, name: &[Node], left: Option<&Value>, right: Option<&Value>) {
        let row = |value: Option<&Value>| value.and_then(|value| value.row.clone());
        let (Some(left), Some(right)) = (row(left), row(right)) else {
            self.operator(name, Some(None), Some(None));
            return;
        };
        for (l, r) in left.iter().zip(right.iter()) {
            let known = |column: &Col| column.value.type_oid;
            self.operator(name, Some(known(l)), Some(known(r)));
        }
    }

    fn may_be_text(&self, value: Option<&Value>) -> bool {
        value.and_then(|value| value.type_oid).is_none_or(|oid| self.stands_for(oid, TEXT))
    }

    /// Comparisons that the grammar makes by itself, by the names of their operators.
    pub(super) fn operators_of_grammar(&mut self) {
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
        let Some(q) = qualified(name) else {
            self.unknown("an operator's name that is not understood");
            return None;
        };
        let (l, r) = (left.flatten(), right.flatten());
        let made = self.operators(q.schema, q.name, if left.is_none() { Some(Oid(0)) } else { l }, r);
        if let Some(made) = made {
            return made;
        }
        if left.is_some() && TELLING.contains(&q.name) {
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
        if let Some(result) = exact(l, r) {
            return Some(result);
        }
        // A literal is first taken for what stands beside it.
        if !prefix
            && (literal(l) != literal(r))
            && let Some(result) = exact(if literal(l) { r } else { l }, if literal(r) { l } else { r })
        {
            return Some(result);
        }
        if let (false, Some(both)) = (prefix, l.zip(r).and_then(|(l, r)| numbers(l, r)))
            && let Some(result) = exact(Some(both), Some(both))
        {
            return Some(result);
        }
        let is_array = |t: Oid| self.catalog.type_by_oid(t).is_none_or(super::catalog::Type::is_array);
        let beside = if literal(l) { r } else { l };
        if name == "||" && (literal(l) || literal(r)) && beside.is_some_and(|t| t == UNKNOWN || !is_array(t))
        {
            return Some(TEXT);
        }
        // Two arrays of one type.
        if let (false, "||", Some(both)) = (prefix, name, l.filter(|l| Some(*l) == r && *l != UNKNOWN))
            && self.catalog.type_by_oid(both).is_some_and(super::catalog::Type::is_array)
        {
            return Some(both);
        }
        // What all that are left give.
        let takes = |given: Option<Oid>, declared: Oid| given.is_some_and(|t| self.stands_for(t, declared));
        let fits = |o: &&super::catalog::Operator| (prefix || takes(l, o.left)) && takes(r, o.right);
        let left_over: Vec<&super::catalog::Operator> = all.into_iter().filter(fits).collect();
        let mut results = left_over.iter().map(|o| self.settled(o, l, r));
        let first = results.next()?;
        let same = results.all(|result| result == first);
        first.filter(|_| same).or_else(|| self.given_by(&left_over, l, r, prefix))
    }

    /// An operator's result, where it may be polymorphic.
    pub(super) fn settled(
        &self,
        operator: &super::catalog::Operator,
        l: Option<Oid>,
        r: Option<Oid>,
    ) -> Option<Oid> {
        let declared = self.catalog.type_by_oid(operator.result)?;
        if declared.kind != TypeKind::Pseudo {
            return Some(declared.oid);
        }
        self.polymorphic(declared.oid, &[operator.left, operator.right], &[l, r])
    }

    /// `NULLIF` gives its first value as the operator `=` takes it.
    fn of_nullif(&self, left: Option<Oid>, right: Option<Oid>) -> Option<Oid> {
        let (l, r) = (left?, right?);
        match (l == UNKNOWN, r == UNKNOWN) {
            (true, true) => return Some(TEXT),
            (false, false) if l != r => return self.of_nullif_between(l, r),
            (true, false) | (false, true) | (false, false) => (),
        }
        let taken = if l == UNKNOWN { r } else { l };
        let mut equals = self.catalog.operators_named("=");
        equals.any(|o| o.left == taken && o.right == taken).then_some(taken)
    }

    /// The same of two types: by the operator between them, or between what both are taken for. One that somebody made might
    /// be taken instead.
    fn of_nullif_between(&self, left: Oid, right: Oid) -> Option<Oid> {
        let of_the_servers =
            |oid: Oid| self.catalog.type_by_oid(oid).is_none_or(|t| t.schema == "pg_catalog");
        let mut own = self.catalog.operators_named("=").filter(|o| o.is_own());
        if own.any(|o| of_the_servers(o.left) || of_the_servers(o.right)) {
            return None;
        }
        let equal = |l: Oid, r: Oid| self.catalog.operators_named("=").any(|o| o.left == l && o.right == r);
        if equal(left, right) {
            return Some(left);
        }
        numbers(left, right).filter(|both| equal(*both, *both))
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
}

fn both_rows(operation: &AExpr) -> bool {
    let is_row = |node: &Option<Box<Node>>| matches!(inner(node), Some(NodeEnum::RowExpr(_)));
    is_row(&operation.lexpr) && is_row(&operation.rexpr)
}

/// What two numbers of different types are taken for between the server's own operators.
fn numbers(l: Oid, r: Oid) -> Option<Oid> {
    const EXACT: [Oid; 3] = [Oid(21), INT4, Oid(20)];
    const REAL: Oid = Oid(700);
    const DOUBLE: Oid = Oid(701);
    let is = |t: Oid| EXACT.contains(&t) || t == NUMERIC;
    match (l, r) {
        (NUMERIC, other) | (other, NUMERIC) if EXACT.contains(&other) => Some(NUMERIC),
        (REAL | DOUBLE, other) | (other, REAL | DOUBLE) if is(other) => Some(DOUBLE),
        _ => None,
    }
}
