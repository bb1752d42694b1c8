//! What policy lets one statement return: beyond it the statement ends, and the session does not.

use std::process::Command;

use testkit::durward::Target;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::rig::{DATABASE, Rig, server};

/// More would be returned than may be.
const TOO_MUCH: &str = "ZD010";

const POLICY: &str = r#"
@id("connects") @rows("50") permit (principal, action == Action::"connect", resource);
@id("few") @rows("10") permit (principal, action == Action::"select", resource in Schema::"sample/public");
@id("small") @bytes("100KiB") permit (principal, action == Action::"select", resource in Schema::"sample/big");
@id("writes") permit (principal, action in Action::"write", resource);
@id("held") @approvers("admins") @rows("3") forbid (principal, action == Action::"delete", resource)
    unless { context.approvals.contains("held") };
"#;

const SAMPLE: &str = "CREATE TABLE many AS SELECT n AS id, 'x' AS what FROM generate_series(1, 100000) n;
    CREATE TABLE written (id int);
    CREATE SCHEMA big;
    CREATE TABLE big.long AS SELECT n AS id, repeat('x', 30000) AS what FROM generate_series(1, 8) n;
    CREATE TABLE big.secret AS SELECT n AS id, repeat('x', 30000) AS what FROM generate_series(1, 8) n;
    CREATE TABLE big.secrets AS SELECT n AS id, 'x' AS what FROM generate_series(1, 60000) n;
    CREATE TABLE gone AS SELECT n AS id FROM generate_series(1, 5) n;
    CREATE TABLE big.whole AS SELECT n AS id, repeat('x', 90000) AS what FROM generate_series(1, 3) n;";

fn rig() -> Rig {
    of(POLICY)
}

fn of(policy: &str) -> Rig {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let mut target = Target::new(DATABASE, server.port(), DATABASE);
    let tag = |column: &str| (column.to_owned(), "secret".to_owned());
    target.columns = vec![tag("big.secret.what"), tag("big.secrets.what")];
    Rig::of(server, &target, "", policy)
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    Simple,
    Extended,
    Copy,
}

/// How many rows come, or the SQLSTATE.
async fn rows(client: &Client, mode: Mode, text: &str) -> Result<usize, String> {
    use futures_util::StreamExt as _;
    let code = |e: tokio_postgres::Error| e.code().map_or_else(|| e.to_string(), |c| c.code().to_owned());
    match mode {
        Mode::Simple => {
            let messages = client.simple_query(text).await.map_err(code)?;
            Ok(messages.iter().filter(|m| matches!(m, SimpleQueryMessage::Row(_))).count())
        }
        Mode::Extended => Ok(client.query(text, &[]).await.map_err(code)?.len()),
        Mode::Copy => {
            let mut stream = std::pin::pin!(client.copy_out(text).await.map_err(code)?);
            let mut parts = 0;
            while let Some(part) = stream.next().await {
                part.map_err(code)?;
                parts += 1;
            }
            Ok(parts)
        }
    }
}

#[tokio::test]
async fn more_than_policy_lets_a_statement_return_ends_it_and_not_its_session() {
    let rig = rig();
    let client = rig.through().connect().await;
    for (mode, text, expected) in [
        (Mode::Simple, "SELECT id FROM many LIMIT 10", Ok(10)),
        (Mode::Simple, "SELECT id FROM many LIMIT 11", Err(TOO_MUCH)),
        (Mode::Simple, "SELECT id FROM many", Err(TOO_MUCH)),
        (Mode::Simple, "SELECT count(*) FROM many", Ok(1)),
        (Mode::Simple, "SELECT id FROM many LIMIT 10; SELECT id FROM many LIMIT 10", Ok(20)),
        (
            Mode::Simple,
            "SELECT id FROM many LIMIT 9; SELECT id FROM many; SELECT id FROM many LIMIT 1",
            Err(TOO_MUCH),
        ),
        (Mode::Extended, "SELECT id FROM many LIMIT 10", Ok(10)),
        (Mode::Extended, "SELECT id FROM many LIMIT 11", Err(TOO_MUCH)),
        (Mode::Extended, "SELECT id FROM many", Err(TOO_MUCH)),
        (Mode::Copy, "COPY (SELECT id FROM many LIMIT 10) TO STDOUT", Ok(10)),
        (Mode::Copy, "COPY (SELECT id FROM many LIMIT 10) TO STDOUT (FORMAT csv, HEADER)", Ok(11)),
        (Mode::Copy, "COPY (SELECT id FROM many LIMIT 11) TO STDOUT (FORMAT csv, HEADER)", Err(TOO_MUCH)),
        (Mode::Copy, "COPY (SELECT id FROM many LIMIT 10) TO STDOUT (FORMAT binary)", Ok(11)),
        (Mode::Copy, "COPY many TO STDOUT", Err(TOO_MUCH)),
        // Of what reads no table the session's own bound is in force.
        (Mode::Simple, "SELECT generate_series(1, 50)", Ok(50)),
        (Mode::Extended, "SELECT generate_series(1, 1000000000)", Err(TOO_MUCH)),
        (Mode::Simple, "SELECT what FROM big.long WHERE id <= 3", Ok(3)),
        (Mode::Simple, "SELECT what FROM big.long", Err(TOO_MUCH)),
        (Mode::Extended, "SELECT what FROM big.whole WHERE id = 1", Ok(1)),
        (Mode::Extended, "SELECT what FROM big.whole", Err(TOO_MUCH)),
        (Mode::Copy, "COPY big.whole TO STDOUT", Err(TOO_MUCH)),
        // What counts is what comes: masks are short, and their bytes are counted, too.
        (Mode::Simple, "SELECT what FROM big.secret", Ok(8)),
        (Mode::Extended, "SELECT what FROM big.secret", Ok(8)),
        (Mode::Simple, "SELECT what FROM big.secrets", Err(TOO_MUCH)),
        (Mode::Extended, "SELECT what FROM big.secrets", Err(TOO_MUCH)),
        (Mode::Copy, "COPY (SELECT what FROM big.secrets) TO STDOUT", Err(TOO_MUCH)),
        (Mode::Extended, "INSERT INTO written SELECT 1 FROM generate_series(1, 70)", Ok(0)),
    ] {
        for block in [false, true] {
            let case = format!("{mode:?} {text}, in a block: {block}");
            if block {
                client.simple_query("BEGIN").await.unwrap();
                client.simple_query("INSERT INTO written VALUES (7)").await.unwrap();
            }
            let got = rows(&client, mode, text).await;
            assert_eq!(got, expected.map_err(str::to_owned), "{case}");
            if block {
                // What it was told has failed has failed.
                let code = rows(&client, Mode::Simple, "SELECT 1").await;
                assert_eq!(code.is_err(), expected.is_err(), "{case}: {code:?}");
                client.simple_query("ROLLBACK").await.unwrap();
            }
            assert_eq!(rows(&client, Mode::Extended, "SELECT 1").await, Ok(1), "{case}");
        }
    }
    let active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%many%'";
    assert_eq!(rig.server.sql(DATABASE, active).unwrap().trim(), "0");
    assert_eq!(rig.server.sql(DATABASE, "SELECT count(*) FROM written WHERE id = 7").unwrap().trim(), "0");
}

#[tokio::test]
async fn parts_of_a_portal_and_of_a_cursor_count_together() {
    let rig = rig();
    let mut client = rig.through().connect().await;
    for most in [4, 10] {
        let transaction = client.transaction().await.unwrap();
        let portal = transaction.bind("SELECT id FROM many", &[]).await.unwrap();
        let mut seen = 0;
        let code = loop {
            match transaction.query_portal(&portal, most).await {
                Ok(rows) => seen += rows.len(),
                Err(error) => break error.code().unwrap().code().to_owned(),
            }
        };
        assert!(seen <= 10 && seen > 5, "{seen}");
        assert_eq!(code, TOO_MUCH);
    }
    for (cursor, hold) in [("c", ""), ("d", "WITH HOLD")] {
        client.simple_query("BEGIN").await.unwrap();
        let declare = format!("DECLARE {cursor} CURSOR {hold} FOR SELECT id FROM many");
        client.simple_query(&declare).await.unwrap();
        let fetch = format!("FETCH 5 FROM {cursor}");
        assert_eq!(rows(&client, Mode::Simple, &fetch).await, Ok(5));
        assert_eq!(rows(&client, Mode::Extended, &fetch).await, Ok(5));
        assert_eq!(rows(&client, Mode::Simple, &fetch).await, Err(TOO_MUCH.to_owned()));
        client.simple_query("ROLLBACK").await.unwrap();
    }
    assert_eq!(rows(&client, Mode::Simple, "SELECT 1").await, Ok(1));
}

#[test]
fn the_error_names_its_policy_and_what_was_written_is_not_denied() {
    let rig = rig();
    let psql = |text: &str| {
        rig.through().said(Command::new("psql").args(["-XAt", "-v", "VERBOSITY=verbose", "-c", text]))
    };
    let said = psql("SELECT id FROM many");
    for words in ["ZD010", "the statement returns more than 10 rows", "Policy \"few\"", "HINT:  Ask for less"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let said = psql("INSERT INTO written SELECT n FROM generate_series(1, 60) n RETURNING id");
    assert!(
        said.contains("WARNING:  ZD010: the statement was carried out, and no more than 10 rows"),
        "{said}"
    );
    assert!(said.contains("\n10\n") && !said.contains("\n11\n") && said.contains("INSERT 0 60"), "{said}");
    assert_eq!(rig.server.sql(DATABASE, "SELECT count(*) FROM written").unwrap().trim(), "60");
    let journal = rig.gateway.journal();
    let files = std::fs::read_dir(journal).unwrap().map(|f| f.unwrap().path());
    let all: String = files.filter_map(|f| std::fs::read_to_string(f).ok()).collect();
    assert!(all.contains("\"ZD010\""), "{all}");
}

/// Calls functions by their OIDs, as libpq does for large objects: how long each value is, and what the server says beside it.
const CALLS: &str = r#"
import ctypes, os, sys
pq = ctypes.CDLL("libpq.so.5")
for name in ("PQconnectdb", "PQfn"):
    getattr(pq, name).restype = ctypes.c_void_p
pq.PQerrorMessage.restype = ctypes.c_char_p
class Arg(ctypes.Structure):
    _fields_ = [("len", ctypes.c_int), ("isint", ctypes.c_int), ("ptr", ctypes.c_char_p)]
class Count(ctypes.Structure):
    _fields_ = [("len", ctypes.c_int), ("isint", ctypes.c_int), ("integer", ctypes.c_long)]
class Args(ctypes.Structure):
    _fields_ = [("text", Arg), ("count", Count)]
conn = ctypes.c_void_p(pq.PQconnectdb(b""))
REPEAT = 1622
for count in (10, 60000, 70000, 20):
    held, length = ctypes.create_string_buffer(100000), ctypes.c_int(-1)
    args = Args(Arg(1, 0, b"x"), Count(4, 1, count))
    result = pq.PQfn(conn, REPEAT, held, ctypes.byref(length), 0, ctypes.byref(args), 2)
    status = pq.PQresultStatus(ctypes.c_void_p(result))
    print(count, "status", status, "length", length.value, len(held.value))
    sys.stdout.flush()
print(pq.PQerrorMessage(conn).decode())
"#;

#[test]
fn a_function_that_is_called_by_its_oid_returns_no_more_either() {
    let rig = of(
        "@id(\"connects\") @bytes(\"64KiB\") permit (principal, action == Action::\"connect\", resource);",
    );
    let called = |way: &crate::rig::Way| way.said(Command::new(crate::rig::python()).args(["-c", CALLS]));
    let direct = called(&rig.direct());
    assert!(direct.contains("70000 status 1 length 70000"), "{direct}");
    let through = called(&rig.through());
    for words in [
        "10 status 1 length 10 10",
        "60000 status 1 length 60000 60000",
        "no more than 65536 bytes of its result are shown",
        // The session goes on.
        "20 status 1 length 20 20",
    ] {
        assert!(through.contains(words), "{words}: {through}");
    }
    assert!(!through.contains("length 70000"), "{through}");
}

#[test]
fn what_was_approved_shows_no_more_than_the_policy_that_held_it_lets() {
    let rig = rig();
    let mut psql = rig.through().command("psql");
    psql.args(["-XAt", "-v", "VERBOSITY=verbose", "-c", "DELETE FROM gone RETURNING id"]);
    psql.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let waiting = psql.spawn().unwrap();
    let start = std::time::Instant::now();
    let id = loop {
        if let Some(id) = rig.gateway.waiting_request().unwrap() {
            break id;
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(60), "it is held");
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let approved = rig.gateway.command(&["requests", "approve", &id]).output().unwrap();
    assert!(approved.status.success(), "{}", String::from_utf8_lossy(&approved.stderr));
    let output = waiting.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("no more than 3 rows of its result are shown"), "{said}");
    assert!(said.contains("Policy \"held\"") && said.contains("DELETE 5"), "{said}");
    assert!(said.contains("1\n2\n3\n") && !said.contains("\n4\n"), "{said}");
    assert_eq!(rig.server.sql(DATABASE, "SELECT count(*) FROM gone").unwrap().trim(), "0");
}
