//! Where policy wants it, a plan is tried as a whole in a transaction that is rolled back: whoever approves sees what each statement does
//! behind those before it, and what does something else then is taken back whole.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::approvals::{eventually, said};
use crate::plans::House;
use crate::rig::DATABASE;

const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("most") permit (principal, action in [Action::"write", Action::"define", Action::"call", Action::"maintain", Action::"notify", Action::"probe"], resource);
@id("unseen") forbid (principal, action == Action::"preview", resource == Table::"sample/public.vault");
@id("held") @approvers("admins") @preview("executed")
forbid (principal, action in [Action::"write", Action::"define", Action::"maintain"], resource)
when { resource != Table::"sample/public.free" }
unless { context.approvals.contains("held") };
"#;

const SAMPLE: &str = "CREATE TABLE shop (id int PRIMARY KEY, total int, email text);
    INSERT INTO shop SELECT n, n, 'secret' || n || '@example.com' FROM generate_series(1, 9) n;
    CREATE TABLE lines (id int PRIMARY KEY, shop int REFERENCES shop ON DELETE CASCADE);
    INSERT INTO lines SELECT n, (n + 2) / 3 FROM generate_series(1, 27) n;
    CREATE TABLE vault (id int); CREATE TABLE free (id int); CREATE SEQUENCE counted;
    CREATE TABLE calls (id int);
    CREATE TABLE noted (id int PRIMARY KEY, n int);
    INSERT INTO noted SELECT n, 0 FROM generate_series(1, 9) n;
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.calls VALUES (NEW.id); RETURN NEW; END';
    CREATE TRIGGER noting AFTER UPDATE ON noted FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TABLE later (id int);
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TABLE slow (id int PRIMARY KEY, n int);
    INSERT INTO slow SELECT n, 0 FROM generate_series(1, 9) n;
    CREATE FUNCTION sleeps() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NEW; END';
    CREATE TRIGGER slowly AFTER UPDATE ON slow FOR EACH ROW EXECUTE FUNCTION sleeps();";

const WHOLE: &str =
    "All of them were tried in one transaction that was rolled back, each behind those before it.";

/// All that the sample holds.
const ALL: &str = "SELECT md5(string_agg(x, ' ' ORDER BY x)) || (SELECT count(*) FROM pg_class) || (SELECT count(*) FROM pg_attribute) \
    FROM (SELECT s::text x FROM shop s UNION ALL SELECT l::text FROM lines l UNION ALL SELECT c::text FROM calls c UNION ALL \
    SELECT n::text FROM noted n UNION ALL SELECT f::text FROM free f) x";

#[track_caller]
fn has(seen: &str, line: &str) {
    assert!(seen.lines().any(|shown| shown.trim_start_matches(' ') == line), "{line} is not in:\n{seen}");
}

/// What is shown of each statement.
fn statements(seen: &str) -> Vec<String> {
    seen.split("\nStatement ").skip(1).map(str::to_owned).collect()
}

#[test]
fn each_statement_is_told_of_behind_those_before_it_and_then_does_exactly_that() {
    let house = House::with(SAMPLE, POLICY);
    let script = "CREATE TABLE made (id int PRIMARY KEY, n int);
        ALTER TABLE shop ADD COLUMN rank int;
        UPDATE shop SET rank = 1 WHERE id <= 3;
        INSERT INTO free SELECT id FROM shop WHERE rank = 1;
        DELETE FROM shop WHERE rank = 1 AND id < 3;
        INSERT INTO made SELECT id, 0 FROM shop;
        UPDATE noted SET n = 1 WHERE id <= 4;
        UPDATE shop SET total = 0 WHERE rank = 7;
        SET lock_timeout = '1h';
        INSERT INTO later VALUES (1), (2)";
    let before = house.sql(ALL);
    let id = house.submit(script);
    let seen = house.seen(&id);
    assert_eq!(house.sql(ALL), before, "nothing has happened yet");
    has(&seen, WHOLE);
    let shown = statements(&seen);
    for (number, lines) in [
        (3, &["- updates 3 rows of public.shop", "- at most 3 rows: with more it fails"][..]),
        (4, &["- inserts 3 rows of public.free"]),
        (5, &["- deletes 2 rows of public.shop", "- deletes 6 rows of public.lines, which refer to them"]),
        (6, &["- inserts 7 rows of public.made", "- at most 7 rows: with more it fails"]),
        (
            7,
            &[
                "- updates 4 rows of public.noted",
                "- inserts 4 rows of public.calls, by what it sets in motion",
            ],
        ),
        (8, &["- updates 0 rows of public.shop", "- at most 0 rows: with more it fails"]),
        (
            10,
            &[
                "- inserts 2 rows of public.later",
                "- at the end of the transaction: inserts 2 rows of public.calls, by what it sets in motion",
                "- at most 4 rows: with more it fails",
            ],
        ),
    ] {
        let statement = &shown[number - 1];
        lines.iter().for_each(|line| has(statement, line));
        assert!(statement.contains(", exact when it was tried and rolled back at "), "{statement}");
        assert!(
            !statement.contains("not counted") && !statement.contains("not in these numbers"),
            "{statement}"
        );
    }
    // What was seen is the approver's.
    let asker = said(&house.plan(&["show", &id], ""));
    assert!(!asker.contains("7 rows") && !asker.contains("rolled back"), "{asker}");
    house.approve(&id);
    let (status, outcome) = house.ends(&id);
    assert_eq!(
        (status.as_str(), outcome.as_str()),
        ("done", "done: all 10 statements ran in one transaction")
    );
    assert_eq!(house.sql("SELECT count(*) FROM made"), "7");
    assert_eq!(house.sql("SELECT count(*) FROM calls"), "6");
}

#[test]
fn what_does_something_else_than_when_it_was_tried_is_taken_back_whole() {
    let house = House::with(SAMPLE, POLICY);
    for (script, meanwhile, failed) in [
        (
            "INSERT INTO noted VALUES (10, 0); DELETE FROM shop WHERE id <= 2",
            "DELETE FROM lines WHERE id = 1",
            "statement 2 of 2 failed: (SQLSTATE ZD008); nothing of the plan stayed",
        ),
        (
            "INSERT INTO noted VALUES (10, 0); DELETE FROM shop WHERE id <= 2",
            "INSERT INTO lines VALUES (40, 1), (41, 1)",
            "statement 2 of 2 failed: (SQLSTATE ZD006); nothing of the plan stayed",
        ),
        // What those before it make is compared, too.
        (
            "CREATE TABLE made (id int); INSERT INTO made SELECT id FROM noted",
            "DELETE FROM noted WHERE id = 9",
            "statement 2 of 2 failed: (SQLSTATE ZD008); nothing of the plan stayed",
        ),
        // And what waits for the end of the transaction.
        (
            "UPDATE noted SET n = 1 WHERE id = 1; INSERT INTO later VALUES (1)",
            "ALTER TABLE later DISABLE TRIGGER late",
            "",
        ),
    ] {
        let id = house.submit(script);
        has(&house.seen(&id), WHOLE);
        house.sql(meanwhile);
        let before = house.sql(ALL);
        house.approve(&id);
        let (status, outcome) = house.ends(&id);
        if failed.is_empty() {
            // An altered table is another plan, whatever was seen.
            assert_eq!(status, "superseded", "{outcome}");
        } else {
            assert_eq!((status.as_str(), outcome.as_str()), ("failed", failed), "{script}");
        }
        assert_eq!(house.sql(ALL), before, "{script}");
    }
    // In a session of one's own as well.
    let id = house.submit_with(
        &["--in-session"],
        "INSERT INTO noted VALUES (10, 0); UPDATE noted SET n = 2 WHERE n = 0",
    );
    has(&house.seen(&id), "- updates 9 rows of public.noted");
    house.approve(&id);
    house.sql("DELETE FROM noted WHERE id = 8");
    let mut psql = house.rig.through().command("psql");
    psql.args(["-X", "-c", "BEGIN", "-c", "INSERT INTO noted VALUES (10, 0)"]);
    psql.args(["-c", "UPDATE noted SET n = 2 WHERE n = 0", "-c", "COMMIT"]);
    let output = said(&psql.output().unwrap());
    assert_eq!(house.ends(&id).0, "failed", "{output}");
    assert_eq!(house.sql("SELECT count(*) FROM noted WHERE n = 2 OR id = 10"), "0", "{output}");
}

#[test]
fn a_statement_that_fails_is_named_and_one_that_cannot_be_tried_leaves_all_of_them_counted() {
    let house = House::with(SAMPLE, POLICY);
    let before = house.sql(ALL);
    let id = house.submit(
        "UPDATE noted SET n = 1 WHERE id = 1; INSERT INTO shop VALUES (1, 1, 'a@example.com'); UPDATE noted SET n = 2",
    );
    let seen = house.seen(&id);
    has(
        &seen,
        "When it was tried and rolled back, statement 2 of 3 fails, with SQLSTATE 23505: as it is, nothing of it would stay.",
    );
    let shown = statements(&seen);
    has(&shown[0], "- updates 1 row of public.noted");
    has(&shown[2], "- it was not tried: statement 2 of 3 fails, with SQLSTATE 23505");
    // That there is such a row is not theirs to know who ask.
    let asker = said(&house.plan(&["show", &id, "--json"], ""));
    assert!(!asker.contains("23505") && !asker.contains("tried"), "{asker}");
    house.plan(&["withdraw", &id], "");

    for (script, why) in [
        (
            "UPDATE calls SET id = 3; SELECT setval('counted', 7)",
            "statement 2: it sets a sequence, which cannot be taken back",
        ),
        (
            "UPDATE calls SET id = 3; ANALYZE noted",
            "statement 2: it takes locks that keep others from their work",
        ),
        (
            "UPDATE calls SET id = 3; INSERT INTO vault VALUES (1)",
            "statement 2: policy does not let it be looked at beforehand",
        ),
        (
            "UPDATE calls SET id = 3; CREATE INDEX CONCURRENTLY ON noted (n)",
            "statement 2 is CREATE INDEX CONCURRENTLY, which runs in no transaction",
        ),
    ] {
        let id = house.submit(script);
        let seen = house.seen(&id);
        has(
            &seen,
            &format!(
                "It was not tried, as policy wants: {why}. Each of its statements was counted by itself."
            ),
        );
        let shown = statements(&seen);
        has(&shown[0], "- updates 0 rows of public.calls");
        assert!(shown[0].contains("exact when it was counted at "), "{seen}");
        house.plan(&["withdraw", &id], "");
    }
    // Several in one message are tried as they are sent.
    let mut psql = house.rig.through().command("psql");
    psql.args(["-Xc", "INSERT INTO calls VALUES (1), (2), (3); UPDATE calls SET id = 7 WHERE id < 3"]);
    let psql = psql.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = eventually("it waits", || house.rig.gateway.waiting_request().unwrap());
    let seen = house.seen(&id);
    let shown = statements(&seen);
    has(&shown[1], "- updates 2 rows of public.calls");
    assert_eq!(house.sql(ALL), before, "nothing of all that is left");
    house.approve(&id);
    let output = said(&psql.wait_with_output().unwrap());
    assert!(output.contains("UPDATE 2"), "{output}\n{seen}");
}

#[test]
fn others_do_not_wait_for_a_plan_that_is_tried_and_a_gateway_that_dies_leaves_no_lock() {
    let mut house = House::with(SAMPLE, POLICY);
    let locks = "SELECT count(*) FROM pg_locks WHERE relation = 'slow'::regclass";
    let submit = |house: &House| {
        let arguments = ["submit", "-", "--target", DATABASE, "--reason", "why"];
        let mut command = house.command(&house.token, &arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let script = b"ALTER TABLE slow ADD COLUMN k int; UPDATE slow SET n = 1 WHERE id < 4";
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), script).unwrap();
        eventually("it is tried", || (house.sql(locks) != "0").then_some(()));
        child
    };
    let child = submit(&house);
    // Even a read waits for what alters its table.
    let begun = Instant::now();
    assert_eq!(house.sql("SELECT sum(n) FROM slow"), "0");
    assert!(begun.elapsed() < Duration::from_millis(2_500), "{:?}", begun.elapsed());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let seen = house.seen(&house.rig.gateway.waiting_request().unwrap().unwrap());
    has(
        &seen,
        "It was not tried, as policy wants: others waited for the rows that it locked, so that it was ended. Each of its statements was counted by itself.",
    );
    let waits = house.rig.gateway.waiting_request().unwrap().unwrap();
    house.plan(&["withdraw", &waits], "");

    let child = submit(&house);
    house.rig.gateway.crash().unwrap();
    child.wait_with_output().unwrap();
    eventually("its locks are gone", || (house.sql(locks) == "0").then_some(()));
    assert_eq!(house.sql("SELECT sum(n), count(*) FROM slow"), "0|9");
}
