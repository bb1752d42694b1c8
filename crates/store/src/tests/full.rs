//! What has no room, and what is left of it when there is room again.

use sqlx::Executor as _;

use super::*;
use crate::database::Database;

/// Every connection that there is, told how many pages its file may have.
async fn room_for(store: &Store, pages: Option<i64>) {
    let Database::Sqlite(pool) = &store.database else { panic!("a file") };
    let mut all = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        all.push(pool.acquire().await.expect("a connection"));
    }
    for connection in &mut all {
        // No less than there are, and as many as can be.
        let set = format!("PRAGMA max_page_count = {}", pages.unwrap_or(0xffff_fffe));
        connection.execute(sqlx::AssertSqlSafe(set)).await.expect("set");
    }
}

/// Of either database, by its own ways of not letting itself be written.
pub(super) async fn whether_it_can_be_written_is_known_by_writing(place: &Place) {
    let store = place.open().await;
    for now in 0..20 {
        store.beat(now).await.expect("written");
    }
    let rows = query("SELECT at FROM heartbeat").fetch_all(&store.database).await.expect("read");
    assert_eq!(rows.iter().map(|row| row.try_get::<i64, _>(0).expect("a number")).collect::<Vec<_>>(), [19]);
    let Database::Postgres(server) = &store.database else {
        let Database::Sqlite(pool) = &store.database else { unreachable!("one of two") };
        let mut all = Vec::new();
        for _ in 0..pool.options().get_max_connections() {
            all.push(pool.acquire().await.expect("a connection"));
        }
        for connection in &mut all {
            connection.execute("PRAGMA query_only = on").await.expect("set");
        }
        drop(all);
        assert_eq!(store.beat(20).await.expect_err("read only").trouble(), Trouble::ReadOnly);
        query("SELECT at FROM heartbeat").fetch_all(&store.database).await.expect("what is read goes on");
        return;
    };
    for (makes_it_so, expected, ends_it) in [
        (
            "SET default_transaction_read_only = on",
            Trouble::ReadOnly,
            "SET default_transaction_read_only = off",
        ),
        (
            "CREATE ROLE reads_alone; GRANT SELECT ON heartbeat TO reads_alone; SET ROLE reads_alone",
            Trouble::Refused,
            "RESET ROLE; DROP OWNED BY reads_alone; DROP ROLE reads_alone",
        ),
    ] {
        let mut all = Vec::new();
        for _ in 0..server.pool().options().get_max_connections() {
            all.push(server.pool().acquire().await.expect("a connection"));
        }
        // The others are kept away.
        let mut first = all.pop().expect("one");
        first.execute(makes_it_so).await.expect("set");
        drop(first);
        assert_eq!(store.beat(20).await.expect_err("refused").trouble(), expected);
        let mut first = server.pool().acquire().await.expect("the same");
        first.execute(ends_it).await.expect("set");
        drop((first, all));
        store.beat(21).await.expect("written again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_there_is_room_again_everything_goes_on() {
    let place = Place::file();
    let store = place.open().await;
    with_password(&store, &["a"], &[("a", PASSWORD)]).await;
    room_for(&store, Some(1)).await;
    let large = "x".repeat(100_000);
    for _ in 0..12 {
        let refused = store.note("large", &large, 5).await.expect_err("there is no room");
        assert_eq!(refused.trouble(), Trouble::Full, "{refused}");
        let (targets, none) = (BTreeSet::from(["a"]), BTreeMap::new());
        let refused = store.replace(1, &large, &targets, &none, ("user:ada", 5)).await;
        let refused = refused.expect_err("there is no room");
        assert_eq!(refused.trouble(), Trouble::Full, "{refused}");
        // What is only read goes on.
        assert_eq!(store.configured().await.expect("read").credentials.len(), 1);
    }
    room_for(&store, None).await;
    for _ in 0..12 {
        store.note("large", &large, 5).await.expect("room again");
        let version = store.version().await.expect("read");
        with_password(&store, &["a"], &[]).await;
        assert_eq!(store.version().await.expect("read"), version + 1);
    }
}
