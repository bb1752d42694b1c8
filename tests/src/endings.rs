//! Access that ends: sessions of a revoked group, principal, token, of an expired one, of a policy that permits them no more
//! end within a second with the reason, no new ones begin, and everybody else notices nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::durward::{Durward, Target};
use testkit::json::Json;
use testkit::process::text;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::rig::{ALLOW_ALL, DATABASE, Rig};

/// What ends does so within this.
const SOON: Duration = Duration::from_secs(1);
/// Whatever is waited for comes within this, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(30);

fn token(gateway: &Durward, arguments: &[&str]) -> String {
    let mut command = gateway.command(&[&["token", "issue", "--json"], arguments].concat());
    let said = Json::parse(&text(&mut command).unwrap()).unwrap();
    said.at("token").and_then(Json::text).expect("a token").to_owned()
}

/// A session, and a task that ends with the server's last words, and when they came.
struct Session {
    client: Client,
    end: tokio::task::JoinHandle<(String, Instant)>,
}

impl Session {
    async fn open(rig: &Rig, token: &str) -> Result<Self, String> {
        let mut config = rig.through().config();
        let (client, connection) = config.password(token).connect(NoTls).await.map_err(|e| words(&e))?;
        let end = tokio::spawn(async move {
            let ended = connection.await;
            (ended.err().map(|e| words(&e)).unwrap_or_default(), Instant::now())
        });
        Ok(Self { client, end })
    }

    /// The last words, and how long after a moment they came.
    async fn ends(self, since: Instant) -> (String, Duration) {
        let (words, at) = tokio::time::timeout(PATIENCE, self.end).await.expect("it ends").unwrap();
        (words, at.saturating_duration_since(since))
    }

    async fn works(&self) {
        self.client.simple_query("SELECT 1").await.unwrap();
    }
}

fn words(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |e| format!("{} {}", e.code().code(), e.message()))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Opens so many sessions, half of them of a group; revokes the group; counts. Who stays runs a statement in each such time:
/// not so many that they alone keep a machine for tests busy.
#[track_caller]
fn a_group_is_revoked_among(count: usize, pace: Duration) {
    // The last sixteenth of a target is for those who have few.
    let rig = Rig::start(&[&format!("max_connections={}", count + count / 8 + 20)], ALLOW_ALL);
    let tokens = |group: &str| -> Vec<String> {
        (0..4).map(|n| token(&rig.gateway, &[&format!("agent:{group}-{n}"), "--group", group])).collect()
    };
    let (leaving, staying) = (tokens("contractors"), tokens("staff"));
    runtime().block_on(async {
        let mut sessions = (Vec::new(), Vec::new());
        for n in 0..count / 2 {
            sessions.0.push(Session::open(&rig, &leaving[n % 4]).await.unwrap());
            sessions.1.push(Session::open(&rig, &staying[n % 4]).await.unwrap());
        }
        // Those who stay go on working all the time; each statement counts.
        let (stop, worked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let work: Vec<_> = sessions
            .1
            .into_iter()
            .map(|session| {
                let (stop, worked) = (Arc::clone(&stop), Arc::clone(&worked));
                tokio::spawn(async move {
                    let mut slowest = Duration::ZERO;
                    while !stop.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        session.works().await;
                        slowest = slowest.max(begun.elapsed());
                        worked.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(pace).await;
                    }
                    (session, slowest)
                })
            })
            .collect();
        let revoke = ["revoke", "group", "contractors", "--reason", "the contract has ended", "--json"];
        let mut command = rig.gateway.command(&revoke);
        let said = tokio::task::spawn_blocking(move || text(&mut command).unwrap()).await.unwrap();
        let revoked = Instant::now();
        let said = Json::parse(&said).unwrap();
        assert_eq!(said.at("sessions").and_then(Json::number), Some((count / 2) as f64), "exactly those");

        let mut slowest = Duration::ZERO;
        for session in sessions.0 {
            let (words, after) = session.ends(revoked).await;
            assert_eq!(words, "28000 terminating connection: access was revoked: the contract has ended");
            slowest = slowest.max(after);
        }
        println!("{} of {count} sessions ended within {slowest:?}", count / 2);
        assert!(slowest < SOON, "the last session ended after {slowest:?}");
        let before = worked.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(worked.load(Ordering::Relaxed) > before, "who stays goes on");
        stop.store(true, Ordering::Relaxed);
        let mut noticed = Duration::ZERO;
        for task in work {
            let (session, slowest) = task.await.unwrap();
            session.works().await;
            noticed = noticed.max(slowest);
        }
        println!("the slowest statement of those who stay took {noticed:?}");
        let refused = Session::open(&rig, &leaving[0]).await.err().expect("a new session is refused");
        assert!(refused.starts_with("28000 access was revoked: the contract has ended"), "{refused}");
        Session::open(&rig, &staying[0]).await.unwrap().works().await;
    });
    assert_ended_on_record_within_a_second(&rig, count / 2);
}

/// By the journal alone: all of them were told why, within a second of the revocation.
#[track_caller]
fn assert_ended_on_record_within_a_second(rig: &Rig, count: usize) {
    let directory = rig.gateway.journal();
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
        lines.extend(text.lines().filter_map(|line| Json::parse(line).ok()));
    }
    let of = |line: &Json, name: &str| line.at(name).and_then(Json::text).unwrap_or_default().to_owned();
    let revoked = lines.iter().find(|l| of(l, "what") == "access revoked").expect("it is on record");
    let ended =
        lines.iter().filter(|l| of(l, "kind") == "killed" && of(l, "why").starts_with("access was revoked"));
    let times: Vec<String> = ended.map(|l| of(l, "time")).collect();
    assert_eq!(times.len(), count, "each end is on record");
    let (from, to) = (seconds(&of(revoked, "time")), times.iter().map(|t| seconds(t)).fold(0.0, f64::max));
    println!("by the journal the last was ended {:.3} s after the revocation", to - from);
    assert!(to - from < SOON.as_secs_f64(), "by the journal it took {} s", to - from);
}

/// The seconds of the day in `2026-11-26T04:40:51.123456Z`.
fn seconds(time: &str) -> f64 {
    let clock = time.split('T').nth(1).expect("a time").trim_end_matches('Z');
    clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a number"))
}

#[test]
fn a_revoked_group_ends_exactly_its_sessions_within_a_second() {
    a_group_is_revoked_among(200, Duration::from_millis(50));
}

#[test]
#[ignore = "it takes long: part of `cargo xtask conformance`"]
fn a_revoked_group_ends_exactly_its_sessions_among_a_thousand() {
    a_group_is_revoked_among(1000, Duration::from_secs(1));
}

/// What is revoked, by which words, and which of the tokens below it ends.
#[test]
fn a_revocation_concerns_whom_it_names_and_whoever_acts_for_them() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let who: [(&str, &[&str]); 4] = [
        ("alice", &["user:alice", "--group", "staff"]),
        ("for alice", &["agent:coder", "--for", "user:alice"]),
        ("for bob", &["agent:coder", "--for", "user:bob"]),
        ("bot", &["agent:bot", "--group", "nightly"]),
    ];
    let tokens: Vec<(&str, String)> =
        who.iter().map(|(name, args)| (*name, token(&rig.gateway, args))).collect();
    let id = |name: &str| {
        let (_, token) = tokens.iter().find(|(n, _)| *n == name).unwrap();
        token.rsplit_once('_').unwrap().0.to_owned()
    };
    let bots = id("bot");
    let cases: &[(&[&str], &[&str])] = &[
        (&["principal", "user:alice"], &["alice", "for alice"]),
        (&["principal", "agent:coder"], &["for alice", "for bob"]),
        (&["principal", "agent:Coder"], &["for alice", "for bob"]),
        (&["token", &bots], &["bot"]),
        (&["group", "nightly"], &["bot"]),
        (&["group", "Nightly"], &["bot"]),
        (&["group", "night"], &[]),
        (&["principal", "user:al"], &[]),
    ];
    runtime().block_on(async {
        for (what, concerned) in cases {
            let mut open = Vec::new();
            for (name, token) in &tokens {
                open.push((*name, Session::open(&rig, token).await.unwrap()));
            }
            let arguments = [&["revoke"], *what, &["--reason", "to be sure", "--json"]].concat();
            let said = Json::parse(&text(&mut rig.gateway.command(&arguments)).unwrap()).unwrap();
            let since = Instant::now();
            for (name, session) in open {
                if concerned.contains(&name) {
                    let (words, after) = session.ends(since).await;
                    assert!(words.ends_with("access was revoked: to be sure"), "{what:?} {name}: {words}");
                    assert!(after < SOON, "{what:?} {name}: {after:?}");
                } else {
                    session.works().await;
                }
            }
            for (name, token) in &tokens {
                let opened = Session::open(&rig, token).await;
                assert_eq!(opened.is_err(), concerned.contains(name), "{what:?} {name}: a new session");
            }
            let lift = said.at("revocation").and_then(|r| r.at("id")).and_then(Json::text).unwrap();
            text(&mut rig.gateway.command(&["revoke", "lift", lift])).unwrap();
            for (_, token) in &tokens {
                Session::open(&rig, token).await.unwrap().works().await;
            }
        }
    });
}

#[test]
fn a_revocation_outlives_a_restart_and_ends_when_it_was_said_to() {
    let mut rig = Rig::start(&[], ALLOW_ALL);
    let bots = token(&rig.gateway, &["agent:bot"]);
    text(&mut rig.gateway.command(&[
        "revoke",
        "principal",
        "agent:bot",
        "--reason",
        "a leak",
        "--lasting",
        "20s",
    ]))
    .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    rig.gateway.restart().unwrap();
    let listed = text(&mut rig.gateway.command(&["revoke", "ls"])).unwrap();
    assert!(listed.contains("agent:bot") && listed.contains("a leak"), "{listed}");
    runtime().block_on(async {
        let refused = Session::open(&rig, &bots).await.err().expect("it is refused");
        assert!(refused.contains("a leak") && Instant::now() < until, "{refused}");
        tokio::time::sleep_until((until + Duration::from_secs(1)).into()).await;
        Session::open(&rig, &bots).await.unwrap().works().await;
    });
    let listed = text(&mut rig.gateway.command(&["revoke", "ls"])).unwrap();
    assert!(!listed.contains("a leak"), "{listed}");
}

#[test]
fn what_runs_is_cancelled_at_its_target_when_its_session_is_ended() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let bots = token(&rig.gateway, &["agent:bot"]);
    let running = || {
        let asks = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()";
        rig.server.sql(DATABASE, asks).unwrap().trim().to_owned()
    };
    let wait = |count: &str| {
        let begun = Instant::now();
        while running() != count {
            assert!(begun.elapsed() < PATIENCE, "not {count} of them run");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    runtime().block_on(async {
        let session = Session::open(&rig, &bots).await.unwrap();
        let client = session.client;
        let query = tokio::spawn(async move { client.simple_query("SELECT pg_sleep(600)").await });
        tokio::task::block_in_place(|| wait("1"));
        text(&mut rig.gateway.command(&["revoke", "principal", "agent:bot", "--reason", "it runs wild"]))
            .unwrap();
        let error = query.await.unwrap().expect_err("it ends");
        assert!(words(&error).contains("it runs wild"), "{}", words(&error));
        tokio::task::block_in_place(|| wait("0"));
    });
}

/// Sessions that policy would not let begin any more end; the others go on.
#[test]
fn a_lost_grant_ends_the_sessions_that_it_was_for() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let (ours, theirs) = (
        token(&rig.gateway, &["agent:ours", "--group", "staff"]),
        token(&rig.gateway, &["agent:theirs", "--group", "contractors"]),
    );
    let target = Target::new(DATABASE, rig.server.port(), DATABASE);
    let apply = |policy: &str| rig.gateway.apply(std::slice::from_ref(&target), &[("test", policy)]).unwrap();
    let without = format!(
        "{ALLOW_ALL}@id(\"staff-only\") @reason(\"the migration is over\")\n\
         forbid (principal, action == Action::\"connect\", resource) unless {{ principal in Group::\"staff\" }};\n"
    );
    runtime().block_on(async {
        // A policy that forbids something from now on ends sessions in which nothing was understood: open them under it.
        apply(&format!("{ALLOW_ALL}@id(\"x\") forbid (principal == Agent::\"nobody\", action, resource);\n"));
        let (stays, leaves) =
            (Session::open(&rig, &ours).await.unwrap(), Session::open(&rig, &theirs).await.unwrap());
        let since = Instant::now();
        tokio::task::block_in_place(|| apply(&without));
        let (words, _) = leaves.ends(since).await;
        assert!(words.starts_with("28000") && words.contains("the migration is over"), "{words}");
        stays.works().await;

        // Time alone can end leave, too.
        let end = now() + 4;
        tokio::task::block_in_place(|| {
            apply(&format!(
                "{ALLOW_ALL}@id(\"window\") @reason(\"the window has closed\")\n\
                 forbid (principal == Agent::\"ours\", action == Action::\"connect\", resource) when {{ context.now >= {end} }};\n"
            ));
        });
        stays.works().await;
        let (words, _) = stays.ends(since).await;
        assert!(words.contains("the window has closed"), "{words}");
        assert!(now() - end <= 1, "{} s too late", now() - end);
    });
}

#[test]
fn an_expired_token_ends_its_sessions_within_a_second() {
    let rig = Rig::start(&[], ALLOW_ALL);
    let short = token(&rig.gateway, &["agent:bot", "--life", "5s"]);
    let end = now() + 5;
    runtime().block_on(async {
        let session = Session::open(&rig, &short).await.unwrap();
        session.works().await;
        let (words, _) = session.ends(Instant::now()).await;
        assert_eq!(words, "28000 terminating connection: the token has expired");
        assert!(now() - end <= 1, "{} s too late", now() - end);
    });
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Processes that do nothing, for as long as this lives.
struct Stopped(Vec<String>);

impl Stopped {
    /// Whoever takes the server's new connections, and what answers the gateway's own questions.
    fn of(rig: &Rig) -> Self {
        let asks = "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1) UNION ALL \
                    SELECT pid::text FROM pg_stat_activity WHERE application_name = 'durward'";
        let all =
            Self(rig.server.sql(DATABASE, asks).unwrap().lines().map(|l| l.trim().to_owned()).collect());
        assert!(all.0.len() > 1, "{:?}", all.0);
        all.tell("-STOP");
        all
    }

    fn tell(&self, signal: &str) {
        std::process::Command::new("kill").arg(signal).args(&self.0).status().unwrap();
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.tell("-CONT");
    }
}

/// Before a statement is held its target is looked at, which may take long: that is no reason not to hear anything.
#[test]
fn who_waits_for_a_target_to_be_looked_at_hears_what_ends_them() {
    const HELD: &str = "@id(\"most\") permit (principal, action, resource);\n\
        @id(\"ask\") @approvers(\"dba\")\n\
        forbid (principal, action == Action::\"delete\", resource) unless { context.approvals.contains(\"ask\") };\n";
    let rig = Rig::start(&[], HELD);
    rig.server.sql(DATABASE, "CREATE TABLE looked_at (n int)").unwrap();
    let tokens = ["revoked", "cancels", "frozen", "leaves"]
        .map(|name| token(&rig.gateway, &[&format!("agent:{name}")]));
    let sessions = || text(&mut rig.gateway.command(&["sessions", "ls"])).unwrap();
    runtime().block_on(async {
        let mut asking = Vec::new();
        for token in &tokens {
            let session = Session::open(&rig, token).await.unwrap();
            session.client.simple_query("SELECT count(*) FROM looked_at").await.unwrap();
            asking.push(session);
        }
        let stopped = tokio::task::block_in_place(|| Stopped::of(&rig));
        let [revoked, cancels, frozen, leaves] = <[Session; 4]>::try_from(asking).ok().unwrap();
        let delete = |session: Session| {
            let stop = session.client.cancel_token();
            let Session { client, end } = session;
            let said = tokio::spawn(async move {
                let said = client.simple_query("DELETE FROM looked_at").await.err().map(|e| words(&e));
                (client, said.unwrap_or_default())
            });
            (said, stop, end)
        };
        let all = [delete(revoked), delete(cancels), delete(frozen), delete(leaves)];
        // They are looked at by now, most probably; whatever comes earlier is heard anyway.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let [revoked, mut cancels, frozen, leaves] = all;

        let command = ["revoke", "principal", "agent:revoked", "--reason", "it is over"];
        text(&mut rig.gateway.command(&command)).unwrap();
        let since = Instant::now();
        let (_, said) = revoked.0.await.unwrap();
        assert!(said.contains("it is over"), "{said}");
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());

        leaves.0.abort();
        leaves.2.abort();
        let begun = Instant::now();
        while sessions().contains("agent:leaves") {
            assert!(begun.elapsed() < Duration::from_secs(10), "who left is gone");
        }
        // What was not filed is not withdrawn.
        let said = loop {
            let _ = cancels.1.cancel_query(NoTls).await;
            if let Ok(said) = tokio::time::timeout(Duration::from_millis(200), &mut cancels.0).await {
                break said.unwrap();
            }
            assert!(begun.elapsed() < PATIENCE, "a cancel is heard");
        };
        assert_eq!(said.1, "57014 canceling statement due to user request");
        text(&mut rig.gateway.command(&["freeze", DATABASE, "--reason", "a restore"])).unwrap();
        let (still, words) = frozen.0.await.unwrap();
        assert!(words.starts_with("ZD005") && words.contains("a restore"), "{words}");
        assert_eq!(rig.gateway.waiting_request().unwrap(), None, "nothing was filed");
        drop(stopped);
        for client in [said.0, still] {
            // The last of the cancels may still be on its way.
            while let Err(error) = client.simple_query("SELECT count(*) FROM looked_at").await {
                assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "its session goes on: {error:?}");
                assert!(begun.elapsed() < PATIENCE, "its session goes on");
            }
        }
    });
}
