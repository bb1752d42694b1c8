//! What policies can ask of one operation alone: the values beside columns, how many rows it is thought to touch, how many were
//! counted.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use crate::rig::{DATABASE, Rig, python};

const POLICY: &str = r#"
@id("connects") permit (principal, action == Action::"connect", resource);
@id("uses") permit (principal, action in [Action::"read", Action::"write", Action::"call"], resource);
@id("own") @reason("only acme's bookings, or number 7")
forbid (principal, action == Action::"select", resource == Table::"sample/public.bookings")
unless {
    context.values.contains({column: "public.bookings.tenant", how: "=", value: "acme"}) ||
    context.values.contains({column: "public.bookings.id", how: "=", value: "7"})
};
@id("new") forbid (principal, action == Action::"insert", resource == Table::"sample/public.bookings")
unless {
    context.values_certain && context.literals == 0 &&
    context.values.contains({column: "public.bookings.tenant", how: "set", value: "acme"})
};
@id("few") forbid (principal, action == Action::"select", resource == Table::"sample/public.numbers")
unless { context has estimated_rows && context.estimated_rows <= 100 };
@id("held") @approvers("admins")
forbid (principal, action == Action::"update", resource == Table::"sample/public.bookings")
unless { context.approvals.contains("held") };
@id("counted") forbid (principal, action == Action::"update", resource == Table::"sample/public.bookings")
when { context has measured_rows && context.measured_rows > 2 };
"#;

const SAMPLE: &str = "CREATE TABLE bookings (id int PRIMARY KEY, tenant text, note varchar(20));
    INSERT INTO bookings SELECT n, CASE WHEN n < 4 THEN 'acme' ELSE 'evil' END, '' FROM generate_series(1, 9) n;
    CREATE TABLE numbers (id int PRIMARY KEY);
    INSERT INTO numbers SELECT generate_series(1, 10000);
    ANALYZE numbers;
    CREATE SEQUENCE called;
    CREATE FUNCTION counts() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT nextval(''public.called'')::int';";

fn rig() -> Rig {
    let rig = Rig::start(&[], POLICY);
    rig.server.sql(DATABASE, SAMPLE).unwrap();
    rig
}

fn code(error: &tokio_postgres::Error) -> String {
    error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned())
}

/// How many rows come, or the SQLSTATE.
async fn simple(client: &Client, text: &str) -> Result<usize, String> {
    let messages = client.simple_query(text).await.map_err(|e| code(&e))?;
    let is_row =
        |m: &&tokio_postgres::SimpleQueryMessage| matches!(m, tokio_postgres::SimpleQueryMessage::Row(_));
    Ok(messages.iter().filter(is_row).count())
}

const REFUSED: &str = "42501";

#[tokio::test]
async fn each_binding_and_each_literal_is_decided_by_its_own_values() {
    let rig = rig();
    let client = rig.through().connect().await;
    // One statement, bound in the binary format.
    let of_tenant = client.prepare("SELECT id FROM bookings WHERE tenant = $1").await.unwrap();
    let of_id = client.prepare("SELECT id FROM bookings WHERE id = $1").await.unwrap();
    for _ in 0..2 {
        for (statement, value, expected) in [
            (&of_tenant, &"acme" as &(dyn ToSql + Sync), Ok(3)),
            (&of_tenant, &"evil", Err(REFUSED)),
            (&of_id, &7_i32, Ok(1)),
            (&of_id, &8_i32, Err(REFUSED)),
        ] {
            let got = client.query(statement, &[value]).await.map(|rows| rows.len()).map_err(|e| code(&e));
            assert_eq!(got, expected.map_err(str::to_owned), "{value:?}");
        }
    }
    for (text, expected) in [
        ("SELECT id FROM bookings WHERE tenant = 'acme'", Ok(3)),
        ("SELECT id FROM bookings WHERE tenant = 'evil'", Err(REFUSED)),
        ("SELECT id FROM bookings WHERE tenant = 'acme'", Ok(3)),
        ("SELECT id FROM bookings WHERE tenant = 'acme' AND id > 1", Ok(2)),
        ("SELECT id FROM bookings WHERE id = 07", Ok(1)),
        ("SELECT id FROM bookings WHERE tenant = 'acme' OR true", Err(REFUSED)),
        ("SELECT id FROM bookings WHERE NOT tenant = 'acme'", Err(REFUSED)),
        ("SELECT b.id FROM bookings a, bookings b WHERE a.tenant = 'acme'", Err(REFUSED)),
        ("SELECT (SELECT count(*) FROM bookings) FROM bookings WHERE tenant = 'acme'", Err(REFUSED)),
        ("SELECT id FROM bookings WHERE tenant = 'acme' UNION SELECT id FROM bookings", Err(REFUSED)),
        ("SELECT id FROM bookings WHERE tenant = 'acme'; SELECT id FROM bookings", Err(REFUSED)),
        ("SELECT id FROM bookings", Err(REFUSED)),
        ("INSERT INTO bookings (id, tenant) VALUES (20, 'acme')", Err(REFUSED)),
        ("SELECT id FROM numbers WHERE id = 5", Ok(1)),
    ] {
        assert_eq!(simple(&client, text).await, expected.map_err(str::to_owned), "{text}");
    }
    let new = client.prepare("INSERT INTO bookings (id, tenant, note) VALUES ($1, $2, $3)").await.unwrap();
    for (tenant, expected) in [("acme", Ok(1)), ("evil", Err(REFUSED.to_owned()))] {
        let got = client.execute(&new, &[&21_i32, &tenant, &None::<String>]).await.map_err(|e| code(&e));
        assert_eq!(got, expected, "{tenant}");
    }
    let evil = "SELECT count(*) FROM bookings WHERE id > 9 AND tenant <> 'acme'";
    assert_eq!(rig.server.sql(DATABASE, evil).unwrap().trim(), "0");
    // The same statement, prepared under a name and bound in the text format.
    let script = "import psycopg\n\
        c = psycopg.connect('', autocommit=True)\n\
        for tenant in ('acme', 'evil', 'acme', 'evil'):\n\
        \x20   try:\n\
        \x20       rows = c.execute('SELECT id FROM bookings WHERE tenant = %s', [tenant], prepare=True).fetchall()\n\
        \x20       print(tenant, len(rows))\n\
        \x20   except psycopg.Error as e:\n\
        \x20       print(tenant, e.sqlstate)\n";
    let said = rig.through().said(Command::new(python()).args(["-c", script]));
    assert!(said.starts_with("acme 4\nevil 42501\nacme 4\nevil 42501\n"), "{said}");
}

#[tokio::test]
async fn what_the_planner_expects_is_asked_where_policy_reads_it_and_calls_nothing() {
    let rig = rig();
    let client = rig.through().connect().await;
    for (text, expected) in [
        ("SELECT id FROM numbers WHERE id = 5", Ok(1)),
        ("SELECT id FROM numbers", Err(REFUSED)),
        ("SELECT id FROM numbers LIMIT 10", Ok(10)),
        ("SELECT id FROM numbers WHERE id < 20", Ok(19)),
        ("SELECT id FROM numbers WHERE id < 9000", Err(REFUSED)),
        // It would be called while it is planned.
        ("SELECT id FROM numbers WHERE id = counts()", Err(REFUSED)),
    ] {
        assert_eq!(simple(&client, text).await, expected.map_err(str::to_owned), "{text}");
    }
    let below = client.prepare("SELECT id FROM numbers WHERE id < $1").await.unwrap();
    for (value, expected) in [(20_i32, Ok(19)), (9000, Err(REFUSED.to_owned())), (20, Ok(19))] {
        let got = client.query(&below, &[&value]).await.map(|rows| rows.len()).map_err(|e| code(&e));
        assert_eq!(got, expected, "{value}");
    }
    let called = "SELECT is_called FROM called";
    assert_eq!(rig.server.sql(DATABASE, called).unwrap().trim(), "f");
}

#[tokio::test]
async fn what_was_counted_decides_when_a_held_statement_is_decided_again() {
    let rig = Arc::new(rig());
    let client = rig.through().connect().await;
    for (text, expected) in [
        ("UPDATE bookings SET note = 'x' WHERE id = 7", Ok(0)),
        ("UPDATE bookings SET note = 'x' WHERE tenant = 'acme'", Err(REFUSED.to_owned())),
    ] {
        let other = Arc::clone(&rig);
        let approver = tokio::task::spawn_blocking(move || {
            let start = Instant::now();
            let id = loop {
                if let Some(id) = other.gateway.waiting_request().unwrap() {
                    break id;
                }
                assert!(start.elapsed() < Duration::from_secs(60), "it is held");
                std::thread::sleep(Duration::from_millis(20));
            };
            let approved = other.gateway.command(&["requests", "approve", &id]).output().unwrap();
            assert!(approved.status.success(), "{}", String::from_utf8_lossy(&approved.stderr));
        });
        let got = simple(&client, text).await;
        approver.await.unwrap();
        assert_eq!(got, expected, "{text}");
    }
    let changed = "SELECT count(*) FROM bookings WHERE note = 'x'";
    assert_eq!(rig.server.sql(DATABASE, changed).unwrap().trim(), "1");
}
