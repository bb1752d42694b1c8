//! Who answers what is held: whom an agent asks for, where the rules let them.

use super::*;

/// The same policies, with the rule that asks said otherwise.
fn asks(how: &str) -> String {
    let before = "@approvers(\"dba\")";
    assert!(POLICIES.contains(before));
    POLICIES.replace(before, &format!("{before} {how}"))
}

/// Another rule that asks for the same.
const SILENT: &str = r#"
@id("audited") @approvers("dba")
forbid (principal, action in [Action::"write"], resource) unless { context.approvals.contains("audited") };
"#;

async fn answer(house: &House, voter: &Voter) -> Result<Status, String> {
    house.run(vec![Event::Request(wish(Action::Update, "1"))], NOW).await;
    let id = waiting(house).await.expect("it waits").id;
    let answered = house.gateway.answer_request(&id, voter, true, Said::default(), None).await;
    answered.map(|answered| answered.status).map_err(|error| error.to_string())
}

#[tokio::test]
async fn whom_an_agent_asks_for_answers_where_every_rule_that_asks_lets_them() {
    // The agent acts for user:alice.
    for (what, text, approved) in [
        ("nothing is said", POLICIES.to_owned(), false),
        ("they are let", asks("@self(\"allow\")"), true),
        ("they are not let", asks("@self(\"deny\")"), false),
        ("another rule is silent", asks("@self(\"allow\")") + SILENT, false),
        (
            "both let them",
            asks("@self(\"allow\")") + &SILENT.replace("\"dba\")", "\"dba\") @self(\"allow\")"),
            true,
        ),
    ] {
        let house = house().await;
        rule(&house, text).await;
        match answer(&house, &user("alice")).await {
            Ok(status) => assert_eq!((status, approved), (Status::Approved, true), "{what}"),
            Err(why) => {
                assert!(!approved, "{what}: {why}");
                assert!(why.starts_with("nobody approves what they ask for themselves"), "{what}: {why}");
            }
        }
    }
}

#[tokio::test]
async fn who_is_let_answer_is_one_person_of_several_still_and_in_a_group_that_is_asked() {
    let house = house().await;
    rule(&house, ruled("dba", 2).replace("@quorum", "@self(\"allow\") @quorum")).await;
    let stranger = of(PrincipalKind::User, "alice", &["sales"]);
    let refused = answer(&house, &stranger).await.expect_err("in no group that is asked");
    assert!(refused.contains("answers for sales"), "{refused}");
    assert_eq!(answer(&house, &user("alice")).await, Ok(Status::Pending));
    // The same person by another name is not a second one.
    assert!(answer(&house, &user("corp/alice")).await.is_err_and(|why| why.contains("counts twice")));
    assert_eq!(answer(&house, &user("dora")).await, Ok(Status::Approved));
}

#[tokio::test]
async fn policy_says_who_approves_what_beside_the_rule_that_asks() {
    let forbid =
        |scope: &str| format!("{POLICIES}\n@id(\"not-them\") @reason(\"they wrote it\") forbid ({scope});");
    for (what, text, approved) in [
        (
            "another person",
            forbid("principal == User::\"em\", action == Action::\"approve\", resource"),
            true,
        ),
        ("them", forbid("principal == User::\"dora\", action == Action::\"approve\", resource"), false),
        (
            "their group",
            forbid("principal in Group::\"dba\", action == Action::\"approve\", resource"),
            false,
        ),
        (
            "this table",
            forbid("principal, action == Action::\"approve\", resource == Table::\"orders/shop.orders\""),
            false,
        ),
        (
            "another table",
            forbid("principal, action == Action::\"approve\", resource == Table::\"orders/shop.other\""),
            true,
        ),
    ] {
        let house = house().await;
        rule(&house, text).await;
        match answer(&house, &user("dora")).await {
            Ok(status) => assert_eq!((status, approved), (Status::Approved, true), "{what}"),
            Err(why) => {
                assert!(!approved, "{what}: {why}");
                assert!(
                    why.ends_with("the policy \"not-them\" does not let you approve this: they wrote it"),
                    "{why}"
                );
                // A no is anybody's who is asked.
                let id = waiting(&house).await.expect("it waits").id;
                let no = house.gateway.answer_request(&id, &user("dora"), false, Said::default(), None).await;
                assert_eq!(no.expect("denied").status, Status::Denied);
            }
        }
    }
}
