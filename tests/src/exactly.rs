//! An approval is for what its approver saw, and for nothing else: the same text and bytes may mean something else by the
//! types that a Parse gives its parameters, by their formats, and by settings under which the server reads texts.

use testkit::durward::Target;
use testkit::process::text;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::rig::{DATABASE, Rig, server};

const POLICY: &str = r#"
@id("all") permit (principal, action, resource);
@id("held") @approvers("admins")
forbid (principal, action in Action::"write", resource)
unless { context.approvals.contains("held") };
"#;

/// Whoever sends a held statement waits so long for its answer.
const SHORT: &str = "[limits]\nhold = \"1s\"";

/// A statement as one session sends it: what it sets before, the text, and its parameter with its type.
struct Sent {
    before: &'static str,
    text: &'static str,
    parameter: Option<(Type, Box<dyn ToSql + Sync + Send>)>,
}

fn plain(before: &'static str, text: &'static str) -> Sent {
    Sent { before, text, parameter: None }
}

fn with(kind: Type, value: impl ToSql + Sync + Send + 'static) -> Sent {
    bound("DELETE FROM lines WHERE id < $1", kind, value)
}

fn bound(text: &'static str, kind: Type, value: impl ToSql + Sync + Send + 'static) -> Sent {
    Sent { before: "", text, parameter: Some((kind, Box::new(value))) }
}

impl Sent {
    /// The SQLSTATE with which it failed, or nothing.
    async fn by(&self, client: &Client) -> Option<String> {
        client.batch_execute(self.before).await.unwrap();
        let done = match &self.parameter {
            None => client.batch_execute(self.text).await,
            Some((kind, value)) => {
                let statement = client.prepare_typed(self.text, std::slice::from_ref(kind)).await.unwrap();
                client.execute(&statement, &[value.as_ref()]).await.map(drop)
            }
        };
        done.err().map(|error| error.code().expect("a SQLSTATE").code().to_owned())
    }
}

fn run(rig: &Rig, arguments: &[&str]) -> String {
    tokio::task::block_in_place(|| text(&mut rig.gateway.command(arguments))).unwrap()
}

fn waiting(rig: &Rig) -> Option<String> {
    tokio::task::block_in_place(|| rig.gateway.waiting_request()).unwrap()
}

fn lines() -> Rig {
    let server = server(&[]);
    let sample = "CREATE TABLE lines (id int, day date, at timestamptz);
        INSERT INTO lines SELECT n, '2026-06-01', '2026-06-01 12:00 UTC' FROM generate_series(1, 1000) n";
    server.sql(DATABASE, sample).unwrap();
    let target = Target::new(DATABASE, server.port(), DATABASE);
    Rig::of(server, &target, SHORT, POLICY)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_text_and_bytes_that_mean_something_else_ask_anew() {
    let rig = lines();
    // As a number with a fraction this is ten, as one without it is more than any id.
    let ten = 10_f64;
    let many = i64::from_be_bytes(ten.to_be_bytes());
    let by_day = "DELETE FROM lines WHERE day < '01/07/2026'";
    let by_time = "DELETE FROM lines WHERE at < '2026-06-01 13:00'";
    let by_span = "DELETE FROM lines WHERE at < '2026-06-01 13:00+00'::timestamptz + '-1 2:00'::interval";
    let by_text = "DELETE FROM lines WHERE day::text = coalesce($1, day::text)";
    let (by_any, by_id) = ("DELETE FROM lines WHERE id = ANY ($1)", "DELETE FROM lines WHERE id < 0");
    for (approved, sent, same) in [
        (with(Type::FLOAT8, ten), with(Type::FLOAT8, ten), true),
        (with(Type::FLOAT8, ten), with(Type::INT8, many), false),
        (with(Type::INT8, 3_i64), with(Type::INT8, 3_i64), true),
        (with(Type::INT8, 3_i64), with(Type::INT4, 3_i32), false),
        (plain("SET datestyle = 'MDY'", by_day), plain("SET datestyle = 'MDY'", by_day), true),
        (plain("SET datestyle = 'MDY'", by_day), plain("SET datestyle = 'DMY'", by_day), false),
        (plain("SET timezone = 'UTC'", by_time), plain("SET timezone = 'UTC'", by_time), true),
        (plain("SET timezone = 'UTC+2'", by_time), plain("SET timezone = 'UTC-2'", by_time), false),
        (
            plain("SET intervalstyle = 'postgres'", by_span),
            plain("SET intervalstyle = 'sql_standard'", by_span),
            false,
        ),
        // A statement can read each of them: current_setting('work_mem').
        (plain("SET timezone = 'UTC'", by_time), plain("SET work_mem = '8MB'", by_time), false),
        (plain("SET work_mem = '8MB'", by_time), plain("SET work_mem = '8MB'", by_time), true),
        (bound(by_text, Type::TEXT, ""), bound(by_text, Type::TEXT, None::<String>), false),
        (bound(by_any, Type::INT4_ARRAY, vec![1, 2]), bound(by_any, Type::INT4_ARRAY, vec![1, 2, 3]), false),
        (
            plain("", "DELETE FROM lines WHERE id < 1.0"),
            plain("", "DELETE FROM lines WHERE id < 1.00"),
            false,
        ),
        // A table of the session's own stands before the one that was shown, or did and is gone.
        (plain("", by_id), plain("CREATE TEMP TABLE lines (id int)", by_id), false),
        (
            plain("CREATE TEMP TABLE IF NOT EXISTS lines (id int)", by_id),
            plain("DROP TABLE pg_temp.lines", by_id),
            false,
        ),
    ] {
        let what = format!("{} {}, then {}", approved.text, approved.before, sent.before);
        let (first, second) = (rig.through().connect().await, rig.through().connect().await);
        second.batch_execute(approved.before).await.unwrap();
        assert_eq!(approved.by(&first).await.as_deref(), Some("ZD001"), "{what}");
        let id = waiting(&rig).expect("a request");
        run(&rig, &["requests", "approve", &id]);
        let expected = (!same).then_some("ZD001");
        assert_eq!(sent.by(&second).await.as_deref(), expected, "{what}");
        // An approval that was not used up is not to meet a later case, and neither is what asked anew.
        if !same {
            assert_eq!(approved.by(&first).await, None, "{what}: it still stands for what was approved");
        }
        while let Some(id) = waiting(&rig) {
            run(&rig, &["requests", "deny", &id]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approver_sees_the_value_that_the_server_will_read() {
    let rig = lines();
    let client = rig.through().connect().await;
    // In the binary format these are the bytes of the text 0010.
    let bytes_of_a_text = i32::from_be_bytes(*b"0010");
    assert_eq!(with(Type::INT4, bytes_of_a_text).by(&client).await.as_deref(), Some("ZD001"));
    let id = waiting(&rig).expect("a request");
    let shown = run(&rig, &["requests", "show", &id]);
    assert!(!shown.contains("'0010'"), "{shown}");
    assert!(shown.contains("30303130") || shown.contains("808464688"), "{shown}");
    run(&rig, &["requests", "deny", &id]);
    // The literals of a text have the numbers by which they are shown, also behind a parameter that nothing uses.
    let statement =
        client.prepare_typed("DELETE FROM lines WHERE id < 1000000", &[Type::INT4]).await.unwrap();
    client.execute(&statement, &[&5_i32]).await.unwrap_err();
    let id = waiting(&rig).expect("a request");
    let shown = run(&rig, &["requests", "show", &id]);
    assert!(shown.contains("id < $2") && shown.contains("$2 (number) = '1000000'"), "{shown}");
}
