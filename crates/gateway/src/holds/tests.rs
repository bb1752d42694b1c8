//! Whoever waits for an answer may leave at any moment.

use super::*;
use crate::state::tests::{ROOM, backends, request, vote};

impl Holds {
    /// A session's question that is filed as this request.
    fn waits_for(&self, id: &str) -> Ticket {
        self.waits_as("s1", id)
    }

    /// The same of a session that is called so.
    fn waits_as(&self, session: &str, id: &str) -> Ticket {
        Ticket {
            id: id.to_owned(),
            summary: Box::default(),
            how: Box::default(),
            patience: Duration::from_secs(600),
            changed: None,
            target: TargetName::new("orders"),
            kept: None,
            catalogue: Known { catalogue: None, version: 0 },
            only_asked: false,
            asked: Moment::now(),
            until: Instant::now() + Duration::from_secs(600),
            claim: Claim::new(&self.waiting, session),
        }
    }
}

/// So many moments pass at most.
const LAST: usize = 20;

/// What a session does that leaves after so many moments in which others go on: nothing claimed is left to nobody.
#[tokio::test]
async fn an_approval_that_is_claimed_while_its_session_leaves_does_not_stand_as_if_it_ran() {
    for (name, state, _place) in backends().await {
        let holds = Holds::new(state.clone(), Gauge::default());
        let mut seen = Vec::new();
        for moments in 0..=LAST {
            let new = request(&format!("d{moments}."), &format!("agent:{moments}"), 1);
            let Filed::Now(id) = state.file(&new, &ROOM).await.expect("filed") else { panic!("not new") };
            state.vote(&id, (&vote("user:one", true), &[])).await.expect("voted");
            let ticket = holds.waits_for(&id);
            {
                let answer = holds.answer(&ticket, || None, |_| true);
                tokio::pin!(answer);
                // Until the claim has begun, and then so many moments more.
                while !ticket.claim.begun.load(Ordering::Acquire) {
                    tokio::select! { biased; _ = &mut answer => break, () = tokio::task::yield_now() => () }
                }
            }
            for _ in 0..moments {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_micros(50)).await;
            }
            // The last one leaves when its claim is made, and before it hears of it.
            while moments == LAST && ticket.claim.answer().is_none() {
                tokio::task::yield_now().await;
            }
            let left = holds.withdraw(&ticket).await;
            // The claim's own task is over.
            while Arc::strong_count(&ticket.claim) > 1 {
                tokio::task::yield_now().await;
            }
            let stands = state.standing(&id).await.expect("asked").status;
            // What its client is told is so, and nobody who sends the same again finds it approved.
            let so = if stands == Status::Rescinded { Left::TakenBack } else { Left::Used };
            assert!(
                matches!(stands, Status::Rescinded | Status::Superseded),
                "{name}, after {moments}: {stands} is nobody's"
            );
            assert_eq!(left, so, "{name}, after {moments}");
            seen.push(stands);
        }
        assert!(seen.contains(&Status::Superseded), "{name}: it was always too early: {seen:?}");
    }
}

/// A cancel that comes behind an answer, and before the approval is claimed.
#[tokio::test]
async fn what_is_approved_while_its_session_leaves_is_not_approved_any_more() {
    for (name, state, _place) in backends().await {
        let holds = Holds::new(state.clone(), Gauge::default());
        // A gateway of the same store.
        let others = Holds::new(state.clone(), Gauge::default());
        for (n, (approved, shared, left, stands)) in [
            (false, false, Left::TakenBack, Status::Withdrawn),
            (true, false, Left::TakenBack, Status::Rescinded),
            // Another session waits for the same: it gets its answer.
            (false, true, Left::Shared, Status::Pending),
            (true, true, Left::Shared, Status::Approved),
        ]
        .into_iter()
        .enumerate()
        {
            let new = NewRequest { waits: 600, ..request(&format!("d{n}."), &format!("agent:{n}"), 1) };
            let Filed::Now(id) = state.file(&new, &ROOM).await.expect("filed") else { panic!("not new") };
            let (ticket, mut other) = (holds.waits_for(&id), None);
            if shared {
                let same = NewRequest { session: "s2".to_owned(), ..new.clone() };
                assert_eq!(
                    state.file(&same, &ROOM).await.expect("filed"),
                    Filed::Before(id.clone()),
                    "{name}"
                );
                other = Some([&holds, &others][usize::from(approved)].waits_as("s2", &id));
            }
            if approved {
                state.vote(&id, (&vote("user:one", true), &[])).await.expect("voted");
            }
            assert_eq!(holds.withdraw(&ticket).await, left, "{name}, {n}");
            assert_eq!(state.standing(&id).await.expect("asked").status, stands, "{name}, {n}");
            let new = NewRequest { waits: 0, ..new };
            let again = state.file(&new, &ROOM).await.expect("filed");
            assert_eq!(matches!(again, Filed::Before(_)), shared, "{name}, {n}: {again:?}");
            if let Some(other) = other {
                // The last one takes it along.
                assert_eq!(others.withdraw(&other).await, Left::TakenBack, "{name}, {n}");
            }
            let stands = state.standing(&id).await.expect("asked").status;
            let over = if stands == Status::Withdrawn { Left::TakenBack } else { Left::Over(stands) };
            assert_eq!(holds.withdraw(&holds.waits_for(&id)).await, over, "{name}, {n}");
        }
        // What somebody else said no to is not said to be withdrawn.
        let new = request("no.", "agent:no", 1);
        let Filed::Now(id) = state.file(&new, &ROOM).await.expect("filed") else { panic!("not new") };
        let ticket = holds.waits_for(&id);
        state.vote(&id, (&vote("user:one", false), &[])).await.expect("voted");
        assert_eq!(holds.withdraw(&ticket).await, Left::Over(Status::Denied), "{name}");
    }
}
