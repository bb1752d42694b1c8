//! Plans: several statements that are approved as one ordered unit, and carried out once.

use std::process::{Command, Output, Stdio};

use testkit::durward::Target;
use testkit::json::Json;
use testkit::process::{free_port, text};

use crate::approvals::{eventually, said};
use crate::rig::{self, DATABASE, Rig};

const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("writes") permit (principal, action in Action::"write", resource);
@id("defines") permit (principal, action in Action::"define", resource);
@id("maintains") permit (principal, action in Action::"maintain", resource);
@id("no-drops") @reason("nothing is dropped here") @hint("rename it instead")
forbid (principal, action == Action::"drop", resource);
@id("held") @approvers("admins")
forbid (principal, action in [Action::"write", Action::"define", Action::"maintain"], resource)
when { resource != Table::"sample/public.archive" }
unless { context.approvals.contains("held") };
"#;

pub(crate) struct House {
    pub(crate) rig: Rig,
    agents: u16,
    pub(crate) token: String,
}

#[track_caller]
fn house() -> House {
    House::with(
        "CREATE TABLE shop (id int PRIMARY KEY, total int, email text); INSERT INTO shop VALUES (1, 5, 'a@example.com'); CREATE TABLE archive (id int)",
        POLICY,
    )
}

impl House {
    /// On a target that holds this, under this policy.
    #[track_caller]
    pub(crate) fn with(sql: &str, policy: &str) -> Self {
        let server = rig::server(&[]);
        server.sql(DATABASE, sql).unwrap();
        let agents = free_port().unwrap();
        let target = Target {
            columns: vec![("public.shop.email".to_owned(), "pii.email".to_owned())],
            ..Target::new(DATABASE, server.port(), DATABASE)
        };
        let settings = format!("\n[agents]\nlisten = \"127.0.0.1:{agents}\"");
        let rig = Rig::of(server, &target, &settings, policy);
        let token = rig.gateway.token("tester").unwrap();
        Self { rig, agents, token }
    }

    pub(crate) fn plan(&self, arguments: &[&str], script: &str) -> Output {
        self.plan_as(&self.token, arguments, script)
    }

    fn plan_as(&self, token: &str, arguments: &[&str], script: &str) -> Output {
        let mut command = self.command(token, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    pub(crate) fn command(&self, token: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.rig.gateway.binary());
        command.arg("plan").args(arguments).env("DURWARD_TOKEN", token);
        command.env("DURWARD_AGENTS", format!("http://127.0.0.1:{}", self.agents));
        command
    }

    /// Submits a plan, which waits then.
    #[track_caller]
    pub(crate) fn submit(&self, script: &str) -> String {
        self.submit_with(&[], script)
    }

    #[track_caller]
    pub(crate) fn submit_with(&self, more: &[&str], script: &str) -> String {
        let arguments =
            [&["submit", "-", "--target", DATABASE, "--reason", "a migration", "--json"], more].concat();
        let output = self.plan(&arguments, script);
        assert!(output.status.success(), "{}", said(&output));
        let plan = Json::parse(&String::from_utf8_lossy(&output.stdout)).unwrap();
        plan.at("id").and_then(Json::text).unwrap().to_owned()
    }

    pub(crate) fn approve(&self, id: &str) -> String {
        said(&self.rig.gateway.command(&["requests", "approve", id]).output().unwrap())
    }

    /// As whoever answers sees it.
    pub(crate) fn seen(&self, id: &str) -> String {
        said(&self.rig.gateway.command(&["requests", "show", id]).output().unwrap())
    }

    fn stands(&self, id: &str) -> (String, String) {
        let shown = text(&mut self.rig.gateway.command(&["requests", "show", id, "--json"])).unwrap();
        let shown = Json::parse(&shown).unwrap();
        let of = |name| shown.at(name).and_then(Json::text).unwrap_or_default().to_owned();
        (of("status"), of("outcome"))
    }

    #[track_caller]
    pub(crate) fn ends(&self, id: &str) -> (String, String) {
        eventually("it ends", || {
            let (status, outcome) = self.stands(id);
            let open = ["pending", "approved", "claimed"].contains(&status.as_str());
            (!open).then_some((status, outcome))
        })
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.rig.server.sql(DATABASE, sql).unwrap().trim().to_owned()
    }
}

const MIGRATION: &str = "
-- what the migration makes
CREATE TABLE note (id int PRIMARY KEY, words text NOT NULL);
CREATE INDEX note_words ON note (words);
INSERT INTO note VALUES (1, 'a;b'), (2, 'c');
UPDATE shop SET total = total + 1 WHERE id = 1;
SELECT n.id, n.words, s.email FROM note n, shop s ORDER BY n.id;
";

/// Two who wait for it are two who would run it.
#[test]
fn what_is_approved_as_one_runs_as_one_and_once() {
    let house = house();
    let id = house.submit(MIGRATION);
    let seen = said(&house.rig.gateway.command(&["requests", "show", &id]).output().unwrap());
    for line in [
        "Its reason: a migration",
        "Its 5 statements run in one transaction: all of them stay, or none.",
        "  + the table public.note: id integer primary key, words text not null (1)",
        "  + the index public.note_words: of public.note (words) (2)",
        "Statement 4 of 5:",
        "  - at most 1 rows: with more it fails",
    ] {
        assert!(seen.lines().any(|shown| shown == line), "{line} is not in:\n{seen}");
    }
    assert_eq!(house.sql("SELECT to_regclass('note') IS NULL"), "t", "nothing runs before");
    let waiting: Vec<_> = (0..2)
        .map(|_| house.command(&house.token, &["wait", &id]).stdout(Stdio::piped()).spawn().unwrap())
        .collect();
    let other = house.rig.gateway.token("other").unwrap();
    let shown = house.plan_as(&other, &["show", &id], "");
    assert!(said(&shown).contains("there is no plan") && shown.status.code() == Some(5), "{}", said(&shown));

    house.approve(&id);
    let done = ("done".to_owned(), "done: all 5 statements ran in one transaction".to_owned());
    assert_eq!(house.ends(&id), done);
    for one in waiting {
        let output = one.wait_with_output().unwrap();
        assert!(output.status.success() && said(&output).contains("INSERT 0 2"), "{}", said(&output));
    }
    assert_eq!(house.sql("SELECT total FROM shop"), "6", "once");
    let shown = said(&house.plan(&["show", &id], ""));
    assert!(shown.contains("'1' | 'a;b' | ") && !shown.contains("a@example.com"), "{shown}");
    assert!(
        !shown.contains("updates 1 row") && seen.contains("updates 1 row"),
        "what was counted is the approver's: {shown}"
    );
    let again = house.approve(&id);
    assert!(again.contains("is done already"), "{again}");
    assert_eq!(house.sql("SELECT total FROM shop"), "6", "still once");
    let journal = house.rig.gateway.records().unwrap();
    assert!(!journal.contains("a@example.com") && !journal.contains("a;b"));
    for kind in ["\"kind\":\"planned\"", "plan carried out", "plan done"] {
        assert!(journal.contains(kind), "{kind}");
    }
    let gateway = &house.rig.gateway;
    let verified = gateway.command(&["audit", "verify", "--data"]).arg(gateway.data()).output().unwrap();
    assert!(verified.status.success(), "a plan is part of the chain: {}", said(&verified));
    let session = house.rig.gateway.last_session().unwrap();
    let played =
        said(&house.rig.gateway.command(&["sessions", "play", "--speed", "max", &session]).output().unwrap());
    assert!(!played.contains("a@example.com"), "{played}");
}

#[test]
fn whoever_asked_takes_a_plan_back_as_long_as_nothing_of_it_was_sent() {
    let house = house();
    let other = house.rig.gateway.token("other").unwrap();
    let waits = house.submit("UPDATE shop SET total = total + 1; SELECT 1");
    let said_to = |output: Output| (output.status.success(), said(&output));
    let (taken, words) = said_to(house.plan_as(&other, &["withdraw", &waits], ""));
    assert!(!taken && words.contains("there is no plan"), "{words}");
    assert_eq!(house.stands(&waits).0, "pending");
    let (taken, words) = said_to(house.plan(&["withdraw", &waits], ""));
    assert!(taken && words.contains("is withdrawn"), "{words}");
    let late = house.approve(&waits);
    assert!(late.contains("is withdrawn already"), "{late}");
    let (taken, words) = said_to(house.plan(&["withdraw", &waits], ""));
    assert!(!taken && words.contains("is withdrawn already: it cannot be taken back"), "{words}");

    // What is no plan, too: whoever waits for it hears that, and nobody else takes it back.
    let mut psql = house.rig.through().command("psql");
    psql.args(["-Xc", "UPDATE shop SET total = 0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let psql = psql.spawn().unwrap();
    let held = eventually("it waits", || house.rig.gateway.waiting_request().unwrap());
    let take_back = |token: &str| {
        let mut command = house.rig.gateway.command(&["requests", "withdraw", &held]);
        command
            .env("DURWARD_TOKEN", token)
            .env("DURWARD_AGENTS", format!("http://127.0.0.1:{}", house.agents));
        said_to(command.output().unwrap())
    };
    let (taken, words) = take_back(&other);
    assert!(!taken && words.contains("there is no request"), "{words}");
    let (taken, words) = take_back(&house.token);
    assert!(taken && words.contains("is withdrawn"), "{words}");
    let (ran, words) = said_to(psql.wait_with_output().unwrap());
    assert!(!ran, "{words}");
    let (taken, words) = take_back(&house.token);
    assert!(!taken && words.contains("is withdrawn already"), "{words}");

    // One that is approved and that its session has not begun; and one that ran.
    let approved = house.submit_with(&["--in-session"], "UPDATE shop SET total = total + 1; SELECT 1");
    house.approve(&approved);
    let (taken, words) = said_to(house.plan(&["withdraw", &approved], ""));
    assert!(taken && words.contains("is rescinded"), "{words}");
    let ran = house.submit("UPDATE shop SET total = total + 10; SELECT 1");
    house.approve(&ran);
    assert_eq!(house.ends(&ran).0, "done");
    let (taken, words) = said_to(house.plan(&["withdraw", &ran], ""));
    assert!(!taken && words.contains("is done already"), "{words}");
    assert_eq!(house.sql("SELECT total FROM shop"), "15", "what was taken back did not run");
}

/// Policy says yes by itself: nobody is asked, and it is one transaction all the same, on record as a plan.
#[test]
fn a_plan_in_which_nothing_is_held_runs_at_once() {
    let house = house();
    let id = house.submit("SELECT 1; SELECT total FROM shop");
    let done = ("done".to_owned(), "done: all 2 statements ran in one transaction".to_owned());
    assert_eq!(house.ends(&id), done);
    let shown = said(&house.plan(&["show", &id], ""));
    assert!(shown.lines().any(|line| line.trim() == "'5'"), "{shown}");
    let arguments = ["submit", "-", "--target", DATABASE, "--reason", "why", "--in-session"];
    let output = house.plan(&arguments, "SELECT 1; SELECT 2");
    assert!(
        !output.status.success() && said(&output).contains("there is nothing to approve"),
        "{}",
        said(&output)
    );
    // It is held where anything of it is.
    let held = house.submit("SELECT 1; UPDATE shop SET total = 9");
    assert_eq!(house.stands(&held).0, "pending");
}

#[test]
fn one_statement_that_cannot_be_refuses_the_plan_by_its_number() {
    let house = house();
    for (script, words) in [
        (
            "UPDATE shop SET total = 1; DROP TABLE shop; SELECT 1",
            "statement 2: drop on public.shop is not allowed: nothing is dropped here\nrename it instead",
        ),
        (
            "UPDATE shop SET total = 1; UPDATE shop SET no_such = 1",
            "column \"no_such\" of relation \"shop\" does not exist",
        ),
        ("UPDATE shop SET total = 1; UPDATE shop SET", "syntax error"),
        (
            "UPDATE shop SET total = 1; SAVEPOINT s; SELECT 1",
            "statement 2: a plan is one transaction by itself",
        ),
        (
            "UPDATE shop SET total = 1; SET search_path = other; SELECT 1",
            "statement 2: a plan does not change where names",
        ),
        (
            "UPDATE shop SET total = 1; PREPARE p AS SELECT 1",
            "statement 2: a plan has no prepared statements",
        ),
        (
            "UPDATE shop SET total = 1; CREATE ROLE r PASSWORD 'x'",
            "statement 2: a secret does not go into a plan",
        ),
        ("UPDATE shop SET total = 1", "a plan has several statements"),
    ] {
        let output = house.plan(&["submit", "-", "--target", DATABASE, "--reason", "why"], script);
        assert!(!output.status.success() && said(&output).contains(words), "{script}: {}", said(&output));
    }
    let output =
        house.plan_as("dwt_none", &["submit", "-", "--target", DATABASE, "--reason", "why"], MIGRATION);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert_eq!(house.rig.gateway.waiting_request().unwrap(), None);
    // Its honest neighbour, with the words that a file of a migration begins and ends with.
    house.submit(
        "BEGIN; UPDATE shop SET total = 1 WHERE id = 1; UPDATE shop SET total = 2 WHERE id = 1; COMMIT;",
    );
}

#[test]
fn what_fails_takes_all_of_it_back_and_one_by_one_what_ran_is_said() {
    let house = house();
    let id = house.submit("UPDATE shop SET total = 9 WHERE id = 1; INSERT INTO shop VALUES (2, 1); INSERT INTO shop VALUES (1, 1); SELECT 1");
    house.approve(&id);
    let (status, outcome) = house.ends(&id);
    assert_eq!(status, "failed");
    assert_eq!(outcome, "statement 3 of 4 failed: (SQLSTATE 23505); nothing of the plan stayed");
    assert_eq!(house.sql("SELECT id, total FROM shop"), "1|5");

    let id = house.submit(
        "INSERT INTO shop VALUES (2, 1); CREATE INDEX CONCURRENTLY shop_total ON shop (total); INSERT INTO shop VALUES (1, 1); INSERT INTO shop VALUES (3, 1)",
    );
    let seen = said(&house.rig.gateway.command(&["requests", "show", &id]).output().unwrap());
    assert!(
        seen.contains(
            "run one by one: statement 2 is CREATE INDEX CONCURRENTLY, which runs in no transaction"
        ),
        "{seen}"
    );
    house.approve(&id);
    let (status, outcome) = house.ends(&id);
    assert_eq!(status, "failed");
    assert!(
        outcome.starts_with("statement 3 of 4 failed: ")
            && outcome.ends_with("statements 1 to 2 ran and stay"),
        "{outcome}"
    );
    assert_eq!(house.sql("SELECT count(*) FROM shop"), "2");
    assert_eq!(house.sql("SELECT count(*) FROM pg_indexes WHERE indexname = 'shop_total'"), "1");

    // What the server says of it quotes values: whoever ran it hears that, and nobody else.
    let id = house.submit("SELECT 1; SELECT ('secret-' || 'value')::int");
    let (status, outcome) = house.ends(&id);
    let failed = "statement 2 of 2 failed: (SQLSTATE 22P02); nothing of the plan stayed";
    assert_eq!((status.as_str(), outcome.as_str()), ("failed", failed));
    let shown = said(&house.plan(&["show", &id], ""));
    assert!(shown.contains("invalid input syntax for type integer: \"secret-value\""), "{shown}");
    assert!(!house.rig.gateway.records().unwrap().contains("secret-value"));
    let seen = said(&house.rig.gateway.command(&["requests", "show", &id]).output().unwrap());
    assert!(!seen.contains("secret-value"), "{seen}");

    // A ceiling is each statement's own: it was counted when it was asked for.
    let id = house.submit("UPDATE shop SET total = 0 WHERE id < 3; UPDATE shop SET total = 7 WHERE id = 1");
    house.sql("INSERT INTO shop VALUES (-1, 1)");
    house.approve(&id);
    let (status, outcome) = house.ends(&id);
    assert!(
        status == "failed" && outcome.contains("statement 1 of 2 failed") && outcome.contains("ZD006"),
        "{status} {outcome}"
    );
    assert_eq!(house.sql("SELECT count(*) FROM shop WHERE total IN (0, 7)"), "0");
}

#[test]
fn what_was_altered_since_is_asked_for_anew() {
    let house = house();
    let script = "CREATE TABLE note (id int); UPDATE shop SET total = 0 WHERE id = 1";
    for (altering, what) in [
        ("ALTER TABLE shop ADD COLUMN more int", "the table public.shop was altered"),
        ("CREATE TABLE note (id int, secret text)", "the table public.note was altered"),
    ] {
        let id = house.submit(script);
        house.sql(altering);
        house.approve(&id);
        let (status, outcome) = house.ends(&id);
        assert!(status == "superseded" && outcome.contains(what), "{status}: {outcome}");
        assert_eq!(house.sql("SELECT total FROM shop"), "5");
    }
    house.sql("DROP TABLE note");
    let id = house.submit(script);
    house.approve(&id);
    assert_eq!(house.ends(&id).0, "done");
}

#[test]
fn a_plan_is_answered_by_people_alone() {
    let house = house();
    let id = house.submit(MIGRATION);
    let mut approve = house.rig.gateway.command(&["requests", "approve", &id]);
    let as_agent = approve.env("DURWARD_ADMIN_SECRET", &house.token).output().unwrap();
    assert_eq!(as_agent.status.code(), Some(4), "{}", said(&as_agent));
    for path in [
        format!("/plans/{id}/answer"),
        format!("/requests/{id}/answer"),
        format!("/api/v1/requests/{id}/answer"),
    ] {
        let bearer = format!("Bearer {}", house.token);
        let answer = testkit::http::post_form(
            house.agents,
            &path,
            &[("approve", "true")],
            &[("Authorization", &bearer)],
        )
        .unwrap();
        assert!(matches!(answer.status, 404 | 405), "{path}: {}", answer.status);
    }
    assert_eq!(house.stands(&id).0, "pending");
    assert!(
        said(&house.rig.gateway.command(&["requests", "deny", &id]).output().unwrap()).contains("denied")
    );
    assert_eq!(house.sql("SELECT to_regclass('note') IS NULL"), "t");
    // Nor does anything of a plan run whose session was ended while it waited, or whose token was revoked.
    let id = house.submit(MIGRATION);
    let ended = said(&house.rig.gateway.command(&["sessions", "ls", "--json"]).output().unwrap());
    assert!(ended.contains("durward plan"), "it is seen while it waits: {ended}");
    let token = house.token.rsplit_once('_').unwrap().0;
    text(&mut house.rig.gateway.command(&["token", "revoke", token])).unwrap();
    house.approve(&id);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(house.stands(&id).0, "approved");
    assert_eq!(house.sql("SELECT to_regclass('note') IS NULL"), "t");
}

#[test]
fn a_crash_in_the_middle_runs_nothing_twice_and_what_stayed_is_said() {
    let mut house = house();
    let script = "UPDATE shop SET total = total + 1 WHERE id = 1; UPDATE shop SET total = total + 1 FROM pg_sleep(30) WHERE id = 1";
    let id = house.submit(script);
    house.approve(&id);
    let runs = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND state = 'active' AND pid <> pg_backend_pid()";
    eventually("it runs", || (house.sql(runs) == "1").then_some(()));
    house.rig.gateway.crash().unwrap();
    let (status, outcome) = house.stands(&id);
    assert!(
        status == "failed" && outcome.contains("had not committed, so that nothing of it stayed"),
        "{status}: {outcome}"
    );
    house.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()");
    assert_eq!(house.sql("SELECT total FROM shop"), "5");

    // At its COMMIT nobody can tell.
    house.sql(
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END'; \
         CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON shop DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()",
    );
    let id = house.submit("UPDATE shop SET total = 8 WHERE id = 1; SELECT 1");
    house.approve(&id);
    let runs = "SELECT count(*) FROM pg_stat_activity WHERE query IN ('COMMIT', 'SET CONSTRAINTS ALL IMMEDIATE') AND state = 'active'";
    eventually("it is about to commit", || (house.sql(runs) == "1").then_some(()));
    house.rig.gateway.crash().unwrap();
    assert_eq!(house.stands(&id).0, "outcome_unknown");
    let shown = said(&house.plan(&["show", &id], ""));
    assert!(shown.contains("outcome_unknown") && shown.contains("UPDATE 1"), "{shown}");
}

/// A number is shown, and is the ceiling, where nothing before it makes another one of it.
#[test]
fn what_is_counted_of_a_statement_is_its_ceiling_unless_those_before_it_change_that() {
    let house = house();
    house.sql(
        "CREATE TABLE lines (id int PRIMARY KEY, shop int REFERENCES shop ON DELETE CASCADE); INSERT INTO lines VALUES (1, 1)",
    );
    let (unknown, here) = ("what statements before it change is not in these numbers", "exact when");
    for (first, second, ceiling, is_unknown) in [
        ("CREATE INDEX ON shop (total)", "UPDATE shop SET total = 6", "at most 1 rows", false),
        ("UPDATE lines SET id = 2", "UPDATE shop SET total = 6", "at most 1 rows", false),
        ("INSERT INTO lines VALUES (2, 1)", "DELETE FROM shop WHERE id = 1", "at most 10000 rows", true),
        ("DELETE FROM shop WHERE id = 1", "UPDATE lines SET id = 3", "at most 10000 rows", true),
        ("INSERT INTO lines VALUES (2, 1)", "INSERT INTO lines VALUES (3, 1)", "at most 1 rows", false),
    ] {
        let id = house.submit(&format!("{first}; {second}"));
        let shown = said(&house.rig.gateway.command(&["requests", "show", &id]).output().unwrap());
        let (_, second) = shown.split_once("Statement 2 of 2").unwrap();
        assert!(second.contains(ceiling), "{shown}");
        assert_eq!(second.contains(unknown), is_unknown, "{shown}");
        assert!(!is_unknown || !second.contains(here), "{shown}");
    }
}

/// Sends statements through a session of the agent's own, each as a message of its own.
fn sends(house: &House, statements: &[&str]) -> String {
    let mut psql = house.rig.through().command("psql");
    psql.args(["-XAt", "-v", "ON_ERROR_STOP=0", "-v", "VERBOSITY=verbose"]);
    for statement in statements {
        psql.args(["-c", statement]);
    }
    said(&psql.output().unwrap())
}

#[test]
fn a_session_of_ones_own_sends_a_plan_in_its_order_and_nothing_else() {
    let house = house();
    let (one, two, three) = (
        "CREATE TABLE note (id int)",
        "INSERT INTO note VALUES (1), (2)",
        "UPDATE shop SET total = total + 1 WHERE id = 1",
    );
    let script = format!("{one}; {two}; {three}");
    let astray = "it is not statement 2 of 3";
    for (case, sent, words) in [
        ("out of its order", &["BEGIN", one, three, "ROLLBACK"][..], astray),
        ("swapped for another", &["BEGIN", one, "INSERT INTO note VALUES (1), (3)", "ROLLBACK"], astray),
        ("another between", &["BEGIN", one, "DELETE FROM shop", "ROLLBACK"], astray),
        ("one that policy allows", &["BEGIN", one, "DELETE FROM archive", "COMMIT"], astray),
        ("half of it", &["BEGIN", one, "COMMIT", "ROLLBACK"], "not all of it has run"),
        ("rolled back", &["BEGIN", one, "ROLLBACK", "SELECT 1"], "ROLLBACK"),
        (
            "back to a savepoint",
            &["BEGIN", "SAVEPOINT a", one, "ROLLBACK TO a", "COMMIT", "ROLLBACK"],
            astray,
        ),
        (
            "stopped, and back to a savepoint",
            &["BEGIN", one, "SAVEPOINT a", three, "ROLLBACK TO a", "COMMIT", "ROLLBACK"],
            "has stopped: nothing of its transaction is committed",
        ),
        (
            "failed, and back to a savepoint",
            &["BEGIN", one, "SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO a", two, "COMMIT", "ROLLBACK"],
            astray,
        ),
        ("named anew", &["BEGIN", one, "SET LOCAL search_path = other", "COMMIT", "ROLLBACK"], astray),
    ] {
        let id = house.submit_with(&["--in-session"], &script);
        house.approve(&id);
        let said = sends(&house, sent);
        assert!(said.contains(words), "{case}: {said}");
        assert_eq!(house.ends(&id).0, "failed", "{case}");
        assert_eq!(house.sql("SELECT total, to_regclass('note') FROM shop"), "5|", "{case}");
    }
    // What could not be all of it uses nothing up.
    let id = house.submit_with(&["--in-session"], &script);
    house.approve(&id);
    for (case, sent, words) in [
        ("in no transaction", &[one][..], "send BEGIN before its first statement"),
        (
            "behind others",
            &["BEGIN", "DELETE FROM archive", one, "COMMIT"],
            "its transaction began with others",
        ),
    ] {
        let said = sends(&house, sent);
        assert!(said.contains(words), "{case}: {said}");
        assert_eq!(house.stands(&id).0, "approved", "{case}");
    }
    let said = sends(
        &house,
        &[
            "BEGIN",
            one,
            "SELECT 1",
            "SAVEPOINT a",
            "INSERT INTO note  VALUES (1), (2) -- as it was approved",
            "RELEASE a",
            three,
            "SELECT count(*) FROM note",
            "COMMIT",
        ],
    );
    assert_eq!(house.ends(&id).0, "done", "{said}");
    assert_eq!(house.sql("SELECT total, (SELECT count(*) FROM note) FROM shop"), "6|2", "{said}");
}

/// What policy allows by itself is part of it like all else, and what is committed is all of it.
#[test]
fn statements_that_policy_allows_are_not_left_out_of_a_plan_nor_moved() {
    let house = house();
    let (archive, clear, count) = (
        "INSERT INTO archive SELECT id FROM shop",
        "UPDATE shop SET total = 0",
        "INSERT INTO archive SELECT count(*) FROM shop",
    );
    let script = format!("{archive}; {clear}; {count}");
    let first = "statement 2 of plan";
    for (case, sent, words, status) in [
        ("the first left out", &["BEGIN", clear, "COMMIT"][..], first, "approved"),
        (
            "the last left out",
            &["BEGIN", archive, clear, "COMMIT", "ROLLBACK"],
            "not all of it has run",
            "failed",
        ),
        ("the last first", &["BEGIN", count, archive, clear, "COMMIT"], first, "approved"),
        (
            "the first taken back",
            &["BEGIN", "SAVEPOINT a", archive, "ROLLBACK TO a", clear, "COMMIT"],
            first,
            "approved",
        ),
        (
            "the first again",
            &["BEGIN", archive, clear, archive, "COMMIT"],
            "it is not statement 3 of 3",
            "failed",
        ),
    ] {
        let id = house.submit_with(&["--in-session"], &script);
        house.approve(&id);
        let said = sends(&house, sent);
        assert!(said.contains(words), "{case}: {said}");
        eventually(case, || (house.stands(&id).0 == status).then_some(()));
        assert_eq!(house.sql("SELECT total, (SELECT count(*) FROM archive) FROM shop"), "5|0", "{case}");
        house.plan(&["withdraw", &id], "");
    }
    // At its COMMIT it is not done before the server has said so.
    house.sql(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END'; \
         CREATE CONSTRAINT TRIGGER no AFTER UPDATE ON shop DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()",
    );
    let all = ["BEGIN", archive, clear, count, "COMMIT"];
    let id = house.submit_with(&["--in-session"], &script);
    house.approve(&id);
    let said = sends(&house, &all);
    let (status, outcome) = house.ends(&id);
    assert!(
        status == "failed" && outcome.ends_with("nothing of the plan stays"),
        "{status} {outcome}: {said}"
    );
    house.sql("DROP TRIGGER no ON shop");
    let id = house.submit_with(&["--in-session"], &script);
    house.approve(&id);
    let said = sends(&house, &all);
    assert_eq!(house.ends(&id).0, "done", "{said}");
    assert_eq!(house.sql("SELECT total, (SELECT count(*) FROM archive) FROM shop"), "0|2", "{said}");
}
