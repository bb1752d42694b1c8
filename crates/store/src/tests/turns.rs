//! A model of one request: two who answer, two gateways, a client, time and crashes, in whatever order.

use model::{Filed, Finish, Status, TakenBack, Vote};

use super::{Place, ROOM, by, enough, filed, request, yes};
use crate::Store;

/// A gateway says that it is alive once in so many seconds, and is believed for twice that.
const ALIVE: i64 = 10;
/// So long a request waits, in seconds; what is approved is good for 60 (`request`).
const WAITS: i64 = 30;

/// What may happen at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// One of the two says yes.
    Yes(usize),
    /// The second says no.
    No,
    /// The same is asked again: while it is open that is the same request.
    Retry,
    /// One of the two gateways claims it.
    Claim(usize),
    /// Whoever asked takes it back.
    Withdraw,
    /// Whoever approved does.
    Rescind,
    /// The gateway that carries it out says what came of it.
    Finish,
    /// It is gone, between whatever came before and after.
    Crash(usize),
    /// Some time passes.
    Wait,
    /// The very instant comes at which its time is over.
    Expire,
}

const ACTS: [Act; 13] = [
    Act::Yes(0),
    Act::Yes(1),
    Act::No,
    Act::Retry,
    Act::Claim(0),
    Act::Claim(1),
    Act::Withdraw,
    Act::Rescind,
    Act::Finish,
    Act::Crash(0),
    Act::Crash(1),
    Act::Wait,
    Act::Expire,
];

/// The request as the documentation says that it stands.
#[derive(Debug, Clone)]
struct Model {
    now: i64,
    stands: Status,
    /// When its time is over, to answer or to use it.
    over: i64,
    voted: [bool; 2],
    /// Who carries it out, and until when that one is believed to.
    by: Option<(usize, i64)>,
    alive: [bool; 2],
    used: u32,
}

impl Model {
    fn new() -> Self {
        let (stands, voted, alive) = (Status::Pending, [false; 2], [true; 2]);
        Self { now: 0, stands, over: WAITS, voted, by: None, alive, used: 0 }
    }

    /// What an act does, and whether it uses the approval.
    fn turn(&mut self, act: Act) -> bool {
        use Status::{Approved, Claimed, Denied, Done, OutcomeUnknown, Pending, Rescinded, Withdrawn};
        match (self.stands, act) {
            (Pending, Act::Yes(who)) => {
                self.voted[who] = true;
                if self.voted == [true; 2] {
                    (self.stands, self.over) = (Approved, self.now + 60);
                }
            }
            (Pending, Act::No) => self.stands = Denied,
            (Pending, Act::Withdraw) => self.stands = Withdrawn,
            (Approved, Act::Rescind | Act::Withdraw) => self.stands = Rescinded,
            (Approved, Act::Claim(who)) if self.alive[who] => {
                (self.stands, self.by) = (Claimed, Some((who, self.now + 2 * ALIVE)));
                self.used += 1;
                return true;
            }
            (Claimed | OutcomeUnknown, Act::Finish) if self.by.is_some_and(|(who, _)| self.alive[who]) => {
                self.stands = Done;
            }
            (_, Act::Crash(who)) => self.alive[who] = false,
            (_, Act::Wait) => self.later(self.now + ALIVE),
            (_, Act::Expire) => self.later(self.over.max(self.now)),
            (_, _) => (),
        }
        false
    }

    fn later(&mut self, now: i64) {
        self.now = now;
        if now >= self.over {
            if self.stands == Status::Pending {
                self.stands = Status::Expired;
            } else if self.stands == Status::Approved {
                self.stands = Status::Lapsed;
            }
        }
        // Each that lives says so, and what nobody says is unknown to whoever looks.
        for who in (0..2).filter(|who| self.alive[*who]) {
            if let Some((claimed, until)) = &mut self.by
                && *claimed == who
            {
                *until = now + 2 * ALIVE;
            }
            if self.stands == Status::Claimed && self.by.is_some_and(|(_, until)| until < now) {
                self.stands = Status::OutcomeUnknown;
            }
        }
    }
}

/// Does it; whether the approval was used by that.
async fn act(store: &Store, id: &str, digest: &str, act: Act, model: &Model) -> bool {
    let now = model.now;
    let gateway = |who: usize| by(["one", "two"][who], now + 2 * ALIVE);
    match act {
        Act::Yes(who) => {
            store.vote(id, (&yes(["user:x", "user:y"][who]), &[]), now, enough).await.expect("voted");
        }
        Act::No => {
            let no = Vote { approve: false, ..yes("user:y") };
            store.vote(id, (&no, &[]), now, enough).await.expect("voted");
        }
        Act::Retry => {
            let again = store.file(&request(digest, &[(2, WAITS as u64)]), &ROOM, now).await.expect("filed");
            let same = matches!(&again, Filed::Before(same) if same == id);
            assert_eq!(same, model.stands.is_open(), "{again:?} where it is {}", model.stands);
        }
        Act::Claim(who) if model.alive[who] => {
            return store.claim(id, &gateway(who), now).await.expect("asked").is_some();
        }
        Act::Withdraw => {
            let taken = store.withdraw(id, now).await.expect("withdrawn").expect("one");
            assert_eq!(matches!(taken, TakenBack::Now(_)), model.stands.is_open(), "{taken:?}");
        }
        Act::Rescind => drop(store.rescind(id, "user:ada", now).await.expect("asked")),
        Act::Finish if model.by.is_some_and(|(who, _)| model.alive[who]) => {
            store.finish(id, &Finish::done(1)).await.expect("finished");
        }
        Act::Wait | Act::Expire => {
            for who in (0..2).filter(|who| model.alive[*who]) {
                store.keep_claims(&gateway(who), now).await.expect("written");
            }
        }
        Act::Claim(_) | Act::Finish | Act::Crash(_) => (),
    }
    false
}

/// Numbers that are the same each time.
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).expect("31 bits")
}

pub(super) async fn in_whatever_order_an_approval_is_used_once_and_only_while_it_stands(place: &Place) {
    // Two gateways, with connections of their own to what they share.
    let stores = [place.open().await, place.open().await];
    let (mut used, mut lost, mut over) = (0, 0, 0);
    let mut seed = 7;
    for round in 0..400 {
        let digest = format!("d{round}");
        let id = filed(&stores[0], &digest, &[(2, WAITS as u64)]).await;
        let mut model = Model::new();
        // Where many begin, further is seen.
        let first: &[Act] = match round % 4 {
            0 => &[],
            1 => &[Act::Yes(0)],
            2 => &[Act::Yes(0), Act::Yes(1)],
            _ => &[Act::Yes(1), Act::Yes(0), Act::Claim(round / 4 % 2)],
        };
        let more = (0..6).map(|_| ACTS[next(&mut seed) % ACTS.len()]);
        let order: Vec<Act> = first.iter().copied().chain(more).collect();
        for one in &order {
            let before = model.clone();
            let uses = model.turn(*one);
            // At what moment it happens, and what there is then.
            let seen = Model { now: model.now, ..before };
            let does = act(&stores[next(&mut seed) % 2], &id, &digest, *one, &seen).await;
            assert_eq!(does, uses, "{order:?} at {one:?}: {seen:?}");
            for store in &stores {
                let stands = store.standing(&id, model.now).await.expect("asked").expect("one").status;
                assert_eq!(stands, model.stands, "{order:?} at {one:?}: {seen:?}");
            }
            if *one == Act::Retry && !seen.stands.is_open() {
                // Another request took its place.
                break;
            }
        }
        assert!(model.used <= 1, "{order:?}");
        used += model.used;
        lost += u32::from(model.stands == Status::OutcomeUnknown);
        over += u32::from(matches!(model.stands, Status::Expired | Status::Lapsed));
    }
    assert!(used > 50 && lost > 5 && over > 20, "{used} were used, {lost} lost and {over} over");
}
