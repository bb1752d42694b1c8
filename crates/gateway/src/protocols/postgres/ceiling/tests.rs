use super::*;

/// Tables as the server tells of them: relation, name, root, inserted, updated, deleted.
fn changes(tables: &[(&str, &str, Option<&str>, [u64; 3])]) -> Changes {
    let row =
        |(relation, name, root, [inserted, updated, deleted]): &(&str, &str, Option<&str>, [u64; 3])| {
            let texts = [*relation, "shop", *name].map(|text| Some(text.to_owned()));
            let counts = [inserted, updated, deleted].map(|count| Some(count.to_string()));
            texts.into_iter().chain([root.map(str::to_owned)]).chain(counts).collect::<Vec<_>>()
        };
    Changes::read(&tables.iter().map(row).collect()).expect("an answer")
}

#[test]
fn what_counts_is_what_has_changed_since() {
    let before = [("1", "orders", None, [5, 5, 5])];
    for (case, of, after, told, expected) in [
        ("nothing", &[][..], &before[..], 0, 0),
        ("what the statement tells of", &[], &before, 7, 7),
        ("each kind", &[], &[("1", "orders", None, [6, 7, 8])], 0, 6),
        ("what follows", &[], &[("1", "orders", None, [5, 5, 6]), ("2", "items", None, [0, 0, 9])], 1, 10),
        (
            "a row that moves",
            &[],
            &[("3", "p1", Some("9"), [0, 2, 3]), ("4", "p2", Some("9"), [3, 0, 0])],
            5,
            5,
        ),
        (
            "what triggers write beside",
            &["orders"],
            &[("1", "orders", None, [5, 5, 6]), ("2", "log", None, [90, 0, 0])],
            1,
            1,
        ),
        ("counts that were emptied", &[], &[("1", "orders", None, [0, 0, 1])], 0, 0),
    ] {
        let of = of.iter().map(|name: &&str| ("shop".to_owned(), (*name).to_owned())).collect();
        let limit = Limit { most: 0, of, expected: None, before: changes(&before), kept: None };
        assert_eq!(limit.changed(&changes(after), told), expected, "{case}");
    }
}

#[test]
fn what_was_tried_is_done_and_nothing_else_of_any_table() {
    let table = |relation: u32, name: &str, [inserted, updated, deleted]: [u64; 3]| {
        let rows = Rows { inserted, updated, deleted };
        Changed { relation, table: ("shop".to_owned(), name.to_owned()), rows, at_once: Rows::default() }
    };
    let tables = vec![table(1, "orders", [0, 0, 2]), table(9, "parts", [1, 4, 1])];
    let limit = |tolerance| Limit {
        most: 100,
        of: Vec::new(),
        expected: Some(Expected { tolerance, tables: tables.clone() }),
        before: changes(&[("1", "orders", None, [5, 5, 5])]),
        kept: None,
    };
    let orders = ("1", "orders", None, [5, 5, 7]);
    let moved = [("3", "p1", Some("9"), [0, 4, 1]), ("4", "p2", Some("9"), [1, 0, 0])];
    for (case, tolerance, after, differs) in [
        ("the same", 0, vec![orders, moved[0], moved[1]], ""),
        (
            "less",
            0,
            vec![moved[0], moved[1]],
            "it changes nothing of shop.orders; tried before, it deletes 2 rows",
        ),
        (
            "more",
            0,
            vec![("1", "orders", None, [5, 5, 8]), moved[0], moved[1]],
            "it deletes 3 rows of shop.orders",
        ),
        (
            "more, within what policy tolerates",
            50,
            vec![("1", "orders", None, [5, 5, 8]), moved[0], moved[1]],
            "",
        ),
        ("another table", 50, vec![orders, moved[0], moved[1], ("7", "log", None, [1, 0, 0])], "of shop.log"),
    ] {
        let beyond = limit(tolerance).beyond(&changes(&after), 0, true);
        match beyond {
            None => assert_eq!(differs, "", "{case}"),
            Some(Beyond::Another(how)) => {
                assert!(!differs.is_empty() && how.contains(differs), "{case}: {how}")
            }
            Some(Beyond::TooMany(rows)) => panic!("{case}: {rows}"),
        }
    }
    // What waits for the end of a transaction has not run where that is the client's.
    let none = changes(&[("1", "orders", None, [5, 5, 5])]);
    assert_eq!(limit(0).beyond(&none, 0, false), None);
}

#[test]
fn an_answer_that_is_none_is_not_read() {
    for row in [vec![], vec![None; 7], vec![Some("x".to_owned()); 7]] {
        assert!(Changes::read(&vec![row]).is_none());
    }
}
