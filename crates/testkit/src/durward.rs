//! The gateway as its operator runs it: the binary, its files and its command line, and nothing else.
//!
//! This is the one place outside `crates/cli` that knows how the command line is spelt.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::json::Json;
use crate::process::{Running, Stop, free_port, text};
use crate::{Failure, Scratch};

/// One service behind the gateway, as `durward apply` reads it.
#[derive(Debug, Clone)]
pub struct Target {
    /// What clients give as the database.
    pub name: String,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The role that the gateway logs in as.
    pub user: String,
    /// Its database.
    pub database: String,
    /// `schema.table.column` and its tag.
    pub columns: Vec<(String, String)>,
    /// The authority of its certificate, which must name 127.0.0.1; without one it is reached in clear.
    pub authority: Option<PathBuf>,
    /// A file with the role's password, if it has one.
    pub password: Option<PathBuf>,
    /// More lines of its description: `read_only = "strict"`.
    pub more: String,
}

impl Target {
    /// A target without tags that the gateway logs in to as the superuser.
    pub fn new(name: &str, port: u16, database: &str) -> Self {
        let user = crate::postgres::SUPERUSER.to_owned();
        let (name, database) = (name.to_owned(), database.to_owned());
        Self {
            name,
            port,
            user,
            database,
            columns: Vec::new(),
            authority: None,
            password: None,
            more: String::new(),
        }
    }

    fn toml(&self) -> String {
        let Self { name, port, user, database, columns, authority, password, more } = self;
        let tls = authority.as_ref().map_or_else(
            || "sslmode = \"disable\"".to_owned(),
            |file| format!("sslmode = \"verify-full\"\nsslrootcert = \"{}\"", file.display()),
        );
        let password = password
            .as_ref()
            .map_or_else(String::new, |file| format!("password_file = \"{}\"\n", file.display()));
        let mut text = format!(
            "[[targets]]\nname = \"{name}\"\nhost = \"127.0.0.1\"\nport = {port}\nuser = \"{user}\"\n\
             database = \"{database}\"\n{password}{tls}\n{more}\n\n[targets.columns]\n"
        );
        for (column, tag) in columns {
            let _ = writeln!(text, "\"{column}\" = {{ tags = [\"{tag}\"] }}");
        }
        text
    }
}

/// A gateway that is running.
pub struct Durward {
    running: Running,
    binary: PathBuf,
    scratch: Scratch,
    port: u16,
    admin: u16,
    /// The administrator's, which `durward init` shows once.
    secret: String,
    /// What is in its environment beside what is in ours.
    holds: Vec<(String, String)>,
}

impl Durward {
    /// Starts a gateway with an empty store of its own.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(binary: &Path) -> Result<Self, Failure> {
        Self::start_with(binary, "")
    }

    /// The same, with more settings for those who connect: `tls = { certificate = "…", key = "…" }`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_with(binary: &Path, settings: &str) -> Result<Self, Failure> {
        Self::begin(binary, "", settings, None, &[])
    }

    /// A gateway whose state others share: `head` are the first lines of its configuration, which say where the state is.
    /// Where another gateway has made the administrator there, `secret` is theirs.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_sharing(binary: &Path, head: &str, secret: Option<&str>) -> Result<Self, Failure> {
        Self::begin(binary, head, "", secret, &[])
    }

    /// A gateway with something in its environment, and first lines of its configuration.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_holding(binary: &Path, head: &str, holds: &[(&str, &str)]) -> Result<Self, Failure> {
        Self::begin(binary, head, "", None, holds)
    }

    fn begin(
        binary: &Path,
        head: &str,
        settings: &str,
        secret: Option<&str>,
        holds: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let holds: Vec<_> = holds.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let scratch = Scratch::new("gateway")?;
        let (port, admin) = (free_port()?, free_port()?);
        let data = scratch.join("data");
        let config = format!(
            "data = \"{}\"\n{head}\n\n[postgres]\nlisten = [\"127.0.0.1:{port}\"]\n{settings}\n\n\
             [console]\nlisten = \"127.0.0.1:{admin}\"\n",
            data.display()
        );
        fs::write(scratch.join("durward.toml"), config)?;
        let secret = match secret {
            Some(secret) => secret.to_owned(),
            None => {
                let mut init = Command::new(binary);
                init.args(["init", "-c"]).arg(scratch.join("durward.toml")).envs(holds.iter().cloned());
                let said = text(&mut init)?;
                word(&said, "dwa_").ok_or("there is no secret in what `durward init` says")?
            }
        };
        let running = serve(binary, &scratch, &holds)?;
        let mut this = Self { running, binary: binary.to_owned(), scratch, port, admin, secret, holds };
        this.wait()?;
        Ok(this)
    }

    fn wait(&mut self) -> Result<(), Failure> {
        self.running.wait_for_port(self.admin)?;
        self.running.wait_for_port(self.port)
    }

    /// Kills the gateway as a crash would and starts it again on the same store and journal.
    ///
    /// # Errors
    /// It does not start again.
    pub fn crash(&mut self) -> Result<(), Failure> {
        self.running.kill();
        self.running = serve(&self.binary, &self.scratch, &self.holds)?;
        self.wait()
    }

    /// Kills the gateway: it can do nothing more.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// The administrator's secret.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// That it has not ended meanwhile: nothing that was judged after its end means anything.
    ///
    /// # Errors
    /// It has; with the end of its log.
    pub fn still_runs(&mut self) -> Result<(), Failure> {
        self.running.still_runs()
    }

    /// Ends the gateway in order and starts it again.
    ///
    /// # Errors
    /// It does not start again.
    pub fn restart(&mut self) -> Result<(), Failure> {
        self.running.end();
        self.running = serve(&self.binary, &self.scratch, &self.holds)?;
        self.wait()
    }

    /// The configuration of the process.
    pub fn config(&self) -> PathBuf {
        self.scratch.join("durward.toml")
    }

    /// Tells it to read its configuration again.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn reload(&self) -> Result<(), Failure> {
        text(Command::new("kill").args(["-HUP", &self.running.pid().to_string()])).map(drop)
    }

    /// What it has logged since it was started last.
    pub fn log(&self) -> String {
        self.running.printed()
    }

    /// Ends the gateway in order.
    pub fn end(&mut self) {
        self.running.end();
    }

    /// Applies targets and policies (name and Cedar text) in place of all that were there.
    ///
    /// # Errors
    /// What the gateway says of them.
    pub fn apply(&self, targets: &[Target], policies: &[(&str, &str)]) -> Result<(), Failure> {
        self.apply_with(targets, policies, &[])
    }

    /// The same, with more files beside them.
    ///
    /// # Errors
    /// What the gateway says of them.
    pub fn apply_with(
        &self,
        targets: &[Target],
        policies: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let directory = Scratch::new("apply")?;
        let toml: Vec<String> = targets.iter().map(Target::toml).collect();
        fs::write(directory.join("targets.toml"), toml.join("\n"))?;
        fs::create_dir(directory.join("policies"))?;
        for (name, cedar) in policies {
            fs::write(directory.join("policies").join(format!("{name}.cedar")), cedar)?;
        }
        for (name, text) in files {
            fs::write(directory.join(name), text)?;
        }
        text(self.command(&["apply", "--prune", "-f"]).arg(directory.path()))?;
        Ok(())
    }

    /// A token for an agent.
    ///
    /// # Errors
    /// The gateway issues none.
    pub fn token(&self, agent: &str) -> Result<String, Failure> {
        let said = text(&mut self.command(&["token", "issue", &format!("agent:{agent}")]))?;
        word(&said, "dwt_").ok_or_else(|| "there is no token in what `durward token issue` says".into())
    }

    /// The id of a request that waits for an answer, if there is one.
    ///
    /// # Errors
    /// The gateway cannot be asked.
    pub fn waiting_request(&self) -> Result<Option<String>, Failure> {
        let requests = Json::parse(&text(&mut self.command(&["requests", "ls", "--json"]))?)?;
        let waits = |r: &&Json| r.at("status").and_then(Json::text) == Some("pending");
        Ok(requests.items().iter().find(waits).and_then(|r| r.at("id")?.text()).map(str::to_owned))
    }

    /// The id of the session that was opened last.
    ///
    /// # Errors
    /// The gateway cannot be asked, or there was none.
    pub fn last_session(&self) -> Result<String, Failure> {
        let mut command = self.command(&["sessions", "ls", "--all", "--json", "--data"]);
        let sessions = Json::parse(&text(command.arg(self.data()))?)?;
        let opened = |s: &Json| Some((s.at("opened")?.text()?.to_owned(), s.at("id")?.text()?.to_owned()));
        let last = sessions.items().iter().filter_map(opened).max();
        last.map(|(_, id)| id).ok_or_else(|| "there was no session".into())
    }

    /// The command line, as its administrator uses it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(self.scratch.path());
        command.envs(self.environment());
        command
    }

    /// What makes the command line ask this gateway as its administrator.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let address = format!("http://127.0.0.1:{}", self.admin);
        [("DURWARD_GATEWAY", address), ("DURWARD_ADMIN_SECRET", self.secret.clone())]
    }

    /// The program.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Where PostgreSQL clients connect to, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its admin API, on 127.0.0.1.
    pub fn admin_port(&self) -> u16 {
        self.admin
    }

    /// The process, for what it uses.
    pub fn process(&self) -> &Running {
        &self.running
    }

    /// Its store and journal.
    pub fn data(&self) -> PathBuf {
        self.scratch.join("data")
    }

    /// The journal's directory.
    pub fn journal(&self) -> PathBuf {
        self.data().join("journal")
    }

    /// All that is on record, in the journal's lines and order.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn records(&self) -> Result<String, Failure> {
        let files = std::fs::read_dir(self.journal())?.map(|file| file.map(|file| file.path()));
        let mut files = files.collect::<Result<Vec<_>, _>>()?;
        files.retain(|file| file.is_file());
        files.sort();
        let read = |file: &PathBuf| Ok(String::from_utf8_lossy(&std::fs::read(file)?).into_owned());
        files.iter().map(read).collect()
    }
}

fn serve(binary: &Path, scratch: &Scratch, holds: &[(String, String)]) -> Result<Running, Failure> {
    let mut command = Command::new(binary);
    command.envs(holds.iter().cloned());
    command.current_dir(scratch.path()).args(["serve", "-c"]).arg(scratch.join("durward.toml"));
    Running::start(&mut command, &scratch.join("log"), Stop::Terminate)
}

/// The longest word in a text that begins so: a token has its id as a beginning.
fn word(text: &str, beginning: &str) -> Option<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with(beginning))
        .max_by_key(|word| word.len())
        .map(str::to_owned)
}
