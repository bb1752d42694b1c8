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
        one.vote(&id, (&yes("user:a"), &[]), 0, enough).await.expect("voted");
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

pub(super) async fn what_is_kept_of_requests_is_bounded_and_what_nobody_answered_gives_way(place: &Place) {
    const BIG: usize = 10_000;
    let store = place.open().await;
    let room = Room { waiting: 50, one: 35_000, all: 60_000 };
    let file = async |digest: &str, agent: &str, person: &[&str]| {
        let new = NewRequest {
            principal: agent.to_owned(),
            on_behalf_of: person.iter().map(|p| (*p).to_owned()).collect(),
            values: vec![Some("x".repeat(BIG))],
            ..request(digest, &[(1, 600)])
        };
        store.file(&new, &room, 0).await.expect("asked")
    };
    let id = |filed: Filed| match filed {
        Filed::Now(id) => id,
        other @ (Filed::Anew(..) | Filed::Before(_) | Filed::TooMany | Filed::NoRoom { .. }) => {
            panic!("{other:?}")
        }
    };
    let there = async |id: &str| store.request(id, 0).await.expect("read").is_some();
    // Of one person's agents together, whatever they are called.
    let first = id(file("1", "agent:one", &["user:a"]).await);
    let second = id(file("2", "agent:two", &["agent:one", "user:a"]).await);
    let third = id(file("3", "agent:three", &["user:a"]).await);
    let none = file("4", "agent:four", &["user:a"]).await;
    assert!(
        matches!(none, Filed::NoRoom { all: false, bytes, taken } if bytes > 10_000 && taken > 30_000),
        "{none:?}"
    );
    let other = id(file("5", "agent:one", &["user:b"]).await);
    // What was answered stays, and so does what waits; what was only asked gives way, and no more of it than has to.
    let no = Vote { approve: false, ..yes("user:x") };
    store.vote(&first, (&no, &[]), 0, enough).await.expect("voted").expect("one");
    assert!(matches!(file("4", "agent:four", &["user:a"]).await, Filed::NoRoom { .. }));
    store.withdraw(&second, 0).await.expect("withdrawn");
    store.withdraw(&third, 0).await.expect("withdrawn");
    let fourth = id(file("4", "agent:four", &["user:a"]).await);
    assert_eq!((there(&first).await, there(&second).await, there(&third).await), (true, false, true));
    assert!(there(&other).await && there(&fourth).await);
    // Of everybody.
    let fifth = id(file("6", "agent:x", &[]).await);
    let sixth = id(file("7", "agent:y", &[]).await);
    assert!(
        there(&sixth).await && there(&fifth).await && !there(&third).await,
        "the oldest that nobody answered"
    );
    assert!(matches!(file("8", "agent:z", &[]).await, Filed::NoRoom { all: true, .. }));
}

pub(super) async fn what_was_made_of_another_token_is_forgotten_soon_after_its_end(place: &Place) {
    let store = place.open().await;
    let token = |id: &str, minted_for: Option<&str>, expires| crate::Token {
        id: id.to_owned(),
        verifier: "x".to_owned(),
        principal: "agent:bot".to_owned(),
        groups: Vec::new(),
        on_behalf_of: Vec::new(),
        purpose: None,
        asserted: Vec::new(),
        targets: None,
        parent: None,
        actor: None,
        minted_for: minted_for.map(str::to_owned),
        resource: None,
        may_act: None,
        issued: 0,
        expires,
        revoked: false,
    };
    for (id, minted_for, expires) in
        [("issued", None, 100), ("made", Some("user:a"), 100), ("lately", Some("user:a"), 5000)]
    {
        assert!(store.add_token(&token(id, minted_for, expires), 2, 0).await.expect("added"), "{id}");
    }
    assert!(!store.add_token(&token("more", Some("user:a"), 100), 2, 0).await.expect("asked"));
    assert!(
        store.add_token(&token("more", Some("user:a"), 100), 2, 100).await.expect("asked"),
        "the first is over"
    );
    store.purge(0, 0, 6000).await.expect("purged");
    let kept = store.tokens(&Part::newest(9)).await.expect("read");
    assert_eq!(kept.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(), ["lately", "issued"]);
}

pub(super) async fn what_an_older_version_kept_slowly_is_kept_anew_by_whoever_has_the_secret(place: &Place) {
    let store = place.open().await;
    let secret = store.make_administrator().await.expect("made").expect("the first");
    let rounds = async || {
        let row = query("SELECT rounds FROM administrator").fetch_one(&store.database).await.expect("read");
        row.try_get::<i64, _>(0).expect("a number")
    };
    assert_eq!(rounds().await, 1);
    let slow = crate::verifier::Verifier::slow(secret.as_bytes(), 5000).await.expect("derived");
    query("UPDATE administrator SET salt = $1, rounds = 5000, verifier = $2")
        .bind(slow.salt)
        .bind(slow.derived.as_slice())
        .execute(&store.database)
        .await
        .expect("written");
    assert!(!store.is_administrator(b"dwa_wrong").await.expect("asked"));
    assert_eq!(rounds().await, 5000);
    for _ in 0..2 {
        assert!(store.is_administrator(secret.as_bytes()).await.expect("asked"));
        assert_eq!(rounds().await, 1);
    }
    assert!(!store.is_administrator(b"dwa_wrong").await.expect("asked"));
}

pub(super) async fn what_became_of_a_request_is_kept_with_it_step_by_step(place: &Place) {
    use Status::{Approved, Claimed, Denied, Done, Expired, Rescinded};
    let (store, other) = (place.open().await, place.open().await);
    let weighed = model::Weighed {
        facts: model::Facts { kind: "update".to_owned(), statements: 1, ..Default::default() },
        objects: [model::Object {
            resource: model::Resource::Schema("shop".to_owned()),
            tags: [model::Tag("pii".to_owned())].into(),
        }]
        .into(),
    };
    let file = async |digest: &str| {
        let new = NewRequest { weighed: weighed.clone(), ..request(digest, &[(1, 60)]) };
        match store.file(&new, &ROOM, 0).await.expect("filed") {
            Filed::Now(id) => id,
            other @ (Filed::Anew(..) | Filed::Before(_) | Filed::TooMany | Filed::NoRoom { .. }) => {
                panic!("{other:?}")
            }
        }
    };
    let kept = async |id: &str| other.request(id, 0).await.expect("read").expect("one");
    let stages = |request: &model::Request| request.stages.iter().map(|s| s.status).collect::<Vec<_>>();
    let done = file("1").await;
    assert_eq!((kept(&done).await.weighed, kept(&done).await.stages), (weighed.clone(), Vec::new()));
    store.vote(&done, (&yes("user:a"), &[]), 7, enough).await.expect("voted");
    store.claim(&done, &by("one", 60), 8).await.expect("asked").expect("claimed");
    store.finish(&done, &model::Finish::done(3)).await.expect("noted");
    let found = kept(&done).await;
    assert_eq!((found.votes[0].at, stages(&found)), (Some(7), vec![Approved, Claimed, Done]));
    assert!(found.stages.is_sorted_by_key(|stage| stage.at) && found.stages[0].at > 1_700_000_000);
    let denied = file("2").await;
    store.vote(&denied, (&Vote { approve: false, ..yes("user:a") }, &[]), 9, enough).await.expect("voted");
    assert_eq!(stages(&kept(&denied).await), [Denied]);
    let taken = file("3").await;
    store.vote(&taken, (&yes("user:a"), &[]), 9, enough).await.expect("voted");
    assert!(store.rescind(&taken, "user:b", 10).await.expect("asked"));
    let found = kept(&taken).await;
    assert_eq!(
        (stages(&found), found.outcome.as_deref()),
        (vec![Approved, Rescinded], Some("taken back by user:b"))
    );
    // It is over since its time was, and not since somebody saw that.
    let over = file("4").await;
    file("5").await;
    store.file(&request("6", &[(1, 60)]), &ROOM, 100).await.expect("filed");
    let found = kept(&over).await;
    assert_eq!((stages(&found), found.stages[0].at), (vec![Expired], 60));
}
