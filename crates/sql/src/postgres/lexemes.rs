//! What stands where in a text, by the server's own scanner, for whoever shows it: what looks like a comment or a string to a
//! person may be neither.

use std::ops::Range;

use pg_query::protobuf::Token;

use super::parse::{piece, tokens};
use super::text::is_literal;

/// What a piece of a text is to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lexeme {
    /// A string, of bits too.
    Text,
    /// A number.
    Number,
    /// The place of a parameter: `$1`.
    Place,
    /// What the server does not read.
    Comment,
    /// A word without quotes: a keyword or a name.
    Word,
    /// A name in quotes, a sign, or something else.
    Other,
}

/// The pieces of a text that the server takes for one thing each, in their order; between them is white space alone. `None` where it
/// does not scan.
pub fn lexemes(text: &str) -> Option<Vec<(Lexeme, Range<usize>)>> {
    let mut all = Vec::new();
    for token in &tokens(text).ok()? {
        let (start, end) = (usize::try_from(token.start).ok()?, usize::try_from(token.end).ok()?);
        let kind = token.token();
        let word = piece(text, token);
        let lexeme = if matches!(kind, Token::Iconst | Token::Fconst) {
            Lexeme::Number
        } else if is_literal(kind) {
            Lexeme::Text
        } else if kind == Token::Param {
            Lexeme::Place
        } else if matches!(kind, Token::SqlComment | Token::CComment) {
            Lexeme::Comment
        } else if word.starts_with(|c: char| c == '_' || c.is_alphabetic()) && !word.contains('"') {
            Lexeme::Word
        } else {
            Lexeme::Other
        };
        all.push((lexeme, start..end));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_what_the_server_takes_it_for() {
        let of = |text: &str, wanted: Lexeme| -> Vec<String> {
            let all = lexemes(text).expect("it scans");
            let fits = all.into_iter().filter(|(lexeme, _)| *lexeme == wanted);
            fits.map(|(_, at)| text.get(at).expect("a piece").to_owned()).collect()
        };
        for (text, lexeme, pieces) in [
            ("a = 1 -- one\r OR true", Lexeme::Comment, &["-- one"][..]),
            ("a = 1 -- one\r OR true", Lexeme::Word, &["a", "OR", "true"]),
            ("n = $$'$$ OR true --'", Lexeme::Text, &["$$'$$"]),
            ("n = $$'$$ OR true --'", Lexeme::Comment, &["--'"]),
            ("n = E'\\'' OR true --'", Lexeme::Text, &["E'\\''"]),
            ("n = $x$'--$x$ /* a /* b */ OR */ + 1", Lexeme::Comment, &["/* a /* b */ OR */"]),
            ("\"OR\" = U&'\\0041' AND b'1' = x'1'", Lexeme::Text, &["U&'\\0041'", "b'1'", "x'1'"]),
            ("\"OR\" = 1.5e3 AND größe = $12", Lexeme::Word, &["AND", "größe"]),
            ("\"OR\" = 1.5e3 AND größe = $12", Lexeme::Number, &["1.5e3"]),
            ("\"OR\" = 1.5e3 AND größe = $12", Lexeme::Place, &["$12"]),
            ("U&\"OR\" = 1", Lexeme::Word, &[]),
        ] {
            assert_eq!(of(text, lexeme), pieces, "{text}");
        }
        assert_eq!(lexemes("a = 'open"), None);
        assert_eq!(lexemes("a\0"), None);
    }
}
