//! The suite's database as a catalogue, and small answers made by hand.

use std::collections::BTreeSet;

use model::{ColumnName, TableName, Tag};

use super::*;

#[track_caller]
fn relation<'a>(catalog: &'a Catalog, name: &str) -> &'a Relation {
    catalog.relation("shop", name).unwrap_or_else(|| panic!("shop.{name} is there"))
}

#[track_caller]
fn function<'a>(catalog: &'a Catalog, name: &str) -> &'a Function {
    let all: Vec<_> = catalog.functions_named(name).filter(|f| f.schema == "shop").collect();
    assert_eq!(all.len(), 1, "shop.{name}");
    all[0]
}

#[track_caller]
fn tagged(catalog: &Catalog, table: &str, column: &str, tags: &[&str]) {
    let table = relation(catalog, table);
    let number = table.column(column).unwrap_or_else(|| panic!("{column} is there")).number;
    let wanted: BTreeSet<Tag> = tags.iter().map(|t| Tag((*t).to_owned())).collect();
    assert_eq!(*catalog.tags(table.oid, number), wanted, "{}.{column}", table.name);
}

#[test]
fn a_view_has_its_query_with_qualified_names_and_the_systems_views_have_none() {
    let catalog = shop();
    let view = relation(&catalog, "v_contact_nested");
    assert_eq!(view.kind, RelationKind::View);
    let query = view.definition.as_deref().unwrap();
    assert!(query.contains("FROM shop.v_contact") && query.contains("upper(v_contact.display)"), "{query}");
    assert!(relation(&catalog, "m_directory").definition.is_some());
    assert_eq!(catalog.relation("pg_catalog", "pg_stats").unwrap().definition, None);
    assert_eq!(catalog.relation("information_schema", "columns").unwrap().definition, None);
    assert_eq!(catalog.unreadable(), 0);
}

#[test]
fn tags_are_on_children_and_not_on_views() {
    let catalog = shop();
    tagged(&catalog, "customers", "email", &["pii.email"]);
    tagged(&catalog, "customers_vip", "email", &["pii.email"]);
    tagged(&catalog, "customers_vip", "concierge", &[]);
    tagged(&catalog, "customers", "name", &[]);
    tagged(&catalog, "v_customers", "email", &[]);
    assert!(catalog.any_tags() && retagged(&catalog, &[]).any_tags(), "the system's own are always there");
}

#[test]
fn partitions_and_children_know_their_parents() {
    let catalog = shop();
    let orders = relation(&catalog, "orders");
    assert_eq!(orders.kind, RelationKind::Partitioned);
    let names: BTreeSet<&str> =
        orders.children.iter().map(|c| catalog.relation_by_oid(*c).unwrap().name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["orders_2024", "orders_2025", "orders_rest"]));
    assert_eq!(relation(&catalog, "customers_vip").parents, [relation(&catalog, "customers").oid]);
}

#[test]
fn triggers_are_on_partitions_too_and_internal_ones_are_left_out() {
    let catalog = shop();
    let stamp = function(&catalog, "stamp_order").oid;
    for name in ["orders", "orders_2024", "orders_rest"] {
        let triggers = &relation(&catalog, name).triggers;
        assert_eq!(triggers.len(), 1, "{name}");
        assert_eq!((triggers[0].function, &triggers[0].events), (stamp, &vec![Event::Update]), "{name}");
    }
    assert!(relation(&catalog, "tickets").triggers.is_empty());
}

#[test]
fn what_hangs_on_tables_is_there() {
    let catalog = shop();
    let customers = relation(&catalog, "customers");
    assert!(customers.checks.iter().any(|c| c.contains("points >= 0")), "{:?}", customers.checks);
    assert!(customers.index_expressions.iter().any(|e| e.contains("to_tsvector")));
    assert_eq!(customers.column("status").unwrap().default.as_deref(), Some("'active'::text"));
    let referring: BTreeSet<&str> = customers
        .referenced_by
        .iter()
        .map(|k| catalog.relation_by_oid(k.table).unwrap().name.as_str())
        .collect();
    assert!(referring.contains("tickets") && referring.contains("orders"), "{referring:?}");
    assert_eq!(relation(&catalog, "tickets").refers_to, [customers.oid]);
    let rules = &relation(&catalog, "v_inbox").rules;
    assert_eq!((rules.len(), rules[0].event, rules[0].instead), (1, Event::Delete, true));
    assert!(rules[0].definition.contains("UPDATE shop.tickets"), "{}", rules[0].definition);
    assert_eq!(catalog.relation("shop", "customers_pkey").unwrap().table, Some(customers.oid));
}

#[test]
fn types_and_their_checks_are_there() {
    let catalog = shop();
    let checked = catalog.type_named("shop", "checked_text").unwrap();
    assert_eq!(
        (checked.kind, catalog.type_by_oid(checked.base).unwrap().name.as_str()),
        (TypeKind::Domain, "text")
    );
    assert_eq!(checked.checks, ["shop.noisy_check(VALUE)"]);
    let addr = catalog.type_named("shop", "addr").unwrap();
    assert_eq!(catalog.relation_by_oid(addr.relation).unwrap().kind, RelationKind::Composite);
    assert!(catalog.type_named("pg_catalog", "_int4").unwrap().is_array());
    assert!(!catalog.type_named("pg_catalog", "point").unwrap().is_array());
    let hstore = catalog.type_named("public", "hstore").unwrap();
    assert_eq!(hstore.extension.as_deref(), Some("hstore"));
    assert_eq!(hstore.functions.len(), 4, "input, output, receive and send are the extension's");
}

#[test]
fn functions_operators_and_casts_are_there() {
    let catalog = shop();
    let contact = function(&catalog, "get_contact");
    assert!(contact.security_definer);
    assert_eq!(contact.config, [("search_path".to_owned(), "pg_catalog".to_owned())]);
    assert!(contact.source.contains("SELECT email"));
    let card = function(&catalog, "card_of");
    let columns: Vec<&str> = card.out_columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((columns, card.argument_names.len()), (vec!["holder", "pan"], 1));
    assert_eq!(function(&catalog, "with_tax").defaults, 1);
    assert_eq!(function(&catalog, "with_tax").default_expressions.as_deref(), Some("0.21"));
    assert_eq!(function(&catalog, "gather").parts, [function(&catalog, "peek_step").oid]);
    let plus: Vec<Oid> = catalog.operators_named("<+>").map(|o| o.function).collect();
    assert_eq!(plus, [function(&catalog, "op_peek").oid]);
    let addr = catalog.type_named("shop", "addr").unwrap().oid;
    let cast = catalog.casts().iter().find(|c| c.source == addr).unwrap();
    assert_eq!((cast.function, cast.context), (Some(function(&catalog, "addr_text").oid), 'a'));
    assert!(catalog.functions_named("upper").any(|f| f.schema == "pg_catalog" && f.source.is_empty()));
    assert_eq!(catalog.extensions.get("dblink").map(String::as_str), Some("public"));
}

#[test]
fn families_of_extensions_that_were_looked_at_call_nothing() {
    let catalog = shop();
    assert!(!catalog.families.is_empty(), "hstore's and pg_trgm's");
    assert!(catalog.derived().families.is_empty(), "{:?}", catalog.derived().families);
    let mut other = catalog.clone();
    other.derived = std::sync::OnceLock::new();
    let touch = function(&catalog, "op_touch").oid;
    other.families.push(Family { types: vec![Oid(23)], functions: vec![touch] });
    assert_eq!(other.derived().families.len(), 1);
}

/// The lists that every catalogue answers, by hand: two tables, the second a child of the first, and their types.
fn by_hand() -> Vec<Rows> {
    let row = |text: &str| -> Vec<Option<String>> {
        text.split('|').map(|cell| (cell != "NULL").then(|| cell.to_owned())).collect()
    };
    let mut answers = vec![Rows::new(); queries::List::ALL.len()];
    answers[0] =
        vec![row("150018|db|UTF8|PostgreSQL 15.18 on x86_64-pc-linux-gnu, compiled by gcc|postgres")];
    answers[1] = vec![row("pg_catalog|t"), row("public|t")];
    answers[2] = ["1|public|top|r|f|f|NULL", "2|public|left|r|f|f|NULL", "3|public|right|r|f|f|NULL"]
        .map(row)
        .to_vec();
    answers[3] = [
        r#"1|1 25 -1 - 3 25 -1 d|["a","b"]"#,
        r#"2|1 25 -1 - 2 25 -1 - 3 25 -1 -|["a","own","b"]"#,
        r#"3|1 25 -1 - 3 25 -1 -|["b","a"]"#,
    ]
    .map(row)
    .to_vec();
    answers[11] = vec![row("2|1"), row("3|1")];
    answers
}

fn read(answers: &[Rows], tags: &[(&str, &str)]) -> Result<Catalog, String> {
    let tag = |(table, column): &(&str, &str)| {
        let table = TableName { schema: "public".to_owned(), name: (*table).to_owned() };
        (ColumnName { table, name: (*column).to_owned() }, Tag(format!("of {column}")))
    };
    from_rows(150_018, answers, &tags.iter().map(tag).collect::<Vec<_>>())
}

/// The tagged columns as `table.column`, in order.
fn all_tagged(catalog: &Catalog) -> Vec<String> {
    let mut all: Vec<String> = catalog
        .column_tags
        .keys()
        .map(|(oid, number)| {
            let column = catalog.column_name(*oid, *number).unwrap();
            format!("{}.{}", column.table.name, column.name)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn tags_follow_rows_through_inheritance_by_name() {
    let check = |tags: &[(&str, &str)], wanted: &[&str]| {
        assert_eq!(all_tagged(&read(&by_hand(), tags).unwrap()), wanted, "{tags:?}");
    };
    check(&[("top", "a")], &["left.a", "right.a", "top.a"]);
    check(&[("left", "b")], &["left.b", "top.b"]);
    check(&[("left", "own")], &["left.own"]);
    check(&[("right", "a"), ("left", "a")], &["left.a", "right.a", "top.a"]);
    check(&[("nowhere", "a"), ("top", "nothing")], &[]);
}

#[test]
fn other_tags_leave_the_rest_as_it_was() {
    let catalog = read(&by_hand(), &[("top", "a")]).unwrap();
    let none = retagged(&catalog, &[]);
    assert_eq!((catalog.any_tags(), none.any_tags()), (true, false));
    assert_eq!((all_tagged(&none).len(), none.relations().count()), (0, 3));
    assert!(!shop().relation_tags(shop().relation("pg_catalog", "pg_statistic").unwrap().oid).is_empty());
}

#[test]
fn a_text_that_did_not_come_is_known_to_be_missing() {
    let catalog = read(&by_hand(), &[]).unwrap();
    let column = |catalog: &Catalog| catalog.relation("public", "top").unwrap().column("b").unwrap().clone();
    assert_eq!((column(&catalog).default.as_deref(), catalog.unreadable()), (Some(UNREADABLE), 0));
    for (text, default, unreadable) in [(Some("now()"), "now()", 0), (None, UNREADABLE, 1)] {
        let mut answers = by_hand();
        let words = [Some("d"), Some("1"), Some("3"), text];
        answers.push(vec![words.map(|word| word.map(str::to_owned)).to_vec()]);
        let catalog = read(&answers, &[]).unwrap();
        assert_eq!((column(&catalog).default.as_deref(), catalog.unreadable()), (Some(default), unreadable));
    }
    assert!(
        pg_query::parse(&format!("SELECT {UNREADABLE}"), pg_query::ParserOptions::default()).is_err(),
        "nobody takes it for an expression"
    );
}

#[test]
fn answers_that_are_not_what_was_asked_for_are_an_error() {
    let check = |list: usize, row: &[&str], wanted: &str| {
        let mut answers = by_hand();
        answers[list] = vec![row.iter().map(|cell| Some((*cell).to_owned())).collect()];
        let error = read(&answers, &[]).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    };
    check(2, &["1", "public", "t"], "Relations: a row is too short");
    check(2, &["1", "public", "t", "x", "f", "f", "0"], "x is no kind");
    check(2, &["-1", "public", "t", "r", "f", "f", "0"], "-1 is not the number");
    check(2, &["1", "public", "t", "r", "yes", "f", "0"], "neither true nor false");
    check(3, &["1", "1 25 -1 -", r#"["a","b"]"#], "fewer columns than names");
    check(3, &["1", "1 25 -1 -", "{a}"], "not a list");
    assert!(read(&by_hand()[..19], &[]).unwrap_err().contains("19 answers"));
}

#[test]
fn only_what_was_tested_is_served() {
    let served = [
        "PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64",
        "PostgreSQL 18.4 on aarch64",
        "PostgreSQL 17rc1 on x86_64",
    ];
    let forks = [
        "PostgreSQL 15.2-YB-2.25.0.0-b0 on x86_64-pc-linux-gnu",
        "PostgreSQL 15.4 (EnterpriseDB Advanced Server 15.4.0) on x86_64",
        "PostgreSQL 14.4 (Apache Cloudberry 1.6.0 build 1) on x86_64",
        "PostgreSQL 13.0 (Greenplum Database 8) on x86_64",
        "PostgreSQL 15.0 (openGauss 6) on x86_64",
        "CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu)",
        "PostgreSQL 15.1",
    ];
    let check = |version: &str, encoding: &str, words: &str| {
        let row = [version, "db", encoding, words].map(|cell| Some(cell.to_owned())).to_vec();
        super::version(&vec![row])
    };
    for words in served {
        assert_eq!(check("150018", "UTF8", words), Ok(150_018), "{words}");
    }
    for words in forks {
        assert!(check("150018", "UTF8", words).is_err(), "{words}");
    }
    for (version, encoding) in
        [("120022", "UTF8"), ("190000", "UTF8"), ("150018", "LATIN1"), ("150018", "SQL_ASCII")]
    {
        assert!(check(version, encoding, served[0]).is_err(), "{version} {encoding}");
    }
    assert!(from_rows(180_004, &by_hand(), &[]).is_err(), "asked as another version than it is");
}

#[test]
fn the_smallest_bound_says_how_many_connections_there_are() {
    for (answer, room) in [
        ("100,3,0,-1,-1", Some(97)),
        ("100,3,7,-1,-1", Some(90)),
        ("100,3,0,20,-1", Some(20)),
        ("100,3,0,-1,10", Some(10)),
        ("100,3,0,0,-1", Some(0)),
        ("100,3,0,-1", None),
        ("", None),
        ("a,b,c,d,e", None),
    ] {
        assert_eq!(room_in(answer), room, "{answer}");
    }
}

#[test]
fn what_is_asked_has_no_operator_or_name_that_a_user_could_replace() {
    let mut statements: Vec<String> =
        [130_000, 140_000, 150_000, 180_000].into_iter().flat_map(queries).collect();
    statements.extend([signature(), pulse().to_owned(), who(), room().to_owned()]);
    statements.extend(questions(180_000).pieces.iter().map(Piece::sql));
    for statement in statements {
        let parsed = pg_query::parse(&statement, pg_query::ParserOptions::default());
        let tree = format!("{:?}", parsed.unwrap_or_else(|error| panic!("{statement}: {error}")).protobuf);
        // Of operators, functions and types; the names of an alias's columns are its own.
        for names in ["name: [Node", " names: [Node"] {
            for name in tree.split(names).skip(1) {
                let is_qualified = name.starts_with(" { node: Some(String(String { sval: \"pg_catalog\"");
                assert!(is_qualified, "{statement}: {name:.80}");
            }
        }
        for from in tree.split("RangeVar { ").skip(1) {
            let own = ["locked", "blocked", "temporary", "temporary_schemas", "entries"];
            let is_own = own.iter().any(|name| from.contains(&format!("relname: \"{name}\"")));
            assert!(from.contains("schemaname: \"pg_catalog\"") || is_own, "{statement}: {from:.80}");
        }
    }
}
