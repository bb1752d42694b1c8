//! From lineage to a masking plan: which columns of a result are replaced, and by what.
//!
//! Two opinions are heard: the lineage that was computed from the statement, and the table and column that the server
//! names in its RowDescription. The second may only add sources, never remove one.

use std::collections::BTreeSet;
use std::sync::Arc;

use masking::{ColumnShape, HashKey, Masker, Plan, Strategy, TypeKind};
use model::{ColumnName, Tag};
use sql::postgres::catalog::{Catalog, Oid};
use sql::postgres::{Lineage, OutputColumn, Outputs, Statement};
use wire::postgres::backend::Field;

use super::conversation::Conversation;
use super::operation::Operation;
use super::request::RequestKind;

/// `timestamp with time zone`
const TIMESTAMPTZ: u32 = 1184;

/// How values of this target are masked.
pub(super) struct Masks {
    /// The key of keyed hashes.
    pub key: Arc<HashKey>,
    /// Whether the principal could store values of its own: then it sees no hash, since those of its own would tell others.
    pub stores: bool,
}

/// Whether nothing that an operation returns depends on a tagged column.
pub(super) fn is_clear(operation: &Operation) -> bool {
    operation.statements.iter().all(|s| match &s.outputs {
        Outputs::None => true,
        Outputs::Columns(columns) => columns.iter().all(|c| matches!(c.lineage, Lineage::Clear)),
        Outputs::Opaque(_) => false,
    })
}

/// Why rows that certainly come of a statement cannot be masked. Of what is not understood, or names what is not there, the
/// server may say something else first, unless an earlier statement of the same message has `defined` something.
pub(super) fn unmasked(statement: &Statement, defined: bool) -> Option<String> {
    match &statement.outputs {
        Outputs::None => None,
        Outputs::Columns(columns) => columns.iter().find_map(|column| match &column.lineage {
            Lineage::Unknown(why) => Some(why.clone()),
            Lineage::Clear | Lineage::Plain(_) | Lineage::Derived(_) => None,
        }),
        Outputs::Opaque(why) => {
            let is_certain = (defined || !statement.unresolved) && statement.facts.kind != Statement::UNKNOWN;
            is_certain.then(|| why.clone())
        }
    }
}

/// Why nothing of an operation's result could be shown, as it is asked for.
pub(super) fn unshown<'o>(operation: &'o Operation, kind: &RequestKind) -> Option<&'o str> {
    let unmasked = operation.unmasked.as_deref();
    match kind {
        // It only gives a statement a name.
        RequestKind::Parse { .. } => None,
        RequestKind::FunctionCall if is_clear(operation) => None,
        RequestKind::FunctionCall => {
            Some(unmasked.unwrap_or("a function that is called by its number shows what is tagged as it is"))
        }
        RequestKind::Query | RequestKind::Bind { .. } | RequestKind::Execute { .. } => unmasked,
    }
}

/// The plan of a result whose columns the server has described; `None` when nothing is masked.
pub(super) fn rows(
    masks: &Masks,
    outputs: Option<&Outputs>,
    fields: &[Field],
    formats: Option<&[i16]>,
    reveal: &BTreeSet<ColumnName>,
    c: &Conversation,
) -> Result<Option<Plan>, &'static str> {
    if !c.understanding.may_mask() {
        return Ok(None);
    }
    let catalogue = c.understanding.catalogue();
    let columns = match outputs {
        Some(Outputs::Columns(columns)) if columns.len() == fields.len() => columns,
        Some(Outputs::Columns(_)) => return Err("the result has other columns than the statement says"),
        Some(Outputs::None) if fields.is_empty() => return Ok(None),
        Some(Outputs::None) => return Err("rows of a statement that has none"),
        Some(Outputs::Opaque(_)) | None => return Err("the origin of the result's columns is not certain"),
    };
    let mut maskers = Vec::with_capacity(fields.len());
    for (index, (column, field)) in columns.iter().zip(fields).enumerate() {
        let mut tagged = hidden(column, reveal)?;
        tagged.extend(second_opinion(catalogue, field, reveal));
        let format = formats.map_or(field.format, |formats| format_of(formats, index));
        let shape = (field.type_oid, field.type_modifier, format);
        // The server names a table only of what is a column of it alone, with nothing of the statement's own among it.
        let stored = field.table != 0 && matches!(column.lineage, Lineage::Plain(_));
        let masker = masker(masks, c, &tagged, shape, stored);
        let computed = matches!(column.lineage, Lineage::Derived(_));
        maskers.push(if computed { masker.map(Masker::of_computed) } else { masker });
    }
    Ok(some_plan(maskers))
}

/// The plan of a `COPY … TO STDOUT`, whose columns the server does not describe: types come from the catalogue.
pub(super) fn copy(
    masks: &Masks,
    outputs: &Outputs,
    count: usize,
    binary: bool,
    reveal: &BTreeSet<ColumnName>,
    c: &Conversation,
) -> Result<Option<Plan>, &'static str> {
    // Rows without columns show nothing.
    if !c.understanding.may_mask() || count == 0 {
        return Ok(None);
    }
    let Outputs::Columns(columns) = outputs else {
        return Err("the origin of the COPY's columns is not certain");
    };
    if columns.len() != count {
        return Err("the COPY has other columns than the statement says");
    }
    let mut maskers = Vec::with_capacity(count);
    for column in columns {
        let tagged = hidden(column, reveal)?;
        let masker = match &column.lineage {
            _ if tagged.is_empty() => None,
            Lineage::Plain(sources) => {
                // Several sources of different types: NULL is a value of each.
                let types: BTreeSet<_> = sources.iter().map(|s| (s.type_oid, s.type_modifier)).collect();
                let (oid, modifier) = match types.first() {
                    Some(only) if types.len() == 1 => *only,
                    _ => (0, -1),
                };
                masker(masks, c, &tagged, (oid, modifier, i16::from(binary)), false)
            }
            Lineage::Derived(_) | Lineage::Clear | Lineage::Unknown(_) => {
                masker(masks, c, &tagged, (0, -1, i16::from(binary)), false)
            }
        };
        maskers.push(masker);
    }
    Ok(some_plan(maskers))
}

fn some_plan(maskers: Vec<Option<Masker>>) -> Option<Plan> {
    maskers.iter().any(Option::is_some).then(|| Plan::new(maskers))
}

/// What must be masked of a column's sources.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tagged {
    pub tags: BTreeSet<Tag>,
    /// Of what type its values are where they are stored; 0 where they are computed of them.
    type_oid: u32,
}

/// The sources for which a column must be masked: those that may not be revealed.
pub(super) fn hidden(
    column: &OutputColumn,
    reveal: &BTreeSet<ColumnName>,
) -> Result<BTreeSet<Tagged>, &'static str> {
    let (sources, is_plain) = match &column.lineage {
        Lineage::Clear => return Ok(BTreeSet::new()),
        Lineage::Plain(sources) => (sources, true),
        Lineage::Derived(sources) => (sources, false),
        Lineage::Unknown(_) => return Err("the origin of a result column is not certain"),
    };
    let tagged = sources.iter().filter(|s| !s.tags.is_empty() && !reveal.contains(&s.column));
    let type_oid = |oid| if is_plain { oid } else { 0 };
    Ok(tagged.map(|s| Tagged { tags: s.tags.clone(), type_oid: type_oid(s.type_oid) }).collect())
}

fn second_opinion(catalogue: &Catalog, field: &Field, reveal: &BTreeSet<ColumnName>) -> Option<Tagged> {
    let tags = catalogue.tags(Oid(field.table), field.attribute);
    let name = catalogue.column_name(Oid(field.table), field.attribute);
    let hidden = !tags.is_empty() && !name.is_some_and(|name| reveal.contains(&name));
    hidden.then(|| Tagged { tags: tags.clone(), type_oid: field.type_oid })
}

/// How a column is masked: as each of its sources would be, where that is one way. A way that leaves something of a value in
/// sight is for values as they are stored: of what was made of them it would leave something else, as a time zone does with
/// a date's year.
fn strategy(c: &Conversation, tagged: &BTreeSet<Tagged>, type_oid: u32) -> Strategy {
    let base = |oid| match c.understanding.catalogue().type_by_oid(Oid(oid)) {
        Some(domain) if domain.base.0 != 0 => domain.base.0,
        Some(_) | None => oid,
    };
    let each = tagged.iter().map(|source| {
        let usual = || Strategy::for_tags(&source.tags, type_oid);
        let wanted = c.understanding.source().strategy(&source.tags).unwrap_or_else(usual);
        // Its year is another one in another time zone, which is the session's to set.
        let moves = base(source.type_oid) != type_oid || type_oid == TIMESTAMPTZ;
        if wanted == Strategy::Generalize && moves {
            Strategy::Null
        } else if wanted == Strategy::Partial && source.type_oid == 0 {
            Strategy::Redact
        } else {
            wanted
        }
    });
    let mut ways: Vec<Strategy> = each.collect();
    ways.dedup();
    match ways.as_slice() {
        [one] => *one,
        several if several.contains(&Strategy::Null) => Strategy::Null,
        _ => Strategy::Redact,
    }
}

/// `shape` is a type, its modifier and the format; `stored` whether all values of it are of a column, and none is of the
/// statement's own: a hash of one that was chosen would be a dictionary of the others.
fn masker(
    masks: &Masks,
    c: &Conversation,
    tagged: &BTreeSet<Tagged>,
    (type_oid, modifier, format): (u32, i32, i16),
    stored: bool,
) -> Option<Masker> {
    if tagged.is_empty() {
        return None;
    }
    let kind = type_kind(c.understanding.catalogue(), Oid(type_oid));
    let mut strategy = strategy(c, tagged, type_oid);
    if strategy == Strategy::Hash && (masks.stores || !stored) {
        strategy = Strategy::Redact;
    }
    Some(Masker::new(strategy, ColumnShape { type_oid, modifier, format, kind }, &masks.key))
}

fn type_kind(catalogue: &Catalog, oid: Oid) -> TypeKind {
    use sql::postgres::catalog::TypeKind as Kind;
    let Some(found) = catalogue.type_by_oid(oid) else { return TypeKind::Unknown };
    match found.kind {
        Kind::Base if found.element.0 != 0 && found.is_array() => TypeKind::Array(found.element.0),
        Kind::Base => TypeKind::Base,
        Kind::Enum => TypeKind::Enum,
        Kind::Domain => TypeKind::Domain(found.base.0),
        Kind::Composite => TypeKind::Composite,
        Kind::Range | Kind::Multirange => TypeKind::Range,
        Kind::Pseudo => TypeKind::Unknown,
    }
}

/// Bind's rule: no format means text for all, one is for all, otherwise one for each.
fn format_of(formats: &[i16], index: usize) -> i16 {
    match formats {
        [] => 0,
        [all] => *all,
        each => each.get(index).copied().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::format_of;

    #[test]
    fn one_format_is_for_all_columns_and_none_is_text() {
        assert_eq!((format_of(&[], 3), format_of(&[1], 3), format_of(&[0, 1], 1)), (0, 1, 1));
    }
}
