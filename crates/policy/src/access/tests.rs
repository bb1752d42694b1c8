use std::net::Ipv4Addr;

use model::{
    Access, KnownAs, Leave, Principal, PrincipalKind, PrincipalRef, TableName, TargetName, Touched, Weighed,
};

use super::*;
use crate::{Identity, Source};

const RULES: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("writes") permit (principal, action in Action::"write", resource);
@id("held") @approvers("dba") @grant("1h") @ceiling("9")
forbid (principal, action in [Action::"write", Action::"reveal"], resource)
unless { context.approvals.contains("held") };
@id("rows") @approvers("dba") @grant("30m")
forbid (principal, action == Action::"delete", resource) when { !context.statement.has_where }
unless { context.approvals.contains("rows") };
@id("books") @reason("the books are closed")
forbid (principal, action in Action::"write", resource in Schema::"orders/books");
@id("bare") forbid (principal, action == Action::"update", resource == Table::"orders/shop/stock")
unless { context.statement.has_where };
@id("mail") permit (principal, action == Action::"reveal", resource);
"#;

struct Operation {
    effects: Vec<Effect>,
    outputs: Vec<(ColumnName, BTreeSet<Tag>)>,
    facts: Facts,
}

impl Inspect for Operation {
    fn effects(&self) -> &[Effect] {
        &self.effects
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        &self.outputs
    }

    fn shape(&self) -> [u8; 16] {
        [0; 16]
    }

    fn particulars(&self) -> model::Particulars {
        model::Particulars::default()
    }
}

fn moment() -> Context {
    Context {
        now: 0,
        address: Ipv4Addr::LOCALHOST.into(),
        application: "psql".into(),
        in_transaction: false,
        encrypted: true,
        read_instructions: false,
    }
}

fn policies() -> Policies {
    Policies::load(&[Source { name: "p.cedar".to_owned(), text: RULES.to_owned() }])
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn grant(policies: &Policies) -> Grant {
    let principal = Principal {
        id: PrincipalRef { kind: PrincipalKind::Agent, name: "bot".to_owned() },
        groups: Vec::new(),
        on_behalf_of: Vec::new(),
        purpose: None,
        asserted: Vec::new(),
    };
    let target = TargetName::new("orders");
    policies
        .authorize(Identity::verified(principal), &target, &TargetFacts::default(), &moment())
        .expect("connected")
}

fn table(name: &str) -> TableName {
    let (schema, name) = name.split_once('.').unwrap_or(("shop", name));
    TableName { schema: schema.to_owned(), name: name.to_owned() }
}

fn on(action: Action, name: &str) -> Effect {
    Effect::new(action, Resource::Table(table(name)))
}

#[test]
fn what_can_be_asked_for_is_what_is_held_and_nothing_else() {
    let policies = policies();
    let grant = grant(&policies);
    let ids = |rules: &[HoldRule]| rules.iter().map(|rule| rule.id.clone()).collect::<Vec<_>>().join(",");
    for (effects, expected) in [
        (vec![on(Action::Update, "orders")], "1 held"),
        // What holds some statements of the kind is asked with it.
        (vec![on(Action::Delete, "orders")], "1 held,rows"),
        (vec![on(Action::Update, "orders"), on(Action::Select, "orders")], "1 held"),
        (vec![on(Action::Update, "orders"), on(Action::Insert, "lines")], "2 held"),
        (vec![on(Action::Select, "orders")], "free"),
        // What no yes lets through is not asked for, whatever stands beside it.
        (vec![on(Action::Update, "books.closed")], "books"),
        (vec![on(Action::Update, "orders"), on(Action::Insert, "books.closed")], "books"),
        (vec![on(Action::Drop, "orders")], ""),
        // Denied without rows that are named, held with them.
        (vec![on(Action::Update, "stock")], "1 held"),
    ] {
        let said = match policies.sought(&grant, &TargetFacts::default(), &effects, &moment()) {
            Sought::Free => "free".to_owned(),
            Sought::Held { effects, rules } => format!("{} {}", effects.len(), ids(&rules)),
            Sought::Denied(denied) => denied.policies.join(","),
        };
        assert_eq!(said, expected, "{effects:?}");
    }
}

/// A moment at which somebody uses what was given to `agent:bot` for updates of `shop.orders`.
#[derive(Clone)]
struct Use {
    effects: Vec<Effect>,
    shows_mail: bool,
    agent: &'static str,
    target: &'static str,
    table: &'static str,
    groups: Option<&'static str>,
    rule: fn(HoldRule) -> HoldRule,
    also: Option<&'static str>,
    now: i64,
    ended: bool,
}

fn lifted(policies: &Policies, given: Use) -> Result<(), Uncovered> {
    let Use { effects, shows_mail, agent, target, table: mark, groups, rule, also, now, ended } = given;
    let own = grant(policies);
    let mail = ColumnName { table: table("orders"), name: "email".to_owned() };
    let outputs = if shows_mail { vec![(mail, BTreeSet::from([Tag("pii".to_owned())]))] } else { Vec::new() };
    let facts = Facts { has_where: true, statements: 1, ..Facts::default() };
    let operation = Operation { effects, outputs, facts };
    let held = policies.rule("held").cloned().expect("a rule");
    let mut holds = vec![rule(held.clone())];
    if let Some(id) = also {
        holds.push(HoldRule { id: id.to_owned(), ..held.clone() });
    }
    let kept = policies.kept(&own, &TargetFacts::default(), &operation, &moment(), &holds);
    let touched =
        |mark: &str| vec![Touched { what: "the table shop.orders".to_owned(), mark: mark.to_owned() }];
    let vote = |groups: &str| Vote {
        voter: "user:dora".to_owned(),
        groups: vec![groups.to_owned()],
        approve: true,
        words: None,
        proof: Some("secret".to_owned()),
        most: None,
        access: None,
        names: Vec::<KnownAs>::new(),
        at: None,
    };
    let access = Access {
        leaves: BTreeSet::from([Leave { action: "update".to_owned(), table: table("orders") }]),
        most: Some(5),
        seconds: 1800,
    };
    let standing = StandingGrant {
        id: "g1".to_owned(),
        request: "r1".to_owned(),
        key: String::new(),
        meaning: String::new(),
        touched: touched("as it was"),
        principal: "agent:bot".to_owned(),
        on_behalf_of: Vec::new(),
        target: TargetName::new("orders"),
        text: access.line(),
        values: Vec::new(),
        circumstances: model::Circumstances::default(),
        effects: Vec::new(),
        holds: vec![held],
        most: 5,
        uses: None,
        used: 0,
        giver: vote("dba"),
        others: Vec::new(),
        access: Some(access),
        given: 0,
        expires: 1800,
        ended: ended.then(|| "revoked".to_owned()),
    };
    let asked = NewRequest {
        digest: String::new(),
        subject: String::new(),
        touched: touched(mark),
        principal: agent.to_owned(),
        on_behalf_of: Vec::new(),
        target: TargetName::new(target),
        session: String::new(),
        waits: 0,
        summary: String::new(),
        kind: String::new(),
        text: String::new(),
        values: Vec::new(),
        circumstances: model::Circumstances::default(),
        effects: Vec::new(),
        holds,
        ceiling: model::Ceiling::default(),
        preview: model::Preview::default(),
        weighed: Weighed::default(),
        version: String::new(),
        alike: None,
    };
    let votes: Vec<Vote> = groups.map(vote).into_iter().collect();
    lifts(&standing, &asked, &kept, &votes, now)
}

#[test]
fn access_lifts_what_it_was_given_for_and_nothing_else() {
    let policies = policies();
    let honest = Use {
        effects: vec![
            on(Action::Update, "orders"),
            on(Action::Select, "orders"),
            on(Action::Select, "lines"),
        ],
        shows_mail: false,
        agent: "agent:bot",
        target: "orders",
        table: "as it was",
        groups: Some("dba"),
        rule: |rule| rule,
        also: None,
        now: 1799,
        ended: false,
    };
    let with = |change: fn(&mut Use)| {
        let mut other = honest.clone();
        change(&mut other);
        other
    };
    type Case = (&'static str, fn(&mut Use), Option<&'static str>);
    let cases: [Case; 19] = [
        ("as it was given", |_| (), Some("")),
        ("another action", |u| u.effects[0] = on(Action::Delete, "orders"), None),
        ("another table", |u| u.effects[0] = on(Action::Update, "lines"), None),
        ("a table of the same name", |u| u.effects[0] = on(Action::Update, "other.orders"), None),
        (
            "one more that is held",
            |u| u.effects.push(on(Action::Insert, "audit")),
            Some("it does not let insert shop.audit"),
        ),
        (
            "one that is denied",
            |u| u.effects.push(on(Action::Drop, "orders")),
            Some("it does not let drop shop.orders"),
        ),
        (
            "what is not understood",
            |u| u.effects.push(Effect::unknown("odd")),
            Some("it does not let unknown"),
        ),
        ("nothing that is held", |u| drop(u.effects.remove(0)), None),
        ("another agent", |u| u.agent = "agent:other", None),
        ("another target", |u| u.target = "elsewhere", None),
        ("after its time", |u| u.now = 1800, None),
        ("after it was revoked", |u| u.ended = true, None),
        ("a masked column shown by the yes", |u| u.shows_mail = true, Some("tagged columns")),
        ("an altered table", |u| u.table = "another", Some("the table shop.orders was altered")),
        ("another rule asks", |u| u.also = Some("too"), Some("\"too\" asks, too")),
        (
            "the rule asks others",
            |u| u.rule = |rule| HoldRule { approvers: vec!["owners".to_owned()], ..rule },
            Some("was changed"),
        ),
        (
            "the rule lets no grant be given any more",
            |u| u.rule = |rule| HoldRule { grant: None, ..rule },
            Some("lets nobody give"),
        ),
        ("who gave it may not any more", |u| u.groups = Some("sales"), Some("may not approve")),
        ("who gave it is gone", |u| u.groups = None, Some("may not approve")),
    ];
    for (case, change, expected) in cases {
        match (lifted(&policies, with(change)), expected) {
            (Ok(()), Some("")) => (),
            (Err(Uncovered::Other), None) => (),
            (Err(Uncovered::Not(why) | Uncovered::Ended(why)), Some(says)) if !says.is_empty() => {
                assert!(why.contains(says), "{case}: {why}");
            }
            (said, expected) => panic!("{case}: {said:?}, and not {expected:?}"),
        }
    }
}
