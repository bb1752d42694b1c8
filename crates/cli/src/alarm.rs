//! Who is told when a break-glass code is used, beside the log and the journal: a command of the operator's.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use gateway::break_glass::{Alarm, CodeUsed};
use store::children;

/// The command may take so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a command with what happened, as JSON, on its standard input.
pub(crate) struct Told {
    pub words: Vec<String>,
}

impl Alarm for Told {
    fn raise(&self, used: &CodeUsed) {
        let (words, used) = (self.words.clone(), used.clone());
        // Whoever is told must not hold up the emergency.
        let telling = std::thread::Builder::new().name("alarm".to_owned()).spawn(move || {
            if let Err(error) = tell(&words, &used) {
                tracing::error!(
                    code = used.code,
                    "the alarm that an emergency code was used failed: {error:#}"
                );
            }
        });
        if let Err(error) = telling {
            tracing::error!("the alarm that an emergency code was used cannot be raised: {error}");
        }
    }
}

fn tell(words: &[String], used: &CodeUsed) -> anyhow::Result<()> {
    let (program, arguments) = words.split_first().context("break_glass.command is empty")?;
    let mut child = children::without_secrets(&mut Command::new(program))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("break_glass.command: cannot run {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read what happened is told all the same.
        let _ = writeln!(stdin, "{}", serde_json::to_string(used)?);
    }
    ended(&mut child)
}

fn ended(child: &mut Child) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            anyhow::ensure!(status.success(), "break_glass.command ended with {status}");
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill()?;
    child.wait()?;
    anyhow::bail!("break_glass.command took longer than {} s", PATIENCE.as_secs())
}
