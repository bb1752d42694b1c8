//! Templates: texts that differ in the values of literals, in comments and in white space alone mean the same, where no
//! literal decides anything.

use pg_query::protobuf::Token;

use super::Literal;
use super::parse::{piece, tokens};
use super::text::literal;

/// What texts have in common that differ in the values of literals, in comments and in white space alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The text with a mark for each literal that says its kind, since a number's size decides its type.
    pub key: String,
    /// The literals, in order.
    pub literals: Vec<Literal>,
}

/// The template of a text. `None` where it is none for certain: control characters, Unicode escapes, numbers that servers
/// read in different ways, what does not scan.
pub fn template(text: &str) -> Option<Template> {
    if text.bytes().any(|byte| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) {
        return None;
    }
    plain(text).or_else(|| scanned(text))
}

/// The template by PostgreSQL's scanner. `None` where it is none for certain: control characters, Unicode escapes, numbers that servers
/// read in different ways, what does not scan.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other token is no literal")]
fn scanned(text: &str) -> Option<Template> {
    let tokens = tokens(text).ok()?;
    let mut template = Template { key: String::with_capacity(text.len() + 16), literals: Vec::new() };
    let (mut last_end, mut before, mut before_that) = (0, "", "");
    let mut behind_literal = false;
    for token in &tokens {
        let at = usize::try_from(token.start).ok()?;
        let word = piece(text, token);
        let kind = token.token();
        if matches!(kind, Token::SqlComment | Token::CComment) {
            continue;
        }
        if at > last_end && !template.key.is_empty() {
            template.key.push(' ');
        }
        last_end = usize::try_from(token.end).ok()?;
        let mark = match kind {
            Token::Sconst => "\u{1}s",
            // A sign makes another type of the first number behind an int4's or an int8's greatest, and so many digits make one
            // of `float`.
            Token::Iconst | Token::Fconst if is_on_an_edge(word) => return None,
            Token::Iconst if before == "(" && before_that.eq_ignore_ascii_case("float") => return None,
            // `U&"!0073sn" UESCAPE '!'`: here a literal decides which name is meant.
            Token::Uident | Token::Usconst | Token::Uescape => return None,
            Token::Bconst => "\u{1}b",
            Token::Xconst => "\u{1}x",
            Token::Iconst if word.bytes().all(|b| b.is_ascii_digit()) => "\u{1}i",
            Token::Fconst if word.parse::<i64>().is_ok() => "\u{1}l",
            Token::Fconst
                if word
                    .bytes()
                    .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+')) =>
            {
                "\u{1}f"
            }
            Token::Iconst | Token::Fconst => return None,
            _ => {
                template.key.push_str(word);
                before_that = if std::mem::take(&mut behind_literal) { "" } else { before };
                before = word;
                continue;
            }
        };
        template.literal(mark, word, before);
        behind_literal = true;
        before_that = "";
    }
    Some(template)
}

/// 2³¹ and 2⁶³, which are of one type and their negatives of another.
fn is_on_an_edge(number: &str) -> bool {
    number.parse::<u64>().is_ok_and(|number| number == 1 << 31 || number == 1 << 63)
}

/// The same for the plainest texts, ten times as fast: words, signs, plain strings, short whole numbers. `None` says
/// nothing: comments, prefixed strings, dollar quotes and all else that takes thought are for the scanner.
///
/// What it takes apart, PostgreSQL's scanner takes apart in the same way; a test compares them.
fn plain(text: &str) -> Option<Template> {
    let mut template = Template { key: String::with_capacity(text.len() + 16), literals: Vec::new() };
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
    let run = |from: usize, fits: fn(u8) -> bool| {
        bytes.iter().skip(from).position(|b| !fits(*b)).map_or(bytes.len(), |n| from + n)
    };
    let (mut here, mut before) = (0, "");
    while here < bytes.len() {
        let first = at(here);
        let last = here.checked_sub(1).map_or(0, at);
        let end = match first {
            b' ' | b'\t' | b'\n' | b'\r' => {
                here = run(here, |b| b.is_ascii_whitespace());
                if !template.key.is_empty() && here < bytes.len() {
                    template.key.push(' ');
                }
                continue;
            }
            b'\'' => {
                // E'…', B'…', X'…', N'…', U&'…'.
                if is_word(last) || last == b'&' {
                    return None;
                }
                let end = closing(bytes, here)?;
                // Behind a line's end a second string goes on with the first.
                if at(run(end, |b| b.is_ascii_whitespace())) == b'\'' {
                    return None;
                }
                template.literal("\u{1}s", text.get(here..end)?, before);
                here = end;
                continue;
            }
            b'0'..=b'9' => {
                let end = run(here, |b| b.is_ascii_digit());
                // Up to nine digits are an integer everywhere. Fractions, exponents and bases are not for here.
                if end - here > 9 || last == b'.' || matches!(at(end), b'.' | b'$') || is_word(at(end)) {
                    return None;
                }
                if is_behind_float(&template.key) {
                    return None;
                }
                template.literal("\u{1}i", text.get(here..end)?, before);
                here = end;
                continue;
            }
            b'$' => {
                let end = run(here + 1, |b| b.is_ascii_digit());
                if !(2..=6).contains(&(end - here)) || at(end) == b'$' || is_word(at(end)) {
                    return None;
                }
                before = "";
                end
            }
            b'"' => {
                let end = closing(bytes, here)?;
                // U&"…", and a name without a letter.
                if last == b'&' || end - here < 3 {
                    return None;
                }
                before = text.get(here..end)?;
                end
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => {
                let end = run(here, |b| is_word(b) || b == b'$');
                before = text.get(here..end)?;
                if !before.is_ascii() || before.eq_ignore_ascii_case("uescape") {
                    return None;
                }
                end
            }
            b'-' if at(here + 1) == b'-' => return None,
            b'/' if at(here + 1) == b'*' => return None,
            b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'-' | b'*' | b'/'
            | b'%' | b'<' | b'>' | b'=' | b',' | b'(' | b')' | b'[' | b']' | b'.' | b';' | b':' => {
                before = "";
                here + 1
            }
            _ => return None,
        };
        template.key.push_str(text.get(here..end)?);
        here = end;
    }
    Some(template)
}

impl Template {
    fn literal(&mut self, mark: &str, word: &str, before: &str) {
        self.key.push_str(mark);
        self.literals.push(literal(word, before));
    }
}

/// `float(`: the number behind it decides which type is meant.
fn is_behind_float(key: &str) -> bool {
    let name = key.trim_end().strip_suffix('(').map(str::trim_end);
    name.and_then(|n| n.get(n.len().checked_sub(5)?..)).is_some_and(|n| n.eq_ignore_ascii_case("float"))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Behind the closing quote of what begins here. Two quotes stand for one.
fn closing(bytes: &[u8], from: usize) -> Option<usize> {
    let quote = bytes.get(from)?;
    let mut here = from + 1;
    loop {
        here += bytes.get(here..)?.iter().position(|b| b == quote)? + 1;
        if bytes.get(here) != Some(quote) {
            return Some(here);
        }
        here += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of which texts are made, those that must be left to the scanner among them.
    const PIECES: &[&str] = &[
        "SELECT",
        "select",
        "e",
        "E",
        "b",
        "x",
        "N",
        "U&",
        "u",
        "uescape",
        "UESCAPE",
        "abalance",
        "\"Name\"",
        "\"a\"\"b\"",
        "\"\"",
        "\"",
        "ü",
        "float",
        "Float(",
        "password",
        "secret_token",
        "connection",
        "_x",
        "a$1",
        "'",
        "''",
        "'a'",
        "'it''s'",
        "'\\'",
        "'ü'",
        "'!'",
        "$1",
        "$2",
        "$",
        "$$",
        "$tag$",
        "0",
        "1",
        "42",
        "999999999",
        "2147483648",
        "1_000",
        "0x1F",
        "1.5",
        ".5",
        "1e3",
        ".",
        "..",
        ",",
        "(",
        ")",
        ";",
        "::",
        "=",
        "<=",
        "-",
        "--",
        "/*",
        "*/",
        "->>",
        "?",
        "@",
        " ",
        "\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn plain_texts_are_taken_apart_as_the_scanner_does(
            pieces in proptest::collection::vec((proptest::sample::select(PIECES), any::<bool>()), 1..12),
        ) {
            let mut text = String::new();
            for (piece, space) in pieces {
                text.push_str(piece);
                if space {
                    text.push(' ');
                }
            }
            if let Some(plain) = plain(&text) {
                prop_assert_eq!(Some(plain), scanned(&text), "{:?}", text);
            }
        }
    }

    #[test]
    fn everyday_texts_are_plain() {
        for text in [
            "SELECT abalance FROM pgbench_accounts WHERE aid = 4711;",
            "UPDATE shop.orders\n   SET status = 'sent', note = 'it''s ü'\n WHERE id = $1 AND \"Total\" >= -3",
            "select a->>'b', c::text, d[1] from t limit 10",
        ] {
            assert!(plain(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_takes_thought_is_left_to_the_scanner() {
        for text in [
            "select E'a'",
            "select U&'a' uescape '!'",
            "select 'a'\n'b'",
            "select 1 -- x",
            "select /* x */ 1",
            "select $$a$$",
            "select 1.5",
            "select 12345678901",
            "select 1_000",
            "select 0x1f",
            "select a::float(24)",
            "select a::Float ( 25 )",
            "select U&\"a\"",
            "select \"\"",
            "select é",
        ] {
            assert!(plain(text).is_none(), "{text}");
        }
    }
}
