use model::Action;
use proptest::prelude::*;

use super::*;

#[test]
fn what_hides_or_turns_text_is_written_as_its_number_and_nothing_is_markup() {
    for (text, shown) in [
        ("SELECT 'ü'", "SELECT 'ü'"),
        ("a\u{202e}b", "a<span class=\"stranger\" title=\"a character that is not seen\">U+202E</span>b"),
        ("<b>&\"", "&lt;b&gt;&amp;&quot;"),
    ] {
        assert_eq!(visible(text).into_string(), shown);
    }
    assert!(visible("a\nb").into_string().contains("U+000A"));
    assert_eq!(visible_lines("a\nb").into_string(), "a\nb");
}

#[test]
fn moments_are_exact_and_near() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_795_694_400, "2026-11-26T12:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
    ] {
        assert_eq!(exact(seconds), text);
    }
    for (seconds, text) in [
        (-3, "just now"),
        (0, "just now"),
        (3, "in a moment"),
        (-120, "2 min ago"),
        (900, "in 15 min"),
        (7200, "in 2 h"),
        (-172_800, "2 days ago"),
    ] {
        assert_eq!(distance(seconds), text);
    }
}

#[test]
fn every_effect_is_a_sentence() {
    for action in Action::ALL {
        let line = format!("{} shop.orders", action.as_str());
        if !matches!(action, Action::Preview | Action::Approve) {
            assert_ne!(effect(&line).0, line, "{action:?}");
        }
    }
    assert_eq!(effect("delete shop.orders"), ("deletes rows of shop.orders".to_owned(), true));
    assert_eq!(effect("select shop.orders via shop.v"), ("reads shop.orders via shop.v".to_owned(), false));
}

#[test]
fn what_runs_never_has_the_colours_of_a_comment_or_of_a_string() {
    for text in [
        "DELETE FROM t WHERE a = 1 -- one row\r OR true",
        "DELETE FROM t WHERE b = $$'$$ OR true --'",
        "DELETE FROM t WHERE b = E'\\'' OR true --'",
        "DELETE FROM t WHERE b = 'it''s' OR true",
        // It is cut in the middle of a string, so that nobody knows what is one.
        "DELETE FROM t WHERE b = $$'$$ OR true AND c = $$",
    ] {
        let executes = |(kind, part): &(Kind, &str)| {
            part.contains("true") && !matches!(kind, Kind::Comment | Kind::Text)
        };
        assert!(tokens(text).iter().any(executes), "{text}: {:?}", tokens(text));
    }
    let shown = statement("SELECT 1 /* why */").into_string();
    assert!(
        shown.contains("<span class=\"sql-key\">SELECT</span>") && shown.contains("sql-comment"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn a_statement_is_shown_whole(text in "[ a-zA-Z0-9_'\"$/*;,()\n-]{0,80}|\\PC{0,40}") {
        let whole: String = tokens(&text).into_iter().map(|(_, part)| part).collect();
        prop_assert_eq!(whole, text);
    }
}

#[test]
fn at_a_glance_nothing_that_runs_looks_like_a_comment() {
    for (text, most, seen) in [
        ("UPDATE t\r\n\tSET a = 1", 100, "UPDATE t SET a = 1"),
        ("DELETE FROM t WHERE id = 1 -- only one\n OR true", 100, "DELETE FROM t WHERE id = 1  OR true"),
        ("/* fine */DELETE FROM t", 100, "DELETE FROM t"),
        ("SELECT 'a\nb'", 100, "SELECT 'aU+000Ab'"),
        ("SELECT 'a -- b\n", 100, "SELECT 'a -- b ↵ "),
        ("SELECT 1234", 9, "SELECT 12…"),
        ("", 9, ""),
    ] {
        let page = glance(text, most).into_string();
        let (mut plain, mut inside) = (String::new(), false);
        for c in page.chars() {
            match c {
                '<' => inside = true,
                '>' => inside = false,
                _ if !inside => plain.push(c),
                _ => (),
            }
        }
        assert_eq!(plain.replace("&#39;", "'"), seen, "{text:?}: {page}");
        assert!(!page.contains("sql-comment"), "{page}");
    }
}
