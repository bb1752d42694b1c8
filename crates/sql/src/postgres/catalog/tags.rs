//! Which columns are tagged: the configured ones, those that share their rows, and the system's own.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use model::{ColumnName, Tag};

use super::{Catalog, Oid, Placed, RelationKind, TypeKind};
use crate::postgres::{proposals, system};

/// Puts the tags into the catalogue.
///
/// A row of a child is a row of its parents, too, so a column has the tags of the same column above it; and who reads a
/// parent reads its children, so it has those of the same column below it. A generated column has those of all that it is
/// computed from, and one that holds rows of a table those of all of its columns.
pub(super) fn spread(catalog: &mut Catalog, configured: &[(ColumnName, Tag)]) {
    let mut own = Tagged::new();
    let mut placed = place(catalog, configured);
    let held = held_where(catalog);
    for places in placed.0.values_mut() {
        follow(catalog, &held, places);
    }
    for (column, tag) in configured {
        for (oid, number) in placed.0.get(column).into_iter().flatten() {
            let there = catalog.relations.get(oid).into_iter().flat_map(|r| &r.columns);
            let Some(there) = there.into_iter().find(|c| c.number == *number) else { continue };
            for oid in catalog.with_descendants(*oid) {
                own.entry(oid).or_default().entry(there.name.clone()).or_default().insert(tag.clone());
            }
        }
    }
    catalog.placed = placed;
    generated(catalog, &mut own);
    let mut seen = own.clone();
    for (oid, columns) in &own {
        for above in ancestors(catalog, *oid) {
            let entry = seen.entry(above).or_default();
            for (name, tags) in columns {
                entry.entry_ref(name.as_str()).or_default().extend(tags.iter().cloned());
            }
        }
    }
    held_in_rows(catalog, &mut seen);
    let mut tagged = HashMap::new();
    for (oid, mut columns) in seen {
        for column in catalog.relations.get(&oid).into_iter().flat_map(|r| &r.columns) {
            if let Some(tags) = columns.remove(&column.name) {
                tagged.insert((oid, column.number), tags);
            }
        }
    }
    catalog.column_tags = tagged;
    catalog.relation_tags.clear();
    built_in(catalog);
}

/// Tags by relation and name of the column.
type Tagged = HashMap<Oid, HashMap<String, BTreeSet<Tag>>>;

/// Where configured columns are and were: by their names now, and by number in relations in which they were found before.
fn place(catalog: &Catalog, configured: &[(ColumnName, Tag)]) -> Placed {
    let mut placed = Placed::default();
    for (column, _) in configured {
        let places = placed.0.entry(column.clone()).or_default();
        places.extend(catalog.placed.0.get(column).into_iter().flatten());
        let relation = catalog.relation(&column.table.schema, &column.table.name);
        let found = relation.and_then(|r| Some((r.oid, r.column(&column.name)?.number)));
        places.extend(found);
    }
    placed
}

/// The columns that are or hold rows of each relation.
fn held_where(catalog: &Catalog) -> HashMap<Oid, Vec<(Oid, i16)>> {
    let mut held: HashMap<Oid, Vec<(Oid, i16)>> = HashMap::new();
    for (oid, relation) in &catalog.relations {
        if is_system(&relation.schema) || matches!(relation.kind, RelationKind::View) {
            continue;
        }
        for column in &relation.columns {
            if let Some(rows) = rows_in(catalog, column.type_oid) {
                held.entry(rows).or_default().push((*oid, column.number));
            }
        }
    }
    held
}

/// Adds where else the values of columns are: the same column of children, columns that are generated of it, and those that hold
/// its whole rows. They stay there when a child is a child no more, or a column is not generated any more.
fn follow(catalog: &Catalog, held: &HashMap<Oid, Vec<(Oid, i16)>>, places: &mut BTreeSet<(Oid, i16)>) {
    let mut next: Vec<(Oid, i16)> = places.iter().copied().collect();
    while let Some((oid, number)) = next.pop() {
        let Some(relation) = catalog.relations.get(&oid) else { continue };
        let Some(column) = relation.columns.iter().find(|c| c.number == number) else { continue };
        let below = relation.children.iter().filter_map(|child| {
            let child = catalog.relations.get(child)?;
            Some((child.oid, child.column(&column.name)?.number))
        });
        let generated = relation.columns.iter().filter(|other| {
            let expression = other.default.as_ref().filter(|_| other.generated);
            expression.is_some_and(|expression| names_in(expression).contains(column.name.as_str()))
        });
        let generated = generated.map(|other| (oid, other.number));
        let holding = held.get(&oid).into_iter().flatten().copied();
        for place in below.chain(generated).chain(holding) {
            if places.insert(place) {
                next.push(place);
            }
        }
    }
}

/// Gives columns whose values are or hold rows of a tagged table all of that table's tags: arrays, domains, ranges and
/// composites of them, too.
fn held_in_rows(catalog: &Catalog, seen: &mut Tagged) {
    while !seen.is_empty() {
        let mut found = Vec::new();
        for (oid, relation) in &catalog.relations {
            if is_system(&relation.schema) || matches!(relation.kind, RelationKind::View) {
                continue;
            }
            for column in &relation.columns {
                let Some(rows) = rows_in(catalog, column.type_oid) else { continue };
                let tags: BTreeSet<Tag> = seen
                    .get(&rows)
                    .into_iter()
                    .flat_map(|columns| columns.values().flatten().cloned())
                    .collect();
                let known = seen.get(oid).and_then(|columns| columns.get(&column.name));
                if !tags.iter().all(|tag| known.is_some_and(|known| known.contains(tag))) {
                    found.push((*oid, column.name.clone(), tags));
                }
            }
        }
        if found.is_empty() {
            return;
        }
        for (oid, name, tags) in found {
            seen.entry(oid).or_default().entry(name).or_default().extend(tags);
        }
    }
}

/// The relation whose rows a value of a type is or holds.
fn rows_in(catalog: &Catalog, oid: Oid) -> Option<Oid> {
    let mut oid = oid;
    // A domain may be over an array of a domain, and so on.
    for _ in 0..32 {
        let each = catalog.types.get(&oid)?;
        oid = match each.kind {
            TypeKind::Composite => return Some(each.relation),
            TypeKind::Domain => each.base,
            TypeKind::Range | TypeKind::Multirange => each.bound,
            TypeKind::Base if each.is_array() => each.element,
            TypeKind::Base | TypeKind::Enum | TypeKind::Pseudo => return None,
        };
    }
    None
}

/// Gives generated columns the tags of the columns that their expressions name. None is computed from another.
fn generated(catalog: &Catalog, own: &mut Tagged) {
    let mut found = Vec::new();
    for (oid, columns) in &*own {
        let all = catalog.relations.get(oid).into_iter().flat_map(|r| &r.columns);
        for column in all.filter(|column| column.generated) {
            let Some(expression) = &column.default else { continue };
            let named = names_in(expression);
            let sources = columns.iter().filter(|(name, _)| named.contains(name.as_str()));
            let tags: BTreeSet<Tag> = sources.flat_map(|(_, tags)| tags.iter().cloned()).collect();
            if !tags.is_empty() {
                found.push((*oid, column.name.clone(), tags));
            }
        }
    }
    for (oid, name, tags) in found {
        for below in catalog.with_descendants(oid) {
            own.entry(below).or_default().entry(name.clone()).or_default().extend(tags.iter().cloned());
        }
    }
}

/// Every word of an expression that could be a column's name, as `pg_get_expr` prints it. Words in strings are among them: a
/// tag too many hides, one too few shows.
pub(crate) fn names_in(expression: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
    let mut names: BTreeSet<String> =
        expression.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let mut rest = expression;
    while let Some((_, behind)) = rest.split_once('"') {
        let mut name = String::new();
        let mut signs = behind.char_indices().peekable();
        let mut end = behind.len();
        while let Some((at, sign)) = signs.next() {
            match (sign, signs.peek()) {
                ('"', Some((_, '"'))) => {
                    signs.next();
                    name.push('"');
                }
                ('"', _) => {
                    end = at + 1;
                    break;
                }
                (other, _) => name.push(other),
            }
        }
        names.insert(name);
        rest = behind.get(end..).unwrap_or_default();
    }
    names
}

fn ancestors(catalog: &Catalog, bottom: Oid) -> Vec<Oid> {
    let mut all = vec![bottom];
    let mut next = 0;
    while let Some(oid) = all.get(next).copied() {
        next += 1;
        for parent in catalog.relations.get(&oid).into_iter().flat_map(|r| &r.parents) {
            if !all.contains(parent) {
                all.push(*parent);
            }
        }
    }
    all
}

/// The system's own copies of data, and what it keeps secret.
fn built_in(catalog: &mut Catalog) {
    for relation in catalog.relations.values() {
        if let Some(tag) = system::relation_tag(&relation.schema, &relation.name) {
            catalog.relation_tags.entry(relation.oid).or_default().insert(Tag(tag.to_owned()));
        }
        for column in &relation.columns {
            if let Some(tag) = system::column_tag(&relation.schema, &relation.name, &column.name) {
                let tags = catalog.column_tags.entry((relation.oid, column.number)).or_default();
                tags.insert(Tag(tag.to_owned()));
            }
        }
    }
}

/// Tags that names and types suggest, for columns of tables outside the system's schemas, in the order of their names.
/// Partitions and children follow their parents, views their definitions.
pub(super) fn propose(catalog: &Catalog) -> Vec<(ColumnName, Tag)> {
    let mut proposed = Vec::new();
    for relation in catalog.relations.values() {
        let holds_rows =
            matches!(relation.kind, RelationKind::Table | RelationKind::Partitioned | RelationKind::Foreign);
        if !holds_rows || relation.temporary || is_system(&relation.schema) {
            continue;
        }
        for column in &relation.columns {
            let of_parent = |parent| {
                catalog
                    .relations
                    .get(parent)
                    .is_some_and(|r: &super::Relation| r.column(&column.name).is_some())
            };
            if relation.parents.iter().any(of_parent) {
                continue;
            }
            let type_name = values_of(catalog, column.type_oid);
            if let Some(tag) = proposals::propose(&relation.schema, &relation.name, &column.name, &type_name)
            {
                let name = ColumnName { table: relation.table_name(), name: column.name.clone() };
                proposed.push((name, Tag(tag.to_owned())));
            }
        }
    }
    proposed.sort();
    proposed
}

fn is_system(schema: &str) -> bool {
    schema == "pg_catalog" || schema == "information_schema"
}

/// The name by which a type's values are judged: that of a domain's base, of an array's element.
fn values_of(catalog: &Catalog, oid: Oid) -> String {
    let (mut oid, mut brackets) = (oid, "");
    // A domain may be over an array of a domain, and so on.
    for _ in 0..32 {
        let Some(each) = catalog.types.get(&oid) else { break };
        match each.kind {
            TypeKind::Domain => oid = each.base,
            TypeKind::Base if each.is_array() => (oid, brackets) = (each.element, "[]"),
            TypeKind::Base
            | TypeKind::Enum
            | TypeKind::Composite
            | TypeKind::Range
            | TypeKind::Multirange
            | TypeKind::Pseudo => return format!("{}{brackets}", each.name),
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::names_in;

    #[test]
    fn an_expression_names_columns_as_the_server_prints_them() {
        for (expression, named) in [
            ("lower(email)", &["email"][..]),
            ("(((first_name)::text || ' '::text) || (last_name)::text)", &["first_name", "last_name"]),
            ("(\"E Mail\" || \"a\"\"b\")", &["E Mail", "a\"b"]),
            ("(profile ->> 'it''s'::text)", &["profile"]),
            ("COALESCE(straße, ''::text)", &["straße"]),
        ] {
            let names = names_in(expression);
            assert!(named.iter().all(|name| names.contains(*name)), "{expression}: {names:?}");
        }
        assert!(!names_in("lower(email)").contains("e"));
    }
}
