//! `durward status`: how a running gateway is.

use serde_json::Value;

use crate::args::Status;
use crate::client::Client;
use crate::exit::Fault;
use crate::show::{self, field, say};

pub(crate) fn run(client: &Client, args: &Status) -> anyhow::Result<()> {
    if args.ready {
        if client.is_ready()? {
            return Ok(());
        }
        return Err(Fault::Wrong("it is not ready for clients".to_owned()).into());
    }
    let health = client.get("/health")?;
    if args.json {
        show::json(&health)?;
    } else {
        print(&health)?;
    }
    let is = |name: &str| health.get(name).and_then(Value::as_bool).unwrap_or(false);
    if !is("ready") {
        return Err(Fault::Wrong("it is not ready for clients".to_owned()).into());
    }
    if !field(&health, "problem").is_empty() {
        return Err(
            Fault::Wrong("its files are not valid, so what was in force stays in force".to_owned()).into()
        );
    }
    Ok(())
}

fn print(health: &Value) -> anyhow::Result<()> {
    let of = |name: &str| show::line(&field(health, name));
    say(format_args!(
        "durward {}, configuration {}, policies {}",
        of("version"),
        of("configuration"),
        of("policies")
    ))?;
    for name in ["ready", "journal", "store", "draining", "sessions"] {
        let trouble = if name == "store" { of("store_trouble") } else { String::new() };
        let trouble = if trouble.is_empty() { trouble } else { format!(": {trouble}") };
        say(format_args!("  {name:<9} {}{trouble}", of(name)))?;
    }
    for (name, usable) in health.get("issuers").and_then(Value::as_object).into_iter().flatten() {
        let state = if usable.as_bool() == Some(true) { "usable" } else { "there are no keys of it" };
        say(format_args!("  issuer    {}: {state}", show::line(name)))?;
    }
    for (name, state) in health.get("targets").and_then(Value::as_object).into_iter().flatten() {
        let state = state.as_str().unwrap_or_default();
        say(format_args!("  target    {}: {}", show::line(name), show::line(state)))?;
    }
    let problem = field(health, "problem");
    if !problem.is_empty() {
        say("The files were read again and are not valid:")?;
        say(show::lines(&problem))?;
    }
    Ok(())
}
