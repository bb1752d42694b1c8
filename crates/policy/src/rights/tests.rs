use model::{Circumstances, PrincipalKind, Request as Held, Status, TargetName};

use super::*;

fn held(principal: &str, on_behalf_of: &[&str]) -> Held {
    Held {
        id: "r1".to_owned(),
        digest: String::new(),
        status: Status::Pending,
        principal: principal.to_owned(),
        on_behalf_of: on_behalf_of.iter().map(|p| (*p).to_owned()).collect(),
        target: TargetName::new("t"),
        session: String::new(),
        summary: String::new(),
        text: String::new(),
        values: Vec::new(),
        circumstances: Circumstances::default(),
        effects: Vec::new(),
        holds: vec![HoldRule {
            id: "h".to_owned(),
            approvers: vec!["dba".to_owned()],
            quorum: 1,
            expires: 1,
            valid_for: 1,
            reason: None,
            carry: false,
            slack: model::SlackYes::Never,
            by_self: false,
            ceiling: None,
            tolerance: 0,
            preview: None,
            grant: None,
        }],
        ceiling: model::Ceiling::default(),
        preview: model::Preview::default(),
        filed: 0,
        expires: 1,
        votes: Vec::new(),
        outcome: None,
        changed: None,
        alike: None,
        granted: None,
        likeness: None,
        touched: Vec::new(),
        weighed: Default::default(),
        stages: Vec::new(),
    }
}

#[test]
fn who_may_see_and_answer_a_request() {
    let rights = Rights::new().unwrap();
    let (agents, own, for_alice) =
        (held("agent:bot", &[]), held("user:Alice", &[]), held("agent:bot", &["user:alice"]));
    let lets = |request: &Held| {
        let holds = request.holds.iter().map(|rule| HoldRule { by_self: true, ..rule.clone() }).collect();
        Held { holds, ..request.clone() }
    };
    let (let_alice, own_let) = (lets(&for_alice), lets(&own));
    for (roles, groups, request, sees, answers) in [
        (&[][..], &["dba"][..], &agents, true, true),
        (&[], &["sales"], &agents, false, false),
        (&[], &[], &agents, false, false),
        (&[Role::Administrator], &[], &agents, true, true),
        (&[], &["admins"], &agents, true, true),
        (&[Role::Auditor], &[], &agents, true, false),
        (&[Role::PolicyEditor], &[], &agents, false, false),
        (&[Role::Auditor], &["dba"], &agents, true, true),
        (&[], &["dba"], &own, true, false),
        (&[Role::Administrator], &["dba"], &own, true, false),
        (&[Role::Administrator], &["dba"], &for_alice, true, false),
        (&[], &["dba"], &let_alice, true, true),
        (&[], &["dba"], &own_let, true, false),
    ] {
        let id = PrincipalRef { kind: PrincipalKind::User, name: "alice".to_owned() };
        let groups: Vec<String> = groups.iter().map(|g| (*g).to_owned()).collect();
        let who = Person { id: &id, roles: &roles.iter().copied().collect(), groups: &groups };
        assert_eq!(rights.may_see(who, request), sees, "{roles:?} {groups:?} {}", request.principal);
        assert_eq!(rights.may_answer(who, request), answers, "{roles:?} {groups:?} {}", request.principal);
        // Who asks says no like everybody else who is asked.
        let denies = groups.contains(&"dba".to_owned()) || groups.contains(&"admins".to_owned());
        let denies = denies || roles.contains(&Role::Administrator);
        assert_eq!(rights.may_deny(who, request), denies, "{roles:?} {groups:?} {}", request.principal);
    }
}

#[test]
fn roles_give_their_rights_and_no_others() {
    let rights = Rights::new().unwrap();
    let id = PrincipalRef { kind: PrincipalKind::User, name: "alice".to_owned() };
    let may = |roles: &[Role], right| {
        rights.may(
            Person { id: &id, roles: &roles.iter().copied().collect(), groups: &["dba".to_owned()] },
            right,
        )
    };
    for right in Right::ALL.iter().copied() {
        let own = matches!(right, Right::Inbox | Right::OwnPasskeys | Right::LetClientsIn);
        let changes = right.as_str().starts_with("change_") || right == Right::EndSessions;
        let edits = matches!(right, Right::SeePolicies | Right::ChangePolicies | Right::SeeTargets);
        assert!(may(&[Role::Administrator], right), "{right:?}");
        assert_eq!(may(&[], right), own, "{right:?}");
        assert_eq!(may(&[Role::Auditor], right), !changes, "{right:?}");
        assert_eq!(may(&[Role::PolicyEditor], right), own || edits, "{right:?}");
    }
}

#[test]
fn what_takes_two_is_allowed_to_nobody_alone() {
    let rights = Rights::new().unwrap();
    let id = PrincipalRef { kind: PrincipalKind::User, name: "alice".to_owned() };
    for (role, takes_two, alone) in [
        (Role::Administrator, false, true),
        (Role::Administrator, true, false),
        (Role::PolicyEditor, false, true),
        (Role::PolicyEditor, true, false),
        (Role::Auditor, false, false),
    ] {
        let who = Person { id: &id, roles: &[role].into(), groups: &[] };
        assert_eq!(rights.may_alone(who, Right::ChangePolicies, takes_two), alone, "{role:?} {takes_two}");
    }
}
