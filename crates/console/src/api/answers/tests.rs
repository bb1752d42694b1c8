//! What is answered is what is described, with everything that may be in it.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads what is answered as it is described, and finds nothing else in it.
#[track_caller]
fn same<T: DeserializeOwned + serde::Serialize>(answered: &impl serde::Serialize) {
    let answered = serde_json::to_value(answered).expect("JSON");
    let read: T =
        serde_json::from_value(answered.clone()).unwrap_or_else(|error| panic!("{error}: {answered}"));
    let again = serde_json::to_value(read).expect("JSON");
    for (name, value) in answered.as_object().expect("an object") {
        assert_eq!(again.get(name).unwrap_or(&Value::Null), value, "{name}");
    }
}

fn rows() -> model::Changed {
    let rows = model::Rows { inserted: 1, updated: 2, deleted: 3 };
    model::Changed { relation: 7, table: ("shop".to_owned(), "orders".to_owned()), rows, at_once: rows }
}

fn access() -> model::Access {
    let table = model::TableName { schema: "shop".to_owned(), name: "orders".to_owned() };
    let leave = model::Leave { action: "update".to_owned(), table };
    model::Access { leaves: [leave].into(), most: Some(3), seconds: 60 }
}

fn full() -> model::Request {
    let ceiling = model::Ceiling::Rows {
        most: 3,
        from: "executed".to_owned(),
        of: vec![("shop".to_owned(), "orders".to_owned())],
        expected: Some(model::Expected { tolerance: 20, tables: vec![rows()] }),
    };
    let seen = |ordered| model::Preview {
        reason: Some("why".to_owned()),
        words: vec!["updates 2 rows".to_owned()],
        tier: Some(model::Tier::Hold),
        exact: true,
        at: 1,
        open_until: Some(31),
        unseen: vec!["x".to_owned()],
        changes: vec![rows()],
        plan: vec!["Update".to_owned()],
        columns: vec![model::Shown { name: "a".to_owned(), after: true, masked: false }],
        rows: vec![vec![None, Some("1".to_owned())]],
        ordered,
        access: Some(access()),
    };
    let plan = model::Plan {
        reason: None,
        steps: vec![model::Step {
            ceiling: ceiling.clone(),
            preview: seen(None),
            touched: vec![model::Touched { what: "the table t".to_owned(), mark: "m".to_owned() }],
            ..model::Step::default()
        }],
        apart: Some("a".to_owned()),
        schema: vec![model::Change {
            step: 1,
            sign: model::Sign::Comes,
            what: "the table t".to_owned(),
            detail: String::new(),
        }],
        unforeseen: Vec::new(),
        by: model::CarriedBy::Gateway,
        tried: Some(model::Tried::Failed("statement 1 of 1 fails".to_owned())),
    };
    model::Request {
        id: "r1".to_owned(),
        digest: "d".to_owned(),
        status: model::Status::OutcomeUnknown,
        principal: "agent:bot".to_owned(),
        on_behalf_of: vec!["user:a".to_owned()],
        target: model::TargetName::new("t"),
        session: "s".to_owned(),
        summary: String::new(),
        text: String::new(),
        values: vec![None, Some("1".to_owned())],
        circumstances: model::Circumstances {
            kinds: vec!["text".to_owned()],
            settings: vec![("a".to_owned(), "b".to_owned())],
        },
        effects: vec!["update on t".to_owned()],
        changed: Some("x".to_owned()),
        holds: vec![model::HoldRule {
            id: "h".to_owned(),
            approvers: vec!["dba".to_owned()],
            quorum: 2,
            expires: 1,
            valid_for: 1,
            reason: Some("r".to_owned()),
            carry: true,
            slack: model::SlackYes::WithOthers,
            by_self: true,
            ceiling: Some(1),
            tolerance: 1,
            preview: Some(model::Tier::Static),
            grant: Some(1),
        }],
        ceiling,
        preview: seen(Some(Box::new(plan))),
        filed: 0,
        expires: 1,
        votes: vec![model::Vote {
            voter: "user:a".to_owned(),
            groups: Vec::new(),
            approve: true,
            words: None,
            proof: Some("secret".to_owned()),
            most: Some(1),
            access: Some(access()),
            names: Vec::new(),
            at: Some(1),
        }],
        outcome: Some("x".to_owned()),
        alike: Some("k".to_owned()),
        granted: Some(model::GrantUse { grant: "g".to_owned(), number: 1 }),
        likeness: None,
        touched: Vec::new(),
        weighed: model::Weighed::default(),
        stages: vec![model::Reached { status: model::Status::Approved, at: 1 }],
    }
}

#[test]
fn what_is_answered_is_what_is_described() {
    same::<super::Request>(&full());
    same::<super::Request>(&model::Request {
        ceiling: model::Ceiling::None("why".to_owned()),
        alike: None,
        granted: None,
        stages: Vec::new(),
        ..full()
    });
    let (name, groups, added) = ("dora".to_owned(), vec!["dba".to_owned()], 1);
    same::<super::Member>(&model::Member {
        name: name.clone(),
        roles: Vec::new(),
        groups: groups.clone(),
        added,
    });
    same::<super::Approver>(&model::Approver { id: "i".to_owned(), name, groups, names: Vec::new(), added });
    for status in model::Status::ALL {
        let answered = serde_json::json!({ "status": status, "by": "user:a", "waits_for": ["one of dba"] });
        same::<super::Answered>(&answered);
    }
}
