//! `durward requests`: what waits for a person, shown so that what is approved is what is seen.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::Requests;
use crate::client::{Client, part};
use crate::show::{self, field, say, time_field};

/// How often a watch looks.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) fn run(gateway: &str, name: Option<String>, command: Requests) -> anyhow::Result<()> {
    let client = &Client::new(gateway)?.with_name(name.as_deref());
    match command {
        Requests::Withdraw { id, asker } => crate::plans::withdraw_request(&id, &asker),
        Requests::Ls { all, most, before, json } => {
            let before = before.map(|id| format!("&before={}", part(&id))).unwrap_or_default();
            let found = client.get(&format!("/requests?all={all}&most={most}{before}"))?;
            if json {
                show::json(&found)?;
            } else {
                list(&found)?;
            }
            show::older(&found, usize::from(most));
            Ok(())
        }
        Requests::Show { id, json } => {
            let request = client.get(&format!("/requests/{}", part(&id)))?;
            if json { Ok(show::json(&request)?) } else { Ok(say(whole(&request))?) }
        }
        Requests::Watch { json } => watch(client, json),
        Requests::Alike { id, json } => crate::grants::alike(client, &id, json),
        Requests::Approve { id, most, only, life, alike, say, json } => {
            let narrower =
                (!only.is_empty() || life.is_some()).then(|| json!({ "only": only, "seconds": life }));
            // A person who signed in on this machine shows in the browser that they are there; what `login` keeps approves nothing.
            if name.is_none() && !crate::client::has_secret() && crate::login::is_somebody()? {
                if most.is_some() || narrower.is_some() {
                    anyhow::bail!(
                        "--most, --only and --for are said with an approver's secret (DURWARD_SECRET, or --name); in the browser they are on the page"
                    );
                }
                return in_browser(gateway, &id);
            }
            let mut body = json!({ "approve": true, "words": say, "most": most, "name": name });
            if let (Some(fields), Some(narrower)) = (body.as_object_mut(), narrower) {
                fields.insert("access".to_owned(), narrower);
            }
            answer(client, &id, alike, body, json)
        }
        Requests::Deny { id, alike, say, json } => {
            answer(client, &id, alike, json!({ "approve": false, "words": say, "name": name }), json)
        }
        Requests::Rescind { id, json } => {
            let rescinded =
                client.post(&format!("/requests/{}/rescind", part(&id)), &json!({ "name": name }))?;
            if json {
                return Ok(show::json(&rescinded)?);
            }
            Ok(say(format_args!("The approval of request {id} is taken back: the statement asks anew."))?)
        }
    }
}

/// The page of a request, where it is seen, and approved with proof of presence.
pub(crate) fn in_browser(gateway: &str, id: &str) -> anyhow::Result<()> {
    let address = format!("{}/requests/{}", gateway.trim_end_matches('/'), part(id));
    say(format_args!("Approve it in your browser, where you show that it is you:\n\n  {address}\n"))?;
    crate::login::show_browser(&address);
    Ok(())
}

fn answer(
    client: &Client,
    id: &str,
    alike: Option<String>,
    body: Value,
    as_json: bool,
) -> anyhow::Result<()> {
    if let Some(mark) = alike {
        return crate::grants::answer_alike(client, id, (&mark, body), as_json);
    }
    let answered = client.post(&format!("/requests/{}/answer", part(id)), &body)?;
    if as_json {
        return Ok(show::json(&answered)?);
    }
    let grant = field(&answered, "grant");
    if !grant.is_empty() {
        return Ok(say(format_args!("Request {id} is approved: it is the standing grant {grant}."))?);
    }
    let waits = field(&answered, "waits_for");
    if waits.is_empty() {
        return Ok(say(format_args!("Request {id} is {}.", field(&answered, "status")))?);
    }
    Ok(say(format_args!("Noted; request {id} waits for {waits}."))?)
}

fn list(found: &Value) -> anyhow::Result<()> {
    let rows: Vec<_> = bursts(found).into_iter().map(|(request, count)| row(request, count)).collect();
    Ok(show::table(&["ID", "STATUS", "PRINCIPAL", "TARGET", "UNTIL", "SUMMARY"], &rows)?)
}

fn row(request: &Value, count: usize) -> Vec<String> {
    let id = field(request, "id");
    let more = match count {
        0 => String::new(),
        more => format!(" (and {more} alike: durward requests alike {id})"),
    };
    vec![
        id,
        field(request, "status"),
        field(request, "principal"),
        field(request, "target"),
        time_field(request, "expires"),
        field(request, "summary") + &more,
    ]
}

/// The requests, each with how many wait beside it that are alike: those stand for themselves no more.
fn bursts(found: &Value) -> Vec<(&Value, usize)> {
    let mut bursts: Vec<(&Value, usize)> = Vec::new();
    let ids = |request: &Value| -> Vec<String> {
        let holds = request.get("holds").and_then(Value::as_array);
        holds.into_iter().flatten().map(|rule| field(rule, "id")).collect()
    };
    for request in found.as_array().into_iter().flatten() {
        let waits = |request: &Value| field(request, "status") == "pending";
        let alike = |other: &Value| {
            let key = request.get("alike").filter(|key| key.is_string());
            key.is_some()
                && key == other.get("alike")
                && waits(request)
                && waits(other)
                && ids(request) == ids(other)
        };
        match bursts.iter_mut().find(|(first, _)| alike(first)) {
            Some((_, count)) => *count += 1,
            None => bursts.push((request, 0)),
        }
    }
    bursts
}

fn watch(client: &Client, as_json: bool) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    // Not on the standard output: that is what waits.
    eprintln!("What waits is shown as it comes; Ctrl-C ends it. See one: durward requests show ID");
    loop {
        let found = client.get("/requests")?;
        // Newest first there; here as they came.
        for request in found.as_array().into_iter().flatten().rev() {
            if !seen.insert(field(request, "id")) {
                continue;
            }
            if as_json {
                say(gateway::visible::json(&request.to_string()))?;
            } else {
                say(glance(request))?;
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// One request in a line.
fn glance(request: &Value) -> String {
    let of = |name| show::line(&field(request, name));
    let glance = format!("{}  {} on {}: {}", of("id"), of("principal"), of("target"), of("summary"));
    match show::disguised(&glance).as_slice() {
        [] => glance,
        disguised => format!("{glance} (look twice: {})", disguised.join(", ")),
    }
}

/// One request as its approver must see it: nothing hidden, nothing that looks like a line of ours.
fn whole(request: &Value) -> String {
    let mut out = Vec::new();
    for (heading, name) in [
        ("Request", "id"),
        ("Status", "status"),
        ("Asked by", "principal"),
        ("For", "on_behalf_of"),
        ("Target", "target"),
        ("Session", "session"),
        ("Outcome", "outcome"),
        ("Altered", "changed"),
        ("By grant", "granted"),
    ] {
        let value = match request.get("granted").filter(|used| name == "granted" && used.is_object()) {
            Some(used) => format!("{}, use {}", field(used, "grant"), field(used, "number")),
            None => field(request, name),
        };
        if !value.is_empty() {
            out.push(format!("{heading:<10}{}", show::line(&value)));
        }
    }
    out.push(format!(
        "{:<10}{} to {}",
        "Stands",
        time_field(request, "filed"),
        time_field(request, "expires")
    ));
    for (heading, items, sentence) in [
        ("Held by", "holds", rule as fn(&Value) -> String),
        ("Answer", "votes", vote as fn(&Value) -> String),
    ] {
        for item in request.get(items).and_then(Value::as_array).into_iter().flatten() {
            out.push(format!("{heading:<10}{}", show::line(&sentence(item))));
        }
    }
    for reached in request.get("stages").and_then(Value::as_array).into_iter().flatten() {
        out.push(format!("{:<10}{} at {}", "Became", field(reached, "status"), time_field(reached, "at")));
    }
    if let Some(rows) = ceiling(request) {
        out.push(format!("{:<10}{}", "Ceiling", show::line(&rows)));
    }
    out.extend(seen(request));
    if let Some(plan) = request.get("preview").and_then(|preview| preview.get("ordered")) {
        out.extend(crate::plan_lines::of(plan, None));
    }
    let access = request.get("preview").and_then(|preview| preview.get("access"));
    out.push(if access.is_some() { "It asks leave to:".to_owned() } else { "It would:".to_owned() });
    for effect in request.get("effects").and_then(Value::as_array).into_iter().flatten() {
        out.push(format!("  - {}", show::line(effect.as_str().unwrap_or_default())));
    }
    let text = show::spaced(&field(request, "text"));
    if let Some(access) = access {
        out.extend(crate::access::lines(access).pop());
    } else {
        out.push("Statement:".to_owned());
        out.extend(text.split('\n').map(|line| format!("  | {}", show::line(line))));
    }
    let mut everything = text;
    // The reason and what hangs on a table are written by others, too; and a client says itself what it is called.
    let preview = request.get("preview");
    let lines = ["words", "unseen"].into_iter().filter_map(|part| preview?.get(part)?.as_array()).flatten();
    let names = preview
        .and_then(|p| p.get("columns")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(|c| c.get("name"));
    let reason = preview.and_then(|preview| preview.get("reason"));
    for said in lines.chain(names).chain(reason).filter_map(Value::as_str) {
        everything.push(' ');
        everything.push_str(said);
    }
    let values = request.get("values").and_then(Value::as_array);
    let circumstances = request.get("circumstances");
    let list = |name| circumstances.and_then(|c| c.get(name)).and_then(Value::as_array).into_iter().flatten();
    let mut kinds = list("kinds");
    for (n, value) in (1..).zip(values.into_iter().flatten()) {
        let shown = show::value(value.as_str());
        let kind = kinds.next().and_then(Value::as_str).unwrap_or_default();
        let kind = if kind.is_empty() { String::new() } else { format!(" ({})", show::line(kind)) };
        out.push(format!("  ${n}{kind} = {shown}"));
        everything.push(' ');
        everything.push_str(value.as_str().unwrap_or_default());
    }
    let pair = |setting: &Value| {
        let word = |at| setting.get(at).and_then(Value::as_str).unwrap_or_default();
        format!("{} = {}", show::line(word(0)), show::value(Some(word(1))))
    };
    let settings: Vec<String> = list("settings").map(pair).collect();
    if !settings.is_empty() {
        let of = |setting: &Value| setting.get(1).and_then(Value::as_str).unwrap_or_default().to_owned();
        everything.extend(list("settings").flat_map(|setting| [" ".to_owned(), of(setting)]));
        out.push(format!("Under: {}", settings.join(", ")));
    }
    if copies_in(request) {
        out.push(
            "The rows that are copied in come later and can be any: they are not part of this request."
                .to_owned(),
        );
    }
    for part in ["principal", "on_behalf_of", "target", "effects"] {
        everything.push_str(&format!(" {}", field(request, part)));
    }
    let disguised = show::disguised(&everything);
    if !disguised.is_empty() {
        out.push(format!("Look twice, there are words in more than one alphabet: {}", disguised.join(", ")));
    }
    let strangers = show::strangers(&everything);
    if !strangers.is_empty() {
        out.push(format!("Look twice, there are characters beyond ASCII: {}", strangers.join(", ")));
    }
    out.join("\n")
}

/// What was seen of its effect beforehand: counted, and some of the rows as they are and as they would be.
pub(crate) fn seen(request: &Value) -> Vec<String> {
    let Some(preview) = request.get("preview") else { return Vec::new() };
    let list = |of: &Value, name: &str| of.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut out = Vec::new();
    if let Some(reason) = preview.get("reason").and_then(Value::as_str) {
        out.push(format!("Its reason: {}", show::line(reason)));
    }
    for (heading, name, mark) in
        [("Seen beforehand", "words", "  - "), ("Its plan, estimated:", "plan", "  | ")]
    {
        let mut lines = list(preview, name);
        if name == "words" {
            lines.extend(list(preview, "unseen"));
        }
        if !lines.is_empty() {
            let how = if name == "words" { looked(preview) } else { String::new() };
            out.push(format!("{heading}{how}"));
        }
        out.extend(
            lines.iter().map(|line| format!("{mark}{}", show::line(line.as_str().unwrap_or_default()))),
        );
    }
    let columns = list(preview, "columns");
    let rows = list(preview, "rows");
    if !rows.is_empty() {
        out.push("Some of its rows:".to_owned());
    }
    let is_after = |column: &Value| column.get("after") == Some(&Value::Bool(true));
    let changed: Vec<String> = columns.iter().filter(|c| is_after(c)).map(|c| field(c, "name")).collect();
    // What tells rows apart and what changes is read first.
    let is_near =
        |at: usize, column: &Value| at == 0 || changed.is_empty() || changed.contains(&field(column, "name"));
    for row in rows {
        let values = row.as_array().cloned().unwrap_or_default();
        let shown = |after: bool, near: bool| {
            let cells = columns.iter().zip(&values).enumerate();
            let cells = cells.filter(|(at, (c, _))| is_after(c) == after && is_near(*at, c) == near);
            let cells = cells.map(|(_, cell)| cell);
            let cell = |(column, value): (&Value, &Value)| {
                let value = match value.as_str() {
                    None if column.get("masked") == Some(&Value::Bool(true)) => "(masked)".to_owned(),
                    text => show::value(text),
                };
                format!("{} = {value}", show::name(&field(column, "name")))
            };
            cells.map(cell).collect::<Vec<_>>().join(", ")
        };
        let beside = match shown(false, false) {
            none if none.is_empty() => none,
            beside => format!("; beside {beside}"),
        };
        match (shown(false, true), shown(true, true)) {
            (before, after) if after.is_empty() => out.push(format!("  | {before}{beside}")),
            (before, after) if before.is_empty() => out.push(format!("  | new: {after}{beside}")),
            (before, after) => out.push(format!("  | {before}; then {after}{beside}")),
        }
    }
    out
}

/// `, exact when it was tried at 2026-11-26T20:00:00Z:`
fn looked(preview: &Value) -> String {
    let exact = if preview.get("exact") == Some(&Value::Bool(true)) { "exact" } else { "an estimate" };
    let how = match preview.get("tier").and_then(Value::as_str) {
        Some("executed") => "when it was tried and rolled back",
        Some("hold") => {
            let (at, until) = (time_field(preview, "at"), time_field(preview, "open_until"));
            return format!(
                ", {exact} when it was tried at {at}, which stays open until {until} unless others wait for its rows: approved by \
                 then exactly this is committed, later it runs again:"
            );
        }
        Some("counted") => "when it was counted",
        Some("static") => "by the catalogue alone",
        Some(_) | None => return ":".to_owned(),
    };
    format!(", {exact} {how} at {}:", time_field(preview, "at"))
}

/// How many rows it may change.
fn ceiling(request: &Value) -> Option<String> {
    let ceiling = request.get("ceiling")?;
    if let Some(why) = ceiling.get("none").and_then(Value::as_str) {
        let whole = request.get("preview").is_some_and(|seen| seen.get("ordered").is_some());
        return Some(format!("none{}: {why}", if whole { " as a whole" } else { "" }));
    }
    let rows = ceiling.get("rows")?;
    let most = rows.get("most").and_then(Value::as_u64)?;
    let from = match rows.get("from").and_then(Value::as_str)? {
        "counted" => "as counted when it was asked for",
        "executed" => "as changed when it was tried, by the same of each table",
        "policy" => "as policy says",
        "grant" => "as its standing grant says",
        "access" => "as is asked for, each time",
        _ => "as nobody has counted or said otherwise",
    };
    let beside = rows.get("of").and_then(Value::as_array).is_some_and(|of| !of.is_empty());
    let beside = if beside { "; what triggers write beside is not counted" } else { "" };
    Some(format!("at most {most} rows, {from}; with more nothing of it stays{beside}"))
}

fn copies_in(request: &Value) -> bool {
    let mut effects = request.get("effects").and_then(Value::as_array).into_iter().flatten();
    effects.any(|effect| effect.as_str().is_some_and(|line| line.starts_with("copy_in ")))
}

/// `writes-held, for 2 of dba: because …`
fn rule(rule: &Value) -> String {
    let because = match field(rule, "reason") {
        none if none.is_empty() => none,
        reason => format!(": {reason}"),
    };
    format!("{}, for {} of {}{because}", field(rule, "id"), field(rule, "quorum"), field(rule, "approvers"))
}

/// `approved by user:alice: fine`
fn vote(vote: &Value) -> String {
    let word = if vote.get("approve") == Some(&Value::Bool(true)) { "approved" } else { "denied" };
    let words = match field(vote, "words") {
        none if none.is_empty() => none,
        words => format!(": {words}"),
    };
    let most = vote.get("most").and_then(Value::as_u64);
    let most = most.map(|most| format!(", for at most {most} rows")).unwrap_or_default();
    let most = match vote.get("access") {
        Some(given) => {
            let given: Vec<String> = crate::access::lines(given)
                .iter()
                .map(|line| line.trim_matches([' ', '-']).to_owned())
                .collect();
            format!(", for {}", given.join(", "))
        }
        None => most,
    };
    let at = match time_field(vote, "at") {
        none if none.is_empty() => none,
        at => format!(" at {at}"),
    };
    format!("{word} by {}{at}{most}{words}", field(vote, "voter"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approver_sees_what_a_statement_hides() {
        let request = json!({
            "id": "r1", "status": "pending", "principal": "agent:bot", "target": "orders",
            "holds": [{"id": "held", "quorum": 2, "approvers": ["dba", "owners"], "reason": "why"}],
            "votes": [{"voter": "user:a", "approve": true, "words": "fine\nStatus    approved"}],
            "effects": ["update on shop.t"],
            "text": "UPDATE t SET a = $1 -- \u{202e}x\nStatus    approved",
            "values": ["1\u{1b}[2K\u{200b}", null, "pаy"],
            "filed": 0, "expires": 900,
        });
        let shown = whole(&request);
        for line in [
            "Status    pending",
            "Held by   held, for 2 of dba, owners: why",
            "Answer    approved by user:a: fine⟨U+000A⟩Status    approved",
            "  | UPDATE t SET a = $1 -- ⟨U+202E⟩x",
            "  | Status    approved",
            "  $1 = '1⟨U+001B⟩[2K⟨U+200B⟩'",
            "  $2 = NULL",
            "Look twice, there are words in more than one alphabet: pаy with а (U+0430)",
            "Look twice, there are characters beyond ASCII: а (U+0430)",
            "Stands    1970-01-01T00:00:00Z to 1970-01-01T00:15:00Z",
        ] {
            assert!(shown.lines().any(|l| l == line), "{line} is not in:\n{shown}");
        }
        assert!(!shown.lines().any(|l| l == "Status    approved"), "{shown}");
    }

    #[test]
    fn a_value_or_a_name_cannot_look_like_the_cells_beside_it() {
        let column = |name: &str, after: bool| json!({"name": name, "after": after, "masked": false});
        let request = json!({
            "preview": {
                "columns": [column("a", false), column("b", false), column("c = 'x', d", false), column("a", true)],
                "rows": [["v', b = 'paid", null, "NULL", "k'; then a = 'v"]],
            },
            "circumstances": {"settings": [["DateStyle", "ISO, TimeZone = UTC"]]},
            "values": ["x', $2 = 'y"],
        });
        let shown = whole(&request);
        for line in [
            r#"  | a = 'v'', b = ''paid'; then a = 'k''; then a = ''v'; beside b = NULL, "c = 'x', d" = 'NULL'"#,
            "  $1 = 'x'', $2 = ''y'",
            "Under: DateStyle = 'ISO, TimeZone = UTC'",
        ] {
            assert!(shown.lines().any(|l| l == line), "{line} is not in:\n{shown}");
        }
    }

    #[test]
    fn a_watcher_sees_one_line_of_each_request_and_nothing_in_it_looks_like_another() {
        let request = json!({
            "id": "r1", "principal": "agent:bot", "target": "orders",
            "summary": "UPDATE \"ordеrs\u{202e}\" SET a = ?\nr2  user:boss on orders: approved\u{1b}[1A",
        });
        assert_eq!(
            glance(&request),
            "r1  agent:bot on orders: UPDATE \"ordеrs⟨U+202E⟩\" SET a = ?⟨U+000A⟩r2  user:boss on orders: \
             approved⟨U+001B⟩[1A (look twice: ordеrs with е (U+0435))"
        );
    }
}
