//! What follows from a catalogue and is asked for each statement.

use hashbrown::HashSet;

use super::{Cast, Catalog, Oid};

/// What follows from a catalogue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Derived {
    own_operators: HashSet<String>,
    /// Casts whose functions are not of `pg_catalog`.
    pub(crate) own_casts: Vec<Cast>,
    /// Casts that happen by themselves, from and to.
    implicit: HashSet<(Oid, Oid)>,
}

impl Derived {
    pub(super) fn of(catalog: &Catalog) -> Self {
        let own = |function: &Oid| catalog.function(*function).is_none_or(|f| f.schema != "pg_catalog");
        let operators = catalog.operators.iter().filter(|o| o.schema != "pg_catalog");
        let casts = catalog.casts.iter().filter(|cast| cast.function.as_ref().is_some_and(own));
        let implicit = catalog.casts.iter().filter(|cast| cast.context == 'i');
        Self {
            own_operators: operators.map(|o| o.name.clone()).collect(),
            own_casts: casts.cloned().collect(),
            implicit: implicit.map(|cast| (cast.source, cast.target)).collect(),
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
