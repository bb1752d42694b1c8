//! The arguments of `durward sessions`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Place;
use crate::typed;

#[derive(Args)]
pub(crate) struct Play {
    /// Its id
    pub id: String,
    /// So many times as fast as it was; `max` waits for nothing
    #[arg(long, default_value = "1", value_parser = typed::speed, value_name = "FACTOR")]
    pub speed: f64,
    /// Where nothing happened for longer, wait no longer than this
    #[arg(long, default_value = "3s", value_parser = typed::seconds, value_name = "TIME")]
    pub idle: u64,
    /// Wait for the return key before each step; q ends
    #[arg(long, conflicts_with = "speed")]
    pub step: bool,
    /// Begin with this step
    #[arg(long, default_value_t = 0, value_name = "STEP")]
    pub from: u64,
    /// These verdicts alone: refused,held
    #[arg(long, value_name = "VERDICTS")]
    pub only: Option<String>,
    /// Steps alone in which this text stands
    #[arg(long, value_name = "TEXT")]
    pub find: Option<String>,
    /// Of each result so many rows
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub rows: usize,
}

#[derive(Args)]
pub(crate) struct ExportSession {
    /// Its id
    pub id: String,
    /// What is written
    #[arg(long, value_enum, default_value_t = SessionFormat::Asciicast)]
    pub format: SessionFormat,
    /// A file that is not there yet [default: the standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Of each result so many rows
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub rows: usize,
    /// Where nothing happened for longer, players wait no longer than this
    #[arg(long, default_value = "3s", value_parser = typed::seconds, value_name = "TIME")]
    pub idle: u64,
}

/// As what a recording is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SessionFormat {
    /// asciicast v2, for asciinema and its players
    Asciicast,
    /// A JSON object for each step, with the bytes that the client got of rows and errors in base64
    Jsonl,
}

#[derive(Args)]
pub(crate) struct SearchSessions {
    /// Stands in the statement or in what was shown, whatever its case
    pub text: Option<String>,
    /// Who, or a part of it: agent:ci
    #[arg(long, value_name = "PRINCIPAL")]
    pub principal: Option<String>,
    /// On which target
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// A table that was read or changed, with or without its schema
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// A column that the statement or its result names
    #[arg(long, value_name = "COLUMN")]
    pub column: Option<String>,
    /// allowed, refused, held or unreadable
    #[arg(long, value_parser = ["allowed", "refused", "held", "unreadable"], value_name = "VERDICT")]
    pub verdict: Option<String>,
    /// From this moment on, in UTC: 2026-11-26T12:00:00Z, or a beginning of it
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Before this moment
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// So many at most
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: usize,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Sessions {
    /// List live sessions, or all that the journal knows
    Ls {
        /// All that the journal knows; read from the data directory
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        place: Place,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a session did; read from the journal
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        place: Place,
        /// Write JSON, one record a line
        #[arg(long)]
        json: bool,
    },
    /// Play a session's recording as its principal saw it; that you read it is in the journal
    Play(Play),
    /// Follow the recording of a live session
    Tail {
        /// Its id
        id: String,
        /// Of each result so many rows
        #[arg(long, default_value_t = 50, value_name = "N")]
        rows: usize,
        /// Write JSON, one step a line
        #[arg(long)]
        json: bool,
    },
    /// Write a session's recording as a file that other programs play or read
    Export(ExportSession),
    /// Find operations of live and past sessions, in the journal and in what recordings show
    Search(SearchSessions),
    /// End a session, or all of a principal or on a target, also while they wait or run
    Kill {
        /// Its id
        #[arg(required_unless_present_any = ["principal", "target"], conflicts_with_all = ["principal", "target"])]
        id: Option<String>,
        /// All of a principal and of whoever acts for it: agent:NAME or user:NAME
        #[arg(long, value_name = "PRINCIPAL", conflicts_with = "target")]
        principal: Option<String>,
        /// All on a target
        #[arg(long, value_name = "TARGET")]
        target: Option<String>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}
