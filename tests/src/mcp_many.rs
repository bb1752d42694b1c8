//! Several gateways on one store behind one address: the next call of a client may reach another one.

use testkit::Scratch;
use testkit::durward::{Durward, Target};
use testkit::http;
use testkit::json::{Json, quoted};
use testkit::postgres::Postgres;
use testkit::process::{free_port, text};

use crate::approvals::eventually;
use crate::mcp::{ALONE, POLICY, datum, query, words};
use crate::rig::{self, DATABASE};

const NOTHING: &str = "{}";
const PAGES: &str = r#"{"elicitation":{"url":{}}}"#;
const TASKS: &str = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
const MORE: &str = r#"
@id("sleeps") permit (principal, action in [Action::"call", Action::"unknown"], resource);
"#;

struct Two {
    // In this order: the gateways end before the server.
    gateways: [Durward; 2],
    doors: [u16; 2],
    token: String,
    server: Postgres,
    _keys: Scratch,
}

impl Two {
    fn start() -> Self {
        let server = rig::server(&[]);
        let rows = "CREATE TABLE shop (id int PRIMARY KEY, total int); INSERT INTO shop SELECT n, n FROM generate_series(1, 20) n";
        server.sql(DATABASE, rows).unwrap();
        server.sql("postgres", "CREATE DATABASE state").unwrap();
        let keys = Scratch::new("keys").unwrap();
        let doors = [free_port().unwrap(), free_port().unwrap()];
        let start = |door: u16, secret: Option<&str>| {
            let head = format!(
                "master_key = {{ file = \"{}\" }}\n[store]\nurl = \"postgres://postgres@127.0.0.1:{}/state?sslmode=disable\"\n\
                 [agents]\nlisten = \"127.0.0.1:{door}\"\n",
                keys.join("master.key").display(),
                server.port()
            );
            Durward::start_sharing(&rig::binary(), &head, secret).unwrap()
        };
        let first = start(doors[0], None);
        let secret = first.secret().to_owned();
        let gateways = [first, start(doors[1], Some(&secret))];
        let target = Target::new(DATABASE, server.port(), DATABASE);
        gateways[0].apply(&[target], &[("test", &format!("{POLICY}{MORE}"))]).unwrap();
        let token = gateways[0].token("tester").unwrap();
        let two = Self { gateways, doors, token, server, _keys: keys };
        eventually("the other knows the target", || two.call(1, "query", &query("SELECT 1")).ok());
        two
    }

    /// A request of the era in which each stands alone, at one of them.
    fn ask(&self, at: usize, capabilities: &str, (method, named): (&str, &str), params: &str) -> Json {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params},"_meta":{{
                "io.modelcontextprotocol/protocolVersion":"{ALONE}","io.modelcontextprotocol/clientCapabilities":{capabilities}}}}}}}"#
        );
        let bearer = format!("Bearer {}", self.token);
        let headers = [
            ("authorization", &*bearer),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", ALONE),
            ("mcp-method", method),
            ("mcp-name", named),
        ];
        let answer = http::request(self.doors[at], "POST", "/mcp", &headers, body.as_bytes()).unwrap();
        Json::parse(&answer.body).unwrap_or_else(|_| panic!("{}", answer.body))
    }

    fn tool(&self, at: usize, capabilities: &str, tool: &str, arguments: &str, more: &str) -> Json {
        let params = format!(r#""name":"{tool}","arguments":{arguments}{more}"#);
        self.ask(at, capabilities, ("tools/call", tool), &params)
    }

    #[track_caller]
    fn call(&self, at: usize, tool: &str, arguments: &str) -> Result<Json, Json> {
        let answer = self.tool(at, NOTHING, tool, arguments, "");
        let result = answer.at("result").unwrap_or_else(|| panic!("{answer:?}")).clone();
        if result.at("isError").is_some() { Err(result) } else { Ok(result) }
    }

    #[track_caller]
    fn begin(&self, at: usize, sql: &str) -> String {
        let task = self.tool(at, TASKS, "query", &query(sql), "");
        said(&task, &["result", "taskId"]).text().unwrap_or_else(|| panic!("{task:?}")).to_owned()
    }

    fn task(&self, at: usize, method: &str, task: &str) -> Json {
        self.ask(at, TASKS, (method, task), &format!(r#""taskId":"{task}""#))
    }

    /// How a task stands, and the tag of what it ran.
    fn stands(&self, at: usize, task: &str) -> (String, Option<String>) {
        let got = self.task(at, "tasks/get", task);
        let status = said(&got, &["result", "status"]).text().unwrap_or_else(|| panic!("{got:?}")).to_owned();
        let tag = said(&got, &["result", "result", "structuredContent", "tag"]).text().map(str::to_owned);
        (status, tag)
    }

    fn approve(&self, at: usize) -> String {
        let id = eventually("it waits", || self.gateways[at].waiting_request().unwrap());
        text(&mut self.gateways[at].command(&["requests", "approve", &id])).unwrap();
        id
    }

    fn sql(&self, sql: &str) -> String {
        self.server.sql(DATABASE, sql).unwrap().trim().to_owned()
    }
}

fn said<'j>(message: &'j Json, path: &[&str]) -> &'j Json {
    path.iter().try_fold(message, |at, name| at.at(name)).unwrap_or(&Json::Null)
}

fn done(tag: &str) -> (String, Option<String>) {
    ("completed".to_owned(), Some(tag.to_owned()))
}

#[test]
fn what_was_begun_at_one_gateway_goes_on_at_another() {
    let two = Two::start();
    let update = |id: u32| format!("UPDATE shop SET total = 0 WHERE id = {id}");

    // What a client is given to bring back is good at any of them, and once.
    let asked = two.tool(0, PAGES, "query", &query(&update(1)), "");
    let given = said(&asked, &["result", "requestState"]).text().unwrap().to_owned();
    two.approve(1);
    let brought = format!(
        r#","requestState":{},"inputResponses":{{"approval":{{"action":"accept"}}}}"#,
        quoted(&given)
    );
    let ran = two.tool(1, PAGES, "query", &query(&update(1)), &brought);
    assert_eq!(said(&ran, &["result", "structuredContent", "tag"]).text(), Some("UPDATE 1"), "{ran:?}");
    let again = two.tool(0, PAGES, "query", &query(&update(1)), &brought);
    assert_eq!(said(&again, &["error", "code"]).number(), Some(-32602.0), "{again:?}");

    // A request is waited for wherever it was made; where its statement is not known it is to be sent again.
    let arguments = format!(r#"{{"target":"{DATABASE}","sql":{},"reason":"test"}}"#, quoted(&update(2)));
    let id = datum(&two.call(0, "request", &arguments).unwrap(), "request").text().unwrap().to_owned();
    let wait = format!(r#"{{"request":"{id}"}}"#);
    two.approve(1);
    let waited = two.call(1, "wait", &wait).unwrap();
    assert!(words(&waited).contains("Send exactly the same statement"), "{}", words(&waited));
    assert_eq!(datum(&two.call(1, "query", &query(&update(2))).unwrap(), "tag").text(), Some("UPDATE 1"));
    assert!(words(&two.call(0, "wait", &wait).unwrap()).contains("is done"));

    // A plan, which runs by itself.
    let both = format!("{}; {}", update(3), update(4));
    let arguments = format!(r#"{{"target":"{DATABASE}","sql":{},"reason":"test"}}"#, quoted(&both));
    let id = datum(&two.call(0, "submit_plan", &arguments).unwrap(), "request").text().unwrap().to_owned();
    two.approve(0);
    let came = eventually("it has run", || {
        let came = two.call(1, "wait", &format!(r#"{{"request":"{id}"}}"#)).unwrap();
        (datum(&came, "status").text() != Some("pending")).then_some(came)
    });
    assert!(words(&came).contains("UPDATE 1"), "{}", words(&came));
    assert_eq!(two.sql("SELECT count(*) FROM shop WHERE total = 0"), "4");

    // More rows are where they were read, which is said, with a way on.
    let some =
        r#"{"target":"shop","sql":"SELECT id FROM shop","rows":1}"#.replace("\"shop\"", &quoted(DATABASE));
    let cursor = datum(&two.call(0, "query", &some).unwrap(), "cursor").text().unwrap().to_owned();
    let more = format!(r#"{{"target":"{DATABASE}","sql":"SELECT id FROM shop","cursor":"{cursor}"}}"#);
    let refused = two.call(1, "query", &more).unwrap_err();
    assert!(words(&refused).contains("another gateway has read the rows"), "{}", words(&refused));
    assert!(
        words(&refused).contains("What it did is done. Run it again if it only reads."),
        "{}",
        words(&refused)
    );
    assert!(two.call(0, "query", &more).is_ok());
}

#[test]
fn a_task_is_one_whichever_gateway_is_asked_about_it() {
    let mut two = Two::start();
    let update = |id: u32| format!("UPDATE shop SET total = 0 WHERE id = {id}");
    let task = two.begin(0, &update(5));
    assert_eq!(two.stands(1, &task).0, "working");
    two.approve(1);
    for at in [1, 0] {
        let got = eventually("it has run", || Some(two.stands(at, &task)).filter(|s| s.0 == "completed"));
        assert_eq!(got, done("UPDATE 1"));
    }
    assert_eq!(two.sql("SELECT count(*) FROM shop WHERE total = 0"), "1");

    // What runs at one is cancelled at the other.
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(120)%' AND pid <> pg_backend_pid()";
    let task = two.begin(0, "UPDATE shop SET total = 0 WHERE id = 6 AND pg_sleep(120) IS NOT NULL");
    two.approve(0);
    eventually("it runs", || (two.sql(busy) == "1").then_some(()));
    assert!(two.task(1, "tasks/cancel", &task).at("result").is_some());
    assert_eq!(
        (two.stands(0, &task).0, two.stands(1, &task).0),
        ("cancelled".to_owned(), "cancelled".to_owned())
    );
    eventually("it ends at its target", || (two.sql(busy) == "0").then_some(()));
    assert_eq!(two.sql("SELECT total FROM shop WHERE id = 6"), "6");

    // Where it was begun is gone when somebody says yes.
    let task = two.begin(0, &update(7));
    assert_eq!(two.stands(1, &task).0, "working");
    two.gateways[0].kill();
    two.approve(1);
    let got = eventually("it has run", || Some(two.stands(1, &task)).filter(|s| s.0 == "completed"));
    assert_eq!(got, done("UPDATE 1"));

    // What was decided and masked by a configuration is shown as long as that is in force.
    let columns = vec![("public.shop.total".to_owned(), "hr.salary".to_owned())];
    let target = Target { columns, ..Target::new(DATABASE, two.server.port(), DATABASE) };
    two.gateways[1].apply(&[target], &[("test", &format!("{POLICY}{MORE}"))]).unwrap();
    let got = two.task(1, "tasks/get", &task);
    let answer = said(&got, &["result", "result", "structuredContent"]);
    assert_eq!(answer.at("code").and_then(Json::text), Some("55000"), "{got:?}");
    assert!(answer.at("tag").is_none(), "{got:?}");
}
