//! The canonical form of a text: what is left of it without comments, and with one space for white space.
//!
//! Between two tokens that had nothing between them nothing is put, so that servers of other versions, whose scanners take
//! some words apart otherwise, read the canonical text as they read the text itself.

use pg_query::protobuf::Token;

use super::parse::{piece, tokens};

/// The canonical form. Two texts that have the same one mean the same: they differ in comments and white space between
/// tokens alone. `None` where a text does not scan, or holds control characters that not every version takes for white
/// space.
///
/// `standard_conforming_strings` must be on, as it is in every session here.
pub fn canonical(text: &str) -> Option<String> {
    if text.bytes().any(|byte| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) {
        return None;
    }
    let mut canonical = String::with_capacity(text.len());
    let mut last_end = 0;
    for token in &tokens(text).ok()? {
        if matches!(token.token(), Token::SqlComment | Token::CComment) {
            continue;
        }
        let at = usize::try_from(token.start).ok()?;
        if at > last_end && !canonical.is_empty() {
            canonical.push(' ');
        }
        last_end = usize::try_from(token.end).ok()?;
        canonical.push_str(piece(text, token));
    }
    Some(canonical)
}

/// Whether a text changes the row on which a cursor stands (`WHERE CURRENT OF`): which one that is, it does not say itself. So may one
/// that does not scan.
pub fn at_cursor(text: &str) -> bool {
    let Ok(tokens) = tokens(text) else { return true };
    let mut was_current = false;
    for token in &tokens {
        if matches!(token.token(), Token::SqlComment | Token::CComment) {
            continue;
        }
        let word = piece(text, token);
        if was_current && word.eq_ignore_ascii_case("of") {
            return true;
        }
        was_current = word.eq_ignore_ascii_case("current");
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{at_cursor, canonical};

    #[test]
    fn what_is_changed_where_a_cursor_stands_is_told_from_words_that_say_so() {
        for (text, is) in [
            ("UPDATE t SET a = 1 WHERE CURRENT OF k", true),
            ("delete from t where current/* */-- x\nof \"K\"", true),
            ("UPDATE t SET a = 'WHERE CURRENT OF k' WHERE id = 1 -- current of k", false),
            ("UPDATE \"current\" SET of = 1 WHERE current_date > $$current of k$$", false),
            ("UPDATE t SET a = 'x", true),
        ] {
            assert_eq!(at_cursor(text), is, "{text}");
        }
    }

    #[test]
    fn comments_and_white_space_between_tokens_are_outside() {
        let same = "DELETE FROM t WHERE a = 'x  y'";
        for text in [
            "DELETE FROM t WHERE a = 'x  y'",
            "  DELETE\n\tFROM  t\r\nWHERE a = 'x  y'  ",
            "DELETE FROM t -- approved by the DBA\nWHERE a = 'x  y'",
            "/* why */DELETE/**/FROM t WHERE/* a /* nested */ one */a = 'x  y'--",
        ] {
            assert_eq!(canonical(text).as_deref(), Some(same), "{text}");
        }
    }

    #[test]
    fn whatever_else_differs_is_another_operation() {
        let texts = [
            "DELETE FROM t WHERE a = 'x y'",
            "DELETE FROM t WHERE a = 'x  y'",
            "DELETE FROM t WHERE a = 'x y' ",
            "DELETE FROM t WHERE a = 'X y'",
            "DELETE FROM t WHERE a = 'x y -- z'",
            "DELETE FROM t WHERE a = 'x y /* z */'",
            "DELETE FROM t WHERE a = $$x y$$",
            "DELETE FROM t WHERE \"a\" = 'x y'",
            "DELETE FROM t WHERE \"a  b\" = 'x y'",
            "DELETE FROM t WHERE \"a b\" = 'x y'",
            "DELETE FROM t WHERE a = 'x' 'y'",
            "DELETE FROM t WHERE a = 'x'\n'y'",
            "DELETE FROM t WHERE a = - 1",
            "DELETE FROM t WHERE a = -1",
            "DELETE FROM t WHERE a - -1 = 0",
            "DELETE FROM t WHERE a --1 = 0",
            "DELETE FROM t",
            "DELETE FROM t;",
        ];
        for (n, one) in texts.iter().enumerate() {
            for (m, other) in texts.iter().enumerate() {
                let same = n == m || (n.min(m), n.max(m)) == (0, 2);
                assert_eq!(canonical(one) == canonical(other), same, "{one} | {other}");
            }
        }
    }

    #[test]
    fn what_not_every_version_reads_alike_has_none() {
        for text in ["SELECT\u{b}1", "SELECT 1\u{c}", "SELECT 'open", "SELECT /* open", "SELECT 1\u{1}"] {
            assert_eq!(canonical(text), None, "{text:?}");
        }
        assert_eq!(canonical("").as_deref(), Some(""));
        // Other white space belongs to names.
        assert_eq!(canonical("SELECT a\u{a0}b").as_deref(), Some("SELECT a\u{a0}b"));
    }
}
