//! What tools are called, and what they take and give, as a model reads it. Each word here is paid for in every conversation.

use serde_json::{Value, json};

use crate::answer::Refusal;
use crate::rpc::{Object, printable};

/// A tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Targets,
    Describe,
    Query,
    Explain,
    SubmitPlan,
    Request,
    Wait,
}

impl Tool {
    const ALL: [Self; 7] = [
        Self::Targets,
        Self::Describe,
        Self::Query,
        Self::Explain,
        Self::SubmitPlan,
        Self::Request,
        Self::Wait,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Targets => "targets",
            Self::Describe => "describe",
            Self::Query => "query",
            Self::Explain => "explain",
            Self::SubmitPlan => "submit_plan",
            Self::Request => "request",
            Self::Wait => "wait",
        }
    }

    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// Its arguments, those first that must be there.
    fn arguments(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Targets => (&[], &[]),
            Self::Describe => (&["target"], &["table", "search", "page"]),
            Self::Query => (&["target", "sql"], &["params", "rows", "cursor"]),
            Self::Explain => (&["target", "sql"], &[]),
            Self::SubmitPlan => (&["target", "sql", "reason"], &[]),
            Self::Request => (&["target", "reason"], &["sql", "params", "access", "rows", "minutes"]),
            Self::Wait => (&["request"], &[]),
        }
    }

    /// Whether it takes all of these.
    pub(crate) fn knows(self, arguments: &Object) -> Result<(), Refusal> {
        let (must, may) = self.arguments();
        let unknown =
            arguments.keys().find(|name| !must.contains(&name.as_str()) && !may.contains(&name.as_str()));
        match unknown {
            None => Ok(()),
            Some(name) => {
                let all: Vec<&str> = must.iter().chain(may).copied().collect();
                let takes = if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
                Err(Refusal::argument(format!(
                    "there is no argument {}; {} takes {takes}",
                    printable(name),
                    self.name()
                )))
            }
        }
    }

    fn definition(self) -> Value {
        let text = json!({ "type": "string" });
        let rows = json!({ "type": "array" });
        let anything = json!({ "type": "object" });
        let gives = |properties: &Value| json!({ "type": "object", "properties": properties });
        let (says, properties, gives, reads) = match self {
            Self::Targets => (
                "Lists the databases here and what you may do in each.",
                json!({}),
                gives(&json!({ "targets": rows })),
                true,
            ),
            Self::Describe => (
                "Lists a database's tables; with table (schema.name), its columns with types, keys, tags and comments. \
                 Tagged columns come masked.",
                json!({
                    "target": text, "table": text,
                    "search": { "type": "string", "description": "part of a table's or column's name" },
                    "page": { "type": "integer", "minimum": 1 },
                }),
                gives(
                    &json!({ "tables": rows, "columns": rows, "keys": rows, "more": { "type": "boolean" } }),
                ),
                true,
            ),
            Self::Query => (
                "Runs one SQL statement in a transaction of its own. Put values in params ($1, …), not in the text. \
                 A statement may be refused, with a hint, or held for a person's approval. For more rows call it \
                 again with the cursor and the same target and sql: it does not run again.",
                json!({
                    "target": text,
                    "sql": text,
                    "params": { "type": "array" },
                    "rows": { "type": "integer", "minimum": 1, "default": 100 },
                    "cursor": text,
                }),
                gives(&json!({
                    "columns": rows, "rows": rows, "tag": text, "cursor": text,
                    "truncated": { "type": "boolean" }, "masked": rows, "cut": rows,
                })),
                false,
            ),
            Self::Explain => (
                "Says what would be decided of a statement, and why, without running it.",
                json!({ "target": text, "sql": text }),
                anything.clone(),
                true,
            ),
            Self::SubmitPlan => (
                "Asks a person to approve several statements (sql, split by ;) as one. Once approved they run by \
                 themselves, in one transaction where possible. Then wait.",
                json!({ "target": text, "sql": text, "reason": text }),
                anything.clone(),
                false,
            ),
            Self::Request => (
                "Asks a person to approve a statement (sql) before it is run; or access: that what would be held runs \
                 without asking, for minutes, with so many rows a statement. Then wait.",
                json!({
                    "target": text, "sql": text, "reason": text, "params": rows,
                    "access": { "type": "array", "description": "as update public.orders" },
                    "rows": { "type": "integer" }, "minutes": { "type": "integer" },
                }),
                anything.clone(),
                false,
            ),
            Self::Wait => (
                "Waits for the answer to a request. Once it is approved, its statement runs, once, and this gives the \
                 result; of a plan, the results.",
                json!({ "request": text }),
                anything.clone(),
                false,
            ),
        };
        let (must, _) = self.arguments();
        json!({
            "name": self.name(),
            "description": says,
            "inputSchema": {
                "type": "object", "properties": properties, "required": must,
            },
            "outputSchema": gives,
            "annotations": { "readOnlyHint": reads },
        })
    }
}

/// All of them, in an order that stays.
pub(crate) fn all() -> Vec<Value> {
    Tool::ALL.into_iter().map(Tool::definition).collect()
}
