//! Values that a caller gives for a statement's `$1`, …, as the text that their types read.

use serde_json::Value;

/// Types of which a list is JSON: `text`, `json`, `unknown`, `char`, `varchar`, `jsonb`. Any other that takes a list is an array.
const OF_JSON: [u32; 6] = [25, 114, 705, 1042, 1043, 3802];

/// Whether what is sent for some of these depends on the types that the statement has for them.
pub(crate) fn need_types(values: &[Value]) -> bool {
    values.iter().any(Value::is_array)
}

/// What is sent for values of these types; what has none is sent as JSON writes it, and the target says that it is too much.
pub(crate) fn texts(values: &[Value], types: &[u32]) -> Vec<Option<String>> {
    let types = types.iter().map(Some).chain(std::iter::repeat(None));
    values.iter().zip(types).map(|(value, oid)| text(value, oid)).collect()
}

fn text(value: &Value, oid: Option<&u32>) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) if oid.is_some_and(|oid| !OF_JSON.contains(oid)) => Some(array(parts)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
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

    use super::texts;

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
            assert_eq!(texts(std::slice::from_ref(&value), &[oid]), [expected.map(str::to_owned)], "{value}");
        }
        // There are more than the statement takes.
        assert_eq!(texts(&[json!([1])], &[]), [Some("[1]".to_owned())]);
    }
}
