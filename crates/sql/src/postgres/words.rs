//! How many words and signs a text has, before anything is made of them: the parser takes some hundred bytes for each.

/// An upper bound of the tokens in a text: as many as the scanner finds, or a few more.
pub(super) fn words(text: &str) -> usize {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
    let run = |from: usize, fits: fn(u8) -> bool| {
        bytes.iter().skip(from).position(|byte| !fits(*byte)).map_or(bytes.len(), |n| from + n)
    };
    let (mut here, mut count) = (0, 0);
    while here < bytes.len() {
        let first = at(here);
        here = match first {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => {
                here += 1;
                continue;
            }
            b'-' if at(here + 1) == b'-' => run(here, |byte| byte != b'\n' && byte != b'\r'),
            b'/' if at(here + 1) == b'*' => comment(bytes, here),
            b'e' | b'E' if at(here + 1) == b'\'' => quoted(bytes, here + 1, true),
            b'\'' | b'"' => quoted(bytes, here, false),
            b'$' => dollar(text, here),
            // A number may end where a word begins.
            b'0'..=b'9' => run(here, |byte| byte.is_ascii_digit()),
            _ if is_word(first) => run(here, |byte| is_word(byte) || byte == b'$'),
            _ => here + 1,
        };
        count += 1;
    }
    count
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Behind a quoted piece. Two quotes for one are two pieces here, which is no harm.
fn quoted(bytes: &[u8], from: usize, escapes: bool) -> usize {
    let quote = bytes.get(from).copied().unwrap_or(0);
    let mut here = from + 1;
    while let Some(byte) = bytes.get(here) {
        match *byte {
            b'\\' if escapes => here += 2,
            byte if byte != quote => here += 1,
            // The string goes on with escapes as before.
            _ if escapes && bytes.get(here + 1) == Some(&quote) => here += 2,
            _ => return here + 1,
        }
    }
    bytes.len()
}

/// Behind a comment and those in it.
fn comment(bytes: &[u8], from: usize) -> usize {
    let (mut here, mut depth) = (from, 0_usize);
    while here < bytes.len() {
        match (bytes.get(here), bytes.get(here + 1)) {
            (Some(b'/'), Some(b'*')) => (here, depth) = (here + 2, depth + 1),
            (Some(b'*'), Some(b'/')) => {
                (here, depth) = (here + 2, depth.saturating_sub(1));
                if depth == 0 {
                    return here;
                }
            }
            _ => here += 1,
        }
    }
    bytes.len()
}

/// Behind what a dollar begins: `$tag$ … $tag$`, or `$1`.
fn dollar(text: &str, from: usize) -> usize {
    let rest = text.get(from + 1..).unwrap_or_default();
    let tag = rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len());
    if rest.as_bytes().get(tag) != Some(&b'$') || rest.starts_with(|c: char| c.is_ascii_digit()) {
        return from + 1;
    }
    let begins = from + 1 + tag + 1;
    let mark = text.get(from..begins).unwrap_or_default();
    text.get(begins..).and_then(|inside| inside.find(mark)).map_or(text.len(), |n| begins + n + mark.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parse::tokens;
    use super::words;

    const PIECES: &[&str] = &[
        "select", "e", "E'", "E'\\'", "E'\\\\'", "'", "''", "\"", "\"\"", "$", "$$", "$a$", "$1", "a$",
        "U&'", "n'", "x'", "--", "\n", "/*", "*/", "1", "1.5", "1e3", ".", "::", "<=", "->>", ",", "(", " ",
        "\\", "ü", "/", "*",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn no_text_has_more_tokens_than_are_counted(
            pieces in proptest::collection::vec(proptest::sample::select(PIECES), 1..20),
        ) {
            let text = pieces.concat();
            if let Ok(tokens) = tokens(&text) {
                prop_assert!(tokens.len() <= words(&text), "{:?}: {} of {}", text, words(&text), tokens.len());
            }
        }
    }

    #[test]
    fn a_long_literal_is_one_word() {
        for text in ["'a b, c''d'", "$x$ a, $$ b $x$", "E'a\\' , b'", "/* a /* , */ b */", "-- a, b"] {
            let few = if text.contains("''") { 2 } else { 1 };
            assert_eq!(words(text), few, "{text}");
        }
    }
}
