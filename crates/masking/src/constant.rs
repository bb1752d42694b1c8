//! A constant of each type, in text and in binary (the `…send` functions of PostgreSQL's `src/backend/utils/adt`).

use crate::masker::{ColumnShape, TypeKind};
use crate::types;

/// What stands for a redacted string.
pub(crate) const STARS: &str = "***";
const XML: &str = "<redacted/>";
const UUID: &str = "00000000-0000-0000-0000-000000000000";

/// Constants that stand for nothing else. A zero, a false or an empty object may be meant.
pub(crate) const TELLING: [&str; 2] = [XML, UUID];

/// A value of the type that tells nothing, or `None` where only NULL is certain to be valid.
pub(crate) fn redacted(shape: &ColumnShape) -> Option<Vec<u8>> {
    match shape.kind {
        TypeKind::Array(element) => Some(empty_array(element, shape.is_binary())),
        TypeKind::Domain(base) => {
            // A modifier of the domain's own is not in the description, so a short constant would be too long for some.
            redacted(&ColumnShape { type_oid: base, kind: TypeKind::Base, ..*shape })
                .filter(|_| !types::is_string(base))
        }
        TypeKind::Enum | TypeKind::Composite | TypeKind::Unknown => None,
        TypeKind::Base | TypeKind::Range if shape.is_binary() => binary(shape.type_oid, shape.modifier),
        TypeKind::Base | TypeKind::Range => text(shape.type_oid, shape.modifier).map(String::into_bytes),
    }
}

fn text(oid: u32, modifier: i32) -> Option<String> {
    Some(match oid {
        types::BOOL => "f".to_owned(),
        types::BYTEA => "\\x".to_owned(),
        types::CHAR => "*".to_owned(),
        oid if types::is_string(oid) => stars(oid, modifier),
        types::INT8 | types::INT2 | types::INT4 | types::OID | types::FLOAT4 | types::FLOAT8 => {
            "0".to_owned()
        }
        types::NUMERIC => match numeric_scale(modifier) {
            0 => "0".to_owned(),
            scale => format!("0.{}", "0".repeat(usize::from(scale))),
        },
        types::JSON | types::JSONB => "{}".to_owned(),
        types::XML => XML.to_owned(),
        types::INET => "0.0.0.0".to_owned(),
        types::CIDR => "0.0.0.0/32".to_owned(),
        types::MACADDR => "00:00:00:00:00:00".to_owned(),
        types::MACADDR8 => "00:00:00:00:00:00:00:00".to_owned(),
        types::UUID => UUID.to_owned(),
        types::BIT => "0".repeat(bits(modifier)?),
        types::VARBIT | types::TSVECTOR => String::new(),
        oid if types::RANGES.contains(&oid) => "empty".to_owned(),
        _ => return None,
    })
}

fn binary(oid: u32, modifier: i32) -> Option<Vec<u8>> {
    Some(match oid {
        types::BOOL => vec![0],
        types::BYTEA => Vec::new(),
        types::CHAR => b"*".to_vec(),
        oid if types::is_string(oid) => stars(oid, modifier).into_bytes(),
        types::INT2 => vec![0; 2],
        types::INT4 | types::OID | types::FLOAT4 => vec![0; 4],
        types::INT8 | types::FLOAT8 => vec![0; 8],
        // No digits, weight 0, positive, the column's scale.
        types::NUMERIC => {
            [0, 0, 0, numeric_scale(modifier)].iter().flat_map(|n: &u16| n.to_be_bytes()).collect()
        }
        types::JSON => b"{}".to_vec(),
        // A version byte, then text.
        types::JSONB => b"\x01{}".to_vec(),
        types::XML => XML.as_bytes().to_vec(),
        // Family, prefix length, whether a network, address length, address.
        types::INET => vec![2, 32, 0, 4, 0, 0, 0, 0],
        types::CIDR => vec![2, 32, 1, 4, 0, 0, 0, 0],
        types::MACADDR => vec![0; 6],
        types::MACADDR8 => vec![0; 8],
        types::UUID => vec![0; 16],
        types::BIT => {
            let n = bits(modifier)?;
            let mut out = u32::try_from(n).ok()?.to_be_bytes().to_vec();
            out.resize(4 + n.div_ceil(8), 0);
            out
        }
        types::VARBIT | types::TSVECTOR => vec![0; 4],
        oid if types::RANGES.contains(&oid) => vec![1],
        _ => return None,
    })
}

/// Stars that fit: `char(n)` is blank-padded to n.
fn stars(oid: u32, modifier: i32) -> String {
    match types::string_limit(oid, modifier) {
        Some(limit) if oid == types::BPCHAR => {
            format!("{:limit$}", STARS.get(..limit.min(3)).unwrap_or(STARS))
        }
        Some(limit) => STARS.chars().take(limit).collect(),
        None => STARS.to_owned(),
    }
}

/// `numeric(p, s)`: the modifier is `((p << 16) | (s & 0x7ff)) + 4`; a negative scale shows no fraction.
fn numeric_scale(modifier: i32) -> u16 {
    if modifier < 4 {
        return 0;
    }
    let scale = (modifier - 4) & 0x7ff;
    if scale > 1000 { 0 } else { u16::try_from(scale).unwrap_or(0) }
}

/// `bit(n)`: the modifier is n; without one it is one bit.
fn bits(modifier: i32) -> Option<usize> {
    usize::try_from(if modifier < 0 { 1 } else { modifier }).ok().filter(|n| *n <= 1 << 16)
}

/// No dimensions, no nulls, the element's type.
fn empty_array(element: u32, binary: bool) -> Vec<u8> {
    if binary { [0, 0, element].iter().flat_map(|n| n.to_be_bytes()).collect() } else { b"{}".to_vec() }
}
