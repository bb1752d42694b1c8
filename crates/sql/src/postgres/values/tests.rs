use super::*;
use crate::postgres::catalog::shop;
use crate::postgres::{NoNames, analyse};

/// What is told where `$1` is bound to `7`, `$2` to `seven` and `$3` to NULL, and nothing else can be read.
#[track_caller]
fn told(sql: &str) -> (Vec<String>, bool) {
    let catalog = shop();
    let path = ["pg_catalog", "shop", "public"].map(str::to_owned);
    let session = Session { catalog: &catalog, search_path: &path, role: "app", prepared: &NoNames };
    let analysis = analyse(sql, &session, &Options::default()).unwrap_or_else(|why| panic!("{sql}: {why}"));
    let statements: Vec<&Statement> = analysis.statements.iter().map(|s| &**s).collect();
    let bound = |parameter: Parameter| match parameter.number {
        1 => Bound::Value("7".to_owned()),
        2 => Bound::Value("seven".to_owned()),
        3 => Bound::Null,
        _ => Bound::Unread,
    };
    let (told, complete) = values(sql, &session, &statements).told(&catalog, &bound);
    let line = |Told { column, how, value }: Told| format!("{column} {how} {value}").trim_end().to_owned();
    (told.into_iter().map(line).collect(), complete)
}

#[test]
fn what_stands_beside_columns_is_told() {
    for (sql, expected) in [
        ("SELECT * FROM orders WHERE id = 5", "orders.id = 5"),
        ("SELECT * FROM orders WHERE id = '05'", "orders.id = 5"),
        ("SELECT * FROM orders WHERE 5 < id", "orders.id > 5"),
        ("SELECT * FROM orders WHERE id = $1", "orders.id = 7"),
        ("SELECT * FROM orders o WHERE o.id = $1::int8 LIMIT 10", "orders.id = 7"),
        ("SELECT * FROM shop.orders WHERE shop.orders.status = E'op\\x65n'", "orders.status = open"),
        ("SELECT * FROM orders WHERE status = $2 AND id > 5", "orders.id > 5; orders.status = seven"),
        ("SELECT * FROM orders WHERE id IN (1, 2)", "orders.id in 1; orders.id in 2"),
        ("SELECT * FROM orders WHERE id IN (1)", "orders.id = 1"),
        ("SELECT * FROM orders WHERE id NOT IN (1, 2)", "orders.id not in 1; orders.id not in 2"),
        ("SELECT * FROM orders WHERE id BETWEEN 1 AND 9", "orders.id <= 9; orders.id >= 1"),
        ("SELECT * FROM orders WHERE status LIKE 'o%'", "orders.status like o%"),
        ("SELECT * FROM orders WHERE status IS NULL", "orders.status is null"),
        ("SELECT * FROM orders", ""),
        ("SELECT 1, 'x'", ""),
        ("BEGIN", ""),
        ("BEGIN; DELETE FROM orders WHERE id = 3; COMMIT", "orders.id = 3"),
        ("EXPLAIN SELECT * FROM orders WHERE id = 5", "orders.id = 5"),
        ("DECLARE c CURSOR FOR SELECT * FROM orders WHERE id = 5", "orders.id = 5"),
        (
            "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id AND c.id = -3 ORDER BY 1",
            "customers.id = -3",
        ),
        (
            "UPDATE orders SET status = 'open', id = $1 WHERE id = 3",
            "orders.id = 3; orders.id set 7; orders.status set open",
        ),
        ("UPDATE orders SET status = NULL", "orders.status set null"),
        ("UPDATE orders SET status = $3", "orders.status set null"),
        ("DELETE FROM orders WHERE id = 3 AND true", "orders.id = 3"),
        ("INSERT INTO orders (status, id) VALUES ('open', 3)", "orders.id set 3; orders.status set open"),
        (
            "INSERT INTO orders (status, id) VALUES ('open', 3), ('open', 4)",
            "orders.id set in 3; orders.id set in 4; orders.status set open",
        ),
        ("INSERT INTO orders (id) VALUES ($1), (7)", "orders.id set 7"),
    ] {
        let (values, complete) = told(sql);
        let values: Vec<&str> = values.iter().map(|line| line.trim_start_matches("shop.")).collect();
        assert_eq!((values.join("; ").as_str(), complete), (expected, true), "{sql}");
    }
}

#[test]
fn a_value_holds_whatever_cannot_be_told_beside_it() {
    for (sql, expected) in [
        ("SELECT * FROM orders WHERE id = 5 AND (status = 'a' OR status = 'b')", "orders.id = 5"),
        ("SELECT * FROM orders WHERE id = 5 AND lower(status) = 'a'", "orders.id = 5"),
        ("SELECT * FROM orders WHERE id = 5 AND placed_at > now()", "orders.id = 5"),
        (
            "SELECT * FROM orders WHERE id = 5 AND placed_at > '2026-01-01'",
            "orders.id = 5; orders.placed_at > 2026-01-01",
        ),
        ("SELECT * FROM orders WHERE id = 5 AND customer_id IN (SELECT id FROM customers)", "orders.id = 5"),
        ("SELECT * FROM orders WHERE id = 5 AND customer_id = $4", "orders.id = 5"),
        ("SELECT * FROM orders WHERE id = 5 AND customer_id = $3", "orders.id = 5"),
        ("SELECT * FROM orders WHERE id = 5 AND status = ANY('{a,b}')", "orders.id = 5"),
        ("SELECT * FROM orders WHERE id = 5.5", "orders.id = 5.5"),
        ("SELECT CASE WHEN status = 'a' THEN 1 END FROM orders WHERE id = 5", "orders.id = 5"),
        ("SELECT * FROM orders WHERE id = 5 LIMIT 1 + 1", "orders.id = 5"),
        ("SELECT * FROM orders o LEFT JOIN customers c ON c.id = 4 WHERE o.id = 5", "orders.id = 5"),
        ("UPDATE orders SET status = lower('A') WHERE id = 3", "orders.id = 3"),
        ("INSERT INTO orders (id, placed_at) VALUES (3, now())", "orders.id set 3"),
        ("INSERT INTO orders (id, status) VALUES (3, 'a'), (3, DEFAULT)", "orders.id set 3"),
        (
            "INSERT INTO orders (id, status) VALUES (3, 'a'), (3, NULL)",
            "orders.id set 3; orders.status set in a",
        ),
        ("SELECT * FROM orders WHERE id NOT IN (1, (SELECT 2))", "orders.id <> 1"),
        ("SELECT * FROM orders WHERE id NOT IN (1, NULL)", "orders.id <> 1"),
    ] {
        let (values, complete) = told(sql);
        let values: Vec<&str> = values.iter().map(|line| line.trim_start_matches("shop.")).collect();
        assert_eq!((values.join("; ").as_str(), complete), (expected, false), "{sql}");
    }
}

#[test]
fn nothing_is_told_of_a_table_of_which_other_rows_are_read_or_written_too() {
    for sql in [
        "SELECT * FROM orders WHERE id = 5 OR true",
        "SELECT * FROM orders WHERE NOT id = 5",
        "SELECT * FROM orders WHERE id IN (1, (SELECT 2))",
        "SELECT a.* FROM orders a, orders b WHERE a.id = 5",
        "SELECT a.* FROM orders a, shop.\"orders\" b WHERE a.id = 5",
        "SELECT (SELECT count(*) FROM Orders) FROM orders WHERE id = 5",
        "SELECT * FROM orders WHERE id = 5 AND EXISTS (TABLE orders)",
        "SELECT * FROM orders WHERE id = 5 UNION SELECT * FROM orders",
        "WITH o AS (SELECT * FROM orders) SELECT * FROM o WHERE id = 5",
        "WITH orders AS (SELECT * FROM shop.orders) SELECT * FROM orders WHERE id = 5",
        "SELECT * FROM orders, query_to_xml('SELECT * FROM orders', true, true, '') WHERE id = 5",
        "SELECT schema_to_xml('shop', true, true, '') FROM orders WHERE id = 5",
        "SELECT nosuch(5) FROM orders WHERE id = 5",
        "UPDATE orders SET status = 'a' WHERE id = 5; UPDATE orders SET status = 'a'",
        "INSERT INTO orders (id) VALUES (5) ON CONFLICT (id) DO UPDATE SET id = 6",
        "INSERT INTO orders (id) SELECT 5",
        "MERGE INTO orders o USING customers c ON o.id = 5 WHEN MATCHED THEN DELETE",
        "COPY orders FROM STDIN",
        "EXECUTE p(5)",
        "SELECT * FROM orders AS o (a, b) WHERE a = 5",
        "SELECT * FROM orders WHERE U&\"id\" = 5",
        "SELECT * FROM nosuch WHERE id = 5",
        "SELECT o.* FROM orders o LEFT JOIN customers c ON o.id = 5",
    ] {
        let (values, complete) = told(sql);
        assert_eq!((values, complete), (Vec::new(), false), "{sql}");
    }
}

#[test]
fn a_parameter_is_taken_for_what_stands_beside_it_where_that_is_certain() {
    let catalog = shop();
    let path = ["pg_catalog", "shop"].map(str::to_owned);
    let session = Session { catalog: &catalog, search_path: &path, role: "app", prepared: &NoNames };
    for (sql, expected) in [
        ("SELECT * FROM customers WHERE name = $1", Some(25)),
        ("SELECT * FROM customers WHERE name = $1::varchar", Some(1043)),
        ("SELECT * FROM customers WHERE name IN ($1, 'a')", Some(25)),
        ("SELECT * FROM orders WHERE id IN ($1, 5)", None),
        ("SELECT $1, * FROM customers WHERE name = $1", None),
        ("INSERT INTO customers (name) VALUES ($1)", Some(25)),
    ] {
        let analysis = analyse(sql, &session, &Options::default()).expect("a statement");
        let statements: Vec<&Statement> = analysis.statements.iter().map(|s| &**s).collect();
        let found = values(sql, &session, &statements);
        let taken = found.beside.iter().find_map(|beside| match &beside.value.as_ref()?.what {
            What::Parameter(_, taken_for) => Some(*taken_for),
            What::Literal(_) | What::Null => None,
        });
        assert_eq!(taken, Some(expected.map(Oid)), "{sql}");
    }
}

#[test]
fn each_value_has_one_way_in_which_it_is_written() {
    let catalog = shop();
    for (type_oid, text, expected) in [
        (23, " +007 ", Some("7")),
        (23, "0x7", None),
        (20, "-0", Some("0")),
        (1700, "-0.0", Some("0")),
        (1700, "+012.50", Some("12.5")),
        (1700, "1e3", None),
        (1700, ".", None),
        (16, "t", Some("true")),
        (16, "yes", None),
        (25, "a ", Some("a ")),
        (1042, "a ", Some("a")),
        (2950, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        (2950, "{a0eebc999c0b4ef8bb6d6bb9bd380a11}", None),
        (1082, "2026-01-02", Some("2026-01-02")),
        (1082, "02.01.2026", None),
        (1184, "2026-01-02 00:00:00+00", None),
    ] {
        assert_eq!(canonical(&catalog, Oid(type_oid), text).as_deref(), expected, "{type_oid} {text}");
    }
}
