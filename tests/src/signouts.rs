//! An issuer says who signed out (OpenID Connect Back-Channel Logout 1.0). Its word is made here, with keys of our own: the
//! real issuer of the other tests was not seen to send it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testkit::durward::{Durward, Target};
use testkit::http;
use testkit::jwt::{self, Signer};
use testkit::postgres::Postgres;
use testkit::process::free_port;

use crate::rig::{self, DATABASE, Way};

const ISSUER: &str = "https://login.example.com";
const EVENT: &str = r#""events":{"http://schemas.openid.net/event/backchannel-logout":{}}"#;
const POLICY: &str = "@id(\"people\") permit (principal is User, action, resource);\n";

struct House {
    // In this order: the gateway ends before the server that it leads to.
    gateway: Durward,
    _server: Postgres,
    agents: u16,
    key: Signer,
}

fn house() -> House {
    let (server, agents) = (rig::server(&[]), free_port().unwrap());
    let settings = format!("\n[agents]\nlisten = \"127.0.0.1:{agents}\"\n");
    let gateway = Durward::start_with(&rig::binary(), &settings).unwrap();
    let key = Signer::p256("k").unwrap();
    let issuers = format!(
        "[[issuers]]\nname = \"company\"\nissuer = \"{ISSUER}\"\naudience = \"durward\"\njwks_file = \"keys.json\"\n\
         [[issuers.principals]]\nkind = \"user\"\nname = \"sub\"\n"
    );
    let files = [("issuers.toml", issuers.as_str()), ("keys.json", &jwt::jwks(&[&key]))];
    let target = Target::new(DATABASE, server.port(), DATABASE);
    gateway.apply_with(&[target], &[("test", POLICY)], &files).unwrap();
    House { gateway, _server: server, agents, key }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl House {
    /// A token of somebody's sign-in.
    fn token(&self, who: &str, sign_in: &str, issued: u64) -> String {
        let claims = format!(
            r#"{{"iss":"{ISSUER}","aud":"durward","sub":"{who}","sid":"{sign_in}","iat":{issued},"exp":{}}}"#,
            issued + 600
        );
        self.key.sign(&claims).unwrap()
    }

    fn way(&self, token: &str) -> Way {
        Way { port: self.gateway.port(), password: token.to_owned() }
    }

    /// Whether one statement can be run with a token, and what is said.
    fn said(&self, token: &str) -> String {
        let way = self.way(token);
        way.said(way.command("psql").args(["-XqAt", "-c", "SELECT 1"]))
    }

    /// Changes the gateway's store behind its back.
    fn change_store(&self, sql: &str) {
        let program = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], timeout=20); d.execute(sys.argv[2]); d.commit()";
        let mut python = std::process::Command::new(rig::python());
        let store = self.gateway.data().join("state.db");
        testkit::process::text(python.args(["-c", program]).arg(store).arg(sql)).unwrap();
    }

    /// The status that the issuer gets for its word.
    fn tell(&self, signer: &Signer, claims: &str) -> u16 {
        let header =
            format!(r#"{{"alg":"{}","typ":"logout+jwt","kid":"{}"}}"#, signer.algorithm(), signer.id());
        let token = signer.sign_with(&header, claims).unwrap();
        http::post_form(self.agents, "/logout", &[("logout_token", &token)], &[]).unwrap().status
    }
}

fn word(id: &str, about: &str, more: &str) -> String {
    word_of(now(), id, about, more)
}

fn word_of(moment: u64, id: &str, about: &str, more: &str) -> String {
    format!(r#"{{"iss":"{ISSUER}","aud":"durward","iat":{moment},"jti":"{id}",{about}{more}}}"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signed_out_is_out_and_nobody_else() {
    let house = house();
    let (laptop, phone) = (house.token("alice", "laptop", now()), house.token("alice", "phone", now()));
    let bob = house.token("bob", "desk", now());
    let sleeps = house.way(&laptop).connect().await;
    let sleeper = tokio::spawn(async move { sleeps.query_one("SELECT pg_sleep(60)", &[]).await });
    let (on_phone, bobs) = (house.way(&phone).connect().await, house.way(&bob).connect().await);
    // Words that are none: another's key, an identity token's nonce, no event, nobody, another audience, an old one.
    let stranger = Signer::p256("k").unwrap();
    let about = r#""sid":"laptop","#;
    for (signer, claims) in [
        (&stranger, word("a", about, EVENT)),
        (&house.key, word("b", about, &format!(r#""nonce":"n",{EVENT}"#))),
        (&house.key, word("c", about, r#""events":{}"#)),
        (&house.key, word("d", "", EVENT)),
        (&house.key, word("e", about, EVENT).replace("durward", "others")),
        (&house.key, word("g", about, &format!(r#""exp":{},{EVENT}"#, now() - 100))),
        (&house.key, word("f", about, EVENT).replace(&now().to_string(), &(now() - 3600).to_string())),
    ] {
        assert_eq!(house.tell(signer, &claims), 400, "{claims}");
    }
    let access = http::post_form(house.agents, "/logout", &[("logout_token", &phone)], &[]).unwrap();
    assert_eq!(access.status, 400, "a token that opens sessions ends none");
    assert!(!sleeper.is_finished());

    let said = word("once", about, &format!(r#""exp":{},{EVENT}"#, now() + 100));
    assert_eq!(house.tell(&house.key, &said), 200);
    let ended = tokio::time::timeout(Duration::from_secs(20), sleeper).await.unwrap().unwrap().unwrap_err();
    let words = ended.as_db_error().map(ToString::to_string).unwrap_or_default();
    assert!(words.contains("signed out at company"), "{ended}: {words}");
    assert_eq!(house.tell(&house.key, &said), 400, "once");
    let refused = house.said(&laptop);
    assert!(refused.contains("signed out at company"), "{refused}");
    // The other sign-in of hers, and others, notice nothing.
    for (client, token) in [(&on_phone, &phone), (&bobs, &bob)] {
        client.batch_execute("SELECT 1").await.unwrap();
        assert!(house.said(token).starts_with("1\n"));
    }
    // A word of both ends that sign-in and what does not say of which it is, and nothing else.
    let unbound = |token: String| house.key.sign(&token).unwrap();
    let claims = format!(
        r#"{{"iss":"{ISSUER}","aud":"durward","sub":"alice","iat":{},"exp":{}}}"#,
        now() - 5,
        now() + 600
    );
    let (access, tablet) = (unbound(claims), house.token("alice", "tablet", now()));
    assert!(house.said(&access).starts_with("1\n") && house.said(&tablet).starts_with("1\n"));
    assert_eq!(house.tell(&house.key, &word("both", r#""sub":"alice","sid":"tablet","#, EVENT)), 200);
    for token in [&access, &tablet] {
        assert!(house.said(token).contains("signed out at company"));
    }
    for token in [&phone, &bob] {
        assert!(house.said(token).starts_with("1\n"));
    }
    // Of everything of hers, where no sign-in is named; bob stays.
    assert_eq!(house.tell(&house.key, &word("all", r#""sub":"alice","#, EVENT)), 200);
    assert!(house.said(&phone).contains("signed out at company"));
    assert!(house.said(&bob).starts_with("1\n"));
}

#[test]
fn what_was_said_before_is_told_by_the_issuers_clock_alone() {
    let house = house();
    // Its clock is ahead of ours, then behind; both within what clocks may differ by.
    for (who, at) in [("alice", now() + 40), ("bob", now() - 40)] {
        let (before, after) = (house.token(who, "one", at), house.token(who, "two", at + 2));
        assert!(house.said(&before).starts_with("1\n"), "{who}");
        let said = word_of(at + 1, who, &format!(r#""sub":"{who}","#), EVENT);
        assert_eq!(house.tell(&house.key, &said), 200);
        let refused = house.said(&before);
        assert!(refused.contains("signed out at company") && refused.contains("Sign in again"), "{refused}");
        assert!(house.said(&after).starts_with("1\n"), "{who} signed in again: {}", house.said(&after));
    }
}

/// A sign-out that could not be kept is not lost: the issuer says it again and is heard.
#[test]
fn what_the_store_could_not_keep_is_taken_when_it_is_said_again() {
    let house = house();
    let token = house.token("alice", "laptop", now());
    assert!(house.said(&token).starts_with("1\n"));
    house.change_store(
        "CREATE TRIGGER fails BEFORE INSERT ON sign_out WHEN NEW.kind = 'unbound' BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    // The second of its two rows fails: neither is kept.
    let said = word("both", r#""sub":"alice","sid":"laptop","#, EVENT);
    assert_eq!(house.tell(&house.key, &said), 503);
    assert!(house.said(&token).starts_with("1\n"));
    house.change_store("DROP TRIGGER fails");
    assert_eq!(house.tell(&house.key, &said), 200);
    assert!(house.said(&token).contains("signed out at company"));
    assert_eq!(house.tell(&house.key, &said), 400, "once");
}

/// A signature by a curve has a twin: the same token with another text is revoked and exchanged as the same.
#[test]
fn what_is_revoked_is_the_token_and_not_its_signature() {
    let house = house();
    let token = house.token("alice", "laptop", now());
    let twin = jwt::twin(&token).unwrap();
    assert_ne!(token, twin);
    for token in [&token, &twin] {
        assert!(house.said(token).starts_with("1\n"), "both are as good");
    }
    let exchange = |token: &str| {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("audience", DATABASE),
        ];
        http::post_form(house.agents, "/token", &form, &[]).unwrap().status
    };
    assert_eq!((exchange(&token), exchange(&twin)), (200, 200));
    let records = house.gateway.records().unwrap();
    let issued = records.matches(r#""kind":"issued""#).count();
    let id = records.rsplit_once("\"from\":\"jwt_").unwrap().1.get(..24).unwrap();
    // As somebody types it.
    let id = format!("JWT_{}", id.to_uppercase());
    testkit::process::text(&mut house.gateway.command(&["revoke", "token", &id, "--reason", "leaked"]))
        .unwrap();
    for token in [&token, &twin] {
        assert!(house.said(token).contains("leaked"), "{}", house.said(token));
        assert_eq!(exchange(token), 400, "nothing is made of it");
    }
    assert_eq!(house.gateway.records().unwrap().matches(r#""kind":"issued""#).count(), issued);
    // Slips are told: whoever meant somebody would believe them shut out.
    for (what, name) in [("token", "jwt_0123"), ("issuer", "compny")] {
        let refused = house.gateway.command(&["revoke", what, name, "--reason", "x"]).output().unwrap();
        assert!(!refused.status.success(), "{what} {name}");
    }
    let bob = house.token("bob", "desk", now());
    testkit::process::text(&mut house.gateway.command(&["revoke", "issuer", "Company", "--reason", "left"]))
        .unwrap();
    assert!(house.said(&bob).contains("left"));
}

/// Of a revocation that was stored and then only half read every session ends all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_was_half_read_ends_its_sessions_when_the_store_is_well() {
    let house = house();
    let client = house.way(&house.token("alice", "laptop", now())).connect().await;
    let sleeper = tokio::spawn(async move { client.query_one("SELECT pg_sleep(60)", &[]).await });
    house.change_store("ALTER TABLE sign_out RENAME TO away");
    let revoke = ["revoke", "principal", "user:company/alice", "--reason", "stolen"];
    assert!(!house.gateway.command(&revoke).output().unwrap().status.success());
    house.change_store("ALTER TABLE away RENAME TO sign_out");
    let ended = tokio::time::timeout(Duration::from_secs(10), sleeper).await.unwrap().unwrap().unwrap_err();
    assert!(ended.as_db_error().is_some_and(|e| e.message().contains("stolen")), "{ended}");
}
