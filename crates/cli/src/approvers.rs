//! `durward approver`: who may answer held operations beside the administrator.

use serde_json::{Value, json};

use crate::args::Approver;
use crate::client::{Client, part};
use crate::show::{self, field, say, time_field};

pub(crate) fn run(client: &Client, command: Approver) -> anyhow::Result<()> {
    match command {
        Approver::Add { name, groups, names, json } => {
            let added =
                client.post("/approvers", &json!({ "name": name, "groups": groups, "names": names }))?;
            if json {
                return Ok(show::json(&added)?);
            }
            say(field(&added, "secret"))?;
            // Not on the standard output: that is the secret alone, for scripts.
            eprintln!(
                "This secret is {name}'s, shown this once and written nowhere: give it to them and to nobody else. With it they \
                 answer what waits for {}:\n    durward requests ls --as {name}\n    durward requests approve ID --as {name}\n\
                 It is taken away with: durward approver remove {name}",
                groups.join(", ")
            );
            Ok(())
        }
        Approver::Ls { json } => {
            let approvers = client.get("/approvers")?;
            if json { Ok(show::json(&approvers)?) } else { list(&approvers) }
        }
        Approver::Remove { name, json } => {
            let removed = client.post(&format!("/approvers/{}/remove", part(&name)), &Value::Null)?;
            if json {
                return Ok(show::json(&removed)?);
            }
            Ok(say(format_args!(
                "Removed {name}; their answers to what waits, or is approved and not used, do not count."
            ))?)
        }
    }
}

fn list(approvers: &Value) -> anyhow::Result<()> {
    let row = |approver: &Value| {
        vec![
            field(approver, "name"),
            field(approver, "groups"),
            field(approver, "names"),
            time_field(approver, "added"),
        ]
    };
    let rows: Vec<_> = approvers.as_array().into_iter().flatten().map(row).collect();
    Ok(show::table(&["NAME", "GROUPS", "IS", "ADDED"], &rows)?)
}
