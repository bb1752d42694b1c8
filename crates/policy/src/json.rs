//! JSON that says one thing: an object in which a name comes twice is none (RFC 8259 §4 leaves open which counts, and whoever looked
//! at the message on its way may have taken the other).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads a text that is one value.
///
/// # Errors
/// It is none, is nested deeper than is read here, or has a name twice.
pub fn read(text: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Once>(text).map(|Once(value)| value)
}

/// A value whose names come once.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is too large"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Once(part)) = parts.next_element()? {
            all.push(part);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some((name, Once(part))) = parts.next_entry::<String, Once>()? {
            if all.insert(name, part).is_some() {
                return Err(A::Error::custom("a name comes twice in one object"));
            }
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn what_says_two_things_is_read_as_none() {
        for (text, fine) in [
            (r#"{"method":"tools/list","params":{"a":[1,-2,1.5,true,null,"x"],"b":{}}}"#, true),
            (r#"{"a":{"b":1},"c":{"b":1}}"#, true),
            (r#"{"method":"tools/list","method":"tools/call"}"#, false),
            (r#"{"method":"tools/list","meth\u006fd":"tools/call"}"#, false),
            (r#"[{"params":{"arguments":{"sql":"SELECT 1","sql":"DROP TABLE x"}}}]"#, false),
            (r#"{"a":1} {"a":2}"#, false),
            ("", false),
        ] {
            assert_eq!(read(text.as_bytes()).is_ok(), fine, "{text}");
            if fine {
                let plain: serde_json::Value = serde_json::from_str(text).expect("JSON");
                assert_eq!(read(text.as_bytes()).expect("read"), plain, "{text}");
            }
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(read(deep.as_bytes()).is_err());
    }
}
