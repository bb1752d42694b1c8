//! The agents' door as others see it: the protocol's own runner of scenarios, and the programs with agents in them. What they need
//! is large: `cargo xtask conformance` installs it (`DURWARD_MCP`, a folder of npm's) and runs these.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use testkit::Scratch;
use testkit::json::Json;
use testkit::process::{Running, Stop, free_port};

use crate::mcp::door;
use crate::mcp_authorization::Front;
use crate::rig::{ALLOW_ALL, DATABASE, folder};

/// Scenarios that need no tools of the runner's own, by the version whose requirements they are of. It may only grow.
const LISTED: &str = include_str!("../programs/mcp-scenarios.txt");

/// Before the names of those that are for authorization servers.
const AUTHORIZATION: &str = "authorization ";

#[track_caller]
fn programs() -> PathBuf {
    let given =
        std::env::var_os("DURWARD_MCP").expect("DURWARD_MCP: the folder that cargo xtask conformance makes");
    PathBuf::from(given).join("node_modules")
}

/// A program of npm's, with the Node that is there for it, in a home of its own.
fn program(name: &str, home: &Scratch) -> Command {
    let modules = programs();
    let mut command = Command::new(modules.join(".bin").join(name));
    let path = std::env::var("PATH").unwrap_or_default();
    let node = modules.join("node").join("bin");
    command.env("PATH", format!("{}:{}:{path}", node.display(), modules.join(".bin").display()));
    command.env("HOME", home.path()).current_dir(home.path()).stdin(Stdio::null());
    command
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
#[ignore = "needs the protocol's own runner: cargo xtask conformance"]
fn every_listed_scenario_of_the_official_runner_passes() {
    let door = door(ALLOW_ALL);
    let home = Scratch::new("mcp").unwrap();
    let port = free_port().unwrap();
    let mut proxy = program("node", &home);
    proxy.arg(folder("programs").join("bearer.mjs")).args([
        port.to_string(),
        door.port.to_string(),
        door.token.clone(),
    ]);
    let mut proxy = Running::start(&mut proxy, &home.join("proxy.log"), Stop::Kill).unwrap();
    proxy.wait_for_port(port).unwrap();
    let mut passed = BTreeSet::new();
    let mut all = String::new();
    for version in ["2025-11-25", "2026-07-28"] {
        let url = format!("http://127.0.0.1:{port}/mcp");
        let printed =
            said(program("conformance", &home).args(["server", "--url", &url, "--requirements", version]));
        let summary = printed.split("=== SUMMARY ===").nth(1).unwrap_or_else(|| panic!("{printed}"));
        let whole = |line: &str| Some(line.trim().strip_prefix("✓ ")?.split(':').next()?.to_owned());
        passed.extend(
            summary
                .lines()
                .filter(|line| line.contains("passed,"))
                .filter_map(whole)
                .map(|name| format!("{version} {name}")),
        );
        all.push_str(summary);
    }
    judge(|line| !line.starts_with(AUTHORIZATION), &passed, &all);
}

/// What passed is what is listed, no less and no more.
#[track_caller]
fn judge(which: impl Fn(&str) -> bool, passed: &BTreeSet<String>, all: &str) {
    let listed: BTreeSet<String> = LISTED.lines().filter(|line| which(line)).map(str::to_owned).collect();
    let missing: Vec<&String> = listed.difference(passed).collect();
    assert!(missing.is_empty(), "these passed before: {missing:?}\n{all}");
    let more: Vec<&String> = passed.difference(&listed).collect();
    assert!(more.is_empty(), "these pass, too: add them to programs/mcp-scenarios.txt: {more:?}");
}

#[test]
#[ignore = "needs the protocol's own runner: cargo xtask conformance"]
fn every_listed_scenario_for_authorization_servers_passes() {
    let client =
        "[[agents.authorization.clients]]\nid = \"runner\"\nredirects = [\"http://127.0.0.1/callback\"]";
    let front = Front::start(client);
    let modules = programs();
    let runner = [modules.join("node/bin/node"), modules.join(".bin/conformance")];
    let runner = format!("[\"{}\", \"{}\"]", runner[0].display(), runner[1].display());
    let left = front.run(front.program().env("OAUTH_RUNNER", runner));
    let printed = left.at("printed").and_then(Json::text).unwrap();
    let whole = |line: &str| Some(line.trim().strip_prefix("✓ ")?.split(':').next()?.to_owned());
    let passed = printed.lines().filter(|line| line.contains("passed,")).filter_map(whole);
    let passed = passed.map(|name| format!("{AUTHORIZATION}{name}")).collect();
    judge(|line| line.starts_with(AUTHORIZATION), &passed, printed);
}

#[test]
#[ignore = "needs the programs themselves: cargo xtask conformance"]
fn programs_with_agents_in_them_say_that_they_are_connected() {
    let door = door(ALLOW_ALL);
    let url = format!("http://127.0.0.1:{}/mcp", door.port);
    let bearer = format!("Authorization: Bearer {}", door.token);
    let home = || {
        let home = Scratch::new("mcp").unwrap();
        // One of them asks first whether its folder is trusted.
        std::fs::create_dir_all(home.join(".gemini")).unwrap();
        let trusted = format!("{{\"{}\":\"TRUST_FOLDER\"}}", home.path().display());
        std::fs::write(home.join(".gemini/trustedFolders.json"), trusted).unwrap();
        home
    };
    let add = ["mcp", "add", "--transport", "http"];
    for (name, scope) in [("claude", "user"), ("gemini", "user"), ("qwen", "user")] {
        let home = home();
        // Where a name of several words goes differs from one to the other.
        let mut adding = program(name, &home);
        match name {
            "claude" => adding.args(add).args(["-s", scope, "durward", &url, "--header", &bearer]),
            _ => adding.args(add).args(["-s", scope, "--header", &bearer, "durward", &url]),
        };
        let added = said(&mut adding);
        let listed = said(program(name, &home).args(["mcp", "list"]));
        assert!(listed.contains("Connected"), "{name}: {added}\n{listed}");
        if name == "claude" {
            let binary = crate::rig::binary();
            let base = format!("http://127.0.0.1:{}", door.port);
            let bridge = [binary.to_str().unwrap(), "mcp", "--url", &base];
            said(program(name, &home).args(["mcp", "add", "-s", scope, "bridge", "--"]).args(bridge));
            let listed = said(program(name, &home).args(["mcp", "list"]).env("DURWARD_TOKEN", &door.token));
            assert_eq!(listed.matches("Connected").count(), 2, "{listed}");
        }
    }
    let home = home();
    let entry = format!(
        "{{\"mcp\":{{\"durward\":{{\"type\":\"remote\",\"url\":\"{url}\",\"headers\":{{\"Authorization\":\"Bearer {}\"}}}}}}}}",
        door.token
    );
    std::fs::write(home.join("opencode.json"), entry).unwrap();
    let listed = said(program("opencode", &home).args(["mcp", "list"]));
    assert!(listed.contains("connected"), "{listed}");
    for era in [&[][..], &["--protocol-era", "modern"]] {
        let listed = said(
            program("mcp-inspector", &home)
                .args(["--cli", &url, "--transport", "http", "--header", &bearer, "--method", "tools/list"])
                .args(era),
        );
        assert!(listed.contains("\"describe\""), "{era:?}: {listed}");
    }
    let script = format!(
        "import {{ Client, StreamableHTTPClientTransport }} from '{}';\n\
         for (const mode of ['auto', 'legacy']) {{\n\
           const client = new Client({{ name: 'test', version: '1' }}, {{ versionNegotiation: {{ mode }} }});\n\
           const headers = {{ Authorization: 'Bearer {}' }};\n\
           await client.connect(new StreamableHTTPClientTransport(new URL('{url}'), {{ requestInit: {{ headers }} }}));\n\
           const result = await client.callTool({{ name: 'query', arguments: {{ target: '{DATABASE}', sql: 'select 41 + 1 as x' }} }});\n\
           console.log(mode, JSON.stringify(result.structuredContent.rows));\n\
           await client.close();\n\
         }}\n",
        programs().join("@modelcontextprotocol/client/dist/index.mjs").display(),
        door.token
    );
    std::fs::write(home.join("client.mjs"), script).unwrap();
    let printed = said(program("node", &home).arg(home.join("client.mjs")));
    assert_eq!(printed, "auto [[42]]\nlegacy [[42]]\n");
}
