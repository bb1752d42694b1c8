//! What others wrote, made visible for people who decide by it: nothing moves a cursor, hides, or turns the direction of text,
//! and letters that look like others are named.

/// One line: every character that cannot be seen, or changes how others are seen, is written as its number.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (_, c, is_plain) in seen(text) {
        if is_plain {
            out.push(c);
        } else {
            out.push_str(&format!("⟨U+{:04X}⟩", u32::from(c)));
        }
    }
    out
}

/// A value in a line of others, as a literal: what is in it cannot end it.
pub fn quoted(text: &str) -> String {
    format!("'{}'", line(text).replace('\'', "''"))
}

/// The same of one that may be NULL, which no text looks like.
pub fn value(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), quoted)
}

/// A name in a line of others, as an identifier: what is in it cannot end it.
pub fn name(text: &str) -> String {
    let is_word = |c: char| c == '_' || c == '$' || c.is_alphanumeric();
    if !text.is_empty() && text.chars().all(is_word) {
        return line(text);
    }
    format!("\"{}\"", line(text).replace('"', "\"\""))
}

/// The characters of a text, each with its place and whether it can be shown as it is: it is seen, and no other is seen otherwise by
/// it.
pub fn seen(text: &str) -> impl Iterator<Item = (usize, char, bool)> + '_ {
    // What stands before a text is ours.
    let mut over = Over::Ours;
    text.char_indices().map(move |(at, c)| {
        let is_plain = if is_mark(c) {
            match over {
                Over::Ours => false,
                Over::Letter => !is_stroke(c),
                Over::Other => true,
            }
        } else {
            let hidden = is_hidden(c);
            over = match c {
                _ if hidden => Over::Ours,
                'a'..='z' | 'A'..='Z' => Over::Letter,
                _ if c.is_ascii() => Over::Ours,
                _ => Over::Other,
            };
            !hidden
        };
        (at, c, is_plain)
    })
}

/// What a mark is drawn over.
#[derive(Clone, Copy)]
enum Over {
    /// What we write, or looks like it: a digit, a quote, the number of a hidden character.
    Ours,
    /// A letter of ASCII, which has accents in honest texts.
    Letter,
    /// Anything else: scripts have their own marks.
    Other,
}

/// A mark that is drawn over what stands before it, as scripts have in common (Unicode's blocks of combining marks).
fn is_mark(c: char) -> bool {
    matches!(u32::from(c),
        0x300..=0x36F | 0x483..=0x489 | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x20D0..=0x20FF | 0xFE20..=0xFE2F)
}

/// A mark that strikes a letter out, makes another of it, or a line or a frame around it.
fn is_stroke(c: char) -> bool {
    matches!(u32::from(c),
        0x305 | 0x332..=0x338 | 0x33F | 0x347 | 0x35B..=0x362 | 0x488..=0x489 | 0x1AB0..=0x1AFF | 0x20D0..=0x20FF
            | 0xFE20..=0xFE2F)
}

/// A statement with spaces and line breaks alone between its words, as the server takes it: honest ones have tabs and other line ends
/// there, which hide nothing. What is in a literal, a name or a comment, and what does not scan, is as it was.
pub fn spaced(text: &str) -> String {
    let Some(lexemes) = sql::postgres::lexemes(text) else { return text.to_owned() };
    let between = |gap: Option<&str>| {
        let gap = gap.unwrap_or_default().replace("\r\n", "\n").replace('\t', "    ");
        gap.replace('\r', "\n").replace(['\u{b}', '\u{c}'], " ")
    };
    let (mut out, mut last) = (String::with_capacity(text.len()), 0);
    for (_, at) in lexemes {
        out.push_str(&between(text.get(last..at.start)));
        out.push_str(text.get(at.clone()).unwrap_or_default());
        last = at.end;
    }
    out + &between(text.get(last..))
}

/// The same, where line breaks are line breaks.
pub fn lines(text: &str) -> String {
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// The characters of a text that are not ASCII and can be seen: letters that look like others are among them.
pub fn strangers(text: &str) -> Vec<String> {
    let mut found: Vec<char> = text.chars().filter(|c| !c.is_ascii() && !is_hidden(*c)).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(named).collect()
}

/// The words of a text in which letters of ASCII and letters that look like some of them stand side by side, each with those
/// that are not what they seem. A word in one alphabet, and one with accents, is none.
pub fn disguised(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')) {
        if !word.chars().any(|c| c.is_ascii_alphabetic()) {
            continue;
        }
        let mut others: Vec<char> = word.chars().filter(|c| is_of_another_alphabet(*c)).collect();
        others.sort_unstable();
        others.dedup();
        if others.is_empty() {
            continue;
        }
        let others: Vec<String> = others.into_iter().map(named).collect();
        let said = format!("{word} with {}", others.join(" and "));
        if !found.contains(&said) {
            found.push(said);
        }
    }
    found
}

fn named(c: char) -> String {
    format!("{c} (U+{:04X})", u32::from(c))
}

/// Letters that are not Latin, and Latin's own doubles: of full width, and of mathematics.
fn is_of_another_alphabet(c: char) -> bool {
    let is_latin = matches!(u32::from(c), 0xAA | 0xBA | 0xC0..=0x24F | 0x1E00..=0x1EFF);
    !c.is_ascii() && !is_latin && c.is_alphabetic()
}

/// Control and format characters, separators, fillers, selectors, tags and private use (Unicode's Cc, Cf, Zl, Zp, Co and
/// what is drawn as nothing).
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(u32::from(c),
            0xAD | 0x34F | 0x600..=0x605 | 0x61C | 0x6DD | 0x70F | 0x890..=0x891 | 0x8E2
            | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F | 0x2028..=0x202E
            | 0x2060..=0x206F | 0x2800 | 0x3164 | 0xE000..=0xF8FF | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0
            | 0xFFF0..=0xFFFB | 0x110BD | 0x110CD | 0x13430..=0x1343F | 0x16FE4 | 0x1BCA0..=0x1BCA3
            | 0x1D159 | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF | 0xF0000..=0x10FFFF)
}

/// JSON in which every such character is escaped: a program reads the same, and a person who looks at it is not misled.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (_, c, is_plain) in seen(text) {
        // What is not ASCII is within a string.
        if !c.is_ascii() && !is_plain {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    // Of ASCII this is the only one that JSON takes as it is.
    out.replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_between_words_is_plain_and_nowhere_else() {
        for (text, shown) in [
            ("UPDATE t\r\n\tSET a = 1", "UPDATE t\n    SET a = 1"),
            ("SELECT\u{c}1\r;\t", "SELECT 1\n;    "),
            ("SELECT 'a\tb\r'", "SELECT 'a\tb\r'"),
            ("SELECT \"a\tb\", $$\t$$, E'\t' /* \t */", "SELECT \"a\tb\", $$\t$$, E'\t' /* \t */"),
            // A comment ends where the server ends it.
            ("DELETE FROM t -- one\rWHERE true", "DELETE FROM t -- one\nWHERE true"),
            ("SELECT\u{a0}1", "SELECT\u{a0}1"),
            ("SELECT '\t", "SELECT '\t"),
        ] {
            assert_eq!(spaced(text), shown, "{text:?}");
        }
    }

    #[test]
    fn what_hides_or_turns_text_is_written_as_its_number() {
        for (text, shown) in [
            ("SELECT 'ü'", "SELECT 'ü'"),
            ("a\u{202e}b", "a⟨U+202E⟩b"),
            ("\u{1b}[2J", "⟨U+001B⟩[2J"),
            ("a\nb\tc\r", "a⟨U+000A⟩b⟨U+0009⟩c⟨U+000D⟩"),
            ("x\u{200b}\u{2066}\u{feff}", "x⟨U+200B⟩⟨U+2066⟩⟨U+FEFF⟩"),
            ("n\u{a0}b", "n⟨U+00A0⟩b"),
            ("t\u{e0041}", "t⟨U+E0041⟩"),
            ("c\u{9b}31m", "c⟨U+009B⟩31m"),
            // An accent is one; a stroke makes another letter of what is there, and a mark by itself is drawn over what we write.
            ("e\u{301}te\u{301}", "e\u{301}te\u{301}"),
            ("\u{65e5}\u{336}\u{939}\u{300}", "\u{65e5}\u{336}\u{939}\u{300}"),
            ("o\u{338}k\u{301}\u{335}", "o⟨U+0338⟩k\u{301}⟨U+0335⟩"),
            ("\u{301}a 1\u{20e3}'\u{301}", "⟨U+0301⟩a 1⟨U+20E3⟩'⟨U+0301⟩"),
            ("\u{200b}\u{301}", "⟨U+200B⟩⟨U+0301⟩"),
        ] {
            assert_eq!(line(text), shown);
        }
        assert_eq!(lines("a\nb\u{7}"), "a\nb⟨U+0007⟩");
        assert_eq!(strangers("пay ü"), ["ü (U+00FC)", "п (U+043F)"]);
    }

    #[test]
    fn what_is_quoted_cannot_end_itself() {
        for (text, shown) in [
            (None, "NULL"),
            (Some("NULL"), "'NULL'"),
            (Some("v', b = 'paid"), "'v'', b = ''paid'"),
            (Some("\u{338}'\n"), "'⟨U+0338⟩''⟨U+000A⟩'"),
        ] {
            assert_eq!(value(text), shown);
        }
        for (text, shown) in [
            ("total", "total"),
            ("größe", "größe"),
            ("", "\"\""),
            ("a = 'paid', b", "\"a = 'paid', b\""),
            ("a\" = ", "\"a\"\" = \""),
        ] {
            assert_eq!(name(text), shown);
        }
    }

    #[test]
    fn words_that_mix_alphabets_are_named_and_honest_ones_are_not() {
        for (text, named) in [
            ("UPDATE ordеrs SET a = 1", &["ordеrs with е (U+0435)"][..]),
            ("ＤROP", &["ＤROP with Ｄ (U+FF24)"]),
            ("xα, x_α and xα", &["xα with α (U+03B1)", "x_α with α (U+03B1)"]),
            ("SELECT 'Zürich', 'заказы', '東京', 'Łódź', \"naïve\", 'e\u{301}t\u{e9}'", &[]),
        ] {
            assert_eq!(disguised(text), named, "{text}");
        }
    }

    #[test]
    fn json_means_the_same_and_hides_nothing() {
        let value = serde_json::json!({ "a\u{202e}": "x\u{200b}\u{7f}\u{9b}\u{e0041}ü\u{1b}\"" });
        let shown = json(&value.to_string());
        assert!(shown.chars().all(|c| !is_hidden(c)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
    }
}
