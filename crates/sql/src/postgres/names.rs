//! The name that the server gives an output without an alias (`FigureColname` in `parse_target.c`).

use pg_query::NodeEnum;
use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{
    AExprKind, CoercionForm, MinMaxOp, Node, SqlValueFunctionOp, SubLink, SubLinkType, XmlExprOp,
};

use super::tree::{kind, string};

/// How the first column of a sub-query is called that stands as a value.
type First<'n> = dyn Fn(&SubLink) -> Option<&'n str> + 'n;

/// The name of an output in a server of this major version.
pub(super) fn of<'n>(node: &'n Node, major: u32, first: &First<'n>) -> &'n str {
    figure(node, major, first).map_or("?column?", |(name, _)| name)
}

/// A name, and whether it is so weak that a cast's type would be preferred.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other expression has no name")]
fn figure<'n>(node: &'n Node, major: u32, first: &First<'n>) -> Option<(&'n str, bool)> {
    match kind(node)? {
        NodeEnum::ColumnRef(reference) => Some((last(&reference.fields)?, false)),
        NodeEnum::AIndirection(indirection) => match last(&indirection.indirection) {
            Some(name) => Some((name, false)),
            None => indirection.arg.as_deref().and_then(|node| figure(node, major, first)),
        },
        // EXTRACT was a call of another function.
        NodeEnum::FuncCall(call) if major < 14 && call.funcformat() == CoercionForm::CoerceSqlSyntax => {
            Some((last(&call.funcname).map(|n| if n == "extract" { "date_part" } else { n })?, false))
        }
        NodeEnum::FuncCall(call) => Some((last(&call.funcname)?, false)),
        // TRUE and FALSE were casts.
        NodeEnum::AConst(constant) if major < 15 && matches!(constant.val, Some(Val::Boolval(_))) => {
            Some(("bool", true))
        }
        NodeEnum::AExpr(expression) if expression.kind() == AExprKind::AexprNullif => Some(("nullif", false)),
        NodeEnum::TypeCast(cast) => match cast.arg.as_deref().and_then(|node| figure(node, major, first)) {
            Some((name, false)) => Some((name, false)),
            weak => cast.type_name.as_ref().and_then(|t| last(&t.names)).map(|name| (name, true)).or(weak),
        },
        NodeEnum::CollateClause(collate) => {
            collate.arg.as_deref().and_then(|node| figure(node, major, first))
        }
        NodeEnum::GroupingFunc(_) => Some(("grouping", false)),
        NodeEnum::MergeSupportFunc(_) => Some(("merge_action", false)),
        NodeEnum::SubLink(link) => match link.sub_link_type() {
            SubLinkType::ExistsSublink => Some(("exists", false)),
            SubLinkType::ArraySublink => Some(("array", false)),
            // A sub-query has been read by then: its first column has a name, and be it "?column?".
            SubLinkType::ExprSublink => Some((first(link).unwrap_or("?column?"), false)),
            _ => None,
        },
        NodeEnum::CaseExpr(case) => case
            .defresult
            .as_deref()
            .and_then(|node| figure(node, major, first))
            .filter(|(_, weak)| !weak)
            .or(Some(("case", true))),
        NodeEnum::AArrayExpr(_) => Some(("array", false)),
        NodeEnum::RowExpr(_) => Some(("row", false)),
        NodeEnum::CoalesceExpr(_) => Some(("coalesce", false)),
        NodeEnum::MinMaxExpr(expression) => {
            Some((if expression.op() == MinMaxOp::IsGreatest { "greatest" } else { "least" }, false))
        }
        NodeEnum::SqlvalueFunction(function) => Some((value_function(function.op()), false)),
        NodeEnum::XmlExpr(expression) => xml(expression.op()).map(|name| (name, false)),
        NodeEnum::XmlSerialize(_) => Some(("xmlserialize", false)),
        NodeEnum::JsonParseExpr(_) => Some(("json", false)),
        NodeEnum::JsonScalarExpr(_) => Some(("json_scalar", false)),
        NodeEnum::JsonSerializeExpr(_) => Some(("json_serialize", false)),
        NodeEnum::JsonObjectConstructor(_) => Some(("json_object", false)),
        NodeEnum::JsonArrayConstructor(_) | NodeEnum::JsonArrayQueryConstructor(_) => {
            Some(("json_array", false))
        }
        NodeEnum::JsonObjectAgg(_) => Some(("json_objectagg", false)),
        NodeEnum::JsonArrayAgg(_) => Some(("json_arrayagg", false)),
        NodeEnum::JsonFuncExpr(function) => {
            use pg_query::protobuf::JsonExprOp;
            match function.op() {
                JsonExprOp::JsonExistsOp => Some(("json_exists", false)),
                JsonExprOp::JsonQueryOp => Some(("json_query", false)),
                JsonExprOp::JsonValueOp => Some(("json_value", false)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn last(nodes: &[Node]) -> Option<&str> {
    nodes.iter().rev().find_map(string)
}

fn value_function(op: SqlValueFunctionOp) -> &'static str {
    match op {
        SqlValueFunctionOp::SvfopCurrentDate => "current_date",
        SqlValueFunctionOp::SvfopCurrentTime | SqlValueFunctionOp::SvfopCurrentTimeN => "current_time",
        SqlValueFunctionOp::SvfopCurrentTimestamp | SqlValueFunctionOp::SvfopCurrentTimestampN => {
            "current_timestamp"
        }
        SqlValueFunctionOp::SvfopLocaltime | SqlValueFunctionOp::SvfopLocaltimeN => "localtime",
        SqlValueFunctionOp::SvfopLocaltimestamp | SqlValueFunctionOp::SvfopLocaltimestampN => {
            "localtimestamp"
        }
        SqlValueFunctionOp::SvfopCurrentRole => "current_role",
        SqlValueFunctionOp::SvfopCurrentUser => "current_user",
        SqlValueFunctionOp::SvfopUser => "user",
        SqlValueFunctionOp::SvfopSessionUser => "session_user",
        SqlValueFunctionOp::SvfopCurrentCatalog => "current_catalog",
        SqlValueFunctionOp::SvfopCurrentSchema => "current_schema",
        SqlValueFunctionOp::SqlvalueFunctionOpUndefined => "?column?",
    }
}

fn xml(op: XmlExprOp) -> Option<&'static str> {
    match op {
        XmlExprOp::IsXmlconcat => Some("xmlconcat"),
        XmlExprOp::IsXmlelement => Some("xmlelement"),
        XmlExprOp::IsXmlforest => Some("xmlforest"),
        XmlExprOp::IsXmlparse => Some("xmlparse"),
        XmlExprOp::IsXmlpi => Some("xmlpi"),
        XmlExprOp::IsXmlroot => Some("xmlroot"),
        XmlExprOp::IsXmlserialize => Some("xmlserialize"),
        XmlExprOp::IsDocument | XmlExprOp::Undefined => None,
    }
}
