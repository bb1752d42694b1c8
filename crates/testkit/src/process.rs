//! Commands that end and servers that stay, each stopped by its own process id.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Failure;

/// How often something that is awaited is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Who does not end in this time when asked to is killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// The kernel counts processor time of `/proc/PID/stat` in hundredths on every Linux that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Ports that are given out here: below those that a kernel takes for outgoing connections (32,768 and up on Linux by itself,
/// 16,000 and up in gVisor), one of which could come between the choice of a port and its use.
const PORTS: std::ops::Range<u32> = 10_000..16_000;

/// A loopback port that was free a moment ago, and that this process has not given out lately.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16, Failure> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    // Processes that run beside each other begin in different places.
    let begin = std::process::id().wrapping_mul(997);
    for _ in PORTS {
        let next = begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % count;
        let port = u16::try_from(PORTS.start + next).map_err(|_| "a port is out of range")?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no loopback port is free".into())
}

/// Runs a command and returns what it printed. Its errors are in the failure.
///
/// # Errors
/// It could not be started, or did not end with 0.
pub fn text(command: &mut Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|e| Failure::of(format!("cannot run {name}"), e))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Failure::of(format!("{name} ended with {}", output.status), tail(&String::from_utf8_lossy(&said))))
}

/// The last lines of a text, where errors stand.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}

/// How a server is asked to end.
#[derive(Debug, Clone, Copy)]
pub enum Stop {
    /// SIGTERM.
    Terminate,
    /// SIGINT: PostgreSQL's fast shutdown.
    Interrupt,
    /// SIGKILL.
    Kill,
}

impl Stop {
    fn signal(self) -> &'static str {
        match self {
            Self::Terminate => "-TERM",
            Self::Interrupt => "-INT",
            Self::Kill => "-KILL",
        }
    }
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Processor time, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Memory in RAM, in bytes.
    pub resident: u64,
}

/// A server that is running. It is stopped when this is dropped.
pub struct Running {
    child: Child,
    name: String,
    log: PathBuf,
    stop: Stop,
}

impl Running {
    /// Starts a server whose output goes to a file.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command, log: &Path, stop: Stop) -> Result<Self, Failure> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file =
            File::create(log).map_err(|e| Failure::of(format!("cannot write {}", log.display()), e))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .map_err(|e| Failure::of(format!("cannot start {name}"), e))?;
        Ok(Self { child, name, log: log.to_owned(), stop })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed.
    pub fn printed(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until something is true of it.
    ///
    /// # Errors
    /// It ended meanwhile, or the time is over; with the end of what it printed.
    pub fn wait_until(&mut self, what: &str, time: Duration, is: impl Fn() -> bool) -> Result<(), Failure> {
        let start = Instant::now();
        while !is() {
            self.still_runs()?;
            if start.elapsed() > time {
                return Err(self.fault(&format!("not {what} in {time:?}")));
            }
            sleep(LOOK);
        }
        Ok(())
    }

    /// That it has not ended by itself.
    ///
    /// # Errors
    /// It has; with the end of what it printed.
    pub fn still_runs(&mut self) -> Result<(), Failure> {
        let ended = self.child.try_wait()?;
        ended.map_or(Ok(()), |status| Err(self.fault(&format!("ended with {status}"))))
    }

    fn fault(&self, how: &str) -> Failure {
        Failure::of(format!("{}: {how}", self.name), tail(&self.printed()))
    }

    /// Waits until it takes connections on a port.
    ///
    /// # Errors
    /// As [`Running::wait_until`].
    pub fn wait_for_port(&mut self, port: u16) -> Result<(), Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        self.wait_until("listening", Duration::from_secs(30), || {
            TcpStream::connect_timeout(&address, LOOK * 10).is_ok()
        })
    }

    /// Stops it as it was told to at its start, and waits for that.
    pub fn end(&mut self) {
        self.end_by(self.stop);
    }

    /// Kills it: it can do nothing more.
    pub fn kill(&mut self) {
        self.end_by(Stop::Kill);
    }

    fn end_by(&mut self, stop: Stop) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = Command::new("kill").args([stop.signal(), &self.pid().to_string()]).status();
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// It is gone.
    pub fn usage(&self) -> Result<Usage, Failure> {
        usage(self.pid())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a process has used so far, from `/proc/PID/stat` and `/proc/PID/status` (`man 5 proc`).
///
/// # Errors
/// It is gone.
pub fn usage(pid: u32) -> Result<Usage, Failure> {
    let gone = || Failure::from(format!("there is no process {pid}"));
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|_| gone())?;
    // The name in parentheses may have blanks; utime and stime are fields 14 and 15, the 12th and 13th behind it.
    let (_, fields) = stat.rsplit_once(')').ok_or_else(gone)?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| gone())?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .ok_or_else(gone)?;
    #[expect(clippy::cast_precision_loss, reason = "ticks of a test run are far below 2^52")]
    let cpu_seconds = ticks as f64 / TICKS_PER_SECOND;
    Ok(Usage { cpu_seconds, resident: kilobytes * 1024 })
}
