//! What moves whenever the catalogue does.

use super::queries::short;

/// One row, one column.
pub(super) fn sql(_version: u32) -> String {
    short("SELECT pg_catalog.count(*) FROM pg_catalog.pg_class AS c")
}
