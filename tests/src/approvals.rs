//! What becomes of an approval: used once, taken back, or lost sight of in a crash, and never used again.

use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::durward::Target;
use testkit::json::Json;
use testkit::process::text;

use crate::rig::{DATABASE, Rig};

/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(60);

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
pub(crate) fn send(rig: &Rig, statement: &str) -> Child {
    let mut psql = rig.through().command("psql");
    psql.args(["-XAtc", statement]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
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
pub(crate) fn stands(rig: &Rig, id: &str) -> (String, String) {
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

#[test]
fn an_approval_for_where_a_cursor_stands_is_for_no_other_cursor() {
    let rig = rig();
    rig.server.sql(DATABASE, "INSERT INTO shop VALUES (2, 5)").unwrap();
    let changes = |id: u32| {
        let mut psql = rig.through().command("psql");
        let declare = format!("DECLARE k CURSOR FOR SELECT * FROM shop WHERE id = {id}");
        for statement in
            ["BEGIN", &declare, "FETCH k", "UPDATE shop SET total = 9 WHERE CURRENT OF k", "COMMIT"]
        {
            psql.args(["-c", statement]);
        }
        psql.arg("-XAt").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let first = changes(1);
    let id = eventually("it is held", || rig.gateway.waiting_request().unwrap());
    let second = changes(2);
    let other = eventually("the other is held by itself", || {
        rig.gateway.waiting_request().unwrap().filter(|other| *other != id)
    });
    assert!(run(&rig, &["requests", "approve", &id]).status.success());
    let told = said(&first.wait_with_output().unwrap());
    assert!(told.contains("UPDATE 1"), "{told}");
    assert!(run(&rig, &["requests", "deny", &other]).status.success());
    let told = said(&second.wait_with_output().unwrap());
    assert!(told.contains(&format!("request {other} was denied")), "{told}");
    assert_eq!(rig.server.sql(DATABASE, "SELECT total FROM shop ORDER BY id").unwrap().trim(), "9\n5");
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
        assert!(!text.lines().any(|line| line.starts_with("r9  approved")), "{what}: {text}");
        assert!(text.contains("⟨U+202E⟩") || text.contains("\\u202e"), "{what}: {text}");
    }
    assert!(watched.contains("look twice: shоp with о (U+043E)"), "{watched}");
    assert!(whole.contains("words in more than one alphabet: shоp with о (U+043E)"), "{whole}");
    // A program is told exactly what it is.
    let told = Json::parse(&json).unwrap();
    let text = told.at("text").and_then(Json::text).unwrap();
    assert!(text.contains(&format!("\"{TABLE}\"")), "{text:?}");
}

/// The sample target behind a gateway whose sessions wait a second for their answer.
#[track_caller]
fn impatient(policy: &str) -> (Rig, Target) {
    let server = crate::rig::server(&[]);
    let target = Target::new(DATABASE, server.port(), DATABASE);
    server.sql(DATABASE, "CREATE TABLE shop (id int PRIMARY KEY, total int, note text)").unwrap();
    let settings = "[limits]\nhold = \"1s\"\nrequests_of_one = 1000000\n";
    (Rig::of(server, &target, settings, policy), target)
}

fn approver(rig: &Rig, arguments: &[&str]) -> String {
    let added = run(rig, &[&["approver", "add"], arguments].concat());
    assert!(added.status.success(), "{}", said(&added));
    String::from_utf8(added.stdout).unwrap().trim().to_owned()
}

fn approve(rig: &Rig, name: &str, secret: &str, id: &str) -> String {
    let mut command = rig.gateway.command(&["requests", "--as", name, "approve", id]);
    said(&command.env_remove("DURWARD_ADMIN_SECRET").env("DURWARD_APPROVER_SECRET", secret).output().unwrap())
}

#[test]
fn an_approval_by_whom_the_rule_in_force_does_not_name_counts_for_nothing_and_that_is_said() {
    let by = |approvers: &str| POLICY.replace("@approvers(\"admins\")", approvers);
    let (rig, target) = impatient(&by("@approvers(\"helpdesk\")"));
    let intern = approver(&rig, &["intern", "--group", "helpdesk"]);
    let (sam, tom) =
        (approver(&rig, &["sam", "--group", "security"]), approver(&rig, &["tom", "--group", "security"]));
    let apply = |policy: &str| rig.gateway.apply(std::slice::from_ref(&target), &[("test", policy)]).unwrap();
    for (n, approved_before) in [(1, true), (2, false)] {
        apply(&by("@approvers(\"helpdesk\")"));
        let statement = format!("INSERT INTO shop VALUES ({n}, 5)");
        let first = send(&rig, &statement);
        let id = eventually("it is held", || rig.gateway.waiting_request().unwrap());
        assert!(said(&first.wait_with_output().unwrap()).contains("has no answer yet"));
        if approved_before {
            assert!(approve(&rig, "intern", &intern, &id).contains("is approved"));
        }
        apply(&by("@approvers(\"security\") @quorum(\"2\")"));
        assert!(!approve(&rig, "intern", &intern, &id).contains("is approved"));
        let changed = "the policy \"held\" was changed since";
        assert_eq!(stands(&rig, &id), ("superseded".to_owned(), format!("{changed} it was asked for")));
        // The agent hears why it is asked anew, and the two who are asked now answer.
        let again = send(&rig, &statement);
        let anew = eventually("it is held", || rig.gateway.waiting_request().unwrap());
        assert_ne!(anew, id);
        let told = said(&again.wait_with_output().unwrap());
        assert!(told.contains(&format!("{changed} request {id} was asked for")), "{told}");
        assert!(approve(&rig, "intern", &intern, &anew).contains("is for 2 of security"));
        assert!(approve(&rig, "sam", &sam, &anew).contains("waits for"));
        assert!(approve(&rig, "tom", &tom, &anew).contains("is approved"));
        let done = said(&send(&rig, &statement).wait_with_output().unwrap());
        assert!(done.contains("INSERT 0 1"), "{done}");
    }
}

#[test]
fn nobody_approves_what_is_done_for_them_under_their_name_at_an_issuer() {
    let (rig, _) = impatient(&POLICY.replace("admins", "dba"));
    let dora = approver(&rig, &["dora", "--group", "dba"]);
    let em = approver(&rig, &["em", "--group", "dba", "--is", "user:corp/emil"]);
    for (person, refused) in [("corp/dora", "dora"), ("corp/emil", "em")] {
        let issued = run(&rig, &["token", "issue", "agent:bot", "--for", &format!("user:{person}")]);
        let token = String::from_utf8(issued.stdout).unwrap().trim().to_owned();
        let mut psql = rig.through().command("psql");
        let statement = format!("INSERT INTO shop SELECT {}", person.len() + usize::from(refused == "em"));
        psql.env("PGPASSWORD", token).args(["-XAtc", &statement]);
        let waiting = psql.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let id = eventually("it is held", || rig.gateway.waiting_request().unwrap());
        for (name, secret) in [("dora", &dora), ("em", &em)].into_iter().filter(|(name, _)| *name == refused)
        {
            let said = approve(&rig, name, secret, &id);
            assert!(said.contains("nobody approves what they ask for themselves"), "{said}");
            assert!(said.contains(&format!("user:{person} count as one person")), "{said}");
        }
        let (other, secret) = if refused == "em" { ("dora", &dora) } else { ("em", &em) };
        assert!(approve(&rig, other, secret, &id).contains("is approved"));
        waiting.wait_with_output().unwrap();
    }
}

#[test]
fn what_is_kept_of_who_asks_has_a_bound_and_who_comes_to_it_hears_what_to_do() {
    let (rig, _) = impatient(POLICY);
    let insert = |n: u32, kilobytes: usize| {
        let path = rig.gateway.config().with_file_name("statement.sql");
        let statement = format!("INSERT INTO shop VALUES ({n}, 5, '{}');", "x".repeat(kilobytes * 1000));
        std::fs::write(&path, statement).unwrap();
        let mut psql = rig.through().command("psql");
        psql.arg("-XAtf").arg(path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let kept = |arguments: &[&str]| -> Vec<String> {
        let listed = run(&rig, &[&["requests", "ls", "--all", "--json"], arguments].concat());
        let listed = Json::parse(&String::from_utf8_lossy(&listed.stdout)).unwrap();
        listed.items().iter().map(|r| r.at("id").and_then(Json::text).unwrap().to_owned()).collect()
    };
    let told = said(&insert(0, 2000).wait_with_output().unwrap());
    assert!(told.contains("0 MB of 1 MB are taken by your requests"), "{told}");
    assert!(told.contains("requests_of_one in [limits]"), "{told}");
    // What was asked and left gives way to what is asked.
    let mut asked = Vec::new();
    for n in 1..7 {
        let mut waiting = insert(n, 300);
        asked.push(eventually("it is held", || rig.gateway.waiting_request().unwrap()));
        waiting.kill().unwrap();
        waiting.wait().unwrap();
        eventually("it is withdrawn", || rig.gateway.waiting_request().unwrap().is_none().then_some(()));
    }
    asked.reverse();
    asked.truncate(3);
    assert_eq!(kept(&[]), asked);
    // A list comes in parts.
    assert_eq!(kept(&["--most", "2"]), asked.get(..2).unwrap());
    assert_eq!(kept(&["--most", "2", "--before", asked.get(1).unwrap()]), asked.get(2..).unwrap());
    let small = said(&insert(9, 1).wait_with_output().unwrap());
    assert!(small.contains("has no answer yet"), "{small}");
}
