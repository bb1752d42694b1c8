use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use model::{
    Action, ColumnName, Effect, Facts, Inspect, Principal, PrincipalKind, PrincipalRef, Resource, TableName,
    Tag, TargetName, Tier,
};

use super::*;

#[derive(Default)]
struct Operation {
    effects: Vec<Effect>,
    facts: Facts,
    outputs: Vec<(ColumnName, BTreeSet<Tag>)>,
    /// Zero: nothing of it is remembered.
    shape: [u8; 16],
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
        self.shape
    }

    fn particulars(&self) -> model::Particulars {
        model::Particulars::default()
    }
}

fn table(name: &str) -> TableName {
    TableName { schema: "shop".to_owned(), name: name.to_owned() }
}

fn on(action: Action, name: &str) -> Effect {
    Effect::new(action, Resource::Table(table(name)))
}

fn now() -> Context {
    Context {
        now: 0,
        address: Ipv4Addr::LOCALHOST.into(),
        application: "psql".into(),
        in_transaction: false,
        encrypted: false,
        read_instructions: false,
    }
}

fn load(text: &str) -> Result<Policies, Vec<Problem>> {
    Policies::load(&[Source { name: "p.cedar".to_owned(), text: text.to_owned() }])
}

fn grant(policies: &Policies) -> Grant {
    let id = PrincipalRef { kind: PrincipalKind::Agent, name: "bot".to_owned() };
    let principal = Principal {
        id,
        groups: vec!["analysts".to_owned()],
        on_behalf_of: Vec::new(),
        purpose: None,
        asserted: Vec::new(),
    };
    let target = TargetName::new("orders");
    policies
        .authorize(Identity::verified(principal), &target, &TargetFacts::default(), &now())
        .expect("connected")
}

const RULES: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource == Target::"orders");
@id("reads") permit (principal in Group::"analysts", action in Action::"read", resource in Schema::"orders/shop");
@id("no-secrets") @reason("secrets stay where they are") forbid (principal, action, resource in Tag::"secret");
@id("writes") permit (principal, action in Action::"write", resource);
@id("held") @approvers("dba") @quorum("2") @expires("5m")
forbid (principal, action in Action::"write", resource) unless { context.approvals.contains("held") };
@id("where") forbid (principal, action == Action::"delete", resource) unless { context.statement.has_where };
@id("mail") permit (principal, action == Action::"reveal", resource) when { resource is Column && resource.name == "email" };
"#;

fn word(effects: Vec<Effect>, has_where: bool, approved: &[&str]) -> String {
    let policies = load(RULES).unwrap_or_else(|p| panic!("{p:?}"));
    let operation =
        Operation { effects, facts: Facts { has_where, ..Facts::default() }, ..Operation::default() };
    let approved = approved.iter().map(|a| (*a).to_owned()).collect();
    match policies.decide(&grant(&policies), &TargetFacts::default(), operation, &now(), &approved) {
        Verdict::Allow(_) => "allow".to_owned(),
        Verdict::Deny(_, denied) => format!("deny {}", denied.policies.join(",")),
        Verdict::Hold(question) => {
            question.holds().iter().map(|h| format!("hold {} {} {}", h.id, h.quorum, h.expires)).collect()
        }
    }
}

#[test]
fn an_operation_is_allowed_only_if_every_effect_is() {
    let read = on(Action::Select, "orders");
    let secret = Effect { tags: BTreeSet::from([Tag("secret".to_owned())]), ..on(Action::Select, "keys") };
    for (effects, has_where, approved, expected) in [
        (vec![], true, &[][..], "allow"),
        (vec![read.clone()], true, &[], "allow"),
        (vec![read.clone(), on(Action::Drop, "orders")], true, &[], "deny "),
        (vec![secret], true, &[], "deny no-secrets"),
        (vec![Effect::unknown("odd")], true, &[], "deny "),
        (vec![on(Action::Update, "orders")], true, &[], "hold held 2 300"),
        (vec![on(Action::Update, "orders")], true, &["held"], "allow"),
        (vec![on(Action::Update, "orders")], true, &["other"], "hold held 2 300"),
        (vec![on(Action::Update, "orders"), on(Action::Drop, "orders")], true, &[], "deny "),
        (vec![on(Action::Delete, "orders")], true, &[], "hold held 2 300"),
        (vec![on(Action::Delete, "orders")], false, &["held"], "deny where"),
    ] {
        assert_eq!(word(effects.clone(), has_where, approved), expected, "{effects:?}");
    }
}

#[test]
fn a_permit_on_a_view_is_enough_and_a_forbid_on_its_table_wins() {
    let base = TableName { schema: "vault".to_owned(), name: "keys".to_owned() };
    let through = |via: &str, tags: &[&str]| Effect {
        via: Some(table(via)),
        tags: tags.iter().map(|t| Tag((*t).to_owned())).collect(),
        ..Effect::new(Action::Select, Resource::Table(base.clone()))
    };
    assert_eq!(word(vec![Effect { via: None, ..through("v", &[]) }], true, &[]), "deny ");
    assert_eq!(word(vec![through("v", &[])], true, &[]), "allow");
    assert_eq!(word(vec![through("v", &["secret"])], true, &[]), "deny no-secrets");
}

#[test]
fn a_forbid_that_cannot_be_evaluated_denies() {
    let policies = load(
        r#"@id("all") permit (principal, action, resource);
           @id("overflow") forbid (principal, action == Action::"select", resource)
           when { context.now + 9223372036854775807 > 0 };"#,
    )
    .unwrap_or_else(|p| panic!("{p:?}"));
    let grant = grant(&policies);
    let read = || Operation { effects: vec![on(Action::Select, "orders")], ..Operation::default() };
    let later = Context { now: 1, ..now() };
    let verdict = policies.decide(&grant, &TargetFacts::default(), read(), &later, &BTreeSet::new());
    assert!(matches!(verdict, Verdict::Deny(..)));
}

#[test]
fn what_may_be_revealed_is_asked_for_each_tagged_output() {
    let policies = load(RULES).unwrap_or_else(|p| panic!("{p:?}"));
    let column = |name: &str| ColumnName { table: table("customers"), name: name.to_owned() };
    let outputs = ["email", "ssn"].map(|n| (column(n), BTreeSet::from([Tag("pii".to_owned())]))).to_vec();
    let read = Operation { effects: vec![on(Action::Select, "customers")], outputs, ..Operation::default() };
    let Verdict::Allow(pass) =
        policies.decide(&grant(&policies), &TargetFacts::default(), read, &now(), &BTreeSet::new())
    else {
        panic!("allowed")
    };
    assert_eq!(pass.permit().reveal.iter().collect::<Vec<_>>(), [&column("email")]);
}

#[test]
fn a_shape_that_could_be_approved_goes_on_to_its_values() {
    let policies = load(RULES).unwrap_or_else(|p| panic!("{p:?}"));
    let write = |action| Operation {
        effects: vec![on(action, "orders")],
        facts: Facts { has_where: true, ..Facts::default() },
        ..Operation::default()
    };
    let facts = TargetFacts::default();
    let shape = |action| policies.decide_shape(&grant(&policies), &facts, write(action), &now());
    assert!(matches!(shape(Action::Update), Verdict::Allow(_)));
    assert!(matches!(shape(Action::Drop), Verdict::Deny(..)));
}

#[test]
fn a_rule_yields_to_its_own_approval_whatever_else_is_called_so() {
    let own = "context.approvals.contains(\"a b\")";
    for (before, conditions, fine) in [
        ("", format!("unless {{ {own} }}"), true),
        ("@reason(\"ask in #approvals, context.approvals.contains\")", format!("unless {{ {own} }}"), true),
        ("", format!("when {{ resource == Table::\"orders/public.approvals\" }} unless {{ {own} }}"), true),
        ("", "unless { context[\"approvals\"] . contains( \"a b\" ) }".to_owned(), true),
        ("", format!("unless {{ principal in Group::\"dba\" || ({own} && context.encrypted) }}"), true),
        ("", format!("when {{ {own} }}"), false),
        ("", format!("when {{ !{own} }}"), false),
        ("", format!("unless {{ !{own} }}"), false),
        ("", format!("unless {{ {own} == false }}"), false),
        ("", format!("unless {{ if {own} then false else true }}"), false),
        ("", format!("when {{ {own} }} unless {{ {own} }}"), false),
        ("", format!("unless {{ {own} || context.approvals.contains(\"b\") }}"), false),
        ("", "unless { context.approvals.contains(\"ab\") }".to_owned(), false),
        ("", "unless { context.approvals.containsAny([\"a b\"]) }".to_owned(), false),
        ("", format!("when {{ {{c: context}}.c.approvals.contains(\"b\") }} unless {{ {own} }}"), false),
        // What says so and asks for nothing.
        ("", "when { \"context.approvals.contains(\\\"a b\\\")\" == \"\" }".to_owned(), false),
    ] {
        let text = format!(
            "@id(\"a b\") @approvers(\"g\") {before} forbid (principal, action, resource) {conditions};"
        );
        match load(&text) {
            Ok(_) => assert!(fine, "{text}"),
            Err(problems) => {
                assert!(!fine && problems[0].message.contains("own approval"), "{text}: {}", problems[0]);
            }
        }
    }
    // Without approvers the words are nothing but words.
    let words = "@id(\"a\") @reason(\"ask in #approvals\") forbid (principal, action, resource == Table::\"o/p.approvals\");";
    assert!(load(words).is_ok());
}

#[test]
fn a_policy_that_cannot_be_used_is_refused_with_its_place() {
    for (text, line, words) in [
        ("permit (principal, action, resource);", 1, "@id"),
        ("\n@id(\"a\") permit (principal, action resource);", 2, "unexpected token"),
        ("@id(\"a\") permit (principal, action == Action::\"selct\", resource);", 1, "selct"),
        ("@id(\"a\") @odd(\"x\") permit (principal, action, resource);", 1, "@odd"),
        (
            "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") permit (principal, action, resource);",
            2,
            "second",
        ),
        (
            "@id(\"a\") @approvers(\"g\") forbid (principal, action, resource) unless { context.approvals.contains(\"b\") };",
            1,
            "own approval",
        ),
        (
            "@id(\"a\") forbid (principal, action, resource) unless { context.approvals.contains(\"a\") };",
            1,
            "@approvers",
        ),
        (
            "@id(\"a\") @approvers(\"g\") @expires(\"soon\") forbid (principal, action, resource) unless { context.approvals.contains(\"a\") };",
            1,
            "duration",
        ),
        (
            "@id(\"a\") @approvers(\"g\") @preview(\"run\") forbid (principal, action, resource) unless { context.approvals.contains(\"a\") };",
            1,
            "@preview is \"static\", \"counted\", \"executed\" or \"hold\"",
        ),
        (
            "@id(\"a\") @approvers(\"g\") @grant(\"25h\") forbid (principal, action, resource) unless { context.approvals.contains(\"a\") };",
            1,
            "@grant is \"never\", or for how long",
        ),
        (
            "@id(\"a\") @grant(\"1h\") permit (principal, action, resource);",
            1,
            "@grant is asked of approvals",
        ),
        (
            "@id(\"a\") @preview(\"static\") permit (principal, action, resource);",
            1,
            "@preview is asked of approvals",
        ),
        (
            "@id(\"a\") forbid (principal, action == Action::\"administer\", resource);",
            1,
            "\"administer\" is not for policies",
        ),
        (
            "@id(\"a\") @approvers(\"g\") @self(\"yes\") forbid (principal, action, resource) unless { context.approvals.contains(\"a\") };",
            1,
            "@self is \"allow\"",
        ),
        (
            "@id(\"a\") @self(\"allow\") permit (principal, action, resource);",
            1,
            "@self is asked of approvals",
        ),
        (
            "@id(\"a\") @quorum(\"2\") permit (principal, action, resource);",
            1,
            "@quorum is asked of approvals",
        ),
        ("@id(\"a\") permit (principal, action, resource) when { context.odd };", 1, "odd"),
    ] {
        let problems = load(text).err().unwrap_or_else(|| panic!("{text}"));
        let first = &problems[0];
        assert!(first.message.contains(words), "{text}: {first}");
        assert_eq!(first.line, line, "{text}: {first}");
    }
}

#[test]
fn how_a_statement_is_looked_at_is_what_its_rules_say_together() {
    for (said, wanted) in [
        (&[][..], Tier::Counted),
        (&["executed"], Tier::Executed),
        (&["executed", "hold"], Tier::Hold),
        (&["hold", "static"], Tier::Static),
        (&["counted", "executed"], Tier::Executed),
        (&["executed", "static"], Tier::Static),
    ] {
        let policy = |(n, tier): (usize, &&str)| {
            format!(
                "@id(\"p{n}\") @approvers(\"g\") @preview(\"{tier}\") forbid (principal, action, resource) unless \
                 {{ context.approvals.contains(\"p{n}\") }};"
            )
        };
        let text: String = said.iter().enumerate().map(policy).collect();
        let policies = load(&text).unwrap_or_else(|p| panic!("{p:?}"));
        let rules: Vec<HoldRule> = policies.rules().cloned().collect();
        assert_eq!((rules.len(), Tier::wanted(&rules)), (said.len(), wanted), "{said:?}");
    }
}

#[test]
fn only_a_bare_permit_allows_everything() {
    for (text, expected) in [
        (r#"@id("a") permit (principal, action, resource);"#, true),
        (
            r#"@id("a") permit (principal, action, resource) when { context.encrypted || !context.encrypted };"#,
            false,
        ),
        (
            r#"@id("a") permit (principal, action, resource); @id("b") forbid (principal, action == Action::"drop", resource);"#,
            false,
        ),
    ] {
        let policies = load(text).unwrap_or_else(|p| panic!("{p:?}"));
        assert_eq!(policies.allows_everything(), expected, "{text}");
    }
    let reads = load(
        r#"@id("c") permit (principal, action == Action::"connect", resource);
           @id("r") permit (principal, action in Action::"read", resource);"#,
    )
    .unwrap_or_else(|p| panic!("{p:?}"));
    assert!(!reads.could_write(&grant(&reads)));
    let writes = load(RULES).unwrap_or_else(|p| panic!("{p:?}"));
    assert!(writes.could_write(&grant(&writes)));
}

#[test]
fn a_session_writes_only_where_a_policy_speaks_of_who_has_it() {
    let who = grant(&load(RULES).unwrap_or_else(|p| panic!("{p:?}")));
    let (name, group) = (who.principal().id.name.clone(), who.principal().groups.first().cloned());
    let group = group.expect("a group");
    for (scope, expected) in [
        ("principal".to_owned(), true),
        ("principal is Agent".to_owned(), true),
        ("principal is User".to_owned(), false),
        (format!("principal == Agent::\"{name}\""), true),
        ("principal == Agent::\"another\"".to_owned(), false),
        (format!("principal == User::\"{name}\""), false),
        (format!("principal in Group::\"{group}\""), true),
        ("principal in Group::\"another\"".to_owned(), false),
        (format!("principal is Agent in Group::\"{group}\""), true),
        (format!("principal is User in Group::\"{group}\""), false),
    ] {
        let text = format!(
            "@id(\"c\") permit (principal, action == Action::\"connect\", resource);
             @id(\"w\") permit ({scope}, action in Action::\"write\", resource);"
        );
        let policies = load(&text).unwrap_or_else(|p| panic!("{p:?}"));
        assert_eq!(policies.could_write(&grant(&policies)), expected, "{scope}");
        assert_eq!(policies.could_store(&grant(&policies)), expected, "{scope}");
    }
}

#[test]
fn policies_for_other_targets_are_not_looked_at() {
    let mut text = RULES.to_owned();
    for n in 0..200 {
        text.push_str(&format!(
            "@id(\"o{n}\") permit (principal, action, resource in Target::\"other{n}\");\n"
        ));
    }
    let policies = load(&text).unwrap_or_else(|p| panic!("{p:?}"));
    assert_eq!(policies.slice_len(Action::Select, &TargetName::new("orders")), 2);
    assert_eq!(policies.slice_len(Action::Select, &TargetName::new("other7")), 2);
}

#[test]
fn the_starter_policies_let_read_hold_writes_and_deny_the_rest() {
    let policies = Policies::load(&starter()).unwrap_or_else(|p| panic!("{p:?}"));
    let alone = Policies::load(&starter_for_one()).unwrap_or_else(|p| panic!("{p:?}"));
    let by_self = |policies: &Policies| policies.rules().map(|rule| rule.by_self).collect::<BTreeSet<_>>();
    assert_eq!((by_self(&policies), by_self(&alone)), ([false].into(), [true].into()));
    let grant = grant(&policies);
    let word = |action: Action, has_where: bool| {
        let facts = Facts { has_where, ..Facts::default() };
        let operation = Operation { effects: vec![on(action, "orders")], facts, ..Operation::default() };
        match policies.decide(&grant, &TargetFacts::default(), operation, &now(), &BTreeSet::new()) {
            Verdict::Allow(_) => "allow",
            Verdict::Deny(..) => "deny",
            Verdict::Hold(_) => "hold",
        }
    };
    for action in Action::ALL {
        let expected = match action {
            Action::Connect | Action::Select => "allow",
            Action::Insert | Action::Update | Action::Delete | Action::Merge | Action::CopyIn => "hold",
            Action::LockRows | Action::Sequence => "hold",
            Action::Create | Action::Index | Action::Comment | Action::Call => "hold",
            Action::Truncate | Action::LockTable | Action::LargeObject | Action::Alter | Action::Drop => {
                "deny"
            }
            Action::Grant | Action::Maintain | Action::RunCode | Action::Configure => "deny",
            Action::Listen | Action::Notify | Action::ServerFile | Action::Program => "deny",
            Action::OtherSession | Action::Replicate | Action::Egress | Action::Unknown => "deny",
            Action::Reveal | Action::Probe | Action::Preview | Action::Approve => "deny",
        };
        assert_eq!(word(*action, true), expected, "{}", action.as_str());
    }
    assert_eq!([word(Action::Update, false), word(Action::Delete, false)], ["deny", "deny"]);
    assert_eq!(word(Action::Insert, false), "hold", "an INSERT has no condition");
}

#[test]
fn a_verdict_is_remembered_unless_it_depends_on_the_moment_or_on_approvals() {
    for (text, kept) in [
        (
            r#"@id("a") permit (principal, action, resource); @id("b") forbid (principal, action == Action::"unknown", resource);"#,
            // That the session may be opened, and that it may read.
            2,
        ),
        (r#"@id("a") permit (principal, action, resource) when { context.now >= 0 };"#, 0),
        // What it is called, and what is said beside it, reads nothing.
        (
            "// not now, whatever its values\n@id(\"all-but-clear-values\") @reason(\"not now\") permit (principal, action, resource);",
            2,
        ),
    ] {
        let policies = load(text).unwrap_or_else(|p| panic!("{p:?}"));
        let operation = || Operation {
            effects: vec![on(Action::Select, "orders")],
            shape: [7; 16],
            ..Operation::default()
        };
        for _ in 0..2 {
            let verdict = policies.decide(
                &grant(&policies),
                &TargetFacts::default(),
                operation(),
                &now(),
                &BTreeSet::new(),
            );
            assert!(matches!(verdict, Verdict::Allow(_)), "{text}");
        }
        assert_eq!(policies.remembered(), kept, "{text}");
    }
}

#[test]
fn what_policies_name_is_found_and_what_is_not_there_is_told_with_its_place() {
    let policies = load(RULES).unwrap_or_else(|p| panic!("{p:?}"));
    let found = policies.references();
    let set = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(found.targets, set(&["orders"]));
    assert_eq!(found.schemas, set(&["orders/shop"]));
    assert_eq!(found.tags, set(&["secret"]));
    assert_eq!(found.groups, set(&["analysts"]));
    assert_eq!(found.approvers, set(&["dba"]));

    let sources = [Source { name: "p.cedar".to_owned(), text: RULES.to_owned() }];
    let none = BTreeSet::new();
    assert_eq!(policies.dangling(&sources, &BTreeSet::from(["orders", "other"]), &none), []);
    let missing = policies.dangling(&sources, &BTreeSet::from(["order"]), &none);
    let told: Vec<String> = missing.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["p.cedar:2:76: there is no target \"orders\"; did you mean \"order\"?"]);

    // Groups of the gateway's own are known, those of issuers are not.
    let text = "@id(\"g\") permit (principal in Group::\"local/dbas\", action, resource);";
    let sources = [Source { name: "g.cedar".to_owned(), text: text.to_owned() }];
    let policies = load(text).unwrap_or_else(|p| panic!("{p:?}"));
    let with = |groups: &[&str]| -> Vec<String> {
        let groups = groups.iter().copied().collect();
        policies.dangling(&sources, &none, &groups).iter().map(ToString::to_string).collect()
    };
    assert_eq!(with(&["local/dbas"]), [""; 0]);
    assert_eq!(
        with(&["local/dba"]),
        ["g.cedar:1:31: there is no group \"local/dbas\"; did you mean \"local/dba\"?"]
    );
}

#[test]
fn a_word_that_is_none_is_told_with_its_place_and_the_one_that_may_be_meant() {
    for (text, place, says) in [
        (
            "\n  @id(\"a\") permit (principal, action == Action::\"selct\", resource);",
            "p.cedar:2:",
            "`Action::\"select\"`",
        ),
        (
            "@id(\"a\") @aprovers(\"dba\") permit (principal, action, resource);",
            "p.cedar:1:1:",
            "did you mean @approvers?",
        ),
        (
            "@id(\"a\") @approvers(\" ,\") forbid (principal, action, resource) unless { context.approvals.contains(\"a\") };",
            "p.cedar:1:1:",
            "names no group",
        ),
        ("@id(\"a\") permit (principal in Grup::\"x\", action, resource);", "p.cedar:1:", "`Group`"),
    ] {
        let problems = load(text).err().unwrap_or_else(|| panic!("{text} was taken"));
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|t| t.starts_with(place) && t.contains(says)), "{text}: {told:?}");
    }
}

#[test]
fn a_session_is_recorded_as_the_strictest_of_the_policies_that_allow_it_wants() {
    let permit = |id: &str, record: &str, when: &str| {
        let record = if record.is_empty() { String::new() } else { format!("@record(\"{record}\") ") };
        format!("@id(\"{id}\") {record}permit (principal, action == Action::\"connect\", resource){when};\n")
    };
    let never = " when { principal in Group::\"others\" }";
    for (policies, record) in [
        (permit("a", "", ""), Record::Off),
        (permit("a", "required", ""), Record::Required),
        (permit("a", "best-effort", ""), Record::BestEffort),
        (permit("a", "off", ""), Record::Off),
        (permit("a", "off", "") + &permit("b", "best-effort", ""), Record::BestEffort),
        (permit("a", "off", "") + &permit("b", "", ""), Record::Off),
        (permit("a", "best-effort", "") + &permit("b", "", ""), Record::BestEffort),
        (permit("a", "off", "") + &permit("b", "required", never), Record::Off),
        ("@id(\"all\") @record(\"off\") permit (principal, action, resource);".to_owned(), Record::Off),
    ] {
        let loaded = load(&policies).expect("they load");
        // The second is remembered.
        assert_eq!([grant(&loaded).record(), grant(&loaded).record()], [record, record], "{policies}");
    }
    for (wrong, why) in [
        (permit("a", "always", ""), "\"required\", \"best-effort\" or \"off\""),
        (
            "@id(\"a\") @record(\"off\") permit (principal, action == Action::\"select\", resource);"
                .to_owned(),
            "connect",
        ),
        ("@id(\"a\") @record(\"off\") forbid (principal, action, resource);".to_owned(), "connect"),
    ] {
        let problems = load(&wrong).err().expect("it does not load");
        assert!(problems[0].message.contains(why), "{problems:?}");
    }
}

#[test]
fn a_policy_that_no_stack_could_hold_is_refused_with_its_place() {
    let policy = |when: &str| {
        format!("// \"((\n@id(\"a\") permit (principal, action, resource)\nwhen {{ {when} }};\n")
    };
    let around = |n: usize, left: &str, inner: &str, right: &str| {
        format!("{}{inner}{}", left.repeat(n), right.repeat(n))
    };
    for n in [65, 100_000] {
        for when in [
            around(n, "(", "true", ")"),
            around(n, "[", "1", "] == [1]"),
            around(n, "{\"a\": ", "1", "}"),
            around(n, "!(", "true", ")"),
        ] {
            let problems = load(&policy(&when)).err().expect("it is not read");
            let told = problems[0].to_string();
            assert!(told.starts_with("p.cedar:3:") && told.contains("more than 64 deep"), "{told}");
        }
    }
    for n in [1002, 100_000] {
        for when in [
            vec!["true"; n].join(" && "),
            vec!["principal == Agent::\"a\""; n].join(" || "),
            format!("{} == 1", vec!["1"; n].join("+")),
            format!("context{} == 1", ".a".repeat(n)),
            format!("context{} == 1", "[\"a\"]".repeat(n)),
            format!("{}true", "if true then false else ".repeat(n)),
        ] {
            let problems = load(&policy(&when)).err().expect("it is not read");
            let told = problems[0].to_string();
            assert!(told.starts_with("p.cedar:3:") && told.contains("more than 1000 operators"), "{told}");
        }
    }
}

#[test]
fn long_policies_are_read_and_decide() {
    let others = vec!["principal == Agent::\"other\""; 900].join(" || ");
    let names: Vec<String> = (0..5000).map(|n| format!("\"operators && || . ! {n}\"")).collect();
    let many: Vec<String> = (0..300)
        .map(|n| {
            format!(
                "@id(\"{n}\") forbid (principal, action, resource) when {{ {} }};",
                ["false"; 10].join(" && ")
            )
        })
        .collect();
    assert!(load(&many.join("\n")).is_ok(), "each is short");
    for when in [
        format!("{others} || principal == Agent::\"bot\""),
        format!("![{}].contains(\"{}\")", names.join(", "), "(".repeat(5000)),
        format!("{}true{}", "(".repeat(60), ")".repeat(60)),
    ] {
        let text = format!("@id(\"a\") permit (principal, action, resource) when {{ {when} }};\n");
        let run = move || load(&text).map(|loaded| drop(grant(&loaded)));
        let thread = std::thread::Builder::new().stack_size(16 << 20).spawn(run).expect("a thread");
        thread.join().expect("it holds").unwrap_or_else(|problems| panic!("{}", problems[0]));
    }
}
