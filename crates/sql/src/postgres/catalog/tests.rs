//! The suite's database as a catalogue, and small answers made by hand.

use std::collections::BTreeSet;

use model::Tag;

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
    assert!(catalog.any_tags());
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
