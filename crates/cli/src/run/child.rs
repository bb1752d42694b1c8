//! The child: its environment, the signals that are for it, its end.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Fault;

/// Of libpq, what would lead the child elsewhere.
const CLEARED: &[&str] = &["PGHOSTADDR", "PGSERVICE", "PGPASSFILE", "PGSSLROOTCERT", "PGCHANNELBINDING"];

/// Runs a command until it ends. Signals that come meanwhile are the child's.
pub(super) async fn run(
    command: &[String],
    environment: &[(&'static str, String)],
) -> anyhow::Result<ExitStatus> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| Fault::Invalid("there is no command".to_owned()))?;
    let mut child = Command::new(program);
    child.args(arguments);
    // Secrets of people are nothing that an agent of theirs has a use for.
    store::children::without_secrets(child.as_std_mut());
    for name in CLEARED {
        child.env_remove(name);
    }
    child.envs(environment.iter().map(|(name, value)| (name, value)));
    // From before there is a child on, or one that comes meanwhile would end this process alone.
    let mut term = signal(SignalKind::terminate())?;
    let mut hup = signal(SignalKind::hangup())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut one = signal(SignalKind::user_defined1())?;
    let mut two = signal(SignalKind::user_defined2())?;
    let mut child =
        child.spawn().map_err(|error| Fault::Missing(format!("cannot run {program}: {error}")))?;
    loop {
        let came = tokio::select! {
            status = child.wait() => return Ok(status?),
            _ = term.recv() => Signal::TERM,
            _ = hup.recv() => Signal::HUP,
            _ = int.recv() => Signal::INT,
            _ = quit.recv() => Signal::QUIT,
            _ = one.recv() => Signal::USR1,
            _ = two.recv() => Signal::USR2,
        };
        // A key at the terminal reaches the child by itself, since it is in the same foreground group.
        let by_terminal = matches!(came, Signal::INT | Signal::QUIT) && is_foreground();
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id.filter(|_| !by_terminal) {
            // One that has just ended needs no signal.
            let _ = kill_process(id, came);
        }
    }
}

/// Whether keys of the terminal are signals for this process and its child.
fn is_foreground() -> bool {
    let Ok(terminal) = std::fs::File::open("/dev/tty") else { return false };
    rustix::termios::tcgetpgrp(&terminal).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// A child's end as this process's own: its code, or 128 and the signal that ended it, as shells say it.
pub(super) fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(1)
}
