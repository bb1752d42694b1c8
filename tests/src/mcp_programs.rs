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
    // One of them believes the variable.
    command.env("PWD", home.path());
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

#[test]
#[ignore = "needs the programs themselves: cargo xtask conformance"]
fn programs_with_agents_in_them_sign_somebody_in() {
    // Nothing here has a way to the hosts of their documents, as behind many a firewall; who has none registers.
    let known = |id: &str| {
        format!(
            "[[agents.authorization.clients]]\nid = \"{id}\"\n\
             redirects = [\"http://localhost/callback\", \"http://127.0.0.1/callback\"]\n"
        )
    };
    let clients = [
        "https://claude.ai/oauth/claude-code-client-metadata",
        "https://chatgpt.com/oauth/codex/client.json",
    ];
    let front = Front::start(&format!("registration = true\n{}", clients.map(known).concat()));
    let home = Scratch::new("mcp").unwrap();
    let url = format!("{}/mcp", front.gate());
    said(program("claude", &home).args(["mcp", "add", "--transport", "http", "-s", "user", "durward", &url]));
    std::fs::create_dir(home.join(".codex")).unwrap();
    let entry = format!("[mcp_servers.durward]\nurl = \"{url}\"\n");
    std::fs::write(home.join(".codex/config.toml"), entry).unwrap();
    let entry = format!("{{\"mcp\":{{\"durward\":{{\"type\":\"remote\",\"url\":\"{url}\"}}}}}}");
    std::fs::write(home.join("opencode.json"), entry).unwrap();

    let commands = [["claude", "login"], ["codex", "login"], ["opencode", "auth"]].map(|[name, verb]| {
        let path = programs().join(".bin").join(name);
        format!("[\"{name}\",\"{}\",\"mcp\",\"{verb}\",\"durward\"]", path.display())
    });
    let mut there = front.program();
    let alike = program("claude", &home);
    for (name, value) in alike.get_envs() {
        there.env(name, value.unwrap());
    }
    there.current_dir(home.path()).env("OAUTH_PROGRAMS", format!("[{}]", commands.join(",")));
    front.run(&mut there);
    for (name, says) in [("claude", "Connected"), ("codex", "OAuth"), ("opencode", "connected")] {
        let listed = said(program(name, &home).args(["mcp", "list"]));
        assert!(listed.contains(says), "{name}: {listed}");
    }
}

/// Where one of them finds a model: in place of a vendor's, ours asks for a call and says what came of it.
fn with_a_model_here(command: &mut Command, home: &Scratch, model: u16) {
    std::fs::create_dir(home.join(".codex")).unwrap();
    let base = format!("http://127.0.0.1:{model}/v1");
    let codex = format!(
        "model = \"m\"\nmodel_provider = \"here\"\n[model_providers.here]\nname = \"here\"\nbase_url = \"{base}\"\n\
         wire_api = \"responses\"\n"
    );
    std::fs::write(home.join(".codex/config.toml"), codex).unwrap();
    let opencode = format!(
        "{{\"provider\":{{\"here\":{{\"npm\":\"@ai-sdk/openai-compatible\",\"options\":{{\"baseURL\":\"{base}\",\"apiKey\":\"x\"}},\
         \"models\":{{\"m\":{{\"name\":\"m\",\"tool_call\":true}}}}}}}},\"model\":\"here/m\",\"small_model\":\"here/m\"}}"
    );
    std::fs::write(home.join("opencode.json"), opencode).unwrap();
    command.env("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{model}")).env("ANTHROPIC_API_KEY", "x");
    // The model is asked once: all tools are there by then.
    command.env("MCP_CONNECTION_NONBLOCKING", "false").env("ENABLE_TOOL_SEARCH", "false");
}

#[test]
#[ignore = "needs the programs themselves: cargo xtask conformance"]
fn programs_with_agents_in_them_work_under_run_with_nothing_configured() {
    let door = door(
        "@id(\"all-but-clear-values\") permit (principal, action, resource) unless { action == Action::\"reveal\" };",
    );
    let model = free_port().unwrap();
    let place = Scratch::new("mcp").unwrap();
    let mut there = program("node", &place);
    there.arg(folder("programs").join("model.mjs"));
    there.args([&model.to_string(), DATABASE, "SELECT email, 41 + total AS x FROM shop WHERE id = 1"]);
    let mut there = Running::start(&mut there, &place.join("model.log"), Stop::Kill).unwrap();
    there.wait_for_port(model).unwrap();
    for words in [
        &["claude", "-p", "the value", "--allowedTools", "mcp__durward__query"][..],
        &[
            "codex",
            "exec",
            "--dangerously-bypass-approvals-and-sandbox",
            "--skip-git-repo-check",
            "the value",
        ],
        &["opencode", "run", "the value"],
    ] {
        let (home, name) = (Scratch::new("mcp").unwrap(), words[0]);
        let mut run =
            door.rig.gateway.command(&["run", "--agent", name, "--for", "alice", "--target", DATABASE, "--"]);
        run.args(words).env("DURWARD_AGENTS", format!("http://127.0.0.1:{}", door.port));
        for (name, value) in program(name, &home).get_envs() {
            run.env(name, value.unwrap());
        }
        with_a_model_here(&mut run, &home, model);
        let printed = said(run.current_dir(home.path()).stdin(Stdio::null()));
        assert!(printed.contains("RESULT") && printed.contains(",42]"), "{name}: {printed}");
        assert!(!printed.contains("p1@x.test"), "{name}: {printed}");
        // What it got came as that agent, for that person.
        let journal = door.rig.gateway.records().unwrap();
        assert!(journal.contains(&format!("agent:{name}")), "{name}: {journal}");
    }
}
