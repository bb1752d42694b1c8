//! A scripted agent gets a task done by MCP: it finds the table, is refused, repairs its statement by the hint alone, asks where a
//! person has to answer, waits, and sees the result. What a model would read of all that is counted.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use testkit::Scratch;
use testkit::issuer::node;
use testkit::json::Json;

use crate::mcp::{Door, door};
use crate::rig::{DATABASE, binary, folder, npm};

/// Reads pass, columns that are tagged come masked and cannot be used otherwise, writes wait for a person.
const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action == Action::"select", resource);
@id("writes") permit (principal, action in Action::"write", resource);
@id("held") @approvers("admins")
forbid (principal, action in Action::"write", resource) unless { context.approvals.contains("held") };
"#;

/// The agent with a server that it starts.
fn agent(node: &Path, way: &str, server: &mut Command) -> Output {
    let mut command = Command::new(node);
    command.arg(folder("programs").join("agent.mjs")).args([way, "--"]);
    command.arg(server.get_program()).args(server.get_args());
    for (name, value) in server.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.stdin(Stdio::null()).output().unwrap()
}

/// The same through the gateway, with somebody who approves what waits.
#[track_caller]
fn through(door: &Door, node: &Path, modules: Option<&Path>) -> String {
    let home = Scratch::new("agent").unwrap();
    let mut bridge = Command::new(binary());
    bridge.args(["mcp", "--url", &format!("http://127.0.0.1:{}", door.port)]);
    bridge.env("DURWARD_TOKEN", &door.token).env("HOME", home.path());
    if let Some(modules) = modules {
        bridge.env("DURWARD_MCP", modules);
    }
    let done = AtomicBool::new(false);
    let output = scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let waiting = door.requests(&["ls", "--json"]);
                let waiting = Json::parse(&String::from_utf8_lossy(&waiting.stdout)).ok();
                let request = waiting.as_ref().and_then(|all| all.items().first()?.at("id")?.text());
                if let Some(request) = request {
                    let approved = door.requests(&["approve", request]);
                    assert!(approved.status.success(), "{}", String::from_utf8_lossy(&approved.stderr));
                }
                sleep(Duration::from_millis(100));
            }
        });
        let output = agent(node, "durward", &mut bridge);
        done.store(true, Ordering::Relaxed);
        output
    });
    said(&output)
}

#[track_caller]
fn said(output: &Output) -> String {
    let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{why}");
    said.into_owned()
}

/// How many tokens a transcript says that it took in all.
#[track_caller]
fn taken(transcript: &str) -> f64 {
    let last = transcript.lines().last().and_then(|line| Json::parse(line).ok());
    last.and_then(|counts| counts.at("all")?.number()).unwrap_or_else(|| panic!("no count: {transcript}"))
}

#[test]
fn an_agent_finds_repairs_asks_waits_and_sees_its_result() {
    let door = door(POLICY);
    let transcript = through(&door, &node(&npm()), None);
    for (step, expected) in [
        ("is refused, with what would work", "Hint: Select the column plainly"),
        ("sees a tagged column masked", "[7,\"***\",7]"),
        ("changes what it was to change", "UPDATE 1"),
        ("sees its result", "[7,70]"),
    ] {
        assert!(transcript.contains(expected), "{step}: {transcript}");
    }
    assert!(!transcript.contains("@x.test"), "nothing tagged is in the transcript: {transcript}");
    // It is counted above what models' own tokenizers count.
    assert!(taken(&transcript) < 1800.0, "{transcript}");
}

#[test]
#[ignore = "needs other servers for databases and a tokenizer: cargo xtask conformance"]
fn the_same_task_takes_no_more_than_with_servers_that_guard_nothing() {
    let modules =
        PathBuf::from(std::env::var_os("DURWARD_MCP").expect("DURWARD_MCP: cargo xtask conformance sets it"));
    let tools = modules.join("node_modules");
    let node = tools.join("node").join("bin").join("node");
    let door = door(POLICY);
    let ours = through(&door, &node, Some(&modules));
    println!("{ours}");
    let mut all = vec![("durward", taken(&ours))];
    let url = door.server().url(DATABASE);
    for (way, program, arguments) in [
        ("dbhub", "@bytebase/dbhub/dist/index.js", ["--transport", "stdio", "--dsn", &url].as_slice()),
        ("henkey", "@henkey/postgres-mcp-server/build/index.js", &["--connection-string", &url]),
    ] {
        door.server().sql(DATABASE, "UPDATE shop SET total = 7 WHERE id = 7").unwrap();
        let mut server = Command::new(&node);
        server.arg(tools.join(program)).args(arguments).env("DURWARD_MCP", &modules);
        let transcript = said(&agent(&node, way, &mut server));
        println!("{transcript}");
        all.push((way, taken(&transcript)));
    }
    for (way, tokens) in &all {
        println!("{way}: {tokens} tokens for the task in database {DATABASE}");
    }
    let (_, ours) = all[0];
    // The others neither refuse nor ask, which is two answers less to read.
    assert!(all.iter().all(|(_, tokens)| ours <= tokens * 1.25), "{all:?}");
}
