//! Just enough JSON to read what our own tools write.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use crate::Failure;

/// Nothing that is read here is nested deeper.
const DEPTH: usize = 64;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// As a double.
    Number(f64),
    /// Unescaped.
    Text(String),
    /// In order.
    List(Vec<Json>),
    /// By name.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Reads a text whole.
    ///
    /// # Errors
    /// It is no JSON, or nested deeper than our tools write it.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let mut reader = Reader { chars: text.chars().peekable() };
        let value = reader.value(0).ok_or("this is no JSON that can be read here")?;
        reader.blanks();
        if reader.chars.peek().is_some() { Err("there is more behind the JSON".into()) } else { Ok(value) }
    }

    /// A field of an object.
    pub fn at(&self, name: &str) -> Option<&Json> {
        match self {
            Self::Object(fields) => fields.get(name),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// The fields of an object; none of anything else.
    pub fn fields(&self) -> impl Iterator<Item = (&String, &Json)> {
        let fields = match self {
            Self::Object(fields) => Some(fields),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        };
        fields.into_iter().flatten()
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Json] {
        match self {
            Self::List(items) => items,
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::Object(_) => &[],
        }
    }

    /// A string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// A number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => None,
        }
    }
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > DEPTH {
            return None;
        }
        self.blanks();
        match self.chars.peek()? {
            '{' => self.object(depth),
            '[' => self.list(depth),
            '"' => self.string().map(Json::Text),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        let mut fields = BTreeMap::new();
        self.chars.next();
        self.blanks();
        if self.chars.next_if_eq(&'}').is_some() {
            return Some(Json::Object(fields));
        }
        loop {
            self.blanks();
            let name = self.string()?;
            self.blanks();
            self.chars.next_if_eq(&':')?;
            fields.insert(name, self.value(depth + 1)?);
            self.blanks();
            match self.chars.next()? {
                ',' => (),
                '}' => return Some(Json::Object(fields)),
                _ => return None,
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Json> {
        let mut items = Vec::new();
        self.chars.next();
        self.blanks();
        if self.chars.next_if_eq(&']').is_some() {
            return Some(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            match self.chars.next()? {
                ',' => (),
                ']' => return Some(Json::List(items)),
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        let mut text = String::new();
        self.chars.next_if_eq(&'"')?;
        loop {
            match self.chars.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                other => text.push(other),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.chars.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let high = self.unit()?;
                // A character beyond the first 65,536 is written as two halves.
                if (0xD800..0xDC00).contains(&high) {
                    self.chars.next_if_eq(&'\\')?;
                    self.chars.next_if_eq(&'u')?;
                    let low = self.unit()?.checked_sub(0xDC00)?;
                    char::from_u32(0x10000 + ((high - 0xD800) << 10) + low)?
                } else {
                    char::from_u32(high)?
                }
            }
            other => other,
        })
    }

    fn unit(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |value, _| Some(value * 16 + self.chars.next()?.to_digit(16)?))
    }

    fn word(&mut self) -> Option<Json> {
        let mut word = String::new();
        while let Some(c) = self.chars.next_if(|c| c.is_ascii_alphanumeric() || "+-.".contains(*c)) {
            word.push(c);
        }
        match word.as_str() {
            "null" => Some(Json::Null),
            "true" => Some(Json::Bool(true)),
            "false" => Some(Json::Bool(false)),
            number => number.parse().ok().map(Json::Number),
        }
    }

    fn blanks(&mut self) {
        while self.chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
    }
}

/// A string as JSON writes it.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::{Json, quoted};

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["", "plain", "a \"b\" \\ c", "line\nline\u{1}", "ä 😀"] {
            assert_eq!(Json::parse(&quoted(text)).unwrap(), Json::Text(text.to_owned()));
        }
    }

    #[test]
    fn values_are_found_by_their_names() {
        let json =
            Json::parse(r#" {"a": [1, -2.5e1, null, true], "b": {"c": "\u00e4\ud83d\ude00"}} "#).unwrap();
        assert_eq!(json.at("a").unwrap().items()[1].number(), Some(-25.0));
        assert_eq!(json.at("b").unwrap().at("c").unwrap().text(), Some("ä😀"));
        assert_eq!(json.fields().count(), 2);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "[1,]", "{\"a\" 1}", "\"\\ud83d\"", "1 2", "nul", &"[".repeat(100_000)] {
            assert!(Json::parse(text).is_err(), "{text:.20}");
        }
    }
}
