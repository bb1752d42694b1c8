use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use model::{
    Action, ColumnName, Effect, Facts, Inspect, Particulars, Principal, PrincipalKind, PrincipalRef,
    Resource, TableName, Tag, TargetName, Told,
};

use crate::{Context, Grant, Identity, Policies, Source, TargetFacts, Verdict};

/// An operation that counts how often it is asked for what it has alone.
struct Operation<'a> {
    effect: [Effect; 1],
    facts: Facts,
    particulars: Particulars,
    shape: [u8; 16],
    asked: &'a Cell<u32>,
}

impl Inspect for Operation<'_> {
    fn effects(&self) -> &[Effect] {
        &self.effect
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn tagged_outputs(&self) -> &[(ColumnName, BTreeSet<Tag>)] {
        &[]
    }

    fn shape(&self) -> [u8; 16] {
        self.shape
    }

    fn particulars(&self) -> Particulars {
        self.asked.set(self.asked.get() + 1);
        self.particulars.clone()
    }
}

const BASE: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action == Action::"select", resource);
"#;

fn policies(more: &str) -> Policies {
    let source = Source { name: "p.cedar".to_owned(), text: format!("{BASE}{more}") };
    Policies::load(&[source]).unwrap_or_else(|problems| panic!("{more}: {problems:?}"))
}

fn now() -> Context {
    Context {
        now: 0,
        address: Ipv4Addr::LOCALHOST.into(),
        application: "psql".into(),
        in_transaction: false,
        encrypted: true,
        read_instructions: false,
    }
}

fn grant(policies: &Policies) -> Grant {
    let id = PrincipalRef { kind: PrincipalKind::Agent, name: "bot".to_owned() };
    let principal =
        Principal { id, groups: Vec::new(), on_behalf_of: Vec::new(), purpose: None, asserted: Vec::new() };
    let who = Identity::verified(principal);
    match policies.authorize(who, &TargetName::new("orders"), &TargetFacts::default(), &now()) {
        Ok(grant) => grant,
        Err(denied) => panic!("{denied:?}"),
    }
}

fn told(how: &str, value: &str) -> Told {
    Told { column: "shop.orders.tenant".to_owned(), how: how.to_owned(), value: value.to_owned() }
}

fn operation<'a>(action: Action, particulars: &Particulars, asked: &'a Cell<u32>) -> Operation<'a> {
    let table = TableName { schema: "shop".to_owned(), name: "orders".to_owned() };
    let facts = Facts { statements: 1, ..Facts::default() };
    let effect = [Effect::new(action, Resource::Table(table))];
    Operation { effect, facts, particulars: particulars.clone(), shape: [7; 16], asked }
}

fn word<M>(verdict: &Verdict<M>) -> &'static str {
    match verdict {
        Verdict::Allow(_) => "allow",
        Verdict::Deny(..) => "deny",
        Verdict::Hold(_) => "hold",
    }
}

#[test]
fn operations_of_one_shape_are_told_apart_by_their_values_where_policy_reads_them() {
    const ONLY: &str = r#"@id("own") forbid (principal, action == Action::"select", resource)
        unless { context.values.contains({column: "shop.orders.tenant", how: "=", value: "acme"}) };"#;
    const NEVER: &str = r#"@id("never") forbid (principal, action == Action::"select", resource)
        when { !context.values_certain
            || context.values.contains({column: "shop.orders.tenant", how: "=", value: "evil"}) };"#;
    const LISTED: &str = r#"@id("listed") forbid (principal, action == Action::"select", resource)
        unless { context.values_certain
            && [{column: "shop.orders.tenant", how: "=", value: "acme"}].containsAll(context.values) };"#;
    const BOUND: &str = r#"@id("bound") forbid (principal, action == Action::"select", resource)
        when { context.literals > 0 };"#;
    const FEW: &str = r#"@id("few") forbid (principal, action == Action::"select", resource)
        unless { context has estimated_rows && context.estimated_rows <= 10 };"#;
    const HELD: &str = r#"@id("held") @approvers("dba")
        forbid (principal, action == Action::"select", resource)
        when { !context.values.contains({column: "shop.orders.tenant", how: "=", value: "acme"}) }
        unless { context.approvals.contains("held") };"#;
    const PERMITTED: &str = r#"@id("more") permit (principal, action == Action::"insert", resource)
        when { context.values.contains({column: "shop.orders.tenant", how: "=", value: "acme"}) };"#;
    let of = |told: &[Told], certain| Particulars {
        values: told.iter().cloned().collect(),
        values_certain: certain,
        ..Particulars::default()
    };
    let acme = of(&[told("=", "acme")], true);
    let evil = of(&[told("=", "evil")], true);
    let both = of(&[told("=", "acme"), told("=", "evil")], true);
    let more = of(&[told("=", "acme")], false);
    let nothing = of(&[], true);
    let untold = of(&[], false);
    let literal = Particulars { literals: 1, ..nothing.clone() };
    let rows = |rows| Particulars { estimated_rows: Some(rows), ..nothing.clone() };
    let select = Action::Select;
    for (policy, action, particulars, expected) in [
        (ONLY, select, &acme, "allow"),
        (ONLY, select, &more, "allow"),
        (ONLY, select, &evil, "deny"),
        (ONLY, select, &nothing, "deny"),
        (ONLY, select, &untold, "deny"),
        (NEVER, select, &acme, "allow"),
        (NEVER, select, &evil, "deny"),
        (NEVER, select, &more, "deny"),
        (LISTED, select, &acme, "allow"),
        (LISTED, select, &nothing, "allow"),
        (LISTED, select, &both, "deny"),
        (LISTED, select, &more, "deny"),
        (BOUND, select, &nothing, "allow"),
        (BOUND, select, &literal, "deny"),
        (FEW, select, &rows(10), "allow"),
        (FEW, select, &rows(11), "deny"),
        (FEW, select, &nothing, "deny"),
        (HELD, select, &acme, "allow"),
        (HELD, select, &evil, "hold"),
        (PERMITTED, Action::Insert, &acme, "allow"),
        (PERMITTED, Action::Insert, &evil, "deny"),
    ] {
        let policies = policies(policy);
        let (grant, facts, asked) = (grant(&policies), TargetFacts::default(), Cell::new(0));
        // The other ones of its shape before it change nothing.
        for other in [&acme, &evil, particulars] {
            let other = operation(action, other, &asked);
            drop(policies.decide(&grant, &facts, other, &now(), &BTreeSet::new()));
        }
        let of_it = operation(action, particulars, &asked);
        let verdict = policies.decide(&grant, &facts, of_it, &now(), &BTreeSet::new());
        assert_eq!(word(&verdict), expected, "{policy} {particulars:?}");
        assert_eq!(asked.get(), 4, "each was asked for what it has alone");
    }
}

#[test]
fn a_shape_goes_on_to_its_values_only_where_some_of_them_could_be_allowed() {
    const VALUED: &str = r#"@id("own") forbid (principal, action == Action::"select", resource)
        unless { context.values.contains({column: "shop.orders.tenant", how: "=", value: "acme"}) };"#;
    const PERMIT: &str = r#"@id("more") permit (principal, action == Action::"insert", resource)
        when { context.values_certain };"#;
    const CLOSED: &str = r#"@id("closed") forbid (principal, action == Action::"select", resource);"#;
    for (more, action, expected) in [
        (VALUED.to_owned(), Action::Select, "allow"),
        (PERMIT.to_owned(), Action::Insert, "allow"),
        (PERMIT.to_owned(), Action::Update, "deny"),
        (format!("{VALUED}{CLOSED}"), Action::Select, "deny"),
    ] {
        let policies = policies(&more);
        let (grant, asked) = (grant(&policies), Cell::new(0));
        let shape = operation(action, &Particulars::default(), &asked);
        let verdict = policies.decide_shape(&grant, &TargetFacts::default(), shape, &now());
        assert_eq!(word(&verdict), expected, "{more}");
        assert_eq!(asked.get(), 0, "nothing is known of it yet");
    }
}

#[test]
fn where_no_policy_that_applies_reads_values_they_are_not_asked_for_and_verdicts_are_kept() {
    const ELSEWHERE: &str = r#"
        @id("others") forbid (principal, action, resource in Target::"billing") unless { context.values_certain };
        @id("writes") forbid (principal, action in Action::"write", resource) unless { context.literals == 0 };"#;
    let policies = policies(ELSEWHERE);
    let (grant, asked) = (grant(&policies), Cell::new(0));
    let kept = policies.remembered();
    for _ in 0..3 {
        let read = operation(Action::Select, &Particulars::default(), &asked);
        let verdict = policies.decide(&grant, &TargetFacts::default(), read, &now(), &BTreeSet::new());
        assert_eq!(word(&verdict), "allow");
    }
    assert_eq!((asked.get(), policies.remembered()), (0, kept + 1));
    let write = operation(Action::Delete, &Particulars::default(), &asked);
    drop(policies.decide(&grant, &TargetFacts::default(), write, &now(), &BTreeSet::new()));
    assert_eq!((asked.get(), policies.remembered()), (1, kept + 1), "what is decided by values is not kept");
}

#[test]
fn what_touches_more_than_one_table_is_told_apart() {
    const ONE: &str = r#"@id("one") forbid (principal, action == Action::"select", resource)
        when { context.statement.table_count > 1 };"#;
    let policies = policies(ONE);
    let (grant, asked) = (grant(&policies), Cell::new(0));
    let table = |name: &str| TableName { schema: "shop".to_owned(), name: name.to_owned() };
    for (names, shape, expected) in [(&["a"][..], 1, "allow"), (&["a", "b"], 2, "deny"), (&[], 3, "allow")] {
        let mut read = operation(Action::Select, &Particulars::default(), &asked);
        read.facts.tables = names.iter().map(|name| table(name)).collect();
        read.shape = [shape; 16];
        let verdict = policies.decide(&grant, &TargetFacts::default(), read, &now(), &BTreeSet::new());
        assert_eq!(word(&verdict), expected, "{names:?}");
    }
}

#[test]
fn a_policy_that_takes_values_for_something_else_is_not_valid() {
    for (when, valid) in [
        ("context.values.contains({column: \"a.b.c\", how: \"=\", value: \"1\"})", true),
        ("context.values.contains({column: \"a.b.c\", how: \"=\", value: 1})", false),
        ("context.values.contains({column: \"a.b.c\", value: \"1\"})", false),
        ("context.values.contains(\"1\")", false),
        ("context.values_certain", true),
        ("context has estimated_rows && context.estimated_rows > 3", true),
        ("context.estimated_rows > 3", false),
        ("context has measured_rows && context.measured_rows > 3", true),
        ("context.literals > 0", true),
    ] {
        let text = format!("@id(\"p\") permit (principal, action, resource) when {{ {when} }};");
        let loaded = Policies::load(&[Source { name: "p.cedar".to_owned(), text }]);
        assert_eq!(loaded.is_ok(), valid, "{when}: {:?}", loaded.err());
    }
}
