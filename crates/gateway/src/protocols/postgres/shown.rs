//! Values of parameters as an approver reads them: never as something else than what the server will read.
//!
//! The binary formats are those of `src/backend/utils/adt` (`int4recv`, `numeric_recv`, `timestamp_recv` and so on), as
//! <https://www.postgresql.org/docs/18/protocol-overview.html#PROTOCOL-FORMAT-CODES> leaves them to be.

use sql::postgres::Spelled;

use crate::audit::{Form, Shown, ValueNote};
use crate::visible;

/// The OIDs and names of types that clients send (`pg_type.dat`).
const TYPES: [(u32, &str); 34] = [
    (16, "bool"),
    (17, "bytea"),
    (18, "\"char\""),
    (19, "name"),
    (20, "int8"),
    (21, "int2"),
    (23, "int4"),
    (25, "text"),
    (26, "oid"),
    (114, "json"),
    (142, "xml"),
    (700, "float4"),
    (701, "float8"),
    (790, "money"),
    (869, "inet"),
    (1000, "bool[]"),
    (1005, "int2[]"),
    (1007, "int4[]"),
    (1009, "text[]"),
    (1015, "varchar[]"),
    (1016, "int8[]"),
    (1022, "float8[]"),
    (1042, "bpchar"),
    (1043, "varchar"),
    (1082, "date"),
    (1083, "time"),
    (1114, "timestamp"),
    (1184, "timestamptz"),
    (1186, "interval"),
    (1231, "numeric[]"),
    (1700, "numeric"),
    (2950, "uuid"),
    (2951, "uuid[]"),
    (3802, "jsonb"),
];

/// What an approver reads.
pub(super) fn shown(value: &ValueNote<'_>) -> Shown {
    let ValueNote { bytes, form } = value;
    let kind = match form {
        Form::Literal(Spelled::Number) => "number".to_owned(),
        Form::Literal(Spelled::Text) => "text".to_owned(),
        Form::Literal(Spelled::Otherwise) => "as it is written".to_owned(),
        Form::Text(oid) | Form::Binary(oid) => type_name(*oid),
    };
    let Some(bytes) = bytes else { return Shown { text: None, kind } };
    let readable = match form {
        Form::Literal(_) | Form::Text(_) => text(bytes),
        Form::Binary(oid) => decoded(*oid, bytes),
    };
    match readable {
        Some(text) => Shown { text: Some(text), kind },
        None => {
            let comma = if kind.is_empty() { "" } else { ", " };
            let mut text = format!("\\x{}", crate::audit::hex(bytes));
            if let Some(seen) = with_hidden_signs(form, bytes) {
                text.push_str(&format!(", which reads {seen}"));
            }
            Shown { text: Some(text), kind: format!("{kind}{comma}binary") }
        }
    }
}

/// A text in which something cannot be seen: what cannot is written as its number. The bytes stand before it, since such a
/// number may also be what somebody wrote.
fn with_hidden_signs(form: &Form, bytes: &[u8]) -> Option<String> {
    let text = match form {
        Form::Literal(_) | Form::Text(_) => bytes,
        Form::Binary(oid) => match type_name(*oid).as_str() {
            "text" | "varchar" | "bpchar" | "name" | "json" | "xml" => bytes,
            "jsonb" => bytes.strip_prefix(&[1])?,
            _ => return None,
        },
    };
    std::str::from_utf8(text).ok().map(visible::line)
}

/// What a client said the type of a parameter is; nothing where it leaves that to the server.
pub(super) fn type_name(oid: u32) -> String {
    match TYPES.iter().find(|(known, _)| *known == oid) {
        Some((_, name)) => (*name).to_owned(),
        None if oid == 0 => String::new(),
        None => format!("type {oid}"),
    }
}

/// A value in the binary format, where its type is one of those that can be read here.
pub(super) fn decoded(oid: u32, bytes: &[u8]) -> Option<String> {
    Some(match type_name(oid).as_str() {
        "bool" => match bytes {
            [0] => "false".to_owned(),
            [1] => "true".to_owned(),
            _ => return None,
        },
        "int2" => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "int4" => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "int8" => i64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "oid" => u32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "float4" => f32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "float8" => f64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "text" | "varchar" | "bpchar" | "name" | "json" | "xml" => text(bytes)?,
        "jsonb" => text(bytes.strip_prefix(&[1])?)?,
        "uuid" => uuid(bytes)?,
        "date" => date(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)))?,
        "timestamp" => timestamp(i64::from_be_bytes(bytes.try_into().ok()?))?,
        "timestamptz" => format!("{}+00", timestamp(i64::from_be_bytes(bytes.try_into().ok()?))?),
        "numeric" => numeric(bytes)?,
        _ => return None,
    })
}

/// Text without control characters.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.chars().any(|c| c.is_control() && !c.is_whitespace())).then(|| text.to_owned())
}

fn uuid(bytes: &[u8]) -> Option<String> {
    let all: [u8; 16] = bytes.try_into().ok()?;
    let hex = crate::audit::hex(&all);
    let parts = [hex.get(..8)?, hex.get(8..12)?, hex.get(12..16)?, hex.get(16..20)?, hex.get(20..)?];
    Some(parts.join("-"))
}

/// Days since 2000-01-01, in the proleptic Gregorian calendar (Hinnant, *chrono-Compatible Low-Level Date Algorithms*).
fn date(days: i64) -> Option<String> {
    match i32::try_from(days) {
        Ok(i32::MAX) => return Some("infinity".to_owned()),
        Ok(i32::MIN) => return Some("-infinity".to_owned()),
        Ok(_) => (),
        Err(_) => return None,
    }
    let since = days + 730_425;
    let era = since.div_euclid(146_097);
    let day_of_era = since.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some(if year > 0 {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{:04}-{month:02}-{day:02} BC", 1 - year)
    })
}

/// Microseconds since 2000-01-01.
fn timestamp(microseconds: i64) -> Option<String> {
    const DAY: i64 = 86_400_000_000;
    match microseconds {
        i64::MAX => return Some("infinity".to_owned()),
        i64::MIN => return Some("-infinity".to_owned()),
        _ => (),
    }
    let day = date(microseconds.div_euclid(DAY))?;
    let of_day = microseconds.rem_euclid(DAY);
    let (seconds, rest) = (of_day / 1_000_000, of_day % 1_000_000);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:06}") };
    Some(format!("{day} {:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60))
}

/// Groups of four decimal digits, a weight, a sign and a scale.
fn numeric(bytes: &[u8]) -> Option<String> {
    let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at * 2..at * 2 + 2)?.try_into().ok()?));
    let (count, weight) = (usize::from(word(0)?), i32::from(word(1)?.cast_signed()));
    let (sign, scale) = (word(2)?, usize::from(word(3)?));
    let minus = match sign {
        0x0000 => "",
        0x4000 => "-",
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    if bytes.len() != 8 + 2 * count || !(-5_000..=5_000).contains(&weight) || scale > 20_000 {
        return None;
    }
    let digits = |group: i32| -> Option<u16> {
        let at = usize::try_from(weight - group).ok();
        at.filter(|at| *at < count).map_or(Some(0), |at| word(4 + at)).filter(|digits| *digits < 10_000)
    };
    let mut whole = String::new();
    for group in (0..=weight.max(0)).rev() {
        whole.push_str(&format!("{:04}", digits(group)?));
    }
    let whole = whole.trim_start_matches('0');
    let mut fraction = String::new();
    let mut group = -1;
    while fraction.len() < scale {
        fraction.push_str(&format!("{:04}", digits(group)?));
        group -= 1;
    }
    fraction.truncate(scale);
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if scale == 0 { format!("{minus}{whole}") } else { format!("{minus}{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_sign_that_cannot_be_seen_is_shown_with_it() {
        let bidi = "a\u{202e}b";
        for (form, bytes, expected) in [
            (Form::Literal(Spelled::Text), &b"v\x1bx"[..], "\\x761b78, which reads v⟨U+001B⟩x"),
            (Form::Text(25), b"v\x1bx", "\\x761b78, which reads v⟨U+001B⟩x"),
            (Form::Binary(25), b"v\x1b", "\\x761b, which reads v⟨U+001B⟩"),
            (Form::Binary(3802), b"\x01\"\x07\"", "\\x01220722, which reads \"⟨U+0007⟩\""),
            (Form::Binary(17), b"v\x1b", "\\x761b"),
            (Form::Literal(Spelled::Text), b"\xff\x1b", "\\xff1b"),
            (Form::Literal(Spelled::Text), bidi.as_bytes(), bidi),
        ] {
            let shown = shown(&ValueNote { bytes: Some(bytes), form });
            assert_eq!(shown.text.as_deref(), Some(expected), "{bytes:?}");
        }
    }

    #[test]
    fn a_value_in_the_binary_format_is_read_as_the_server_reads_it() {
        let numeric = |words: &[u16]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
        for (oid, bytes, expected) in [
            (23, b"0010".to_vec(), Some("808464688")),
            (20, 10_f64.to_be_bytes().to_vec(), Some("4621819117588971520")),
            (701, 10_f64.to_be_bytes().to_vec(), Some("10")),
            (16, vec![1], Some("true")),
            (16, vec![2], None),
            (25, "für alle".as_bytes().to_vec(), Some("für alle")),
            (25, b"a\x1b[31m".to_vec(), None),
            (3802, b"\x01{\"a\": 1}".to_vec(), Some("{\"a\": 1}")),
            (1082, 0_i32.to_be_bytes().to_vec(), Some("2000-01-01")),
            (1082, 9_831_i32.to_be_bytes().to_vec(), Some("2026-12-01")),
            (1082, (-1_i32).to_be_bytes().to_vec(), Some("1999-12-31")),
            (1082, (-730_485_i32).to_be_bytes().to_vec(), Some("0001-01-01 BC")),
            (1082, i32::MAX.to_be_bytes().to_vec(), Some("infinity")),
            (1114, 849_412_800_500_000_i64.to_be_bytes().to_vec(), Some("2026-12-01 04:00:00.500000")),
            (1184, (-1_i64).to_be_bytes().to_vec(), Some("1999-12-31 23:59:59.999999+00")),
            (1700, numeric(&[2, 1, 0, 2, 12, 3456, 7800]), None),
            (1700, numeric(&[3, 1, 0, 2, 12, 3456, 7800]), Some("123456.78")),
            (1700, numeric(&[1, 0xffff, 0x4000, 3, 50]), Some("-0.005")),
            (1700, numeric(&[1, 1, 0, 0, 7]), Some("70000")),
            (1700, numeric(&[0, 0, 0, 0]), Some("0")),
            (1700, numeric(&[0, 0, 0xC000, 0]), Some("NaN")),
            (2950, (0_u8..16).collect(), Some("00010203-0405-0607-0809-0a0b0c0d0e0f")),
            (0, b"0010".to_vec(), None),
            (99_999, b"0010".to_vec(), None),
        ] {
            assert_eq!(decoded(oid, &bytes).as_deref(), expected, "{oid} {bytes:?}");
        }
    }
}
