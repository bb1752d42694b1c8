//! Objects that come, change and go in a catalogue that is a forecast.

use model::TableName;

use super::super::catalog::{Catalog, Column, Oid, Relation, RelationKind, Type, TypeKind};
use super::Leaves;

/// Numbers of what is made are counted down from here: the server counts up.
const LAST: u32 = u32::MAX;

impl Leaves<'_, '_> {
    /// A relation with nothing on it.
    pub(super) fn relation(name: &TableName, kind: RelationKind, columns: Vec<Column>) -> Relation {
        Relation {
            oid: Oid(0),
            schema: name.schema.clone(),
            name: name.name.clone(),
            kind,
            columns,
            definition: None,
            rules: Vec::new(),
            triggers: Vec::new(),
            row_security: None,
            checks: Vec::new(),
            index_expressions: Vec::new(),
            statistics: Vec::new(),
            parents: Vec::new(),
            children: Vec::new(),
            referenced_by: Vec::new(),
            refers_to: Vec::new(),
            table: None,
            temporary: false,
            mark: "made by the plan".to_owned(),
        }
    }

    /// Adds a relation, with a number of its own where it has none, and its row's type.
    pub(super) fn adds(&mut self, mut relation: Relation) -> Oid {
        let is_new = relation.oid == Oid(0);
        let catalog = self.now();
        if is_new {
            relation.oid = free(catalog);
        }
        let (oid, name) = (relation.oid, relation.table_name());
        let has_rows = !matches!(relation.kind, RelationKind::Sequence | RelationKind::Index);
        catalog.relation_names.entry(name.schema.clone()).or_default().insert(name.name.clone(), oid);
        catalog.relations.insert(oid, relation);
        if has_rows && is_new {
            self.adds_type(&name, TypeKind::Composite, oid);
        }
        oid
    }

    /// Adds a type of its own, and the arrays of it.
    pub(super) fn adds_type(&mut self, name: &TableName, kind: TypeKind, relation: Oid) -> Oid {
        let catalog = self.now();
        let oid = free(catalog);
        let made = |oid, name: String, kind, element, array_type, relation| Type {
            oid,
            schema: String::new(),
            name,
            kind,
            element,
            array: element != Oid(0),
            array_type,
            base: Oid(0),
            relation,
            bound: Oid(0),
            checks: Vec::new(),
            default: None,
            functions: Vec::new(),
            extension: None,
        };
        let keep = |catalog: &mut Catalog, one: Type| {
            let one = Type { schema: name.schema.clone(), ..one };
            catalog.type_names.entry(one.schema.clone()).or_default().insert(one.name.clone(), one.oid);
            catalog.types.insert(one.oid, one);
        };
        keep(catalog, made(oid, name.name.clone(), kind, Oid(0), Oid(0), relation));
        let array = free(catalog);
        keep(catalog, made(array, format!("_{}", name.name), TypeKind::Base, oid, Oid(0), Oid(0)));
        if let Some(one) = catalog.types.get_mut(&oid) {
            one.array_type = array;
        }
        oid
    }

    /// A relation goes.
    pub(super) fn goes(&mut self, oid: Oid) -> Option<Relation> {
        let catalog = self.now();
        let relation = catalog.relations.remove(&oid)?;
        if let Some(names) = catalog.relation_names.get_mut(&relation.schema) {
            names.remove(&relation.name);
        }
        Some(relation)
    }

    /// A relation becomes another one.
    pub(super) fn alters(&mut self, oid: Oid, change: impl FnOnce(&mut Relation)) {
        if let Some(relation) = self.now().relations.get_mut(&oid) {
            relation.mark.push_str(", altered by the plan");
            change(relation);
        }
    }
}

/// A number that nothing has.
fn free(catalog: &Catalog) -> Oid {
    let mut next = LAST;
    while catalog.relations.contains_key(&Oid(next)) || catalog.types.contains_key(&Oid(next)) {
        next -= 1;
    }
    Oid(next)
}
