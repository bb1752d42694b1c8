//! A plan in lines: what comes, goes and changes, and its statements with what each would do, or did.

use serde_json::Value;

use crate::show::{field, line, name, value};

/// So many rows of a result are shown.
const ROWS: usize = 20;

fn items<'v>(of: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The lines, with what came of its statements where that is known.
pub(crate) fn of(plan: &Value, progress: Option<&Value>) -> Vec<String> {
    let mut out = Vec::new();
    let count = items(plan, "steps").count();
    if count == 0 {
        return out;
    }
    let reason = field(plan, "reason");
    if !reason.is_empty() {
        out.push(format!("Its reason: {}", line(&reason)));
    }
    match field(plan, "apart") {
        none if none.is_empty() => {
            out.push(format!("Its {count} statements run in one transaction: all of them stay, or none."));
        }
        why => {
            out.push(format!("Its {count} statements run one by one: {}.", line(&why)));
            out.push("What has run stays; where one fails, those behind it do not run.".to_owned());
        }
    }
    if field(plan, "by") == "session" {
        out.push("Whoever asked sends them, in a session of theirs.".to_owned());
    }
    out.extend(plan.get("tried").and_then(tried));
    let changes: Vec<String> = items(plan, "schema").map(change).collect();
    if !changes.is_empty() {
        out.push("The schema:".to_owned());
        out.extend(changes);
    }
    for why in items(plan, "unforeseen") {
        out.push(format!("Not foreseen: {}", line(why.as_str().unwrap_or_default())));
    }
    let mut done = progress.into_iter().flat_map(|progress| items(progress, "done"));
    for (number, step) in (1..).zip(items(plan, "steps")) {
        out.extend(statement(number, count, step));
        if let Some(done) = done.next() {
            out.extend(came(done));
        }
    }
    out
}

/// What came of trying it beforehand.
fn tried(tried: &Value) -> Option<String> {
    let why = |name| tried.get(name).and_then(Value::as_str).map(line);
    if tried.as_str() == Some("whole") {
        let all =
            "All of them were tried in one transaction that was rolled back, each behind those before it.";
        return Some(all.to_owned());
    }
    let failed = why("failed")
        .map(|why| format!("When it was tried and rolled back, {why}: as it is, nothing of it would stay."));
    failed.or_else(|| {
        why("no").map(|why| {
            format!("It was not tried, as policy wants: {why}. Each of its statements was counted by itself.")
        })
    })
}

/// `  + the column shop.orders.note: text (2)`
fn change(change: &Value) -> String {
    let mark = match field(change, "sign").as_str() {
        "comes" => '+',
        "goes" => '-',
        _ => '~',
    };
    let detail = match field(change, "detail") {
        none if none.is_empty() => none,
        detail => format!(": {}", line(&detail)),
    };
    format!("  {mark} {}{detail} ({})", line(&field(change, "what")), field(change, "step"))
}

fn statement(number: usize, count: usize, step: &Value) -> Vec<String> {
    let mut out = vec![format!("Statement {number} of {count}:")];
    out.extend(
        crate::show::spaced(&field(step, "text")).split('\n').map(|text| format!("  | {}", line(text))),
    );
    let lines = |name| items(step, name).filter_map(Value::as_str).map(|text| format!("  - {}", line(text)));
    out.extend(lines("effects"));
    out.extend(lines("words"));
    out.extend(crate::requests::seen(step).into_iter().map(|seen| format!("  {seen}")));
    let rows = step.get("ceiling").and_then(|ceiling| ceiling.get("rows"));
    if let Some(most) = rows.and_then(|rows| rows.get("most")).and_then(Value::as_u64) {
        out.push(format!("  - at most {most} rows: with more it fails"));
    }
    let holds = field(step, "holds");
    if !holds.is_empty() {
        out.push(format!("  held by {}", line(&holds)));
    }
    out
}

/// What came of a statement.
fn came(done: &Value) -> Vec<String> {
    let error = field(done, "error");
    if !error.is_empty() {
        return vec![format!("  = failed: {}", line(&error))];
    }
    let mut out = vec![format!("  = {}", line(&field(done, "tag")))];
    let columns: Vec<String> = items(done, "columns").filter_map(Value::as_str).map(name).collect();
    if !columns.is_empty() {
        out.push(format!("    {}", columns.join(", ")));
    }
    let mut rows = items(done, "rows");
    for row in rows.by_ref().take(ROWS) {
        let cell = |cell: &Value| value(cell.as_str());
        let cells: Vec<String> = row.as_array().into_iter().flatten().map(cell).collect();
        out.push(format!("    {}", cells.join(" | ")));
    }
    let more = rows.count() as u64 + done.get("left_out").and_then(Value::as_u64).unwrap_or_default();
    if more > 0 {
        out.push(format!("    and {more} rows more"));
    }
    out
}
