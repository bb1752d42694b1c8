//! What the documents say is run as they say it, in one shell from the first to the last, against a real gateway and a real
//! PostgreSQL. The word behind a fence says what its text is: `sh` is run, `sh fails` must fail, `sh background` goes on,
//! `… file=NAME` is written there, and `text` is what the commands before it print (`…` is anything). `sh runner` and `sh pod`
//! are run where a runner of GitHub's or a kubelet would have put a token: here are tokens of the same shape, by keys of ours.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::Scratch;
use testkit::jwt::{Signer, jwks};
use testkit::postgres::Postgres;
use testkit::process::free_port;

use crate::rig::{binary, folder};

/// In the order in which they are read: each goes on where the one before has ended.
const DOCUMENTS: [&str; 5] =
    ["tutorial.md", "claude-code.md", "github-actions.md", "kubernetes.md", "operations.md"];

struct Block {
    /// Document and line.
    place: String,
    /// Behind the fence.
    word: String,
    text: String,
}

fn blocks(document: &str, text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(word)) => {
                let place = format!("{document}:{}", at + 1);
                open = Some(Block { place, word: word.to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => {
                let _ = writeln!(block.text, "{line}");
            }
            (None, None) => (),
        }
    }
    assert!(open.is_none(), "{document}: a fence is not closed");
    found
}

/// One shell for all of it. What a block prints goes to a file of its own.
fn script(blocks: &[Block]) -> String {
    let mut script = "set -e -o pipefail\ntrap 'echo \"ended in $at\"' EXIT\n".to_owned();
    for (n, Block { place, word, text }) in blocks.iter().enumerate() {
        let _ = writeln!(script, "at={place}");
        let words: Vec<&str> = word.split(' ').collect();
        let Some((&"sh", words)) = words.split_first() else { continue };
        for word in words {
            assert!(["fails", "background", "runner", "pod"].contains(word), "{place}: what is {word}?");
        }
        // In a job of a runner and in a pod the environment is another, and nothing of this machine is known.
        let away = words.contains(&"runner") || words.contains(&"pod");
        let text = if away { format!(". ./elsewhere\n{text}") } else { text.clone() };
        let _ = if words.contains(&"fails") {
            let why = format!("echo \"{place} did not fail\"; exit 1");
            writeln!(script, "if (\n{text}) >out.{n} 2>&1; then {why}; fi")
        } else if words.contains(&"background") {
            writeln!(script, "(\n{text}) >out.{n} 2>&1 &")
        } else if away {
            writeln!(script, "(\n{text}) >out.{n} 2>&1")
        } else {
            writeln!(script, "{{\n{text}}} >out.{n} 2>&1")
        };
    }
    script.push_str("at='the end'\n");
    script
}

/// Whether lines of a pattern come in this order, spaces aside; `…` stands for anything.
fn shows(printed: &str, pattern: &str) -> bool {
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lines = printed.lines().map(squeezed);
    pattern.lines().map(squeezed).all(|wanted| {
        lines.any(|line| match wanted.split_once('…') {
            Some((begins, ends)) => line.starts_with(begins) && line.ends_with(ends),
            None => line == wanted,
        })
    })
}

#[test]
fn what_the_documents_say_is_what_happens() {
    let docs = folder("../docs");
    let mut all = Vec::new();
    for name in DOCUMENTS {
        all.extend(blocks(name, &fs::read_to_string(docs.join(name)).unwrap()));
    }
    let server = Postgres::start(&[]).unwrap();
    let scratch = Scratch::new("documents").unwrap();
    let (clients, admin) = (free_port().unwrap().to_string(), free_port().unwrap().to_string());
    for block in &mut all {
        // A port may contain another's digits, so each is marked before any is written.
        let marked = block.text.replace("7432", "\u{1}").replace("7300", "\u{2}").replace("5432", "\u{3}");
        let written = marked.replace('\u{1}', &clients).replace('\u{2}', &admin);
        block.text = written.replace('\u{3}', &server.port().to_string());
        // Keys are ours, and a kubelet's file is in a place of ours.
        block.text =
            block.text.replace("audience = \"durward\"", "audience = \"durward\"\njwks_file = \"keys.json\"");
        block.text = block.text.replace("/var/run/secrets/durward/token", "./pod-token");
        if let Some((_, name)) = block.word.split_once("file=") {
            let path = scratch.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &block.text).unwrap();
        }
    }
    elsewhere(&scratch, &clients);
    let programs = scratch.join("bin");
    fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(binary(), programs.join("durward")).unwrap();
    fs::write(scratch.join("script"), script(&all)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.arg("script").current_dir(scratch.path()).env("PATH", path).env("HOME", scratch.path());
    bash.env("DURWARD_GATEWAY", format!("http://127.0.0.1:{admin}")).env("PGSSLMODE", "disable");
    bash.env("DURWARD_POSTGRES", format!("127.0.0.1:{clients}"));
    bash.env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // What goes on in the background ends with the group.
    let shell = bash.process_group(0).spawn().unwrap();
    let group = format!("-{}", shell.id());
    let ended = wait(shell, scratch.path());
    let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
    let printed = |n: usize| fs::read_to_string(scratch.join(&format!("out.{n}"))).unwrap_or_default();
    let everything: String =
        all.iter().enumerate().map(|(n, block)| format!("--- {}\n{}", block.place, printed(n))).collect();
    assert!(ended.is_ok(), "{}\n{everything}", ended.unwrap_err());
    let mut last = 0;
    for (n, block) in all.iter().enumerate() {
        if block.word == "text" {
            assert!(shows(&printed(last), &block.text), "{}: it printed\n{}", block.place, printed(last));
        } else if block.word.starts_with("sh") && block.word != "sh background" {
            last = n;
        }
    }
}

/// What a runner and a kubelet give to those who run there: where the gateway is, and a token.
fn elsewhere(scratch: &Scratch, port: &str) {
    let signer = Signer::rsa("key-1").unwrap();
    fs::create_dir_all(scratch.join("state")).unwrap();
    fs::write(scratch.join("state/keys.json"), jwks(&[&signer])).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let sign = |claims: &str| {
        let times = format!("\"iat\":{now},\"nbf\":{now},\"exp\":{},", now + 600);
        signer.sign(&claims.replacen('{', &format!("{{{times}"), 1)).unwrap()
    };
    let job = sign(
        r#"{"jti":"a1","sub":"repo:acme/api:environment:production","aud":"durward","ref":"refs/heads/main",
            "sha":"6af4","repository":"acme/api","repository_owner":"acme","repository_id":"74","run_id":"99",
            "run_number":"10","run_attempt":"1","actor":"octocat","workflow":"report","event_name":"push",
            "environment":"production","runner_environment":"github-hosted",
            "iss":"https://token.actions.githubusercontent.com"}"#,
    );
    let pod = sign(
        r#"{"aud":["durward"],"iss":"https://kubernetes.default.svc.cluster.local","jti":"b2",
            "kubernetes.io":{"namespace":"agents","node":{"name":"n1","uid":"u0"},"pod":{"name":"reporter","uid":"u1"},
            "serviceaccount":{"name":"reporter","uid":"u2"}},"sub":"system:serviceaccount:agents:reporter"}"#,
    );
    fs::write(scratch.join("pod-token"), pod).unwrap();
    let answers = answer_with(format!("{{\"count\":{},\"value\":\"{job}\"}}", job.len()));
    let environment = format!(
        "export PGHOST=127.0.0.1 PGPORT={port} PGDATABASE=shop PGUSER=anybody ACTIONS_ID_TOKEN_REQUEST_TOKEN=of-the-run\n\
         export ACTIONS_ID_TOKEN_REQUEST_URL='http://127.0.0.1:{answers}/token?api-version=2.0'\n\
         unset DURWARD_ADMIN_SECRET PGPASSWORD\n"
    );
    fs::write(scratch.join("elsewhere"), environment).unwrap();
}

/// Gives this to everybody who asks as a runner's job does; returns the port.
fn answer_with(body: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let asked: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let fine = asked[0].contains("&audience=durward ")
                && asked.iter().any(|l| l.ends_with("Bearer of-the-run"));
            let status = if fine { "200 OK" } else { "401 Unauthorized" };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = (&stream).write_all(format!("{head}{body}").as_bytes());
        }
    });
    port
}

/// Waits for the shell, and no longer than the tutorial's ten minutes.
fn wait(mut shell: std::process::Child, place: &Path) -> Result<(), String> {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(300);
    loop {
        match shell.try_wait().unwrap() {
            Some(status) if status.success() => return Ok(()),
            None if std::time::Instant::now() < until => {
                std::thread::sleep(std::time::Duration::from_millis(100))
            }
            ended => {
                let _ = shell.kill();
                let text = shell.wait_with_output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
                return Err(format!("{ended:?} in {}: {}", place.display(), text.unwrap_or_default()));
            }
        }
    }
}

#[test]
fn every_document_is_run_or_has_nothing_to_run() {
    for entry in fs::read_dir(folder("../docs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() || DOCUMENTS.contains(&name.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let runs = blocks(&name, &text).iter().any(|block| block.word.starts_with("sh"));
        assert!(!runs, "nobody runs what {name} says");
    }
}

#[test]
fn a_pattern_is_lines_in_their_order() {
    for (pattern, fits) in [
        ("b  c", true),
        ("a\nb c", true),
        ("b c\na", false),
        ("ERROR: …", true),
        ("…x.", true),
        ("ERROR: …y", false),
    ] {
        assert_eq!(shows("a\n b c \nERROR:  because of x.\n", pattern), fits, "{pattern}");
    }
    let found = blocks("d.md", "x\n```sh fails\nls\n```\ny\n");
    assert_eq!(
        (found[0].place.as_str(), found[0].word.as_str(), found[0].text.as_str()),
        ("d.md:2", "sh fails", "ls\n")
    );
}

// ---------------------------------------------------------------------- packaging

fn packaging(name: &str) -> String {
    fs::read_to_string(folder("../packaging").join(name)).unwrap()
}

/// The text of every rule that a reviewer would look for; `systemd-analyze` has its own word where it is there.
#[test]
fn the_unit_takes_away_what_the_gateway_does_not_need() {
    let unit = packaging("durward.service");
    for line in [
        "User=durward",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "StateDirectoryMode=0700",
        "LimitCORE=0",
        "MemoryDenyWriteExecute=yes",
        "SystemCallFilter=@system-service",
    ] {
        assert!(unit.lines().any(|l| l == line), "{line}");
    }
    let file = folder("../packaging/durward.service");
    let Ok(output) = Command::new("systemd-analyze").args(["security", "--offline=true"]).arg(&file).output()
    else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let level = said.split("exposure level for durward.service: ").nth(1).and_then(|l| l.split(' ').next());
    let level: f32 = level.and_then(|l| l.parse().ok()).unwrap_or_else(|| panic!("{said}"));
    assert!(level <= 1.5, "exposed to {level}: {said}");
    let verified = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // The binary is not installed here; whatever else it says would be a mistake.
    let mistakes: Vec<&str> =
        said.lines().filter(|l| l.contains("durward.service") && !l.contains("is not executable")).collect();
    assert!(mistakes.is_empty(), "{mistakes:?}");
}

#[test]
fn the_image_runs_as_nobody_and_needs_nothing_to_be_written_but_its_data() {
    let file = packaging("Containerfile");
    let lines: Vec<&str> = file.lines().filter(|l| !l.starts_with('#')).collect();
    let last = lines.iter().rposition(|l| l.starts_with("FROM ")).unwrap();
    let stage = &lines[last..];
    let has = |line: &str| stage.contains(&line);
    assert!(has("USER 65532:65532") && has("VOLUME /var/lib/durward") && has("STOPSIGNAL SIGTERM"));
    assert!(
        !stage.iter().any(|l| l.starts_with("ADD ") || l.contains("curl ") || l.contains("sudo ")),
        "{stage:?}"
    );
    let after = |word: &str| stage.iter().position(|l| l.starts_with(word)).unwrap();
    assert!(after("USER ") < after("ENTRYPOINT "), "the entry point is run as root");
    let tag = |l: &&&str| {
        l.split_whitespace().nth(1).is_some_and(|image| image.contains(':') && !image.ends_with(":latest"))
    };
    assert!(lines.iter().filter(|l| l.starts_with("FROM ")).all(|l| tag(&l)), "an image without its version");
    // It is the toolchain that the workspace asks for.
    let toolchain = fs::read_to_string(folder("../Cargo.toml")).unwrap();
    let wanted = toolchain.split("rust-version = \"").nth(1).and_then(|v| v.split('"').next()).unwrap();
    assert!(file.contains(&format!("FROM rust:{wanted}-")), "another Rust than {wanted}");
}

#[test]
fn the_example_configuration_is_what_the_unit_and_the_image_start() {
    let config = packaging("durward.toml");
    assert!(config.lines().any(|l| l == "data = \"/var/lib/durward\""));
    for file in ["durward.service", "Containerfile"] {
        assert!(packaging(file).contains("/etc/durward/durward.toml"), "{file}");
    }
}
