//! A PostgreSQL server of one's own: its own directory, its own port, never a cluster that was there before.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::process::{Running, Stop, free_port, text};
use crate::{Account, Failure, Scratch};

/// Where Debian puts the servers, one folder for each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The superuser of every server that is started here.
pub const SUPERUSER: &str = "postgres";

/// The folder with `initdb` and `postgres`: `DURWARD_PG_BIN`, or the newest of Debian's.
///
/// # Errors
/// There is none.
pub fn newest_bin() -> Result<PathBuf, Failure> {
    match std::env::var_os("DURWARD_PG_BIN") {
        Some(given) => Ok(given.into()),
        None => newest_of_debian(),
    }
}

/// Where programs are looked for: Debian's own clients first, and not what it puts before them, which chooses among versions each
/// time.
pub fn path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = newest_of_debian().into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(all).unwrap_or(path)
}

fn newest_of_debian() -> Result<PathBuf, Failure> {
    let majors = std::fs::read_dir(DEBIAN).map_err(|_| missing())?.flatten();
    majors
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").exists())
        .max()
        .map(|(_, bin)| bin)
        .ok_or_else(missing)
}

fn missing() -> Failure {
    "there is no PostgreSQL server here: `cargo xtask install` gets Debian's".into()
}

/// A server that is running, on loopback, with the superuser `postgres` and no passwords unless roles are given some.
pub struct Postgres {
    // Dropped in this order: the server ends before its directory goes.
    server: Running,
    scratch: Scratch,
    bin: PathBuf,
    port: u16,
}

impl Postgres {
    /// Starts the newest server that is installed, with settings (`name=value`) beside those that make it fast to start.
    ///
    /// # Errors
    /// There is none, or it does not start.
    pub fn start(settings: &[&str]) -> Result<Self, Failure> {
        Self::start_from(&newest_bin()?, settings)
    }

    /// Starts the server of a folder of programs.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_from(bin: &Path, settings: &[&str]) -> Result<Self, Failure> {
        let account = Account::unprivileged()?;
        let scratch = Scratch::owned_by("pg", &account)?;
        let empty = empty(bin, &account)?;
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(empty).arg(scratch.join("data"));
        account.runs(&mut copy);
        text(&mut copy)?;
        let port = free_port()?;
        let mut command = Command::new(bin.join("postgres"));
        command.current_dir(scratch.path()).arg("-D").arg(scratch.join("data"));
        command.arg("-k").arg(scratch.path());
        command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        // A server that lives for minutes needs no crash safety.
        for setting in ["fsync=off", "full_page_writes=off", "max_connections=300", "max_wal_size=1GB"]
            .iter()
            .chain(settings)
        {
            command.args(["-c", setting]);
        }
        account.runs(&mut command);
        let server = Running::start(&mut command, &scratch.join("log"), Stop::Interrupt)?;
        let mut this = Self { server, scratch, bin: bin.to_owned(), port };
        this.wait()?;
        Ok(this)
    }

    /// The server that tests which run beside each other share; it ends with the last of them.
    ///
    /// # Errors
    /// It does not start.
    pub fn shared() -> Result<Arc<Self>, Failure> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start(&[])?);
        *shared = Arc::downgrade(&server);
        Ok(server)
    }

    /// A new database in it, which nobody else knows.
    ///
    /// # Errors
    /// The server's.
    pub fn fresh_database(&self) -> Result<String, Failure> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("fresh_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(name)
    }

    /// The address of one of its databases, for the superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }

    fn wait(&mut self) -> Result<(), Failure> {
        let (own, port) = (self.bin.join("pg_isready"), self.port.to_string());
        // Some packages have servers alone.
        let ready = if own.exists() { own } else { PathBuf::from("pg_isready") };
        self.server.wait_until("ready", Duration::from_secs(60), || {
            text(Command::new(&ready).args(["-q", "-h", "127.0.0.1", "-U", SUPERUSER, "-p", &port])).is_ok()
        })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.server.printed()
    }

    /// Runs SQL as the superuser with `psql`; the answer is unaligned, without headings.
    ///
    /// # Errors
    /// The server's.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String, Failure> {
        text(self.psql(database).args(["-c", sql]))
    }

    /// Runs a file of SQL as the superuser.
    ///
    /// # Errors
    /// The server's.
    pub fn file(&self, database: &str, file: &Path) -> Result<String, Failure> {
        text(self.psql(database).arg("-f").arg(file))
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.env("PATH", path());
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", SUPERUSER, "-d", database]);
        psql.args(["-p", &self.port.to_string()]);
        psql
    }

    /// Its directory, for sockets and files that it reads.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }
}

/// The directory of an empty cluster: to copy one takes a third of what it takes to make one. Whoever runs next sweeps it away.
fn empty(bin: &Path, account: &Account) -> Result<PathBuf, Failure> {
    static EMPTY: Mutex<BTreeMap<PathBuf, Scratch>> = Mutex::new(BTreeMap::new());
    let mut all = EMPTY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(made) = all.get(bin) {
        return Ok(made.join("data"));
    }
    let scratch = Scratch::owned_by("pg-empty", account)?;
    initdb(bin, &scratch, account)?;
    let data = scratch.join("data");
    all.insert(bin.to_owned(), scratch);
    Ok(data)
}

fn initdb(bin: &Path, scratch: &Scratch, account: &Account) -> Result<(), Failure> {
    let mut initdb = Command::new(bin.join("initdb"));
    initdb.current_dir(scratch.path()).arg("-D").arg(scratch.join("data"));
    initdb.args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
    // There is less to copy.
    initdb.arg("--wal-segsize=1");
    account.runs(&mut initdb);
    text(&mut initdb)?;
    Ok(())
}
