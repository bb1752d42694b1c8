//! Codes and refresh tokens of clients, on both databases.

use model::{Member, Passkey, RegisteredClient, Voucher, VoucherKind};

use super::Place;

fn voucher(mark: &str, token: &str, owner: &str) -> Voucher {
    Voucher {
        mark: mark.to_owned(),
        kind: VoucherKind::Code,
        token: token.to_owned(),
        owner: owner.to_owned(),
        client: "https://app.test/client".to_owned(),
        resource: "https://gate.test/mcp".to_owned(),
        redirect: "http://127.0.0.1/cb".to_owned(),
        challenge: "x".to_owned(),
        expires: 100,
        until: 1000,
        spent: false,
    }
}

fn token(id: &str) -> crate::Token {
    crate::Token {
        id: id.to_owned(),
        verifier: "x".to_owned(),
        principal: "agent:local/app".to_owned(),
        groups: Vec::new(),
        on_behalf_of: vec!["user:ada".to_owned()],
        purpose: None,
        asserted: Vec::new(),
        targets: None,
        parent: None,
        actor: None,
        minted_for: Some("user:ada".to_owned()),
        resource: Some("https://gate.test/mcp".to_owned()),
        may_act: None,
        issued: 0,
        expires: 1000,
        revoked: false,
    }
}

pub(super) async fn a_voucher_is_spent_once_and_remembered_and_the_next_is_kept_with_it(place: &Place) {
    let store = place.open().await;
    store.add_voucher(&voucher("a", "dwt_1", "user:ada")).await.expect("added");
    let (one, other) = (voucher("b", "dwt_1", "user:ada"), voucher("c", "dwt_1", "user:ada"));
    let both =
        tokio::join!(store.spend_voucher("a", Some(&one), 9), store.spend_voucher("a", Some(&other), 9));
    let spent = [both.0.expect("asked"), both.1.expect("asked")];
    assert_eq!(spent.iter().filter(|spent| **spent).count(), 1, "of two who try, one gets it");
    let next = [store.voucher("b").await.expect("read"), store.voucher("c").await.expect("read")];
    assert_eq!(next.iter().map(Option::is_some).collect::<Vec<_>>(), spent, "and what comes with it");
    let kept = store.voucher("a").await.expect("read").expect("it is remembered");
    assert_eq!(kept, Voucher { spent: true, ..voucher("a", "dwt_1", "user:ada") });
    assert!(!store.spend_voucher("none", None, 9).await.expect("asked"));
    store.add_voucher(&voucher("late", "dwt_1", "user:ada")).await.expect("added");
    assert!(!store.spend_voucher("late", None, 100).await.expect("asked"), "late");
    store.purge(0, 0, 1001).await.expect("purged");
    assert!(store.voucher("a").await.expect("read").is_none(), "and forgotten");
}

pub(super) async fn whoever_is_removed_leaves_nothing_to_clients(place: &Place) {
    let store = place.open().await;
    let member =
        Member { name: "ada".to_owned(), roles: vec!["auditor".to_owned()], groups: Vec::new(), added: 5 };
    let key = |id: &str| Passkey {
        id: id.to_owned(),
        owner: "user:ada".to_owned(),
        key: vec![1],
        counter: 0,
        label: String::new(),
        added: 5,
        used: None,
    };
    for (id, owner) in [("dwt_1", "user:Ada"), ("dwt_2", "user:eve"), ("dwt_3", "user:ada")] {
        assert!(store.add_token(&token(id), 9, 0).await.expect("added"));
        store.add_voucher(&voucher(id, id, owner)).await.expect("added");
    }
    let good = async || {
        let all = ["dwt_1", "dwt_2", "dwt_3"].map(str::to_owned).into();
        store.good_tokens(&all, 9).await.expect("read").into_iter().collect::<Vec<_>>()
    };
    assert_eq!(good().await.len(), 3);
    store.admit(&member, &key("k1")).await.expect("admitted");
    assert_eq!(good().await, ["dwt_2"], "whoever comes anew begins anew");
    assert!(store.add_token(&token("dwt_4"), 9, 0).await.expect("added"));
    store.add_voucher(&voucher("d", "dwt_4", "user:ada")).await.expect("added");
    store.remove_member("ADA").await.expect("removed");
    assert!(store.token("dwt_4").await.expect("read").expect("one").revoked);
    let kept = store.token("dwt_2").await.expect("read").expect("one");
    assert_eq!(kept.resource.as_deref(), Some("https://gate.test/mcp"));
}

pub(super) async fn clients_that_register_are_few_and_forgotten_where_nobody_said_yes(place: &Place) {
    let store = place.open().await;
    let client = |id: &str| RegisteredClient {
        id: id.to_owned(),
        name: "App".to_owned(),
        redirects: vec!["http://127.0.0.1/cb".to_owned()],
        made: 0,
        until: 10,
    };
    for (id, kept) in [("a", true), ("b", true), ("c", false)] {
        assert_eq!(store.register_client(&client(id), 2, 0).await.expect("asked"), kept, "{id}");
    }
    store.keep_client("a", 100).await.expect("kept");
    assert_eq!(store.registered_client("b", 9).await.expect("read"), Some(client("b")));
    assert_eq!(store.registered_client("b", 10).await.expect("read"), None, "it is over");
    assert!(store.registered_client("a", 10).await.expect("read").is_some());
    assert!(store.register_client(&client("c"), 2, 10).await.expect("asked"), "its place is free");
    store.purge(0, 0, 50).await.expect("purged");
    assert!(store.registered_client("a", 50).await.expect("read").is_some());
}
