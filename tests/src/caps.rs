//! What policy bounds, no client lifts: how long a statement runs, waits for a lock, and stays idle in a transaction.

use crate::rig::{Rig, Way};

const POLICY: &str = r#"
@id("connects") @statement_timeout("1s") @lock_timeout("2s") @idle_in_transaction_session_timeout("1m")
permit (principal, action == Action::"connect", resource);
@id("longer") @statement_timeout("1h") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("writes") permit (principal, action in Action::"write", resource);
@id("calls") permit (principal, action in [Action::"call", Action::"run_code"], resource);
"#;
const SAMPLE: &str = "CREATE TABLE slow (n int);
    CREATE FUNCTION lifts() RETURNS text LANGUAGE sql AS $$SELECT set_config('statement_timeout', '0', false)$$;
    CREATE FUNCTION lifts_too() RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN set_config('statement_timeout', '0', false); END$$";

fn code(error: &tokio_postgres::Error) -> String {
    error.code().expect("an error with words").code().to_owned()
}

async fn shown(client: &tokio_postgres::Client, name: &str) -> String {
    client.query_one("SELECT current_setting($1)", &[&name]).await.unwrap().get(0)
}

async fn with_options(way: &Way, options: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = way.config().options(options).connect(tokio_postgres::NoTls).await?;
    drop(tokio::spawn(connection));
    Ok(client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_policy_bounds_no_client_lifts() {
    let rig = Rig::start(&[], POLICY);
    rig.server.sql(crate::rig::DATABASE, SAMPLE).unwrap();
    let client = rig.through().connect().await;
    let refused = "42501";
    for text in [
        "SET statement_timeout = 0",
        "SET statement_timeout = '2s'",
        "SET LOCAL statement_timeout = '1min'",
        "SET SESSION statement_timeout TO DEFAULT",
        "SET lock_timeout = '1h'",
        "SET idle_in_transaction_session_timeout = 0",
        "SELECT set_config('statement_timeout', '0', false)",
        "SELECT set_config('Statement_Timeout', '5' || '0s', true)",
        "SELECT pg_catalog.set_config('statement_timeout', n::text, false) FROM slow",
        "PREPARE p (text) AS SELECT set_config('statement_timeout', $1, false)",
        "SELECT lifts()",
        "SELECT lifts_too()",
        "BEGIN; SET LOCAL statement_timeout = 0; COMMIT",
    ] {
        let error = client.batch_execute(text).await.expect_err(text);
        assert_eq!(code(&error), refused, "{text}: {error:?}");
        let error = client.query("SELECT set_config('statement_timeout', $1, false)", &[&"0"]).await;
        assert_eq!(code(&error.expect_err("a parameter")), refused);
        assert_eq!(shown(&client, "statement_timeout").await, "1s", "{text}");
    }
    // Their neighbours: shorter, others, and what puts back.
    for text in [
        "SET statement_timeout = '500ms'",
        "SET work_mem = '8MB'",
        "SELECT set_config('lock_timeout', '1s', false)",
    ] {
        client.batch_execute(text).await.unwrap();
    }
    assert_eq!(shown(&client, "statement_timeout").await, "500ms");
    for text in ["RESET statement_timeout", "RESET ALL", "DISCARD ALL"] {
        client.batch_execute("SET statement_timeout = 900").await.unwrap();
        client.batch_execute(text).await.unwrap();
        assert_eq!(shown(&client, "statement_timeout").await, "1s", "{text}");
    }
    assert_eq!(shown(&client, "lock_timeout").await, "2s");
    assert_eq!(shown(&client, "idle_in_transaction_session_timeout").await, "1min");
    let slow = client.batch_execute("SELECT pg_sleep(20)").await.expect_err("it takes too long");
    assert_eq!(code(&slow), "57014");
    client.batch_execute("SELECT 1").await.unwrap();
    // A session does not begin with more, either.
    let Err(endless) = with_options(&rig.through(), "-c statement_timeout=0").await else {
        panic!("endless")
    };
    assert_eq!(code(&endless), refused);
    let brief = with_options(&rig.through(), "-c statement_timeout=300").await.unwrap();
    assert_eq!(shown(&brief, "statement_timeout").await, "300ms");
}
