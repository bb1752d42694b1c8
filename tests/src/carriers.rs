//! Who is told elsewhere what becomes of requests: everything, signed, in its order, whatever fails between.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Output};

use testkit::Scratch;
use testkit::durward::Target;
use testkit::issuer;
use testkit::json::Json;
use testkit::process::{Running, Stop, free_port};

use crate::approvals::{eventually, said, send};
use crate::rig::{self, DATABASE, Rig};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("writes") permit (principal, action in Action::"write", resource);
@id("held") @approvers("admins") @reason("writes are looked at")
forbid (principal, action in [Action::"insert", Action::"update"], resource) unless { context.approvals.contains("held") };
@id("brief") @approvers("admins") @expires("2s") @carry("values")
forbid (principal, action == Action::"delete", resource) unless { context.approvals.contains("brief") };
"#;

/// Somebody who takes messages.
struct Receiver {
    running: Running,
    scratch: Scratch,
    port: u16,
}

impl Receiver {
    fn start(port: u16) -> Self {
        let scratch = Scratch::new("webhook").unwrap();
        let mut command = Command::new(issuer::node(&rig::npm()));
        command.arg(rig::folder("programs").join("webhook.mjs")).current_dir(scratch.path());
        command.env("WEBHOOK_NPM", rig::npm()).env("WEBHOOK_PORT", port.to_string());
        command.env("WEBHOOK_SECRET", SECRET).env("WEBHOOK_REFUSE", scratch.join("refuse"));
        let mut running = Running::start(&mut command, &scratch.join("log"), Stop::Terminate).unwrap();
        running.wait_for_port(port).unwrap();
        Self { running, scratch, port }
    }

    /// With which status everything is answered from now on; as usual where none is given.
    fn refuse(&self, status: Option<u16>) {
        let file = self.scratch.join("refuse");
        match status {
            Some(status) => std::fs::write(file, status.to_string()).unwrap(),
            None => std::fs::remove_file(file).unwrap(),
        }
    }

    /// What has come, each right: id, whether it was taken, message.
    #[track_caller]
    fn all(&self) -> Vec<(String, bool, Json)> {
        let printed = self.running.printed();
        assert!(!printed.contains("WRONG"), "{printed}");
        let of = |line: &str| {
            let line = Json::parse(line).unwrap();
            let id = line.at("id").and_then(Json::text).unwrap().to_owned();
            let taken = line.at("status").and_then(Json::number) == Some(202.0);
            (id, taken, line.at("message").unwrap().clone())
        };
        printed.lines().filter(|line| line.starts_with('{')).map(of).collect()
    }

    fn taken(&self) -> Vec<String> {
        let taken = self.all().into_iter().filter(|(_, taken, _)| *taken);
        taken.map(|(id, ..)| id).collect()
    }
}

fn approve(rig: &Rig, waiting: Child) -> (String, Output) {
    let id = eventually("it is held", || rig.gateway.waiting_request().unwrap());
    let answered = rig.gateway.command(&["requests", "approve", &id, "--say", "x-words"]).output().unwrap();
    assert!(answered.status.success(), "{}", said(&answered));
    (id, waiting.wait_with_output().unwrap())
}

fn steps(id: &str) -> Vec<String> {
    ["pending", "approved", "claimed", "done"].iter().map(|word| format!("{id}.{word}")).collect()
}

#[test]
fn everything_is_told_signed_and_in_order_whoever_fails_meanwhile() {
    let place = Scratch::new("hooks").unwrap();
    let (secret, port) = (place.join("secret"), free_port().unwrap());
    std::fs::write(&secret, SECRET).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let settings = format!(
        "[webhooks.ops]\nurl = \"http://127.0.0.1:{port}/hook\"\nsecret = {{ file = \"{}\" }}\n",
        secret.display()
    );
    let server = rig::server(&[]);
    server.sql(DATABASE, "CREATE TABLE shop (id int, note text); INSERT INTO shop VALUES (1, '')").unwrap();
    let target = Target::new(DATABASE, server.port(), DATABASE);
    let mut rig = Rig::of(server, &target, &settings, POLICY);

    let receiver = Receiver::start(port);
    // Twice nobody takes it; the same message comes again.
    receiver.refuse(Some(503));
    let waiting = send(&rig, "UPDATE shop SET note = 'x-secret' WHERE id = 1");
    eventually("it was tried", || (receiver.all().len() >= 2).then_some(()));
    receiver.refuse(None);
    let (first, output) = approve(&rig, waiting);
    assert!(output.status.success(), "{}", said(&output));
    eventually("all is told", || (receiver.taken() == steps(&first)).then_some(()));
    for (id, _, message) in receiver.all() {
        let text = |path: &[&str]| {
            path.iter()
                .try_fold(&message, |json, name| json.at(name))
                .and_then(Json::text)
                .unwrap()
                .to_owned()
        };
        assert_eq!(text(&["type"]), format!("request.{}", id.rsplit_once('.').unwrap().1));
        assert_eq!(text(&["data", "shape"]), "UPDATE shop SET note = ? WHERE id = ? (writes are looked at)");
        assert_eq!(text(&["data", "principal"]), "agent:tester");
        assert_eq!(text(&["data", "target"]), DATABASE);
        assert!(text(&["data", "link"]).ends_with(&format!("/requests/{first}")));
    }
    let printed = receiver.running.printed();
    assert!(!printed.contains("x-secret") && !printed.contains("x-words"), "{printed}");

    // Nobody is there at all: people answer and statements run, and what happened meanwhile is told after a restart.
    let port = receiver.port;
    drop(receiver);
    let (lonely, output) = approve(&rig, send(&rig, "UPDATE shop SET note = 'z' WHERE id = 2"));
    assert!(output.status.success(), "{}", said(&output));
    rig.gateway.restart().unwrap();
    let receiver = Receiver::start(port);
    eventually("it is told after all", || (receiver.taken() == steps(&lonely)).then_some(()));

    // Nobody answers; a rule that says so is told with its values.
    let mut waiting = send(&rig, "DELETE FROM shop WHERE note = 'v-value'");
    let is_over = || receiver.taken().last().is_some_and(|id| id.ends_with(".expired"));
    eventually("it has expired", || is_over().then_some(()));
    let (_, _, last) = receiver.all().pop().unwrap();
    let data = last.at("data").unwrap();
    assert_eq!(data.at("text").and_then(Json::text), Some("DELETE FROM shop WHERE note = $1"));
    assert!(receiver.running.printed().contains("v-value"));
    waiting.wait().unwrap();
    let journal = rig.gateway.records().unwrap();
    for words in ["carrier is down", "carrier is back"] {
        assert!(journal.contains(words), "{words}");
    }
}

/// Slack cannot be reached from here: what stands for it checks what Slack's documents say of the two methods.
#[test]
fn a_channel_has_one_message_of_each_request_that_changes_with_it() {
    const TOKEN: &str = "xoxb-x-token";
    let place = Scratch::new("slack").unwrap();
    let (token, port) = (place.join("token"), free_port().unwrap());
    std::fs::write(&token, TOKEN).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new(issuer::node(&rig::npm()));
    command.arg(rig::folder("programs").join("slack.mjs")).env("SLACK_PORT", port.to_string());
    let mut slack =
        Running::start(command.env("SLACK_TOKEN", TOKEN), &place.join("log"), Stop::Terminate).unwrap();
    slack.wait_for_port(port).unwrap();
    let settings = format!(
        "[slack]\nchannel = \"C0123456789\"\napi = \"http://127.0.0.1:{port}/api\"\ntoken = {{ file = \"{}\" }}\n",
        token.display()
    );
    let server = rig::server(&[]);
    server.sql(DATABASE, "CREATE TABLE shop (id int, note text); INSERT INTO shop VALUES (1, '')").unwrap();
    let target = Target::new(DATABASE, server.port(), DATABASE);
    let rig = Rig::of(server, &target, &settings, POLICY);
    let (id, output) = approve(&rig, send(&rig, "UPDATE shop SET note = 'x-secret' WHERE id = 1"));
    assert!(output.status.success(), "{}", said(&output));
    let calls = || {
        let printed = slack.printed();
        let lines =
            printed.lines().filter(|line| line.starts_with('{')).map(|line| Json::parse(line).unwrap());
        lines.collect::<Vec<_>>()
    };
    let text = |call: &Json, path: &[&str]| {
        let found = path.iter().try_fold(call, |json, name| json.at(name));
        found.and_then(Json::text).unwrap_or_default().to_owned()
    };
    eventually("it is done", || {
        calls().last().is_some_and(|call| text(call, &["body", "text"]).ends_with(", done")).then_some(())
    });
    let calls = calls();
    let methods: Vec<String> = calls.iter().map(|call| text(call, &["method"])).collect();
    assert_eq!(methods, ["chat.postMessage", "chat.update", "chat.update", "chat.update"]);
    let posted = text(&calls[0], &["answer", "ts"]);
    for call in &calls[1..] {
        assert_eq!(text(call, &["body", "ts"]), posted);
    }
    assert!(text(&calls[3], &["body", "text"]).contains("Approved by user:administrator"));
    let printed = slack.printed();
    assert!(
        printed.contains(&format!("durward requests show {id}")) && !printed.contains("\"ok\":false"),
        "{printed}"
    );
    for hidden in ["x-secret", "x-words", TOKEN] {
        assert!(!printed.contains(hidden) && !rig.gateway.log().contains(hidden), "{hidden}");
    }
}
