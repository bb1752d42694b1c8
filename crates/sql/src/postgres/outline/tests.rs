use super::super::catalog::shop;
use super::*;
use crate::postgres::NoNames;

fn of<T>(ask: impl FnOnce(&Session<'_>) -> T) -> T {
    let (catalog, path) = (shop(), ["pg_catalog".to_owned(), "shop".to_owned()]);
    ask(&Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames })
}

fn count(text: &str, values: &[&str]) -> Result<String, &'static str> {
    let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
    of(|session| outline(text, session, &values).map(|outline| outline.count(9)))
}

#[test]
fn a_question_is_made_of_the_statements_own_words() {
    let plain =
        |rows: &str| format!("SELECT pg_catalog.count(*) FROM (SELECT 1 {rows} LIMIT 10) AS durward_rows");
    let joined = |alias: &str, rows: &str| {
        format!(
            "SELECT pg_catalog.count(*) FROM (SELECT DISTINCT \"{alias}\".tableoid, \"{alias}\".ctid {rows} LIMIT 10) \
             AS durward_rows"
        )
    };
    for (text, values, expected) in [
        ("DELETE FROM orders", &[][..], plain("FROM orders")),
        ("delete from only shop.orders as o where o.id < 5 returning *;", &[], plain("FROM only shop.orders as o where o.id < 5")),
        ("DELETE FROM orders /* WHERE id = 1 */ WHERE status::text = 'x WHERE y'", &[], plain("FROM orders WHERE status::text = 'x WHERE y'")),
        ("UPDATE orders SET status = 'new' WHERE id = $1 AND status = $2", &["7", "'new'"], plain("FROM orders WHERE id = 7 AND status = 'new'")),
        (
            "UPDATE orders o SET total = c.id FROM customers c JOIN orders p USING (id) WHERE c.id = o.customer_id",
            &[],
            joined("o", "FROM orders o, customers c JOIN orders p USING (id) WHERE c.id = o.customer_id"),
        ),
        ("UPDATE orders SET total = CASE WHEN id IS DISTINCT FROM 3 THEN 1 END", &[], plain("FROM orders")),
        ("DELETE FROM orders USING customers WHERE true", &[], joined("orders", "FROM orders, customers WHERE true")),
        (
            "WITH c AS (SELECT id FROM customers) DELETE FROM orders WHERE customer_id IN (SELECT id FROM c)",
            &[],
            "WITH c AS (SELECT id FROM customers) SELECT pg_catalog.count(*) FROM (SELECT 1 FROM orders WHERE customer_id \
             IN (SELECT id FROM c) LIMIT 10) AS durward_rows"
                .to_owned(),
        ),
        (
            "INSERT INTO orders (id, status) SELECT id, 'x' FROM customers ON CONFLICT DO NOTHING RETURNING id",
            &[],
            "SELECT pg_catalog.count(*) FROM (SELECT 1 FROM (SELECT id, 'x' FROM customers) AS durward_rows_0 LIMIT 10) AS \
             durward_rows"
                .to_owned(),
        ),
    ] {
        assert_eq!(count(text, values).as_deref(), Ok(expected.as_str()), "{text}");
        // What it means is to read.
        of(|session| harmless(&expected, session).map(drop)).unwrap_or_else(|why| panic!("{text}: {why}"));
    }
}

#[test]
fn what_cannot_be_asked_with_certainty_is_not() {
    for text in [
        "SELECT 1",
        "TRUNCATE orders",
        "DELETE FROM orders; DELETE FROM orders",
        "DELETE FROM nowhere",
        "DELETE FROM orders WHERE CURRENT OF c",
        "UPDATE orders SET total = 1 WHERE id = $3",
        "MERGE INTO nowhere o USING customers c ON o.id = c.id WHEN MATCHED THEN DELETE",
    ] {
        assert!(count(text, &["1"]).is_err(), "{text}");
    }
}

#[test]
fn the_arms_of_a_merge_are_told_apart_as_it_tells_them_apart() {
    let question = |arms: &str, join: &str| {
        format!(
            "SELECT durward_rows.arm, pg_catalog.count(*) FROM (SELECT durward_rows_0.arm FROM (SELECT CASE {arms} END AS arm \
             FROM {join}) AS durward_rows_0 WHERE durward_rows_0.arm OPERATOR(pg_catalog.>) 0 LIMIT 10) AS durward_rows \
             GROUP BY durward_rows.arm"
        )
    };
    for (text, expected, does) in [
        (
            "MERGE INTO orders AS o USING customers c ON o.id = c.id AND c.id < $1 WHEN MATCHED AND CASE WHEN c.id = 1 THEN true \
             END THEN DELETE WHEN MATCHED THEN UPDATE SET total = CASE WHEN true THEN 1 END \
             WHEN NOT MATCHED AND c.id > 3 THEN INSERT (id) VALUES (c.id) WHEN NOT MATCHED THEN DO NOTHING",
            question(
                "WHEN \"o\".ctid IS NULL THEN CASE WHEN (c.id > 3) THEN 1 WHEN true THEN 0 ELSE 0 END \
                 WHEN durward_source.one IS NULL THEN 0 ELSE CASE WHEN (CASE WHEN c.id = 1 THEN true END) THEN 3 WHEN true THEN 2 \
                 ELSE 0 END",
                "(customers c CROSS JOIN (SELECT 1 AS one) AS durward_source) LEFT JOIN orders AS o ON o.id = c.id AND c.id < 7",
            ),
            &[Does::Deletes, Does::Updates, Does::Inserts][..],
        ),
        (
            "merge into orders using customers a join customers b on a.id = b.id on orders.id = b.id when matched then delete",
            question(
                "WHEN \"orders\".ctid IS NULL THEN 0 WHEN durward_source.one IS NULL THEN 0 ELSE CASE WHEN true THEN 3 ELSE 0 END",
                "(customers a join customers b on a.id = b.id CROSS JOIN (SELECT 1 AS one) AS durward_source) JOIN orders ON \
                 orders.id = b.id",
            ),
            &[Does::Deletes],
        ),
    ] {
        let values = ["7".to_owned()];
        let outline =
            of(|session| outline(text, session, &values)).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(outline.count(9), expected, "{text}");
        assert_eq!(outline.does_all(), does, "{text}");
        of(|session| harmless(&expected, session).map(drop)).unwrap_or_else(|why| panic!("{text}: {why}"));
    }
    let answer = [vec![Some("3".to_owned()), Some("12".to_owned())]];
    assert_eq!(
        (Merge::rows(Does::Deletes, &answer), Merge::rows(Does::Inserts, &answer)),
        (Some(12), Some(0))
    );
}

#[test]
fn what_does_more_than_read_or_is_restless_is_not_asked() {
    for text in [
        "SELECT nextval('shop.orders_id_seq')",
        "WITH gone AS (DELETE FROM orders RETURNING 1) SELECT 1 FROM gone",
        "SELECT 1 FROM orders WHERE pg_advisory_lock(1) IS NULL",
        "SELECT 1 FROM orders FOR UPDATE",
        "SELECT 1 FROM orders WHERE random() < 0.5",
        "SELECT no_such_function(id) FROM orders",
        "SET work_mem = '1MB'",
    ] {
        assert!(of(|session| harmless(text, session).map(drop)).is_err(), "{text}");
    }
}

#[test]
fn a_sample_shows_what_is_and_what_will_be() {
    let sample = of(|session| {
        let text = "UPDATE orders SET total = abs(total), status = DEFAULT, (id, placed_at) = (1, now()) WHERE id = 1";
        outline(text, session, &[]).ok().and_then(|outline| outline.sample(3, true))
    });
    let sample = sample.expect("a sample");
    // Where several are assigned at once, it is not told apart which is which.
    assert!(!sample.text.contains("CAST"), "{}", sample.text);
    assert!(sample.text.ends_with("FROM orders WHERE id = 1 LIMIT 3"), "{}", sample.text);
    let sample = of(|session| {
        let text = "UPDATE orders SET total = abs(total), status = DEFAULT WHERE id = $1";
        outline(text, session, &["7".to_owned()]).ok().and_then(|outline| outline.sample(3, true))
    });
    let sample = sample.expect("a sample");
    assert!(sample.text.contains("CAST(abs(total) AS \"pg_catalog\".\"numeric\")"), "{}", sample.text);
    assert!(sample.text.ends_with("FROM orders WHERE id = 7 LIMIT 3"), "{}", sample.text);
    assert_eq!(sample.names.get(sample.before..), Some(&["total".to_owned()][..]));
    assert_eq!(
        of(|session| outline("INSERT INTO orders VALUES (1), (2)", session, &[]).map(|o| o.fixed)),
        Ok(Some(2))
    );
}

#[test]
fn what_is_quoted_stays_what_it_is() {
    for (text, expected) in [("a", "'a'"), ("a'b", "'a''b'"), ("a\\'b", " E'a\\\\''b'")] {
        assert_eq!(literal(text), expected);
    }
    assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
}
