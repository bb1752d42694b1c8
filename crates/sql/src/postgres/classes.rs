//! What comparing, sorting and hashing call: functions of operator families that users made, which no statement names, and a
//! range's own functions.

use pg_query::NodeEnum;
use pg_query::protobuf::Node;

use super::catalog::{Oid, Relation, Type, TypeKind};
use super::query::Rows;
use super::tree::kind;
use super::value::{RECORD, TEXT, UNKNOWN, Value};
use super::walk::Walk;

impl<'a> Walk<'a> {
    /// A value is compared with others, sorted or hashed, or may be.
    pub(super) fn compared(&mut self, value: &Value) {
        if self.compares_freely() {
            return;
        }
        match &value.row {
            Some(row) => row.iter().for_each(|column| self.compared(&column.value)),
            None => self.compared_type(value.type_oid),
        }
    }

    /// The same of an expression's value. A parameter takes its type from what it stands beside.
    pub(super) fn compared_in(&mut self, node: &Node, value: &Value) {
        if !matches!(kind(node), Some(NodeEnum::ParamRef(_))) || value.type_oid.is_some() {
            self.compared(value);
        }
    }

    /// The same of all columns of rows.
    pub(super) fn compared_rows(&mut self, rows: &Rows) {
        match &rows.columns {
            Some(columns) => {
                if self.spend(1 + columns.len() / 4) {
                    columns.iter().for_each(|column| self.compared(&column.value));
                }
            }
            None => self.compared_type(None),
        }
    }

    /// The same of a relation's columns: its indexes, keys and partitions hold them.
    pub(super) fn compared_columns(&mut self, relation: &'a Relation) {
        if !self.compares_freely() {
            relation.columns.iter().for_each(|column| self.compared_type(Some(column.type_oid)));
        }
    }

    /// The same of a type; where that is not certain, of every type.
    pub(super) fn compared_type(&mut self, type_oid: Option<Oid>) {
        if self.compares_freely() {
            return;
        }
        let of = match type_oid {
            Some(UNKNOWN) => Some(TEXT),
            // Rows of which nothing is known, and what has no certain type.
            Some(RECORD) | None => None,
            Some(oid) => Some(oid),
        };
        let frame = self.frame();
        if !self.compared.insert((of.unwrap_or_default(), frame)) {
            return;
        }
        let catalog = self.catalog;
        let inside = of.map(|oid| self.held_in(oid));
        let mut functions: Vec<Oid> = Vec::new();
        for family in &catalog.derived().families {
            let may_hold = |oid: &Oid| family.types.iter().any(|declared| self.stands_for(*oid, *declared));
            if inside.as_ref().is_none_or(|inside| inside.iter().any(may_hold)) {
                functions.extend(&family.functions);
            }
        }
        for range in &catalog.derived().own_ranges {
            if inside.as_ref().is_none_or(|inside| inside.contains(range)) {
                functions.extend(catalog.type_by_oid(*range).into_iter().flat_map(|t| &t.functions));
            }
        }
        for function in functions {
            self.call_oid(function);
        }
    }

    /// Whether nothing that users made takes part in any comparison.
    fn compares_freely(&self) -> bool {
        let derived = self.catalog.derived();
        derived.families.is_empty() && derived.own_ranges.is_empty()
    }

    /// A type and all that its values are made of.
    pub(super) fn held_in(&self, oid: Oid) -> Vec<Oid> {
        let mut all = vec![oid];
        let mut next = 0;
        while let Some(this) = all.get(next).and_then(|oid| self.catalog.type_by_oid(*oid)) {
            next += 1;
            let parts: Vec<Oid> = match this.kind {
                TypeKind::Domain => vec![this.base],
                TypeKind::Range | TypeKind::Multirange => vec![this.bound],
                TypeKind::Composite => self.attribute_types(this),
                TypeKind::Base if this.is_array() => vec![this.element],
                TypeKind::Base | TypeKind::Enum | TypeKind::Pseudo => Vec::new(),
            };
            let known = |part: &Oid| self.catalog.type_by_oid(*part).is_some();
            let new: Vec<Oid> = parts.into_iter().filter(|part| known(part) && !all.contains(part)).collect();
            all.extend(new);
        }
        all
    }

    fn attribute_types(&self, composite: &Type) -> Vec<Oid> {
        let relation = self.catalog.relation_by_oid(composite.relation);
        relation.map(|r| r.columns.iter().map(|c| c.type_oid).collect()).unwrap_or_default()
    }
}

/// Functions of the server's own that take values of any type and neither compare nor hash them.
pub(super) fn never_compares(name: &str) -> bool {
    const NAMES: [&str; 26] = [
        "any_value",
        "array_agg",
        "array_append",
        "array_cat",
        "array_length",
        "array_prepend",
        "array_to_json",
        "array_to_string",
        "cardinality",
        "concat",
        "concat_ws",
        "count",
        "first_value",
        "format",
        "lag",
        "last_value",
        "lead",
        "nth_value",
        "num_nonnulls",
        "num_nulls",
        "pg_typeof",
        "quote_nullable",
        "row_to_json",
        "to_json",
        "to_jsonb",
        "unnest",
    ];
    NAMES.binary_search(&name).is_ok() || name.starts_with("json_") || name.starts_with("jsonb_")
}
