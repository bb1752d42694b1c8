//! The agents' port: one token for another, for one target, for a while; chains of who acts for whom, as the target sees them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use testkit::Scratch;
use testkit::certificates::Certificates;
use testkit::durward::{Durward, Target};
use testkit::http::{self, Answer};
use testkit::issuer::Issuer;
use testkit::json::Json;
use testkit::jwt::{self, Signer};
use testkit::postgres::{Postgres, SUPERUSER};
use testkit::process::free_port;

use crate::rig::{self, DATABASE};
use crate::scan::Scan;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// An issuer whose tokens say what a test wants.
const KEYED: &str = "https://keyed.example.com";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Agents may do everything on one target, those who act for alice on the other as well; nobody inherits what alice may.
const POLICY: &str = r#"
@id("sample") permit (principal is Agent, action, resource) when { resource in Target::"sample" };
@id("for-alice") permit (principal is Agent, action, resource == Target::"second")
when { context.chain.users.contains("company/alice") && context.chain.path == "user:company/alice > agent:company/coder" };
@id("people") permit (principal in Group::"company/dba", action, resource);
"#;

const CLIENTS: &str = r#"{"algorithm":"ES256","life":600,"clients":{
    "coder":{"secret":"one","groups":["bots"]},"tester":{"secret":"two"},"alice":{"secret":"three","groups":["dba"]}}}"#;

struct House {
    // In this order: the gateway ends before the server that it leads to.
    gateway: Durward,
    server: Postgres,
    issuer: Issuer,
    port: u16,
    key: Signer,
}

fn house(policy: &str) -> House {
    let issuer = Issuer::start(&rig::npm(), CLIENTS).unwrap();
    let server = rig::server(&[]);
    let port = free_port().unwrap();
    let settings = format!(
        "\n[log]\nlevel = \"trace\"\n[agents]\nlisten = \"127.0.0.1:{port}\"\nurls = [\"https://gate.example.com/\"]"
    );
    let gateway = Durward::start_with(&rig::binary(), &settings).unwrap();
    let key = Signer::p256("own").unwrap();
    let issuers = format!(
        "[[issuers]]\nname = \"keyed\"\nissuer = \"{KEYED}\"\naudience = \"durward\"\njwks_file = \"keys.json\"\n\
         [[issuers.principals]]\nwhen = 'has(person)'\nkind = \"user\"\nname = \"sub\"\n\
         [[issuers.principals]]\nkind = \"agent\"\nname = \"sub\"\n\
         [[issuers]]\nname = \"company\"\nissuer = \"{}\"\naudience = \"durward\"\nexchange_life = \"2h\"\n\
         [[issuers.principals]]\nwhen = 'client_id == \"alice\"'\nkind = \"user\"\nname = \"client_id\"\ngroups = [\"groups\"]\n\
         [[issuers.principals]]\nkind = \"agent\"\nname = \"client_id\"\ngroups = [\"groups\"]\n\n\
         [[clients]]\nname = \"reporter\"\njwks_file = \"keys.json\"\ngroups = [\"reports\"]\nexchange_life = \"10m\"\n",
        issuer.url()
    );
    let target = |name: &str| Target::new(name, server.port(), DATABASE);
    let files = [("issuers.toml", issuers.as_str()), ("keys.json", &jwt::jwks(&[&key]))];
    gateway.apply_with(&[target("sample"), target("second")], &[("test", policy)], &files).unwrap();
    House { gateway, server, issuer, port, key }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl House {
    fn ask(&self, form: &[(&str, &str)]) -> Answer {
        http::post_form(self.port, "/token", form, &[]).unwrap()
    }

    /// The token in an answer.
    #[track_caller]
    fn token(&self, form: &[(&str, &str)]) -> String {
        let answer = self.ask(form);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(
            answer.headers.to_ascii_lowercase().contains("cache-control: no-store"),
            "{}",
            answer.headers
        );
        Json::parse(&answer.body).unwrap().at("access_token").and_then(Json::text).unwrap().to_owned()
    }

    fn exchanged(&self, client: &str, secret: &str, target: &str, more: &[(&str, &str)]) -> String {
        let subject = self.issuer.token(client, secret).unwrap();
        let mut form =
            vec![("grant_type", EXCHANGE), ("subject_token", &subject), ("subject_token_type", JWT)];
        form.push(("audience", target));
        form.extend(more);
        self.token(&form)
    }

    fn assertion(&self, jti: &str, changes: &[(&str, String)]) -> String {
        let mut claims = vec![
            ("iss", "\"reporter\"".to_owned()),
            ("sub", "\"reporter\"".to_owned()),
            ("aud", format!("\"http://127.0.0.1:{}/token\"", self.port)),
            ("exp", (now() + 60).to_string()),
            ("jti", format!("\"{jti}\"")),
        ];
        for (name, value) in changes {
            claims.retain(|(n, _)| n != name);
            claims.push((name, value.clone()));
        }
        let members: Vec<String> = claims.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
        self.key.sign(&format!("{{{}}}", members.join(","))).unwrap()
    }

    fn config(&self, target: &str, password: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.gateway.port()).user(SUPERUSER).dbname(target).password(password);
        config
    }

    async fn connect(&self, target: &str, password: &str) -> tokio_postgres::Client {
        let (client, connection) =
            self.config(target, password).connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    async fn refusal(&self, target: &str, password: &str) -> String {
        said(self.config(target, password).connect(tokio_postgres::NoTls).await.err().expect("a refusal"))
    }
}

fn said(error: tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |e| format!("{} {}", e.code().code(), e.message()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_token_is_exchanged_for_another_that_opens_one_target() {
    let house = house(POLICY);
    let token =
        house.exchanged("coder", "one", "sample", &[("scope", "monthly report"), ("lifetime", "600")]);
    assert!(token.starts_with("dwt_") && token.len() == 4 + 12 + 1 + 48 + 8, "{token}");
    let client = house.connect("sample", &token).await;
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    // The same by SCRAM, under the token's name.
    let id = token.rsplit_once('_').unwrap().0;
    let mut config = house.config("sample", &token);
    let (_client, _connection) = config.user(id).connect(tokio_postgres::NoTls).await.unwrap();
    // Stolen: for no other target, for nobody who administers, and changed in no sign.
    assert!(house.refusal("second", &token).await.starts_with("42501"));
    let bearer = format!("Bearer {token}");
    for path in ["/api/v1/tokens", "/api/v1/requests", "/api/v1/sessions", "/api/v1/configuration"] {
        let answer =
            http::request(house.gateway.admin_port(), "GET", path, &[("Authorization", &bearer)], b"")
                .unwrap();
        assert_eq!(answer.status, 401, "{path}");
    }
    let (most, last) = token.split_at(token.len() - 1);
    let other = format!("{most}{}", if last == "0" { "1" } else { "0" });
    assert!(house.refusal("sample", &other).await.starts_with("28P01"));
    // Exchanged once more it is not more than it was.
    let again = |target: &'static str| {
        house.ask(&[
            ("grant_type", EXCHANGE),
            ("subject_token", &token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", target),
            ("lifetime", "86400"),
        ])
    };
    assert!(again("second").body.contains("invalid_target"));
    let second = Json::parse(&again("sample").body).unwrap();
    assert!(second.at("expires_in").and_then(Json::number).unwrap() <= 600.0, "{second:?}");
    // Revoked, it is nothing at once, and its session ends.
    house.gateway.command(&["token", "revoke", id]).status().unwrap();
    let begun = Instant::now();
    while !client.is_closed() {
        assert!(begun.elapsed() < Duration::from_secs(1), "the session lives on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(house.refusal("sample", &token).await.starts_with("28P01"));
    let journal = house.gateway.records().unwrap();
    for words in
        [r#""kind":"issued""#, r#""purpose":"monthly report""#, r#""from":"jwt_"#, r#""targets":["sample"]"#]
    {
        assert!(journal.contains(words), "{words} is not in the journal");
    }
    assert!(!journal.contains(&token) && !house.gateway.log().contains(&token));
    let short = house.exchanged("coder", "one", "sample", &[("lifetime", "2")]);
    house.connect("sample", &short).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(house.refusal("sample", &short).await.starts_with("28P01"), "its time is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_for_a_person_has_its_own_rights_and_the_target_sees_both() {
    let mut house = house(POLICY);
    let actor = house.issuer.token("coder", "one").unwrap();
    let acting = [("actor_token", actor.as_str()), ("actor_token_type", JWT)];
    let token = house.exchanged("alice", "three", "second", &acting);
    // Alice may do everything by her group; her agent may connect here since policy names the chain, and no more.
    let client = house.connect("second", &token).await;
    let refused = client.query("SELECT count(*) FROM people", &[]).await.err().map(said);
    assert!(
        refused.is_some_and(|why| why.starts_with("42501")),
        "an agent inherits nothing of whom it acts for"
    );
    let token = house.exchanged("alice", "three", "sample", &acting);
    let client = house.connect("sample", &token).await;
    let show = async |name: &str| {
        client.query_one(&format!("SHOW durward.{name}"), &[]).await.unwrap().get::<_, String>(0)
    };
    assert_eq!(show("principal").await, "agent:company/coder");
    assert_eq!(show("chain").await, "user:company/alice > agent:company/coder");
    assert!(show("session").await.starts_with('s'));
    let journal = house.gateway.records().unwrap();
    assert!(journal.contains(
        r#""principal":"agent:company/coder","groups":["company/bots"],"on_behalf_of":["user:company/alice"]"#
    ));
    // A sub-agent of the agent, with the agent's own token: three in the chain. In a circle: none.
    let tester = house.issuer.token("tester", "two").unwrap();
    let form = |actor: &str| {
        house.ask(&[
            ("grant_type", EXCHANGE),
            ("subject_token", &token),
            ("subject_token_type", JWT),
            ("actor_token", actor),
            ("actor_token_type", JWT),
            ("audience", "sample"),
        ])
    };
    let three = Json::parse(&form(&tester).body).unwrap();
    let client = house.connect("sample", three.at("access_token").and_then(Json::text).unwrap()).await;
    let chain = client.query_one("SHOW durward.chain", &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(chain, "user:company/alice > agent:company/coder > agent:company/tester");
    let alice = house.issuer.token("alice", "three").unwrap();
    for (actor, what) in [(&actor, "twice the same"), (&alice, "a person acts for nobody")] {
        let answer = form(actor);
        assert!(answer.status == 400 && answer.body.contains("may not act"), "{what}: {}", answer.body);
    }
    let mut scan = Scan::new("agents");
    for jwt in [&actor, &tester, &alice] {
        scan.secret("JWT of an issuer", jwt);
    }
    scan.secret("exchanged token", &token);
    scan.secret("exchanged token", three.at("access_token").and_then(Json::text).unwrap());
    let assertion = house.assertion("looked for", &[]);
    let wrong = house.assertion("looked for", &[("aud", "\"https://other.example.com\"".to_owned())]);
    for (assertion, target) in [(&assertion, "sample"), (&assertion, "sample"), (&wrong, "sample")] {
        let answer = house.ask(&[
            ("grant_type", "client_credentials"),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
            ("audience", target),
        ]);
        scan.wrote("what an assertion was answered", answer.body);
        scan.secret("assertion by a private key", assertion);
    }
    scan.gateway(&mut house.gateway);
    assert!(scan.finds("log", "DEBUG") && scan.finds("jsonl", "agent:company/coder"));
    scan.check();
}

/// What an issuer says of who may act (`may_act`) holds of everything that is made of its token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_alone_may_act_is_not_shaken_off_by_an_exchange() {
    let house = house(POLICY);
    let keyed = |who: &str, more: &str| {
        let now = now();
        let claims = format!(
            r#"{{"iss":"{KEYED}","aud":"durward","sub":"{who}","iat":{now},"exp":{}{more}}}"#,
            now + 600
        );
        house.key.sign(&claims).unwrap()
    };
    let ask = |subject: &str, more: &[(&str, &str)]| {
        let form = [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", JWT)];
        let answer = house.ask(&[&form[..], more].concat());
        let token =
            Json::parse(&answer.body).unwrap().at("access_token").and_then(Json::text).map(str::to_owned);
        token.ok_or(answer.body)
    };
    let by = |actor: &str| keyed(actor, "");
    let acting = |subject: &str, actor: &str| {
        ask(subject, &[("actor_token", actor), ("actor_token_type", JWT), ("audience", "sample")])
    };
    let run = |subject: &str| ask(subject, &[("agent", "laptop"), ("audience", "sample")]);
    let bound = keyed("ann", r#","person":true,"may_act":{"sub":"helper"}"#);
    let free = keyed("bea", r#","person":true"#);
    let kept = |subject: &str| ask(subject, &[("agent", "laptop")]);
    // The neighbour's token says nothing: whoever may act at all acts.
    assert!(acting(&free, &by("other")).is_ok() && run(&free).is_ok() && kept(&free).is_ok());
    let chained = keyed("ann", r#","act":{"sub":"first"},"may_act":{"sub":"helper"}"#);
    // As it is; and what was made of it for an agent that acts already.
    let made = acting(&chained, &by("helper")).expect("who may act acts");
    assert!(acting(&made, &by("other")).is_ok(), "of whoever acts for the helper nothing is said");
    let alone = ask(&chained, &[("audience", "sample")]).expect("a token of the same");
    for subject in [&bound, &chained, &alone] {
        assert!(acting(subject, &by("helper")).is_ok(), "who may act acts");
        for actor in [by("other"), keyed("helper", r#","act":{"sub":"other"}"#)] {
            let refused = acting(subject, &actor).expect_err("somebody else does not");
            assert!(refused.contains("may not act"), "{refused}");
        }
        let refused = run(subject).expect_err("nor by a name that the subject gives");
        assert!(refused.contains("may_act") || refused.contains("run by people"), "{refused}");
    }
    let refused = kept(&bound).expect_err("nor for later");
    assert!(refused.contains("may_act"), "{refused}");
}

/// Of an exchange with two tokens, either that is taken back takes along what was made of both, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_exchanged_ends_with_the_token_of_who_acts_too() {
    let house = house(POLICY);
    let issued = |principal: &str| {
        let mut command = house.gateway.command(&["token", "issue", "--json", principal]);
        let said = Json::parse(&testkit::process::text(&mut command).unwrap()).unwrap();
        said.at("token").and_then(Json::text).unwrap().to_owned()
    };
    let acting = |subject: &str, actor: &str| {
        house.token(&[
            ("grant_type", EXCHANGE),
            ("subject_token", subject),
            ("subject_token_type", JWT),
            ("actor_token", actor),
            ("actor_token_type", JWT),
            ("audience", "sample"),
        ])
    };
    // Who is not let in hears nothing of a request that is not there.
    let at_the_port = |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        http::request(house.port, "GET", "/access/dwq_0", &headers, b"").unwrap().status
    };
    let id = |token: &str| token.rsplit_once('_').unwrap().0.to_owned();
    let by_issuer = house.issuer.token("coder", "one").unwrap();
    let (subject, actor, bystander) = (issued("user:dora"), issued("agent:helper"), issued("agent:other"));
    let denies = ["revoke", "token", "--reason", "it leaked"];
    for (with, by) in
        [(&actor, &["token", "revoke"][..]), (&by_issuer, &denies), (&subject, &["token", "revoke"])]
    {
        // Where it is the subject's that is taken back, somebody acts whose token stays.
        let made = acting(&subject, if with == &subject { &bystander } else { with });
        // An issuer's token is called by digits of its digest, which the record of the exchange has.
        let journal = house.gateway.records().unwrap();
        let issuers = || journal.rsplit_once("\"from\":\"jwt_").unwrap().1.split(' ').next().unwrap();
        let revoked = if with == &by_issuer { format!("jwt_{}", issuers()) } else { id(with) };
        // And once more, further down: a token of a token.
        let further = house.token(&[
            ("grant_type", EXCHANGE),
            ("subject_token", &made),
            ("subject_token_type", JWT),
            ("audience", "sample"),
        ]);
        let neighbour = acting(&issued("user:emil"), &bystander);
        let (mine, below) = (house.connect("sample", &made).await, house.connect("sample", &further).await);
        let beside = house.connect("sample", &neighbour).await;
        let begun = Instant::now();
        assert!(house.gateway.command(&[by, &[&revoked]].concat()).status().unwrap().success(), "{revoked}");
        let told = Instant::now();
        while !(mine.is_closed() && below.is_closed()) {
            assert!(told.elapsed() < Duration::from_secs(1), "{revoked}: {:?}", begun.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        beside.simple_query("SELECT 1").await.expect("the neighbour goes on");
        for token in [&made, &further] {
            let refused = house.refusal("sample", token).await;
            assert!(refused.starts_with("28"), "{revoked}: {refused}");
            // Nor does it anything at the agents' port, nor is anything made of it.
            assert_eq!(at_the_port(token), 401, "{revoked}");
            let form = [
                ("grant_type", EXCHANGE),
                ("subject_token", token),
                ("subject_token_type", JWT),
                ("audience", "sample"),
            ];
            assert_eq!(house.ask(&form).status, 400, "{revoked}");
        }
        assert_ne!(at_the_port(&neighbour), 401, "the neighbour is let in");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_acts_is_nobodys_to_say_but_the_gateways() {
    // Whoever may do everything, and whoever may configure: neither may this.
    for policy in [rig::ALLOW_ALL, "@id(\"most\") permit (principal is Agent, action, resource);\n"] {
        let house = house(policy);
        let token = house.exchanged("coder", "one", "sample", &[]);
        let client = house.connect("sample", &token).await;
        for statement in [
            "SET durward.principal = 'agent:evil'",
            "SET LOCAL durward.principal = 'agent:evil'",
            "SET SESSION \"durward.principal\" = 'agent:evil'",
            "SET DURWARD.Chain TO DEFAULT",
            "SELECT set_config('durward.principal', 'agent:evil', false)",
            "SELECT pg_catalog.set_config('Durward.Principal', 'agent:evil', true)",
            "SET application_name = 'x'; SET durward.session = 's0'",
        ] {
            let refused = client.simple_query(statement).await.err().map(said).unwrap_or_default();
            assert!(refused.starts_with("42501"), "{statement}: {refused}");
        }
        for statement in
            ["RESET ALL", "DISCARD ALL", "RESET durward.principal", "SET application_name = 'honest'"]
        {
            let _ = client.simple_query(statement).await;
            let now = client.query_one("SHOW durward.principal", &[]).await.unwrap().get::<_, String>(0);
            assert_eq!(now, "agent:company/coder", "{statement}");
        }
        let options = "-c durward.principal=agent:evil";
        match house.config("sample", &token).options(options).connect(tokio_postgres::NoTls).await {
            Err(error) => assert!(said(error).starts_with("42501")),
            Ok((client, connection)) => {
                tokio::spawn(connection);
                let now = client.query_one("SHOW durward.principal", &[]).await.unwrap().get::<_, String>(0);
                assert_eq!(now, "agent:company/coder", "the gateway's own comes last");
            }
        }
        assert!(house.server.port() > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_without_an_issuer_proves_itself_with_a_key_of_its_own() {
    let house = house("@id(\"reports\") permit (principal in Group::\"reports\", action, resource);\n");
    let form = |assertion: &str| {
        house.ask(&[
            ("grant_type", "client_credentials"),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
            ("audience", "sample"),
        ])
    };
    let first = house.assertion("1", &[]);
    let answer = form(&first);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = Json::parse(&answer.body).unwrap();
    assert_eq!(answer.at("expires_in").and_then(Json::number), Some(600.0), "the client's own bound");
    let client = house.connect("sample", answer.at("access_token").and_then(Json::text).unwrap()).await;
    let who = client.query_one("SHOW durward.principal", &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(who, "agent:reporter");
    let by_another = Signer::p256("own").unwrap();
    let text = |value: &str| format!("\"{value}\"");
    for (what, assertion, fine) in [
        ("brought again", first, false),
        (
            "the same jti in another assertion",
            house.assertion("1", &[("exp", (now() + 50).to_string())]),
            false,
        ),
        ("another jti", house.assertion("2", &[]), true),
        (
            "by the URL that is configured",
            house.assertion("3", &[("aud", text("https://gate.example.com/token"))]),
            true,
        ),
        (
            "for somebody else",
            house.assertion("4", &[("aud", text("https://other.example.com/token"))]),
            false,
        ),
        (
            "for somebody else as well",
            house.assertion(
                "5",
                &[("aud", r#"["https://gate.example.com","https://other.example.com"]"#.to_owned())],
            ),
            false,
        ),
        ("expired", house.assertion("6", &[("exp", (now() - 100).to_string())]), false),
        ("good for a day", house.assertion("7", &[("exp", (now() + 86_400).to_string())]), false),
        ("without jti", house.assertion("8", &[("jti", "null".to_owned())]), false),
        ("with an empty jti", house.assertion("", &[]), false),
        ("of another subject", house.assertion("9", &[("sub", text("admin"))]), false),
        ("of another client", house.assertion("10", &[("iss", text("admin"))]), false),
        ("with another key", by_another.sign("{\"iss\":\"reporter\",\"sub\":\"reporter\"}").unwrap(), false),
        ("no assertion", "dwt_x".to_owned(), false),
    ] {
        let answer = form(&assertion);
        let expected = if fine { 200 } else { 401 };
        assert_eq!(answer.status, expected, "{what}: {}", answer.body);
        assert!(fine || answer.body.contains("\"error\":\"invalid_client\""), "{what}: {}", answer.body);
    }
    // What is said beside it is the same client (RFC 7521 §4.2), and its header may say what it is.
    let beside = |assertion: &str, client: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
            ("client_id", client),
            ("audience", "sample"),
        ];
        house.ask(&form).status
    };
    assert_eq!(beside(&house.assertion("11", &[]), "reporter"), 200);
    assert_eq!(beside(&house.assertion("12", &[]), "admin"), 401);
    for (kind, status) in [("client-authentication+jwt", 200), ("at+jwt", 401), ("logout+jwt", 401)] {
        let claims = format!(
            r#"{{"iss":"reporter","sub":"reporter","aud":"https://gate.example.com/token","exp":{},"jti":"{kind}"}}"#,
            now() + 60
        );
        let header = format!(r#"{{"alg":"ES256","typ":"{kind}","kid":"own"}}"#);
        let answer = form(&house.key.sign_with(&header, &claims).unwrap());
        assert_eq!(answer.status, status, "{kind}: {}", answer.body);
    }
    // What is made again and again of what was made of it ends in words, not in a token that opens nothing.
    let mut token = Json::parse(&form(&house.assertion("13", &[])).body)
        .unwrap()
        .at("access_token")
        .and_then(Json::text)
        .unwrap()
        .to_owned();
    for round in 1.. {
        let answer = house.ask(&[
            ("grant_type", EXCHANGE),
            ("subject_token", &token),
            ("subject_token_type", JWT),
            ("audience", "sample"),
        ]);
        if answer.status != 200 {
            assert!(round > 8 && answer.body.contains("too many exchanges"), "{round}: {}", answer.body);
            break;
        }
        assert!(round < 30, "it ends");
        token =
            Json::parse(&answer.body).unwrap().at("access_token").and_then(Json::text).unwrap().to_owned();
    }
    house.connect("sample", &token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_asked_as_the_standards_say_is_refused_in_their_words() {
    let house = house(POLICY);
    let subject = house.issuer.token("coder", "one").unwrap();
    let exchange = ("grant_type", EXCHANGE);
    let honest = [exchange, ("subject_token", subject.as_str()), ("subject_token_type", JWT)];
    let with = |more: &[(&'static str, &'static str)]| [&honest[..], more].concat();
    assert_eq!(house.ask(&with(&[("resource", "urn:durward:target:sample")])).status, 200);
    for (form, error) in [
        (vec![], "invalid_request"),
        (vec![("grant_type", "password")], "unsupported_grant_type"),
        (vec![("grant_type", "authorization_code")], "unsupported_grant_type"),
        (vec![exchange], "invalid_request"),
        (with(&[]), "invalid_request"),
        (with(&[("audience", "second")]), "invalid_target"),
        (with(&[("audience", "no-such-target")]), "invalid_target"),
        (with(&[("audience", "sample"), ("audience", "second")]), "invalid_target"),
        (with(&[("resource", "https://sample")]), "invalid_target"),
        (with(&[("audience", "sample"), ("scope", "a"), ("scope", "b")]), "invalid_request"),
        (with(&[("audience", "sample"), ("actor_token", "x")]), "invalid_request"),
        (with(&[("audience", "sample"), ("actor_token_type", JWT)]), "invalid_request"),
        (with(&[("audience", "sample"), ("requested_token_type", JWT)]), "invalid_request"),
        (with(&[("audience", "sample"), ("lifetime", "0")]), "invalid_request"),
        (with(&[("audience", "sample"), ("lifetime", "soon")]), "invalid_request"),
        (with(&[("audience", "sample"), ("client_assertion", "x")]), "invalid_request"),
        (
            vec![exchange, ("subject_token", "eyJ.x.y"), ("subject_token_type", JWT), ("audience", "sample")],
            "invalid_request",
        ),
        (
            vec![exchange, ("subject_token", "dwt_0_0"), ("subject_token_type", JWT), ("audience", "sample")],
            "invalid_request",
        ),
        (
            vec![("grant_type", "client_credentials"), ("client_id", "a"), ("client_secret", "b")],
            "invalid_client",
        ),
    ] {
        let answer = house.ask(&form);
        let expected = if error == "invalid_client" { 401 } else { 400 };
        assert_eq!(answer.status, expected, "{form:?}: {}", answer.body);
        assert!(answer.body.contains(&format!("\"error\":\"{error}\"")), "{form:?}: {}", answer.body);
        assert!(!answer.body.contains(&subject), "{form:?}");
    }
    let form = "application/x-www-form-urlencoded";
    let ask = |path: &str, headers: &[(&str, &str)]| {
        http::request(house.port, "POST", path, headers, b"grant_type=x").unwrap()
    };
    assert!(ask("/token?grant_type=x", &[("Content-Type", form)]).body.contains("addresses are logged"));
    assert!(ask("/token", &[("Content-Type", "application/json")]).body.contains("invalid_request"));
    assert_eq!(ask("/token", &[("Content-Type", form), ("Authorization", "Basic YTpi")]).status, 401);
    let long =
        http::request(house.port, "POST", "/token", &[("Content-Type", form)], &vec![b'a'; 600 * 1024]);
    assert!(long.is_err() || long.is_ok_and(|answer| answer.status == 413), "too long a body");
    // There is no way from here to administration, nor from there to here.
    let [(_, _), (_, secret)] = house.gateway.environment();
    let bearer = format!("Bearer {secret}");
    for path in [
        "/api/v1/tokens",
        "/api/v1/health",
        "/metrics",
        "/healthz",
        "/readyz",
        "/",
        "/token/../api/v1/tokens",
    ] {
        let answer = http::request(house.port, "GET", path, &[("Authorization", &bearer)], b"").unwrap();
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(http::post_form(house.gateway.admin_port(), "/token", &honest, &[]).unwrap().status, 404);
    let metadata =
        http::request(house.port, "GET", "/.well-known/oauth-authorization-server", &[], b"").unwrap();
    assert!(metadata.body.contains("private_key_jwt") && metadata.status == 200);
}

/// What the agents' port answers by TLS to whoever trusts one authority; what OpenSSL says where it does not.
fn by_tls(port: u16, authority: &Path, request: &str) -> String {
    let mut client = Command::new("openssl");
    client.args([
        "s_client",
        "-quiet",
        "-ign_eof",
        "-verify_return_error",
        "-verify_ip",
        "127.0.0.1",
        "-CAfile",
    ]);
    client.arg(authority).args(["-connect", &format!("127.0.0.1:{port}")]);
    let mut child =
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Whoever does not trust it has left.
    let _ = child.stdin.take().unwrap().write_all(request.as_bytes());
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// With a certificate of its own the port takes nobody in clear and may be reached from elsewhere; the certificate is read
/// again as that of PostgreSQL's port is.
#[test]
fn agents_may_come_by_tls_and_the_certificate_is_the_one_that_lies_there_now() {
    let scratch = Scratch::new("agents").unwrap();
    let make = |name: &str| {
        std::fs::create_dir(scratch.join(name)).unwrap();
        Certificates::make(&scratch.join(name), &["127.0.0.1"]).unwrap()
    };
    let (old, new) = (make("old"), make("new"));
    let (chain, key) = (scratch.join("shown.pem"), scratch.join("shown.key"));
    let install = |which: &Certificates| {
        std::fs::copy(&which.key, &key).unwrap();
        std::fs::copy(&which.certificate, &chain).unwrap();
    };
    install(&old);
    let port = free_port().unwrap();
    let settings = format!(
        "\n[agents]\nlisten = \"0.0.0.0:{port}\"\nurls = [\"https://gate.example.com/\"]\n\
         tls = {{ certificate = \"{}\", key = \"{}\" }}",
        chain.display(),
        key.display()
    );
    let gateway = Durward::start_with(&rig::binary(), &settings).unwrap();
    let token = gateway.token("bot").unwrap();
    let who = format!(
        "POST /whoami HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    );
    let in_clear =
        http::request(port, "POST", "/whoami", &[("authorization", &format!("Bearer {token}"))], b"");
    assert!(in_clear.is_err(), "{in_clear:?}");
    // Whoever says nothing holds up nobody.
    let silent = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let said = by_tls(port, &old.authority, &who);
    assert!(said.contains("200 OK") && said.contains("agent:bot"), "{said}");
    drop(silent);
    let said = by_tls(port, &new.authority, &who);
    assert!(!said.contains("agent:bot") && said.contains("verify"), "another authority: {said}");
    let metadata = "GET /.well-known/oauth-authorization-server HTTP/1.0\r\nHost: x\r\n\r\n";
    let said = by_tls(port, &old.authority, metadata);
    assert!(said.contains("\"https://gate.example.com/token\""), "{said}");

    install(&new);
    let until = Instant::now() + Duration::from_secs(30);
    while !by_tls(port, &new.authority, &who).contains("agent:bot") {
        assert!(Instant::now() < until, "the new one is not shown: {}", gateway.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(!by_tls(port, &old.authority, &who).contains("agent:bot"));

    // A key that is not the certificate's changes nothing.
    std::fs::copy(&old.key, &key).unwrap();
    gateway.reload().unwrap();
    let config = gateway.config();
    let refused = |line: &str| {
        line.contains(&format!("stays in force: {}:", config.display())) && line.contains(": agents.tls: ")
    };
    while !gateway.log().lines().any(refused) {
        assert!(Instant::now() < until, "{}", gateway.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(by_tls(port, &new.authority, &who).contains("agent:bot"));
}
