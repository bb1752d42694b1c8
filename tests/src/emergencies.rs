//! Break-glass: a code that was made beforehand opens one session, once, on record and with an alarm, where no issuer and no
//! token is at hand; and nothing more than policy says.

use std::io::{Read, Write};
use std::process::Output;
use std::time::{Duration, Instant};

use testkit::Scratch;
use testkit::durward::{Durward, Target};
use testkit::json::Json;
use testkit::process::text;

use crate::rig::{DATABASE, Rig, Way, binary, said, server};

const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("emergency") permit (principal in Group::"oncall", action in Action::"write", resource) when { context.break_glass };
@id("never") @reason("salaries are nobody's business")
forbid (principal, action, resource == Table::"sample/public.salaries");
"#;

/// What a code's client may run, at most so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway with an alarm that writes into a file.
fn ground() -> (Rig, Scratch) {
    let server = server(&[]);
    server.sql(DATABASE, "CREATE TABLE t (n int); CREATE TABLE salaries (n int)").unwrap();
    let place = Scratch::new("alarm").unwrap();
    let file = place.join("raised").display().to_string();
    let settings = format!("\n[break_glass]\ncommand = [\"sh\", \"-c\", \"cat >> {file}\"]\n");
    let rig = Rig::of(server, &Target::new(DATABASE, 0, DATABASE), &settings, POLICY);
    let target = Target::new(DATABASE, rig.server.port(), DATABASE);
    let other = Target { name: "other".to_owned(), ..target.clone() };
    rig.gateway.apply(&[target, other], &[("test", POLICY)]).unwrap();
    (rig, place)
}

fn code(gateway: &Durward, arguments: &[&str]) -> String {
    let fixed =
        ["break-glass", "create", "--for", "alice", "--group", "oncall", "--target", DATABASE, "--json"];
    let said = text(&mut gateway.command(&[&fixed, arguments].concat())).unwrap();
    Json::parse(&said).unwrap().items()[0].at("code").and_then(Json::text).unwrap().to_owned()
}

fn id(code: &str) -> &str {
    code.rsplit_once('_').unwrap().0
}

fn psql(rig: &Rig, password: &str, statement: &str) -> Output {
    let way = Way { port: rig.gateway.port(), password: password.to_owned() };
    way.command("psql").args(["-XqAt", "-c", statement]).output().unwrap()
}

fn metrics(rig: &Rig) -> String {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", rig.gateway.admin_port())).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

#[test]
fn a_code_opens_one_session_once_on_record_and_with_an_alarm() {
    let (rig, place) = ground();
    let secret = code(&rig.gateway, &[]);
    let opened = psql(&rig, &secret, "INSERT INTO t VALUES (1)");
    assert!(opened.status.success(), "{}", said(&opened));
    assert_eq!(rig.server.sql(DATABASE, "SELECT count(*) FROM t").unwrap().trim(), "1");

    let again = psql(&rig, &secret, "SELECT 1");
    assert!(!again.status.success() && said(&again).contains("the token is not valid"), "{}", said(&again));

    // Its record stands before that of the session, and nowhere is the code itself.
    let journal = rig.gateway.records().unwrap();
    let at = |words: &str| journal.find(words).unwrap_or_else(|| panic!("no {words} in {journal}"));
    assert!(at("\"break_glass\"") < at("\"opened\"") && at("\"opened\"") < at("\"allowed\""));
    let begun = Instant::now();
    let raised = loop {
        let raised = std::fs::read_to_string(place.join("raised")).unwrap_or_default();
        if raised.ends_with('\n') || begun.elapsed() > PATIENCE {
            break raised;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let raised = Json::parse(raised.trim()).unwrap();
    assert_eq!(raised.at("principal").and_then(Json::text), Some("user:alice"));
    assert_eq!(raised.at("code").and_then(Json::text), Some(id(&secret)));
    let log = rig.gateway.log();
    assert!(log.contains("ERROR") && log.contains("BREAK-GLASS"), "{log}");
    let page = metrics(&rig);
    assert!(page.contains("durward_break_glass_used_total 1"), "{page}");
    let listed = text(&mut rig.gateway.command(&["break-glass", "ls"])).unwrap();
    assert!(listed.contains(id(&secret)) && listed.contains("used 20"), "{listed}");

    let rest = [journal, log, listed].concat();
    let state = std::fs::read(rig.gateway.data().join("state.db")).unwrap();
    let state = String::from_utf8_lossy(&state);
    assert!(!rest.contains(&secret) && !state.contains(&secret), "only a verifier is kept");
}

#[test]
fn what_a_code_may_do_is_what_policy_says_and_never_beyond_a_forbid() {
    let (rig, _place) = ground();
    let with = |statement: &str| said(&psql(&rig, &code(&rig.gateway, &[]), statement));
    assert_eq!(with("INSERT INTO t VALUES (1)"), "");
    assert!(with("SELECT * FROM salaries").contains("salaries are nobody's business"));
    // Without a code the same principal and group may not.
    let issue = ["token", "issue", "user:alice", "--group", "oncall"];
    let token = text(&mut rig.gateway.command(&issue)).unwrap();
    assert!(said(&psql(&rig, token.trim(), "INSERT INTO t VALUES (1)")).contains("not allowed"));
}

#[test]
fn a_code_that_is_wrong_revoked_too_old_or_for_elsewhere_opens_nothing() {
    let (rig, place) = ground();
    let good = code(&rig.gateway, &[]);
    let revoked = code(&rig.gateway, &[]);
    text(&mut rig.gateway.command(&["break-glass", "revoke", id(&revoked)])).unwrap();
    let old = code(&rig.gateway, &["--kept", "1s"]);
    std::thread::sleep(Duration::from_millis(1100));
    let wrong = format!("{}_{}", id(&good), "0".repeat(48));
    let unknown = format!("dwb_{}_{}", "0".repeat(12), "0".repeat(48));
    for (what, code) in [("revoked", &revoked), ("too old", &old), ("wrong", &wrong), ("unknown", &unknown)] {
        let output = psql(&rig, code, "SELECT 1");
        assert!(said(&output).contains("the token is not valid"), "{what}: {}", said(&output));
    }
    let way = Way { port: rig.gateway.port(), password: good.clone() };
    let mut elsewhere = way.command("psql");
    let output = elsewhere.env("PGDATABASE", "other").args(["-XqAt", "-c", "SELECT 1"]).output().unwrap();
    assert!(said(&output).contains("for another target; it was not used"), "{}", said(&output));
    assert!(!place.join("raised").exists(), "no alarm for what opened nothing");
    // It still opens what it is for; and it is no key to anything else.
    let admin = rig.gateway.command(&["token", "ls"]).env("DURWARD_ADMIN_SECRET", &good).output().unwrap();
    assert_eq!(admin.status.code(), Some(4), "{}", said(&admin));
    assert!(psql(&rig, &good, "SELECT 1").status.success());
}

#[test]
fn a_session_ends_with_its_time_or_when_its_code_is_revoked() {
    let (rig, _place) = ground();
    for (lifetime, revoke, words) in
        [("2s", false, "the token has expired"), ("30m", true, "the break-glass code was revoked")]
    {
        let secret = code(&rig.gateway, &["--lifetime", lifetime]);
        let way = Way { port: rig.gateway.port(), password: secret.clone() };
        let mut psql = way.command("psql");
        psql.args(["-XqAt", "-c", "SELECT 1", "-c", "SELECT pg_sleep(60)"])
            .stderr(std::process::Stdio::piped());
        let child = psql.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        if revoke {
            while !text(&mut rig.gateway.command(&["sessions", "ls"])).unwrap().contains(id(&secret)) {
                assert!(begun.elapsed() < PATIENCE, "no session");
            }
            // Leave to connect is asked for again, as the emergency that it is.
            let target = Target::new(DATABASE, rig.server.port(), DATABASE);
            let only = POLICY.replace(
                "permit (principal, action == Action::\"connect\", resource)",
                "permit (principal, action == Action::\"connect\", resource) when { context.break_glass }",
            );
            assert_ne!(only, POLICY);
            rig.gateway.apply(&[target], &[("test", &only)]).unwrap();
            assert!(text(&mut rig.gateway.command(&["sessions", "ls"])).unwrap().contains(id(&secret)));
            text(&mut rig.gateway.command(&["break-glass", "revoke", id(&secret)])).unwrap();
        }
        let output = child.wait_with_output().unwrap();
        assert!(said(&output).contains(words), "{}", said(&output));
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    }
}

#[test]
fn codes_are_made_for_people_and_targets_that_are_there() {
    let gateway = Durward::start(&binary()).unwrap();
    for (arguments, words) in [
        (&["--for", "agent:bot", "--target", DATABASE][..], "for a person"),
        (&["--for", "alice", "--target", "nowhere"], "there is no target"),
        (&["--for", "alice", "--target", DATABASE, "--lifetime", "2d"], "24 hours"),
    ] {
        let output = gateway.command(&[&["break-glass", "create"], arguments].concat()).output().unwrap();
        assert!(!output.status.success() && said(&output).contains(words), "{}", said(&output));
    }
}
