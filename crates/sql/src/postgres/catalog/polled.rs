//! What moves whenever the catalogue does.
//!
//! A sum of hashes, of each row's identity and of the transaction that wrote it: unlike the greatest transaction id, it
//! also sees one that began early and ended late, and unlike a counter of the statistics it is never late. Relations are
//! hashed by what is read of them instead, for TRUNCATE, REINDEX and REFRESH write their rows without changing that.
//! Temporary objects are no part of it, or every session that makes one would have the catalogue read again.

use super::queries::short;

/// A catalogue's rows: its name, what identifies a row, and which rows count.
struct Rows {
    catalogue: &'static str,
    key: &'static str,
    counted: &'static str,
}

const fn rows(catalogue: &'static str, key: &'static str, counted: &'static str) -> Rows {
    Rows { catalogue, key, counted }
}

const OID: &str = "x.oid::pg_catalog.int8";
const ALL: &str = "true";

/// All but `pg_class` and `pg_attribute`.
const CATALOGUES: [Rows; 26] = [
    rows("pg_namespace", OID, "NOT (x.oid =. ANY (SELECT s.oid FROM temporary_schemas AS s))"),
    // Who may look for names in a schema, as a member of whom it was granted to.
    rows(
        "pg_auth_members",
        "pg_catalog.hashint8extended(x.roleid::pg_catalog.int8, x.member::pg_catalog.int8)",
        ALL,
    ),
    rows("pg_attrdef", OID, "NOT (x.adrelid =. ANY (SELECT t.oid FROM temporary AS t))"),
    rows("pg_rewrite", OID, "NOT (x.ev_class =. ANY (SELECT t.oid FROM temporary AS t))"),
    rows("pg_trigger", OID, "NOT (x.tgrelid =. ANY (SELECT t.oid FROM temporary AS t))"),
    rows("pg_constraint", OID, "NOT (x.connamespace =. ANY (SELECT s.oid FROM temporary_schemas AS s))"),
    rows(
        "pg_index",
        "x.indexrelid::pg_catalog.int8",
        "NOT (x.indrelid =. ANY (SELECT t.oid FROM temporary AS t))",
    ),
    rows(
        "pg_partitioned_table",
        "x.partrelid::pg_catalog.int8",
        "NOT (x.partrelid =. ANY (SELECT t.oid FROM temporary AS t))",
    ),
    rows("pg_policy", OID, "NOT (x.polrelid =. ANY (SELECT t.oid FROM temporary AS t))"),
    rows(
        "pg_inherits",
        "pg_catalog.hashint8extended(x.inhrelid::pg_catalog.int8, x.inhparent::pg_catalog.int8)",
        "NOT (x.inhrelid =. ANY (SELECT t.oid FROM temporary AS t))",
    ),
    rows("pg_type", OID, "NOT (x.typnamespace =. ANY (SELECT s.oid FROM temporary_schemas AS s))"),
    rows("pg_range", "x.rngtypid::pg_catalog.int8", ALL),
    rows("pg_proc", OID, "NOT (x.pronamespace =. ANY (SELECT s.oid FROM temporary_schemas AS s))"),
    rows("pg_aggregate", "x.aggfnoid::pg_catalog.oid::pg_catalog.int8", ALL),
    rows("pg_language", OID, ALL),
    rows("pg_operator", OID, "NOT (x.oprnamespace =. ANY (SELECT s.oid FROM temporary_schemas AS s))"),
    rows("pg_cast", OID, ALL),
    rows("pg_opclass", OID, "x.oid >=. {user}"),
    rows("pg_amop", OID, "x.oid >=. {user}"),
    rows("pg_amproc", OID, "x.oid >=. {user}"),
    rows("pg_statistic_ext", OID, "NOT (x.stxrelid =. ANY (SELECT t.oid FROM temporary AS t))"),
    rows("pg_event_trigger", OID, ALL),
    rows("pg_extension", OID, ALL),
    rows("pg_foreign_table", "x.ftrelid::pg_catalog.int8", ALL),
    rows("pg_foreign_server", OID, ALL),
    rows(
        "pg_depend",
        "x.objid::pg_catalog.int8",
        "x.refclassid =. 'pg_catalog.pg_extension'::pg_catalog.regclass::pg_catalog.oid AND x.deptype =. 'e'",
    ),
];

/// One row, one column.
pub(super) fn signature() -> String {
    let mut columns = vec![RELATIONS.to_owned(), VIEWS.to_owned(), COLUMNS.to_owned()];
    columns.extend(CATALOGUES.iter().map(|Rows { catalogue, key, counted }| {
        format!("(SELECT {} FROM pg_catalog.{catalogue} AS x WHERE {counted})", sum(key))
    }));
    short(&format!("{TEMPORARY} SELECT pg_catalog.concat_ws(' ', {})", columns.join(", ")))
}

/// Every change of a catalogue is committed by a transaction that has an id. The greatest that has ended moves with each;
/// while none is under way, none of a lower id can end later.
pub(super) const PULSE: &str = "SELECT CASE WHEN pg_catalog.pg_snapshot_xmin(s.now) \
    OPERATOR(pg_catalog.=) pg_catalog.pg_snapshot_xmax(s.now) THEN s.now::pg_catalog.text END \
    FROM (SELECT pg_catalog.pg_current_snapshot() AS now) AS s";

/// The number of rows and the sum of their hashes.
fn sum(key: &str) -> String {
    format!(
        "pg_catalog.concat_ws(':', pg_catalog.count(*), \
         pg_catalog.sum(pg_catalog.hash_array_extended(ARRAY[x.xmin], {key})))"
    )
}

const TEMPORARY: &str = "WITH temporary AS MATERIALIZED (SELECT c.oid FROM pg_catalog.pg_class AS c \
    WHERE c.relpersistence =. 't'), \
    temporary_schemas AS MATERIALIZED (SELECT n.oid FROM pg_catalog.pg_namespace AS n \
    WHERE pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_temp_') \
    OR pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_toast_temp_'))";

const RELATIONS: &str = "(SELECT pg_catalog.concat_ws(':', pg_catalog.count(*), \
    pg_catalog.sum(pg_catalog.hashnameextended(c.relname, pg_catalog.hashint8extended(\
    c.relnamespace::pg_catalog.int8, pg_catalog.hashcharextended(c.relkind, \
    pg_catalog.int8pl(CASE WHEN c.relforcerowsecurity THEN 8589934592 ELSE 0 END, \
    CASE WHEN c.relrowsecurity THEN c.oid::pg_catalog.int8 ELSE pg_catalog.int8um(c.oid::pg_catalog.int8) END)))))) \
    FROM pg_catalog.pg_class AS c WHERE c.relpersistence <>. 't' AND c.relkind <>. 't')";

/// Whose rights a view reads with is one of its options. Of tables, owners are in their types' rows, too, and options decide
/// nothing.
const VIEWS: &str = "(SELECT pg_catalog.sum(pg_catalog.hashtextextended(\
    pg_catalog.array_to_string(c.reloptions, ','), c.oid::pg_catalog.int8)) FROM pg_catalog.pg_class AS c \
    WHERE c.relkind =. 'v' AND c.relpersistence <>. 't')";

/// Looking each column's relation up would take longer than all the rest, so those of temporary relations, which are few,
/// are summed up apart; what is left of the difference is the rest's.
const COLUMNS: &str = "(SELECT pg_catalog.concat_ws(':', \
    pg_catalog.int8mi(pg_catalog.count(*), (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute AS y \
    WHERE y.attrelid =. ANY (ARRAY(SELECT t.oid FROM temporary AS t)))), \
    pg_catalog.numeric_sub(pg_catalog.sum(pg_catalog.hash_array_extended(ARRAY[x.xmin], \
    pg_catalog.int8pl(pg_catalog.int8mul(x.attrelid::pg_catalog.int8, 2048), x.attnum::pg_catalog.int8))), \
    COALESCE((SELECT pg_catalog.sum(pg_catalog.hash_array_extended(ARRAY[y.xmin], \
    pg_catalog.int8pl(pg_catalog.int8mul(y.attrelid::pg_catalog.int8, 2048), y.attnum::pg_catalog.int8))) \
    FROM pg_catalog.pg_attribute AS y WHERE y.attrelid =. ANY (ARRAY(SELECT t.oid FROM temporary AS t))), 0))) \
    FROM pg_catalog.pg_attribute AS x)";
