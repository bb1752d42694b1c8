//! `durward run -- CMD`: a child process that works on targets as an agent of whoever started it. The tokens are the agent's,
//! never the user's own, and stay in this process: the child logs in at a broker beside it, which lives as long as the child.

mod agents;
mod broker;
mod child;
mod place;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use self::place::Place;

use crate::args::Run;
use crate::client::Client;
use crate::gate::Gate;
use crate::mcp::{self, Tokens};
use crate::mint::{Minter, Wanted};

/// Runs the child, and ends as it does.
pub(crate) fn run(client: impl Fn() -> anyhow::Result<Client>, args: &Run) -> anyhow::Result<ExitCode> {
    let Run { agent, user, targets, purpose, life, port, gate, command } = args;
    let gate = Gate::new(gate)?;
    let wanted = Wanted {
        agent: Some(agent.clone()),
        user: user.clone(),
        targets: targets.clone(),
        purpose: purpose.clone(),
        life: *life,
    };
    let minter = Minter::new(&client, wanted.clone())?;
    // Its own tokens: a program that speaks MCP mints one when it first asks.
    let for_mcp = Minter::new(&client, wanted)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        // The first token is minted before anything is started, so that what is wrong is said here.
        minter.first().await?;
        let broker = broker::start(gate, minter, *port).await?;
        // Whatever else the child does needs no MCP.
        let door = door(for_mcp)
            .inspect_err(|error| tracing::warn!("there is no MCP for the child: {error:#}"))
            .ok();
        let bridge = door.as_ref().map(Door::bridge).unwrap_or_default();
        let agents::Told { command, environment: told, hint } =
            agents::told(command, &bridge, |name| std::env::var_os(name).is_some());
        if let Some(hint) = hint {
            eprintln!("durward: {hint}");
        }
        let mut environment = broker.environment(agent, targets.first().map(String::as_str));
        environment.extend(told);
        let status = child::run(&command, &environment).await;
        if let Some(door) = door {
            door.end().await;
        }
        broker.end().await;
        status.map(|status| ExitCode::from(child::code(status)))
    })
}

/// Where what the child starts speaks MCP.
struct Door {
    place: Place,
    task: JoinHandle<()>,
    minter: Arc<Tokens>,
}

fn door(minter: Minter) -> anyhow::Result<Door> {
    let place = Place::make()?;
    let socket = place.path().join("mcp.sock");
    let listener =
        UnixListener::bind(&socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    let tokens = Arc::new(Tokens::Minted(minter));
    let task = tokio::spawn(mcp::serve(listener, place.user, Arc::clone(&tokens))?);
    Ok(Door { place, task, minter: tokens })
}

impl Door {
    /// What starts the way there.
    fn bridge(&self) -> Vec<String> {
        let socket = self.place.path().join("mcp.sock").display().to_string();
        vec![mcp::command(), "mcp".to_owned(), "--through".to_owned(), socket]
    }

    async fn end(self) {
        self.task.abort();
        self.minter.end().await;
    }
}
