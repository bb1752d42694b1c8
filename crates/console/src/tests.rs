//! The API over a real listener, store and journal.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use gateway::credentials::Sources;
use gateway::embedded::Embedded;
use gateway::gateway::{Config, Gateway, Limits};
use gateway::state::State;
use model::{Filed, HoldRule, NewRequest, TargetName};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

mod answering;
mod encrypted;
mod pages;
mod slack;

struct Running {
    address: SocketAddr,
    secret: String,
    gateway: std::sync::Arc<Gateway>,
    state: State,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
    place: tempfile::TempDir,
}

async fn start() -> Running {
    start_as(super::Public::default(), None).await
}

async fn start_as(
    public: super::Public,
    certificate: Option<std::sync::Arc<gateway::serve::Certificate>>,
) -> Running {
    start_with(public, certificate, Vec::new()).await
}

async fn start_with(
    public: super::Public,
    certificate: Option<std::sync::Arc<gateway::serve::Certificate>>,
    carriers: Vec<gateway::carriers::Carrier>,
) -> Running {
    let place = tempfile::tempdir().expect("a directory");
    let key = store::MasterKey::from_hex(&"07".repeat(32), "a test").expect("a key");
    let kept = store::Store::open(&place.path().join("state.db"), &key).await.expect("a store");
    let secret = kept.make_administrator().await.expect("made").expect("the first").to_string();
    let journal = journal::Journal::open(&place.path().join("journal"), journal::Options::default())
        .expect("a journal");
    let state = State::new(Embedded::new(kept));
    let config = Config {
        journal,
        recordings: place.path().join("recordings"),
        state: state.clone(),
        limits: Limits::default(),
        alarm: None,
        sources: Sources::default(),
        traces: gateway::traces::Traces::default(),
        carriers,
        authorization: None,
    };
    let gateway = Gateway::start(config).await.expect("a gateway");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(super::serve(listener, gateway.clone(), BTreeSet::new(), public, certificate));
    Running { address, secret, gateway, state, task, place }
}

impl Running {
    /// Status and body of one request.
    async fn ask(&self, method: &str, path: &str, secret: Option<&str>, body: Option<&str>) -> (u16, String) {
        let bearer = secret.map(|s| format!("Authorization: Bearer {s}\r\n")).unwrap_or_default();
        self.raw(method, path, &format!("Host: 127.0.0.1\r\n{bearer}"), body).await
    }

    async fn raw(&self, method: &str, path: &str, headers: &str, body: Option<&str>) -> (u16, String) {
        let body = body.unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        let status = answer.get(9..12).and_then(|s| s.parse().ok()).expect("a status");
        (status, answer.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }

    /// The head of one answer.
    async fn head(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer.split_once("\r\n\r\n").expect("a head").0.to_owned()
    }

    async fn json(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let (status, text) = self.ask(method, path, Some(&self.secret), body).await;
        (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
    }
}

#[tokio::test]
async fn nothing_but_health_and_numbers_is_told_without_the_secret() {
    let running = start().await;
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/api/v1/health", 401),
        ("/api/v1/tokens", 401),
        ("/api/v1/nothing", 401),
        ("/nothing", 404),
    ] {
        assert_eq!(running.ask("GET", path, None, None).await.0, status, "{path}");
        assert_eq!(running.ask("GET", path, Some("dwa_wrong"), None).await.0, status, "{path}, wrong secret");
    }
    assert_eq!(running.ask("GET", "/api/v1/health", Some(&running.secret), None).await.0, 200);
}

#[tokio::test]
async fn a_page_elsewhere_cannot_ask_by_another_name() {
    let running = start().await;
    let bearer = format!("Authorization: Bearer {}\r\n", running.secret);
    for (host, status) in [("localhost:7300", 200), ("evil.example.com", 421)] {
        let headers = format!("Host: {host}\r\n{bearer}");
        assert_eq!(running.raw("GET", "/api/v1/health", &headers, None).await.0, status, "{host}");
        assert_eq!(running.raw("GET", "/healthz", &headers, None).await.0, status, "{host}");
    }
    let (_, answer) =
        running.raw("OPTIONS", "/api/v1/health", "Host: localhost\r\nOrigin: http://x\r\n", None).await;
    assert!(!answer.to_lowercase().contains("access-control"), "{answer}");
}

#[tokio::test]
async fn guesses_are_refused_and_in_nobodys_way() {
    let running = std::sync::Arc::new(start().await);
    let guesses: Vec<_> = (0..60)
        .map(|guess| {
            let running = std::sync::Arc::clone(&running);
            tokio::spawn(async move {
                running.ask("GET", "/api/v1/health", Some(&format!("dwa_{guess}")), None).await.0
            })
        })
        .collect();
    // The first time that the right one is seen, and again.
    for _ in 0..2 {
        assert_eq!(running.json("GET", "/api/v1/health", None).await.0, 200);
    }
    for guess in guesses {
        assert_eq!(guess.await.expect("no panic"), 401);
    }
}

#[tokio::test]
async fn a_configuration_is_checked_then_taken_and_a_token_issued_and_revoked() {
    let running = start().await;
    let good = r#"{"targets":[{"name":"orders","host":"127.0.0.1","port":1,"user":"u","database":"d","password":"hunter2"}],
        "policies":[{"name":"p.cedar","text":"@id(\"all\") permit (principal, action, resource);"}]}"#;
    let broken = r#"{"policies":[{"name":"p.cedar","text":"permit"}]}"#;
    let (status, problem) = running.json("POST", "/api/v1/configuration/check", Some(broken)).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("invalid")));
    assert!(problem["reason"].as_str().expect("words").starts_with("p.cedar:1:"), "{problem}");

    let (status, applied) = running.json("POST", "/api/v1/configuration/check", Some(good)).await;
    assert_eq!(status, 200, "{applied}");
    let (_, before) = running.json("GET", "/api/v1/configuration", None).await;
    assert_eq!(before["targets"].as_array().map(Vec::len), Some(0), "a check changes nothing");
    assert_eq!(running.json("PUT", "/api/v1/configuration", Some(good)).await.0, 200);
    let (_, text) = running.ask("GET", "/api/v1/configuration", Some(&running.secret), None).await;
    assert!(text.contains("orders") && !text.contains("hunter2"), "{text}");

    let wanted = r#"{"kind":"agent","name":"bot","targets":["orders"],"seconds":60}"#;
    let (status, issued) = running.json("POST", "/api/v1/tokens", Some(wanted)).await;
    assert_eq!(status, 200, "{issued}");
    let id = issued["id"].as_str().expect("an id").to_owned();
    assert!(issued["token"].as_str().expect("a token").starts_with(&id));
    let (_, listed) = running.ask("GET", "/api/v1/tokens", Some(&running.secret), None).await;
    assert!(listed.contains(&id) && !listed.contains(issued["token"].as_str().expect("a token")));
    assert_eq!(running.json("POST", &format!("/api/v1/tokens/{id}/revoke"), None).await.0, 200);
    assert_eq!(running.json("POST", "/api/v1/tokens/dwt_none/revoke", None).await.0, 404);
    for (path, body, expected) in [
        ("/api/v1/tokens", r#"{"kind":"robot","name":"bot","seconds":60}"#, 422),
        ("/api/v1/tokens", r#"{"kind":"agent","nam":"bot","seconds":60}"#, 422),
        ("/api/v1/tokens", "{", 400),
        ("/api/v1/requests/r1/answer", r#"{"approve":true}"#, 404),
        ("/api/v1/sessions/kill", r#"{"session":"s1"}"#, 404),
        ("/api/v1/sessions/kill", r#"{"target":"nowhere"}"#, 404),
        ("/api/v1/sessions/kill", r#"{"everybody":"x"}"#, 422),
        ("/api/v1/freezes", r#"{"scope":"nowhere","reason":"x"}"#, 404),
        ("/api/v1/freezes", r#"{"scope":"all","reason":" "}"#, 422),
        ("/api/v1/freezes/dwr_0/thaw", "", 404),
    ] {
        assert_eq!(running.json("POST", path, Some(body)).await.0, expected, "{path} {body}");
    }
    assert_eq!(running.json("GET", "/api/v1/targets/none/doctor", None).await.0, 404);
}

#[tokio::test]
async fn it_ends_when_the_gateway_drains() {
    let running = start().await;
    running.gateway.drain(Duration::ZERO);
    let ended = tokio::time::timeout(Duration::from_secs(5), running.task).await;
    ended.expect("in time").expect("no panic").expect("no error");
}

const ROOM: model::Room = model::Room { waiting: 10, one: u64::MAX, all: u64::MAX };

/// A rule that somebody of `dba` answers for.
fn held() -> HoldRule {
    HoldRule {
        id: "held".to_owned(),
        approvers: vec!["dba".to_owned()],
        quorum: 1,
        expires: 600,
        valid_for: 900,
        reason: None,
        carry: false,
        slack: model::SlackYes::Never,
        by_self: false,
        ceiling: None,
        tolerance: 0,
        preview: None,
        grant: None,
    }
}

/// Somebody of `dba` with a passkey, which is named as they are.
fn of_dba(name: &str) -> (model::Member, model::Passkey) {
    let groups = vec!["dba".to_owned()];
    let member = model::Member { name: name.to_owned(), roles: Vec::new(), groups, added: 1 };
    let key = model::Passkey {
        id: name.to_owned(),
        owner: format!("user:{name}"),
        key: Vec::new(),
        counter: 0,
        label: String::new(),
        added: 1,
        used: None,
    };
    (member, key)
}

/// An operation that a rule holds.
fn asked(digest: &str, hold: HoldRule) -> NewRequest {
    NewRequest {
        digest: digest.to_owned(),
        subject: digest.to_owned(),
        touched: Vec::new(),
        principal: "agent:bot".to_owned(),
        on_behalf_of: Vec::new(),
        target: TargetName::new("orders"),
        session: "s1".to_owned(),
        waits: 0,
        summary: "UPDATE".to_owned(),
        kind: "update".to_owned(),
        text: "UPDATE t SET a = $1".to_owned(),
        circumstances: model::Circumstances::default(),
        values: vec![Some("x-value".to_owned())],
        effects: vec!["update on shop.t".to_owned()],
        holds: vec![hold],
        ceiling: model::Ceiling::Rows {
            most: 10,
            from: "default".to_owned(),
            of: Vec::new(),
            expected: None,
        },
        preview: model::Preview::default(),
        weighed: Default::default(),
        version: "v".to_owned(),
        alike: None,
    }
}

#[tokio::test]
async fn a_held_operation_is_listed_shown_and_answered_once() {
    let running = start().await;
    let rule = r#"@id("held") @approvers("dba") forbid (principal, action in Action::"write", resource)
        unless { context.approvals.contains("held") };"#;
    let policies = serde_json::json!({ "policies": [{ "name": "p.cedar", "text": rule }] }).to_string();
    assert_eq!(running.json("PUT", "/api/v1/configuration", Some(&policies)).await.0, 200);
    let new = asked("d", held());
    let Filed::Now(id) = running.state.file(&new, &ROOM).await.expect("filed") else { panic!("not new") };
    let one = format!("/api/v1/requests/{id}");
    let (_, listed) = running.ask("GET", "/api/v1/requests", Some(&running.secret), None).await;
    assert!(listed.contains(&id) && !listed.contains("x-value"), "{listed}");
    let (_, shown) = running.json("GET", &one, None).await;
    assert_eq!((&shown["values"][0], &shown["status"]), (&"x-value".into(), &"pending".into()));
    for (body, status, expected) in [
        (r#"{"approve":true,"by":"user:other"}"#, 422, "unreadable"),
        (r#"{"approve":true,"words":"go"}"#, 200, "approved"),
        (r#"{"approve":false}"#, 422, "refused"),
    ] {
        let (code, answer) = running.json("POST", &format!("{one}/answer"), Some(body)).await;
        let word = answer["status"].as_str().or(answer["code"].as_str()).expect("a word").to_owned();
        assert_eq!((code, word.as_str()), (status, expected), "{body}");
    }
    let (_, listed) = running.json("GET", "/api/v1/requests", None).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(0), "none waits");
    let (_, all) = running.json("GET", "/api/v1/requests?all=true", None).await;
    let mut vote = all[0]["votes"][0].clone();
    let at = vote.as_object_mut().and_then(|vote| vote.remove("at"));
    assert!(at.is_some_and(|at| at.is_i64()), "when it was answered");
    assert_eq!(
        vote,
        serde_json::json!({"voter": "user:administrator", "groups": ["admins"], "approve": true, "words": "go", "proof": "secret"})
    );
    let mut journalled = Vec::new();
    journal::read::records(&running.place.path().join("journal"), |r| journalled.push(r["what"].clone()))
        .expect("read");
    for what in ["request shown", "request approved"] {
        assert!(journalled.contains(&what.into()), "{what}");
    }
}

/// A request as pages show it.
pub(crate) fn request() -> model::Request {
    model::Request {
        id: "r1".to_owned(),
        digest: "d".to_owned(),
        status: model::Status::Pending,
        principal: "agent:bot".to_owned(),
        on_behalf_of: Vec::new(),
        target: TargetName::new("orders"),
        session: String::new(),
        summary: String::new(),
        text: "UPDATE t SET a = $1".to_owned(),
        values: vec![Some("1".to_owned())],
        circumstances: model::Circumstances::default(),
        effects: Vec::new(),
        changed: None,
        holds: Vec::new(),
        ceiling: model::Ceiling::default(),
        preview: model::Preview::default(),
        filed: 10,
        expires: 1000,
        votes: Vec::new(),
        outcome: None,
        alike: None,
        granted: None,
        likeness: None,
        touched: Vec::new(),
        weighed: model::Weighed::default(),
        stages: Vec::new(),
    }
}
