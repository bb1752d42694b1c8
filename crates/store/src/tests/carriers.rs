//! What is told elsewhere, on both databases.

use model::{Finish, Status, Vote};

use super::{Place, by, filed, yes};
use crate::Store;

async fn untold(store: &Store, carrier: &str) -> Vec<String> {
    let news = store.untold(carrier, 0, 100).await.expect("read");
    news.into_iter().map(|n| format!("{} {}", n.request, n.status.as_str())).collect()
}

pub(super) async fn each_state_of_a_request_is_told_once_in_its_order(place: &Place) {
    let store = place.open().await;
    let old = filed(&store, "old", &[(1, 60)]).await;
    assert!(store.lead("ops", &by("g1", 20), 10).await.expect("led"));
    assert!(untold(&store, "ops").await.is_empty(), "who is new is told what happens from now on");
    let id = filed(&store, "d", &[(1, 60)]).await;
    let enough = |_: &_, _: &[Vote]| true;
    store.vote(&id, (&yes("user:a"), &[]), 11, enough).await.expect("voted");
    store.claim(&id, &by("g1", 50), 12).await.expect("claimed").expect("it was");
    let finish = Finish { status: Status::Done, words: "1 row".to_owned() };
    store.finish(&id, &finish).await.expect("finished");
    store.finish(&id, &finish).await.expect("finished again changes nothing");
    let all = ["pending", "approved", "claimed", "done"].map(|word| format!("{id} {word}"));
    assert_eq!(untold(&store, "ops").await, all);
    let first = store.untold("ops", 0, 1).await.expect("read").remove(0);
    assert_eq!(store.mark("ops", &id).await.expect("read"), None);
    store.tell("ops", &first, Some("m1")).await.expect("told");
    store.tell("ops", &first, Some("m2")).await.expect("told twice is told");
    assert_eq!(store.mark("ops", &id).await.expect("read").as_deref(), Some("m1"));
    assert_eq!(store.mark("other", &id).await.expect("read"), None);
    assert_eq!(untold(&store, "ops").await, all[1..]);
    assert_eq!(untold(&store, "other").await.len(), 5, "each carrier for itself");
    // The clock of the database is not that of this test.
    assert!(store.untold("ops", i64::MAX, 9).await.expect("read").is_empty(), "too old to be of use");

    store.expire(1_000_000).await.expect("expired");
    assert_eq!(untold(&store, "ops").await.last(), Some(&format!("{old} expired")));
    // What is forgotten is not told any more.
    store.purge(2_000_000, 2_000_000, 2_000_000).await.expect("purged");
    assert!(untold(&store, "other").await.is_empty());
}

pub(super) async fn one_gateway_tells_a_carrier_at_a_time(place: &Place) {
    let store = place.open().await;
    for (gateway, until, now, leads) in [
        ("g1", 20, 10, true),
        ("g2", 25, 15, false),
        ("g1", 30, 19, true),
        ("g2", 35, 25, false),
        ("g2", 45, 30, true),
        ("g1", 45, 31, false),
    ] {
        assert_eq!(
            store.lead("ops", &by(gateway, until), now).await.expect("asked"),
            leads,
            "{gateway} at {now}"
        );
    }
}
