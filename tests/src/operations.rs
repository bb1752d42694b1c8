//! What whoever operates it sees: metrics, readiness, and what `doctor` finds and how that is mended.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::durward::{Durward, Target};
use testkit::json::Json;

use crate::rig::{ALLOW_ALL, DATABASE, Rig, binary, server};

const SHOP: &str = "CREATE SCHEMA shop; \
    CREATE TABLE shop.customers (id int PRIMARY KEY, name text, email text); \
    INSERT INTO shop.customers VALUES (1, 'Ada', 'ada@example.com'), (2, 'Grace', 'grace@example.com');";

const POLICY: &str = r#"
@id("reads") permit (principal, action in [Action::"connect", Action::"read"], resource);
@id("nothing-of-a-secret") forbid (principal, action, resource in Tag::"secrett");
@id("no-such-table") forbid (principal, action, resource == Table::"sample/shop.custmers");
@id("held") @approvers("dba") forbid (principal, action == Action::"lock_rows", resource)
unless { context.approvals.contains("held") };
"#;

/// What everybody who reaches the admin listener may ask.
pub(crate) fn get(gateway: &Durward, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.admin_port())).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        sleep(Duration::from_millis(100));
    }
}

fn shop() -> Rig {
    let server = server(&[]);
    server.sql(DATABASE, SHOP).unwrap();
    let columns = vec![
        ("shop.customers.email".to_owned(), "pii.email".to_owned()),
        ("shop.customers.nmae".to_owned(), "secret".to_owned()),
    ];
    let target = Target { columns, ..Target::new(DATABASE, server.port(), DATABASE) };
    Rig::of(server, &target, "", POLICY)
}

/// Whoever has a client's error, a line of the log, a record or the target's own view of a session finds the others by it.
#[test]
fn one_id_leads_from_the_client_by_log_and_journal_to_the_target() {
    let rig = shop();
    let said = rig.through().said(Command::new("psql").args([
        "-XAt",
        "-c",
        "SELECT 'at the target: ' || current_setting('durward.session')",
        "-c",
        "DELETE FROM shop.customers",
        "-c",
        "ALTER ROLE ada PASSWORD 'hunter2",
    ]));
    let session = said.lines().find_map(|line| line.strip_prefix("at the target: ")).expect("an id");
    assert!(said.contains(&format!("Decision {session}.2.")), "the client is told: {said}");
    let journal = rig.gateway.records().unwrap();
    assert!(journal.contains(&format!("\"{session}.2\"")), "it is on record");
    let unfinished = "unterminated quoted string at or near";
    assert!(said.contains(unfinished) && said.contains("hunter2"), "the client knows what it sent: {said}");
    assert!(journal.contains(unfinished) && !journal.contains("hunter2"), "the journal does not: {journal}");
    eventually("begin and end are in the log", || {
        let log = rig.gateway.log();
        ["session opened", "session ended"]
            .iter()
            .all(|what| log.lines().any(|line| line.contains(what) && line.contains(session)))
    });
    // What goes wrong on the way to a target names the session, too.
    rig.server.sql("postgres", "ALTER DATABASE sample ALLOW_CONNECTIONS false").unwrap();
    rig.through().said(Command::new("psql").args(["-XAtc", "SELECT 1"]));
    let last = rig.gateway.last_session().unwrap();
    assert_ne!(last, session);
    let log = rig.gateway.log();
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains(&last)), "{log}");
}

/// Whoever asks a binary for traces that it does not send hears so, and not by their absence.
#[test]
fn a_gateway_without_traces_refuses_to_be_asked_for_them() {
    let version = testkit::process::text(Command::new(binary()).args(["version", "--json"])).unwrap();
    if version.contains("\"traces\": true") {
        return println!("this binary sends them: see crates/cli/tests/traces.rs");
    }
    let place = testkit::Scratch::new("traces").unwrap();
    let config = place.join("durward.toml");
    std::fs::write(&config, "data = \"data\"\n\n[traces]\nendpoint = \"http://127.0.0.1:4318\"\n").unwrap();
    let output = Command::new(binary()).args(["serve", "-c"]).arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("durward.toml:3:") && said.contains("was built without traces"), "{said}");
}

#[test]
fn metrics_tell_what_was_decided_masked_and_how_long_it_took_and_nothing_of_anybody() {
    let rig = shop();
    let ask = |sql: &str| rig.through().said(Command::new("psql").args(["-XAtc", sql]));
    for _ in 0..20 {
        assert!(ask("SELECT email FROM shop.customers").starts_with("***\n***\n"));
    }
    assert!(ask("DELETE FROM shop.customers WHERE name = 'Grace'").contains("not allowed"));
    let page = get(&rig.gateway, "/metrics");
    let value = |series: &str| -> f64 {
        let line = page.lines().find(|line| line.starts_with(series));
        let line = line.unwrap_or_else(|| panic!("{series} is not in\n{page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(value("durward_decisions_total{verdict=\"allow\",rule=\"reads\"}") >= 20.0);
    assert!(value("durward_decisions_total{verdict=\"deny\",rule=\"(none)\"}") >= 1.0);
    assert_eq!(value("durward_values_masked_total{strategy=\"redact\"}"), 40.0);
    assert_eq!(value("durward_sessions_opened_total"), 21.0);
    assert_eq!(value("durward_target_reachable{target=\"sample\"}"), 1.0);
    assert_eq!(value("durward_holds_waiting"), 0.0);
    assert!(value("durward_sessions_ended_total{why=\"client\"}") >= 20.0);
    for stage in ["login", "connect", "describe", "decide", "journal", "answer", "mask"] {
        let count = value(&format!("durward_stage_seconds_count{{stage=\"{stage}\"}}"));
        let sum = value(&format!("durward_stage_seconds_sum{{stage=\"{stage}\"}}"));
        assert!(count > 0.0 && sum > 0.0, "{stage}: {count} {sum}");
        assert_eq!(count, value(&format!("durward_stage_seconds_bucket{{le=\"+Inf\",stage=\"{stage}\"}}")));
    }
    for somebody in ["ada@example.com", "Grace", "tester", "dwt_", "127.0.0.1", "customers", "DELETE", "psql"]
    {
        assert!(!page.contains(somebody), "{somebody} is in\n{page}");
    }
}

#[test]
fn readiness_names_targets_with_their_state_and_does_not_fail_for_one_of_them() {
    let rig = shop();
    let ready = || get(&rig.gateway, "/readyz");
    assert!(ready().contains("\"targets\":{\"sample\":\"unused\"}"), "{}", ready());
    let ask = |sql: &str| rig.through().said(Command::new("psql").args(["-XAtc", sql]));
    assert!(ask("SELECT 1").starts_with("1\n"));
    let answer = ready();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"sample\":\"reachable\""), "{answer}");
    let postmaster = std::fs::read_to_string(rig.server.directory().join("data/postmaster.pid")).unwrap();
    let process = postmaster.lines().next().unwrap();
    assert!(Command::new("kill").args(["-INT", process]).status().unwrap().success());
    eventually("the target is known to be gone", || {
        let _ = rig.through().said(Command::new("psql").args(["-XAtc", "SELECT 1"]));
        get(&rig.gateway, "/readyz").contains("\"sample\":\"unreachable\"")
    });
    let answer = get(&rig.gateway, "/readyz");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"journal\":true"), "{answer}");
    assert!(get(&rig.gateway, "/metrics").contains("durward_target_reachable{target=\"sample\"} 0"));
    let status = rig.gateway.command(&["status"]).output().unwrap();
    assert!(String::from_utf8_lossy(&status.stdout).contains("sample: unreachable"), "{status:?}");
}

/// What was found: grade, what, words, and what mends it.
fn findings(gateway: &Durward, part: &str) -> Vec<[String; 4]> {
    let output = gateway.command(&["doctor", "--json", "-c"]).arg(gateway.config()).output().unwrap();
    let report = Json::parse(&String::from_utf8_lossy(&output.stdout)).unwrap();
    let found = match part.split_once('/') {
        Some((outer, inner)) => report.at(outer).and_then(|r| r.at(inner)),
        None => report.at(part),
    };
    let of = |check: &Json, name: &str| check.at(name).and_then(Json::text).unwrap_or_default().to_owned();
    let items = found.unwrap_or_else(|| panic!("{output:?}")).items();
    items.iter().map(|c| ["grade", "what", "says", "mend"].map(|name| of(c, name))).collect()
}

fn says(found: &[[String; 4]], what: &str, words: &str) -> Option<[String; 4]> {
    found.iter().find(|[_, w, says, _]| w == what && says.contains(words)).cloned()
}

#[test]
fn a_function_that_nobody_can_read_is_unknown_until_a_person_has_and_again_once_it_changes() {
    let server = server(&[]);
    server.sql(DATABASE, SHOP).unwrap();
    let made = "CREATE OR REPLACE FUNCTION shop.name_of(which integer) RETURNS text LANGUAGE plpgsql SET search_path = shop AS \
        $$ DECLARE n text; BEGIN EXECUTE 'SELECT name FROM customers WHERE id = $1' INTO n USING which; RETURN n; END $$";
    server.sql(DATABASE, made).unwrap();
    let policy =
        r#"@id("reads") permit (principal, action in [Action::"connect", Action::"read"], resource);"#;
    let target = Target::new(DATABASE, server.port(), DATABASE);
    let rig = Rig::of(server, &target, "", policy);
    let asked = || rig.through().said(Command::new("psql").args(["-XAtc", "SELECT shop.name_of(1)"]));
    let line = || {
        let found = findings(&rig.gateway, "targets/sample");
        found.into_iter().find(|[_, what, _, _]| what == "functions").expect("functions are looked at")
    };
    assert!(asked().contains("runs text as SQL"), "{}", asked());
    let [grade, _, _, mend] = line();
    assert!(grade == "good" && mend.contains("shop.name_of(integer)"), "{mend}");
    let more = mend.replace("effects = []", "effects = [\"select=shop.customers\"]");
    let target = Target { more, ..Target::new(DATABASE, rig.server.port(), DATABASE) };
    rig.gateway.apply(&[target], &[("policy.cedar", policy)]).unwrap();
    assert_eq!(asked().lines().next(), Some("Ada"));
    assert!(line()[2].contains("can be read"), "{:?}", line());
    rig.server.sql(DATABASE, &made.replace("SELECT name", "SELECT email")).unwrap();
    eventually("it is another", || asked().contains("runs text as SQL"));
    let [grade, _, says, _] = line();
    assert!(grade == "warning" && says.contains("another than the one that was read"), "{says}");
}

#[test]
fn what_doctor_finds_is_mended_by_what_it_says() {
    let server = server(&[]);
    server.sql(DATABASE, SHOP).unwrap();
    server
        .sql(
            DATABASE,
            "CREATE ROLE \"Gate\" LOGIN CREATEROLE CREATEDB; GRANT pg_write_server_files TO \"Gate\"; \
             CREATE ROLE writers; GRANT pg_execute_server_program TO writers; GRANT writers TO \"Gate\"; \
             GRANT USAGE ON SCHEMA shop TO \"Gate\", writers; GRANT SELECT, UPDATE ON shop.customers TO \"Gate\"; \
             CREATE SCHEMA \"own's\" AUTHORIZATION \"Gate\"; CREATE TABLE \"own's\".notes (id integer); \
             ALTER TABLE \"own's\".notes OWNER TO \"Gate\"; CREATE SCHEMA everybodys; CREATE TABLE everybodys.notes (id integer); \
             GRANT DELETE ON everybodys.notes TO PUBLIC; GRANT INSERT ON everybodys.notes TO writers; \
             CREATE ROLE owners; CREATE SCHEMA theirs AUTHORIZATION owners; CREATE TABLE theirs.notes (id integer); \
             ALTER TABLE theirs.notes OWNER TO owners; GRANT owners TO \"Gate\"",
        )
        .unwrap();
    let columns = vec![("shop.customers.nmae".to_owned(), "secret".to_owned())];
    let target =
        Target { user: "Gate".to_owned(), columns, ..Target::new(DATABASE, server.port(), DATABASE) };
    let rig = Rig::of(server, &target, "", POLICY);

    let found = findings(&rig.gateway, "targets/sample");
    for (what, words) in [
        ("role", "the role has CREATEROLE, CREATEDB"),
        ("role", "a member of pg_write_server_files"),
        ("role", "a member of pg_execute_server_program"),
        ("role", "may write 1 tables of shop"),
        ("role", "may write 1 tables of everybodys"),
        ("role", "owns 1 tables of own's"),
        ("role", "a member of owners, so it may drop and alter tables of theirs"),
    ] {
        let [grade, _, _, mend] = says(&found, what, words).unwrap_or_else(|| panic!("{words}: {found:?}"));
        assert_eq!(grade, "warning", "{words}");
        rig.server.sql(DATABASE, &mend).unwrap();
    }
    let tags = says(&found, "tags", "shop.customers.nmae (did you mean shop.customers.name?)");
    assert!(tags.is_some(), "{found:?}");
    let named = says(&found, "policies", "table shop.custmers (did you mean shop.customers?)");
    assert!(named.is_some(), "{found:?}");
    let policies = findings(&rig.gateway, "policies");
    assert!(says(&policies, "policies", "secrett (did you mean secret?)").is_some(), "{policies:?}");
    let [_, _, _, mend] = says(&policies, "approvers", "policies ask dba").unwrap();
    assert_eq!(mend, "", "nobody knows the name");
    let words = ["approver", "add", "dora", "--group", "dba"];
    assert!(rig.gateway.command(&words).output().unwrap().status.success());

    let found = findings(&rig.gateway, "targets/sample");
    assert!(says(&found, "role", "no more than policies could allow").is_some(), "{found:?}");
    assert!(says(&findings(&rig.gateway, "policies"), "approvers", "somebody is in each group").is_some());
    let here = findings(&rig.gateway, "here");
    for (what, words) in
        [("key", "its owner's alone"), ("port", "somebody listens on"), ("disk", "MiB are free")]
    {
        assert!(says(&here, what, words).is_some(), "{what}: {here:?}");
    }
}

#[test]
fn doctor_looks_at_targets_without_a_gateway_and_fails_for_what_is_bad_alone() {
    let mut rig = shop();
    rig.gateway.end();
    let doctor = |more: &[&str]| {
        let mut command = rig.gateway.command(&["doctor", "-c"]);
        let output = command.arg(rig.gateway.config()).args(more).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = doctor(&[]);
    assert!(code == 0 && said.contains("is free") && said.contains("the gateway can log in to it"), "{said}");
    // Without the administrator's secret, too: nobody is there to take it.
    let mut command = rig.gateway.command(&["doctor", "-c"]);
    command.arg(rig.gateway.config()).env_remove("DURWARD_ADMIN_SECRET").stdin(std::process::Stdio::null());
    let alone = command.output().unwrap();
    let told = String::from_utf8_lossy(&alone.stdout).into_owned();
    assert!(alone.status.success() && told.contains("the gateway can log in to it"), "{alone:?}");
    assert_eq!(doctor(&["--strict"]).0, 6, "warnings are bad where they are asked to be");
    assert_eq!(doctor(&["none"]).0, 5);
    let key = rig.gateway.data().join("master.key");
    let chmod = |mode: &str| assert!(Command::new("chmod").arg(mode).arg(&key).status().unwrap().success());
    chmod("644");
    let output = rig.gateway.command(&["doctor", "--data"]).arg(rig.gateway.data()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!("→ chmod 600 {}", key.display())), "{said}");
    assert_eq!(output.status.code(), Some(6));
    chmod("600");
}

/// A store that is lost knows of no revocation any more: none is begun in its place by itself.
#[test]
fn a_store_that_was_lost_beside_its_journal_is_not_begun_anew_by_mistake() {
    let mut rig = Rig::start(&[], ALLOW_ALL);
    rig.gateway.end();
    let (data, aside) = (rig.gateway.data(), rig.gateway.data().join("aside"));
    fs::create_dir(&aside).unwrap();
    let move_all = |from: &Path, to: &Path| {
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_name().to_string_lossy().starts_with("state.db") {
                fs::rename(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    move_all(&data, &aside);
    let records = rig.gateway.records().unwrap();
    let config = rig.gateway.config();
    let begin = |command: &str| {
        let mut begun = Command::new("timeout");
        begun.arg("30").arg(binary()).args([command, "-c"]).arg(&config).output().unwrap()
    };
    for command in ["init", "serve", "init"] {
        let output = begin(command);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && told.contains("knows of a store that is not here"),
            "{command}: {told}"
        );
        assert!(told.contains("`durward restore`") && told.contains("move"), "{command}: {told}");
    }
    assert_eq!(rig.gateway.records().unwrap(), records, "nothing is written");
    // Brought back it is served as it was; what stands in its place meanwhile holds nothing.
    for entry in fs::read_dir(&data).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("state.db") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    move_all(&aside, &data);
    rig.gateway.restart().unwrap();
    assert!(rig.through().said(Command::new("psql").args(["-XAtc", "SELECT 1"])).starts_with("1\n"));
    // On purpose: the journal is moved away before.
    rig.gateway.end();
    move_all(&data, &aside);
    fs::rename(rig.gateway.journal(), aside.join("journal")).unwrap();
    let anew = begin("init");
    assert!(anew.status.success() && String::from_utf8_lossy(&anew.stdout).contains("dwa_"), "{anew:?}");
}

/// A drain waits for what runs: until then there is somebody to ask, and a way to end it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_busy_when_a_gateway_drains_ends_what_is_begun_and_is_not_waited_for_any_longer() {
    let server = server(&[]);
    let target = Target::new(DATABASE, server.port(), DATABASE);
    let rig = Rig::of(server, &target, "\n[limits]\ndrain = \"1h\"", ALLOW_ALL);
    let (client, connection) = rig.through().config().connect(tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.simple_query("BEGIN; CREATE TABLE drained ()").await.unwrap();
    let pid = rig.gateway.process().pid().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    eventually("it drains", || get(&rig.gateway, "/readyz").contains("\"draining\":true"));
    client.simple_query("COMMIT").await.unwrap();
    // The client stays and asks for nothing more.
    let told = tokio::time::timeout(Duration::from_secs(60), connection).await.expect("it is told");
    let told = told.unwrap().unwrap_err();
    assert_eq!(told.code().map(|code| code.code()), Some("57P01"), "{told}");
    assert_eq!(rig.server.sql(DATABASE, "SELECT count(*) FROM drained").unwrap().trim(), "0");
    drop(client);
}

#[test]
fn whoever_operates_a_gateway_that_drains_can_see_and_end_what_it_waits_for() {
    let mut rig = Rig::start(&[], ALLOW_ALL);
    let mut busy = rig.through().command("psql");
    let mut busy = busy.args(["-XAtc", "SELECT pg_sleep(60)"]).stderr(Stdio::null()).spawn().unwrap();
    eventually("it runs", || {
        let running = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'";
        rig.server.sql("postgres", running).unwrap().trim() == "1"
    });
    let pid = rig.gateway.process().pid().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    eventually("it drains", || get(&rig.gateway, "/readyz").contains("\"draining\":true"));
    assert!(get(&rig.gateway, "/healthz").starts_with("HTTP/1.1 200"));
    let sessions = testkit::process::text(&mut rig.gateway.command(&["sessions", "ls"])).unwrap();
    assert!(sessions.contains("agent:tester"), "{sessions}");
    let nobody = rig.through().said(Command::new("psql").args(["-XAtc", "SELECT 1"]));
    assert!(!nobody.starts_with("1\n"), "nobody new is let in: {nobody}");
    assert!(busy.try_wait().unwrap().is_none(), "it goes on");
    let session = rig.gateway.last_session().unwrap();
    testkit::process::text(&mut rig.gateway.command(&["sessions", "kill", &session])).unwrap();
    assert!(!busy.wait().unwrap().success());
    eventually("it has ended", || rig.gateway.still_runs().is_err());
    assert!(rig.gateway.log().contains("ended"), "{}", rig.gateway.log());
}

/// Under policies that let something be written once somebody has approved it, the role that is proposed can do that.
#[test]
fn the_role_that_is_proposed_in_place_of_the_servers_first_one_can_do_what_policies_allow() {
    let server = server(&[]);
    server.sql(DATABASE, SHOP).unwrap();
    let policy = r#"
        @id("most") permit (principal, action in [Action::"connect", Action::"read", Action::"write"], resource);
    "#;
    let target = Target::new(DATABASE, server.port(), DATABASE);
    let rig = Rig::of(server, &target, "", policy);
    let found = findings(&rig.gateway, "targets/sample");
    let [_, _, _, mend] =
        says(&found, "role", "the role has SUPERUSER").unwrap_or_else(|| panic!("{found:?}"));
    rig.server.sql(DATABASE, &mend).unwrap();
    let target = Target { user: "durward".to_owned(), ..target };
    rig.gateway.apply(&[target], &[("test", policy)]).unwrap();
    let changed = rig
        .through()
        .said(Command::new("psql").args(["-XAtc", "UPDATE shop.customers SET name = 'Ada L.' WHERE id = 1"]));
    assert!(changed.starts_with("UPDATE 1"), "{mend}: {changed}");
    let read = rig
        .through()
        .said(Command::new("psql").args(["-XAtc", "SELECT name FROM shop.customers WHERE id = 1"]));
    assert!(read.starts_with("Ada L."), "{read}");
    let found = findings(&rig.gateway, "targets/sample");
    assert!(says(&found, "role", "no more than policies could allow").is_some(), "{found:?}");
}
