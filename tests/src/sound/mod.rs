//! Sound: for every statement our effects cover what the server's own analysis says. `CREATE FUNCTION … BEGIN ATOMIC` in a
//! transaction that is rolled back leaves the resolved statement in `pg_proc.prosqlbody` and its objects in `pg_depend`.

mod compare;
mod depends;
mod generate;
mod machinery;
mod objects;
mod observe;
mod sample;
mod script;
mod seen;
mod server;
mod shadows;
mod tree;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use compare::Report;
use generate::Generator;
use observe::Then;
use script::{Item, Script, is_copied_out};
use seen::Watch;
use server::Server;

/// Statements nest; frames of unoptimised code are large.
const STACK: usize = 512 * 1024 * 1024;

/// The server counts calls of functions. What it asks of itself between statements is planned under the settings that a script
/// plays with, and is not to be compiled for that.
const WATCHED: [&str; 2] = ["track_functions=all", "jit=off"];

/// Runs something asynchronous on a large stack.
#[track_caller]
fn on_large_stack<T: Send + 'static, F: Future<Output = T>>(run: impl FnOnce() -> F + Send + 'static) -> T {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run())
    };
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap()
}

/// What is made of each statement: a comparison before it is carried out, and with what it does then.
#[derive(Default)]
struct Judges {
    report: Report,
    watch: Option<Watch>,
}

impl Judges {
    fn seeing() -> Self {
        Self { report: Report::default(), watch: Some(Watch::default()) }
    }

    /// Fails where something is lacking, or where too little was compared to know.
    #[track_caller]
    fn judged(&self, least: usize) {
        let report = &self.report;
        println!("{report}");
        for (why, count) in &report.refused {
            println!("{count:>6} not taken: {why}");
        }
        if let Some(watch) = &self.watch {
            println!("{watch}");
        }
        assert!(report.compared >= least, "only {} statements were compared", report.compared);
        assert!(report.unsound.is_empty(), "{} statements do more than we say", report.unsound.len());
        if let Some(watch) = &self.watch {
            assert!(watch.seen >= least, "only {} statements were seen", watch.seen);
            assert!(watch.lacks.is_empty(), "{} statements did more than we say", watch.lacks.len());
        }
    }
}

/// Carries a script out, and compares each statement.
async fn follow(server: &mut Server, judges: &mut Judges, text: &str, variables: &HashMap<String, String>) {
    let mut script = Script::new(text, variables.clone());
    while let Some(item) = script.next() {
        let (statement, data) = match &item {
            Item::Statement(statement) | Item::Gset(statement, _) => (statement.clone(), None),
            Item::Copy(statement, data) => (statement.clone(), Some(data.as_str())),
        };
        if server.client.is_closed() {
            // Some scripts end their own session.
            server.again().await;
        }
        judges.report.compare(server, &statement).await;
        match (&item, judges.watch.as_mut()) {
            (Item::Gset(_, prefix), _) => {
                for (name, value) in server.one_row(&statement).await {
                    script.variables.insert(format!("{prefix}{name}"), value);
                }
            }
            (_, Some(watch)) => watch.observe(server, &statement, data, Then::Kept).await,
            _ if is_copied_out(&statement) => (),
            _ => drop(server.carry_out(&statement, data).await),
        }
        match changes(&statement) {
            Changed::Nothing => (),
            Changed::Names => server.moved(),
            Changed::Objects => server.changed(),
        }
    }
}

/// What a statement may have changed.
enum Changed {
    Nothing,
    /// The search path, the role.
    Names,
    Objects,
}

fn changes(text: &str) -> Changed {
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
        "release",
        "start",
        "grant",
        "revoke",
        "truncate",
        "reindex",
        "notify",
        "listen",
        "unlisten",
        "deallocate",
        "checkpoint",
        "show",
        "lock",
        "comment",
        "begin",
        "(select",
    ];
    let is = |words: &[&str]| words.contains(&first.trim_end_matches([';', '(']));
    if is(&["set", "reset"]) || text.contains("set_config") {
        return Changed::Names;
    }
    // Functions may make temporary tables, and a rolled back transaction unmakes what it made.
    if is(&plain) && !text.to_ascii_lowercase().contains(" into ") {
        Changed::Nothing
    } else {
        Changed::Objects
    }
}

/// One file of the server's own regression tests, in the database that `test_setup.sql` prepares.
async fn regress(judges: &mut Judges, port: u16, source: &Path, file: &Path) {
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
    follow(&mut server, judges, &String::from_utf8_lossy(&text), &variables).await;
}

/// Random statements over the random schema of a seed.
async fn random(judges: &mut Judges, config: &tokio_postgres::Config, seed: u64, statements: usize) {
    let mut server = Server::connect(config).await;
    let mut generator = Generator::new(seed);
    for statement in generator.schema() {
        // A view may be none that the server takes.
        if server.run(&statement).await.is_err() {
            generator.is_missing(&statement);
        }
    }
    depends::compare(&mut server, &mut judges.report).await;
    for index in 0..statements {
        if index % 40 == 0 {
            server.run(&generator.path()).await.unwrap();
            // Superusers are above row security, and own what they use.
            let role = if index % 80 == 0 { "RESET ROLE" } else { "SET ROLE g_plain" };
            server.run(role).await.unwrap();
            server.changed();
        }
        let text = generator.statement();
        judges.report.compare(&mut server, &text).await;
        if let Some(watch) = &mut judges.watch {
            watch.observe(&mut server, &text, None, Then::Undone).await;
        }
    }
}

/// The statements that are written in the cases of an acceptance suite, on its database.
async fn acceptance(judges: &mut Judges, suite: &Path, python: &Path) {
    let settings =
        ["shared_preload_libraries=pg_stat_statements", "autovacuum=off", "max_prepared_transactions=5"];
    let server = testkit::postgres::Postgres::start(&[&settings[..], &WATCHED].concat()).unwrap();
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
    depends::compare(&mut session, &mut judges.report).await;
    for path in ["\"$user\", public", "shop"] {
        let path = format!("SET search_path = {path}");
        session.run(&path).await.unwrap();
        session.changed();
        for text in written.split('\0') {
            if session.client.is_closed() {
                // Some cases end their own session.
                session.again().await;
                session.run(&path).await.unwrap();
            }
            judges.report.compare(&mut session, text).await;
            if let Some(watch) = &mut judges.watch {
                watch.observe(&mut session, text, None, Then::Undone).await;
            }
        }
    }
}

fn way(server: &testkit::postgres::Postgres, database: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port()).user("postgres").dbname(database);
    config
}

#[test]
fn what_is_easily_overlooked_is_covered() {
    let server = testkit::postgres::Postgres::start(&WATCHED).unwrap();
    let config = way(&server, "postgres");
    let judges = on_large_stack(move || async move {
        let mut judges = Judges::seeing();
        let mut server = Server::connect(&config).await;
        let text = std::fs::read_to_string(crate::rig::folder("programs").join("sound.sql")).unwrap();
        follow(&mut server, &mut judges, &text, &HashMap::new()).await;
        depends::compare(&mut server, &mut judges.report).await;
        judges
    });
    judges.judged(40);
}

#[track_caller]
fn seeds(seeds: std::ops::Range<u64>) {
    let server = testkit::postgres::Postgres::start(&WATCHED).unwrap();
    let config = way(&server, "postgres");
    let least = 80 * usize::try_from(seeds.end - seeds.start).unwrap();
    let judges = on_large_stack(move || async move {
        let mut judges = Judges::seeing();
        for seed in seeds {
            random(&mut judges, &config, seed, 160).await;
        }
        judges
    });
    judges.judged(least);
}

#[test]
fn random_statements_are_covered() {
    seeds(0..2);
}

#[test]
#[ignore = "long: `cargo xtask conformance`"]
fn many_random_statements_are_covered() {
    seeds(1_000..1_040);
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
    let judges = on_large_stack(move || async move {
        let mut judges = Judges::seeing();
        acceptance(&mut judges, &suite, &python).await;
        judges
    });
    judges.judged(200);
}

/// PostgreSQL's own regression tests: `DURWARD_PG_SOURCE` is the folder of the server's sources, `DURWARD_SOUND_FILES` names
/// some of the files; all that are of interest where it is not given.
#[test]
#[ignore = "long: `cargo xtask conformance`"]
fn regression_tests_of_the_server_are_covered() {
    let files = std::env::var("DURWARD_SOUND_FILES").unwrap_or_else(|_| REGRESS.to_owned());
    let source = PathBuf::from(std::env::var("DURWARD_PG_SOURCE").unwrap());
    let server =
        testkit::postgres::Postgres::start(&[&["max_locks_per_transaction=512"][..], &WATCHED].concat())
            .unwrap();
    let port = server.port();
    let judges = on_large_stack(move || async move {
        let mut judges = Judges::seeing();
        for file in files.split_whitespace() {
            let (before, unsaid) =
                (judges.report.unsound.len(), judges.watch.as_ref().map_or(0, |w| w.lacks.len()));
            regress(&mut judges, port, &source, Path::new(file)).await;
            let (report, watch) = (&judges.report, judges.watch.iter());
            println!(
                "{file}: {} compared, {} seen",
                report.compared,
                watch.clone().map(|w| w.seen).sum::<usize>()
            );
            report.unsound.iter().skip(before).for_each(|lack| println!("LACKS {lack}"));
            watch.flat_map(|w| w.lacks.iter().skip(unsaid)).for_each(|lack| println!("UNSAID {lack}"));
        }
        judges
    });
    judges.judged(1);
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
