//! The acceptance suite's database as a catalogue, for tests.

use model::{ColumnName, TableName, Tag};

use super::{Catalog, Rows, from_rows};

/// The tags of the suite's `policy.json`.
pub(crate) const TAGS: [(&str, &str, &str); 9] = [
    ("customers", "email", "pii.email"),
    ("customers", "ssn", "pii.national_id"),
    ("customers", "card_number", "pii.card"),
    ("customers", "date_of_birth", "pii.birthday"),
    ("customers", "notes", "pii.text"),
    ("customers", "profile", "pii.profile"),
    ("staff", "salary", "hr.salary"),
    ("secrets", "api_key", "secret"),
    ("tickets", "customer_email", "pii.email"),
];

/// The answers of PostgreSQL 15 for `shared/acceptance/pg/schema.sql` and its extensions: see `gateway`'s test
/// `catalogue`, which writes them.
pub(super) fn answers() -> Vec<Rows> {
    serde_json::from_str(include_str!("../../../tests/fixtures/shop.json"))
        .expect("the fixture is rows of texts")
}

/// Schemas `shop` and `vault`, tagged.
pub(crate) fn shop() -> Catalog {
    from_rows(150_018, &answers(), &tags()).expect("the fixture is a catalogue")
}

fn tags() -> Vec<(ColumnName, Tag)> {
    let column = |table: &str, name: &str| ColumnName {
        table: TableName { schema: "shop".to_owned(), name: table.to_owned() },
        name: name.to_owned(),
    };
    TAGS.iter().map(|(table, name, tag)| (column(table, name), Tag((*tag).to_owned()))).collect()
}
