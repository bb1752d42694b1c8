//! How many rows the target's planner expects of an operation, for policies that ask. The statement is planned and not run, on a
//! connection of the gateway's own, as the session's role and under its settings.

use std::sync::LazyLock;
use std::time::Duration;

use model::Action;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::control::{Control, ControlError, Rows};
use super::own;
use super::preview::Asker;
use super::request::Request;
use crate::targets::Target;

/// A plan may take so long, in milliseconds.
const QUESTION: u32 = 1_000;
/// And all that it takes to ask for it.
const LONGEST: Duration = Duration::from_secs(3);
/// So many are asked for at a time: each takes a connection.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(4));

/// What the planner is asked.
pub struct Planned {
    statement: String,
    asker: Asker,
}

/// What the planner can be asked of a request. Nothing where planning may call what is not known to be harmless, or where another
/// connection would not see what this one does.
pub(super) fn of(request: &Request) -> Option<Planned> {
    use Action::{Delete, Insert, Merge, Probe, Select, Update};
    let [statement] = request.operation.statements.as_slice() else { return None };
    let plain = |action| matches!(action, Select | Insert | Update | Delete | Merge | Probe);
    let any = !statement.effects.is_empty() && statement.effects.iter().all(|e| plain(e.action));
    let temporary = statement.facts.tables.iter().any(|table| table.schema.starts_with("pg_temp"));
    let kinds = ["select", "insert", "update", "delete", "merge"];
    let is_plain =
        any && !temporary && statement.control.is_empty() && kinds.contains(&&*statement.facts.kind);
    if !is_plain {
        return None;
    }
    let (text, values) = request.text_and_values()?;
    let statement = sql::postgres::outline::written_out(&text, &request.seen.catalogue, &values).ok()?;
    Some(Planned { statement, asker: Asker::of(request).ok()? })
}

impl Planned {
    /// Asks the target. `None` where it does not say, or not in time.
    pub(crate) async fn ask(&self, target: &Target) -> Option<u64> {
        let asked = async {
            // It is never closed.
            let _turn = TURNS.acquire().await.ok()?;
            let mut control = target.catalogue.place.usual().await.ok()?;
            let plan = self.planned(&mut control).await;
            let plan = plan.inspect_err(|error| tracing::debug!(%error, "an operation could not be planned"));
            rows(&plan.ok()?)
        };
        timeout(LONGEST, asked).await.ok().flatten()
    }

    async fn planned(&self, control: &mut Control) -> Result<Rows, ControlError> {
        control.query(&own::look(QUESTION)).await?;
        self.asker.enter(control).await?;
        control.query(&own::limits(QUESTION)).await?;
        control.query_short(&own::explain(&self.statement)).await
    }
}

/// The rows that a plan returns, or that what it changes is made of.
fn rows(plan: &Rows) -> Option<u64> {
    let text: Vec<&str> = plan.iter().filter_map(|row| row.first()?.as_deref()).collect();
    let plan: serde_json::Value = serde_json::from_str(&text.join("\n")).ok()?;
    let top = plan.get(0)?.get("Plan")?;
    let expected = |node: &serde_json::Value| node.get("Plan Rows")?.as_f64();
    let below = |node: &serde_json::Value| -> Vec<serde_json::Value> {
        node.get("Plans").and_then(|plans| plans.as_array()).cloned().unwrap_or_default()
    };
    let mut all = below(top);
    let mut next = 0;
    while let Some(node) = all.get(next).cloned() {
        // What a CTE changes is not in what its statement returns.
        if is_change(&node) {
            return None;
        }
        all.extend(below(&node));
        next += 1;
    }
    let rows = if is_change(top) {
        let feeds = |node: &&serde_json::Value| {
            matches!(node.get("Parent Relationship").and_then(|of| of.as_str()), Some("Outer" | "Member"))
        };
        below(top).iter().filter(feeds).map(expected).sum::<Option<f64>>()?
    } else {
        expected(top)?
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates, as it should")]
    Some(rows.ceil() as u64)
}

fn is_change(node: &serde_json::Value) -> bool {
    node.get("Node Type").and_then(|kind| kind.as_str()) == Some("ModifyTable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plan_returns_or_changes_is_told() {
        for (plan, expected) in [
            (r#"[{"Plan": {"Node Type": "Seq Scan", "Plan Rows": 12}}]"#, Some(12)),
            (
                r#"[{"Plan": {"Node Type": "Limit", "Plan Rows": 5, "Plans": [{"Node Type": "Seq Scan",
                "Parent Relationship": "Outer", "Plan Rows": 900}]}}]"#,
                Some(5),
            ),
            (
                r#"[{"Plan": {"Node Type": "ModifyTable", "Plan Rows": 0, "Plans": [{"Node Type": "Seq Scan",
                "Parent Relationship": "Outer", "Plan Rows": 900}]}}]"#,
                Some(900),
            ),
            (
                r#"[{"Plan": {"Node Type": "ModifyTable", "Plan Rows": 0, "Plans": [
                {"Node Type": "Result", "Parent Relationship": "InitPlan", "Plan Rows": 7},
                {"Node Type": "Seq Scan", "Parent Relationship": "Member", "Plan Rows": 1},
                {"Node Type": "Seq Scan", "Parent Relationship": "Member", "Plan Rows": 2}]}}]"#,
                Some(3),
            ),
            (
                r#"[{"Plan": {"Node Type": "CTE Scan", "Plan Rows": 1, "Plans": [{"Node Type": "ModifyTable",
                "Parent Relationship": "InitPlan", "Plan Rows": 0}]}}]"#,
                None,
            ),
            (r#"[{"Plan": {"Node Type": "Seq Scan"}}]"#, None),
            ("Seq Scan on t", None),
            ("", None),
        ] {
            let lines: Rows = plan.lines().map(|line| vec![Some(line.to_owned())]).collect();
            assert_eq!(rows(&lines), expected, "{plan}");
        }
    }
}
