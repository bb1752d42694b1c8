use model::Action;

use super::super::catalog::shop;
use super::super::{NoNames, analyse};
use super::*;

/// What becomes of the schema by these statements, and the effects of one behind them.
fn then(statements: &[&str], last: &str) -> (Vec<String>, Vec<String>) {
    let path = ["pg_catalog".to_owned(), "shop".to_owned()];
    let mut catalog = shop();
    let mut lines = Vec::new();
    for text in statements {
        let session = Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames };
        let After { catalogue, changes, unforeseen } = after(text, &session);
        lines.extend(changes.iter().map(|c| {
            format!("{} {}: {}", c.sign.mark(), c.what, c.detail).trim_end_matches(": ").to_owned()
        }));
        lines.extend(
            unforeseen.map(|why| why.split(" is not foreseen").next().unwrap_or_default().to_owned()),
        );
        catalog = catalogue.unwrap_or(catalog);
    }
    let session = Session { catalog: &catalog, search_path: &path, role: "postgres", prepared: &NoNames };
    let analysis = analyse(last, &session, &Options::default()).expect("a statement");
    let effects = analysis.statements.iter().flat_map(|statement| &statement.effects);
    let effect = |effect: &model::Effect| match (&effect.action, &effect.why) {
        (Action::Unknown, Some(why)) => format!("unknown: {why}"),
        (action, _) => format!("{} {}", action.as_str(), effect.resource),
    };
    (lines, effects.map(effect).collect())
}

#[test]
fn what_a_statement_makes_is_there_for_those_behind_it() {
    for (statements, last, changes, effects) in [
        (
            &["CREATE TABLE note (id int PRIMARY KEY, words varchar(9) NOT NULL DEFAULT 'x')"][..],
            "INSERT INTO note VALUES (1, 'a')",
            &["+ the table shop.note: id integer primary key, words varchar(9) not null default 'x'"][..],
            &["insert shop.note"][..],
        ),
        (
            &["CREATE TABLE note (id serial)", "ALTER TABLE note ADD COLUMN words text, DROP COLUMN id"],
            "SELECT words FROM note",
            &[
                "+ the table shop.note: id serial",
                "+ the column shop.note.words: text",
                "- the column shop.note.id",
            ],
            &["select shop.note"],
        ),
    ] {
        let (lines, found) = then(statements, last);
        assert_eq!(lines, changes, "{statements:?}");
        assert_eq!(found, effects, "{statements:?}; {last}");
    }
}

#[test]
fn what_hangs_on_a_new_table_is_seen_by_those_behind_it() {
    // A row of a table that refers to another by a cascade goes with it.
    let made = "CREATE TABLE note (id int, of_order int REFERENCES orders ON DELETE CASCADE, CHECK (id > 0))";
    let (lines, effects) = then(&[made], "DELETE FROM orders WHERE id = 1");
    assert!(
        lines.iter().any(|line| line.contains("foreign key to orders, whose rows take these with them")),
        "{lines:?}"
    );
    assert!(effects.contains(&"delete shop.note".to_owned()), "{effects:?}");
    // An index on an expression calls its function for whoever writes.
    let (_, effects) =
        then(&["CREATE INDEX i ON orders (no_such(status))"], "UPDATE orders SET status = 'x'");
    assert!(effects.iter().any(|effect| effect.starts_with("unknown")), "{effects:?}");
}
