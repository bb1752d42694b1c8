//! What follows from a catalogue and is asked for each statement.

use hashbrown::HashSet;

use super::{Cast, Catalog, Family, Oid, TypeKind};
use crate::postgres::functions::{Class, Origin, classify, is_reviewed};

/// What follows from a catalogue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Derived {
    own_operators: HashSet<String>,
    /// Casts whose functions are not of `pg_catalog`.
    pub(crate) own_casts: Vec<Cast>,
    /// Casts that happen by themselves, from and to.
    implicit: HashSet<(Oid, Oid)>,
    /// Operator families with functions that do something, or of which nothing is known.
    pub(crate) families: Vec<Family>,
    /// Ranges that have functions which users made.
    pub(crate) own_ranges: Vec<Oid>,
}

impl Derived {
    pub(super) fn of(catalog: &Catalog) -> Self {
        let own = |function: &Oid| catalog.function(*function).is_none_or(|f| !f.is_builtin());
        let operators = catalog.operators.iter().filter(|o| o.is_own());
        let casts = catalog.casts.iter().filter(|cast| cast.function.as_ref().is_some_and(own));
        let implicit = catalog.casts.iter().filter(|cast| cast.context == 'i');
        Self {
            own_operators: operators.map(|o| o.name.clone()).collect(),
            own_casts: casts.cloned().collect(),
            implicit: implicit.map(|cast| (cast.source, cast.target)).collect(),
            families: families(catalog),
            own_ranges: own_ranges(catalog),
        }
    }

    /// Whether a value of the one type becomes one of the other by itself.
    pub(crate) fn is_implicit(&self, source: Oid, target: Oid) -> bool {
        self.implicit.contains(&(source, target))
    }

    /// Whether an operator of this name is not of `pg_catalog`.
    pub(crate) fn has_own_operator(&self, name: &str) -> bool {
        self.own_operators.contains(name)
    }
}

/// Families without what is known to do nothing: members of extensions in C that people looked at.
fn families(catalog: &Catalog) -> Vec<Family> {
    let major = catalog.server_version / 10_000;
    let does_nothing = |function: &Oid| {
        catalog.function(*function).is_some_and(|f| {
            let is_code = matches!(f.language.as_str(), "c" | "internal");
            let extension = f.extension.as_deref().filter(|e| is_code && is_reviewed(e));
            extension.is_some_and(|e| {
                // Support functions of indexes are on no list: nobody can call them.
                matches!(classify(Origin::Extension(e), &f.name, major), None | Some(Class::Harmless))
            })
        })
    };
    let mut families = catalog.families.clone();
    families.iter_mut().for_each(|family| family.functions.retain(|f| !does_nothing(f)));
    families.retain(|family| !family.functions.is_empty());
    families
}

fn own_ranges(catalog: &Catalog) -> Vec<Oid> {
    let ranges = catalog.types.values().filter(|t| matches!(t.kind, TypeKind::Range | TypeKind::Multirange));
    let mut own: Vec<Oid> = ranges.filter(|t| !t.functions.is_empty()).map(|t| t.oid).collect();
    own.sort_unstable();
    own
}
