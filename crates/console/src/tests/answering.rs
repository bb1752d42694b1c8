//! The page of a request as whoever may answer it sees it: what is in it is what was asked, and never what a link says.

use aws_lc_rs::digest;
use model::{Ceiling, Filed, HoldRule, Likeness, NewRequest};
use serde_json::json;

use super::{ROOM, Running, asked, held, of_dba, start};

/// Somebody of `dba` who is signed in, by the headers that their browser sends.
struct Ada {
    running: Running,
    headers: String,
    visit: String,
}

fn mark(secret: &str) -> String {
    digest::digest(&digest::SHA256, secret.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

async fn ada() -> Ada {
    let running = start().await;
    let rule = r#"@id("held") @approvers("dba") @grant("2h") forbid (principal, action in Action::"write", resource)
        unless { context.approvals.contains("held") };"#;
    let policies = json!({ "policies": [{ "name": "p.cedar", "text": rule }] }).to_string();
    assert_eq!(running.json("PUT", "/api/v1/configuration", Some(&policies)).await.0, 200);
    let (member, key) = of_dba("ada");
    running.state.admit(&member, &key).await.expect("admitted");
    let now = jiff::Timestamp::now().as_second();
    let visit = model::Visit {
        mark: mark("a visit"),
        owner: key.owner,
        word: None,
        groups: Vec::new(),
        began: now,
        seen: now,
        expires: now + 600,
    };
    running.state.begin_visit(&visit, None).await.expect("begun");
    let host = format!("localhost:{}", running.address.port());
    let headers = format!("Host: {host}\r\nCookie: durward-{}=a visit\r\n", running.address.port());
    Ada { running, headers, visit: visit.mark }
}

impl Ada {
    /// A request of which others that are alike can be let through, too.
    async fn held(&self, digest: &str) -> String {
        let likeness = Likeness { key: digest.to_owned(), meaning: digest.to_owned(), open: Vec::new() };
        let ceiling = Ceiling::Rows { most: 10, from: "preview".to_owned(), of: Vec::new(), expected: None };
        self.file(&NewRequest {
            alike: Some(likeness),
            ceiling,
            ..asked(digest, HoldRule { grant: Some(7200), ..held() })
        })
        .await
    }

    async fn file(&self, new: &NewRequest) -> String {
        let Filed::Now(id) = self.running.state.file(new, &ROOM).await.expect("filed") else {
            panic!("not new")
        };
        id
    }

    async fn page(&self, path: &str) -> String {
        self.page_with(path, "").await
    }

    /// The same, where they have come back from signing in anew.
    async fn page_with(&self, path: &str, signed_in: &str) -> String {
        let cookie = format!("a visit; durward-confirm-{}={signed_in}", self.running.address.port());
        let headers = self.headers.replace("a visit", &cookie);
        let (status, page) = self.running.raw("GET", path, &headers, None).await;
        assert_eq!(status, 200, "{path}: {page}");
        page
    }
}

/// The same request's page, without what passes.
fn settled(page: &str) -> String {
    let mut rest = page;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("<time") {
        out.push_str(before);
        rest = after.split_once("</time>").map_or("", |(_, after)| after);
    }
    out + rest
}

#[tokio::test]
async fn what_an_address_says_is_in_no_form() {
    let ada = ada().await;
    let id = ada.held("d").await;
    let plain = settled(&ada.page(&format!("/requests/{id}")).await);
    assert!(plain.contains(r#"name="most""#) && plain.contains(r#"id="grant""#), "{plain}");
    let preset = "most=1000000&words=I+have+checked+this&seconds=900&uses=7&keep=1&leaves=%5B%5D";
    for query in [preset.to_owned(), format!("confirm=approve&{preset}"), format!("confirm=grant&{preset}")] {
        for signed_in in ["", "guessed"] {
            let page = ada.page_with(&format!("/requests/{id}?{query}"), signed_in).await;
            assert_eq!(settled(&page), plain, "{query} {signed_in}");
        }
    }
}

#[tokio::test]
async fn what_somebody_said_before_they_signed_in_anew_is_there_again_for_them_and_there_alone() {
    let ada = ada().await;
    let id = ada.held("d").await;
    let other = ada.held("e").await;
    let expires = jiff::Timestamp::now().as_second() + 600;
    for (secret, of, to, said) in [
        (
            "raises",
            ada.visit.as_str(),
            format!("/requests/{id}?confirm=approve"),
            "most=1000&words=mine+alone",
        ),
        ("keeps", &ada.visit, format!("/requests/{id}?confirm=approve"), "most=10"),
        ("gives", &ada.visit, format!("/requests/{id}?confirm=grant"), "most=3&uses=7&seconds=900"),
        ("theirs", "another visit", format!("/requests/{id}?confirm=approve"), "most=1000&words=mine+alone"),
    ] {
        let pledge = json!({ "signing": { "act": "00", "of": of, "how": "sign-in", "back": { "to": to, "said": said } } });
        ada.running.state.keep_once(&mark(secret), &pledge.to_string(), expires).await.expect("kept");
    }
    let page = async |id: &str, secret: &str| ada.page_with(&format!("/requests/{id}"), secret).await;
    let raised = page(&id, "raises").await;
    for there in [
        "You have signed in again. Approve",
        "mine alone",
        r#"value="1000""#,
        r#"data-raised role="status">"#,
    ] {
        assert!(raised.contains(there), "{there}: {raised}");
    }
    assert!(!raised.contains("Give the grant to confirm"), "{raised}");
    let kept = page(&id, "keeps").await;
    assert!(
        kept.contains(r#"data-raised role="status" hidden>"#) && kept.contains("You have signed in again"),
        "{kept}"
    );
    let given = page(&id, "gives").await;
    for there in ["Give the grant to confirm", r#"value="3""#, r#"value="7""#, r#"value="900" selected"#] {
        assert!(given.contains(there), "{there}: {given}");
    }
    assert!(!given.contains("Approve to confirm"), "{given}");
    for (id, secret) in [(&id, "theirs"), (&other, "raises"), (&other, "gives")] {
        let page = page(id, secret).await;
        for not in ["signed in again. ", "mine alone", r#"value="1000""#, r#"value="7""#] {
            assert!(!page.contains(not), "{not}: {page}");
        }
    }
}
