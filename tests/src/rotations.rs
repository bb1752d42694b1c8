//! A rotation of the master key that is killed, wherever it was: what is sealed opens, and the next one ends it.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::Scratch;
use testkit::durward::Durward;
use testkit::json::Json;
use testkit::postgres::Postgres;
use testkit::process::text;

use crate::custody::{SCRAM, demand_passwords, role, targets, who};
use crate::rig::{ALLOW_ALL, DATABASE, binary, server};

/// So many values are sealed, beside the gateway's own.
const VALUES: usize = 60;
/// At so many moments of each command it is killed.
const MOMENTS: u32 = 4;

/// A gateway that serves, with many passwords in its store.
struct Kept {
    gateway: Durward,
    token: String,
    /// Every key that its file ever held.
    seen: BTreeSet<String>,
}

impl Kept {
    fn start(server: &Postgres, head: &str) -> Self {
        let gateway = Durward::start_sharing(&binary(), head, None).unwrap();
        let names: Vec<String> = (0..VALUES).map(|n| format!("unused{n}")).collect();
        let all = names.iter().map(String::as_str).chain(["sealed"]);
        let all: Vec<_> = all.map(|name| (name, "password = \"sealed and kept\"")).collect();
        let files = Scratch::new("files").unwrap();
        fs::write(files.join("t.toml"), targets(server, &all)).unwrap();
        fs::write(files.join("p.cedar"), ALLOW_ALL).unwrap();
        text(gateway.command(&["apply", "-f"]).arg(files.path())).unwrap();
        let token = gateway.token("bot").unwrap();
        Self { gateway, token, seen: BTreeSet::new() }
    }

    fn keys(&self, word: &str) -> Command {
        let mut command = self.gateway.command(&["keys", word, "-c"]);
        command.arg(self.gateway.config());
        command
    }

    fn file(&self) -> String {
        fs::read_to_string(self.gateway.data().join("master.key")).unwrap()
    }

    /// Kills it where it is by then; it may have ended by itself.
    fn kill(&mut self, word: &str, after: Duration) {
        let mut child = self.keys(word).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
        self.seen.extend(self.file().lines().map(str::to_owned));
    }

    /// Lets one end; every value has to open for that. Where gateways share a store, one that was over is told so.
    #[track_caller]
    fn complete(&mut self, word: &str) {
        let ended = text(&mut self.keys(word));
        let is_over =
            |told: &str| told.contains("`durward keys add` puts") && self.file().lines().count() == 1;
        assert!(
            ended.as_ref().map_or_else(|error| is_over(&error.to_string()), |_| true),
            "{word}: {ended:?}"
        );
        self.seen.extend(self.file().lines().map(str::to_owned));
    }
}

#[track_caller]
fn is_killed_at_many_moments(server: &Postgres, head: &str, words: &[&str]) {
    let mut kept = Kept::start(server, head);
    let begun = Instant::now();
    words.iter().for_each(|word| kept.complete(word));
    let each = begun.elapsed() / u32::try_from(words.len()).unwrap() / MOMENTS;
    for moment in 0..=MOMENTS {
        for word in words {
            kept.kill(word, each * moment);
            kept.complete(word);
        }
        assert_eq!(kept.file().lines().count(), 1, "the old one is out of the file: {moment}");
    }
    // What was left beside the file is gone as well, and the gateway goes on, also when it is started again.
    assert!(!kept.gateway.data().join("master.new").exists());
    assert!(who(kept.gateway.port(), &kept.token, "sealed").starts_with("sealed\n"));
    kept.gateway.restart().unwrap();
    assert!(who(kept.gateway.port(), &kept.token, "sealed").starts_with("sealed\n"));
    // Of all the keys that there were one alone opens anything.
    let in_force = kept.file().trim().to_owned();
    assert!(kept.seen.len() > usize::try_from(MOMENTS).unwrap() && kept.seen.contains(&in_force));
    if words.contains(&"add") {
        kept.complete("add");
    }
    let told = Json::parse(&text(kept.keys("rotate").arg("--json")).unwrap()).unwrap();
    let values = told.at("values").and_then(Json::number).unwrap();
    assert!(values > VALUES as f64, "{values}");
}

#[test]
fn a_rotation_that_is_killed_at_any_moment_is_ended_by_the_next_in_a_file() {
    let server = server(&[SCRAM]);
    role(&server, "sealed", "sealed and kept");
    demand_passwords(&server);
    is_killed_at_many_moments(&server, "", &["rotate"]);
}

#[test]
fn a_rotation_that_is_killed_at_any_moment_is_ended_by_the_next_on_a_server() {
    let server = server(&[SCRAM]);
    role(&server, "sealed", "sealed and kept");
    demand_passwords(&server);
    server.sql(DATABASE, "CREATE DATABASE state").unwrap();
    let store = format!("postgres://postgres@127.0.0.1:{}/state?sslmode=disable", server.port());
    is_killed_at_many_moments(&server, &format!("[store]\nurl = \"{store}\""), &["add", "rotate"]);
}
