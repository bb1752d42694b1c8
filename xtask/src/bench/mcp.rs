//! What an agent's call by MCP takes beside the same statement by the wire, through the same gateway; many agents at once; what
//! an agent that waits takes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use testkit::durward::Durward;
use testkit::postgres::Postgres;
use testkit::process::{Running, Stop, free_port, text, usage};
use testkit::{Failure, Scratch};

use super::report::{Report, Sample, Title, median};
use super::{DATABASE, POLICY, load, target};
use crate::{Options, build, install};

const CLIENT: &str = include_str!("mcp.py");
const STATEMENT: &str = "SELECT aid, abalance FROM pgbench_accounts WHERE aid = 4711";
const WORK: &str = "a statement of an agent's";
const CLIENTS: [u32; 3] = [1, 8, 200];
/// What a call may add at the median, in microseconds.
const MOST_ADDED: f64 = 1000.0;
/// So many agents that wait.
const WAITING: u32 = 200;

pub(crate) fn run(options: &Options<'_>) -> Result<(), Failure> {
    let (seconds, rounds) = (options.number("--seconds", 3)?, options.number("--rounds", 3)?);
    install::need(install::POSTGRES)?;
    install::need(install::PYTHON)?;
    let bench = Bench::start()?;
    let mut report = Report::default();
    let measured = bench.measure(seconds, rounds, &mut report);
    if let Some(path) = options.value("--json") {
        fs::write(path, report.json())?;
        println!("The rows are in {path}.");
    }
    measured
}

struct Bench {
    // In this order: the gateway ends before the server that it leads to.
    gateway: Durward,
    _server: Postgres,
    scratch: Scratch,
    port: u16,
    token: String,
    /// Of as many agents as there are at once at most.
    tokens: PathBuf,
}

impl Bench {
    fn start() -> Result<Self, Failure> {
        let scratch = Scratch::new("bench")?;
        fs::write(scratch.join("mcp.py"), CLIENT)?;
        let server = Postgres::start(&["max_connections=600"])?;
        server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        load::initialize(server.port(), DATABASE)?;
        server.sql(DATABASE, "CREATE TABLE wide (email text)")?;
        let port = free_port()?;
        let settings =
            format!("\n[agents]\nlisten = \"127.0.0.1:{port}\"\n\n[limits]\nsessions_of_one = 500");
        let gateway = Durward::start_with(&build::fast_gateway()?, &settings)?;
        gateway.apply(&[target(&server)], &[("bench", POLICY)])?;
        let token = gateway.token("bench")?;
        println!("Issuing tokens for {WAITING} agents …");
        let all: Result<Vec<String>, Failure> =
            (0..WAITING).map(|n| gateway.token(&format!("bench{n}"))).collect();
        let tokens = scratch.join("tokens");
        fs::write(&tokens, all?.join("\n"))?;
        Ok(Self { gateway, _server: server, scratch, port, token, tokens })
    }

    fn measure(&self, seconds: u32, rounds: u32, report: &mut Report) -> Result<(), Failure> {
        let seconds = seconds.to_string();
        for clients in CLIENTS {
            let mut samples = [Vec::new(), Vec::new()];
            let many = clients.to_string();
            let (port, tokens) = (self.port.to_string(), self.tokens.display().to_string());
            for _ in 0..rounds {
                let [wire, calls] = &mut samples;
                wire.push(self.sample(&["wire", &seconds, &many, STATEMENT])?);
                calls.push(self.sample(&["call", &port, &tokens, &seconds, &many, STATEMENT])?);
            }
            // The wire is what MCP is compared with.
            report.add(&Title { name: WORK, mode: "simple", clients }, &["direct", "mcp"], &samples);
            let [wire, calls] = &samples;
            let added = median(wire.iter().zip(calls).map(|(wire, call)| call.p50() - wire.p50()));
            let bar = if clients == 1 { format!(" (bar: {MOST_ADDED:.0})") } else { String::new() };
            println!("A call by MCP adds {added:.0} µs at the median{bar}");
        }
        let before = usage(self.gateway.process().pid())?.resident;
        let log = self.scratch.join("hold.log");
        let arguments = [
            "hold",
            &self.port.to_string(),
            &self.tokens.display().to_string(),
            &WAITING.to_string(),
            STATEMENT,
        ];
        let mut holding = Running::start(&mut self.client(&arguments), &log, Stop::Kill)?;
        holding.wait_until("ready", Duration::from_secs(120), || {
            fs::read_to_string(&log).is_ok_and(|said| said.contains("ready"))
        })?;
        let after = usage(self.gateway.process().pid())?.resident;
        #[expect(clippy::cast_precision_loss, reason = "sizes of processes are far below 2^52 bytes")]
        let each = after.saturating_sub(before) as f64 / f64::from(WAITING);
        report.idle("agents that wait", "mcp", WAITING, each);
        Ok(())
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PathBuf::from("python3"));
        command.arg(self.scratch.join("mcp.py")).args(arguments);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.gateway.port().to_string());
        command.env("PGUSER", "agent").env("PGPASSWORD", &self.token).env("PGDATABASE", DATABASE);
        command.env("PGSSLMODE", "disable").env("PGGSSENCMODE", "disable");
        command
    }

    fn sample(&self, arguments: &[&str]) -> Result<Sample, Failure> {
        let before = self.gateway.process().usage()?;
        let said = text(&mut self.client(arguments))?;
        let mut numbers = said.lines().filter_map(|line| line.parse::<f64>().ok());
        let elapsed = numbers.next().ok_or_else(|| Failure::of("the client gave no time", &said))?;
        let taken: Vec<f64> = numbers.collect();
        #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 calls")]
        let rate = taken.len() as f64 / elapsed;
        let mut sample = Sample::new(rate, taken);
        sample.cpu_seconds = Some(self.gateway.process().usage()?.cpu_seconds - before.cpu_seconds);
        Ok(sample)
    }
}
