//! A mask that comes back as input: whoever reads a row, changes it and writes it back would destroy what was hidden from them.

use testkit::durward::Target;
use tokio_postgres::types::ToSql;

use crate::rig::{DATABASE, Rig, Way, server};

const SAMPLE: &str = "CREATE TABLE owners (id int PRIMARY KEY, email text, card text, plan text);
    INSERT INTO owners VALUES (1, 'ada@example.com', '4111111111111111', 'free')";
const COLUMNS: [(&str, &str); 2] = [("public.owners.email", "pii.email"), ("public.owners.card", "pii.card")];
const POLICY: &str = r#"
@id("works") permit (principal, action in [Action::"connect", Action::"read", Action::"write"], resource);
@id("clear") permit (principal == Agent::"clear", action == Action::"reveal", resource);
"#;

fn rig() -> Rig {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let columns = COLUMNS.map(|(column, tag)| (column.to_owned(), tag.to_owned())).to_vec();
    let target = Target { columns, ..Target::new(DATABASE, server.port(), DATABASE) };
    Rig::of(server, &target, "", POLICY)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mask_that_comes_back_is_refused_and_the_session_goes_on() {
    let rig = rig();
    let client = rig.through().connect().await;
    let row = client.query_one("SELECT email, card FROM owners", &[]).await.unwrap();
    let (email, card): (String, String) = (row.get(0), row.get(1));
    for text in [
        format!("UPDATE owners SET plan = 'paid', email = '{email}' WHERE id = 1"),
        format!("UPDATE owners SET card = '{card}' WHERE id = 1"),
        format!("INSERT INTO owners VALUES (2, '{email}', '4012888888881881', 'paid')"),
        format!("SELECT 1; UPDATE owners SET email = '{email}' WHERE id = 1"),
    ] {
        let error = client.simple_query(&text).await.expect_err(&text);
        let error = error.as_db_error().expect("the gateway's words");
        assert_eq!(error.code().code(), "42501", "{text}");
        let hint = error.hint().unwrap_or_default();
        assert!(["Leave email out", "Leave card out"].iter().any(|words| hint.starts_with(words)), "{hint}");
    }
    let update = "UPDATE owners SET email = $1 WHERE id = $2";
    let bound: [&(dyn ToSql + Sync); 2] = [&email, &1];
    assert!(client.execute(update, &bound).await.is_err());
    let stored = "SELECT email, card, plan FROM owners";
    let as_it_was = rig.server.sql(DATABASE, stored).unwrap();
    assert!(as_it_was.contains("ada@example.com") && as_it_was.contains("free"), "{as_it_was}");

    // What is left out stays; another value, and stars where nothing is hidden, are stored.
    for text in [
        "UPDATE owners SET plan = '***' WHERE id = 1",
        "UPDATE owners SET email = 'eve@example.com' WHERE id = 1",
        "UPDATE owners SET email = NULL WHERE id = 2",
    ] {
        client.simple_query(text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let bound: [&(dyn ToSql + Sync); 2] = [&"bob@example.com", &1];
    assert_eq!(client.execute(update, &bound).await.unwrap(), 1);
    // Who sees what is stored means what they write.
    let clear = Way { port: rig.gateway.port(), password: rig.gateway.token("clear").unwrap() };
    let clear = clear.connect().await;
    clear.simple_query("UPDATE owners SET email = '***' WHERE id = 1").await.unwrap();
    let stored = rig.server.sql(DATABASE, stored).unwrap();
    assert!(stored.contains("***|4111111111111111|***"), "{stored}");
}
