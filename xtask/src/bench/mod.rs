//! What the gateway costs: each load on each way to the same server, in turns, so that a machine that gets slower or
//! faster meanwhile does so for all of them.

use std::path::{Path, PathBuf};

use testkit::durward::{Durward, Target};
use testkit::postgres::Postgres;
use testkit::{Failure, Scratch};

use crate::{Options, build, install};

mod console;
mod load;
mod login;
mod many;
mod mcp;
mod peers;
mod report;
mod scale;

pub(crate) use console::run as console;
use load::{Load, Work};
pub(crate) use login::run as login;
pub(crate) use many::{judged as judged_idle, run as idle};
pub(crate) use mcp::run as mcp;
use peers::Peer;
use report::{Report, Sample, Title};

const DATABASE: &str = "bench";
/// Everything is allowed but the clear value of a tagged column, and nothing is tagged but one column.
const POLICY: &str = r#"
@id("everything-but-clear-values")
permit (principal, action, resource) unless { action == Action::"reveal" };
"#;
const TAGGED: (&str, &str) = ("public.wide.email", "pii.email");
/// A million rows of eleven columns: queries take ten of them, with or without the tagged one.
const SCHEMA: &str = "
CREATE TABLE wide AS SELECT g AS id, g % 97 AS a, md5(g::text) AS b, g * 1.5 AS c, now() AS d, g % 2 = 0 AS e,
    'name ' || g AS f, date '2020-01-01' + g % 1000 AS g, g::bigint * 1000 AS h,
    'person' || g || '@example.com' AS email, 'person' || g || '@example.com' AS plain
    FROM generate_series(1, 1000000) AS g";

const PROTOCOLS: [&str; 3] = ["simple", "extended", "prepared"];
const CLIENTS: [u32; 3] = [1, 8, 32];
const SESSIONS: u32 = 1000;
/// What many policies and relations are called.
const SCALE: &str = "policies, relations";
/// What the memory of sessions is called.
const IDLE: &str = "idle sessions";

/// The ways to the server, in the order of the report.
const TARGETS: &str = "direct,relay,haproxy,pgbouncer,durward";

pub(crate) fn run(options: &Options<'_>) -> Result<(), Failure> {
    let (seconds, rounds) = (options.number("--seconds", 4)?, options.number("--rounds", 3)?);
    let only = options.value("--only").unwrap_or_default();
    let targets: Vec<&str> = options.value("--targets").unwrap_or(TARGETS).split(',').collect();
    install::need(install::POSTGRES)?;
    install::need(install::PEERS)?;
    let relay = build::relay()?;

    println!("Starting PostgreSQL and making the tables …");
    let server = server()?;
    let gateway = if targets.contains(&"durward") { Some(gateway(&server)?) } else { None };
    let scratch = Scratch::new("bench")?;
    let peers = peers(&targets, &server, gateway.as_ref(), &relay, &scratch)?;
    let mut bench = Bench { server, peers, relay, scratch, rounds, report: Report::default() };
    let measured = bench.measure(seconds, only, gateway.as_ref());
    // What was measured before something failed is kept.
    if let Some(path) = options.value("--json") {
        std::fs::write(path, bench.report.json())?;
        println!("The rows are in {path}.");
    }
    measured
}

fn server() -> Result<Postgres, Failure> {
    // PgBouncer keeps the connections of the thousand idle sessions for the next clients.
    let server = Postgres::start(&["max_connections=3300", "shared_buffers=1GB", "max_wal_size=4GB"])?;
    server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
    load::initialize(server.port(), DATABASE)?;
    server.sql(DATABASE, SCHEMA)?;
    server.sql(DATABASE, "VACUUM ANALYZE wide")?;
    Ok(server)
}

fn peers(
    targets: &[&str],
    server: &Postgres,
    gateway: Option<&Durward>,
    relay: &Path,
    scratch: &Scratch,
) -> Result<Vec<Peer>, Failure> {
    let peer = |target: &&str| match (*target, gateway) {
        ("direct", _) => Ok(Peer::direct(server.port())),
        ("relay", _) => Peer::relay(relay, server.port(), scratch),
        ("haproxy", _) => Peer::haproxy(server.port(), scratch),
        ("pgbouncer", _) => Peer::pgbouncer(server.port(), scratch),
        ("durward", Some(gateway)) => Peer::durward(gateway),
        _ => Err(format!("there is no target {target}; there are {TARGETS}").into()),
    };
    targets.iter().map(peer).collect()
}

fn gateway(server: &Postgres) -> Result<Durward, Failure> {
    let gateway = Durward::start(&build::fast_gateway()?)?;
    gateway.apply(&[target(server)], &[("bench", POLICY)])?;
    Ok(gateway)
}

fn target(server: &Postgres) -> Target {
    let columns = vec![(TAGGED.0.to_owned(), TAGGED.1.to_owned())];
    Target { columns, ..Target::new(DATABASE, server.port(), DATABASE) }
}

fn everything(seconds: u32) -> Vec<Work> {
    let mut all = Vec::new();
    for protocol in PROTOCOLS {
        for clients in CLIENTS {
            all.push(Work {
                name: "pgbench -S".to_owned(),
                mode: protocol,
                clients,
                load: Load::Select { seconds },
            });
        }
    }
    for clients in [1, 8] {
        all.push(Work {
            name: "connections".to_owned(),
            mode: "simple",
            clients,
            load: Load::Connect { seconds },
        });
    }
    for (name, sql) in [
        ("1,000,000 rows clear", "SELECT id, a, b, c, d, e, f, g, h, plain FROM wide"),
        ("1,000,000 rows masked", "SELECT id, a, b, c, d, e, f, g, h, email FROM wide"),
        ("500 MB copied out", "COPY (SELECT repeat('x', 999) FROM generate_series(1, 500000)) TO STDOUT"),
    ] {
        all.push(Work { name: name.to_owned(), mode: "simple", clients: 1, load: Load::Read { sql } });
    }
    all
}

/// What is there while it is measured. The peers end before the server that they lead to.
struct Bench {
    peers: Vec<Peer>,
    server: Postgres,
    relay: PathBuf,
    scratch: Scratch,
    rounds: u32,
    report: Report,
}

impl Bench {
    fn measure(&mut self, seconds: u32, only: &str, gateway: Option<&Durward>) -> Result<(), Failure> {
        for work in everything(seconds).iter().filter(|work| work.name.contains(only)) {
            self.turns(work)?;
        }
        if let Some(gateway) = gateway.filter(|_| SCALE.contains(only)) {
            self.scale(gateway, seconds)?;
        }
        if IDLE.contains(only) {
            self.idle()?;
        }
        Ok(())
    }

    fn turns(&mut self, work: &Work) -> Result<(), Failure> {
        let mut samples: Vec<Vec<Sample>> = self.peers.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.rounds {
            for (peer, samples) in self.peers.iter().zip(&mut samples) {
                samples.push(load::put(work, peer, &self.relay, &self.scratch)?);
            }
        }
        let ways: Vec<&str> = self.peers.iter().map(|peer| peer.name).collect();
        let title = Title { name: &work.name, mode: work.mode, clients: work.clients };
        self.report.add(&title, &ways, &samples);
        Ok(())
    }

    fn scale(&mut self, gateway: &Durward, seconds: u32) -> Result<(), Failure> {
        let one = |name: String| Work { name, mode: "simple", clients: 1, load: Load::Select { seconds } };
        for count in scale::POLICIES {
            scale::policies(gateway, &self.server, count)?;
            self.turns(&one(format!("{count} policies")))?;
        }
        gateway.apply(&[target(&self.server)], &[("bench", POLICY)])?;
        for count in scale::RELATIONS {
            scale::relations(&self.server, count)?;
            self.turns(&one(format!("{count} relations")))?;
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<(), Failure> {
        for peer in &self.peers {
            if let Some(bytes) = load::idle(peer, &self.relay, SESSIONS, &self.scratch)? {
                self.report.idle(IDLE, peer.name, SESSIONS, bytes);
            }
        }
        Ok(())
    }
}
