//! `durward freeze`, `freezes` and `thaw`: nothing changes for a while, whatever policies say.

use gateway::freezes::NewFreeze;
use serde_json::Value;

use crate::args::Freeze;
use crate::client::{Client, part};
use crate::exit::Fault;
use crate::node;
use crate::show::{self, field, say, time_field};

pub(crate) fn run(client: &Client, args: Freeze) -> anyhow::Result<()> {
    let Freeze { scope, reads, reason, until, lasting, json } = args;
    let left = |until: i64| match u64::try_from(until - node::now()) {
        Ok(left) if left > 0 => Ok(left),
        Ok(_) | Err(_) => Err(Fault::Invalid("--until: that moment is over".to_owned())),
    };
    let seconds = until.map(left).transpose()?.or(lasting);
    let done =
        client.post("/freezes", &serde_json::to_value(NewFreeze { scope, reads, reason, seconds })?)?;
    if json {
        return Ok(show::json(&done)?);
    }
    let freeze = done.get("freeze").unwrap_or(&Value::Null);
    let end = match time_field(freeze, "until") {
        none if none.is_empty() => "until it is thawed".to_owned(),
        until => format!("until {until}"),
    };
    let (subject, sessions) = (show::line(&field(freeze, "subject")), field(&done, "sessions"));
    let why = if reads {
        "they ran something, or had changed something and not committed it"
    } else {
        "they had changed something and not committed it"
    };
    say(format_args!("Frozen {end}: {subject}. Sessions ended, since {why}: {sessions}."))?;
    Ok(say(format_args!("It is ended with: durward thaw {}", field(freeze, "id")))?)
}

pub(crate) fn thaw(client: &Client, which: &str, json: bool) -> anyhow::Result<()> {
    let id = match which.starts_with("dwr_") {
        true => which.to_owned(),
        false => only_freeze_of(&client.get("/freezes")?, which)?,
    };
    let thawed = client.post(&format!("/freezes/{}/thaw", part(&id)), &Value::Null)?;
    if json {
        return Ok(show::json(&thawed)?);
    }
    Ok(say(format_args!("Thawed {id}: policies decide again."))?)
}

/// The id of the one freeze of a scope as it was typed for `durward freeze`.
fn only_freeze_of(freezes: &Value, scope: &str) -> Result<String, Fault> {
    let names = [scope.to_owned(), format!("target:{scope}"), format!("tag:{scope}")];
    let of_it = |freeze: &&Value| {
        let subject = field(freeze, "subject");
        subject.rsplit_once(" on ").is_some_and(|(_, scope)| names.iter().any(|name| name == scope))
    };
    let found: Vec<&Value> = freezes.as_array().into_iter().flatten().filter(of_it).collect();
    match found.as_slice() {
        [one] => Ok(field(one, "id")),
        [] => Err(Fault::Missing(format!(
            "nothing is frozen by the word \"{scope}\": durward freezes lists what is"
        ))),
        several => {
            let listed = several.iter().map(|f| format!("{} ({})", field(f, "id"), field(f, "subject")));
            let listed = listed.collect::<Vec<_>>().join(", ");
            Err(Fault::Invalid(format!("\"{scope}\" is frozen more than once; say which: {listed}")))
        }
    }
}

pub(crate) fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let freezes = client.get("/freezes")?;
    if json {
        return Ok(show::json(&freezes)?);
    }
    let row = |freeze: &Value| {
        let of = |name| field(freeze, name);
        let (since, until) = (time_field(freeze, "since"), time_field(freeze, "until"));
        vec![of("id"), of("subject"), since, until, of("by"), of("reason")]
    };
    let rows: Vec<_> = freezes.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return Ok(say("Nothing is frozen.")?);
    }
    Ok(show::table(&["ID", "FROZEN", "SINCE", "UNTIL", "BY", "REASON"], &rows)?)
}
