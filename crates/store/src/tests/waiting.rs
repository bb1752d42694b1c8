//! Who waits for a request: whoever hangs up takes nothing back that another session waits for, at whichever gateway.

use model::TakenBack;

use super::*;

fn asks(session: &str, waits: u64) -> NewRequest {
    NewRequest { session: session.to_owned(), waits, ..request("the same", &[(1, 60)]) }
}

pub(super) async fn whoever_leaves_takes_back_what_no_other_gateways_session_waits_for(place: &Place) {
    let (one, other) = (place.open().await, place.open().await);
    let gone = |status| Left::Gone(Some(TakenBack::Now(status)));
    for (second_waits, at, stands) in [(30, 5, true), (30, 31, false), (0, 5, false)] {
        let Filed::Now(id) = one.file(&asks("s1", 40), &ROOM, 0).await.expect("filed") else {
            panic!("not new")
        };
        let again = other.file(&asks("s2", second_waits), &ROOM, 0).await.expect("filed");
        assert_eq!(again, Filed::Before(id.clone()));
        let left = one.leave(&id, "s1", at).await.expect("asked");
        assert_eq!(left, if stands { Left::Awaited } else { gone(Status::Withdrawn) }, "{second_waits} {at}");
        if stands {
            // It is the answer that it waited for, and the last one takes it along.
            other.vote(&id, (&yes("user:dora"), &[]), at, enough).await.expect("voted");
            assert_eq!(one.leave(&id, "s1", at).await.expect("asked"), Left::Awaited, "twice is once");
            assert_eq!(other.leave(&id, "s2", at).await.expect("asked"), gone(Status::Rescinded));
        }
    }
    // What is over is said to be, whoever waits.
    let Filed::Now(id) = one.file(&asks("s1", 40), &ROOM, 0).await.expect("filed") else { panic!("not new") };
    other.file(&asks("s2", 40), &ROOM, 0).await.expect("filed");
    let no = Vote { approve: false, ..yes("user:dora") };
    other.vote(&id, (&no, &[]), 1, enough).await.expect("voted");
    let denied = Left::Gone(Some(TakenBack::TooLate(Status::Denied)));
    assert_eq!(one.leave(&id, "s1", 2).await.expect("asked"), denied);
    assert_eq!(one.leave("r0", "s1", 2).await.expect("asked"), Left::Gone(None));
    let mut copy = Vec::new();
    one.dump(&mut copy).await.expect("copied");
    assert!(!String::from_utf8_lossy(&copy).contains("\"waiting\""));
    one.purge(0, 0, 41).await.expect("purged");
    let kept = query("SELECT request FROM waiting").fetch_all(&one.database).await.expect("read");
    assert!(kept.is_empty());
}

pub(super) async fn of_many_who_leave_at_once_the_last_takes_it_back_and_who_comes_finds_no_ghost(
    place: &Place,
) {
    let gateways = [place.open().await, place.open().await];
    let Filed::Now(id) = gateways[0].file(&asks("s0", 40), &ROOM, 0).await.expect("filed") else {
        panic!("not new")
    };
    for n in 1..6 {
        gateways[n % 2].file(&asks(&format!("s{n}"), 40), &ROOM, 0).await.expect("filed");
    }
    let leave = |n: usize| {
        let (store, id) = (gateways[n % 2].clone(), id.clone());
        tokio::spawn(async move { store.leave(&id, &format!("s{n}"), 1).await.expect("asked") })
    };
    // Somebody comes meanwhile: they wait for what stands, or for one of their own.
    let comes = {
        let store = gateways[1].clone();
        tokio::spawn(async move { store.file(&asks("late", 40), &ROOM, 1).await.expect("filed") })
    };
    let mut ends = Vec::new();
    for one in (0..6).map(leave).collect::<Vec<_>>() {
        ends.push(one.await.expect("no panic"));
    }
    let taken = ends.iter().filter(|left| **left == Left::Gone(Some(TakenBack::Now(Status::Withdrawn))));
    let (taken, awaited) = (taken.count(), ends.iter().filter(|left| **left == Left::Awaited).count());
    let theirs = match comes.await.expect("no panic") {
        Filed::Before(theirs) => {
            assert_eq!((&theirs, taken, awaited), (&id, 0, 6), "it waits for it");
            theirs
        }
        Filed::Now(theirs) => {
            assert_eq!((taken, awaited), (1, 5), "the last one took it back");
            theirs
        }
        Filed::Anew(..) | Filed::TooMany | Filed::NoRoom { .. } => panic!("it is filed"),
    };
    assert_eq!(gateways[0].standing(&theirs, 1).await.expect("read").expect("one").status, Status::Pending);
}
