//! Access: an agent that is held asks for leave to go on for a while, people give it or less of it, and it lifts just that.

use std::process::Output;
use std::time::{Duration, Instant};

use testkit::durward::Target;
use testkit::http;
use testkit::json::{Json, quoted};

use crate::mcp::{Door, datum, door_with, query, words};
use crate::rig::DATABASE;

const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("writes") permit (principal, action in Action::"write", resource);
@id("mail") permit (principal, action == Action::"reveal", resource);
@id("held") @approvers("admins,dba") @grant("1h") @ceiling("50")
forbid (principal, action in [Action::"write", Action::"reveal"], resource)
unless { context.approvals.contains("held") };
@id("careful") @approvers("admins,dba") forbid (principal, action == Action::"delete", resource)
unless { context.approvals.contains("careful") };
@id("books") @reason("the books are closed")
forbid (principal, action in Action::"write", resource) when { resource is Table && resource.name == "books" };
"#;

/// Whoever sends a held statement waits so long for its answer.
const SHORT: &str = "[limits]\nhold = \"1s\"\n";
const PATIENCE: Duration = Duration::from_secs(60);
/// What is said of why, with what could deceive whoever reads it.
const REASON: &str = "fix <b>totals</b>\u{202e}\u{7}\nStatus    approved";

fn rig() -> Door {
    let door = door_with(POLICY, SHORT);
    door.server()
        .sql(DATABASE, "CREATE TABLE lines (id int, total int); INSERT INTO lines VALUES (1, 1); CREATE TABLE books (id int); CREATE TABLE counted (id serial PRIMARY KEY, \
             number int GENERATED ALWAYS AS IDENTITY, words text)")
        .unwrap();
    door
}

fn ask(access: &[&str], more: &str) -> String {
    let access: Vec<String> = access.iter().map(|one| quoted(one)).collect();
    format!(r#"{{"target":"{DATABASE}","reason":{},"access":[{}]{more}}}"#, quoted(REASON), access.join(","))
}

fn run(door: &Door, arguments: &[&str]) -> Result<String, String> {
    run_as(door, None, arguments)
}

fn run_as(door: &Door, secret: Option<&str>, arguments: &[&str]) -> Result<String, String> {
    let mut command = door.rig.gateway.command(arguments);
    if let Some(secret) = secret {
        command.env_remove("DURWARD_ADMIN_SECRET").env("DURWARD_APPROVER_SECRET", secret);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if status.success() { Ok(text(&stdout)) } else { Err(text(&stderr)) }
}

/// With which code a statement is refused or held, if it is; what waits by it is denied.
#[track_caller]
fn sent(door: &Door, token: &str, sql: &str) -> Option<String> {
    let said = door.call_with(token, "query", &query(sql));
    while let Some(id) = door.rig.gateway.waiting_request().unwrap() {
        run(door, &["requests", "deny", &id]).unwrap();
    }
    said.err().map(|refused| datum(&refused, "code").text().unwrap_or_default().to_owned())
}

#[track_caller]
fn asked(door: &Door, access: &[&str], more: &str) -> String {
    let asked = door.call("request", &ask(access, more)).unwrap_or_else(|no| panic!("{}", words(&no)));
    assert_eq!(datum(&asked, "status").text(), Some("pending"), "{}", words(&asked));
    datum(&asked, "request").text().unwrap().to_owned()
}

/// What was given of a request, and as which standing grant.
#[track_caller]
fn given(door: &Door, id: &str, more: &[&str]) -> String {
    run(door, &[&["requests", "approve", id], more].concat()).unwrap();
    let answered = door.call("wait", &format!(r#"{{"request":"{id}"}}"#)).unwrap();
    assert_eq!(datum(&answered, "status").text(), Some("approved"), "{}", words(&answered));
    datum(&answered, "grant").text().unwrap().to_owned()
}

fn grant(door: &Door, id: &str) -> (String, String, u64) {
    let shown = Json::parse(&run(door, &["grants", "show", id, "--json"]).unwrap()).unwrap();
    let grant = shown.at("grant").expect("a grant");
    let text = |name: &str| grant.at(name).and_then(Json::text).unwrap_or_default().to_owned();
    (text("state"), text("ended"), grant.at("used").and_then(Json::number).unwrap_or_default() as u64)
}

#[test]
fn access_is_asked_for_given_in_part_and_lifts_what_was_given_and_nothing_else() {
    let door = rig();
    let own = door.token.clone();
    let other = door.rig.gateway.token("other").unwrap();
    let update = "UPDATE shop SET total = 0 WHERE id <= 2";
    assert_eq!(sent(&door, &own, update).as_deref(), Some("ZD001"));

    let leaves = ["update public.shop", "insert public.lines", "select public.shop"];
    let first = door.call("request", &ask(&leaves, r#","rows":500,"minutes":600"#)).unwrap();
    let id = datum(&first, "request").text().unwrap().to_owned();
    // No more than policy lets, and only what is held.
    for says in ["at most 50 rows a statement, for 60 min", "You need no leave for select public.shop"] {
        assert!(words(&first).contains(says), "{}", words(&first));
    }
    assert_eq!(asked(&door, &leaves, r#","rows":500,"minutes":600"#), id, "the same is asked for once");
    let wait = format!(r#"{{"request":"{id}"}}"#);
    assert!(door.call_with(&other, "wait", &wait).is_err(), "it is nobody else's");

    // Whoever answers sees what it is, and what is hidden in it.
    let shown = run(&door, &["requests", "show", &id]).unwrap();
    for line in [
        "Status    pending",
        "Its reason: fix <b>totals</b>⟨U+202E⟩⟨U+0007⟩⟨U+000A⟩Status    approved",
        "It asks leave to:",
        "  - update public.shop",
        "  by whatever statement, at most 50 rows a statement, for 60 min",
    ] {
        assert!(shown.lines().any(|l| l == line), "{line} is not in:\n{shown}");
    }
    assert!(
        !shown.contains("select public.shop") && !shown.lines().any(|l| l == "Status    approved"),
        "{shown}"
    );
    assert!(
        run(&door, &["requests", "ls"]).unwrap().contains("access: insert public.lines, update public.shop")
    );

    // Who asks does not answer, and no token does.
    let bearer = format!("Bearer {own}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = br#"{"approve":true}"#;
    for (port, path, expected) in [
        (door.port, format!("/access/{id}/answer"), 404),
        (door.port, format!("/requests/{id}/answer"), 404),
        (door.rig.gateway.admin_port(), format!("/api/v1/requests/{id}/answer"), 401),
    ] {
        assert_eq!(http::request(port, "POST", &path, &headers, body).unwrap().status, expected, "{path}");
    }
    // Nor does anybody give more than is asked for.
    for more in [
        &["--for", "2h"][..],
        &["--most", "51"],
        &["--most", "0", "--only", "delete public.shop"],
        &["--only", "select public.shop"],
        &["--for", "0s"],
    ] {
        let arguments = [&["requests", "approve", &id], more].concat();
        assert!(run(&door, &arguments).is_err(), "{more:?}");
    }
    assert!(Json::parse(&run(&door, &["grants", "ls", "--json"]).unwrap()).unwrap().items().is_empty());

    // What waits and is covered is not asked any more; what is not waits on.
    let waits = door.call("query", &query("UPDATE shop SET total = 5 WHERE id = 1")).unwrap_err();
    let waits = datum(&waits, "request").text().unwrap().to_owned();
    assert!(door.call("query", &query("UPDATE lines SET total = 5 WHERE id = 1")).is_err());
    let standing = given(&door, &id, &["--only", "update public.shop", "--most", "2", "--for", "20m"]);
    let went = run(&door, &["requests", "show", &waits]).unwrap();
    assert!(went.contains("Status    superseded") && went.contains(&standing), "{went}");
    assert!(door.rig.gateway.waiting_request().unwrap().is_some());
    let listed = run(&door, &["grants", "show", &standing]).unwrap();
    assert!(
        listed.contains("at most 2 rows a statement, for 20 min") && !listed.contains("lines"),
        "{listed}"
    );
    for (token, sql, expected) in [
        (&own, update, None),
        (&own, "UPDATE shop SET total = shop.total + 1 FROM lines WHERE shop.id = lines.id", None),
        (&own, "UPDATE shop SET total = 0 WHERE id <= 3", Some("ZD006")),
        (&own, "UPDATE lines SET total = 0", Some("ZD001")),
        (&own, "INSERT INTO lines VALUES (9, 9)", Some("ZD001")),
        (&own, "DELETE FROM shop WHERE id = 1", Some("ZD001")),
        (
            &own,
            "WITH x AS (DELETE FROM lines RETURNING id) UPDATE shop SET total = 0 WHERE id IN (SELECT id FROM x)",
            Some("ZD001"),
        ),
        (&own, "UPDATE books SET id = 1", Some("42501")),
        (&own, "DROP TABLE shop", Some("42501")),
        (&other, update, Some("ZD001")),
        // A yes to this would show addresses: nobody gave that.
        (&own, "UPDATE shop SET total = 0 WHERE id = 1 RETURNING email", Some("ZD001")),
        (&own, update, None),
    ] {
        assert_eq!(sent(&door, token, sql).as_deref(), expected, "{sql}");
    }
    assert_eq!(grant(&door, &standing), ("in force".to_owned(), String::new(), 4));
    let files = std::fs::read_dir(door.rig.gateway.journal()).unwrap();
    let journal: String =
        files.filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok()).collect();
    for says in
        ["access asked for", "standing grant given", &format!("\"grant\":\"{standing}\",\"grant_use\":1")]
    {
        assert!(journal.contains(says), "{says}");
    }
    run(&door, &["grants", "revoke", &standing]).unwrap();
    assert_eq!(sent(&door, &own, update).as_deref(), Some("ZD001"));
}

#[test]
fn what_nobody_can_give_is_said_at_once_and_not_asked_of_anybody() {
    let door = rig();
    let no = |access: &[&str], more: &str| {
        words(&door.call("request", &ask(access, more)).unwrap_err()).to_owned()
    };
    for (access, more, says) in [
        (&["delete public.shop"][..], "", "the policy \"careful\" lets nobody give standing grants"),
        (&["update public.shop", "delete public.shop"], "", "Ask for each statement by itself"),
        (&["update public.books"], "", "the books are closed; nobody can give leave for what policy refuses"),
        (&["update public.shop", "update public.books"], "", "the books are closed"),
        (&["select public.shop"], "", "there is nothing to ask for"),
        (&["drop public.shop"], "", "no access that can be asked for"),
        (
            &["truncate public.shop"],
            "",
            "actions are select, insert, update, delete, merge, lock_rows, sequence",
        ),
        (&["update shop"], "", "Tables are written as schema.table"),
        (&["update public.none"], "", "there is no table"),
        (&[], "", "from 1 to 20"),
        (&["update public.shop"], r#","sql":"SELECT 1""#, "either sql or access"),
        (&["update public.shop"], r#","minutes":0"#, "for no time"),
        (&["update public.shop"], r#","rows":-1"#, "rows is a whole number"),
    ] {
        let said = no(access, more);
        assert!(said.contains(says), "{access:?}: {said}");
    }
    for arguments in [
        format!(r#"{{"target":"{DATABASE}","reason":" ","access":["update public.shop"]}}"#),
        r#"{"target":"nowhere","reason":"why","access":["update public.shop"]}"#.to_owned(),
        format!(r#"{{"target":"{DATABASE}","reason":"why","access":"update public.shop"}}"#),
        format!(r#"{{"target":"{DATABASE}","reason":"why"}}"#),
    ] {
        assert!(door.call("request", &arguments).is_err(), "{arguments}");
    }
    assert_eq!(door.rig.gateway.waiting_request().unwrap(), None);
    // Its neighbour is filed, and taken back by whoever asked, from a command line.
    let id = asked(&door, &["update public.shop"], "");
    let agents = format!("http://127.0.0.1:{}", door.port);
    let command = |arguments: &[&str]| {
        let mut command = door.rig.gateway.command(arguments);
        command.env("DURWARD_TOKEN", &door.token).env("DURWARD_AGENTS", &agents);
        let Output { status, stdout, stderr } = command.output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).into_owned()
    };
    assert!(command(&["access", "show", &id]).contains("  - update public.shop"));
    assert!(command(&["requests", "withdraw", &id]).contains("is withdrawn"));
    assert!(run(&door, &["requests", "approve", &id]).is_err());
    let line = [
        "access",
        "ask",
        "insert public.lines",
        "--target",
        DATABASE,
        "--reason",
        "why",
        "--rows",
        "5",
        "--for",
        "10m",
    ];
    let said = command(&line);
    assert!(
        said.contains("at most 5 rows a statement, for 10 min") && said.contains("To approve: "),
        "{said}"
    );
    let id = door.rig.gateway.waiting_request().unwrap().unwrap();
    run(&door, &["requests", "approve", &id]).unwrap();
    assert!(command(&["access", "wait", &id]).contains("is approved: standing grant g"));
    assert_eq!(sent(&door, &door.token, "INSERT INTO lines VALUES (7, 7)"), None);
    // Rows that count as they are added take their sequences with them, which alone are held.
    let id = asked(&door, &["insert public.counted"], "");
    let standing = given(&door, &id, &[]);
    let shown = run(&door, &["grants", "show", &standing]).unwrap();
    assert!(
        shown.contains("sequence public.counted_id_seq") && shown.contains("sequence public.counted\n"),
        "{shown}"
    );
    assert_eq!(sent(&door, &door.token, "INSERT INTO counted (words) VALUES ('x')"), None);
    assert_eq!(sent(&door, &door.token, "SELECT nextval('counted_id_seq')").as_deref(), Some("ZD001"));
}

#[test]
fn access_ends_with_its_time_its_table_its_giver_and_its_agent_and_is_given_by_whom_the_rule_names() {
    let door = rig();
    let target = Target::new(DATABASE, door.rig.server.port(), DATABASE);
    let add = |name: &str, group: &str| {
        run(&door, &["approver", "add", name, "--group", group]).unwrap().trim().to_owned()
    };
    let (alice, sam, dora) = (add("alice", "dba"), add("sam", "sales"), add("dora", "dba"));
    let apply = |policy: &str| {
        door.rig.gateway.apply(std::slice::from_ref(&target), &[("test", policy)]).unwrap();
    };
    apply(POLICY);
    let agent = run(&door, &["token", "issue", "agent:tester", "--for", "user:corp/alice"]).unwrap();
    let agent = agent.trim();
    let ask_for_her = || {
        let filed = door.call_with(agent, "request", &ask(&["update public.shop"], "")).unwrap();
        datum(&filed, "request").text().unwrap().to_owned()
    };
    let id = ask_for_her();
    for (name, secret) in [("alice", &*alice), ("sam", &*sam), ("dora", agent)] {
        let said = run_as(&door, Some(secret), &["requests", "--as", name, "approve", &id]);
        assert!(said.is_err(), "{name}: {said:?}");
    }
    let update = |n: u32| format!("UPDATE shop SET total = {n} WHERE id = 1");
    let give = || {
        let id = ask_for_her();
        run_as(&door, Some(&dora), &["requests", "--as", "dora", "approve", &id]).unwrap();
        let answered = door.call_with(agent, "wait", &format!(r#"{{"request":"{id}"}}"#)).unwrap();
        datum(&answered, "grant").text().unwrap_or_else(|| panic!("{}", words(&answered))).to_owned()
    };
    type Happens<'a> = Box<dyn Fn() + 'a>;
    let cases: [(&str, Happens<'_>, &str, Option<&str>); 5] = [
        (
            "the table is altered",
            Box::new(|| {
                drop(door.server().sql(DATABASE, "ALTER TABLE shop ADD CHECK (total > -9)").unwrap())
            }),
            "the table public.shop was altered",
            Some("ZD001"),
        ),
        (
            "policy lets no grant be given",
            Box::new(|| apply(&POLICY.replace("@grant(\"1h\")", ""))),
            "",
            Some("ZD001"),
        ),
        (
            "policy denies it",
            Box::new(|| {
                apply(&format!(
                    "{POLICY}@id(\"no\") forbid (principal, action in Action::\"write\", resource);"
                ))
            }),
            "",
            Some("42501"),
        ),
        (
            "its giver is removed",
            Box::new(|| drop(run(&door, &["approver", "remove", "dora"]).unwrap())),
            "does not answer any more",
            Some("ZD001"),
        ),
        (
            "its agent is revoked",
            Box::new(|| {
                drop(run(&door, &["revoke", "principal", "agent:tester", "--reason", "a test"]).unwrap())
            }),
            "the access of agent:tester was revoked",
            None,
        ),
    ];
    for (case, happens, says, expected) in cases {
        apply(POLICY);
        let grants = if case == "its agent is revoked" {
            // Dora is gone.
            let id = ask_for_her();
            run(&door, &["requests", "approve", &id]).unwrap();
            let answered = door.call_with(agent, "wait", &format!(r#"{{"request":"{id}"}}"#)).unwrap();
            datum(&answered, "grant").text().unwrap().to_owned()
        } else {
            give()
        };
        assert_eq!(sent(&door, agent, &update(1)), None, "{case}: before");
        happens();
        if let Some(code) = expected {
            assert_eq!(sent(&door, agent, &update(2)).as_deref(), Some(code), "{case}");
        }
        let (state, ended, used) = grant(&door, &grants);
        assert!(ended.contains(says) && used == 1, "{case}: {state} {ended} {used}");
        assert_eq!(says.is_empty(), state == "in force", "{case}: {state}");
        let _ = run(&door, &["grants", "revoke", &grants]);
    }
    // What was approved before a table was altered is of the table as it was; and its time ends it.
    apply(POLICY);
    let door = rig();
    let id = asked(&door, &["update public.shop"], "");
    let standing = given(&door, &id, &["--for", "3s"]);
    let start = Instant::now();
    while grant(&door, &standing).0 == "in force" {
        assert!(start.elapsed() < PATIENCE, "its time is over some time");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(sent(&door, &door.token, &update(3)).as_deref(), Some("ZD001"));
    // In the era of sessions it is the same.
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},
        "clientInfo":{"name":"test","version":"1"}}}"#;
    let begun = door.post(&[], initialize);
    let session =
        begun.headers.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).unwrap().trim();
    let headers = [("mcp-session-id", session), ("mcp-protocol-version", "2025-11-25")];
    let call = |tool: &str, arguments: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
        );
        door.post(&headers, &body).body
    };
    let said = call("request", &ask(&["update public.shop"], ""));
    assert!(said.contains("waits for a person's approval of access: update public.shop"), "{said}");
    let id = door.rig.gateway.waiting_request().unwrap().unwrap();
    run(&door, &["requests", "deny", &id, "--say", "not today"]).unwrap();
    let said = call("wait", &format!(r#"{{"request":"{id}"}}"#));
    assert!(said.contains("is denied: not today. Statements are held as before."), "{said}");
}
