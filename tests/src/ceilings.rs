//! An approval carries a ceiling of rows: what changes more is taken back before it is committed, whatever way it comes, and
//! what stays below is answered as if nobody had looked.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::json::Json;
use testkit::process::text;
use tokio_postgres::SimpleQueryMessage;

use crate::rig::{DATABASE, Rig, said};

/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(30);
/// More rows changed than were approved.
const TOO_MANY: &str = "ZD006";

const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("writes") permit (principal, action in [Action::"write", Action::"define", Action::"call", Action::"run_code"], resource);
@id("held") @approvers("admins") @ceiling("5")
forbid (principal, action in [Action::"write", Action::"define", Action::"run_code"], resource)
unless { context.approvals.contains("held") };
"#;

const SAMPLE: &str = "CREATE TABLE buyers (id int PRIMARY KEY, name text);
    CREATE TABLE purchases (id int PRIMARY KEY, buyer int REFERENCES buyers ON DELETE CASCADE, n int);
    CREATE TABLE later (id int PRIMARY KEY, buyer int REFERENCES buyers DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO buyers SELECT n, 'b' FROM generate_series(1, 20) n;
    INSERT INTO purchases SELECT n, (n + 2) / 3, 0 FROM generate_series(1, 60) n;
    CREATE TABLE noted (id int PRIMARY KEY, n int);
    CREATE TABLE remarks (id int);
    INSERT INTO noted SELECT n, 0 FROM generate_series(1, 9) n;
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.remarks VALUES (NEW.id), (NEW.id); RETURN NEW; END';
    CREATE TRIGGER noting AFTER UPDATE ON noted FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TABLE grows (id int, n int);
    INSERT INTO grows VALUES (1, 0), (2, 0);
    CREATE FUNCTION grow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.grows VALUES (9, 9), (9, 9), (9, 9); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER growing AFTER UPDATE ON grows DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION grow();
    CREATE TABLE spans (id int, at int) PARTITION BY RANGE (at);
    CREATE TABLE spans_1 PARTITION OF spans FOR VALUES FROM (0) TO (10);
    CREATE TABLE spans_2 PARTITION OF spans FOR VALUES FROM (10) TO (20);
    INSERT INTO spans SELECT n, 5 FROM generate_series(1, 8) n;";

#[track_caller]
fn rig() -> Rig {
    let rig = Rig::start(&[], POLICY);
    rig.server.sql(DATABASE, SAMPLE).unwrap();
    rig
}

/// A statement that psql sends and waits for.
fn send(rig: &Rig, statement: &str) -> Child {
    let mut psql = rig.through().command("psql");
    psql.args(["-Xc", statement]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    psql.spawn().unwrap()
}

#[track_caller]
fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(20));
    }
}

/// Approves what waits, for so many rows where that is said.
#[track_caller]
fn approve(rig: &Rig, most: Option<u64>) -> String {
    let id = eventually("it is held", || rig.gateway.waiting_request().unwrap());
    let number = most.map(|most| most.to_string());
    let mut arguments = vec!["requests", "approve", &id];
    arguments.extend(number.iter().flat_map(|number| ["--most", number]));
    let approved = rig.gateway.command(&arguments).output().unwrap();
    assert!(approved.status.success(), "{}", said(&approved));
    id
}

/// Where a request stands, and what became of it.
fn stands(rig: &Rig, id: &str) -> (String, String) {
    let shown =
        Json::parse(&text(&mut rig.gateway.command(&["requests", "show", id, "--json"])).unwrap()).unwrap();
    let of = |name| shown.at(name).and_then(Json::text).unwrap_or_default().to_owned();
    (of("status"), of("outcome"))
}

#[track_caller]
fn ends(rig: &Rig, id: &str, status: &str, outcome: &str) {
    let start = Instant::now();
    loop {
        let stands = stands(rig, id);
        if stands == (status.to_owned(), outcome.to_owned()) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{status} {outcome} is {stands:?}");
        sleep(Duration::from_millis(20));
    }
}

fn stopped(changed: u64, most: u64) -> String {
    format!("stopped at its ceiling and taken back: it changed {changed} rows, and {most} were approved")
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    Simple,
    Extended,
}

/// Runs a statement while somebody approves it for so many rows: the SQLSTATE, if it fails.
async fn run(
    rig: &std::sync::Arc<Rig>,
    client: &tokio_postgres::Client,
    mode: Mode,
    statement: &str,
    most: Option<u64>,
) -> (String, Result<u64, String>) {
    let other = std::sync::Arc::clone(rig);
    let approver = tokio::task::spawn_blocking(move || approve(&other, most));
    let code = |e: tokio_postgres::Error| e.code().map_or_else(|| e.to_string(), |c| c.code().to_owned());
    let ran = match mode {
        Mode::Simple => client.simple_query(statement).await.map_err(code).map(|messages| {
            let tags = messages
                .iter()
                .filter_map(|m| if let SimpleQueryMessage::CommandComplete(n) = m { Some(*n) } else { None });
            tags.sum()
        }),
        Mode::Extended => client.execute(statement, &[]).await.map_err(code),
    };
    (approver.await.unwrap(), ran)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_more_rows_than_were_approved_is_taken_back_however_it_comes() {
    let rig = std::sync::Arc::new(rig());
    let client = rig.through().connect().await;
    let statement = "UPDATE purchases SET n = n + 1 WHERE id <= 3";
    let sum = "SELECT sum(n) FROM purchases";
    let mut expected = 0;
    for mode in [Mode::Simple, Mode::Extended] {
        for (block, most) in [(false, 3), (false, 2), (true, 3), (true, 2)] {
            let case = format!("{mode:?}, in a block: {block}, at most {most}");
            if block {
                client.simple_query("BEGIN; SELECT 1").await.unwrap();
            }
            let (id, ran) = run(&rig, &client, mode, statement, Some(most)).await;
            if most == 3 {
                assert_eq!(ran, Ok(3), "{case}");
                expected += 3;
                if block {
                    assert_eq!(rig.value(sum), (expected - 3).to_string(), "{case}: the client commits it");
                    client.simple_query("COMMIT").await.unwrap();
                }
                ends(&rig, &id, "done", "done, rows: 3");
            } else {
                assert_eq!(ran, Err(TOO_MANY.to_owned()), "{case}");
                ends(&rig, &id, "failed", &stopped(3, 2));
                if block {
                    let failed = client.simple_query("SELECT 1").await.unwrap_err();
                    assert_eq!(failed.code().unwrap().code(), "25P02", "{case}");
                    client.simple_query("ROLLBACK").await.unwrap();
                }
            }
            assert_eq!(rig.value(sum), expected.to_string(), "{case}");
            client.simple_query("SELECT 1").await.unwrap();
        }
    }
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    assert_eq!(rig.value(open), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_change_counts_with_it_and_what_triggers_write_does_not() {
    let rig = std::sync::Arc::new(rig());
    let version: u32 = rig.value("SHOW server_version_num").parse().unwrap();
    let client = rig.through().connect().await;
    for (n, (statement, most, changed)) in [
        // One buyer, and the three purchases that go with him.
        ("DELETE FROM buyers WHERE id = 1", 3, 4),
        ("UPDATE noted SET n = n + 1 WHERE id <= 3", 2, 3),
        ("UPDATE spans SET at = 15 WHERE id <= 4", 3, 4),
        ("UPDATE purchases SET n = 9", 59, 60),
        ("WITH gone AS (DELETE FROM purchases RETURNING 1) SELECT count(*) FROM gone", 59, 60),
        ("INSERT INTO remarks SELECT 1 FROM generate_series(1, 7)", 6, 7),
        (
            "MERGE INTO buyers b USING (VALUES (1), (2), (99)) v(i) ON b.id = v.i \
              WHEN MATCHED THEN UPDATE SET name = 'x' WHEN NOT MATCHED THEN INSERT VALUES (v.i, 'y')",
            2,
            3,
        ),
        ("UPDATE buyers SET name = 'x' WHERE id < 0", 0, 0),
    ]
    .into_iter()
    .enumerate()
    {
        // Versions before 15 know no MERGE.
        if version < 150_000 && statement.starts_with("MERGE") {
            continue;
        }
        let mode = if n % 2 == 0 { Mode::Simple } else { Mode::Extended };
        if changed > most {
            let (id, ran) = run(&rig, &client, mode, statement, Some(most)).await;
            assert_eq!(ran, Err(TOO_MANY.to_owned()), "{statement}");
            ends(&rig, &id, "failed", &stopped(changed, most));
        }
        // The honest neighbour, which is taken back by its own client.
        client.simple_query("BEGIN").await.unwrap();
        let (_, ran) = run(&rig, &client, mode, statement, Some(changed)).await;
        assert!(ran.is_ok(), "{statement}: {ran:?}");
        client.simple_query("ROLLBACK").await.unwrap();
    }
    let all = "SELECT (SELECT count(*) FROM buyers) || ' ' || (SELECT count(*) FROM remarks)";
    assert_eq!(rig.value(all), "20 0");
}

/// The server carries a change out whole at the first Execute of its portal, and so it is counted whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_that_is_fetched_in_parts_changes_no_more_than_was_approved() {
    let rig = std::sync::Arc::new(rig());
    let mut client = rig.through().connect().await;
    let sum = "SELECT sum(n) FROM purchases";
    for text in [
        "UPDATE purchases SET n = n + 1 WHERE id <= 3 RETURNING id",
        "WITH more AS (UPDATE purchases SET n = n + 1 WHERE id <= 3 RETURNING id) SELECT id FROM more",
    ] {
        let before: u64 = rig.value(sum).parse().unwrap();
        for most in [2, 3] {
            let transaction = client.transaction().await.unwrap();
            let statement = transaction.prepare(text).await.unwrap();
            let other = std::sync::Arc::clone(&rig);
            let approver = tokio::task::spawn_blocking(move || approve(&other, Some(most)));
            let portal = transaction.bind(&statement, &[]).await.unwrap();
            approver.await.unwrap();
            let mut failed = None;
            let mut rows = 0;
            while rows < 3 && failed.is_none() {
                match transaction.query_portal(&portal, 1).await {
                    Ok(some) => rows += some.len(),
                    Err(error) => failed = error.code().map(|code| code.code().to_owned()),
                }
            }
            let committed = transaction.commit().await;
            let now: u64 = rig.value(sum).parse().unwrap();
            if most == 2 {
                let told = failed.or(committed.err().and_then(|e| e.code().map(|c| c.code().to_owned())));
                assert_eq!(told.as_deref(), Some(TOO_MANY), "{text}");
                assert_eq!(now, before, "{text}");
            } else {
                assert_eq!((failed, rows, now), (None, 3, before + 3), "{text}");
            }
            client.simple_query("SELECT 1").await.unwrap();
        }
    }
}

/// Triggers that wait for the end of the transaction write what is part of the effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_at_the_end_of_a_transaction_counts_before_it_is_committed() {
    let rig = std::sync::Arc::new(rig());
    let client = rig.through().connect().await;
    let statement = "UPDATE grows SET n = n + 1 WHERE id <= 2";
    let rows = "SELECT count(*) FROM grows";
    let mut expected = 2;
    for mode in [Mode::Simple, Mode::Extended] {
        for (block, most) in [(false, 7), (false, 8), (true, 7), (true, 8)] {
            let case = format!("{mode:?}, in a block: {block}, at most {most}");
            if block {
                client.simple_query("BEGIN").await.unwrap();
            }
            let (_, mut ran) = run(&rig, &client, mode, statement, Some(most)).await;
            if block {
                assert_eq!(ran, Ok(2), "{case}: what waits for the end is not there yet");
                let code = |e: tokio_postgres::Error| e.code().unwrap().code().to_owned();
                ran = match mode {
                    Mode::Simple => client.simple_query("COMMIT").await.map(|_| 2).map_err(code),
                    Mode::Extended => client.execute("COMMIT", &[]).await.map(|_| 2).map_err(code),
                };
            }
            let fits = most == 8;
            assert_eq!(ran, if fits { Ok(2) } else { Err(TOO_MANY.to_owned()) }, "{case}");
            expected += if fits { 6 } else { 0 };
            if matches!(mode, Mode::Extended) {
                client.simple_query("ROLLBACK").await.unwrap();
            }
            assert_eq!(rig.value(rows), expected.to_string(), "{case}");
            client.simple_query("SELECT 1").await.unwrap();
        }
    }
    // Forced by the client it counts as well, and what a constraint waits for may come behind what was approved.
    client.simple_query("BEGIN").await.unwrap();
    assert_eq!(run(&rig, &client, Mode::Simple, statement, Some(7)).await.1, Ok(2));
    let forced = client.simple_query("SET CONSTRAINTS ALL IMMEDIATE").await.unwrap_err();
    assert_eq!(forced.code().unwrap().code(), TOO_MANY);
    client.simple_query("ROLLBACK").await.unwrap();
    client.simple_query("BEGIN").await.unwrap();
    let refers = "INSERT INTO later VALUES (1, 77)";
    assert_eq!(run(&rig, &client, Mode::Extended, refers, Some(1)).await.1, Ok(1));
    let target = "INSERT INTO buyers VALUES (77, 'late')";
    assert_eq!(run(&rig, &client, Mode::Extended, target, Some(1)).await.1, Ok(1));
    client.simple_query("COMMIT").await.unwrap();
    assert_eq!(rig.value("SELECT count(*) FROM later"), "1");
}

#[test]
fn what_is_approved_is_answered_as_the_server_would() {
    let rig = rig();
    for (statement, input, expected) in [
        (
            "UPDATE buyers SET name = 'c' WHERE id < 3 RETURNING id",
            "",
            " id \n----\n  1\n  2\n(2 rows)\n\nUPDATE 2\n",
        ),
        (
            "UPDATE buyers SET name = 'd' WHERE id = 3; SELECT 7 AS x",
            "",
            "UPDATE 1\n x \n---\n 7\n(1 row)\n\n",
        ),
        ("COPY remarks FROM STDIN", "1\n2\n\\.\n", "COPY 2\n"),
        ("CREATE TABLE made (id int)", "", "CREATE TABLE\n"),
        (
            "INSERT INTO buyers VALUES (1, 'again')",
            "",
            "duplicate key value violates unique constraint \"buyers_pkey\"",
        ),
        ("INSERT INTO later VALUES (1, 77)", "", "violates foreign key constraint \"later_buyer_fkey\""),
    ] {
        let mut waiting = send(&rig, statement);
        waiting.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        approve(&rig, None);
        let output = waiting.wait_with_output().unwrap();
        let (out, all) = (String::from_utf8_lossy(&output.stdout).into_owned(), said(&output));
        assert!(out == expected || out.is_empty() && all.contains(expected), "{statement}: {all}");
        assert!(!all.contains("transaction"), "{statement}: {all}");
    }
    assert_eq!(rig.value("SELECT count(*) FROM remarks"), "2");
    assert_eq!(rig.value("SELECT count(*) FROM later"), "0");
}

#[test]
fn the_ceiling_is_policys_where_nobody_says_otherwise_and_the_least_of_what_is_said() {
    let rig = rig();
    let waiting = send(&rig, "UPDATE noted SET n = 2 WHERE random() >= 0");
    let id = eventually("it is held", || rig.gateway.waiting_request().unwrap());
    let shown = text(&mut rig.gateway.command(&["requests", "show", &id])).unwrap();
    assert!(shown.contains("at most 5 rows, as policy says; with more nothing of it stays"), "{shown}");
    approve(&rig, None);
    let output = said(&waiting.wait_with_output().unwrap());
    assert!(output.contains("the statement changed 9 rows, and 5 were approved"), "{output}");
    ends(&rig, &id, "failed", &stopped(9, 5));
    let journal = rig.gateway.journal();
    let journal =
        text(std::process::Command::new("sh").arg("-c").arg(format!("cat {}/*.jsonl", journal.display())));
    let journal = journal.unwrap();
    assert!(journal.contains("\"most\":5") && journal.contains(TOO_MANY), "{journal}");
}

#[test]
fn what_cannot_be_taken_back_is_said_to_have_no_ceiling() {
    let rig = rig();
    for (statement, why) in [
        ("CREATE INDEX CONCURRENTLY slow ON buyers (name)", "runs in no transaction"),
        ("DO $$ BEGIN UPDATE public.buyers SET name = 'z'; END $$", "DO may commit by itself"),
        ("TRUNCATE remarks", "the server counts no rows of TRUNCATE"),
    ] {
        let waiting = send(&rig, statement);
        let id = eventually("it is held", || rig.gateway.waiting_request().unwrap());
        let shown = text(&mut rig.gateway.command(&["requests", "show", &id])).unwrap();
        assert!(shown.lines().any(|l| l.starts_with("Ceiling   none: ") && l.contains(why)), "{shown}");
        let refused = rig.gateway.command(&["requests", "approve", &id, "--most", "3"]).output().unwrap();
        assert!(said(&refused).contains("no number of rows can be set"), "{}", said(&refused));
        approve(&rig, None);
        let output = waiting.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    assert_eq!(
        rig.value("SELECT count(*) FROM pg_index WHERE indexrelid = 'slow'::regclass AND indisvalid"),
        "1"
    );
    // What ends its transaction by itself cannot be looked at before.
    let output = said(&send(&rig, "BEGIN; DELETE FROM noted; COMMIT").wait_with_output().unwrap());
    assert!(output.contains("without BEGIN and COMMIT in its message"), "{output}");
    assert_eq!(rig.value("SELECT count(*) FROM noted"), "9");
}

#[test]
fn a_gateway_that_dies_before_the_end_leaves_the_data_as_it_was() {
    let mut rig = rig();
    let waiting = send(&rig, "UPDATE noted SET n = 7 FROM pg_sleep(3)");
    let id = approve(&rig, Some(9));
    let runs = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'UPDATE noted%' AND state = 'active'";
    eventually("it runs", || (rig.value(runs) == "1").then_some(()));
    rig.gateway.crash().unwrap();
    waiting.wait_with_output().unwrap();
    eventually("it is over", || (rig.value(runs) == "0").then_some(()));
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    eventually("its transaction is", || (rig.value(open) == "0").then_some(()));
    assert_eq!(rig.value("SELECT sum(n) FROM noted"), "0");
    assert_eq!(stands(&rig, &id).0, "outcome_unknown");
}
