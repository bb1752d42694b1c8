//! Logs go to the standard error, for people or as JSON lines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat, Settings};
use crate::exit::Fault;

pub(crate) fn start(settings: &Settings) -> anyhow::Result<()> {
    let Log { format, level } = &settings.log;
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Fault::Invalid(format!("{} \"{level}\": {error}", settings.at(&["log", "level"])))
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Human => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
