//! The arguments of `durward requests` and `durward grants`.

use clap::Subcommand;

use super::Asker;
use crate::typed;

#[derive(Subcommand)]
pub(crate) enum Requests {
    /// List held operations that wait, newest first
    Ls {
        /// Those that were answered, too
        #[arg(long)]
        all: bool,
        /// So many at most
        #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=1000))]
        most: u16,
        /// Those that came before this one
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one with its exact statement and values
    Show {
        /// Its id
        id: String,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Show those that wait and differ from one in plain values alone
    Alike {
        /// Its id
        id: String,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Show new ones as they come
    Watch {
        /// Write JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Approve one: it may run, once; access that is asked for becomes a standing grant
    Approve {
        /// Its id
        id: String,
        /// How many rows it may change at most: with more, nothing of it stays
        #[arg(long, value_name = "ROWS")]
        most: Option<u64>,
        /// Of access that is asked for, this alone, as "update public.orders"; several times where it is more
        #[arg(long, value_name = "ACCESS", conflicts_with = "alike")]
        only: Vec<String>,
        /// Of access that is asked for: for so long, which is less
        #[arg(long = "for", value_parser = typed::seconds, value_name = "TIME", conflicts_with = "alike")]
        life: Option<u64>,
        /// All that are alike to it, as `requests alike` has named them
        #[arg(long, value_name = "MARK")]
        alike: Option<String>,
        /// What to say to its requester
        #[arg(long, value_name = "WORDS")]
        say: Option<String>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Deny one
    Deny {
        /// Its id
        id: String,
        /// All that are alike to it, as `requests alike` has named them
        #[arg(long, value_name = "MARK")]
        alike: Option<String>,
        /// What to say to its requester
        #[arg(long, value_name = "WORDS")]
        say: Option<String>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a request of one's own back that waits, or is approved and not used, with the token of whoever asked
    Withdraw {
        /// Its id
        id: String,
        #[command(flatten)]
        asker: Asker,
    },
    /// Take back an approval that is not used yet
    Rescind {
        /// Its id
        id: String,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum Grants {
    /// Give a standing grant from a request: what is alike to it runs without asking for a while
    Give {
        /// The request's id
        request: String,
        /// For how long [default: 2h, or as long as policy lets]
        #[arg(long = "for", value_parser = typed::seconds, value_name = "TIME")]
        life: Option<u64>,
        /// How many rows each may change at most [default: as many as were counted for the request]
        #[arg(long, value_name = "ROWS")]
        most: Option<u64>,
        /// How often it may be used at most
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        uses: Option<u64>,
        /// The numbers of values that have to stay as they are, as `2,3` for $2 and $3
        #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
        keep: Vec<u32>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// List standing grants, newest first
    Ls {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one: what it covers, and what it was used for
    Show {
        /// Its id
        id: String,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke one: from now on it covers nothing
    Revoke {
        /// Its id
        id: String,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}
