//! What is wrong is told with the file, the line and the column in which it stands, also where only the whole can tell that it is.

use super::{DURWARD, Gateway, free_port, text};

#[test]
fn what_dangles_in_durward_toml_is_told_with_its_place() {
    let none = "/nonexistent/none";
    for (typed, says) in [
        (
            "[credentials.a]\nfile = \"x\"\n[credentials.orders]\nvault = \"databases/orders\"\n".to_owned(),
            "durward.toml:9:14: credentials.orders is in a vault, and there is no [vault]",
        ),
        (
            format!("[vault]\naddress = \"http://127.0.0.1:1\"\ntoken = {{ file = \"{none}\" }}\n"),
            "durward.toml:9:1: vault.token: /nonexistent/none: ",
        ),
        (
            "[webhooks.ops]\nurl = \"https://example.com/x\"\nsecret = { env = \"NO_SUCH_VARIABLE\" }\n".to_owned(),
            "durward.toml:9:1: webhooks.ops.secret: NO_SUCH_VARIABLE is not set",
        ),
        (
            "[slack]\nchannel = \"C0123456789\"\ntoken = { command = [\"echo\", \"x\"] }\nsigning_secret = { command = [\"echo\", \"x\"] }\n"
                .to_owned(),
            "durward.toml:10:1: slack.signing_secret: console.public_url is missing",
        ),
        ("[log]\nlevel = \"gateway=lound\"\n".to_owned(), "durward.toml:8:1: log.level \"gateway=lound\""),
        ("[log]\nlevel = \"info\"\n[slak]\n".to_owned(), "durward.toml:9:2: unknown field `slak`"),
        (
            "[agents]\nlisten = \"127.0.0.1:1\"\nurls = [\"https://gate.example.com\"]\n[agents.authorization]\n".to_owned(),
            "durward.toml:10:9: agents.authorization: clients come from elsewhere",
        ),
        (
            format!("tls = {{ certificate = \"{none}\", key = \"{none}\" }}\npublic_url = \"https://a.example.com\"\n"),
            "durward.toml:7:1: console.tls: cannot read /nonexistent/none",
        ),
    ] {
        let place = tempfile::tempdir().expect("a directory");
        let (clients, admin) = (free_port(), free_port());
        let head = format!(
            "data = \"state\"\n\n[postgres]\nlisten = \"127.0.0.1:{clients}\"\n[console]\nlisten = \"127.0.0.1:{admin}\"\n"
        );
        let config = place.path().join("durward.toml");
        std::fs::write(&config, format!("{head}{typed}")).expect("written");
        let ended = std::process::Command::new("timeout")
            .args(["30", DURWARD, "serve", "-c"])
            .arg(&config)
            .output()
            .expect("it runs");
        let said = text(&ended.stderr).replace(&format!("{}/", place.path().display()), "");
        assert!(!ended.status.success() && said.contains(says), "{typed}\n→ {said}\nhas not {says}");
    }
}

#[test]
fn what_only_the_gateway_can_tell_is_told_with_its_place_in_the_files() {
    let gateway = Gateway::start_with("[credentials.orders]\nfile = \"/nonexistent\"\n", |_| ());
    let target = "[[targets]]\nname = \"orders\"\nhost = \"127.0.0.1\"\nuser = \"u\"\ndatabase = \"d\"\n";
    let issuer = "[[issuers]]\nname = \"company\"\nissuer = \"http://127.0.0.1:1\"\naudience = \"a\"\n\
                  principals = [{ kind = \"user\", name = \"email\" }]\n";
    let digest = format!("digest = \"sha256:{}\"", "a1".repeat(32));
    let meant = ": did you mean \"orders\"?";
    for (typed, place, says) in [
        (format!("{target}credential = \"ordrs\"\n"), "t.toml:6:14: ", meant),
        (format!("{issuer}console_client = \"a\"\nconsole_credential = \"ordrs\"\n"), "t.toml:7:22: ", meant),
        (
            format!("{issuer}introspection = {{ client_id = \"c\", credential = \"ordrs\" }}\n"),
            "t.toml:6:49: ",
            meant,
        ),
        (
            format!(
                "{target}[targets.functions.\"a.f()\"]\n{digest}\neffects = [\"updat=a.b\"]\nholds = []\n"
            ),
            "t.toml:7:10: ",
            "there is no action updat",
        ),
    ] {
        let files = gateway.path("files");
        std::fs::create_dir_all(&files).expect("made");
        std::fs::write(files.join("t.toml"), &typed).expect("written");
        let files = files.to_str().expect("UTF-8");
        for words in [&["apply", "-f"][..], &["apply", "--dry-run", "-f"], &["diff", "-f"]] {
            let (code, _, said) = gateway.run(&[words, &[files]].concat());
            let said = said.replace(&format!("{files}/"), "");
            assert!(
                code == 2 && said.contains(&format!("durward: {place}")) && said.contains(says),
                "{typed}\n→ {code} {said}\nhas not {place} {says}"
            );
        }
    }
}
