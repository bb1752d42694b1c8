//! Several gateways on one PostgreSQL store: what one changes holds on all within a second, whoever is cut off does nothing new
//! when its lease is over, and of two who want the same one gets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testkit::Scratch;
use testkit::durward::{Durward, Target};
use testkit::postgres::Postgres;
use testkit::process::{free_port, text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::{Client, NoTls};

use crate::rig::{DATABASE, Way, binary, server};

/// What one gateway does holds on all within this.
const SOON: Duration = Duration::from_secs(1);
/// How old what a gateway knows may be, as these are configured.
const LEASE: Duration = Duration::from_secs(5);
/// For what is not timed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads for everybody, writes when somebody says yes.
const POLICY: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
@id("reads") permit (principal, action in Action::"read", resource);
@id("writes") permit (principal, action in Action::"write", resource);
@id("held") @approvers("admins")
forbid (principal, action in Action::"write", resource) unless { context.approvals.contains("held") };
"#;
/// The same without reads.
const NARROW: &str = r#"
@id("connect") permit (principal, action == Action::"connect", resource);
"#;

/// A wire to a port that can be cut: then it takes bytes and connections, and nothing comes out.
struct Relay {
    port: u16,
    is_cut: Arc<AtomicBool>,
}

impl Relay {
    async fn to(port: u16) -> Self {
        let own = free_port().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", own)).await.unwrap();
        let is_cut = Arc::<AtomicBool>::default();
        let cut = Arc::clone(&is_cut);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let cut = Arc::clone(&cut);
                tokio::spawn(async move {
                    while cut.load(Ordering::SeqCst) {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let (near_read, near_write) = near.into_split();
                    let (far_read, far_write) = far.into_split();
                    tokio::spawn(copy(near_read, far_write, Arc::clone(&cut)));
                    copy(far_read, near_write, cut).await;
                });
            }
        });
        Self { port: own, is_cut }
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

async fn copy(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, cut: Arc<AtomicBool>) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut bytes).await else { return };
        while cut.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// Three gateways, one store, one target; the third gateway reaches the store over a wire that can be cut.
struct Three {
    // Dropped in this order: the gateways end before the servers.
    gateways: [Durward; 3],
    relay: Relay,
    server: Postgres,
    _keys: Scratch,
}

impl Three {
    async fn start() -> Self {
        let server = server(&[]);
        server.sql("postgres", "CREATE DATABASE state").unwrap();
        let relay = Relay::to(server.port()).await;
        let keys = Scratch::new("keys").unwrap();
        let head = |port: u16| {
            format!(
                "master_key = {{ file = \"{}\" }}\n[store]\nurl = \"postgres://postgres@127.0.0.1:{port}/state?sslmode=disable\"\n\
                 lease = \"{}s\"\n",
                keys.join("master.key").display(),
                LEASE.as_secs()
            )
        };
        let gateways = tokio::task::block_in_place(|| {
            let first = Durward::start_sharing(&binary(), &head(server.port()), None).unwrap();
            let secret = first.secret().to_owned();
            let second = Durward::start_sharing(&binary(), &head(server.port()), Some(&secret)).unwrap();
            let third = Durward::start_sharing(&binary(), &head(relay.port), Some(&secret)).unwrap();
            [first, second, third]
        });
        let this = Self { gateways, relay, server, _keys: keys };
        this.apply(0, POLICY);
        this
    }

    fn apply(&self, at: usize, policy: &str) {
        let target = Target::new(DATABASE, self.server.port(), DATABASE);
        tokio::task::block_in_place(|| self.gateways[at].apply(&[target], &[("test", policy)])).unwrap();
    }

    fn token(&self, at: usize, agent: &str) -> String {
        tokio::task::block_in_place(|| self.gateways[at].token(agent)).unwrap()
    }

    fn run(&self, at: usize, arguments: &[&str]) -> String {
        tokio::task::block_in_place(|| text(&mut self.gateways[at].command(arguments))).unwrap()
    }

    async fn session(&self, at: usize, token: &str) -> Result<Client, String> {
        let way = Way { port: self.gateways[at].port(), password: token.to_owned() };
        let opened = tokio::time::timeout(PATIENCE, way.config().connect(NoTls)).await.expect("an answer");
        let (client, connection) = opened.map_err(|error| words(&error))?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A session as soon as the gateway knows the target.
    async fn session_soon(&self, at: usize, token: &str) -> Client {
        let begun = Instant::now();
        loop {
            match self.session(at, token).await {
                Ok(client) => return client,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
            }
        }
    }
}

fn words(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |e| format!("{} {}", e.code().code(), e.message()))
}

async fn ask(client: &Client, sql: &str) -> Result<(), String> {
    let answer = tokio::time::timeout(PATIENCE, client.simple_query(sql)).await.expect("an answer");
    answer.map(drop).map_err(|error| words(&error))
}

/// How long it takes until a statement is answered so.
async fn until(client: &Client, sql: &str, is: impl Fn(&Result<(), String>) -> bool) -> Duration {
    let begun = Instant::now();
    loop {
        let answer = ask(client, sql).await;
        if is(&answer) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const READ: &str = "SELECT name FROM people WHERE id = 1";
const WRITE: &str = "UPDATE notes SET words = 'x' WHERE person = 3 AND line = 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_one_gateway_changes_holds_on_all_within_a_second() {
    let three = Three::start().await;
    let (token, other) = (three.token(0, "bot"), three.token(1, "other"));
    let mut sessions = Vec::new();
    for at in 0..3 {
        sessions.push(three.session_soon(at, &token).await);
        ask(&sessions[at], READ).await.unwrap();
    }
    let bystander = three.session_soon(2, &other).await;

    // A request is filed at one gateway, approved at another, and used once by whoever is first.
    let pending = tokio::spawn({
        let session = three.session_soon(1, &token).await;
        async move { (ask(&session, WRITE).await, Instant::now()) }
    });
    let begun = Instant::now();
    let id = loop {
        if let Some(id) = tokio::task::block_in_place(|| three.gateways[0].waiting_request()).unwrap() {
            break id;
        }
        assert!(begun.elapsed() < PATIENCE);
    };
    three.run(2, &["requests", "approve", &id]);
    let approved = Instant::now();
    let (answer, at) = pending.await.unwrap();
    answer.unwrap();
    assert!(at.saturating_duration_since(approved) < SOON, "an approval took {:?}", at - approved);

    // A policy.
    three.apply(1, NARROW);
    let applied = Instant::now();
    for session in &sessions {
        let left = SOON.saturating_sub(applied.elapsed());
        let took = until(session, READ, |answer| answer.is_err()).await;
        assert!(took <= left, "a policy took {took:?}");
        assert!(ask(session, READ).await.unwrap_err().starts_with("42501"));
    }
    three.apply(2, POLICY);
    for session in &sessions {
        until(session, READ, Result::is_ok).await;
    }

    // A freeze, which no approval lifts; and its end.
    let said = three.run(0, &["freeze", "all", "--reason", "an incident", "--json"]);
    let frozen = Instant::now();
    for session in &sessions {
        let left = SOON.saturating_sub(frozen.elapsed());
        let is = |answer: &Result<(), String>| matches!(answer, Err(error) if error.starts_with("ZD005"));
        let took = until(session, "UPDATE notes SET words = 'y'", is).await;
        assert!(took <= left, "a freeze took {took:?}");
        ask(session, READ).await.unwrap();
    }
    let id = said.split('"').find(|word| word.starts_with("dwr_")).expect("an id").to_owned();
    three.run(1, &["thaw", &id]);

    // A session is ended by another gateway than its own.
    let doomed = three.session_soon(2, &token).await;
    let live = tokio::task::block_in_place(|| three.gateways[2].last_session()).unwrap();
    three.run(0, &["sessions", "kill", &live]);
    let killed = Instant::now();
    until(&doomed, READ, |answer| answer.is_err()).await;
    assert!(killed.elapsed() < SOON, "an end took {:?}", killed.elapsed());

    // A revocation: no statement and no login by it a second later, and nobody else notices.
    let id: String = token.rsplit_once('_').unwrap().0.to_owned();
    three.run(0, &["token", "revoke", &id]);
    let revoked = Instant::now();
    for (at, session) in sessions.iter().enumerate() {
        let left = SOON.saturating_sub(revoked.elapsed());
        let took = until(session, READ, |answer| answer.is_err()).await;
        assert!(took <= left, "at gateway {at} a revocation took {took:?}");
        assert!(three.session(at, &token).await.is_err());
    }
    ask(&bystander, READ).await.unwrap();

    // Each gateway's own journal says what it took from the store.
    for gateway in &three.gateways {
        let journal = std::fs::read_to_string(gateway.journal().join("journal-000001.jsonl")).unwrap();
        assert!(journal.contains("by another gateway"), "{journal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gateway_that_is_cut_off_does_nothing_new_when_its_lease_is_over() {
    let three = Three::start().await;
    let token = three.token(0, "bot");
    let (near, far) = (three.session_soon(1, &token).await, three.session_soon(2, &token).await);
    ask(&far, READ).await.unwrap();
    ask(&near, READ).await.unwrap();

    three.relay.cut();
    let cut = Instant::now();
    // What it does not hear of.
    three.apply(0, NARROW);
    let mut last = cut;
    let refused = loop {
        // Its answer may be slow; the decision is not.
        let sent = Instant::now();
        match ask(&far, READ).await {
            Ok(()) => last = sent,
            Err(error) => break error,
        }
        assert!(cut.elapsed() < PATIENCE, "it goes on without its store");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(refused.starts_with("ZD004"), "{refused}");
    // What was allowed was judged by what was known before the cut.
    assert!(last - cut <= LEASE, "a decision came {:?} after the cut", last - cut);
    for _ in 0..20 {
        assert!(ask(&far, READ).await.unwrap_err().starts_with("ZD004"));
    }
    let login = three.session(2, &token).await.map(drop).expect_err("nobody is let in");
    assert!(login.starts_with("57P03"), "{login}");
    // Others go on, by the new policy.
    until(&near, READ, Result::is_err).await;
    assert!(ask(&near, READ).await.unwrap_err().starts_with("42501"));
    three.apply(1, POLICY);
    until(&near, READ, Result::is_ok).await;
    three.apply(1, NARROW);

    // An answer that was under way when the wire was cut is as young as its question, and gives leave for as long.
    tokio::time::sleep((LEASE + Duration::from_millis(100)).saturating_sub(cut.elapsed())).await;
    three.relay.mend();
    let mended = Instant::now();
    let first = loop {
        // On a busy machine a lease may end before the next answer comes: that is no decision.
        match ask(&far, READ).await {
            Err(error) if error.starts_with("ZD004") => assert!(mended.elapsed() < PATIENCE, "{error}"),
            other => break other,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let by_now = matches!(&first, Err(error) if error.starts_with("42501"));
    assert!(by_now, "the first decision {:?} after is by the policy of now: {first:?}", mended.elapsed());
    three.apply(0, POLICY);
    until(&far, READ, Result::is_ok).await;
    three.session_soon(2, &token).await;

    // A gap that ends as soon as somebody has heard of it is told like any other.
    // A busy machine may have seen more of them.
    let told_behind = async |gaps: usize| {
        let begun = Instant::now();
        loop {
            let journal =
                std::fs::read_to_string(three.gateways[2].journal().join("journal-000001.jsonl")).unwrap();
            let told =
                ["out of reach for more than 5 s", "is back"].map(|said| journal.matches(said).count());
            if told[0] > gaps && told[0] == told[1] {
                return told[0];
            }
            assert!(begun.elapsed() < PATIENCE, "{told:?}, {gaps} before: {journal}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let gaps = told_behind(0).await;
    three.relay.cut();
    until(&far, READ, |answer| matches!(answer, Err(error) if error.starts_with("ZD004"))).await;
    three.relay.mend();
    until(&far, READ, Result::is_ok).await;
    told_behind(gaps).await;
}

/// Who carried out what was approved and died says nothing any more: others do, when it would have said something.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_killed_gateway_carried_out_is_unknown_to_the_others() {
    const SLOW: &str = "UPDATE notes SET words = pg_sleep(300)::text WHERE person = 3 AND line = 1";
    let policy = format!(
        "{POLICY}@id(\"calls\") permit (principal, action in [Action::\"call\", Action::\"unknown\"], resource);\n"
    );
    let mut three = Three::start().await;
    three.apply(0, &policy);
    let token = three.token(0, "bot");
    let mut asked = Vec::new();
    for (at, sql) in [(0, SLOW.to_owned()), (1, SLOW.replace("person = 3", "person = 4"))] {
        let session = three.session_soon(at, &token).await;
        asked.push(tokio::spawn(async move { session.simple_query(&sql).await.map(drop) }));
        let begun = Instant::now();
        let id = loop {
            if let Some(id) = tokio::task::block_in_place(|| three.gateways[2].waiting_request()).unwrap() {
                break id;
            }
            assert!(begun.elapsed() < PATIENCE);
        };
        three.run(2, &["requests", "approve", &id]);
    }
    let stand = |three: &Three, word: &str| {
        let page = three.run(2, &["requests", "ls", "--all", "--json"]);
        page.matches(&format!("\"status\": \"{word}\"")).count()
            + page.matches(&format!("\"status\":\"{word}\"")).count()
    };
    let begun = Instant::now();
    while stand(&three, "claimed") < 2 {
        assert!(begun.elapsed() < PATIENCE, "both are carried out");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Whoever lives is believed for as long as it lives: it says so again and again, for six leases each time.
    tokio::task::block_in_place(|| three.gateways[0].kill());
    let killed = Instant::now();
    while stand(&three, "outcome_unknown") < 1 {
        assert!(killed.elapsed() < LEASE * 20, "nobody says so");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!((stand(&three, "outcome_unknown"), stand(&three, "claimed")), (1, 1), "the other lives");
    for task in asked {
        task.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gateway_that_is_killed_takes_nothing_with_it() {
    let mut three = Three::start().await;
    let token = three.token(0, "bot");
    // It dies with a request of its own; what was approved elsewhere is used once among those that live.
    let dying = three.session_soon(0, &token).await;
    let filed = tokio::spawn(async move { ask(&dying, WRITE).await });
    let begun = Instant::now();
    let id = loop {
        if let Some(id) = tokio::task::block_in_place(|| three.gateways[1].waiting_request()).unwrap() {
            break id;
        }
        assert!(begun.elapsed() < PATIENCE);
    };
    tokio::task::block_in_place(|| three.gateways[0].kill());
    assert!(filed.await.unwrap().is_err());
    three.run(1, &["requests", "approve", &id]);
    let mut tries = Vec::new();
    for at in [1, 2, 1, 2, 1, 2] {
        let session = three.session_soon(at, &token).await;
        tries.push(tokio::spawn(async move {
            // Whoever is not first waits for an approval of their own; that is a no here.
            tokio::time::timeout(Duration::from_secs(4), ask(&session, WRITE)).await.is_ok_and(|a| a.is_ok())
        }));
    }
    let mut done = 0;
    for one in tries {
        done += usize::from(one.await.unwrap());
    }
    assert_eq!(done, 1, "an approval is used once");
    let id: String = token.rsplit_once('_').unwrap().0.to_owned();
    three.run(2, &["token", "revoke", &id]);
    assert!(three.session(1, &token).await.is_err());
    // It comes back with its journal, and knows what happened meanwhile.
    tokio::task::block_in_place(|| three.gateways[0].crash()).unwrap();
    assert!(three.session(0, &token).await.is_err());
    let fresh = three.token(0, "fresh");
    ask(&three.session_soon(1, &fresh).await, READ).await.unwrap();
    for gateway in &mut three.gateways {
        gateway.end();
        text(gateway.command(&["audit", "verify", "--data"]).arg(gateway.data())).unwrap();
    }
}
