//! Nothing changes on what is frozen, whoever asks and whoever approved; and sessions are ended while they wait or run.

use std::time::{Duration, Instant};

use testkit::durward::Target;
use testkit::process::text;
use tokio_postgres::{Client, NoTls};

use crate::rig::{ALLOW_ALL, DATABASE, Rig, server};

/// What is to end does so within this.
const SOON: Duration = Duration::from_secs(1);
/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything is allowed to dba, not so that nothing need be understood; others wait for writes.
const POLICY: &str = r#"
@id("all") permit (principal, action, resource);
@id("not-programs") forbid (principal, action == Action::"program", resource);
@id("held") @approvers("admins")
forbid (principal, action in Action::"write", resource)
unless { context.approvals.contains("held") || principal in Group::"dba" };
"#;

fn words(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |e| format!("{} {}", e.code().code(), e.message()))
}

fn run(rig: &Rig, arguments: &[&str]) -> String {
    tokio::task::block_in_place(|| text(&mut rig.gateway.command(arguments))).unwrap()
}

fn freeze(rig: &Rig, arguments: &[&str]) -> String {
    let said = run(rig, &[&["freeze", "--reason", "an incident"], arguments].concat());
    said.split_whitespace().find(|word| word.starts_with("dwr_")).expect("an id").to_owned()
}

/// A session of somebody of a group, and the last words of its connection.
async fn session(rig: &Rig, group: &str) -> (Client, tokio::task::JoinHandle<String>) {
    let token = run(rig, &["token", "issue", &format!("agent:{group}-bot"), "--group", group]);
    let token = token.split_whitespace().find(|w| w.starts_with("dwt_") && w.len() > 20).expect("a token");
    let mut config = rig.through().config();
    let (client, connection) = config.password(token).connect(NoTls).await.unwrap();
    let end = tokio::spawn(async move { connection.await.err().map(|e| words(&e)).unwrap_or_default() });
    (client, end)
}

async fn ask(client: &Client, sql: &str) -> Result<(), String> {
    let answer = tokio::time::timeout(PATIENCE, client.simple_query(sql)).await.expect("an answer");
    answer.map(drop).map_err(|error| words(&error))
}

async fn last_words(end: tokio::task::JoinHandle<String>) -> String {
    tokio::time::timeout(PATIENCE, end).await.expect("it ends").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_frozen_is_read_and_does_not_change() {
    let rig = Rig::start(&["max_prepared_transactions=2"], POLICY);
    rig.server.sql(DATABASE, "CREATE SEQUENCE ids; CREATE TABLE t (id int PRIMARY KEY, words text)").unwrap();
    rig.server
        .sql(DATABASE, "BEGIN; INSERT INTO t VALUES (1, 'before'); PREPARE TRANSACTION 'mine'")
        .unwrap();
    let (client, _end) = session(&rig, "dba").await;
    let prepared = client.prepare("UPDATE t SET words = $1 WHERE id = $2").await.unwrap();
    let id = freeze(&rig, &[DATABASE]);
    for sql in [
        "SELECT * FROM t",
        "SELECT count(*), max(words) FROM t GROUP BY id",
        "SHOW work_mem",
        "SET statement_timeout = '5s'",
        "BEGIN; SELECT * FROM t; COMMIT",
        "BEGIN",
        "ROLLBACK",
        "EXPLAIN SELECT * FROM t",
        "PREPARE p AS SELECT * FROM t; EXECUTE p",
    ] {
        assert_eq!(ask(&client, sql).await, Ok(()), "{sql}");
    }
    client.copy_out("COPY t TO STDOUT").await.unwrap();
    for sql in [
        "INSERT INTO t VALUES (2, 'x')",
        "UPDATE t SET words = 'x'",
        "DELETE FROM t",
        "TRUNCATE t",
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
        "SELECT * FROM t FOR UPDATE",
        "SELECT nextval('ids')",
        "SELECT setval('ids', 7)",
        "SELECT lo_create(0)",
        "SELECT pg_notify('a', 'b')",
        "NOTIFY a",
        "CREATE TABLE u (id int)",
        "SELECT * INTO u FROM t",
        "ALTER TABLE t ADD COLUMN more int",
        "DROP TABLE t",
        "GRANT SELECT ON t TO PUBLIC",
        "VACUUM t",
        "LOCK TABLE t",
        "COPY t FROM STDIN",
        "DO $$BEGIN END$$",
        "EXPLAIN ANALYZE DELETE FROM t",
        "COMMIT PREPARED 'mine'",
        "ROLLBACK PREPARED 'mine'",
        "SELECT 1; DELETE FROM t",
        "ALTER SYSTEM SET work_mem = '1MB'",
    ] {
        let refused = ask(&client, sql).await.expect_err(sql);
        assert!(
            refused.starts_with("ZD005 ") && refused.ends_with("is frozen: an incident"),
            "{sql}: {refused}"
        );
    }
    let refused = client.execute(&prepared, &[&"x", &1]).await.expect_err("what was prepared before");
    assert!(words(&refused).starts_with("ZD005"), "{refused}");
    assert!(run(&rig, &["freezes"]).contains(&id));
    // A revocation is lifted and a freeze is thawed, and neither by the other's command.
    let other = rig.gateway.command(&["revoke", "lift", &id]).output().unwrap();
    assert!(!other.status.success() && run(&rig, &["freezes"]).contains(&id));
    run(&rig, &["thaw", &id]);
    assert_eq!(ask(&client, "INSERT INTO t VALUES (2, 'x')").await, Ok(()));
    assert_eq!(client.execute(&prepared, &[&"y", &2]).await.unwrap(), 1);
    let journal = std::fs::read_to_string(rig.gateway.journal().join("journal-000001.jsonl")).unwrap();
    assert!(journal.contains("\"frozen\"") && journal.contains("\"thawed\"") && journal.contains(&id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_and_not_committed_is_rolled_back_and_readers_notice_nothing() {
    let rig = Rig::start(&[], POLICY);
    rig.server.sql(DATABASE, "CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    let (writer, gone) = session(&rig, "dba").await;
    let (bound, also_gone) = session(&rig, "dba").await;
    let (mut reader, _end) = session(&rig, "dba").await;
    let (past, _end) = session(&rig, "dba").await;
    ask(&past, "INSERT INTO t VALUES (1)").await.unwrap();
    ask(&writer, "BEGIN; INSERT INTO t VALUES (2)").await.unwrap();
    // A portal that is bound, and would run later.
    ask(&bound, "BEGIN").await.unwrap();
    let statement = bound.prepare("INSERT INTO t VALUES (3)").await.unwrap();
    bound.execute(&statement, &[]).await.unwrap();
    let reading = reader.transaction().await.unwrap();
    reading.query("SELECT * FROM t", &[]).await.unwrap();

    let id = freeze(&rig, &["all"]);
    for end in [gone, also_gone] {
        assert_eq!(last_words(end).await, "57P01 terminating connection: the target was frozen: an incident");
    }
    assert_eq!(reading.query("SELECT * FROM t", &[]).await.unwrap().len(), 1);
    reading.commit().await.unwrap();
    ask(&past, "SELECT * FROM t").await.unwrap();
    assert_eq!(rig.server.sql(DATABASE, "SELECT string_agg(id::text, ',') FROM t").unwrap().trim(), "1");
    run(&rig, &["thaw", &id]);

    // Wholly: nothing is read either, and who is in a transaction can leave it.
    ask(&past, "BEGIN; SELECT 1").await.unwrap();
    let id = freeze(&rig, &["all", "--reads", "--lasting", "2s"]);
    for sql in ["SELECT * FROM t", "SELECT 1", "SHOW work_mem", "BEGIN"] {
        assert!(ask(&past, sql).await.expect_err(sql).starts_with("ZD005"), "{sql}");
    }
    ask(&past, "ROLLBACK").await.unwrap();
    let begun = Instant::now();
    while ask(&past, "SELECT * FROM t").await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "it ends by itself");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!run(&rig, &["freezes"]).contains(&id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_changes_nothing_on_what_is_frozen_and_is_not_used_up() {
    let rig = Rig::start(&[], POLICY);
    rig.server.sql(DATABASE, "CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    let (client, _end) = session(&rig, "staff").await;
    let client = std::sync::Arc::new(client);
    let insert = "INSERT INTO t VALUES (1)";
    let waiting = tokio::spawn({
        let client = std::sync::Arc::clone(&client);
        async move { ask(&client, insert).await }
    });
    let begun = Instant::now();
    let request = loop {
        if let Some(id) = tokio::task::block_in_place(|| rig.gateway.waiting_request()).unwrap() {
            break id;
        }
        assert!(begun.elapsed() < PATIENCE);
    };
    let id = freeze(&rig, &[&format!("target:{DATABASE}")]);
    let refused = waiting.await.unwrap().expect_err("it waits no more");
    assert_eq!(refused, "ZD005 the target is frozen: an incident; the statement did not run");
    run(&rig, &["requests", "approve", &request]);
    assert!(ask(&client, insert).await.expect_err("frozen").starts_with("ZD005"));
    run(&rig, &["thaw", &id]);
    assert_eq!(ask(&client, insert).await, Ok(()), "the approval is used now");
    assert_eq!(rig.server.sql(DATABASE, "SELECT count(*) FROM t").unwrap().trim(), "1");
}

/// Where everything is allowed nothing is understood: such a session ends, and in a new one it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_do_everything_may_not_change_what_is_frozen() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let write = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING 1'";
    rig.server.sql(DATABASE, &format!("CREATE TABLE t (id int); {write}")).unwrap();
    let (_client, end) = session(&rig, "dba").await;
    let id = freeze(&rig, &[DATABASE]);
    assert!(last_words(end).await.starts_with("57P01"));
    let (client, _end) = session(&rig, "dba").await;
    ask(&client, "SELECT * FROM t").await.unwrap();
    for sql in ["SELECT f()", "INSERT INTO t VALUES (1)", "EXECUTE nothing_known", "this is no SQL"] {
        assert!(ask(&client, sql).await.is_err(), "{sql}");
    }
    run(&rig, &["thaw", &id]);
    ask(&client, "SELECT f()").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_is_a_target_a_tag_or_all_and_a_typing_error_is_told() {
    let server = server(&[]);
    server.sql(DATABASE, "CREATE TABLE t (id int)").unwrap();
    let target = Target::new(DATABASE, server.port(), DATABASE);
    let rig = Rig::of(server, &target, "", POLICY);
    let toml = format!(
        "[[targets]]\nname = \"{DATABASE}\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"postgres\"\ndatabase = \"{DATABASE}\"\n\
         sslmode = \"disable\"\ntags = [\"production\"]\n",
        rig.server.port()
    );
    let files = testkit::Scratch::new("freeze").unwrap();
    std::fs::write(files.join("t.toml"), toml).unwrap();
    run(&rig, &["apply", "-f", &files.path().display().to_string()]);
    let (client, _end) = session(&rig, "dba").await;
    for (scope, concerns) in [
        ("production", true),
        ("tag:production", true),
        ("tag:staging", false),
        ("all", true),
        (DATABASE, true),
    ] {
        let id = freeze(&rig, &[scope]);
        assert_eq!(ask(&client, "DELETE FROM t").await.is_err(), concerns, "{scope}");
        run(&rig, &["thaw", &id]);
        ask(&client, "DELETE FROM t").await.unwrap();
    }
    // What is frozen is thawed by the word that froze it, where that is one thing.
    run(&rig, &["freeze", DATABASE, "--reason", "x"]);
    assert!(run(&rig, &["thaw", DATABASE]).contains("policies decide again"));
    for more in [&[][..], &["--reads"]] {
        run(&rig, &[&["freeze", DATABASE, "--reason", "x"], more].concat());
    }
    let twice = rig.gateway.command(&["thaw", DATABASE]).output().unwrap();
    let words = String::from_utf8_lossy(&twice.stderr);
    assert!(!twice.status.success() && words.contains("frozen more than once"), "{words}");
    for id in words.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| w.starts_with("dwr_"))
    {
        run(&rig, &["thaw", id]);
    }
    for (arguments, said) in [
        (&["freeze", "producton", "--reason", "x"][..], "did you mean \"production\"?"),
        (&["freeze", "target:producton", "--reason", "x"], "there is no target \"producton\""),
        (&["freeze", "all", "--reason", " "], "a reason is one line"),
        (&["freeze", "all", "--reason", "x", "--until", "2020-01-01T00:00:00Z"], "that moment is over"),
        (&["freeze", "all", "--reason", "x", "--until", "tomorrow"], "is no moment"),
        (&["thaw", "dwr_0"], "there is no freeze dwr_0"),
        (&["thaw", DATABASE], "nothing is frozen by the word"),
    ] {
        let output = rig.gateway.command(arguments).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && words.contains(said), "{arguments:?}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_within_a_second_while_they_wait_and_while_they_run() {
    let rig = Rig::start(&[], POLICY);
    rig.server.sql(DATABASE, "CREATE TABLE t (id int)").unwrap();
    let (other, _end) = session(&rig, "other").await;
    for arguments in [&["--principal", "agent:staff-bot"][..], &["--principal", "user:boss"], &["SESSION"]] {
        let token = run(&rig, &["token", "issue", "agent:staff-bot", "--for", "user:boss"]);
        let token =
            token.split_whitespace().find(|w| w.starts_with("dwt_") && w.len() > 20).unwrap().to_owned();
        for sql in
            ["SELECT 1", "DELETE FROM t", "SELECT repeat('x', 1000) FROM generate_series(1, 100000000)"]
        {
            let mut config = rig.through().config();
            let (client, connection) = config.password(&token).connect(NoTls).await.unwrap();
            let end = tokio::spawn(async move {
                let words = connection.await.err().map(|e| words(&e)).unwrap_or_default();
                (words, Instant::now())
            });
            let busy = tokio::spawn(async move {
                let _ = ask(&client, sql).await;
                tokio::time::sleep(PATIENCE).await;
            });
            tokio::time::sleep(Duration::from_millis(300)).await;
            let last = tokio::task::block_in_place(|| rig.gateway.last_session()).unwrap();
            let which: Vec<&str> =
                arguments.iter().map(|a| if *a == "SESSION" { &last } else { *a }).collect();
            let said = run(&rig, &[&["sessions", "kill"], &which[..]].concat());
            let killed = Instant::now();
            assert!(said.contains("ended: 1") || said.contains(&last), "{said}");
            let (said, at) = tokio::time::timeout(PATIENCE, end).await.expect("it ends").unwrap();
            assert!(
                said.starts_with("57P01") || said.contains("closed") || sql.contains("repeat"),
                "{sql}: {said}"
            );
            assert!(at.saturating_duration_since(killed) < SOON, "{sql}");
            busy.abort();
        }
        // Who is killed may come again; others notice nothing.
        let mut config = rig.through().config();
        drop(config.password(&token).connect(NoTls).await.unwrap());
        ask(&other, "SELECT 1").await.unwrap();
    }
    let begun = Instant::now();
    assert!(run(&rig, &["sessions", "kill", "--target", DATABASE]).contains("ended: "));
    while !other.is_closed() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whoever reports a stolen token may have its text alone; that is kept nowhere.
#[test]
fn a_token_is_revoked_by_its_whole_text_which_nobody_keeps() {
    let rig = Rig::start(&[], POLICY);
    for words in [&["revoke", "token", "--reason", "stolen"][..], &["token", "revoke"]] {
        let token = rig.gateway.token("staff-bot").unwrap();
        let (id, secret) = token.rsplit_once('_').unwrap();
        let told = run(&rig, &[words, &[&token]].concat());
        assert!(told.contains(id) && !told.contains(secret), "{told}");
        assert!(!rig.gateway.records().unwrap().contains(secret), "the journal keeps a secret");
        let way = crate::rig::Way { port: rig.gateway.port(), password: token.clone() };
        let came = way.command("psql").args(["-Xc", "SELECT 1"]).output().unwrap();
        assert!(!came.status.success(), "{words:?}: it still opens a session");
    }
    let refused =
        rig.gateway.command(&["revoke", "token", "dwt_0123456789ab", "--reason", "x"]).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("dwt_0123456789ab"), "a slip is told: {told}");
    let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
    let refused = rig.gateway.command(&["revoke", "token", jwt, "--reason", "x"]).output().unwrap();
    assert!(!refused.status.success() && !rig.gateway.records().unwrap().contains(jwt));
}

/// A secret that somebody has seen is replaced while the gateway serves.
#[test]
fn a_secret_of_the_administrators_that_was_replaced_opens_nothing_any_more() {
    let rig = Rig::start(&[], POLICY);
    run(&rig, &["freezes"]);
    let config = rig.gateway.config().display().to_string();
    run(&rig, &["init", "-c", &config, "--new-secret"]);
    let old = rig.gateway.command(&["freezes"]).output().unwrap();
    assert_eq!(old.status.code(), Some(4), "{}", String::from_utf8_lossy(&old.stdout));
}
