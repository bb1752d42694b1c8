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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_there_is_room_again_everything_goes_on() {
    let place = Place::file();
    let store = place.open().await;
    with_password(&store, &["a"], &[("a", PASSWORD)]).await;
    room_for(&store, Some(1)).await;
    let large = "x".repeat(100_000);
    for _ in 0..12 {
        let refused = store.note("large", &large, 5).await.expect_err("there is no room");
        assert!(refused.to_string().contains("full"), "{refused}");
        let (targets, none) = (BTreeSet::from(["a"]), BTreeMap::new());
        let refused = store.replace(1, &large, &targets, &none, ("user:ada", 5)).await;
        let refused = refused.expect_err("there is no room");
        assert!(refused.to_string().contains("full"), "{refused}");
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
