//! What others wrote, shown so that it is seen as it is: nothing moves the cursor, hides, or turns the direction of text.

use std::io::{self, Write};

pub(crate) use gateway::visible::{disguised, line, lines, name, spaced, strangers, value};
use serde_json::Value;

/// Writes a line.
pub(crate) fn say(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}").map_err(unwritten)
}

/// Writes what is whole already.
pub(crate) fn bytes(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).map_err(unwritten)
}

/// Says what failed; that somebody reads no further stays what it is.
fn unwritten(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the standard output cannot be written: {error}"))
}

/// Writes JSON.
pub(crate) fn json(value: &Value) -> io::Result<()> {
    say(gateway::visible::json(&format!("{value:#}")))
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

/// Says, beside a list that is as long as it was asked for, how to see what is older. Not on the standard output: that is the list.
pub(crate) fn older(list: &Value, most: usize) {
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    if let Some(last) = items.last().filter(|_| items.len() >= most) {
        eprintln!("There may be older ones: add --before {}", line(&field(last, "id")));
    }
}

/// Seconds since 1970 as a date and time in UTC.
pub(crate) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}

/// Microseconds since 1970 as a date and time in UTC.
pub(crate) fn micros(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |t| format!("{t:.3}"))
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
