//! What is kept: secrets stay where they belong, the master key is replaced while statements run, and a backup comes back in an
//! empty place.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::Scratch;
use testkit::certificates::Certificates;
use testkit::durward::{Durward, Target};
use testkit::postgres::Postgres;
use testkit::process::{Running, Stop, free_port, text};

use crate::rig::{ALLOW_ALL, DATABASE, Rig, Way, binary, python, said, server};
use crate::scan::Scan;

/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(30);
/// Version 13 keeps passwords in another way by itself, which a server that demands this one cannot use.
pub(crate) const SCRAM: &str = "password_encryption=scram-sha-256";

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
pub(crate) fn who(port: u16, token: &str, target: &str) -> String {
    let way = Way { port, password: token.to_owned() };
    way.said(Command::new("psql").args(["-XAtc", "SELECT current_user"]).env("PGDATABASE", target))
}

pub(crate) fn targets(server: &Postgres, all: &[(&str, &str)]) -> String {
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
    apply_with(gateway, targets, ALLOW_ALL)
}

pub(crate) fn apply_with(gateway: &Durward, targets: &str, policy: &str) -> Output {
    let files = Scratch::new("files").unwrap();
    fs::write(files.join("t.toml"), targets).unwrap();
    fs::write(files.join("p.cedar"), policy).unwrap();
    gateway.command(&["apply", "-f"]).arg(files.path()).output().unwrap()
}

// ---------------------------------------------------------------------- secrets stay where they belong

/// What of a password's SCRAM verifier is as good as the password, or as the server: `ClientKey` and `ServerKey` (RFC 5802).
const KEYS: &str = r#"
import base64, hashlib, hmac, sys
password, verifier = sys.argv[1:]
iterations, salt = verifier.split("$")[1].split(":")
salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
for name in (b"Client Key", b"Server Key"):
    print(hmac.new(salted, name, "sha256").hexdigest())
"#;

fn unhexed(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.trim().chars().collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

/// Somebody who takes no message: what is sent is tried, and fails.
const SIGNED: &str = "whsec_c2VjcmV0IG9mIGEgd2ViaG9vayBvZiBhIHRlc3Q=";

#[test]
fn no_secret_of_a_run_stands_in_anything_that_it_wrote() {
    let mut scan = Scan::new("sources");
    let bao = Bao::start();
    let server = server(&[SCRAM]);
    let secret = |name: &str| format!("{name} \"pä/ss+ wört\" {}", std::process::id());
    let passwords = [
        ("sealed", "password sealed in the store"),
        ("filed", "password by a file"),
        ("run", "password by a command"),
        ("held", "password by the environment"),
        ("vaulted", "password in a vault"),
        ("wrong", "password that is wrong"),
    ];
    let place = Scratch::new("sources").unwrap();
    for (name, kind) in passwords {
        let password = secret(name);
        role(&server, name, if name == "wrong" { "another" } else { &password });
        fs::write(place.join(name), &password).unwrap();
        scan.secret(kind, password);
    }
    for (name, text, kind) in [
        ("secret_id", bao.secret.as_str(), "vault's AppRole secret"),
        ("hook", SIGNED, "webhook's secret"),
        ("bot", "xoxb-a-token-of-a-test-bot", "token of Slack"),
        ("signing", "8f742231b10e8888abcd99ccceee85a5", "signing secret of Slack"),
        ("keeper", &secret("keeper"), "password of the store"),
    ] {
        fs::write(place.join(name), text).unwrap();
        scan.secret(kind, text);
    }
    bao.run(&["kv", "put", "secret/databases/orders", &format!("password={}", secret("vaulted"))]);
    demand_passwords(&server);
    let verifier =
        server.sql(DATABASE, "SELECT rolpassword FROM pg_authid WHERE rolname = 'sealed'").unwrap();
    let mut keys = Command::new(python());
    let keys = text(keys.args(["-c", KEYS, &secret("sealed"), verifier.trim()])).unwrap();
    let (client, server_s) = keys.trim().split_once('\n').unwrap();
    scan.secret("client's SCRAM key", unhexed(client));
    scan.secret("server's SCRAM key", unhexed(server_s));
    let certificates = Certificates::make(place.path(), &["gate.example.com"]).unwrap();
    scan.secret("private key of TLS", fs::read_to_string(&certificates.key).unwrap().lines().nth(1).unwrap());

    let at = |name: &str| place.join(name).display().to_string();
    let nobody = free_port().unwrap();
    // What the command sees is part of what was written.
    let shows = format!(
        "cat /proc/self/environ /proc/self/cmdline /proc/$$/environ > {}; cat {}",
        at("child"),
        at("run")
    );
    let head = format!(
        "[log]\nlevel = \"trace\"\n[credentials.filed]\nfile = \"{}\"\n[credentials.run]\n\
         command = [\"sh\", \"-c\", \"{shows}\"]\n\
         [credentials.held]\nenv = \"HELD_BY_A_TEST\"\n[credentials.vaulted]\nvault = \"databases/orders\"\n\
         [credentials.wrong]\nfile = \"{}\"\n[credentials.none]\nfile = \"/nonexistent\"\n\
         [vault]\naddress = \"{}\"\nrole_id = \"{}\"\nsecret_id = {{ file = \"{}\" }}\n\
         [webhooks.ops]\nurl = \"http://127.0.0.1:{nobody}/hook\"\nsecret = {{ file = \"{}\" }}\n",
        at("filed"),
        at("wrong"),
        bao.address,
        bao.role,
        at("secret_id"),
        at("hook"),
    );
    let held = [("HELD_BY_A_TEST", secret("held"))];
    let held: Vec<_> = held.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut gateway = Durward::start_holding(&binary(), &head, &held).unwrap();
    let more = format!(
        "{}public_url = \"https://gate.example.com\"\ntls = {{ certificate = \"{}\", key = \"{}\" }}\n\
         [slack]\nchannel = \"C0123456789\"\napi = \"http://127.0.0.1:{nobody}/api\"\ntoken = {{ file = \"{}\" }}\n\
         signing_secret = {{ file = \"{}\" }}\n",
        fs::read_to_string(gateway.config()).unwrap(),
        certificates.certificate.display(),
        certificates.key.display(),
        at("bot"),
        at("signing"),
    );
    fs::write(gateway.config(), more).unwrap();
    gateway.restart().unwrap();
    let all = targets(
        &server,
        &[
            ("sealed", &format!("password_file = \"{}\"", at("sealed"))),
            ("filed", "credential = \"filed\""),
            ("run", "credential = \"run\""),
            ("held", "credential = \"held\""),
            ("vaulted", "credential = \"vaulted\""),
            ("wrong", "credential = \"wrong\""),
            ("none", "credential = \"none\""),
        ],
    );
    let held_policy = format!(
        "{ALLOW_ALL}@id(\"held\") @approvers(\"dba\") forbid (principal, action == Action::\"drop\", resource) \
         unless {{ context.approvals.contains(\"held\") }};\n"
    );
    scan.wrote("apply", said(&apply_with(&gateway, &all, &held_policy)));
    let unknown = targets(&server, &[("sealed", "credential = \"nobody\"")]);
    let refused = said(&apply(&gateway, &unknown));
    assert!(
        refused.contains(
            "t.toml:8:14: target \"sealed\": the gateway's durward.toml has no [credentials.nobody]"
        ),
        "{refused}"
    );
    scan.wrote("apply of what is not there", refused);
    let (token, revoked) = (gateway.token("scanner").unwrap(), gateway.token("revoked").unwrap());
    scan.wrote(
        "revoke",
        said(&gateway.command(&["token", "revoke", revoked.rsplit_once('_').unwrap().0]).output().unwrap()),
    );
    let mut shown = |kind: &str, beginning: &str, arguments: &[&str]| {
        let output = gateway.command(arguments).output().unwrap();
        let secret = word(&said(&output), beginning);
        scan.secret(kind, &secret);
        secret
    };
    shown("approver's secret", "dwp_", &["approver", "add", "dora", "--group", "dba"]);
    let code = ["break-glass", "create", "--for", "alice", "--target", "filed"];
    let code = shown("break-glass code", "dwb_", &code);
    let link =
        said(&gateway.command(&["people", "invite", "ada", "--role", "administrator"]).output().unwrap());
    scan.secret("invitation", link.split('#').nth(1).unwrap().split_whitespace().next().unwrap());
    for name in ["sealed", "filed", "run", "held", "vaulted"] {
        let said = who(gateway.port(), &token, name);
        let log = gateway.log();
        let warned: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
        assert!(said.starts_with(&format!("{name}\n")), "{name}: {said} {warned:?}");
        scan.wrote(name, said);
    }
    for name in ["wrong", "none"] {
        let said = who(gateway.port(), &token, name);
        let why =
            if name == "wrong" { "own login to the target failed" } else { "cannot get its credential" };
        assert!(said.contains(why), "{said}");
        scan.wrote(name, said);
    }
    assert!(who(gateway.port(), &code, "filed").starts_with("filed\n"));
    scan.wrote("a code again", who(gateway.port(), &code, "filed"));
    scan.wrote("a wrong token", who(gateway.port(), &format!("{token}0"), "filed"));
    scan.wrote("a token that is revoked", who(gateway.port(), &revoked, "filed"));
    // A password that a client writes, once in what waits for a person and is withdrawn and once allowed.
    let said_in_statement = secret("written");
    for statement in [
        format!("DROP TABLE IF EXISTS none; ALTER ROLE sealed PASSWORD '{said_in_statement}'"),
        format!("ALTER ROLE sealed PASSWORD '{said_in_statement}'"),
    ] {
        let way = Way { port: gateway.port(), password: token.clone() };
        let mut psql = Command::new("timeout");
        psql.args(["3", "psql", "-XAtc", &statement]).env("PGDATABASE", "sealed");
        let said = way.said(&mut psql);
        assert!(said.contains("ALTER ROLE") || said.contains("dba"), "it is allowed, or waits: {said}");
        scan.wrote("a statement with a password", said.replace(&said_in_statement, "…"));
    }
    scan.secret("secret in a statement", said_in_statement);
    // A store that does not take its password.
    let store = format!(
        "data = \"{}\"\n[store]\nurl = \"postgres://nobody@127.0.0.1:{}/{DATABASE}?sslmode=disable\"\n\
         password = {{ file = \"{}\" }}\n",
        at("elsewhere"),
        server.port(),
        at("keeper")
    );
    fs::write(place.join("store.toml"), store).unwrap();
    let init = gateway.command(&["init", "-c"]).arg(place.join("store.toml")).output().unwrap();
    assert!(!init.status.success(), "{}", said(&init));
    scan.wrote("init of a store that is not there", said(&init));
    let backup = place.join("backup");
    let mut command = gateway.command(&["backup"]);
    let output = said(&command.arg(&backup).arg("-c").arg(gateway.config()).output().unwrap());
    scan.secret("recovery key", word(&output, "dwk_"));
    scan.wrote("backup", fs::read(&backup).unwrap());
    for name in ["child", "elsewhere"] {
        let path = place.join(name);
        if path.is_dir() {
            scan.folder(&path, &["master.key"]);
        } else if path.exists() {
            scan.wrote(name, fs::read(path).unwrap());
        }
    }
    scan.gateway(&mut gateway);
    scan.secret("token", token);
    scan.secret("token that is revoked", revoked);
    scan.secret("administrator's secret", gateway.secret());
    scan.secret("master key", fs::read_to_string(gateway.data().join("master.key")).unwrap().trim());
    // The scan could find something: what is no secret is there.
    for (place, words) in [
        ("log", "cannot be had"),
        ("state.db", "agent:scanner"),
        ("child", "PATH="),
        ("log", "carrier is down"),
    ] {
        assert!(scan.finds(place, words), "no {words} in {place}");
    }
    scan.check();
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
    let rig = Rig::start(&[SCRAM], ALLOW_ALL);
    let place = Scratch::new("backup").unwrap();
    // A target whose password lies sealed in the store alone.
    role(&rig.server, "sealed", "sealed and kept");
    demand_passwords(&rig.server);
    let sealed = targets(&rig.server, &[("sealed", "password = \"sealed and kept\"")]);
    let applied = apply_with(&rig.gateway, &sealed, "");
    assert!(applied.status.success(), "{}", said(&applied));
    assert!(who(rig.gateway.port(), &rig.through().password, "sealed").starts_with("sealed\n"));
    let code = ["break-glass", "create", "--for", "alice", "--target", "sealed"];
    let code = word(&said(&rig.gateway.command(&code).output().unwrap()), "dwb_");
    let approver = rig.gateway.command(&["approver", "add", "dora", "--group", "dba"]).output().unwrap();
    assert!(approver.status.success());
    let invited =
        rig.gateway.command(&["people", "invite", "ada", "--role", "administrator"]).output().unwrap();
    assert!(invited.status.success());
    let file = place.join("durward.backup");
    let mut busy = rig
        .through()
        .command("psql")
        .args(["-Xqc", "SELECT count(*) FROM generate_series(1, 200000)", "-c", "SELECT pg_sleep(2)"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // What somebody else has put where it is made is not written through.
    let theirs = place.join("theirs");
    fs::write(&theirs, "theirs").unwrap();
    std::os::unix::fs::symlink(&theirs, place.join("durward.backup.part")).unwrap();
    let mut command = rig.gateway.command(&["backup"]);
    let made = said(&command.arg(&file).arg("-c").arg(rig.gateway.config()).output().unwrap());
    let recovery = word(&made, "dwk_");
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
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
    println!("{}", said(&restored));
    for told in ["1 tokens", "journal verifies", "1 one-time codes", "1 approvers"] {
        assert!(said(&restored).contains(told), "no {told}: {}", said(&restored));
    }

    let mut serve = Command::new(binary());
    serve.arg("serve").arg("-c").arg(&config).current_dir(place.path());
    let mut running = Running::start(&mut serve, &place.join("log"), Stop::Terminate).unwrap();
    running.wait_for_port(admin).unwrap();
    running.wait_for_port(port).unwrap();
    let durward = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).env("DURWARD_GATEWAY", format!("http://127.0.0.1:{admin}"));
        command
    };
    let tokens = ["token", "ls"];
    let refused = durward(&tokens).env("DURWARD_ADMIN_SECRET", &secret).output().unwrap();
    assert!(!refused.status.success(), "the secret of then opens nothing: {}", said(&refused));
    let secret = word(&said(&restored), "dwa_");
    let durward = |arguments: &[&str]| text(durward(arguments).env("DURWARD_ADMIN_SECRET", &secret)).unwrap();
    let refused = who(port, &token, DATABASE);
    assert!(refused.contains("the token is not valid"), "what was issued before works no more: {refused}");
    let fresh = word(&durward(&["token", "issue", "agent:fresh"]), "dwt_");
    let opened = who(port, &fresh, DATABASE);
    assert!(opened.starts_with("postgres\n"), "{opened}");
    // The restored credential opens its target, and what was made to be used once is of no use any more.
    let opened = who(port, &fresh, "sealed");
    assert!(opened.starts_with("sealed\n"), "{opened}");
    let refused = who(port, &code, "sealed");
    assert!(refused.contains("the token is not valid"), "{refused}");
    running.end();
    let data = place.join("new").display().to_string();
    assert!(durward(&["audit", "verify", "--data", &data]).contains("none was changed"));
    let journal = fs::read_to_string(place.join("new/journal/journal-000001.jsonl")).unwrap();
    assert!(journal.contains("\"restored\"") && journal.contains("agent:fresh"), "{journal}");
}
