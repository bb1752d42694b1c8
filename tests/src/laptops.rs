//! `durward run` and `durward connect` as people use them: the child works as an agent of theirs, holds no token, and is
//! served as long as it runs.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::json::Json;
use testkit::process::{free_port, text};
use testkit::{Account, Scratch, is_root};

use crate::rig::{ALLOW_ALL, DATABASE, Rig, said};

/// Whatever is waited for comes within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// `durward run` of a shell's script.
fn run(rig: &Rig, arguments: &[&str], script: &str) -> Command {
    let gate = format!("127.0.0.1:{}", rig.gateway.port());
    let fixed = ["run", "--agent", "coder", "--for", "alice", "--target", DATABASE, "--postgres", &gate];
    let mut command = rig.gateway.command(&[&fixed, arguments, &["--", "sh", "-c", script]].concat());
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

fn sessions(rig: &Rig) -> Vec<(String, String)> {
    let live = Json::parse(&text(&mut rig.gateway.command(&["sessions", "ls", "--json"])).unwrap()).unwrap();
    let of = |s: &Json, name: &str| s.at(name).and_then(Json::text).unwrap_or_default().to_owned();
    live.items().iter().map(|s| (of(s, "principal"), of(s, "token"))).collect()
}

fn opened(rig: &Rig) -> String {
    let all = rig.gateway.records().unwrap();
    all.lines().filter(|line| line.contains("\"opened\"")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_child_works_as_an_agent_and_never_sees_a_token() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let script = "psql -XqAt -c 'SELECT 42' && psql -XqAt \"$DATABASE_URL\" -c 'SELECT 43' && env";
    let output = run(&rig, &[], script).output().unwrap();
    let words = said(&output);
    assert!(output.status.success() && words.contains("42\n43\n"), "{words}");
    // Neither a token of the agent's, nor the secret by which it was minted.
    assert!(!words.contains("dwt_") && !words.contains("dwa_"), "{words}");
    let opened = opened(&rig);
    assert!(opened.contains("\"principal\":\"agent:coder\"") && opened.contains("user:alice"), "{opened}");
    // What was minted is of no use when the run has ended.
    let tokens = Json::parse(&text(&mut rig.gateway.command(&["token", "ls", "--json"])).unwrap()).unwrap();
    let coders = |t: &&Json| t.at("principal").and_then(Json::text) == Some("agent:coder");
    let all: Vec<_> = tokens.items().iter().filter(coders).collect();
    assert!(!all.is_empty() && all.iter().all(|t| t.at("revoked") == Some(&Json::Bool(true))), "{tokens:?}");
}

#[test]
fn a_program_with_an_agent_in_it_is_told_of_mcp_for_this_run_alone() {
    let agents = free_port().unwrap();
    let server = crate::rig::server(&[]);
    let target = testkit::durward::Target::new(DATABASE, server.port(), DATABASE);
    let rig = Rig::of(server, &target, &format!("\n[agents]\nlisten = \"127.0.0.1:{agents}\""), ALLOW_ALL);
    let place = Scratch::new("run").unwrap();
    // It starts what it is told to, as the program of this name would, and asks what there is and for a row.
    let program = place.join("claude");
    let python = r#"#!/usr/bin/env python3
import json, os, subprocess, sys
server = json.loads(sys.argv[1].removeprefix("--mcp-config="))["mcpServers"]["durward"]
print("told", sys.argv[1:], "end")
print("environment", dict(os.environ), "end")
meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
call = {"name": "query", "arguments": {"target": "sample", "sql": "SELECT 40 + 2 AS x"}, "_meta": meta}
message = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
bridge = subprocess.Popen([server["command"], *server["args"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
bridge.stdin.write(message + "\n"); bridge.stdin.flush()
print("answer", bridge.stdout.readline())
bridge.stdin.close(); bridge.wait(10)
print("socket", server["args"][-1])
"#;
    std::fs::write(&program, python).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let gate = format!("127.0.0.1:{}", rig.gateway.port());
    let mut command =
        rig.gateway.command(&["run", "--agent", "coder", "--for", "alice", "--target", DATABASE]);
    command.args(["--postgres", &gate, "--"]).arg(&program).args(["-p", "do it"]);
    command.env("DURWARD_AGENTS", format!("http://127.0.0.1:{agents}")).stdin(Stdio::null());
    let words = said(&command.output().unwrap());
    assert!(words.contains("\"rows\":[[42]]") && words.contains("'-p', 'do it'"), "{words}");
    assert!(!words.contains("dwt_") && !words.contains("dwa_"), "{words}");
    let socket = words.lines().find_map(|line| line.strip_prefix("socket ")).unwrap();
    assert!(!PathBuf::from(socket).exists(), "it goes with the run");
    assert!(opened(&rig).contains("user:alice"));
}

#[test]
fn the_socket_is_its_users_alone_and_goes_with_the_run() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let place = Scratch::new("run").unwrap();
    let note = place.join("note").display().to_string();
    let mut command =
        run(&rig, &[], &format!("echo $PGHOST > {note}; echo $PGPASSWORD >> {note}; read x; exit 7"));
    // Somewhere that others may enter, so that the directory's own mode is what keeps them out.
    let mut child = command.env_remove("XDG_RUNTIME_DIR").stdin(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    let (host, secret) = loop {
        let text = std::fs::read_to_string(&note).unwrap_or_default();
        if let Some((host, secret)) = text.split_once('\n').filter(|(_, s)| s.ends_with('\n')) {
            break (PathBuf::from(host), secret.trim().to_owned());
        }
        assert!(begun.elapsed() < PATIENCE, "no child");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(host.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let psql = |password: &str| {
        let mut command = Command::new("psql");
        command.args(["-XqAt", "-c", "SELECT 1", "-d", DATABASE, "-U", "x"]).env("PGPASSWORD", password);
        command.env("PGHOST", &host).env("PGPORT", "5432").env("PGSSLMODE", "disable");
        command
    };
    assert!(psql(&secret).status().unwrap().success(), "the same user, with the secret");
    assert!(said(&psql("wrong").output().unwrap()).contains("the token is not valid"), "without it");
    // Even where the directory lets others in, the broker asks whose process it is.
    if is_root().unwrap() {
        let other = Account::unprivileged().unwrap();
        let mut theirs = psql(&secret);
        other.runs(&mut theirs);
        assert!(!theirs.output().unwrap().status.success(), "another user");
        std::fs::set_permissions(&host, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(host.join(".s.PGSQL.5432"), PermissionsExt::from_mode(0o777)).unwrap();
        let mut theirs = psql(&secret);
        other.runs(&mut theirs);
        assert!(!theirs.output().unwrap().status.success(), "another user, where the directory is open");
        assert!(psql(&secret).status().unwrap().success(), "the same user still");
    }
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(7), "the child's own exit status");
    assert!(!host.exists(), "{} is left behind", host.display());
}

#[test]
fn a_port_needs_the_runs_secret_and_must_be_free() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let port = free_port().unwrap();
    let script = format!(
        "psql -XqAt -c 'SELECT 42' && PGPASSWORD=wrong psql -XqAt -c 'SELECT 43'; test \"$PGPORT\" = {port} && psql \"$DATABASE_URL\" -XqAt -c 'SELECT 44'"
    );
    let output = run(&rig, &["--port", &port.to_string()], &script).output().unwrap();
    let words = said(&output);
    assert!(words.contains("42\n") && words.contains("44\n") && !words.contains("43\n"), "{words}");
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let output = run(&rig, &["--port", &port.to_string()], "echo started").output().unwrap();
    assert!(!output.status.success() && said(&output).contains("is the port taken?"), "{}", said(&output));
    assert!(!said(&output).contains("started"), "{}", said(&output));
    drop(taken);
}

#[test]
fn signals_and_ends_of_the_child_pass_through() {
    let rig = Rig::start(&[], ALLOW_ALL);
    for (script, code) in [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137)] {
        assert_eq!(run(&rig, &[], script).status().unwrap().code(), Some(code), "{script}");
    }
    for (signal, script, code) in [
        ("TERM", "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done", 9),
        ("INT", "trap 'exit 8' INT; echo up; while :; do sleep 0.1; done", 8),
        ("HUP", "echo up; sleep 60", 129),
        ("USR1", "trap 'exit 6' USR1; echo up; while :; do sleep 0.1; done", 6),
    ] {
        let mut command = run(&rig, &[], script);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut up = [0; 3];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut up).unwrap();
        text(Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()])).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
    }
    let output = rig.gateway.command(&["run", "--for", "alice", "--", "/nonexistent"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
}

/// Tokens are renewed: what the child opens later has another one.
#[test]
fn tokens_are_renewed_as_long_as_the_child_runs() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let script =
        "psql -XqAt -c 'SELECT 1'; sleep 5; psql -XqAt -c 'SELECT 2'; sleep 5; psql -XqAt -c 'SELECT 3'";
    let output = run(&rig, &["--life", "4s"], script).output().unwrap();
    assert!(said(&output).contains("1\n2\n3\n"), "{}", said(&output));
}

#[test]
fn a_cancel_reaches_what_the_child_runs() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let place = Scratch::new("run").unwrap();
    let note = place.join("pid").display().to_string();
    let script = format!("echo $$ > {note}; exec psql -XqAt -c 'SELECT pg_sleep(600)'");
    let child = run(&rig, &[], &script).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    let asks =
        "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'";
    while rig.server.sql(DATABASE, asks).unwrap().trim() != "1" {
        assert!(begun.elapsed() < PATIENCE, "it does not run");
        std::thread::sleep(Duration::from_millis(50));
    }
    // psql asks for a cancel when it is interrupted.
    text(Command::new("kill").args(["-INT", std::fs::read_to_string(&note).unwrap().trim()])).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(said(&output).contains("canceling statement due to user request"), "{}", said(&output));
    assert_eq!(output.status.code(), Some(1), "psql's own exit status");
}

#[test]
fn connect_is_psql_with_a_token_of_ones_own() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let gate = format!("127.0.0.1:{}", rig.gateway.port());
    let arguments = [
        "connect",
        DATABASE,
        "--as",
        "alice",
        "--postgres",
        &gate,
        "--",
        "-XqAt",
        "-c",
        "SELECT 42",
        "-c",
        "\\! env",
    ];
    let output = rig.gateway.command(&arguments).output().unwrap();
    let words = said(&output);
    assert!(output.status.success() && words.starts_with("42\n"), "{words}");
    assert!(!words.contains("dwa_"), "the administrator's secret is not psql's: {words}");
    assert!(opened(&rig).contains("\"principal\":\"user:alice\""), "{}", opened(&rig));
    assert!(sessions(&rig).is_empty());
}
