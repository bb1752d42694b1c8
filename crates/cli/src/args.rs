//! What can be typed.

mod access;
mod leave;
mod mcp;
mod plan;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::access::{Approver, BreakGlass, Freeze, People, Reason, Revoke, Token};
pub(crate) use self::leave::{Access, AskAccess};
pub(crate) use self::mcp::{AgentsProgram, Mcp, McpCommand, McpConfig};
pub(crate) use self::plan::{Asker, Plan, Submit};
use crate::exit;
use crate::typed;

/// An access gateway in front of production services: every operation is understood, decided and recorded before it runs.
#[derive(Parser)]
#[command(version, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// Where a running gateway's admin API is; on this machine, since the secret goes there in clear
    #[arg(
        long,
        global = true,
        env = "DURWARD_GATEWAY",
        default_value = "http://127.0.0.1:7300",
        value_name = "URL"
    )]
    pub gateway: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the gateway in the foreground
    Serve(Serve),
    /// Put a gateway in front of one database of your own, with starter policies and a token for an agent
    Up(Up),
    /// Make a data directory and show the administrator's secret, this once
    Init(Init),
    /// Replace the master key that everything sealed is wrapped with
    Keys {
        #[command(subcommand)]
        command: Keys,
    },
    /// Copy store, journal and master key into a file that a recovery key opens, while the gateway serves
    Backup(Backup),
    /// Make a gateway's place anew from a backup; what may have changed since is revoked
    Restore(Restore),
    /// Put targets, tags and policies of a directory in force, all of them or none
    Apply(Apply),
    /// Sign in at your issuer, in your browser; what is kept opens sessions and mints agents' tokens, and nothing else
    Login(Login),
    /// Have what `login` keeps revoked, and forget it
    Logout(Logout),
    /// Say who is signed in
    Whoami(Whoami),
    /// Show what `apply` would change; exit code 6 if something differs
    Diff(Diff),
    /// Write what is in force as files that `apply` reads
    Export(Export),
    /// Say how a running gateway is; exit code 6 if it is not ready or its files are not valid
    Status(Status),
    /// Run a command that works on targets as an agent of yours; its exit status is the command's
    Run(Run),
    /// Run psql on a target with a fresh token of yours
    Connect(Connect),
    /// Speak MCP for an agent's program, by standard input and output
    Mcp(Mcp),
    /// Issue, list and revoke tokens
    Token {
        #[command(subcommand)]
        command: Token,
    },
    /// Let nothing change on a target, on those with a tag, or on all, whoever asks and whoever approved
    Freeze(Freeze),
    /// List what is frozen, newest first
    Freezes {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// End a freeze
    Thaw {
        /// Its id, dwr_…
        id: String,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Deny access whatever policies say: live sessions that it concerns end at once, and no new ones begin
    Revoke {
        #[command(subcommand)]
        command: Revoke,
    },
    /// Make, list and revoke one-time codes for emergencies, which work without any issuer
    BreakGlass {
        #[command(subcommand)]
        command: BreakGlass,
    },
    /// See and answer held operations
    Requests {
        /// Be this approver, who proves it with their own secret; else the administrator
        #[arg(long = "as", global = true, value_name = "NAME")]
        name: Option<String>,
        #[command(subcommand)]
        command: Requests,
    },
    /// Let what is alike to a held operation through for a while, and take that back
    Grants {
        /// Be this approver, who proves it with their own secret; else the administrator
        #[arg(long = "as", global = true, value_name = "NAME")]
        name: Option<String>,
        #[command(subcommand)]
        command: Grants,
    },
    /// Ask to go on without asking for a while, where statements are held
    Access {
        #[command(subcommand)]
        command: Access,
    },
    /// Have several statements approved and carried out as one
    Plan {
        #[command(subcommand)]
        command: Plan,
    },
    /// Say who may answer held operations beside the administrator
    Approver {
        #[command(subcommand)]
        command: Approver,
    },
    /// Say who comes to the console by a passkey
    People {
        #[command(subcommand)]
        command: People,
    },
    /// See and end sessions
    Sessions {
        #[command(subcommand)]
        command: Sessions,
    },
    /// Check the journal
    Audit {
        #[command(subcommand)]
        command: Audit,
    },
    /// Check, test and explain policies
    Policy {
        #[command(subcommand)]
        command: Policy,
    },
    /// See what is behind the gateway
    Targets {
        #[command(subcommand)]
        command: Targets,
    },
    /// Look at targets as a careful operator would
    Doctor(Doctor),
    /// Print the JSON Schema of a kind of file, for editors
    Schema {
        /// Which; all of them, by name, where none is named
        kind: Option<Kind>,
    },
    /// Print what makes a shell complete these commands
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version and what it was built with
    Version {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// durward.toml: what `serve` is started with
    Config,
    /// *.toml in a directory that is applied: targets and tags
    State,
    /// *.test.toml: tests beside policies
    Tests,
}

#[derive(Args)]
pub(crate) struct Serve {
    /// The configuration of the process
    #[arg(short, long, default_value = "durward.toml", value_name = "FILE")]
    pub config: PathBuf,
}

#[derive(Args)]
pub(crate) struct Up {
    /// postgres://user@host:port/database?sslmode=verify-full
    ///
    /// A password in it, or in PGPASSWORD, is taken out of this process's arguments and environment. The shell's history and
    /// a parent's arguments (sudo, make) keep it: better give it by --password-file, .pgpass or at the prompt.
    pub url: String,
    /// Where state and journal are kept [default: ~/.local/share/durward]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The target's name, which clients give as the database [default: the database's]
    #[arg(long)]
    pub name: Option<String>,
    /// Read the database's password from a file
    #[arg(long, value_name = "FILE", conflicts_with = "password_stdin")]
    pub password_file: Option<PathBuf>,
    /// Read the database's password from the standard input
    #[arg(long)]
    pub password_stdin: bool,
    /// The agent that the token is for
    #[arg(long, default_value = "agent", value_name = "NAME")]
    pub agent: String,
    /// How long the token lives
    #[arg(long, default_value = "8h", value_parser = typed::seconds, value_name = "TIME")]
    pub life: u64,
    /// Where clients connect
    #[arg(long, default_value = "127.0.0.1:7432", value_parser = typed::address, value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where the admin API listens; on the loopback
    #[arg(long, default_value = "127.0.0.1:7300", value_parser = typed::address, value_name = "ADDRESS")]
    pub console: SocketAddr,
    /// Where agents speak MCP, at /mcp; on the loopback
    #[arg(long, default_value = "127.0.0.1:7380", value_parser = typed::address, value_name = "ADDRESS")]
    pub agents: SocketAddr,
}

#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct Place {
    /// The configuration of the process, which names the data directory
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data directory [default: ~/.local/share/durward]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Init {
    #[command(flatten)]
    pub place: Place,
    /// Make another secret of the administrator's in place of one that is lost or was seen; a gateway may serve meanwhile
    #[arg(long)]
    pub new_secret: bool,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Put a new master key first in its file, to bring to every gateway of a store before it comes into force
    Add {
        #[command(flatten)]
        place: Place,
    },
    /// Bring the first master key into force, or a new one where a gateway has its store alone; gateways go on serving
    Rotate {
        #[command(flatten)]
        place: Place,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct Backup {
    /// Where it is written; nothing may be there
    pub file: PathBuf,
    #[command(flatten)]
    pub place: Place,
    /// Make another recovery key, shown once; it opens no backup of before
    #[arg(long)]
    pub new_key: bool,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub(crate) struct Restore {
    /// The backup
    pub file: PathBuf,
    #[command(flatten)]
    pub place: Place,
    /// Read the recovery key from a file; else from DURWARD_RECOVERY_KEY, or it is asked for
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub(crate) struct Apply {
    /// A directory with targets, tags, issuers, clients and groups (*.toml), policies (*.cedar) and tests of them (*.test.toml)
    #[arg(short = 'f', long = "file", value_name = "DIR")]
    pub directory: PathBuf,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Remove what is in force and not in the directory; without it, that stays
    #[arg(long)]
    pub prune: bool,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub(crate) struct Diff {
    /// A directory with targets, tags, issuers, clients and groups (*.toml), policies (*.cedar) and tests of them (*.test.toml)
    #[arg(short = 'f', long = "file", value_name = "DIR")]
    pub directory: PathBuf,
    /// As `apply --prune`
    #[arg(long)]
    pub prune: bool,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub(crate) struct Export {
    /// A directory that is empty or not there yet
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

#[derive(Args)]
pub(crate) struct Status {
    /// Ask only whether it is ready for clients; needs no secret
    #[arg(long, conflicts_with = "json")]
    pub ready: bool,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub(crate) struct Login {
    /// The gateway's port for agents
    #[arg(long, env = "DURWARD_AGENTS", default_value = "http://127.0.0.1:7380", value_name = "URL")]
    pub agents: String,
    /// At which issuer, where the gateway has several
    #[arg(long, value_name = "NAME")]
    pub issuer: Option<String>,
    /// Only say where to sign in, and open no browser
    #[arg(long)]
    pub no_browser: bool,
    /// Show a code to enter on another device, where the issuer's entry has `login_device = true`
    #[arg(long, conflicts_with = "no_browser")]
    pub device: bool,
    /// How long to wait for the browser, or for the code to be entered
    #[arg(long = "wait", default_value = "5m", value_parser = typed::seconds, value_name = "TIME")]
    pub patience: u64,
}

#[derive(Args)]
pub(crate) struct Logout {
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub(crate) struct Whoami {
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub(crate) struct Gate {
    /// Where the gateway serves clients
    #[arg(long, env = "DURWARD_POSTGRES", default_value = "127.0.0.1:7432", value_name = "HOST:PORT")]
    pub postgres: String,
    /// How it is reached, as libpq says it [default: verify-full, prefer on this machine]
    #[arg(long, value_name = "MODE")]
    pub sslmode: Option<String>,
    /// The authority of its certificate, if the system does not know it
    #[arg(long, value_name = "FILE")]
    pub sslrootcert: Option<PathBuf>,
}

const RUN: &str = "\
The command finds its way by PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and DATABASE_URL. They lead to a socket of this
run's own, in a directory that only you can enter, behind which each connection goes on with a fresh token of the agent's. The
password is this run's alone: it opens nothing after its end.
Programs that cannot use a socket (JDBC) take a port: --port.

Example:
  durward run --agent claude --target orders -- claude";

#[derive(Args)]
#[command(after_help = RUN)]
pub(crate) struct Run {
    /// The agent's name. Of somebody who is signed in, the principal of its tokens is agent:local/NAME
    #[arg(long, default_value = "agent", value_name = "NAME")]
    pub agent: String,
    /// Whom it acts for, with the administrator's secret [default: who is signed in]
    #[arg(long = "for", value_name = "USER")]
    pub user: Option<String>,
    /// A target that it may use; the first is PGDATABASE [default: all]
    #[arg(long = "target", value_name = "TARGET")]
    pub targets: Vec<String>,
    /// What it is for
    #[arg(long)]
    pub purpose: Option<String>,
    /// How long each of its tokens lives; they are renewed as long as the command runs
    #[arg(long, default_value = "1h", value_parser = typed::seconds, value_name = "TIME")]
    pub life: u64,
    /// Serve the command on this port of the loopback, for programs that cannot use a socket
    #[arg(long)]
    pub port: Option<u16>,
    #[command(flatten)]
    pub gate: Gate,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Connect {
    /// The target
    pub target: String,
    /// Who you are, with the administrator's secret [default: who is signed in]
    #[arg(long = "as", value_name = "NAME")]
    pub user: Option<String>,
    /// How long the session may last
    #[arg(long, default_value = "8h", value_parser = typed::seconds, value_name = "TIME")]
    pub life: u64,
    #[command(flatten)]
    pub gate: Gate,
    /// More arguments for psql
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub psql: Vec<String>,
}

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

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Check that no record and no recording was changed, removed or moved; needs their files and no gateway
    Verify {
        /// The journal's directory itself
        #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "data"])]
        journal: Option<PathBuf>,
        /// Where recordings are, if elsewhere; with --journal they are checked only where this is given
        #[arg(long, value_name = "DIR")]
        recordings: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

const POLICY_QUESTIONS: &str = "\
Examples:
  durward policy explain --as agent:bot --target orders \"DELETE FROM customers\"
  durward policy explain --as agent:bot --target orders --policies new/ \"SELECT email FROM customers\"
  durward policy explain --as agent:bot --target orders update=shop.orders reveal=column:shop.people.email#pii";

const POLICY_TESTS: &str = "\
A test is a question and the verdict that it must have, in a file *.test.toml:
  [[case]]
  name = \"agents ask before they delete\"
  principal = \"agent:bot\"
  target = \"orders\"
  statement = \"DELETE FROM customers WHERE id = 7\"   # or: effects = [\"delete=public.customers\"]
  expect = \"hold\"                                    # allow, deny or hold
  by = [\"writes-need-a-dba\"]                         # where it matters which policies decide
Beside these: groups, on_behalf_of, target_tags, approved, and for effects without_where, values, values_uncertain, literals,
estimated_rows and measured_rows. Statements need a gateway
that reads the target's catalogue: a running one, or --data or --config of one that does not run.";

#[derive(Subcommand)]
pub(crate) enum Policy {
    /// Check that policies are valid
    Check {
        /// Files and directories
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Run the tests beside policies (*.test.toml)
    #[command(after_help = POLICY_TESTS)]
    Test {
        /// The directory of policies and tests
        directory: PathBuf,
        #[command(flatten)]
        place: Place,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what a statement would do, what policies decide of it, and which of them
    ///
    /// A statement is understood by the target's own catalogue, which a running gateway reads, or this command itself where
    /// --data or --config names the data directory of one that does not run. Nothing of the statement is sent to the target.
    #[command(after_help = POLICY_QUESTIONS)]
    Explain {
        /// Policies in files and directories; those in force where none is given
        #[arg(long = "policies", value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Who asks: agent:NAME or user:NAME
        #[arg(long = "as", value_name = "PRINCIPAL")]
        principal: String,
        /// A group of the principal's
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// Whom it acts for, nearest first: user:NAME
        #[arg(long = "for", value_name = "PRINCIPAL")]
        on_behalf_of: Vec<String>,
        /// On which target
        #[arg(long)]
        target: String,
        /// A tag of the target's, beside those that it is configured with
        #[arg(long = "target-tag", value_name = "TAG")]
        target_tags: Vec<String>,
        /// Of effects: the statement has no condition
        #[arg(long)]
        without_where: bool,
        /// A hold that was approved
        #[arg(long = "approved", value_name = "POLICY")]
        approved: Vec<String>,
        /// A statement, or what one would do: `ACTION=[KIND:]NAME[#TAG…]`
        #[arg(required = true, value_name = "STATEMENT")]
        questions: Vec<String>,
        #[command(flatten)]
        place: Place,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum Targets {
    /// List targets
    Ls {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

const DOCTOR: &str = "\
Exit code 0 where nothing is bad, 6 where something is; with --strict a warning is bad as well. Where a gateway runs it is
asked for its targets and policies, as its administrator; with -c or --data the files, ports and disk of this machine are
looked at as well, and targets also while no gateway runs.";

#[derive(Args)]
#[command(after_help = DOCTOR)]
pub(crate) struct Doctor {
    /// One target; all where none is named
    pub target: Option<String>,
    #[command(flatten)]
    pub place: Place,
    /// Take warnings as bad
    #[arg(long)]
    pub strict: bool,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}
