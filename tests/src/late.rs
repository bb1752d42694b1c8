//! Code that runs later than the statement that calls it, or after names have moved within it: functions of cursors and
//! portals, deferred triggers, bodies that set the search path. What they were understood to do must still hold then.

use tokio_postgres::Client;

use testkit::durward::Target;

use crate::rig::{DATABASE, Rig, Way, server};

const POLICY: &str = "@id(\"all\")\npermit (principal, action, resource);\n\
     @id(\"kept\")\nforbid (principal, action in Action::\"write\", resource in Schema::\"sample/kept\");\n\
     @id(\"certain\")\nforbid (principal, action == Action::\"unknown\", resource);\n";

/// What `helper` is depends on the search path: in `other` it writes where nobody may write.
const SAMPLE: &str = "
    CREATE SCHEMA kept; CREATE SCHEMA mine; CREATE SCHEMA other;
    CREATE TABLE kept.ledger (what int);
    CREATE FUNCTION mine.helper() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
    CREATE FUNCTION other.helper() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO kept.ledger VALUES (1); RETURN 1; END $$;
    CREATE FUNCTION mine.calls() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN helper(); END $$;
    CREATE FUNCTION mine.fixed() RETURNS int LANGUAGE plpgsql SET search_path = mine AS $$ BEGIN RETURN helper(); END $$;
    CREATE FUNCTION mine.switches() RETURNS int LANGUAGE plpgsql SET search_path = mine
        AS $$ BEGIN PERFORM set_config('search_path', 'other', true); RETURN helper(); END $$;
    CREATE FUNCTION mine.writes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO ledger VALUES (1); RETURN 1; END $$;
    CREATE FUNCTION mine.notes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM helper(); RETURN NULL; END $$;
    CREATE TABLE mine.plain (id int);
    INSERT INTO mine.plain VALUES (1), (2), (3);
    CREATE TABLE mine.noted (id int);
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON mine.noted DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION mine.notes();
    CREATE TABLE mine.soon (id int);
    CREATE TRIGGER soon AFTER INSERT ON mine.soon FOR EACH ROW EXECUTE FUNCTION mine.notes();";

/// Messages of one session, one after the other.
const ATTACKS: &[&[&str]] = &[
    &["SET search_path = mine", "SELECT set_config('search_path', 'other', false), mine.calls()"],
    &[
        "SET search_path = mine",
        "INSERT INTO mine.soon SELECT length(set_config('search_path', 'other', false))",
    ],
    &["SELECT mine.switches()"],
    &["DO $$ BEGIN PERFORM set_config('search_path', 'other', true); PERFORM mine.calls(); END $$"],
    &[
        "SET search_path = mine",
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT mine.calls() FROM mine.plain",
        "SET search_path = other",
        "FETCH 2 FROM c",
        "COMMIT",
    ],
    &[
        "SET search_path = mine",
        "BEGIN",
        "DECLARE c CURSOR WITH HOLD FOR SELECT mine.calls() FROM mine.plain",
        "SELECT set_config('search_path', 'other', false)",
        "COMMIT",
    ],
    &[
        "SET search_path = mine",
        "BEGIN; DECLARE c CURSOR FOR SELECT mine.calls() FROM mine.plain; SET search_path = other; FETCH 2 FROM c; COMMIT",
    ],
    &[
        "SET search_path = kept",
        "CREATE TEMP TABLE ledger (what int)",
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT mine.writes() FROM mine.plain",
        "DROP TABLE pg_temp.ledger",
        "FETCH 2 FROM c",
        "COMMIT",
    ],
    &[
        "SET search_path = mine",
        "BEGIN",
        "INSERT INTO mine.noted VALUES (1)",
        "SET search_path = other",
        "COMMIT",
    ],
    &["SET search_path = mine", "INSERT INTO mine.noted VALUES (1); SET search_path = other"],
    &[
        "SET search_path = mine",
        "BEGIN",
        "INSERT INTO mine.noted VALUES (1)",
        "SET LOCAL search_path = other",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "COMMIT",
    ],
];

const HONEST: &[&[&str]] = &[
    &[
        "SELECT set_config('search_path', 'mine', false), set_config('application_name', 'x', false)",
        "SELECT mine.calls()",
    ],
    &["SET search_path = mine", "SELECT mine.calls(), set_config('application_name', 'x', false)"],
    &["SELECT mine.fixed()", "SET search_path = other", "SELECT mine.fixed()"],
    &[
        "SET search_path = mine",
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT mine.calls() FROM mine.plain",
        "FETCH 2 FROM c",
        "CLOSE c",
        "SET search_path = other",
        "COMMIT",
    ],
    &[
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT id, upper(id::text) FROM mine.plain",
        "SET search_path = other",
        "FETCH 2 FROM c",
        "COMMIT",
    ],
    &[
        "SET search_path = mine",
        "BEGIN",
        "INSERT INTO mine.noted VALUES (1)",
        "SELECT mine.calls()",
        "COMMIT",
        "SET search_path = other",
    ],
    &[
        "SET search_path = mine",
        "BEGIN",
        "SET LOCAL work_mem = '1MB'",
        "INSERT INTO mine.noted VALUES (1)",
        "COMMIT",
    ],
    &[
        "SET search_path = mine",
        "BEGIN",
        "INSERT INTO mine.soon VALUES (1)",
        "SET search_path = other",
        "ROLLBACK",
    ],
];

async fn ledger(server: &Client) -> i64 {
    server.query_one("SELECT count(*) FROM kept.ledger", &[]).await.unwrap().get(0)
}

/// Sends all of them, whatever becomes of each, and says which failed.
async fn send(client: &Client, messages: &[&str]) -> Vec<String> {
    let mut failed = Vec::new();
    for message in messages {
        if let Err(error) = client.batch_execute(message).await {
            let code = error.code().map(|code| code.code().to_owned());
            failed.push(format!("{message}: {}", code.unwrap_or_else(|| error.to_string())));
        }
    }
    failed
}

/// A portal of which one row is fetched, then the search path moves.
async fn by_portal(client: &mut Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("SET search_path = mine").await?;
    let transaction = client.transaction().await?;
    let portal = transaction.bind("SELECT mine.calls() FROM mine.plain", &[]).await?;
    transaction.query_portal(&portal, 1).await?;
    transaction.batch_execute("SET search_path = other").await?;
    transaction.query_portal(&portal, 1).await?;
    transaction.commit().await
}

/// The same by a portal that sets it.
async fn by_two_portals(client: &mut Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("SET search_path = mine").await?;
    let transaction = client.transaction().await?;
    let sets = transaction.bind("SET search_path = other", &[]).await?;
    let portal = transaction.bind("SELECT mine.calls() FROM mine.plain", &[]).await?;
    transaction.query_portal(&sets, 0).await?;
    transaction.query_portal(&portal, 1).await?;
    transaction.commit().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_runs_later_does_what_was_decided() {
    let rig = Rig::start(&["autovacuum=off"], POLICY);
    rig.server.sql(DATABASE, SAMPLE).unwrap();
    // The catalogue that is polled is seen.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let server = rig.direct().connect().await;
    let mut wrong = Vec::new();
    let judge = async |wrong: &mut Vec<String>, what: &str, direct: bool| {
        let written = ledger(&server).await > 0;
        if written != direct {
            wrong.push(format!("{}: {what}", if direct { "no attack" } else { "WRITTEN" }));
        }
        server.batch_execute("TRUNCATE kept.ledger, mine.noted, mine.soon").await.unwrap();
    };
    for attack in ATTACKS {
        send(&rig.direct().connect().await, attack).await;
        judge(&mut wrong, &attack.join("; "), true).await;
        let failed = send(&rig.through().connect().await, attack).await;
        judge(&mut wrong, &attack.join("; "), false).await;
        if failed.is_empty() {
            wrong.push(format!("nothing is refused: {}", attack.join("; ")));
        }
    }
    by_portal(&mut rig.direct().connect().await).await.unwrap();
    judge(&mut wrong, "a portal", true).await;
    by_two_portals(&mut rig.direct().connect().await).await.unwrap();
    judge(&mut wrong, "two portals", true).await;
    assert!(by_portal(&mut rig.through().connect().await).await.is_err());
    judge(&mut wrong, "a portal", false).await;
    assert!(by_two_portals(&mut rig.through().connect().await).await.is_err());
    judge(&mut wrong, "two portals", false).await;
    for honest in HONEST {
        let failed = send(&rig.through().connect().await, honest).await;
        wrong.extend(failed.into_iter().map(|failed| format!("honest: {failed}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What another session defines while code of this one is still to run: it writes where nobody may write.
const REDEFINED: &str = "CREATE OR REPLACE FUNCTION mine.helper() RETURNS int LANGUAGE plpgsql \
    AS $$ BEGIN INSERT INTO kept.ledger VALUES (1); RETURN 1; END $$";
/// As it was.
const DEFINED: &str =
    "CREATE OR REPLACE FUNCTION mine.helper() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$";
/// What changes nothing of that.
const UNRELATED: &str =
    "CREATE OR REPLACE FUNCTION mine.unrelated() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$";

/// Messages of one session before the other one defines something, and behind that.
const TWO_SESSIONS: &[(&[&str], &[&str])] = &[
    (&["BEGIN", "DECLARE c CURSOR FOR SELECT mine.helper() FROM mine.plain"], &["FETCH 2 FROM c", "COMMIT"]),
    (&["BEGIN; DECLARE c CURSOR FOR SELECT mine.helper() FROM mine.plain"], &["MOVE 2 IN c", "COMMIT"]),
    (&["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT mine.helper() FROM mine.plain"], &["COMMIT"]),
    (&["SET search_path = mine", "BEGIN", "INSERT INTO mine.noted VALUES (1)"], &["COMMIT"]),
    (&["SET search_path = mine", "BEGIN; INSERT INTO mine.noted VALUES (1)"], &["SELECT 1", "COMMIT"]),
    (
        &["SET search_path = mine", "BEGIN", "INSERT INTO mine.noted VALUES (1)"],
        &["SET CONSTRAINTS ALL IMMEDIATE", "COMMIT"],
    ),
];

/// A function whose names are bound when it is made may be made anew, too. From version 14 on.
const MADE_ANEW: &[&str] = &[
    "BEGIN",
    "DECLARE c CURSOR FOR SELECT mine.bound() FROM mine.plain",
    "CREATE OR REPLACE FUNCTION mine.bound() RETURNS int LANGUAGE sql BEGIN ATOMIC; INSERT INTO kept.ledger VALUES (1); SELECT 1; END",
    "FETCH 2 FROM c",
    "COMMIT",
];
const BOUND: &str =
    "CREATE OR REPLACE FUNCTION mine.bound() RETURNS int LANGUAGE sql BEGIN ATOMIC; SELECT 2; SELECT 1; END";

async fn begun_and_ended(way: &Way, before: &[&str], other: &str, behind: &[&str]) -> Vec<String> {
    let (one, two) = (way.connect().await, way.connect().await);
    let mut failed = send(&one, before).await;
    failed.extend(send(&two, &[other]).await);
    failed.extend(send(&one, behind).await);
    failed
}

/// A portal of which one row is fetched, then what it calls is defined anew by another session.
async fn by_portal_of_two(way: &Way, other: &str) -> Result<(), tokio_postgres::Error> {
    let (mut one, two) = (way.connect().await, way.connect().await);
    let transaction = one.transaction().await?;
    let portal = transaction.bind("SELECT mine.helper() FROM mine.plain", &[]).await?;
    transaction.query_portal(&portal, 1).await?;
    two.batch_execute(other).await?;
    transaction.query_portal(&portal, 1).await?;
    transaction.commit().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_runs_later_does_what_was_decided_whoever_defines_it_anew() {
    let rig = Rig::start(&["autovacuum=off"], POLICY);
    rig.server.sql(DATABASE, SAMPLE).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let server = rig.direct().connect().await;
    let version: i32 =
        server.query_one("SELECT current_setting('server_version_num')::int", &[]).await.unwrap().get(0);
    let mut wrong = Vec::new();
    // Defined through the gateway, which therefore knows it at once.
    let judge = async |wrong: &mut Vec<String>, what: &str, direct: bool| {
        if (ledger(&server).await > 0) != direct {
            wrong.push(format!("{}: {what}", if direct { "no attack" } else { "WRITTEN" }));
        }
        server.batch_execute("TRUNCATE kept.ledger, mine.noted, mine.soon").await.unwrap();
        let client = rig.through().connect().await;
        client.batch_execute(DEFINED).await.unwrap();
        if version >= 140_000 {
            client.batch_execute(BOUND).await.unwrap();
        }
    };
    let (direct, through) = (rig.direct(), rig.through());
    judge(&mut wrong, "nothing yet", false).await;
    for (before, behind) in TWO_SESSIONS {
        let what = format!("{} | {}", before.join("; "), behind.join("; "));
        begun_and_ended(&direct, before, REDEFINED, behind).await;
        judge(&mut wrong, &what, true).await;
        let failed = begun_and_ended(&through, before, REDEFINED, behind).await;
        judge(&mut wrong, &what, false).await;
        if failed.is_empty() {
            wrong.push(format!("nothing is refused: {what}"));
        }
        for other in [UNRELATED, DEFINED] {
            let failed = begun_and_ended(&through, before, other, behind).await;
            wrong.extend(failed.into_iter().map(|failed| format!("honest: {failed}")));
            judge(&mut wrong, &what, false).await;
        }
    }
    // The server itself hears of it at a moment of its own.
    assert!(by_portal_of_two(&through, REDEFINED).await.is_err());
    judge(&mut wrong, "a portal", false).await;
    by_portal_of_two(&through, UNRELATED).await.unwrap();
    if version >= 140_000 {
        send(&direct.connect().await, MADE_ANEW).await;
        judge(&mut wrong, "made anew", true).await;
        let failed = send(&through.connect().await, MADE_ANEW).await;
        judge(&mut wrong, "made anew", false).await;
        if failed.is_empty() {
            wrong.push("nothing is refused: made anew".to_owned());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Who may write, and see no clear value. A foreign key is deferred to the end of the transaction, and quotes what it misses.
const QUOTING: &str = "@id(\"in\") permit (principal, action in [Action::\"connect\", Action::\"read\", Action::\"write\"], resource);\n\
     @id(\"settings\") permit (principal, action == Action::\"configure\", resource);\n";
const OWED: &str = "CREATE TABLE lenders (card text PRIMARY KEY);
    CREATE TABLE loans (id int, card text REFERENCES lenders DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO lenders VALUES ('csecret'); INSERT INTO loans VALUES (1, 'csecret')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transaction_has_put_off_quotes_no_tagged_value() {
    let server = server(&[]);
    server.sql(DATABASE, OWED).unwrap();
    let mut target = Target::new(DATABASE, server.port(), DATABASE);
    target.columns = ["lenders.card", "loans.card"]
        .map(|column| (format!("public.{column}"), "pii".to_owned()))
        .into_iter()
        .collect();
    let rig = Rig::of(server, &target, "", QUOTING);
    let client = rig.through().connect().await;
    for messages in [
        &["DELETE FROM lenders"][..],
        &["BEGIN", "DELETE FROM lenders", "COMMIT"],
        &["BEGIN", "DELETE FROM lenders", "SET CONSTRAINTS ALL IMMEDIATE"],
        &["BEGIN; DELETE FROM lenders; COMMIT"],
    ] {
        let (last, before) = messages.split_last().expect("a message");
        for message in before {
            client.batch_execute(message).await.unwrap();
        }
        let error = client.batch_execute(last).await.expect_err("a loan is left");
        let said = error.as_db_error().expect("the server's word");
        assert_eq!(said.code().code(), "23503", "{messages:?}");
        assert!(!format!("{said:?}").contains("csecret"), "{messages:?}: {said:?}");
        client.batch_execute("ROLLBACK").await.unwrap();
    }
    // What fails for itself is told as it is.
    client.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let error = client.batch_execute("SELECT 1 / 0").await.expect_err("it fails");
    assert!(error.as_db_error().expect("the server's word").message().contains("division by zero"));
}
