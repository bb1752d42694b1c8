//! Answers from Slack: what is signed, new, of somebody who is known, to exactly what was shown, as far as policy says. What stands
//! for Slack takes messages and calls back as its documents say.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use gateway::carriers::{Carrier, Slack};
use model::{Filed, HoldRule, SlackLink, SlackUser, SlackYes, Status};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{ROOM, Running, asked, of_dba, start_with};
use crate::Public;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const CHANNEL: &str = "C0123456789";
const POLICY: &str = r#"
@id("alone") @approvers("dba") @slack("alone")
forbid (principal, action == Action::"update", resource) unless { context.approvals.contains("alone") };
@id("two") @approvers("dba") @quorum("2") @slack("approve")
forbid (principal, action == Action::"delete", resource) unless { context.approvals.contains("two") };
@id("console") @approvers("dba")
forbid (principal, action == Action::"insert", resource) unless { context.approvals.contains("console") };
"#;

/// What was said to Slack: method and body.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<(String, Value)>>>);

impl Said {
    fn all(&self) -> Vec<(String, Value)> {
        self.0.lock().expect("a lock").clone()
    }

    /// The first that fits, once it is said.
    async fn once<T>(&self, what: &str, find: impl Fn(&str, &Value) -> Option<T>) -> T {
        for _ in 0..600 {
            if let Some(found) = self.all().iter().find_map(|(method, body)| find(method, body)) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what}: {:?}", self.all());
    }
}

/// Takes messages, and says that they are in the channel.
async fn slack() -> (String, Said) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = format!("http://{}/api", listener.local_addr().expect("an address"));
    let said = Said::default();
    let noted = said.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("somebody");
            let noted = noted.clone();
            tokio::spawn(async move {
                let mut all = Vec::new();
                let mut part = [0; 4096];
                loop {
                    let count = stream.read(&mut part).await.unwrap_or(0);
                    all.extend_from_slice(part.get(..count).unwrap_or_default());
                    let text = String::from_utf8_lossy(&all).into_owned();
                    let body =
                        text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
                    if let Some(body) = body {
                        let method = text.split(' ').nth(1).unwrap_or_default().replace("/api/", "");
                        noted.0.lock().expect("a lock").push((method, body));
                        break;
                    }
                    if count == 0 {
                        return;
                    }
                }
                let answer = format!(r#"{{"ok":true,"channel":"{CHANNEL}","ts":"1700000000.000001"}}"#);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    answer.len()
                );
                let _ = stream.write_all(format!("{head}{answer}").as_bytes()).await;
            });
        }
    });
    (at, said)
}

/// A gateway whose requests are answered in Slack, by ada and bob of `dba`, who are U1 and U2 of the team T1 there.
struct House {
    running: Running,
    said: Said,
}

async fn house() -> House {
    let (at, said) = slack().await;
    let channel = Slack::new(&at, "xoxb-x-token", CHANNEL).expect("a channel").answered(SECRET);
    let public = Public { url: Some("https://gate.example.com".to_owned()), ..Public::default() };
    let running = start_with(public, None, vec![Carrier::Slack(Arc::new(channel))]).await;
    // Who is new is told what happens from now on.
    running.state.lead("slack", 0).await.expect("led");
    let policies = json!({ "policies": [{ "name": "p.cedar", "text": POLICY }] }).to_string();
    assert_eq!(running.json("PUT", "/api/v1/configuration", Some(&policies)).await.0, 200);
    for (name, id) in [("ada", "U1"), ("bob", "U2")] {
        let (member, key) = of_dba(name);
        running.state.admit(&member, &key).await.expect("admitted");
        let owner = key.owner;
        let user = SlackUser { team: "T1".to_owned(), id: id.to_owned(), name: name.to_owned() };
        running.state.link_slack(&SlackLink { user, owner, added: 1 }).await.expect("linked");
    }
    House { running, said }
}

/// What is sent, and how it is signed.
struct Call {
    body: String,
    at: i64,
    signature: String,
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

impl Call {
    fn signed(secret: &str, at: i64, body: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, format!("v0:{at}:{body}").as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { body: body.to_owned(), at, signature: format!("v0={hex}") }
    }

    /// A click as Slack tells of it.
    fn click(team: &str, user: &str, action: &str, value: &str, at: i64) -> Self {
        let payload = json!({
            "type": "block_actions", "team": { "id": team, "domain": "x" },
            "user": { "id": user, "username": "x-<name>", "team_id": team },
            "channel": { "id": CHANNEL, "name": "ops" }, "trigger_id": format!("{user}{action}{value}"),
            "actions": [{ "type": "button", "action_id": action, "block_id": "b", "value": value }],
        });
        let encoded: String = payload.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        Self::signed(SECRET, at, &format!("payload={encoded}"))
    }
}

impl House {
    async fn file(&self, digest: &str, rule: &str, quorum: u32, slack: SlackYes, principal: &str) -> String {
        let hold = HoldRule {
            id: rule.to_owned(),
            approvers: vec!["dba".to_owned()],
            quorum,
            expires: 900,
            valid_for: 900,
            reason: None,
            carry: false,
            slack,
            by_self: false,
            ceiling: None,
            tolerance: 0,
            preview: None,
            grant: None,
        };
        let new = model::NewRequest { principal: principal.to_owned(), ..asked(digest, hold) };
        let Filed::Now(id) = self.running.state.file(&new, &ROOM).await.expect("filed") else {
            panic!("not new")
        };
        id
    }

    /// What the buttons of a request say: of yes, where there is one, and of no.
    async fn buttons(&self, request: &str) -> (Option<String>, String) {
        let find = |_: &str, body: &Value| {
            let blocks = body["blocks"].as_array()?;
            let actions = blocks.iter().find(|block| block["type"] == "actions")?["elements"].as_array()?;
            let value = |action: &str| {
                let found = actions.iter().find(|element| element["action_id"] == action)?;
                found["value"]
                    .as_str()
                    .filter(|value| value.starts_with(&format!("{request}.")))
                    .map(str::to_owned)
            };
            Some((value("durward-approve"), value("durward-deny")?))
        };
        self.said.once("its message", find).await
    }

    async fn call(&self, call: &Call) -> u16 {
        let Call { body, at, signature } = call;
        let headers = format!(
            "Host: gate.example.com\r\nX-Slack-Request-Timestamp: {at}\r\nX-Slack-Signature: {signature}\r\n"
        );
        self.running.raw("POST", "/slack/interactive", &headers, Some(body)).await.0
    }

    async fn clicks(&self, team: &str, user: &str, action: &str, value: &str) {
        let call = Call::click(team, user, action, value, now());
        assert_eq!(self.call(&call).await, 200);
    }

    /// What somebody is told about it, once they are: the whole of it.
    async fn told(&self, user: &str, words: &str) -> String {
        let find = |method: &str, body: &Value| {
            let text = body.to_string();
            (method == "chat.postEphemeral" && body["user"] == user && text.contains(words)).then_some(text)
        };
        self.said.once(words, find).await
    }

    async fn stands(&self, request: &str) -> Status {
        self.running.state.request(request).await.expect("read").expect("it is there").status
    }
}

const YES: &str = "durward-approve";
const NO: &str = "durward-deny";

#[tokio::test]
async fn a_callback_is_slacks_young_and_taken_once() {
    let house = house().await;
    let id = house.file("d1", "alone", 1, SlackYes::Alone, "agent:bot").await;
    let yes = house.buttons(&id).await.0.expect("a yes");
    let good = Call::click("T1", "U1", YES, &yes, now());
    let other =
        Call { body: good.body.replace("payload", "payloae"), ..Call::click("T1", "U1", YES, &yes, now()) };
    for (why, call) in [
        ("another secret", Call::signed("another secret, as long", good.at, &good.body)),
        ("too old", Call::click("T1", "U1", YES, &yes, now() - 400)),
        ("from the future", Call::click("T1", "U1", YES, &yes, now() + 400)),
        ("the signature of another body", other),
        ("no signature", Call { signature: String::new(), ..Call::click("T1", "U1", YES, &yes, now()) }),
        (
            "half of one",
            Call { signature: good.signature[..20].to_owned(), ..Call::click("T1", "U1", YES, &yes, now()) },
        ),
    ] {
        assert_eq!(house.call(&call).await, 401, "{why}");
        assert_eq!(house.stands(&id).await, Status::Pending, "{why}");
    }
    assert_eq!(house.call(&good).await, 200);
    house.told("U1", "it is approved").await;
    assert_eq!(house.stands(&id).await, Status::Approved);
    assert_eq!(house.call(&good).await, 409, "it was taken");
    let capitals = Call { signature: format!("v0={}", good.signature[3..].to_uppercase()), ..good };
    assert_eq!(house.call(&capitals).await, 409, "it is the same");
    let request = house.running.state.request(&id).await.expect("read").expect("there");
    assert_eq!(request.votes[0].voter, "user:ada");
    assert_eq!(request.votes[0].proof.as_deref(), Some("slack T1/U1"));
    house
        .said
        .once("the message says so", |method, body| {
            let is_it = method == "chat.update" && !body["blocks"].to_string().contains("durward-approve");
            (is_it && body.to_string().contains("Approved by user:ada")).then_some(())
        })
        .await;
}

#[tokio::test]
async fn who_is_not_known_says_who_they_are_first_and_nobody_answers_for_themselves() {
    let house = house().await;
    let id = house.file("d1", "alone", 1, SlackYes::Alone, "agent:bot").await;
    let (yes, no) = house.buttons(&id).await;
    let yes = yes.expect("a yes");
    // U1 of another team is somebody else.
    for (team, user) in [("T1", "U9"), ("T2", "U1")] {
        house.clicks(team, user, YES, &yes).await;
        house.clicks(team, user, NO, &no).await;
        let told = house.told(user, "Nobody knows yet who you are").await;
        assert!(told.contains("https://gate.example.com/me/slack?link="), "{told}");
        assert_eq!(house.stands(&id).await, Status::Pending);
    }
    let own = house.file("d2", "alone", 1, SlackYes::Alone, "user:ada").await;
    let yes = house.buttons(&own).await.0.expect("a yes");
    house.clicks("T1", "U1", YES, &yes).await;
    house.told("U1", "nobody approves what they ask for themselves").await;
    assert_eq!(house.stands(&own).await, Status::Pending);
    house.clicks("T1", "U2", YES, &yes).await;
    house.told("U2", "it is approved").await;
    // Whoever is removed answers nowhere any more.
    let last = house.file("d3", "alone", 1, SlackYes::Alone, "agent:bot").await;
    let yes = house.buttons(&last).await.0.expect("a yes");
    house.running.state.remove_member("bob").await.expect("removed");
    house.clicks("T1", "U2", YES, &yes).await;
    house.told("U2", "Nobody knows yet who you are").await;
    assert_eq!(house.stands(&last).await, Status::Pending);
}

#[tokio::test]
async fn a_button_is_for_exactly_what_it_shows_and_a_yes_is_worth_what_policy_says() {
    let house = house().await;
    let one = house.file("d1", "alone", 1, SlackYes::Alone, "agent:bot").await;
    let other = house.file("d2", "alone", 1, SlackYes::Alone, "agent:bot").await;
    let console = house.file("d3", "console", 1, SlackYes::Never, "agent:bot").await;
    let yes = house.buttons(&one).await.0.expect("a yes");
    let (none, no) = house.buttons(&console).await;
    assert!(none.is_none(), "it is approved in the console");
    for swapped in [
        yes.replacen(".d1.", ".d2.", 1),
        yes.replacen(&format!("{one}."), &format!("{other}."), 1).replacen(".d1.", ".d2.", 1),
        no.replacen(".deny.", ".approve.", 1),
        yes.replacen(".approve.", ".deny.", 1),
        format!("{yes}.x"),
        String::new(),
    ] {
        house.clicks("T1", "U1", YES, &swapped).await;
    }
    house.told("U1", "not one of ours").await;
    for id in [&one, &other, &console] {
        assert_eq!(house.stands(id).await, Status::Pending);
    }
    // Any approver may say no, whatever policy says of a yes.
    house.clicks("T1", "U1", NO, &no).await;
    house.told("U1", "it is denied").await;
    assert_eq!(house.stands(&console).await, Status::Denied);

    // Two in Slack are not enough where somebody is to show that they are there.
    let two = house.file("d4", "two", 2, SlackYes::WithOthers, "agent:bot").await;
    let yes = house.buttons(&two).await.0.expect("a yes");
    for user in ["U1", "U2"] {
        house.clicks("T1", user, YES, &yes).await;
        house.told(user, "one more of dba").await;
    }
    assert_eq!(house.stands(&two).await, Status::Pending);
    let approve = Some(r#"{"approve":true}"#);
    let (status, answer) =
        house.running.json("POST", &format!("/api/v1/requests/{two}/answer"), approve).await;
    assert_eq!((status, &answer["status"]), (200, &"approved".into()), "{answer}");
}
