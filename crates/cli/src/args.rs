//! What can be typed.

mod access;
mod leave;
mod mcp;
mod plan;
mod policy;
mod requests;
mod sessions;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::access::{Approver, BreakGlass, Freeze, People, Reason, Revoke, Token};
pub(crate) use self::leave::{Access, AskAccess};
pub(crate) use self::mcp::{AgentsProgram, Mcp, McpCommand, McpConfig};
pub(crate) use self::plan::{Asker, Plan, Submit};
pub(crate) use self::policy::Policy;
pub(crate) use self::requests::{Grants, Requests};
pub(crate) use self::sessions::{ExportSession, Play, SearchSessions, SessionFormat, Sessions};
use crate::exit;
use crate::passphrase::{self, Given};
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
        /// Its id (dwr_…), or what it froze, as it was said to `freeze`
        which: String,
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
    #[command(flatten)]
    pub passphrase: Unlocking,
}

/// How the master key is opened.
#[derive(Args)]
pub(crate) struct Unlocking {
    /// Read the passphrase of the master key, if it is sealed under one, from an open file descriptor; else it is systemd's
    /// credential durward-passphrase, or asked for at the terminal
    #[arg(long, value_parser = passphrase::from_descriptor, value_name = "N")]
    pub passphrase_fd: Option<Given>,
}

/// Whether a master key that is made is sealed.
#[derive(Args)]
pub(crate) struct Sealing {
    /// Seal the master key that is made under a passphrase, which is asked for at the terminal
    #[arg(long)]
    pub passphrase: bool,
    /// Read that passphrase from an open file descriptor
    #[arg(long, value_parser = passphrase::from_descriptor, value_name = "N", requires = "passphrase")]
    pub new_passphrase_fd: Option<Given>,
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
    #[command(flatten)]
    pub passphrase: Unlocking,
    #[command(flatten)]
    pub seal: Sealing,
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
    #[command(flatten)]
    pub passphrase: Unlocking,
}

#[derive(Args)]
pub(crate) struct Init {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub seal: Sealing,
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
    /// Seal the master key's file under a passphrase, or under another one
    Passphrase {
        #[command(flatten)]
        place: Place,
        /// Read the new passphrase from an open file descriptor; else it is asked for at the terminal
        #[arg(long, value_parser = passphrase::from_descriptor, value_name = "N", conflicts_with = "remove")]
        new_passphrase_fd: Option<Given>,
        /// Have the key lie in its file in clear again
        #[arg(long)]
        remove: bool,
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
    /// Read the new passphrase of the master key, if it was sealed under one, from an open file descriptor; else it is asked for
    #[arg(long, value_parser = passphrase::from_descriptor, value_name = "N")]
    pub new_passphrase_fd: Option<Given>,
    /// Have the master key lie in its file in clear, also where it was sealed under a passphrase
    #[arg(long, conflicts_with = "new_passphrase_fd")]
    pub clear_key: bool,
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
