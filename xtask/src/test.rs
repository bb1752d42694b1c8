//! All that must hold for a change, each step timed.

use std::process::Command;
use std::time::{Duration, Instant};

use testkit::Failure;

use crate::build::{self, ALL, cargo, show};
use crate::{acceptance, bench, conformance, demo, install, licences};

/// What a step takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Little,
    /// Not part of `--fast`.
    Minutes,
    /// Minutes, and the suite that is beside the repository.
    Suite,
}
use Takes::{Little, Minutes, Suite};

struct Step {
    name: &'static str,
    takes: Takes,
    run: fn() -> Result<(), Failure>,
}

const STEPS: &[Step] = &[
    Step { name: "install", takes: Little, run: installed },
    Step { name: "format", takes: Little, run: || show(&mut cargo(&["fmt", "--all", "--check"])) },
    Step { name: "licences", takes: Little, run: licences::check },
    Step { name: "cargo deny", takes: Little, run: deny },
    Step { name: "clippy", takes: Little, run: clippy },
    Step { name: "documentation", takes: Minutes, run: documentation },
    Step { name: "unit tests", takes: Little, run: units },
    Step { name: "house", takes: Little, run: house },
    Step { name: "build", takes: Minutes, run: || build::tested_gateway().map(drop) },
    Step { name: "end to end", takes: Minutes, run: || end_to_end(None) },
    Step { name: "PostgreSQL 13", takes: Minutes, run: || on_another("13") },
    Step { name: "PostgreSQL 18", takes: Minutes, run: || on_another("18") },
    Step { name: "acceptance", takes: Suite, run: || given_cases(None) },
    Step { name: "own cases of names", takes: Suite, run: || own_cases(of_names()) },
    Step { name: "benign by MCP", takes: Suite, run: || acceptance::run(None, None, benign_by_mcp()) },
    Step { name: "acceptance, 13", takes: Suite, run: || given_cases(Some("13")) },
    Step { name: "acceptance, 18", takes: Suite, run: || given_cases(Some("18")) },
    Step { name: "demo", takes: Minutes, run: || demo::run(true) },
];

/// All of it, what is quick where it is to be `fast`. Where no suite is beside the repository, as with most who clone it, what
/// needs that is left out, but for who is judged by it.
pub(crate) fn run(fast: bool, judged: bool) -> Result<(), Failure> {
    let left_out = !judged && !build::root().join(acceptance::SUITE).is_dir();
    let wanted = |step: &&Step| match step.takes {
        Little => true,
        Minutes => !fast,
        Suite => !fast && !left_out,
    };
    let done = walk(STEPS.iter().filter(wanted));
    if left_out && !fast {
        let missing: Vec<&str> =
            STEPS.iter().filter(|step| step.takes == Suite).map(|step| step.name).collect();
        println!("left out, since there is no {}: {}", acceptance::SUITE, missing.join(", "));
    }
    done
}

/// What takes too long for each change: every major version, our own cases, long comparisons with the server's analysis, very
/// many sessions.
const MAJORS: &[Step] = &[
    Step { name: "install", takes: Little, run: installed },
    Step { name: "PostgreSQL 13", takes: Minutes, run: || end_to_end(Some("13")) },
    Step { name: "PostgreSQL 14", takes: Minutes, run: || end_to_end(Some("14")) },
    Step { name: "PostgreSQL 15", takes: Minutes, run: || end_to_end(None) },
    Step { name: "PostgreSQL 16", takes: Minutes, run: || end_to_end(Some("16")) },
    Step { name: "PostgreSQL 17", takes: Minutes, run: || end_to_end(Some("17")) },
    Step { name: "PostgreSQL 18", takes: Minutes, run: || end_to_end(Some("18")) },
    Step { name: "acceptance, 13", takes: Suite, run: || given_cases(Some("13")) },
    Step { name: "acceptance, 14", takes: Suite, run: || given_cases(Some("14")) },
    Step { name: "acceptance, 15", takes: Suite, run: || given_cases(None) },
    Step { name: "acceptance, 16", takes: Suite, run: || given_cases(Some("16")) },
    Step { name: "acceptance, 17", takes: Suite, run: || given_cases(Some("17")) },
    Step { name: "acceptance, 18", takes: Suite, run: || given_cases(Some("18")) },
    Step { name: "acceptance by MCP", takes: Suite, run: || acceptance::run(None, None, by_mcp()) },
    Step { name: "own cases by MCP", takes: Suite, run: || own_cases(by_mcp()) },
    Step { name: "own cases", takes: Suite, run: || own_cases(acceptance::Which::default()) },
    Step { name: "own cases, 13", takes: Suite, run: || own_cases(harmful("13")) },
    Step { name: "own cases, 18", takes: Suite, run: || own_cases(harmful("18")) },
    Step { name: "soundness", takes: Minutes, run: soundness },
    Step { name: "many sessions", takes: Minutes, run: many_sessions },
    Step { name: "idle sessions", takes: Minutes, run: bench::judged_idle },
    Step { name: "agents' programs", takes: Minutes, run: agents },
];

pub(crate) fn majors() -> Result<(), Failure> {
    walk(MAJORS.iter())
}

/// The suite that is beside the repository, with Debian's server or one of another major version.
fn given_cases(major: Option<&str>) -> Result<(), Failure> {
    acceptance::run(None, None, acceptance::Which { major, ..acceptance::Which::default() })
}

/// They borrow the judges of the suite that is beside the repository.
fn own_cases(which: acceptance::Which<'_>) -> Result<(), Failure> {
    acceptance::run(build::root().join("tests/acceptance").to_str(), None, which)
}

/// What names stand for while much is in flight: each was a way around all else once.
fn of_names() -> acceptance::Which<'static> {
    acceptance::Which { only: Some("leak"), case: Some("more.names"), ..acceptance::Which::default() }
}

/// What must not happen, by MCP, and that the same statements are answered there as by the wire.
fn by_mcp() -> acceptance::Which<'static> {
    acceptance::Which { only: Some(acceptance::BY_MCP), by_mcp: true, ..acceptance::Which::default() }
}

/// What an agent does all day is answered by MCP as by the wire.
fn benign_by_mcp() -> acceptance::Which<'static> {
    acceptance::Which { only: Some("benign"), ..by_mcp() }
}

/// On other versions what must not happen is what counts: not every answer there is what the cases expect.
fn harmful(major: &str) -> acceptance::Which<'_> {
    acceptance::Which { only: Some("leak,write"), major: Some(major), ..acceptance::Which::default() }
}

/// What the server's own analysis says of many random statements, and what these do, on each major version; the same of
/// PostgreSQL's own regression tests on the version that they are of.
fn soundness() -> Result<(), Failure> {
    let source = conformance::postgres_source()?;
    let mut failed = Vec::new();
    for major in [None, Some("13"), Some("14"), Some("16"), Some("17"), Some("18")] {
        if major.is_some() && !cfg!(target_arch = "x86_64") {
            continue;
        }
        println!("--- {}", major.unwrap_or("Debian's"));
        let which = if major.is_some() { "sound::many_random_statements" } else { "sound::" };
        let mut tests = end_to_end_tests();
        tests
            .args([which, "--", "--ignored", "--nocapture", "--test-threads=1"])
            .env("DURWARD_PG_SOURCE", &source);
        if let Some(major) = major {
            tests.env("DURWARD_PG_BIN", install::server(major)?);
        }
        failed.extend(show(&mut tests).err());
    }
    failed.into_iter().next().map_or(Ok(()), Err)
}

/// How soon a thousand sessions end, by the gateway as users run it: a second is short.
fn many_sessions() -> Result<(), Failure> {
    let binary = build::fast_gateway()?;
    let which = ["--ignored", "--nocapture", "among_a_thousand"];
    let mut tests = end_to_end_tests();
    tests.arg("--").args(which);
    show(tests.env("DURWARD_BIN", binary))
}

/// What the protocol's own runner and programs with agents in them say of the agents' door.
fn agents() -> Result<(), Failure> {
    let (folder, npm) = (install::agents()?, install::node()?);
    install::need(install::BROWSER)?;
    let mut tests = end_to_end_tests();
    tests.args(["mcp_", "--", "--ignored", "--nocapture", "--test-threads=1"]);
    show(tests.env("DURWARD_MCP", folder).env("DURWARD_NPM", npm))
}

fn walk<'s>(steps: impl Iterator<Item = &'s Step>) -> Result<(), Failure> {
    let mut done: Vec<(&str, Duration, Option<Failure>)> = Vec::new();
    for step in steps {
        println!("\n=== {}", step.name);
        let start = Instant::now();
        let failure = (step.run)().err();
        if let Some(failure) = &failure {
            println!("{failure}");
        }
        done.push((step.name, start.elapsed(), failure));
    }
    println!("\n{:<16} {:>8}", "step", "seconds");
    for (name, time, failure) in &done {
        let how = if failure.is_some() { "FAILED" } else { "" };
        println!("{name:<16} {:>8.1}  {how}", time.as_secs_f64());
    }
    let failed: Vec<&str> = done.iter().filter(|(_, _, f)| f.is_some()).map(|(name, ..)| *name).collect();
    println!("{} passed, {} failed", done.len() - failed.len(), failed.len());
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

fn installed() -> Result<(), Failure> {
    install::need(install::BUILD)?;
    install::need(install::POSTGRES)?;
    install::need(install::BROWSER)
}

fn clippy() -> Result<(), Failure> {
    show(cargo(&["clippy", "--quiet"]).args(ALL).args(["--all-targets", "--", "-D", "warnings"]))
}

fn documentation() -> Result<(), Failure> {
    let mut command = cargo(&["doc", "--quiet", "--no-deps", "--document-private-items"]);
    show(command.args(ALL).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Advisories need a database from outside, so their absence there is no fault of a change.
fn deny() -> Result<(), Failure> {
    let there = cargo(&["deny", "--version"]).output().is_ok_and(|o| o.status.success());
    if !there {
        println!(
            "cargo-deny is not installed (`cargo install cargo-deny --locked`): licences and bans are checked above."
        );
        return Ok(());
    }
    show(&mut cargo(&["deny", "check", "bans", "licenses", "sources"]))
}

fn units() -> Result<(), Failure> {
    // What is sent to a collector is read by the definitions that are there.
    let python = install::python()?;
    let tests = |what: &[&str]| {
        let mut tests = cargo(&["test", "--quiet", "--no-fail-fast"]);
        show(tests.args(ALL).args(what).env("DURWARD_PYTHON", &python))
    };
    let run = tests(&["--lib", "--bins", "--test", "traces"]);
    // What must not compile does not.
    run.and(tests(&["--doc"]))
}

/// The map and the purity of crates need no server.
fn house() -> Result<(), Failure> {
    show(end_to_end_tests().arg("house::"))
}

/// The tests from end to end, with the features of everything else.
fn end_to_end_tests() -> Command {
    let mut tests = cargo(&["test", "--quiet"]);
    tests.args(ALL).args(["--test", "e2e"]);
    tests
}

/// Tests of what is the same whatever server is behind it: who comes in and how, by which door, what a browser shows, what
/// documents say.
const OF_NO_SERVER: [&str; 24] = [
    "access::",
    "administration::",
    "agents::",
    "carriers::",
    "console::",
    "custody::",
    "documents::",
    "emergencies::",
    "grants::",
    "groups::",
    "house::",
    "identity::",
    "introspection::",
    "laptops::",
    "mcp::",
    "mcp_agent::",
    "mcp_authorization::",
    "mcp_bounds::",
    "mcp_many::",
    "mcp_waiting::",
    "oauth::",
    "operations::",
    "signins::",
    "signouts::",
];

/// Tests of what asks little of a server that could differ between its versions: on others than Debian's they run in
/// `conformance` alone.
const OF_ANY_SERVER: [&str; 10] = [
    "approvals::",
    "endings::",
    "freezes::",
    "plans::",
    "recordings::",
    "room::",
    "rotations::",
    "shared::",
    "slow::",
    "unusable::",
];

/// What a server of another major version may answer otherwise.
fn on_another(major: &str) -> Result<(), Failure> {
    end_to_end_without(Some(major), &OF_ANY_SERVER)
}

/// With Debian's server, or one of another major version.
fn end_to_end(major: Option<&str>) -> Result<(), Failure> {
    end_to_end_without(major, &[])
}

fn end_to_end_without(major: Option<&str>, modules: &[&str]) -> Result<(), Failure> {
    if major.is_some() && !cfg!(target_arch = "x86_64") {
        println!("There are no packages of this server for this kind of machine.");
        return Ok(());
    }
    let python = install::python()?;
    let npm = install::node()?;
    let binary = build::gateway()?;
    let mut tests = end_to_end_tests();
    if let Some(major) = major {
        tests.env("DURWARD_PG_BIN", install::server(major)?).arg("--");
        tests.args(OF_NO_SERVER.iter().chain(modules).flat_map(|module| ["--skip", module]));
    }
    tests.env("DURWARD_BIN", binary).env("DURWARD_PYTHON", python).env("DURWARD_NPM", npm);
    show(&mut tests)
}
