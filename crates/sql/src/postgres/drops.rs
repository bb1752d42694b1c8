//! `DROP`: what goes, and what goes with it.

use model::{Action, Effect, Resource};
use pg_query::NodeEnum;
use pg_query::protobuf::{DropBehavior, DropStmt, Node, ObjectType, RangeVar};

use super::catalog::{Oid, Relation, RelationKind};
use super::named::is_relation;
use super::named::range_of;
use super::tree::kind;
use super::walk::Walk;

/// Why something goes that is not named.
const WITH_IT: &str = "CASCADE drops what depends on what is dropped";

impl<'a> Walk<'a> {
    pub(super) fn drop(&mut self, drop: &DropStmt) {
        self.defines();
        let cascades = drop.behavior() == DropBehavior::DropCascade;
        for object in &drop.objects {
            let named = kind(object)
                .and_then(|o| if let NodeEnum::List(list) = o { Some(&list.items) } else { None });
            let relations = is_relation(drop.remove_type());
            if relations && let Some(range) = named.and_then(|items| range_of(items)) {
                if drop.missing_ok && self.is_absent(&range) {
                    let name = self.new_name(&range);
                    self.does(Action::Drop, Resource::Table(name));
                } else {
                    self.on_range(&range, Action::Drop);
                    let Some(relation) = self.relation(&range) else { continue };
                    self.leaves(relation);
                    if cascades {
                        self.falls_with(relation);
                    }
                }
                continue;
            }
            let resource = self.object(drop.remove_type(), Some(object));
            if let Resource::Table(name) = &resource
                && let Some(relation) = self.catalog.relation(&name.schema, &name.name)
            {
                // What hangs on a partitioned table hangs on its partitions, too.
                let mut below = Vec::new();
                self.descendants(relation, &mut |child| below.push(child));
                for child in below {
                    let via = Some(relation.table_name());
                    let effect = Effect { via, ..self.on(Action::Drop, child) };
                    self.effect(effect);
                }
            }
            self.does(Action::Drop, resource);
            if cascades {
                self.falls_with_object(drop.remove_type(), object);
            }
        }
    }

    pub(super) fn is_absent(&self, range: &RangeVar) -> bool {
        match range.schemaname.as_str() {
            "" => {
                self.names.path.iter().all(|schema| self.catalog.relation(schema, &range.relname).is_none())
            }
            schema => self.catalog.relation(schema, &range.relname).is_none(),
        }
    }

    /// A partition takes its rows out of the table above it.
    fn leaves(&mut self, relation: &'a Relation) {
        for parent in &relation.parents {
            let parent = self.catalog.relation_by_oid(*parent);
            if let Some(parent) = parent.filter(|p| p.kind == RelationKind::Partitioned) {
                let effect = self.on(Action::Alter, parent).because("a partition of it goes");
                self.effect(effect);
            }
        }
    }

    /// `CASCADE`: views that read a relation, keys that refer to it, columns of its row's type.
    fn falls_with(&mut self, relation: &'a Relation) {
        let mut fallen = vec![relation];
        self.descendants(relation, &mut |child| fallen.push(child));
        let mut next = 0;
        while let Some(this) = fallen.get(next).copied() {
            next += 1;
            for view in self.catalog.relations().filter(|view| is_view(view) && reads(view, this)) {
                if !fallen.iter().any(|f| f.oid == view.oid) {
                    self.falls(Action::Drop, view);
                    fallen.push(view);
                }
            }
            for key in &this.referenced_by {
                if let Some(child) = self.catalog.relation_by_oid(key.table) {
                    self.falls(Action::Alter, child);
                }
            }
            self.columns_fall(|walk, of| {
                walk.catalog.type_by_oid(of).is_some_and(|t| t.relation == this.oid)
            });
        }
    }

    /// The same of what is no relation. Dependents of functions and the like are not in the catalogue that is read.
    fn falls_with_object(&mut self, object_type: ObjectType, object: &Node) {
        match (object_type, kind(object)) {
            (ObjectType::ObjectSchema, Some(NodeEnum::String(name))) => {
                let catalog = self.catalog;
                let inside = catalog.relations().filter(|r| r.schema == name.sval && is_named(r));
                for relation in inside {
                    self.falls(Action::Drop, relation);
                    self.falls_with(relation);
                }
            }
            (ObjectType::ObjectType | ObjectType::ObjectDomain, Some(NodeEnum::TypeName(name))) => {
                let Some(gone) = self.type_named(name) else { return };
                self.columns_fall(|_, of| of == gone);
            }
            _ => self.does(Action::Drop, Resource::Target),
        }
    }

    /// Columns whose types hold such a type.
    fn columns_fall(&mut self, gone: impl Fn(&Self, Oid) -> bool) {
        for relation in self.catalog.relations().filter(|r| is_named(r)) {
            let holds = |oid| self.held_in(oid).into_iter().any(|of| gone(self, of));
            if relation.columns.iter().any(|column| holds(column.type_oid)) {
                self.falls(Action::Drop, relation);
            }
        }
    }

    fn falls(&mut self, action: Action, relation: &'a Relation) {
        let effect = Effect { why: Some(WITH_IT.to_owned()), ..self.on(action, relation) };
        self.effect(effect);
    }
}

fn is_view(relation: &Relation) -> bool {
    matches!(relation.kind, RelationKind::View | RelationKind::MaterializedView)
}

/// Whether it is a relation that statements name.
fn is_named(relation: &Relation) -> bool {
    !matches!(relation.kind, RelationKind::Index | RelationKind::Composite)
}

/// Whether a view's query, as the server printed it, names a relation.
fn reads(view: &Relation, relation: &Relation) -> bool {
    let Some(definition) = &view.definition else { return false };
    let written = |name: &str| [name.to_owned(), format!("\"{}\"", name.replace('"', "\"\""))];
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let is_in = |words: &str| {
        definition.match_indices(words).any(|(at, _)| {
            let (before, behind) = (definition.get(..at), definition.get(at + words.len()..));
            !before.unwrap_or_default().ends_with(is_part) && !behind.unwrap_or_default().starts_with(is_part)
        })
    };
    written(&relation.name).iter().any(|name| {
        // What is temporary is found by every path, and written without a schema.
        (relation.temporary && is_in(name))
            || written(&relation.schema).iter().any(|schema| is_in(&format!("{schema}.{name}")))
    })
}
