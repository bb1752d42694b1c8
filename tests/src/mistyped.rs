//! Names that are not there: their place and what the server would guess, and nothing of what policy hides.

use tokio_postgres::Client;
use tokio_postgres::error::ErrorPosition;

use crate::rig::Rig;

const POLICY: &str = r#"
@id("connects") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action == Action::"select", resource)
    unless { resource in Schema::"sample/hidden" };
@id("inserts") permit (principal, action == Action::"insert", resource in Table::"sample/public.notes");
@id("updates") permit (principal, action == Action::"update", resource in Table::"sample/public.notes");
"#;

const HIDDEN: &str = "CREATE SCHEMA hidden; CREATE TABLE hidden.people (id int, ssn text, salary int);
    CREATE VIEW public.shown AS SELECT id, ssn FROM hidden.people";

/// What is said of an error: SQLSTATE, words, hint, and the place.
type Told = (String, String, Option<String>, Option<u32>);

async fn told(client: &Client, text: &str, prepared: bool) -> Option<Told> {
    let error =
        if prepared { client.prepare(text).await.err()? } else { client.simple_query(text).await.err()? };
    let error = error.as_db_error().unwrap();
    let position = error.position().and_then(|at| match at {
        ErrorPosition::Original(at) => Some(*at),
        ErrorPosition::Internal { .. } => None,
    });
    Some((
        error.code().code().to_owned(),
        error.message().to_owned(),
        error.hint().map(str::to_owned),
        position,
    ))
}

const MISTYPED: &[&str] = &[
    "SELECT emial FROM people",
    "SELECT 'é😀', emial FROM people",
    "SELECT p.emial FROM people p",
    "SELECT p . \"emial\" FROM people p",
    "SELECT pp.email FROM people p",
    "SELECT people.email FROM people p",
    "SELECT people.* FROM people p",
    "SELECT nosuch.* FROM people",
    "SELECT zebra FROM people",
    "SELECT public.people.emial FROM people",
    "SELECT id FROM people WHERE emial = 'x'",
    "SELECT id FROM people ORDER BY emial",
    "SELECT mod FROM people",
    "SELECT wrds FROM notes, people",
    "SELECT nam FROM people a JOIN names b ON a.id = b.id",
    "SELECT lines FROM notes n, notes m, notes o",
    "SELECT person FROM notes WHERE EXISTS (SELECT 1 FROM people WHERE persom = 1)",
    "SELECT s.nam FROM (SELECT name FROM people) s",
    "WITH c AS (SELECT name AS called FROM people) SELECT caled FROM c",
    "SELECT peple FROM moods",
    "SELECT * FROM peple",
    "SELECT * FROM people, public.peple",
    "SELECT * FROM nosuch.people",
    "SELECT nosuch(1, 'a')",
    "SELECT public.nosuch(1)",
    "SELECT nosuch.nosuch(1)",
    "SELECT lower('a', 'b', 'c')",
    "SELECT 1::nosuch",
    "SELECT 1::public.nosuch",
    "SELECT 1::nosuch.nosuch",
    "PREPARE p AS SELECT emial FROM people",
    "DECLARE c CURSOR FOR SELECT emial FROM people",
    "EXPLAIN SELECT emial FROM people",
    "COPY (SELECT emial FROM people) TO STDOUT",
    "UPDATE notes SET wrds = 'x' WHERE line = 1",
    "UPDATE notes SET words = 'x' WHERE lin = 1",
    "UPDATE notes SET (words, lin) = ('x', 1) WHERE line = 1",
    "INSERT INTO notes (line, wrds) VALUES (1, 'x')",
    "SELECT 1 FROM people JOIN notes USING (nosuch)",
    "SELECT 1 FROM people JOIN notes USING (email)",
    "SELECT 1 FROM people JOIN notes USING (words)",
    "SELECT 1 FROM people JOIN names USING (id, emial)",
];

#[tokio::test]
async fn a_name_that_is_not_there_is_told_as_the_server_tells_it() {
    let rig = Rig::start(&[], POLICY);
    let (direct, through) = (rig.direct().connect().await, rig.through().connect().await);
    let mut other = Vec::new();
    for text in MISTYPED {
        // Declared cursors need a block, which fails with the rest.
        let behind = format!("SELECT 'ä'; {text}");
        let cases = [(*text, false), (&*behind, false), (*text, true)];
        for (text, prepared) in cases {
            if prepared
                && (text.starts_with("DECLARE") || text.starts_with("COPY") || text.starts_with("PREPARE"))
            {
                continue;
            }
            let server = told(&direct, text, prepared).await;
            let gateway = told(&through, text, prepared).await;
            assert!(server.is_some(), "{text}");
            if server != gateway {
                other.push(format!("{text} (prepared: {prepared})\n  {server:?}\n  {gateway:?}"));
            }
        }
    }
    assert!(other.is_empty(), "{}", other.join("\n"));
}

/// What is there and what is not are told apart by nothing.
#[tokio::test]
async fn a_mistyped_name_tells_nothing_of_what_policy_hides() {
    let rig = Rig::start(&[], POLICY);
    rig.server.sql("sample", HIDDEN).unwrap();
    let client = rig.through().connect().await;
    for [there, not_there] in [
        ["SELECT ssn FROM hidden.people", "SELECT ssm FROM hidden.people"],
        ["SELECT p.ssn FROM hidden.people p", "SELECT p.nosuch FROM hidden.people p"],
        ["SELECT 1 FROM hidden.people WHERE salary > 1", "SELECT 1 FROM hidden.people WHERE salry > 1"],
        ["SELECT id FROM hidden.people p", "SELECT people.id FROM hidden.people p"],
        [
            "SELECT n.line FROM notes n, hidden.people WHERE ssn = ''",
            "SELECT n.line FROM notes n, hidden.people WHERE ssm = ''",
        ],
        [
            "UPDATE notes SET words = (SELECT ssn FROM hidden.people)",
            "UPDATE notes SET words = (SELECT ssm FROM hidden.people)",
        ],
        ["DELETE FROM notes WHERE line = 1", "DELETE FROM notes WHERE lin = 1"],
        [
            "SELECT line FROM notes JOIN hidden.people USING (ssn)",
            "SELECT line FROM notes JOIN hidden.people USING (ssm)",
        ],
        [
            "SELECT line FROM hidden.people JOIN notes USING (ssn)",
            "SELECT line FROM hidden.people JOIN notes USING (ssm)",
        ],
        ["INSERT INTO hidden.people (ssn) VALUES ('')", "INSERT INTO hidden.people (ssm) VALUES ('')"],
        ["UPDATE hidden.people SET ssn = ''", "UPDATE hidden.people SET ssm = ''"],
    ] {
        for prepared in [false, true] {
            let there = told(&client, there, prepared).await.unwrap();
            assert_eq!(there.0, "42501", "{there:?}");
            assert_eq!(told(&client, not_there, prepared).await.unwrap(), there, "{not_there}");
        }
    }
    // The honest neighbours.
    let near = told(&client, "SELECT wrds FROM notes", false).await.unwrap();
    assert_eq!(near.2.as_deref(), Some("Perhaps you meant to reference the column \"notes.words\"."));
    // What would be refused again is not advised.
    let refused =
        told(&client, "SELECT id FROM shown s WHERE pg_read_file(s.ssm) = ''", false).await.unwrap();
    assert_eq!((refused.0.as_str(), refused.2), ("42501", None), "{}", refused.1);
}

/// Everything, what is unknown too, but not so plainly that nothing is looked at.
const ANYTHING: &str = "@id(\"anything\")\npermit (principal, action, resource) when { context.encrypted || !context.encrypted };\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_masked_is_refused_before_it_runs_and_the_session_goes_on() {
    let rig = Rig::start(&[], ANYTHING);
    let client = rig.through().connect().await;
    for text in [
        "CREATE TEMP TABLE fresh (id int); INSERT INTO fresh VALUES (1); SELECT * FROM fresh",
        "CREATE TEMP TABLE fresh AS SELECT 1 AS id; TABLE fresh",
    ] {
        let (code, words, ..) = told(&client, text, false).await.expect("it is refused");
        assert_eq!(code, "42501", "{text}: {words}");
        assert!(words.starts_with("its result cannot be masked with certainty"), "{text}: {words}");
        let (code, words, ..) = told(&client, "SELECT * FROM fresh", false).await.expect("nothing of it ran");
        assert_eq!(code, "42P01", "{text}: {words}");
    }
    // One at a time they run, and together where nothing of that is read.
    client.batch_execute("CREATE TEMP TABLE fresh (id int); INSERT INTO fresh VALUES (1)").await.unwrap();
    assert_eq!(client.query("SELECT * FROM fresh", &[]).await.unwrap().len(), 1);
}
