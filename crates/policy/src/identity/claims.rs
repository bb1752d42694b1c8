//! What a token says, read strictly: JSON in which no name comes twice, and claims found by their paths.

use serde_json::{Map, Number, Value};

/// Objects and lists may lie this deep in each other.
const DEEPEST: usize = 16;

/// A token's claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// From the JSON of a token's payload, or of its header. `None` where it is no object, a name comes twice in one object,
    /// or it lies too deep.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let Value::Object(map) = crate::json::read(json).ok()? else { return None };
        map.values().all(|value| is_shallow(value, DEEPEST)).then_some(Self(map))
    }

    /// Of an object within another.
    pub(super) fn of(value: &Value) -> Option<Self> {
        value.as_object().map(|map| Self(map.clone()))
    }

    /// The claim at a path, such as `realm_access.roles`. Names may have dots in them (`kubernetes.io`); where that makes a
    /// path mean two things, it is neither.
    pub fn at(&self, path: &str) -> Option<&Value> {
        let mut found = Vec::new();
        search(&self.0, path, &mut found);
        match found.as_slice() {
            [one] if !one.is_null() => Some(one),
            _ => None,
        }
    }

    /// A text, as it is.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.at(path)?.as_str()
    }

    /// A moment in seconds since 1970: a number, as the standard says, within what clocks can show. Parts of seconds are
    /// rounded down.
    pub fn moment(&self, name: &str) -> Result<Option<i64>, NotOfItsType> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let Value::Number(number) = value else { return Err(NotOfItsType) };
        let whole = match number.as_i64() {
            Some(whole) => whole,
            None => whole(number).ok_or(NotOfItsType)?,
        };
        // The year 9999.
        (0..=253_402_300_799).contains(&whole).then_some(Some(whole)).ok_or(NotOfItsType)
    }

    /// A text, or a list of texts; nothing where it is neither.
    pub fn texts(&self, path: &str) -> Option<Vec<&str>> {
        match self.at(path)? {
            Value::String(text) => Some(vec![text]),
            Value::Array(all) => all.iter().map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        }
    }

    /// Whether the outermost object has this name, be it with nothing.
    pub fn mentions(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether there is a claim at this path, whatever it is.
    pub fn has(&self, path: &str) -> bool {
        self.at(path).is_some()
    }
}

/// A claim that should be something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOfItsType;

#[expect(
    clippy::cast_possible_truncation,
    reason = "it is within bounds, and parts of seconds are meant to go"
)]
fn whole(number: &Number) -> Option<i64> {
    let float = number.as_f64()?;
    (0.0..=253_402_300_799.0).contains(&float).then_some(float.floor() as i64)
}

fn search<'a>(map: &'a Map<String, Value>, path: &str, found: &mut Vec<&'a Value>) {
    found.extend(map.get(path));
    for (at, _) in path.match_indices('.') {
        let (Some(name), Some(rest)) = (path.get(..at), path.get(at + 1..)) else { continue };
        if let Some(Value::Object(inner)) = map.get(name) {
            search(inner, rest, found);
        }
    }
}

fn is_shallow(value: &Value, left: usize) -> bool {
    match value {
        Value::Object(map) => left > 0 && map.values().all(|v| is_shallow(v, left - 1)),
        Value::Array(all) => left > 0 && all.iter().all(|v| is_shallow(v, left - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_two_readers_could_read_otherwise_is_not_read() {
        for (text, fine) in [
            (r#"{"sub":"a"}"#, true),
            (r#"{"sub":"a","sub":"b"}"#, false),
            (r#"{"sub":"a","\u0073ub":"b"}"#, false),
            (r#"{"a":{"x":1,"x":2}}"#, false),
            (r#"{"a":[{"x":1,"x":2}]}"#, false),
            (r#"{"a":{"x":1},"b":{"x":1}}"#, true),
            (r#"{"sub":"a"} x"#, false),
            (r#"{"sub":"a"}{}"#, false),
            (r#"["sub"]"#, false),
            ("\u{feff}{}", false),
            (r#"{"sub":"\ud800"}"#, false),
            (r#"{"exp":1e999}"#, false),
            ("", false),
        ] {
            assert_eq!(Claims::parse(text.as_bytes()).is_some(), fine, "{text}");
        }
        let nested = |n| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
        assert!(Claims::parse(nested(16).as_bytes()).is_some());
        assert!(Claims::parse(nested(17).as_bytes()).is_none());
        assert!(Claims::parse(nested(10_000).as_bytes()).is_none());
    }

    #[test]
    fn a_claim_is_found_by_its_path_and_never_by_two() {
        let claims = Claims::of(&json!({
            "sub": "x", "a": {"b": {"c": 1}}, "kubernetes.io": {"namespace": "prod"},
            "https://acme.example/groups": ["g"], "t": {"u.v": 1, "u": {"v": 2}}, "n": null, "list": ["a", 1],
        }))
        .expect("claims");
        for (path, found) in [
            ("sub", Some(json!("x"))),
            ("a.b.c", Some(json!(1))),
            ("kubernetes.io.namespace", Some(json!("prod"))),
            ("https://acme.example/groups", Some(json!(["g"]))),
            ("t.u.v", None),
            ("a.x", None),
            ("sub.x", None),
            ("n", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(claims.at(path), found.as_ref(), "{path}");
        }
        assert_eq!(claims.texts("https://acme.example/groups"), Some(vec!["g"]));
        assert_eq!(
            (claims.texts("sub"), claims.texts("list"), claims.texts("a")),
            (Some(vec!["x"]), None, None)
        );
    }

    #[test]
    fn a_moment_is_a_number() {
        for (value, expected) in [
            (json!(10), Ok(Some(10))),
            (json!(10.9), Ok(Some(10))),
            (json!("10"), Err(NotOfItsType)),
            (json!(-1), Err(NotOfItsType)),
            (json!(1e300), Err(NotOfItsType)),
            (json!(u64::MAX), Err(NotOfItsType)),
            (json!(true), Err(NotOfItsType)),
            (json!(null), Err(NotOfItsType)),
        ] {
            let claims = Claims::of(&json!({ "exp": value })).expect("claims");
            assert_eq!(claims.moment("exp"), expected, "{value}");
        }
        assert_eq!(Claims::of(&json!({})).expect("claims").moment("exp"), Ok(None));
    }
}
