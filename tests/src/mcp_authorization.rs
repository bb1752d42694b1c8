//! Clients that speak MCP sign people in at the console: a real client and a real browser, and everything by which somebody else
//! might get or keep tokens.

use std::process::Command;

use testkit::Scratch;
use testkit::certificates::Certificates;
use testkit::durward::{Durward, Target};
use testkit::http;
use testkit::issuer::node;
use testkit::json::Json;
use testkit::postgres::Postgres;
use testkit::process::{free_port, text};

use crate::console::invited;
use crate::rig::{self, DATABASE};
use crate::scan::Scan;

/// Policies speak of agents that act for somebody.
const POLICY: &str = r#"
@id("people-s-agents") permit (principal is Agent, action == Action::"connect", resource);
@id("reads") permit (principal is Agent, action in Action::"read", resource);
"#;

/// A gateway whose clients sign people in, in front of one server by two names.
pub(crate) struct Front {
    // In this order: the gateway ends before the server that it leads to.
    pub(crate) gateway: Durward,
    _server: Postgres,
    scratch: Scratch,
    certificates: Certificates,
    pub(crate) agents: u16,
    callback: u16,
    documents: u16,
}

impl Front {
    #[track_caller]
    pub(crate) fn start(more: &str) -> Self {
        let scratch = Scratch::new("oauth").unwrap();
        let certificates = Certificates::make(scratch.path(), &["127.0.0.1", "localhost", "::1"]).unwrap();
        let [agents, callback, documents] = std::array::from_fn(|_| free_port().unwrap());
        let server = rig::server(&[]);
        let settings = format!(
            "[agents]\nlisten = \"127.0.0.1:{agents}\"\n[agents.authorization]\n\
             documents_at_private_hosts = [\"127.0.0.1\"]\ndocuments_authorities = \"{}\"\n{more}\n",
            certificates.authority.display()
        );
        let gateway = Durward::start_with(&rig::binary(), &settings).unwrap();
        let targets = [DATABASE, "second"].map(|name| Target::new(name, server.port(), DATABASE));
        gateway.apply(&targets, &[("test", POLICY)]).unwrap();
        Self { gateway, _server: server, scratch, certificates, agents, callback, documents }
    }

    pub(crate) fn gate(&self) -> String {
        format!("http://127.0.0.1:{}", self.agents)
    }

    /// The program with the client and the browser.
    pub(crate) fn program(&self) -> Command {
        let mut program = Command::new(node(&rig::npm()));
        program.arg(rig::folder("programs").join("oauth.mjs")).current_dir(self.scratch.path());
        program
            .env("OAUTH_NPM", rig::npm())
            .env("OAUTH_CONSOLE", format!("http://localhost:{}", self.gateway.admin_port()))
            .env("OAUTH_GATE", self.gate())
            .env("OAUTH_CALLBACK", self.callback.to_string())
            .env("OAUTH_DOCUMENTS", self.documents.to_string())
            .env("OAUTH_CERTIFICATE", &self.certificates.certificate)
            .env("OAUTH_KEY", &self.certificates.key)
            .env("OAUTH_LINK", invited(&self.gateway, &["ada", "--role", "administrator"]));
        if let Some(shots) = std::env::var_os("DURWARD_SHOTS") {
            program.env("OAUTH_SHOTS", shots);
        }
        program
    }

    /// What it left in its last line, where nothing failed.
    #[track_caller]
    pub(crate) fn run(&self, program: &mut Command) -> Json {
        let output = program.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{errors}\n{}", self.gateway.log());
        println!("{}", said.trim_end().rsplit_once('\n').unwrap_or_default().0);
        Json::parse(said.lines().last().unwrap_or_default()).unwrap_or_else(|_| panic!("{said}{errors}"))
    }

    fn renewed(&self, token: &str, client: &str) -> http::Answer {
        let resource = format!("{}/mcp", self.gate());
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", client),
            ("resource", &resource),
        ];
        http::post_form(self.agents, "/token", &form, &[]).unwrap()
    }
}

fn word<'j>(left: &'j Json, name: &str) -> &'j str {
    left.at(name).and_then(Json::text).unwrap_or_else(|| panic!("no {name}: {left:?}"))
}

#[test]
fn a_client_signs_somebody_in_and_nobody_else_gets_or_keeps_its_tokens() {
    let mut front = Front::start("[log]\nlevel = \"trace\"\nformat = \"json\"");
    let left = front.run(&mut front.program());
    let gateway = &front.gateway;
    let (access, refresh) = (word(&left, "access"), word(&left, "refresh"));
    let client = format!("https://127.0.0.1:{}/app.json", front.documents);

    // It is no password of PostgreSQL's, by its text or by its name, and nothing is made of it.
    let name = access.rsplitn(2, '_').last().unwrap();
    for user in ["postgres", name] {
        let mut psql = rig::Way { port: gateway.port(), password: access.to_owned() }.command("psql");
        let output = psql.args(["-XAtU", user, "-c", "select 1"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("FATAL"), "as {user}: {said}");
    }
    let honest = rig::Way { port: gateway.port(), password: gateway.token("bot").unwrap() };
    assert!(text(honest.command("psql").args(["-XAtc", "select 1"])).is_ok(), "one for everything is");
    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", access),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", DATABASE),
    ];
    let made = http::post_form(front.agents, "/token", &exchange, &[]).unwrap();
    assert!(made.status == 400 && made.body.contains("invalid_request"), "{made:?}");

    // It approves and administers nothing.
    let bearer = format!("Bearer {access}");
    for (method, path) in [
        ("GET", "/api/v1/requests"),
        ("POST", "/api/v1/requests/r0000000000/approve"),
        ("GET", "/api/v1/tokens"),
        ("GET", "/api/v1/health"),
    ] {
        let headers = [("authorization", &*bearer), ("content-type", "application/json")];
        let answer = http::request(gateway.admin_port(), method, path, &headers, b"{}").unwrap();
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.body);
    }

    // What its person may no more, it may no more.
    let renewed = front.renewed(refresh, &client);
    assert_eq!(renewed.status, 200, "the honest one: {}", renewed.body);
    let renewed = Json::parse(&renewed.body).unwrap();
    let revoke = ["revoke", "principal", "user:ada", "--reason", "a stolen laptop", "--json"];
    let denial = Json::parse(&text(&mut gateway.command(&revoke)).unwrap()).unwrap();
    let refused = front.renewed(word(&renewed, "refresh_token"), &client);
    assert!(refused.status == 400 && refused.body.contains("invalid_grant"), "{refused:?}");
    let denial = denial.at("revocation").unwrap();
    text(&mut gateway.command(&["revoke", "lift", word(denial, "id")])).unwrap();
    let renewed = front.renewed(word(&renewed, "refresh_token"), &client);
    assert_eq!(renewed.status, 200, "who is let in again: {}", renewed.body);
    let renewed = Json::parse(&renewed.body).unwrap();
    text(&mut gateway.command(&["people", "remove", "ada"])).unwrap();
    let refused = front.renewed(word(&renewed, "refresh_token"), &client);
    assert!(refused.status == 400 && refused.body.contains("invalid_grant"), "{refused:?}");
    let who = [("authorization", format!("Bearer {}", word(&renewed, "access_token")))];
    let who: Vec<_> = who.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(http::request(front.agents, "POST", "/whoami", &who, b"").unwrap().status, 401);

    let journal = gateway.records().unwrap();
    for what in [
        "\"client let in\"",
        "\"client turned away\"",
        "\"code misused\"",
        "\"refresh token misused\"",
        "consent of user:ada",
        "code of dwt_",
        "refresh of dwt_",
    ] {
        assert!(journal.contains(what), "{what}");
    }
    let mut scan = Scan::new("browsers");
    for kind in left.at("secrets").unwrap().items() {
        for secret in kind.at("all").unwrap().items() {
            scan.secret(word(kind, "kind"), secret.text().unwrap());
        }
    }
    for (kind, name) in [("access token", "access_token"), ("refresh token", "refresh_token")] {
        scan.secret(kind, word(&renewed, name));
    }
    scan.gateway(&mut front.gateway);
    assert!(scan.finds("log", "\"DEBUG\"") && scan.finds("jsonl", "user:ada"));
    scan.check();
}

#[test]
fn clients_register_where_that_is_wanted_as_public_ones_and_not_without_end() {
    let front = Front::start("registration = true");
    let register = |body: &str| {
        let json = [("content-type", "application/json")];
        http::request(front.agents, "POST", "/register", &json, body.as_bytes()).unwrap()
    };
    let fine = r#"{"client_name":"Itself","redirect_uris":["http://127.0.0.1:1/callback"],"token_endpoint_auth_method":"none"}"#;
    let registered = register(fine);
    assert_eq!(registered.status, 201, "{}", registered.body);
    let registered = Json::parse(&registered.body).unwrap();
    assert!(
        word(&registered, "client_id").starts_with("client-") && registered.at("client_secret").is_none()
    );
    for wrong in [
        "",
        "{}",
        r#"{"client_name":"Itself","redirect_uris":["http://evil.test/callback"]}"#,
        r#"{"client_name":"Itself","redirect_uris":["javascript:alert(1)"]}"#,
        r#"{"client_name":"Itself","redirect_uris":["http://127.0.0.1/"],"token_endpoint_auth_method":"client_secret_basic"}"#,
    ] {
        let refused = register(wrong);
        assert!(
            refused.status == 400 && refused.body.contains("invalid_client_metadata"),
            "{wrong}: {refused:?}"
        );
    }
    let by_a_page =
        http::request(front.agents, "POST", "/register", &[("content-type", "text/plain")], fine.as_bytes());
    assert_eq!(by_a_page.unwrap().status, 400);
    let all: Vec<u16> = (0..60).map(|_| register(fine).status).collect();
    assert!(all.contains(&201) && all.contains(&429), "{all:?}");
    let metadata =
        http::request(front.agents, "GET", "/.well-known/oauth-authorization-server", &[], b"").unwrap();
    assert!(metadata.body.contains("\"registration_endpoint\""), "{}", metadata.body);
}
