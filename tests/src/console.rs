//! People in the console, in a real browser with an authenticator of its own: coming in, approving exactly what is shown, and
//! everything by which somebody else might.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use testkit::Scratch;
use testkit::certificates::Certificates;
use testkit::durward::{Durward, Target};
use testkit::issuer::Issuer;
use testkit::json::Json;
use testkit::process::{free_port, text};

use crate::rig::{self, DATABASE, Rig};

const POLICY: &str = r#"
@id("connect") @record("required") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("writes") permit (principal, action in Action::"write", resource);
@id("makes") permit (principal, action == Action::"create", resource);
@id("writes-held") @approvers("dba,company/dba") @grant("2h") @reason("writes to production are looked at")
forbid (principal, action in [Action::"update", Action::"delete"], resource)
unless { context.approvals.contains("writes-held") };
@id("inserts-held") @approvers("dba") @expires("3s")
forbid (principal, action == Action::"insert", resource) unless { context.approvals.contains("inserts-held") };
"#;

/// What the flows ask for beside.
const FLOWS: &str = r#"
@id("alters") permit (principal, action == Action::"alter", resource);
@id("carts-are-tried") @approvers("dba") @preview("hold")
forbid (principal, action == Action::"update", resource == Table::"sample/public.carts")
unless { context.approvals.contains("carts-are-tried") };
@id("ledger-is-others") @reason("the ledger is approved by its keepers")
forbid (principal, action == Action::"approve", resource == Table::"sample/public.ledger");
"#;

fn issuer(gateway: &Durward) -> Issuer {
    let settings = format!(
        r#"{{"algorithm":"ES256","life":600,
            "clients":{{"console":{{"redirect":"http://localhost:{}/signin/callback"}}}},
            "people":{{"alice":{{"groups":["dba"]}},
                "mallory":{{"groups":["abd\u202e<b>"],"email":"mallory\u202e<b>@example.com"}}}}}}"#,
        gateway.admin_port()
    );
    Issuer::start(&rig::npm(), &settings).unwrap()
}

#[test]
fn people_see_and_approve_in_a_browser_and_nobody_else_does() {
    let policy = format!("{POLICY}{FLOWS}");
    let server = rig::server(&[]);
    let target = Target::new(DATABASE, server.port(), DATABASE);
    // Pages are looked at while statements wait.
    let agents = free_port().unwrap();
    let settings = format!("[limits]\nhold = \"3m\"\n[agents]\nlisten = \"127.0.0.1:{agents}\"\n");
    let mut rig = Rig::of(server, &target, &settings, &policy);
    rig.server
        .sql(
            DATABASE,
            "CREATE TABLE orders (id int PRIMARY KEY, status text, total int); \
             INSERT INTO orders SELECT n, 'new', n FROM generate_series(1, 20) n; \
             CREATE TABLE carts (id int PRIMARY KEY, n int); INSERT INTO carts SELECT n, 0 FROM generate_series(1, 5) n; \
             CREATE TABLE ledger (id int PRIMARY KEY, n int); INSERT INTO ledger VALUES (1, 1)",
        )
        .unwrap();
    let gateway = &rig.gateway;
    let issuer = issuer(gateway);
    let issuers = format!(
        "[[issuers]]\nname = \"company\"\nissuer = \"{}\"\naudience = \"console\"\nalgorithms = [\"ES256\"]\n\
         console_client = \"console\"\n\
         [[issuers.principals]]\nkind = \"user\"\nname = \"email\"\ngroups = [\"groups\"]\n",
        issuer.url()
    );
    let target = Target::new(DATABASE, rig.server.port(), DATABASE);
    gateway.apply_with(&[target], &[("test", &policy)], &[("issuers.toml", &issuers)]).unwrap();
    let mut browser = rig.through().command("node");
    browser.arg(rig::folder("programs").join("console.mjs"));
    browser
        .env("CONSOLE_NPM", rig::npm())
        .env("CONSOLE_ORIGIN", format!("http://localhost:{}", gateway.admin_port()))
        .env("CONSOLE_LINK", invited(gateway, &["ada", "--role", "administrator"]))
        .env("CONSOLE_AUDITOR", invited(gateway, &["eve", "--role", "auditor"]))
        .env("CONSOLE_DBA", invited(gateway, &["dora", "--group", "dba"]))
        .env("CONSOLE_OTHER", other(gateway))
        .env("CONSOLE_AGENTS", format!("http://127.0.0.1:{agents}"))
        .env("CONSOLE_TARGET_PORT", rig.server.port().to_string())
        .env("CONSOLE_TARGET_PASSWORD", "nobody asks for it")
        .env("CONSOLE_ISSUER", issuer.url());
    if let Some(shots) = std::env::var_os("DURWARD_SHOTS") {
        browser.env("CONSOLE_SHOTS", shots);
    }
    let output = browser.output().unwrap();
    let said = format!(
        "{}{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        gateway.log()
    );
    assert!(output.status.success(), "{said}");
    // Whoever runs some of the flows by hand looks at those alone.
    if let Ok(only) = std::env::var("CONSOLE_FLOWS")
        && !only.is_empty()
    {
        if only.starts_with("two people") {
            two_people(&mut rig);
        }
        return;
    }
    // What was done is on record, with who and how.
    let journal = gateway.records().unwrap();
    for (who, what) in [
        ("user:ada", "person came by invitation"),
        ("user:ada", "request approved"),
        ("user:ada", "standing grant given"),
        ("user:ada", "standing grant ended"),
        ("user:ada", "frozen"),
        ("user:ada", "thawed"),
        ("user:ada", "sessions ended"),
        ("user:ada", "recording read"),
        ("user:ada", "journal verified"),
        ("user:ada", "apply"),
        ("user:dora", "request denied"),
        ("user:company/alice@example.com", "request approved"),
    ] {
        let is_it = |line: &str| line.contains(&format!("\"{who}\"")) && line.contains(what);
        assert!(journal.lines().any(is_it), "{who}: {what}");
    }
    assert!(journal.contains("by passkey") && journal.contains("by sign-in at company"), "how");
    two_people(&mut rig);
}

/// The same gateway, where what is changed in the console takes a second person.
fn two_people(rig: &mut Rig) {
    let config = rig.gateway.config();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}second_person = [\"policies\", \"targets\"]\n")).unwrap();
    rig.gateway.restart().unwrap();
    let gateway = &rig.gateway;
    let mut browser = rig.through().command("node");
    browser.arg(rig::folder("programs").join("console.mjs")).env("CONSOLE_TWO", "yes");
    browser.env("CONSOLE_NPM", rig::npm()).env("CONSOLE_FLOWS", "");
    browser.env("CONSOLE_ORIGIN", format!("http://localhost:{}", gateway.admin_port()));
    for (name, who) in [("CONSOLE_LINK", "ruth"), ("CONSOLE_DBA", "olga")] {
        browser.env(name, invited(gateway, &[who, "--role", "administrator"]));
    }
    if let Some(shots) = std::env::var_os("DURWARD_SHOTS") {
        browser.env("CONSOLE_SHOTS", shots);
    }
    let output = browser.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&said), gateway.log());
}

pub(crate) fn invited(gateway: &Durward, arguments: &[&str]) -> String {
    let said = text(&mut gateway.command(&[&["people", "invite", "--json"], arguments].concat())).unwrap();
    Json::parse(&said).unwrap().at("link").and_then(Json::text).unwrap().to_owned()
}

/// The token of an agent whose name and purpose hide and turn what stands beside them.
fn other(gateway: &Durward) -> String {
    let arguments =
        ["token", "issue", "agent:bot\u{202e}<b>", "--purpose", "to \u{202e}<i>tidy</i>\u{200b}", "--json"];
    let said = Json::parse(&text(&mut gateway.command(&arguments)).unwrap()).unwrap();
    said.at("token").and_then(Json::text).unwrap().to_owned()
}

/// By a certificate of its own and a name, as from a phone; and Slack, which calls there.
#[test]
fn by_its_own_certificate_people_come_from_elsewhere_and_answer_in_slack() {
    const SECRET: &str = "8f742231b10e8888abcd99ccceee85a5";
    let scratch = Scratch::new("encrypted").unwrap();
    let (port, certificates) =
        (free_port().unwrap(), Certificates::make(scratch.path(), &["gate.example.com"]).unwrap());
    let server = rig::server(&[]);
    server.sql(DATABASE, "CREATE TABLE shop (id int, note text); INSERT INTO shop VALUES (1, '')").unwrap();
    let target = Target::new(DATABASE, server.port(), DATABASE);
    let policy = POLICY.replace("@reason", "@slack(\"alone\") @reason");
    let mut rig = Rig::of(server, &target, "", &policy);
    let config = rig.gateway.config();
    let text = std::fs::read_to_string(&config).unwrap();
    let secret = |name: &str, text: &str| {
        let file = scratch.join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    };
    let more = format!(
        "public_url = \"https://gate.example.com:{}\"\ntls = {{ certificate = \"{}\", key = \"{}\" }}\n\
         [slack]\nchannel = \"C0123456789\"\napi = \"http://127.0.0.1:{port}/api\"\ntoken = {{ file = \"{}\" }}\n\
         signing_secret = {{ file = \"{}\" }}\n",
        rig.gateway.admin_port(),
        certificates.certificate.display(),
        certificates.key.display(),
        secret("token", "xoxb-x-token").display(),
        secret("signing", SECRET).display(),
    );
    std::fs::write(&config, format!("{text}{more}")).unwrap();
    rig.gateway.restart().unwrap();
    let gateway = &rig.gateway;
    let link = invited(gateway, &["dora", "--group", "dba"]);
    assert!(link.starts_with("https://gate.example.com:"), "{link}");
    let mut browser = rig.through().command("node");
    browser.arg(rig::folder("programs").join("encrypted.mjs")).env("CONSOLE_NPM", rig::npm());
    browser.env("CONSOLE_LINK", link).env("SLACK_PORT", port.to_string()).env("SLACK_SECRET", SECRET);
    browser.env("CONSOLE_CERTIFICATE", &certificates.certificate).env("CONSOLE_CA", &certificates.authority);
    if let Some(shots) = std::env::var_os("DURWARD_SHOTS") {
        browser.env("CONSOLE_SHOTS", shots);
    }
    let output = browser.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&said), gateway.log());
    assert!(!gateway.log().contains(SECRET), "a secret is in the log");
}

/// The first link is shown when the gateway is made, and is good once.
#[test]
fn the_first_person_is_invited_where_the_gateway_is_made() {
    let scratch = testkit::Scratch::new("first").unwrap();
    let mut init = Command::new(rig::binary());
    init.args(["init", "--json", "--data"]).arg(scratch.join("data")).env("USER", "ada");
    let said = Json::parse(&text(&mut init).unwrap()).unwrap();
    let link = said.at("console").and_then(Json::text).unwrap().to_owned();
    assert!(link.starts_with("http://localhost:") && link.contains("/join#"), "{link}");
    assert!(text(Command::new(rig::binary()).args(["init", "--data"]).arg(scratch.join("data"))).is_err());
}
