//! What others wrote, shown so that it is seen as it is: nothing moves the cursor, hides, or turns the direction of text.

use std::io::{self, Write};

use gateway::visible::is_hidden;
use serde_json::Value;

/// Writes a line.
pub(crate) fn say(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Writes JSON.
pub(crate) fn json(value: &Value) -> io::Result<()> {
    say(format_args!("{value:#}"))
}

/// One line: every character that cannot be seen, or changes how others are seen, is written as its number.
pub(crate) fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            out.push_str(&format!("⟨U+{:04X}⟩", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// The same, where line breaks are line breaks.
pub(crate) fn lines(text: &str) -> String {
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// The characters of a text that are not ASCII and can be seen: letters that look like others are among them.
pub(crate) fn strangers(text: &str) -> Vec<String> {
    let mut found: Vec<char> = text.chars().filter(|c| !c.is_ascii() && !is_hidden(*c)).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(|c| format!("{c} (U+{:04X})", u32::from(c))).collect()
}

/// Rows under their headings, each column as wide as its widest.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let mut all = vec![headings.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()];
    all.extend(rows.iter().map(|row| row.iter().map(|cell| line(cell)).collect()));
    let mut widths = vec![0; headings.len()];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &all {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        say(cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// Seconds since 1970 as a date and time in UTC.
pub(crate) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}

/// A field of a JSON object as text; a list's items with commas between.
pub(crate) fn field(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            let text = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
            items.iter().map(text).collect::<Vec<_>>().join(", ")
        }
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_))) => other.to_string(),
    }
}

/// A field that is a time.
pub(crate) fn time_field(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_i64).map(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert_eq!(line(text), shown);
        }
        assert_eq!(lines("a\nb\u{7}"), "a\nb⟨U+0007⟩");
        assert_eq!(strangers("пay ü"), ["ü (U+00FC)", "п (U+043F)"]);
    }
}
