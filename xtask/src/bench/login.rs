//! What it takes to open a session over TLS, with PostgreSQL's own client library, and what an idle one takes: libpq is what
//! most clients are made of, and its set-up is what their users wait for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::durward::{Durward, Target};
use testkit::postgres::Postgres;
use testkit::process::{Running, Stop, free_port, text};
use testkit::{Account, Failure, Scratch};

use super::peers::Peer;
use super::report::{Report, Sample, Title, median};
use super::{DATABASE, POLICY};
use crate::{Options, build, install};

/// The client.
pub(super) const CLIENT: &str = include_str!("login.py");
/// The role of the direct way, of PgBouncer and of the gateway.
pub(super) const ROLE: &str = "app";
const PASSWORD: &str = "a long password of the role";
/// A role whose password takes one round of PBKDF2 instead of 4096, so that a direct set-up takes what it would if clients kept
/// the keys that they work out, as the gateway does. Its verifier is for the password "known".
pub(super) const QUICK: (&str, &str) = ("quick", "known");
pub(super) const QUICK_VERIFIER: &str = "SCRAM-SHA-256$1:ZHVyd2FyZC1iZW5jaC0xNg==$LjT8pUGwyvYLKWgniGCCVLZ70Jq7AtPAgAb/mxe7T1o=:\
                              qfpJpMcOA9BvbVfa/xI/fTMiBJtmDYx6tYhquW+/KkI=";
const ISSUER: &str = "https://issuer.bench.invalid";
const AUDIENCE: &str = "durward";
const SET_UPS: &str = "set-ups over TLS";
const IDLE: &str = "idle sessions, TLS on both sides";
const CLIENTS: [u32; 2] = [1, 8];
/// What a median set-up with a `dwt_` token may take, in direct ones.
const MOST_SET_UP: f64 = 1.1;
/// What an idle session may take, in KiB.
pub(super) const MOST_IDLE: f64 = 48.0;

pub(crate) fn run(options: &Options<'_>) -> Result<(), Failure> {
    let (seconds, rounds) = (options.number("--seconds", 4)?, options.number("--rounds", 5)?);
    let sessions = options.number("--sessions", 1000)?;
    let only = options.value("--only").unwrap_or_default();
    install::need(install::POSTGRES)?;
    install::need(install::PEERS)?;
    install::need(install::PYTHON)?;
    let (credentials, binary) = (build::credentials()?, build::fast_gateway()?);

    println!("Starting PostgreSQL, PgBouncer and the gateway, with TLS …");
    let mut bench = Bench::start(&credentials, &binary, sessions)?;
    let measured = bench.measure(seconds, rounds, only, sessions);
    // What was measured before something failed is kept.
    if let Some(path) = options.value("--json") {
        fs::write(path, bench.report.json())?;
        println!("The rows are in {path}.");
    }
    measured
}

/// What is there while it is measured. The ways end before the servers that they lead to.
struct Bench {
    ways: Vec<Peer>,
    _gateway: Durward,
    _server: Postgres,
    scratch: Scratch,
    report: Report,
}

/// The credentials, in files that the server's account can read.
pub(super) struct Files {
    pub(super) authority: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    jwks: PathBuf,
    jwt: String,
    pub(super) password: PathBuf,
}

impl Files {
    pub(super) fn make(credentials: &Path, scratch: &Scratch) -> Result<Self, Failure> {
        let mut command = Command::new(credentials);
        text(command.arg(scratch.path()).args([ISSUER, AUDIENCE]))?;
        let password = scratch.join("password");
        fs::write(&password, PASSWORD)?;
        Ok(Self {
            authority: scratch.join("authority.pem"),
            certificate: scratch.join("server.pem"),
            key: scratch.join("server.key"),
            jwks: scratch.join("jwks.json"),
            jwt: fs::read_to_string(scratch.join("token.jwt"))?,
            password,
        })
    }
}

/// A server that takes its role by TLS and SCRAM alone.
fn server(files: &Files, scratch: &Scratch, sessions: u32) -> Result<Postgres, Failure> {
    let access = scratch.join("pg_hba.conf");
    fs::write(
        &access,
        format!(
            "hostssl all {ROLE},{} 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n",
            QUICK.0
        ),
    )?;
    let account = Account::unprivileged()?;
    for file in [&access, &files.certificate, &files.key, &files.authority] {
        account.give(file)?;
    }
    let settings = [
        // PgBouncer keeps as many for the next clients.
        format!("max_connections={}", 2 * sessions + 300),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", files.certificate.display()),
        format!("ssl_key_file={}", files.key.display()),
        format!("hba_file={}", access.display()),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = Postgres::start(&settings)?;
    server.sql("postgres", &format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'"))?;
    let (quick, _) = QUICK;
    server.sql("postgres", &format!("CREATE ROLE {quick} LOGIN PASSWORD '{QUICK_VERIFIER}'"))?;
    server.sql("postgres", &format!("CREATE DATABASE {DATABASE} OWNER {ROLE}"))?;
    Ok(server)
}

fn gateway(binary: &Path, files: &Files, server: &Postgres) -> Result<Durward, Failure> {
    let tls = format!(
        "tls = {{ certificate = \"{}\", key = \"{}\" }}",
        files.certificate.display(),
        files.key.display()
    );
    let gateway = Durward::start_with(binary, &tls)?;
    let target = Target {
        user: ROLE.to_owned(),
        authority: Some(files.authority.clone()),
        password: Some(files.password.clone()),
        ..Target::new(DATABASE, server.port(), DATABASE)
    };
    let issuer = format!(
        "[[issuers]]\nname = \"bench\"\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\nalgorithms = [\"RS256\"]\n\
         jwks_file = \"{}\"\nprincipals = [{{ kind = \"agent\", name = \"sub\" }}]\n",
        files.jwks.display()
    );
    gateway.apply_with(&[target], &[("bench", POLICY)], &[("issuers.toml", &issuer)])?;
    Ok(gateway)
}

/// PgBouncer with TLS and SCRAM on both sides. It keeps connections to the server for the next client, unless it is told to
/// use each but once, as a gateway does whose sessions have nothing of others in them.
fn pgbouncer(
    name: &'static str,
    more: &str,
    files: &Files,
    server: u16,
    scratch: &Scratch,
    sessions: u32,
) -> Result<Peer, Failure> {
    let (port, file) = (free_port()?, scratch.join(&format!("{name}.ini")));
    let users = scratch.join("users.txt");
    fs::write(&users, format!("\"{ROLE}\" \"{PASSWORD}\"\n"))?;
    Account::unprivileged()?.give(&users)?;
    let (certificate, key, authority) =
        (files.certificate.display(), files.key.display(), files.authority.display());
    fs::write(
        &file,
        format!(
            "[databases]\n{DATABASE} = host=127.0.0.1 port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\n\
             client_tls_sslmode = require\nclient_tls_cert_file = {certificate}\nclient_tls_key_file = {key}\n\
             server_tls_sslmode = verify-full\nserver_tls_ca_file = {authority}\npool_mode = session\n\
             max_client_conn = {most}\ndefault_pool_size = {most}\nlog_connections = 0\nlog_disconnections = 0\n{more}\n",
            users.display(),
            most = sessions + 100,
        ),
    )?;
    let mut command = Command::new("/usr/sbin/pgbouncer");
    command.arg(file);
    Account::unprivileged()?.runs(&mut command);
    Peer::started(name, command, port, scratch)
}

impl Bench {
    fn start(credentials: &Path, binary: &Path, sessions: u32) -> Result<Self, Failure> {
        let scratch = Scratch::owned_by("bench", &Account::unprivileged()?)?;
        fs::write(scratch.join("login.py"), CLIENT)?;
        let files = Files::make(credentials, &scratch)?;
        let server = server(&files, &scratch, sessions)?;
        let gateway = gateway(binary, &files, &server)?;
        let as_role = |peer: Peer| peer.by_tls(&files.authority, ROLE, PASSWORD);
        let bouncer = |name, more| pgbouncer(name, more, &files, server.port(), &scratch, sessions);
        let token = gateway.token("bench")?;
        let (id, _) = token.rsplit_once('_').ok_or("a token without an id")?;
        let through = |name, user: &str, password: &str| {
            let peer = Peer::at(name, gateway.port(), None).through(gateway.process().pid());
            peer.by_tls(&files.authority, user, password)
        };
        let ways = vec![
            as_role(Peer::at("direct", server.port(), None)),
            Peer::at("direct, 1 round", server.port(), None).by_tls(&files.authority, QUICK.0, QUICK.1),
            as_role(bouncer("pgbouncer", "")?),
            as_role(bouncer("pgbouncer, fresh", "server_lifetime = 0")?),
            through("durward, dwt_", "agent", &token),
            through("durward, JWT", "agent", &files.jwt),
            through("durward, SCRAM", id, &token),
        ];
        Ok(Self { ways, _gateway: gateway, _server: server, scratch, report: Report::default() })
    }

    fn measure(&mut self, seconds: u32, rounds: u32, only: &str, sessions: u32) -> Result<(), Failure> {
        if SET_UPS.contains(only) {
            for clients in CLIENTS {
                self.set_ups(clients, seconds, rounds)?;
            }
        }
        if IDLE.contains(only) {
            self.idle(sessions)?;
        }
        Ok(())
    }

    fn set_ups(&mut self, clients: u32, seconds: u32, rounds: u32) -> Result<(), Failure> {
        let mut samples: Vec<Vec<Sample>> = self.ways.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (way, samples) in self.ways.iter().zip(&mut samples) {
                samples.push(self.opened(way, clients, seconds)?);
            }
        }
        let ways: Vec<&str> = self.ways.iter().map(|way| way.name).collect();
        self.report.add(&Title { name: SET_UPS, mode: "simple", clients }, &ways, &samples);
        let of = |name: &str| ways.iter().position(|way| *way == name).and_then(|at| samples.get(at));
        if let (Some(direct), Some(token)) = (of("direct"), of("durward, dwt_")) {
            // Round by round, since the machine may get slower or faster meanwhile.
            let ratio = median(direct.iter().zip(token).map(|(direct, token)| token.p50() / direct.p50()));
            println!("A median set-up with a dwt_ token: {ratio:.2} times a direct one (bar: {MOST_SET_UP})");
        }
        Ok(())
    }

    fn client(&self, way: &Peer, arguments: &[&str]) -> Command {
        let mut command = way.client(Path::new("python3"));
        command.arg(self.scratch.join("login.py")).args(arguments);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", way.port.to_string()).env("PGUSER", &way.user);
        command.env("PGDATABASE", way.database).env("PGGSSENCMODE", "disable");
        command
    }

    fn opened(&self, way: &Peer, clients: u32, seconds: u32) -> Result<Sample, Failure> {
        let before = way.usage()?;
        let said = text(&mut self.client(way, &["open", &seconds.to_string(), &clients.to_string()]))?;
        let mut numbers = said.lines().filter_map(|line| line.parse::<f64>().ok());
        let elapsed = numbers.next().ok_or_else(|| Failure::of("the client gave no time", &said))?;
        let taken: Vec<f64> = numbers.collect();
        #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 set-ups")]
        let rate = taken.len() as f64 / elapsed;
        let mut sample = Sample::new(rate, taken);
        if let (Some(before), Some(after)) = (before, way.usage()?) {
            sample.cpu_seconds = Some(after.cpu_seconds - before.cpu_seconds);
        }
        Ok(sample)
    }

    fn idle(&mut self, sessions: u32) -> Result<(), Failure> {
        for name in ["pgbouncer", "durward, dwt_"] {
            let Some(way) = self.ways.iter().find(|way| way.name == name) else { continue };
            let Some(bytes) = self.held(way, sessions)? else { continue };
            self.report.idle(IDLE, name, sessions, bytes);
            if name != "pgbouncer" {
                println!("An idle session: {:.1} KiB (bar: {MOST_IDLE})", bytes / 1024.0);
            }
        }
        Ok(())
    }

    /// Bytes of memory of each idle session.
    fn held(&self, way: &Peer, sessions: u32) -> Result<Option<f64>, Failure> {
        // What the first session takes, every later one shares.
        self.opened(way, 1, 1)?;
        let Some(before) = way.usage()? else { return Ok(None) };
        let log = self.scratch.join("hold.log");
        let mut command = self.client(way, &["hold", &sessions.to_string()]);
        let mut holding = Running::start(&mut command, &log, Stop::Kill)?;
        holding.wait_until("ready", Duration::from_secs(300), || {
            fs::read_to_string(&log).is_ok_and(|said| said.contains("ready"))
        })?;
        let after = way.usage()?;
        #[expect(clippy::cast_precision_loss, reason = "sizes of processes are far below 2^52 bytes")]
        Ok(after.map(|after| after.resident.saturating_sub(before.resident) as f64 / f64::from(sessions)))
    }
}
