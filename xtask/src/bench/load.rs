//! One load on one peer, measured once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::postgres::{SUPERUSER, newest_bin};
use testkit::process::{Running, Stop, text};
use testkit::{Failure, Scratch};

use super::peers::Peer;
use super::report::Sample;

/// Ten times 100,000 accounts: more than fits any cache of a proxy, and all of it in the server's memory.
const SCALE: &str = "10";

/// What is measured.
pub(super) struct Work {
    pub(super) name: String,
    pub(super) mode: &'static str,
    pub(super) clients: u32,
    pub(super) load: Load,
}

pub(super) enum Load {
    /// pgbench's own read-only script.
    Select { seconds: u32 },
    /// A connection for each statement.
    Connect { seconds: u32 },
    /// One result, read as fast as it comes.
    Read { sql: &'static str },
}

fn pgbench() -> Result<PathBuf, Failure> {
    Ok(newest_bin()?.join("pgbench"))
}

/// pgbench's tables.
pub(super) fn initialize(port: u16, database: &str) -> Result<(), Failure> {
    let mut command = Command::new(pgbench()?);
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-U",
        SUPERUSER,
        "-i",
        "-q",
        "-s",
        SCALE,
        database,
    ]);
    text(&mut command).map(drop)
}

pub(super) fn put(work: &Work, peer: &Peer, relay: &Path, scratch: &Scratch) -> Result<Sample, Failure> {
    let before = peer.usage()?;
    let mut sample = match work.load {
        Load::Select { seconds } => bench(work, peer, seconds, &["-S"], scratch)?,
        Load::Connect { seconds } => {
            let script = scratch.join("one.sql");
            fs::write(&script, "SELECT 1;\n")?;
            bench(work, peer, seconds, &["-C", "-f", &script.to_string_lossy()], scratch)?
        }
        Load::Read { sql } => read(peer, relay, sql)?,
    };
    if let (Some(before), Some(after)) = (before, peer.usage()?) {
        sample.cpu_seconds = Some(after.cpu_seconds - before.cpu_seconds);
    }
    Ok(sample)
}

fn bench(
    work: &Work,
    peer: &Peer,
    seconds: u32,
    what: &[&str],
    scratch: &Scratch,
) -> Result<Sample, Failure> {
    let logs = scratch.join("latencies");
    fs::create_dir_all(&logs)?;
    let clients = work.clients.to_string();
    let mut command = peer.client(&pgbench()?);
    command.args(["-h", "127.0.0.1", "-p", &peer.port.to_string(), "-U", &peer.user, "-n"]).args(what);
    command.args(["-M", work.mode, "-c", &clients, "-j", if work.clients > 1 { "2" } else { "1" }]);
    command.args(["-T", &seconds.to_string(), "-l", "--log-prefix"]).arg(logs.join("t")).arg(peer.database);
    let said = text(&mut command)?;
    let tps =
        said.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
    let mut latencies = Vec::new();
    for file in fs::read_dir(&logs)?.flatten() {
        // client, number, microseconds, script, seconds, microseconds: pgbench's "Per-Transaction Logging".
        let lines = fs::read_to_string(file.path())?;
        latencies.extend(lines.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok()));
    }
    fs::remove_dir_all(&logs)?;
    let tps = tps.ok_or_else(|| Failure::of("pgbench gave no rate", said))?;
    let sample = Sample::new(tps, latencies);
    // pgbench times the statement alone, not the connection that is made for it: see `bench login` for that.
    Ok(if matches!(work.load, Load::Connect { .. }) { sample.rate_alone() } else { sample })
}

fn read(peer: &Peer, relay: &Path, sql: &str) -> Result<Sample, Failure> {
    let mut command = peer.client(relay);
    command.args(["read", &peer.port.to_string(), peer.database, &peer.user, sql]);
    let said = text(&mut command)?;
    let seconds: f64 = said
        .split(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| Failure::of("the reader gave no time", &said))?;
    Ok(Sample::new(1.0 / seconds, vec![seconds * 1e6]))
}

/// Bytes of memory of each idle session; `None` on the direct way, where there is nothing between.
pub(super) fn idle(
    peer: &Peer,
    relay: &Path,
    sessions: u32,
    scratch: &Scratch,
) -> Result<Option<f64>, Failure> {
    let Some(before) = peer.usage()? else { return Ok(None) };
    let mut command = peer.client(relay);
    command.args(["hold", &peer.port.to_string(), peer.database, &peer.user, &sessions.to_string()]);
    let log = scratch.join("hold.log");
    let mut holding = Running::start(&mut command, &log, Stop::Kill)?;
    holding.wait_until("ready", Duration::from_secs(120), || {
        fs::read_to_string(&log).is_ok_and(|said| said.contains("ready"))
    })?;
    let after = peer.usage()?;
    #[expect(clippy::cast_precision_loss, reason = "sizes of processes are far below 2^52 bytes")]
    Ok(after.map(|after| after.resident.saturating_sub(before.resident) as f64 / f64::from(sessions)))
}
