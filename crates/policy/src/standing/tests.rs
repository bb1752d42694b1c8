//! A model: whatever happens in whatever order, an operation is covered only where everything is as it was given.

use model::{Covered, Likeness, OpenValue, TargetName, Touched};
use proptest::prelude::*;

use super::*;

fn rule(quorum: u32, grant: Option<u64>) -> HoldRule {
    HoldRule {
        id: "held".to_owned(),
        approvers: vec!["dba".to_owned()],
        quorum,
        expires: 900,
        valid_for: 900,
        reason: None,
        carry: false,
        slack: model::SlackYes::Never,
        by_self: false,
        ceiling: None,
        tolerance: 0,
        preview: None,
        grant,
    }
}

/// The world in which an operation is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct World {
    now: i64,
    shape: &'static str,
    agent: &'static str,
    person: &'static str,
    target: &'static str,
    kept: &'static str,
    table: &'static str,
    meaning: &'static str,
    rules: Vec<HoldRule>,
    groups: Option<Vec<String>>,
    used: u64,
    revoked: bool,
}

impl World {
    fn at_first() -> Self {
        Self {
            now: 0,
            shape: "shape",
            agent: "agent:bot",
            person: "user:alice",
            target: "orders",
            kept: "7",
            table: "as it was",
            meaning: "as it was",
            rules: vec![rule(1, Some(7200))],
            groups: Some(vec!["dba".to_owned()]),
            used: 0,
            revoked: false,
        }
    }

    fn asks(&self) -> NewRequest {
        NewRequest {
            digest: String::new(),
            subject: String::new(),
            touched: vec![Touched { what: "the table t".to_owned(), mark: self.table.to_owned() }],
            principal: self.agent.to_owned(),
            on_behalf_of: vec![self.person.to_owned()],
            target: TargetName::new(self.target),
            session: String::new(),
            waits: 0,
            summary: String::new(),
            kind: String::new(),
            text: String::new(),
            values: Vec::new(),
            circumstances: model::Circumstances::default(),
            effects: Vec::new(),
            holds: self.rules.clone(),
            ceiling: model::Ceiling::default(),
            preview: model::Preview::default(),
            weighed: Default::default(),
            version: String::new(),
            alike: Some(Likeness {
                key: self.shape.to_owned(),
                meaning: self.meaning.to_owned(),
                open: vec![
                    OpenValue { number: 1, mark: "whatever it is".to_owned() + &self.now.to_string() },
                    OpenValue { number: 2, mark: self.kept.to_owned() },
                ],
            }),
        }
    }
}

fn given(seconds: i64, uses: Option<u64>) -> StandingGrant {
    let first = World::at_first();
    let asked = first.asks();
    let likeness = asked.alike.expect("it has others alike");
    let any = Covered { text: None, any: true, mark: None };
    StandingGrant {
        id: "g1".to_owned(),
        request: "r1".to_owned(),
        key: likeness.key,
        meaning: likeness.meaning,
        touched: asked.touched,
        principal: asked.principal,
        on_behalf_of: asked.on_behalf_of,
        target: asked.target,
        text: String::new(),
        values: vec![any, Covered { text: None, any: false, mark: Some(first.kept.to_owned()) }],
        circumstances: model::Circumstances::default(),
        effects: Vec::new(),
        holds: first.rules,
        most: 5,
        uses,
        used: 0,
        giver: Vote {
            voter: "user:dora".to_owned(),
            groups: vec!["dba".to_owned()],
            approve: true,
            words: None,
            proof: None,
            most: None,
            access: None,
            names: Vec::new(),
            at: None,
        },
        others: Vec::new(),
        access: None,
        given: 0,
        expires: seconds,
        ended: None,
    }
}

/// Something that happens, and whether an honest use is possible behind it.
#[derive(Debug, Clone, Copy)]
enum Step {
    Uses,
    Waits(i64),
    Revokes,
    Alters,
    AltersBack,
    MeansOther,
    ChangesRule,
    ChangesRuleBack,
    AsksTwo,
    Forbids,
    AllowsShorter,
    AsksToo,
    LosesRight,
    IsRemoved,
    IsBack,
    OtherShape,
    OtherAgent,
    OtherPerson,
    OtherTarget,
    OtherKept,
    Same,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Step::*;
    let all = [
        Uses,
        Uses,
        Uses,
        Waits(900),
        Waits(3600),
        Revokes,
        Alters,
        AltersBack,
        MeansOther,
        ChangesRule,
        ChangesRuleBack,
        AsksTwo,
        Forbids,
        AllowsShorter,
        AsksToo,
        LosesRight,
        IsRemoved,
        IsBack,
        OtherShape,
        OtherAgent,
        OtherPerson,
        OtherTarget,
        OtherKept,
        Same,
    ];
    prop::collection::vec(prop::sample::select(all.to_vec()), 0..30)
}

fn happens(world: &mut World, step: Step) {
    let first = World::at_first();
    match step {
        Step::Uses => (),
        Step::Waits(seconds) => world.now += seconds,
        Step::Revokes => world.revoked = true,
        Step::Alters => world.table = "altered",
        Step::AltersBack => world.table = first.table,
        Step::MeansOther => world.meaning = "another",
        Step::ChangesRule => world.rules[0].approvers = vec!["owners".to_owned()],
        Step::ChangesRuleBack => world.rules = first.rules,
        Step::AsksTwo => world.rules[0].quorum = 2,
        Step::Forbids => world.rules[0].grant = None,
        Step::AllowsShorter => world.rules[0].grant = Some(600),
        Step::AsksToo => world.rules.push(HoldRule { id: "too".to_owned(), ..rule(1, Some(7200)) }),
        Step::LosesRight => world.groups = Some(vec!["sales".to_owned()]),
        Step::IsRemoved => world.groups = None,
        Step::IsBack => world.groups = first.groups,
        Step::OtherShape => world.shape = "another",
        Step::OtherAgent => world.agent = "agent:other",
        Step::OtherPerson => world.person = "user:other",
        Step::OtherTarget => world.target = "elsewhere",
        Step::OtherKept => world.kept = "8",
        Step::Same => {
            let World { shape, agent, person, target, kept, meaning, .. } = first;
            (world.shape, world.agent, world.person) = (shape, agent, person);
            (world.target, world.kept, world.meaning) = (target, kept, meaning);
        }
    }
}

proptest! {
    #[test]
    fn a_grant_covers_only_where_everything_is_as_it_was_given(
        steps in steps(),
        seconds in prop::sample::select(vec![1800_i64, 7200]),
        uses in prop::option::of(1_u64..3),
    ) {
        let (mut world, mut grant) = (World::at_first(), given(seconds, uses));
        for step in steps {
            happens(&mut world, step);
            if world.revoked {
                grant.ended = Some("revoked".to_owned());
            }
            let covered = covers(&grant, &world.asks(), world.groups.as_deref(), world.now);
            let first = World::at_first();
            // Independent of how it is decided: the world is that of the first moment, but for the time and the first value.
            let mut same = World { now: 0, used: 0, revoked: false, ..world.clone() };
            let shorter = same.rules.len() == 1 && same.rules[0].grant == Some(600);
            if shorter {
                same.rules[0].grant = first.rules[0].grant;
            }
            let in_time = world.now < seconds && world.now < if shorter { 600 } else { 7200 };
            let left = uses.is_none_or(|most| world.used < most);
            let expected = same == first && in_time && left && !world.revoked && grant.ended.is_none();
            prop_assert_eq!(covered.is_ok(), expected, "{:?} {:?}", covered, world);
            if matches!(step, Step::Uses) && covered.is_ok() {
                world.used += 1;
                grant.used += 1;
            }
            // What has ended it once ends it for good.
            if let Err(Uncovered::Ended(why)) = covered {
                prop_assert!(!why.is_empty());
                grant.ended = Some(why);
            }
        }
    }
}

#[test]
fn what_has_changed_is_said() {
    for (step, says) in [
        (Step::Alters, "the table t was altered"),
        (Step::MeansOther, "what it would do has changed"),
        (Step::ChangesRule, "the policy \"held\" was changed"),
        (Step::AsksToo, "the policy \"too\" asks, too"),
        (Step::Forbids, "the policy \"held\" lets nobody give standing grants (@grant)"),
        (Step::LosesRight, "user:dora, who gave it, may not approve this any more"),
        (Step::IsRemoved, "user:dora, who gave it, may not approve this any more"),
    ] {
        let mut world = World::at_first();
        happens(&mut world, step);
        let covered = covers(&given(7200, None), &world.asks(), world.groups.as_deref(), world.now);
        let (Err(Uncovered::Ended(why)) | Err(Uncovered::Not(why))) = covered else { panic!("{step:?}") };
        assert_eq!(why, says, "{step:?}");
    }
}

#[test]
fn policy_says_whether_and_for_how_long_grants_are_given() {
    for (rules, expected) in [
        (vec![rule(1, Some(60))], Ok(60)),
        (vec![rule(1, Some(60)), rule(1, Some(30))], Ok(30)),
        (vec![rule(1, Some(60)), rule(1, None)], Err("lets nobody give standing grants")),
        (vec![rule(1, None)], Err("lets nobody give standing grants")),
        (vec![rule(2, Some(60))], Err("asks more than one person")),
        (vec![], Err("no policy asks")),
    ] {
        match (longest(&rules), expected) {
            (Ok(seconds), Ok(expected)) => assert_eq!(seconds, expected),
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (said, expected) => panic!("{said:?} {expected:?}"),
        }
    }
}
