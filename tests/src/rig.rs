//! A server with the gateway in front of it, and the two ways to it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::durward::{Durward, Target};
use testkit::postgres::{Postgres, SUPERUSER};
use testkit::process::text;

/// Everything is allowed, so that whatever differs is the gateway's own doing.
pub(crate) const ALLOW_ALL: &str = "@id(\"everything\")\npermit (principal, action, resource);\n";

/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// The database, and the target's name, so that clients see the same on both ways.
pub(crate) const DATABASE: &str = "sample";

/// A server, the gateway, and what a client needs for either.
pub(crate) struct Rig {
    // Dropped in this order: the gateway ends before the server that it leads to.
    pub(crate) gateway: Durward,
    pub(crate) server: Postgres,
    token: String,
}

impl Rig {
    #[track_caller]
    pub(crate) fn start(settings: &[&str], policy: &str) -> Self {
        let server = server(settings);
        let target = Target::new(DATABASE, server.port(), DATABASE);
        Self::of(server, &target, "", policy)
    }

    /// In front of a server that is there, with settings for those who connect.
    #[track_caller]
    pub(crate) fn of(server: Postgres, target: &Target, settings: &str, policy: &str) -> Self {
        let gateway = Durward::start_with(&binary(), settings).unwrap();
        gateway.apply(std::slice::from_ref(target), &[("test", policy)]).unwrap();
        let token = gateway.token("tester").unwrap();
        Self { server, gateway, token }
    }

    pub(crate) fn direct(&self) -> Way {
        Way::direct(&self.server)
    }

    pub(crate) fn through(&self) -> Way {
        Way { port: self.gateway.port(), password: self.token.clone() }
    }

    /// A statement that psql sends through the gateway, and waits for.
    #[track_caller]
    pub(crate) fn send(&self, statement: &str) -> Child {
        let mut psql = self.through().command("psql");
        psql.args(["-Xc", statement]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The request that waits for an answer, once there is one.
    #[track_caller]
    pub(crate) fn waiting(&self) -> String {
        let start = Instant::now();
        loop {
            if let Some(id) = self.gateway.waiting_request().unwrap() {
                return id;
            }
            assert!(start.elapsed() < PATIENCE, "nothing is held");
            sleep(Duration::from_millis(20));
        }
    }

    /// A request as its approver sees it in a terminal.
    #[track_caller]
    pub(crate) fn shown(&self, id: &str) -> String {
        text(&mut self.gateway.command(&["requests", "show", id])).unwrap()
    }

    /// Answers a request with `approve` or `deny`.
    #[track_caller]
    pub(crate) fn answer(&self, word: &str, id: &str) {
        let answered = self.gateway.command(&["requests", word, id]).output().unwrap();
        assert!(answered.status.success(), "{}", said(&answered));
    }

    /// What the sample database itself says.
    #[track_caller]
    pub(crate) fn value(&self, question: &str) -> String {
        self.server.sql(DATABASE, question).unwrap().trim().to_owned()
    }
}

/// All that a command printed, its errors behind the rest.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A server with the sample database, and nothing in front of it.
#[track_caller]
pub(crate) fn server(settings: &[&str]) -> Postgres {
    let server = Postgres::start(settings).unwrap();
    server.sql("postgres", &format!("CREATE DATABASE {DATABASE}")).unwrap();
    server.file(DATABASE, &folder("programs").join("sample.sql")).unwrap();
    server
}

/// How a client gets to the sample database.
pub(crate) struct Way {
    pub(crate) port: u16,
    pub(crate) password: String,
}

impl Way {
    pub(crate) fn direct(server: &Postgres) -> Self {
        Self { port: server.port(), password: "none is asked for".to_owned() }
    }

    /// A command that finds its way by libpq's environment, which every client of ours reads.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("PATH", testkit::postgres::path())
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string());
        command.env("PGUSER", SUPERUSER).env("PGPASSWORD", &self.password);
        command.env("PGDATABASE", DATABASE).env("PGSSLMODE", "disable");
        command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    /// All that a command prints, errors too, in the order in which they come.
    #[track_caller]
    pub(crate) fn said(&self, command: &mut Command) -> String {
        // One pipe for both, so that their order is kept.
        let mut shell = self.command("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        let output = shell.output().unwrap();
        format!("{}ended with {}\n", String::from_utf8_lossy(&output.stdout), output.status)
    }

    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        let (client, connection) = self.config().connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub(crate) fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(SUPERUSER).dbname(DATABASE).password(&self.password);
        config
    }
}

/// The gateway: `DURWARD_BIN`, or what cargo built beside these tests.
#[track_caller]
pub(crate) fn binary() -> PathBuf {
    if let Some(given) = std::env::var_os("DURWARD_BIN") {
        return given.into();
    }
    let found = ["release", "debug"].map(|profile| target().join(profile).join("durward"));
    let newest = found
        .into_iter()
        .filter(|path| path.exists())
        .max_by_key(|path| path.metadata().and_then(|m| m.modified()).ok());
    newest.expect("there is no gateway to test: cargo build -p durward")
}

/// Python with the clients that `cargo xtask install` puts there.
#[track_caller]
pub(crate) fn python() -> PathBuf {
    let python = std::env::var_os("DURWARD_PYTHON")
        .map_or_else(|| target().join("venv").join("bin").join("python"), PathBuf::from);
    assert!(python.exists(), "there is no {}: cargo xtask install", python.display());
    python
}

/// The folder with Node's clients that `cargo xtask install` puts there.
#[track_caller]
pub(crate) fn npm() -> PathBuf {
    let npm = std::env::var_os("DURWARD_NPM").map_or_else(|| target().join("npm"), PathBuf::from);
    assert!(npm.exists(), "there is no {}: cargo xtask install", npm.display());
    npm
}

/// Cargo's target folder: this program is in `TARGET/PROFILE/deps`.
fn target() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
