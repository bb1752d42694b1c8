//! What is applied, compared, exported, and read again when it changes.

use super::{Gateway, eventually, text};

const TARGET: &str = "[[targets]]\nname = \"orders\"\nhost = \"127.0.0.1\"\nport = 1\nuser = \"u\"\ndatabase = \"d\"\npassword = \"hunter2\"\n\
                      [targets.columns.\"shop.people.email\"]\ntags = [\"pii.email\"]\n";
const POLICY: &str = "@id(\"all\")\npermit (principal, action, resource == Target::\"orders\");\n";

fn write(gateway: &Gateway, name: &str, content: &str) {
    let path = gateway.path(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    std::fs::write(path, content).expect("written");
}

fn journal(gateway: &Gateway) -> String {
    std::fs::read_to_string(gateway.path("state/journal/journal-000001.jsonl")).expect("a journal")
}

#[test]
fn what_is_exported_and_applied_again_changes_nothing_and_only_prune_removes() {
    let gateway = Gateway::start();
    let path = |name: &str| gateway.path(name).to_str().expect("UTF-8").to_owned();
    let run = |words: &[&str]| gateway.run(words);
    write(&gateway, "files/orders.toml", TARGET);
    write(&gateway, "files/policies/all.cedar", POLICY);
    assert_eq!(run(&["diff", "-f", &path("files")]).0, 6);
    let (code, applied, _) = run(&["apply", "-f", &path("files"), "--json"]);
    assert_eq!(code, 0, "{applied}");
    let applied: serde_json::Value = serde_json::from_str(&applied).expect("JSON");
    let digest = applied["configuration"].as_str().expect("a digest");
    let records = journal(&gateway);
    let version = records.lines().find(|line| line.contains(digest)).expect("the version is on record");
    for part in ["user:administrator", "target orders added", "policy file policies/all.cedar added"] {
        assert!(version.contains(part), "{version}");
    }

    // The same again is no version of its own, whether from these files or from an export.
    let (code, said, _) = run(&["export", &path("exported")]);
    assert!(code == 0 && said.contains("targets/orders.toml"), "{said}");
    for files in ["files", "exported"] {
        for words in [&["diff", "-f"][..], &["apply", "-f"], &["apply", "--prune", "-f"]] {
            let (code, said, _) = run(&[words, &[&path(files)]].concat());
            assert!(code == 0 && said.contains("Nothing differs"), "{words:?} {files}: {said}");
        }
    }
    assert_eq!(journal(&gateway).matches(digest).count(), 1);
    assert_eq!(run(&["export", &path("exported")]).0, 2, "what is there is not written over");

    // A change is shown as it is, and what is not named stays until it is pruned.
    write(&gateway, "next/orders.toml", &TARGET.replace("port = 1", "port = 2"));
    write(&gateway, "next/policies/all.cedar", &POLICY.replace("action,", "action == Action::\"connect\","));
    write(
        &gateway,
        "next/policies/more.cedar",
        "@id(\"more\") forbid (principal, action, resource in Tag::\"x\");",
    );
    let (code, said, _) = run(&["diff", "-f", &path("next")]);
    assert_eq!(code, 6);
    for line in [
        "target orders: port 1 → 2",
        "  - permit (principal, action, resource == Target::\"orders\");",
        "  + permit (principal, action == Action::\"connect\", resource == Target::\"orders\");",
        "policy file policies/more.cedar added",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    assert_eq!(run(&["apply", "-f", &path("next")]).0, 0);
    let (code, said, _) = run(&["apply", "-f", &path("files")]);
    assert!(
        code == 0 && said.contains("policy file policies/more.cedar") && said.contains("--prune"),
        "{said}"
    );
    let (code, said, _) = run(&["apply", "--prune", "-f", &path("files")]);
    assert!(code == 0 && said.contains("policy file policies/more.cedar removed"), "{said}");
}

#[test]
fn nothing_of_a_directory_with_a_mistake_is_applied() {
    let gateway = Gateway::start();
    let files = gateway.path("files").to_str().expect("UTF-8").to_owned();
    for (target, policy, code, says) in [
        (TARGET.replace("user", "usr"), POLICY.to_owned(), 2, "orders.toml:5:1: unknown field `usr`"),
        (TARGET.to_owned(), POLICY.replace("permit", "pemit"), 2, "all.cedar:2:1"),
        (
            TARGET.to_owned(),
            POLICY.replace("action,", "action == Action::\"selct\","),
            2,
            "Action::\"select\"",
        ),
        (
            TARGET.to_owned(),
            POLICY.replace("\"orders\"", "\"ordrs\""),
            1,
            "all.cedar:2:40: there is no target \"ordrs\"; did you mean \"orders\"?",
        ),
        (
            TARGET.replace("[targets.columns.", "[[tags]]\ntarget = \"order\"\n[tags.columns."),
            POLICY.to_owned(),
            2,
            "orders.toml:9:10: no target \"order\" is described among these files; did you mean \"orders\"?",
        ),
    ] {
        write(&gateway, "files/orders.toml", &target);
        write(&gateway, "files/all.cedar", &policy);
        let (found, _, said) = gateway.run(&["apply", "-f", &files]);
        assert!(found == code && said.contains(says), "{found}: {said}\nhas not {says}");
        assert!(!gateway.run(&["targets", "ls"]).1.contains("orders"), "the half of it was taken");
    }
}

#[test]
fn files_that_change_are_taken_and_what_is_not_valid_leaves_what_was_in_force() {
    let gateway = Gateway::start_with("apply = \"files\"\n", |place| {
        std::fs::create_dir(place.join("files")).expect("made");
        std::fs::write(place.join("files/orders.toml"), TARGET).expect("written");
        std::fs::write(place.join("files/all.cedar"), POLICY).expect("written");
    });
    let status = || gateway.run(&["status"]);
    let (code, said, _) = status();
    assert!(code == 0 && said.contains("orders: unused"), "{said}");

    // No signal is sent: the change is seen.
    write(&gateway, "files/orders.toml", &TARGET.replace("port = 1", "port = 2"));
    eventually("the change is taken", || gateway.run(&["targets", "ls"]).1.contains("127.0.0.1:2/d"));
    assert!(journal(&gateway).contains("\"who\":\"durward.toml\""), "{}", journal(&gateway));

    write(&gateway, "files/all.cedar", "permit (principal");
    eventually("the mistake is told", || status().0 == 6);
    let (_, said, _) = status();
    assert!(said.contains("files/all.cedar:1:"), "{said}");
    let ready = gateway.get("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("\"files\":\"invalid\""), "{ready}");
    assert!(!ready.contains("all.cedar"), "who may ask for this is not told what files say: {ready}");
    let metrics = gateway.get("/metrics");
    assert!(
        metrics.contains("durward_files_valid 0") && metrics.contains("durward_files_refused_total 1"),
        "{metrics}"
    );
    assert!(gateway.run(&["targets", "ls"]).1.contains("127.0.0.1:2/d"));

    write(&gateway, "files/all.cedar", POLICY);
    eventually("it is well again", || status().0 == 0);
    assert!(gateway.get("/metrics").contains("durward_files_valid 1"));
}

#[test]
fn schemas_completions_and_the_version_are_for_programs() {
    let output = |words: &[&str]| {
        let output = super::durward(words, &[]);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let json = |words: &[&str]| serde_json::from_str::<serde_json::Value>(&output(words)).expect("JSON");
    assert_eq!(json(&["version", "--json"])["version"], env!("CARGO_PKG_VERSION"));
    assert!(json(&["schema", "state"])["properties"]["targets"].is_object());
    assert!(json(&["schema"])["config"]["properties"]["postgres"].is_object());
    for (shell, part) in
        [("bash", "complete -F _durward"), ("zsh", "#compdef durward"), ("fish", "complete -c durward")]
    {
        let script = output(&["completions", shell]);
        assert!(script.contains(part) && script.contains("apply"), "{shell}");
    }
}
