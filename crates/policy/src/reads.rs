//! What a policy reads, told by its conditions as they are parsed: names of its tables and words of its annotations and comments may
//! say the same, and a name may be written in other letters (`context["n\u{6f}w"]`).

use cedar_policy::Policy;
use serde_json::Value;

/// How often an expression reads an attribute of this name, of whatever it is: the context can go by other ways.
pub(crate) fn count(expression: &Value, name: &str) -> usize {
    match expression {
        Value::Object(parts) => {
            let of = |(operator, operand): (&String, &Value)| {
                let reads = matches!(operator.as_str(), "." | "has");
                let is_it = match operand.get("attr") {
                    Some(Value::String(attribute)) => attribute == name,
                    Some(Value::Array(path)) => path.iter().any(|attribute| attribute == name),
                    Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
                };
                usize::from(reads && is_it) + count(operand, name)
            };
            parts.iter().map(of).sum()
        }
        Value::Array(items) => items.iter().map(|item| count(item, name)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// What conditions read.
pub(crate) struct Reads {
    /// Nothing where they cannot be looked at: then they read everything.
    conditions: Option<Value>,
}

impl Reads {
    pub(crate) fn of(policy: &Policy) -> Self {
        let written = policy.to_json().ok();
        let conditions = written.and_then(|mut written| Some(written.get_mut("conditions")?.take()));
        Self { conditions: conditions.filter(|conditions| !compares_all(conditions)) }
    }

    /// Whether they may read an attribute of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.conditions.as_ref().is_none_or(|conditions| count(conditions, name) > 0)
    }
}

/// Whether an expression uses the context otherwise than by an attribute of it.
fn compares_all(expression: &Value) -> bool {
    let is_context = |value: &Value| value.get("Var").and_then(Value::as_str) == Some("context");
    match expression {
        Value::Object(parts) => parts.iter().any(|(operator, operand)| {
            let by_attribute = matches!(operator.as_str(), "." | "has");
            match operand.get("left") {
                Some(left) if by_attribute && is_context(left) => false,
                Some(_) | None => is_context(expression) || compares_all(operand),
            }
        }),
        Value::Array(items) => items.iter().any(compares_all),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_what_its_conditions_do_whatever_it_is_called() {
        for (text, expected) in [
            ("permit (principal, action, resource) when { context.now > 3 };", true),
            ("permit (principal, action, resource) when { context[\"now\"] > 3 };", true),
            (r#"permit (principal, action, resource) when { context["n\u{6f}w"] > 3 };"#, true),
            ("permit (principal, action, resource) when { context has now };", true),
            ("permit (principal, action, resource) when { {a: context}.a.now > 3 };", true),
            (
                "permit (principal, action, resource) when { if context == {b: 1} then true else false };",
                true,
            ),
            ("permit (principal, action, resource) unless { [context].contains({b: 1}) };", true),
            ("permit (principal, action, resource) when { context.knows > 3 };", false),
            ("permit (principal, action, resource) when { context.a.b > 3 && context has c };", false),
            ("@id(\"not-now\") @reason(\"now\") permit (principal, action, resource); // now", false),
            ("forbid (principal, action == Action::\"now\", resource);", false),
            ("permit (principal, action, resource) when { principal.name == \"now\" };", false),
        ] {
            let policy: Policy = text.parse().expect(text);
            assert_eq!(Reads::of(&policy).has("now"), expected, "{text}");
        }
    }
}
