//! Names that several levels of a query may have, and stars whose columns are easily miscounted: which is meant is the
//! server's to say, and ours to find as it does.

use super::generate::Dice;

/// What stands in `FROM`, and names that it may have or seem to have. `$t` is a table, `$v` a view, `$n` the name that is
/// asked for.
const RANGES: &[(&str, &[&str])] = &[
    ("current_date", &["current_date", "?column?", "date"]),
    ("coalesce(1, 2)", &["coalesce", "?column?"]),
    ("nullif('a', 'b') AS z", &["nullif", "z"]),
    ("CAST(NULL AS g0.pair) AS z", &["z", "a", "b"]),
    ("coalesce(NULL::g0.pair) AS z", &["z", "a", "b"]),
    ("jsonb_populate_record(NULL::g0.pair, '{}') AS z", &["z", "a", "b"]),
    (
        "jsonb_populate_record((SELECT (array_agg(x))[1] FROM (SELECT NULL::g0.pair AS x) y), '{}') AS z",
        &["z", "a"],
    ),
    ("int4('1')", &["int4", "z"]),
    ("uuid(concat('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'))", &["uuid", "concat"]),
    ("g2.outs(1) AS z", &["z", "p", "q"]),
    ("g2.pairs(2) AS z(k)", &["k", "a", "b"]),
    ("unnest(ARRAY[1], ARRAY['a']) AS z", &["unnest", "z"]),
    (
        "ROWS FROM (generate_series(1, 2), current_date) WITH ORDINALITY AS z",
        &["z", "generate_series", "ordinality"],
    ),
    ("generate_series(1, 2) AS z", &["z", "generate_series"]),
    ("json_to_record('{}') AS z(k int)", &["k", "z"]),
    ("XMLTABLE('/a' PASSING '<a/>' COLUMNS b int PATH 'b') AS z(k)", &["k", "b"]),
    ("JSON_TABLE('[1]', '$[*]' COLUMNS (b int PATH '$')) AS z(k)", &["k", "b"]),
    ("$t AS z(k)", &["k", "c0", "xmin", "z"]),
    ("ONLY $t AS z", &["tableoid", "c0"]),
    ("$v AS z", &["xmin", "ctid", "w0", "z"]),
    ("$t AS z JOIN $t AS y ON true", &["xmin", "ctid", "y"]),
    ("($t AS z CROSS JOIN $v AS y) AS x(k)", &["k", "c0", "xmin", "z"]),
    ("$t AS z JOIN $t AS y USING (c0) ", &["c0", "xmin", "z"]),
    ("(SELECT * FROM $t) AS z", &["c0", "xmin", "z"]),
    ("(SELECT (SELECT * FROM (SELECT 1 AS k) y)) AS z", &["k", "?column?", "y"]),
    ("(SELECT (SELECT y.* FROM (SELECT 1 AS k) y)) AS z", &["k", "y"]),
    ("(SELECT (SELECT 1)::int) AS z", &["int4", "?column?"]),
    ("(SELECT CASE WHEN true THEN 1 ELSE (SELECT 1) END) AS z", &["case", "?column?"]),
    ("(SELECT count(*), lower('A'), 1::int, NOT true) AS z", &["count", "lower", "int4", "?column?"]),
    ("(SELECT ARRAY[1], ROW(1), EXISTS (SELECT), ARRAY(SELECT 1)) AS z", &["array", "row", "exists"]),
    ("(VALUES (1, 2)) AS z(k)", &["k", "column1", "column2"]),
    ("(SELECT 1 AS \"$n\") AS z, (SELECT 1) AS y JOIN (SELECT 2) AS x ON \"$n\" IS NOT NULL", &["k"]),
    ("(SELECT 1 AS \"$n\") AS z, (SELECT 1) AS y JOIN (SELECT 2) AS x ON z.\"$n\" IS NOT NULL", &["k"]),
    ("(SELECT 9 AS \"$n\") AS z, $t AS y TABLESAMPLE bernoulli ((\"$n\")::text::float4)", &["k"]),
    (
        "(WITH RECURSIVE r(k) AS (SELECT 1 UNION ALL SELECT k FROM r) SEARCH BREADTH FIRST BY k SET seq SELECT * FROM r) AS z",
        &["k", "seq"],
    ),
];

/// Common table expressions before the whole.
const WITH: &[&str] = &[
    "",
    "",
    "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM r WHERE a < 1) CYCLE a SET cyc USING path ",
    "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM r WHERE a < 1) SEARCH DEPTH FIRST BY a SET seq ",
];

/// Whole rows, and what is taken of them. Not through what stands for several rows: there the comparison itself takes the
/// whole row for used.
const ROWS: &[&str] = &[
    "SELECT (s.r).c0 FROM (SELECT z AS r FROM $t AS z(k, c0)) s",
    "SELECT (z).c0, (z).k FROM $t AS z(k)",
    "SELECT ((SELECT z)).c0 FROM $t AS z(k, c0)",
    "SELECT (s.r).b FROM (SELECT x AS r FROM (SELECT 1 AS a, 'b' AS b) x UNION ALL SELECT y FROM (SELECT 1 AS a, c0::text AS b FROM $t) y) s",
    "SELECT (ROW(z.*, 1)).f2 FROM $t AS z",
    "SELECT s.* FROM (SELECT z AS r FROM $v z) y, LATERAL (SELECT (y.r).*) s",
    "SELECT (SELECT s.e) FROM (SELECT (z).*, y.c0, 1, 2 FROM $t z, $t y) s(d, e)",
    "SELECT z FROM (SELECT c0 FROM $t) z, (SELECT 1) y WHERE z IS NOT NULL",
];

/// A statement with a name or a star of that kind, over a table with these columns and a view.
pub(super) fn shadowed(dice: &mut Dice, table: &str, columns: &[String], view: &str) -> String {
    let filled = |text: &str, name: &str| text.replace("$t", table).replace("$v", view).replace("$n", name);
    let (range, names) = RANGES[dice.below(RANGES.len())];
    let name = dice.of(names);
    match dice.below(4) {
        0 => filled(dice.of(ROWS), ""),
        1 => {
            // A column by its place behind a star.
            let with = dice.of(WITH);
            let before = if with.is_empty() { filled(range, name) } else { "r".to_owned() };
            let place = 1 + dice.below(4);
            let places: Vec<String> = (0..=place).map(|place| format!("e{place}")).collect();
            let star = dice.of(&["*, 1, 2", "*", "*, o.*"]);
            format!(
                "{with}SELECT (SELECT s.e{place}) FROM (SELECT {star} FROM {before}, {table} AS o) AS s({})",
                places.join(", ")
            )
        }
        _ => {
            let outer: Vec<String> = names
                .iter()
                .enumerate()
                .map(|(index, name)| format!("{} AS \"{name}\"", columns[index % columns.len()]))
                .collect();
            let alias = dice.of(&["o", "z", "y"]);
            let asked = match dice.below(4) {
                0 => format!("z.\"{name}\""),
                1 => "1".to_owned(),
                _ => format!("\"{name}\""),
            };
            format!(
                "SELECT (SELECT {asked} FROM {} LIMIT 1) FROM (SELECT {} FROM {table}) AS {alias}",
                filled(range, name),
                outer.join(", ")
            )
        }
    }
}
