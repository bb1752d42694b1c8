//! `durward run -- CMD`: a child process that works on targets as an agent of whoever started it. The tokens are the agent's,
//! never the user's own, and stay in this process: the child logs in at a broker beside it, which lives as long as the child.

mod broker;
mod child;
mod place;

use std::process::ExitCode;

use crate::args::Run;
use crate::client::Client;
use crate::gate::Gate;
use crate::mint::{self, Wanted};

/// Runs the child, and ends as it does.
pub(crate) fn run(client: impl Fn() -> anyhow::Result<Client>, args: &Run) -> anyhow::Result<ExitCode> {
    let Run { agent, user, targets, purpose, life, port, gate, command } = args;
    let gate = Gate::new(gate)?;
    let wanted = Wanted::agent(agent, user.as_deref(), targets, purpose.as_deref(), *life)?;
    let minter = mint::minter(client, wanted)?;
    // The first token is minted before anything is started, so that what is wrong is said here.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let broker = broker::start(gate, minter, *port).await?;
        let environment = broker.environment(agent, targets.first().map(String::as_str));
        let status = child::run(command, &environment).await;
        broker.end().await;
        status.map(|status| ExitCode::from(child::code(status)))
    })
}
