//! One way to write each value, so that a policy that names a value names all ways in which a client can write it.

use crate::postgres::catalog::{Catalog, Oid, TypeKind};

/// How a value of a type is written; `None` where the type is not one of those that have one way, or it is no value of it.
pub(super) fn canonical(catalog: &Catalog, to: Oid, text: &str) -> Option<String> {
    match to.0 {
        // `int8`, `int2`, `int4`, `oid`
        20 | 21 | 23 | 26 => text.trim_ascii().parse::<i64>().ok().map(|number| number.to_string()),
        // `text`, `varchar`
        25 | 1043 => Some(text.to_owned()),
        // `bpchar`: blanks at its end are none.
        1042 => Some(text.trim_end_matches(' ').to_owned()),
        // `name`
        19 => (text.len() < 64).then(|| text.to_owned()),
        // `bool`
        16 => match text {
            "t" | "true" | "TRUE" => Some("true".to_owned()),
            "f" | "false" | "FALSE" => Some("false".to_owned()),
            _ => None,
        },
        // `numeric`
        1700 => number(text.trim_ascii()),
        // `uuid`
        2950 => {
            let fits = |(n, b): (usize, u8)| {
                if matches!(n, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() }
            };
            (text.len() == 36 && text.bytes().enumerate().all(fits)).then(|| text.to_ascii_lowercase())
        }
        // `date`
        1082 => {
            let fits = |(n, b): (usize, u8)| if matches!(n, 4 | 7) { b == b'-' } else { b.is_ascii_digit() };
            (text.len() == 10 && text.bytes().enumerate().all(fits)).then(|| text.to_owned())
        }
        _ => (catalog.type_by_oid(to)?.kind == TypeKind::Enum).then(|| text.to_owned()),
    }
}

/// A decimal number without zeros that say nothing.
fn number(text: &str) -> Option<String> {
    let (minus, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(match (whole, fraction) {
        ("0", "") => "0".to_owned(),
        (whole, "") => format!("{minus}{whole}"),
        (whole, fraction) => format!("{minus}{whole}.{fraction}"),
    })
}
