//! The binary `durward`.

mod access;
mod alarm;
mod apply;
mod approvers;
mod args;
mod audit;
mod authorization;
mod backup;
mod break_glass;
mod carriers;
mod client;
mod config;
mod connect;
mod credentials;
mod doctor;
mod exit;
mod export;
mod files;
mod freeze;
mod gate;
mod grants;
mod init;
mod kept;
mod keys;
mod lines;
mod login;
mod logs;
mod mcp;
mod mint;
mod node;
mod passphrase;
mod people;
mod plan_lines;
mod plans;
mod policies;
mod reload;
mod requests;
mod revoke;
mod run;
mod schema;
mod serve;
mod sessions;
mod show;
mod status;
mod targets;
mod tokens;
mod traces;
mod typed;
mod up;
mod version;
mod wanted;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::{Cli, Command};

/// Each statement makes and frees some twenty small things on one thread, which this allocator does in a fifth of the steps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Cli { gateway, command } = Cli::parse();
    keep_memory_private();
    exit::of(run(&gateway, command))
}

/// Nothing of this process's memory goes into a core file, and no other process of the same user can read it.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Where the system does not let us, there is nothing better to do; children get their own memory anyway.
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// A session takes two files, and the soft limit is 1024 in most places, for the sake of programs that cannot count further.
fn raise_limit_of_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current: _, maximum } = getrlimit(Resource::Nofile);
    // Where the system does not let us, the limit stays what it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn run(gateway: &str, command: Command) -> anyhow::Result<ExitCode> {
    let client = || client::Client::new(gateway);
    if matches!(command, Command::Serve(_) | Command::Up(_)) {
        raise_limit_of_files();
    }
    let done = match command {
        // What it runs ends as it does.
        Command::Run(args) => return run::run(client, &args),
        Command::Mcp(args) => return mcp::run(client, &args),
        Command::Serve(args) => serve::run(&args),
        Command::Up(args) => up::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Keys { command } => keys::run(&command),
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Apply(args) => apply::run(&client()?, &args),
        Command::Diff(args) => apply::diff(&client()?, &args),
        Command::Export(args) => export::run(&client()?, &args),
        Command::Status(args) => status::run(&client()?, &args),
        Command::Token { command } => tokens::run(&client()?, command),
        Command::Login(args) => login::login(&args),
        Command::Logout(args) => login::logout(&args),
        Command::Whoami(args) => login::whoami(&args),
        Command::Connect(args) => connect::run(client, &args),
        Command::BreakGlass { command } => break_glass::run(&client()?, command),
        Command::Freeze(args) => freeze::run(&client()?, args),
        Command::Freezes { json } => freeze::list(&client()?, json),
        Command::Thaw { which, json } => freeze::thaw(&client()?, &which, json),
        Command::Revoke { command } => revoke::run(&client()?, command),
        Command::Approver { command } => approvers::run(&client()?, command),
        Command::People { command } => people::run(&client()?, command),
        Command::Requests { name, command } => requests::run(gateway, name, command),
        Command::Grants { name, command } => grants::run(gateway, name, command),
        Command::Access { command } => access::run(command),
        Command::Plan { command } => plans::run(command),
        Command::Sessions { command } => sessions::run(client, command),
        Command::Audit { command } => audit::run(&command),
        Command::Policy { command } => policies::run(client, command),
        Command::Targets { command } => targets::run(&client()?, &command),
        Command::Doctor(args) => doctor::run(gateway, &args),
        Command::Schema { kind } => schema::run(kind),
        Command::Completions { shell } => {
            // Into memory first: whoever reads no further is no fault of the generator's.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "durward", &mut script);
            Ok(show::bytes(&script)?)
        }
        Command::Version { json } => version::run(json),
    };
    done.map(|()| ExitCode::SUCCESS)
}
