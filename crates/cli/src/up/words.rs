//! What `up` says: how to connect, what the agent may do, and what this place does not protect.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::init::show_secret;
use crate::show::{self, say};

pub(crate) struct Welcome<'a> {
    pub target: &'a str,
    pub listen: SocketAddr,
    /// Where agents speak MCP.
    pub agents: SocketAddr,
    pub data: &'a Path,
    pub agent: &'a str,
    pub token: &'a str,
    pub expires: i64,
    /// The administrator's secret, where it was made just now.
    pub secret: Option<&'a str>,
    /// Where the console is.
    pub console: String,
    /// Where the command line finds it, where that is not the usual place.
    pub gateway: Option<String>,
    /// By which the first person comes to it, where nobody has yet.
    pub link: Option<&'a str>,
    /// Whether the starter policies are in force.
    pub starter: bool,
    /// The tags that were proposed.
    pub proposed: Vec<String>,
}

impl Welcome<'_> {
    pub(crate) fn say(&self) -> anyhow::Result<()> {
        say(format_args!(
            "\nDurward stands in front of {}; it keeps its state in {}.\n",
            self.target,
            self.data.display()
        ))?;
        self.tags()?;
        self.connect()?;
        self.may()?;
        if let Some(secret) = self.secret {
            show_secret(secret)?;
        }
        match self.link {
            Some(link) => {
                say(
                    "To see and answer what waits, open this in your browser, once: it makes a passkey of yours.\n",
                )?;
                say(format_args!("    {link}\n"))?;
            }
            None => say(format_args!("To see and answer what waits: {}\n", self.console))?,
        }
        say("The same here (the secret is asked for):\n")?;
        if let Some(gateway) = &self.gateway {
            say(format_args!("    export DURWARD_GATEWAY={gateway}"))?;
        }
        say("    durward requests watch")?;
        say("    durward requests approve ID\n")?;
        self.neighbours()?;
        Ok(say("Serving; Ctrl-C ends it.")?)
    }

    fn tags(&self) -> anyhow::Result<()> {
        if self.proposed.is_empty() {
            say("No more columns look like personal data or secrets by their names and types.\n")?;
            return Ok(());
        }
        say("These columns look like personal data or secrets; they are masked until you clear them:\n")?;
        for column in &self.proposed {
            say(format_args!("    {}", show::line(column)))?;
        }
        Ok(say("")?)
    }

    fn connect(&self) -> anyhow::Result<()> {
        let (host, port) = (self.listen.ip(), self.listen.port());
        say(format_args!(
            "A token for agent:{}, shown this once, good until {}. As its environment:\n",
            self.agent,
            show::time(self.expires)
        ))?;
        for (name, value) in [
            ("PGHOST", host.to_string()),
            ("PGPORT", port.to_string()),
            ("PGUSER", self.agent.to_owned()),
            ("PGDATABASE", self.target.to_owned()),
            ("PGPASSWORD", self.token.to_owned()),
            (
                "DATABASE_URL",
                format!("postgres://{}:{}@{}/{}", self.agent, self.token, self.listen, self.target),
            ),
        ] {
            say(format_args!("    export {name}={value}"))?;
        }
        say("\nWith these, psql needs no arguments; otherwise, and without the token in its arguments:\n")?;
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        say(format_args!(
            "    psql -h {host} -p {port} -U {} {}\n",
            quoted(self.agent),
            quoted(self.target)
        ))?;
        let add = format!("claude mcp add --transport http durward http://{}/mcp", self.agents);
        say("An agent that speaks MCP is told of one endpoint; Claude Code, for one, by\n")?;
        say(format_args!("    {add}\n"))?;
        say(
            "and signs you in in the browser, where you say what it may use. With the token above nobody signs in:\n",
        )?;
        Ok(say(format_args!("    {add} --header \"Authorization: Bearer $PGPASSWORD\"\n"))?)
    }

    fn may(&self) -> anyhow::Result<()> {
        if !self.starter {
            say("The policies are your own; durward policy explain says what they decide.\n")?;
            return Ok(());
        }
        say("What the agent may do:\n")?;
        for sentence in policy::STARTER_IN_WORDS {
            say(format_args!("  - {sentence}"))?;
        }
        Ok(say("")?)
    }

    /// "Same machine, same user" is no boundary, and nobody should think that it is.
    fn neighbours(&self) -> anyhow::Result<()> {
        let user = std::fs::metadata("/proc/self")
            .map_or_else(|_| "this user".to_owned(), |m| format!("user id {}", m.uid()));
        let data = self.data.display();
        if store::sealed_in(&self.data.join("master.key")).is_ok_and(|sealed| sealed.is_some()) {
            say(format_args!(
                "This gateway runs as {user}. An agent that runs as the same user could read {data}/state.db and write there what"
            ))?;
            say(
                "it likes, though not open what is sealed in it: the master key's file opens by its passphrase alone.",
            )?;
        } else {
            say(format_args!(
                "This gateway runs as {user}. An agent that runs as the same user could read {data}/master.key and state.db, and with"
            ))?;
            say(
                "them the database's password, or write there what it likes: durward keys passphrase seals the key.",
            )?;
        }
        say(
            "For a boundary, run durward under a user of its own or in a container. Approvals through the gateway need the",
        )?;
        Ok(say("administrator's secret all the same, which no file and no variable here holds.\n")?)
    }
}
