//! An issuer is asked about tokens (RFC 7662): when somebody comes in, and again while they stay. What it takes back ends,
//! what was made of it too, and who cannot be asked has not said yes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use testkit::durward::{Durward, Target};
use testkit::issuer::Issuer;
use testkit::json::Json;
use testkit::jwt::{self, Signer};
use testkit::postgres::{Postgres, SUPERUSER};
use testkit::process::free_port;
use testkit::{Scratch, http};
use tokio_postgres::{Client, NoTls};

use crate::rig::{self, DATABASE};
use crate::scan::Scan;

const POLICY: &str = "@id(\"dba\") permit (principal in Group::\"company/dba\", action, resource);\n";
/// A secret with signs in it that have a meaning in headers and forms.
const SECRET: &str = "g:+te %20&= of a gateway";
const CLIENTS: &str = r#"{"algorithm":"ES256","life":600,"clients":{
    "gate":{"secret":"g:+te %20&= of a gateway","metadata":{"token_endpoint_auth_method":"client_secret_basic"}},
    "coder":{"secret":"one","groups":["dba"]},"other":{"secret":"two","groups":["dba"]},"guest":{"secret":"three"}}}"#;
/// What is told of a token whose issuer does not answer.
const UNASKED: &str = "57P03 the issuer of the token cannot be asked now";
const OPAQUE: &str = "urn:opaque:durward";

struct House {
    // In this order: the gateway ends before the server that it leads to.
    gateway: Durward,
    server: Postgres,
    agents: u16,
    secret: Scratch,
}

fn house(secret: &str) -> House {
    let (server, agents) = (rig::server(&[]), free_port().unwrap());
    let place = Scratch::new("secret").unwrap();
    std::fs::write(place.join("secret"), format!("{secret}\n")).unwrap();
    let settings = format!(
        "\n[log]\nlevel = \"trace\"\n[agents]\nlisten = \"127.0.0.1:{agents}\"\n[credentials.company]\nfile = \"{}\"\ncache = \"1s\"\n",
        place.join("secret").display()
    );
    let gateway = Durward::start_with(&rig::binary(), &settings).unwrap();
    House { gateway, server, agents, secret: place }
}

impl House {
    fn apply(&self, issuer: &str, how: &str, keys: &[(&str, &str)]) {
        let state = format!(
            "[[issuers]]\nname = \"company\"\nissuer = \"{issuer}\"\naudience = \"durward\"\n\
             introspection = {{ client_id = \"gate\", credential = \"company\", {how} }}\n{}\n\
             [[issuers.principals]]\nkind = \"agent\"\nname = \"client_id\"\ngroups = [\"groups\"]\n",
            if keys.is_empty() { "" } else { "jwks_file = \"keys.json\"" }
        );
        let files = [&[("issuers.toml", state.as_str())], keys].concat();
        let target = Target::new(DATABASE, self.server.port(), DATABASE);
        self.gateway.apply_with(&[target], &[("test", POLICY)], &files).unwrap();
    }

    async fn open(&self, password: &str) -> Result<Session, String> {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.gateway.port())
            .user(SUPERUSER)
            .dbname(DATABASE)
            .password(password);
        let (client, connection) = config.connect(NoTls).await.map_err(|e| words(&e))?;
        let end = tokio::spawn(async move { connection.await.err().map(|e| words(&e)).unwrap_or_default() });
        match client.simple_query("SELECT 1").await {
            Ok(_) => Ok(Session { client, end }),
            // It ended meanwhile: its last words come to whoever reads.
            Err(error) if error.is_closed() => Err(end.await.unwrap()),
            Err(error) => Err(words(&error)),
        }
    }

    #[track_caller]
    fn refused(&self, password: &str) -> impl Future<Output = String> {
        let place = std::panic::Location::caller();
        async move {
            let opened = self.open(password).await;
            opened.err().unwrap_or_else(|| panic!("{place}: it opens a session"))
        }
    }

    fn exchanged(&self, subject: &str) -> String {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", subject),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", DATABASE),
        ];
        let answer = http::post_form(self.agents, "/token", &form, &[]).unwrap();
        let token =
            Json::parse(&answer.body).ok().and_then(|j| Some(j.at("access_token")?.text()?.to_owned()));
        token.unwrap_or_else(|| panic!("{} {}", answer.status, answer.body))
    }
}

struct Session {
    client: Client,
    end: tokio::task::JoinHandle<String>,
}

impl Session {
    async fn works(&self) {
        self.client.simple_query("SELECT 1").await.expect("it goes on");
    }

    /// Its last words, and how long after a moment they came.
    async fn ends(self, since: Instant) -> (String, Duration) {
        let words = tokio::time::timeout(Duration::from_secs(30), self.end).await.expect("it ends").unwrap();
        (words, since.elapsed())
    }
}

fn words(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |e| format!("{} {}", e.code().code(), e.message()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_says_nothing_opens_what_its_issuer_says_of_it() {
    let issuer = Issuer::start(&rig::npm(), CLIENTS).unwrap();
    let mut house = house(SECRET);
    let asked = || issuer.control("count").unwrap().at("introspection").and_then(Json::number).unwrap();
    let token = issuer.token_for("coder", "one", OPAQUE).unwrap();
    house.apply(&issuer.url(), "every = \"1s\"", &[]);
    assert_eq!(
        house.refused(&token).await,
        "28P01 the token is not valid",
        "they are not taken by themselves"
    );
    assert_eq!(asked(), 0.0);
    house.apply(&issuer.url(), "every = \"1m\", opaque = true", &[]);
    house.open(&token).await.unwrap().works().await;
    let exchanged = house.exchanged(&token);
    house.open(&exchanged).await.expect("exchanged");
    assert!(house.gateway.records().unwrap().contains(r#""principal":"agent:company/coder""#));
    // Its neighbours: of nobody who may, for somebody else, changed, made up; and what no issuer is asked about.
    let guest = issuer.token_for("guest", "three", OPAQUE).unwrap();
    assert!(house.refused(&guest).await.starts_with("42501"), "a guest is known and may nothing");
    let elsewhere = issuer.token_for("coder", "one", "urn:opaque:elsewhere").unwrap();
    let made_up = "x".repeat(token.len());
    for wrong in [&elsewhere, &format!("{token}x"), &made_up] {
        assert_eq!(house.refused(wrong).await, "28P01 the token is not valid", "{wrong}");
    }
    let before = asked();
    for wrong in ["hunter2", "correct horse battery staple", SECRET] {
        assert_eq!(house.refused(wrong).await, "28P01 the token is not valid", "{wrong}");
    }
    assert_eq!(asked(), before, "nobody's password is shown to an issuer");
    for reason in ["jwt_inactive", "jwt_audience", "jwt_malformed"] {
        assert!(house.gateway.records().unwrap().contains(reason), "{reason}");
    }
    let mut scan = Scan::new("introspection");
    scan.secret("client secret", SECRET);
    scan.secret("exchanged token", exchanged);
    for token in [token, guest, elsewhere] {
        scan.secret("opaque token of an issuer", token);
    }
    scan.gateway(&mut house.gateway);
    assert!(scan.finds("log", "DEBUG"));
    scan.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_issuer_takes_back_ends_and_what_was_exchanged_for_it() {
    let issuer = Issuer::start(&rig::npm(), CLIENTS).unwrap();
    let house = house(SECRET);
    house.apply(&issuer.url(), "every = \"1s\", opaque = true", &[]);
    let token = issuer.token_for("coder", "one", OPAQUE).unwrap();
    let other = issuer.token_for("other", "two", OPAQUE).unwrap();
    let exchanged = house.exchanged(&token);
    let (first, second) = (house.open(&token).await.unwrap(), house.open(&exchanged).await.unwrap());
    let neighbour = house.open(&other).await.unwrap();
    // They are asked about, and nothing ends by it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for goes_on in [&first, &second, &neighbour] {
        goes_on.works().await;
    }
    let since = Instant::now();
    issuer.revoke("coder", "one", &token).unwrap();
    for session in [first, second] {
        let (words, took) = session.ends(since).await;
        assert!(words.starts_with("28000") && words.contains("not active any more at company"), "{words}");
        assert!(took < Duration::from_secs(4), "{took:?} where it is asked each second");
    }
    neighbour.works().await;
    assert_eq!(house.refused(&token).await, "28P01 the token is not valid");
    assert!(house.refused(&exchanged).await.contains("not active any more at company"));
    house.open(&other).await.expect("the neighbour");
    assert!(house.gateway.records().unwrap().contains(r#""who":"issuer:company","what":"access revoked""#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_issuer_cannot_be_asked_nobody_comes_in_and_who_is_in_stays_for_a_while() {
    let issuer = Issuer::start(&rig::npm(), CLIENTS).unwrap();
    let house = house(SECRET);
    house.apply(&issuer.url(), "every = \"1s\", grace = \"5s\", opaque = true", &[]);
    let token = issuer.token_for("coder", "one", OPAQUE).unwrap();
    let session = house.open(&token).await.unwrap();
    let since = Instant::now();
    issuer.control("deaf").unwrap();
    let told = house.refused(&token).await;
    assert!(told.starts_with(UNASKED), "it fails closed: {told}");
    let bearer = format!("Bearer {token}");
    let by_mcp = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let ping = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let told = http::request(house.agents, "POST", "/mcp", &by_mcp, ping).unwrap();
    assert!(told.status == 503 && told.body.contains("Keep the token"), "{} {}", told.status, told.body);
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", token.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", DATABASE),
    ];
    let answer = http::post_form(house.agents, "/token", &form, &[]).unwrap();
    assert!(
        answer.status == 503 && answer.body.contains("keep the token"),
        "{} {}",
        answer.status,
        answer.body
    );
    assert!(house.gateway.records().unwrap().contains("jwt_unasked"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    session.works().await;
    // An outage that is over before the time is: nothing has happened.
    issuer.control("hear").unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    session.works().await;
    assert!(since.elapsed() > Duration::from_secs(7));
    house.open(&token).await.expect("it comes in again");
    // One that is not.
    let since = Instant::now();
    issuer.control("deaf").unwrap();
    let (words, took) = session.ends(since).await;
    assert!(words.starts_with("28000") && words.contains("cannot be asked whether the token"), "{words}");
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(9), "{took:?}");
}

/// Without any secret that both know: the gateway signs with a key that it alone has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_asks_by_a_key_of_its_own_and_says_how_its_issuer_answers() {
    for key in [Signer::p256("k1").unwrap(), Signer::rsa("k1").unwrap()] {
        let clients = format!(
            r#"{{"algorithm":"ES256","clients":{{
                "gate":{{"metadata":{{"token_endpoint_auth_method":"private_key_jwt",
                    "token_endpoint_auth_signing_alg":"{}","jwks":{}}}}},
                "coder":{{"secret":"one","groups":["dba"]}}}}}}"#,
            key.algorithm(),
            jwt::jwks(&[&key])
        );
        let issuer = Issuer::start(&rig::npm(), &clients).unwrap();
        let mut house = house(key.pem().unwrap().trim_end());
        let admin = house.gateway.admin_port();
        let page = |path: &str| http::request(admin, "GET", path, &[], b"").unwrap().body;
        let how = "auth = \"private_key_jwt\", key_id = \"k1\", every = \"1s\", opaque = true";
        house.apply(&issuer.url(), how, &[]);
        assert!(page("/readyz").contains(r#""introspection":{"company":"unused"}"#), "{}", page("/readyz"));
        let token = issuer.token_for("coder", "one", OPAQUE).unwrap();
        let session = house.open(&token).await.unwrap();
        assert!(
            page("/readyz").contains(r#""introspection":{"company":"reachable"}"#),
            "{}",
            page("/readyz")
        );
        assert_eq!(house.refused(&format!("{token}x")).await, "28P01 the token is not valid");
        for line in [
            r#"durward_introspections_total{issuer="company",answer="yes"}"#,
            r#"durward_introspections_total{issuer="company",answer="no"} 1"#,
            r#"durward_introspection_reachable{issuer="company"} 1"#,
        ] {
            assert!(page("/metrics").contains(line), "{line}: {}", page("/metrics"));
        }
        issuer.revoke("coder", "one", &token).unwrap();
        assert!(session.ends(Instant::now()).await.0.contains("not active any more"));
        // Another's key is nobody's.
        let other = Signer::p256("k1").unwrap();
        let mut scan = Scan::new("introspection by a key");
        for key in [&key, &other] {
            scan.secret("private key", key.pem().unwrap().lines().nth(1).unwrap());
        }
        scan.secret("opaque token of an issuer", &token);
        std::fs::write(house.secret.join("secret"), other.pem().unwrap()).unwrap();
        house.gateway.reload().unwrap();
        let token = issuer.token_for("coder", "one", OPAQUE).unwrap();
        let begun = Instant::now();
        while house.open(&token).await.is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the new key is read");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let page = page("/metrics");
        assert!(page.contains(r#"durward_introspection_reachable{issuer="company"} 0"#), "{page}");
        assert!(house.gateway.log().contains("it cannot be asked about tokens"));
        scan.secret("opaque token of an issuer", &token);
        scan.gateway(&mut house.gateway);
        scan.check();
    }
}

/// What was exchanged for a token ends with it although the gateway that exchanged it was started anew meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_exchanged_ends_with_its_token_also_over_a_restart() {
    let issuer = Issuer::start(&rig::npm(), CLIENTS).unwrap();
    let mut house = house(SECRET);
    house.apply(&issuer.url(), "every = \"1s\", opaque = true", &[]);
    let token = issuer.token_for("coder", "one", OPAQUE).unwrap();
    let other = issuer.token_for("other", "two", OPAQUE).unwrap();
    let (exchanged, neighbour) = (house.exchanged(&token), house.exchanged(&other));
    tokio::task::block_in_place(|| house.gateway.restart()).unwrap();
    let sessions = [house.open(&exchanged).await.unwrap(), house.open(&neighbour).await.unwrap()];
    tokio::time::sleep(Duration::from_secs(3)).await;
    for session in &sessions {
        session.works().await;
    }
    let [session, goes_on] = sessions;
    let since = Instant::now();
    issuer.revoke("coder", "one", &token).unwrap();
    let (words, took) = session.ends(since).await;
    assert!(words.contains("not active any more at company"), "{words}");
    assert!(took < Duration::from_secs(4), "{took:?} where it is asked each second");
    assert!(house.refused(&exchanged).await.contains("not active any more at company"));
    goes_on.works().await;
    // One that nobody used while it was taken back ends as soon as somebody does.
    let again = issuer.token_for("other", "two", OPAQUE).unwrap();
    let unused = house.exchanged(&again);
    issuer.revoke("other", "two", &again).unwrap();
    tokio::task::block_in_place(|| house.gateway.restart()).unwrap();
    let since = Instant::now();
    let ended = match house.open(&unused).await {
        Ok(session) => session.ends(since).await.0,
        Err(words) => words,
    };
    assert!(ended.contains("not active any more at company"), "{ended}");
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    // The tokens themselves lie nowhere in clear.
    let state = house.gateway.data();
    for file in std::fs::read_dir(state).unwrap().flatten().filter(|f| f.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        for secret in [&token, &other, &again] {
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{}", file.path().display());
        }
    }
}

/// An issuer that answers with what it is told to.
fn answers() -> (u16, Arc<Mutex<(u16, String)>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(Mutex::new((200, String::new())));
    let told = Arc::clone(&answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, told) = (stream.unwrap(), Arc::clone(&told));
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = n.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            let (status, text) = told.lock().unwrap().clone();
            let head =
                format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", text.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes()));
        }
    });
    (port, answer)
}

/// Of signed tokens the real issuer of these tests says nothing, so that its answers are made here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_token_needs_its_issuers_yes_as_well() {
    let (port, answer) = answers();
    let (house, key) = (house("one"), Signer::p256("k").unwrap());
    let how = format!("endpoint = \"http://127.0.0.1:{port}/ask\", every = \"1s\"");
    house.apply("https://login.example.com", &how, &[("keys.json", &jwt::jwks(&[&key]))]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(
        r#"{{"iss":"https://login.example.com","aud":"durward","sub":"s","client_id":"coder","groups":["dba"],"iat":{now},"exp":{}}}"#,
        now + 600
    );
    let token = key.sign(&claims).unwrap();
    let say = |status: u16, text: &str| *answer.lock().unwrap() = (status, text.to_owned());
    for (status, text) in [(200, r#"{"active":false}"#), (200, r#"{"active":true,"sub":"somebody else"}"#)] {
        say(status, text);
        assert_eq!(house.refused(&token).await, "28P01 the token is not valid", "{status} {text}");
    }
    // What makes no sense is no word against the token, and lets nobody in either.
    for (status, text) in [
        (200, r#"{"active":"true"}"#),
        (200, r#"{"active":false,"active":true}"#),
        (200, "{}"),
        (200, "yes"),
        (302, r#"{"active":true}"#),
        (401, r#"{"active":true}"#),
        (500, r#"{"active":true}"#),
    ] {
        say(status, text);
        let told = house.refused(&token).await;
        assert!(told.starts_with(UNASKED), "{status} {text}: {told}");
    }
    say(200, r#"{"active":true,"sub":"s","scope":"x"}"#);
    let session = house.open(&token).await.unwrap();
    let forged = Signer::p256("k").unwrap().sign(&claims).unwrap();
    assert_eq!(house.refused(&forged).await, "28P01 the token is not valid", "a yes mends no signature");
    tokio::time::sleep(Duration::from_secs(2)).await;
    session.works().await;
    let since = Instant::now();
    say(200, r#"{"active":false}"#);
    let (words, took) = session.ends(since).await;
    assert!(words.contains("not active any more at company"), "{words}");
    assert!(took < Duration::from_secs(4), "{took:?}");
}

/// Nobody is asked about an identity token, so that it is taken for what its client has just been given, and for nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_issuer_takes_back_signs_nobody_in_either() {
    let (port, answer) = answers();
    let (house, key) = (house("one"), Signer::p256("k").unwrap());
    let issuer = format!(
        "[[issuers]]\nname = \"company\"\nissuer = \"https://login.example.com\"\naudience = [\"durward\", \"cli\"]\n\
         jwks_file = \"keys.json\"\nlogin_client = \"cli\"\nintrospection = {{ client_id = \"gate\", credential = \"company\", \
         endpoint = \"http://127.0.0.1:{port}/ask\" }}\n[[issuers.principals]]\nkind = \"user\"\nname = \"sub\"\n\
         groups = [\"groups\"]\n"
    );
    let files = [("issuers.toml", issuer.as_str()), ("keys.json", &jwt::jwks(&[&key]))];
    let target = Target::new(DATABASE, house.server.port(), DATABASE);
    house.gateway.apply_with(&[target], &[("test", POLICY)], &files).unwrap();
    *answer.lock().unwrap() = (200, r#"{"active":false}"#.to_owned());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let token = |audience: &str, more: &str, issued: u64| {
        let claims = format!(
            r#"{{"iss":"https://login.example.com","aud":"{audience}","sub":"alice","groups":["dba"],{more}"iat":{issued},"exp":{}}}"#,
            now + 600
        );
        key.sign(&claims).unwrap()
    };
    let signed_in = |token: &str| {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            ("requested_token_type", "urn:durward:token-type:sign-in"),
        ];
        http::post_form(house.agents, "/token", &form, &[]).unwrap()
    };
    let nonce = r#""nonce":"n","#;
    for (what, token) in [
        ("for the gateway", token("durward", nonce, now)),
        ("for access", token("cli", r#""nonce":"n","scope":"openid","#, now)),
        ("answers no question", token("cli", "", now)),
        ("of yesterday", token("cli", nonce, now - 3600)),
    ] {
        assert_eq!(signed_in(&token).status, 400, "{what}");
        assert_eq!(house.refused(&token).await, "28P01 the token is not valid", "{what}");
    }
    let identity = token("cli", nonce, now);
    let answer = signed_in(&identity);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let kept = Json::parse(&answer.body).unwrap().at("access_token").and_then(Json::text).unwrap().to_owned();
    house.open(&kept).await.unwrap().works().await;
    assert_eq!(signed_in(&identity).status, 400, "once");
    assert!(house.gateway.records().unwrap().contains("exchange: jwt_replayed"));
}
