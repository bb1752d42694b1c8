//! What becomes of an approval: used once, taken back, or lost sight of in a crash, and never used again.

use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::json::Json;
use testkit::process::text;

use crate::rig::{DATABASE, Rig};

/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(30);

const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("writes") permit (principal, action in Action::"write", resource);
@id("held") @approvers("admins")
forbid (principal, action in Action::"write", resource) unless { context.approvals.contains("held") };
"#;

#[track_caller]
fn rig() -> Rig {
    let rig = Rig::start(&[], POLICY);
    rig.server
        .sql(DATABASE, "CREATE TABLE shop (id int PRIMARY KEY, total int); INSERT INTO shop VALUES (1, 5)")
        .unwrap();
    rig
}

/// A statement that is sent and waits.
fn send(rig: &Rig, statement: &str) -> Child {
    let mut psql = rig.through().command("psql");
    psql.args(["-XAtc", statement]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(50));
    }
}

fn run(rig: &Rig, arguments: &[&str]) -> Output {
    rig.gateway.command(arguments).output().unwrap()
}

/// The word for where a request stands, and for what became of it.
fn stands(rig: &Rig, id: &str) -> (String, String) {
    let shown =
        Json::parse(&text(&mut rig.gateway.command(&["requests", "show", id, "--json"])).unwrap()).unwrap();
    let of = |name| shown.at(name).and_then(Json::text).unwrap_or_default().to_owned();
    (of("status"), of("outcome"))
}

fn asks(rig: &Rig, statement: &str) -> String {
    let waiting = send(rig, statement);
    let id = eventually("it is held", || rig.gateway.waiting_request().unwrap());
    // The client leaves; what it asked stands no more, unless it was approved meanwhile.
    drop(waiting);
    id
}

#[test]
fn an_approval_runs_once_and_its_request_says_what_came_of_it() {
    let rig = rig();
    for (statement, status, outcome) in [
        ("UPDATE shop SET total = total + 1 WHERE id = 1", "done", "done, rows: 1"),
        ("INSERT INTO shop VALUES (1, 9)", "failed", "failed with SQLSTATE 23505"),
    ] {
        let waiting = send(&rig, statement);
        let id = eventually("it is held", || rig.gateway.waiting_request().unwrap());
        assert_eq!(stands(&rig, &id).0, "pending");
        assert!(run(&rig, &["requests", "approve", &id]).status.success());
        waiting.wait_with_output().unwrap();
        eventually("it is noted", || {
            (stands(&rig, &id) == (status.to_owned(), outcome.to_owned())).then_some(())
        });
        let again = run(&rig, &["requests", "approve", &id]);
        assert!(said(&again).contains(&format!("is {status} already")), "{}", said(&again));
    }
    assert_eq!(rig.server.sql(DATABASE, "SELECT total FROM shop").unwrap().trim(), "6");
}

#[test]
fn an_approval_that_is_taken_back_is_asked_for_anew() {
    let rig = rig();
    let statement = "UPDATE shop SET total = 0 WHERE id = 1";
    // It is approved when its session waits no more, and not used: the session's patience is shorter than the request's.
    let mut waiting = send(&rig, &format!("SET statement_timeout = 0; {statement}"));
    let id = eventually("it is held", || rig.gateway.waiting_request().unwrap());
    let none = run(&rig, &["requests", "rescind", &id]);
    assert!(said(&none).contains("is pending: there is no approval to take back"), "{}", said(&none));
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    eventually("it is withdrawn", || (stands(&rig, &id).0 == "withdrawn").then_some(()));
    let none = run(&rig, &["requests", "rescind", &id]);
    assert!(said(&none).contains("is withdrawn: there is no approval to take back"), "{}", said(&none));
    assert_eq!(rig.server.sql(DATABASE, "SELECT total FROM shop").unwrap().trim(), "5");
}

/// The claim is written before the statement is sent, so that whatever happens then it does not run twice.
#[test]
fn what_a_crash_leaves_unknown_is_said_and_not_run_again() {
    let mut rig = rig();
    let statement = "UPDATE shop SET total = total + 1 FROM pg_sleep(20) WHERE id = 1";
    let waiting = send(&rig, statement);
    let id = eventually("it is held", || rig.gateway.waiting_request().unwrap());
    assert!(run(&rig, &["requests", "approve", &id]).status.success());
    let runs = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'UPDATE shop%' AND state = 'active'";
    eventually("it runs", || (rig.server.sql(DATABASE, runs).unwrap().trim() == "1").then_some(()));
    assert_eq!(stands(&rig, &id).0, "claimed");
    rig.gateway.crash().unwrap();
    waiting.wait_with_output().unwrap();
    let (status, outcome) = stands(&rig, &id);
    assert_eq!(
        (status.as_str(), outcome.as_str()),
        ("outcome_unknown", "the gateway ended before its outcome was known")
    );
    let again = asks(&rig, statement);
    assert_ne!(again, id, "the same statement asks anew");
    let journal = Command::new("sh")
        .arg("-c")
        .arg(format!("cat {}/*.jsonl", rig.gateway.journal().display()))
        .output()
        .unwrap();
    assert!(said(&journal).contains(&id));
}

/// What is in a statement is not to look like anything else: not like a line of ours, not in another order, not like another name.
#[test]
fn what_a_statement_hides_is_seen_wherever_it_is_decided_by() {
    const TABLE: &str = "shоp\u{202e}\u{1b}[1A\u{200b}\nr9  approved";
    let rig = rig();
    rig.server.sql(DATABASE, &format!("CREATE TABLE \"{TABLE}\" (id int)")).unwrap();
    let waiting = send(&rig, &format!("UPDATE \"{TABLE}\" SET id = 1 WHERE 'a\u{2066}b' <> 'c'"));
    let id = eventually("it is held", || rig.gateway.waiting_request().unwrap());
    let mut watching = rig.gateway.command(&["requests", "watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut watched = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(watching.stdout.take().unwrap()), &mut watched)
        .unwrap();
    watching.kill().unwrap();
    watching.wait().unwrap();
    let seen = |arguments: &[&str]| said(&run(&rig, arguments));
    let (list, whole, json) = (
        seen(&["requests", "ls"]),
        seen(&["requests", "show", &id]),
        seen(&["requests", "show", &id, "--json"]),
    );
    run(&rig, &["requests", "deny", &id]);
    let notice = said(&waiting.wait_with_output().unwrap());
    for (what, text) in
        [("watch", &watched), ("ls", &list), ("show", &whole), ("json", &json), ("a notice", &notice)]
    {
        let raw = ['\u{202e}', '\u{1b}', '\u{200b}', '\u{2066}'];
        assert!(!text.contains(raw), "{what}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("r9")), "{what}: {text}");
        assert!(text.contains("⟨U+202E⟩") || text.contains("\\u202e"), "{what}: {text}");
    }
    assert!(watched.contains("look twice: shоp with о (U+043E)"), "{watched}");
    assert!(whole.contains("words in more than one alphabet: shоp with о (U+043E)"), "{whole}");
    // A program is told exactly what it is.
    let told = Json::parse(&json).unwrap();
    let text = told.at("text").and_then(Json::text).unwrap();
    assert!(text.contains(&format!("\"{TABLE}\"")), "{text:?}");
}
