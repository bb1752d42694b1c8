//! `durward targets`.

use serde_json::Value;

use crate::args::Targets;
use crate::client::Client;
use crate::show::{self, field};

pub(crate) fn run(client: &Client, command: &Targets) -> anyhow::Result<()> {
    let Targets::Ls { json } = command;
    let mut configuration = client.get("/configuration")?;
    let targets = configuration.get_mut("targets").map(Value::take).unwrap_or_default();
    if *json {
        return Ok(show::json(&targets)?);
    }
    let row = |target: &Value| {
        let columns: Vec<&Value> =
            target.get("columns").and_then(Value::as_object).into_iter().flat_map(|c| c.values()).collect();
        let proposed = |c: &&&Value| c.get("proposed").and_then(Value::as_bool).unwrap_or(false);
        let proposed = columns.iter().filter(proposed).count();
        vec![
            field(target, "name"),
            format!("{}:{}/{}", field(target, "host"), field(target, "port"), field(target, "database")),
            field(target, "user"),
            field(target, "sslmode"),
            field(target, "tags"),
            format!("{} ({proposed} proposed)", columns.len()),
        ]
    };
    let rows: Vec<_> = targets.as_array().into_iter().flatten().map(row).collect();
    Ok(show::table(&["NAME", "ADDRESS", "ROLE", "SSLMODE", "TAGS", "TAGGED COLUMNS"], &rows)?)
}
