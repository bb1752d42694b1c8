//! Whoever approves sees how many rows change, and some of them, before anything runs; nothing is called for that but what only
//! computes, and whoever asks learns nothing of it.

use std::process::Stdio;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use testkit::durward::Target;
use testkit::process::text;

use crate::rig::{DATABASE, Rig, said, server};

const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("most") permit (principal, action in [Action::"write", Action::"define", Action::"call", Action::"probe"], resource);
@id("held") @approvers("admins") @ceiling("7")
forbid (principal, action in [Action::"write", Action::"define", Action::"call"], resource) unless { context.approvals.contains("held") };
"#;

const SAMPLE: &str = "CREATE TABLE buyers (id int PRIMARY KEY, name text, email text, points int DEFAULT 0);
    CREATE TABLE purchases (id int PRIMARY KEY, buyer int REFERENCES buyers ON DELETE CASCADE ON UPDATE CASCADE, n int);
    CREATE TABLE parcels (id int PRIMARY KEY, purchase int REFERENCES purchases ON DELETE SET NULL);
    INSERT INTO buyers SELECT n, 'buyer' || n, 'secret' || n || '@example.com' FROM generate_series(1, 20) n;
    INSERT INTO purchases SELECT n, (n + 2) / 3, 0 FROM generate_series(1, 60) n;
    INSERT INTO parcels SELECT n, n FROM generate_series(1, 60) n;
    CREATE TABLE many (id int);
    INSERT INTO many SELECT generate_series(1, 10001);
    CREATE TABLE spans (id int, at int) PARTITION BY RANGE (at);
    CREATE TABLE spans_1 PARTITION OF spans FOR VALUES FROM (0) TO (10);
    CREATE TABLE spans_2 PARTITION OF spans FOR VALUES FROM (10) TO (20);
    INSERT INTO spans SELECT n, n FROM generate_series(5, 14) n;
    CREATE TABLE calls (at timestamptz DEFAULT clock_timestamp());
    CREATE SEQUENCE called;
    CREATE FUNCTION told(x int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
        'BEGIN PERFORM nextval(''public.called''); RETURN true; END';
    CREATE TABLE noted (id int PRIMARY KEY, n int);
    INSERT INTO noted SELECT n, 0 FROM generate_series(1, 9) n;
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.calls DEFAULT VALUES; RETURN NEW; END';
    CREATE TRIGGER noting AFTER UPDATE ON noted FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TABLE areas (id int, at int) PARTITION BY RANGE (at);
    CREATE TABLE areas_1 PARTITION OF areas (PRIMARY KEY (id)) FOR VALUES FROM (0) TO (10);
    CREATE TABLE areas_2 PARTITION OF areas FOR VALUES FROM (10) TO (20);
    INSERT INTO areas SELECT n, n FROM generate_series(5, 14) n;
    CREATE TABLE visits (area int REFERENCES areas_1 ON DELETE CASCADE);
    INSERT INTO visits VALUES (5), (5), (6);
    CREATE TRIGGER noting BEFORE UPDATE ON areas_2 FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TABLE owners (id int PRIMARY KEY);
    CREATE TABLE pets (id int, owner int REFERENCES owners ON DELETE CASCADE);
    INSERT INTO owners VALUES (1), (2);
    INSERT INTO pets VALUES (1, 1), (2, 1);
    ALTER TABLE pets ENABLE ROW LEVEL SECURITY;
    CREATE TABLE clubs (id int PRIMARY KEY);
    CREATE TABLE members (id int, club int REFERENCES clubs ON DELETE CASCADE);
    INSERT INTO clubs VALUES (1), (2);
    INSERT INTO members VALUES (1, 1), (2, 1);
    CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF OLD.id = 2 THEN RETURN NULL; END IF; RETURN OLD; END';
    CREATE TRIGGER staying BEFORE DELETE ON members FOR EACH ROW EXECUTE FUNCTION stays();";

#[track_caller]
fn rig() -> Rig {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let columns = vec![("public.buyers.email".to_owned(), "pii.email".to_owned())];
    let target = Target { columns, ..Target::new(DATABASE, server.port(), DATABASE) };
    Rig::of(server, &target, "", POLICY)
}

#[test]
fn whoever_approves_sees_how_many_rows_change_and_so_many_do() {
    let rig = rig();
    let version: u32 = rig.value("SHOW server_version_num").parse().unwrap();
    for (statement, lines, changed) in [
        (
            "UPDATE buyers SET points = points + 1 WHERE id <= 3",
            &["updates 3 rows of public.buyers"][..],
            "UPDATE 3",
        ),
        ("UPDATE buyers SET points = 0", &["updates 20 rows of public.buyers"], "UPDATE 20"),
        ("UPDATE buyers SET points = 9 WHERE id < 0", &["updates 0 rows of public.buyers"], "UPDATE 0"),
        (
            "UPDATE buyers b SET points = 2 FROM purchases p WHERE p.buyer = b.id AND p.id <= 6",
            &["updates 2 rows of public.buyers"],
            "UPDATE 2",
        ),
        ("UPDATE spans SET at = at + 5 WHERE at < 12", &["updates 7 rows of public.spans"], "UPDATE 7"),
        ("INSERT INTO calls SELECT now() FROM buyers", &["inserts 20 rows of public.calls"], "INSERT 0 20"),
        ("INSERT INTO calls VALUES (now()), (now())", &["inserts 2 rows of public.calls"], "INSERT 0 2"),
        (
            "UPDATE buyers SET id = id + 100 WHERE id = 20",
            &["updates 1 row of public.buyers", "updates 3 rows of public.purchases, which refer to them"],
            "UPDATE 1",
        ),
        (
            "WITH old AS (SELECT id FROM buyers WHERE id <= 2) DELETE FROM buyers WHERE id IN (SELECT id FROM old)",
            &[
                "deletes 2 rows of public.buyers",
                "deletes 6 rows of public.purchases, which refer to them",
                "updates 6 rows of public.parcels, which refer to them",
            ],
            "DELETE 2",
        ),
        (
            "MERGE INTO spans s USING (VALUES (5), (6), (7), (98), (99)) v(i) ON s.id = v.i WHEN MATCHED AND v.i = 5 THEN DELETE \
             WHEN MATCHED AND v.i = 6 THEN DO NOTHING WHEN MATCHED THEN UPDATE SET at = 9 WHEN NOT MATCHED THEN INSERT VALUES (v.i, 1)",
            &[
                "inserts 2 rows of public.spans",
                "updates 1 row of public.spans",
                "deletes 1 row of public.spans",
            ],
            "MERGE 4",
        ),
        ("DELETE FROM many", &["deletes more than 10,000 rows of public.many"], "7 were approved"),
        (
            "UPDATE noted SET n = 1 WHERE id < 4",
            &["updates 3 rows of public.noted, at most: triggers may leave some out"],
            "UPDATE 3",
        ),
    ] {
        // Versions before 15 know no MERGE.
        if version < 150_000 && statement.starts_with("MERGE") {
            continue;
        }
        let psql = rig.send(statement);
        let id = rig.waiting();
        let shown = rig.shown(&id);
        for line in lines {
            assert!(
                shown.lines().any(|l| l == format!("  - {line}")),
                "{statement}: {line} is not in\n{shown}"
            );
        }
        rig.answer("approve", &id);
        let output = said(&psql.wait_with_output().unwrap());
        assert!(output.contains(changed), "{statement}: {output}");
    }
}

/// What a count cannot be certain of is called an estimate.
#[test]
fn nothing_is_called_exact_that_may_come_otherwise() {
    let rig = rig();
    for (statement, lines, exact) in [
        (
            "UPDATE buyers SET id = id WHERE id = 19",
            &["updates 1 row of public.buyers", "updates 0 rows of public.purchases, which refer to them"][..],
            true,
        ),
        (
            "UPDATE buyers SET id = b.id FROM buyers b WHERE buyers.id = b.id AND b.id = 18",
            &[
                "updates 1 row of public.buyers",
                "updates 3 rows of public.purchases, which refer to them, at most: those whose key is set to what it was do not follow",
            ],
            false,
        ),
        (
            "DELETE FROM areas WHERE id = 5",
            &[
                "deletes 1 row of public.areas, at most: triggers may leave some out",
                "deletes 2 rows of public.visits, which refer to them, at most: they refer to a part of its table alone",
            ],
            false,
        ),
        (
            "UPDATE areas SET id = id WHERE at >= 10",
            &["updates 5 rows of public.areas, at most: triggers may leave some out"],
            false,
        ),
        (
            "DELETE FROM clubs WHERE id = 1",
            &[
                "deletes 1 row of public.clubs",
                "deletes 2 rows of public.members, which refer to them, at most: triggers may leave some out",
            ],
            false,
        ),
        ("DELETE FROM clubs WHERE id = 2", &["deletes 1 row of public.clubs"], true),
    ] {
        let psql = rig.send(statement);
        let id = rig.waiting();
        let shown = rig.shown(&id);
        for line in lines {
            assert!(
                shown.lines().any(|l| l == format!("  - {line}")),
                "{statement}: {line} is not in\n{shown}"
            );
        }
        assert_eq!(shown.contains("Seen beforehand, exact when"), exact, "{statement}: {shown}");
        rig.answer("deny", &id);
        psql.wait_with_output().unwrap();
    }
    // A foreign key does not ask for row security, under which whoever asks would count none of what follows.
    rig.server
        .sql(DATABASE, "ALTER TABLE pets FORCE ROW LEVEL SECURITY; ALTER ROLE CURRENT_USER NOBYPASSRLS")
        .ok();
    let psql = rig.send("DELETE FROM owners WHERE id = 1");
    let id = rig.waiting();
    let shown = rig.shown(&id);
    assert!(!shown.contains("Seen beforehand, exact when"), "{shown}");
    rig.answer("deny", &id);
    psql.wait_with_output().unwrap();
}

#[test]
fn what_grows_after_it_was_counted_is_stopped() {
    let rig = rig();
    let psql = rig.send("DELETE FROM buyers WHERE points = 0 AND id <= 2");
    let id = rig.waiting();
    let seen = rig.shown(&id);
    assert!(seen.contains("Ceiling   at most 14 rows, as counted when it was asked for"), "{seen}");
    rig.server.sql(DATABASE, "INSERT INTO purchases VALUES (99, 1, 1)").unwrap();
    rig.answer("approve", &id);
    let output = said(&psql.wait_with_output().unwrap());
    assert!(output.contains("the statement changed 15 rows, and 14 were approved"), "{output}");
    assert_eq!(rig.value("SELECT count(*) FROM buyers"), "20");
}

/// What its own transaction has changed cannot be seen from outside. It is stopped all the same, unless whoever approves says
/// otherwise.
#[test]
fn what_is_counted_is_the_ceiling_within_a_clients_own_transaction_too() {
    let rig = rig();
    for (before, most, changed) in [
        ("SELECT 1", None, "UPDATE 3"),
        (
            "UPDATE noted SET n = 5 WHERE id BETWEEN 4 AND 6",
            None,
            "the statement changed 6 rows, and 3 were approved",
        ),
        ("UPDATE noted SET n = 5 WHERE id BETWEEN 4 AND 6", Some("6"), "UPDATE 6"),
    ] {
        let mut psql = rig.through().command("psql");
        psql.args(["-X", "-v", "ON_ERROR_STOP=1", "-c", "BEGIN", "-c", before]);
        psql.args(["-c", "UPDATE noted SET n = 6 WHERE n = 5 OR id <= 3", "-c", "ROLLBACK"]);
        let psql = psql.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if before.starts_with("UPDATE") {
            let first = rig.waiting();
            rig.answer("approve", &first);
            while rig.gateway.waiting_request().unwrap().is_none_or(|id| id == first) {
                sleep(Duration::from_millis(20));
            }
        }
        let id = rig.waiting();
        let shown = rig.shown(&id);
        assert!(shown.contains("updates 3 rows of public.noted") && shown.contains("an estimate"), "{shown}");
        assert!(shown.contains("at most 3 rows, as counted"), "{shown}");
        let mut approve = vec!["requests", "approve", &id];
        approve.extend(most.iter().flat_map(|most| ["--most", most]));
        assert!(rig.gateway.command(&approve).output().unwrap().status.success());
        let output = said(&psql.wait_with_output().unwrap());
        assert!(output.contains(changed), "{before}: {output}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_are_bound_are_those_that_are_counted() {
    let rig = Arc::new(rig());
    let client = rig.through().connect().await;
    let statement =
        client.prepare("UPDATE buyers SET points = $1 WHERE id <= $2 AND name <> $3").await.unwrap();
    let other = Arc::clone(&rig);
    let approver = tokio::task::spawn_blocking(move || {
        let id = other.waiting();
        let shown = other.shown(&id);
        other.answer("approve", &id);
        shown
    });
    let changed = client.execute(&statement, &[&7_i32, &5_i32, &"b'2"]).await.unwrap();
    let shown = approver.await.unwrap();
    assert_eq!(changed, 5);
    assert!(shown.contains("  - updates 5 rows of public.buyers"), "{shown}");
    let row = "  | id = '1', points = '0'; then points = '7'; beside name = 'buyer1', email = (masked)";
    assert!(shown.lines().any(|l| l == row), "{shown}");
    assert!(shown.contains("Update on buyers"), "{shown}");
}

#[test]
fn nothing_is_called_but_what_only_computes_and_nobody_else_sees_what_was_seen() {
    let rig = rig();
    for (statement, why) in [
        ("UPDATE buyers SET points = 1 WHERE told(id)", "it calls what may do more than read"),
        ("DELETE FROM buyers WHERE id = nextval('called')", "it calls what may do more than read"),
        ("DELETE FROM buyers WHERE random() < 2", "it calls what says another thing each time"),
        ("DELETE FROM buyers USING pg_sleep(60)", ""),
    ] {
        let psql = rig.send(statement);
        let id = rig.waiting();
        let shown = rig.shown(&id);
        assert!(shown.contains(&format!("its rows were not counted: {why}")), "{statement}: {shown}");
        rig.answer("deny", &id);
        psql.wait_with_output().unwrap();
    }
    assert_eq!(rig.value("SELECT is_called FROM called"), "f");
    // Whoever asks, and the journal, hear nothing of rows.
    let psql = rig.send("UPDATE buyers SET points = 4, email = 'new' WHERE id = 13");
    let id = rig.waiting();
    let seen = rig.shown(&id);
    assert!(
        seen.contains("| id = '13', email = (masked)") && seen.contains("beside name = 'buyer13'"),
        "{seen}"
    );
    assert!(!seen.contains("secret13"), "{seen}");
    let listed = text(&mut rig.gateway.command(&["requests", "ls", "--json"])).unwrap();
    rig.answer("deny", &id);
    let output = said(&psql.wait_with_output().unwrap());
    let folder = rig.gateway.journal();
    let journal =
        text(std::process::Command::new("sh").arg("-c").arg(format!("cat {}/*.jsonl", folder.display())))
            .unwrap();
    for (place, told) in [("the client", &output), ("the journal", &journal), ("the list", &listed)] {
        assert!(
            !told.contains("buyer13") && !told.contains("secret13") && !told.contains("1 row"),
            "{place}: {told}"
        );
    }
    assert!(journal.contains("looks at what agent:tester asks for"), "{journal}");
}

#[test]
fn what_a_statement_costs_others_and_what_hangs_on_its_table_is_said() {
    let rig = rig();
    rig.server.sql(DATABASE, "CREATE VIEW buyer_names AS SELECT name FROM buyers").unwrap();
    for (statement, lines) in [
        (
            "ALTER TABLE buyers ADD COLUMN luck float DEFAULT random()",
            &[
                "takes the lock ACCESS EXCLUSIVE: nobody else reads or writes",
                "the table is written anew, while it is locked, if the default is volatile",
                "tables refer to public.buyers by foreign keys: public.purchases",
                "views read public.buyers: public.buyer_names",
            ][..],
        ),
        (
            "CREATE INDEX ON buyers (name)",
            &[
                "takes the lock SHARE: others read, and nobody writes",
                "every row of the table is read, while it is locked",
            ],
        ),
        (
            "UPDATE noted SET n = 1",
            &[
                "takes the lock ROW EXCLUSIVE: others read and write other rows",
                "triggers of public.noted run: noting",
            ],
        ),
        ("DELETE FROM spans", &["2 tables are part of public.spans, or inherit from it"]),
    ] {
        let psql = rig.send(statement);
        let id = rig.waiting();
        let shown = rig.shown(&id);
        for line in lines {
            assert!(
                shown.lines().any(|l| l == format!("  - {line}")),
                "{statement}: {line} is not in\n{shown}"
            );
        }
        rig.answer("deny", &id);
        psql.wait_with_output().unwrap();
    }
}

#[test]
fn a_policy_can_forbid_that_it_is_looked_at() {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let target = Target::new(DATABASE, server.port(), DATABASE);
    let policy =
        format!("{POLICY}\n@id(\"unseen\") forbid (principal, action == Action::\"preview\", resource);");
    let rig = Rig::of(server, &target, "", &policy);
    let psql = rig.send("DELETE FROM buyers WHERE id = 1");
    let id = rig.waiting();
    let shown = rig.shown(&id);
    assert!(shown.contains("policy does not let it be looked at beforehand"), "{shown}");
    assert!(shown.contains("at most 7 rows, as policy says"), "{shown}");
    rig.answer("approve", &id);
    assert!(said(&psql.wait_with_output().unwrap()).contains("DELETE 1"));
}

/// Whoever asks could tell by how long it takes what a question finds: what is not to be read before somebody has answered is not
/// read by looking either.
#[test]
fn what_may_be_read_with_an_approval_alone_is_not_read_before_it() {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let columns = vec![("public.buyers.email".to_owned(), "pii.email".to_owned())];
    let target = Target { columns, ..Target::new(DATABASE, server.port(), DATABASE) };
    let policy = format!(
        "{POLICY}\n@id(\"probes\") @approvers(\"admins\") forbid (principal, action == Action::\"probe\", resource) \
         unless {{ context.approvals.contains(\"probes\") }};"
    );
    let rig = Rig::of(server, &target, "", &policy);
    for (filter, looked) in [("email LIKE 'secret1@%'", false), ("id = 1", true)] {
        let psql = rig.send(&format!("UPDATE buyers SET points = 3 WHERE {filter}"));
        let id = rig.waiting();
        let shown = rig.shown(&id);
        assert_eq!(shown.contains("updates 1 row of public.buyers"), looked, "{shown}");
        assert_eq!(shown.contains("policy does not let it be looked at beforehand"), !looked, "{shown}");
        rig.answer("approve", &id);
        assert!(said(&psql.wait_with_output().unwrap()).contains("UPDATE 1"));
    }
}
