//! `durward break-glass`: one-time codes, made before they are needed.

use gateway::break_glass::NewCodes;
use serde_json::Value;

use crate::args::BreakGlass;
use crate::client::{Client, part};
use crate::show::{self, field, say, time_field};

pub(crate) fn run(client: &Client, command: BreakGlass) -> anyhow::Result<()> {
    match command {
        BreakGlass::Create { name, groups, target, lifetime, kept, count, json } => {
            // A code is for a person, so their name alone will do.
            let principal = if name.contains(':') { name } else { format!("user:{name}") };
            let wanted = NewCodes { principal, groups, target, lifetime, kept, count };
            let made = client.post("/break-glass", &serde_json::to_value(wanted)?)?;
            if json {
                return Ok(show::json(&made)?);
            }
            let codes = made.as_array().map(Vec::as_slice).unwrap_or_default();
            for code in codes {
                say(field(code, "code"))?;
            }
            let until = codes.first().map(|c| time_field(c, "expires")).unwrap_or_default();
            eprintln!(
                "Shown this once: seal each where only whom it is for can open it. Each opens one session, as a password, \
                 until {until}."
            );
            Ok(())
        }
        BreakGlass::Ls { json } => {
            let codes = client.get("/break-glass")?;
            if json { Ok(show::json(&codes)?) } else { list(&codes) }
        }
        BreakGlass::Revoke { id, json } => {
            let revoked = client.post(&format!("/break-glass/{}/revoke", part(&id)), &Value::Null)?;
            if json {
                return Ok(show::json(&revoked)?);
            }
            Ok(say(format_args!("Revoked {id}; sessions ended: {}.", field(&revoked, "sessions")))?)
        }
    }
}

fn list(codes: &Value) -> anyhow::Result<()> {
    let row = |code: &Value| {
        let of = |name| field(code, name);
        let revoked = code.get("revoked").and_then(Value::as_bool).unwrap_or(false);
        let standing = match time_field(code, "used") {
            _ if revoked => "revoked".to_owned(),
            none if none.is_empty() => format!("good until {}", time_field(code, "expires")),
            used => format!("used {used}"),
        };
        vec![of("id"), of("principal"), of("groups"), of("target"), format!("{}s", of("lifetime")), standing]
    };
    let rows: Vec<_> = codes.as_array().into_iter().flatten().map(row).collect();
    Ok(show::table(&["ID", "FOR", "GROUPS", "TARGET", "LIFETIME", "STANDING"], &rows)?)
}
