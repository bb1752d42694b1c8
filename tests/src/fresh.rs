//! `freshness = "strict"`: what alters a definition by another way than the gateway is seen by the next statement, and not
//! between a statement's being understood and its running.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testkit::durward::Target;
use testkit::json::Json;
use tokio_postgres::SimpleQueryMessage;

use crate::rig::{DATABASE, Rig, server};

const POLICY: &str = r#"
@id("reads") permit (principal, action in [Action::"connect", Action::"read"], resource);
@id("writes") permit (principal, action in Action::"write", resource) when { context.statement.kind != "select" };
@id("defines") permit (principal, action in [Action::"define", Action::"maintain"], resource);
"#;
const SAMPLE: &str = "CREATE TABLE visits (n int);
    CREATE TABLE staffers (id int PRIMARY KEY, email text, note text);
    INSERT INTO staffers VALUES (1, 'secret@example.com', 'hello');
    CREATE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.visits'";
const CHANGED: &str = "CREATE OR REPLACE FUNCTION total() RETURNS bigint LANGUAGE sql AS
    'WITH w AS (DELETE FROM public.visits RETURNING 1) SELECT count(*) FROM w'";
const AS_IT_WAS: &str = "CREATE OR REPLACE FUNCTION total() RETURNS bigint LANGUAGE sql AS
    'SELECT count(*) FROM public.visits'";
/// The two columns change their names.
const SWAPPED: &str =
    "BEGIN; ALTER TABLE staffers RENAME email TO other; ALTER TABLE staffers RENAME note TO email;
    ALTER TABLE staffers RENAME other TO note; COMMIT";

fn rig() -> Rig {
    rig_with("freshness = \"strict\"")
}

fn rig_with(more: &str) -> Rig {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let target = Target {
        columns: vec![("public.staffers.email".to_owned(), "pii".to_owned())],
        more: more.to_owned(),
        ..Target::new(DATABASE, server.port(), DATABASE)
    };
    Rig::of(server, &target, "", POLICY)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_has_just_been_replaced_is_judged_as_it_is() {
    let rig = rig();
    let client = rig.through().connect().await;
    for round in 1..=6 {
        // Where something was written already, no second lock stands behind the first.
        client.batch_execute("BEGIN; INSERT INTO visits VALUES (1)").await.unwrap();
        let seen: i64 = client.query_one("SELECT total()", &[]).await.unwrap().get(0);
        assert_eq!(seen, round);
        rig.server.sql(DATABASE, CHANGED).unwrap();
        let tried = if round % 2 == 0 {
            client.batch_execute("SELECT total()").await
        } else {
            client.query_one("SELECT total()", &[]).await.map(drop)
        };
        assert_eq!(tried.expect_err("it writes").code().unwrap().code(), "42501");
        client.batch_execute("ROLLBACK").await.unwrap();
        rig.server.sql(DATABASE, AS_IT_WAS).unwrap();
        client.batch_execute("INSERT INTO visits VALUES (1)").await.unwrap();
        // Whoever is told that it is done finds it done.
        let direct = rig.direct().connect().await;
        let kept: i64 = direct.query_one("SELECT count(*) FROM visits", &[]).await.unwrap().get(0);
        assert_eq!(kept, round);
    }
}

/// The first column of the first row.
fn first(answer: &[SimpleQueryMessage]) -> Option<&str> {
    answer
        .iter()
        .find_map(|message| if let SimpleQueryMessage::Row(row) = message { row.get(0) } else { None })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_session_defines_is_known_to_all_that_is_sent_behind_it() {
    const CLEAR: &str = "CREATE OR REPLACE VIEW seen AS SELECT id, note AS word FROM staffers";
    const TAGGED: &str = "CREATE OR REPLACE VIEW seen AS SELECT id, email AS word FROM staffers";
    const READ: &str = "SELECT word FROM seen";
    let rig = rig_with("");
    let (client, other) = (rig.through().connect().await, rig.through().connect().await);
    client.batch_execute(CLEAR).await.unwrap();
    let (write, define) =
        (client.prepare("DELETE FROM visits").await.unwrap(), client.prepare(TAGGED).await.unwrap());
    for round in 0..10 {
        client.batch_execute(CLEAR).await.unwrap();
        assert_eq!(first(&client.simple_query(READ).await.unwrap()), Some("hello"));
        // What is answered first was sent before the definition.
        let (before, defined, read) = tokio::join!(
            client.execute(&write, &[]),
            client.execute(&define, &[]),
            client.simple_query(READ)
        );
        before.unwrap();
        defined.unwrap();
        assert_eq!(first(&read.unwrap()), Some("***"), "{round}, in the same session");
        assert_eq!(first(&other.simple_query(READ).await.unwrap()), Some("***"), "{round}, in another one");

        client.batch_execute(CLEAR).await.unwrap();
        client.batch_execute("BEGIN").await.unwrap();
        client.batch_execute(TAGGED).await.unwrap();
        client.batch_execute("COMMIT AND CHAIN").await.unwrap();
        assert_eq!(first(&other.simple_query(READ).await.unwrap()), Some("***"), "{round}, behind AND CHAIN");
        client.batch_execute("ROLLBACK").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_altered_all_the_time_never_shows_what_is_tagged() {
    let rig = rig();
    let client = rig.through().connect().await;
    // Where the tagged column is, is known from now on.
    client.query_one("SELECT p.note FROM staffers p", &[]).await.unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let altering = {
        let (way, ended) = (rig.direct(), Arc::clone(&ended));
        tokio::spawn(async move {
            let client = way.connect().await;
            let mut swaps = 0;
            while !ended.load(Ordering::Relaxed) {
                client.batch_execute(SWAPPED).await.unwrap();
                swaps += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            swaps
        })
    };
    let (mut clear, mut refused) = (0, 0);
    for round in 0..60 {
        // Once either column has had the tagged name, both are tagged; the key never is.
        let column = if round % 3 == 0 { "id" } else { "note" };
        let text = &format!("SELECT (SELECT p.{column} || '' FROM staffers p) AS x");
        let answer = if round % 2 == 0 {
            client.query_one(text, &[]).await.map(|row| row.get::<_, Option<String>>(0))
        } else {
            client.simple_query(text).await.map(|messages| {
                messages.iter().find_map(|message| {
                    if let SimpleQueryMessage::Row(row) = message {
                        row.get(0).map(str::to_owned)
                    } else {
                        None
                    }
                })
            })
        };
        match answer {
            Ok(value) => {
                assert!(value.as_deref().is_none_or(|v| !v.contains("secret")), "{round}: {value:?}");
                clear += usize::from(value.as_deref() == Some("1"));
            }
            Err(_) => refused += 1,
        }
    }
    ended.store(true, Ordering::Relaxed);
    let swaps = altering.await.unwrap();
    assert!(swaps > 5 && clear > 0 && refused > 0, "{swaps} times altered, {clear} shown, {refused} not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_feels_it_who_alters_nothing() {
    let rig = rig();
    let mut client = rig.through().connect().await;
    client.batch_execute("CREATE TEMP TABLE mine (n int)").await.unwrap();
    for text in [
        "SELECT 1",
        "INSERT INTO visits VALUES (1); SELECT n FROM visits; INSERT INTO visits VALUES (2)",
        "BEGIN; SELECT n FROM visits; INSERT INTO visits VALUES (3); COMMIT",
        "CREATE TABLE made (n int)",
        "INSERT INTO made VALUES (4)",
        "INSERT INTO mine SELECT n FROM visits",
        "PREPARE p AS SELECT n FROM visits; EXECUTE p; DEALLOCATE p",
        "VACUUM",
        "SELECT relname FROM pg_class LIMIT 1",
        "EXPLAIN SELECT n FROM visits",
        "TABLE visits",
    ] {
        client.batch_execute(text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
    }
    let read = client.prepare("SELECT count(*) FROM visits").await.unwrap();
    let write = client.prepare("INSERT INTO visits VALUES ($1)").await.unwrap();
    // Sent at once, and answered in their order.
    let (a, b, c) = tokio::join!(
        client.query_one(&read, &[]),
        client.execute(&write, &[&5]),
        client.query_one(&read, &[])
    );
    let (before, after): (i64, i64) = (a.unwrap().get(0), c.unwrap().get(0));
    assert_eq!((after - before, b.unwrap()), (1, 1));
    let block = client.transaction().await.unwrap();
    block
        .batch_execute("DECLARE c CURSOR FOR SELECT n FROM visits ORDER BY n; FETCH 2 FROM c")
        .await
        .unwrap();
    block.execute(&write, &[&6]).await.unwrap();
    let portal = block.bind(&read, &[]).await.unwrap();
    assert_eq!(block.query_portal(&portal, 1).await.unwrap().len(), 1);
    block.commit().await.unwrap();
    // What is refused, or fails, leaves no lock behind, and the session as it was.
    for (text, code) in [
        ("SELECT id FROM staffers WHERE email = 'x'", "42501"),
        ("SELECT n / 0 FROM visits", "22012"),
        ("SELECT n FROM nowhere", "42P01"),
    ] {
        for simple in [true, false] {
            let tried = if simple {
                client.batch_execute(text).await
            } else {
                client.query(text, &[]).await.map(drop)
            };
            assert_eq!(tried.expect_err(text).code().unwrap().code(), code, "{text}");
            rig.server
                .sql(
                    DATABASE,
                    "SET lock_timeout = '2s'; ALTER TABLE staffers SET (fillfactor = 90);
                ALTER TABLE visits SET (fillfactor = 90)",
                )
                .unwrap();
        }
    }
    let masked: String = client.query_one("SELECT email FROM staffers", &[]).await.unwrap().get(0);
    assert!(!masked.contains("secret"), "{masked}");
}

/// The lock is taken without a Sync behind it, and the server skips what follows where that fails: also a simple Query, which is owed
/// a ReadyForQuery.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_whose_tables_cannot_be_locked_fails_as_it_would_itself_and_the_session_goes_on() {
    const PATIENCE: Duration = Duration::from_secs(20);
    const READ: &str = "SELECT count(*) FROM visits";
    let rig = rig_with("freshness = \"strict\"\nread_only = \"strict\"");
    let (client, mut holder) = (rig.through().connect().await, rig.direct().connect().await);
    client.batch_execute(READ).await.unwrap();
    for (limit, code) in [("200ms", "55P03"), ("0", "57014")] {
        for (simple, in_block) in [(true, false), (false, false), (true, true), (false, true)] {
            client.batch_execute(&format!("SET lock_timeout = '{limit}'")).await.unwrap();
            let read = client.prepare(READ).await.unwrap();
            let locked = holder.transaction().await.unwrap();
            locked.batch_execute("LOCK TABLE visits IN ACCESS EXCLUSIVE MODE").await.unwrap();
            if in_block {
                client.batch_execute("BEGIN").await.unwrap();
            }
            let tried = async {
                if simple {
                    client.batch_execute(READ).await
                } else {
                    client.query_one(&read, &[]).await.map(drop)
                }
            };
            let cancels = async {
                let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
                let begun = Instant::now();
                while code == "57014" && rig.server.sql(DATABASE, waits).unwrap().trim() == "0" {
                    assert!(begun.elapsed() < PATIENCE, "nothing waits for the lock");
                }
                if code == "57014" {
                    client.cancel_token().cancel_query(tokio_postgres::NoTls).await.unwrap();
                }
            };
            let what = format!("{code}, simple {simple}, in a block {in_block}");
            let both = async { tokio::join!(tried, cancels).0 };
            let told =
                tokio::time::timeout(PATIENCE, both).await.unwrap_or_else(|_| panic!("unanswered: {what}"));
            assert_eq!(told.expect_err(&what).code().unwrap().code(), code, "{what}");
            locked.rollback().await.unwrap();
            if in_block {
                let failed = client.batch_execute(READ).await.expect_err("the block has failed");
                assert_eq!(failed.code().unwrap().code(), "25P02", "{what}");
                client.batch_execute("ROLLBACK").await.unwrap();
            }
            for _ in 0..2 {
                client.batch_execute(READ).await.expect(&what);
                client.query_one(&read, &[]).await.expect(&what);
                client.batch_execute("INSERT INTO visits VALUES (1)").await.expect(&what);
            }
        }
    }
}

/// A role that may not look into a schema cannot lock what is in it; views and functions of others' reach there all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_role_reaches_but_may_not_name_is_read_on_a_strict_target() {
    let server = server(&[]);
    let made = "CREATE ROLE least LOGIN; CREATE SCHEMA inner_rooms; CREATE SCHEMA api; GRANT USAGE ON SCHEMA api TO least;
        CREATE TABLE inner_rooms.staffers (id int, email text, note text);
        INSERT INTO inner_rooms.staffers VALUES (1, 'secret@example.com', 'hello');
        CREATE VIEW api.staffers AS SELECT * FROM inner_rooms.staffers;
        CREATE FUNCTION api.notes() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS
            'SELECT count(note) FROM inner_rooms.staffers';
        GRANT SELECT ON api.staffers TO least";
    server.sql(DATABASE, made).unwrap();
    let target = Target {
        user: "least".to_owned(),
        columns: vec![("inner_rooms.staffers.email".to_owned(), "pii".to_owned())],
        more: "freshness = \"strict\"".to_owned(),
        ..Target::new(DATABASE, server.port(), DATABASE)
    };
    let rig = Rig::of(server, &target, "", POLICY);
    let client = rig.through().connect().await;
    for text in ["SELECT note FROM api.staffers", "SELECT api.notes()::text"] {
        let row = client.query_one(text, &[]).await.expect(text);
        assert!(["hello", "1"].contains(&row.get::<_, &str>(0)), "{text}");
        client.batch_execute(text).await.expect(text);
        client.batch_execute(&format!("BEGIN; {text}; {text}; COMMIT")).await.expect(text);
    }
    for simple in [true, false] {
        let refused = if simple {
            client.batch_execute("SELECT note FROM inner_rooms.staffers").await
        } else {
            client.query("SELECT note FROM inner_rooms.staffers", &[]).await.map(drop)
        };
        assert_eq!(refused.expect_err("it may not").code().unwrap().code(), "42501");
    }
    // What a view shows is judged as it is.
    let swapped = "BEGIN; DROP VIEW api.staffers; CREATE VIEW api.staffers AS SELECT id, note AS email, email AS note FROM inner_rooms.staffers;
        GRANT SELECT ON api.staffers TO least; COMMIT";
    rig.server.sql(DATABASE, swapped).unwrap();
    let row = client.query_one("SELECT note, email FROM api.staffers", &[]).await.unwrap();
    assert!(!row.get::<_, &str>(0).contains("secret"));
    assert_eq!(row.get::<_, &str>(1), "hello");
}

/// How long it takes until a function that was replaced is judged as it is, half the time at most.
async fn seen_after(rig: &Rig, client: &tokio_postgres::Client) -> Duration {
    let mut took = Vec::new();
    for _ in 0..7 {
        // It is looked at every second: the moments between are met alike.
        tokio::time::sleep(Duration::from_millis(130)).await;
        rig.server.sql(DATABASE, CHANGED).unwrap();
        let begun = Instant::now();
        while client
            .query_one("SELECT total()", &[])
            .await
            .err()
            .is_none_or(|e| e.code().unwrap().code() != "42501")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        took.push(begun.elapsed());
        rig.server.sql(DATABASE, AS_IT_WAS).unwrap();
        while client.query_one("SELECT total()", &[]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    took.sort();
    took[took.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_with_the_event_trigger_that_doctor_offers_tells_at_once() {
    let rig = rig_with("");
    let client = rig.through().connect().await;
    client.batch_execute("CREATE TABLE before (n int)").await.unwrap();
    // What it says of definitions, and the statement that it offers.
    let doctor = || {
        let said = rig.gateway.command(&["doctor", DATABASE, "--json"]).output().unwrap();
        let json = Json::parse(&String::from_utf8(said.stdout).unwrap()).unwrap();
        let checks = json.at("targets").and_then(|targets| targets.at(DATABASE)).unwrap();
        let check = checks.items().iter().find(|c| c.at("what").and_then(Json::text) == Some("definitions"));
        check.unwrap().at("mend").and_then(Json::text).map(str::to_owned)
    };
    let offered = doctor();
    let looking = seen_after(&rig, &client).await;
    rig.server.sql(DATABASE, &offered.expect("an event trigger is offered")).unwrap();
    // It is seen with the next look, and listened to from then on.
    let listens = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN durward_definitions%'";
    let begun = Instant::now();
    while rig.server.sql(DATABASE, listens).unwrap().trim() != "1" {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody listens");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let told = seen_after(&rig, &client).await;
    assert!(told < looking, "told after {told:?}, seen by looking after {looking:?}");
    assert_eq!(doctor(), None, "it is there");
    // Who defines something does not notify: policy permits that to nobody.
    client.batch_execute("CREATE TABLE after (n int)").await.unwrap();
    let noise =
        "CREATE FUNCTION noise() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NOTIFY others; END';
        CREATE EVENT TRIGGER noise ON ddl_command_end EXECUTE FUNCTION noise()";
    rig.server.sql(DATABASE, noise).unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let refused = client.batch_execute("CREATE TABLE more (n int)").await.expect_err("it notifies");
    assert_eq!(refused.code().unwrap().code(), "42501");
}

/// Whoever may make schemas may put one before those in which others find their tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_comes_into_the_path_of_a_session_is_found_by_its_next_statement() {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let user = server.sql(DATABASE, "SELECT current_user").unwrap().trim().to_owned();
    let target = Target {
        columns: vec![(format!("{user}.staffers.email"), "pii".to_owned())],
        ..Target::new(DATABASE, server.port(), DATABASE)
    };
    let rig = Rig::of(server, &target, "", POLICY);
    let client = rig.through().connect().await;
    let used = "SELECT email || '' FROM staffers";
    client.batch_execute(used).await.expect("nothing in schema public is tagged");
    let other = rig.through().connect().await;
    other.batch_execute(&format!("CREATE SCHEMA {user}")).await.unwrap();
    other.batch_execute(&format!("CREATE TABLE {user}.staffers (id int, email text)")).await.unwrap();
    let refused = client.batch_execute(used).await.expect_err("it is another table by now");
    assert_eq!(refused.code().unwrap().code(), "42501");
    client.batch_execute("SELECT email || '' FROM public.staffers").await.expect("the one from before");
}
