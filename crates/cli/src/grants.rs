//! `durward grants`: leave for all that is alike to one held operation, for a while; and requests that are alike, answered
//! together.

use gateway::alike::{Seen, mark};
use serde_json::{Value, json};

use crate::args::Grants;
use crate::client::{Client, part};
use crate::show::{self, field, say, time_field};

pub(crate) fn run(gateway: &str, name: Option<String>, command: Grants) -> anyhow::Result<()> {
    let client = &Client::new(gateway)?.with_name(name.as_deref());
    match command {
        Grants::Give { request, life, most, uses, keep, json } => {
            if name.is_none() && !crate::client::has_secret() && crate::login::is_somebody()? {
                return crate::requests::in_browser(gateway, &request);
            }
            let grant = json!({ "seconds": life, "most": most, "uses": uses, "keep": keep });
            let body = json!({ "grant": grant, "name": name });
            let given = client.post(&format!("/requests/{}/grant", part(&request)), &body)?;
            if json { Ok(show::json(&given)?) } else { Ok(say(whole(&given))?) }
        }
        Grants::Ls { json } => {
            let found = client.get("/grants")?;
            if json { Ok(show::json(&found)?) } else { list(&found) }
        }
        Grants::Show { id, json } => {
            let found = client.get(&format!("/grants/{}", part(&id)))?;
            if json {
                return Ok(show::json(&found)?);
            }
            say(whole(found.get("grant").unwrap_or(&Value::Null)))?;
            let is_access = found.pointer("/grant/access").is_some();
            uses(found.get("uses").unwrap_or(&Value::Null), is_access)
        }
        Grants::Revoke { id, json } => {
            let revoked = client.post(&format!("/grants/{}/revoke", part(&id)), &json!({ "name": name }))?;
            if json {
                return Ok(show::json(&revoked)?);
            }
            Ok(say(format_args!("The standing grant {id} is revoked: what it covered asks again."))?)
        }
    }
}

fn list(found: &Value) -> anyhow::Result<()> {
    let row = |grant: &Value| {
        vec![
            field(grant, "id"),
            field(grant, "state"),
            field(grant, "principal"),
            field(grant, "target"),
            time_field(grant, "expires"),
            field(grant, "most"),
            used(grant),
            field(grant, "text"),
        ]
    };
    let rows: Vec<_> = found.as_array().into_iter().flatten().map(row).collect();
    Ok(show::table(
        &["ID", "STATE", "PRINCIPAL", "TARGET", "UNTIL", "ROWS EACH", "USED", "STATEMENT"],
        &rows,
    )?)
}

/// `3 of 5`
fn used(grant: &Value) -> String {
    match grant.get("uses").and_then(Value::as_u64) {
        Some(most) => format!("{} of {most}", field(grant, "used")),
        None => field(grant, "used"),
    }
}

/// A grant in words: whose statements it covers, which, with which values, until when, with how many rows.
fn whole(grant: &Value) -> String {
    let mut out = Vec::new();
    for (heading, name) in [
        ("Grant", "id"),
        ("State", "state"),
        ("Covers", "principal"),
        ("For", "on_behalf_of"),
        ("Target", "target"),
        ("Rows", "most"),
        ("Request", "request"),
        ("Ended", "ended"),
    ] {
        let value = field(grant, name);
        if !value.is_empty() {
            out.push(format!("{heading:<10}{}", show::line(&value)));
        }
    }
    out.push(format!("{:<10}{}", "Used", used(grant)));
    out.push(format!("{:<10}{} to {}", "Stands", time_field(grant, "given"), time_field(grant, "expires")));
    if let Some(giver) = grant.get("giver") {
        let by = format!("{}, by {}", field(giver, "voter"), field(giver, "proof"));
        out.push(format!("{:<10}{}", "Given by", show::line(&by)));
    }
    for rule in grant.get("holds").and_then(Value::as_array).into_iter().flatten() {
        out.push(format!("{:<10}{}", "Answers", show::line(&field(rule, "id"))));
    }
    for other in grant.get("others").and_then(Value::as_array).into_iter().flatten() {
        let by = format!("{}, by {}", field(other, "voter"), field(other, "proof"));
        out.push(format!("{:<10}{}", "And by", show::line(&by)));
    }
    if let Some(access) = grant.get("access") {
        out.push("Lets:".to_owned());
        out.extend(crate::access::lines(access));
        return out.join("\n");
    }
    out.push("Statement:".to_owned());
    out.extend(field(grant, "text").split('\n').map(|line| format!("  | {}", show::line(line))));
    let values = grant.get("values").and_then(Value::as_array);
    for (n, value) in (1..).zip(values.into_iter().flatten()) {
        let is = match value.get("text").and_then(Value::as_str) {
            _ if value.get("any") == Some(&Value::Bool(true)) => "any value".to_owned(),
            text => show::value(text),
        };
        out.push(format!("  ${n} = {is}"));
    }
    out.join("\n")
}

/// The values of a request in a line.
fn values(request: &Value) -> String {
    let values = request.get("values").and_then(Value::as_array).into_iter().flatten();
    values.map(|value| show::value(value.as_str())).collect::<Vec<_>>().join(", ")
}

/// Where it lets whatever statement through, each is said.
fn uses(uses: &Value, is_access: bool) -> anyhow::Result<()> {
    let row = |request: &Value| {
        let number = request.get("granted").map(|used| field(used, "number")).unwrap_or_default();
        let values = values(request);
        vec![
            number,
            field(request, "id"),
            field(request, "status"),
            time_field(request, "filed"),
            if is_access { format!("{} {values}", field(request, "text")) } else { values },
            field(request, "outcome"),
        ]
    };
    let rows: Vec<_> = uses.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return Ok(say("It was not used.")?);
    }
    let what = if is_access { "STATEMENT" } else { "VALUES" };
    Ok(show::table(&["USE", "REQUEST", "STATUS", "AT", what, "OUTCOME"], &rows)?)
}

// ---------------------------------------------------------------------- what is alike

fn seen(found: &Value) -> Vec<Seen> {
    let one = |request: &Value| Seen { id: field(request, "id"), digest: field(request, "digest") };
    found.as_array().into_iter().flatten().map(one).collect()
}

/// Shows what waits and is alike to a request, each with its values, and how to answer just these.
pub(crate) fn alike(client: &Client, id: &str, as_json: bool) -> anyhow::Result<()> {
    let found = client.get(&format!("/requests/{}/alike", part(id)))?;
    if as_json {
        return Ok(show::json(&found)?);
    }
    let all: Vec<&Value> = found.as_array().into_iter().flatten().collect();
    if let Some(first) = all.first() {
        let who = format!("{} on {}", field(first, "principal"), field(first, "target"));
        say(show::line(&who))?;
        for line in field(first, "text").split('\n') {
            say(format_args!("  | {}", show::line(line)))?;
        }
    }
    let row = |request: &&Value| {
        let most = request.pointer("/ceiling/rows/most").map(Value::to_string).unwrap_or_default();
        vec![field(request, "id"), time_field(request, "expires"), most, values(request)]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    show::table(&["ID", "UNTIL", "ROWS", "VALUES"], &rows)?;
    let mark = mark(&seen(&found));
    Ok(say(format_args!("Approve exactly these: durward requests approve {id} --alike {mark}"))?)
}

/// Answers what waits and is alike to a request, where that is what was seen.
pub(crate) fn answer_alike(
    client: &Client,
    id: &str,
    (meant, mut body): (&str, Value),
    as_json: bool,
) -> anyhow::Result<()> {
    let found = client.get(&format!("/requests/{}/alike", part(id)))?;
    let all = seen(&found);
    if mark(&all) != meant {
        anyhow::bail!("others wait by now than those that you saw: look again (durward requests alike {id})");
    }
    if let Some(fields) = body.as_object_mut() {
        fields.insert("requests".to_owned(), json!(all));
    }
    let answered = client.post(&format!("/requests/{}/alike/answer", part(id)), &body)?;
    if as_json {
        return Ok(show::json(&answered)?);
    }
    for one in answered.as_array().into_iter().flatten() {
        let id = field(one, "id");
        match one.get("refused").and_then(Value::as_str) {
            Some(why) => say(format_args!("{id}: {}", show::line(why)))?,
            None => say(format_args!("Request {id} is {}.", field(one, "status")))?,
        }
    }
    Ok(())
}
