//! What people write in TOML, with its errors in their place and the word that was meant.

use std::path::Path;

use serde::de::DeserializeOwned;

/// Reads TOML; an error says where it is and, of an unknown word, which one may be meant.
///
/// # Errors
/// It cannot be read.
pub fn toml<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, String> {
    ::toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let message = error.message();
        let meant = nearest(message).map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
        format!("{}: {message}{meant}", at(file, text, start))
    })
}

/// A place in a file: its path, line and column.
pub fn at(file: &Path, text: &str, start: usize) -> String {
    let (line, column) = place(text, start);
    format!("{}:{line}:{column}", file.display())
}

/// Where a value stands that is named by its keys, as far as these are there. A key may have dots in it.
pub fn at_key(file: &Path, text: &str, keys: &[&str]) -> String {
    let start = ::toml::de::DeTable::parse(text).ok().and_then(|document| {
        let mut start = None;
        let mut table = Some(document.get_ref());
        for key in keys {
            let Some((found, value)) = table.and_then(|t| t.iter().find(|(k, _)| k.get_ref() == key)) else {
                break;
            };
            start = Some(found.span().start);
            table = value.get_ref().as_table();
        }
        start
    });
    start.map_or_else(|| file.display().to_string(), |start| at(file, text, start))
}

/// Line and column, from 1, in characters.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// serde's words are: unknown field `x`, expected one of `a`, `b`.
fn nearest(message: &str) -> Option<&str> {
    let mut words = message.strip_prefix("unknown ")?.split('`').skip(1).step_by(2);
    let typed = words.next()?;
    policy::nearest(typed, words)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Sample {
        listen: Option<String>,
        certificate: Option<String>,
    }

    #[test]
    fn a_value_is_found_by_its_keys_as_far_as_they_are_there() {
        let text =
            "log.level = \"x\"\n[vault]\ntoken = { file = \"t\" }\n[credentials.\"a.b\"]\n  vault = \"v\"\n";
        for (keys, expected) in [
            (&["vault", "token"][..], "f.toml:3:1"),
            (&["log", "level"], "f.toml:1:5"),
            (&["vault", "secret_id"], "f.toml:2:2"),
            (&["credentials", "a.b", "vault"], "f.toml:5:3"),
            (&["slack"], "f.toml"),
        ] {
            assert_eq!(at_key(Path::new("f.toml"), text, keys), expected, "{keys:?}");
        }
    }

    #[test]
    fn an_unknown_word_is_shown_with_its_place_and_the_one_that_may_be_meant() {
        for (text, expected) in [
            (
                "lisen = \"x\"",
                "f.toml:1:1: unknown field `lisen`, expected `listen` or `certificate`; did you mean `listen`?",
            ),
            ("\n  zebra = 1", "f.toml:2:3: unknown field `zebra`, expected `listen` or `certificate`"),
            ("listen = 5", "f.toml:1:10: invalid type: integer `5`, expected a string"),
        ] {
            let error = toml::<Sample>(Path::new("f.toml"), text).expect_err("an error");
            assert_eq!(error, expected);
        }
    }
}
