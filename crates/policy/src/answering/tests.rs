//! Who may say yes, by policies that name `approve` and by those that do not.

use model::{Facts, Object, TableName, Tag};

use super::*;
use crate::Source;

const HELD: &str = r#"
@id("in") permit (principal, action == Action::"connect", resource);
@id("writes") permit (principal, action in Action::"write", resource);
@id("held") @approvers("dba") forbid (principal, action, resource) unless { context.approvals.contains("held") };
"#;

/// An UPDATE of one table by `agent:bot` for `user:alice`, which somebody of the group `dba` would approve.
fn may(more: &str, who: &str, table: &str) -> Result<(), Barred> {
    let text = format!("{HELD}\n{more}");
    let policies =
        Policies::load(&[Source { name: "p".to_owned(), text }]).unwrap_or_else(|p| panic!("{more}: {p:?}"));
    let name = TableName { schema: "shop".to_owned(), name: table.to_owned() };
    let tags = if table == "cards" { [Tag("pci".to_owned())].into() } else { BTreeSet::new() };
    let weighed = Weighed {
        facts: Facts { kind: "update".to_owned(), has_where: true, statements: 1, ..Facts::default() },
        objects: [Object { resource: Resource::Table(name), tags }].into(),
    };
    let who = Principal {
        id: PrincipalRef { kind: PrincipalKind::User, name: who.to_owned() },
        groups: vec!["dba".to_owned()],
        on_behalf_of: Vec::new(),
        purpose: None,
        asserted: Vec::new(),
    };
    let target = TargetName::new("orders");
    let asked = Asked {
        principal: "agent:bot",
        on_behalf_of: &["user:alice".to_owned()],
        target: &target,
        weighed: &weighed,
    };
    let now = Context {
        now: 0,
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        application: "".into(),
        in_transaction: false,
        encrypted: true,
        read_instructions: false,
    };
    let facts = TargetFacts { tags: [Tag("production".to_owned())].into() };
    policies.may_approve(who, asked, &facts, &now)
}

#[test]
fn a_forbid_of_approving_takes_the_leave_away_that_approvers_are() {
    for (forbids, who, table, fine) in [
        ("", "dora", "items", true),
        (
            r#"forbid (principal == User::"dora", action == Action::"approve", resource);"#,
            "dora",
            "items",
            false,
        ),
        (
            r#"forbid (principal == User::"dora", action == Action::"approve", resource);"#,
            "em",
            "items",
            true,
        ),
        (
            r#"forbid (principal in Group::"dba", action == Action::"approve", resource);"#,
            "em",
            "items",
            false,
        ),
        (
            r#"forbid (principal, action == Action::"approve", resource in Target::"orders");"#,
            "em",
            "items",
            false,
        ),
        (
            r#"forbid (principal, action == Action::"approve", resource in Target::"other");"#,
            "em",
            "items",
            true,
        ),
        (
            r#"forbid (principal, action == Action::"approve", resource in Tag::"production");"#,
            "em",
            "items",
            false,
        ),
        (r#"forbid (principal, action == Action::"approve", resource in Tag::"pci");"#, "em", "items", true),
        (r#"forbid (principal, action == Action::"approve", resource in Tag::"pci");"#, "em", "cards", false),
        (
            r#"forbid (principal, action == Action::"approve", resource == Table::"orders/shop.cards");"#,
            "em",
            "cards",
            false,
        ),
        (
            r#"forbid (principal, action == Action::"approve", resource) when { context.statement.kind == "update" };"#,
            "em",
            "items",
            false,
        ),
        (
            r#"forbid (principal, action == Action::"approve", resource) when { context.chain.agents.contains("bot") };"#,
            "em",
            "items",
            false,
        ),
        (
            r#"forbid (principal, action == Action::"approve", resource) when { context.on_behalf_of.contains("user:em") };"#,
            "em",
            "items",
            true,
        ),
        // Whoever may do nothing approves nothing; what is said of agents is said of them alone.
        (r#"forbid (principal == User::"em", action, resource);"#, "em", "items", false),
        (r#"forbid (principal is Agent, action, resource);"#, "em", "items", true),
        (r#"forbid (principal, action, resource) unless { context.encrypted };"#, "em", "items", true),
        // Others name other actions.
        (r#"forbid (principal, action in Action::"write", resource);"#, "em", "items", true),
    ] {
        let text = if forbids.is_empty() {
            String::new()
        } else {
            format!("@id(\"no\") @reason(\"so it is\") {forbids}")
        };
        let said = may(&text, who, table);
        assert_eq!(said.is_ok(), fine, "{forbids} {who} {table}");
        if let Err(barred) = said {
            let words = barred.to_string();
            assert_eq!(words, "the policy \"no\" does not let you approve this: so it is", "{forbids}");
        }
    }
}

#[test]
fn where_a_permit_names_approving_that_is_who_approves() {
    let cards = r#"@id("p") permit (principal in Group::"security", action == Action::"approve", resource in Tag::"pci");"#;
    let dora = r#"@id("p") permit (principal == User::"dora", action == Action::"approve", resource in Target::"orders");"#;
    let elsewhere = r#"@id("p") permit (principal == User::"dora", action == Action::"approve", resource in Target::"other");"#;
    let anything = r#"@id("p") permit (principal, action, resource);"#;
    for (permits, who, table, fine) in [
        (dora, "dora", "items", true),
        (dora, "em", "items", false),
        (elsewhere, "em", "items", true),
        (anything, "em", "items", true),
        (cards, "em", "cards", false),
    ] {
        let said = may(permits, who, table);
        assert_eq!(said.is_ok(), fine, "{permits} {who} {table}");
        let words = said.err().map(|barred| barred.to_string()).unwrap_or_default();
        assert_eq!(fine, words.is_empty());
    }
}

#[test]
fn a_policy_that_fails_when_it_is_asked_lets_nobody_approve() {
    let fails = r#"@id("no") forbid (principal, action == Action::"approve", resource) when { context.now + 9223372036854775807 + context.statement.statements > 0 };"#;
    assert!(
        may(fails, "em", "items").is_err_and(|barred| barred.to_string().contains("could not be evaluated"))
    );
}
