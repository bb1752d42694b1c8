//! What a statement leaves of a schema, for the statements behind it that have not run yet, and for whoever approves them.
//!
//! It is a forecast: each statement is understood anew where it runs, by what the server holds then, and goes no further where
//! that is more than was foreseen. What is not foreseen is said.

mod made;
mod tables;
#[cfg(test)]
mod tests;
mod words;

use std::sync::OnceLock;

use model::{Change, Sign, TableName};
use pg_query::NodeEnum;
use pg_query::protobuf::{DropStmt, Node, ObjectType, RangeVar, RenameStmt, ViewStmt};

use super::catalog::{Catalog, Column, Oid, Relation, RelationKind, TypeKind};
use super::parse::parse;
use super::tree::{inner, kind, qualified, string, strings};
use super::{Options, Outputs, Session, analyse};

/// What a statement leaves.
#[derive(Debug, Default)]
pub struct After {
    /// What the database holds then, where that is another one.
    pub catalogue: Option<Catalog>,
    /// What comes, goes and changes.
    pub changes: Vec<Change>,
    /// Why not all of it is foreseen.
    pub unforeseen: Option<String>,
}

/// What a text of one statement leaves of what there is.
pub fn after(text: &str, session: &Session<'_>) -> After {
    let major = session.catalog.server_version / 10_000;
    let Ok(parsed) = parse(text, major, &Options::default()) else { return After::default() };
    let mut leaves = Leaves { session, catalog: None, changes: Vec::new(), unforeseen: None };
    for node in parsed.statements.iter().filter_map(|raw| inner(&raw.stmt)) {
        leaves.statement(node);
    }
    let Leaves { session: _, catalog, changes, unforeseen } = leaves;
    After { catalogue: catalog, changes, unforeseen }
}

/// What a statement leaves, as far as it was read.
struct Leaves<'s, 'c> {
    session: &'s Session<'c>,
    catalog: Option<Catalog>,
    changes: Vec<Change>,
    unforeseen: Option<String>,
}

impl Leaves<'_, '_> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of every other statement it is said that it is not foreseen"
    )]
    fn statement(&mut self, node: &NodeEnum) {
        match node {
            NodeEnum::CreateStmt(create) => self.creates_table(create),
            NodeEnum::AlterTableStmt(alter) => self.alters_table(alter),
            NodeEnum::IndexStmt(index) => self.creates_index(index),
            NodeEnum::DropStmt(drop) => self.drops(drop),
            NodeEnum::RenameStmt(rename) => self.renames(rename),
            NodeEnum::ViewStmt(view) => self.creates_view(view),
            NodeEnum::CreateSchemaStmt(create) => {
                self.now().schemas.insert(create.schemaname.clone(), true);
                self.comes(format!("the schema {}", create.schemaname), String::new());
                if !create.schema_elts.is_empty() {
                    self.is_not_foreseen("what is made in a new schema with it");
                }
            }
            NodeEnum::CreateSeqStmt(create) => {
                if let Some(name) = self.made_as(create.sequence.as_ref(), create.if_not_exists) {
                    self.adds(Self::relation(&name, RelationKind::Sequence, Vec::new()));
                    self.comes(format!("the sequence {name}"), String::new());
                }
            }
            NodeEnum::CreateEnumStmt(create) => {
                let values: Vec<&str> = create.vals.iter().filter_map(string).collect();
                if let Some(name) = self.made_name(&create.type_name) {
                    self.adds_type(&name, TypeKind::Enum, Oid(0));
                    self.comes(format!("the type {name}"), values.join(", "));
                }
            }
            NodeEnum::AlterEnumStmt(alter) => {
                let name = strings(&alter.type_name).map(|names| names.join(".")).unwrap_or_default();
                let what = format!("the type {name}");
                let detail = if alter.old_val.is_empty() {
                    format!("has the value {}", alter.new_val)
                } else {
                    format!("{} becomes {}", alter.old_val, alter.new_val)
                };
                self.change(Sign::Changes, what, detail);
            }
            NodeEnum::SelectStmt(select) if select.into_clause.is_none() => (),
            NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_)
            | NodeEnum::TruncateStmt(_)
            | NodeEnum::VacuumStmt(_)
            | NodeEnum::ReindexStmt(_)
            | NodeEnum::ClusterStmt(_)
            | NodeEnum::RefreshMatViewStmt(_)
            | NodeEnum::LockStmt(_)
            | NodeEnum::CommentStmt(_)
            | NodeEnum::GrantStmt(_)
            | NodeEnum::GrantRoleStmt(_)
            | NodeEnum::AlterDefaultPrivilegesStmt(_)
            | NodeEnum::AlterOwnerStmt(_)
            | NodeEnum::CreateStatsStmt(_)
            | NodeEnum::ExplainStmt(_)
            | NodeEnum::VariableSetStmt(_)
            | NodeEnum::VariableShowStmt(_)
            | NodeEnum::ConstraintsSetStmt(_) => (),
            _ => self.is_not_foreseen("what it makes"),
        }
    }

    /// The catalogue as it is so far.
    fn catalog(&self) -> &Catalog {
        self.catalog.as_ref().unwrap_or(self.session.catalog)
    }

    /// The same, to be changed.
    fn now(&mut self) -> &mut Catalog {
        let catalog = self.catalog.get_or_insert_with(|| self.session.catalog.clone());
        catalog.derived = OnceLock::new();
        catalog
    }

    fn is_not_foreseen(&mut self, what: &str) {
        self.unforeseen.get_or_insert_with(|| {
            format!(
                "{what} is not foreseen: a statement behind it is stopped where it would do something else"
            )
        });
    }

    fn change(&mut self, sign: Sign, what: String, detail: String) {
        self.changes.push(Change { step: 0, sign, what, detail });
    }

    fn comes(&mut self, what: String, detail: String) {
        self.change(Sign::Comes, what, detail);
    }

    /// A relation that is there, by its name.
    fn found(&self, range: Option<&RangeVar>) -> Option<&Relation> {
        let range = range?;
        if !range.schemaname.is_empty() {
            return self.catalog().relation(&range.schemaname, &range.relname);
        }
        let mut path = self.session.search_path.iter();
        path.find_map(|schema| self.catalog().relation(schema, &range.relname))
    }

    /// Where a new object goes that is named without a schema.
    fn home(&self) -> Option<&str> {
        let mut path = self.session.search_path.iter().map(String::as_str);
        path.find(|schema| *schema != "pg_catalog" && !schema.starts_with("pg_temp"))
    }

    /// What a new relation is called; `None` where it makes none.
    fn made_as(&mut self, range: Option<&RangeVar>, if_not_exists: bool) -> Option<TableName> {
        let range = range?;
        if range.relpersistence == "t" || range.schemaname == "pg_temp" {
            self.is_not_foreseen("what is temporary");
            return None;
        }
        let schema =
            if range.schemaname.is_empty() { self.home()?.to_owned() } else { range.schemaname.clone() };
        if if_not_exists && self.catalog().relation(&schema, &range.relname).is_some() {
            return None;
        }
        Some(TableName { schema, name: range.relname.clone() })
    }

    /// The same of what is named by words.
    fn made_name(&self, words: &[Node]) -> Option<TableName> {
        let name = qualified(words)?;
        let schema = name.schema.or_else(|| self.home())?.to_owned();
        Some(TableName { schema, name: name.name.to_owned() })
    }

    /// A table, materialized view, … goes.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of every other object it is said that it is not foreseen"
    )]
    fn drops(&mut self, drop: &DropStmt) {
        let word = match drop.remove_type() {
            ObjectType::ObjectTable => "table",
            ObjectType::ObjectView => "view",
            ObjectType::ObjectMatview => "materialized view",
            ObjectType::ObjectIndex => "index",
            ObjectType::ObjectSequence => "sequence",
            _ => return self.is_not_foreseen("what goes with it"),
        };
        for node in &drop.objects {
            let Some(NodeEnum::List(list)) = kind(node) else { continue };
            let Some(name) = qualified(&list.items) else { continue };
            let range = RangeVar {
                schemaname: name.schema.unwrap_or_default().to_owned(),
                relname: name.name.to_owned(),
                ..RangeVar::default()
            };
            let Some((oid, table)) = self.found(Some(&range)).map(|r| (r.oid, r.table_name())) else {
                continue;
            };
            self.goes(oid);
            self.change(Sign::Goes, format!("the {word} {table}"), String::new());
        }
        if drop.behavior() == pg_query::protobuf::DropBehavior::DropCascade {
            self.is_not_foreseen("what goes with it by CASCADE");
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of every other name it is said that it is not foreseen"
    )]
    fn renames(&mut self, rename: &RenameStmt) {
        let Some((oid, table)) = self.found(rename.relation.as_ref()).map(|r| (r.oid, r.table_name())) else {
            return self.is_not_foreseen("a name that changes");
        };
        match rename.rename_type() {
            ObjectType::ObjectTable
            | ObjectType::ObjectView
            | ObjectType::ObjectMatview
            | ObjectType::ObjectSequence
            | ObjectType::ObjectIndex => {
                let Some(mut relation) = self.goes(oid) else { return };
                relation.name.clone_from(&rename.newname);
                let now = relation.table_name();
                self.adds(relation);
                self.change(Sign::Changes, format!("the name of {table}"), format!("becomes {now}"));
            }
            ObjectType::ObjectColumn => {
                self.alters(oid, |relation| {
                    for column in relation.columns.iter_mut().filter(|c| c.name == rename.subname) {
                        column.name.clone_from(&rename.newname);
                    }
                });
                let what = format!("the column {table}.{}", rename.subname);
                self.change(Sign::Changes, what, format!("becomes {}", rename.newname));
            }
            ObjectType::ObjectTabconstraint => {
                let what = format!("the constraint {} of {table}", rename.subname);
                self.change(Sign::Changes, what, format!("becomes {}", rename.newname));
            }
            _ => self.is_not_foreseen("a name that changes"),
        }
    }

    /// A view's columns are as its query names them; of what type they are is not known beforehand.
    fn creates_view(&mut self, view: &ViewStmt) {
        let Some(query) = inner(&view.query) else { return };
        let before = self.found(view.view.as_ref()).filter(|_| view.replace).map(|r| r.oid);
        let Some(name) = self.made_as(view.view.as_ref(), false) else { return };
        let definition = query.deparse(pg_query::DeparseOptions::default()).ok();
        let names: Option<Vec<String>> = definition.as_ref().and_then(|text| {
            let session = Session {
                catalog: self.catalog(),
                search_path: self.session.search_path,
                role: self.session.role,
                prepared: self.session.prepared,
            };
            let analysis = analyse(text, &session, &Options::default()).ok()?;
            let [statement] = analysis.statements.as_slice() else { return None };
            let Outputs::Columns(columns) = &statement.outputs else { return None };
            Some(columns.iter().map(|column| column.name.clone()).collect())
        });
        let Some(names) = names else { return self.is_not_foreseen("what a view shows") };
        let aliases: Vec<&str> = view.aliases.iter().filter_map(string).collect();
        let names = names.iter().enumerate().map(|(n, name)| aliases.get(n).copied().unwrap_or(name));
        let columns: Vec<Column> = (1..)
            .zip(names)
            .map(|(number, name)| Column {
                number,
                name: name.to_owned(),
                type_oid: Oid(0),
                type_modifier: -1,
                default: None,
                generated: false,
                identity: false,
                not_null: false,
            })
            .collect();
        let detail = columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
        if let Some(oid) = before {
            self.goes(oid);
        }
        let sign = if before.is_some() { Sign::Changes } else { Sign::Comes };
        self.change(sign, format!("the view {name}"), detail);
        let mut relation = Self::relation(&name, RelationKind::View, columns);
        relation.definition = definition;
        self.adds(relation);
    }
}
