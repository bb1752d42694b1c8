//! What the gateway costs: each load on each way to the same server, in turns, so that a machine that gets slower or
//! faster meanwhile does so for all of them.

use std::path::Path;

use testkit::durward::{Durward, Target};
use testkit::postgres::Postgres;
use testkit::{Failure, Scratch};

use crate::{Options, build, install};

mod load;
mod peers;
mod report;

use load::{Load, Work};
use peers::Peer;
use report::{Report, Sample};

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
    let server = Postgres::start(&["max_connections=1300", "shared_buffers=1GB", "max_wal_size=4GB"])?;
    server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
    load::initialize(server.port(), DATABASE)?;
    server.sql(DATABASE, SCHEMA)?;
    server.sql(DATABASE, "VACUUM ANALYZE wide")?;

    let gateway = if targets.contains(&"durward") { Some(gateway(&server)?) } else { None };
    let scratch = Scratch::new("bench")?;
    let mut peers = Vec::new();
    for target in targets {
        peers.push(match (target, &gateway) {
            ("direct", _) => Peer::direct(server.port()),
            ("relay", _) => Peer::relay(&relay, server.port(), &scratch)?,
            ("haproxy", _) => Peer::haproxy(server.port(), &scratch)?,
            ("pgbouncer", _) => Peer::pgbouncer(server.port(), &scratch)?,
            ("durward", Some(gateway)) => Peer::durward(gateway)?,
            _ => return Err(format!("there is no target {target}; there are {TARGETS}").into()),
        });
    }
    let mut report = Report::default();
    for work in everything(seconds).iter().filter(|work| work.name.contains(only)) {
        turns(work, rounds, &peers, &relay, &scratch, &mut report)?;
    }
    if IDLE.contains(only) {
        for peer in &peers {
            if let Some(bytes) = load::idle(peer, &relay, SESSIONS, &scratch)? {
                report.idle(peer.name, SESSIONS, bytes);
            }
        }
    }
    if let Some(path) = options.value("--json") {
        std::fs::write(path, report.json())?;
        println!("The rows are in {path}.");
    }
    Ok(())
}

fn gateway(server: &Postgres) -> Result<Durward, Failure> {
    let gateway = Durward::start(&build::gateway()?)?;
    let target = Target {
        columns: vec![(TAGGED.0.to_owned(), TAGGED.1.to_owned())],
        ..Target::new(DATABASE, server.port(), DATABASE)
    };
    gateway.apply(&[target], &[("bench", POLICY)])?;
    Ok(gateway)
}

fn everything(seconds: u32) -> Vec<Work> {
    let mut all = Vec::new();
    for protocol in PROTOCOLS {
        for clients in CLIENTS {
            all.push(Work { name: "pgbench -S", mode: protocol, clients, load: Load::Select { seconds } });
        }
    }
    for clients in [1, 8] {
        all.push(Work { name: "connections", mode: "simple", clients, load: Load::Connect { seconds } });
    }
    for (name, sql) in [
        ("1,000,000 rows clear", "SELECT id, a, b, c, d, e, f, g, h, plain FROM wide"),
        ("1,000,000 rows masked", "SELECT id, a, b, c, d, e, f, g, h, email FROM wide"),
        ("500 MB copied out", "COPY (SELECT repeat('x', 999) FROM generate_series(1, 500000)) TO STDOUT"),
    ] {
        all.push(Work { name, mode: "simple", clients: 1, load: Load::Read { sql } });
    }
    all
}

fn turns(
    work: &Work,
    rounds: u32,
    peers: &[Peer],
    relay: &Path,
    scratch: &Scratch,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut samples: Vec<Vec<Sample>> = peers.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (peer, samples) in peers.iter().zip(&mut samples) {
            samples.push(load::put(work, peer, relay, scratch)?);
        }
    }
    report.add(work, peers, &samples);
    Ok(())
}
