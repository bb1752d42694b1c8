//! What the trait says holds of every backend: the same steps, the same words.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{
    Asserted, HoldRule, Part, Principal, PrincipalKind, PrincipalRef, Status, TakenBack, TargetName, Touched,
};
use testkit::postgres::Postgres;
use wire::postgres::scram::ScramVerifier;

use super::*;
use crate::configure::{Password, PolicyFile, TargetConfig};
use crate::embedded::Embedded;
use crate::memory::Memory;

mod drafts;
mod standing;

/// Each backend with what has to live as long.
pub(crate) async fn backends() -> Vec<(&'static str, State, Option<Place>)> {
    let place = tempfile::tempdir().expect("a directory");
    let key = store::MasterKey::from_hex(&"07".repeat(32), "a test").expect("a key");
    let kept = store::Store::open(&place.path().join("state.db"), &key).await.expect("a store");
    let server = Postgres::shared().expect("a server");
    let address = store::Address::parse(&server.url(&server.fresh_database().expect("a database")));
    let shared = store::Location::Server(Box::new(address.expect("an address")));
    let shared = store::Locked::reach(&shared).await.expect("reached").unlock(&key).await.expect("a store");
    vec![
        ("memory", State::new(Memory::default()), None),
        ("a file", State::new(Embedded::new(kept)), Some(Place::File(place))),
        ("a server", State::new(Embedded::new(shared)), Some(Place::Server(server))),
    ]
}

#[expect(dead_code, reason = "it is there to be dropped with the test")]
pub(crate) enum Place {
    File(tempfile::TempDir),
    Server(Arc<Postgres>),
}

pub(crate) fn request(digest: &str, principal: &str, quorum: u32) -> NewRequest {
    NewRequest {
        digest: digest.to_owned(),
        // A digit is a version of the table.
        subject: format!("of {}", digest.trim_end_matches(|c: char| c.is_ascii_digit())),
        touched: vec![Touched { what: "the table shop.t".to_owned(), mark: digest.to_owned() }],
        principal: principal.to_owned(),
        on_behalf_of: vec!["user:alice".to_owned()],
        target: TargetName::new("orders"),
        session: "s1".to_owned(),
        waits: 0,
        summary: "UPDATE".to_owned(),
        kind: "update".to_owned(),
        text: "UPDATE t SET a = $1".to_owned(),
        circumstances: model::Circumstances::default(),
        values: vec![Some("x".to_owned()), None],
        effects: vec!["update on shop.t".to_owned()],
        holds: vec![HoldRule {
            id: "held".to_owned(),
            approvers: vec!["dba".to_owned()],
            quorum,
            expires: 600,
            valid_for: 600,
            reason: None,
            carry: false,
            slack: model::SlackYes::Never,
            by_self: false,
            ceiling: None,
            tolerance: 0,
            preview: None,
            grant: None,
        }],
        ceiling: model::Ceiling::Rows {
            most: 10,
            from: "default".to_owned(),
            of: Vec::new(),
            expected: None,
        },
        preview: model::Preview::default(),
        weighed: Default::default(),
        version: "v".to_owned(),
        alike: None,
    }
}

pub(crate) fn vote(by: &str, approve: bool) -> Vote {
    let words = (!approve).then(|| "no".to_owned());
    Vote {
        voter: by.to_owned(),
        groups: vec!["dba".to_owned()],
        approve,
        words,
        proof: None,
        most: None,
        access: None,
        names: Vec::new(),
        at: None,
    }
}

pub(crate) const ROOM: Room = Room { waiting: 2, one: u64::MAX, all: u64::MAX };

enum Step {
    File(&'static str, &'static str, u32),
    Yes(usize, &'static str),
    No(usize, &'static str),
    Claim(usize),
    Withdraw(usize),
    Rescind(usize),
    Supersede(usize),
    Disown(&'static str),
    LoseTrack,
    Stands(usize),
    Finish(usize),
    Waiting,
    All,
}

/// Runs one step and says what came of it; requests are named by the order in which they were filed.
async fn run(state: &State, ids: &mut Vec<String>, step: &Step) -> String {
    let number = |ids: &[String], id: &str| ids.iter().position(|i| i == id).expect("an id");
    let voted = |outcome| match outcome {
        Counted::Now(status) => format!("counted, {status}"),
        Counted::TooLate(status) => format!("too late, {status}"),
        Counted::Nobody => "nobody".to_owned(),
    };
    match step {
        Step::File(digest, principal, quorum) => {
            match state.file(&request(digest, principal, *quorum), &ROOM).await.expect("filed") {
                Filed::Now(id) => {
                    ids.push(id);
                    format!("now {}", ids.len() - 1)
                }
                Filed::Anew(id, changed) => {
                    ids.push(id);
                    let named = |word: &str| match ids.iter().position(|id| id == word) {
                        Some(n) => n.to_string(),
                        None => word.to_owned(),
                    };
                    changed.split(' ').map(named).collect::<Vec<_>>().join(" ")
                }
                Filed::Before(id) => format!("before {}", number(ids, &id)),
                Filed::TooMany => "too many".to_owned(),
                Filed::NoRoom { .. } => "no room".to_owned(),
            }
        }
        Step::Yes(n, by) => voted(state.vote(&ids[*n], (&vote(by, true), &[])).await.expect("voted")),
        Step::No(n, by) => voted(state.vote(&ids[*n], (&vote(by, false), &[])).await.expect("voted")),
        Step::Claim(n) => match state.claim(&ids[*n]).await.expect("asked") {
            Some(claim) => claim.rules.into_iter().map(|rule| rule.id).collect::<Vec<_>>().join(","),
            None => "nothing".to_owned(),
        },
        Step::Withdraw(n) => match state.withdraw(&ids[*n]).await.expect("withdrawn") {
            TakenBack::Now(status) => format!("now {status}"),
            TakenBack::TooLate(status) => format!("too late, {status}"),
        },
        Step::Rescind(n) => state.rescind(&ids[*n], "user:a").await.expect("asked").to_string(),
        Step::Supersede(n) => state
            .supersede(&ids[*n], "the rule was changed since it was asked for")
            .await
            .expect("asked")
            .to_string(),
        Step::Disown(who) => {
            state.disown(who).await.expect("written");
            let mut open = Vec::new();
            for (id, holds) in state.open_requests().await.expect("read") {
                assert_eq!(holds.len(), 1);
                let votes = state.request(&id).await.expect("read").expect("one").votes.len();
                open.push(format!("{}: {votes}", number(ids, &id)));
            }
            open.sort_unstable();
            open.join(", ")
        }
        Step::LoseTrack => state.lose_track().await.expect("written").to_string(),
        Step::Finish(n) => {
            state.finish(&ids[*n], &Finish::done(1)).await.expect("finished");
            state.request(&ids[*n]).await.expect("read").expect("one").outcome.unwrap_or_default()
        }
        Step::Stands(n) => {
            let Standing { status, words, holds: _ } = state.standing(&ids[*n]).await.expect("asked");
            words.map_or_else(|| status.to_string(), |words| format!("{status}: {words}"))
        }
        Step::Waiting | Step::All => {
            // In parts, which make the whole.
            let (mut all, mut part) = (Vec::new(), Part::newest(3));
            loop {
                let read = state.requests(matches!(step, Step::All), &part).await.expect("read");
                part.before = read.last().map(|r| r.id.clone());
                let is_last = read.len() < 3;
                all.extend(read);
                if is_last {
                    break;
                }
            }
            let of = |all: &[Request]| all.iter().map(|r| r.id.clone()).collect::<Vec<_>>();
            // What other lists are made of is the same.
            let waiting = state.briefs(&Part::newest(99)).await.expect("read");
            let mut both = state.answered(&Part::newest(99)).await.expect("read");
            if matches!(step, Step::Waiting) {
                assert_eq!(of(&waiting), of(&all));
            } else {
                both.extend(waiting);
                both.sort_by_key(|r| std::cmp::Reverse(number(ids, &r.id)));
                assert_eq!(of(&both), of(&all));
                let theirs = all.iter().filter(|r| r.principal == "agent:bot").take(2);
                let theirs: Vec<_> = theirs.cloned().collect();
                assert_eq!(of(&state.requests_of("agent:bot", 2).await.expect("read")), of(&theirs));
            }
            all.iter().map(|r| number(ids, &r.id).to_string()).collect::<Vec<_>>().join(",")
        }
    }
}

#[tokio::test]
async fn requests_live_alike_wherever_they_are_kept() {
    use Step::{
        All, Claim, Disown, File, Finish, LoseTrack, No, Rescind, Stands, Supersede, Waiting, Withdraw, Yes,
    };
    let story = [
        (File("a", "agent:bot", 1), "now 0"),
        (File("a", "agent:bot", 1), "before 0"),
        (Claim(0), "nothing"),
        (Stands(0), "pending"),
        (Rescind(0), "false"),
        (Finish(0), ""),
        (Yes(0, "user:dba"), "counted, approved"),
        (Stands(0), "approved"),
        (File("a", "agent:bot", 1), "before 0"),
        (Yes(0, "user:dba"), "too late, approved"),
        (No(0, "user:dba"), "too late, approved"),
        (Claim(0), "held"),
        (Claim(0), "nothing"),
        (Withdraw(0), "too late, claimed"),
        (Stands(0), "claimed"),
        (Rescind(0), "false"),
        (Finish(0), "done, rows: 1"),
        (Stands(0), "done"),
        (LoseTrack, "0"),
        (File("a", "agent:bot", 2), "now 1"),
        (Yes(1, "user:dba"), "counted, pending"),
        (Yes(1, "user:dba"), "counted, pending"),
        (Yes(1, "user:other"), "counted, approved"),
        (Rescind(1), "true"),
        (Rescind(1), "false"),
        (Withdraw(1), "too late, rescinded"),
        (Claim(1), "nothing"),
        (Stands(1), "rescinded"),
        (File("b", "agent:bot", 1), "now 2"),
        (No(2, "user:dba"), "counted, denied"),
        (Stands(2), "denied: no"),
        (Claim(2), "nothing"),
        (File("b", "agent:bot", 1), "now 3"),
        (Withdraw(3), "now withdrawn"),
        (Stands(3), "withdrawn"),
        (Yes(3, "user:dba"), "too late, withdrawn"),
        (File("c", "agent:bot", 1), "now 4"),
        (File("d", "agent:bot", 1), "now 5"),
        (File("e", "agent:bot", 1), "too many"),
        (File("c", "agent:bot", 1), "before 4"),
        (File("e", "agent:other", 1), "now 6"),
        (Waiting, "6,5,4"),
        (Yes(4, "user:dba"), "counted, approved"),
        (Claim(4), "held"),
        (LoseTrack, "1"),
        (Stands(4), "outcome_unknown"),
        // The target's answer came late after all.
        (Finish(4), "done, rows: 1"),
        (Stands(4), "done"),
        // Another of these waits, and nobody may have more of them.
        (Yes(5, "user:dba"), "counted, approved"),
        (File("g1", "agent:bot", 1), "now 7"),
        (File("f", "agent:bot", 1), "now 8"),
        (File("g2", "agent:bot", 1), "the table shop.t was altered since request 7 was asked for"),
        (Stands(7), "superseded"),
        (Yes(7, "user:dba"), "too late, superseded"),
        (Yes(9, "user:dba"), "counted, approved"),
        (File("g2", "agent:bot", 1), "before 9"),
        (File("g1", "agent:bot", 1), "the table shop.t was altered since request 9 was approved"),
        (Stands(9), "superseded"),
        (Claim(9), "nothing"),
        (Stands(10), "pending"),
        (All, "10,9,8,7,6,5,4,3,2,1,0"),
        // Asked by a rule that was changed meanwhile.
        (File("h", "agent:third", 1), "now 11"),
        (Yes(11, "user:dba"), "counted, approved"),
        (File("h", "agent:third", 2), "the policy \"held\" was changed since request 11 was approved"),
        (Stands(11), "superseded"),
        (Claim(11), "nothing"),
        (Yes(12, "user:dba"), "counted, pending"),
        (Supersede(12), "true"),
        (Supersede(12), "false"),
        (Stands(12), "superseded"),
        (Supersede(10), "true"),
        (Withdraw(8), "now withdrawn"),
        (Withdraw(6), "now withdrawn"),
        // Who answers no more has answered nothing.
        (File("i", "agent:third", 1), "now 13"),
        (File("j", "agent:third", 2), "now 14"),
        (Yes(13, "user:one"), "counted, approved"),
        (Yes(14, "user:one"), "counted, pending"),
        (Disown("user:other"), "13: 1, 14: 1, 5: 1"),
        (Disown("user:one"), "14: 0, 5: 1"),
        (Stands(13), "rescinded"),
        (Claim(13), "nothing"),
        (Yes(14, "user:dba"), "counted, pending"),
        (Yes(14, "user:other"), "counted, approved"),
        // One person is one, by two names.
        // What was ended is said when it is asked for anew.
        (File("h", "agent:fourth", 2), "the rule was changed since request 12 was asked for"),
        (File("h", "agent:fourth", 2), "before 15"),
        (Withdraw(15), "now withdrawn"),
        (File("h", "agent:fourth", 2), "now 16"),
        (Withdraw(16), "now withdrawn"),
        (File("k", "agent:third", 2), "now 17"),
        (Yes(17, "user:dora"), "counted, pending"),
        (Yes(17, "user:corp/dora"), "counted, pending"),
        (Yes(17, "user:erik"), "counted, approved"),
        // Whoever asked does not any more: an approval that is not used is none.
        (Withdraw(17), "now rescinded"),
        (Claim(17), "nothing"),
        (Withdraw(17), "too late, rescinded"),
    ];
    for (name, state, _place) in backends().await {
        let mut ids = Vec::new();
        for (n, (step, expected)) in story.iter().enumerate() {
            assert_eq!(run(&state, &mut ids, step).await, *expected, "step {n} in {name}");
        }
    }
}

/// They may be removed, sign out or be denied between the look at who they are and the count.
#[tokio::test]
async fn an_answer_of_somebody_who_is_gone_when_it_is_counted_counts_for_nothing() {
    for (name, state, _place) in backends().await {
        let Filed::Now(id) = state.file(&request("a", "agent:bot", 1), &ROOM).await.expect("filed") else {
            panic!("not new in {name}")
        };
        state.add_approver("dora", &["dba".to_owned()], &[], 0).await.expect("added").expect("a secret");
        let approver = state.approvers().await.expect("read").remove(0).id;
        let now = crate::gateway::now();
        let visit = model::Visit {
            mark: "m1".to_owned(),
            owner: "user:dora".to_owned(),
            word: None,
            groups: Vec::new(),
            began: now,
            seen: now,
            expires: now + 600,
        };
        state.begin_visit(&visit, None).await.expect("begun");
        let all = [
            Backing::Approver(approver),
            Backing::Visit("m1".to_owned()),
            Backing::Welcome("user:dora".to_owned()),
        ];
        let dora = vote("user:dora", true);
        for lost in [Backing::Member("dora".to_owned()), Backing::Visit("m2".to_owned())] {
            let backing = [all.to_vec(), vec![lost]].concat();
            assert_eq!(state.vote(&id, (&dora, &backing)).await.expect("asked"), Counted::Nobody, "{name}");
        }
        let denial = Denial {
            id: "x1".to_owned(),
            subject: model::Subject::Principal(PrincipalRef {
                kind: PrincipalKind::User,
                name: "Dora".to_owned(),
            }),
            reason: String::new(),
            by: String::new(),
            since: now,
            until: None,
        };
        state.add_denial(&denial).await.expect("denied");
        assert_eq!(state.vote(&id, (&dora, &all)).await.expect("asked"), Counted::Nobody, "{name}");
        state.lift_denial("x1").await.expect("lifted");
        state.remove_approver("dora").await.expect("removed");
        assert_eq!(state.vote(&id, (&dora, &all)).await.expect("asked"), Counted::Nobody, "{name}");
        let request = state.request(&id).await.expect("read").expect("one");
        assert_eq!((request.status, request.votes.len()), (Status::Pending, 0), "{name}");
        // Who is there still is counted.
        let stays = [Backing::Visit("m1".to_owned()), Backing::Welcome("user:dora".to_owned())];
        let counted = state.vote(&id, (&dora, &stays)).await.expect("asked");
        assert_eq!(counted, Counted::Now(Status::Approved), "{name}");
        // What is over is over, whoever says so.
        let counted = state.vote(&id, (&dora, &all)).await.expect("asked");
        assert_eq!(counted, Counted::TooLate(Status::Approved), "{name}");
    }
}

/// What two approvers, two gateways, the client and time may do to one request, each at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Yes,
    No,
    Claim,
    ClaimElsewhere,
    Withdraw,
    Rescind,
    Finish,
    Crash,
}

/// What an act does to a request that stands so: the table of the states, in the words of the documentation.
fn turns(stands: Status, act: Act) -> Status {
    use Status::{Approved, Claimed, Denied, Done, OutcomeUnknown, Pending, Rescinded, Withdrawn};
    match (stands, act) {
        (Pending, Act::Yes) => Approved,
        (Pending, Act::No) => Denied,
        (Pending, Act::Withdraw) => Withdrawn,
        (Approved, Act::Withdraw) => Rescinded,
        (Approved, Act::Claim | Act::ClaimElsewhere) => Claimed,
        (Approved, Act::Rescind) => Rescinded,
        (Claimed | OutcomeUnknown, Act::Finish) => Done,
        (Claimed, Act::Crash) => OutcomeUnknown,
        (other, _) => other,
    }
}

/// Runs an act; whether it was the one that used the approval.
async fn act(state: &State, id: &str, act: Act) -> bool {
    match act {
        Act::Yes => drop(state.vote(id, (&vote("user:one", true), &[])).await.expect("voted")),
        Act::No => drop(state.vote(id, (&vote("user:two", false), &[])).await.expect("voted")),
        Act::Claim | Act::ClaimElsewhere => return state.claim(id).await.expect("asked").is_some(),
        Act::Withdraw => drop(state.withdraw(id).await.expect("withdrawn")),
        Act::Rescind => drop(state.rescind(id, "user:a").await.expect("asked")),
        Act::Finish => state.finish(id, &Finish::done(1)).await.expect("finished"),
        Act::Crash => drop(state.lose_track().await.expect("written")),
    }
    false
}

const ACTS: [Act; 8] = [
    Act::Yes,
    Act::No,
    Act::Claim,
    Act::ClaimElsewhere,
    Act::Withdraw,
    Act::Rescind,
    Act::Finish,
    Act::Crash,
];

/// Every order in which five of these may happen.
#[tokio::test]
async fn in_every_order_an_approval_is_used_once_and_only_while_it_stands() {
    let mut orders: Vec<Vec<Act>> = vec![Vec::new()];
    for _ in 0..5 {
        let longer = |order: &Vec<Act>| {
            let order = order.clone();
            ACTS.into_iter().map(move |act| [order.clone(), vec![act]].concat())
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    for order in &orders {
        let state = State::new(Memory::default());
        let Filed::Now(id) = state.file(&request("d", "agent:bot", 1), &ROOM).await.expect("filed") else {
            panic!("not new")
        };
        let (mut stands, mut used) = (Status::Pending, 0);
        for one in order {
            let before = stands;
            stands = turns(before, *one);
            let claimed = act(&state, &id, *one).await;
            assert_eq!(
                claimed,
                before == Status::Approved && stands == Status::Claimed,
                "{order:?} at {one:?}"
            );
            used += usize::from(claimed);
            assert_eq!(state.standing(&id).await.expect("asked").status, stands, "{order:?} at {one:?}");
        }
        assert!(used <= 1, "{order:?}");
    }
}

/// All of it at once, on what is really kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_those_who_race_for_an_approval_one_gets_it() {
    for (name, state, _place) in backends().await {
        let mut used = 0;
        for round in 0..40 {
            // A request of its own, and no other version of one that an earlier round left open.
            let new = request(&format!("d{round}."), &format!("agent:{round}"), 1);
            let Filed::Now(id) = state.file(&new, &ROOM).await.expect("filed") else { panic!("not new") };
            if round % 2 == 0 {
                act(&state, &id, Act::Yes).await;
            }
            let racers = [Act::Claim, Act::Yes, Act::ClaimElsewhere, Act::No, Act::Rescind, Act::Withdraw];
            let tasks: Vec<_> = racers
                .into_iter()
                .map(|one| {
                    let (state, id) = (state.clone(), id.clone());
                    tokio::spawn(async move { act(&state, &id, one).await })
                })
                .collect();
            let mut claims = 0;
            for task in tasks {
                claims += usize::from(task.await.expect("it ends"));
            }
            let stands = state.standing(&id).await.expect("asked").status;
            assert_eq!(claims, usize::from(stands == Status::Claimed), "{name}: {stands}");
            used += claims;
        }
        assert!(used > 0, "{name}: nobody ever got one");
    }
}

#[tokio::test]
async fn values_are_shown_with_one_request() {
    for (name, state, _place) in backends().await {
        let Filed::Now(id) = state.file(&request("a", "agent:bot", 1), &ROOM).await.expect("filed") else {
            panic!("not new in {name}")
        };
        let found = state.request(&id).await.expect("read").expect("one");
        assert_eq!(found.values, [Some("x".to_owned()), None], "{name}");
        let ids: Vec<&str> = found.holds.iter().map(|h| h.id.as_str()).collect();
        assert_eq!(ids, ["held"], "{name}");
        assert!(state.request("none").await.expect("read").is_none(), "{name}");
    }
}

fn token(id: &str, issued: i64, targets: Option<&[&str]>) -> StoredToken {
    StoredToken {
        id: id.to_owned(),
        verifier: ScramVerifier::new(b"secret", &[7; 16], 4096),
        principal: Principal {
            id: PrincipalRef { kind: PrincipalKind::Agent, name: "bot".to_owned() },
            groups: vec!["analysts".to_owned()],
            on_behalf_of: vec![PrincipalRef { kind: PrincipalKind::User, name: "alice".to_owned() }],
            purpose: Some("a report".to_owned()),
            asserted: vec![Asserted {
                issuer: "company".to_owned(),
                subject: "0a1b".to_owned(),
                at: issued,
                session: None,
                groups: vec!["analysts".to_owned()],
            }],
        },
        targets: targets.map(|all| all.iter().copied().map(TargetName::new).collect()),
        parents: vec!["dwt_subject".to_owned(), "jwt_actor".to_owned()],
        minted_for: None,
        resource: None,
        may_act: None,
        issued,
        expires: issued + 100,
        revoked: false,
    }
}

#[tokio::test]
async fn tokens_live_alike_wherever_they_are_kept() {
    for (name, state, _place) in backends().await {
        for kept in
            [token("dwt_a", 1, None), token("dwt_b", 2, Some(&["orders"])), token("dwt_c", 3, Some(&[]))]
        {
            assert!(state.add_token(&kept, 0).await.expect("kept"), "{name}");
            let back = state.token(&kept.id).await.expect("read").expect("one");
            assert_eq!(
                (back.principal, back.targets, back.parents, back.issued, back.expires, back.verifier),
                (kept.principal, kept.targets, kept.parents, kept.issued, kept.expires, kept.verifier),
                "{name}"
            );
        }
        let listed = async |part: Part| -> Vec<String> {
            state.tokens(&part).await.expect("read").into_iter().map(|t| t.id).collect()
        };
        assert_eq!(listed(Part::newest(9)).await, ["dwt_c", "dwt_b", "dwt_a"], "newest first in {name}");
        assert_eq!(listed(Part::newest(2)).await, ["dwt_c", "dwt_b"], "{name}");
        let rest = Part { most: 2, before: Some("dwt_b".to_owned()) };
        assert_eq!(listed(rest).await, ["dwt_a"], "{name}");
        // What is made of others is bounded for whom it answers to; what is issued is not, and neither is what is over.
        let now = crate::gateway::now();
        let made = |id: &str, whose: &str, issued| StoredToken {
            minted_for: Some(whose.to_owned()),
            ..token(id, issued, None)
        };
        for (id, whose, issued, fits) in [
            ("dwt_1", "user:alice", now, true),
            ("dwt_2", "user:alice", now - 1000, true),
            ("dwt_3", "user:alice", now, true),
            ("dwt_4", "user:alice", now, false),
            ("dwt_5", "user:bob", now, true),
        ] {
            assert_eq!(
                state.add_token(&made(id, whose, issued), 2).await.expect("asked"),
                fits,
                "{id} {name}"
            );
        }
        assert!(state.revoke_token("dwt_1").await.expect("revoked"));
        assert!(state.add_token(&made("dwt_6", "user:alice", now), 2).await.expect("asked"), "{name}");
        assert!(state.revoke_token("dwt_b").await.expect("revoked"), "{name}");
        assert!(!state.revoke_token("dwt_x").await.expect("asked"), "{name}");
        let asked: BTreeSet<String> = ["dwt_a", "dwt_b", "dwt_c", "dwt_x"].map(str::to_owned).into();
        for (now, expected) in [(0, &["dwt_a", "dwt_c"][..]), (101, &["dwt_c"]), (103, &[])] {
            let good = state.good_tokens(&asked, now).await.expect("read");
            assert_eq!(good.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{now} in {name}");
        }
    }
}

#[tokio::test]
async fn what_may_be_used_once_is_used_once() {
    for (name, state, _place) in backends().await {
        for (id, first) in [("a", true), ("b", true), ("a", false), ("b", false)] {
            assert_eq!(state.spend(id, i64::MAX).await.expect("written"), first, "{id} in {name}");
        }
    }
}

#[tokio::test]
async fn a_configuration_comes_back_without_its_passwords() {
    let target = |password: Option<&str>| TargetConfig {
        name: "orders".to_owned(),
        host: "db".to_owned(),
        port: 5432,
        user: "app".to_owned(),
        database: "orders".to_owned(),
        password: password.map(|p| Password::new(p.to_owned())),
        sslmode: "prefer".to_owned(),
        credential: None,
        sslrootcert: None,
        direct_tls: false,
        require_channel_binding: false,
        read_only: Default::default(),
        freshness: Default::default(),
        tags: BTreeSet::new(),
        columns: BTreeMap::new(),
        functions: BTreeMap::new(),
    };
    let policies = vec![PolicyFile { name: "p".to_owned(), text: "x".to_owned() }];
    for (name, state, _place) in backends().await {
        assert_eq!(state.configured().await.expect("read").configuration, Configuration::default(), "{name}");
        for (password, kept) in
            [(Some("hunter2"), Some("hunter2")), (None, Some("hunter2")), (Some("b"), Some("b"))]
        {
            let wanted = Configuration {
                targets: vec![target(password)],
                policies: policies.clone(),
                ..Configuration::default()
            };
            let was = state.version().await.expect("read");
            assert_eq!(
                state.replace(was, &wanted, "user:ada").await.expect("replaced"),
                Some(was + 1),
                "{name}"
            );
            assert_eq!(
                state.replace(was, &wanted, "user:ada").await.expect("asked"),
                None,
                "{name}: that was replaced"
            );
            let expected = Configuration {
                targets: vec![target(None)],
                policies: policies.clone(),
                ..Configuration::default()
            };
            assert_eq!(state.configured().await.expect("read").configuration, expected, "{name}");
            let credentials = state.configured().await.expect("read").credentials;
            assert_eq!(credentials.get("orders").map(|p| p.as_slice()), kept.map(str::as_bytes), "{name}");
        }
        let was = state.version().await.expect("read");
        state.replace(was, &Configuration::default(), "user:ada").await.expect("replaced");
        assert!(state.configured().await.expect("read").credentials.is_empty(), "{name}");
        let former = state.former().await.expect("read");
        let said: Vec<_> =
            former.iter().map(|f| (f.version, f.by.as_str(), f.configuration.targets.len())).collect();
        assert_eq!(
            said,
            [(4, "user:ada", 0), (3, "user:ada", 1), (2, "user:ada", 1), (1, "user:ada", 1)],
            "{name}"
        );
        assert!(!format!("{former:?}").contains("hunter2"), "{name}: passwords are no part of it");
    }
}

#[tokio::test]
async fn keys_are_made_once() {
    for (name, state, _place) in backends().await {
        let state = Arc::new(state);
        let (one, two) = (state.keys().await.expect("keys"), state.keys().await.expect("keys"));
        assert_eq!((one.verifiers, one.masks, one.commitments), (two.verifiers, two.masks, two.commitments));
        assert_ne!(one.verifiers, one.masks, "{name}");
    }
}

#[tokio::test]
async fn denials_hold_until_they_end_or_are_lifted_wherever_they_are_kept() {
    use model::{Denial, Subject};
    for (name, state, _place) in backends().await {
        let who = PrincipalRef { kind: PrincipalKind::User, name: "alice".to_owned() };
        let of = |id: &str, subject: Subject, until: Option<i64>| Denial {
            id: id.to_owned(),
            subject,
            reason: "to be sure".to_owned(),
            by: "admin".to_owned(),
            since: 10,
            until,
        };
        let group = |issuer: Option<&str>| Subject::Group {
            issuer: issuer.map(str::to_owned),
            group: "contractors".to_owned(),
        };
        let all = [
            of("a", Subject::Principal(who), None),
            of("b", Subject::Token("dwt_x".to_owned()), Some(20)),
            of("c", group(None), None),
            of("d", group(Some("company")), Some(30)),
            of("e", Subject::Issuer("company".to_owned()), None),
        ];
        for denial in &all {
            state.add_denial(denial).await.expect("written");
        }
        let mut kept = state.denials(19).await.expect("read");
        kept.reverse();
        assert_eq!(kept, all, "{name}");
        let ids = |kept: Vec<Denial>| kept.into_iter().map(|d| d.id).collect::<String>();
        assert_eq!(ids(state.denials(20).await.expect("read")), "edca", "{name}: one has ended");
        assert!(state.lift_denial("c").await.expect("written"), "{name}");
        assert!(!state.lift_denial("c").await.expect("written"), "{name}: lifted once");
        assert_eq!(ids(state.denials(30).await.expect("read")), "ea", "{name}");
        assert_eq!(state.purge(25, 0, 100).await.expect("purged").denials, 1, "{name}: b");
    }
}

#[tokio::test]
async fn who_signed_out_is_kept_once_by_each_name_and_told_once_wherever_it_is_kept() {
    use model::{SignOut, SignedOut};
    for (name, state, _place) in backends().await {
        let account =
            |subject: &str| SignedOut::Account { issuer: "company".to_owned(), subject: subject.to_owned() };
        let out = |of: SignedOut, since| SignOut { of, since, until: since + 100 };
        let sign_in = SignedOut::SignIn { issuer: "company".to_owned(), session: "s".to_owned() };
        let (alice, bob) = (out(account("alice"), 10), out(account("bob"), 20));
        let both = [alice.clone(), out(sign_in, 10)];
        assert!(!state.was_spent("one").await.expect("read"), "{name}");
        assert!(state.sign_out(("one", 50), &both).await.expect("written"), "{name}");
        assert!(state.was_spent("one").await.expect("read"), "{name}");
        assert!(
            !state.sign_out(("one", 50), std::slice::from_ref(&bob)).await.expect("written"),
            "{name}: said once"
        );
        let first = state.sign_outs(0).await.expect("read");
        assert_eq!(first.iter().map(|(_, out)| out.clone()).collect::<Vec<_>>(), both, "{name}");
        let last = first.last().expect("one").0;
        assert!(state.sign_outs(last).await.expect("read").is_empty(), "{name}: told once");
        assert!(
            state.sign_out(("two", 60), &[bob.clone(), out(account("alice"), 15)]).await.expect("written")
        );
        let then: Vec<SignOut> =
            state.sign_outs(last).await.expect("read").into_iter().map(|(_, out)| out).collect();
        assert_eq!(then, [bob, out(account("alice"), 15)], "{name}");
        if name != "memory" {
            let all = state.sign_outs(0).await.expect("read");
            assert_eq!(all.len(), 3, "{name}: one by each name");
            // An older word takes nothing back.
            state.sign_out(("three", 60), &[out(account("alice"), 12)]).await.expect("written");
            let (last, kept) = state.sign_outs(0).await.expect("read").pop().expect("one");
            assert_eq!(kept, out(account("alice"), 15), "{name}");
            // What is over goes, but for the last: no number comes again.
            state.purge(0, 0, 1000).await.expect("purged");
            let left = state.sign_outs(0).await.expect("read");
            assert_eq!(left.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [last], "{name}");
            assert!(!state.was_spent("one").await.expect("read"), "{name}: what is over is forgotten");
        }
    }
}

#[tokio::test]
async fn an_emergency_code_is_used_once_wherever_it_is_kept() {
    for (name, state, _place) in backends().await {
        let code = |id: &str, expires: i64| StoredCode {
            id: id.to_owned(),
            verifier: ScramVerifier::new(b"secret", &[7; 16], 4096),
            principal: PrincipalRef { kind: PrincipalKind::User, name: "alice".to_owned() },
            groups: vec!["oncall".to_owned()],
            target: TargetName::new("orders"),
            lifetime: 60,
            made: 10,
            expires,
            used: None,
            revoked: false,
        };
        for (id, expires) in [("dwb_a", 100), ("dwb_b", 100), ("dwb_c", 20)] {
            state.add_code(&code(id, expires)).await.expect("written");
        }
        assert!(state.revoke_code("dwb_b").await.expect("written"), "{name}");
        for (id, usable) in
            [("dwb_a", true), ("dwb_a", false), ("dwb_b", false), ("dwb_c", false), ("dwb_d", false)]
        {
            assert_eq!(state.use_code(id, 20).await.expect("written"), usable, "{id} in {name}");
        }
        let kept = state.code("dwb_a").await.expect("read").expect("a code");
        assert_eq!(
            (kept.used, kept.groups, kept.lifetime),
            (Some(20), vec!["oncall".to_owned()], 60),
            "{name}"
        );
        assert!(kept.verifier.matches(b"secret"), "{name}");
        let ids: Vec<String> = state.codes().await.expect("read").into_iter().map(|c| c.id).collect();
        assert_eq!(ids, ["dwb_c", "dwb_b", "dwb_a"], "{name}: newest first");
    }
}
