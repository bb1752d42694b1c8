//! Whoever waits for an answer may leave at any moment.

use super::*;
use crate::state::tests::{ROOM, backends, request, vote};

impl Holds {
    /// A session's question that is filed as this request.
    fn waits_for(&self, id: &str) -> Ticket {
        Ticket {
            id: id.to_owned(),
            summary: String::new(),
            how: String::new(),
            patience: Duration::from_secs(600),
            changed: None,
            target: TargetName::new("orders"),
            catalogue: Known { catalogue: None, version: 0 },
            only_asked: false,
            asked: Moment::now(),
            until: Instant::now() + Duration::from_secs(600),
            claim: Claim::new(&self.waiting),
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
            state.vote(&id, &vote("user:one", true)).await.expect("voted");
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
            while moments == LAST && ticket.claim.found().answer.is_none() {
                tokio::task::yield_now().await;
            }
            holds.withdraw(&ticket).await;
            // The claim's own task is over.
            while Arc::strong_count(&ticket.claim) > 1 {
                tokio::task::yield_now().await;
            }
            let stands = state.standing(&id).await.expect("asked").status;
            assert!(
                matches!(stands, Status::Approved | Status::Superseded),
                "{name}, after {moments}: {stands} is nobody's"
            );
            seen.push(stands);
            // What was not used stands for the next who sends it.
            if stands == Status::Approved {
                let again = holds.waits_for(&id);
                let answer = holds.answer(&again, || None, |_| true).await;
                assert!(matches!(answer, Answer::Approved(_)), "{name}: {answer:?}");
            }
        }
        assert!(seen.contains(&Status::Superseded), "{name}: it was always too early: {seen:?}");
    }
}
