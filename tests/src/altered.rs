//! An approval is good for the objects that its approver was told of: once one of them is altered, the same statement is asked
//! for anew, and who approved and who waits are told what was altered.

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::durward::Target;
use testkit::json::Json;
use testkit::process::text;

use crate::rig::{DATABASE, Rig, said, server};

const POLICY: &str = r#"
@id("all") permit (principal, action, resource);
@id("held") @approvers("admins")
forbid (principal, action in Action::"write", resource) unless { context.approvals.contains("held") };
"#;

const SAMPLE: &str = "
    CREATE SCHEMA shop;
    CREATE TABLE shop.orders (id int PRIMARY KEY, total int);
    CREATE TABLE shop.other (id int);
    CREATE FUNCTION shop.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER stamp BEFORE UPDATE ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.stamp();
    INSERT INTO shop.orders SELECT n, 0 FROM generate_series(1, 10) n;
    GRANT ALL ON SCHEMA shop TO PUBLIC; GRANT ALL ON shop.orders TO PUBLIC;";

const UPDATE: &str = "UPDATE shop.orders SET total = total + 1 WHERE id < 4";

#[track_caller]
fn rig(hold: &str) -> Rig {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let target = Target::new(DATABASE, server.port(), DATABASE);
    Rig::of(server, &target, &format!("[limits]\nhold = \"{hold}\"\nhold_in_block = \"{hold}\""), POLICY)
}

/// A statement sent with psql.
fn send(rig: &Rig, statement: &str) -> Child {
    send_each(rig, &[statement])
}

/// Several, each in a message of its own.
fn send_each(rig: &Rig, statements: &[&str]) -> Child {
    let mut psql = rig.through().command("psql");
    psql.args(["-XAt", "-v", "VERBOSITY=verbose"]);
    psql.args(statements.iter().flat_map(|statement| ["-c", statement]));
    psql.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The same, and all that it said.
fn sent(rig: &Rig, statement: &str) -> String {
    said(&send(rig, statement).wait_with_output().unwrap())
}

fn run(rig: &Rig, arguments: &[&str]) -> String {
    text(&mut rig.gateway.command(arguments)).unwrap()
}

/// A field of a request.
fn of(rig: &Rig, id: &str, name: &str) -> String {
    let shown = Json::parse(&run(rig, &["requests", "show", id, "--json"])).unwrap();
    shown.at(name).and_then(Json::text).unwrap_or_default().to_owned()
}

#[track_caller]
fn changed(rig: &Rig) -> String {
    rig.server.sql(DATABASE, "SELECT sum(total) FROM shop.orders").unwrap().trim().to_owned()
}

#[test]
fn what_was_approved_and_altered_since_is_asked_for_anew() {
    let rig = rig("1s");
    let mut total = 0;
    for (altered, by_the_gateway, what) in [
        ("ALTER TABLE shop.orders ADD city text", false, "the table shop.orders was altered"),
        ("ALTER TABLE shop.orders DROP city", true, "the table shop.orders was altered"),
        (
            "CREATE OR REPLACE FUNCTION shop.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.total = 5; RETURN NEW; END'",
            false,
            "the function shop.stamp was altered",
        ),
        (
            "CREATE OR REPLACE FUNCTION shop.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            true,
            "the function shop.stamp was altered",
        ),
        ("ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY", false, "the table shop.orders was altered"),
        ("ALTER TABLE shop.orders ADD CHECK (total < 1000)", true, "the table shop.orders was altered"),
        // Who approved sees the statement alone: what belongs to it is the same where it stands.
        ("ANALYZE shop.orders", false, ""),
        ("INSERT INTO shop.orders VALUES (100 + :n, 0)", false, ""),
        ("CREATE INDEX ON shop.orders (total)", false, ""),
        ("ALTER TABLE shop.other ADD more int", false, ""),
        ("ALTER TABLE shop.other DROP more", true, ""),
    ] {
        let first = sent(&rig, UPDATE);
        assert!(first.contains("ZD001"), "{first}");
        let id = rig.waiting();
        run(&rig, &["requests", "approve", &id]);
        let statement = altered.replace(":n", &total.to_string());
        if by_the_gateway {
            let done = sent(&rig, &statement);
            assert!(!done.contains("ERROR"), "{done}");
        } else {
            rig.server.sql(DATABASE, &statement).unwrap();
        }
        let again = sent(&rig, UPDATE);
        if what.is_empty() {
            total += 3;
            assert!(again.contains("UPDATE 3"), "{altered}: {again}");
            // The client need not wait for what is written down.
            let start = Instant::now();
            while of(&rig, &id, "status") == "claimed" && start.elapsed() < Duration::from_secs(20) {
                sleep(Duration::from_millis(50));
            }
            assert_eq!(of(&rig, &id, "status"), "done", "{altered}");
        } else {
            let new = rig.waiting();
            assert_ne!(new, id);
            let told =
                format!("waiting for approval of request {new}: {what} since request {id} was approved");
            assert!(again.contains(&told) && again.contains("ZD001"), "{altered}: {again}");
            let (status, outcome) = (of(&rig, &id, "status"), of(&rig, &id, "outcome"));
            assert_eq!((status.as_str(), outcome), ("superseded", format!("{what} since it was approved")));
            let shown = run(&rig, &["requests", "show", &new]);
            assert!(shown.contains(&format!("Altered   {what} since request {id} was approved")), "{shown}");
            let late = said(&rig.gateway.command(&["requests", "approve", &id]).output().unwrap());
            assert!(late.contains("is superseded already"), "{late}");
            run(&rig, &["requests", "deny", &new]);
        }
        assert_eq!(changed(&rig), total.to_string(), "{altered}");
    }
    let journal = std::fs::read_to_string(rig.gateway.journal().join("journal-000001.jsonl")).unwrap();
    assert!(journal.contains("the table shop.orders was altered since request"), "an auditor is told, too");
}

#[test]
fn who_waits_while_it_is_altered_is_told_and_waits_for_the_new_request() {
    let rig = rig("30s");
    for (block, altered, moved) in [
        (false, "ALTER TABLE shop.orders ADD city text", true),
        (true, "ALTER TABLE shop.other ADD city text", false),
        (false, "ALTER TABLE shop.other ADD more text", false),
    ] {
        let before: i32 = changed(&rig).parse().unwrap();
        let statements = if block { vec!["BEGIN", UPDATE, "COMMIT"] } else { vec![UPDATE] };
        let waits = send_each(&rig, &statements);
        let id = rig.waiting();
        rig.server.sql(DATABASE, altered).unwrap();
        run(&rig, &["requests", "approve", &id]);
        if moved {
            let new = rig.waiting();
            assert_ne!(new, id);
            assert_eq!(of(&rig, &id, "status"), "superseded");
            assert_eq!(changed(&rig), before.to_string());
            run(&rig, &["requests", "approve", &new]);
        }
        let done = said(&waits.wait_with_output().unwrap());
        assert!(!done.contains("ERROR"), "{altered}: {done}");
        assert_eq!(done.contains("the table shop.orders was altered since request"), moved, "{done}");
        assert_eq!(changed(&rig), (before + 3).to_string(), "{altered}");
    }
}

#[test]
fn a_session_with_objects_of_its_own_is_asked_by_what_it_sees() {
    let rig = rig("30s");
    let mut shell = rig.through().command("psql");
    shell.args(["-XAt", "-v", "VERBOSITY=verbose", "-c", "CREATE TEMP TABLE mine (id int)", "-c", UPDATE]);
    let waits = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = rig.waiting();
    // What it does not touch makes it look again, and nothing more.
    rig.server.sql(DATABASE, "ALTER TABLE shop.other ADD more int").unwrap();
    run(&rig, &["requests", "approve", &id]);
    let done = said(&waits.wait_with_output().unwrap());
    assert!(done.contains("UPDATE 3"), "{done}");
    assert_eq!((of(&rig, &id, "status").as_str(), changed(&rig).as_str()), ("done", "3"));
}

#[test]
fn comments_and_white_space_make_no_other_operation_and_all_else_does() {
    let rig = rig("1s");
    for (statement, same) in [
        ("/* please */ UPDATE  shop.orders\n SET total = total + 1 -- soon\nWHERE id < 4", true),
        ("UPDATE shop.orders SET total = total + 1 WHERE id < 5", false),
        ("UPDATE shop.orders SET total = total + 1 /* WHERE */ WHERE id < '4'", false),
    ] {
        sent(&rig, UPDATE);
        let id = rig.waiting();
        run(&rig, &["requests", "approve", &id]);
        let again = sent(&rig, statement);
        assert_eq!(again.contains("UPDATE 3"), same, "{statement}: {again}");
        while let Some(other) = rig.gateway.waiting_request().unwrap() {
            run(&rig, &["requests", "deny", &other]);
        }
        if !same {
            run(&rig, &["requests", "rescind", &id]);
        }
    }
}

/// What a statement names is one thing, what it reaches another: whatever of that is altered, it is asked for anew.
#[test]
fn what_lies_beneath_a_statement_is_part_of_what_was_approved() {
    let beneath = "
        CREATE SCHEMA b; SET search_path = b;
        CREATE TABLE based (id int PRIMARY KEY, n int); CREATE VIEW seen AS SELECT id, n FROM based;
        CREATE TABLE parted (id int, k int) PARTITION BY RANGE (k);
        CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
        CREATE TABLE defaulted (id int, note text DEFAULT 'a');
        CREATE FUNCTION same(int, int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 = $2';
        CREATE FUNCTION any_of(int, int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT true';
        CREATE OPERATOR === (FUNCTION = same, LEFTARG = int, RIGHTARG = int);
        CREATE TABLE operated (id int);
        CREATE FUNCTION alike(int, int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 = $2';
        CREATE OPERATOR ==== (FUNCTION = alike, LEFTARG = int, RIGHTARG = int);
        CREATE TYPE pair AS (a int, b int);
        CREATE FUNCTION as_pair(text) RETURNS pair LANGUAGE sql AS 'SELECT 1, 1';
        CREATE FUNCTION as_other(text) RETURNS pair LANGUAGE sql AS 'SELECT 2, 2';
        CREATE CAST (text AS pair) WITH FUNCTION as_pair(text) AS ASSIGNMENT;
        CREATE TABLE cast_into (id int, note text, p pair);
        CREATE FUNCTION fine(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 > 0';
        CREATE DOMAIN checked AS int CHECK (b.fine(VALUE)); CREATE TABLE domained (c checked);
        CREATE FUNCTION keyed(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
        CREATE TABLE indexed (id int); CREATE INDEX ON indexed (b.keyed(id));
        CREATE FUNCTION inner_one() RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE FUNCTION outer_one() RETURNS int LANGUAGE sql AS 'SELECT b.inner_one()';
        CREATE TABLE calling (id int);
        CREATE FUNCTION helper() RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.id = b.helper(); RETURN NEW; END';
        CREATE TABLE fired (id int); CREATE TRIGGER fires BEFORE UPDATE ON fired FOR EACH ROW EXECUTE FUNCTION fires();
        CREATE TABLE owners (id int PRIMARY KEY);
        CREATE TABLE owned (id int, owner int REFERENCES owners ON DELETE CASCADE);
        CREATE FUNCTION adds(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2';
        CREATE AGGREGATE total_of(int) (SFUNC = adds, STYPE = int, INITCOND = '0');
        CREATE TABLE summed (id int); CREATE TABLE plain (id int); CREATE TABLE aside (id int);";
    let rig = rig("1s");
    rig.server.sql(DATABASE, beneath).unwrap();
    let cases = [
        ("UPDATE b.seen SET n = 1", "ALTER TABLE b.based ADD more int", true),
        (
            "UPDATE b.parted SET id = 1",
            "CREATE TABLE b.parted_2 PARTITION OF b.parted FOR VALUES FROM (10) TO (20)",
            true,
        ),
        (
            "INSERT INTO b.defaulted (id) VALUES (1)",
            "ALTER TABLE b.defaulted ALTER note SET DEFAULT 'b'",
            true,
        ),
        (
            "DELETE FROM b.operated WHERE id OPERATOR(b.===) 1",
            "DROP OPERATOR b.=== (int, int); CREATE OPERATOR b.=== (FUNCTION = b.any_of, LEFTARG = int, RIGHTARG = int)",
            true,
        ),
        (
            "DELETE FROM b.operated WHERE id OPERATOR(b.====) 1",
            "CREATE OR REPLACE FUNCTION b.alike(int, int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT true'",
            true,
        ),
        (
            "UPDATE b.cast_into SET p = note",
            "DROP CAST (text AS b.pair); CREATE CAST (text AS b.pair) WITH FUNCTION b.as_other(text) AS ASSIGNMENT",
            true,
        ),
        (
            "UPDATE b.domained SET c = 2",
            "CREATE OR REPLACE FUNCTION b.fine(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT true'",
            true,
        ),
        (
            "UPDATE b.indexed SET id = 2",
            "CREATE OR REPLACE FUNCTION b.keyed(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2'",
            true,
        ),
        (
            "UPDATE b.calling SET id = b.outer_one()",
            "CREATE OR REPLACE FUNCTION b.inner_one() RETURNS int LANGUAGE sql AS 'SELECT 2'",
            true,
        ),
        (
            "UPDATE b.fired SET id = 1",
            "CREATE OR REPLACE FUNCTION b.helper() RETURNS int LANGUAGE sql AS 'SELECT 2'",
            true,
        ),
        (
            "DELETE FROM b.owners",
            "CREATE TRIGGER fires BEFORE DELETE ON b.owned FOR EACH ROW EXECUTE FUNCTION shop.stamp()",
            true,
        ),
        (
            "UPDATE b.summed SET id = (SELECT b.total_of(id) FROM b.summed)",
            "CREATE OR REPLACE FUNCTION b.adds(int, int) RETURNS int LANGUAGE sql AS 'SELECT 0'",
            true,
        ),
        (
            "UPDATE b.plain SET id = 1",
            "ALTER TABLE b.aside ADD more int; CREATE FUNCTION b.unused() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            false,
        ),
    ];
    let all = |cases: &[(&'static str, &str, bool)]| -> Vec<String> {
        let sent: Vec<Child> = cases.iter().map(|(statement, _, _)| send(&rig, statement)).collect();
        sent.into_iter().map(|child| said(&child.wait_with_output().unwrap())).collect()
    };
    let mut ids = Vec::new();
    for ((statement, _, _), said) in cases.iter().zip(all(&cases)) {
        let id = said.split_once("requests approve ").map(|(_, rest)| &rest[..11]);
        let id = id.unwrap_or_else(|| panic!("{statement}: {said}")).to_owned();
        run(&rig, &["requests", "approve", &id]);
        ids.push(id);
    }
    for (_, altered, _) in &cases {
        rig.server.sql(DATABASE, altered).unwrap();
    }
    for (((statement, altered, moved), id), said) in cases.iter().zip(&ids).zip(all(&cases)) {
        let anew = said.contains(&format!("since request {id} was approved")) && said.contains("ZD001");
        assert!(anew == *moved && (*moved || said.contains("UPDATE")), "{statement}: {altered}: {said}");
    }
}
