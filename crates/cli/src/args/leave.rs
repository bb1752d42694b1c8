//! `durward access`.

use clap::{Args, Subcommand};

use super::{Asker, typed};

#[derive(Subcommand)]
pub(crate) enum Access {
    /// Ask for leave to go on without asking each time, for a while, where statements would be held
    Ask(AskAccess),
    /// Show a request of one's own: where it stands, and what was given
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        asker: Asker,
    },
    /// Wait for the answer to a request of one's own; exit code 1 unless it was given
    Wait {
        /// Its id
        id: String,
        #[command(flatten)]
        asker: Asker,
    },
}

#[derive(Args)]
pub(crate) struct AskAccess {
    /// Actions with their tables, as "update public.orders"
    #[arg(required = true, value_name = "ACCESS")]
    pub access: Vec<String>,
    /// On which target
    #[arg(long, value_name = "NAME")]
    pub target: String,
    /// What for, in words for whoever approves
    #[arg(long, value_name = "WORDS")]
    pub reason: String,
    /// How many rows a statement may change at most [default: as many as policy says, or 100]
    #[arg(long, value_name = "ROWS")]
    pub rows: Option<u64>,
    /// For how long [default: 2h, or as long as policy lets]
    #[arg(long = "for", value_parser = typed::seconds, value_name = "TIME")]
    pub life: Option<u64>,
    /// Wait for the answer; exit code 1 unless it was given
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub asker: Asker,
}
