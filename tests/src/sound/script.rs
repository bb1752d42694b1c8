//! Scripts for psql, as far as PostgreSQL's own regression tests need it: statements, variables, `\gset`, COPY's data.

use std::collections::HashMap;

/// A statement's first words, as far as they tell what it is, in lower case.
pub(super) fn words_of(text: &str) -> String {
    let text = super::compare::shown(text).to_ascii_lowercase();
    let words = text.trim_end_matches(';').split_whitespace();
    words.take(8).collect::<Vec<_>>().join(" ")
}

/// Data that nobody here reads.
pub(super) fn is_copied_out(text: &str) -> bool {
    let text = super::compare::shown(text).to_ascii_lowercase();
    text.starts_with("copy") && text.contains("stdout")
}

/// Data is to follow.
pub(super) fn is_copied_in(text: &str) -> bool {
    let text = super::compare::shown(text).to_ascii_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.first() == Some(&"copy")
        && words.windows(2).any(|two| matches!(two, ["from", source] if source.starts_with("stdin")))
}

/// What is next in a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Statement(String),
    /// `\gset` behind a statement, with its prefix.
    Gset(String, String),
    /// `COPY … FROM STDIN` and its data.
    Copy(String, String),
}

/// A script that is being read.
pub(super) struct Script<'t> {
    lines: std::str::Lines<'t>,
    pub(super) variables: HashMap<String, String>,
    buffer: String,
    /// Parts of `\if` that are not carried out: one for each level.
    skipping: Vec<bool>,
}

impl<'t> Script<'t> {
    pub(super) fn new(text: &'t str, variables: HashMap<String, String>) -> Self {
        Self { lines: text.lines(), variables, buffer: String::new(), skipping: Vec::new() }
    }

    /// The next item.
    pub(super) fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.complete() {
                return Some(item);
            }
            let line = self.lines.next()?;
            if self.buffer.trim().is_empty() && line.trim_start().starts_with('\\') {
                self.command(line.trim_start());
            } else if !self.skipping.contains(&true) {
                self.buffer.push_str(line);
                self.buffer.push('\n');
            }
        }
    }

    /// A whole statement at the front of what was read.
    fn complete(&mut self) -> Option<Item> {
        let (end, rest) = end(&self.buffer)?;
        let statement = self.substituted(self.buffer.get(..end)?);
        let behind = self.buffer.get(rest..)?.to_owned();
        if self.buffer.as_bytes().get(end) == Some(&b';') {
            self.buffer = behind;
            if is_copied_in(&statement) {
                let mut data = String::new();
                for line in self.lines.by_ref().take_while(|line| *line != "\\.") {
                    data.push_str(line);
                    data.push('\n');
                }
                return Some(Item::Copy(statement, data));
            }
            return Some(Item::Statement(statement));
        }
        let (command, behind) = behind.split_once('\n').unwrap_or((&behind, ""));
        let command = command.trim();
        self.buffer = behind.to_owned();
        if let Some(prefix) = command.strip_prefix("\\gset") {
            return Some(Item::Gset(statement, prefix.trim().to_owned()));
        }
        if command.starts_with("\\;") {
            self.buffer = format!("{}\n{behind}", command.get(2..).unwrap_or_default());
        }
        Some(Item::Statement(statement))
    }

    fn command(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("\\if") => {
                let value = self.substituted(line.get(3..).unwrap_or_default());
                let value = value.trim();
                let holds = matches!(value, "t" | "true" | "on" | "1" | "yes");
                self.skipping.push(!holds);
            }
            Some("\\elif" | "\\else") => {
                if let Some(last) = self.skipping.last_mut() {
                    *last = !*last;
                }
            }
            Some("\\endif") => drop(self.skipping.pop()),
            Some("\\set") => {
                let Some(name) = words.next() else { return };
                let value: String = words
                    .map(|word| {
                        let word = self.substituted(word);
                        word.trim_matches('\'').to_owned()
                    })
                    .collect();
                self.variables.insert(name.to_owned(), value);
            }
            Some("\\getenv") => {
                if let (Some(name), Some(variable)) = (words.next(), words.next())
                    && let Some(value) = self.variables.get(variable).cloned()
                {
                    self.variables.insert(name.to_owned(), value);
                }
            }
            _ => (),
        }
    }

    /// A text with variables in their places.
    fn substituted(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(':') {
            out.push_str(before);
            let quoted =
                after.strip_prefix('\'').map(|a| ('\'', a)).or(after.strip_prefix('"').map(|a| ('"', a)));
            let (quote, named) = quoted.map_or((None, after), |(quote, named)| (Some(quote), named));
            let length =
                named.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(named.len());
            let (name, behind) = named.split_at(length);
            let closed = quote.is_none_or(|quote| behind.starts_with(quote));
            match self.variables.get(name).filter(|_| closed && !out.ends_with(':')) {
                Some(value) => {
                    let quote = quote.map(String::from).unwrap_or_default();
                    out.push_str(&format!("{quote}{value}{quote}"));
                    rest = behind.get(quote.len()..).unwrap_or_default();
                }
                None => {
                    out.push(':');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }
}

/// Where the first statement ends, and where what is behind it begins: at a `;`, or at a `\` outside of quotes.
fn end(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut depth = 0_i32;
    let mut atomic = 0_i32;
    let mut word = String::new();
    while let Some(byte) = bytes.get(at).copied() {
        let rest = text.get(at..).unwrap_or_default();
        if byte.is_ascii_alphabetic() || byte == b'_' || (!word.is_empty() && byte.is_ascii_digit()) {
            word.push(char::from(byte.to_ascii_lowercase()));
            at += 1;
            // `E'…'` knows backslashes.
            if word == "e" && bytes.get(at) == Some(&b'\'') {
                at += quoted(&bytes[at..], b'\'', true)?;
                word.clear();
            }
            continue;
        }
        match std::mem::take(&mut word).as_str() {
            "atomic" => atomic += 1,
            "case" if atomic > 0 => atomic += 1,
            "end" if atomic > 0 => atomic -= 1,
            _ => (),
        }
        match byte {
            b'\'' | b'"' => at += quoted(&bytes[at..], byte, false)?,
            b'-' if rest.starts_with("--") => at += rest.find('\n')?,
            b'/' if rest.starts_with("/*") => at += comment(rest)?,
            b'$' => at += dollars(rest)?,
            b'(' => (depth, at) = (depth + 1, at + 1),
            b')' => (depth, at) = (depth - 1, at + 1),
            b';' if depth <= 0 && atomic == 0 => return Some((at, at + 1)),
            b'\\' => return Some((at, at)),
            _ => at += 1,
        }
    }
    None
}

fn quoted(bytes: &[u8], quote: u8, backslashes: bool) -> Option<usize> {
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if backslashes => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

fn comment(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = text.get(at..).filter(|rest| !rest.is_empty());
        let rest = match rest {
            Some(rest) => rest,
            None if at < text.len() => {
                at += 1;
                continue;
            }
            None => return None,
        };
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
}

/// `$tag$ … $tag$`, or a `$` that begins nothing.
fn dollars(text: &str) -> Option<usize> {
    let Some(close) = text.get(1..).and_then(|t| t.find('$')) else { return Some(1) };
    let tag = text.get(..close + 2)?;
    let inner = &tag[1..tag.len() - 1];
    if !inner.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        || inner.starts_with(|c: char| c.is_ascii_digit())
    {
        return Some(1);
    }
    text.get(tag.len()..)?.find(tag).map(|end| end + 2 * tag.len())
}
