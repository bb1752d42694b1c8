//! Targets that cannot be used: what a client hears of each, what watches the gateway, and what its operator is told.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use testkit::certificates::Certificates;
use testkit::durward::{Durward, Target};
use testkit::json::Json;
use testkit::postgres::{Postgres, SUPERUSER};
use testkit::{Account, Scratch};
use tokio_postgres::NoTls;

use crate::rig::{DATABASE, Way, binary};

const SECRET: &str = "not-what-the-server-has";
/// The tester's names have to be understood; the other's need not.
const POLICY: &str = "@id(\"reads\")\npermit (principal, action in [Action::\"connect\", Action::\"read\"], resource);\n\
    @id(\"all\")\npermit (principal == Agent::\"root\", action, resource);\n";

/// Answers everybody with the same bytes.
fn stub(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(answer);
        }
    });
    port
}

/// SQLSTATE, words and hint with which a client is not let in.
async fn heard(gateway: &Durward, token: &str, target: &str) -> (String, String, String) {
    let way = Way { port: gateway.port(), password: token.to_owned() };
    let Err(error) = way.config().dbname(target).connect(NoTls).await else {
        panic!("{target}: it can be used")
    };
    let Some(error) = error.as_db_error() else { panic!("{target}: {error}") };
    let hint = error.hint().unwrap_or_default().to_owned();
    (error.code().code().to_owned(), error.message().to_owned(), hint)
}

/// What `doctor` says of a target's being reached: its words, what it advises, and its command.
fn reachable(gateway: &Durward, target: &str) -> [String; 3] {
    let output = gateway.command(&["doctor", target, "--json"]).output().unwrap();
    let report = Json::parse(&String::from_utf8_lossy(&output.stdout)).unwrap();
    let checks = report.at("targets").and_then(|targets| targets.at(target)).map(Json::items).unwrap();
    let of = |check: &Json, name| check.at(name).and_then(Json::text).unwrap_or_default().to_owned();
    let check = checks.iter().find(|check| of(check, "what") == "reachable").unwrap();
    ["says", "advice", "mend"].map(|name| of(check, name))
}

struct Case {
    name: &'static str,
    /// In the target's file, beside its name.
    lines: String,
    code: &'static str,
    says: &'static str,
    /// In `/readyz`.
    word: &'static str,
    /// In what `doctor` says.
    doctor: &'static str,
}

fn case(name: &'static str, lines: String, [code, says, word, doctor]: [&'static str; 4]) -> Case {
    Case { name, lines, code, says, word, doctor }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_target_cannot_be_used_is_told_to_each_who_can_do_something_about_it() {
    let scratch = Scratch::new("unusable").unwrap();
    let certificates = |name: &str| {
        let folder = scratch.join(name);
        fs::create_dir(&folder).unwrap();
        let made = Certificates::make(&folder, &["127.0.0.1"]).unwrap();
        Account::unprivileged().unwrap().give(&made.key).unwrap();
        Account::unprivileged().unwrap().give(&made.certificate).unwrap();
        made
    };
    let (ours, others) = (certificates("ours"), certificates("others"));
    let server = Postgres::start(&[
        "ssl=on",
        &format!("ssl_cert_file={}", ours.certificate.display()),
        &format!("ssl_key_file={}", ours.key.display()),
    ])
    .unwrap();
    server.sql("postgres", &format!("CREATE DATABASE {DATABASE}")).unwrap();
    for statement in [
        &format!("CREATE ROLE sealed LOGIN PASSWORD '{SECRET}-really'"),
        "CREATE ROLE barred LOGIN",
        "CREATE ROLE mere LOGIN",
        "CREATE ROLE crowded LOGIN CONNECTION LIMIT 0",
        "CREATE DATABASE closed ALLOW_CONNECTIONS false",
        "CREATE DATABASE guarded",
        "REVOKE CONNECT ON DATABASE guarded FROM PUBLIC",
    ] {
        server.sql("postgres", statement).unwrap();
    }
    let hba = server.directory().join("data/pg_hba.conf");
    let before = fs::read_to_string(&hba).unwrap();
    let rules = "host all sealed 127.0.0.1/32 scram-sha-256\nhost all barred 127.0.0.1/32 reject\n";
    fs::write(&hba, format!("{rules}{before}")).unwrap();
    server.sql("postgres", "SELECT pg_reload_conf()").unwrap();
    let password = scratch.join("password");
    fs::write(&password, SECRET).unwrap();

    let at = |port: u16, user: &str, database: &str, more: &str| {
        format!("host = \"127.0.0.1\"\nport = {port}\nuser = \"{user}\"\ndatabase = \"{database}\"\n{more}\n")
    };
    let clear = "sslmode = \"disable\"";
    let with = format!("{clear}\npassword_file = \"{}\"", password.display());
    let trusting = |made: &Certificates| {
        format!("sslmode = \"verify-full\"\nsslrootcert = \"{}\"", made.authority.display())
    };
    let port = server.port();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cases = [
        case(
            "password",
            at(port, "sealed", DATABASE, &with),
            [
                "08004",
                "the gateway's own login to the target failed: its password is not accepted there",
                "login-refused",
                "28P01",
            ],
        ),
        case(
            "asked",
            at(port, "sealed", DATABASE, clear),
            [
                "08004",
                "the gateway's own login to the target failed: it has no password, and is asked for one",
                "login-refused",
                "asks for a password",
            ],
        ),
        case(
            "barred",
            at(port, "barred", DATABASE, clear),
            [
                "08004",
                "the gateway's own login to the target failed: the target does not let it in",
                "login-refused",
                "28000",
            ],
        ),
        case(
            "nobody",
            at(port, "nobody", DATABASE, clear),
            [
                "08004",
                "the gateway's own login to the target failed: the target does not let it in",
                "login-refused",
                "28000",
            ],
        ),
        case(
            "guarded",
            at(port, "mere", "guarded", clear),
            [
                "08004",
                "the gateway's own login to the target failed: it may not use the target's database",
                "login-refused",
                "42501",
            ],
        ),
        case(
            "missing",
            at(port, SUPERUSER, "missing", clear),
            ["3D000", "the target's database does not exist", "no-database", "3D000"],
        ),
        case(
            "closed",
            at(port, SUPERUSER, "closed", clear),
            ["08004", "the target's database takes no connections", "no-database", "55000"],
        ),
        case(
            "crowded",
            at(port, "crowded", DATABASE, clear),
            ["53300", "the target has too many connections", "full", "53300"],
        ),
        case(
            "untrusted",
            at(port, SUPERUSER, DATABASE, &trusting(&others)),
            [
                "08001",
                "no trusted TLS connection to the target could be made",
                "untrusted",
                "invalid peer certificate",
            ],
        ),
        case(
            "unencrypted",
            at(stub(b"N"), SUPERUSER, DATABASE, "sslmode = \"require\""),
            [
                "08001",
                "the target offers no TLS, without which the gateway does not log in to it",
                "untrusted",
                "does not offer it",
            ],
        ),
        case(
            "foreign",
            at(stub(b"HTTP/1.1 400 Bad Request\r\n\r\n"), SUPERUSER, DATABASE, clear),
            ["08P01", "the target does not speak PostgreSQL's protocol", "unreachable", "protocol"],
        ),
        case(
            "down",
            at(closed, SUPERUSER, DATABASE, clear),
            ["08001", "the target cannot be reached: nothing listens there", "unreachable", "refused"],
        ),
        case(
            "unnamed",
            at(port, SUPERUSER, DATABASE, clear).replace("127.0.0.1", "db.invalid"),
            [
                "08001",
                "the target cannot be reached: its host's name is not found",
                "unresolved",
                "host cannot be found",
            ],
        ),
    ];
    let ready = at(port, SUPERUSER, DATABASE, &trusting(&ours));
    let gateway = Durward::start(&binary()).unwrap();
    let files = Scratch::new("files").unwrap();
    let each = cases.iter().map(|case| format!("[[targets]]\nname = \"{}\"\n{}", case.name, case.lines));
    let all = each.chain([format!("[[targets]]\nname = \"ready\"\n{ready}")]).collect::<Vec<_>>().join("\n");
    fs::write(files.join("t.toml"), all).unwrap();
    fs::write(files.join("p.cedar"), POLICY).unwrap();
    let applied = gateway.command(&["apply", "-f"]).arg(files.path()).output().unwrap();
    assert!(applied.status.success(), "{applied:?}");

    let (tester, root) = (gateway.token("tester").unwrap(), gateway.token("root").unwrap());
    let readyz = || crate::operations::get(&gateway, "/readyz");
    let check = async |case: &Case| {
        let Case { name, code, says, word, doctor, lines: _ } = case;
        let way_on = format!("durward doctor {name}");
        let (told, words, hint) = heard(&gateway, &tester, name).await;
        assert_eq!((told.as_str(), words.as_str()), (*code, *says), "{name}");
        assert!(hint.ends_with(&way_on), "{name}: {hint}");
        // Whoever may see everything hears the server itself, but not of the gateway's login.
        let (told, words, hint) = heard(&gateway, &root, name).await;
        if *word == "login-refused" && *doctor != "42501" {
            assert_eq!((told.as_str(), words.as_str()), (*code, *says), "{name}");
            assert!(hint.ends_with(&way_on), "{name}: {hint}");
        }
        assert!(!words.contains(SECRET), "{name}: {words}");
        let page = readyz();
        assert!(page.contains(&format!("\"{name}\":\"{word}\"")), "{name}: {page}");
        let [found, advice, command] = reachable(&gateway, name);
        assert!(found.contains(doctor) && !advice.is_empty(), "{name}: {found} {advice}");
        // It runs as it is printed, and finds the fault as well.
        let mut shell = Command::new("timeout");
        shell.args(["20", "sh", "-c", &command]).env("LC_ALL", "C").stdin(Stdio::null());
        let ran = shell.output().unwrap();
        let told = format!("{command}: {ran:?}");
        assert!(
            !told.contains("not found\\n") && !told.contains("sage:") && !command.is_empty(),
            "{name}: {told}"
        );
        let log = gateway.log();
        let line = log
            .lines()
            .rev()
            .find(|line| line.contains("WARN") && line.contains(name) && line.contains(doctor));
        assert!(line.is_some(), "{name}: the log does not say {doctor}");
    };
    for case in &cases {
        check(case).await;
    }
    let told = gateway.log();
    assert!(!told.contains(SECRET), "the log has the password");

    // The neighbour is not disturbed by any of this.
    let way = Way { port: gateway.port(), password: tester.clone() };
    let said = way.said(Command::new("psql").args(["-XAtc", "SELECT 1"]).env("PGDATABASE", "ready"));
    assert!(said.starts_with("1\n"), "{said}");

    // A server that waits for its last session lets nobody in; then it is gone.
    let mut last = Way::direct(&server).command("psql").stdin(Stdio::piped()).spawn().unwrap();
    last.stdin.as_mut().unwrap().write_all(b"SELECT 'it is open';\n").unwrap();
    server_has(&server, "psql");
    let postmaster = fs::read_to_string(server.directory().join("data/postmaster.pid")).unwrap();
    let process = postmaster.lines().next().unwrap();
    assert!(Command::new("kill").args(["-TERM", process]).status().unwrap().success());
    let shutting = case(
        "barred",
        String::new(),
        ["57P03", "the target is starting up, shutting down or recovering", "not-ready", "57P03"],
    );
    check(&shutting).await;
    drop(last.stdin.take());
    last.wait().unwrap();
}

/// Waits until a session of this application is there.
#[track_caller]
fn server_has(server: &Postgres, application: &str) {
    let ask = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{application}' AND datname = '{DATABASE}'"
    );
    crate::operations::eventually("the session is open", || {
        server.sql("postgres", &ask).is_ok_and(|n| n.trim() == "1")
    });
}

/// A server that takes connections and says nothing. What it hears of the end of each is sent.
fn silent() -> (u16, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (ended, ends) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), ended) = (stream, ended.clone()) else { return };
            std::thread::spawn(move || {
                while stream.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
                let _ = ended.send(());
            });
        }
    });
    (port, ends)
}

/// For whoever may read, whose target's catalogue is read first, and for whoever may do everything.
#[test]
fn a_client_that_hangs_up_while_its_target_is_dialled_is_heard_and_leaves_nothing() {
    let (port, ends) = silent();
    let server = crate::rig::server(&[]);
    let gateway = Durward::start_with(&binary(), "").unwrap();
    let config = fs::read_to_string(gateway.config()).unwrap();
    fs::write(gateway.config(), format!("{config}\n[limits]\nsessions_of_one = 1\n")).unwrap();
    gateway.reload().unwrap();
    let targets = [Target::new("silent", port, DATABASE), Target::new(DATABASE, server.port(), DATABASE)];
    gateway.apply(&targets, &[("test", POLICY)]).unwrap();
    let left = |n: u32| {
        let word = format!("durward_sessions_ended_total{{why=\"client\"}} {n}\n");
        crate::operations::get(&gateway, "/metrics").contains(&word)
    };
    for (count, who) in [(0, "tester"), (2, "root")] {
        let way = Way { port: gateway.port(), password: gateway.token(who).unwrap() };
        let mut psql = way.command("psql");
        psql.args(["-XAtc", "SELECT 1"]).env("PGDATABASE", "silent").stderr(Stdio::null());
        let mut psql = psql.spawn().unwrap();
        crate::operations::eventually("it waits for its target", || {
            gateway.records().is_ok_and(|all| all.matches("\"silent\"").count() > 0)
                && crate::operations::get(&gateway, "/readyz").contains("\"sessions\":1")
        });
        psql.kill().unwrap();
        psql.wait().unwrap();
        crate::operations::eventually("the session ends as one that its client left", || left(count + 1));
        ends.recv_timeout(Duration::from_secs(60)).unwrap();
        // Its only place is free again, and the neighbour is let in.
        let said = way.said(Command::new("psql").args(["-XAtc", "SELECT 1"]));
        assert!(said.starts_with("1\n"), "{said}");
        crate::operations::eventually("that one has ended, too", || left(count + 2));
    }
}

/// A session that goes on while nobody can see what its target holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_looked_up_is_not_said_to_be_missing() {
    let server = crate::rig::server(&[]);
    let role = "CREATE ROLE mere LOGIN; GRANT ALL ON SCHEMA public TO mere; CREATE TABLE there (id int); \
                GRANT ALL ON there TO mere";
    server.sql(DATABASE, role).unwrap();
    let target = Target { user: "mere".to_owned(), ..Target::new(DATABASE, server.port(), DATABASE) };
    let policy = POLICY.replace("[Action::", "[Action::\"define\", Action::");
    let rig = crate::rig::Rig::of(server, &target, "", &policy);
    let client = rig.through().connect().await;
    client.batch_execute("SELECT * FROM there").await.unwrap();
    // From here on nobody is let in there; what changes is to be looked at anew, and cannot be.
    let barred = "ALTER ROLE mere NOLOGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE usename = 'mere' AND application_name = 'durward'";
    rig.server.sql("postgres", barred).unwrap();
    client.batch_execute("CREATE TABLE another (id int)").await.unwrap();
    let mut told = None;
    for _ in 0..100 {
        match client.batch_execute("SELECT * FROM there").await {
            Ok(()) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(error) => {
                told = error.as_db_error().map(|e| (e.code().code().to_owned(), e.message().to_owned()));
                break;
            }
        }
    }
    let (code, words) = told.expect("it is not understood any more");
    assert_eq!(code, "55000", "{words}");
    assert!(words.contains("cannot read the target's catalogue now"), "{words}");
    // The neighbours: it is there again, and what is not there is said to be missing.
    rig.server.sql("postgres", "ALTER ROLE mere LOGIN").unwrap();
    let mut tries = 0..100;
    while client.batch_execute("SELECT * FROM there").await.is_err() {
        assert!(tries.next().is_some(), "it does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let missing = client.batch_execute("SELECT * FROM nowhere").await.unwrap_err();
    assert_eq!(missing.code().map(|code| code.code()), Some("42P01"), "{missing}");
}
