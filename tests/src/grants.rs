//! Standing grants cover what is alike to the request that they were given from, for whom, where and while they were given, and
//! nothing else; what waits alike is answered together, and each of it by itself.

use std::process::Output;
use std::time::{Duration, Instant};

use testkit::durward::{Durward, Target};
use testkit::json::Json;
use tokio_postgres::Client;

use crate::rig::{DATABASE, Rig, Way, binary, server};

const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("writes") permit (principal, action in [Action::"write", Action::"define"], resource);
@id("held") @approvers("admins,dba") @grant("1h") @ceiling("9")
forbid (principal, action in [Action::"write", Action::"define"], resource)
unless { context.approvals.contains("held") };
"#;

/// Whoever sends a held statement waits so long for its answer.
const SHORT: &str = "[limits]\nhold = \"1s\"\n";
/// For what takes as long as it takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// It waits for an answer.
const ASKS: Option<&str> = Some("ZD001");
/// It changed too many rows, and was taken back.
const TOO_MANY: Option<&str> = Some("ZD006");

const SAMPLE: &str = "CREATE TABLE shop (id int PRIMARY KEY, grp int, total int, note text);
    INSERT INTO shop SELECT n, n / 4, 0, 'x' FROM generate_series(1, 12) n;
    CREATE TABLE other (id int PRIMARY KEY, grp int, total int, note text);
    INSERT INTO other SELECT * FROM shop;";

fn rig_with(settings: &str, policy: &str) -> Rig {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let target = Target::new(DATABASE, server.port(), DATABASE);
    Rig::of(server, &target, settings, policy)
}

/// A command on a gateway: what it printed where it succeeded, else what it said.
fn run(gateway: &Durward, arguments: &[&str]) -> Result<String, String> {
    run_as(gateway, None, arguments)
}

fn run_as(gateway: &Durward, secret: Option<&str>, arguments: &[&str]) -> Result<String, String> {
    let mut command = gateway.command(arguments);
    if let Some(secret) = secret {
        command.env_remove("DURWARD_ADMIN_SECRET").env("DURWARD_APPROVER_SECRET", secret);
    }
    let Output { status, stdout, stderr } = tokio::task::block_in_place(|| command.output()).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if status.success() { Ok(text(&stdout)) } else { Err(text(&stderr)) }
}

fn json(gateway: &Durward, arguments: &[&str]) -> Json {
    Json::parse(&run(gateway, arguments).unwrap()).unwrap()
}

fn field(json: &Json, name: &str) -> String {
    json.at(name).and_then(Json::text).unwrap_or_default().to_owned()
}

/// The SQLSTATE with which a statement failed, or nothing.
async fn sent(client: &Client, sql: &str) -> Option<String> {
    match client.batch_execute(sql).await {
        Ok(()) => None,
        Err(error) => Some(error.code().unwrap_or_else(|| panic!("{sql}: {error}")).code().to_owned()),
    }
}

async fn asked(gateway: &Durward, client: &Client, sql: &str) -> String {
    assert_eq!(sent(client, sql).await.as_deref(), ASKS, "{sql}");
    tokio::task::block_in_place(|| gateway.waiting_request()).unwrap().expect("a request")
}

/// A standing grant from a statement that is asked for.
async fn given(gateway: &Durward, client: &Client, sql: &str, more: &[&str]) -> String {
    let request = asked(gateway, client, sql).await;
    let give = [&["grants", "give", &request, "--json"], more].concat();
    field(&json(gateway, &give), "id")
}

fn shown(gateway: &Durward, id: &str) -> (String, String, u64) {
    let all = json(gateway, &["grants", "show", id, "--json"]);
    let grant = all.at("grant").expect("a grant");
    let used = grant.at("used").and_then(Json::number).unwrap_or_default();
    (field(grant, "state"), field(grant, "ended"), used as u64)
}

/// Denies what waits, so that it is no matter of what comes next.
fn clear(gateway: &Durward) {
    while let Some(id) = tokio::task::block_in_place(|| gateway.waiting_request()).unwrap() {
        run(gateway, &["requests", "deny", &id]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_covers_the_same_statement_with_other_plain_values_and_nothing_else() {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    let targets = [DATABASE, "elsewhere"].map(|name| Target::new(name, server.port(), DATABASE));
    let rig = Rig::of(server, &targets[0], SHORT, POLICY);
    tokio::task::block_in_place(|| rig.gateway.apply(&targets, &[("test", POLICY)])).unwrap();
    let other = tokio::task::block_in_place(|| rig.gateway.token("another")).unwrap();
    let (bot, later) = (rig.through().connect().await, rig.through().connect().await);
    let another = Way { port: rig.gateway.port(), password: other }.connect().await;
    let mut elsewhere = rig.through().config();
    elsewhere.dbname("elsewhere");
    let (elsewhere, connection) = elsewhere.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let moved = rig.through().connect().await;
    moved.batch_execute("SET timezone = 'Asia/Tokyo'").await.unwrap();

    let update = given(
        &rig.gateway,
        &bot,
        "UPDATE shop SET total = 7 WHERE grp = 0 AND note LIKE 'x%'",
        &["--most", "4"],
    )
    .await;
    let kept =
        given(&rig.gateway, &bot, "INSERT INTO shop VALUES (100, 50, 1, 'kept')", &["--keep", "4"]).await;
    for (who, sql, expected) in [
        (&bot, "UPDATE shop SET total = 8 WHERE grp = 1 AND note LIKE 'x%'", None),
        (&later, "UPDATE shop SET total = 9 -- why\n WHERE grp = 2 AND note LIKE 'x%'", None),
        (&bot, "INSERT INTO shop VALUES (101, 50, 2, 'kept')", None),
        // Another shape, with values that would change what it means.
        (&bot, "UPDATE shop SET total = 8 WHERE grp = 1 AND note LIKE '%'", ASKS),
        (&bot, "UPDATE shop SET total = 8 WHERE grp <> 1 AND note LIKE 'x%'", ASKS),
        (&bot, "UPDATE shop SET total = 8 WHERE grp = grp AND note LIKE 'x%'", ASKS),
        (&bot, "UPDATE shop SET total = 8 WHERE grp IN (1) AND note LIKE 'x%'", ASKS),
        (&bot, "UPDATE shop SET grp = 8 WHERE grp = 1 AND note LIKE 'x%'", ASKS),
        (&bot, "UPDATE other SET total = 8 WHERE grp = 1 AND note LIKE 'x%'", ASKS),
        (&bot, "UPDATE shop SET total = 8", ASKS),
        (&bot, "UPDATE shop SET total = 8 WHERE grp = 1 AND note LIKE 'x%'; SELECT 1", ASKS),
        (&bot, "DELETE FROM shop WHERE grp = 1 AND note LIKE 'x%'", ASKS),
        (&bot, "INSERT INTO shop VALUES (102, 50, 2, 'other')", ASKS),
        (&bot, "INSERT INTO shop VALUES (103, 50, 2, 'kept'), (104, 50, 2, 'kept')", ASKS),
        // Other settings, another agent, another target.
        (&moved, "UPDATE shop SET total = 8 WHERE grp = 1 AND note LIKE 'x%'", ASKS),
        (&another, "UPDATE shop SET total = 8 WHERE grp = 1 AND note LIKE 'x%'", ASKS),
        (&elsewhere, "UPDATE shop SET total = 8 WHERE grp = 1 AND note LIKE 'x%'", ASKS),
        // It still covers what it covers.
        (&bot, "UPDATE shop SET total = 3 WHERE grp = 1 AND note LIKE 'x%'", None),
    ] {
        assert_eq!(sent(who, sql).await.as_deref(), expected, "{sql}");
        clear(&rig.gateway);
    }
    let values = "SELECT string_agg(DISTINCT total::text, ',' ORDER BY total::text) FROM shop WHERE grp = ";
    for (grp, totals) in [(0, "0"), (1, "3"), (2, "9"), (3, "0"), (50, "2")] {
        let found = rig.server.sql(DATABASE, &format!("{values}{grp}")).unwrap();
        assert_eq!(found.trim(), totals, "{grp}");
    }
    assert_eq!(shown(&rig.gateway, &update), ("in force".to_owned(), String::new(), 3));
    assert_eq!(shown(&rig.gateway, &kept), ("in force".to_owned(), String::new(), 1));
    // Each use is on record before what it lets through, and no value is.
    let journal = rig.gateway.records().unwrap();
    let used = journal.find(&format!("\"grant\":\"{update}\",\"grant_use\":1")).expect("a use");
    assert!(journal[used..].contains("\"kind\":\"allowed\""));
    assert!(journal.contains("standing grant given") && !journal.contains("'kept'"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_more_rows_than_a_grant_says_is_taken_back() {
    let rig = rig_with(SHORT, POLICY);
    rig.server.sql(DATABASE, "UPDATE shop SET grp = 9 WHERE id > 6").unwrap();
    let client = rig.through().connect().await;
    given(&rig.gateway, &client, "DELETE FROM shop WHERE grp = 77", &["--most", "3"]).await;
    let rows = || rig.server.sql(DATABASE, "SELECT count(*) FROM shop").unwrap().trim().to_owned();
    for (sql, expected, left) in [
        ("DELETE FROM shop WHERE grp = 9", TOO_MANY, "12"),
        ("DELETE FROM shop WHERE grp = 0", None, "9"),
        // In a block, too.
        ("BEGIN; ROLLBACK", None, "9"),
    ] {
        assert_eq!(sent(&client, sql).await.as_deref(), expected, "{sql}");
        assert_eq!(rows(), left, "{sql}");
    }
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(sent(&client, "DELETE FROM shop WHERE grp = 9").await.as_deref(), TOO_MANY);
    client.batch_execute("ROLLBACK").await.unwrap();
    // With parameters it is another statement, which is asked for by itself, and covered by a grant of its own.
    let text = "DELETE FROM shop WHERE grp = $1";
    let code = |error: tokio_postgres::Error| error.code().expect("a SQLSTATE").code().to_owned();
    assert_eq!(client.execute(text, &[&77_i32]).await.map_err(code).err().as_deref(), ASKS);
    let request = tokio::task::block_in_place(|| rig.gateway.waiting_request()).unwrap().expect("a request");
    run(&rig.gateway, &["grants", "give", &request, "--most", "3"]).unwrap();
    assert_eq!(client.execute(text, &[&1_i32]).await.unwrap(), 3);
    assert_eq!(client.execute(text, &[&9_i32]).await.map_err(code).err().as_deref(), TOO_MANY);
    assert_eq!(rows(), "6");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_is_over_covers_nothing_and_says_why() {
    let rig = rig_with(SHORT, POLICY);
    let gateway = &rig.gateway;
    let client = rig.through().connect().await;
    let target = Target::new(DATABASE, rig.server.port(), DATABASE);
    let apply = |policy: &str| {
        tokio::task::block_in_place(|| gateway.apply(std::slice::from_ref(&target), &[("test", policy)]))
            .unwrap();
    };
    let add = || run(gateway, &["approver", "add", "dora", "--group", "dba"]).unwrap().trim().to_owned();
    let statement = |n: usize| format!("UPDATE shop SET total = {n} WHERE id = 1");
    // What happens, what is said of the grant then, and what comes of the statement.
    type Happens<'a> = Box<dyn Fn(&str) + 'a>;
    let cases: Vec<(&str, Happens<'_>, &str, Option<&str>)> = vec![
        (
            "it is revoked",
            Box::new(|id| drop(run(gateway, &["grants", "revoke", id]).unwrap())),
            "revoked by",
            ASKS,
        ),
        (
            "the table is altered",
            Box::new(|_| drop(rig.server.sql(DATABASE, "ALTER TABLE shop ADD CHECK (total > -9)").unwrap())),
            "the table public.shop was altered",
            ASKS,
        ),
        (
            "its giver is removed",
            Box::new(|_| drop(run(gateway, &["approver", "remove", "dora"]).unwrap())),
            "does not answer any more",
            ASKS,
        ),
        (
            "its giver answers for others alone",
            Box::new(|_| apply(&POLICY.replace("admins,dba", "admins,owners"))),
            "",
            ASKS,
        ),
        (
            "policy lets no grant be given",
            Box::new(|_| apply(&POLICY.replace("@grant(\"1h\")", ""))),
            "",
            ASKS,
        ),
        (
            "policy denies it",
            Box::new(|_| {
                let deny = "@id(\"no\") forbid (principal, action in Action::\"write\", resource);";
                apply(&format!("{POLICY}{deny}"));
            }),
            "",
            Some("42501"),
        ),
        (
            "the target is frozen",
            Box::new(|_| drop(run(gateway, &["freeze", "all", "--reason", "a test"]).unwrap())),
            "",
            Some("ZD005"),
        ),
    ];
    for (case, happens, says, expected) in cases {
        apply(POLICY);
        let dora = add();
        let request = asked(gateway, &client, &statement(1)).await;
        let give = ["grants", "--as", "dora", "give", &request, "--json"];
        let id = field(&Json::parse(&run_as(gateway, Some(&dora), &give).unwrap()).unwrap(), "id");
        assert_eq!(sent(&client, &statement(2)).await, None, "{case}: before");
        happens(&id);
        assert_eq!(sent(&client, &statement(3)).await.as_deref(), expected, "{case}");
        let (state, ended, used) = shown(gateway, &id);
        assert!(ended.contains(says) && used == 1, "{case}: {state} {ended} {used}");
        assert_eq!(says.is_empty(), state == "in force", "{case}: {state}");
        clear(gateway);
        let _ = run(gateway, &["approver", "remove", "dora"]);
        let _ = run(gateway, &["grants", "revoke", &id]);
        for freeze in json(gateway, &["freezes", "--json"]).items() {
            run(gateway, &["thaw", &field(freeze, "id")]).unwrap();
        }
    }
    apply(POLICY);
    // Used up, and out of time.
    let id = given(gateway, &client, &statement(1), &["--uses", "1"]).await;
    assert_eq!(sent(&client, &statement(4)).await, None);
    assert_eq!(sent(&client, &statement(5)).await.as_deref(), ASKS);
    assert_eq!(shown(gateway, &id).0, "used up");
    clear(gateway);
    let id = given(gateway, &client, &statement(1), &["--for", "2s"]).await;
    let start = Instant::now();
    while shown(gateway, &id).0 == "in force" {
        assert!(start.elapsed() < PATIENCE, "its time is over some time");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(sent(&client, &statement(6)).await.as_deref(), ASKS);
    assert_eq!(shown(gateway, &id).0, "expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_is_given_by_whom_the_rule_names_and_by_nobody_for_themselves() {
    let rig = rig_with(SHORT, POLICY);
    let gateway = &rig.gateway;
    let target = Target::new(DATABASE, rig.server.port(), DATABASE);
    let apply = |policy: &str| {
        tokio::task::block_in_place(|| gateway.apply(std::slice::from_ref(&target), &[("test", policy)]))
            .unwrap();
    };
    let secret = |name: &str, group: &str| {
        run(gateway, &["approver", "add", name, "--group", group]).unwrap().trim().to_owned()
    };
    let (alice, sam, dora) = (secret("alice", "dba"), secret("sam", "sales"), secret("dora", "dba"));
    let token =
        run(gateway, &["token", "issue", "agent:bot", "--for", "user:corp/alice"]).unwrap().trim().to_owned();
    let client = Way { port: gateway.port(), password: token.clone() }.connect().await;
    let request = asked(gateway, &client, "UPDATE shop SET total = 1 WHERE id = 1").await;
    let give = |name: &'static str, secret: &str, request: &str, more: &[&str]| {
        run_as(gateway, Some(secret), &[&["grants", "--as", name, "give", request], more].concat())
    };
    for (name, secret, more, says) in [
        ("alice", &alice, &[][..], "nobody approves what they ask for themselves"),
        ("sam", &sam, &[], "there is no request"),
        ("dora", &token, &[], "secret"),
        ("dora", &dora, &["--for", "2h"], "policy lets a grant last from 1 to 3600 seconds"),
        ("dora", &dora, &["--keep", "9"], "$9 is no value that may differ"),
    ] {
        let said = give(name, secret, &request, more).unwrap_err();
        assert!(said.contains(says), "{name} {more:?}: {said}");
    }
    assert!(json(gateway, &["grants", "ls", "--json"]).items().is_empty());
    assert!(give("dora", &dora, &request, &[]).unwrap().contains("$1 = any value"));
    assert_eq!(sent(&client, "UPDATE shop SET total = 2 WHERE id = 2").await, None);
    // Who answers for nothing of it neither sees nor revokes it.
    let id = field(&json(gateway, &["grants", "ls", "--json"]).items()[0], "id");
    for command in ["show", "revoke"] {
        let said = run_as(gateway, Some(&sam), &["grants", "--as", "sam", command, &id]).unwrap_err();
        assert!(said.contains("there is no standing grant"), "{said}");
    }
    // What has no rows that can be bounded, was denied, or is asked of two, is no matter of grants.
    let client = rig.through().connect().await;
    for (policy, sql, deny, says) in [
        (POLICY.to_owned(), "CREATE TABLE made (id int)", false, "nothing is taken for alike to it"),
        (POLICY.to_owned(), "UPDATE shop SET total = 3 WHERE id = 3", true, "the request is denied"),
        (
            POLICY.replace("@grant(\"1h\")", "@grant(\"never\")"),
            "DELETE FROM shop WHERE id = 3",
            false,
            "lets nobody give",
        ),
        (
            POLICY.replace("@grant", "@quorum(\"2\") @grant"),
            "DELETE FROM shop WHERE id = 4",
            false,
            "asks more than one person",
        ),
    ] {
        apply(&policy);
        let request = asked(gateway, &client, sql).await;
        if deny {
            run(gateway, &["requests", "deny", &request]).unwrap();
        }
        let said = give("dora", &dora, &request, &[]).unwrap_err();
        assert!(said.contains(says), "{sql}: {said}");
        clear(gateway);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_one_line_answered_as_it_was_seen_and_a_grant_answers_all_of_it() {
    let rig = rig_with("[limits]\nhold = \"50s\"\n", POLICY);
    let gateway = &rig.gateway;
    let burst = async |from: usize, to: usize| {
        let mut all = Vec::new();
        for n in from..=to {
            let client = rig.through().connect().await;
            all.push(tokio::spawn(async move {
                sent(&client, &format!("UPDATE shop SET total = {n} WHERE id = {n}")).await
            }));
        }
        all
    };
    let waiting = async |count: usize| {
        let start = Instant::now();
        loop {
            let found = json(gateway, &["requests", "ls", "--json"]);
            if found.items().len() == count {
                return field(&found.items()[0], "id");
            }
            assert!(start.elapsed() < PATIENCE, "{count} wait");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut all = burst(1, 3).await;
    let id = waiting(3).await;
    let listed = run(gateway, &["requests", "ls"]).unwrap();
    assert!(
        listed.contains("(and 2 alike: durward requests alike") && listed.lines().count() == 2,
        "{listed}"
    );
    let mark = |id: &str| {
        let shown = run(gateway, &["requests", "alike", id]).unwrap();
        shown.split_whitespace().last().expect("a mark").to_owned()
    };
    let seen = mark(&id);
    // One comes behind that: what was seen is not what waits.
    all.extend(burst(4, 4).await);
    waiting(4).await;
    let said = run(gateway, &["requests", "approve", &id, "--alike", &seen]).unwrap_err();
    assert!(said.contains("others wait by now than those that you saw"), "{said}");
    let said = run(gateway, &["requests", "approve", &id, "--alike", &mark(&id)]).unwrap();
    assert_eq!(said.matches("is approved").count(), 4, "{said}");
    for one in all {
        assert_eq!(one.await.unwrap(), None);
    }
    // Those that wait go on by a grant, each as one use of it.
    let all = burst(5, 8).await;
    let id = waiting(4).await;
    let given = field(&json(gateway, &["grants", "give", &id, "--json"]), "id");
    for one in all {
        assert_eq!(one.await.unwrap(), None);
    }
    assert_eq!(shown(gateway, &given).2, 4);
    let done = rig.server.sql(DATABASE, "SELECT count(*) FROM shop WHERE total = id").unwrap();
    assert_eq!(done.trim(), "8");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_holds_on_every_gateway_and_is_revoked_on_every_one() {
    let server = server(&[]);
    server.sql(DATABASE, SAMPLE).unwrap();
    server.sql("postgres", "CREATE DATABASE state").unwrap();
    let keys = testkit::Scratch::new("keys").unwrap();
    let head = format!(
        "master_key = {{ file = \"{}\" }}\n[store]\nurl = \"postgres://postgres@127.0.0.1:{}/state?sslmode=disable\"\n\
         [limits]\nhold = \"1s\"\n",
        keys.join("master.key").display(),
        server.port()
    );
    let target = Target::new(DATABASE, server.port(), DATABASE);
    let (one, other) = tokio::task::block_in_place(|| {
        let one = Durward::start_sharing(&binary(), &head, None).unwrap();
        let secret = one.secret().to_owned();
        let other = Durward::start_sharing(&binary(), &head, Some(&secret)).unwrap();
        one.apply(std::slice::from_ref(&target), &[("test", POLICY)]).unwrap();
        (one, other)
    });
    let token = tokio::task::block_in_place(|| one.token("tester")).unwrap();
    let way = |gateway: &Durward| Way { port: gateway.port(), password: token.clone() };
    let start = Instant::now();
    let there = loop {
        // What was applied on the one comes to the other by itself.
        match way(&other).config().connect(tokio_postgres::NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                break client;
            }
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let here = way(&one).connect().await;
    let id = given(&one, &here, "UPDATE shop SET total = 1 WHERE id = 1", &["--uses", "3"]).await;
    for (client, n) in [(&there, 2), (&here, 3)] {
        assert_eq!(sent(client, &format!("UPDATE shop SET total = {n} WHERE id = {n}")).await, None, "{n}");
    }
    run(&other, &["grants", "revoke", &id]).unwrap();
    for client in [&here, &there] {
        assert_eq!(sent(client, "UPDATE shop SET total = 9 WHERE id = 9").await.as_deref(), ASKS);
    }
    assert_eq!(shown(&one, &id).2, 2);
    drop((one, other));
}
