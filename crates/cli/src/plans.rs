//! `durward plan`: several statements that are approved as one, from a file, with the token of whoever asks.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::args::{Asker, Plan, Submit};
use crate::exit::Fault;
use crate::login::{Desk, Stored};
use crate::show::{self, field, say};

/// The token of whoever asks. It is never an argument: arguments can be read by every process.
const TOKEN: &str = "DURWARD_TOKEN";
/// How often whoever waits looks.
const LOOK: Duration = Duration::from_secs(1);
/// A token that is made for a plan lives so long, in seconds: it waits for its approval, and runs.
const LIFE: u64 = 3600;

pub(crate) fn run(command: Plan) -> anyhow::Result<()> {
    match command {
        Plan::Submit(args) => submit(&args),
        Plan::Show { id, asker } => {
            let (desk, token) = asker.desk(&[])?;
            tell(&desk.plan(&token, &id)?, asker.json)
        }
        Plan::Withdraw { id, asker } => {
            let (desk, token) = asker.desk(&[])?;
            tell(&desk.withdraw(&token, &id)?, asker.json)
        }
        Plan::Wait { id, asker } => {
            let (desk, token) = asker.desk(&[])?;
            wait(&desk, &token, &id, asker.json)
        }
    }
}

/// Takes a request of one's own back, whatever it asks for.
pub(crate) fn withdraw_request(id: &str, asker: &Asker) -> anyhow::Result<()> {
    let (desk, token) = asker.desk(&[])?;
    let taken = desk.withdraw_request(&token, id)?;
    if asker.json {
        return Ok(show::json(&taken)?);
    }
    Ok(say(format_args!("Request {id} is {}.", show::line(&field(&taken, "status"))))?)
}

impl Asker {
    pub(crate) fn desk(&self, targets: &[String]) -> anyhow::Result<(Desk, Zeroizing<String>)> {
        if let Some(token) = std::env::var(TOKEN).ok().filter(|token| !token.is_empty()) {
            return Ok((Desk::new(&self.agents)?, Zeroizing::new(token.trim().to_owned())));
        }
        let Some(agent) = &self.agent else {
            let why = format!("put the token in {TOKEN}, or say --agent NAME after durward login");
            return Err(Fault::Unauthorized(why).into());
        };
        let stored = Stored::usable()?;
        let desk = Desk::new(&stored.agents)?;
        let given = desk.mint(&stored.token, Some(agent), targets, None, LIFE)?;
        Ok((desk, given.token))
    }
}

fn submit(args: &Submit) -> anyhow::Result<()> {
    let Submit { file, target, reason, in_session, wait: waits, asker } = args;
    let script = read(file)?;
    let (desk, token) = asker.desk(std::slice::from_ref(target))?;
    let by = if *in_session { "session" } else { "gateway" };
    let form = [("target", target.as_str()), ("script", &script), ("reason", reason), ("by", by)];
    let plan = desk.submit(&token, &form)?;
    let id = field(&plan, "id");
    if *waits {
        if !asker.json {
            tell(&plan, false)?;
        }
        return wait(&desk, &token, &id, asker.json);
    }
    tell(&plan, asker.json)
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut script = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut script).context("the standard input")?;
        return Ok(script);
    }
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

fn wait(desk: &Desk, token: &str, id: &str, as_json: bool) -> anyhow::Result<()> {
    loop {
        let plan = desk.plan(token, id)?;
        let status = field(&plan, "status");
        if !["pending", "approved", "claimed"].contains(&status.as_str()) {
            tell(&plan, as_json)?;
            return if status == "done" { Ok(()) } else { anyhow::bail!("plan {id} is {status}") };
        }
        std::thread::sleep(LOOK);
    }
}

fn tell(plan: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json { Ok(show::json(plan)?) } else { Ok(say(whole(plan).join("\n"))?) }
}

/// A plan as whoever asked sees it.
fn whole(plan: &Value) -> Vec<String> {
    let of = |name| show::line(&field(plan, name));
    let mut out = vec![format!("Plan {} on {} is {}.", of("id"), of("target"), of("status"))];
    if !of("outcome").is_empty() {
        out.push(of("outcome"));
    }
    if !of("changed").is_empty() {
        out.push(format!("Asked anew: {}", of("changed")));
    }
    if of("status") == "pending" {
        out.push(format!("To approve: {}", of("how")));
    }
    out.extend(crate::plan_lines::of(plan.get("plan").unwrap_or(&Value::Null), plan.get("progress")));
    out
}
