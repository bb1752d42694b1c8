//! What administrators do, over a real server: policies explained and tested by its catalogue.

use std::fs;
use std::process::Output;

use testkit::Scratch;
use testkit::durward::Target;

use crate::rig::{DATABASE, Rig, server};

const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("writes") permit (principal, action in Action::"write", resource);
@id("writes-held") @approvers("dba") @quorum("2")
forbid (principal, action in Action::"write", resource) unless { context.approvals.contains("writes-held") };
@id("where") @reason("it would reach every row") @hint("Add a WHERE that names the rows.")
forbid (principal, action in [Action::"update", Action::"delete"], resource) unless { context.statement.has_where };
"#;

/// A shop with a view, a trigger that writes elsewhere, and a tagged column.
const SHOP: &str = "CREATE TABLE shop (id int PRIMARY KEY, email text, total int);
CREATE TABLE log (what text);
CREATE VIEW mails AS SELECT id, email FROM shop;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO log VALUES ('x'); RETURN NULL; END$$;
CREATE TRIGGER noting AFTER DELETE ON shop FOR EACH STATEMENT EXECUTE FUNCTION noted();
INSERT INTO shop VALUES (1, 'a@example.com', 5), (2, 'b@example.com', 7);
CREATE SCHEMA hidden; CREATE TABLE hidden.shop (id int);";

#[track_caller]
fn shop() -> Rig {
    let server = server(&[]);
    server.sql(DATABASE, SHOP).unwrap();
    let columns = vec![("public.shop.email".to_owned(), "pii.email".to_owned())];
    let target = Target { columns, ..Target::new(DATABASE, server.port(), DATABASE) };
    Rig::of(server, &target, "", POLICY)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_statement_is_explained_by_the_targets_own_catalogue_and_changes_nothing() {
    let mut rig = shop();
    let before = rig.server.log().len();
    for (statement, expected) in [
        (
            "delete from shop where id = 1",
            &["delete public.shop (by writes-held)", "hold by writes-held", "2 of dba"][..],
        ),
        // The trigger writes another table, and is a call.
        ("delete from shop where id = 1", &["insert public.log"]),
        ("delete from shop", &["deny by where", "it would reach every row", "Add a WHERE"]),
        (
            "select email from mails",
            &["allow by reads", "public.shop via public.mails", "masked in its result: email (pii.email)"],
        ),
        ("select id from shop where email like 'a%'", &["deny", "probe column public.shop.email"]),
        ("select * from shoop", &["deny", "relation \"shoop\" does not exist"]),
        ("select * form shop", &["deny by no policy", "syntax error", "character"]),
        ("set search_path = hidden; delete from shop where id = 1", &["delete hidden.shop", "hold by"]),
    ] {
        let arguments = ["policy", "explain", "--as", "agent:x", "--target", DATABASE, statement];
        let output = rig.gateway.command(&arguments).output().unwrap();
        let said = said(&output);
        assert!(output.status.success(), "{statement}: {said}");
        for words in expected {
            assert!(said.contains(words), "{statement}: no {words:?} in\n{said}");
        }
    }
    let log = rig.server.log();
    let new = log.get(before..).unwrap_or_default();
    assert!(!new.contains("shoop") && !new.contains("delete from"), "a statement reached the server: {new}");
    assert_eq!(rig.server.sql(DATABASE, "SELECT count(*) FROM shop").unwrap().trim(), "2");
    rig.gateway.still_runs().unwrap();
}

/// A path of names that is the role's own in the server is the one that statements are understood under.
#[test]
fn names_are_resolved_as_in_a_session_that_has_just_begun() {
    let rig = shop();
    rig.server.sql(DATABASE, "ALTER ROLE postgres SET search_path = hidden, public").unwrap();
    let arguments =
        ["policy", "explain", "--json", "--as", "agent:x", "--target", DATABASE, "select id from shop"];
    let said = said(&rig.gateway.command(&arguments).output().unwrap());
    assert!(said.contains("select hidden.shop"), "{said}");
}

#[test]
fn a_data_directory_without_a_gateway_answers_too_and_one_with_says_so() {
    let mut rig = shop();
    let data = rig.gateway.data().display().to_string();
    let question = ["policy", "explain", "--as", "agent:x", "--target", DATABASE, "--data", &data];
    let ask = |rig: &Rig, what: &str| {
        let mut command = rig.gateway.command(&[&question[..], &[what]].concat());
        // Whoever can read the directory needs no secret.
        said(&command.env_remove("DURWARD_ADMIN_SECRET").output().unwrap())
    };
    let running = ask(&rig, "delete from shop");
    assert!(running.contains("a gateway runs on"), "{running}");
    rig.gateway.end();
    let answer = ask(&rig, "delete from shop");
    assert!(answer.contains("deny by where"), "{answer}");
    let effects = ask(&rig, "delete=public.shop");
    assert!(effects.contains("hold by writes-held"), "{effects}");
    let mut nowhere = rig.gateway.command(&[
        "policy",
        "explain",
        "--as",
        "agent:x",
        "--target",
        "t",
        "--data",
        "/nonexistent",
        "commit",
    ]);
    let output = nowhere.output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(!std::path::Path::new("/nonexistent").exists(), "a question makes no data directory");
}

#[test]
fn tests_beside_policies_may_be_statements() {
    let rig = shop();
    let place = Scratch::new("policies").unwrap();
    // Stricter than what is in force: it is these that are tested.
    let stricter = POLICY.replace("@id(\"reads\") permit", "@id(\"no-log\") forbid (principal, action, resource == Table::\"sample/public.log\");\n@id(\"reads\") permit");
    fs::write(place.join("a.cedar"), stricter).unwrap();
    let case = |name: &str, statement: &str, expect: &str, by: &str| {
        format!(
            "[[case]]\nname = \"{name}\"\nprincipal = \"agent:x\"\ntarget = \"{DATABASE}\"\nstatement = \"{statement}\"\n\
             expect = \"{expect}\"\nby = [{by}]\n"
        )
    };
    let right = [
        case("the trigger counts", "delete from shop where id = 1", "deny", "\"no-log\""),
        case("reads", "select id from shop", "allow", "\"reads\""),
    ];
    let run = |cases: &str| {
        fs::write(place.join("a.test.toml"), cases).unwrap();
        let output = rig.gateway.command(&["policy", "test"]).arg(place.path()).output().unwrap();
        (output.status.code(), said(&output))
    };
    let (code, said) = run(&right.concat());
    assert!(code == Some(0) && said.contains("ok     the trigger counts"), "{said}");
    let (code, said) = run(&case("wrong", "delete from shop where id = 1", "hold", "\"writes-held\""));
    assert!(
        code == Some(6) && said.contains("FAILED wrong: expected hold, and it is deny by no-log"),
        "{said}"
    );
    let (code, said) = run(&case("neither", "", "hold", "").replace("statement = \"\"\n", ""));
    assert!(code == Some(2) && said.contains("a statement or effects"), "{said}");
}
