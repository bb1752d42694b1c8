//! What was understood before is understood anew where it means something else now: texts that differ in a literal, prepared
//! statements under another path, names that something temporary hides, definitions that changed.

use tokio_postgres::Client;

use crate::rig::{DATABASE, Rig};

const POLICY: &str = "@id(\"all\")\npermit (principal, action, resource);\n\
     @id(\"kept\")\nforbid (principal, action in Action::\"write\", resource in Schema::\"sample/kept\");\n\
     @id(\"unknown\")\nforbid (principal, action == Action::\"unknown\", resource);\n";

const SAMPLE: &str = "
    CREATE SCHEMA kept; CREATE SCHEMA mine; CREATE TABLE kept.ledger (what text);
    CREATE FUNCTION kept.put() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO kept.ledger VALUES ('written'); END $$;
    CREATE FUNCTION mine.number(integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM kept.put(); RETURN $1; END $$;
    CREATE FUNCTION mine.abs(integer) RETURNS integer LANGUAGE sql AS 'SELECT mine.number($1)';
    CREATE FUNCTION mine.sized(integer) RETURNS integer LANGUAGE sql AS 'SELECT mine.number(1)';
    CREATE FUNCTION mine.sized(bigint) RETURNS integer LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION mine.sized(numeric) RETURNS integer LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION mine.wide(float4) RETURNS integer LANGUAGE sql AS 'SELECT mine.number(1)';
    CREATE FUNCTION mine.wide(float8) RETURNS integer LANGUAGE sql AS 'SELECT 1';
    CREATE TYPE mine.pair AS (a integer, b integer);
    CREATE FUNCTION mine.cmp(mine.pair, mine.pair) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM kept.put(); RETURN ($1).a - ($2).a; END $$;
    CREATE FUNCTION mine.lt(mine.pair, mine.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a < ($2).a';
    CREATE FUNCTION mine.eq(mine.pair, mine.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a = ($2).a';
    CREATE OPERATOR mine.< (LEFTARG = mine.pair, RIGHTARG = mine.pair, FUNCTION = mine.lt);
    CREATE OPERATOR mine.= (LEFTARG = mine.pair, RIGHTARG = mine.pair, FUNCTION = mine.eq);
    CREATE OPERATOR CLASS mine.pair_order DEFAULT FOR TYPE mine.pair USING btree AS OPERATOR 1 mine.<, OPERATOR 3 mine.=, FUNCTION 1 mine.cmp(mine.pair, mine.pair);
    CREATE TABLE mine.pairs (id integer, p mine.pair);
    INSERT INTO mine.pairs SELECT n, ROW(n % 3, n)::mine.pair FROM generate_series(1, 6) n;
    CREATE TABLE public.seen (id integer);
    INSERT INTO public.seen VALUES (1);
    CREATE VIEW mine.seen AS SELECT mine.number(1) AS id;
    CREATE SEQUENCE kept.counter; CREATE SEQUENCE public.counter;
    CREATE FUNCTION mine.pathed() RETURNS integer LANGUAGE sql SET search_path = mine, pg_catalog AS 'SELECT abs(1)';
    CREATE TABLE kept.plain (id integer);
    TRUNCATE kept.ledger";

/// Before each: definitions are as they were.
const ANEW: &str = "
    CREATE OR REPLACE FUNCTION public.later() RETURNS integer LANGUAGE sql AS 'SELECT 1';
    DROP TABLE IF EXISTS public.later_table;
    CREATE TABLE public.later_table (id integer);
    TRUNCATE kept.ledger";

const LATER: &str =
    "CREATE OR REPLACE FUNCTION public.later() RETURNS integer LANGUAGE sql AS 'SELECT mine.number(1)'";
const MINE: &str = "SET search_path = mine, pg_catalog, public";
const HIDES: &str = "CREATE TEMP TABLE seen (id integer DEFAULT mine.number(1))";

/// The last step writes, all others are allowed.
const CASES: &[&[&str]] = &[
    &["SELECT mine.sized(-2147483649)", "SELECT mine.sized(-2147483648)"],
    &["SELECT mine.sized(2147483648)", "SELECT mine.sized(2147483647)"],
    &["SELECT mine.sized(-1.5)", "SELECT mine.sized(-1)"],
    &["SELECT mine.wide(1::float(53))", "SELECT mine.wide(1::float(1))"],
    &["SELECT id, p FROM mine.pairs ORDER BY 1", "SELECT id, p FROM mine.pairs ORDER BY 2"],
    &["SELECT count(*), id FROM mine.pairs GROUP BY 2", "SELECT count(*), p FROM mine.pairs GROUP BY 2"],
    &["SELECT DISTINCT ON (1) id, p FROM mine.pairs", "SELECT DISTINCT ON (2) id, p FROM mine.pairs"],
    &["SELECT abs(-1)", MINE, "SELECT abs(-1)"],
    &["SELECT abs(-1)", "SELECT set_config('search_path', 'mine, pg_catalog', false)", "SELECT abs(-2)"],
    &["BEGIN", "SELECT abs(-1)", "SET LOCAL search_path = mine, pg_catalog", "SELECT abs(-1)"],
    &[MINE, "BEGIN", "SET LOCAL search_path = public", "SELECT abs(-1)", "ROLLBACK", "SELECT abs(-1)"],
    &[
        MINE,
        "BEGIN",
        "SAVEPOINT a",
        "SET search_path = public",
        "SELECT abs(-1)",
        "ROLLBACK TO a",
        "SELECT abs(-1)",
    ],
    &["SET search_path = public; SELECT abs(-1)", "SET search_path = mine, pg_catalog; SELECT abs(-1)"],
    &["SELECT set_config('search_path', 'mine, pg_catalog', false); SELECT abs(-1)"],
    &["PREPARE q AS SELECT abs(-1)", "EXECUTE q", MINE, "EXECUTE q"],
    &["PREPARE q AS SELECT abs(-1)", "EXECUTE q", "SET search_path = mine, pg_catalog; EXECUTE q"],
    &["PREPARE q AS SELECT abs(-1)", MINE, "CREATE TEMP TABLE t AS EXECUTE q"],
    &["PREPARE q AS SELECT abs(-1)", MINE, "EXPLAIN ANALYZE EXECUTE q"],
    &["PREPARE q AS INSERT INTO seen DEFAULT VALUES", "EXECUTE q", HIDES, "EXECUTE q"],
    &["INSERT INTO seen DEFAULT VALUES", HIDES, "INSERT INTO seen DEFAULT VALUES"],
    &[
        "INSERT INTO seen DEFAULT VALUES",
        HIDES,
        "DISCARD TEMP",
        "INSERT INTO seen DEFAULT VALUES",
        HIDES,
        "INSERT INTO seen DEFAULT VALUES",
    ],
    &["INSERT INTO seen DEFAULT VALUES", "BEGIN", HIDES, "INSERT INTO seen DEFAULT VALUES"],
    &[
        "BEGIN",
        HIDES,
        "ROLLBACK",
        "INSERT INTO seen DEFAULT VALUES",
        HIDES,
        "INSERT INTO seen DEFAULT VALUES",
    ],
    &[
        "INSERT INTO seen DEFAULT VALUES",
        "CREATE TEMP TABLE seen (id integer DEFAULT mine.number(1)); INSERT INTO seen DEFAULT VALUES",
    ],
    &[
        "INSERT INTO seen DEFAULT VALUES",
        HIDES,
        "INSERT INTO public.seen DEFAULT VALUES",
        "SET search_path = public, pg_temp",
        "INSERT INTO seen DEFAULT VALUES",
        "SET search_path = pg_temp, public",
        "INSERT INTO seen DEFAULT VALUES",
    ],
    &["SELECT public.later()", LATER, "SELECT public.later()"],
    &["PREPARE q AS SELECT public.later()", "EXECUTE q", LATER, "EXECUTE q"],
    &["SELECT public.later()", "BEGIN", LATER, "SELECT public.later()"],
    &[
        "INSERT INTO public.later_table VALUES (1)",
        "ALTER TABLE public.later_table ALTER id SET DEFAULT mine.number(1)",
        "INSERT INTO public.later_table DEFAULT VALUES",
    ],
    &[
        "INSERT INTO public.later_table VALUES (1)",
        "CREATE RULE r AS ON INSERT TO public.later_table DO ALSO SELECT mine.number(1)",
        "INSERT INTO public.later_table VALUES (2)",
    ],
    &[
        "PREPARE q AS INSERT INTO public.later_table VALUES ($1)",
        "EXECUTE q (1)",
        "ALTER TABLE public.later_table ADD COLUMN k integer DEFAULT 1",
        "ALTER TABLE public.later_table ALTER k SET DEFAULT mine.number(1)",
        "EXECUTE q (1)",
    ],
    &[
        "CREATE FUNCTION pg_temp.f() RETURNS integer LANGUAGE sql AS 'SELECT mine.number(1)'",
        "SELECT pg_temp.f()",
    ],
    &["SELECT mine.pathed()"],
    &["SELECT nextval('public.counter')", "SELECT mine.number(nextval('public.counter')::integer)"],
    &["PREPARE q (integer) AS SELECT $1", "EXECUTE q (1)", "EXECUTE q (mine.number(1))"],
];

async fn ledger(server: &Client) -> i64 {
    server.query_one("SELECT count(*) FROM kept.ledger", &[]).await.unwrap().get(0)
}

/// Waits until the gateway has seen that definitions are as they were.
async fn settles(rig: &Rig) {
    let client = rig.through().connect().await;
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let honest = ["SELECT public.later()", "INSERT INTO public.later_table (id) VALUES (0)"];
        if walk(&client, &honest).await.is_none() {
            return;
        }
    }
    panic!("what is harmless again is refused for half a minute");
}

/// Steps in one session; which of them failed first, and how.
async fn walk(client: &Client, steps: &[&str]) -> Option<(usize, tokio_postgres::Error)> {
    for (index, step) in steps.iter().enumerate() {
        if let Err(error) = client.batch_execute(step).await {
            return Some((index, error));
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_means_something_else_now_is_understood_anew() {
    let rig = Rig::start(&["autovacuum=off"], POLICY);
    rig.server.sql(DATABASE, SAMPLE).unwrap();
    rig.server.sql(DATABASE, ANEW).unwrap();
    settles(&rig).await;
    let server = rig.direct().connect().await;
    let mut wrong = Vec::new();
    for steps in CASES {
        let changes = steps.iter().any(|step| step.contains("later"));
        let anew = if changes { ANEW } else { "TRUNCATE kept.ledger" };
        server.batch_execute(anew).await.unwrap();
        let direct = rig.direct().connect().await;
        if let Some((index, error)) = walk(&direct, steps).await {
            wrong.push(format!("step {index} of {steps:?}: {error:?}"));
            continue;
        }
        // What is in a transaction that is open is seen by whoever has it open.
        let is_attack = ledger(&direct).await > 0;
        drop(direct);
        server.batch_execute(anew).await.unwrap();
        if changes {
            settles(&rig).await;
        }
        let client = rig.through().connect().await;
        let failed = walk(&client, steps).await;
        let last = steps.len() - 1;
        match &failed {
            Some((index, error))
                if is_attack && *index == last && error.code().is_some_and(|c| c.code() == "42501") => {}
            None if !is_attack => {}
            other => wrong.push(format!("{steps:?}: attack {is_attack}, {other:?}")),
        }
        drop(client);
        if ledger(&server).await > 0 {
            wrong.push(format!("WRITTEN: {steps:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_the_wire_prepared_is_understood_anew() {
    let rig = Rig::start(&["autovacuum=off"], POLICY);
    rig.server.sql(DATABASE, SAMPLE).unwrap();
    rig.server.sql(DATABASE, ANEW).unwrap();
    settles(&rig).await;
    let server = rig.direct().connect().await;
    for (text, between) in [
        ("SELECT abs(-1)", MINE),
        ("INSERT INTO seen DEFAULT VALUES", HIDES),
        ("SELECT public.later()", LATER),
    ] {
        for direct in [true, false] {
            server.batch_execute(ANEW).await.unwrap();
            settles(&rig).await;
            let way = if direct { rig.direct() } else { rig.through() };
            let client = way.connect().await;
            let prepared = client.prepare(text).await.unwrap();
            client.query(&prepared, &[]).await.unwrap();
            client.batch_execute(between).await.unwrap();
            let again = client.query(&prepared, &[]).await;
            assert_eq!(ledger(&server).await > 0, direct, "{text}, {between}: {again:?}");
            assert_eq!(again.is_ok(), direct, "{text}, {between}: {again:?}");
        }
    }
}

/// Another session changes a definition, through the gateway and beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_change_is_seen() {
    let rig = Rig::start(&["autovacuum=off"], POLICY);
    rig.server.sql(DATABASE, SAMPLE).unwrap();
    rig.server.sql(DATABASE, ANEW).unwrap();
    settles(&rig).await;
    let server = rig.direct().connect().await;
    for beside in [false, true] {
        server.batch_execute(ANEW).await.unwrap();
        settles(&rig).await;
        let client = rig.through().connect().await;
        let prepared = client.prepare("SELECT public.later()").await.unwrap();
        client.query(&prepared, &[]).await.unwrap();
        client.batch_execute("SELECT public.later()").await.unwrap();
        let other = if beside { rig.direct() } else { rig.through() }.connect().await;
        other.batch_execute(LATER).await.unwrap();
        let mut tries = 0;
        if beside {
            // It is polled; a machine that is busy takes its time. Until then the server refuses what turns out to write.
            let seen = async || {
                let done = client.batch_execute("SELECT public.later()").await;
                done.is_err_and(|error| error.code().is_some_and(|code| code.code() == "42501"))
            };
            while !seen().await && tries < 100 {
                tries += 1;
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            server.batch_execute("TRUNCATE kept.ledger").await.unwrap();
        }
        for (how, done) in [
            ("prepared", client.query(&prepared, &[]).await.err()),
            ("simple", client.batch_execute("SELECT public.later()").await.err()),
        ] {
            let code = done.and_then(|e| e.code().cloned()).map(|c| c.code().to_owned());
            assert_eq!(code.as_deref(), Some("42501"), "{how}, beside: {beside}");
        }
        assert_eq!(ledger(&server).await, 0, "beside: {beside}");
    }
}
