//! `durward connect TARGET`: psql with a fresh token of one's own, in the place of this process.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::args::Connect;
use crate::client::Client;
use crate::exit::Fault;
use crate::gate::Gate;
use crate::mint::{Fresh, Wanted};

pub(crate) fn run(client: impl Fn() -> anyhow::Result<Client>, args: &Connect) -> anyhow::Result<()> {
    let Connect { target, user, life, gate, psql } = args;
    let gate = Gate::new(gate)?;
    let wanted =
        Wanted { agent: None, user: user.clone(), targets: vec![target.clone()], purpose: None, life: *life };
    let Fresh { id, token } = wanted.fresh(client)?;
    let mut command = Command::new("psql");
    store::children::without_secrets(&mut command);
    command.args(psql).env("PGHOST", &gate.host).env("PGPORT", gate.port.to_string());
    // The token's id as the name: then psql proves that it has the token, and does not send it.
    command.env("PGUSER", id).env("PGPASSWORD", token.as_str()).env("PGDATABASE", target);
    command.env("PGSSLMODE", gate.mode.to_string());
    command.env_remove("PGSSLROOTCERT").envs(gate.root.iter().map(|root| ("PGSSLROOTCERT", root)));
    for name in ["PGHOSTADDR", "PGSERVICE"] {
        command.env_remove(name);
    }
    Err(Fault::Missing(format!("cannot run psql: {}", command.exec())).into())
}
