//! What an idle session takes where there are ten thousand: too many for a PostgreSQL of this machine, so PgBouncer plays the
//! target, with TLS and SCRAM, and lets the few statements of all sessions share a few connections of a real server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::durward::{Durward, Target};
use testkit::postgres::{Postgres, SUPERUSER};
use testkit::process::{Running, Stop, free_port, text};
use testkit::{Account, Failure, Scratch};

use super::login::{CLIENT, Files, MOST_IDLE, QUICK, QUICK_VERIFIER};
use super::{DATABASE, POLICY};
use crate::{Options, build, install};

/// What is asked for where nobody says otherwise.
const SESSIONS: u32 = 10_000;
/// Files that the gateway has open beside those of its sessions.
const OTHER_FILES: u32 = 100;
/// What the gateway says to a target when it begins, and no PgBouncer knows.
const OURS: &str = "durward.principal,durward.chain,durward.session,default_transaction_read_only,statement_timeout,\
                    lock_timeout,search_path,jit,max_parallel_workers_per_gather";

pub(crate) fn run(options: &Options<'_>) -> Result<(), Failure> {
    measure(options.number("--sessions", SESSIONS)?)
}

/// The number that the issue of operations is judged by.
pub(crate) fn judged() -> Result<(), Failure> {
    measure(SESSIONS)
}

fn measure(wanted: u32) -> Result<(), Failure> {
    let sessions = allowed(wanted, most_files(&fs::read_to_string("/proc/self/limits")?));
    if sessions < wanted {
        println!(
            "This machine lets a process open too few files for {wanted} sessions, each of which takes the gateway two: \
             {sessions} are measured."
        );
    }
    install::need(install::POSTGRES)?;
    install::need(install::PEERS)?;
    install::need(install::PYTHON)?;
    let (credentials, binary) = (build::credentials()?, build::fast_gateway()?);
    println!("Starting PostgreSQL, PgBouncer as the target of all, and the gateway, with TLS …");
    let ground = Ground::start(&credentials, &binary, sessions)?;
    let bytes = ground.held(sessions)?;
    let each = bytes / 1024.0;
    println!("{sessions} idle sessions, TLS on both sides: {each:.1} KiB each (bar: {MOST_IDLE})");
    if each > MOST_IDLE { Err(format!("an idle session takes {each:.1} KiB").into()) } else { Ok(()) }
}

/// How many files a process may open at most, by `/proc/PID/limits`: name, soft limit, hard limit, unit. The gateway raises
/// its own limit as far as it may.
fn most_files(limits: &str) -> Option<u32> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// As many of the sessions as there may be files for. Where there is no limit, all.
fn allowed(wanted: u32, files: Option<u32>) -> u32 {
    files.map_or(wanted, |files| wanted.min(files.saturating_sub(OTHER_FILES) / 2))
}

/// What is there while it is measured. Each ends before what it leads to.
struct Ground {
    gateway: Durward,
    _stub: Running,
    _server: Postgres,
    files: Files,
    scratch: Scratch,
}

impl Ground {
    fn start(credentials: &Path, binary: &Path, sessions: u32) -> Result<Self, Failure> {
        let scratch = Scratch::owned_by("many", &Account::unprivileged()?)?;
        fs::write(scratch.join("login.py"), CLIENT)?;
        let files = Files::make(credentials, &scratch)?;
        for file in [&files.certificate, &files.key, &files.authority] {
            Account::unprivileged()?.give(file)?;
        }
        let (role, password) = QUICK;
        let password_file = scratch.join("quick.password");
        fs::write(&password_file, password)?;
        let server = Postgres::start(&[])?;
        server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        let (stub, port) = stub(&files, server.port(), &scratch, sessions)?;
        let tls = format!(
            "tls = {{ certificate = \"{}\", key = \"{}\" }}\nconnections_per_address = {}",
            files.certificate.display(),
            files.key.display(),
            sessions + 100
        );
        let gateway = Durward::start_with(binary, &tls)?;
        let target = Target {
            user: role.to_owned(),
            authority: Some(files.authority.clone()),
            password: Some(password_file),
            ..Target::new(DATABASE, port, DATABASE)
        };
        gateway.apply(&[target], &[("bench", POLICY)])?;
        Ok(Self { gateway, _stub: stub, _server: server, files, scratch })
    }

    /// Bytes of memory of each idle session.
    fn held(&self, sessions: u32) -> Result<f64, Failure> {
        let token = self.gateway.token("bench")?;
        // What the first session takes, every later one shares.
        text(&mut self.client(&token, &["open", "1", "1"]))?;
        let before = self.gateway.process().usage()?;
        let log = self.scratch.join("hold.log");
        let mut holding =
            Running::start(&mut self.client(&token, &["hold", &sessions.to_string()]), &log, Stop::Kill)?;
        holding.wait_until("ready", Duration::from_secs(30 * 60), || {
            fs::read_to_string(&log).is_ok_and(|said| said.contains("ready"))
        })?;
        let after = self.gateway.process().usage()?;
        #[expect(clippy::cast_precision_loss, reason = "sizes of processes are far below 2^52 bytes")]
        Ok(after.resident.saturating_sub(before.resident) as f64 / f64::from(sessions))
    }

    fn client(&self, token: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("python3");
        command.arg(self.scratch.join("login.py")).args(arguments);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.gateway.port().to_string());
        command.env("PGUSER", "agent").env("PGPASSWORD", token).env("PGDATABASE", DATABASE);
        command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", &self.files.authority);
        command.env("PGGSSENCMODE", "disable");
        command
    }
}

/// A target for very many sessions, as long as they do little.
fn stub(files: &Files, server: u16, scratch: &Scratch, sessions: u32) -> Result<(Running, u16), Failure> {
    let (port, file, users) = (free_port()?, scratch.join("stub.ini"), scratch.join("stub.users"));
    fs::write(&users, format!("\"{}\" \"{QUICK_VERIFIER}\"\n", QUICK.0))?;
    Account::unprivileged()?.give(&users)?;
    fs::write(
        &file,
        format!(
            "[databases]\n{DATABASE} = host=127.0.0.1 port={server} user={SUPERUSER}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n\
             auth_file = {}\nclient_tls_sslmode = require\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\n\
             pool_mode = transaction\ndefault_pool_size = 20\nmax_client_conn = {}\nlog_connections = 0\n\
             log_disconnections = 0\nignore_startup_parameters = {OURS}\n",
            users.display(),
            files.certificate.display(),
            files.key.display(),
            sessions + 100,
        ),
    )?;
    let mut command = Command::new("/usr/sbin/pgbouncer");
    command.arg(&file);
    Account::unprivileged()?.runs(&mut command);
    let log: PathBuf = scratch.join("stub.log");
    let mut running = Running::start(&mut command, &log, Stop::Terminate)?;
    running.wait_for_port(port)?;
    Ok((running, port))
}

#[cfg(test)]
mod tests {
    use super::{allowed, most_files};

    #[test]
    fn sessions_are_as_many_as_there_are_files_for() {
        let limits = "Limit   Soft Limit   Hard Limit   Units\nMax open files            1024                 20000                files\n";
        assert_eq!(most_files(limits), Some(20_000));
        assert_eq!(most_files("Max open files  1024 unlimited files"), None);
        for (wanted, files, then) in
            [(10_000, Some(20_000), 9_950), (1_000, Some(20_000), 1_000), (10, None, 10)]
        {
            assert_eq!(allowed(wanted, files), then, "{wanted} of {files:?}");
        }
    }
}
