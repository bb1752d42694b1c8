//! Sound: for every statement our effects cover what the server's own analysis says. `CREATE FUNCTION … BEGIN ATOMIC` in a
//! transaction that is rolled back leaves the resolved statement in `pg_proc.prosqlbody` and its objects in `pg_depend`.

mod compare;
mod generate;
mod machinery;
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
            Item::Statement(statement) if is_copied_out(&statement) => (),
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

/// Data that nobody here reads.
fn is_copied_out(text: &str) -> bool {
    let text = compare::shown(text).to_ascii_lowercase();
    text.starts_with("copy") && text.contains("stdout")
}

/// Whether a statement may change what names mean.
fn changes(text: &str) -> bool {
    let text = compare::shown(text);
    let first = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
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

/// The statements that are written in the cases of an acceptance suite, on its database.
async fn acceptance(report: &mut Report, suite: &Path, python: &Path) {
    let settings =
        ["shared_preload_libraries=pg_stat_statements", "autovacuum=off", "max_prepared_transactions=5"];
    let server = testkit::postgres::Postgres::start(&settings).unwrap();
    server.sql("postgres", "CREATE DATABASE acceptance_shop").unwrap();
    let way = format!("host=127.0.0.1 port={} dbname=acceptance_shop user=postgres", server.port());
    let mut setup = std::process::Command::new(python);
    setup.env("PYTHONDONTWRITEBYTECODE", "1").arg(suite.join("run.py")).arg("--setup-only");
    testkit::process::text(setup.args(["--admin", &way, "--agent", &way])).unwrap();
    let mut written = std::process::Command::new(python);
    written.arg(crate::rig::folder("programs").join("statements.py")).arg(suite.join("cases"));
    let written = testkit::process::text(&mut written).unwrap();

    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port()).user("postgres").dbname("acceptance_shop");
    let mut session = Server::connect(&config).await;
    for path in ["\"$user\", public", "shop"] {
        session.run(&format!("SET search_path = {path}")).await.unwrap();
        session.changed();
        for text in written.split('\0') {
            report.compare(&mut session, text).await;
        }
    }
}

/// Fails where something is lacking, or where too little was compared to know.
#[track_caller]
fn judged(report: &Report, least: usize) {
    println!("{report}");
    for (why, count) in &report.refused {
        println!("{count:>6} not taken: {why}");
    }
    assert!(report.compared >= least, "only {} statements were compared", report.compared);
    assert!(report.unsound.is_empty(), "{} statements do more than we say", report.unsound.len());
}

fn way(server: &testkit::postgres::Postgres, database: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port()).user("postgres").dbname(database);
    config
}

#[test]
fn what_is_easily_overlooked_is_covered() {
    let server = testkit::postgres::Postgres::start(&[]).unwrap();
    let config = way(&server, "postgres");
    let report = on_large_stack(move || async move {
        let mut report = Report::default();
        let mut server = Server::connect(&config).await;
        let text = std::fs::read_to_string(crate::rig::folder("programs").join("sound.sql")).unwrap();
        follow(&mut server, &mut report, &text, &HashMap::new()).await;
        report
    });
    judged(&report, 40);
}

#[track_caller]
fn seeds(seeds: std::ops::Range<u64>) {
    let server = testkit::postgres::Postgres::start(&[]).unwrap();
    let config = way(&server, "postgres");
    let least = 80 * usize::try_from(seeds.end - seeds.start).unwrap();
    let report = on_large_stack(move || async move {
        let mut report = Report::default();
        for seed in seeds {
            random(&mut report, &config, seed, 160).await;
        }
        report
    });
    judged(&report, least);
}

#[test]
fn random_statements_are_covered() {
    seeds(0..4);
}

#[test]
#[ignore = "long: `cargo xtask conformance`"]
fn many_random_statements_are_covered() {
    seeds(1_000..1_100);
}

/// The folder of the acceptance suite: `DURWARD_SUITE`, or beside the repository. It is not part of it.
#[test]
fn statements_of_the_acceptance_suite_are_covered() {
    let beside = || crate::rig::folder("../../shared/acceptance/pg");
    let suite = std::env::var_os("DURWARD_SUITE").map_or_else(beside, PathBuf::from);
    if !suite.exists() {
        return println!("there is no suite in {}", suite.display());
    }
    let python = crate::rig::python();
    let report = on_large_stack(move || async move {
        let mut report = Report::default();
        acceptance(&mut report, &suite, &python).await;
        report
    });
    judged(&report, 200);
}

/// PostgreSQL's own regression tests: `DURWARD_PG_SOURCE` is the folder of the server's sources, `DURWARD_SOUND_FILES` names
/// some of the files; all that are of interest where it is not given.
#[test]
#[ignore = "long: `cargo xtask conformance`"]
fn regression_tests_of_the_server_are_covered() {
    let files = std::env::var("DURWARD_SOUND_FILES").unwrap_or_else(|_| REGRESS.to_owned());
    let source = PathBuf::from(std::env::var("DURWARD_PG_SOURCE").unwrap());
    let server = testkit::postgres::Postgres::start(&["max_locks_per_transaction=512"]).unwrap();
    let port = server.port();
    let report = on_large_stack(move || async move {
        let mut report = Report::default();
        for file in files.split_whitespace() {
            let before = report.unsound.len();
            regress(&mut report, port, &source, Path::new(file)).await;
            println!("{file}: {} compared", report.compared);
            report.unsound.iter().skip(before).for_each(|lack| println!("LACKS {lack}"));
        }
        report
    });
    judged(&report, 1);
}

/// In the order in which they build upon each other.
const REGRESS: &str = "test_setup.sql boolean.sql char.sql text.sql int4.sql int8.sql numeric.sql enum.sql rangetypes.sql \
    multirangetypes.sql strings.sql date.sql timestamptz.sql interval.sql inet.sql geometry.sql regex.sql expressions.sql \
    copy.sql copyselect.sql insert.sql insert_conflict.sql create_misc.sql create_operator.sql create_procedure.sql \
    create_table.sql create_type.sql create_index.sql create_view.sql create_aggregate.sql create_function_sql.sql \
    create_cast.sql constraints.sql triggers.sql select.sql inherit.sql typed_table.sql updatable_views.sql select_into.sql \
    select_distinct.sql select_distinct_on.sql select_implicit.sql select_having.sql subselect.sql union.sql case.sql \
    join.sql aggregates.sql transactions.sql portals.sql arrays.sql update.sql delete.sql namespace.sql matview.sql \
    rowsecurity.sql tablesample.sql groupingsets.sql identity.sql generated.sql merge.sql misc_functions.sql tsrf.sql tid.sql \
    rules.sql select_views.sql foreign_key.sql combocid.sql tsearch.sql window.sql functional_deps.sql json.sql jsonb.sql \
    jsonpath.sql jsonb_jsonpath.sql plancache.sql limit.sql plpgsql.sql copy2.sql temp.sql domain.sql rangefuncs.sql \
    prepare.sql truncate.sql alter_table.sql sequence.sql polymorphism.sql rowtypes.sql returning.sql with.sql xml.sql \
    partition_join.sql partition_prune.sql";
