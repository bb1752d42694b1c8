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
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let target = Target::new(DATABASE, server.port(), DATABASE);
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
