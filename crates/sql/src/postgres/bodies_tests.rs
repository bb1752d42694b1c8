//! What bodies of functions do, however they are written, and under which names they run.

use super::NoNames;
use super::catalog::{Catalog, Function, FunctionKind, Oid, shop};
use super::names_tests::said;
use super::*;

/// A function that a user made, with a result of type text.
struct Made {
    name: &'static str,
    language: &'static str,
    source: &'static str,
    path: Option<&'static str>,
    definer: bool,
    /// The table of `shop` whose row it takes as `c`.
    row: Option<&'static str>,
}

impl Made {
    const fn new(name: &'static str, language: &'static str, source: &'static str) -> Self {
        Self { name, language, source, path: None, definer: false, row: None }
    }

    const fn under(self, path: &'static str) -> Self {
        Self { path: Some(path), ..self }
    }

    const fn of(self, table: &'static str) -> Self {
        Self { row: Some(table), ..self }
    }

    const fn by_its_owner(self) -> Self {
        Self { definer: true, ..self }
    }
}

/// The sample with tables `products` in both schemas, `shop.lower(text)` as it is there, and these functions in `shop`.
fn with(made: &[Made]) -> Catalog {
    let mut catalog = shop();
    let mut twin = catalog.relation("shop", "products").expect("it is there").clone();
    (twin.oid, twin.schema) = (Oid(950_000), "vault".to_owned());
    catalog.relation_names.entry("vault".to_owned()).or_default().insert("products".to_owned(), twin.oid);
    catalog.relations.insert(twin.oid, twin);
    for (oid, made) in (950_001..).map(Oid).zip(made) {
        let row = made.row.and_then(|table| catalog.type_named("shop", table)).map(|t| t.oid);
        let function = Function {
            oid,
            schema: "shop".to_owned(),
            name: made.name.to_owned(),
            kind: FunctionKind::Function,
            arguments: row.into_iter().collect(),
            argument_names: row.map(|_| Some("c".to_owned())).into_iter().collect(),
            defaults: 0,
            default_expressions: None,
            variadic: false,
            returns: Oid(25),
            returns_set: false,
            out_columns: Vec::new(),
            language: made.language.to_owned(),
            source: made.source.to_owned(),
            sql_body: None,
            config: made.path.map(|path| ("search_path".to_owned(), path.to_owned())).into_iter().collect(),
            security_definer: made.definer,
            parts: Vec::new(),
            extension: None,
        };
        catalog.function_names.entry(function.name.clone()).or_default().push(oid);
        catalog.functions.insert(oid, function);
    }
    catalog
}

fn lines(made: &[Made], text: &str) -> Vec<String> {
    let catalog = with(made);
    let path = ["pg_catalog".to_owned(), "shop".to_owned()];
    let session = Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames };
    let analysis = analyse(text, &session, &Options::default()).unwrap_or_else(|r| panic!("{text}: {r}"));
    said(&analysis)
}

/// A function of this body in PL/pgSQL is called: what must and what must not be said of that.
#[track_caller]
fn body(source: &'static str, there: &[&str], not_there: &[&str]) {
    called(&[Made::new("f", "plpgsql", source)], "SELECT shop.f() AS it", there, not_there);
}

#[track_caller]
fn called(made: &[Made], text: &str, there: &[&str], not_there: &[&str]) {
    let lines = lines(made, text);
    for part in there {
        assert!(lines.iter().any(|l| l.contains(part)), "{text}: no {part} in {lines:#?}");
    }
    for part in not_there {
        assert!(!lines.iter().any(|l| l.contains(part)), "{text}: {part} in {lines:#?}");
    }
}

#[test]
fn code_that_defines_something_while_it_runs_is_not_known_to_read_what_was_there() {
    const REPLACES: &str =
        "BEGIN CREATE OR REPLACE FUNCTION shop.g() RETURNS text LANGUAGE sql AS 'SELECT 1'; RETURN 1; END";
    const RENAMES: &str = "BEGIN ALTER TABLE shop.products RENAME TO gone; RETURN 1; END";
    const TEMPORARY: &str = "BEGIN CREATE TEMP TABLE made (a int); RETURN 1; END";
    const FIRES: &str = "BEGIN SET CONSTRAINTS ALL IMMEDIATE; RETURN 1; END";
    for source in [REPLACES, RENAMES, TEMPORARY, FIRES] {
        body(source, &["unknown"], &[]);
    }
    // What is put off runs at the end, when nothing else does.
    body("BEGIN SET CONSTRAINTS ALL DEFERRED; RETURN 1; END", &[], &["unknown"]);
    for (code, is_known) in [
        ("CREATE TABLE made (a int); ALTER TABLE shop.products ADD made int", true),
        (
            "IF NOT EXISTS (SELECT FROM pg_class WHERE relname = 'made') THEN CREATE TABLE made (a int); END IF",
            true,
        ),
        ("CREATE TABLE made (a int); PERFORM id FROM shop.products", false),
        ("ALTER TABLE shop.products RENAME TO gone; UPDATE shop.orders SET id = 1", false),
        ("PERFORM id FROM shop.products", true),
    ] {
        let text = format!("DO $$ BEGIN {code}; END $$");
        let (there, not_there): (&[&str], &[&str]) =
            if is_known { (&[], &["unknown"]) } else { (&["unknown"], &[]) };
        called(&[], &text, there, not_there);
    }
    called(&[], "SET CONSTRAINTS ALL IMMEDIATE; SELECT id FROM shop.products", &["unknown"], &[]);
    called(
        &[],
        "SET CONSTRAINTS ALL DEFERRED; SELECT id FROM shop.products",
        &["select shop.products"],
        &["unknown"],
    );
}

#[test]
fn what_variables_begin_with_is_read_whatever_their_type() {
    for source in [
        "DECLARE r shop.customers := (SELECT c FROM shop.customers c LIMIT 1); BEGIN RETURN r.email; END",
        "DECLARE r customers DEFAULT (SELECT c FROM shop.customers c LIMIT 1); BEGIN RETURN r.email; END",
        "DECLARE r CONSTANT shop.customers%ROWTYPE NOT NULL = (SELECT c FROM shop.customers c); BEGIN RETURN r.email; END",
        "DECLARE r record := (SELECT c FROM shop.customers c LIMIT 1); BEGIN RETURN r.email; END",
        "BEGIN DECLARE -- a row\n r record := (SELECT c FROM shop.customers c LIMIT 1); BEGIN RETURN r.email; END; END",
        "DECLARE r shop.customers[] := (SELECT array_agg(c) FROM shop.customers c); BEGIN RETURN r[1].email; END",
    ] {
        body(source, &["select shop.customers", "probe", "it~"], &["unknown"]);
    }
    let writes = &["update shop.products"];
    body("DECLARE r record := (SELECT shop.touch_product(1)); BEGIN RETURN 'x'; END", writes, &["unknown"]);
    body("DECLARE a int[]; BEGIN a[shop.touch_product(1)] := 1; RETURN 'x'; END", writes, &["unknown"]);
    body("DECLARE n int := shop.touch_product(1); BEGIN RETURN 'x'; END", writes, &["unknown"]);
    body(
        "DECLARE c CURSOR (k shop.addr) FOR SELECT shop.touch_product(1); BEGIN OPEN c(NULL); RETURN 'x'; END",
        writes,
        &["unknown"],
    );
    // Servers before 16 read it as a number with a name behind it.
    body("BEGIN PERFORM 1_000; RETURN 'x'; END", &["unknown"], &[]);
    // The honest ones.
    for source in [
        "DECLARE r record; n int := 3; BEGIN SELECT name INTO r FROM shop.products WHERE id = n; RETURN r.name; END",
        "DECLARE r shop.products%ROWTYPE; BEGIN SELECT * INTO r FROM shop.products; r.name := 'x'; RETURN r.name; END",
        "DECLARE r shop.products; s ALIAS FOR r; BEGIN SELECT * INTO r FROM shop.products; RETURN s.name; END",
        "DECLARE c CURSOR FOR SELECT name FROM shop.products; n text; BEGIN OPEN c; FETCH c INTO n; CLOSE c; RETURN n; END",
        "DECLARE c refcursor; n text; BEGIN OPEN c FOR SELECT name FROM shop.products; FETCH c INTO n; RETURN n; END",
        "DECLARE n text; BEGIN FOR n IN SELECT name FROM shop.products LOOP EXIT WHEN n IS NULL; END LOOP; RETURN n; END",
        "BEGIN RETURN (SELECT name FROM shop.products LIMIT 1); EXCEPTION WHEN others THEN RETURN SQLERRM; END",
    ] {
        body(source, &["select shop.products", "-> it"], &["unknown", "it?", "it~"]);
    }
}

#[test]
fn what_declares_nothing_changes_nothing_of_what_stands_behind_it() {
    let key = &["select shop.secrets"];
    for source in [
        "BEGIN PERFORM 1 AS declare; PERFORM shop.upper('x'); RETURN 'x'; END",
        "BEGIN PERFORM 1 AS declare; DO 'BEGIN END'; PERFORM shop.upper('x'); RETURN 'x'; END",
        "BEGIN PERFORM 1 AS declare; RETURN shop.upper('x'); END",
        "BEGIN PERFORM CASE WHEN true THEN declare END FROM (SELECT 1 AS declare) d; RETURN shop.upper('x'); END",
    ] {
        body(source, key, &[]);
    }
    body(
        "BEGIN PERFORM 1 AS declare; CALL shop.archive_orders(now()); RETURN 'x'; END",
        &["update shop.orders"],
        &[],
    );
    body(
        "BEGIN PERFORM 1 AS declare; PERFORM upper('x'); RETURN 'x'; END",
        &["-> it"],
        &["secrets", "unknown"],
    );
}

#[test]
fn code_that_gives_what_it_was_not_seen_to_read_is_not_clear() {
    for source in [
        // The whole of a row that fails a check is in the words of the error.
        "DECLARE d text; BEGIN UPDATE shop.customers SET points = -1 WHERE id = 1; RETURN 'x'; EXCEPTION WHEN check_violation THEN GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL; RETURN d; END",
        "BEGIN UPDATE shop.customers SET points = -1 WHERE id = 1; RETURN 'x'; EXCEPTION WHEN others THEN RETURN SQLERRM; END",
        // The client's own cursor, of which it sees masked values only.
        "DECLARE c refcursor := 'theirs'; n text; BEGIN FETCH c INTO n; RETURN n; END",
        "DECLARE c refcursor; n text; BEGIN c := 'theirs'; FETCH c INTO n; RETURN n; END",
        "DECLARE c refcursor; n text; BEGIN SELECT 'theirs' INTO c; FETCH NEXT FROM c INTO n; RETURN n; END",
    ] {
        body(source, &["it?"], &[]);
    }
    body(
        "BEGIN UPDATE shop.customers SET points = 1 WHERE id = 1; RETURN 'x'; END",
        &["-> it"],
        &["it?", "it~"],
    );
}

#[test]
fn a_body_is_read_under_each_of_the_paths_that_it_runs_with() {
    let g = Made::new("g", "sql", "DELETE FROM products; SELECT 'x'");
    let f = || Made::new("f", "plpgsql", "BEGIN RETURN shop.g(); END").under("vault");
    let both = &["delete shop.products", "delete vault.products"];
    called(&[Made { ..g }, f()], "SELECT shop.g(), shop.f()", both, &["unknown"]);
    let g = Made::new("g", "sql", "DELETE FROM products; SELECT 'x'");
    called(&[g, f()], "SELECT shop.f(), shop.g()", both, &["unknown"]);
    let g = Made::new("g", "sql", "DELETE FROM products; SELECT 'x'");
    called(&[g, f()], "SELECT shop.f()", &["delete vault.products"], &["delete shop.products"]);
}

#[test]
fn functions_that_call_each_other_give_what_any_of_them_reads() {
    let g = Made::new(
        "g",
        "plpgsql",
        "BEGIN IF true THEN RETURN shop.f(); END IF; RETURN (SELECT email FROM shop.customers); END",
    );
    let f = Made::new("f", "sql", "SELECT shop.g()");
    called(
        &[g, f],
        "SELECT shop.g() AS a, shop.f() AS b",
        &["a~shop.customers.email, b~shop.customers.email"],
        &[],
    );
    let g = Made::new("g", "sql", "SELECT shop.f()");
    let f = Made::new("f", "sql", "SELECT name FROM shop.products WHERE shop.g() = ''");
    called(&[g, f], "SELECT shop.g() AS a, shop.f() AS b", &["-> a, b"], &["unknown"]);
}

#[test]
fn to_call_what_does_more_than_read_is_an_effect_of_its_own() {
    let call = "call function shop.f";
    let made = |source| Made::new("f", "plpgsql", source);
    for source in [
        "BEGIN DELETE FROM shop.products; RETURN 'x'; END",
        "BEGIN EXECUTE 'SELECT 1'; RETURN 'x'; END",
        "BEGIN RETURN shop.touch_product(1); END",
        "BEGIN PERFORM pg_notify('a', 'b'); RETURN 'x'; END",
    ] {
        body(source, &[call], &["call function shop.touch_product"]);
        called(&[made(source)], "SELECT * FROM shop.f()", &[call], &[]);
        called(&[made(source)], "SELECT 1 FROM shop.products WHERE name = shop.f()", &[call], &[]);
    }
    for source in [
        "BEGIN RETURN (SELECT name FROM shop.products LIMIT 1); END",
        "BEGIN RETURN (SELECT email FROM shop.customers LIMIT 1); END",
        "BEGIN RETURN pg_catalog.upper('x'); END",
    ] {
        body(source, &[], &["call "]);
    }
    // However often and from wherever else it is called before.
    let other = Made::new("g", "sql", "SELECT shop.f()");
    let deletes = made("BEGIN DELETE FROM shop.products; RETURN 'x'; END");
    called(&[deletes, other], "SELECT shop.f(), shop.g()", &[call, "call function shop.g"], &[]);
}

/// The same catalogue where `shop.f()` is cleared, as it was with this body.
fn cleared(now: &[Made], read: &[Made], effects: Vec<Effect>, holds: &[&str]) -> Catalog {
    use super::catalog::Cleared;
    let before = with(read);
    let digest = before.digest(before.functions_named("f").next().expect("it is there"));
    let table = model::TableName { schema: "shop".to_owned(), name: "customers".to_owned() };
    let holds = holds.iter().map(|c| ColumnName { table: table.clone(), name: (*c).to_owned() }).collect();
    with(now).clearing([("shop.f()".to_owned(), Cleared { digest, effects, holds })].into())
}

#[test]
fn a_function_that_a_person_has_read_does_what_they_found_until_it_is_another() {
    use model::{Action, Resource, TableName};
    let dynamic = |path| Made::new("f", "plpgsql", "BEGIN EXECUTE 'SELECT 1'; RETURN 'x'; END").under(path);
    let on = |action, name: &str| {
        let table = TableName { schema: "shop".to_owned(), name: name.to_owned() };
        Effect::new(action, Resource::Table(table))
    };
    let effects = || vec![on(Action::Update, "orders")];
    let call = |catalog: &Catalog| {
        let path = ["pg_catalog".to_owned(), "shop".to_owned()];
        let session = Session { catalog, search_path: &path, role: "postgres", prepared: &NoNames };
        let analysis = analyse("SELECT shop.f() AS it", &session, &Options::default()).expect("a statement");
        said(&analysis).join("; ")
    };
    let fine = cleared(&[dynamic("shop")], &[dynamic("shop")], effects(), &[]);
    let says = call(&fine);
    for part in ["update shop.orders", "shop.orders_2024 via shop.orders", "call function shop.f", "-> it"] {
        assert!(says.contains(part), "{part}: {says}");
    }
    assert!(!says.contains("unknown") && !says.contains("it?"), "{says}");
    assert_eq!(unread(&fine).iter().filter(|u| u.signature == "shop.f()").count(), 0);
    let holds = call(&cleared(&[dynamic("shop")], &[dynamic("shop")], vec![], &["email"]));
    assert!(holds.contains("it~shop.customers.email") && holds.contains("probe"), "{holds}");
    let gone =
        call(&cleared(&[dynamic("shop")], &[dynamic("shop")], vec![on(Action::Update, "gone")], &["gone"]));
    assert!(gone.contains("unknown") && gone.contains("it?"), "{gone}");
    // Other code, another path, other rights, or the caller's path.
    let other = Made::new("f", "plpgsql", "BEGIN EXECUTE 'SELECT 2'; RETURN 'x'; END").under("shop");
    let changed = "it is another than the one that was read";
    for (now, read, fault) in [
        (other, dynamic("shop"), changed),
        (dynamic("vault"), dynamic("shop"), changed),
        (dynamic("shop").by_its_owner(), dynamic("shop"), changed),
        (
            Made { path: None, ..dynamic("") },
            Made { path: None, ..dynamic("") },
            "it has no search_path of its own",
        ),
    ] {
        let catalog = cleared(&[now], &[read], effects(), &[]);
        let says = call(&catalog);
        assert!(says.contains("unknown") && !says.contains("update shop.orders"), "{says}");
        let found = unread(&catalog).into_iter().find(|u| u.signature == "shop.f()").expect("it is unread");
        assert_eq!((found.why.as_str(), found.fault), ("it runs text as SQL", Some(fault)));
    }
    let all: Vec<String> = unread(&with(&[])).into_iter().map(|u| u.signature).collect();
    assert_eq!(all, ["shop.card_of(integer)"]);
}

#[test]
fn a_name_that_goes_by_somebody_elses_rights_is_not_certain() {
    let named = "SELECT name FROM products LIMIT 1";
    let unique = "SELECT status::text FROM orders LIMIT 1";
    let made = |source| [Made::new("f", "sql", source)];
    let call = "SELECT shop.f() AS it";
    called(&made(named), call, &["select shop.products", "-> it"], &["unknown", "vault"]);
    called(&made(unique).map(Made::by_its_owner), call, &["select shop.orders", "-> it"], &["unknown"]);
    called(&made(named).map(Made::by_its_owner), call, &["unknown the target"], &[]);
    // A path of its own says which schemas, and not which of them may be used.
    let owned = |path| made(named).map(|made| made.by_its_owner().under(path));
    called(&owned("shop, pg_temp"), call, &["select shop.products"], &["unknown", "vault"]);
    called(&owned("vault, shop"), call, &["unknown the target"], &[]);
    called(&owned("\"$user\", shop"), call, &["unknown the target"], &[]);
    called(&made(named).map(|made| made.under("vault, shop")), call, &["unknown the target"], &[]);
    called(
        &made(named).map(|made| made.under("\"no, such\", shop")),
        call,
        &["select shop.products"],
        &["unknown"],
    );
    // So are functions.
    let lower = made("SELECT lower('X')");
    called(&lower, call, &["-> it"], &["update", "unknown"]);
    called(&made("SELECT lower('X')").map(Made::by_its_owner), call, &["update shop.products"], &[]);
    // And a path that the same message sets.
    let (mut both, mut one) = (
        lines(&[], "SET search_path = vault, shop; SELECT name FROM products"),
        lines(&[], "SET search_path = vault, shop; SELECT status FROM orders"),
    );
    both.retain(|line| line.starts_with("unknown"));
    one.retain(|line| line.starts_with("unknown"));
    assert_eq!((both.len(), one.len()), (1, 0), "{both:?} {one:?}");
}

#[test]
fn of_a_row_that_it_is_given_a_function_uses_what_its_body_does() {
    let calls = ["SELECT shop.f(c) AS it FROM shop.customers c", "SELECT c.f AS it FROM shop.customers c"];
    let given = |language, source, there: &[&str], not_there: &[&str]| {
        let made = [
            Made::new("f", language, source).of("customers"),
            Made::new("plain", "sql", "SELECT c.name").of("customers"),
            Made::new("tells", "sql", "SELECT c.ssn").of("customers"),
            Made::new("again", "sql", "SELECT shop.f(c)").of("customers"),
        ];
        calls.iter().for_each(|call| called(&made, call, there, not_there));
    };
    // Columns of people's rows that say nothing of them.
    for (language, source) in [
        ("sql", "SELECT $1.name || ' of ' || $1.city"),
        ("sql", "SELECT c.name || ' of ' || c.city"),
        ("sql", "SELECT (c).name"),
        ("sql", "SELECT shop.plain(c)"),
        ("sql", "SELECT count(*)::text FROM shop.orders WHERE customer_id = c.id"),
        ("plpgsql", "BEGIN RETURN c.name; END"),
        (
            "plpgsql",
            "DECLARE n text; BEGIN SELECT name INTO n FROM shop.products p WHERE p.id = c.id; RETURN n || c.city; END",
        ),
        ("plpgsql", "BEGIN IF c.points > 5 THEN RETURN 'many'; END IF; RETURN 'few'; END"),
    ] {
        given(language, source, &["-> it"], &["unknown", "probe", "it~"]);
    }
    let number = &["probe column shop.customers.ssn"];
    for (language, source) in [
        ("sql", "SELECT c.ssn"),
        ("sql", "SELECT (c).ssn"),
        ("sql", "SELECT ssn(c)"),
        ("sql", "SELECT c::text"),
        ("sql", "SELECT row_to_json($1)::text"),
        ("sql", "SELECT x.ssn FROM (SELECT c.*) x"),
        ("sql", "SELECT (x).ssn FROM (VALUES (c)) v(x)"),
        ("sql", "SELECT 'x' WHERE c.ssn LIKE '9%'"),
        ("sql", "SELECT shop.tells(c)"),
        ("sql", "SELECT shop.again(c)"),
        ("plpgsql", "BEGIN RETURN c.ssn; END"),
        ("plpgsql", "BEGIN RETURN $1.ssn; END"),
        ("plpgsql", "BEGIN RETURN c; END"),
        ("plpgsql", "DECLARE r record; BEGIN r := c; RETURN r.ssn; END"),
        ("plpgsql", "DECLARE x ALIAS FOR c; BEGIN RETURN x.ssn; END"),
        ("plpgsql", "DECLARE x ALIAS FOR $1; BEGIN RETURN x.ssn; END"),
        ("plpgsql", "BEGIN DECLARE c text := 'x'; BEGIN NULL; END; RETURN c.ssn; END"),
        ("plpgsql", "BEGIN c.name := c.ssn; RETURN c.name; END"),
        ("plpgsql", "BEGIN RAISE NOTICE '%', c; RETURN 'x'; END"),
        (
            "plpgsql",
            "#variable_conflict use_variable\nBEGIN RETURN (SELECT c.ssn FROM (SELECT 'x' AS ssn) c); END",
        ),
        ("plpgsql", "#variable_conflict use_variable\nBEGIN RETURN (SELECT c FROM (SELECT 'x' AS c) x); END"),
    ] {
        given(language, source, number, &[]);
    }
    given("sql", "SELECT concat_ws(',', c.*)", &["unknown"], &[]);
    // What stands in a row is another thing than its type says.
    let made = [Made::new("f", "sql", "SELECT c.name").of("products")];
    let dressed = "SELECT shop.f(ROW(c.id, 'AAA-0000', c.ssn)::shop.products) AS it FROM shop.customers c";
    called(&made, dressed, number, &[]);
}

/// A parameter of type `void` is no argument: the server calls what takes the others.
#[test]
fn a_parameter_may_be_left_out_of_a_call() {
    const KEY: &str = "SELECT api_key FROM shop.secrets";
    const ROW: &str = "SELECT c.name";
    let two = [Made::new("f", "sql", KEY), Made::new("f", "sql", ROW).of("products")];
    for text in [
        "SELECT shop.f($1)",
        "SELECT shop.f($1::void)",
        "SELECT shop.f($1, $2)",
        "SELECT * FROM shop.f($1) AS result",
        "SELECT CASE WHEN true THEN pg_sleep(0) ELSE $1 END, shop.f($1)",
        "DO $$ DECLARE r record; BEGIN SELECT pg_sleep(0) AS v INTO r; PERFORM shop.f(r.v); END $$",
    ] {
        called(&two, text, &["select shop.secrets"], &[]);
    }
    called(&two, "SELECT shop.f(p) FROM shop.products p", &[], &["secrets", "unknown"]);
    called(&[], "SELECT now($1::void), upper('a', $1), round($2)", &[], &["unknown"]);
    called(&[], "SELECT now(NULL::void)", &["unknown"], &[]);
}

/// The sample has a cast of its own from a type of `shop`'s to text, which reads `shop.secrets`: whatever may be a value of that
/// type runs it.
#[test]
fn what_code_puts_into_its_variables_becomes_what_they_were_declared() {
    for source in [
        "DECLARE n int := 5; BEGIN n := n + 1; RETURN 'x'; END",
        "DECLARE n integer; m bigint; o smallint; BEGIN n := 1; m := n; o := m; RETURN n || ':' || m || o; END",
        "DECLARE a decimal(8, 2); b real; c double precision; d float; BEGIN a := 1; b := a; c := b; d := c; RETURN 'x'; END",
        "DECLARE a boolean := true; b character varying(3) := 'a'; c char(2); BEGIN c := b; RETURN b; END",
        "DECLARE a int[]; b text[] := '{}'; BEGIN a[1] := 2; b := array_append(b, 'x'); RETURN b[1]; END",
        "DECLARE t timestamp without time zone; u timestamp with time zone; BEGIN t := now(); u := t; RETURN u::text; END",
        "DECLARE s text := ''; BEGIN FOR i IN 1..3 LOOP s := s || i; END LOOP; RETURN s; END",
        "DECLARE n int := 0; BEGIN FOR i IN REVERSE 3..1 BY 1 LOOP n := n + i; END LOOP; RETURN n::text; END",
        "DECLARE s text; BEGIN s := 'x' || 'a'; RETURN s; END",
        "BEGIN PERFORM 1; IF FOUND THEN RETURN 'x'; END IF; RETURN FOUND::text; END",
        "BEGIN RETURN 'x'; EXCEPTION WHEN others THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; RETURN SQLSTATE; END",
        "DECLARE n int; BEGIN SELECT count(*) INTO n FROM shop.products; RETURN n::text; END",
        "DECLARE n int; s text; BEGIN FOR n, s IN SELECT id, name FROM shop.products LOOP s := s || n; END LOOP; RETURN s; END",
        "DECLARE d date := current_date; BEGIN RETURN (d - date '2020-01-01')::text; END",
        "DECLARE r record; s text := ''; BEGIN FOR r IN SELECT id, name, count(*) AS n FROM shop.products GROUP BY 1, 2 LOOP s := s || r.name || r.id; s := r.n; END LOOP; RETURN s; END",
        "DECLARE r record; n int; BEGIN SELECT id, price INTO r FROM shop.products; n := r.id; IF r.price > 3 THEN RETURN r.price; END IF; RETURN r::text; END",
        "DECLARE r record; q record; BEGIN SELECT id INTO r FROM shop.products; FOR q IN SELECT r.id + 1 AS next LOOP RETURN q.next; END LOOP; RETURN ''; END",
        "DECLARE r record; c CURSOR FOR SELECT name FROM shop.products; BEGIN FOR r IN SELECT name FROM shop.products LOOP RETURN r.name; END LOOP; RETURN 'x'; END",
        "DECLARE r record; s text; BEGIN IF random() > 2 THEN SELECT 1 AS a INTO r; ELSE SELECT 2 AS a INTO r; END IF; r.a := 3; s := r.a; RETURN s; END",
        "DECLARE n int := 3; BEGIN WHILE n > 0 LOOP n := n - 1; EXIT WHEN n = 1; END LOOP; RAISE NOTICE '%', n; RETURN n; END",
    ] {
        let made = [Made::new("f", "plpgsql", source)];
        called(&made, "SELECT shop.f() AS it", &["-> it"], &["unknown", "secrets", "it?", "it~"]);
    }
    let key = &["select shop.secrets"];
    for source in [
        // The cast runs where a value of its type goes into a text.
        "DECLARE a shop.addr; s text; BEGIN s := a; RETURN s; END",
        "DECLARE a shop.addr[]; s text; BEGIN s := a[1]; RETURN s; END",
        "DECLARE a shop.addr; s text[]; BEGIN s[1] := a; RETURN 'x'; END",
        "DECLARE a shop.addr; s text; BEGIN SELECT a INTO s; RETURN 'x'; END",
        "DECLARE a shop.addr; s text := a; BEGIN RETURN 'x'; END",
        "DECLARE a shop.addr; BEGIN RETURN a; END",
        "DECLARE s text; BEGIN FOR s IN SELECT NULL::shop.addr LOOP NULL; END LOOP; RETURN 'x'; END",
        "DECLARE c CURSOR FOR SELECT NULL::shop.addr; s text; BEGIN OPEN c; FETCH c INTO s; RETURN 'x'; END",
        // A name that is declared twice, or that a loop takes again, may be either.
        "DECLARE s int; a shop.addr; BEGIN DECLARE s text; BEGIN s := a; END; RETURN 'x'; END",
        "DECLARE i shop.addr; BEGIN FOR i IN 1..3 LOOP NULL; END LOOP; RETURN i::text; END",
        "DECLARE found shop.addr; BEGIN RETURN found::text; END",
        "DECLARE sqlstate shop.addr; BEGIN RETURN sqlstate::text; END",
        // So may be the field of a record into which something else is put anywhere.
        "DECLARE r record; s text; BEGIN SELECT NULL::shop.addr AS a INTO r; s := r.a; RETURN s; END",
        "DECLARE r record; s text; BEGIN FOR i IN 1..2 LOOP IF i = 2 THEN s := r.a; END IF; SELECT 1 AS a INTO r; SELECT NULL::shop.addr AS a INTO r; END LOOP; RETURN 'x'; END",
        "DECLARE r record; s text; q record; BEGIN SELECT 1 AS a INTO r; SELECT NULL::shop.addr AS a INTO q; r := q; s := r.a; RETURN 'x'; END",
        "DECLARE r record; s text; c refcursor; BEGIN SELECT 1 AS a INTO r; OPEN c FOR SELECT NULL::shop.addr AS a; FETCH c INTO r; s := r.a; RETURN 'x'; END",
        "DECLARE r record; t ALIAS FOR r; s text; BEGIN SELECT 1 AS a INTO r; SELECT NULL::shop.addr AS a INTO t; s := r.a; RETURN 'x'; END",
        "DECLARE r record; s text; BEGIN SELECT 1 AS a INTO r; DECLARE r record; BEGIN SELECT NULL::shop.addr AS a INTO r; s := r.a; END; RETURN 'x'; END",
        "DECLARE r record; s text; BEGIN SELECT 1 AS a INTO r; CALL shop.fills_it(r); s := r.a; RETURN 'x'; END",
        "DECLARE r record := ROW(NULL::shop.addr); s text; BEGIN s := r.f1; SELECT 1 AS f1 INTO r; RETURN 'x'; END",
        // A block's variable by the block's name, and what an alias stands for.
        "<<b>> DECLARE s text; BEGIN b.s := NULL::shop.addr; RETURN 'x'; END",
        "DECLARE s text; t ALIAS FOR s; BEGIN t := NULL::shop.addr; RETURN 'x'; END",
        // In quotes it is the name of a type of somebody's own.
        "DECLARE n \"integer\"; BEGIN RETURN n::text; END",
    ] {
        body(source, key, &[]);
    }
}

#[test]
fn a_cursor_that_is_given_is_opened_under_its_name() {
    let opens = |source| {
        let mut catalog = with(&[Made::new("f", "plpgsql", source)]);
        let f = catalog.functions.values_mut().find(|f| f.name == "f").expect("it is there");
        (f.arguments, f.argument_names, f.returns) = (vec![Oid(1790)], vec![None], Oid(1790));
        let path = ["pg_catalog".to_owned(), "shop".to_owned()];
        let session = Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames };
        let analysis =
            analyse("SELECT shop.f('c') AS it", &session, &Options::default()).expect("a statement");
        said(&analysis).join("; ")
    };
    let said = opens("BEGIN OPEN $1 FOR SELECT name FROM shop.products; RETURN $1; END");
    assert!(
        said.contains("select shop.products") && !said.contains("unknown") && !said.contains("it?"),
        "{said}"
    );
    // What it was opened for elsewhere nobody knows.
    let said = opens("DECLARE n text; BEGIN FETCH $1 INTO n; RETURN $1; END");
    assert!(said.contains("it?"), "{said}");
}

#[test]
fn what_a_trigger_is_given_has_the_types_of_its_tables_columns() {
    let update = |source: &str| {
        let mut catalog = with(&[]);
        let stamp = catalog.functions.values_mut().find(|f| f.name == "stamp_order").expect("it is there");
        stamp.source = source.to_owned();
        let path = ["pg_catalog".to_owned(), "shop".to_owned()];
        let session = Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames };
        let text = "UPDATE shop.orders SET status = 'new' WHERE id = 1";
        said(&analyse(text, &session, &Options::default()).expect("a statement")).join("; ")
    };
    for source in [
        "BEGIN NEW.updated_at := coalesce(NEW.updated_at, now()); RETURN NEW; END",
        "BEGIN PERFORM TG_OP || ':' || NEW.id || TG_TABLE_NAME; RETURN NEW; END",
        "DECLARE n int; BEGIN n := OLD.id + 1; RAISE NOTICE '% %', TG_NARGS, n; RETURN NEW; END",
    ] {
        let said = update(source);
        assert!(!said.contains("secrets") && !said.contains("unknown"), "{source}: {said}");
    }
    for source in [
        "DECLARE s text; BEGIN s := NEW.ship_to; RETURN NEW; END",
        "BEGIN PERFORM NEW.ship_to || ''; RETURN NEW; END",
        "BEGIN PERFORM NEW.nosuch || ''; RETURN NEW; END",
        // A block of that name has variables of its own.
        "<<new>> DECLARE updated_at text; BEGIN new.updated_at := NULL::shop.addr; RETURN NEW; END",
    ] {
        let said = update(source);
        assert!(said.contains("secrets") || said.contains("unknown"), "{source}: {said}");
    }
}
