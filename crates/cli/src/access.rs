//! `durward access`: leave to go on without asking for a while, asked for with the token of whoever asks.

use std::time::Duration;

use serde_json::Value;

use crate::args::{Access, AskAccess};
use crate::login::Desk;
use crate::show::{self, field, say, time_field};

/// How often whoever waits looks.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) fn run(command: Access) -> anyhow::Result<()> {
    match command {
        Access::Ask(args) => ask(&args),
        Access::Show { id, asker } => {
            let (desk, token) = asker.desk(&[])?;
            tell(&desk.access(&token, &id)?, asker.json)
        }
        Access::Wait { id, asker } => {
            let (desk, token) = asker.desk(&[])?;
            wait(&desk, &token, &id, asker.json)
        }
    }
}

fn ask(args: &AskAccess) -> anyhow::Result<()> {
    let AskAccess { access, target, reason, rows, life, wait: waits, asker } = args;
    let (desk, token) = asker.desk(std::slice::from_ref(target))?;
    let number = |number: &Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let (rows, seconds) = (number(rows), number(life));
    let mut form =
        vec![("target", target.as_str()), ("reason", reason), ("rows", &rows), ("seconds", &seconds)];
    form.extend(access.iter().map(|one| ("access", one.as_str())));
    let asked = desk.ask_access(&token, &form)?;
    if *waits {
        if !asker.json {
            tell(&asked, false)?;
        }
        return wait(&desk, &token, &field(&asked, "id"), asker.json);
    }
    tell(&asked, asker.json)
}

fn wait(desk: &Desk, token: &str, id: &str, as_json: bool) -> anyhow::Result<()> {
    loop {
        let asked = desk.access(token, id)?;
        let status = field(&asked, "status");
        if !["pending", "approved"].contains(&status.as_str()) {
            tell(&asked, as_json)?;
            return if status == "done" { Ok(()) } else { anyhow::bail!("request {id} is {status}") };
        }
        std::thread::sleep(LOOK);
    }
}

fn tell(asked: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json { Ok(show::json(asked)?) } else { Ok(say(whole(asked).join("\n"))?) }
}

/// A request for access as whoever asked sees it.
fn whole(asked: &Value) -> Vec<String> {
    let of = |name| show::line(&field(asked, name));
    let mut out = match of("grant") {
        none if none.is_empty() => {
            vec![format!("Request {} on {} is {}.", of("id"), of("target"), of("status"))]
        }
        grant => {
            vec![format!("Request {} on {} is approved: standing grant {grant}.", of("id"), of("target"))]
        }
    };
    if let Some(access) = asked.get("access") {
        out.extend(lines(access));
    }
    out.push(format!("Until {}.", time_field(asked, "until")));
    if !of("said").is_empty() {
        out.push(format!("Said: {}", of("said")));
    }
    if !of("free").is_empty() {
        out.push(format!("You need no leave for {}.", of("free")));
    }
    if of("status") == "pending" {
        out.push(format!("To approve: {}", of("how")));
    }
    out
}

/// What access lets, a line each, and its bounds.
pub(crate) fn lines(access: &Value) -> Vec<String> {
    let leaves = access.get("leaves").and_then(Value::as_array);
    let leave = |leave: &Value| {
        let table = leave.get("table").unwrap_or(&Value::Null);
        let part = |name| show::name(&field(table, name));
        format!("  - {} {}.{}", show::line(&field(leave, "action")), part("schema"), part("name"))
    };
    let mut out: Vec<String> = leaves.into_iter().flatten().map(leave).collect();
    let rows = access.get("most").and_then(Value::as_u64);
    let rows = rows.map(|rows| format!("at most {rows} rows a statement, ")).unwrap_or_default();
    let seconds = access.get("seconds").and_then(Value::as_u64).unwrap_or_default();
    let time =
        if seconds.is_multiple_of(60) { format!("{} min", seconds / 60) } else { format!("{seconds} s") };
    out.push(format!("  by whatever statement, {rows}for {time}"));
    out
}
