//! `durward revoke`: access that is denied whatever policies say.

use gateway::denials::NewDenial;
use serde_json::Value;

use crate::args::{Reason, Revoke};
use crate::client::{Client, part};
use crate::show::{self, field, say, time_field};

pub(crate) fn run(client: &Client, command: Revoke) -> anyhow::Result<()> {
    match command {
        Revoke::Principal { principal, reason } => deny(client, "principal", principal, None, reason),
        Revoke::Token { id, reason } => deny(client, "token", id, None, reason),
        Revoke::Group { group, issuer, reason } => deny(client, "group", group, issuer, reason),
        Revoke::Issuer { issuer, reason } => deny(client, "issuer", issuer, None, reason),
        Revoke::Ls { json } => {
            let denials = client.get("/revocations")?;
            if json { Ok(show::json(&denials)?) } else { list(&denials) }
        }
        Revoke::Lift { id, json } => {
            let lifted = client.post(&format!("/revocations/{}/lift", part(&id)), &Value::Null)?;
            if json {
                return Ok(show::json(&lifted)?);
            }
            Ok(say(format_args!("Lifted {id}: whoever it was about may log in again, as policies say."))?)
        }
    }
}

fn deny(
    client: &Client,
    kind: &str,
    name: String,
    issuer: Option<String>,
    reason: Reason,
) -> anyhow::Result<()> {
    let Reason { reason, lasting, json } = reason;
    let wanted = NewDenial { kind: kind.to_owned(), name, issuer, reason, seconds: lasting };
    let done = client.post("/revocations", &serde_json::to_value(wanted)?)?;
    if json {
        return Ok(show::json(&done)?);
    }
    let denial = done.get("revocation").unwrap_or(&Value::Null);
    let end = match time_field(denial, "until") {
        none if none.is_empty() => "until it is lifted".to_owned(),
        until => format!("until {until}"),
    };
    let (subject, sessions) = (show::line(&field(denial, "subject")), field(&done, "sessions"));
    say(format_args!("Revoked {subject} {end}; sessions ended: {sessions}."))?;
    Ok(say(format_args!("It is lifted with: durward revoke lift {}", field(denial, "id")))?)
}

fn list(denials: &Value) -> anyhow::Result<()> {
    let row = |denial: &Value| {
        let of = |name| field(denial, name);
        let (since, until) = (time_field(denial, "since"), time_field(denial, "until"));
        vec![of("id"), of("subject"), since, until, of("by"), of("reason")]
    };
    let rows: Vec<_> = denials.as_array().into_iter().flatten().map(row).collect();
    Ok(show::table(&["ID", "REVOKED", "SINCE", "UNTIL", "BY", "REASON"], &rows)?)
}
