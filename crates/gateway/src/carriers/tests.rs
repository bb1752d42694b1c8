use model::{Circumstances, HoldRule, Request, Status, TargetName, Vote};

use super::*;

pub(super) fn request(carry: &[bool]) -> Request {
    let hold = |carry: &bool| HoldRule {
        id: "writes-held".to_owned(),
        approvers: vec!["dba".to_owned()],
        quorum: 1,
        expires: 900,
        valid_for: 900,
        reason: Some("writes are looked at".to_owned()),
        carry: *carry,
        slack: model::SlackYes::Never,
        by_self: false,
        ceiling: None,
        tolerance: 0,
        preview: None,
        grant: None,
    };
    let vote = Vote {
        voter: "user:ada".to_owned(),
        groups: vec!["dba".to_owned()],
        approve: true,
        words: Some("x-words".to_owned()),
        proof: Some("passkey".to_owned()),
        most: None,
        access: None,
        names: Vec::new(),
        at: None,
    };
    Request {
        id: "r1".to_owned(),
        digest: "d".to_owned(),
        status: Status::Failed,
        principal: "agent:bot".to_owned(),
        on_behalf_of: vec!["user:bob".to_owned()],
        target: TargetName::new("orders"),
        session: "s1".to_owned(),
        summary: "UPDATE t SET a = ?".to_owned(),
        text: "UPDATE t SET a = $1".to_owned(),
        values: vec![Some("x-value".to_owned())],
        circumstances: Circumstances::default(),
        effects: vec!["update public.t".to_owned()],
        changed: None,
        holds: carry.iter().map(hold).collect(),
        ceiling: model::Ceiling::default(),
        preview: model::Preview::default(),
        filed: 0,
        expires: 900,
        votes: vec![vote],
        outcome: Some("failed: Key (a)=(x-row) exists".to_owned()),
        alike: None,
        granted: None,
        likeness: None,
        touched: Vec::new(),
        weighed: Default::default(),
        stages: Vec::new(),
    }
}

fn news(status: Status) -> News {
    News { request: "r1".to_owned(), status, at: 1_000_000_000 }
}

#[test]
fn values_are_carried_where_every_rule_says_so_and_words_and_rows_never() {
    for (carry, shows) in [
        (&[][..], false),
        (&[false][..], false),
        (&[true, false][..], false),
        (&[true][..], true),
        (&[true, true][..], true),
    ] {
        let (news, request) = (news(Status::Failed), request(carry));
        let told = Message::of(&news, &request, None);
        let body = told.json();
        assert_eq!(body.contains("x-value"), shows, "{carry:?}");
        for hidden in ["x-words", "x-row"] {
            assert!(!body.contains(hidden), "{hidden}");
        }
        for shown in [
            "request.failed",
            "2001-09-09T01:46:40Z",
            "UPDATE t SET a = ?",
            "orders",
            "agent:bot",
            "update public.t",
        ] {
            assert!(body.contains(shown), "{shown} in {}", body);
        }
        assert_eq!(told.id(), "r1.failed");
    }
}

/// The vector of the specification's own libraries.
#[test]
fn a_message_is_signed_as_standard_webhooks_says() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let webhook = Webhook::new("ops", "https://example.com", secret, None).expect("one");
    let signature =
        webhook.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    for (secret, fine) in [
        ("whsec_MfKQ9r8GKYqrTwjUPD8I", false),
        ("whsec_not base64", false),
        ("short", false),
        ("a secret of twenty-four b", true),
    ] {
        assert_eq!(Webhook::new("ops", "https://example.com", secret, None).is_ok(), fine, "{secret}");
    }
}

#[test]
fn waits_grow_and_end_and_a_refusal_is_not_for_ever() {
    let waits: Vec<u64> =
        (1..=12).map(|failures| Trouble { failures, refused: None }.wait().as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    let mut trouble = Trouble::default();
    let (one, other) = (news(Status::Pending), news(Status::Approved));
    let hopeless: Vec<bool> = (0..TRIES).map(|_| trouble.is_hopeless(&one)).collect();
    assert_eq!(hopeless.iter().filter(|is| **is).count(), 1);
    assert_eq!(hopeless.last(), Some(&true));
    assert!(!trouble.is_hopeless(&other), "each for itself");
}
