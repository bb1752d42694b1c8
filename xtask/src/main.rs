//! The house commands: `cargo xtask demo`, `test`, `conformance`, `acceptance`, `bench`, `install`.

use std::process::ExitCode;

use conformance::Wanted;
use testkit::Failure;

mod acceptance;
mod bench;
mod build;
mod conformance;
mod demo;
mod install;
mod licences;
mod test;

const USAGE: &str = "\
cargo xtask demo [--tour]
    A sample database, the gateway in front of it, and a walk through an agent's session.
    Then it stays up; with --tour it ends behind the walk.
cargo xtask test [--fast] [--judged]
    All that must hold for a change. --fast leaves out what takes minutes. What needs the suite of `acceptance pg` is left out
    where that is not there; --judged fails instead.
cargo xtask conformance [--suites] [--only WORDS]
    What takes too long for each change: PostgreSQL 13 to 18, our own cases, long comparisons with the server's analysis,
    how soon a thousand sessions end, what ten thousand idle ones take, and clients' own suites, directly and through the
    gateway. --suites leaves out all but the last; --only takes the suites with WORDS in their names.
cargo xtask acceptance pg [--suite DIR] [--json FILE] [--only CATEGORIES] [--case WORDS] [--major N] [--by-mcp]
    The acceptance suite for PostgreSQL; DIR is ../shared/acceptance/pg where it is not given. --only leak,write and
    --case narrow it; --major takes another server; --by-mcp sends each statement of leak, write and benign by MCP's tool
    query, and by the wire as well: the same must come of it.
    Our own cases are in tests/acceptance.
cargo xtask bench postgres [--json FILE] [--seconds N] [--rounds N] [--only WORDS] [--targets A,B]
    What the gateway costs, beside a direct connection, PgBouncer, HAProxy and a plain relay.
    --only takes the workloads with WORDS in their names.
cargo xtask bench login [--json FILE] [--seconds N] [--rounds N] [--only set-ups|idle] [--sessions N]
    What it takes to open a session over TLS with libpq, by a dwt_ token, a signed token of an issuer and SCRAM, beside a
    direct connection and PgBouncer; and the memory of an idle session with TLS on both sides (of 1,000; --sessions takes
    others).
cargo xtask bench idle [--sessions N]
    The memory of an idle session with TLS on both sides where there are 10,000, with PgBouncer as the target of all of them;
    fails above 48 KiB.
cargo xtask bench mcp [--json FILE] [--seconds N] [--rounds N]
    What an agent's call by MCP takes beside the same statement by the wire, with 1, 8 and 200 agents at once, and the memory of
    one that waits.
cargo xtask bench console [--json FILE] [--times N] [--requests N] [--sessions N] [--operations N]
    What each page of the console takes with 1,000 requests that wait, 200 sessions and a recording of 10,000 operations, which
    a browser plays; fails where a page takes 50 ms at its median or has more than 150 kB.
cargo xtask install
    Installs everything that the commands above need; each of them installs its own part by itself.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["demo", rest @ ..] => Options::read(rest, &["--tour"], &[]).and_then(|o| demo::run(o.has("--tour"))),
        ["test", rest @ ..] => Options::read(rest, &["--fast", "--judged"], &[])
            .and_then(|o| test::run(o.has("--fast"), o.has("--judged"))),
        ["conformance", rest @ ..] => Options::read(rest, &["--suites"], &["--only"]).and_then(|o| {
            let only = o.value("--only");
            conformance::run(&Wanted {
                only: only.unwrap_or(""),
                suites: o.has("--suites") || only.is_some(),
            })
        }),
        ["acceptance", "pg", rest @ ..] => {
            let values = ["--suite", "--json", "--only", "--case", "--major"];
            Options::read(rest, &["--by-mcp"], &values).and_then(|o| {
                let (only, case, major) = (o.value("--only"), o.value("--case"), o.value("--major"));
                let by_mcp = o.has("--by-mcp");
                let only = only.or(by_mcp.then_some(acceptance::BY_MCP));
                let which = acceptance::Which { only, case, major, by_mcp };
                acceptance::run(o.value("--suite"), o.value("--json"), which)
            })
        }
        ["bench", "postgres", rest @ ..] => {
            let values = ["--json", "--seconds", "--rounds", "--only", "--targets"];
            Options::read(rest, &[], &values).and_then(|o| bench::run(&o))
        }
        ["bench", "login", rest @ ..] => {
            let values = ["--json", "--seconds", "--rounds", "--only", "--sessions"];
            Options::read(rest, &[], &values).and_then(|o| bench::login(&o))
        }
        ["bench", "mcp", rest @ ..] => {
            Options::read(rest, &[], &["--json", "--seconds", "--rounds"]).and_then(|o| bench::mcp(&o))
        }
        ["bench", "idle", rest @ ..] => {
            Options::read(rest, &[], &["--sessions"]).and_then(|o| bench::idle(&o))
        }
        ["bench", "console", rest @ ..] => {
            let values = ["--json", "--times", "--requests", "--sessions", "--operations"];
            Options::read(rest, &[], &values).and_then(|o| bench::console(&o))
        }
        ["install"] => install::everything(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{failure}");
            ExitCode::FAILURE
        }
    }
}

/// What stands behind a command.
struct Options<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Options<'a> {
    fn read(words: &[&'a str], flags: &[&str], values: &[&str]) -> Result<Self, Failure> {
        let mut read = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if flags.contains(word) {
                read.push((*word, ""));
            } else if values.contains(word) {
                let value = words.next().ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"))?;
                read.push((*word, *value));
            } else {
                return Err(format!("unknown option {word}\n\n{USAGE}").into());
            }
        }
        Ok(Self(read))
    }

    fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }

    fn number(&self, name: &str, default: u32) -> Result<u32, Failure> {
        self.value(name).map_or(Ok(default), |value| {
            value.parse().map_err(|_| format!("{name} is a number, not {value}").into())
        })
    }
}
