//! Where policy wants it (`@preview("hold")`), what was tried stays open while its session waits: whoever approves it in time has
//! that very effect committed, nobody else waits for it, and nothing of it is left where the answer is another.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::durward::Target;

use crate::rig::{DATABASE, Rig, Way, said, server};

/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(20);

const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("most") permit (principal, action in [Action::"write", Action::"call", Action::"notify", Action::"create", Action::"configure"], resource);
@id("held") @approvers("admins") @preview("hold")
forbid (principal, action in [Action::"insert", Action::"update", Action::"delete", Action::"merge"], resource)
unless { context.approvals.contains("held") };
"#;

/// Each change of a stamp says when it was made, and by which of the server's processes.
const SAMPLE: &str = "CREATE TABLE stamps (id int PRIMARY KEY, n int, made timestamptz, maker int);
    INSERT INTO stamps SELECT n, 0 FROM generate_series(1, 9) n;
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.made := clock_timestamp(); NEW.maker := pg_backend_pid(); RETURN NEW; END';
    CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON stamps FOR EACH ROW EXECUTE FUNCTION stamp();
    CREATE TABLE counted (id serial, n int);
    CREATE TABLE loud (id int);
    CREATE FUNCTION shouts() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''loud''; RETURN NEW; END';
    CREATE TRIGGER loud AFTER INSERT ON loud FOR EACH ROW EXECUTE FUNCTION shouts();
    CREATE TABLE told (id int);
    CREATE FUNCTION tells() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_notify(''told'', ''''); RETURN NEW; END';
    CREATE TRIGGER told AFTER INSERT ON told FOR EACH ROW EXECUTE FUNCTION tells();
    CREATE TABLE late (id int PRIMARY KEY, stamp int REFERENCES stamps DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE members (id int PRIMARY KEY, email text UNIQUE, n int);
    INSERT INTO members VALUES (1, 'secret1@example.com', 0), (2, 'secret2@example.com', 0);";

fn rig(settings: &str) -> Rig {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let columns = vec![("public.members.email".to_owned(), "pii.email".to_owned())];
    let target = Target { columns, ..Target::new(DATABASE, server.port(), DATABASE) };
    Rig::of(server, &target, settings, POLICY)
}

/// So many transactions of the gateway's wait for an answer.
const OPEN: &str = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
const MAY_TAKE: &str = "which stays open until ";

fn ends(psql: Child) -> String {
    said(&psql.wait_with_output().unwrap())
}

/// Waits until nothing is open any more, and says how long that took.
fn closes(rig: &Rig, case: &str) -> Duration {
    let begun = Instant::now();
    while rig.value(OPEN) != "0" {
        assert!(begun.elapsed() < PATIENCE, "{case}: it is still open");
        sleep(Duration::from_millis(20));
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_tried_is_what_is_committed_where_it_is_approved_in_time() {
    let rig = Arc::new(rig(""));
    let approver = {
        let rig = Arc::clone(&rig);
        move || {
            let id = rig.waiting();
            assert!(rig.shown(&id).contains(MAY_TAKE), "{}", rig.shown(&id));
            assert_eq!(rig.value(OPEN), "1");
            let until = rig.value("SELECT clock_timestamp()");
            rig.answer("approve", &id);
            (id, until)
        }
    };
    for (statement, tag, which) in [
        ("UPDATE stamps SET n = 1 WHERE id < 4", "UPDATE 3", "id < 4"),
        ("INSERT INTO stamps VALUES (20, 1), (21, 1)", "INSERT 0 2", "id >= 20"),
    ] {
        let psql = rig.send(statement);
        let (id, until) = approver();
        let output = ends(psql);
        assert!(output.contains(tag), "{output}");
        assert_eq!(rig.value(&format!("SELECT bool_and(made < '{until}') FROM stamps WHERE {which}")), "t");
        // By another process than the session's.
        assert_eq!(rig.value(&format!("SELECT count(DISTINCT maker) FROM stamps WHERE {which}")), "1");
        assert!(rig.shown(&id).contains("done"), "{}", rig.shown(&id));
        assert_eq!(rig.value(OPEN), "0");
    }
    let psql = rig.send("DELETE FROM stamps WHERE id >= 20");
    approver();
    assert!(ends(psql).contains("DELETE 2"));

    // With values beside it, twice in one session, which goes on.
    let client = rig.through().connect().await;
    let update = client.prepare("UPDATE stamps SET n = $1 WHERE id = $2").await.unwrap();
    for n in [7, 8] {
        let approved = tokio::task::spawn_blocking(approver.clone());
        let changed = client.execute(&update, &[&n, &5]).await.unwrap();
        let (_, until) = approved.await.unwrap();
        assert_eq!(changed, 1);
        let made = format!("SELECT n || ' ' || (made < '{until}') FROM stamps WHERE id = 5");
        assert_eq!(rig.value(&made), format!("{n} true"));
        let row = client.query_one("SELECT n FROM stamps WHERE id = 5", &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), n, "its own session sees it");
    }
    let journal = rig.gateway.records().unwrap();
    let tries = journal.matches("stays open for the answer").count();
    assert_eq!((tries, journal.matches("committed what it had tried").count()), (5, 5));
}

#[test]
fn nobody_waits_for_what_stays_open_and_then_it_runs_again_once_it_is_approved() {
    let rig = rig("");
    let psql = rig.send("UPDATE stamps SET n = n + 1 WHERE id = 1");
    let id = rig.waiting();
    assert_eq!(rig.value(OPEN), "1");
    let begun = Instant::now();
    rig.server.sql(DATABASE, "UPDATE stamps SET n = 10 WHERE id = 1").unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    closes(&rig, "another waits");
    rig.answer("approve", &id);
    assert!(ends(psql).contains("UPDATE 1"));
    assert_eq!(rig.value("SELECT n FROM stamps WHERE id = 1"), "11");

    // Whoever ends its connection.
    let psql = rig.send("UPDATE stamps SET n = n + 1 WHERE id = 3");
    let id = rig.waiting();
    let ended = rig.value(&OPEN.replace("count(*)", "pg_terminate_backend(pid)"));
    assert_eq!(ended, "t");
    rig.answer("approve", &id);
    assert!(ends(psql).contains("UPDATE 1"));
    assert_eq!(rig.value("SELECT n FROM stamps WHERE id = 3"), "1");

    // Whoever alters its table.
    let psql = rig.send("UPDATE stamps SET n = n + 1 WHERE id = 2");
    let id = rig.waiting();
    rig.server.sql(DATABASE, "ALTER TABLE stamps ADD COLUMN more int").unwrap();
    closes(&rig, "an alteration");
    rig.answer("approve", &id);
    // Another table is another question.
    let again = rig.waiting();
    assert_ne!(again, id);
    rig.answer("approve", &again);
    assert!(ends(psql).contains("UPDATE 1"));
    assert_eq!(rig.value("SELECT n FROM stamps WHERE id = 2"), "1");
}

/// A target that is lost while it commits what was tried: nobody knows what came of it, it is not run again, and that is said.
#[test]
fn what_was_lost_while_it_was_committed_is_not_run_again() {
    let rig = rig("");
    let mut psql = rig.through().command("psql");
    let psql = psql.args(["-XqAt", "-v", "VERBOSITY=verbose"]);
    let psql = psql.args(["-c", "UPDATE stamps SET n = n + 1 WHERE id = 1", "-c", "SELECT 'it goes on'"]);
    let psql = psql.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = rig.waiting();
    assert_eq!(rig.value(OPEN), "1");
    // A commit waits from now on for a standby that is nowhere.
    let server = |sql: &str| rig.value(sql);
    server("ALTER SYSTEM SET synchronous_standby_names = 'nowhere'");
    server("SELECT pg_reload_conf()");
    let begun = Instant::now();
    while server("SHOW synchronous_standby_names") != "nowhere" {
        assert!(begun.elapsed() < PATIENCE);
    }
    rig.answer("approve", &id);
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while server(ended) == "0" {
        assert!(begun.elapsed() < PATIENCE, "it commits");
        sleep(Duration::from_millis(20));
    }
    let output = ends(psql);
    assert!(output.contains("08007") && output.contains("lost while it committed"), "{output}");
    assert!(output.contains("it goes on"), "its session lives: {output}");
    assert!(rig.shown(&id).contains("outcome_unknown"), "{}", rig.shown(&id));
    server("ALTER SYSTEM RESET synchronous_standby_names");
    server("SELECT pg_reload_conf()");
    assert_eq!(rig.value("SELECT n FROM stamps WHERE id = 1"), "1", "it had been committed, once");
    // What comes next is asked about anew.
    let psql = rig.send("UPDATE stamps SET n = n + 1 WHERE id = 1");
    let again = rig.waiting();
    assert_ne!(again, id);
    rig.answer("approve", &again);
    assert!(ends(psql).contains("UPDATE 1"));
    assert_eq!(rig.value("SELECT n FROM stamps WHERE id = 1"), "2");
}

/// Who has agents without end leaves others a place.
#[test]
fn one_person_takes_half_of_the_places() {
    let rig = rig("");
    let another = rig.gateway.token("another").unwrap();
    let sent = |way: &Way, at: usize| {
        let mut psql = way.command("psql");
        let psql = psql.args(["-XqAt", "-c", &format!("UPDATE stamps SET n = 1 WHERE id = {at}")]);
        psql.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let open = |count: &str| {
        let begun = Instant::now();
        while rig.value(OPEN) != count {
            assert!(begun.elapsed() < PATIENCE, "{} are open, not {count}", rig.value(OPEN));
            sleep(Duration::from_millis(20));
        }
    };
    let (own, other) = (rig.through(), Way { password: another, ..rig.through() });
    let mut all = Vec::new();
    for at in 1..=4 {
        all.push(sent(&own, at));
        open(&at.to_string());
    }
    let fifth = sent(&own, 5);
    let begun = Instant::now();
    let waiting = || testkit::process::text(&mut rig.gateway.command(&["requests", "ls"])).unwrap();
    while !waiting().contains("and 4 alike") {
        assert!(begun.elapsed() < PATIENCE, "{}", waiting());
        sleep(Duration::from_millis(20));
    }
    assert_eq!(rig.value(OPEN), "4", "the fifth finds no place");
    all.extend([fifth, sent(&other, 6)]);
    open("5");
    for mut psql in all {
        psql.kill().unwrap();
        psql.wait().unwrap();
    }
    closes(&rig, "nobody waits any more");
}

#[test]
fn nothing_of_it_is_left_where_the_answer_is_no_or_nobody_waits_for_it() {
    let mut rig = rig("[limits]\nhold = \"6s\"\n");
    let statement = "UPDATE stamps SET n = 5 WHERE id = 3";
    let before = rig.value("SELECT md5(string_agg(s::text, ' ' ORDER BY id)) FROM stamps s");
    let mut frozen = String::new();
    for case in ["denied", "gone", "late", "frozen"] {
        let mut psql = rig.send(statement);
        let id = rig.waiting();
        assert_eq!(rig.value(OPEN), "1", "{case}");
        let mut soon = Duration::from_secs(2);
        match case {
            "denied" => rig.answer("deny", &id),
            "gone" => psql.kill().unwrap(),
            "late" => soon = Duration::from_secs(8),
            _ => {
                let freeze = ["freeze", DATABASE, "--reason", "an incident"];
                frozen = said(&rig.gateway.command(&freeze).output().unwrap());
            }
        }
        let took = closes(&rig, case);
        assert!(took < soon, "{case}: {took:?}");
        let output = ends(psql);
        assert!(!output.contains("UPDATE 1"), "{case}: {output}");
        if case == "late" {
            // It is good all the same, and runs as what it was seen to do.
            rig.answer("approve", &id);
            let output = ends(rig.send(statement));
            assert!(output.contains("UPDATE 1"), "{output}");
            rig.server.sql(DATABASE, "ALTER TABLE stamps DISABLE TRIGGER stamp; UPDATE stamps SET n = 0, made = NULL, maker = NULL WHERE id = 3; ALTER TABLE stamps ENABLE TRIGGER stamp").unwrap();
        }
    }
    let id = frozen.split_whitespace().last().unwrap();
    let thawed = rig.gateway.command(&["thaw", id]).output().unwrap();
    assert!(thawed.status.success(), "{}", said(&thawed));
    // What was frozen waits still, for whoever asks again: this is another.
    let psql = rig.send("UPDATE stamps SET n = 5 WHERE id = 4");
    let begun = Instant::now();
    while rig.value(OPEN) != "1" {
        assert!(begun.elapsed() < PATIENCE, "it is tried");
        sleep(Duration::from_millis(20));
    }
    rig.gateway.crash().unwrap();
    ends(psql);
    assert!(closes(&rig, "a gateway that dies") < Duration::from_secs(2));
    assert_eq!(rig.value("SELECT md5(string_agg(s::text, ' ' ORDER BY id)) FROM stamps s"), before);
}

#[test]
fn what_its_session_could_tell_from_its_own_doing_runs_again() {
    let rig = rig("");
    for (statement, why) in [
        ("UPDATE stamps SET n = 2 WHERE id = 1 RETURNING id", "it returns rows"),
        (
            "INSERT INTO counted (n) VALUES (1)",
            "it takes a number of a sequence, for which its session can ask behind it",
        ),
        ("INSERT INTO told VALUES (1)", "it notifies others, who hear from which session"),
        ("INSERT INTO loud VALUES (1)", "the server says something beside"),
        ("UPDATE stamps SET n = 2 WHERE id = 2; DELETE FROM stamps WHERE id = 9", "it is several statements"),
        (
            "SET default_transaction_isolation = 'serializable'; UPDATE stamps SET n = 2 WHERE id = 3",
            "its session has an isolation level of its own",
        ),
    ] {
        let mut psql = rig.through().command("psql");
        let setting = statement.starts_with("SET ");
        let parts: Vec<&str> = match setting {
            true => statement.split("; ").flat_map(|part| ["-c", part]).collect(),
            false => vec!["-c", statement],
        };
        let psql = psql.arg("-X").args(parts).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let id = rig.waiting();
        let shown = rig.shown(&id);
        let line = format!("  - it runs again once it is approved, as it cannot stay open: {why}");
        assert!(shown.lines().any(|l| l == line), "{statement}: {line} is not in\n{shown}");
        assert!(shown.contains("when it was tried and rolled back"), "{statement}: {shown}");
        assert_eq!(rig.value(OPEN), "0", "{statement}");
        rig.answer("approve", &id);
        let output = ends(psql);
        assert!(!output.contains("ERROR"), "{statement}: {output}");
    }
    // What waits for the end of the transaction has failed when it was tried, and not at the commit.
    let psql = rig.send("INSERT INTO late VALUES (1, 77)");
    let id = rig.waiting();
    let shown = rig.shown(&id);
    assert!(shown.contains("it was not tried: it fails, with SQLSTATE 23503"), "{shown}");
    assert_eq!(rig.value(OPEN), "0");
    rig.answer("deny", &id);
    ends(psql);
    // Of less rows than were tried only less are let through.
    let psql = rig.send("UPDATE stamps SET n = 3 WHERE id < 4");
    let id = rig.waiting();
    let approve = ["requests", "approve", &id, "--most", "2"];
    assert!(rig.gateway.command(&approve).output().unwrap().status.success());
    let output = ends(psql);
    assert!(output.contains("changed 3 rows, and 2 were approved"), "{output}");
    assert_eq!(rig.value("SELECT count(*) FROM stamps WHERE n = 3"), "0");
}

/// What is written of who writes is what the session would have written, and what another connection cannot be is not tried by one.
#[test]
fn a_row_says_of_whom_it_is_as_if_its_session_had_written_it() {
    let rig = rig("");
    let sample = "CREATE ROLE another; CREATE ROLE third; CREATE TABLE whose (id int, login name, acts name); \
        CREATE FUNCTION whose() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN NEW.login := session_user; NEW.acts := current_user; RETURN NEW; END'; \
        CREATE TRIGGER whose BEFORE INSERT ON whose FOR EACH ROW EXECUTE FUNCTION whose(); \
        GRANT ALL ON whose TO another, third";
    rig.server.sql(DATABASE, sample).unwrap();
    for (setting, opens, written) in [
        ("SELECT 1", true, "postgres postgres"),
        ("SET ROLE third", true, "postgres third"),
        ("SET SESSION AUTHORIZATION another", false, "another another"),
        ("SET SESSION AUTHORIZATION another; SET ROLE third; RESET ROLE", false, "another another"),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            false,
            "postgres postgres",
        ),
        ("SET SESSION AUTHORIZATION another; RESET SESSION AUTHORIZATION", true, "postgres postgres"),
    ] {
        let mut psql = rig.through().command("psql");
        let before = setting.split("; ").flat_map(|part| ["-c", part]);
        psql.arg("-X").args(before).args(["-c", "INSERT INTO whose VALUES (1)"]);
        let psql = psql.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let id = rig.waiting();
        let shown = rig.shown(&id);
        assert_eq!(rig.value(OPEN) == "1", opens, "{setting}: {shown}");
        let another = "it was not tried: its session has taken another login role (SESSION AUTHORIZATION)";
        assert_eq!(shown.contains(another), written.starts_with("another"), "{setting}: {shown}");
        rig.answer("approve", &id);
        let output = ends(psql);
        assert!(output.contains("INSERT 0 1"), "{setting}: {output}");
        assert_eq!(rig.value("DELETE FROM whose RETURNING login || ' ' || acts"), written, "{setting}");
    }
}

/// Whether something stays open, and what that locks, another session of the same principal's can find out.
#[test]
fn what_stays_open_tells_nothing_of_tagged_values() {
    let rig = rig("");
    for (statement, opens) in [
        ("UPDATE members SET n = 1 WHERE id = 1", true),
        ("DELETE FROM members WHERE id = 2", true),
        ("UPDATE members SET email = 'secret2@example.com' WHERE id = 1", false),
        ("UPDATE members SET email = 'another@example.com' WHERE id = 1", false),
        ("INSERT INTO members VALUES (3, 'secret3@example.com')", false),
    ] {
        let psql = rig.send(statement);
        let id = rig.waiting();
        assert_eq!(rig.value(OPEN) == "1", opens, "{statement}: {}", rig.shown(&id));
        rig.answer("deny", &id);
        ends(psql);
        closes(&rig, statement);
    }
}
