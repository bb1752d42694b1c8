//! The master key, from each place that it may come from: it opens, is replaced, and what is wrong with it is said.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{durward, text};

const VARIABLE: &str = "MASTER_KEY_OF_A_TEST";

/// A gateway's directory, with its configuration.
struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn keep(&self, name: &str, content: &str, mode: u32) {
        let path = self.path(name);
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(Path::new(&path), std::fs::Permissions::from_mode(mode)).expect("changed");
    }

    /// With the key from there, and something in the environment.
    fn run(&self, from: &str, held: Option<&str>, words: &[&str]) -> (i32, String) {
        std::fs::write(self.path("durward.toml"), format!("data = \"state\"\nmaster_key = {from}\n"))
            .expect("written");
        let held: Vec<(&str, &str)> = held.map(|value| (VARIABLE, value)).into_iter().collect();
        let output = durward(&[words, &["-c", &self.path("durward.toml")]].concat(), &held);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        (output.status.code().expect("a code"), said)
    }
}

#[test]
fn a_master_key_from_each_place_opens_and_is_replaced_and_the_old_one_opens_nothing() {
    let (old, new) = ("a1".repeat(32), "b2".repeat(32));
    for place in ["file", "environment", "command"] {
        let ground = Ground::new();
        let command = format!("{{ command = [\"cat\", \"{}\"] }}", ground.path("key"));
        let from = match place {
            "file" => "{ file = \"key\" }".to_owned(),
            "environment" => format!("{{ env = \"{VARIABLE}\" }}"),
            _ => command,
        };
        // As people write them: with the ends of lines that editors and commands leave.
        let run = |keys: &str, words: &[&str]| {
            ground.keep("key", keys, 0o600);
            ground.run(&from, Some(keys), words)
        };
        let (code, said) = run(&format!("{old}\r\n"), &["init"]);
        assert_eq!(code, 0, "{place}: {said}");
        if place != "file" {
            let (code, said) = run(&old, &["keys", "rotate"]);
            assert!(code == 1 && said.contains("put a new one where it comes from"), "{place}: {said}");
        }
        let (code, said) = run(&format!("\n{new}\n{old}\n"), &["keys", "rotate"]);
        assert!(code == 0 && said.contains("is in force in place of"), "{place}: {said}");
        assert!(!said.contains(&new) && !said.contains(&old), "{place}: {said}");
        let (code, said) = run(&old, &["keys", "rotate"]);
        assert_eq!(code, 1, "{place}: {said}");
        assert!(said.contains("the master key") && said.contains("is not here"), "{place}: {said}");
        // The honest neighbour: it opens with the new one, which asks for another in its turn or makes one.
        let (code, said) = run(&new, &["keys", "rotate"]);
        let opened = if place == "file" { code == 0 } else { said.contains("is in force already") };
        assert!(opened, "{place}: {said}");
    }
}

/// Wherever a rotation was cut off, the same command ends it; nothing but the file and the store is left of it.
#[test]
fn a_rotation_that_was_cut_off_is_ended_by_the_next() {
    let (old, new) = ("a1".repeat(32), "b2".repeat(32));
    for place in ["file", "environment"] {
        let ground = Ground::new();
        let from = if place == "file" {
            "{ file = \"key\" }".to_owned()
        } else {
            format!("{{ env = \"{VARIABLE}\" }}")
        };
        let run = |keys: &str, words: &[&str]| {
            ground.keep("key", keys, 0o600);
            ground.run(&from, Some(keys), words)
        };
        let both = format!("{new}\n{old}\n");
        assert_eq!(run(&old, &["init"]).0, 0);
        // The new key stands there, and nothing is wrapped under it: the next one takes it, and makes no other.
        let (code, said) = run(&both, &["keys", "rotate"]);
        assert!(code == 0 && said.contains("is in force in place of"), "{place}: {said}");
        // It is in force, and the old one is still there.
        let (code, said) = run(&both, &["keys", "rotate"]);
        assert!(
            code == 0 && said.contains("was in force already: the rotation to it is over"),
            "{place}: {said}"
        );
        let left = std::fs::read_to_string(ground.path("key")).expect("a key");
        assert_eq!(left == both, place != "file", "{place}: {left}");
        let journal =
            std::fs::read_to_string(ground.path("state/journal/journal-000001.jsonl")).expect("a journal");
        assert_eq!(
            journal.matches("master key taken out").count(),
            usize::from(place == "file"),
            "{journal}"
        );
    }
    // A new one that stands there already is not replaced: it may have been brought to others.
    let ground = Ground::new();
    let from = "{ file = \"key\" }";
    ground.keep("key", "", 0o600);
    let (code, said) = ground.run(from, None, &["init"]);
    assert!(code == 0, "a file that holds no key yet, as whoever made it left it: {said}");
    let kept = || std::fs::read_to_string(ground.path("key")).expect("keys");
    assert_eq!(ground.run(from, None, &["keys", "add"]).0, 0);
    let first = kept();
    let (code, said) = ground.run(from, None, &["keys", "add"]);
    assert!(code == 0 && said.contains("already") && kept() == first, "{said}");
}

#[test]
fn what_is_wrong_with_a_master_key_is_said_and_nothing_is_opened() {
    let key = "a1".repeat(32);
    let ground = Ground::new();
    ground.keep("key", &key, 0o600);
    ground.keep("open", &key, 0o640);
    ground.keep("garbled", "hunter2 is no key", 0o600);
    let (code, said) = ground.run("{ file = \"key\" }", None, &["init"]);
    assert_eq!(code, 0, "{said}");
    let command = |words: &str| format!("{{ command = [{words}] }}");
    let env = format!("{{ env = \"{VARIABLE}\" }}");
    for (from, held, says) in [
        ("{ file = \"open\" }".to_owned(), None, "can be read by others (mode 640): chmod 600 it"),
        ("{ file = \"garbled\" }".to_owned(), None, "garbled is no master key: it has 64 hexadecimal digits"),
        ("{ file = \"none\" }".to_owned(), None, "none is missing: without it nothing that is sealed"),
        (env.clone(), None, "the environment variable MASTER_KEY_OF_A_TEST is missing"),
        (env.clone(), Some("hunter2"), "MASTER_KEY_OF_A_TEST is no master key"),
        (env, Some(key.replace('a', "b").as_str()), "is not here"),
        (command("\"/nonexistent\""), None, "the command that gives a secret: /nonexistent: No such file"),
        (command("\"sh\", \"-c\", \"exit 7\""), None, "the command that gives a secret: sh: exit status: 7"),
        (command("\"true\""), None, "what true prints is no master key"),
        (command("\"echo\", \"hunter2\""), None, "what echo prints is no master key"),
        (command(""), None, "the command that gives a secret: it is empty"),
    ] {
        let (code, said) = ground.run(&from, held, &["keys", "rotate"]);
        assert!(code != 0 && said.contains(says), "{from} {held:?}\n→ {said}\nhas not {says}");
        let placed = says == "is not here" || said.contains("durward.toml:2:1: master_key: ");
        assert!(placed && !said.contains("hunter2") && !said.contains(&key), "{from}: {said}");
    }
    assert!(!Path::new(&ground.path("none")).exists(), "a key is made only where nothing is sealed");
}
