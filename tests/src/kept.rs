//! Plans that the server keeps: it goes on with a plan as long as all that it uses is there, whatever else is found under the same
//! names by now, so that a statement which was understood anew has to be planned anew.

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow, Statement};

use testkit::durward::Target;

use crate::rig::{DATABASE, Rig, server};

const POLICY: &str = r#"
@id("reads") permit (principal, action in [Action::"connect", Action::"read"], resource);
@id("hidden") forbid (principal, action, resource in Schema::"sample/hidden");
@id("defines") permit (principal, action in Action::"define", resource);
"#;

/// One name in four schemas: whoever may come by the first must not get what is in the others.
const SAMPLE: &str = "SET check_function_bodies = off;
    CREATE SCHEMA plain; CREATE SCHEMA tagged; CREATE SCHEMA hidden;
    CREATE TABLE plain.t (id int, v text); INSERT INTO plain.t VALUES (1, 'seen by all');
    CREATE TABLE tagged.t (id int, v text); INSERT INTO tagged.t VALUES (1, 'kept secret');
    CREATE TABLE hidden.t (id int, v text); INSERT INTO hidden.t VALUES (1, 'kept secret');
    CREATE FUNCTION hidden.told() RETURNS text LANGUAGE plpgsql AS $$ BEGIN DELETE FROM plain.t; RETURN 'kept secret'; END $$;
    CREATE FUNCTION plain.cleaned() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM t; RETURN 1; END $$;
    CREATE FUNCTION plain.counted() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t';";
const ANEW: &str = "DELETE FROM plain.t; INSERT INTO plain.t VALUES (1, 'seen by all')";
/// The schema of a round, in the place of `play`: of another round's definitions something may not be known yet.
fn own(number: usize, text: &str) -> String {
    text.replace("play", &format!("play_{number}"))
}

const SHADOW: &str = "CREATE TABLE play.t (id int, v text)";
const TEMPORARY: &str = "CREATE TEMP TABLE t (id int, v text)";
/// The server names no table that its columns are of.
const BOTH: &str = "SELECT id, v FROM t UNION ALL SELECT NULL, NULL";
const TO_TAGGED: &str = "SET search_path = play, tagged";
const TO_HIDDEN: &str = "SET search_path = play, hidden";
const TO_PLAIN: &str = "SET search_path = play, plain";

/// What happens in a session.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Something is said by the simple protocol.
    Say(&'static str),
    /// Prepares a statement by the wire.
    Prepare(&'static str),
    /// Runs that.
    Run,
    /// Somebody else does something, and what that is gets known.
    Other(&'static str),
}
use Step::{Other, Prepare, Run, Say};

const ATTACKS: &[&[Step]] = &[
    &[Say(TO_TAGGED), Say("PREPARE s AS SELECT id, v FROM t"), Say(SHADOW), Say("EXECUTE s")],
    &[Say(TO_TAGGED), Say("PREPARE s AS SELECT reverse(v), v FROM t"), Say(SHADOW), Say("EXECUTE s")],
    &[
        Say(TO_TAGGED),
        Say("PREPARE s(text) AS SELECT upper(v) FROM t WHERE v > $1"),
        Say(SHADOW),
        Say("EXECUTE s('a')"),
    ],
    &[
        Say(TO_TAGGED),
        Say("PREPARE s AS SELECT id, v FROM t"),
        Say("CREATE VIEW play.t AS SELECT 1 AS id, 'x'::text AS v"),
        Say("EXECUTE s"),
    ],
    &[
        Say(TO_TAGGED),
        Say("CREATE TABLE play.y (id int, v text)"),
        Say("PREPARE s AS SELECT id, v FROM t"),
        Say("ALTER TABLE play.y RENAME TO t"),
        Say("EXECUTE s"),
    ],
    &[
        Say(TO_TAGGED),
        Say("PREPARE s AS SELECT id, v FROM t"),
        Say("SET search_path = plain"),
        Say(SHADOW),
        Say(TO_TAGGED),
        Say("EXECUTE s"),
    ],
    &[
        Say("BEGIN"),
        Say(TO_TAGGED),
        Say("PREPARE s AS SELECT id, v FROM t"),
        Say(SHADOW),
        Say("EXECUTE s"),
        Say("ROLLBACK"),
    ],
    &[
        Say(TO_TAGGED),
        Say("PREPARE s AS SELECT id, v FROM t"),
        Say(SHADOW),
        Say("EXPLAIN (ANALYZE, VERBOSE) EXECUTE s"),
        Say("CREATE TABLE play.stored AS EXECUTE s"),
        Say("SELECT v FROM play.stored"),
    ],
    &[
        Say(TO_TAGGED),
        Say("PREPARE s AS SELECT id, v FROM t; CREATE TABLE play.t (id int, v text); EXECUTE s"),
    ],
    &[Say(TO_TAGGED), Prepare(BOTH), Say(SHADOW), Run],
    &[Say(TO_TAGGED), Prepare(BOTH), Run, Say(TEMPORARY), Run],
    &[Say(TO_TAGGED), Prepare(BOTH), Other(SHADOW), Run],
    &[Say(TO_TAGGED), Say("PREPARE s AS SELECT id, v FROM t"), Other(SHADOW), Say("EXECUTE s")],
    // In a transaction that has failed the server plans nothing, and is told nothing.
    &[
        Say(TO_TAGGED),
        Prepare(BOTH),
        Say("BEGIN"),
        Say("SELECT 1/0"),
        Other(SHADOW),
        Run,
        Say("ROLLBACK"),
        Run,
    ],
    &[
        Say("CREATE TEMP TABLE before (id int)"),
        Say(TO_HIDDEN),
        Say("PREPARE s AS SELECT * FROM t"),
        Say(TEMPORARY),
        Say("EXECUTE s"),
    ],
    &[
        Say("SET search_path = play, hidden, pg_catalog"),
        Say("PREPARE s AS SELECT told()"),
        Say("EXECUTE s"),
        Say("CREATE FUNCTION play.told() RETURNS text LANGUAGE sql AS 'SELECT ''x''::text'"),
        Say("EXECUTE s"),
    ],
    &[
        Say("SET search_path = play, pg_catalog"),
        Say("PREPARE s AS SELECT CASE WHEN pg_read_file('PG_VERSION') <> 'x' THEN 'kept secret' END"),
        Say("EXECUTE s"),
        Say("CREATE FUNCTION play.pg_read_file(text) RETURNS text LANGUAGE sql AS 'SELECT ''x''::text'"),
        Say("EXECUTE s"),
    ],
    &[
        Say(TO_PLAIN),
        Say("PREPARE s AS DELETE FROM t RETURNING *"),
        Say("EXECUTE s"),
        Say(SHADOW),
        Say("EXECUTE s"),
    ],
    &[
        Say(TO_PLAIN),
        Say("PREPARE s AS UPDATE t SET v = 'kept secret' RETURNING v"),
        Say(TEMPORARY),
        Say("EXECUTE s"),
    ],
    &[
        Say(TO_PLAIN),
        Say("CREATE TABLE play.u (id int, v text)"),
        Say("SELECT plain.cleaned()"),
        Say("ALTER TABLE play.u RENAME TO t"),
        Say("SELECT plain.cleaned()"),
    ],
];

fn row(message: &SimpleQueryMessage) -> Option<&SimpleQueryRow> {
    if let SimpleQueryMessage::Row(row) = message { Some(row) } else { None }
}

/// Rows and errors, in their order.
async fn plays(number: usize, steps: &[Step], client: &Client, rig: &Rig) -> Vec<String> {
    let mut said = Vec::new();
    let mut prepared: Option<Statement> = None;
    for step in steps {
        match step {
            Say(text) => {
                match client.simple_query(&own(number, text)).await {
                    Err(error) => said.push(format!("{error:?}")),
                    Ok(answer) => said.extend(answer.iter().filter_map(row).map(|row| {
                        format!("{:?}", (0..row.len()).map(|at| row.get(at)).collect::<Vec<_>>())
                    })),
                }
            }
            Prepare(text) => prepared = client.prepare(text).await.ok(),
            Run => match client.query(prepared.as_ref().expect("it was prepared"), &[]).await {
                Err(error) => said.push(format!("{error:?}")),
                Ok(rows) => {
                    said.extend(rows.iter().map(|row| format!("{:?}", row.get::<_, Option<String>>(1))))
                }
            },
            Other(text) => {
                rig.server.sql(DATABASE, &own(number, text)).unwrap();
                // The catalogue is looked at each second.
                tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            }
        }
    }
    said
}

fn rig() -> Rig {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let mut policy = POLICY.to_owned();
    for number in 0..ATTACKS.len() {
        server.sql(DATABASE, &own(number, "CREATE SCHEMA play")).unwrap();
        policy.push_str(&own(
            number,
            "@id(\"play\") permit (principal, action in Action::\"write\", resource in Schema::\"sample/play\");\n",
        ));
    }
    let target = Target {
        columns: vec![("tagged.t.v".to_owned(), "pii".to_owned())],
        ..Target::new(DATABASE, server.port(), DATABASE)
    };
    Rig::of(server, &target, "", &policy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hides_another_object_does_not_get_its_plan() {
    let rig = rig();
    let mut wrong = Vec::new();
    for (number, steps) in ATTACKS.iter().enumerate() {
        rig.server.sql(DATABASE, ANEW).unwrap();
        let client = rig.through().connect().await;
        let said = plays(number, steps, &client, &rig).await;
        let kept = rig.direct().connect().await.query("SELECT v FROM plain.t", &[]).await.unwrap();
        let kept: Vec<String> = kept.iter().map(|row| row.get(0)).collect();
        if kept != ["seen by all"] || said.iter().any(|what| what.contains("secret")) {
            wrong.push(format!("{number}: {steps:?}: {said:?}, {kept:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_prepared_goes_on_where_another_object_is_found_under_its_name() {
    let rig = rig();
    let client = rig.through().connect().await;
    client.batch_execute(&own(0, TO_PLAIN)).await.unwrap();
    let statement = client.prepare("SELECT v FROM t").await.unwrap();
    client.batch_execute("PREPARE s AS SELECT v FROM t").await.unwrap();
    let rows = async || {
        let by_wire: Vec<String> =
            client.query(&statement, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        let answer = client.simple_query("EXECUTE s").await.unwrap();
        let by_sql: Vec<String> =
            answer.iter().filter_map(row).filter_map(|row| row.get(0).map(str::to_owned)).collect();
        assert_eq!(by_wire, by_sql);
        by_wire
    };
    assert_eq!(rows().await, ["seen by all"]);
    let counted = async || -> i64 { client.query_one("SELECT plain.counted()", &[]).await.unwrap().get(0) };
    assert_eq!(counted().await, 1);
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute(&own(0, SHADOW)).await.unwrap();
    client.batch_execute(&own(0, "INSERT INTO play.t VALUES (1, 'a'), (2, 'b')")).await.unwrap();
    // The server itself would still answer from what is hidden.
    assert_eq!(rows().await, ["a", "b"]);
    assert_eq!(counted().await, 2);
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(rows().await, ["seen by all"]);
    assert_eq!(counted().await, 1);
}
