//! Conditions that are always true or never, plainly.

use pg_query::NodeEnum;
use pg_query::protobuf::{AExprKind, BoolExprType, Node, a_const::Val};

use super::tree::kind;

/// Whether a condition is plainly always true, or never. `None` where it depends.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not plain depends")]
pub(super) fn always(node: &Node) -> Option<bool> {
    match kind(node)? {
        NodeEnum::AConst(constant) => match &constant.val {
            Some(Val::Boolval(b)) => Some(b.boolval),
            Some(Val::Sval(s)) => match s.sval.trim().to_ascii_lowercase().as_str() {
                "t" | "true" | "on" | "yes" | "1" | "y" => Some(true),
                "f" | "false" | "off" | "no" | "0" | "n" => Some(false),
                _ => None,
            },
            _ => None,
        },
        NodeEnum::TypeCast(cast) => cast.arg.as_deref().and_then(always),
        NodeEnum::BoolExpr(expression) => {
            let parts: Vec<Option<bool>> = expression.args.iter().map(always).collect();
            match expression.boolop() {
                BoolExprType::AndExpr if parts.iter().all(|p| *p == Some(true)) => Some(true),
                BoolExprType::AndExpr if parts.contains(&Some(false)) => Some(false),
                BoolExprType::OrExpr if parts.contains(&Some(true)) || complements(&expression.args) => {
                    Some(true)
                }
                BoolExprType::OrExpr if parts.iter().all(|p| *p == Some(false)) => Some(false),
                BoolExprType::NotExpr => parts.first().copied().flatten().map(|p| !p),
                _ => None,
            }
        }
        NodeEnum::AExpr(operation) => {
            let (left, right) = (operation.lexpr.as_deref()?, operation.rexpr.as_deref()?);
            let name = operation.name.last().and_then(super::tree::string)?;
            let reflexive = match operation.kind() {
                AExprKind::AexprOp => matches!(name, "=" | "<=" | ">="),
                AExprKind::AexprNotDistinct => true,
                AExprKind::AexprLike | AExprKind::AexprIlike => {
                    return kind(right)
                        .and_then(super::tree::text_constant)
                        .filter(|p| *p == "%")
                        .map(|_| true);
                }
                _ => return None,
            };
            if reflexive && same(left, right) {
                return Some(true);
            }
            let (l, r) = (kind(left).and_then(number)?, kind(right).and_then(number)?);
            let order = l.partial_cmp(&r)?;
            match name {
                "=" => Some(order.is_eq()),
                "<>" | "!=" => Some(order.is_ne()),
                "<" => Some(order.is_lt()),
                ">" => Some(order.is_gt()),
                "<=" => Some(order.is_le()),
                ">=" => Some(order.is_ge()),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `a IS NULL OR a IS NOT NULL`
fn complements(parts: &[Node]) -> bool {
    let test = |node: &Node| match kind(node) {
        Some(NodeEnum::NullTest(test)) => test.arg.clone().map(|arg| (unplaced(&arg), test.nulltesttype)),
        _ => None,
    };
    let tests: Vec<_> = parts.iter().filter_map(test).collect();
    tests.iter().any(|(a, kind)| tests.iter().any(|(b, other)| a == b && kind != other))
}

fn number(node: &NodeEnum) -> Option<f64> {
    super::tree::constant(node).and_then(|text| text.parse().ok())
}

fn same(a: &Node, b: &Node) -> bool {
    unplaced(a) == unplaced(b)
}

/// A tree as text without the places where it was written.
fn unplaced(node: &Node) -> String {
    let text = format!("{node:?}");
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("location: ") {
        kept.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-');
    }
    kept.push_str(rest);
    kept
}
