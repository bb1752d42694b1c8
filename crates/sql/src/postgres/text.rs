//! A statement's text for the journal and the approver: literals apart, comments and secrets gone.

use pg_query::protobuf::{ScanToken, Token};

use super::parse::piece;
use super::{Literal, Spelled};

/// What stands where a secret was.
pub const REMOVED: &str = "(removed)";

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
    // The statements of a long message have few tokens each.
    let first = tokens.partition_point(|token| usize::try_from(token.start).unwrap_or(0) < start);
    for token in tokens.get(first..).unwrap_or_default() {
        let at = usize::try_from(token.start).unwrap_or(0);
        if at >= end {
            break;
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
            normal.literals.push(literal(word, before));
        } else {
            normal.text.push_str(word);
            before = word;
        }
    }
    normal
}

pub(super) fn is_literal(kind: Token) -> bool {
    matches!(
        kind,
        Token::Sconst | Token::Usconst | Token::Bconst | Token::Xconst | Token::Iconst | Token::Fconst
    )
}

/// Whether the word before a literal says that it is a secret: `PASSWORD '…'`, `OPTIONS (password '…')`, `CONNECTION '…'`.
pub(super) fn names_a_secret(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word == "connection"
        || ["password", "passwd", "secret", "token", "passcode"].iter().any(|s| word.contains(s))
}

/// A literal, or what stands in its place where the word before it says that it is a secret.
pub(super) fn literal(word: &str, before: &str) -> Literal {
    if names_a_secret(before) {
        return Literal { value: REMOVED.to_owned(), spelled: Spelled::Text };
    }
    // What goes on in another line (`'a'` and below it `'b'`) is no plain one.
    let whole = |inside: &&str| !inside.replace("''", "").contains('\'');
    if let Some(inside) = word.strip_prefix('\'').and_then(|w| w.strip_suffix('\'')).filter(whole) {
        return Literal { value: inside.replace("''", "'"), spelled: Spelled::Text };
    }
    if word.starts_with('$') {
        let tag = word.get(1..).and_then(|rest| rest.find('$')).map_or(0, |n| n + 2);
        if let Some(inside) = word.get(tag..word.len().saturating_sub(tag)) {
            return Literal { value: inside.to_owned(), spelled: Spelled::Text };
        }
    }
    let is_number = word.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let spelled = if is_number { Spelled::Number } else { Spelled::Otherwise };
    Literal { value: word.to_owned(), spelled }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_that_are_other_values_are_told_apart() {
        let written = [
            "10",
            "'10'",
            "'''10'''",
            "E'10'",
            "$$E'10'$$",
            "'E''10'''",
            "'a\nb'",
            r"E'a\nb'",
            r"$$a\nb$$",
            "'a'\n'b'",
            "'a''\n''b'",
            "B'10'",
            "X'10'",
            "U&'10'",
            "1e1",
            "10.0",
        ];
        let mut seen: Vec<(Literal, &str)> = Vec::new();
        for word in written {
            let is = literal(word, "");
            // The one between dollars is the same value as the one with its quotes doubled.
            if word != "$$E'10'$$" {
                let alike = seen.iter().find(|(other, _)| *other == is);
                assert!(alike.is_none(), "{word} as {alike:?}");
                seen.push((is, word));
            }
        }
    }
}
