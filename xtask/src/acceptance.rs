//! Judges the gateway by an acceptance suite: a folder with `server.sh`, `run.py`, `policy.json`.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::durward::{Durward, Target};
use testkit::postgres::SUPERUSER;
use testkit::process::{Running, Stop, free_port, text};
use testkit::{Failure, Scratch};

use crate::build::{self, root, show};
use crate::install;
use testkit::json::Json;

/// Where the suite is when nobody says.
pub(crate) const SUITE: &str = "../shared/acceptance/pg";
const POLICY: &str = include_str!("acceptance.cedar");
/// The suite refuses a database whose name begins otherwise; its `server.sh` makes this one.
const DATABASE: &str = "acceptance_shop";
/// Of which categories statements go by MCP; what is left is about sessions.
pub(crate) const BY_MCP: &str = "leak,write,benign";
/// What the target is called, also in the policy.
const TARGET: &str = "acceptance";
/// The tag of a column that the suite describes in a sentence rather than by a tag.
const UNNAMED_TAG: &str = "sensitive";

/// What is shown of a category, of all its cases, and whether that is good enough.
type Bar = (&'static str, fn(f64, f64) -> bool, &'static str);
const BARS: [Bar; 4] = [
    ("leak", |shown, _| shown == 0.0, "0"),
    ("write", |shown, _| shown == 0.0, "0"),
    ("benign", |shown, of| shown >= 0.98 * of, "at least 98 %"),
    ("session", |shown, of| shown == of, "100 %"),
];

/// Which cases are run: all, or some categories (`leak,write`), or those with some words in their names.
#[derive(Default, Clone, Copy)]
pub(crate) struct Which<'a> {
    pub(crate) only: Option<&'a str>,
    pub(crate) case: Option<&'a str>,
    /// On a server of this major version.
    pub(crate) major: Option<&'a str>,
    /// Each statement goes by MCP's tool `query`, and is judged by what comes of it there, and by whether the same comes of it by
    /// the wire.
    pub(crate) by_mcp: bool,
}

/// Runs a suite and fails where a bar is missed.
pub(crate) fn run(suite: Option<&str>, json: Option<&str>, which: Which<'_>) -> Result<(), Failure> {
    let suite = match suite {
        Some(given) => PathBuf::from(given),
        None => root().join(SUITE),
    };
    let suite = suite
        .canonicalize()
        .map_err(|e| Failure::of(format!("there is no suite in {}", suite.display()), e))?;
    install::need(install::POSTGRES)?;
    let python = install::python()?;
    let binary = build::gateway()?;
    let columns = tagged(&std::fs::read_to_string(suite.join("policy.json"))?)?;

    let bin = which.major.map(install::server).transpose()?;
    let server = Server::start(&suite, bin)?;
    let admin = format!("host=127.0.0.1 port={} dbname={DATABASE} user={SUPERUSER}", server.port);
    println!("Building the sample database …");
    show(judge(&python, &suite, &admin, &admin).arg("--setup-only"))?;

    let door = free_port()?;
    let mut gateway = Durward::start_with(&binary, &format!("\n[agents]\nlisten = \"127.0.0.1:{door}\""))?;
    let target = Target { columns, ..Target::new(TARGET, server.port, DATABASE) };
    gateway.apply(&[target], &[("acceptance", POLICY)])?;
    let token = gateway.token("acceptance")?;
    let scratch = Scratch::new("report")?;
    let wire = gateway.port();
    let adapter =
        if which.by_mcp { Some(Adapter::start(&python, door, wire, &token, &scratch)?) } else { None };
    let port = adapter.as_ref().map_or(gateway.port(), |adapter| adapter.port);
    let agent = format!("host=127.0.0.1 port={port} dbname={TARGET} user=agent password={token}");
    let report = json
        .map_or_else(|| scratch.join("report.json"), |path| std::path::absolute(path).unwrap_or_default());
    println!("Running the suite …");
    let mut judge = judge(&python, &suite, &admin, &agent);
    judge.args(["--no-setup", "--json"]).arg(&report);
    for (option, words) in [("--only", which.only), ("--case", which.case)] {
        if let Some(words) = words {
            judge.args([option, words]);
        }
    }
    if which.by_mcp {
        // What the judge says there of what is benign is about the way that its statements go.
        let said = text(&mut judge)?;
        said.lines().filter(|line| !line.starts_with("benign")).for_each(|line| println!("{line}"));
    } else {
        show(&mut judge)?;
    }
    gateway.still_runs()?;
    let measured = measure(&std::fs::read_to_string(report)?, which);
    // What differs is shown whatever else is missed.
    adapter.map_or(Ok(()), |adapter| alike(&std::fs::read_to_string(adapter.differences)?)).and(measured)
}

/// What was answered otherwise by MCP than by the wire. An empty line is a statement that was compared.
fn alike(compared: &str) -> Result<(), Failure> {
    let different: Vec<&str> = compared.lines().filter(|line| !line.is_empty()).collect();
    let count = compared.lines().count();
    println!("{:<10} {:>12}  all alike", "by wire", format!("{}/{count}", count - different.len()));
    different.iter().for_each(|line| println!("{line}"));
    match (count, different.len()) {
        (0, _) => Err("nothing was compared with the wire".into()),
        (_, 0) => Ok(()),
        (_, different) => Err(format!("{different} statements are answered otherwise by the wire").into()),
    }
}

/// A server of PostgreSQL's protocol that sends what it is asked by MCP.
struct Adapter {
    port: u16,
    /// Where it writes what is answered otherwise by the wire.
    differences: PathBuf,
    _running: Running,
}

impl Adapter {
    fn start(python: &Path, door: u16, wire: u16, token: &str, scratch: &Scratch) -> Result<Self, Failure> {
        let (port, differences) = (free_port()?, scratch.join("differences"));
        let mut command = Command::new(python);
        command.arg(root().join("tests/programs/mcp_wire.py"));
        command
            .args([&port.to_string(), &door.to_string(), TARGET, token, &wire.to_string()])
            .arg(&differences);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let mut running = Running::start(&mut command, &scratch.join("adapter.log"), Stop::Kill)?;
        running.wait_for_port(port)?;
        Ok(Self { port, differences, _running: running })
    }
}

fn judge(python: &Path, suite: &Path, admin: &str, agent: &str) -> Command {
    let mut judge = Command::new(python);
    judge.env("PYTHONDONTWRITEBYTECODE", "1").arg(suite.join("run.py"));
    judge.args(["--admin", admin, "--agent", agent]);
    judge
}

/// The tagged columns of a suite's `policy.json`, each with the tag that the text beside it begins with.
fn tagged(policy: &str) -> Result<Vec<(String, String)>, Failure> {
    let policy = Json::parse(policy)?;
    let columns = policy.at("tagged_columns").ok_or("the suite's policy.json has no tagged_columns")?;
    Ok(columns
        .fields()
        .map(|(column, words)| (column.clone(), tag(words.text().unwrap_or_default())))
        .collect())
}

/// `pii.email (foreign key …)` begins with a tag, `free text: tag it, …` does not.
fn tag(words: &str) -> String {
    let first = words.split(" (").next().unwrap_or_default();
    let is_tag = !first.is_empty() && first.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if is_tag { first.to_owned() } else { UNNAMED_TAG.to_owned() }
}

/// Compares the totals with the bars.
fn measure(report: &str, which: Which<'_>) -> Result<(), Failure> {
    let report = Json::parse(report)?;
    let mut missed = Vec::new();
    println!("{:<10} {:>12}  bar", "category", "result");
    // By MCP the judge sees no types, formats or messages, which it compares in what is benign: there the wire is asked.
    let judged = |category| !which.by_mcp || matches!(category, "leak" | "write");
    let wanted =
        |category| judged(category) && which.only.is_none_or(|only| only.split(',').any(|o| o == category));
    for (category, is_good, bar) in BARS.into_iter().filter(|(category, ..)| wanted(*category)) {
        let total = report.at("totals").and_then(|t| t.at(category));
        let number = |name| total.and_then(|t| t.at(name)).and_then(Json::number);
        let (Some(shown), Some(of)) = (number("shown"), number("of")) else {
            missed.push(format!("{category} (not run)"));
            continue;
        };
        println!("{category:<10} {:>12}  {bar}", format!("{shown}/{of}"));
        let nothing = of == 0.0 && which.case.is_none();
        if nothing || !is_good(shown, of) {
            missed.push(category.to_owned());
        }
    }
    let late = report.at("late_changes").map_or(0, |late| late.items().len());
    if late > 0 {
        missed.push(format!("{late} changes behind the last case"));
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("bars missed: {}", missed.join(", ")).into()) }
}

/// The suite's own server, in a directory of ours.
struct Server {
    suite: PathBuf,
    // The suite's script puts everything under TMPDIR.
    scratch: Scratch,
    port: u16,
    /// The programs of another major version.
    bin: Option<PathBuf>,
}

impl Server {
    fn start(suite: &Path, bin: Option<PathBuf>) -> Result<Self, Failure> {
        let (scratch, port) = (Scratch::new("suite")?, free_port()?);
        let this = Self { suite: suite.to_owned(), scratch, port, bin };
        println!("Starting the suite's own PostgreSQL on port {} …", this.port);
        this.does("init")?;
        Ok(this)
    }

    /// A suite's own script starts Debian's server, ours any.
    fn script(&self) -> PathBuf {
        let suite = if self.bin.is_some() { &root().join("tests/acceptance") } else { &self.suite };
        suite.join("server.sh")
    }

    /// The script makes an account and runs the server as it, so it needs root.
    fn does(&self, what: &str) -> Result<String, Failure> {
        let mut command = Command::new(if testkit::is_root()? { "env" } else { "sudo" });
        command.arg(format!("TMPDIR={}", self.scratch.path().display()));
        command.arg(format!("PORT={}", self.port));
        if let Some(bin) = &self.bin {
            command.arg(format!("DURWARD_PG_BIN={}", bin.display()));
        }
        text(command.arg("bash").arg(self.script()).arg(what).current_dir("/"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(failure) = self.does("stop") {
            eprintln!("the suite's server did not stop: {failure}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Which, alike, measure, tag, tagged};

    #[test]
    fn a_tag_is_what_stands_before_the_remark() {
        for (words, expected) in [
            ("pii.email", "pii.email"),
            ("pii.email (foreign key to shop.customers.email)", "pii.email"),
            ("free text: tag it, or detect addresses", "sensitive"),
            ("jsonb: keys ssn and phone are secret", "sensitive"),
            ("", "sensitive"),
        ] {
            assert_eq!(tag(words), expected, "{words}");
        }
    }

    #[test]
    fn tagged_columns_are_those_of_the_file() {
        let columns = tagged(r#"{"tagged_columns": {"s.t.c": "secret"}, "other": 1}"#).unwrap();
        assert_eq!(columns, [("s.t.c".to_owned(), "secret".to_owned())]);
        assert!(tagged("{}").is_err());
    }

    #[test]
    fn by_mcp_what_is_benign_is_judged_by_the_wire() {
        let report = r#"{"totals": {"leak": {"shown": 0, "of": 9}, "write": {"shown": 0, "of": 9},
            "benign": {"shown": 1, "of": 9}}, "late_changes": []}"#;
        let which = Which { by_mcp: true, ..Which::default() };
        assert!(measure(report, which).is_ok());
        assert!(measure(report, Which::default()).is_err());
        assert!(alike("\n\n").is_ok());
        assert!(alike("\n{}\n").is_err());
        assert!(alike("").is_err());
    }

    #[test]
    fn a_bar_that_is_missed_or_not_measured_fails() {
        let report = |leak: u32, benign: u32, more: &str| {
            format!(
                r#"{{"totals": {{"leak": {{"shown": {leak}, "of": 9}}, "write": {{"shown": 0, "of": 9}},
                     "benign": {{"shown": {benign}, "of": 100}}{more}}}, "late_changes": []}}"#
            )
        };
        let session = r#", "session": {"shown": 5, "of": 5}"#;
        assert!(measure(&report(0, 98, session), Which::default()).is_ok());
        assert!(measure(&report(1, 98, session), Which::default()).is_err());
        assert!(measure(&report(0, 97, session), Which::default()).is_err());
        assert!(measure(&report(0, 100, ""), Which::default()).is_err());
        let some = Which { only: Some("leak,write"), ..Which::default() };
        assert!(measure(&report(0, 50, ""), some).is_ok());
        assert!(measure(&report(1, 50, ""), some).is_err());
    }
}
