//! `durward version`.

use serde_json::json;

use crate::show::{self, say};

pub(crate) fn run(as_json: bool) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let servers: Vec<u32> = gateway::doctor::VERSIONS.collect();
    if as_json {
        return Ok(show::json(&json!({
            "version": version, "profile": profile, "os": os, "arch": arch, "postgresql": servers,
            "traces": cfg!(feature = "otel")
        }))?);
    }
    let (first, last) = (gateway::doctor::VERSIONS.start(), gateway::doctor::VERSIONS.end());
    Ok(say(format_args!("durward {version} ({profile}, {os} on {arch}), for PostgreSQL {first} to {last}"))?)
}
