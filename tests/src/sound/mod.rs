//! Sound: for every statement our effects cover what the server's own analysis says. `CREATE FUNCTION … BEGIN ATOMIC` in a
//! transaction that is rolled back leaves the resolved statement in `pg_proc.prosqlbody` and its objects in `pg_depend`.

mod compare;
mod generate;
mod objects;
mod script;
mod server;
mod tree;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use compare::Report;
use generate::Generator;
use script::{Item, Script};
use server::Server;

/// Statements nest; frames of unoptimised code are large.
const STACK: usize = 512 * 1024 * 1024;

/// Runs something asynchronous on a large stack.
#[track_caller]
fn on_large_stack<T: Send + 'static, F: Future<Output = T>>(run: impl FnOnce() -> F + Send + 'static) -> T {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run())
    };
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap()
}

/// Carries a script out, and compares each statement that a function can hold before that.
async fn follow(server: &mut Server, report: &mut Report, text: &str, variables: &HashMap<String, String>) {
    let mut script = Script::new(text, variables.clone());
    while let Some(item) = script.next() {
        let statement = match &item {
            Item::Statement(statement) | Item::Gset(statement, _) | Item::Copy(statement, _) => {
                statement.clone()
            }
        };
        report.compare(server, &statement).await;
        match item {
            Item::Statement(statement) => drop(server.run(&statement).await),
            Item::Gset(statement, prefix) => {
                for (name, value) in server.one_row(&statement).await {
                    script.variables.insert(format!("{prefix}{name}"), value);
                }
            }
            Item::Copy(statement, data) => server.copy_in(&statement, data).await,
        }
        if changes(&statement) {
            server.changed();
        }
    }
}

/// Whether a statement may change what names mean.
fn changes(text: &str) -> bool {
    let first = text.split_whitespace().find(|word| !word.starts_with("--")).unwrap_or_default();
    let first = first.to_ascii_lowercase();
    let plain = [
        "select",
        "insert",
        "update",
        "delete",
        "values",
        "with",
        "explain",
        "fetch",
        "analyze",
        "vacuum",
        "copy",
        "table",
        "merge",
        "move",
        "declare",
        "close",
        "prepare",
        "execute",
        "savepoint",
        "show",
        "lock",
        "comment",
        "begin",
        "(select",
    ];
    !plain.iter().any(|word| first.trim_end_matches([';', '(']) == *word)
        || text.to_ascii_lowercase().contains(" into ")
}

#[test]
#[ignore = "by hand: DURWARD_SOUND_FILES names scripts, DURWARD_PG_SOURCE the folder of the server's sources"]
fn scripts_by_hand() {
    let files = std::env::var("DURWARD_SOUND_FILES").unwrap();
    let source = PathBuf::from(std::env::var("DURWARD_PG_SOURCE").unwrap_or_default());
    let server = testkit::postgres::Postgres::start(&["max_locks_per_transaction=512"]).unwrap();
    let port = server.port();
    let report = on_large_stack(move || async move {
        let mut report = Report::default();
        for file in files.split_whitespace() {
            regress(&mut report, port, &source, Path::new(file)).await;
            println!("{file}: {}", report.compared);
        }
        report
    });
    println!("{report}");
}

/// One file of the server's own regression tests, in the database that `test_setup.sql` prepares.
async fn regress(report: &mut Report, port: u16, source: &Path, file: &Path) {
    let folder = source.join("src/test/regress");
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user("postgres").dbname("regression");
    if config.connect(tokio_postgres::NoTls).await.is_err() {
        let mut first = config.clone();
        let (client, connection) = first.dbname("postgres").connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("CREATE DATABASE regression").await.unwrap();
    }
    let mut server = Server::connect(&config).await;
    let variables: HashMap<String, String> = [
        ("PG_ABS_SRCDIR", folder.display().to_string()),
        ("PG_LIBDIR", "/nowhere".to_owned()),
        ("PG_DLSUFFIX", ".so".to_owned()),
        ("PG_ABS_BUILDDIR", "/nowhere".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let path = if file.exists() { file.to_owned() } else { folder.join("sql").join(file) };
    let text = std::fs::read(&path).unwrap();
    follow(&mut server, report, &String::from_utf8_lossy(&text), &variables).await;
}

/// Random statements over the random schema of a seed.
async fn random(report: &mut Report, config: &tokio_postgres::Config, seed: u64, statements: usize) {
    let mut server = Server::connect(config).await;
    let mut generator = Generator::new(seed);
    for statement in generator.schema() {
        // A view may be none that the server takes.
        if server.run(&statement).await.is_err() {
            generator.is_missing(&statement);
        }
    }
    for index in 0..statements {
        if index % 40 == 0 {
            server.run(&generator.path()).await.unwrap();
            server.changed();
        }
        let text = generator.statement();
        report.compare(&mut server, &text).await;
    }
}

#[test]
#[ignore = "by hand: DURWARD_SOUND_SEEDS says how many"]
fn seeds_by_hand() {
    let seeds: u64 = std::env::var("DURWARD_SOUND_SEEDS").unwrap().parse().unwrap();
    let first: u64 = std::env::var("DURWARD_SOUND_FIRST").unwrap_or_default().parse().unwrap_or(0);
    let server = testkit::postgres::Postgres::start(&[]).unwrap();
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port()).user("postgres").dbname("postgres");
    let report = on_large_stack(move || async move {
        let mut report = Report::default();
        for seed in first..first + seeds {
            random(&mut report, &config, seed, 200).await;
        }
        report
    });
    println!("{report}");
    for (why, count) in &report.refused {
        println!("{count:>6} not taken: {why}");
    }
}
