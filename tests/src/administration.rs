//! What administrators do, over a real server: policies explained and tested by its catalogue, approvers and their
//! quorum, a configuration that is read again, and what is forgotten.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::Scratch;
use testkit::certificates::Certificates;
use testkit::durward::Target;

use crate::rig::{ALLOW_ALL, DATABASE, Rig, said, server};

/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(30);

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

#[track_caller]
fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(50));
    }
}

/// A statement that is sent and waits.
fn send(rig: &Rig, token: &str, statement: &str) -> Child {
    let mut psql = rig.through().command("psql");
    psql.env("PGPASSWORD", token).args(["-XAtc", statement]);
    psql.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Who answers: each approver with their secret, the administrator without one.
struct People<'a> {
    rig: &'a Rig,
    secrets: Vec<(&'static str, String)>,
}

impl People<'_> {
    fn add(&mut self, name: &'static str, groups: &str) {
        let output =
            self.rig.gateway.command(&["approver", "add", name, "--groups", groups]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let secret = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        assert!(secret.starts_with("dwp_"), "{secret}");
        self.secrets.push((name, secret));
    }

    fn run(&self, name: &str, secret_of: &str, arguments: &[&str]) -> (i32, String) {
        let mut command = self.rig.gateway.command(&[&["requests", "--as", name], arguments].concat());
        command.env_remove("DURWARD_ADMIN_SECRET");
        let secret = self.secrets.iter().rev().find(|(n, _)| *n == secret_of).map(|(_, s)| s.as_str());
        let output = command.env("DURWARD_APPROVER_SECRET", secret.unwrap_or("dwp_0_0")).output().unwrap();
        (output.status.code().unwrap(), said(&output))
    }

    fn answer(&self, name: &str, how: &str, id: &str) -> (i32, String) {
        self.run(name, name, &[how, id])
    }

    fn administrator(&self, how: &str, id: &str) -> (i32, String) {
        let output = self.rig.gateway.command(&["requests", how, id]).output().unwrap();
        (output.status.code().unwrap(), said(&output))
    }
}

#[test]
fn a_quorum_is_met_by_different_people_of_the_right_groups_and_by_nobody_else() {
    let rig = shop();
    let mut people = People { rig: &rig, secrets: Vec::new() };
    for (name, groups) in [("dora", "dba"), ("emil", "dba,owners"), ("sam", "sales"), ("alice", "dba")] {
        people.add(name, groups);
    }
    let twice = rig.gateway.command(&["approver", "add", "Dora", "--group", "dba"]).output().unwrap();
    assert!(!twice.status.success() && said(&twice).contains("already"), "{}", said(&twice));
    for name in ["administrator", "a b", "", "agent:x"] {
        let refused = rig.gateway.command(&["approver", "add", name, "--group", "dba"]).output().unwrap();
        assert!(!refused.status.success(), "{name}");
    }

    let issued =
        rig.gateway.command(&["token", "issue", "agent:bot", "--for", "user:alice"]).output().unwrap();
    let token = String::from_utf8(issued.stdout).unwrap().trim().to_owned();
    let waiting = |statement: &str| {
        let child = send(&rig, &token, statement);
        (child, eventually("it is held", || rig.gateway.waiting_request().unwrap()))
    };
    let total = || rig.server.sql(DATABASE, "SELECT total FROM shop WHERE id = 1").unwrap().trim().to_owned();

    let (child, id) = waiting("UPDATE shop SET total = 100 WHERE id = 1");
    let (code, shown) = people.run("dora", "dora", &["show", &id]);
    assert!(code == 0 && shown.contains("for 2 of dba") && shown.contains("UPDATE shop"), "{shown}");
    for (name, secret_of, code, words) in [
        // Of another group: neither sees nor answers it.
        ("sam", "sam", 5, "there is no request"),
        // For whom it is done.
        ("alice", "alice", 1, "nobody approves"),
        // With somebody else's secret, and with none that is right.
        ("emil", "dora", 4, "dora's and not emil's"),
        ("nobody", "nobody", 4, "neither the administrator's"),
    ] {
        let how = if name == "sam" { "show" } else { "approve" };
        let (got, answer) = people.run(name, secret_of, &[how, &id]);
        assert!(got == code && answer.contains(words), "{name}: {got} {answer}");
    }
    assert_eq!(people.run("sam", "sam", &["approve", &id]).0, 1);
    for _ in 0..2 {
        let (code, answer) = people.answer("dora", "approve", &id);
        assert!(code == 0 && answer.contains("waits for one more of dba"), "{answer}");
    }
    assert_eq!(total(), "5", "one person is not two");
    let (_, answer) = people.answer("emil", "approve", &id);
    assert!(answer.contains("approved"), "{answer}");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(total(), "100");

    // The administrator is one person as well.
    let (child, id) = waiting("UPDATE shop SET total = 200 WHERE id = 1");
    assert!(people.administrator("approve", &id).1.contains("one more of dba"));
    assert!(people.administrator("approve", &id).1.contains("one more of dba"));
    assert_eq!(total(), "100");
    let (_, answer) = people.answer("dora", "approve", &id);
    assert!(answer.contains("approved"), "{answer}");
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(total(), "200");

    // One no is the end, and is told.
    let (child, id) = waiting("UPDATE shop SET total = 300 WHERE id = 1");
    people.answer("dora", "approve", &id);
    assert_eq!(people.run("emil", "emil", &["deny", &id, "--say", "not on Fridays"]).0, 0);
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success() && said(&output).contains("not on Fridays"), "{}", said(&output));
    assert_eq!(total(), "200");

    // Whoever is removed has not voted.
    let (child, id) = waiting("UPDATE shop SET total = 400 WHERE id = 1");
    people.answer("dora", "approve", &id);
    assert!(rig.gateway.command(&["approver", "remove", "dora"]).output().unwrap().status.success());
    assert_eq!(people.answer("dora", "approve", &id).0, 4, "the secret is dead at once");
    let (_, answer) = people.answer("emil", "approve", &id);
    assert!(answer.contains("one more of dba"), "{answer}");
    people.answer("emil", "deny", &id);
    child.wait_with_output().unwrap();
    assert_eq!(total(), "200");

    // An approver is nobody to the rest of the API.
    let emil = &people.secrets.iter().find(|(n, _)| *n == "emil").unwrap().1;
    for arguments in [&["token", "ls"][..], &["approver", "ls"], &["sessions", "ls"], &["targets", "ls"]] {
        let mut command = rig.gateway.command(arguments);
        let output = command.env("DURWARD_ADMIN_SECRET", emil).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {}", said(&output));
    }
    journal_names_who_answered(&rig, &people);
}

#[track_caller]
fn journal_names_who_answered(rig: &Rig, people: &People<'_>) {
    let journal = rig.gateway.records().unwrap();
    for (who, what) in [
        ("user:dora", "request approved"),
        ("user:emil", "request denied"),
        ("user:administrator", "request approved"),
        ("user:administrator", "approver added"),
        ("user:administrator", "approver removed"),
    ] {
        let line = journal.lines().find(|l| l.contains(&format!("\"{who}\"")) && l.contains(what));
        assert!(line.is_some(), "{who} {what}");
    }
    for (name, secret) in &people.secrets {
        assert!(!journal.contains(secret.as_str()), "{name}'s secret is in the journal");
        let store = fs::read(rig.gateway.data().join("state.db")).unwrap();
        assert!(
            !store.windows(secret.len()).any(|w| w == secret.as_bytes()),
            "{name}'s secret is in the store"
        );
    }
}

// ---------------------------------------------------------------------- a configuration that is read again

/// The certificate that a listener shows, as OpenSSL prints its digest.
fn certificate_of(port: u16) -> String {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-starttls", "postgres", "-connect", &format!("127.0.0.1:{port}")]);
    let output = client.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = text.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("no certificate: {text}"));
    text[begin..].split("-----END").next().unwrap().to_owned()
}

#[test]
fn at_sighup_the_configuration_is_read_again_and_what_cannot_change_is_said() {
    let scratch = Scratch::new("hup").unwrap();
    let make = |name: &str| {
        let folder = scratch.join(name);
        fs::create_dir(&folder).unwrap();
        Certificates::make(&folder, &["127.0.0.1"]).unwrap()
    };
    let (old, new) = (make("old"), make("new"));
    let shown = scratch.join("shown.pem");
    let key = scratch.join("shown.key");
    let install = |which: &Certificates| {
        fs::copy(&which.certificate, &shown).unwrap();
        fs::copy(&which.key, &key).unwrap();
    };
    install(&old);
    let tls = format!("tls = {{ certificate = \"{}\", key = \"{}\" }}", shown.display(), key.display());
    let server = server(&[]);
    server.sql(DATABASE, SHOP).unwrap();
    let target = Target::new(DATABASE, server.port(), DATABASE);
    let rig = Rig::of(server, &target, &tls, ALLOW_ALL);
    let first = certificate_of(rig.gateway.port());
    let ask = |sql: &str| rig.through().said(Command::new("psql").args(["-XAtc", sql]));
    assert!(ask("SELECT email FROM shop WHERE id = 1").starts_with("a@example.com"));

    // A new certificate, tags and policies from a folder, and something that cannot change.
    install(&new);
    let files = scratch.join("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("p.cedar"), POLICY).unwrap();
    let toml = format!(
        "[[targets]]\nname = \"{DATABASE}\"\nhost = \"127.0.0.1\"\nport = {}\nuser = \"postgres\"\ndatabase = \"{DATABASE}\"\n\
         sslmode = \"disable\"\n[targets.columns.\"public.shop.email\"]\ntags = [\"pii.email\"]\n",
        rig.server.port()
    );
    fs::write(files.join("t.toml"), toml).unwrap();
    let config = fs::read_to_string(rig.gateway.config()).unwrap();
    let changed = format!(
        "apply = {{ directory = \"{}\", prune = true }}\n{config}\n[log]\nlevel = \"debug\"\n",
        files.display()
    );
    fs::write(rig.gateway.config(), &changed).unwrap();
    rig.gateway.reload().unwrap();
    eventually("it is read again", || rig.gateway.log().contains("read again").then_some(()));
    assert!(
        rig.gateway.log().contains("log has changed in the file and stays as it was"),
        "{}",
        rig.gateway.log()
    );
    assert_ne!(certificate_of(rig.gateway.port()), first, "the old certificate is still shown");
    let masked = ask("SELECT email FROM shop WHERE id = 1");
    assert!(!masked.contains("a@example.com") && masked.contains("ended with exit status: 0"), "{masked}");
    assert!(ask("DELETE FROM shop").contains("it would reach every row"));

    // What is not valid changes nothing: neither the half of it that is, nor what is in force.
    install(&old);
    fs::write(files.join("p.cedar"), "permit (principal").unwrap();
    rig.gateway.reload().unwrap();
    eventually("it is refused", || rig.gateway.log().contains("stays in force").then_some(()));
    assert_ne!(certificate_of(rig.gateway.port()), first, "the half of it was taken");
    assert!(ask("DELETE FROM shop").contains("it would reach every row"));
    fs::write(rig.gateway.config(), changed.replace("[log]", "[lug]")).unwrap();
    rig.gateway.reload().unwrap();
    eventually("an unknown key is told with its place", || {
        rig.gateway.log().contains("unknown field `lug`").then_some(())
    });
    let verified =
        rig.gateway.command(&["audit", "verify", "--data"]).arg(rig.gateway.data()).output().unwrap();
    assert!(verified.status.success(), "{}", said(&verified));
}

#[test]
fn what_is_over_is_forgotten_by_the_store_and_not_by_the_journal() {
    let server = server(&[]);
    server.sql(DATABASE, SHOP).unwrap();
    let target = Target::new(DATABASE, server.port(), DATABASE);
    let mut rig = Rig::of(server, &target, "[retention]\ntokens = \"1s\"\nrequests = \"1s\"", POLICY);
    let short = rig.gateway.command(&["token", "issue", "agent:short", "--life", "1s"]).output().unwrap();
    assert!(short.status.success(), "{}", said(&short));
    let child = send(&rig, &rig.through().password, "DELETE FROM shop WHERE id = 1");
    let id = eventually("it is held", || rig.gateway.waiting_request().unwrap());
    assert!(rig.gateway.command(&["requests", "deny", &id]).output().unwrap().status.success());
    child.wait_with_output().unwrap();
    sleep(Duration::from_millis(2500));
    // It looks when it is started, and each hour.
    rig.gateway.restart().unwrap();
    let list = |rig: &Rig, arguments: &[&str]| said(&rig.gateway.command(arguments).output().unwrap());
    eventually("the token goes", || (!list(&rig, &["token", "ls"]).contains("agent:short")).then_some(()));
    assert!(list(&rig, &["token", "ls"]).contains("agent:tester"), "what is good stays");
    assert!(!list(&rig, &["requests", "ls", "--all"]).contains(&id));
    let journal = fs::read_to_string(rig.gateway.journal().join("journal-000001.jsonl")).unwrap();
    assert!(journal.contains(&id) && journal.contains("agent:short") && journal.contains("forgotten"));
    let data = rig.gateway.data().display().to_string();
    assert!(list(&rig, &["audit", "verify", "--data", &data]).contains("verify: none was changed"));
}
