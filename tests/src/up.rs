//! `durward up`: one command in front of somebody's own database, and what it prints is all that an agent and its operator need.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use testkit::Scratch;
use testkit::http;
use testkit::json::Json;
use testkit::postgres::Postgres;
use testkit::process::{Running, Stop, free_port};

use crate::approvals::eventually;
use crate::custody::{SCRAM, demand_passwords, role};
use crate::rig::{DATABASE, binary, said, server};

/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(60);
/// With what a URL, a shell and `.pgpass` take to be something else.
const PASSWORD: &str = "p@ss:w/rd '$%";

/// Somebody's own database, with personal data in it and a role that asks for its password.
fn database() -> Postgres {
    let server = server(&[SCRAM]);
    let guests = "CREATE TABLE guests (id int PRIMARY KEY, email text, city text); \
                  INSERT INTO guests VALUES (1, 'ada@secret.test', 'London'), (2, 'bob@secret.test', 'Paris'); \
                  CREATE ROLE app LOGIN";
    server.sql(DATABASE, guests).unwrap();
    server.sql(DATABASE, "GRANT SELECT, INSERT, UPDATE, DELETE ON guests TO app").unwrap();
    role(&server, "owner", PASSWORD);
    server.sql(DATABASE, "GRANT app TO owner").unwrap();
    demand_passwords(&server);
    server
}

/// A gateway that `up` has started.
struct Started {
    running: Running,
    agents: u16,
    said: String,
}

/// How a password is given.
enum By<'a> {
    Url,
    Environment,
    File(&'a Path),
    Pgpass(&'a Path),
    /// The gateway has it from before.
    Kept,
}

fn url(server: &Postgres, password: Option<&str>) -> String {
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let password = password.map(|text| format!(":{}", encoded(text))).unwrap_or_default();
    format!("postgres://owner{password}@127.0.0.1:{}/{DATABASE}?sslmode=disable", server.port())
}

/// The command, and the port for agents.
fn up(server: &Postgres, data: &Path, by: &By<'_>) -> (Command, u16) {
    let [listen, admin, agents] = [(); 3].map(|()| free_port().unwrap());
    let mut command = Command::new(binary());
    command.env_remove("PGPASSWORD").env("PGPASSFILE", "/dev/null");
    let given = if let By::Url = by { Some(PASSWORD) } else { None };
    command.args(["up", &url(server, given), "--data"]).arg(data);
    for (name, port) in [("--listen", listen), ("--console", admin), ("--agents", agents)] {
        command.arg(name).arg(format!("127.0.0.1:{port}"));
    }
    match by {
        By::Environment => drop(command.env("PGPASSWORD", PASSWORD)),
        By::File(file) => drop(command.arg("--password-file").arg(file)),
        By::Pgpass(file) => drop(command.env("PGPASSFILE", file)),
        By::Url | By::Kept => (),
    }
    (command, agents)
}

impl Started {
    #[track_caller]
    fn of(server: &Postgres, data: &Path, by: &By<'_>) -> Self {
        let (mut command, agents) = up(server, data, by);
        let log = data.with_extension("log");
        let mut running = Running::start(&mut command, &log, Stop::Terminate).unwrap();
        let printed = || fs::read_to_string(&log).unwrap_or_default();
        running.wait_until("serving", PATIENCE, || printed().contains("Serving;")).unwrap();
        Self { agents, said: printed(), running }
    }

    /// The value of a line `export NAME=value` that was printed.
    #[track_caller]
    fn exported(&self, name: &str) -> &str {
        let start = format!("    export {name}=");
        let value = self.said.lines().find_map(|line| line.strip_prefix(start.as_str()));
        value.unwrap_or_else(|| panic!("no {name} in\n{}", self.said))
    }

    /// A line that was printed, run by a shell that has nothing but the environment which was printed, too.
    #[track_caller]
    fn run(&self, line: &str) -> Output {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for name in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "DATABASE_URL"] {
            shell.env(name, self.exported(name));
        }
        shell.env("LC_ALL", "C.UTF-8").output().unwrap()
    }

    /// The line that begins so.
    #[track_caller]
    fn line(&self, start: &str) -> &str {
        let line = self.said.lines().map(str::trim).find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("no {start} in\n{}", self.said))
    }
}

#[test]
fn what_up_prints_is_all_that_an_agent_and_its_operator_need() {
    let server = database();
    let home = Scratch::new("up").unwrap();
    let data = home.join("data");
    let up = Started::of(&server, &data, &By::Url);

    // The password is in no argument, in no variable and in no file.
    for place in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{}/{place}", up.running.pid())).unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(!text.contains("%70%40") && !text.contains(PASSWORD), "{place}: {text}");
    }
    let scan = Command::new("grep").args(["-rlaF", PASSWORD]).arg(&data).output().unwrap();
    assert!(scan.stdout.is_empty(), "{}", said(&scan));

    // Proposed by name, and masked.
    assert!(up.said.contains("guests.email"), "{}", up.said);
    let by_environment = "psql -XAtc 'SELECT id, email, city FROM guests ORDER BY id'";
    let by_line = format!("{} -XAtc 'SELECT id, email, city FROM guests ORDER BY id'", up.line("psql -h"));
    let by_url = "psql \"$DATABASE_URL\" -XAtc 'SELECT id, email, city FROM guests ORDER BY id'";
    for line in [by_environment, &by_line, by_url] {
        let rows = said(&up.run(line));
        assert!(
            rows.contains("London") && rows.contains("1|") && !rows.contains("secret.test"),
            "{line}: {rows}"
        );
    }
    let refused = said(&up.run("psql -Xc 'DROP TABLE guests'"));
    assert!(refused.contains("is not allowed"), "{refused}");

    // The same by the line for a program that speaks MCP, whose headers a shell fills in.
    let line = up
        .said
        .lines()
        .find(|line| line.contains("--header"))
        .unwrap()
        .trim()
        .replace("claude mcp add --transport http durward", "printf '%s\\n'");
    let words = said(&up.run(&line));
    let [url, _, header] = words.lines().collect::<Vec<_>>()[..] else { panic!("{words}") };
    assert_eq!(url, format!("http://127.0.0.1:{}/mcp", up.agents));
    let (name, value) = header.split_once(": ").unwrap();
    let headers = [
        (name, value),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "targets"),
    ];
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"targets","arguments":{},"_meta":{
        "io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let targets = http::request(up.agents, "POST", "/mcp", &headers, body.as_bytes()).unwrap();
    assert!(targets.status == 200 && targets.body.contains(DATABASE), "{}", targets.body);

    // Without a token it hears where a person signs it in, which is the console.
    let stranger = http::request(up.agents, "POST", "/mcp", &headers[1..], body.as_bytes()).unwrap();
    assert_eq!(stranger.status, 401, "{}", stranger.body);
    let server =
        http::request(up.agents, "GET", "/.well-known/oauth-authorization-server", &[], b"").unwrap();
    let console = up.exported("DURWARD_GATEWAY").rsplit_once(':').unwrap().1;
    let page = format!(r#""authorization_endpoint":"http://localhost:{console}/authorize""#);
    assert!(server.body.contains(&page) && server.body.contains("registration_endpoint"), "{}", server.body);

    // A write waits, and the secret that was shown once lets it through.
    let secret = up.said.split_whitespace().find(|word| word.starts_with("dwa_")).unwrap().to_owned();
    let held = std::thread::scope(|scope| {
        let write = scope
            .spawn(|| up.run("psql -XAtc \"UPDATE guests SET city = 'Rome' WHERE id = 2 RETURNING city\""));
        let administrator = |arguments: &[&str]| {
            let mut command = Command::new(binary());
            command.args(arguments).env("DURWARD_ADMIN_SECRET", &secret);
            command.env("DURWARD_GATEWAY", up.exported("DURWARD_GATEWAY")).output().unwrap()
        };
        let request = eventually("a request is filed", || {
            let waiting = administrator(&["requests", "ls", "--json"]);
            let waiting = Json::parse(&String::from_utf8_lossy(&waiting.stdout)).ok()?;
            Some(waiting.items().first()?.at("id")?.text()?.to_owned())
        });
        let approved = administrator(&["requests", "approve", &request]);
        assert!(approved.status.success(), "{}", said(&approved));
        write.join().unwrap()
    });
    assert!(said(&held).contains("Rome"), "{}", said(&held));
}

#[test]
fn a_password_is_taken_from_where_it_stands_and_kept() {
    let server = database();
    let home = Scratch::new("up").unwrap();
    let file = home.join("password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let pgpass = home.join("pgpass");
    fs::write(&pgpass, format!("127.0.0.1:{}:*:owner:{}\n", server.port(), PASSWORD.replace(':', "\\:")))
        .unwrap();
    for path in [&file, &pgpass] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    for (name, by) in
        [("environment", By::Environment), ("file", By::File(&file)), ("pgpass", By::Pgpass(&pgpass))]
    {
        let data = home.join(&format!("data-{name}"));
        let mut up = Started::of(&server, &data, &by);
        let who = said(&up.run("psql -XAtc 'SELECT session_user'"));
        assert_eq!(who, "owner\n", "{name}");
        up.running.end();
        // It is asked for once.
        let again = Started::of(&server, &data, &By::Kept);
        assert_eq!(said(&again.run("psql -XAtc 'SELECT session_user'")), "owner\n", "{name}, again");
        assert!(!again.said.contains("dwa_"), "the secret is shown once: {}", again.said);
    }
}

#[test]
fn what_cannot_work_is_said_and_nothing_is_left_half_done() {
    let server = database();
    let home = Scratch::new("up").unwrap();
    let wrong = home.join("wrong");
    fs::write(&wrong, "another").unwrap();
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600)).unwrap();
    let data = home.join("data");
    for (by, more, expected) in [
        (By::File(&wrong), &[][..], "password authentication failed"),
        (By::File(&wrong), &["--agents", "0.0.0.0:7380"], "can be reached from elsewhere"),
        (By::File(&wrong), &["--console", "0.0.0.0:7300"], "can be reached from elsewhere"),
    ] {
        let (mut command, _) = up(&server, &data, &by);
        // The last one counts.
        for pair in more.chunks(2) {
            let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
            let at = words.iter().position(|word| *word == pair[0]).unwrap();
            let mut other = Command::new(binary());
            other.args(&words[..=at]).arg(pair[1]).args(&words[at + 2..]);
            other.env_remove("PGPASSWORD").env("PGPASSFILE", "/dev/null");
            command = other;
        }
        let output = command.output().unwrap();
        assert!(!output.status.success() && said(&output).contains(expected), "{}", said(&output));
        assert!(!said(&output).contains("dwt_"), "no token for what cannot be reached: {}", said(&output));
    }
    // What comes after it is as good as new.
    let right = home.join("right");
    fs::write(&right, PASSWORD).unwrap();
    fs::set_permissions(&right, fs::Permissions::from_mode(0o644)).unwrap();
    let up = Started::of(&server, &data, &By::File(&right));
    assert!(up.said.contains("can be read by others: chmod 600 it"), "{}", up.said);
    assert_eq!(said(&up.run("psql -XAtc 'SELECT city FROM guests WHERE id = 1'")), "London\n");
}

/// Of two that begin in one place one makes it, and the other says that it is there: nothing is made twice.
#[test]
fn of_two_first_ones_at_once_in_one_place_one_serves_and_the_other_says_so() {
    let server = database();
    let home = Scratch::new("up").unwrap();
    let data = home.join("data");
    let mut both = ["one", "other"].map(|name| {
        let (mut command, _) = up(&server, &data, &By::Url);
        Running::start(&mut command, &home.join(name), Stop::Terminate).unwrap()
    });
    let over = eventually("one has ended", || both.iter_mut().position(|one| one.still_runs().is_err()));
    let told = both[over].printed();
    assert!(told.contains("a gateway runs on") && told.contains("already"), "{told}");
    assert!(!told.contains("dwa_") && !told.contains("dwt_"), "it shows no secret: {told}");
    let serves = &both[1 - over];
    let printed = eventually("the other serves", || {
        Some(serves.printed()).filter(|printed| printed.contains("Serving;"))
    });
    let exported = |name: &str| {
        let start = format!("    export {name}=");
        printed
            .lines()
            .find_map(|line| line.strip_prefix(start.as_str()))
            .unwrap()
            .trim_matches('\'')
            .to_owned()
    };
    let mut psql = Command::new("psql");
    psql.args(["-XAtc", "SELECT city FROM guests WHERE id = 1"]);
    for name in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD"] {
        psql.env(name, exported(name));
    }
    assert_eq!(said(&psql.output().unwrap()), "London\n");
}
