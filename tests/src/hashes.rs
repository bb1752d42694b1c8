//! A keyed hash is a mask with which one can still compare. It is none for whoever can have a value of their own choice hashed.

use std::collections::BTreeSet;

use testkit::durward::Target;
use tokio_postgres::SimpleQueryMessage;

use crate::hostile::READS;
use crate::rig::{DATABASE, Rig, server};

const SAMPLE: &str = "CREATE TABLE owners (id int PRIMARY KEY, email text UNIQUE, plan text);
    CREATE TABLE payers (email text);
    CREATE VIEW both_of_them AS SELECT email FROM owners UNION ALL SELECT email FROM payers;
    INSERT INTO owners VALUES (1, 'ada@example.com', 'free'), (2, 'eve@example.com', 'paid');
    INSERT INTO payers VALUES ('ada@example.com')";
const COLUMNS: &str = "[targets.columns.\"public.owners.email\"]\ntags = [\"pii.email\"]\nstrategy = \"hash\"\n\
    [targets.columns.\"public.payers.email\"]\ntags = [\"pii.email\"]\nstrategy = \"hash\"\n";
const WRITES: &str = "@id(\"write\")\npermit (principal, action in Action::\"write\", resource);\n";

fn rig(policy: &str) -> Rig {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let target = Target { more: COLUMNS.to_owned(), ..Target::new(DATABASE, server.port(), DATABASE) };
    Rig::of(server, &target, "", policy)
}

/// The different values of the first column.
async fn values(client: &tokio_postgres::Client, text: &str) -> BTreeSet<String> {
    let answers = client.simple_query(text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
    let rows = answers.iter().filter_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        SimpleQueryMessage::CommandComplete(_) | SimpleQueryMessage::RowDescription(_) | _ => None,
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_is_of_stored_values_alone_and_for_nobody_who_stores_them() {
    let reads = rig(READS);
    let client = reads.through().connect().await;
    let owners = values(&client, "SELECT email FROM owners").await;
    assert_eq!(owners.len(), 2, "{owners:?}");
    // Who owns and pays is seen without seeing who it is.
    let payers = values(&client, "SELECT p.email FROM payers p JOIN owners o ON o.id = 1").await;
    assert!(payers.is_subset(&owners), "{payers:?} {owners:?}");
    for text in [
        "SELECT email FROM owners UNION ALL SELECT 'eve@example.com'",
        "SELECT 'eve@example.com' UNION ALL SELECT email FROM owners",
        "SELECT x FROM (SELECT 'eve@example.com' AS x UNION ALL SELECT email FROM owners) s",
        "WITH all_of_them AS (SELECT email FROM owners UNION ALL VALUES ('eve@example.com')) SELECT email FROM all_of_them",
        "WITH RECURSIVE r (email, n) AS (SELECT email, 1 FROM owners UNION ALL SELECT 'eve@example.com', n + 1 FROM r WHERE n < 2) \
         SELECT email FROM r",
        "SELECT coalesce(NULL, 'eve@example.com', (SELECT email FROM owners WHERE id = 1))",
    ] {
        let Ok(answers) = client.simple_query(text).await else { continue };
        for answer in answers {
            let SimpleQueryMessage::Row(row) = answer else { continue };
            let shown = row.get(0).unwrap_or_default().to_owned();
            assert!(!owners.contains(&shown), "{text} shows {shown}");
        }
    }
    // Through a view with nothing of the statement's own in it.
    assert_eq!(values(&client, "SELECT email FROM both_of_them").await, owners);

    let writes = rig(&[READS, WRITES].concat());
    let client = writes.through().connect().await;
    client.batch_execute("INSERT INTO payers VALUES ('eve@example.com')").await.unwrap();
    for text in ["SELECT email FROM owners", "SELECT email FROM payers", "SELECT email FROM both_of_them"] {
        assert_eq!(values(&client, text).await.len(), 1, "{text}");
    }
}
