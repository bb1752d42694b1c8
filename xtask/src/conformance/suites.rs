//! The suites: each is a script of `tests/suites`, what it needs, and how long it may take.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use testkit::Failure;

use super::ground::{Ground, Way};
use super::outcomes::{Comparison, Outcomes};
use crate::{build, install};

/// A client's own suite.
pub(super) struct Suite {
    pub(super) name: &'static str,
    /// Debian's packages beside those that every house command installs.
    packages: &'static [&'static str],
    /// How long one run may take. A run that is cut off counts as far as it came.
    minutes: u32,
}

/// To build parts of PostgreSQL.
const C: &[&str] = &["dpkg-dev", "gcc", "make", "bison", "flex", "perl", "libpq-dev"];
const PYTHON: &[&str] = &["dpkg-dev", "python3-venv", "libpq-dev", "gcc", "python3-dev"];
const TOOLS: &[&str] = &[
    "dpkg-dev",
    "gcc",
    "make",
    "bison",
    "flex",
    "perl",
    "libpq-dev",
    "util-linux",
    "libipc-run-perl",
    "libio-pty-perl",
];

pub(super) const SUITES: &[Suite] = &[
    Suite { name: "regress", packages: C, minutes: 20 },
    Suite { name: "isolation", packages: C, minutes: 20 },
    Suite { name: "libpq", packages: C, minutes: 15 },
    Suite { name: "tools", packages: TOOLS, minutes: 40 },
    Suite { name: "psycopg2", packages: PYTHON, minutes: 10 },
    Suite { name: "psycopg3", packages: PYTHON, minutes: 20 },
    Suite { name: "asyncpg", packages: PYTHON, minutes: 15 },
    Suite { name: "pg8000", packages: PYTHON, minutes: 10 },
    Suite { name: "pygresql", packages: PYTHON, minutes: 10 },
    Suite { name: "node-postgres", packages: &["dpkg-dev", "nodejs", "npm"], minutes: 15 },
    Suite { name: "pgjdbc", packages: &["maven", "default-jdk-headless"], minutes: 40 },
    Suite { name: "tokio-postgres", packages: &[], minutes: 15 },
    Suite { name: "pgx", packages: &["golang-go"], minutes: 15 },
    Suite { name: "sqlalchemy", packages: PYTHON, minutes: 40 },
    Suite { name: "django", packages: PYTHON, minutes: 40 },
];

/// How long fetching and building may take.
const PREPARATION: u32 = 20;

/// Where suites are kept.
pub(super) fn folder() -> PathBuf {
    // Servers that tests start run as another account where we are root, and must be able to read it.
    let root = testkit::is_root().unwrap_or(false);
    let folder =
        if root { PathBuf::from("/var/lib/durward-test/suites") } else { build::target().join("suites") };
    std::path::absolute(folder).unwrap_or_default()
}

impl Suite {
    /// Runs it on both ways and compares.
    pub(super) fn compare(&self, ground: &Ground) -> Result<Comparison, Failure> {
        install::packages(self.name, self.packages)?;
        self.get(ground)?;
        let direct = self.run(ground, Way::Direct)?;
        let through = self.run(ground, Way::Through)?;
        Comparison::of(&direct, &through)
    }

    /// How many minutes it may take in all.
    pub(super) fn longest(&self) -> u32 {
        PREPARATION + 2 * self.minutes
    }

    fn sources(&self) -> PathBuf {
        folder().join(self.name)
    }

    /// Fetches and builds once: a mark says that it is done.
    fn get(&self, ground: &Ground) -> Result<(), Failure> {
        let mark = self.sources().join("durward-installed");
        let script = std::fs::read_to_string(self.script())?;
        if std::fs::read_to_string(&mark).is_ok_and(|made_by| made_by == script) {
            return Ok(());
        }
        println!("Fetching the suite {} into {} …", self.name, self.sources().display());
        let _ = std::fs::remove_dir_all(self.sources());
        std::fs::create_dir_all(self.sources())?;
        self.does(ground, Way::Direct, "get", PREPARATION)?;
        Ok(std::fs::write(mark, script)?)
    }

    fn run(&self, ground: &Ground, way: Way) -> Result<Outcomes, Failure> {
        println!("{} …", way.word());
        let folder = self.outcomes(way);
        let _ = std::fs::remove_dir_all(&folder);
        let ended = self.does(ground, way, "run", self.minutes);
        if way == Way::Through {
            std::fs::write(folder.join("gateway.log"), ground.log())?;
        }
        let outcomes = Outcomes::read(&folder)?;
        match ended {
            Err(failure) if outcomes.is_empty() => Err(failure),
            Err(failure) => {
                println!("{failure}");
                Ok(outcomes)
            }
            Ok(()) => Ok(outcomes),
        }
    }

    /// Where a run leaves what it has to say, until the next one of its kind.
    pub(super) fn outcomes(&self, way: Way) -> PathBuf {
        folder().join("outcomes").join(format!("{}-{}", self.name, way.word()))
    }

    fn script(&self) -> PathBuf {
        build::root().join("tests/suites").join(format!("{}.sh", self.name))
    }

    fn does(&self, ground: &Ground, way: Way, what: &str, minutes: u32) -> Result<(), Failure> {
        let outcomes = self.outcomes(way);
        std::fs::create_dir_all(&outcomes)?;
        let mut command = Command::new("timeout");
        command.args(["--kill-after=30", &format!("{minutes}m"), "sh", "-eu"]).arg(self.script()).arg(what);
        command.envs(ground.environment(way));
        command.env("SUITES", build::root().join("tests/suites")).env("SOURCES", self.sources());
        command.env("OUT", outcomes).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        let status = command.current_dir(build::root()).stdin(Stdio::null()).status()?;
        if status.success() {
            return Ok(());
        }
        Err(format!("{} {what} {}: ended with {status}", self.name, way.word()).into())
    }
}
