//! Types of PostgreSQL's as a model reads them.

use serde_json::{Number, Value};

/// An `int8` beyond this is no number that every reader of JSON keeps.
const EXACT: i64 = 1 << 53;

/// What a type is called; types of users' own by their number.
pub(super) fn type_name(oid: u32) -> String {
    let name = match oid {
        16 => "boolean",
        17 => "bytea",
        18 => "\"char\"",
        19 => "name",
        20 => "bigint",
        21 => "smallint",
        23 => "integer",
        25 => "text",
        26 => "oid",
        114 => "json",
        700 => "real",
        701 => "double precision",
        790 => "money",
        869 => "inet",
        1042 => "char",
        1043 => "varchar",
        1082 => "date",
        1083 => "time",
        1114 => "timestamp",
        1184 => "timestamptz",
        1186 => "interval",
        1266 => "timetz",
        1700 => "numeric",
        2950 => "uuid",
        3802 => "jsonb",
        1000 => "boolean[]",
        1005 => "smallint[]",
        1007 => "integer[]",
        1009 => "text[]",
        1015 => "varchar[]",
        1016 => "bigint[]",
        1231 => "numeric[]",
        2951 => "uuid[]",
        _ => return format!("type {oid}"),
    };
    name.to_owned()
}

/// A value as JSON: what JSON has a form for that loses nothing, and text otherwise.
pub(super) fn typed(oid: u32, value: Option<String>) -> Value {
    let Some(text) = value else { return Value::Null };
    let number = match oid {
        16 if text == "t" => return true.into(),
        16 if text == "f" => return false.into(),
        20 | 21 | 23 | 26 => text.parse().ok().filter(|n: &i64| n.abs() < EXACT).map(Number::from),
        700 | 701 => text.parse().ok().and_then(Number::from_f64),
        _ => None,
    };
    number.map_or(Value::String(text), Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::typed;

    #[test]
    fn a_value_loses_nothing() {
        for (oid, text, expected) in [
            (16, "t", json!(true)),
            (23, "-7", json!(-7)),
            (20, "9007199254740993", json!("9007199254740993")),
            (701, "1.5", json!(1.5)),
            (701, "NaN", json!("NaN")),
            (701, "Infinity", json!("Infinity")),
            (1700, "1.10", json!("1.10")),
            (3802, "{\"a\": 1}", json!("{\"a\": 1}")),
            (25, "t", json!("t")),
        ] {
            assert_eq!(typed(oid, Some(text.to_owned())), expected, "{oid} {text}");
        }
        assert_eq!(typed(25, None), Value::Null);
    }
}
