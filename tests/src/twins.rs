//! Non-interference: two databases that differ in tagged values alone are answered alike, whatever is asked of them.

use testkit::Scratch;
use testkit::durward::{Durward, Target};
use testkit::postgres::SUPERUSER;

use crate::rig::{Way, binary, folder, python, server};

const NAMES: [&str; 3] = ["twin_a", "twin_b", "twin_c"];
const TAGGED: [&str; 10] = [
    "people.email",
    "people.salary",
    "people.born",
    "people.notes",
    "people.good",
    "people.score",
    "people.words",
    "people.mood",
    "teams.budget",
    "teams.motto",
];
const READ: &str = r#"
@id("reads") permit (principal, action in [Action::"connect", Action::"read"], resource);
@id("writes") permit (principal, action in Action::"write", resource)
when { resource in Schema::"twin_a/pads" || resource in Schema::"twin_b/pads" || resource in Schema::"twin_c/pads" };
@id("certain") forbid (principal, action in [Action::"reveal", Action::"probe", Action::"unknown"], resource);"#;
/// So many queries, where `DURWARD_TWINS` says nothing; others where `DURWARD_SEED` says another word than `1`.
const COUNT: &str = "1500";

#[test]
fn databases_that_differ_in_tagged_values_alone_cannot_be_told_apart() {
    // Plans follow statistics, and those come when they are gathered.
    let (server, keys) = (server(&["autovacuum=off"]), Scratch::new("twins").unwrap());
    for name in NAMES {
        server.sql("postgres", &format!("CREATE DATABASE {name}")).unwrap();
    }
    let gateway = Durward::start(&binary()).unwrap();
    let program = |more: &[&str]| {
        let mut command = Way::direct(&server).command(python());
        command.arg(folder("programs").join("twins.py")).args(["--targets", &NAMES.join(",")]);
        command.args(["--port", &gateway.port().to_string(), "--token-file"]).arg(keys.join("token"));
        command
            .args(["--superuser", SUPERUSER, "--direct", &format!("127.0.0.1:{}", server.port())])
            .args(more);
        Way::direct(&server).said(&mut command)
    };
    let said = program(&["--setup"]);
    assert!(said.ends_with("ended with exit status: 0\n"), "{said}");
    let columns = TAGGED.map(|column| (format!("public.{column}"), "secret".to_owned()));
    let targets =
        NAMES.map(|name| Target { columns: columns.to_vec(), ..Target::new(name, server.port(), name) });
    gateway.apply(&targets, &[("test", READ)]).unwrap();
    std::fs::write(keys.join("token"), gateway.token("bot").unwrap()).unwrap();
    let count = std::env::var("DURWARD_TWINS").unwrap_or_else(|_| COUNT.to_owned());
    let seed = std::env::var("DURWARD_SEED").unwrap_or_else(|_| "1".to_owned());
    let said = program(&["--count", &count, "--seed", &seed, "--seconds", "3000"]);
    assert!(said.ends_with("ended with exit status: 0\n"), "{said}");
    let masked =
        said.rsplit_once("'masked': ").and_then(|(_, n)| n.split([',', '}']).next()?.parse::<usize>().ok());
    let wanted = count.parse::<usize>().unwrap() / 40;
    assert!(masked.is_some_and(|masked| masked > wanted), "hardly anything was masked: {said}");
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}
