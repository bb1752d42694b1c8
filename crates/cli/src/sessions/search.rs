//! `durward sessions search`: operations of live and past sessions.

use serde_json::Value;

use crate::args::SearchSessions;
use crate::client::{Client, part};
use crate::show::{self, field, say};

pub(super) fn run(client: &Client, args: &SearchSessions) -> anyhow::Result<()> {
    let SearchSessions { text, principal, target, table, column, verdict, since, until, limit, json } = args;
    let given = [
        ("text", text),
        ("principal", principal),
        ("target", target),
        ("table", table),
        ("column", column),
        ("verdict", verdict),
        ("since", since),
        ("until", until),
    ];
    let mut path = format!("/sessions/search?limit={limit}");
    for (name, value) in given {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", part(value)));
        }
    }
    let found = client.get(&path)?;
    if *json {
        return Ok(show::json(&found)?);
    }
    let hits = found.get("hits").and_then(Value::as_array).into_iter().flatten();
    let row = |hit: &Value| {
        let of = |name| field(hit, name);
        let place = match (of("found_in").as_str(), of("step")) {
            ("answer", step) => format!("step {step}"),
            _ => String::new(),
        };
        vec![of("time"), of("decision"), of("principal"), of("target"), of("verdict"), place, of("text")]
    };
    let rows: Vec<Vec<String>> = hits.map(row).collect();
    show::table(&["TIME", "DECISION", "PRINCIPAL", "TARGET", "VERDICT", "SHOWN IN", "STATEMENT"], &rows)?;
    if found.get("more").and_then(Value::as_bool) == Some(true) {
        say("There is more: narrow it down, or --limit.")?;
    }
    Ok(())
}
