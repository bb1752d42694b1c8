//! Where policy wants it, a held statement is tried in a transaction that is rolled back, so that whoever approves sees all that it
//! does; what may leave a trace beyond that is not tried, and nobody else notices.

use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::durward::Target;
use testkit::process::text;

use crate::rig::{DATABASE, Rig, said, server};

/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(30);

fn policy(tolerance: &str) -> String {
    format!(
        r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("most") permit (principal, action in [Action::"write", Action::"call", Action::"probe", Action::"notify", Action::"unknown",
    Action::"egress", Action::"configure", Action::"create"], resource);
@id("held") @approvers("admins") @preview("executed") {tolerance}
forbid (principal, action in [Action::"insert", Action::"update", Action::"delete", Action::"merge"], resource)
unless {{ context.approvals.contains("held") }};
"#
    )
}

const SAMPLE: &str = "CREATE TABLE buyers (id int PRIMARY KEY, name text, email text UNIQUE, points int DEFAULT 0);
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
    CREATE TABLE calls (id int);
    CREATE TABLE noted (id int PRIMARY KEY, n int);
    INSERT INTO noted SELECT n, 0 FROM generate_series(1, 9) n;
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO public.calls VALUES (NEW.id); PERFORM pg_notify(''noted'', NEW.id::text); RETURN NEW; END';
    CREATE TRIGGER noting AFTER UPDATE ON noted FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TABLE later (id int);
    CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.calls VALUES (0); RETURN NEW; END';
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late();
    CREATE SEQUENCE counted;
    CREATE TABLE slow (id int PRIMARY KEY, n int);
    INSERT INTO slow SELECT n, 0 FROM generate_series(1, 9) n;
    CREATE FUNCTION sleeps() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NEW; END';
    CREATE TRIGGER slowly AFTER UPDATE ON slow FOR EACH ROW EXECUTE FUNCTION sleeps();";

#[track_caller]
fn rig_with(tolerance: &str, more: &str) -> Rig {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    server.sql(DATABASE, more).unwrap();
    let columns = vec![("public.buyers.email".to_owned(), "pii.email".to_owned())];
    let target = Target { columns, ..Target::new(DATABASE, server.port(), DATABASE) };
    Rig::of(server, &target, "", &policy(tolerance))
}

#[track_caller]
fn has_line(shown: &str, line: &str, case: &str) {
    assert!(shown.lines().any(|l| l == format!("  - {line}")), "{case}: {line} is not in\n{shown}");
}

/// All that the sample holds.
const ALL: &str = "SELECT md5(string_agg(x::text, ' ' ORDER BY x::text)) FROM (SELECT b::text FROM buyers b UNION ALL \
    SELECT p::text FROM purchases p UNION ALL SELECT p::text FROM parcels p UNION ALL SELECT m::text FROM many m UNION ALL \
    SELECT s::text FROM spans s UNION ALL SELECT c::text FROM calls c UNION ALL SELECT n::text FROM noted n) x";

#[test]
fn whoever_approves_sees_exactly_what_then_happens_cascades_and_triggers_with_it() {
    let rig = rig_with("", "");
    let version: u32 = rig.value("SHOW server_version_num").parse().unwrap();
    for (statement, lines, done) in [
        (
            "DELETE FROM buyers WHERE id <= 2",
            &[
                "deletes 2 rows of public.buyers",
                "deletes 6 rows of public.purchases, which refer to them",
                "updates 6 rows of public.parcels, which refer to them",
            ][..],
            "DELETE 2",
        ),
        (
            "UPDATE noted SET n = 1 WHERE id < 4",
            &["updates 3 rows of public.noted", "inserts 3 rows of public.calls, by what it sets in motion"],
            "UPDATE 3",
        ),
        (
            "UPDATE spans SET at = at + 5 WHERE at < 12",
            &["updates 7 rows of public.spans, 5 of which move to another partition"],
            "UPDATE 7",
        ),
        ("UPDATE many SET id = id", &["updates 10,001 rows of public.many"], "UPDATE 10001"),
        ("DELETE FROM many WHERE id < 0", &["deletes 0 rows of public.many"], "DELETE 0"),
        (
            "INSERT INTO calls SELECT id FROM many WHERE id <= 7",
            &["inserts 7 rows of public.calls"],
            "INSERT 0 7",
        ),
        (
            "INSERT INTO later VALUES (1), (2)",
            &["inserts 2 rows of public.later", "inserts 2 rows of public.calls, by what it sets in motion"],
            "INSERT 0 2",
        ),
        (
            "WITH gone AS (DELETE FROM many WHERE id <= 3 RETURNING id) INSERT INTO calls SELECT id FROM gone",
            &["deletes 3 rows of public.many", "inserts 3 rows of public.calls"],
            "INSERT 0 3",
        ),
        (
            "MERGE INTO noted t USING (VALUES (1), (2), (98), (99)) v(i) ON t.id = v.i WHEN MATCHED AND v.i = 1 THEN DELETE \
             WHEN MATCHED THEN UPDATE SET n = 9 WHEN NOT MATCHED THEN INSERT VALUES (v.i, 0)",
            &[
                "inserts 2 rows and updates 1 row and deletes 1 row of public.noted",
                "inserts 1 row of public.calls, by what it sets in motion",
            ],
            "MERGE 4",
        ),
    ] {
        // Versions before 15 know no MERGE.
        if version < 150_000 && statement.starts_with("MERGE") {
            continue;
        }
        let before = rig.value(ALL);
        let psql = rig.send(statement);
        let id = rig.waiting();
        let shown = rig.shown(&id);
        assert!(shown.contains("Seen beforehand, exact when it was tried and rolled back at "), "{shown}");
        lines.iter().for_each(|line| has_line(&shown, line, statement));
        assert_eq!(rig.value(ALL), before, "{statement}: nothing has happened yet");
        rig.answer("approve", &id);
        let output = said(&psql.wait_with_output().unwrap());
        assert!(output.contains(done), "{statement}: {output}");
    }
    assert_eq!(
        rig.value("SELECT count(*) FROM pg_locks WHERE relation::regclass::text IN ('noted', 'buyers')"),
        "0"
    );
}

/// Tables whose triggers leave more than rows, each with what would be left.
const REACHES: &str = "CREATE TABLE here (id int); CREATE TABLE sets (id int); CREATE TABLE locks (id int); CREATE TABLE runs (id int);
    CREATE TABLE tells (id int); CREATE TABLE away (id int); CREATE TABLE temps (id int); CREATE TABLE out (id int);
    CREATE EXTENSION dblink; CREATE EXTENSION postgres_fdw;
    CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', dbname 'none');
    CREATE FOREIGN TABLE far (id int) SERVER other;
    CREATE FUNCTION sets() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM setval(''public.counted'', 77); RETURN NEW; END';
    CREATE FUNCTION locks() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(7); RETURN NEW; END';
    CREATE FUNCTION runs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN EXECUTE ''SELECT setval(public.counted, 78)''; RETURN NEW; END';
    CREATE FUNCTION tells() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM set_config(''lock_timeout'', ''0'', false); RETURN NEW; END';
    CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM public.dblink_exec(''host=127.0.0.1'', ''SELECT 1''); RETURN NEW; END';
    CREATE FUNCTION temps() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN CREATE TEMP TABLE x (id int); RETURN NEW; END';
    CREATE TRIGGER t AFTER INSERT ON sets FOR EACH ROW EXECUTE FUNCTION sets();
    CREATE TRIGGER t AFTER INSERT ON locks FOR EACH ROW EXECUTE FUNCTION locks();
    CREATE TRIGGER t AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION runs();
    CREATE TRIGGER t AFTER INSERT ON tells FOR EACH ROW EXECUTE FUNCTION tells();
    CREATE TRIGGER t AFTER INSERT ON away FOR EACH ROW EXECUTE FUNCTION away();
    CREATE TRIGGER t AFTER INSERT ON temps FOR EACH ROW EXECUTE FUNCTION temps();";

#[test]
fn what_may_leave_more_than_rows_or_reach_further_is_not_tried() {
    let rig = rig_with("", REACHES);
    for (statement, why) in [
        ("INSERT INTO here VALUES (1)", None),
        ("INSERT INTO sets VALUES (1)", Some("it sets a sequence, which cannot be taken back")),
        (
            "INSERT INTO here VALUES (setval('counted', 79))",
            Some("it sets a sequence, which cannot be taken back"),
        ),
        ("INSERT INTO locks VALUES (1)", Some("it locks more than rows")),
        ("INSERT INTO runs VALUES (1)", Some("it may do what cannot be foreseen")),
        ("INSERT INTO tells VALUES (1)", Some("it may do what cannot be foreseen")),
        ("INSERT INTO away VALUES (1)", Some("it reaches beyond the server")),
        ("INSERT INTO far VALUES (1)", Some("it reaches beyond the server")),
        ("INSERT INTO here SELECT id FROM far", Some("it reaches beyond the server")),
        ("INSERT INTO temps VALUES (1)", Some("it takes locks that keep others from their work")),
        ("INSERT INTO here VALUES (lastval())", Some("it asks what its session did last")),
        ("BEGIN; INSERT INTO here VALUES (2)", None),
        ("INSERT INTO here VALUES (currval('counted'))", Some("it asks what its session did last")),
    ] {
        let in_block = statement.starts_with("BEGIN");
        let mut psql = rig.through().command("psql");
        let parts: Vec<&str> = statement.split("; ").flat_map(|part| ["-c", part]).collect();
        psql.arg("-X").args(parts).stdout(Stdio::piped()).stderr(Stdio::piped());
        let psql = psql.spawn().unwrap();
        let id = rig.waiting();
        let shown = rig.shown(&id);
        let tried = shown.contains("exact when it was tried and rolled back");
        let why = if in_block { Some("its session is in a transaction") } else { why };
        assert_eq!(tried, why.is_none(), "{statement}: {shown}");
        if let Some(why) = why {
            let line = format!("  - it was not tried: {why}");
            assert!(shown.lines().any(|l| l.starts_with(&line)), "{statement}: {line} is not in\n{shown}");
        }
        rig.answer("deny", &id);
        psql.wait_with_output().unwrap();
    }
    assert_eq!(rig.value("SELECT is_called || ' ' || last_value FROM counted"), "false 1");
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(rig.value(locks), "0");
    assert_eq!(rig.value("SELECT count(*) FROM here"), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_something_else_than_was_seen_is_taken_back_within_what_policy_tolerates() {
    let rig = std::sync::Arc::new(rig_with("@tolerance(\"50%\")", ""));
    // Nobody hears of what was only tried.
    let mut heard = rig.direct().command("psql");
    heard
        .args(["-Xqc", "LISTEN noted", "-c", "SELECT pg_sleep(8)", "-c", "SELECT 'over'"])
        .stdout(Stdio::piped());
    let heard = heard.spawn().unwrap();
    let client = rig.through().connect().await;
    for (statement, meanwhile, most, code) in [
        // One more than was seen, of two.
        ("DELETE FROM many WHERE id <= 2", "INSERT INTO many VALUES (1)", None, None),
        ("DELETE FROM many WHERE id <= 4", "INSERT INTO many VALUES (1), (1), (1)", None, Some("ZD006")),
        ("DELETE FROM many WHERE id <= 5", "DELETE FROM many WHERE id <= 5", None, Some("ZD008")),
        (
            "DELETE FROM many WHERE id <= 9",
            "INSERT INTO many SELECT 1 FROM generate_series(1, 20)",
            Some("100"),
            None,
        ),
        (
            "DELETE FROM purchases WHERE id BETWEEN 27 AND 30",
            "DELETE FROM parcels WHERE purchase BETWEEN 27 AND 30",
            None,
            Some("ZD008"),
        ),
    ] {
        let other = std::sync::Arc::clone(&rig);
        let (meanwhile, most) = (meanwhile.to_owned(), most.map(str::to_owned));
        let approver = tokio::task::spawn_blocking(move || {
            let id = other.waiting();
            assert!(other.shown(&id).contains("when it was tried"));
            other.server.sql(DATABASE, &meanwhile).unwrap();
            let mut command = vec!["requests", "approve", &id];
            command.extend(most.iter().flat_map(|most| ["--most", most]));
            let approved = other.gateway.command(&command).output().unwrap();
            assert!(approved.status.success(), "{}", said(&approved));
            id
        });
        let ran = client.execute(statement, &[]).await;
        let id = approver.await.unwrap();
        let failed = ran.err().and_then(|error| error.code().map(|code| code.code().to_owned()));
        assert_eq!(failed.as_deref(), code, "{statement}");
        if code == Some("ZD008") {
            let start = Instant::now();
            let another = "its effect was another than was seen: it changes nothing of public.";
            while !rig.shown(&id).contains(another) {
                assert!(start.elapsed() < PATIENCE, "{}", rig.shown(&id));
                sleep(Duration::from_millis(20));
            }
        }
    }
    assert_eq!(rig.value("SELECT count(*) FROM purchases WHERE id BETWEEN 27 AND 30"), "4");
    let psql = rig.send("UPDATE noted SET n = 2 WHERE id <= 2");
    let id = rig.waiting();
    has_line(&rig.shown(&id), "inserts 2 rows of public.calls, by what it sets in motion", "notifications");
    rig.answer("deny", &id);
    psql.wait_with_output().unwrap();
    let heard = said(&heard.wait_with_output().unwrap());
    assert!(!heard.contains("Asynchronous notification"), "{heard}");
}

#[test]
fn whoever_needs_what_a_trial_has_locked_does_not_wait_for_it_and_a_gateway_that_dies_leaves_nothing() {
    let mut rig = rig_with("", "");
    let runs =
        "SELECT count(*) FROM pg_locks WHERE relation = 'slow'::regclass AND mode = 'RowExclusiveLock'";
    let tries = |rig: &Rig, most: u32| {
        let psql = rig.send(&format!("UPDATE slow SET n = 5 WHERE id <= {most}"));
        let start = Instant::now();
        while rig.value(runs) == "0" {
            assert!(start.elapsed() < PATIENCE, "it is tried");
            sleep(Duration::from_millis(10));
        }
        psql
    };
    let psql = tries(&rig, 2);
    let begun = Instant::now();
    rig.server.sql(DATABASE, "DELETE FROM slow WHERE id = 1").unwrap();
    let waited = begun.elapsed();
    assert!(waited < Duration::from_millis(1500), "{waited:?}");
    let id = rig.waiting();
    let shown = rig.shown(&id);
    has_line(
        &shown,
        "it was not tried: others waited for the rows that it locked, so that it was ended",
        "slow",
    );
    assert!(shown.contains("Seen beforehand, an estimate when it was counted"), "{shown}");
    rig.answer("deny", &id);
    psql.wait_with_output().unwrap();

    let psql = tries(&rig, 3);
    rig.gateway.crash().unwrap();
    psql.wait_with_output().unwrap();
    let begun = Instant::now();
    while rig.value(runs) != "0" {
        assert!(begun.elapsed() < Duration::from_secs(5), "its locks are gone when its time is over");
        sleep(Duration::from_millis(20));
    }
    assert_eq!(rig.value("SELECT sum(n) FROM slow"), "0");
}

#[test]
fn how_long_a_trial_takes_tells_nothing_of_what_may_not_be_read() {
    let rig = rig_with("", "");
    let begun = Instant::now();
    // That this fails at once tells that there is such an address.
    let psql = rig.send("INSERT INTO buyers VALUES (99, 'x', 'secret1@example.com')");
    let id = rig.waiting();
    let shown = rig.shown(&id);
    has_line(&shown, "it was not tried: it fails, with SQLSTATE 23505", "a duplicate");
    rig.answer("deny", &id);
    let output = said(&psql.wait_with_output().unwrap());
    let told = begun.elapsed();
    assert!(told > Duration::from_secs(6), "{told:?}: {output}");
    assert!(!output.contains("23505") && !output.contains("duplicate"), "{output}");
}

#[test]
fn what_waits_already_or_was_just_seen_is_not_looked_at_again() {
    let rig = rig_with("", "");
    let looks = || {
        let folder = rig.gateway.journal();
        let cat = format!("cat {}/*.jsonl", folder.display());
        let journal = text(std::process::Command::new("sh").arg("-c").arg(cat)).unwrap();
        let looks = journal.matches("asks for in session").count();
        let tries = journal.matches("and tries it in a transaction that is rolled back").count();
        (looks, tries)
    };
    let statement = "INSERT INTO calls VALUES (1), (2)";
    let (one, same) = (rig.send(statement), rig.send(statement));
    let id = rig.waiting();
    sleep(Duration::from_millis(500));
    assert_eq!(looks(), (1, 1), "two sessions ask the same");
    rig.answer("deny", &id);
    one.wait_with_output().unwrap();
    same.wait_with_output().unwrap();
    // It may have been asked for anew by the second.
    while let Some(id) = rig.gateway.waiting_request().unwrap() {
        rig.answer("deny", &id);
    }
    let again = rig.send(statement);
    let id = rig.waiting();
    has_line(&rig.shown(&id), "inserts 2 rows of public.calls", "once more");
    assert_eq!(looks(), (1, 1), "it was seen a moment ago");
    rig.answer("approve", &id);
    again.wait_with_output().unwrap();
    let other = rig.send("INSERT INTO calls VALUES (1)");
    let id = rig.waiting();
    assert_eq!(looks(), (2, 2), "another is looked at");
    rig.answer("deny", &id);
    other.wait_with_output().unwrap();
    assert_eq!(rig.value("SELECT count(*) FROM calls"), "2");
}

/// What is looked at has a bound, and so has what it costs others; what that leaves open is said, and the ceiling holds.
#[test]
fn of_a_million_rows_it_is_said_that_there_are_more_than_are_counted_and_its_ceiling_holds() {
    let million = "CREATE TABLE crowd (id int, n int); INSERT INTO crowd SELECT n, 0 FROM generate_series(1, 1000000) n;
        CREATE TABLE throng (id int, n int); INSERT INTO throng SELECT n, 0 FROM generate_series(1, 1000000) n;
        CREATE FUNCTION dawdles() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END';
        CREATE TRIGGER slowly BEFORE UPDATE ON throng FOR EACH ROW EXECUTE FUNCTION dawdles();";
    let rig = rig_with("", million);
    for table in ["crowd", "throng"] {
        let psql = rig.send(&format!("UPDATE {table} SET n = 1"));
        let id = rig.waiting();
        let seen = rig.shown(&id);
        let tried = seen.contains(&format!("- updates 1,000,000 rows of public.{table}"));
        if !tried {
            assert!(seen.contains(&format!("- updates more than 10,000 rows of public.{table}")), "{seen}");
            has_line(&seen, "it was not tried: it takes longer than 3 s", table);
            let above = "how many rows there are: more than its ceiling of 10000, so that it fails unless whoever approves says how many it may change";
            has_line(&seen, above, table);
        }
        // Nothing is locked while people think.
        let locks = format!(
            "SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND mode = 'RowExclusiveLock'"
        );
        let start = Instant::now();
        while rig.value(&locks) != "0" {
            assert!(start.elapsed() < PATIENCE, "{table} is locked");
            sleep(Duration::from_millis(20));
        }
        assert!(table == "crowd" || !tried, "that takes hours: {seen}");
        if table == "throng" || tried {
            rig.answer("deny", &id);
            psql.wait_with_output().unwrap();
            continue;
        }
        rig.answer("approve", &id);
        let output = said(&psql.wait_with_output().unwrap());
        assert!(output.contains("changed 1000000 rows, and 10000 were approved"), "{output}");
        assert_eq!(rig.value("SELECT count(*) FROM crowd WHERE n = 1"), "0");
    }
}
