//! Identities of a real issuer: its tokens open sessions, end with them, and follow its keys.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use testkit::durward::Target;
use testkit::issuer::Issuer;
use testkit::jwt::{self, Signer};

use crate::rig::{self, ALLOW_ALL, DATABASE, Rig, Way};

/// Only who comes from the issuer, in the right group, gets in.
const POLICY: &str = r#"
@id("database-people") permit (principal in Group::"company/dba", action, resource);
@id("nobody-else") forbid (principal, action, resource) unless { context has issuer && context.issuer == "company" };
"#;

const CLIENTS: &str = r#"{"algorithm":"RS256","life":600,"clients":{
    "coder":{"secret":"one","groups":["dba","dev"]},"guest":{"secret":"two","groups":["dev"]}}}"#;

struct House {
    rig: Rig,
    issuer: Issuer,
}

fn house(settings: &str, more: &str) -> House {
    let issuer = Issuer::start(&rig::npm(), settings).unwrap();
    let rig = Rig::start(&[], POLICY);
    let house = House { rig, issuer };
    house.apply(more);
    house
}

impl House {
    /// Applies the issuer, with more said of it.
    fn apply(&self, more: &str) {
        let issuer = format!(
            "[[issuers]]\nname = \"company\"\nissuer = \"{}\"\naudience = \"durward\"\nleeway = \"1s\"\n{more}\n\n\
             [[issuers.principals]]\nkind = \"agent\"\nname = \"client_id\"\ngroups = [\"groups\"]\n",
            self.issuer.url()
        );
        let target = Target::new(DATABASE, self.rig.server.port(), DATABASE);
        self.rig.gateway.apply_with(&[target], &[("test", POLICY)], &[("issuers.toml", &issuer)]).unwrap();
    }

    fn way(&self, password: &str) -> Way {
        Way { port: self.rig.gateway.port(), password: password.to_owned() }
    }
}

async fn refusal(way: &Way) -> String {
    let error = way.config().connect(tokio_postgres::NoTls).await.err().expect("a refusal");
    error.as_db_error().map_or_else(|| error.to_string(), |e| format!("{} {}", e.code().code(), e.message()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_an_issuer_opens_a_session_by_its_groups() {
    let house = house(CLIENTS, "");
    let token = house.issuer.token("coder", "one").unwrap();
    let client = house.way(&token).connect().await;
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    let guest = house.issuer.token("guest", "two").unwrap();
    assert!(refusal(&house.way(&guest)).await.starts_with("42501"), "a guest is no database person");
    for forged in
        [format!("{token}x"), token.replace('.', ".."), format!("{}.", token.rsplit_once('.').unwrap().0)]
    {
        assert_eq!(refusal(&house.way(&forged)).await, "28P01 the token is not valid");
    }
    let journal = house.rig.gateway.records().unwrap();
    for said in [
        r#""principal":"agent:company/coder""#,
        r#""groups":["company/dba","company/dev"]"#,
        r#""issuer":"company","subject":"coder""#,
        r#""reason":"jwt_signature""#,
    ] {
        assert!(journal.contains(said), "{said} is not in the journal");
    }
    let secret = token.rsplit_once('.').unwrap().1;
    assert!(!journal.contains(secret) && !house.rig.gateway.log().contains(secret), "the token is nowhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_token_and_at_its_greatest_age() {
    let house = house(&CLIENTS.replace("600", "8"), "");
    for (more, most) in [("", 8.0), ("agent_session = \"3s\"", 3.0)] {
        house.apply(more);
        let token = house.issuer.token("coder", "one").unwrap();
        let begun = Instant::now();
        let client = house.way(&token).connect().await;
        client.batch_execute("SELECT 1").await.unwrap();
        let ended = client.query_one("SELECT pg_sleep(20)", &[]).await.expect_err("the session ends");
        let took = begun.elapsed().as_secs_f64();
        assert_eq!(
            ended.as_db_error().map(|e| e.code().code().to_owned()).as_deref(),
            Some("28000"),
            "{ended}"
        );
        assert!(took < most + 1.0 && took > most - 2.0, "{took} seconds of {most}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_may_change_while_everybody_signs_in() {
    let house = house(CLIENTS, "");
    let old = house.issuer.token("coder", "one").unwrap();
    house.way(&old).connect().await;
    let before = house.issuer.control("count").unwrap();
    let (port, mut tasks) = (house.rig.gateway.port(), tokio::task::JoinSet::new());
    let stop = Instant::now() + Duration::from_secs(4);
    for round in 0..3 {
        house.issuer.control("rotate").unwrap();
        let token = house.issuer.token("coder", "one").unwrap();
        for _ in 0..8 {
            let way = Way { port, password: if round == 0 { old.clone() } else { token.clone() } };
            tasks.spawn(async move { way.connect().await.batch_execute("SELECT 1").await });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().expect("nobody is kept out by a new key");
    }
    tokio::time::sleep(stop.saturating_duration_since(Instant::now())).await;
    let count =
        |json: &testkit::json::Json| json.at("jwks").and_then(testkit::json::Json::number).unwrap_or(0.0);
    let after = house.issuer.control("retire").unwrap();
    assert!(count(&after) - count(&before) <= 4.0, "a fetch for each new key, not for each client");
    // A key that nobody knows costs the issuer little, however often it is asked for.
    let unknown = testkit::jwt::Signer::rsa("no-such-key").unwrap();
    let claims = format!("{{\"iss\":\"{}\",\"aud\":\"durward\",\"sub\":\"x\"}}", house.issuer.url());
    let forged = unknown.sign(&claims).unwrap();
    let mut refused = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let way = Way { port, password: forged.clone() };
        refused.spawn(async move { refusal(&way).await });
    }
    while let Some(said) = refused.join_next().await {
        assert_eq!(said.unwrap(), "28P01 the token is not valid");
    }
    let last = house.issuer.control("count").unwrap();
    assert!(count(&last) - count(&after) <= 6.0, "{last:?}");
    // That fetch has taken the old keys away: their tokens are nobody's any more, though they have not expired.
    assert_eq!(refusal(&house.way(&old)).await, "28P01 the token is not valid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_taken_away_takes_its_sessions_along() {
    let house = house(CLIENTS, "");
    let token = house.issuer.token("coder", "one").unwrap();
    let client = house.way(&token).connect().await;
    client.batch_execute("SELECT 1").await.unwrap();
    let target = Target::new(DATABASE, house.rig.server.port(), DATABASE);
    house.rig.gateway.apply(&[target], &[("test", POLICY)]).unwrap();
    let begun = Instant::now();
    while !client.is_closed() {
        assert!(begun.elapsed() < Duration::from_secs(1), "the session lives on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(refusal(&house.way(&token)).await, "28P01 the token is not valid");
}

/// While an issuer's keys cannot be had nothing is said against its tokens, and nobody comes in by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_whose_issuers_keys_cannot_be_fetched_is_not_said_to_be_wrong() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let url = format!("http://127.0.0.1:{}", testkit::process::free_port().unwrap());
    let issuer = format!(
        "[[issuers]]\nname = \"company\"\nissuer = \"{url}\"\naudience = \"durward\"\n\n\
         [[issuers.principals]]\nkind = \"agent\"\nname = \"client_id\"\ngroups = [\"groups\"]\n"
    );
    let target = Target::new(DATABASE, rig.server.port(), DATABASE);
    rig.gateway.apply_with(&[target], &[("test", ALLOW_ALL)], &[("issuers.toml", &issuer)]).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let token = |issuer: &str| {
        let claims = format!(
            r#"{{"iss":"{issuer}","aud":"durward","sub":"s","client_id":"coder","groups":["dba"],"iat":{now},"exp":{}}}"#,
            now + 600
        );
        Signer::p256("k").unwrap().sign(&claims).unwrap()
    };
    let way = |password: String| Way { port: rig.gateway.port(), password };
    let told = refusal(&way(token(&url))).await;
    assert!(told.starts_with("57P03 the issuer of the token cannot be asked now"), "{told}");
    assert!(rig.gateway.records().unwrap().contains("jwt_unreachable"));
    // Which issuers are configured nobody finds out by that: those of others hear the same, until it is there again.
    let foreign = token("https://login.example.com");
    assert_eq!(refusal(&way(foreign.clone())).await, told);
    let keys = "[[issuers]]\nname = \"company\"\nissuer = \"https://company.example.com\"\naudience = \"durward\"\n\
                jwks_file = \"keys.json\"\n\n[[issuers.principals]]\nkind = \"agent\"\nname = \"client_id\"\n";
    let jwks = testkit::jwt::jwks(&[&Signer::p256("k").unwrap()]);
    let target = Target::new(DATABASE, rig.server.port(), DATABASE);
    let files = [("issuers.toml", keys), ("keys.json", &jwks)];
    rig.gateway.apply_with(&[target], &[("test", ALLOW_ALL)], &files).unwrap();
    assert_eq!(refusal(&way(foreign)).await, "28P01 the token is not valid");
    // The neighbour: a token of the gateway's own.
    rig.through().connect().await;
}

/// An issuer whose one key has no name, as small ones do: what is signed by the next is not refused until somebody looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_a_name_is_found_when_it_is_another() {
    let (old, new) = (Signer::p256("x").unwrap(), Signer::p256("x").unwrap());
    let keys = |key: &Signer| jwt::jwks(&[key]).replace(r#""kid":"x","#, "");
    let shown = Arc::new(Mutex::new((keys(&old), 0)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::clone(&shown);
    // It ends with the test's process: a thread that waits for a connection.
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut asked = [0; 4096];
            let _ = client.read(&mut asked);
            let mut served = served.lock().unwrap();
            served.1 += 1;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
            let _ = write!(client, "{head}Content-Length: {}\r\n\r\n{}", served.0.len(), served.0);
        }
    });
    let rig = Rig::start(&[], POLICY);
    let issuer = format!(
        "[[issuers]]\nname = \"company\"\nissuer = \"{address}\"\njwks_uri = \"{address}/keys\"\naudience = \"durward\"\n\
         [[issuers.principals]]\nkind = \"agent\"\nname = \"sub\"\ngroups = [\"groups\"]\n"
    );
    let target = Target::new(DATABASE, rig.server.port(), DATABASE);
    rig.gateway.apply_with(&[target], &[("test", POLICY)], &[("issuers.toml", &issuer)]).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let token = |key: &Signer| {
        let claims = format!(
            r#"{{"iss":"{address}","aud":"durward","sub":"coder","groups":["dba"],"iat":{now},"exp":{}}}"#,
            now + 600
        );
        key.sign_with(r#"{"alg":"ES256"}"#, &claims).unwrap()
    };
    let way = |key: &Signer| Way { port: rig.gateway.port(), password: token(key) };
    way(&old).connect().await;
    shown.lock().unwrap().0 = keys(&new);
    way(&new).connect().await;
    assert_eq!(refusal(&way(&old)).await, "28P01 the token is not valid", "the old key has left");
    // A stranger's costs the issuer little, however often it is brought.
    let (stranger, before) = (Signer::p256("x").unwrap(), shown.lock().unwrap().1);
    let mut refused = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let way = way(&stranger);
        refused.spawn(async move { refusal(&way).await });
    }
    while let Some(said) = refused.join_next().await {
        assert_eq!(said.unwrap(), "28P01 the token is not valid");
    }
    assert!(shown.lock().unwrap().1 - before <= 6);
    way(&new).connect().await;
}
