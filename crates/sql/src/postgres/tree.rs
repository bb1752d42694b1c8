//! Small questions to the parse tree.

use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{DefElem, Node, TypeName};
use pg_query::{NodeEnum, protobuf};

/// What a node is; `None` for an absent one, which the grammar leaves in lists where something is optional.
pub(super) fn kind(node: &Node) -> Option<&NodeEnum> {
    node.node.as_ref()
}

/// The same of an optional node.
pub(super) fn inner(node: &Option<Box<Node>>) -> Option<&NodeEnum> {
    node.as_deref().and_then(kind)
}

/// A node that is a name.
pub(super) fn string(node: &Node) -> Option<&str> {
    if let Some(NodeEnum::String(s)) = kind(node) { Some(&s.sval) } else { None }
}

/// A dotted name. `None` where something in it is no name (`*`, a subscript).
pub(super) fn strings(nodes: &[Node]) -> Option<Vec<&str>> {
    nodes.iter().map(string).collect()
}

/// A dotted name's last part, and its schema; a third part is a database.
pub(super) struct Qualified<'n> {
    pub database: Option<&'n str>,
    pub schema: Option<&'n str>,
    pub name: &'n str,
}

/// A name of one to three parts.
pub(super) fn qualified(nodes: &[Node]) -> Option<Qualified<'_>> {
    let parts = strings(nodes)?;
    Some(match parts.as_slice() {
        [name] => Qualified { database: None, schema: None, name },
        [schema, name] => Qualified { database: None, schema: Some(schema), name },
        [database, schema, name] => Qualified { database: Some(database), schema: Some(schema), name },
        _ => return None,
    })
}

/// A string constant.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other node is no constant")]
pub(super) fn text_constant(node: &NodeEnum) -> Option<&str> {
    match node {
        NodeEnum::AConst(protobuf::AConst { val: Some(Val::Sval(s)), .. }) => Some(&s.sval),
        NodeEnum::String(s) => Some(&s.sval),
        NodeEnum::TypeCast(cast) if keeps_texts(cast) => inner(&cast.arg).and_then(text_constant),
        _ => None,
    }
}

/// Whether a constant is the same text behind a cast: types with a length cut it, others spell it anew.
fn keeps_texts(cast: &protobuf::TypeCast) -> bool {
    let Some(name) = &cast.type_name else { return false };
    let plain = name.typmods.is_empty() && name.array_bounds.is_empty() && !name.setof;
    let known = type_words(name).filter(|words| matches!(words.schema, None | Some("pg_catalog")));
    plain && known.is_some_and(|words| matches!(words.name, "text" | "varchar" | "regclass" | "bool"))
}

/// An integer constant.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other node is no constant")]
pub(super) fn integer_constant(node: &NodeEnum) -> Option<i32> {
    match node {
        NodeEnum::AConst(protobuf::AConst { val: Some(Val::Ival(i)), .. }) => Some(i.ival),
        NodeEnum::Integer(i) => Some(i.ival),
        _ => None,
    }
}

/// A constant as text, as `SET` takes it.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other node is no constant")]
pub(super) fn constant(node: &NodeEnum) -> Option<String> {
    match node {
        NodeEnum::AConst(c) => match c.val.as_ref()? {
            Val::Sval(s) => Some(s.sval.clone()),
            Val::Ival(i) => Some(i.ival.to_string()),
            Val::Fval(f) => Some(f.fval.clone()),
            Val::Boolval(b) => Some(if b.boolval { "on" } else { "off" }.to_owned()),
            Val::Bsval(b) => Some(b.bsval.clone()),
        },
        NodeEnum::String(s) => Some(s.sval.clone()),
        NodeEnum::Integer(i) => Some(i.ival.to_string()),
        NodeEnum::Float(f) => Some(f.fval.clone()),
        NodeEnum::Boolean(b) => Some(if b.boolval { "on" } else { "off" }.to_owned()),
        NodeEnum::TypeCast(cast) if keeps_texts(cast) => inner(&cast.arg).and_then(constant),
        _ => None,
    }
}

/// Whether a Boolean option is on: absent values are `true`, as in `(ANALYZE)`.
pub(super) fn is_on(option: &DefElem) -> bool {
    let Some(value) = inner(&option.arg) else { return true };
    constant(value).is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "true" | "on" | "1" | "yes"))
}

/// The options of a list.
pub(super) fn options(nodes: &[Node]) -> impl Iterator<Item = &DefElem> {
    nodes.iter().filter_map(|node| {
        if let Some(NodeEnum::DefElem(element)) = kind(node) { Some(&**element) } else { None }
    })
}

/// A type's name as it was written, without `pg_catalog`.
pub(super) fn type_words(name: &TypeName) -> Option<Qualified<'_>> {
    qualified(&name.names)
}
