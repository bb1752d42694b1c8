//! OIDs of PostgreSQL's built-in types (`src/include/catalog/pg_type.dat`), as far as masks know values of them.

pub(crate) const BOOL: u32 = 16;
pub(crate) const BYTEA: u32 = 17;
pub(crate) const CHAR: u32 = 18;
pub(crate) const NAME: u32 = 19;
pub(crate) const INT8: u32 = 20;
pub(crate) const INT2: u32 = 21;
pub(crate) const INT4: u32 = 23;
pub(crate) const TEXT: u32 = 25;
pub(crate) const OID: u32 = 26;
pub(crate) const JSON: u32 = 114;
pub(crate) const XML: u32 = 142;
pub(crate) const CIDR: u32 = 650;
pub(crate) const FLOAT4: u32 = 700;
pub(crate) const FLOAT8: u32 = 701;
pub(crate) const MACADDR8: u32 = 774;
pub(crate) const MACADDR: u32 = 829;
pub(crate) const INET: u32 = 869;
pub(crate) const BPCHAR: u32 = 1042;
pub(crate) const VARCHAR: u32 = 1043;
pub(crate) const DATE: u32 = 1082;
pub(crate) const TIMESTAMP: u32 = 1114;
pub(crate) const TIMESTAMPTZ: u32 = 1184;
pub(crate) const BIT: u32 = 1560;
pub(crate) const VARBIT: u32 = 1562;
pub(crate) const NUMERIC: u32 = 1700;
pub(crate) const UUID: u32 = 2950;
pub(crate) const TSVECTOR: u32 = 3614;
pub(crate) const JSONB: u32 = 3802;
pub(crate) const RANGES: [u32; 6] = [3904, 3906, 3908, 3910, 3912, 3926];

/// Whether values are strings, whose binary form is their text.
pub(crate) fn is_string(oid: u32) -> bool {
    matches!(oid, TEXT | VARCHAR | BPCHAR | NAME)
}

/// The most characters that a string type with this modifier takes: `varchar(n)` and `char(n)` have n + 4.
pub(crate) fn string_limit(oid: u32, modifier: i32) -> Option<usize> {
    match oid {
        NAME => Some(63),
        VARCHAR | BPCHAR => usize::try_from(modifier.checked_sub(4)?).ok(),
        _ => None,
    }
}
