//! `durward sessions export`: a recording as asciicast v2 (<https://docs.asciinema.org/manual/asciicast/v2/>), or as JSON lines.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::Context;
use serde_json::{Value, json};

use super::play::{Asked, pages, steps, target};
use super::screen::{self, Look};
use crate::args::{ExportSession, SessionFormat};
use crate::client::Client;

/// A terminal is between these widths.
const WIDTHS: (usize, usize) = (80, 240);
const HEIGHT: usize = 40;

pub(super) fn export(client: &Client, args: &ExportSession) -> anyhow::Result<()> {
    let ExportSession { output, .. } = args;
    let mut text = Vec::new();
    match args.format {
        SessionFormat::Asciicast => asciicast(client, args, &mut text)?,
        SessionFormat::Jsonl => jsonl(client, args, &mut text)?,
    }
    match output {
        None => io::stdout().lock().write_all(&text)?,
        Some(file) => {
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
            made.and_then(|mut made| made.write_all(&text))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(())
}

/// One thing on the screen, in seconds since the beginning.
struct Shown {
    at: f64,
    lines: Vec<String>,
}

fn asciicast(client: &Client, args: &ExportSession, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let ExportSession { id, rows, idle, .. } = args;
    let asked = Asked { rows: *rows, ..Asked::default() };
    let mut all: Vec<Shown> = Vec::new();
    let mut session = Value::Null;
    pages(client, id, 0, &asked, |page| {
        if session.is_null() {
            session = page.get("session").cloned().unwrap_or_default();
            all.push(Shown { at: 0.0, lines: screen::beginning(&session, Look::Painted) });
        }
        for step in steps(page) {
            let lines = screen::step(step, &target(page), Look::Painted, WIDTHS.1);
            if !lines.is_empty() {
                all.push(Shown { at: seconds(step, "at_us"), lines });
            }
        }
        if let Some(ended) = page.get("ended").filter(|ended| !ended.is_null())
            && page.get("next").is_none_or(Value::is_null)
        {
            all.push(Shown { at: seconds(page, "ended_us"), lines: screen::end(ended, Look::Painted) });
        }
        Ok(true)
    })?;
    write_cast(&session, &all, *idle, out)?;
    Ok(())
}

fn write_cast(session: &Value, all: &[Shown], idle: u64, out: &mut Vec<u8>) -> io::Result<()> {
    let widest = all.iter().flat_map(|shown| &shown.lines).map(|line| width(line)).max().unwrap_or_default();
    let header = json!({
        "version": 2,
        "width": widest.clamp(WIDTHS.0, WIDTHS.1),
        "height": HEIGHT,
        "timestamp": session.get("began_us").and_then(Value::as_u64).unwrap_or_default() / 1_000_000,
        "idle_time_limit": idle,
        "title": crate::show::line(&format!(
            "{} on {}",
            crate::show::field(session, "principal"),
            crate::show::field(session, "target")
        )),
        "env": { "TERM": "xterm-256color", "SHELL": "/bin/sh" },
    });
    writeln!(out, "{header}")?;
    for Shown { at, lines } in all {
        let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        writeln!(out, "{}", json!([at, "o", text]))?;
    }
    Ok(())
}

/// How wide a line is, without the colours.
fn width(line: &str) -> usize {
    let mut count = 0;
    let mut in_escape = false;
    for c in line.chars() {
        match (in_escape, c) {
            (false, '\u{1b}') => in_escape = true,
            (false, _) => count += 1,
            (true, 'm') => in_escape = false,
            (true, _) => (),
        }
    }
    count
}

fn seconds(value: &Value, name: &str) -> f64 {
    value.get(name).and_then(Value::as_f64).unwrap_or_default() / 1e6
}

fn jsonl(client: &Client, args: &ExportSession, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let ExportSession { id, rows, .. } = args;
    let asked = Asked { rows: *rows, wire: true, ..Asked::default() };
    let mut begun = false;
    pages(client, id, 0, &asked, |page| {
        if !std::mem::replace(&mut begun, true) {
            writeln!(out, "{}", json!({ "began": page.get("session") }))?;
        }
        for step in steps(page) {
            writeln!(out, "{step}")?;
        }
        if page.get("next").is_none_or(Value::is_null) {
            writeln!(out, "{}", json!({ "ended": page.get("ended"), "ended_us": page.get("ended_us") }))?;
        }
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_is_a_header_and_lines_of_time_and_text() {
        let all = [
            Shown { at: 0.0, lines: vec!["\u{1b}[1mhello\u{1b}[0m".to_owned()] },
            Shown { at: 1.25, lines: vec!["x".repeat(100), String::new()] },
        ];
        let mut out = Vec::new();
        let session =
            json!({ "began_us": 1_764_120_267_000_001_u64, "principal": "agent:a", "target": "t\u{1b}" });
        write_cast(&session, &all, 3, &mut out).expect("written");
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let [header, first, second] = lines.as_slice() else { panic!("{text}") };
        assert_eq!(
            (&header["version"], &header["width"], &header["timestamp"]),
            (&json!(2), &json!(100), &json!(1_764_120_267))
        );
        assert_eq!(header["title"], "agent:a on t⟨U+001B⟩");
        assert_eq!(first, &json!([0.0, "o", "\u{1b}[1mhello\u{1b}[0m\r\n"]));
        assert_eq!(second[0], json!(1.25));
    }
}
