//! Sessions are recorded as their principals saw them: byte for byte, masked, sealed, and as policy wants it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use testkit::Scratch;
use testkit::durward::{Durward, Target};
use testkit::json::Json;
use testkit::process::text;
use tokio_postgres::{Client, NoTls};

use crate::rig::{DATABASE, Rig, Way, binary, server};

/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clear values of tagged columns are shown to nobody, deletes are refused, truncates held.
const POLICY: &str = r#"
@id("in") @record("required") permit (principal, action == Action::"connect", resource);
@id("work")
permit (
  principal,
  action in [Action::"read", Action::"write", Action::"define", Action::"call", Action::"configure"],
  resource
);
@id("keep") @reason("rows stay") @hint("Leave them.") forbid (principal, action == Action::"delete", resource);
@id("held") @approvers("admins")
forbid (principal, action == Action::"truncate", resource) unless { context.approvals.contains("held") };
"#;

/// What lies between a client and the gateway, and keeps what the gateway says.
struct Tap {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    fn on(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap().port();
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&heard);
        std::thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let gateway = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), gateway.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (gateway, client);
            let mut buffer = [0; 65536];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                kept.lock().unwrap().extend_from_slice(&buffer[..n]);
                if to.write_all(&buffer[..n]).is_err() {
                    return;
                }
            }
        });
        Self { port: here, heard }
    }

    fn rows(&self) -> Vec<Vec<u8>> {
        rows(&self.heard.lock().unwrap())
    }
}

/// The rows among messages of a server: DataRow, and CopyData, which no login has.
fn rows(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some((head, _)) = bytes.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize + 1;
        let Some((message, rest)) = bytes.split_at_checked(length) else { break };
        if matches!(head[0], b'D' | b'd') {
            found.push(message.to_vec());
        }
        bytes = rest;
    }
    found
}

fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|b| LETTERS.iter().position(|l| *l == b)).collect::<Vec<_>>();
    let four = |four: &[usize]| {
        let n = four.iter().fold(0, |n, d| n << 6 | d) << (6 * (4 - four.len()));
        let bytes = [(n >> 16) as u8, (n >> 8) as u8, n as u8];
        bytes[..four.len() - 1].to_vec()
    };
    digits.chunks(4).flat_map(four).collect()
}

fn run(rig: &Rig, arguments: &[&str]) -> String {
    tokio::task::block_in_place(|| text(&mut rig.gateway.command(arguments))).unwrap()
}

/// A recording as JSON lines, once its end is in it.
fn exported(rig: &Rig, session: &str) -> Vec<Json> {
    let begun = Instant::now();
    loop {
        let lines = run(rig, &["sessions", "export", session, "--format", "jsonl", "--rows", "100000"]);
        let lines: Vec<Json> = lines.lines().map(|line| Json::parse(line).unwrap()).collect();
        let ended = lines.last().and_then(|last| last.at("ended")?.at("why")).is_some();
        if ended {
            return lines;
        }
        assert!(begun.elapsed() < PATIENCE, "the recording has no end");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn wire(lines: &[Json]) -> Vec<u8> {
    lines.iter().filter_map(|line| line.at("wire")?.text()).flat_map(base64).collect()
}

fn tagged() -> Rig {
    tagged_by(POLICY)
}

fn tagged_by(policy: &str) -> Rig {
    let server = server(&[]);
    let mut target = Target::new(DATABASE, server.port(), DATABASE);
    target.columns = vec![("public.people.email".to_owned(), "pii".to_owned())];
    Rig::of(server, &target, "", policy)
}

async fn through(tap: &Tap, rig: &Rig) -> (Client, tokio::task::JoinHandle<()>) {
    let way = Way { port: tap.port, password: rig.through().password };
    let (client, connection) = way.config().connect(NoTls).await.unwrap();
    (client, tokio::spawn(async move { drop(connection.await) }))
}

/// Each way in which rows come.
async fn every_mode(client: &mut Client) {
    let tagged = "SELECT id, name, email, full_name, seen, photo, balance, tags FROM people ORDER BY id";
    client.simple_query(&format!("{tagged} LIMIT 7")).await.unwrap();
    client.simple_query("SELECT 1; SELECT email FROM people LIMIT 2; SELECT 3").await.unwrap();
    // Binary, by the extended protocol; then again with other values.
    let prepared = client.prepare("SELECT id, email, balance::text FROM people WHERE id = $1").await.unwrap();
    for id in [1, 2, 10] {
        client.query(&prepared, &[&id]).await.unwrap();
    }
    client.query("SELECT email, half, score::int FROM people WHERE id < $1", &[&5_i32]).await.unwrap();
    client
        .simple_query(
            "PREPARE by_sql (int) AS SELECT email, id FROM people WHERE id > $1 ORDER BY id LIMIT 3",
        )
        .await
        .unwrap();
    client.simple_query("EXECUTE by_sql (100)").await.unwrap();
    for how in ["", "WITH (FORMAT csv, HEADER)", "WITH (FORMAT binary)"] {
        let out = client.copy_out(&format!("COPY people (id, email, name) TO STDOUT {how}")).await.unwrap();
        out.try_collect::<Vec<_>>().await.unwrap();
    }
    client
        .simple_query("BEGIN; DECLARE c CURSOR FOR SELECT email, id FROM people ORDER BY id")
        .await
        .unwrap();
    client.simple_query("FETCH 3 FROM c").await.unwrap();
    client.query("FETCH 4 FROM c", &[]).await.unwrap();
    client.simple_query("COMMIT").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let portal =
        transaction.bind("SELECT id, email FROM people WHERE id < $1 ORDER BY id", &[&12_i32]).await.unwrap();
    for _ in 0..4 {
        transaction.query_portal(&portal, 3).await.unwrap();
    }
    transaction.commit().await.unwrap();
    client.simple_query("UPDATE people SET score = 3 WHERE id = 4 RETURNING email, score").await.unwrap();
    // A row that is longer than a chunk, and rows behind what fails.
    client.simple_query("SELECT repeat('long ', 30000), 1").await.unwrap();
    client.simple_query("SELECT 1 / (id - 3) FROM people ORDER BY id LIMIT 5").await.unwrap_err();
    client.simple_query("SELECT 1 / 0").await.unwrap_err();
    client.simple_query("DELETE FROM people WHERE id = 1").await.unwrap_err();
    client.simple_query("SELECT nothing FROM people").await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recorded_is_what_the_client_got_in_every_mode_and_holds_no_clear_value() {
    let rig = tagged();
    rig.server.sql(DATABASE, "CREATE ROLE somebody").unwrap();
    let tap = Tap::on(rig.gateway.port());
    let (mut client, connection) = through(&tap, &rig).await;
    every_mode(&mut client).await;
    client.simple_query("UPDATE people SET email = 'typed-in@example.org' WHERE id = 7").await.unwrap();
    let _ = client.simple_query("ALTER ROLE somebody PASSWORD 'hunter-two-three'").await;
    drop(client);
    connection.await.unwrap();
    let session = rig.gateway.last_session().unwrap();
    let lines = exported(&rig, &session);
    let (got, recorded) = (tap.rows(), rows(&wire(&lines)));
    assert!(got.len() > 1500, "{} rows: this shows nothing", got.len());
    assert_eq!(got.len(), recorded.len());
    assert!(got == recorded, "the rows differ");

    // What is shown of them is what they hold, and none of it is clear.
    let shown = lines.iter().map(|line| format!("{line:?}")).collect::<String>();
    let all = [shown.as_bytes(), &wire(&lines)].concat();
    let holds = |word: &str| all.windows(word.len()).any(|part| part == word.as_bytes());
    let emails = rig
        .server
        .sql(DATABASE, "COPY (SELECT email FROM people WHERE email IS NOT NULL) TO STDOUT")
        .unwrap();
    assert!(emails.lines().count() > 400);
    for clear in emails.lines().map(str::trim).chain(["typed-in@example.org", "hunter-two-three"]) {
        assert!(!holds(clear), "{clear} is in the recording");
    }
    assert!(!holds(&rig.through().password), "the token is in the recording");
    assert!(holds("person 1") && holds("division by zero") && holds("rows stay"), "it shows nothing");

    // Nothing of it lies there in clear, for nobody else to read.
    let file = rig.gateway.data().join("recordings").join(format!("{session}.rec"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let sealed = fs::read(&file).unwrap();
    for word in ["person 1", "SELECT", "agent:tester"] {
        assert!(
            !sealed.windows(word.len()).any(|part| part == word.as_bytes()),
            "{word} lies there in clear"
        );
    }

    // That it was read is on record, and only the administrator reads it.
    let journal =
        run(&rig, &["audit", "verify", "--json", "--data", &rig.gateway.data().display().to_string()]);
    assert_eq!(
        Json::parse(&journal).unwrap().at("recordings").unwrap().at("whole").unwrap().number(),
        Some(1.0)
    );
    let written = fs::read_to_string(rig.gateway.journal().join("journal-000001.jsonl")).unwrap();
    assert!(written.contains("\"recording read\""), "that it was read is not in the journal");
    let mut stranger = rig.gateway.command(&["sessions", "play", &session]);
    stranger.env("DURWARD_ADMIN_SECRET", rig.through().password);
    assert!(!stranger.output().unwrap().status.success(), "an agent's token reads recordings");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revealed_to_one_is_recorded_as_others_get_it() {
    let policy = format!(
        "{POLICY}\n@id(\"clear\") permit (principal == Agent::\"clear\", action == Action::\"reveal\", resource);"
    );
    let rig = tagged_by(&policy);
    // As the first session's update leaves it.
    rig.server.sql(DATABASE, "UPDATE people SET score = 3 WHERE id = 4").unwrap();
    let mut sessions = Vec::new();
    for agent in ["masked", "clear"] {
        let tap = Tap::on(rig.gateway.port());
        let way = Way { port: tap.port, password: rig.gateway.token(agent).unwrap() };
        let (mut client, connection) = way.config().connect(NoTls).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        every_mode(&mut client).await;
        drop(client);
        connection.await.unwrap();
        let lines = exported(&rig, &rig.gateway.last_session().unwrap());
        let says = lines.iter().any(|line| line.at("revealed").is_some_and(|all| !all.items().is_empty()));
        assert_eq!(says, agent == "clear", "that it was revealed");
        sessions.push((tap.rows(), rows(&wire(&lines)), lines));
    }
    let [(masked, of_masked, _), (clear, of_clear, lines)] = sessions.try_into().unwrap();
    let holds = |all: &[Vec<u8>], word: &str| {
        all.iter().any(|row| row.windows(word.len()).any(|part| part == word.as_bytes()))
    };
    assert!(masked.len() > 1500 && masked.len() == clear.len(), "{} {}", masked.len(), clear.len());
    assert!(masked == of_masked, "what is masked is recorded otherwise than its client got it");
    // The first session's update has moved a row to another place of its table.
    let sorted = |mut all: Vec<Vec<u8>>| {
        all.sort();
        all
    };
    let differ = sorted(masked).into_iter().zip(sorted(of_clear)).find(|(one, other)| one != other);
    assert!(differ.is_none(), "what is revealed is recorded otherwise than others would get it: {differ:?}");
    let shown = [lines.iter().map(|line| format!("{line:?}")).collect::<String>().into_bytes(), wire(&lines)];
    let emails = "COPY (SELECT email FROM people WHERE email IS NOT NULL) TO STDOUT";
    for email in rig.server.sql(DATABASE, emails).unwrap().lines().map(str::trim) {
        assert!(holds(&clear, email), "{email} was not revealed: this shows nothing");
        assert!(!holds(&shown, email), "{email} is in the recording");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_is_played_searched_followed_and_exported() {
    let rig = tagged();
    let (client, connection) = rig.through().config().connect(NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.simple_query("SELECT id, email FROM people WHERE id = 2").await.unwrap();
    client
        .simple_query("SELECT E'\\x1b[2J\\u202eevil' AS words, 'needle in the hay' AS found")
        .await
        .unwrap();
    client.simple_query("DELETE FROM people WHERE id = 1").await.unwrap_err();
    let session = rig.gateway.last_session().unwrap();

    // While it goes on.
    let mut tail = rig.gateway.command(&["sessions", "tail", &session, "--json"]);
    let mut tail = tail.stdout(std::process::Stdio::piped()).spawn().unwrap();
    client.simple_query("SELECT 'while it is followed' AS told").await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    let mut followed = String::new();
    tail.stdout.take().unwrap().read_to_string(&mut followed).unwrap();
    assert!(tail.wait().unwrap().success());
    assert!(followed.contains("while it is followed") && followed.contains("needle"), "{followed}");

    let play = |more: &[&str]| run(&rig, &[&["sessions", "play", &session, "--speed", "max"], more].concat());
    let played = play(&[]);
    assert!(played.contains(" id | ") && played.contains("(1 row, "), "{played}");
    assert!(played.contains("REFUSED (42501)") && played.contains("HINT: Leave them."), "{played}");
    assert!(played.contains("⟨U+001B⟩[2J⟨U+202E⟩evil") && !played.contains('\u{1b}'), "{played}");
    assert!(played.contains("The end: the client left."), "{played}");
    let refused = play(&["--only", "refused,held"]);
    assert!(refused.contains("REFUSED") && !refused.contains("allowed by"), "{refused}");
    let later = play(&["--from", "2"]);
    assert!(later.contains("REFUSED") && !later.contains("needle"), "{later}");
    assert!(play(&["--find", "NEEDLE"]).contains("needle in the hay"));
    assert!(!play(&["--find", "NEEDLE"]).contains("REFUSED"));

    let cast = run(&rig, &["sessions", "export", &session]);
    let header = Json::parse(cast.lines().next().unwrap()).unwrap();
    assert_eq!(header.at("version").and_then(Json::number), Some(2.0));
    assert!(cast.lines().skip(1).all(|line| Json::parse(line).unwrap().items().len() == 3), "{cast}");
    assert!(cast.contains("⟨U+001B⟩[2J"), "an escape is passed on");

    let found = |arguments: &[&str]| {
        let said = run(&rig, &[&["sessions", "search", "--json"], arguments].concat());
        Json::parse(&said).unwrap().at("hits").unwrap().items().len()
    };
    for (arguments, hits) in [
        (vec!["needle in"], 1),
        (vec!["NEEDLE", "--principal", "tester", "--target", DATABASE], 1),
        (vec!["needle", "--principal", "somebody-else"], 0),
        (vec!["needle", "--target", "elsewhere"], 0),
        (vec!["--verdict", "refused"], 1),
        (vec!["--table", "people"], 2),
        (vec!["--table", "public.people", "--verdict", "refused"], 1),
        // By the delete, which cascades.
        (vec!["--table", "notes"], 1),
        (vec!["--table", "events"], 0),
        (vec!["--column", "email"], 1),
        (vec!["--column", "found"], 1),
        (vec!["--column", "mail"], 0),
        (vec!["--since", "2000", "--verdict", "refused"], 1),
        (vec!["--until", "2000"], 0),
    ] {
        assert_eq!(found(&arguments), hits, "{arguments:?}");
    }
}

/// A file of a process is not longer than this here, as on a disk that is full, in bytes.
const FULL: u64 = 2 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_a_session_that_must_be_recorded_ends_and_its_neighbour_goes_on() {
    let scratch = Scratch::new("full").unwrap();
    let script = scratch.join("durward");
    let limited =
        format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f {}\nexec '{}' \"$@\"\n", FULL / 512, binary().display());
    fs::write(&script, limited).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let server = server(&[]);
    let gateway = Durward::start(&script).unwrap();
    let target = Target::new(DATABASE, server.port(), DATABASE);
    let policy = r#"
@id("strict") @record("required") permit (principal == Agent::"strict", action, resource);
@id("loose") @record("best-effort") permit (principal == Agent::"loose", action, resource);
"#;
    gateway.apply(&[target], &[("test", policy)]).unwrap();
    let connect = async |agent: &str| {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(gateway.port()).user("x").dbname(DATABASE);
        config.password(gateway.token(agent).unwrap()).connect(NoTls).await.unwrap()
    };
    // What cannot be made smaller: each answer fills what is kept of one.
    let much = "SELECT md5(g::text || random()::text) FROM generate_series(1, 8000) AS g";
    let (strict, connection) = connect("strict").await;
    let strict_end = tokio::spawn(connection);
    let (loose, connection) = connect("loose").await;
    tokio::spawn(connection);
    let mut refused = None;
    for round in 0..30 {
        loose.simple_query(much).await.unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        if refused.is_none() {
            refused = strict.simple_query(much).await.err();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(refused.is_some(), "it goes on unrecorded");
    let words = strict_end.await.unwrap().err().map(|error| format!("{error:?}")).unwrap_or_default();
    let said = format!("{words} {refused:?}");
    assert!(said.contains("58030") && said.contains("cannot write this session's recording"), "{said}");
    let id = gateway.last_session().unwrap();
    drop(loose);
    let begun = Instant::now();
    let played = loop {
        let played =
            text(&mut gateway.command(&["sessions", "play", &id, "--speed", "max", "--rows", "1"])).unwrap();
        if played.contains("The recording has no end")
            || played.contains("The end")
            || begun.elapsed() > PATIENCE
        {
            break played;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(played.matches("SELECT md5").count() >= 5, "what was written before cannot be read: {played}");
    text(gateway.command(&["audit", "verify", "--data"]).arg(gateway.data())).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_leaves_recordings_that_can_be_read_and_verified() {
    let mut rig = Rig::start(&[], "@id(\"all\") @record(\"required\") permit (principal, action, resource);");
    let (client, connection) = rig.through().config().connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let begun = Instant::now();
    let mut asked = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        client.simple_query(&format!("SELECT id AS n{asked} FROM people LIMIT 3")).await.unwrap();
        asked += 1;
    }
    let session = rig.gateway.last_session().unwrap();
    rig.gateway.crash().unwrap();
    let played = run(&rig, &["sessions", "play", &session, "--speed", "max"]);
    let seen = (0..asked).take_while(|n| played.contains(&format!("n{n}\n"))).count();
    assert!(seen > 0 && played.contains("The recording has no end"), "{played}");
    let last_second = played.matches("(3 rows").count();
    assert!(
        last_second * 2 > asked,
        "{last_second} of {asked} are there: more than the last moments is lost"
    );
    let verify =
        || rig.gateway.command(&["audit", "verify", "--data"]).arg(rig.gateway.data()).output().unwrap();
    let said = verify();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));

    // Neither changed nor cut short.
    let file: PathBuf = rig.gateway.data().join("recordings").join(format!("{session}.rec"));
    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 3] ^= 1;
    for (what, bytes) in [("changed", bad), ("cut short", good[..good.len() / 4].to_vec())] {
        fs::write(&file, bytes).unwrap();
        let said = verify();
        assert_eq!(said.status.code(), Some(6), "{what}: {}", String::from_utf8_lossy(&said.stderr));
        assert!(String::from_utf8_lossy(&said.stderr).contains(&session), "{what}");
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(verify().status.code(), Some(6), "that it is gone is not found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_policy_does_not_want_recorded_is_not() {
    let rig = Rig::start(&[], "@id(\"all\") @record(\"off\") permit (principal, action, resource);");
    let (client, connection) = rig.through().config().connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client.simple_query("SELECT 1").await.unwrap();
    let session = rig.gateway.last_session().unwrap();
    let said = rig.gateway.command(&["sessions", "play", &session]).output().unwrap();
    assert_eq!(said.status.code(), Some(5), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(fs::read_dir(rig.gateway.data().join("recordings")).unwrap().count(), 0);
}

/// Recordings are in no backup: that is said, on record, and nobody takes those that are missing for removed ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_are_brought_to_a_restored_place_and_verify_there() {
    let mut rig = Rig::start(&[], "@id(\"all\") @record(\"required\") permit (principal, action, resource);");
    let mut sessions = Vec::new();
    for statement in ["SELECT 1", "SELECT 2"] {
        let (client, connection) = rig.through().config().connect(NoTls).await.unwrap();
        let end = tokio::spawn(connection);
        client.simple_query(statement).await.unwrap();
        drop(client);
        drop(end.await);
        let session = rig.gateway.last_session().unwrap();
        // A thread of its own says what it has written.
        crate::operations::eventually("its recording is on record", || {
            let records = rig.gateway.records().unwrap();
            records.lines().any(|line| {
                ["\"kind\":\"recorded\"", "\"ended\":true", &session].iter().all(|part| line.contains(part))
            })
        });
        sessions.push(session);
    }
    let place = Scratch::new("restored").unwrap();
    let (backup, new) = (place.join("backup"), place.join("new"));
    let made = text(rig.gateway.command(&["backup", "-c"]).arg(rig.gateway.config()).arg(&backup)).unwrap();
    let key =
        made.split_whitespace().find(|word| word.starts_with("dwk_")).expect("a recovery key").to_owned();
    rig.gateway.end();
    let mut restore = rig.gateway.command(&["restore", "--data"]);
    let told = text(restore.arg(&new).arg(&backup).env("DURWARD_RECOVERY_KEY", key)).unwrap();
    let there = new.join("recordings");
    assert!(
        told.contains("those of 2 sessions are not here") && told.contains(&there.display().to_string()),
        "{told}"
    );
    let verify = || {
        let said = rig.gateway.command(&["audit", "verify", "--data"]).arg(&new).output().unwrap();
        let told =
            format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        (said.status.code().unwrap(), told)
    };
    let (code, told) = verify();
    assert!(code == 0 && told.contains("Not in the backup"), "{told}");
    assert!(sessions.iter().all(|session| told.contains(session)), "{told}");
    // One of them is brought, then the other.
    fs::create_dir_all(&there).unwrap();
    for (session, whole) in sessions.iter().zip(1..) {
        let name = format!("{session}.rec");
        fs::copy(rig.gateway.data().join("recordings").join(&name), there.join(&name)).unwrap();
        let (code, told) = verify();
        assert!(code == 0 && told.contains(&format!("{whole} recordings are whole")), "{told}");
    }
    // The journal's result stands first, then each that is not as it was.
    for session in &sessions {
        let file = there.join(format!("{session}.rec"));
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    let (code, told) = verify();
    assert_eq!(code, 6, "{told}");
    assert!(told.contains("Head: ") && told.matches("FAULTY ").count() == 2, "{told}");
}
