//! The program as people and scripts run it: what it prints, its exit codes, what others can see of it.

#![cfg(test)]

mod keys;
mod passphrase;
mod places;
mod state;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const DURWARD: &str = env!("CARGO_BIN_EXE_durward");
/// A gateway starts and ends within this.
const PATIENCE: Duration = Duration::from_secs(30);

fn free_port() -> u16 {
    testkit::process::free_port().expect("a port")
}

/// Runs until it ends, with no terminal to ask at.
fn durward(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(DURWARD)
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn terminate(child: &Child) {
    let sent = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().expect("kill");
    assert!(sent.success());
}

/// A gateway that serves, with its administrator's secret.
struct Gateway {
    child: Child,
    place: tempfile::TempDir,
    url: String,
    secret: String,
}

impl Gateway {
    fn start() -> Self {
        Self::start_with("", |_| ())
    }

    /// With more settings, and with files that are there before it is started.
    fn start_with(settings: &str, prepare: impl FnOnce(&Path)) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        prepare(place.path());
        let (clients, admin) = (free_port(), free_port());
        let config = place.path().join("durward.toml");
        let typed = format!(
            "data = \"state\"\n{settings}[postgres]\nlisten = [\"127.0.0.1:{clients}\"]\n[console]\nlisten = \"127.0.0.1:{admin}\"\n\
             [log]\nformat = \"json\"\n"
        );
        std::fs::write(&config, typed).expect("written");
        let config = config.to_str().expect("UTF-8");
        let made = durward(&["init", "-c", config, "--json"], &[]);
        let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
        let secret = made["administrator_secret"].as_str().expect("a secret").to_owned();
        let mut child = Command::new(DURWARD)
            .args(["serve", "-c", config])
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut log = BufReader::new(child.stderr.take().expect("a log"));
        let mut line = String::new();
        while !line.contains("the console and the admin API are served") {
            line.clear();
            assert!(log.read_line(&mut line).expect("a line") > 0, "it has ended");
        }
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Self { child, place, url: format!("http://127.0.0.1:{admin}"), secret }
    }

    /// Runs a command against it: exit code, standard output, standard error.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run_as(&self.secret, arguments)
    }

    fn run_as(&self, secret: &str, arguments: &[&str]) -> (i32, String, String) {
        let output = durward(arguments, &[("DURWARD_GATEWAY", &self.url), ("DURWARD_ADMIN_SECRET", secret)]);
        (output.status.code().expect("a code"), text(&output.stdout), text(&output.stderr))
    }

    /// What everybody who reaches the admin listener may ask.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).expect("connected");
        let ask = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_gateway_is_configured_and_its_tokens_are_issued_listed_and_revoked() {
    let mut gateway = Gateway::start();
    let files = gateway.path("files");
    std::fs::create_dir(&files).expect("made");
    let target = "[[targets]]\nname = \"orders\"\nhost = \"127.0.0.1\"\nport = 1\nuser = \"u\"\ndatabase = \"d\"\npassword = \"hunter2\"\n";
    std::fs::write(files.join("orders.toml"), target).expect("written");
    std::fs::write(files.join("all.cedar"), "@id(\"all\") permit (principal, action, resource);")
        .expect("written");
    let files = files.to_str().expect("UTF-8");

    let (code, out, _) = gateway.run(&["apply", "-f", files, "--dry-run"]);
    assert!(code == 0 && out.contains("target orders added") && out.contains("Would be applied"), "{out}");
    assert!(!gateway.run(&["targets", "ls"]).1.contains("orders"), "a dry run changes nothing");
    assert_eq!(gateway.run(&["apply", "-f", files]).0, 0);
    assert!(gateway.run(&["targets", "ls"]).1.contains("orders"));

    let (code, token, hint) =
        gateway.run(&["token", "issue", "agent:bot", "--target", "orders", "--life", "1h"]);
    assert_eq!(code, 0, "{hint}");
    let id = token.trim().rsplit_once('_').expect("an id and a secret").0.to_owned();
    let (_, listed, _) = gateway.run(&["token", "ls"]);
    assert!(listed.contains(&id) && !listed.contains(token.trim()), "{listed}");
    assert_eq!(gateway.run(&["token", "revoke", &id]).0, 0);
    assert!(gateway.run(&["token", "ls"]).1.contains("revoked"));

    for (arguments, expected) in [
        (&["token", "revoke", "dwt_none"][..], 5),
        (&["token", "issue", "agent:bot", "--target", "none"], 5),
        (&["token", "issue", "robot"], 2),
        (&["token", "issue", "agent:bot", "--life", "forever"], 2),
        (&["requests", "show", "r1"], 5),
        (&["requests", "approve", "r1"], 5),
        (&["sessions", "kill", "s1"], 5),
        (&["sessions", "ls"], 0),
        (&["doctor"], 6),
        (&["apply", "-f", "/no/such/directory"], 1),
    ] {
        assert_eq!(gateway.run(arguments).0, expected, "{arguments:?}");
    }
    assert_eq!(gateway.run_as("dwa_wrong", &["token", "ls"]).0, 4);
    for (arguments, says) in [
        (&["token", "ls"][..], "set DURWARD_ADMIN_SECRET, or run it at a terminal"),
        (&["requests", "ls", "--as", "dora"], "dora's secret: set DURWARD_APPROVER_SECRET"),
    ] {
        let output = durward(arguments, &[("DURWARD_GATEWAY", &gateway.url)]);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(4) && said.contains(says), "{arguments:?}: {said}");
    }

    terminate(&gateway.child);
    let ended = gateway.child.wait().expect("it ends");
    assert!(ended.success(), "{ended}");
    assert_eq!(gateway.run(&["token", "ls"]).0, 3);
    for name in ["state/state.db", "state/journal/journal-000001.jsonl"] {
        let bytes = std::fs::read(gateway.path(name)).expect("a file");
        assert!(!bytes.windows(7).any(|w| w == b"hunter2"), "{name}");
    }
    let journal = gateway.path("state/journal");
    verifies_until_changed(&journal);
}

#[track_caller]
fn verifies_until_changed(journal: &Path) {
    let verify = || durward(&["audit", "verify", "--journal", journal.to_str().expect("UTF-8")], &[]);
    assert_eq!(verify().status.code(), Some(0));
    let segment = journal.join("journal-000001.jsonl");
    let records = std::fs::read_to_string(&segment).expect("records");
    std::fs::write(&segment, records.replace("agent:bot", "agent:bad")).expect("written");
    assert_eq!(verify().status.code(), Some(6));
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_place() {
    let place = tempfile::tempdir().expect("a directory");
    for (name, typed, arguments, expected) in [
        ("a.toml", "[postgres]\nlisen = []", &["serve", "-c"][..], "a.toml:2:1: unknown field `lisen`"),
        (
            "a.cedar",
            "@id(\"a\")\npermit (principal, action == Action::\"red\", resource);",
            &["policy", "check"],
            "a.cedar:2:",
        ),
    ] {
        let path = place.path().join(name);
        std::fs::write(&path, typed).expect("written");
        let mut arguments = arguments.to_vec();
        arguments.push(path.to_str().expect("UTF-8"));
        let output = durward(&arguments, &[]);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(expected), "{said}");
    }
}

/// The database accepts and says nothing, so that `up` stays where its arguments can be looked at.
#[test]
fn a_password_is_gone_from_arguments_and_environment() {
    let database = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = database.local_addr().expect("an address");
    for (url, variable) in [
        (format!("postgres://app:hunter2@{at}/orders"), ""),
        (format!("postgres://app@{at}/orders"), "hunter2"),
    ] {
        let place = tempfile::tempdir().expect("a directory");
        let [clients, admin, agents] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
        let data = place.path().join("data");
        let mut child = Command::new(DURWARD)
            .args(["up", &url, "--listen", &clients, "--console", &admin, "--agents", &agents, "--data"])
            .arg(&data)
            .env("PGPASSWORD", variable)
            .env("PGPASSFILE", "/nonexistent")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        eventually("it keeps its state", || data.join("journal").exists());
        for of in ["cmdline", "environ"] {
            let seen = std::fs::read(format!("/proc/{}/{of}", child.id())).expect("readable");
            assert!(!seen.is_empty());
            assert!(!String::from_utf8_lossy(&seen).contains("hunter2"), "{of}");
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Each source gives the key that a store was made with; another key is told from a broken store.
#[test]
fn the_master_key_comes_from_a_file_the_environment_or_a_command() {
    let place = tempfile::tempdir().expect("a directory");
    let (key, other) = ("ab".repeat(32), "cd".repeat(32));
    let keys = place.path().join("keys");
    std::fs::create_dir(&keys).expect("made");
    for (name, source) in [
        ("file", "{ file = \"keys/one\" }".to_owned()),
        ("env", "{ env = \"DURWARD_TEST_KEY\" }".to_owned()),
        ("command", "{ command = [\"printenv\", \"DURWARD_TEST_KEY\"] }".to_owned()),
    ] {
        let config = place.path().join(format!("{name}.toml"));
        std::fs::write(&config, format!("data = \"{name}\"\nmaster_key = {source}\n")).expect("written");
        let config = config.to_str().expect("UTF-8");
        let init = |key: &str| {
            if name == "file" {
                use std::os::unix::fs::OpenOptionsExt;
                let mut options = std::fs::OpenOptions::new();
                let mut file = options
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(keys.join("one"))
                    .expect("a file");
                std::io::Write::write_all(&mut file, key.as_bytes()).expect("written");
            }
            let output = durward(&["init", "-c", config], &[("DURWARD_TEST_KEY", key)]);
            (output.status.code(), text(&output.stdout) + &text(&output.stderr))
        };
        let (code, said) = init(&key);
        assert!(code == Some(0) && said.contains("dwa_") && !said.contains(&key), "{name}: {said}");
        let (code, said) = init(&key);
        assert!(
            code == Some(1) && said.contains("has an administrator already"),
            "{name}, the same key: {said}"
        );
        let (code, said) = init(&other);
        assert!(code == Some(1) && said.contains("has other keys"), "{name}, another key: {said}");
        let (_, said) = init("short");
        assert!(
            said.contains("is no master key: it has 64 hexadecimal digits") && !said.contains("short:"),
            "{name}: {said}"
        );
        assert!(!place.path().join(name).join("master.key").exists(), "{name}: no key lies beside the store");
    }
    // A key file that is lost is not silently made anew.
    std::fs::remove_file(keys.join("one")).expect("removed");
    let config = place.path().join("file.toml");
    let output = durward(&["init", "-c", config.to_str().expect("UTF-8")], &[]);
    assert!(text(&output.stderr).contains("is missing: without it nothing that is sealed"), "{output:?}");
    assert!(!keys.join("one").exists());
}

/// What people type wrong: each answer says what, where, and what to do, with the exit code that is documented.
#[test]
fn clumsy_input_is_answered_with_what_to_do() {
    let place = tempfile::tempdir().expect("a directory");
    let at = |name: &str| place.path().join(name).to_str().expect("UTF-8").to_owned();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (taken, free) =
        (taken.local_addr().expect("an address").to_string(), format!("127.0.0.1:{}", free_port()));
    let write = |name: &str, content: &str| {
        std::fs::write(at(name), content).expect("written");
        at(name)
    };
    std::fs::create_dir(at("empty")).expect("made");
    let tls = write(
        "tls.toml",
        &format!(
            "data = \"d\"\n[postgres]\nlisten = \"{free}\"\ntls = {{ certificate = \"no.pem\", key = \"no.key\" }}\n"
        ),
    );
    let nobody = write(
        "env.toml",
        &format!(
            "data = \"d\"\nmaster_key = {{ env = \"DURWARD_NO_SUCH\" }}\n[postgres]\nlisten = \"{free}\"\n[console]\nlisten = \"127.0.0.1:{}\"\n",
            free_port()
        ),
    );
    let unnamed = write("unnamed.cedar", "permit (principal, action, resource);");
    let (data, journal) = (at("data"), at("nowhere"));
    let up = |url: &'static str, more: &[&str]| {
        let [console, agents] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
        let mut words = vec!["up", url, "--data", &data, "--listen", &free, "--console", &console];
        if !more.contains(&"--agents") {
            words.extend(["--agents", &agents]);
        }
        words.retain(|w| !(more.contains(&"--listen") && (*w == "--listen" || **w == free)));
        words.extend(more);
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let plain = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    for (words, code, says) in [
        (up("mydb", &[]), 2, "postgres://user@host:5432/database"),
        (up("mysql://me@db/orders", &[]), 2, "postgres://user@host:5432/database"),
        (up("postgres://localhost/orders", &[]), 2, "names no user"),
        (up("postgres://me@localhost:99999/orders", &[]), 2, "it is 1 to 65535"),
        (up("postgres://me@localhost/orders?sslmode=verify", &[]), 2, "verify-full"),
        (up("postgres://me@localhost/orders?sslmod=require", &[]), 2, "taken are sslmode"),
        (up("postgres://me@a,b/orders", &[]), 2, "more than one host"),
        (
            up("postgres://me@127.0.0.1:1/orders", &[]),
            1,
            "127.0.0.1:1: cannot connect: Connection refused (os error 111). Nothing listens there",
        ),
        (up("postgres://me@no-such-host.invalid/orders", &[]), 1, "Is the host spelt right"),
        (up("postgres://me@localhost/orders?host=/nonexistent", &[]), 1, "/nonexistent/.s.PGSQL.5432"),
        (up("postgres://me@localhost/orders", &["--listen", &taken]), 1, "does a gateway run already?"),
        (up("postgres://me@localhost/orders", &["--listen", "7432"]), 2, "such as 127.0.0.1:7432"),
        (up("postgres://me@localhost/orders", &["--life", "8"]), 2, "write 30s, 15m, 8h or 7d"),
        (up("postgres://me@localhost/orders", &["--name", "my db"]), 2, "letters, digits"),
        (
            up("postgres://me@localhost/orders", &["--password-file", "/nonexistent"]),
            1,
            "the password's file /nonexistent cannot be read",
        ),
        (plain(&["serve", "-c", "/nonexistent.toml"]), 2, "-c FILE names another, and an empty file will do"),
        (plain(&["serve", "-c", &tls]), 1, "postgres.tls: cannot read"),
        (plain(&["serve", "-c", &nobody]), 1, "the environment variable DURWARD_NO_SUCH is missing"),
        (plain(&["policy", "check", &at("empty")]), 5, "there are no policies (*.cedar) in"),
        (plain(&["policy", "check", &unnamed]), 2, "unnamed.cedar:1:1: every policy needs an @id"),
        (plain(&["policy", "check", "/nonexistent.cedar"]), 1, "/nonexistent.cedar: No such file"),
        (plain(&["audit", "verify", "--journal", &journal]), 5, "there is no journal at"),
        (plain(&["sessions", "ls", "--all", "--data", &journal]), 5, "there is no journal at"),
        (
            plain(&["token", "ls", "--gateway", "http://127.0.0.1:1"]),
            3,
            "no gateway answers at http://127.0.0.1:1",
        ),
        (plain(&["token", "issue", "bot"]), 2, "write agent:NAME or user:NAME"),
        (plain(&["token", "ls", "--gateway", "https://gate"]), 2, "ssh -L"),
        (plain(&["approver", "add", "dora"]), 2, "--group <GROUP>"),
        (plain(&["tokens", "ls"]), 2, "'token'"),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = Command::new(DURWARD)
            .args(&words)
            .env_remove("DURWARD_ADMIN_SECRET")
            .env_remove("PGPASSWORD")
            .env("PGPASSFILE", "/nonexistent")
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(
            output.status.code() == Some(code) && said.contains(says),
            "{words:?} ended with {:?}:\n{said}",
            output.status.code()
        );
    }
    let (url, secret) = (format!("http://127.0.0.1:{}", free_port()), "dwa_0");
    let ask = |secret: &str| {
        durward(&["token", "ls"], &[("DURWARD_GATEWAY", &url), ("DURWARD_ADMIN_SECRET", secret)])
    };
    let output = ask(secret);
    assert!(output.status.code() == Some(3) && text(&output.stderr).contains("Does it run?"), "{output:?}");
    let output = ask("pässword");
    assert!(output.status.code() == Some(4) && text(&output.stderr).contains("only letters"), "{output:?}");
}
