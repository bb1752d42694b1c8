//! Sessions at random: what the gateway knows of a session's names is what the server knows, or hidden values would show.

use testkit::Scratch;
use testkit::durward::Target;
use testkit::postgres::SUPERUSER;

use crate::rig::{DATABASE, Rig, folder, python, server};

const TAGGED: [(&str, &str); 3] =
    [("m_dark.t.v", "secret"), ("m_dark.u.v", "secret"), ("m_dark.t.n", "hr.salary")];
const HIDDEN: &str = r#"
@id("hidden") forbid (principal, action, resource in Schema::"sample/m_vault");
@id("certain") forbid (principal, action in [Action::"reveal", Action::"probe", Action::"unknown"], resource);
"#;
const READ: &str =
    r#"@id("reads") permit (principal, action in [Action::"connect", Action::"read"], resource);"#;
const PLAY: &str = r#"
@id("plays") permit (principal, action, resource in Schema::"sample/m_play");
@id("keeps") permit (principal, action, resource in Schema::"sample/pg_temp");"#;
const ALL: &str = r#"@id("all") permit (principal, action, resource);"#;

/// So many of each kind, where `DURWARD_SESSIONS` says nothing.
const CASES: &str = "40";
/// Nothing is compared: a session that is refused something goes another way than one at the server.
const HIDDEN_ALONE: [&str; 3] = ["--alone", "--honest", "0"];

/// `policy` is one of those that the program knows.
fn nothing_hidden_shows(policy: &str, permits: &[&str], more: &str) {
    holds(policy, permits, more, &HIDDEN_ALONE, CASES);
}

fn holds(policy: &str, permits: &[&str], more: &str, how: &[&str], cases: &str) {
    let server = server(&[]);
    for made in ["CREATE DATABASE twin", "CREATE ROLE mirror_r SUPERUSER", "CREATE ROLE mirror_n"] {
        server.sql("postgres", made).unwrap();
    }
    let (port, keys) = (server.port(), Scratch::new("sessions").unwrap());
    let target = Target {
        columns: TAGGED.map(|(column, tag)| (column.to_owned(), tag.to_owned())).to_vec(),
        more: more.to_owned(),
        ..Target::new(DATABASE, port, DATABASE)
    };
    let rig = Rig::of(server, &target, "", &(permits.concat() + HIDDEN));
    std::fs::write(keys.join("token"), rig.through().password).unwrap();
    let program = |more: &[&str]| {
        let mut command = rig.direct().command(python());
        command.arg(folder("programs").join("sessions.py"));
        command.args(["--target", DATABASE, "--policy", policy, "--superuser", SUPERUSER]);
        command.args(["--port", &rig.through().port.to_string(), "--token-file"]).arg(keys.join("token"));
        command.args(["--direct", &format!("127.0.0.1:{port}/{DATABASE}"), "--twin"]);
        command.arg(format!("127.0.0.1:{port}/twin")).args(more);
        rig.direct().said(&mut command)
    };
    let said = program(&["--setup"]);
    assert!(said.ends_with("ended with exit status: 0\n"), "{said}");
    // What it made is found when the catalogue is looked at next.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let cases = std::env::var("DURWARD_SESSIONS").unwrap_or_else(|_| cases.to_owned());
    let said = program(&[how, &["--seconds", "900", "--count", &cases]].concat());
    assert!(said.ends_with("ended with exit status: 0\n"), "{said}");
    let log = rig.gateway.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn sessions_that_read_at_random_see_nothing_hidden() {
    nothing_hidden_shows("read", &[READ], "");
}

#[test]
fn sessions_that_define_at_random_where_they_may_see_nothing_hidden() {
    nothing_hidden_shows("play", &[READ, PLAY], "");
}

#[test]
fn sessions_that_do_anything_at_random_see_nothing_hidden() {
    nothing_hidden_shows("all", &[ALL], "");
}

#[test]
fn sessions_at_random_on_a_strict_target_see_nothing_hidden() {
    nothing_hidden_shows("all", &[ALL], "read_only = \"strict\"\nfreshness = \"strict\"");
}

#[test]
fn sessions_at_random_are_answered_as_by_the_server() {
    holds("all", &[ALL], "", &["--honest", "1"], "12");
}
