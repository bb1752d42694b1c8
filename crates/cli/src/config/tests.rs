//! What is typed, and what it means.

use std::time::Duration;

use gateway::gateway::Retention;

use super::*;

fn read(text: &str) -> Result<Settings, String> {
    typed::toml::<Typed>(Path::new("durward.toml"), text).map(|t| t.settings(Path::new("/etc/durward")))
}

#[test]
fn an_empty_file_is_a_gateway_on_the_loopback() {
    let settings = read("").expect("settings");
    assert_eq!((settings.postgres, settings.console), (vec![here(7432)], here(7300)));
    assert_eq!(settings.master_key, Source::File(settings.data.join("master.key")));
}

#[test]
fn one_address_needs_no_list() {
    let settings = read("[postgres]\nlisten = \"127.0.0.1:7432\"").expect("settings");
    assert_eq!(settings.postgres, [here(7432)]);
}

#[test]
fn targets_may_have_all_listeners_there_are() {
    let settings = read("[postgres]\nlisten = []\ntargets = { a = \"127.0.0.1:7432\" }").expect("settings");
    assert_eq!((settings.postgres, settings.targets.len()), (vec![], 1));
}

#[test]
fn everything_that_can_be_said_is_taken() {
    let settings = read(
        "data = \"state\"\napply = \"files\"\nwatch = false\nmaster_key = { command = [\"pass\", \"show\", \"durward\"] }\n\
         [postgres]\nlisten = [\"0.0.0.0:7432\"]\ntls = { certificate = \"c.pem\", key = \"/k.pem\" }\nlogin = \"5s\"\n\
         connections = 10\nconnections_per_address = 3\ntargets = { orders-db = \"127.0.0.1:7433\" }\nnames = { \"Orders.Gate.example.com\" = \"orders-db\" }\n\
         [console]\nlisten = \"[::1]:7301\"\nhosts = [\"gate.example.com\"]\n\
         [agents]\nurls = [\"https://gate.example.com\"]\n\
         [log]\nformat = \"json\"\nlevel = \"debug\"\n[limits]\nhold = \"1m\"\nhold_in_block = \"10s\"\ndrain = \"20s\"\n\
         sessions_of_one = 20\ntokens_of_one = 30\nrequests_of_one = 1000\nrequests_in_all = 2000\n\
         [mcp]\ncalls = 4\nrows = 50\nbytes = 1000\ntime = \"30s\"\n\
         [recordings]\ndirectory = \"/mnt/rec\"\nbytes_per_operation = 4096\n\
         [retention]\ntokens = \"30d\"\nrecordings = \"1d\"\n[break_glass]\ncommand = [\"page\", \"oncall\"]\n",
    )
    .expect("settings");
    assert_eq!(settings.data, Path::new("/etc/durward/state"));
    assert_eq!(settings.tls, Some(("/etc/durward/c.pem".into(), "/k.pem".into())));
    assert_eq!((settings.bounds.connections, settings.bounds.per_address), (10, 3));
    assert_eq!(settings.bounds.login, Duration::from_secs(5));
    assert_eq!(settings.limits.hold, Duration::from_secs(60));
    assert_eq!((settings.limits.sessions_of_one, settings.limits.tokens_of_one), (Some(20), 30));
    let calls = &settings.limits.calls;
    assert_eq!((calls.at_once, calls.rows, calls.bytes), (4, 50, 1000));
    assert_eq!(calls.time, Duration::from_secs(30));
    assert_eq!((settings.limits.requests_of_one, settings.limits.requests_in_all), (1000, 2000));
    assert_eq!((settings.log.format, settings.log.level.as_str()), (LogFormat::Json, "debug"));
    assert!(matches!(settings.master_key, Source::Command(_)));
    assert_eq!(settings.targets, BTreeMap::from([("orders-db".to_owned(), here(7433))]));
    let named = ("orders.gate.example.com".to_owned(), TargetName::new("orders-db"));
    assert_eq!(settings.names, BTreeMap::from([named]));
    assert!(settings.hosts.contains("gate.example.com"));
    let directory = PathBuf::from("/etc/durward/files");
    assert_eq!(settings.apply, Some(Applying { directory: directory.clone(), prune: false }));
    assert!(!settings.watch);
    let pruned = read("apply = { directory = \"files\", prune = true }").expect("settings");
    assert_eq!((pruned.apply, pruned.watch), (Some(Applying { directory, prune: true }), true));
    let urls = BTreeSet::from(["https://gate.example.com".to_owned()]);
    assert_eq!(settings.agents, Some(Agents { listen: here(7380), urls, tls: None, authorization: None }));
    assert_eq!(settings.alarm, Some(vec!["page".to_owned(), "oncall".to_owned()]));
    let days = |n: u64| Duration::from_secs(n * 24 * 3600);
    assert_eq!(
        settings.limits.retention,
        Retention { tokens: days(30), requests: days(90), recordings: days(1) }
    );
    assert_eq!((settings.recordings, settings.limits.recorded), (PathBuf::from("/mnt/rec"), 4096));
    let usual = read("data = \"state\"").expect("settings");
    assert_eq!((usual.recordings, usual.limits.recorded), (usual.data.join("recordings"), 262_144));
}

#[test]
fn a_store_on_a_server_is_an_address_or_more() {
    let url = "postgres://durward@db.example.com/durward";
    let short = read(&format!("store = \"{url}\"")).expect("settings");
    assert_eq!(short.store, Some(SharedStore { url: url.to_owned(), password: None }));
    assert_eq!(short.limits.lease, Duration::from_secs(5));
    let long = format!("[store]\nurl = \"{url}\"\npassword = {{ file = \"p\" }}\nlease = \"2s\"");
    let long = read(&long).expect("settings");
    let password = Some(Source::File("/etc/durward/p".into()));
    assert_eq!(long.store, Some(SharedStore { url: url.to_owned(), password }));
    assert_eq!(long.limits.lease, Duration::from_secs(2));
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    for (text, begins) in [
        ("[recordings]\nbytes_per_operation = 9000000", "durward.toml:2:23: at most 8388608"),
        ("store = \"mysql://x\"", "durward.toml:1:9: a store is written postgres://"),
        ("store = \"postgres://u:hunter2@h/d\"", "durward.toml:1:9: there is a password in the address"),
        ("[store]\nurl = \"postgres://u@h/d\"\nleese = \"1s\"", "durward.toml:3:1: unknown field `leese`"),
        ("dta = \"x\"", "durward.toml:1:1: unknown field `dta`"),
        ("\n[postgres]\nlisen = []", "durward.toml:3:1: unknown field `lisen`"),
        (
            "[console]\nlisten = \"0.0.0.0:7300\"",
            "durward.toml:1:1: 0.0.0.0:7300 can be reached from elsewhere",
        ),
        ("[console]\ntrusted_proxy = [\"10.0.0.7\"]", "durward.toml:1:1: public_url is missing"),
        ("[console]\ntrusted_proxy = [\"10.0.0.7/8\"]", "durward.toml:2:17: \"10.0.0.7/8\" is no network"),
        (
            "[agents]\nlisten = \"0.0.0.0:7380\"",
            "durward.toml:1:1: 0.0.0.0:7380 can be reached from elsewhere, and tokens are told there",
        ),
        (
            "[limits]\nhold = 45",
            "durward.toml:2:8: invalid type: integer `45`, expected a time with its unit",
        ),
        ("[postgres]\nlisten = 7432", "durward.toml:2:10: invalid type: integer `7432`, expected an address"),
        ("[postgres]\nlisten = []", "durward.toml:1:1: nobody could connect: name at least one address"),
        (
            "[postgres]\nnames = { \"a.b\" = \"a\" }",
            "durward.toml:1:1: names are what TLS asks for: it needs tls",
        ),
        ("[postgres]\nlisten = \"7432\"", "durward.toml:2:10: \"7432\" is no address to listen on"),
        ("[limits]\nhold = \"5\"", "durward.toml:2:8: \"5\" is no time"),
        ("[log]\nformat = \"xml\"", "durward.toml:2:10: unknown variant `xml`"),
        ("[postgres]\ntls = { certificate = \"c\" }", "durward.toml:2:7: missing field `key`"),
        ("apply = { directory = \"x\", prun = true }", "durward.toml:1:28: unknown field `prun`"),
        ("apply = true", "durward.toml:1:9: invalid type: boolean `true`, expected a directory"),
        ("a b", "durward.toml:1:"),
    ] {
        let error = read(text).expect_err("an error");
        assert!(error.starts_with(begins), "{error}");
    }
}

#[test]
fn agents_may_come_from_elsewhere_where_they_come_by_tls() {
    let text = "[agents]\nlisten = \"0.0.0.0:7380\"\ntls = { certificate = \"c.pem\", key = \"k.pem\" }";
    let settings = read(text).expect("settings");
    let agents = settings.agents.as_ref().expect("agents");
    assert_eq!(agents.tls, Some(("/etc/durward/c.pem".into(), "/etc/durward/k.pem".into())));
    for (other, expected) in [
        (text.replace("c.pem", "d.pem"), &[][..]),
        (text.replace("7380", "7381"), &["agents"]),
        ("[agents]\nlisten = \"127.0.0.1:7380\"".to_owned(), &["agents"]),
        (String::new(), &["agents"]),
    ] {
        assert_eq!(settings.differs_for_good(&read(&other).expect("settings")), expected, "{other}");
    }
}

#[test]
fn browsers_come_from_elsewhere_by_tls_or_through_a_proxy_that_is_named() {
    let own = "[console]\nlisten = \"0.0.0.0:7300\"\npublic_url = \"https://gate.example.com\"\n";
    let tls = format!("{own}tls = {{ certificate = \"c.pem\", key = \"k.pem\" }}");
    let settings = read(&tls).expect("settings");
    assert_eq!(settings.console_tls, Some(("/etc/durward/c.pem".into(), "/etc/durward/k.pem".into())));
    let proxy = format!("{own}trusted_proxy = [\"10.0.0.0/8\", \"2001:db8::7\"]");
    assert_eq!(read(&proxy).expect("settings").public.trusted.len(), 2);
    for nobody in [own.to_owned(), format!("{own}trusted_proxy = []")] {
        let error = read(&nobody).expect_err("in clear, from elsewhere");
        assert!(error.contains("can be reached from elsewhere"), "{error}");
    }
    for (other, expected) in
        [(tls.replace("c.pem", "d.pem"), &[][..]), (proxy, &["console"]), (tls.clone(), &[])]
    {
        assert_eq!(settings.differs_for_good(&read(&other).expect("settings")), expected, "{other}");
    }
}

#[test]
fn what_cannot_change_while_it_runs_is_named() {
    let old = read("").expect("settings");
    for (text, expected) in [
        ("", &[][..]),
        ("apply = \"x\"\n[limits]\nhold = \"1m\"\n[retention]\ntokens = \"1d\"", &[]),
        ("[postgres]\ntls = { certificate = \"c\", key = \"k\" }", &[]),
        ("data = \"x\"", &["data", "recordings.directory", "master_key"]),
        ("[postgres]\nlisten = [\"127.0.0.1:1\"]", &["postgres.listen"]),
        ("[console]\nhosts = [\"h\"]\n[log]\nlevel = \"debug\"", &["console", "log"]),
    ] {
        let new = read(text).expect("settings");
        assert_eq!(old.differs_for_good(&new), expected, "{text}");
    }
}
