//! What is kept: secrets stay where they belong, the master key is replaced while statements run, and a backup comes back in an
//! empty place.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::Scratch;
use testkit::durward::{Durward, Target};
use testkit::postgres::Postgres;
use testkit::process::{Running, Stop, free_port, text};

use crate::rig::{ALLOW_ALL, DATABASE, Rig, Way, binary, python, server};

/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(30);
/// Version 13 keeps passwords in another way by itself, which a server that demands this one cannot use.
pub(crate) const SCRAM: &str = "password_encryption=scram-sha-256";

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The longest word that begins so.
fn word(text: &str, beginning: &str) -> String {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|w| w.starts_with(beginning)).max_by_key(|w| w.len()).expect("a word").to_owned()
}

/// From here on only the superuser comes in without a password.
pub(crate) fn demand_passwords(server: &Postgres) {
    let rules = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(server.directory().join("data").join("pg_hba.conf"), rules).unwrap();
    server.sql(DATABASE, "SELECT pg_reload_conf()").unwrap();
}

pub(crate) fn role(server: &Postgres, name: &str, password: &str) {
    let password = password.replace('\'', "''");
    server.sql(DATABASE, &format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'")).unwrap();
}

/// What a client gets who asks who it is at the target.
fn who(port: u16, token: &str, target: &str) -> String {
    let way = Way { port, password: token.to_owned() };
    way.said(Command::new("psql").args(["-XAtc", "SELECT current_user"]).env("PGDATABASE", target))
}

fn targets(server: &Postgres, all: &[(&str, &str)]) -> String {
    let one = |(user, credential): &(&str, &str)| {
        format!(
            "[[targets]]\nname = \"{user}\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"{user}\"\ndatabase = \"{DATABASE}\"\n\
             sslmode = \"disable\"\n{credential}\n",
            server.port()
        )
    };
    all.iter().map(one).collect()
}

fn apply(gateway: &Durward, targets: &str) -> Output {
    let files = Scratch::new("files").unwrap();
    fs::write(files.join("t.toml"), targets).unwrap();
    fs::write(files.join("p.cedar"), ALLOW_ALL).unwrap();
    gateway.command(&["apply", "-f"]).arg(files.path()).output().unwrap()
}

// ---------------------------------------------------------------------- secrets stay where they belong

/// A secret as it may stand somewhere, in eight spellings.
fn spellings(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = secret.as_bytes();
    let hex = |upper: bool| -> String {
        bytes.iter().map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }).collect()
    };
    let percent: String = bytes
        .iter()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(*b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let json: String = secret
        .chars()
        .map(|c| match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            other => other.to_string(),
        })
        .collect();
    let mut all = vec![
        ("raw", bytes.to_vec()),
        ("hex", hex(false).into_bytes()),
        ("HEX", hex(true).into_bytes()),
        ("percent", percent.into_bytes()),
        ("JSON", json.into_bytes()),
        ("UTF-16LE", secret.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ];
    // Behind none, one or two other bytes it looks otherwise; what its neighbours share is left out.
    for lead in 0..3 {
        let padded = [&[0; 2][..lead.min(2)], bytes].concat();
        for (name, extra) in [("base64", *b"+/"), ("base64url", *b"-_")] {
            let text = base64(&padded, extra);
            all.push((name, text.as_bytes()[(lead * 8).div_ceil(6)..text.len() - 4].to_vec()));
        }
    }
    all
}

fn base64(bytes: &[u8], extra: [u8; 2]) -> String {
    let alphabet = [&b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"[..], &extra].concat();
    let digits = |chunk: &[u8]| {
        let number = (0..3).fold(0_usize, |n, i| n << 8 | usize::from(chunk.get(i).copied().unwrap_or(0)));
        [18, 12, 6, 0].map(|shift| char::from(alphabet[number >> shift & 63]))
    };
    bytes.chunks(3).flat_map(digits).collect()
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|w| w == needle)
}

#[test]
fn a_secret_is_found_in_each_of_eight_spellings() {
    let secret = "pa\"ss wörd/+~?>";
    for (at, (name, spelt)) in spellings(secret).iter().enumerate() {
        assert!(!spelt.is_empty(), "{name}");
        assert!(at == 0 || *spelt != secret.as_bytes(), "{name}");
    }
    let inside = |hay: &[u8]| spellings(secret).iter().any(|(_, spelt)| contains(hay, spelt));
    for lead in 0..4 {
        let text = [&b"abcd"[..lead], secret.as_bytes(), b"tail"].concat();
        for extra in [*b"+/", *b"-_"] {
            assert!(inside(base64(&text, extra).as_bytes()), "behind {lead}");
        }
    }
    assert!(inside("{\"x\":\"pa\\\"ss wörd/+~?>\"}".as_bytes()));
    assert!(!inside(b"pa\"ss word/+~?>"));
}

fn files(folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.file_name().is_some_and(|name| name != "master.key") {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
}

fn page(port: u16, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn no_secret_of_a_run_stands_in_anything_that_it_wrote() {
    let server = server(&[SCRAM]);
    let passwords: [(&str, String); 4] = ["sealed", "filed", "run", "wrong"]
        .map(|name| (name, format!("{name} \"pä/ss+ wört\" {}", std::process::id())));
    for (name, password) in &passwords {
        role(&server, name, if *name == "wrong" { "another" } else { password });
    }
    demand_passwords(&server);
    let place = Scratch::new("sources").unwrap();
    for (name, password) in &passwords {
        fs::write(place.join(name), password).unwrap();
    }
    let at = |name: &str| place.join(name).display().to_string();
    let head = format!(
        "[log]\nlevel = \"trace\"\n[credentials.filed]\nfile = \"{}\"\n[credentials.run]\ncommand = [\"cat\", \"{}\"]\n\
         [credentials.wrong]\nfile = \"{}\"\n[credentials.none]\nfile = \"/nonexistent\"\n",
        at("filed"),
        at("run"),
        at("wrong")
    );
    let mut gateway = Durward::start_sharing(&binary(), &head, None).unwrap();
    let mut outputs = BTreeMap::new();
    let all = targets(
        &server,
        &[
            ("sealed", &format!("password_file = \"{}\"", at("sealed"))),
            ("filed", "credential = \"filed\""),
            ("run", "credential = \"run\""),
            ("wrong", "credential = \"wrong\""),
            ("none", "credential = \"none\""),
        ],
    );
    outputs.insert("apply", said(&apply(&gateway, &all)));
    let unknown = targets(&server, &[("sealed", "credential = \"nobody\"")]);
    let refused = said(&apply(&gateway, &unknown));
    assert!(refused.contains("has no [credentials.nobody]"), "{refused}");
    outputs.insert("apply of what is not there", refused);
    let token = gateway.token("scanner").unwrap();
    let approver = said(&gateway.command(&["approver", "add", "dora", "--group", "dba"]).output().unwrap());
    let approver = word(&approver, "dwp_");
    for name in ["sealed", "filed", "run"] {
        let said = who(gateway.port(), &token, name);
        assert!(said.starts_with(&format!("{name}\n")), "{said}");
        outputs.insert(name, said);
    }
    for (name, expected) in
        [("wrong", "does not accept the gateway's credential"), ("none", "cannot get its credential")]
    {
        let said = who(gateway.port(), &token, name);
        assert!(said.contains(expected), "{said}");
        outputs.insert(name, said);
    }
    // A wrong token, a wrong administrator, a doctor's look at what fails, an export, a backup.
    outputs.insert("wrong token", who(gateway.port(), &format!("{token}0"), "filed"));
    for (name, arguments) in [
        ("doctor", &["doctor"][..]),
        ("targets", &["targets", "ls"]),
        ("tokens", &["token", "ls"]),
        ("sessions", &["sessions", "ls"]),
    ] {
        outputs.insert(name, said(&gateway.command(arguments).output().unwrap()));
    }
    let backup = place.join("backup");
    let mut command = gateway.command(&["backup"]);
    let shown = said(&command.arg(&backup).arg("-c").arg(gateway.config()).output().unwrap());
    let recovery = word(&shown, "dwk_");
    assert!(backup.exists(), "{shown}");

    let mut hay = BTreeMap::new();
    hay.insert("metrics".to_owned(), page(gateway.admin_port(), "/metrics"));
    hay.insert("readyz".to_owned(), page(gateway.admin_port(), "/readyz"));
    let pid = gateway.process().pid();
    hay.insert("arguments".to_owned(), fs::read(format!("/proc/{pid}/cmdline")).unwrap());
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|l| l.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    hay.insert("log".to_owned(), gateway.log().into_bytes());
    gateway.end();
    files(&gateway.data(), &mut hay);
    hay.insert("backup".to_owned(), fs::read(&backup).unwrap());
    for (name, said) in outputs {
        hay.insert(format!("what {name} said"), said.into_bytes());
    }
    let master = fs::read_to_string(gateway.data().join("master.key")).unwrap().trim().to_owned();
    let mut secrets: Vec<String> = passwords.iter().map(|(_, password)| password.clone()).collect();
    secrets.extend([token, approver, recovery, master, gateway.secret().to_owned()]);
    for secret in &secrets {
        for (spelling, needle) in spellings(secret) {
            for (place, bytes) in &hay {
                assert!(!contains(bytes, &needle), "a secret stands in {place}, as {spelling}");
            }
        }
    }
    // The scan could find something: names that are no secrets are there.
    assert!(contains(&hay["log"], b"cannot be had") && hay.len() > 12, "{:?}", hay.keys());
    assert!(
        hay.iter().any(|(place, bytes)| place.ends_with("state.db") && contains(bytes, b"agent:scanner"))
    );
}

// ---------------------------------------------------------------------- a vault

/// OpenBao in its development mode, with a role that may read `databases`.
struct Bao {
    _running: Running,
    _place: Scratch,
    address: String,
    role: String,
    secret: String,
}

impl Bao {
    fn start() -> Self {
        let place = Scratch::new("bao").unwrap();
        let port = free_port().unwrap();
        let mut command = Command::new(Self::program());
        command.current_dir(place.path()).env("HOME", place.path());
        command.args(["server", "-dev", "-dev-root-token-id=root-of-a-test"]);
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        let mut running = Running::start(&mut command, &place.join("log"), Stop::Terminate).unwrap();
        running.wait_for_port(port).unwrap();
        let address = format!("http://127.0.0.1:{port}");
        let mut this =
            Self { _running: running, _place: place, address, role: String::new(), secret: String::new() };
        let begun = Instant::now();
        while text(&mut this.command(&["kv", "put", "secret/databases/orders", "password=none"])).is_err() {
            assert!(begun.elapsed() < PATIENCE);
            sleep(Duration::from_millis(100));
        }
        let rule = this._place.join("rule.hcl");
        fs::write(&rule, "path \"secret/data/databases/*\" { capabilities = [\"read\"] }").unwrap();
        this.run(&["auth", "enable", "approle"]);
        this.run(&["policy", "write", "gate", &rule.display().to_string()]);
        this.run(&["write", "auth/approle/role/gate", "token_policies=gate", "token_ttl=60s"]);
        this.role = this.run(&["read", "-field=role_id", "auth/approle/role/gate/role-id"]);
        this.secret = this.run(&["write", "-field=secret_id", "-f", "auth/approle/role/gate/secret-id"]);
        this
    }

    fn program() -> std::path::PathBuf {
        let program = python().with_file_name("bao");
        assert!(program.exists(), "there is no {}: cargo xtask install", program.display());
        program
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Self::program());
        command.args(arguments).env("BAO_ADDR", &self.address).env("BAO_TOKEN", "root-of-a-test");
        command.env("HOME", self._place.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        text(&mut self.command(arguments)).unwrap()
    }
}

#[test]
fn a_password_in_a_vault_is_read_anew_when_it_is_changed_and_not_used_when_it_is_gone() {
    let bao = Bao::start();
    let server = server(&[SCRAM]);
    role(&server, "orders", "first of all");
    demand_passwords(&server);
    bao.run(&["kv", "put", "secret/databases/orders", "password=first of all"]);
    let place = Scratch::new("vault").unwrap();
    fs::write(place.join("secret_id"), &bao.secret).unwrap();
    let head = format!(
        "[credentials.orders]\nvault = \"databases/orders\"\ncache = \"2s\"\n[vault]\naddress = \"{}\"\nrole_id = \"{}\"\n\
         secret_id = {{ file = \"{}\" }}\n",
        bao.address,
        bao.role,
        place.join("secret_id").display()
    );
    let gateway = Durward::start_sharing(&binary(), &head, None).unwrap();
    let applied = apply(&gateway, &targets(&server, &[("orders", "credential = \"orders\"")]));
    assert!(applied.status.success(), "{}", said(&applied));
    let token = gateway.token("bot").unwrap();
    let ask = || who(gateway.port(), &token, "orders");
    assert!(ask().starts_with("orders\n"), "{}", ask());
    // The target refuses what was kept: it is read anew at once.
    server.sql(DATABASE, "ALTER ROLE orders PASSWORD 'second'").unwrap();
    bao.run(&["kv", "put", "secret/databases/orders", "password=second"]);
    let said = ask();
    assert!(said.starts_with("orders\n"), "{said}");
    // The vault's own token ends before its time: the gateway logs in again.
    bao.run(&["token", "revoke", "-mode=path", "auth/approle"]);
    sleep(Duration::from_millis(2100));
    let said = ask();
    assert!(said.starts_with("orders\n"), "{said}");
    // What is gone is not used for longer than told.
    bao.run(&["kv", "metadata", "delete", "secret/databases/orders"]);
    sleep(Duration::from_millis(2100));
    let said = ask();
    assert!(said.contains("cannot get its credential"), "{said}");
    assert!(gateway.log().contains("the vault has no secret/databases/orders"), "{}", gateway.log());
    assert!(!gateway.log().contains(&bao.secret));
}

// ---------------------------------------------------------------------- another master key

#[test]
fn the_master_key_is_replaced_while_sessions_go_on_and_the_old_one_opens_nothing() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let ask = |sql: &str| rig.through().said(Command::new("psql").args(["-XAtc", sql]));
    assert!(ask("SELECT 1").starts_with("1\n"));
    let key = rig.gateway.data().join("master.key");
    let old = fs::read_to_string(&key).unwrap();
    let mut long = rig
        .through()
        .command("psql")
        .args(["-XAtc", "SELECT pg_sleep(3)", "-c", "SELECT 7"])
        .spawn()
        .unwrap();
    for _ in 0..2 {
        text(rig.gateway.command(&["keys", "rotate", "-c"]).arg(rig.gateway.config())).unwrap();
        assert!(ask("SELECT 1").starts_with("1\n"));
        // What is sealed and opened meanwhile.
        let target = Target::new(DATABASE, rig.server.port(), DATABASE);
        rig.gateway.apply(&[target], &[("test", ALLOW_ALL)]).unwrap();
        rig.gateway.token("later").unwrap();
    }
    assert!(long.wait().unwrap().success());
    let new = fs::read_to_string(&key).unwrap();
    assert!(new != old && new.lines().count() == 1);
    let mut rig = rig;
    rig.gateway.restart().unwrap();
    assert!(rig.through().said(Command::new("psql").args(["-XAtc", "SELECT 1"])).starts_with("1\n"));
    let journal = fs::read_to_string(rig.gateway.journal().join("journal-000001.jsonl")).unwrap();
    assert_eq!(journal.matches("master key replaced").count(), 2, "{journal}");
    rig.gateway.end();
    fs::write(&key, &old).unwrap();
    let refused = rig.gateway.command(&["init", "-c"]).arg(rig.gateway.config()).output().unwrap();
    assert!(!refused.status.success() && said(&refused).contains("master key"), "{}", said(&refused));
    // As a crash between the two steps leaves it: both keys are there.
    fs::write(&key, format!("{old}{new}")).unwrap();
    rig.gateway.restart().unwrap();
    assert!(rig.through().said(Command::new("psql").args(["-XAtc", "SELECT 1"])).starts_with("1\n"));
}

// ---------------------------------------------------------------------- a backup

#[test]
fn a_backup_of_a_gateway_that_serves_comes_back_in_an_empty_place() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let place = Scratch::new("backup").unwrap();
    let file = place.join("durward.backup");
    let mut busy = rig
        .through()
        .command("psql")
        .args(["-Xqc", "SELECT count(*) FROM generate_series(1, 200000)", "-c", "SELECT pg_sleep(2)"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut command = rig.gateway.command(&["backup"]);
    let made = said(&command.arg(&file).arg("-c").arg(rig.gateway.config()).output().unwrap());
    let recovery = word(&made, "dwk_");
    // A second one under the same key, which is not shown again.
    let mut command = rig.gateway.command(&["backup"]);
    let again = said(&command.arg(place.join("again")).arg("-c").arg(rig.gateway.config()).output().unwrap());
    assert!(!again.contains("dwk_") && again.contains("holds the store"), "{again}");
    assert!(busy.wait().unwrap().success());
    let (token, secret) = (rig.through().password, rig.gateway.secret().to_owned());

    let (port, admin) = (free_port().unwrap(), free_port().unwrap());
    let config = place.join("durward.toml");
    fs::write(
        &config,
        format!("data = \"new\"\n[postgres]\nlisten = \"127.0.0.1:{port}\"\n[console]\nlisten = \"127.0.0.1:{admin}\"\n"),
    )
    .unwrap();
    let restore = |file: &Path, key: &str| {
        let mut command = Command::new(binary());
        command.arg("restore").arg(file).arg("-c").arg(&config).env("DURWARD_RECOVERY_KEY", key);
        command.output().unwrap()
    };
    // Another key, and half of a file, leave nothing behind.
    let whole = fs::read(&file).unwrap();
    fs::write(place.join("half"), &whole[..whole.len() - 100]).unwrap();
    let other = format!("dwk_{}", "0".repeat(64));
    for (file, key) in [(&file, other.as_str()), (&place.join("half"), recovery.as_str())] {
        let refused = restore(file, key);
        assert!(!refused.status.success() && said(&refused).contains("cut off"), "{}", said(&refused));
        assert_eq!(fs::read_dir(place.join("new")).unwrap().count(), 0);
    }
    let restored = restore(&file, &recovery);
    assert!(restored.status.success(), "{}", said(&restored));
    assert!(
        said(&restored).contains("1 tokens") && said(&restored).contains("journal verifies"),
        "{}",
        said(&restored)
    );

    let mut serve = Command::new(binary());
    serve.arg("serve").arg("-c").arg(&config).current_dir(place.path());
    let mut running = Running::start(&mut serve, &place.join("log"), Stop::Terminate).unwrap();
    running.wait_for_port(admin).unwrap();
    running.wait_for_port(port).unwrap();
    let durward = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).env("DURWARD_GATEWAY", format!("http://127.0.0.1:{admin}"));
        text(command.env("DURWARD_ADMIN_SECRET", &secret)).unwrap()
    };
    let refused = who(port, &token, DATABASE);
    assert!(refused.contains("the token is not valid"), "what was issued before works no more: {refused}");
    let fresh = word(&durward(&["token", "issue", "agent:fresh"]), "dwt_");
    let opened = who(port, &fresh, DATABASE);
    assert!(opened.starts_with("postgres\n"), "{opened}");
    running.end();
    let data = place.join("new").display().to_string();
    assert!(durward(&["audit", "verify", "--data", &data]).contains("none was changed"));
    let journal = fs::read_to_string(place.join("new/journal/journal-000001.jsonl")).unwrap();
    assert!(journal.contains("\"restored\"") && journal.contains("agent:fresh"), "{journal}");
}
