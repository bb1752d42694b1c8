//! A statement's text for the journal and the approver: literals apart, comments and secrets gone.

use pg_query::protobuf::{ScanToken, Token};

use super::Literal;
use super::parse::{piece, tokens};

/// What stands where a secret was.
const REMOVED: &str = "(removed)";

/// A text with its literals apart.
pub(super) struct Normal {
    pub text: String,
    pub literals: Vec<Literal>,
}

/// The part of a text between two bytes, with `?` for each literal. White space is one space, so that statements that
/// differ only in their layout are equal.
pub(super) fn normalise(text: &str, tokens: &[ScanToken], start: usize, end: usize) -> Normal {
    let mut normal = Normal { text: String::with_capacity(end.saturating_sub(start)), literals: Vec::new() };
    let mut last_end = start;
    let mut before = "";
    for token in tokens {
        let at = usize::try_from(token.start).unwrap_or(0);
        if at < start || at >= end {
            continue;
        }
        let word = piece(text, token);
        let kind = token.token();
        if matches!(kind, Token::SqlComment | Token::CComment) {
            continue;
        }
        if at > last_end && !normal.text.is_empty() {
            normal.text.push(' ');
        }
        last_end = usize::try_from(token.end).unwrap_or(end);
        if is_literal(kind) {
            normal.text.push('?');
            let value = if names_a_secret(before) { REMOVED.to_owned() } else { value(word) };
            normal.literals.push(Literal { value });
        } else {
            normal.text.push_str(word);
            before = word;
        }
    }
    normal
}

fn is_literal(kind: Token) -> bool {
    matches!(
        kind,
        Token::Sconst | Token::Usconst | Token::Bconst | Token::Xconst | Token::Iconst | Token::Fconst
    )
}

/// Whether the word before a literal says that it is a secret: `PASSWORD '…'`, `OPTIONS (password '…')`, `CONNECTION '…'`.
fn names_a_secret(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word == "connection"
        || ["password", "passwd", "secret", "token", "passcode"].iter().any(|s| word.contains(s))
}

/// A literal's value, as far as its spelling is plain; else its spelling.
fn value(word: &str) -> String {
    if let Some(inside) = word.strip_prefix('\'').and_then(|w| w.strip_suffix('\'')) {
        return inside.replace("''", "'");
    }
    if word.starts_with('$') {
        let tag = word.get(1..).and_then(|rest| rest.find('$')).map_or(0, |n| n + 2);
        if let Some(inside) = word.get(tag..word.len().saturating_sub(tag)) {
            return inside.to_owned();
        }
    }
    word.to_owned()
}

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
#[expect(clippy::wildcard_enum_match_arm, reason = "every other token is no literal")]
pub fn template(text: &str) -> Option<Template> {
    if text.bytes().any(|byte| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) {
        return None;
    }
    let tokens = tokens(text).ok()?;
    let mut template = Template { key: String::with_capacity(text.len() + 16), literals: Vec::new() };
    let (mut last_end, mut before, mut before_that) = (0, "", "");
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
                (before_that, before) = (before, word);
                continue;
            }
        };
        template.key.push_str(mark);
        before_that = "";
        let value = if names_a_secret(before) { REMOVED.to_owned() } else { value(word) };
        template.literals.push(Literal { value });
    }
    Some(template)
}

/// 2³¹ and 2⁶³, which are of one type and their negatives of another.
fn is_on_an_edge(number: &str) -> bool {
    number.parse::<u64>().is_ok_and(|number| number == 1 << 31 || number == 1 << 63)
}
