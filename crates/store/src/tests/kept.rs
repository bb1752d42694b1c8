//! What gateways leave for each other, and for themselves after a restart.

use super::*;

fn place_of(column: &str, relation: i64, number: i64) -> crate::Place {
    crate::Place { column: column.to_owned(), relation, number }
}

pub(super) async fn what_a_lost_gateway_carried_out_is_unknown_to_the_others(place: &Place) {
    let (one, other) = (place.open().await, place.open().await);
    let mut ids = Vec::new();
    for (digest, gateway) in [("1", "one"), ("2", "other")] {
        let id = filed(&one, digest, &[(1, 600)]).await;
        one.vote(&id, &yes("user:a"), 0, enough).await.expect("voted");
        one.claim(&id, &by(gateway, 30), 1).await.expect("asked").expect("claimed");
        ids.push(id);
    }
    let stands = async |id: &str| other.standing(id, 40).await.expect("read").expect("one").status;
    // While each says so in time, nothing is lost.
    assert_eq!(other.keep_claims(&by("other", 50), 20).await.expect("kept"), 0);
    assert_eq!(one.keep_claims(&by("one", 50), 29).await.expect("kept"), 0);
    assert_eq!((stands(&ids[0]).await, stands(&ids[1]).await), (Status::Claimed, Status::Claimed));
    // The first says nothing any more.
    assert_eq!(other.keep_claims(&by("other", 80), 50).await.expect("kept"), 0, "its time is not over");
    assert_eq!(other.keep_claims(&by("other", 81), 51).await.expect("kept"), 1);
    assert_eq!((stands(&ids[0]).await, stands(&ids[1]).await), (Status::OutcomeUnknown, Status::Claimed));
    let told = other.request(&ids[0], 51).await.expect("read").expect("one").outcome.expect("told");
    assert!(told.contains("was lost"), "{told}");
    // It was only cut off: what it knows counts.
    one.finish(&ids[0], &model::Finish::done(3)).await.expect("noted");
    assert_eq!(stands(&ids[0]).await, Status::Done);
    assert_eq!(other.keep_claims(&by("third", 900), 500).await.expect("kept"), 1, "whoever looks");
}

pub(super) async fn a_token_that_is_asked_about_is_kept_sealed_for_its_time(place: &Place) {
    let store = place.open().await;
    store.keep_asked("t", PASSWORD, 100).await.expect("kept");
    store.keep_asked("t", PASSWORD, 50).await.expect("kept");
    let (clear, until) = store.asked("t", 99).await.expect("read").expect("there");
    assert_eq!((clear.as_slice(), until), (PASSWORD, 100), "the longer time counts");
    assert!(store.asked("t", 100).await.expect("read").is_none(), "its time is over");
    assert!(store.asked("u", 0).await.expect("read").is_none());
    // It opens in its own row alone, and no copy has it.
    query("UPDATE asked SET id = 'u'").execute(&store.database).await.expect("moved");
    assert!(store.asked("u", 0).await.is_err());
    query("UPDATE asked SET id = 't'").execute(&store.database).await.expect("moved back");
    let mut copy = Vec::new();
    store.dump(&mut copy).await.expect("copied");
    assert!(!String::from_utf8_lossy(&copy).contains("\"asked\""));
    store.purge(0, 0, 99).await.expect("purged");
    assert!(store.asked("t", 0).await.expect("read").is_some(), "not before its time");
    store.purge(0, 0, 101).await.expect("purged");
    assert!(store.asked("t", 0).await.expect("read").is_none());
    store.keep_asked("t", PASSWORD, 100).await.expect("kept");
    store.forget_asked("t").await.expect("forgotten");
    assert!(store.asked("t", 0).await.expect("read").is_none());
}

pub(super) async fn where_columns_were_found_is_kept_by_target_and_server(place: &Place) {
    let store = place.open().await;
    let both: BTreeSet<String> = ["email", "phone"].map(str::to_owned).into();
    let found = |all: &[(&str, i64, i64)]| all.iter().map(|(c, r, n)| place_of(c, *r, *n)).collect();
    let keep = async |target: &str, server: &str, columns: &BTreeSet<String>, all: BTreeSet<crate::Place>| {
        store.keep_places(target, server, columns, &all).await.expect("kept");
    };
    let kept = async |target: &str, server: &str| store.places(target, server).await.expect("read");
    keep("a", "s", &both, found(&[("email", 1, 2), ("phone", 1, 3)])).await;
    keep("b", "s", &both, found(&[("email", 9, 9)])).await;
    // Two gateways have seen different things: both count.
    keep("a", "s", &both, found(&[("email", 7, 2)])).await;
    assert_eq!(kept("a", "s").await, found(&[("email", 1, 2), ("email", 7, 2), ("phone", 1, 3)]));
    // A column that is not tagged any more is forgotten. Another server has its own, and takes nothing from the first.
    keep("a", "s", &["phone".to_owned()].into(), found(&[])).await;
    assert_eq!(kept("a", "s").await, found(&[("phone", 1, 3)]));
    assert_eq!(kept("a", "elsewhere").await, found(&[]));
    keep("a", "elsewhere", &both, found(&[("phone", 4, 4)])).await;
    assert_eq!(kept("a", "s").await, found(&[("phone", 1, 3)]));
    assert_eq!(kept("b", "s").await, found(&[("email", 9, 9)]));
}
