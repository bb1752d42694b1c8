//! How far a change of a table's rows goes by itself: partitions, foreign keys that follow, triggers.

use std::collections::BTreeSet;

use model::TableName;

use super::{Cascade, Catalog, Oid, Relation};

/// What changes with a table's rows.
#[derive(Debug, Default)]
pub struct Reach<'a> {
    found: Vec<&'a Relation>,
    triggers: bool,
}

impl Reach<'_> {
    /// Whether triggers run, or rules, which may write anything.
    pub fn any_triggers(&self) -> bool {
        self.triggers
    }

    /// The tables whose rows may change: the table itself, its partitions and children, and those that follow by foreign keys.
    pub fn tables(&self) -> impl Iterator<Item = TableName> + '_ {
        self.found.iter().map(|relation| relation.table_name())
    }
}

impl Catalog {
    /// A table with its partitions and children.
    pub fn parts(&self, table: &TableName) -> Vec<TableName> {
        let Some(top) = self.relation(&table.schema, &table.name) else { return Vec::new() };
        let below = self.with_descendants(top.oid);
        below.iter().filter_map(|oid| self.relation_by_oid(*oid)).map(|r| r.table_name()).collect()
    }

    /// How far a change of a table's rows goes by itself, whatever the change.
    pub fn reach(&self, table: &TableName) -> Reach<'_> {
        let mut reach = Reach::default();
        let Some(top) = self.relation(&table.schema, &table.name) else { return reach };
        let mut seen: BTreeSet<Oid> = BTreeSet::new();
        let mut next = vec![top.oid];
        while let Some(oid) = next.pop() {
            for below in self.with_descendants(oid) {
                let Some(relation) = self.relation_by_oid(below).filter(|_| seen.insert(below)) else {
                    continue;
                };
                reach.triggers |= !relation.triggers.is_empty() || !relation.rules.is_empty();
                reach.found.push(relation);
                let follows = |cascade| !matches!(cascade, Cascade::Nothing);
                let keys = relation.referenced_by.iter();
                next.extend(keys.filter(|k| follows(k.on_delete) || follows(k.on_update)).map(|k| k.table));
            }
        }
        reach
    }
}
