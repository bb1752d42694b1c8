//! What a collector of OpenTelemetry's gets of one session: a span for it, one for each operation with its stages, the ids of
//! log and journal, and nothing that people typed or own.

#![cfg(test)]
#![cfg(feature = "otel")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use testkit::durward::{Durward, Target};
use testkit::json::Json;
use testkit::postgres::Postgres;

const PATIENCE: Duration = Duration::from_secs(30);
const POLICY: &str = r#"
@id("most") permit (principal, action, resource) unless { action == Action::"reveal" };
@id("no-drop") forbid (principal, action == Action::"drop", resource);
@id("deletes-held") @approvers("dba")
forbid (principal, action == Action::"delete", resource) unless { context.approvals.contains("deletes-held") };
"#;
const TABLE: &str =
    "CREATE TABLE people (id int, email text); INSERT INTO people VALUES (471108150, 'ada@example.com')";

/// A collector that keeps what it gets, with the headers of each request.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, String)>>>);

impl Collector {
    fn start() -> (Self, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let this = Self::default();
        let kept = this.clone();
        std::thread::spawn(move || {
            for (n, stream) in listener.incoming().flatten().enumerate() {
                kept.take(stream, n == 0);
            }
        });
        (this, port)
    }

    /// The first request is turned away, as by a collector that starts.
    fn take(&self, mut stream: TcpStream, turn_away: bool) {
        let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
        loop {
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                if line == "\r\n" {
                    break;
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            if turn_away {
                let _ = stream
                    .write_all(b"HTTP/1.1 503 Starting\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                return;
            }
            self.0.lock().expect("kept").push((head, String::from_utf8(body).expect("UTF-8")));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        }
    }

    fn text(&self) -> String {
        self.0.lock().expect("kept").iter().map(|(head, body)| format!("{head}{body}\n")).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let mut all = Vec::new();
        for (_, body) in &*self.0.lock().expect("kept") {
            let body = Json::parse(body).expect("JSON");
            for resource in body.at("resourceSpans").expect("resources").items() {
                for scope in resource.at("scopeSpans").expect("scopes").items() {
                    all.extend(scope.at("spans").expect("spans").items().iter().cloned().map(Span));
                }
            }
        }
        all
    }
}

struct Span(Json);

impl Span {
    fn of(&self, name: &str) -> &str {
        self.0.at(name).and_then(Json::text).unwrap_or_default()
    }

    fn attribute(&self, key: &str) -> Option<&str> {
        let mut all = self.0.at("attributes")?.items().iter();
        let value = all.find(|a| a.at("key").and_then(Json::text) == Some(key))?.at("value")?;
        value.at("stringValue").or_else(|| value.at("intValue"))?.text()
    }

    fn nanoseconds(&self) -> (u128, u128) {
        let of = |name| self.of(name).parse().expect("nanoseconds");
        (of("startTimeUnixNano"), of("endTimeUnixNano"))
    }

    /// The names of the spans below it, in order of their beginning.
    fn stages(&self, all: &[Self]) -> Vec<String> {
        let mut below: Vec<_> = all
            .iter()
            .filter(|s| s.of("traceId") == self.of("traceId") && s.of("parentSpanId") == self.of("spanId"))
            .collect();
        let whole = self.nanoseconds();
        for stage in &below {
            let (begun, ended) = stage.nanoseconds();
            assert!(whole.0 <= begun && begun <= ended && ended <= whole.1, "{:?} in {:?}", stage.0, self.0);
        }
        below.sort_by_key(|s| s.nanoseconds().0);
        below.iter().map(|s| s.of("name").to_owned()).collect()
    }
}

fn eventually<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// OpenTelemetry's own definitions read the same spans in what was sent, and nothing that they do not know.
fn understood_by_the_definitions(collector: &Collector, spans: &[Span]) {
    let python =
        std::env::var("DURWARD_PYTHON").unwrap_or_else(|_| "../../target/venv/bin/python".to_owned());
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs/otlp.py");
    let mut child = Command::new(python)
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python, with what cargo xtask install puts there");
    let mut input = child.stdin.take().expect("an input");
    for (_, body) in &*collector.0.lock().expect("kept") {
        writeln!(input, "{body}").expect("written");
    }
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the definitions do not know what is sent");
    let read = String::from_utf8(output.stdout).expect("UTF-8");
    let of = |span: &Span, name: &str| match span.of(name) {
        "" => "-".to_owned(),
        id => id.to_owned(),
    };
    for span in spans {
        let ids = ["traceId", "spanId", "parentSpanId"].map(|name| of(span, name));
        let line = format!("{} {}", span.of("name").replace(' ', "_"), ids.join(" "));
        assert!(read.lines().any(|read| read == line), "{line} is not among\n{read}");
    }
}

#[test]
fn a_session_its_operations_and_their_stages_reach_a_collector_and_nothing_that_is_nobodys_business() {
    let (collector, port) = Collector::start();
    let server = Postgres::start(&[]).expect("PostgreSQL");
    server.sql("postgres", TABLE).expect("a table");
    let head = format!(
        "[traces]\nendpoint = \"http://127.0.0.1:{port}/\"\nheaders = {{ authorization = {{ command = [\"echo\", \"Bearer t0psecret\"] }} }}"
    );
    let mut gateway =
        Durward::start_sharing(Path::new(env!("CARGO_BIN_EXE_durward")), &head, None).expect("a gateway");
    let columns = vec![("public.people.email".to_owned(), "pii.email".to_owned())];
    let target = Target { columns, ..Target::new("shop", server.port(), "postgres") };
    gateway.apply(&[target], &[("test", POLICY)]).expect("applied");
    let said =
        gateway.command(&["approver", "add", "dora", "--groups", "dba"]).output().expect("an approver");
    let dora = String::from_utf8(said.stdout).expect("a secret").trim().to_owned();
    let token = gateway.token("grace@example.org").expect("a token");

    let psql = |statements: &[&str]| {
        let mut command = Command::new(server.bin().join("psql"));
        command.env("PGPASSWORD", &token).env("PGSSLMODE", "disable").stdin(Stdio::null());
        command.args(["-h", "127.0.0.1", "-p", &gateway.port().to_string(), "-U", "x", "-d", "shop", "-XAt"]);
        for statement in statements {
            command.args(["-c", statement]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql")
    };
    let child = psql(&[
        "SELECT id, email FROM people WHERE id = 471108150",
        "DROP TABLE people",
        "SELECT 1/0 AS zebra",
        "SELEC",
        "DELETE FROM people WHERE id = 471108150",
    ]);
    let id = eventually("the DELETE waits", || gateway.waiting_request().expect("requests"));
    let mut approve = gateway.command(&["requests", "--as", "dora", "approve", &id]);
    approve.env_remove("DURWARD_ADMIN_SECRET").env("DURWARD_APPROVER_SECRET", &dora);
    assert!(approve.status().expect("approved").success());
    let output = child.wait_with_output().expect("psql ends");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("ada@example.com"), "it is masked");

    let session = gateway.last_session().expect("a session");
    let session_span = |spans: &[Span]| {
        spans
            .iter()
            .position(|s| s.of("name") == "session" && s.attribute("durward.session") == Some(&session))
    };
    let at = eventually("the session is over", || session_span(&collector.spans()));
    let spans = collector.spans();
    let whole = &spans[at];
    assert_eq!(whole.attribute("durward.target"), Some("shop"));
    assert_eq!(whole.attribute("durward.end"), Some("client"));
    assert_eq!(whole.stages(&spans), ["login", "connect"]);

    // Name, verdict, SQLSTATE, stages.
    let expected: &[(&str, &str, Option<&str>, &[&str])] = &[
        ("select", "allow", None, &["describe", "decide", "journal", "answer", "mask"]),
        ("drop table", "deny", Some("42501"), &["describe", "decide"]),
        ("select", "allow", Some("22012"), &["describe", "decide", "journal", "answer"]),
        ("unreadable", "deny", Some("42601"), &[]),
        ("delete", "allow", None, &["describe", "decide", "hold", "decide", "journal", "answer"]),
    ];
    let mut operations: Vec<&Span> = spans
        .iter()
        .filter(|s| s.attribute("durward.decision").is_some_and(|d| d.starts_with(&session)))
        .collect();
    operations.sort_by_key(|s| s.nanoseconds().0);
    assert_eq!(operations.len(), expected.len());
    let journal: String = std::fs::read_dir(gateway.journal())
        .expect("a journal")
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .collect();
    for (operation, (name, verdict, code, stages)) in operations.iter().zip(expected) {
        assert_eq!(operation.of("name"), *name);
        assert_eq!(operation.attribute("durward.verdict"), Some(*verdict), "{name}");
        assert_eq!(operation.attribute("db.response.status_code"), *code, "{name}");
        assert_eq!(operation.stages(&spans), *stages, "{name}");
        assert_eq!(operation.attribute("durward.session"), Some(&*session), "{name}");
        let link = &operation.0.at("links").expect("a link").items()[0];
        assert_eq!(link.at("traceId").and_then(Json::text), Some(whole.of("traceId")), "{name}");
        let decision = operation.attribute("durward.decision").expect("a decision");
        assert!(journal.contains(&format!("\"{decision}\"")), "{decision} is in the journal");
    }
    let hold = spans.iter().find(|s| s.of("name") == "hold").expect("a hold");
    assert_eq!(
        (hold.attribute("durward.request"), hold.attribute("durward.answer")),
        (Some(&*id), Some("approved"))
    );

    let text = collector.text();
    assert!(text.contains("Bearer t0psecret") && text.contains("POST /v1/traces "), "the header is sent");
    let bodies: String = collector.0.lock().expect("kept").iter().map(|(_, body)| body.clone()).collect();
    for secret in
        ["471108150", "ada@", "people", "zebra", "SELEC", "grace", "dora", "t0psecret", &token, &dora]
    {
        assert!(!bodies.contains(secret), "{secret} is told to the collector");
    }
    assert!(!gateway.log().contains("t0psecret"), "{}", gateway.log());

    understood_by_the_definitions(&collector, &spans);

    // A session that the end of the gateway ends is told of before it is gone.
    let mut held = Command::new(server.bin().join("psql"));
    held.env("PGPASSWORD", &token).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    held.args(["-h", "127.0.0.1", "-p", &gateway.port().to_string(), "-U", "x", "-d", "shop"]);
    let mut held = held.spawn().expect("psql");
    let last = eventually("another session", || gateway.last_session().ok().filter(|s| *s != session));
    eventually("it is in", || gateway.log().contains(&last).then_some(()));
    gateway.end();
    let told = collector.spans();
    let ended =
        told.iter().find(|s| s.of("name") == "session" && s.attribute("durward.session") == Some(&last));
    assert_eq!(ended.expect("its span").attribute("durward.end"), Some("draining"));
    let _ = held.kill();
    let _ = held.wait();
}
