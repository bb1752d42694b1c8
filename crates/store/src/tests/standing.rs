//! Standing grants: used as often as they may be and no more, by whichever gateway, and never again once they are over.

use model::{Access, Covered, Given, GrantUse, Leave, Likeness, OpenValue, StandingGrant, TableName, Used};

use super::*;

/// The value of a placeholder that has to be kept.
const KEPT: &str = "x-kept-value";

pub(super) fn grant(id: &str, uses: Option<u64>) -> StandingGrant {
    StandingGrant {
        id: id.to_owned(),
        request: "r0".to_owned(),
        key: "key".to_owned(),
        meaning: "meaning".to_owned(),
        touched: Vec::new(),
        principal: "agent:bot".to_owned(),
        on_behalf_of: vec!["user:alice".to_owned()],
        target: TargetName::new("orders"),
        text: "UPDATE cards SET number = $1 WHERE id = $2".to_owned(),
        values: vec![
            Covered { text: None, any: true, mark: None },
            Covered { text: Some(KEPT.to_owned()), any: false, mark: Some("m".to_owned()) },
        ],
        circumstances: model::Circumstances::default(),
        effects: Vec::new(),
        holds: Vec::new(),
        most: 5,
        uses,
        used: 0,
        giver: yes("user:dora"),
        others: Vec::new(),
        access: None,
        given: 0,
        expires: 100,
        ended: None,
    }
}

fn asked(n: usize) -> NewRequest {
    let likeness = Likeness {
        key: "key".to_owned(),
        meaning: "meaning".to_owned(),
        open: vec![OpenValue { number: 1, mark: n.to_string() }],
    };
    // The same may be used twice: nothing is asked of anybody.
    NewRequest { alike: Some(likeness), ..request("the same", &[(1, 60)]) }
}

async fn uses(store: &Store, id: &str, now: i64) -> Option<GrantUse> {
    match store.use_grant(id, &asked(0), &ROOM, &by("one", 30), now).await.expect("asked") {
        Used::Now(request, used) => {
            let kept = store.request(&request, now).await.expect("read").expect("one");
            assert_eq!((kept.status, kept.granted.as_ref()), (Status::Claimed, Some(&used)));
            assert_eq!(kept.values[0].as_deref(), Some(VALUE));
            Some(used)
        }
        Used::Over => None,
        Used::NoRoom { .. } => panic!("there is room"),
    }
}

pub(super) async fn a_grant_is_used_as_often_as_it_may_be_and_not_once_it_is_over(place: &Place) {
    let store = place.open().await;
    for (id, most) in [("g1", None), ("g2", Some(2))] {
        assert_eq!(store.give(&grant(id, most), &[], 10).await.expect("given"), Given::Now);
    }
    assert_ne!(
        store.give(&grant("g3", None), &[], 2).await.expect("asked"),
        Given::Now,
        "so many are in force"
    );
    let found = store.grants_alike("key", 1).await.expect("read");
    assert_eq!(found, [grant("g1", None), grant("g2", Some(2))]);
    assert!(store.grants_alike("another", 1).await.expect("read").is_empty());
    for number in 1..=3 {
        let used = uses(&store, "g1", 1).await;
        assert_eq!(used, Some(GrantUse { grant: "g1".to_owned(), number }));
        let used = uses(&store, "g2", 1).await.map(|used| used.number);
        assert_eq!(used, (number <= 2).then_some(number));
    }
    assert_eq!(store.uses_of("g1", 10).await.expect("read").len(), 3);
    // Its time is over.
    assert_eq!(uses(&store, "g1", 100).await, None);
    assert!(store.grants_alike("key", 100).await.expect("read").is_empty());
    // It is ended once.
    assert!(store.end_grant("g1", "revoked by user:erik").await.expect("ended"));
    assert!(!store.end_grant("g1", "again").await.expect("asked"));
    assert_eq!(uses(&store, "g1", 1).await, None);
    assert_eq!(uses(&store, "none", 1).await, None);
    let kept = store.standing_grant("g1").await.expect("read").expect("one");
    assert_eq!((kept.used, kept.ended.as_deref()), (3, Some("revoked by user:erik")));
    // Values rest sealed: no list has them, and no copy.
    let listed = store.standing_grants(10).await.expect("read");
    assert!(listed.iter().all(|grant| grant.values.is_empty()) && listed.len() == 2);
    let mut copy = Vec::new();
    store.dump(&mut copy).await.expect("copied");
    let copy = String::from_utf8_lossy(&copy);
    assert!(!copy.contains(KEPT) && !copy.contains("\"standing_grant\""));
    let body = query("SELECT body FROM standing_grant").fetch_all(&store.database).await.expect("read");
    assert!(body.iter().all(|row| !row.try_get::<String, _>(0).expect("a text").contains(KEPT)));
    store.purge(0, 0, 50).await.expect("purged");
    assert_eq!(store.standing_grants(10).await.expect("read").len(), 2);
    store.purge(0, 101, 200).await.expect("purged");
    assert!(store.standing_grants(10).await.expect("read").is_empty());
}

pub(super) async fn of_many_that_use_a_grant_at_once_no_more_are_let_through_than_may_be(place: &Place) {
    let gateways = [place.open().await, place.open().await];
    gateways[0].give(&grant("g", Some(5)), &[], 10).await.expect("given");
    let tries = (0..16).map(|n| {
        let store = gateways[n % 2].clone();
        tokio::spawn(async move { uses(&store, "g", 1).await.map(|used| used.number) })
    });
    let mut numbers = Vec::new();
    for one in tries.collect::<Vec<_>>() {
        numbers.extend(one.await.expect("no panic"));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let kept = gateways[1].standing_grant("g").await.expect("read").expect("one");
    assert_eq!(kept.used, 5);
    // One ends it, and no other uses it behind that.
    gateways[0].give(&grant("h", None), &[], 10).await.expect("given");
    assert!(uses(&gateways[1], "h", 1).await.is_some());
    assert!(gateways[0].end_grant("h", "revoked").await.expect("ended"));
    assert_eq!(uses(&gateways[1], "h", 1).await, None);
}

pub(super) async fn grants_of_whoever_answers_no_more_and_for_whom_is_let_in_no_more_are_ended(
    place: &Place,
) {
    for (who, ends) in [
        ("user:dora", Some("user:dora, who gave it, does not answer any more")),
        ("USER:Dora", Some("USER:Dora, who gave it, does not answer any more")),
        ("agent:bot", Some("the access of agent:bot was revoked")),
        ("user:alice", Some("the access of user:alice was revoked")),
        ("user:ali", None),
        ("agent:b", None),
        ("user:other", None),
    ] {
        let store = place.open().await;
        let id = who.to_owned();
        store.give(&grant(&id, None), &[], 1000).await.expect("given");
        store.disown(who).await.expect("written");
        let kept = store.standing_grant(&id).await.expect("read").expect("one");
        assert_eq!(kept.ended.as_deref(), ends, "{who}");
        store.end_grant(&id, "the case is over").await.expect("ended");
    }
}

pub(super) async fn what_waits_alike_is_found_by_its_key(place: &Place) {
    let store = place.open().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let new = NewRequest { alike: asked(n).alike, ..request(&n.to_string(), &[(1, 60)]) };
        let Filed::Now(id) = store.file(&new, &ROOM, 0).await.expect("filed") else { panic!("not new") };
        let kept = store.request(&id, 0).await.expect("read").expect("one");
        assert_eq!((kept.alike.as_deref(), kept.likeness), (Some("key"), new.alike));
        ids.push(id);
    }
    filed(&store, "other", &[(1, 60)]).await;
    store.withdraw(&ids[1], 0).await.expect("withdrawn");
    assert_eq!(store.waiting_alike("key", 1).await.expect("read"), [ids[0].clone(), ids[2].clone()]);
    assert!(store.waiting_alike("key", 60).await.expect("read").is_empty(), "their time is over");
}

fn access(seconds: u64) -> Access {
    let leave = |action: &str| Leave {
        action: action.to_owned(),
        table: TableName { schema: "shop".to_owned(), name: "cards".to_owned() },
    };
    Access { leaves: ["insert", "update"].map(leave).into(), most: Some(5), seconds }
}

pub(super) async fn access_is_given_once_from_an_approved_request_and_ends_with_any_of_its_givers(
    place: &Place,
) {
    let store = place.open().await;
    let new = NewRequest {
        preview: model::Preview { access: Some(access(600)), ..model::Preview::default() },
        ..request("access", &[(2, 60)])
    };
    let Filed::Now(id) = store.file(&new, &ROOM, 0).await.expect("filed") else { panic!("not new") };
    let given = |grant_id: &str| StandingGrant {
        request: id.clone(),
        access: Some(access(60)),
        others: vec![yes("user:erik")],
        given: 1,
        ..grant(grant_id, None)
    };
    // Nobody has approved it, or not enough have.
    assert_ne!(store.give(&given("a1"), &[], 10).await.expect("asked"), Given::Now);
    let narrower = Vote { access: Some(access(60)), ..yes("user:dora") };
    store.vote(&id, (&narrower, &[]), 0, enough).await.expect("voted");
    assert_ne!(store.give(&given("a1"), &[], 10).await.expect("asked"), Given::Now);
    store.vote(&id, (&yes("user:erik"), &[]), 0, enough).await.expect("voted");
    let kept = store.request(&id, 1).await.expect("read").expect("one");
    assert_eq!((kept.status, kept.preview.access), (Status::Approved, Some(access(600))));
    assert_eq!(kept.votes.iter().find_map(|vote| vote.access.clone()), Some(access(60)));
    assert_ne!(store.give(&given("a1"), &[], 0).await.expect("asked"), Given::Now, "no room is no answer");
    assert_eq!(store.standing(&id, 1).await.expect("read").expect("one").status, Status::Approved);
    assert_eq!(store.give(&given("a1"), &[], 10).await.expect("given"), Given::Now);
    assert_ne!(store.give(&given("a2"), &[], 10).await.expect("asked"), Given::Now, "it is given once");
    assert!(store.standing_grant("a2").await.expect("read").is_none());
    let kept = store.request(&id, 1).await.expect("read").expect("one");
    assert_eq!(
        (kept.status, kept.outcome.as_deref()),
        (Status::Done, Some("given as the standing grant a1"))
    );
    let found = store.grants_alike("key", 1).await.expect("read");
    assert_eq!(found.iter().map(|grant| grant.access.clone()).collect::<Vec<_>>(), [Some(access(60))]);
    // Any of those who gave it ends it.
    store.disown("user:eri").await.expect("written");
    assert_eq!(store.standing_grant("a1").await.expect("read").expect("one").ended, None);
    store.disown("User:Erik").await.expect("written");
    let ended = store.standing_grant("a1").await.expect("read").expect("one").ended;
    assert_eq!(ended.as_deref(), Some("User:Erik, who gave it, does not answer any more"));
}
