//! `durward sessions`: live ones from the gateway, all from the journal.

mod cast;
mod play;
mod screen;
mod search;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use crate::args::Sessions;
use crate::client::Client;
use crate::exit::Fault;
use crate::node;
use crate::show::{self, field, say, time_field};

pub(crate) fn run(client: impl Fn() -> anyhow::Result<Client>, command: Sessions) -> anyhow::Result<()> {
    match command {
        Sessions::Ls { all: false, place: _, json } => {
            let live = client()?.get("/sessions")?;
            if json { Ok(show::json(&live)?) } else { list_live(&live) }
        }
        Sessions::Ls { all: true, place, json } => {
            let known = known(&node::journal_in(&place.settings()?.data))?;
            if json { Ok(show::json(&Value::Array(known))?) } else { list_known(&known) }
        }
        Sessions::Show { id, place, json } => one(&node::journal_in(&place.settings()?.data), &id, json),
        Sessions::Play(args) => play::play(&client()?, &args),
        Sessions::Tail { id, rows, json } => play::tail(&client()?, &id, rows, json),
        Sessions::Export(args) => cast::export(&client()?, &args),
        Sessions::Search(args) => search::run(&client()?, &args),
        Sessions::Kill { id, principal, target, json } => {
            let of = |name: &str, word: Option<String>| word.map(|word| json!({ name: word }));
            let which = of("session", id.clone())
                .or_else(|| of("principal", principal))
                .or_else(|| of("target", target))
                .ok_or_else(|| Fault::Invalid("which session?".to_owned()))?;
            let ended = client()?.post("/sessions/kill", &which)?;
            if json {
                return Ok(show::json(&ended)?);
            }
            match (id, field(&ended, "sessions").as_str()) {
                (Some(id), "1") => Ok(say(format_args!("Ended {id}."))?),
                (Some(id), _) => {
                    Ok(say(format_args!("Ended {id}, if it is at another gateway of the store."))?)
                }
                (None, count) => Ok(say(format_args!("Sessions ended: {count}."))?),
            }
        }
    }
}

fn list_live(live: &Value) -> anyhow::Result<()> {
    let row = |session: &Value| {
        let of = |name| field(session, name);
        let since = time_field(session, "since");
        vec![of("id"), of("principal"), of("target"), of("address"), of("application"), since, of("token")]
    };
    let rows: Vec<_> = live.as_array().into_iter().flatten().map(row).collect();
    let headings = ["ID", "PRINCIPAL", "TARGET", "ADDRESS", "APPLICATION", "SINCE", "TOKEN"];
    Ok(show::table(&headings, &rows)?)
}

/// All sessions of a journal, oldest first.
fn known(directory: &Path) -> anyhow::Result<Vec<Value>> {
    let mut order = Vec::new();
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    each(directory, |record| {
        let id = field(&record, "session");
        match field(&record, "kind").as_str() {
            "opened" => {
                let of = |name: &str| record.get(name).cloned().unwrap_or_default();
                let session = json!({
                    "id": id, "opened": of("time"), "principal": of("principal"), "target": of("target"),
                    "address": of("address"), "application": of("application"),
                });
                order.push(id.clone());
                found.insert(id, session);
            }
            "closed" => {
                if let Some(session) = found.get_mut(&id).and_then(Value::as_object_mut) {
                    session.insert("closed".to_owned(), record.get("time").cloned().unwrap_or_default());
                    for name in ["why", "operations", "refusals", "rows"] {
                        session.insert(name.to_owned(), record.get(name).cloned().unwrap_or_default());
                    }
                }
            }
            _ => (),
        }
    })?;
    Ok(order.iter().filter_map(|id| found.remove(id)).collect())
}

fn list_known(known: &[Value]) -> anyhow::Result<()> {
    let names = ["id", "opened", "closed", "principal", "target", "operations", "refusals", "rows", "why"];
    let rows: Vec<Vec<String>> = known.iter().map(|s| names.iter().map(|n| field(s, n)).collect()).collect();
    let headings = ["ID", "OPENED", "CLOSED", "PRINCIPAL", "TARGET", "OPERATIONS", "REFUSALS", "ROWS", "END"];
    Ok(show::table(&headings, &rows)?)
}

fn one(directory: &Path, id: &str, as_json: bool) -> anyhow::Result<()> {
    let mut records = Vec::new();
    each(directory, |record| {
        if field(&record, "session") == id {
            records.push(record);
        }
    })?;
    if records.is_empty() {
        return Err(Fault::Missing(format!("the journal has no session {id}")).into());
    }
    for record in records {
        if as_json {
            say(gateway::visible::json(&record.to_string()))?;
        } else {
            say(show::line(&sentence(&record)))?;
        }
    }
    Ok(())
}

/// One record as a line for people. A statement comes last, so that nothing in it looks like what the gateway says of it.
fn sentence(record: &Value) -> String {
    let of = |name| field(record, name);
    let what = match of("kind").as_str() {
        "opened" => format!(
            "{} from {} on {} ({})",
            apart(&of("principal")),
            of("address"),
            apart(&of("target")),
            apart(&of("application"))
        ),
        "allowed" => format!("{} [{}]: {}", of("phase"), all_of(record, "effects"), of("text")),
        "refused" => {
            format!("{} [{} {}]: {}", of("phase"), of("code"), apart(&of("reason")), of("text"))
        }
        "unreadable" => format!("{} {}", of("code"), of("reason")),
        "held" => format!("request {} [{}]: {}", of("request"), all_of(record, "holds"), of("text")),
        "answered" => format!("request {}: {}", of("request"), of("answer")),
        "outcome" => {
            let rows = if of("rows") == "1" { "row" } else { "rows" };
            format!("{} {rows} in {} µs {}", of("rows"), of("duration_us"), of("sqlstate"))
        }
        "break_glass" => {
            let (who, target) = (apart(&of("principal")), apart(&of("target")));
            format!("{} by {who} from {} on {target}", of("code"), of("address"))
        }
        "gateway" => of("purpose"),
        "killed" | "closed" => of("why"),
        _ => String::new(),
    };
    format!("{}  {:<10}  {what}", of("time"), of("kind"))
}

/// What others named, in a line with more behind it: in quotes where it has what could be taken for that.
fn apart(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || " _-.$:/@+".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { show::value(Some(text)) }
}

/// The items of a list, each apart.
fn all_of(record: &Value, name: &str) -> String {
    let items = record.get(name).and_then(Value::as_array).into_iter().flatten();
    items.map(|item| apart(item.as_str().unwrap_or_default())).collect::<Vec<_>>().join(", ")
}

fn each(directory: &Path, f: impl FnMut(Value)) -> anyhow::Result<()> {
    node::must_have_journal(directory)?;
    journal::read::records(directory, f).with_context(|| format!("the journal in {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_or_a_name_looks_like_nothing_that_the_gateway_says() {
        let at = "2026-11-28T00:00:00Z";
        let record = |kind: &str, more: Value| {
            let mut record = json!({ "time": at, "kind": kind });
            if let (Some(record), Value::Object(more)) = (record.as_object_mut(), more) {
                record.extend(more);
            }
            sentence(&record)
        };
        let allowed = |effects: &[&str], text: &str| {
            record("allowed", json!({ "phase": "query", "effects": effects, "text": text }))
        };
        for (line, shown) in [
            (
                allowed(&["select public.orders", "update public.orders"], "UPDATE orders SET n = $1"),
                "allowed     query [select public.orders, update public.orders]: UPDATE orders SET n = $1",
            ),
            (
                allowed(&["delete public.ledger"], "SELECT 1 -- [select public.orders]"),
                "allowed     query [delete public.ledger]: SELECT 1 -- [select public.orders]",
            ),
            (
                allowed(&["delete public.a, select b]: SELECT 1"], "DELETE …"),
                "allowed     query ['delete public.a, select b]: SELECT 1']: DELETE …",
            ),
            (
                record(
                    "refused",
                    json!({ "phase": "parse", "code": "42501", "reason": "it's [x]: y", "text": "DROP" }),
                ),
                "refused     parse [42501 'it''s [x]: y']: DROP",
            ),
            (
                record("held", json!({ "request": "r1", "holds": ["writes-held"], "text": "DELETE" })),
                "held        request r1 [writes-held]: DELETE",
            ),
            (
                record(
                    "opened",
                    json!({
                        "principal": "user:company/alice@example.com", "address": "10.0.0.1:1", "target": "shop", "application": "x) on prod (psql",
                    }),
                ),
                "opened      user:company/alice@example.com from 10.0.0.1:1 on shop ('x) on prod (psql')",
            ),
        ] {
            assert_eq!(line, format!("{at}  {shown}"));
        }
    }
}
