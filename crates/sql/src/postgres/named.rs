//! What a statement names beside the tables of its queries: objects of any kind, relations whose names are texts.

use model::Resource;
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ObjectType, RangeVar};

use super::bodies::own_entry;
use super::catalog::Relation;
use super::query::Rows;
use super::tree::{inner, kind, qualified, strings};
use super::walk::Walk;

impl<'a> Walk<'a> {
    /// What a statement about any object names.
    pub(super) fn object(&mut self, object_type: ObjectType, node: Option<&Node>) -> Resource {
        match node.and_then(kind) {
            Some(NodeEnum::List(list)) => match strings(&list.items).as_deref() {
                Some([schema]) if object_type == ObjectType::ObjectSchema => {
                    Resource::Schema((*schema).to_owned())
                }
                _ => match (object_type, range_of(&list.items)) {
                    (of, Some(range)) if is_relation(of) => {
                        let name = self.relation(&range).map(Relation::table_name);
                        Resource::Table(name.unwrap_or_else(|| self.new_name(&range)))
                    }
                    (
                        ObjectType::ObjectColumn
                        | ObjectType::ObjectTrigger
                        | ObjectType::ObjectRule
                        | ObjectType::ObjectPolicy
                        | ObjectType::ObjectTabconstraint,
                        _,
                    ) => {
                        let table = list.items.split_last().and_then(|(_, table)| range_of(table));
                        let relation = table.as_ref().and_then(|range| self.relation(range));
                        relation.map_or(Resource::Target, |r| Resource::Table(r.table_name()))
                    }
                    _ => Resource::Target,
                },
            },
            Some(NodeEnum::ObjectWithArgs(object)) => self.function_resource(&object.objname),
            Some(NodeEnum::String(name)) if object_type == ObjectType::ObjectSchema => {
                Resource::Schema(name.sval.clone())
            }
            _ => Resource::Target,
        }
    }

    pub(super) fn function_resource(&mut self, name: &[Node]) -> Resource {
        let Some(q) = qualified(name) else { return Resource::Target };
        let schema = match q.schema {
            Some(schema) => schema.to_owned(),
            None => self.creation_schema(),
        };
        Resource::Function(model::FunctionName { schema, name: q.name.to_owned() })
    }

    /// `nextval('shop.invoice_no')`: a relation's name as text.
    pub(super) fn relation_by_text(&mut self, text: &str) -> Option<&'a Relation> {
        let parsed = pg_query::parse(&format!("TABLE {text}"), 0).ok()?;
        let statement = parsed.protobuf.stmts.first().and_then(|raw| inner(&raw.stmt));
        let Some(NodeEnum::SelectStmt(select)) = statement else { return None };
        let Some(NodeEnum::RangeVar(range)) = select.from_clause.first().and_then(kind) else { return None };
        // Its place is one in that text.
        let range = &RangeVar { location: -1, ..range.clone() };
        if self.unsettled.is_none() && range.schemaname != "pg_temp" && self.is_absent(range) {
            // It is a value of the client's, which is not for the journal.
            self.missing("a relation that a text names does not exist".to_owned());
            return None;
        }
        self.relation(range)
    }

    /// The relation behind a `COPY`, and its columns.
    pub(super) fn copied(&mut self, range: &RangeVar, named: &[Node]) -> Option<Rows> {
        // The server says of no place where it is not there.
        let relation = self.relation(&RangeVar { location: -1, ..range.clone() })?;
        let columns = self.relation_columns(relation);
        self.reads(relation);
        let entry = super::scope::Entry { columns, ..own_entry(self, relation) };
        let all = entry.all()?;
        // Generated columns are copied only where they are named.
        let wanted: Vec<&str> = named.iter().filter_map(super::tree::string).collect();
        let kept =
            all.iter().zip(&relation.columns).filter(|(_, column)| !column.generated).map(|(c, _)| c.clone());
        if wanted.is_empty() {
            return Some(Rows::known(kept.collect()));
        }
        let mut columns = Vec::new();
        for name in wanted {
            match all.iter().find(|c| &*c.name == name) {
                Some(column) => columns.push(column.clone()),
                None => self
                    .missing(format!("column \"{name}\" of relation \"{}\" does not exist", relation.name)),
            }
        }
        Some(Rows::known(columns))
    }
}

/// A dotted name as a relation's.
pub(super) fn range_of(items: &[Node]) -> Option<RangeVar> {
    let q = qualified(items)?;
    Some(RangeVar {
        catalogname: q.database.unwrap_or_default().to_owned(),
        schemaname: q.schema.unwrap_or_default().to_owned(),
        relname: q.name.to_owned(),
        inh: true,
        relpersistence: "p".to_owned(),
        alias: None,
        location: -1,
    })
}

/// Whether objects of a kind are relations, with names among those of tables.
pub(super) fn is_relation(of: ObjectType) -> bool {
    matches!(
        of,
        ObjectType::ObjectTable
            | ObjectType::ObjectView
            | ObjectType::ObjectMatview
            | ObjectType::ObjectSequence
            | ObjectType::ObjectForeignTable
            | ObjectType::ObjectIndex
    )
}
