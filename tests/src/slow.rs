//! A target that lets the gateway's own questions wait: whoever cancels or leaves meanwhile is heard, and what others have to know
//! is asked to its end.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testkit::durward::{Durward, Target};
use testkit::http;
use testkit::process::{free_port, text};
use tokio_postgres::{Client, NoTls};

use crate::approvals::{eventually, stands};
use crate::rig::{ALLOW_ALL, DATABASE, Rig, Way, binary, server};

/// Everything, and nothing unread: where everything is allowed, no definitions are looked at.
const POLICY: &str =
    "@id(\"most\") permit (principal, action, resource) unless { action == Action::\"unknown\" };\n";

/// Whatever is waited for comes within this, and what must not wait is there much sooner than a look that lasts as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A way to a server on which the gateway's own connections can be stopped.
struct Slow {
    port: u16,
    stopped: Arc<AtomicBool>,
}

impl Slow {
    fn before(server: u16) -> Self {
        let port = free_port().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&stopped);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let stops = Arc::clone(&stops);
                std::thread::spawn(move || relay(client, server, &stops));
            }
        });
        Self { port, stopped }
    }

    fn stop(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::SeqCst);
    }
}

fn relay(mut client: TcpStream, server: u16, stops: &Arc<AtomicBool>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)) else { return };
    let mut first = [0; 4096];
    let Ok(n) = client.read(&mut first) else { return };
    // The gateway's own connections say so in their first message.
    let own = first[..n].windows(25).any(|w| w == b"application_name\0durward\0");
    let _ = server.write_all(&first[..n]);
    let (back, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let stops_too = Arc::clone(stops);
    std::thread::spawn(move || copy(back, to, &stops_too, own));
    copy(client, server, stops, own);
}

fn copy(mut from: TcpStream, mut to: TcpStream, stops: &AtomicBool, own: bool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(n) = from.read(&mut bytes)
        && n > 0
    {
        while own && stops.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

struct Ground {
    rig: Rig,
    slow: Slow,
}

fn ground(more: &str) -> Ground {
    ground_under(more, POLICY)
}

fn ground_under(more: &str, policy: &str) -> Ground {
    let server = server(&[]);
    server.sql(DATABASE, "CREATE TABLE visits (n int); INSERT INTO visits VALUES (1)").unwrap();
    let slow = Slow::before(server.port());
    let target = Target { more: more.to_owned(), ..Target::new(DATABASE, slow.port, DATABASE) };
    assert_ne!(policy, ALLOW_ALL);
    Ground { rig: Rig::of(server, &target, "", policy), slow }
}

impl Ground {
    async fn connect(&self) -> Client {
        self.connected().await.0
    }

    /// And what holds its socket.
    async fn connected(&self) -> (Client, tokio::task::JoinHandle<()>) {
        let (client, connection) = self.rig.through().config().connect(NoTls).await.unwrap();
        (client, tokio::spawn(async move { drop(connection.await) }))
    }

    fn sessions(&self) -> usize {
        text(&mut self.rig.gateway.command(&["sessions", "ls"])).unwrap().matches("agent:tester").count()
    }

    /// Waits until so many sessions are there.
    async fn until(&self, sessions: usize) {
        let begun = Instant::now();
        while self.sessions() != sessions {
            assert!(begun.elapsed() < PATIENCE, "{} sessions", self.sessions());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn code(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("", tokio_postgres::error::SqlState::code)
}

/// Sends a statement, and cancels it when it waits.
async fn cancelled(client: &Client, statement: &str) -> Result<(), tokio_postgres::Error> {
    let token = client.cancel_token();
    let cancels = async {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            token.cancel_query(NoTls).await.unwrap();
        }
    };
    tokio::select! {
        answered = client.batch_execute(statement) => answered,
        () = cancels => unreachable!(),
        () = tokio::time::sleep(PATIENCE) => panic!("{statement}: nobody hears the cancel"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_what_waits_for_a_look_at_the_target_and_the_session_goes_on() {
    let ground = ground("freshness = \"strict\"");
    let client = ground.connect().await;
    client.batch_execute("SELECT n FROM visits").await.unwrap();
    ground.slow.stop(true);
    for (before, statement) in
        [("", "SELECT n FROM visits"), ("", "UPDATE visits SET n = 2"), ("BEGIN", "SELECT n FROM visits")]
    {
        client.batch_execute(before).await.unwrap();
        let refused = cancelled(&client, statement).await.expect_err(statement);
        assert_eq!(code(&refused), "57014", "{refused}");
    }
    // In a block it has failed, as a cancelled statement has.
    let failed = client.batch_execute("SELECT 1").await.expect_err("the block has failed");
    assert_eq!(code(&failed), "25P02", "{failed}");
    client.batch_execute("ROLLBACK").await.unwrap();
    ground.slow.stop(false);
    // A cancel that comes late ends what runs by then, as it does without a gateway.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let row = client.query_one("SELECT n FROM visits", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 1, "nothing of what was cancelled has run");
}

/// How names are resolved is asked on the session's own connection, where the client's own limits hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_whose_names_cannot_be_learnt_is_answered_whole() {
    let ground = ground("");
    let client = ground.connect().await;
    let mut holder = ground.rig.direct().connect().await;
    ground.rig.server.sql(DATABASE, "CREATE SCHEMA elsewhere").unwrap();
    client.batch_execute("SET lock_timeout = '200ms'; SET search_path = elsewhere, public").await.unwrap();
    let locked = holder.transaction().await.unwrap();
    locked.batch_execute("LOCK TABLE pg_catalog.pg_namespace IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let told = tokio::time::timeout(PATIENCE, client.batch_execute("SELECT n FROM visits")).await;
    let refused =
        told.expect("it is answered, and the session is ready").expect_err("nobody knows whose table it is");
    assert_eq!(code(&refused), "58000", "{refused}");
    locked.rollback().await.unwrap();
    let row = client.query_one("SELECT n FROM visits", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_while_ddl_is_looked_at_tells_its_client_that_it_is_done_and_the_next_statement_waits() {
    let ground = ground("");
    let client = ground.connect().await;
    ground.slow.stop(true);
    cancelled(&client, "CREATE TABLE later (n int)").await.expect("it has run");
    assert!(ground.rig.server.sql(DATABASE, "SELECT count(*) FROM later").is_ok());
    let refused = cancelled(&client, "SELECT n FROM later").await.expect_err("nobody knows it yet");
    assert_eq!(code(&refused), "57014", "{refused}");
    let statement = client.batch_execute("SELECT n FROM later");
    tokio::pin!(statement);
    let early = tokio::time::timeout(Duration::from_millis(500), &mut statement).await;
    assert!(early.is_err(), "what is not known is not judged");
    ground.slow.stop(false);
    statement.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_while_the_target_is_looked_at_is_gone_at_once() {
    for (more, statement) in
        [("freshness = \"strict\"", "SELECT n FROM visits"), ("", "CREATE TABLE later (n int)")]
    {
        let ground = ground(more);
        let stays = ground.connect().await;
        stays.batch_execute("SELECT n FROM visits").await.unwrap();
        {
            let (client, socket) = ground.connected().await;
            client.batch_execute("SELECT n FROM visits").await.unwrap();
            ground.until(2).await;
            ground.slow.stop(true);
            let sent =
                tokio::time::timeout(Duration::from_millis(500), client.batch_execute(statement)).await;
            assert!(sent.is_err(), "{statement}: it waits");
            socket.abort();
        }
        // Nobody answers its question yet.
        ground.until(1).await;
        ground.slow.stop(false);
        stays.batch_execute("SELECT n FROM visits").await.unwrap();
    }
}

/// An approval is looked at once more before it is used: that is when its session leaves here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cancels_or_leaves_between_an_approval_and_its_use_is_asked_for_anew() {
    let held = "@id(\"held\") @approvers(\"admins\") forbid (principal, action in Action::\"write\", resource) \
                unless { context.approvals.contains(\"held\") };\n";
    let ground = ground_under("", &format!("{POLICY}{held}"));
    let waiting = || ground.rig.gateway.waiting_request().unwrap();
    let statement = "UPDATE visits SET n = n + 1";
    for cancels in [true, false] {
        let (client, socket) = ground.connected().await;
        let token = client.cancel_token();
        let sent = tokio::spawn(async move { client.batch_execute(statement).await });
        let id = eventually("it is held", waiting);
        ground.slow.stop(true);
        text(&mut ground.rig.gateway.command(&["requests", "approve", &id])).unwrap();
        if cancels {
            token.cancel_query(NoTls).await.unwrap();
            let told = tokio::time::timeout(PATIENCE, sent).await.expect("a cancel is heard").unwrap();
            let told = told.expect_err("it is cancelled");
            assert_eq!(code(&told), "57014");
            let words = told.as_db_error().unwrap().message().to_owned();
            assert!(words.ends_with(&format!("request {id} was withdrawn")), "{words}");
        } else {
            socket.abort();
            ground.until(0).await;
        }
        // So it stands, and whoever sends it again is not let through by it.
        let (stands, _) = eventually("it is taken back", || {
            Some(stands(&ground.rig, &id)).filter(|(status, _)| status != "approved")
        });
        assert_eq!(stands, "rescinded");
        ground.slow.stop(false);
        let (again, _socket) = ground.connected().await;
        let sent = tokio::spawn(async move { again.batch_execute(statement).await });
        let anew = eventually("it is asked for anew", waiting);
        assert_ne!(anew, id);
        text(&mut ground.rig.gateway.command(&["requests", "approve", &anew])).unwrap();
        sent.await.unwrap().unwrap();
    }
    let row = ground.connect().await.query_one("SELECT n FROM visits", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 3, "each ran once, when it was asked for and waited for");
}

/// A store that takes its time says nothing against a token: whoever is told that theirs is wrong throws it away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_does_not_answer_nobody_comes_in_and_no_token_is_said_to_be_wrong() {
    let server = server(&[]);
    server.sql(DATABASE, "CREATE DATABASE state").unwrap();
    let (slow, agents) = (Slow::before(server.port()), free_port().unwrap());
    let head = format!(
        "[store]\nurl = \"postgres://postgres@127.0.0.1:{}/state?sslmode=disable\"\n[agents]\nlisten = \"127.0.0.1:{agents}\"\n",
        slow.port
    );
    let gateway = Durward::start_sharing(&binary(), &head, None).unwrap();
    gateway.apply(&[Target::new(DATABASE, server.port(), DATABASE)], &[("test", ALLOW_ALL)]).unwrap();
    let way = Way { port: gateway.port(), password: gateway.token("tester").unwrap() };
    let bearer = format!("Bearer {}", way.password);
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "targets"),
    ];
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"targets","arguments":{},"_meta":{
        "io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let by_mcp = || http::request(agents, "POST", "/mcp", &headers, body.as_bytes()).unwrap();
    let who = || http::request(agents, "POST", "/whoami", &headers[..1], b"").unwrap();
    drop(way.connect().await);
    assert_eq!((by_mcp().status, who().status), (200, 200));
    slow.stop(true);
    let refused = way.config().connect(NoTls).await.err().expect("nobody knows whose token it is");
    assert_eq!(code(&refused), "57P03", "{refused}");
    let told = refused.as_db_error().unwrap();
    assert!(told.hint().is_some_and(|hint| hint.starts_with("Keep the token")), "{told:?}");
    // The last answer counts for a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for answer in [by_mcp(), who()] {
        assert_eq!(answer.status, 503, "{}", answer.body);
    }
    slow.stop(false);
    let begun = Instant::now();
    while way.config().connect(NoTls).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "the same token is good again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(by_mcp().status, 200);
}
