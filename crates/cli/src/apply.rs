//! `durward apply`, `durward diff`: a directory and what is in force.

use serde_json::Value;

use crate::args::{Apply, Diff};
use crate::client::Client;
use crate::exit::Fault;
use crate::lines;
use crate::show::{self, say};
use crate::wanted::Wanted;

pub(crate) fn run(client: &Client, args: &Apply) -> anyhow::Result<()> {
    let Apply { directory, dry_run, prune, json } = args;
    let files = Wanted::read(directory)?;
    let wanted = files.to_json()?;
    let applied = if *dry_run {
        client.post(&format!("/configuration/check?prune={prune}"), &wanted)
    } else {
        client.put(&format!("/configuration?prune={prune}"), &wanted)
    };
    let applied = applied.map_err(|error| files.placed(error))?;
    if *json {
        return Ok(show::json(&applied)?);
    }
    let changes = texts(&applied, "changes");
    for change in &changes {
        say(format_args!("  {}", show::line(change)))?;
    }
    say_what_stays(&applied)?;
    let how = match (changes.is_empty(), dry_run) {
        (true, _) => "Nothing differs",
        (false, true) => "Would be applied",
        (false, false) => "Applied",
    };
    let of = |name| show::field(&applied, name);
    Ok(say(format_args!("{how}; configuration {}, policies {}.", of("configuration"), of("version")))?)
}

/// Shows what an apply would change, policies line by line.
pub(crate) fn diff(client: &Client, args: &Diff) -> anyhow::Result<()> {
    let Diff { directory, prune, json } = args;
    let files = Wanted::read(directory)?;
    let wanted = files.to_json()?;
    let before = client.get("/configuration")?;
    let checked = client.post(&format!("/configuration/check?prune={prune}"), &wanted);
    let checked = checked.map_err(|error| files.placed(error))?;
    let changes = texts(&checked, "changes");
    if *json {
        show::json(&checked)?;
    } else {
        for change in &changes {
            say(show::line(change))?;
            let Some(name) = change.strip_prefix("policy file ").and_then(|c| c.strip_suffix(" changed"))
            else {
                continue;
            };
            for line in lines::diff(&policy(&before, name), &policy(&wanted, name)) {
                say(format_args!("  {}", show::line(&line)))?;
            }
        }
        say_what_stays(&checked)?;
    }
    if changes.is_empty() {
        return if *json { Ok(()) } else { Ok(say("Nothing differs.")?) };
    }
    Err(Fault::Wrong(format!("{} differences", changes.len())).into())
}

fn say_what_stays(applied: &Value) -> anyhow::Result<()> {
    let stays = texts(applied, "stays");
    if !stays.is_empty() {
        say("In force and not among these files, so it stays (--prune removes it):")?;
        for one in &stays {
            say(format_args!("  {}", show::line(one)))?;
        }
    }
    Ok(())
}

fn texts<'a>(value: &'a Value, name: &str) -> Vec<&'a str> {
    let list = value.get(name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn policy(configuration: &Value, name: &str) -> String {
    let files = configuration.get("policies").and_then(Value::as_array).into_iter().flatten();
    let mut found = files.filter(|file| show::field(file, "name") == name);
    found.next().map(|file| show::field(file, "text")).unwrap_or_default()
}
