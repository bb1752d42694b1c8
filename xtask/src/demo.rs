//! A sample database, the gateway in front of it, and an agent's session, step by step.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::durward::{Durward, Target};
use testkit::http;
use testkit::json::{Json, quoted};
use testkit::postgres::Postgres;
use testkit::process::{free_port, text};
use testkit::{Failure, is_root};

use crate::build::{self, root};
use crate::install;

const DATABASE: &str = "shop";
const AGENT: &str = "shop-assistant";
const POLICY: &str = include_str!("../../demo/agents.cedar");
const TAGS: [(&str, &str); 2] =
    [("public.customers.email", "pii.email"), ("public.payments.card_number", "pii.card")];
const UPDATE: &str = "UPDATE customers SET points = points + 50 WHERE id = 7";
/// The version of the Model Context Protocol that the agent speaks.
const MCP: &str = "2026-07-28";
/// How long the administrator of the demo waits for the request.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(tour: bool) -> Result<(), Failure> {
    install::need(install::POSTGRES)?;
    let binary = build::gateway()?;
    let server = Postgres::start(&[])?;
    server.sql("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
    server.file(DATABASE, &root().join("demo").join("schema.sql"))?;
    println!("A PostgreSQL of its own runs on port {}, with a sample shop in it.", server.port());

    let agents = free_port()?;
    let gateway = Durward::start_with(&binary, &format!("\n[agents]\nlisten = \"127.0.0.1:{agents}\""))?;
    let columns = TAGS.map(|(column, tag)| (column.to_owned(), tag.to_owned())).to_vec();
    let target = Target { columns, ..Target::new(DATABASE, server.port(), DATABASE) };
    gateway.apply(&[target], &[("agents", POLICY)])?;
    println!(
        "Durward runs in front of it on port {}. The server's password is known to it alone.",
        gateway.port()
    );
    if is_root()? {
        println!("(You are root: the gateway runs as root here too. In earnest give it a user of its own.)");
    }
    let agent = Agent { port: gateway.port(), agents, token: gateway.token(AGENT)? };
    walk(&server, &gateway, &agent)?;
    if tour {
        return Ok(());
    }
    stay(&gateway, &agent)
}

/// The agent's side: nothing but psql or MCP, an address and a token.
struct Agent {
    port: u16,
    /// Where it speaks MCP.
    agents: u16,
    token: String,
}

impl Agent {
    fn connection(&self) -> String {
        format!("host=127.0.0.1 port={} dbname={DATABASE} user=agent", self.port)
    }

    fn psql(&self, sql: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.arg("-X").args(["-P", "pager=off"]).arg(self.connection()).args(["-c", sql]);
        psql.env("PGPASSWORD", &self.token).env("PGSSLMODE", "disable");
        psql
    }

    /// Runs a statement and returns all that psql says, and whether it succeeded.
    fn run(&self, sql: &str) -> Result<(bool, String), Failure> {
        println!("\n    agent$ psql -c \"{sql}\"");
        let output = self.psql(sql).stdin(Stdio::null()).output().map_err(|e| Failure::of("psql", e))?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        show(&said);
        Ok((output.status.success(), said))
    }

    /// Sends a statement by MCP and returns what a model reads of the answer, and whether it succeeded.
    fn call(&self, sql: &str) -> Result<(bool, String), Failure> {
        println!("\n    agent$ query(target: \"{DATABASE}\", sql: \"{sql}\")");
        let bearer = format!("Bearer {}", self.token);
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", MCP),
            ("mcp-method", "tools/call"),
            ("mcp-name", "query"),
        ];
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"query","arguments":{{"target":"{DATABASE}","sql":{}}},
            "_meta":{{"io.modelcontextprotocol/protocolVersion":"{MCP}","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#,
            quoted(sql)
        );
        let answer = http::request(self.agents, "POST", "/mcp", &headers, body.as_bytes())?;
        let message = Json::parse(&answer.body)?;
        let result = message.at("result").ok_or_else(|| format!("no result: {}", answer.body))?;
        let content = result.at("content").and_then(|content| content.items().first());
        let said = content.and_then(|content| content.at("text")?.text()).unwrap_or_default().to_owned();
        show(&said);
        Ok((result.at("isError").is_none(), said))
    }
}

fn step(number: u8, title: &str, why: &str) {
    println!("\n{number}. {title}\n   {why}");
}

fn show(text: &str) {
    for line in text.trim_end().lines() {
        println!("    {line}");
    }
}

/// Each step says what it shows, shows it, and fails where it is not so.
fn walk(server: &Postgres, gateway: &Durward, agent: &Agent) -> Result<(), Failure> {
    step(
        1,
        "An allowed read",
        "Policy lets agents read. The statement is understood, decided and journalled before the server sees it.",
    );
    let (ok, _) =
        agent.run("SELECT status, count(*), sum(total) FROM orders GROUP BY status ORDER BY status")?;
    expect(ok, "the read was refused")?;

    step(
        2,
        "A masked column",
        "customers.email carries the tag pii.email. Its values come back masked, also through a view.",
    );
    let (ok, said) = agent.run("SELECT id, name, email FROM open_orders ORDER BY id LIMIT 5")?;
    expect(ok && !said.contains("@example.com"), "the e-mail addresses are not masked")?;

    step(
        3,
        "A tagged column that decides something",
        "Whether a row matches would tell what it holds, so this use is refused, with a hint.",
    );
    let (ok, _) = agent.run("SELECT id FROM customers WHERE email LIKE 'customer7@%'")?;
    expect(!ok, "the filter on a tagged column was let through")?;

    step(
        4,
        "A refused DROP",
        "No policy allows it, and one forbids it with a reason. The session would go on.",
    );
    let (ok, _) = agent.run("DROP TABLE payments")?;
    let there = server.sql(DATABASE, "SELECT count(*) FROM payments")?;
    expect(!ok && there.trim() != "0", "the table was dropped")?;

    step(
        5,
        "A held UPDATE",
        "Writes wait for a person. The agent's statement stands still until somebody answers.",
    );
    held(server, gateway, agent)?;
    let session = gateway.last_session()?;

    step(
        6,
        "The same by MCP",
        "Programs with agents in them speak the Model Context Protocol: one endpoint, the same policies, masks and journal.",
    );
    let (ok, said) = agent.call("SELECT id, name, email FROM customers ORDER BY id LIMIT 2")?;
    expect(ok && !said.contains("@example.com"), "the e-mail addresses are not masked by MCP")?;
    let (ok, _) = agent.call("DROP TABLE payments")?;
    expect(!ok, "the table was dropped by MCP")?;

    step(
        7,
        "The journal of all that",
        "Each of the agent's connections was a session. What was decided stands there, before its effect.",
    );
    let data = gateway.data().display().to_string();
    administrator(gateway, &["sessions", "ls", "--all", "--data", &data])?;
    administrator(gateway, &["sessions", "show", &session, "--data", &data])?;

    step(8, "The journal can be checked", "Each record carries the hash of the one before it.");
    administrator(gateway, &["audit", "verify", "--data", &data])
}

fn held(server: &Postgres, gateway: &Durward, agent: &Agent) -> Result<(), Failure> {
    let points = || server.sql(DATABASE, "SELECT points FROM customers WHERE id = 7");
    let before = points()?;
    println!("\n    agent$ psql -c \"{UPDATE}\"");
    let waiting = agent
        .psql(UPDATE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| Failure::of("psql", e))?;
    let start = Instant::now();
    let request = loop {
        match gateway.waiting_request()? {
            Some(request) => break request,
            None if start.elapsed() > PATIENCE => return Err("no request was filed".into()),
            None => sleep(Duration::from_millis(100)),
        }
    };
    println!("    … it waits. Nothing has reached the server: customer 7 has {} points.", points()?.trim());
    expect(points()? == before, "the held statement ran")?;
    administrator(gateway, &["requests", "show", &request])?;
    administrator(gateway, &["requests", "approve", &request])?;
    let output = waiting.wait_with_output().map_err(|e| Failure::of("psql", e))?;
    println!("\n    What the agent got:");
    show(&String::from_utf8_lossy(&[output.stderr, output.stdout].concat()));
    println!("    Customer 7 has {} points now.", points()?.trim());
    expect(output.status.success() && points()? != before, "the approved statement did not run")
}

fn administrator(gateway: &Durward, arguments: &[&str]) -> Result<(), Failure> {
    println!("\n    administrator$ durward {}", arguments.join(" "));
    show(&text(&mut gateway.command(arguments))?);
    Ok(())
}

fn expect(so: bool, otherwise: &str) -> Result<(), Failure> {
    if so { Ok(()) } else { Err(format!("The demo is not as it should be: {otherwise}.").into()) }
}

fn stay(gateway: &Durward, agent: &Agent) -> Result<(), Failure> {
    println!("\nIt stays up. In another terminal be the agent:\n");
    println!("    PGPASSWORD={} psql \"{}\"\n", agent.token, agent.connection());
    println!("or let a program with an agent in it be that, Claude Code for one:\n");
    println!(
        "    claude mcp add --transport http durward http://127.0.0.1:{}/mcp --header \"Authorization: Bearer {}\"\n",
        agent.agents, agent.token
    );
    println!("and in a third one the administrator, who answers what is held:\n");
    for (name, value) in gateway.environment() {
        println!("    export {name}={value}");
    }
    println!("    {} requests watch\n", gateway.binary().display());
    println!("Press Enter to end it.");
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line)? == 0 {
        // There is no terminal to press Enter at: it ends when it is stopped.
        loop {
            sleep(Duration::from_secs(3600));
        }
    }
    Ok(())
}
