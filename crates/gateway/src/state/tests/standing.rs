//! Standing grants, wherever they are kept.

use model::{Backing, Covered, Given, GrantUse, Likeness, NewRequest, StandingGrant, Used};

use super::{ROOM, backends, request, vote};
use crate::gateway::now;

fn grant(id: &str, uses: Option<u64>) -> StandingGrant {
    let asked = request("x1", "agent:bot", 1);
    StandingGrant {
        id: id.to_owned(),
        request: "r1".to_owned(),
        key: "key".to_owned(),
        meaning: "meaning".to_owned(),
        touched: asked.touched,
        principal: asked.principal,
        on_behalf_of: asked.on_behalf_of,
        target: asked.target,
        text: asked.text,
        values: vec![Covered { text: Some("kept".to_owned()), any: false, mark: Some("m".to_owned()) }],
        circumstances: asked.circumstances,
        effects: asked.effects,
        holds: asked.holds,
        most: 3,
        uses,
        used: 0,
        giver: vote("user:dora", true),
        others: Vec::new(),
        access: None,
        given: now(),
        expires: now() + 600,
        ended: None,
    }
}

#[tokio::test]
async fn a_grant_is_given_once_used_while_it_may_be_and_ended_once() {
    let likeness = Likeness { key: "key".to_owned(), meaning: "meaning".to_owned(), open: Vec::new() };
    let asked =
        |digest: &str| NewRequest { alike: Some(likeness.clone()), ..request(digest, "agent:bot", 1) };
    for (name, state, _place) in backends().await {
        assert_eq!(state.give(&grant("g1", Some(2)), &[], 2).await.expect("given"), Given::Now, "{name}");
        assert_eq!(state.give(&grant("g2", None), &[], 2).await.expect("given"), Given::Now, "{name}");
        assert_ne!(
            state.give(&grant("g3", None), &[], 2).await.expect("asked"),
            Given::Now,
            "there is room for two in {name}"
        );
        // Who gives it was removed meanwhile: nothing of theirs is in force that nobody ended.
        for (gone, expected) in [
            (Backing::Member("dora".to_owned()), Given::Nobody),
            (Backing::Visit("m1".to_owned()), Given::Nobody),
            (Backing::Approver("a1".to_owned()), Given::Nobody),
            (Backing::Welcome("user:dora".to_owned()), Given::Now),
        ] {
            let given = state.give(&grant("g0", None), std::slice::from_ref(&gone), 3).await.expect("asked");
            assert_eq!(given, expected, "{name} {gone:?}");
        }
        state.end_grant("g0", "it is over").await.expect("ended");
        let uses = async |id: &str, digest: &str| match state
            .use_grant(id, &asked(digest), &ROOM)
            .await
            .expect("asked")
        {
            Used::Now(id, used) => Some((id, used.number)),
            Used::Over | Used::NoRoom { .. } => None,
        };
        let (first, number) = uses("g1", "a1").await.expect("a use");
        let kept = state.request(&first).await.expect("read").expect("one");
        assert_eq!(kept.granted, Some(GrantUse { grant: "g1".to_owned(), number }), "{name}");
        assert_eq!((number, kept.status), (1, model::Status::Claimed), "{name}");
        let (second, _) = uses("g1", "a1").await.expect("the same again");
        assert!(uses("g1", "a1").await.is_none(), "{name}: it is used up");
        assert_eq!(state.uses_of("g1", 9).await.expect("read"), [second, first.clone()], "{name}");
        let alike = state.grants_alike("key").await.expect("read");
        assert_eq!(alike.iter().map(|g| g.id.as_str()).collect::<Vec<_>>(), ["g2"], "{name}");
        assert_eq!(alike[0].values[0].text.as_deref(), Some("kept"), "{name}");
        state.finish(&first, &model::Finish::done(1)).await.expect("finished");
        assert_eq!(state.standing(&first).await.expect("asked").status, model::Status::Done, "{name}");
        assert!(state.end_grant("g2", "why").await.expect("ended"), "{name}");
        assert!(!state.end_grant("g2", "again").await.expect("asked"), "{name}");
        assert!(uses("g2", "a1").await.is_none(), "{name}: it has ended");
        assert_eq!(
            state.standing_grant("g2").await.expect("read").expect("one").ended.as_deref(),
            Some("why")
        );
        state.give(&grant("g4", None), &[], 9).await.expect("given");
        state.disown("user:dora").await.expect("written");
        assert!(uses("g4", "a1").await.is_none(), "{name}: its giver answers no more");
        // What waits is found by its key; a use does not wait.
        let waits = state.file(&asked("b1"), &ROOM).await.expect("filed");
        let model::Filed::Now(waits) = waits else { panic!("{name}: {waits:?}") };
        assert_eq!(state.waiting_alike("key").await.expect("read"), [waits], "{name}");
    }
}

#[tokio::test]
async fn access_is_given_once_and_only_from_a_request_that_is_approved() {
    let access = model::Access { leaves: Default::default(), most: Some(3), seconds: 60 };
    for (name, state, _place) in backends().await {
        let model::Filed::Now(id) = state.file(&request("a1", "agent:bot", 1), &ROOM).await.expect("filed")
        else {
            panic!("{name}: not new")
        };
        let given = |one: &str| StandingGrant {
            request: id.clone(),
            access: Some(access.clone()),
            ..grant(one, None)
        };
        assert_ne!(
            state.give(&given("g1"), &[], 9).await.expect("asked"),
            Given::Now,
            "{name}: nobody has approved it"
        );
        state.vote(&id, (&vote("user:dora", true), &[])).await.expect("voted");
        assert_ne!(
            state.give(&given("g1"), &[], 0).await.expect("asked"),
            Given::Now,
            "{name}: there is no room"
        );
        assert_eq!(state.give(&given("g1"), &[], 9).await.expect("given"), Given::Now, "{name}");
        assert_ne!(
            state.give(&given("g2"), &[], 9).await.expect("asked"),
            Given::Now,
            "{name}: it is given already"
        );
        let kept = state.request(&id).await.expect("read").expect("one");
        assert_eq!(kept.status, model::Status::Done, "{name}");
        assert_eq!(kept.outcome.as_deref(), Some("given as the standing grant g1"), "{name}");
        assert!(state.claim(&id).await.expect("asked").is_none(), "{name}: it lets no statement through");
    }
}
