//! What a directory says, and what is wrong with one.

use super::*;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    fn problem(&self) -> String {
        let error = Wanted::read(self.0.path()).err().expect("an error");
        format!("{error:#}").replace(&format!("{}/", self.0.path().display()), "")
    }
}

const KEYS: &str = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
const TARGET: &str = "[[targets]]\nname = \"orders\"\nhost = \"db\"\nuser = \"app\"\ndatabase = \"orders\"\n";

#[test]
fn a_directory_is_targets_tags_and_policies() {
    let place = Place::new();
    place.write("targets/secret", "hunter2\n");
    place.write(
        "targets/orders.toml",
        &format!(
            "{TARGET}password_file = \"secret\"\n[targets.columns.\"shop.people.email\"]\ntags = [\"pii\"]\n"
        ),
    );
    place.write(
        "a-tags.toml",
        "[[tags]]\ntarget = \"orders\"\ncolumns = { \"shop.people.iban\" = { tags = [\"bank\"], strategy = \"partial\" } }\n",
    );
    place.write("policies/a.cedar", "@id(\"a\") permit (principal, action, resource);");
    place.write("policies/a.test.toml", "case = []\n");
    place.write("keys.json", KEYS);
    place.write(
        "issuers.toml",
        "[[issuers]]\nname = \"company\"\npreset = \"keycloak\"\nissuer = \"https://x.example\"\naudience = \"durward\"\n\
         jwks_file = \"keys.json\"\nagent_session = \"30m\"\nprincipals = [{ kind = \"user\", name = \"email\" }]\n\
         [[clients]]\nname = \"nightly\"\njwks_file = \"keys.json\"\ngroups = [\"jobs\"]\n",
    );
    place.write(".hidden.toml", "x");
    let wanted = Wanted::read(place.0.path()).expect("read");
    assert_eq!(wanted.configuration.policies[0].name, "policies/a.cedar");
    let json = wanted.to_json().expect("json");
    assert_eq!(json["targets"][0]["password"], "hunter2");
    assert_eq!(json["targets"][0]["columns"]["shop.people.email"]["tags"][0], "pii");
    assert_eq!(json["targets"][0]["columns"]["shop.people.iban"]["strategy"], "partial");
    let issuer = &wanted.configuration.issuers[0];
    assert_eq!((issuer.jwks.as_deref(), issuer.agent_session), (Some(KEYS), Some(1800)));
    let client = &wanted.configuration.clients[0];
    assert_eq!((client.name.as_str(), client.jwks.as_str()), ("nightly", KEYS));
    assert!(issuer.audience.contains("durward") && issuer.principals[0].name == "email");
    for name in ["targets/secret", "keys.json"] {
        assert!(wanted.files.iter().any(|f| f.ends_with(name)), "{name}: {:?}", wanted.files);
    }
}

#[test]
fn every_mistake_is_told_with_its_place_and_the_word_that_may_be_meant() {
    let with = |rest: &str| format!("{TARGET}{rest}");
    for (text, expected) in [
        (
            with("pasword = \"x\""),
            &["t.toml:6:1: unknown field `pasword`", "did you mean `password`?"][..],
        ),
        (with("port = \"x\""), &["t.toml:6:8: invalid type: string \"x\", expected u16"]),
        (
            with("sslmode = \"verify-ful\""),
            &["t.toml:6:11: unknown variant `verify-ful`", "did you mean `verify-full`?"],
        ),
        (with("tags = [\"prod uction\"]"), &["t.toml:6:8: the tag \"prod uction\" has other characters"]),
        (with("columns = { \"people.email\" = {} }"), &["t.toml:6:13: \"people.email\" is no column"]),
        (
            with("columns = { \"a.b.c\" = { strategy = \"partal\" } }"),
            &["t.toml:6:36: unknown variant `partal`", "did you mean `partial`?"],
        ),
        (
            with("password = \"x\"\npassword_env = \"Y\""),
            &["t.toml:2:8: the target \"orders\" has more than one of"],
        ),
        (
            with("password = \"x\"\ncredential = \"Y\""),
            &["t.toml:7:14: \"orders\" has a password and a credential"],
        ),
        (
            with("password_env = \"DURWARD_TEST_NO_SUCH\""),
            &["t.toml:6:16: DURWARD_TEST_NO_SUCH is not set"],
        ),
        (with("sslrootcert = \"none.pem\""), &["t.toml:6:15: none.pem: No such file"]),
        (
            with("[[tags]]\ntarget = \"ordrs\"\ncolumns = {}"),
            &[
                "t.toml:7:10: no target \"ordrs\" is described among these files; did you mean \"orders\"?",
            ],
        ),
        (with(TARGET), &["t.toml:7:8: the target \"orders\" is described at", "t.toml:2:8 already"]),
        (
            "[[issuers]]\nname = \"jobs\"\npreset = \"github-action\"\naudience = \"durward\"\n".to_owned(),
            &["t.toml:3:10: unknown variant `github-action`", "did you mean `github-actions`?"],
        ),
        (
            "[[issuers]]\nname = \"jobs\"\npreset = \"github-actions\"\naudience = \"durward\"\nwhen = \"repository = \"\n".to_owned(),
            &["t.toml:2:8: \"jobs\": "],
        ),
        (
            "[[groups]]\nname = \"a\"\nmembers = [\"user:x\", \"usr:y\"]\n".to_owned(),
            &["t.toml:3:11: \"usr:y\" is no member", "did you mean \"user:\"?"],
        ),
        (
            "[[groups]]\nname = \"dba\"\nmembers = [\n  \"user:x\",\n  \"group:local/dbas\",\n]\n".to_owned(),
            &["t.toml:5:3: \"dba\": there is no group \"local/dbas\"; did you mean \"group:local/dba\"?"],
        ),
        (
            "[[groups]]\nname = \"a\"\nmembers = [\"group:local/b\"]\n[[groups]]\nname = \"b\"\nmembers = [\"group:local/a\"]\n"
                .to_owned(),
            &["t.toml:3:12: \"a\": \"local/b\" has it for a member already", "t.toml:6:12: \"b\": "],
        ),
        (
            "[[groups]]\nname = \"a\"\nmembers = [\"agent:local/coder\"]\n".to_owned(),
            &["t.toml:3:12: \"a\": anybody who signs in can call an agent of theirs local/coder"],
        ),
        (
            "[[groups]]\nname = \"a\"\nmembers = []\n[[groups]]\nname = \"a\"\nmembers = []\n".to_owned(),
            &["t.toml:5:8: the group \"a\" is described at", "t.toml:2:8 already"],
        ),
        ("[[groups]]\nname = \"a b\"\nmembers = []\n".to_owned(), &["t.toml:2:8: a group's name has 1 to 63"]),
        ("[[groups]]\nname = \"a\"\nmember = []\n".to_owned(), &["t.toml:3:1: unknown field", "did you mean `members`?"]),
        (TARGET.replace("orders", "or ders"), &["t.toml:2:8: a target's name has 1 to 63 letters"]),
        (TARGET.replace("\"db\"", "\"\""), &["t.toml:2:8: the host of \"orders\" is empty"]),
    ] {
        let place = Place::new();
        place.write("t.toml", &text);
        let told = place.problem();
        for part in expected {
            assert!(told.contains(part), "{text}\n→ {told}\nhas not {part}");
        }
    }
}

#[test]
fn the_mistakes_of_all_files_are_told_together() {
    let place = Place::new();
    place.write("a.toml", "[[target]]\n");
    place.write("b.toml", "[[tags]]\ntarget = \"x\"\ncolumns = {}\n");
    place.write("c/p.cedar", "@id(\"a\") permit (principal, action == Action::\"selct\", resource);");
    let told = place.problem();
    for part in [
        "a.toml:1:3: unknown field `target`",
        "b.toml:2:10: no target \"x\"",
        "c/p.cedar:1:",
        "Action::\"select\"",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn what_editors_of_windows_write_is_read_as_what_it_says() {
    let place = Place::new();
    place.write(
        "t.toml",
        "\u{feff}[[targets]]\r\nname = \"a\"\r\nhost = \"h\"\r\nuser = \"u\"\r\ndatabase = \"d\"\r\n",
    );
    place.write("p.cedar", "\u{feff}@id(\"all\")\r\npermit (principal, action, resource);\r\n");
    let wanted = Wanted::read(place.0.path()).expect("files");
    assert_eq!(wanted.configuration.targets.len(), 1);
    assert!(wanted.configuration.policies[0].text.starts_with("@id"));
}

#[test]
fn what_is_no_file_or_has_no_end_is_said_and_not_waited_for() {
    let place = Place::new();
    place.write("p.cedar", "@id(\"all\") permit (principal, action, resource);");
    place.write("mounted", TARGET);
    let odd = place.0.path().join("odd.toml");
    for (make, told) in [
        ("mkfifo odd.toml", "odd.toml: it is named as a file is, and is none or leads to none"),
        ("ln -s /dev/zero odd.toml", "odd.toml: it is named as a file is, and is none or leads to none"),
        ("ln -s nowhere odd.toml", "odd.toml: it is named as a file is, and is none or leads to none"),
        ("truncate --size 17M odd.toml", "odd.toml: it is longer than 16 MiB"),
    ] {
        let made = std::process::Command::new("sh").args(["-c", make]).current_dir(place.0.path()).status();
        assert!(made.expect("a shell").success(), "{make}");
        assert_eq!(place.problem(), told, "{make}");
        std::fs::remove_file(&odd).expect("removed");
    }
    // The neighbour: a link to a file, as Kubernetes mounts them.
    std::os::unix::fs::symlink("mounted", &odd).expect("a link");
    assert_eq!(Wanted::read(place.0.path()).expect("files").configuration.targets.len(), 1);
}
