//! Where the analysis is wrong, the server still refuses: between writes it is told that nothing is to be written.
//!
//! The way to make it wrong is the window that `SECURITY.md` names: a definition changes by another way than the gateway,
//! and a statement comes before the gateway has looked.

use testkit::durward::Target;
use tokio_postgres::SimpleQueryMessage;

use crate::rig::{DATABASE, Rig, server};

const POLICY: &str = r#"
@id("reads") permit (principal, action in [Action::"connect", Action::"read"], resource);
@id("writes") permit (principal, action in Action::"write", resource) when { context.statement.kind != "nothing" };
"#;

const SAMPLE: &str = "CREATE TABLE visits (n int);
    CREATE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.visits'";
/// Another body of the same function. Policy allows no call of what is not known, nor this table's truncation by it.
const CHANGED: &str = "CREATE OR REPLACE FUNCTION total() RETURNS bigint LANGUAGE sql AS
    'WITH w AS (DELETE FROM public.visits RETURNING 1) SELECT count(*) FROM w'";
const AS_IT_WAS: &str = "CREATE OR REPLACE FUNCTION total() RETURNS bigint LANGUAGE sql AS
    'SELECT count(*) FROM public.visits'";

fn rig() -> Rig {
    rig_with("")
}

fn rig_with(more: &str) -> Rig {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let target = Target { more: more.to_owned(), ..Target::new(DATABASE, server.port(), DATABASE) };
    Rig::of(server, &target, "", POLICY)
}

async fn count(client: &tokio_postgres::Client) -> i64 {
    client.query_one("SELECT total()", &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_turns_out_to_write_is_refused_by_the_server() {
    let rig = rig();
    let client = rig.through().connect().await;
    let mut by_the_server = 0;
    for round in 1..=8 {
        client.batch_execute("INSERT INTO visits VALUES (1)").await.unwrap();
        assert_eq!(count(&client).await, round, "what was written is read");
        rig.server.sql(DATABASE, CHANGED).unwrap();
        let tried = if round % 2 == 0 {
            client.batch_execute("SELECT total()").await.map(drop)
        } else {
            client.query_one("SELECT total()", &[]).await.map(drop)
        };
        let code = tried.expect_err("it writes").code().unwrap().code().to_owned();
        assert!(["25006", "42501"].contains(&code.as_str()), "{code}");
        by_the_server += usize::from(code == "25006");
        rig.server.sql(DATABASE, AS_IT_WAS).unwrap();
        // What a refused statement is judged by is looked at again.
        tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    }
    assert!(by_the_server > 0, "the gateway was never behind");
    assert_eq!(rig.server.sql(DATABASE, "SELECT count(*) FROM visits").unwrap().trim(), "8");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_write_does_not_feel_it() {
    let rig = rig();
    let client = rig.through().connect().await;
    let insert = "INSERT INTO visits VALUES (1)";
    for (before, then) in [
        ("SELECT 1", insert),
        (insert, "SELECT 1"),
        ("SELECT 1", "BEGIN; INSERT INTO visits VALUES (1); SELECT 1; INSERT INTO visits VALUES (2); COMMIT"),
        ("DISCARD ALL", insert),
        ("SELECT 1", "SELECT 1; INSERT INTO visits VALUES (1)"),
        ("RESET ALL", "SELECT 1"),
        ("BEGIN; SELECT 1; ROLLBACK", insert),
    ] {
        for text in [before, then] {
            client.batch_execute(text).await.unwrap_or_else(|error| panic!("{before}, {text}: {error}"));
        }
    }
    let read = client.prepare("SELECT count(*) FROM visits").await.unwrap();
    let write = client.prepare(insert).await.unwrap();
    for round in 0..3 {
        client.query_one(&read, &[]).await.unwrap();
        client.execute(&write, &[]).await.unwrap();
        // Sent at once, and answered in their order.
        let (a, b, c, d) = tokio::join!(
            client.query_one(&read, &[]),
            client.execute(&write, &[]),
            client.query_one(&read, &[]),
            client.execute(&write, &[]),
        );
        let (before, after): (i64, i64) = (a.unwrap().get(0), c.unwrap().get(0));
        assert_eq!((after - before, b.unwrap(), d.unwrap()), (1, 1, 1), "{round}");
    }
    for name in ["transaction_read_only", "default_transaction_read_only"] {
        client.query_one(&read, &[]).await.unwrap();
        let shown = client.simple_query(&format!("SHOW {name}")).await.unwrap();
        let row =
            shown.iter().find_map(|m| if let SimpleQueryMessage::Row(row) = m { row.get(0) } else { None });
        assert_eq!(row, Some("off"), "the server's own value is shown");
    }
    // Who asks for it has it.
    client.batch_execute("SET default_transaction_read_only = on").await.unwrap();
    let refused =
        client.batch_execute(insert).await.expect_err("it is read only").code().unwrap().code().to_owned();
    assert_eq!(refused, "25006");
}

fn code(error: &tokio_postgres::Error) -> String {
    error.code().expect("the server's or the gateway's error").code().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_strict_target_a_read_that_writes_is_refused_in_a_block_too() {
    let rig = rig_with("read_only = \"strict\"");
    let client = rig.through().connect().await;
    let mut by_the_server = 0;
    for begin in ["BEGIN", "BEGIN; SET LOCAL work_mem = '8MB'", "BEGIN READ WRITE", "BEGIN; SAVEPOINT a"]
        .iter()
        .cycle()
        .take(8)
    {
        client.batch_execute(begin).await.unwrap();
        client.query_one("SELECT 1", &[]).await.unwrap();
        if begin.contains("SAVEPOINT") {
            client.batch_execute("ROLLBACK TO a").await.unwrap();
        }
        rig.server.sql(DATABASE, CHANGED).unwrap();
        let tried = client.query_one("SELECT total()", &[]).await.expect_err("it writes");
        by_the_server += usize::from(code(&tried) == "25006");
        assert!(["25006", "42501"].contains(&code(&tried).as_str()), "{begin}: {tried:?}");
        client.batch_execute("ROLLBACK").await.unwrap();
        rig.server.sql(DATABASE, AS_IT_WAS).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
        client.batch_execute("INSERT INTO visits VALUES (1)").await.unwrap();
    }
    assert!(by_the_server > 0, "the gateway was never behind");
    assert_eq!(rig.server.sql(DATABASE, "SELECT count(*) FROM visits").unwrap().trim(), "8");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_strict_target_a_block_is_one_that_reads_or_one_that_writes() {
    let rig = rig_with("read_only = \"strict\"");
    let mut client = rig.through().connect().await;
    let insert = "INSERT INTO visits VALUES (1)";
    for block in [
        &["BEGIN", insert, "SELECT 1", insert, "COMMIT"][..],
        &["BEGIN", "SELECT n FROM visits FOR UPDATE", insert, "COMMIT"],
        &["BEGIN", "SET LOCAL search_path = public", insert, "SELECT 1", "COMMIT"],
        &["BEGIN", "SELECT 1", "SAVEPOINT a", "SELECT 2", "RELEASE a", "SELECT 3", "COMMIT", insert],
        &["BEGIN; SELECT 1", "SELECT 2; COMMIT", insert],
        &["BEGIN; SELECT 1; COMMIT", insert],
        &["BEGIN; INSERT INTO visits VALUES (1); SELECT 1; COMMIT", "SELECT 1", insert],
        &["BEGIN", "DECLARE c CURSOR FOR SELECT 1", "FETCH c", "COMMIT", insert],
        &["BEGIN ISOLATION LEVEL SERIALIZABLE", insert, "COMMIT AND CHAIN", "SELECT 1", "COMMIT"],
        &["START TRANSACTION READ ONLY", "SELECT 1", "COMMIT", insert],
    ] {
        for text in block {
            client.batch_execute(text).await.unwrap_or_else(|error| panic!("{block:?}, {text}: {error:?}"));
        }
    }
    // A driver's own transaction, prepared statements in it.
    let (read, write) =
        (client.prepare("SELECT count(*) FROM visits").await.unwrap(), client.prepare(insert).await.unwrap());
    let block = client.transaction().await.unwrap();
    block.query_one(&read, &[]).await.unwrap();
    let refused = block.execute(&write, &[]).await.expect_err("it began with a read");
    let told = refused.as_db_error().unwrap();
    assert_eq!(
        (told.code().code(), told.hint().map(|hint| hint.contains("FOR UPDATE"))),
        ("25006", Some(true))
    );
    assert_eq!(code(&block.query_one(&read, &[]).await.expect_err("the block has failed")), "25P02");
    block.rollback().await.unwrap();
    let block = client.transaction().await.unwrap();
    block.execute(&write, &[]).await.unwrap();
    block.query_one(&read, &[]).await.unwrap();
    block.execute(&write, &[]).await.unwrap();
    block.commit().await.unwrap();
    for message in ["BEGIN; SELECT 1; INSERT INTO visits VALUES (1)", "BEGIN READ WRITE; SELECT 1"] {
        assert_eq!(code(&client.batch_execute(message).await.expect_err(message)), "25006", "{message}");
    }
    let seen: i64 = client.query_one(&read, &[]).await.unwrap().get(0);
    assert_eq!(seen, 14, "nothing of what was refused was done");
}
