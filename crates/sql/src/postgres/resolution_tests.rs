//! Which column a name means, and how many columns a star has, where the server's rules are easily mistaken: a column that we
//! find nearer than the server does would hide the tagged one that it goes on to.

use super::tests::under;
use super::*;

const PUBLIC: &[&str] = &["pg_catalog", "public"];

/// What a text shows or uses of tagged columns, in a line: outputs' sources, probes, and what is not known.
#[track_caller]
fn tagged(text: &str) -> String {
    let analysis = under(PUBLIC, text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
    let mut all = Vec::new();
    for statement in &analysis.statements {
        match &statement.outputs {
            Outputs::None => (),
            Outputs::Opaque(why) => all.push(format!("unknown {why}")),
            Outputs::Columns(columns) => all.extend(columns.iter().flat_map(|c| match &c.lineage {
                Lineage::Clear => Vec::new(),
                Lineage::Plain(s) | Lineage::Derived(s) => {
                    s.iter().map(|s| format!("shows {}", s.column)).collect()
                }
                Lineage::Unknown(why) => vec![format!("unknown {why}")],
            })),
        }
        for effect in &statement.effects {
            if matches!(effect.action, model::Action::Probe | model::Action::Unknown) {
                all.push(format!(
                    "{} {} {}",
                    effect.action.as_str(),
                    effect.resource,
                    effect.why.as_deref().unwrap_or_default()
                ));
            }
        }
    }
    all.join("; ")
}

#[track_caller]
fn reaches(texts: &[&str], columns: &str) {
    for text in texts {
        let found = tagged(text);
        assert!(found.contains(columns) || found.contains("unknown"), "{text}: {found}");
    }
}

#[track_caller]
fn is_clear(texts: &[&str]) {
    for text in texts {
        assert_eq!(tagged(text), "", "{text}");
    }
}

#[test]
fn only_stored_rows_have_system_columns_and_joins_hide_them() {
    reaches(
        &[
            "SELECT (SELECT xmin FROM shop.v_sales_daily LIMIT 1) FROM (SELECT email AS xmin FROM shop.customers) c",
            "SELECT (SELECT ctid FROM pg_tables LIMIT 1) FROM (SELECT email AS ctid FROM shop.customers) c",
            "SELECT (SELECT xmin FROM shop.products a JOIN shop.products b ON true LIMIT 1) \
                FROM (SELECT email AS xmin FROM shop.customers) c",
            "SELECT (SELECT xmin FROM shop.products a CROSS JOIN shop.products b LIMIT 1) \
                FROM (SELECT email AS xmin FROM shop.customers) c",
        ],
        "shop.customers.email",
    );
    is_clear(&[
        "SELECT (SELECT xmin FROM shop.products LIMIT 1) FROM (SELECT email AS xmin FROM shop.customers) c",
        "SELECT xmin, ctid, name FROM shop.products",
        "SELECT a.xmin FROM shop.products a JOIN shop.products b ON a.id = b.id",
        "SELECT 1 FROM shop.products a JOIN shop.products b ON a.xmin = b.xmin AND a.id = b.id",
    ]);
}

#[test]
fn what_a_join_or_a_sample_does_not_see_it_does_not_find() {
    reaches(
        &[
            "SELECT (SELECT count(*) FROM (SELECT 1 AS e) z, (SELECT 1) a JOIN (SELECT 1) b ON e LIKE 's%') \
                FROM (SELECT email AS e FROM shop.customers) c",
            "SELECT (SELECT count(*) FROM (SELECT 1 AS e) z, (SELECT 1) a JOIN (SELECT 1) b ON z.e LIKE 's%') \
                FROM (SELECT email AS e FROM shop.customers) z",
        ],
        "shop.customers.email",
    );
    reaches(
        &["SELECT (SELECT count(*) FROM (SELECT 5 AS p) z, shop.products TABLESAMPLE bernoulli (p)) \
            FROM (SELECT salary AS p FROM shop.staff) s"],
        "probe column shop.staff.salary",
    );
    is_clear(&[
        "SELECT (SELECT count(*) FROM shop.products p JOIN shop.order_items i ON i.product_id = p.id AND i.order_id = o.id) \
            FROM shop.orders o",
        "SELECT 1 FROM (SELECT 1 AS e) z JOIN (SELECT 1 AS f) y ON e = f JOIN (SELECT 1 AS g) x ON g = e AND z.e = y.f",
        "SELECT 1 FROM (SELECT 1 AS e) z, LATERAL (SELECT z.e AS f) y JOIN LATERAL (SELECT y.f AS g) x ON true",
    ]);
}

#[test]
fn names_that_the_server_makes_up_hide_none_of_an_outer_query() {
    reaches(
        &[
            "SELECT (SELECT \"?column?\" FROM current_date) FROM (SELECT email AS \"?column?\" FROM shop.customers) c",
            "SELECT (SELECT \"?column?\" FROM coalesce(1, 2)) FROM (SELECT email AS \"?column?\" FROM shop.customers) c",
            "SELECT (SELECT concat FROM uuid(concat('a'))) FROM (SELECT email AS concat FROM shop.customers) c",
            "SELECT (SELECT a FROM jsonb_populate_record((SELECT (array_agg(x))[1] FROM (SELECT NULL::shop.addr AS x) y), \
                '{}') AS a) FROM (SELECT email AS a FROM shop.customers) c",
            "SELECT (SELECT \"?column?\" FROM (SELECT (SELECT * FROM (SELECT 1 AS x) y)) n) \
                FROM (SELECT email AS \"?column?\" FROM shop.customers) c",
            "SELECT (SELECT y FROM (SELECT (SELECT y.* FROM (SELECT 1 AS x) y)) n) FROM (SELECT email AS y FROM shop.customers) c",
            "SELECT (SELECT int4 FROM (SELECT (SELECT 1)::int) n) FROM (SELECT email AS int4 FROM shop.customers) c",
            "SELECT (SELECT \"case\" FROM (SELECT CASE WHEN true THEN 1 ELSE (SELECT 1) END) n) \
                FROM (SELECT email AS \"case\" FROM shop.customers) c",
            // Whatever the name is in truth.
            "SELECT (SELECT lower FROM (SELECT lower('A')) n) FROM (SELECT email AS lower FROM shop.customers) c",
        ],
        "shop.customers.email",
    );
    is_clear(&[
        "SELECT current_date FROM current_date",
        "SELECT d FROM current_date AS d",
        "SELECT coalesce FROM coalesce(1, 2)",
        "SELECT uuid FROM uuid(concat('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'))",
        "SELECT g, n FROM shop.products, generate_series(1, 3) WITH ORDINALITY AS s(g, n)",
        "SELECT town FROM jsonb_populate_record(NULL::shop.addr, '{\"town\": \"x\"}') AS a",
        "SELECT x FROM (SELECT (SELECT * FROM (SELECT 1 AS x) y)) n",
        "SELECT \"?column?\" FROM (SELECT (SELECT 1)::int) n",
        "SELECT (SELECT name FROM shop.products p WHERE p.id = c.id) FROM shop.customers c",
    ]);
}

#[test]
fn rows_are_joined_place_by_place_and_have_the_names_of_their_type() {
    reaches(
        &[
            "SELECT (q.r).email FROM (SELECT f AS r FROM json_populate_record(NULL::shop.customers, '{}') f \
                UNION ALL SELECT c FROM shop.customers c) q",
            "SELECT (r).b FROM (SELECT x AS r FROM (SELECT 1 AS a, 'b' AS b) x \
                UNION ALL SELECT y FROM (SELECT id AS a, email AS b FROM shop.customers) y) q",
            "SELECT (q.r).email FROM (SELECT c AS r FROM shop.customers AS c(id, email, name)) q",
            "SELECT ((SELECT c)).email FROM shop.customers AS c(id, email, name)",
            "SELECT z.* FROM (SELECT c AS r FROM shop.customers c UNION ALL SELECT NULL::record) x, LATERAL (SELECT (x.r).*) z",
            "SELECT v.column2 FROM (SELECT id, email FROM shop.customers) c, LATERAL (VALUES ((c).*, 'x')) v",
            "SELECT (ROW(c.*, 'x')).f2 FROM (SELECT id, email FROM shop.customers) c",
        ],
        "shop.customers.email",
    );
    is_clear(&[
        "SELECT (q.r).name FROM (SELECT f AS r FROM json_populate_record(NULL::shop.products, '{}') f \
            UNION ALL SELECT c FROM shop.products c) q",
        "SELECT (q.r).name FROM (SELECT c AS r FROM shop.products AS c(a, b, d)) q",
        "SELECT (q.r).id FROM (SELECT c AS r FROM shop.customers c) q",
        "SELECT (ROW(c.*, 'x')).f1 FROM (SELECT id, name FROM shop.products) c",
    ]);
}

#[test]
fn recursion_is_followed_to_its_end() {
    let shift = |source: &str, width: usize| {
        let columns: Vec<String> = (0..width).map(|n| format!("c{n}")).collect();
        let rest = columns.get(..width - 1).unwrap_or_default().join(", ");
        format!(
            "WITH RECURSIVE r(q, {}) AS (SELECT 1, {source}, {} UNION ALL SELECT q + 1, 'y', {rest} FROM r WHERE q < {width}) \
                SELECT c{} FROM r",
            columns.join(", "),
            vec!["'x'"; width - 1].join(", "),
            width - 1
        )
        .replace("UNION ALL", if source == "email" { "FROM shop.customers UNION ALL" } else { "FROM shop.products UNION ALL" })
    };
    for width in [2, 13, 40] {
        reaches(&[&shift("email", width)], "shop.customers.email");
        is_clear(&[&shift("name", width)]);
    }
    is_clear(&[
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT n FROM r",
        "WITH RECURSIVE r AS (SELECT id, name, 1 AS n FROM shop.products UNION SELECT id, name, n + 1 FROM r WHERE n < 3) SELECT * FROM r",
    ]);
}

#[test]
fn columns_of_search_and_cycle_are_left_out_of_stars_below() {
    let cycle = "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM r WHERE a < 1) CYCLE a SET cyc USING path ";
    let search = "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM r WHERE a < 1) SEARCH BREADTH FIRST BY a SET seq ";
    for (with, below) in [
        (search, "SELECT (SELECT s.e) FROM (SELECT r.*, c.email FROM r, shop.customers c) s(a1, e)"),
        (cycle, "SELECT (SELECT e) FROM (SELECT r.*, c.email, 1 FROM r, shop.customers c) s(a1, e)"),
        (
            cycle,
            "SELECT (SELECT e) FROM (SELECT *, 1 FROM r JOIN (SELECT email FROM shop.customers) c ON true) s(a1, e)",
        ),
        (cycle, "SELECT (SELECT e) FROM (SELECT (r).*, c.email, 1, 2 FROM r, shop.customers c) s(a1, e)"),
    ] {
        reaches(&[&format!("{with}{below}")], "shop.customers.email");
    }
    is_clear(&[
        &format!("{search}SELECT * FROM r"),
        &format!("{cycle}SELECT e FROM (SELECT r.*, p.name FROM r, shop.products p) s(a1, e)"),
        &format!("{cycle}SELECT s.cyc FROM (SELECT cyc FROM r) s"),
    ]);
}

#[test]
fn lengths_of_rows_are_told_by_serialize() {
    let analysis = |text: &str| {
        let mut catalog = super::catalog::shop();
        catalog.server_version = 180_000;
        let path: Vec<String> = PUBLIC.iter().map(|s| (*s).to_owned()).collect();
        let session =
            Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &super::NoNames };
        let analysis = analyse(text, &session, &Options::default()).unwrap();
        analysis.statements.iter().flat_map(|s| s.effects.clone()).any(|e| e.action == model::Action::Probe)
    };
    assert!(analysis("EXPLAIN (ANALYZE, SERIALIZE) SELECT email FROM shop.customers"));
    assert!(analysis("EXPLAIN (ANALYZE, SERIALIZE BINARY) SELECT email FROM shop.customers"));
    assert!(!analysis("EXPLAIN (ANALYZE, SERIALIZE NONE) SELECT email FROM shop.customers"));
    assert!(!analysis("EXPLAIN (ANALYZE, SERIALIZE) SELECT name FROM shop.products"));
    assert!(!analysis("EXPLAIN ANALYZE SELECT email FROM shop.customers"));
}

#[test]
fn definitions_that_tell_or_carry_values_are_uses_of_them() {
    for (text, column) in [
        ("CREATE UNIQUE INDEX i ON shop.staff (salary)", "shop.staff.salary"),
        ("ALTER TABLE shop.staff ADD CONSTRAINT u UNIQUE (salary)", "shop.staff.salary"),
        ("ALTER TABLE shop.staff ADD CONSTRAINT x EXCLUDE USING btree (salary WITH =)", "shop.staff.salary"),
        (
            "ALTER TABLE shop.secrets ADD FOREIGN KEY (api_key) REFERENCES shop.products (name) NOT VALID",
            "shop.secrets.api_key",
        ),
        ("ALTER TABLE shop.customers ALTER COLUMN notes SET NOT NULL", "shop.customers.notes"),
        ("ALTER TABLE shop.customers_vip NO INHERIT shop.customers", "email"),
        ("ALTER TABLE shop.customers ALTER COLUMN email DROP EXPRESSION", "shop.customers.email"),
        (
            "CREATE RULE r AS ON UPDATE TO shop.customers DO ALSO INSERT INTO shop.products (name) VALUES (OLD.email)",
            "shop.customers.email",
        ),
        (
            "CREATE RULE r AS ON UPDATE TO shop.customers WHERE OLD.email LIKE 's%' DO ALSO NOTHING",
            "shop.customers.email",
        ),
        (
            "CREATE TRIGGER t BEFORE UPDATE ON shop.customers FOR EACH ROW WHEN (OLD.email LIKE 's%') EXECUTE FUNCTION shop.stamp_order()",
            "shop.customers.email",
        ),
        (
            "CREATE TRIGGER t AFTER UPDATE ON shop.customers REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION shop.stamp_order()",
            "shop.customers.email",
        ),
    ] {
        let found = tagged(text);
        assert!(found.contains("probe column") && found.contains(column), "{text}: {found}");
    }
    is_clear(&[
        "CREATE INDEX i ON shop.staff (salary)",
        "CREATE UNIQUE INDEX i ON shop.products (name)",
        "ALTER TABLE shop.customers ADD COLUMN x int",
        "ALTER TABLE shop.products ALTER COLUMN name SET NOT NULL",
        "CREATE RULE r AS ON UPDATE TO shop.customers DO ALSO INSERT INTO shop.products (id) VALUES (OLD.id)",
        "CREATE TRIGGER t BEFORE UPDATE ON shop.customers FOR EACH ROW EXECUTE FUNCTION shop.stamp_order()",
    ]);
}

#[test]
fn a_row_that_stands_by_its_name_has_the_names_that_the_query_gives() {
    is_clear(&[
        "SELECT (c).d FROM shop.products AS c(a, b, d)",
        "SELECT (c).id FROM shop.customers AS c(id, email, name)",
        "SELECT (c).ctid FROM shop.products c",
    ]);
    reaches(
        &[
            "SELECT (c).x FROM shop.customers AS c(id, name, x)",
            "SELECT (c).email FROM shop.customers AS c(a, b)",
        ],
        "shop.customers.email",
    );
}

/// The sample has a cast of its own from `shop.addr` to text, which reads a key: what is certainly of another type becomes a text
/// without it.
#[test]
fn what_the_server_chooses_by_types_has_the_type_that_it_gives() {
    is_clear(&[
        "SELECT date_trunc('day', d)::text FROM (SELECT localtimestamp AS d) t",
        "SELECT date_trunc('day', placed_at)::text, (placed_at AT TIME ZONE 'UTC')::text FROM shop.orders",
        "SELECT (id ^ 2)::text, power(price, 2)::text, power(id, 2)::text, exp(1)::text, sqrt(id)::text FROM shop.products",
        "SELECT nullif(price, 0)::text, nullif(id, 1.5)::text, nullif(id, 1::bigint)::text FROM shop.products",
        "SELECT lag(price, 1, 0) OVER (ORDER BY id)::text, lead(price, 1, 0) OVER (ORDER BY id) || 'x' FROM shop.products",
        "SELECT (tags || tags)::text FROM shop.products",
        "SELECT ('a=>1'::hstore -> 'a')::text, ('a=>1'::hstore -> ARRAY['a'])::text",
        "SELECT range_agg(dimensions)::text, range_agg(r)::text FROM shop.products, (VALUES (int8range(1, 2))) t(r)",
        "SELECT multirange('[1,2)'::int4range)::text, range_merge('{[1,2)}'::int4multirange)::text",
        "SELECT populate_record(ROW(1, 'a'::text), 'f1=>2'::hstore)",
        "SELECT ts_rewrite('a & b'::tsquery, 'SELECT ''a''::tsquery, ''b''::tsquery')",
        "WITH q AS (SELECT 'a' || 'b' AS x) SELECT x || '!' FROM q",
        "SELECT pg_typeof(email), pg_typeof(c)::text FROM shop.customers c",
        // Rows of no type of their own.
        "SELECT q::text FROM (VALUES (1, 2)) q(a, b)",
        "WITH x AS (SELECT id, name FROM shop.products) SELECT x::text FROM x",
        "SELECT q::text FROM (SELECT id FROM shop.products) q",
    ]);
    reaches(
        &[
            "SELECT nullif(NULL::shop.addr, NULL)::text",
            "SELECT lag(NULL::shop.addr, 1, NULL) OVER ()::text",
            "SELECT (ARRAY[NULL::shop.addr] || ARRAY[NULL::shop.addr])[1]::text",
            "SELECT ((NULL::shop.addr) || 'x')",
            "SELECT coalesce(NULL::shop.addr, NULL)::text",
            "SELECT q.a::text FROM (VALUES (NULL::shop.addr)) q(a)",
            "SELECT (SELECT q FROM (SELECT NULL::shop.addr AS a) q)::text",
            "SELECT f::text FROM unnest(ARRAY[NULL::shop.addr]) f",
            "SELECT (NULL::shop.addr #= 'town=>x'::hstore)::text",
        ],
        "shop.secrets.api_key",
    );
}

#[test]
fn a_column_that_is_not_there_is_all_that_is_said() {
    for text in ["SELECT name || nosuch FROM shop.customers", "SELECT p.nosuch::text FROM shop.products p"] {
        let found = tagged(text);
        assert!(found.contains("does not exist") && !found.contains("api_key"), "{text}: {found}");
    }
}

/// The sample with a type of an extension's and `||` between it and texts.
fn with_ltree(extension: Option<&str>) -> catalog::Catalog {
    use super::catalog::{Oid, Operator};
    const LTREE: Oid = Oid(980_000);
    const TEXT: Oid = Oid(25);
    let mut catalog = catalog::shop();
    let mut made = catalog.functions_named("akeys").next().expect("hstore is there").clone();
    (made.oid, made.name, made.extension) =
        (Oid(980_001), "ltree_addtext".to_owned(), extension.map(str::to_owned));
    (made.arguments, made.returns) = (vec![LTREE, TEXT], LTREE);
    let mut of = catalog.type_named("public", "hstore").expect("hstore is there").clone();
    (of.oid, of.name, of.array_type, of.functions) = (LTREE, "ltree".to_owned(), Oid(0), vec![made.oid]);
    (of.extension, made.language) = (extension.map(str::to_owned), "internal".to_owned());
    catalog.type_names.entry("public".to_owned()).or_default().insert(of.name.clone(), LTREE);
    catalog.types.insert(LTREE, of);
    catalog.function_names.entry(made.name.clone()).or_default().push(made.oid);
    for (left, right) in [(LTREE, TEXT), (TEXT, LTREE)] {
        let operator = Operator {
            schema: "public".to_owned(),
            name: "||".to_owned(),
            left,
            right,
            result: LTREE,
            function: made.oid,
        };
        catalog.operator_names.entry("||".to_owned()).or_default().push(catalog.operators.len());
        catalog.operators.push(operator);
    }
    catalog.functions.insert(made.oid, made);
    catalog
}

#[test]
fn operators_of_reviewed_extensions_leave_a_text_a_text() {
    let path = ["pg_catalog".to_owned(), "public".to_owned()];
    let found = |extension, text: &str| {
        let catalog = with_ltree(extension);
        let session =
            Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &super::NoNames };
        let analysis = analyse(text, &session, &Options::default()).expect("a statement");
        let effects = analysis.statements.iter().flat_map(|s| &s.effects);
        let line = |e: &Effect| {
            format!("{} {} {}", e.action.as_str(), e.resource, e.why.clone().unwrap_or_default())
        };
        effects.map(line).collect::<Vec<_>>().join("; ")
    };
    for text in [
        "SELECT table_schema || '.' || table_name FROM information_schema.tables",
        "SELECT country || '-' || city FROM shop.customers",
        "SELECT ('a'::ltree || 'b')::text, 'a'::ltree::text",
    ] {
        let said = found(Some("ltree"), text);
        assert!(!said.contains("api_key") && !said.contains("unknown"), "{text}: {said}");
    }
    let said = found(Some("ltree"), "SELECT ship_to || '-' || id FROM shop.orders");
    assert!(said.contains("api_key"), "{said}");
    // Somebody's own, of which nobody knows what it gives.
    let said = found(None, "SELECT table_schema || '.' || table_name FROM information_schema.tables");
    assert!(said.contains("unknown") && said.contains("api_key"), "{said}");
}
