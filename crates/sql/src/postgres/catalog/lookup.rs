//! What is looked up in a catalogue, by name and by OID.

use std::collections::BTreeSet;

use model::{ColumnName, FunctionName, TableName, Tag};

use super::{
    Cast, Catalog, Column, Derived, EventTrigger, Function, Oid, Operator, Placed, Relation, Type, TypeKind,
    queries,
};

impl Catalog {
    /// One that stands where there is none: it finds no name, and may have any tag.
    pub fn unknown() -> Self {
        Self { unread: true, ..Self::default() }
    }

    /// Whether it stands where there is none: that it has no such name says nothing of the target.
    pub fn is_unknown(&self) -> bool {
        self.unread
    }

    /// A relation by schema and name.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations.get(self.relation_names.get(schema)?.get(name)?)
    }

    /// A relation by OID.
    pub fn relation_by_oid(&self, oid: Oid) -> Option<&Relation> {
        self.relations.get(&oid)
    }

    /// All relations, in no order.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values()
    }

    /// The schemas that hold a relation of this name.
    pub(crate) fn schemas_of_relations(&self, name: &str) -> impl Iterator<Item = &str> {
        self.relation_names
            .iter()
            .filter(move |(_, names)| names.contains_key(name))
            .map(|(schema, _)| schema.as_str())
    }

    /// The schemas that hold a type of this name.
    pub(crate) fn schemas_of_types(&self, name: &str) -> impl Iterator<Item = &str> {
        self.type_names
            .iter()
            .filter(move |(_, names)| names.contains_key(name))
            .map(|(schema, _)| schema.as_str())
    }

    /// All types.
    pub(crate) fn types(&self) -> impl Iterator<Item = &Type> {
        self.types.values()
    }

    /// A type by schema and name.
    pub fn type_named(&self, schema: &str, name: &str) -> Option<&Type> {
        self.types.get(self.type_names.get(schema)?.get(name)?)
    }

    /// A type by OID.
    pub fn type_by_oid(&self, oid: Oid) -> Option<&Type> {
        self.types.get(&oid)
    }

    /// A type, and those under it: of a domain its base, of an array its element.
    pub(crate) fn under(&self, oid: Oid) -> Vec<Oid> {
        let mut all = vec![oid];
        let mut next = self.type_by_oid(oid);
        while let Some(this) = next.filter(|_| all.len() < 16) {
            let below = match this.kind {
                TypeKind::Domain => this.base,
                TypeKind::Base if this.is_array() => this.element,
                TypeKind::Base
                | TypeKind::Enum
                | TypeKind::Composite
                | TypeKind::Range
                | TypeKind::Multirange
                | TypeKind::Pseudo => break,
            };
            all.push(below);
            next = self.type_by_oid(below);
        }
        all
    }

    /// What casts that users made make of values of a type, or of what is under it.
    pub fn own_casts_from(&self, from: &Type) -> impl Iterator<Item = &Type> {
        let sources = self.under(from.oid);
        let casts = self.derived().own_casts.iter().filter(move |cast| sources.contains(&cast.source));
        casts.filter_map(|cast| self.type_by_oid(cast.target))
    }

    /// A function by OID.
    pub fn function(&self, oid: Oid) -> Option<&Function> {
        self.functions.get(&oid)
    }

    /// Every overload of a name, in all schemas.
    pub fn functions_named(&self, name: &str) -> impl Iterator<Item = &Function> {
        self.function_names.get(name).into_iter().flatten().filter_map(|oid| self.functions.get(oid))
    }

    /// Every operator of a name, in all schemas.
    pub fn operators_named(&self, name: &str) -> impl Iterator<Item = &Operator> {
        self.operator_names.get(name).into_iter().flatten().filter_map(|i| self.operators.get(*i))
    }

    /// All casts.
    pub fn casts(&self) -> &[Cast] {
        &self.casts
    }

    pub(crate) fn derived(&self) -> &Derived {
        self.derived.get_or_init(|| Derived::of(self))
    }

    /// Enabled event triggers.
    pub fn event_triggers(&self) -> &[EventTrigger] {
        &self.event_triggers
    }

    /// Whether there is a schema of this name.
    pub fn has_schema(&self, name: &str) -> bool {
        self.schemas.contains_key(name)
    }

    /// Whether a role finds names in a schema that is there, as far as that is known: else it is passed over in a search path.
    pub fn is_usable(&self, schema: &str, role: &str) -> Option<bool> {
        match schema {
            "pg_catalog" => Some(true),
            _ if role != self.reader => None,
            schema => self.schemas.get(schema).copied(),
        }
    }

    /// Whether a search path shows the same schemas to a role as by another reading, as far as that is known.
    pub fn shows_as(&self, other: &Self, role: &str) -> bool {
        let known = !role.is_empty() && role == self.reader && role == other.reader;
        known && self.schemas == other.schemas
    }

    /// Whether any column is tagged: in a database that was read some are, the system's own.
    pub fn any_tags(&self) -> bool {
        self.unread || !self.column_tags.is_empty() || !self.relation_tags.is_empty()
    }

    /// How many definitions and expressions the server could not print when it was asked: views without a definition,
    /// and texts that are `UNREADABLE`. While there are any, it is worth reading again.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Where configured columns were found so far.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }

    /// The tags of a table's column.
    pub fn tags(&self, relation: Oid, number: i16) -> &BTreeSet<Tag> {
        const NONE: &BTreeSet<Tag> = &BTreeSet::new();
        self.column_tags.get(&(relation, number)).unwrap_or(NONE)
    }

    /// The tags of a relation as a whole.
    pub fn relation_tags(&self, relation: Oid) -> &BTreeSet<Tag> {
        const NONE: &BTreeSet<Tag> = &BTreeSet::new();
        self.relation_tags.get(&relation).unwrap_or(NONE)
    }

    /// A column's name by OID and number.
    pub fn column_name(&self, relation: Oid, number: i16) -> Option<ColumnName> {
        let relation = self.relation_by_oid(relation)?;
        let column = relation.columns.iter().find(|c| c.number == number)?;
        Some(ColumnName { table: relation.table_name(), name: column.name.clone() })
    }
}

impl Relation {
    /// Its name as effects carry it.
    pub fn table_name(&self) -> TableName {
        TableName { schema: self.schema.clone(), name: self.name.clone() }
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}

impl Function {
    /// Whether it is the server's own: made by `initdb`, whose objects have the lowest OIDs. What users make in `pg_catalog` is
    /// theirs all the same.
    pub fn is_builtin(&self) -> bool {
        self.schema == "pg_catalog" && self.oid.0 < queries::FIRST_USER_OID
    }

    /// Its name as effects carry it.
    pub fn function_name(&self) -> FunctionName {
        FunctionName { schema: self.schema.clone(), name: self.name.clone() }
    }
}
