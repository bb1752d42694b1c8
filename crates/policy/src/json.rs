//! JSON that says one thing: an object in which a name comes twice is none (RFC 8259 §4 leaves open which counts, and whoever looked
//! at the message on its way may have taken the other).
//!
//! And that is of a size: a value takes many times as much room as its text, so that values are counted while they are read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// So many values one text has, each part of a list or an object being one. What is longer can be sent as one text.
pub const MOST: usize = 20_000;

/// Reads a text that is one value.
///
/// # Errors
/// It is none, is nested deeper than is read here, has a name twice, or more than [`MOST`] values.
pub fn read(text: &[u8]) -> Result<Value, serde_json::Error> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let mut left = MOST;
    let value = Reader { left: &mut left }.deserialize(&mut from)?;
    from.end()?;
    Ok(value)
}

/// Reads a value whose names come once, of as many as are left.
struct Reader<'a> {
    left: &'a mut usize,
}

impl Reader<'_> {
    /// The same for a part of it.
    fn part(&mut self) -> Reader<'_> {
        Reader { left: self.left }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        let too_many = || {
            D::Error::custom(format!(
                "it has more than {MOST} values: send long lists and documents as one text, or in parts"
            ))
        };
        *self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
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

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut parts: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(part) = parts.next_element_seed(self.part())? {
            all.push(part);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut parts: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = parts.next_key::<String>()? {
            let part = parts.next_value_seed(self.part())?;
            if all.insert(name, part).is_some() {
                return Err(A::Error::custom("a name comes twice in one object"));
            }
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, read};

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

    #[test]
    fn values_are_counted_while_they_are_read() {
        let list = |of: &str, parts: usize| format!("[{}]", vec![of; parts].join(","));
        let text = list("\"x\"", 3);
        let long = format!("[\"{}\"]", "0,".repeat(10 * MOST));
        for (what, text, fine) in [
            ("few", text, true),
            ("as many as there may be", list("0", MOST - 1), true),
            ("one more", list("0", MOST), false),
            ("objects, whose parts count", list("{\"\":0}", MOST / 2), false),
            ("half of those", list("{\"\":0}", MOST / 2 - 1), true),
            ("empty ones", list("[]", MOST), false),
            ("one long text", long, true),
        ] {
            let read = read(text.as_bytes());
            assert_eq!(read.is_ok(), fine, "{what}");
            if let Err(error) = read {
                assert!(error.to_string().contains("as one text"), "{what}: {error}");
            }
        }
    }
}
