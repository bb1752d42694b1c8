//! Exit codes, as `durward --help` documents them.

use std::io;
use std::process::ExitCode;

/// What `--help` says.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  refused, or failed
  2  wrong use, or a file that is not valid
  3  the gateway cannot be reached
  4  a secret is missing or wrong, or somebody else's
  5  there is no such thing
  6  what was checked is not as it should be (audit verify, policy test, doctor, status), or differs (diff)

Commands that change or show a running gateway ask for the administrator's secret, or read it from
DURWARD_ADMIN_SECRET; `requests --as NAME` for that approver's, DURWARD_APPROVER_SECRET. A program of the same user can read that variable: where an agent runs as
you, type the secret instead.";

/// A failure that has an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// A file or an argument that is not valid.
    #[error("{0}")]
    Invalid(String),
    /// The gateway does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// The secret is missing or wrong.
    #[error("{0}")]
    Unauthorized(String),
    /// There is no such thing.
    #[error("{0}")]
    Missing(String),
    /// What was checked is not as it should be.
    #[error("{0}")]
    Wrong(String),
}

pub(crate) fn of(result: anyhow::Result<ExitCode>) -> ExitCode {
    let error = match result {
        Ok(code) => return code,
        Err(error) => error,
    };
    // Whoever read what we wrote has seen enough.
    let broken_pipe = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref::<io::Error>().is_some_and(broken_pipe) {
        return ExitCode::SUCCESS;
    }
    eprintln!("durward: {}", crate::show::lines(&format!("{error:#}")));
    ExitCode::from(match error.downcast_ref::<Fault>() {
        None => 1,
        Some(Fault::Invalid(_)) => 2,
        Some(Fault::Unreachable(_)) => 3,
        Some(Fault::Unauthorized(_)) => 4,
        Some(Fault::Missing(_)) => 5,
        Some(Fault::Wrong(_)) => 6,
    })
}
