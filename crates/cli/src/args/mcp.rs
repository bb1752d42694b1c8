//! What can be typed about agents that speak MCP.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::typed;

const BRIDGE: &str = "\
An agent's program starts this and speaks MCP with it by standard input and output. It works as an agent of whoever is signed in
(durward login), or with the token in DURWARD_TOKEN. durward mcp config tells programs to start it.";

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, after_help = BRIDGE)]
pub(crate) struct Mcp {
    #[command(subcommand)]
    pub command: Option<McpCommand>,
    /// The agent's name. Of somebody who is signed in, the principal of its tokens is agent:local/NAME
    #[arg(long, default_value = "agent", value_name = "NAME")]
    pub agent: String,
    /// Whom it acts for, with the administrator's secret [default: who is signed in]
    #[arg(long = "for", value_name = "USER")]
    pub user: Option<String>,
    /// A target that it may use [default: all]
    #[arg(long = "target", value_name = "TARGET")]
    pub targets: Vec<String>,
    /// What it is for
    #[arg(long)]
    pub purpose: Option<String>,
    /// How long each of its tokens lives; they are renewed as long as it runs
    #[arg(long, default_value = "1h", value_parser = typed::seconds, value_name = "TIME")]
    pub life: u64,
    /// The gateway's port for agents [default: DURWARD_AGENTS, or where you are signed in, or http://127.0.0.1:7380]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Authorities in PEM for its TLS [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Speak by way of durward run, which keeps the tokens: it says so to what it runs
    #[arg(long, value_name = "SOCKET", hide = true, conflicts_with_all = ["user", "targets", "purpose", "url", "ca"])]
    pub through: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum McpCommand {
    /// Print what an agent's program must be told to use the gateway, or write it
    Config(McpConfig),
}

#[derive(Args)]
pub(crate) struct McpConfig {
    /// Which program
    #[arg(long)]
    pub client: AgentsProgram,
    /// Add it to the program's file; what else stands there stays
    #[arg(long)]
    pub write: bool,
    /// Take it out again
    #[arg(long, conflicts_with = "write")]
    pub undo: bool,
    /// Another file than the program's usual one
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The agent's name [default: the program's]
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// A target that it may use [default: all]
    #[arg(long = "target", value_name = "TARGET")]
    pub targets: Vec<String>,
    /// The gateway's port for agents [default: where you are signed in when it starts]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

impl McpConfig {
    /// What the agent is called.
    pub(crate) fn agent(&self) -> &str {
        self.agent.as_deref().unwrap_or_else(|| self.client.name())
    }
}

/// Programs with agents in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AgentsProgram {
    Claude,
    Cursor,
    Vscode,
    Windsurf,
    Codex,
    Gemini,
    Opencode,
}

impl AgentsProgram {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Cursor => "cursor",
            Self::Vscode => "vscode",
            Self::Windsurf => "windsurf",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
        }
    }
}
