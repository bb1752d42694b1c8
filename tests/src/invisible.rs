//! With a policy that allows everything, a client cannot tell that the gateway is there: the same program, run directly
//! and through it, says the same.

use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::durward::Target;
use tokio::sync::mpsc::unbounded_channel;
use tokio_postgres::{AsyncMessage, NoTls};

use crate::rig::{ALLOW_ALL, DATABASE, Rig, Way, folder, npm, python, server};

/// Where two texts part, with what stands around it.
#[track_caller]
fn assert_same(direct: &str, through: &str) {
    let (mut left, mut right) = (direct.lines(), through.lines());
    let mut before = Vec::new();
    loop {
        match (left.next(), right.next()) {
            (None, None) => return,
            (Some(one), Some(other)) if one == other => before.push(one),
            (one, other) => {
                let around = before.get(before.len().saturating_sub(5)..).unwrap_or_default().join("\n");
                panic!(
                    "they part behind line {}:\n{around}\ndirectly: {}\nthrough:  {}",
                    before.len(),
                    one.unwrap_or("(nothing)"),
                    other.unwrap_or("(nothing)")
                );
            }
        }
    }
}

/// Process ids differ from session to session, directly too.
fn plain(said: &str) -> String {
    let mut out = String::new();
    for line in said.lines() {
        match line.split_once("process with PID ") {
            Some((before, _)) => out.push_str(before),
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

fn psql(way: &Way, script: &str) -> String {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-a", "-P", "pager=off", "-f"]).arg(folder("programs").join(script));
    plain(&way.said(&mut psql))
}

/// A client's program: it has to have got somewhere, or two equal failures would pass.
#[track_caller]
fn program(way: &Way, command: &mut Command) -> String {
    let said = way.said(command);
    assert!(said.contains("exit status: 0"), "{said}");
    assert!(said.lines().count() > 10, "it says too little:\n{said}");
    said
}

#[track_caller]
fn same_for(run: impl Fn(&Way) -> String) {
    let rig = Rig::start(&[], ALLOW_ALL);
    let direct = run(&rig.direct());
    assert_same(&direct, &run(&rig.through()));
}

fn python_tour(name: &str) -> impl Fn(&Way) -> String + use<'_> {
    move |way| program(way, Command::new(python()).arg("-B").arg(folder("programs").join(name)))
}

fn node_tour(way: &Way) -> String {
    let modules = npm().join("node_modules");
    program(way, Command::new("node").env("NODE_PATH", modules).arg(folder("programs").join("tour_node.js")))
}

fn java_tour(way: &Way) -> String {
    const DRIVER: &str = "/usr/share/java/postgresql.jar";
    assert!(Path::new(DRIVER).exists(), "there is no {DRIVER}: cargo xtask install");
    // One source file needs no build: `java` compiles it in memory.
    program(way, Command::new("java").args(["-cp", DRIVER]).arg(folder("programs").join("Tour.java")))
}

fn pg_dump(way: &Way) -> String {
    let said = way.said(Command::new("pg_dump").arg("--create"));
    if said.contains("server version mismatch") {
        // Debian's pg_dump refuses newer servers: by what the server says of its version, on either way.
        return said;
    }
    assert!(said.contains("exit status: 0"), "{said}");
    // Newer ones guard the script with a word that is new each time.
    let is_guard = |line: &&str| line.starts_with("\\restrict") || line.starts_with("\\unrestrict");
    said.lines().filter(|line| !is_guard(line)).collect::<Vec<_>>().join("\n")
}

/// The programs must say the same of the same server twice, or what they say of the gateway means nothing.
#[test]
fn the_comparison_finds_no_difference_between_a_server_and_itself() {
    let server = server(&[]);
    let way = Way::direct(&server);
    let runs: [&dyn Fn(&Way) -> String; 8] = [
        &|way| psql(way, "describe.psql"),
        &|way| psql(way, "statements.psql"),
        &python_tour("tour_psycopg.py"),
        &python_tour("tour_asyncpg.py"),
        &python_tour("tour_sqlalchemy.py"),
        &node_tour,
        &java_tour,
        &pg_dump,
    ];
    for run in runs {
        assert_same(&run(&way), &run(&way));
    }
}

#[test]
#[should_panic(expected = "they part behind line 1")]
fn the_comparison_finds_a_difference() {
    assert_same("a\nb\nc", "a\nB\nc");
}

#[test]
fn psql_describes_the_same_objects() {
    same_for(|way| psql(way, "describe.psql"));
}

/// An agent looks around before it asks: what a new gateway's policies let it see of definitions is all that there is, also
/// of tables with masked columns. Only what may hold passwords is not told (`\deu+`).
#[test]
fn psql_describes_the_same_objects_to_an_agent_under_the_starter_policies() {
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/policy/starter");
    let policies = ["1-reads.cedar", "2-held.cedar", "3-denied.cedar"];
    let policy = policies.map(|name| std::fs::read_to_string(starter.join(name)).unwrap()).concat();
    let server = server(&[]);
    let mut target = Target::new(DATABASE, server.port(), DATABASE);
    target.columns = vec![("public.people.email".to_owned(), "pii.email".to_owned())];
    let rig = Rig::of(server, &target, "", &policy);
    // An older psql asks newer servers for columns that are gone. Where in the text a name stands that there is not, and what is
    // meant instead, the server says, and the gateway in its place does not.
    let is_place = |line: &&str| {
        line.starts_with("LINE ") || line.trim() == "^" || line.starts_with("HINT:  Perhaps you meant")
    };
    let said = |way: &Way| {
        let said = psql(way, "describe.psql");
        said.lines().filter(|line| !is_place(line)).collect::<Vec<_>>().join("\n")
    };
    assert_same(&said(&rig.direct()), &said(&rig.through()));
    // These policies are in force: the values themselves are another matter.
    let email =
        |way: &Way| way.said(Command::new("psql").args(["-XAtc", "SELECT email FROM people WHERE id = 1"]));
    assert!(email(&rig.direct()).starts_with("p1@example.com\n"));
    assert!(!email(&rig.through()).contains("p1@"));
}

#[test]
fn psql_gets_the_same_answers() {
    same_for(|way| psql(way, "statements.psql"));
}

#[test]
fn psycopg_sees_the_same() {
    same_for(python_tour("tour_psycopg.py"));
}

#[test]
fn asyncpg_sees_the_same() {
    same_for(python_tour("tour_asyncpg.py"));
}

#[test]
fn sqlalchemy_reflects_the_same() {
    same_for(python_tour("tour_sqlalchemy.py"));
}

#[test]
fn node_postgres_sees_the_same() {
    same_for(node_tour);
}

#[test]
fn pgjdbc_sees_the_same() {
    same_for(java_tour);
}

#[test]
fn pg_dump_writes_the_same() {
    same_for(pg_dump);
}

#[test]
fn pgbench_runs_in_its_three_protocols() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let way = rig.through();
    let said = way.said(Command::new("pgbench").args(["-i", "-q"]));
    assert!(said.contains("exit status: 0"), "{said}");
    for protocol in ["simple", "extended", "prepared"] {
        let said =
            way.said(Command::new("pgbench").args(["-n", "-M", protocol, "-c", "4", "-j", "2", "-t", "100"]));
        assert!(said.contains("actually processed: 400/400"), "{protocol}: {said}");
        assert!(said.contains("failed transactions: 0 "), "{protocol}: {said}");
    }
    let sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history), \
                (SELECT count(*) FROM pgbench_history)";
    assert_eq!(rig.server.sql(crate::rig::DATABASE, sums).unwrap().trim(), "t|1200");
}

/// The grammar that the gateway reads with is not the server's own: in wording, places and versions it is the server that
/// answers.
#[tokio::test]
async fn what_only_the_server_can_read_gets_the_servers_answer() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let (direct, through) = (rig.direct().connect().await, rig.through().connect().await);
    for text in [
        "SELEC 1",
        "SELECT 1_2_3",
        "SELECT U&'wrong: \\061'",
        "CREATE PUBLICATION p FOR CURRENT_SCHEMA",
        "COPY (SELECT 1) TO STDOUT WHERE true",
        "CREATE TABLE t (id int,\n id2 text NOT NULL PRIMARY KEY,\n id3 integer NOT NUL)",
        "SELECT 1; SELEC 2",
    ] {
        let told = async |client: &tokio_postgres::Client| {
            let error = match client.simple_query(text).await {
                Ok(rows) => return format!("{} messages", rows.len()),
                Err(error) => error,
            };
            format!("{:?}", error.as_db_error().unwrap())
        };
        // The server's source lines and all other fields, too.
        assert_eq!(told(&through).await, told(&direct).await, "{text}");
    }
}

#[test]
fn start_up_parameters_reach_the_server_as_they_are() {
    same_for(|way| {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-c", "SHOW client_encoding", "-c", "SELECT 'é'", "-c", "SHOW work_mem"]);
        psql.args(["-c", "SHOW standard_conforming_strings", "-c", "SELECT 'a\\\\b'"]);
        psql.env("PGCLIENTENCODING", "LATIN1");
        psql.env("PGOPTIONS", "-c work_mem=5MB -c standard_conforming_strings=off");
        program(way, &mut psql)
    });
}

#[test]
fn databases_may_have_names_in_any_encoding() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let name: &[u8] = b"caf\xe9";
    let other = "CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0";
    rig.server.sql("postgres", other).unwrap();
    // A server checks names as its session's database is encoded.
    let mut create = Command::new("createdb");
    create.arg("--maintenance-db=bytes").arg(std::ffi::OsStr::from_bytes(name));
    create.args(["-T", "template0", "-E", "SQL_ASCII", "-l", "C"]);
    let created = rig.direct().said(&mut create);
    assert!(created.contains("exit status: 0"), "{created}");
    let said = |way: &Way, target: &[u8], name: &[u8]| {
        let database = [target, name].concat();
        way.said(
            Command::new("psql")
                .args(["-XAtc", "SELECT 1", "-d"])
                .arg(std::ffi::OsStr::from_bytes(&database)),
        )
    };
    let target = format!("{}/", crate::rig::DATABASE);
    let direct = said(&rig.direct(), b"", name);
    assert!(direct.starts_with("1\n"), "{direct}");
    assert_same(&direct, &said(&rig.through(), target.as_bytes(), name));
    // Nothing makes another name of it.
    let other = said(&rig.through(), target.as_bytes(), "caf\u{fffd}".as_bytes());
    assert!(other.contains("does not exist"), "{other}");
}

/// What the client asked for itself is not the gateway's to word anew.
#[tokio::test]
async fn a_session_that_the_server_does_not_open_is_refused_in_its_words() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let target = Target::new(crate::rig::DATABASE, rig.server.port(), crate::rig::DATABASE);
    let told = async |way: &Way, policy: &str| {
        rig.gateway.apply(std::slice::from_ref(&target), &[("test", policy)]).unwrap();
        let mut config = way.config();
        config.options("-c no_such_setting=1");
        let error = config.connect(NoTls).await.err().unwrap();
        let error = error.as_db_error().unwrap();
        (error.code().code().to_owned(), error.message().to_owned(), error.routine().map(str::to_owned))
    };
    let direct = told(&rig.direct(), ALLOW_ALL).await;
    assert_eq!(direct.0, "42704");
    assert_eq!(told(&rig.through(), ALLOW_ALL).await, direct);
    let less =
        format!("{ALLOW_ALL}@id(\"less\")\nforbid (principal, action == Action::\"drop\", resource);\n");
    let narrow = told(&rig.through(), &less).await;
    assert_ne!(narrow.2, direct.2, "{narrow:?}");
}

/// Nothing in such a session is understood with certainty, so it cannot go on under a policy that is not indifferent.
#[tokio::test]
async fn a_session_that_might_do_everything_ends_when_not_everything_is_allowed_any_more() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let client = rig.through().connect().await;
    let target = Target::new(crate::rig::DATABASE, rig.server.port(), crate::rig::DATABASE);
    let again = format!("{ALLOW_ALL}@id(\"more\")\npermit (principal, action, resource);\n");
    rig.gateway.apply(std::slice::from_ref(&target), &[("test", &again)]).unwrap();
    client.simple_query("SELECT 1").await.unwrap();
    let narrower =
        format!("{ALLOW_ALL}@id(\"less\")\nforbid (principal, action == Action::\"drop\", resource);\n");
    rig.gateway.apply(&[target], &[("test", &narrower)]).unwrap();
    assert!(client.simple_query("SELECT 1").await.is_err());
    let client = rig.through().connect().await;
    assert_eq!(client.simple_query("DROP TABLE t").await.unwrap_err().code().unwrap().code(), "42501");
}

/// node-postgres says goodbye on a connection that is just open, where its user has lost interest.
#[test]
fn a_client_that_leaves_before_it_has_begun_is_told_nothing() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let told = |way: &Way, said: &[u8]| {
        let mut client = std::net::TcpStream::connect(("127.0.0.1", way.port)).unwrap();
        client.write_all(said).unwrap();
        let mut told = Vec::new();
        client.read_to_end(&mut told).unwrap();
        told
    };
    for way in [rig.direct(), rig.through()] {
        assert_eq!(told(&way, b"X\0\0\0\x04"), b"");
    }
    // Whoever begins with anything else that is no start-up packet is told why nothing comes of it.
    assert_eq!(told(&rig.through(), b"Q\0\0\0").first(), Some(&b'E'));
}

#[tokio::test]
async fn a_cancel_reaches_its_own_statement_and_the_session_goes_on() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let (mine, other) = (rig.through().connect().await, rig.through().connect().await);
    let cancel = mine.cancel_token();
    let sleeping = mine.simple_query("SELECT pg_sleep(30)");
    let beside = other.simple_query("SELECT pg_sleep(1), 'undisturbed'");
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel_query(NoTls).await.unwrap();
    };
    let (slept, undisturbed, ()) = tokio::join!(sleeping, beside, cancelling);
    assert_eq!(slept.unwrap_err().code().unwrap().code(), "57014");
    assert!(undisturbed.is_ok());
    assert_eq!(mine.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
}

/// What another session says arrives while this one waits for nothing.
#[tokio::test]
async fn notifications_and_notices_arrive_when_they_are_sent() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let (client, mut connection) = rig.through().config().connect(NoTls).await.unwrap();
    let (heard, mut hear) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            let words = match message {
                AsyncMessage::Notice(notice) => notice.message().to_owned(),
                AsyncMessage::Notification(n) => format!("{}: {}", n.channel(), n.payload()),
                _ => continue,
            };
            let _ = heard.send(words);
        }
    });
    client.batch_execute("DO $$ BEGIN RAISE NOTICE 'a notice'; END $$; LISTEN news").await.unwrap();
    assert_eq!(hear.recv().await.unwrap(), "a notice");
    rig.server.sql(crate::rig::DATABASE, "NOTIFY news, 'from elsewhere'").unwrap();
    let news = tokio::time::timeout(Duration::from_secs(5), hear.recv()).await.unwrap();
    assert_eq!(news.unwrap(), "news: from elsewhere");
}

#[tokio::test]
async fn the_end_of_the_servers_session_is_told_in_its_own_words() {
    let rig = Rig::start(&[], ALLOW_ALL);
    for way in [rig.direct(), rig.through()] {
        let client = way.connect().await;
        let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        let kill = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            rig.server.sql("postgres", &format!("SELECT pg_terminate_backend({pid})")).unwrap();
        };
        let (slept, ()) = tokio::join!(client.simple_query("SELECT pg_sleep(30)"), kill);
        assert_eq!(slept.unwrap_err().code().map(|state| state.code()), Some("57P01"));
        assert!(client.simple_query("SELECT 1").await.unwrap_err().is_closed());
    }
}
