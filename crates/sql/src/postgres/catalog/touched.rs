//! What an operation touches, each with a digest of what it is: another one where it was altered.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};
use model::{Effect, Facts, FunctionName, Resource, TableName, Touched};

use super::{Catalog, Column, Oid, Relation, RelationKind};

/// So many objects are told apart; what is beyond counts as one.
const TOLD_APART: usize = 200;

impl Catalog {
    /// The relations and functions that an operation touches, in order. The server's own are not in it: nobody alters them.
    pub fn touched(&self, facts: &Facts, effects: &[Effect]) -> Vec<Touched> {
        let mut all = BTreeMap::new();
        let mut functions: Vec<&FunctionName> = facts.functions.iter().collect();
        let mut tables: Vec<&TableName> = facts.tables.iter().collect();
        for effect in effects {
            match &effect.resource {
                Resource::Table(table) => tables.push(table),
                Resource::Column(column) => tables.push(&column.table),
                Resource::Function(function) => functions.push(function),
                Resource::Target | Resource::Schema(_) | Resource::Setting(_) => (),
            }
        }
        for name in tables {
            self.table(name, &mut all);
        }
        for name in functions {
            self.overloads(name, &mut all);
        }
        let mut all: Vec<Touched> = all.into_iter().map(|(what, mark)| Touched { what, mark }).collect();
        if all.len() > TOLD_APART {
            let mut digest = Digest::new();
            all.drain(TOLD_APART..).for_each(|one| digest.take(&(one.what, one.mark)));
            all.push(Touched { what: "something else that it touches".to_owned(), mark: digest.finish() });
        }
        all
    }

    fn table(&self, name: &TableName, all: &mut BTreeMap<String, String>) {
        let Some(relation) = self.relation(&name.schema, &name.name) else {
            // Whoever makes it meanwhile makes another operation of this one.
            all.entry(format!("the table {name}")).or_default();
            return;
        };
        // An index is its table's.
        let table = relation.table.and_then(|table| self.relation_by_oid(table)).unwrap_or(relation);
        let what = word(table);
        if table.mark.is_empty() || all.contains_key(&what) {
            return;
        }
        let mut digest = Digest::new();
        for oid in self.with_descendants(table.oid) {
            let Some(one) = self.relation_by_oid(oid) else { continue };
            digest.take(&(one.oid, &one.mark));
            for column in &one.columns {
                let Column {
                    number,
                    name,
                    type_oid,
                    type_modifier,
                    default: _,
                    generated,
                    identity,
                    not_null,
                } = column;
                digest.take(&(number, name, type_oid, type_modifier, generated, identity, not_null));
                self.take_type(column.type_oid, &mut digest);
            }
        }
        all.insert(what, digest.finish());
        for trigger in self.with_descendants(table.oid).iter().filter_map(|oid| self.relation_by_oid(*oid)) {
            for function in trigger.triggers.iter().filter_map(|t| self.function(t.function)) {
                self.overloads(&function.function_name(), all);
            }
        }
    }

    /// What users' types do with values decides what a column may hold.
    fn take_type(&self, oid: Oid, digest: &mut Digest) {
        if oid.0 < super::FIRST_USER_OID {
            return;
        }
        let mut next = self.type_by_oid(oid);
        for _ in 0..16 {
            let Some(each) = next else { return };
            digest.take(each);
            next = [each.base, each.element]
                .into_iter()
                .find(|below| below.0 >= super::FIRST_USER_OID)
                .and_then(|below| self.type_by_oid(below));
        }
    }

    fn overloads(&self, name: &FunctionName, all: &mut BTreeMap<String, String>) {
        let what = format!("the function {name}");
        if all.contains_key(&what) {
            return;
        }
        let mut digest = Digest::new();
        let mut any = false;
        let own = self.functions_named(&name.name).filter(|f| f.schema == name.schema && !f.is_builtin());
        for function in own {
            digest.take(function);
            any = true;
        }
        if any {
            all.insert(what, digest.finish());
        }
    }
}

fn word(relation: &Relation) -> String {
    let kind = match relation.kind {
        RelationKind::Table | RelationKind::Partitioned | RelationKind::Foreign | RelationKind::Index => {
            "table"
        }
        RelationKind::View | RelationKind::MaterializedView => "view",
        RelationKind::Sequence => "sequence",
        RelationKind::Composite => "type",
    };
    format!("the {kind} {}", relation.table_name())
}

struct Digest(Context);

impl Digest {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// A value with all that tells it from others, and its length.
    fn take(&mut self, value: &impl std::fmt::Debug) {
        let text = format!("{value:?}");
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    fn finish(self) -> String {
        self.0.finish().as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
            use std::fmt::Write as _;
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}
