//! The catalogue of a real server, while that changes, is locked and goes away.

use model::{ColumnName, TableName, Tag, TargetName};
use sql::postgres::catalog::Oid;
use testkit::postgres::Postgres;

use super::*;
use crate::catalogue::ColumnTag;
use crate::catalogue::tests::tls;
use crate::credentials::Credential;
use crate::memory::Memory;
use crate::net::dial::Address;

struct Rig {
    shared: Arc<SharedCatalogue>,
    server: Postgres,
    _directory: tempfile::TempDir,
}

fn place(port: u16) -> Place {
    Place {
        target: TargetName::new("shop"),
        address: Address::new("127.0.0.1", port),
        tls: tls(),
        user: "postgres".to_owned(),
        database: "postgres".to_owned(),
        credential: Credential::None,
    }
}

fn tagging(columns: &[&str]) -> Tagging {
    let column = |name: &&str| ColumnTag {
        column: ColumnName {
            table: TableName { schema: "public".to_owned(), name: "people".to_owned() },
            name: (*name).to_owned(),
        },
        tag: Tag("pii".to_owned()),
        strategy: None,
    };
    Tagging::new(columns.iter().map(column).collect())
}

fn rig() -> Rig {
    let server = Postgres::start(&[]).expect("it starts");
    server
        .sql(
            "postgres",
            "CREATE TABLE people (id integer, email text); CREATE VIEW mails AS SELECT email FROM people",
        )
        .expect("a table");
    let directory = tempfile::tempdir().expect("a directory");
    let journal = Journal::open(directory.path(), journal::Options::default()).expect("a journal");
    let (state, metrics) = (State::new(Memory::default()), Arc::new(Metrics::new()));
    let shared = SharedCatalogue::new(place(server.port()), tagging(&["email"]), journal, state, metrics);
    Rig { shared: Arc::new(shared), server, _directory: directory }
}

impl SharedCatalogue {
    /// However lately somebody looked.
    async fn poll_now(&self) {
        self.reader.lock().await.looked = None;
        self.poll().await;
    }
}

impl Rig {
    /// What another gateway of the same state makes of a place, or this one when it begins again.
    fn again(&self, place: Place, columns: &[&str]) -> SharedCatalogue {
        let (journal, state) = (self.shared.journal.clone(), self.shared.state.clone());
        SharedCatalogue::new(place, tagging(columns), journal, state, Arc::new(Metrics::new()))
    }

    fn reads(&self) -> u64 {
        self.shared.metrics.catalogue_reads.get()
    }

    fn has(&self, table: &str) -> bool {
        self.shared.current().0.relation("public", table).is_some()
    }
}

fn is_tagged(catalogue: &Catalog, column: &str) -> bool {
    let people = catalogue.relation("public", "people").expect("people are there");
    !catalogue.tags(people.oid, people.column(column).expect("a column").number).is_empty()
}

#[tokio::test]
async fn a_look_reads_only_what_has_moved() {
    let rig = rig();
    rig.shared.poll_now().await;
    assert_eq!(rig.reads(), 0, "nobody needs it yet");
    rig.shared.ready().await.expect("it is read");
    assert_eq!((rig.reads(), rig.shared.version(), rig.has("people")), (1, 1, true));
    rig.server.sql("postgres", "INSERT INTO people VALUES (1, 'a')").expect("a row");
    rig.shared.refresh().await;
    assert_eq!(rig.reads(), 1, "a row is nothing of the catalogue's");
    rig.server.sql("postgres", "CREATE TABLE more (a integer)").expect("a table");
    rig.shared.poll_now().await;
    assert_eq!((rig.reads(), rig.shared.version(), rig.has("more")), (2, 2, true));
}

#[tokio::test]
async fn a_login_does_not_believe_what_nobody_looked_at() {
    let rig = rig();
    rig.shared.ready().await.expect("it is read");
    rig.server.sql("postgres", "CREATE TABLE more (a integer)").expect("a table");
    rig.shared.seen.store(Instant::now().checked_sub(RECENT).map(Arc::new));
    rig.shared.ready().await.expect("it is read");
    assert!(rig.has("more"));
}

fn tagged_outside_the_system(catalogue: &Catalog) -> usize {
    let ours = catalogue.relations().filter(|relation| relation.schema == "public");
    let columns = ours.flat_map(|relation| relation.columns.iter().map(|c| (relation.oid, c.number)));
    columns.filter(|(relation, number)| !catalogue.tags(*relation, *number).is_empty()).count()
}

#[tokio::test]
async fn where_nobody_tagged_anything_the_servers_secrets_are_tagged_all_the_same() {
    let rig = rig();
    let untagged = rig.again(place(rig.server.port()), &[]);
    untagged.ready().await.expect("it is read");
    let (catalogue, _) = untagged.current();
    assert!(catalogue.any_tags());
    for (relation, column) in [
        ("pg_stat_activity", "query"),
        ("pg_stats", "most_common_vals"),
        ("pg_user_mappings", "umoptions"),
        ("pg_authid", "rolpassword"),
    ] {
        let relation = catalogue.relation("pg_catalog", relation).expect(relation);
        let number = relation.column(column).expect(column).number;
        assert!(!catalogue.tags(relation.oid, number).is_empty(), "{column}");
    }
    assert_eq!(tagged_outside_the_system(&catalogue), 0);
}

#[tokio::test]
async fn new_tags_need_no_server() {
    let Rig { shared, server, _directory } = rig();
    shared.ready().await.expect("it is read");
    let (before, _) = shared.current();
    drop(server);
    // Somebody waits for that server all the while.
    let _looks = shared.reader.lock().await;
    shared.stage(Arc::new(tagging(&["id"]))).await.take();
    let (after, version) = shared.current();
    assert!(version == 2 && is_tagged(&after, "id") && !is_tagged(&after, "email"));
    assert!(is_tagged(&before, "email"), "who holds the old one sees no change");
    // What is read meanwhile was asked for under other tags.
    let (old, new) = (shared.tagging(), Arc::new(tagging(&["email"])));
    let staged = shared.stage(Arc::clone(&new)).await;
    shared.take(catalogue::retagged(&before, &old.columns), &old);
    staged.take();
    let (after, version) = shared.current();
    assert!(version == 4 && is_tagged(&after, "email") && !is_tagged(&after, "id"));
    shared.take(catalogue::retagged(&before, &old.columns), &old);
    let (after, version) = shared.current();
    assert!(version == 5 && is_tagged(&after, "email") && !is_tagged(&after, "id"));
}

#[tokio::test]
async fn what_is_known_to_be_old_is_not_used() {
    let Rig { shared, server, _directory } = rig();
    shared.ready().await.expect("it is read");
    drop(server);
    shared.poll_now().await;
    assert!(shared.is_loaded(), "a moment without the server is borne");
    shared.refresh().await;
    assert!(!shared.is_loaded(), "it has changed, and nobody knows how");
    let (nothing, version) = shared.current();
    assert_eq!((version, nothing.function(Oid(1)).is_none(), nothing.any_tags()), (0, true, true));
    assert!(shared.ready().await.is_err());
}

#[tokio::test]
async fn a_catalogue_that_cannot_be_looked_at_grows_stale() {
    let Rig { shared, server, _directory } = rig();
    shared.ready().await.expect("it is read");
    drop(server);
    let long_ago = Instant::now().checked_sub(STALE + Duration::from_secs(1));
    shared.seen.store(long_ago.map(Arc::new));
    shared.poll_now().await;
    assert!(!shared.is_loaded());
}

#[tokio::test]
async fn definitions_that_were_locked_are_asked_for_again() {
    let rig = rig();
    let mut holder = place(rig.server.port()).control().await.expect("it lets us in");
    holder.query("BEGIN READ WRITE; LOCK TABLE public.people").await.expect("it is locked");
    rig.shared.ready().await.expect("it is read");
    let is_read = || {
        let (catalogue, _) = rig.shared.current();
        catalogue.relation("public", "mails").is_some_and(|view| view.definition.is_some())
    };
    assert!(!is_read());
    holder.query("ROLLBACK").await.expect("it is free");
    rig.shared.poll_now().await;
    assert!(!is_read(), "not at once: somebody may lock again and again");
    rig.shared.reader.lock().await.again = Some(Instant::now());
    rig.shared.poll_now().await;
    assert!(is_read());
}

#[tokio::test]
async fn a_database_of_another_encoding_is_refused() {
    let rig = rig();
    rig.server
        .sql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        .expect("a database");
    let latin = Place { database: "latin".to_owned(), ..place(rig.server.port()) };
    let shared = rig.again(latin, &[]);
    let refused = shared.ready().await.expect_err("it is refused").to_string();
    assert!(refused.contains("LATIN1"), "{refused}");
}

#[tokio::test]
async fn a_tag_stays_with_what_was_renamed_also_over_a_restart() {
    let rig = rig();
    rig.shared.ready().await.expect("it is read");
    rig.server.sql("postgres", "ALTER TABLE people RENAME COLUMN email TO mail").expect("renamed");
    rig.shared.refresh().await;
    assert!(is_tagged(&rig.shared.current().0, "mail"));
    // One that begins again has never seen the column under the name that is configured.
    let again = rig.again(place(rig.server.port()), &["email"]);
    again.ready().await.expect("it is read");
    assert!(is_tagged(&again.current().0, "mail"));
    // What is renamed while no gateway looks is known again, too.
    rig.server.sql("postgres", "ALTER TABLE people RENAME TO persons").expect("renamed");
    let third = rig.again(place(rig.server.port()), &["email"]);
    third.ready().await.expect("it is read");
    let (catalogue, _) = third.current();
    let persons = catalogue.relation("public", "persons").expect("it is there");
    assert!(!catalogue.tags(persons.oid, persons.column("mail").expect("a column").number).is_empty());
    // Numbers of another server's relations are not this one's.
    let elsewhere = Place { address: Address::new("localhost", rig.server.port()), ..place(0) };
    let elsewhere = rig.again(elsewhere, &["email"]);
    elsewhere.ready().await.expect("it is read");
    assert_eq!(tagged_outside_the_system(&elsewhere.current().0), 0);
}

/// Each is done by whoever administers the target, and its values stay where they are.
#[tokio::test]
async fn a_tag_stays_with_values_whose_column_is_not_derived_any_more() {
    let rig = rig();
    let sql = |text: &str| rig.server.sql("postgres", text).expect(text);
    sql("CREATE TABLE parted (email text, at int) PARTITION BY LIST (at)");
    sql(
        "CREATE TABLE parted_1 (at int, email text); ALTER TABLE parted ATTACH PARTITION parted_1 FOR VALUES IN (1)",
    );
    sql("CREATE TABLE child (more text) INHERITS (people); CREATE TABLE held (a people, b text)");
    sql("CREATE TABLE made (email text, hidden text GENERATED ALWAYS AS (lower(email)) STORED, other int)");
    let place = || place(rig.server.port());
    let columns = [("people", "email"), ("parted", "email"), ("made", "email")];
    let tagged = |columns: &[(&str, &str)]| {
        let column = |(table, name): &(&str, &str)| ColumnTag {
            column: ColumnName {
                table: TableName { schema: "public".to_owned(), name: (*table).to_owned() },
                name: (*name).to_owned(),
            },
            tag: Tag("pii".to_owned()),
            strategy: None,
        };
        Tagging::new(columns.iter().map(column).collect())
    };
    let again = |columns: &[(&str, &str)]| {
        let (journal, state) = (rig.shared.journal.clone(), rig.shared.state.clone());
        SharedCatalogue::new(place(), tagged(columns), journal, state, Arc::new(Metrics::new()))
    };
    let first = again(&columns);
    first.ready().await.expect("it is read");
    let what = [
        ("parted_1", "email", true),
        ("parted_1", "at", false),
        ("child", "email", true),
        ("child", "more", false),
        ("made", "hidden", true),
        ("made", "other", false),
        ("held", "a", true),
        ("held", "b", false),
    ];
    let check = |shared: &SharedCatalogue, when: &str| {
        let (catalogue, _) = shared.current();
        for (table, column, expected) in what {
            let relation = catalogue.relation("public", table).expect(table);
            let number = relation.column(column).expect(column).number;
            assert_eq!(!catalogue.tags(relation.oid, number).is_empty(), expected, "{table}.{column} {when}");
        }
    };
    check(&first, "as it is derived");
    sql("ALTER TABLE parted DETACH PARTITION parted_1; ALTER TABLE child NO INHERIT people");
    sql("ALTER TABLE made ALTER hidden DROP EXPRESSION; ALTER TABLE held ALTER a TYPE text");
    first.refresh().await;
    check(&first, "when it is not any more");
    sql("DROP TABLE parted; ALTER TABLE child RENAME TO child_of; ALTER TABLE child_of RENAME TO child");
    let second = again(&columns);
    second.ready().await.expect("it is read");
    check(&second, "to whoever begins again");
    // What was tagged because of a column goes with its tag.
    let third = again(&[]);
    third.ready().await.expect("it is read");
    assert_eq!(tagged_outside_the_system(&third.current().0), 0);
}
