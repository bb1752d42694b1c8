//! A role that is no superuser: row security applies to it, and event triggers run with its definitions. What these call
//! writes where nobody may write.

use testkit::durward::Target;
use tokio_postgres::Client;

use crate::rig::{DATABASE, Rig, server};

const POLICY: &str = "@id(\"all\")\npermit (principal, action, resource);\n\
     @id(\"kept\")\nforbid (principal, action in Action::\"write\", resource in Schema::\"sample/kept\");\n";

const SAMPLE: &str = "
    CREATE ROLE app LOGIN; CREATE SCHEMA kept; CREATE SCHEMA mine AUTHORIZATION app;
    CREATE TABLE kept.ledger (what text);
    GRANT USAGE ON SCHEMA kept TO app; GRANT SELECT, INSERT ON kept.ledger TO app;
    CREATE FUNCTION mine.seen(n int) RETURNS boolean LANGUAGE plpgsql
        AS $$ BEGIN INSERT INTO kept.ledger VALUES ('x'); RETURN true; END $$;
    CREATE TABLE mine.secured (id int, who text DEFAULT current_user);
    INSERT INTO mine.secured VALUES (1, 'app'), (2, 'app');
    ALTER TABLE mine.secured ENABLE ROW LEVEL SECURITY;
    CREATE POLICY seen ON mine.secured USING (mine.seen(id));
    CREATE TABLE mine.indirect (id int);
    INSERT INTO mine.indirect VALUES (1), (2);
    ALTER TABLE mine.indirect ENABLE ROW LEVEL SECURITY;
    CREATE POLICY by_others ON mine.indirect USING (id IN (SELECT s.id FROM mine.secured s));
    CREATE TABLE mine.own (id int, who text DEFAULT current_user);
    INSERT INTO mine.own VALUES (1, 'app'), (2, 'other');
    ALTER TABLE mine.own ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON mine.own USING (who = current_user);
    GRANT ALL ON mine.secured, mine.indirect, mine.own TO app;
    SET ROLE app;
    CREATE TABLE mine.plain (id int);
    CREATE VIEW mine.shown AS SELECT id FROM mine.secured;
    CREATE FUNCTION mine.total() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM mine.secured';
    RESET ROLE";

/// From here on definitions are watched.
const WATCHED: &str = "
    CREATE FUNCTION mine.watches() RETURNS event_trigger LANGUAGE plpgsql
        AS $$ BEGIN INSERT INTO kept.ledger VALUES ('x'); END $$;
    CREATE EVENT TRIGGER watching ON ddl_command_end EXECUTE FUNCTION mine.watches(); TRUNCATE kept.ledger";

const ATTACKS: &[&str] = &[
    "SELECT id FROM mine.secured",
    "SELECT count(*) FROM mine.secured",
    "SELECT id FROM mine.shown",
    "SELECT id FROM mine.indirect",
    "SELECT mine.total()",
    "SELECT id FROM mine.secured FOR UPDATE",
    "INSERT INTO mine.secured VALUES (3)",
    "INSERT INTO mine.plain SELECT id FROM mine.secured",
    "UPDATE mine.secured SET who = 'x'",
    "UPDATE mine.plain SET id = 1 WHERE EXISTS (SELECT FROM mine.secured)",
    "DELETE FROM mine.secured",
    "DELETE FROM mine.own USING mine.indirect i WHERE i.id = own.id",
    "WITH d AS (DELETE FROM mine.secured RETURNING id) SELECT count(*) FROM d",
    "DECLARE c CURSOR FOR SELECT id FROM mine.secured; FETCH c",
    "EXPLAIN ANALYZE SELECT id FROM mine.secured",
    "CREATE TABLE mine.copied AS SELECT id FROM mine.plain",
    "CREATE TABLE mine.other (id int)",
    "CREATE TEMP TABLE other (id int)",
    "COMMENT ON TABLE mine.plain IS 'x'",
    "ALTER TABLE mine.plain ADD COLUMN n int",
    "GRANT SELECT ON mine.plain TO public",
    "DROP VIEW mine.shown",
];

const HONEST: &[&str] = &[
    "SELECT id FROM mine.plain",
    "SELECT id, who FROM mine.own WHERE id = 1",
    "INSERT INTO mine.own VALUES (3)",
    "UPDATE mine.own SET id = 4 WHERE id = 3",
    "DELETE FROM mine.own WHERE id = 4",
    "INSERT INTO mine.plain VALUES (1)",
    "TRUNCATE mine.plain",
    "ANALYZE mine.plain",
];

async fn ledger(server: &Client) -> i64 {
    server.query_one("SELECT count(*) FROM kept.ledger", &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_does_for_a_plain_role_is_seen() {
    let server = server(&["autovacuum=off"]);
    server.sql(DATABASE, SAMPLE).unwrap();
    server.sql(DATABASE, WATCHED).unwrap();
    let target = Target { user: "app".to_owned(), ..Target::new(DATABASE, server.port(), DATABASE) };
    let rig = Rig::of(server, &target, "", POLICY);
    let admin = rig.direct().connect().await;
    let (direct, connection) =
        rig.direct().config().user("app").connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for attack in ATTACKS {
        direct.batch_execute(&format!("BEGIN; {attack}")).await.unwrap_or_else(|e| panic!("{attack}: {e:?}"));
        assert!(ledger(&direct).await > 0, "no attack: {attack}");
        direct.batch_execute("ROLLBACK").await.unwrap();
        let client = rig.through().connect().await;
        let said = client.batch_execute(attack).await;
        let code = said.err().and_then(|error| error.code().map(|code| code.code().to_owned()));
        assert_eq!(code.as_deref(), Some("42501"), "{attack}");
        assert_eq!(ledger(&admin).await, 0, "{attack}");
    }
    let client = rig.through().connect().await;
    for honest in HONEST {
        client.batch_execute(honest).await.unwrap_or_else(|error| panic!("{honest}: {error:?}"));
    }
    assert_eq!(ledger(&admin).await, 0);
}
