//! Whose a token is while the store does not say.

use std::cell::Cell;

use super::*;
use crate::inside::NotIn;
use crate::net::login::{Authenticator, Refused};

thread_local! {
    /// Whether the store in memory says nothing of tokens on this thread.
    pub(crate) static SILENT: Cell<bool> = const { Cell::new(false) };
    /// Whether others are said to change it.
    pub(crate) static SHARED: Cell<bool> = const { Cell::new(false) };
}

async fn issued(house: &House) -> crate::requests::Issued {
    let wanted = NewToken {
        kind: "agent".to_owned(),
        name: "bot".to_owned(),
        groups: Vec::new(),
        on_behalf_of: Vec::new(),
        purpose: None,
        targets: vec!["orders".to_owned()],
        seconds: 60,
    };
    house.gateway.issue_token(&wanted, "user:root").await.expect("issued")
}

#[tokio::test]
async fn a_store_that_does_not_answer_says_nothing_against_a_token() {
    let (house, peer) = (house().await, "127.0.0.1:1".parse().expect("an address"));
    let token = issued(&house).await;
    let admitted = house.gateway.admit_inside(&token.token, peer).await.expect("let in");
    SILENT.set(true);
    house.gateway.recent().forget();
    // Whoever comes is refused with true words, and nobody has guessed.
    let before = house.journal();
    let why = house.gateway.admit_inside(&token.token, peer).await.expect_err("refused");
    assert!(matches!(&why, NotIn::Closed(denied) if denied.code() == "57P03"), "{why}");
    assert_eq!(house.journal(), before, "it is no refused login");
    assert_eq!(house.gateway.failures().penalty(peer.ip()), Duration::from_millis(100), "it is no guess");
    let wire = house.gateway.authenticator();
    let why = wire.check(token.token.as_bytes()).await.expect_err("refused");
    assert!(matches!(why, Refused::Unknown) && why.code() == "store", "{why}");
    let told = why.farewell();
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("57P03") && !told.contains("not valid"), "{told}");
    assert!(matches!(wire.verifier(&token.id).await, Err(Refused::Unknown)));
    // What is under way goes on; what is known without the store ends it.
    house.gateway.is_still_in(&admitted, &token.token).await.expect("it goes on");
    SILENT.set(false);
    house.gateway.is_still_in(&admitted, &token.token).await.expect("it goes on");
    house.gateway.revoke_token(&token.id, "user:root").await.expect("revoked");
    let over = house.gateway.is_still_in(&admitted, &token.token).await;
    assert!(matches!(over, Err(NotIn::Token)), "{over:?}");
    assert!(matches!(wire.check(token.token.as_bytes()).await, Err(Refused::Token)));
}

#[tokio::test]
async fn what_is_under_way_ends_with_the_lease_where_the_store_stays_silent() {
    SHARED.set(true);
    let (house, peer) = (house().await, "127.0.0.1:1".parse().expect("an address"));
    let token = issued(&house).await;
    let admitted = house.gateway.admit_inside(&token.token, peer).await.expect("let in");
    SILENT.set(true);
    for (lease, goes_on) in [(Duration::from_secs(3600), true), (Duration::ZERO, false)] {
        house.gateway.set_limits(Limits { lease, ..Limits::default() });
        house.gateway.recent().forget();
        // A lease of no length is over a moment later.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let still = house.gateway.is_still_in(&admitted, &token.token).await;
        assert_eq!(still.is_ok(), goes_on, "{still:?}");
        assert!(!matches!(still, Err(NotIn::Token)), "nothing is said against the token");
    }
}
