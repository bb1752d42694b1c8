//! `durward plan`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum Plan {
    /// Submit the statements of a file: they are foreseen, approved and run once, in their order and one transaction where they can
    Submit(Submit),
    /// Show a plan of one's own: where it stands, and what came of its statements
    Show {
        /// Its id, as of a request
        id: String,
        #[command(flatten)]
        asker: Asker,
    },
    /// Wait for a plan of one's own to end; exit code 1 unless it was done
    Wait {
        /// Its id, as of a request
        id: String,
        #[command(flatten)]
        asker: Asker,
    },
    /// Take a plan of one's own back that waits, or is approved and has not begun
    Withdraw {
        /// Its id, as of a request
        id: String,
        #[command(flatten)]
        asker: Asker,
    },
}

#[derive(Args)]
pub(crate) struct Submit {
    /// A file of SQL statements; - is the standard input
    pub file: PathBuf,
    /// On which target
    #[arg(long, value_name = "NAME")]
    pub target: String,
    /// What for, in words for whoever approves
    #[arg(long, value_name = "WORDS")]
    pub reason: String,
    /// Send the statements in a session of one's own once they are approved, in their order; else the gateway does, at once
    #[arg(long)]
    pub in_session: bool,
    /// Wait until it has ended; exit code 1 unless it was done
    #[arg(long, conflicts_with = "in_session")]
    pub wait: bool,
    #[command(flatten)]
    pub asker: Asker,
}

/// Who asks: whoever's token is in DURWARD_TOKEN, or an agent of whoever signed in.
#[derive(Args)]
pub(crate) struct Asker {
    /// The gateway's port for agents
    #[arg(long, env = "DURWARD_AGENTS", default_value = "http://127.0.0.1:7380", value_name = "URL")]
    pub agents: String,
    /// As this agent of whoever signed in (durward login), where there is no token in DURWARD_TOKEN
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}
