//! `durward mcp`: what an agent's own program starts to speak MCP by standard input and output, and how such programs are told
//! to. It signs in with what `login` keeps, renews its tokens and comes back when the gateway does; whatever is said goes to the
//! gateway as it is.

mod bridge;
mod configure;
mod through;
mod web;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::args::{Mcp, McpCommand};
use crate::client::Client;
use crate::exit::Fault;
use crate::login::Stored;
pub(crate) use configure::command;

use crate::mint::{Minter, Wanted};

/// Where a token is that was made elsewhere.
const TOKEN: &str = "DURWARD_TOKEN";
/// Where it is said where agents speak MCP.
const AGENTS: &str = "DURWARD_AGENTS";
/// Where agents speak MCP, if nothing else is said and nobody signed in.
const USUAL: &str = "http://127.0.0.1:7380";

/// Where tokens come from.
pub(crate) enum Tokens {
    /// One that was made elsewhere.
    Given(Zeroizing<String>),
    /// They are minted as they are needed.
    Minted(Minter),
}

impl Tokens {
    async fn current(&self) -> anyhow::Result<Zeroizing<String>> {
        match self {
            Self::Given(token) => Ok(token.clone()),
            Self::Minted(minter) => minter.text().await,
        }
    }

    /// Those that were minted are of no use any more.
    pub(crate) async fn end(&self) {
        match self {
            Self::Given(_) => {}
            Self::Minted(minter) => minter.end().await,
        }
    }
}

pub(crate) fn run(client: impl Fn() -> anyhow::Result<Client>, args: &Mcp) -> anyhow::Result<ExitCode> {
    match &args.command {
        Some(McpCommand::Config(config)) => configure::run(config).map(|()| ExitCode::SUCCESS),
        None => match &args.through {
            Some(socket) => through::join(socket),
            None => bridge(client, args),
        }
        .map(|()| ExitCode::SUCCESS),
    }
}

/// Where agents speak MCP: as it is said, where somebody signed in, or the usual place. A token that was made elsewhere is not
/// shown to where somebody signed in.
fn place(url: Option<&str>, ca: Option<&Path>, signs_in: bool) -> anyhow::Result<web::Web> {
    let said = || std::env::var(AGENTS).ok().filter(|url| !url.is_empty());
    let base = match url.map(str::to_owned).or_else(said) {
        Some(url) => url,
        None if !signs_in => USUAL.to_owned(),
        None => Stored::read()?.map_or_else(|| USUAL.to_owned(), |stored| stored.agents),
    };
    let base = base.trim_end_matches('/');
    let base = base.strip_suffix("/mcp").unwrap_or(base);
    web::Web::new(&format!("{base}/mcp"), ca)
}

/// Serves MCP at a socket of this user's, with tokens that stay in this process.
pub(crate) fn serve(
    listener: tokio::net::UnixListener,
    user: u32,
    tokens: Arc<Tokens>,
) -> anyhow::Result<impl Future<Output = ()> + Send> {
    Ok(through::serve(listener, user, place(None, None, true)?, tokens))
}

fn bridge(client: impl Fn() -> anyhow::Result<Client>, args: &Mcp) -> anyhow::Result<()> {
    let given = std::env::var(TOKEN).ok().filter(|token| !token.is_empty()).map(Zeroizing::new);
    let web = place(args.url.as_deref(), args.ca.as_deref(), given.is_none())?;
    let tokens = match given {
        Some(token) => Tokens::Given(token),
        None => {
            let wanted = Wanted {
                agent: Some(args.agent.clone()),
                user: args.user.clone(),
                targets: args.targets.clone(),
                purpose: args.purpose.clone(),
                life: args.life,
            };
            let minter = Minter::new(client, wanted).map_err(|error| match error.downcast::<Fault>() {
                Ok(Fault::Unauthorized(why)) => Fault::Unauthorized(format!(
                    "{why}; or give the token of an agent in {TOKEN}, as durward up prints one"
                ))
                .into(),
                Ok(fault) => fault.into(),
                Err(error) => error,
            })?;
            Tokens::Minted(minter)
        }
    };
    let tokens = Arc::new(tokens);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        // What is wrong is said here, where whoever started it looks.
        tokens.current().await.map_err(|error| match error.downcast::<Fault>() {
            Ok(fault) => fault.into(),
            Err(error) => error,
        })?;
        let done = bridge::carry(web, Arc::clone(&tokens)).await;
        tokens.end().await;
        done
    })
}
