//! Types and expressions of definitions, as they are written.

use pg_query::NodeEnum;
use pg_query::protobuf::{LimitOption, Node, ResTarget, SelectStmt, SetOperation, TypeName};

use super::super::catalog::{Catalog, Oid};
use super::super::tree::{integer_constant, kind, qualified, strings};
use super::Leaves;

/// What `serial` and its like stand for.
const SERIAL: [(&str, &str); 6] = [
    ("serial", "int4"),
    ("serial4", "int4"),
    ("bigserial", "int8"),
    ("serial8", "int8"),
    ("smallserial", "int2"),
    ("serial2", "int2"),
];

/// What types are called by people.
const CALLED: [(&str, &str); 9] = [
    ("int2", "smallint"),
    ("int4", "integer"),
    ("int8", "bigint"),
    ("float4", "real"),
    ("float8", "double precision"),
    ("bool", "boolean"),
    ("bpchar", "char"),
    ("timestamptz", "timestamp with time zone"),
    ("timetz", "time with time zone"),
];

/// Whether a type is an integer that counts by itself.
pub(super) fn serial(name: &TypeName) -> Option<&'static str> {
    let words = strings(&name.names)?;
    let [word] = words.as_slice() else { return None };
    SERIAL.iter().find(|(known, _)| known == word).map(|(_, stands_for)| *stands_for)
}

/// A type as it is written: `varchar(20)`, `shop.kind[]`.
pub(super) fn type_name(name: &TypeName) -> String {
    let words = strings(&name.names).unwrap_or_default();
    let words = match words.as_slice() {
        ["pg_catalog", word] => called(word).to_owned(),
        words => words.join("."),
    };
    let modifier = |node: &Node| {
        let node = kind(node)?;
        let constant = if let NodeEnum::AConst(_) = node { integer_constant(node) } else { None };
        constant.map(|n| n.to_string())
    };
    let modifiers: Vec<String> = name.typmods.iter().filter_map(modifier).collect();
    let modifiers = if modifiers.is_empty() { String::new() } else { format!("({})", modifiers.join(",")) };
    format!("{words}{modifiers}{}", "[]".repeat(name.array_bounds.len()))
}

fn called(word: &str) -> &str {
    CALLED.iter().find(|(known, _)| *known == word).map_or(word, |(_, called)| called)
}

/// A type that is there, as people call it.
pub(super) fn type_words(catalog: &Catalog, oid: Oid) -> String {
    catalog.type_by_oid(oid).map_or_else(String::new, |known| called(&known.name).to_owned())
}

/// An expression as SQL.
pub(super) fn expression(node: &NodeEnum) -> Option<String> {
    let value = Some(Box::new(Node { node: Some(node.clone()) }));
    let target = NodeEnum::ResTarget(Box::new(ResTarget { val: value, ..ResTarget::default() }));
    let select = SelectStmt {
        target_list: vec![Node { node: Some(target) }],
        // The library ends the process at a number that its enumerations do not have.
        limit_option: LimitOption::Default.into(),
        op: SetOperation::SetopNone.into(),
        ..SelectStmt::default()
    };
    let text = NodeEnum::SelectStmt(Box::new(select)).deparse(pg_query::DeparseOptions::default()).ok()?;
    Some(text.strip_prefix("SELECT ")?.to_owned())
}

impl Leaves<'_, '_> {
    /// The type that a name stands for, where there is one.
    pub(super) fn type_of(&self, name: &TypeName) -> Option<Oid> {
        let words = qualified(&name.names)?;
        let word = serial(name).unwrap_or(words.name);
        let catalog = self.catalog();
        let found = match words.schema {
            Some(schema) => catalog.type_named(schema, word),
            None => {
                let path =
                    std::iter::once("pg_catalog").chain(self.session.search_path.iter().map(String::as_str));
                path.into_iter().find_map(|schema| catalog.type_named(schema, word))
            }
        }?;
        Some(if name.array_bounds.is_empty() { found.oid } else { found.array_type })
    }
}
