//! What pages of the console take where there is very much in them: a thousand requests that wait, two hundred sessions, a
//! recording of ten thousand operations. A browser plays that one, as somebody would.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::durward::{Durward, Target};
use testkit::json::{Json, quoted};
use testkit::postgres::Postgres;
use testkit::process::text;
use testkit::{Failure, Scratch, issuer};

use super::DATABASE;
use crate::{Options, build, install};

const PROGRAM: &str = include_str!("console.mjs");
const POLICY: &str = r#"
@id("connect") @record("required") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("updates") permit (principal, action == Action::"update", resource);
@id("updates-held") @approvers("admins") @expires("2h") @reason("writes to production are looked at")
forbid (principal, action == Action::"update", resource) unless { context.approvals.contains("updates-held") };
"#;
const SCHEMA: &str = "
CREATE TABLE orders (id int PRIMARY KEY, status text, placed date, total numeric, note text);
INSERT INTO orders SELECT n, 'new', date '2024-01-01' + n, n * 1.5, md5(n::text) FROM generate_series(0, 1200) n";
/// One agent has at most fifty requests that wait.
const AGENTS: u32 = 25;
/// A page takes the server less than this at its median, in milliseconds.
const MOST_TIME: f64 = 50.0;
/// And has no more than so many bytes.
const MOST_BYTES: f64 = 150_000.0;
/// While it plays, the next step comes within this, in milliseconds, at 32 times its speed.
const MOST_GAP: f64 = 400.0;

pub(crate) fn run(options: &Options<'_>) -> Result<(), Failure> {
    let requests = options.number("--requests", 1000)?;
    let sessions = options.number("--sessions", 200)?;
    let operations = options.number("--operations", 10_000)?;
    let times = options.number("--times", 50)?;
    install::need(install::POSTGRES)?;
    install::need(install::BROWSER)?;
    let npm = install::node()?;
    let binary = build::fast_gateway()?;

    println!("Starting PostgreSQL and the gateway …");
    let server = server(sessions)?;
    let gateway = gateway(&binary, &server)?;
    let scratch = Scratch::new("console")?;
    let program = scratch.join("console.mjs");
    fs::write(&program, PROGRAM)?;
    println!(
        "{requests} requests that wait, {sessions} sessions, a recording of {operations} operations; each page {times} times …"
    );
    let mut node = Command::new(issuer::node(&npm));
    node.arg(&program).env("CONSOLE_NPM", &npm).env("CONSOLE_LINK", link(&gateway)?);
    node.env("CONSOLE_ORIGIN", format!("http://localhost:{}", gateway.admin_port()));
    node.env("CONSOLE_TOKENS", tokens(&gateway)?).env("CONSOLE_TIMES", times.to_string());
    node.env("CONSOLE_PENDING", requests.to_string()).env("CONSOLE_LIVE", sessions.to_string());
    node.env("CONSOLE_STEPS", operations.to_string());
    node.env("PGHOST", "127.0.0.1").env("PGPORT", gateway.port().to_string()).env("PGDATABASE", DATABASE);
    // It says what it does meanwhile.
    let rows = text(node.stderr(Stdio::inherit()))?;
    if let Some(path) = options.value("--json") {
        fs::write(path, format!("[\n{}\n]\n", rows.trim_end().replace('\n', ",\n")))?;
        println!("The rows are in {path}.");
    }
    let rows = rows.lines().map(Json::parse).collect::<Result<Vec<_>, _>>()?;
    judge(&rows)
}

fn server(sessions: u32) -> Result<Postgres, Failure> {
    let server = Postgres::start(&[&format!("max_connections={}", sessions + 200)])?;
    server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
    server.sql(DATABASE, SCHEMA)?;
    Ok(server)
}

fn gateway(binary: &Path, server: &Postgres) -> Result<Durward, Failure> {
    let settings = "connections_per_address = 1000\n[limits]\nhold = \"1s\"\n";
    let gateway = Durward::start_with(binary, settings)?;
    gateway.apply(&[Target::new(DATABASE, server.port(), DATABASE)], &[("bench", POLICY)])?;
    Ok(gateway)
}

fn link(gateway: &Durward) -> Result<String, Failure> {
    let said = text(&mut gateway.command(&["people", "invite", "ada", "--role", "administrator", "--json"]))?;
    let said = Json::parse(&said)?;
    said.at("link").and_then(Json::text).map(str::to_owned).ok_or_else(|| "there is no link".into())
}

fn tokens(gateway: &Durward) -> Result<String, Failure> {
    let all: Vec<String> =
        (0..AGENTS).map(|n| gateway.token(&format!("bench-{n}"))).collect::<Result<_, _>>()?;
    Ok(all.join(" "))
}

/// Prints what was measured, and fails where it is too much.
fn judge(rows: &[Json]) -> Result<(), Failure> {
    let number = |row: &Json, name: &str| row.at(name).and_then(Json::number).unwrap_or(f64::NAN);
    let mut missed = Vec::new();
    println!("\n{:<44} {:>10} {:>10} {:>9}", "page", "median ms", "p99 ms", "kB");
    for row in rows {
        let Some(page) = row.at("page").and_then(Json::text) else { continue };
        let (median, p99) = (number(row, "median_ms"), number(row, "p99_ms"));
        let bytes = number(row, "bytes");
        println!("{page:<44} {median:>10.1} {p99:>10.1} {:>9.1}", bytes / 1000.0);
        // What was not measured does not fit either.
        let fits = median < MOST_TIME && bytes <= MOST_BYTES;
        if !fits {
            missed.push(quoted(page));
        }
    }
    let replay = rows.iter().find_map(|row| row.at("replay")).ok_or("the recording was not played")?;
    let (steps, gap) = (number(replay, "steps"), number(replay, "longest_gap_ms"));
    println!(
        "\nReplay at 32 times its speed, 10 s: {steps} steps, the longest without one {gap:.0} ms, the longest frame {:.0} ms; \
         the longest jump {:.0} ms",
        number(replay, "longest_frame_ms"),
        number(replay, "longest_jump_ms")
    );
    let plays = gap < MOST_GAP && steps > 100.0;
    if !plays {
        missed.push("the replay".to_owned());
    }
    if missed.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more than {MOST_TIME} ms, {} kB or {MOST_GAP} ms between steps: {}",
        MOST_BYTES / 1000.0,
        missed.join(", ")
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::{Json, judge};

    #[test]
    fn what_is_too_slow_too_large_or_not_measured_fails() {
        let row = |ms: &str, bytes: &str| {
            format!("{{\"page\": \"/\", \"median_ms\": {ms}, \"p99_ms\": 60, \"bytes\": {bytes}}}")
        };
        let replay = |gap: u32, steps: u32| {
            format!(
                "{{\"replay\": {{\"steps\": {steps}, \"longest_gap_ms\": {gap}, \"longest_frame_ms\": 1, \"longest_jump_ms\": 1}}}}"
            )
        };
        for (page, replay, fine) in [
            (row("49.9", "150000"), replay(100, 600), true),
            (row("50", "1000"), replay(100, 600), false),
            (row("1", "150001"), replay(100, 600), false),
            (row("null", "1000"), replay(100, 600), false),
            (row("1", "1000"), replay(401, 600), false),
            (row("1", "1000"), replay(100, 3), false),
        ] {
            let rows = [Json::parse(&page).unwrap(), Json::parse(&replay).unwrap()];
            assert_eq!(judge(&rows).is_ok(), fine, "{page} {replay}");
        }
        assert!(judge(&[Json::parse(&row("1", "1")).unwrap()]).is_err());
    }
}
