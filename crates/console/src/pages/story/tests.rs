//! What is told of a request, in which order.

use model::{Ceiling, Circumstances, Preview, TargetName, Weighed};

use super::*;

fn vote(voter: &str, approve: bool, at: Option<i64>) -> Vote {
    Vote {
        voter: voter.to_owned(),
        groups: Vec::new(),
        approve,
        words: Some(format!("so says {voter}")),
        proof: Some("passkey abc".to_owned()),
        most: Some(3),
        access: None,
        names: Vec::new(),
        at,
    }
}

fn request(status: Status, votes: Vec<Vote>, stages: &[(Status, i64)], outcome: Option<&str>) -> Request {
    Request {
        id: "r1".to_owned(),
        digest: String::new(),
        status,
        principal: "agent:bot".to_owned(),
        on_behalf_of: vec!["user:alice".to_owned()],
        target: TargetName::new("t"),
        session: String::new(),
        summary: String::new(),
        text: String::new(),
        values: Vec::new(),
        circumstances: Circumstances::default(),
        effects: Vec::new(),
        changed: None,
        holds: Vec::new(),
        ceiling: Ceiling::default(),
        preview: Preview::default(),
        filed: 10,
        expires: 1000,
        votes,
        outcome: outcome.map(str::to_owned),
        alike: None,
        granted: None,
        likeness: None,
        touched: Vec::new(),
        weighed: Weighed::default(),
        stages: stages.iter().map(|(status, at)| Reached { status: *status, at: *at }).collect(),
    }
}

#[test]
fn a_request_tells_who_did_what_and_when() {
    for (what, request, tells) in [
        (
            "it waits",
            request(Status::Pending, Vec::new(), &[], None),
            &["asked", "agent:bot", "user:alice"][..],
        ),
        (
            "done",
            request(
                Status::Done,
                vec![vote("user:dora", true, Some(20)), vote("user:em", true, Some(30))],
                &[(Status::Approved, 30), (Status::Claimed, 40), (Status::Done, 41)],
                Some("done, rows: 1"),
            ),
            &[
                "asked",
                "user:dora approved",
                "at most 3 rows",
                "by passkey abc",
                "so says user:dora",
                "user:em approved",
                "enough have approved",
                "used",
                "done, rows: 1",
            ],
        ),
        (
            "from before times were kept",
            request(Status::Failed, vec![vote("user:dora", true, None)], &[], Some("failed with SQLSTATE 1")),
            &["asked", "user:dora approved", "failed", "failed with SQLSTATE 1"],
        ),
        (
            "taken back",
            request(
                Status::Rescinded,
                vec![vote("user:dora", true, Some(20))],
                &[(Status::Approved, 20), (Status::Rescinded, 25)],
                Some("taken back by user:dora"),
            ),
            &[
                "user:dora approved",
                "enough have approved",
                "the approval was taken back",
                "taken back by user:dora",
            ],
        ),
    ] {
        let page = history(&request).into_string();
        let mut rest = page.as_str();
        for words in tells {
            let at =
                rest.find(words).unwrap_or_else(|| panic!("{what}: {words} is not in its place: {page}"));
            rest = rest.get(at + words.len()..).unwrap_or_default();
        }
    }
}
