//! Where things are, and what cargo makes.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use testkit::Failure;

use crate::install;

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where cargo puts what it makes.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Nothing that is run here goes on for longer, whatever it hangs on.
const LONGEST: &str = "120m";

/// Runs a command at the root with its output on the terminal.
pub(crate) fn show(command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = bounded(command, LONGEST)
        .current_dir(root())
        .status()
        .map_err(|e| Failure::of(format!("cannot run {name}"), e))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(124) => Err(format!("{name} did not end in {LONGEST}").into()),
        _ => Err(format!("{name} ended with {status}").into()),
    }
}

/// The same command, ended when its time is over.
fn bounded(command: &Command, time: &str) -> Command {
    let mut bounded = Command::new("timeout");
    // In the foreground an interrupt at the terminal reaches it, too.
    bounded
        .args(["--foreground", "--kill-after=30", time])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bounded.env(name, value),
            None => bounded.env_remove(name),
        };
    }
    bounded
}

pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments);
    cargo
}

/// Of what packages and with which features everything is built that is tested: where each command says the same, what they share is
/// built once.
pub(crate) const ALL: [&str; 2] = ["--workspace", "--all-features"];

/// The gateway as it is tested, where that has been built.
static TESTED: OnceLock<PathBuf> = OnceLock::new();

/// The gateway, built in the way that takes least time; or the one that `DURWARD_BIN` names.
pub(crate) fn gateway() -> Result<PathBuf, Failure> {
    match TESTED.get() {
        Some(tested) => Ok(tested.clone()),
        None => built("dev", "debug", &["--package", "durward"]),
    }
}

/// The same, as it is tested: with all features. It is the one from then on.
pub(crate) fn tested_gateway() -> Result<PathBuf, Failure> {
    let binary = built("dev", "debug", &[ALL.as_slice(), &["--bin", "durward"]].concat())?;
    Ok(TESTED.get_or_init(|| binary).clone())
}

/// The gateway, built for speed, which takes three times as long.
pub(crate) fn fast_gateway() -> Result<PathBuf, Failure> {
    built("release", "release", &["--package", "durward"])
}

fn built(profile: &str, folder: &str, what: &[&str]) -> Result<PathBuf, Failure> {
    if let Some(given) = std::env::var_os("DURWARD_BIN") {
        return Ok(std::path::absolute(given)?);
    }
    install::need(install::BUILD)?;
    println!("Building durward ({profile}) … The first time takes some minutes.");
    let mut build = cargo(&["build", "--profile", profile]);
    build.args(what);
    // At a terminal cargo shows how far it is.
    if !std::io::stderr().is_terminal() {
        build.arg("--quiet");
    }
    show(&mut build)?;
    Ok(target().join(folder).join("durward"))
}

/// The program that makes certificates and signed tokens, built as tests build it.
pub(crate) fn credentials() -> Result<PathBuf, Failure> {
    println!("Building the maker of certificates …");
    let what = ["--package", "testkit", "--features", "certificates,tokens", "--bin", "credentials"];
    show(cargo(&["build", "--quiet"]).args(what))?;
    Ok(target().join("debug").join("credentials"))
}

/// The plain relay and the load that the benchmarks use, built for speed.
pub(crate) fn relay() -> Result<PathBuf, Failure> {
    println!("Building the relay (release) …");
    show(&mut cargo(&["build", "--quiet", "--release", "--package", "relay"]))?;
    Ok(target().join("release").join("relay"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::bounded;

    #[test]
    fn a_command_runs_as_it_is_and_not_for_ever() {
        let mut says = Command::new("sh");
        says.args(["-c", "test \"$A\" = 1 && exit 7"]).env("A", "1");
        assert_eq!(bounded(&says, "60").status().unwrap().code(), Some(7));
        let mut hangs = Command::new("sleep");
        hangs.arg("60");
        assert_eq!(bounded(&hangs, "0.1").status().unwrap().code(), Some(124));
    }
}
