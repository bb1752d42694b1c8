//! Values that a caller gives for a statement's `$1`, …, as the text that their types read.

use serde_json::Value;

/// Types of which a list is JSON: `text`, `json`, `unknown`, `char`, `varchar`, `jsonb`. Any other that takes a list is an array.
const OF_JSON: [u32; 6] = [25, 114, 705, 1042, 1043, 3802];

/// A value as it waits to be sent: text, and no tree, which would take many times as much room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Given {
    /// NULL.
    Null,
    /// A text, which goes as it is.
    Text(String),
    /// Anything else but a list, as JSON writes it, which is how it goes.
    Json(String),
    /// A list, as JSON writes it: how it goes depends on the type that the statement has for it.
    List(String),
}

impl From<&Value> for Given {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(_) => Self::List(value.to_string()),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => Self::Json(value.to_string()),
        }
    }
}

impl Given {
    /// As it was given.
    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Text(text) => Value::String(text.clone()),
            Self::Json(text) | Self::List(text) => serde_json::from_str(text).unwrap_or_default(),
        }
    }

    /// The bytes that it takes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Text(text) | Self::Json(text) | Self::List(text) => text.len(),
        }
    }
}

/// Whether what is sent for some of these depends on the types that the statement has for them.
pub(crate) fn need_types(values: &[Given]) -> bool {
    values.iter().any(|value| matches!(value, Given::List(_)))
}

/// What is sent for values of these types; what has none is sent as JSON writes it, and the target says that it is too much.
pub(crate) fn texts(values: &[Given], types: &[u32]) -> Vec<Option<String>> {
    let types = types.iter().map(Some).chain(std::iter::repeat(None));
    values.iter().zip(types).map(|(value, oid)| text(value, oid)).collect()
}

fn text(value: &Given, oid: Option<&u32>) -> Option<String> {
    match value {
        Given::Null => None,
        Given::List(_) if oid.is_some_and(|oid| !OF_JSON.contains(oid)) => {
            value.value().as_array().map(|parts| array(parts))
        }
        Given::Text(text) | Given::Json(text) | Given::List(text) => Some(text.clone()),
    }
}

/// A list as PostgreSQL writes arrays (its manual, 8.15.6).
fn array(parts: &[Value]) -> String {
    let part = |value: &Value| match value {
        Value::Null => "NULL".to_owned(),
        Value::Array(parts) => array(parts),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Object(_) => quoted(&value.to_string()),
    };
    format!("{{{}}}", parts.iter().map(part).collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Given, texts};

    #[test]
    fn a_list_is_an_array_where_the_type_is_none_of_jsons() {
        let (ints, texts_of, jsonb, plain) = (1007, 1009, 3802, 25);
        for (value, oid, expected) in [
            (json!([1, 2]), ints, Some("{1,2}")),
            (json!([]), ints, Some("{}")),
            (json!([[1, null], [2, 3]]), ints, Some("{{1,NULL},{2,3}}")),
            (json!(["a,b", "\"c\\", "", "null", null]), texts_of, Some(r#"{"a,b","\"c\\","","null",NULL}"#)),
            (json!([true, {"a": "b"}]), 3807, Some(r#"{true,"{\"a\":\"b\"}"}"#)),
            (json!([1, {"a": null}]), jsonb, Some(r#"[1,{"a":null}]"#)),
            (json!([1]), plain, Some("[1]")),
            (json!({"a": [1]}), jsonb, Some(r#"{"a":[1]}"#)),
            (json!("{1}"), ints, Some("{1}")),
            (json!(null), ints, None),
        ] {
            let given = Given::from(&value);
            assert_eq!(given.value(), value, "nothing is lost");
            assert_eq!(texts(&[given], &[oid]), [expected.map(str::to_owned)], "{value}");
        }
        // There are more than the statement takes.
        assert_eq!(texts(&[Given::from(&json!([1]))], &[]), [Some("[1]".to_owned())]);
    }
}
