//! A master key that a passphrase opens: given by a descriptor, by systemd or at a terminal, and what becomes of it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use super::{DURWARD, PATIENCE, durward, eventually, free_port, terminate, text};

const RIGHT: &str = "correct horse battery";
const OTHER: &str = "another horse's battery";

/// A data directory, and files of passphrases beside it.
struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().expect("a directory"));
        for (name, passphrase) in [("right", RIGHT), ("other", OTHER), ("short", "short"), ("empty", "")] {
            std::fs::write(this.path(name), format!("{passphrase}\n")).expect("written");
        }
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn key(&self, data: &str) -> String {
        std::fs::read_to_string(self.path(data).join("master.key")).expect("a key")
    }

    /// With descriptor 8 open on one file and 9 on another.
    fn run(&self, eight: &str, nine: &str, words: &[&str]) -> (i32, String) {
        let mut shell = Command::new("setsid");
        shell.args(["-w", "sh", "-c", "exec \"$0\" \"$@\" 8<\"$EIGHT\" 9<\"$NINE\"", DURWARD]).args(words);
        shell.env("EIGHT", self.path(eight)).env("NINE", self.path(nine)).stdin(Stdio::null());
        let output = shell.current_dir(self.0.path()).output().expect("it runs");
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!said.contains(RIGHT) && !said.contains(OTHER), "{said}");
        (output.status.code().expect("a code"), said)
    }
}

const OPEN: [&str; 2] = ["--passphrase-fd", "8"];
const ANEW: [&str; 2] = ["--new-passphrase-fd", "9"];

fn with<'a>(words: &[&'a str], more: &[&[&'a str]]) -> Vec<&'a str> {
    words.iter().chain(more.iter().copied().flatten()).copied().collect()
}

#[test]
fn a_sealed_master_key_opens_by_its_passphrase_alone_and_stays_sealed_through_rotation_and_backup() {
    let ground = Ground::new();
    let data = ["--data", "data"];
    let init = with(&["init", "--passphrase"], &[&data, &ANEW]);
    let (code, said) = ground.run("right", "short", &init);
    assert!(code == 4 && said.contains("a passphrase has 12 characters at least"), "{said}");
    // What opens a key that is there seals none that is made.
    let (code, said) = ground.run("right", "right", &with(&["init", "--passphrase"], &[&data, &OPEN]));
    assert!(
        code == 4 && said.contains("a new passphrase is needed") && said.contains("--new-passphrase-fd N"),
        "{said}"
    );
    let (code, said) = ground.run("right", "right", &init);
    assert!(code == 0, "{said}");
    let first = ground.key("data");
    assert!(first.starts_with("durward-sealed-key 1 argon2id "), "{first}");

    let rotate = with(&["keys", "rotate"], &[&data]);
    for (passphrase, more, says) in [
        ("other", &OPEN[..], "that passphrase does not open data/master.key"),
        ("empty", &OPEN[..], "its first line is empty"),
        ("right", &[][..], "and there is no terminal: --passphrase-fd N"),
    ] {
        let (code, said) = ground.run(passphrase, "right", &with(&rotate, &[more]));
        assert!((code == 4 || code == 2) && said.contains(says), "{passphrase}: {code} {said}");
        assert_eq!(ground.key("data"), first, "{passphrase}");
    }
    let (code, said) = ground.run("right", "right", &with(&rotate, &[&OPEN]));
    assert!(code == 0 && said.contains("is in force in place of"), "{said}");
    let second = ground.key("data");
    assert!(second != first && second.starts_with("durward-sealed-key 1 argon2id "), "{second}");

    // Another passphrase: the one before opens nothing any more.
    let (code, said) = ground.run("right", "other", &with(&["keys", "passphrase"], &[&data, &OPEN, &ANEW]));
    assert!(code == 0 && said.contains("opens by its passphrase alone"), "{said}");
    assert_eq!(ground.run("right", "right", &with(&rotate, &[&OPEN])).0, 4);

    // As systemd gives it.
    std::fs::create_dir(ground.path("credentials")).expect("made");
    std::fs::copy(ground.path("other"), ground.path("credentials/durward-passphrase")).expect("copied");
    let (of, place) = (ground.path("data"), ground.path("credentials"));
    let words =
        ["backup", ground.path("backup").to_str().expect("UTF-8"), "--data", of.to_str().expect("UTF-8")]
            .map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = durward(&words, &[("CREDENTIALS_DIRECTORY", place.to_str().expect("UTF-8"))]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let recovery = said.split_whitespace().find(|word| word.starts_with("dwk_")).expect("a recovery key");
    std::fs::write(ground.path("recovery"), recovery).expect("written");

    // What was sealed there is sealed here, unless somebody says otherwise.
    let restore = ["restore", "backup", "--key-file", "recovery", "--data"];
    let (code, said) = ground.run("right", "right", &with(&restore, &[&["none"]]));
    assert!(code == 4 && said.contains("--new-passphrase-fd for a new one; --clear-key"), "{said}");
    let (code, said) = ground.run("right", "right", &with(&restore, &[&["sealed"], &ANEW]));
    assert!(code == 0 && ground.key("sealed").starts_with("durward-sealed-key"), "{said}");
    let (code, said) = ground.run("right", "right", &with(&["keys", "rotate", "--data", "sealed"], &[&OPEN]));
    assert!(code == 0, "{said}");
    let (code, said) = ground.run("right", "right", &with(&restore, &[&["clear", "--clear-key"]]));
    assert!(code == 0 && ground.key("clear").len() == 65, "{said}");
    assert_eq!(ground.run("right", "right", &["keys", "rotate", "--data", "clear"]).0, 0);
    let (code, said) = ground.run("right", "right", &["init", "--passphrase", "--data", "clear"]);
    assert!(code == 2 && said.contains("lies in clear: durward keys passphrase seals it"), "{said}");

    let (code, said) =
        ground.run("other", "right", &with(&["keys", "passphrase", "--remove"], &[&data, &OPEN]));
    assert!(code == 0 && ground.key("data").len() == 65, "{said}");
}

/// Types each answer behind its prompt, at a terminal of its own.
fn typed(place: &Path, words: &str, answers: &[(&str, &str)]) -> (i32, String) {
    let mut script = Command::new("script");
    script.args(["-qec", &format!("'{DURWARD}' {words}"), "/dev/null"]).current_dir(place);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script runs");
    let (mut keys, mut screen) = (child.stdin.take().expect("keys"), child.stdout.take().expect("a screen"));
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 1024];
        while let Ok(read) = screen.read(&mut bytes) {
            if read == 0 || tell.send(bytes.get(..read).unwrap_or_default().to_vec()).is_err() {
                return;
            }
        }
    });
    let (mut said, mut seen) = (String::new(), 0);
    for (prompt, answer) in answers {
        while !said.get(seen..).unwrap_or_default().contains(prompt) {
            let more = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {prompt} behind\n{said}"));
            said.push_str(&String::from_utf8_lossy(&more));
        }
        seen = said.len();
        writeln!(keys, "{answer}").expect("typed");
    }
    while let Ok(more) = told.recv_timeout(PATIENCE) {
        said.push_str(&String::from_utf8_lossy(&more));
    }
    drop(keys);
    let status = child.wait().expect("it ends");
    (status.code().expect("a code"), said)
}

#[test]
fn a_passphrase_is_asked_for_at_the_terminal_and_a_slip_is_forgiven_where_it_does_no_harm() {
    let ground = Ground::new();
    let place = ground.0.path();
    let (again, new) = ("The same again: ", "New passphrase of the master key: ");
    let of = "Passphrase of data/master.key: ";
    assert_eq!(
        durward(&["init", "--data", ground.path("data").to_str().expect("UTF-8")], &[]).status.code(),
        Some(0)
    );
    let (code, said) = typed(place, "keys passphrase --data data", &[(new, RIGHT), (again, OTHER)]);
    assert!(code == 4 && said.contains("nothing was changed") && ground.key("data").len() == 65, "{said}");
    let (code, said) = typed(place, "keys passphrase --data data", &[(new, RIGHT), (again, RIGHT)]);
    assert!(code == 0 && said.contains("may still be on the disk"), "{said}");
    let (code, said) = typed(place, "keys rotate --data data", &[(of, OTHER), (of, RIGHT)]);
    assert!(code == 0 && said.contains("that does not open it"), "{said}");
    let (code, said) = typed(place, "keys rotate --data data", &[(of, OTHER), (of, OTHER), (of, OTHER)]);
    assert!(code == 4 && said.contains("that passphrase does not open data/master.key"), "{said}");
}

#[test]
fn a_gateway_that_serves_takes_a_rotated_key_without_being_asked_again() {
    let ground = Ground::new();
    let (clients, admin) = (free_port(), free_port());
    let config = format!(
        "data = \"data\"\n[postgres]\nlisten = \"127.0.0.1:{clients}\"\n[console]\nlisten = \"127.0.0.1:{admin}\"\n"
    );
    std::fs::write(ground.path("durward.toml"), config).expect("written");
    let of = ["-c", "durward.toml"];
    let (code, said) =
        ground.run("right", "right", &with(&["init", "--json", "--passphrase"], &[&of, &ANEW]));
    assert_eq!(code, 0, "{said}");
    let made: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let secret = made["administrator_secret"].as_str().expect("a secret").to_owned();
    let mut serve = Command::new("sh");
    serve.args(["-c", "exec \"$0\" serve -c durward.toml --passphrase-fd 8 8<right", DURWARD]);
    let mut child = serve.current_dir(ground.0.path()).stderr(Stdio::null()).spawn().expect("it runs");
    let url = format!("http://127.0.0.1:{admin}");
    let held = [("DURWARD_GATEWAY", url.as_str()), ("DURWARD_ADMIN_SECRET", secret.as_str())];
    eventually("it is ready", || durward(&["status", "--ready"], &held).status.success());

    let target = |password: &str| {
        let text = format!(
            "[[targets]]\nname = \"orders\"\nhost = \"127.0.0.1\"\nport = 1\nuser = \"u\"\ndatabase = \"d\"\npassword = \"{password}\"\n"
        );
        std::fs::create_dir_all(ground.path("files")).expect("made");
        std::fs::write(ground.path("files/t.toml"), text).expect("written");
        durward(&["apply", "-f", ground.path("files").to_str().expect("UTF-8")], &held)
    };
    assert!(target("one").status.success());
    for password in ["two", "three"] {
        let (code, said) = ground.run("right", "right", &with(&["keys", "rotate"], &[&of, &OPEN]));
        assert!(code == 0 && ground.key("data").starts_with("durward-sealed-key"), "{said}");
        let applied = target(password);
        assert!(applied.status.success(), "{}", text(&applied.stderr));
    }
    terminate(&child);
    assert!(child.wait().expect("it ends").success());
}
