//! Whether a policy asks for approvals, and for which: told by its conditions as they are parsed, since names of its tables and words of
//! its annotations may say "approvals", too.

use cedar_policy::Policy;
use serde_json::Value;

use crate::reads::count;

/// The attribute of the context that has the approvals.
const APPROVALS: &str = "approvals";

/// How a policy asks for approvals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// It does not.
    Never,
    /// Once, for its own: an `unless` is met by it, alone or with others by `||` and `&&`.
    Itself,
    /// In another way.
    Otherwise,
}

impl Asks {
    /// How a policy of this id does.
    ///
    /// # Errors
    /// Its conditions cannot be looked at.
    pub(crate) fn of(policy: &Policy, id: &str) -> Result<Self, String> {
        let written =
            policy.to_json().map_err(|error| format!("its conditions cannot be looked at: {error}"))?;
        let conditions = written.get("conditions").and_then(Value::as_array);
        let conditions = conditions.ok_or("its conditions cannot be looked at")?;
        let (mut all, mut own) = (0, 0);
        for condition in conditions {
            let body = condition.get("body").unwrap_or(&Value::Null);
            all += count(body, APPROVALS);
            if condition.get("kind").and_then(Value::as_str) == Some("unless") {
                own += yields(body, id);
            }
        }
        Ok(match (all, own) {
            (0, _) => Self::Never,
            (1, 1) => Self::Itself,
            _ => Self::Otherwise,
        })
    }
}

/// How often an expression is met sooner by the approval of this policy: not where it is negated, compared or an alternative.
fn yields(expression: &Value, id: &str) -> usize {
    let Some((operator, operand)) = expression.as_object().and_then(|parts| parts.iter().next()) else {
        return 0;
    };
    let side = |name: &str| operand.get(name).unwrap_or(&Value::Null);
    match operator.as_str() {
        "||" | "&&" => yields(side("left"), id) + yields(side("right"), id),
        "contains" => {
            let approvals = serde_json::json!({ ".": { "left": { "Var": "context" }, "attr": APPROVALS } });
            let own = serde_json::json!({ "Value": id });
            usize::from(*side("left") == approvals && *side("right") == own)
        }
        _ => 0,
    }
}
