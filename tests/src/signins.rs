//! People sign in at a real issuer, in a browser that is a script. What is kept of it opens sessions and mints agents' tokens,
//! and nothing else, whoever has it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use testkit::durward::Target;
use testkit::issuer::Issuer;
use testkit::json::Json;
use testkit::process::text;
use testkit::{Scratch, http};

use crate::rig::{self, DATABASE, Rig, Way, said};
use crate::scan::Scan;

const POLICY: &str = r#"
@id("people") permit (principal in Group::"company/dba", action, resource);
@id("agents-of-people") permit (principal == Agent::"local/coder", action, resource)
when { context.on_behalf_of.contains("user:company/alice@example.com") };
@id("ask") @approvers("dba")
forbid (principal is Agent, action == Action::"delete", resource) unless { context.approvals.contains("ask") };
"#;

/// What the console proves itself with at the issuer.
const CONSOLE: &str = "the secret of the console's at its issuer";

const PEOPLE: &str = r#"{"algorithm":"ES256","life":600,
    "clients":{"console":{"secret":"the secret of the console's at its issuer","redirect":"http://localhost:CONSOLE/signin/callback",
        "metadata":{"token_endpoint_auth_method":"client_secret_basic"}},
    "durward-cli":{"redirect":"http://127.0.0.1/callback","metadata":{"grant_types":[
        "authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"]}}},
    "people":{"alice":{"groups":["dba"]},"mallory":{"groups":[]}}}"#;

struct House {
    rig: Rig,
    issuer: Issuer,
    /// A home directory of somebody.
    home: Scratch,
    agents: u16,
}

fn house() -> House {
    let agents = testkit::process::free_port().unwrap();
    let home = Scratch::new("home").unwrap();
    std::fs::write(home.join("console"), CONSOLE).unwrap();
    let server = rig::server(&[]);
    server.sql(DATABASE, "CREATE TABLE t (n int)").unwrap();
    let target = Target::new(DATABASE, server.port(), DATABASE);
    let settings = format!(
        "\n[log]\nlevel = \"trace\"\n[agents]\nlisten = \"127.0.0.1:{agents}\"\n[credentials.console]\nfile = \"{}\"\n",
        home.join("console").display()
    );
    let rig = Rig::of(server, &target, &settings, POLICY);
    let people = PEOPLE.replace("CONSOLE", &rig.gateway.admin_port().to_string());
    let issuer = Issuer::start(&rig::npm(), &people).unwrap();
    let house = House { rig, issuer, home, agents };
    house.apply("");
    house
}

impl House {
    /// Applies the issuer, with more said of it.
    fn apply(&self, more: &str) {
        let issuers = format!(
            "[[issuers]]\nname = \"company\"\nissuer = \"{}\"\naudience = [\"durward-cli\", \"console\"]\nalgorithms = [\"ES256\"]\n\
             console_client = \"console\"\nconsole_credential = \"console\"\nlogin_client = \"durward-cli\"\nlogin_scopes = \"openid profile email\"\n{more}\n\
             [[issuers.principals]]\nkind = \"user\"\nname = \"email\"\ngroups = [\"groups\"]\n",
            self.issuer.url()
        );
        let target = Target::new(DATABASE, self.rig.server.port(), DATABASE);
        self.rig.gateway.apply_with(&[target], &[("test", POLICY)], &[("issuers.toml", &issuers)]).unwrap();
    }

    /// Begins to sign in by a code; where it is entered, and the code.
    fn begin_by_code(&self) -> (Child, String, String) {
        let mut command = self.command(&["login", "--device", "--wait", "60s"]);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut indented =
            || lines.find_map(|line| line.strip_prefix("  ").map(str::to_owned)).expect("a line");
        let (address, code) = (indented(), indented());
        std::thread::spawn(move || lines.for_each(drop));
        (child, address, code)
    }

    /// The command line of somebody who has no administrator's secret.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.rig.gateway.command(arguments);
        command.env_remove("DURWARD_ADMIN_SECRET").env_remove("XDG_STATE_HOME").env("HOME", self.home.path());
        command.env("DURWARD_AGENTS", format!("http://127.0.0.1:{}", self.agents));
        // Nobody is there: what goes to this machine goes by no proxy.
        for proxy in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "http_proxy", "https_proxy"] {
            command.env(proxy, "http://127.0.0.1:9");
        }
        for secret in ["DURWARD_TOKEN", "DURWARD_RECOVERY_KEY"] {
            command.env(secret, "somebody_s");
        }
        command.env("DURWARD_POSTGRES", format!("127.0.0.1:{}", self.rig.gateway.port()));
        command.stdin(Stdio::null());
        command
    }

    fn said(&self, arguments: &[&str]) -> String {
        said(&self.command(arguments).output().unwrap())
    }

    /// Begins to sign in; where the browser is to go.
    fn begin(&self) -> (Child, String) {
        let mut command = self.command(&["login", "--no-browser", "--wait", "60s"]);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut all = Vec::new();
        for line in lines {
            if let Some(address) = line.trim().strip_prefix("http").filter(|rest| rest.contains("/auth?")) {
                return (child, format!("http{address}"));
            }
            all.push(line);
        }
        panic!("no address to sign in at: {all:?}, {:?}", child.wait());
    }

    fn sign_in(&self, person: &str) -> Output {
        let (child, address) = self.begin();
        let back = Browser::default().go(self.issuer.port(), &address, person);
        visit(&back);
        child.wait_with_output().unwrap()
    }

    /// Alice signs in to the console; what her browser kept is for whoever looks for it.
    fn in_the_console(&self, scan: &mut Scan) {
        let admin = self.rig.gateway.admin_port();
        let here = format!("localhost:{admin}");
        let from = format!("http://{here}");
        let form =
            [("Content-Type", "application/x-www-form-urlencoded"), ("Host", &here), ("Origin", &from)];
        let cookie = |answer: &http::Answer| {
            let kept =
                answer.headers.lines().filter_map(|line| line.split_once(": ")).filter(|(name, value)| {
                    name.eq_ignore_ascii_case("set-cookie") && !value.contains("Max-Age=0")
                });
            let pair = kept.map(|(_, value)| value.split(';').next().unwrap().to_owned()).next();
            pair.unwrap_or_else(|| panic!("no cookie: {} {}", answer.headers, answer.body))
        };
        let away = http::request(admin, "POST", "/signin/away", &form, b"issuer=company&next=/").unwrap();
        let gone = cookie(&away);
        let address = away.body.split("href=\"http").find(|rest| rest.contains("/auth?")).unwrap();
        let address = format!("http{}", address.split('"').next().unwrap().replace("&amp;", "&"));
        let back = Browser::default().go(self.issuer.port(), &address, "alice");
        let path = back.strip_prefix(&from).expect("the console's address");
        let came = http::request(admin, "GET", path, &[("Cookie", &gone), ("Host", &here)], b"").unwrap();
        let visit = cookie(&came);
        let page = http::request(admin, "GET", "/", &[("Cookie", &visit), ("Host", &here)], b"").unwrap();
        let csrf =
            page.body.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("{}", page.body));
        scan.secret("form's token against forgery", csrf.split('"').next().unwrap());
        for kept in [&gone, &visit] {
            scan.secret("session cookie", kept.split_once('=').unwrap().1);
        }
    }

    fn kept(&self) -> PathBuf {
        self.home.join(".local/state/durward/login.json")
    }

    fn token(&self) -> String {
        let kept = Json::parse(&std::fs::read_to_string(self.kept()).unwrap()).unwrap();
        kept.at("token").and_then(Json::text).unwrap().to_owned()
    }

    fn psql(&self, password: &str, statement: &str) -> String {
        let way = Way { port: self.rig.gateway.port(), password: password.to_owned() };
        said(&way.command("psql").args(["-XqAt", "-c", statement]).output().unwrap())
    }
}

/// A browser that is a script, with its cookies.
#[derive(Default)]
struct Browser(BTreeMap<String, String>);

impl Browser {
    /// Goes where the issuer sends it, fills in its forms, and stops before it goes back to whoever asked, or where there is no
    /// form left.
    fn go(&mut self, issuer: u16, address: &str, person: &str) -> String {
        let here = format!("http://127.0.0.1:{issuer}");
        let Self(cookies) = self;
        let mut next = address.to_owned();
        let mut form: Option<String> = None;
        for _ in 0..20 {
            let path = match next.strip_prefix(&here) {
                Some(path) => path.to_owned(),
                None if next.starts_with('/') => next.clone(),
                None => return next,
            };
            let jar = cookies.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("; ");
            let answer = match form.take() {
                None => http::request(issuer, "GET", &path, &[("Cookie", &jar)], b"").unwrap(),
                Some(body) => {
                    let kind = ("Content-Type", "application/x-www-form-urlencoded");
                    http::request(issuer, "POST", &path, &[("Cookie", &jar), kind], body.as_bytes()).unwrap()
                }
            };
            let header = |line: &str, name: &str| {
                let (n, v) = line.split_once(':')?;
                n.eq_ignore_ascii_case(name).then(|| v.trim().to_owned())
            };
            for cookie in answer.headers.lines().filter_map(|line| header(line, "set-cookie")) {
                let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
                if value.is_empty() {
                    cookies.remove(name);
                } else {
                    cookies.insert(name.to_owned(), value.to_owned());
                }
            }
            let hidden = |name: &str| {
                let (_, rest) = answer.body.split_once(&format!("name=\"{name}\" value=\""))?;
                rest.split('"').next().map(str::to_owned)
            };
            if let Some(location) = answer.headers.lines().find_map(|line| header(line, "location")) {
                next = location;
            } else if answer.body.contains("name=\"login\"") {
                form = Some(format!("prompt=login&login={person}&password=any"));
                next = path;
            } else if answer.body.contains("value=\"consent\"") {
                form = Some("prompt=consent".to_owned());
                next = path;
            } else if let (Some(xsrf), Some(code)) = (hidden("xsrf"), hidden("user_code")) {
                // A code: it is sent, and then confirmed.
                let confirm = if hidden("confirm").is_some() { "&confirm=yes" } else { "" };
                form = Some(format!("xsrf={xsrf}&user_code={code}{confirm}"));
                next = "/device".to_owned();
            } else if answer.body.contains("Sign-in Success") {
                return path;
            } else {
                panic!("no way on from {path}: {} {}", answer.status, answer.body);
            }
        }
        panic!("it leads nowhere: {next}");
    }
}

/// Goes to an address on this machine.
fn visit(address: &str) -> http::Answer {
    let rest = address.strip_prefix("http://127.0.0.1:").expect("an address here");
    let (port, path) = rest.split_once('/').unwrap();
    http::request(port.parse().unwrap(), "GET", &format!("/{path}"), &[], b"").unwrap()
}

#[test]
fn who_signs_in_opens_sessions_and_their_agents_work_for_them() {
    let mut house = house();
    let mut scan = Scan::new("people");
    let output = house.sign_in("alice");
    assert!(
        output.status.success() && said(&output).contains("user:company/alice@example.com"),
        "{}",
        said(&output)
    );
    let kept = house.kept();
    assert_eq!(kept.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(kept.parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);
    let who = house.said(&["whoami"]);
    assert!(who.contains("user:company/alice@example.com") && who.contains("company/dba"), "{who}");

    // A session of her own, with a token of its own; then an agent's, in her name.
    assert_eq!(house.said(&["connect", DATABASE, "--", "-XqAt", "-c", "INSERT INTO t VALUES (1)"]), "");
    let run = |agent: &str, script: &str| {
        house.said(&["run", "--agent", agent, "--target", DATABASE, "--", "sh", "-c", script])
    };
    assert_eq!(
        run("coder", "psql -XqAt -c 'SELECT count(*) FROM t'; env | grep -c -e dwt_ -e somebody_s"),
        "1\n0\n"
    );
    // An agent has none of her groups, so that another name of it may do nothing; and it does not say that it is her.
    assert!(run("other", "psql -XqAt -c 'SELECT 1'").contains("no token for this target"), "another agent");
    let journal = house.rig.gateway.records().unwrap();
    for words in [
        r#""principal":"user:company/alice@example.com""#,
        r#""principal":"agent:local/coder""#,
        r#""on_behalf_of":["user:company/alice@example.com"]"#,
    ] {
        assert!(
            journal.lines().any(|l| l.contains("\"opened\"") && l.contains(words)),
            "no {words} in {journal}"
        );
    }

    scan.wrote("what a child of run's is started with", run("coder", "cat /proc/$PPID/cmdline /proc/$PPID/environ; tr '\\0' '\\n' < /proc/self/environ | grep -v PGPASSWORD | grep -v DATABASE_URL"));
    scan.secret("password of a run's child", run("coder", "printf %s \"$PGPASSWORD\""));
    house.in_the_console(&mut scan);

    // Signed out, neither what was kept nor what was minted with it is of use.
    let token = house.token();
    assert_eq!(house.psql(&token, "SELECT 1"), "1\n");
    assert!(house.said(&["logout"]).contains("Signed out"));
    assert!(!kept.exists());
    assert!(house.psql(&token, "SELECT 1").contains("the token is not valid"));
    assert!(house.said(&["whoami"]).contains("nobody is signed in"));
    assert!(house.said(&["run", "--", "true"]).contains("nobody is signed in"));

    for exchange in house.issuer.control("heard").unwrap().items() {
        for (of, name, kind) in [
            ("asked", "code", "authorization code of the issuer"),
            ("asked", "code_verifier", "code verifier"),
            ("given", "id_token", "identity token"),
        ] {
            if let Some(secret) = exchange.at(of).and_then(|j| j.at(name)?.text()) {
                scan.secret(kind, secret);
            }
        }
    }
    scan.secret("client secret of the console", CONSOLE);
    scan.secret("token of login", &token);
    scan.folder(house.home.path(), &["console"]);
    scan.gateway(&mut house.rig.gateway);
    assert!(scan.finds("log", "DEBUG") && scan.finds("state.db", "alice@example.com"));
    scan.check();
}

#[test]
fn a_code_that_is_entered_elsewhere_signs_in_where_configuration_says_so() {
    let house = house();
    // Whoever is made to enter a code of somebody else's signs them in: so it is off.
    let off = house.command(&["login", "--device"]).output().unwrap();
    assert!(!off.status.success() && said(&off).contains("login_device = true"), "{}", said(&off));
    house.apply("login_device = true\n");
    let (mut child, address, code) = house.begin_by_code();
    assert_eq!(address, format!("{}/device", house.issuer.url()));
    assert!(code.len() >= 8 && child.try_wait().unwrap().is_none(), "{code}");
    assert!(!house.kept().exists(), "nobody is signed in yet");
    Browser::default().go(house.issuer.port(), &format!("{address}?user_code={code}"), "alice");
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success() && said(&output).contains("user:company/alice@example.com"),
        "{}",
        said(&output)
    );
    assert_eq!(house.said(&["connect", DATABASE, "--", "-XqAt", "-c", "SELECT 1"]), "1\n");
    // A code is good once, and one that nobody enters signs nobody in.
    assert!(house.said(&["logout"]).contains("Signed out"));
    let unanswered = house.command(&["login", "--device", "--wait", "6s"]).output().unwrap();
    assert_eq!(unanswered.status.code(), Some(4), "{}", said(&unanswered));
    assert!(said(&unanswered).contains("nobody has entered the code") && !house.kept().exists());
}

/// A program of the same user has everything that this user's disk has: the kept token, the command line, the sockets.
#[test]
fn what_is_kept_approves_and_administers_nothing_also_for_the_same_user() {
    let house = house();
    assert!(house.sign_in("alice").status.success());
    let token = house.token();
    // Something waits for an answer.
    let waits = {
        let mut command = house.command(&[
            "run",
            "--agent",
            "coder",
            "--target",
            DATABASE,
            "--",
            "psql",
            "-XqAt",
            "-c",
            "DELETE FROM t WHERE n = 1",
        ]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let begun = std::time::Instant::now();
    let request = loop {
        if let Some(request) = house.rig.gateway.waiting_request().unwrap() {
            break request;
        }
        assert!(begun.elapsed().as_secs() < 30, "nothing waits");
    };
    for secret in [token.as_str(), "", "dwa_0000000000000000000000000000000000000000"] {
        for arguments in [
            &["requests", "approve", &request][..],
            &["requests", "--as", "alice", "approve", &request],
            &["requests", "ls"],
            &["token", "issue", "user:alice"],
            &["approver", "add", "alice", "--group", "dba"],
            &["revoke", "ls"],
            &["break-glass", "create", "--for", "alice", "--target", DATABASE],
            &["sessions", "ls"],
        ] {
            let mut command = house.command(arguments);
            command.env("DURWARD_ADMIN_SECRET", secret).env("DURWARD_APPROVER_SECRET", secret);
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(4), "{arguments:?}: {}", said(&output));
        }
        // And by hand, at both of the gateway's other doors.
        for port in [house.rig.gateway.admin_port(), house.agents] {
            let bearer = format!("Bearer {secret}");
            let path = format!("/api/v1/requests/{request}/answer");
            let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
            let answer = http::request(port, "POST", &path, &headers, br#"{"approve":true}"#).unwrap();
            assert!(
                matches!(answer.status, 401 | 403 | 404 | 429),
                "{port}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
    assert_eq!(
        house.rig.gateway.waiting_request().unwrap().as_deref(),
        Some(request.as_str()),
        "it waits still"
    );
    // Its honest neighbour: the administrator answers.
    text(&mut house.rig.gateway.command(&["requests", "deny", &request])).unwrap();
    drop(waits.wait_with_output());
}

#[test]
fn an_answer_that_is_not_to_our_question_signs_nobody_in() {
    let house = house();
    let (mut child, address) = house.begin();
    let back = Browser::default().go(house.issuer.port(), &address, "alice");
    let (base, query) = back.split_once('?').unwrap();
    assert!(query.contains("code=") && query.contains("state=") && query.contains("iss="), "{query}");
    let state = query.split('&').find(|p| p.starts_with("state=")).unwrap();
    // Answers that anybody on this machine may send are no answers, and whoever waits goes on waiting.
    for wrong in
        [format!("{base}?code=x&state=guessed"), format!("{base}?code=x"), format!("{base}x?code=x&{state}")]
    {
        assert_eq!(visit(&wrong).status, 404, "{wrong}");
    }
    assert!(child.try_wait().unwrap().is_none(), "it waits still");
    // With the right state and another issuer's name (RFC 9207) the code is not spent.
    let mixed = format!("{base}?code=x&{state}&iss=https%3A%2F%2Fevil.example.com");
    assert!(visit(&mixed).body.contains("not signed in"));
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success() && !house.kept().exists());
    // Without its name neither, since this issuer says that it gives it.
    let (child, address) = house.begin();
    let back = Browser::default().go(house.issuer.port(), &address, "alice");
    let without: Vec<&str> = back.split('&').filter(|p| !p.starts_with("iss=")).collect();
    visit(&without.join("&"));
    assert!(!child.wait_with_output().unwrap().status.success() && !house.kept().exists());
    // A person whom policy lets do nothing signs in, and does nothing.
    assert!(house.sign_in("mallory").status.success());
    assert!(house.said(&["connect", DATABASE, "--", "-c", "SELECT 1"]).contains("no token for this target"));
}

#[test]
fn revoking_what_somebody_signed_in_with_ends_their_agents_too() {
    let house = house();
    assert!(house.sign_in("alice").status.success());
    let script = "psql -XqAt -c 'SELECT 1' -c 'SELECT pg_sleep(60)'";
    for what in [
        &["group", "company/dba"][..],
        &["issuer", "company"],
        &["principal", "user:company/alice@example.com"],
    ] {
        let run = ["run", "--agent", "coder", "--target", DATABASE, "--", "sh", "-c", script];
        let child = house.command(&run).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = std::time::Instant::now();
        let sessions = || text(&mut house.rig.gateway.command(&["sessions", "ls"])).unwrap();
        while !sessions().contains("local/coder") {
            assert!(begun.elapsed().as_secs() < 30, "no session");
        }
        let revoke = [&["revoke"], what, &["--reason", "a stolen laptop", "--json"]].concat();
        let revoked = Json::parse(&text(&mut house.rig.gateway.command(&revoke)).unwrap()).unwrap();
        let words = said(&child.wait_with_output().unwrap());
        assert!(words.contains("access was revoked: a stolen laptop"), "{what:?}: {words}");
        let id = revoked.at("revocation").and_then(|r| r.at("id")).and_then(Json::text).unwrap();
        text(&mut house.rig.gateway.command(&["revoke", "lift", id])).unwrap();
    }
}
