//! People of the console, on both databases.

use model::{Member, Passkey, Signed, Visit};

use super::{Place, filed, yes};

fn member(name: &str) -> Member {
    Member {
        name: name.to_owned(),
        roles: vec!["auditor".to_owned()],
        groups: vec!["dba".to_owned()],
        added: 5,
    }
}

fn key(id: &str, owner: &str) -> Passkey {
    Passkey {
        id: id.to_owned(),
        owner: owner.to_owned(),
        key: vec![1, 2, 3],
        counter: 0,
        label: "a phone".to_owned(),
        added: 5,
        used: None,
    }
}

fn visit(mark: &str, owner: &str) -> Visit {
    let word = Signed { issuer: "company".to_owned(), subject: "s".to_owned(), sid: None, at: 7 };
    Visit {
        mark: mark.to_owned(),
        owner: owner.to_owned(),
        word: Some(word),
        groups: vec!["company/dba".to_owned()],
        began: 5,
        seen: 5,
        expires: 50,
    }
}

pub(super) async fn whoever_comes_again_leaves_nothing_of_before(place: &Place) {
    let store = place.open().await;
    assert!(store.admit(&member("Ada"), &key("k1", "user:Ada")).await.expect("admitted"));
    assert!(store.add_passkey(&key("k2", "user:Ada")).await.expect("added"));
    assert!(!store.add_passkey(&key("k2", "user:eve")).await.expect("not added"), "it is somebody's");
    store.begin_visit(&visit("m1", "user:Ada"), None).await.expect("begun");
    assert_eq!(store.member("ADA").await.expect("read"), Some(member("Ada")));
    // An invitation that is used with a key that is known changes nothing.
    assert!(!store.admit(&member("ada"), &key("k1", "user:ada")).await.expect("not admitted"));
    assert_eq!(store.passkeys("user:ada").await.expect("read").len(), 2);
    assert!(store.admit(&member("ada"), &key("k3", "user:ada")).await.expect("admitted"));
    let keys: Vec<String> =
        store.passkeys("user:ada").await.expect("read").into_iter().map(|k| k.id).collect();
    assert_eq!(keys, ["k3"]);
    assert_eq!(store.visit("m1", 6).await.expect("read"), None, "who was signed in is not any more");
    assert_eq!(store.members().await.expect("read"), [member("ada")]);
    // Who comes for other groups has not answered for those.
    let id = filed(&store, "d", &[(2, 60)]).await;
    store.vote(&id, (&yes("user:ada"), &[]), 1, |_, _| false).await.expect("voted");
    for (number, groups, votes) in [(4, member("ada").groups, 1), (5, Vec::new(), 0)] {
        let again = Member { groups, ..member("ada") };
        store.admit(&again, &key(&format!("k{number}"), "user:ada")).await.expect("admitted");
        assert_eq!(store.request(&id, 1).await.expect("read").expect("there").votes.len(), votes, "{number}");
    }
}

pub(super) async fn whoever_is_removed_has_no_key_visit_or_vote(place: &Place) {
    let store = place.open().await;
    store.admit(&member("ada"), &key("k1", "user:ada")).await.expect("asked");
    store.begin_visit(&visit("m1", "user:ada"), None).await.expect("asked");
    let id = filed(&store, "d", &[(2, 60)]).await;
    store.vote(&id, (&yes("user:ada"), &[]), 1, |_, _| false).await.expect("asked");
    assert!(store.remove_member("ADA").await.expect("asked"));
    assert!(!store.remove_member("ada").await.expect("asked"));
    assert!(
        store.passkey("k1").await.expect("asked").is_none()
            && store.visit("m1", 6).await.expect("asked").is_none()
    );
    assert!(store.request(&id, 1).await.expect("asked").expect("there").votes.is_empty());
}

pub(super) async fn whoever_is_removed_or_has_come_has_no_invitation(place: &Place) {
    let store = place.open().await;
    let names = async |now| store.invitations(now).await.expect("read");
    store.keep_invitation("m1", "first", 10, "Ada").await.expect("kept");
    store.keep_invitation("m2", "second", 20, "ada").await.expect("kept");
    store.keep_invitation("m3", "of bob", 20, "bob").await.expect("kept");
    store.keep_once("m4", "no invitation", 20).await.expect("kept");
    assert_eq!(names(1).await, [("second".to_owned(), 20), ("of bob".to_owned(), 20)]);
    assert_eq!(store.take_once("m1", 1).await.expect("asked"), None, "a newer one was made");
    // Whoever comes by one uses up what else they have.
    store.admit(&member("ada"), &key("k1", "user:ada")).await.expect("admitted");
    assert_eq!(store.take_once("m2", 1).await.expect("asked"), None);
    assert_eq!(names(1).await, [("of bob".to_owned(), 20)]);
    assert_eq!(names(20).await, []);
    assert!(store.remove_member("BOB").await.expect("removed"), "who is invited alone is removed, too");
    assert!(!store.remove_member("bob").await.expect("asked"));
    assert_eq!(store.take_once("m3", 1).await.expect("asked"), None);
    assert_eq!(store.take_once("m4", 1).await.expect("asked").as_deref(), Some("no invitation"));
}

pub(super) async fn what_is_good_once_is_used_once_and_in_time(place: &Place) {
    let store = place.open().await;
    store.keep_once("a", "body", 10).await.expect("asked");
    assert_eq!(store.look_once("a", 9).await.expect("asked").as_deref(), Some("body"));
    let both = tokio::join!(store.take_once("a", 9), store.take_once("a", 9));
    let taken = [both.0.expect("asked"), both.1.expect("asked")].into_iter().flatten().count();
    assert_eq!(taken, 1, "of two who try, one gets it");
    store.keep_once("b", "body", 10).await.expect("asked");
    assert_eq!(
        (store.look_once("b", 10).await.expect("asked"), store.take_once("b", 10).await.expect("asked")),
        (None, None),
        "late"
    );

    store.add_passkey(&key("k", "user:ada")).await.expect("asked");
    assert!(store.use_passkey("k", 0, 3, 9).await.expect("asked"));
    assert!(!store.use_passkey("k", 0, 4, 9).await.expect("asked"), "it was read before another used it");
    assert_eq!(store.passkey("k").await.expect("asked").map(|k| (k.counter, k.used)), Some((3, Some(9))));
    assert!(
        !store.remove_passkey("user:eve", "k").await.expect("asked")
            && store.remove_passkey("user:ada", "k").await.expect("asked")
    );

    store.begin_visit(&visit("m", "user:ada"), None).await.expect("asked");
    assert_eq!(store.visit("m", 49).await.expect("asked"), Some(visit("m", "user:ada")));
    assert!(store.visit("m", 50).await.expect("asked").is_none(), "it is over");
    store.begin_visit(&visit("n", "user:ada"), Some("m")).await.expect("asked");
    assert!(store.visit("m", 9).await.expect("asked").is_none(), "a browser has one");
    store.see_visit("n", 30).await.expect("asked");
    assert_eq!(store.visit("n", 31).await.expect("asked").map(|v| v.seen), Some(30));
    store.end_visit("n").await.expect("asked");
    assert!(store.visit("n", 31).await.expect("asked").is_none());
}
