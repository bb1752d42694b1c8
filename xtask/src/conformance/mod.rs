//! The long comparisons: every major version of the server, our own cases, and clients' own suites, directly and through a
//! gateway that allows everything.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::Failure;

use crate::{build, install, test};

mod ground;
mod known;
mod outcomes;
mod suites;
mod turn;

use ground::Ground;
use known::Known;
use outcomes::Comparison;
use suites::{SUITES, Suite};
use turn::Turn;

/// What is asked for on the command line.
pub(crate) struct Wanted<'a> {
    /// Part of the names of the suites that run; all where it is empty.
    pub(crate) only: &'a str,
    /// Clients' suites alone.
    pub(crate) suites: bool,
}

pub(crate) fn run(wanted: &Wanted) -> Result<(), Failure> {
    // Before anything that takes time.
    let _turn = Turn::take(&suites::folder())?;
    // One part's failure must not hide the other's figures.
    let rest = if wanted.suites { Ok(()) } else { test::majors() };
    let clients = clients(wanted.only);
    rest.and(clients)
}

/// PostgreSQL's source of Debian's own major version, fetched once: its regression tests are statements, too.
pub(crate) fn postgres_source() -> Result<PathBuf, Failure> {
    if let Some(given) = std::env::var_os("DURWARD_PG_SOURCE") {
        return Ok(given.into());
    }
    let folder = suites::folder().join("sound");
    let source = folder.join("source");
    if !source.join("src/test/regress").exists() {
        install::packages("soundness", &["dpkg-dev"])?;
        std::fs::create_dir_all(&folder)?;
        let scripts = build::root().join("tests/suites");
        let mut get = Command::new("sh");
        get.arg("-eu").arg(scripts.join("source.sh")).env("SUITES", &scripts).env("SOURCES", &folder);
        build::show(&mut get)?;
    }
    Ok(source)
}

/// One suite's row of the table.
struct Row {
    name: &'static str,
    time: Duration,
    compared: Result<Comparison, Failure>,
}

fn clients(only: &str) -> Result<(), Failure> {
    let chosen: Vec<&Suite> = SUITES.iter().filter(|suite| suite.name.contains(only)).collect();
    if chosen.is_empty() {
        return Err(format!("no suite is called {only}").into());
    }
    let known = Known::read(&build::root().join("tests/suites/known.txt"))?;
    let (binary, python) = (build::gateway()?, install::python()?);
    let ground = Ground::start(&binary, &python)?;
    let longest: u32 = chosen.iter().map(|suite| suite.longest()).sum();
    println!("{} suites, at most {longest} minutes.", chosen.len());
    let mut rows = Vec::new();
    for suite in chosen {
        println!("\n=== {}", suite.name);
        let start = Instant::now();
        let compared = suite.compare(&ground);
        report(suite, &compared, &known);
        rows.push(Row { name: suite.name, time: start.elapsed(), compared });
    }
    table(&rows, &known)
}

/// Each difference with its reason, as soon as its suite is done: the table may be hours away.
fn report(suite: &Suite, compared: &Result<Comparison, Failure>, known: &Known) {
    match compared {
        Err(failure) => println!("{failure}"),
        Ok(comparison) => {
            for test in comparison.lost() {
                println!("{test}: {}", known.reason(suite.name, test).unwrap_or("NOT EXPLAINED"));
            }
        }
    }
}

fn table(rows: &[Row], known: &Known) -> Result<(), Failure> {
    println!("\n{:<16} {:>8} {:>9} {:>8} {:>8}", "suite", "directly", "through", "by design", "seconds");
    let (mut direct, mut through, mut missed) = (0, 0, Vec::new());
    for Row { name, time, compared } in rows {
        let seconds = time.as_secs();
        let Ok(comparison) = compared else {
            println!("{name:<16} {:>8} {:>9} {:>8} {seconds:>8}  FAILED", "-", "-", "-");
            missed.push(*name);
            continue;
        };
        let unexplained = comparison.lost().filter(|test| known.reason(name, test).is_none()).count();
        let explained = comparison.lost().count() - unexplained;
        let how = if unexplained == 0 { String::new() } else { format!("{unexplained} NOT EXPLAINED") };
        let (before, behind) = (comparison.direct(), comparison.through());
        println!("{name:<16} {before:>8} {behind:>9} {explained:>8} {seconds:>8}  {how}");
        direct += before;
        through += behind;
        if unexplained > 0 {
            missed.push(*name);
        }
    }
    println!("{:<16} {direct:>8} {through:>9}", "all");
    println!("{} passed, {} failed", rows.len() - missed.len(), missed.len());
    if missed.is_empty() { Ok(()) } else { Err(format!("failed: {}", missed.join(", ")).into()) }
}
