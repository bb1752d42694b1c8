//! Groups of the gateway's own: who is in them is what files say, whatever way somebody came in; no token puts anybody into
//! one, and who is taken out is out within a second.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use testkit::Scratch;
use testkit::durward::{Durward, Target};
use testkit::http;
use testkit::json::Json;
use testkit::jwt::{self, Signer};
use testkit::postgres::{Postgres, SUPERUSER};
use testkit::process::{free_port, text};
use tokio_postgres::{Client, NoTls};

use crate::oauth::Raw;
use crate::rig::{self, DATABASE};

const COMPANY: &str = "https://login.example.com";
const STRANGE: &str = "https://strange.example.com";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const POLICY: &str = r#"
@id("dba") permit (principal in Group::"local/dba", action, resource);
@id("for-alice") permit (principal == Agent::"company/coder", action, resource)
when { context.on_behalf_of.contains("user:company/alice") };
@id("frozen") @reason("you are frozen") forbid (principal in Group::"local/frozen", action, resource);
"#;

const GROUPS: &str = r#"
[[groups]]
name = "dba"
members = ["user:company/alice", "agent:reporter", "agent:plain", "group:local/oncall"]

[[groups]]
name = "oncall"
members = ["group:company/on call", "user:company/bob"]

[[groups]]
name = "frozen"
members = []
"#;

struct House {
    // In this order: the gateway ends before the server that it leads to.
    gateway: Durward,
    server: Postgres,
    agents: u16,
    company: Signer,
    strange: Signer,
    reporter: Signer,
}

fn house() -> House {
    let (server, agents) = (rig::server(&[]), free_port().unwrap());
    let settings = format!("\n[agents]\nlisten = \"127.0.0.1:{agents}\"\n");
    let gateway = Durward::start_with(&rig::binary(), &settings).unwrap();
    let key = |id| Signer::p256(id).unwrap();
    let house = House { gateway, server, agents, company: key("c"), strange: key("s"), reporter: key("r") };
    house.apply(GROUPS);
    house
}

/// An issuer of one key.
fn issuer(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[issuers]]\nname = \"{name}\"\nissuer = \"{url}\"\naudience = \"durward\"\njwks_file = \"{name}.json\"\n{more}\n\
         [[issuers.principals]]\nwhen = 'has(client_id)'\nkind = \"agent\"\nname = \"sub\"\ngroups = [\"groups\"]\n\
         [[issuers.principals]]\nkind = \"user\"\nname = \"sub\"\ngroups = [\"groups\"]\n"
    )
}

impl House {
    fn apply(&self, groups: &str) {
        let clients = "[[clients]]\nname = \"reporter\"\njwks_file = \"reporter.json\"\n";
        self.apply_all(&format!("{}\n{clients}\n{groups}", issuer("company", COMPANY, "")), POLICY).unwrap();
    }

    fn apply_all(&self, state: &str, policy: &str) -> Result<(), testkit::Failure> {
        let files = [
            ("state.toml", state),
            ("company.json", &jwt::jwks(&[&self.company])),
            ("strange.json", &jwt::jwks(&[&self.strange])),
            ("reporter.json", &jwt::jwks(&[&self.reporter])),
        ];
        let target = Target::new(DATABASE, self.server.port(), DATABASE);
        self.gateway.apply_with(&[target], &[("test", policy)], &files)
    }

    /// A token of the company's, with claims behind its subject.
    fn token(&self, who: &str, more: &str) -> String {
        signed(&self.company, COMPANY, who, more)
    }

    fn issue(&self, arguments: &[&str]) -> String {
        let said =
            text(&mut self.gateway.command(&[&["token", "issue", "--json"], arguments].concat())).unwrap();
        Json::parse(&said).unwrap().at("token").and_then(Json::text).expect("a token").to_owned()
    }

    fn ask(&self, form: &[(&str, &str)]) -> Result<String, String> {
        let form = [form, &[("audience", DATABASE)]].concat();
        let answer = http::post_form(self.agents, "/token", &form, &[]).unwrap();
        let token =
            Json::parse(&answer.body).ok().and_then(|j| Some(j.at("access_token")?.text()?.to_owned()));
        token.ok_or(answer.body)
    }

    fn exchanged(&self, subject: &str, more: &[(&str, &str)]) -> Result<String, String> {
        let form = [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", JWT)];
        self.ask(&[&form, more].concat())
    }

    fn reporters(&self) -> String {
        let claims = format!(
            r#"{{"iss":"reporter","sub":"reporter","aud":"http://127.0.0.1:{}/token","exp":{},"jti":"{}"}}"#,
            self.agents,
            now() + 60,
            free_port().unwrap(),
        );
        let assertion = self.reporter.sign(&claims).unwrap();
        let form = [("grant_type", "client_credentials"), ("client_assertion_type", ASSERTION)];
        self.ask(&[&form[..], &[("client_assertion", &assertion)]].concat()).expect("a token for a client")
    }

    /// A session, and what ends it.
    async fn open(&self, user: &str, password: &str) -> Result<Session, String> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.gateway.port()).user(user).dbname(DATABASE).password(password);
        let (client, connection) = config.connect(NoTls).await.map_err(|e| words(&e))?;
        let end = tokio::spawn(async move {
            let ended = connection.await;
            (ended.err().map(|e| words(&e)).unwrap_or_default(), Instant::now())
        });
        client.simple_query("SELECT 1").await.map_err(|e| words(&e))?;
        Ok(Session { client, end })
    }

    async fn by(&self, password: &str) -> Result<Session, String> {
        self.open(SUPERUSER, password).await
    }
}

struct Session {
    client: Client,
    end: tokio::task::JoinHandle<(String, Instant)>,
}

impl Session {
    async fn works(&self) {
        self.client.simple_query("SELECT 1").await.expect("it goes on");
    }

    /// That it ends soon after a moment, with words.
    #[track_caller]
    fn ends(self, since: Instant, expected: &'static str) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            // A client that is dropped ends its session by itself, without words.
            let Self { client: _kept, end } = self;
            let ended = tokio::time::timeout(Duration::from_secs(20), end).await;
            let (words, at) = ended.unwrap_or_else(|_| panic!("{place}: it goes on")).unwrap();
            let took = at.saturating_duration_since(since);
            assert!(words.contains(expected), "{place}: {words}");
            assert!(took < Duration::from_secs(1), "{place}: after {took:?}");
        }
    }
}

fn words(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |e| format!("{} {}", e.code().code(), e.message()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn signed(key: &Signer, issuer: &str, who: &str, more: &str) -> String {
    let claims = format!(
        r#"{{"iss":"{issuer}","aud":"durward","sub":"{who}","iat":{},"exp":{}{more}}}"#,
        now(),
        now() + 600
    );
    key.sign(&claims).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_in_a_group_is_in_it_by_every_way_in() {
    let house = house();
    let on_call = r#","groups":["on call"]"#;
    let (alice, carol) = (house.token("alice", ""), house.token("carol", on_call));
    let plain = house.issue(&["agent:plain"]);
    let bob_by_exchange = house.exchanged(&house.token("bob", ""), &[]).expect("bob is in, by another group");
    for (way, password) in [
        ("a token of an issuer", &alice),
        ("by a group that the issuer says", &carol),
        ("a token that was issued", &plain),
        ("exchanged", &bob_by_exchange),
        ("exchanged once more", &house.exchanged(&bob_by_exchange, &[]).expect("again")),
        ("a client with a key", &house.reporters()),
    ] {
        house.by(password).await.map_err(|why| format!("{way}: {why}")).unwrap();
    }
    let id = plain.rsplit_once('_').unwrap().0;
    house.open(id, &plain).await.expect("by SCRAM");
    let mut bearer = Raw::start(house.gateway.port(), "oauth");
    bearer.next();
    bearer.initial(&alice);
    assert_eq!(bearer.next(), (b'R', vec![0; 4]), "by OAUTHBEARER");

    // Beside each of them somebody who is not in it: of another name, kind, issuer, or group.
    for (who, more) in
        [("dave", ""), ("alice", r#","client_id":"x""#), ("dave", r#","groups":["on-call","dba","oncall"]"#)]
    {
        let token = house.token(who, more);
        let refused = house.by(&token).await.err().expect("not in");
        assert!(refused.starts_with("42501"), "{who} {more}: {refused}");
        assert!(house.exchanged(&token, &[]).is_err(), "{who} {more}");
    }
    let other = house.by(&house.issue(&["agent:other"])).await.err().expect("not in");
    assert!(other.starts_with("42501"), "{other}");
    // An agent has none of the groups of whom it acts for.
    let coder = house.token("tester", r#","client_id":"x""#);
    let acting = [("actor_token", coder.as_str()), ("actor_token_type", JWT)];
    assert!(house.exchanged(&alice, &acting).unwrap_err().contains("invalid_target"));
    assert!(
        house
            .gateway
            .records()
            .unwrap()
            .contains(r#""groups":["company/on call","local/dba","local/oncall"]"#)
    );

    // What is in force is what files say: exported and applied again it is the same, and a slip is told.
    let place = Scratch::new("export").unwrap();
    let folder = place.join("all");
    text(house.gateway.command(&["export"]).arg(&folder)).unwrap();
    let written = std::fs::read_to_string(folder.join("groups/dba.toml")).unwrap();
    assert!(written.contains("\"group:local/oncall\""), "{written}");
    assert!(
        text(house.gateway.command(&["diff", "--prune", "-f"]).arg(&folder))
            .unwrap()
            .contains("Nothing differs")
    );
    std::fs::remove_file(folder.join("groups/oncall.toml")).unwrap();
    std::fs::write(folder.join("groups/dba.toml"), "[[groups]]\nname = \"dba\"\nmembers = []\n").unwrap();
    let said = text(house.gateway.command(&["apply", "--dry-run", "-f"]).arg(&folder)).unwrap();
    for words in ["group dba: user:company/alice is out", "group oncall\n"] {
        assert!(said.contains(words), "{said}");
    }
    let state = format!("{}{GROUPS}", issuer("company", COMPANY, ""));
    let slip = house.apply_all(&state, &POLICY.replace("local/dba", "local/dbas")).unwrap_err().to_string();
    assert!(slip.contains("there is no group \"local/dbas\"; did you mean \"local/dba\"?"), "{slip}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_says_that_its_bearer_is_in_a_group_of_the_gateways_own() {
    let house = house();
    // An issuer that may give names with nothing in front of them, or with nearly the gateway's own prefix. Each wrong token
    // costs whoever brings it time: the table of them all is beside `policy::identity`.
    for (prefix, claims) in
        [("", &["local/dba", "/local/dba", "company/on call"][..]), ("loc", &["al/dba", "local/dba", "dba"])]
    {
        let strange = issuer("strange", STRANGE, &format!("prefix = \"{prefix}\""));
        let company = issuer("company", COMPANY, "");
        let eve = format!("[[groups]]\nname = \"eve\"\nmembers = [\"user:{prefix}honest\"]\n");
        let policy =
            format!("{POLICY}@id(\"eve\") permit (principal in Group::\"local/eve\", action, resource);\n");
        house.apply_all(&format!("{strange}\n{company}\n{GROUPS}\n{eve}"), &policy).unwrap();
        for claim in claims {
            let token = signed(&house.strange, STRANGE, "eve", &format!(r#","groups":["{claim}"]"#));
            let refused = house.by(&token).await.err().expect("it opens nothing");
            let nobody = refused.starts_with("28P01") || refused.starts_with("42501");
            assert!(nobody, "{prefix} {claim}: {refused}");
        }
        let named = signed(&house.strange, STRANGE, "company/alice", "");
        assert!(house.by(&named).await.is_err() && house.exchanged(&named, &[]).is_err(), "{prefix}");
        // Whom files name is in.
        house.by(&signed(&house.strange, STRANGE, "honest", "")).await.expect("eve's group");
    }
    // Nor does the administrator by the way: there is one place that says it.
    for arguments in [
        &["token", "issue", "agent:x", "--group", "local/dba"][..],
        &["break-glass", "create", "--for", "alice", "--group", "local/dba", "--target", DATABASE],
        &["approver", "add", "dora", "--groups", "local/dba"],
    ] {
        let output = house.gateway.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("[[groups]]"), "{arguments:?}: {said}");
    }
    let client =
        "[[clients]]\nname = \"reporter\"\njwks_file = \"reporter.json\"\ngroups = [\"local/dba\"]\n";
    let refused = house.apply_all(&format!("{client}{GROUPS}"), POLICY).unwrap_err().to_string();
    assert!(refused.contains("said in [[groups]]"), "{refused}");
    // An agent that people run is called as they like: such a name in a group would let in everybody's.
    let refused =
        house.apply_all("[[groups]]\nname = \"dba\"\nmembers = [\"agent:local/coder\"]\n", "").unwrap_err();
    assert!(refused.to_string().contains("context.on_behalf_of"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_taken_out_of_a_group_is_out_within_a_second_and_nobody_else() {
    let house = house();
    let (alice, bob) = (house.token("alice", ""), house.token("bob", ""));
    let carol = house.token("carol", r#","groups":["on call"]"#);
    let (exchanged, plain) = (house.exchanged(&alice, &[]).unwrap(), house.issue(&["agent:plain"]));
    let coder = house.token("coder", r#","client_id":"x""#);
    let acting = [("actor_token", coder.as_str()), ("actor_token_type", JWT)];
    let for_alice = house.exchanged(&alice, &acting).expect("an agent for alice");
    let open = async |password: &str| house.by(password).await.unwrap();
    let (alices, by_exchange) = (open(&alice).await, open(&exchanged).await);
    let (bobs, carols, plains) = (open(&bob).await, open(&carol).await, open(&plain).await);
    let agents = open(&for_alice).await;

    let changed = "the groups of its principal were changed";
    let apply = |groups: &str| {
        let since = Instant::now();
        tokio::task::block_in_place(|| house.apply(groups));
        // What is asked for counts from when it was in force, which is at the latest now.
        since + since.elapsed()
    };
    let without_alice = GROUPS.replace("\"user:company/alice\", ", "");
    let since = apply(&without_alice);
    alices.ends(since, changed).await;
    by_exchange.ends(since, changed).await;
    for stays in [&bobs, &carols, &plains, &agents] {
        stays.works().await;
    }
    assert!(house.by(&alice).await.err().expect("out").starts_with("42501"));
    assert!(house.by(&exchanged).await.err().expect("out").starts_with("42501"));

    // A group within a group takes its own along; who is put into one that policy forbids is out as well.
    let since = apply(&without_alice.replace(", \"group:local/oncall\"", ""));
    bobs.ends(since, changed).await;
    carols.ends(since, changed).await;
    plains.works().await;
    let since = apply(&GROUPS.replace("members = []", "members = [\"agent:plain\"]"));
    plains.ends(since, changed).await;
    assert!(house.by(&plain).await.err().expect("frozen").contains("you are frozen"));

    // Revoking such a group ends those in it and those who act for them; others of the target go on.
    apply(GROUPS);
    let (alices, plains) = (open(&alice).await, open(&plain).await);
    let only_oncall = ["revoke", "group", "local/oncall", "--reason", "the week is over"];
    text(&mut house.gateway.command(&only_oncall)).unwrap();
    assert!(house.by(&carol).await.err().expect("revoked").contains("the week is over"));
    for stays in [&alices, &plains, &agents] {
        stays.works().await;
    }
    let since = Instant::now();
    text(&mut house.gateway.command(&["revoke", "group", "local/dba", "--reason", "an audit"])).unwrap();
    let since = since + since.elapsed();
    alices.ends(since, "an audit").await;
    agents.ends(since, "an audit").await;
    plains.ends(since, "an audit").await;
}
