//! What one takes is not taken from all: a target's connections, the gateway's ear for who has a right secret or key.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::durward::Target;

use crate::rig::{ALLOW_ALL, DATABASE, Rig, Way, server};

const TAGGED: &str = "@id(\"all\") permit (principal, action, resource);\n\
     @id(\"hidden\") forbid (principal, action == Action::\"reveal\", resource);\n";

/// What a client says when it is let in, or not.
async fn enter(way: &Way) -> Result<tokio_postgres::Client, String> {
    match way.config().connect(tokio_postgres::NoTls).await {
        Ok((client, connection)) => {
            tokio::spawn(connection);
            Ok(client)
        }
        Err(error) => Err(error.as_db_error().map_or_else(
            || error.to_string(),
            |e| format!("{} {} {}", e.code().code(), e.message(), e.hint().unwrap_or_default()),
        )),
    }
}

#[tokio::test]
async fn one_principal_does_not_take_all_connections_of_a_target() {
    for policy in [ALLOW_ALL, TAGGED] {
        let rig = Rig::start(&["max_connections=23"], policy);
        let way = |token: &str| Way { port: rig.gateway.port(), password: rig.gateway.token(token).unwrap() };
        let (greedy, honest) = (way("greedy"), way("honest"));
        let mut theirs = Vec::new();
        let refused = loop {
            match enter(&greedy).await {
                Ok(client) => theirs.push(client),
                Err(refused) => break refused,
            }
        };
        // Three are the superusers'; of the others one may have three quarters.
        assert_eq!(theirs.len(), 15, "{refused}");
        assert!(refused.starts_with("53300 agent:greedy has too many sessions on sample"), "{refused}");
        assert!(refused.contains("sessions_of_one in [limits]"), "{refused}");
        // Another token of the same is the same.
        assert!(enter(&way("greedy")).await.is_err());
        let client = enter(&honest).await.unwrap();
        client.simple_query("SELECT 1").await.unwrap();
        rig.server.sql(DATABASE, "SELECT 1").unwrap();
        // What was let go can be had again.
        theirs.pop();
        let begun = Instant::now();
        while enter(&greedy).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Sends wrong secrets as fast as it can, until it is told to stop.
fn guess(port: u16, stop: &AtomicBool, tries: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { continue };
        let secret = format!("dwa_{:040}", tries.load(Ordering::Relaxed));
        let request = format!(
            "GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {secret}\r\n\r\n"
        );
        let mut said = String::new();
        if stream.write_all(request.as_bytes()).is_ok() && stream.read_to_string(&mut said).is_ok() {
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 401"), "{said}");
            tries.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn who_guesses_at_secrets_keeps_nobody_out_who_has_one() {
    let mut rig = Rig::start(&[], ALLOW_ALL);
    let added = rig.gateway.command(&["approver", "add", "dora", "--group", "dba"]).output().unwrap();
    let dora = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    // Nobody has shown theirs since it began.
    rig.gateway.crash().unwrap();
    let (stop, tries) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| guess(rig.gateway.admin_port(), &stop, &tries));
        }
        while tries.load(Ordering::Relaxed) < 100 {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut listed = rig.gateway.command(&["requests", "--as", "dora", "ls"]);
        let listed =
            listed.env_remove("DURWARD_ADMIN_SECRET").env("DURWARD_APPROVER_SECRET", dora).output().unwrap();
        let frozen = rig.gateway.command(&["freeze", DATABASE, "--reason", "a wipe"]).output().unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        assert!(frozen.status.success(), "{}", String::from_utf8_lossy(&frozen.stderr));
    });
}

/// A partition that a session makes, fills by moving rows and lets go, all in one transaction, is no way around a tag; neither is
/// one that was detached by another way.
#[tokio::test]
async fn what_was_a_partition_of_a_tagged_table_stays_tagged() {
    let server = server(&[]);
    let hidden = "zoe@example.com";
    let table = format!(
        "CREATE TABLE people (at int, email text) PARTITION BY LIST (at); \
         CREATE TABLE people_1 PARTITION OF people FOR VALUES IN (1); CREATE TABLE people_2 PARTITION OF people FOR VALUES IN (2); \
         INSERT INTO people VALUES (1, '{hidden}'), (2, '{hidden}')"
    );
    server.sql(DATABASE, &table).unwrap();
    let mut target = Target::new(DATABASE, server.port(), DATABASE);
    target.columns = vec![("public.people.email".to_owned(), "pii".to_owned())];
    let rig = Rig::of(server, &target, "", TAGGED);
    let client = enter(&rig.through()).await.unwrap();
    let seen = async |sql: &str| format!("{:?}", client.simple_query(sql).await.unwrap());
    assert!(!seen("SELECT email FROM people_1").await.contains(hidden));
    rig.server.sql(DATABASE, "ALTER TABLE people DETACH PARTITION people_1").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!seen("SELECT email FROM people_1").await.contains(hidden), "detached elsewhere");
    assert!(seen("SELECT at FROM people_1").await.contains('1'), "what was never tagged is clear");
    for statement in [
        "ALTER TABLE people DETACH PARTITION people_2",
        "SELECT email FROM people_2",
        "ALTER TABLE people_2 RENAME TO archive",
        "SELECT email FROM archive",
        "INSERT INTO people_1 VALUES (3, 'x')",
        "ALTER TABLE people ATTACH PARTITION archive FOR VALUES IN (2)",
        "BEGIN",
        "CREATE TABLE mine PARTITION OF people FOR VALUES IN (9)",
        "UPDATE people SET at = 9 WHERE at = 2",
        "ALTER TABLE people DETACH PARTITION mine",
        "SELECT email FROM mine",
        "COMMIT",
        "SELECT email FROM mine",
    ] {
        assert!(!seen(statement).await.contains(hidden), "{statement}");
    }
    assert_eq!(rig.server.sql(DATABASE, "SELECT email FROM mine").unwrap().trim(), hidden, "it is there");
}
